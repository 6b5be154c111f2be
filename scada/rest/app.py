"""The HTTP face: who may ask, how much, and what. Reading only; there is no address that changes anything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from scada import __version__
from scada.api.faults import CallError
from scada.core.clock import Clock
from scada.core.errors import StoreError
from scada.rest.mirror import Mirror, Server
from scada.rest.problems import RestError, of_call
from scada.rest.routes import router
from scada.rest.tokens import SCOPES, Buckets, Token, TokenError, TokenStore

STRANGER_PER_MINUTE: Final = 60
"""Requests a minute of one address that show no good token; more are refused without a line in the log."""
MAXIMUM_URL: Final = 8192
_LOGGED: Final = 256
"""Characters of an address in the log."""

_log = structlog.get_logger("rest")


def make_app(server: Server, tokens: TokenStore, clock: Clock, site: str = "", *, follow: bool = True) -> FastAPI:
    """The application.

    Args:
        server: asked for all that is not mirrored.
        tokens: who may ask.
        clock: rates, ages.
        site: shown in the description.
        follow: start to mirror values with the application.
    """
    mirror = Mirror(server, clock)

    @contextlib.asynccontextmanager
    async def _life(_: FastAPI) -> AsyncGenerator[None, None]:
        task = asyncio.create_task(mirror.run()) if follow else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    # no pages: they would fetch scripts from elsewhere; the description itself is served
    app = FastAPI(title="scada", version=__version__, docs_url=None, redoc_url=None, lifespan=_life, description=_DESCRIPTION)
    app.state.mirror, app.state.server, app.state.site = mirror, server, site
    app.state.door = Door(tokens, clock)
    app.include_router(router)
    _handle_errors(app)
    return app


class Door:
    """Proves tokens and counts requests.

    Args:
        tokens: good ones.
        clock: rates.
    """

    def __init__(self, tokens: TokenStore, clock: Clock) -> None:
        self._tokens = tokens
        self._callers = Buckets(clock)
        self._strangers = Buckets(clock)

    def admit(self, request: Request, scope: str) -> Token:
        """The token of a request that may read a scope.

        Raises:
            RestError: 401, 403 or 429.
        """
        peer = request.client.host if request.client else ""
        try:
            token = self._tokens.check(_bearer(request))
        except TokenError as error:
            if wait := self._strangers.take(peer, STRANGER_PER_MINUTE):
                raise _too_many(wait) from error  # not logged: strangers do not fill the disk
            _log.warning("refused", peer=peer, code=error.code, path=request.url.path[:_LOGGED], reason=error.what)
            raise RestError(401, error.code, error.what, {"WWW-Authenticate": f'Bearer error="{error.code}"'}) from error
        except StoreError as error:
            _log.error("the tokens cannot be read, nobody is let in", cause=str(error))
            raise RestError(503, "unavailable", "nobody can be let in now", {"Retry-After": "30"}) from error
        if wait := self._callers.take(token.id, token.per_minute):
            _log.warning("rate limited", peer=peer, token=token.id, name=token.name)
            raise _too_many(wait)
        if scope not in token.scopes:
            _log.warning("refused", peer=peer, token=token.id, name=token.name, code="scope", path=request.url.path)
            raise RestError(403, "scope", f"the token is not good for {scope}")
        return token


def _bearer(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise TokenError("no_token", "the request carries no bearer token")
    return token.strip()


def _too_many(wait: float) -> RestError:
    return RestError(429, "rate", "too many requests", {"Retry-After": str(int(wait) + 1)})


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(RestError)
    async def _told(_: Request, error: RestError) -> JSONResponse:
        return error.response()

    @app.exception_handler(CallError)
    async def _refused(request: Request, error: CallError) -> JSONResponse:
        _log.warning("the server refused", path=request.url.path, code=error.code, cause=error.what)
        return of_call(error).response()

    @app.exception_handler(RequestValidationError)
    async def _malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = "; ".join(f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}" for each in error.errors()[:5])
        return RestError(400, "malformed", wrong[:500]).response()

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method"}.get(error.status_code, "http")
        return RestError(error.status_code, code, str(error.detail), dict(error.headers or {})).response()

    @app.exception_handler(Exception)
    async def _broken(request: Request, error: Exception) -> JSONResponse:
        _log.error("request failed", path=request.url.path, exc_info=error)
        return RestError(500, "internal", "this could not be done; the log says why").response()

    @app.middleware("http")
    async def _guard(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        if len(str(request.url)) > MAXIMUM_URL:
            return RestError(400, "malformed", f"an address has at most {MAXIMUM_URL} characters").response()
        response = await go_on(request)
        response.headers.setdefault("Cache-Control", "no-cache")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


_DESCRIPTION = (
    "Reading for third parties. Every request but /v1/health and this description needs a bearer token. A value not known "
    "is null and its quality stands beside it; when the server cannot be reached the answer is 503, never an old value. "
    f"Errors are RFC 9457 problems. Scopes: {', '.join(SCOPES)}."
)
