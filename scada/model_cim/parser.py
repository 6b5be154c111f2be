"""Expat handlers of one CIM XML file: depth 1 is rdf:RDF, 2 an object, 3 its property, deeper a compound value.

The handlers for what every file is made of are closures over plain variables, since they run a million times in a large model;
what is rare is a method.
"""

from __future__ import annotations

import codecs
from array import array
from collections.abc import Callable, Mapping
from typing import Protocol
from xml.parsers import expat

import numpy as np

from scada.core.ids import normalise_mrid
from scada.model_cim.columns import Extra
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.slots import DROPPED, MAX_NAMES, Adders, Slots
from scada.model_cim.source_files import RDF, SC, XML, Header, HeaderStatement, SourceFile, key_of
from scada.model_cim.spelling import RefusedError, decoder_for, prefix_of, resource_value
from scada.model_cim.statements import ValueKind

MAX_DEPTH = 16
MAX_TEXT = 1 << 20
MAX_TOKEN = 4 << 20
MAX_SPACES = 1000
_HEADERS = frozenset({"FullModel", "Dataset"})
_ID, _ABOUT, _RESOURCE = f"{RDF}}}ID", f"{RDF}}}about", f"{RDF}}}resource"
_PARSE_TYPE, _DATATYPE, _LANG = f"{RDF}}}parseType", f"{RDF}}}datatype", f"{XML}}}lang"
_RESOURCE_MARK = "\tResource"
"""Behind the name of an element with rdf:parseType="Resource"."""


class Objects(Protocol):
    """What the parser asks of the model that grows."""

    @property
    def findings(self) -> list[Finding]:
        """Takes what is wrong."""
        ...

    @property
    def index(self) -> Mapping[str, int]:
        """Row of each object so far."""
        ...

    def open_object(self, mrid: str, class_name: str, file: int, line: int, *, defines: bool) -> int:
        """Row of an object; -1 if its statements are not to be taken."""
        ...


class FileParser:
    """Parses one file.

    Args:
        objects: takes the objects.
        file: index of the file.
        label: the file, for findings.
    """

    def __init__(self, objects: Objects, file: int, label: str) -> None:
        self.foreign = False
        """The root is not rdf:RDF (a manifest, say): the file is skipped."""
        self._objects = objects
        self._file = file
        self._label = label
        self.slots = Slots()
        """The statements read."""
        self._counts: dict[tuple[int, tuple[str, ...]], int] = {}
        self._path: list[str] = []
        self._parents: list[bool] = []
        self._stray = 0
        self._preset = ""
        self._keys: dict[str, str] = {}
        self._enums: dict[tuple[str, str], tuple[str, Adders]] = {}
        self._class_codes: dict[str, int] = {}
        self._rows, self._kinds, self._lines = array("i"), array("i"), array("i")
        self._prefixes: dict[str, str] = {}
        self._namespaces: dict[str, str] = {}
        self._declared: set[tuple[str, str]] = set()
        self._headers: list[tuple[str, str]] = []
        self._fed = 0
        self._passed = 0
        self._comments = 0
        self._told: set[str] = set()
        self._pieces: list[str] = []
        self._in_value: Callable[[], bool]
        self._decoder: codecs.IncrementalDecoder | None = None
        self._parser = parser = expat.ParserCreate(None, "}", {name: name for name in (_ID, _ABOUT, _RESOURCE)})
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.EntityDeclHandler = self._entity
        parser.SkippedEntityHandler = self._entity
        parser.StartNamespaceDeclHandler = self._namespace
        parser.CommentHandler = self._comment
        parser.CharacterDataHandler = self._pieces.append
        self._attach()

    @property
    def line(self) -> int:
        """Line the parser is at."""
        return self._parser.CurrentLineNumber

    def feed(self, chunk: bytes) -> None:
        """Parse a piece of the file.

        Raises:
            RefusedError: it must not be read on.
            expat.ExpatError: it is not well-formed.
        """
        if not self._fed:
            self._decoder = decoder_for(chunk)
        self._fed += len(chunk)
        data = chunk if self._decoder is None else self._decoder.decode(chunk).encode()
        self._passed += len(data)
        self._parser.Parse(data if self._decoder is None else data.decode(), False)
        if self._passed - self._parser.CurrentByteIndex > MAX_TOKEN:
            raise RefusedError("xml.token", f"a tag, comment or value longer than {MAX_TOKEN >> 20} MiB", "this is not CIM XML")
        if sum(map(len, self._pieces)) > MAX_TEXT:
            if self._in_value():
                raise RefusedError("xml.text", "a value longer than 1 MiB", "this is not CIM XML")
            self._pieces.clear()  # white space between elements

    def close(self) -> None:
        """Parse the end; raises if the document is not complete."""
        if self._decoder is not None:
            self._parser.Parse(self._decoder.decode(b"", True), False)
        self._parser.Parse(b"", True)

    def source(self) -> SourceFile:
        """What is known of the file."""
        said = self.slots.headers(len(self._headers)) if self._headers else []
        space = self._cim_namespace()
        return SourceFile(
            label=self._label,
            size=self._fed,
            namespaces=self._namespaces,
            headers=tuple(self._header(space, *header, one) for header, one in zip(self._headers, said, strict=True)),
            class_names=tuple(self._class_codes),
            rows=np.array(self._rows, np.int32),
            kinds=np.array(self._kinds, np.int32),
            lines=np.array(self._lines, np.int32),
            id_prefix=self._prefixes.get(_ID, "_"),
            about_prefix=self._prefixes.get(_ABOUT, "#_"),
            comments=self._comments,
            foreign=self.foreign,
        )

    def _attach(self) -> None:  # noqa: PLR0915 - one closure, for speed
        """The hot loop."""
        parser = self._parser
        pieces, clear = self._pieces, self._pieces.clear
        texts: dict[str, Adders] = {}
        refs: dict[str, Adders] = {}
        enums, other_resource = self._enums, self._resource
        odd_object, deep_start, deep_end, compound_end = self._start_object, self._start_deep, self._end_deep, self._end_compound
        path = self._path
        index, codes, open_object = self._objects.index, self._class_codes, self._objects.open_object
        add_row, add_kind, add_line = self._rows.append, self._kinds.append, self._lines.append
        file = self._file
        depth = line = 0
        row = DROPPED
        leaf = False
        extra: Extra | None = None
        prop = ""

        def begin(name: str, given: list[str]) -> int:
            """Row of an object, here for those written ``rdf:ID="_..."`` and ``rdf:about="#_..."``."""
            code = codes.get(name)
            mrid = given[1][1:] if given and given[0] == _ID else given[1][2:] if given else ""
            known = index.get(mrid)
            if code is None or len(given) != 2 or mrid[-1:] <= " ":
                return odd_object(name, given)
            at = parser.CurrentLineNumber
            if known is None and given[0] == _ID and given[1][0] == "_":
                known = open_object(mrid, self._key(name), file, at, defines=True)
                code = 2 * code + 1
            elif known is not None and given[0] == _ABOUT and given[1][:2] == "#_":
                code = 2 * code
            else:
                return odd_object(name, given)
            add_row(known)
            add_kind(code)
            add_line(at)
            return known

        def start(name: str, given: list[str]) -> None:
            nonlocal depth, row, line, leaf, extra, prop
            if depth == 2:
                depth = 3
                line = parser.CurrentLineNumber
                prop = name
                if not given:
                    leaf = True
                    clear()
                elif given[0] == _RESOURCE and len(given) == 2:
                    leaf = False
                    written = given[1]
                    if written[:2] == "#_":
                        adders = refs.get(name)
                        if adders is None:
                            adders = refs[name] = self.slots.adders(name, "#_", ValueKind.REF)
                        adders[1](written[2:])
                    else:
                        known = enums.get((name, written)) or other_resource(name, written)
                        adders = known[1]
                        adders[1](known[0])
                    adders[0](row)
                    adders[2](line)
                else:
                    leaf, extra = self._odd_property(name, given, row, line)
                    clear()
            elif depth == 1:
                depth = 2
                row = begin(name, given)
            elif depth == 0:
                depth = 1
                self._start_root(name)
            else:
                depth += 1
                if depth > MAX_DEPTH:
                    raise RefusedError("xml.depth", f"elements nested deeper than {MAX_DEPTH}", "this is not CIM XML")
                leaf = deep_start(prop, name, given, row, depth, leaf, line)
                clear()

        def end(name: str) -> None:
            nonlocal depth, leaf, extra
            if depth == 3:
                depth = 2
                if leaf:
                    leaf = False
                    text = pieces[0] if len(pieces) == 1 else "".join(pieces)
                    value = text.strip()
                    adders = texts.get(name)
                    if adders is None:
                        adders = texts[name] = self.slots.adders(name, "", ValueKind.TEXT)
                    if value is not text or extra is not None:
                        self._keep_extra(name, extra, text, value)
                        extra = None
                    adders[0](row)
                    adders[1](value)
                    adders[2](line)
                elif path:
                    compound_end(name, extra)
                    extra = None
                    clear()
            elif depth > 3:
                deep_end(row, depth, leaf)
                depth -= 1
                leaf = False
                clear()
            else:
                depth -= 1
                clear()

        self._in_value = lambda: leaf
        parser.StartElementHandler = start
        parser.EndElementHandler = end

    def _keep_extra(self, name: str, extra: Extra | None, text: str, value: str) -> None:
        slot = self.slots.flat(name, "", ValueKind.TEXT)
        self._preset = ""
        kept = Extra(extra.lang if extra else "", extra.datatype if extra else "", text if text != value else None)
        if kept != Extra():
            slot.extras[len(slot.values)] = kept

    def _resource(self, name: str, written: str) -> tuple[str, Adders]:
        value, kind = resource_value(written)
        found = value, self.slots.adders(name, prefix_of(written, value), kind)
        if kind is ValueKind.ENUM and len(self._enums) < MAX_NAMES:
            self._enums[name, written] = found
        return found

    def _tell(self, severity: Severity, rule: str, text: str, hint: str = "") -> None:
        self._objects.findings.append(Finding(self._label, self.line, severity, rule, text, hint=hint))

    def _entity(self, *_: object) -> None:
        raise RefusedError("xml.entity", "declares an entity; entities are never expanded", "remove the DOCTYPE")

    def _comment(self, _: str) -> None:
        self._comments += 1

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        if uri and (prefix or "", uri) not in self._declared:
            self._declared.add((prefix or "", uri))
            if len(self._declared) > MAX_SPACES:
                raise RefusedError("xml.names", f"more than {MAX_SPACES} namespaces", "this is not CIM XML")
            name = prefix or ""
            number = 2
            while self._namespaces.get(name, uri) != uri:
                name, number = f"{prefix or 'ns'}{number}", number + 1
            self._namespaces[name] = uri

    def _key(self, name: str) -> str:
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = key_of(name)
        return key

    def _start_root(self, name: str) -> None:
        if name == f"{RDF}}}RDF":
            return
        self.foreign = True
        self._parser.StartElementHandler = self._parser.EndElementHandler = None
        self._parser.CharacterDataHandler = self._parser.StartNamespaceDeclHandler = None
        self._tell(Severity.INFO, "file.foreign", f"root element is {self._key(name)}, not rdf:RDF; file skipped")

    def _start_object(self, name: str, given: list[str]) -> int:
        key = self._key(name)
        attributes = dict(zip(given[::2], given[1::2], strict=True))
        if key in _HEADERS:
            identity = attributes.pop(_ABOUT, "") or f"#{attributes.pop(_ID, '')}"
            for attribute in attributes:
                self._lost(f"{attribute.rpartition('}')[2]} of {key}")
            self._headers.append((name, identity))
            return -1 - len(self._headers)
        if key == "DifferenceModel":
            raise RefusedError("file.difference", "is a difference model, not a model", "apply it to a model instead")
        defines = _ID in attributes
        written = attributes.pop(_ID, "") or attributes.get(_ABOUT, "")
        attributes.pop(_ABOUT, "")
        mrid = normalise_mrid(written)
        if not mrid:
            self._tell(Severity.ERROR, "id.missing", f"{key} has neither rdf:ID nor rdf:about; left out", "give it an rdf:ID")
            return DROPPED
        line = self.line
        row = self._objects.open_object(mrid, key, self._file, line, defines=defines)
        if row < 0:
            return row
        code = self._class_codes.setdefault(name, len(self._class_codes))
        self._rows.append(row)
        self._kinds.append(2 * code + defines)
        self._lines.append(line)
        self._prefixes.setdefault(_ID if defines else _ABOUT, prefix_of(written, mrid))
        for attribute, value in attributes.items():
            self._attribute(attribute, value, row, line)
        return row

    def _attribute(self, attribute: str, value: str, row: int, line: int) -> None:
        """A property written as an attribute of its object (RDF/XML, property attributes)."""
        if "}" not in attribute or attribute.startswith((RDF, XML)):
            self._lost(attribute)
            return
        self.slots.flat(attribute, "", ValueKind.TEXT).add(row, value, line)

    def _odd_property(self, name: str, given: list[str], row: int, line: int) -> tuple[bool, Extra | None]:
        """A property with other attributes than one rdf:resource: whether a literal follows, and what it has beside it."""
        attributes = dict(zip(given[::2], given[1::2], strict=True))
        resource = attributes.pop(_RESOURCE, None)
        lang, datatype = attributes.pop(_LANG, ""), attributes.pop(_DATATYPE, "")
        parse_type = attributes.pop(_PARSE_TYPE, "")
        for attribute in attributes:
            self._lost(attribute)
        self._preset = name + _RESOURCE_MARK if parse_type == "Resource" else ""
        if parse_type and not self._preset:
            self._lost(f"the form of rdf:parseType={parse_type!r}")
        if resource is not None:
            if lang or datatype:
                self._lost(f"language or type of the reference {self._key(name)}")
            value, adders = self._resource(name, resource)
            adders[0](row)
            adders[1](value)
            adders[2](line)
            return False, None
        return True, Extra(lang, datatype) if lang or datatype or self._preset else None

    def _start_deep(self, prop: str, name: str, given: list[str], row: int, depth: int, leaf: bool, line: int) -> bool:
        """An element within a property; whether a literal follows."""
        if self._stray:
            return False
        if not self._path:  # the first one
            self._path.append(self._preset or prop)
            self._parents[:] = [False]
            self._preset = ""
        del self._path[depth - 3 :], self._parents[depth - 3 :]
        if not leaf and not self._parents[-1]:
            self._stray = depth
            self._lost(f"what stands within a reference in {self._key(prop)}")
            return False
        self._check_beside(prop)
        if not self._parents[-1]:
            self._parents[-1] = True
            where = (row, tuple(self._path))
            self._counts[where] = number = self._counts.get(where, 0) + 1
            if number > 1:
                self._path[-1] += f"[{number}]"
        attributes = dict(zip(given[::2], given[1::2], strict=True))
        resource = attributes.pop(_RESOURCE, None)
        mark = _RESOURCE_MARK if attributes.get(_PARSE_TYPE) == "Resource" and attributes.pop(_PARSE_TYPE) else ""
        for attribute in attributes:
            self._lost(f"{attribute.rpartition('}')[2]} within {self._key(prop)}")
        self._path.append(name + mark)
        self._parents.append(False)
        if resource is None:
            return True
        value, kind = resource_value(resource)
        self._add_deep(row, value, line, kind, prefix_of(resource, value))
        return False

    def _end_deep(self, row: int, depth: int, leaf: bool) -> None:
        if self._stray:
            self._stray = self._stray if depth > self._stray else 0
            return
        del self._path[depth - 2 :], self._parents[depth - 2 :]
        if leaf:
            self._add_deep(row, "".join(self._pieces), self.line, ValueKind.TEXT, "")
        else:
            self._check_beside(self._path[0])

    def _end_compound(self, name: str, extra: Extra | None) -> None:
        """The end of a property that had elements within."""
        self._path.clear()
        self._check_beside(name)
        if extra is not None and extra != Extra():
            self._lost(f"language or type of the compound {self._key(name)}")

    def _check_beside(self, prop: str) -> None:
        if self._pieces and "".join(self._pieces).strip():
            self._lost(f"text beside elements in {self._key(prop.removesuffix(_RESOURCE_MARK))}")

    def _add_deep(self, row: int, written: str, line: int, kind: ValueKind, prefix: str) -> None:
        if row < DROPPED:
            self._lost("a compound value of a header")
            return
        slot = self.slots.nested(tuple(self._path), prefix, kind)
        value = written.strip()
        if value != written:
            slot.extras[len(slot.values)] = Extra(padded=written)
        slot.add(row, value, line)

    def _lost(self, what: str) -> None:
        """Something that is not kept, told once a file."""
        if what not in self._told and len(self._told) < MAX_NAMES:
            self._told.add(what)
            what = what.rpartition("}")[2]
            self._tell(Severity.WARNING, "xml.lost", f"{what} is not kept", "it is not written back")

    def _header(self, space: str, name: str, identity: str, statements: tuple[HeaderStatement, ...]) -> Header:
        profiles = tuple(one.value for one in statements if key_of(one.name) in ("Model.profile", "conformsTo"))
        return Header(self._label, space, profiles, name, identity, statements)

    def _cim_namespace(self) -> str:
        """The CIM namespace of the file: that of its classes, else of what it declares."""
        named = [name.rpartition("}")[0] for name in self._class_codes]
        for namespace in (*named, *self._namespaces.values()):
            if "CIM" in namespace.upper() and namespace != SC and "61970-552" not in namespace and "entsoe" not in namespace:
                return namespace
        return ""
