"""Sharing the target of a plant among its members: equal margin, equal output or by capacity, with the fewest stops."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scada.apps.agc_avc.agc.allocation import allocate

F8 = npt.NDArray[np.float64]

_TOLERANCE_MW = 1e-6


@dataclass(frozen=True, slots=True)
class Shareholder:
    """A member as the split sees it, MW; ``low <= high`` and ``reach_low <= reach_high``.

    Attributes:
        at: where it stands: what it was told or, where that says nothing, what it generates.
        low, high: what it can be told while it runs.
        reach_low, reach_high: what its ramp lets it reach in this cycle, inside its limits where possible.
        capacity: rated power.
        may_stop: it may be told 0 although ``low`` is above 0.
        stopped: it was told 0 before for want of another way.
        may_start: if stopped, it may be started again.
    """

    at: float
    low: float
    high: float
    reach_low: float
    reach_high: float
    capacity: float
    may_stop: bool = False
    stopped: bool = False
    may_start: bool = True


@dataclass(frozen=True, slots=True)
class Split:
    """Result of one split.

    Attributes:
        power: MW of each member.
        stopped: who is told 0 for want of another way.
        unmet: demand less the sum.
    """

    power: tuple[float, ...]
    stopped: frozenset[int]
    unmet: float


def split(rule: str, members: Sequence[Shareholder], demand: float) -> Split:
    """Share ``demand`` (MW) among members.

    ``margin`` is ``x_i = P_i + (D - sum P) m_i / sum m`` with ``m`` the way up to ``high`` or down to ``low``, which is the
    water-filling of :func:`~scada.apps.agc_avc.agc.allocation.allocate` with participation ``m``, and so holds with limits, too;
    ``average`` gives all the same output, ``capacity`` the same per capacity, as far as limits allow.

    Nobody is stopped while all can run; else as few as possible. An order is a ceiling: where no set of members can meet it
    exactly they stay below it.

    Args:
        rule: ``margin``, ``average`` or ``capacity``.
        members: who takes part.
        demand: MW wanted from them together.
    """
    stopped = _stops(members, demand)
    running = [index for index in range(len(members)) if index not in stopped]
    power = [0.0] * len(members)
    if not running:
        return Split(tuple(power), stopped, demand)
    shares = [members[index] for index in running]
    low, high = _column(m.reach_low for m in shares), _column(m.reach_high for m in shares)
    base, alpha = _shares(rule, shares, demand)
    found = allocate(base, alpha, low, high, demand)
    for index, mw in zip(running, found.power.tolist(), strict=True):
        power[index] = mw
    return Split(tuple(power), stopped, found.unmet)


def keep_in_deadband(rule: str, members: Sequence[Shareholder], demand: float, first: Split, keep: Sequence[float]) -> Split:
    """Hold members at what they were told and let the others take the rest; the first split if that cannot meet the demand.

    Args:
        rule: as for :func:`split`.
        members: who takes part.
        demand: MW wanted from them together.
        first: the split without holding anybody.
        keep: what each member is held at, NaN = it moves.
    """
    moving = [index for index, mw in enumerate(keep) if math.isnan(mw) and index not in first.stopped]
    if not moving:
        return first
    power = [0.0 if index in first.stopped or math.isnan(mw) else mw for index, mw in enumerate(keep)]
    second = split(rule, [members[index] for index in moving], demand - sum(power))
    if second.stopped or abs(second.unmet) > abs(first.unmet) + _TOLERANCE_MW:
        return first
    for index, mw in zip(moving, second.power, strict=True):
        power[index] = mw
    return Split(tuple(power), first.stopped, second.unmet)


def _column(values: Iterable[float]) -> F8:
    return np.array(list(values), dtype=np.float64)


def _shares(rule: str, members: Sequence[Shareholder], demand: float) -> tuple[F8, F8]:
    """(base, participation) of each member for the allocation kernel."""
    if rule == "average":
        return np.zeros(len(members)), np.ones(len(members))
    if rule == "capacity":
        return np.zeros(len(members)), np.maximum(_column(m.capacity for m in members), _TOLERANCE_MW)
    at = _column(min(max(m.at, m.low), m.high) for m in members)
    if demand >= at.sum():
        return at, np.maximum(_column(m.high for m in members) - at, 0.0)
    return at, np.maximum(at - _column(m.low for m in members), 0.0)


def _stops(members: Sequence[Shareholder], demand: float) -> frozenset[int]:
    """Who is told 0: those stopped before that are not needed, and as few more as the demand asks for."""
    stopped = {index for index, member in enumerate(members) if member.stopped}
    low = sum(member.low for index, member in enumerate(members) if index not in stopped)
    high = sum(member.high for index, member in enumerate(members) if index not in stopped)
    low, high = _start(members, demand, stopped, low, high)
    while low > demand + _TOLERANCE_MW:
        able = [i for i, member in enumerate(members) if i not in stopped and member.may_stop and member.low > 0]
        if not able:
            break
        # one more stop that leaves a set which meets the demand, else the one that brings it down furthest
        fitting = [i for i in able if low - members[i].low <= demand + _TOLERANCE_MW and high - members[i].high >= demand]
        chosen = (
            min(fitting, key=lambda i: (members[i].capacity, i)) if fitting else min(able, key=lambda i: (-members[i].low, i))
        )
        stopped.add(chosen)
        low, high = low - members[chosen].low, high - members[chosen].high
    return frozenset(stopped)


def _start(members: Sequence[Shareholder], demand: float, stopped: set[int], low: float, high: float) -> tuple[float, float]:
    """Start again what the demand needs and leaves room for, the largest first."""
    while stopped and high < demand - _TOLERANCE_MW:
        able = [i for i in stopped if members[i].may_start and low + members[i].low <= demand + _TOLERANCE_MW]
        if not able:
            break
        chosen = min(able, key=lambda i: (-members[i].high, i))
        stopped.discard(chosen)
        low, high = low + members[chosen].low, high + members[chosen].high
    return low, high
