"""``voltage_qp.py FILE``: solvers at the problems of FILE, limits as hard constraints; prints times in ms of CPU as a line of JSON.

A solver's ``gap`` is the difference of its answer to DAQP's at its tightest tolerances, Mvar.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import daqp
import numpy as np
import osqp
import piqp
import proxsuite
import scipy.sparse as sp

UNLIMITED = 1e30


class Daqp:
    """Dual active set."""

    def __init__(self, h, a, low, high):
        self.h, self.a, self.low, self.high = h, a, low, high
        self.sense = np.where(low == high, 5, 0).astype(np.intc)

    def solve(self, f, low, high, warm):
        del warm
        x, _, flag, _ = daqp.solve(self.h, f, self.a, high, low, self.sense, primal_tol=1e-10)
        return x if flag == 1 else None


class Prox:
    """ProxQP, dense."""

    def __init__(self, h, a, low, high):
        n, m = len(h), len(a)
        self.a, self.h, self.n = a, h, n
        self.solver = proxsuite.proxqp.dense.QP(n, 0, m, True)
        self.solver.settings.eps_abs = 1e-9
        self.started = False

    def solve(self, f, low, high, warm):
        n, settings = self.n, self.solver.settings
        cold = proxsuite.proxqp.InitialGuess.NO_INITIAL_GUESS
        settings.initial_guess = proxsuite.proxqp.InitialGuess.WARM_START_WITH_PREVIOUS_RESULT if warm else cold
        if self.started and warm:
            self.solver.update(g=f, l=low[n:], u=high[n:], l_box=low[:n], u_box=high[:n])
        else:
            self.solver.init(self.h, f, None, None, self.a, low[n:], high[n:], low[:n], high[:n])
            self.started = True
        self.solver.solve()
        done = self.solver.results.info.status == proxsuite.proxqp.QPSolverOutput.PROXQP_SOLVED
        return np.array(self.solver.results.x) if done else None


class Piqp:
    """PIQP, dense."""

    def __init__(self, h, a, low, high):
        self.solver, self.started, self.h, self.a = piqp.DenseSolver(), False, h, a
        self.solver.settings.eps_abs = self.solver.settings.eps_rel = 1e-9

    def solve(self, f, low, high, warm):
        n = len(self.h)
        del warm
        if self.started:
            self.solver.update(c=f, h_l=low[n:], h_u=high[n:], x_l=low[:n], x_u=high[:n])
        else:
            self.solver.setup(self.h, f, None, None, self.a, low[n:], high[n:], low[:n], high[:n])
            self.started = True
        self.solver.solve()
        return np.array(self.solver.result.x)


class Osqp:
    """OSQP."""

    def __init__(self, h, a, low, high):
        n = len(h)
        self.solver = osqp.OSQP()
        rows = sp.csc_matrix(np.vstack([np.eye(n), a]))
        tolerance = {"eps_abs": 1e-6, "eps_rel": 1e-6, "max_iter": 20_000}
        self.solver.setup(sp.csc_matrix(np.triu(h)), np.zeros(n), rows, low, high, verbose=False, **tolerance)

    def solve(self, f, low, high, warm):
        self.solver.update(q=f, l=low, u=high)
        if not warm:
            self.solver.warm_start(x=np.zeros(len(f)), y=np.zeros(len(low)))
        found = self.solver.solve(raise_error=False)
        return np.array(found.x)


CYCLES = {"daqp": 25, "proxqp": 8, "piqp": 4, "osqp": 4}
"""The slow ones do fewer: the least time counts."""
SOLVERS = {"daqp": Daqp, "proxqp": Prox, "piqp": Piqp, "osqp": Osqp}


def main():
    """Run them all."""
    warnings.simplefilter("ignore")
    data = np.load(sys.argv[1])
    answer = {}
    for variant in ("a", "b"):
        h, a = data[f"{variant}_h"], np.ascontiguousarray(data[f"{variant}_rows"])
        exact = data[f"{variant}_x"]
        for name, kind in SOLVERS.items():
            lows, highs = np.maximum(data[f"{variant}_low"], -UNLIMITED), np.minimum(data[f"{variant}_high"], UNLIMITED)
            times, gaps, failed = {"cold": [], "warm": []}, [], 0
            runs = (("cold", False), ("warm", True)) if name in ("proxqp", "osqp") else (("cold", False),)
            for label, warm in runs:
                solver = kind(h, a, lows[0], highs[0])
                for cycle, (f, low, high) in enumerate(zip(data[f"{variant}_f"], lows, highs, strict=True)):
                    if cycle >= CYCLES[name]:
                        break
                    begin = time.process_time()
                    x = solver.solve(f, low, high, warm)
                    took = 1e3 * (time.process_time() - begin)
                    if cycle:
                        times[label].append(took)
                    failed += x is None
                    if x is not None:
                        gaps.append(float(np.abs(x - exact[cycle]).max()))
            shown = {label: [min(found), float(np.median(found))] for label, found in times.items() if found}
            answer[f"{variant}.{name}"] = shown | {"gap": max(gaps, default=None), "failed": failed}
    sys.stdout.write(json.dumps(answer) + "\n")


main()
