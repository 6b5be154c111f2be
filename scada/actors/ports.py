"""Listening ports: a busy one is a clear error before anything starts."""

from __future__ import annotations

import errno
import socket

from scada.core.errors import PortInUseError


def check_port(host: str, port: int, purpose: str) -> None:
    """Raise if ``port`` cannot be listened on.

    Args:
        host: address or name to bind, IPv4 or IPv6.
        port: TCP port; 0 is always free.
        purpose: what the port is for, named in the error.

    Raises:
        PortInUseError: another process listens there, or the port is not allowed to us.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        cause = "is in use by another process" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise PortInUseError(f"port {port} for {purpose} {cause}", where=host, mend="choose another port") from error
