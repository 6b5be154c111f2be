r"""The seal of replies: who reads them knows that the server made them, for which request, and that none came twice.

``RPAE = "SCADAr1\0" | session (16) | u32le epoch | u64le number | u32le len(method) | method | SM3(request) | SM3(message)``;
``mac = HMAC-SM3(s2c-mac, RPAE | sig)[:16]``. The seal ends the message as the unknown field 2047, so the message itself is
encoded once for all who get it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from scada.core.clock import Clock
from scada.security.envelope import MAC_SIZE, BadMacError, BadSealError
from scada.security.sequence import SequenceWindow
from scada.security.session_keys import EpochKeys, KeyRing
from scada.security.sm2 import Signer, Sm2PublicKey
from scada.security.sm2_encoding import SIGNATURE_SIZE
from scada.security.sm3 import sm3

_DOMAIN = b"SCADAr1\0"
_SEAL_TAG = b"\xfa\x7f"
"""Field 2047, length-delimited."""
_CIPHER_TAG = b"\xf2\x7f"
"""Field 2046, length-delimited."""
_NUMBER_SIZE = 8
MAC_SEAL: Final = _NUMBER_SIZE + MAC_SIZE
SIGNED_SEAL: Final = MAC_SEAL + SIGNATURE_SIZE

_SHARED = 16
"""Digests kept of messages that go to many: frames of a view."""


@lru_cache(maxsize=_SHARED)
def shared_digest(message: bytes) -> bytes:
    """SM3 of a message that goes to many receivers as the same bytes object: computed once, for a bounded number of them."""
    return sm3(message)


def request_digest(request: bytes | None) -> bytes:
    """What binds a reply to its request: SM3 of it as it travelled; of a stream, of its first; zeros before there is one."""
    return bytes(32) if request is None else sm3(request)


class Sealer:
    """Seals the replies of one call.

    Args:
        session: id of the session.
        ring: its keys and numbers.
        method: full name of the call.
        clock: ours.
        secrecy: encipher.
    """

    def __init__(self, session: bytes, ring: KeyRing, method: str, clock: Clock, *, secrecy: bool) -> None:
        self._session = session
        self._ring = ring
        self._method = _method(method)
        self._clock = clock
        self._secrecy = secrecy
        self.request = bytes(32)
        """:func:`request_digest` of the request."""

    def seal(self, message: bytes, signer: Signer | None = None, *, shared: bool = False) -> bytes:
        """The message with its seal.

        Args:
            message: serialised reply.
            signer: signs as well (replies to Signed orders).
            shared: the same object goes to others too.
        """
        keys, number = self._ring.for_next_reply(self._clock.monotonic())
        if self._secrecy:
            cipher = keys.replies.encipher(keys.epoch, number, message)
            message = _CIPHER_TAG + _varint(len(cipher)) + cipher
        digest = shared_digest(message) if shared and not self._secrecy else sm3(message)
        authenticated = _authenticated(self._session, keys.epoch, number, self._method, self.request, digest)
        signature = signer.sign(authenticated) if signer else b""
        tag = keys.replies.tag(authenticated, signature)
        return b"".join((message, _SEAL_TAG, bytes((MAC_SEAL + len(signature),)), number.to_bytes(8, "little"), tag, signature))


class SealReader:
    """Proves the replies of one call and takes their seals off.

    Args:
        session: id of the session.
        ring: its keys.
        window: of the reply numbers of the session.
        method: full name of the call.
        server: the server's key; replies must be signed by it. None: a tag is enough.
        clock: ours.
        secrecy: nothing may come in the clear.
    """

    def __init__(
        self,
        session: bytes,
        ring: KeyRing,
        window: SequenceWindow,
        method: str,
        server: Sm2PublicKey | None,
        clock: Clock,
        *,
        secrecy: bool,
    ) -> None:
        self._session = session
        self._ring = ring
        self._window = window
        self._name = method
        self._method = _method(method)
        self._server = server
        self._clock = clock
        self._secrecy = secrecy
        self._last = 0
        self.request = bytes(32)
        """:func:`request_digest` of the request."""

    def open(self, message: bytes) -> bytes:
        """The message without its seal.

        Raises:
            BadSealError: unsealed, altered, of another session, call or request, out of order, or seen before.
        """
        size = MAC_SEAL if self._server is None else SIGNED_SEAL
        start = len(message) - size - 3
        if start < 0 or message[start : start + 3] != _SEAL_TAG + bytes((size,)):
            raise self._refused("is not sealed")
        number = int.from_bytes(message[start + 3 : start + 11], "little")
        tag, signature = message[start + 11 : start + 11 + MAC_SIZE], message[start + 11 + MAC_SIZE :]
        sealed = message[:start]
        if number <= self._last:
            raise self._refused("is out of order")
        keys, authenticated = self._prove(number, sm3(sealed), tag, signature)
        if self._server is not None and not self._server.verify(signature, authenticated):
            raise self._refused("is not signed by the server")
        if not self._window.admit(number):
            raise self._refused("came before")
        self._last = number
        return self._decipher(keys, number, sealed) if self._secrecy else sealed

    def _prove(self, number: int, digest: bytes, tag: bytes, signature: bytes) -> tuple[EpochKeys, bytes]:
        for keys in self._ring.for_reply(self._clock.monotonic()):
            authenticated = _authenticated(self._session, keys.epoch, number, self._method, self.request, digest)
            if keys.replies.proves(tag, authenticated, signature):
                return keys, authenticated
        raise self._refused("has a wrong seal")

    def _decipher(self, keys: EpochKeys, number: int, message: bytes) -> bytes:
        size, start = 0, len(_CIPHER_TAG)
        for shift in range(0, 35, 7):
            byte = message[start] if start < len(message) else 0x80
            start += 1
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        if not message.startswith(_CIPHER_TAG) or len(message) - start != size:
            raise self._refused("is not enciphered")
        try:
            return keys.replies.decipher(keys.epoch, number, message[start:])
        except BadMacError as error:
            raise self._refused("cannot be deciphered") from error

    def _refused(self, what: str) -> BadSealError:
        return BadSealError(f"a reply to {self._name} {what}", mend="is someone between here and the server?")


def _method(name: str) -> bytes:
    encoded = name.encode()
    return len(encoded).to_bytes(4, "little") + encoded


def _authenticated(session: bytes, epoch: int, number: int, method: bytes, request: bytes, digest: bytes) -> bytes:
    return b"".join(
        (_DOMAIN, session, epoch.to_bytes(4, "little"), number.to_bytes(8, "little"), method, request, digest),
    )


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
