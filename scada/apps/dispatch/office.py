"""The office of dispatch: who may order, what is known, what waits for an operator, who is lost; the desk judges the rest.

Everything that must outlive a restart is in one :class:`OrderRecord` an order; the records and the time say what is in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from scada.apps.dispatch.contracts import NO_LIMITS, Breach, ContractOrder, Contracts
from scada.apps.dispatch.desk import KEEP, DispatchDesk
from scada.apps.dispatch.orders import (
    ACCEPTED,
    Answer,
    EditOrder,
    Held,
    ModeOrder,
    OrderKey,
    ScheduleOrder,
    SetpointOrder,
    Verdict,
)
from scada.apps.dispatch.silence import DispatchSilence
from scada.apps.dispatch.standing import standing_answer
from scada.core.clock import NS_PER_S

PENDING = 50
"""Orders of one dispatcher that may wait for an operator: none keeps the others out."""
KEEP_OVER = 20_000
"""Orders that are over and kept at most, for duplicates and questions; the audit log has them for ever."""
WARN_PART = 0.25
"""Of the time to decide: when so much of it is left, that is told."""

Order = ContractOrder | EditOrder


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """One order and what became of it.

    Attributes:
        method: ``SendSetpoint`` and the like.
        content: the order as it came.
        answer: what became of it.
        within: limits of its contract when it was accepted.
        judged_ns: when it was accepted; 0 = it was not.
        number: orders are numbered as they were accepted.
        ended_ns: when it was withdrawn, lost or overridden; 0 = it was not.
    """

    method: str
    content: bytes
    answer: Answer
    within: tuple[float, float] = NO_LIMITS
    judged_ns: int = 0
    number: int = 0
    ended_ns: int = 0


Keep = Callable[[OrderRecord], None]
"""Puts a record on the disk; what it was before is replaced."""


class DispatchOffice:
    """Takes orders.

    Args:
        desk: judges them.
        contracts: what each dispatcher may order.
        keep: stores a record, before the order is answered.
        silence: who is lost.
    """

    def __init__(self, desk: DispatchDesk, contracts: Contracts, keep: Keep, silence: DispatchSilence) -> None:
        self.desk = desk
        self.contracts = contracts
        self.silence = silence
        self._keep = keep
        self._records: dict[OrderKey, OrderRecord] = {}
        self._orders: dict[OrderKey, Order] = {}
        self._pending: dict[OrderKey, OrderRecord] = {}
        self._number = 0
        self._warned: set[OrderKey] = set()

    # ------------------------------------------------------------------ restart

    def restore(self, records: Iterable[tuple[OrderRecord, Order]]) -> None:
        """Take up the orders of earlier lives, in whatever order they come."""
        for record, order in sorted(records, key=lambda one: one[0].number):
            self._note(order, record)
            self._number = max(self._number, record.number)
            if not record.judged_ns:
                self.desk.answers.append(record.answer)
                continue
            if isinstance(order, ScheduleOrder):
                self.desk.schedule(order, record.judged_ns, record.within)
            elif isinstance(order, EditOrder):
                self.desk.edit(order, record.judged_ns)
            else:
                self.desk.standing.take_again(order, record.judged_ns, record.within)
                if record.ended_ns:
                    self.desk.standing.book.end(order.key, record.ended_ns)
                self.desk.remember([order.key])
            self._show(record.answer)

    def take_over(self, order: Order, method: str, content: bytes, received_ns: int, ended_ns: int = 0) -> None:
        """Judge an accepted order again that was kept by other means than a record; whatever its contract says now.

        Args:
            order: the order.
            method: by which it came.
            content: its octets.
            received_ns: when it came.
            ended_ns: when it was withdrawn, lost or overridden; 0 = it was not.
        """
        if order.key in self._records or self._judge(order, method, content, NO_LIMITS, received_ns).verdict not in ACCEPTED:
            return
        if ended_ns and self.desk.standing.book.end(order.key, ended_ns) is not None:
            record = replace(self._records[order.key], ended_ns=ended_ns)
            self._become(record, Verdict.EXPIRED, "ended", "it had ended before the orders were taken from the audit log")

    # ------------------------------------------------------------------ orders

    def receive(self, order: Order, method: str, content: bytes, now_ns: int) -> Answer:
        """Answer an order that came.

        Args:
            order: the order.
            method: by which it came.
            content: its octets: the same id with others is another order.
            now_ns: the moment.
        """
        known = self._records.get(order.key)
        if known is not None:
            return self._again(order, known, content, now_ns)
        if isinstance(order, EditOrder):
            return self._judge(order, method, content, NO_LIMITS, now_ns)
        self.silence.heard(order.sender)
        breach = self.contracts.breach(order, self._present_mw(order, now_ns), now_ns)
        if breach is not None:
            return self._show(_refused(order, breach, now_ns))
        contract = self.contracts.of(order.sender)
        assert contract is not None
        if contract.decide == "operator":
            return self._wait(order, method, content, int(contract.decide_within_s * NS_PER_S), now_ns)
        return self._judge(order, method, content, self.contracts.limits(order), now_ns)

    def turned_down(self, order: SetpointOrder, code: str, reason: str, now_ns: int) -> Answer:
        """Show an order that was refused before it came here."""
        verdict = Verdict.LATE if code == "late" else Verdict.REFUSED
        return self._show(standing_answer(order, now_ns, (verdict, code, reason)))

    def _again(self, order: Order, known: OrderRecord, content: bytes, now_ns: int) -> Answer:
        """An id that was received before: the same content is told what became of it, another is refused."""
        first = known.answer
        if known.content != content:
            reason = f"order id {order.order_id} belongs to another order"
            answer = replace(_plain(order, now_ns), verdict=Verdict.REFUSED, code="order_id_reused", reason=reason)
            return self._show(answer, beside=True)
        reason = f"received before, {first.verdict.value}; it is not applied again" + (
            f": {first.reason}" if first.reason else ""
        )
        return replace(first, verdict=Verdict.DUPLICATE, code="duplicate", reason=reason, first=first.verdict, received_ns=now_ns)

    def _judge(
        self,
        order: Order,
        method: str,
        content: bytes,
        within: tuple[float, float],
        now_ns: int,
        received_ns: int | None = None,
    ) -> Answer:
        """Have an order judged, and keep it if it was accepted."""
        if isinstance(order, EditOrder):
            answer = self.desk.edit(order, now_ns)
        elif isinstance(order, ScheduleOrder):
            answer = self.desk.schedule(order, now_ns, within)
        else:
            answer = self.desk.stand(order, now_ns, within, received_ns)
        if answer.verdict in ACCEPTED:
            self._number += 1
            self._store(order, OrderRecord(method, content, answer, within, now_ns, self._number))
        return answer

    def _wait(self, order: ContractOrder, method: str, content: bytes, within_ns: int, now_ns: int) -> Answer:
        """Let an order wait for an operator; what cannot be taken at all is refused at once."""
        plain = _plain(order, now_ns)
        if not isinstance(order, ScheduleOrder) and (wrong := self.desk.standing.refusal(order, now_ns)) is not None:
            return self._show(standing_answer(order, now_ns, wrong))
        if not order.order_id or len(order.order_id) > 64:
            text = "an order needs an order_id of 1 to 64 characters"
            return self._show(replace(plain, code="order_id", reason=text))
        if sum(sender == order.sender for sender, _ in self._pending) >= PENDING:
            text = f"{PENDING} orders of {order.sender} wait for an operator already"
            return self._show(replace(plain, code="too_many", reason=text))
        until = now_ns + within_ns
        waiting = replace(plain, verdict=Verdict.PENDING, code="operator", reason="an operator decides", decide_until_ns=until)
        self._store(order, OrderRecord(method, content, waiting, self.contracts.limits(order)))
        return self._show(waiting)

    # ------------------------------------------------------------------ decisions

    def waiting(self, order_id: str, sender: str = "") -> Sequence[OrderRecord]:
        """What waits for an operator under an id, of one sender or (empty) of all."""
        return [one for key, one in self._pending.items() if key[1] == order_id and sender in {"", key[0]}]

    def decide(self, key: OrderKey, user: str, *, accept: bool, reason: str, now_ns: int) -> Answer | None:
        """An operator accepts or refuses what waits; None if it does not wait (any more)."""
        record, order = self._pending.get(key), self._orders.get(key)
        if record is None or order is None or isinstance(order, EditOrder):
            return None
        if record.answer.decide_until_ns <= now_ns:
            return self._become(record, Verdict.EXPIRED, "not_decided", "no operator decided in time")
        if not accept:
            text = f"refused by {user}" + (f": {reason}" if reason else "")
            return self._become(
                replace(record, answer=replace(record.answer, decided_by=user)), Verdict.REFUSED, "operator", text
            )
        breach = self.contracts.breach(order, self._present_mw(order, now_ns), now_ns)
        if breach is not None:
            return self._become(record, Verdict.REFUSED, breach.code, breach.reason)
        came = record.answer.received_ns
        judged = self._judge(order, record.method, record.content, record.within, now_ns, came)
        kept = self._records[key]
        answer = replace(judged, decided_by=user, received_ns=came)
        self._store(order, replace(kept, answer=answer))
        return self._show(answer)

    def withdraw(self, order_id: str, sender: str, reason: str, now_ns: int) -> Answer | None:
        """The dispatcher takes an order back that waits or stands; None if there is none of it that could be."""
        key = (sender, order_id)
        record = self._records.get(key)
        if record is None:
            return None
        if key not in self._pending and self.desk.standing.book.end(key, now_ns) is None:
            return None
        text = f"withdrawn by {sender}" + (f": {reason}" if reason else "")
        return self._become(replace(record, ended_ns=now_ns), Verdict.WITHDRAWN, "withdrawn", text)

    def refuse_mode(self, held: Held, reason: str, now_ns: int) -> Answer:
        """A mode that was accepted here was refused by what it is for: nothing of it stands."""
        return self._end(held, Verdict.REFUSED, "not_taken", reason, now_ns)

    def override(self, held: Held, user: str, now_ns: int) -> Answer:
        """An operator changed what an order ruled: the operator's choice stays, the order is over."""
        text = f"{user} changed it; what the operator chose stays"
        return self._end(held, Verdict.EXPIRED, "overridden", text, now_ns)

    def _end(self, held: Held, verdict: Verdict, code: str, reason: str, now_ns: int) -> Answer:
        """An order that stands ends before its time."""
        key = held.order.key
        self.desk.standing.book.end(key, now_ns)
        return self._become(replace(self._records[key], ended_ns=now_ns), verdict, code, reason)

    # ------------------------------------------------------------------ time

    def beat(self, now_ns: int) -> tuple[list[Answer], list[Answer]]:
        """What time did: orders that ended of themselves, and those of which an operator should decide soon, once each."""
        ended, soon = [], []
        for record in self.pending:
            answer = record.answer
            left, whole = answer.decide_until_ns - now_ns, answer.decide_until_ns - answer.received_ns
            if left <= 0:
                ended.append(self._become(record, Verdict.EXPIRED, "not_decided", "no operator decided in time"))
            elif left <= WARN_PART * whole and answer.key not in self._warned:
                self._warned.add(answer.key)
                soon.append(answer)
        return ended, soon

    def expired(self, key: OrderKey) -> bool:
        """The validity of an order has ended; False = that was known in an earlier life."""
        record = self._records.get(key)
        if record is None or record.answer.verdict not in ACCEPTED:
            return False
        self._become(record, Verdict.EXPIRED, "validity", "its validity ended")
        return True

    def end_of_lost(self, now_ns: int) -> list[Answer]:
        """Set-points that hold until replaced end when their dispatcher has been lost for the hold time."""
        ended = []
        for held in list(self.desk.standing.book):
            order = held.order
            lasting = isinstance(order, SetpointOrder) and not order.valid_until_ns and not held.ended_ns
            if lasting and held.start_ns <= now_ns and self.silence.is_over(order.sender):
                text = f"nothing was heard of {order.sender}; the plan is in force"
                ended.append(self._end(held, Verdict.EXPIRED, "dispatch_lost", text, now_ns))
        return ended

    def standing_senders(self, now_ns: int) -> set[str]:
        """Dispatchers of whom a set-point is in force until it is replaced."""
        return {
            held.order.sender
            for (what, _), held in self.desk.standing.book.in_force(now_ns).items()
            if what == "setpoint" and not held.order.valid_until_ns
        }

    # ------------------------------------------------------------------ what is known

    @property
    def pending(self) -> Sequence[OrderRecord]:
        """What waits for an operator."""
        return list(self._pending.values())

    @property
    def shown(self) -> Sequence[Answer]:
        """What became of the latest orders, latest first; all that waits for an operator is among them."""
        listed = list(reversed(self.desk.answers))
        seen = {one.key for one in listed if one.verdict is Verdict.PENDING}
        return [*(one.answer for key, one in self._pending.items() if key not in seen), *listed]

    def answer(self, order_id: str, sender: str = "") -> Answer | None:
        """What became of an order of this sender, else of the latest of this id; None = none of this id is known."""
        record = self._records.get((sender, order_id))
        if record is None:
            record = next((one for key, one in reversed(self._records.items()) if key[1] == order_id), None)
        if record is not None:
            return record.answer
        return next((one for one in reversed(self.desk.answers) if one.order_id == order_id), None)

    def forget(self, before_ns: int, most: int = KEEP_OVER) -> list[OrderKey]:
        """Drop orders that began before a time, neither stand nor wait, and whose plan is no longer kept; returns their keys.

        They go in the order in which they began: what an order replaced never outlives it, and would stand again.

        Args:
            before_ns: the time.
            most: of later ones that are over, about this many stay; at least 1.
        """
        kept = {held.order.key for held in self.desk.standing.book} | self._pending.keys()
        kept |= {(one.sender, one.order_id) for versions in self.desk.plans.all().values() for one in versions}
        begun = {key: self._began_ns(key) for key in self._records if key not in kept}
        if len(begun) > most:
            before_ns = max(before_ns, sorted(begun.values())[-most])
        old = [key for key, began in begun.items() if began < before_ns]
        for key in old:
            del self._records[key], self._orders[key]
        return old

    def _began_ns(self, key: OrderKey) -> int:
        record, order = self._records[key], self._orders[key]
        return max(getattr(order, "valid_from_ns", 0), record.judged_ns or record.answer.received_ns)

    def _become(self, record: OrderRecord, verdict: Verdict, code: str, reason: str) -> Answer:
        answer = replace(record.answer, verdict=verdict, code=code, reason=reason)
        self._store(self._orders[answer.key], replace(record, answer=answer))
        return self._show(answer)

    def _store(self, order: Order, record: OrderRecord) -> None:
        self._keep(record)
        self._note(order, record)

    def _note(self, order: Order, record: OrderRecord) -> None:
        self._records[order.key], self._orders[order.key] = record, order
        if record.answer.verdict is Verdict.PENDING:
            self._pending[order.key] = record
        else:
            self._pending.pop(order.key, None)
            self._warned.discard(order.key)

    def _show(self, answer: Answer, *, beside: bool = False) -> Answer:
        """Put an answer into the list, in the place of the one before of this order unless it is ``beside`` it."""
        answers = self.desk.answers
        kept = answers if beside else [one for one in answers if one.key != answer.key]
        self.desk.answers = [*kept[-(KEEP - 1) :], answer]
        return answer

    def _present_mw(self, order: ContractOrder, now_ns: int) -> float:
        return self.desk.present_mw(order.unit or order.area, max(now_ns, getattr(order, "valid_from_ns", 0)))


def _plain(order: Order, now_ns: int) -> Answer:
    """An answer without a verdict of its own."""
    if isinstance(order, SetpointOrder | ModeOrder):
        return standing_answer(order, now_ns, (Verdict.REFUSED, "", ""))
    mw = order.mw[0] if isinstance(order, ScheduleOrder) and order.mw else float("nan")
    kind = "schedule" if isinstance(order, ScheduleOrder) else "edit"
    target = order.unit or order.area
    return Answer(order.order_id, order.sender, kind, target, Verdict.REFUSED, "", mw, float("nan"), now_ns, area=order.area)


def _refused(order: ContractOrder, breach: Breach, now_ns: int) -> Answer:
    return replace(_plain(order, now_ns), code=breach.code, reason=breach.reason)
