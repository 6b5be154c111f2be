"""The station's web application: the committed page, the catalogues of event texts, and the tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

import scada.api
from scada_hmi.guard import Guard
from scada_hmi.methods import allowed_methods
from scada_hmi.tunnel import Kind, Tunnel, pack
from scada_hmi.upstream import Upstream, UpstreamState

STATIC = Path(__file__).with_name("static")
"""The committed bundle, built from ``hmi-client/src``."""

TEXTS = Path(scada.api.__file__).with_name("texts")
"""Catalogues of event texts that every face shares."""


def station_app(upstream: Upstream, port: int, on_launch: Callable[[str], None], *, language: str = "") -> Guard:
    """The guarded application of one operator station.

    Args:
        upstream: connection to the server; entered and left by the caller.
        port: loopback port it will be served on (part of the Host and Origin checks).
        on_launch: called with each fresh launch address.
        language: ``zh`` or ``en`` the page starts in; empty = the browser's.
    """
    methods = allowed_methods()

    async def index(request: Request) -> Response:
        """The page."""
        del request
        return FileResponse(STATIC / "index.html")

    async def texts(request: Request) -> Response:
        """A catalogue of event texts."""
        name = request.path_params["name"]
        if not re.fullmatch(r"[a-z]{2}\.json", name) or not (TEXTS / name).is_file():
            return PlainTextResponse("no such catalogue\n", status_code=404)
        return FileResponse(TEXTS / name)

    async def tunnel(socket: WebSocket) -> None:
        """All calls of one page."""
        await socket.accept()
        await _serve_page(socket, Tunnel(upstream, methods, socket.send_bytes), upstream, language)

    routes = [
        Route("/", index),
        Route("/texts/{name}", texts),
        WebSocketRoute("/tunnel", tunnel),
        Mount("/", StaticFiles(directory=STATIC)),
    ]
    return Guard(Starlette(routes=routes), port, on_launch)


async def _serve_page(socket: WebSocket, tunnel: Tunnel, upstream: Upstream, language: str) -> None:
    """Relay until the page goes."""

    def tell(state: UpstreamState) -> None:
        message = json.dumps({**state.as_json(), "language": language}).encode()
        tunnel.outbox.put_end(0, pack(Kind.STATE, 0, message))

    forget = upstream.on_state(tell)
    pump = asyncio.create_task(tunnel.pump())
    try:
        while True:
            tunnel.receive(await socket.receive_bytes())
    except (ValueError, KeyError):
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close(1007, "broken frame")
    except WebSocketDisconnect:
        pass
    finally:
        forget()
        tunnel.close()
        pump.cancel()
        with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await pump
