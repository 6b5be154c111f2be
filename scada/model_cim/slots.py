"""The statements of one file while it is parsed: a slot for each property in each spelling."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import numpy as np

from scada.model_cim.columns import Extra, Piece, Spelling
from scada.model_cim.source_files import HeaderStatement
from scada.model_cim.spelling import RefusedError
from scada.model_cim.statements import ValueKind

MAX_NAMES = 20_000
DROPPED = -1
"""Row of an object whose statements are not taken; those of the n-th header have row ``-2 - n``."""

Adders = tuple[Callable[[int], None], Callable[[str], None], Callable[[int], None]]
"""Add the row, the value and the line of a statement."""


class Slot:
    """Values of one property in one spelling, as they come."""

    __slots__ = ("extras", "lines", "spelling", "subjects", "values")

    def __init__(self, spelling: Spelling) -> None:
        self.spelling = spelling
        self.subjects = array("i")
        self.values: list[str] = []
        self.lines = array("i")
        self.extras: dict[int, Extra] = {}

    def add(self, row: int, value: str, line: int) -> None:
        """One more."""
        self.subjects.append(row)
        self.values.append(value)
        self.lines.append(line)

    @property
    def lowest(self) -> int:
        """The lowest row: below 0 if statements are of a header or dropped."""
        return int(np.frombuffer(self.subjects, np.int32).min()) if self.subjects else 0

    def adders(self) -> Adders:
        """For the hot loop."""
        return self.subjects.append, self.values.append, self.lines.append


class Slots:
    """All slots of a file."""

    def __init__(self) -> None:
        self._all: list[Slot] = []
        self._flat: dict[tuple[str, str], Slot] = {}
        self._nested: dict[tuple[str, ...], Slot] = {}

    def adders(self, name: str, prefix: str, kind: ValueKind) -> Adders:
        """Of the slot of a property."""
        return self.flat(name, prefix, kind).adders()

    def flat(self, name: str, prefix: str, kind: ValueKind) -> Slot:
        """The slot of a property."""
        key = (name, prefix if kind is not ValueKind.TEXT else "\t")
        slot = self._flat.get(key)
        if slot is None:
            slot = self._flat[key] = self._new(Spelling((name,), prefix, kind))
        return slot

    def _new(self, spelling: Spelling) -> Slot:
        slot = Slot(spelling)
        self._all.append(slot)
        if len(self._all) > MAX_NAMES:
            raise RefusedError("xml.names", f"more than {MAX_NAMES} different properties", "this is not CIM XML")
        return slot

    def nested(self, path: tuple[str, ...], prefix: str, kind: ValueKind) -> Slot:
        """The slot of a value within a compound one."""
        key = (*path, prefix, kind.value)
        slot = self._nested.get(key)
        if slot is None:
            slot = self._nested[key] = self._new(Spelling(path, prefix, kind))
        return slot

    def pieces(self, file: int) -> list[Piece]:
        """The statements read, by property and spelling."""
        found = []
        for slot in self._all:
            subjects: array[int] = slot.subjects
            values, lines, extras = slot.values, slot.lines, slot.extras
            if slot.lowest < 0:
                keep = [place for place, row in enumerate(subjects) if row >= 0]
                place_of = {place: number for number, place in enumerate(keep)}
                extras = {place_of[place]: extra for place, extra in extras.items() if place in place_of}
                subjects, lines = array("i", [subjects[place] for place in keep]), array("i", [lines[place] for place in keep])
                values = [values[place] for place in keep]
            if values:
                found.append(Piece(file, slot.spelling, subjects, values, lines, extras))
        return found

    def headers(self, count: int) -> list[tuple[HeaderStatement, ...]]:
        """The statements of each header, in file order.

        Args:
            count: of the headers in the file.
        """
        found: list[list[tuple[int, HeaderStatement]]] = [[] for _ in range(count)]
        for slot in self._all:
            spelling = slot.spelling
            for place, row in enumerate(slot.subjects if slot.lowest < DROPPED else ()):
                if row < DROPPED:
                    resource = spelling.kind is not ValueKind.TEXT
                    one = HeaderStatement(
                        spelling.names[-1], spelling.prefix + slot.values[place], resource, slot.extras.get(place)
                    )
                    found[-2 - row].append((slot.lines[place], one))
        return [tuple(one for _, one in sorted(some, key=lambda one: one[0])) for some in found]
