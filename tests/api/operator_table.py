"""Operator data of a backend made of tables: the real rules, marks and values in memory."""

from __future__ import annotations

import math

import numpy as np
from scadapb.v1 import scada_pb2 as pb

from scada.control.operator_data import HOLDS, MarkKind, MarkReading
from scada.control.operator_ledger import OperatorLedger
from scada.core.errors import StoreError
from scada.core.quality import Quality
from scada.model_cim.objects import PlantObjects

_SHOWN = {
    MarkKind.SUBSTITUTE: int(Quality.SUBSTITUTED | Quality.MANUAL),
    MarkKind.BLOCK: int(Quality.OPERATOR_BLOCKED),
}


_NAMES = {
    "HoldRequest": "hold",
    "ReleaseRequest": "release",
    "TagRequest": "tag",
    "NoteRequest": "note",
    "RemoveRequest": "remove",
}


class AuditTable:
    """An audit log that only remembers what it was told."""

    def __init__(self) -> None:
        self.told: list = []

    def tell(self, *rows):
        self.told += rows

    async def store(self, *rows):
        self.told += rows

    async def query(self, wanted):
        return pb.AuditPage()

    async def export(self, wanted, form):
        yield b""

    async def checkpoint(self, since):
        return None

    async def prove(self, record):
        raise StoreError("no such record")


class OperatorTable:
    """Mixed into a backend with ``tables``, ``clock``, ``value``, ``quality``, ``report``, ``_acts`` and ``_show``.

    ``_acts(name, request, principal, evidence)`` notes what arrived; ``_show(pids, values, qualities)`` writes the image past the
    hold; ``aside(pids, values, qualities)`` is asked by the backend what of a batch the points may show.
    """

    def keep_operator_data(self, model=None) -> None:
        """Start with no marks."""
        self.objects = PlantObjects(self.tables, model)
        self.ledger = OperatorLedger(self.tables, self.objects, self.clock)
        self.behind: dict[int, tuple[float, int]] = {}
        self.rows: list = []
        self.audit = AuditTable()

    def aside(self, pids, values, words):
        """What a source sent for held points is kept behind; the mask of what may be shown."""
        free = np.array([int(pid) not in self.behind for pid in pids], dtype=np.bool_)
        for pid, value, word in zip(pids[~free], values[~free], words[~free], strict=True):
            self.behind[int(pid)] = (float(value), int(word))
        return free

    def _carry_out(self, decision, request, principal, evidence):
        self._acts(_NAMES[type(request).__name__], request, principal, evidence)
        self.rows.append(decision.row)
        self.ledger.take(decision)
        if decision.event is not None:
            self.report(decision.event)
        point = self.tables.by_mrid.get(getattr(request, "point", ""))
        if decision.reply.accepted and point is not None:
            self._move(int(point.pid), decision.placed)
        return decision.reply

    def _move(self, pid, mark):
        present = (float(self.value[pid]), int(self.quality[pid]))
        value, word = self.behind.setdefault(pid, present)
        if mark is None:
            del self.behind[pid]
        elif mark.kind is MarkKind.BLOCK:
            value, word = present[0], (present[1] & ~_SHOWN[MarkKind.SUBSTITUTE]) | _SHOWN[MarkKind.BLOCK]
        else:
            value, word = mark.value, _SHOWN[MarkKind.SUBSTITUTE]
        self._show(np.array([pid], np.uint32), np.array([value]), np.array([word], np.uint32))

    async def hold_point(self, request, principal, evidence):
        value = None if request.block else request.value
        decision = self.ledger.hold(request.point, value, request.reason, principal, evidence)
        return self._carry_out(decision, request, principal, evidence)

    async def release_point(self, request, principal, evidence):
        decision = self.ledger.release(request.point, request.reason, principal, evidence)
        return self._carry_out(decision, request, principal, evidence)

    async def place_tag(self, request, principal, evidence):
        decision = self.ledger.place_tag(request.object, request.type, request.reason, principal, evidence)
        return self._carry_out(decision, request, principal, evidence)

    async def add_note(self, request, principal, evidence):
        decision = self.ledger.add_note(request.object, request.text, principal, evidence)
        return self._carry_out(decision, request, principal, evidence)

    async def remove_mark(self, request, principal, evidence):
        decision = self.ledger.remove(request.mark_id, request.reason, principal, evidence)
        return self._carry_out(decision, request, principal, evidence)

    def operator_marks(self, station=""):
        readings = []
        for mark in self.ledger.marks():
            if station not in ("", mark.station):
                continue
            point = self.tables.by_mrid.get(mark.mrid)
            pid = -1 if point is None else int(point.pid)
            if mark.kind in HOLDS and pid >= 0:
                readings.append(MarkReading(mark, pid, float(self.value[pid]), *self.behind.get(pid, (math.nan, 0))))
            else:
                readings.append(MarkReading(mark, pid))
        return readings
