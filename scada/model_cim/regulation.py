"""What AGC and AVC regulate, as the model describes it: control areas, units, plants; voltage zones, sources, devices.

Powers in MW and Mvar, rates in MW/min, voltages in kV. A ``cid`` of -1 stands for a control that does not exist, a point of
None for a measurement that does not exist, NaN for a figure that the model does not give.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scada.core.ids import PointId


def _given(points: Iterable[PointId | None]) -> Iterator[PointId]:
    return (point for point in points if point is not None)


@dataclass(frozen=True, slots=True)
class TieLine:
    """A tie line of a control area: a measured flow and the sign that makes export positive."""

    name: str
    flow: Sequence[PointId]
    """Sources by priority (CIM AltTieMeas)."""
    sign: float


class ForbiddenZone(NamedTuple):
    """A range in which a unit must not stay (vibration, cavitation, change of mills). MW; the edges are allowed."""

    low: float
    high: float
    permitted_s: float = math.inf
    """How long the unit may be inside while it crosses, s; longer is an alarm."""


@dataclass(frozen=True, slots=True)
class RegulationGroup:
    """Units or groups that AGC keeps within common limits: a section, a company, a cascade."""

    name: str
    mrid: str
    parent: str = ""
    """mRID of the group above; empty = the area itself."""
    minimum: float = -math.inf
    """Least sum of the members' outputs."""
    maximum: float = math.inf


@dataclass(frozen=True, slots=True)
class PlantMember:
    """A machine, inverter or string behind a plant controller."""

    name: str
    mrid: str
    kind: str
    """``thermal``, ``hydro``, ``pv``, ``wind`` or ``storage``."""
    power: PointId
    minimum: float
    maximum: float
    """Rated power: its capacity."""
    ramp: float = math.nan
    """MW/min both ways; NaN = as fast as wanted."""
    setpoint: int = -1
    """cid of its own set-point; -1 = only the plant's controller moves it."""
    running: PointId | None = None
    """Status point: 1 = on line."""
    remote: PointId | None = None
    """Status point: 1 = accepts set-points."""
    benchmark: bool = False
    """Left uncurtailed, so that its output shows what the others could give."""
    state_of_charge: PointId | None = None
    energy_mwh: float = 0.0


@dataclass(frozen=True, slots=True)
class AgcUnit:
    """A controlled object of AGC: a unit, or a plant behind one controller (then with :attr:`members`)."""

    name: str
    mrid: str
    fuel: str
    """``thermal``, ``hydro``, ``pv``, ``wind`` or ``storage``."""
    power: Sequence[PointId]
    """Sources by priority (CIM AltGeneratingUnitMeas)."""
    setpoint: int
    """cid of the active power set-point; -1 = pulses (:attr:`raise_lower`) or the members' own set-points."""
    remote: PointId | None
    """Status point: 1 = the unit accepts AGC."""
    minimum: float
    maximum: float
    ramp_up: float
    ramp_down: float
    participation: float
    base_mode: str = "AUTO"
    """See :mod:`scada.apps.agc_avc.agc.modes`."""
    reg_mode: str = "R"
    forbidden: tuple[ForbiddenZone, ...] = ()
    deadband: float = 0.5
    cost_b: float = 0.0
    """Incremental cost at no load, currency/MWh."""
    cost_c: float = 0.0
    """Half its slope: cost = a + b P + c P²."""
    available: PointId | None = None
    """Available power of a PV or wind plant, as the plant says."""
    state_of_charge: PointId | None = None
    """%."""
    energy_mwh: float = 0.0
    group: str = ""
    """mRID of its :class:`RegulationGroup`; empty = the area itself."""
    share: str = "factor"
    """How it takes part: ``factor`` (participation), ``economic``, ``ramp``, ``margin`` or ``capacity``."""
    cost_curve: tuple[tuple[float, float], ...] = ()
    """Incremental cost as (MW, currency/MWh), ascending; replaces b and c where given."""
    economic_minimum: float = math.nan
    economic_maximum: float = math.nan
    emergency_ramp: float = math.nan
    """MW/min in the emergency zone; NaN = the normal ramps."""
    telemetered_base: PointId | None = None
    """Base point that the plant or another centre sends (mode YCBASE)."""
    raise_blocked: PointId | None = None
    """Status point: 1 = must not be raised."""
    lower_blocked: PointId | None = None
    raise_lower: int = -1
    """cid of the raise/lower command, for pulses (1 lower, 2 raise)."""
    pulse_mw: float = math.nan
    """What one pulse moves, MW."""
    maximum_step: float = math.inf
    """Largest change of the set-point at once, MW."""
    minimum_interval_s: float = 0.0
    """Shortest time between two commands."""
    waits: bool = False
    """A new set-point only after the one before was reached."""
    irradiance: PointId | None = None
    """W/m², for the available power of a PV plant that does not say it."""
    members: tuple[PlantMember, ...] = ()
    soc_minimum: float = math.nan
    """Lowest state of charge used, %."""
    soc_maximum: float = math.nan
    soc_reference: float = math.nan
    """Where the state of charge is brought back to while regulation is quiet, %."""
    efficiency: float = math.nan
    """One way, per unit."""

    @property
    def points(self) -> Iterator[PointId]:
        """Every point that AGC reads for it."""
        yield from self.power
        own = (self.remote, self.available, self.state_of_charge, self.telemetered_base, self.raise_blocked, self.lower_blocked)
        yield from _given((*own, self.irradiance))
        for member in self.members:
            yield from _given((member.power, member.running, member.remote, member.state_of_charge))

    @property
    def controls(self) -> tuple[int, ...]:
        """Every control that AGC may send to it, by cid."""
        cids = (self.setpoint, self.raise_lower, *(member.setpoint for member in self.members))
        return tuple(cid for cid in cids if cid >= 0)


@dataclass(frozen=True, slots=True)
class ControlArea:
    """A control area (CIM ControlArea type AGC + SC parameters)."""

    name: str
    mrid: str
    frequency: Sequence[PointId]
    """Sources by priority, Hz."""
    nominal_hz: float
    bias: float
    """NERC B, MW/0.1 Hz, negative."""
    scheduled_interchange: float
    """MW, export positive."""
    ties: Sequence[TieLine]
    units: Sequence[AgcUnit]
    controlled: bool
    """True for the area this control centre is responsible for; False = seen only."""
    deadband: float = 5.0
    """ACE dead band, MW."""
    groups: tuple[RegulationGroup, ...] = ()
    interchange_meter: Sequence[PointId] = ()
    """Independent measurement of the net interchange by priority, MW, export positive: compared with the sum of the ties."""
    time_error: PointId | None = None
    """Time error as the time monitor of the interconnection says, s."""
    bias_sum: float = math.nan
    """Sum of the frequency biases of the interconnection, MW/0.1 Hz, negative."""
    performance_rules: str = ""
    """Name of the rule profile its performance is judged by; empty = the configuration's."""

    @property
    def points(self) -> Iterator[PointId]:
        """Every point that AGC reads for it."""
        yield from self.frequency
        yield from self.interchange_meter
        yield from _given((self.time_error,))
        for tie in self.ties:
            yield from tie.flow
        for unit in self.units:
            yield from unit.points

    @property
    def controls(self) -> tuple[int, ...]:
        """Every control that AGC may send in it, by cid."""
        return tuple(cid for unit in self.units for cid in unit.controls)


@dataclass(frozen=True, slots=True)
class PilotNode:
    """A bus whose voltage AVC holds."""

    name: str
    mrid: str
    """mRID of the busbar section."""
    voltage: Sequence[PointId]
    """Sources by priority."""
    target: float
    deadband: float
    minimum: float
    maximum: float
    weight: float = 1.0
    """Of its error against those of the other pilots."""


@dataclass(frozen=True, slots=True)
class ReactiveSource:
    """A continuous source of reactive power (unit, PV, wind, storage, SVG)."""

    name: str
    mrid: str
    power: PointId
    """Measured Mvar."""
    setpoint: int
    minimum: float
    maximum: float
    step: float
    """Largest change in one cycle, Mvar."""
    remote: PointId | None = None
    kind: str = "machine"
    """``machine``, ``inverter`` or ``svg`` (dynamic compensator, keeps its range in reserve)."""
    active: PointId | None = None
    """Measured MW, for the capability of an inverter and for equal power factor."""
    rated_mva: float = math.nan
    """Bounds an inverter: Q² + P² <= S²."""
    capability: tuple[tuple[float, float, float], ...] = ()
    """(MW, least Mvar, greatest Mvar), MW ascending (CIM ReactiveCapabilityCurve)."""
    plant: str = ""
    """mRID of its :class:`ReactivePlant`; empty = it stands for itself."""
    voltage: Sequence[PointId] = ()
    """Voltage at its own bus, kV, by priority."""
    voltage_minimum: float = math.nan
    voltage_maximum: float = math.nan
    raise_blocked: PointId | None = None
    """Status point: 1 = must not be raised."""
    lower_blocked: PointId | None = None


@dataclass(frozen=True, slots=True)
class ReactivePlant:
    """Sources of one station that share its reactive power."""

    name: str
    mrid: str
    share: str = "margin"
    """``margin`` (equal margin), ``power-factor`` or ``capacity``."""


@dataclass(frozen=True, slots=True)
class DiscreteDevice:
    """A capacitor or reactor bank or a tap changer."""

    name: str
    mrid: str
    kind: str
    """``capacitor``, ``reactor`` or ``tap``."""
    position: PointId
    """Sections in service (switch position: 1 open, 2 closed for single banks) or tap step."""
    control: int
    """cid: switch command (double) or step command."""
    pilot: str
    """mRID of the busbar whose voltage it serves."""
    mvar: float = 0.0
    """Rated Mvar, capacitor positive, reactor negative."""
    low_step: int = 0
    high_step: int = 0
    raise_increases_voltage: bool = True
    min_interval_s: float = 120.0
    daily_limit: int = 20
    discharge_s: float = 300.0
    """A capacitor is not closed again before, after it was opened."""
    remote: PointId | None = None
    """Status point: 1 = accepts commands from afar."""
    tripped: PointId | None = None
    """Status point: 1 = its protection tripped; locked until it is acknowledged."""
    blocked: PointId | None = None
    """Status point: 1 = blocked by voltage or current relays."""
    parallel: str = ""
    """Tap changers of one name feed one busbar together and move together; empty = alone."""


@dataclass(frozen=True, slots=True)
class VoltageZone:
    """One AVC zone."""

    name: str
    pilots: Sequence[PilotNode]
    sources: Sequence[ReactiveSource]
    devices: Sequence[DiscreteDevice]
    plants: tuple[ReactivePlant, ...] = ()

    @property
    def points(self) -> Iterator[PointId]:
        """Every point that AVC reads for it."""
        for pilot in self.pilots:
            yield from pilot.voltage
        for source in self.sources:
            yield from source.voltage
            yield from _given((source.power, source.remote, source.active, source.raise_blocked, source.lower_blocked))
        for device in self.devices:
            yield from _given((device.position, device.remote, device.tripped, device.blocked))

    @property
    def controls(self) -> tuple[int, ...]:
        """Every control that AVC may send in it, by cid."""
        cids = (*(source.setpoint for source in self.sources), *(device.control for device in self.devices))
        return tuple(cid for cid in cids if cid >= 0)
