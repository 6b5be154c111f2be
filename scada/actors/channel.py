"""Channel actor: owns one front-end channel and decides - connect, interrogate, command, quarantine. Values do not pass here."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import structlog

from scada.actors.base import Actor, Address
from scada.actors.channel_orders import ACTIONS, bounded, order_of, result_of
from scada.actors.messages import (
    ChannelAction,
    ChannelState,
    DriverEnded,
    LinkChanged,
    MarkQuality,
    Operate,
    Rebind,
    Record,
    Report,
    StopRecording,
    Tick,
)
from scada.actors.model_change import alike_in
from scada.actors.tracing import TraceHub
from scada.actors.wire import LOST, ChannelSink, Wire
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, ChannelSpec, Control
from scada.protocols.cleaning import CleaningCount
from scada.protocols.driver import ChannelStatistics, CommandResult, Driver, LinkState, Outcome

_log = structlog.get_logger("channel")

FIRST_CONNECT_S: Final = 10.0
"""A channel that is not up so long after its driver began to connect raises its alarm."""
FIRST_SIGN_S: Final = 30.0
"""A driver that has not even begun to connect so long after its start raises it too."""
CLOSE_S: Final = 5.0
"""Longest real time that a driver is given to close its connection before the next one begins."""
MODEL_CHANGED: Final = "the model was changed"
FLAPS: Final = 5
FLAP_S: Final = 600.0
"""So many losses within so long are said once; a channel that was quiet for as long may be said again."""


@dataclass(slots=True)
class ChannelView:
    """What a channel actor publishes for status pages; written by it alone.

    Attributes:
        spec: address and parameters.
        state, reason, since_ns: of the channel as a whole.
        statistics: counters since the start of the server, over every life of the driver.
        driver: that of the present life; None = the channel is closed.
        counted_at: monotonic seconds up to which time was counted; NaN = none was.
        known_s: time over which the channel was watched.
        up_s: part of it in which data flowed.
        cleaning: counts what the cleaning of its values found, where there is such a thing.
    """

    spec: ChannelSpec
    state: LinkState = LinkState.DOWN
    reason: str = "not started"
    since_ns: int = 0
    statistics: ChannelStatistics | None = None
    driver: Driver | None = None
    counted_at: float = math.nan
    known_s: float = 0.0
    up_s: float = 0.0
    cleaning: Callable[[], Sequence[CleaningCount]] | None = None


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
        hub: where the octets pass, for traces and recordings.
        recorder: writes recordings.
        sink: what the driver reports to.
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
        hub: TraceHub,
        recorder: Address,
        sink: ChannelSink,
    ) -> None:
        super().__init__(address, failed)
        self._sink = sink
        self._hub = hub
        self._recorder = recorder
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
        self._deadline = float("inf")
        self._told = False
        self._ended: asyncio.Event | None = None
        self._losses: deque[float] = deque(maxlen=FLAPS)
        self._flapping = False

    def started(self) -> None:
        """Begin to connect."""
        self._count_time(self._clock.monotonic())
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
                self._act(message)
            case Rebind():
                return self._rebind(message)
            case DriverEnded(reason):
                was_up = self._view.state is LinkState.UP
                self._end(reason)
                self._set(LinkState.DOWN, reason)
                if was_up:
                    self._alarm(up=False, reason=reason)
                raise DriverFailedError(reason, where=self._view.spec.name)
            case Tick():
                self._watch()
            case _:
                return super().receive(message)
        return None

    # ---------------------------------------------------------------- connection

    def _begin(self) -> None:
        driver = self._make()
        if self._view.statistics is not None:
            _carry_over(self._view.statistics, driver.statistics)
        self._driver = self._view.driver = driver
        self._view.statistics = driver.statistics
        self._hub.attach(driver)
        before, self._ended = self._ended, asyncio.Event()
        self._task = self._wire.submit(_life(driver, before, self._ended))
        self._task.add_done_callback(self._on_task_done)
        self._told, self._deadline = False, self._clock.monotonic() + FIRST_SIGN_S

    def _rebind(self, asked: Rebind) -> bool:
        """Take what another model version says of this channel; the connection stays if it can."""
        self._view.spec = asked.spec
        self._pids = np.array([point.pid for point in asked.points], dtype=np.uint32)
        driver = None if asked.elsewhere else self._driver
        if self._wire.submit(_rebound(driver, asked, self._sink, self._pids)).result(timeout=CLOSE_S):
            return True
        if self._view.state is LinkState.QUARANTINED:
            return False
        self._end(MODEL_CHANGED)
        self._set(LinkState.CONNECTING, MODEL_CHANGED)
        self._begin()
        return False

    def _on_task_done(self, task: Future[None]) -> None:
        if task is not self._task or task.cancelled():
            return
        error = task.exception()
        if not isinstance(error, CancelledError):
            self.address.tell(DriverEnded(f"the driver ended: {type(error).__name__}: {error}" if error else "the driver ended"))

    def _end(self, reason: str) -> None:
        task, self._task = self._task, None
        self._driver = self._view.driver = None
        self._hub.attach(None)
        if task is not None:
            task.cancel()
            if self._view.state in {LinkState.UP, LinkState.STANDBY} and self._view.statistics is not None:
                self._view.statistics.disconnects.append((self._clock.now_ns(), reason))
            self._lose(reason)

    def _on_link(self, state: LinkState, reason: str) -> None:
        if self._task is None:
            return
        if not self._told:
            self._told, self._deadline = True, self._clock.monotonic() + FIRST_CONNECT_S
        was_up = self._view.state is LinkState.UP
        self._set(state, reason)
        if state is LinkState.UP:
            self._deadline = float("inf")
            self._alarm(up=True, reason=reason)
        elif was_up:
            self._alarm(up=False, reason=reason)
            self._count_loss(reason)

    def _count_loss(self, reason: str) -> None:
        """Say once of a channel that it comes and goes: each of its alarms alone does not tell."""
        now = self._clock.monotonic()
        if self._losses and now - self._losses[-1] > FLAP_S:
            self._flapping = False
            self._losses.clear()
        self._losses.append(now)
        if len(self._losses) == FLAPS and now - self._losses[0] <= FLAP_S and not self._flapping:
            self._flapping = True
            parameters = {"count": str(FLAPS), "minutes": f"{FLAP_S / 60:g}", "reason": reason}
            self._note("channel.flapping", parameters, alarm_class=AlarmClass.ABNORMAL)

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
        """Count the time that passed, and raise the alarm of a channel that did not come up after its start."""
        now = self._clock.monotonic()
        if not self._alarmed and self._task is not None and now > self._deadline:
            waited = FIRST_CONNECT_S if self._told else FIRST_SIGN_S
            begun = "it began to connect" if self._told else "its start"
            self._alarm(up=False, reason=f"not up {waited:g} s after {begun}: {self._view.reason}")
        self._count_time(now)

    def _count_time(self, now: float) -> None:
        view = self._view
        elapsed = 0.0 if math.isnan(view.counted_at) else now - view.counted_at
        view.counted_at = now
        view.known_s += elapsed
        if view.state is LinkState.UP:
            view.up_s += elapsed

    def _set(self, state: LinkState, reason: str) -> None:
        if state is not LinkState.CONNECTING and (state, reason) != self._logged:
            self._logged = (state, reason)
            _log.info("channel", channel=self._view.spec.name, state=state.value, reason=reason)
        self._count_time(self._clock.monotonic())
        self._view.state = state
        self._view.reason = reason
        self._view.since_ns = self._clock.now_ns()

    # ---------------------------------------------------------------- orders

    def _operate(self, order: Operate) -> None:
        if self._driver is None or self._view.state is not LinkState.UP:
            order.reply(CommandResult(Outcome.LINK_DOWN, f"channel {self._view.spec.name} is {self._view.state.value}"))
            return
        asked = order.control
        control = next((one for one in self._driver.controls if one.cid == asked.cid), None)
        if control is None:
            order.reply(CommandResult(Outcome.UNSUPPORTED, f"control {asked.cid} is not on channel {self._view.spec.name}"))
            return
        if not alike_in(("mrid", "kind", "address", "select"), control, asked):
            order.reply(CommandResult(Outcome.REFUSED, "the channel reaches this control by another version of the model"))
            return
        work = self._wire.submit(self._step(order.step, control, order.value))
        work.add_done_callback(lambda done: order.reply(result_of(done)))

    async def _step(self, step: str, control: Control, value: float) -> CommandResult:
        assert self._driver is not None
        match step:
            case "select":
                return await self._driver.select(control, value)
            case "execute":
                return await self._driver.execute(control, value)
            case _:
                return await self._driver.cancel(control, value)

    def _act(self, asked: ChannelAction) -> None:
        """Carry out an order; its reply is called exactly once, with how it ended."""
        _log.info("channel action", channel=self._view.spec.name, action=asked.action, arguments=asked.arguments, user=asked.user)
        match asked.action:
            case "record":
                self._record(asked)
            case "stop_recording":
                self._recorder.tell(StopRecording(self._view.spec.name, asked.user, asked.reply))
            case "reconnect" | "quarantine" | "release":
                asked.reply(self._change(asked.action, asked.user))
            case _:
                self._order(asked)

    def _change(self, action: str, user: str) -> CommandResult:
        """Close or open the channel."""
        quarantined = self._view.state is LinkState.QUARANTINED
        match action:
            case "reconnect":
                if quarantined:
                    return CommandResult(Outcome.REFUSED, "the channel is quarantined: release it")
                self._end("reconnect asked by " + user)
                self._set(LinkState.CONNECTING, "reconnect asked by " + user)
                self._begin()
            case "quarantine":
                self._end("quarantined by " + user)
                self._set(LinkState.QUARANTINED, "quarantined by " + user)
                self._alarm(up=False, reason=self._view.reason)
                self._note("channel.quarantined", {"user": user}, user=user)
            case _:
                if not quarantined:
                    return CommandResult(Outcome.REFUSED, "the channel is not quarantined")
                self._set(LinkState.CONNECTING, "released by " + user)
                self._note("channel.released", {"user": user}, user=user)
                self._begin()
        return CommandResult(Outcome.CONFIRMED)

    def _order(self, asked: ChannelAction) -> None:
        """What the driver does; switching links and its own orders also while no data flows."""
        driver, state = self._driver, self._view.state
        if driver is None or (asked.action in {"interrogate", "synchronise_clock"} and state is not LinkState.UP):
            asked.reply(CommandResult(Outcome.LINK_DOWN, f"channel {self._view.spec.name} is {state.value}: {self._view.reason}"))
            return
        work = order_of(driver, asked.action, asked.arguments)
        if work is None:
            names = ", ".join((*ACTIONS, *driver.orders))
            asked.reply(CommandResult(Outcome.UNSUPPORTED, f"no action {asked.action!r}; this channel knows {names}"))
            return
        self._wire.submit(bounded(work)).add_done_callback(lambda done: asked.reply(result_of(done)))

    def _record(self, asked: ChannelAction) -> None:
        try:
            minutes, mb = (float(asked.arguments.get(name, "0") or 0) for name in ("minutes", "mb"))
        except ValueError:
            minutes = -1.0
        if not (0 <= minutes < float("inf") and 0 <= mb < float("inf")):
            asked.reply(CommandResult(Outcome.REFUSED, "minutes and mb must be numbers of 0 (as configured) or more"))
            return
        connected = self._view.state in {LinkState.UP, LinkState.STANDBY}
        self._recorder.tell(Record(self._view.spec, self._hub, connected, minutes, mb, asked.user, asked.reply))

    def _note(
        self, key: str, parameters: Mapping[str, str], *, user: str = "", alarm_class: AlarmClass = AlarmClass.NOTICE
    ) -> None:
        """Store an event of the channel."""
        spec, now = self._view.spec, self._clock.now_ns()
        told = {"channel": spec.name, **parameters}
        event = Event(now, EventKind.SYSTEM, alarm_class, 3, key, told, mrid=spec.mrid, path=spec.name, actor=user)
        self._events.tell(Report((event,)))


async def _rebound(driver: Driver | None, asked: Rebind, sink: ChannelSink, pids: np.ndarray[Any, np.dtype[np.uint32]]) -> bool:
    """Between two messages of the station; what moved is marked before its source is asked."""
    sink.rebind(pids, asked.moved)
    return driver is not None and driver.rebind(asked.points, asked.controls)


async def _life(driver: Driver, before: asyncio.Event | None, ended: asyncio.Event) -> None:
    """Run a driver once the one before it has closed its connection: a station may take only one at a time."""
    try:
        if before is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(before.wait(), CLOSE_S)
        await driver.run()
    finally:
        ended.set()


def _carry_over(old: ChannelStatistics, new: ChannelStatistics) -> None:
    """Counters run since the start of the server, not since that of a driver; ``new`` is already shared with its machine."""
    for each in fields(ChannelStatistics):
        setattr(new, each.name, getattr(old, each.name))
