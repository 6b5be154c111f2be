"""What a network model has that can be measured and commanded: pieces of equipment by role, with what the model says of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Final

from scada.model_cim.cim import CimModel
from scada.model_cim.locate import Locator, node_container

_SWITCHES: Final = {
    "Breaker": "breaker",
    "DisconnectingCircuitBreaker": "breaker",
    "Recloser": "breaker",
    "Disconnector": "disconnector",
    "GroundDisconnector": "earthingSwitch",
    "LoadBreakSwitch": "loadBreakSwitch",
    "Sectionaliser": "loadBreakSwitch",
}
_LOADS: Final = (
    "EnergyConsumer",
    "EnergySource",
    "ExternalNetworkInjection",
    "EquivalentInjection",
    "CsConverter",
    "VsConverter",
)
_BRANCHES: Final = ("ACLineSegment", "SeriesCompensator", "EquivalentBranch")
_LIMITS: Final = {"CurrentLimit": ("PATL", "TATL"), "VoltageLimit": ("lowVoltage", "highVoltage")}
"""Class of an operational limit -> the ratings it can give: a rating of the other quantity is in another unit."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing to instrument.

    Attributes:
        role: a section of the template.
        subject: mRID of the equipment or of its terminal; what is made for it derives its mRIDs from this one.
        resource: mRID of the power system resource its points belong to.
        terminal: mRID of the terminal they are measured at, or empty.
        station: mRID of its substation.
        name: of the equipment.
        number: what an operator types to confirm it; one device's in its station.
        end: which winding, of a transformer.
        values: what the model gives of :data:`scada.model_cim.instrument_template.PARAMETERS`.
        commanded: False where nothing can be operated under load.
    """

    role: str
    subject: str
    resource: str
    terminal: str
    station: str
    name: str
    number: str = ""
    end: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    commanded: bool = True


class Plant:
    """Finds the pieces of a model.

    Args:
        model: the network.
        locator: of the same model.
    """

    def __init__(self, model: CimModel, locator: Locator) -> None:
        self._model = model
        self._locator = locator
        self._ratings = self._read_ratings()
        self._numbers: dict[tuple[str, str], str] = {}
        self.outside: list[str] = []
        """Equipment that stands in no substation."""

    def pieces(self) -> Iterator[Piece]:
        """Everything, stations first, in file order within each role."""
        for station in self._model.ids("Substation"):
            yield Piece("station", station, station, "", station, self._model.name(station))
        yield from self._busbars()
        for switch in self._model.ids("Switch"):
            yield from self._one(_SWITCHES.get(self._model.class_of(switch), "otherSwitch"), switch, terminal=False)
        for branch in (mrid for name in _BRANCHES for mrid in self._model.ids(name)):
            yield from self._branch(branch)
        for transformer in self._model.ids("PowerTransformer"):
            yield from self._transformer(transformer)
        yield from self._machines()
        for load in (mrid for name in _LOADS for mrid in self._model.ids(name)):
            yield from self._one("load", load)
        for shunt in self._model.ids("ShuntCompensator"):
            sections = self._number(shunt, "ShuntCompensator.maximumSections", "sections")
            yield from self._one("shunt", shunt, sections)
        for compensator in self._model.ids("StaticVarCompensator"):
            yield from self._one("compensator", compensator)

    # ------------------------------------------------------------ kinds of equipment

    def _busbars(self) -> Iterator[Piece]:
        """Busbar sections; in a voltage level without any, one terminal of each topological node."""
        with_bars: set[str] = set()
        for bar in self._model.ids("BusbarSection"):
            for piece in self._one("busbar", bar):
                with_bars.add(self._locator.place(bar, piece.terminal).voltage_level)
                yield piece
        for node in self._model.ids("TopologicalNode"):
            level = self._model.ref(node, "TopologicalNode.ConnectivityNodeContainer") or ""
            terminals = self._model.refs_to(node, "Terminal.TopologicalNode")
            station = self._model.ref(level, "VoltageLevel.Substation") if level else None
            if station and terminals and level not in with_bars:
                values = self._level_values(level) | self._ratings.get(terminals[0], {})
                name = self._model.name(node)
                yield Piece("busbar", node, level, terminals[0], station, name, number=name, values=values)

    def _branch(self, branch: str) -> Iterator[Piece]:
        first = True
        for terminal in self._terminals(branch):
            station = self._locator.place(branch, terminal).station
            if not station:
                continue
            values = self._values(branch, terminal)
            yield Piece("lineEnd", terminal, branch, terminal, station, self._model.name(branch), values=values)
            if first:
                yield Piece("line", branch, branch, terminal, station, self._model.name(branch), values=values)
                first = False
        if first:
            self.outside.append(branch)

    def _transformer(self, transformer: str) -> Iterator[Piece]:
        model, name = self._model, self._model.name(transformer)
        station = self._locator.place(transformer).station
        ends = sorted(
            model.refs_to(transformer, "PowerTransformerEnd.PowerTransformer"),
            key=lambda end: model.number(end, "TransformerEnd.endNumber", 9.0),
        )
        if not station:
            stations = (self._locator.place(transformer, model.ref(end, "TransformerEnd.Terminal") or "").station for end in ends)
            station = next((one for one in stations if one), "")
        if not station:
            self.outside.append(transformer)
            return
        values = {end: self._values(transformer, model.ref(end, "TransformerEnd.Terminal") or "", whole=False) for end in ends}
        names = _end_names([values[end].get("nominal", math.nan) for end in ends])
        yield Piece("transformer", transformer, transformer, "", station, name)
        for end, label in zip(ends, names, strict=True):
            terminal = model.ref(end, "TransformerEnd.Terminal") or ""
            if terminal:
                yield Piece("transformerEnd", terminal, transformer, terminal, station, name, end=label, values=values[end])
            for prop in ("RatioTapChanger.TransformerEnd", "PhaseTapChanger.TransformerEnd"):
                for tap in model.refs_to(end, prop):
                    steps = self._number(tap, "TapChanger.lowStep", "lowStep") | self._number(
                        tap, "TapChanger.highStep", "highStep"
                    )
                    steps = steps if steps.get("lowStep", 0.0) < steps.get("highStep", 0.0) else {}
                    number = self._unique(station, f"{name} {label}" if len(ends) > 1 else name, tap)
                    loaded = model.truth(tap, "TapChanger.ltcFlag", default=True)
                    yield Piece("tap", tap, tap, "", station, name, number, label, steps, commanded=loaded)

    def _machines(self) -> Iterator[Piece]:
        model = self._model
        plain = [*model.ids("RotatingMachine"), *model.ids("PowerElectronicsConnection")]
        for machine in plain:
            unit = model.ref(machine, "RotatingMachine.GeneratingUnit")
            electronic = model.class_of(machine) == "PowerElectronicsConnection"
            generates = bool(unit) or electronic or model.class_of(machine) == "SynchronousMachine"
            yield from self._one("machine" if generates else "load", machine)
        for unit in model.ids("GeneratingUnit"):
            machines = model.refs_to(unit, "RotatingMachine.GeneratingUnit")
            values = self._range(unit, "GeneratingUnit.minOperatingP", "GeneratingUnit.maxOperatingP", "P")
            if len(machines) == 1:
                values |= self._range(machines[0], "SynchronousMachine.minQ", "SynchronousMachine.maxQ", "Q")
            yield from self._unit(unit, machines, values)
        for unit in model.ids("PowerElectronicsUnit"):
            machines = model.refs(unit, "PowerElectronicsUnit.PowerElectronicsConnection")
            values = self._range(unit, "PowerElectronicsUnit.minP", "PowerElectronicsUnit.maxP", "P")
            if len(machines) == 1:
                values |= self._range(machines[0], "PowerElectronicsConnection.minQ", "PowerElectronicsConnection.maxQ", "Q")
            yield from self._unit(unit, machines, values)

    def _unit(self, unit: str, machines: list[str], values: dict[str, float]) -> Iterator[Piece]:
        where = [self._locator.place(unit).station]
        where += [self._locator.place(machine, next(iter(self._terminals(machine)), "")).station for machine in machines]
        station = next((one for one in where if one), "")
        if not station:
            self.outside.append(unit)
            return
        name = self._model.name(unit)
        yield Piece("unit", unit, unit, "", station, name, self._unique(station, name, unit), values=values)

    def _one(self, role: str, mrid: str, values: Mapping[str, float] | None = None, *, terminal: bool = True) -> Iterator[Piece]:
        """Equipment with one place; a switch is told of as a whole, the rest at its terminal."""
        first = next(iter(self._terminals(mrid)), "")
        station = self._locator.place(mrid).station or self._locator.place(mrid, first).station
        if not station:
            self.outside.append(mrid)
            return
        name = self._model.name(mrid)
        known = {**self._values(mrid, first), **(values or {})}
        number = self._unique(station, name, mrid)
        yield Piece(role, mrid, mrid, first if terminal else "", station, name, number, values=known)

    # ------------------------------------------------------------ what the model says

    def _unique(self, station: str, name: str, mrid: str) -> str:
        """A name that is one device's in its station: with its bay or level before it where two have the same."""
        place = self._locator.place(mrid)
        within = [self._model.name(one) for one in (place.bay, place.voltage_level) if one]
        choices = chain((name,), (f"{container} {name}" for container in within), (f"{name} #{number}" for number in count(2)))
        return next(text for text in choices if self._numbers.setdefault((station, text), mrid) == mrid)

    def _terminals(self, mrid: str) -> list[str]:
        def order(terminal: str) -> float:
            return self._model.number(terminal, "ACDCTerminal.sequenceNumber", 0.0)

        return sorted(self._model.refs_to(mrid, "Terminal.ConductingEquipment"), key=order)

    def _values(self, equipment: str, terminal: str, *, whole: bool = True) -> dict[str, float]:
        """What is known at a terminal; ``whole``: a rating of the equipment counts at each of its terminals."""
        level = node_container(self._model, terminal) if terminal else ""
        if self._model.class_of(level) == "Bay":
            level = self._model.ref(level, "Bay.VoltageLevel") or ""
        level = level or self._locator.place(equipment).voltage_level
        values = self._level_values(level)
        if not values:
            base = self._model.ref(equipment, "ConductingEquipment.BaseVoltage") or ""
            values = self._number(base, "BaseVoltage.nominalVoltage", "nominal")
        return values | (self._ratings.get(terminal) or (self._ratings.get(equipment) if whole else None) or {})

    def _level_values(self, level: str) -> dict[str, float]:
        base = self._model.ref(level, "VoltageLevel.BaseVoltage") or ""
        return self._number(base, "BaseVoltage.nominalVoltage", "nominal")

    def _number(self, mrid: str, prop: str, name: str) -> dict[str, float]:
        value = self._model.number(mrid, prop)
        return {} if math.isnan(value) else {name: value}

    def _range(self, mrid: str, low_prop: str, high_prop: str, letter: str) -> dict[str, float]:
        low, high = self._model.number(mrid, low_prop), self._model.number(mrid, high_prop)
        return {f"min{letter}": low, f"max{letter}": high} if low < high else {}

    def _read_ratings(self) -> dict[str, dict[str, float]]:
        """PATL, the TATL next above it, and voltage limits, by mRID of a terminal or equipment; only positive ones."""
        model = self._model
        found: dict[str, dict[str, list[float]]] = {}
        for class_name, kinds in _LIMITS.items():
            for limit in model.ids(class_name):
                kind = self._limit_kind(model.ref(limit, "OperationalLimit.OperationalLimitType") or "")
                value = model.number(limit, f"{class_name}.value", model.number(limit, f"{class_name}.normalValue"))
                limit_set = model.ref(limit, "OperationalLimit.OperationalLimitSet") or ""
                owner = model.ref(limit_set, "OperationalLimitSet.Terminal") or model.ref(
                    limit_set, "OperationalLimitSet.Equipment"
                )
                if kind in kinds and value > 0 and owner:
                    found.setdefault(owner, {}).setdefault(kind, []).append(value)
        return {owner: _ratings(ratings) for owner, ratings in found.items()}

    def _limit_kind(self, limit_type: str) -> str:
        kind = self._model.enum(limit_type, "OperationalLimitType.limitType") or self._model.enum(
            limit_type, "OperationalLimitType.kind"
        )
        return {"patl": "PATL", "tatl": "TATL", "lowvoltage": "lowVoltage", "highvoltage": "highVoltage"}.get(
            (kind or "").lower(), ""
        )


def _ratings(kinds: Mapping[str, list[float]]) -> dict[str, float]:
    """The tightest of each kind; a temporary rating counts where it is above the permanent one.

    >>> _ratings({"PATL": [1000.0], "TATL": [900.0, 1200.0, 1400.0]})
    {'PATL': 1000.0, 'TATL': 1200.0}
    """
    values: dict[str, float] = {}
    if "PATL" in kinds:
        values["PATL"] = min(kinds["PATL"])
    above = [value for value in kinds.get("TATL", ()) if value > values.get("PATL", 0.0)]
    if above:
        values["TATL"] = min(above)
    if "lowVoltage" in kinds:
        values["lowVoltage"] = max(kinds["lowVoltage"])
    if "highVoltage" in kinds:
        values["highVoltage"] = min(kinds["highVoltage"])
    return values


def _end_names(nominal: list[float]) -> list[str]:
    """``220kV`` and ``110kV``; with a number where the voltage does not tell the windings apart.

    >>> _end_names([220.0, 110.0]), _end_names([220.0, 220.0])
    (['220kV', '110kV'], ['220kV 1', '220kV 2'])
    """
    names = []
    for place, kv in enumerate(nominal, start=1):
        label = "W" if math.isnan(kv) else f"{kv:g}kV"
        names.append(f"{label} {place}" if math.isnan(kv) or nominal.count(kv) > 1 else label)
    return names
