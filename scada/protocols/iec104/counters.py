"""Integrated totals of a controlled station (5-101, 7.4.8): freezing, resetting and reading them, as a whole or by group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.protocols.iec104.image import Rows, StationImage

READ, FREEZE, FREEZE_AND_RESET, RESET = range(4)
"""FRZ of the qualifier of a counter interrogation (7.2.6.23)."""

_NOTES: Final = 0x60
"""CY and CA in the detail of a counter; the process side gives them."""


class Counters:
    """What counters read, against the point they were last reset at.

    Args:
        image: the station's points.
    """

    def __init__(self, image: StationImage) -> None:
        self._image = image
        self._base = np.zeros(len(image.pids))
        self._frozen = np.zeros(len(image.pids))
        self._frozen_quality = np.zeros(len(image.pids), dtype=np.uint32)
        self._frozen_detail = np.zeros(len(image.pids), dtype=np.uint16)
        self._number = np.full(len(image.pids), -1, dtype=np.int64)  # of the freezing; -1 = never frozen

    def freeze(self, common_address: int, group: int, mode: int) -> None:
        """Keep present readings for the next interrogation, and let counters start anew.

        Args:
            common_address: station.
            group: 1 .. 4, 0 = all.
            mode: :data:`FREEZE`, :data:`FREEZE_AND_RESET` or :data:`RESET`.
        """
        image = self._image
        for _, rows in image.segments(common_address, counters=True, group=group):
            if mode != RESET:
                self._frozen[rows] = image.value[rows] - self._base[rows]
                self._frozen_quality[rows] = image.quality[rows]
                self._frozen_detail[rows] = image.detail[rows] & _NOTES
                self._number[rows] = np.where(self._number[rows] < 0, 1, (self._number[rows] + 1) % 32)
            if mode != FREEZE:
                self._base[rows] = image.value[rows]

    def asdus(self, common_address: int, group: int, cause: int, originator: int) -> Iterator[bytes]:
        """Readings: the frozen ones with their sequence number, of a counter never frozen the present one with number 0."""
        image = self._image
        for type_id, rows, sequence in image.pieces(image.segments(common_address, counters=True, group=group)):
            readings = self._read(rows)
            yield image.encode(
                type_id, cause, rows, *readings[:2], image.time[rows], readings[2], sequence=sequence, originator=originator
            )

    def _read(self, rows: Rows) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
        image, frozen = self._image, self._number[rows] >= 0
        value = np.where(frozen, self._frozen[rows], image.value[rows] - self._base[rows])
        quality = np.where(frozen, self._frozen_quality[rows], image.quality[rows])
        notes = np.where(frozen, self._frozen_detail[rows], image.detail[rows] & _NOTES)
        return value, quality, (notes | np.maximum(self._number[rows], 0)).astype(np.uint16)
