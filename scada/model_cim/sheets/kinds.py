"""Kinds of columns: how a property of the model is shown in a cell, and what a changed cell means.

A cell shows the text of the model as it stands there. On the way back a cell is compared with what an export would show now; only
one that differs is read, so what nobody touched can neither change nor fail.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from scada.model_cim.sheets.edits import Edits
from scada.model_cim.sheets.faults import CellError
from scada.model_cim.sheets.names import Names
from scada.model_cim.statements import Statement, ValueKind

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_UNFIT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SOURCE_OF: Final = "MeasurementValue.RemoteSource"
"""Where a model lets the value name its source, instead of the other way round."""
_TRUTH: Final = {"true": "true", "false": "false", "1": "true", "0": "false", "是": "true", "否": "false"}
Objects = Mapping[str, str]
"""MRID of each object of a row by its role; empty where the row has none."""


class Row(Protocol):
    """A row that is being changed."""

    names: Names
    edits: Edits

    def owner(self, role: str) -> str:
        """MRID of the object in a role; it is made if the row has none yet."""

    def object(self, role: str) -> str:
        """MRID of the object in a role, empty if the row has none."""


class FieldKind(Protocol):
    """What a column holds."""

    @property
    def choices(self) -> Sequence[str]:
        """Words a cell may hold; empty = any text."""

    @property
    def numeric(self) -> bool:
        """True where a spreadsheet program may hold it as a number."""

    @property
    def written(self) -> bool:
        """False where a cell only informs."""

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """Text of each row."""

    def write(self, row: Row, text: str | None) -> None:
        """Change the row to a text; None clears.

        Raises:
            CellError: the text cannot be used.
        """


def parse_number(text: str) -> float:
    """A finite number.

    Raises:
        CellError: it is none.
    """
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise CellError("number", value=text)
    return value


def same_number(one: str, other: str) -> bool:
    """True if two texts are the same number: 1.50 and 1.5."""
    return bool(_NUMBER.fullmatch(one) and _NUMBER.fullmatch(other)) and float(one) == float(other)


def check_text(text: str) -> str:
    """The text, if XML can carry it.

    Raises:
        CellError: it holds control characters or halves of a surrogate pair.
    """
    if _UNFIT.search(text):
        raise CellError("characters")
    return text


@dataclass(frozen=True)
class Literal:
    """A literal property.

    Attributes:
        role: which object of the row has it.
        prop: its name; ``{class}`` stands for the class of the object.
        what: ``text``, ``number``, ``integer`` or ``truth``.
        low: least number.
        high: greatest number.
        choices: words it may hold.
        classes: classes of objects that ``{class}`` may be; for one of another class the property does not exist.
        required: it cannot be cleared.
    """

    role: str
    prop: str
    what: str = "text"
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    required: bool = False
    written: bool = True

    @property
    def numeric(self) -> bool:
        """Numbers may be held as numbers."""
        return self.what in ("number", "integer")

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """The text as the model has it."""
        role, texts = self.role, {}
        for prop in [self.prop.replace("{class}", one) for one in self.classes] or [self.prop]:
            texts.update(names.texts(prop))
        return [texts.get(row[role], "") for row in rows]

    def write(self, row: Row, text: str | None) -> None:
        """One value for the property."""
        mrid = row.object(self.role)
        if text is None:
            if self.required:
                raise CellError("clear-needed")
            if not mrid:
                return
        mrid = mrid or row.owner(self.role)
        prop = self.prop
        if self.classes:
            class_name = row.edits.added.get(mrid) or row.names.model.class_of(mrid)
            if class_name not in self.classes:
                raise CellError("fixed", now="")
            prop = prop.replace("{class}", class_name)
        row.edits.put(mrid, prop, None if text is None else self.read(text))

    def read(self, text: str) -> str:
        """The text to write.

        Raises:
            CellError: it is not what the property holds.
        """
        if self.what == "truth":
            if text.lower() not in _TRUTH:
                raise CellError("truth", value=text)
            return _TRUTH[text.lower()]
        if self.choices and text not in self.choices:
            raise CellError("choice", value=text, choices=", ".join(self.choices))
        if self.what == "integer" and not _INTEGER.fullmatch(text):
            raise CellError("integer", value=text)
        if self.numeric and not self.low <= parse_number(text) <= self.high:
            raise CellError("range", value=text, low=f"{self.low:.15g}", high=f"{self.high:.15g}")
        return check_text(text)


@dataclass(frozen=True)
class Name(Literal):
    """A name; objects of the row that bear the same name follow.

    Attributes:
        followers: roles of those objects.
    """

    followers: tuple[str, ...] = ()

    def write(self, row: Row, text: str | None) -> None:
        """The name, of the object and those that share it."""
        before = row.names.model.text(row.object(self.role), self.prop)
        super().write(row, text)
        for role in self.followers:
            mrid = row.object(role)
            if mrid and row.names.model.text(mrid, self.prop) == before is not None:
                row.edits.put(mrid, self.prop, text)


@dataclass(frozen=True)
class Enumeration:
    """A property that holds a value of a CIM enumeration, such as ``PhaseCode.AB``."""

    role: str
    prop: str
    enum: str
    choices: tuple[str, ...]
    numeric: bool = False
    written: bool = True

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """The value without the name of its enumeration."""
        texts = names.texts(self.prop)
        return [texts.get(row[self.role], "").rpartition(".")[2] for row in rows]

    def write(self, row: Row, text: str | None) -> None:
        """The value."""
        if text is not None and text not in self.choices:
            raise CellError("choice", value=text, choices=", ".join(self.choices))
        value = None if text is None else f"{self.enum}.{text}"
        row.edits.put(row.owner(self.role), self.prop, value, ValueKind.ENUM)


@dataclass(frozen=True)
class Reference:
    """A reference to an object, shown by its path or name.

    Attributes:
        role: which object of the row refers.
        prop: by which property.
        what: a kind of object that :class:`Names` knows.
        by_text: the property may hold the path or mRID as a text too.
        required: it cannot be cleared.
    """

    role: str
    prop: str
    what: str
    by_text: bool = False
    required: bool = False
    choices: tuple[str, ...] = ()
    numeric: bool = False
    written: bool = True

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """Path or name of the object."""
        if self.by_text:
            return [self._either(names, row[self.role]) for row in rows]
        targets, label, what = names.texts(self.prop), names.label, self.what
        return [label(what, targets.get(row[self.role], "")) for row in rows]

    def _either(self, names: Names, mrid: str) -> str:
        if not mrid:
            return ""
        target = names.model.ref(mrid, self.prop)
        return names.label(self.what, target) if target else names.model.text(mrid, self.prop) or ""

    def write(self, row: Row, text: str | None) -> None:
        """Another object."""
        if text is None:
            if self.required:
                raise CellError("clear-needed")
            if not row.object(self.role):
                return
        target = None if text is None else row.names.resolve(self.what, text)
        row.edits.put(row.owner(self.role), self.prop, target, ValueKind.REF)


@dataclass(frozen=True)
class Channel(Reference):
    """The channel of an address. Where it is cleared the whole address goes: a calculated point has none."""

    def write(self, row: Row, text: str | None) -> None:
        """Another channel, or none."""
        if text is not None:
            super().write(row, text)
        elif self.required:
            raise CellError("clear-needed")
        elif row.object(self.role):
            source = row.object(self.role)
            for value in row.names.model.refs_to(source, _SOURCE_OF):
                row.edits.put(value, _SOURCE_OF, None, ValueKind.REF)
            row.edits.remove(source)


@dataclass(frozen=True)
class References:
    """References to several objects, with ``;`` between them."""

    role: str
    prop: str
    what: str
    choices: tuple[str, ...] = ()
    numeric: bool = False
    written: bool = True

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """Paths or names of the objects."""
        refs, label = names.model.refs, names.label
        return ["; ".join(sorted(label(self.what, target) for target in refs(row[self.role], self.prop))) for row in rows]

    def write(self, row: Row, text: str | None) -> None:
        """Exactly these objects."""
        mrid = row.owner(self.role)
        wanted = {row.names.resolve(self.what, part.strip()) for part in (text or "").split(";") if part.strip()}
        present = set(row.names.model.refs(mrid, self.prop))
        for target in sorted(wanted ^ present):
            row.edits.link(Statement(mrid, self.prop, target, ValueKind.REF), there=target in wanted)
