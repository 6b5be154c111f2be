"""TLS 1.2 is refused in the handshake. gRPC has no setting for the lowest version, but one for the suites of TLS 1.2."""

from __future__ import annotations

import os
from typing import Final

_VARIABLE: Final = "GRPC_SSL_CIPHER_SUITES"
_UNUSABLE: Final = "ECDHE-PSK-AES128-CBC-SHA"
"""A suite for keys agreed beforehand, which nobody who has certificates can speak."""


def refuse_tls_1_2() -> None:
    """Leave TLS 1.2 no suite in this process, unless its environment names some; call it before grpc is loaded."""
    os.environ.setdefault(_VARIABLE, _UNUSABLE)
