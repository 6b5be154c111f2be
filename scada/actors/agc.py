"""AGC actor: automatic generation control of every controlled area, on the ordinary control path with standing rights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import structlog
from google.protobuf.message import Message
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.messages import ApplyDerived, Report, Tick
from scada.actors.order_messages import (
    DirectControl,
    DirectDone,
    ExplainAsked,
    SetBasePoint,
    SetInterchange,
    SetState,
    SetUnitLimits,
)
from scada.actors.performance import RegulationSampled, sample_of
from scada.actors.regulator import Regulator
from scada.actors.standing import Standing
from scada.apps.agc_avc.agc.controller import AgcController, AgcDecision
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.explanation import Explanation
from scada.control.checks import no_tags
from scada.control.records import ModeReply, Principal, SequenceState
from scada.core.agc_settings import AgcSettings
from scada.core.batch import PointBatch
from scada.core.clock import Clock
from scada.core.quality import Quality
from scada.core.settings import CycleSettings
from scada.events.records import Event, EventKind
from scada.model_cim.regulation import ControlArea
from scada.model_cim.tables import AlarmClass, Control, ModelTables
from scada.rtdb.changes import Snapshot

_log = structlog.get_logger("agc")

CALCULATED = int(Quality.CALCULATED)
_BESIDE = frozenset({"units", "dispatch", "areas", "performance", "performance_rules", "disturbances"})
"""Fields of the status that others know."""


@dataclass(slots=True)
class AgcView:
    """AGC as of its last cycle, by area; decisions are replaced as a whole, written by the AGC actor alone.

    A status is built for whoever asks, once for each cycle: that of 1 000 units takes longer than their regulation.
    """

    decisions: Mapping[str, AgcDecision] = field(default_factory=dict)
    areas: Sequence[str] = ()
    """Every controlled area."""
    _built: dict[str, tuple[AgcDecision, pb.AgcStatus]] = field(default_factory=dict)

    def of(self, area: str = "") -> pb.AgcStatus:
        """Status of an area, not to be changed; empty = the first; what is not known is off."""
        found = self._decision(area)
        if found is None:
            return self.head(area)
        built = self._built.get(found.area)
        if built is None or built[0] is not found:
            status = self.head(found.area)
            _add_units(status, found)
            self._built[found.area] = built = (found, status)
        return built[1]

    def head(self, area: str = "") -> pb.AgcStatus:
        """The same without the units."""
        found = self._decision(area)
        if found is None:
            return pb.AgcStatus(area=area, state="off", reason="no cycle yet")
        status = _area_status(found)
        status.areas.extend(self.areas)
        return status

    def _decision(self, area: str) -> AgcDecision | None:
        decisions = self.decisions
        return decisions.get(area) if area else next(iter(decisions.values()), None)


@dataclass(slots=True)
class _Area:
    """A controlled area and where its results are shown."""

    regulator: Regulator[AgcController]
    controls: Sequence[Control]
    ace_pid: int | None
    regulation_pid: int | None

    @property
    def area(self) -> ControlArea:
        return self.regulator.controller.area


class AgcActor(Actor):
    """Runs :class:`~scada.apps.agc_avc.agc.controller.AgcController` of each area; set-points go through the control actor.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: the model.
        settings: cycle, gains, state at start.
        cycles: where cycles are recorded.
        snapshot: reads the database.
        rtdb: gets ACE and requirement as points.
        control: carries the set-points.
        events: told of state changes.
        principal: the standing rights of AGC.
        standing: orders of operators that hold since before this life.
        view: where the status is published.
        clock: stamps.
        tags: which tags forbid a control to a value, empty if none does.
        performance: is offered a sample of each cycle; None = nobody keeps the accounts.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        settings: AgcSettings,
        cycles: CycleSettings,
        snapshot: Callable[[np.ndarray[Any, np.dtype[np.uint32]]], Snapshot],
        rtdb: Address,
        control: Address,
        events: Address,
        principal: Principal,
        standing: Callable[[], Standing],
        view: AgcView,
        clock: Clock,
        tags: Callable[[Control, float], str] = no_tags,
        performance: Address | None = None,
    ) -> None:
        super().__init__(address, failed)
        self._tags = tags
        self._performance = performance
        self._snapshot = snapshot
        self._rtdb = rtdb
        self._control = control
        self._events = events
        self._principal = principal
        self._standing = standing
        self._view = view
        self._clock = clock
        self._areas = [self._make(tables, area, settings, cycles) for area in controlled_areas(tables)]
        self._of_unit = {unit.mrid: one for one in self._areas for unit in one.area.units}
        self._of_control = {control.cid: one for one in self._areas for control in one.controls}
        self._names = {unit.mrid: unit.name for one in self._areas for unit in one.area.units}
        self._followed: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._refused: set[str] = set()

    def _make(self, tables: ModelTables, area: ControlArea, settings: AgcSettings, cycles: CycleSettings) -> _Area:
        regulator = Regulator(
            lambda clock: AgcController(area, settings, clock),
            application="agc",
            name=area.name,
            subject=area,
            settings=settings,
            model=tables.version,
            cycles=cycles,
            clock=self._clock,
            failed=lambda text: self._tell(area, "agc.notice", {"text": text}),
        )
        own = {point.expression: point.pid for point in tables.points if point.equipment == area.mrid}
        controls = [tables.controls[cid] for cid in area.controls]
        return _Area(regulator, controls, own.get("agc.ace"), own.get("agc.regulation"))

    def started(self) -> None:
        """Take over what operators ordered: what was switched off stays off. An order that was refused then is refused again."""
        for one in self._areas:
            one.regulator.begin()
        # what an area had in a former life is shown until its first cycle; an area that is no longer controlled is not
        names = self._view.areas = tuple(one.area.name for one in self._areas)
        self._view.decisions = {name: found for name, found in self._view.decisions.items() if name in names}
        for request in self._standing().modes:
            if request.WhichOneof("target") != "avc":
                with contextlib.suppress(RegulationError):
                    self._order(request)

    def stopped(self) -> None:
        """End the recordings."""
        for one in self._areas:
            one.regulator.close()

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Tick():
                for one in self._areas:
                    self._cycle(one)
            case DirectDone(cid, reply):
                regulator = self._of_control[cid].regulator
                if reply.state is SequenceState.SUCCESS:
                    regulator.order("confirmed", cid)
                else:
                    regulator.order("refused", cid, reply.reason or reply.code or reply.state.value)
            case SetInterchange() | SetBasePoint() | SetUnitLimits():
                self._follow_dispatch(message)
            case SetState(request, principal):
                return self._set(request, principal)
            case ExplainAsked(mrid):
                return self._explain(mrid)
            case _:
                return super().receive(message)
        return None

    # ------------------------------------------------------------ the cycle

    def _cycle(self, one: _Area) -> None:
        regulator = one.regulator
        forbidden = {control.cid: text for control in one.controls if (text := self._tags(control, math.nan))}
        decision: AgcDecision = regulator.cycle(self._snapshot(regulator.pids), forbidden)
        for setpoint in decision.setpoints:
            self._control.tell(
                DirectControl(
                    setpoint.cid,
                    setpoint.value,
                    self._principal,
                    setpoint.why,
                    lambda reply, cid=setpoint.cid: self.address.tell(DirectDone(cid, reply)),  # type: ignore[misc]
                )
            )
        if self._performance is not None:
            self._performance.offer(RegulationSampled(one.area, sample_of(decision)))
        self._publish_points(one, decision)
        self._view.decisions = {**self._view.decisions, one.area.name: decision}
        for notice in decision.notices:
            _log.info("agc", area=one.area.name, notice=notice)
            self._tell(one.area, "agc.notice", {"text": notice}, suspended="suspend" in notice)

    def _publish_points(self, one: _Area, decision: AgcDecision) -> None:
        pairs = [(one.ace_pid, decision.ace_mw), (one.regulation_pid, decision.regulation_mw)]
        known = [(pid, value) for pid, value in pairs if pid is not None]
        if not known:
            return
        pids, values = zip(*known, strict=True)
        quality = [CALCULATED | (int(Quality.INVALID) if np.isnan(value) else 0) for value in values]
        now = self._clock.now_ns()
        self._rtdb.tell(ApplyDerived(PointBatch.of(pids, values, quality=quality, received_at=now, source="agc")))

    # ------------------------------------------------------------ orders

    def _follow_dispatch(self, order: SetInterchange | SetBasePoint | SetUnitLimits) -> None:
        """Take what is in force; dispatch repeats it, so what is known is passed over and a fault is told once."""
        place: _Area | None
        match order:
            case SetInterchange(area, mw):
                place, name = next((one for one in self._areas if one.area.name == area), None), area
                call: tuple[Any, ...] = ("set_interchange", mw)
            case SetBasePoint(unit, mw, source):
                place, name, call = self._of_unit.get(unit), unit, ("set_base_point", unit, mw, source)
            case SetUnitLimits(unit, low, high, source):
                place, name, call = self._of_unit.get(unit), unit, ("set_limits", unit, low, high, source)
        what = (call[0], name)
        unlimited = call[0] == "set_limits" and math.isinf(call[2]) and math.isinf(call[3])
        if self._followed.get(what) == call[1:] or (unlimited and what not in self._followed):
            return
        fault = "" if place is not None else f"dispatch speaks of {name!r}, which is not under AGC"
        if place is not None:
            try:
                place.regulator.order(*call)
                self._followed[what] = call[1:]
            except RegulationError as error:
                fault = str(error)
        if fault and fault not in self._refused:
            self._refused.add(fault)
            _log.error("agc cannot follow dispatch", cause=fault)
            self._tell((place or self._areas[0]).area, "agc.notice", {"text": fault})

    def _set(self, request: pb.SetModeRequest, principal: Principal) -> ModeReply:
        try:
            one = self._order(request)
        except RegulationError as error:
            return ModeReply(False, "invalid", str(error))
        user = {"user": principal.name}
        match request.WhichOneof("target"):
            case "agc":
                key, words = "agc.state", {"state": request.agc}
            case "control_mode":
                key, words = "agc.control_mode", {"mode": request.control_mode}
            case "unit":
                unit = request.unit
                words = {"unit": self._names.get(unit.unit, unit.unit), "mode": f"{unit.base_mode} {unit.reg_mode}"}
                key = "agc.unit_mode"
            case "loop":
                loop = request.loop
                test = f" {loop.test_value:g} MW" if loop.loop == "test" else ""
                key, words = "agc.loop", {"unit": self._names.get(loop.mrid, loop.mrid), "loop": f"{loop.loop}{test}"}
            case "benchmarks":
                unit_name = self._names.get(request.benchmarks.unit, request.benchmarks.unit)
                key, words = "agc.benchmarks", {"unit": unit_name, "members": ", ".join(request.benchmarks.members)}
            case _:
                key, words = "agc.unlocked", {"unit": self._names.get(request.unlock, request.unlock)}
        self._tell(one.area, key, words | user, actor=principal.name)
        return ModeReply(True)

    def _order(self, request: pb.SetModeRequest) -> _Area:
        """Carry out an order of a person; returns the area it was for.

        Raises:
            RegulationError: it cannot be taken.
        """
        unit, loop = request.unit, request.loop
        match request.WhichOneof("target"):
            case "agc":
                one = self._area(request.area)
                one.regulator.order("set_state", request.agc)
            case "control_mode":
                one = self._area(request.area)
                one.regulator.order("set_control_mode", request.control_mode)
            case "unit":
                one = self._unit(unit.unit)
                one.regulator.order("set_unit_mode", unit.unit, unit.base_mode, unit.reg_mode, unit.base_point_mw)
            case "loop":
                one = self._unit(loop.mrid)
                one.regulator.order("set_loop", loop.mrid, loop.loop, loop.test_value)
            case "benchmarks":
                chosen = request.benchmarks
                one = self._unit(chosen.unit)
                one.regulator.order("choose_benchmarks", chosen.unit, list(chosen.members))
            case _:
                one = self._unit(request.unlock)
                one.regulator.order("unlock", request.unlock)
        return one

    def _area(self, name: str) -> _Area:
        if not name and len(self._areas) == 1:
            return self._areas[0]
        for one in self._areas:
            if one.area.name == name:
                return one
        names = ", ".join(one.area.name for one in self._areas)
        raise RegulationError(f"no control area {name!r}" if name else "several control areas: name one", mend=f"one of {names}")

    def _unit(self, mrid: str) -> _Area:
        if mrid not in self._of_unit:
            raise RegulationError(f"no unit {mrid!r} under AGC", mend="take the mRID from the AGC status")
        return self._of_unit[mrid]

    def _explain(self, mrid: str) -> Explanation | None:
        one = self._of_unit.get(mrid)
        return None if one is None else one.regulator.controller.explain(mrid)

    def _tell(self, area: ControlArea, key: str, parameters: dict[str, str], *, suspended: bool = False, actor: str = "") -> None:
        alarm_class = AlarmClass.ABNORMAL if suspended else AlarmClass.NOTICE
        event = Event(
            self._clock.now_ns(),
            EventKind.AGC,
            alarm_class,
            2 if suspended else 3,
            key,
            parameters,
            mrid=area.mrid,
            actor=actor,
        )
        self._events.tell(Report((event,)))


def controlled_areas(tables: ModelTables) -> list[ControlArea]:
    """The areas that AGC controls."""
    return [area for area in tables.areas if area.controlled]


def agc_status(decision: AgcDecision) -> pb.AgcStatus:
    """The decision as the API shows it: fields of the same name, messages within it too."""
    status = _area_status(decision)
    _add_units(status, decision)
    return status


def _area_status(decision: AgcDecision) -> pb.AgcStatus:
    status = pb.AgcStatus()
    _fill(status, decision, _BESIDE)
    return status


def _add_units(status: pb.AgcStatus, decision: AgcDecision) -> None:
    for unit in decision.units:
        shown = status.units.add()
        _fill(shown, unit, frozenset({"forbidden"}))
        shown.forbidden.extend(edge for zone in unit.forbidden for edge in (zone.low, zone.high))


@lru_cache
def _parts(kind: type[Message]) -> tuple[tuple[str, bool, bool], ...]:
    """Fields of a message: name, repeated, a message itself."""
    return tuple((part.name, part.is_repeated, part.message_type is not None) for part in kind.DESCRIPTOR.fields)


def _fill(message: Message, source: Any, beside: Collection[str] = ()) -> None:
    """Copy what a message has by name out of a record; fields in ``beside`` are left alone."""
    for name, repeated, nested in _parts(type(message)):  # type: ignore[arg-type]  # a class is hashable
        if name in beside:
            continue
        value = getattr(source, name)
        if not nested:
            if repeated:
                getattr(message, name).extend(value)
            else:
                setattr(message, name, value)
        elif repeated:
            for one in value:
                _fill(getattr(message, name).add(), one)
        else:
            inner = getattr(message, name)
            inner.SetInParent()
            _fill(inner, value)
