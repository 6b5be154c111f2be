"""Shadow run on the demo grid: what must be refused, what must be said, and that nothing is made up."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scada.apps.network import shadow_flow
from scada.apps.network.busbranch import reduce
from scada.apps.network.equipment import read_equipment
from scada.apps.network.shadow import Side, shadow_run
from scada.apps.network.shadow_flow import flows
from scada.apps.network.shadow_state import Readings, Sight
from scada.apps.network.shadow_text import WORDS
from scada.core.quality import Quality
from scada.model_cim.points import build_tables
from scada.model_cim.reader import ModelReader
from scada.model_cim.statements import Difference, Statement, ValueKind
from scada.rtdb.changes import Snapshot

GRID = Path(__file__).parents[3] / "examples" / "demo-grid"
FEEDER, LOAD = "Nanping/10kV/F1/9110", "Nanping/10kV/F1 load"
TIES = ("Beishan-Lianhua 1", "Donghu-Hongqi 1")


@pytest.fixture(scope="module")
def running():
    model = ModelReader(GRID).read()
    return Side(model, build_tables(model)[0])


def measured(side):
    """All positions and powers as in the files, and the flows that follow from them."""
    points = side.tables.points
    sight = Sight(side, Readings(side, side.tables, None), live=False)
    value = np.full(len(points), np.nan)
    model = side.model
    positions = dict(zip(sight.topology.switches, sight.switch_open, strict=True))
    positions |= dict(zip(sight.topology.earthing, sight.earthing_open, strict=True))
    solved = flows(sight)
    assert solved.reason == ""
    for point in points:
        sign = -1 if model.class_of(point.equipment) == "SynchronousMachine" else 1
        match point.measurement_type:
            case "SwitchPosition":
                value[point.pid] = 1.0 if positions[point.equipment] else 2.0
            case "ThreePhaseActivePower" | "ThreePhaseReactivePower" as what:
                letter = "p" if what == "ThreePhaseActivePower" else "q"
                kind = "RotatingMachine" if sign < 0 else "EnergyConsumer"
                value[point.pid] = sign * model.number(point.equipment, f"{kind}.{letter}", 0.0)
                if letter == "p" and point.terminal in solved.branch:
                    value[point.pid] = solved.branch[point.terminal]
            case "UnitRunning":
                value[point.pid] = 1.0
    quality = np.where(np.isnan(value), int(Quality.NEVER_RECEIVED), 0).astype(np.uint32)
    stamps = np.zeros(len(points), np.int64)
    return Snapshot(7, np.arange(len(points), dtype=np.uint32), value, quality, stamps, stamps)


@pytest.fixture(scope="module")
def live(running):
    return measured(running)


def named(side, path):
    """MRID of what has a path."""
    return next(mrid for mrid in side.model.mrids if side.model.path(mrid) == path)


def without(side, *mrids):
    """The side with objects removed, with everything they say and everything that refers to them."""
    gone = {mrid: side.model.class_of(mrid) for mrid in mrids}
    told = [one for mrid in mrids for one in side.model.statements_of(mrid)]
    told += [
        one
        for mrid in side.model.mrids
        if mrid not in gone
        for one in side.model.statements_of(mrid)
        if one.kind is ValueKind.REF and one.value in gone
    ]
    return edited(side, Difference(removed=gone, reverse=tuple(told)))


def edited(side, difference):
    model = side.model.edited(difference)
    return Side(model, build_tables(model)[0])


def changed(side, mrid, prop, value):
    old = tuple(one for one in side.model.statements_of(mrid) if one.prop == prop)
    kind = old[0].kind if old else ValueKind.TEXT
    return edited(side, Difference(forward=(Statement(mrid, prop, value, kind),), reverse=old))


def terminals(side, *mrids):
    return [terminal for mrid in mrids for terminal in side.model.refs_to(mrid, "Terminal.ConductingEquipment")]


def keys(remarks):
    return {one.key for one in remarks}


def remark(remarks, key):
    return next(one for one in remarks if one.key == key)


@pytest.mark.parametrize("with_server", [True, False])
def test_the_same_model_changes_nothing(running, live, with_server):
    report = shadow_run(running, running, live if with_server else None, now_ns=5)
    assert report.ok
    assert report.equipment == report.refuse == report.look == ()
    assert report.running == report.candidate
    assert report.running.live_islands == 1
    assert (report.live, report.seq, report.now_ns) == ((True, 7, 5) if with_server else (False, 0, 5))
    assert all(change.before == change.after for change in report.flows)
    assert report.lines("en")[-1] == "verdict: as now"


def test_calculated_flows_stand_beside_the_measured_ones(running, live):
    report = shadow_run(running, running, live)
    assert report.running.misfit_mw == pytest.approx((0.0, 0.0), abs=0.05)
    assert report.running.switches_known == report.running.switches
    assert report.running.injections_measured == report.running.injections > 30


def test_a_feeder_without_its_breaker_is_dead_and_refused(running, live):
    candidate = without(running, *terminals(running, named(running, FEEDER)))
    report = shadow_run(running, candidate, live)
    assert not report.ok
    assert remark(report.refuse, "goes_dead").names == (LOAD,)
    change = next(one for one in report.equipment if one.path == LOAD)
    assert (change.before, change.after) == ("energised", "dead")
    assert "REFUSE: 1 energised equipment are dead in the candidate: Nanping/10kV/F1 load" in report.lines("en")


def test_areas_that_part_are_refused(running, live):
    lines = [mrid for mrid in running.model.ids("ACLineSegment") if running.model.name(mrid) in TIES]
    assert len(lines) == 2
    report = shadow_run(running, without(running, *terminals(running, *lines)), live)
    split = remark(report.refuse, "island_split")
    assert split.values["pieces"] == 2
    assert any("Hongqi" in name for name in split.names)
    assert not any("Beishan" in name for name in split.names), "the smaller part is named"
    assert (report.running.live_islands, report.candidate.live_islands) == (1, 2)
    back = shadow_run(without(running, *terminals(running, *lines)), running, live)
    assert "island_joined" in keys(back.look)


def test_a_point_with_an_alarm_must_not_vanish(running, live):
    point = next(p for p in running.tables.points if p.measurement_type == "SF6Low")
    candidate = without(running, point.mrid)
    calm = shadow_run(running, candidate, live)
    assert calm.points_lost == (point.path,)
    assert "alarm_lost" not in keys(calm.refuse)
    assert remark(calm.look, "points_lost").values["valued"] == 0
    assert remark(shadow_run(running, candidate, live, alarmed=[int(point.pid)]).refuse, "alarm_lost").names == (point.path,)


@pytest.mark.parametrize(("what", "equipment"), [("SwitchPosition", FEEDER), ("ThreePhaseActivePower", LOAD)])
def test_lost_coverage_is_refused(running, live, what, equipment):
    mrid = named(running, equipment)
    point = next(p for p in running.tables.points if (p.equipment, p.measurement_type) == (mrid, what))
    report = shadow_run(running, without(running, point.mrid), live)
    assert remark(report.refuse, "coverage").names == (equipment,)
    assert remark(report.look, "points_lost").values["valued"] == 1


def test_new_points_have_no_value_and_the_old_keep_theirs_whatever_their_number(running, live):
    point = next(p for p in running.tables.points if p.measurement_type == "SF6Low")
    before = without(running, point.mrid)
    places = [next(p.pid for p in running.tables.points if p.mrid == q.mrid) for q in before.tables.points]
    snapshot = Snapshot(
        7,
        np.arange(len(places), dtype=np.uint32),
        live.value[places],
        live.quality[places],
        live.source_time[places],
        live.received_at[places],
    )
    report = shadow_run(before, running, snapshot)
    assert report.points_new == (point.path,)
    assert report.ok
    assert report.candidate.switches_known == report.candidate.switches


def test_another_measurement_type_is_a_change_of_meaning(running, live):
    point = next(p for p in running.tables.points if p.measurement_type == "LineCurrent")
    analog = running.model.ref(point.mrid, "AnalogValue.Analog")
    report = shadow_run(running, changed(running, analog, "Measurement.measurementType", "Voltage"), live)
    assert [(one.path, one.fields) for one in report.points_changed] == [(point.path, ("measurement_type",))]


def test_a_doubtful_switch_makes_the_state_unknown_and_not_dead(running, live):
    mrid = named(running, FEEDER)
    point = next(p for p in running.tables.points if (p.equipment, p.measurement_type) == (mrid, "SwitchPosition"))
    quality = live.quality.copy()
    quality[point.pid] = int(Quality.INVALID)
    doubt = Snapshot(7, live.pid, live.value, quality, live.source_time, live.received_at)
    report = shadow_run(running, running, doubt)
    assert report.running.states["unknown"] == 1
    assert report.running.switches_known == report.running.switches - 1


def test_unmeasured_powers_are_named_and_too_many_of_them_give_no_flows(running, live):
    load = named(running, LOAD)
    p = next(p for p in running.tables.points if (p.equipment, p.measurement_type) == (load, "ThreePhaseActivePower"))
    quality = live.quality.copy()
    quality[p.pid] = int(Quality.NOT_TOPICAL)
    report = shadow_run(running, running, Snapshot(7, live.pid, live.value, quality, live.source_time, live.received_at))
    assert remark(report.look, "assumed").names == (LOAD,)
    assert report.running.injections_measured == report.running.injections - 1
    loads = [p.pid for p in running.tables.points if running.model.class_of(p.equipment) == "ConformLoad"]
    quality[loads] = int(Quality.COMM_LOST)
    report = shadow_run(running, running, Snapshot(7, live.pid, live.value, quality, live.source_time, live.received_at))
    assert report.running.flows == "100% of the load has no live value"
    assert all(change.before is None and change.after is None for change in report.flows)


def test_a_changed_impedance_shows_in_the_flows(running, live):
    line = next(mrid for mrid in running.model.ids("ACLineSegment") if running.model.name(mrid) == TIES[0])
    report = shadow_run(running, changed(running, line, "ACLineSegment.x", "200"), live)
    far = remark(report.look, "flows_differ")
    assert any(TIES[0] in name for name in far.names)
    assert report.candidate.misfit_mw[1] > report.running.misfit_mw[1]
    assert report.ok, "flows alone are for the engineer to judge"


def test_machines_without_a_reactive_range_give_what_is_measured(running, live):
    """RealGrid says minQ = maxQ = 0 of every machine: held at such a limit all of them would give 0 Mvar."""
    said = [one for mrid in running.model.ids("SynchronousMachine") for one in running.model.statements_of(mrid)]
    old = tuple(one for one in said if one.prop in ("SynchronousMachine.minQ", "SynchronousMachine.maxQ"))
    assert old
    new = tuple(replace(one, value="0") for one in old)
    side = edited(running, Difference(forward=new, reverse=old))
    report = shadow_run(running, side, live)
    assert report.candidate.flows == report.candidate.flows_dc_because == ""
    sight = Sight(side, Readings(side, running.tables, live), live=True)
    flow = shadow_flow._Flow(sight, read_equipment(side.model))
    network = reduce(flow.equipment.grid, flow.equipment.switch_open, flow.equipment.tap_step, flow.equipment.sections)
    none, machines = np.zeros(len(flow.equipment.load_p)), len(flow.equipment.machines)
    said = flow._injections(network, none, none, np.full(machines, 30.0), np.full(machines, 20.0))
    assert np.isfinite(said.v_set).sum() == 1, "one reference and no other holds a voltage"
    assert said.q.sum() == pytest.approx(20.0 * (machines - 1))
    assert np.isinf(said.q_max[np.isfinite(said.v_set)]).all()


def test_what_the_power_flow_does_not_know_is_said(running, live):
    new = Difference(added={"svc1": "StaticVarCompensator"}, forward=(Statement("svc1", "IdentifiedObject.name", "SVC"),))
    report = shadow_run(running, edited(running, new), live)
    assert report.candidate.flows
    assert report.candidate.misfit_mw is None
    assert "candidate" in remark(report.look, "flows_none").text("en")


def test_it_travels(running, live):
    args = pickle.loads(pickle.dumps((running, without(running, *terminals(running, named(running, FEEDER))), live)))
    report = pickle.loads(pickle.dumps(shadow_run(*args)))
    told = json.loads(json.dumps(report.as_dict()))
    assert told["ok"] is False
    assert told["refuse"][0]["zh"].startswith("1 个带电设备")
    assert "拒绝" in "".join(report.lines("zh"))


def test_every_sentence_has_the_same_blanks_in_both_languages():
    import string

    for key, pair in WORDS.items():
        blanks = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in pair]
        assert blanks[0] == blanks[1], key
