"""The work of two engineers on one model: :func:`merge`, and where they contradict each other.

Both started from the same base. What only one of them changed is taken; what both changed alike is no conflict; anything else is
named with both values and places, and nothing is merged until they agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from scada.model_cim.cim import CimModel
from scada.model_cim.conflicts import find_conflicts
from scada.model_cim.difference import diff_models
from scada.model_cim.effects.points import Slot, slots
from scada.model_cim.points import build_tables
from scada.model_cim.said import Said, path_of, same_value
from scada.model_cim.statements import Difference, Statement, ValueKind
from scada.model_cim.tables import Control, ModelTables, Point
from scada.protocols.registry import Drivers

_Key = tuple[str, str, bool]
_Slot = TypeVar("_Slot", Slot, str)


class MergeKind(StrEnum):
    """How two edits contradict each other."""

    BOTH_CHANGED = "both-changed"
    """The same property, differently."""
    BOTH_NEW = "both-new"
    """The same mRID for two new objects that are not the same."""
    CLASS = "class"
    """The class of an object, differently."""
    REMOVED_CHANGED = "removed-changed"
    """One removes what the other changes."""
    REMOVED_REFERRED = "removed-referred"
    """One removes what the other refers to."""
    SAME_ADDRESS = "same-address"
    """Two points or two controls have one address in a channel."""
    SAME_PATH = "same-path"
    """Two points or two controls have one name."""
    OTHER = "other"
    """Together they do not fit the base."""


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """One contradiction."""

    kind: MergeKind
    mrid: str
    """Of the object; of mine, where two objects collide."""
    path: str
    prop: str
    """Property, or the address or path that two objects share; empty if it is the object itself."""
    base: str
    """What the base says; empty if nothing."""
    mine: str
    theirs: str
    where_mine: str
    """``file:line``."""
    where_theirs: str

    def __str__(self) -> str:
        about = f"{self.path} [{self.mrid}]" + (f" {self.prop}" if self.prop else "")
        was = f" (before: {self.base})" if self.base else ""
        return (
            f"{self.kind.value}: {about}: mine {self.mine} at {self.where_mine}, theirs {self.theirs} at {self.where_theirs}{was}"
        )

    def as_dict(self) -> dict[str, str]:
        """Fields by name, for JSON."""
        return {name: str(getattr(self, name)) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of a merge.

    Attributes:
        difference: from the base to the merged model; empty while there are conflicts.
        conflicts: every contradiction, by object.
    """

    difference: Difference
    conflicts: tuple[MergeConflict, ...]


def merge(base: CimModel, mine: CimModel, theirs: CimModel, *, drivers: Drivers | None = None) -> Merged:
    """What two engineers did to one model, together.

    A number that is only written differently is no change, as in :func:`scada.model_cim.difference.diff_models`.

    Args:
        base: the version both started from.
        mine: the version of the one.
        theirs: the version of the other. Exchanged with ``mine`` the same difference comes out.
        drivers: whose protocols channels may name; None = built in and installed.
    """
    merger = _Merger((base, mine, theirs))
    conflicts = [*merger.statements(), *merger.objects(), *merger.references(), *_collisions((base, mine, theirs), drivers)]
    if not conflicts:
        difference = merger.together()
        conflicts = [
            MergeConflict(
                MergeKind.OTHER, one.mrid, one.path, one.statement.prop if one.statement else "", one.text, "", "", one.where, ""
            )
            for one in find_conflicts(base, difference)
        ]
        if not conflicts:
            return Merged(difference, ())
    return Merged(Difference(), tuple(sorted(conflicts, key=lambda one: (one.path, one.mrid, one.kind, one.prop))))


def merge_files(base: Mapping[str, str], mine: Mapping[str, str], theirs: Mapping[str, str]) -> tuple[dict[str, int], list[str]]:
    """Files beside the XML (templates, waivers, drawings), each taken whole from whoever changed it.

    Drawings are made anew where they do not fit, so mine are taken when both have changed one.

    Args:
        base: digest of each file by name.
        mine: the same of the one.
        theirs: the same of the other.

    Returns:
        By name, whose file it is (0 base, 1 mine, 2 theirs), without those that go; and the names that both changed differently.
    """
    chosen: dict[str, int] = {}
    clashes: list[str] = []
    for name in sorted({*base, *mine, *theirs}):
        was, one, other = base.get(name), mine.get(name), theirs.get(name)
        if one != other and was not in (one, other) and not name.startswith("diagrams/"):
            clashes.append(name)
        side, digest = (2, other) if one == was else (1, one)
        if digest is not None:
            chosen[name] = side
    return chosen, clashes


class _Side:
    """One engineer's edit."""

    def __init__(self, base: CimModel, model: CimModel) -> None:
        self.model = model
        self.difference = diff_models(base, model)
        self.gone: dict[_Key, set[str]] = {}
        self.come: dict[_Key, set[str]] = {}
        for statements, found in ((self.difference.reverse, self.gone), (self.difference.forward, self.come)):
            for one in statements:
                found.setdefault(_key(one), set()).add(one.value)
        self.keys = self.gone.keys() | self.come.keys()
        self.subjects = {key[0] for key in self.keys} | self.difference.added.keys() | self.difference.removed.keys()

    def removes(self, mrid: str) -> bool:
        return mrid in self.difference.removed and mrid not in self.difference.added

    def where(self, mrid: str, prop: str = "") -> str:
        return self.model.where_of(mrid, prop) if prop else self.model.where(mrid)


class _Merger:
    def __init__(self, models: tuple[CimModel, CimModel, CimModel]) -> None:
        self._base, mine, theirs = models
        self._mine, self._theirs = _Side(self._base, mine), _Side(self._base, theirs)
        self._both = self._mine.keys & self._theirs.keys
        self._said = Said(self._base, {key[0] for key in self._both})
        self._respelt: set[Statement] = set()

    def together(self) -> Difference:
        """Both edits as one."""
        one, other = self._mine.difference, self._theirs.difference
        return Difference(
            added=dict(sorted({**one.added, **other.added}.items())),
            removed=dict(sorted({**one.removed, **other.removed}.items())),
            forward=tuple(sorted({*one.forward, *other.forward} - self._respelt)),
            reverse=tuple(sorted({*one.reverse, *other.reverse})),
            preconditions=tuple(sorted({*one.preconditions, *other.preconditions})),
        )

    def statements(self) -> Iterator[MergeConflict]:
        """Properties that both changed, of objects that both keep."""
        for key in sorted(self._both):
            mrid, prop, is_ref = key
            if any(side.removes(mrid) for side in self._sides):
                continue
            kind = ValueKind.REF if is_ref else ValueKind.TEXT
            base = {value.text for value in self._said.values(mrid, prop, kind)}
            mine, theirs = ((base - side.gone.get(key, set())) | side.come.get(key, set()) for side in self._sides)
            if mine == theirs or max(map(len, (base, mine, theirs))) > 1:
                continue
            if len(mine) == len(theirs) == 1 and not is_ref and same_value(prop, *(next(iter(one)) for one in (mine, theirs))):
                spelt = max(self._mine.come.get(key, set()) ^ self._theirs.come.get(key, set()))
                self._respelt |= {one for side in self._sides for one in side.difference.forward if _is(one, key, spelt)}
                continue
            yield self._conflict(MergeKind.BOTH_CHANGED, mrid, prop, *(", ".join(sorted(one)) for one in (base, mine, theirs)))
        for side, other in (self._sides, self._sides[::-1]):
            gone = set(other.difference.reverse)
            for one in side.difference.preconditions:
                if one in gone:
                    yield self._conflict(MergeKind.BOTH_CHANGED, one.mrid, one.prop, one.value, "", "")

    def objects(self) -> Iterator[MergeConflict]:
        """Objects that both made, that one removed and the other changed, whose class both changed."""
        mine, theirs = self._mine.difference, self._theirs.difference
        for mrid in sorted(mine.added.keys() & theirs.added.keys()):
            if mine.added[mrid] != theirs.added[mrid]:
                kind = MergeKind.CLASS if mrid in self._base else MergeKind.BOTH_NEW
                yield self._conflict(kind, mrid, "", self._base.class_of(mrid), mine.added[mrid], theirs.added[mrid])
            elif mrid not in self._base and any(self._one_sided(mrid)):
                name = mine.added[mrid]
                yield self._conflict(MergeKind.BOTH_NEW, mrid, "", "", f"new {name}", f"another new {name}")
        for side, other in (self._sides, self._sides[::-1]):
            for mrid in sorted(side.difference.removed.keys() & other.subjects):
                if side.removes(mrid) and not other.removes(mrid):
                    changed = ", ".join(sorted({key[1] for key in other.keys if key[0] == mrid})) or "its class"
                    yield self._sided(MergeKind.REMOVED_CHANGED, side, mrid, "", "removes it", f"changes {changed}")

    def _one_sided(self, mrid: str) -> Iterator[bool]:
        """Of an object that both made: properties that only one of them gave."""
        for side in self._sides:
            yield any(key[0] == mrid and key not in self._both for key in side.keys)

    def references(self) -> Iterator[MergeConflict]:
        """New references of the one to what the other removes."""
        for side, other in (self._sides, self._sides[::-1]):
            for one in other.difference.forward:
                if one.kind is ValueKind.REF and side.removes(one.value):
                    target = one.value
                    text = f"refers to it: {one.prop} of {path_of(other.model, one.mrid)} [{one.mrid}]"
                    where = other.where(one.mrid, one.prop)
                    yield self._sided(MergeKind.REMOVED_REFERRED, side, target, "", "removes it", text, where)

    @property
    def _sides(self) -> tuple[_Side, _Side]:
        return self._mine, self._theirs

    def _conflict(self, kind: MergeKind, mrid: str, prop: str, base: str, mine: str, theirs: str) -> MergeConflict:
        where = [side.where(mrid, prop) for side in self._sides]
        return MergeConflict(kind, mrid, self._path(mrid), prop, base, _quoted(mine), _quoted(theirs), *where)

    def _sided(self, kind: MergeKind, side: _Side, mrid: str, prop: str, this: str, that: str, place: str = "") -> MergeConflict:
        """A conflict in which ``side`` does ``this`` (to what the base has) and the other one ``that``."""
        other = self._theirs if side is self._mine else self._mine
        here, there = self._base.where(mrid), place or other.where(mrid)
        path, said = self._path(mrid), self._base.class_of(mrid)
        if side is self._mine:
            return MergeConflict(kind, mrid, path, prop, said, this, that, here, there)
        return MergeConflict(kind, mrid, path, prop, said, that, this, there, here)

    def _path(self, mrid: str) -> str:
        model = next((one for one in (self._base, self._mine.model, self._theirs.model) if mrid in one), self._base)
        return path_of(model, mrid)


def _collisions(models: tuple[CimModel, CimModel, CimModel], drivers: Drivers | None) -> Iterator[MergeConflict]:
    """Addresses and paths that each of them gave to another object."""
    known = drivers or Drivers()
    tables = tuple(build_tables(model, drivers=known)[0] for model in models)
    for of in (_points, _controls):
        by_slot = [slots(one, of(one)) for one in tables]
        for slot, mine, theirs in _same(*({slot: row for slot, (_, row) in one.items()} for one in by_slot)):
            yield _collision(MergeKind.SAME_ADDRESS, by_slot[1][slot][0], models, mine, theirs)
        for path, mine, theirs in _same(*({row.path: row for row in of(one)} for one in tables)):
            yield _collision(MergeKind.SAME_PATH, path, models, mine, theirs)


def _same(
    base: Mapping[_Slot, Point | Control], mine: Mapping[_Slot, Point | Control], theirs: Mapping[_Slot, Point | Control]
) -> Iterator[tuple[_Slot, Point | Control, Point | Control]]:
    """Slots that the one and the other gave to two different rows, neither of which the base has there."""
    for slot in mine.keys() & theirs.keys():
        one, other = mine[slot], theirs[slot]
        held = base[slot].mrid if slot in base else ""
        if one.mrid != other.mrid and held not in (one.mrid, other.mrid):
            yield slot, one, other


def _collision(
    kind: MergeKind, shared: str, models: tuple[CimModel, CimModel, CimModel], mine: Point | Control, theirs: Point | Control
) -> MergeConflict:
    words = f"{mine.path} [{mine.mrid}]", f"{theirs.path} [{theirs.mrid}]"
    return MergeConflict(
        kind, mine.mrid, mine.path, shared, "", *words, _where(models[1], mine.mrid), _where(models[2], theirs.mrid)
    )


def _points(tables: ModelTables) -> list[Point | Control]:
    return [point for point in tables.points if not point.removed]


def _controls(tables: ModelTables) -> list[Point | Control]:
    return [control for control in tables.controls if not control.removed]


def _where(model: CimModel, mrid: str) -> str:
    """Place of the address of a point or control; of itself where it has none."""
    sources = model.refs_to(mrid, "RemoteSource.MeasurementValue") or model.refs_to(mrid, "RemoteControl.Control")
    return model.where(sources[0] if sources else mrid)


def _key(statement: Statement) -> _Key:
    return statement.mrid, statement.prop, statement.kind is ValueKind.REF


def _is(statement: Statement, key: _Key, value: str) -> bool:
    return _key(statement) == key and statement.value == value


def _quoted(text: str) -> str:
    return repr(text) if text else "nothing"
