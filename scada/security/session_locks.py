"""Why a live session may give no orders: its person is away or works elsewhere; and when its keys are worn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scada.core.clock import Clock
from scada.security.envelope import IdleLockedError, SupersededError
from scada.security.session_records import Session, SessionPolicy


class SessionLocks:
    """Judges them.

    Args:
        policy: of the site.
        clock: ours.
        live: sessions by id, kept by the owner.
    """

    def __init__(self, policy: SessionPolicy, clock: Clock, live: Mapping[bytes, Session]) -> None:
        self._policy = policy
        self._clock = clock
        self._live = live

    def supersede(self, newest: Session, others: Iterable[Session]) -> None:
        """Mark the sessions that the identity has at other workstations, if the site allows one only."""
        if self._policy.one_control_session and newest.attended:
            for each in others:
                if each.principal.station != newest.principal.station:
                    each.superseded_by = [*filter(self._live.__contains__, each.superseded_by), newest.identifier]

    def reason(self, session: Session) -> str:
        """``idle_locked``, ``superseded``, or empty: it may give orders."""
        if not session.attended:
            return ""
        if self._newer(session) is not None:
            return SupersededError.code
        idle = self._clock.monotonic() - session.last_order
        return IdleLockedError.code if 0 < self._policy.idle_s < idle else ""

    def check(self, session: Session) -> None:
        """Refuse orders of a session that only looks.

        Raises:
            SupersededError, IdleLockedError: it does.
        """
        why, name = self.reason(session), session.principal.name
        if why == SupersededError.code:
            newer = self._newer(session)
            place = (newer and newer.principal.station) or "another workstation"
            raise SupersededError(f"{name} has logged in at {place} since", where=name, mend="log in again to act from here")
        if why:
            minutes = self._policy.idle_s / 60
            raise IdleLockedError(f"no order for more than {minutes:g} min", where=name, mend="log in again to act")

    def is_worn(self, session: Session) -> bool:
        """Its keys should have been renewed long ago."""
        messages = session.messages - session.renewed_at
        age = session.ring.age(self._clock.monotonic())
        return age > 2 * self._policy.rekey_after_s or messages > 2 * self._policy.rekey_after_messages

    def _newer(self, session: Session) -> Session | None:
        """The latest of those who took over that is still there."""
        return next((found for each in reversed(session.superseded_by) if (found := self._live.get(each))), None)
