"""Tertiary control: where the voltage targets of the pilot nodes come from.

A :class:`VoltageReference` says which target a pilot node has at a time. The best one that has an answer counts: a plan (from a
file, or whatever implements the interface, such as a reactive optimum), then the periods of the configuration, then the model. A
new target is approached at a ramp and never leaves the limits of the pilot node.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scada.core.avc_settings import AvcReferenceSettings, ReferencePeriod
from scada.core.clock import NS_PER_S
from scada.model_cim.regulation import PilotNode

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Reference:
    """A target.

    Attributes:
        kv: the target, NaN = this source has none now.
        note: why it has none, or what is to be said about it.
    """

    kv: float
    note: str = ""


class VoltageReference(Protocol):
    """A source of targets."""

    @property
    def source(self) -> str:
        """Short name of the source, shown with each target: ``file``, ``period``, ``optimum``."""
        ...

    def target(self, pilot: PilotNode, now_ns: int) -> Reference:
        """Target of a pilot node at a time (ns UTC)."""
        ...


class PeriodReference:
    """Targets by the time of the day, from the configuration.

    Args:
        settings: periods of all and of single pilot nodes.
        day_offset_s: seconds added to UTC for the local time of the day.
    """

    source = "period"

    def __init__(self, settings: AvcReferenceSettings, day_offset_s: float) -> None:
        self._common = sorted(settings.periods, key=lambda period: period.begins)
        self._own = {name: sorted(periods, key=lambda period: period.begins) for name, periods in settings.pilots.items()}
        self._offset_s = day_offset_s

    def target(self, pilot: PilotNode, now_ns: int) -> Reference:
        """The period that runs; before the first of the day still the last one of the day before."""
        periods = self._own.get(pilot.name, self._own.get(pilot.mrid, self._common))
        if not periods:
            return Reference(math.nan)
        period = _running(periods, (now_ns / NS_PER_S + self._offset_s) % _DAY_S)
        return Reference(pilot.target * period.percent / 100.0 if period.kv is None else period.kv)


def _running(periods: Sequence[ReferencePeriod], second: float) -> ReferencePeriod:
    begun = [period for period in periods if int(period.begins[:2]) * 3600 + int(period.begins[3:]) * 60 <= second]
    return begun[-1] if begun else periods[-1]


@dataclass(frozen=True, slots=True)
class Target:
    """Target in force of one pilot node: kV, where it comes from, what is to be said about it."""

    kv: float
    source: str
    note: str


class TertiaryControl:
    """Targets of all pilot nodes, ramped and limited.

    Args:
        pilots: the pilot nodes.
        settings: periods and ramp.
        day_offset_s: seconds added to UTC for the local time of the day.
    """

    def __init__(self, pilots: Sequence[PilotNode], settings: AvcReferenceSettings, day_offset_s: float = 0.0) -> None:
        self._pilots = list(pilots)
        self._ramp = settings.ramp_percent / 100.0 / 60.0
        self._periods = PeriodReference(settings, day_offset_s)
        self._plan: VoltageReference | None = None
        self._kv: dict[str, float] = {}
        self._last_ns = 0

    def use(self, plan: VoltageReference | None) -> None:
        """Take a plan; None = none any more."""
        self._plan = plan

    @property
    def sources(self) -> list[VoltageReference]:
        """In order of priority."""
        return [self._periods] if self._plan is None else [self._plan, self._periods]

    def targets(self, now_ns: int) -> dict[str, Target]:
        """Targets by mRID at a time; call once a cycle."""
        elapsed_s = max(now_ns - self._last_ns, 0) / NS_PER_S if self._last_ns else 0.0
        self._last_ns = now_ns
        return {pilot.mrid: self._target(pilot, now_ns, elapsed_s) for pilot in self._pilots}

    def _target(self, pilot: PilotNode, now_ns: int, elapsed_s: float) -> Target:
        notes: list[str] = []
        wanted, source = pilot.target, "model"
        for reference in self.sources:
            found = reference.target(pilot, now_ns)
            if found.note:
                notes.append(found.note)
            if math.isfinite(found.kv) and found.kv > 0:
                wanted, source = found.kv, reference.source
                break
        low = pilot.minimum if math.isfinite(pilot.minimum) else -math.inf
        high = pilot.maximum if math.isfinite(pilot.maximum) else math.inf
        limited = min(max(wanted, low), high) if low <= high else pilot.target
        if limited != wanted:
            notes.append(f"{wanted:.2f} kV is outside the limits")
        kv = self._kv.get(pilot.mrid, limited if source == "model" else pilot.target)
        if low <= high:  # what was kept may be of a model with other limits
            kv = min(max(kv, low), high)
        step = self._ramp * elapsed_s * pilot.target
        kv = limited if abs(limited - kv) <= step else kv + math.copysign(step, limited - kv)
        self._kv[pilot.mrid] = kv
        if kv != limited:
            notes.append(f"on the way to {limited:.2f} kV")
        return Target(kv, source, "; ".join(notes))

    def state(self) -> dict[str, Any]:
        """Everything that a later life needs to go on from here, but the plan, which is read again."""
        return {"kv": dict(self._kv), "last_ns": self._last_ns}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; pilot nodes that the model no longer has are ignored."""
        known = {pilot.mrid for pilot in self._pilots}
        self._kv = {mrid: float(kv) for mrid, kv in state["kv"].items() if mrid in known}
        self._last_ns = int(state["last_ns"])
