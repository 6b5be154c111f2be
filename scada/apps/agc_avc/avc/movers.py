"""What the voltage problem moves: a source that stands for itself, or the sources of a plant as one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scada.apps.agc_avc.avc.records import F8
from scada.apps.agc_avc.avc.shares import Member, Shares, share
from scada.apps.agc_avc.avc.sources import SourceControl
from scada.core.avc_settings import AvcTuning
from scada.model_cim.regulation import ReactivePlant

_LEAST_HALF = 0.5
"""Mvar; a source without range has no loading to keep even."""


@dataclass(frozen=True, slots=True)
class Mover:
    """One unknown of the problem.

    Attributes:
        name: of the plant or source.
        plant: True for a plant.
        rule: of the plant, empty for a source.
        sources: their places in the zone.
        members: their state; one for a source.
        total: where changes start from, Mvar.
        low, high: change possible in this cycle.
        part: how a change falls on the sources of the zone, shape ``(sources,)``, sums to 1.
        weight, linear: of the loading in the objective.
    """

    name: str
    plant: bool
    rule: str
    sources: tuple[int, ...]
    members: tuple[Member, ...]
    total: float
    low: float
    high: float
    part: F8
    weight: float
    linear: float

    def share(self, change: float) -> Shares:
        """Set-points of its sources for a change of their total."""
        if not self.plant:
            member = self.members[0]
            return Shares((min(max(member.now + change, member.low), member.high),), 0.0)
        return share(self.total + change, self.rule, self.members)


def movers(
    sources: Sequence[SourceControl],
    able: Sequence[int],
    plants: Mapping[str, ReactivePlant],
    tuning: AvcTuning,
    *,
    urgent: bool,
) -> list[Mover]:
    """The unknowns made of the sources ``able``, in their order.

    Args:
        sources: all of the zone.
        able: places of those that may be moved.
        plants: by mRID.
        tuning: weights, reserve.
        urgent: a voltage limit is at stake: compensators may use their reserve.
    """
    groups: dict[str, list[int]] = {}
    for s in able:
        plant = sources[s].source.plant
        groups.setdefault(plant if plant in plants else f"\0{s}", []).append(s)
    return [_mover(sources, places, plants.get(key), tuning, urgent=urgent) for key, places in groups.items()]


def _mover(
    sources: Sequence[SourceControl], places: Sequence[int], plant: ReactivePlant | None, tuning: AvcTuning, *, urgent: bool
) -> Mover:
    members = tuple(_member(sources[s], tuning, urgent=urgent) for s in places)
    part, weight, linear = np.zeros(len(sources)), 0.0, 0.0
    window = np.array([member.high - member.low for member in members])
    part[list(places)] = window / window.sum() if window.sum() > 0 else 1.0 / len(members)
    half = sum(max(0.5 * (member.maximum - member.minimum), _LEAST_HALF) for member in members)
    middle = sum(0.5 * (member.maximum + member.minimum) for member in members)
    total = sum(member.now for member in members)
    compensator = all(member.svg for member in members)
    weight = tuning.loading_weight * len(members) * (tuning.svg_weight if compensator else 1.0) / (half * half)
    linear = weight * (total - middle)
    return Mover(
        plant.name if plant is not None else sources[places[0]].source.name,
        plant is not None,
        plant.share if plant is not None else "",
        tuple(places),
        members,
        total,
        sum(member.low for member in members) - total,
        sum(member.high for member in members) - total,
        part,
        weight,
        linear,
    )


def _member(control: SourceControl, tuning: AvcTuning, *, urgent: bool) -> Member:
    source, base = control.source, control.base
    lo, hi = control.bounds()
    svg = source.kind == "svg"
    keep_low, keep_high = reserve_window(control, tuning)
    if svg and not urgent:
        hi = min(hi, max(keep_high - base, min(hi, 0.0)))
        lo = max(lo, min(keep_low - base, max(lo, 0.0)))
    known = math.isfinite(source.rated_mva) and source.rated_mva > 0
    return Member(
        now=base,
        low=base + lo,
        high=base + hi,
        minimum=control.minimum,
        maximum=control.maximum,
        active=control.active,
        capacity=source.rated_mva if known else max(abs(source.minimum), abs(source.maximum)),
        svg=svg,
        keep=max(abs(keep_low), abs(keep_high)) if svg else math.inf,
    )


def reserve_window(control: SourceControl, tuning: AvcTuning) -> tuple[float, float]:
    """Where a compensator may stand and still have its reserve: the middle part of its range."""
    middle, half = 0.5 * (control.maximum + control.minimum), 0.5 * (control.maximum - control.minimum)
    part = (1.0 - tuning.svg_reserve) * half
    return middle - part, middle + part
