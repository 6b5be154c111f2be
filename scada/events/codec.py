"""Events, alarms and suppressions as bytes (msgpack of their fields, in order, after a layout number).

New fields come last and have a default, so that records of older versions can be read.
"""

from __future__ import annotations

from dataclasses import fields
from enum import IntEnum
from typing import Any, Final

import msgpack

from scada.events.records import Alarm, AlarmPhase, Event, EventKind, Suppression, SuppressionKind
from scada.model_cim.tables import AlarmClass
from scada.rtdb.lmdb_file import CorruptFileError, seal, unseal

_LAYOUT: Final = 1
_RECORDS: Final = (Event, Alarm, Suppression)
_NAMES: Final = {kind: [field.name for field in fields(kind)] for kind in _RECORDS}
_FIRST: Final = {Event: len(_NAMES[Event]), Alarm: _NAMES[Alarm].index("bay"), Suppression: len(_NAMES[Suppression])}
"""How many fields the oldest version had."""
_ENUMS: Final[dict[type, dict[str, type[IntEnum]]]] = {
    Event: {"kind": EventKind, "alarm_class": AlarmClass},
    Alarm: {"alarm_class": AlarmClass, "phase": AlarmPhase, "suppressed": SuppressionKind},
    Suppression: {"kind": SuppressionKind},
}


def encode(record: Event | Alarm | Suppression) -> bytes:
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


def decode_suppression(blob: bytes, where: str) -> Suppression:
    """The suppression in a blob.

    Raises:
        CorruptFileError: checksum or layout is wrong.
    """
    return Suppression(**_fields(Suppression, blob, where))


def _fields(kind: type[Event | Alarm | Suppression], blob: bytes, where: str) -> dict[str, Any]:
    layout, *values = msgpack.unpackb(unseal(blob, where))
    names, enums = _NAMES[kind], _ENUMS[kind]
    if layout != _LAYOUT or not _FIRST[kind] <= len(values) <= len(names):
        raise CorruptFileError(f"an event record has layout {layout} and {len(values)} fields", where=where)
    return {name: enums[name](value) if name in enums else value for name, value in zip(names, values, strict=False)}
