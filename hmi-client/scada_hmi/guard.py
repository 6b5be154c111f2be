"""Who may talk to the station: this machine, this page, the browser that was launched with the token.

A page of another origin can reach a loopback port (DNS rebinding, a plain ``fetch``); so every request must name us in ``Host``,
a WebSocket must come from our own ``Origin``, and both must carry the cookie that the one-time launch token was traded for.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "scada_station"
"""Name of the cookie, followed by our port: cookies of one host are shared by all its ports."""

_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


class Guard:
    """ASGI middleware: refuses what does not come from our own page.

    Args:
        app: the guarded application.
        port: port the station listens on.
        on_launch: called with a fresh launch address each time one is needed (at start, and when a token was used).
    """

    def __init__(self, app: ASGIApp, port: int, on_launch: Callable[[str], None]) -> None:
        self._app = app
        self._hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        self._origins = frozenset(f"http://{host}" for host in self._hosts)
        self._base = f"http://127.0.0.1:{port}"
        self._cookie = f"{COOKIE}_{port}"
        self._on_launch = on_launch
        self._admitted: set[str] = set()
        self._token = ""

    def issue(self) -> str:
        """Make a new one-time launch token; the former one is void. Returns the address to open."""
        self._token = secrets.token_urlsafe(32)
        address = f"{self._base}/launch?token={self._token}"
        self._on_launch(address)
        return address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse or pass on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refuse(scope)
        if refusal is None and scope["type"] == "http" and scope["path"] == "/launch":
            await self._launch(scope)(scope, receive, send)
        elif refusal is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})
        else:
            await PlainTextResponse(refusal + "\n", status_code=403, headers=_HEADERS)(scope, receive, send)

    def _refuse(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if headers.get("host", "") not in self._hosts:
            return "refused: the request names another host"
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins:
            return "refused: the request comes from another site"
        if scope["type"] == "websocket" and origin is None:
            return "refused: the request names no origin"
        if scope["type"] == "http" and scope["path"] == "/launch":
            return None
        if not self._is_admitted(headers.get("cookie", "")):
            return "refused: open the address that `scada hmi` printed (a launch address works once)"
        return None

    def _is_admitted(self, cookies: str) -> bool:
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(cookies)
        except CookieError:
            return False
        morsel = jar.get(self._cookie)
        return morsel is not None and any(secrets.compare_digest(morsel.value, known) for known in self._admitted)

    def _launch(self, scope: Scope) -> Response:
        """Trade the token for the cookie. A used token is replaced at once, for the next browser."""
        query = dict(part.partition("=")[::2] for part in scope["query_string"].decode("latin-1").split("&"))
        if not self._token or not secrets.compare_digest(query.get("token", "").encode(), self._token.encode()):
            return PlainTextResponse("refused: this launch address was used or is wrong\n", status_code=403, headers=_HEADERS)
        value = secrets.token_urlsafe(32)
        self._admitted.add(value)
        self.issue()
        response = RedirectResponse("/", status_code=303, headers=_HEADERS)
        response.set_cookie(self._cookie, value, httponly=True, samesite="strict", path="/")
        return response


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await send(message)

    return wrapped
