"""The addresses: each reads one scope, of the stations that its token is good for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from scadapb.v1 import scada_pb2 as pb

from scada.events.records import EventKind
from scada.rest import shapes
from scada.rest.mirror import Mirror
from scada.rest.problems import RestError
from scada.rest.tokens import Token
from scada.security.sm3 import sm3

PAGE: Final = 500
LONGEST_PAGE: Final = 5000
HISTORY_POINTS: Final = 20
HISTORY_CALL_S: Final = 60.0
_NAME = 256

_bearer = HTTPBearer(auto_error=False, description="A token of `scada rest token issue`.")
_KINDS: Final = {kind.name.lower(): int(kind) for kind in EventKind}
_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": shapes.Problem, "description": "RFC 9457 problem"} for status in (400, 401, 403, 404, 429, 503)
}

Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description="Entries of a page.")]
Name = Annotated[str, Query(max_length=_NAME)]
_MOMENT: Final[dict[str, Any]] = {"max_length": 40, "description": "ISO 8601 with an offset, or ns since 1970."}

Answer = TypeVar("Answer", bound=Callable[..., Awaitable[Response]])
router = APIRouter(prefix="/v1")


def _read(path: str, shape: type[shapes.Shape], text: str) -> Callable[[Answer], Answer]:
    """Decorator of an address that needs a token."""
    return router.get(path, response_model=shape, responses=_PROBLEMS, summary=text, dependencies=[Depends(_bearer)])


def _reader(scope: str) -> Any:
    """The token of a request, proven before anything else of it is looked at."""

    def admit(request: Request) -> Token:
        token: Token = request.app.state.door.admit(request, scope)
        return token

    return Depends(admit)


@router.get("/health", response_model=shapes.Health, responses={503: {"model": shapes.Health}}, summary="Can be asked by anybody")
async def health(request: Request) -> Response:
    """Whether answers can be had; needs no token and says no more."""
    fault = _mirror(request).fault
    return JSONResponse({"status": "unavailable" if fault else "ok", "reason": fault}, 503 if fault else 200)


@_read("/status", shapes.Status, "The overview")
async def status(request: Request, token: Annotated[Token, _reader("status")]) -> Response:
    """Frequency, areas, channels; a token of some stations sees their channels only."""
    told = await _call(request, "Realtime/GetStatus", pb.GetStatusRequest())
    everything = not token.stations
    body = {
        "site": told.site,
        "version": told.version,
        "time": shapes.time(told.time_ns),
        "seq": told.seq,
        "areas": [shapes.area(each) for each in told.areas] if everything else [],
        "channels": [shapes.channel(each) for each in told.channels if _sees(token, each.station)],
    }
    names = ("points_total", "points_good", "alarms_active", "alarms_unacknowledged", "agc_state", "avc_state")
    body |= {name: getattr(told, name) if everything else None for name in names}
    return JSONResponse(body)


@_read("/model/stations", shapes.Stations, "Stations")
async def stations(request: Request, token: Annotated[Token, _reader("model")]) -> Response:
    """Stations and their voltage levels."""
    mirror = _fresh(request)
    found = [shapes.station(each) for each in mirror.model.stations if _sees(token, each.name)]
    return _tagged(request, {"model_version": mirror.model.version, "stations": found}, mirror.model.version)


@_read("/model/points", shapes.Points, "Points")
async def points(
    request: Request,
    token: Annotated[Token, _reader("model")],
    station: Name = "",
    query: Annotated[str, Query(max_length=_NAME, description="In path, name or mRID.")] = "",
    after: Annotated[int, Query(ge=-1)] = -1,
    limit: Limit = PAGE,
) -> Response:
    """Points of the model by number."""
    mirror = _fresh(request)
    found, more = _page(_chosen(mirror, token, (), station, query), after, limit)
    body = {
        "model_version": mirror.model.version,
        "points": [shapes.point(each) for each in found],
        "next": found[-1].pid if more else None,
    }
    return _tagged(request, body, mirror.model.version)


@_read("/values", shapes.Values, "Present values")
async def values(
    request: Request,
    token: Annotated[Token, _reader("values")],
    point: Annotated[list[str], Query(max_length=1000, description="mRIDs or numbers of points; none = all.")] = [],  # noqa: B006
    station: Name = "",
    query: Name = "",
    after: Annotated[int, Query(ge=-1)] = -1,
    limit: Limit = PAGE,
) -> Response:
    """Present values with their quality, all as of one sequence number; with ``If-None-Match`` 304 while nothing changed."""
    mirror = _fresh(request)
    found, more = _page(_chosen(mirror, token, point, station, query), after, limit)
    body = {
        "seq": mirror.seq,
        "model_version": mirror.model.version,
        "time": shapes.time(mirror.time_ns),
        "values": [shapes.value(each, *mirror.row(each.pid)) for each in found],
        "next": found[-1].pid if more else None,
    }
    return _tagged(request, body, f"{mirror.model.version}-{mirror.seq}")


@_read("/alarms", shapes.Alarms, "Present alarms")
async def alarms(request: Request, token: Annotated[Token, _reader("alarms")], station: Name = "") -> Response:
    """Alarms that are present; alarms of no station only for tokens of all stations."""
    told = await _call(request, "Events/ListAlarms", pb.ListAlarmsRequest())
    found = [shapes.alarm(each) for each in told.alarms if _sees(token, each.station) and station in ("", each.station)]
    suppressed = None if token.stations else told.suppressed
    return _tagged(request, {"alarms": found, "last_event_id": told.last_event_id, "suppressed": suppressed}, "")


@_read("/events", shapes.Events, "Stored events")
async def events(
    request: Request,
    token: Annotated[Token, _reader("events")],
    since: Annotated[str, Query(alias="from", **_MOMENT)] = "",
    until: Annotated[str, Query(alias="to", **_MOMENT)] = "",
    kind: Annotated[list[str], Query(max_length=32, description="Kinds of events; none = all.")] = [],  # noqa: B006
    station: Name = "",
    text: Name = "",
    oldest_first: bool = False,
    cursor: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """Events by time, newest first unless asked otherwise. A page may be shorter than ``limit`` and still have a ``next``."""
    wanted = pb.ListEventsRequest(
        from_ns=_moment(since),
        to_ns=_moment(until),
        kinds=[_kind(each) for each in kind],
        limit=limit,
        station=station,
        text=text,
        behind=cursor,
        oldest_first=oldest_first,
    )
    told = await _call(request, "Events/ListEvents", wanted)
    shown = [shapes.event(each) for each in told.events if _sees(token, each.station)]
    return JSONResponse({"events": shown, "next": told.events[-1].event_id if len(told.events) == limit else None})


@_read("/history", shapes.History, "Recorded samples")
async def history(
    request: Request,
    token: Annotated[Token, _reader("history")],
    point: Annotated[list[str], Query(min_length=1, max_length=HISTORY_POINTS, description="mRIDs or numbers of points.")],
    since: Annotated[str, Query(alias="from", **_MOMENT)],
    until: Annotated[str, Query(alias="to", **_MOMENT)],
    buckets: Annotated[int, Query(ge=0, le=5000, description="At most so many spans with minimum and maximum; 0 = samples.")] = 0,
    period_s: Annotated[int, Query(ge=0, le=86_400, multiple_of=60, description="Aggregates of this period instead.")] = 0,
) -> Response:
    """Samples of a span, or spans of them; a gap stays a gap. Where ``truncated`` go on behind the last time."""
    mirror = _fresh(request)
    chosen = _chosen(mirror, token, point, "", "")
    begin, end = _moment(since), _moment(until)
    if begin >= end:
        raise RestError(400, "malformed", "the span ends before it begins")
    wanted = pb.HistoryRequest(pids=[each.pid for each in chosen], from_ns=begin, to_ns=end, buckets=buckets, period_s=period_s)
    told = await _call(request, "History/Query", wanted, timeout_s=HISTORY_CALL_S)
    by_pid = {each.pid: each for each in chosen}
    return JSONResponse({"series": [shapes.series(by_pid[each.pid], each) for each in told.series if each.pid in by_pid]})


@_read("/dispatch", shapes.Dispatch, "Orders of upstream dispatch")
async def dispatch(request: Request, token: Annotated[Token, _reader("dispatch")]) -> Response:
    """What dispatch asked and what became of it; only for tokens of all stations."""
    if token.stations:
        raise RestError(403, "station", "the token is good for some stations, dispatch is of the whole site")
    told = await _call(request, "Dispatch/GetDispatch", pb.GetDispatchRequest())
    body = {
        "interchange_setpoint_mw": shapes.known(told.interchange_setpoint_mw),
        "interchange_mw": shapes.known(told.interchange_mw),
        "orders": [shapes.order(each) for each in told.orders],
    }
    return JSONResponse(body)


# ---------------------------------------------------------------------- parts


def _mirror(request: Request) -> Mirror:
    mirror: Mirror = request.app.state.mirror
    return mirror


def _fresh(request: Request) -> Mirror:
    mirror = _mirror(request)
    mirror.check()
    return mirror


async def _call(request: Request, method: str, message: Any, *, timeout_s: float = 10.0) -> Any:
    return await request.app.state.server.call(method, message, timeout_s=timeout_s)


def _sees(token: Token, station: str) -> bool:
    return not token.stations or station in token.stations


def _chosen(mirror: Mirror, token: Token, names: Sequence[str], station: str, query: str) -> list[pb.PointInfo]:
    """Points that are wanted and may be seen, by number; one that may not be seen does not exist."""
    if names:
        pids = [mirror.pid_of(name) for name in names]
        found = [mirror.points[pid] if pid is not None else None for pid in pids]
        for name, each in zip(names, found, strict=True):
            if each is None or not _sees(token, each.station):
                raise RestError(404, "not_found", f"there is no point {name[:64]!r}")
        candidates: Iterable[pb.PointInfo] = [each for each in found if each is not None]
    else:
        candidates = mirror.points.values()
    sought = query.casefold()
    chosen = {each.pid: each for each in candidates if _sees(token, each.station) and _fits(each, station, sought)}
    return [chosen[pid] for pid in sorted(chosen)]


def _fits(point: pb.PointInfo, station: str, query: str) -> bool:
    if station not in ("", point.station):
        return False
    return not query or query in point.path.casefold() or query in point.name.casefold() or query == point.mrid.casefold()


def _page(found: list[pb.PointInfo], after: int, limit: int) -> tuple[list[pb.PointInfo], bool]:
    behind = [each for each in found if each.pid > after]
    return behind[:limit], len(behind) > limit


def _tagged(request: Request, body: dict[str, Any], version: str) -> Response:
    """An answer with an entity tag, by the version of what was asked or else by the answer: 304 if the caller has it already."""
    response = JSONResponse(body)
    asked = f"{version} {request.url.path} {request.url.query} {request.headers.get('authorization', '')}".encode()
    tag = f'W/"{sm3(asked if version else bytes(response.body)).hex()[:32]}"'
    response.headers["ETag"] = tag
    if tag in [each.strip() for each in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers={"ETag": tag})
    return response


def _moment(text: str) -> int:
    if not text:
        return 0
    try:
        return shapes.parse_time(text)
    except ValueError as error:
        raise RestError(400, "malformed", str(error)) from error


def _kind(name: str) -> int:
    if name.lower() not in _KINDS:
        raise RestError(400, "malformed", f"kinds of events are {', '.join(sorted(_KINDS))}")
    return _KINDS[name.lower()]
