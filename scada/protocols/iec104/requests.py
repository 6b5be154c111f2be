"""What a controlled station answers to system commands of one master: interrogations, read, clock, test, reset (5-101, 7.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from scada.protocols.iec104 import counters, cp56
from scada.protocols.iec104.asdu import GENERAL_COUNTER_REQUEST, GENERAL_INTERROGATION, Asdu, Cause, InformationObject, TypeId
from scada.protocols.iec104.counters import Counters
from scada.protocols.iec104.image import Rows

if TYPE_CHECKING:
    from scada.protocols.iec104.outstation import Outstation

_TEST_BIT: Final = 0x80
_INTERROGATIONS: Final = frozenset({TypeId.C_IC_NA_1, TypeId.C_CI_NA_1})


@dataclass(frozen=True, slots=True)
class Piece:
    """An ASDU to be sent.

    Attributes:
        data: its octets.
        rows: rows of the image whose present value is in it.
        renews: it is one of the states that are told anew because events of them were lost.
    """

    data: bytes
    rows: Rows | None = None
    renews: bool = False


class Requests:
    """The requests of one connection, and the interrogations that run on it.

    A second interrogation of the same kind begins anew, is confirmed, and both end with one termination.

    Args:
        station: the station.
        own: what its group freezes and resets.
    """

    def __init__(self, station: Outstation, own: Counters) -> None:
        self._station = station
        self._counters = own
        self._running: dict[tuple[int, int, int], Iterator[Piece]] = {}

    @property
    def running(self) -> bool:
        """An interrogation goes on."""
        return bool(self._running)

    def clear(self) -> None:
        """End the interrogations without a word; the connection is gone or stopped."""
        self._running.clear()

    def next(self) -> Piece | None:
        """Next ASDU of the interrogations, made now so that it is never older than an event sent before it; None = all done."""
        while self._running:
            key, pieces = next(iter(self._running.items()))
            piece = next(pieces, None)
            if piece is not None:
                return piece
            del self._running[key]
        return None

    def answer(self, asdu: Asdu) -> list[Asdu | bytes]:
        """Answers to a request whose type, common address and object address are known, in order."""
        if asdu.type_id in _INTERROGATIONS and asdu.cause == Cause.DEACTIVATION:
            stopped = self._running.pop(_key(asdu), None) is not None
            return [asdu.mirror(Cause.DEACTIVATION_CON, negative=not stopped)]
        if asdu.cause != (Cause.REQUEST if asdu.type_id == TypeId.C_RD_NA_1 else Cause.ACTIVATION):
            return [asdu.mirror(Cause.UNKNOWN_CAUSE, negative=True)]
        serve = {
            TypeId.C_IC_NA_1: self._interrogate,
            TypeId.C_CI_NA_1: self._count,
            TypeId.C_RD_NA_1: self._read,
            TypeId.C_CS_NA_1: self._synchronise,
            TypeId.C_RP_NA_1: self._reset,
        }.get(TypeId(asdu.type_id), _echo)
        return serve(asdu)

    # ------------------------------------------------------------------ one request each

    def _interrogate(self, asdu: Asdu) -> list[Asdu | bytes]:
        group = asdu.objects[0].element[0] - GENERAL_INTERROGATION
        if not 0 <= group <= 16 or (group and not self._station.image.segments(asdu.common_address, group=group)):
            return [asdu.mirror(Cause.ACTIVATION_CON, negative=True)]
        self._running.pop(_key(asdu), None)
        self._running[_key(asdu)] = self._values(asdu, group)
        return [asdu.mirror(Cause.ACTIVATION_CON)]

    def _values(self, asdu: Asdu, group: int) -> Iterator[Piece]:
        image = self._station.image
        cause = (Cause.INTERROGATED + group) | (_TEST_BIT if asdu.test else 0)
        for type_id, rows, sequence in image.pieces(image.segments(asdu.common_address, group=group)):
            yield Piece(image.asdu(type_id, cause, rows, sequence=sequence, originator=asdu.originator), rows)
        yield Piece(asdu.mirror(Cause.ACTIVATION_TERM).encode())

    def _count(self, asdu: Asdu) -> list[Asdu | bytes]:
        request, mode = asdu.objects[0].element[0] & 0x3F, asdu.objects[0].element[0] >> 6
        group = 0 if request == GENERAL_COUNTER_REQUEST else request
        known = 1 <= request <= GENERAL_COUNTER_REQUEST
        if not known or not self._station.image.segments(asdu.common_address, counters=True, group=group):
            return [asdu.mirror(Cause.ACTIVATION_CON, negative=True)]
        confirmation = asdu.mirror(Cause.ACTIVATION_CON)
        if mode != counters.READ:
            if not asdu.test:
                self._counters.freeze(asdu.common_address, group, mode)
            return [confirmation, asdu.mirror(Cause.ACTIVATION_TERM)]
        self._running.pop(_key(asdu), None)
        self._running[_key(asdu)] = self._readings(asdu, group)
        return [confirmation]

    def _readings(self, asdu: Asdu, group: int) -> Iterator[Piece]:
        cause = (Cause.COUNTER_INTERROGATED + group) | (_TEST_BIT if asdu.test else 0)
        for data in self._counters.asdus(asdu.common_address, group, cause, asdu.originator):
            yield Piece(data)
        yield Piece(asdu.mirror(Cause.ACTIVATION_TERM).encode())

    def _read(self, asdu: Asdu) -> list[Asdu | bytes]:
        image = self._station.image
        row = image.row(asdu.common_address, asdu.objects[0].ioa)
        if row < 0:
            return [asdu.mirror(Cause.UNKNOWN_OBJECT_ADDRESS, negative=True)]
        cause = Cause.REQUEST | (_TEST_BIT if asdu.test else 0)
        return [image.asdu(int(image.base_type[row]), cause, np.array([row]), originator=asdu.originator)]

    def _synchronise(self, asdu: Asdu) -> list[Asdu | bytes]:
        """Confirm with the clock as it was before setting (5-101, 7.4.6.4)."""
        station = self._station
        zone = station.parameters.zone_minutes
        before = station.now_ns()
        sent_ns, _ = cp56.from_octets(asdu.objects[0].element, before, zone, station.parameters.summer_minutes)
        if not sent_ns:
            return [asdu.mirror(Cause.ACTIVATION_CON, negative=True)]
        if not asdu.test:
            station.clock_asked(sent_ns - before)
        octets = cp56.to_octets(before, zone)
        confirmation = (InformationObject(0, octets),)
        return [replace(asdu, cause=Cause.ACTIVATION_CON, objects=confirmation, body=b"", sequence=False)]

    def _reset(self, asdu: Asdu) -> list[Asdu | bytes]:
        """The owner decides; a test of the way resets nothing."""
        accepted = asdu.test or self._station.reset_asked(asdu.objects[0].element[0])
        return [asdu.mirror(Cause.ACTIVATION_CON, negative=not accepted)]


def _echo(asdu: Asdu) -> list[Asdu | bytes]:
    """A test command: what came goes back."""
    return [asdu.mirror(Cause.ACTIVATION_CON)]


def _key(asdu: Asdu) -> tuple[int, int, int]:
    """Common address, type and group; the freeze bits do not tell interrogations apart."""
    return asdu.common_address, asdu.type_id, asdu.objects[0].element[0] & (0x3F if asdu.type_id == TypeId.C_CI_NA_1 else 0xFF)
