"""A difference written as ``dm:DifferenceModel`` (IEC 61970-552): the same difference gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from scada.core.errors import ModelError
from scada.model_cim.difference_file import DM
from scada.model_cim.reader import RDF, SC
from scada.model_cim.schema import load_schema
from scada.model_cim.statements import Difference, DifferenceHeader, Statement, ValueKind

MD: Final = "http://iec.ch/TC57/61970-552/ModelDescription/1#"
CIM100: Final = "http://iec.ch/TC57/CIM100#"
"""Namespace of CIM where the caller gives no other: that of CGMES 3.0."""
_NAMESPACES: Final = {
    "eu": "http://iec.ch/TC57/CIM100-European#",
    "entsoe": "http://entsoe.eu/CIM/SchemaExtension/3/1#",
    "sc": SC,
}
_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def write_difference(difference: Difference, path: Path | str, *, cim_namespace: str = CIM100) -> None:
    """Write a difference model; see :func:`difference_xml`.

    Raises:
        ModelError: a text cannot stand in XML, or the file cannot be written.
    """
    data = difference_xml(difference, cim_namespace=cim_namespace)
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise ModelError(f"cannot be written: {error.strerror}", where=str(path), mend="check the folder") from error


def difference_xml(difference: Difference, *, cim_namespace: str = CIM100) -> bytes:
    """A difference as the bytes of a difference model: sorted by mRID and property, one property a line.

    Args:
        difference: what to write. Time and id of the header are the caller's: nothing is made up here.
        cim_namespace: of the model it belongs to (:attr:`scada.model_cim.cim.Header.cim_namespace`).

    Raises:
        ModelError: a text holds a character that XML does not have.
    """
    return "".join(_Writer(cim_namespace).lines(difference)).encode()


class _Writer:
    def __init__(self, cim_namespace: str) -> None:
        self._schema = load_schema("2.4.15" if "CIM-schema-cim16" in cim_namespace else "3.0")
        self._uris: Mapping[str, str] = {"cim": cim_namespace, **_NAMESPACES}

    def lines(self, difference: Difference) -> Iterator[str]:
        yield '<?xml version="1.0" encoding="UTF-8"?>\n'
        spaces = {"rdf": RDF, "md": MD, "dm": DM, **self._uris}
        yield "<rdf:RDF" + "".join(f" xmlns:{prefix}={quoteattr(uri)}" for prefix, uri in spaces.items()) + ">\n"
        header = difference.header
        about = f" rdf:about={_attribute(_urn(header.mrid))}" if header.mrid else ""
        yield f"  <dm:DifferenceModel{about}>\n"
        yield from _header(header)
        yield from self._part("forwardDifferences", difference.forward, difference.added)
        yield from self._part("reverseDifferences", difference.reverse, difference.removed)
        if difference.preconditions:
            yield from self._part("preconditions", difference.preconditions, {})
        yield "  </dm:DifferenceModel>\n</rdf:RDF>\n"

    def _part(self, name: str, statements: Iterable[Statement], classes: Mapping[str, str]) -> Iterator[str]:
        said = {mrid: list(group) for mrid, group in groupby(sorted(statements), key=attrgetter("mrid"))}
        yield f'    <dm:{name} rdf:parseType="Statements">\n'
        for mrid in sorted({*said, *classes}):
            tag = self._tag(classes[mrid]) if mrid in classes else "rdf:Description"
            about = _attribute(f"#_{mrid}")
            if mrid not in said:
                yield f"      <{tag} rdf:about={about}/>\n"
                continue
            yield f"      <{tag} rdf:about={about}>\n"
            for statement in said[mrid]:
                yield f"        {self._property(statement)}\n"
            yield f"      </{tag}>\n"
        yield f"    </dm:{name}>\n"

    def _property(self, statement: Statement) -> str:
        tags = [self._tag(name) for name in statement.prop.split("/")]
        opening = "".join(f"<{tag}>" for tag in tags[:-1])
        closing = "".join(f"</{tag}>" for tag in reversed(tags[:-1]))
        last = tags[-1]
        if statement.kind is ValueKind.TEXT:
            return f"{opening}<{last}>{_text(statement.value)}</{last}>{closing}"
        target = f"#_{statement.value}"
        if statement.kind is ValueKind.ENUM:
            target = self._uris[last.partition(":")[0]] + statement.value
        return f"{opening}<{last} rdf:resource={_attribute(target)}/>{closing}"

    def _tag(self, name: str) -> str:
        prefix = self._schema.prefix_of(name)
        return f"{prefix if prefix in self._uris else 'cim'}:{name.removeprefix('sc:')}"


def _header(header: DifferenceHeader) -> Iterator[str]:
    for name, text in (("created", header.created), ("description", header.description)):
        if text:
            yield f"    <md:Model.{name}>{_text(text)}</md:Model.{name}>\n"
    for name, models in (("Supersedes", header.supersedes), ("DependentOn", header.depends_on)):
        for model in models:
            yield f"    <md:Model.{name} rdf:resource={_attribute(_urn(model))}/>\n"
    if header.authority:
        yield f"    <md:Model.modelingAuthoritySet>{_text(header.authority)}</md:Model.modelingAuthoritySet>\n"
    for profile in header.profiles:
        yield f"    <md:Model.profile>{_text(profile)}</md:Model.profile>\n"


def _urn(identity: str) -> str:
    if ":" in identity:
        return identity
    return f"urn:sha256:{identity}" if _DIGEST.fullmatch(identity) else f"urn:uuid:{identity}"


def _text(text: str) -> str:
    return escape(_legal(text), {"\r": "&#13;"})


def _attribute(text: str) -> str:
    return quoteattr(_legal(text), {"\r": "&#13;"})


def _legal(text: str) -> str:
    wrong = _ILLEGAL.search(text)
    if wrong:
        raise ModelError(f"{text[:40]!r} holds a character that XML does not have", mend=f"remove {wrong[0]!r}")
    return text
