"""``voltage_case.py FILE``: how the voltages of case2869pegase answer to reactive power, from the Jacobian of pandapower's power flow.

All machines but the reference give reactive power; 500 of them are sources. Pilot nodes are the 100 largest loads away from them.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandapower as pp
import pandapower.networks as cases
from pandapower.pypower.dSbus_dV import dSbus_dV
from pandapower.pypower.idx_bus import BASE_KV, VM
from scipy.sparse import bmat
from scipy.sparse.linalg import splu

PILOTS, SOURCES = 100, 500


def main():
    """Write effects (kV/Mvar), voltages (kV), present and least and greatest Mvar."""
    warnings.simplefilter("ignore")
    net = cases.case2869pegase()
    pp.runpp(net, tolerance_mva=1e-7)
    internal = net._ppc["internal"]
    ybus, voltage, bus, gen = internal["Ybus"], internal["V"], internal["bus"].real, internal["gen"].real
    reference = internal["ref"]
    free = np.setdiff1d(np.arange(len(voltage)), reference)
    by_vm, by_va = dSbus_dV(ybus, voltage)
    by_vm, by_va = by_vm.tocsr()[free][:, free], by_va.tocsr()[free][:, free]
    factor = splu(bmat([[by_va.real, by_vm.real], [by_va.imag, by_vm.imag]], format="csc"))
    machines = np.array([row for row in range(len(gen)) if int(gen[row, 0]) not in reference])
    _, first = np.unique(gen[machines, 0], return_index=True)
    machines = machines[np.sort(first)][:SOURCES]
    at = gen[machines, 0].astype(int)
    right = np.zeros((2 * len(free), len(at)))
    right[len(free) + np.searchsorted(free, at), np.arange(len(at))] = 1.0 / net.sn_mva
    moved = np.zeros((len(voltage), len(at)))
    moved[free] = factor.solve(right)[len(free) :]
    moved *= bus[:, BASE_KV][:, None]
    load = np.where(np.isin(np.arange(len(voltage)), gen[:, 0].astype(int)), 0.0, np.abs(internal["Sbus"]))
    pilots = np.sort(np.argsort(-load, kind="stable")[:PILOTS])
    kv = bus[:, VM] * bus[:, BASE_KV] if np.all(bus[:, VM] > 0) else np.abs(voltage) * bus[:, BASE_KV]
    np.savez(
        sys.argv[1],
        pilots=moved[pilots],
        buses=moved[at],
        pilot_kv=kv[pilots],
        bus_kv=kv[at],
        q=gen[machines, 2],
        q_min=gen[machines, 4],
        q_max=gen[machines, 3],
    )


main()
