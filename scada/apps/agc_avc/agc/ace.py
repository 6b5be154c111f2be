"""Area control error: which measurements to believe, and the formula.

Reporting ACE in the sign convention of NERC BAL-001: ``ACE = (NIA - NIS) - 10 B (FA - FS)`` with B < 0 in MW/0.1 Hz and export
positive, so that ACE < 0 means that the area generates too little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scada.apps.agc_avc.inputs import Measurements
from scada.model_cim.regulation import ControlArea

ControlMode = Literal["TLBC", "CFC", "CIC"]
"""Tie-line bias control (both terms), constant frequency (frequency only), constant interchange (interchange only)."""


@dataclass(frozen=True, slots=True)
class Ace:
    """Area control error of one cycle and what it was made of; NaN = unknown.

    Attributes:
        ace_mw: area control error.
        frequency_hz: frequency used.
        interchange_mw: net interchange actual, export positive.
        scheduled_mw: net interchange scheduled.
        faults: why the value must not be used, one sentence each; empty = usable.
        held: names of inputs whose last good value stands in.
    """

    ace_mw: float
    frequency_hz: float
    interchange_mw: float
    scheduled_mw: float
    faults: tuple[str, ...]
    held: tuple[str, ...]


class _Source:
    """One quantity with several measurements: the first good one wins, the last good value stands in for some cycles."""

    def __init__(self, name: str, pids: Sequence[int], hold_cycles: int) -> None:
        self.name = name
        self.held = False
        self._pids = pids
        self._hold_cycles = hold_cycles
        self._last: float | None = None
        self._age = 0

    def read(self, inputs: Measurements) -> float | None:
        value = inputs.first_good(self._pids)
        self.held = False
        if value is not None:
            self._last, self._age = value, 0
            return value
        self._age += 1
        if self._last is None or self._age > self._hold_cycles:
            return None
        self.held = True
        return self._last


class AceCalculator:
    """Computes the ACE of one area, cycle by cycle.

    Args:
        area: the area; its sources are in order of priority.
        mode: control mode.
        hold_cycles: cycles for which the last good value of a tie flow stands in. Frequency is never held.
        frequency_spread_hz: largest difference of good frequency sources; more means that the area is split.
    """

    def __init__(
        self, area: ControlArea, mode: ControlMode = "TLBC", hold_cycles: int = 0, frequency_spread_hz: float = 0.2
    ) -> None:
        self.area = area
        self.mode = mode
        self.scheduled_mw = area.scheduled_interchange
        self._spread = frequency_spread_hz
        self._ties = [_Source(tie.name, tie.flow, hold_cycles) for tie in area.ties]

    def calculate(self, inputs: Measurements) -> Ace:
        """ACE of this cycle; call once a cycle (holding counts calls)."""
        frequency, faults = self._frequency(inputs)
        flows = [(tie.sign, source.read(inputs)) for tie, source in zip(self.area.ties, self._ties, strict=True)]
        interchange = math.fsum(sign * flow if flow is not None else math.nan for sign, flow in flows)
        if self.mode != "CFC":
            missing = [source.name for source, (_, flow) in zip(self._ties, flows, strict=True) if flow is None]
            faults += [f"tie {name} has no good measurement" for name in missing]
        deviation = frequency - self.area.nominal_hz
        ace = 0.0
        if self.mode != "CFC":
            ace += interchange - self.scheduled_mw
        if self.mode != "CIC":
            ace += -10.0 * self.area.bias * deviation
        held = tuple(source.name for source in self._ties if source.held) if self.mode != "CFC" else ()
        return Ace(ace, frequency, interchange, self.scheduled_mw, tuple(faults), held)

    def _frequency(self, inputs: Measurements) -> tuple[float, list[str]]:
        good = [value for pid in self.area.frequency if (value := inputs.read(pid)) is not None]
        if not good:
            return math.nan, ["no frequency source is good"]
        if max(good) - min(good) > self._spread:
            return good[0], [f"frequency sources differ by {max(good) - min(good):.3f} Hz: the area may be split"]
        return good[0], []
