"""A CIM model in memory: objects and their properties in columns, every object with its file and line.

Properties are keyed by ``Class.property`` as CIM writes them, whatever the CIM namespace; those of our SC profile carry the
prefix ``sc:`` (``sc:RemotePoint.ioa``). Values of enumerations are kept as ``EnumClass.value``.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from scada.model_cim.classes import subclasses
from scada.model_cim.findings import Finding, Severity

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


@dataclass(slots=True)
class Column:
    """All values of one property in file order: subject (object index), value, line."""

    subject: array[int] = field(default_factory=lambda: array("i"))
    value: list[str] = field(default_factory=list)
    line: array[int] = field(default_factory=lambda: array("i"))
    file: array[int] = field(default_factory=lambda: array("i"))


@dataclass(frozen=True, slots=True)
class Header:
    """``md:FullModel`` (or ``dcat:Dataset``) of one file."""

    file: str
    cim_namespace: str
    profiles: tuple[str, ...]


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
        places: tuple[array[int], array[int]],
        texts: dict[str, Column],
        refs: dict[str, Column],
        findings: list[Finding],
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
        self._text_of: dict[str, dict[int, int]] = {}
        self._ref_of: dict[str, dict[int, list[str]]] = {}
        self._inverse: dict[str, dict[str, list[str]]] = {}
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
        return None if row is None else self._texts[prop].value[row]

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
        try:
            value = float(column.value[row])
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            return value
        self._report(mrid, prop, row, "a finite number")
        return default

    def truth(self, mrid: str, prop: str, default: bool = False) -> bool:
        """Boolean value (``true``/``false``) of a property, ``default`` if not given or, with a finding, if it is neither."""
        row = self._text_row(mrid, prop)
        if row is None:
            return default
        value = self._texts[prop].value[row].lower()
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
        row = self._index.get(mrid)
        if row is None or prop not in self._refs:
            return []
        table = self._ref_of.get(prop)
        if table is None:
            table = {}
            column = self._refs[prop]
            for subject, target in zip(column.subject, column.value, strict=True):
                if target in self._index:
                    table.setdefault(subject, []).append(target)
            self._ref_of[prop] = table
        return table.get(row, [])

    def refs_to(self, mrid: str, prop: str) -> list[str]:
        """Inverse of :meth:`ref`: mRIDs of all objects whose ``prop`` refers to ``mrid``, in file order."""
        if prop not in self._refs:
            return []
        table = self._inverse.get(prop)
        if table is None:
            table = {}
            column = self._refs[prop]
            for subject, target in zip(column.subject, column.value, strict=True):
                table.setdefault(target, []).append(self._mrids[subject])
            self._inverse[prop] = table
        return table.get(mrid, [])

    def name(self, mrid: str) -> str:
        """``IdentifiedObject.name``, or the mRID where there is none."""
        return self.text(mrid, "IdentifiedObject.name") or mrid

    def where(self, mrid: str) -> str:
        """``file:line`` of an object's definition; the model's name if there is no such object."""
        row = self._index.get(mrid)
        return self.title if row is None else f"{self.files[self._files[row]]}:{self._lines[row]}"

    def where_of(self, mrid: str, prop: str) -> str:
        """``file:line`` of a property's value; of the object if it has no such property."""
        row = self._text_row(mrid, prop)
        if row is None:
            return self.where(mrid)
        column = self._texts[prop]
        return f"{self.files[column.file[row]]}:{column.line[row]}"

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

    def numeric_column(self, prop: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """A property as (object index, value) arrays; wrong numbers are NaN."""
        column = self._texts.get(prop)
        if column is None:
            return np.zeros(0, np.int32), np.zeros(0)
        return np.array(column.subject, np.int32), np.array([_as_float(text) for text in column.value])

    def _text_row(self, mrid: str, prop: str) -> int | None:
        row = self._index.get(mrid)
        column = self._texts.get(prop)
        if row is None or column is None:
            return None
        table = self._text_of.get(prop)
        if table is None:
            table = {}
            for place, subject in enumerate(column.subject):
                table.setdefault(subject, place)
            self._text_of[prop] = table
        return table.get(row)

    def _report(self, mrid: str, prop: str, row: int, wanted: str) -> None:
        if (mrid, prop) in self._reported:
            return
        self._reported.add((mrid, prop))
        text = f"{prop} is {self._texts[prop].value[row][:40]!r}, not {wanted}"
        self.findings.append(self.finding(Severity.ERROR, "value.wrong", mrid, text, "correct the value", prop=prop))


def _as_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
