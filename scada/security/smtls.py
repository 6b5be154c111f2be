"""TLS 1.3 over SM2, SM3 and SM4 (RFC 8998): one suite, one curve, one signature, certificates of both sides.

This is ``TLS_SM4_GCM_SM3`` with ``curveSM2`` and ``sm2sig_sm3`` by the OpenSSL within pyOpenSSL (extra ``smtls``). It is not TLCP
(GB/T 38636): where that or a certified device is demanded, a gateway stands in front. Two calls are private to pyOpenSSL, so
:func:`smtls_check` proves before anything listens that they exist and do what they should.

A :class:`SmTls` is one end of one connection without a socket: octets of the network go in and come out, so do those of the user.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scada.core.clock import Clock
from scada.core.errors import SecurityError
from scada.security.certificates import Certificate, parse_certificate
from scada.security.identities import Identity
from scada.security.session import SERVER_ROLE
from scada.security.sm2 import Sm2Key
from scada.security.trust import Trust

SUITE: Final = "TLS_SM4_GCM_SM3"
_CURVE: Final = b"curveSM2"
_SIGNATURE: Final = b"sm2sig_sm3"
_PIECE: Final = 16_384


class SmTlsError(SecurityError):
    """The connection cannot be trusted or its octets cannot be read; it is to be closed."""


def smtls_check(identity: Identity) -> str:
    """Prove that the libraries do what they should, by a handshake of the identity with itself.

    Returns:
        Version of the library, for the log.

    Raises:
        SecurityError: pyOpenSSL is missing, too old, or does not shake hands by :data:`SUITE`.
    """
    ends = [_connection(identity, server=server) for server in (True, False)]
    ssl = _library()
    for _ in range(8):
        for one, other in (ends, ends[::-1]):
            _proceed(one)
            if octets := _out(one):
                other.bio_write(octets)
    if not all(end.get_cipher_name() == SUITE for end in ends):
        raise SecurityError("pyOpenSSL does not shake hands by SM2, SM3 and SM4", mend="pip install 'scada-ems[smtls]'")
    return str(ssl.SSLeay_version(0).decode())


class SmTls:
    """One end of one connection.

    Args:
        identity: ours; its key must be a file's, not a token's.
        trust: whose certificates are trusted.
        clock: for the peer's certificate.
        server: True at the end that was called.
    """

    def __init__(self, identity: Identity, trust: Trust, clock: Clock, *, server: bool) -> None:
        self._trust = trust
        self._clock = clock
        self._server = server
        self._connection = _connection(identity, server=server)
        self.peer: Certificate | None = None
        """The other end's, once the handshake has ended."""
        self.closed = False
        """The peer has said that nothing follows."""

    def receive(self, octets: bytes) -> bytes:
        """Octets of the network; returns what they carry for the user. With ``b""`` it begins.

        Raises:
            SmTlsError: the handshake fails, or the peer is not trusted, or the octets were altered.
        """
        ssl = _library()
        parts = []
        try:
            if octets:
                self._connection.bio_write(octets)
            if self.peer is None:
                self._connection.do_handshake()
                self.peer = self._prove()
            while True:
                parts.append(self._connection.recv(_PIECE))
        except ssl.WantReadError:
            pass
        except ssl.ZeroReturnError:
            self.closed = True
        except ssl.Error as error:
            raise SmTlsError(f"SM TLS: {_reason(error)}") from error
        return b"".join(parts)

    def send(self, data: bytes) -> None:
        """Data of the user; :meth:`outgoing` then has octets."""
        self._connection.sendall(data)

    def outgoing(self) -> bytes:
        """Octets for the network."""
        return _out(self._connection)

    def check(self) -> None:
        """Prove the peer again; call it once a second while the connection stands.

        Raises:
            SmTlsError: its certificate was revoked or has expired since.
        """
        if self.peer is not None:
            self._judge(self.peer)

    def _prove(self) -> Certificate:
        found = self._connection.get_peer_certificate(as_cryptography=True)
        if found is None or self._connection.get_cipher_name() != SUITE:
            raise SmTlsError("SM TLS: the peer showed no certificate")
        try:
            certificate = parse_certificate(found.public_bytes(Encoding.DER))
        except SecurityError as error:
            raise SmTlsError(f"SM TLS: {error.what}") from error
        self._judge(certificate)
        return certificate

    def _judge(self, certificate: Certificate) -> None:
        try:
            self._trust.check(certificate, self._clock.now_ns())
        except SecurityError as error:
            raise SmTlsError(f"SM TLS: {error.what}", where=certificate.name) from error
        if not self._server and SERVER_ROLE not in certificate.roles:
            raise SmTlsError("SM TLS: the other end is no server", where=certificate.name)


def _connection(identity: Identity, *, server: bool) -> Any:
    """Certificates are asked for here and judged by ours: OpenSSL knows neither our roles nor our way with lists."""
    from OpenSSL import crypto  # noqa: PLC0415 - an extra

    ssl = _library()
    context = ssl.Context(ssl.TLS_METHOD)
    context.set_min_proto_version(ssl.TLS1_3_VERSION)
    context.set_options(ssl.OP_NO_TICKET)
    context.set_session_cache_mode(ssl.SESS_CACHE_OFF)
    context.set_tls13_ciphersuites(SUITE.encode())
    _private(context, "SSL_CTX_set1_curves_list", _CURVE)
    _private(context, "SSL_CTX_set1_sigalgs_list", _SIGNATURE)
    signer = identity.signer
    if not isinstance(signer, Sm2Key):
        raise SecurityError("SM TLS needs a key that is a file's", where=identity.name, mend="use another identity")
    context.use_certificate(x509.load_pem_x509_certificate(identity.certificate.pem()))
    with warnings.catch_warnings():
        # it wants keys of cryptography, which has none on this curve
        warnings.simplefilter("ignore", DeprecationWarning)
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, signer.private_pem()))
    context.check_privatekey()
    # the chain is judged by ours after the handshake, which proves that the peer holds the key
    context.set_verify(ssl.VERIFY_PEER | ssl.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    connection = ssl.Connection(context, None)
    (connection.set_accept_state if server else connection.set_connect_state)()
    return connection


def _library() -> Any:
    try:
        from OpenSSL import SSL  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SecurityError("pyOpenSSL is not installed", mend="pip install 'scada-ems[smtls]'") from error
    return SSL


def _private(context: Any, name: str, value: bytes) -> None:
    """A call that pyOpenSSL has but does not show."""
    from OpenSSL import _util  # noqa: PLC0415 - an extra

    call = getattr(_util.lib, name, None)
    inner = getattr(context, "_context", None)
    if call is None or inner is None or call(inner, value) != 1:
        raise SecurityError(
            f"this pyOpenSSL cannot {name} {value.decode()}", mend="install the version that the extra smtls names"
        )


def _proceed(connection: Any) -> None:
    ssl = _library()
    try:
        connection.do_handshake()
    except ssl.WantReadError:
        return
    except ssl.Error as error:
        raise SecurityError(f"the self-test of SM TLS failed: {_reason(error)}") from error


def _out(connection: Any) -> bytes:
    ssl = _library()
    parts = []
    try:
        while True:
            parts.append(connection.bio_read(1 << 17))
    except ssl.WantReadError:
        return b"".join(parts)


def _reason(error: Exception) -> str:
    listed = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return listed[0][-1] if listed else (str(error) or type(error).__name__)
