"""AVC actor: automatic voltage control of all zones, on the ordinary control path with standing rights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.messages import ModelChanged, Report, Tick
from scada.actors.order_messages import DirectControl, DirectDone, ExplainAsked, SetState
from scada.actors.regulator import Regulator
from scada.actors.standing import Standing
from scada.apps.agc_avc.avc.controller import AvcController
from scada.apps.agc_avc.avc.network import VoltageNetwork
from scada.apps.agc_avc.avc.records import AvcDecision
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.control.checks import no_tags
from scada.control.records import ModeReply, Principal, SequenceState
from scada.core.avc_settings import AvcSettings
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.quality import Quality
from scada.core.settings import CycleSettings
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
        cycles: where cycles are recorded.
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
        cycles: CycleSettings,
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
        self._events = events
        self._clock = clock
        self._tags = tags
        self._regulator = Regulator(
            lambda held: AvcController(tables.zones, settings, held),
            application="avc",
            name="",
            subject=tuple(tables.zones),
            settings=settings,
            model=tables.version,
            cycles=cycles,
            clock=clock,
            failed=lambda text: self._tell("avc.notice", {"text": text}),
        )
        self._controller = self._regulator.controller
        self._names = {source.mrid: source.name for zone in tables.zones for source in zone.sources}
        self._names |= {device.mrid: device.name for zone in tables.zones for device in zone.devices}
        self._controls = [tables.controls[cid] for zone in tables.zones for cid in zone.controls]
        # a life after a failure goes on from the counts its forerunner published
        done = {row.mrid: (row.operations_today, row.last_operation_ns) for zone in view.status.zones for row in zone.devices}
        for mrid in {*operations, *done}:
            self._controller.restore_operations(mrid, *max(operations.get(mrid, (0, 0)), done.get(mrid, (0, 0))))
        self._tables = tables
        self._network = network
        self._snapshot = snapshot
        self._control = control
        self._principal = principal
        self._standing = standing
        self._view = view
        self._told = ""
        self._front_end_lost = False
        self._references = settings.references
        self._plan_seen = -1
        self._plan_told = ""

    def started(self) -> None:
        """Take over what operators ordered, and publish zones and devices; the first cycle comes when measurements are there."""
        self._regulator.begin(self._points())
        self._regulator.order("use_network", self._network is not None)
        for request in self._standing().modes:
            with contextlib.suppress(RegulationError):
                self._order(request)
        if not self._view.status.zones:
            idle = AvcController(self._tables.zones, AvcSettings(start="off"), self._clock)
            self._view.status = avc_status(idle.cycle(Measurements(self._snapshot(idle.pids)), None))
        self._view.status.state, self._view.status.reason = self._controller.condition, "no cycle yet"

    def stopped(self) -> None:
        """End the recording."""
        self._regulator.close()

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Tick():
                self._cycle()
            case DirectDone(cid, reply):
                if reply.state is SequenceState.SUCCESS:
                    self._regulator.order("confirmed", cid)
                else:
                    _log.warning("avc command failed", cid=cid, code=reply.code, reason=reply.reason)
                    self._regulator.order("refused", cid)
            case ModelChanged(generation):
                self._network = generation.network
                self._regulator.order("use_network", self._network is not None)
                self._regulator.begin(self._points())
            case SetState(request, principal):
                return self._set(request, principal)
            case ExplainAsked(mrid):
                return self._controller.explain(mrid) if mrid in self._names else None
            case _:
                return super().receive(message)
        return None

    def _points(self) -> npt.NDArray[np.uint32]:
        """Points that a cycle reads, ascending."""
        own, network = self._controller.pids, self._network
        return own if network is None else np.union1d(own, network.pids)

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
            self._regulator.order("use_plan", path.name, path.read_text("utf-8"))
            text, refused = f"voltage targets of {path.name} in force", False
        except (OSError, UnicodeDecodeError, ScadaError) as error:
            text, refused = f"plan of voltage targets refused, what was in force stays: {error}", True
        if text != self._plan_told:
            self._plan_told = text
            self._tell("avc.notice", {"text": text}, suspended=refused)

    def _cycle(self) -> None:
        self._read_plan()
        snapshot, forbidden = self._snapshot(self._regulator.pids), self._forbidden()
        self._see_front_end(snapshot)
        inputs = Measurements(snapshot, forbidden)
        sensitivity, why_not = (None, "no network model") if self._network is None else self._network.sensitivity(inputs)
        if why_not != self._told:
            self._told = why_not
            _log.info("avc sensitivities", state=why_not or "computed")
        decision = self._regulator.cycle(snapshot, forbidden, sensitivity)
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

    def _see_front_end(self, snapshot: Snapshot) -> None:
        """Our own front end is lost if nothing that AVC reads has a connection any more."""
        lost = len(snapshot) > 0 and bool((snapshot.quality & np.uint32(Quality.COMM_LOST)).all())
        if lost != self._front_end_lost:
            self._front_end_lost = lost
            self._regulator.order("front_end", lost)

    def _forbidden(self) -> dict[int, str]:
        """Controls that a tag forbids to either side: where people work, they switch."""
        tags = self._tags
        return {control.cid: text for control in self._controls if (text := tags(control, 1.0) or tags(control, 2.0))}

    def _set(self, request: pb.SetModeRequest, principal: Principal) -> ModeReply:
        try:
            self._order(request)
        except RegulationError as error:
            return ModeReply(False, "invalid", str(error))
        user = {"user": principal.name}
        match request.WhichOneof("target"):
            case "avc":
                key, words = "avc.state", {"state": request.avc}
                self._view.status.state = self._controller.condition
            case "loop":
                loop = request.loop
                test = f" {loop.test_value:g}" if loop.loop == "test" else ""
                key, words = "avc.loop", {"device": self._names.get(loop.mrid, loop.mrid), "loop": f"{loop.loop}{test}"}
            case _:
                key, words = "avc.unlocked", {"device": self._names.get(request.unlock, request.unlock)}
        self._tell(key, words | user, actor=principal.name)
        return ModeReply(True)

    def _order(self, request: pb.SetModeRequest) -> None:
        """Carry out an order of a person; what is for others is passed over.

        Raises:
            RegulationError: it cannot be taken.
        """
        match request.WhichOneof("target"):
            case "avc":
                self._regulator.order("set_state", request.avc)
            case "loop" if request.loop.mrid in self._names:
                self._regulator.order("set_loop", request.loop.mrid, request.loop.loop, request.loop.test_value)
            case "unlock" if request.unlock in self._names:
                self._regulator.order("unlock", request.unlock)
            case "loop" | "unlock":
                mrid = request.loop.mrid or request.unlock
                raise RegulationError(f"no device or source {mrid!r} under AVC", mend="take the mRID from the AVC status")
            case _:
                pass

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
