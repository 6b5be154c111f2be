"""Sessions: a mutual one-round-trip login with forward secrecy, then messages that carry a signature and a session tag.

The client signs a login with a fresh SM2 key; the server answers with a secret encrypted to that key, signed over the digest of
the request. Both derive keys per direction by HKDF-SM3 over the transcript, and renew them in the same way. Which checks come
first is chosen so that a flood of false messages is cheap to refuse: shape, addressee, session, times and sequence, then the tag,
then the signature.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from threading import Lock
from typing import Final

from google.protobuf.message import DecodeError
from scadapb.v1 import scada_pb2 as pb

from scada.control.records import Principal
from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import SecurityError
from scada.security.answers import LOGIN, REKEY, Answers
from scada.security.certificates import Certificate
from scada.security.challenges import CHALLENGE_S, Challenges, ClockWatch
from scada.security.envelope import (
    SM2_AND_HMAC_SM3,
    SM2_AND_SM4_GCM,
    BadMacError,
    BadSignatureError,
    MalformedError,
    ReplayedError,
    RevocationsStaleError,
    SessionExpiredError,
    StaleKeyError,
    TimeWindowError,
    UnauthorisedError,
    UnknownSessionError,
    UntrustedError,
    WrongAlgorithmError,
    WrongMethodError,
    WrongPeerError,
    WrongRecipientError,
    WrongSenderError,
    authenticated_bytes,
    check_times,
    now_us,
    read_envelope,
    read_header,
)
from scada.security.identities import Identity
from scada.security.logins import LOGIN_MAXIMUM, NONCE_SIZE, WINDOW_S, Logins
from scada.security.peer import NO_PEER, Peer
from scada.security.roles import may_call
from scada.security.seals import Sealer
from scada.security.session_keys import KeyRing, derive
from scada.security.session_locks import SessionLocks
from scada.security.session_records import Order, Session, SessionPolicy
from scada.security.sm2 import Signer, Sm2PublicKey
from scada.security.sm2_encoding import SIGNATURE_SIZE
from scada.security.sm3 import sm3
from scada.security.trust import Trust

__all__ = ["LOGIN", "REKEY", "SECRET_SIZE", "SERVER_ROLE", "Order", "Session", "SessionPolicy", "SessionServer"]

SERVER_ROLE: Final = "SERVER"
SECRET_SIZE: Final = 32

_OPERATING = ("/scadapb.v1.Control/", "/scadapb.v1.Dispatch/", "/scadapb.v1.Programmes/")
"""Services whose messages stand under the narrow control window, and rest while revocation lists are stale."""

_SESSIONS_PER_IDENTITY = 32


class SessionServer:
    """Makes sessions and proves what comes in them. Safe to call from several threads.

    Args:
        site: our name, the only recipient accepted.
        identity: the server's key and certificate.
        trust: whose certificates are trusted, and who may do what.
        clock: ours.
        control_window_s: allowed clock difference of controls and dispatch, real s.
        lifetime_s: of a session, s.
        policy: what the site demands besides.
        tls_digests: SM3 of the DER of each TLS certificate by which we are reached now; empty without TLS.
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
        policy: SessionPolicy | None = None,
        tls_digests: Callable[[], frozenset[bytes]] = frozenset,
    ) -> None:
        self.site = site
        self.policy = policy or SessionPolicy()
        self._identity = identity
        self._trust = trust
        self._revision = trust.revision
        self._clock = clock
        self._control_window_s = control_window_s
        self._lifetime_s = lifetime_s
        self._answers = Answers(site, identity, clock, self.policy)
        self._algorithm = SM2_AND_SM4_GCM if self.policy.secrecy else SM2_AND_HMAC_SM3
        self._watch = ClockWatch(clock)
        self._challenges = Challenges()
        self._logins = Logins(trust, clock, self._watch, self._challenges, tls_digests, self.policy.tls_names)
        self._lock = Lock()
        self._sessions: dict[bytes, Session] = {}
        self._locks = SessionLocks(self.policy, clock, self._sessions)
        self._listeners: list[Callable[[Session, str], None]] = []

    @property
    def trust(self) -> Trust:
        """Whose certificates are trusted, and who may do what."""
        return self._trust

    # ------------------------------------------------------------------ login and renewal

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
        signed = read_envelope(envelope, LOGIN_MAXIMUM)
        header = read_header(signed, with_mac=False)
        self._check_address(header, LOGIN)
        revision = self._trust.revision
        request, certificate = self._logins.prove(signed, header, peer)
        identifier = secrets.token_bytes(16)
        principal = self._principal(certificate, request.station, identifier, peer)
        now, now_ns = self._clock.monotonic(), self._clock.now_ns()
        remaining_ns = min(int(self._lifetime_s * NS_PER_S), self._trust.expires_ns(certificate) - now_ns)
        secret = secrets.token_bytes(SECRET_SIZE)
        expires_ns = now_ns + remaining_ns
        reply = self._answers.login(request, principal, secret=secret, digest=sm3(envelope), expires_ns=expires_ns)
        session = Session(
            identifier=identifier,
            principal=principal,
            public_key=certificate.public_key,
            ring=KeyRing(derive(secret, envelope, reply, 0), now, self._watch.era),
            certificate=certificate,
            peer=peer,
            began_ns=now_ns,
            expires_ns=expires_ns,
            deadline=now + remaining_ns / NS_PER_S,
            last_order=now,
        )
        self._add(session)
        if self._trust.revision != revision and (why := self._fallen(session)):
            # what changed while the login was proven: `revalidate` may not have seen this session
            self.end(identifier, why)
            raise UntrustedError(why, where=certificate.name)
        return reply, principal

    def rekey(self, envelope: bytes, session_id: str, peer: Peer = NO_PEER) -> bytes:
        """Prove a Signed{RekeyRequest} and renew the keys of its session.

        Returns:
            The serialised signed reply.

        Raises:
            EnvelopeError: naming the cause; the keys remain as they are.
        """
        order = self.prove(envelope, REKEY, session_id, peer)
        session = order.session
        try:
            request = pb.RekeyRequest.FromString(order.body)
            public_key = Sm2PublicKey(request.ephemeral_key)
        except (DecodeError, SecurityError) as error:
            raise MalformedError("the renewal cannot be read", where=session.principal.name) from error
        if len(request.nonce) != NONCE_SIZE:
            raise MalformedError("a renewal has a nonce of 32 bytes", where=session.principal.name)
        epoch, secret = pb.Header.FromString(read_envelope(order.evidence).header).epoch + 1, secrets.token_bytes(SECRET_SIZE)
        if epoch != session.ring.epoch + 1:  # held back: its sender has renewed since and would lose its keys
            raise StaleKeyError("the keys were renewed meanwhile", where=session.principal.name)
        reply = self._answers.rekey(public_key, session.principal, secret=secret, digest=sm3(envelope), epoch=epoch)
        session.ring.renew(derive(secret, envelope, reply, epoch), self._clock.monotonic(), self._watch.era)
        session.renewed_at = session.messages
        return reply

    def challenge(self, session: str = "") -> pb.ChallengeReply:
        """A nonce that stands in place of a time in one message.

        Args:
            session: hex of the session that it is for; empty: for a login.

        Raises:
            EnvelopeError: no such session.
        """
        identifier = self.find(session).identifier if session else b""
        now = now_us(self._clock)
        return pb.ChallengeReply(
            challenge=self._challenges.issue(identifier, self._clock.monotonic()),
            time_us=now,
            valid_until_us=now + round(CHALLENGE_S * 1e6),
        )

    # ------------------------------------------------------------------ messages

    def open(self, envelope: bytes, method: str, session_id: str, peer: Peer = NO_PEER) -> tuple[Principal, bytes]:
        """As :meth:`prove`: who sent it, and the serialised request."""
        order = self.prove(envelope, method, session_id, peer)
        return order.session.principal, order.body

    def prove(self, envelope: bytes, method: str, session_id: str, peer: Peer = NO_PEER) -> Order:
        """Prove a message of a session and that its sender may make the call.

        Args:
            envelope: serialised ``Signed``, as it came.
            method: full name of the call it came by, ``/scadapb.v1.Service/Method``.
            session_id: hex, from the call's metadata; must be the one that was signed.
            peer: the connection it came by.

        Raises:
            EnvelopeError: naming the cause; nothing of the message may act.
        """
        signed = read_envelope(envelope)
        header = read_header(signed, with_mac=True)
        self._check_address(header, method)
        session = self._session(header.session)
        name, now = session.principal.name, self._clock.monotonic()
        if header.session.hex() != session_id.lower():
            raise WrongSenderError("the message was signed for another session", where=name)
        self._check_peer(session, peer)
        if header.sender != name or header.key_id != session.public_key.key_id():
            raise WrongSenderError(f"{header.sender!r} is not the owner of the session", where=name)
        if header.algorithm != self._algorithm:
            raise WrongAlgorithmError(f"algorithm {header.algorithm} where the site demands {self._algorithm}", where=name)
        keys = session.ring.for_request(header.epoch, now)
        self._check_fresh(header, session, method, now)
        if not session.window.is_fresh(header.sequence):
            raise ReplayedError(f"sequence number {header.sequence} was used before", where=name)
        if not keys.proves(signed.mac, authenticated_bytes(signed.header, signed.body), signed.sig):
            raise BadMacError("the session tag is wrong", where=name)
        body, signature = signed.body, signed.sig
        if self.policy.secrecy:
            plain = keys.decipher(header.epoch, header.sequence, body)
            signature, body = plain[:SIGNATURE_SIZE], plain[SIGNATURE_SIZE:]
            envelope = pb.Signed(header=signed.header, body=body, sig=signature).SerializeToString()
        if not session.public_key.verify(signature, authenticated_bytes(signed.header, body)):
            raise BadSignatureError("the signature is wrong", where=name)
        if not session.window.admit(header.sequence):
            raise ReplayedError(f"sequence number {header.sequence} was used before", where=name)
        if header.challenge:
            self._challenges.use(header.challenge, now)
        self._check_right(session.principal, method)
        if method != REKEY:
            self._check_act(session, method, now)
        return Order(session, body, envelope)

    def authenticate(self, session: str, method: str, peer: Peer = NO_PEER) -> Principal:
        """Who makes an unsigned read.

        Args:
            session: hex of the session id, from the call's metadata.
            method: full name of the call.
            peer: the connection it came by.

        Raises:
            EnvelopeError: no live session of that id, of another connection, or it may not make the call.
        """
        return self.admit(session, method, peer).principal

    def admit(self, session: str, method: str, peer: Peer = NO_PEER) -> Session:
        """As :meth:`authenticate`: the session of the caller."""
        found = self.find(session)
        self._check_peer(found, peer)
        self._check_right(found.principal, method)
        return found

    def find(self, session: str) -> Session:
        """A live session by its hex id.

        Raises:
            UnknownSessionError, SessionExpiredError: there is none.
        """
        try:
            identifier = bytes.fromhex(session)
        except ValueError as error:
            raise UnknownSessionError("the session id is not hexadecimal") from error
        return self._session(identifier)

    def check_alive(self, session: Session) -> None:
        """Refuse to go on with a stream whose session is over.

        Raises:
            UnknownSessionError, SessionExpiredError: it is.
        """
        self._session(session.identifier)

    def sealer(self, session: Session, method: str) -> Sealer:
        """What seals the replies of one call."""
        return Sealer(session.identifier, session.ring, method, self._clock, secrecy=self.policy.secrecy)

    @property
    def signer(self) -> Signer:
        """What signs in the server's name."""
        return self._identity.signer

    # ------------------------------------------------------------------ end

    def logout(self, session: str) -> bool:
        """End a session (hex id); False if there was none."""
        try:
            identifier = bytes.fromhex(session)
        except ValueError:
            return False
        return self.end(identifier, "logout")

    def end(self, identifier: bytes, why: str) -> bool:
        """End a session; False if there was none."""
        with self._lock:
            session = self._sessions.pop(identifier, None)
        if session is not None:
            for listener in self._listeners:
                listener(session, why)
        return session is not None

    def expire(self) -> list[Session]:
        """End the sessions whose time is over or whose keys were not renewed, and return them; call it now and then."""
        self._logins.forget()
        now = self._clock.monotonic()
        ended = []
        for session in self.sessions():
            if now >= session.deadline:
                why = "its time is over"
            elif self._locks.is_worn(session):
                why = "its keys were not renewed"
            else:
                continue
            if self.end(session.identifier, why):
                ended.append(session)
        return ended

    def on_end(self, listener: Callable[[Session, str], None]) -> None:
        """Call ``listener`` with every session that ends and why, from whichever thread ended it; it must only hand over."""
        self._listeners.append(listener)

    def revalidate(self) -> list[Session]:
        """Take what has changed in the trust, and end the sessions that it no longer bears; call it a few times a second.

        A session ends if its certificate was revoked or has expired, or if its owner's entry in the table of users has changed:
        the owner logs in again and has what the table says now.
        """
        self._watch.look()
        self._trust.refresh()
        revision = self._trust.revision
        if revision == self._revision:
            return []
        self._revision = revision
        ended = []
        for session in self.sessions():
            why = self._fallen(session)
            if why and self.end(session.identifier, why):
                ended.append(session)
        return ended

    def sessions(self) -> list[Session]:
        """Live sessions."""
        with self._lock:
            return list(self._sessions.values())

    def only_looks(self, session: Session) -> str:
        """Why a live session may give no orders: ``idle_locked``, ``superseded``, or empty if it may."""
        return self._locks.reason(session)

    def superseded_by(self, session: str) -> list[str]:
        """Workstations of the sessions that only look since this one (hex id) was opened."""
        newest = bytes.fromhex(session)
        return [each.principal.station for each in self.sessions() if each.superseded_by[-1:] == [newest]]

    # ------------------------------------------------------------------ inner parts

    def _add(self, session: Session) -> None:
        principal = session.principal
        with self._lock:
            own = [each for each in self._sessions.values() if each.principal.name == principal.name]
            self._locks.supersede(session, own)
            self._sessions[session.identifier] = session
        if len(own) >= _SESSIONS_PER_IDENTITY:
            self.end(own[0].identifier, f"the identity has more than {_SESSIONS_PER_IDENTITY} sessions")

    def _fallen(self, session: Session) -> str:
        """Why a session is no longer borne by the trust, empty if it is."""
        before = session.principal
        try:
            self._trust.check(session.certificate, self._clock.now_ns())
            now = self._trust.principal(session.certificate, station=before.station, session=before.session, peer=session.peer)
            if session.expires_ns > self._trust.expires_ns(session.certificate):
                return "the entry of the identity now ends earlier"
        except SecurityError as error:
            return error.what
        return "" if now == before else "roles, areas or zones of the identity have changed"

    def _check_address(self, header: pb.Header, method: str) -> None:
        if header.recipient != self.site:
            raise WrongRecipientError(f"the message is for {header.recipient!r}, this is {self.site!r}")
        if header.method != method:
            raise WrongMethodError(f"the message is for {header.method!r}, it came by {method!r}")

    def _check_peer(self, session: Session, peer: Peer) -> None:
        if peer.certificate != session.peer.certificate:
            raise WrongPeerError(
                "the call came over another TLS connection than its login's", where=session.principal.name, mend="log in again"
            )

    def _check_fresh(self, header: pb.Header, session: Session, method: str, now: float) -> None:
        if header.challenge:
            self._challenges.check(header.challenge, session.identifier, now)
            return
        self._watch.look()
        check_times(header, self._clock, self._control_window_s if method.startswith(_OPERATING) else WINDOW_S)
        if session.ring.era != self._watch.era:
            raise TimeWindowError("the server's clock was set since the keys were made", mend="use a challenge or renew the keys")

    def _check_right(self, principal: Principal, method: str) -> None:
        if not may_call(principal, method):
            raise UnauthorisedError(
                f"no right to call {method}", where=principal.name, mend=f"roles: {', '.join(sorted(principal.roles)) or 'none'}"
            )

    def _check_act(self, session: Session, method: str, now: float) -> None:
        """A proven order may still have to wait: for lists of revocations, for its person, for the other workstation."""
        name = session.principal.name
        stale = getattr(self._trust, "stale", "") if method.startswith(_OPERATING) else ""
        if stale:
            raise RevocationsStaleError(f"nothing is operated while it is not known who was revoked: {stale}", where=name)
        self._locks.check(session)
        session.last_order, session.last_order_ns = now, self._clock.now_ns()

    def _session(self, identifier: bytes) -> Session:
        with self._lock:
            session = self._sessions.get(identifier)
        if session is None:
            raise UnknownSessionError("no such session", mend="log in again")
        now = self._clock.monotonic()
        if now >= session.deadline:
            raise SessionExpiredError("the session has expired", where=session.principal.name, mend="log in again")
        return session

    def _principal(self, certificate: Certificate, station: str, identifier: bytes, peer: Peer) -> Principal:
        principal = self._trust.principal(certificate, station=station, session=identifier.hex(), peer=peer)
        if not principal.roles:
            raise UnauthorisedError("the identity has no role", where=certificate.name)
        return principal
