"""Proof of a login: whose certificate, signed now, meant for us, over the connection it says; and never twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from typing import Final

from google.protobuf.message import DecodeError
from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import Clock
from scada.core.errors import SecurityError
from scada.security.certificates import Certificate, parse_certificate
from scada.security.challenges import Challenges, ClockWatch
from scada.security.envelope import (
    BadSignatureError,
    MalformedError,
    ReplayedError,
    TimeWindowError,
    UntrustedError,
    WrongBindingError,
    WrongPeerError,
    WrongSenderError,
    authenticated_bytes,
    check_times,
    span_us,
)
from scada.security.peer import Peer
from scada.security.sm2 import Sm2PublicKey
from scada.security.sm3 import sm3
from scada.security.trust import Trust

WINDOW_S: Final = 30.0
"""Allowed clock difference of messages that operate nothing, s."""

LOGIN_MAXIMUM: Final = 16 * 1024
"""Bytes of a serialised login: it is kept as evidence."""

NONCE_SIZE: Final = 32

_STATION_MAXIMUM = 64

_parse = lru_cache(maxsize=256)(parse_certificate)
"""Who has logged in before needs no second reading; nothing is proven by it."""


class Logins:
    """Proves logins and remembers those that were served. Safe from several threads.

    Args:
        trust: whose certificates are trusted.
        clock: ours.
        watch: over it.
        challenges: what may stand in place of a time.
        tls_digests: SM3 of the DER of each TLS certificate of ours; empty without TLS.
        tls_names: names of TLS certificates, besides its own, by which an identity may come.
    """

    def __init__(
        self,
        trust: Trust,
        clock: Clock,
        watch: ClockWatch,
        challenges: Challenges,
        tls_digests: Callable[[], frozenset[bytes]],
        tls_names: Mapping[str, frozenset[str]],
    ) -> None:
        self._trust = trust
        self._clock = clock
        self._watch = watch
        self._challenges = challenges
        self._tls_digests = tls_digests
        self._tls_names = tls_names
        self._lock = Lock()
        self._served: dict[bytes, float] = {}
        """Digest of what was signed -> monotonic time at which its window is certainly over."""

    def prove(self, signed: pb.Signed, header: pb.Header, peer: Peer) -> tuple[pb.LoginRequest, Certificate]:
        """Prove a login whose address was checked, and use it up.

        Args:
            signed: what came.
            header: of it.
            peer: the connection.

        Raises:
            EnvelopeError: naming the cause.
        """
        authenticated = authenticated_bytes(signed.header, signed.body)
        digest = sm3(authenticated)  # not of the message: the same login could come in another wrapping
        if digest in self._served:
            raise ReplayedError("this login was used before")
        self._check_fresh(header)
        request, certificate = self._prove_owner(signed, header)
        self._check_connection(header, certificate, peer)
        if not certificate.public_key.verify(signed.sig, authenticated):
            raise BadSignatureError("the signature of the login is wrong", where=certificate.name)
        now = self._clock.monotonic()
        if header.challenge:
            self._challenges.use(header.challenge, now)
        with self._lock:
            if digest in self._served:
                raise ReplayedError("this login was used before")
            self._served[digest] = now + 2 * span_us(self._clock, WINDOW_S) / 1e6
        return request, certificate

    def forget(self) -> None:
        """Forget logins whose window is over; call it now and then."""
        now = self._clock.monotonic()
        with self._lock:
            self._served = {digest: until for digest, until in self._served.items() if until >= now}

    def _check_fresh(self, header: pb.Header) -> None:
        if header.challenge:
            self._challenges.check(header.challenge, b"", self._clock.monotonic())
            return
        self._watch.look()
        check_times(header, self._clock, WINDOW_S)
        if header.time_us < self._watch.oldest_login_us(span_us(self._clock, WINDOW_S)):
            raise TimeWindowError(
                "signed before this server started or its clock was set back", mend="log in again, with a challenge if it lasts"
            )

    def _prove_owner(self, signed: pb.Signed, header: pb.Header) -> tuple[pb.LoginRequest, Certificate]:
        try:
            request = pb.LoginRequest.FromString(signed.body)
        except DecodeError as error:
            raise MalformedError("the login cannot be read") from error
        try:
            certificate = _parse(request.certificate)
            Sm2PublicKey(request.ephemeral_key)
            self._trust.check(certificate, self._clock.now_ns())
            self._trust.principal(certificate)
        except SecurityError as error:
            raise UntrustedError(error.what, where=error.where, mend=error.mend) from error
        if header.sender != certificate.name or header.key_id != certificate.public_key.key_id():
            raise WrongSenderError(f"{header.sender!r} sent the certificate of {certificate.name!r}")
        if header.session or header.sequence or header.epoch or len(request.nonce) != NONCE_SIZE:
            raise MalformedError("a login has no session, number or epoch, and a nonce of 32 bytes", where=certificate.name)
        if len(request.station) > _STATION_MAXIMUM or not request.station.isprintable():
            raise MalformedError("the name of the workstation has more than 64 or unprintable characters", where=certificate.name)
        return request, certificate

    def _check_connection(self, header: pb.Header, certificate: Certificate, peer: Peer) -> None:
        """The client saw our TLS certificate, and we see one of its own."""
        ours = self._tls_digests()
        if header.binding not in (ours or (b"",)):
            raise WrongBindingError(
                "the client saw another TLS certificate than this server's",
                where=certificate.name,
                mend="is a gateway between, or did only one end use TLS?",
            )
        if ours and peer.name != certificate.name and peer.name not in self._tls_names.get(certificate.name, ()):
            raise WrongPeerError(
                f"the TLS certificate is of {peer.name!r}",
                where=certificate.name,
                mend="list it in [security.tls_names] if it may",
            )
