"""Evaluation of voltage control: qualified voltages, compliance with commands, availability.

The two-minute rule and the definition of availability follow the AVC assessment of Chinese regional grids ("two detailed rules";
only a repost of the text was at hand, so the times are arguments).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from scada.apps.agc_avc.performance.cps import Column, Share

COMPLIANCE_S: Final = 120.0
"""Time within which a command must be met."""


def qualified_rate(voltage_kv: Column, low_kv: float | Column, high_kv: float | Column, weights: Column | None = None) -> float:
    """Share of the time with a known voltage in which it was within its limits, %; NaN if it was never known.

    Args:
        voltage_kv: samples, NaN = no good measurement: neither good nor bad.
        low_kv: lower limit in force; the edge is allowed.
        high_kv: upper limit.
        weights: seconds that each sample stands for; None = all alike.

    >>> qualified_rate(np.array([220.0, 243.0, math.nan, 230.0]), 213.0, 242.0)
    66.66666666666667
    """
    known = np.isfinite(voltage_kv)
    weight = np.where(known, 1.0 if weights is None else weights, 0.0)
    total = float(weight.sum())
    within = (voltage_kv >= low_kv) & (voltage_kv <= high_kv)
    return 100.0 * float(weight[within & known].sum()) / total if total > 0 else math.nan


def compliance(seconds: Iterable[float], allowed_s: float = COMPLIANCE_S) -> Share:
    """Commands that were met in time.

    Args:
        seconds: of each command how long it took until the target was met; infinite = never, NaN = could not be seen.
        allowed_s: time allowed.

    >>> compliance([30.0, 120.0, 121.0, math.inf, math.nan]).percent
    50.0
    """
    taken = list(seconds)
    judged = [one for one in taken if not math.isnan(one)]
    return Share(sum(one <= allowed_s for one in judged), len(judged), len(taken) - len(judged))


def availability(in_service_s: float, running_s: float, excused_s: float = 0.0) -> float:
    """Time in service by running time, %; time out of service that the grid caused is left out. NaN if it never ran.

    Args:
        in_service_s: under control.
        running_s: running and able to be controlled.
        excused_s: part of ``running_s`` out of service for a cause of the grid.

    >>> availability(80.0, 110.0, 10.0)
    80.0
    """
    due = running_s - excused_s
    return 100.0 * min(in_service_s, due) / due if due > 0 else math.nan
