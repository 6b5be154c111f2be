"""The orders that stand: what is in force at a moment follows from the accepted orders and the moment alone.

In a slot (:data:`~scada.apps.dispatch.orders.Slot`) the highest priority goes first. Of one priority the order that began last is
meant; of those that begin together the one that was issued last, then the one that was accepted last. It replaces those before it
for good: when it ends, its priority is empty, and the next lower one takes its turn again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from scada.apps.dispatch.orders import Held, OrderKey, Slot, StandingOrder
from scada.core.clock import NS_PER_S

LINGER_NS = 60 * NS_PER_S
"""How long an order is kept after it was replaced."""


class OrderBook:
    """Accepted set-points, modes and limits. Slots are independent of each other."""

    def __init__(self) -> None:
        self._slots: dict[Slot, list[Held]] = {}
        self._number = 0
        self._told: set[int] = set()

    def add(self, order: StandingOrder, start_ns: int, low: float, high: float) -> Held:
        """Accept an order that begins at ``start_ns``."""
        self._number += 1
        if _at_once(order, start_ns):  # a clock that was set back puts no order behind those that came before it
            before = [held.start_ns for held in self._slots.get(order.slot, ()) if _at_once(held.order, held.start_ns)]
            start_ns = max([start_ns, *(one + 1 for one in before if one > start_ns)])
        held = Held(order, self._number, start_ns, low, high)
        self._slots.setdefault(order.slot, []).append(held)
        return held

    def end(self, key: OrderKey, now_ns: int) -> Held | None:
        """End an order before its time; None if it stands no more."""
        for orders in self._slots.values():
            for place, held in enumerate(orders):
                if held.order.key == key and not _is_over(held, now_ns):
                    orders[place] = ended = replace(held, ended_ns=now_ns)
                    return ended
        return None

    def __iter__(self) -> Iterator[Held]:
        for orders in self._slots.values():
            yield from orders

    def waiting(self, slot: Slot, sender: str, now_ns: int) -> int:
        """Orders of a sender that begin later."""
        return sum(held.start_ns > now_ns and held.order.sender == sender for held in self._slots.get(slot, ()))

    def at(self, slot: Slot, now_ns: int) -> Held | None:
        """What is in force of a slot at a moment."""
        levels = sorted(self._levels(slot, now_ns, set_back=True), reverse=True)
        return next((held for _, held in levels if not _is_over(held, now_ns)), None)

    def level(self, slot: Slot, priority: int, now_ns: int) -> Held | None:
        """The order of one priority that is meant at a moment."""
        held = dict(self._levels(slot, now_ns, set_back=True)).get(priority)
        return None if held is None or _is_over(held, now_ns) else held

    def in_force(self, now_ns: int) -> dict[Slot, Held]:
        """What is in force of every slot."""
        return {slot: held for slot in self._slots if (held := self.at(slot, now_ns)) is not None}

    def _levels(self, slot: Slot, now_ns: int, *, set_back: bool = False) -> list[tuple[int, Held]]:
        """What is meant of each priority; ``set_back``: what began at once has begun, though the clock now says it is earlier."""
        found: dict[int, Held] = {}
        for held in self._slots.get(slot, ()):
            begun = held.start_ns <= now_ns or (set_back and _at_once(held.order, held.start_ns))
            begun = begun and not (held.ended_ns and held.ended_ns <= held.start_ns)
            level = held.order.priority
            if begun and (level not in found or _place(held) > _place(found[level])):
                found[level] = held
        return list(found.items())

    def expired(self, now_ns: int) -> list[StandingOrder]:
        """Orders whose validity has ended since the last call; what can never be in force again is forgotten."""
        over = []
        for slot in list(self._slots):
            meant = [held for _, held in self._levels(slot, now_ns)]
            over += [held for held in meant if _is_over(held, now_ns) and not held.ended_ns and held.number not in self._told]
            self._slots[slot] = list(self._still_meant(slot, now_ns))
            if not self._slots[slot]:
                del self._slots[slot]
        self._told = {held.number for held in self if held.number in self._told} | {held.number for held in over}
        return [held.order for held in over]

    def _still_meant(self, slot: Slot, now_ns: int) -> Iterable[Held]:
        """Those that can be in force now or later; what is replaced stays a little longer, in case the newer one is refused."""
        moments = (now_ns, now_ns - LINGER_NS)
        meant = {held.number for moment in moments for _, held in self._levels(slot, moment) if not _is_over(held, moment)}
        return (
            held
            for held in self._slots[slot]
            if held.number in meant
            or now_ns - LINGER_NS < held.start_ns <= now_ns
            or (held.start_ns > now_ns and not held.ended_ns)
        )


def _place(held: Held) -> tuple[int, int, int]:
    return held.start_ns, held.order.issued_ns, held.number


def _at_once(order: StandingOrder, start_ns: int) -> bool:
    """It began when it was accepted, not at a time that it names."""
    return order.valid_from_ns < start_ns


def _is_over(held: Held, now_ns: int) -> bool:
    return 0 < held.until_ns <= now_ns
