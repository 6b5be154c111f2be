"""Reading little-endian numbers inside kernels, as signed 64-bit (numba would mix unsigned and signed into floats)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit


@njit(cache=True, nogil=True)
def octet(buf: npt.NDArray[np.uint8], at: int) -> int:
    """One octet."""
    return np.int64(buf[at])  # type: ignore[return-value]


@njit(cache=True, nogil=True)
def little16(buf: npt.NDArray[np.uint8], at: int) -> int:
    """Two octets, unsigned."""
    return octet(buf, at) | octet(buf, at + 1) << 8


@njit(cache=True, nogil=True)
def little24(buf: npt.NDArray[np.uint8], at: int) -> int:
    """Three octets, unsigned."""
    return little16(buf, at) | octet(buf, at + 2) << 16


@njit(cache=True, nogil=True)
def little32(buf: npt.NDArray[np.uint8], at: int) -> int:
    """Four octets, unsigned."""
    return little16(buf, at) | little16(buf, at + 2) << 16
