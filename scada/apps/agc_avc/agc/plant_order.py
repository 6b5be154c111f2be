"""The order of a plant on its way to its members: ramped, corrected for losses, less what nobody controls, shared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scada.apps.agc_avc.agc.meter_correction import MeterCorrection
from scada.apps.agc_avc.agc.plant_member import MemberControl
from scada.apps.agc_avc.agc.plant_split import Shareholder, Split, keep_in_deadband, split
from scada.apps.agc_avc.explanation import Term
from scada.core.plant_settings import PlantSettings
from scada.model_cim.regulation import AgcUnit

_EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class MemberSetPoint:
    """A set-point to send now.

    Attributes:
        cid: control.
        mrid: member, or the unit itself if only its controller takes set-points.
        mw: value.
        why: one sentence for the audit log and the operator.
    """

    cid: int
    mrid: str
    mw: float
    why: str


class PlantOrder:
    """What a plant was ordered and what its members are told.

    Args:
        unit: the plant, limits and ramps given.
        members: its members.
        settings: parameters.

    Attributes:
        told: order in force at the plant's meter, after its ramp, MW; NaN = none.
        cause: who ordered it; empty = nobody.
        correction: losses between members and meter.
        unmet: what the members could not take of the last demand, MW.
        uncontrolled: what members that take no set-points will give in the next cycle, MW; NaN = unknown.
        roles: indices of the benchmarks.
        notices: sentences for the event log.
    """

    def __init__(self, unit: AgcUnit, members: Sequence[MemberControl], settings: PlantSettings) -> None:
        self.told = math.nan
        self.cause = ""
        self.correction = MeterCorrection(max(abs(unit.minimum), abs(unit.maximum)), settings)
        self.unmet = 0.0
        self.notices: list[str] = []
        self.splits = unit.setpoint < 0 and any(control.member.setpoint >= 0 for control in members)
        self._unit = unit
        self._members = members
        self._settings = settings
        self._released = False
        self._sacrificed = False
        self._power = math.nan
        self.uncontrolled = math.nan
        self.roles: set[int] = set()
        self._available: list[float] = [math.nan] * len(members)

    # ------------------------------------------------------------ measurements

    def members_mw(self) -> float:
        """Sum of the members' outputs; NaN if one is unknown or there are none."""
        return sum(control.power for control in self._members) if self._members else math.nan

    def learn(self, meter: float, power: float, roles: set[int], available: Sequence[float], dt: float) -> None:
        """Take what was measured in this cycle.

        Args:
            meter: power at the plant's own meter, NaN = nothing good.
            power: the same, or what the members say.
            roles: indices of the benchmarks.
            available: available power of each member.
            dt: seconds since the last cycle.
        """
        self._power, self.roles, self._available = power, roles, list(available)
        if not self.splits:
            return
        if not math.isnan(self.told) and not self._released:
            held = [control for index, control in enumerate(self._members) if not control.reason and index not in roles]
            short = bool(held) and all(control.short for control in held)
            self.correction.update(self.told, meter, self.unmet or float(short), dt)
        self.uncontrolled = self._predict(meter, dt)

    def _predict(self, meter: float, dt: float) -> float:
        """What members that take no set-points will give in the next cycle; those without measurement by what the meter says."""
        outside = [control for control in self._members if control.reason]
        unknown = [control for control in outside if math.isnan(control.power)]
        known = sum(control.predicted(dt) for control in outside if not math.isnan(control.power))
        if not unknown:
            return known
        measured = sum(control.power for control in self._members if not math.isnan(control.power))
        rest = meter + self.correction.mw - measured
        low = sum(min(control.member.minimum, 0.0) for control in unknown)
        return known + min(max(rest, low), max(low, sum(control.member.maximum for control in unknown)))

    def at_its_best(self, power: float) -> bool:
        """True if no order to the plant holds it back: none, or it gives less than it was told. Members are judged one by one."""
        if math.isnan(self.told) or self._released or self.splits:
            return True
        return power < self.told - max(self._unit.deadband, 0.02 * abs(self._unit.maximum))

    def ceiling(self, available: Sequence[float], whole: float) -> float:
        """What the orders in force let the weather's members generate, MW.

        Args:
            available: available power of each member.
            whole: of all of them together.
        """
        if not self.splits:
            return whole if math.isnan(self.told) or self._released else self.told
        pairs = [(c, mw) for c, mw in zip(self._members, available, strict=True) if c.weather and c.in_service]
        return sum(mw if c.uncurtailed else min(c.told, mw) for c, mw in pairs)

    # ------------------------------------------------------------ limits

    def ramps(self) -> tuple[float, float]:
        """(up, down) of the plant, MW/min: its own, not more than its members can do together."""
        up, down = self._unit.ramp_up, self._unit.ramp_down
        if not self.splits:
            return up, down
        able = [control.member.ramp for control in self._members if not control.reason]
        together = sum(ramp if ramp > 0 else math.inf for ramp in able)
        return (min(up, together), min(down, together)) if together > 0 else (up, down)

    def reach(self) -> tuple[float, float]:
        """(least, greatest) power at the meter that set-points can bring about."""
        able = [(c, mw) for c, mw in zip(self._members, self._available, strict=True) if not c.reason]
        rest = self.uncontrolled - self.correction.mw
        high = sum(control.highest(mw) for control, mw in able)
        low = sum(0.0 if self._may_stop(control) else min(control.low, control.highest(mw)) for control, mw in able)
        return low + rest, high + rest

    def _may_stop(self, control: MemberControl) -> bool:
        return control.weather and self._settings.stops and control.low > 0

    # ------------------------------------------------------------ orders

    def let_go(self) -> None:
        """Nothing is asked of the plant any more."""
        self.told, self.unmet = math.nan, 0.0
        self._released = self._sacrificed = False
        self.correction.forget()
        for control in self._members:
            control.let_go()

    def split(self, target: float, dt: float, *, cause: str, headroom: float) -> tuple[MemberSetPoint, ...]:
        """Set-points to send now.

        Args:
            target: at the meter, within what :meth:`reach` allows, MW.
            dt: seconds since the last cycle.
            cause: who asks for it.
            headroom: part of its capacity by which what depends on the weather may give more than is known to be there, so that
                it is not held back by that; inf = without bound, 0 = the order is what is wanted.
        """
        self.cause, self._released = cause, headroom > 0
        if math.isnan(self.told):
            self.correction.start(self.members_mw(), self._power)
            self.uncontrolled = self._predict(self._power, dt)
        if not self.splits:
            self.told = target
            why = f"{'released' if self._released else 'order'} of {target:.2f} MW to the plant's controller"
            return (MemberSetPoint(self._unit.setpoint, self._unit.mrid, target, why),)
        self._ramp(target, dt, headroom)
        demand = self.told + self.correction.mw - self.uncontrolled
        able = [index for index, control in enumerate(self._members) if not control.reason]
        return self._share(able, demand, dt, headroom)

    def _ramp(self, target: float, dt: float, headroom: float) -> None:
        """Move the order towards the target at the plant's ramp, which so holds at the meter."""
        start = self._power if math.isnan(self.told) else self.told
        if target < start and not self._released:
            # an order above what the weather gives is no place to ramp down from
            start = min(start, max(self._power, target))
        goal = target
        if self._released:
            most = self._unit.maximum
            goal = most if math.isinf(headroom) else min(target + headroom * most, most)
        up, down = self.ramps()
        self.told = min(max(goal, start - down * dt / 60.0), start + up * dt / 60.0)

    def _share(self, able: Sequence[int], demand: float, dt: float, headroom: float) -> tuple[MemberSetPoint, ...]:
        shares = {index: self._members[index].shareholder(self._available[index], dt, headroom) for index in able}
        free = [index for index in able if index in self.roles]
        # while sun and wind are let go, what does not depend on them stays where it is
        still = [index for index in able if self._released and not self._members[index].weather]
        rest = [index for index in able if index not in self.roles and index not in still]
        demand -= sum(shares[index].at for index in still)
        least = sum(0.0 if self._may_stop(self._members[index]) else shares[index].low for index in rest)
        left = demand - sum(self._uncurtailed(index, dt) for index in free)
        sacrificed = bool(free) and left < least - max(self._unit.deadband, _EDGE)
        if sacrificed and not self._sacrificed:
            self.notices.append("benchmark members are curtailed, the order cannot be met otherwise")
        self._sacrificed = sacrificed
        if sacrificed:
            free, rest, left = [], [index for index in able if index not in still], demand
        orders = [order for index in free if (order := self._set_free(index)) is not None]
        return (*orders, *self._tell(rest, [shares[index] for index in rest], left))

    def _uncurtailed(self, index: int, dt: float) -> float:
        """What a benchmark will give if it is let go, MW; if nobody knows, as much as it can ever give."""
        control, available = self._members[index], self._available[index]
        if control.uncurtailed:
            return control.predicted(dt)
        return control.member.maximum if math.isnan(available) else max(available, control.power)

    def _set_free(self, index: int) -> MemberSetPoint | None:
        """A benchmark is told its maximum once."""
        control = self._members[index]
        member = control.member
        if control.sent == member.maximum:
            return None
        control.tell(member.maximum, stopped=False)
        return MemberSetPoint(member.setpoint, member.mrid, member.maximum, "benchmark: shows what the others could give")

    def _tell(self, indices: Sequence[int], shares: Sequence[Shareholder], demand: float) -> list[MemberSetPoint]:
        members = [self._members[index] for index in indices]
        rule = self._settings.share
        found = split(rule, shares, demand)
        keep = [self._kept(c, share, mw) for c, share, mw in zip(members, shares, found.power, strict=True)]
        if any(math.isnan(mw) and index not in found.stopped for index, mw in enumerate(keep)):
            found = keep_in_deadband(rule, shares, demand, found, keep)
        else:
            # all are within their dead bands: they move together once that makes a difference at the meter
            power = [found.power[index] if math.isnan(mw) else mw for index, mw in enumerate(keep)]
            if abs(demand - sum(power)) < self._unit.deadband:
                found = Split(tuple(power), found.stopped, found.unmet)
        self.unmet = found.unmet
        return [
            order
            for index, (control, mw) in enumerate(zip(members, found.power, strict=True))
            if (order := self._order(control, mw, demand, stopped=index in found.stopped)) is not None
        ]

    def _kept(self, control: MemberControl, share: Shareholder, mw: float) -> float:
        """What a member stays at because its new share is within its dead band; NaN = it moves."""
        now = control.power if math.isnan(control.sent) else control.sent
        if control.stopped or abs(mw - now) >= max(control.deadband, _EDGE) or not share.low - _EDGE <= now <= share.high + _EDGE:
            return math.nan
        return now

    def _order(self, control: MemberControl, mw: float, demand: float, *, stopped: bool) -> MemberSetPoint | None:
        member = control.member
        value = 0.0 if stopped else min(max(mw, member.minimum), member.maximum)
        now = control.power if math.isnan(control.sent) else control.sent
        if abs(value - now) < _EDGE or (math.isnan(control.sent) and abs(value - now) < control.deadband):
            return None
        if self._released and control.uncurtailed and math.isnan(control.sent):
            return None  # never held back, so there is nothing to release
        why = f"share of {demand:.2f} MW among the members, order {self.told:.2f} MW at the plant's meter"
        if stopped and not control.stopped:
            why += "; told 0, the others' minima leave no other way"
        control.tell(value, stopped=stopped)
        return MemberSetPoint(member.setpoint, member.mrid, value, why)

    # ------------------------------------------------------------ what is told

    def terms(self) -> list[Term]:
        """The way from the plant's order to its members."""
        able = sum(1 for control in self._members if not control.reason)
        note = f"{able} of {len(self._members)} members"
        return [
            Term("plant_order", self.told, "MW", self.cause),
            Term("plant_losses", self.correction.mw, "MW"),
            Term("uncontrolled_power", self.uncontrolled, "MW", note),
            Term("plant_unmet", self.unmet, "MW"),
        ]

    def state(self) -> dict[str, Any]:
        """What a successor needs to go on."""
        flags = {"released": self._released, "sacrificed": self._sacrificed}
        return {"told": self.told, "cause": self.cause, "unmet": self.unmet, "correction": self.correction.state()} | flags

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.told, self.unmet, self.cause = float(state["told"]), float(state["unmet"]), str(state["cause"])
        self._released, self._sacrificed = bool(state["released"]), bool(state["sacrificed"])
        self.correction.restore(state["correction"])
