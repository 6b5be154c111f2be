"""What every call passes before the gate: TLS 1.3 with a certificate in force, the peer's allowance, and a time limit.

These checks cost a few microseconds and come before the call's message is read, so that a flood ends here. A call over its
peer's allowance waits for its refusal; a peer that outruns even its refusals, by many connections or by taking its calls back,
loses the connections it does it with. What a peer has spent comes back within seconds. One :class:`Admission` belongs to one
server and one event loop; its peers are told apart by certificate, without TLS by address.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Protocol

import grpc

from scada.api.faults import CODE_KEY, CallError, malformed
from scada.api.peers import peer_of, read_peer, remember
from scada.api.sockets import close_connection
from scada.core.api_settings import ApiSettings
from scada.core.clock import Clock, SystemClock
from scada.core.errors import SecurityError
from scada.security.peer import Peer
from scada.security.tls_trust import TlsTrust, peer_certificate

BURST_S: Final = 5.0
"""So many seconds' allowance may be used at once."""

CALLS_OF_A_PEER: Final = 256
"""Calls and streams that one peer may have at a time."""

PENALTY_S: Final = 0.5
"""How long a call over the allowance waits for its refusal, if no other one of its peer waits."""

REFUSALS_PER_S: Final = 256.0
"""Refusals of one peer come no faster: more than one full connection (``grpc.max_concurrent_streams``) asks for."""

LONGEST_WAIT_S: Final = 20.0
"""A call that would wait longer for its refusal costs its connection: some 5 000 wait already, about 30 KB each."""

FORGERY_COST: Final = 10.0
"""Calls that a message costs whose proof failed."""

TOLD_SINGLY: Final = 10
"""Refused messages of one peer that are told one by one between two reports; the others are counted."""

MOST_PEERS: Final = 10_000
"""Peers whose allowances are remembered; beyond, those that ask least are forgotten first."""

VERSION: Final = "TLSv1.3"

WATCH: Final = "/grpc.health.v1.Health/Watch"
REFLECTION: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

Context = Any
Behaviour = Callable[[Any, Context], Awaitable[Any]]


class Told(Protocol):
    """Hears of a peer that asks too much."""

    def __call__(self, peer: Peer, kinds: Mapping[str, int], closed: int) -> None:
        """What was refused since last time, by kind, and how many connections were closed for it.

        Kinds: ``logins``, ``orders``, ``views``, ``calls`` (at a time), ``untrusted``, ``forged``, ``refused``.
        """


@dataclass(slots=True)
class Allowance:
    """Token bucket of one peer and kind of calls.

    >>> allowance = Allowance(rate=1.0, tokens=2.0, at=10.0)
    >>> [allowance.take(10.0), allowance.take(10.0), allowance.take(10.0), allowance.take(11.0)]
    [True, True, False, True]
    """

    rate: float
    tokens: float
    at: float

    def take(self, now: float) -> bool:
        """Use one; False if there is none."""
        self.tokens = min(self.rate * BURST_S, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


@dataclass(slots=True, eq=False)
class Running:
    """A stream without a session, and why it must end."""

    peer: Peer
    task: asyncio.Task[Any]
    fault: CallError | None = None


@dataclass(slots=True)
class _Guest:
    """What is remembered of a peer."""

    peer: Peer
    allowances: dict[str, Allowance] = field(default_factory=dict)
    calls: int = 0
    next_refusal: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    closed: dict[str, bool] = field(default_factory=dict)
    told: int = 0


class Admission:
    """Checks calls, and ends those that stand when their certificate falls.

    Args:
        settings: rates and the longest time of a call.
        tls: certificates in force; None without TLS.
        told: hears of peers that ask too much, from :meth:`report`.
        orders: True for the server of the controls: every call but a login counts as an order there.
        clock: the host's, for the validity of certificates.
        close: closes the connection to a port of ours from a peer's address.

    Attributes:
        port: the server's, once it is bound.
    """

    def __init__(
        self,
        settings: ApiSettings,
        tls: TlsTrust | None,
        told: Told,
        *,
        orders: bool,
        clock: Clock | None = None,
        close: Callable[[int, str], bool] = close_connection,
    ) -> None:
        self.port = 0
        self._close = close
        self._tls = tls
        self._told = told
        self._kind = "orders" if orders else "views"
        self._rates = {"logins": settings.logins_per_s, "orders": settings.orders_per_s, "views": settings.views_per_s}
        self._call_s = settings.call_s
        self._clock = clock or SystemClock()
        self._guests: dict[bytes | str, _Guest] = {}
        self._running: set[Running] = set()

    def guard(self, path: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        """The same method behind the checks.

        To grpc every method takes a stream of requests, so that it hands over the call before its message has come: a peer that
        never sends one, or takes its call back at once, is seen.
        """
        inner = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        if not handler.request_streaming:
            inner = _with_message(inner)
        if not (handler.request_streaming or handler.response_streaming):
            inner = self._call(inner)
        elif path in (WATCH, REFLECTION):
            inner = self._watch(inner)
        make = grpc.stream_stream_rpc_method_handler if handler.response_streaming else grpc.stream_unary_rpc_method_handler
        return make(self._admitted(self._kind_of(path), inner), handler.request_deserializer, handler.response_serializer)

    def refused(self, peer: Peer, path: str, *, forged: bool) -> bool:
        """A message of a peer that was let in was refused.

        Args:
            peer: whose call it was.
            path: full name of the method.
            forged: its proof failed, which costs more than a call.

        Returns:
            Whether it is told by itself; else the next report counts it.
        """
        guest = self._guest(peer)
        allowance = guest.allowances.get(self._kind_of(path))
        if forged and allowance is not None:
            allowance.tokens -= FORGERY_COST - 1.0
        guest.told += 1
        if guest.told <= TOLD_SINGLY:
            return True
        guest.refused["forged" if forged else "refused"] += 1
        return False

    def _kind_of(self, path: str) -> str:
        return "logins" if path.endswith("/Login") else self._kind

    def look(self) -> None:
        """End streams without a session whose certificate has fallen; call it several times a second, on the server's loop."""
        for running in list(self._running):
            if running.fault is None and self._tls is not None:
                why = self._tls.refusal_of(running.peer.certificate, self._clock.now_ns())
                if why:
                    running.fault = _refused("tls_refused", why)
                    running.task.cancel()

    def report(self) -> None:
        """Tell of peers that asked too much; call it every few seconds, on the server's loop."""
        for guest in self._guests.values():
            refused, guest.refused = guest.refused, Counter()
            closed, guest.closed = sum(guest.closed.values()), {}
            guest.told = 0
            if refused:
                self._told(guest.peer, refused, closed)
        if len(self._guests) > MOST_PEERS:
            idle = [key for key, guest in self._guests.items() if not guest.calls]
            for key in idle[: len(self._guests) - MOST_PEERS]:
                del self._guests[key]

    def _admitted(self, kind: str, inner: Behaviour) -> Behaviour:
        """A stream ends with its session, which ends with its certificate."""

        async def _behaviour(requests: Any, context: Context) -> Any:
            guest = await self._enter(kind, context)
            try:
                return await inner(requests, context)
            finally:
                guest.calls -= 1

        return _behaviour

    def _call(self, inner: Behaviour) -> Behaviour:
        async def _behaviour(requests: Any, context: Context) -> Any:
            try:
                remaining = context.time_remaining()
                if remaining is not None and remaining <= self._call_s:
                    return await inner(requests, context)
                async with asyncio.timeout(self._call_s):
                    return await inner(requests, context)
            except TimeoutError:
                late = f"the call did not end within {self._call_s:g} s"
                await _abort(context, CallError(grpc.StatusCode.DEADLINE_EXCEEDED, "timeout", late))

        return _behaviour

    def _watch(self, inner: Behaviour) -> Behaviour:
        """What has no session."""

        async def _behaviour(requests: Any, context: Context) -> Any:
            task = asyncio.current_task()
            assert task is not None
            running = Running(peer_of(context), task)
            self._running.add(running)
            try:
                return await inner(requests, context)
            except asyncio.CancelledError:
                if running.fault is None:
                    raise
                task.uncancel()
                await _abort(context, running.fault)
            finally:
                self._running.discard(running)

        return _behaviour

    async def _enter(self, kind: str, context: Context) -> _Guest:
        """Let a call in, or end it."""
        try:
            peer, pem, version = read_peer(context)
            remember(peer)
            fault = self._distrust(kind, pem, version)
        except SecurityError as error:
            peer, fault = Peer(context.peer()), _refused("tls_refused", error.what)
        guest = self._guest(peer)
        if fault is not None:
            await self._turn_away(guest, context, "untrusted", fault)
        if guest.calls >= CALLS_OF_A_PEER:
            what = f"more than {CALLS_OF_A_PEER} calls and streams at a time"
            await self._turn_away(guest, context, "calls", _limited(what))
        now = self._clock.monotonic()
        allowance = guest.allowances.get(kind)
        if allowance is None:
            allowance = guest.allowances[kind] = Allowance(self._rates[kind], self._rates[kind] * BURST_S, now)
        if not allowance.take(now):
            await self._turn_away(guest, context, kind, _limited(f"more than {allowance.rate:g} {kind} a second"))
        guest.calls += 1
        return guest

    async def _turn_away(self, guest: _Guest, context: Context, kind: str, fault: CallError) -> NoReturn:
        """Refuse a call when its turn has come; close its connection if too many wait for theirs."""
        now = self._clock.monotonic()
        turn = max(guest.next_refusal, now if kind == "untrusted" else now + PENALTY_S)
        if kind != "untrusted" or turn > now:
            guest.refused[kind] += 1
        if turn <= now + LONGEST_WAIT_S:
            guest.next_refusal = turn + 1.0 / REFUSALS_PER_S
            await asyncio.sleep(turn - now)
            try:
                await _abort(context, fault)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                raise asyncio.CancelledError from error  # it has gone meanwhile, for which grpc would write a page into the log
        address = context.peer()
        if address not in guest.closed:
            guest.closed[address] = self._close(self.port, address)
        if guest.closed[address]:
            raise asyncio.CancelledError  # nobody is there to be answered
        await asyncio.sleep(LONGEST_WAIT_S)
        await _abort(context, fault)

    def _distrust(self, kind: str, pem: bytes, version: str) -> CallError | None:
        """Why a connection must not be served; None if it may."""
        if self._tls is None:
            return None
        if not pem:
            return _refused("no_certificate", "the connection has no TLS certificate")
        if version != VERSION:
            return _refused("tls_version", f"{version or 'this version of TLS'} is not served, {VERSION} is")
        now_ns = self._clock.now_ns()
        if why := self._tls.meet(peer_certificate(pem), now_ns):
            return _refused("tls_refused", why)
        if kind == "orders" and self._tls.is_list_stale(now_ns):
            stale = "the revocation list of TLS has expired, so that nobody can be trusted with a control"
            mend = "`scada keys` renews the list; see docs/security"
            return CallError(grpc.StatusCode.FAILED_PRECONDITION, "tls_list_stale", stale, mend=mend)
        return None

    def _guest(self, peer: Peer) -> _Guest:
        key = peer.certificate or _host(peer.address)
        guest = self._guests.get(key)
        if guest is None:
            guest = self._guests[key] = _Guest(peer)
        return guest


def _with_message(inner: Behaviour) -> Behaviour:
    """Of a method with one request."""

    async def _behaviour(requests: Any, context: Context) -> Any:
        del requests
        message = await context.read()
        if message is grpc.aio.EOF:
            await _abort(context, malformed("the call has no message"))
        return await inner(message, context)

    return _behaviour


def _host(address: str) -> str:
    """Of grpc's ``ipv4:10.0.0.1:5555``, without the port."""
    return address.rpartition(":")[0]


def _refused(code: str, what: str) -> CallError:
    return CallError(grpc.StatusCode.UNAUTHENTICATED, code, what)


def _limited(what: str) -> CallError:
    return CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited", f"the peer asks too much: {what}", mend="ask less often")


async def _abort(context: Context, fault: CallError) -> NoReturn:
    await context.abort(fault.status, str(fault), trailing_metadata=((CODE_KEY, fault.code),))
    raise AssertionError("abort does not return")
