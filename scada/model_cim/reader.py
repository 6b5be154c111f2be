"""Reader of CIM XML (IEC 61970-552): CGMES 2.4.15 and 3.0 and our SC profile, from a folder, one file or a zip.

One pass of expat per file, no tree in memory. Entity declarations are refused, so that no entity is ever expanded.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO
from xml.parsers import expat

from scada.core.errors import ModelError
from scada.core.ids import normalise_mrid
from scada.model_cim.cim import CimModel, Column, Header
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.statements import ValueKind
from scada.model_cim.template_items import Place
from scada.model_cim.templates import Made, Template, expand, parse_template

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
SC = "urn:scada-ems:sc:1#"
"""Namespace of our SC profile, version 1."""
_HEADERS = frozenset({"FullModel", "Dataset"})
_CHUNK = 1 << 18
_MAX_BYTES = 4 << 30
_MAX_DEPTH = 16
_MAX_TEXT = 1 << 20


class _RefusedError(Exception):
    """A file that must not be read on."""

    def __init__(self, rule: str, text: str, hint: str) -> None:
        self.rule, self.text, self.hint = rule, text, hint
        super().__init__(text)


class ModelReader:
    """Reads one model.

    Args:
        path: a folder of ``*.xml`` and ``*.zip`` files, one XML file, or one zip of XML files.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def read(self) -> CimModel:
        """Read every file.

        Faults of the content become ``findings`` of the model returned; a file that is broken off is a ``fatal`` one.

        Raises:
            ModelError: there is nothing to read: no such path, no XML file in it, not a zip.
        """
        gather = _Gather()
        digest = hashlib.sha256()
        count = 0
        for label, stream in _sources(self.path, gather.findings):
            count += 1
            digest.update(Path(label).name.encode() + b"\0")
            with closing(stream):
                gather.parse(label, stream, digest)
        templates = self._templates(gather, digest)
        if not count and not gather.findings:
            raise ModelError("no CIM XML file here", where=str(self.path), mend="give a folder or zip with *.xml files")
        return gather.model(self.path.name, digest.hexdigest(), templates)

    def _templates(self, gather: _Gather, digest: hashlib._Hash) -> dict[str, Template]:
        """Device templates: ``templates/*.toml`` beside the XML files or in the zip."""
        templates: dict[str, Template] = {}
        for label, data in _template_files(self.path):
            digest.update(Path(label).name.encode() + b"\0" + data)
            template = parse_template(Path(label).stem, label, data, gather.findings)
            if template is not None:
                templates[template.stem] = template
        return templates


def _sources(path: Path, findings: list[Finding]) -> Iterator[tuple[str, IO[bytes]]]:
    if path.is_dir():
        for child in sorted(path.iterdir()):
            if child.suffix.lower() == ".xml":
                yield str(child), child.open("rb")
            elif child.suffix.lower() == ".zip":
                yield from _zip_members(child, findings)
        return
    if not path.is_file():
        raise ModelError("no such model folder or file", where=str(path), mend="check the path")
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        yield from _zip_members(path, findings)
    else:
        yield str(path), path.open("rb")


def _template_files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted((path / "templates").glob("*.toml")):
            yield str(file), file.read_bytes()
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.namelist()):
                if Path(member).parent.name == "templates" and member.endswith(".toml"):
                    yield f"{path}!{member}", archive.read(member)


def _zip_members(path: Path, findings: list[Finding]) -> Iterator[tuple[str, IO[bytes]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.namelist()):
                if not member.lower().endswith(".xml"):
                    continue
                try:
                    yield f"{path}!{member}", archive.open(member)
                except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
                    findings.append(Finding(f"{path}!{member}", 0, Severity.FATAL, "zip.member", f"cannot be unpacked: {error}"))
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelError(f"not a readable zip file: {error}", where=str(path), mend="pack the XML files again") from error


class _Gather:
    """Collects the objects of all files. The expat handlers are its hot loop."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.files: list[str] = []
        self.headers: list[Header] = []
        self.mrids: list[str] = []
        self.classes: list[str] = []
        self.object_file = array("i")
        self.object_line = array("i")
        self.texts: dict[str, Column] = {}
        self.refs: dict[str, Column] = {}
        self._index: dict[str, int] = {}
        self._defined: set[int] = set()
        self._bytes = 0

    def parse(self, label: str, stream: IO[bytes], digest: hashlib._Hash) -> None:
        """Read one file; a fault ends the file with a fatal finding and keeps what was read."""
        self.files.append(label)
        parser = _FileParser(self, len(self.files) - 1)
        try:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                self._count(len(chunk))
                parser.feed(chunk)
                if parser.foreign:
                    return
            parser.close()
        except expat.ExpatError as error:
            text = expat.ErrorString(error.code)
            hint = "the file is cut off: fetch it again" if error.code in CUT_OFF else "correct the XML"
            self._fatal(label, error.lineno, "xml.malformed", f"not well-formed: {text}", hint)
        except _RefusedError as error:
            self._fatal(label, parser.line, error.rule, error.text, error.hint)
        except (OSError, zlib.error, zipfile.BadZipFile, EOFError) as error:
            self._fatal(label, parser.line, "file.unreadable", f"cannot be read to its end: {error}", "fetch the file again")

    def _count(self, read: int) -> None:
        self._bytes += read
        if self._bytes > _MAX_BYTES:
            raise _RefusedError("xml.size", f"more than {_MAX_BYTES >> 30} GiB of XML", "split the model")

    def _fatal(self, label: str, line: int, rule: str, text: str, hint: str) -> None:
        self.findings.append(Finding(label, line, Severity.FATAL, rule, text, hint=hint))

    def open_object(self, mrid: str, class_name: str, file: int, line: int, *, defines: bool) -> int:
        """Row of an object; a second definition of the same id is a finding and its properties are not taken."""
        row = self._index.get(mrid)
        if row is None:
            row = len(self.mrids)
            self._index[mrid] = row
            self.mrids.append(mrid)
            self.classes.append(class_name)
            self.object_file.append(file)
            self.object_line.append(line)
        elif defines and row in self._defined:
            first = f"{self.files[self.object_file[row]]}:{self.object_line[row]}"
            text = f"{class_name} has the id of the {self.classes[row]} at {first}"
            self.findings.append(
                Finding(self.files[file], line, Severity.ERROR, "id.duplicate", text, mrid, hint="give one of them a new id")
            )
            return -1
        elif defines:
            self.classes[row] = class_name
            self.object_file[row] = file
            self.object_line[row] = line
        if defines:
            self._defined.add(row)
        return row

    def add(self, made: Made) -> None:
        """An object made from a template; of a device that is read already, some more properties."""
        file, line = self._place(made.place)
        row = self.open_object(made.mrid, made.class_name, file, line, defines=made.mrid not in self._index)
        for prop, (value, place) in made.texts.items():
            self.texts.setdefault(prop, Column()).add(row, value, *self._place(place))
        for prop, target in made.refs.items():
            self.refs.setdefault(prop, Column(kind=ValueKind.REF)).add(row, target, file, line)

    def _place(self, place: Place) -> tuple[int, int]:
        if place[0] not in self.files:
            self.files.append(place[0])
        return self.files.index(place[0]), place[1]

    def model(self, title: str, digest: str, templates: Mapping[str, Template]) -> CimModel:
        """The finished model: devices expanded, references checked."""
        if templates or "sc:Device" in self.classes:
            for made in list(expand(self._bare(title, digest), templates, self.findings)):
                self.add(made)
        model = self._bare(title, digest)
        self._check_references(model)
        self._check_definitions(model)
        return model

    def _bare(self, title: str, digest: str) -> CimModel:
        return CimModel(
            title=title,
            digest=digest,
            files=self.files,
            headers=self.headers,
            mrids=self.mrids,
            classes=self.classes,
            places=(self.object_file, self.object_line),
            texts=self.texts,
            refs=self.refs,
            findings=self.findings,
        )

    def _check_references(self, model: CimModel) -> None:
        for prop, column in self.refs.items():
            for place, target in enumerate(column.value):
                if target in self._index:
                    continue
                mrid = self.mrids[column.subject[place]]
                self.findings.append(
                    Finding(
                        self.files[column.file[place]],
                        column.line[place],
                        Severity.ERROR,
                        "ref.dangling",
                        f"{prop} refers to {target}, which is nowhere in the model",
                        mrid,
                        model.path(mrid),
                        "add the object or remove the reference",
                    )
                )

    def _check_definitions(self, model: CimModel) -> None:
        if not self._defined:
            return  # some writers name every object by rdf:about
        for row, mrid in enumerate(self.mrids):
            if row not in self._defined:
                text = f"{self.classes[row]} is described (rdf:about) but defined (rdf:ID) in no file"
                self.findings.append(model.finding(Severity.WARNING, "id.undefined", mrid, text, "add the file that defines it"))


def resource_value(resource: str) -> tuple[str, ValueKind]:
    """What an ``rdf:resource`` means: the mRID of an object, or a value of an enumeration.

    >>> resource_value("#_0447ee09")
    ('0447ee09', <ValueKind.REF: 'ref'>)
    >>> resource_value("http://iec.ch/TC57/CIM100#UnitSymbol.W")
    ('UnitSymbol.W', <ValueKind.ENUM: 'enum'>)
    """
    base, hash_sign, fragment = resource.rpartition("#")
    if resource.startswith("urn:uuid:") or not base or fragment.startswith("_"):
        return normalise_mrid(resource if resource.startswith("urn:uuid:") or not hash_sign else fragment), ValueKind.REF
    return fragment, ValueKind.ENUM


CUT_OFF = (
    expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
    expat.errors.codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
)
"""Codes of expat for a file that ends too early."""


class _FileParser:
    """Expat handlers of one file: depth 1 is rdf:RDF, 2 an object, 3 its property, deeper a compound value."""

    def __init__(self, gather: _Gather, file: int) -> None:
        self.foreign = False
        """The root is not rdf:RDF (a manifest, say): the file is skipped."""
        self._gather = gather
        self._file = file
        self._parser = expat.ParserCreate(namespace_separator="}")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._entity
        self._depth = 0
        self._row = -1
        self._header: list[str] | None = None
        self._names: list[str] = []
        self._pieces: list[str] = []
        self._length = 0
        self._leaf = False
        self._line = 0
        self._keys: dict[str, str] = {}
        self._namespace = ""

    @property
    def line(self) -> int:
        """Line the parser is at."""
        return self._parser.CurrentLineNumber

    def feed(self, chunk: bytes) -> None:
        """Parse a piece of the file."""
        self._parser.Parse(chunk, False)

    def close(self) -> None:
        """Parse the end; raises if the document is not complete."""
        self._parser.Parse(b"", True)

    def _entity(self, *_: object) -> None:
        raise _RefusedError("xml.entity", "declares an entity; entities are never expanded", "remove the DOCTYPE")

    def _key(self, name: str) -> str:
        """Property or class name without its namespace, ``sc:`` before those of our profile."""
        key = self._keys.get(name)
        if key is None:
            namespace, _, local = name.rpartition("}")
            key = f"sc:{local}" if namespace == SC else local
            self._keys[name] = key
            if not self._namespace and "CIM" in namespace.upper() and namespace != SC and "ModelDescription" not in namespace:
                self._namespace = namespace
        return key

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self.foreign:
            return
        self._depth += 1
        depth = self._depth
        if depth == 3:
            self._start_property(name, attributes)
        elif depth == 2:
            self._start_object(name, attributes)
        elif depth == 1:
            self._start_root(name)
        elif depth > _MAX_DEPTH:
            raise _RefusedError("xml.depth", f"elements nested deeper than {_MAX_DEPTH}", "this is not CIM XML")
        else:
            self._names.append(self._key(name))
            self._pieces = []
            self._length = 0
            self._leaf = True
            self._resource(attributes)

    def _start_root(self, name: str) -> None:
        if name == f"{RDF}}}RDF":
            return
        self.foreign = True
        label = self._gather.files[self._file]
        text = f"root element is {self._key(name)}, not rdf:RDF; file skipped"
        self._gather.findings.append(Finding(label, self.line, Severity.INFO, "file.foreign", text))

    def _start_object(self, name: str, attributes: dict[str, str]) -> None:
        key = self._key(name)
        if key in _HEADERS:
            self._header = []
            self._row = -1
            return
        if key == "DifferenceModel":
            raise _RefusedError("file.difference", "is a difference model, not a model", "apply it to a model instead")
        identity = attributes.get(f"{RDF}}}ID")
        about = attributes.get(f"{RDF}}}about")
        mrid = normalise_mrid(identity or about or "")
        if not mrid:
            label = self._gather.files[self._file]
            text = f"{key} has neither rdf:ID nor rdf:about; left out"
            self._gather.findings.append(Finding(label, self.line, Severity.ERROR, "id.missing", text, hint="give it an rdf:ID"))
            self._row = -1
            return
        self._row = self._gather.open_object(mrid, key, self._file, self.line, defines=identity is not None)

    def _start_property(self, name: str, attributes: dict[str, str]) -> None:
        self._names = [self._key(name)]
        self._pieces = []
        self._length = 0
        self._leaf = True
        self._line = self._parser.CurrentLineNumber
        self._resource(attributes)

    def _resource(self, attributes: dict[str, str]) -> None:
        if not attributes:
            return
        resource = attributes.get(f"{RDF}}}resource")
        if resource is None:
            return
        self._leaf = False
        if self._row < 0:
            return
        value, kind = resource_value(resource)
        self._store(self._gather.refs if kind is ValueKind.REF else self._gather.texts, value, kind)

    def _store(self, columns: dict[str, Column], value: str, kind: ValueKind) -> None:
        prop = "/".join(self._names)
        column = columns.get(prop)
        if column is None:
            column = columns[prop] = Column(kind=kind)
        column.add(self._row, value, self._file, self._line)

    def _characters(self, data: str) -> None:
        if self._leaf:
            self._length += len(data)
            if self._length > _MAX_TEXT:
                raise _RefusedError("xml.text", "a value longer than 1 MiB", "this is not CIM XML")
            self._pieces.append(data)

    def _end(self, name: str) -> None:
        if self.foreign:
            return
        depth = self._depth
        self._depth = depth - 1
        if depth >= 3:
            if self._leaf:
                self._leaf = False
                value = "".join(self._pieces).strip()
                if self._row >= 0:
                    self._store(self._gather.texts, value, ValueKind.TEXT)
                elif self._header is not None and self._key(name) == "Model.profile":
                    self._header.append(value)
            self._names.pop()
        elif depth == 2 and self._header is not None:
            self._gather.headers.append(Header(self._gather.files[self._file], self._namespace, tuple(self._header)))
            self._header = None
