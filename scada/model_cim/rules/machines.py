"""Rules about machines, generating units, shunts, injections and their present values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from scada.model_cim.findings import Severity
from scada.model_cim.rules.catalogue import Hits, hits, rule
from scada.model_cim.rules.view import Float, Int32, View

_SLACK: Final = 0.01
"""Share of the rating by which a value may pass its limit before it is told: rounding of exporters."""


def _beyond(value: Float, low: Float, high: Float) -> Float:
    """How far a value is outside its range; 0 inside, where the range is empty or not known."""
    slack = _SLACK * np.fmax(np.abs(low), np.abs(high))
    far = np.where(value > high + slack, value - high, np.where(value < low - slack, low - value, 0.0))
    return np.where(low == high, 0.0, np.nan_to_num(far))


def _units(view: View, machines: Int32) -> Int32:
    return view.target(machines, "RotatingMachine.GeneratingUnit")


def _of(view: View, rows: Int32, prop: str) -> Float:
    """Number of the objects ``rows`` points at, NaN where it points at none."""
    return np.where(rows >= 0, view.numbers(np.maximum(rows, 0), prop), math.nan) if len(rows) else np.zeros(0)


@rule("machine.no-reactive-range", Severity.INFO, "a machine whose minQ and maxQ are both 0", "机组无功上下限均为零")
def no_reactive_range(view: View) -> Iterator[Hits]:
    """Taken as not given: a machine in service that holds its voltage with no reactive power does not exist."""
    rows = view.rows("SynchronousMachine")
    low, high = view.numbers(rows, "SynchronousMachine.minQ"), view.numbers(rows, "SynchronousMachine.maxQ")
    curve = view.has(rows, "SynchronousMachine.InitialReactiveCapabilityCurve")
    text = "minQ and maxQ are 0: taken as not given, its reactive power is not limited"
    yield from hits(rows, (low == 0) & (high == 0) & ~curve, text, prop="SynchronousMachine.maxQ", hint="give its capability")


@rule(
    "machine.active-power",
    Severity.WARNING,
    "a machine outside the limits of its unit",
    "机组有功超出运行范围",
    "C:456:SSH:RotatingMachine.p:limits",
)
def active_power(view: View) -> Iterator[Hits]:
    """-p within minOperatingP .. maxOperatingP."""
    rows = view.rows("RotatingMachine")
    unit = _units(view, rows)
    single = view.at(np.bincount(unit[unit >= 0], minlength=view.size), unit) == 1
    p = -view.numbers(rows, "RotatingMachine.p")
    low, high = _of(view, unit, "GeneratingUnit.minOperatingP"), _of(view, unit, "GeneratingUnit.maxOperatingP")
    broken = single & (_beyond(p, low, high) > 0) & (p != 0)
    yield from hits(rows, broken, lambda i: f"generates {p[i]:g} MW, may {low[i]:g} .. {high[i]:g}", prop="RotatingMachine.p")


@rule(
    "machine.reactive-power",
    Severity.WARNING,
    "a machine outside its reactive limits",
    "机组无功超出范围",
    "C:456:SSH:RotatingMachine.q:limits",
)
def reactive_power(view: View) -> Iterator[Hits]:
    """-q within minQ .. maxQ, where it has no capability curve."""
    rows = view.rows("SynchronousMachine")
    q = -view.numbers(rows, "RotatingMachine.q")
    low, high = view.numbers(rows, "SynchronousMachine.minQ"), view.numbers(rows, "SynchronousMachine.maxQ")
    curve = view.has(rows, "SynchronousMachine.InitialReactiveCapabilityCurve")
    broken = ~curve & (_beyond(q, low, high) > 0) & (q != 0)
    yield from hits(rows, broken, lambda i: f"generates {q[i]:g} Mvar, may {low[i]:g} .. {high[i]:g}", prop="RotatingMachine.q")


@rule(
    "machine.operating-mode",
    Severity.WARNING,
    "a mode the machine cannot run in",
    "机组运行方式与类型不符",
    "C:456:SSH:SynchronousMachine.operatingMode:matchType",
)
def operating_mode(view: View) -> Iterator[Hits]:
    """The type names every mode it can have: generatorOrCondenser."""
    rows = view.rows("SynchronousMachine")
    mode, kind = view.words(rows, "SynchronousMachine.operatingMode"), view.words(rows, "SynchronousMachine.type")
    pairs = zip(mode, kind, strict=True)
    broken = np.fromiter((bool(m and k) and m.lower() not in k.lower() for m, k in pairs), np.bool_, len(rows))
    yield from hits(rows, broken, lambda i: f"runs as {mode[i]}, but is a {kind[i]}", prop="SynchronousMachine.operatingMode")


@rule("machine.unit", Severity.WARNING, "a generator without generating unit", "发电机没有发电机组", "IEC 61970-452")
def machine_without_unit(view: View) -> Iterator[Hits]:
    """A condenser needs none; a generator without one has no limits and holds no island."""
    rows = view.rows("SynchronousMachine")
    kind = view.words(rows, "SynchronousMachine.type")
    generates = np.fromiter(("generator" in word for word in kind), np.bool_, len(rows))
    text = "generates, but has no generating unit: no limits, and its island counts as dead"
    yield from hits(rows, generates & (_units(view, rows) < 0), text, hint="set RotatingMachine.GeneratingUnit")


@rule(
    "unit.rated-power",
    Severity.WARNING,
    "a unit that can do more than its machines",
    "机组出力超过额定容量",
    "C:452:EQ:GeneratingUnit:maxOperatingP:ratedS",
)
def unit_rating(view: View) -> Iterator[Hits]:
    """MaxOperatingP not above the sum of ratedS."""
    rows = view.rows("GeneratingUnit")
    machines = view.rows("RotatingMachine")
    unit = _units(view, machines)
    rated = view.numbers(machines, "RotatingMachine.ratedS")
    owned = unit >= 0
    total = np.bincount(unit[owned], rated[owned], view.size)[rows]
    high = view.numbers(rows, "GeneratingUnit.maxOperatingP")
    broken = (total > 0) & (high > (1 + _SLACK) * total)
    yield from hits(
        rows, broken, lambda i: f"maxOperatingP {high[i]:g} MW, ratedS {total[i]:g} MVA", prop="GeneratingUnit.maxOperatingP"
    )


@rule(
    "unit.nominal-power",
    Severity.WARNING,
    "a nominal power that is none",
    "机组额定有功无效",
    "C:301:EQ:GeneratingUnit.nominalP:valueRangePair",
)
def nominal_power(view: View) -> Iterator[Hits]:
    """Positive, and not above ratedS."""
    rows = view.rows("GeneratingUnit")
    nominal = view.numbers(rows, "GeneratingUnit.nominalP")
    machines = view.rows("RotatingMachine")
    unit = _units(view, machines)
    owned = unit >= 0
    total = np.bincount(unit[owned], view.numbers(machines, "RotatingMachine.ratedS")[owned], view.size)[rows]
    broken = (nominal <= 0) | ((total > 0) & (nominal > (1 + _SLACK) * total))
    yield from hits(
        rows, broken, lambda i: f"nominalP {nominal[i]:g} MW, ratedS {total[i]:g} MVA", prop="GeneratingUnit.nominalP"
    )


@rule(
    "unit.type",
    Severity.WARNING,
    "limits of a unit that do not fit its machine",
    "机组有功范围与电机类型不符",
    "C:452:EQ:GeneratingUnit:typeDependency",
)
def unit_type(view: View) -> Iterator[Hits]:
    """A generator does not draw, a motor does not give, a condenser does neither."""
    machines = view.rows("SynchronousMachine")
    unit = _units(view, machines)
    kind = view.words(machines, "SynchronousMachine.type")
    low, high = _of(view, unit, "GeneratingUnit.minOperatingP"), _of(view, unit, "GeneratingUnit.maxOperatingP")
    broken = (
        ((kind == "generator") & ((low < 0) | (high < 0)))
        | ((kind == "motor") & (high > 0))
        | ((kind == "condenser") & ((low != 0) | (high != 0)) & ~np.isnan(low))
    )
    yield from hits(
        machines,
        broken,
        lambda i: f"is a {kind[i]}, its unit may run at {low[i]:g} .. {high[i]:g} MW",
        prop="SynchronousMachine.type",
    )


@rule(
    "unit.hydro-type",
    Severity.WARNING,
    "a hydro unit whose machine does not fit",
    "水电机组与电机类型不符",
    "C:452:EQ:HydroGeneratingUnit.energyConversionCapability:typeConsistency",
)
def hydro_type(view: View) -> Iterator[Hits]:
    """PumpAndGenerator needs a machine that is a motor too."""
    machines = view.rows("SynchronousMachine")
    unit = _units(view, machines)
    ability = (
        np.where(unit >= 0, view.words(np.maximum(unit, 0), "HydroGeneratingUnit.energyConversionCapability"), "")
        if len(unit)
        else unit
    )
    kind = view.words(machines, "SynchronousMachine.type")
    motor = np.fromiter(("motor" in word.lower() for word in kind), np.bool_, len(machines))
    broken = (kind != "") & (((ability == "pumpAndGenerator") & ~motor) | ((ability == "generator") & motor))
    yield from hits(machines, broken, lambda i: f"is a {kind[i]}, its hydro unit is {ability[i]}", prop="SynchronousMachine.type")


@rule(
    "area.unit-twice",
    Severity.ERROR,
    "a unit twice in one control area",
    "机组在控制区中重复",
    "C:301:EQ:ControlAreaGeneratingUnit.GeneratingUnit:instance",
)
def unit_twice(view: View) -> Iterator[Hits]:
    """AGC would count and command it twice."""
    rows = view.rows("ControlAreaGeneratingUnit")
    unit = view.target(rows, "ControlAreaGeneratingUnit.GeneratingUnit")
    area = view.target(rows, "ControlAreaGeneratingUnit.ControlArea")
    order = np.lexsort((rows, unit, area))
    again = np.zeros(len(rows), np.bool_)
    same = (unit[order][1:] == unit[order][:-1]) & (area[order][1:] == area[order][:-1]) & (unit[order][1:] >= 0)
    again[order[1:]] = same
    yield from hits(rows, again, lambda i: f"{view.name(int(unit[i]))} is in this area already", hint="remove one")


@rule(
    "curve.points", Severity.WARNING, "a capability curve that cannot be", "无功能力曲线无效", "C:452:EQ:CurveData.Curve:reactive"
)
def curve_points(view: View) -> Iterator[Hits]:
    """Two points and more, rising x, y1 (lowest) not above y2 (highest)."""
    rows = view.rows("CurveData")
    curve = view.target(rows, "CurveData.Curve")
    x, low, high = (view.numbers(rows, f"CurveData.{prop}") for prop in ("xvalue", "y1value", "y2value"))
    yield from hits(rows, low > high, lambda i: f"y1value {low[i]:g} is above y2value {high[i]:g}", prop="CurveData.y1value")
    order = np.lexsort((x, curve))
    again = np.zeros(len(rows), np.bool_)
    again[order[1:]] = (curve[order][1:] == curve[order][:-1]) & (x[order][1:] == x[order][:-1]) & (curve[order][1:] >= 0)
    yield from hits(rows, again, lambda i: f"a second point at {x[i]:g}", prop="CurveData.xvalue")
    curves = view.rows("ReactiveCapabilityCurve")
    count = view.counts("CurveData.Curve")[curves]
    yield from hits(curves, count < 2, lambda i: f"a curve of {count[i]} points", hint="two points and more")


@rule(
    "shunt.sections",
    Severity.ERROR,
    "more sections in service than a shunt has",
    "投入组数超过并联补偿总组数",
    "C:301:EQ:ShuntCompensator.normalSections:valueRangePair",
)
def shunt_sections(view: View) -> Iterator[Hits]:
    """Sections within 0 .. maximumSections."""
    rows = view.rows("ShuntCompensator")
    most = view.numbers(rows, "ShuntCompensator.maximumSections")
    now = view.numbers(rows, "ShuntCompensator.sections")
    broken = (now > most) | (now < 0)
    none = most < 1
    yield from hits(rows, broken, lambda i: f"{now[i]:g} of {most[i]:g} sections", prop="ShuntCompensator.sections")
    yield from hits(
        rows,
        none,
        lambda i: f"maximumSections is {most[i]:g}",
        prop="ShuntCompensator.maximumSections",
        severity=Severity.WARNING,
    )


@rule(
    "shunt.nominal-voltage",
    Severity.WARNING,
    "nominal voltage of a shunt far from its level",
    "并联补偿额定电压与电压等级不符",
    "C:301:EQ:ShuntCompensator.nomU:nominalVoltageDifference",
)
def shunt_voltage(view: View) -> Iterator[Hits]:
    """Within 10 % of where it is connected."""
    rows = view.rows("ShuntCompensator")
    nominal, kv = view.numbers(rows, "ShuntCompensator.nomU"), view.kv(rows)
    broken = np.abs(nominal - kv) > 0.1 * kv
    yield from hits(rows, broken, lambda i: f"nomU {nominal[i]:g} kV at {kv[i]:g} kV", prop="ShuntCompensator.nomU")


@rule("shunt.susceptance", Severity.WARNING, "a shunt without susceptance", "并联补偿电纳为零")
def shunt_susceptance(view: View) -> Iterator[Hits]:
    """It would change nothing."""
    rows = view.rows("LinearShuntCompensator")
    b = view.numbers(rows, "LinearShuntCompensator.bPerSection")
    yield from hits(rows, b == 0, "bPerSection is 0: it changes nothing", prop="LinearShuntCompensator.bPerSection")


@rule(
    "shunt.points",
    Severity.ERROR,
    "a nonlinear shunt without a point for each section",
    "非线性补偿缺少分组数据",
    "C:301:EQ:NonlinearShuntCompensatorPoint:numberOfInstances",
)
def shunt_points(view: View) -> Iterator[Hits]:
    """As many points as sections."""
    rows = view.rows("NonlinearShuntCompensator")
    count = view.counts("NonlinearShuntCompensatorPoint.NonlinearShuntCompensator")[rows]
    most = view.numbers(rows, "ShuntCompensator.maximumSections")
    yield from hits(rows, count != most, lambda i: f"{count[i]} points for {most[i]:g} sections")


@rule(
    "injection.limits",
    Severity.WARNING,
    "an injection outside its limits",
    "注入功率超出范围",
    "C:456:SSH:EquivalentInjection.p:limits",
)
def injection_limits(view: View) -> Iterator[Hits]:
    """Of external networks and equivalents."""
    for class_name in ("ExternalNetworkInjection", "EquivalentInjection"):
        rows = view.rows(class_name)
        for power in ("p", "q"):
            value = -view.numbers(rows, f"{class_name}.{power}")
            low, high = (view.numbers(rows, f"{class_name}.{end}{power.upper()}") for end in ("min", "max"))
            yield from hits(
                rows,
                _beyond(value, low, high) > 0,
                lambda i, value=value, low=low, high=high: f"gives {value[i]:g}, may {low[i]:g} .. {high[i]:g}",  # type: ignore[misc]
                prop=f"{class_name}.{power}",
                standard=f"C:456:SSH:{class_name}.{power}:limits",
            )


@rule(
    "load.response",
    Severity.WARNING,
    "shares of a load that do not make one",
    "负荷特性系数之和不为 1",
    "C:301:EQ:LoadResponseCharacteristic.exponentModel:coefficientSum",
)
def load_response(view: View) -> Iterator[Hits]:
    """Constant impedance, current and power together are the load."""
    rows = view.rows("LoadResponseCharacteristic")
    exponent = view.truths(rows, "LoadResponseCharacteristic.exponentModel", default=False)
    for power in "pq":
        parts = [
            np.nan_to_num(view.numbers(rows, f"LoadResponseCharacteristic.{power}Constant{kind}"))
            for kind in ("Impedance", "Current", "Power")
        ]
        total = np.sum(parts, axis=0)
        broken = ~exponent & (np.abs(total - 1) > 1e-3)
        yield from hits(rows, broken, lambda i, total=total, power=power: f"shares of {power} make {total[i]:g}, not 1")  # type: ignore[misc]
