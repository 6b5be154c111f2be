"""The live sessions of a server: found by id, ended with a reason that is told."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from scada.core.clock import Clock
from scada.security.envelope import SessionExpiredError, UnknownSessionError
from scada.security.session_locks import SessionLocks
from scada.security.session_records import Session, SessionPolicy

_SESSIONS_PER_IDENTITY = 32


class SessionTable:
    """Keeps them. Safe to call from several threads.

    Args:
        policy: of the site.
        clock: ours.

    Attributes:
        locks: why some of them may give no orders.
    """

    def __init__(self, policy: SessionPolicy, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._sessions: dict[bytes, Session] = {}
        self.locks = SessionLocks(policy, clock, self._sessions)
        self._listeners: list[Callable[[Session, str], None]] = []

    def add(self, session: Session) -> None:
        """Take a new one; the oldest of an identity that has too many ends."""
        principal = session.principal
        with self._lock:
            own = [each for each in self._sessions.values() if each.principal.name == principal.name]
            self.locks.supersede(session, own)
            self._sessions[session.identifier] = session
        if len(own) >= _SESSIONS_PER_IDENTITY:
            self.end(own[0].identifier, f"the identity has more than {_SESSIONS_PER_IDENTITY} sessions")

    def find(self, session: str) -> Session:
        """A live session by its hex id.

        Raises:
            UnknownSessionError, SessionExpiredError: there is none.
        """
        try:
            identifier = bytes.fromhex(session)
        except ValueError as error:
            raise UnknownSessionError("the session id is not hexadecimal") from error
        return self.live(identifier)

    def live(self, identifier: bytes) -> Session:
        """A live session by its id.

        Raises:
            UnknownSessionError, SessionExpiredError: there is none.
        """
        with self._lock:
            session = self._sessions.get(identifier)
        if session is None:
            raise UnknownSessionError("no such session", mend="log in again")
        now = self._clock.monotonic()
        if now >= session.deadline:
            raise SessionExpiredError("the session has expired", where=session.principal.name, mend="log in again")
        return session

    def all(self) -> list[Session]:
        """Live sessions, the oldest first."""
        with self._lock:
            return list(self._sessions.values())

    def end(self, identifier: bytes, why: str) -> bool:
        """End a session and tell the listeners; False if there was none."""
        with self._lock:
            session = self._sessions.pop(identifier, None)
        if session is not None:
            for listener in self._listeners:
                listener(session, why)
        return session is not None

    def on_end(self, listener: Callable[[Session, str], None]) -> None:
        """Call ``listener`` with every session that ends and why, from whichever thread ended it; it must only hand over."""
        self._listeners.append(listener)

    def end_worn(self) -> list[Session]:
        """End the sessions whose time is over or whose keys were not renewed, and return them."""
        now = self._clock.monotonic()
        ended = []
        for session in self.all():
            if now >= session.deadline:
                why = "its time is over"
            elif self.locks.is_worn(session):
                why = "its keys were not renewed"
            else:
                continue
            if self.end(session.identifier, why):
                ended.append(session)
        return ended
