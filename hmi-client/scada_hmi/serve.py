"""Run one operator station: bind loopback, print the launch address, serve until told to stop."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import uvicorn

from scada.core.errors import PortInUseError
from scada_hmi.app import station_app
from scada_hmi.tunnel import MAX_MESSAGE
from scada_hmi.upstream import ServerLink

HOST = "127.0.0.1"
"""The page is served to this machine only; there is no option for another address."""

SHUTDOWN_S = 1


def bind(port: int) -> socket.socket:
    """A listening socket on loopback; port 0 takes any free one.

    Raises:
        PortInUseError: another process has the port.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        busy = error.errno == errno.EADDRINUSE
        raise PortInUseError(
            "the port is in use" if busy else f"cannot listen: {error.strerror}",
            where=f"{HOST}:{port}",
            mend="give --port another number; 0 takes any free one",
        ) from error
    listener.setblocking(False)
    return listener


async def serve(link: ServerLink, listener: socket.socket, on_launch: Callable[[str], None], *, language: str = "") -> None:
    """Serve the page on a bound socket until SIGINT or SIGTERM.

    Args:
        link: connection to the server, not yet entered.
        listener: from :func:`bind`.
        on_launch: called with the address to open, at start and whenever one was used.
        language: ``zh``, ``en`` or empty for the browser's.
    """
    port = listener.getsockname()[1]
    guard = station_app(link, port, on_launch, language=language)
    config = uvicorn.Config(
        guard,
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    async with link:
        guard.issue()
        await uvicorn.Server(config).serve(sockets=[listener])
