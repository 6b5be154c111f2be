"""Replies and words about orders; those to modes wait for AGC or AVC, while every other order is answered."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scadapb.v1 import scada_pb2 as pb

from scada.apps.dispatch.orders import Answer, OrderKey, Verdict
from scada.core.clock import Clock

ANSWER_S: Final = 3.0
"""Longest wait; then the reply says that they have not answered."""

Reply = Callable[[pb.DispatchReply], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    key: OrderKey
    reply: Reply
    until: float
    """Monotonic s."""


class WaitingReplies:
    """Who waits for the reply to an order of a mode.

    Args:
        asks: AGC or AVC has been asked for an order and has not answered.
        clock: deadlines.
    """

    def __init__(self, asks: Callable[[OrderKey], bool], clock: Clock) -> None:
        self._asks = asks
        self._clock = clock
        self._waiting: list[_Waiting] = []

    def add(self, key: OrderKey, reply: Reply) -> None:
        """Answer an order later."""
        self._waiting.append(_Waiting(key, reply, self._clock.monotonic() + ANSWER_S))

    def due(self) -> list[tuple[OrderKey, Reply]]:
        """Those to be answered now: what became of the order is known, or they waited long enough."""
        now, waiting = self._clock.monotonic(), self._waiting
        self._waiting = [one for one in waiting if self._asks(one.key) and now < one.until]
        return [(one.key, one.reply) for one in waiting if one not in self._waiting]


def unknown_order(order_id: str, now_ns: int) -> Answer:
    """The answer to a question about an order that is not known."""
    nothing = float("nan")
    text = "no order of this id is known"
    return Answer(order_id, "", "", "", Verdict.REFUSED, text, nothing, nothing, now_ns, code="unknown_order")


def told_words(answer: Answer, target: str) -> dict[str, str]:
    """What an event says of an answer.

    Args:
        answer: what became of an order.
        target: its name, for people.
    """
    return {
        "order": answer.order_id,
        "sender": answer.sender,
        "target": target,
        "mw": f"{answer.mw:g}" if math.isfinite(answer.mw) else answer.words,
        "applied": f"{answer.applied_mw:g}",
        "verdict": answer.verdict.value,
        "reason": answer.reason,
        "kind": answer.kind,
        "day": answer.day,
        "version": f"{answer.version}",
    }
