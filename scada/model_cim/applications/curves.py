"""Curves of CIM: incremental costs of a unit, reactive capability of a machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from scada.model_cim.applications.finder import Finder


def cost_curve(finder: Finder, unit: str) -> tuple[tuple[float, float], ...]:
    """Incremental cost of a unit as (MW, currency/MWh), ascending; empty if the model has none that can be used.

    Of a ``GenUnitOpCostCurve`` (x MW, y1 currency/h) these are the slopes, each at the middle of its piece, because the cost
    between two points is known as a chord only. An ``IncrementalHeatRateCurve`` (x MW, y1 heat/MWh) counts times the price of the
    unit's cheapest ``FossilFuel`` (``fuelCost``, currency per heat).
    """
    model = finder.model
    for curve in model.refs_to(unit, "GenUnitOpCostCurve.GeneratingUnit"):
        rows = _rows(finder, curve, 1)
        slopes = [((low + high) / 2.0, (dear - cheap) / (high - low)) for (low, cheap), (high, dear) in pairwise(rows)]
        if slopes or rows:
            return _ascending(finder, curve, slopes)
    fuels = [model.number(fuel, "FossilFuel.fuelCost") for fuel in model.refs_to(unit, "FossilFuel.ThermalGeneratingUnit")]
    price = min((cost for cost in fuels if cost > 0), default=math.nan)
    for curve in model.refs_to(unit, "IncrementalHeatRateCurve.ThermalGeneratingUnit"):
        if math.isnan(price):
            finder.error("unit.cost", curve, "a heat rate without a price of its fuel: no cost", "set FossilFuel.fuelCost")
            return ()
        return _ascending(finder, curve, [(mw, heat * price) for mw, heat in _rows(finder, curve, 1)])
    return ()


def capability(finder: Finder, machine: str) -> tuple[tuple[float, float, float], ...]:
    """(MW, least Mvar, greatest Mvar) of a machine's ``ReactiveCapabilityCurve``, MW ascending; empty if there is none."""
    model = finder.model
    curve = model.ref(machine, "SynchronousMachine.InitialReactiveCapabilityCurve")
    if curve is None:
        curve = next(iter(model.refs(machine, "SynchronousMachine.ReactiveCapabilityCurves")), None)
    if curve is None:
        return ()
    rows = _rows(finder, curve, 2)
    crossed = [f"{mw:g} MW: {low:g} .. {high:g}" for mw, low, high in rows if not low <= high]
    if crossed:
        text = f"least Mvar above greatest at {'; '.join(crossed)}: not used"
        finder.error("avc.capability", curve, text, "CurveData.y1value is the least, y2value the greatest Mvar")
        return ()
    return tuple((mw, low, high) for mw, low, high in rows)


def _rows(finder: Finder, curve: str, columns: int) -> list[tuple[float, ...]]:
    """Points of a curve by x; none at all if one is no number or two stand at one x."""
    model = finder.model
    props = ("CurveData.xvalue", "CurveData.y1value", "CurveData.y2value")[: columns + 1]
    rows = sorted(tuple(model.number(point, prop) for prop in props) for point in model.refs_to(curve, "CurveData.Curve"))
    if len(rows) < 2 or not all(math.isfinite(value) for row in rows for value in row):
        finder.error("curve.unusable", curve, f"{len(rows)} points with numbers; a curve needs two or more", "CurveData")
        return []
    if any(one[0] == two[0] for one, two in pairwise(rows)):
        finder.error("curve.unusable", curve, "two points at one x: not used", "CurveData.xvalue")
        return []
    return rows


def _ascending(finder: Finder, curve: str, rows: Sequence[tuple[float, ...]]) -> tuple[tuple[float, float], ...]:
    falling = [f"{two[1]:g} at {two[0]:g} MW after {one[1]:g}" for one, two in pairwise(rows) if two[1] < one[1]]
    if falling:
        text = f"incremental cost falls ({falling[0]}): the cheapest share is not unique; not used"
        finder.error("unit.cost-curve", curve, text, "make the cost curve convex")
        return ()
    return tuple((row[0], row[1]) for row in rows)
