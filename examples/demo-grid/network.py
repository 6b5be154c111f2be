"""Building blocks of the demo grid's network: stations, node-breaker bays, lines, transformers, machines, in CGMES 3.0 terms."""

from __future__ import annotations

from cimxml import Enum, Profile, Ref, Value, mrid
from parts import Bay, Device, Feeder, Level, Station, Transformer, Unit

LEVELS = {220.0: "2", 110.0: "1", 35.0: "3", 10.0: "9", 15.75: "8", 20.0: "8"}
"""First digit of a device number by nominal kV."""


class Network:
    """The EQ and SSH files and the objects in them."""

    def __init__(self) -> None:
        self.eq = Profile("EQ", "http://iec.ch/TC57/ns/CIM/CoreEquipment-EU/3.0")
        self.ssh = Profile("SSH", "http://iec.ch/TC57/ns/CIM/SteadyStateHypothesis-EU/3.0")
        self.stations: list[Station] = []
        self._base: dict[float, str] = {}
        self._limit_type = ""
        self._region = self.eq.add("GeographicalRegion", mrid("region"), IdentifiedObject__name="Demo")
        self._subregion: dict[str, str] = {}
        self._load_group = ""

    def station(self, name: str, zh: str, area: str) -> Station:
        """A new substation or plant in a control area."""
        if area not in self._subregion:
            self._subregion[area] = self.eq.add(
                "SubGeographicalRegion",
                mrid("subregion", area),
                IdentifiedObject__name=area,
                SubGeographicalRegion__Region=Ref(self._region),
            )
        identity = self.eq.add(
            "Substation",
            mrid(name),
            IdentifiedObject__name=name,
            IdentifiedObject__description=zh,
            Substation__Region=Ref(self._subregion[area]),
        )
        self.stations.append(Station(identity, name, zh, area))
        return self.stations[-1]

    def base_voltage(self, kv: float) -> str:
        """BaseVoltage of a nominal voltage."""
        if kv not in self._base:
            self._base[kv] = self.eq.add(
                "BaseVoltage", mrid("base", f"{kv:g}"), IdentifiedObject__name=f"{kv:g} kV", BaseVoltage__nominalVoltage=kv
            )
        return self._base[kv]

    def level(self, station: Station, kv: float, *, buses: int = 1, double: bool = False, name: str = "") -> Level:
        """A voltage level: one busbar, two sections of one, or (``double``) two parallel busbars."""
        name = name or f"{kv:g}kV"
        identity = self.eq.add(
            "VoltageLevel",
            mrid(station.name, name),
            IdentifiedObject__name=name,
            VoltageLevel__Substation=Ref(station.identity),
            VoltageLevel__BaseVoltage=Ref(self.base_voltage(kv)),
            VoltageLevel__highVoltageLimit=kv * 1.1,
            VoltageLevel__lowVoltageLimit=kv * 0.9,
        )
        level = Level(station, identity, name, kv, double)
        station.levels.append(level)
        for number in range(buses):
            bus_name = f"Bus {'I' * (number + 1)}"
            node = self._node(identity, station.name, name, bus_name)
            bus = self._equipment("BusbarSection", identity, bus_name, station.name, name, bus_name)
            level.buses.append((bus, node, self._terminal(bus, node, 1, station.name, name, bus_name)))
        return level

    def bay(self, level: Level, number: int, name: str, *, bus: int = 0, isolator: bool = True, earths: int = 1) -> Bay:
        """A feeder bay: busbar disconnector(s), breaker, line disconnector (``isolator``), one or two earthing switches."""
        bay = self._new_bay(level, number, name, bus)
        inner, middle = self._bay_node(bay, "inner"), self._bay_node(bay, "middle")
        for place, (_, node, _) in enumerate(level.buses):
            if level.double or place == bus:
                self._switch(bay, "Disconnector", node, inner, place + 1 if level.double else 1, closed=place == bus)
        self._switch(bay, "Breaker", inner, middle, 0, closed=True)
        if isolator:
            bay.outer = self._bay_node(bay, "outer")
            self._switch(bay, "Disconnector", middle, bay.outer, 3, closed=True)
        else:
            bay.outer = middle
        if earths > 1:
            self._earth(bay, inner, 7)
        self._earth(bay, bay.outer, 9)
        return bay

    def coupler(self, level: Level, number: int, name: str, *, closed: bool) -> Bay:
        """Coupler of two busbars or sections."""
        bay = self._new_bay(level, number, name, 0)
        one, two = self._bay_node(bay, "one"), self._bay_node(bay, "two")
        self._switch(bay, "Disconnector", level.buses[0][1], one, 1, closed=True)
        self._switch(bay, "Breaker", one, two, 0, closed=closed)
        self._switch(bay, "Disconnector", two, level.buses[1][1], 2, closed=True)
        self._earth(bay, one, 7)
        bay.feeder = Feeder("coupler", bay.breaker.identity, mrid(*self._names(bay), bay.breaker.number, "T1"), name)
        return bay

    def line(self, name: str, ends: tuple[Bay, Bay], km: float) -> None:
        """An overhead line between two bays; typical data of one conductor bundle a voltage."""
        kv = ends[0].level.kv
        r, x, b, rated = (0.05, 0.40, 2.8e-6, 945.0) if kv > 150 else (0.105, 0.39, 2.9e-6, 610.0)
        container = self.eq.add("Line", mrid("line", name), IdentifiedObject__name=name)
        identity = self._equipment(
            "ACLineSegment",
            container,
            name,
            "segment",
            name,
            ConductingEquipment__BaseVoltage=Ref(self.base_voltage(kv)),
            Conductor__length=km,
            ACLineSegment__r=r * km,
            ACLineSegment__x=x * km,
            ACLineSegment__bch=b * km,
            ACLineSegment__gch=0.0,
        )
        for number, bay in enumerate(ends, start=1):
            terminal = self._terminal(identity, bay.outer, number, "segment", name)
            self._current_limit(terminal, name, number, rated)
            bay.feeder = Feeder("line", identity, terminal, name, rated)

    def transformer(
        self,
        station: Station,
        name: str,
        ends: list[tuple[Bay | Level, float]],
        mva: list[float],
        x_percent: list[float],
        *,
        step: int = 0,
        tapped: bool = True,
    ) -> Transformer:
        """A 2- or 3-winding transformer.

        Args:
            station: where it stands.
            name: its name.
            ends: bay (or voltage level: straight to its first busbar) and rated kV of each winding, highest first.
            mva: rated power of each winding.
            x_percent: 2 windings: one uk; 3 windings: x of each star branch; percent on the first winding's rating.
            step: position of the tap changer (neutral 0).
            tapped: on-load tap changer +-8 x 1.25 % in the first winding.
        """
        identity = self._equipment("PowerTransformer", station.identity, name, station.name, name)
        ohm_base = ends[0][1] ** 2 / mva[0]
        end_ids: list[str] = []
        for number, (place, rated_kv) in enumerate(ends, start=1):
            level = place.level if isinstance(place, Bay) else place
            node = place.outer if isinstance(place, Bay) else place.buses[0][1]
            terminal = self._terminal(identity, node, number, station.name, name)
            share = x_percent[number - 1] if number <= len(x_percent) else 0.0
            # each star branch is given at its own winding's voltage
            x = share / 100 * ohm_base * (rated_kv / ends[0][1]) ** 2 if len(ends) == 3 else share / 100 * ohm_base
            end_ids.append(
                self.eq.add(
                    "PowerTransformerEnd",
                    mrid(station.name, name, f"end {number}"),
                    IdentifiedObject__name=f"{name} end {number}",
                    TransformerEnd__endNumber=str(number),
                    TransformerEnd__Terminal=Ref(terminal),
                    TransformerEnd__BaseVoltage=Ref(self.base_voltage(level.kv)),
                    PowerTransformerEnd__PowerTransformer=Ref(identity),
                    PowerTransformerEnd__ratedU=rated_kv,
                    PowerTransformerEnd__ratedS=mva[number - 1],
                    PowerTransformerEnd__r=x / 30,
                    PowerTransformerEnd__x=x,
                    PowerTransformerEnd__g=0.0,
                    PowerTransformerEnd__b=0.0,
                    PowerTransformerEnd__connectionKind=Enum("WindingConnection.Y"),
                )
            )
            rated_a = mva[number - 1] / (3**0.5 * rated_kv) * 1000
            if isinstance(place, Bay):
                self._current_limit(terminal, f"{station.name} {name}", number, rated_a)
                place.feeder = Feeder("transformer", identity, terminal, name, rated_a)
        tap = mrid(station.name, name, "tap") if tapped else ""
        if tapped:
            self._tap_changer(tap, end_ids[0], ends[0][1], step)
        transformer = Transformer(identity, name, tap, -8, 8)
        station.transformers.append(transformer)
        return transformer

    def load(self, bay: Bay, p: float, q: float) -> None:
        """A conforming load behind a bay."""
        if not self._load_group:
            area = self.eq.add("LoadArea", mrid("load area"), IdentifiedObject__name="Loads")
            sub = self.eq.add(
                "SubLoadArea", mrid("sub load area"), IdentifiedObject__name="Loads", SubLoadArea__LoadArea=Ref(area)
            )
            self._load_group = self.eq.add(
                "ConformLoadGroup", mrid("load group"), IdentifiedObject__name="Loads", LoadGroup__SubLoadArea=Ref(sub)
            )
        name = f"{bay.name} load"
        names = (*self._names(bay), "load")
        identity = self._equipment(
            "ConformLoad",
            bay.level.identity,
            name,
            *names,
            ConformLoad__LoadGroup=Ref(self._load_group),
            state={"EnergyConsumer.p": p, "EnergyConsumer.q": q},
        )
        rated = 1.5 * (p * p + q * q) ** 0.5 / (3**0.5 * bay.level.kv) * 1000
        bay.feeder = Feeder("load", identity, self._terminal(identity, bay.outer, 1, *names), name, rated)

    def shunt(self, bay: Bay, mvar: float, *, on: bool) -> None:
        """A capacitor (``mvar`` > 0) or reactor bank of one section, switched by the bay's breaker."""
        names = (*self._names(bay), "shunt")
        kv = bay.level.kv
        identity = self._equipment(
            "LinearShuntCompensator",
            bay.level.identity,
            bay.name,
            *names,
            LinearShuntCompensator__bPerSection=mvar / kv**2,
            LinearShuntCompensator__gPerSection=0.0,
            ShuntCompensator__nomU=kv,
            ShuntCompensator__maximumSections="1",
            ShuntCompensator__normalSections="1",
            state={"ShuntCompensator.sections": 1.0, "RegulatingCondEq.controlEnabled": False},
        )
        bay.breaker.closed = on
        role = "capacitor" if mvar > 0 else "reactor"
        rated = 1.3 * abs(mvar) / (3**0.5 * kv) * 1000
        bay.feeder = Feeder(role, identity, self._terminal(identity, bay.outer, 1, *names), bay.name, rated)

    def unit(
        self,
        bay: Bay,
        fuel: str,
        limits: tuple[float, float],
        p: float,
        q_limits: tuple[float, float],
        *,
        voltage: float,
        agc: dict[str, Value] | None = None,
    ) -> Unit:
        """A generating unit and its machine behind a bay, holding ``voltage`` (kV) at its terminal in the power flow."""
        kinds = {
            "thermal": "ThermalGeneratingUnit",
            "hydro": "HydroGeneratingUnit",
            "pv": "SolarGeneratingUnit",
            "wind": "WindGeneratingUnit",
            "storage": "GeneratingUnit",
        }
        station, names = bay.level.station, (bay.level.station.name, bay.name)
        kind = kinds[fuel]
        low, high = limits
        unit = self._equipment(
            kind,
            station.identity,
            bay.name,
            *names,
            "unit",
            GeneratingUnit__genControlSource=Enum("GeneratorControlSource.onAGC"),
            GeneratingUnit__initialP=p,
            GeneratingUnit__minOperatingP=low,
            GeneratingUnit__maxOperatingP=high,
            GeneratingUnit__nominalP=high,
            **({"WindGeneratingUnit__windGenUnitType": Enum("WindGenUnitKind.onshore")} if fuel == "wind" else {}),
            **(agc or {}),
            state={"GeneratingUnit.normalPF": high / 100},
        )
        machine = mrid(*names, "machine")
        terminal = self._terminal(machine, bay.outer, 1, *names, "machine")
        control = self.eq.add(
            "RegulatingControl",
            mrid(*names, "voltage control"),
            IdentifiedObject__name=f"{bay.name} voltage",
            RegulatingControl__mode=Enum("RegulatingControlModeKind.voltage"),
            RegulatingControl__Terminal=Ref(terminal),
        )
        self.ssh.add(
            "RegulatingControl",
            control,
            about=True,
            RegulatingControl__discrete=False,
            RegulatingControl__enabled=True,
            RegulatingControl__targetValue=voltage,
            RegulatingControl__targetValueUnitMultiplier=Enum("UnitMultiplier.k"),
        )
        mva = max(abs(low), high) / 0.85
        self._equipment(
            "SynchronousMachine",
            bay.level.identity,
            bay.name,
            *names,
            "machine",
            RotatingMachine__GeneratingUnit=Ref(unit),
            RotatingMachine__ratedS=mva,
            RotatingMachine__ratedU=bay.level.kv,
            RegulatingCondEq__RegulatingControl=Ref(control),
            SynchronousMachine__minQ=q_limits[0],
            SynchronousMachine__maxQ=q_limits[1],
            SynchronousMachine__type=Enum(f"SynchronousMachineKind.{'generatorOrMotor' if low < 0 else 'generator'}"),
            state={
                "RegulatingCondEq.controlEnabled": True,
                "RotatingMachine.p": -p,
                "RotatingMachine.q": 0.0,
                "SynchronousMachine.operatingMode": Enum("SynchronousMachineOperatingMode.generator"),
                "SynchronousMachine.referencePriority": "1" if high >= 500 else "0",
            },
        )
        rated = mva / (3**0.5 * bay.level.kv) * 1000
        bay.feeder = Feeder("unit", machine, terminal, bay.name, rated)
        made = Unit(unit, machine, terminal, bay.name, len(station.units) + 1, fuel, low, high, *q_limits, bay.level.kv)
        station.units.append(made)
        return made

    def finish(self) -> None:
        """Write the positions of all switches, once every bay knows its own."""
        for station in self.stations:
            for level in station.levels:
                for bay in level.bays:
                    for device in bay.devices:
                        self.ssh.put(
                            device.kind,
                            device.identity,
                            {"Equipment.inService": True, "Switch.open": not device.closed, "Switch.locked": False},
                            about=True,
                        )

    def _names(self, bay: Bay) -> tuple[str, str, str]:
        return (bay.level.station.name, bay.level.name, bay.name)

    def _new_bay(self, level: Level, number: int, name: str, bus: int) -> Bay:
        identity = self.eq.add(
            "Bay",
            mrid(level.station.name, level.name, name),
            IdentifiedObject__name=name,
            Bay__VoltageLevel=Ref(level.identity),
        )
        level.bays.append(Bay(level, identity, name, number, bus, ""))
        return level.bays[-1]

    def _bay_node(self, bay: Bay, name: str) -> str:
        return self._node(bay.identity, *self._names(bay), name)

    def _node(self, container: str, *names: str) -> str:
        return self.eq.add(
            "ConnectivityNode",
            mrid(*names, "node"),
            IdentifiedObject__name=names[-1],
            ConnectivityNode__ConnectivityNodeContainer=Ref(container),
        )

    def _terminal(self, equipment: str, node: str, number: int, *names: str) -> str:
        terminal = self.eq.add(
            "Terminal",
            mrid(*names, f"T{number}"),
            IdentifiedObject__name=f"{names[-1]} T{number}",
            ACDCTerminal__sequenceNumber=str(number),
            Terminal__phases=Enum("PhaseCode.ABC"),
            Terminal__ConductingEquipment=Ref(equipment),
            Terminal__ConnectivityNode=Ref(node),
        )
        return self.ssh.add("Terminal", terminal, about=True, ACDCTerminal__connected=True)

    def _equipment(
        self, kind: str, container: str, name: str, *names: str, state: dict[str, Value] | None = None, **properties: Value
    ) -> str:
        identity = mrid(*names)
        self.eq.add(
            kind,
            identity,
            IdentifiedObject__name=name,
            Equipment__EquipmentContainer=Ref(container),
            **properties,
        )
        return self.ssh.put(kind, identity, {"Equipment.inService": True, **(state or {})}, about=True)

    def _switch(self, bay: Bay, kind: str, one: str, two: str, digit: int, *, closed: bool) -> None:
        number = f"{LEVELS[bay.level.kv]}{bay.number:02d}{digit}"
        names = (*self._names(bay), number)
        identity = self.eq.add(
            kind,
            mrid(*names),
            IdentifiedObject__name=number,
            Equipment__EquipmentContainer=Ref(bay.identity),
            Switch__normalOpen=not closed,
            Switch__retained=kind == "Breaker",
        )
        self._terminal(identity, one, 1, *names)
        self._terminal(identity, two, 2, *names)
        bay.devices.append(Device(kind, identity, number, closed))

    def _earth(self, bay: Bay, node: str, digit: int) -> None:
        number = f"{LEVELS[bay.level.kv]}{bay.number:02d}{digit}"
        earth = self._node(bay.identity, *self._names(bay), number, "earth")
        ground = self._equipment("Ground", bay.identity, f"{number} earth", *self._names(bay), number, "ground")
        self._terminal(ground, earth, 1, *self._names(bay), number, "ground")
        self._switch(bay, "GroundDisconnector", node, earth, digit, closed=False)

    def _current_limit(self, terminal: str, name: str, number: int, rated: float) -> None:
        if not self._limit_type:
            self._limit_type = self.eq.add(
                "OperationalLimitType",
                mrid("limit type"),
                IdentifiedObject__name="PATL",
                OperationalLimitType__direction=Enum("OperationalLimitDirectionKind.absoluteValue"),
                OperationalLimitType__isInfiniteDuration=True,
                **{"eu:OperationalLimitType__kind": Enum("LimitKind.patl")},
            )
        limit_set = self.eq.add(
            "OperationalLimitSet",
            mrid("limits", name, str(number)),
            IdentifiedObject__name=f"{name} {number}",
            OperationalLimitSet__Terminal=Ref(terminal),
        )
        limit = self.eq.add(
            "CurrentLimit",
            mrid("limit", name, str(number)),
            IdentifiedObject__name=f"{name} {number}",
            OperationalLimit__OperationalLimitSet=Ref(limit_set),
            OperationalLimit__OperationalLimitType=Ref(self._limit_type),
            CurrentLimit__normalValue=rated,
        )
        self.ssh.add("CurrentLimit", limit, about=True, CurrentLimit__value=rated)

    def _tap_changer(self, identity: str, end: str, kv: float, step: int) -> None:
        self.eq.add(
            "RatioTapChanger",
            identity,
            IdentifiedObject__name="Tap",
            TapChanger__lowStep="-8",
            TapChanger__highStep="8",
            TapChanger__neutralStep="0",
            TapChanger__normalStep="0",
            TapChanger__neutralU=kv,
            TapChanger__ltcFlag=True,
            RatioTapChanger__stepVoltageIncrement=1.25,
            RatioTapChanger__TransformerEnd=Ref(end),
        )
        self.ssh.add("RatioTapChanger", identity, about=True, TapChanger__controlEnabled=False, TapChanger__step=str(step))
