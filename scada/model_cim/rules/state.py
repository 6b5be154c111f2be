"""Rules about the state the files describe: what is live, what is earthed, whether it balances, whether a solution fits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from scada.model_cim.findings import Severity
from scada.model_cim.rules.catalogue import Hits, hits, rule
from scada.model_cim.rules.islands import dead, live_nodes
from scada.model_cim.rules.view import Int32, View

_INJECTIONS: Final = (
    ("RotatingMachine", "RotatingMachine.p"),
    ("ExternalNetworkInjection", "ExternalNetworkInjection.p"),
    ("EquivalentInjection", "EquivalentInjection.p"),
    ("PowerElectronicsConnection", "PowerElectronicsConnection.p"),
    ("EnergySource", "EnergySource.activePower"),
)
_IMBALANCE: Final = 0.2
"""Losses, transfers and rounding stay below this share of the load."""


@rule("island.dead", Severity.WARNING, "a load or busbar that no source can reach", "负荷或母线没有通向电源的路径")
def without_source(view: View) -> Iterator[Hits]:
    """With every switch in its normal position. In a model without any source nothing is told."""
    rows = view.rows("EnergyConsumer", "BusbarSection")
    live = live_nodes(view)
    if live is not None:
        text = "no source reaches it with every switch in its normal position"
        yield from hits(rows, dead(view, rows, live), text, hint="check switches, inService and connected on the way to it")


@rule(
    "earthing.closed",
    Severity.ERROR,
    "an earthing switch closed where it is normally live",
    "接地刀闸合在正常带电处",
    "IEC 61970-301",
)
def earthed_and_live(view: View) -> Iterator[Hits]:
    """Its normal position would earth a live bus."""
    rows = view.rows("GroundDisconnector")
    closed = rows[view.has(rows, "Switch.normalOpen") & ~view.truths(rows, "Switch.normalOpen", default=True)]
    live = live_nodes(view) if len(closed) else None
    if live is None:
        return
    earthed = np.zeros(len(closed), np.bool_)
    for number in (0, 1):
        node = view.node(view.terminal(closed, number))
        earthed |= (node >= 0) & live[node]
    text = "its normal position is closed, and the bus it earths is normally live"
    yield from hits(closed, earthed, text, prop="Switch.normalOpen", hint="normalOpen of an earthing switch is true")


@rule("equipment.isolated", Severity.WARNING, "equipment that nothing else is connected to", "设备未与其他设备相连")
def isolated(view: View) -> Iterator[Hits]:
    """Every node it stands at is its own."""
    terminals = view.terminals
    if not len(terminals):
        return
    node = view.node(terminals)
    at_node = np.bincount(node[node >= 0], minlength=view.size)
    shared = np.bincount(
        view.terminal_equipment[(node >= 0) & (at_node[node] > 1) & (view.terminal_equipment >= 0)], minlength=view.size
    )
    rows = view.rows("ConductingEquipment")
    broken = (view.terminal_count[rows] > 0) & (shared[rows] == 0)
    yield from hits(rows, broken, "nothing else is connected to its nodes", hint="connect it, or remove it")


@rule("grid.balance", Severity.WARNING, "generation and load do not balance", "发电与负荷不平衡")
def balance(view: View) -> Iterator[Hits]:
    """Sums of the present values (SSH): a fifth apart is a missing file or a wrong sign."""
    loads = view.rows("EnergyConsumer")
    load = _total(view, loads, "EnergyConsumer.p")
    generated = -sum(_total(view, view.rows(class_name), prop) for class_name, prop in _INJECTIONS)
    odd = load > 0 and generated != 0 and abs(generated - load) > _IMBALANCE * load
    text = f"injections give {generated:.1f} MW, loads take {load:.1f} MW"
    yield from hits(loads[:1], np.array([odd] * len(loads[:1]), np.bool_), text, hint="is a file missing, a sign exchanged?")


def _total(view: View, rows: Int32, prop: str) -> float:
    in_service = view.truths(rows, "Equipment.inService", default=True)
    return float(np.nansum(view.numbers(rows, prop)[in_service]))


# ---------------------------------------------------------------- the solution in the files (SV)


@rule("sv.voltage", Severity.WARNING, "a solved voltage far from nominal", "潮流解电压异常", "C:456:SV:SvVoltage.v:absoluteLimit")
def solved_voltage(view: View) -> Iterator[Hits]:
    """Below 0.4 or above 1.5 of nominal; 0 is a node without voltage and is told by nobody."""
    rows = view.rows("SvVoltage")
    v = view.numbers(rows, "SvVoltage.v")
    kv = view.at(view.kv_of, view.target(rows, "SvVoltage.TopologicalNode"))
    broken = (v != 0) & ((v < 0.4 * kv) | (v > 1.5 * kv))
    yield from hits(rows, broken, lambda i: f"v = {v[i]:g} kV at {kv[i]:g} kV", prop="SvVoltage.v")


@rule(
    "sv.tap", Severity.WARNING, "a solved tap outside its range", "潮流解分接头超出范围", "C:301:SV:SvTapStep.position:valueRange"
)
def solved_tap(view: View) -> Iterator[Hits]:
    """SvTapStep within lowStep .. highStep."""
    rows = view.rows("SvTapStep")
    changer = view.target(rows, "SvTapStep.TapChanger")
    position = view.numbers(rows, "SvTapStep.position")
    low, high = (
        np.where(changer >= 0, view.numbers(np.maximum(changer, 0), f"TapChanger.{end}Step"), math.nan) if len(rows) else position
        for end in ("low", "high")
    )
    broken = (position < low) | (position > high)
    yield from hits(
        rows, broken, lambda i: f"position {position[i]:g} is outside {low[i]:g} .. {high[i]:g}", prop="SvTapStep.position"
    )


@rule(
    "sv.tap-differs",
    Severity.INFO,
    "the solved tap is not the one of the hypothesis",
    "潮流解分接头与方式数据不同",
    "C:600:SV:SvTapStep.position:SV__4",
)
def solved_tap_differs(view: View) -> Iterator[Hits]:
    """The solved one is used; without control they should be one."""
    rows = view.rows("SvTapStep")
    changer = view.target(rows, "SvTapStep.TapChanger")
    position = view.numbers(rows, "SvTapStep.position")
    safe = np.maximum(changer, 0)
    if not len(rows):
        return
    step = np.where(changer >= 0, view.numbers(safe, "TapChanger.step"), math.nan)
    free = (changer >= 0) & ~view.truths(safe, "TapChanger.controlEnabled", default=False)
    broken = free & (np.abs(position - step) > 1e-6)
    yield from hits(rows, broken, lambda i: f"position {position[i]:g}, TapChanger.step {step[i]:g}: the first is used")


@rule(
    "sv.sections-differ",
    Severity.INFO,
    "the solved sections are not those of the hypothesis",
    "潮流解投入组数与方式数据不同",
    "C:600:SV:SvShuntCompensatorSections.sections:SV__4",
)
def solved_sections_differ(view: View) -> Iterator[Hits]:
    """The solved ones are used; without control they should be the same."""
    rows = view.rows("SvShuntCompensatorSections")
    if not len(rows):
        return
    shunt = view.target(rows, "SvShuntCompensatorSections.ShuntCompensator")
    solved = view.numbers(rows, "SvShuntCompensatorSections.sections")
    safe = np.maximum(shunt, 0)
    now = np.where(shunt >= 0, view.numbers(safe, "ShuntCompensator.sections"), math.nan)
    free = (shunt >= 0) & ~view.truths(safe, "RegulatingCondEq.controlEnabled", default=False)
    broken = free & (np.abs(solved - now) > 1e-6)
    yield from hits(rows, broken, lambda i: f"{solved[i]:g} sections, ShuntCompensator.sections {now[i]:g}: the first is used")
