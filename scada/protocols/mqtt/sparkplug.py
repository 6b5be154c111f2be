"""Sparkplug B payloads (specification 3.0, clause 6.4): metrics in and out of protobuf."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError
from scadapb.sparkplug import payload_pb2 as pb

from scada.core.errors import ProtocolError
from scada.protocols.mqtt.readings import quality_of

INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING, DATE_TIME, TEXT = range(1, 15)
_SIGNED: Final = {INT8: 8, INT16: 16, INT32: 32, INT64: 64}
_UNSIGNED: Final = {UINT8: 8, UINT16: 16, UINT32: 32, UINT64: 64, DATE_TIME: 64}
_SINGLE_VALUES: Final = {"int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value"}
_NS_PER_MS: Final = 1_000_000

Value = bool | int | float | str


class SparkplugError(ProtocolError):
    """A payload that cannot be read, or a value that a metric cannot take."""


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One metric of a message.

    Attributes:
        name: empty where only the alias stands.
        alias: None where only the name stands.
        datatype: Sparkplug number of the type; 0 = not said (data messages may leave it to the birth).
        value: None = null, or of a type that is no single value.
        time_ns: ns UTC, of the metric or else of the message; 0 = none.
        historical: late: not the present value.
        quality: word from the property ``Quality``, 0 without one.
    """

    name: str
    alias: int | None
    datatype: int
    value: Value | None
    time_ns: int
    historical: bool
    quality: int


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded payload; ``seq`` and ``time_ns`` as far as given, else -1 and 0."""

    seq: int
    time_ns: int
    metrics: Sequence[MetricValue]


TypeOf = Callable[[str, int | None], int]
"""Type of a metric by name and alias, as its birth said; 0 = not known."""


def decode(payload: bytes, type_of: TypeOf = lambda _name, _alias: 0) -> Message:
    """Read a payload.

    Args:
        payload: octets of the message.
        type_of: for data that does not repeat the type.

    Raises:
        SparkplugError: it is none, or its sequence number is none.
    """
    try:
        message = pb.Payload.FromString(payload)
    except DecodeError as error:
        raise SparkplugError("the payload is no Sparkplug message") from error
    if message.HasField("seq") and message.seq > 255:
        raise SparkplugError(f"sequence number {message.seq} is above 255")
    at = _ns(message.timestamp)
    metrics = [_metric(metric, at, type_of) for metric in message.metrics]
    return Message(message.seq if message.HasField("seq") else -1, at, metrics)


def _ns(milliseconds: int) -> int:
    """Times beyond 2262 are none."""
    return milliseconds * _NS_PER_MS if milliseconds < (1 << 63) // _NS_PER_MS else 0


def _metric(metric: pb.Metric, at: int, type_of: TypeOf) -> MetricValue:
    alias = metric.alias if metric.HasField("alias") else None
    datatype = metric.datatype or type_of(metric.name, alias)
    return MetricValue(
        name=metric.name,
        alias=alias,
        datatype=datatype,
        value=None if metric.is_null else _value(metric, datatype),
        time_ns=_ns(metric.timestamp) if metric.HasField("timestamp") else at,
        historical=metric.is_historical,
        quality=_quality(metric.properties),
    )


def _value(metric: pb.Metric, datatype: int) -> Value | None:
    """The value; whole numbers of signed types stand as two's complement in unsigned fields."""
    field = metric.WhichOneof("value")
    if field not in _SINGLE_VALUES:
        return None
    raw: Value = getattr(metric, field)
    if not field.startswith(("int", "long")) or not isinstance(raw, int):
        return raw
    if datatype in _SIGNED:
        width = min(32 if field == "int_value" else 64, _SIGNED[datatype])
        raw &= (1 << width) - 1
        return raw - (1 << width) if raw >> (width - 1) else raw
    return raw != 0 if datatype == BOOLEAN else raw


def _quality(properties: pb.PropertySet) -> int:
    for key, said in zip(properties.keys, properties.values, strict=False):
        if key.casefold() == "quality":
            kind = said.WhichOneof("value")
            return quality_of(None if said.is_null or kind is None else getattr(said, kind))
    return 0


def encode_command(name: str, alias: int | None, datatype: int, value: Value, now_ns: int) -> bytes:
    """Payload of an NCMD or DCMD with one metric. Hosts number no messages.

    Raises:
        SparkplugError: the metric's type cannot hold the value.
    """
    message = pb.Payload(timestamp=now_ns // _NS_PER_MS)
    metric = message.metrics.add(name=name, datatype=datatype, timestamp=now_ns // _NS_PER_MS)
    if alias is not None:
        metric.alias = alias
    _set(metric, datatype, value)
    return message.SerializeToString()


def _set(metric: pb.Metric, datatype: int, value: Value) -> None:
    if datatype == BOOLEAN:
        if value not in {False, True}:
            raise SparkplugError(f"{value} is neither true nor false")
        metric.boolean_value = bool(value)
    elif datatype in {STRING, TEXT}:
        metric.string_value = str(value)
    elif isinstance(value, str) or not math.isfinite(value):
        raise SparkplugError(f"{value} is no number")
    elif datatype == FLOAT:
        metric.float_value = in_single(float(value))
    elif datatype == DOUBLE:
        metric.double_value = float(value)
    elif datatype in _SIGNED or datatype in _UNSIGNED:
        bits = _SIGNED.get(datatype) or _UNSIGNED[datatype]
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if datatype in _SIGNED else (0, (1 << bits) - 1)
        if value != int(value) or not low <= value <= high:
            raise SparkplugError(f"{value} is no whole number in {low}..{high}")
        width = 32 if bits <= 32 else 64
        setattr(metric, "int_value" if bits <= 32 else "long_value", int(value) & (1 << width) - 1)
    else:
        raise SparkplugError(f"a metric of type {datatype} cannot be commanded")


def in_single(value: float) -> float:
    """The nearest single-precision number.

    Raises:
        SparkplugError: it is too large for one.
    """
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError as error:
        raise SparkplugError(f"{value} is too large for a single-precision number") from error
