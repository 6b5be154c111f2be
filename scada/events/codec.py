"""Events, alarms and suppressions as bytes (msgpack of their fields, in order, after a layout number).

Fields are only ever added at the end and with a default: a record of an earlier version is read with the defaults.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from enum import IntEnum
from typing import Any, Final

import msgpack

from scada.events.records import Alarm, AlarmPhase, Event, EventKind, Suppression, SuppressionKind
from scada.model_cim.tables import AlarmClass
from scada.rtdb.lmdb_file import CorruptFileError, seal, unseal

Record = Event | Alarm | Suppression

_LAYOUT: Final = 1
_NAMES: Final = {kind: [field.name for field in fields(kind)] for kind in (Event, Alarm, Suppression)}
_NEEDED: Final = {
    kind: sum(field.default is MISSING and field.default_factory is MISSING for field in fields(kind)) for kind in _NAMES
}
_ENUMS: Final[dict[type[Record], dict[str, type[IntEnum]]]] = {
    Event: {"kind": EventKind, "alarm_class": AlarmClass},
    Alarm: {"phase": AlarmPhase, "alarm_class": AlarmClass, "suppressed": SuppressionKind},
    Suppression: {"kind": SuppressionKind, "was": SuppressionKind},
}


def encode(record: Record) -> bytes:
    """A record with its checksum."""
    packed: bytes = msgpack.packb([_LAYOUT, *(getattr(record, name) for name in _NAMES[type(record)])])
    return seal(packed)


def decode_event(blob: bytes, where: str) -> Event:
    """The event in a blob.

    Raises:
        CorruptFileError: checksum or layout is wrong.
    """
    return Event(**_fields(Event, blob, where))


def event_or_fault(number: int, blob: bytes, time_ns: int, where: str) -> Event:
    """The event in a blob; of a damaged one an event of this number and time that says so."""
    try:
        return decode_event(blob, where)
    except CorruptFileError as error:
        reason = {"reason": f"{error.what}, event {number}"}
        return Event(time_ns, EventKind.SYSTEM, AlarmClass.ABNORMAL, 2, "events.gap", reason, event_id=number)


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


def _fields(kind: type[Record], blob: bytes, where: str) -> dict[str, Any]:
    layout, *values = msgpack.unpackb(unseal(blob, where))
    names = _NAMES[kind]
    if layout != _LAYOUT or not _NEEDED[kind] <= len(values) <= len(names):
        raise CorruptFileError(f"an event record has layout {layout} and {len(values)} fields", where=where)
    found = dict(zip(names, values, strict=False))
    for name, enum in _ENUMS[kind].items():
        if name in found:
            found[name] = enum(found[name])
    return found
