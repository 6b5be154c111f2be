"""Collects what the rows of an import change, row by row, and makes one difference of it."""

from __future__ import annotations

from collections.abc import Iterable

from scada.model_cim.cim import CimModel
from scada.model_cim.sheets.faults import CellError
from scada.model_cim.statements import Difference, Statement, ValueKind

_Key = tuple[str, str]


class Edits:
    """Changes of one model.

    Args:
        model: the model as it is; read-only.
    """

    def __init__(self, model: CimModel) -> None:
        self.model = model
        self._values: dict[_Key, tuple[str | None, ValueKind]] = {}
        self._added: dict[str, str] = {}
        self._removed: set[str] = set()
        self._links: dict[Statement, bool] = {}

    def put(self, mrid: str, prop: str, value: str | None, kind: ValueKind = ValueKind.TEXT) -> None:
        """Give a property one value, or none. A second, different value for the same property is a clash."""
        said = (value, kind)
        if self._values.setdefault((mrid, prop), said) != said:
            raise CellError("clash", what=prop)

    def link(self, statement: Statement, *, there: bool) -> None:
        """One value of a property that may have several: it shall be there, or not be there."""
        if self._links.setdefault(statement, there) is not there:
            raise CellError("clash", what=statement.prop)

    def create(self, mrid: str, class_name: str) -> None:
        """A new object."""
        if mrid in self.model:
            raise CellError("exists", value=mrid)
        if self._added.setdefault(mrid, class_name) != class_name:
            raise CellError("clash", what=mrid)

    def remove(self, mrid: str) -> None:
        """An object goes with everything the model says of it."""
        self._removed.add(mrid)

    @property
    def added(self) -> dict[str, str]:
        """Class of each new object."""
        return self._added

    @property
    def removed(self) -> set[str]:
        """Objects that go."""
        return self._removed

    def take(self, other: Edits) -> None:
        """Add the changes of a row, all of them or none.

        Raises:
            CellError: they contradict those of another row.
        """
        for key, said in other._values.items():
            if self._values.get(key, said) != said:
                raise CellError("clash", what=key[1])
        for statement, there in other._links.items():
            if self._links.get(statement, there) is not there:
                raise CellError("clash", what=statement.prop)
        for mrid, class_name in other._added.items():
            if self._added.get(mrid, class_name) != class_name:
                raise CellError("clash", what=mrid)
        self._values |= other._values
        self._links |= other._links
        self._added |= other._added
        self._removed |= other._removed

    def difference(self) -> Difference:
        """Everything, as one difference; what the model says already is no change."""
        model = self.model
        forward: set[Statement] = set()
        reverse: set[Statement] = set()
        for mrid in self._removed:
            reverse.update(model.statements_of(mrid))
        for (mrid, prop), (value, kind) in self._values.items():
            if mrid in self._removed:
                continue
            before = first_statement(model, mrid, prop)
            after = None if value is None else Statement(mrid, prop, value, kind)
            if before != after:
                reverse.update(() if before is None else (before,))
                forward.update(() if after is None else (after,))
        for statement, there in self._links.items():
            if statement.mrid not in self._removed:
                (forward if there else reverse).add(statement)
        return Difference(
            added=dict(sorted(self._added.items())),
            removed={mrid: model.class_of(mrid) for mrid in sorted(self._removed)},
            forward=tuple(sorted(forward)),
            reverse=tuple(sorted(reverse)),
        )


def first_statement(model: CimModel, mrid: str, prop: str) -> Statement | None:
    """What the model says of one property of an object; the first, should it say several things."""
    text = model.text(mrid, prop)
    if text is not None:
        column = model.column(prop)
        return Statement(mrid, prop, text, ValueKind.TEXT if column is None else column.kind)
    target = model.ref(mrid, prop)
    return None if target is None else Statement(mrid, prop, target, ValueKind.REF)


class Users:
    """Who refers to an object.

    Args:
        model: the model.
    """

    def __init__(self, model: CimModel) -> None:
        self._by_target: dict[str, list[Statement]] = {}
        mrids = model.mrids
        for prop in model.property_names():
            column = model.column(prop)
            if column is not None and column.kind is ValueKind.REF:
                for subject, target in zip(column.subjects.tolist(), column.values, strict=True):
                    self._by_target.setdefault(target, []).append(Statement(mrids[subject], prop, target, ValueKind.REF))

    def of(self, mrids: Iterable[str]) -> list[Statement]:
        """References to any of these objects."""
        return [statement for mrid in mrids for statement in self._by_target.get(mrid, ())]
