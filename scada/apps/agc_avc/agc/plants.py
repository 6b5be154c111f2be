"""A plant under AGC: what it can give now, how its target is shared by its members, what it is kept from generating.

For units of PV, wind and storage with or without members, and for any unit whose members take set-points of their own. Each cycle
:meth:`PlantControl.read` says between which limits the fleet may put the plant, and :meth:`PlantControl.split` turns the target
into set-points. If the members have set-points of their own and the unit has none, this server is the plant's controller: the
target counts at the plant's meter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from scada.apps.agc_avc.agc.available_power import (
    UNKNOWN,
    WEATHER_KINDS,
    Available,
    Benchmarks,
    KindSample,
    Sample,
    available_power,
)
from scada.apps.agc_avc.agc.curtailment import CurtailmentAccount
from scada.apps.agc_avc.agc.plant_member import MemberControl
from scada.apps.agc_avc.agc.plant_order import MemberSetPoint, PlantOrder
from scada.apps.agc_avc.agc.storage import StorageLimits, state_of_charge
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.explanation import Term
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcTuning
from scada.core.plant_settings import PlantSettings
from scada.model_cim.regulation import AgcUnit

_EDGE = 1e-6


def is_plant(unit: AgcUnit) -> bool:
    """True for a unit that a :class:`PlantControl` looks after."""
    return bool(unit.members) or unit.fuel in WEATHER_KINDS or unit.state_of_charge is not None


def with_plant_defaults(unit: AgcUnit, settings: PlantSettings) -> AgcUnit:
    """The unit with what its model leaves out: limits from its members, ramps of a part of its capacity a minute."""
    if not is_plant(unit):
        return unit
    low = unit.minimum if math.isfinite(unit.minimum) else sum(min(member.minimum, 0.0) for member in unit.members)
    high = unit.maximum if math.isfinite(unit.maximum) else sum(member.maximum for member in unit.members) or math.nan
    ramp = settings.ramp_percent / 100.0 * max(abs(low), abs(high))
    up = unit.ramp_up if unit.ramp_up > 0 and math.isfinite(unit.ramp_up) else ramp
    down = unit.ramp_down if unit.ramp_down > 0 and math.isfinite(unit.ramp_down) else ramp
    return replace(unit, minimum=low, maximum=high, ramp_up=up, ramp_down=down)


@dataclass(frozen=True, slots=True)
class PlantReading:
    """What the fleet needs of a plant in a cycle, MW and MW/min; NaN = unknown.

    Attributes:
        power: at the plant's meter; if no source of it is good, the sum of its members less losses.
        low, high: what the target may be now, ``low <= high``.
        limited_by: what narrows them below the model's range, for people; empty = nothing.
        ramp_up, ramp_down: how fast the target may move.
        available: available power.
        reason: why the plant must not be used; empty = it may.
        substituted: which of its measurements an operator entered or blocked.
    """

    power: float
    low: float
    high: float
    limited_by: str
    ramp_up: float
    ramp_down: float
    available: Available
    reason: str
    substituted: tuple[str, ...]


class PlantControl:
    """State of one plant.

    Args:
        unit: of the model, see :func:`with_plant_defaults`.
        tuning: parameters.

    Attributes:
        unit: the unit, with defaults for what the model leaves out.
        reading: of the last cycle.
        account: curtailed energy.
        cause: who curtails it now; empty = nobody.
        charge: state of charge of the plant as a whole, %; NaN = none or unknown.
        notices: sentences for the event log; the fleet takes them each cycle.
    """

    def __init__(self, unit: AgcUnit, tuning: AgcTuning) -> None:
        self.unit = with_plant_defaults(unit, tuning.plants)
        self.notices: list[str] = []
        self.cause = ""
        self._settings = tuning.plants
        self._limits = StorageLimits.of(unit, unit.energy_mwh, tuning)
        self.members = [
            MemberControl(member, replace(self._limits, energy_mwh=member.energy_mwh), tuning.plants) for member in unit.members
        ]
        self._kinds = {kind: [m for m in self.members if m.member.kind == kind] for kind in WEATHER_KINDS}
        self._place = {id(control): index for index, control in enumerate(self.members)}
        self._samples: dict[str, list[Sample]] = {}
        self._benchmarks = {kind: _benchmarks(members, tuning.plants) for kind, members in self._kinds.items() if members}
        self.order = PlantOrder(self.unit, self.members, tuning.plants)
        self.account = CurtailmentAccount(ZoneInfo(tuning.time_zone))
        self._by_kind: dict[str, Available] = {}
        self.charge = math.nan
        nothing = (math.nan, self.unit.minimum, self.unit.maximum, "", self.unit.ramp_up, self.unit.ramp_down)
        self.reading = PlantReading(*nothing, UNKNOWN, "not read yet", ())

    @property
    def splits(self) -> bool:
        """True if this server is the plant's controller: its members take the set-points."""
        return self.order.splits

    @property
    def weather(self) -> bool:
        """True if sun or wind give its power, all or a part of it."""
        return bool(self._benchmarks) or (not self.members and self.unit.fuel in WEATHER_KINDS)

    # ------------------------------------------------------------ orders

    def choose_benchmarks(self, mrids: Sequence[str]) -> None:
        """Make these members the benchmarks; those before stay uncurtailed until the new ones can be believed.

        Raises:
            RegulationError: not a PV or wind member of the plant, or one twice.
        """
        known = {control.member.mrid for members in self._kinds.values() for control in members}
        for mrid in mrids:
            if mrid not in known:
                raise RegulationError(
                    f"no PV or wind member {mrid!r} in {self.unit.name}", mend="take an mRID of the plant's members"
                )
        if len(set(mrids)) != len(mrids):
            raise RegulationError("a benchmark member is named twice", where=self.unit.name)
        for benchmarks in self._benchmarks.values():
            benchmarks.choose(mrids)

    def confirmed(self, cid: int) -> None:
        """The set-point on a member's control arrived."""
        for control in self._of_control(cid):
            control.confirmed()

    def refused(self, cid: int, why: str) -> None:
        """The set-point on a member's control did not arrive; sent again, and after several times the member is not used."""
        for control in self._of_control(cid):
            control.refused(why)

    def _of_control(self, cid: int) -> list[MemberControl]:
        return [control for control in self.members if control.member.setpoint == cid]

    def unlock(self) -> None:
        """Give members that did not follow or refused another chance."""
        for control in self.members:
            control.unlock()

    def let_go(self) -> None:
        """Nothing is asked of the plant any more; what its members were told last stays with them."""
        self.order.let_go()

    # ------------------------------------------------------------ the cycle

    def read(self, inputs: Measurements, now_ns: int, dt: float) -> PlantReading:
        """Take the measurements of a cycle.

        Args:
            inputs: measurements.
            now_ns: ns UTC, for the curtailment account.
            dt: seconds since the last cycle.
        """
        for control in self.members:
            control.read(inputs, dt)
            control.check_response(dt)
            self.notices += [f"{self.unit.name}: {notice}" for notice in control.notices]
            control.notices.clear()
        meter = inputs.first_good(self.unit.power)
        power = self.order.members_mw() - self.order.correction.mw if meter is None else meter
        roles = self._update_benchmarks(dt)
        available, self._by_kind = self._available(inputs, power)
        self.order.learn(math.nan if meter is None else meter, power, roles, self._available_of_members(), dt)
        self.charge = state_of_charge(inputs, self.unit.state_of_charge)
        low, high, limited_by = self._range(available, power)
        up, down = self.order.ramps()
        named = self._substituted(inputs)
        self.reading = PlantReading(power, low, high, limited_by, up, down, available, self._reason(power), named)
        self._sample(available, power, now_ns)
        return self.reading

    def split(self, target: float, dt: float, *, cause: str = "agc", free: bool = False) -> tuple[MemberSetPoint, ...]:
        """Set-points to send now for a target at the plant's meter.

        Args:
            target: MW; members get no more than the limits of the last reading allow.
            dt: seconds since the last cycle.
            cause: who asks for it, for the curtailment account: ``agc``, ``group`` or ``operator``.
            free: nobody holds the plant back: it may generate what it can.
        """
        if math.isnan(target) or self.reading.reason:
            return ()
        reading = self.reading
        at_the_end = bool(reading.available.source) and target >= reading.high - _EDGE and not self._other_members()
        headroom = 0.0
        if self.weather and free:
            headroom = math.inf
        elif self.weather and at_the_end:
            # what is known to be there may be too little: what the plant ramps in a minute shows
            headroom = reading.ramp_up / max(abs(self.unit.maximum), _EDGE)
        if self.splits:
            target = min(max(target, reading.low), reading.high)
        orders = self.order.split(target, dt, cause=cause, headroom=headroom)
        self.notices += [f"{self.unit.name}: {notice}" for notice in self.order.notices]
        self.order.notices.clear()
        return orders

    def _update_benchmarks(self, dt: float) -> set[int]:
        """Who is a benchmark now, by index among the members."""
        roles = set()
        for kind, benchmarks in self._benchmarks.items():
            members = self._kinds[kind]
            self._samples[kind] = [control.sample for control in members]
            benchmarks.update(self._samples[kind], dt)
            roles |= {self._place[id(members[index])] for index in benchmarks.roles}
        return roles

    def _available(self, inputs: Measurements, power: float) -> tuple[Available, dict[str, Available]]:
        if not self.weather:
            return UNKNOWN, {}
        unit = self.unit
        if self.members:
            kinds = [self._kind_sample(kind, power) for kind in self._benchmarks]
        else:
            kinds = [KindSample(unit.fuel, unit.maximum, power, self.order.at_its_best(power), math.nan)]
        return available_power(kinds, inputs.read(unit.available), inputs.read(unit.irradiance), self._settings)

    def _kind_sample(self, kind: str, whole: float) -> KindSample:
        members = [control for control in self._kinds[kind] if control.in_service]
        benchmark = self._benchmarks[kind].per_capacity(self._samples[kind])
        at_its_best = self.order.at_its_best(whole) and all(control.at_its_best for control in members)
        capacity, power = sum(control.member.maximum for control in members), sum(control.power for control in members)
        return KindSample(kind, capacity, power, at_its_best, benchmark)

    def _available_of_members(self) -> list[float]:
        """Available power of each member, MW; NaN = unknown or not given by the weather."""
        return [self._by_kind.get(control.member.kind, UNKNOWN).per_capacity * control.member.maximum for control in self.members]

    def _range(self, available: Available, power: float) -> tuple[float, float, str]:
        """(low, high, what narrows them)."""
        unit, limited_by = self.unit, ""
        low, high = unit.minimum, unit.maximum
        if self.splits:
            least, greatest = self.order.reach()
            if greatest < high or least > low:
                limited_by = "available power" if self.weather else "its members"
            low, high = max(low, least), min(high, greatest)
        elif self.weather and not self._other_members():
            known = available.mw
            if math.isnan(known):
                # not raised above what it gives or was told, whichever is more
                known, limited_by = max(_finite(power, low), _finite(self.order.told, low)), "available power unknown"
            if known < high:
                high, limited_by = known, limited_by or "available power"
        if not math.isnan(self.charge):
            least, greatest = self._limits.usable(self.charge)
            if greatest < high or least > low:
                limited_by = "state of charge"
            low, high = max(low, least), min(high, greatest)
        high = max(high, min(unit.minimum, unit.maximum))
        return min(low, high), high, limited_by

    def _other_members(self) -> bool:
        """True if the plant has members that do not depend on the weather: its available power is not all it can give."""
        return any(not control.weather for control in self.members)

    def _reason(self, power: float) -> str:
        if self.unit.state_of_charge is not None and math.isnan(self.charge):
            return "no good measurement of its state of charge"
        if math.isnan(power):
            return "no good measurement of its power"
        if self.splits and all(control.reason for control in self.members):
            return f"no member takes set-points: {_summary([control.reason for control in self.members])}"
        return ""

    def _substituted(self, inputs: Measurements) -> tuple[str, ...]:
        if not inputs.any_held:
            return ()
        unit = self.unit
        named = [("available power", unit.available), ("irradiance", unit.irradiance), ("state of charge", unit.state_of_charge)]
        names = [name for name, pid in named if inputs.is_held(pid)]
        held = [
            control.member.name
            for control in self.members
            if any(inputs.is_held(pid) for pid in (control.member.power, control.member.running, control.member.remote))
        ]
        return (*names, *held)

    def _sample(self, available: Available, power: float, now_ns: int) -> None:
        self.cause = ""
        if not self.weather:
            return
        generated = power
        if self._other_members():
            generated = sum(control.power for control in self.members if control.weather and control.in_service)
        band = self._settings.curtailed_percent / 100.0 * abs(self.unit.maximum)
        if not math.isnan(available.mw):
            if self.order.ceiling(self._available_of_members(), available.mw) < available.mw - band:
                self.cause = self.order.cause
            elif generated < available.mw - band and available.source != "output":
                self.cause = "plant"
        self.account.sample(now_ns, available.mw, generated, self.cause)

    # ------------------------------------------------------------ storage

    def headroom(self, direction: float) -> float:
        """Part of its participation that a storage keeps, 0..1, for its state of charge; 1 for what stores nothing.

        Args:
            direction: > 0 if more generation is asked for.
        """
        return 1.0 if math.isnan(self.charge) else self._limits.headroom(self.charge, direction)

    def pull(self) -> float:
        """Base point that brings the state of charge back while regulation rests, MW; NaN for what stores nothing."""
        if math.isnan(self.charge) or self.unit.energy_mwh <= 0 or self._settings.soc_pull_per_hour <= 0:
            return math.nan
        greatest = self._settings.soc_pull_percent / 100.0 * max(abs(self.unit.minimum), abs(self.unit.maximum))
        return self._limits.pull(self.charge, self._settings.soc_pull_per_hour, greatest)

    # ------------------------------------------------------------ what is told

    @property
    def curtailed_mw(self) -> float:
        """What the plant is kept from generating now, MW; NaN = unknown."""
        available = self.reading.available.mw
        if math.isnan(available) or not self.weather:
            return math.nan
        return max(0.0, available - self.reading.power) if self.cause else 0.0

    def terms(self) -> tuple[Term, ...]:
        """What the plant adds to the explanation of its set-point."""
        reading, found = self.reading, []
        if self.weather:
            found += [
                Term("available_power", reading.available.mw, "MW", reading.available.source),
                Term("curtailed", self.curtailed_mw, "MW", self.cause),
            ]
        if not math.isnan(self.charge):
            found.append(Term("state_of_charge", self.charge, "%"))
        if self.splits:
            found += self.order.terms()
        return tuple(found)

    def state(self) -> dict[str, Any]:
        """What a successor needs to go on."""
        return {
            "members": {control.member.mrid: control.state() for control in self.members},
            "benchmarks": {kind: benchmarks.state() for kind, benchmarks in self._benchmarks.items()},
            "order": self.order.state(),
            "account": self.account.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; members the model no longer has are forgotten."""
        for control in self.members:
            if control.member.mrid in state["members"]:
                control.restore(state["members"][control.member.mrid])
        for kind, benchmarks in self._benchmarks.items():
            if kind in state["benchmarks"]:
                benchmarks.restore(state["benchmarks"][kind])
        self.order.restore(state["order"])
        self.account.restore(state["account"])


def _benchmarks(members: Sequence[MemberControl], settings: PlantSettings) -> Benchmarks:
    roles = [index for index, control in enumerate(members) if control.member.benchmark]
    return Benchmarks([c.member.mrid for c in members], [c.member.maximum for c in members], roles, settings)


def _finite(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise


def _summary(reasons: Sequence[str]) -> str:
    """How many members have each reason, in the order they appear."""
    return ", ".join(f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons))
