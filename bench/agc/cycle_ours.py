"""One process: the cycle of our AGC at each size, in the kernel alone and with everything around it."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from agc.dispatch_problem import problem
from agc.fleet import area, snapshot
from numba import njit

from scada.apps.agc_avc.agc.allocation import allocate
from scada.apps.agc_avc.agc.controller import AgcController
from scada.apps.agc_avc.agc.share_kernel import share
from scada.apps.agc_avc.agc.unit_kernels import Rules
from scada.apps.agc_avc.agc.water_filling import NO_GROUPS, water_fill
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcSettings
from scada.core.clock import VirtualClock

SWING = 0.02
"""Change of the demand in a measured cycle, of the sum of what the units generate."""


@njit(nogil=True)
def _shares(t: Any, s: Any, r: Any, zones: Any, groups: Any, demand: float, change: float, target: Any, runs: int) -> None:
    """The kernel again and again from the same state, up and down in turn."""
    for k in range(runs):
        s.target[:] = target
        share(t, s, r, zones, groups, demand, change if k % 2 else -change, 1e9, False, 0.0)


@njit(nogil=True)
def _fills(base: Any, alpha: Any, lo: Any, hi: Any, demand: float, x: Any, runs: int) -> None:
    for _ in range(runs):
        water_fill(base, alpha, lo, hi, demand, x)


def _best(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Least and median seconds."""
    took = []
    for _ in range(repeats):
        before = time.perf_counter()
        work()
        took.append(time.perf_counter() - before)
    return min(took), float(np.median(took))


def measure(count: int, repeats: int) -> dict[str, Any]:
    """Figures of one size, microseconds."""
    found, power = area(count)
    clock = VirtualClock()
    agc = AgcController(found, AgcSettings(start="on"), clock)
    ties = (-0.4 * count, 0.4 * count)
    inputs = [snapshot(power, tie) for tie in ties]

    def cycle(k: int = 0) -> None:
        clock.advance(4.0)
        agc.cycle(Measurements(inputs[k]))

    for k in (0, 1, 0):
        cycle(k)
    whole, whole_median = _best(lambda: cycle(0), repeats)
    fleet = agc._fleet  # noqa: SLF001 - the kernel is measured as the fleet calls it
    t, s = fleet._table, fleet._state  # noqa: SLF001
    rules = Rules(4.0, 0.0, 0, math.inf, False, 15, 0.02, 0.0, 20.0, False)
    target = s.target.copy()
    demand, change = float(target.sum()), SWING * float(np.abs(target).sum())
    runs = max(1, 20_000 // count)
    arguments = (t, s, rules, fleet._zones, NO_GROUPS, demand, change, target)  # noqa: SLF001
    _shares(*arguments, 1)
    kernel, kernel_median = _best(lambda: _shares(*arguments, runs), repeats)
    b, c, lo, hi, total = problem(count)
    x = np.empty(count)
    base, alpha = -b / (2 * c), 1 / (2 * c)
    _fills(base, alpha, lo, hi, total, x, 1)
    fill, _ = _best(lambda: _fills(base, alpha, lo, hi, total, x, runs), repeats)
    called, _ = _best(lambda: allocate(base, alpha, lo, hi, total), repeats)
    return {
        "kernel": 1e6 * kernel / runs,
        "kernel_median": 1e6 * kernel_median / runs,
        "members": int(s.member.sum()),
        "controller": 1e6 * whole,
        "controller_median": 1e6 * whole_median,
        "dispatch": 1e6 * fill / runs,
        "dispatch_called": 1e6 * called,
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
