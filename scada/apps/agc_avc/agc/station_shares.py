"""Which PV or wind plant gives way first when several are curtailed together.

The rules are factors on the participation of the plants in the allocation, so that limits, ramps and the sum are kept by it:

- ``participation``: as the model says;
- ``equal``: in proportion to the available power, so that from full output all lose the same part of it (equal curtailment rate);
- ``lifo``: the last of the model's order gives way first and comes back last (last connected, first curtailed);
- ``fifo``: the other way round.

Contract priorities are no hard walls: while the plant whose turn it is cannot move fast enough, the next one helps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_STEP = 1e-3
"""How much less a plant takes part than the one whose turn is before its own."""
_LEAST = 1e-9


def station_factors(rule: str, direction: float, per_capacity: Sequence[float]) -> list[float]:
    """Factor on the participation of each plant.

    >>> station_factors("lifo", -1.0, [0.8, 0.8, 0.8])
    [1e-06, 0.001, 1.0]
    >>> station_factors("lifo", 1.0, [0.8, 0.8, 0.8])
    [1.0, 0.001, 1e-06]

    Args:
        rule: ``participation``, ``equal``, ``lifo`` or ``fifo``.
        direction: > 0 if more generation is asked for.
        per_capacity: available power of each per unit of its capacity, in the model's order; NaN = unknown.
    """
    count = len(per_capacity)
    if rule == "equal":
        return [1.0 if math.isnan(part) else max(part, _LEAST) for part in per_capacity]
    if rule == "participation":
        return [1.0] * count
    last_first = (rule == "lifo") == (direction <= 0)
    ranks = [count - 1 - i if last_first else i for i in range(count)]
    return [max(_STEP**rank, _LEAST) for rank in ranks]
