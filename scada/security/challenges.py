"""What proves that a message is fresh when clocks cannot: nonces of the server; and the watch on the server's own clock."""

from __future__ import annotations

import secrets
from threading import Lock
from typing import Final

from scada.core.clock import Clock
from scada.security.envelope import UnknownChallengeError, now_us
from scada.security.sm3 import hmac_sm3

CHALLENGE_S: Final = 5.0
"""Monotonic seconds for which a challenge is good."""

JUMP_S: Final = 0.5
"""A change of the wall clock against the monotonic one by more than this between two looks is a jump, not a slew."""

_PROOF_SIZE = 16
_SIZE = 8 + 8 + _PROOF_SIZE


class Challenges:
    """Makes challenges that it need not remember, and remembers those that were used. Safe from several threads.

    A challenge is ``deadline u64le | random (8) | proof (16)``, the proof over these and the session by a key that only we
    have: asking for many costs the server no memory.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._lock = Lock()
        self._used: dict[bytes, int] = {}

    def issue(self, session: bytes, now: float) -> bytes:
        """A challenge for a session (empty: for a login), good once and for :data:`CHALLENGE_S` from ``now`` (monotonic s)."""
        head = round((now + CHALLENGE_S) * 1e6).to_bytes(8, "little") + secrets.token_bytes(8)
        return head + self._proof(head, session)

    def check(self, challenge: bytes, session: bytes, now: float) -> None:
        """Refuse a challenge that cannot be used.

        Raises:
            UnknownChallengeError: not ours, of another session, too old or used.
        """
        head = challenge[:-_PROOF_SIZE]
        ours = len(challenge) == _SIZE and secrets.compare_digest(self._proof(head, session), challenge[-_PROOF_SIZE:])
        if not ours or now * 1e6 > int.from_bytes(challenge[:8], "little") or challenge in self._used:
            raise UnknownChallengeError("the challenge is not ours, too old or used", mend="ask for another one")

    def use(self, challenge: bytes, now: float) -> None:
        """Use a checked challenge up, once its message is proven.

        Raises:
            UnknownChallengeError: another message was faster.
        """
        with self._lock:
            if challenge in self._used:
                raise UnknownChallengeError("the challenge was used", mend="ask for another one")
            self._used = {each: until for each, until in self._used.items() if until >= now * 1e6}
            self._used[challenge] = int.from_bytes(challenge[:8], "little")

    def _proof(self, head: bytes, session: bytes) -> bytes:
        return hmac_sm3(self._key, head, session)[:_PROOF_SIZE]


class ClockWatch:
    """Notices when the wall clock is set. Safe from several threads.

    After a jump, messages that someone held back may look fresh again. So times are believed only under keys that were made since
    (the ``era``), and for logins, which have no keys, only where they are later than every time this server has seen.

    Args:
        clock: ours.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._offset = self._measure()
        self._latest_us = now_us(clock)
        self._started_us = self._latest_us
        self.era = 0
        """Grows by one with every jump."""

    def look(self) -> bool:
        """Compare the clocks; True if the wall clock was set since the last look."""
        offset = self._measure()
        if abs(offset - self._offset) > JUMP_S:
            offset = self._measure()  # a thread that was held up between the two readings looks like a jump
        with self._lock:
            before, self._offset = self._offset, offset
            jumped = abs(offset - before) > JUMP_S
            self.era += jumped
            # what the wall clock would show had it not been set back belongs to the past too
            set_back_us = round(max(before - offset, 0.0) * 1e6) if jumped else 0
            self._latest_us = max(self._latest_us, now_us(self._clock) + set_back_us)
        return jumped

    def oldest_login_us(self, window_us: int) -> int:
        """Time, us UTC, before which a login may have been served already: before a jump of the clock, or by our predecessor."""
        return max(self._started_us, self._latest_us - window_us)

    def _measure(self) -> float:
        return self._clock.now_ns() / 1e9 - self._clock.monotonic()
