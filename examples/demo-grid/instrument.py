"""Lays points, controls, channels, control areas and AVC zones over the demo network: the SC profile of the demo grid."""

from __future__ import annotations

from collections.abc import Sequence

from network import SC, Bay, Enum, Level, Network, Profile, Ref, Station, Unit, Value, mrid
from remote import Channel, channels

UNITS = {
    "MW": ("M", "W"),
    "Mvar": ("M", "VAr"),
    "A": ("none", "A"),
    "kV": ("k", "V"),
    "Hz": ("none", "Hz"),
    "degC": ("none", "degC"),
    "%": ("c", "none"),
    "MWh": ("M", "Wh"),
    "m/s": ("none", "mPers"),
    "W/m2": ("none", "WPerm2"),
    "": ("none", "none"),
}
STATES = {
    "switch": ((0, "intermediate"), (1, "open"), (2, "closed"), (3, "faulty")),
    "alarm": ((0, "normal"), (1, "alarm")),
    "yes-no": ((0, "no"), (1, "yes")),
    "energised": ((0, "dead"), (1, "energised"), (2, "earthed")),
}
Signal = tuple[str, str, str, int]
"""Name, measurementType, alarm class, priority."""
BREAKER: tuple[Signal, ...] = (
    ("Protection trip", "ProtectionTrip", "ACCIDENT", 1),
    ("Spring not charged", "SpringNotCharged", "ABNORMAL", 2),
    ("Control circuit broken", "ControlCircuitBroken", "ABNORMAL", 2),
    ("Bay unit comm lost", "CommunicationLost", "ABNORMAL", 3),
)
HIGH: tuple[Signal, ...] = (
    ("SF6 low", "SF6Low", "ABNORMAL", 2),
    ("SF6 lockout", "SF6Lockout", "ABNORMAL", 1),
    ("Protection fault", "ProtectionFault", "ABNORMAL", 2),
)
OF_ROLE: dict[str, tuple[Signal, ...]] = {
    "line": (
        ("Reclosing operated", "Reclosing", "ACCIDENT", 2),
        ("Protection channel fault", "ProtectionChannelFault", "ABNORMAL", 2),
        ("VT circuit broken", "VoltageCircuitBroken", "ABNORMAL", 2),
    ),
    "load": (("Earth fault", "EarthFault", "ABNORMAL", 2),),
    "capacitor": (("Unbalance trip", "UnbalanceTrip", "ACCIDENT", 2),),
}
TRANSFORMER: tuple[Signal, ...] = (
    ("Gas relay trip", "GasRelayTrip", "ACCIDENT", 1),
    ("Gas relay alarm", "GasRelayAlarm", "ABNORMAL", 1),
    ("Cooler fault", "CoolerFault", "ABNORMAL", 2),
    ("Oil level low", "OilLevelLow", "ABNORMAL", 2),
    ("Tap changer fault", "TapChangerFault", "ABNORMAL", 2),
)
STATION: tuple[Signal, ...] = (
    ("DC system fault", "DcFault", "ABNORMAL", 2),
    ("Station supply fault", "StationSupplyFault", "ABNORMAL", 2),
    ("Fire alarm", "FireAlarm", "ACCIDENT", 1),
    ("Clock not synchronised", "ClockFault", "NOTICE", 4),
)
VOLTAGES = {220.0: (209.0, 213.4, 237.6, 242.0), 110.0: (104.5, 106.7, 117.7, 121.0)}
"""Alarm limits lolo, lo, hi, hihi of line-to-line voltages, kV; lower levels take 0.90, 0.95, 1.07, 1.10."""
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


class Instrument:
    """Writes the SC profile of a network.

    Args:
        network: the finished network.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._common = Profile("SC", SC)
        self._channels = channels(self._common, {station.name: station.identity for station in network.stations})
        self._file = self._common
        self._channel: Channel | None = None
        self._limit_sets: dict[str, tuple[tuple[float, ...], float, float, list[Value]]] = {}
        self._paths: dict[str, str] = {}
        self._devices: list[tuple[str, str, str, str]] = []

    def profiles(self) -> list[Profile]:
        """The common file (channels, areas, zones) and one file a station."""
        for name, states in STATES.items():
            alias_set = self._common.add("ValueAliasSet", mrid("states", name), IdentifiedObject__name=name)
            for value, label in states:
                self._common.add(
                    "ValueToAlias",
                    mrid("state", name, label),
                    IdentifiedObject__name=label,
                    ValueToAlias__value=str(value),
                    ValueToAlias__ValueAliasSet=Ref(alias_set),
                )
        files = [self._station(station) for station in self._network.stations]
        self._file, self._channel = self._common, None
        self._areas()
        self._zones()
        return [self._common, *files]

    # stations

    def _station(self, station: Station) -> Profile:
        self._file = Profile(f"SC-{station.name}", SC)
        self._channel = self._channels[station.name]
        self._limit_sets = {}
        self._file.put(
            "Substation",
            station.identity,
            {"sc:Substation.ControlArea": Ref(mrid("area", station.area))},
            about=True,
        )
        for level in station.levels:
            self._busbars(level)
            for bay in level.bays:
                self._bay(bay)
        self._limits("oil", (75.0, 85.0), 2.0, 10.0)
        for transformer in station.transformers:
            where = (station.name, transformer.name)
            self._analog(where, "Oil temperature", "OilTemperature", transformer.identity, "", "degC", limits="oil", deadband=0.5)
            for signal in TRANSFORMER:
                if transformer.tap or signal[1] != "TapChangerFault":
                    self._signal(where, signal, transformer.identity)
            if transformer.tap:
                self._tap(where, transformer.tap, transformer.low_step, transformer.high_step)
            self._energised(where, transformer.identity, "")
        for unit in station.units:
            self._unit(station, unit)
        for signal in STATION:
            self._signal((station.name,), signal, station.identity)
        self._write_limits(station)
        return self._file

    def _busbars(self, level: Level) -> None:
        station, kv = level.station.name, level.kv
        limits = VOLTAGES.get(kv, (0.90 * kv, 0.95 * kv, 1.07 * kv, 1.10 * kv))
        self._limits(f"voltage {kv:g} kV", limits, 0.005 * kv, 2.0)
        for number, (bus, _, terminal) in enumerate(level.buses):
            where = (station, level.name, f"Bus {'I' * (number + 1)}")
            for phases in ("AB", "BC", "CA"):
                self._analog(
                    where,
                    f"U{phases.lower()}",
                    "LineToLineVoltage",
                    bus,
                    terminal,
                    "kV",
                    limits=f"voltage {kv:g} kV",
                    deadband=0.0005 * kv,
                    phases=phases,
                )
            if kv >= 110:
                self._limits("frequency", (49.5, 49.8, 50.2, 50.5), 0.02, 2.0)
                self._analog(where, "Frequency", "Frequency", bus, terminal, "Hz", limits="frequency", deadband=0.001)
            self._energised(where, bus, terminal, alarm="ABNORMAL")

    def _bay(self, bay: Bay) -> None:
        station, level = bay.level.station.name, bay.level
        where = (station, level.name, bay.name)
        for device in bay.devices:
            breaker = device.kind == "Breaker"
            position = self._discrete(
                where,
                f"{device.number} Position",
                "SwitchPosition",
                device.identity,
                kind="double",
                states="switch",
                alarm="CHANGE",
                priority=2 if breaker else 3,
            )
            if device.kind != "GroundDisconnector":
                self._command(where, device.identity, device.number, position, timeout=5.0 if breaker else 15.0)
        high = level.kv >= 110
        role = bay.feeder.role if bay.feeder else ""
        for signal in (*BREAKER, *(HIGH if high else ()), *OF_ROLE.get(role, ())):
            self._signal(where, signal, bay.breaker.identity)
        self._discrete(
            where, "Local control", "LocalControl", bay.breaker.identity, kind="status", states="yes-no", alarm="NOTICE"
        )
        if bay.feeder and role != "unit":
            self._feeder(bay, where)

    def _feeder(self, bay: Bay, where: tuple[str, ...]) -> None:
        feeder = bay.feeder
        assert feeder is not None
        rated = feeder.rated_a
        if rated:
            self._limits(f"current {rated:.0f} A", (0.9 * rated, rated), 0.02 * rated, 5.0)
        limits = f"current {rated:.0f} A" if rated else ""
        terminal = feeder.terminal
        for phase in "ABC" if bay.level.kv >= 110 else "A":
            self._analog(
                where,
                f"I{phase.lower()}",
                "LineCurrent",
                feeder.equipment,
                terminal,
                "A",
                limits=limits,
                deadband=1.0,
                phases=phase,
            )
        if feeder.role == "coupler":
            return
        self._analog(where, "P", "ThreePhaseActivePower", feeder.equipment, terminal, "MW", deadband=0.1)
        self._analog(where, "Q", "ThreePhaseReactivePower", feeder.equipment, terminal, "Mvar", deadband=0.1)
        if feeder.role == "line":
            self._energy(where, feeder.equipment, terminal)
            if not self._paths.get(feeder.equipment):
                self._paths[feeder.equipment] = "seen"
                self._energised(where, feeder.equipment, terminal)
        elif feeder.role == "load":
            self._energised(where, feeder.equipment, terminal)
        elif feeder.role in ("capacitor", "reactor"):
            bus = bay.level.buses[bay.bus][0]
            self._devices.append((feeder.equipment, mrid(*where, f"{bay.breaker.number} command"), bus, feeder.role))

    def _unit(self, station: Station, unit: Unit) -> None:
        where = (station.name, f"{unit.name} {unit.kv:g}kV" if unit.kv < 35 and unit.kv != 10 else f"{unit.kv:g}kV", unit.name)
        rated = max(abs(unit.low), unit.high)
        machine, terminal = unit.machine, unit.terminal
        self._limits(f"power {unit.name}", (unit.low - 0.02 * rated, 1.03 * unit.high), 0.01 * rated, 5.0)
        power = self._analog(
            where,
            "P",
            "ThreePhaseActivePower",
            machine,
            terminal,
            "MW",
            limits=f"power {unit.name}",
            deadband=0.05,
            generator=True,
        )
        self._analog(where, "Q", "ThreePhaseReactivePower", machine, terminal, "Mvar", deadband=0.05, generator=True)
        self._analog(where, "U", "LineToLineVoltage", machine, terminal, "kV", deadband=0.0005 * unit.kv, phases="AB")
        self._analog(where, "I", "LineCurrent", machine, terminal, "A", deadband=1.0, generator=True)
        self._energy(where, machine, terminal)
        self._energised(where, machine, terminal)
        self._paths[unit.identity] = f"{'/'.join(where)}/P"
        self._paths[f"{unit.identity} value"] = power
        where = (station.name, unit.name)
        self._discrete(where, "Running", "UnitRunning", unit.identity, kind="status", states="yes-no", alarm="CHANGE", priority=2)
        if station.area != "East":
            return
        self._discrete(
            where, "AGC remote", "AgcRemote", unit.identity, kind="status", states="yes-no", alarm="CHANGE", priority=2
        )
        self._discrete(
            where, "AVC remote", "AvcRemote", unit.identity, kind="status", states="yes-no", alarm="CHANGE", priority=2
        )
        if unit.fuel in ("pv", "wind"):
            self._analog(where, "Available P", "AvailableActivePower", unit.identity, "", "MW", deadband=0.1)
            weather = ("Irradiance", "Irradiance", "W/m2") if unit.fuel == "pv" else ("Wind speed", "WindSpeed", "m/s")
            self._analog(where, *weather[:2], unit.identity, "", weather[2], deadband=0.1)
        if unit.fuel == "storage":
            self._limits("state of charge", (5.0, 10.0, 90.0, 95.0), 1.0, 0.0)
            self._analog(where, "SOC", "StateOfCharge", unit.identity, "", "%", limits="state of charge", deadband=0.1)
        self._setpoint(where, unit, "P", "ActivePower", "MW", (unit.low, unit.high))
        self._setpoint(where, unit, "Q", "ReactivePower", "Mvar", (unit.min_q, unit.max_q))

    # points

    def _analog(
        self,
        where: Sequence[str],
        name: str,
        measures: str,
        resource: str,
        terminal: str,
        unit: str,
        *,
        limits: str = "",
        deadband: float = 0.0,
        phases: str = "",
        generator: bool = False,
        expression: str = "",
    ) -> str:
        multiplier, symbol = UNITS[unit]
        properties: dict[str, Value | list[Value]] = {
            "IdentifiedObject.name": name,
            "Measurement.measurementType": measures,
            "Measurement.unitMultiplier": Enum(f"UnitMultiplier.{multiplier}"),
            "Measurement.unitSymbol": Enum(f"UnitSymbol.{symbol}"),
            "Measurement.PowerSystemResource": Ref(resource),
        }
        if terminal:
            properties["Measurement.Terminal"] = Ref(terminal)
        if phases:
            properties["Measurement.phases"] = Enum(f"PhaseCode.{phases}")
        if unit in ("MW", "Mvar", "A") and terminal:
            properties["Analog.positiveFlowIn"] = not generator
        if limits:
            properties["sc:Measurement.alarmClass"] = "LIMIT"
            properties["sc:Measurement.alarmPriority"] = "2"
        measurement = self._file.put("Analog", mrid(*where, name), properties)
        if limits:
            self._limit_sets[limits][3].append(Ref(measurement))
        return self._value("Analog", measurement, where, name, "analog", expression, deadband)

    def _discrete(
        self,
        where: Sequence[str],
        name: str,
        measures: str,
        resource: str,
        *,
        terminal: str = "",
        kind: str,
        states: str = "",
        alarm: str = "NOTICE",
        priority: int = 3,
        normal: int | None = None,
        limits: tuple[int, int] | None = None,
        expression: str = "",
    ) -> str:
        properties: dict[str, Value | list[Value]] = {
            "IdentifiedObject.name": name,
            "Measurement.measurementType": measures,
            "Measurement.PowerSystemResource": Ref(resource),
            "sc:Discrete.kind": kind,
            "sc:Measurement.alarmClass": alarm,
            "sc:Measurement.alarmPriority": str(priority),
        }
        if terminal:
            properties["Measurement.Terminal"] = Ref(terminal)
        if states:
            properties["Discrete.ValueAliasSet"] = Ref(mrid("states", states))
        if limits:
            properties["Discrete.minValue"], properties["Discrete.maxValue"] = str(limits[0]), str(limits[1])
        if normal is not None:
            properties["sc:Measurement.normalState"] = str(normal)
        measurement = self._file.put("Discrete", mrid(*where, name), properties)
        return self._value("Discrete", measurement, where, name, kind, expression, 0.0)

    def _signal(self, where: Sequence[str], signal: Signal, resource: str) -> None:
        name, measures, alarm, priority = signal
        self._discrete(where, name, measures, resource, kind="status", states="alarm", alarm=alarm, priority=priority, normal=0)

    def _energised(self, where: Sequence[str], resource: str, terminal: str, alarm: str = "CHANGE") -> None:
        normal = 1 if alarm == "ABNORMAL" else None
        self._discrete(
            where,
            "Energised",
            "EnergisedState",
            resource,
            terminal=terminal,
            kind="state",
            states="energised",
            alarm=alarm,
            priority=2,
            normal=normal,
            expression="topology",
        )

    def _energy(self, where: Sequence[str], resource: str, terminal: str) -> None:
        assert self._channel is not None
        if not self._channel.counters:
            return
        for name, measures in (("Energy export", "ActiveEnergyExport"), ("Energy import", "ActiveEnergyImport")):
            measurement = self._file.put(
                "Accumulator",
                mrid(*where, name),
                {
                    "IdentifiedObject.name": name,
                    "Measurement.measurementType": measures,
                    "Measurement.unitMultiplier": Enum("UnitMultiplier.M"),
                    "Measurement.unitSymbol": Enum("UnitSymbol.Wh"),
                    "Measurement.PowerSystemResource": Ref(resource),
                    "Measurement.Terminal": Ref(terminal),
                },
            )
            self._value("Accumulator", measurement, where, name, "counter", "", 0.0)

    def _value(
        self, kind: str, measurement: str, where: Sequence[str], name: str, address: str, expression: str, deadband: float
    ) -> str:
        value = mrid(*where, name, "value")
        properties: dict[str, Value | list[Value]] = {
            "IdentifiedObject.name": name,
            f"{kind}Value.{kind}": Ref(measurement),
        }
        if expression:
            properties["sc:MeasurementValue.expression"] = expression
            return self._file.put(f"{kind}Value", value, properties)
        self._file.put(f"{kind}Value", value, properties)
        assert self._channel is not None
        source: dict[str, Value | list[Value]] = {
            "IdentifiedObject.name": name,
            "RemotePoint.RemoteUnit": Ref(self._channel.identity),
            "RemoteSource.MeasurementValue": Ref(value),
            **self._channel.source(address, where, name),
        }
        if deadband:
            source["RemoteSource.deadband"] = deadband
        self._file.put("RemoteSource", mrid(*where, name, "source"), source)
        return value

    # limits

    def _limits(self, name: str, values: tuple[float, ...], hysteresis: float, delay: float) -> None:
        self._limit_sets.setdefault(name, (values, hysteresis, delay, []))

    def _write_limits(self, station: Station) -> None:
        for name, (values, hysteresis, delay, measurements) in self._limit_sets.items():
            if not measurements:
                continue
            limit_set = self._file.put(
                "AnalogLimitSet",
                mrid(station.name, "limits", name),
                {
                    "IdentifiedObject.name": name,
                    "sc:AnalogLimitSet.hysteresis": hysteresis,
                    "sc:AnalogLimitSet.delay": delay,
                    "AnalogLimitSet.Measurements": measurements,
                },
            )
            kinds = (
                ("lolo", "lo", "hi", "hihi")
                if len(values) == 4
                else ("lo", "hi")
                if values[0] < 0.5 * values[1]
                else ("hi", "hihi")
            )
            for kind, value in zip(kinds, values, strict=True):
                self._file.put(
                    "AnalogLimit",
                    mrid(station.name, "limits", name, kind),
                    {
                        "IdentifiedObject.name": kind,
                        "AnalogLimit.value": value,
                        "AnalogLimit.LimitSet": Ref(limit_set),
                        "sc:AnalogLimit.kind": kind,
                    },
                )

    # controls

    def _command(self, where: Sequence[str], switch: str, number: str, feedback: str, *, timeout: float) -> None:
        control = self._file.put(
            "Command",
            mrid(*where, f"{number} command"),
            {
                "IdentifiedObject.name": number,
                "Control.controlType": "SwitchPosition",
                "Control.PowerSystemResource": Ref(switch),
                "Command.DiscreteValue": Ref(feedback),
                "Command.ValueAliasSet": Ref(mrid("states", "switch")),
                "sc:Control.kind": "double",
                "sc:Control.select": True,
                "sc:Control.deviceNumber": number,
                "sc:Control.feedbackTimeout": timeout,
            },
        )
        self._remote_control(control, where, number, "command")

    def _tap(self, where: tuple[str, str], tap: str, low: int, high: int) -> None:
        position = self._discrete(
            where, "Tap position", "TapPosition", tap, kind="step", alarm="CHANGE", priority=4, limits=(low, high)
        )
        control = self._file.put(
            "RaiseLowerCommand",
            mrid(*where, "tap command"),
            {
                "IdentifiedObject.name": "Tap",
                "Control.controlType": "TapPosition",
                "Control.PowerSystemResource": Ref(tap),
                "AnalogControl.minValue": str(low),
                "AnalogControl.maxValue": str(high),
                "sc:Control.kind": "step",
                "sc:Control.select": True,
                "sc:Control.feedback": Ref(position),
                "sc:Control.deviceNumber": f"700{where[1][-1]}",
                "sc:Control.feedbackTimeout": 10.0,
            },
        )
        self._remote_control(control, where, "Tap", "step-command")
        self._devices.append((tap, control, where[0], "tap"))

    def _setpoint(
        self, where: tuple[str, str], unit: Unit, letter: str, kind: str, symbol: str, limits: tuple[float, float]
    ) -> None:
        echo = self._analog(where, f"{letter} set-point echo", f"{kind}Setpoint", unit.identity, "", symbol)
        multiplier, unit_symbol = UNITS[symbol]
        control = self._file.put(
            "SetPoint",
            mrid(*where, f"{letter} set-point"),
            {
                "IdentifiedObject.name": f"{letter} set-point",
                "Control.controlType": kind,
                "Control.unitMultiplier": Enum(f"UnitMultiplier.{multiplier}"),
                "Control.unitSymbol": Enum(f"UnitSymbol.{unit_symbol}"),
                "Control.PowerSystemResource": Ref(unit.identity),
                "AnalogControl.AnalogValue": Ref(echo),
                "AnalogControl.minValue": limits[0],
                "AnalogControl.maxValue": limits[1],
                "sc:Control.kind": "setpoint",
                "sc:Control.select": False,
                "sc:Control.deviceNumber": f"80{unit.number}{1 if letter == 'P' else 2}",
                "sc:Control.feedbackTimeout": 5.0,
                "sc:Control.feedbackTolerance": 0.1,
            },
        )
        self._remote_control(control, where, f"{letter} set-point", "setpoint")

    def _remote_control(self, control: str, where: Sequence[str], name: str, kind: str) -> None:
        assert self._channel is not None
        self._file.put(
            "RemoteControl",
            mrid(*where, name, kind, "remote"),
            {
                "IdentifiedObject.name": name,
                "RemotePoint.RemoteUnit": Ref(self._channel.identity),
                "RemoteControl.Control": Ref(control),
                **self._channel.control(kind, where, name),
            },
        )

    # areas and zones

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
                        "AltGeneratingUnitMeas.AnalogValue": Ref(self._paths[f"{unit.identity} value"]),
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
        generation = ", ".join(f'"{self._paths[unit.identity]}"' for unit in units)
        flows = ", ".join(f'"{own.level.station.name}/{own.level.name}/{own.name}/P"' for own, _ in self._tie_bays(name))
        points = [
            ("Generation", "AreaGeneration", f"sum({generation})"),
            ("Interchange", "AreaInterchange", f"sum({flows})"),
            ("Load", "AreaLoad", f'"{name}/Generation" - "{name}/Interchange"'),
        ]
        if controlled:
            points += [("ACE", "AreaControlError", "agc.ace"), ("Regulation", "AreaRegulation", "agc.regulation")]
        for point, measures, expression in points:
            self._analog((name,), point, measures, area, "", "MW", expression=expression)

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
        for equipment, control, place, kind in self._devices:
            bus = place
            if kind == "tap":
                if place != station:
                    continue
                bus = levels[0].buses[tap_number][0]
                tap_number += 1
            if bus not in buses:
                continue
            self._file.put(
                "sc:VoltageControlDevice",
                mrid("zone", "device", equipment),
                {
                    "sc:VoltageControlDevice.VoltageControlZone": Ref(zone),
                    "sc:VoltageControlDevice.Equipment": Ref(equipment),
                    "sc:VoltageControlDevice.Control": Ref(control),
                    "sc:VoltageControlDevice.BusbarSection": Ref(bus),
                    "sc:VoltageControlDevice.raiseIncreasesVoltage": kind != "tap",
                    "sc:VoltageControlDevice.minInterval": 60.0 if kind == "tap" else 300.0,
                    "sc:VoltageControlDevice.dailyLimit": "20" if kind == "tap" else "8",
                },
            )
