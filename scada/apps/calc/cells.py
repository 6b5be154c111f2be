"""Cells in which functions with memory remember: their layout, their names across restarts, and the moment of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S
from scada.expressions.calls import Kind, MemoryCall

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Cells = npt.NDArray[np.void]

CELL_DTYPE = np.dtype(
    [
        ("at", "<i8"),  # elapsed ns it is settled to, -1 = it has not begun
        ("period", "<i8"),  # start of its period, wall ns
        ("slot_from", "<i8"),  # start of the present part of its window
        ("good", "<i8"),  # ns of the period in which the input was good
        ("missing", "<i8"),  # and in which it was not, or nobody looked
        ("slot_good", "<i8"),
        ("slot_missing", "<i8"),
        ("gap", "<i8"),  # ns the server was down, not yet told to a period
        ("since", "<i8"),  # elapsed ns a state began, -1 = it does not stand; of a counter: period of the last good reading
        ("x", "<f8"),  # the input as it is held
        ("amount", "<f8"),
        ("slot_amount", "<f8"),
        ("mark", "<f8"),  # extreme of the period, or last known input
        ("previous", "<f8"),  # result at the end of the last period
        ("word", "<u4"),  # quality of the input as it is held
        ("seen", "<u4"),  # qualities of everything that went into the result
        ("previous_word", "<u4"),
        ("doubt", "<u4"),  # QUESTIONABLE for the rest of the period
        ("head", "<i4"),
        ("filled", "<i4"),
    ]
)
"""One cell; times in ns, amounts in unit x seconds."""

SPEC_DTYPE = np.dtype(
    [
        ("kind", "<i4"),
        ("period", "<i4"),
        ("slots", "<i4"),
        ("ring", "<i4"),  # where its window begins in the ring
        ("slot", "<i8"),  # ns of one part
        ("scale", "<f8"),
        ("most", "<f8"),
    ]
)


class Now(NamedTuple):
    """The moment of an evaluation."""

    elapsed: int
    """ns the server has run, over all its lives."""
    wall: int
    """ns UTC."""
    starts: I8
    """Starts of the present periods, by :class:`~scada.expressions.calls.Period`."""
    before: I8
    """Starts of those before them."""


class Memory(NamedTuple):
    """The cells of all programs and what belongs to them.

    Attributes:
        specs: what each cell is, :data:`SPEC_DTYPE`.
        cells: :data:`CELL_DTYPE`.
        ring: windows, two numbers a part (amount and good ns; for a ramp the value at its begin).
    """

    specs: Cells
    cells: Cells
    ring: F8

    @classmethod
    def of(cls, calls: Sequence[MemoryCall]) -> Memory:
        """Empty cells for these calls."""
        specs = np.zeros(len(calls), dtype=SPEC_DTYPE)
        used = 0
        for spec, call in zip(specs, calls, strict=True):
            spec["kind"], spec["period"], spec["slots"], spec["ring"] = call.kind, call.period, call.slots, used
            spec["slot"], spec["scale"], spec["most"] = round(call.slot_s * NS_PER_S), call.scale, call.most
            used += 2 * call.slots
        cells = np.zeros(len(calls), dtype=CELL_DTYPE)
        cells["at"] = -1
        return cls(specs, cells, np.zeros(used))

    def window(self, index: int) -> slice:
        """Where a cell's window lies in the ring."""
        begin = int(self.specs[index]["ring"])
        return slice(begin, begin + 2 * int(self.specs[index]["slots"]))

    def lose(self, ns: int) -> None:
        """Time passed in which nobody looked: it is missing from every amount, and windows begin anew."""
        begun = self.cells["at"] >= 0
        self.cells["gap"][begun] += ns
        self.cells["slot_missing"][begun] += ns
        self.cells["filled"][begun] = 0
        timers = np.isin(self.specs["kind"], (Kind.DELAY, Kind.PULSE))
        self.cells["since"][begun & timers] = -1


def cell_key(mrid: str, text: str, number: int) -> bytes:
    """Name of a cell across restarts: its point, the call as written, and which of several equal calls it is."""
    return blake2b(f"{mrid}\n{number}\n{text}".encode(), digest_size=16).digest()
