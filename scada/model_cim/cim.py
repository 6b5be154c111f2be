"""A CIM model in memory: objects and their properties in columns, every object with its file and line.

Properties are keyed by ``Class.property`` as CIM writes them, whatever the CIM namespace; those of our SC profile carry the
prefix ``sc:`` (``sc:RemotePoint.ioa``). Values of enumerations are kept as ``EnumClass.value``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scada.model_cim.classes import subclasses
from scada.model_cim.columns import Column, Ints, Linked
from scada.model_cim.editing import edited
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.source_files import Header, SourceFile
from scada.model_cim.spelling import as_number
from scada.model_cim.statements import Difference, Statement

__all__ = ["CimModel", "Column", "Header"]

_PARENTS = (
    "Equipment.EquipmentContainer",
    "Bay.VoltageLevel",
    "VoltageLevel.Substation",
    "TapChanger.TransformerEnd",
    "RatioTapChanger.TransformerEnd",
    "PhaseTapChanger.TransformerEnd",
    "PowerTransformerEnd.PowerTransformer",
    "Terminal.ConductingEquipment",
    "ConnectivityNode.ConnectivityNodeContainer",
    "Measurement.PowerSystemResource",
    "Control.PowerSystemResource",
    "AnalogValue.Analog",
    "DiscreteValue.Discrete",
    "AccumulatorValue.Accumulator",
)
_NONE: tuple[str, ...] = ()


class CimModel:
    """Objects by mRID. Built by :class:`scada.model_cim.reader.ModelReader`; read-only afterwards.

    Args:
        title: name of the folder or file.
        digest: SHA-256 of the files.
        files: file names, as findings show them.
        headers: header of each file that has one.
        mrids: mRID of each object.
        classes: class name of each object.
        places: (file index, line) of each object's definition.
        texts: columns of literal and enumeration properties.
        refs: columns of references; values are mRIDs.
        findings: what the reader found; :meth:`number` adds wrong numbers when they are asked for.
        sources: what is known of each file that was read, for writing it back.
    """

    def __init__(
        self,
        *,
        title: str,
        digest: str,
        files: Sequence[str],
        headers: Sequence[Header],
        mrids: list[str],
        classes: list[str],
        places: tuple[Ints, Ints],
        texts: dict[str, Column],
        refs: dict[str, Column],
        findings: list[Finding],
        sources: Sequence[SourceFile] = (),
    ) -> None:
        self.title = title
        self.digest = digest
        self.files = files
        self.headers = headers
        self.findings = findings
        self._mrids = mrids
        self._classes = classes
        self._files, self._lines = places
        self._texts = texts
        self._refs = refs
        self._index = {mrid: row for row, mrid in enumerate(mrids)}
        self._by_class: dict[str, list[str]] = {}
        for mrid, class_name in zip(mrids, classes, strict=True):
            self._by_class.setdefault(class_name, []).append(mrid)
        self.sources = sources
        self._reported: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self._mrids)

    def __contains__(self, mrid: object) -> bool:
        return mrid in self._index

    def ids(self, class_name: str, *, derived: bool = True) -> list[str]:
        """MRIDs of all objects of a class, in file order; with ``derived`` (default) of its subclasses too."""
        if not derived:
            return list(self._by_class.get(class_name, _NONE))
        found = [mrid for name in subclasses(class_name) for mrid in self._by_class.get(name, _NONE)]
        return sorted(found, key=self._index.__getitem__)

    def class_of(self, mrid: str) -> str:
        """Class name of an object, empty if the model has no such object."""
        row = self._index.get(mrid)
        return "" if row is None else self._classes[row]

    def class_counts(self) -> dict[str, int]:
        """Number of objects by exact class."""
        return {name: len(mrids) for name, mrids in sorted(self._by_class.items())}

    def text(self, mrid: str, prop: str) -> str | None:
        """Literal value of ``Class.property``, None if not given. The first one, should there be several."""
        row = self._text_row(mrid, prop)
        return None if row is None else self._texts[prop].at(row)

    def enum(self, mrid: str, prop: str) -> str | None:
        """Value of an enumeration without its class: ``UnitSymbol.W`` gives ``W``."""
        value = self.text(mrid, prop)
        return None if value is None else value.rpartition(".")[2]

    def number(self, mrid: str, prop: str, default: float = math.nan) -> float:
        """Numeric value of a property, ``default`` if not given.

        A text that is no finite number is reported once as a finding with its file and line, and ``default`` is returned.
        """
        row = self._text_row(mrid, prop)
        if row is None:
            return default
        column = self._texts[prop]
        value = as_number(column.at(row))
        if not math.isnan(value):
            return value
        self._report(mrid, prop, row, "a finite number")
        return default

    def truth(self, mrid: str, prop: str, default: bool = False) -> bool:
        """Boolean value (``true``/``false``) of a property, ``default`` if not given or, with a finding, if it is neither."""
        row = self._text_row(mrid, prop)
        if row is None:
            return default
        value = self._texts[prop].at(row).lower()
        if value in ("true", "false"):
            return value == "true"
        self._report(mrid, prop, row, "true or false")
        return default

    def ref(self, mrid: str, prop: str) -> str | None:
        """MRID of the object a property refers to; None if not given or if that object is missing (a finding names it)."""
        found = self.refs(mrid, prop)
        return found[0] if found else None

    def refs(self, mrid: str, prop: str) -> list[str]:
        """MRIDs of all existing objects a property refers to, in file order."""
        row, column = self._index.get(mrid), self._refs.get(prop)
        if row is None or column is None or not isinstance(column.store, Linked):
            return []
        targets = column.store.targets
        return [self._mrids[target] for place in column.places(row) if (target := targets.item(place)) >= 0]

    def refs_to(self, mrid: str, prop: str) -> list[str]:
        """Inverse of :meth:`ref`: mRIDs of all objects whose ``prop`` refers to ``mrid``, in file order."""
        column = self._refs.get(prop)
        if column is None:
            return []
        subjects = column.subjects
        return [self._mrids[subjects.item(place)] for place in column.places_to(mrid, self._index.get(mrid))]

    def name(self, mrid: str) -> str:
        """``IdentifiedObject.name``, or the mRID where there is none."""
        return self.text(mrid, "IdentifiedObject.name") or mrid

    def where(self, mrid: str) -> str:
        """``file:line`` of an object's definition; the model's name if there is no such object."""
        row = self._index.get(mrid)
        return self.title if row is None or self._files[row] < 0 else f"{self.files[self._files[row]]}:{self._lines[row]}"

    def where_of(self, mrid: str, prop: str) -> str:
        """``file:line`` of a property's value; of the object if it has no such property."""
        row = self._text_row(mrid, prop)
        if row is None:
            return self.where(mrid)
        return self.where_value(self._texts[prop], row)

    def where_value(self, column: Column, place: int) -> str:
        """``file:line`` of one value of a column; of its object where the value was edited."""
        file = column.part_at(place).file
        return self.where(self._mrids[column.subjects[place]]) if file < 0 else f"{self.files[file]}:{column.lines[place]}"

    def path(self, mrid: str) -> str:
        """Names of an object's containers and itself, joined by ``/``; for people and findings."""
        names: list[str] = []
        seen: set[str] = set()
        current: str | None = mrid
        while current is not None and current not in seen:
            seen.add(current)
            names.append(self.name(current))
            current = next((parent for prop in _PARENTS if (parent := self.ref(current, prop))), None)
        return "/".join(reversed(names))

    def finding(self, severity: Severity, rule: str, mrid: str, text: str, hint: str = "", *, prop: str = "") -> Finding:
        """A finding about an object, placed at its line or at the line of one of its properties."""
        file, _, line = (self.where_of(mrid, prop) if prop else self.where(mrid)).rpartition(":")
        if not file:
            return Finding(self.title, 0, severity, rule, text, mrid, "", hint)
        return Finding(file, int(line), severity, rule, text, mrid, self.path(mrid), hint)

    def properties(self, prefix: str) -> list[str]:
        """Names of all literal properties that start with ``prefix``, sorted."""
        return sorted(prop for prop in self._texts if prop.startswith(prefix))

    def property_names(self) -> list[str]:
        """Names of all properties, literal, enumeration and reference, sorted."""
        return sorted({*self._texts, *self._refs})

    def column(self, prop: str) -> Column | None:
        """All values of a property; None if no object has it."""
        return self._texts.get(prop) or self._refs.get(prop)

    def columns(self, prop: str) -> tuple[Column, ...]:
        """All values of a property: two columns if a faulty model gives it as a literal here and as a reference there."""
        return tuple(columns[prop] for columns in (self._texts, self._refs) if prop in columns)

    @property
    def mrids(self) -> Sequence[str]:
        """MRID by object index, as columns count their subjects."""
        return self._mrids

    @property
    def class_names(self) -> Sequence[str]:
        """Class by object index."""
        return self._classes

    def row(self, mrid: str) -> int | None:
        """Index of an object; None if the model has no such object."""
        return self._index.get(mrid)

    def tables(self) -> tuple[dict[str, Column], dict[str, Column]]:
        """The columns of literals and those of references, by property; the caller's own dictionaries."""
        return dict(self._texts), dict(self._refs)

    @property
    def object_places(self) -> tuple[Ints, Ints]:
        """By object index, file and line of the definition; see :attr:`object_files`."""
        return self._files, self._lines

    @property
    def object_files(self) -> npt.NDArray[np.int32]:
        """By object index, index in :attr:`files` of the file that defines it; -1 where it was edited, not read."""
        return self._files

    @cached_property
    def template_files(self) -> npt.NDArray[np.bool_]:
        """By file index, whether a file is a device template; the last element, of index -1 (edited), is False."""
        return np.array([*(label.endswith(".toml") for label in self.files), False])

    @cached_property
    def made(self) -> npt.NDArray[np.bool_]:
        """By object index, whether an object is made from a template: it is in no XML file and is not edited."""
        return self.template_files[self._files]

    def is_made(self, mrid: str) -> bool:
        """True for an object that is made from a template."""
        row = self._index.get(mrid)
        return row is not None and bool(self.made[row])

    def statements_of(self, mrid: str) -> list[Statement]:
        """Everything the model says of an object, by property."""
        row = self._index.get(mrid)
        if row is None:
            return []
        found: list[Statement] = []
        for prop, column in self._columns_of_class.get(self._classes[row], ()):
            found.extend(Statement(mrid, prop, column.at(place), column.kind_at(place)) for place in column.places(row))
        return found

    @cached_property
    def _columns_of_class(self) -> dict[str, list[tuple[str, Column]]]:
        """By class, the columns that say something of its objects, by property."""
        names = list(self._by_class)
        code = {name: number for number, name in enumerate(names)}
        codes = np.fromiter(map(code.__getitem__, self._classes), np.int32, len(self._classes))
        found: dict[str, list[tuple[str, Column]]] = {}
        for prop in self.property_names():
            for column in self.columns(prop):
                for number in np.unique(codes[column.subjects]).tolist():
                    found.setdefault(names[number], []).append((prop, column))
        return found

    def edited(self, difference: Difference) -> CimModel:
        """The model with a difference applied, as if it had been read so; its findings and digest are not carried over.

        Nothing is checked here: see :func:`scada.model_cim.difference.apply_difference` for that. A statement of ``reverse`` that
        this model does not make is passed over, so is a statement of ``forward`` about an object it does not have.
        """
        return edited(self, difference)

    def _text_row(self, mrid: str, prop: str) -> int | None:
        row, column = self._index.get(mrid), self._texts.get(prop)
        if row is None or column is None:
            return None
        place = column.first(row)
        return None if place < 0 else place

    def _report(self, mrid: str, prop: str, row: int, wanted: str) -> None:
        if (mrid, prop) in self._reported:
            return
        self._reported.add((mrid, prop))
        text = f"{prop} is {self._texts[prop].at(row)[:40]!r}, not {wanted}"
        self.findings.append(self.finding(Severity.ERROR, "value.wrong", mrid, text, "correct the value", prop=prop))
