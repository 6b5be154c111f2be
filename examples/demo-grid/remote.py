"""Channels of the demo grid and the protocol addresses they give out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cimxml import Profile, Ref, Value, mrid

_IOA = {
    "status": (1, 30),
    "double": (2001, 31),
    "step": (3001, 32),
    "analog": (16385, 36),
    "counter": (25601, 37),
    "command": (24577, 46),
    "step-command": (25001, 47),
    "setpoint": (25089, 50),
}
"""IEC 104: first information object address and type identification of each kind."""
_MODBUS = {
    "status": ("discrete", 0, "bit", 1),
    "double": ("input", 0, "uint16", 1),
    "step": ("input", 500, "int16", 1),
    "analog": ("input", 1000, "float32", 2),
    "counter": ("input", 3000, "uint32", 2),
    "command": ("holding", 0, "uint16", 1),
    "step-command": ("holding", 500, "uint16", 1),
    "setpoint": ("holding", 1000, "float32", 2),
}
"""Modbus: table, first register, data type and registers of each kind."""


@dataclass
class Channel:
    """A RemoteUnit that hands out addresses."""

    identity: str
    protocol: str
    counters: bool
    types: dict[str, int] = field(default_factory=dict)
    _next: dict[str, int] = field(default_factory=dict)

    def source(self, kind: str, where: Sequence[str], name: str) -> dict[str, Value]:
        """SC attributes of the next monitored address of a kind."""
        return self._address(kind, where, name)

    def control(self, kind: str, where: Sequence[str], name: str) -> dict[str, Value]:
        """SC attributes of the next control address of a kind."""
        return self._address(kind, where, f"{name} control")

    def _address(self, kind: str, where: Sequence[str], name: str) -> dict[str, Value]:
        number = self._next.get(kind, 0)
        self._next[kind] = number + 1
        if self.protocol == "opcua":
            return {"sc:RemotePoint.nodeId": "ns=2;s=" + ".".join((*where, name)).replace(" ", "_")}
        if self.protocol == "modbus-tcp":
            table, first, data_type, width = _MODBUS[kind]
            return {
                "sc:RemotePoint.table": table,
                "sc:RemotePoint.register": str(first + number * width),
                "sc:RemotePoint.dataType": data_type,
            }
        first, type_id = _IOA[kind]
        return {
            "sc:RemotePoint.ioa": str(first + number),
            "sc:RemotePoint.typeId": str(self.types.get(kind, type_id)),
        }


def channels(profile: Profile, stations: dict[str, str]) -> dict[str, Channel]:
    """Write every RemoteUnit; returns the channel of each station by its name.

    Args:
        profile: file to write to.
        stations: mRID of each station by name.
    """
    by_station: dict[str, Channel] = {}
    plan = (
        ("Beishan RTU", 12404, ("Beishan",), {}),
        ("Donghu RTU", 12405, ("Donghu",), {}),
        ("Heishan RTU", 12406, ("Heishan",), {"setpoint": 63}),
        ("Longtan RTU", 12407, ("Longtan",), {}),
        ("Nanping RTU", 12408, ("Nanping", "Xicheng"), {"analog": 13, "step": 5}),
        ("West RTU", 12409, ("Hongqi", "Lianhua"), {}),
    )
    for common_address, (name, port, served, types) in enumerate(plan, start=1):
        identity = _remote_unit(
            profile,
            name,
            "iec104",
            port,
            [stations[station] for station in served],
            {
                "commonAddress": str(common_address),
                "k": "12",
                "w": "8",
                "t0": "30",
                "t1": "15",
                "t2": "10",
                "t3": "20",
                "interrogationS": "900",
                "clockSyncS": "600",
                "timeZoneMinutes": "0",
            },
        )
        channel = Channel(identity, "iec104", counters=name != "Nanping RTU", types=types)
        by_station |= dict.fromkeys(served, channel)
    modbus = {"unitId": "1", "scanMs": "1000"}
    identity = _remote_unit(profile, "Qingyuan PPC", "modbus-tcp", 15020, [stations["Qingyuan"]], modbus)
    by_station["Qingyuan"] = Channel(identity, "modbus-tcp", counters=True)
    identity = _remote_unit(profile, "Fenghe plant", "opcua", 14840, [stations["Fenghe"]], {"publishingMs": "500"})
    by_station["Fenghe"] = Channel(identity, "opcua", counters=True)
    return by_station


def _remote_unit(profile: Profile, name: str, protocol: str, port: int, served: list[str], params: dict[str, str]) -> str:
    properties: dict[str, Value | list[Value]] = {
        "IdentifiedObject.name": name,
        "sc:RemoteUnit.protocol": protocol,
        "sc:RemoteUnit.host": "127.0.0.1",
        "sc:RemoteUnit.port": str(port),
        "sc:RemoteUnit.Substation": [Ref(station) for station in served],
    }
    properties |= {f"sc:RemoteUnit.{key}": value for key, value in params.items()}
    return profile.put("RemoteUnit", mrid("channel", name), properties)
