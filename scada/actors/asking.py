"""Asks that would wait for ever are refused at once: who waits for whom is known, and a circle is an error with its path.

An actor that waits for an answer handles no message. If what it waits for comes to wait for it, directly or through others, none
of them ever goes on. Each actor's thread notes here whom it waits for; a wait that would close a circle raises instead.
"""

from __future__ import annotations

import threading
from typing import Any

import pykka

from scada.core.errors import ScadaError

_here = threading.local()
_lock = threading.Lock()
_waits_for: dict[str, str] = {}


class AskDeadlockError(ScadaError):
    """Actors would wait for each other in a circle; the message names it."""


def enter(name: str) -> None:
    """Say that the calling thread is the actor ``name`` from now on."""
    _here.actor = name


class Answer(pykka.ThreadingFuture[Any]):
    """Future of an actor's reply.

    Args:
        asked: name of the actor that will reply.
    """

    def __init__(self, asked: str = "") -> None:
        super().__init__()
        self._asked = asked

    def get(self, *, timeout: float | None = None) -> Any:
        """Wait for the reply.

        Raises:
            AskDeadlockError: the caller is an actor for whose answer the asked one waits already; only if the reply is not there.
            pykka.Timeout: it did not come in time.
            Exception: what the asked actor raised.
        """
        asker: str = getattr(_here, "actor", "")
        if not asker or not self._asked or self._result is not None:
            return super().get(timeout=timeout)
        _note(asker, self._asked)
        try:
            return super().get(timeout=timeout)
        finally:
            with _lock:
                _waits_for.pop(asker, None)


def _note(asker: str, asked: str) -> None:
    with _lock:
        path = [asker, asked]
        while path[-1] != asker and path[-1] in _waits_for:
            path.append(_waits_for[path[-1]])
        if path[-1] == asker:
            raise AskDeadlockError(
                f"actors would wait for each other for ever: {' -> '.join(path)}",
                where=f"actor {asker}",
                mend="tell instead, and take the answer as a message",
            )
        _waits_for[asker] = asked
