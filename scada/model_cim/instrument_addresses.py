"""Addresses for new points: each channel hands out the next one of a block, behind the highest that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel
from scada.model_cim.modbus import TRANSPORTS

_PAGE: Final = 0x1_0000
"""A block of IEC 104 that is full goes on at the same place of the next 65 536 addresses."""
_LAST_IOA: Final = 0xFF_FFFF
_LAST_REGISTER: Final = 0xFFFF
_LAST_UNIT: Final = 247


def family_of(protocol: str) -> str:
    """Where a protocol takes its addresses from: the blocks ``iec104`` or ``modbus``, or names: ``opcua``, ``text``."""
    if protocol in TRANSPORTS:
        return "modbus"
    return {"iec104": "iec104", "iec104-c104": "iec104", "opcua": "opcua"}.get(protocol, "text")


@dataclass(slots=True)
class Channel:
    """Addresses of one RemoteUnit."""

    mrid: str
    protocol: str
    blocks: Mapping[str, Mapping[str, Any]]
    taken: set[tuple[Any, ...]] = field(default_factory=set)
    _next: dict[str, int] = field(default_factory=dict)
    _unit_of: dict[str, int] = field(default_factory=dict)

    def address(self, kind: str, path: str, reference: str = "") -> dict[str, str]:
        """Properties of a new ``RemoteSource`` or ``RemoteControl``.

        Args:
            kind: a block of the template.
            path: of the point; where a protocol has names, it is the name.
            reference: an IEC 61850 reference the model gives, for a protocol whose addresses are texts.

        Raises:
            ModelError: the channel is full, or the template has no block of this kind.
        """
        family = family_of(self.protocol)
        if family == "opcua":
            return {"sc:RemotePoint.nodeId": self._name(f"ns=2;s={path.replace('/', '.').replace(' ', '_')}")}
        if family == "text":
            return {"sc:RemotePoint.address": self._name(reference or path.replace(" ", "_"))}
        block = self.blocks.get(kind)
        if block is None:
            raise ModelError(f"the template has no block {kind!r} for {family}", mend=f"add it to [blocks.{family}]")
        return self._ioa(kind, block) if family == "iec104" else self._register(kind, block)

    def _ioa(self, kind: str, block: Mapping[str, Any]) -> dict[str, str]:
        firsts = sorted(int(one["first"]) for one in self.blocks.values())
        first = max(int(block["first"]), 1)
        end = next((other for other in firsts if other > first), _PAGE)
        ioa = self._next.get(kind) or max((one for (one,) in self.taken if first <= one % _PAGE < end), default=first - 1) + 1
        while (ioa,) in self.taken or ioa % _PAGE >= end:
            ioa = ioa + 1 if ioa % _PAGE < end else ioa - ioa % _PAGE + _PAGE + first
        if ioa > _LAST_IOA:
            raise ModelError(f"channel {self.mrid} has no address left for {kind}", mend="serve the station by two channels")
        self.taken.add((ioa,))
        self._next[kind] = ioa + 1
        return {"sc:RemotePoint.ioa": str(ioa), "sc:RemotePoint.typeId": str(int(block.get("type", 0)))}

    def _register(self, kind: str, block: Mapping[str, Any]) -> dict[str, str]:
        table, words = str(block.get("table", "input")), int(block.get("words", 1))
        firsts = sorted(int(one["first"]) for one in self.blocks.values() if one.get("table") == table)
        first = int(block["first"])
        end = next((other for other in firsts if other > first), _LAST_REGISTER + 1)
        unit, register = self._unit_of.get(kind, 1), self._next.get(kind, first)
        if kind not in self._next:
            used = [(at, number) for at, where, number in self.taken if where == table and first <= number < end]
            unit, register = (max(used)[0], max(used)[1] + 1) if used else (1, first)
        while register + words > end or any((unit, table, register + word) in self.taken for word in range(words)):
            register += words
            if register + words > end:
                unit, register = unit + 1, first
        if unit > _LAST_UNIT:
            raise ModelError(f"channel {self.mrid} has no register left for {kind}", mend="serve the station by two channels")
        self.taken.update((unit, table, register + word) for word in range(words))
        self._next[kind], self._unit_of[kind] = register + words, unit
        said = {"sc:RemotePoint.table": table, "sc:RemotePoint.register": str(register)}
        said["sc:RemotePoint.dataType"] = str(block.get("dataType", "uint16"))
        return said | ({"sc:RemotePoint.unitId": str(unit)} if unit > 1 else {})

    def _name(self, text: str) -> str:
        name, number = text, 1
        while (name,) in self.taken:
            number += 1
            name = f"{text}_{number}"
        self.taken.add((name,))
        return name


def read_taken(model: CimModel, channel: Channel) -> None:
    """Mark every address that the model gives in a channel, of points and controls alike."""
    family = family_of(channel.protocol)
    common = model.number(channel.mrid, "sc:RemoteUnit.unitId", 1.0)
    for point in model.refs_to(channel.mrid, "RemotePoint.RemoteUnit"):
        if family == "iec104":
            channel.taken.add((int(model.number(point, "sc:RemotePoint.ioa", 0.0)),))
        elif family == "modbus":
            unit = int(model.number(point, "sc:RemotePoint.unitId", common))
            table, register = (
                model.text(point, "sc:RemotePoint.table") or "",
                model.number(point, "sc:RemotePoint.register", -1.0),
            )
            words = {"32": 2, "64": 4}.get((model.text(point, "sc:RemotePoint.dataType") or "")[-2:], 1)
            channel.taken.update((unit, table, int(register) + word) for word in range(words))
        else:
            name = "nodeId" if family == "opcua" else "address"
            channel.taken.add((model.text(point, f"sc:RemotePoint.{name}") or "",))
