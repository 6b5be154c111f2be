"""What a sheet is: its columns, its rows in a model, and how a new row comes to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scada.model_cim.cim import CimModel
from scada.model_cim.sheets.kinds import FieldKind, Objects
from scada.model_cim.sheets.names import Names

Made = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Field:
    """One column.

    Attributes:
        name: name in every language's files, for scripts.
        headings: heading in English and in Chinese.
        kind: what it holds.
        notes: one sentence in English and in Chinese, shown at the heading.
    """

    name: str
    headings: tuple[str, str]
    kind: FieldKind
    notes: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet.

    Attributes:
        name: of the sheet and, as CSV, of its file.
        titles: English and Chinese.
        key: role of the object whose mRID names the row.
        by: fields by which a row without mRID is found: together they name one row.
        fields: its columns, the mRID first.
        rows: objects of every row of a model, by role.
        needed: fields a new row must have; empty = rows cannot be made here.
        make: makes the objects of a new row; gives their mRIDs by role.
        links: how an object comes to be that a row may lack: role -> (class, property that refers to the object of another role).
        removes: roles whose objects go with the row.
    """

    name: str
    titles: tuple[str, str]
    key: str
    by: tuple[str, ...]
    fields: tuple[Field, ...]
    rows: Callable[[Names], list[dict[str, str]]]
    needed: tuple[str, ...] = ()
    make: Callable[[NewRow], Objects] | None = None
    links: Made = field(default_factory=dict)
    removes: tuple[str, ...] = ()

    def named(self, name: str) -> Field:
        """The column of a name."""
        return next(one for one in self.fields if one.name == name)

    def field(self, heading: str) -> Field | None:
        """The column of a heading: its name or its heading in any language, in any case, read-only brackets taken off."""
        text = heading.strip().strip("[]").strip().lower()
        return next((one for one in self.fields if text in (one.name.lower(), *(h.lower() for h in one.headings))), None)


@dataclass(frozen=True, slots=True)
class NewRow:
    """What is known of a row that is to be made: its texts by field, and the means to make it."""

    names: Names
    texts: Mapping[str, str]
    create: Callable[[str, str], None]
    """mRID, class."""
    refer: Callable[[str, str, str], None]
    """mRID, property, mRID referred to."""
    name: Callable[[str, str], None]
    """mRID, name."""


@dataclass(frozen=True, slots=True)
class View:
    """A sheet of a model: what an export of it shows.

    Attributes:
        sheet: which sheet.
        objects: of each row.
        columns: text of each row by field.
        made: template each row was made by, empty for the others.
    """

    sheet: Sheet
    objects: Sequence[Objects]
    columns: Mapping[str, Sequence[str]]
    made: Sequence[str]


def view(sheet: Sheet, names: Names) -> View:
    """A sheet of a model, rows by path or name and mRID."""
    rows = sheet.rows(names)
    if not rows:
        return View(sheet, [], {one.name: [] for one in sheet.fields}, [])
    keys = list(zip(*(sheet.named(name).kind.show(names, rows) for name in sheet.by), strict=True))
    order = sorted(range(len(rows)), key=lambda row: (keys[row], rows[row][sheet.key]))
    objects = [rows[row] for row in order]
    columns = {one.name: one.kind.show(names, objects) for one in sheet.fields}
    model = names.model
    return View(sheet, objects, columns, [template_of(model, row[sheet.key]) for row in objects])


def template_of(model: CimModel, mrid: str) -> str:
    """File of the template that made an object, empty for one that was written."""
    file = model.where(mrid).rpartition(":")[0]
    return file if file.endswith(".toml") else ""
