"""AGC under faults injected through the real protocols: the cause, no set-point while suspended, and the way back."""

import json
import math
import os
import signal
import time

import pytest
from e2e.rig import Rig
from scadapb.v1 import scada_pb2 as pb

from scada.sim.admin import SimClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

AREA = "East"
SOON = "\n[agc.tuning]\nfrozen_s = 24.0\nall_frozen_s = 48.0\n"
RATE = 6.0
CYCLE = 4.0 / RATE
"""Real seconds."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("faults"), rate=RATE, more=SOON) as running:
        running.until(lambda: (s := running.status()).points_good >= 0.99 * s.points_total and s, 60, "the points")
        yield running


@pytest.fixture(scope="module")
def sim(rig):
    with SimClient(rig.demo.ports.admin) as client:
        yield client


@pytest.fixture(scope="module")
def area(rig):
    return next(one for one in rig.tables.areas if one.name == AREA)


@pytest.fixture(autouse=True)
def healthy(rig, sim):
    """Each test begins and ends with AGC on, and the way back makes no jump."""
    rig.until(lambda: shown(rig).state == "on", 60, "AGC on")
    yield
    sim.do("clear")


def shown(rig):
    return rig.call("Regulation/GetAgc", pb.GetAgcRequest(area=AREA))


def cause(status, key):
    return next(one for one in status.causes if one.key == key)


def paths(rig, pids):
    return [rig.tables.points[pid].path for pid in pids]


def suspended_by(rig, sim, key, seconds):
    """Wait until AGC is suspended for this cause; returns the status after some cycles in which nothing was sent."""

    def now():
        status = shown(rig)
        return status.state == "suspended" and cause(status, key).active and status

    begin = rig.until(now, seconds, f"suspended for {key}")
    assert cause(begin, key).suspends
    assert cause(begin, key).text in begin.reason
    targets = {name: unit["target_mw"] for name, unit in sim.status()["units"].items()}
    sent = {unit.name: unit.last_command_ns for unit in begin.units}
    rig.until(lambda: shown(rig).cycle_ns >= begin.cycle_ns + 5 * 4e9, 20 * CYCLE, "some cycles")
    later = shown(rig)
    assert later.state == "suspended"
    assert {unit.name: unit.last_command_ns for unit in later.units} == sent
    assert all(math.isnan(unit.setpoint_mw) and not unit.available for unit in later.units)
    ours = set(sent)
    after = {name: unit["target_mw"] for name, unit in sim.status()["units"].items()}
    assert {name: mw for name, mw in after.items() if name in ours} == pytest.approx(
        {name: mw for name, mw in targets.items() if name in ours}, abs=0.01
    )
    assert any(event.key == "agc.notice" and "suspended" in json.dumps(dict(event.parameters)) for event in rig.events(limit=500))
    return later


def resumes(rig, key, seconds=60):
    """AGC goes on by itself, from what the units generate."""
    status = rig.until(lambda: (s := shown(rig)).state == "on" and s, seconds, f"resumed after {key}")
    assert not cause(status, key).active
    for unit in status.units:
        if unit.available and not math.isnan(unit.setpoint_mw):
            ramp = max(unit.ramp_up, unit.ramp_down) * 4.0 / 60
            assert abs(unit.setpoint_mw - unit.power_mw) <= 5 * ramp + 5.0, (unit.name, unit.setpoint_mw, unit.power_mw)
    return status


def test_every_frequency_source_invalid(rig, sim, area):
    before = cause(shown(rig), "frequency_missing").count
    for path in paths(rig, area.frequency):
        sim.do("quality", path, "INVALID")
    status = suspended_by(rig, sim, "frequency_missing", 20)
    assert math.isnan(status.ace_mw)
    assert cause(status, "frequency_missing").count == before + 1
    sim.do("clear")
    resumes(rig, "frequency_missing")


def test_one_frequency_source_invalid_is_replaced(rig, sim, area):
    sim.do("quality", paths(rig, area.frequency)[0], "INVALID")
    status = rig.until(lambda: (s := shown(rig)).sources[0].source == 2 and s, 20, "the second source")
    assert status.state == "on"
    assert status.sources[0].state == "good"


def test_a_frequency_far_from_nominal(rig, sim, area):
    for path in paths(rig, area.frequency):
        sim.do("value", path, 51.5)
    suspended_by(rig, sim, "frequency_deviation", 20)
    sim.do("clear")
    resumes(rig, "frequency_deviation")


def test_frequency_sources_that_differ(rig, sim, area):
    sim.do("value", paths(rig, area.frequency)[1], 50.6)
    suspended_by(rig, sim, "frequency_spread", 20)
    sim.do("clear")
    resumes(rig, "frequency_spread")


def test_a_tie_whose_sign_is_wrong(rig, sim, area):
    flows = {tie.name: rig.good(tie.flow[0]) for tie in area.ties}
    tie = max(area.ties, key=lambda one: abs(flows[one.name]))
    assert abs(flows[tie.name]) > 3 * area.deadband
    sim.do("value", paths(rig, tie.flow)[0], -flows[tie.name])
    status = suspended_by(rig, sim, "tie_mismatch", 30)
    assert f"the sign of {tie.name} may be wrong" in status.reason
    sim.do("clear")
    resumes(rig, "tie_mismatch")


def test_a_tie_that_reads_nonsense(rig, sim, area):
    sim.do("value", paths(rig, area.ties[0].flow)[0], 3000.0)
    status = suspended_by(rig, sim, "ace_implausible", 30)
    assert cause(status, "tie_mismatch").active
    sim.do("clear")
    resumes(rig, "ace_implausible")


def test_the_channel_of_a_tie_is_cut(rig, sim, area):
    tie = next(one for one in area.ties if one.name == "Donghu-Hongqi 1")
    sim.do("kill", "Donghu RTU")
    status = suspended_by(rig, sim, "tie_missing", 60)
    assert tie.name in cause(status, "tie_missing").text
    assert math.isnan(status.ace_mw)
    sim.do("restore", "Donghu RTU")
    resumes(rig, "tie_missing", 90)


def test_a_unit_that_does_not_respond(rig, sim, area):
    unit = next(one for one in area.units if one.name == "H1")
    sim.do("freeze", paths(rig, unit.power)[0])
    power = rig.good(unit.power[0])
    far = unit.maximum - 5 if power < (unit.minimum + unit.maximum) / 2 else unit.minimum + 5
    mode = pb.UnitMode(unit=unit.mrid, base_mode="BASE", reg_mode="O", base_point_mw=far)
    assert rig.signed("Control/SetMode", pb.SetModeRequest(unit=mode)).accepted

    def locked():
        one = next(one for one in shown(rig).units if one.name == unit.name)
        return one.locked and one

    one = rig.until(locked, 60, "the unit is locked")
    assert not one.available
    assert "does not follow" in one.reason
    assert shown(rig).state == "on"
    rig.until(lambda: shown(rig).cycle_ns > one.last_command_ns + 12e9, 20, "some cycles")
    assert next(two for two in shown(rig).units if two.name == unit.name).last_command_ns == one.last_command_ns
    sim.do("clear")
    mode = pb.UnitMode(unit=unit.mrid, base_mode="AUTO", reg_mode="R")
    assert rig.signed("Control/SetMode", pb.SetModeRequest(unit=mode)).accepted
    rig.until(lambda: next(two for two in shown(rig).units if two.name == unit.name).available, 30, "the unit is back")


def test_every_link_is_down(rig, sim):
    for channel in rig.tables.channels:
        sim.do("drop", channel.name, 60.0)
    suspended_by(rig, sim, "front_end_lost", 40)
    resumes(rig, "front_end_lost", 90)


def test_the_server_was_stopped_for_a_while(rig):
    before = cause(shown(rig), "cycle_late").count
    os.kill(rig.group.pid("server"), signal.SIGSTOP)
    time.sleep(15 * CYCLE)
    os.kill(rig.group.pid("server"), signal.SIGCONT)
    status = rig.until(lambda: cause(s := shown(rig), "cycle_late").count > before and s, 30, "the late cycle is counted")
    assert "no cycle for" in cause(status, "cycle_late").text
    resumes(rig, "cycle_late")


def test_a_frozen_frequency(rig, sim, area):
    """Last but one: a source must have moved for some cycles before its rest tells anything."""
    first, *others = paths(rig, area.frequency)
    sim.do("freeze", first)
    status = rig.until(lambda: (s := shown(rig)).sources[0].source == 2 and s, 40, "the source that still moves")
    assert status.state == "on"
    assert cause(status, "frequency_source_frozen").active
    for path in others:
        sim.do("freeze", path)
    suspended_by(rig, sim, "frequency_frozen", 60)
    sim.do("clear")
    resumes(rig, "frequency_frozen")


def test_two_islands(rig, sim):
    """Heishan with its two large units falls apart from the rest of the area."""
    lines = [f"Heishan/220kV/{line}" for line in ("Beishan 1/2110", "Beishan 2/2120", "Donghu 1/2130")]
    for line in lines:
        sim.do("trip", line)
    status = suspended_by(rig, sim, "frequency_spread", 30)
    assert "may be split" in status.reason
