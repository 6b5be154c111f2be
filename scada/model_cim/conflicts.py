"""Why a difference cannot be applied to a model: every conflict, with its place (:func:`find_conflicts`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel
from scada.model_cim.said import MADE_PROPERTIES, Said, Value, path_of
from scada.model_cim.statements import Difference, Statement, ValueKind

_SHOWN: Final = 20
_MANY: Final = frozenset({"TopologicalIsland.TopologicalNodes"})
"""Properties that an object may have several times in CGMES."""

_Key = tuple[str, str, bool]
"""mRID, property, reference or literal."""


class ConflictKind(StrEnum):
    """What stands between a difference and a model."""

    EXISTS = "exists"
    """A new object is there already."""
    MISSING = "missing"
    """An object that goes or changes is not there."""
    OTHER_CLASS = "other-class"
    """An object that goes is of another class."""
    OTHER_VALUE = "other-value"
    """A statement that must hold does not."""
    UNLISTED = "unlisted"
    """An object that goes has a value that the difference does not know of; taking it back would lose it."""
    REFERRED = "referred"
    """Something that stays refers to an object that goes."""
    MADE = "made"
    """Made by a template."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """One reason why a difference does not fit."""

    kind: ConflictKind
    mrid: str
    path: str
    """Names of the containers and the object; empty if the model does not have it."""
    text: str
    where: str = ""
    """``file:line`` of what the model says; empty if it says nothing."""
    statement: Statement | None = None
    """The statement that does not fit, None if it is the object itself."""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        name = f"{self.path} " if self.path else ""
        return f"{place}{name}[{self.mrid}] {self.text}"


class DifferenceError(ModelError):
    """A difference does not fit the model it is to change; nothing was changed.

    Args:
        conflicts: every one of them; the text of the error shows the first 20.
        where: name of the model.
    """

    def __init__(self, conflicts: Sequence[Conflict], *, where: str = "") -> None:
        self.conflicts = tuple(conflicts)
        count = len(conflicts)
        lines = [f"the difference does not fit the model, {count} {'conflict' if count == 1 else 'conflicts'}:"]
        lines += [f"  {conflict}" for conflict in conflicts[:_SHOWN]]
        if count > _SHOWN:
            lines.append(f"  and {count - _SHOWN} more")
        super().__init__("\n".join(lines), where=where, mend="make the difference anew from the model as it is")


def touched(difference: Difference) -> set[str]:
    """MRIDs of all objects that a difference speaks of."""
    spoken = (*difference.forward, *difference.reverse, *difference.preconditions)
    return {*difference.added, *difference.removed, *(one.mrid for one in spoken)}


def find_conflicts(model: CimModel, difference: Difference, said: Said | None = None) -> list[Conflict]:
    """Everything in a model that stands against a difference; empty if it can be applied.

    Args:
        model: what the difference is to be applied to.
        difference: the change.
        said: what the model says of the objects of :func:`touched`, where the caller has it already.
    """
    finder = _Finder(model, difference, said or Said(model, touched(difference)))
    return [
        *finder.objects(),
        *finder.reverse(),
        *finder.preconditions(),
        *finder.forward(),
        *finder.unlisted(),
        *finder.referred(),
    ]


def _key(statement: Statement) -> _Key:
    return statement.mrid, statement.prop, statement.kind is ValueKind.REF


class _Finder:
    def __init__(self, model: CimModel, difference: Difference, said: Said) -> None:
        self._model = model
        self._difference = difference
        self._said = said
        self._gone = {mrid for mrid in difference.removed if mrid not in difference.added}
        self._unsaid: dict[_Key, set[str]] = {}
        """Texts of the model that go, by property."""
        self._known: dict[_Key, set[str]] = {}
        """Texts that the difference knows to stay."""
        self._failed: set[_Key] = set()
        """Properties of which a value that goes is not there: that is said once."""
        self._reported: set[str] = set()
        for statements, found in ((difference.reverse, self._unsaid), (difference.preconditions, self._known)):
            for statement in statements:
                value = said.held(statement)
                if value is not None:
                    found.setdefault(_key(statement), set()).add(value.text)
                elif found is self._unsaid:
                    self._failed.add(_key(statement))

    def objects(self) -> Iterator[Conflict]:
        model, difference = self._model, self._difference
        for mrid, class_name in difference.removed.items():
            has = model.class_of(mrid)
            if not has:
                yield self._about(ConflictKind.MISSING, mrid, f"{class_name} is to go and is not in the model")
            elif model.is_made(mrid):
                yield self._made(mrid)
            elif has != class_name:
                yield self._about(ConflictKind.OTHER_CLASS, mrid, f"is to go as {class_name} and is a {has}")
        for mrid, class_name in difference.added.items():
            if mrid in model and mrid not in difference.removed:
                text = f"{class_name} is new in the difference and there already, a {model.class_of(mrid)}"
                yield self._about(ConflictKind.EXISTS, mrid, text)

    def reverse(self) -> Iterator[Conflict]:
        for statement in self._difference.reverse:
            value = self._said.held(statement)
            if value is None:
                yield from self._not_held(statement, "goes")
            elif value.made:
                yield self._made(statement.mrid, statement, value)

    def preconditions(self) -> Iterator[Conflict]:
        for statement in self._difference.preconditions:
            if self._said.held(statement) is None:
                yield from self._not_held(statement, "is a precondition")

    def forward(self) -> Iterator[Conflict]:
        difference = self._difference
        come: dict[_Key, list[Statement]] = {}
        for statement in difference.forward:
            mrid = statement.mrid
            if mrid in difference.added and mrid not in difference.removed:
                continue
            if mrid in self._gone:
                text = f"goes and is to have {statement.prop} = {_shown(statement.value)}"
                yield self._about(ConflictKind.MISSING, mrid, text, statement)
            elif mrid not in self._model:
                yield from self._absent(mrid, statement)
            elif self._model.is_made(mrid) or statement.prop in MADE_PROPERTIES:
                yield self._made(mrid, statement)
            else:
                come.setdefault(_key(statement), []).append(statement)
        for key, statements in come.items():
            if key not in self._failed:
                yield from self._already(key, statements)

    def _already(self, key: _Key, come: Sequence[Statement]) -> Iterator[Conflict]:
        """Values are to come where the model has some that the difference does not know of."""
        values = self._said.values(come[0].mrid, come[0].prop, come[0].kind)
        left = {value.text: value for value in values if value.text not in self._unsaid.get(key, ())}
        several = len(come) > 1 or len(values) > 1 or key[1] in _MANY
        unknown = None if several else next((left[text] for text in left if text not in self._known.get(key, ())), None)
        for statement in come:
            value = left.get(statement.value) or unknown
            if value is not None:
                text = f"{statement.prop} = {_shown(statement.value)} comes; the model says {_shown(value.text)} already"
                yield self._about(ConflictKind.OTHER_VALUE, statement.mrid, text, statement, value.where)

    def unlisted(self) -> Iterator[Conflict]:
        for mrid in self._gone:
            if self._model.is_made(mrid):
                continue
            for statement, value in self._said.statements(mrid):
                if value.text not in self._unsaid.get(_key(statement), ()):
                    text = f"goes, and the difference does not list its {statement.prop} = {_shown(statement.value)}"
                    yield self._about(ConflictKind.UNLISTED, mrid, text, statement, value.where)

    def referred(self) -> Iterator[Conflict]:
        """References to objects that go, in what stays and in what comes."""
        model, gone = self._model, self._gone
        for statement in self._difference.forward:
            if statement.kind is ValueKind.REF and statement.value in gone:
                text = f"{statement.prop} is to refer to {self._name(statement.value)}, which goes"
                yield self._about(ConflictKind.REFERRED, statement.mrid, text, statement, model.where(statement.value))
        if not gone.intersection(model.mrids):
            return
        for prop in model.property_names():
            for column in model.columns(prop):
                if column.kind is not ValueKind.REF or prop in MADE_PROPERTIES:
                    continue
                targets = column.values
                for place in [place for place, target in enumerate(targets) if target in gone]:
                    statement = Statement(model.mrids[column.subjects[place]], prop, targets[place], ValueKind.REF)
                    mrid = statement.mrid
                    if mrid in gone or model.is_made(mrid) or statement.value in self._unsaid.get(_key(statement), ()):
                        continue
                    where = model.where_value(column, place)
                    text = f"{prop} refers to {self._name(statement.value)}, which goes"
                    yield self._about(ConflictKind.REFERRED, mrid, text, statement, where)

    def _name(self, mrid: str) -> str:
        return f"{self._model.class_of(mrid)} {path_of(self._model, mrid)} [{mrid}]"

    def _not_held(self, statement: Statement, role: str) -> Iterator[Conflict]:
        if statement.mrid not in self._model:
            yield from self._absent(statement.mrid, statement)
            return
        values = self._said.values(statement.mrid, statement.prop, statement.kind)
        has = " and ".join(_shown(value.text) for value in values) or "nothing"
        text = f"{statement.prop} = {_shown(statement.value)} {role}; the model says {has}"
        where = values[0].where if values else self._model.where(statement.mrid)
        yield self._about(ConflictKind.OTHER_VALUE, statement.mrid, text, statement, where)

    def _absent(self, mrid: str, statement: Statement) -> Iterator[Conflict]:
        """Once for each object that is not in the model."""
        if mrid not in self._reported and mrid not in self._difference.removed:
            self._reported.add(mrid)
            text = f"is to change ({statement.prop} ...) and is not in the model"
            yield self._about(ConflictKind.MISSING, mrid, text, statement)

    def _made(self, mrid: str, statement: Statement | None = None, value: Value | None = None) -> Conflict:
        what = f"{statement.prop} " if statement else ""
        text = f"{what}is made by a template; edit the template or give the device an sc:DeviceItem"
        return self._about(ConflictKind.MADE, mrid, text, statement, value.where if value else "")

    def _about(self, kind: ConflictKind, mrid: str, text: str, statement: Statement | None = None, where: str = "") -> Conflict:
        known = mrid in self._model
        path = path_of(self._model, mrid) if known else ""
        return Conflict(kind, mrid, path, text, where or (self._model.where(mrid) if known else ""), statement)


def _shown(value: str) -> str:
    return repr(value if len(value) <= 80 else value[:77] + "...")
