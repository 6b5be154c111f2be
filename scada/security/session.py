"""Sessions: a mutual one-round-trip login with forward secrecy, then messages that carry a signature and a session tag.

The client signs a login with a fresh SM2 key; the server answers with a secret encrypted to that key, signed over the digest of
the request. Both derive one HMAC key per direction by HKDF-SM3 over the transcript. Which checks come first is chosen so that a
flood of false messages is cheap to refuse: shape, addressee, session, times and sequence, then the tag, then the signature.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from google.protobuf.message import DecodeError
from scadapb.v1 import scada_pb2 as pb

from scada.control.records import Principal
from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import SecurityError
from scada.security.certificates import Certificate, parse_certificate
from scada.security.envelope import (
    BadMacError,
    BadSignatureError,
    MalformedError,
    ReplayedError,
    SessionExpiredError,
    UnauthorisedError,
    UnknownSessionError,
    UntrustedError,
    WrongMethodError,
    WrongRecipientError,
    WrongSenderError,
    authenticated_bytes,
    check_times,
    message_tag,
    now_us,
    read_envelope,
    read_header,
    seal,
    span_us,
)
from scada.security.identities import Identity
from scada.security.peer import NO_PEER, Peer
from scada.security.roles import may_call
from scada.security.sm2 import Sm2PublicKey
from scada.security.sm3 import hkdf_sm3, sm3
from scada.security.trust import Trust

LOGIN: Final = "/scadapb.v1.Session/Login"
SERVER_ROLE: Final = "SERVER"

WINDOW_S: Final = 30.0
"""Allowed clock difference of messages that operate nothing, s."""

_OPERATING = ("/scadapb.v1.Control/", "/scadapb.v1.Dispatch/")
"""Services whose messages stand under the narrow control window."""

_SEQUENCE_WINDOW = 1024
SECRET_SIZE: Final = 32
_SESSIONS_PER_IDENTITY = 32
_STATION_MAXIMUM = 64
CLIENT_TO_SERVER: Final = b"c2s-mac"


class SequenceWindow:
    """Sliding window over the sequence numbers of one direction: each number passes once, late ones within the window.

    >>> window = SequenceWindow()
    >>> [window.admit(number) for number in (1, 3, 2, 3)]
    [True, True, True, False]
    """

    def __init__(self) -> None:
        self._highest = 0
        self._seen = 0
        """Bit i: ``_highest - i`` was admitted."""

    def is_fresh(self, number: int) -> bool:
        """True if the number was not admitted yet and is not older than the window."""
        age = self._highest - number
        return number > 0 and (age < 0 or (age < _SEQUENCE_WINDOW and not self._seen >> age & 1))

    def admit(self, number: int) -> bool:
        """Mark a number as used; False if it was not fresh."""
        if not self.is_fresh(number):
            return False
        ahead = number - self._highest
        if ahead > 0:
            self._seen = (self._seen << min(ahead, _SEQUENCE_WINDOW) | 1) & ((1 << _SEQUENCE_WINDOW) - 1)
            self._highest = number
        else:
            self._seen |= 1 << -ahead
        return True


@dataclass(frozen=True, slots=True)
class Session:
    """One live session on the server."""

    identifier: bytes
    principal: Principal
    public_key: Sm2PublicKey
    mac_key: bytes = field(repr=False)
    expires_ns: int
    """ns UTC, as told to the client."""
    deadline: float
    """The same on the monotonic clock, which no one can set back."""
    certificate: Certificate = field(repr=False)
    peer: Peer
    """The connection of the login."""
    window: SequenceWindow = field(default_factory=SequenceWindow, repr=False)


def mac_key(secret: bytes, request: bytes, reply: bytes, direction: bytes = CLIENT_TO_SERVER) -> bytes:
    """HMAC key of one direction: HKDF-SM3 of the secret, salted with the digest of both login envelopes."""
    return hkdf_sm3(secret, salt=sm3(request, reply), info=direction)


class SessionServer:
    """Makes sessions and proves what comes in them. Safe to call from several threads.

    Args:
        site: our name, the only recipient accepted.
        identity: the server's key and certificate.
        trust: whose certificates are trusted, and who may do what.
        clock: ours.
        control_window_s: allowed clock difference of controls and dispatch, real s.
        lifetime_s: of a session, s.
    """

    def __init__(
        self,
        *,
        site: str,
        identity: Identity,
        trust: Trust,
        clock: Clock,
        control_window_s: float = 2.0,
        lifetime_s: float = 12 * 3600.0,
    ) -> None:
        self.site = site
        self._identity = identity
        self._trust = trust
        self._clock = clock
        self._control_window_s = control_window_s
        self._lifetime_s = lifetime_s
        self._lock = Lock()
        self._sessions: dict[bytes, Session] = {}
        self._listeners: list[Callable[[Session, str], None]] = []
        self._logins: dict[bytes, int] = {}
        """Digest of a login that was served -> us UTC at which its window closes."""

    def login(self, envelope: bytes, peer: Peer = NO_PEER) -> tuple[bytes, Principal]:
        """Prove a Signed{LoginRequest} and open a session.

        Args:
            envelope: serialised ``Signed``, as it came.
            peer: the connection it came by; the session is good for callers with the same TLS certificate only.

        Returns:
            The serialised signed reply, and who logged in.

        Raises:
            EnvelopeError: naming the cause.
        """
        signed = read_envelope(envelope)
        header = read_header(signed, with_mac=False)
        self._check_address(header, LOGIN)
        check_times(header, self._clock, WINDOW_S)
        request, certificate = self._prove_login(signed, header)
        self._admit_login(sm3(envelope))
        identifier = secrets.token_bytes(16)
        principal = self._principal(certificate, request.station, identifier)
        remaining_ns = min(int(self._lifetime_s * NS_PER_S), certificate.not_after_ns - self._clock.now_ns())
        expires_ns = self._clock.now_ns() + remaining_ns
        secret = secrets.token_bytes(SECRET_SIZE)
        reply = self._login_reply(header, request, principal, secret, sm3(envelope), expires_ns).SerializeToString()
        session = Session(
            identifier=identifier,
            principal=principal,
            public_key=certificate.public_key,
            mac_key=mac_key(secret, envelope, reply),
            certificate=certificate,
            peer=peer,
            expires_ns=expires_ns,
            deadline=self._clock.monotonic() + remaining_ns / NS_PER_S,
        )
        with self._lock:
            own = [each for each in self._sessions.values() if each.principal.name == principal.name]
            self._sessions[identifier] = session
        if len(own) >= _SESSIONS_PER_IDENTITY:
            self._end(own[0].identifier, f"the identity has more than {_SESSIONS_PER_IDENTITY} sessions")
        return reply, principal

    def open(self, envelope: bytes, method: str, session_id: str) -> tuple[Principal, bytes]:
        """Prove a message of a session and that its sender may make the call.

        Args:
            envelope: serialised ``Signed``, as it came; kept by the caller as evidence.
            method: full name of the call it came by, ``/scadapb.v1.Service/Method``.
            session_id: hex, from the call's metadata; must be the one that was signed.

        Returns:
            Who sent it, and the serialised request; parse it now, not before.

        Raises:
            EnvelopeError: naming the cause; nothing of the message may act.
        """
        signed = read_envelope(envelope)
        header = read_header(signed, with_mac=True)
        self._check_address(header, method)
        session = self._session(header.session)
        if header.session.hex() != session_id.lower():
            raise WrongSenderError("the message was signed for another session", where=session.principal.name)
        if header.sender != session.principal.name or header.key_id != session.public_key.key_id():
            raise WrongSenderError(f"{header.sender!r} is not the owner of the session", where=session.principal.name)
        check_times(header, self._clock, self._control_window_s if method.startswith(_OPERATING) else WINDOW_S)
        with self._lock:
            fresh = session.window.is_fresh(header.sequence)
        if not fresh:
            raise ReplayedError(f"sequence number {header.sequence} was used before", where=session.principal.name)
        authenticated = authenticated_bytes(signed.header, signed.body)
        if not hmac.compare_digest(message_tag(session.mac_key, authenticated, signed.sig), signed.mac):
            raise BadMacError("the session tag is wrong", where=session.principal.name)
        if not session.public_key.verify(signed.sig, authenticated):
            raise BadSignatureError("the signature is wrong", where=session.principal.name)
        with self._lock:
            admitted = session.window.admit(header.sequence)
        if not admitted:
            raise ReplayedError(f"sequence number {header.sequence} was used before", where=session.principal.name)
        self._check_right(session.principal, method)
        return session.principal, signed.body

    def authenticate(self, session: str, method: str) -> Principal:
        """Who makes an unsigned read.

        Args:
            session: hex of the session id, from the call's metadata.
            method: full name of the call.

        Raises:
            EnvelopeError: no live session of that id, or it may not make the call.
        """
        try:
            identifier = bytes.fromhex(session)
        except ValueError as error:
            raise UnknownSessionError("the session id is not hexadecimal") from error
        principal = self._session(identifier).principal
        self._check_right(principal, method)
        return principal

    def logout(self, session: str) -> bool:
        """End a session (hex id); False if there was none."""
        try:
            identifier = bytes.fromhex(session)
        except ValueError:
            return False
        return self._end(identifier, "logout")

    def expire(self) -> list[Session]:
        """End the sessions whose time is over and return them; call it now and then."""
        now, now_wall_us = self._clock.monotonic(), now_us(self._clock)
        with self._lock:
            over = [session for session in self._sessions.values() if now >= session.deadline]
            self._logins = {digest: until for digest, until in self._logins.items() if until >= now_wall_us}
        return [session for session in over if self._end(session.identifier, "its time is over")]

    def on_end(self, listener: Callable[[Session, str], None]) -> None:
        """Call ``listener`` with every session that ends and why, from whichever thread ended it; it must only hand over."""
        self._listeners.append(listener)

    def revalidate(self) -> list[Session]:
        """Take what has changed in the trust, and end the sessions that it no longer bears; call it a few times a second.

        A session ends if its certificate was revoked or has expired, or if its owner's entry in the table of users has changed:
        the owner logs in again and has what the table says now.
        """
        if not self._trust.refresh():
            return []
        ended = []
        for session in self.sessions():
            why = self._fallen(session)
            if why and self._end(session.identifier, why):
                ended.append(session)
        return ended

    def _fallen(self, session: Session) -> str:
        """Why a session is no longer borne by the trust, empty if it is."""
        before = session.principal
        try:
            self._trust.check(session.certificate, self._clock.now_ns())
            now = self._trust.principal(session.certificate, station=before.station, session=before.session)
        except SecurityError as error:
            return error.what
        return "" if now == before else "roles, areas or zones of the identity have changed"

    def _end(self, identifier: bytes, why: str) -> bool:
        with self._lock:
            session = self._sessions.pop(identifier, None)
        if session is not None:
            for listener in self._listeners:
                listener(session, why)
        return session is not None

    def sessions(self) -> list[Session]:
        """Live sessions."""
        with self._lock:
            return list(self._sessions.values())

    def _check_address(self, header: pb.Header, method: str) -> None:
        if header.recipient != self.site:
            raise WrongRecipientError(f"the message is for {header.recipient!r}, this is {self.site!r}")
        if header.method != method:
            raise WrongMethodError(f"the message is for {header.method!r}, it came by {method!r}")

    def _check_right(self, principal: Principal, method: str) -> None:
        if not may_call(principal, method):
            raise UnauthorisedError(
                f"no right to call {method}", where=principal.name, mend=f"roles: {', '.join(sorted(principal.roles)) or 'none'}"
            )

    def _session(self, identifier: bytes) -> Session:
        with self._lock:
            session = self._sessions.get(identifier)
        if session is None:
            raise UnknownSessionError("no such session", mend="log in again")
        if self._clock.monotonic() >= session.deadline:
            raise SessionExpiredError("the session has expired", where=session.principal.name, mend="log in again")
        return session

    def _prove_login(self, signed: pb.Signed, header: pb.Header) -> tuple[pb.LoginRequest, Certificate]:
        try:
            request = pb.LoginRequest.FromString(signed.body)
        except DecodeError as error:
            raise MalformedError("the login cannot be read") from error
        try:
            certificate = parse_certificate(request.certificate)
            Sm2PublicKey(request.ephemeral_key)
            self._trust.check(certificate, self._clock.now_ns())
            self._trust.principal(certificate)
        except SecurityError as error:
            raise UntrustedError(error.what, where=error.where, mend=error.mend) from error
        if header.sender != certificate.name or header.key_id != certificate.public_key.key_id():
            raise WrongSenderError(f"{header.sender!r} sent the certificate of {certificate.name!r}")
        if header.session or header.sequence or len(request.nonce) != SECRET_SIZE:
            raise MalformedError("a login has no session, no sequence number and a nonce of 32 bytes", where=certificate.name)
        if len(request.station) > _STATION_MAXIMUM or not request.station.isprintable():
            raise MalformedError("the name of the workstation has more than 64 or unprintable characters", where=certificate.name)
        if not certificate.public_key.verify(signed.sig, authenticated_bytes(signed.header, signed.body)):
            raise BadSignatureError("the signature of the login is wrong", where=certificate.name)
        return request, certificate

    def _admit_login(self, digest: bytes) -> None:
        until = now_us(self._clock) + 2 * span_us(self._clock, WINDOW_S)
        with self._lock:
            if digest in self._logins:
                raise ReplayedError("this login was used before")
            self._logins[digest] = until

    def _principal(self, certificate: Certificate, station: str, identifier: bytes) -> Principal:
        principal = self._trust.principal(certificate, station=station, session=identifier.hex())
        if not principal.roles:
            raise UnauthorisedError("the identity has no role", where=certificate.name)
        return principal

    def _login_reply(
        self, header: pb.Header, request: pb.LoginRequest, principal: Principal, secret: bytes, digest: bytes, expires_ns: int
    ) -> pb.Signed:
        body = pb.LoginReply(
            session=bytes.fromhex(principal.session),
            request_digest=digest,
            nonce=secrets.token_bytes(SECRET_SIZE),
            sealed_secret=Sm2PublicKey(request.ephemeral_key).encrypt(secret),
            certificate=self._identity.certificate.encoded,
            roles=sorted(principal.roles),
            rights=sorted(principal.rights),
            areas=sorted(principal.areas),
            expires_ns=expires_ns,
            site=self.site,
        )
        now = now_us(self._clock)
        reply = pb.Header(
            sender=self._identity.name,
            recipient=header.sender,
            method=LOGIN,
            time_us=now,
            session=body.session,
            expires_us=now + span_us(self._clock, WINDOW_S),
        )
        return seal(self._identity.signer, reply, body.SerializeToString(), None)
