"""What one model says and another does not, and a model changed by it: :func:`diff_models`, :func:`apply_difference`.

A comparison goes by what is said, not by where: order, files and headers (``md:FullModel``) are no content. What templates make
is an effect of the template, not of an edit, and stands in no difference: see :func:`scada.model_cim.effects.effects` for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
import numpy.typing as npt

from scada.model_cim.cim import CimModel, Column
from scada.model_cim.conflicts import DifferenceError, find_conflicts, touched
from scada.model_cim.said import MADE_PROPERTIES, Said, same_value
from scada.model_cim.statements import Difference, DifferenceHeader, Statement, ValueKind

__all__ = ["DifferenceError", "apply_difference", "diff_models", "same_value"]


def diff_models(old: CimModel, new: CimModel, *, spelling: bool = False, header: DifferenceHeader | None = None) -> Difference:
    """Everything that must be unsaid and said to come from one model to the other, and nothing else.

    Values of a property that an object has several times are compared as a set, as RDF has it. Where a first value gets a second
    one beside it, the first is a precondition of the difference, so that it is known to stay.

    Args:
        old: the model to start from.
        new: the model to arrive at.
        spelling: list a number too that is only written differently (``1.0`` and ``1.00``); by default it is no change, see
            :func:`same_value`.
        header: of the difference.
    """
    both = _Pair(old, new)
    forward: list[Statement] = []
    reverse: list[Statement] = []
    stays: list[Statement] = []
    for prop in sorted({*old.property_names(), *new.property_names()}):
        for before, after in _column_pairs(old, new, prop):
            for change in both.changes(prop, before, after, spelling=spelling):
                mrid = both.mrid(change.subject)
                reverse.extend(Statement(mrid, prop, value, kind) for value, kind in change.gone.items())
                forward.extend(Statement(mrid, prop, value, kind) for value, kind in change.come.items())
                if len(change.stay) == 1 and not change.gone:
                    stays.extend(Statement(mrid, prop, value, kind) for value, kind in change.stay.items())
    added, removed = both.objects()
    says = [tuple(sorted(statements)) for statements in (forward, reverse, stays)]
    return Difference(added, removed, says[0], says[1], says[2], header or DifferenceHeader())


def apply_difference(model: CimModel, difference: Difference, *, check: bool = True) -> CimModel:
    """The model with a difference applied; the one given stays as it was.

    Objects made from templates follow only when the model is written and read again, since templates are files.

    Args:
        model: the model that the difference starts from, or one that says the same wherever the difference looks.
        difference: what to change.
        check: False applies what can be applied and passes over the rest.

    Raises:
        DifferenceError: the model is another one than the difference was made for; every conflict is named.
    """
    said = Said(model, touched(difference))
    if check:
        conflicts = find_conflicts(model, difference, said)
        if conflicts:
            raise DifferenceError(conflicts, where=model.title)
    return model.edited(_as_model_says(difference, said))


def _as_model_says(difference: Difference, said: Said) -> Difference:
    """The difference with numbers spelt as in the model."""
    values = ((statement, said.held(statement)) for statement in difference.reverse)
    return replace(difference, reverse=tuple(replace(statement, value=value.text) for statement, value in values if value))


_Kinds = dict[str, ValueKind]
"""Values of a property of an object, each with its kind."""


@dataclass(slots=True)
class _Values:
    """A column in the object numbers of a pair, without what templates made."""

    column: Column | None
    subjects: npt.NDArray[np.intp]
    texts: npt.NDArray[np.object_]
    places: npt.NDArray[np.intp]
    """Of each value in the column."""

    def by_subject(self, wanted: npt.NDArray[np.intp]) -> dict[int, _Kinds]:
        """Values of some objects."""
        found: dict[int, _Kinds] = {}
        if self.column is not None:
            for at in np.flatnonzero(np.isin(self.subjects, wanted)).tolist():
                kind = self.column.kind_at(int(self.places[at]))
                found.setdefault(int(self.subjects[at]), {})[self.texts[at]] = kind
        return found


@dataclass(slots=True)
class _Change:
    """Values of one property of one object."""

    subject: int
    gone: _Kinds
    come: _Kinds
    stay: _Kinds


class _Pair:
    """Two models with common object numbers: those of the old model, then the new objects."""

    def __init__(self, old: CimModel, new: CimModel) -> None:
        self._old, self._new = old, new
        number = {mrid: row for row, mrid in enumerate(old.mrids)}
        self._mrids = list(old.mrids)
        place = np.fromiter(map(number.get, new.mrids, repeat(-1)), np.intp, len(new.mrids))
        fresh = np.flatnonzero(place < 0)
        place[fresh] = len(self._mrids) + np.arange(len(fresh))
        self._mrids += [new.mrids[row] for row in fresh.tolist()]
        self._of_old = np.arange(len(old.mrids))
        self._of_new = place

    def mrid(self, number: int) -> str:
        """Of an object."""
        return self._mrids[number]

    def objects(self) -> tuple[dict[str, str], dict[str, str]]:
        """Classes of the objects that come and that go, by mRID; of one that changes its class in both."""
        before, after = (np.full(len(self._mrids), "", np.object_) for _ in range(2))
        before[self._of_old] = np.where(self._old.made, "", np.array(self._old.class_names, np.object_))
        after[self._of_new] = np.where(self._new.made, "", np.array(self._new.class_names, np.object_))
        other = np.flatnonzero(before != after).tolist()
        added = {self._mrids[number]: after[number] for number in other if after[number]}
        removed = {self._mrids[number]: before[number] for number in other if before[number]}
        return dict(sorted(added.items())), dict(sorted(removed.items()))

    def changes(self, prop: str, before: Column | None, after: Column | None, *, spelling: bool) -> Iterator[_Change]:
        """Objects whose values differ."""
        if prop in MADE_PROPERTIES or (before is after and self._same_objects(before)):
            return
        old = _values(self._old, before, self._of_old)
        new = _values(self._new, after, self._of_new)
        if np.array_equal(old.subjects, new.subjects):
            differ = np.flatnonzero(old.texts != new.texts)
            if not differ.size:
                return
            concerned = np.unique(old.subjects[differ])
        else:
            concerned = _concerned(old, new, len(self._mrids))
        had, has = old.by_subject(concerned), new.by_subject(concerned)
        for subject in concerned.tolist():
            was, now = had.get(subject, {}), has.get(subject, {})
            gone, come = sorted(was.keys() - now.keys()), sorted(now.keys() - was.keys())
            if not spelling:
                gone, come = _other_values(prop, gone, come)
            if gone or come:
                stay = {value: kind for value, kind in was.items() if value in now}
                yield _Change(subject, {value: was[value] for value in gone}, {value: now[value] for value in come}, stay)

    def _same_objects(self, column: Column | None) -> bool:
        """True if a column that both models share is about the same objects in both."""
        return column is None or bool(np.array_equal(self._of_old[column.subjects], self._of_new[column.subjects]))


def _column_pairs(old: CimModel, new: CimModel, prop: str) -> Iterator[tuple[Column | None, Column | None]]:
    """The literal columns of a property in both models, then the reference columns."""
    for wanted in (False, True):
        before, after = (
            next((column for column in model.columns(prop) if (column.kind is ValueKind.REF) is wanted), None)
            for model in (old, new)
        )
        if before is not None or after is not None:
            yield before, after


def _values(model: CimModel, column: Column | None, numbers: npt.NDArray[np.intp]) -> _Values:
    """What a column says of objects that are not made, nor made of them by a template."""
    if column is None:
        return _Values(None, np.zeros(0, np.intp), np.zeros(0, np.object_), np.zeros(0, np.intp))
    subjects, texts = column.subjects, np.array(column.values, np.object_)
    places = np.arange(len(texts))
    if model.template_files.any():
        places = np.flatnonzero(~(model.made[subjects] | model.template_files[column.files]))
        subjects, texts = subjects[places], texts[places]
    return _Values(column, numbers[subjects], texts, places)


def _concerned(old: _Values, new: _Values, size: int) -> npt.NDArray[np.intp]:
    """Objects whose values may differ, when the columns do not run side by side."""
    had, has = np.bincount(old.subjects, minlength=size), np.bincount(new.subjects, minlength=size)
    several = (had > 1) | (has > 1)
    other = (had != has) | several
    at_old, at_new = np.zeros(size, np.intp), np.zeros(size, np.intp)
    at_old[old.subjects] = np.arange(len(old.subjects))
    at_new[new.subjects] = np.arange(len(new.subjects))
    single = np.flatnonzero((had == 1) & (has == 1))
    other[single[old.texts[at_old[single]] != new.texts[at_new[single]]]] = True
    return np.flatnonzero(other)


def _other_values(prop: str, gone: list[str], come: list[str]) -> tuple[list[str], list[str]]:
    """Without the numbers that are only written differently."""
    left = list(come)
    away: list[str] = []
    for value in gone:
        twin = next((other for other in left if same_value(prop, value, other)), None)
        if twin is None:
            away.append(value)
        else:
            left.remove(twin)
    return away, left
