"""``cases.py FOLDER CASE ...``: MATPOWER cases of pandapower as arrays, with the voltages, sensitivities and times of the peers.

Each case becomes ``FOLDER/CASE.npz``: two-ports and shunts per unit (pandapower's own, ``branch_vectors``), powers in MW and Mvar,
voltages of pandapower and lightsim2grid (KLU, one slack) without reactive limits, their answers to small actions by differences of
two power flows, and their times in ms (best of several, CPU of the process).
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandapower as pp
import pandapower.networks as cases
from lightsim2grid.algorithm import NRSing_KLU
from pandapower.pypower.idx_brch import F_BUS, T_BUS, TAP
from pandapower.pypower.idx_bus import BASE_KV, BS, GS
from pandapower.pypower.makeYbus import branch_vectors, makeYbus

BASE_MVA = 100.0
TOLERANCE = 1e-8
"""Per unit, of the timed solutions."""
EXACT = 1e-11
"""Per unit, of those that are compared."""
DIFFERENCE = 1e-3
"""Per unit: half the step of the differences."""


def best_ms(work, times=7):
    """Least CPU time of several runs."""
    found = []
    for _ in range(times):
        begin = time.process_time()
        work()
        found.append(1e3 * (time.process_time() - begin))
    return min(found)


def ports(branch):
    """Two-ports of pandapower's branch table."""
    tt, ff, ft, tf = branch_vectors(branch, len(branch))[:4]
    return np.stack([np.stack([ff, ft], -1), np.stack([tf, tt], -1)], -2)


class Peer:
    """lightsim2grid's Newton with KLU on given matrices."""

    def __init__(self, ybus, internal):
        self.ybus, self.internal = ybus.tocsc(), internal
        self.flat = np.ones(ybus.shape[0], complex)
        held = np.concatenate([internal["ref"], internal["pv"]])
        self.flat[held] = np.abs(internal["V"][held])
        self.ref, self.pv, self.pq = (np.asarray(internal[name], np.int32) for name in ("ref", "pv", "pq"))
        self.weight = np.zeros(ybus.shape[0])
        self.weight[self.ref] = 1.0
        self.solver = NRSing_KLU()

    def solve(self, s, start, tolerance=TOLERANCE):
        """Voltages for per-unit injections."""
        if not self.solver.solve(self.ybus, start, s, self.ref, self.weight, self.pv, self.pq, 20, tolerance):
            raise RuntimeError("lightsim2grid does not converge")
        return self.solver.get_V().copy()


def differences(peer, s, start, branch, bus):
    """dV/dQ at PQ buses, dV/dVset at PV buses, and dV by the tap ratio of branches; magnitudes per unit."""

    def answer(up, down):
        return (np.abs(up) - np.abs(down)) / (2 * DIFFERENCE)

    at_q = peer.pq[:: max(1, len(peer.pq) // 5)][:5]
    at_v = peer.pv[:: max(1, len(peer.pv) // 3)][:3]
    by_q, by_v, by_tap = [], [], []
    for place in at_q:
        step = np.zeros(len(s), complex)
        step[place] = 1j * DIFFERENCE
        by_q.append(answer(*(peer.solve(s + sign * step, start.copy(), EXACT) for sign in (1, -1))))
    for place in at_v:
        step = np.ones(len(s))
        step[place] = DIFFERENCE / np.abs(start[place])
        moved = [start * np.where(step == 1, 1, 1 + sign * step) for sign in (1, -1)]
        by_v.append(answer(*(peer.solve(s, v.copy(), EXACT) for v in moved)))
    rows = np.flatnonzero(branch[:, TAP].real != 1)
    rows = rows[:: max(1, len(rows) // 3)][:3]
    for row in rows:
        solved = []
        for sign in (1, -1):
            changed = branch.copy()
            changed[row, TAP] += sign * DIFFERENCE
            solved.append(Peer(makeYbus(BASE_MVA, bus, changed)[0], peer.internal).solve(s, start.copy(), EXACT))
        by_tap.append(answer(*solved))
    return {
        "at_q": at_q, "at_v": at_v, "at_tap": rows,
        "by_q": np.array(by_q), "by_v": np.array(by_v), "by_tap": np.array(by_tap),
    }  # fmt: skip


def pandapower_difference(net, at):
    """dV/dQ at a bus by pandapower itself: its net with a little reactive power there, per unit."""
    lookup = net._pd2ppc_lookups["bus"]
    own = int(np.flatnonzero(lookup[net.bus.index] == at)[0])
    found = []
    place = pp.create_sgen(net, int(net.bus.index[own]), 0.0, 0.0)
    for sign in (1, -1):
        net.sgen.at[place, "q_mvar"] = sign * DIFFERENCE * BASE_MVA
        pp.runpp(net, init="results", tolerance_mva=EXACT * BASE_MVA, calculate_voltage_angles=True, trafo_model="pi", max_iteration=20)
        found.append(np.abs(net._ppc["internal"]["V"]))
    return (found[0] - found[1]) / (2 * DIFFERENCE)


def dump(name, folder, *, timed):
    """Write one case."""
    net = getattr(cases, name)()
    setting = {"tolerance_mva": TOLERANCE * BASE_MVA, "calculate_voltage_angles": True, "trafo_model": "pi", "max_iteration": 20}
    init = "dc" if name == "case6515rte" else "flat"
    pp.runpp(net, init=init, **setting | {"tolerance_mva": EXACT * BASE_MVA})
    internal = {key: np.copy(value) if isinstance(value, np.ndarray) else value for key, value in net._ppc["internal"].items()}
    scale = net.sn_mva / BASE_MVA
    if scale != 1.0:
        raise RuntimeError(f"{name} has a base of {net.sn_mva} MVA")
    bus, branch, s, theirs = internal["bus"].real, internal["branch"], internal["Sbus"], internal["V"]
    ybus = internal["Ybus"]
    peer = Peer(ybus, internal)
    start = theirs if init == "dc" else peer.flat
    ls_voltage = peer.solve(s, start.copy(), EXACT)
    y, ends = ports(branch), branch[:, [F_BUS, T_BUS]].real.astype(int)
    found = differences(peer, s, theirs, branch, bus)
    up, down = branch.copy(), branch.copy()
    up[found["at_tap"], TAP] += DIFFERENCE
    down[found["at_tap"], TAP] -= DIFFERENCE
    tap_change = (ports(up) - ports(down))[found["at_tap"]] / (2 * DIFFERENCE)
    v_set = np.full(len(bus), np.nan)
    held = np.concatenate([internal["ref"], internal["pv"]])
    v_set[held] = np.abs(theirs[held])
    times = {"lightsim2grid": np.nan, "pandapower": np.nan, "pandapower.recycled": np.nan}
    if timed:
        times["lightsim2grid"] = best_ms(lambda: peer.solve(s, start.copy()))
        times["pandapower"] = best_ms(lambda: pp.runpp(net, init=init, **setting), 3)
        recycle = {"bus_pq": True, "trafo": False, "gen": False}
        pp.runpp(net, init=init, recycle=recycle, **setting)
        times["pandapower.recycled"] = best_ms(lambda: pp.runpp(net, init=init, recycle=recycle, **setting), 5)
    np.savez(
        folder / f"{name}.npz",
        bus_kv=bus[:, BASE_KV], ends=ends, y=y, shunt=(bus[:, GS] + 1j * bus[:, BS]) / BASE_MVA,
        p=s.real * BASE_MVA, q=s.imag * BASE_MVA, v_set=v_set, ref=internal["ref"], pandapower=theirs, lightsim2grid=ls_voltage,
        by_q_pandapower=pandapower_difference(net, found["at_q"][0]), tap_change=tap_change,
        time_names=list(times), times=list(times.values()), **found,
    )  # fmt: skip


def main():
    """Dump the cases asked for; ``--untimed`` leaves the times out."""
    warnings.simplefilter("ignore")
    names = [name for name in sys.argv[2:] if not name.startswith("--")]
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        dump(name, folder, timed="--untimed" not in sys.argv)


main()
