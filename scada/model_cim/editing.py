"""A model changed by statements: what does not change is shared with the model it was made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scada.model_cim.columns import EDITED, Column, Ints, Linked, Piece, links, literals, make_column
from scada.model_cim.statements import Difference, ValueKind

if TYPE_CHECKING:
    from scada.model_cim.cim import CimModel
    from scada.model_cim.findings import Finding

Columns = dict[str, Column]


@dataclass(frozen=True, slots=True)
class Addition:
    """One statement to add, with the place it comes from."""

    mrid: str
    prop: str
    value: str
    kind: ValueKind
    file: int = EDITED
    line: int = 0


def extended(
    model: CimModel, objects: Mapping[str, tuple[str, int, int]], additions: Iterable[Addition], files: Sequence[str]
) -> CimModel:
    """A model with more objects (class, file, line by mRID) and statements, and the files they are from."""
    return _Edit(model).made(model.title, model.digest, objects, additions, files, model.findings)


def edited(model: CimModel, difference: Difference) -> CimModel:
    """See :meth:`scada.model_cim.cim.CimModel.edited`."""
    edit = _Edit(model)
    edit.remove([mrid for mrid in difference.removed if mrid not in difference.added])
    edit.unsay({(one.mrid, one.prop, one.value) for one in difference.reverse})
    for mrid, class_name in difference.added.items():
        edit.reclass(mrid, class_name)
    objects = {mrid: (class_name, EDITED, 0) for mrid, class_name in difference.added.items() if mrid not in model}
    additions = (Addition(one.mrid, one.prop, one.value, one.kind) for one in difference.forward)
    return edit.made(model.title, "", objects, additions, model.files, [])


class _Edit:
    """The parts of a model while it is changed."""

    def __init__(self, model: CimModel) -> None:
        self._model = model
        self._mrids = list(model.mrids)
        self._classes = list(model.class_names)
        self._files, self._lines = model.object_places
        self._sources = model.sources
        self._texts, self._refs = model.tables()

    def remove(self, mrids: Sequence[str]) -> None:
        """Objects go, with all they say; references to them become dangling."""
        rows = [row for mrid in mrids if (row := self._model.row(mrid)) is not None]
        if not rows:
            return
        keep = np.ones(len(self._mrids), np.bool_)
        keep[rows] = False
        row_of = np.where(keep, np.cumsum(keep) - 1, -1).astype(np.int32)
        left = np.flatnonzero(keep)
        old = self._mrids
        self._mrids = [old[row] for row in left.tolist()]
        self._classes = [self._classes[row] for row in left.tolist()]
        self._files, self._lines = self._files[left], self._lines[left]
        relink = partial(_moved_links, row_of=row_of, old=old, new=self._mrids)
        self._texts, self._refs = (
            {prop: column.moved(row_of, relink) for prop, column in columns.items()} for columns in (self._texts, self._refs)
        )
        self._sources = [source.moved(row_of) for source in self._sources]

    def unsay(self, gone: set[tuple[str, str, str]]) -> None:
        """Statements go."""
        index = {mrid: row for row, mrid in enumerate(self._mrids)} if gone else {}
        for columns in (self._texts, self._refs):
            masks: dict[str, npt.NDArray[np.bool_]] = {}
            for mrid, prop, value in gone:
                row, column = index.get(mrid), columns.get(prop)
                if row is None or column is None:
                    continue
                for place in column.places(row):
                    if column.at(place) == value:
                        masks.setdefault(prop, np.ones(len(column), np.bool_))[place] = False
            for prop, keep in masks.items():
                columns[prop] = columns[prop].kept(keep)

    def reclass(self, mrid: str, class_name: str) -> None:
        """Another class for an object that stays."""
        row = self._model.row(mrid)
        if row is not None:
            if self._mrids[row : row + 1] != [mrid]:
                row = self._mrids.index(mrid)
            self._classes[row] = class_name

    def made(
        self,
        title: str,
        digest: str,
        objects: Mapping[str, tuple[str, int, int]],
        additions: Iterable[Addition],
        files: Sequence[str],
        findings: list[Finding],
    ) -> CimModel:
        """The model, with more objects and statements; one about an object it does not have is passed over."""
        first = len(self._mrids)
        self._mrids.extend(objects)
        self._classes.extend(one[0] for one in objects.values())
        if objects:
            self._files = np.concatenate((self._files, np.array([one[1] for one in objects.values()], np.int32)))
            self._lines = np.concatenate((self._lines, np.array([one[2] for one in objects.values()], np.int32)))
        index = {mrid: row for row, mrid in enumerate(self._mrids)}
        self._refs = {prop: _relinked(column, index, self._mrids, first) for prop, column in self._refs.items()}
        grouped: dict[tuple[bool, str], list[tuple[int, Addition]]] = {}
        for one in additions:
            row = index.get(one.mrid)
            if row is not None:
                grouped.setdefault((one.kind is ValueKind.REF, one.prop), []).append((row, one))
        link = partial(links, index=index, mrids=self._mrids)
        for (is_ref, prop), some in grouped.items():
            columns = self._refs if is_ref else self._texts
            before = columns.get(prop)
            kind = before.kind if before is not None and len(before) else some[0][1].kind
            columns[prop] = make_column(_pieces(some), kind, link if is_ref else literals, before)
        return type(self._model)(
            title=title,
            digest=digest,
            files=files,
            headers=self._model.headers,
            mrids=self._mrids,
            classes=self._classes,
            places=(self._files, self._lines),
            texts={prop: column for prop, column in self._texts.items() if len(column)},
            refs={prop: column for prop, column in self._refs.items() if len(column)},
            findings=findings,
            sources=self._sources,
        )


def _pieces(some: Sequence[tuple[int, Addition]]) -> list[Piece]:
    """Additions of one property, those of one file and kind beside each other, in their order otherwise."""
    pieces: list[Piece] = []
    subjects: list[int] = []
    lines: list[int] = []
    last: tuple[int, ValueKind] | None = None
    for row, one in some:
        if (one.file, one.kind) != last:
            last = (one.file, one.kind)
            subjects, lines = [], []
            pieces.append(Piece(one.file, None, subjects, [], lines))
        subjects.append(row)
        lines.append(one.line)
        pieces[-1].values.append(one.value)
    return pieces


def _moved_links(store: Linked, row_of: Ints, old: Sequence[str], new: Sequence[str]) -> Linked:
    """References after the objects got other numbers."""
    targets, missing = store.targets, list(store.missing)
    moved = np.where(targets >= 0, row_of[np.maximum(targets, 0)], targets)
    number: dict[str, int] = {}
    for place in np.flatnonzero((targets >= 0) & (moved < 0)).tolist():
        mrid = old[targets[place]]
        moved[place] = -1 - number.setdefault(mrid, len(missing) + len(number))
    return Linked(moved.astype(np.int32), [*missing, *number], new)


def _relinked(column: Column, index: Mapping[str, int], mrids: Sequence[str], first: int) -> Column:
    """References to objects that were missing and are there now (from row ``first`` on)."""
    store = column.store
    if not isinstance(store, Linked):
        return column
    found = {-1 - number: index[mrid] for number, mrid in enumerate(store.missing) if index.get(mrid, -1) >= first}
    if not found:
        return column if store.mrids is mrids else replace(column, store=Linked(store.targets, store.missing, mrids))
    targets = store.targets.copy()
    for code, row in found.items():
        targets[store.targets == code] = row
    missing = [mrid for mrid in store.missing if mrid not in index]
    code_of = {mrid: -1 - number for number, mrid in enumerate(missing)}
    for code, mrid in enumerate(store.missing):
        if mrid in code_of:
            targets[store.targets == -1 - code] = code_of[mrid]
    return Column(column.subjects, Linked(targets, missing, mrids), column.lines, column.parts, column.kind, column.extras)
