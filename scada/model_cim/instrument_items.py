"""New objects of a model, written once: what ``scada model instrument`` makes, before it becomes a difference and files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel
from scada.model_cim.statements import Difference, DifferenceHeader, Statement, ValueKind

Value = tuple[str, str, ValueKind]
"""Property, value, kind."""
_UNIT = re.compile(r"(?P<multiplier>[kMGm]?)(?P<symbol>Wh|VArh|VAr|VA|W|V|A|Hz|s|h)")
_SYMBOLS = {"°C": "degC", "°": "deg", "": "none"}


@dataclass(slots=True)
class NewObject:
    """An object to be added, or values to be added to one that is there."""

    mrid: str
    class_name: str
    values: list[Value]
    about: bool = False
    """True: the object is there, these values are new."""


@dataclass(slots=True)
class Additions:
    """What is new, file by file. An object that the model has is left as it is.

    Attributes:
        model: to be added to.
        files: name of a file without its end -> its new objects, in the order in which they are made.
    """

    model: CimModel
    files: dict[str, list[NewObject]] = field(default_factory=dict)
    _made: set[str] = field(default_factory=set)

    def knows(self, mrid: str) -> bool:
        """True if the model has such an object, or it has been made."""
        return mrid in self._made or mrid in self.model

    def add(
        self,
        file: str,
        class_name: str,
        mrid: str,
        texts: Mapping[str, str],
        refs: Mapping[str, str | Sequence[str]] | None = None,
    ) -> bool:
        """A new object; False if there is one already: it is an engineer's now."""
        if self.knows(mrid):
            return False
        self._made.add(mrid)
        self.files.setdefault(file, []).append(NewObject(mrid, class_name, _values(texts, refs or {})))
        return True

    def say(self, file: str, mrid: str, texts: Mapping[str, str], refs: Mapping[str, str] | None = None) -> None:
        """Values of an object that is there, where it says nothing of the property."""
        model = self.model
        new = [one for one in _values(texts, refs or {}) if model.text(mrid, one[0]) is None and not model.refs(mrid, one[0])]
        if new:
            self.files.setdefault(file, []).append(NewObject(mrid, model.class_of(mrid), new, about=True))

    def difference(self, description: str) -> Difference:
        """Everything as one difference."""
        objects = [one for many in self.files.values() for one in many]
        statements = [Statement(one.mrid, prop, value, kind) for one in objects for prop, value, kind in one.values]
        return Difference(
            added={one.mrid: one.class_name for one in objects if not one.about},
            forward=tuple(sorted(statements, key=attrgetter("mrid", "prop", "value"))),
            header=DifferenceHeader(
                description=description,
                supersedes=(self.model.digest,) if self.model.digest else (),
                profiles=("urn:scada-ems:sc:1#",),
            ),
        )


def _values(texts: Mapping[str, str], refs: Mapping[str, str | Sequence[str]]) -> list[Value]:
    values: list[Value] = []
    for prop, text in texts.items():
        enum = prop.rpartition(".")[2] in ("unitSymbol", "unitMultiplier", "phases")
        values.append((prop, text, ValueKind.ENUM if enum else ValueKind.TEXT))
    for prop, target in refs.items():
        values += [(prop, one, ValueKind.REF) for one in ([target] if isinstance(target, str) else target)]
    return values


def unit_texts(unit: str, owner: str) -> dict[str, str]:
    """``kW`` as CIM writes it, for a ``Measurement`` or ``Control``.

    Raises:
        ModelError: the unit is not known.

    >>> unit_texts("Mvar", "Measurement")["Measurement.unitSymbol"]
    'UnitSymbol.VAr'
    """
    if unit == "%":
        return {f"{owner}.unitMultiplier": "UnitMultiplier.c", f"{owner}.unitSymbol": "UnitSymbol.none"}
    found = _UNIT.fullmatch(unit.replace("var", "VAr"))
    if found is None and unit not in _SYMBOLS:
        raise ModelError(f"unit {unit!r} is not known", mend="such as MW, Mvar, kV, A, Hz, °C, %")
    symbol = found["symbol"] if found else _SYMBOLS[unit]
    multiplier = (found["multiplier"] if found else "") or "none"
    return {f"{owner}.unitMultiplier": f"UnitMultiplier.{multiplier}", f"{owner}.unitSymbol": f"UnitSymbol.{symbol}"}
