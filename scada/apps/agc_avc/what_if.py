"""What other parameters would have ordered: recorded cycles run twice, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scada.apps.agc_avc.agc.controller import AgcDecision
from scada.apps.agc_avc.recording import RecordedCycle, RunHeader
from scada.apps.agc_avc.rerun import Changes, Rerun, RerunController

MOST_POINTS = 2000
"""Points of the series at most; more cycles are thinned out evenly."""

Segment = tuple[RunHeader, Iterable[RecordedCycle]]
"""A recording: its beginning and its cycles."""


@dataclass(slots=True)
class Commanded:
    """What one control was sent.

    Attributes:
        name: of the unit, source or device.
        commands: their number.
        mileage: sum of the steps between them, MW or Mvar; of a device the number of operations.
        last: the newest, NaN = none.
    """

    name: str
    commands: int = 0
    mileage: float = 0.0
    last: float = math.nan

    def take(self, value: float) -> None:
        """Count a command."""
        self.commands += 1
        if not math.isnan(self.last):
            self.mileage += abs(value - self.last)
        self.last = value


@dataclass(slots=True)
class Side:
    """One of the two runs.

    Attributes:
        controls: what each control was sent, by cid.
        square: sum of the squared requirement (AGC), MW².
        on: cycles in which it could send.
    """

    controls: dict[int, Commanded] = field(default_factory=dict)
    square: float = 0.0
    on: int = 0

    def of(self, cid: int) -> Commanded:
        """What a control was sent; nothing, if it was not."""
        return self.controls.get(cid, Commanded(""))

    @property
    def commands(self) -> int:
        """Commands of all controls."""
        return sum(one.commands for one in self.controls.values())

    @property
    def mileage(self) -> float:
        """Mileage of all controls."""
        return math.fsum(one.mileage for one in self.controls.values())

    def take(self, run: Rerun, names: Mapping[int, str]) -> None:
        """Count a cycle."""
        decision = run.decision
        self.on += decision.state == "on"
        if isinstance(decision, AgcDecision) and math.isfinite(decision.regulation_mw):
            self.square += decision.regulation_mw**2
        for cid, value in run.outputs:
            self.controls.setdefault(cid, Commanded(names.get(cid, f"control {cid}"))).take(value)


@dataclass(slots=True)
class Comparison:
    """Two runs over the same recorded measurements.

    Attributes:
        cycles: compared.
        faithful: of them, those in which the run with the recorded parameters sent exactly what was sent then.
        first_deviation_ns: time of the first one that is not; 0 = there is none.
        recorded: with the recorded parameters.
        other: with the changed ones.
        series: columns of equal length: ``time_ns``, ``ace`` and of both sides ``regulation`` and ``ordered`` (the sum of the
            newest set-points); empty for AVC.
    """

    cycles: int = 0
    faithful: int = 0
    first_deviation_ns: int = 0
    recorded: Side = field(default_factory=Side)
    other: Side = field(default_factory=Side)
    series: dict[str, list[float]] = field(default_factory=dict)


def compare(segments: Iterable[Segment], changes: Changes, from_ns: int = 0) -> Comparison:
    """Run recordings with their own parameters and with others.

    Args:
        segments: recordings of one controller, oldest first. A state is carried on to the next where the recorded run did so.
        changes: see :mod:`~scada.apps.agc_avc.rerun`.
        from_ns: cycles before only bring the controllers to their state.

    Raises:
        RegulationError: a parameter that does not exist or cannot have the value.
        StoreError: a damaged recording.
    """
    found = Comparison()
    rows: list[tuple[float, ...]] = []
    for cycle, one, other, names in _side_by_side(segments, changes):
        if cycle.now_ns < from_ns:
            continue
        found.cycles += 1
        if one.outputs == cycle.outputs:
            found.faithful += 1
        elif not found.first_deviation_ns:
            found.first_deviation_ns = cycle.now_ns
        found.recorded.take(one, names)
        found.other.take(other, names)
        if isinstance(one.decision, AgcDecision) and isinstance(other.decision, AgcDecision):
            ordered = (_ordered(found.recorded), _ordered(found.other))
            rows.append((cycle.now_ns, one.decision.ace_mw, one.decision.regulation_mw, other.decision.regulation_mw, *ordered))
    thin = rows[:: max(1, -(-len(rows) // MOST_POINTS))]
    names_of_columns = ("time_ns", "ace", "regulation", "regulation_other", "ordered", "ordered_other")
    found.series = {name: [row[k] for row in thin] for k, name in enumerate(names_of_columns)} if thin else {}
    return found


def _side_by_side(
    segments: Iterable[Segment], changes: Changes
) -> Iterator[tuple[RecordedCycle, Rerun, Rerun, Mapping[int, str]]]:
    one: RerunController | None = None
    other: RerunController | None = None
    for header, cycles in segments:
        if one is None or other is None or not one.goes_on(header):
            one, other = RerunController(header), RerunController(header, changes)
        names = _names(header.subject)
        for cycle in cycles:
            yield cycle, one.cycle(cycle), other.cycle(cycle), names


def _ordered(side: Side) -> float:
    return math.fsum(one.last for one in side.controls.values())


def _names(subject: Any) -> dict[int, str]:
    """Name of what each control moves, by cid, from anything of the subject that has both."""
    found: dict[int, str] = {}
    if isinstance(subject, Mapping):
        for key in ("setpoint", "raise_lower", "control"):
            if isinstance(subject.get(key), int | np.integer) and subject[key] >= 0:
                found[int(subject[key])] = str(subject.get("name", ""))
        subject = list(subject.values())
    if isinstance(subject, list | tuple):
        for part in subject:
            found.update(_names(part))
    return found
