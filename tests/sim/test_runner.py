"""The simulator's turns on a virtual clock, without its processes."""

from __future__ import annotations

import pytest

from scada.core.clock import VirtualClock
from scada.core.errors import ConfigError
from scada.model_cim.tables import PointKind
from scada.sim.admin import FaultDesk
from scada.sim.runner import Simulator
from scada.sim.settings import SimSettings
from tests.sim.conftest import GRID


@pytest.fixture
def rig():
    clock = VirtualClock()
    return clock, Simulator(GRID, SimSettings(start_hour=10.0), clock)


def test_the_plant_follows_the_clock_and_every_point_has_a_reading(rig):
    clock, simulator = rig
    before = simulator.plant.now_ns
    for _ in range(20):
        clock.advance(0.5)
        simulator.turn()
    assert simulator.plant.now_ns - before == pytest.approx(10e9, abs=6e7)
    instruments = simulator.instruments
    unread = [p.path for p, q in zip(instruments.points, instruments._sent_quality, strict=True) if q]
    assert unread == []
    assert {p.kind for p in instruments.points} >= {PointKind.ANALOG, PointKind.DOUBLE, PointKind.STEP, PointKind.COUNTER}


def test_a_clock_that_jumps_is_followed_without_living_through_the_gap(rig, caplog):
    clock, simulator = rig
    desk = FaultDesk(simulator)
    desk.operate("Beishan/10kV/Section/9101", close=False)
    for seconds in (86_400.0, -7_200.0):
        clock.jump(seconds)
        hour, energy = simulator.plant.local_hour, simulator.instruments.energy_mwh.sum()
        simulator.turn()
        assert abs(simulator.plant.now_ns - clock.now_ns()) < 60_000_000
        assert simulator.plant.local_hour == pytest.approx(hour, abs=1e-3)
        assert simulator.instruments.energy_mwh.sum() == pytest.approx(energy, abs=0.1)
        assert "clock jumped" in caplog.text
        caplog.clear()
    switch = desk._switch("Beishan/10kV/Section/9101")
    assert simulator.switchgear.position[switch] == 0
    for _ in range(5):
        clock.advance(0.5)
        simulator.turn()
    assert simulator.switchgear.position[switch] == 1


def test_positions_between_two_scans_are_all_sent_in_order_with_their_times(rig):
    _, simulator = rig
    desk = FaultDesk(simulator)
    started = simulator.plant.now_ns
    desk.operate("Beishan/10kV/Section/9101", close=False)
    simulator.switchgear.run(started + 3_000_000_000)
    records = simulator.instruments.scan(simulator.faults)
    pid = simulator.tables.by_path["Beishan/10kV/Section/9101 Position"].pid
    mine = records[records["pid"] == pid]
    assert mine["value"].tolist() == [0, 1]
    assert mine["source_time"].tolist() == [started, started + 2_000_000_000]
    assert (
        simulator.tables.by_path["Beishan/10kV/Section/9101 Position"].pid
        not in simulator.instruments.scan(simulator.faults)["pid"]
    )


def test_what_the_plant_cannot_measure_reads_invalid_and_is_said(rig, caplog):
    from dataclasses import replace

    from scada.sim.instruments import Instruments

    _, simulator = rig
    point = simulator.tables.by_path["Beishan/220kV/Bus I/Uab"]
    odd = replace(point, measurement_type="Moonlight")
    instruments = Instruments(simulator.plant, simulator.switchgear, simulator.instruments._model, [odd])
    records = instruments.scan(simulator.faults)
    assert records["quality"].tolist() == [0x80]
    assert "Moonlight" in caplog.text


@pytest.mark.parametrize("settings", [SimSettings(c104=("Nowhere",)), SimSettings(c104=("Fenghe plant",))])
def test_c104_can_only_serve_an_iec104_channel_of_the_model(settings):
    with pytest.raises(ConfigError, match=r"Nowhere|Fenghe plant"):
        Simulator(GRID, settings, VirtualClock())


def test_ports_come_from_the_model_the_base_or_by_name():
    simulator = Simulator(GRID, SimSettings(), VirtualClock(), base_port=17000, ports={"West RTU": 2404})
    ports = {o.spec.name: o.spec.port for o in simulator.outstations}
    assert ports["Beishan RTU"] == 17000
    assert ports["West RTU"] == 2404
