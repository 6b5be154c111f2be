"""A row that changes objects, and a row that makes them."""

from __future__ import annotations

from collections.abc import Mapping

from scada.core.ids import derived_mrid
from scada.model_cim.sheets.edits import Edits
from scada.model_cim.sheets.faults import CellError
from scada.model_cim.sheets.kinds import Objects
from scada.model_cim.sheets.names import Names
from scada.model_cim.sheets.sheet import NewRow, Sheet
from scada.model_cim.statements import ValueKind

_NAME = "IdentifiedObject.name"


class RowEdit:
    """Changes of one row, kept apart until the whole row is known to be right.

    Args:
        names: names of the model.
        sheet: of the row.
        objects: mRID by role.
    """

    def __init__(self, names: Names, sheet: Sheet, objects: Objects, edits: Edits | None = None) -> None:
        self.names = names
        self.edits = edits or Edits(names.model)
        self._sheet = sheet
        self._objects = dict(objects)

    def object(self, role: str) -> str:
        """MRID of the object in a role, empty if the row has none."""
        return self._objects[role]

    def owner(self, role: str) -> str:
        """MRID of the object in a role; it is made if the row has none yet."""
        if not self._objects[role]:
            class_name, prop = self._sheet.links[role]
            key = self._objects[self._sheet.key]
            mrid = derived_mrid("sheet", key, role)
            self.edits.create(mrid, class_name)
            self.edits.put(mrid, prop, key, ValueKind.REF)
            self._objects[role] = mrid
        return self._objects[role]


def make_row(names: Names, sheet: Sheet, texts: Mapping[str, str]) -> tuple[RowEdit, Mapping[str, str]]:
    """The objects of a new row, and its texts with what its path says.

    Raises:
        CellError: rows of the sheet cannot be made, something is missing, or it is there already.
    """
    if sheet.make is None:
        raise CellError("not-new")
    texts = _of_path(texts) if sheet.by == ("path",) else texts
    missing = [name for name in sheet.needed if not texts.get(name)]
    if missing:
        raise CellError("needed", columns=", ".join(missing))
    edits = Edits(names.model)
    new = NewRow(
        names,
        texts,
        edits.create,
        lambda mrid, prop, target: edits.put(mrid, prop, target, ValueKind.REF),
        lambda mrid, text: edits.put(mrid, _NAME, text),
    )
    objects = sheet.make(new)
    if sheet.by == ("path",):
        texts = {**texts, "path": _new_path(names, sheet, texts)}
    return RowEdit(names, sheet, objects, edits), texts


def _of_path(texts: Mapping[str, str]) -> Mapping[str, str]:
    """Equipment and name from the path, where they are not given."""
    above, _, name = texts.get("path", "").rpartition("/")
    return {**texts, "equipment": texts.get("equipment") or above, "name": texts.get("name") or name}


def _new_path(names: Names, sheet: Sheet, texts: Mapping[str, str]) -> str:
    """A new path is the one that was asked for, and nobody's yet."""
    resource = names.resolve("equipment", texts["equipment"])
    terminal = names.resolve("terminal", texts["terminal"]) if texts.get("terminal") else ""
    path = names.path_at(resource, terminal, texts["name"])
    if texts.get("path") and path != texts["path"]:
        raise CellError("path", now=path)
    if names.knows("point" if sheet.name == "points" else "control", path):
        raise CellError("exists", value=path)
    return path
