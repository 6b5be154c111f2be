"""The other end of a connection, as the transport proved it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """What is known of a caller before it says a word.

    Attributes:
        address: host and port, for logs and limits.
        certificate: SM3 of the DER of its TLS certificate; empty without TLS.
        name: common name of that certificate; empty without TLS.
    """

    address: str = ""
    certificate: bytes = b""
    name: str = ""


NO_PEER = Peer()
