"""The HTTP face: who may ask, how much, and what. Reading only; there is no address that changes anything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scada import __version__
from scada.api.faults import CallError
from scada.core.clock import Clock
from scada.rest.door import Door
from scada.rest.mirror import Mirror, Server
from scada.rest.problems import PROBLEM_TYPE, RestError, of_call
from scada.rest.routes import router
from scada.rest.stream import Streams
from scada.rest.stream_routes import router as stream_router
from scada.rest.tokens import SCOPES, TokenStore

MAXIMUM_URL: Final = 8192

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
    app = _App(title="scada", version=__version__, docs_url=None, redoc_url=None, lifespan=_life, description=_DESCRIPTION)
    app.state.mirror, app.state.server, app.state.site = mirror, server, site
    app.state.door, app.state.streams = Door(tokens, clock), Streams(tokens, clock)
    app.include_router(router)
    app.include_router(stream_router)
    app.add_middleware(Guard)
    _handle_errors(app)
    return app


class _App(FastAPI):
    """Its description says what the answers are: problems are problems, and a request that is malformed gets 400."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once."""
        if self.openapi_schema is None:
            made = super().openapi()
            for answers in (methods["get"]["responses"] for methods in made["paths"].values()):
                answers.pop("422", None)
                for status, answer in answers.items():
                    if status >= "400" and answer["content"]["application/json"]["schema"]["$ref"].endswith("/Problem"):
                        answer["content"] = {PROBLEM_TYPE: answer["content"]["application/json"]}
            for name in ("HTTPValidationError", "ValidationError"):
                made["components"]["schemas"].pop(name, None)
        return self.openapi_schema or {}


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


class Guard:
    """Refuses what is too long to be a question, and says of every answer that it is what it says it is.

    Args:
        app: asked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif len(scope["path"]) + len(scope["query_string"]) > MAXIMUM_URL:
            await RestError(400, "malformed", f"an address has at most {MAXIMUM_URL} characters").response()(scope, receive, send)
        else:
            await self._app(scope, receive, _guarded(send))


def _guarded(send: Send) -> Send:
    async def _send(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Cache-Control", "no-cache")
            headers["X-Content-Type-Options"] = "nosniff"
        await send(message)

    return _send


_DESCRIPTION = (
    "Reading for third parties. Every request but /v1/health and this description needs a bearer token. A value not known "
    "is null and its quality stands beside it; when the server cannot be reached the answer is 503, never an old value. "
    f"Errors are RFC 9457 problems. Scopes: {', '.join(SCOPES)}."
)
