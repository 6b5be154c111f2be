"""The SC profile as tables: what our namespace has, from ``data/sc.rdf``, and what a model says in it that cannot be meant.

The RDFS file is the one source: this module reads it, the documentation is made from it (:func:`as_markdown`), and a test
compares it with what the code reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Final
from xml.etree import ElementTree as ET

from scada.model_cim.cim import CimModel
from scada.model_cim.classes import subclasses
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.spelling import as_number
from scada.model_cim.statements import ValueKind

SC: Final = "urn:scada-ems:sc:1#"
_RDF: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_RDFS: Final = "{http://www.w3.org/2000/01/rdf-schema#}"
_CIMS: Final = "{http://iec.ch/TC57/1999/rdf-schema-extensions-19990926#}"
_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"
_LITERALS: Final = ("String", "Integer", "Float", "Boolean")
_OWN_RULE: Final = frozenset(
    {
        "sc:AnalogLimit.kind",
        "sc:Control.kind",
        "sc:Discrete.kind",
        "sc:ForwardedPoint.class",
        "sc:Measurement.alarmClass",
        "sc:Measurement.historyCompression",
        "sc:RemotePoint.byteOrder",
        "sc:RemotePoint.table",
        "sc:RemotePoint.wordOrder",
    }
)
"""Words that the tables check when they are built, with a rule that says what happens to the object."""


@dataclass(frozen=True, slots=True)
class ProfileClass:
    """A class of the profile, or one of CIM that the profile adds to.

    Attributes:
        name: as the model writes it, ``sc:`` before our own.
        comment: what it is, by language (``en``, ``zh``).
        parameters: any other property of it is a parameter of a driver, a template or a station.
    """

    name: str
    comment: Mapping[str, str]
    parameters: bool


@dataclass(frozen=True, slots=True)
class ProfileProperty:
    """One attribute or reference.

    Attributes:
        name: ``sc:Class.property``.
        domain: class that has it, as the model writes it.
        range: of a reference, the class it refers to; else empty.
        data_type: ``String``, ``Integer``, ``Float``, ``Boolean``, the name of an enumeration, or empty for a reference.
        multiplicity: ``0..1``, ``1`` or ``0..n``.
        comment: what it means, by language.
        or_text: a reference that may be given as text too.
        values: words of its enumeration.
    """

    name: str
    domain: str
    range: str
    data_type: str
    multiplicity: str
    comment: Mapping[str, str]
    or_text: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """The whole profile, in the order of its file."""

    classes: Mapping[str, ProfileClass]
    properties: Mapping[str, ProfileProperty]
    enumerations: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    """Enumeration -> word -> comment by language; the comment of the enumeration itself stands at the empty word."""

    def of_class(self, name: str) -> list[ProfileProperty]:
        """Properties of a class, in the order of the file."""
        return [prop for prop in self.properties.values() if prop.domain == name]


def rdfs_text() -> str:
    """The RDFS file as published."""
    return resources.files("scada.model_cim").joinpath("data", "sc.rdf").read_text(encoding="utf-8")


@cache
def sc_profile() -> Profile:
    """The profile; read once."""
    described = ET.fromstring(rdfs_text().encode()).findall(f"{_RDF}Description")  # noqa: S314 - our own file
    enumerations: dict[str, dict[str, Mapping[str, str]]] = {}
    classes: dict[str, ProfileClass] = {}
    for one in described:
        stereotypes = {stereotype.text or "" for stereotype in one.findall(f"{_CIMS}stereotype")}
        kind, name = _resource(one, f"{_RDF}type"), _named(one.get(f"{_RDF}about", ""))
        if kind.endswith("#Class") and any("enumeration" in _resource_of(s) for s in one.findall(f"{_CIMS}stereotype")):
            enumerations[name.removeprefix("sc:")] = {"": _comment(one)}
        elif kind.endswith("#Class"):
            classes[name] = ProfileClass(name, _comment(one), "parameters" in stereotypes)
    for one in described:
        kind = _resource(one, f"{_RDF}type").removeprefix("#")
        if kind in enumerations:
            enumerations[kind][one.findtext(f"{_RDFS}label", "")] = _comment(one)
    properties = {
        prop.name: prop
        for one in described
        if _resource(one, f"{_RDF}type").endswith("#Property")
        for prop in [_property(one, enumerations)]
    }
    return Profile(classes, properties, enumerations)


def _property(one: ET.Element, enumerations: Mapping[str, Mapping[str, object]]) -> ProfileProperty:
    data_type = _resource(one, f"{_CIMS}dataType").removeprefix("#")
    return ProfileProperty(
        name=_named(one.get(f"{_RDF}about", "")),
        domain=_named(_resource(one, f"{_RDFS}domain")),
        range=_named(_resource(one, f"{_RDFS}range")),
        data_type=data_type,
        multiplicity=_resource(one, f"{_CIMS}multiplicity").rpartition("#M:")[2],
        comment=_comment(one),
        or_text=any(stereotype.text == "or text" for stereotype in one.findall(f"{_CIMS}stereotype")),
        values=tuple(word for word in enumerations.get(data_type, ()) if word),
    )


def _resource(one: ET.Element, tag: str) -> str:
    found = one.find(tag)
    return "" if found is None else _resource_of(found)


def _resource_of(element: ET.Element) -> str:
    return element.get(f"{_RDF}resource", "")


def _named(uri: str) -> str:
    """``#Device`` is ours, a full name is CIM's."""
    return f"sc:{uri[1:]}" if uri.startswith("#") else uri.rpartition("#")[2]


def _comment(one: ET.Element) -> dict[str, str]:
    return {comment.get(_LANG, "en"): comment.text or "" for comment in one.findall(f"{_RDFS}comment")}


# ------------------------------------------------------------ checks


def sc_findings(model: CimModel) -> list[Finding]:
    """What a model says in our namespace that nobody would read, or not as it is meant.

    Rules: ``sc.class`` and ``sc.property`` (unknown, with what was probably meant), ``sc.domain`` (on an object of another
    class), ``sc.kind`` (a text where a reference belongs, or the reverse), ``sc.value`` (no number, no truth value, not one of
    the words), ``sc.multiplicity`` (more than one value). What another rule tells of the same value is not told again.
    """
    told = {(found.file, found.line) for found in model.findings if found.rule == "value.wrong"}
    found = [*_class_findings(model)]
    for name in model.property_names():
        if name.startswith("sc:"):
            found += _property_findings(model, name)
    return [one for one in found if one.rule != "sc.value" or (one.file, one.line) not in told]


def _class_findings(model: CimModel) -> Iterator[Finding]:
    ours = {name for name in sc_profile().classes if name.startswith("sc:")}
    for name in model.class_counts():
        if name.startswith("sc:") and name not in ours:
            for mrid in model.ids(name, derived=False):
                yield model.finding(Severity.ERROR, "sc.class", mrid, f"the SC profile has no class {name}", _meant(name, ours))


def _property_findings(model: CimModel, name: str) -> Iterator[Finding]:
    profile = sc_profile()
    owner = name.partition(".")[0]
    known = profile.properties.get(name)
    said = [
        (model.mrids[subject], value, column.kind)
        for column in model.columns(name)
        for subject, value in zip(column.subjects, column.values, strict=True)
    ]
    if known is None:
        parent = profile.classes.get(owner) or profile.classes.get(owner.removeprefix("sc:"))
        if parent is None or not parent.parameters:
            for mrid, _, _ in said:
                text = f"the SC profile has no property {name}: nobody reads it"
                yield model.finding(Severity.ERROR, "sc.property", mrid, text, _meant(name, profile.properties), prop=name)
        return
    domain = frozenset(subclasses(known.domain))
    seen: set[str] = set()
    for mrid, value, kind in said:
        if model.class_of(mrid) not in domain:
            text = f"{name} on an object of class {model.class_of(mrid) or 'unknown'}: nobody reads it"
            yield model.finding(Severity.ERROR, "sc.domain", mrid, text, f"it belongs to {known.domain}", prop=name)
        elif (kind is ValueKind.REF) != bool(known.range) and not known.or_text:
            wanted = f"a reference to a {known.range}" if known.range else f"a text ({known.data_type})"
            yield model.finding(Severity.ERROR, "sc.kind", mrid, f"{name} is a {kind.value}", f"give {wanted}", prop=name)
        elif not known.range and name not in _OWN_RULE and (hint := _wrong(known, value)):
            yield model.finding(Severity.ERROR, "sc.value", mrid, f"{name} is {value[:40]!r}", hint, prop=name)
        if mrid in seen and known.multiplicity != "0..n":
            text = f"{name} has more than one value: only the first is read"
            yield model.finding(Severity.ERROR, "sc.multiplicity", mrid, text, "keep one", prop=name)
        seen.add(mrid)


def _wrong(prop: ProfileProperty, value: str) -> str:
    """How to mend a value that is none, or empty."""
    if prop.values:
        return "" if value in prop.values else _meant(value, prop.values) or f"one of {', '.join(prop.values)}"
    if prop.data_type == "Boolean":
        return "" if value.lower() in ("true", "false") else "true or false"
    if prop.data_type in ("Integer", "Float"):
        number = as_number(value)
        if math.isnan(number):
            return "give a finite number"
        return "give a whole number" if prop.data_type == "Integer" and not number.is_integer() else ""
    return ""


def _meant(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""


# ------------------------------------------------------------ documentation


def as_markdown(language: str = "en") -> str:
    """The profile as tables, one a class, for ``docs/model/sc-profile.md`` and ``scada model profile --markdown``."""
    profile, zh = sc_profile(), language == "zh"
    head = ("属性", "类型", "个数", "含义") if zh else ("property", "type", "number", "meaning")
    lines: list[str] = []
    for one in profile.classes.values():
        lines += [f"### `{one.name}`", "", _in(one.comment, language) + ("。" if zh else "."), ""]
        rows = [
            (f"`{prop.name}`", _type_text(prop), prop.multiplicity, _in(prop.comment, language))
            for prop in profile.of_class(one.name)
        ]
        lines += [*_table(head, rows), ""]
    lines += ["### 枚举" if zh else "### Words", ""]
    words = ("枚举", "取值", "含义") if zh else ("enumeration", "word", "meaning")
    listed = [
        (name, f"`{word}`", _in(comment, language))
        for name, members in profile.enumerations.items()
        for word, comment in members.items()
        if word
    ]
    return "\n".join([*lines, *_table(words, listed), ""])


def _type_text(prop: ProfileProperty) -> str:
    return f"→ `{prop.range}`" + (" / String" if prop.or_text else "") if prop.range else prop.data_type


def _in(comment: Mapping[str, str], language: str) -> str:
    return comment.get(language) or comment.get("en", "")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
        *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows),
    ]
