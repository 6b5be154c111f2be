"""Compile the RDFS and SHACL that ENTSO-E publishes for CGMES into the tables of :mod:`scada.model_cim.schema`.

    python -m scada.model_cim.compile_schema 3.0 entsoe_cgmes3_shacl_rdfs.zip scada/model_cim/data/cgmes-3.0.json.gz

Runs when ENTSO-E publishes something new, never in a server. From RDFS come the class tree, the properties with their ranges and
the enumerations; from the "Simple" shapes what each profile requires; from the "Complex" shapes every rule that is a range, a
pair, a length, a list of values, a count of references or a class of container. Rules written as SPARQL are written by hand in
:mod:`scada.model_cim.rules`. Rule names are ENTSO-E's own.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scada.core.errors import ModelError
from scada.model_cim.turtle import Graph

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_RDFS = "{http://www.w3.org/2000/01/rdf-schema#}"
_CIMS = "{http://iec.ch/TC57/1999/rdf-schema-extensions-19990926#}"
_PROFILES = {
    "3.0": {
        "EQ": ("_Equipment-AP-", "http://iec.ch/TC57/ns/CIM/CoreEquipment-EU/3.0"),
        "OP": ("_Operation-AP-", "http://iec.ch/TC57/ns/CIM/Operation-EU/3.0"),
        "SC": ("_ShortCircuit-AP-", "http://iec.ch/TC57/ns/CIM/ShortCircuit-EU/3.0"),
        "SSH": ("_SteadyStateHypothesis-AP-", "http://iec.ch/TC57/ns/CIM/SteadyStateHypothesis-EU/3.0"),
        "TP": ("_Topology-AP-", "http://iec.ch/TC57/ns/CIM/Topology-EU/3.0"),
        "SV": ("_StateVariables-AP-", "http://iec.ch/TC57/ns/CIM/StateVariables-EU/3.0"),
        "DL": ("_DiagramLayout-AP-", "http://iec.ch/TC57/ns/CIM/DiagramLayout-EU/3.0"),
        "GL": ("_GeographicalLocation-AP-", "http://iec.ch/TC57/ns/CIM/GeographicalLocation-EU/3.0"),
        "EQBD": ("_EquipmentBoundary-AP-", "http://iec.ch/TC57/ns/CIM/EquipmentBoundary-EU/3.0"),
    },
    "2.4.15": {
        "EQ": ("EquipmentProfileCoreRDFS", "http://entsoe.eu/CIM/EquipmentCore/3/1"),
        "OP": ("EquipmentProfileCoreOperationRDFS", "http://entsoe.eu/CIM/EquipmentOperation/3/1"),
        "SC": ("EquipmentProfileCoreShortCircuitRDFS", "http://entsoe.eu/CIM/EquipmentShortCircuit/3/1"),
        "SSH": ("SteadyStateHypothesisProfile", "http://entsoe.eu/CIM/SteadyStateHypothesis/1/1"),
        "TP": ("/TopologyProfile", "http://entsoe.eu/CIM/Topology/4/1"),
        "SV": ("StateVariable", "http://entsoe.eu/CIM/StateVariables/4/1"),
        "DL": ("DiagramLayoutProfile", "http://entsoe.eu/CIM/DiagramLayout/3/1"),
        "GL": ("GeographicalLocationProfile", "http://entsoe.eu/CIM/GeographicalLocation/2/1"),
        "EQBD": ("EquipmentBoundaryProfile", "http://entsoe.eu/CIM/EquipmentBoundary/3/1"),
        "TPBD": ("TopologyBoundaryProfile", "http://entsoe.eu/CIM/TopologyBoundary/3/1"),
    },
}
_CORE_SHAPES = "/EquipmentProfile.ttl"
"""CGMES 2.4.15 has one file of shapes for core, operation and short circuit."""
_BOUNDS = {"sh:minInclusive": ">=", "sh:minExclusive": ">", "sh:maxInclusive": "<=", "sh:maxExclusive": "<"}
_LENGTHS = {"sh:maxLength": "longest", "sh:minLength": "shortest"}
_PAIRS = {"sh:lessThan": "<", "sh:lessThanOrEquals": "<="}
_SIMPLE = {"String": "string", "Boolean": "boolean", "Integer": "integer", "Float": "float", "Decimal": "decimal"}
_SIMPLE |= {"Date": "date", "DateTime": "dateTime", "MonthDay": "gMonthDay", "URI": "anyURI", "IRI": "anyURI"}

Table = dict[str, Any]


def compile_schema(version: str, archive: Path) -> Table:
    """Tables of one CGMES version; see :class:`scada.model_cim.schema.Schema` for what they hold.

    Args:
        version: ``2.4.15`` or ``3.0``.
        archive: zip of ENTSO-E's application profiles library with the RDFS and SHACL of that version.

    Raises:
        ModelError: the archive holds no profile of this version, or a file that cannot be read.
    """
    with zipfile.ZipFile(archive) as bundle:
        files = {name: bundle.read(name).decode("utf-8-sig") for name in bundle.namelist() if name.endswith((".rdf", ".ttl"))}
    profiles = _PROFILES[version]
    classes: Table = {}
    properties: Table = {}
    enums: Table = {}
    for profile, (part, _) in profiles.items():
        chosen = [text for name, text in sorted(files.items()) if part in name and name.endswith(".rdf")]
        if not chosen:
            raise ModelError(f"no RDFS of profile {profile}", where=str(archive), mend=f"is it the archive of CGMES {version}?")
        for text in chosen:
            _read_rdfs(text, profile, classes, properties, enums)
    required: Table = {}
    for profile, (part, _) in profiles.items():
        graph = Graph()
        for name, text in sorted(files.items()):
            if name.endswith(".ttl") and (part in name and "Complex" not in name):
                graph.read(text, name)
        if version == "2.4.15" and profile == "EQ":
            name = next(name for name in files if name.endswith(_CORE_SHAPES))
            graph.read(files[name], name)
        _read_simple(graph, profile, required, properties)
    complex_ = [one for name, text in sorted(files.items()) if "Complex" in name for one in _read_complex(text, name)]
    return {
        "version": version,
        "profiles": {profile: uri for profile, (_, uri) in profiles.items()},
        "classes": dict(sorted(classes.items())),
        "properties": dict(sorted(properties.items())),
        "enums": {name: sorted(members) for name, members in sorted(enums.items())},
        "required": required,
        "rules": _merged(complex_),
    }


# ---------------------------------------------------------------- RDFS


def _read_rdfs(text: str, profile: str, classes: Table, properties: Table, enums: Table) -> None:
    """Classes as [parent, prefix, profiles]; properties as [domain, kind, type, prefix, profiles, used]."""
    types: dict[str, ET.Element] = {}
    members: dict[str, set[str]] = {}
    kinds: dict[str, str] = {}
    for element in ET.fromstring(text):  # noqa: S314 - a file the maintainer chose, at build time
        about = element.get(f"{_RDF}about", "")
        name = about.rpartition("#")[2]
        type_ = _resource(element, f"{_RDF}type")
        types[name] = element
        if type_ == "Class":
            kinds[name] = "class"
        elif type_ == "Property":
            kinds[name] = "property"
        elif "." in name:
            members.setdefault(type_, set()).add(name.rpartition(".")[2])
    for enum, names in members.items():
        if enum in kinds:
            enums[enum] = sorted({*enums.get(enum, ()), *names})
    for name, kind in kinds.items():
        element = types[name]
        stereotypes = {(found.text or _resource_of(found)).rpartition("#")[2] for found in element.iter(f"{_CIMS}stereotype")}
        if kind == "class" and not stereotypes & {"CIMDatatype", "Primitive", "enumeration", "Compound"} and name not in enums:
            row = classes.setdefault(name, [_resource(element, f"{_RDFS}subClassOf"), _prefix(element), ""])
            row[0] = row[0] or _resource(element, f"{_RDFS}subClassOf")
            if "concrete" in stereotypes and profile not in row[2].split():
                row[2] = f"{row[2]} {profile}".strip()
        elif kind == "property":
            _add_property(name, element, profile, types, properties, enums)


def _add_property(
    name: str, element: ET.Element, profile: str, types: dict[str, ET.Element], properties: Table, enums: Table
) -> None:
    domain = _resource(element, f"{_RDFS}domain")
    datatype, range_ = _resource(element, f"{_CIMS}dataType"), _resource(element, f"{_RDFS}range")
    owner = types.get(domain)
    if owner is not None and any(
        (found.text or "") in ("CIMDatatype", "Primitive") for found in owner.iter(f"{_CIMS}stereotype")
    ):
        return
    used = (element.findtext(f"{_CIMS}AssociationUsed") or "Yes") == "Yes"
    if datatype:
        kind, type_ = "text", _SIMPLE.get(datatype) or _value_type(datatype, types)
    else:
        kind, type_ = ("enum" if range_ in enums else "ref"), range_
    row = properties.setdefault(name, [domain, kind, type_, _prefix(element), profile, used])
    row[5] = row[5] or used
    # CGMES 2.4.15: operation and short circuit repeat the core
    if profile not in row[4].split() and not (profile in ("OP", "SC") and "EQ" in row[4].split()):
        row[4] = f"{row[4]} {profile}"


def _value_type(datatype: str, types: dict[str, ET.Element]) -> str:
    value = types.get(f"{datatype}.value")
    return _SIMPLE.get(_resource(value, f"{_CIMS}dataType"), "float") if value is not None else "string"


def _resource_of(element: ET.Element) -> str:
    return element.get(f"{_RDF}resource", "")


def _resource(element: ET.Element, tag: str) -> str:
    found = element.find(tag)
    return "" if found is None else _resource_of(found).rpartition("#")[2]


def _prefix(element: ET.Element) -> str:
    about = element.get(f"{_RDF}about", "")
    return "eu" if "CIM100-European" in about else "entsoe" if "SchemaExtension" in about else "cim"


# ---------------------------------------------------------------- SHACL


def _local(node: str) -> str:
    return node.rpartition("#")[2].rpartition(":")[2]


def _read_simple(graph: Graph, profile: str, required: Table, properties: Table) -> None:
    """``required[profile][class] = {property: [min, max]}``; -1 = any number."""
    own = required.setdefault(profile, {})
    for subject in list(graph.said):
        if "sh:NodeShape" not in graph.all(subject, "rdf:type") or graph.one(subject, "sh:closed"):
            continue
        table: Table = {}
        for shape in graph.all(subject, "sh:property"):
            path = _local(graph.one(shape, "sh:path"))
            least, most = graph.one(shape, "sh:minCount"), graph.one(shape, "sh:maxCount")
            if not (least or most) or path not in properties:
                continue
            owner = profile if profile in properties[path][4].split() else properties[path][4].split()[0]
            place = table if owner == profile else required.setdefault(owner, {}).setdefault(_target(graph, subject), {})
            place[path] = [int(least or 0), int(most or -1)]
        if table:
            own.setdefault(_target(graph, subject), {}).update(table)


def _target(graph: Graph, subject: str) -> str:
    return _local(graph.one(subject, "sh:targetClass"))


def _read_complex(text: str, label: str) -> Iterator[Table]:
    """Rules that are tables: {id, classes, path, op, value, message, severity}."""
    graph = Graph()
    graph.read(text, label)
    for subject in list(graph.said):
        targets = sorted({_local(name) for name in graph.all(subject, "sh:targetClass")})
        if not targets or "FullModel" in targets:
            continue
        for shape in graph.all(subject, "sh:property"):
            path = graph.one(shape, "sh:path")
            if not graph.text(shape, "sh:name").startswith("C:") or graph.one(shape, "sh:sparql") or not path:
                continue
            base = {
                "id": graph.text(shape, "sh:name").partition("|")[0],
                "classes": targets,
                "message": re.sub(r"\s+", " ", graph.text(shape, "sh:message") or graph.text(shape, "sh:description")).strip(),
                "severity": _local(graph.one(shape, "sh:severity")),
            }
            yield from _rules_of(graph, shape, path, base)


def _rules_of(graph: Graph, shape: str, path: str, base: Table) -> Iterator[Table]:
    steps = graph.items(path) or [path]
    inverse = graph.one(path, "sh:inversePath")
    counts = [int(graph.one(shape, "sh:minCount") or 0), int(graph.one(shape, "sh:maxCount") or -1)]
    given = graph.items(graph.one(shape, "sh:in"))
    allowed = sorted(value[1:] if value.startswith('"') else _local(value) for value in given)
    if inverse and len(steps) == 1:
        yield {**base, "path": [_local(inverse)], "op": "count", "value": counts}
    elif any(step.startswith("_:") for step in steps):
        return
    elif steps[-1] == "rdf:type" and allowed:
        yield {**base, "path": [_local(step) for step in steps[:-1]], "op": "class", "value": allowed}
    elif allowed:
        yield {**base, "path": [_local(step) for step in steps], "op": "in", "value": allowed}
    elif len(steps) == 1:
        prop = [_local(path)]
        for name, op in {**_BOUNDS, **_LENGTHS}.items():
            if graph.one(shape, name):
                yield {**base, "path": prop, "op": op, "value": float(graph.text(shape, name))}
        for name, op in _PAIRS.items():
            if graph.one(shape, name):
                yield {**base, "path": prop, "op": f"{op} property", "value": _local(graph.one(shape, name))}


def _merged(rules: list[Table]) -> list[Table]:
    """One rule for all classes that share it."""
    found: dict[str, Table] = {}
    for rule in rules:
        key = json.dumps([rule["id"], rule["path"], rule["op"], rule["value"]])
        first = found.setdefault(key, rule)
        first["classes"] = sorted({*first["classes"], *rule["classes"]})
    return [found[key] for key in sorted(found)]


def main(arguments: list[str]) -> None:
    """``VERSION ARCHIVE OUT``: compile and write."""
    version, archive, out = arguments
    table = compile_schema(version, Path(archive))
    data = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    Path(out).write_bytes(gzip.compress(data, 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
