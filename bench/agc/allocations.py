"""One process: random allocations with forbidden zones against every choice of sides."""

from __future__ import annotations

import itertools
import json
import sys
import time

import numpy as np

from scada.apps.agc_avc.agc.allocation import allocate, zone_table

_UNITS, _ZONED = 8, 4
_MET_MW = 1e-6


def main(cases: int) -> None:
    """Print what was found."""
    rng = np.random.default_rng(6)
    missed = possible = optimal = 0
    dearest, took = 0.0, []
    for _ in range(cases):
        base, alpha = rng.uniform(0, 100, _UNITS), rng.uniform(0.3, 3.0, _UNITS)
        lo = rng.uniform(0, 20, _UNITS)
        hi = lo + rng.uniform(40, 100, _UNITS)
        start = lo + rng.uniform(0.1, 0.5, _UNITS) * (hi - lo)
        end = np.minimum(start + rng.uniform(0.1, 0.4, _UNITS) * (hi - lo), hi - 1.0)
        demand = float(lo.sum() + rng.uniform() * (hi - lo).sum())
        zones = zone_table([[(start[i], end[i])] if i < _ZONED else [] for i in range(_UNITS)])
        before = time.perf_counter()
        found = allocate(base, alpha, lo, hi, demand, zones)
        took.append(time.perf_counter() - before)
        least = np.inf
        for sides in itertools.product((False, True), repeat=_ZONED):
            low, high = lo.copy(), hi.copy()
            for i, above in enumerate(sides):
                (low if above else high)[i] = end[i] if above else start[i]
            one = allocate(base, alpha, low, high, demand)
            if abs(one.unmet) <= _MET_MW:
                least = min(least, _cost(one.power, base, alpha))
        if not np.isfinite(least):
            continue
        possible += 1
        if abs(found.unmet) > _MET_MW:
            missed += 1
            continue
        dearer = _cost(found.power, base, alpha) / least - 1.0 if least > 0 else 0.0
        optimal += dearer <= 1e-7
        dearest = max(dearest, dearer)
    shown = {"possible": possible, "missed": missed, "optimal_percent": 100.0 * optimal / max(possible, 1)}
    print(json.dumps(shown | {"dearest_percent": 100.0 * dearest, "us": 1e6 * float(np.median(took))}))


def _cost(power: np.ndarray, base: np.ndarray, alpha: np.ndarray) -> float:
    return float(((power - base) ** 2 / (2.0 * alpha)).sum())


if __name__ == "__main__":
    main(int(sys.argv[1]))
