"""Switches, equipment and stations: what the network is afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from scada.model_cim.cim import CimModel
from scada.model_cim.classes import subclasses
from scada.model_cim.difference import diff_models
from scada.model_cim.effects.kinds import Effect, EffectKind
from scada.model_cim.effects.values import other_fields, shown
from scada.model_cim.locate import Locator
from scada.model_cim.schema import load_schema
from scada.model_cim.statements import Difference, Statement
from scada.model_cim.tables import ModelTables, Station

_SWITCHES: Final = frozenset(subclasses("Switch"))
_LISTED: Final = frozenset({"Substation", "ControlArea", "SubControlArea"})
"""Classes that have effects of their own elsewhere."""
_SCADA: Final = frozenset(
    name for parent in ("Measurement", "MeasurementValue", "Control", "RemotePoint") for name in subclasses(parent)
) | frozenset(
    {
        "RemoteUnit",
        "CommunicationLink",
        "AnalogLimit",
        "AnalogLimitSet",
        "ValueAliasSet",
        "ValueToAlias",
        "MeasurementValueSource",
    }
    | {"TieFlow", "AltTieMeas", "ControlAreaGeneratingUnit", "AltGeneratingUnitMeas"}
)
_VALUES: Final = {name: f"{name}Value.{name}" for name in ("Analog", "Discrete", "Accumulator")}
"""Measurements, and the property by which their values name them: one without a value makes no point."""
_TERMINAL: Final = (
    "Terminal.ConductingEquipment", "Terminal.ConnectivityNode", "Terminal.TopologicalNode",
    "ACDCTerminal.connected", "Terminal.connected", "ACDCTerminal.sequenceNumber", "Terminal.sequenceNumber",
)  # fmt: skip
_NODES: Final = ("ConnectivityNode", "TopologicalNode")
_POSITION: Final = frozenset({"Switch.open"})
"""State, not equipment: whoever runs the model asks the plant."""


def network_effects(models: tuple[CimModel, CimModel], difference: Difference | None = None) -> Iterator[Effect]:
    """What becomes of switches and other equipment.

    Args:
        models: before and after.
        difference: between them, where the caller has it already.
    """
    yield from _Network(models, difference if difference is not None else diff_models(*models)).effects()


def station_effects(old: ModelTables, new: ModelTables) -> Iterator[Effect]:
    """What becomes of the stations and their diagrams."""
    before, after = ({station.mrid: station for station in tables.stations} for tables in (old, new))
    drawn = any(station.diagram for station in new.stations)  # a version that is only proposed has no drawings yet
    for mrid, station in before.items():
        if mrid not in after:
            yield Effect(EffectKind.STATION_LOST, mrid, station.name, station.name)
    for mrid, station in after.items():
        was = before.get(mrid)
        if was is None:
            yield Effect(EffectKind.STATION_GAINED, mrid, station.name, station.name)
            continue
        for field, text, now in other_fields(was, station, ("name", "area")):
            yield Effect(EffectKind.STATION_CHANGED, mrid, station.name, station.name, field, text, now)
        levels = _levels(was), _levels(station)
        if levels[0] != levels[1]:
            yield Effect(EffectKind.STATION_CHANGED, mrid, station.name, station.name, "voltage_levels", *levels)
        if was.diagram != station.diagram and drawn:
            yield Effect(EffectKind.DIAGRAM_CHANGED, mrid, station.name, station.name, "", was.diagram, station.diagram)


def _levels(station: Station) -> str:
    return ", ".join(f"{name} {shown(float(kv))} kV" for _, name, kv in station.voltage_levels)


class _Network:
    def __init__(self, models: tuple[CimModel, CimModel], difference: Difference) -> None:
        self._models = models
        self._difference = difference
        self._locators = tuple(Locator(model) for model in models)
        self._equipment = frozenset(load_schema("3.0").subclasses("Equipment")) | frozenset(subclasses("ConductingEquipment"))
        self._others: Counter[str] = Counter()
        self._counted: set[tuple[str, str]] = set()

    def effects(self) -> Iterator[Effect]:
        difference = self._difference
        concerned: set[str] = set()
        for mrid in sorted({*difference.added, *difference.removed}):
            yield from self._object(mrid, difference.removed.get(mrid, ""), difference.added.get(mrid, ""))
        before: dict[tuple[str, str], list[str]] = {}
        after: dict[tuple[str, str], list[str]] = {}
        for statements, found in ((difference.reverse, before), (difference.forward, after)):
            for statement in statements:
                if statement.prop in _TERMINAL:
                    concerned.update(self._owners(statement.mrid))
                if self._stays(statement.mrid):
                    found.setdefault((statement.mrid, statement.prop), []).append(self._said(statement, found is after))
                else:
                    self._others_of(statement.mrid)
        for key in sorted({*before, *after}):
            yield from self._value(*key, ", ".join(before.get(key, ())), ", ".join(after.get(key, ())))
        for mrid in sorted(concerned):
            yield from self._connection(mrid)
        for class_name, count in sorted(self._others.items()):
            yield Effect(EffectKind.OTHER, class_name, class_name, new=str(count))

    def _stays(self, mrid: str) -> bool:
        return all(mrid in model for model in self._models)

    def _others_of(self, mrid: str) -> None:
        name = self._class(mrid)
        makes_no_point = name in _VALUES and not any(model.refs_to(mrid, _VALUES[name]) for model in self._models)
        if makes_no_point or (name not in _SWITCHES and name not in self._equipment and not self._covered(name)):
            self._others[name] += 1

    def _covered(self, name: str) -> bool:
        return name in _SCADA or name in _LISTED or name.startswith("sc:") or name in ("Terminal", "VoltageLevel")

    def _class(self, mrid: str) -> str:
        return self._models[1].class_of(mrid) or self._models[0].class_of(mrid)

    def _object(self, mrid: str, was: str, now: str) -> Iterator[Effect]:
        model = 1 if now else 0
        switch = {was, now} & _SWITCHES
        path, station = self._models[model].path(mrid), self._station(mrid, model)
        if was and now:
            kind = EffectKind.SWITCH_CLASS if switch else EffectKind.EQUIPMENT_CHANGED
            yield Effect(kind, mrid, path, station, "" if switch else "rdf:type", was, now)
        elif switch:
            yield Effect(EffectKind.SWITCH_GAINED if now else EffectKind.SWITCH_LOST, mrid, path, station, old=was, new=now)
        elif (now or was) in self._equipment:
            yield Effect(EffectKind.EQUIPMENT_GAINED if now else EffectKind.EQUIPMENT_LOST, mrid, path, station, old=was, new=now)

    def _value(self, mrid: str, prop: str, old: str, new: str) -> Iterator[Effect]:
        name = self._class(mrid)
        if prop in _TERMINAL or self._covered(name):
            return
        path, station = self._models[1].path(mrid), self._station(mrid, 1)
        if prop == "Switch.normalOpen":
            yield Effect(EffectKind.SWITCH_NORMAL, mrid, path, station, old=old, new=new)
        elif prop not in _POSITION and (name in self._equipment or name in _SWITCHES or _is_part(name)):
            yield Effect(EffectKind.EQUIPMENT_CHANGED, mrid, path, station, prop, old, new)
        else:
            self._others[name] += 1

    def _owners(self, terminal: str) -> set[str]:
        """Equipment of a terminal, before and after."""
        owners = {model.ref(terminal, "Terminal.ConductingEquipment") for model in self._models}
        return {owner for owner in owners if owner and self._stays(owner)}

    def _connection(self, mrid: str) -> Iterator[Effect]:
        nodes = [self._nodes(model, mrid) for model in self._models]
        if nodes[0] != nodes[1]:
            kind = EffectKind.SWITCH_CONNECTED if self._class(mrid) in _SWITCHES else EffectKind.EQUIPMENT_CONNECTED
            old, new = (" - ".join(name + off for name, _, off in found) for found in nodes)
            if old == new:
                old, new = (" - ".join(f"{name} {node}{off}" for name, node, off in found) for found in nodes)
            yield Effect(kind, mrid, self._models[1].path(mrid), self._station(mrid, 1), old=old, new=new)

    @staticmethod
    def _nodes(model: CimModel, mrid: str) -> list[tuple[str, str, str]]:
        """Nodes of an equipment, by the sequence of its terminals: name, mRID, and whether it is disconnected there.

        They are compared by mRID: nodes are seldom named apart.
        """
        terminals = model.refs_to(mrid, "Terminal.ConductingEquipment")
        found: list[tuple[float, tuple[str, str, str]]] = []
        for terminal in terminals:
            node = next((ref for kind in _NODES if (ref := model.ref(terminal, f"Terminal.{kind}"))), "")
            number = model.number(terminal, "ACDCTerminal.sequenceNumber", model.number(terminal, "Terminal.sequenceNumber", 0.0))
            off = "" if model.truth(terminal, "ACDCTerminal.connected", default=True) else " (disconnected)"
            found.append((number, (model.name(node) if node else "-", node, off)))
        return [said for _, said in sorted(found)]

    def _said(self, statement: Statement, after: bool) -> str:
        if statement.kind.value != "ref":
            return statement.value
        model = self._models[after]
        return model.path(statement.value) if statement.value in model else statement.value

    def _station(self, mrid: str, model: int) -> str:
        place = self._locators[model].place(mrid)
        cim = self._models[model]
        if place.station:
            return cim.name(place.station)
        for terminal in cim.refs_to(mrid, "Terminal.ConductingEquipment"):
            station = self._locators[model].place(mrid, terminal).station
            if station:
                return cim.name(station)
        return ""


def _is_part(class_name: str) -> bool:
    """Parts and figures of equipment that network analysis reads."""
    words = ("TransformerEnd", "TapChanger", "CurveData", "ReactiveCapability", "OperationalLimit", "Limit", "RegulatingControl")
    return any(word in class_name for word in words) or class_name in ("BaseVoltage", "Bay", "ConnectivityNode", "LoadArea")
