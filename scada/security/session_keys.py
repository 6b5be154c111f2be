"""Keys of a session: per epoch one for tags and one for secrecy in each direction, by HKDF-SM3; and the numbers of its replies.

``info`` of HKDF is ``c2s-mac``, ``s2c-mac`` (32 bytes), ``c2s-enc`` and ``s2c-enc`` (16 bytes, SM4). The salt is the digest of
the request and the reply that made them, as they travelled, so that both ends have the same keys only if both saw the same bytes.
"""

from __future__ import annotations

import hmac as constant_time
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import SM4

from scada.security.envelope import MAC_SIZE, BadMacError, StaleKeyError
from scada.security.sm3 import hkdf_sm3, sm3

GRACE_S: Final = 5.0
"""Seconds after a renewal for which requests under the keys before are still accepted: those that were under way."""

SWITCH_S: Final = 2.0
"""Seconds after a renewal until replies come under the new keys: the client has them by then."""

_CIPHER_KEY_SIZE = 16
_GCM_TAG_SIZE = 16


class DirectionKeys:
    """What protects one direction in one epoch. Nothing of it can be read back.

    Args:
        mac: key of the tags, 32 bytes.
        cipher: SM4 key, 16 bytes.
    """

    __slots__ = ("_cipher", "_mac")

    def __init__(self, mac: bytes, cipher: bytes) -> None:
        self._mac = hmac.HMAC(mac, hashes.SM3())
        self._cipher = SM4(cipher)

    def tag(self, *parts: bytes) -> bytes:
        """First 16 bytes of HMAC-SM3 over the joined parts."""
        mac = self._mac.copy()
        for part in parts:
            mac.update(part)
        return mac.finalize()[:MAC_SIZE]

    def proves(self, tag: bytes, *parts: bytes) -> bool:
        """True if the tag is that of the parts; takes the same time whatever the difference."""
        return constant_time.compare_digest(self.tag(*parts), tag)

    def encipher(self, epoch: int, number: int, plain: bytes) -> bytes:
        """SM4-GCM (RFC 8998) cipher text and tag. ``epoch`` and ``number`` must never come twice for these keys."""
        encryptor = Cipher(self._cipher, modes.GCM(_nonce(epoch, number))).encryptor()
        return encryptor.update(plain) + encryptor.finalize() + encryptor.tag

    def decipher(self, epoch: int, number: int, cipher: bytes) -> bytes:
        """The plain text.

        Raises:
            BadMacError: altered, or not enciphered under these keys and this number.
        """
        text, tag = cipher[:-_GCM_TAG_SIZE], cipher[-_GCM_TAG_SIZE:]
        try:
            decryptor = Cipher(self._cipher, modes.GCM(_nonce(epoch, number), tag)).decryptor()
            return decryptor.update(text) + decryptor.finalize()
        except (InvalidTag, ValueError) as error:
            raise BadMacError("the cipher text is wrong") from error


@dataclass(frozen=True, slots=True)
class EpochKeys:
    """The keys of one epoch of a session."""

    epoch: int
    requests: DirectionKeys = field(repr=False)
    replies: DirectionKeys = field(repr=False)


def derive(secret: bytes, request: bytes, reply: bytes, epoch: int) -> EpochKeys:
    """Keys of an epoch.

    Args:
        secret: 32 bytes that the server chose and enciphered to the client's fresh key.
        request: serialised ``Signed`` of the login or renewal, as it came.
        reply: serialised ``Signed`` of its answer, as it went.
        epoch: 0 for a login, one more for each renewal.
    """
    salt = sm3(request, reply)

    def _direction(name: bytes) -> DirectionKeys:
        mac = hkdf_sm3(secret, salt=salt, info=name + b"-mac")
        return DirectionKeys(mac, hkdf_sm3(secret, salt=salt, info=name + b"-enc", length=_CIPHER_KEY_SIZE))

    return EpochKeys(epoch, _direction(b"c2s"), _direction(b"s2c"))


class KeyRing:
    """Present and former keys of one session, and its next reply number; the one owner of both. Safe from several threads.

    Args:
        first: keys of the login.
        now: monotonic seconds.
        era: of the server's clock, see :class:`~scada.security.challenges.ClockWatch`.
    """

    def __init__(self, first: EpochKeys, now: float, era: int = 0) -> None:
        self._lock = Lock()
        self._current = first
        self._previous: EpochKeys | None = None
        self._renewed = now
        self._number = 0
        self.era = era
        """Of the clock when the present keys were made."""

    @property
    def epoch(self) -> int:
        """Of the present keys."""
        return self._current.epoch

    @property
    def number(self) -> int:
        """Of the last reply."""
        return self._number

    def age(self, now: float) -> float:
        """Seconds since the present keys were made."""
        return now - self._renewed

    def renew(self, keys: EpochKeys, now: float, era: int = 0) -> None:
        """Take the keys of the next epoch.

        Raises:
            StaleKeyError: another renewal was faster.
        """
        with self._lock:
            if keys.epoch != self._current.epoch + 1:
                raise StaleKeyError("the keys were renewed meanwhile")
            self._previous, self._current, self._renewed, self.era = self._current, keys, now, era

    def for_request(self, epoch: int, now: float) -> DirectionKeys:
        """Keys under which a request of an epoch is to be proven.

        Raises:
            StaleKeyError: that epoch is over, or never was.
        """
        with self._lock:
            if epoch == self._current.epoch:
                return self._current.requests
            previous, renewed = self._previous, self._renewed
        if previous is None or epoch != previous.epoch or now - renewed > GRACE_S:
            raise StaleKeyError(f"the keys of epoch {epoch} are not good any more", mend="renew the keys or log in again")
        return previous.requests

    def for_next_request(self) -> EpochKeys:
        """Keys under which the client seals."""
        return self._current

    def for_next_reply(self, now: float) -> tuple[EpochKeys, int]:
        """Keys and number of the next reply; no number is given twice."""
        with self._lock:
            self._number += 1
            waiting = self._previous is not None and now - self._renewed < SWITCH_S
            return (self._previous if waiting and self._previous else self._current), self._number

    def for_reply(self, now: float) -> tuple[EpochKeys, ...]:
        """Keys under which a reply may come, the likeliest first."""
        with self._lock:
            if self._previous is None or now - self._renewed > SWITCH_S + GRACE_S:
                return (self._current,)
            return self._current, self._previous


def _nonce(epoch: int, number: int) -> bytes:
    return epoch.to_bytes(4, "little") + number.to_bytes(8, "little")
