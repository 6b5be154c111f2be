"""Control areas, AGC and AVC of the demo grid: CIM ControlArea, TieFlow, VoltageControlZone with the SC attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cimxml import Enum, Profile, Ref, Value, mrid
from network import Network
from parts import Bay, Level, Unit
from writer import PointWriter

TARGETS = {
    220.0: (226.0, 1.1, 217.0, 235.0),
    110.0: (113.5, 1.6, 110.0, 117.0),
    35.0: (36.3, 0.6, 34.5, 37.5),
    10.0: (10.3, 0.15, 10.0, 10.7),
}
"""AVC of a pilot busbar: target, dead band, minimum, maximum, kV."""
AREAS = {"East": (True, -27.0, 65.0, 5.0), "West": (False, -53.0, -65.0, 8.0)}
"""Controlled, bias MW/0.1 Hz, net interchange (CIM: into the area), ACE dead band MW."""
FREQUENCY = {"East": ("Beishan", "Heishan", "Donghu"), "West": ("Hongqi", "Lianhua")}
DISPATCH = {
    "G1": ("AUTO", "R", 29.0, 0.012),
    "G2": ("AUTO", "R", 31.0, 0.02),
    "H1": ("AUTO", "R", 12.0, 0.03),
    "H2": ("AUTO", "R", 12.0, 0.04),
    "PV1": ("AUTO", "E", 0.0, 0.0),
    "W1": ("AUTO", "E", 0.0, 0.0),
    "B1": ("AUTO", "R", 20.0, 0.1),
}
"""AGC of a unit: base mode, regulation mode, cost b and c."""


@dataclass(frozen=True)
class VoltageDevice:
    """A tap changer, capacitor or reactor that AVC may switch."""

    equipment: str
    control: str
    place: str
    """Name of the station (tap changer) or mRID of the busbar section (shunt)."""
    kind: str


INTERCHANGE_MW = 250.0
"""What the two tie lines can carry together with one of them out of service; orders of dispatch are clipped to it."""


class Regulation:
    """Writes areas and zones.

    Args:
        network: the finished network.
        file: where they are written.
        power: path of the measured active power of each generating unit.
        devices: what AVC may switch.
    """

    def __init__(self, network: Network, file: Profile, power: dict[str, str], devices: Sequence[VoltageDevice]) -> None:
        self._network = network
        self._file = file
        self._writer = PointWriter(file, None)
        self._power = power
        self._devices = devices

    def write(self) -> None:
        """Write everything."""
        self._areas()
        self._zones()

    def _areas(self) -> None:
        for name, (controlled, bias, interchange, deadband) in AREAS.items():
            area = self._file.put(
                "ControlArea",
                mrid("area", name),
                {
                    "IdentifiedObject.name": name,
                    "ControlArea.type": Enum("ControlAreaTypeKind.AGC"),
                    "ControlArea.netInterchange": interchange,
                    "ControlArea.pTolerance": deadband,
                    "sc:ControlArea.controlled": controlled,
                    "sc:ControlArea.nominalFrequency": 50.0,
                    "sc:ControlArea.frequencyBias": bias,
                },
            )
            for priority, station in enumerate(FREQUENCY[name], start=1):
                self._file.put(
                    "sc:AltFrequencyMeas",
                    mrid("area", name, "frequency", station),
                    {
                        "sc:AltFrequencyMeas.ControlArea": Ref(area),
                        "sc:AltFrequencyMeas.AnalogValue": Ref(mrid(station, "220kV", "Bus I", "Frequency", "value")),
                        "sc:AltFrequencyMeas.priority": str(priority),
                    },
                )
            self._ties(name, area)
            self._area_units(name, area)
            self._area_points(name, area, controlled=controlled)

    def _tie_bays(self, area: str) -> list[tuple[Bay, Bay]]:
        """Own and far bay of each tie line of an area."""
        bays = [bay for station in self._network.stations for level in station.levels for bay in level.bays]
        lines: dict[str, list[Bay]] = {}
        for bay in bays:
            if bay.feeder and bay.feeder.role == "line":
                lines.setdefault(bay.feeder.equipment, []).append(bay)
        ties = []
        for one, two in lines.values():
            if one.level.station.area != two.level.station.area:
                ties.append((one, two) if one.level.station.area == area else (two, one))
        return ties

    def _ties(self, name: str, area: str) -> None:
        for own, _ in self._tie_bays(name):
            assert own.feeder is not None
            line = own.feeder.name
            tie = self._file.put(
                "TieFlow",
                mrid("area", name, "tie", line),
                {
                    "IdentifiedObject.name": line,
                    "TieFlow.ControlArea": Ref(area),
                    "TieFlow.Terminal": Ref(own.feeder.terminal),
                    "TieFlow.positiveFlowIn": False,
                },
            )
            self._file.put(
                "AltTieMeas",
                mrid("area", name, "tie", line, "own end"),
                {
                    "AltTieMeas.TieFlow": Ref(tie),
                    "AltTieMeas.AnalogValue": Ref(mrid(own.level.station.name, own.level.name, own.name, "P", "value")),
                    "AltTieMeas.priority": "1",
                },
            )

    def _area_units(self, name: str, area: str) -> None:
        for station in self._network.stations:
            if station.area != name:
                continue
            for unit in station.units:
                member = self._file.put(
                    "ControlAreaGeneratingUnit",
                    mrid("area", name, "unit", unit.name),
                    {
                        "IdentifiedObject.name": unit.name,
                        "ControlAreaGeneratingUnit.ControlArea": Ref(area),
                        "ControlAreaGeneratingUnit.GeneratingUnit": Ref(unit.identity),
                    },
                )
                self._file.put(
                    "AltGeneratingUnitMeas",
                    mrid("area", name, "unit", unit.name, "power"),
                    {
                        "AltGeneratingUnitMeas.ControlAreaGeneratingUnit": Ref(member),
                        "AltGeneratingUnitMeas.AnalogValue": Ref(mrid(*self._power[unit.identity].split("/"), "value")),
                        "AltGeneratingUnitMeas.priority": "1",
                    },
                )
                if unit.name in DISPATCH:
                    self._dispatch(unit)

    def _dispatch(self, unit: Unit) -> None:
        base, regulation, cost_b, cost_c = DISPATCH[unit.name]
        kinds = {"thermal": "ThermalGeneratingUnit", "hydro": "HydroGeneratingUnit", "pv": "SolarGeneratingUnit"}
        kinds |= {"wind": "WindGeneratingUnit", "storage": "GeneratingUnit"}
        properties: dict[str, Value | list[Value]] = {
            "sc:GeneratingUnit.fuel": unit.fuel,
            "sc:GeneratingUnit.baseMode": base,
            "sc:GeneratingUnit.regulationMode": regulation,
            "sc:GeneratingUnit.costB": cost_b,
            "sc:GeneratingUnit.costC": cost_c,
        }
        if unit.fuel == "storage":
            properties["sc:GeneratingUnit.energyCapacity"] = 60.0
        self._file.put(kinds[unit.fuel], unit.identity, properties, about=True)
        if unit.name == "H2":
            self._file.put(
                "sc:ForbiddenZone",
                mrid("forbidden", unit.name),
                {
                    "sc:ForbiddenZone.GeneratingUnit": Ref(unit.identity),
                    "sc:ForbiddenZone.lowP": 18.0,
                    "sc:ForbiddenZone.highP": 30.0,
                },
            )

    def _area_points(self, name: str, area: str, *, controlled: bool) -> None:
        units = [unit for station in self._network.stations if station.area == name for unit in station.units]
        generation = ", ".join(f'"{self._power[unit.identity]}"' for unit in units)
        flows = ", ".join(f'"{own.level.station.name}/{own.level.name}/{own.name}/P"' for own, _ in self._tie_bays(name))
        points = [
            ("Generation", "AreaGeneration", f"sum({generation})"),
            ("Interchange", "AreaInterchange", f"sum({flows})"),
            ("Load", "AreaLoad", f'"{name}/Generation" - "{name}/Interchange"'),
        ]
        if controlled:
            points += [("ACE", "AreaControlError", "agc.ace"), ("Regulation", "AreaRegulation", "agc.regulation")]
        for point, measures, expression in points:
            span = (-INTERCHANGE_MW, INTERCHANGE_MW) if measures == "AreaInterchange" else None
            self._writer.analog((name,), point, measures, area, "", "MW", expression=expression, span=span)
        totals = [
            ("Generated today", "EnergyGenerated", "MWh", f'total("{name}/Generation", h, day)'),
            ("Exported today", "EnergyExported", "MWh", f'total(max("{name}/Interchange", 0), h, day)'),
            ("Imported today", "EnergyImported", "MWh", f'total(max(0 - "{name}/Interchange", 0), h, day)'),
            ("Highest load today", "HighestLoad", "MW", f'max_demand_sliding("{name}/Load", 15, day)'),
        ]
        for point, measures, unit, expression in totals:
            self._writer.analog((name,), point, measures, area, "", unit, expression=expression, sample_s=60)

    def _zones(self) -> None:
        levels = {(s.name, level.kv): level for s in self._network.stations for level in s.levels}
        central = self._zone("Central", [levels["Beishan", 220.0], levels["Donghu", 220.0]], one=True)
        for station in self._network.stations:
            for unit in station.units:
                if unit.name in DISPATCH:
                    step = {"sc:RegulatingCondEq.reactiveStep": 0.1 * (unit.max_q - unit.min_q)}
                    zone: dict[str, Value | list[Value]] = {"sc:RegulatingCondEq.VoltageControlZone": Ref(central)}
                    self._file.put("SynchronousMachine", unit.machine, zone | step, about=True)
        for name, kvs in (("Beishan", (110.0, 10.0)), ("Donghu", (110.0, 35.0)), ("Nanping", (10.0,)), ("Xicheng", (10.0,))):
            zone_id = self._zone(name, [levels[name, kv] for kv in kvs])
            self._zone_devices(name, zone_id, [levels[name, kv] for kv in kvs])

    def _zone(self, name: str, levels: list[Level], *, one: bool = False) -> str:
        first_bus = levels[0].buses[0][0]
        zone = self._file.put(
            "VoltageControlZone",
            mrid("zone", name),
            {"IdentifiedObject.name": name, "VoltageControlZone.BusbarSection": Ref(first_bus)},
        )
        for level in levels:
            target, deadband, low, high = TARGETS[level.kv]
            for number, (_, _, terminal) in enumerate(level.buses[:1] if one else level.buses, start=1):
                self._file.put(
                    "RegulatingControl",
                    mrid("zone", name, "pilot", level.station.name, level.name, str(number)),
                    {
                        "IdentifiedObject.name": f"{level.station.name} {level.name} {number}",
                        "RegulatingControl.mode": Enum("RegulatingControlModeKind.voltage"),
                        "RegulatingControl.Terminal": Ref(terminal),
                        "RegulatingControl.targetValue": target,
                        "RegulatingControl.targetDeadband": deadband,
                        "RegulatingControl.targetValueUnitMultiplier": Enum("UnitMultiplier.k"),
                        "sc:RegulatingControl.minimumValue": low,
                        "sc:RegulatingControl.maximumValue": high,
                        "sc:RegulatingControl.VoltageControlZone": Ref(zone),
                    },
                )
        return zone

    def _zone_devices(self, station: str, zone: str, levels: list[Level]) -> None:
        buses = {bus for level in levels for bus, _, _ in level.buses}
        tap_number = 0
        for device in self._devices:
            bus = device.place
            if device.kind == "tap":
                if device.place != station:
                    continue
                bus = levels[0].buses[tap_number][0]
                tap_number += 1
            if bus not in buses:
                continue
            self._file.put(
                "sc:VoltageControlDevice",
                mrid("zone", "device", device.equipment),
                {
                    "sc:VoltageControlDevice.VoltageControlZone": Ref(zone),
                    "sc:VoltageControlDevice.Equipment": Ref(device.equipment),
                    "sc:VoltageControlDevice.Control": Ref(device.control),
                    "sc:VoltageControlDevice.BusbarSection": Ref(bus),
                    "sc:VoltageControlDevice.raiseIncreasesVoltage": device.kind != "tap",
                    "sc:VoltageControlDevice.minInterval": 60.0 if device.kind == "tap" else 300.0,
                    "sc:VoltageControlDevice.dailyLimit": "20" if device.kind == "tap" else "8",
                },
            )
