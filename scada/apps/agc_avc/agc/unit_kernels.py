"""Kernels that judge each unit: its inputs, whether it can be used, how it responds, who regulates, what is sent."""

from __future__ import annotations

import math
from typing import NamedTuple

from scada.apps.agc_avc.agc.compiling import njit
from scada.apps.agc_avc.agc.modes import ALWAYS, ASSIST, AUTO, CLOSED, EMERGENCY, OFF, OPEN, TEST, YCBASE
from scada.apps.agc_avc.agc.unit_table import UnitInputs, UnitState, UnitTable

# why a unit is off control
(
    UNDER_CONTROL,
    NOT_READ,
    LOCKED,
    TAGGED,
    NO_RANGE,
    NO_POWER,
    REMOTE_UNKNOWN,
    NOT_REMOTE,
    OUTSIDE,
    NO_MODE,
    NO_BASE,
    NO_BLOCK,
    NO_AVAILABLE,
    NO_CHARGE,
    PLANT,
) = range(15)
# what narrowed its limits
NOTHING, BY_AVAILABLE, BY_CHARGE, BY_RAISE_BLOCK, BY_LOWER_BLOCK, BY_PLANT, BY_DISPATCH = range(7)

EDGE = 1e-6
"""MW within which a target counts as standing on the edge of a zone."""
TOLERANCE = 0.05
"""Part of its maximum by which a unit may run outside its limits (primary response, meter error) and stay under control."""
_ZONE_ASSIST = 2
_ZONE_EMERGENCY = 3
_FULL = 101.0
"""Largest state of charge believed, %: above it the measurement is wrong, not the storage."""
LOWER_PULSE, RAISE_PULSE = 1, 2
"""Values of a raise/lower command (IEC 60870-5-101, 7.2.6.15: regulating step)."""


class Rules(NamedTuple):
    """Parameters of one cycle for the kernels.

    Attributes:
        dt: seconds since the last cycle.
        now: monotonic seconds.
        now_ns: ns UTC.
        max_step: largest change of a target in one cycle, MW.
        emergency: the emergency zone is in force, with its ramps.
        response_cycles: misses that lock.
        response_band: part of the rated power.
        response_delay: s.
        pulse_settle: s.
        only_tests: send nothing but the test values of operators.
    """

    dt: float
    now: float
    now_ns: int
    max_step: float
    emergency: bool
    response_cycles: int
    response_band: float
    response_delay: float
    pulse_settle: float
    only_tests: bool


@njit(cache=True, nogil=True, _nrt=False)
def judge(t: UnitTable, s: UnitState, found: UnitInputs, dt: float) -> None:
    """Take measurements, narrow the limits and say for each unit whether it can be used and why not."""
    for i in range(len(s.power)):
        s.previous[i], s.power[i] = s.power[i], found.power[i]
        s.telemetered[i] = found.telemetered[i]
        s.low[i], s.high[i], s.limited[i] = t.minimum[i], t.maximum[i], NOTHING
        s.raise_blocked[i] = t.raise_block[i] and found.raise_blocked[i] == 1.0
        s.lower_blocked[i] = t.lower_block[i] and found.lower_blocked[i] == 1.0
        reason = _unusable(t, s, found, i)
        if reason == UNDER_CONTROL:
            reason = _energy_limits(t, s, found, i)
        if reason == UNDER_CONTROL:
            _block(s, i)
        s.reason[i] = reason
        _count_zone_time(t, s, i, dt)


@njit(cache=True, nogil=True, _nrt=False)
def _unusable(t: UnitTable, s: UnitState, found: UnitInputs, i: int) -> int:  # noqa: PLR0911 - one line for each cause
    if s.locked[i]:
        return LOCKED
    if found.tagged[i]:
        return TAGGED
    if not t.usable[i]:
        return NO_RANGE
    if math.isnan(s.power[i]):
        return NO_POWER
    if t.remote[i] and math.isnan(found.remote[i]):
        return REMOTE_UNKNOWN
    if t.remote[i] and found.remote[i] != 1.0:
        return NOT_REMOTE
    tolerance = max(t.deadband[i], TOLERANCE * t.rated[i])
    if not s.low[i] - tolerance <= s.power[i] <= s.high[i] + tolerance:
        return OUTSIDE
    if s.base_mode[i] == AUTO and s.reg_mode[i] == OFF and s.loop[i] != TEST:
        return NO_MODE
    if s.base_mode[i] == YCBASE and math.isnan(found.telemetered[i]):
        return NO_BASE
    if (t.raise_block[i] and math.isnan(found.raise_blocked[i])) or (t.lower_block[i] and math.isnan(found.lower_blocked[i])):
        return NO_BLOCK
    return UNDER_CONTROL


@njit(cache=True, nogil=True, _nrt=False)
def _energy_limits(t: UnitTable, s: UnitState, found: UnitInputs, i: int) -> int:
    """Narrow the limits by available power and stored energy."""
    if t.available[i]:
        available = found.available[i]
        if math.isnan(available):
            return NO_AVAILABLE
        if available < s.high[i]:
            s.high[i], s.limited[i] = max(available, s.low[i]), BY_AVAILABLE
    if t.charge[i]:
        charge = found.charge[i]
        if not 0.0 <= charge <= _FULL:
            return NO_CHARGE
        discharge = max(0.0, charge - t.soc_minimum[i]) * t.mw_per_percent[i] * t.efficiency[i]
        take_up = max(0.0, t.soc_maximum[i] - charge) * t.mw_per_percent[i] / t.efficiency[i]
        if discharge < s.high[i] or -take_up > s.low[i]:
            s.limited[i] = BY_CHARGE
        # a plant with a least output keeps it: an empty storage behind it cannot push it below what the model allows
        s.high[i] = max(min(s.high[i], discharge), t.minimum[i])
        s.low[i] = min(max(s.low[i], -take_up), s.high[i])
    return UNDER_CONTROL


@njit(cache=True, nogil=True, _nrt=False)
def _block(s: UnitState, i: int) -> None:
    """A unit whose raising is blocked stays at or below what it was told, and the other way round."""
    here = s.power[i] if math.isnan(s.told[i]) else s.told[i]
    if s.raise_blocked[i] and here < s.high[i]:
        s.high[i], s.limited[i] = max(here, s.low[i]), BY_RAISE_BLOCK
    if s.lower_blocked[i] and here > s.low[i]:
        s.low[i], s.limited[i] = min(here, s.high[i]), BY_LOWER_BLOCK


@njit(cache=True, nogil=True, _nrt=False)
def _count_zone_time(t: UnitTable, s: UnitState, i: int, dt: float) -> None:
    """How long the measured output has been inside a forbidden zone; unknown output changes nothing."""
    if math.isnan(s.power[i]):
        return
    for k in range(t.first[i], t.first[i + 1] - 1):
        if t.segment_hi[k] + EDGE < s.power[i] < t.segment_lo[k + 1] - EDGE:
            s.zone_s[i] += dt
            s.zone_alarm[i] = s.zone_s[i] > t.permitted_s[k]
            return
    s.zone_s[i] = 0.0
    s.zone_alarm[i] = False


@njit(cache=True, nogil=True, _nrt=False)
def let_go(s: UnitState, i: int) -> None:
    """Go off control."""
    s.free[i] = False
    s.target[i] = s.sent[i] = s.told[i] = s.told_before[i] = s.setpoint[i] = s.wanted[i] = math.nan
    s.window_lo[i] = s.window_hi[i] = s.base[i] = math.nan
    s.crossing[i] = s.misses[i] = 0
    s.pending[i] = s.alpha[i] = 0.0


@njit(cache=True, nogil=True, _nrt=False)
def release(s: UnitState, all_units: bool) -> None:
    """Let every unit go that is not under test."""
    for i in range(len(s.power)):
        s.member[i] = False
        if all_units or s.loop[i] != TEST:
            let_go(s, i)


@njit(cache=True, nogil=True, _nrt=False)
def take_over(s: UnitState, i: int) -> None:
    """Come under control without a bump: the target is what the unit generates."""
    s.free[i] = False
    s.target[i] = s.told[i] = s.told_before[i] = min(max(s.power[i], s.low[i]), s.high[i])
    s.sent[i] = math.nan
    s.crossing[i] = 0
    s.pending[i] = 0.0


@njit(cache=True, nogil=True, _nrt=False)
def check_response(t: UnitTable, s: UnitState, r: Rules, primary: float) -> int:
    """Count cycles in which a unit neither stands where it was told nor moves there; too many lock it. Returns how many.

    Args:
        t: what the model says.
        s: what changes.
        r: parameters of the cycle.
        primary: primary response that is allowed, per unit of the rated power.
    """
    locked = 0
    for i in range(len(s.power)):
        if math.isnan(s.sent[i]) or s.reason[i] != UNDER_CONTROL or math.isnan(s.previous[i]) or s.loop[i] == OPEN:
            s.misses[i] = 0
            continue
        if s.free[i] or s.crossing[i] != 0:  # while crossing, the set-point is beyond the zone and the target follows at the ramp
            continue
        ramp = min(min(s.ramp_up[i], s.ramp_down[i]) * r.dt / 60.0, r.max_step)
        error = s.target[i] - s.previous[i]
        moved = math.copysign(1.0, error) * (s.power[i] - s.previous[i])
        if abs(error) > max(t.deadband[i], EDGE) and moved > 0.0 and r.dt > 0.0:
            rate = moved / r.dt * 60.0
            s.rate[i] = rate if math.isnan(s.rate[i]) else s.rate[i] + 0.2 * (rate - s.rate[i])
        band = max(2.0 * t.deadband[i], r.response_band * t.rated[i]) + primary * t.rated[i] + ramp
        near = abs(s.target[i] - s.power[i]) <= band or abs(s.told[i] - s.power[i]) <= band
        if near or moved >= 0.25 * min(ramp, abs(error)):
            s.misses[i] = 0
            continue
        if r.now - s.sent_at[i] < r.response_delay:
            continue
        s.misses[i] += 1
        if s.misses[i] >= r.response_cycles:
            s.locked[i] = True
            s.reason[i] = LOCKED
            locked += 1
    return locked


@njit(cache=True, nogil=True, _nrt=False)
def enrol(t: UnitTable, s: UnitState, demand: float, zone: int) -> float:
    """Who regulates in this zone; the demand gains and loses what they bring and leave, so that nobody else moves for it."""
    for i in range(len(s.power)):
        if s.reason[i] != UNDER_CONTROL or s.loop[i] != CLOSED:
            if s.member[i]:
                s.member[i] = False
                # what the unit still generates needs no replacement; what it failed to deliver does
                demand -= s.target[i] if math.isnan(s.power[i]) else s.power[i]
            if s.loop[i] != TEST or s.reason[i] != UNDER_CONTROL:
                let_go(s, i)
            continue
        if math.isnan(s.target[i]):
            take_over(s, i)
        mode = s.reg_mode[i]
        joins = mode == ALWAYS or (mode == ASSIST and zone >= _ZONE_ASSIST) or (mode == EMERGENCY and zone >= _ZONE_EMERGENCY)
        regulates = joins and t.participation[i] > 0.0
        if regulates and not s.member[i]:
            if s.free[i]:  # regulate from what the plant generates, not from the maximum it was allowed
                s.free[i] = False
                s.target[i] = min(max(s.power[i], s.low[i]), s.high[i])
            demand += s.target[i]
        elif s.member[i] and not regulates:
            demand -= s.target[i]
        s.member[i] = regulates
    return demand
