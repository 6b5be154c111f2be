"""OPC UA frames as one line of text (OPC 10000-6, 6.7 and 7.1), and values as an engineer reads them."""

from __future__ import annotations

import struct
from functools import cache
from typing import Final

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import nodeid_from_binary

from scada.protocols.driver import Describer, Frame

_HEADER: Final = struct.Struct("<3scI")
_SYMMETRIC: Final = struct.Struct("<IIII")
"""Secure channel id, token id, sequence number, request id."""
_LONGEST: Final = 16 * 1024 * 1024
_NAMES: Final = {
    "HEL": "hello",
    "ACK": "acknowledge",
    "ERR": "error",
    "OPN": "open secure channel",
    "CLO": "close secure channel",
}


class OpcUaDescriber(Describer):
    """Cuts what was read and written into message chunks and says what they are.

    Args:
        encrypted: the mode is SignAndEncrypt; nothing behind the channel number can be read.
    """

    def __init__(self, *, encrypted: bool = False) -> None:
        self._encrypted = encrypted
        self._rest = {True: b"", False: b""}

    def feed(self, data: bytes, *, received: bool) -> list[Frame]:
        """Whole chunks; the rest waits for more. What is no OPC UA comes out as it is."""
        buffer = self._rest[received] + data
        frames: list[Frame] = []
        while len(buffer) >= _HEADER.size:
            kind, chunk, length = _HEADER.unpack_from(buffer)
            if not kind.isalpha() or not _HEADER.size <= length <= _LONGEST:
                frames.append(Frame(buffer, "no OPC UA message"))
                buffer = b""
            elif len(buffer) < length:
                break
            else:
                frames.append(Frame(buffer[:length], self._text(kind.decode("ascii", "replace"), chunk, buffer[:length])))
                buffer = buffer[length:]
        self._rest[received] = buffer
        return frames

    def _text(self, kind: str, chunk: bytes, data: bytes) -> str:
        part = {b"C": ", to be continued", b"A": ", given up"}.get(chunk, "")
        if kind == "ERR" and len(data) >= _HEADER.size + 4:
            return f"error {ua.StatusCode(ua.UInt32(int.from_bytes(data[8:12], 'little'))).name}"
        if kind != "MSG" or len(data) < _HEADER.size + _SYMMETRIC.size:
            return _NAMES.get(kind, kind) + part
        channel, token, sequence, request = _SYMMETRIC.unpack_from(data, _HEADER.size)
        if self._encrypted:
            return f"channel {channel} token {token}: encrypted{part}"
        return f"{_service(data[_HEADER.size + _SYMMETRIC.size :])} request {request} sequence {sequence}{part}"


def _service(body: bytes) -> str:
    try:
        node = nodeid_from_binary(Buffer(body))
    except Exception:  # noqa: BLE001 - the middle of a long message begins anywhere
        return "message"
    return _service_names().get(int(node.Identifier), "message") if isinstance(node.Identifier, int) else "message"


@cache
def _service_names() -> dict[int, str]:
    end = "_Encoding_DefaultBinary"
    return {number: name.removesuffix(end) for name, number in vars(ObjectIds).items() if name.endswith(end)}


def value_text(value: ua.DataValue, data_type: ua.DataValue, access: ua.DataValue) -> str:
    """Value, type, status, times and access of a variable in one line."""
    content = value.Value
    shown = "nothing" if content is None or content.Value is None else f"{content.Value!r} {content.VariantType.name}"
    kind = data_type.Value.Value.to_string() if data_type.Value is not None and data_type.Value.Value is not None else "unknown"
    rights = int(access.Value.Value) if access.Value is not None and access.Value.Value is not None else 0
    times = f"source {_time(value.SourceTimestamp)}, server {_time(value.ServerTimestamp)}"
    may = " ".join(name for bit, name in ((1, "read"), (2, "write")) if rights & bit) or "no access"
    status = value.StatusCode.name if value.StatusCode is not None else "Good"
    return f"{shown}, {status}, {times}, data type {kind}, {may}"


def _time(stamp: object) -> str:
    return str(stamp) if stamp is not None else "none"
