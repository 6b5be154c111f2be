"""The ledger of operator data: every mark, and the rules by which marks come and go. Pure: an order in, a decision out.

The owner of :class:`OperatorLedger` carries out a :class:`Decision` in this order: audit row, durable marks,
:meth:`OperatorLedger.take`, then the database is told to hold or to let go.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scada.control.operator_data import HOLDS, Mark, MarkKind, MarkReply, value_text, value_wrong
from scada.control.records import Principal
from scada.control.tags import TAG_TYPES
from scada.core.clock import Clock
from scada.events.records import Event, EventKind
from scada.model_cim.objects import ObjectKind, PlantObject, PlantObjects
from scada.model_cim.tables import AlarmClass, ModelTables
from scada.security.areas import AreaTree
from scada.security.audit import AuditRecord, AuditRow
from scada.security.roles import Right, is_responsible

LONGEST_TEXT: Final = 500
"""Characters of a reason or a note."""
MOST_MARKS: Final = 20_000
"""Marks kept at a time; an order beyond is refused."""

_TAGGABLE = {ObjectKind.POINT, ObjectKind.EQUIPMENT, ObjectKind.BAY, ObjectKind.VOLTAGE_LEVEL, ObjectKind.STATION}
_KIND_OF = {"substitute": MarkKind.SUBSTITUTE, "block": MarkKind.BLOCK, "tag": MarkKind.TAG, "note": MarkKind.NOTE}
_DONE = {
    "substitute": "operator.substituted",
    "block": "operator.blocked",
    "release": "operator.released",
    "tag": "operator.tagged",
    "note": "operator.noted",
    "remove": "operator.unnoted",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What an order comes to.

    Attributes:
        reply: answer for the operator, once everything below is done.
        row: goes to the audit log before anything else.
        placed: mark to keep, None if none.
        removed: marks to drop in the same transaction.
        event: tell everyone, None if there is nothing to tell.
    """

    reply: MarkReply
    row: AuditRow
    placed: Mark | None = None
    removed: tuple[Mark, ...] = ()
    event: Event | None = None


class RefusedError(Exception):
    """An order is refused; for use within this module."""

    def __init__(self, code: str, reason: str, found: PlantObject | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason
        self.found = found


@dataclass(frozen=True, slots=True)
class Order:
    """Who asks, with what evidence, for what.

    Attributes:
        step: ``substitute``, ``block``, ``release``, ``tag``, ``note`` or ``remove``.
        mrid: the object named.
        reason: why; the text of a note.
        principal: who.
        evidence: the signed envelope.
        value: value to substitute.
        detail: tag type.
    """

    step: str
    mrid: str
    reason: str
    principal: Principal
    evidence: bytes = b""
    value: float = math.nan
    detail: str = ""


class OperatorLedger:
    """Every mark, and the rules by which marks come and go.

    Args:
        tables: the model.
        objects: its objects.
        clock: stamps.
        marks: marks kept from before.
        next_id: number of the next mark; higher than any ever given.
    """

    def __init__(
        self, tables: ModelTables, objects: PlantObjects, clock: Clock, marks: Iterable[Mark] = (), next_id: int = 1
    ) -> None:
        self._tables = tables
        self._objects = objects
        self._clock = clock
        self._marks = {mark.mark_id: mark for mark in marks}
        self.next_id = max(next_id, *(number + 1 for number in self._marks), 1)

    # ------------------------------------------------------------------ what stands

    def marks(self) -> list[Mark]:
        """Every mark, the oldest first."""
        return [self._marks[number] for number in sorted(self._marks)]

    def hold_on(self, mrid: str) -> Mark | None:
        """The mark that holds a point."""
        return next((mark for mark in self._marks.values() if mark.kind in HOLDS and mark.mrid == mrid), None)

    def orphans(self) -> list[Mark]:
        """Marks whose object the present model does not have; they are kept, and count for nothing until it is back."""
        return [mark for mark in self.marks() if self._objects.find(mark.mrid) is None]

    def holds(self) -> dict[int, Mark]:
        """Marks that hold a point of the present model, by pid."""
        found = ((self._objects.find(mark.mrid), mark) for mark in self.marks() if mark.kind in HOLDS)
        return {each.pid: mark for each, mark in found if each is not None and each.pid >= 0}

    # ------------------------------------------------------------------ orders

    def hold(self, mrid: str, value: float | None, reason: str, principal: Principal, evidence: bytes = b"") -> Decision:
        """Substitute a point's value, or (``None``) block the point at its present one. An earlier hold is replaced."""
        step = "block" if value is None else "substitute"
        return self._judge(Order(step, mrid, reason, principal, evidence, math.nan if value is None else value))

    def release(self, mrid: str, reason: str, principal: Principal, evidence: bytes = b"") -> Decision:
        """Show what the point's source says again."""
        return self._judge(Order("release", mrid, reason, principal, evidence))

    def place_tag(self, mrid: str, tag_type: str, reason: str, principal: Principal, evidence: bytes = b"") -> Decision:
        """Hang a tag on a point, equipment, bay, voltage level or station."""
        return self._judge(Order("tag", mrid, reason, principal, evidence, detail=tag_type))

    def add_note(self, mrid: str, text: str, principal: Principal, evidence: bytes = b"") -> Decision:
        """Write a note to an object."""
        return self._judge(Order("note", mrid, text, principal, evidence))

    def remove(self, mark_id: int, reason: str, principal: Principal, evidence: bytes = b"") -> Decision:
        """Take down a tag or remove a note."""
        mark = self._marks.get(mark_id)
        return self._judge(Order("remove", mark.mrid if mark else "", reason, principal, evidence), mark)

    def take(self, decision: Decision) -> None:
        """Make a decision true, once its marks are durable."""
        for mark in decision.removed:
            self._marks.pop(mark.mark_id, None)
        if decision.placed is not None:
            self._marks[decision.placed.mark_id] = decision.placed

    # ------------------------------------------------------------------ judging

    def _judge(self, order: Order, mark: Mark | None = None) -> Decision:
        try:
            return self._accept(order, mark)
        except RefusedError as refused:
            return self._refuse(order, refused)

    def _accept(self, order: Order, mark: Mark | None) -> Decision:
        self._check_right(order)
        if order.step == "remove":
            if mark is None or mark.kind in HOLDS:
                what = "it holds a value: release the point" if mark else "no such mark: it was removed, or never placed"
                raise RefusedError("unknown_mark", what)
            return self._take_down(order, mark)
        if order.step == "release":
            held = self.hold_on(order.mrid)
            if held is None:
                raise RefusedError("not_held", "the point is neither substituted nor blocked", self._objects.find(order.mrid))
            return self._take_down(order, held)
        return self._place(order)

    def _check_right(self, order: Order) -> None:
        right = Right.SUBSTITUTE if order.step in ("substitute", "block", "release") else Right.TAG
        if right not in order.principal.rights:
            raise RefusedError("no_right", f"{order.principal.name} does not have the right {right}")
        if not order.principal.station:
            raise RefusedError("no_workstation", "the session does not name the workstation it comes from")

    def _check_area(self, principal: Principal, station: str, mrid: str, path: str, found: PlantObject | None) -> None:
        tree = AreaTree.of(self._tables)
        places = (mrid, *tree.of_station(station)) if found is None else tree.of_object(found)
        if not is_responsible(principal, *places):
            raise RefusedError("no_area", f"{path} is outside {principal.name}'s area of responsibility", found)

    def _place(self, order: Order) -> Decision:
        found = self._objects.find(order.mrid)
        holds = order.step in ("substitute", "block")
        if found is None or (holds and found.pid < 0):
            what = "point" if holds else "object"
            raise RefusedError(f"unknown_{what}", f"the model has no such {what}")
        self._check_area(order.principal, found.station, found.mrid, found.path, found)
        reason = _text(order.reason, "a note" if order.step == "note" else "a reason", found)
        if order.step == "tag":
            self._check_tag(order.detail, found)
        if order.step == "substitute" and (wrong := value_wrong(self._tables.points[found.pid], order.value)):
            raise RefusedError(*wrong, found)
        old = self.hold_on(order.mrid) if holds else None
        if old is None and len(self._marks) >= MOST_MARKS:
            raise RefusedError("too_many", f"there are {MOST_MARKS} marks already: remove some", found)
        number, self.next_id = self.next_id, self.next_id + 1
        mark = Mark(
            mark_id=number,
            kind=_KIND_OF[order.step],
            mrid=found.mrid,
            path=found.path,
            station=found.station,
            value=order.value,
            tag_type=order.detail,
            reason=reason,
            user=order.principal.name,
            workstation=order.principal.station,
            placed_ns=self._clock.now_ns(),
        )
        told = f"replaces what {old.user} held" if old else ""
        return Decision(
            reply=MarkReply(True, "replaced" if old else "", told, number),
            row=_row(order, mark, code="replaced" if old else "accepted", old=old.value if old else math.nan),
            placed=mark,
            removed=(old,) if old else (),
            event=self._event(_DONE[order.step], mark, order.principal, reason),
        )

    def _check_tag(self, tag_type: str, found: PlantObject) -> None:
        if tag_type not in TAG_TYPES:
            raise RefusedError("unknown_type", f"no such tag type; there are {', '.join(TAG_TYPES)}", found)
        if found.kind not in _TAGGABLE:
            raise RefusedError("not_taggable", "a tag hangs on a point, equipment, bay, voltage level or station", found)

    def _take_down(self, order: Order, mark: Mark) -> Decision:
        found = self._objects.find(mark.mrid)
        self._check_area(order.principal, found.station if found else mark.station, mark.mrid, mark.path, found)
        reason = _text(order.reason, "a reason", found)
        key = "operator.untagged" if mark.kind is MarkKind.TAG else _DONE[order.step]
        return Decision(
            reply=MarkReply(True, mark_id=mark.mark_id),
            row=_row(order, mark, code="accepted", old=mark.value),
            removed=(mark,),
            event=self._event(key, mark, order.principal, reason),
        )

    def _refuse(self, order: Order, refused: RefusedError) -> Decision:
        found, by = refused.found, order.principal
        row = AuditRow(
            kind="operator",
            step=f"{order.step}_refused",
            actor=by.name,
            station=by.station,
            session=by.session,
            mrid=order.mrid[:64],
            path=found.path if found else "",
            value=order.value,
            code=f"refused:{refused.code}",
            reason=refused.reason,
            evidence=order.evidence,
        )
        event = None
        if found is not None:
            event = Event(
                time_ns=self._clock.now_ns(),
                kind=EventKind.OPERATOR,
                alarm_class=AlarmClass.NOTICE,
                priority=4,
                key="operator.refused",
                parameters={"object": found.path, "reason": refused.reason, "code": refused.code, "user": by.name},
                pid=found.pid,
                mrid=found.mrid,
                station=found.station,
                path=found.path,
                actor=by.name,
            )
        return Decision(MarkReply(False, refused.code, refused.reason), row, event=event)

    def _event(self, key: str, mark: Mark, by: Principal, reason: str) -> Event:
        found = self._objects.find(mark.mrid)
        pid = found.pid if found else -1
        parameters = {
            "object": mark.path,
            "mark": str(mark.mark_id),
            "user": by.name,
            "workstation": by.station,
            "reason": reason,
            "placed_by": mark.user,
        }
        if mark.tag_type:
            parameters["tag_type"] = mark.tag_type
        if mark.kind is MarkKind.SUBSTITUTE and pid >= 0:
            parameters["value"] = value_text(self._tables.points[pid], mark.value)
        return Event(
            time_ns=self._clock.now_ns(),
            kind=EventKind.OPERATOR,
            alarm_class=AlarmClass.NOTICE,
            priority=3,
            key=key,
            parameters=parameters,
            pid=pid,
            mrid=mark.mrid,
            station=mark.station,
            path=mark.path,
            value=mark.value,
            actor=by.name,
        )


def _text(given: str, what: str, found: PlantObject | None) -> str:
    """A reason or a note, trimmed; mandatory, bounded, of characters that can be shown."""
    text = given.strip()
    if not text:
        raise RefusedError("no_reason", f"{what} is mandatory", found)
    if len(text) > LONGEST_TEXT:
        raise RefusedError("too_long", f"{what} has at most {LONGEST_TEXT} characters, not {len(text)}", found)
    if any(unicodedata.category(letter)[0] == "C" and letter != "\n" for letter in text):
        raise RefusedError("bad_text", f"{what} must not have control characters", found)
    return text


def _row(order: Order, mark: Mark, *, code: str, old: float) -> AuditRow:
    by = order.principal
    return AuditRow(
        kind="operator",
        step=order.step,
        actor=by.name,
        station=by.station,
        session=by.session,
        sequence_id=str(mark.mark_id),
        mrid=mark.mrid,
        path=mark.path,
        old=old,
        value=order.value,
        code=f"{code}:{mark.tag_type}" if mark.tag_type else code,
        reason=order.reason.strip(),
        evidence=order.evidence,
    )


def marks_from_audit(records: Iterable[AuditRecord], objects: PlantObjects) -> list[Mark]:
    """The marks that the accepted orders of an audit log leave standing; for a store that was lost.

    Args:
        records: the audit log, oldest first.
        objects: gives the stations of objects that the model still has.
    """
    standing: dict[str, Mark] = {}
    before: dict[str, Mark | None] = {}
    for record in records:
        row = record.row
        number = row.sequence_id
        if row.kind != "operator" or not number:
            continue
        if row.step == "failed":  # what was audited did not become durable
            standing.pop(number, None)
            undone = before.pop(number, None)
            if undone is not None:
                standing[str(undone.mark_id)] = undone
        elif row.step in ("release", "remove"):
            before[number] = standing.pop(number, None)
        elif row.step in _KIND_OF:
            mark = _mark_of(record, objects)
            same = (key for key, old in standing.items() if mark.kind in HOLDS and old.kind in HOLDS and old.mrid == mark.mrid)
            replaced = next(same, "")
            before[number] = standing.pop(replaced, None)
            standing[number] = mark
    return sorted(standing.values(), key=lambda mark: mark.mark_id)


def _mark_of(record: AuditRecord, objects: PlantObjects) -> Mark:
    row = record.row
    found = objects.find(row.mrid)
    return Mark(
        mark_id=int(row.sequence_id),
        kind=_KIND_OF[row.step],
        mrid=row.mrid,
        path=row.path,
        station=found.station if found else "",
        value=row.value,
        tag_type=row.code.partition(":")[2],
        reason=row.reason,
        user=row.actor,
        workstation=row.station,
        placed_ns=record.time_ns,
    )
