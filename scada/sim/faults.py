"""Injected faults of meters: frozen, noisy, wrong, or of bad quality. They act on what is read, never on the plant itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
U4 = npt.NDArray[np.uint32]


@dataclass(slots=True)
class PointFaults:
    """Faults by row of the scanned points.

    Attributes:
        frozen: rows that keep the value they last sent.
        forced: rows that read this value.
        noise: standard deviation added to a row, in its unit.
        quality: quality bits added to a row.
    """

    frozen: dict[int, float] = field(default_factory=dict)
    forced: dict[int, float] = field(default_factory=dict)
    noise: dict[int, float] = field(default_factory=dict)
    quality: dict[int, int] = field(default_factory=dict)
    _random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def holds(self, row: int) -> bool:
        """Whether a row does not follow the plant."""
        return row in self.frozen or row in self.forced

    def apply(self, value: F8, quality: U4, sent: F8) -> tuple[F8, U4]:
        """Readings with the faults in them; ``sent`` holds what was sent last, for rows frozen just now."""
        for row, sigma in self.noise.items():
            value[row] += sigma * self._random.standard_normal()
        for row, kept in self.frozen.items():
            if np.isnan(kept):
                self.frozen[row] = float(value[row] if np.isnan(sent[row]) else sent[row])
            value[row] = self.frozen[row]
        for row, forced in self.forced.items():
            value[row] = forced
        for row, bits in self.quality.items():
            quality[row] |= np.uint32(bits)
        return value, quality

    def clear(self, row: int | None = None) -> None:
        """Take all faults away, or those of one row."""
        tables: tuple[dict[int, Any], ...] = (self.frozen, self.forced, self.noise, self.quality)
        for table in tables:
            if row is None:
                table.clear()
            else:
                table.pop(row, None)
