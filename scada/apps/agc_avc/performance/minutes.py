"""The clock-minute accounts of an area and of its units: what is kept for ever, and all indices are reckoned from.

A minute is closed once, when the first sample of a later one arrives. When the clock goes back, the minute that runs is given up,
and minutes that were closed before are refused by the store: nothing counts twice. A minute, or a part of one, that nobody
watched has no samples: its validity is the share of the samples that *should* have come, so that missing time is never good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scada.apps.agc_avc.performance.cps import MINUTE_NS, VALID_SHARE
from scada.apps.agc_avc.performance.sample import Floats, RegulationSample

AREA_MINUTE: Final = np.dtype(
    [
        ("minute", "<i8"),  # minutes since 1970 UTC
        ("asked", "<u2"),  # samples that should have come, at least those that came
        ("valid", "<u2"),  # of these, with ACE and frequency
        ("on", "<u2"),  # of these, with AGC on
        ("frequency_valid", "<u2"),
        ("ace_mw", "<f8"),  # means over the valid samples
        ("deviation_hz", "<f8"),
        ("ace_low_mw", "<f8"),
        ("ace_high_mw", "<f8"),
        ("time_error_s", "<f8"),  # gained in the minute, over the samples with a frequency
        ("inadvertent_mw", "<f8"),
        ("bias", "<f8"),  # in force, so that a later change does not touch what was
        ("eps1_hz", "<f8"),
        ("l10_mw", "<f8"),
        ("ld_mw", "<f8"),
    ]
)
UNIT_MINUTE: Final = np.dtype(
    [
        ("unit", "<u4"),  # number in the store
        ("asked", "<u2"),
        ("valid", "<u2"),  # samples with its output
        ("on", "<u2"),  # of the valid, under AGC
        ("reserved", "<u2"),
        ("power_mw", "<f4"),  # mean of the valid
        ("error_mw", "<f4"),  # mean |output - set-point| of those under AGC
        ("up_mw", "<f4"),  # movement under AGC
        ("down_mw", "<f4"),
    ]
)
Rows = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class AreaStandards:
    """By what an area is judged, as the minutes keep it.

    Attributes:
        bias: NERC B, MW/0.1 Hz, negative.
        eps1_hz: target of the 1-minute deviation.
        l10_mw: limit of the period means, NaN = none.
        ld_mw: limit of A2, NaN = none.
        cycle_s: how often a sample should come.
    """

    bias: float
    eps1_hz: float
    l10_mw: float
    ld_mw: float
    cycle_s: float

    @property
    def due(self) -> float:
        """Samples that a whole minute should have."""
        return max(1.0, 60.0 / self.cycle_s)


class AreaMinutes:
    """The minute of an area that runs.

    Args:
        standards: by what it is judged.
    """

    def __init__(self, standards: AreaStandards) -> None:
        self._standards = standards
        self.minute = -1
        self._clear()

    def _clear(self) -> None:
        self._asked = self._valid = self._on = self._frequency = 0
        self._sums = [0.0, 0.0, 0.0, 0.0]  # ACE, deviation, per-unit deviation of every good frequency, inadvertent
        self._inadvertent = 0
        self._low, self._high = math.inf, -math.inf

    def sample(self, sample: RegulationSample) -> Rows | None:
        """Take one cycle; returns the row of the minute that it ended, if it did."""
        minute, closed = sample.now_ns // MINUTE_NS, None
        if minute != self.minute:
            if self.minute >= 0 and minute > self.minute and self._asked:
                closed = self._row()
            self.minute = minute
            self._clear()
        self._take(sample)
        return closed

    def _take(self, sample: RegulationSample) -> None:
        self._asked += 1
        self._on += sample.controlling
        ace, deviation = sample.ace_mw, sample.deviation_hz
        if math.isfinite(deviation) and sample.scheduled_hz > 0:
            self._frequency += 1
            self._sums[2] += deviation / sample.scheduled_hz
        if math.isfinite(sample.inadvertent_mw):
            self._inadvertent += 1
            self._sums[3] += sample.inadvertent_mw
        if math.isfinite(ace) and math.isfinite(deviation):
            self._valid += 1
            self._sums[0] += ace
            self._sums[1] += deviation
            self._low, self._high = min(self._low, ace), max(self._high, ace)

    def _row(self) -> Rows:
        standards, row = self._standards, np.zeros(1, dtype=AREA_MINUTE)
        asked = max(self._asked, math.ceil(standards.due - 1e-9))
        known = self._valid and self._valid >= VALID_SHARE * asked
        row["minute"], row["asked"], row["valid"] = self.minute, min(asked, 65_535), min(self._valid, 65_535)
        row["on"], row["frequency_valid"] = min(self._on, 65_535), min(self._frequency, 65_535)
        row["ace_mw"] = self._sums[0] / self._valid if known else math.nan
        row["deviation_hz"] = self._sums[1] / self._valid if known else math.nan
        row["ace_low_mw"], row["ace_high_mw"] = (self._low, self._high) if known else (math.nan, math.nan)
        # each sample stands for a cycle: so a minute has now one more, now one less, and the sum is right
        weight = min(standards.cycle_s, (60.0 + standards.cycle_s) / max(self._frequency, 1))
        row["time_error_s"] = weight * self._sums[2]
        row["inadvertent_mw"] = self._sums[3] / self._inadvertent if self._inadvertent >= VALID_SHARE * asked else math.nan
        row["bias"], row["eps1_hz"] = standards.bias, standards.eps1_hz
        row["l10_mw"], row["ld_mw"] = standards.l10_mw, standards.ld_mw
        return row

    def state(self) -> dict[str, Any]:
        """Everything that later results depend on, for :meth:`restore`."""
        counts = [self._asked, self._valid, self._on, self._frequency, self._inadvertent]
        return {"minute": self.minute, "counts": counts, "sums": list(self._sums), "range": [self._low, self._high]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an exported state."""
        self.minute = state["minute"]
        self._asked, self._valid, self._on, self._frequency, self._inadvertent = state["counts"]
        self._sums, (self._low, self._high) = list(state["sums"]), state["range"]


class UnitMinutes:
    """The minute of all units of an area that runs.

    Args:
        numbers: number of each unit in the store, in the model's order.
        due: samples that a whole minute should have.
    """

    def __init__(self, numbers: npt.NDArray[np.uint32], due: float) -> None:
        self._numbers = numbers
        self._due = due
        self.minute = -1
        self._last = np.full(len(numbers), math.nan)
        self._clear()

    def _clear(self) -> None:
        count = len(self._numbers)
        self._asked = 0
        self._valid, self._on = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self._power, self._error = np.zeros(count), np.zeros(count)
        self._up, self._down, self._errors = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.int64)

    def sample(self, sample: RegulationSample) -> Rows | None:
        """Take one cycle; returns the rows of the minute that it ended, if it did."""
        minute, closed = sample.now_ns // MINUTE_NS, None
        if minute != self.minute:
            if self.minute >= 0 and minute > self.minute and self._asked:
                closed = self._rows()
            if not 0 <= minute - self.minute <= 1:
                self._last.fill(math.nan)
            self.minute = minute
            self._clear()
        self._take(sample.power_mw, sample.setpoint_mw, sample.controlled)
        return closed

    def _take(self, power: Floats, setpoint: Floats, controlled: npt.NDArray[np.bool_]) -> None:
        known = np.isfinite(power)
        on = known & controlled
        moved = np.where(on & np.isfinite(self._last), power - self._last, 0.0)
        error = np.where(on, np.abs(power - setpoint), math.nan)
        judged = np.isfinite(error)
        self._asked += 1
        self._valid += known
        self._on += on
        self._power += np.where(known, power, 0.0)
        self._error += np.where(judged, error, 0.0)
        self._errors += judged
        self._up += np.maximum(moved, 0.0)
        self._down += np.maximum(-moved, 0.0)
        self._last = np.where(on, power, math.nan)

    def _rows(self) -> Rows:
        rows = np.zeros(len(self._numbers), dtype=UNIT_MINUTE)
        asked = max(self._asked, math.ceil(self._due - 1e-9))
        rows["unit"], rows["asked"] = self._numbers, min(asked, 65_535)
        rows["valid"], rows["on"] = np.minimum(self._valid, 65_535), np.minimum(self._on, 65_535)
        with np.errstate(invalid="ignore", divide="ignore"):
            rows["power_mw"] = np.where(self._valid >= VALID_SHARE * asked, self._power / self._valid, math.nan)
            rows["error_mw"] = np.where(self._errors > 0, self._error / self._errors, math.nan)
        rows["up_mw"], rows["down_mw"] = self._up, self._down
        return rows

    _COLUMNS = ("_valid", "_on", "_power", "_error", "_errors", "_up", "_down", "_last")

    def state(self) -> dict[str, Any]:
        """Everything that later results depend on, for :meth:`restore`."""
        columns = {name: getattr(self, name).tolist() for name in self._COLUMNS}
        return {"minute": self.minute, "asked": self._asked, "units": self._numbers.tolist(), "columns": columns}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an exported state; units that are new begin with nothing."""
        places = {number: index for index, number in enumerate(state["units"])}
        here = [(index, places[number]) for index, number in enumerate(self._numbers.tolist()) if number in places]
        self._clear()
        self._last.fill(math.nan)
        self.minute, self._asked = state["minute"], state["asked"]
        for name in self._COLUMNS:
            column, kept = getattr(self, name), state["columns"][name]
            for index, place in here:
                column[index] = kept[place]
