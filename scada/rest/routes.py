"""The addresses: each reads one scope, of the stations, classes and fields that its token is good for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from scadapb.v1 import scada_pb2 as pb

from scada.rest import answers, shapes
from scada.rest.asking import (
    MOMENT,
    PAGE,
    PROBLEMS,
    UNCHANGED,
    After,
    KindName,
    Limit,
    Name,
    PointNames,
    Sought,
    bearer,
    call,
    chosen,
    fits,
    fresh,
    kind_of,
    mirror_of,
    moment,
    named,
    reader,
    tagged,
)
from scada.rest.mirror import Mirror
from scada.rest.permits import sees_all, sees_control, sees_point, sees_row, sees_station, shown
from scada.rest.problems import RestError
from scada.rest.times import time
from scada.rest.tokens import Token

HISTORY_POINTS: Final = 20
HISTORY_CALL_S: Final = 60.0

Answer = TypeVar("Answer", bound=Callable[..., Awaitable[Response]])
Row = TypeVar("Row", pb.PointInfo, pb.ControlInfo)
Told = TypeVar("Told", pb.EventInfo, pb.AlarmInfo, pb.OperatorMark)
router = APIRouter(prefix="/v1")


def _read(path: str, shape: type[shapes.Shape], text: str) -> Callable[[Answer], Answer]:
    """Decorator of an address that needs a token."""
    return router.get(path, response_model=shape, responses=PROBLEMS | UNCHANGED, summary=text, dependencies=[Depends(bearer)])


@router.get("/health", response_model=shapes.Health, responses={503: {"model": shapes.Health}}, summary="Can be asked by anybody")
async def health(request: Request) -> Response:
    """Whether answers can be had; needs no token and says no more."""
    fault = mirror_of(request).fault
    return JSONResponse({"status": "unavailable" if fault else "ok", "reason": fault}, 503 if fault else 200)


@_read("/status", shapes.Status, "The overview")
async def status(request: Request, token: Annotated[Token, reader("status")]) -> Response:
    """Frequency, areas, channels; a token of some stations sees their channels only, one of classes none."""
    told = await call(request, "Realtime/GetStatus", pb.GetStatusRequest())
    everything = sees_all(token)
    body = {
        "site": told.site,
        "version": told.version,
        "time": time(told.time_ns),
        "seq": told.seq,
        "areas": [answers.area(each) for each in told.areas] if everything else [],
        "channels": [answers.channel(each) for each in told.channels if not token.classes and sees_station(token, each.station)],
    }
    names = ("points_total", "points_good", "alarms_active", "alarms_unacknowledged", "agc_state", "avc_state")
    body |= {name: getattr(told, name) if everything else None for name in names}
    return JSONResponse(body)


@_read("/model/stations", shapes.Stations, "Stations")
async def stations(request: Request, token: Annotated[Token, reader("model")]) -> Response:
    """Stations and their voltage levels."""
    mirror = fresh(request)
    seen = [each for each in mirror.model.stations if sees_station(token, each.name)]
    found = [shown(token, "stations", answers.station(each)) for each in seen]
    return tagged(request, {"model_version": mirror.model.version, "stations": found}, mirror.model.version)


@_read("/model/points", shapes.Points, "Points")
async def points(
    request: Request,
    token: Annotated[Token, reader("model")],
    station: Name = "",
    query: Sought = "",
    after: After = -1,
    limit: Limit = PAGE,
) -> Response:
    """Points of the model by number."""
    mirror = fresh(request)
    found, more = _page(chosen(mirror, token, (), station, query), "pid", after, limit)
    body = {
        "model_version": mirror.model.version,
        "points": [shown(token, "points", answers.point(each)) for each in found],
        "next": found[-1].pid if more else None,
    }
    return tagged(request, body, mirror.model.version)


@_read("/controls", shapes.Controls, "What can be operated")
async def controls(
    request: Request,
    token: Annotated[Token, reader("controls")],
    station: Name = "",
    query: Sought = "",
    after: After = -1,
    limit: Limit = PAGE,
) -> Response:
    """Controls of the model by number. They are told, not opened: nothing here operates anything."""
    mirror = fresh(request)
    seen = [each for each in mirror.controls if sees_control(token, each) and fits(each, station, query.casefold())]
    found, more = _page(seen, "cid", after, limit)
    body = {
        "model_version": mirror.model.version,
        "controls": [shown(token, "controls", answers.control(each, _feedback(mirror, token, each))) for each in found],
        "next": found[-1].cid if more else None,
    }
    return tagged(request, body, mirror.model.version)


@_read("/tags", shapes.Tags, "What operators set")
async def tags(request: Request, token: Annotated[Token, reader("tags")], station: Name = "") -> Response:
    """Substituted and blocked points, tags and notes; who set them and why only for tokens of persons."""
    told = await call(request, "OperatorData/List", pb.ListOperatorDataRequest(station=station))
    kinds = {each.key: each for each in told.tag_types}
    found = [shown(token, "tags", answers.tag(each, kinds)) for each in _seen(request, token, told.marks)]
    return tagged(request, {"tags": found}, "")


@_read("/values", shapes.Values, "Present values")
async def values(
    request: Request,
    token: Annotated[Token, reader("values")],
    point: PointNames = [],  # noqa: B006
    station: Name = "",
    query: Sought = "",
    after: After = -1,
    limit: Limit = PAGE,
) -> Response:
    """Present values with their quality, all as of one sequence number; with ``If-None-Match`` 304 while nothing changed."""
    mirror = fresh(request)
    found, more = _page(chosen(mirror, token, named(mirror, token, point), station, query), "pid", after, limit)
    body = {
        "seq": mirror.seq,
        "model_version": mirror.model.version,
        "time": time(mirror.time_ns),
        "values": [shown(token, "values", answers.value(each, *mirror.row(each.pid))) for each in found],
        "next": found[-1].pid if more else None,
    }
    return tagged(request, body, f"{mirror.model.version}-{mirror.seq}")


@_read("/alarms", shapes.Alarms, "Present alarms")
async def alarms(request: Request, token: Annotated[Token, reader("alarms")], station: Name = "") -> Response:
    """Alarms that are present; alarms of no station only for tokens of all stations."""
    told = await call(request, "Events/ListAlarms", pb.ListAlarmsRequest())
    seen = [each for each in _seen(request, token, told.alarms) if station in ("", each.station)]
    found = [shown(token, "alarms", answers.alarm(each)) for each in seen]
    suppressed = told.suppressed if sees_all(token) else None
    return tagged(request, {"alarms": found, "last_event_id": told.last_event_id, "suppressed": suppressed}, "")


@_read("/events", shapes.Events, "Stored events")
async def events(
    request: Request,
    token: Annotated[Token, reader("events")],
    since: Annotated[str, Query(alias="from", **MOMENT)] = "",
    until: Annotated[str, Query(alias="to", **MOMENT)] = "",
    kind: Annotated[list[KindName], Query(max_length=32, description="Kinds of events; none = all.")] = [],  # noqa: B006
    station: Name = "",
    text: Name = "",
    oldest_first: bool = False,
    cursor: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """Events by time, newest first unless asked otherwise. A page may be shorter than ``limit`` and still have a ``next``."""
    # a text that the server sought would tell, by the page's length, of events and names that the token is not shown
    whole = sees_all(token) and token.persons and not token.hidden
    wanted = pb.ListEventsRequest(
        from_ns=moment(since),
        to_ns=moment(until),
        kinds=[kind_of(each) for each in kind],
        limit=limit,
        station=station,
        text=text if whole else "",
        behind=cursor,
        oldest_first=oldest_first,
    )
    told = await call(request, "Events/ListEvents", wanted)
    found = [shown(token, "events", answers.event(each)) for each in _seen(request, token, told.events)]
    sought = text.casefold()
    found = [each for each in found if any(sought in each.get(name, "").casefold() for name in ("path", "key", "actor"))]
    return JSONResponse({"events": found, "next": told.events[-1].event_id if len(told.events) == limit else None})


@_read("/history", shapes.History, "Recorded samples")
async def history(
    request: Request,
    token: Annotated[Token, reader("history")],
    point: Annotated[list[str], Query(min_length=1, max_length=HISTORY_POINTS, description="mRIDs or numbers of points.")],
    since: Annotated[str, Query(alias="from", **MOMENT)],
    until: Annotated[str, Query(alias="to", **MOMENT)],
    buckets: Annotated[int, Query(ge=0, le=5000, description="At most so many spans with minimum and maximum; 0 = samples.")] = 0,
    period_s: Annotated[int, Query(ge=0, le=86_400, multiple_of=60, description="Aggregates of this period instead.")] = 0,
) -> Response:
    """Samples of a span, or spans of them; a gap stays a gap. Where ``truncated`` go on behind the last time."""
    mirror = fresh(request)
    wanted = chosen(mirror, token, named(mirror, token, point), "", "")
    begin, end = moment(since), moment(until)
    if begin >= end:
        raise RestError(400, "malformed", "the span ends before it begins")
    asked = pb.HistoryRequest(pids=[each.pid for each in wanted], from_ns=begin, to_ns=end, buckets=buckets, period_s=period_s)
    told = await call(request, "History/Query", asked, timeout_s=HISTORY_CALL_S)
    by_pid = {each.pid: each for each in wanted}
    found = [answers.series(by_pid[each.pid], each) for each in told.series if each.pid in by_pid]
    return JSONResponse({"series": [shown(token, "history", each) for each in found]})


@_read("/dispatch", shapes.Dispatch, "Orders of upstream dispatch")
async def dispatch(request: Request, token: Annotated[Token, reader("dispatch")]) -> Response:
    """What dispatch asked and what became of it; only for tokens of all stations and classes."""
    if not sees_all(token):
        raise RestError(403, "station", "the token is good for some stations or classes, dispatch is of the whole site")
    told = await call(request, "Dispatch/GetDispatch", pb.GetDispatchRequest())
    body = {
        "interchange_setpoint_mw": answers.known(told.interchange_setpoint_mw),
        "interchange_mw": answers.known(told.interchange_mw),
        "orders": [shown(token, "dispatch", answers.order(each)) for each in told.orders],
    }
    return JSONResponse(body)


# ---------------------------------------------------------------------- parts


def _seen(request: Request, token: Token, rows: Iterable[Told]) -> list[Told]:
    """Rows of stations and classes that the token is good for; classes are those of the points of now."""
    points = fresh(request).points if token.classes else {}
    return [each for each in rows if sees_row(token, each, points)]


def _feedback(mirror: Mirror, token: Token, control: pb.ControlInfo) -> str | None:
    point = mirror.points.get(control.feedback_pid)
    return point.mrid if point is not None and sees_point(token, point) else None


def _page(rows: Sequence[Row], number: str, after: int, limit: int) -> tuple[Sequence[Row], bool]:
    """Rows behind a number, and whether there are more."""
    behind = [each for each in rows if getattr(each, number) > after]
    return behind[:limit], len(behind) > limit
