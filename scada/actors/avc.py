"""AVC actor: automatic voltage control of all zones, on the ordinary control path with standing rights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.messages import DirectControl, DirectDone, ExplainAsked, ModelChanged, Report, SetState, Tick
from scada.actors.standing import Standing
from scada.apps.agc_avc.avc.controller import AvcController
from scada.apps.agc_avc.avc.network import VoltageNetwork
from scada.apps.agc_avc.avc.records import AvcDecision
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.control.desk import no_tags
from scada.control.records import ModeReply, Principal, SequenceState
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.settings import AvcSettings
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, Control, ModelTables
from scada.rtdb.changes import Snapshot

_log = structlog.get_logger("avc")


@dataclass(slots=True)
class AvcView:
    """AVC as of its last cycle; replaced as a whole, written by the AVC actor alone."""

    status: pb.AvcStatus = field(default_factory=lambda: pb.AvcStatus(state="off", reason="no cycle yet"))


class AvcActor(Actor):
    """Runs :class:`~scada.apps.agc_avc.avc.controller.AvcController` each cycle and sends its commands through the control actor.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: the model.
        network: sensitivities, None where the model has no network to compute them from.
        settings: cycle and state at start.
        snapshot: reads the database.
        control: carries the commands.
        events: told of state changes.
        principal: the standing rights of AVC.
        standing: orders of operators that hold since before this life.
        operations: operations of each device today and the time of the last one, from before a restart.
        view: where the status is published.
        clock: stamps and intervals.
        tags: which tags forbid a control to a value, empty if none does.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        network: VoltageNetwork | None,
        settings: AvcSettings,
        snapshot: Callable[[np.ndarray[Any, np.dtype[np.uint32]]], Snapshot],
        control: Address,
        events: Address,
        principal: Principal,
        standing: Callable[[], Standing],
        operations: Mapping[str, tuple[int, int]],
        view: AvcView,
        clock: Clock,
        tags: Callable[[Control, float], str] = no_tags,
    ) -> None:
        super().__init__(address, failed)
        self._controller = AvcController(tables.zones, settings, clock)
        self._tags = tags
        self._controls = [tables.controls[cid] for zone in tables.zones for cid in zone.controls]
        # a life after a failure goes on from the counts its forerunner published
        done = {row.mrid: (row.operations_today, row.last_operation_ns) for zone in view.status.zones for row in zone.devices}
        for mrid in {*operations, *done}:
            self._controller.restore_operations(mrid, *max(operations.get(mrid, (0, 0)), done.get(mrid, (0, 0))))
        self._tables = tables
        self._use_network(network)
        self._snapshot = snapshot
        self._control = control
        self._events = events
        self._principal = principal
        self._standing = standing
        self._view = view
        self._clock = clock
        self._told = ""
        self._references = settings.references
        self._plan_seen = -1
        self._plan_told = ""

    def started(self) -> None:
        """Take over what operators ordered, and publish zones and devices; the first cycle comes when measurements are there."""
        for request in self._standing().modes:
            if request.WhichOneof("target") == "avc":
                with contextlib.suppress(RegulationError):
                    self._controller.set_state(request.avc)
        if not self._view.status.zones:
            idle = AvcController(self._tables.zones, AvcSettings(start="off"), self._clock)
            self._view.status = avc_status(idle.cycle(Measurements(self._snapshot(self._pids)), None))
        self._view.status.state, self._view.status.reason = self._controller.condition, "no cycle yet"

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Tick():
                self._cycle()
            case DirectDone(cid, reply):
                if reply.state is SequenceState.SUCCESS:
                    self._controller.confirmed(cid)
                else:
                    _log.warning("avc command failed", cid=cid, code=reply.code, reason=reply.reason)
                    self._controller.refused(cid)
            case ModelChanged(generation):
                self._use_network(generation.network)
            case SetState(request, principal):
                return self._set(request, principal)
            case ExplainAsked():
                return None
            case _:
                return super().receive(message)
        return None

    def _use_network(self, network: VoltageNetwork | None) -> None:
        """Compute sensitivities in this network from now on."""
        self._network = network
        self._controller.use_network(network is not None)
        self._pids = self._controller.pids if network is None else np.union1d(self._controller.pids, network.pids)

    def _read_plan(self) -> None:
        """Take the plan of targets when its file changed; one with faults is refused, and what was in force stays."""
        place = self._references.path
        if not place:
            return
        path = Path(place)
        try:
            seen = path.stat().st_mtime_ns
            if seen == self._plan_seen:
                return
            self._plan_seen = seen
            self._controller.use_plan(path.name, path.read_text("utf-8"))
            text, refused = f"voltage targets of {path.name} in force", False
        except (OSError, UnicodeDecodeError, ScadaError) as error:
            text, refused = f"plan of voltage targets refused, what was in force stays: {error}", True
        if text != self._plan_told:
            self._plan_told = text
            self._tell("avc.notice", {"text": text}, suspended=refused)

    def _cycle(self) -> None:
        self._read_plan()
        inputs = Measurements(self._snapshot(self._pids), self._forbidden())
        sensitivity, why_not = (None, "no network model") if self._network is None else self._network.sensitivity(inputs)
        if why_not != self._told:
            self._told = why_not
            _log.info("avc sensitivities", state=why_not or "computed")
        decision = self._controller.cycle(inputs, sensitivity)
        for command in decision.commands:
            _log.info("avc command", cid=command.cid, value=command.value, why=command.why)
            self._control.tell(
                DirectControl(
                    command.cid,
                    command.value,
                    self._principal,
                    command.why,
                    lambda reply, cid=command.cid: self.address.tell(DirectDone(cid, reply)),  # type: ignore[misc]
                )
            )
        self._view.status = avc_status(decision)
        for notice in decision.notices:
            self._tell("avc.notice", {"text": notice}, suspended="suspend" in notice)

    def _forbidden(self) -> dict[int, str]:
        """Controls that a tag forbids to either side: where people work, they switch."""
        tags = self._tags
        return {control.cid: text for control in self._controls if (text := tags(control, 1.0) or tags(control, 2.0))}

    def _set(self, request: pb.SetModeRequest, principal: Principal) -> ModeReply:
        try:
            self._controller.set_state(request.avc)
        except RegulationError as error:
            return ModeReply(False, "invalid", str(error))
        if request.avc == "on":  # a person has looked at it: what was locked after refusals may be tried again
            for mrid in (*self._controller.sources, *self._controller.devices):
                self._controller.unlock(mrid)
        self._tell("avc.state", {"state": request.avc, "user": principal.name}, actor=principal.name)
        self._view.status.state = request.avc
        return ModeReply(True)

    def _tell(self, key: str, parameters: dict[str, str], *, suspended: bool = False, actor: str = "") -> None:
        alarm_class = AlarmClass.ABNORMAL if suspended else AlarmClass.NOTICE
        event = Event(self._clock.now_ns(), EventKind.AVC, alarm_class, 2 if suspended else 3, key, parameters, actor=actor)
        self._events.tell(Report((event,)))


def avc_status(decision: AvcDecision) -> pb.AvcStatus:
    """The decision as the API shows it: fields of the same name."""
    status = pb.AvcStatus(state=decision.state, reason=decision.reason, cycle_ns=decision.cycle_ns)
    for zone in decision.zones:
        shown = status.zones.add(
            name=zone.name,
            state=zone.state,
            reason=zone.reason,
            cause=zone.cause,
            suspensions=zone.suspensions,
            loading=zone.loading,
            qualified_today_percent=zone.qualified_today_percent,
        )
        for rows, target in ((zone.pilots, shown.pilots), (zone.sources, shown.sources), (zone.devices, shown.devices)):
            for row in rows:
                message = target.add()
                for part in message.DESCRIPTOR.fields:
                    setattr(message, part.name, getattr(row, part.name))
    for one in decision.advice:
        status.advice.add(mrid=one.mrid, value=one.value, why=one.why, discrete=one.discrete)
    status.evaluation.CopyFrom(
        pb.AvcEvaluation(**{name: getattr(decision.evaluation, name) for name in decision.evaluation.__slots__})
    )
    return status
