"""Kernels that move targets: base points, windows, crossing of forbidden zones, plants that run free, tests."""

from __future__ import annotations

import math

from scada.apps.agc_avc.agc.compiling import njit
from scada.apps.agc_avc.agc.modes import AUTO, BASE, CECO, CLOSED, PROP, SCHE, TEST, YCBASE
from scada.apps.agc_avc.agc.unit_kernels import EDGE, UNDER_CONTROL, Rules, let_go, take_over
from scada.apps.agc_avc.agc.unit_table import B1, UnitState, UnitTable


@njit(cache=True, nogil=True, _nrt=False)
def base_of(s: UnitState, i: int, emergency: bool) -> float:
    """Base point of a unit for this cycle, MW: where the target stands unless its mode says otherwise."""
    mode, point = s.base_mode[i], math.nan
    if mode == SCHE:
        point = s.schedule[i]
    elif mode == BASE:
        point = s.base_point[i]
    elif mode == YCBASE:
        point = s.telemetered[i]
    elif mode == PROP or (mode == CECO and not emergency):
        point = s.shared_base[i]
    return float(s.target[i] if math.isnan(point) else min(max(point, s.low[i]), s.high[i]))


@njit(cache=True, nogil=True, _nrt=False)
def segment(t: UnitTable, i: int, mw: float) -> int:
    """The allowed range that holds ``mw``, -1 inside a forbidden zone."""
    for k in range(t.first[i], t.first[i + 1]):
        if t.segment_lo[k] - EDGE <= mw <= t.segment_hi[k] + EDGE:
            return k
    return -1


@njit(cache=True, nogil=True, _nrt=False)
def zone_edges(t: UnitTable, i: int, mw: float) -> tuple[float, float]:
    """The edges between which a forbidden output lies."""
    below, above = t.minimum[i], t.maximum[i]
    for k in range(t.first[i], t.first[i + 1]):
        if t.segment_hi[k] <= mw:
            below = t.segment_hi[k]
    for k in range(t.first[i + 1] - 1, t.first[i] - 1, -1):
        if t.segment_lo[k] >= mw:
            above = t.segment_lo[k]
    return below, above


@njit(cache=True, nogil=True, _nrt=False)
def window(t: UnitTable, s: UnitState, r: Rules, i: int, wanted: float) -> tuple[float, float]:
    """Where the target may go this cycle, on the way to where it is ``wanted`` without regard to the ramp.

    If a forbidden zone lies between, the window is one value: the unit crosses at full ramp, and once inside goes through. A zone
    wider than the largest step of the set-point is not crossed.
    """
    # an emergency ramp counts only where the model gives one that is faster
    rate_up = t.emergency_up[i] if r.emergency and t.emergency_up[i] > t.ramp_up[i] else s.ramp_up[i]
    rate_down = t.emergency_down[i] if r.emergency and t.emergency_down[i] > t.ramp_down[i] else s.ramp_down[i]
    up, down = min(rate_up * r.dt / 60.0, r.max_step), min(rate_down * r.dt / 60.0, r.max_step)
    target = s.target[i]
    here = segment(t, i, target)
    if here < 0:
        below, above = zone_edges(t, i, target)
        if s.crossing[i] == 0:
            upwards = above - target <= target - below
            if above > s.high[i] + EDGE:
                upwards = False
            elif below < s.low[i] - EDGE:
                upwards = True
            s.crossing[i] = 1 if upwards else -1
        if s.crossing[i] > 0:
            target = target if s.raise_blocked[i] else min(target + up, above)
        else:
            target = target if s.lower_blocked[i] else max(target - down, below)
        return target, target
    s.crossing[i] = 0
    floor, ceiling = t.segment_lo[here], t.segment_hi[here]
    if wanted > ceiling + EDGE and here + 1 < t.first[i + 1]:
        above = t.segment_lo[here + 1]
        if above - s.told[i] <= t.maximum_step[i] and not s.raise_blocked[i]:
            target = min(target + up, above)
            s.crossing[i] = 1 if target > ceiling + EDGE else 0
            return target, target
    if wanted < floor - EDGE and here > t.first[i]:
        below = t.segment_hi[here - 1]
        if s.told[i] - below <= t.maximum_step[i] and not s.lower_blocked[i]:
            target = max(target - down, below)
            s.crossing[i] = -1 if target < floor - EDGE else 0
            return target, target
    # limits that tightened under the unit (sun gone, storage empty) are approached at full ramp, not jumped to
    hi = min(target + up, max(min(ceiling, s.high[i]), target - down), max(s.told[i] + t.maximum_step[i], target - down))
    lo = max(target - down, min(max(floor, s.low[i]), target + up), min(s.told[i] - t.maximum_step[i], target + up))
    return min(lo, hi), hi


@njit(cache=True, nogil=True, _nrt=False)
def follow_bases(t: UnitTable, s: UnitState, r: Rules, held_up: B1, held_down: B1) -> None:
    """Move the units that follow a base point and do not regulate now.

    Args:
        t: what the model says.
        s: what changes.
        r: parameters of the cycle.
        held_up: units whose group is at its maximum: they are not raised.
        held_down: the same at its minimum.
    """
    for i in range(len(s.power)):
        if s.reason[i] != UNDER_CONTROL or s.loop[i] != CLOSED or s.member[i]:
            continue
        s.alpha[i] = 0.0
        if t.weather[i] and s.base_mode[i] == AUTO:
            _run_free(t, s, r, i)
            continue
        if s.free[i]:  # held from now on: it starts from what it generates, not from the maximum it was allowed
            s.free[i] = False
            s.target[i] = min(max(s.power[i], s.low[i]), s.high[i])
        s.base[i] = base_of(s, i, r.emergency)
        s.wanted[i] = s.base[i]
        before = s.target[i]
        lo, hi = window(t, s, r, i, s.base[i])
        target = min(max(s.base[i], lo), hi)
        if s.crossing[i] == 0 and ((held_up[i] and target > before) or (held_down[i] and target < before)):
            target = before
        s.window_lo[i], s.window_hi[i], s.target[i] = lo, hi, target


@njit(cache=True, nogil=True, _nrt=False)
def _run_free(t: UnitTable, s: UnitState, r: Rules, i: int) -> None:
    """Let a plant whose power depends on sun or wind generate what it can while it neither regulates nor has a base point.

    Following its available power down would hold it there when that rises again. A set-point that held it back is raised to
    its maximum, at the ramp; one that was never sent is not sent.
    """
    s.free[i] = True
    s.base[i] = s.wanted[i] = s.window_lo[i] = s.window_hi[i] = math.nan
    if math.isnan(s.sent[i]):
        s.target[i] = s.told[i] = min(max(s.power[i], t.minimum[i]), t.maximum[i])
    elif not s.raise_blocked[i]:
        step = min(s.ramp_up[i] * r.dt / 60.0, r.max_step, t.maximum_step[i])
        s.target[i] = min(s.target[i] + step, t.maximum[i])


@njit(cache=True, nogil=True, _nrt=False)
def move_tests(t: UnitTable, s: UnitState, r: Rules) -> None:
    """Bring units under test towards the operator's value, held to limits, ramp and zones."""
    for i in range(len(s.power)):
        if s.loop[i] != TEST:
            continue
        if s.reason[i] != UNDER_CONTROL or math.isnan(s.test_value[i]):
            let_go(s, i)
            continue
        if math.isnan(s.target[i]):
            take_over(s, i)
        aim = min(max(s.test_value[i], s.low[i]), s.high[i])
        if segment(t, i, aim) < 0:
            below, above = zone_edges(t, i, aim)
            aim = above if (above - aim <= aim - below and above <= s.high[i]) or below < s.low[i] else below
        s.base[i] = s.wanted[i] = aim
        lo, hi = window(t, s, r, i, aim)
        s.window_lo[i], s.window_hi[i] = lo, hi
        s.target[i] = min(max(aim, lo), hi)
