"""The client's side of a session: log in, prove the server, seal messages."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from google.protobuf.message import DecodeError, Message
from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import Clock
from scada.core.errors import SecurityError
from scada.security.answers import LOGIN, REKEY
from scada.security.authorities import Authorities
from scada.security.certificates import Certificate, parse_certificate
from scada.security.envelope import (
    BadSignatureError,
    MalformedError,
    UnknownSessionError,
    UntrustedError,
    WrongMethodError,
    WrongRecipientError,
    authenticated_bytes,
    now_us,
    read_envelope,
    read_header,
    seal,
    span_us,
)
from scada.security.identities import Identity, IdentityHolder
from scada.security.logins import NONCE_SIZE, WINDOW_S
from scada.security.seals import SealReader
from scada.security.sequence import SequenceWindow
from scada.security.session import SECRET_SIZE, SERVER_ROLE
from scada.security.session_keys import KeyRing, derive
from scada.security.sm2 import Sm2Key
from scada.security.sm3 import sm3

REPLY_WINDOW: Final = 16_384
"""Replies of other calls that may come while a message of a slow stream is under way."""

VALID_S: Final = 10.0
"""Real seconds for which a sealed message may act."""


class SessionClient:
    """One session with one server; safe to seal from several threads.

    Args:
        identity: who we are; asked again at each login.
        site: name of the server's site, the recipient of all we sign.
        authority: whose certificates we trust: a root, or a folder's authorities with their revocation lists.
        clock: ours; the server refuses controls whose time differs by more than its window, unless a challenge stands in for it.
        station: name of this workstation.
        binding: SM3 of the DER of the server's TLS certificate as this end sees it; empty without TLS.
    """

    def __init__(
        self,
        identity: IdentityHolder,
        site: str,
        authority: Certificate | Authorities,
        clock: Clock,
        *,
        station: str = "",
        binding: Callable[[], bytes] = bytes,
    ) -> None:
        self._holder = identity
        self._identity = identity.current
        """Of the login that was sent last."""
        self._site = site
        self._authorities = authority if isinstance(authority, Authorities) else Authorities(authority)
        self._clock = clock
        self._station = station
        self._binding = binding
        self._lock = Lock()
        self._request = b""
        self._ephemeral: Sm2Key | None = None
        self._state: _State | None = None

    @property
    def session(self) -> str:
        """Hex of the session id, for the metadata entry ``session`` of every call; empty before login."""
        state = self._state
        return state.session.hex() if state else ""

    @property
    def server(self) -> Certificate | None:
        """Whom the login has met; None before."""
        state = self._state
        return state.server if state else None

    @property
    def rekey_due(self) -> bool:
        """The keys have served their time or their number of messages."""
        state = self._state
        return state is not None and state.is_due(self._clock.monotonic())

    def want_rekey(self) -> None:
        """The keys are to be renewed soon, e.g. since the server's clock was set."""
        state = self._state
        if state is not None:
            state.wanted = True

    # ------------------------------------------------------------------ login and renewal

    def login_request(self, challenge: bytes = b"") -> bytes:
        """A fresh serialised Signed{LoginRequest}; an earlier session goes on until :meth:`accept`.

        Args:
            challenge: of ``Session/GetChallenge`` without a session, where the clocks differ.
        """
        self._ephemeral = Sm2Key.generate()
        self._holder.refresh()
        self._identity = self._holder.current
        body = pb.LoginRequest(
            certificate=self._identity.certificate.encoded,
            ephemeral_key=self._ephemeral.point(),
            nonce=secrets.token_bytes(NONCE_SIZE),
            station=self._station,
        )
        header = self._header(self._identity, LOGIN, WINDOW_S, challenge)
        header.binding = self._binding()
        self._request = seal(self._identity.signer, header, body.SerializeToString(), None).SerializeToString()
        return self._request

    def accept(self, reply: bytes) -> pb.LoginReply:
        """Prove the server's answer and open the session.

        Its times need no look: it is bound to our request, which no one else could have made.

        Args:
            reply: serialised Signed{LoginReply}, as it came.

        Raises:
            SecurityError: the answer is not by a server that our authority certified, or not to our request.
        """
        if self._ephemeral is None:
            raise UnknownSessionError("no login was sent")
        signed, _ = self._answer(reply, LOGIN)
        try:
            body = pb.LoginReply.FromString(signed.body)
        except DecodeError as error:
            raise MalformedError("the server's answer cannot be read") from error
        server = self._prove_server(signed, body)
        self._check_digest(body.request_digest)
        if body.site != self._site or len(body.session) != 16:
            raise WrongRecipientError(f"the server is of site {body.site!r}, not {self._site!r}")
        keys = derive(_secret(self._ephemeral, body.sealed_secret), self._request, reply, 0)
        self._ephemeral = None
        self._state = _State(
            session=body.session,
            identity=self._identity,
            server=server,
            ring=KeyRing(keys, self._clock.monotonic()),
            secrecy=body.secrecy,
            rekey_after_s=body.rekey_after_s,
            rekey_after_messages=body.rekey_after_messages,
        )
        return body

    def rekey_request(self, challenge: bytes = b"") -> bytes:
        """A serialised Signed{RekeyRequest}; the session goes on under its keys until :meth:`accept_rekey`.

        Raises:
            UnknownSessionError: not logged in.
        """
        self._ephemeral = Sm2Key.generate()
        body = pb.RekeyRequest(ephemeral_key=self._ephemeral.point(), nonce=secrets.token_bytes(NONCE_SIZE))
        self._request = self.seal(REKEY, body, challenge=challenge)
        return self._request

    def accept_rekey(self, reply: bytes) -> None:
        """Prove the server's answer and go on under the new keys.

        Raises:
            SecurityError: the answer is not by the server of this session, or not to our request; the keys remain as they are.
        """
        state = self._state
        if self._ephemeral is None or state is None:
            raise UnknownSessionError("no renewal was sent")
        signed, header = self._answer(reply, REKEY)
        if not state.server.public_key.verify(signed.sig, authenticated_bytes(signed.header, signed.body)):
            raise BadSignatureError("the server's signature is wrong")
        try:
            body = pb.RekeyReply.FromString(signed.body)
        except DecodeError as error:
            raise MalformedError("the server's answer cannot be read") from error
        self._check_digest(body.request_digest)
        if header.session != state.session or body.epoch != header.epoch:
            raise UntrustedError("the answer is not to our renewal")
        keys = derive(_secret(self._ephemeral, body.sealed_secret), self._request, reply, body.epoch)
        self._ephemeral = None
        with self._lock:
            state.ring.renew(keys, self._clock.monotonic())
            state.renewed_at = state.messages
            state.wanted = False

    # ------------------------------------------------------------------ messages

    def seal(self, method: str, message: Message, *, valid_s: float = VALID_S, challenge: bytes = b"") -> bytes:
        """A serialised ``Signed`` of a request.

        Args:
            method: full name of the call, ``/scadapb.v1.Service/Method``.
            message: the request.
            valid_s: real seconds after which the server must not act on it.
            challenge: of ``Session/GetChallenge``, in place of the time, where the clocks differ.

        Raises:
            UnknownSessionError: not logged in.
        """
        with self._lock:
            state = self._state
            if state is None:
                raise UnknownSessionError("not logged in")
            keys = state.ring.for_next_request()
            state.sequence += 1
            sequence = state.sequence
        header = self._header(state.identity, method, valid_s, challenge)
        header.session = state.session
        header.sequence = sequence
        header.epoch = keys.epoch
        body = message.SerializeToString()
        return seal(state.identity.signer, header, body, keys.requests, secrecy=state.secrecy).SerializeToString()

    def reader(self, method: str, *, signed: bool = False) -> SealReader:
        """What proves the replies of one call; set its ``request`` to the digest of the request.

        Args:
            method: full name of the call.
            signed: the request is Signed, so the server signs its reply too.

        Raises:
            UnknownSessionError: not logged in.
        """
        state = self._state
        if state is None:
            raise UnknownSessionError("not logged in")
        server = state.server.public_key if signed else None
        return SealReader(state.session, state.ring, state.replies, method, server, self._clock, secrecy=state.secrecy)

    # ------------------------------------------------------------------ inner parts

    def _header(self, identity: Identity, method: str, valid_s: float, challenge: bytes) -> pb.Header:
        now = now_us(self._clock)
        return pb.Header(
            sender=identity.name,
            recipient=self._site,
            method=method,
            time_us=now,
            expires_us=now + span_us(self._clock, valid_s),
            challenge=challenge,
        )

    def _answer(self, reply: bytes, method: str) -> tuple[pb.Signed, pb.Header]:
        signed = read_envelope(reply)
        header = read_header(signed, with_mac=False)
        if header.method != method:
            raise WrongMethodError(f"the answer is to {header.method!r}")
        if header.recipient != self._identity.name:
            raise WrongRecipientError(f"the answer is to {header.recipient!r}")
        return signed, header

    def _check_digest(self, digest: bytes) -> None:
        if digest != sm3(self._request):
            raise UntrustedError("the answer is not to our request")

    def _prove_server(self, signed: pb.Signed, body: pb.LoginReply) -> Certificate:
        try:
            certificate = parse_certificate(body.certificate)
            self._authorities.check(certificate, self._clock.now_ns())
        except SecurityError as error:
            raise UntrustedError(f"the server's certificate: {error.what}", where=error.where, mend=error.mend) from error
        if SERVER_ROLE not in certificate.roles or pb.Header.FromString(signed.header).sender != certificate.name:
            raise UntrustedError("the answer is not signed by a server", where=certificate.name)
        if not certificate.public_key.verify(signed.sig, authenticated_bytes(signed.header, signed.body)):
            raise BadSignatureError("the server's signature is wrong", where=certificate.name)
        return certificate


@dataclass(slots=True, eq=False)
class _State:
    """The session that is open."""

    session: bytes
    identity: Identity
    server: Certificate
    ring: KeyRing
    secrecy: bool
    rekey_after_s: int
    rekey_after_messages: int
    sequence: int = 0
    renewed_at: int = 0
    wanted: bool = False
    replies: SequenceWindow = field(default_factory=lambda: SequenceWindow(REPLY_WINDOW))

    @property
    def messages(self) -> int:
        return self.sequence + self.replies.highest

    def is_due(self, now: float) -> bool:
        messages = self.messages - self.renewed_at
        return self.wanted or 0 < self.rekey_after_s <= self.ring.age(now) or 0 < self.rekey_after_messages <= messages


def _secret(ephemeral: Sm2Key, sealed: bytes) -> bytes:
    secret = ephemeral.decrypt(sealed)
    if len(secret) != SECRET_SIZE:
        raise MalformedError("the session secret has a wrong size")
    return secret
