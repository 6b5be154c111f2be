"""Spreadsheets to a difference: rows are found, changed cells are read, what is wrong is told cell by cell.

A sheet may have some rows and some columns only, in any order. An empty cell leaves what is there; :data:`CLEAR` takes it away.
Nothing is deleted unless ``prune`` is asked for: then the sheets given are the whole truth of their columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from scada.core.errors import ModelError
from scada.core.ids import normalise_mrid
from scada.model_cim.cim import CimModel
from scada.model_cim.sheets.control_sheets import SHEETS
from scada.model_cim.sheets.edits import Edits, Users
from scada.model_cim.sheets.faults import CellError, SheetFault
from scada.model_cim.sheets.kinds import same_number
from scada.model_cim.sheets.names import Names
from scada.model_cim.sheets.new_rows import RowEdit, make_row
from scada.model_cim.sheets.sheet import Field, Sheet, View, view
from scada.model_cim.statements import Difference

CLEAR: Final = ("<clear>", "<清除>")
"""What a cell holds whose value shall go."""
ERROR: Final = "error"
"""Heading of the column that an error sheet adds; read back, it is passed over."""
_Key = TypeVar("_Key", int, str)
_LIMITS_LINK: Final = "AnalogLimitSet.Measurements"


@dataclass(slots=True)
class Table:
    """One sheet of a file, as read.

    Attributes:
        name: of the sheet or file.
        header: headings.
        rows: (row in the file, texts).
        faults: row -> its cells that hold no text that can be used: (column from 0, what is wrong); column -1 is the whole row.
    """

    name: str
    header: list[str]
    rows: list[tuple[int, list[str]]]
    faults: dict[int, list[tuple[int, CellError]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Import:
    """What an import comes to.

    Attributes:
        difference: what the rows without faults change.
        faults: what is wrong, by sheet and row.
        changed: rows that change something.
        new: rows that make something.
        removed: what pruning takes away: sheet and label.
    """

    difference: Difference
    faults: list[SheetFault]
    changed: int
    new: int
    removed: list[tuple[str, str]]


def sheet_named(name: str) -> Sheet | None:
    """The sheet of a name or title, in any language and case."""
    text = name.strip().lower()
    return next((sheet for sheet in SHEETS if text in (sheet.name, *(title.lower() for title in sheet.titles))), None)


def sheet_of(table: Table) -> Sheet | None:
    """The sheet a table is: by its name, or by its headings where the name says nothing."""
    found = sheet_named(table.name)
    if found is not None:
        return found
    headings = [heading for heading in table.header if heading.strip() and not heading.strip().startswith("#")]
    fitting = [sheet for sheet in SHEETS if len(headings) > 1 and all(sheet.field(heading) for heading in headings)]
    return fitting[0] if len(fitting) == 1 else None


def import_tables(model: CimModel, tables: Iterable[Table], *, prune: bool = False) -> Import:
    """What tables would change in a model; nothing is changed here.

    Args:
        model: the model as it is.
        tables: sheets; those that are none of ours are an error.
        prune: objects that the sheets given do not name go, and so do values whose cells are empty. Not done while there is any
            fault: a row that cannot be read must not delete.

    Raises:
        ModelError: a table is no sheet we know.
    """
    names = Names(model)
    importer = _Importer(model, names)
    for table in tables:
        sheet = sheet_of(table)
        if sheet is None:
            known = ", ".join(sheet.name for sheet in SHEETS)
            raise ModelError("is no sheet of a model", where=table.name, mend=f"name it one of {known}")
        importer.read(view(sheet, names), table, prune=prune)
    if prune and not importer.faults:
        importer.remove_the_others()
    return Import(importer.edits.difference(), importer.faults, importer.changed, importer.new, importer.removed)


class _Importer:
    def __init__(self, model: CimModel, names: Names) -> None:
        self._names = names
        self._model = model
        self.edits = Edits(model)
        self.faults: list[SheetFault] = []
        self.changed = 0
        self.new = 0
        self.removed: list[tuple[str, str]] = []
        self._left: dict[str, tuple[View, set[int], Table]] = {}
        """Of each sheet the rows of the model that none of its tables names, and the last table."""

    def read(self, now: View, table: Table, *, prune: bool) -> None:
        """Take in one table."""
        columns = self._columns(now.sheet, table)
        self.faults += [SheetFault(table.name, 1, "", error.code, error.values) for _, error in table.faults.get(1, ())]
        reader = _TableReader(self._names, now, table, columns, self.edits, prune=prune)
        for number, cells in table.rows:
            if number in table.faults or any(cell.strip() for cell in cells):
                reader.row(number, cells)
        self.faults += reader.faults
        self.changed += reader.changed
        self.new += reader.new
        left = self._left[now.sheet.name][1] if now.sheet.name in self._left else set(range(len(now.objects)))
        self._left[now.sheet.name] = now, left - reader.seen.keys(), table

    def _columns(self, sheet: Sheet, table: Table) -> list[Field | None]:
        columns: list[Field | None] = []
        for heading in table.header:
            text = heading.strip()
            found = sheet.field(heading) if text else None
            if found is not None and found in columns:
                self.faults.append(SheetFault(table.name, 1, text, "heading-twice", {"value": text}))
                found = None
            elif found is None and text and not text.startswith("#") and text.lower() != ERROR:
                choices = ", ".join(one.name for one in sheet.fields)
                self.faults.append(SheetFault(table.name, 1, text, "heading", {"value": text, "choices": choices}))
            columns.append(found)
        return columns

    def remove_the_others(self) -> None:
        """Objects of the sheets read that no row names."""
        going: dict[str, tuple[Table, str]] = {}
        for now, rows, table in self._left.values():
            for row in sorted(rows):
                if now.made[row] or not now.sheet.removes:
                    continue
                label = " ".join(now.columns[name][row] for name in now.sheet.by)
                self.removed.append((now.sheet.name, label))
                going |= dict.fromkeys(self._objects_of(now.sheet, now.objects[row]), (table, label))
        if not going:
            return
        for statement in Users(self._model).of(going):
            if statement.mrid in going:
                continue
            if statement.prop == _LIMITS_LINK:
                self.edits.link(statement, there=False)
                continue
            table, label = going[statement.value]
            by = f"{self._model.class_of(statement.mrid)} {self._model.path(statement.mrid)}"
            self.faults.append(SheetFault(table.name, 0, label, "used", {"by": by}))
        for mrid in going:
            self.edits.remove(mrid)

    def _objects_of(self, sheet: Sheet, objects: Mapping[str, str]) -> list[str]:
        """What goes with a row; a measurement stays while it has another value, an only one takes everything along."""
        model = self._model
        mrids = [objects[role] for role in sheet.removes if objects[role]]
        if sheet.name == "points":
            value, measurement = objects["value"], objects["measurement"]
            mrids += model.refs_to(value, "RemoteSource.MeasurementValue")
            values = (f"{model.class_of(value)}.{model.class_of(measurement)}",)
            if any(model.refs_to(measurement, prop) != [value] for prop in values):
                mrids.remove(measurement)
        elif sheet.name == "controls":
            mrids += model.refs_to(objects["control"], "RemoteControl.Control")
        elif sheet.name == "limits":
            mrids += model.refs_to(objects["set"], "AnalogLimit.LimitSet")
        return list(dict.fromkeys(mrids))


class _TableReader:
    """Reads the rows of one table against what the model shows now."""

    def __init__(
        self, names: Names, now: View, table: Table, columns: Sequence[Field | None], edits: Edits, *, prune: bool
    ) -> None:
        self._names, self._now, self._table, self._columns, self._edits = names, now, table, columns, edits
        self._prune = prune
        self._by_mrid = {objects[now.sheet.key]: row for row, objects in enumerate(now.objects)}
        self._by_key: dict[tuple[str, ...], list[int]] = {}
        for row, key in enumerate(zip(*(now.columns[name] for name in now.sheet.by), strict=True)):
            self._by_key.setdefault(key, []).append(row)
        self._place = {one.name: place for place, one in enumerate(columns) if one is not None}
        self._bare = [place for place, heading in enumerate(table.header) if not heading.strip()]
        self.seen: dict[int, int] = {}
        self._made: dict[str, int] = {}
        self.faults: list[SheetFault] = []
        self.changed = 0
        self.new = 0

    def row(self, number: int, cells: list[str]) -> None:
        """One row; its changes are taken if it has no fault."""
        before = len(self.faults)
        beyond = cells[len(self._columns) :] + [cells[place] for place in self._bare if place < len(cells)]
        if any(cell.strip() for cell in beyond):
            self._fault(number, "", CellError("too-wide"))
        unusable = self._table.faults.get(number, ())
        for place, fault in unusable:
            self._fault(number, self._heading(place), fault)
        cells = (
            ["" if any(place == wrong for wrong, _ in unusable) else cell for place, cell in enumerate(cells)]
            if unusable
            else cells
        )
        texts = {name: cells[place].strip() if place < len(cells) else "" for name, place in self._place.items()}
        try:
            found = self._find(texts)
            if found is None:
                self._new(number, texts, before)
            else:
                self._once(self.seen, found, number)
                self._existing(number, found, texts, before)
        except CellError as error:
            self._fault(number, "", error)

    @staticmethod
    def _once(seen: dict[_Key, int], key: _Key, number: int) -> None:
        first = seen.setdefault(key, number)
        if first != number:
            raise CellError("duplicate", row=first)

    def _heading(self, place: int) -> str:
        if not 0 <= place < len(self._columns):
            return ""
        one = self._columns[place]
        return self._table.header[place] if one is None else one.name

    def _find(self, texts: Mapping[str, str]) -> int | None:
        """Row of the model that a row means; None for a new one."""
        sheet = self._now.sheet
        if texts.get("mrid"):
            row = self._by_mrid.get(normalise_mrid(texts["mrid"]))
            if row is None:
                raise CellError("unknown-mrid", value=texts["mrid"])
            return row
        key = tuple(texts.get(name, "") for name in sheet.by)
        if all(key):
            rows = self._by_key.get(key, [])
            if len(rows) > 1:
                raise CellError("ambiguous", what=sheet.name, value=" ".join(key))
            if rows:
                return rows[0]
        elif not sheet.make or not all(texts.get(name) for name in sheet.needed):
            raise CellError("no-key", columns=", ".join(sheet.by))
        return None

    def _existing(self, number: int, found: int, texts: Mapping[str, str], before: int) -> None:
        now = self._now
        edit: RowEdit | None = None
        for name, text in texts.items():
            shown = now.columns[name][found].strip()
            if text == shown or (not text and not self._prune):
                continue
            one = now.sheet.named(name)
            if one.kind.numeric and same_number(text, shown):
                continue
            if not text and not one.kind.written:
                continue
            if name == "mrid" and normalise_mrid(text) == shown:
                continue
            if text in CLEAR and not shown:
                continue
            edit = edit or RowEdit(self._names, now.sheet, now.objects[found])
            try:
                _change(one, edit, text, shown, now.made[found])
            except CellError as error:
                self._fault(number, name, error)
        if edit is not None and len(self.faults) == before:
            self._edits.take(edit.edits)
            self.changed += 1

    def _new(self, number: int, texts: Mapping[str, str], before: int) -> None:
        edit, texts = make_row(self._names, self._now.sheet, texts)
        for key in (edit.object(self._now.sheet.key), texts.get("path", "")):
            if key:
                self._once(self._made, key, number)
        for name, text in texts.items():
            one = self._now.sheet.named(name)
            if text and one.kind.written and text not in CLEAR:
                try:
                    one.kind.write(edit, text)
                except CellError as error:
                    self._fault(number, name, error)
        if len(self.faults) == before:
            self._edits.take(edit.edits)
            self.new += 1

    def _fault(self, number: int, column: str, error: CellError) -> None:
        self.faults.append(SheetFault(self._table.name, number, column, error.code, error.values))


def _change(one: Field, edit: RowEdit, text: str, shown: str, template: str) -> None:
    if not one.kind.written:
        raise CellError("read-only", now=shown)
    if template:
        raise CellError("made", template=template)
    one.kind.write(edit, None if not text or text in CLEAR else text)
