"""Sessions: a mutual one-round-trip login with forward secrecy, then messages that carry a signature and a session tag.

The client signs a login with a fresh SM2 key; the server answers with a secret encrypted to that key, signed over the digest of
the request. Both derive keys per direction by HKDF-SM3 over the transcript, and renew them in the same way. Logins are proven by
:mod:`scada.security.logins`, messages by :mod:`scada.security.orders`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
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
    MalformedError,
    StaleKeyError,
    UnauthorisedError,
    UntrustedError,
    now_us,
    read_envelope,
    read_header,
)
from scada.security.identities import Identity, IdentityHolder
from scada.security.logins import LOGIN_MAXIMUM, NONCE_SIZE, Logins
from scada.security.orders import Orders, check_address, check_peer, check_right
from scada.security.peer import NO_PEER, Peer
from scada.security.seals import Sealer
from scada.security.session_keys import KeyRing, derive
from scada.security.session_records import Order, Session, SessionPolicy
from scada.security.session_table import SessionTable
from scada.security.sm2 import Signer, Sm2PublicKey
from scada.security.sm3 import sm3
from scada.security.trust import Trust

__all__ = ["LOGIN", "REKEY", "SECRET_SIZE", "SERVER_ROLE", "Order", "Session", "SessionPolicy", "SessionServer"]

SERVER_ROLE: Final = "SERVER"
SECRET_SIZE: Final = 32


class SessionServer:
    """Makes sessions and proves what comes in them. Safe to call from several threads.

    Args:
        site: our name, the only recipient accepted.
        identity: whom to ask for the server's key and certificate.
        trust: whose certificates are trusted, and who may do what.
        clock: ours.
        control_window_s: allowed clock difference of controls and dispatch, real s.
        lifetime_s: of a session, s.
        policy: what the site demands besides.
        tls_digests: SM3 of the DER of each TLS certificate by which we are reached now; empty without TLS.

    Attributes:
        clock: ours; certificates are judged by it.
        identity: whom to ask for the server's key and certificate.
    """

    def __init__(
        self,
        *,
        site: str,
        identity: IdentityHolder,
        trust: Trust,
        clock: Clock,
        control_window_s: float = 2.0,
        lifetime_s: float = 12 * 3600.0,
        policy: SessionPolicy | None = None,
        tls_digests: Callable[[], frozenset[bytes]] = frozenset,
    ) -> None:
        self.site = site
        self.policy = policy or SessionPolicy()
        self.identity = identity
        self._trust = trust
        self._revision = trust.revision
        self.clock = clock
        self._lifetime_s = lifetime_s
        self._answers = Answers(site, clock, self.policy)
        self._watch = ClockWatch(clock)
        self._challenges = Challenges()
        self._logins = Logins(trust, clock, self._watch, self._challenges, tls_digests, self.policy.tls_names)
        self._table = SessionTable(self.policy, clock)
        self._locks = self._table.locks
        self._orders = Orders(site, self._table, trust, clock, self._watch, self._challenges, self.policy, control_window_s)

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
        check_address(header, self.site, LOGIN)
        revision = self._trust.revision
        request, certificate = self._logins.prove(signed, header, peer)
        identifier = secrets.token_bytes(16)
        principal = self._principal(certificate, request.station, identifier, peer)
        now, now_ns = self.clock.monotonic(), self.clock.now_ns()
        remaining_ns = min(int(self._lifetime_s * NS_PER_S), self._trust.expires_ns(certificate) - now_ns)
        secret, server = secrets.token_bytes(SECRET_SIZE), self.identity.current
        expires_ns = now_ns + remaining_ns
        reply = self._answers.login(server, request, principal, secret=secret, digest=sm3(envelope), expires_ns=expires_ns)
        session = Session(
            identifier=identifier,
            principal=principal,
            public_key=certificate.public_key,
            ring=KeyRing(derive(secret, envelope, reply, 0), now, self._watch.era),
            certificate=certificate,
            peer=peer,
            server=server,
            began_ns=now_ns,
            expires_ns=expires_ns,
            deadline=now + remaining_ns / NS_PER_S,
            last_order=now,
        )
        self._table.add(session)
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
        server = self._server_of(session)
        reply = self._answers.rekey(server, public_key, session.principal, secret=secret, digest=sm3(envelope), epoch=epoch)
        session.ring.renew(derive(secret, envelope, reply, epoch), self.clock.monotonic(), self._watch.era)
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
        now = now_us(self.clock)
        return pb.ChallengeReply(
            challenge=self._challenges.issue(identifier, self.clock.monotonic()),
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
        return self._orders.prove(envelope, method, session_id, peer)

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
        check_peer(found, peer)
        check_right(found.principal, method)
        return found

    def find(self, session: str) -> Session:
        """A live session by its hex id.

        Raises:
            UnknownSessionError, SessionExpiredError: there is none.
        """
        return self._table.find(session)

    def check_alive(self, session: Session) -> None:
        """Refuse to go on with a stream whose session is over.

        Raises:
            UnknownSessionError, SessionExpiredError: it is.
        """
        self._table.live(session.identifier)

    def sealer(self, session: Session, method: str) -> Sealer:
        """What seals the replies of one call."""
        return Sealer(session.identifier, session.ring, method, self.clock, secrecy=self.policy.secrecy)

    def signer(self, session: Session) -> Signer:
        """What signs the replies of a session in the server's name: by the key that its client has proven."""
        return self._server_of(session).signer

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
        return self._table.end(identifier, why)

    def expire(self) -> list[Session]:
        """End the sessions whose time is over or whose keys were not renewed, and return them; call it now and then."""
        self._logins.forget()
        return self._table.end_worn()

    def on_end(self, listener: Callable[[Session, str], None]) -> None:
        """Call ``listener`` with every session that ends and why, from whichever thread ended it; it must only hand over."""
        self._table.on_end(listener)

    def revalidate(self) -> list[Session]:
        """Take what has changed in the trust, and end the sessions that it no longer bears; call it a few times a second.

        A session ends if its certificate was revoked or has expired, or if its owner's entry in the table of users has changed:
        the owner logs in again and has what the table says now. One that knows us by a key of before goes on while the
        certificate of that key is good.
        """
        self._watch.look()
        self._trust.refresh()
        self.identity.refresh()
        changed = self._trust.revision != self._revision
        self._revision = self._trust.revision
        ended = []
        for session in self.sessions():
            why = (self._fallen(session) if changed else "") or self._outlived(session)
            if why and self.end(session.identifier, why):
                ended.append(session)
        return ended

    def sessions(self) -> list[Session]:
        """Live sessions."""
        return self._table.all()

    def only_looks(self, session: Session) -> str:
        """Why a live session may give no orders: ``idle_locked``, ``superseded``, or empty if it may."""
        return self._locks.reason(session)

    def superseded_by(self, session: str) -> list[str]:
        """Workstations of the sessions that only look since this one (hex id) was opened."""
        newest = bytes.fromhex(session)
        return [each.principal.station for each in self.sessions() if each.superseded_by[-1:] == [newest]]

    # ------------------------------------------------------------------ inner parts

    def _fallen(self, session: Session) -> str:
        """Why a session is no longer borne by the trust, empty if it is."""
        before = session.principal
        try:
            self._trust.check(session.certificate, self.clock.now_ns())
            now = self._trust.principal(session.certificate, station=before.station, session=before.session, peer=session.peer)
            if session.expires_ns > self._trust.expires_ns(session.certificate):
                return "the entry of the identity now ends earlier"
        except SecurityError as error:
            return error.what
        return "" if now == before else "roles, areas or zones of the identity have changed"

    def _server_of(self, session: Session) -> Identity:
        """Who we are to the client of a session: a renewed certificate of the same key makes no difference to it."""
        current = self.identity.current
        same = current.certificate.public_key.point() == session.server.certificate.public_key.point()
        return current if same else session.server

    def _outlived(self, session: Session) -> str:
        """Why the key by which a session knows us is no longer ours, empty if it still is."""
        server = self._server_of(session)
        if server is self.identity.current:
            return ""
        try:
            self._trust.check(server.certificate, self.clock.now_ns())
        except SecurityError as error:
            return f"the server's identity of the login is over: {error.what}"
        return ""

    def _principal(self, certificate: Certificate, station: str, identifier: bytes, peer: Peer) -> Principal:
        principal = self._trust.principal(certificate, station=station, session=identifier.hex(), peer=peer)
        if not principal.roles:
            raise UnauthorisedError("the identity has no role", where=certificate.name)
        return principal
