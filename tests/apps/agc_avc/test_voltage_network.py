"""Sensitivities of the live network: they predict what a second power flow finds, and are absent where the state is not known."""

from pathlib import Path

import numpy as np
import pytest

from scada.apps.agc_avc.avc.network import VoltageNetwork
from scada.apps.agc_avc.inputs import Measurements
from scada.apps.network.busbranch import reduce
from scada.apps.network.powerflow import solve
from scada.core.errors import ModelError
from scada.core.quality import Quality
from scada.model_cim.points import load_model
from scada.rtdb.changes import Snapshot

GRID = Path(__file__).resolve().parents[3] / "examples" / "demo-grid"


@pytest.fixture(scope="module")
def demo():
    model, tables, _ = load_model(GRID)
    return model, tables, VoltageNetwork(model, tables, tables.zones)


def measured(network, changes=()):
    """The state of the model's files as measurements, with some values changed."""
    equipment, values = network._equipment, {}
    for row, (p, q) in enumerate(network._load):
        values[p], values[q] = equipment.load_p[row], equipment.load_q[row]
    for row, (p, q) in enumerate(network._machine):
        values[p], values[q] = equipment.machines[row].p, equipment.machines[row].q
    values |= {
        pid: 1.0 if open_ else 2.0 for pid, open_ in zip(network._switch, equipment.switch_open, strict=True) if pid is not None
    }
    values |= dict(zip(network._tap, equipment.tap_step, strict=True))
    values |= dict(changes)
    pids = np.array(sorted(values), dtype=np.uint32)
    column = np.array([values[int(pid)] for pid in pids])
    zero = np.zeros(len(pids), dtype=np.int64)
    return Snapshot(1, pids, column, np.zeros(len(pids), dtype=np.uint32), zero, zero)


def pilot_kv(network, snapshot):
    """Voltages of the pilots from a power flow of its own."""
    inputs, equipment = Measurements(snapshot), network._equipment
    grid = equipment.grid
    open_ = np.array(
        [
            initial if pid is None else inputs.read(pid) != 2.0
            for pid, initial in zip(network._switch, equipment.switch_open, strict=True)
        ]
    )
    tap = np.array([inputs.read(pid) for pid in network._tap])
    buses = reduce(grid, open_, tap, equipment.sections)
    solution = solve(buses, network._injections(buses, network._loads(inputs)[0], *network._machines(inputs)))
    assert solution.converged
    at = buses.bus_of_node[network._pilot_node]
    return np.abs(solution.voltage[at]) * buses.bus_kv[at]


def test_a_small_reactive_step_moves_the_pilots_as_predicted(demo):
    _, tables, network = demo
    base = measured(network)
    found, why = network.sensitivity(Measurements(base))
    assert why == ""
    before = pilot_kv(network, base)
    sources = [source for zone in tables.zones for source in zone.sources]
    for column, source in enumerate(sources[:3]):
        row = list(network._equipment.grid.machine_ids).index(source.mrid)
        pid = network._machine[row][1]
        after = pilot_kv(network, measured(network, {pid: network._equipment.machines[row].q + 2.0}.items()))
        assert found.sources[:, column] * 2.0 == pytest.approx(after - before, abs=2e-3)


def test_a_tap_step_moves_the_pilots_as_predicted(demo):
    _, tables, network = demo
    base = measured(network)
    found, _ = network.sensitivity(Measurements(base))
    before = pilot_kv(network, base)
    devices = [device for zone in tables.zones for device in zone.devices]
    column = next(index for index, device in enumerate(devices) if device.kind == "tap")
    device = devices[column]
    row = list(network._equipment.grid.tap_ids).index(device.mrid)
    step = 1 if device.raise_increases_voltage else -1
    after = pilot_kv(network, measured(network, {network._tap[row]: network._equipment.tap_step[row] + step}.items()))
    assert found.devices[:, column] == pytest.approx(after - before, abs=0.03)
    own = next(index for index, pilot in enumerate(network._pilots) if pilot.mrid == device.pilot)
    assert found.devices[own, column] > 0.05


def test_without_measured_loads_nothing_is_computed(demo):
    network = demo[2]
    snapshot = measured(network)
    loads = {pid for pair in network._load for pid in pair}
    snapshot.quality[np.isin(snapshot.pid, list(loads))] = int(Quality.INVALID)
    found, why = network.sensitivity(Measurements(snapshot))
    assert found is None
    assert "loads are not measured" in why


def test_a_dead_pilot_has_no_sensitivity(demo):
    _, tables, network = demo
    feeding = [p for p in tables.points if p.path.startswith("Nanping/110kV/") and p.measurement_type == "SwitchPosition"]
    found, why = network.sensitivity(Measurements(measured(network, {int(p.pid): 1.0 for p in feeding}.items())))
    assert why == ""
    dead = [index for index, pilot in enumerate(network._pilots) if pilot.name.startswith("Nanping/")]
    assert dead
    assert np.isnan(found.sources[dead]).all()
    assert np.isfinite(np.delete(found.sources, dead, axis=0)).all()


def test_a_zone_that_is_not_in_the_network_is_an_error(demo):
    from dataclasses import replace

    model, tables, _ = demo
    zone = replace(tables.zones[0], pilots=[replace(tables.zones[0].pilots[0], mrid="nowhere", name="Nowhere")])
    with pytest.raises(ModelError, match="Nowhere"):
        VoltageNetwork(model, tables, [zone])


def test_a_reactive_step_moves_the_buses_of_the_sources_as_predicted(demo):
    """Their own buses answer most; the judge is a second power flow."""
    _, _, network = demo
    base = measured(network)
    found, _ = network.sensitivity(Measurements(base))
    sources, grid = network._sources, network._equipment.grid
    assert found.buses.shape == (len(sources), len(sources))
    assert found.device_buses.shape == (len(sources), len(network._devices))
    row = list(grid.machine_ids).index(sources[0].mrid)
    pid = network._machine[row][1]
    after = measured(network, {pid: network._equipment.machines[row].q + 2.0}.items())
    pilots, network._pilot_node = network._pilot_node, grid.machine_node[network._source_row]
    try:
        change = pilot_kv(network, after) - pilot_kv(network, base)
    finally:
        network._pilot_node = pilots
    assert found.buses[:, 0] * 2.0 == pytest.approx(change, abs=2e-3)
    assert found.buses[0, 0] > 0


@pytest.mark.parametrize("position", [0.0, 3.0, None])
def test_a_switch_whose_position_is_lost_stays_where_it_was_seen(demo, position):
    """It does not open, which would make the pilots behind it dead."""
    model, tables, _ = demo
    network = VoltageNetwork(model, tables, tables.zones)
    pids = [int(p.pid) for p in tables.points if p.path.startswith("Nanping/110kV/") and p.measurement_type == "SwitchPosition"]
    before, _ = network.sensitivity(Measurements(measured(network)))
    lost = measured(network, dict.fromkeys(pids, position or 0.0).items())
    if position is None:
        lost.quality[np.isin(lost.pid, pids)] = int(Quality.INVALID)
    found, why = network.sensitivity(Measurements(lost))
    assert why == ""
    assert np.array_equal(found.sources, before.sources, equal_nan=True)
    assert network.sensitivity(Measurements(measured(network, dict.fromkeys(pids, 1.0).items())))[0].dead.any()
    assert network.sensitivity(Measurements(lost))[0].dead.any(), "open was the last that was seen"


@pytest.mark.parametrize("step", [500.0, -500.0])
def test_a_step_beyond_the_ends_is_not_believed(demo, step):
    network = demo[2]
    before, _ = network.sensitivity(Measurements(measured(network)))
    found, why = network.sensitivity(Measurements(measured(network, {network._tap[0]: step}.items())))
    assert why == ""
    assert np.array_equal(found.sources, before.sources, equal_nan=True)


@pytest.mark.parametrize(("steps", "on", "off", "bad"), [((0, 0), 2.0, 1.0, 3.0), ((0, 1), 1.0, 0.0, 7.0)])
def test_a_bank_without_a_switch_is_in_service_as_its_position_says(demo, steps, on, off, bad):
    """Both a bank of two positions and a stepped one; the judge is the losses, which a bank changes."""
    from dataclasses import replace

    model, tables, _ = demo
    pid = 1 + max(int(point.pid) for point in tables.points)
    bank = next(device for zone in tables.zones for device in zone.devices if device.kind != "tap")
    own = replace(bank, position=pid, low_step=steps[0], high_step=steps[1])
    zones = [replace(zone, devices=[own if one is bank else one for one in zone.devices]) for zone in tables.zones]
    network = VoltageNetwork(model, tables, zones)
    assert pid in network.pids
    closed = {pid: 2.0 for pid in network._switch if pid is not None}  # its own breaker hides nothing

    def losses(position):
        return network.sensitivity(Measurements(measured(network, (closed | {pid: position}).items())))[0].losses_mw

    assert losses(on) != losses(off)
    assert losses(bad) == losses(on), "not believed: as the model has it"
