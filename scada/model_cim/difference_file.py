"""Difference models as files: ``dm:DifferenceModel`` of IEC 61970-552, read and written.

A new object is a typed element in ``dm:forwardDifferences``, one that goes a typed element in ``dm:reverseDifferences``; a
changed value is an ``rdf:Description`` in both, the old one in reverse. Read forwards the file is a change, backwards its way
back.
Difference models come from elsewhere and are small: unlike a model, one that is not exactly what it should be is refused whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn
from xml.parsers import expat

from scada.core.errors import ModelError
from scada.core.ids import normalise_mrid
from scada.model_cim.reader import CUT_OFF, RDF, SC, resource_value
from scada.model_cim.statements import Difference, DifferenceHeader, Statement, ValueKind

DM: Final = "http://iec.ch/TC57/61970-552/DifferenceModel/1#"
"""Namespace of IEC 61970-552."""
OLD_DM: Final = "http://iec.ch/2002/schema/CIM_difference_model#"
"""Namespace of the drafts before it, still met."""
_PARTS: Final = ("forwardDifferences", "reverseDifferences", "preconditions")
_ROOT, _MODEL, _PART, _OBJECT, _PROPERTY = range(1, 6)
_MAX_DEPTH: Final = 18
_MAX_TEXT: Final = 1 << 20
_MAX_BYTES: Final = 256 << 20
_CHUNK: Final = 1 << 18


def read_difference(path: Path | str) -> Difference:
    """A difference model from its file.

    Raises:
        ModelError: no such file, or it is not a difference model from its first to its last byte; with ``file:line``.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path), mend="check the path") from error
    return parse_difference(data, str(path))


def parse_difference(data: bytes, label: str) -> Difference:
    """A difference model from its bytes.

    Args:
        data: the whole file.
        label: its name, for errors.

    Raises:
        ModelError: it is not a difference model; with ``label:line``.
    """
    if len(data) > _MAX_BYTES:
        raise ModelError(f"more than {_MAX_BYTES >> 20} MiB", where=label, mend="a change of this size is a new model")
    parser = _Parser(label)
    try:
        for start in range(0, len(data), _CHUNK):
            parser.expat.Parse(data[start : start + _CHUNK], False)
        parser.expat.Parse(b"", True)
    except expat.ExpatError as error:
        mend = "the file is cut off: fetch it again" if error.code in CUT_OFF else "correct the XML"
        raise ModelError(
            f"not well-formed: {expat.ErrorString(error.code)}", where=f"{label}:{error.lineno}", mend=mend
        ) from error
    except (LookupError, ValueError) as error:
        raise ModelError(f"encoding cannot be read: {error}", where=f"{label}:1", mend="save the file as UTF-8") from error
    return parser.difference()


@dataclass(slots=True)
class _Part:
    """One of the three sets of statements."""

    classes: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    statements: set[Statement] = field(default_factory=set)


@dataclass(slots=True)
class _Header:
    about: str = ""
    values: dict[str, list[str]] = field(default_factory=dict)

    def first(self, name: str) -> str:
        return self.values.get(name, [""])[0]

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(self.values.get(name, ()))


class _Parser:
    """Expat handlers: rdf:RDF, dm:DifferenceModel, part or header property, object, property, deeper a compound value."""

    def __init__(self, label: str) -> None:
        self.expat = expat.ParserCreate(namespace_separator="}")
        self.expat.buffer_text = True
        self.expat.StartElementHandler = self._start
        self.expat.EndElementHandler = self._end
        self.expat.CharacterDataHandler = self._characters
        self.expat.StartDoctypeDeclHandler = self._doctype
        self._label = label
        self._depth = 0
        self._found = False
        self._header = _Header()
        self._parts = {name: _Part() for name in _PARTS}
        self._seen: set[str] = set()
        self._part: _Part | None = None
        self._mrid = ""
        self._names: list[str] = []
        self._pieces: list[str] = []
        self._length = 0
        self._leaf = False

    def difference(self) -> Difference:
        """What was read."""
        if not self._found:
            self._fail("there is no dm:DifferenceModel in it", "give a difference model, IEC 61970-552")
        forward, reverse = self._parts["forwardDifferences"], self._parts["reverseDifferences"]
        unchanged = {mrid for mrid, name in forward.classes.items() if reverse.classes.get(mrid) == name}
        both = forward.statements & reverse.statements
        header = self._header
        return Difference(
            added={mrid: name for mrid, name in sorted(forward.classes.items()) if mrid not in unchanged},
            removed={mrid: name for mrid, name in sorted(reverse.classes.items()) if mrid not in unchanged},
            forward=tuple(sorted(forward.statements - both)),
            reverse=tuple(sorted(reverse.statements - both)),
            preconditions=tuple(sorted(self._parts["preconditions"].statements | both)),
            header=DifferenceHeader(
                mrid=normalise_mrid(header.about),
                created=header.first("Model.created"),
                description=header.first("Model.description"),
                supersedes=tuple(map(_identity, header.all("Model.Supersedes"))),
                depends_on=tuple(map(_identity, header.all("Model.DependentOn"))),
                profiles=header.all("Model.profile"),
                authority=header.first("Model.modelingAuthoritySet"),
            ),
        )

    def _fail(self, what: str, mend: str = "") -> NoReturn:
        raise ModelError(what, where=f"{self._label}:{self.expat.CurrentLineNumber}", mend=mend)

    def _doctype(self, *_: object) -> None:
        self._fail("has a DOCTYPE; entities are never expanded", "remove the DOCTYPE")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        namespace, _, local = name.rpartition("}")
        if self._depth == _ROOT:
            if name != f"{RDF}}}RDF":
                self._fail(f"root element is {local}, not rdf:RDF", "give a difference model, IEC 61970-552")
        elif self._depth == _MODEL:
            self._start_model(namespace, local, attributes)
        elif self._depth == _PART:
            self._start_part(namespace, local, attributes)
        elif self._part is None:
            self._fail(f"{local} stands inside a property of the header", "statements belong into dm:forwardDifferences")
        elif self._depth == _OBJECT:
            self._start_object(namespace, local, attributes)
        elif self._depth > _MAX_DEPTH:
            self._fail(f"elements nested deeper than {_MAX_DEPTH}", "this is no difference model")
        else:
            self._start_property(namespace, local, attributes)

    def _start_model(self, namespace: str, local: str, attributes: dict[str, str]) -> None:
        if local != "DifferenceModel" or namespace not in (DM, OLD_DM):
            what = (
                "is a full model, not a difference"
                if local == "FullModel"
                else f"{local} stands where dm:DifferenceModel belongs"
            )
            self._fail(what, "make a difference of two models: scada model diff OLD NEW --xml FILE")
        if self._found:
            self._fail("a second dm:DifferenceModel", "one file, one difference")
        self._found = True
        self._header.about = attributes.get(f"{RDF}}}about", attributes.get(f"{RDF}}}ID", ""))

    def _start_part(self, namespace: str, local: str, attributes: dict[str, str]) -> None:
        if local in _PARTS and namespace in (DM, OLD_DM):
            kind = attributes.get(f"{RDF}}}parseType")
            if kind != "Statements":
                said = f"parseType {kind!r}" if kind else "no parseType"
                self._fail(f"dm:{local} has {said}", 'it must be rdf:parseType="Statements"')
            if local in self._seen:
                self._fail(f"a second dm:{local}", "join them")
            self._seen.add(local)
            self._part = self._parts[local]
            return
        if namespace in (DM, OLD_DM):
            self._fail(f"unknown part dm:{local}", f"one of {', '.join(_PARTS)}")
        self._names = [local]
        self._begin_value()
        resource = attributes.get(f"{RDF}}}resource")
        if resource is not None:
            self._leaf = False
            self._header.values.setdefault(local, []).append(resource)

    def _start_object(self, namespace: str, local: str, attributes: dict[str, str]) -> None:
        about = attributes.get(f"{RDF}}}about") or attributes.get(f"{RDF}}}ID") or ""
        self._mrid = normalise_mrid(about)
        if not self._mrid:
            self._fail(f"{local} has neither rdf:about nor rdf:ID", "say which object it is")
        if namespace != RDF:
            self._type(f"sc:{local}" if namespace == SC else local)
        elif local != "Description":
            self._fail(f"rdf:{local} is no object", "use rdf:Description or the class of the object")

    def _type(self, class_name: str) -> None:
        if self._part is None:
            return
        line = self.expat.CurrentLineNumber
        known = self._part.classes.setdefault(self._mrid, class_name)
        first = self._part.lines.setdefault(self._mrid, line)
        if known != class_name:
            self._fail(f"{self._mrid} is a {class_name} here and a {known} in line {first}", "an object has one class")

    def _start_property(self, namespace: str, local: str, attributes: dict[str, str]) -> None:
        if self._depth == _PROPERTY:
            self._names = []
        self._names.append(f"sc:{local}" if namespace == SC else local)
        self._begin_value()
        resource = attributes.get(f"{RDF}}}resource")
        if resource is None:
            return
        self._leaf = False
        value, kind = resource_value(resource)
        if namespace == RDF and local == "type":
            self._type(f"sc:{value}" if resource.startswith(SC) else value)
        else:
            self._say(value, kind)

    def _begin_value(self) -> None:
        self._pieces = []
        self._length = 0
        self._leaf = True

    def _say(self, value: str, kind: ValueKind) -> None:
        if self._part is not None:
            self._part.statements.add(Statement(self._mrid, "/".join(self._names), value, kind))

    def _characters(self, data: str) -> None:
        if self._leaf and self._depth >= _PART:
            self._length += len(data)
            if self._length > _MAX_TEXT:
                self._fail("a value longer than 1 MiB", "this is no difference model")
            self._pieces.append(data)
        elif data.strip():
            self._fail(f"text {data.strip()[:40]!r} stands between elements", "put it into a property")

    def _end(self, _: str) -> None:
        depth = self._depth
        self._depth = depth - 1
        if depth == _PART:
            if self._part is None and self._leaf:
                self._header.values.setdefault(self._names[0], []).append("".join(self._pieces).strip())
            self._part = None
            self._leaf = False
        elif depth >= _PROPERTY:
            if self._leaf:
                self._say("".join(self._pieces).strip(), ValueKind.TEXT)
                self._leaf = False
            self._names.pop()


def _identity(text: str) -> str:
    """Id of another model, or the digest of one of our versions."""
    return text.removeprefix("urn:sha256:") if text.startswith("urn:sha256:") else normalise_mrid(text)
