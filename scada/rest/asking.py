"""What every address has in common: the token first, then the mirror, the points that are wanted, pages and entity tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import Field
from scadapb.v1 import scada_pb2 as pb

from scada.events.records import EventKind
from scada.rest import shapes
from scada.rest.mirror import Mirror
from scada.rest.permits import sees_point
from scada.rest.problems import RestError
from scada.rest.times import parse_time
from scada.rest.tokens import Token
from scada.security.sm3 import sm3

PAGE: Final = 500
LONGEST_PAGE: Final = 5000
_NAME = 256

bearer = HTTPBearer(auto_error=False, description="A token of `scada rest token issue`.")
_KINDS: Final = {kind.name.lower(): int(kind) for kind in EventKind}
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": shapes.Problem, "description": "RFC 9457 problem"} for status in (400, 401, 403, 404, 429, 500, 503)
}
"""What every address may answer instead."""
UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "Nothing has changed since `If-None-Match`"}}

Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description="Entries of a page.")]
After = Annotated[int, Query(ge=-1, le=0xFFFF_FFFF, description="The `next` of the page before.")]
Name = Annotated[str, Query(max_length=_NAME)]
Sought = Annotated[str, Query(max_length=_NAME, description="In path, name or mRID.")]
PointNames = Annotated[list[str], Query(max_length=1000, description="mRIDs or numbers of points; none = all.")]
KindName = Annotated[str, Field(json_schema_extra={"enum": sorted(_KINDS)})]
_DAY = r"(19[7-9]\d|2[01]\d\d|22[0-5]\d)-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"
MOMENT: Final[dict[str, Any]] = {
    "max_length": 40,
    "description": "ISO 8601 with an offset, or ns since 1970.",
    "json_schema_extra": {"pattern": rf"^(\d{{1,18}}|[1-8]\d{{18}}|{_DAY}T{_CLOCK}(:[0-5]\d(\.\d{{1,9}})?)?(Z|[+-]{_CLOCK}))?$"},
}
"""Times of queries; the pattern is published and not checked, see :func:`moment`."""


def reader(scope: str) -> Any:
    """The token of a request, proven before anything else of it is looked at."""

    def _admit(request: Request) -> Token:
        token: Token = request.app.state.door.admit(request, scope)
        return token

    return Depends(_admit)


def mirror_of(request: Request) -> Mirror:
    """The copy of model and values, whatever its age."""
    mirror: Mirror = request.app.state.mirror
    return mirror


def fresh(request: Request) -> Mirror:
    """The copy of model and values as of now.

    Raises:
        RestError: it is old: 503.
    """
    mirror = mirror_of(request)
    mirror.check()
    return mirror


async def call(request: Request, method: str, message: Any, *, timeout_s: float = 10.0) -> Any:
    """Ask the server what is not mirrored."""
    return await request.app.state.server.call(method, message, timeout_s=timeout_s)


def named(mirror: Mirror, token: Token, names: Sequence[str]) -> list[int]:
    """Numbers of points that are named.

    Raises:
        RestError: 404, there is none of the name; one that may not be seen does not exist.
    """
    pids = []
    for name in names:
        pid = mirror.pid_of(name)
        if pid is None or not sees_point(token, mirror.points[pid]):
            raise RestError(404, "not_found", f"there is no point {name[:64]!r}")
        pids.append(pid)
    return pids


def chosen(mirror: Mirror, token: Token, pids: Sequence[int], station: str, query: str) -> list[pb.PointInfo]:
    """Points that are wanted and may be seen, by number; no ``pids`` = all."""
    candidates = [mirror.points[pid] for pid in sorted(set(pids)) if pid in mirror.points] if pids else mirror.points.values()
    sought = query.casefold()
    found = [each for each in candidates if sees_point(token, each) and fits(each, station, sought)]
    return sorted(found, key=lambda each: each.pid)


def fits(row: pb.PointInfo | pb.ControlInfo, station: str, query: str) -> bool:
    """Whether a point or control is of a station (empty = any) and has the text in path, name or mRID."""
    if station not in ("", row.station):
        return False
    return not query or query in row.path.casefold() or query in row.name.casefold() or query == row.mrid.casefold()


def tagged(request: Request, body: dict[str, Any], version: str) -> Response:
    """An answer with an entity tag, by the version of what was asked or else by the answer: 304 if the caller has it already."""
    response = JSONResponse(body)
    asked = f"{version} {request.url.path} {request.url.query} {request.headers.get('authorization', '')}".encode()
    tag = f'W/"{sm3(asked if version else bytes(response.body)).hex()[:32]}"'
    response.headers["ETag"] = tag
    if tag in [each.strip() for each in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers={"ETag": tag})
    return response


def moment(text: str) -> int:
    """A time of a query, ns UTC; 0 for none.

    Raises:
        RestError: 400, it is none.
    """
    if not text:
        return 0
    try:
        return parse_time(text)
    except ValueError as error:
        raise RestError(400, "malformed", str(error)) from error


def kind_of(name: str) -> int:
    """Number of a kind of events.

    Raises:
        RestError: 400, there is none.
    """
    if name.lower() not in _KINDS:
        raise RestError(400, "malformed", f"kinds of events are {', '.join(sorted(_KINDS))}")
    return _KINDS[name.lower()]
