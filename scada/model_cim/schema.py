"""What CGMES says a model may hold: classes, properties, enumerations, what each profile requires, value rules.

The tables are compiled from the RDFS and SHACL that ENTSO-E publishes (:mod:`scada.model_cim.compile_schema`) and shipped as
data; a schema loads in a few milliseconds. Names of rules are ENTSO-E's own, so that they can be looked up there.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Final

VERSIONS: Final = ("2.4.15", "3.0")
_ORDER: Final = ("EQ", "OP", "SC", "SSH", "TP", "SV", "DL", "GL", "EQBD", "TPBD")
_BEYOND: Final = {
    "IdentifiedObject": "Measurement MeasurementValue RemoteUnit RemotePoint CommunicationLink ValueAliasSet ValueToAlias Limit "
    "LimitSet Control MeasurementValueSource AltTieMeas AltGeneratingUnitMeas VoltageControlZone Location CoordinateSystem "
    "PSRType Asset Name NameType",
    "Measurement": "Analog Discrete Accumulator StringMeasurement",
    "MeasurementValue": "AnalogValue DiscreteValue AccumulatorValue StringMeasurementValue",
    "MeasurementValueQuality": "",
    "RemotePoint": "RemoteSource RemoteControl",
    "Limit": "AnalogLimit AccumulatorLimit",
    "LimitSet": "AnalogLimitSet AccumulatorLimitSet",
    "Control": "Command AnalogControl AccumulatorReset",
    "AnalogControl": "SetPoint RaiseLowerCommand",
    "Switch": "Recloser Sectionaliser ProtectedSwitch",
    "Curve": "GenUnitOpCostCurve IncrementalHeatRateCurve",
}
"""Classes of IEC 61970-301 (CIM17) that we read and that no CGMES profile has; by parent."""


@dataclass(frozen=True, slots=True)
class Property:
    """One property of the RDFS."""

    name: str
    domain: str
    """Class that declares it."""
    kind: str
    """``text``, ``enum`` or ``ref``."""
    type: str
    """XSD type of a literal, name of the enumeration, or class referred to."""
    prefix: str
    """``cim``, ``entsoe`` (2.4.15) or ``eu`` (3.0): the namespace it is written in."""
    profiles: tuple[str, ...]
    used: bool
    """False: the other side of the association is the one to write."""


@dataclass(frozen=True, slots=True)
class ValueRule:
    """One of ENTSO-E's "complex" constraints that is a table.

    ``op`` is ``>``, ``>=``, ``<``, ``<=`` (with a number), ``< property``, ``<= property`` (with a property), ``in`` (with
    values), ``class`` (with classes of the object referred to), ``count`` (with least and most references from elsewhere;
    -1 = any), ``longest`` or ``shortest`` (with a length).
    """

    id: str
    """ENTSO-E's: ``C:452:EQ:SynchronousMachine.maxQ:valueRangePair``."""
    classes: tuple[str, ...]
    path: tuple[str, ...]
    op: str
    value: Any
    message: str
    warning: bool
    """ENTSO-E itself calls it a warning or information."""

    @property
    def profile(self) -> str:
        """Profile the rule belongs to: ``EQ``."""
        return self.id.split(":")[2]


class Schema:
    """One CGMES version.

    Attributes:
        version: ``2.4.15`` or ``3.0``.
        profile_uris: profile -> URI of ``md:Model.profile``.
        properties: by ``Class.property``.
        enums: members by enumeration.
        rules: value rules (3.0 only: for 2.4.15 ENTSO-E published none, and those of IEC 61970-301 hold as well).
    """

    def __init__(self, version: str) -> None:
        data = files("scada.model_cim").joinpath("data", f"cgmes-{version}.json.gz").read_bytes()
        table = json.loads(gzip.decompress(data))
        self.version = version
        self.profile_uris: Mapping[str, str] = table["profiles"]
        self.enums: Mapping[str, frozenset[str]] = {name: frozenset(members) for name, members in table["enums"].items()}
        self.properties: Mapping[str, Property] = {
            name: Property(name, domain, kind, type_, prefix, tuple(profiles.split()), used)
            for name, (domain, kind, type_, prefix, profiles, used) in table["properties"].items()
        }
        self.rules = tuple(
            ValueRule(
                one["id"],
                tuple(one["classes"]),
                tuple(one["path"]),
                one["op"],
                one["value"],
                one["message"],
                one["severity"] != "Violation",
            )
            for one in table["rules"]
        )
        self._classes: Mapping[str, tuple[str, str, str]] = {name: tuple(row) for name, row in table["classes"].items()}
        self._required: Mapping[str, Mapping[str, Mapping[str, tuple[int, int]]]] = table["required"]

    def is_known(self, class_name: str) -> bool:
        """True for a class of CGMES, of the CIM17 classes we read besides, or of our SC profile."""
        return class_name in self._classes or class_name in self._beyond or class_name.startswith("sc:")

    def in_cgmes(self, class_name: str) -> bool:
        """True for a class that a CGMES profile has."""
        return class_name in self._classes

    def ancestors(self, class_name: str) -> tuple[str, ...]:
        """A class and all above it, the class first.

        >>> load_schema("3.0").ancestors("Breaker")[:3]
        ('Breaker', 'ProtectedSwitch', 'Switch')
        """
        found: list[str] = []
        current = class_name
        while current and current not in found:
            found.append(current)
            current = self._classes[current][0] if current in self._classes else self._beyond.get(current, "")
        return tuple(found)

    def subclasses(self, class_name: str) -> tuple[str, ...]:
        """A class and all below it, the class first, the others sorted."""
        return (class_name, *sorted(name for name in self._below.get(class_name, ()) if name != class_name))

    def prefix_of(self, name: str) -> str:
        """Prefix a class or property is written with: ``cim``, ``entsoe``, ``eu``, ``sc``; unknown ones are CIM's."""
        if name.startswith("sc:"):
            return "sc"
        if name in self.properties:
            return self.properties[name].prefix
        return self._classes[name][1] if name in self._classes else "cim"

    def profiles_of(self, class_name: str, prop: str) -> tuple[str, ...]:
        """Profiles in which objects of a class carry a property, the one that defines the object first; empty if none does."""
        return tuple(
            profile
            for profile in _ORDER
            if any(prop in self._required.get(profile, {}).get(name, {}) for name in (class_name, *self.ancestors(class_name)))
        )

    def profile_of(self, class_name: str, prop: str) -> str:
        """The profile a property of a class belongs into: ``EQ``, ``SSH`` ...; empty where no profile has it.

        >>> load_schema("3.0").profile_of("Breaker", "Switch.open")
        'SSH'
        """
        found = self.profiles_of(class_name, prop)
        if found:
            return found[0]
        known = self.properties.get(prop)
        return known.profiles[0] if known is not None else ""

    def required(self, profile: str) -> Mapping[str, Mapping[str, tuple[int, int]]]:
        """``[class][property] = (least, most)`` of a profile, inherited properties included; most -1 = any number."""
        return self._required.get(profile, {})

    def declared(self, uris: Iterable[str]) -> frozenset[str]:
        """Profiles that these ``md:Model.profile`` URIs name."""
        by_uri = {uri: profile for profile, uri in self.profile_uris.items()}
        return frozenset(by_uri[uri] for uri in uris if uri in by_uri)

    @cached_property
    def _beyond(self) -> dict[str, str]:
        return {child: parent for parent, children in _BEYOND.items() for child in children.split()} | {
            parent: "" for parent in _BEYOND if parent not in self._classes and not _parent(parent)
        }

    @cached_property
    def _below(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in {*self._classes, *self._beyond}:
            for above in self.ancestors(name):
                found.setdefault(above, []).append(name)
        return found


def _parent(class_name: str) -> str:
    return next((parent for parent, children in _BEYOND.items() if class_name in children.split()), "")


@cache
def load_schema(version: str) -> Schema:
    """The schema of a CGMES version, read once.

    Args:
        version: one of :data:`VERSIONS`.
    """
    return Schema(version)


def version_of(namespaces: Iterable[str], uris: Iterable[str]) -> str:
    """CGMES version a model says it is of, empty if it says nothing of CGMES.

    Args:
        namespaces: CIM namespaces of its files.
        uris: its ``md:Model.profile`` URIs.
    """
    known = {uri: version for version in VERSIONS for uri in load_schema(version).profile_uris.values()}
    for uri in uris:
        if uri in known:
            return known[uri]
    return "2.4.15" if any("CIM-schema-cim16" in name for name in namespaces) else ""
