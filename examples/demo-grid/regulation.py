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

GROUPS = {"Heishan section": (("G1", "G2"), 200.0, 440.0)}
"""Units that AGC keeps within common limits: least and greatest sum, MW. One of the three lines of the plant may be out."""
COSTS = {"G1": (100.0, 135.0, 170.0, 205.0, 240.0), "G2": (90.0, 125.0, 160.0, 195.0, 230.0)}
"""MW at which the operating cost of a unit is given, as an engineer reads it off a heat-rate test: a + b P + c P²."""
NO_LOAD_COST = 450.0
"""a of that cost, currency/h."""
CAPABILITY = {"G1": ((100.0, -80.0, 130.0), (180.0, -70.0, 120.0), (240.0, -50.0, 95.0))}
"""P-Q diagram of a machine: MW, least and greatest Mvar."""
MEMBERS = {"PV1": tuple((f"Block {number}", number == 1) for number in range(1, 5))}
"""Parts of a plant behind its controller, each a quarter of it: name, benchmark."""
PLANTS = {"Heishan": ("margin", ("G1", "G2")), "Fenghe": ("capacity", ("W1", "B1"))}
"""Plants that share their reactive power: how, units."""
PARALLEL = ("Beishan",)
"""Stations whose main transformers feed one busbar, the section breaker closed."""


@dataclass(frozen=True)
class VoltageDevice:
    """A tap changer, capacitor or reactor that AVC may switch."""

    equipment: str
    control: str
    place: str
    """Name of the station (tap changer) or mRID of the busbar section (shunt)."""
    kind: str


FAR_METER = "Interchange at the far ends"
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
            if controlled:
                self._groups(area)
                self._meter(name, area)
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

    def _groups(self, area: str) -> None:
        for group, (_, low, high) in GROUPS.items():
            self._file.put(
                "sc:RegulationGroup",
                mrid("group", group),
                {
                    "IdentifiedObject.name": group,
                    "sc:RegulationGroup.ControlArea": Ref(area),
                    "sc:RegulationGroup.minimumP": low,
                    "sc:RegulationGroup.maximumP": high,
                },
            )

    def _meter(self, name: str, area: str) -> None:
        """Net interchange as the meters at the far ends of the tie lines see it: apart from those that AGC sums."""
        self._file.put(
            "sc:AltInterchangeMeas",
            mrid("area", name, "interchange meter"),
            {
                "sc:AltInterchangeMeas.ControlArea": Ref(area),
                "sc:AltInterchangeMeas.AnalogValue": Ref(mrid(name, FAR_METER, "value")),
                "sc:AltInterchangeMeas.priority": "1",
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
            properties |= {"sc:GeneratingUnit.socMinimum": 10.0, "sc:GeneratingUnit.socMaximum": 90.0}
            properties |= {"sc:GeneratingUnit.socReference": 50.0, "sc:GeneratingUnit.efficiency": 0.95}
        if unit.fuel == "thermal":
            properties |= {"GeneratingUnit.minEconomicP": unit.low, "GeneratingUnit.maxEconomicP": unit.high}
        for group, (members, _, _) in GROUPS.items():
            if unit.name in members:
                properties["sc:GeneratingUnit.RegulationGroup"] = Ref(mrid("group", group))
        self._file.put(kinds[unit.fuel], unit.identity, properties, about=True)
        self._cost(unit, cost_b, cost_c)
        self._members(unit)
        if unit.name == "H2":
            self._file.put(
                "sc:ForbiddenZone",
                mrid("forbidden", unit.name),
                {
                    "sc:ForbiddenZone.GeneratingUnit": Ref(unit.identity),
                    "sc:ForbiddenZone.lowP": 18.0,
                    "sc:ForbiddenZone.highP": 30.0,
                    "sc:ForbiddenZone.permittedTime": 120.0,
                },
            )

    def _cost(self, unit: Unit, linear: float, square: float) -> None:
        if unit.name not in COSTS:
            return
        curve = {"IdentifiedObject.name": f"{unit.name} cost", "GenUnitOpCostCurve.GeneratingUnit": Ref(unit.identity)}
        identity = self._file.put("GenUnitOpCostCurve", mrid("cost", unit.name), {**curve, **_curve("W", "none")})
        for mw in COSTS[unit.name]:
            self._curve_point(identity, mw, round(NO_LOAD_COST + linear * mw + square * mw * mw, 3))

    def _curve_point(self, curve: str, *values: float) -> None:
        names = ("CurveData.xvalue", "CurveData.y1value", "CurveData.y2value")
        point: dict[str, Value | list[Value]] = {"CurveData.Curve": Ref(curve)}
        self._file.put("CurveData", mrid("curve", curve, f"{values[0]:g}"), point | dict(zip(names, values, strict=False)))

    def _members(self, unit: Unit) -> None:
        for name, benchmark in MEMBERS.get(unit.name, ()):
            self._file.put(
                "sc:PlantMember",
                mrid("member", unit.name, name),
                {
                    "IdentifiedObject.name": name,
                    "sc:PlantMember.Plant": Ref(unit.identity),
                    "sc:PlantMember.kind": unit.fuel,
                    "sc:PlantMember.maximumP": unit.high / len(MEMBERS[unit.name]),
                    "sc:PlantMember.benchmark": benchmark,
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
            far = ", ".join(
                f'"{other.level.station.name}/{other.level.name}/{other.name}/P"' for _, other in self._tie_bays(name)
            )
            points += [(FAR_METER, "AreaInterchangeMeter", f"0 - sum({far})")]
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
                    more = self._capability(unit) | self._reactive_plant(unit)
                    self._file.put("SynchronousMachine", unit.machine, zone | step | more, about=True)
        for name, (share, _) in PLANTS.items():
            self._file.put(
                "sc:ReactivePlant",
                mrid("reactive plant", name),
                {
                    "IdentifiedObject.name": name,
                    "sc:ReactivePlant.VoltageControlZone": Ref(central),
                    "sc:ReactivePlant.share": share,
                },
            )
        for name, kvs in (("Beishan", (110.0, 10.0)), ("Donghu", (110.0, 35.0)), ("Nanping", (10.0,)), ("Xicheng", (10.0,))):
            zone_id = self._zone(name, [levels[name, kv] for kv in kvs])
            self._zone_devices(name, zone_id, [levels[name, kv] for kv in kvs])

    @staticmethod
    def _reactive_plant(unit: Unit) -> dict[str, Value | list[Value]]:
        plant = next((name for name, (_, units) in PLANTS.items() if unit.name in units), None)
        return {"sc:RegulatingCondEq.ReactivePlant": Ref(mrid("reactive plant", plant))} if plant else {}

    def _capability(self, unit: Unit) -> dict[str, Value | list[Value]]:
        if unit.name not in CAPABILITY:
            return {}
        curve = {"IdentifiedObject.name": f"{unit.name} capability", **_curve("W", "VAr", "VAr")}
        identity = self._file.put("ReactiveCapabilityCurve", mrid("capability", unit.name), curve)
        for values in CAPABILITY[unit.name]:
            self._curve_point(identity, *values)
        return {"SynchronousMachine.InitialReactiveCapabilityCurve": Ref(identity)}

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
                bus = levels[0].buses[0 if station in PARALLEL else tap_number][0]
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
                    **self._parallel(station, device),
                },
            )

    @staticmethod
    def _parallel(station: str, device: VoltageDevice) -> dict[str, Value | list[Value]]:
        together = device.kind == "tap" and station in PARALLEL
        return {"sc:VoltageControlDevice.parallelGroup": f"{station} main transformers"} if together else {}


def _curve(*units: str) -> dict[str, Value | list[Value]]:
    """Style and units (of x, y1, y2) of a curve in MW and Mvar, or of one of money."""
    found: dict[str, Value | list[Value]] = {"Curve.curveStyle": Enum("CurveStyle.straightLineYValues")}
    for axis, unit in zip(("x", "y1", "y2"), units, strict=False):
        found[f"Curve.{axis}Unit"] = Enum(f"UnitSymbol.{unit}")
        found[f"Curve.{axis}Multiplier"] = Enum("UnitMultiplier.none" if unit == "none" else "UnitMultiplier.M")
    return found
