"""A regulator's recording gives the same outputs again; other parameters are compared beside it."""

import asyncio
import math
import random

import numpy as np
import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.actors.cycle_files import cycles_between, make_room, read_run, runs_in
from scada.actors.regulator import Regulator
from scada.actors.what_if import WhatIfProcess, parameter, what_if
from scada.apps.agc_avc.agc.controller import AgcController
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.rerun import outputs_of
from scada.apps.agc_avc.what_if import compare
from scada.core.agc_settings import AgcSettings
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.errors import StoreError
from scada.core.settings import CycleSettings
from scada.model_cim.regulation import AgcUnit, ControlArea, ForbiddenZone, TieLine
from scada.rtdb.changes import Snapshot

HOUR = 3600 * NS_PER_S
FREQUENCY, TIE = 0, 1


def unit(name, cid, low, high, **more):
    return AgcUnit(name, name.lower(), "thermal", [10 + cid], cid, 20 + cid, low, high, 30.0, 30.0, 1.0, **more)


UNITS = (unit("T1", 0, 80.0, 300.0), unit("T2", 1, 80.0, 300.0), unit("H1", 2, 20.0, 150.0, forbidden=(ForbiddenZone(60, 85),)))
AREA = ControlArea("East", "a", [FREQUENCY], 50.0, -80.0, 0.0, [TieLine("tie", [TIE], 1.0)], UNITS, controlled=True)


class Plant:
    """Units that follow their set-points, and a load that wanders."""

    def __init__(self, folder, seed=3, **cycles):
        self.clock = VirtualClock(1_700_000_000 // 3600 * HOUR)
        self.cycles = CycleSettings(path=folder, **cycles)
        self.random = random.Random(seed)
        self.power = {"T1": 200.0, "T2": 180.0, "H1": 100.0}
        self.target = dict(self.power)
        self.load = 0.0
        self.faults = []
        self.sent = []
        self.settings = AgcSettings(start="on")
        self.life()

    def life(self):
        self.regulator = Regulator(
            lambda clock: AgcController(AREA, self.settings, clock),
            application="agc",
            name="East",
            subject=AREA,
            settings=self.settings,
            model="m1",
            cycles=self.cycles,
            clock=self.clock,
            failed=self.faults.append,
        )
        self.regulator.begin()

    def snapshot(self):
        # a tie that wanders, a measurement that goes bad now and then
        self.load += self.random.gauss(0, 4.0)
        tie = sum(self.power.values()) - 480.0 - self.load
        values = {FREQUENCY: 50.0 + self.random.gauss(0, 0.01), TIE: tie}
        values |= {10 + i: self.power[u.name] for i, u in enumerate(UNITS)} | {20 + i: 1.0 for i in range(3)}
        pids = self.regulator.pids
        quality = np.zeros(len(pids), np.uint32)
        if self.random.random() < 0.05:
            quality[self.random.randrange(len(pids))] = 1 << 6
        zero = np.zeros(len(pids), np.int64)
        return Snapshot(1, pids, np.array([values.get(int(pid), math.nan) for pid in pids]), quality, zero, zero)

    def run(self, cycles):
        for n in range(cycles):
            self.clock.advance(4.0)
            decision = self.regulator.cycle(self.snapshot(), {1: "repair"} if n % 50 > 45 else {})
            self.sent.append(outputs_of(decision))
            for cid, mw in self.sent[-1]:
                self.target[UNITS[cid].name] = mw
                self.clock.advance(0.3)
                self.regulator.order("confirmed", cid)
            for name, target in self.target.items():
                self.power[name] += max(-2.0, min(2.0, target - self.power[name]))
            if n % 97 == 96:
                self.regulator.order("set_unit_mode", "t1", "BASE", "O", 150.0 + n % 60)
            if n % 97 == 30:
                self.regulator.order("set_unit_mode", "t1", "AUTO", "R", math.nan)
                with pytest.raises(RegulationError):
                    self.regulator.order("set_unit_mode", "t9", "AUTO", "R", math.nan)


@pytest.fixture
def plant(tmp_path):
    made = Plant(tmp_path)
    yield made
    made.regulator.close()


def segments(folder, from_ns=0, to_ns=2**63 - 1):
    return cycles_between(runs_in(folder), from_ns, to_ns)


def test_a_recording_gives_the_same_outputs_again(plant, tmp_path):
    plant.run(2000)  # more than two hours: several files, the state carried on
    plant.regulator.close()
    assert len(runs_in(tmp_path)) == 3
    recorded = [cycle.outputs for _, cycles in segments(tmp_path) for cycle in cycles]
    assert recorded == plant.sent
    assert sum(map(len, recorded)) > 300
    found = compare(segments(tmp_path), {})
    assert (found.cycles, found.faithful, found.first_deviation_ns) == (2000, 2000, 0)
    assert found.other.commands == found.recorded.commands == sum(map(len, recorded))


def test_a_window_begins_with_the_state_of_then(plant, tmp_path):
    plant.run(2000)
    plant.regulator.close()
    begin = runs_in(tmp_path)[1].begun_ns + 600 * NS_PER_S
    found = compare(segments(tmp_path, begin, begin + HOUR), {}, begin)
    assert found.cycles == found.faithful
    assert 600 < found.cycles < 900


def test_what_was_killed_is_read_up_to_its_end(plant, tmp_path):
    plant.run(60)  # not closed: as after kill -9
    killed = plant.regulator
    reader = read_run(runs_in(tmp_path)[0].path)
    assert len(list(reader.cycles())) == 60
    assert reader.cut
    plant.life()
    plant.run(40)
    plant.regulator.close()
    found = compare(segments(tmp_path), {})
    assert (found.cycles, found.faithful) == (100, 100)
    killed.close()


def test_clocks_that_jump_a_late_cycle_and_lost_inputs_are_run_again(plant, tmp_path):
    plant.run(120)
    plant.clock.jump(-2000.0)
    plant.run(60)
    plant.clock.jump(9000.0)
    plant.run(60)
    plant.clock.advance(400.0)  # stalled
    plant.run(60)
    plant.regulator.order("set_state", "off")
    plant.run(10)
    plant.regulator.order("set_state", "on")
    plant.regulator.order("set_loop", "t2", "test", 190.0)
    plant.run(60)
    plant.regulator.close()
    found = compare(segments(tmp_path), {})
    assert (found.cycles, found.faithful) == (370, 370)
    assert len(runs_in(tmp_path)) == 3
    begins = [run.begun_ns for run in runs_in(tmp_path)]
    assert compare(segments(tmp_path, begins[1] + 1), {}, begins[1] + 1).faithful > 100


def test_other_parameters_stand_beside(plant, tmp_path):
    plant.run(800)
    plant.regulator.close()
    halved = compare(segments(tmp_path), {"proportional": 0.05, "integral": 0.001})
    assert halved.faithful == halved.cycles
    assert halved.other.mileage < 0.8 * halved.recorded.mileage
    assert len(halved.series["ace"]) == len(halved.series["ordered_other"]) > 100
    weighted = compare(segments(tmp_path), {"unit.T2.participation": 0.0})
    assert weighted.other.of(1).commands < weighted.recorded.of(1).commands
    assert weighted.recorded.of(1).name == "T2"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"proportionel": 1.0}, "no parameter 'proportionel'"),
        ({"proportional": -1.0}, "proportional"),
        ({"tuning.nothing": 1}, "no parameter 'nothing'"),
        ({"unit.T9.participation": 1.0}, "no unit 'T9'"),
        ({"unit.T1.setpoint": 4}, "cannot be changed"),
    ],
)
def test_a_wrong_parameter_is_named(plant, tmp_path, changes, text):
    plant.run(3)
    plant.regulator.close()
    with pytest.raises(RegulationError, match=text):
        compare(segments(tmp_path), changes)


def test_a_full_disk_stops_the_recording_and_nothing_else(plant, monkeypatch, tmp_path):
    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    plant.run(5)
    monkeypatch.setattr(type(tmp_path), "open", lambda *_, **__: Full())
    plant.regulator.begin()
    assert plant.faults == ["cycles of agc-East are not recorded: [Errno 28] No space left on device"]
    plant.run(50)
    assert len(plant.sent) == 55
    assert len(plant.faults) == 1


def test_the_oldest_give_way(tmp_path):
    plant = Plant(tmp_path)
    for _ in range(5):
        plant.run(900)
    plant.regulator.close()
    files = runs_in(tmp_path)
    (tmp_path / "mine.cycles").write_bytes(b"x" * 4_000_000)
    now = plant.clock.now_ns()
    make_room(tmp_path, plant.cycles.model_copy(update={"keep_days": 2.5 / 24}), now)
    assert [run.path for run in runs_in(tmp_path)] == [run.path for run in files if now - run.begun_ns <= 2.5 * HOUR]
    make_room(tmp_path, plant.cycles.model_copy(update={"keep_mb": 1e-6}), now)
    assert runs_in(tmp_path) == []
    assert (tmp_path / "mine.cycles").exists(), "a file of somebody else's is not ours to delete"


def test_off_means_nothing_is_written(tmp_path):
    plant = Plant(tmp_path / "none", record=False)
    plant.run(10)
    assert list(tmp_path.rglob("*.cycles")) == []
    plant.regulator.close()


def test_accounts_outlive_a_restart_and_control_begins_anew(plant, tmp_path):
    plant.run(200)
    before = plant.regulator.controller.state()
    plant.regulator.close()
    plant.life()
    after = plant.regulator.controller.state()
    assert before["area"]["ace"]["time_error"]["error_s"] != 0
    assert after["area"]["ace"]["time_error"] == before["area"]["ace"]["time_error"]
    assert after["area"]["conditions"] == before["area"]["conditions"]
    assert not after["controls"], "targets begin at what the units generate"
    plant.run(5)
    plant.regulator.close()


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x80", b"\x90"])
def test_a_damaged_state_is_said_and_accounts_begin_anew(plant, tmp_path, damage):
    plant.run(20)
    plant.regulator.close()
    (kept,) = tmp_path.glob("*.state")
    kept.write_bytes(damage)
    kept.with_suffix(".before").write_bytes(damage)
    plant.life()
    assert plant.regulator.controller.state()["area"]["ace"]["time_error"]["error_s"] == 0
    assert plant.faults, "an operator is told"
    plant.run(5)
    plant.regulator.close()


async def test_the_process_answers_and_refuses(plant, tmp_path):
    plant.run(300)
    plant.regulator.close()
    process = WhatIfProcess(tmp_path)
    request = pb.WhatIfRequest(application="agc", from_ns=1, to_ns=plant.clock.now_ns() + 1, changes={"proportional": "0.1"})
    reply, second = await asyncio.gather(process.run(request), process.run(request), return_exceptions=True)
    assert (reply.cycles, reply.faithful) == (300, 300)
    assert reply.other.mileage < reply.recorded.mileage
    assert len(reply.time_ns) == len(reply.regulation_other) == 300
    assert [row.name for row in reply.controls] == ["T1", "T2", "H1"]
    assert "another what-if runs" in str(second)
    with pytest.raises(RegulationError, match="no parameter 'x'"):
        await process.run(pb.WhatIfRequest(application="agc", from_ns=1, to_ns=2**62, changes={"x": "1"}))


def test_what_is_not_recorded_is_said(plant, tmp_path):
    plant.run(3)
    plant.regulator.close()
    with pytest.raises(RegulationError, match="no cycles of area 'West'"):
        what_if(tmp_path, pb.WhatIfRequest(application="agc", area="West", from_ns=1, to_ns=2))
    with pytest.raises(RegulationError, match="no cycle was recorded"):
        what_if(tmp_path, pb.WhatIfRequest(application="agc", from_ns=1, to_ns=2))
    with pytest.raises(RegulationError, match="none; see"):
        what_if(tmp_path / "nowhere", pb.WhatIfRequest(application="agc", from_ns=1, to_ns=2))
    assert (parameter("2"), parameter("off"), parameter('"on"')) == (2, "off", "on")


def test_a_file_that_vanished_is_an_error_of_ours(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        read_run(tmp_path / "gone.cycles")
