"""Rules about lines: voltages at their ends, impedances a line of this voltage and length can have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from scada.model_cim.findings import Severity
from scada.model_cim.rules.catalogue import Bool, Hits, hits, rule
from scada.model_cim.rules.view import Float, Int32, View

_OHM_PER_KM: Final = (0.04, 0.9)
"""Series reactance of cables and overhead lines of any voltage, positive sequence."""
_MICROSIEMENS_PER_KM: Final = (0.3, 500.0)
"""Charging: overhead lines 2.5 .. 4.5, cables up to some hundred."""
_SAME: Final = 0.10
"""Nominal voltages that one line may join: 380/400, 220/225 (ENTSO-E allows 10 % at the boundary)."""
_MANY: Final = 20
_LONGEST_KM: Final = 1500.0


def _lines(view: View) -> Int32:
    return view.rows("ACLineSegment")


def _ends(view: View, rows: Int32) -> tuple[Float, Float]:
    return view.at(view.kv_of, view.terminal(rows, 0)), view.at(view.kv_of, view.terminal(rows, 1))


def _apart(one: Float, two: Float, ratio: float) -> Bool:
    return np.asarray(np.abs(one - two) > ratio * np.minimum(one, two))


@rule(
    "line.voltages",
    Severity.ERROR,
    "a line between different nominal voltages",
    "线路两端标称电压不同",
    "C:600:EQ:ACLineSegment:BaseVoltageDiff",
)
def line_voltages(view: View) -> Iterator[Hits]:
    """Up to 10 % it is a matter of naming (380/400), beyond it a transformer is missing or a node is wrong."""
    rows = _lines(view)
    one, two = _ends(view, rows)
    far = _apart(one, two, _SAME)
    yield from hits(rows, far, lambda i: f"joins {one[i]:g} kV and {two[i]:g} kV", hint="correct a node or a BaseVoltage")
    near = _apart(one, two, 1e-6) & ~far
    yield from hits(
        rows,
        near,
        lambda i: f"joins {one[i]:g} kV and {two[i]:g} kV: calculated with the off-nominal ratio",
        severity=Severity.INFO,
    )


@rule(
    "line.impedance-zero",
    Severity.WARNING,
    "a line without impedance",
    "线路阻抗为零",
    "C:452:EQ:ACLineSegment.x:valueRange",
)
def no_impedance(view: View) -> Iterator[Hits]:
    """Calculated as a closed switch: its own flow is not known."""
    rows = _lines(view)
    r, x = view.numbers(rows, "ACLineSegment.r"), view.numbers(rows, "ACLineSegment.x")
    text = "r and x are 0: calculated as a closed switch, its flow is not known"
    yield from hits(rows, (r == 0) & (x == 0), text, prop="ACLineSegment.x", hint="give its impedance")


@rule("line.negative", Severity.WARNING, "a line with negative impedance or charging", "线路阻抗或充电电纳为负", "IEC 61970-452")
def negative(view: View) -> Iterator[Hits]:
    """Only equivalents have negative values; they are EquivalentBranch."""
    rows = _lines(view)
    for prop in ("ACLineSegment.r", "ACLineSegment.x", "ACLineSegment.bch", "ACLineSegment.gch"):
        value = view.numbers(rows, prop)
        yield from hits(
            rows,
            value < 0,
            lambda i, prop=prop, value=value: f"{prop.partition('.')[2]} = {value[i]:g}",  # type: ignore[misc]
            prop=prop,
            hint="correct the sign, or use an EquivalentBranch",
        )


@rule("line.placeholder-length", Severity.INFO, "a length that stands for an unknown one", "线路长度为占位值")
def placeholder_length(view: View) -> Iterator[Hits]:
    """Many lines of exactly one length: an exporter that did not know it."""
    rows = _lines(view)
    length = view.numbers(rows, "Conductor.length")
    text = "one of many lines of exactly this length, which their impedance does not fit: it is not known"
    yield from hits(rows, _placeholder(view, rows), lambda i: f"{length[i]:g} km: {text}", prop="Conductor.length")


def _placeholder(view: View, rows: Int32) -> Bool:
    length = view.numbers(rows, "Conductor.length")
    _, inverse, count = np.unique(length, return_inverse=True, return_counts=True)
    return (count[inverse] >= max(_MANY, len(rows) // 10)) & ~np.isnan(length)


@rule("line.per-km", Severity.WARNING, "impedance and length of a line do not fit", "线路阻抗与长度不匹配")
def per_kilometre(view: View) -> Iterator[Hits]:
    """Mostly a slip of the unit: metres, miles, per-unit."""
    rows = _lines(view)
    rows = rows[~_placeholder(view, rows)]
    length = view.numbers(rows, "Conductor.length")
    for prop, factor, (least, most), unit in (
        ("ACLineSegment.x", 1.0, _OHM_PER_KM, "ohm/km"),
        ("ACLineSegment.bch", 1e6, _MICROSIEMENS_PER_KM, "uS/km"),
    ):
        value = view.numbers(rows, prop)
        each = factor * value / length
        broken = (length > 0) & (value > 0) & ((each < least) | (each > most))
        yield from hits(
            rows,
            broken,
            lambda i, prop=prop, each=each, unit=unit, least=least, most=most: (  # type: ignore[misc]
                f"{prop.partition('.')[2]} is {each[i]:.3g} {unit} over {length[i]:g} km; lines have {least:g} .. {most:g}"
            ),
            prop=prop,
            hint="length is in km, impedances are of the whole line in ohm and siemens",
        )
    yield from hits(
        rows, length > _LONGEST_KM, lambda i: f"is {length[i]:g} km long", prop="Conductor.length", hint="length is in km"
    )


@rule("line.ratio", Severity.INFO, "a line with more resistance than such lines have", "线路电阻与电抗比值异常")
def resistance_to_reactance(view: View) -> Iterator[Hits]:
    """Above 100 kV x is well above r; below, cables may have r/x of 3 and more."""
    rows = _lines(view)
    r, x = view.numbers(rows, "ACLineSegment.r"), view.numbers(rows, "ACLineSegment.x")
    kv = view.kv(rows)
    most = np.where(kv >= 100, 1.2, 6.0)
    ratio = r / x
    broken = (x > 0) & (ratio > most)
    yield from hits(
        rows, broken, lambda i: f"r/x = {ratio[i]:.3g} at {kv[i]:g} kV", prop="ACLineSegment.r", hint="are r and x exchanged?"
    )


@rule("line.per-unit", Severity.WARNING, "an impedance that no line of this voltage has", "线路阻抗超出该电压等级的可能范围")
def impedance_for_voltage(view: View) -> Iterator[Hits]:
    """A line whose natural capability is below a ten-thousandth of what such lines carry is none."""
    rows = _lines(view)
    kv = view.kv(rows)
    x = view.numbers(rows, "ACLineSegment.x")
    short_circuit = kv**2 / x
    broken = (x > 0) & (short_circuit < np.maximum(0.01 * kv, 0.05))
    yield from hits(
        rows,
        broken,
        lambda i: f"x = {x[i]:g} ohm at {kv[i]:g} kV: it could carry {short_circuit[i]:.3g} MW at most",
        prop="ACLineSegment.x",
        hint="impedances are in ohm",
    )


@rule(
    "voltage.nominal",
    Severity.ERROR,
    "a base voltage that is none",
    "基准电压无效",
    "C:301:EQ:BaseVoltage.nominalVoltage:valueRange",
)
def nominal_voltage(view: View) -> Iterator[Hits]:
    """In kV, positive, and not above what is built."""
    rows = view.rows("BaseVoltage")
    kv = view.numbers(rows, "BaseVoltage.nominalVoltage")
    broken = np.isnan(kv) | (kv <= 0) | (kv > 2000)
    yield from hits(
        rows, broken, lambda i: f"nominalVoltage is {kv[i]:g} kV", prop="BaseVoltage.nominalVoltage", hint="nominal voltage in kV"
    )


@rule("level.limits", Severity.WARNING, "voltage limits of a level that do not fit it", "电压等级限值不合理", "IEC 61970-301")
def level_limits(view: View) -> Iterator[Hits]:
    """The low limit below the high one, the nominal voltage not far outside."""
    rows = view.rows("VoltageLevel")
    low, high = (view.numbers(rows, f"VoltageLevel.{end}VoltageLimit") for end in ("low", "high"))
    kv = view.kv_of[rows] if len(rows) else np.zeros(0)
    upside_down = low >= high
    outside = ~upside_down & ((low > 1.1 * kv) | (high < 0.9 * kv) | (high > 1.5 * kv))
    yield from hits(
        rows, upside_down, lambda i: f"low limit {low[i]:g} kV, high limit {high[i]:g} kV", prop="VoltageLevel.lowVoltageLimit"
    )
    yield from hits(
        rows, outside, lambda i: f"limits {low[i]:g} .. {high[i]:g} kV at {kv[i]:g} kV", prop="VoltageLevel.highVoltageLimit"
    )
