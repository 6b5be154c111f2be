r"""The signed envelope: what travels, what is signed, and the causes for which one is refused.

``PAE = "SCADAv1\0" | u32le len(header) | u32le len(body) | header | body``; the SM2 signature is over PAE, the HMAC-SM3 tag over
``PAE | sig``. Bytes are verified as they came and never serialised again, so that any stored envelope can be proven later.
"""

from __future__ import annotations

import os
from typing import Final, Protocol

from google.protobuf.message import DecodeError
from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import SecurityError
from scada.security.sm2 import Signer
from scada.security.sm2_encoding import SIGNATURE_SIZE
from scada.security.sm3 import sm3

VERSION: Final = 1
SM2_AND_HMAC_SM3: Final = 4
SM2_AND_SM4_GCM: Final = 5
"""As 4, with signature and body enciphered."""
MAC_SIZE: Final = 16
MAXIMUM_SIZE: Final = 256 * 1024
"""Bytes of a whole serialised envelope."""

_DOMAIN = b"SCADAv1\0"
_HEADER_MAXIMUM = 1024


class Protection(Protocol):
    """Keys of one direction, see :class:`scada.security.session_keys.DirectionKeys`."""

    def tag(self, *parts: bytes) -> bytes:
        """Tag over the joined parts."""
        ...

    def encipher(self, epoch: int, number: int, plain: bytes) -> bytes:
        """Cipher text under a number that comes once."""
        ...


class EnvelopeError(SecurityError):
    """A message was refused; ``code`` is the machine-readable cause."""

    code = "refused"


class UnsignedError(EnvelopeError):
    """Header, signature or tag is missing."""

    code = "unsigned"


class MalformedError(EnvelopeError):
    """Not an envelope of this version and algorithm."""

    code = "malformed"


class WrongRecipientError(EnvelopeError):
    """Meant for another site."""

    code = "wrong_recipient"


class WrongMethodError(EnvelopeError):
    """Signed for another call than the one it came by."""

    code = "wrong_method"


class WrongSenderError(EnvelopeError):
    """Sender or key is not the session's."""

    code = "wrong_sender"


class UnknownSessionError(EnvelopeError):
    """No such session: never made, logged out, or made before the server started."""

    code = "unknown_session"


class SessionExpiredError(EnvelopeError):
    """The session's time is over."""

    code = "session_expired"


class MessageExpiredError(EnvelopeError):
    """The sender's own deadline for this message has passed."""

    code = "expired"


class TimeWindowError(EnvelopeError):
    """The time of signing is too far from our clock."""

    code = "time_window"


class ReplayedError(EnvelopeError):
    """The sequence number or login was seen before, or is too old to tell."""

    code = "replayed"


class BadMacError(EnvelopeError):
    """The session tag is wrong."""

    code = "bad_mac"


class BadSignatureError(EnvelopeError):
    """The SM2 signature is wrong."""

    code = "bad_signature"


class UntrustedError(EnvelopeError):
    """The certificate or identity is not one we trust."""

    code = "untrusted"


class UnauthorisedError(EnvelopeError):
    """Proven, but without the right."""

    code = "unauthorised"


class WrongAlgorithmError(EnvelopeError):
    """A known algorithm, but not the one of the session: a site that demands secrecy takes nothing less."""

    code = "wrong_algorithm"


class StaleKeyError(EnvelopeError):
    """Sealed under keys that were renewed since."""

    code = "stale_key"


class UnknownChallengeError(EnvelopeError):
    """The challenge is not ours, too old, of another session or used."""

    code = "unknown_challenge"


class WrongPeerError(EnvelopeError):
    """It came over a TLS connection of someone else than the one who logged in."""

    code = "wrong_peer"


class WrongBindingError(EnvelopeError):
    """The client saw another TLS certificate than the server's: someone stands between."""

    code = "wrong_binding"


class IdleLockedError(EnvelopeError):
    """No order for too long: the session only looks until its owner logs in again."""

    code = "idle_locked"


class SupersededError(EnvelopeError):
    """The identity has logged in at another workstation: this session only looks."""

    code = "superseded"


class RevocationsStaleError(EnvelopeError):
    """Nobody knows whose certificates are revoked by now, so nothing is operated."""

    code = "revocations_stale"


class BadSealError(EnvelopeError):
    """A reply is not the server's, not to this request, out of order or came before."""

    code = "bad_seal"


def span_us(clock: Clock, seconds: float) -> int:
    """Clock microseconds that pass in real ``seconds``: networks do not run faster because simulated time does."""
    return round(seconds * 1e6 / (clock.real_delay(1.0) or 1.0))


def now_us(clock: Clock) -> int:
    """UTC now in microseconds."""
    return clock.now_ns() * 1_000_000 // NS_PER_S


def authenticated_bytes(header: bytes, body: bytes) -> bytes:
    """The pre-authentication encoding (PAE) that is signed.

    >>> authenticated_bytes(b"h", b"").hex()
    '5343414441763100010000000000000068'
    """
    return b"".join((_DOMAIN, len(header).to_bytes(4, "little"), len(body).to_bytes(4, "little"), header, body))


def seal(signer: Signer, header: pb.Header, body: bytes, keys: Protection | None, *, secrecy: bool = False) -> pb.Signed:
    """Sign a body under a header; ``version``, ``algorithm``, ``key_id`` and ``nonce`` of the header are filled here.

    With secrecy the signature is over the plain body, and ``SM4-GCM(sig | body)`` travels in the place of the body: who overhears
    it cannot try bodies against the signature, and the plain envelope stays as evidence.

    Args:
        signer: whose signature it gets.
        header: sender, recipient, method, times, sequence, epoch and session.
        body: serialised message.
        keys: of the session; None in the exchanges that make them.
        secrecy: encipher.
    """
    header.version = VERSION
    header.algorithm = SM2_AND_SM4_GCM if secrecy else SM2_AND_HMAC_SM3
    header.key_id = sm3(signer.point())[:16]
    header.nonce = os.urandom(16)
    header_bytes = header.SerializeToString()
    authenticated = authenticated_bytes(header_bytes, body)
    signature = signer.sign(authenticated)
    if keys is None:
        return pb.Signed(header=header_bytes, body=body, sig=signature)
    if secrecy:
        body, signature = keys.encipher(header.epoch, header.sequence, signature + body), b""
        authenticated = authenticated_bytes(header_bytes, body)
    return pb.Signed(header=header_bytes, body=body, sig=signature, mac=keys.tag(authenticated, signature))


def read_envelope(envelope: bytes, maximum: int = MAXIMUM_SIZE) -> pb.Signed:
    """Parse a serialised ``Signed`` of at most so many bytes.

    Raises:
        UnsignedError: it is empty.
        MalformedError: too long, or no such message.
    """
    if not envelope:
        raise UnsignedError("the message is not signed", mend="log in and send it as Signed{header, body, sig, mac}")
    if len(envelope) > maximum:
        raise MalformedError(f"the message has more than {maximum} bytes")
    try:
        return pb.Signed.FromString(envelope)
    except DecodeError as error:
        raise MalformedError("the bytes are not a signed envelope") from error


def read_header(signed: pb.Signed, *, with_mac: bool) -> pb.Header:
    """The header of an envelope of right shape; nothing in it is proven yet.

    Args:
        signed: what came.
        with_mac: a session tag belongs to it (every call but the login).

    Raises:
        UnsignedError: a part is missing.
        MalformedError: sizes, version, algorithm or encoding are not ours.
    """
    if not signed.header or (with_mac and not signed.mac) or (not with_mac and not signed.sig):
        raise UnsignedError("the message is not signed", mend="log in and send it as Signed{header, body, sig, mac}")
    if len(signed.header) > _HEADER_MAXIMUM:
        raise MalformedError("the header is too long")
    header = pb.Header()
    try:
        header.ParseFromString(signed.header)
    except DecodeError as error:
        raise MalformedError("the header cannot be read") from error
    enciphered = with_mac and header.algorithm == SM2_AND_SM4_GCM
    if header.version != VERSION or not (enciphered or header.algorithm == SM2_AND_HMAC_SM3):
        raise MalformedError(f"version {header.version} with algorithm {header.algorithm} is not accepted")
    if not enciphered and not signed.sig:
        raise UnsignedError("the message is not signed", mend="log in and send it as Signed{header, body, sig, mac}")
    if len(signed.sig) != (0 if enciphered else SIGNATURE_SIZE) or len(signed.mac) != (MAC_SIZE if with_mac else 0):
        raise MalformedError("the signature or the tag has a wrong size")
    return header


def check_times(header: pb.Header, clock: Clock, window_s: float) -> None:
    """Compare an envelope's times with our clock.

    Args:
        header: of the envelope.
        clock: ours.
        window_s: largest difference of the time of signing, real seconds.

    Raises:
        TimeWindowError: signed too long ago or in the future.
        MessageExpiredError: past its own deadline.
    """
    now = now_us(clock)
    difference = now - header.time_us
    if abs(difference) > span_us(clock, window_s):
        raise TimeWindowError(
            f"the time of signing differs by {difference / 1e6:.3f} s from the server's clock, {window_s:g} s are allowed",
            mend="synchronise the clocks",
        )
    if now > header.expires_us:
        raise MessageExpiredError(f"the message expired {(now - header.expires_us) / 1e6:.3f} s ago")
