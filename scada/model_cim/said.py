"""What a model says of some objects, found by one pass over its columns; and when two texts are the same value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Final

import numpy as np

from scada.model_cim.cim import CimModel
from scada.model_cim.schema import VERSIONS, load_schema
from scada.model_cim.statements import Statement, ValueKind

MADE_PROPERTIES: Final = frozenset({"sc:Device.Template"})
"""Properties that the reader itself gives to an object of a file."""
_BELONGS: Final = (
    "RemoteSource.MeasurementValue",
    "RemoteControl.Control",
    "AnalogValue.Analog",
    "DiscreteValue.Discrete",
    "AccumulatorValue.Accumulator",
    "AnalogLimit.LimitSet",
    "AnalogLimitSet.Measurements",
    "ValueToAlias.ValueAliasSet",
)
"""References of what has no container of its own to what it belongs to."""
_DECIMAL: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?")
_LONGEST_NUMBER: Final = 64
_NUMBERS: Final = frozenset({"float", "decimal", "integer"})


def same_value(prop: str, one: str, other: str) -> bool:
    """True if two texts of a property are the same value: the same text, or the same number written differently.

    What is a number the CGMES schema says. Of a property it does not know only what is written as a fraction is taken for one:
    ``0221`` and ``221`` may be two device numbers.

    >>> same_value("ACLineSegment.r", "1", "1.00"), same_value("sc:Control.deviceNumber", "0221", "221")
    (True, False)
    """
    if one == other:
        return True
    if len(one) > _LONGEST_NUMBER or len(other) > _LONGEST_NUMBER:
        return False
    if not (_DECIMAL.fullmatch(one) and _DECIMAL.fullmatch(other)):
        return False
    kind = _types().get(prop)
    if kind not in _NUMBERS and (kind is not None or not any(mark in one + other for mark in ".eE")):
        return False
    return Decimal(one) == Decimal(other)


@cache
def _types() -> dict[str, str]:
    """Type of each literal property that CGMES knows."""
    schemas = (load_schema(version).properties for version in VERSIONS)
    return {name: one.type for properties in schemas for name, one in properties.items() if one.kind == "text"}


def path_of(model: CimModel, mrid: str) -> str:
    """Names of an object and of everything it belongs to, for people: an address or a limit is named after its point."""
    chain = [mrid]
    while True:
        owner = next((target for prop in _BELONGS if (target := model.ref(chain[-1], prop))), None)
        if owner is None or owner in chain:
            break
        chain.append(owner)
    path = model.path(chain.pop())
    for one in reversed(chain):
        name = model.name(one)
        path = path if name in (one, path.rpartition("/")[2]) else f"{path}/{name}"
    return path


@dataclass(frozen=True, slots=True)
class Value:
    """A value as a model has it."""

    text: str
    kind: ValueKind
    where: str
    """``file:line``; of the object where the value itself has none."""
    made: bool
    """Given by a template, not by a file of the model."""


class Said:
    """Everything a model says of some objects.

    Args:
        model: the model.
        mrids: the objects; those it does not have are passed over.
    """

    def __init__(self, model: CimModel, mrids: Iterable[str]) -> None:
        self._found: dict[str, dict[tuple[str, bool], dict[str, Value]]] = {}
        index = {mrid for mrid in mrids if mrid in model}
        if not index:
            return
        wanted = np.fromiter((mrid in index for mrid in model.mrids), bool, len(model.mrids))
        for prop in model.property_names():
            for column in model.columns(prop):
                subjects = column.subjects
                for place in np.flatnonzero(wanted[subjects]).tolist():
                    row, file = int(subjects[place]), column.part_at(place).file
                    mrid = model.mrids[row]
                    made = bool(model.made[row] or model.template_files[file] or prop in MADE_PROPERTIES)
                    where = model.where_value(column, place)
                    key = (prop, column.kind is ValueKind.REF)
                    value = Value(column.at(place), column.kind_at(place), where, made)
                    self._found.setdefault(mrid, {}).setdefault(key, {}).setdefault(value.text, value)

    def values(self, mrid: str, prop: str, kind: ValueKind) -> list[Value]:
        """All different values of a property of an object: references with ``REF``, else literals."""
        return list(self._by_text(mrid, prop, kind).values())

    def held(self, statement: Statement) -> Value | None:
        """The value by which the model says what a statement says, None if it does not."""
        values = self._by_text(statement.mrid, statement.prop, statement.kind)
        if statement.value in values or statement.kind is ValueKind.REF:
            return values.get(statement.value)
        return next((value for text, value in values.items() if same_value(statement.prop, statement.value, text)), None)

    def statements(self, mrid: str) -> list[tuple[Statement, Value]]:
        """Everything said of an object that is not made by a template."""
        return [
            (Statement(mrid, prop, value.text, value.kind), value)
            for (prop, _), values in self._found.get(mrid, {}).items()
            for value in values.values()
            if not value.made
        ]

    def _by_text(self, mrid: str, prop: str, kind: ValueKind) -> Mapping[str, Value]:
        return self._found.get(mrid, {}).get((prop, kind is ValueKind.REF), {})
