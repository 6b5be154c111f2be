"""Units under AGC: modes, shares, groups, loops, outputs, response, explanation, and a state that a successor goes on from."""

import math
from dataclasses import replace

import msgpack
import numpy as np
import pytest

from scada.apps.agc_avc.agc.controller import AgcController
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcSettings, AgcTuning
from scada.core.clock import VirtualClock
from scada.core.quality import Quality
from scada.model_cim.regulation import AgcUnit, ControlArea, ForbiddenZone, RegulationGroup, TieLine
from scada.rtdb.changes import Snapshot

BAD = int(Quality.INVALID)


def unit(index, low=0.0, high=200.0, ramp=60.0, **more):
    columns = {
        "name": f"U{index}",
        "mrid": f"U{index}",
        "fuel": "hydro",
        "power": [10 + index],
        "setpoint": index,
        "remote": None,
    }
    columns |= {"minimum": low, "maximum": high, "ramp_up": ramp, "ramp_down": ramp, "participation": 1.0, "deadband": 0.1}
    return AgcUnit(**(columns | more))


class Plant:
    """An area whose units follow at once unless they are told otherwise; the tie shows what is asked for."""

    def __init__(self, *units, power=None, groups=(), tuning=None, start="on", **settings):
        self.clock = VirtualClock()
        area = ControlArea("A", "a", [0], 50.0, -80.0, 0.0, [TieLine("tie", [1], 1.0)], units, True, 5.0, tuple(groups))
        self.make = lambda: AgcController(area, AgcSettings(start=start, tuning=tuning or AgcTuning(), **settings), self.clock)
        self.agc = self.make()
        self.units = units
        self.power = dict(zip((one.mrid for one in units), power or [100.0] * len(units), strict=True))
        self.values = {0: 50.0, 1: 0.0}
        self.bad: set[int] = set()
        self.stuck: set[str] = set()
        self.sent: list = []

    def cycle(self, tie=0.0, count=1):
        for _ in range(count):
            self.clock.advance(4.0)
            values = self.values | {1: tie} | {10 + i: mw for i, mw in enumerate(self.power.values())}
            pids = np.array(sorted(values), np.uint32)
            words = np.array([BAD if pid in self.bad else 0 for pid in pids.tolist()], np.uint32)
            zero = np.zeros(len(pids), np.int64)
            column = np.array([values[pid] for pid in pids.tolist()], float)
            self.decision = self.agc.cycle(Measurements(Snapshot(1, pids, column, words, zero, zero)))
            for point in self.decision.setpoints:
                self.sent.append(point)
                if point.mrid not in self.stuck:
                    self.power[point.mrid] = point.mw
        return self.decision

    def __getitem__(self, index):
        return self.decision.units[index]

    def moved(self):
        return [one.target_mw - 100.0 for one in self.decision.units]


# ---------------------------------------------------------------- participation


@pytest.mark.parametrize(
    ("share", "expected"),
    [("factor", (1, 3)), ("ramp", (2, 1)), ("capacity", (2, 1)), ("margin", (3, 1)), ("economic", (1, 4))],
)
def test_shares_split_the_requirement_in_their_proportion(share, expected):
    first = unit(0, 0.0, 400.0, 1200.0, participation=1.0, cost_c=0.04, share=share)
    second = unit(1, 0.0, 200.0, 600.0, participation=3.0, cost_c=0.01, share=share)
    plant = Plant(first, second)
    plant.cycle()
    plant.cycle(tie=-40.0)
    one, two = plant.moved()
    assert one > 0
    assert one / two == pytest.approx(expected[0] / expected[1], rel=1e-6)


def test_margin_counts_what_is_left_in_the_asked_direction():
    plant = Plant(*(unit(i, 0.0, 400.0 - 200 * i, 1200.0, share="margin") for i in (0, 1)))
    plant.cycle()
    plant.cycle(tie=40.0)
    assert plant.moved()[0] == pytest.approx(plant.moved()[1]), "both stand 100 MW above their minimum"


def test_a_rule_weighs_what_its_members_factors_sum_to():
    plant = Plant(unit(0, ramp=1200.0, share="ramp", participation=2.0), unit(1, ramp=600.0, share="ramp"), unit(2, ramp=1200.0))
    plant.cycle()
    plant.cycle(tie=-40.0)
    assert np.array(plant.moved()) / sum(plant.moved()) == pytest.approx([0.5, 0.25, 0.25])


def test_units_without_a_share_take_that_of_the_settings():
    plant = Plant(unit(0, share="", ramp=1200.0), unit(1, share="", ramp=600.0), tuning=AgcTuning(share="ramp"))
    plant.cycle()
    plant.cycle(tie=-40.0)
    assert plant[0].share == "ramp"
    assert plant.moved()[0] == pytest.approx(2 * plant.moved()[1])


# ---------------------------------------------------------------- base modes


def test_economic_base_shares_the_sum_at_equal_incremental_cost():
    """Wood and Wollenberg example 3A: 850 MW at 9.148 $/MWh."""
    rows = [(150, 600, 7.92, 0.001562), (100, 400, 7.85, 0.00194), (50, 200, 7.97, 0.00482)]
    units = [unit(i, lo, hi, 3000.0, cost_b=b, cost_c=c, base_mode="CECO", reg_mode="O") for i, (lo, hi, b, c) in enumerate(rows)]
    plant = Plant(*units, power=[400.0, 300.0, 150.0])
    plant.cycle(count=3)
    assert [one.target_mw for one in plant.decision.units] == pytest.approx([393.2, 334.6, 122.2], abs=0.06)
    price = next(term.value for term in plant.agc.explain("U0").steps if term.key == "price")
    assert price == pytest.approx(9.148, abs=1e-3)


def test_economy_rests_in_the_emergency_zone():
    units = [unit(i, ramp=600.0, cost_b=5.0 + i, cost_c=0.01, base_mode="CECO", share="economic") for i in (0, 1)]
    plant = Plant(*units)
    plant.cycle(count=2)
    assert [one.base_mw for one in plant.decision.units] == pytest.approx([125.0, 75.0], abs=0.1)
    for _ in range(3):
        before = [one.target_mw for one in plant.decision.units]
        plant.cycle(tie=-300.0)
    assert plant.decision.zone == "emergency"
    assert [one.base_mw for one in plant.decision.units] == pytest.approx(before)
    assert before[0] > 140.0
    alphas = [next(term.value for term in plant.agc.explain(name).steps if term.key == "alpha") for name in ("U0", "U1")]
    assert alphas == [1.0, 1.0], "participation factors, not costs"


def test_a_cost_curve_is_followed_piece_by_piece():
    curve = ((0.0, 10.0), (100.0, 10.0), (100.0, 20.0), (200.0, 40.0))
    plant = Plant(
        unit(0, ramp=3000.0, base_mode="CECO", reg_mode="O", cost_curve=curve),
        unit(1, ramp=3000.0, base_mode="CECO", reg_mode="O", cost_b=15.0, cost_c=0.05),
    )
    plant.cycle(count=3)
    # 100 MW at 10, then the other until its incremental cost of 15 + 0.1 P meets the curve: P = 75 at 22.5 both
    assert [one.target_mw for one in plant.decision.units] == pytest.approx([116.67, 83.33], abs=0.05)


def test_proportional_base_loads_all_alike():
    units = [unit(i, 0.0, high, 3000.0, base_mode="PROP", reg_mode="O") for i, high in enumerate((100.0, 300.0))]
    plant = Plant(*units, power=[80.0, 120.0])
    plant.cycle(count=3)
    assert [one.target_mw for one in plant.decision.units] == pytest.approx([50.0, 150.0])


def test_a_mode_of_the_profile_that_is_not_offered_keeps_the_unit_off_control_and_cannot_be_ordered():
    plant = Plant(unit(0, base_mode="LDFC", reg_mode="R"), unit(1))
    plant.cycle(tie=-50.0, count=4)
    assert not plant[0].available
    assert {point.mrid for point in plant.sent} == {"U1"}
    with pytest.raises(RegulationError):
        plant.agc.set_unit_mode("U0", "LDFC", "R")


def test_a_telemetered_base_is_followed_and_its_loss_takes_the_unit_off():
    plant = Plant(unit(0, base_mode="YCBASE", reg_mode="O", telemetered_base=40))
    plant.values[40] = 108.0
    plant.cycle(count=5)
    assert plant[0].target_mw == pytest.approx(108.0)
    plant.bad.add(40)
    plant.values[40] = 150.0
    assert plant.cycle().setpoints == ()
    assert (plant[0].available, plant[0].reason) == (False, "no good measurement of its base point")


def test_names_of_modes_come_with_the_status():
    plant = Plant(unit(0, base_mode="CECO"), unit(1, reg_mode="O"))
    plant.cycle()
    assert [one.mode_en for one in plant.decision.units] == ["ECON+REG", "MANUAL"]
    assert plant[0].mode_zh == "CECOR 经济·调节"
    assert plant.decision.base_modes == ("AUTO", "SCHE", "CECO", "BASE", "YCBASE", "PROP")


# ---------------------------------------------------------------- groups


def test_a_group_is_held_to_its_maximum_and_the_others_take_the_rest():
    groups = [RegulationGroup("west", "w", maximum=205.0), RegulationGroup("east", "e")]
    plant = Plant(unit(0, group="w"), unit(1, group="w"), unit(2, group="e"), groups=groups)
    plant.cycle()
    plant.cycle(tie=-30.0, count=6)
    west = plant[0].target_mw + plant[1].target_mw
    assert west == pytest.approx(205.0, abs=1e-6)
    assert plant[2].target_mw > 110.0
    assert plant[0].reason == "limit of group west"
    bound = next(limit for limit in plant.agc.explain("U0").limits if limit.key == "group")
    assert (bound.high, bound.binding) == (205.0, True)


def test_nested_groups_and_units_that_are_given():
    groups = [RegulationGroup("all", "a", maximum=312.0), RegulationGroup("part", "p", parent="a", maximum=206.0)]
    plant = Plant(*(unit(i, group="p" if i < 2 else "a") for i in range(4)), groups=groups, power=[100.0] * 3 + [0.0])
    plant.agc.set_unit_mode("U3", "AUTO", "O")
    plant.cycle()
    plant.cycle(tie=-60.0, count=12)
    assert plant[0].target_mw + plant[1].target_mw <= 206.0 + 1e-6
    assert sum(one.target_mw for one in plant.decision.units[:3]) == pytest.approx(312.0, abs=1e-6)
    assert {status.name: status.unmet_mw for status in plant.decision.groups} == {"all": 0.0, "part": 0.0}


def test_an_unknown_output_counts_against_the_limit_with_its_maximum():
    plant = Plant(unit(0, group="w"), unit(1, group="w"), unit(2), groups=[RegulationGroup("west", "w", maximum=320.0)])
    plant.cycle()
    plant.bad.add(11)
    plant.cycle(tie=-60.0, count=12)
    assert plant[0].target_mw == pytest.approx(120.0), "U1 may be giving its 200 MW"
    (west,) = plant.decision.groups
    assert math.isnan(west.power_mw)
    assert west.reason == "output unknown: U1"


def test_a_base_point_does_not_lead_beyond_the_limit_of_a_group():
    plant = Plant(unit(0, group="w"), unit(1), groups=[RegulationGroup("west", "w", maximum=110.0)])
    plant.agc.set_unit_mode("U0", "BASE", "O", 150.0)
    plant.cycle(count=10)
    assert plant[0].target_mw == pytest.approx(110.0, abs=4.0)


@pytest.mark.parametrize(
    "group", [RegulationGroup("g", "g", minimum=50.0, maximum=10.0), RegulationGroup("g", "g", parent="g", maximum=math.nan)]
)
def test_groups_that_make_no_sense_limit_nothing_and_say_so(group):
    plant = Plant(unit(0, group="g"), groups=[group])
    plant.cycle(tie=-30.0, count=3)
    assert plant[0].target_mw > 105.0
    assert plant.decision.groups[0].reason


# ---------------------------------------------------------------- loops


def test_an_open_loop_is_given_and_advised():
    plant = Plant(unit(0), unit(1))
    plant.cycle()
    plant.agc.set_loop("U0", "open")
    plant.cycle(tie=-20.0, count=3)
    assert {point.mrid for point in plant.sent} == {"U1"}
    assert plant[0].advised_mw > 100.0
    assert (plant[0].available, plant[0].reason) == (False, "open loop: advice only")
    assert math.isnan(plant[0].target_mw)
    explained = plant.agc.explain("U0")
    assert (explained.sent, explained.output) == (False, plant[0].advised_mw)
    other = plant[1].target_mw
    plant.agc.set_loop("U0", "closed")
    plant.cycle()
    assert abs(plant[0].target_mw - 100.0) <= 4.0 + 1e-9, "no bump: it begins where the unit stands"
    assert abs(plant[1].target_mw - other) <= 4.0 + 1e-9


def test_opening_a_loop_asks_nothing_of_the_others():
    plant = Plant(unit(0), unit(1))
    plant.cycle(tie=-20.0, count=4)
    plant.cycle(count=30)
    other = plant[1].target_mw
    plant.agc.set_loop("U0", "open")
    plant.cycle()
    assert plant[1].target_mw == pytest.approx(other, abs=0.2)


@pytest.mark.parametrize("state", ["on", "monitor", "off"])
def test_a_test_value_is_sent_whatever_the_state_held_to_limits_ramp_and_zones(state):
    plant = Plant(unit(0, forbidden=(ForbiddenZone(110.0, 130.0),)), unit(1), start=state)
    plant.cycle()
    plant.agc.set_loop("U0", "test", 500.0)
    plant.cycle(tie=-50.0 if state == "on" else 0.0)
    assert [point.mw for point in plant.sent if point.mrid == "U0"] == [pytest.approx(104.0)]
    plant.cycle(count=40)
    told = [point.mw for point in plant.sent if point.mrid == "U0"]
    assert told[-1] == 200.0
    assert not [mw for mw in told if 110.0 < mw < 130.0]
    assert plant[0].reason == "test: 500 MW"
    if state != "on":
        assert {point.mrid for point in plant.sent} == {"U0"}
    plant.agc.set_loop("U0", "closed")
    plant.cycle()
    assert plant[0].target_mw == (pytest.approx(200.0, abs=4.0) if state == "on" else pytest.approx(math.nan, nan_ok=True))


def test_loops_that_make_no_sense_are_refused():
    plant = Plant(unit(0))
    for order in (("nobody", "open"), ("U0", "ajar"), ("U0", "test"), ("U0", "test", math.inf)):
        with pytest.raises(RegulationError):
            plant.agc.set_loop(*order)
    with pytest.raises(RegulationError):
        plant.agc.unlock("nobody")
    with pytest.raises(RegulationError):
        plant.agc.explain("nobody")


def test_monitor_advises_every_unit_sends_nothing_and_does_not_run_away():
    plant = Plant(unit(0), unit(1), start="monitor")
    plant.cycle(count=2)
    advice = [plant.cycle(tie=-30.0).units[0].advised_mw for _ in range(30)]
    assert plant.sent == []
    assert 105.0 < advice[-1] < 140.0
    assert advice[-1] == pytest.approx(advice[-5], abs=1.0)
    plant.agc.set_state("on")
    assert plant.cycle().setpoints == ()
    assert [one.target_mw for one in plant.decision.units] == pytest.approx([100.0, 100.0])


# ---------------------------------------------------------------- outputs


def pulse_run(delay, cycles=60):
    plant = Plant(unit(0, setpoint=-1, raise_lower=7, pulse_mw=1.0))
    plant.stuck.add("U0")
    plant.agc.set_unit_mode("U0", "BASE", "O", 110.0)
    pending: list[float] = []
    for _ in range(cycles):
        pending.append(sum(1.0 if point.pulse == 2 else -1.0 for point in plant.cycle().setpoints))
        if len(pending) > delay:
            plant.power["U0"] += pending[-1 - delay]
    return plant, pending


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_late_pulses_do_not_overshoot(delay):
    plant, sent = pulse_run(delay)
    assert plant.power["U0"] == pytest.approx(110.0, abs=0.6)
    assert -1.0 not in sent
    assert sum(sent) == pytest.approx(10.0)
    assert {(point.cid, point.value) for point in plant.sent} == {(7, 2.0)}
    assert plant[0].output == "pulses"


def test_the_step_the_interval_and_waiting():
    plant = Plant(
        unit(0, ramp=1200.0, maximum_step=3.0),
        unit(1, ramp=1200.0, minimum_interval_s=12.0),
        unit(2, ramp=60.0, waits=True),
        power=[100.0] * 3,
        tuning=AgcTuning(response_cycles=1000),
    )
    plant.stuck.add("U2")
    plant.cycle()
    plant.cycle(tie=-60.0, count=8)
    steps = [point.mw for point in plant.sent if point.mrid == "U0"]
    assert np.diff([100.0, *steps])[:3] == pytest.approx([3.0] * 3)
    assert max(np.diff([100.0, *steps])) <= 3.0 + 1e-9
    assert len([point for point in plant.sent if point.mrid == "U1"]) <= 3
    assert len([point for point in plant.sent if point.mrid == "U2"]) == 2, "waits at 104.x until it is reached"


def test_blocked_directions_and_their_loss():
    plant = Plant(unit(0, raise_blocked=40, lower_blocked=41), unit(1))
    plant.values |= {40: 1.0, 41: 0.0}
    plant.cycle()
    plant.cycle(tie=-40.0, count=5)
    assert {point.mrid for point in plant.sent} == {"U1"}
    assert plant[0].reason == "raising is blocked"
    plant.cycle(tie=60.0, count=12)
    assert plant[0].target_mw < 100.0, "it may still be lowered"
    plant.bad.add(41)
    count = len([point for point in plant.sent if point.mrid == "U0"])
    plant.cycle(tie=60.0, count=3)
    assert len([point for point in plant.sent if point.mrid == "U0"]) == count
    assert "block" in plant[0].reason


def test_a_zone_wider_than_the_step_is_not_crossed():
    plant = Plant(unit(0, maximum_step=5.0, forbidden=(ForbiddenZone(110.0, 130.0),)))
    plant.cycle()
    plant.cycle(tie=-80.0, count=20)
    assert plant[0].target_mw == pytest.approx(110.0)
    assert max(point.mw for point in plant.sent) <= 110.0


def test_time_inside_a_zone_is_counted_and_alarmed_once():
    plant = Plant(unit(0, forbidden=(ForbiddenZone(110.0, 130.0, permitted_s=10.0),)), tuning=AgcTuning(response_cycles=99))
    plant.power["U0"] = 120.0
    plant.stuck.add("U0")
    notices = [notice for _ in range(8) for notice in plant.cycle().notices if "forbidden zone" in notice]
    assert len(notices) == 1
    assert plant[0].zone_s == pytest.approx(32.0)
    plant.power["U0"] = 131.0
    assert plant.cycle().units[0].zone_s == 0.0


def test_the_emergency_ramp_counts_in_the_emergency_zone_alone():
    plant = Plant(unit(0, emergency_ramp=120.0), unit(1))
    plant.cycle()
    plant.cycle(tie=-30.0)
    assert plant.decision.zone in {"normal", "assist"}
    assert max(plant.moved()) <= 4.0 + 1e-9
    first, second = plant.moved()
    plant.cycle(tie=-300.0)
    assert plant.decision.zone == "emergency"
    assert plant.moved()[0] - first == pytest.approx(8.0)
    assert plant.moved()[1] - second == pytest.approx(4.0)


# ---------------------------------------------------------------- response


def test_response_is_measured_and_its_delay_respected():
    for delay, locked in ((0.0, True), (600.0, False)):
        plant = Plant(unit(0), unit(1), tuning=AgcTuning(response_cycles=5, response_delay_s=delay))
        plant.stuck.add("U1")
        plant.cycle()
        plant.cycle(tie=-60.0, count=14)
        assert plant[1].locked is locked
        assert plant[0].response_mw_per_min == pytest.approx(60.0, rel=0.2)
        assert math.isnan(plant[1].response_mw_per_min)
        plant.agc.unlock("U1")
        assert plant.cycle().units[1].available


def test_what_a_unit_fails_to_deliver_is_given_to_the_others_in_the_same_cycle():
    plant = Plant(unit(0), unit(1), tuning=AgcTuning(response_cycles=3))
    plant.stuck.add("U1")
    plant.cycle()
    share = math.nan
    for _ in range(40):
        before = share
        plant.cycle(tie=-40.0)
        share = next(term.value for term in plant.agc.explain("U0").steps if term.key == "wanted")
        if plant[1].locked:
            break
    assert plant[1].locked
    assert share - before > 8.0, "beside the change of one cycle what U1 was to give beyond its 100 MW"


def test_a_refused_step_counts_from_what_the_unit_still_has():
    plant = Plant(unit(0, ramp=600.0, maximum_step=3.0))
    plant.stuck.add("U0")
    plant.cycle()
    first = plant.cycle(tie=-40.0).setpoints[0]
    plant.agc.refused(first.cid, "interlock")
    again = plant.cycle(tie=-40.0).setpoints[0]
    assert abs(again.mw - 100.0) <= 3.0 + 1e-9


# ---------------------------------------------------------------- models that make no sense


@pytest.mark.parametrize(
    "wrong",
    [
        {"maximum_step": -1.0},
        {"deadband": math.nan},
        {"participation": math.nan},
        {"participation": -1.0},
        {"cost_c": -1.0, "share": "economic"},
        {"cost_curve": ((5.0, 1.0),), "share": "economic"},
        {"share": "by lot"},
        {"minimum_interval_s": math.nan},
        {"power": []},
        {"setpoint": -1},
        {"setpoint": -1, "raise_lower": 3, "pulse_mw": -2.0},
        {"base_mode": "TIEC"},
        {"ramp_up": math.inf},
        {"minimum": -math.inf},
        {"economic_minimum": 300.0, "base_mode": "CECO", "cost_c": 0.1},
    ],
)
def test_odd_models_never_raise_and_never_send_wild(wrong):
    plant = Plant(replace(unit(0), **wrong), unit(1))
    plant.cycle()
    plant.cycle(tie=-50.0, count=5)
    assert all(math.isfinite(point.value) and 0.0 <= point.mw <= 200.0 for point in plant.sent)
    assert plant[1].target_mw > 100.0
    if wrong.get("setpoint") == -1 or wrong.get("power") == []:
        assert plant[0].reason
        assert not plant[0].available


# ---------------------------------------------------------------- record and take-over


def test_a_successor_goes_on_to_the_bit():
    rng = np.random.default_rng(7)
    groups = [RegulationGroup("west", "w", maximum=330.0)]
    units = (
        unit(0, group="w", cost_b=8.0, cost_c=0.01, base_mode="CECO"),
        unit(1, group="w", forbidden=(ForbiddenZone(104.0, 108.0),), share="margin"),
        unit(2, group="w", maximum_step=2.0, minimum_interval_s=8.0),
        unit(3, setpoint=-1, raise_lower=9, pulse_mw=1.5),
        unit(4, fuel="storage", low=-50.0, high=50.0, state_of_charge=40, energy_mwh=100.0),
    )
    plant = Plant(*units, groups=groups, power=[100.0, 100.0, 100.0, 100.0, 0.0])
    plant.values[40] = 50.0
    successor = None
    for k in range(60):
        tie = float(rng.normal(0, 40))
        if k == 10:
            plant.agc.set_loop("U2", "open")
        if k == 31:
            copy = msgpack.unpackb(msgpack.packb(plant.agc.state()), strict_map_key=False)
            successor = plant.make()
            successor.restore(copy)
        if successor is not None:
            keep = (plant.agc, dict(plant.power))
            first = plant.cycle(tie)
            power, plant.power, plant.agc = plant.power, keep[1], successor
            second = repeat(plant, tie)
            plant.agc, plant.power = keep[0], power
            assert second.setpoints == first.setpoints
            assert repr(tuple(second.units)) == repr(tuple(first.units))
        else:
            plant.cycle(tie)


def repeat(plant, tie):
    """The cycle that was just run, for another controller at the same moment."""
    values = plant.values | {1: tie} | {10 + i: mw for i, mw in enumerate(plant.power.values())}
    pids = np.array(sorted(values), np.uint32)
    zero = np.zeros(len(pids), np.int64)
    column = np.array([values[pid] for pid in pids.tolist()], float)
    return plant.agc.cycle(Measurements(Snapshot(1, pids, column, np.zeros(len(pids), np.uint32), zero, zero)))
