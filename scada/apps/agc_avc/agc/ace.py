"""Area control error: which measurements to believe, and the formula.

Reporting ACE in the sign convention of NERC BAL-001: ``ACE = (NIA - NIS) - 10 B (FA - FS) - IME`` with B < 0 in MW/0.1 Hz and
export positive, so that ACE < 0 means that the area generates too little. Modes:

============ ==================================================================================================
``CFC``      constant frequency: ``-10 B (FA - FS)``
``CIC``      constant interchange: ``NIA - NIS - IME``
``TLBC``     tie-line bias control: all of it
``TLBC+TEC`` with the scheduled frequency offset while time error is corrected, see :class:`TimeError`
``TLBC+II``  with unilateral payback of inadvertent interchange, see :class:`Inadvertent`
``TLBC+ATEC`` with the automatic time error correction of WECC (IATEC)
============ ==================================================================================================

What is shown may have the other sign (``[agc] sign``); everything inside has this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from scada.apps.agc_avc.agc.inadvertent import Inadvertent, MeterError
from scada.apps.agc_avc.agc.sources import FrequencyReading, FrequencySources, Reading, Source
from scada.apps.agc_avc.agc.suspension import Fault
from scada.apps.agc_avc.agc.time_error import TimeError
from scada.apps.agc_avc.agc.tuning import mismatch
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AceMode, AgcTuning
from scada.model_cim.regulation import ControlArea

MODES: tuple[AceMode, ...] = get_args(AceMode)
"""Every control mode."""


@dataclass(frozen=True, slots=True)
class Ace:
    """Area control error of one cycle and what it was made of; NaN = unknown.

    Attributes:
        ace_mw: area control error.
        frequency_hz: frequency used.
        scheduled_hz: scheduled frequency.
        interchange_mw: net interchange actual, sum of ties, export positive.
        scheduled_mw: net interchange scheduled.
        meter_mw: net interchange by the independent meter.
        meter_error_mw: IME, taken off the sum of ties.
        correction_mw: payback or IATEC, added.
        faults: why the value must not be used; empty = usable.
        doubt: what will be a fault if it lasts, empty = nothing: nothing may move meanwhile.
        notes: alarms that do not spoil the ACE.
        held: names of inputs whose last good value stands in.
        readings: every input and its source.
        corrected: a correction has just been changed in a step.
    """

    ace_mw: float
    frequency_hz: float
    scheduled_hz: float
    interchange_mw: float
    scheduled_mw: float
    meter_mw: float
    meter_error_mw: float
    correction_mw: float
    faults: tuple[Fault, ...]
    doubt: str
    notes: tuple[Fault, ...]
    held: tuple[str, ...]
    readings: tuple[Reading, ...]
    corrected: bool


class AceCalculator:
    """Computes the ACE of one area, cycle by cycle, and keeps its accounts of time error and interchange.

    Args:
        area: the area; its sources are in order of priority.
        mode: control mode.
        tuning: holding, limits, corrections.

    Attributes:
        scheduled_mw: net interchange scheduled now.
        time_error, inadvertent, meter_error: the accounts.
    """

    def __init__(self, area: ControlArea, mode: AceMode = "TLBC", tuning: AgcTuning | None = None) -> None:
        tuning = tuning or AgcTuning()
        self.area = area
        self.scheduled_mw = area.scheduled_interchange
        self.time_error = TimeError(area.nominal_hz, tuning)
        self.inadvertent = Inadvertent(area, tuning)
        self.meter_error = MeterError(area, tuning)
        self._tuning = tuning
        self._frequency = FrequencySources(area.frequency, tuning.frozen_s, tuning.all_frozen_s)
        self._ties = [Source(tie.name, "MW", tie.flow, tuning.hold_cycles) for tie in area.ties]
        self._meter = Source("interchange meter", "MW", area.interchange_meter)
        self._clock = Source("time error", "s", () if area.time_error is None else (area.time_error,))
        self._mismatches = 0
        self._offset_hz = 0.0
        self._unfit = unfit(area)
        self.mode: AceMode = mode if self.lacks(mode) == "" else "TLBC"

    def set_mode(self, mode: str) -> None:
        """Form the ACE in another way from the next cycle on.

        Raises:
            RegulationError: no such mode, or the area lacks what it needs.
        """
        if mode not in MODES:
            raise RegulationError(
                f"AGC has no control mode {mode!r}", where=self.area.name, mend=f"use one of {', '.join(MODES)}"
            )
        if lack := self.lacks(mode):
            raise RegulationError(lack, where=self.area.name, mend="give it in the model, or use another mode")
        self.mode = mode

    def lacks(self, mode: str) -> str:
        """What the area lacks for a control mode; empty = nothing."""
        needs = mode == "TLBC+ATEC" and math.isnan(self.inadvertent.share)
        return f"mode {mode} needs the frequency bias of the interconnection" if needs else ""

    def calculate(self, inputs: Measurements, dt: float = 0.0, now_ns: int = 0) -> Ace:
        """ACE of this cycle; call once a cycle (holding counts calls).

        Args:
            inputs: measurements.
            dt: seconds since the last cycle.
            now_ns: ns UTC.
        """
        frequency = self._frequency.read(inputs, dt)
        ties = [source.read(inputs) for source in self._ties]
        meter = self._meter.read(inputs)
        clock = self._clock.read(inputs)
        flows = [tie.sign * one.value for tie, one in zip(self.area.ties, ties, strict=True)]
        interchange = math.fsum(flows)
        uses_ties = self.mode != "CFC"
        held = tuple(one.name for one in ties if one.state == "held") if uses_ties else ()
        faults = [Fault("model_unfit", self._unfit)] if self._unfit else []
        faults += self._frequency_faults(frequency, self._tuning)
        if uses_ties:
            faults += [Fault("tie_missing", f"tie {one.name} has no good measurement") for one in ties if one.state == "missing"]
        apart = self._judge_meter(interchange if not held else math.nan, meter.value, flows)
        if apart and uses_ties and self._mismatches >= self._tuning.mismatch_cycles:
            faults.append(Fault("tie_mismatch", apart))
        # what contradicts the meter is not booked
        trusted = math.nan if apart else interchange
        corrected = self._keep_accounts(frequency.reading.value, trusted, meter.value, clock, dt, now_ns)
        offset = self.time_error.offset_hz if self.mode == "TLBC+TEC" else 0.0
        corrected |= offset != self._offset_hz
        self._offset_hz = offset
        scheduled_hz = self.area.nominal_hz + offset
        correction = {"TLBC+II": self.inadvertent.payback_mw, "TLBC+ATEC": self.inadvertent.iatec_mw}.get(self.mode, 0.0)
        ace = correction
        if uses_ties:
            ace += interchange - self.scheduled_mw - self.meter_error.error_mw
        if self.mode != "CIC":
            ace += -10.0 * self.area.bias * (frequency.reading.value - scheduled_hz)
        return Ace(
            ace_mw=ace,
            frequency_hz=frequency.reading.value,
            scheduled_hz=scheduled_hz,
            interchange_mw=interchange,
            scheduled_mw=self.scheduled_mw,
            meter_mw=meter.value,
            meter_error_mw=self.meter_error.error_mw,
            correction_mw=correction,
            faults=tuple(faults),
            doubt=apart if uses_ties else "",
            notes=self._notes(frequency, meter),
            held=held,
            readings=(
                frequency.reading,
                *ties,
                *((meter,) if self.area.interchange_meter else ()),
                *((clock,) if self.area.time_error is not None else ()),
            ),
            corrected=corrected,
        )

    @staticmethod
    def _frequency_faults(frequency: FrequencyReading, tuning: AgcTuning) -> list[Fault]:
        if frequency.frozen:
            return [Fault("frequency_frozen", f"every good frequency source stands still for {tuning.all_frozen_s:g} s or more")]
        if frequency.reading.state == "missing":
            return [Fault("frequency_missing", "no frequency source is good")]
        if frequency.spread_hz > tuning.frequency_spread_hz:
            text = f"frequency sources differ by {frequency.spread_hz:.3f} Hz: the area may be split"
            return [Fault("frequency_spread", text)]
        return []

    def _notes(self, frequency: FrequencyReading, meter: Reading) -> tuple[Fault, ...]:
        notes = []
        if frequency.reading.note.endswith("is frozen") and not frequency.frozen:
            notes.append(Fault("frequency_source_frozen", f"frequency {frequency.reading.note}"))
        if self.area.interchange_meter and meter.state == "missing":
            notes.append(Fault("meter_missing", "the independent meter of the interchange has no good measurement"))
        if self.time_error.direction:
            notes.append(Fault("time_error_large", f"time error {self.time_error.error_s:+.1f} s"))
        return tuple(notes)

    def _judge_meter(self, interchange: float, meter: float, flows: list[float]) -> str:
        """Why sum of ties and independent meter do not fit together; empty = they do, or one is unknown."""
        limit = mismatch(self._tuning, self.area)
        error = interchange - self.meter_error.error_mw - meter
        if not abs(error) > limit:
            self._mismatches = 0
            return ""
        self._mismatches += 1
        text = f"sum of ties {interchange:.1f} MW and independent meter {meter:.1f} MW differ by {abs(error):.1f} MW"
        # a tie whose sign is wrong explains twice its flow
        turned = [tie.name for tie, flow in zip(self.area.ties, flows, strict=True) if abs(error - 2 * flow) <= limit]
        return f"{text}; the sign of {' or '.join(turned)} may be wrong" if turned else text

    def _keep_accounts(
        self, frequency_hz: float, interchange: float, meter: float, clock: Reading, dt: float, now_ns: int
    ) -> bool:
        """Carry time error, meter error and inadvertent interchange on; True if a correction in use has stepped."""
        self.time_error.update(frequency_hz, dt, clock.value)
        stepped = self.meter_error.update(interchange - meter, dt, now_ns) and self.mode != "CFC"
        beside = interchange - self.meter_error.error_mw - self.scheduled_mw
        closed = self.inadvertent.update(beside, dt, now_ns, self.time_error.error_s)
        return stepped or (closed and self.mode in {"TLBC+II", "TLBC+ATEC"})

    def state(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {
            "mode": self.mode,
            "scheduled_mw": self.scheduled_mw,
            "mismatches": self._mismatches,
            "offset_hz": self._offset_hz,
            "frequency": self._frequency.state(),
            "ties": {f"{place} {source.name}": source.state() for place, source in enumerate(self._ties)},
            "time_error": self.time_error.state(),
            "inadvertent": self.inadvertent.state(),
            "meter_error": self.meter_error.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up where :meth:`state` was asked; ties that no longer exist and a mode that no longer fits are left out."""
        if state["mode"] in MODES and not self.lacks(state["mode"]):
            self.mode = state["mode"]
        self.scheduled_mw, self._mismatches = float(state["scheduled_mw"]), int(state["mismatches"])
        self._offset_hz = float(state["offset_hz"])
        self._frequency.restore(state["frequency"])
        for place, source in enumerate(self._ties):
            if (known := state["ties"].get(f"{place} {source.name}")) is not None:
                source.restore(known)
        self.resume(state)

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take over the accounts alone; inputs and mode begin anew."""
        self.time_error.restore(state["time_error"])
        self.inadvertent.restore(state["inadvertent"])
        self.meter_error.restore(state["meter_error"])


def unfit(area: ControlArea) -> str:
    """Why an area cannot be regulated as the model describes it; empty = it can."""
    wrong = []
    if not area.bias < 0 or not math.isfinite(area.bias):
        wrong.append(f"frequency bias {area.bias:g} MW/0.1 Hz (must be negative)")
    if not 0 < area.deadband < math.inf:
        wrong.append(f"dead band {area.deadband:g} MW")
    if not 0 < area.nominal_hz < math.inf:
        wrong.append(f"nominal frequency {area.nominal_hz:g} Hz")
    if not math.isfinite(area.scheduled_interchange):
        wrong.append(f"scheduled interchange {area.scheduled_interchange:g} MW")
    wrong += [f"sign {tie.sign:g} of tie {tie.name}" for tie in area.ties if abs(tie.sign) != 1]
    return f"the model is unfit: {', '.join(wrong)}" if wrong else ""
