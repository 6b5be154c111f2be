"""One AVC zone: judges its pilot nodes, operates at most one discrete device a cycle, then lets its continuous sources refine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scada.apps.agc_avc.avc.devices import DeviceControl
from scada.apps.agc_avc.avc.discrete import DiscreteControl, Operation, Situation
from scada.apps.agc_avc.avc.locks import Lock
from scada.apps.agc_avc.avc.nine_zone import nine_zone_table
from scada.apps.agc_avc.avc.records import AvcCommand, AvcSensitivity, AvcState, PilotDecision, ZoneDecision
from scada.apps.agc_avc.avc.secondary import SecondaryControl, ZoneVoltages
from scada.apps.agc_avc.avc.sources import SourceControl
from scada.apps.agc_avc.avc.suspension import CAUSES, Suspension
from scada.apps.agc_avc.avc.tertiary import Target
from scada.apps.agc_avc.inputs import Measurements
from scada.core.avc_settings import AvcSettings, AvcTuning
from scada.core.clock import Clock
from scada.model_cim.regulation import PilotNode, VoltageZone

F8 = npt.NDArray[np.float64]

_SMALLEST_DEADBAND = 1e-3
"""kV; a dead band of nothing must not divide."""

PilotFault = Literal["", "missing", "suspect", "dead", "implausible"]


class ZoneControl:
    """State of one zone.

    Args:
        zone: the zone.
        settings: devices, suspension.
        tuning: further parameters.
        clock: for intervals.
        rows, columns, places: its pilots, sources and devices among those of the controller.

    Attributes:
        reason: what is missing, or what it waits for.
        advice: what would be sent to open loops, after :meth:`act`.
    """

    def __init__(
        self, zone: VoltageZone, settings: AvcSettings, tuning: AvcTuning, clock: Clock, *, row: int, column: int, place: int
    ) -> None:
        self.zone = zone
        self.reason = ""
        self.advice: list[AvcCommand] = []
        self.sources = [SourceControl(source, tuning) for source in zone.sources]
        self.secondary = SecondaryControl(zone, self.sources, tuning)
        self.devices = [DeviceControl(device, clock, tuning, settings.discrete) for device in zone.devices]
        self.suspension = Suspension(settings.suspend.resume_cycles)
        rules = settings.discrete
        table = nine_zone_table(rules.nine_zone, rules.zones.get(zone.name, {}))
        self.discrete = DiscreteControl(zone.pilots, self.devices, table, tuning, rules, clock)
        self._rows = slice(row, row + len(zone.pilots))
        self._columns = slice(column, column + len(zone.sources))
        self._places = slice(place, place + len(zone.devices))
        self._tuning = tuning
        self._suspend = settings.suspend
        count = len(zone.pilots)
        self.voltage: F8 = np.full(count, math.nan)
        self._faults: list[PilotFault] = ["missing"] * count
        self.target = np.array([pilot.target for pilot in zone.pilots])
        self._targets: Sequence[Target] = [Target(pilot.target, "model", "") for pilot in zone.pilots]
        self._deadband = np.array([_deadband(pilot, tuning) for pilot in zone.pilots])
        self._minimum = np.array([pilot.minimum for pilot in zone.pilots])
        self._maximum = np.array([pilot.maximum for pilot in zone.pilots])
        self._measured = False

    # ------------------------------------------------------------ measurements

    def read(self, inputs: Measurements, targets: Mapping[str, Target]) -> None:
        """Take the measurements and targets of all parts; sets ``reason`` to what is missing."""
        self.advice = []
        self._targets = [targets[pilot.mrid] for pilot in self.zone.pilots]
        self.target = np.array([target.kv for target in self._targets])
        found = [self._pilot_voltage(pilot, inputs) for pilot in self.zone.pilots]
        self.voltage = np.array([kv for kv, _ in found], dtype=np.float64)
        self._faults = [fault for _, fault in found]
        self._measured = any(inputs.read(pid) is not None for pid in self.zone.points)
        for device in self.devices:
            device.read(inputs)
        for source in self.sources:
            source.read(inputs)
        missing = [f"{pilot.name} ({fault})" for pilot, fault in zip(self.zone.pilots, self._faults, strict=True) if fault]
        self.reason = f"no usable voltage of {', '.join(missing)}" if missing else ""
        held = [pilot.name for pilot in self.zone.pilots if inputs.rests_on_held(pilot.voltage)]
        if held:
            self._note(f"substituted: voltage of {', '.join(held)}")

    def _pilot_voltage(self, pilot: PilotNode, inputs: Measurements) -> tuple[float, PilotFault]:
        """Voltage of a pilot; NaN and why if it must not be acted on."""
        good = [kv for pid in pilot.voltage if (kv := inputs.read(pid)) is not None]
        if not good:
            return math.nan, "missing"
        if max(good) - min(good) > self._suspend.spread_percent / 100.0 * pilot.target:
            return math.nan, "suspect"
        if good[0] < self._suspend.dead_percent / 100.0 * pilot.target:
            return math.nan, "dead"
        if not self._tuning.plausible_low * pilot.target <= good[0] <= self._tuning.plausible_high * pilot.target:
            return math.nan, "implausible"
        return good[0], ""

    @property
    def usable(self) -> bool:
        """True if at least one pilot node has a voltage to go by."""
        return bool(np.isfinite(self.voltage).any())

    def _note(self, text: str) -> None:
        self.reason = f"{self.reason}; {text}" if self.reason else text

    # ------------------------------------------------------------ suspension

    def judge(self, common: str, sensitivity: AvcSensitivity | None) -> list[str]:
        """Suspend or resume, and lock devices whose bus is not to be touched.

        Args:
            common: cause that stands for all zones in this cycle (``front_end``, ``unsolved``, ``late``); empty = none.
            sensitivity: knows dead and islanded buses.

        Returns:
            Notices.
        """
        dead = self._flags(None if sensitivity is None else sensitivity.dead)
        islanded = self._flags(None if sensitivity is None else sensitivity.islanded)
        self.voltage = np.where(dead, math.nan, self.voltage)
        self._faults = [("dead" if is_dead else fault) for is_dead, fault in zip(dead.tolist(), self._faults, strict=True)]
        self.suspension.judge(common or self._cause(islanded))
        self._bar_devices(islanded)
        return self.discrete.judge()

    def _flags(self, flags: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
        return np.zeros(len(self.zone.pilots), dtype=np.bool_) if flags is None else flags[self._rows]

    def _cause(self, islanded: npt.NDArray[np.bool_]) -> str:
        usable = np.isfinite(self.voltage)
        if not usable.any():
            if not self._measured:
                return "telemetry"
            kinds = set(self._faults)
            return "dead" if kinds == {"dead"} else "implausible" if kinds <= {"dead", "implausible"} else "no_pilot"
        return "islanded" if islanded[usable].all() else ""

    def _bar_devices(self, islanded: npt.NDArray[np.bool_]) -> None:
        places = {pilot.mrid: p for p, pilot in enumerate(self.zone.pilots)}
        for control in self.devices:
            p = places.get(control.device.pilot)
            if p is None:
                control.bar(Lock("measurement_suspect", "the bus it serves is no pilot node of the zone"))
            elif self._faults[p] == "dead":
                control.bar(Lock("dead_bus", f"{self.zone.pilots[p].name} is dead"))
            elif self._faults[p]:
                control.bar(Lock("measurement_suspect", f"voltage of {self.zone.pilots[p].name} is {self._faults[p]}"))
            elif islanded[p]:
                control.bar(Lock("islanded", f"{self.zone.pilots[p].name} is islanded from the main grid"))

    # ------------------------------------------------------------ decision

    def act(self, sensitivity: AvcSensitivity | None, *, send: bool) -> list[AvcCommand]:
        """Decide; what is not to be sent (``send`` false, open loops) goes to ``advice``; ``reason`` gains what is impossible."""
        if not self.usable:
            return []
        now = self._situation(sensitivity)
        self.discrete.look(now)
        commands: list[AvcCommand] = []
        expected = self.voltage
        chosen = self.discrete.choose(now, "closed")
        if chosen is not None:
            expected = chosen.expected
            commands.append(_command(chosen))
            if send:
                self.discrete.done(chosen)
        advised = self.discrete.choose(now, "open")
        if advised is not None:
            self.advice.append(_command(advised))
        if sensitivity is not None:
            moves = self.secondary.act(self._voltages(sensitivity, expected, chosen), send=send)
            commands += moves.commands
            self.advice += moves.advice
            for text in moves.reasons:
                self._note(text)
        elif self.sources:
            self._note("no sensitivities: continuous sources are not moved")
        if not send:
            self.advice += commands
            return []
        return commands

    def _situation(self, sensitivity: AvcSensitivity | None) -> Situation:
        able = [source for source in self.sources if not source.reason]
        return Situation(
            self.voltage,
            self.target,
            self._deadband,
            self._minimum,
            self._maximum,
            sum(source.reactive for source in able),
            sum(source.minimum for source in able),
            sum(source.maximum for source in able),
            None if sensitivity is None else sensitivity.devices[self._rows, self._places],
        )

    def _voltages(self, sensitivity: AvcSensitivity, expected: F8, chosen: Operation | None) -> ZoneVoltages:
        """What the continuous sources are to do after the operation chosen."""
        bus_change = None
        if chosen is not None and sensitivity.device_buses is not None:
            place = self.devices.index(chosen.control)
            effect = sensitivity.device_buses[self._columns, self._places][:, place]
            bus_change = effect if chosen.raising else -effect
        return ZoneVoltages(
            expected,
            self.target,
            self._deadband,
            sensitivity.sources[self._rows, self._columns],
            None if sensitivity.buses is None else sensitivity.buses[self._columns, self._columns],
            bus_change,
        )

    # ------------------------------------------------------------ orders

    def tested(self) -> list[AvcCommand]:
        """Test commands of operators that no lock forbids now; sent in every state, each once."""
        commands = []
        for control in self.devices:
            if control.loop != "test" or math.isnan(control.test_value):
                continue
            value = int(control.test_value)
            lock = control.barred(raising=control.raises(value), urgent=True)
            if lock is not None:
                if lock.key == "at_end":
                    control.test_value = math.nan
                continue
            control.test_value = math.nan
            control.commanded(value)
            commands.append(AvcCommand(control.device.control, control.device.mrid, float(value), "test command", discrete=True))
        for source in self.sources:
            mvar = source.test_setpoint()
            if math.isfinite(mvar):
                source.commanded(mvar)
                commands.append(AvcCommand(source.source.setpoint, source.source.mrid, mvar, "test set-point", discrete=False))
        return commands

    # ------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything that a later life needs to go on from here."""
        return {
            "suspension": self.suspension.state(),
            "discrete": self.discrete.state(),
            "secondary": self.secondary.state(),
            "devices": {control.device.mrid: control.state() for control in self.devices},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; devices that the model no longer has are ignored."""
        self.suspension.restore(state["suspension"])
        self.discrete.restore(state["discrete"])
        self.secondary.restore(state["secondary"])
        for control in self.devices:
            if control.device.mrid in state["devices"]:
                control.restore(state["devices"][control.device.mrid])

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take over what was counted, locked and suspended in an earlier life."""
        self.suspension.restore(state["suspension"])
        self.discrete.restore(state["discrete"])
        for control in self.devices:
            if control.device.mrid in state["devices"]:
                control.resume(state["devices"][control.device.mrid])

    def decision(self, wanted: AvcState, qualified: Mapping[str, float], zone_qualified: float) -> ZoneDecision:
        """Its state for the status.

        Args:
            wanted: state ordered for AVC.
            qualified: qualified rate of today by pilot.
            zone_qualified: of the zone.
        """
        pilots = tuple(
            PilotDecision(
                pilot.name,
                pilot.mrid,
                float(self.voltage[p]),
                float(self.target[p]),
                float(self._deadband[p]),
                pilot.minimum,
                pilot.maximum,
                valid=math.isfinite(self.voltage[p]),
                cell=self.discrete.cells[p],
                target_source=self._targets[p].source,
                target_note=self._targets[p].note,
                qualified_today_percent=qualified[pilot.mrid],
            )
            for p, pilot in enumerate(self.zone.pilots)
        )
        advised = {one.mrid: one.value for one in self.advice if one.discrete}
        devices = tuple(replace(device.decision(), advice=advised.get(device.device.mrid, math.nan)) for device in self.devices)
        cause = self.suspension.cause
        now = self._situation(None)
        half = 0.5 * (now.reactive_maximum - now.reactive_minimum)
        middle = 0.5 * (now.reactive_maximum + now.reactive_minimum)
        return ZoneDecision(
            self.zone.name,
            "; ".join(text for text in (CAUSES.get(cause, ""), self.reason) if text),
            state="off" if wanted == "off" else "suspended" if cause else wanted,
            cause=cause,
            suspensions=dict(self.suspension.counts),
            loading=(now.reactive - middle) / half if half > 0 else math.nan,
            qualified_today_percent=zone_qualified,
            pilots=pilots,
            sources=tuple(source.decision() for source in self.sources),
            devices=devices,
        )


def _deadband(pilot: PilotNode, tuning: AvcTuning) -> float:
    given = math.isfinite(pilot.deadband) and pilot.deadband > 0
    return max(pilot.deadband if given else tuning.deadband_percent / 100.0 * pilot.target, _SMALLEST_DEADBAND)


def _command(operation: Operation) -> AvcCommand:
    control = operation.control
    return AvcCommand(control.device.control, control.device.mrid, float(operation.value), operation.why, discrete=True)
