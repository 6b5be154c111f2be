"""A server for the REST face made of tables, and a client that asks the real application through ASGI."""

from __future__ import annotations

import asyncio
import json

import grpc
import httpx
from scadapb.v1 import scada_pb2 as pb

from scada.api.faults import CallError
from scada.core.quality import Quality
from scada.rest.app import make_app
from scada.rest.tokens import SCOPES, TokenStore

T0 = 1_790_000_000_000_000_000
STATIONS = ("East", "West")


class FakeServer:
    """Answers what the application asks; ``fail`` makes every call end so."""

    def __init__(self):
        self.asked = []
        self.fail = None
        self.frames = asyncio.Queue()
        self.points = [
            pb.PointInfo(
                pid=pid,
                mrid=f"mrid-{pid}",
                path=f"{STATIONS[pid % 2]}/110 kV/P{pid}",
                name=f"P{pid}",
                kind=pb.POINT_KIND_STATUS if pid % 5 == 0 else pb.POINT_KIND_ANALOG,
                unit="MW",
                measurement_type="SwitchPosition" if pid % 5 == 0 else "ThreePhaseActivePower",
                station=STATIONS[pid % 2],
                states={0: "open", 1: "closed"} if pid % 5 == 0 else {},
            )
            for pid in range(40)
        ]

        self.controls = [
            pb.ControlInfo(
                cid=cid,
                mrid=f"control-{cid}",
                path=f"{STATIONS[cid % 2]}/110 kV/C{cid}",
                name=f"C{cid}",
                kind=1 + cid % 4,
                station=STATIONS[cid % 2],
                feedback_pid=5 * cid if cid else -1,
                minimum=float("nan"),
                device_number=f"D{cid}",
            )
            for cid in range(8)
        ]
        self.marks = [
            pb.OperatorMark(
                mark_id=1,
                kind=pb.MARK_KIND_SUBSTITUTE,
                mrid="mrid-2",
                path="East/110 kV/P2",
                station="East",
                pid=2,
                value=9.0,
                field_value=float("nan"),
                user="alice",
                workstation="desk",
                reason="alice tests",
                placed_ns=T0,
            ),
            pb.OperatorMark(
                mark_id=2,
                kind=pb.MARK_KIND_TAG,
                mrid="breaker",
                path="West/B",
                station="West",
                pid=-1,
                tag_type="hold",
                user="bob",
            ),
        ]

    async def call(self, method, request, *, timeout_s=10.0):
        self.asked.append((method, request))
        if self.fail is not None:
            raise self.fail
        return getattr(self, method.replace("/", "_"))(request)

    async def watch(self, pids=(), *, period_ms=0, credit=2):
        while True:
            frame = await self.frames.get()
            if isinstance(frame, Exception):
                raise frame
            yield frame

    def Model_GetModel(self, _):
        return pb.ModelInfo(
            version="v1",
            stations=[
                pb.StationInfo(mrid=name, name=name, voltage_levels=[pb.VoltageLevelInfo(nominal_kv=110.0)]) for name in STATIONS
            ],
        )

    def Model_ListPoints(self, _):
        return pb.PointList(points=self.points)

    def Model_ListControls(self, _):
        return pb.ControlList(controls=self.controls)

    def OperatorData_List(self, request):
        return pb.OperatorMarks(
            marks=[each for each in self.marks if request.station in ("", each.station)],
            tag_types=[pb.TagType(key="hold", inhibits_control="all", inhibits_alarms=True)],
        )

    def Realtime_GetStatus(self, _):
        return pb.SystemStatus(
            site="demo",
            time_ns=T0,
            points_total=40,
            agc_state="on",
            areas=[pb.AreaStatus(name="A", frequency_hz=50.0, ace_mw=float("nan"))],
            channels=[pb.ChannelStatus(name=f"channel {name}", station=name, state="up") for name in STATIONS],
        )

    def Events_ListAlarms(self, _):
        alarms = [
            pb.AlarmInfo(
                alarm_id=number,
                phase=1,
                alarm_class=1,
                key="limit.hi",
                station=name,
                pid=pid,
                mrid=f"mrid-{pid}" if pid >= 0 else "",
                value=float("nan"),
                raised_ns=T0,
                acknowledged_by="alice",
                parameters={"limit": "9", "user": "alice", "reason": "alice says"},
            )
            for number, name, pid in ((1, "East", 2), (2, "West", 5), (3, "", -1))
        ]
        return pb.AlarmList(alarms=alarms, last_event_id=9, suppressed=4)

    def Events_ListEvents(self, request):
        numbers = range(min(100, request.behind - 1 if request.behind else 100), 0, -1)
        found = [
            pb.EventInfo(
                event_id=number,
                time_ns=T0 + number,
                kind=1,
                alarm_class=1,
                station=STATIONS[number % 2],
                pid=number % 40,
                mrid=f"mrid-{number % 40}",
                path=f"{STATIONS[number % 2]}/110 kV/P{number % 40}",
                key="control.success",
                actor="alice",
                parameters={"value": "1", "operator": "alice", "reason": "alice says"},
            )
            for number in numbers[: request.limit]
        ]
        return pb.EventList(events=found)

    def History_Query(self, request):
        return pb.HistoryReply(
            series=[
                pb.HistorySeries(pid=pid, time_ns=[T0, T0 + 1], value=[1.5, float("nan")], quality=[0, int(Quality.INVALID)])
                for pid in request.pids
            ]
        )

    def Dispatch_GetDispatch(self, _):
        return pb.DispatchStatus(
            interchange_setpoint_mw=float("nan"),
            orders=[pb.DispatchOrder(order_id="o-1", mw=5.0, applied_mw=float("nan"), sender="alice", reason="alice says")],
        )

    def full(self, *, seq=7, value=3.5):
        """A full frame: every point has the value; point 1 never received one, point 3 is old."""
        frame = pb.PointFrame(seq=seq, time_ns=T0, full=True)
        for point in self.points:
            frame.pid.append(point.pid)
            frame.value.append(1.0 if point.pid % 5 == 0 else value)
            word = {1: Quality.NEVER_RECEIVED, 3: Quality.COMM_LOST}.get(point.pid, 0)
            frame.quality.append(int(word))
            frame.source_time_ns.append(T0 - 5)
            frame.received_ns.append(T0 - 2)
        return frame


def unavailable():
    return CallError(grpc.StatusCode.UNAVAILABLE, "unavailable", "secret.host:50051 does not answer")


class Rig:
    """The application with its tokens, asked as a third party would."""

    def __init__(self, tmp_path, clock):
        self.clock = clock
        self.server = FakeServer()
        self.tokens = TokenStore(tmp_path / "tokens.json", clock)
        self.app = make_app(self.server, self.tokens, clock, follow=False)
        self.mirror = self.app.state.mirror

    def issue(self, *scopes, stations=(), days=1.0, per_minute=6000, **more):
        return self.tokens.issue("third", days=days, scopes=scopes or SCOPES, stations=stations, per_minute=per_minute, **more)

    async def hear(self, frame=None):
        """The mirror takes a frame."""
        await self.mirror._take(frame or self.server.full())

    async def get(self, path, token="", peer="10.0.0.1", headers=None, **params):
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False, client=(peer, 1234))
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://rest") as client:
            return await client.get(path, params=params, headers={**shown, **(headers or {})})


class Reader:
    """Reads a stream as an ASGI server would hand it over; while ``taking`` is clear it takes nothing."""

    def __init__(self, rig, path, token, headers=(), query=""):
        self.status = None
        self.taking = asyncio.Event()
        self.taking.set()
        self.left = asyncio.Event()
        self._parts = asyncio.Queue()
        head = [(b"host", b"rest"), (b"authorization", f"Bearer {token}".encode()), *headers]
        scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET"}
        scope |= {"scheme": "http", "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": ""}
        scope |= {"headers": head, "client": ("10.0.0.1", 1), "server": ("rest", 80), "extensions": {}}
        self.task = asyncio.create_task(rig.app(scope, self._receive, self._send))

    async def _receive(self):
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        await self.taking.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["body"]:
            self._parts.put_nowait(message["body"].decode())

    async def next(self):
        """The next event as (name, id, data)."""
        text = await asyncio.wait_for(self._parts.get(), 20)
        assert text.endswith("\n\n")
        fields = dict(line.split(": ", 1) for line in text.strip().splitlines())
        return fields["event"], fields.get("id", ""), json.loads(fields["data"])

    @property
    def waiting(self):
        return self._parts.qsize()

    async def leave(self):
        self.left.set()
        await asyncio.wait_for(self.task, 20)
