"""CIM XML files: one :class:`Profile` a file, one property a line, mRIDs derived from names.

The same names give the same mRID, so that a second run writes the same files.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from scada.core.ids import derived_mrid

CIM = "http://iec.ch/TC57/CIM100#"
EU = "http://iec.ch/TC57/CIM100-European#"
SC = "urn:scada-ems:sc:1#"
HEAD = f"""<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF
  xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
  xmlns:md="http://iec.ch/TC57/61970-552/ModelDescription/1#"
  xmlns:cim="{CIM}" xmlns:eu="{EU}"
  xmlns:sc="{SC}">
"""


class Ref(str):
    """A reference to an object."""

    __slots__ = ()


class Enum(str):
    """A value of a CIM enumeration."""

    __slots__ = ()


Value = Ref | Enum | str | float | bool


def mrid(*names: str) -> str:
    """Stable mRID of an object of the demo grid."""
    return derived_mrid("demo-grid", *names)


class Profile:
    """One CIM XML file.

    Args:
        stem: name of the file.
        uri: profile it says it follows.
    """

    def __init__(self, stem: str, uri: str) -> None:
        self.stem = stem
        self.uri = uri
        self._elements: list[str] = []

    def add(self, kind: str, identity: str, *, about: bool = False, **properties: Value) -> str:
        """Write one object, one property a line; ``Class__property`` stands for ``Class.property``."""
        return self.put(kind, identity, {name.replace("__", "."): value for name, value in properties.items()}, about=about)

    def put(self, kind: str, identity: str, properties: dict[str, Value | list[Value]], *, about: bool = False) -> str:
        """Write one object; names without a namespace prefix are CIM's."""
        tag = kind if ":" in kind else f"cim:{kind}"
        lines = [f'  <{tag} rdf:about="#_{identity}">' if about else f'  <{tag} rdf:ID="_{identity}">']
        for name, values in properties.items():
            prop = name if ":" in name else f"cim:{name}"
            lines.extend(_line(prop, value) for value in (values if isinstance(values, list) else [values]))
        self._elements.append("\n".join([*lines, f"  </{tag}>\n"]))
        return identity

    def write(self, folder: Path) -> None:
        """Write the file."""
        header = (
            f'  <md:FullModel rdf:about="urn:uuid:{mrid("file", self.stem)}">\n'
            "    <md:Model.created>2026-11-21T00:00:00Z</md:Model.created>\n"
            "    <md:Model.scenarioTime>2026-11-21T00:00:00Z</md:Model.scenarioTime>\n"
            "    <md:Model.version>1</md:Model.version>\n"
            "    <md:Model.modelingAuthoritySet>urn:scada-ems:demo-grid</md:Model.modelingAuthoritySet>\n"
            f"    <md:Model.profile>{self.uri}</md:Model.profile>\n"
            "  </md:FullModel>\n"
        )
        text = HEAD + header + "".join(self._elements) + "</rdf:RDF>\n"
        (folder / f"{self.stem}.xml").write_text(text, encoding="utf-8")


def _line(prop: str, value: Value) -> str:
    if isinstance(value, Ref):
        return f'    <{prop} rdf:resource="#_{value}"/>'
    if isinstance(value, Enum):
        return f'    <{prop} rdf:resource="{EU if prop.startswith("eu:") else CIM}{value}"/>'
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, float):
        text = f"{value:.12g}"
    else:
        text = escape(str(value))
    return f"    <{prop}>{text}</{prop}>"
