"""Writer of CIM XML: every statement to the file it was read from, in one order, one property on a line.

What is written depends on the statements alone, not on how they were laid out: writing, reading and writing again gives the same
octets. Objects made from templates are not written, nor are comments. See ``docs/model/files.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel
from scada.model_cim.columns import Column, Extra, Spelling
from scada.model_cim.placement import Placement, homes_of, same_class
from scada.model_cim.source_files import RDF, SC, Header, SourceFile
from scada.model_cim.statements import ValueKind

_FIRST = (
    "GeographicalRegion",
    "SubGeographicalRegion",
    "BaseVoltage",
    "Substation",
    "VoltageLevel",
    "Bay",
    "Line",
    "RemoteUnit",
)
"""Classes that are written first: the reader of a file meets the containers before what is in them."""
_RANK = {name: number for number, name in enumerate(_FIRST)}
_NAMED_FIRST = ("IdentifiedObject.mRID", "IdentifiedObject.name")
_PREFIXES = {
    RDF: "rdf",
    SC: "sc",
    "http://iec.ch/TC57/61970-552/ModelDescription/1#": "md",
    "http://entsoe.eu/CIM/SchemaExtension/3/1#": "entsoe",
    "http://iec.ch/TC57/CIM100-European#": "eu",
    "http://www.w3.org/ns/dcat#": "dcat",
    "http://purl.org/dc/terms/": "dcterms",
}
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile("[&<>\t\r\n\x00-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_NUMBER = re.compile(r"\[(\d+)\]$")

Nested = tuple[tuple[str, ...], str, str]
"""Names of the elements down to the value, attributes of the innermost, text."""


def write_model(model: CimModel, folder: Path | str) -> list[Path]:
    """Write a model as CIM XML; what was read from a file, or from a member of a zip, goes to a file of the same name.

    Args:
        model: the model; what it was read from may be written over.
        folder: where to; it is made if it is not there.

    Returns:
        The files written.

    Raises:
        ModelError: the folder has CIM files that the model was not read from or cannot be written to, or a value has a character
            XML cannot hold.
    """
    folder = Path(folder)
    contents = write_files(model)
    if folder.is_dir():
        names = {name.lower() for name in contents}
        strange = sorted(
            child.name
            for child in folder.iterdir()
            if child.suffix.lower() in (".xml", ".zip") and child.name.lower() not in names
        )
        if strange:
            mend = "give an empty folder"
            raise ModelError(f"the folder has {strange[0]}, which is not of this model", where=str(folder), mend=mend)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            aside = folder / f".{name}.part"
            aside.write_bytes(data)
            aside.replace(folder / name)
    except OSError as error:
        mend = "check the disk, the rights, and the names of the files"
        raise ModelError(f"cannot be written: {error.strerror}", where=str(error.filename or folder), mend=mend) from error
    return [folder / name for name in contents]


def write_files(model: CimModel) -> dict[str, bytes]:
    """The files of a model by name, as UTF-8.

    Raises:
        ModelError: a value has a character XML cannot hold.
    """
    return {name: "".join(lines).encode() for name, lines in _Writer(model).files()}


def _file_names(files: Sequence[SourceFile]) -> list[str]:
    """Name of each file without its folder or archive; a number tells those apart that would be the same."""
    names: list[str] = []
    taken = set[str]()
    for file in files:
        name = re.split(r"[/\\!]", file.label)[-1] or "model.xml"
        stem, number = (name[:-4], 2) if name.lower().endswith(".xml") else (name, 2)
        name = f"{stem}.xml"
        while name.lower() in taken:
            name, number = f"{stem}-{number}.xml", number + 1
        taken.add(name.lower())
        names.append(name)
    return names


class _Writer:
    """One model on its way out."""

    def __init__(self, model: CimModel) -> None:
        self._model = model
        self._placement = Placement(model)
        self._new_objects = self._placement.place_objects()
        self._columns = [
            (prop, column) for prop in sorted(model.property_names(), key=_property_rank) for column in model.columns(prop)
        ]
        self._new = self._place_values()

    def _place_values(self) -> dict[tuple[int, int], list[int]]:
        """Places of the values that were not read, by column number and file."""
        found: dict[tuple[int, int], list[int]] = {}
        made = self._model.made
        for number, (prop, column) in enumerate(self._columns):
            homes = homes_of(column)
            for start, end, file, _ in _spans(column):
                for place in range(start, end) if file < 0 else ():
                    row = int(column.subjects[place])
                    if not made[row]:
                        to = self._placement.file_of(row, prop, homes)
                        found.setdefault((number, to), []).append(place)
        return found

    def files(self) -> Iterator[tuple[str, list[str]]]:
        """Name and lines of each file."""
        sources = self._placement.files
        for number, (source, name) in enumerate(zip(sources, _file_names(sources), strict=True)):
            if not source.foreign and not source.is_template:
                yield (
                    name,
                    _FileWriter(self._model, source, number, self._placement).lines(
                        self._columns, self._new, [row for row, file in self._new_objects.items() if file == number]
                    ),
                )


class _FileWriter:
    """One file on its way out."""

    def __init__(self, model: CimModel, source: SourceFile, number: int, placement: Placement) -> None:
        self._model = model
        self._source = source
        self._number = number
        own = next((header.cim_namespace for header in source.headers if header.cim_namespace), "")
        self._cim = own or placement.cim_namespace
        self._reclassed = placement.reclassed
        self._spaces: dict[str, str] = {}
        self._prefix: dict[str, str] = {}
        self._qualified: dict[str, str] = {}
        for prefix, uri in source.namespaces.items():
            if prefix:  # a default namespace gets a prefix, since attributes need one
                self._spaces[prefix] = uri
                self._prefix.setdefault(uri, prefix)
        self._rdf = self._prefix_of(RDF)
        self._texts: dict[int, list[str]] = {}
        self._nested: dict[int, list[Nested]] = {}

    def lines(
        self, columns: Sequence[tuple[str, Column]], new: Mapping[tuple[int, int], list[int]], objects: Sequence[int]
    ) -> list[str]:
        """The whole file, each line with its end."""
        for number, (prop, column) in enumerate(columns):
            for start, end, file, spelling in _spans(column):
                if file == self._number and spelling is not None:
                    self._add(column, range(start, end), spelling)
            for place in new.get((number, self._number), ()):
                self._add(column, [place], self._spelling(prop, column, place))
        body = [line for row, name, defines in self._elements(objects) for line in self._element(row, name, defines=defines)]
        head = [line for header in self._source.headers for line in self._header(header)]
        spaces = sorted(self._spaces.items(), key=lambda item: (item[1] != RDF, item[0]))
        declared = [f'\n  xmlns:{prefix}="{_quoted(uri)}"' for prefix, uri in spaces]
        top = ['<?xml version="1.0" encoding="UTF-8"?>\n', f"<{self._rdf}:RDF", *declared, ">\n"]
        return [*top, *head, *body, f"</{self._rdf}:RDF>\n"]

    def _elements(self, objects: Sequence[int]) -> list[tuple[int, str, bool]]:
        """Object, ``namespace}class`` and whether it is defined here, of each element in the order they are written."""
        source, classes = self._source, self._model.class_names
        names = source.class_names
        found: dict[int, tuple[str, bool]] = {}
        for row, kind in zip(source.rows.tolist(), source.kinds.tolist(), strict=True):
            name, defines = names[kind >> 1], bool(kind & 1)
            before = found.get(row)
            found[row] = (name if before is None or defines else before[0], defines or (before is not None and before[1]))
        for row in objects:
            found[row] = (self._class_name(classes[row]), bool((source.kinds & 1).any()) or not len(source.rows))
        for row in {*self._texts, *self._nested} - found.keys():
            found[row] = (self._class_name(classes[row]), False)
        for row, class_name in self._reclassed.items():
            if row in found and same_class(found[row][0], class_name):
                found[row] = (self._class_name(classes[row]), found[row][1])
        mrids = self._model.mrids
        rank = {
            name: (_RANK.get(local, len(_RANK)), local) for name in {one[0] for one in found.values()} if (local := _local(name))
        }
        ordered = sorted(found, key=lambda row: (rank.get(found[row][0], (0, "")), mrids[row]))
        return [(row, *found[row]) for row in ordered]

    def _class_name(self, class_name: str) -> str:
        """``namespace}local`` of a class that this file has not got from another place."""
        for name in self._source.class_names:
            if same_class(name, class_name):
                return name
        return self._default_name(class_name)

    def _default_name(self, key: str) -> str:
        return f"{SC}}}{key[3:]}" if key.startswith("sc:") else f"{self._cim}}}{key}"

    def _element(self, row: int, name: str, *, defines: bool) -> Iterator[str]:
        mrid = self._model.mrids[row]
        source = self._source
        attribute = "ID" if defines else "about"
        identity = _quoted(_spelled(source.id_prefix if defines else source.about_prefix, mrid), mrid)
        tag = self._qname(name)
        texts, nested = self._texts.get(row, ()), self._nested.get(row, ())
        if not texts and not nested:
            yield f'  <{tag} {self._rdf}:{attribute}="{identity}"/>\n'
            return
        yield f'  <{tag} {self._rdf}:{attribute}="{identity}">\n'
        yield from texts
        yield from self._compound(nested, 0, "    ")
        yield f"  </{tag}>\n"

    def _compound(self, some: Sequence[Nested], depth: int, indent: str) -> Iterator[str]:
        """Elements within a property."""
        groups: dict[str, list[Nested]] = {}
        for one in some:
            groups.setdefault(one[0][depth], []).append(one)
        for name in sorted(groups, key=_step_rank):
            clean, _, mark = _NUMBER.sub("", name).partition("\t")
            tag = self._qname(clean)
            below = [one for one in groups[name] if len(one[0]) > depth + 1]
            for _, attributes, text in (one for one in groups[name] if len(one[0]) == depth + 1):
                yield f"{indent}<{tag}{attributes}/>\n" if attributes and not text else f"{indent}<{tag}>{text}</{tag}>\n"
            if below:
                parse = f' {self._rdf}:parseType="Resource"' if mark else ""
                yield f"{indent}<{tag}{parse}>\n"
                yield from self._compound(below, depth + 1, indent + "  ")
                yield f"{indent}</{tag}>\n"

    def _add(self, column: Column, places: Sequence[int], spelling: Spelling) -> None:
        """Lines of some values of one spelling."""
        rows = column.subjects[places[0] : places[-1] + 1].tolist()
        at, extras, mrids = column.store.at, column.extras, self._model.mrids
        if len(spelling.names) > 1:
            for row, place in zip(rows, places, strict=True):
                value = at(place)
                extra = extras.get(place)
                text = value if extra is None or extra.padded is None else extra.padded
                written = (spelling.names, self._resource(spelling.prefix, value, spelling.kind, mrids[row]), "")
                plain = (spelling.names, "", _escaped(text, mrids[row]))
                self._nested.setdefault(row, []).append(plain if spelling.kind is ValueKind.TEXT else written)
            return
        tag = self._qname(spelling.names[0])
        texts = self._texts
        if spelling.kind is not ValueKind.TEXT:
            for row, place in zip(rows, places, strict=True):
                resource = self._resource(spelling.prefix, at(place), spelling.kind, mrids[row])
                texts.setdefault(row, []).append(f"    <{tag}{resource}/>\n")
            return
        for row, place in zip(rows, places, strict=True):
            extra = extras.get(place) if extras else None
            value = at(place) if extra is None or extra.padded is None else extra.padded
            beside = "" if extra is None else self._beside(extra)
            texts.setdefault(row, []).append(f"    <{tag}{beside}>{_escaped(value, mrids[row])}</{tag}>\n")

    def _resource(self, prefix: str, value: str, kind: ValueKind, mrid: str) -> str:
        written = _spelled(prefix, value) if kind is ValueKind.REF else prefix + value
        return f' {self._rdf}:resource="{_quoted(written, mrid)}"'

    def _beside(self, extra: Extra) -> str:
        lang = f' xml:lang="{_quoted(extra.lang)}"' if extra.lang else ""
        return f'{lang} {self._rdf}:datatype="{_quoted(extra.datatype)}"' if extra.datatype else lang

    def _spelling(self, prop: str, column: Column, place: int) -> Spelling:
        """How a new value is spelt: as others of its property in this file, else elsewhere, else in the usual namespace."""
        kind = column.kind_at(place)
        known = [part for part in column.parts if part.spelling is not None and part.file >= 0]
        known.sort(key=lambda part: (part.file != self._number, part.spelling is None or part.spelling.kind is not kind))
        like = next((part.spelling for part in known if part.spelling is not None), None)
        names = like.names if like else tuple(self._default_name(step) for step in prop.split("/"))
        if kind is ValueKind.TEXT:
            return Spelling(names)
        if kind is ValueKind.REF:
            return Spelling(names, self._source.about_prefix, kind)
        if like is not None and like.kind is kind:
            return Spelling(names, like.prefix, kind)
        namespace = SC if prop.startswith("sc:") else self._cim
        return Spelling(names, namespace if namespace.endswith("#") else f"{namespace}#", kind)

    def _header(self, header: Header) -> Iterator[str]:
        tag = self._qname(header.name)
        how = f'ID="{_quoted(header.identity[1:])}"' if header.identity.startswith("#") else f'about="{_quoted(header.identity)}"'
        yield f"  <{tag} {self._rdf}:{how}>\n"
        for one in header.statements:
            name = self._qname(one.name)
            if one.resource:
                yield f'    <{name} {self._rdf}:resource="{_quoted(one.value)}"/>\n'
            else:
                beside = "" if one.extra is None else self._beside(one.extra)
                text = one.value if one.extra is None or one.extra.padded is None else one.extra.padded
                yield f"    <{name}{beside}>{_escaped(text)}</{name}>\n"
        yield f"  </{tag}>\n"

    def _qname(self, name: str) -> str:
        """``prefix:local`` of ``namespace}local``."""
        known = self._qualified.get(name)
        if known is None:
            uri, brace, local = name.rpartition("}")
            prefix = self._prefix_of(uri) if brace else ""
            known = self._qualified[name] = f"{prefix}:{local}" if prefix else local
        return known

    def _prefix_of(self, uri: str) -> str:
        """The prefix of a namespace, declared if it is not yet."""
        known = self._prefix.get(uri)
        if known is None:
            wanted = _PREFIXES.get(uri) or ("cim" if uri == self._cim else "ns")
            known, number = wanted, 2
            while known in self._spaces:
                known, number = f"{wanted}{number}", number + 1
            self._spaces[known] = uri
            self._prefix[uri] = known
        return known


def _spans(column: Column) -> Iterator[tuple[int, int, int, Spelling | None]]:
    """Start, end, file and spelling of each part of a column."""
    ends = [*(part.start for part in column.parts[1:]), len(column)]
    for part, end in zip(column.parts, ends, strict=True):
        yield part.start, end, part.file, part.spelling


def _property_rank(prop: str) -> tuple[int, str]:
    return (_NAMED_FIRST.index(prop) if prop in _NAMED_FIRST else 2 if prop.startswith("IdentifiedObject.") else 3, prop)


def _step_rank(name: str) -> tuple[str, int]:
    number = _NUMBER.search(name)
    return _NUMBER.sub("", name), int(number[1]) if number else 1


def _local(name: str) -> str:
    namespace, _, local = name.rpartition("}")
    return f"sc:{local}" if namespace == SC else local


def _spelled(prefix: str, mrid: str) -> str:
    """An id with what a file writes before it; one that starts with an underscore needs another before it."""
    return f"{prefix}_{mrid}" if mrid.startswith("_") and not prefix.endswith(("_", ":")) else prefix + mrid


def _escaped(text: str, mrid: str = "") -> str:
    """Text for an element or a quoted attribute, on one line."""
    if not _SPECIAL.search(text):
        return text
    wrong = _FORBIDDEN.search(text)
    if wrong:
        mend = "take the character out of the value"
        raise ModelError(f"value {text[:40]!r} has U+{ord(wrong[0]):04X}, which XML cannot hold", where=mrid, mend=mend)
    for plain, escape in _ESCAPES.items():
        text = text.replace(plain, escape)
    return text


def _quoted(text: str, mrid: str = "") -> str:
    """Text for an attribute."""
    return _escaped(text, mrid).replace('"', "&quot;")
