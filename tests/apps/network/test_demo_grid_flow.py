"""The demo grid read by our reader and by pypowsybl, solved by both: every busbar voltage, every line and winding flow."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scada.apps.network.busbranch import reduce
from scada.apps.network.equipment import read_equipment
from scada.apps.network.powerflow import Injections, solve
from scada.model_cim.reader import ModelReader

GRID = Path(__file__).resolve().parents[3] / "examples" / "demo-grid"


@pytest.fixture(scope="module")
def equipment():
    if not (GRID / "EQ.xml").exists():
        pytest.skip("the demo grid is not here")
    return read_equipment(ModelReader(GRID).read())


@pytest.fixture(scope="module")
def judged(powsybl, tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "grid.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for stem in ("EQ", "SSH"):
            archive.write(GRID / f"{stem}.xml", f"{stem}.xml")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = powsybl.network.load(str(path))
        parameters = powsybl.loadflow.Parameters(
            distributed_slack=False, use_reactive_limits=True, provider_parameters={"newtonRaphsonConvEpsPerEq": "1e-8"}
        )
        result = powsybl.loadflow.run_ac(network, parameters)[0]
        assert result.status == powsybl.loadflow.ComponentStatus.CONVERGED
        found = result.slack_bus_results[0]  # lives in native memory
        slack = ("".join(found.id), float(found.active_power_mismatch))
        tables = (
            network.get_busbar_sections(all_attributes=True),
            network.get_lines(),
            network.get_2_windings_transformers(),
            network.get_3_windings_transformers(),
        )
    return slack, tables


def _solve(equipment, slack_node):
    grid = equipment.grid
    net = reduce(grid, equipment.switch_open, equipment.tap_step, equipment.sections)
    n, at, loads = net.bus_count, net.bus_of_node[grid.machine_node], net.bus_of_node[grid.load_node]
    machines = equipment.machines
    p = np.bincount(at, [m.p for m in machines], n) - np.bincount(loads, equipment.load_p, n)
    q = -np.bincount(loads, equipment.load_q, n)
    v_set = np.full(n, np.nan)
    for machine, bus in zip(machines, at, strict=True):
        v_set[bus] = machine.v_set / net.bus_kv[bus]
    share = np.zeros(n)
    share[net.bus_of_node[slack_node]] = 1.0
    q_min, q_max = (np.bincount(at, [getattr(m, name) for m in machines], n) for name in ("q_min", "q_max"))
    return net, solve(net, Injections(p, q, v_set, q_min, q_max, share), tolerance=1e-9)


@pytest.mark.interop
def test_demo_grid_agrees_with_openloadflow(equipment, judged):
    (slack_bus, mismatch), (sections, lines, twos, threes) = judged
    slack_section = sections.index[sections.bus_id == slack_bus]
    assert len(slack_section), "the judge's slack is a busbar"
    net, solution = _solve(equipment, equipment.node_of[slack_section[0]])
    assert solution.converged
    assert solution.islands[0].slack_mw == pytest.approx(mismatch, abs=1e-3)
    volts = np.abs(solution.voltage) * net.bus_kv
    for mrid, section in sections.iterrows():
        bus = net.bus_of_node[equipment.node_of[mrid]]
        ours = volts[bus] / net.bus_kv[bus]
        assert ours == pytest.approx(section.v / net.bus_kv[bus], abs=1e-5), mrid
    s_from, s_to = net.branch_flow(solution.voltage)
    rows: dict[str, list[int]] = {}
    for row, mrid in enumerate(equipment.grid.branch_ids):
        rows.setdefault(mrid, []).append(row)
    for table in (lines, twos):
        for mrid, branch in table.iterrows():
            (row,) = rows[mrid]
            ours = [s_from[row].real, s_from[row].imag, s_to[row].real, s_to[row].imag]
            assert ours == pytest.approx([branch.p1, branch.q1, branch.p2, branch.q2], abs=0.02), mrid
    for mrid, branch in threes.iterrows():
        ours = [value for row in rows[mrid] for value in (s_from[row].real, s_from[row].imag)]
        assert ours == pytest.approx([branch.p1, branch.q1, branch.p2, branch.q2, branch.p3, branch.q3], abs=0.02), mrid


def test_open_switch_out_of_service_and_disconnected_terminal_are_all_open(tmp_path):
    """CIM: a switch conducts only if it is closed, in service and connected at both terminals."""
    text = (Path(__file__).parent / "two_feeders.xml").read_text()
    for change, islands in (
        (None, 1),
        (("<cim:Switch.open>false</cim:Switch.open>", "<cim:Switch.open>true</cim:Switch.open>"), 2),
        (
            (
                "<cim:Equipment.inService>true</cim:Equipment.inService>",
                "<cim:Equipment.inService>false</cim:Equipment.inService>",
            ),
            2,
        ),
        (
            (
                "<cim:ACDCTerminal.connected>true</cim:ACDCTerminal.connected>",
                "<cim:ACDCTerminal.connected>false</cim:ACDCTerminal.connected>",
            ),
            2,
        ),
    ):
        (tmp_path / "grid.xml").write_text(text.replace(*change, 1) if change else text)
        found = read_equipment(ModelReader(tmp_path).read())
        net = reduce(found.grid, found.switch_open, found.tap_step, found.sections)
        assert len(np.unique(net.bus_of_node)) == islands, change
