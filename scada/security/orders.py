"""Proof of the messages of a session: by its owner, of now, under its keys, once, and with the right to make the call.

Which checks come first is chosen so that a flood of false messages is cheap to refuse: shape, addressee, session, times and
sequence, then the tag, then the signature.
"""

from __future__ import annotations

from typing import Final

from scadapb.v1 import scada_pb2 as pb

from scada.control.records import Principal
from scada.core.clock import Clock
from scada.security.answers import REKEY
from scada.security.challenges import Challenges, ClockWatch
from scada.security.envelope import (
    SM2_AND_HMAC_SM3,
    SM2_AND_SM4_GCM,
    BadMacError,
    BadSignatureError,
    ReplayedError,
    RevocationsStaleError,
    TimeWindowError,
    UnauthorisedError,
    WrongAlgorithmError,
    WrongMethodError,
    WrongPeerError,
    WrongRecipientError,
    WrongSenderError,
    authenticated_bytes,
    check_times,
    read_envelope,
    read_header,
)
from scada.security.logins import WINDOW_S
from scada.security.peer import Peer
from scada.security.roles import may_call
from scada.security.session_records import Order, Session, SessionPolicy
from scada.security.session_table import SessionTable
from scada.security.sm2_encoding import SIGNATURE_SIZE
from scada.security.trust import Trust

_OPERATING: Final = ("/scadapb.v1.Control/", "/scadapb.v1.Dispatch/", "/scadapb.v1.Programmes/")
"""Services whose messages stand under the narrow control window, and rest while revocation lists are stale."""


class Orders:
    """Proves them. Safe from several threads.

    Args:
        site: our name, the only recipient accepted.
        table: live sessions.
        trust: says whether it is known who was revoked.
        clock: ours.
        watch: over it.
        challenges: what may stand in place of a time.
        policy: what the site demands.
        control_window_s: allowed clock difference of controls and dispatch, real s.
    """

    def __init__(
        self,
        site: str,
        table: SessionTable,
        trust: Trust,
        clock: Clock,
        watch: ClockWatch,
        challenges: Challenges,
        policy: SessionPolicy,
        control_window_s: float,
    ) -> None:
        self._site = site
        self._table = table
        self._trust = trust
        self._clock = clock
        self._watch = watch
        self._challenges = challenges
        self._secrecy = policy.secrecy
        self._algorithm = SM2_AND_SM4_GCM if policy.secrecy else SM2_AND_HMAC_SM3
        self._control_window_s = control_window_s

    def prove(self, envelope: bytes, method: str, session_id: str, peer: Peer) -> Order:
        """Prove a message and that its sender may make the call.

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
        check_address(header, self._site, method)
        session = self._table.live(header.session)
        name, now = session.principal.name, self._clock.monotonic()
        if header.session.hex() != session_id.lower():
            raise WrongSenderError("the message was signed for another session", where=name)
        check_peer(session, peer)
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
        if self._secrecy:
            plain = keys.decipher(header.epoch, header.sequence, body)
            signature, body = plain[:SIGNATURE_SIZE], plain[SIGNATURE_SIZE:]
            envelope = pb.Signed(header=signed.header, body=body, sig=signature).SerializeToString()
        if not session.public_key.verify(signature, authenticated_bytes(signed.header, body)):
            raise BadSignatureError("the signature is wrong", where=name)
        if not session.window.admit(header.sequence):
            raise ReplayedError(f"sequence number {header.sequence} was used before", where=name)
        if header.challenge:
            self._challenges.use(header.challenge, now)
        check_right(session.principal, method)
        if method != REKEY:
            self._check_act(session, method, now)
        return Order(session, body, envelope)

    def _check_fresh(self, header: pb.Header, session: Session, method: str, now: float) -> None:
        if header.challenge:
            self._challenges.check(header.challenge, session.identifier, now)
            return
        self._watch.look()
        check_times(header, self._clock, self._control_window_s if method.startswith(_OPERATING) else WINDOW_S)
        if session.ring.era != self._watch.era:
            raise TimeWindowError("the server's clock was set since the keys were made", mend="use a challenge or renew the keys")

    def _check_act(self, session: Session, method: str, now: float) -> None:
        """A proven order may still have to wait: for lists of revocations, for its person, for the other workstation."""
        name = session.principal.name
        stale = getattr(self._trust, "stale", "") if method.startswith(_OPERATING) else ""
        if stale:
            raise RevocationsStaleError(f"nothing is operated while it is not known who was revoked: {stale}", where=name)
        self._table.locks.check(session)
        session.last_order, session.last_order_ns = now, self._clock.now_ns()


def check_address(header: pb.Header, site: str, method: str) -> None:
    """Refuse what was signed for another site or another call.

    Raises:
        WrongRecipientError, WrongMethodError: it was.
    """
    if header.recipient != site:
        raise WrongRecipientError(f"the message is for {header.recipient!r}, this is {site!r}")
    if header.method != method:
        raise WrongMethodError(f"the message is for {header.method!r}, it came by {method!r}")


def check_peer(session: Session, peer: Peer) -> None:
    """Refuse what came over another TLS connection than the login of its session.

    Raises:
        WrongPeerError: it did.
    """
    if peer.certificate != session.peer.certificate:
        raise WrongPeerError(
            "the call came over another TLS connection than its login's", where=session.principal.name, mend="log in again"
        )


def check_right(principal: Principal, method: str) -> None:
    """Refuse a call that nothing allows.

    Raises:
        UnauthorisedError: no right to it.
    """
    if not may_call(principal, method):
        raise UnauthorisedError(
            f"no right to call {method}", where=principal.name, mend=f"roles: {', '.join(sorted(principal.roles)) or 'none'}"
        )
