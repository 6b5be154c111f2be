"""AVC: holds the voltages of pilot nodes. Discrete devices first, by the nine-zone rule; continuous sources refine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from scada.apps.agc_avc.avc.device_explanation import explain_device
from scada.apps.agc_avc.avc.device_times import NEVER, Stopwatch
from scada.apps.agc_avc.avc.devices import LOOPS, DeviceControl
from scada.apps.agc_avc.avc.evaluation import AvcAccount
from scada.apps.agc_avc.avc.records import AvcCommand, AvcDecision, AvcEvaluation, AvcSensitivity, AvcState
from scada.apps.agc_avc.avc.reference_plan import read_plan
from scada.apps.agc_avc.avc.source_explanation import explain_source
from scada.apps.agc_avc.avc.sources import SourceControl
from scada.apps.agc_avc.avc.suspension import CAUSES, GRID_CAUSED
from scada.apps.agc_avc.avc.tertiary import TertiaryControl, VoltageReference
from scada.apps.agc_avc.avc.zone import ZoneControl
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.explanation import Explanation
from scada.apps.agc_avc.inputs import Measurements
from scada.core.avc_settings import AvcSettings, AvcTuning
from scada.core.clock import Clock
from scada.model_cim.regulation import VoltageZone

Wanted = Literal["on", "monitor", "off"]


class AvcController:
    """Automatic voltage control of all zones.

    Call :meth:`cycle` once a cycle and send the commands of the decision through the control path; tell the outcome of each by
    :meth:`confirmed` or :meth:`refused`. In one cycle each zone operates at most one discrete device. Nothing is sent while
    ``monitor``, ``off`` or ``suspended`` but the test command of an operator. A zone that cannot be regulated is suspended while
    the others go on.

    Args:
        zones: the zones with their pilot nodes, sources and devices.
        settings: state at start, devices, suspension, references.
        clock: for intervals between operations.
        tuning: further parameters, those of ``settings`` if None.

    Attributes:
        wanted: state that was ordered: ``on``, ``monitor`` or ``off``.
        pids: points that :class:`~scada.apps.agc_avc.inputs.Measurements` needs.
        pilots, sources, devices: mRIDs in the order of the rows and columns of :class:`AvcSensitivity`.
        account: what AVC is judged by.
    """

    def __init__(
        self, zones: Sequence[VoltageZone], settings: AvcSettings, clock: Clock, tuning: AvcTuning | None = None
    ) -> None:
        self.wanted: Wanted = settings.start
        self._settings = settings
        self._clock = clock
        tuning = tuning or settings.tuning
        self._zones: list[ZoneControl] = []
        rows = columns = places = 0
        for zone in zones:
            self._zones.append(ZoneControl(zone, settings, tuning, clock, row=rows, column=columns, place=places))
            rows, columns, places = rows + len(zone.pilots), columns + len(zone.sources), places + len(zone.devices)
        self.pilots = [pilot.mrid for zone in zones for pilot in zone.pilots]
        self.sources = [source.mrid for zone in zones for source in zone.sources]
        self.devices = [device.mrid for zone in zones for device in zone.devices]
        self.pids = np.array(sorted({int(pid) for zone in zones for pid in zone.points}), dtype=np.uint32)
        pilots = {zone.name: [pilot.mrid for pilot in zone.pilots] for zone in zones}
        self.account = AvcAccount(pilots, tuning.day_offset_s, cycle_s=settings.cycle_s)
        every_pilot = [pilot for zone in zones for pilot in zone.pilots]
        self._tertiary = TertiaryControl(every_pilot, settings.references, tuning.day_offset_s)
        self._reference = ""
        self._plan: tuple[str, str] = ("", "")
        self._actuators: dict[int, DeviceControl | SourceControl] = {}
        self._by_mrid: dict[str, DeviceControl | SourceControl] = {}
        for group in self._zones:
            for device in group.devices:
                self._actuators[device.device.control] = self._by_mrid[device.device.mrid] = device
            for source in group.sources:
                self._actuators[source.source.setpoint] = self._by_mrid[source.source.mrid] = source
        self._told: dict[str, str] = {}
        self._suspended = False
        self._unsolved = 0
        self._has_network = False
        self._front_end_lost = False
        self._watch = Stopwatch(clock)
        self._last: dict[str, tuple[AvcCommand, int, bool]] = {}
        """Last command or advice by mRID, when, and whether it was sent."""

    @property
    def condition(self) -> AvcState:
        """``off``, ``on``, ``monitor`` or ``suspended`` (wanted, but no zone can be regulated)."""
        return "suspended" if self._suspended and self.wanted != "off" else self.wanted

    # ------------------------------------------------------------ orders

    def set_state(self, state: str) -> None:
        """Switch on, to monitor (computes and advises, sends nothing) or off, from the next cycle.

        Raises:
            RegulationError: not a state.
        """
        if state not in ("on", "monitor", "off"):
            raise RegulationError(f"AVC has no state {state!r}", mend="use on, monitor or off")
        self.wanted = state  # type: ignore[assignment]

    def set_loop(self, mrid: str, loop: str, test_value: float = math.nan) -> None:
        """Close or open the loop of a device or source, or test it: then only the test value is sent, once.

        Raises:
            RegulationError: no such device, source or loop, or a test value that is not allowed.
        """
        control = self._find(mrid)
        if loop not in LOOPS:
            raise RegulationError(f"no loop {loop!r}", mend="use closed, open or test")
        control.set_loop(loop, test_value)

    def confirmed(self, cid: int) -> None:
        """The command on this control succeeded."""
        if cid in self._actuators:
            self._actuators[cid].confirmed()

    def refused(self, cid: int) -> None:
        """The command on this control failed; after several in a row the device or source is locked until :meth:`unlock`."""
        if cid in self._actuators:
            self._actuators[cid].refused()

    def unlock(self, mrid: str) -> None:
        """An operator opens the lock of a device or source, and acknowledges a trip of its protection.

        Raises:
            RegulationError: no such device or source.
        """
        self._find(mrid).unlock()

    def _find(self, mrid: str) -> DeviceControl | SourceControl:
        if mrid not in self._by_mrid:
            raise RegulationError(f"no device or source {mrid!r} under AVC", mend="take the mRID from the AVC status")
        return self._by_mrid[mrid]

    def use_plan(self, name: str, text: str) -> None:
        """Take a file of targets (:mod:`scada.apps.agc_avc.avc.reference_plan`); an empty text = none any more.

        Raises:
            PlanError: it has faults; what was in force stays.
        """
        if not text:
            self.use_reference(None)
            return
        pilots = [pilot for zone in self._zones for pilot in zone.zone.pilots]
        plan = read_plan(text, name, pilots, self._settings.tuning.day_offset_s)
        self.use_reference(plan, plan.digest)
        self._plan = (name, text)

    def use_reference(self, plan: VoltageReference | None, digest: str = "") -> None:
        """Take a plan of targets (None = none any more); its digest is shown in the status."""
        self._tertiary.use(plan)
        self._reference = digest if plan is not None else ""
        self._plan = ("", "")

    def use_network(self, present: bool) -> None:
        """Say whether there is a network to compute sensitivities from: without a solution for some cycles AVC then suspends."""
        self._has_network = present

    def front_end(self, lost: bool) -> None:
        """Say that our own front end is lost (nothing measured can be trusted to be recent) or back."""
        self._front_end_lost = lost

    def restore_operations(self, mrid: str, operations_today: int, last_operation_ns: int) -> None:
        """Give a device the count and last operation from before a restart; unknown devices are ignored (an edited model)."""
        device = self._by_mrid.get(mrid)
        if isinstance(device, DeviceControl):
            device.restore_count(operations_today, last_operation_ns)

    # ------------------------------------------------------------ the cycle

    def cycle(self, inputs: Measurements, sensitivity: AvcSensitivity | None) -> AvcDecision:
        """Run one cycle.

        Args:
            inputs: measurements.
            sensitivity: how voltages answer now; None or a matrix of another shape = unknown: then no continuous source is moved,
                and discrete devices are judged by an assumed effect on their own pilot node.
        """
        if sensitivity is not None and not self._fits(sensitivity):
            sensitivity = None
        now_ns = self._clock.now_ns()
        common = self._common(sensitivity)
        targets = self._tertiary.targets(now_ns)
        notices: list[str] = []
        for zone in self._zones:
            zone.read(inputs, targets)
            notices += zone.judge(common, sensitivity)
        notices += self._judge()
        commands: list[AvcCommand] = []
        for zone in self._zones:
            commands += zone.tested()
            if self.wanted != "off" and not zone.suspension.cause:
                commands += zone.act(sensitivity, send=self.wanted == "on")
        notices += self._changes()
        self._evaluate(commands, now_ns, math.nan if sensitivity is None else sensitivity.losses_mw)
        return self._decision(commands, notices, now_ns)

    def _fits(self, sensitivity: AvcSensitivity) -> bool:
        rows = len(self.pilots)
        return sensitivity.sources.shape == (rows, len(self.sources)) and sensitivity.devices.shape == (rows, len(self.devices))

    def _common(self, sensitivity: AvcSensitivity | None) -> str:
        """Cause of a suspension that stands for all zones; empty = none."""
        self._unsolved = self._unsolved + 1 if self._has_network and sensitivity is None else 0
        waited = self._watch.since("cycle")
        self._watch.start("cycle")
        if self._front_end_lost:
            return "front_end"
        if self._unsolved >= self._settings.suspend.unsolved_cycles:
            return "unsolved"
        return "late" if waited != NEVER and waited > self._settings.suspend.late_cycles * self._settings.cycle_s else ""

    def _judge(self) -> list[str]:
        before, self._suspended = self._suspended, all(zone.suspension.cause for zone in self._zones)
        if before == self._suspended or self.wanted == "off":
            return []
        return [f"AVC suspended: {self._why()}" if self._suspended else "AVC resumed"]

    def _why(self) -> str:
        causes = sorted({zone.suspension.cause for zone in self._zones if zone.suspension.cause}, key=list(CAUSES).index)
        return "; ".join(CAUSES[cause] for cause in causes) or "it has no zone"

    def _changes(self) -> list[str]:
        """What each zone says that it did not say in the last cycle."""
        notices = []
        for zone in self._zones:
            cause = zone.suspension.cause
            said = "; ".join(text for text in (f"suspended: {CAUSES[cause]}" if cause else "", zone.reason) if text)
            if said != self._told.get(zone.zone.name, ""):
                notices.append(f"zone {zone.zone.name}: {said or 'regulated'}")
            self._told[zone.zone.name] = said
        return notices

    def _reason(self) -> str:
        if self.wanted == "off":
            return "switched off"
        if self._suspended:
            return self._why()
        return "; ".join(f"{zone}: {said}" for zone, said in self._told.items() if said)

    def _evaluate(self, commands: Sequence[AvcCommand], now_ns: int, losses_mw: float) -> None:
        account = self.account
        elapsed = account.elapsed(now_ns)
        for zone in self._zones:
            rows = zip(zone.zone.pilots, zone.voltage.tolist(), strict=True)
            account.voltages(((pilot.mrid, kv, pilot.minimum, pilot.maximum) for pilot, kv in rows), elapsed)
            cause = zone.suspension.cause
            account.served(zone.zone.name, elapsed, counts=cause not in GRID_CAUSED, serves=self.wanted == "on" and not cause)
            for device in zone.devices:
                account.compliance.measured(device.device.mrid, device.position, now_ns)
            for source in zone.sources:
                account.compliance.measured(source.source.mrid, source.reactive, now_ns)
        account.devices(device for zone in self._zones for device in zone.devices)
        account.lost(losses_mw, elapsed)
        for command in commands:
            control = self._by_mrid[command.mrid]
            if isinstance(control, DeviceControl):
                account.compliance.commanded(command.mrid, control.aim, 0.0, now_ns)
            else:
                account.compliance.commanded(command.mrid, command.value, control.tolerance, now_ns)

    def _decision(self, commands: Sequence[AvcCommand], notices: Sequence[str], now_ns: int) -> AvcDecision:
        account = self.account
        advice = tuple(one for zone in self._zones for one in zone.advice)
        for sent, ones in ((False, advice), (True, commands)):
            self._last |= {one.mrid: (one, now_ns, sent) for one in ones}
        qualified = {mrid: account.qualified_today([mrid]) for mrid in self.pilots}
        return AvcDecision(
            state=self.condition,
            reason=self._reason(),
            cycle_ns=now_ns,
            zones=tuple(zone.decision(self.wanted, qualified, account.zone_today(zone.zone.name)) for zone in self._zones),
            commands=tuple(commands),
            notices=tuple(notices),
            advice=advice,
            evaluation=AvcEvaluation(
                qualified_percent=account.qualified_today(),
                compliance_percent=account.compliance.percent,
                commands=account.compliance.met + account.compliance.missed,
                availability_percent=account.available_today,
                operations=account.operations_today,
                losses_mwh=account.losses_today,
                reference=self._reference,
            ),
        )

    # ------------------------------------------------------------ why

    def explain(self, mrid: str) -> Explanation:
        """Why a device or source was told what it was told, or why it is left alone.

        Raises:
            RegulationError: no such device or source.
        """
        control = self._find(mrid)
        zone = next(zone for zone in self._zones if control in zone.devices or control in zone.sources)
        command, when, sent = self._last.get(mrid, (None, 0, False))
        if isinstance(control, DeviceControl):
            return explain_device(control, zone, command, when, sent=sent)
        return explain_source(control, zone, command, when, sent=sent)

    # ------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything that a later life needs to go on from here; orders of operators included."""
        return {
            "wanted": self.wanted,
            "zones": {zone.zone.name: zone.state() for zone in self._zones},
            "sources": {source.source.mrid: source.state() for zone in self._zones for source in zone.sources},
            "tertiary": self._tertiary.state(),
            "plan": list(self._plan),
            "account": self.account.state(),
            "told": dict(self._told),
            "suspended": self._suspended,
            "unsolved": self._unsolved,
            "has_network": self._has_network,
            "front_end_lost": self._front_end_lost,
            "watch": self._watch.state(),
            "last": {
                mrid: [one.cid, one.value, one.why, one.discrete, when, sent] for mrid, (one, when, sent) in self._last.items()
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; what the model no longer has is ignored."""
        self.wanted = state["wanted"]
        for zone in self._zones:
            if zone.zone.name in state["zones"]:
                zone.restore(state["zones"][zone.zone.name])
            for source in zone.sources:
                if source.source.mrid in state["sources"]:
                    source.restore(state["sources"][source.source.mrid])
        self._tertiary.restore(state["tertiary"])
        self.use_plan(*state["plan"])
        self.account.restore(state["account"])
        self._told = dict(state["told"])
        self._suspended, self._unsolved = bool(state["suspended"]), int(state["unsolved"])
        self._has_network, self._front_end_lost = bool(state["has_network"]), bool(state["front_end_lost"])
        self._watch.restore(state["watch"])
        self._remember(state["last"])

    def _remember(self, last: Mapping[str, Sequence[Any]]) -> None:
        self._last = {
            mrid: (AvcCommand(int(cid), mrid, float(value), str(why), discrete=bool(discrete)), int(when), bool(sent))
            for mrid, (cid, value, why, discrete, when, sent) in last.items()
            if mrid in self._by_mrid
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take over counts, locks and evaluation of an earlier life.

        What is wanted, loops, tests and plans are ordered anew, set-points begin at what is measured, targets where they stood,
        and whether the cycle came late, the network is there and the front end lives is seen anew.
        """
        for zone in self._zones:
            if zone.zone.name in state["zones"]:
                zone.resume(state["zones"][zone.zone.name])
            for source in zone.sources:
                if source.source.mrid in state["sources"]:
                    source.resume(state["sources"][source.source.mrid])
        self._tertiary.restore(state["tertiary"])
        self.account.resume(state["account"])
        self._remember(state["last"])
