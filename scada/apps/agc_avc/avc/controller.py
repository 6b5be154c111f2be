"""AVC: holds the voltages of pilot nodes. Discrete devices first, by the nine-zone rule; continuous sources refine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from scada.apps.agc_avc.avc.bounded_least_squares import solve_bounded
from scada.apps.agc_avc.avc.devices import DeviceControl
from scada.apps.agc_avc.avc.nine_zone import NINE_ZONES, ReactiveBalance, VoltageBand, reactive_balance, voltage_band
from scada.apps.agc_avc.avc.records import (
    AvcCommand,
    AvcDecision,
    AvcSensitivity,
    AvcState,
    PilotDecision,
    ZoneDecision,
)
from scada.apps.agc_avc.avc.sources import SourceControl
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.core.avc_settings import AvcSettings, AvcTuning
from scada.core.clock import Clock
from scada.model_cim.regulation import PilotNode, VoltageZone

F8 = npt.NDArray[np.float64]

_SMALLEST_DEADBAND = 1e-3
"""kV; a model without dead band must not divide by it."""
_USELESS = 0.02
"""An effect smaller than this part of a pilot's dead band is none."""


class AvcController:
    """Automatic voltage control of all zones.

    Call :meth:`cycle` once a cycle and send the commands of the decision through the control path; tell the outcome of each by
    :meth:`confirmed` or :meth:`refused`. In one cycle each zone operates at most one discrete device. Nothing is sent while
    ``off`` or ``suspended``.

    Args:
        zones: the zones with their pilot nodes, sources and devices.
        settings: state at start.
        clock: for intervals between operations.
        tuning: further parameters.

    Attributes:
        state: ``off``, ``on`` or ``suspended`` (wanted, but no zone has a usable pilot node).
        pids: points that :class:`~scada.apps.agc_avc.inputs.Measurements` needs.
        pilots, sources, devices: mRIDs in the order of the rows and columns of :class:`AvcSensitivity`.
    """

    def __init__(
        self, zones: Sequence[VoltageZone], settings: AvcSettings, clock: Clock, tuning: AvcTuning | None = None
    ) -> None:
        self.state: AvcState = settings.start
        self._clock = clock
        tuning = tuning or settings.tuning
        self._zones: list[_Zone] = []
        rows = columns = places = 0
        for zone in zones:
            self._zones.append(_Zone(zone, clock, tuning, rows, columns, places))
            rows, columns, places = rows + len(zone.pilots), columns + len(zone.sources), places + len(zone.devices)
        self.pilots = [pilot.mrid for zone in zones for pilot in zone.pilots]
        self.sources = [source.mrid for zone in zones for source in zone.sources]
        self.devices = [device.mrid for zone in zones for device in zone.devices]
        self.pids = np.array(sorted({int(pid) for zone in zones for pid in zone.points}), dtype=np.uint32)
        self._actuators: dict[int, DeviceControl | SourceControl] = {}
        self._by_mrid: dict[str, DeviceControl | SourceControl] = {}
        for group in self._zones:
            for device in group.devices:
                self._actuators[device.device.control] = self._by_mrid[device.device.mrid] = device
            for source in group.sources:
                self._actuators[source.source.setpoint] = self._by_mrid[source.source.mrid] = source
        self._reasons: dict[str, str] = {}

    # ------------------------------------------------------------ orders

    def set_state(self, state: Literal["on", "off"]) -> None:
        """Switch on or off, from the next cycle.

        Raises:
            RegulationError: not a state.
        """
        if state not in ("on", "off"):
            raise RegulationError(f"AVC has no state {state!r}", mend="use on or off")
        if state == "off" or self.state == "off":
            self.state = state

    def confirmed(self, cid: int) -> None:
        """The command on this control succeeded."""
        if cid in self._actuators:
            self._actuators[cid].confirmed()

    def refused(self, cid: int) -> None:
        """The command on this control failed; after several in a row the device or source is locked until :meth:`unlock`."""
        if cid in self._actuators:
            self._actuators[cid].refused()

    def unlock(self, mrid: str) -> None:
        """An operator opens the lock of a device or source.

        Raises:
            RegulationError: no such device or source.
        """
        if mrid not in self._by_mrid:
            raise RegulationError(f"no device or source {mrid!r} under AVC", mend="take the mRID from the AVC status")
        self._by_mrid[mrid].unlock()

    def restore(self, mrid: str, operations_today: int, last_operation_ns: int) -> None:
        """Give a device the count and last operation from before a restart; unknown devices are ignored (an edited model)."""
        device = self._by_mrid.get(mrid)
        if isinstance(device, DeviceControl):
            device.restore(operations_today, last_operation_ns)

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
        for zone in self._zones:
            zone.read(inputs)
        notices = self._judge()
        commands: list[AvcCommand] = []
        for zone in self._zones:
            if self.state == "on":
                commands += zone.act(sensitivity)
            if zone.reason != self._reasons.get(zone.zone.name, ""):
                notices.append(f"zone {zone.zone.name}: {zone.reason or 'regulated'}")
            self._reasons[zone.zone.name] = zone.reason
        return AvcDecision(
            state=self.state,
            reason=self._reason(),
            cycle_ns=self._clock.now_ns(),
            zones=tuple(zone.decision() for zone in self._zones),
            commands=tuple(commands),
            notices=tuple(notices),
        )

    def _fits(self, sensitivity: AvcSensitivity) -> bool:
        rows = len(self.pilots)
        return sensitivity.sources.shape == (rows, len(self.sources)) and sensitivity.devices.shape == (rows, len(self.devices))

    def _judge(self) -> list[str]:
        usable = any(zone.usable for zone in self._zones)
        if self.state == "on" and not usable:
            self.state = "suspended"
            return ["AVC suspended: no pilot node has a usable voltage"]
        if self.state == "suspended" and usable:
            self.state = "on"
            return ["AVC resumed"]
        return []

    def _reason(self) -> str:
        if self.state == "off":
            return "switched off"
        if self.state == "suspended":
            return "no pilot node has a usable voltage"
        return "; ".join(f"{zone.zone.name}: {zone.reason}" for zone in self._zones if zone.reason)


class _Zone:
    """One zone: judges its pilots, picks at most one discrete operation, then moves its sources."""

    def __init__(self, zone: VoltageZone, clock: Clock, tuning: AvcTuning, row: int, column: int, place: int) -> None:
        self.zone = zone
        self.reason = ""
        self.sources = [SourceControl(source, tuning) for source in zone.sources]
        self.devices = [DeviceControl(device, clock, tuning) for device in zone.devices]
        self._rows = slice(row, row + len(zone.pilots))
        self._columns = slice(column, column + len(zone.sources))
        self._places = slice(place, place + len(zone.devices))
        self._tuning = tuning
        self._voltage: F8 = np.full(len(zone.pilots), math.nan)
        self._target = np.array([pilot.target for pilot in zone.pilots])
        self._deadband = np.array([max(pilot.deadband, _SMALLEST_DEADBAND) for pilot in zone.pilots])
        self._minimum = np.array([pilot.minimum for pilot in zone.pilots])
        self._maximum = np.array([pilot.maximum for pilot in zone.pilots])

    @property
    def usable(self) -> bool:
        """True if at least one pilot node has a voltage to go by."""
        return bool(np.isfinite(self._voltage).any())

    def read(self, inputs: Measurements) -> None:
        """Take the measurements of all parts; sets ``reason`` to what is missing."""
        self._voltage = np.array([self._pilot_voltage(pilot, inputs) for pilot in self.zone.pilots], dtype=np.float64)
        for device in self.devices:
            device.read(inputs)
        for source in self.sources:
            source.read(inputs)
        missing = [pilot.name for pilot, kv in zip(self.zone.pilots, self._voltage, strict=True) if math.isnan(kv)]
        self.reason = f"no usable voltage of {', '.join(missing)}" if missing else ""
        held = [pilot.name for pilot in self.zone.pilots if inputs.rests_on_held(pilot.voltage)]
        if held:
            self._note(f"substituted: voltage of {', '.join(held)}")

    def _pilot_voltage(self, pilot: PilotNode, inputs: Measurements) -> float:
        """Voltage of a pilot, NaN if none is good or if it shows a fault, a dead bus or a wrong measurement."""
        kv = inputs.first_good(pilot.voltage)
        if kv is None or not self._tuning.plausible_low * pilot.target <= kv <= self._tuning.plausible_high * pilot.target:
            return math.nan
        return kv

    def act(self, sensitivity: AvcSensitivity | None) -> list[AvcCommand]:
        """Decide; ``reason`` gains what could not be done."""
        if not self.usable:
            return []
        commands, expected = self._discrete(sensitivity)
        if sensitivity is None:
            if self.sources:
                self._note("no sensitivities: continuous sources are not moved")
            return commands
        return commands + self._continuous(sensitivity.sources[self._rows, self._columns], expected)

    def _note(self, text: str) -> None:
        self.reason = f"{self.reason}; {text}" if self.reason else text

    # ------------------------------------------------------------ discrete

    def _discrete(self, sensitivity: AvcSensitivity | None) -> tuple[list[AvcCommand], F8]:
        """At most one operation, for the pilot that is furthest out, and the voltages expected after it."""
        balance = self._balance()
        error = np.abs(self._voltage - self._target) / self._deadband
        for p in np.argsort(-np.where(np.isnan(error), -np.inf, error), kind="stable"):
            if math.isnan(self._voltage[p]):
                continue
            band = voltage_band(self._voltage[p], self._target[p], self._deadband[p])
            for kind, raising in NINE_ZONES[band, balance]:
                found = self._best(int(p), band, kind, raising, sensitivity)
                if found is not None:
                    return found
        return [], self._voltage

    def _balance(self) -> ReactiveBalance:
        able = [source for source in self.sources if not source.reason]
        return reactive_balance(
            sum(source.reactive for source in able),
            sum(source.source.minimum for source in able),
            sum(source.source.maximum for source in able),
            self._tuning.lack_loading,
        )

    def _best(
        self, p: int, band: VoltageBand, kind: str, raising: bool, sensitivity: AvcSensitivity | None
    ) -> tuple[list[AvcCommand], F8] | None:
        """The device of a kind that brings pilot ``p`` nearest to its target without pushing any pilot out."""
        candidates = []
        for d, control in enumerate(self.devices):
            if (control.device.kind == "tap") != (kind == "tap") or control.device.pilot != self.zone.pilots[p].mrid:
                continue
            value = control.command(raising=raising)
            if control.lock or not value:
                continue
            effect, known = self._effect(d, p, sensitivity)
            expected = self._voltage + (effect if raising else -effect)
            if self._allowed(p, band, expected):
                residual = abs(expected[p] - self._target[p])
                candidates.append((residual, control.operations_today, d, value, expected, known))
        if not candidates:
            return None
        _, _, d, value, expected, known = min(candidates, key=lambda candidate: candidate[:3])
        control = self.devices[d]
        control.commanded()
        pilot = self.zone.pilots[p]
        why = (
            f"{pilot.name} {self._voltage[p]:.2f} kV, target {pilot.target:.2f} +-{pilot.deadband:.2f}; "
            f"expected {expected[p]:.2f} kV by {'computed' if known else 'assumed'} effect"
        )
        return [AvcCommand(control.device.control, control.device.mrid, float(value), why, discrete=True)], expected

    def _effect(self, d: int, p: int, sensitivity: AvcSensitivity | None) -> tuple[F8, bool]:
        """Effect on every pilot of one raising operation, kV, and whether it was computed."""
        if sensitivity is not None:
            effect = sensitivity.devices[self._rows, self._places][:, d]
            if np.isfinite(effect[np.isfinite(self._voltage)]).all():
                return np.nan_to_num(effect), True
        assumed = np.zeros(len(self._voltage))
        assumed[p] = self._tuning.assumed_effect * self._target[p]
        return assumed, False

    def _allowed(self, p: int, band: VoltageBand, expected: F8) -> bool:
        """Nobody leaves limits (or gets further out), and a pilot outside its dead band really comes nearer."""
        known = np.isfinite(expected)
        now = np.maximum(self._voltage - self._maximum, self._minimum - self._voltage)[known]
        then = np.maximum(expected - self._maximum, self._minimum - expected)[known]
        if (then > np.maximum(now, 0.0)).any():
            return False
        change = abs(expected[p] - self._voltage[p])
        if band is VoltageBand.OK:
            return True
        gained = abs(self._voltage[p] - self._target[p]) - abs(expected[p] - self._target[p])
        return bool(change > _USELESS * self._deadband[p] and gained > 0)

    # ------------------------------------------------------------ continuous

    def _continuous(self, matrix: F8, expected: F8) -> list[AvcCommand]:
        """Move sources so that the voltages expected after the discrete operation come to their targets."""
        rows = np.flatnonzero(np.isfinite(expected) & np.isfinite(matrix).any(axis=1))
        error = (expected - self._target)[rows]
        if not (np.abs(error) > self._deadband[rows]).any():
            return []
        able = np.array([not source.reason for source in self.sources], dtype=np.bool_)
        movable = np.flatnonzero(able & np.isfinite(matrix[rows]).all(axis=0) & matrix[rows].any(axis=0))
        if not len(movable):
            self._note("no continuous source can help")
            return []
        change = self._solve(matrix[np.ix_(rows, movable)], expected[rows], rows, [self.sources[s] for s in movable])
        commands = []
        for s, dq in zip(movable, change, strict=True):
            control, source = self.sources[s], self.sources[s].source
            if abs(dq) < self._tuning.source_deadband_mvar:
                continue
            control.sent = min(max(control.reactive + float(dq), source.minimum), source.maximum)
            worst = int(rows[np.argmax(np.abs(error) / self._deadband[rows])])
            pilot = self.zone.pilots[worst]
            why = f"{dq:+.2f} Mvar for {pilot.name}: expected {expected[worst]:.2f} kV, target {pilot.target:.2f} kV"
            commands.append(AvcCommand(source.setpoint, source.mrid, control.sent, why, discrete=False))
        return commands

    def _solve(self, matrix: F8, voltage: F8, rows: npt.NDArray[np.int64], sources: Sequence[SourceControl]) -> F8:
        """Bounded ``min |gain * error + S dq|^2 / deadband^2 + loading``; voltage limits are soft: there is always an answer."""
        tuning = self._tuning
        lo, hi = (np.array(column) for column in zip(*(source.bounds() for source in sources), strict=True))
        reactive = np.array([source.reactive for source in sources])
        middle = np.array([0.5 * (source.source.maximum + source.source.minimum) for source in sources])
        half = np.array([max(0.5 * (source.source.maximum - source.source.minimum), 1e-9) for source in sources])
        weight = 1.0 / self._deadband[rows]
        loading = math.sqrt(tuning.loading_weight) / half
        a = np.vstack([matrix * weight[:, None], np.diag(loading)])
        b = np.concatenate([-tuning.gain * (voltage - self._target[rows]) * weight, -(reactive - middle) * loading])
        change = solve_bounded(a, b, lo, hi)
        limit = np.full(len(rows), math.nan)
        while True:  # each round binds one more limit at least
            then = voltage + matrix @ change
            broken = np.isnan(limit) & ((then > self._maximum[rows]) | (then < self._minimum[rows]))
            if not broken.any():
                return change
            limit[broken] = np.clip(then, self._minimum[rows], self._maximum[rows])[broken]
            bound = np.isfinite(limit)
            heavy = math.sqrt(tuning.limit_weight) * weight.max()
            a_soft = np.vstack([a, matrix[bound] * heavy])
            change = solve_bounded(a_soft, np.concatenate([b, (limit - voltage)[bound] * heavy]), lo, hi)

    def decision(self) -> ZoneDecision:
        """Its state for the status."""
        pilots = tuple(
            PilotDecision(
                pilot.name,
                pilot.mrid,
                float(kv),
                pilot.target,
                pilot.deadband,
                pilot.minimum,
                pilot.maximum,
                valid=math.isfinite(kv),
            )
            for pilot, kv in zip(self.zone.pilots, self._voltage, strict=True)
        )
        sources = tuple(source.decision() for source in self.sources)
        return ZoneDecision(self.zone.name, self.reason, pilots, sources, tuple(device.decision() for device in self.devices))
