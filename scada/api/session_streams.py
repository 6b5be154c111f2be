"""Streams that stand, by session: they end with it, at once and with the reason."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import grpc

from scada.api.faults import CallError
from scada.security.session import Session, SessionServer


@dataclass(slots=True, eq=False)
class _Stream:
    task: asyncio.Task[Any]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    why: str | None = None


class SessionStreams:
    """Keeps them. Safe from several threads, each with its own event loop.

    Args:
        sessions: tells which end.
    """

    def __init__(self, sessions: SessionServer) -> None:
        self._sessions = sessions
        self._lock = Lock()
        self._streams: dict[bytes, set[_Stream]] = {}
        sessions.on_end(self._end)

    @contextmanager
    def standing(self, session: Session) -> Iterator[None]:
        """While the task that runs now serves a stream of a session.

        Raises:
            CallError: ``session_ended``, with the reason.
            EnvelopeError: the session ended before.
        """
        task = asyncio.current_task()
        assert task is not None  # handlers run in tasks
        stream = _Stream(task)
        with self._lock:
            self._streams.setdefault(session.identifier, set()).add(stream)
        try:
            self._sessions.find(session.identifier.hex())  # it may have ended before it stood in the table
            yield
        except asyncio.CancelledError:
            if stream.why is None:
                raise
            task.uncancel()
            raise CallError(
                grpc.StatusCode.UNAUTHENTICATED, "session_ended", f"the session has ended: {stream.why}", mend="log in again"
            ) from None
        finally:
            with self._lock:
                others = self._streams.get(session.identifier, set())
                others.discard(stream)
                if not others:
                    self._streams.pop(session.identifier, None)

    def _end(self, session: Session, why: str) -> None:
        with self._lock:
            streams = list(self._streams.get(session.identifier, ()))
        for stream in streams:
            stream.why = why
            with contextlib.suppress(RuntimeError):  # its loop has closed
                stream.loop.call_soon_threadsafe(stream.task.cancel)
