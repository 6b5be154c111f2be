"""Rules about what belongs to what: terminals, nodes, containers, and objects that nothing leads to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from scada.model_cim.findings import Severity
from scada.model_cim.rules.catalogue import Hits, hits, rule
from scada.model_cim.rules.view import View

_OWNERS: Final = {
    "TapChanger": (
        "a tap changer",
        "RatioTapChanger.TransformerEnd",
        "PhaseTapChanger.TransformerEnd",
        "TapChanger.TransformerEnd",
    ),
    "PowerTransformerEnd": ("a winding", "PowerTransformerEnd.PowerTransformer"),
    "RemoteSource": ("a remote source", "RemoteSource.MeasurementValue"),
    "RemoteControl": ("a remote control", "RemoteControl.Control"),
    "AnalogLimit": ("an alarm limit", "AnalogLimit.LimitSet"),
    "OperationalLimit": ("an operational limit", "OperationalLimit.OperationalLimitSet"),
    "OperationalLimitSet": ("a limit set", "OperationalLimitSet.Terminal", "OperationalLimitSet.Equipment"),
    "ValueToAlias": ("a label", "ValueToAlias.ValueAliasSet"),
    "Bay": ("a bay", "Bay.VoltageLevel"),
    "VoltageLevel": ("a voltage level", "VoltageLevel.Substation"),
    "CurveData": ("a point of a curve", "CurveData.Curve"),
    "TieFlow": ("a tie flow", "TieFlow.ControlArea"),
    "NonlinearShuntCompensatorPoint": (
        "a point of a shunt",
        "NonlinearShuntCompensatorPoint.NonlinearShuntCompensator",
    ),
}
"""Class -> what it is, and the references one of which it lives by."""
_OWNED_BY: Final = {"RemoteSource": "MeasurementValue.RemoteSource"}
"""References from elsewhere that do as well."""


@rule("orphan.object", Severity.WARNING, "an object that belongs to nothing", "对象没有归属", "IEC 61970-301")
def orphans(view: View) -> Iterator[Hits]:
    """A tap changer without winding, a limit without set ...: nothing will ever use it."""
    for class_name, (what, *props) in _OWNERS.items():
        rows = view.rows(class_name)
        owned = np.zeros(len(rows), np.bool_)
        for prop in props:
            owned |= view.has(rows, prop)
        wanted = " or ".join(props)
        if class_name in _OWNED_BY:
            owned |= np.isin(rows, view.links(_OWNED_BY[class_name])[1])
        yield from hits(rows, ~owned, f"{what} that belongs to nothing: it has no {wanted}", hint=f"give {wanted}")


@rule("orphan.limits", Severity.INFO, "a limit set without limits", "限值集没有限值", "IEC 61970-301")
def empty_limit_sets(view: View) -> Iterator[Hits]:
    """Harmless, and surely not meant."""
    for kind, prop in (
        ("OperationalLimitSet", "OperationalLimit.OperationalLimitSet"),
        ("AnalogLimitSet", "AnalogLimit.LimitSet"),
    ):
        rows = view.rows(kind)
        count = view.counts(prop)[rows]
        own = view.has(rows, "sc:AnalogLimitSet.rate") | view.has(rows, "sc:AnalogLimitSet.deviation")
        yield from hits(rows, (count == 0) & ~own, "a limit set without limits", hint="remove it or give it limits")


@rule("terminal.equipment", Severity.ERROR, "a terminal without equipment", "端子没有所属设备", "IEC 61970-301")
def terminal_without_equipment(view: View) -> Iterator[Hits]:
    """It connects nothing."""
    rows = view.rows("Terminal")
    broken = ~view.has(rows, "Terminal.ConductingEquipment")
    yield from hits(rows, broken, "a terminal without equipment: it connects nothing", hint="set Terminal.ConductingEquipment")


@rule("terminal.node", Severity.WARNING, "a terminal without node", "端子没有连接节点", "IEC 61970-301")
def terminal_without_node(view: View) -> Iterator[Hits]:
    """Its equipment hangs in the air at this end."""
    rows = view.rows("Terminal")
    broken = ~view.has(rows, "Terminal.ConnectivityNode") & ~view.has(rows, "Terminal.TopologicalNode")
    yield from hits(
        rows, broken, "a terminal without node: its equipment is not connected here", hint="set Terminal.ConnectivityNode"
    )


@rule(
    "terminal.sequence",
    Severity.WARNING,
    "terminals not numbered 1, 2, 3",
    "端子序号不连续",
    "C:301:EQ:ACDCTerminal.sequenceNumber:numbering",
)
def terminal_numbers(view: View) -> Iterator[Hits]:
    """The first terminal is where a branch begins; without numbers the order of the file decides."""
    rows = view.terminals
    equipment = view.terminal_equipment
    number = view.numbers(rows, "ACDCTerminal.sequenceNumber")
    start = np.searchsorted(equipment, equipment)
    wanted = np.arange(len(rows)) - start + 1
    broken = (equipment >= 0) & ~np.isnan(number) & (number != wanted)
    yield from hits(
        rows, broken, lambda i: f"sequenceNumber {number[i]:g} where {wanted[i]} is due", prop="ACDCTerminal.sequenceNumber"
    )


@rule(
    "terminal.same-node",
    Severity.WARNING,
    "both terminals on one node",
    "两端接在同一节点",
    "C:452:EQ:Terminal:connection",
)
def ends_on_one_node(view: View) -> Iterator[Hits]:
    """Equipment shorted by its own node."""
    rows = view.rows("ConductingEquipment")
    rows = rows[view.terminal_count[rows] >= 2]
    one, two = (view.node(view.terminal(rows, number)) for number in (0, 1))
    text = "both ends are on the same node: it connects nothing"
    yield from hits(rows, (one >= 0) & (one == two), text, hint="correct a Terminal.ConnectivityNode")


@rule(
    "equipment.terminals", Severity.WARNING, "equipment with the wrong number of terminals", "设备端子数量不符", "IEC 61970-301"
)
def number_of_terminals(view: View) -> Iterator[Hits]:
    """Lines, machines and loads; ENTSO-E's own constraints count the others."""
    for class_name, wanted in (
        ("ACLineSegment", 2),
        ("EnergyConsumer", 1),
        ("RotatingMachine", 1),
        ("ExternalNetworkInjection", 1),
    ):
        rows = view.rows(class_name)
        count = view.terminal_count[rows]
        yield from hits(
            rows,
            count != wanted,
            lambda i, count=count, wanted=wanted: f"{count[i]} terminals, {wanted} are due",  # type: ignore[misc]
        )


@rule("node.unused", Severity.INFO, "a node that nothing is connected to", "节点上没有设备", "IEC 61970-301")
def unused_nodes(view: View) -> Iterator[Hits]:
    """Left over from an edit."""
    rows = view.rows("ConnectivityNode")
    count = view.counts("Terminal.ConnectivityNode")[rows]
    yield from hits(rows, count == 0, "nothing is connected to this node", hint="remove it")


@rule("node.container", Severity.WARNING, "a node outside any voltage level", "节点不属于任何电压等级", "IEC 61970-301")
def node_container(view: View) -> Iterator[Hits]:
    """Its voltage and its station are not known. Boundary nodes stand in a Line."""
    rows = view.rows("ConnectivityNode")
    container = view.target(rows, "ConnectivityNode.ConnectivityNodeContainer")
    text = "a node without container: its voltage and station are unknown"
    yield from hits(rows, container < 0, text, hint="set ConnectivityNode.ConnectivityNodeContainer")


@rule("level.base-voltage", Severity.ERROR, "a voltage level without base voltage", "电压等级没有基准电压", "IEC 61970-301")
def level_without_base(view: View) -> Iterator[Hits]:
    """Per-unit values, colours and limits need it."""
    rows = view.rows("VoltageLevel")
    broken = view.target(rows, "VoltageLevel.BaseVoltage") < 0
    yield from hits(rows, broken, "a voltage level without base voltage", hint="set VoltageLevel.BaseVoltage")


@rule(
    "measurement.terminal",
    Severity.WARNING,
    "a measurement at a terminal of other equipment",
    "量测端子不属于其设备",
    "C:452:OP:Measurement.Terminal:requiredCases",
)
def measurement_terminal(view: View) -> Iterator[Hits]:
    """The value would be placed at the wrong end of the grid."""
    rows = view.rows("Measurement")
    resource = view.target(rows, "Measurement.PowerSystemResource")
    terminal = view.target(rows, "Measurement.Terminal")
    owner = np.where(terminal >= 0, view.target(np.maximum(terminal, 0), "Terminal.ConductingEquipment"), -1)
    equipment = np.zeros(view.size, np.bool_)
    equipment[view.rows("ConductingEquipment")] = True
    broken = (terminal >= 0) & (resource >= 0) & equipment[resource] & (owner != resource)
    yield from hits(
        rows,
        broken,
        lambda i: f"measured at a terminal of {view.name(int(owner[i]))}, but of {view.name(int(resource[i]))}",
        prop="Measurement.Terminal",
        hint="name a terminal of the same equipment",
    )


@rule("switch.levels", Severity.ERROR, "a switch between two voltage levels", "开关跨接两个电压等级", "IEC 61970-301")
def switch_between_levels(view: View) -> Iterator[Hits]:
    """Between different nominal voltages an error, between levels of one voltage worth a look."""
    rows = view.rows("Switch")
    one, two = (view.terminal(rows, number) for number in (0, 1))
    a, b = view.at(view.level_of, one), view.at(view.level_of, two)
    kv_a, kv_b = view.at(view.kv_of, one), view.at(view.kv_of, two)
    apart = (a >= 0) & (b >= 0) & (a != b)
    other = apart & (np.abs(kv_a - kv_b) > 0.1 * np.minimum(kv_a, kv_b))
    yield from hits(rows, other, lambda i: f"joins {kv_a[i]:g} kV and {kv_b[i]:g} kV", hint="correct a node of it")
    yield from hits(
        rows,
        apart & ~other,
        lambda i: f"joins {view.name(int(a[i]))} and {view.name(int(b[i]))}",
        severity=Severity.INFO,
    )


@rule(
    "station.count",
    Severity.INFO,
    "one station, or one for each voltage level",
    "只有一个厂站或每个电压等级一个厂站",
    "C:600:EQ:Substation:count",
)
def station_count(view: View) -> Iterator[Hits]:
    """Stations should be those of the power system."""
    stations, levels = view.rows("Substation"), view.rows("VoltageLevel")
    odd = len(levels) > 1 and (len(stations) == 1 or len(stations) == len(levels))
    text = f"{len(stations)} stations and {len(levels)} voltage levels: is this how the system is built?"
    yield from hits(stations[:1], np.array([odd] * len(stations[:1]), np.bool_), text)


@rule("region.count", Severity.INFO, "several geographical regions", "地理区域多于一个", "C:600:EQ:GeographicalRegion:EQ__4")
def region_count(view: View) -> Iterator[Hits]:
    """One for each authority; merged models have more."""
    regions = view.rows("GeographicalRegion")
    yield from hits(regions[1:], np.ones(len(regions[1:]), np.bool_), "a further geographical region")
