"""Channel actor: owns one front-end channel and decides - connect, interrogate, command, quarantine. Values do not pass here."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog

from scada.actors.base import Actor, Address
from scada.actors.messages import ChannelAction, ChannelState, DriverEnded, LinkChanged, MarkQuality, Operate, Report, Tick
from scada.actors.wire import Wire
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.quality import Quality
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, ChannelSpec, Control
from scada.protocols.driver import ChannelStatistics, CommandResult, Driver, LinkState, Outcome

_log = structlog.get_logger("channel")

LOST = int(Quality.COMM_LOST | Quality.NOT_TOPICAL)
FIRST_CONNECT_S = 10.0
"""A channel that is not up so long after its start raises its alarm."""


@dataclass(slots=True)
class ChannelView:
    """What a channel actor publishes for status pages; written by it alone."""

    spec: ChannelSpec
    state: LinkState = LinkState.DOWN
    reason: str = "not started"
    since_ns: int = 0
    statistics: ChannelStatistics | None = None


class DriverFailedError(ScadaError):
    """A driver ended by itself: a fault of the driver, not of the line."""


class ChannelActor(Actor):
    """One life of a channel.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        view: published state.
        wire: runs the driver.
        make: makes a driver that reports to this actor.
        pids: the points this channel feeds.
        rtdb: marks their quality.
        events: raises and returns the channel's alarm.
        clock: stamps.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        view: ChannelView,
        wire: Wire,
        make: Callable[[], Driver],
        pids: np.ndarray[Any, np.dtype[np.uint32]],
        rtdb: Address,
        events: Address,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._view = view
        self._wire = wire
        self._make = make
        self._pids = pids
        self._rtdb = rtdb
        self._events = events
        self._clock = clock
        self._driver: Driver | None = None
        self._task: Future[None] | None = None
        self._alarmed = False
        self._logged = (LinkState.DOWN, "")
        self._started_at = clock.monotonic()

    def started(self) -> None:
        """Begin to connect."""
        if self._view.state is LinkState.QUARANTINED:
            return
        self._set(LinkState.CONNECTING, "starting")
        self._begin()

    def stopped(self) -> None:
        """Close the connection."""
        self._end("stopped")

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case LinkChanged(state, reason):
                self._on_link(state, reason)
            case Operate():
                self._operate(message)
            case ChannelAction():
                return self._act(message.action, message.user)
            case DriverEnded(reason):
                self._set(LinkState.DOWN, reason)
                self._lose(reason)
                raise DriverFailedError(reason, where=self._view.spec.name)
            case Tick():
                self._watch()
            case _:
                return super().receive(message)
        return None

    # ---------------------------------------------------------------- connection

    def _begin(self) -> None:
        self._driver = self._make()
        self._view.statistics = self._driver.statistics
        self._task = self._wire.submit(self._driver.run())
        self._task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: Future[None]) -> None:
        if task is not self._task or task.cancelled():
            return
        error = task.exception()
        if not isinstance(error, CancelledError):
            self.address.tell(DriverEnded(f"the driver ended: {type(error).__name__}: {error}" if error else "the driver ended"))

    def _end(self, reason: str) -> None:
        task, self._task, self._driver = self._task, None, None
        if task is not None:
            task.cancel()
            self._lose(reason)

    def _on_link(self, state: LinkState, reason: str) -> None:
        if self._task is None:
            return
        was_up = self._view.state is LinkState.UP
        self._set(state, reason)
        if state is LinkState.UP:
            self._alarm(up=True, reason=reason)
        elif was_up:
            self._lose(reason)
            self._alarm(up=False, reason=reason)

    def _lose(self, reason: str) -> None:
        """Say of every point of the channel, in one update, that its value is only the last one received."""
        del reason
        if len(self._pids):
            self._rtdb.tell(MarkQuality(self._pids, set_bits=LOST))

    def _alarm(self, *, up: bool, reason: str) -> None:
        self._alarmed = not up
        spec = self._view.spec
        self._events.tell(ChannelState(spec.name, spec.mrid, spec.station, up, reason))

    def _watch(self) -> None:
        waiting = self._view.state in {LinkState.DOWN, LinkState.CONNECTING}
        if waiting and not self._alarmed and self._clock.monotonic() - self._started_at > FIRST_CONNECT_S:
            self._alarm(up=False, reason=self._view.reason)

    def _set(self, state: LinkState, reason: str) -> None:
        if state is not LinkState.CONNECTING and (state, reason) != self._logged:
            self._logged = (state, reason)
            _log.info("channel", channel=self._view.spec.name, state=state.value, reason=reason)
        self._view.state = state
        self._view.reason = reason
        self._view.since_ns = self._clock.now_ns()

    # ---------------------------------------------------------------- orders

    def _operate(self, order: Operate) -> None:
        if self._driver is None or self._view.state is not LinkState.UP:
            order.reply(CommandResult(Outcome.LINK_DOWN, f"channel {self._view.spec.name} is {self._view.state.value}"))
            return
        control = next((one for one in self._driver.controls if one.cid == order.cid), None)
        if control is None:
            order.reply(CommandResult(Outcome.UNSUPPORTED, f"control {order.cid} is not on channel {self._view.spec.name}"))
            return
        work = self._wire.submit(self._step(order.step, control, order.value))
        work.add_done_callback(lambda done: order.reply(_result(done)))

    async def _step(self, step: str, control: Control, value: float) -> CommandResult:
        assert self._driver is not None
        match step:
            case "select":
                return await self._driver.select(control, value)
            case "execute":
                return await self._driver.execute(control, value)
            case _:
                return await self._driver.cancel(control, value)

    def _act(self, action: str, user: str) -> CommandResult:
        _log.info("channel action", channel=self._view.spec.name, action=action, user=user)
        match action:
            case "interrogate" | "synchronise_clock":
                if self._driver is None or self._view.state is not LinkState.UP:
                    return CommandResult(Outcome.LINK_DOWN, f"the channel is {self._view.state.value}")
                self._wire.submit(self._driver.interrogate() if action == "interrogate" else self._driver.synchronise_clock())
            case "reconnect":
                self._end("reconnect asked by " + user)
                self._set(LinkState.CONNECTING, "reconnect asked by " + user)
                self._begin()
            case "quarantine":
                self._end("quarantined by " + user)
                self._set(LinkState.QUARANTINED, "quarantined by " + user)
                self._alarm(up=False, reason=self._view.reason)
                self._note("channel.quarantined", user)
            case "release":
                if self._view.state is not LinkState.QUARANTINED:
                    return CommandResult(Outcome.REFUSED, "the channel is not quarantined")
                self._set(LinkState.CONNECTING, "released by " + user)
                self._note("channel.released", user)
                self._begin()
            case _:
                return CommandResult(Outcome.UNSUPPORTED, f"unknown action {action!r}")
        return CommandResult(Outcome.CONFIRMED)

    def _note(self, key: str, user: str) -> None:
        """Store an order that must outlive a restart."""
        spec, now = self._view.spec, self._clock.now_ns()
        parameters = {"channel": spec.name, "user": user}
        event = Event(now, EventKind.SYSTEM, AlarmClass.NOTICE, 3, key, parameters, mrid=spec.mrid, path=spec.name, actor=user)
        self._events.tell(Report((event,)))


def _result(done: Future[CommandResult]) -> CommandResult:
    if done.cancelled():
        return CommandResult(Outcome.LINK_DOWN, "the channel was stopped")
    error = done.exception()
    if error is not None:
        return CommandResult(Outcome.TIMEOUT, f"{type(error).__name__}: {error}")
    return done.result()
