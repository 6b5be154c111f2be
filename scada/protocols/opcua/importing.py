"""From a server's variables to a file of the SC profile: a channel, its measurements and their addresses.

The mRIDs come from the server's application URI and the node ids: the same server gives the same file, and an update adds only
what is new. What an engineer changed stays.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from scada.core.errors import ModelError
from scada.core.ids import derived_mrid
from scada.protocols.opcua.browse import Variable, Walk

_CIM: Final = "http://iec.ch/TC57/CIM100#"
_END: Final = "</rdf:RDF>"
_HEAD: Final = """<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF
  xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
  xmlns:md="http://iec.ch/TC57/61970-552/ModelDescription/1#"
  xmlns:cim="http://iec.ch/TC57/CIM100#"
  xmlns:sc="urn:scada-ems:sc:1#">
  <md:FullModel rdf:about="urn:uuid:{mrid}">
    <md:Model.modelingAuthoritySet>urn:scada-ems:opcua-import</md:Model.modelingAuthoritySet>
    <md:Model.profile>urn:scada-ems:sc:1#</md:Model.profile>
  </md:FullModel>
"""
_SYMBOLS: Final = {"W": "W", "var": "VAr", "VAr": "VAr", "VA": "VA", "V": "V", "A": "A", "Hz": "Hz", "Wh": "Wh", "varh": "VArh"}
_UNITS: Final = {
    "%": ("c", "none"),
    "°C": ("none", "degC"),
    "°": ("none", "deg"),
    **{prefix + symbol: (prefix or "none", name) for symbol, name in _SYMBOLS.items() for prefix in ("", "k", "M", "G", "m")},
}
"""Unit as people write it -> CIM multiplier and symbol."""


@dataclass(frozen=True, slots=True)
class ImportedChannel:
    """The channel of an import.

    Attributes:
        name: unique in the model.
        host: address.
        port: TCP port.
        station: mRID of the substation the points belong to; empty = one is made of the channel's name.
        params: parameters of the driver by their names in the model (``path``, ``securityPolicy`` ...).
    """

    name: str
    host: str
    port: int
    station: str = ""
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Imported:
    """A file, ready to be written.

    Attributes:
        text: the whole file.
        added: measurements that were not there before.
        kept: measurements that were.
        skipped: variables that hold no number.
    """

    text: str
    added: int
    kept: int
    skipped: Sequence[Variable]


def import_file(found: Walk, channel: ImportedChannel, before: str | None = None) -> Imported:
    """The SC profile file of a server.

    Args:
        found: what was browsed.
        channel: how the server is reached.
        before: the file as it is, to be added to; None = a new one.

    Raises:
        ModelError: ``before`` is no such file.
    """
    if before is not None and before.rstrip()[-len(_END) :] != _END:
        raise ModelError("the file does not end like a CIM file", mend="give the file of an earlier import")
    known = set(re.findall(r'rdf:ID="_([^"]+)"', before or ""))
    identity = found.application_uri or f"opc.tcp://{channel.host}:{channel.port}"
    writer = _Writer(identity, channel, known)
    writer.channel()
    usable = [each for each in found.variables if each.usable]
    names = _names(usable)
    for variable, name in zip(usable, names, strict=True):
        for index in range(variable.length) if variable.length >= 0 else (-1,):
            writer.measurement(variable, name if index < 0 else f"{name}[{index}]", index)
    head = _HEAD.format(mrid=derived_mrid("opcua", identity, "file")) if before is None else before.rstrip()[: -len(_END)]
    text = before if before is not None and not writer.lines else head + "".join(writer.lines) + _END + "\n"
    return Imported(text, writer.added, writer.kept, [each for each in found.variables if not each.usable])


def _names(variables: Sequence[Variable]) -> list[str]:
    """A name for each: its browse path; where several have the same, with the node id."""
    plain = [".".join(part.replace("/", "_") for part in each.path) for each in variables]
    count = Counter(plain)
    return [
        name if count[name] == 1 else f"{name} {each.node_id.rpartition(';')[2].replace('/', '_')}"
        for name, each in zip(plain, variables, strict=True)
    ]


class _Writer:
    """Writes the objects that are not there yet."""

    def __init__(self, identity: str, channel: ImportedChannel, known: set[str]) -> None:
        self._identity = identity
        self._channel = channel
        self._known = known
        self._unit = self._mrid("channel")
        self._station = channel.station or self._mrid("station")
        self.lines: list[str] = []
        self.added = self.kept = 0

    def _mrid(self, *parts: str) -> str:
        return derived_mrid("opcua", self._identity, *parts)

    def channel(self) -> None:
        """The RemoteUnit, and a station to put the points in."""
        channel = self._channel
        if not channel.station:
            self._object("cim:Substation", self._station, [_text("cim:IdentifiedObject.name", channel.name)])
        self._object(
            "cim:RemoteUnit",
            self._unit,
            [
                _text("cim:IdentifiedObject.name", channel.name),
                _text("sc:RemoteUnit.protocol", "opcua"),
                _text("sc:RemoteUnit.host", channel.host),
                _text("sc:RemoteUnit.port", str(channel.port)),
                _ref("sc:RemoteUnit.Substation", f"#_{self._station}"),
                *(_text(f"sc:RemoteUnit.{name}", value) for name, value in channel.params.items()),
            ],
        )

    def measurement(self, variable: Variable, name: str, index: int) -> None:
        """Measurement, value and source of a variable or of one element of it."""
        is_state = variable.type_name == "Boolean" or bool(variable.states)
        kind = "Discrete" if is_state else "Analog"
        key = (variable.node_id, str(index))
        measurement, value = self._mrid("measurement", *key), self._mrid("value", *key)
        if measurement in self._known:
            self.kept += 1
            return
        self.added += 1
        properties = [_text("cim:IdentifiedObject.name", name)]
        if variable.description or (variable.unit and variable.unit not in _UNITS):
            described = " ".join(filter(None, (variable.description, f"[{variable.unit}]" if variable.unit else "")))
            properties.append(_text("cim:IdentifiedObject.description", described))
        properties.append(_ref("cim:Measurement.PowerSystemResource", f"#_{self._station}"))
        properties += self._discrete(variable, key) if is_state else _analog(variable)
        self._object(f"cim:{kind}", measurement, properties)
        self._object(
            f"cim:{kind}Value",
            value,
            [_text("cim:IdentifiedObject.name", name), _ref(f"cim:{kind}Value.{kind}", f"#_{measurement}")],
        )
        address = [_text("sc:RemotePoint.nodeId", variable.node_id)]
        if index >= 0:
            address.append(_text("sc:RemotePoint.index", str(index)))
        self._object(
            "cim:RemoteSource",
            self._mrid("source", *key),
            [
                _text("cim:IdentifiedObject.name", name),
                _ref("cim:RemoteSource.MeasurementValue", f"#_{value}"),
                _ref("cim:RemotePoint.RemoteUnit", f"#_{self._unit}"),
                *address,
            ],
        )

    def _discrete(self, variable: Variable, key: tuple[str, str]) -> list[str]:
        kind = "status" if variable.type_name == "Boolean" else "state"
        properties = [_text("sc:Discrete.kind", kind)]
        if variable.states:
            aliases = self._mrid("aliases", *key)
            self._object("cim:ValueAliasSet", aliases, [_text("cim:IdentifiedObject.name", ".".join(variable.path))])
            for number, label in variable.states:
                self._object(
                    "cim:ValueToAlias",
                    self._mrid("alias", *key, str(number)),
                    [
                        _text("cim:IdentifiedObject.name", label or str(number)),
                        _text("cim:ValueToAlias.value", str(number)),
                        _ref("cim:ValueToAlias.ValueAliasSet", f"#_{aliases}"),
                    ],
                )
            properties.append(_ref("cim:Discrete.ValueAliasSet", f"#_{aliases}"))
        return properties

    def _object(self, kind: str, mrid: str, properties: Iterable[str]) -> None:
        if mrid not in self._known:
            self._known.add(mrid)
            self.lines.append(f'  <{kind} rdf:ID="_{mrid}">\n{"".join(properties)}  </{kind}>\n')


def _analog(variable: Variable) -> list[str]:
    multiplier, symbol = _UNITS.get(variable.unit, ("none", "none"))
    properties = [
        _ref("cim:Measurement.unitMultiplier", f"{_CIM}UnitMultiplier.{multiplier}"),
        _ref("cim:Measurement.unitSymbol", f"{_CIM}UnitSymbol.{symbol}"),
    ]
    if math.isfinite(variable.low) and math.isfinite(variable.high) and variable.low < variable.high:
        properties += [_text("cim:Analog.minValue", repr(variable.low)), _text("cim:Analog.maxValue", repr(variable.high))]
    return properties


def _text(name: str, value: str) -> str:
    clean = re.sub(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", "?", value)
    return f"    <{name}>{escape(clean)}</{name}>\n"


def _ref(name: str, target: str) -> str:
    return f"    <{name} rdf:resource={quoteattr(target)}/>\n"
