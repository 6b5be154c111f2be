"""AGC actor: one control area's automatic generation control, on the ordinary control path with standing rights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.messages import (
    ApplyDerived,
    DirectControl,
    DirectDone,
    Report,
    SetBasePoint,
    SetInterchange,
    SetState,
    Tick,
)
from scada.actors.standing import Standing
from scada.apps.agc_avc.agc.controller import AgcController, AgcDecision
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.control.desk import no_tags
from scada.control.records import ModeReply, Principal, SequenceState
from scada.core.batch import PointBatch
from scada.core.agc_settings import AgcSettings
from scada.core.clock import Clock
from scada.core.quality import Quality
from scada.events.records import Event, EventKind
from scada.model_cim.regulation import ControlArea
from scada.model_cim.tables import AlarmClass, Control, ModelTables
from scada.rtdb.changes import Snapshot

_log = structlog.get_logger("agc")

CALCULATED = int(Quality.CALCULATED)


@dataclass(slots=True)
class AgcView:
    """AGC as of its last cycle; replaced as a whole, written by the AGC actor alone."""

    status: pb.AgcStatus = field(default_factory=lambda: pb.AgcStatus(state="off", reason="no cycle yet"))


class AgcActor(Actor):
    """Runs :class:`~scada.apps.agc_avc.agc.controller.AgcController` each cycle; its set-points go through the control actor.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: the model.
        area: the controlled area.
        settings: cycle, gains, state at start.
        snapshot: reads the database.
        rtdb: gets ACE and requirement as points.
        control: carries the set-points.
        events: told of state changes.
        principal: the standing rights of AGC.
        standing: orders of operators that hold since before this life.
        view: where the status is published.
        clock: stamps.
        tags: which tags forbid a control to a value, empty if none does.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        area: ControlArea,
        settings: AgcSettings,
        snapshot: Callable[[np.ndarray[Any, np.dtype[np.uint32]]], Snapshot],
        rtdb: Address,
        control: Address,
        events: Address,
        principal: Principal,
        standing: Callable[[], Standing],
        view: AgcView,
        clock: Clock,
        tags: Callable[[Control, float], str] = no_tags,
    ) -> None:
        super().__init__(address, failed)
        self._controller = AgcController(area, settings, clock)
        self._tags = tags
        self._setpoints = [tables.controls[cid] for cid in area.controls]
        self._snapshot = snapshot
        self._rtdb = rtdb
        self._control = control
        self._events = events
        self._principal = principal
        self._standing = standing
        self._view = view
        self._clock = clock
        self._names = {unit.mrid: unit.name for unit in area.units}
        self._refused: set[str] = set()
        own = {point.expression: point.pid for point in tables.points if point.equipment == area.mrid}
        self._ace_pid, self._regulation_pid = own.get("agc.ace"), own.get("agc.regulation")

    def started(self) -> None:
        """Take over what operators ordered: what was switched off stays off. An order that was refused then is refused again."""
        for request in self._standing().modes:
            if request.WhichOneof("target") in {"agc", "unit"}:
                with contextlib.suppress(RegulationError):
                    self._order(request)

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Tick():
                self._cycle()
            case DirectDone(cid, reply):
                if reply.state is SequenceState.SUCCESS:
                    self._controller.confirmed(cid)
                else:
                    self._controller.refused(cid, reply.reason or reply.code or reply.state.value)
            case SetInterchange() | SetBasePoint():
                self._follow_dispatch(message)
            case SetState(request, principal):
                return self._set(request, principal)
            case _:
                return super().receive(message)
        return None

    def _follow_dispatch(self, order: SetInterchange | SetBasePoint) -> None:
        """Take what is in force; dispatch repeats it, so a fault is told once."""
        try:
            match order:
                case SetInterchange(area, mw) if area == self._controller.area.name:
                    self._controller.set_interchange(mw)
                case SetBasePoint(unit, mw):
                    self._controller.set_base_point(unit, mw)
        except RegulationError as error:
            if str(error) not in self._refused:
                self._refused.add(str(error))
                _log.error("agc cannot follow dispatch", cause=str(error))
                self._tell("agc.notice", {"text": str(error)})

    def _cycle(self) -> None:
        forbidden = {control.cid: text for control in self._setpoints if (text := self._tags(control, math.nan))}
        decision = self._controller.cycle(Measurements(self._snapshot(self._controller.pids), forbidden))
        for setpoint in decision.setpoints:
            self._control.tell(
                DirectControl(
                    setpoint.cid,
                    setpoint.mw,
                    self._principal,
                    setpoint.why,
                    lambda reply, cid=setpoint.cid: self.address.tell(DirectDone(cid, reply)),  # type: ignore[misc]
                )
            )
        self._publish_points(decision)
        self._view.status = agc_status(decision)
        for notice in decision.notices:
            _log.info("agc", notice=notice)
            self._tell("agc.notice", {"text": notice}, suspended="suspend" in notice)

    def _publish_points(self, decision: AgcDecision) -> None:
        pairs = [(self._ace_pid, decision.ace_mw), (self._regulation_pid, decision.regulation_mw)]
        known = [(pid, value) for pid, value in pairs if pid is not None]
        if not known:
            return
        pids, values = zip(*known, strict=True)
        quality = [CALCULATED | (int(Quality.INVALID) if np.isnan(value) else 0) for value in values]
        now = self._clock.now_ns()
        self._rtdb.tell(ApplyDerived(PointBatch.of(pids, values, quality=quality, received_at=now, source="agc")))

    def _set(self, request: pb.SetModeRequest, principal: Principal) -> ModeReply:
        try:
            self._order(request)
        except RegulationError as error:
            return ModeReply(False, "invalid", str(error))
        unit, user = request.unit, principal.name
        if request.WhichOneof("target") == "agc":
            self._tell("agc.state", {"state": request.agc, "user": user}, actor=user)
        else:
            mode = f"{unit.base_mode} {unit.reg_mode}"
            self._tell("agc.unit_mode", {"unit": self._names.get(unit.unit, unit.unit), "mode": mode, "user": user}, actor=user)
        return ModeReply(True)

    def _order(self, request: pb.SetModeRequest) -> None:
        unit = request.unit
        if request.WhichOneof("target") == "unit":
            self._controller.set_unit_mode(unit.unit, unit.base_mode, unit.reg_mode, unit.base_point_mw)
        else:
            self._controller.set_state(request.agc)

    def _tell(self, key: str, parameters: dict[str, str], *, suspended: bool = False, actor: str = "") -> None:
        alarm_class = AlarmClass.ABNORMAL if suspended else AlarmClass.NOTICE
        area = self._controller.area
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


def agc_status(decision: AgcDecision) -> pb.AgcStatus:
    """The decision as the API shows it."""
    names = [f.name for f in pb.AgcStatus.DESCRIPTOR.fields if f.name not in {"units", "dispatch"}]
    status = pb.AgcStatus(**{name: getattr(decision, name) for name in names})
    for unit in decision.units:
        shown = {f.name: getattr(unit, f.name) for f in pb.AgcUnitStatus.DESCRIPTOR.fields if f.name != "forbidden"}
        status.units.add(**shown, forbidden=[edge for zone in unit.forbidden for edge in (zone.low, zone.high)])
    return status
