"""Why a unit was told what it was told: its measurements, the way from the area's demand to its share, every limit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scada.apps.agc_avc.agc.groups import GroupTree
from scada.apps.agc_avc.agc.modes import BASE_MODES, OPEN, REG_MODES, SHARES, TEST
from scada.apps.agc_avc.agc.requirement import Zone
from scada.apps.agc_avc.agc.unit_decisions import UnitView
from scada.apps.agc_avc.agc.unit_kernels import (
    BY_AVAILABLE,
    BY_CHARGE,
    BY_DISPATCH,
    BY_LOWER_BLOCK,
    BY_RAISE_BLOCK,
    EDGE,
    UNDER_CONTROL,
)
from scada.apps.agc_avc.agc.water_filling import F8
from scada.apps.agc_avc.explanation import Bound, Explanation, Term

_LIMITS = {
    BY_AVAILABLE: "available_power",
    BY_CHARGE: "state_of_charge",
    BY_RAISE_BLOCK: "raise_blocked",
    BY_LOWER_BLOCK: "lower_blocked",
    BY_DISPATCH: "dispatch_limits",
}


@dataclass(frozen=True, slots=True)
class Shared:
    """What all regulating units have in common in a cycle.

    Attributes:
        demand_mw: their demand.
        lam: common multiplier.
        zone: urgency; None = nothing was asked.
        price: incremental cost of the last economic dispatch.
    """

    demand_mw: float
    lam: float
    zone: Zone | None
    price: float


def explain_unit(
    view: UnitView, groups: GroupTree, i: int, shared: Shared, area: Iterable[Term], plant: Iterable[Term]
) -> Explanation:
    """Explain the last set-point or advice of a unit.

    Args:
        view: the units.
        groups: their groups.
        i: which unit.
        shared: of the cycle.
        area: the way from the measurements of the area to its requirement.
        plant: what its plant adds.
    """
    s, unit = view.state, view.units[i]
    open_loop = s.loop[i] == OPEN or (math.isnan(s.sent[i]) and not math.isnan(s.advised[i]))
    off = view.reason(i)
    reason = off or view.loop_reason(i) or view.bound(i) or ("follows its share" if s.member[i] else "follows its base point")
    return Explanation(
        mrid=unit.mrid,
        name=unit.name,
        output=float(s.advised[i] if open_loop else s.sent[i]),
        unit="MW",
        output_ns=int(s.sent_ns[i]),
        sent=not open_loop and not math.isnan(s.sent[i]),
        reason=reason,
        inputs=tuple(_inputs(view, i)),
        steps=(*area, *_steps(view, i, shared), *plant),
        limits=tuple(_limits(view, groups, i)),
        objective=_objective(view, i),
    )


def _inputs(view: UnitView, i: int) -> Iterable[Term]:
    s, t = view.state, view.table
    yield Term("power", float(s.power[i]), "MW", view.words.held.get(i, ""))
    if not math.isnan(s.telemetered[i]):
        yield Term("telemetered_base", float(s.telemetered[i]), "MW")
    if t.raise_block[i]:
        yield Term("raise_blocked", float(s.raise_blocked[i]))
    if t.lower_block[i]:
        yield Term("lower_blocked", float(s.lower_blocked[i]))
    if not math.isnan(s.rate[i]):
        yield Term("response_rate", float(s.rate[i]), "MW/min")


def _steps(view: UnitView, i: int, shared: Shared) -> Iterable[Term]:
    s, t = view.state, view.table
    mode = f"{BASE_MODES[s.base_mode[i]]} {REG_MODES[s.reg_mode[i]]}"
    if s.member[i]:
        yield Term("demand", shared.demand_mw, "MW", shared.zone.label if shared.zone is not None else "")
    yield Term("base", float(s.base[i]), "MW", mode)
    if s.member[i]:
        yield Term("participation", float(t.participation[i]), "", SHARES[t.share[i]])
        yield Term("alpha", float(s.alpha[i]))
        yield Term("lambda", shared.lam)
    if BASE_MODES[s.base_mode[i]] == "CECO":
        yield Term("price", shared.price, "1/MWh")
    yield Term("wanted", float(s.wanted[i]), "MW")
    yield Term("target", float(s.target[i]), "MW")
    if not math.isnan(s.advised[i]):
        yield Term("advised", float(s.advised[i]), "MW")
    if s.loop[i] == TEST:
        yield Term("test_value", float(s.test_value[i]), "MW")


def _bound(key: str, low: float, high: float, at: float) -> Bound:
    return Bound(key, low, high, binding=abs(at - low) <= EDGE or abs(at - high) <= EDGE)


def _limits(view: UnitView, groups: GroupTree, i: int) -> Iterable[Bound]:
    s, t = view.state, view.table
    target = float(s.target[i])
    yield _bound("limits", float(t.minimum[i]), float(t.maximum[i]), target)
    if s.reason[i] == UNDER_CONTROL and s.limited[i]:
        yield _bound(_LIMITS.get(int(s.limited[i]), "plant"), float(s.low[i]), float(s.high[i]), target)
    if not math.isnan(s.window_lo[i]):
        yield _bound("ramp", float(s.window_lo[i]), float(s.window_hi[i]), target)
    step, told = float(t.maximum_step[i]), float(s.told_before[i])
    if math.isfinite(step) and not math.isnan(told):
        yield _bound("maximum_step", told - step, told + step, float(s.setpoint[i]))
    first, last = int(t.first[i]), int(t.first[i + 1])
    edges: F8 = t.segment_hi[first:last]
    for k in range(len(edges) - 1):
        low, high = float(t.segment_hi[first + k]), float(t.segment_lo[first + k + 1])
        yield Bound("forbidden_zone", low, high, binding=low - EDGE <= target <= high + EDGE)
    for _, low, high, total in groups.bounds(i, t, s):
        if math.isfinite(low) or math.isfinite(high):
            yield _bound("group", low, high, total)


def _objective(view: UnitView, i: int) -> str:
    """Key of what was minimised."""
    s = view.state
    if s.loop[i] == TEST:
        return "test_value"
    if s.free[i]:
        return "runs_free"
    if s.member[i]:
        return "share_of_demand"
    return "economic_dispatch" if BASE_MODES[s.base_mode[i]] == "CECO" else "base_point"
