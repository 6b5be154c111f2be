# ruff: noqa: SLF001 - pandapower keeps its matrices in private members
"""``mv_day.py FOLDER CODE DAY``: a SimBench medium-voltage net as arrays, with a day of its own profiles and every tap position.

Writes ``FOLDER/CODE.npz``: two-ports per unit on 100 MVA with the tap changers of the main transformers in each position, and for
the 96 quarters of the day the load (MW, Mvar) and the infeed (MW) at each bus; and the voltages of pandapower at three quarters.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pandapower as pp
import simbench
from pandapower.pypower.idx_brch import F_BUS, T_BUS
from pandapower.pypower.idx_bus import BASE_KV, BS, GS
from pandapower.pypower.makeYbus import branch_vectors

BASE_MVA = 100.0


def ports(branch: np.ndarray) -> np.ndarray:
    """Two-ports of pandapower's branch table."""
    tt, ff, ft, tf = branch_vectors(branch, len(branch))[:4]
    return np.stack([np.stack([ff, ft], -1), np.stack([tf, tt], -1)], -2)


def main() -> int:
    """Write the net."""
    folder, code, day = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    warnings.simplefilter("ignore")
    net = simbench.get_simbench_net(code)
    net.trafo["tap_dependency_table"] = False
    net.storage["in_service"] = False
    values = simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)
    setting = {"trafo_model": "pi", "calculate_voltage_angles": False, "tolerance_mva": 1e-8}
    pp.runpp(net, **setting)
    lookup = net._pd2ppc_lookups["bus"]
    scale = net.sn_mva / BASE_MVA
    low, high = int(net.trafo.tap_min.min()), int(net.trafo.tap_max.max())
    taps = list(range(low, high + 1))
    by_tap = []
    for tap in taps:
        net.trafo["tap_pos"] = tap
        pp.runpp(net, **setting)
        by_tap.append(ports(net._ppc["internal"]["branch"]) * scale)
    inner = net._ppc["internal"]
    bus, branch = inner["bus"].real, inner["branch"]
    n = len(bus)
    quarters = slice(day * 96, (day + 1) * 96)

    def at_buses(table: str, column: str) -> np.ndarray:
        series = values[(table, column)].iloc[quarters].to_numpy()
        rows = lookup[net[table].bus.to_numpy()]
        found = np.zeros((96, n))
        for place, row in enumerate(rows):
            if net[table].in_service.iloc[place]:
                found[:, row] += series[:, place] * net[table].scaling.iloc[place]
        return found

    load_p, load_q, infeed = at_buses("load", "p_mw"), at_buses("load", "q_mvar"), at_buses("sgen", "p_mw")
    rated = np.zeros(n)
    np.add.at(rated, lookup[net.sgen.bus.to_numpy()], net.sgen.sn_mva.to_numpy())
    checked = {}
    net.trafo["tap_pos"] = 0
    for quarter in (0, 40, 72):
        for table, column in (("load", "p_mw"), ("load", "q_mvar"), ("sgen", "p_mw")):
            net[table][column] = values[(table, column)].iloc[day * 96 + quarter].to_numpy()
        net.sgen["q_mvar"] = 0.0
        pp.runpp(net, **setting)
        checked[quarter] = np.abs(net._ppc["internal"]["V"])
    trafo = net._pd2ppc_lookups["branch"]["trafo"]
    np.savez(
        folder / f"{code}.npz",
        bus_kv=bus[:, BASE_KV], ends=branch[:, [F_BUS, T_BUS]].real.astype(int), taps=taps, by_tap=np.array(by_tap),
        shunt=(bus[:, GS] + 1j * bus[:, BS]) / BASE_MVA, ref=inner["ref"], v_ref=np.abs(inner["V"][inner["ref"]]),
        load_p=load_p, load_q=load_q, infeed=infeed, rated=rated, trafo=np.arange(*trafo),
        checked_quarters=list(checked), checked=np.array(list(checked.values())),
    )  # fmt: skip
    print(f'{{"buses": {n}}}')
    return 0


if __name__ == "__main__":
    sys.exit(main())
