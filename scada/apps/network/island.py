"""Islands of a network as the sparse solvers want them: buses in the order of elimination, factors laid out once a topology."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from scada.apps.network.admittance import SparseAdmittance
from scada.apps.network.busbranch import F8, I8, BusBranch
from scada.apps.network.newton import Equations
from scada.apps.network.sparse_lu import Factors, empty_factors, lay_out

I4 = npt.NDArray[np.int32]


class Island:
    """One island; its buses have numbers of their own, in the order in which they are eliminated.

    Args:
        number: of the island in :class:`BusBranch`.
        buses: its buses, ascending.
        ptr: its rows of the bus admittance matrix, in numbers of ``buses``.
        col: their columns.
        entries: where each entry stands in the whole matrix.

    Attributes:
        buses: bus of the network of each own number.
        layout: of the factors, in own numbers; its ``ptr`` and ``col`` are the island's rows.
        take: entry of the whole admittance matrix of each entry of those rows.
        factors: for whoever solves at once; who keeps factors needs some of his own.
    """

    def __init__(self, number: int, buses: I8, ptr: I4, col: I4, entries: I8) -> None:
        self.number = number
        found = lay_out(ptr, col)
        self.buses: I8 = buses[found.order]
        self.take: I8 = entries[found.place]
        self.layout = found._replace(
            order=np.arange(len(buses), dtype=np.uint32), place=np.arange(len(found.place), dtype=np.uint32)
        )
        self.factors: Factors = empty_factors(self.layout)
        self.of_row: I8 = np.repeat(np.arange(len(buses)), np.diff(self.layout.ptr))
        self.diagonal: I8 = np.flatnonzero(self.of_row == self.layout.col)

    def equations(self, y_bus: SparseAdmittance, share: F8, reference: int) -> Equations:
        """Admittances of the island with who bears its slack."""
        return Equations(self.layout.ptr, self.layout.col, y_bus.values[self.take], share, reference)


class Islands:
    """The islands of the last topology seen; made when first asked for, kept while the same buses are joined."""

    def __init__(self) -> None:
        self._y: SparseAdmittance | None = None
        self._island_of_bus: I8 = np.zeros(0, np.int64)
        self._made: dict[int, Island] = {}
        self.analysed = 0
        """How many islands were analysed in all: what is not reused."""

    def of(self, network: BusBranch, numbers: Iterable[int]) -> Iterator[Island]:
        """The islands of these numbers."""
        y = network.y_bus
        if self._y is None or not (self._y.same_pattern(y) and np.array_equal(self._island_of_bus, network.island)):
            self._y, self._island_of_bus, self._made = y, network.island, {}
            self._split(y, network.island)
        for number in map(int, numbers):
            if number not in self._made:
                self._made[number] = self._make(number, y)
                self.analysed += 1
            yield self._made[number]

    def _split(self, y: SparseAdmittance, island: I8) -> None:
        """Order buses and entries by their islands, so that many small ones cost no more than a large one."""
        count = int(island.max(initial=-1)) + 1
        of_entry = island[np.repeat(np.arange(len(island)), np.diff(y.ptr))]
        self._buses, self._entries = np.argsort(island, kind="stable"), np.argsort(of_entry, kind="stable")
        self._bus_end = np.cumsum(np.bincount(island, minlength=count))
        self._entry_end = np.cumsum(np.bincount(of_entry, minlength=count))
        self._local = np.empty(len(island), np.int32)
        begin = self._bus_end - np.bincount(island, minlength=count)
        self._local[self._buses] = np.arange(len(island)) - begin[island[self._buses]]

    def _make(self, number: int, y: SparseAdmittance) -> Island:
        buses = self._buses[self._bus_end[number - 1] if number else 0 : self._bus_end[number]]
        entries = self._entries[self._entry_end[number - 1] if number else 0 : self._entry_end[number]]
        ptr = np.concatenate([[0], np.cumsum(np.diff(y.ptr)[buses])]).astype(np.int32)
        return Island(number, buses, ptr, self._local[y.col[entries]], entries)
