"""Recovery from a loss of generation (NERC disturbance control standard, BAL-002).

``R = 100 (MWloss - max(0, ACE_A - ACE_M)) / MWloss`` if the ACE before (ACE_A) was negative, else
``R = 100 (MWloss - max(0, -ACE_M)) / MWloss``; ACE_M is the highest ACE within 15 minutes. [K: formula from general knowledge]
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S

RECOVERY_S: Final = 900.0
"""Time within which the ACE must be back."""
BEFORE_S: Final = 16.0
"""ACE_A is the mean of this time before the loss."""
SUDDEN_S: Final = 60.0
"""A loss is what goes within this time."""


def recovery_percent(loss_mw: float, ace_before_mw: float, ace_best_mw: float) -> float:
    """R of one disturbance, %, 0 .. 100; NaN if something is unknown or nothing was lost.

    >>> recovery_percent(400.0, -50.0, -90.0), recovery_percent(400.0, 20.0, -100.0), recovery_percent(400.0, 20.0, 5.0)
    (90.0, 75.0, 100.0)
    """
    if not loss_mw > 0 or math.isnan(ace_before_mw) or math.isnan(ace_best_mw):
        return math.nan
    missing = max(0.0, ace_before_mw - ace_best_mw) if ace_before_mw < 0 else max(0.0, -ace_best_mw)
    return 100.0 * max(0.0, loss_mw - missing) / loss_mw


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A loss of generation and how the area came back; NaN = unknown.

    Attributes:
        begin_ns: ns UTC of the loss.
        loss_mw: what was lost.
        cause: which units.
        ace_before_mw: mean ACE of the 16 s before.
        ace_best_mw: highest ACE since.
        recovered_s: seconds until the ACE was back at the lesser of zero and its value before; infinite = not yet.
        valid: share of the cycles since in which the ACE was known; once closed, of those that 15 minutes should have.
        closed: the 15 minutes are over.
    """

    begin_ns: int
    loss_mw: float
    cause: str
    ace_before_mw: float
    ace_best_mw: float = math.nan
    recovered_s: float = math.inf
    valid: float = math.nan
    closed: bool = False

    @property
    def percent(self) -> float:
        """R, see :func:`recovery_percent`; NaN also if the ACE was known for less than half of the time."""
        return math.nan if self.valid < 0.5 else recovery_percent(self.loss_mw, self.ace_before_mw, self.ace_best_mw)


@dataclass(slots=True)
class _Open:
    found: Disturbance
    asked: int = 0
    valid: int = 0


class DisturbanceWatch:
    """Finds sudden losses of generation and follows each for 15 minutes.

    A unit that falls by ``loss_mw`` or more within a minute, beyond what its set-point asked, is lost. Losses within a minute
    of the first are one disturbance.

    Args:
        units: names, in the order of the columns.
        loss_mw: smallest loss that counts; NaN or 0 = none is looked for.
        cycle_s: how often a sample should come: what nobody watched is not known.
    """

    def __init__(self, units: Sequence[str], loss_mw: float, cycle_s: float) -> None:
        self._units = tuple(units)
        self._loss = loss_mw
        self._due = RECOVERY_S / cycle_s
        self._ace: deque[tuple[int, float]] = deque()
        self._past: deque[tuple[int, npt.NDArray[np.float64], npt.NDArray[np.float64]]] = deque()
        self._open: list[_Open] = []

    @property
    def open(self) -> tuple[Disturbance, ...]:
        """Those whose 15 minutes run."""
        return tuple(one.found for one in self._open)

    def sample(
        self, now_ns: int, ace_mw: float, power_mw: npt.NDArray[np.float64], setpoint_mw: npt.NDArray[np.float64]
    ) -> list[Disturbance]:
        """Take one cycle; returns the disturbances that ended in it. After a jump of the clock the past is forgotten.

        Args:
            now_ns: ns UTC.
            ace_mw: ACE, NaN = unknown.
            power_mw: output of each unit, NaN = unknown.
            setpoint_mw: its set-point, NaN = none.
        """
        if self._past and not 0 < now_ns - self._past[-1][0] <= SUDDEN_S * NS_PER_S:
            self._past.clear()
            self._ace.clear()
        self._detect(now_ns, power_mw, setpoint_mw)
        self._ace.append((now_ns, ace_mw))
        while self._ace[0][0] < now_ns - SUDDEN_S * NS_PER_S:
            self._ace.popleft()
        return self._follow(now_ns, ace_mw)

    def _detect(self, now_ns: int, power: npt.NDArray[np.float64], setpoint: npt.NDArray[np.float64]) -> None:
        if not self._loss > 0:
            return
        while self._past and self._past[0][0] < now_ns - SUDDEN_S * NS_PER_S:
            self._past.popleft()
        if self._past:
            before = np.fmax.reduce([past for _, past, _ in self._past])
            asked = np.fmax.reduce([past for _, _, past in self._past]) - setpoint
            drop = before - power - np.where(np.isfinite(asked), np.maximum(asked, 0.0), 0.0)
            lost = np.flatnonzero(drop >= self._loss)
            if lost.size:
                self._begin(now_ns, float(drop[lost].sum()), ", ".join(self._units[unit] for unit in lost))
                for _, past, _ in self._past:
                    past[lost] = power[lost]
        self._past.append((now_ns, power.copy(), setpoint.copy()))

    def _begin(self, now_ns: int, loss_mw: float, cause: str) -> None:
        for one in self._open:
            if 0 <= now_ns - one.found.begin_ns <= SUDDEN_S * NS_PER_S:
                one.found = replace(one.found, loss_mw=one.found.loss_mw + loss_mw, cause=f"{one.found.cause}, {cause}")
                return
        known = [ace for at, ace in self._ace if at >= now_ns - BEFORE_S * NS_PER_S and math.isfinite(ace)]
        self._open.append(_Open(Disturbance(now_ns, loss_mw, cause, sum(known) / len(known) if known else math.nan)))

    def _follow(self, now_ns: int, ace: float) -> list[Disturbance]:
        ended = []
        for one in list(self._open):
            found, elapsed = one.found, (now_ns - one.found.begin_ns) / NS_PER_S
            if not 0 <= elapsed <= RECOVERY_S:
                one.found = replace(found, closed=True, valid=min(1.0, one.valid / max(one.asked, self._due)))
                ended.append(one.found)
                self._open.remove(one)
                continue
            one.asked += 1
            if math.isfinite(ace):
                one.valid += 1
                back = math.isinf(found.recovered_s) and ace >= min(0.0, found.ace_before_mw) and elapsed > 0
                best = ace if math.isnan(found.ace_best_mw) else max(found.ace_best_mw, ace)
                recovered = elapsed if back else found.recovered_s
                one.found = replace(found, ace_best_mw=best, recovered_s=recovered, valid=one.valid / one.asked)
        return ended

    def state(self) -> dict[str, Any]:
        """Everything that later results depend on, for :meth:`restore`."""
        return {
            "units": list(self._units),
            "ace": [list(one) for one in self._ace],
            "past": [[at, power.tolist(), setpoint.tolist()] for at, power, setpoint in self._past],
            "open": [[asdict(one.found), one.asked, one.valid] for one in self._open],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an exported state; the past of units that are gone is forgotten."""
        places = {name: index for index, name in enumerate(state["units"])}
        take = [places.get(name, -1) for name in self._units]

        def columns(values: list[float]) -> npt.NDArray[np.float64]:
            return np.array([values[place] if place >= 0 else math.nan for place in take], dtype=np.float64)

        self._ace = deque((at, ace) for at, ace in state["ace"])
        self._past = deque((at, columns(power), columns(setpoint)) for at, power, setpoint in state["past"])
        self._open = [_Open(Disturbance(**found), asked, valid) for found, asked, valid in state["open"]]
