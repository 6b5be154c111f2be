"""What is known of each file of a model beside its statements: header, namespaces, the elements it has; for writing it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scada.model_cim.columns import Extra, Ints

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XML = "http://www.w3.org/XML/1998/namespace"
MD = "http://iec.ch/TC57/61970-552/ModelDescription/1#"
SC = "urn:scada-ems:sc:1#"
"""Namespace of our SC profile, version 1."""


@dataclass(frozen=True, slots=True)
class HeaderStatement:
    """One statement of a header."""

    name: str
    """``namespace}local``."""
    value: str
    """A literal, or the whole ``rdf:resource``."""
    resource: bool = False
    extra: Extra | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """``md:FullModel`` (or ``dcat:Dataset``) of one file."""

    file: str
    cim_namespace: str
    profiles: tuple[str, ...]
    name: str = f"{MD}}}FullModel"
    """``namespace}local`` of the element."""
    identity: str = ""
    """Its ``rdf:about``, or its ``rdf:ID`` with ``#`` before it, as written."""
    statements: tuple[HeaderStatement, ...] = ()
    """All of them, in file order."""

    def given(self, local: str) -> tuple[str, ...]:
        """Values of a statement by its local name: ``Model.DependentOn``."""
        return tuple(one.value for one in self.statements if one.name.rpartition("}")[2] == local)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a model.

    Attributes:
        label: as findings show it: a path, or ``archive.zip!member``.
        size: bytes of XML read.
        namespaces: by prefix; the empty prefix is the default namespace.
        headers: normally one.
        class_names: ``namespace}local`` of the classes it has, in order of appearance.
        rows: object index of each object element, in file order.
        kinds: of each element ``2 * class + defines``: index into ``class_names``, and 1 for rdf:ID, 0 for rdf:about.
        lines: of each element.
        id_prefix: what it writes before an id in ``rdf:ID``.
        about_prefix: what it writes before an id in ``rdf:about``.
        comments: how many XML comments it has; they are not kept.
        foreign: it is no RDF and was skipped.
    """

    label: str
    size: int = 0
    namespaces: Mapping[str, str] = field(default_factory=dict)
    headers: Sequence[Header] = ()
    class_names: Sequence[str] = ()
    rows: Ints = field(default_factory=lambda: np.zeros(0, np.int32))
    kinds: Ints = field(default_factory=lambda: np.zeros(0, np.int32))
    lines: Ints = field(default_factory=lambda: np.zeros(0, np.int32))
    id_prefix: str = "_"
    about_prefix: str = "#_"
    comments: int = 0
    foreign: bool = False

    @property
    def is_template(self) -> bool:
        """True for a device template: what it makes is in no XML file."""
        return self.label.endswith(".toml")

    def moved(self, row_of: Ints) -> SourceFile:
        """The file after the objects got other numbers; elements of those that are gone (-1) go too."""
        rows = row_of[self.rows]
        keep = rows >= 0
        return replace(self, rows=rows[keep], kinds=self.kinds[keep], lines=self.lines[keep])


def key_of(name: str) -> str:
    """Property or class name without its namespace, ``sc:`` before those of our profile.

    >>> key_of("http://iec.ch/TC57/CIM100#}Switch.open"), key_of("urn:scada-ems:sc:1#}RemotePoint.ioa")
    ('Switch.open', 'sc:RemotePoint.ioa')
    """
    namespace, _, local = name.rpartition("}")
    return f"sc:{local}" if namespace == SC else local
