"""Redundant measurements of one quantity: which of them is used, and why not another one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scada.apps.agc_avc.inputs import Measurements
from scada.core.ids import PointId

_MOVES = 10
"""Changes after which it is known how often a source normally moves."""
_PATIENCE = 10.0
"""A source is frozen when it stands still for so many of its usual pauses (and ``frozen_s``)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One input of a cycle and where it came from; fields as in ``AgcSource``.

    Attributes:
        name: ``frequency``, the tie's name, ``interchange meter`` or ``time error``.
        value: NaN = none.
        unit: ``Hz``, ``MW`` or ``s``.
        source: place of the used source in the order of priority, 1 = first; 0 = none is usable.
        sources: how many there are.
        pid: point of the used source, -1 = none.
        state: ``good``, ``substituted`` (an operator entered or blocked it), ``held`` (last good value) or ``missing``.
        note: why a better one was passed over.
    """

    name: str
    value: float
    unit: str
    source: int
    sources: int
    pid: int
    state: str
    note: str = ""


class Source:
    """One quantity with several measurements: the first good one wins, the last good value stands in for some cycles.

    Args:
        name, unit: for people.
        pids: measurements by priority.
        hold_cycles: cycles for which the last good value stands in; 0 = never.
    """

    def __init__(self, name: str, unit: str, pids: Sequence[PointId], hold_cycles: int = 0) -> None:
        self.name = name
        self._unit = unit
        self._pids = [int(pid) for pid in pids]
        self._hold_cycles = hold_cycles
        self._last = math.nan
        self._age = 0

    def read(self, inputs: Measurements) -> Reading:
        """Take this cycle's value; call once a cycle (holding counts calls)."""
        for place, pid in enumerate(self._pids, start=1):
            value = inputs.read(pid)
            if value is not None:
                self._last, self._age = value, 0
                return self._reading(value, place, pid, "substituted" if inputs.is_held(pid) else "good")
        self._age += 1
        if math.isnan(self._last) or self._age > self._hold_cycles:
            return self._reading(math.nan, 0, -1, "missing")
        return self._reading(self._last, 0, -1, "held")

    def _reading(self, value: float, place: int, pid: int, state: str, note: str = "") -> Reading:
        return Reading(self.name, value, self._unit, place, len(self._pids), pid, state, note)

    def state(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {"last": self._last, "age": self._age}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up where :meth:`state` was asked."""
        self._last, self._age = float(state["last"]), int(state["age"])


@dataclass(slots=True)
class _Movement:
    """How one frequency source moves: its last value, how long it stands still, its usual pause."""

    last: float = math.nan
    still_s: float = 0.0
    moves: int = 0
    pause_s: float = 0.0

    def take(self, value: float, dt: float) -> None:
        self.still_s += dt
        if value == self.last:
            return
        if not math.isnan(self.last):
            # the first pause began before anybody looked, and one beyond patience was no usual one
            pause = self.still_s if self.moves < 2 else min(self.still_s, _PATIENCE * self.pause_s)
            self.pause_s += (pause - self.pause_s) / min(max(self.moves, 1), 20)
            self.moves += 1
        self.last, self.still_s = value, 0.0

    def is_frozen(self, after_s: float) -> bool:
        return after_s > 0 and self.moves >= _MOVES and self.still_s >= max(after_s, _PATIENCE * self.pause_s)


@dataclass(frozen=True, slots=True)
class FrequencyReading:
    """Frequency of a cycle.

    Attributes:
        reading: the used source; its value is NaN if none may be used.
        spread_hz: largest difference of good sources.
        frozen: every good source stands still.
    """

    reading: Reading
    spread_hz: float
    frozen: bool


class FrequencySources:
    """Frequency by priority. It is never held; a frozen source is passed over for one that still moves.

    A source counts as frozen when its value stays exactly the same for ``frozen_s`` and for ten times its usual pause between two
    changes: one that is sent with a coarse dead band rests longer and is not accused of it. What an operator entered may rest.

    Args:
        pids: measurements by priority.
        frozen_s: see above; 0 = never frozen.
        all_frozen_s: where no source moves, the first is used for so long all the same; 0 = always.
    """

    def __init__(self, pids: Sequence[PointId], frozen_s: float, all_frozen_s: float) -> None:
        self._pids = [int(pid) for pid in pids]
        self._frozen_s, self._all_frozen_s = frozen_s, all_frozen_s
        self._movement = {pid: _Movement() for pid in self._pids}

    def read(self, inputs: Measurements, dt: float) -> FrequencyReading:
        """Take this cycle's values; call once a cycle.

        Args:
            inputs: measurements.
            dt: seconds since the last cycle.
        """
        good: list[tuple[int, int, float]] = []
        still: list[tuple[int, int, float]] = []
        for place, pid in enumerate(self._pids, start=1):
            value = inputs.read(pid)
            if value is None:
                continue
            self._movement[pid].take(value, dt)
            if self._movement[pid].is_frozen(self._frozen_s) and not inputs.is_held(pid):
                still.append((place, pid, value))
            else:
                good.append((place, pid, value))
        note = f"source {', '.join(str(place) for place, _, _ in still)} is frozen" if still else ""
        if not good and still and not self._all_frozen(still):
            good, note = still, "stands still"
        count = len(self._pids)
        if not good:
            missing = Reading("frequency", math.nan, "Hz", 0, count, -1, "missing", note)
            return FrequencyReading(missing, 0.0, bool(still))
        place, pid, value = good[0]
        values = [one for _, _, one in good]
        state = "substituted" if inputs.is_held(pid) else "good"
        return FrequencyReading(
            Reading("frequency", value, "Hz", place, count, pid, state, note), max(values) - min(values), frozen=False
        )

    def _all_frozen(self, still: Sequence[tuple[int, int, float]]) -> bool:
        limit = max(self._all_frozen_s, self._frozen_s)
        return self._all_frozen_s > 0 and all(self._movement[pid].is_frozen(limit) for _, pid, _ in still)

    def state(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {str(pid): [one.last, one.still_s, one.moves, one.pause_s] for pid, one in self._movement.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up where :meth:`state` was asked; sources that no longer exist are left out."""
        for key, (last, still_s, moves, pause_s) in state.items():
            if int(key) in self._movement:
                self._movement[int(key)] = _Movement(float(last), float(still_s), int(moves), float(pause_s))
