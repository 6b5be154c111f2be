"""Rules about transformers, their windings and tap changers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from scada.model_cim.findings import Severity
from scada.model_cim.rules.catalogue import Hits, hits, rule
from scada.model_cim.rules.view import Float, Int32, View

_RATED_SPAN: Final = 0.2
"""A winding may be rated so far from the nominal voltage of its level (400/380, 10.5/10, 36/30 kV)."""
_TAP_SPAN: Final = 0.4
"""No tap changer regulates further than this share of the rated voltage."""
_END: Final = "PowerTransformerEnd"


def _ends(view: View) -> tuple[Int32, Int32, Float]:
    """Windings by transformer and number: winding, transformer, endNumber."""
    rows = view.rows(_END)
    transformer = view.target(rows, f"{_END}.PowerTransformer")
    number = view.numbers(rows, "TransformerEnd.endNumber")
    order = np.lexsort((rows, number, transformer))
    return rows[order], transformer[order], number[order]


@rule(
    "transformer.ends",
    Severity.ERROR,
    "windings and terminals of a transformer do not match",
    "变压器绕组与端子数量不符",
    "C:301:EQ:PowerTransformerEnd:terminalConsistency",
)
def ends_and_terminals(view: View) -> Iterator[Hits]:
    """Two or three windings, each with a terminal of the transformer itself."""
    rows = view.rows("PowerTransformer")
    count = view.counts(f"{_END}.PowerTransformer")[rows]
    terminals = view.terminal_count[rows]
    broken = (count < 2) | (count != terminals)
    yield from hits(rows, broken, lambda i: f"{count[i]} windings and {terminals[i]} terminals", hint="one terminal a winding")
    ends, transformer, _ = _ends(view)
    terminal = view.target(ends, "TransformerEnd.Terminal")
    owner = np.where(terminal >= 0, view.target(np.maximum(terminal, 0), "Terminal.ConductingEquipment"), -1)
    yield from hits(
        ends,
        (terminal >= 0) & (transformer >= 0) & (owner != transformer),
        lambda i: f"its terminal is of {view.name(int(owner[i]))}, not of its own transformer",
        prop="TransformerEnd.Terminal",
        hint="name a terminal of the transformer",
    )


@rule(
    "transformer.end-number",
    Severity.ERROR,
    "two windings of one number",
    "变压器绕组序号重复",
    "C:301:EQ:TransformerEnd.endNumber:unique",
)
def end_numbers(view: View) -> Iterator[Hits]:
    """Which one is the high side cannot be told."""
    rows, transformer, number = _ends(view)
    same = np.zeros(len(rows), np.bool_)
    same[1:] = (transformer[1:] == transformer[:-1]) & (number[1:] == number[:-1]) & (transformer[1:] >= 0)
    yield from hits(
        rows, same, lambda i: f"a second winding {number[i]:g}", prop="TransformerEnd.endNumber", hint="number them 1, 2, 3"
    )


@rule(
    "transformer.rated-order",
    Severity.WARNING,
    "winding 1 is not the one of the highest voltage",
    "1 号绕组不是最高电压侧",
    "C:301:EQ:PowerTransformerEnd.ratedU:valueRange",
)
def rated_order(view: View) -> Iterator[Hits]:
    """Impedances are referred to winding 1."""
    rows, transformer, _ = _ends(view)
    rated = view.numbers(rows, f"{_END}.ratedU")
    rising = np.zeros(len(rows), np.bool_)
    rising[1:] = (transformer[1:] == transformer[:-1]) & (rated[1:] > rated[:-1] * (1 + 1e-9)) & (transformer[1:] >= 0)
    text = "ratedU is above that of the winding before it"
    yield from hits(rows, rising, lambda i: f"{text}: {rated[i]:g} > {rated[i - 1]:g} kV", prop=f"{_END}.ratedU")


@rule(
    "transformer.rated-power",
    Severity.WARNING,
    "two windings of different rated power",
    "双绕组变压器额定容量不一致",
    "C:301:EQ:PowerTransformerEnd.ratedS:valueRange2winding",
)
def rated_power(view: View) -> Iterator[Hits]:
    """Of a transformer with two windings both have the same."""
    rows, transformer, _ = _ends(view)
    rated = view.numbers(rows, f"{_END}.ratedS")
    count = view.counts(f"{_END}.PowerTransformer")
    second = np.zeros(len(rows), np.bool_)
    second[1:] = (transformer[1:] == transformer[:-1]) & (transformer[1:] >= 0) & (count[transformer[1:]] == 2)
    before = np.concatenate([[math.nan], rated[:-1]]) if len(rated) else rated
    broken = second & (np.abs(rated - before) > 1e-6 * np.abs(before))
    yield from hits(rows, broken, lambda i: f"ratedS is {rated[i]:g} MVA, of winding 1 {before[i]:g}", prop=f"{_END}.ratedS")


@rule("transformer.base-voltage", Severity.WARNING, "rated voltage of a winding far from its level", "绕组额定电压与电压等级不符")
def rated_against_level(view: View) -> Iterator[Hits]:
    """Beyond a fifth a winding stands at the wrong node, or the unit is wrong."""
    rows, _, _ = _ends(view)
    rated = view.numbers(rows, f"{_END}.ratedU")
    kv = view.at(view.kv_of, view.target(rows, "TransformerEnd.Terminal"))
    broken = (np.abs(rated - kv) > _RATED_SPAN * kv) | (rated <= 0)
    yield from hits(
        rows,
        broken,
        lambda i: f"ratedU {rated[i]:g} kV at a node of {kv[i]:g} kV",
        prop=f"{_END}.ratedU",
        hint="in kV, at this node?",
    )


@rule("transformer.end-base", Severity.WARNING, "base voltage of a winding is not that of its node", "绕组基准电压与节点不一致")
def end_base_voltage(view: View) -> Iterator[Hits]:
    """Per-unit values would be taken at the wrong base."""
    rows, _, _ = _ends(view)
    own = view.at(view.kv_of, view.target(rows, "TransformerEnd.BaseVoltage"))
    kv = view.at(view.kv_of, view.target(rows, "TransformerEnd.Terminal"))
    broken = np.abs(own - kv) > 1e-3 * kv
    yield from hits(
        rows, broken, lambda i: f"BaseVoltage {own[i]:g} kV at a node of {kv[i]:g} kV", prop="TransformerEnd.BaseVoltage"
    )


@rule(
    "transformer.base-unused",
    Severity.INFO,
    "a transformer with a base voltage of its own",
    "变压器本体给出了基准电压",
    "C:301:EQ:PowerTransformer:associationNotUsed",
)
def transformer_base(view: View) -> Iterator[Hits]:
    """It has several; those of its windings are read."""
    rows = view.rows("PowerTransformer")
    prop = "ConductingEquipment.BaseVoltage"
    yield from hits(rows, view.has(rows, prop), "has a BaseVoltage; those of its windings are read", prop=prop)


@rule(
    "transformer.reactance",
    Severity.WARNING,
    "a transformer without reactance",
    "变压器电抗为零",
    "C:452:EQ:PowerTransformerEnd.x:value",
)
def reactance(view: View) -> Iterator[Hits]:
    """No transformer has none; a three-winding one may have a negative one at one winding."""
    rows, transformer, _ = _ends(view)
    x = np.nan_to_num(view.numbers(rows, f"{_END}.x"))
    owned = transformer >= 0
    total = np.bincount(transformer[owned], np.abs(x[owned]), view.size)
    signed = np.bincount(transformer[owned], x[owned], view.size)
    count = np.bincount(transformer[owned], minlength=view.size)
    tanks = view.rows("PowerTransformer")
    given = np.bincount(transformer[owned], view.has(rows, f"{_END}.x")[owned], view.size) > 0
    none = (count[tanks] > 0) & (total[tanks] == 0) & given[tanks]
    yield from hits(tanks, none, "the reactance of all its windings is 0", hint="give PowerTransformerEnd.x")
    negative = (count[tanks] == 2) & (signed[tanks] < 0)
    yield from hits(tanks, negative, lambda i: f"its reactance is {signed[tanks[i]]:g} ohm", hint="correct the sign")


@rule(
    "transformer.resistance",
    Severity.WARNING,
    "a winding of negative resistance",
    "绕组电阻为负",
    "C:301:EQ:PowerTransformerEnd.r:valueRange",
)
def resistance(view: View) -> Iterator[Hits]:
    """Only equivalents have it, at one of three windings."""
    rows, transformer, _ = _ends(view)
    r = view.numbers(rows, f"{_END}.r")
    count = view.at(view.counts(f"{_END}.PowerTransformer"), transformer)
    yield from hits(rows, (r < 0) & (count == 2), lambda i: f"r = {r[i]:g} ohm", prop=f"{_END}.r", hint="correct the sign")


@rule(
    "transformer.second-winding",
    Severity.INFO,
    "impedance at both windings",
    "两侧绕组均给出阻抗",
    "C:301:EQ:PowerTransformerEnd:secondWindingValues",
)
def second_winding(view: View) -> Iterator[Hits]:
    """Of two windings the first has it all; what stands at the second is added, referred to winding 1."""
    rows, transformer, number = _ends(view)
    count = view.at(view.counts(f"{_END}.PowerTransformer"), transformer)
    given = np.zeros(len(rows), np.bool_)
    for prop in ("r", "x", "g", "b"):
        given |= np.nan_to_num(view.numbers(rows, f"{_END}.{prop}")) != 0
    yield from hits(rows, given & (number == 2) & (count == 2), "has an impedance of its own; winding 1 should have it all")


@rule("transformer.short-circuit", Severity.WARNING, "a short-circuit voltage no transformer has", "变压器短路阻抗异常")
def short_circuit_voltage(view: View) -> Iterator[Hits]:
    """X times ratedS over ratedU squared: 4 .. 25 %, special ones up to 60."""
    rows, _, number = _ends(view)
    x, u, s = (view.numbers(rows, f"{_END}.{prop}") for prop in ("x", "ratedU", "ratedS"))
    uk = 100 * np.abs(x) * s / u**2
    broken = (number == 1) & (s > 0) & (x != 0) & ((uk < 0.1) | (uk > 100))
    yield from hits(
        rows,
        broken,
        lambda i: f"short-circuit voltage {uk[i]:.3g} %",
        prop=f"{_END}.x",
        hint="x in ohm, ratedS in MVA, ratedU in kV",
    )


# ---------------------------------------------------------------- tap changers


@rule(
    "tap.neutral-voltage",
    Severity.INFO,
    "neutralU is not the rated voltage of the winding",
    "分接开关中性点电压与绕组额定电压不同",
    "C:600:EQ:TapChanger.neutralU:ValueRangePair",
)
def neutral_voltage(view: View) -> Iterator[Hits]:
    """Steps are shares of neutralU."""
    rows = view.rows("TapChanger")
    end = view.target(rows, "RatioTapChanger.TransformerEnd", "PhaseTapChanger.TransformerEnd", "TapChanger.TransformerEnd")
    neutral = view.numbers(rows, "TapChanger.neutralU")
    rated = np.where(end >= 0, view.numbers(np.maximum(end, 0), f"{_END}.ratedU"), math.nan) if len(end) else neutral
    broken = np.abs(neutral - rated) > 1e-3 * rated
    yield from hits(rows, broken, lambda i: f"neutralU {neutral[i]:g} kV, ratedU {rated[i]:g} kV", prop="TapChanger.neutralU")


@rule("tap.step", Severity.ERROR, "a tap outside its range", "分接头位置超出范围", "C:301:SSH:TapChanger.step:valueRangePairTo")
def tap_step(view: View) -> Iterator[Hits]:
    """Step and normal step within lowStep .. highStep."""
    rows = view.rows("TapChanger")
    low, high = view.numbers(rows, "TapChanger.lowStep"), view.numbers(rows, "TapChanger.highStep")
    for prop in ("TapChanger.step", "TapChanger.normalStep", "TapChanger.neutralStep"):
        step = view.numbers(rows, prop)
        broken = (step < low) | (step > high)
        yield from hits(
            rows,
            broken,
            lambda i, prop=prop, step=step: f"{prop.partition('.')[2]} {step[i]:g} is outside {low[i]:g} .. {high[i]:g}",  # type: ignore[misc]
            prop=prop,
            severity=Severity.WARNING if prop == "TapChanger.neutralStep" else None,
        )


@rule("tap.range", Severity.WARNING, "a tap changer with an impossible range", "分接开关调压范围异常")
def tap_range(view: View) -> Iterator[Hits]:
    """Mostly stepVoltageIncrement in kV where percent is meant."""
    rows = view.rows("RatioTapChanger")
    step = np.abs(view.numbers(rows, "RatioTapChanger.stepVoltageIncrement"))
    low, high, neutral = (view.numbers(rows, f"TapChanger.{prop}") for prop in ("lowStep", "highStep", "neutralStep"))
    span = step / 100 * np.maximum(np.abs(high - neutral), np.abs(neutral - low))
    broken = span > _TAP_SPAN
    yield from hits(
        rows,
        broken,
        lambda i: f"regulates by {100 * span[i]:.0f} % of the rated voltage",
        prop="RatioTapChanger.stepVoltageIncrement",
        hint="stepVoltageIncrement is in percent of neutralU",
    )


@rule(
    "tap.control-flag",
    Severity.INFO,
    "a tap changer that cannot move under load, under control",
    "无载分接开关挂了自动控制",
    "C:301:EQ:TapChanger.ltcFlag:tapChangerControl",
)
def control_flag(view: View) -> Iterator[Hits]:
    """LtcFlag false and a TapChangerControl: only an artificial one does so."""
    rows = view.rows("TapChanger")
    fixed = view.has(rows, "TapChanger.ltcFlag") & ~view.truths(rows, "TapChanger.ltcFlag", default=True)
    controlled = view.target(rows, "TapChanger.TapChangerControl") >= 0
    yield from hits(rows, fixed & controlled, "ltcFlag is false, but it has a TapChangerControl", prop="TapChanger.ltcFlag")


@rule(
    "tap.winding-angle",
    Severity.WARNING,
    "a winding connection angle that does not exist",
    "绕组接线角无效",
    "C:301:EQ:PhaseTapChangerAsymmetrical.windingConnectionAngle:valueRange",
)
def winding_angle(view: View) -> Iterator[Hits]:
    """Multiples of 30 degrees from -150 to 150, without 0."""
    rows = view.rows("PhaseTapChangerAsymmetrical")
    angle = view.numbers(rows, "PhaseTapChangerAsymmetrical.windingConnectionAngle")
    broken = ~np.isnan(angle) & ((angle % 30 != 0) | (angle == 0) | (np.abs(angle) > 150))
    yield from hits(
        rows, broken, lambda i: f"windingConnectionAngle {angle[i]:g}", prop="PhaseTapChangerAsymmetrical.windingConnectionAngle"
    )


@rule(
    "tap.phase-reactance",
    Severity.WARNING,
    "reactance of a phase shifter does not follow its taps",
    "移相器电抗与分接位置不一致",
    "C:301:EQ:PhaseTapChangerLinear.xMin:valueRangePair",
)
def phase_reactance(view: View) -> Iterator[Hits]:
    """XMin is at the neutral tap, xMax at the last; a fixed x is 100 MW and more wrong at the ends of a big one."""
    rows = view.rows("PhaseTapChangerLinear", "PhaseTapChangerSymmetrical", "PhaseTapChangerAsymmetrical")
    low, high = (
        np.fmax(view.numbers(rows, f"PhaseTapChangerLinear.{end}"), view.numbers(rows, f"PhaseTapChangerNonLinear.{end}"))
        for end in ("xMin", "xMax")
    )
    end = view.target(rows, "PhaseTapChanger.TransformerEnd", "TapChanger.TransformerEnd")
    x = np.where(end >= 0, view.numbers(np.maximum(end, 0), f"{_END}.x"), math.nan) if len(end) else low
    upside_down = low > high
    outside = ~upside_down & (high > 0) & ((x < low - 1e-3 * high) | (x > high + 1e-3 * high))
    yield from hits(rows, upside_down, lambda i: f"xMin {low[i]:g} is above xMax {high[i]:g} ohm")
    yield from hits(
        rows,
        outside,
        lambda i: f"x of the winding {x[i]:g} ohm is outside xMin .. xMax, {low[i]:g} .. {high[i]:g}",
        hint="xMin is x at neutral",
    )
