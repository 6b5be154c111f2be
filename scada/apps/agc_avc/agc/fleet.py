"""The units of one control area under AGC: what is asked of them together becomes a target and a set-point for each.

The units are columns (:mod:`~scada.apps.agc_avc.agc.unit_table`); what happens each cycle is in kernels. Python touches single
units only where something is sent, ordered or has changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from scada.apps.agc_avc.agc.advice import advise
from scada.apps.agc_avc.agc.dispatch_words import DispatchWords
from scada.apps.agc_avc.agc.groups import GroupStatus, GroupTree
from scada.apps.agc_avc.agc.modes import BASE_MODES, CLOSED, LOOPS, REG_MODES, TEST, UnitMode
from scada.apps.agc_avc.agc.output import send
from scada.apps.agc_avc.agc.plant_units import PlantUnits
from scada.apps.agc_avc.agc.plants import with_plant_defaults
from scada.apps.agc_avc.agc.requirement import Zone
from scada.apps.agc_avc.agc.reserve import Reserve
from scada.apps.agc_avc.agc.share_kernel import share
from scada.apps.agc_avc.agc.shared_bases import SharedBases
from scada.apps.agc_avc.agc.storage import FrequencySplit
from scada.apps.agc_avc.agc.unit_decisions import UnitDecisions, UnitView, Words
from scada.apps.agc_avc.agc.unit_explanation import Shared, explain_unit
from scada.apps.agc_avc.agc.unit_inputs import InputColumns
from scada.apps.agc_avc.agc.unit_kernels import (
    LOCKED,
    LOWER_PULSE,
    NO_MODE,
    RAISE_PULSE,
    UNDER_CONTROL,
    Rules,
    check_response,
    enrol,
    judge,
    release,
)
from scada.apps.agc_avc.agc.unit_motion import follow_bases, move_tests
from scada.apps.agc_avc.agc.unit_orders import Regulation, SetPoint
from scada.apps.agc_avc.agc.unit_table import (
    UnitInputs,
    allowed_segments,
    copy_of,
    exported,
    new_state,
    restore_columns,
    unit_table,
    zones_between,
)
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.explanation import Explanation, Term
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcTuning
from scada.core.clock import Clock
from scada.model_cim.regulation import AgcUnit, RegulationGroup


class UnitFleet:
    """All units of an area.

    Args:
        units: of the model.
        tuning: parameters.
        clock: stamps of set-points.
        area: name of the area, for errors.
        groups: of the model.

    Attributes:
        unmet_mw: what the regulating units cannot take of the demand within their limits.
        demand_mw: what the regulating units generate together when they stand at their targets, NaN while off.
        notices: what changed, for the event log; the controller takes them each cycle.
    """

    def __init__(
        self, units: Sequence[AgcUnit], tuning: AgcTuning, clock: Clock, area: str, groups: Sequence[RegulationGroup] = ()
    ) -> None:
        self.unmet_mw = 0.0
        self.demand_mw = math.nan
        self.notices: list[str] = []
        self._area = area
        self._tuning = tuning
        self._clock = clock
        self._units = [with_plant_defaults(unit, tuning.plants) for unit in units]
        self._index = {unit.mrid: i for i, unit in enumerate(self._units)}
        self._by_cid = {cid: i for i, unit in enumerate(self._units) for cid in (unit.setpoint, unit.raise_lower) if cid >= 0}
        self._table = unit_table(self._units, tuning)
        self._state = new_state(self._units, self._table)
        self._zones = zones_between(self._table)
        self._groups = GroupTree(groups, self._units)
        self._inputs = InputColumns(self._units)
        self._plants = PlantUnits(self._units, self._table, tuning)
        self._split = FrequencySplit(tuning.plants.split_s)
        self._bases = SharedBases(self._units, self._table, self._zones, tuning)
        self._ordered = DispatchWords()
        self._locks: dict[int, str] = {}
        self._words = Words(self._locks, {}, self._plants.reasons, self._plants.limits, {}, {})
        self._lam = math.nan
        self._asked: Regulation | None = None

    # ------------------------------------------------------------ orders

    def set_mode(self, mrid: str, mode: UnitMode) -> None:
        """Change a unit's mode; also the way back for a unit that was put off control.

        Raises:
            RegulationError: no such unit, or a base point that is not allowed.
        """
        i, s = self._unit(mrid), self._state
        point, segments = mode.base_point_mw, allowed_segments(self._units[i])
        if mode.base == "BASE" and not math.isnan(point) and not any(lo <= point <= hi for lo, hi in segments):
            allowed = ", ".join(f"{lo:g}..{hi:g}" for lo, hi in segments)
            raise RegulationError(
                f"base point {point:g} MW is not allowed", where=self._units[i].name, mend=f"allowed: {allowed} MW"
            )
        s.base_mode[i], s.reg_mode[i] = BASE_MODES.index(mode.base), REG_MODES.index(mode.reg)
        s.base_point[i] = point
        self._unlock(i)

    def set_schedule(self, mrid: str, mw: float, source: str = "") -> float:
        """Take the schedule's value for mode ``SCHE``; returns it as brought into the allowed range.

        Args:
            mrid: of the unit.
            mw: scheduled output.
            source: the order of dispatch that says so; empty = a plan.

        Raises:
            RegulationError: no such unit.
        """
        i = self._unit(mrid)
        self._ordered.base(mrid, mw, source)
        self._state.schedule[i] = value = _nearest_allowed(self._units[i], mw)
        return value

    def set_limits(self, mrid: str, low: float, high: float, source: str = "") -> None:
        """Keep a unit between these from now on, within what its model allows; infinite = as the model says.

        Raises:
            RegulationError: no such unit, or limits that are none.
        """
        self._unit(mrid)
        if not low <= high:
            raise RegulationError(f"{low:g} .. {high:g} MW are no limits", where=mrid)
        self._ordered.limit(mrid, low, high, source)

    def set_loop(self, mrid: str, loop: str, test_value: float = math.nan) -> None:
        """Open or close the loop of a unit, or send it a test value alone; each change starts from what the unit generates.

        Raises:
            RegulationError: no such unit or loop, or no test value.
        """
        i, s = self._unit(mrid), self._state
        if loop not in LOOPS:
            raise RegulationError(f"no loop {loop!r}", mend=f"use one of {', '.join(LOOPS)}")
        if loop == "test" and not math.isfinite(test_value):
            raise RegulationError("a test needs a value", where=self._units[i].name, mend="give the test value in MW")
        code = LOOPS.index(loop)
        if TEST in {code, int(s.loop[i])} and code != s.loop[i]:
            self._leave(i)
        s.loop[i] = code
        s.test_value[i] = test_value if code == TEST else math.nan

    def choose_benchmarks(self, mrid: str, members: Sequence[str]) -> None:
        """Leave these members of a PV or wind plant uncurtailed from now on.

        Raises:
            RegulationError: no such plant or member.
        """
        plant = self._plants.controls.get(self._unit(mrid))
        if plant is None:
            raise RegulationError(f"{mrid!r} is no plant with members", mend="name a PV or wind plant")
        plant.choose_benchmarks(members)

    def unlock(self, mrid: str) -> None:
        """Give a unit another chance that did not follow or refused.

        Raises:
            RegulationError: no such unit.
        """
        self._unlock(self._unit(mrid))

    def confirmed(self, cid: int) -> None:
        """The command on this control arrived at the unit."""
        if (plant := self._plants.member_of(cid)) is not None:
            plant.confirmed(cid)
        elif cid in self._by_cid:
            self._state.refusals[self._by_cid[cid]] = 0

    def refused(self, cid: int, why: str) -> None:
        """The command on this control did not arrive; it is sent again, and after several times the unit goes off control."""
        if (plant := self._plants.member_of(cid)) is not None:
            plant.refused(cid, why)
        elif cid in self._by_cid:
            i, s = self._by_cid[cid], self._state
            s.sent[i], s.told[i] = math.nan, s.told_before[i]
            s.pending[i] = 0.0
            s.refusals[i] += 1
            if s.refusals[i] >= self._tuning.refusals:
                s.locked[i] = True
                self._locks[i] = f"set-point refused {s.refusals[i]} times: {why}"

    def _unlock(self, i: int) -> None:
        s = self._state
        s.locked[i] = False
        s.misses[i] = s.refusals[i] = 0
        self._locks.pop(i, None)
        if i in self._plants.controls:
            self._plants.controls[i].unlock()

    def _leave(self, i: int) -> None:
        """Forget targets of a unit at once; the demand keeps what it generates out of the regulation."""
        s = self._state
        if s.member[i]:
            s.member[i] = False
            self.demand_mw -= float(s.target[i] if math.isnan(s.power[i]) else s.power[i])
        s.target[i] = s.sent[i] = s.told[i] = s.told_before[i] = s.setpoint[i] = math.nan
        s.free[i], s.crossing[i], s.misses[i], s.pending[i] = False, 0, 0, 0.0

    def _unit(self, mrid: str) -> int:
        if mrid not in self._index:
            raise RegulationError(f"no unit {mrid!r} in area {self._area}", mend="take the mRID from the AGC status")
        return self._index[mrid]

    # ------------------------------------------------------------ the cycle

    def prime(self, inputs: Measurements, dt: float = 0.0) -> None:
        """Make targets and demand equal to what the units generate now, and forget the past."""
        self.demand_mw = 0.0
        self._split.reset()
        self.read(inputs, dt)
        release(self._state, False)

    def read(self, inputs: Measurements, dt: float = 0.0) -> None:
        """Take the measurements of all units and judge whether each can be used."""
        s = self._state
        before, alarmed = s.reason.copy(), s.zone_alarm.copy()
        found, tags, held = self._inputs.read(inputs)
        self._plants.read(inputs, found, s, self._clock.now_ns(), dt)
        judge(self._table, s, found, dt)
        direction = 0.0 if self._asked is None else self._asked.requirement_mw
        self._plants.narrow(s, held, direction)
        self._ordered.narrow(s, self._index)
        self._words = Words(self._locks, tags, self._plants.reasons, self._plants.limits, held, {})
        self._notice_changes(before, alarmed)

    def _notice_changes(self, before: Any, alarmed: Any) -> None:
        s, view = self._state, self._view()
        lost = (before == UNDER_CONTROL) & (s.reason != UNDER_CONTROL) & (s.reason != NO_MODE)
        back = (before != UNDER_CONTROL) & (s.reason == UNDER_CONTROL) & ~np.isnan(s.previous)
        for i in np.flatnonzero(lost).tolist():
            self.notices.append(f"unit {self._units[i].name} off control: {view.reason(i)}")
        for i in np.flatnonzero(back).tolist():
            self.notices.append(f"unit {self._units[i].name} under control")
        for i in np.flatnonzero(s.zone_alarm & ~alarmed).tolist():
            where = f"for {s.zone_s[i]:.0f} s at {s.power[i]:.1f} MW"
            self.notices.append(f"alarm: unit {self._units[i].name} has been inside a forbidden zone {where}")
        self.notices += self._plants.take_notices()

    def release(self) -> None:
        """Let every unit go that is not under test: nothing is asked of it any more."""
        release(self._state, False)
        self._plants.let_go(self._state)
        self._state.advised[:] = math.nan
        self.demand_mw = self._lam = math.nan
        self.unmet_mw = 0.0
        self._split.reset()
        self._asked = None

    def regulate(self, asked: Regulation) -> list[SetPoint]:
        """Move the targets; returns what to send now. In monitor only advice comes of it."""
        self._asked = asked
        s, t = self._state, self._table
        rules = self._rules(asked.dt, asked.now, asked.zone, only_tests=not asked.sends)
        if not asked.sends:
            release(s, False)
            self._plants.let_go(s)
            self.demand_mw = self._lam = math.nan
            self.unmet_mw = 0.0
            self._split.reset()
            advise(t, s, self._zones, self._groups.limits(t, s), asked.requirement_mw, asked.zone, everyone=True)
            return self._outputs(rules)
        primary = abs(asked.deviation_hz / (self._tuning.droop * asked.nominal_hz))
        if check_response(t, s, rules, primary):
            self._say_locked()
        if math.isnan(self.demand_mw):
            self.demand_mw = 0.0
        before = self.demand_mw
        self.demand_mw = enrol(t, s, before, int(asked.zone))
        self._split.shift(self.demand_mw - before)
        self._bases.update(s, emergency=rules.emergency)
        follow_bases(t, s, rules, *self._groups.held(t, s))
        limits = self._groups.limits(t, s)
        minutes, dead = self._tuning.windup_s / 60.0, asked.zone is Zone.DEAD
        fast = self._fast(asked)
        found = share(t, s, rules, self._zones, limits, self.demand_mw, asked.change_mw, minutes, dead, fast)
        self.demand_mw, self._lam, unmet, members, least, greatest = found
        requirement = asked.requirement_mw
        exhausted = self.demand_mw >= greatest if requirement > 0 else self.demand_mw <= least
        self.unmet_mw = requirement if exhausted or not members else unmet
        advise(t, s, self._zones, limits, requirement, asked.zone, everyone=False)
        return self._outputs(rules)

    def _fast(self, asked: Regulation) -> float:
        """Part of the demand that is for storage; NaN where it takes part like any unit: no split, dead zone, emergency."""
        _, fast = self._split.update(self.demand_mw + asked.change_mw, asked.dt)
        apart = self._tuning.plants.split_s > 0 and asked.zone in {Zone.NORMAL, Zone.ASSIST}
        return fast if apart else math.nan

    def test(self, dt: float, now: float) -> list[SetPoint]:
        """Send what units under test are to be told, whatever the state of the area."""
        return self._outputs(self._rules(dt, now, Zone.DEAD, only_tests=True))

    def _rules(self, dt: float, now: float, zone: Zone, *, only_tests: bool) -> Rules:
        tuning = self._tuning
        response = (tuning.response_cycles, tuning.response_band, tuning.response_delay_s, tuning.pulse_settle_s)
        return Rules(dt, now, self._clock.now_ns(), tuning.max_step_mw, zone is Zone.EMERGENCY, *response, only_tests)

    def _say_locked(self) -> None:
        s = self._state
        for i in np.flatnonzero(s.locked & (s.reason == LOCKED)).tolist():
            if i not in self._locks:
                self._locks[i] = f"does not follow: {s.power[i]:.1f} MW at a set-point of {s.sent[i]:.1f} MW"
                self.notices.append(f"unit {self._units[i].name} off control: {self._locks[i]}")

    def _outputs(self, rules: Rules) -> list[SetPoint]:
        s, t = self._state, self._table
        move_tests(t, s, rules)
        orders: list[SetPoint] = []
        if send(t, s, rules):
            view, words = self._view(), self._reason_words()
            orders += [self._order(i, view, words, rules.dt) for i in np.flatnonzero(s.due).tolist()]
        for i, order in self._plants.split(s, rules.dt, only_tests=rules.only_tests, by_group=self._held_by_group):
            s.sent_at[i], s.sent_ns[i] = rules.now, rules.now_ns
            orders.append(SetPoint(order.cid, order.mrid, order.mw, order.why))
        self.notices += self._plants.take_notices()
        return orders

    def _held_by_group(self, i: int) -> bool:
        return bool(self._view().group_bound(i))

    def _order(self, i: int, view: UnitView, words: str, dt: float) -> SetPoint:
        s, unit, mw = self._state, self._units[i], float(self._state.setpoint[i])
        why = self._why(i, view, words)
        self._plants.told(i, mw, dt, free=bool(s.free[i]))
        if math.isnan(self._table.pulse_mw[i]):
            return SetPoint(unit.setpoint, unit.mrid, mw, why)
        # in ``pending`` stands what the pulse shall move
        pulse = RAISE_PULSE if s.pending[i] > 0 else LOWER_PULSE
        return SetPoint(unit.raise_lower, unit.mrid, mw, f"pulse towards {mw:.1f} MW: {why}", pulse)

    def _reason_words(self) -> str:
        asked = self._asked
        if asked is None:
            return ""
        return (
            f"share of a demand of {self.demand_mw:.1f} MW, requirement {asked.requirement_mw:+.1f} MW, {asked.zone.label} zone"
        )

    def _why(self, i: int, view: UnitView, words: str) -> str:
        s = self._state
        if s.loop[i] == TEST:
            text = f"test value {s.test_value[i]:.1f} MW of the operator"
        elif s.free[i]:
            return "released: generates what it can"
        elif s.member[i]:
            text = words
        else:
            text = f"base point {s.base[i]:.1f} MW of mode {BASE_MODES[s.base_mode[i]]} {REG_MODES[s.reg_mode[i]]}"
        bound = view.bound(i)
        return f"{text}; bounded by {bound}" if bound else text

    # ------------------------------------------------------------ what is told

    def _view(self) -> UnitView:
        return UnitView(self._units, self._table, self._groups, self._state, self._words)

    @property
    def reserve(self) -> Reserve:
        """What regulating units could still give."""
        s = self._state
        able = (s.reason == UNDER_CONTROL) & (s.loop == CLOSED) & (s.reg_mode != REG_MODES.index("O"))
        spinning = self._reserve_of(able, self._tuning.reserve_minutes)
        regulating = self._reserve_of(able & (s.reg_mode == REG_MODES.index("R")), self._tuning.regulating_minutes)
        return Reserve(*spinning, *regulating)

    def _reserve_of(self, able: Any, minutes: float) -> tuple[float, float]:
        s = self._state
        power = s.power[able]
        up = np.maximum(np.minimum(s.high[able] - power, s.ramp_up[able] * minutes), 0.0)
        down = np.maximum(np.minimum(power - s.low[able], s.ramp_down[able] * minutes), 0.0)
        return float(up.sum()), float(down.sum())

    def decisions(self, regime: str) -> UnitDecisions:
        """Every unit after this cycle; ``regime`` is the area's. Built when looked at, from a copy of the columns."""
        now = self._words
        figures = self._plants.statuses(self._clock.now_ns())
        words = Words(dict(self._locks), now.tags, dict(now.plants), dict(now.limits), now.held, figures)
        return UnitDecisions(UnitView(self._units, self._table, self._groups, copy_of(self._state), words), regime)

    @property
    def groups(self) -> tuple[GroupStatus, ...]:
        """Every group after this cycle."""
        return self._groups.statuses(self._table, self._state)

    @property
    def targets(self) -> dict[str, float]:
        """What each unit under control should generate now, MW, by mRID."""
        target = self._state.target
        return {unit.mrid: float(target[i]) for i, unit in enumerate(self._units) if not math.isnan(target[i])}

    def explain(self, mrid: str, area: Iterable[Term] = ()) -> Explanation:
        """Why a unit was told what it was told; ``area`` is the way to the requirement of the area.

        Raises:
            RegulationError: no such unit.
        """
        i = self._unit(mrid)
        zone = None if self._asked is None else self._asked.zone
        shared = Shared(self.demand_mw, self._lam, zone, self._bases.price)
        plant = self._plants.controls[i].terms() if i in self._plants.controls else ()
        return explain_unit(self._view(), self._groups, i, shared, (*area, *self._ordered.terms(mrid)), plant)

    # ------------------------------------------------------------ record and take-over

    def state(self) -> dict[str, Any]:
        """What a successor needs to go on."""
        mrids = [unit.mrid for unit in self._units]
        asked = self._asked
        return {
            "units": exported(self._state, mrids),
            "locks": {mrids[i]: text for i, text in self._locks.items()},
            "demand_mw": self.demand_mw,
            "unmet_mw": self.unmet_mw,
            "lam": self._lam,
            "bases": self._bases.state(),
            "plants": self._plants.state(),
            "split": self._split.state(),
            "ordered": self._ordered.state(),
            "asked": None if asked is None else asdict(asked),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; units the model no longer has are forgotten."""
        restore_columns(self._state, [unit.mrid for unit in self._units], state["units"])
        self._locks.clear()
        self._locks.update({self._index[mrid]: text for mrid, text in state["locks"].items() if mrid in self._index})
        self.demand_mw, self.unmet_mw = float(state["demand_mw"]), float(state["unmet_mw"])
        self._lam = float(state["lam"])
        self._bases.restore(state["bases"])
        self._plants.restore(state["plants"])
        self._split.restore(state["split"])
        self._ordered.restore(state.get("ordered", {}))
        asked = state["asked"]
        self._asked = None if asked is None else Regulation(**{**asked, "zone": Zone(int(asked["zone"]))})

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take over the accounts of the plants from an earlier life; their orders begin anew."""
        self._plants.restore(state["plants"])
        self._plants.let_go(self._state)


def _nearest_allowed(unit: AgcUnit, mw: float) -> float:
    allowed = [min(max(mw, lo), hi) for lo, hi in allowed_segments(unit)] or [mw]
    return min(allowed, key=lambda candidate: abs(candidate - mw))


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    tuning = AgcTuning()
    unit = AgcUnit("", "", "thermal", (), 0, None, 0.0, 1.0, 1.0, 1.0, 1.0, group="g")
    units, group = [unit], RegulationGroup("", "g", maximum=1.0)
    table = unit_table(units, tuning)
    s, zones = new_state(units, table), zones_between(table)
    rules = Rules(1.0, 0.0, 0, 1.0, False, 1, 0.1, 0.0, 1.0, False)
    nothing = np.full(1, np.nan)
    tagged = np.zeros(1, np.bool_)
    judge(table, s, UnitInputs(nothing, nothing, nothing, nothing, nothing, nothing, nothing, tagged), 1.0)
    check_response(table, s, rules, 0.0)
    enrol(table, s, 0.0, 0)
    tree = GroupTree([group], units)
    follow_bases(table, s, rules, *tree.held(table, s))
    share(table, s, rules, zones, tree.limits(table, s), 0.0, 0.0, 1.0, True, 0.0)
    move_tests(table, s, rules)
    send(table, s, rules)
    release(s, False)
