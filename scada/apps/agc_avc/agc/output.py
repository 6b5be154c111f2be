"""Kernels that decide what is sent: set-points and pulses, by dead band, interval, step, blocks and zones."""

from __future__ import annotations

import math

from scada.apps.agc_avc.agc.compiling import njit
from scada.apps.agc_avc.agc.modes import OPEN, TEST
from scada.apps.agc_avc.agc.unit_kernels import EDGE, UNDER_CONTROL, Rules
from scada.apps.agc_avc.agc.unit_motion import segment, zone_edges
from scada.apps.agc_avc.agc.unit_table import UnitState, UnitTable


@njit(cache=True, nogil=True, _nrt=False)
def send(t: UnitTable, s: UnitState, r: Rules) -> int:
    """Mark in ``due`` what is sent now, and note it as sent; returns how many."""
    count = 0
    for i in range(len(s.power)):
        s.due[i] = False
        if s.reason[i] != UNDER_CONTROL or s.loop[i] == OPEN or math.isnan(s.target[i]):
            continue
        if r.only_tests and s.loop[i] != TEST:
            continue
        setpoint = s.target[i]
        inside = segment(t, i, setpoint) < 0
        if inside:
            below, above = zone_edges(t, i, setpoint)
            setpoint = above if s.crossing[i] > 0 else below
        s.setpoint[i] = setpoint
        if t.splits[i]:  # its members are told each cycle
            s.told_before[i], s.told[i], s.sent[i] = s.told[i], setpoint, setpoint
            continue
        pulses = not math.isnan(t.pulse_mw[i])
        if _pulse_due(t, s, r, i, inside) if pulses else _setpoint_due(t, s, r, i, inside):
            s.due[i] = True
            s.told_before[i], s.told[i], s.sent[i] = s.told[i], s.setpoint[i], s.setpoint[i]
            s.sent_at[i], s.sent_ns[i] = r.now, r.now_ns
            count += 1
    return count


@njit(cache=True, nogil=True, _nrt=False)
def _setpoint_due(t: UnitTable, s: UnitState, r: Rules, i: int, inside: bool) -> bool:
    """True if the set-point differs enough from the last one and may be sent now."""
    setpoint, told = s.setpoint[i], s.told[i]
    if not inside:
        setpoint = min(max(setpoint, told - t.maximum_step[i]), told + t.maximum_step[i])
        if segment(t, i, setpoint) < 0:
            return False
        s.setpoint[i] = setpoint
    elif abs(setpoint - told) > t.maximum_step[i]:
        return False
    blocked = (s.raise_blocked[i] and setpoint > told + EDGE) or (s.lower_blocked[i] and setpoint < told - EDGE)
    if blocked or r.now - s.sent_at[i] < t.interval_s[i]:
        return False
    least = max(t.deadband[i], EDGE)
    if math.isnan(s.sent[i]):
        return bool(abs(setpoint - s.power[i]) >= least)
    reached = abs(s.sent[i] - s.power[i]) <= max(2.0 * t.deadband[i], r.response_band * t.rated[i])
    return bool((reached or not t.waits[i]) and abs(setpoint - s.sent[i]) >= least)


@njit(cache=True, nogil=True, _nrt=False)
def _pulse_due(t: UnitTable, s: UnitState, r: Rules, i: int, inside: bool) -> bool:
    """True if a pulse brings the unit nearer to its set-point; notes what it should move in ``pending``.

    What a pulse moves arrives late: what earlier ones should still move counts as moved, and is forgotten after a while.
    """
    pulse, pending = t.pulse_mw[i], s.pending[i]
    if not math.isnan(s.previous[i]):
        moved = s.power[i] - s.previous[i]
        pending -= min(max(moved, min(pending, 0.0)), max(pending, 0.0))
    if r.now - s.sent_at[i] > r.pulse_settle:
        pending = 0.0
    s.pending[i] = pending
    error = s.setpoint[i] - s.power[i] - pending
    if abs(error) < max(t.deadband[i], 0.5 * pulse) or r.now - s.sent_at[i] < t.interval_s[i] or pulse > t.maximum_step[i]:
        return False
    if (s.raise_blocked[i] and error > 0.0) or (s.lower_blocked[i] and error < 0.0):
        return False
    step = math.copysign(pulse, error)
    after = s.power[i] + pending + step
    nearer_range = abs(error) >= pulse  # a pulse that does not reach the set-point cannot lead out of what it allows
    if not inside and not nearer_range and (segment(t, i, after) < 0 or not s.low[i] <= after <= s.high[i]):
        return False
    s.pending[i] = step if pending * step < 0.0 else pending + step
    return True
