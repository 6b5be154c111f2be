"""The 10-s samples of an hour that the PJM score of each unit is reckoned from."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scada.apps.agc_avc.performance.pjm import BLOCK, BLOCKS, SAMPLE_S, SAMPLES, Score, performance_score
from scada.apps.agc_avc.performance.sample import Floats, RegulationSample
from scada.core.clock import NS_PER_S

_SLOT_NS: Final = SAMPLE_S * NS_PER_S
_HOUR: Final = BLOCKS * BLOCK


class HourScore(NamedTuple):
    """PJM score of a unit in one clock hour (UTC)."""

    hour: int
    """Hours since 1970 UTC."""
    unit: int
    """Number in the store."""
    score: Score


class HourScores:
    """Keeps the last 65 minutes and scores each hour, five minutes after its end.

    The signal is the set-point less its mean in the hour, the response the output less the same mean, both as shares of the
    unit's range: so a constant base counts neither way. A slot of 10 s without a sample, and all time that nobody watched, is
    missing; with a cycle above 10 s there is no score.

    Args:
        numbers: number of each unit in the store.
        ranges_mw: maximum less minimum of each.
    """

    def __init__(self, numbers: npt.NDArray[np.uint32], ranges_mw: Floats) -> None:
        self._numbers = numbers
        self._ranges = np.where(ranges_mw > 0, ranges_mw, math.nan)
        self._slot = -1
        self._first = -1
        self._signal = np.full((SAMPLES, len(numbers)), math.nan)
        self._response = np.full((SAMPLES, len(numbers)), math.nan)

    def sample(self, sample: RegulationSample) -> list[HourScore]:
        """Take one cycle; returns the scores of the hour whose five minutes more have passed with it, if any."""
        slot, scored = sample.now_ns // _SLOT_NS, []
        if slot < self._slot or slot - self._slot >= SAMPLES:
            self._signal.fill(math.nan)
            self._response.fill(math.nan)
            self._slot, self._first = slot - 1, slot
        if slot != self._slot:
            due = (slot - SAMPLES) // _HOUR  # the last hour of which all samples are in
            if self._slot - SAMPLES < due * _HOUR and self._first < (due + 1) * _HOUR:
                self._blank(self._slot + 1, min(slot, due * _HOUR + SAMPLES))
                scored = self._score(due)
            self._blank(max(self._slot + 1, slot - SAMPLES + 1), slot)
            self._slot = slot
        place = slot % SAMPLES
        self._signal[place] = np.where(sample.controlled, sample.setpoint_mw, math.nan)
        self._response[place] = np.where(sample.controlled, sample.power_mw, math.nan)
        return scored

    def _blank(self, begin: int, end: int) -> None:
        for slot in range(begin, end):
            self._signal[slot % SAMPLES] = math.nan
            self._response[slot % SAMPLES] = math.nan

    def _score(self, hour: int) -> list[HourScore]:
        order = np.arange(hour * _HOUR, hour * _HOUR + SAMPLES) % SAMPLES
        signal, response = self._signal[order], self._response[order]
        scores = []
        for index, number in enumerate(self._numbers.tolist()):
            asked = signal[:_HOUR, index]
            known = np.isfinite(asked)
            if not known.any() or math.isnan(self._ranges[index]):
                continue
            mean, span = float(asked[known].mean()), self._ranges[index]
            found = performance_score((signal[:, index] - mean) / span, (response[:, index] - mean) / span)
            scores.append(HourScore(hour, number, found))
        return scores

    def state(self) -> dict[str, Any]:
        """Everything that later results depend on, for :meth:`restore`."""
        return {
            "units": self._numbers.tolist(),
            "slot": self._slot,
            "first": self._first,
            "signal": self._signal.tobytes(),
            "response": self._response.tobytes(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an exported state; units that are new begin with nothing."""
        places = {number: index for index, number in enumerate(state["units"])}
        self._slot, self._first = state["slot"], state["first"]
        for name in ("signal", "response"):
            kept = np.frombuffer(state[name], dtype=np.float64).reshape(SAMPLES, len(places))
            column = getattr(self, f"_{name}")
            column.fill(math.nan)
            for index, number in enumerate(self._numbers.tolist()):
                if number in places:
                    column[:, index] = kept[:, places[number]]
