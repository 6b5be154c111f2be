"""How a plant's reactive power is shared among its sources.

Equal margin ``q = q0 + (D - sum q0) m / sum m`` with the margins ``m`` in the direction of the change, equal power factor
``q = P tan phi``, equal capacity ``q = S z``; each is one water level, so that a source at its limit leaves its part to the
others.
Within a plant no source works against another: none gets the sign opposite to the total, as far as its limits and steps let it.
Dynamic compensators come last: the others take what they can, so that a compensator keeps its range in reserve.

Rules of the field (common practice in Chinese AVC substations); which one a plant uses is the model's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]

RULES = ("margin", "power-factor", "capacity")


@dataclass(frozen=True, slots=True)
class Member:
    """A source of a plant in one cycle; Mvar.

    Attributes:
        now: where it stands.
        low, high: what it can be told in this cycle.
        minimum, maximum: its range.
        active: MW, NaN = not known.
        capacity: MVA or, where that is not known, the larger of its limits.
        svg: it is a dynamic compensator.
        keep: what a compensator may hold itself, either way.
    """

    now: float
    low: float
    high: float
    minimum: float
    maximum: float
    active: float = math.nan
    capacity: float = math.nan
    svg: bool = False
    keep: float = math.inf


@dataclass(frozen=True, slots=True)
class Shares:
    """Set-points of the members, in their order.

    Attributes:
        setpoints: Mvar.
        unmet: total less their sum.
        note: what had to be done otherwise; empty = nothing.
    """

    setpoints: tuple[float, ...]
    unmet: float
    note: str = ""


def share(total: float, rule: str, members: Sequence[Member]) -> Shares:
    """Share ``total`` (Mvar). Never outside ``low`` and ``high``; the sum is met as far as these and the signs allow."""
    low = np.array([member.low for member in members], dtype=np.float64)
    high = np.array([member.high for member in members], dtype=np.float64)
    if total >= 0:
        low = np.maximum(low, np.minimum(high, 0.0))
    if total <= 0:
        high = np.minimum(high, np.maximum(low, 0.0))
    svg = np.array([member.svg for member in members], dtype=np.bool_)
    now = np.array([member.now for member in members], dtype=np.float64)
    keep = np.array([member.keep for member in members], dtype=np.float64)
    kept = np.clip(np.clip(now, -keep, keep), low, high)
    setpoints = np.empty(len(members))
    main = np.flatnonzero(~svg)
    base, slope, note = _rule(
        rule, [member for member in members if not member.svg], total - float(kept[svg].sum()) - float(now[main].sum())
    )
    setpoints[main] = fill(base, slope, low[main], high[main], total - float(kept[svg].sum()))
    last = np.flatnonzero(svg)
    rest = total - float(setpoints[main].sum())
    more = rest - float(kept[last].sum())
    end = np.array([member.maximum if more >= 0 else member.minimum for member in members if member.svg], dtype=np.float64)
    margin = end - kept[last] if more >= 0 else kept[last] - end
    setpoints[last] = fill(kept[last], np.maximum(margin, 0.0), low[last], high[last], rest)
    return Shares(tuple(setpoints.tolist()), total - float(setpoints.sum()), note)


def _rule(rule: str, members: Sequence[Member], change: float) -> tuple[F8, F8, str]:
    """Base and slope of each member by a rule, and what is to be said about it."""
    none = np.zeros(len(members))
    if rule == "power-factor":
        active = np.abs(np.array([member.active for member in members], dtype=np.float64))
        if np.isfinite(active).all():
            return none, active, ""
        note = "equal margin instead of equal power factor: an active power is not known"
    elif rule == "capacity":
        capacity = np.array([member.capacity for member in members], dtype=np.float64)
        if (np.isfinite(capacity) & (capacity > 0)).all():
            return none, capacity, ""
        note = "equal margin instead of equal capacity: a capacity is not known"
    else:
        note = "" if rule == "margin" else f"no share {rule!r}: equal margin"
    now = np.array([member.now for member in members], dtype=np.float64)
    end = np.array([member.maximum if change >= 0 else member.minimum for member in members], dtype=np.float64)
    return now, np.maximum(end - now if change >= 0 else now - end, 0.0), note


def fill(base: F8, slope: F8, low: F8, high: F8, total: float) -> F8:
    """``x = clip(base + slope level, low, high)`` with the level at which they add up to ``total``; the nearest where none does.

    ``slope`` >= 0; 0 keeps a member at its base, within ``low <= high``.
    """
    fixed = np.clip(base, low, high)
    moving = np.flatnonzero(slope > 0)
    if not len(moving):
        return fixed
    b, s, lo, hi = base[moving], slope[moving], low[moving], high[moving]
    levels = np.unique(np.concatenate([(lo - b) / s, (hi - b) / s]))
    sums = np.clip(b + s * levels[:, None], lo, hi).sum(axis=1)
    wanted = total - float(fixed.sum() - fixed[moving].sum())
    level = float(np.interp(wanted, sums, levels))
    fixed[moving] = np.clip(b + s * level, lo, hi)
    return fixed
