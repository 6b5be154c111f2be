"""Who stands at the other end of a call, as its TLS connection proved it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from scada.security.peer import Peer
from scada.security.tls_trust import peer_certificate

_CERTIFICATE: Final = "x509_pem_cert"
_VERSION: Final = "ssl_tls_version"

_known: ContextVar[Peer | None] = ContextVar("scada_peer", default=None)
"""Of the call whose task runs; asking grpc costs several microseconds."""


def peer_of(context: Any) -> Peer:
    """The caller of a call.

    Args:
        context: the ``grpc.aio.ServicerContext`` of the call.

    Returns:
        Its address, and name and SM3 digest of its TLS certificate, both empty without TLS.

    Raises:
        SecurityError: grpc admitted a certificate that cannot be read.
    """
    known = _known.get()
    return known or read_peer(context)[0]


def read_peer(context: Any) -> tuple[Peer, bytes, str]:
    """The caller, the PEM of its TLS certificate and the version of TLS; both empty without TLS."""
    proven = context.auth_context()
    pem = b"".join(proven.get(_CERTIFICATE, ())[:1])
    version = b"".join(proven.get(_VERSION, ())[:1]).decode()
    if not pem:
        return Peer(context.peer()), b"", version
    certificate = peer_certificate(pem)
    return Peer(context.peer(), certificate.digest, certificate.name), pem, version


def remember(peer: Peer) -> None:
    """Spare the rest of this call's task the question."""
    _known.set(peer)
