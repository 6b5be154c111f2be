"""The values of one property of all objects, in arrays: who is meant, what is said, where it stands and how it was spelt.

A column never changes once it is made; models that differ in a few statements share all columns that are the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scada.model_cim.statements import ValueKind

Ints = npt.NDArray[np.int32]
EDITED = -1
"""File index of what was not read but edited."""
_SAMPLE = 512
_SPARSE = 8


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a file writes a property.

    Attributes:
        names: ``namespace}local`` of the property, then of each element nested in it (a compound value).
        prefix: what stands before the value in ``rdf:resource``; empty for a literal.
        kind: of the value.
    """

    names: tuple[str, ...]
    prefix: str = ""
    kind: ValueKind = ValueKind.TEXT


@dataclass(frozen=True, slots=True)
class Part:
    """Values of a column that stand in one file and are spelt alike: from ``start`` to the start of the next part."""

    start: int
    file: int
    spelling: Spelling | None = None
    """None = edited."""


@dataclass(frozen=True, slots=True)
class Extra:
    """What a value has beside its text."""

    lang: str = ""
    """``xml:lang``."""
    datatype: str = ""
    """``rdf:datatype``."""
    padded: str | None = None
    """The text with the white space around it, where there is any."""


class Store(Protocol):
    """Values by place."""

    def __len__(self) -> int:
        """How many."""
        ...

    def at(self, place: int) -> str:
        """One of them."""
        ...

    def all(self) -> list[str]:
        """All of them."""
        ...

    def pick(self, places: npt.NDArray[np.intp]) -> Store:
        """Some of them."""
        ...


class Plain:
    """Values that are mostly different: names, numbers."""

    __slots__ = ("_values",)

    def __init__(self, values: list[str]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def at(self, place: int) -> str:
        """One of them."""
        return self._values[place]

    def all(self) -> list[str]:
        """All of them; not to be changed."""
        return self._values

    def pick(self, places: npt.NDArray[np.intp]) -> Store:
        """Some of them."""
        return Plain([self._values[place] for place in places.tolist()])


class Coded:
    """Values that are mostly the same: enumerations, truth values, ratings. Code of each value, and the values by code."""

    __slots__ = ("codes", "table")

    def __init__(self, codes: npt.NDArray[np.unsignedinteger], table: list[str]) -> None:
        self.codes = codes
        self.table = table

    def __len__(self) -> int:
        return len(self.codes)

    def at(self, place: int) -> str:
        """One of them."""
        return self.table[self.codes.item(place)]

    def all(self) -> list[str]:
        """All of them."""
        return list(map(self.table.__getitem__, self.codes.tolist()))

    def pick(self, places: npt.NDArray[np.intp]) -> Store:
        """Some of them."""
        return Coded(self.codes[places], self.table)


class Linked:
    """References: object index of each target; ``-(n + 1)`` for the n-th of ``missing``, which no file has."""

    __slots__ = ("missing", "mrids", "targets")

    def __init__(self, targets: Ints, missing: list[str], mrids: Sequence[str]) -> None:
        self.targets = targets
        self.missing = missing
        self.mrids = mrids

    def __len__(self) -> int:
        return len(self.targets)

    def at(self, place: int) -> str:
        """MRID of one target."""
        target = self.targets.item(place)
        return self.mrids[target] if target >= 0 else self.missing[-target - 1]

    def all(self) -> list[str]:
        """MRIDs of all targets."""
        if not self.missing:
            return list(map(self.mrids.__getitem__, self.targets.tolist()))
        return [self.at(place) for place in range(len(self.targets))]

    def pick(self, places: npt.NDArray[np.intp]) -> Store:
        """Some of them."""
        return Linked(self.targets[places], self.missing, self.mrids)


def literals(values: list[str]) -> Store:
    """Literals, coded where that saves memory."""
    if len(values) < _SPARSE or len(set(values[:_SAMPLE])) * 2 > min(len(values), _SAMPLE):
        return Plain(values)
    code = {value: number for number, value in enumerate(dict.fromkeys(values))}
    if len(code) * 2 > len(values):
        return Plain(values)
    kind = np.min_scalar_type(len(code))
    return Coded(np.fromiter(map(code.__getitem__, values), kind, len(values)), list(code))


def links(values: Sequence[str], index: Mapping[str, int], mrids: Sequence[str]) -> Linked:
    """References by object index."""
    targets = np.fromiter(map(index.get, values, repeat(-1)), np.int32, len(values))
    lost = np.flatnonzero(targets < 0)
    missing: dict[str, int] = {}
    for place in lost.tolist():
        value = values[place].strip()
        row = index.get(value)
        targets[place] = -1 - missing.setdefault(value, len(missing)) if row is None else row
    return Linked(targets, list(missing), mrids)


class Finder:
    """Places of a key in an array, in order; several thousand keys a millisecond."""

    __slots__ = ("_first", "_keys", "_order", "_starts")

    def __init__(self, keys: Ints) -> None:
        self._order: npt.NDArray[np.intp] | None = None
        if len(keys) and bool((keys[1:] < keys[:-1]).any()):
            self._order = np.argsort(keys, kind="stable")
            keys = keys[self._order]
        self._first = int(keys[0]) if len(keys) else 0
        span = int(keys[-1]) - self._first + 1 if len(keys) else 0
        self._keys = keys
        self._starts: memoryview | None = None
        if span <= _SPARSE * len(keys):
            counts = np.bincount(keys - self._first, minlength=span)
            self._starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int32).data

    def __getstate__(self) -> tuple[npt.NDArray[np.intp] | None, int, Ints, Ints | None]:
        """For another process: a memoryview does not travel, its array does."""
        return self._order, self._first, self._keys, None if self._starts is None else np.asarray(self._starts)

    def __setstate__(self, state: tuple[npt.NDArray[np.intp] | None, int, Ints, Ints | None]) -> None:
        self._order, self._first, self._keys, starts = state
        self._starts = None if starts is None else starts.data

    def _range(self, key: int) -> tuple[int, int]:
        if self._starts is not None:
            place = key - self._first
            return (self._starts[place], self._starts[place + 1]) if 0 <= place < len(self._starts) - 1 else (0, 0)
        low = bisect_left(self._keys, key)
        high = low
        while high < len(self._keys) and self._keys[high] == key:
            high += 1
        return low, high

    def first(self, key: int) -> int:
        """The first place of a key; -1 if it has none."""
        low, high = self._range(key)
        if low == high:
            return -1
        return low if self._order is None else self._order.item(low)

    def places(self, key: int) -> Sequence[int]:
        """All places of a key."""
        low, high = self._range(key)
        found: Sequence[int] = range(low, high) if self._order is None else self._order[low:high].tolist()
        return found


@dataclass(slots=True)
class Column:
    """All values of one property in file order.

    Attributes:
        subjects: object index (into :attr:`CimModel.mrids`) of each value.
        store: the values; :attr:`values` gives them as a list.
        lines: line of each value, 0 where it was edited.
        parts: files and spellings.
        kind: of the values; of the first one, should a faulty model have literals and enumerations of one property.
        extras: by place, what a value has beside its text.
    """

    subjects: Ints
    store: Store
    lines: Ints
    parts: tuple[Part, ...]
    kind: ValueKind = ValueKind.TEXT
    extras: Mapping[int, Extra] = field(default_factory=dict)
    _of_subject: Finder | None = field(default=None, repr=False, compare=False)
    _of_target: Finder | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.subjects)

    @property
    def values(self) -> list[str]:
        """The values in file order, not to be changed: literals, ``EnumClass.value``, mRIDs of references (dangling too)."""
        return self.store.all()

    @property
    def files(self) -> Ints:
        """File index of each value, -1 where it was edited."""
        starts = [part.start for part in self.parts]
        return np.repeat(np.array([part.file for part in self.parts], np.int32), np.diff([*starts, len(self)]))

    def at(self, place: int) -> str:
        """One value."""
        return self.store.at(place)

    def part_at(self, place: int) -> Part:
        """The part that a value belongs to."""
        return next(part for part in reversed(self.parts) if part.start <= place)

    def kind_at(self, place: int) -> ValueKind:
        """What one value is."""
        if len(self.parts) == 1 or self.kind is ValueKind.REF:
            return self.kind
        part = self.part_at(place)
        return part.spelling.kind if part.spelling is not None else self.kind

    def first(self, row: int) -> int:
        """Place of an object's first value, -1 if it has none."""
        return self._subject_finder().first(row)

    def places(self, row: int) -> Sequence[int]:
        """Places of an object's values."""
        return self._subject_finder().places(row)

    def places_to(self, mrid: str, row: int | None) -> Sequence[int]:
        """Places of the references to an object; ``row`` None = it is missing."""
        store = self.store
        if not isinstance(store, Linked):
            return ()
        if row is None:
            if mrid not in store.missing:
                return ()
            row = -1 - store.missing.index(mrid)
        if self._of_target is None:
            self._of_target = Finder(store.targets)
        return self._of_target.places(row)

    def _subject_finder(self) -> Finder:
        if self._of_subject is None:
            self._of_subject = Finder(self.subjects)
        return self._of_subject

    def kept(self, keep: npt.NDArray[np.bool_]) -> Column:
        """The column with some of its values."""
        places = np.flatnonzero(keep)
        before = np.concatenate(([0], np.cumsum(keep)))
        ends = [*(part.start for part in self.parts[1:]), len(self)]
        parts = tuple(
            Part(int(before[part.start]), part.file, part.spelling)
            for part, end in zip(self.parts, ends, strict=True)
            if before[part.start] < before[end]
        )
        extras = {int(before[place]): extra for place, extra in self.extras.items() if keep[place]}
        return Column(self.subjects[places], self.store.pick(places), self.lines[places], parts, self.kind, extras)

    def moved(self, row_of: Ints, links_to: Callable[[Linked], Linked]) -> Column:
        """The column after the objects got other numbers; ``row_of`` is -1 for one that is gone, whose values go too."""
        column = self
        rows = row_of[self.subjects]
        if bool((rows < 0).any()):
            column = self.kept(rows >= 0)
            rows = rows[rows >= 0]
        store = links_to(column.store) if isinstance(column.store, Linked) else column.store
        return Column(rows, store, column.lines, column.parts, column.kind, column.extras)


@dataclass(slots=True)
class Piece:
    """Values of one file that are spelt alike, as the parser collects them."""

    file: int
    spelling: Spelling | None
    subjects: Sequence[int]
    values: list[str]
    lines: Sequence[int]
    extras: Mapping[int, Extra] = field(default_factory=dict)


def make_column(
    pieces: Sequence[Piece], kind: ValueKind, store: Callable[[list[str]], Store], before: Column | None = None
) -> Column:
    """A column of the pieces of several files, behind the values of another column if there is one."""
    parts: list[Part] = []
    extras: dict[int, Extra] = {}
    subjects: list[Ints] = []
    lines: list[Ints] = []
    values: list[str] = []
    start = 0
    if before is not None:
        parts, extras, start = list(before.parts), dict(before.extras), len(before)
        subjects, lines, values = [before.subjects], [before.lines], list(before.values)
    for piece in pieces:
        parts.append(Part(start, piece.file, piece.spelling))
        extras.update((start + place, extra) for place, extra in piece.extras.items())
        subjects.append(np.array(piece.subjects, np.int32))
        lines.append(np.array(piece.lines, np.int32))
        values = [*values, *piece.values] if values else piece.values
        start += len(piece.values)
    return Column(_joined(subjects), store(values), _joined(lines), tuple(parts), kind, extras)


def _joined(arrays: Iterable[Ints]) -> Ints:
    some = list(arrays)
    return some[0] if len(some) == 1 else np.concatenate(some) if some else np.zeros(0, np.int32)
