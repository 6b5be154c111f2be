"""Answers of actors for who must not wait in a thread: faces and actors. No wait is for ever, none ends without saying why."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import pykka
import structlog

from scada.actors.base import Address
from scada.actors.mailbox import Envelope
from scada.core.errors import ScadaError

T = TypeVar("T")
_log = structlog.get_logger("actors")

ASK_S = 5.0
"""Longest wait for the answer of an actor that runs."""
UP_S = 600.0
"""Longest wait for one that starts: it may have the journal of hours to read, and kernels to compile."""


class NoAnswerError(ScadaError):
    """An actor did not answer in time; what it was asked may still be done."""


class _Reply(pykka.Future[Any]):
    """Where an actor puts its answer to one that does not wait in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Future[Any] = Future()

    def set(self, value: Any = None) -> None:
        """The answer, unless nobody waits for it any more."""
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_result(value)

    def set_exception(self, exc_info: Any = None) -> None:
        """The exception at hand, or the one given as ``sys.exc_info`` does."""
        _, error, _ = exc_info or sys.exc_info()
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)


class _Call(pykka.Future[Any]):
    """An answer that is handed on as it comes."""

    def __init__(self, answered: Callable[[Any], None]) -> None:
        super().__init__()
        self._answered = answered

    def set(self, value: Any = None) -> None:
        """The answer."""
        self._answered(value)

    def set_exception(self, exc_info: Any = None) -> None:
        """The exception at hand, or the one given as ``sys.exc_info`` does."""
        _, error, _ = exc_info or sys.exc_info()
        self._answered(error)


def ask_on(address: Address, message: Any, answered: Callable[[Any], None]) -> None:
    """Ask an actor from another one, which goes on meanwhile.

    Args:
        address: who is asked.
        message: what.
        answered: called with the answer, or with the exception that the asked actor raised, in that actor's thread: it tells the
            asker. It is not called if there is no answer: the asker keeps its own deadline.
    """
    address.mailbox.put(Envelope(message, _Call(answered)))


async def answer_of(address: Address, message: Any, timeout_s: float = ASK_S) -> Any:
    """Ask an actor from an event loop; neither the loop nor a thread waits for it.

    Raises:
        NoAnswerError: no answer in time.
        Exception: what the asked actor raised.
    """
    reply = _Reply()
    address.mailbox.put(Envelope(message, reply))
    return await heard_of(address, reply.answer, timeout_s)


async def heard_of(address: Address, answer: Future[T], timeout_s: float = ASK_S) -> T:
    """Wait on an event loop for what an actor says by a callback.

    Raises:
        NoAnswerError: nothing in time.
        Exception: what the actor raised.
    """
    try:
        return await asyncio.wait_for(asyncio.wrap_future(answer), timeout_s)
    except TimeoutError as error:
        raise NoAnswerError(
            f"no answer within {timeout_s:g} s; what was asked may still be done",
            where=f"actor {address.name}",
            mend="look whether it was done before asking again",
        ) from error


def answer_once_up(address: Address, message: Any) -> Any:
    """Ask an actor that may still be starting; while it does, the log says so.

    Raises:
        NoAnswerError: it fails again and again, or has not come up within :data:`UP_S`.
        Exception: what the asked actor raised.
    """
    future, health = address.ask(message), address.health
    waited_s = 0.0
    while True:
        try:
            return future.get(timeout=ASK_S)
        except pykka.Timeout as error:
            waited_s += ASK_S
            if health.state == "failing" or waited_s >= UP_S:
                reason = f": {health.reason}" if health.reason else ""
                raise NoAnswerError(f"does not come up{reason}", where=f"actor {address.name}", mend="see the log") from error
        _log.warning("waiting for an actor to come up", actor=address.name, state=health.state, waited_s=waited_s)
