"""Hourly performance score of a regulating unit after PJM Manual 12, 4.5.6, as the GMLC battery interface (MIT) reads it.

Signal and response in 10-s samples. In each of twelve blocks of five minutes the response is shifted by 0 to 300 s: the shift
with the highest correlation gives the correlation and the delay score ``|(shift - 300 s) / 300 s|``; precision is
``1 - mean|response - signal| / mean|signal|``. The score is the mean of the three over the hour. The text of the manual itself
was not at hand [K].
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

SAMPLE_S: Final = 10
BLOCKS: Final = 12
BLOCK: Final = 30
"""Samples of a block."""
SHIFTS: Final = 31
SAMPLES: Final = BLOCKS * BLOCK + SHIFTS - 1
"""Samples of an hour and of the five minutes after it, into which its last block is shifted: 390."""
FLAT: Final = 0.01
"""Standard deviation below which a signal (in shares of the regulating range) counts as constant; not given by PJM."""
_CONSTANT: Final = 1e-5
_LEAST_BLOCKS: Final = 6


class Score(NamedTuple):
    """Score of one hour, each 0 .. 1; NaN = less than half of its blocks had data."""

    score: float
    correlation: float
    delay: float
    precision: float
    blocks: int
    """Blocks that could be judged."""


@njit(cache=True, nogil=True)
def _slope(values: npt.NDArray[np.float64], begin: int) -> float:
    centre, top, below = (BLOCK - 1) / 2.0, 0.0, 0.0
    for index in range(BLOCK):
        top += (index - centre) * values[begin + index]
        below += (index - centre) ** 2
    return top / below


@njit(cache=True, nogil=True)
def _best_shift(
    signal: npt.NDArray[np.float64], response: npt.NDArray[np.float64], begin: int, mean: float, deviation: float
) -> tuple[float, int]:
    """(highest correlation, its shift in samples); a constant response scores 0 at the longest shift."""
    best, shift, anything = -2.0, SHIFTS - 1, False
    for j in range(SHIFTS):
        total, squares, cross = 0.0, 0.0, 0.0
        at = begin + j
        if at + BLOCK > response.shape[0]:
            break
        for index in range(BLOCK):
            total += response[at + index]
        average = total / BLOCK
        for index in range(BLOCK):
            off = response[at + index] - average
            squares += off * off
            cross += off * (signal[begin + index] - mean)
        if math.isnan(total):
            continue
        spread = math.sqrt(squares / BLOCK)
        r = 0.0 if spread < _CONSTANT else cross / BLOCK / (spread * deviation)
        anything = anything or r != 0.0
        if r > best:
            best, shift = r, j
    if not anything:
        return 0.0, SHIFTS - 1
    return best, shift


@njit(cache=True, nogil=True)
def _hour(signal: npt.NDArray[np.float64], response: npt.NDArray[np.float64], flat: float) -> tuple[float, float, float, int]:
    correlation, delay, precision, blocks = 0.0, 0.0, 0.0, 0
    for block in range(BLOCKS):
        begin = block * BLOCK
        total, size, error = 0.0, 0.0, 0.0
        for index in range(begin, begin + BLOCK):
            total += signal[index]
            size += abs(signal[index])
            error += abs(response[index] - signal[index])
        if math.isnan(total) or math.isnan(error):
            continue
        mean, squares = total / BLOCK, 0.0
        for index in range(begin, begin + BLOCK):
            squares += (signal[index] - mean) ** 2
        deviation = math.sqrt(squares / BLOCK)
        if deviation < flat:
            r, shift = max(0.0, 1.0 - abs(_slope(signal, begin) - _slope(response, begin))), 0
        else:
            r, shift = _best_shift(signal, response, begin, mean, deviation)
        blocks += 1
        correlation += r
        delay += abs((SAMPLE_S * shift - 300.0) / 300.0)
        if size > 0.0:
            precision += max(0.0, 1.0 - error / size)
        elif error == 0.0:
            precision += 1.0
    return correlation, delay, precision, blocks


def performance_score(signal: npt.NDArray[np.float64], response: npt.NDArray[np.float64], flat: float = FLAT) -> Score:
    """Score of one hour.

    A block with a sample missing is left out; of the shifts, those that would need a missing sample.

    Args:
        signal: :data:`SAMPLES` regulation signals of 10 s in shares of the regulating range, 0 = no regulation; NaN = missing.
        response: what the unit did, alike.
        flat: see :data:`FLAT`.

    Raises:
        ValueError: the columns have another length.
    """
    if len(signal) != SAMPLES or len(response) != SAMPLES:
        raise ValueError(f"an hour and five minutes are {SAMPLES} samples, not {len(signal)} and {len(response)}")
    correlation, delay, precision, blocks = _hour(signal, response, flat)
    if blocks < _LEAST_BLOCKS:
        return Score(math.nan, math.nan, math.nan, math.nan, blocks)
    parts = (correlation / blocks, delay / blocks, precision / blocks)
    return Score(sum(parts) / 3.0, *parts, blocks)


def warm_up() -> None:
    """Compile the kernel."""
    zeros: Any = np.zeros(SAMPLES)
    performance_score(zeros, zeros)
