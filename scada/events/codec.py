"""Events and alarms as bytes (msgpack of their fields, in order, after a layout number)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

import msgpack

from scada.events.records import Alarm, AlarmPhase, Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.rtdb.lmdb_file import CorruptFileError, seal, unseal

_LAYOUT: Final = 1
_NAMES: Final = {kind: [field.name for field in fields(kind)] for kind in (Event, Alarm)}
_ENUMS: Final = {"kind": EventKind, "alarm_class": AlarmClass, "phase": AlarmPhase}


def encode(record: Event | Alarm) -> bytes:
    """A record with its checksum."""
    packed: bytes = msgpack.packb([_LAYOUT, *(getattr(record, name) for name in _NAMES[type(record)])])
    return seal(packed)


def decode_event(blob: bytes, where: str) -> Event:
    """The event in a blob.

    Raises:
        CorruptFileError: checksum or layout is wrong.
    """
    return Event(**_fields(Event, blob, where))


def decode_alarm(blob: bytes, where: str) -> Alarm:
    """The alarm in a blob.

    Raises:
        CorruptFileError: checksum or layout is wrong.
    """
    return Alarm(**_fields(Alarm, blob, where))


def _fields(kind: type[Event | Alarm], blob: bytes, where: str) -> dict[str, Any]:
    layout, *values = msgpack.unpackb(unseal(blob, where))
    names = _NAMES[kind]
    if layout != _LAYOUT or len(values) != len(names):
        raise CorruptFileError(f"an event record has layout {layout} and {len(values)} fields", where=where)
    return {name: _ENUMS[name](value) if name in _ENUMS else value for name, value in zip(names, values, strict=True)}
