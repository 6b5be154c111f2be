"""Channels and protocol addresses: CIM RemoteUnit and RemotePoint with the SC attributes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from types import MappingProxyType

from scada.core.errors import ConfigError
from scada.model_cim.addresses import Address, Iec104Address, ModbusAddress, OpcUaAddress, PlainAddress
from scada.model_cim.cim import CimModel
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.modbus import TRANSPORTS, read_address, unit_parameters
from scada.model_cim.tables import ChannelSpec, removed_channel
from scada.protocols.modbus.limits import read_limits
from scada.protocols.registry import Drivers

_KNOWN = frozenset({"protocol", "host", "port"})
_NONE: Mapping[str, int] = MappingProxyType({})
_PORTLESS = frozenset({"modbus-rtu"})


def build_channels(
    model: CimModel, findings: list[Finding], drivers: Drivers, known: Mapping[str, int] = _NONE
) -> dict[str, ChannelSpec]:
    """Channels by mRID of their RemoteUnit, new ones numbered in file order behind those of ``known`` (earlier versions).

    A unit with a wrong protocol or no port is left out.
    """
    channels: dict[str, ChannelSpec] = {}
    fresh = count(max(known.values(), default=-1) + 1)
    for mrid in model.ids("RemoteUnit"):
        protocol = model.text(mrid, "sc:RemoteUnit.protocol") or ""
        needs_port = protocol in _READERS and protocol not in _PORTLESS  # a driver of one's own may need none
        port = model.number(mrid, "sc:RemoteUnit.port", math.nan if needs_port else 0.0)
        if protocol not in drivers.names:
            text = f"RemoteUnit has protocol {protocol!r}"
            hint = f"sc:RemoteUnit.protocol is one of {', '.join(drivers.names)}; another needs a driver"
            findings.append(model.finding(Severity.ERROR, "channel.protocol", mrid, text, hint))
        elif not (1 if needs_port else 0) <= port < 65536:
            findings.append(
                model.finding(Severity.ERROR, "channel.port", mrid, "RemoteUnit has no valid port", "set sc:RemoteUnit.port")
            )
        else:
            stations = model.refs(mrid, "sc:RemoteUnit.Substation")
            channels[mrid] = ChannelSpec(
                index=known[mrid] if mrid in known else next(fresh),
                mrid=mrid,
                name=model.name(mrid),
                protocol=protocol,
                host=model.text(mrid, "sc:RemoteUnit.host") or "127.0.0.1",
                port=int(port),
                station=", ".join(model.name(station) for station in stations),
                params=parameters(model, mrid, "sc:RemoteUnit", _KNOWN) | _of_units(model, mrid, protocol),
            )
            _check_parameters(model, channels[mrid], findings)
    _check_names(model, channels, findings)
    return channels


def numbered_channels(channels: Iterable[ChannelSpec], known: Mapping[str, int]) -> list[ChannelSpec]:
    """Channels by their index, with tombstones for those that the model no longer has."""
    table = {index: removed_channel(mrid, index) for mrid, index in known.items()} | {spec.index: spec for spec in channels}
    return [table.get(index) or removed_channel(f"channel-{index}", index) for index in range(max(table, default=-1) + 1)]


def _check_parameters(model: CimModel, spec: ChannelSpec, findings: list[Finding]) -> None:
    if spec.protocol in TRANSPORTS:
        try:
            read_limits(spec.protocol, spec.name, spec.params)
        except ConfigError as error:
            findings.append(model.finding(Severity.ERROR, "channel.parameter", spec.mrid, error.what, error.mend))


def _check_names(model: CimModel, channels: dict[str, ChannelSpec], findings: list[Finding]) -> None:
    seen: dict[str, str] = {}
    for mrid, spec in channels.items():
        first = seen.setdefault(spec.name, mrid)
        if first != mrid:
            text = f"channel name {spec.name!r} is also at {model.where(first)}"
            findings.append(model.finding(Severity.ERROR, "channel.name", mrid, text, "give each RemoteUnit its own name"))


def parameters(model: CimModel, mrid: str, owner: str, known: frozenset[str]) -> dict[str, float | str]:
    """Every other attribute of an object, its name in snake_case: ``scanMs`` becomes ``scan_ms``.

    Args:
        model: the model.
        mrid: the object.
        owner: class in whose name the attributes stand, e.g. ``sc:RemoteUnit``.
        known: names that are no parameters.
    """
    params: dict[str, float | str] = {}
    for prop in model.properties(f"{owner}."):
        name = prop.partition(".")[2]
        value = model.text(mrid, prop)
        if name not in known and value is not None:
            params[_snake_case(name)] = _number_or_text(value)
    return params


def _of_units(model: CimModel, mrid: str, protocol: str) -> dict[str, float | str]:
    if protocol not in TRANSPORTS:
        return {}
    return {_snake_case(name): _number_or_text(value) for name, value in unit_parameters(model, mrid).items()}


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _number_or_text(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value


def address_of(model: CimModel, remote_point: str, unit: str, protocol: str, drivers: Drivers) -> Address | str:
    """Address of a RemoteSource or RemoteControl, or what is wrong with it in one sentence."""
    if protocol in _READERS:
        return _READERS[protocol](model, remote_point, unit)
    text = model.text(remote_point, "sc:RemotePoint.address") or ""
    if not text:
        return f"has no sc:RemotePoint.address, which a channel of protocol {protocol} needs"
    return drivers.check_address(protocol, text) or PlainAddress(text)


def _iec104(model: CimModel, point: str, unit: str) -> Address | str:
    common = model.number(point, "sc:RemotePoint.commonAddress", model.number(unit, "sc:RemoteUnit.commonAddress"))
    ioa = model.number(point, "sc:RemotePoint.ioa")
    type_id = model.number(point, "sc:RemotePoint.typeId")
    if not 1 <= common <= 65535:
        return "has no common address (1..65535)"
    if not 1 <= ioa <= 0xFFFFFF:
        return "has no information object address (1..16777215)"
    if not 1 <= type_id <= 127:
        return "has no type identification (1..127)"
    return Iec104Address(int(common), int(ioa), int(type_id))


def _opcua(model: CimModel, point: str, unit: str) -> Address | str:
    del unit
    node_id = model.text(point, "sc:RemotePoint.nodeId") or ""
    index = model.number(point, "sc:RemotePoint.index", -1.0)
    if "=" not in node_id:
        return "has no OPC UA NodeId such as ns=2;s=Wind.P"
    if not -1 <= index < 2**31 or index != int(index):
        return "has an index that is no element of an array (0 ..)"
    return OpcUaAddress(node_id, int(index))


_READERS: dict[str, Callable[[CimModel, str, str], Address | str]] = {
    "iec104": _iec104,
    "iec104-c104": _iec104,
    **dict.fromkeys(TRANSPORTS, read_address),
    "opcua": _opcua,
}


def address_key(address: Address) -> tuple[int | str, ...]:
    """What must be unique within a channel and direction.

    >>> address_key(Iec104Address(1, 100, 13)) == address_key(Iec104Address(1, 100, 36))
    True
    """
    if isinstance(address, Iec104Address):
        return (address.common_address, address.ioa)
    if isinstance(address, ModbusAddress):
        return (address.unit_id, address.table, address.register, address.bit, address.mask, str(address.values))
    return (address.text,) if isinstance(address, PlainAddress) else (address.node_id, address.index)
