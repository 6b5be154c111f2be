"""Every cell of the nine-zone table with its prediction, per-site tables, and transformers in parallel."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from scada.apps.agc_avc.avc.nine_zone import NINE_ZONES, ReactiveBalance, VoltageBand, cell_name, nine_zone_table
from scada.core.avc_settings import AvcDiscreteSettings
from scada.model_cim.regulation import PilotNode
from tests.apps.agc_avc.avc_bench import CAP, CLOSED, OPEN, SOURCE, TAP, Bench

KV = {"low": 108.0, "ok": 110.2, "high": 112.0}
Q = {"lack": 50.0, "ok": 10.0, "surplus": -35.0}
FREE = {"quota": [], "reversal_s": 0.0, "hold_s": 0.0}


def decided(cell, devices, *, cap=OPEN, tap=0.0, effects=(1.2, 1.2), **more):
    """Discrete commands in a cell of the plane."""
    band, balance = cell.split("/")
    bench = Bench(devices, [SOURCE], effects=list(effects)[: len(devices)], discrete=FREE | more.pop("discrete", {}), **more)
    bench.cycle(kv=KV[band], q=Q[balance], cap=cap, tap=tap)
    shown = bench.decision.zones[0].pilots[0]
    assert shown.cell == cell
    return [(one.mrid, one.value) for one in bench.decision.commands if one.discrete]


# cell -> (first choice with both devices able), (choice when the tap stands at the end it would go to)
BOTH = {
    "high/ok": (("t1", 1.0), ("c1", OPEN)),
    "high/lack": (("t1", 1.0), None),
    "high/surplus": (("c1", OPEN), ("c1", OPEN)),
    "ok/ok": (None, None),
    "ok/lack": (("c1", CLOSED), ("c1", CLOSED)),
    "ok/surplus": (("c1", OPEN), ("c1", OPEN)),
    "low/ok": (("t1", 2.0), ("c1", CLOSED)),
    "low/lack": (("c1", CLOSED), ("c1", CLOSED)),
    "low/surplus": (("t1", 2.0), None),
}


@pytest.mark.parametrize("cell", sorted(BOTH))
def test_each_cell_chooses_as_the_table_says(cell):
    down = cell.startswith("high") or cell == "ok/surplus"
    position = CLOSED if down else OPEN
    first, at_end = BOTH[cell]
    assert decided(cell, [CAP, TAP], cap=position) == ([first] if first else [])
    end = -8.0 if cell.startswith("high") else 8.0
    assert decided(cell, [CAP, TAP], cap=position, tap=end) == ([at_end] if at_end else [])


@pytest.mark.parametrize("cell", [cell for cell, (first, _) in BOTH.items() if first])
def test_each_action_is_forbidden_when_another_pilot_would_leave_its_limits(cell):
    down = cell.startswith("high") or cell == "ok/surplus"
    kv = 105.5 if down else 114.5
    second = PilotNode("Other", "other", [2], 110.0, 6.0, 105.0, 115.0)
    bench = Bench([CAP, TAP], [SOURCE], pilots=[Bench().zones[0].pilots[0], second], effects=[1.2, 1.2], discrete=FREE)
    band, balance = cell.split("/")
    bench.values[2] = kv
    bench.cycle(kv=KV[band], q=Q[balance], cap=CLOSED if down else OPEN)
    assert not [one for one in bench.decision.commands if one.discrete]
    bench.values[2] = 110.0
    bench.cycle()
    assert [one for one in bench.decision.commands if one.discrete]


@pytest.mark.parametrize("cell", [cell for cell in BOTH if not cell.startswith("ok")])
def test_an_action_that_would_land_beyond_the_dead_band_is_not_done(cell):
    down = cell.startswith("high")
    assert decided(cell, [CAP, TAP], cap=CLOSED if down else OPEN, effects=(3.2, 3.2)) == []


@pytest.mark.parametrize(("cell", "cap"), [("ok/lack", OPEN), ("ok/surplus", CLOSED)])
def test_a_bank_that_would_push_the_sources_to_the_other_end_is_not_switched(cell, cap):
    large = replace(CAP, mvar=90.0)
    assert decided(cell, [large], cap=cap) == []
    assert decided(cell, [replace(CAP, mvar=30.0)], cap=cap)


def test_a_site_and_a_zone_set_cells_of_their_own():
    site = {"nine_zone": {"low/ok": ["bank_up"]}}
    assert decided("low/ok", [CAP, TAP], discrete=site) == [("c1", CLOSED)]
    assert decided("low/ok", [CAP, TAP], discrete=site | {"zones": {"Z": {"low/ok": []}}}) == []
    assert decided("low/ok", [CAP, TAP], discrete={"zones": {"another": {"low/ok": []}}}) == [("t1", 2.0)]
    for wrong in ({"low/none": ["tap_up"]}, {"low/ok": ["fly"]}):
        with pytest.raises(ValidationError):
            AvcDiscreteSettings(nine_zone=wrong)
    table = nine_zone_table({"ok/ok": ["tap_up"]})
    assert table[VoltageBand.OK, ReactiveBalance.OK] == (("tap", True),)
    assert NINE_ZONES[VoltageBand.OK, ReactiveBalance.OK] == ()
    assert {cell_name(cell) for cell in NINE_ZONES} == set(BOTH)


def test_the_voltage_expected_after_the_device_is_what_the_sources_get():
    alone = Bench((), [SOURCE])
    alone.cycle(kv=108.0)
    assert [one.mrid for one in alone.decision.commands] == ["g1"]
    bench = Bench([TAP], [SOURCE], effects=[1.8])
    bench.cycle(kv=108.0)
    assert [one.mrid for one in bench.decision.commands] == ["t1"]


def test_a_pilot_outside_its_limits_comes_before_one_that_is_further_from_its_target():
    far = PilotNode("Far", "far", [2], 110.0, 0.5, 100.0, 120.0)
    taps = [TAP, replace(TAP, mrid="t2", name="T2", control=103, position=16, pilot="far")]
    bench = Bench(taps, pilots=[Bench().zones[0].pilots[0], far], effects=np.array([[1.2, 0.0], [0.0, 1.2]]))
    bench.values |= {2: 106.0, 16: 0.0}
    assert bench.cycle(kv=104.5) == [("t1", 2.0)]


# ---------------------------------------------------------------- parallel transformers

T1 = replace(TAP, parallel="main")
T2 = replace(TAP, name="T2", mrid="t2", position=16, control=103, parallel="main")


def pair(**more):
    bench = Bench([T1, T2], effects=[0.6, 0.6], **more)
    bench.values[16] = 0.0
    return bench


def test_the_master_moves_and_the_other_follows_before_anything_else():
    bench = pair()
    assert bench.cycle(kv=108.0) == [("t1", 2.0)]
    assert "expected 109.20" in bench.decision.commands[0].why
    bench.obey()
    assert bench.cycle(kv=108.6) == [("t2", 2.0)]
    bench.obey()
    assert bench.cycle(kv=109.2) == []
    assert (bench.values[12], bench.values[16]) == (1.0, 1.0)
    assert not [notice for notice in bench.decision.notices if "differ" in notice]


def test_one_locked_locks_all():
    bench = pair()
    bench.forbidden = {103: "do_not_operate"}
    assert bench.cycle(kv=108.0) == []
    assert [bench.device(place).lock_key for place in (0, 1)] == ["parallel", "tagged"]
    bench.forbidden = {}
    assert bench.cycle() == [("t1", 2.0)]


def test_a_follower_that_is_locked_half_way_is_waited_for_and_alarmed():
    bench = pair(discrete={"mismatch_s": 120.0})
    bench.cycle(kv=108.0)
    bench.obey()
    bench.forbidden = {103: "do_not_operate"}
    told = []
    for _ in range(8):
        assert bench.cycle(kv=107.0) == []
        told += [notice for notice in bench.decision.notices if "differ" in notice]
    assert len(told) == 1
    bench.forbidden = {}
    assert bench.cycle() == [("t2", 2.0)]
    bench.obey()
    bench.cycle(kv=110.0)
    assert any("together again" in notice for notice in bench.decision.notices)


def test_steps_too_far_apart_are_left_to_people():
    bench = pair()
    bench.values[16] = 2.0
    assert bench.cycle(kv=108.0) == []
    assert {bench.device(place).lock_key for place in (0, 1)} == {"parallel_mismatch"}
    assert any("differ" in notice for notice in bench.decision.notices)
    bench.values[16] = 1.0
    assert bench.cycle(seconds=100) == [("t1", 2.0)]  # follows the one that was moved by hand


def test_transformers_never_stand_further_apart_than_allowed():
    rng = np.random.default_rng(4)
    bench = pair(discrete=FREE)
    for _ in range(300):
        bench.cycle(kv=110.0 + float(rng.normal(0, 2.0)))
        if rng.random() < 0.8:
            bench.obey()
        assert abs(bench.values[12] - bench.values[16]) <= 1.0


def test_a_tap_without_partner_and_one_of_another_bus_stand_alone():
    lone = replace(T2, parallel="main", pilot="other")
    other = PilotNode("Other", "other", [2], 110.0, 1.0, 105.0, 115.0)
    bench = Bench([T1, lone], pilots=[Bench().zones[0].pilots[0], other], effects=np.array([[1.2, 0.0], [0.0, 1.2]]))
    bench.values |= {16: 5.0, 2: 110.0}
    assert bench.cycle(kv=108.0) == [("t1", 2.0)]
