"""The services: each method is one function over a parsed message and the backend.

:func:`view_handlers` and :func:`control_handlers` are the two tables of what a server offers; a method that stands in neither
does not exist, and :mod:`scada.security.roles` names the right each one needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

import grpc
import numpy as np
from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.api import messages
from scada.api.audit_services import AuditServices
from scada.api.channel_services import ChannelServices
from scada.api.control_services import ControlServices
from scada.api.dispatch_services import DispatchServices
from scada.api.engineering_services import EngineeringServices
from scada.api.event_feed import EventFeed
from scada.api.event_services import EventServices
from scada.api.faults import CallError, malformed, not_found
from scada.api.frames import Columns, encode_frame
from scada.api.gate import Gate
from scada.api.history_services import HistoryServices
from scada.api.hub import Hub, Subscriber
from scada.api.performance_services import PerformanceServices
from scada.api.programme_services import ProgrammeServices
from scada.api.regulation_services import RegulationServices
from scada.api.search_service import SearchService
from scada.api.security_services import SecurityServices
from scada.control.records import Principal
from scada.model_cim.tables import AreaDiagram, Point, Station
from scada.security.session import SessionServer

FIRST_MESSAGE_S = 10.0
"""A subscription that does not say within this time what it wants is ended."""

Handlers = dict[str, grpc.RpcMethodHandler]


class Services:
    """The methods, by service in the order of the proto file.

    Args:
        backend: the running server.
        hub: source of point frames.
        events: source of the event stream.
        sessions: with the trust that they stand on.
    """

    def __init__(self, backend: Backend, hub: Hub, events: EventFeed, sessions: SessionServer) -> None:
        self._backend = backend
        self._hub = hub
        self._events = EventServices(backend, events)
        self._control = ControlServices(backend)
        self._programmes = ProgrammeServices(backend)
        self._history = HistoryServices(backend)
        self._channels = ChannelServices(backend)
        self._engineering = EngineeringServices(backend)
        self._search = SearchService(backend)
        self._dispatch = DispatchServices(backend)
        self._audit = AuditServices(backend)
        self._regulation = RegulationServices(backend)
        self._performance = PerformanceServices(backend)
        self.security = SecurityServices(backend, sessions)

    # ------------------------------------------------------------------ model

    async def get_model(self, request: pb.GetModelRequest, principal: Principal) -> pb.ModelInfo:
        """Stations, areas, channels and sizes of the present model."""
        del request, principal
        return messages.model_info(self._backend.tables, self._backend.site)

    async def list_points(self, request: pb.ListPointsRequest, principal: Principal) -> pb.PointList:
        """Points of a station whose path, name or mRID contains the query (case-insensitive)."""
        del principal
        tables = self._backend.tables
        found = [point for point in tables.points if _matches(point, request.station, request.query.casefold())]
        limit = request.limit or len(found)
        return pb.PointList(points=[messages.point_info(point, tables) for point in found[:limit]], truncated=len(found) > limit)

    async def list_controls(self, request: pb.ListControlsRequest, principal: Principal) -> pb.ControlList:
        """Controls of a station and an equipment; empty fields match all."""
        del principal
        tables = self._backend.tables
        return pb.ControlList(
            controls=[
                messages.control_info(control, tables)
                for control in tables.live_controls
                if request.station in ("", control.station) and request.equipment in ("", control.equipment)
            ]
        )

    async def get_diagram(self, request: pb.GetDiagramRequest, principal: Principal) -> pb.Diagram:
        """Single-line diagram of a station, or the diagram of an area."""
        del principal
        tables = self._backend.tables
        drawings: Sequence[Station | AreaDiagram] = (
            [area for area in tables.area_diagrams if area.key == request.area]
            if request.area
            else [station for station in tables.stations if station.name == request.station]
        )
        found = next((drawing for drawing in drawings if drawing.diagram), None)
        if found is None:
            what = f"area {request.area!r}" if request.area else f"station {request.station!r}"
            raise not_found(f"no diagram of {what} was drawn", mend="scada model diagrams makes them")
        svg, metadata = self._backend.diagram(found.diagram)
        return pb.Diagram(
            station=request.station,
            area=request.area,
            svg=svg,
            metadata_json=metadata,
            model_version=tables.version,
            stale=found.diagram_stale,
        )

    # ------------------------------------------------------------------ values

    async def read(self, request: pb.ReadRequest, principal: Principal) -> bytes:
        """Present values, consistent as of one sequence number."""
        del principal
        self._check_known(request.pids)
        snapshot = self._backend.snapshot(np.array(request.pids, dtype=np.uint32) if request.pids else None)
        return encode_frame(snapshot.seq, self._backend.clock.now_ns(), Columns.of_snapshot(snapshot), full=True)

    def _check_known(self, pids: Iterable[int]) -> None:
        points = len(self._backend.tables.points)
        for pid in pids:
            if pid >= points:
                raise malformed(f"point {pid} is not in the model (it has {points})")

    async def subscribe(self, requests: AsyncIterator[pb.SubscribeRequest]) -> AsyncGenerator[bytes, None]:
        """A full frame, then deltas, as many as the client has credit for."""
        try:
            first = await asyncio.wait_for(anext(requests), FIRST_MESSAGE_S)
        except (TimeoutError, StopAsyncIteration) as error:
            raise malformed("the subscription did not say what it wants") from error
        subscriber = self._hub.open(np.array(first.pids, dtype=np.uint32) if first.pids else None, first.period_ms)
        self._hub.give(subscriber, first.credit)
        reader = asyncio.create_task(self._take_credit(subscriber, requests))
        try:
            while True:
                yield await subscriber.next()
        finally:
            reader.cancel()
            self._hub.close(subscriber)

    async def _take_credit(self, subscriber: Subscriber, requests: AsyncIterator[pb.SubscribeRequest]) -> None:
        try:
            async for request in requests:
                self._hub.give(subscriber, request.credit)
        except CallError as error:
            subscriber.fail(error)

    async def get_status(self, request: pb.GetStatusRequest, principal: Principal) -> pb.SystemStatus:
        """The overview."""
        del request, principal
        return self._backend.status()

    # ------------------------------------------------------------------ operator data

    async def hold(self, request: pb.HoldRequest, principal: Principal, evidence: bytes) -> pb.OperatorReply:
        """Substitute a value or block a point."""
        if not (request.block or request.HasField("value")):
            raise malformed("a substitution needs a value")
        return messages.operator_reply(await self._backend.hold_point(request, principal, evidence))

    async def release(self, request: pb.ReleaseRequest, principal: Principal, evidence: bytes) -> pb.OperatorReply:
        """Show what the source says again."""
        return messages.operator_reply(await self._backend.release_point(request, principal, evidence))

    async def place_tag(self, request: pb.TagRequest, principal: Principal, evidence: bytes) -> pb.OperatorReply:
        """Hang a tag on an object."""
        return messages.operator_reply(await self._backend.place_tag(request, principal, evidence))

    async def add_note(self, request: pb.NoteRequest, principal: Principal, evidence: bytes) -> pb.OperatorReply:
        """Write a note to an object."""
        return messages.operator_reply(await self._backend.add_note(request, principal, evidence))

    async def remove_mark(self, request: pb.RemoveRequest, principal: Principal, evidence: bytes) -> pb.OperatorReply:
        """Take down a tag or remove a note."""
        return messages.operator_reply(await self._backend.remove_mark(request, principal, evidence))

    async def list_marks(self, request: pb.ListOperatorDataRequest, principal: Principal) -> pb.OperatorMarks:
        """Marks of a station, and the types of tags."""
        del principal
        return messages.operator_marks(self._backend.operator_marks(request.station))

    # ------------------------------------------------------------------ applications

    async def start_replay(self, request: pb.ReplayRequest, principal: Principal) -> pb.ReplayState:
        """Start an isolated replay of a recorded trace."""
        del principal
        return await self._backend.replay("start", request)

    async def command_replay(self, request: pb.ReplayCommand, principal: Principal) -> pb.ReplayState:
        """Pause, resume, step, speed, stop."""
        del principal
        return await self._backend.replay(request.action, request)

    async def get_replay(self, request: pb.ReplayCommand, principal: Principal) -> pb.ReplayState:
        """Where a replay stands."""
        del principal
        return await self._backend.replay("state", request)

    async def read_replay(self, request: pb.ReplayCommand, principal: Principal) -> pb.ReplayValues:
        """Values of an isolated replay."""
        del principal
        return self._backend.replay_values(request.replay_id)

    # ------------------------------------------------------------------ tables

    def view_handlers(self, gate: Gate) -> Handlers:
        """What the view server offers, by full method name."""
        return dict(
            (
                gate.login("Session/Login"),
                gate.logout("Session/Logout"),
                gate.rekey("Session/Rekey"),
                gate.challenge("Session/GetChallenge"),
                gate.query("Model/GetModel", pb.GetModelRequest, self.get_model),
                gate.query("Model/ListPoints", pb.ListPointsRequest, self.list_points),
                gate.query("Model/ListControls", pb.ListControlsRequest, self.list_controls),
                gate.query("Model/GetDiagram", pb.GetDiagramRequest, self.get_diagram),
                gate.query("Model/Search", pb.SearchRequest, self._search.search),
                gate.query("Realtime/Read", pb.ReadRequest, self.read),
                gate.exchange("Realtime/Subscribe", pb.SubscribeRequest, self.subscribe),
                gate.query("Realtime/GetStatus", pb.GetStatusRequest, self.get_status),
                *self._events.view_methods(gate),
                gate.query("OperatorData/List", pb.ListOperatorDataRequest, self.list_marks),
                *self._control.queries(gate),
                *self._programmes.queries(gate),
                *self._regulation.view_methods(gate),
                *self._performance.view_methods(gate),
                *self._dispatch.view_methods(gate),
                *self._history.view_methods(gate),
                *self._channels.view_methods(gate),
                *self._engineering.view_methods(gate),
                *self.security.view_methods(gate),
                *self._audit.view_methods(gate),
                gate.query("Replay/Start", pb.ReplayRequest, self.start_replay),
                gate.query("Replay/Command", pb.ReplayCommand, self.command_replay),
                gate.query("Replay/GetState", pb.ReplayCommand, self.get_replay),
                gate.query("Replay/Read", pb.ReplayCommand, self.read_replay),
            )
        )

    def control_handlers(self, gate: Gate) -> Handlers:
        """What the control server offers, by full method name."""
        return dict(
            (
                gate.login("Session/Login"),
                gate.logout("Session/Logout"),
                gate.rekey("Session/Rekey"),
                gate.challenge("Session/GetChallenge"),
                *self._events.orders(gate),
                *self._engineering.orders(gate),
                *self.security.orders(gate),
                *self._control.orders(gate),
                *self._programmes.orders(gate),
                gate.order("OperatorData/Hold", pb.HoldRequest, self.hold),
                gate.order("OperatorData/Release", pb.ReleaseRequest, self.release),
                gate.order("OperatorData/PlaceTag", pb.TagRequest, self.place_tag),
                gate.order("OperatorData/AddNote", pb.NoteRequest, self.add_note),
                gate.order("OperatorData/Remove", pb.RemoveRequest, self.remove_mark),
                gate.query("OperatorData/List", pb.ListOperatorDataRequest, self.list_marks),
                *self._dispatch.orders(gate),
            )
        )


def _matches(point: Point, station: str, query: str) -> bool:
    if point.removed or station not in ("", point.station):
        return False
    return query in point.path.casefold() or query in point.name.casefold() or query == point.mrid.casefold()
