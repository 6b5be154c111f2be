"""AVC recorded and run again to the bit, over hours, plans, model swaps and kill -9; what a later life must not take over."""

import asyncio
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.actors import cycle_files
from scada.actors.cycle_files import KeptState, cycles_between, make_room, read_run, runs_in
from scada.actors.regulator import Regulator
from scada.actors.what_if import WhatIfProcess
from scada.apps.agc_avc.avc.controller import AvcController
from scada.apps.agc_avc.avc.records import AvcSensitivity
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.recording import packed_state
from scada.apps.agc_avc.rerun import outputs_of
from scada.apps.agc_avc.what_if import compare
from scada.core.avc_settings import AvcSettings
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.errors import ScadaError
from scada.core.settings import CycleSettings
from scada.model_cim.regulation import DiscreteDevice, PilotNode, ReactiveSource, VoltageZone
from scada.rtdb.changes import Snapshot
from tests.apps.agc_avc.avc_bench import CAP, MIDNIGHT_NS, TAP

HOUR = 3600 * NS_PER_S
PILOTS = [PilotNode("Bus", "bus", [0, 1], 110.0, 0.5, 105.0, 115.0), PilotNode("Two", "two", [2], 110.0, 0.5, 105.0, 115.0)]
SOURCES = [ReactiveSource(f"G{n}", f"g{n}", 20 + 2 * n, 200 + n, -40.0, 60.0, 5.0, remote=21 + 2 * n) for n in range(3)]
ZONES = (VoltageZone("Z", PILOTS, SOURCES, [CAP, TAP]),)
SETTINGS = AvcSettings(start="on")
PLAN = "pilot,time,kv\nBus,00:00,109\nBus,13:40,112\nTwo,00:00,111\n"


class Grid:
    """Voltages that answer sources and devices, and wander; a life of AVC after the other."""

    def __init__(self, folder, seed=5, zones=ZONES, **cycles):
        self.clock = VirtualClock(MIDNIGHT_NS + 13 * HOUR)
        self.cycles = CycleSettings(path=folder, **cycles)
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.zones = zones
        self.values = {0: 110.0, 1: 110.0, 2: 110.0, 10: 1.0, 12: 0.0, 13: 1.0, 14: 0.0, 15: 0.0, 77: 5.0}
        self.values |= {source.power: 0.0 for source in SOURCES} | {source.remote: 1.0 for source in SOURCES}
        self.sent, self.faults = [], []
        self.life()

    def life(self, model="m1", zones=None):
        self.regulator = Regulator(
            lambda clock: AvcController(self.zones if zones is None else zones, SETTINGS, clock),
            application="avc",
            name="",
            subject=tuple(self.zones if zones is None else zones),
            settings=SETTINGS,
            model=model,
            cycles=self.cycles,
            clock=self.clock,
            failed=self.faults.append,
        )
        self.regulator.begin()
        self.regulator.order("use_network", True)
        return self.regulator.controller

    def snapshot(self):
        pids = self.regulator.pids
        quality = np.zeros(len(pids), np.uint32)
        if self.random.random() < 0.05:
            quality[self.random.randrange(len(pids))] = 1 << 6
        zero = np.zeros(len(pids), np.int64)
        return Snapshot(1, pids, np.array([self.values.get(int(pid), math.nan) for pid in pids]), quality, zero, zero)

    def sensitivity(self):
        """As the network computes it: any layout in memory, columns that differ, now and then none at all."""
        if self.random.random() < 0.03:
            return None
        rows, devices = len(PILOTS), sum(len(zone.devices) for zone in self.regulator.controller._zones)
        columns = np.asfortranarray(self.numbers.normal(0.1, 0.01, (rows, 3)))
        buses = self.numbers.normal(0.1, 0.01, (6, 6))[::2, ::2]
        other = np.asfortranarray(self.numbers.normal(0.3, 0.05, (3, devices)))
        flags = np.zeros(rows, bool)
        return AvcSensitivity(columns, np.full((rows, devices), 0.7), buses, other, flags, flags, 3.0)

    def run(self, cycles):
        for n in range(cycles):
            self.clock.advance(30.0)
            drift = self.random.gauss(0, 0.5)
            for pid in (0, 1, 2):
                self.values[pid] += drift - 0.05 * (self.values[pid] - 110.0)
            decision = self.regulator.cycle(self.snapshot(), {100: "earth"} if n % 40 > 36 else {}, self.sensitivity())
            self.sent.append(outputs_of(decision))
            for command in decision.commands:
                self.clock.advance(0.2)
                name = "refused" if self.random.random() < 0.05 else "confirmed"
                self.regulator.order(name, command.cid)
                if name == "confirmed":
                    self.answer(command)

    def answer(self, command):
        if not command.discrete:
            source = next(one for one in SOURCES if one.mrid == command.mrid)
            moved, self.values[source.power] = command.value - self.values[source.power], command.value
            change = 0.1 * moved
        elif command.mrid == "c1":
            change, self.values[10] = (0.7 if command.value == 2 else -0.7), command.value
        else:
            step = 1.0 if command.value == 2 else -1.0
            change, self.values[12] = 0.7 * step, self.values[12] + step
        for pid in (0, 1, 2):
            self.values[pid] += change


@pytest.fixture
def grid(tmp_path):
    made = Grid(tmp_path)
    yield made
    made.regulator.close()


def again(folder, from_ns=0):
    return compare(cycles_between(runs_in(folder), from_ns, 2**63 - 1), {}, from_ns)


def test_avc_gives_the_same_outputs_again(grid, tmp_path):
    order = grid.regulator.order
    grid.run(60)
    order("set_loop", "g1", "open", math.nan)
    grid.run(30)
    order("set_loop", "g1", "test", 20.0)
    grid.run(15)
    order("set_loop", "g1", "closed", math.nan)
    order("use_plan", "day.csv", PLAN)
    grid.run(20)
    with pytest.raises(ScadaError):
        order("use_plan", "day.csv", "colour")
    with pytest.raises(RegulationError):
        order("set_loop", "nobody", "open", math.nan)
    grid.run(100)
    grid.clock.jump(-1800.0)
    grid.run(20)
    grid.clock.jump(7200.0)
    grid.run(30)
    order("set_state", "monitor")
    grid.run(10)
    order("set_state", "on")
    order("front_end", True)
    grid.run(5)
    order("front_end", False)
    grid.run(40)
    grid.regulator.close()
    assert {cid for row in grid.sent for cid, _ in row} == {100, 102, 200, 201, 202}
    found = again(tmp_path)
    assert (found.cycles, found.faithful, found.first_deviation_ns) == (len(grid.sent), len(grid.sent), 0)
    assert len(runs_in(tmp_path)) >= 4


def test_a_window_knows_the_plan_that_was_in_force(grid, tmp_path):
    grid.regulator.order("use_plan", "day.csv", PLAN)
    grid.run(300)
    grid.regulator.close()
    begin = runs_in(tmp_path)[1].begun_ns
    found = again(tmp_path, begin)
    assert 100 < found.cycles == found.faithful
    (header, _), *_ = cycles_between(runs_in(tmp_path), begin, 2**63 - 1)
    assert header.state["plan"] == ["day.csv", PLAN]


def test_a_model_swap_and_a_kill_are_run_again(grid, tmp_path):
    grid.run(50)
    killed = grid.regulator
    reactor = DiscreteDevice("R1", "r1", "reactor", 11, 101, "bus", mvar=-10.0, min_interval_s=60.0, daily_limit=12)
    grid.values[11] = 1.0
    grid.life("m2", (VoltageZone("Z", PILOTS, SOURCES, [reactor, TAP]),))
    grid.run(60)
    grid.regulator.begin(np.union1d(grid.regulator.pids, [77]).astype(np.uint32))  # another network: other points
    grid.run(40)
    grid.regulator.close()
    found = again(tmp_path)
    assert (found.cycles, found.faithful) == (150, 150)
    killed.close()


def test_a_recording_of_another_version_is_said(grid, tmp_path):
    grid.run(3)
    grid.regulator.order("unlock", "t1")
    grid.run(1)
    grid.regulator.close()
    ((header, cycles),) = [(header, list(cycles)) for header, cycles in cycles_between(runs_in(tmp_path), 0, 2**63 - 1)]
    assert compare([(header, cycles)], {}).faithful == 4
    state = {name: value for name, value in header.state.items() if name != "account"}
    *before, last = cycles
    order = replace(last.orders[0], name="turn")
    for found in (
        (replace(header, state=state), cycles),
        (replace(header, subject=[{"name": "Z"}]), cycles),
        (header, [*before, replace(last, orders=(order,))]),
        (header, [*before, replace(last, orders=(replace(order, name="_judge"),))]),
    ):
        with pytest.raises(RegulationError, match="does not fit this version"):
            compare([found], {})


# ---------------------------------------------------------------- what a later life takes over


def test_a_later_life_takes_counts_and_locks_and_no_order(grid):
    grid.run(40)
    before = grid.regulator.controller
    before.set_loop("g0", "test", 50.0)
    before.set_loop("t1", "open")
    before.front_end(True)
    before.set_state("monitor")
    grid.run(1)
    counts = {mrid: before._by_mrid[mrid].operations_today for mrid in ("c1", "t1")}
    assert sum(counts.values()) > 0
    before.set_loop("g1", "test", -30.0)
    before.set_loop("c1", "test", 2.0)
    grid.regulator.close()
    grid.clock.advance(200.0)
    after = grid.life()
    assert after.wanted == "on"
    assert {mrid: after._by_mrid[mrid].operations_today for mrid in counts} == counts
    assert {control.loop for control in after._by_mrid.values()} == {"closed"}
    assert all(math.isnan(control.test_value) for control in after._by_mrid.values())
    assert all(math.isnan(after._by_mrid[source.mrid].sent) for source in SOURCES), "targets begin at what is measured"
    valid = [row[2] for row in after.account.state()["service"]]
    decision = grid.regulator.cycle(grid.snapshot(), {}, None)
    assert decision.zones[0].cause == "", "neither late nor without a front end"
    assert decision.state == "on"
    assert [row[2] for row in after.account.state()["service"]] == valid, "nobody looked while it was down"


def test_a_target_that_was_kept_goes_on_and_never_leaves_the_limits_of_a_new_model(grid):
    grid.regulator.order("use_plan", "day.csv", PLAN)
    grid.run(160)
    grid.regulator.close()
    kept = dict(grid.regulator.controller.state()["tertiary"]["kv"])
    assert kept == {"bus": 112.0, "two": 111.0}
    narrow = [replace(PILOTS[0], maximum=111.5), PILOTS[1]]
    grid.life("m2", [VoltageZone("Z", narrow, SOURCES, [CAP, TAP])])
    grid.regulator.order("use_plan", "day.csv", PLAN.replace("112", "111"))
    grid.clock.advance(1.0)
    decision = grid.regulator.cycle(grid.snapshot(), {}, None)
    first, second = decision.zones[0].pilots
    assert 111.0 < first.target_kv <= 111.5
    assert second.target_kv == 111.0


def test_a_trip_still_waits_for_its_operator_after_a_restart(grid):
    grid.values[14] = 1.0
    grid.run(3)
    grid.values[14] = 0.0
    grid.regulator.close()
    grid.life()
    grid.run(1)
    assert grid.regulator.controller._by_mrid["c1"].locked.key == "tripped"


def test_the_history_knows_operations_that_the_kept_state_missed(grid, tmp_path):
    grid.run(2)
    state = grid.regulator.controller.state()
    grid.values[12] = 3.0
    grid.run(1)  # three steps, then killed before the state was kept
    seen = grid.regulator.controller._by_mrid["t1"]
    counted = (seen.operations_today, seen.last_operation_ns)
    grid.regulator.close()
    KeptState(tmp_path, "avc").write(state)
    clock = grid.clock
    controller = AvcController(ZONES, SETTINGS, clock)
    controller.restore_operations("t1", *counted)
    controller.resume(state)
    assert controller._by_mrid["t1"].operations_today == counted[0] == 3
    grid.regulator.controller = controller
    grid.run(1)
    assert controller._by_mrid["t1"].operations_today == 3 + (grid.values[12] != 3.0), "not counted twice"


@pytest.mark.parametrize("damage", ["account", "zones", "sources"])
def test_a_state_that_fits_in_part_leaves_nothing_behind(grid, tmp_path, damage):
    grid.run(40)
    grid.regulator.close()
    state = grid.regulator.controller.state()
    state[damage] = 7
    KeptState(tmp_path, "avc").write(state | {"wanted": "off"})
    after = grid.life()
    assert len(grid.faults) == 1
    assert "begin anew" in grid.faults[0]
    fresh = AvcController(ZONES, SETTINGS, grid.clock)
    fresh.use_network(True)
    assert packed_state(after.state()) == packed_state(fresh.state())


def test_two_names_that_look_alike_keep_two_states(tmp_path):
    KeptState(tmp_path, "agc-East 1").write({"a": 1})
    KeptState(tmp_path, "agc-East/1").write({"a": 2})
    assert KeptState(tmp_path, "agc-East 1").read(print) == {"a": 1}
    assert KeptState(tmp_path, "agc-East/1").read(print) == {"a": 2}


def test_a_power_cut_costs_the_newest_state_alone(tmp_path):
    kept = KeptState(tmp_path, "agc")
    for count in range(3):
        kept.write({"count": count})
    assert kept.read(print) == {"count": 2}
    (tmp_path / "agc.state").write_bytes(b"")
    assert kept.read(print) == {"count": 1}
    (tmp_path / "agc.state").unlink()
    assert kept.read(print) == {"count": 1}
    (tmp_path / "agc.before").write_bytes(b"\xc1")
    assert kept.read(print) is None


# ---------------------------------------------------------------- files


def test_a_disk_that_takes_half_of_it_is_written_whole(grid, tmp_path, monkeypatch):
    class Narrow:
        def __init__(self, path):
            self.file = open(path, "xb", buffering=0)  # noqa: SIM115, PTH123

        def write(self, data):
            return self.file.write(bytes(data)[:100])

        def close(self):
            self.file.close()

    monkeypatch.setattr(cycle_files, "_create", Narrow)
    grid.regulator.begin()
    grid.run(30)
    grid.regulator.close()
    assert again(tmp_path).faithful == 30


def test_what_cannot_be_packed_stops_the_recording_alone(grid):
    grid.run(2)
    grid.regulator.cycle(grid.snapshot(), {100: "\udcff"}, None)
    assert len(grid.faults) == 1
    assert "are not recorded" in grid.faults[0]
    grid.run(5)
    assert len(grid.faults) == 1


def test_a_file_that_cannot_be_deleted_does_not_stop_the_rest(tmp_path):
    now = MIDNIGHT_NS
    for name in ("avc-20200101T000000Z.cycles", "avc-20200102T000000Z.cycles"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "avc-20200101T120000Z.cycles").mkdir()
    (tmp_path / "avc-20200101T130000Z.cycles").symlink_to(tmp_path / "gone")
    make_room(tmp_path, CycleSettings(path=tmp_path, keep_days=1.0), now)
    assert [path.name for path in tmp_path.glob("*2020010*") if path.is_file()] == []


def test_two_servers_on_one_folder_keep_each_their_recording(grid, tmp_path):
    other = Grid(tmp_path, seed=6)
    for _ in range(3):
        grid.run(10)
        other.run(10)
    grid.regulator.close()
    other.regulator.close()
    assert sorted(len(list(read_run(run.path).cycles())) for run in runs_in(tmp_path)) == [30, 30]


async def test_a_what_if_that_could_not_start_does_not_bar_the_next(grid, tmp_path, monkeypatch):
    grid.run(5)
    grid.regulator.close()
    process = WhatIfProcess(tmp_path)

    async def full(*_, **__):
        raise OSError(11, "no process left")

    request = pb.WhatIfRequest(application="avc", from_ns=1, to_ns=grid.clock.now_ns() + 1)
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "create_subprocess_exec", full)
        with pytest.raises(ScadaError, match="no process left"):
            await process.run(request)
    waiting = asyncio.create_task(process.run(request))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await process.run(request)).faithful == 5
