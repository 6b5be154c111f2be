"""Limits of a minute's ACE (BAAL, NERC BAL-001-2) and the older criteria A1 and A2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from scada.apps.agc_avc.performance.cps import Column, Share, share_of

BAAL_MINUTES: Final = 30
"""More consecutive clock-minutes than this beyond the limit are a violation (BAL-001-2 R2)."""


def baal_limits(deviation_hz: Column, bias: float | Column, eps1_hz: float | Column) -> tuple[Column, Column]:
    """(lowest, highest) ACE of each minute, MW; only the side of the actual frequency has a limit.

    ``BAAL = -10 B (FTL - Fs)² / (FA - Fs)`` with ``FTL = Fs -+ 3 eps1``. [K: formula from general knowledge of BAL-001-2]

    Args:
        deviation_hz: minute means of actual less scheduled frequency.
        bias: NERC B, MW/0.1 Hz, negative.
        eps1_hz: target of the 1-minute deviation.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = -10.0 * np.asarray(bias) * (3.0 * np.asarray(eps1_hz)) ** 2 / deviation_hz
    low: Column = np.where(deviation_hz < 0, limit, -math.inf)
    high: Column = np.where(deviation_hz > 0, limit, math.inf)
    return low, high


@dataclass(frozen=True, slots=True)
class Beyond:
    """Minutes beyond BAAL.

    Attributes:
        low, high: True where the ACE was below the lower or above the upper limit.
        violation: True at the minute with which a run became longer than 30 minutes: one a run.
        run: length of the run that a minute ends or goes on, minutes; 0 = within.
    """

    low: npt.NDArray[np.bool_]
    high: npt.NDArray[np.bool_]
    violation: npt.NDArray[np.bool_]
    run: npt.NDArray[np.int64]


def beyond_baal(ace_mw: Column, deviation_hz: Column, bias: float | Column, eps1_hz: float | Column) -> Beyond:
    """Judge consecutive minutes.

    A minute without data neither lengthens nor ends a run: what is not known is not taken for recovery.

    Args:
        ace_mw: minute means, NaN = no data.
        deviation_hz: minute means.
        bias: NERC B, MW/0.1 Hz, negative.
        eps1_hz: target of the 1-minute deviation.
    """
    lowest, highest = baal_limits(deviation_hz, bias, eps1_hz)
    low, high = ace_mw < lowest, ace_mw > highest
    known = np.isfinite(ace_mw) & np.isfinite(deviation_hz)
    run = _runs(high.astype(np.int8) - low.astype(np.int8), known)
    return Beyond(low & known, high & known, run == BAAL_MINUTES + 1, run)


@njit(cache=True, nogil=True)
def _runs(side: npt.NDArray[np.int8], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Length of the run on one side that each known minute ends or goes on; 0 = within, or not known."""
    runs = np.zeros(len(side), dtype=np.int64)
    length, last = 0, 0
    for index in range(len(side)):
        if not known[index]:
            continue
        now = side[index]
        if now == 0:
            length = 0
        elif now == last:
            length += 1
        else:
            length = 1
        last = now
        runs[index] = length
    return runs


def warm_up() -> None:
    """Compile the kernel."""
    nothing: Column = np.zeros(1)
    beyond_baal(nothing, nothing, -1.0, 1.0)


def a1(lowest_mw: Column, highest_mw: Column) -> Share:
    """Criterion A1: ACE crosses zero in every period of 10 minutes.

    Args:
        lowest_mw: least ACE of each period, NaN = unavailable.
        highest_mw: greatest ACE of each period.
    """
    known = np.isfinite(lowest_mw) & np.isfinite(highest_mw)
    return share_of((lowest_mw <= 0) & (highest_mw >= 0), known)


def a2(means_mw: Column, limit_mw: float | Column) -> Share:
    """Criterion A2: ``|mean ACE| <= Ld`` in every period of 10 minutes.

    Args:
        means_mw: mean ACE of each period, NaN = unavailable.
        limit_mw: see :func:`a2_limit`; NaN = not known, then no period counts.
    """
    return share_of(np.abs(means_mw) <= limit_mw, np.isfinite(means_mw) & np.isfinite(limit_mw))


def a2_limit(load_change_mw: float) -> float:
    """``Ld = 0.025 dL + 5 MW``, dL the greatest hourly change of load (NERC guide 1B; lecture 27449191).

    >>> a2_limit(400.0)
    15.0
    """
    return 0.025 * load_change_mw + 5.0
