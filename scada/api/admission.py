"""What every call passes before the gate: TLS 1.3 with a certificate in force, the peer's allowance, and a time limit.

These checks cost a few microseconds and parse nothing, so that a flood ends here. A call over its peer's allowance waits for
its refusal: a peer has so many calls at a time, and what waits asks nothing more. One :class:`Admission` belongs to one server
and one event loop; its peers are told apart by certificate, without TLS by address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import grpc

from scada.api.faults import CODE_KEY, CallError
from scada.api.peers import read_peer, remember
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
"""How long a call over the allowance waits for its refusal."""

MOST_PEERS: Final = 10_000
"""Peers whose allowances are remembered; beyond, those that ask least are forgotten first."""

VERSION: Final = "TLSv1.3"

WATCH: Final = "/grpc.health.v1.Health/Watch"

Context = Any
Behaviour = Callable[[Any, Context], Awaitable[Any]]
Told = Callable[[Peer, str, int], None]
"""Called with a peer, what it asked too much of (``logins``, ``orders``, ``views``, ``calls``) and how often since last time."""


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
    refused: dict[str, int] = field(default_factory=dict)


class Admission:
    """Checks calls, and ends those that stand when their certificate falls.

    Args:
        settings: rates and the longest time of a call.
        tls: certificates in force; None without TLS.
        told: hears of peers that ask too much, from :meth:`report`.
        orders: True for the server of the controls: every call but a login counts as an order there.
        clock: the host's, for the validity of certificates.
    """

    def __init__(
        self, settings: ApiSettings, tls: TlsTrust | None, told: Told, *, orders: bool, clock: Clock | None = None
    ) -> None:
        self._tls = tls
        self._told = told
        self._kind = "orders" if orders else "views"
        self._rates = {"logins": settings.logins_per_s, "orders": settings.orders_per_s, "views": settings.views_per_s}
        self._call_s = settings.call_s
        self._clock = clock or SystemClock()
        self._guests: dict[bytes | str, _Guest] = {}
        self._running: set[Running] = set()

    def guard(self, path: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        """The same method behind the checks."""
        kind = "logins" if path.endswith("/Login") else self._kind
        lasting = self._watch if path == WATCH else self._stream
        codec = (handler.request_deserializer, handler.response_serializer)
        match handler.request_streaming, handler.response_streaming:
            case False, False:
                return grpc.unary_unary_rpc_method_handler(self._call(kind, handler.unary_unary), *codec)
            case True, False:
                return grpc.stream_unary_rpc_method_handler(lasting(kind, handler.stream_unary), *codec)
            case False, True:
                return grpc.unary_stream_rpc_method_handler(lasting(kind, handler.unary_stream), *codec)
            case _:
                return grpc.stream_stream_rpc_method_handler(lasting(kind, handler.stream_stream), *codec)

    def look(self) -> None:
        """End the watches of health whose certificates have fallen; call it several times a second, on the server's loop."""
        for running in list(self._running):
            if running.fault is None and self._tls is not None:
                why = self._tls.refusal_of(running.peer.certificate, self._clock.now_ns())
                if why:
                    running.fault = _refused("tls_refused", why)
                    running.task.cancel()

    def report(self) -> None:
        """Tell of peers that asked too much; call it every few seconds, on the server's loop."""
        for guest in self._guests.values():
            refused, guest.refused = guest.refused, {}
            for kind, count in refused.items():
                self._told(guest.peer, kind, count)
        if len(self._guests) > MOST_PEERS:
            idle = [key for key, guest in self._guests.items() if not guest.calls]
            for key in idle[: len(self._guests) - MOST_PEERS]:
                del self._guests[key]

    def _call(self, kind: str, inner: Behaviour) -> Behaviour:
        async def _behaviour(raw: Any, context: Context) -> Any:
            guest = await self._enter(kind, context)
            try:
                remaining = context.time_remaining()
                if remaining is not None and remaining <= self._call_s:
                    return await inner(raw, context)
                async with asyncio.timeout(self._call_s):
                    return await inner(raw, context)
            except TimeoutError:
                late = f"the call did not end within {self._call_s:g} s"
                await _abort(context, CallError(grpc.StatusCode.DEADLINE_EXCEEDED, "timeout", late))
            finally:
                guest.calls -= 1

        return _behaviour

    def _stream(self, kind: str, inner: Behaviour) -> Behaviour:
        """It ends with its session, which ends with its certificate."""

        async def _behaviour(raw: Any, context: Context) -> Any:
            guest = await self._enter(kind, context)
            try:
                return await inner(raw, context)
            finally:
                guest.calls -= 1

        return _behaviour

    def _watch(self, kind: str, inner: Behaviour) -> Behaviour:
        """Health has no session."""

        async def _behaviour(raw: Any, context: Context) -> Any:
            guest = await self._enter(kind, context)
            task = asyncio.current_task()
            assert task is not None
            running = Running(guest.peer, task)
            self._running.add(running)
            try:
                return await inner(raw, context)
            except asyncio.CancelledError:
                if running.fault is None:
                    raise
                task.uncancel()
                await _abort(context, running.fault)
            finally:
                self._running.discard(running)
                guest.calls -= 1

        return _behaviour

    async def _enter(self, kind: str, context: Context) -> _Guest:
        """Let a call in, or end it."""
        try:
            guest = self._guest(self._prove(kind, context))
        except CallError as fault:
            await _abort(context, fault)
        if guest.calls >= CALLS_OF_A_PEER:
            guest.refused["calls"] = guest.refused.get("calls", 0) + 1
            await _abort(context, _limited(f"more than {CALLS_OF_A_PEER} calls and streams at a time"))
        guest.calls += 1
        now = self._clock.monotonic()
        allowance = guest.allowances.get(kind)
        if allowance is None:
            rate = self._rates[kind]
            allowance = guest.allowances[kind] = Allowance(rate, rate * BURST_S, now)
        if not allowance.take(now):
            guest.refused[kind] = guest.refused.get(kind, 0) + 1
            try:
                await asyncio.sleep(PENALTY_S)
                await _abort(context, _limited(f"more than {allowance.rate:g} {kind} a second"))
            finally:
                guest.calls -= 1
        return guest

    def _prove(self, kind: str, context: Context) -> Peer:
        try:
            peer, pem, version = read_peer(context)
            remember(peer)
            if self._tls is None:
                return peer
            if not pem:
                raise _refused("no_certificate", "the connection has no TLS certificate")
            if version != VERSION:
                raise _refused("tls_version", f"{version or 'this version of TLS'} is not served, {VERSION} is")
            now_ns = self._clock.now_ns()
            why = self._tls.meet(peer_certificate(pem), now_ns)
        except SecurityError as error:
            raise _refused("tls_refused", error.what) from error
        if why:
            raise _refused("tls_refused", why)
        if kind == "orders" and self._tls.is_list_stale(now_ns):
            stale = "the revocation list of TLS has expired, so that nobody can be trusted with a control"
            raise CallError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "tls_list_stale",
                stale,
                mend="`scada keys` renews the list; see docs/security",
            )
        return peer

    def _guest(self, peer: Peer) -> _Guest:
        key = peer.certificate or _host(peer.address)
        guest = self._guests.get(key)
        if guest is None:
            guest = self._guests[key] = _Guest(peer)
        return guest


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
