"""Reader of CIM XML (IEC 61970-552): CGMES 2.4.15 and 3.0 and our SC profile, from a folder, one file or a zip.

One pass of expat per file, no tree in memory. Entity declarations are refused, so that no entity is ever expanded.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO
from xml.parsers import expat

import numpy as np

from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel
from scada.model_cim.columns import Column, Linked, Piece, links, literals, make_column
from scada.model_cim.editing import Addition, extended
from scada.model_cim.findings import Finding, Findings, Severity
from scada.model_cim.parser import FileParser
from scada.model_cim.source_files import RDF, SC, SourceFile, key_of
from scada.model_cim.sources import MAX_BYTES, UNREADABLE, Member, shown_name, sources, template_files
from scada.model_cim.spelling import RefusedError, resource_value
from scada.model_cim.statements import ValueKind
from scada.model_cim.templates import Template, expand, parse_template
from scada.model_cim.waivers import WAIVERS, waivers_file

__all__ = ["CUT_OFF", "RDF", "SC", "ModelReader", "resource_value"]

_CHUNK = 1 << 18

CUT_OFF = (
    expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
    expat.errors.codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
)
"""Codes of expat for a file that ends too early."""


class ModelReader:
    """Reads one model.

    Args:
        path: a folder of ``*.xml`` and ``*.zip`` files (its own, not those of folders in it), one XML file, or one zip of XML
            files or of such zips.
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
        for label, stream in sources(self.path, gather.findings):
            digest.update(Path(label).name.encode() + b"\0")
            with closing(stream):
                gather.parse(label, stream, digest)
        templates = self._templates(gather, digest)
        waivers = waivers_file(self.path)
        if waivers is not None:  # what a model is forgiven is part of it
            digest.update(WAIVERS.encode() + b"\0" + waivers[1])
        if not gather.files and not gather.findings:
            raise ModelError("no CIM XML file here", where=str(self.path), mend="give a folder or zip with *.xml files")
        return gather.model(Path(shown_name(self.path)).name, digest.hexdigest(), templates)

    def _templates(self, gather: _Gather, digest: hashlib._Hash) -> dict[str, Template]:
        templates: dict[str, Template] = {}
        for label, data in template_files(self.path, gather.findings):
            digest.update(Path(label).name.encode() + b"\0" + data)
            template = parse_template(Path(label).stem, label, data, gather.findings)
            if template is not None:
                templates[template.stem] = template
        return templates


class _Gather:
    """Collects the objects of all files."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.files: list[SourceFile] = []
        self.mrids: list[str] = []
        self.classes: list[str] = []
        self.object_file = array("i")
        self.object_line = array("i")
        self._labels: list[str] = []
        self.index: dict[str, int] = {}
        self._defined = bytearray()
        self._pieces: dict[tuple[bool, str], list[Piece]] = {}
        self._bytes = 0

    def parse(self, label: str, stream: Member | IO[bytes], digest: hashlib._Hash) -> None:
        """Read one file; a fault ends the file with a fatal finding and keeps what was read."""
        file = len(self._labels)
        self._labels.append(label)
        parser = FileParser(self, file, label)
        try:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                self._count(len(chunk))
                parser.feed(chunk)
                if parser.foreign:
                    break
            else:
                parser.close()
        except expat.ExpatError as error:
            text = expat.ErrorString(error.code)
            hint = "the file is cut off: fetch it again" if error.code in CUT_OFF else "correct the XML"
            self._fatal(label, error.lineno, "xml.malformed", f"not well-formed: {text}", hint)
        except RefusedError as error:
            self._fatal(label, parser.line, error.rule, error.text, error.hint)
        except (UnicodeError, LookupError) as error:
            self._fatal(label, parser.line, "xml.encoding", f"is not in the encoding it names: {error}", "save it as UTF-8")
        except UNREADABLE as error:
            self._fatal(label, parser.line, "file.unreadable", f"cannot be read to its end: {error}", "fetch the file again")
        self.files.append(parser.source())
        for piece in parser.slots.pieces(file):
            spelling = piece.spelling
            if spelling is not None:
                key = "/".join(map(_path_key, spelling.names))
                self._pieces.setdefault((spelling.kind is ValueKind.REF, key), []).append(piece)

    def _count(self, read: int) -> None:
        self._bytes += read
        if self._bytes > MAX_BYTES:
            raise RefusedError("xml.size", f"more than {MAX_BYTES >> 30} GiB of XML", "split the model")

    def _fatal(self, label: str, line: int, rule: str, text: str, hint: str) -> None:
        self.findings.append(Finding(label, line, Severity.FATAL, rule, text, hint=hint))

    def open_object(self, mrid: str, class_name: str, file: int, line: int, *, defines: bool) -> int:
        """Row of an object; a second definition of the same id is a finding and its properties are not taken."""
        row = self.index.get(mrid)
        if row is None:
            row = len(self.mrids)
            self.index[mrid] = row
            self.mrids.append(mrid)
            self.classes.append(class_name)
            self.object_file.append(file)
            self.object_line.append(line)
            self._defined.append(defines)
        elif defines:
            if self._defined[row]:
                first = f"{self._labels[self.object_file[row]]}:{self.object_line[row]}"
                text = f"{class_name} has the id of the {self.classes[row]} at {first}"
                label, hint = self._labels[file], "give one of them a new id"
                self.findings.append(Finding(label, line, Severity.ERROR, "id.duplicate", text, mrid, hint=hint))
                return -1
            self._defined[row] = True
            self.classes[row] = class_name
            self.object_file[row] = file
            self.object_line[row] = line
        return row

    def model(self, title: str, digest: str, templates: Mapping[str, Template]) -> CimModel:
        """The finished model: devices expanded, references checked."""
        model = self._bare(title, digest)
        if templates or "sc:Device" in self.classes:
            model = self._with_templates(model, templates)
        self._check_references(model)
        self._check_ids(model)
        return model

    def _bare(self, title: str, digest: str) -> CimModel:
        texts: dict[str, Column] = {}
        refs: dict[str, Column] = {}
        link = partial(links, index=self.index, mrids=self.mrids)
        while self._pieces:
            (is_ref, key), pieces = self._pieces.popitem()
            spelling = pieces[0].spelling
            kind = spelling.kind if spelling is not None else ValueKind.TEXT
            (refs if is_ref else texts)[key] = make_column(pieces, kind, link if is_ref else literals)
        return CimModel(
            title=title,
            digest=digest,
            files=self._labels,
            headers=[header for file in self.files for header in file.headers],
            mrids=self.mrids,
            classes=self.classes,
            places=(np.array(self.object_file, np.int32), np.array(self.object_line, np.int32)),
            texts=texts,
            refs=refs,
            findings=self.findings,
            sources=self.files,
        )

    def _with_templates(self, model: CimModel, templates: Mapping[str, Template]) -> CimModel:
        labels = list(self._labels)
        number = {label: file for file, label in enumerate(labels)}

        def file_of(label: str) -> int:
            if label not in number:
                number[label] = len(labels)
                labels.append(label)
            return number[label]

        objects: dict[str, tuple[str, int, int]] = {}
        additions: list[Addition] = []
        for made in expand(model, templates, self.findings):
            file, line = file_of(made.place[0]), made.place[1]
            if made.mrid not in model:
                objects.setdefault(made.mrid, (made.class_name, file, line))
            for prop, (value, place) in made.texts.items():
                additions.append(Addition(made.mrid, prop, value, ValueKind.TEXT, file_of(place[0]), place[1]))
            additions.extend(Addition(made.mrid, prop, to, ValueKind.REF, file, line) for prop, to in made.refs.items())
        grown = extended(model, objects, additions, labels)
        self._defined.extend(bytes(len(grown) - len(self._defined)))
        return grown

    def _check_references(self, model: CimModel) -> None:
        for prop in model.property_names():
            for column in model.columns(prop):
                store = column.store
                if not isinstance(store, Linked) or not store.missing:
                    continue
                for place in np.flatnonzero(store.targets < 0).tolist():
                    if self.findings.full("ref.dangling"):
                        self.findings.more("ref.dangling")
                        continue
                    mrid = model.mrids[column.subjects[place]]
                    text = f"{prop} refers to {column.at(place)}, which is nowhere in the model"
                    label, _, line = model.where_value(column, place).rpartition(":")
                    hint = "add the object or remove the reference"
                    self.findings.append(
                        Finding(label, int(line), Severity.ERROR, "ref.dangling", text, mrid, model.path(mrid), hint)
                    )

    def _check_ids(self, model: CimModel) -> None:
        self._check_spelling(model)
        if not any(self._defined):
            return  # some writers name every object by rdf:about
        made = model.made
        for row in np.flatnonzero(~np.frombuffer(bytes(self._defined), np.bool_)).tolist():
            if not made[row]:
                text = f"{self.classes[row]} is described (rdf:about) but defined (rdf:ID) in no file"
                hint = "add the file that defines it"
                self.findings.append(model.finding(Severity.WARNING, "id.undefined", model.mrids[row], text, hint))

    def _check_spelling(self, model: CimModel) -> None:
        """Ids that are alike but for their case: two objects, or one that two files spell differently."""
        if len(set("\n".join(model.mrids).lower().split("\n"))) == len(model):
            return
        folded: dict[str, str] = {}
        for mrid in model.mrids:
            lower = mrid.lower()
            twin = folded.setdefault(lower, mrid) if lower != mrid else mrid
            other = twin if twin != mrid else lower if lower != mrid and lower in model else ""
            if other:
                text = f"its id differs from that of the {model.class_of(other)} at {model.where(other)} by case only"
                hint = "check that these are two objects"
                self.findings.append(model.finding(Severity.WARNING, "id.similar", mrid, text, hint))


def _path_key(name: str) -> str:
    """One step of the key of a compound value: without the mark of rdf:parseType, with its number."""
    return key_of(name.replace("\tResource", ""))
