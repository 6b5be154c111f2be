"""Areas of any size for the measurements: units with costs, a quarter of them with one or two forbidden zones."""

from __future__ import annotations

import numpy as np

from scada.core.quality import Quality
from scada.model_cim.regulation import AgcUnit, ControlArea, ForbiddenZone, TieLine
from scada.rtdb.changes import Snapshot

FREQUENCY, TIE, FIRST = 0, 1, 2


def area(count: int, seed: int = 1) -> tuple[ControlArea, np.ndarray]:
    """An area of ``count`` units and what they generate, MW."""
    rng = np.random.default_rng(seed)
    low, span = rng.uniform(0, 100, count), rng.uniform(100, 500, count)
    ramp, cost_b, cost_c = rng.uniform(0.02, 0.3, count), rng.uniform(6, 12, count), rng.uniform(0.001, 0.02, count)
    cuts = np.sort(rng.uniform(0.15, 0.85, (count, 4)), axis=1)
    units, power = [], low + rng.uniform(0.2, 0.8, count) * span
    for i in range(count):
        zones = int(rng.integers(1, 3)) if rng.random() < 0.25 else 0
        edges = low[i] + cuts[i] * span[i]
        forbidden = tuple(ForbiddenZone(float(edges[2 * k]), float(edges[2 * k + 1])) for k in range(zones))
        for zone in forbidden:
            if zone.low < power[i] < zone.high:
                power[i] = zone.low
        units.append(
            AgcUnit(
                f"U{i}",
                f"u{i}",
                "hydro",
                [FIRST + 2 * i],  # type: ignore[list-item]
                i,
                FIRST + 2 * i + 1,  # type: ignore[arg-type]
                float(low[i]),
                float(low[i] + span[i]),
                float(ramp[i] * span[i]),
                float(ramp[i] * span[i]),
                float(rng.uniform(0.5, 2.0)),
                forbidden=forbidden,
                cost_b=float(cost_b[i]),
                cost_c=float(cost_c[i]),
            )
        )
    ties = [TieLine("tie", [TIE], 1.0)]  # type: ignore[list-item]
    found = ControlArea("A", "a", [FREQUENCY], 50.0, -2.0 * count, 0.0, ties, units, True, 0.5 * count)  # type: ignore[list-item]
    return found, power


def snapshot(power: np.ndarray, tie: float) -> Snapshot:
    """Measurements of the area as of one moment."""
    pids = np.arange(FIRST + 2 * len(power), dtype=np.uint32)
    value = np.ones(len(pids))
    value[FREQUENCY], value[TIE] = 50.0, tie
    value[FIRST::2] = power
    zero = np.zeros(len(pids), np.int64)
    return Snapshot(1, pids, value, np.full(len(pids), int(Quality.GOOD), np.uint32), zero, zero)
