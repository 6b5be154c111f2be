"""The addresses that go on: server-sent events."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from scada.rest.asking import PROBLEMS, Name, PointNames, Sought, bearer, chosen, fresh, named, reader
from scada.rest.stream import StreamResponse, Streams, ValueStream
from scada.rest.tokens import Token
from scada.security.sm3 import sm3

router = APIRouter(prefix="/v1")

_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    **PROBLEMS,
    200: {
        "description": (
            "`snapshot` (all values, in parts while `more`), `values` (what changed since), `heartbeat`, `stale` (nothing is "
            "known now), `gap` (changes may be missing; a snapshot follows), `end` (with a code: the token ended, or the service "
            "stops). The data of the first two are as of /v1/values, with `more` instead of `next`."
        ),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
}

Place = Annotated[
    str, Header(alias="Last-Event-ID", max_length=100, description="The last `id` that was read; goes on from there.")
]
Period = Annotated[int, Query(ge=250, le=3_600_000, description="Shortest time between values, ms.")]


@router.get(
    "/values/stream",
    response_class=StreamingResponse,
    responses=_EVENTS,
    summary="Values as they change",
    dependencies=[Depends(bearer)],
)
async def values_stream(
    request: Request,
    token: Annotated[Token, reader("values")],
    point: PointNames = [],  # noqa: B006
    station: Name = "",
    query: Sought = "",
    period_ms: Period = 1000,
    last_event_id: Place = "",
) -> Response:
    """Server-sent events. A slow reader gets fewer and newer values; every single change of state stands in /v1/events."""
    mirror, streams = fresh(request), _streams(request)
    pids = named(mirror, token, point)
    asked = f"{token.id} {pids} {station} {query}".encode()
    stream = ValueStream(
        mirror,
        streams.clock,
        token,
        lambda: chosen(mirror, token, pids, station, query),
        mark=sm3(asked).hex()[:12],
        place=last_event_id,
        period_s=period_ms / 1000,
    )
    streams.take(token)
    return StreamResponse(stream, streams, token, mirror.news)


def _streams(request: Request) -> Streams:
    streams: Streams = request.app.state.streams
    return streams
