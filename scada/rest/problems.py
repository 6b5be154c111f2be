"""Errors as RFC 9457 problems: what, a machine code, and nothing of our insides."""

from __future__ import annotations

from typing import Any, Final

import grpc
from fastapi.responses import JSONResponse

from scada.api.faults import CallError

PROBLEM_TYPE: Final = "application/problem+json"
_TITLES: Final = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    429: "Too many requests",
    500: "Internal error",
    503: "Not available",
}
_STATUSES: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
}


class RestError(Exception):
    """Ends a request with a problem.

    Args:
        status: HTTP status.
        code: machine-readable cause.
        detail: one sentence.
        headers: more of the answer.
    """

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}

    def response(self) -> JSONResponse:
        """The answer."""
        headers = {"Cache-Control": "no-store", **self.headers}
        return JSONResponse(problem(self.status, self.code, self.detail), self.status, headers, media_type=PROBLEM_TYPE)


def problem(status: int, code: str, detail: str) -> dict[str, Any]:
    """The body of an error."""
    title = _TITLES.get(status, "Error")
    return {"type": f"urn:scada:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}


def of_call(error: CallError) -> RestError:
    """What a refused call of the server is for a third party; the server being away is not the caller's fault."""
    status = _STATUSES.get(error.status, 503)
    if status == 503:
        return RestError(503, "unavailable", "the server does not answer, or refuses us", {"Retry-After": "5"})
    return RestError(status, error.code, error.what)
