"""Closing one connection of a server: grpc closes none on request, so its socket is sought among the process's own.

Linux only (``/proc/self/fd``); elsewhere nothing is found and nothing closed.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote

_OPEN_FILES: Final = "/proc/self/fd"

End = tuple[str, int]
"""Address of a host in its shortest form, and port."""


def read_end(address: str) -> End:
    """Of grpc's ``ipv4:10.0.0.1:5555`` or ``ipv6:%5Bfe80::1%5D:5555``.

    Raises:
        ValueError: it is neither.

    >>> read_end("ipv6:%5B::ffff:10.0.0.1%5D:5555")
    ('10.0.0.1', 5555)
    """
    host, _, port = unquote(address.partition(":")[2]).rpartition(":")
    return _host(host.strip("[]")), int(port)


def close_connection(port: int, address: str) -> bool:
    """Close the connection that came from a peer's address to a port of ours; its other end reads the end of the stream.

    Args:
        port: ours; connections of other ports are never touched.
        address: the peer's, as grpc writes it.

    Returns:
        False if there is no such connection.
    """
    try:
        ends = port, read_end(address)
        files = os.listdir(_OPEN_FILES)  # noqa: PTH208 - numbers, not paths
    except (ValueError, OSError):
        return False
    for number in files:
        if _ends(int(number)) == ends:
            with suppress(OSError):  # a copy stays the same connection, whatever becomes of the number
                copy = socket.socket(fileno=os.dup(int(number)))
                with copy:
                    if _ends(copy.fileno()) == ends:
                        copy.shutdown(socket.SHUT_RDWR)
                        return True
    return False


def _ends(number: int) -> tuple[int, End] | None:
    """Our port and the far end of an open file; None unless it is a TCP connection over IP."""
    try:
        # the family is only the room for an address; its own says what it is
        looked = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, fileno=number)
    except OSError:
        return None
    try:
        far = looked.getpeername()
        return looked.getsockname()[1], (_host(far[0]), far[1])
    except (OSError, ValueError, IndexError, TypeError):  # no connection, or not over IP
        return None
    finally:
        looked.detach()


def _host(text: str) -> str:
    host = ip_address(text.partition("%")[0])
    mapped = getattr(host, "ipv4_mapped", None)
    return str(mapped or host)
