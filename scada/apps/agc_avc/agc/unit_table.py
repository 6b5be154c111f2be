"""Units of an area as columns: what the model says (:class:`UnitTable`), what changes (:class:`UnitState`), measurements."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scada.apps.agc_avc.agc.modes import BASE_MODES, ECONOMIC, REG_MODES, SHARES
from scada.apps.agc_avc.agc.water_filling import F8, I8
from scada.apps.agc_avc.agc.zones import ZoneTable
from scada.core.agc_settings import AgcTuning
from scada.model_cim.regulation import AgcUnit

B1 = npt.NDArray[np.bool_]
_WEATHER = ("pv", "wind")


def allowed_segments(unit: AgcUnit) -> tuple[tuple[float, float], ...]:
    """Ranges of output a unit may be told, in ascending order: its limits less its forbidden zones.

    Empty if the model makes no sense (limits or ramps missing or reversed, or the zones cover everything); the unit then never
    comes under control.
    """
    figures = (unit.minimum, unit.maximum, unit.ramp_up, unit.ramp_down)
    if not all(map(math.isfinite, figures)) or unit.minimum > unit.maximum or min(unit.ramp_up, unit.ramp_down) <= 0:
        return ()
    segments = []
    floor = unit.minimum
    for lo, hi, _ in sorted(unit.forbidden):
        if lo >= unit.maximum or lo >= hi:
            continue
        if lo > floor:
            segments.append((floor, lo))
        floor = max(floor, hi)
    if floor < unit.maximum or floor == unit.minimum:
        segments.append((floor, unit.maximum))
    return tuple(segments)


class UnitTable(NamedTuple):
    """What the model says of each unit, MW, MW/min, s and %; NaN = not given.

    Segments are the allowed ranges of all units in one run: unit ``i`` has ``first[i] .. first[i + 1] - 1``; between two of them
    lies a forbidden zone, in which the unit may be for ``permitted_s`` (of the segment below).
    """

    usable: B1
    minimum: F8
    maximum: F8
    rated: F8
    deadband: F8
    participation: F8
    share: I8
    economic_weight: F8
    """MW that an increment of the price of 1 buys: 1 / (2 c), or the mean slope of the curve."""
    ramp_up: F8
    ramp_down: F8
    emergency_up: F8
    emergency_down: F8
    maximum_step: F8
    interval_s: F8
    waits: B1
    pulse_mw: F8
    """NaN = takes set-points."""
    splits: B1
    """A plant whose members take the set-points."""
    weather: B1
    """Sun or wind give its power."""
    remote: B1
    available: B1
    charge: B1
    raise_block: B1
    lower_block: B1
    mw_per_percent: F8
    soc_minimum: F8
    soc_maximum: F8
    efficiency: F8
    first: I8
    segment_lo: F8
    segment_hi: F8
    permitted_s: F8


class UnitState(NamedTuple):
    """What changes from cycle to cycle, one column each; see :func:`new_state` for the values at start."""

    # MW unless said
    power: F8
    previous: F8
    """Output one cycle before."""
    low: F8
    high: F8
    ramp_up: F8
    ramp_down: F8
    base_point: F8
    """The operator's, for mode BASE."""
    schedule: F8
    telemetered: F8
    shared_base: F8
    """Of the modes that share a sum: CECO, PROP."""
    target: F8
    """What it should generate now; NaN while off control."""
    setpoint: F8
    """What it is told for this target: the target, or the edge beyond while it crosses a zone."""
    told: F8
    """Last set-point, or what it generated when it came under control; steps are counted from it."""
    told_before: F8
    sent: F8
    """Last set-point sent, NaN = none since it came under control or it was refused."""
    sent_at: F8
    """Monotonic seconds of the last command."""
    base: F8
    alpha: F8
    factor: F8
    """Part of its participation that it keeps now (storages near an end of their charge)."""
    pull: F8
    """Base point while regulation rests (storages), NaN = none."""
    wanted: F8
    """Share without regard to ramps."""
    window_lo: F8
    window_hi: F8
    advised: F8
    test_value: F8
    zone_s: F8
    """How long its output has been inside a forbidden zone."""
    pending: F8
    """What pulses sent should still move."""
    rate: F8
    """Measured rate of response, MW/min."""
    # codes and counts
    reason: I8
    limited: I8
    loop: I8
    base_mode: I8
    reg_mode: I8
    crossing: I8
    """1 upwards, -1 downwards, 0 not in a zone."""
    misses: I8
    refusals: I8
    sent_ns: I8
    # marks
    free: B1
    """A plant of changing available power that generates what it can."""
    member: B1
    """Regulates now."""
    locked: B1
    zone_alarm: B1
    raise_blocked: B1
    lower_blocked: B1
    due: B1


_INTS = UnitState._fields.index("reason")
_MARKS = UnitState._fields.index("free")


class UnitInputs(NamedTuple):
    """Measurements of one cycle; NaN = must not be acted on."""

    power: F8
    remote: F8
    available: F8
    charge: F8
    telemetered: F8
    raise_blocked: F8
    lower_blocked: F8
    tagged: B1


def unit_table(units: Sequence[AgcUnit], tuning: AgcTuning) -> UnitTable:
    """Columns of the model; figures that make no sense keep their unit off control or count as not given."""
    segments = [allowed_segments(unit) for unit in units]
    flat = [pair for pairs in segments for pair in pairs]

    def column(values: Iterable[float]) -> F8:
        return np.array(list(values), np.float64).reshape(len(units))

    def mark(values: Iterable[bool]) -> B1:
        return np.array(list(values), np.bool_).reshape(len(units))

    def given(values: Iterable[float], default: Iterable[float] | float) -> F8:
        found = column(values)
        return np.where(np.isfinite(found), found, default if isinstance(default, float) else column(default))

    pulses = mark(unit.setpoint < 0 <= unit.raise_lower for unit in units)
    pulse_mw = np.where(pulses, column(unit.pulse_mw for unit in units), math.nan)
    splits = mark(unit.setpoint < 0 and any(member.setpoint >= 0 for member in unit.members) for unit in units)
    out = mark(unit.setpoint >= 0 for unit in units) | splits | (pulses & (pulse_mw > 0))
    share = np.array([SHARES.index(unit.share or tuning.share) if unit.share in {*SHARES, ""} else 0 for unit in units], np.int64)
    weight = column(_economic_weight(unit) for unit in units)
    share = np.where((share == ECONOMIC) & np.isnan(weight), SHARES.index("capacity"), share)
    energy = given((unit.energy_mwh for unit in units), 0.0)
    return UnitTable(
        usable=mark(bool(pairs) for pairs in segments) & out,
        minimum=column(pairs[0][0] if pairs else unit.minimum for pairs, unit in zip(segments, units, strict=True)),
        maximum=column(pairs[-1][1] if pairs else unit.maximum for pairs, unit in zip(segments, units, strict=True)),
        rated=np.abs(given((unit.maximum for unit in units), 0.0)),
        deadband=np.maximum(given((unit.deadband for unit in units), 0.0), 0.0),
        participation=np.maximum(given((unit.participation for unit in units), 0.0), 0.0),
        share=share,
        economic_weight=weight,
        ramp_up=column(unit.ramp_up for unit in units),
        ramp_down=column(unit.ramp_down for unit in units),
        emergency_up=given((unit.emergency_ramp for unit in units), (unit.ramp_up for unit in units)),
        emergency_down=given((unit.emergency_ramp for unit in units), (unit.ramp_down for unit in units)),
        maximum_step=column(unit.maximum_step if unit.maximum_step > 0 else math.inf for unit in units),
        interval_s=np.maximum(given((unit.minimum_interval_s for unit in units), 0.0), tuning.min_interval_s),
        waits=mark(unit.waits for unit in units),
        pulse_mw=pulse_mw,
        splits=splits,
        weather=mark(unit.available is not None or unit.fuel in _WEATHER for unit in units),
        remote=mark(unit.remote is not None for unit in units),
        # a plant with members or irradiance knows other ways to its available power, see PlantControl
        available=mark(unit.available is not None and not unit.members and unit.irradiance is None for unit in units),
        charge=mark(unit.state_of_charge is not None for unit in units),
        raise_block=mark(unit.raise_blocked is not None for unit in units),
        lower_block=mark(unit.lower_blocked is not None for unit in units),
        mw_per_percent=energy / 100.0 / tuning.soc_horizon_h,
        soc_minimum=given((unit.soc_minimum for unit in units), tuning.soc_minimum),
        soc_maximum=given((unit.soc_maximum for unit in units), tuning.soc_maximum),
        efficiency=np.clip(given((unit.efficiency for unit in units), tuning.efficiency), 0.01, 1.0),
        first=np.cumsum([0, *(len(pairs) for pairs in segments)], dtype=np.int64),
        segment_lo=np.array([lo for lo, _ in flat], np.float64),
        segment_hi=np.array([hi for _, hi in flat], np.float64),
        permitted_s=np.array(
            [_permitted(unit, hi) for pairs, unit in zip(segments, units, strict=True) for _, hi in pairs], np.float64
        ),
    )


def _economic_weight(unit: AgcUnit) -> float:
    """MW that a rise of the price by 1 buys; NaN if the model knows no rising cost."""
    points = sorted(unit.cost_curve)
    if len(points) > 1:
        rise = points[-1][1] - points[0][1]
        return (points[-1][0] - points[0][0]) / rise if rise > 0 else math.nan
    return 0.5 / unit.cost_c if unit.cost_c > 0 else math.nan


def _permitted(unit: AgcUnit, edge: float) -> float:
    """Shortest permitted time of the zones that begin at an edge or were joined to one that does."""
    times, reach = [math.inf], edge
    for lo, hi, permitted in sorted(unit.forbidden):
        if lo < hi and edge <= lo <= reach:
            times.append(permitted)
            reach = max(reach, hi)
    return min(times)


def zones_between(table: UnitTable) -> ZoneTable:
    """The forbidden zones as the allocation takes them: what lies between the segments of each unit."""
    counts = np.diff(table.first)
    unit = np.repeat(np.arange(len(counts)), np.maximum(counts - 1, 0))
    inner = np.ones(len(table.segment_lo), np.bool_)
    inner[table.first[1:][counts > 0] - 1] = False
    below = np.flatnonzero(inner)
    return ZoneTable(unit.astype(np.int64), table.segment_hi[below].copy(), table.segment_lo[below + 1].copy())


def new_state(units: Sequence[AgcUnit], table: UnitTable) -> UnitState:
    """State at start: nothing read, nothing sent, modes of the model."""
    floats = np.full((_INTS, len(units)), math.nan)
    codes = np.zeros((_MARKS - _INTS, len(units)), np.int64)
    marks = np.zeros((len(UnitState._fields) - _MARKS, len(units)), np.bool_)
    state = _columns(floats, codes, marks)
    state.low[:], state.high[:] = table.minimum, table.maximum
    state.ramp_up[:], state.ramp_down[:] = table.ramp_up, table.ramp_down
    state.sent_at[:] = -math.inf
    for column in (state.alpha, state.zone_s, state.pending):
        column[:] = 0.0
    state.factor[:] = 1.0
    state.reason[:] = 1
    state.base_mode[:] = [BASE_MODES.index(unit.base_mode) if unit.base_mode in BASE_MODES else 0 for unit in units]
    # a mode that this program does not know keeps the unit off control rather than regulating
    known = [unit.base_mode in BASE_MODES and unit.reg_mode in REG_MODES for unit in units]
    state.reg_mode[:] = [REG_MODES.index(unit.reg_mode) if fine else 0 for unit, fine in zip(units, known, strict=True)]
    return state


def _columns(floats: F8, codes: I8, marks: B1) -> UnitState:
    return UnitState(*floats, *codes, *marks)


def copy_of(state: UnitState) -> UnitState:
    """The state as it is now."""
    fields = list(state)
    return _columns(np.stack(fields[:_INTS]), np.stack(fields[_INTS:_MARKS]), np.stack(fields[_MARKS:]))


def exported(state: UnitState, mrids: Sequence[str]) -> dict[str, Any]:
    """The state as lists."""
    return {"mrid": list(mrids)} | {name: column.tolist() for name, column in state._asdict().items()}


def restore_columns(state: UnitState, mrids: Sequence[str], saved: dict[str, Any]) -> None:
    """Take what was exported for units that still are."""
    place = {mrid: i for i, mrid in enumerate(saved.get("mrid", ()))}
    here = [i for i, mrid in enumerate(mrids) if mrid in place]
    there = [place[mrids[i]] for i in here]
    for name, column in state._asdict().items():
        if name in saved:
            column[here] = np.array(saved[name], column.dtype)[there]
