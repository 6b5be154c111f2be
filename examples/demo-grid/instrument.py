"""Lays points, controls and channels over the stations of the demo network."""

from __future__ import annotations

from cimxml import SC, Profile, Ref, mrid
from network import Network
from parts import Bay, Level, Station, Unit
from regulation import MEMBERS, Regulation, VoltageDevice
from remote import channels
from writer import PointWriter, Signal

STATES = {
    "switch": ((0, "intermediate"), (1, "open"), (2, "closed"), (3, "faulty")),
    "alarm": ((0, "normal"), (1, "alarm")),
    "yes-no": ((0, "no"), (1, "yes")),
    "energised": ((0, "dead"), (1, "energised"), (2, "earthed")),
}
BREAKER: tuple[Signal, ...] = (
    ("Protection trip", "ProtectionTrip", "ACCIDENT", 1),
    ("Spring not charged", "SpringNotCharged", "ABNORMAL", 2),
    ("Control circuit broken", "ControlCircuitBroken", "ABNORMAL", 2),
    ("Bay unit comm lost", "CommunicationLost", "ABNORMAL", 3),
)
MADE_BY_BAY_UNIT = dict.fromkeys(("SpringNotCharged", "ControlCircuitBroken"), "Bay unit comm lost")
"""Signals that mean nothing while their bay unit does not answer."""
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


class Instrument:
    """Writes the SC profile of a network.

    Args:
        network: the finished network.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._common = Profile("SC", SC)
        self._channels = channels(self._common, {station.name: station.identity for station in network.stations})
        self._writer = PointWriter(self._common, None)
        self._power: dict[str, str] = {}
        self._lines: set[str] = set()
        self._frequency = ""
        """The first station's frequency, which those of the others are compared with: an island shows."""
        self._devices: list[VoltageDevice] = []

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
        Regulation(self._network, self._common, self._power, self._devices).write()
        return [self._common, *files]

    # stations

    def _station(self, station: Station) -> Profile:
        file = Profile(f"SC-{station.name}", SC)
        self._writer = PointWriter(file, self._channels[station.name])
        file.put(
            "Substation",
            station.identity,
            {"sc:Substation.ControlArea": Ref(mrid("area", station.area))},
            about=True,
        )
        for level in station.levels:
            self._busbars(level)
            for bay in level.bays:
                self._bay(bay)
        self._writer.limits("oil", (75.0, 85.0), 2.0, 10.0, offDelay=10.0, rate=3.0, rateWindow=120.0)
        for transformer in station.transformers:
            where = (station.name, transformer.name)
            self._writer.analog(
                where, "Oil temperature", "OilTemperature", transformer.identity, "", "degC", limits="oil", deadband=0.5
            )
            for signal in TRANSFORMER:
                if transformer.tap or signal[1] != "TapChangerFault":
                    self._writer.signal(where, signal, transformer.identity)
            if transformer.tap:
                control = self._writer.tap(where, transformer.tap, transformer.low_step, transformer.high_step)
                self._devices.append(VoltageDevice(transformer.tap, control, station.name, "tap"))
            self._writer.energised(where, transformer.identity, "")
        for unit in station.units:
            self._unit(station, unit)
        for signal in STATION:
            self._writer.signal((station.name,), signal, station.identity)
        for unit in station.units:
            self._members(station, unit)
        self._writer.write_limits(station)
        self._frequency = self._frequency or mrid(station.name, station.levels[0].name, "Bus I", "Frequency", "value")
        return file

    def _busbars(self, level: Level) -> None:
        station, kv = level.station.name, level.kv
        limits = VOLTAGES.get(kv, (0.90 * kv, 0.95 * kv, 1.07 * kv, 1.10 * kv))
        self._writer.limits(f"voltage {kv:g} kV", limits, 0.005 * kv, 2.0)
        for number, (bus, _, terminal) in enumerate(level.buses):
            where = (station, level.name, f"Bus {'I' * (number + 1)}")
            for phases in ("AB", "BC", "CA"):
                self._writer.analog(
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
                apart = {"deviation": 0.1, "reference": Ref(self._frequency)} if self._frequency else {}
                self._writer.limits("frequency", (49.5, 49.8, 50.2, 50.5), 0.02, 2.0, **apart)
                self._writer.analog(where, "Frequency", "Frequency", bus, terminal, "Hz", limits="frequency", deadband=0.001)
            self._writer.energised(where, bus, terminal, alarm="ABNORMAL")

    def _bay(self, bay: Bay) -> None:
        station, level = bay.level.station.name, bay.level
        where = (station, level.name, bay.name)
        for device in bay.devices:
            breaker = device.kind == "Breaker"
            position = self._writer.discrete(
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
                self._writer.command(where, device.identity, device.number, position, timeout=5.0 if breaker else 15.0)
        high = level.kv >= 110
        role = bay.feeder.role if bay.feeder else ""
        for signal in (*BREAKER, *(HIGH if high else ()), *OF_ROLE.get(role, ())):
            self._writer.signal(where, signal, bay.breaker.identity, MADE_BY_BAY_UNIT.get(signal[1], ""))
        self._writer.discrete(
            where, "Local control", "LocalControl", bay.breaker.identity, kind="status", states="yes-no", alarm="NOTICE"
        )
        if bay.feeder and role != "unit":
            self._feeder(bay, where)

    def _feeder(self, bay: Bay, where: tuple[str, ...]) -> None:
        feeder = bay.feeder
        assert feeder is not None
        rated = feeder.rated_a
        if rated:
            self._writer.limits(f"current {rated:.0f} A", (0.9 * rated, rated), 0.02 * rated, 5.0)
        limits = f"current {rated:.0f} A" if rated else ""
        terminal = feeder.terminal
        for phase in "ABC" if bay.level.kv >= 110 else "A":
            self._writer.analog(
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
        self._writer.analog(where, "P", "ThreePhaseActivePower", feeder.equipment, terminal, "MW", deadband=0.1)
        self._writer.analog(where, "Q", "ThreePhaseReactivePower", feeder.equipment, terminal, "Mvar", deadband=0.1)
        if feeder.role == "line":
            self._writer.energy(where, feeder.equipment, terminal)
            if feeder.equipment not in self._lines:
                self._lines.add(feeder.equipment)
                self._writer.energised(where, feeder.equipment, terminal)
        elif feeder.role == "load":
            self._writer.energised(where, feeder.equipment, terminal)
        elif feeder.role in ("capacitor", "reactor"):
            bus = bay.level.buses[bay.bus][0]
            self._devices.append(VoltageDevice(feeder.equipment, mrid(*where, f"{bay.breaker.number} command"), bus, feeder.role))

    def _unit(self, station: Station, unit: Unit) -> None:
        where = (station.name, f"{unit.name} {unit.kv:g}kV" if unit.kv < 35 and unit.kv != 10 else f"{unit.kv:g}kV", unit.name)
        rated = max(abs(unit.low), unit.high)
        machine, terminal = unit.machine, unit.terminal
        self._writer.limits(f"power {unit.name}", (unit.low - 0.02 * rated, 1.03 * unit.high), 0.01 * rated, 5.0)
        self._writer.analog(
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
        self._writer.analog(where, "Q", "ThreePhaseReactivePower", machine, terminal, "Mvar", deadband=0.05, generator=True)
        self._writer.analog(where, "U", "LineToLineVoltage", machine, terminal, "kV", deadband=0.0005 * unit.kv, phases="AB")
        self._writer.analog(where, "I", "LineCurrent", machine, terminal, "A", deadband=1.0, generator=True)
        self._writer.energy(where, machine, terminal)
        self._writer.energised(where, machine, terminal)
        self._power[unit.identity] = f"{'/'.join(where)}/P"
        where = (station.name, unit.name)
        self._writer.discrete(
            where, "Running", "UnitRunning", unit.identity, kind="status", states="yes-no", alarm="CHANGE", priority=2
        )
        if station.area != "East":
            return
        self._writer.discrete(
            where, "AGC remote", "AgcRemote", unit.identity, kind="status", states="yes-no", alarm="CHANGE", priority=2
        )
        self._writer.discrete(
            where, "AVC remote", "AvcRemote", unit.identity, kind="status", states="yes-no", alarm="CHANGE", priority=2
        )
        if unit.fuel in ("pv", "wind"):
            self._writer.analog(where, "Available P", "AvailableActivePower", unit.identity, "", "MW", deadband=0.1)
            weather = ("Irradiance", "Irradiance", "W/m2") if unit.fuel == "pv" else ("Wind speed", "WindSpeed", "m/s")
            self._writer.analog(where, *weather[:2], unit.identity, "", weather[2], deadband=0.1)
        if unit.fuel == "storage":
            self._writer.limits("state of charge", (5.0, 10.0, 90.0, 95.0), 1.0, 0.0)
            self._writer.analog(where, "SOC", "StateOfCharge", unit.identity, "", "%", limits="state of charge", deadband=0.1)
        self._writer.setpoint(where, unit, "P", "ActivePower", "MW", (unit.low, unit.high))
        self._writer.setpoint(where, unit, "Q", "ReactivePower", "Mvar", (unit.min_q, unit.max_q))

    def _members(self, station: Station, unit: Unit) -> None:
        """Power of each part of a plant, measured behind its controller."""
        where = (station.name, f"{unit.kv:g}kV", unit.name)
        for name, _ in MEMBERS.get(unit.name, ()):
            member = mrid("member", unit.name, name)
            self._writer.analog(
                where, f"{name} P", "ThreePhaseActivePower", member, unit.terminal, "MW", deadband=0.02, generator=True
            )
