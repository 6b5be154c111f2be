"""The swap of generations: a running server takes another model version without losing a value.

The order matters, and each step leaves what came before it usable:

1. The numbers of the version are kept, on disk: none is ever given to something else, whatever happens next.
2. Controls that change are refused, what is selected on them is withdrawn, and what is being executed may end.
3. Between two commits the database gets its room, the generation becomes the one that runs (:attr:`System.generation`), and
   every follower of the changes finds the new model in its mailbox just there, between the change sets.
4. Data cleaning, then channels one by one: those that give points away, those that change, those that are new.
5. Points that the model no longer has, or whose source is gone, are marked: their last value is not shown as live.
6. Controls, operator data, applications and upstream stations follow, those alone whose inputs changed. Points that were measured
   and are calculated now are shown again: a last measured value may have come after the first result.

If a step fails, the generation before takes over again in the same way.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pykka
import structlog

from scada.actors.agc import controlled_areas
from scada.actors.base import Address, Factory
from scada.actors.dispatch_requests import bounds_of
from scada.actors.generation import Generation, SwapReport, unconfigured
from scada.actors.messages import AdoptControls, Grow, ModelChanged, Rebind, RecordedChannels, ReserveControls, ShowAgain
from scada.actors.model_change import ModelChange, alike, compare, same_channel, same_stations, used_by_area, used_by_zones
from scada.actors.upstreams import Upstreams
from scada.actors.wire import LOST, ChannelSink
from scada.apps.calc.graph import CalcGraph
from scada.core.errors import ScadaError
from scada.events.alarms import AlarmEngine
from scada.model_cim.numbers import Numbers, keep_numbers, kept_numbers, with_tombstones
from scada.protocols.cleaning import Cleaner
from scada.protocols.registry import make_driver

if TYPE_CHECKING:
    from scada.actors.system import System

_log = structlog.get_logger("model")

ANSWER_S = 20.0
"""Longest real time that one actor is given for its part."""
LOOK_S = 0.05
"""Time between two looks whether they have ended."""
EXECUTION_S = 12.0
"""Longest time that a control which the model changes is given to end; longer than a station may take for its answer."""


@dataclass(slots=True)
class _Progress:
    """What has been done so far."""

    channels_started: list[str] = field(default_factory=list)
    channels_stopped: list[str] = field(default_factory=list)
    channels_restarted: list[str] = field(default_factory=list)
    channels_rebound: list[str] = field(default_factory=list)
    actors_restarted: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    cancelled: int = 0
    writer_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Kit:
    """What one swap uses up.

    Attributes:
        asked: the generation it is for.
        numbers: those kept when it was made.
        changed: what the actors take over, with the generation as it will run.
        cleaner: judges values by it.
    """

    asked: Generation
    numbers: Numbers
    changed: ModelChanged
    cleaner: Cleaner


class Swap:
    """Carries out swaps, one at a time, from any thread but those of the actors that take part.

    Args:
        system: what runs.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._lock = threading.Lock()
        self._back: _Kit | None = None
        """What the way back to the generation before needs, made when there was time."""

    def to(self, generation: Generation) -> SwapReport:
        """See :meth:`scada.actors.system.System.swap`."""
        with self._lock:
            began = time.monotonic()
            before = self._system.generation
            progress = _Progress()
            try:
                change = self._carry_out(generation, progress)
            except Exception as error:  # noqa: BLE001 - whatever it is, the server goes on
                reason = str(error) if isinstance(error, ScadaError) else f"{type(error).__name__}: {error}"
                _log.error("the model was not changed", cause=reason)
                return self._failed(before, progress, reason, began)
            report = _report(self._system.generation, progress, change)
            report = replace(report, total_s=time.monotonic() - began)
            _log.info("the model was changed", version=report.version[:12], writer_ms=report.writer_ns / 1e6)
            self._back = self._kit(before)
            return report

    # ---------------------------------------------------------------- the steps

    def _carry_out(self, asked: Generation, progress: _Progress) -> ModelChange:
        system, before = self._system, self._system.generation
        kept = kept_numbers(system.settings.rtdb.path)
        keep_numbers(system.settings.rtdb.path, with_tombstones(asked.tables, kept))
        kit, self._back = self._back, None
        if kit is None or kit.asked is not asked or kit.numbers != kept:
            kit = self._kit(asked)
        generation, changed, cleaner = kit.changed.generation, kit.changed, kit.cleaner
        tables = generation.tables
        change = compare(before.tables, tables, before.channels, generation.channels)
        self._try_drivers(generation, change)
        progress.warnings += unconfigured(tables, system.settings)
        leaving = system.upstreams
        stations = Upstreams(system.settings, tables, before=leaving)
        same = same_stations(leaving.stations, stations.stations, change)
        stations.keep(leaving, same)
        for station in stations.stations:
            system.stores.open_queue(station)
        points = len(tables.points)
        reserve = system.store.reserve(points) if points > system.store.capacity else None
        try:
            system.programmes.ask(ReserveControls(change.controls)).get(timeout=ANSWER_S)
            progress.cancelled += self._reserve_controls(change.controls)
            self._grow(Grow(reserve, changed, lambda: self._point_to(generation, stations)), progress)
        except BaseException:
            if system.generation is before:  # nothing has changed: the controls are free again
                system.control.ask(AdoptControls(before)).get(timeout=ANSWER_S)
            raise
        system.wire.submit(_on_loop(lambda: system.cleaning.swap(cleaner))).result(timeout=ANSWER_S)
        self._change_channels(generation, change, progress)
        nowhere = [pid for pid in change.moved if tables.points[pid].channel < 0]
        self._mark([*change.removed, *nowhere])
        system.control.ask(AdoptControls(generation)).get(timeout=ANSWER_S)
        system.programmes.ask(AdoptControls(generation)).get(timeout=ANSWER_S)
        system.recaller.use(tables)
        system.operator.ask(changed).get(timeout=ANSWER_S)
        for derives in (system.calc, system.topology):
            derives.tell(ShowAgain(nowhere))
        gone = [before.channels[index].name for index in change.stopped]
        system.recorder.tell(RecordedChannels(system.recorded(), tables.version, gone))
        self._change_applications(before, generation, change, changed, progress)
        self._change_stations(leaving, stations, same, progress)
        return change

    def _kit(self, asked: Generation) -> _Kit:
        """What actors take over with a generation, each of it for one swap only."""
        system = self._system
        numbers = kept_numbers(system.settings.rtdb.path)
        generation = asked.extended(numbers, system.next_number())
        points = generation.tables.points
        alarms = AlarmEngine(points, system.clock, system.log.next_id, system.settings.alarms)
        changed = ModelChanged(generation, alarms, CalcGraph(points, system.zone))
        return _Kit(asked, numbers, changed, Cleaner(points, len(generation.tables.channels)))

    def _try_drivers(self, generation: Generation, change: ModelChange) -> None:
        """Make the drivers that will be needed once for nothing: what cannot be reached so is refused before anything changed.

        Raises:
            ConfigError: a channel's parameters or addresses cannot be used.
        """
        system, tables = self._system, generation.tables
        for index in (*change.started, *change.restarted, *change.rebound):
            points, controls = tables.points_of_channel(index), tables.controls_of_channel(index)
            sink = ChannelSink(system.feed, Address("nobody"), lambda _kind, _text: None, system.clock)
            make_driver(generation.channels[index], points, controls, sink, system.clock, system.drivers)

    def _point_to(self, generation: Generation, stations: Upstreams) -> Sequence[Address]:
        """In the database's thread, between two commits."""
        self._system.generation, self._system.upstreams = generation, stations
        return stations.addresses

    def _grow(self, grow: Grow, progress: _Progress) -> None:
        system = self._system
        stopped_ns, answers = system.rtdb.ask(grow).get(timeout=ANSWER_S)
        progress.writer_ns = max(progress.writer_ns, stopped_ns)
        for answer in answers:
            try:
                answer.get(timeout=ANSWER_S)
            except pykka.Timeout:  # it is down or far behind; its next life, or the message that waits for it, brings the model
                progress.warnings.append("an actor that follows the database has not taken the model yet: see their states")

    def _reserve_controls(self, cids: frozenset[int]) -> int:
        """Refuse the controls that change, and wait, not for ever, for the answers of stations that were told to execute."""
        if not cids:
            return 0
        system, withdrawn = self._system, 0
        deadline = time.monotonic() + EXECUTION_S
        while True:
            now_withdrawn: int
            now_withdrawn, executing = system.control.ask(ReserveControls(cids)).get(timeout=ANSWER_S)
            withdrawn += now_withdrawn
            if not executing or time.monotonic() >= deadline:
                return withdrawn
            time.sleep(LOOK_S)

    # ---------------------------------------------------------------- channels

    def _change_channels(self, generation: Generation, change: ModelChange, progress: _Progress) -> None:
        """Those that give points away before those that take them; the others learn nothing but their record."""
        system, channels = self._system, generation.channels
        gone = [index for index, view in system.views.items() if index not in channels or channels[index].name != view.spec.name]
        for index in sorted(gone):
            progress.channels_stopped.append(system.views[index].spec.name)
            system.supervisor.stop([system.channels[index].name])
            system.remove_channel(index)
        giving = {
            then.channel
            for then, now in zip(change.before.points, change.after.points, strict=False)
            if then.channel != now.channel
        }
        touched = {*change.rebound, *change.restarted} & system.views.keys()
        for index in sorted(touched, key=lambda index: (index not in giving, index)):
            self._rebind(generation, change, index, progress)
        for index, view in system.views.items():
            view.spec = channels[index]
        fresh = sorted(channels.keys() - system.views.keys())
        quarantined = system.standing().quarantined if fresh else {}
        for index in fresh:
            system.add_channel(index, quarantined)
            self._mark([pid for pid in change.moved if generation.tables.points[pid].channel == index])
            system.supervisor.start(system.channels[index], system.lives.channel(index))
            progress.channels_started.append(channels[index].name)

    def _mark(self, pids: Sequence[int]) -> None:
        """Behind the last value of the source before: it is not shown as live."""
        marked = np.array(pids, dtype=np.uint32)
        self._system.wire.submit(_on_loop(lambda: self._system.feed.mark(marked, LOST))).result(timeout=ANSWER_S)

    def _rebind(self, generation: Generation, change: ModelChange, index: int, progress: _Progress) -> None:
        system, tables, spec = self._system, generation.tables, generation.channels[index]
        moved = [pid for pid in change.moved if tables.points[pid].channel == index]
        rebind = Rebind(
            spec,
            tables.points_of_channel(index),
            tables.controls_of_channel(index),
            np.array(moved, dtype=np.uint32),
            elsewhere=not same_channel(system.views[index].spec, spec),
        )
        stays = system.channels[index].ask(rebind).get(timeout=ANSWER_S)
        (progress.channels_rebound if stays else progress.channels_restarted).append(spec.name)

    # ---------------------------------------------------------------- who acts by the model

    def _change_applications(
        self, before: Generation, after: Generation, change: ModelChange, changed: ModelChanged, progress: _Progress
    ) -> None:
        system = self._system
        if not alike(bounds_of(before.tables), bounds_of(after.tables)):
            self._replace(system.dispatch, progress)
        if change.uses(*used_by_zones(after.tables)) or not alike(before.tables.zones, after.tables.zones):
            self._replace(system.avc, progress)
        elif pickle.dumps(before.network) != pickle.dumps(after.network):
            system.avc.ask(changed).get(timeout=ANSWER_S)
        areas = controlled_areas(before.tables), controlled_areas(after.tables)
        match areas:
            case [], []:
                pass
            case [], _:
                self._start(system.agc, system.lives.agc, progress)
            case _, []:
                system.supervisor.retire(system.agc.name)
                system.agc_view.decisions, system.agc_view.areas = {}, ()
                progress.actors_restarted.append(system.agc.name)
            case one, other:
                used = any(change.uses(*used_by_area(tables)) for tables in (before.tables, after.tables))
                if used or not alike(one, other):
                    self._replace(system.agc, progress)

    def _replace(self, address: Address, progress: _Progress) -> None:
        self._system.supervisor.replace(address.name)
        progress.actors_restarted.append(address.name)

    def _start(self, address: Address, factory: Factory, progress: _Progress) -> None:
        if not self._system.supervisor.knows(address.name):
            self._system.supervisor.start(address, factory)
            progress.actors_restarted.append(address.name)

    def _change_stations(self, leaving: Upstreams, stations: Upstreams, same: Container[str], progress: _Progress) -> None:
        system = self._system
        known = {station.mrid for station in leaving.stations}
        present = {station.mrid for station in stations.stations}
        for mrid in known - present:
            system.supervisor.stop([leaving.address(mrid).name])
        stations.start()
        for mrid in present - known:
            system.supervisor.stop([stations.address(mrid).name])  # of a swap that failed before it came to the stations that go
            self._start(stations.address(mrid), system.lives.upstream(mrid), progress)
        for mrid in present & known:
            if mrid not in same:
                self._replace(stations.address(mrid), progress)
        stations.forget_others(system.store)

    # ---------------------------------------------------------------- failure

    def _failed(self, before: Generation, progress: _Progress, reason: str, began: float) -> SwapReport:
        """Let the generation before go on, or take over again."""
        system = self._system
        if system.generation is not before:
            try:
                self._carry_out(before, progress)
            except Exception as error:  # noqa: BLE001 - said, and the server goes on with what it has
                _log.exception("the generation before could not be restored whole")
                reason += f"; and what ran before could not be restored whole: {error}"
            else:
                reason += "; what ran before runs again"
        tables = system.generation.tables
        return SwapReport(
            system.generation.number,
            tables.version,
            done=False,
            reason=reason,
            warnings=tuple(progress.warnings),
            cancelled=progress.cancelled,
            writer_ns=progress.writer_ns,
            total_s=time.monotonic() - began,
        )


def _report(generation: Generation, progress: _Progress, change: ModelChange) -> SwapReport:
    return SwapReport(
        generation.number,
        generation.tables.version,
        done=True,
        warnings=tuple(progress.warnings),
        points_added=change.added,
        points_removed=change.removed,
        points_moved=change.moved,
        channels_started=tuple(progress.channels_started),
        channels_stopped=tuple(progress.channels_stopped),
        channels_restarted=tuple(progress.channels_restarted),
        channels_rebound=tuple(progress.channels_rebound),
        actors_restarted=tuple(progress.actors_restarted),
        cancelled=progress.cancelled,
        writer_ns=progress.writer_ns,
    )


async def _on_loop(work: Callable[[], None]) -> None:
    work()
