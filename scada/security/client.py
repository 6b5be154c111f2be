"""The client's side of a session: log in, prove the server, seal messages."""

from __future__ import annotations

import secrets
from threading import Lock
from typing import Final

from google.protobuf.message import DecodeError, Message
from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import Clock
from scada.core.errors import SecurityError
from scada.security.certificates import Certificate, check_certificate, parse_certificate
from scada.security.envelope import (
    BadSignatureError,
    MalformedError,
    UnknownSessionError,
    UntrustedError,
    WrongMethodError,
    WrongRecipientError,
    authenticated_bytes,
    check_times,
    now_us,
    read_envelope,
    read_header,
    seal,
    span_us,
)
from scada.security.identities import Identity
from scada.security.session import LOGIN, SECRET_SIZE, SERVER_ROLE, WINDOW_S, mac_key
from scada.security.sm2 import Sm2Key
from scada.security.sm3 import sm3

VALID_S: Final = 10.0
"""Real seconds for which a sealed message may act."""


class SessionClient:
    """One session with one server; safe to seal from several threads.

    Args:
        identity: who we are.
        site: name of the server's site, the recipient of all we sign.
        authority: whose certificates we trust.
        clock: ours; the server refuses controls whose time differs by more than its window.
        station: name of this workstation.
    """

    def __init__(self, identity: Identity, site: str, authority: Certificate, clock: Clock, *, station: str = "") -> None:
        self._identity = identity
        self._site = site
        self._authority = authority
        self._clock = clock
        self._station = station
        self._lock = Lock()
        self._sequence = 0
        self._request = b""
        self._ephemeral: Sm2Key | None = None
        self._session = b""
        self._key = b""

    @property
    def session(self) -> str:
        """Hex of the session id, for the metadata entry ``session`` of every call; empty before login."""
        return self._session.hex()

    def login_request(self) -> bytes:
        """A fresh serialised Signed{LoginRequest}; forgets an earlier session."""
        self._ephemeral = Sm2Key.generate()
        self._session = self._key = b""
        body = pb.LoginRequest(
            certificate=self._identity.certificate.encoded,
            ephemeral_key=self._ephemeral.point(),
            nonce=secrets.token_bytes(SECRET_SIZE),
            station=self._station,
        )
        header = self._header(LOGIN, WINDOW_S)
        self._request = seal(self._identity.signer, header, body.SerializeToString(), None).SerializeToString()
        return self._request

    def accept(self, reply: bytes) -> pb.LoginReply:
        """Prove the server's answer and open the session.

        Args:
            reply: serialised Signed{LoginReply}, as it came.

        Raises:
            SecurityError: the answer is not by a server that our authority certified, or not to our request.
        """
        if self._ephemeral is None:
            raise UnknownSessionError("no login was sent")
        signed = read_envelope(reply)
        header = read_header(signed, with_mac=False)
        if header.method != LOGIN:
            raise WrongMethodError(f"the answer is to {header.method!r}")
        if header.recipient != self._identity.name:
            raise WrongRecipientError(f"the answer is to {header.recipient!r}")
        try:
            body = pb.LoginReply.FromString(signed.body)
        except DecodeError as error:
            raise MalformedError("the server's answer cannot be read") from error
        self._prove_server(signed, header, body)
        check_times(header, self._clock, WINDOW_S)
        if body.request_digest != sm3(self._request):
            raise UntrustedError("the answer is not to our login")
        if body.site != self._site or len(body.session) != 16:
            raise WrongRecipientError(f"the server is of site {body.site!r}, not {self._site!r}")
        secret = self._ephemeral.decrypt(body.sealed_secret)
        if len(secret) != SECRET_SIZE:
            raise MalformedError("the session secret has a wrong size")
        with self._lock:
            self._key = mac_key(secret, self._request, reply)
            self._session = body.session
            self._sequence = 0
        self._ephemeral = None
        return body

    def seal(self, method: str, message: Message, *, valid_s: float = VALID_S) -> bytes:
        """A serialised ``Signed`` of a request.

        Args:
            method: full name of the call, ``/scadapb.v1.Service/Method``.
            message: the request.
            valid_s: real seconds after which the server must not act on it.

        Raises:
            UnknownSessionError: not logged in.
        """
        with self._lock:
            if not self._key:
                raise UnknownSessionError("not logged in")
            key, session = self._key, self._session
            self._sequence += 1
            sequence = self._sequence
        header = self._header(method, valid_s)
        header.session = session
        header.sequence = sequence
        return seal(self._identity.signer, header, message.SerializeToString(), key).SerializeToString()

    def _header(self, method: str, valid_s: float) -> pb.Header:
        now = now_us(self._clock)
        return pb.Header(
            sender=self._identity.name,
            recipient=self._site,
            method=method,
            time_us=now,
            expires_us=now + span_us(self._clock, valid_s),
        )

    def _prove_server(self, signed: pb.Signed, header: pb.Header, body: pb.LoginReply) -> None:
        try:
            certificate = parse_certificate(body.certificate)
            check_certificate(certificate, self._authority, self._clock.now_ns())
        except SecurityError as error:
            raise UntrustedError(f"the server's certificate: {error.what}", where=error.where, mend=error.mend) from error
        if SERVER_ROLE not in certificate.roles or header.sender != certificate.name:
            raise UntrustedError("the answer is not signed by a server", where=certificate.name)
        if not certificate.public_key.verify(signed.sig, authenticated_bytes(signed.header, signed.body)):
            raise BadSignatureError("the server's signature is wrong", where=certificate.name)
