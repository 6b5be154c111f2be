"""The plant on the demo grid: dynamics and power flow agree, switching has its consequences."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from scada.apps.network.equipment import read_equipment
from scada.core.clock import NS_PER_S
from scada.model_cim.tables import ControlKind
from scada.sim.instruments import bind_taps, bind_units
from scada.sim.neighbour import AreaPlan
from scada.sim.plant import Plant
from scada.sim.settings import LoadSettings, SimSettings, WeatherSettings
from scada.sim.switchgear import RefusedError, Switchgear

QUIET = SimSettings(
    start_hour=10.0,
    load=LoadSettings(noise=0.0, daily=(1.0,) * 24),
    weather=WeatherSettings(cloud_noise=0.0, wind_noise=0.0),
)


class _StateError(Exception):
    """A refusal that the state of the plant asks for."""


class Rig:
    """A plant with its switchgear."""

    def __init__(self, demo_model, settings=QUIET):
        self.model, self.tables = demo_model
        self.equipment = read_equipment(self.model)
        areas = [AreaPlan(area.name, area.scheduled_interchange, area.controlled) for area in self.tables.areas]
        stations = {station.mrid: station.area for station in self.tables.stations}
        self.plant = Plant(self.equipment, stations, areas, settings, 1_700_000_000 * NS_PER_S)
        self.gear = Switchgear(self.plant, bind_units(self.model, self.plant), bind_taps(self.model, self.plant))
        self.names = [machine.name for machine in self.equipment.machines]

    def run(self, seconds, step=0.5):
        for _ in range(round(seconds / step)):
            self.plant.advance(self.plant.now_ns + round(step * NS_PER_S))
            self.gear.run(self.plant.now_ns)

    def control(self, path):
        return next(control for control in self.tables.controls if control.path == path)

    def switch(self, path):
        return self.gear.switch_index[self.control(path).equipment]

    def order(self, path, value):
        self.gear.command(self.control(path), value, select=False)

    def answer(self, control, value):
        """Select; a refusal for the plant's state is the expected one."""
        try:
            self.gear.command(control, value, select=True)
        except RefusedError as error:
            if "interlocked" in error.what or "end position" in error.what:
                raise _StateError from error
            raise

    def kv(self, path):
        point = self.tables.by_path[path]
        return self.plant.node_kv()[self.equipment.node_of[point.terminal]]

    def line_mw(self, name):
        row = next(i for i, mrid in enumerate(self.equipment.grid.branch_ids) if self.model.name(mrid) == name)
        return self.plant.network.branch_flow(self.plant.solution.voltage)[0][row].real

    def tie_mw(self):
        """East's export by the meters of the power flow: both lines, mean of both ends."""
        flows = self.plant.network.branch_flow(self.plant.solution.voltage)
        found = 0.0
        for i, mrid in enumerate(self.equipment.grid.branch_ids):
            if self.model.name(mrid) in ("Beishan-Lianhua 1", "Donghu-Hongqi 1"):
                found += (flows[0][i].real - flows[1][i].real) / 2
        return found


@pytest.fixture
def rig(demo_model):
    return Rig(demo_model)


def test_it_starts_in_balance_at_the_scheduled_interchange(rig):
    scheduled = rig.tables.areas[0].scheduled_interchange
    rig.run(30.0)
    assert rig.plant.frequencies() == pytest.approx({"East": 50.0, "West": 50.0}, abs=2e-3)
    assert rig.plant.exports()["East"] == pytest.approx(scheduled, abs=0.5)
    assert rig.plant.solution.converged
    live = np.abs(rig.plant.solution.voltage)[rig.plant.solution.live]
    assert live.min() > 0.95
    assert live.max() < 1.1


def test_ties_of_the_power_flow_are_those_of_the_dynamics_also_in_a_transient(rig):
    rig.run(5.0)
    rig.gear.trip(rig.gear.breakers_of(rig.names.index("H1")))
    for _ in range(20):
        rig.run(0.5)
        assert rig.tie_mw() == pytest.approx(rig.plant.exports()["East"], abs=0.3)
        generated = rig.plant.machine_p.sum()
        used = rig.plant.load_mw()[0].sum() + sum(rig.plant.losses.values())
        assert generated == pytest.approx(used, abs=0.2)


def test_a_tripped_unit_lets_the_frequency_fall_to_what_droop_and_damping_say(rig, monkeypatch):
    monkeypatch.setattr("scada.sim.neighbour.NeighbourControl.act", lambda *_: None)  # primary control alone
    rig.run(5.0)
    unit = rig.names.index("G1")
    lost = rig.plant.machine_p[unit]
    rig.gear.trip(rig.gear.breakers_of(unit))
    lowest = 50.0
    before_neighbour = None
    for _ in range(120):
        rig.run(0.5)
        lowest = min(lowest, rig.plant.frequencies()["East"])
        before_neighbour = rig.plant.frequencies()["East"]
    assert rig.plant.machine_p[unit] == 0
    assert not rig.plant.dynamics.online[unit]
    assert lowest < before_neighbour < 50.0
    units = rig.plant.dynamics.units
    stiff = float((units.rated_mw / (units.droop * 50.0) * rig.plant.dynamics.online).sum() + rig.plant.dynamics.damping.sum())
    # dead bands of the governors let it fall a little further
    assert 50.0 - before_neighbour == pytest.approx(lost / stiff, rel=0.15)
    assert rig.plant.exports()["East"] < -150


def test_the_neighbour_keeps_the_frequency_and_takes_up_what_we_trade(rig):
    rig.run(5.0)
    before = rig.plant.exports()["East"]
    rig.gear.trip(rig.gear.breakers_of(rig.names.index("H1")))
    rig.run(10.0)
    assert rig.plant.frequencies()["East"] < 49.97
    rig.run(600.0)
    assert rig.plant.frequencies()["East"] == pytest.approx(50.0, abs=0.04)
    assert rig.plant.exports()["East"] < before - 45


def test_opening_a_line_moves_its_flow_to_the_others_and_time_stamps_are_the_contact_s(rig):
    rig.run(1.0)
    before = rig.line_mw("Heishan-Beishan 1"), rig.line_mw("Heishan-Beishan 2")
    at = rig.plant.now_ns
    rig.order("Beishan/220kV/Heishan 1/2110", 1.0)
    rig.run(0.5)
    assert rig.gear.take_moves() == [(at + 200_000_000, rig.switch("Beishan/220kV/Heishan 1/2110"), 1)]
    assert abs(rig.line_mw("Heishan-Beishan 1")) < 0.1
    assert abs(rig.line_mw("Heishan-Beishan 2")) > abs(before[1]) + 0.3 * abs(before[0])


def test_a_dead_bus_reads_zero_and_its_load_is_gone(rig):
    rig.run(1.0)
    load = rig.plant.load_mw()[0].sum()
    rig.order("Nanping/10kV/T1/9010", 1.0)
    rig.run(1.0)
    assert rig.kv("Nanping/10kV/Bus I/Uab") == 0.0
    assert rig.kv("Nanping/10kV/Bus II/Uab") > 9.5
    assert rig.plant.load_mw()[0].sum() < load - 20


def test_both_ties_open_and_each_area_goes_its_own_way(rig):
    rig.run(1.0)
    for path in ("Beishan/220kV/Lianhua 1/2140", "Donghu/220kV/Hongqi 1/2130"):
        rig.order(path, 1.0)
    rig.run(20.0)
    frequencies = rig.plant.frequencies()
    assert len(rig.plant.groups) == 2
    assert frequencies["East"] < 49.98
    assert frequencies["West"] > 50.01
    assert rig.plant.exports() == {"East": 0.0, "West": 0.0}
    rig.order("Beishan/220kV/Lianhua 1/2140", 2.0)
    rig.run(30.0)
    frequencies = rig.plant.frequencies()
    assert frequencies["East"] == pytest.approx(frequencies["West"], abs=0.01)


def test_a_unit_comes_back_at_no_load_and_ramps(rig):
    unit = rig.names.index("H1")
    breaker = rig.gear.breakers_of(unit)
    rig.gear.trip(breaker)
    rig.run(2.0)
    assert rig.gear.tripped[breaker].all()
    rig.gear.operate(breaker[0], close=True)
    rig.run(1.0)
    assert not rig.gear.tripped[breaker].any()
    assert rig.plant.machine_p[unit] < 15
    rig.run(120.0)
    assert rig.plant.machine_p[unit] > 40


def test_set_points_move_power_within_ramp_and_reactive_power_by_the_regulator(rig):
    unit = rig.names.index("H1")
    start = rig.plant.dynamics.setpoint[unit]
    rig.order("Longtan/H1/P set-point", 85.0)
    rig.run(6.0)
    assert rig.plant.dynamics.setpoint[unit] == pytest.approx(start + 4.0, abs=0.1)  # 40 MW/min
    rig.order("Longtan/H1/Q set-point", 20.0)
    rig.run(120.0)
    assert rig.plant.dynamics.power[unit] == pytest.approx(85.0, abs=2.0)
    assert rig.plant.machine_q[unit] == pytest.approx(20.0, abs=0.5)
    pv = rig.names.index("PV1")
    rig.order("Qingyuan/PV1/Q set-point", -12.0)
    rig.run(5.0)
    assert rig.plant.machine_q[pv] == pytest.approx(-12.0, abs=0.1)


def test_weather_bounds_renewables_and_storage_counts_its_energy(rig):
    wind, storage = rig.names.index("W1"), rig.names.index("B1")
    rig.order("Fenghe/W1/P set-point", 80.0)
    rig.order("Fenghe/B1/P set-point", 30.0)
    soc = rig.plant.state_of_charge[storage]
    rig.run(360.0, step=1.0)
    assert rig.plant.machine_p[wind] == pytest.approx(rig.plant.available[wind], abs=0.5)
    assert rig.plant.available[wind] < 80
    drawn = (soc - rig.plant.state_of_charge[storage]) * 60.0
    assert drawn == pytest.approx(30.0 * 0.1 / 0.95, rel=0.03)
    rig.plant.state_of_charge[storage] = 0.01
    rig.run(10.0)
    assert rig.plant.machine_p[storage] == pytest.approx(0.0, abs=0.1)


def test_interlocks_and_refusals(rig):
    rig.run(1.0)
    for path, value, reason in (
        ("Beishan/220kV/Heishan 1/2111", 1.0, "carries load"),
        ("Longtan/H1/P set-point", 500.0, "outside"),
        ("Beishan/220kV/Heishan 1/2110", 3.0, "not a switch command"),
    ):
        with pytest.raises(RefusedError, match=reason):
            rig.order(path, value)
    tap = next(c for c in rig.tables.controls if c.control_type == "TapPosition")
    row = rig.gear.tap_index[tap.equipment]
    rig.plant.tap_step[row] = rig.equipment.tap_high[row]
    with pytest.raises(RefusedError, match="end position"):
        rig.gear.command(tap, 2.0, select=True)
    rig.gear.command(tap, 1.0, select=True)
    rig.run(5.0)
    assert rig.plant.tap_step[row] == rig.equipment.tap_high[row], "a selection moves nothing"
    rig.gear.command(tap, 1.0, select=False)
    with pytest.raises(RefusedError, match="in operation"):
        rig.gear.command(tap, 1.0, select=False)
    rig.run(5.0)
    assert rig.plant.tap_step[row] == rig.equipment.tap_high[row] - 1
    rig.gear.local.add(tap.channel)
    with pytest.raises(RefusedError, match="local"):
        rig.gear.command(tap, 1.0, select=False)
    rig.gear.unit_remote[:] = False
    with pytest.raises(RefusedError, match="local"):
        rig.order("Longtan/H1/P set-point", 60.0)


def test_a_disconnector_with_a_closed_way_beside_it_breaks_no_load(rig):
    rig.run(1.0)
    rig.order("Beishan/220kV/Heishan 1/2112", 2.0)
    rig.run(10.0)
    rig.order("Beishan/220kV/Heishan 1/2111", 1.0)
    rig.run(10.0)
    with pytest.raises(RefusedError, match="carries load"):
        rig.order("Beishan/220kV/Heishan 1/2112", 1.0)


def test_every_earthing_switch_on_a_live_part_is_interlocked_and_a_dead_bay_may_be_earthed(rig):
    rig.run(1.0)
    live = rig.plant.live_node
    tried = 0
    for switch, node in rig.equipment.earthing.items():
        if live[node]:
            tried += 1
            with pytest.raises(RefusedError, match="earth"):
                rig.gear.check_switch(switch, close=True)
    assert tried > 50
    for path, value in (("Beishan/10kV/F1/9110", 1.0), ("Beishan/10kV/F1/9111", 1.0)):
        rig.order(path, value)
        rig.run(3.0)
    outer = rig.equipment.node_of[rig.tables.by_path["Beishan/10kV/F1/P"].terminal]
    earth = next(switch for switch, node in rig.equipment.earthing.items() if node == outer)
    rig.gear.check_switch(earth, close=True)
    rig.gear.operate(earth, close=True)
    rig.run(3.0)
    rig.order("Beishan/10kV/F1/9111", 2.0)
    rig.run(3.0)
    with pytest.raises(RefusedError, match="earth"):
        rig.order("Beishan/10kV/F1/9110", 2.0)


def test_flow_through_switches_obeys_kirchhoff(rig):
    rig.run(1.0)
    grid = rig.equipment.grid
    flow = rig.plant.switch_power(range(len(grid.switch_ids)))
    left = rig.plant.node_injection()
    np.add.at(left, grid.switch_from, -flow)
    np.add.at(left, grid.switch_to, flow)
    assert np.abs(left).max() < 1e-2


def test_a_power_flow_without_solution_gives_no_values(rig, caplog):
    rig.run(1.0)
    rig.equipment.load_p[:] *= 8.0
    rig.plant.solve()
    assert not rig.plant.solution.converged
    assert np.isnan(rig.plant.node_kv()).any()
    assert "power flow" in caplog.text


def test_the_same_seed_gives_the_same_run(demo_model):
    settings = SimSettings(start_hour=10.0)
    runs = []
    for _ in range(2):
        rig = Rig(demo_model, settings)
        rig.run(20.0)
        runs.append(rig.plant.machine_p.copy())
    assert np.array_equal(*runs)


def test_frequency_relay_blacks_out_a_hopeless_island(rig, caplog):
    rig.run(1.0)
    for unit in ("G2", "H1", "H2", "G1"):
        rig.gear.trip(rig.gear.breakers_of(rig.names.index(unit)))
    for path in ("Beishan/220kV/Lianhua 1/2140", "Donghu/220kV/Hongqi 1/2130"):
        rig.order(path, 1.0)
    rig.run(30.0)
    assert np.isnan(rig.plant.frequencies()["East"])
    assert rig.kv("Beishan/220kV/Bus I/Uab") == 0.0
    assert rig.plant.frequencies()["West"] > 49


def test_all_controls_of_the_model_can_be_answered(rig):
    kinds = set()
    for control in rig.tables.controls:
        kinds.add(control.kind)
        value = 1.0 if control.kind is not ControlKind.SETPOINT else (control.minimum + control.maximum) / 2
        with contextlib.suppress(_StateError):
            rig.answer(control, value)
    assert len(kinds) == 3
