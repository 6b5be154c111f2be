"""Public CIM models beside the repository: the power flow from a flat start against the voltages that their authors filed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scada.apps.network.busbranch import reduce
from scada.apps.network.equipment import read_equipment
from scada.apps.network.powerflow import Injections, PowerFlow
from scada.apps.network.shadow_flow import flows
from scada.apps.network.shadow_state import Readings, Side, Sight
from scada.apps.network.solved_state import _injected, _voltages
from scada.model_cim.points import build_tables
from scada.model_cim.reader import ModelReader

MODELS = Path(__file__).parents[3].parent / "shared" / "data" / "cim"


def read(name):
    if not (MODELS / name).is_file():
        pytest.skip("the public models are not here")
    return ModelReader(MODELS / name).read()


def against_filed(model):
    """Differences of voltages per unit and radians, where powers and the machines' voltages are those of the filed state."""
    equipment = read_equipment(model, solved=True)
    grid = equipment.grid
    net = reduce(grid, equipment.switch_open, equipment.tap_step, equipment.sections)
    filed, _ = _voltages(model, equipment, net)
    known = np.isfinite(filed)
    power, _, _ = _injected(model, equipment, net, known)
    at = net.bus_of_node[grid.machine_node]
    running = np.array([np.isfinite(machine.v_set) and abs(machine.p) + abs(machine.q) > 0 for machine in equipment.machines])
    v_set = np.full(net.bus_count, np.nan)
    held = at[running & known[at]]
    v_set[held] = np.abs(filed[held])
    far = np.full(net.bus_count, np.inf)
    share = np.where(np.isfinite(v_set), np.maximum(power.real, 1.0), 0.0)
    solution = PowerFlow().solve(net, Injections(power.real, power.imag, v_set, -far, far, share), tolerance=1e-10)
    assert solution.converged, solution.islands
    both = known & solution.live
    size = np.abs(solution.voltage[both]) - np.abs(filed[both])
    turn = np.angle(solution.voltage[both] / filed[both])
    return np.abs(size), np.abs(turn - np.median(turn)), int(both.sum())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "buses", "usual", "most"),
    [
        ("small_nb_cim16.zip", 118, 5e-4, 5e-3),
        ("svedala_relicap_cgmes3.zip", 115, 1e-5, 1e-4),
        ("real_bb_cim16.zip", 6051, 1e-4, 2e-3),
    ],
)
def test_voltages_are_those_filed(name, buses, usual, most):
    """Within what the files round; 95 % of the buses and all."""
    size, turn, count = against_filed(read(name))
    assert count == buses
    for difference in (size, turn):
        assert np.percentile(difference, 95) < usual
        assert difference.max() < most


@pytest.mark.slow
def test_a_shadow_run_of_realgrid_has_ac_flows():
    """6 051 buses in one island, and no machine with a reactive range."""
    model = read("real_bb_cim16.zip")
    side = Side(model, build_tables(model)[0])
    found = flows(Sight(side, Readings(side, side.tables, None), live=False))
    assert (found.reason, found.dc_because) == ("", "")
    assert found.buses > 6000
    assert len(found.branch) > 10_000
