"""The gRPC servers of a running system: views on one port, controls on another.

Each has a server object, an event loop with a thread, limits and an admission of its own, so that a flood of viewers cannot hold
up an operator's control: the views run on the loop that starts the :class:`ApiServer`, the controls on one beside it.
:class:`ApiThread` gives both threads of their own beside the actors.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from scada.actors.backend import Backend
from scada.api.admission import Admission
from scada.api.event_feed import EventFeed
from scada.api.gate import Gate
from scada.api.hub import Hub
from scada.api.identity_watch import IdentityWatch
from scada.api.list_watch import ListWatch
from scada.api.listener import Listener, LoopThread, share_poller
from scada.api.refusals import SecurityReporter
from scada.api.services import Services
from scada.core.clock import SystemClock
from scada.core.errors import ConfigError
from scada.core.settings import ApiSettings
from scada.security.peer import Peer
from scada.security.session import Session, SessionServer
from scada.security.tls_trust import TlsTrust

CALLS: Final = 1 << 15
"""Calls and streams a server has at a time, those included that wait for their refusal; beyond, it refuses whoever calls."""

LOOK_S: Final = 0.25
"""Time between two looks at what is still trusted: what was revoked ends within a second."""

REPORT_S: Final = 5.0
"""Time between reports of peers that ask too much."""

CONTROL_SERVICES: Final = frozenset({"scadapb.v1.Control", "scadapb.v1.Dispatch", "scadapb.v1.Programmes"})
"""Services that do not work while the control actor does not."""

NewLoop = Callable[[], asyncio.AbstractEventLoop]
_log = structlog.get_logger("scada.api")


@dataclass(frozen=True, slots=True)
class _Face:
    """One server and what belongs to its loop."""

    listener: Listener
    admission: Admission
    reporter: SecurityReporter


class ApiServer:
    """Both servers; the views live on the event loop that starts it.

    Args:
        backend: the running system; thread-safe.
        sessions: who may do what.
        settings: addresses, ports and limits; port 0 takes any free one.
        tls: certificates; needed unless ``settings.tls`` is off.
        new_loop: makes the loop of the controls.
        controls_work: False while the control actor is down.

    Raises:
        ConfigError: TLS is on and there are no certificates.
    """

    def __init__(
        self,
        backend: Backend,
        sessions: SessionServer,
        settings: ApiSettings,
        tls: TlsTrust | None = None,
        *,
        new_loop: NewLoop = asyncio.new_event_loop,
        controls_work: Callable[[], bool] = lambda: True,
    ) -> None:
        if settings.tls and tls is None:
            raise ConfigError("TLS is on and no certificates are given", where="[api] tls", mend="give them, or set tls = false")
        self._backend = backend
        self._sessions = sessions
        self._settings = settings
        self._tls = tls if settings.tls else None
        self._new_loop = new_loop
        self._controls_work = controls_work
        self._hub = Hub(backend)
        self._events = EventFeed(backend)
        self._services = Services(backend, self._hub, self._events, sessions)
        self._views: _Face | None = None
        self._controls: _Face | None = None
        self._beside: LoopThread | None = None
        self._housekeeping: asyncio.Task[None] | None = None
        self._lists = ListWatch(backend)
        self._identity = IdentityWatch(backend, sessions.identity.current)
        self._told = ""
        self._clock = SystemClock()
        """The host's: validity of certificates does not run at the plant's rate."""
        self.port = 0
        """Bound port of the views, once started."""
        self.control_port = 0
        """Bound port of the controls, once started."""

    async def start(self) -> None:
        """Bind both ports and serve.

        Raises:
            PortInUseError: a port is taken or cannot be bound.
        """
        settings = self._settings
        self._loop = asyncio.get_running_loop()
        share_poller(self._loop)
        self._hub.start()
        self._events.start()
        self._beside = LoopThread("api-control", self._new_loop())
        try:
            self._views = await self._face("views")
            self.port = self._views.listener.bind(settings.host, settings.port)
            self._controls = await self._beside.run(self._face("controls"))
            self.control_port = await self._beside.run(_bound(self._controls.listener, settings.host, settings.control_port))
            await self._views.listener.start()
            await self._beside.run(self._controls.listener.start())
            await self._tell_health()
        except BaseException:
            await self.stop()
            raise
        self._sessions.on_end(self._session_ended)
        self._housekeeping = asyncio.create_task(self._keep_house())
        _log.info("serving", host=settings.host, port=self.port, control_port=self.control_port, tls=self._tls is not None)

    async def stop(self, grace_s: float = 0.5) -> None:
        """End every stream, let calls in progress finish within ``grace_s``, then close."""
        self._hub.stop()
        self._events.stop()
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        ends = []
        if self._views is not None:
            ends.append(self._views.listener.stop(grace_s))
        if self._controls is not None and self._beside is not None:
            ends.append(self._beside.run(self._controls.listener.stop(grace_s)))
        await asyncio.gather(*ends)
        if self._views is not None:
            self._views.reporter.close()
        if self._beside is not None:
            if self._controls is not None:
                await self._beside.run(_call(self._controls.reporter.close))
            await asyncio.to_thread(self._beside.stop)
        self._views = self._controls = self._beside = None

    # ------------------------------------------------------------------ housekeeping

    async def look(self) -> None:
        """Take what has changed in trust and certificates, and end what is no longer trusted."""
        for session in await asyncio.to_thread(self._revalidate):
            _log.info("session expired", name=session.principal.name, station=session.principal.station)
        if self._views is None or self._controls is None or self._beside is None:
            return
        self._views.admission.look()
        await self._beside.run(_call(self._controls.admission.look))
        self._tell_tls(self._views.reporter)
        await self._tell_health()

    def _revalidate(self) -> list[Session]:
        """Reads files: not for the event loop. Returns the sessions whose time is over."""
        self._sessions.revalidate()
        self._services.security.watch.look()
        tls, terms, identity = self._tls, self._sessions.trust.list_terms, self._sessions.identity
        ends = {identity.current.name: identity.current.certificate.not_after_ns}
        if tls is not None:
            if tls.refresh() and self._views is not None:
                self._views.reporter.tls_taken(certificate=tls.material.own.digest.hex(), revoked=len(tls.material.revoked))
            now_ns = self._clock.now_ns()
            ends[f"{tls.material.own.name}, TLS"] = tls.material.own.not_after_ns
            terms += tls.list_terms(now_ns)
            for session in self._sessions.sessions():
                if why := tls.refusal_of(session.peer.certificate, now_ns):
                    self._sessions.end(session.identifier, why)
        self._lists.look(terms)
        self._identity.look(identity.current, identity.fault, ends, self._sessions.clock.now_ns())
        return self._sessions.expire()

    async def _keep_house(self) -> None:
        reported = self._clock.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
                now = self._clock.monotonic()
                if now - reported >= REPORT_S and self._views and self._controls and self._beside:
                    reported = now
                    self._views.admission.report()
                    await self._beside.run(_call(self._controls.admission.report))
            except Exception:  # noqa: BLE001 - the next look must come whatever happened
                _log.exception("housekeeping")

    def _tell_tls(self, reporter: SecurityReporter) -> None:
        if self._tls is None:
            return
        reason = self._tls.fault
        if reason != self._told and reason:
            reporter.tls(reason=reason)
        self._told = reason

    async def _tell_health(self) -> None:
        if self._views is None or self._controls is None or self._beside is None:
            return
        await self._views.listener.tell()
        await self._beside.run(self._controls.listener.tell(frozenset() if self._controls_work() else CONTROL_SERVICES))

    def _session_ended(self, session: Session, why: str) -> None:
        """Called from whichever thread ended it."""
        if why == "logout":
            return
        try:
            self._loop.call_soon_threadsafe(self._report_end, session.principal.name, session.principal.station, why)
        except RuntimeError:  # the loop has closed: the server is stopping
            _log.debug("session ended after stop", name=session.principal.name)

    def _report_end(self, name: str, station: str, why: str) -> None:
        if self._views is not None:
            self._views.reporter.ended(name=name, station=station, reason=why)

    # ------------------------------------------------------------------ parts

    async def _face(self, purpose: str) -> _Face:
        """A server on the loop that runs this; grpc binds a server to the loop that makes it."""
        reporter = SecurityReporter(self._backend)
        orders = purpose == "controls"

        def told(peer: Peer, kinds: Mapping[str, int], closed: int) -> None:
            kind, count = ", ".join(sorted(kinds)), sum(kinds.values())
            reporter.limited(peer=peer.address, name=peer.name, kind=kind, count=count, closed=closed)

        admission = Admission(self._settings, self._tls, told, orders=orders)
        gate = Gate(self._sessions, reporter, admission.refused)
        handlers = self._services.control_handlers(gate) if orders else self._services.view_handlers(gate)
        listener = Listener(purpose, handlers, admission, CALLS, self._tls, reflection=self._settings.reflection)
        return _Face(listener, admission, reporter)


async def _bound(listener: Listener, host: str, port: int) -> int:
    return listener.bind(host, port)


async def _call(work: Callable[[], None]) -> None:
    work()


class ApiThread:
    """An :class:`ApiServer` in threads with event loops of its own.

    Args:
        backend: the running system; its ``async`` methods are awaited on these loops.
        sessions: who may do what.
        settings: address and ports.
        new_loop: makes a loop, e.g. ``uvloop.new_event_loop``.
        tls: certificates; needed unless ``settings.tls`` is off.
        controls_work: False while the control actor is down.
    """

    def __init__(
        self,
        backend: Backend,
        sessions: SessionServer,
        settings: ApiSettings,
        new_loop: NewLoop = asyncio.new_event_loop,
        *,
        tls: TlsTrust | None = None,
        controls_work: Callable[[], bool] = lambda: True,
    ) -> None:
        self.server = ApiServer(backend, sessions, settings, tls, new_loop=new_loop, controls_work=controls_work)
        self._new_loop = new_loop
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)

    def start(self) -> None:
        """Start and return once both ports are bound.

        Raises:
            PortInUseError: a port is taken.
        """
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """End every stream and the threads; safe to call twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._new_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            await self.server.start()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits in start()
            self._failure = error
            return
        finally:
            self._ready.set()
        await self._stop.wait()
        await self.server.stop()
