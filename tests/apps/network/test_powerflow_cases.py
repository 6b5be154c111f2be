"""MATPOWER cases up to 9 241 buses beside pandapower and lightsim2grid, which run in an environment of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scada.apps.network.busbranch import BusBranch, components
from scada.apps.network.powerflow import Injections, PowerFlow
from scada.apps.network.sensitivity import Sensitivity

BENCH = Path(__file__).parents[3] / "bench"
SMALL = ("case9", "case14", "case118")
LARGE = ("case1354pegase", "case2869pegase", "case9241pegase", "case6515rte")

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    sys.path.insert(0, str(BENCH))
    try:
        from peers import FOLDER, PeerError, environment
    finally:
        sys.path.remove(str(BENCH))
    try:
        python = environment("network") / "python"
    except PeerError as error:
        pytest.skip(str(error))
    out = tmp_path_factory.mktemp("cases")
    command = [str(python), str(FOLDER / "network" / "cases.py"), str(out), *SMALL, *LARGE, "--untimed"]
    subprocess.run(command, check=True, timeout=380, capture_output=True)
    return out


def load(folder, name):
    case = np.load(folder / f"{name}.npz")
    n, (one, two) = len(case["bus_kv"]), case["ends"].astype(np.int64).T.copy()
    net = BusBranch(np.arange(n), case["bus_kv"], components(n, one, two), one, two, case["y"], case["shunt"])
    far, share = np.full(n, 1e9), np.zeros(n)
    share[case["ref"]] = 1.0
    return case, net, Injections(case["p"], case["q"], case["v_set"], -far, far, share)


@pytest.mark.parametrize("name", SMALL + LARGE)
def test_voltages_from_a_flat_start(folder, name):
    case, net, injections = load(folder, name)
    solution = PowerFlow().solve(net, injections, tolerance=1e-11)
    assert solution.converged, solution.islands
    assert solution.islands[0].start == ("dc" if name == "case6515rte" else "flat")
    for peer in ("pandapower", "lightsim2grid"):
        turn = np.exp(1j * np.angle(solution.voltage[case["ref"][0]] / case[peer][case["ref"][0]]))
        assert np.abs(solution.voltage - case[peer] * turn).max() < 1e-8, peer


@pytest.mark.parametrize("name", SMALL + LARGE)
def test_sensitivities_against_differences_of_their_power_flows(folder, name):
    case, net, injections = load(folder, name)
    flow = PowerFlow()
    solution = flow.solve(net, injections, tolerance=1e-11)
    answers = Sensitivity(net, injections, solution, flow.islands)

    def near(ours, theirs):
        return np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()  # differences are exact to the square of their step

    by_q = answers.by_q(case["at_q"]).magnitude * 100.0
    assert near(by_q, case["by_q"].T)
    assert near(by_q[:, 0], case["by_q_pandapower"])
    assert near(answers.by_vset(case["at_v"]).magnitude, case["by_v"].T)
    if len(case["at_tap"]):
        by_tap = answers.by_admittance(case["at_tap"], case["tap_change"]).magnitude
        assert near(by_tap, case["by_tap"].T)
