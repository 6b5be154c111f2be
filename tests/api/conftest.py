"""A backend made of tables, a server on loopback, clients with real keys."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import numpy as np
import pytest
import structlog
from click.testing import CliRunner
from scadapb.v1 import scada_pb2 as pb

from scada.actors.tracing import TraceQueue
from scada.api.client import ScadaClient
from scada.api.server import ApiServer, ApiThread
from scada.control.records import ControlReply, ModeReply, SequenceState
from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import SystemClock, VirtualClock
from scada.core.control_settings import ControlSettings
from scada.core.ids import PointId
from scada.core.quality import Quality
from scada.core.settings import ApiSettings
from scada.events.recall import CHANGE_DTYPE, Recall, RecallInfo
from scada.events.records import Alarm, AlarmPhase, Event, EventKind, Suppression, SuppressionKind
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.regulation import ControlArea, TieLine
from scada.model_cim.tables import AlarmClass, ChannelSpec, Control, ControlKind, Limits, ModelTables, Point, PointKind, Station
from scada.protocols.iec104.describe import Iec104Describer
from scada.rtdb.changes import ChangeSet, Snapshot
from scada.security.identities import init_identities, load_authority, load_identity
from scada.security.session import SessionServer
from scada.security.tls_trust import TlsTrust
from scada.security.trust import Trust
from tests.api.operator_table import OperatorTable

ANALOGS = range(8)
STATUSES = range(8, 12)
POINTS = 12


def small_tables() -> ModelTables:
    """Eight analogs, four double points, one breaker control, one set-point, two areas."""
    points = []
    for pid in range(POINTS):
        status = pid in STATUSES
        points.append(
            Point(
                pid=PointId(pid),
                mrid=f"point-{pid}",
                path=f"{'West' if pid % 2 else 'East'}/110 kV/Bay/{'Q' if status else 'P'}{pid}",
                name=f"{'Q' if status else 'P'}{pid}",
                kind=PointKind.DOUBLE if status else PointKind.ANALOG,
                measurement_type="SwitchPosition" if status else "ThreePhaseActivePower",
                unit="" if status else "MW",
                equipment=f"equipment-{pid}",
                terminal="",
                station="West" if pid % 2 else "East",
                bay="Bay",
                channel=0,
                address=Iec104Address(11, 100 + pid, 31 if status else 36),
                limits=Limits(hi=90.0),
                states={1: "open", 2: "closed"} if status else {},
            )
        )
    controls = [
        Control(
            cid=0,
            mrid="breaker",
            path="East/110 kV/Bay/CB",
            name="CB",
            kind=ControlKind.DOUBLE,
            control_type="SwitchPosition",
            unit="",
            equipment="equipment-8",
            station="East",
            channel=0,
            address=Iec104Address(11, 500, 46),
            feedback=PointId(8),
            device_number="2211",
            states={1: "open", 2: "close"},
        ),
        Control(
            cid=1,
            mrid="setpoint",
            path="West/G1/P",
            name="P",
            kind=ControlKind.SETPOINT,
            control_type="ActivePower",
            unit="MW",
            equipment="unit-1",
            station="West",
            channel=0,
            address=Iec104Address(11, 600, 50),
            feedback=None,
            device_number="G1",
        ),
    ]
    area = ControlArea(
        name="East",
        mrid="area-east",
        frequency=[PointId(0)],
        nominal_hz=50.0,
        bias=-20.0,
        scheduled_interchange=0.0,
        ties=[TieLine("T1", [PointId(1)], 1.0)],
        units=[],
        controlled=True,
    )
    return ModelTables(
        version="v1",
        name="small",
        points=points,
        controls=controls,
        channels=[ChannelSpec(0, "channel-0", "East RTU", "iec104", "127.0.0.1", 2404, "East")],
        stations=[
            Station("station-east", "East", "East", [("vl-1", "110 kV", 110.0)], "east"),
            Station("station-west", "West", "West", [], ""),
        ],
        areas=[area],
        zones=[],
    )


class TableBackend(OperatorTable):
    """Everything a face may ask, answered from memory; records what reaches the control path."""

    forbids = ()
    rests_on = ""
    """What the interlocks say."""

    def __init__(self, clock: VirtualClock) -> None:
        self.site = "demo"
        self.clock = clock
        self.tables = small_tables()
        self.seq = 0
        self.value = np.full(POINTS, np.nan)
        self.quality = np.full(POINTS, int(Quality.NEVER_RECEIVED), dtype=np.uint32)
        self.source_time = np.zeros(POINTS, dtype=np.int64)
        self.received = np.zeros(POINTS, dtype=np.int64)
        self.stored: list[Event] = []
        self.present: list[Alarm] = []
        self.hidden: list[Suppression] = []
        self.acted: list[tuple[str, object, str, bytes]] = []
        self.heard: list[str] = []
        self.traces: list[TraceQueue] = []
        self.audited: list = []
        self._lock = threading.Lock()
        self._on_changes: list = []
        self._on_events: list = []
        self.keep_operator_data()

    # ---- what the field does

    def apply(self, pids, values, flags: int = 0) -> None:
        """Commit a batch and tell the listeners."""
        batch = PointBatch.of(pids, values, received_at=self.clock.now_ns(), flags=flags)
        with self._lock:
            first = self.seq + 1
            self.seq += len(batch)
            self.value[batch.records["pid"]] = batch.records["value"]
            self.quality[batch.records["pid"]] = 0
            self.received[batch.records["pid"]] = batch.received_at
            received = np.full(len(batch), batch.received_at, dtype=np.int64)
            changes = ChangeSet(first, batch.records, received, self.clock.now_ns())
            for listener in list(self._on_changes):
                listener(changes)

    def _acts(self, name, request, principal, evidence) -> None:
        self.acted.append((name, request, principal.name, evidence))

    def _show(self, pids, values, words) -> None:
        self.value[pids], self.quality[pids] = values, words

    def switch(self, pid: int, *positions: int) -> None:
        """A status point takes these positions one after the other."""
        self.apply([pid] * len(positions), list(positions), flags=RecordFlag.EVENT)

    def raise_alarm(self, pid: int = 0) -> int:
        """A limit alarm of a point; returns its id."""
        event = Event(
            self.clock.now_ns(),
            EventKind.LIMIT_VIOLATED,
            AlarmClass.LIMIT,
            2,
            "limit.hi",
            parameters={"value": "95", "limit": "90", "unit": "MW"},
            pid=pid,
            path=self.tables.points[pid].path,
            station="East",
        )
        self.report(event)
        number = self.stored[-1].event_id
        self.present.append(
            Alarm(
                alarm_id=number,
                phase=AlarmPhase.UNACK_ACTIVE,
                alarm_class=AlarmClass.LIMIT,
                priority=2,
                key="limit.hi",
                parameters=event.parameters,
                pid=pid,
                mrid=self.tables.points[pid].mrid,
                station="East",
                path=event.path,
                value=95.0,
                limit=90.0,
                raised_ns=event.time_ns,
            )
        )
        return number

    # ---- Backend

    two_person = ControlSettings().two_person

    def record(self, row):
        self.audited.append(row)

    def snapshot(self, pids=None):
        with self._lock:
            chosen = np.arange(POINTS, dtype=np.uint32) if pids is None else np.asarray(pids, dtype=np.uint32)
            return Snapshot(
                self.seq, chosen, self.value[chosen], self.quality[chosen], self.source_time[chosen], self.received[chosen]
            )

    def on_changes(self, listener):
        with self._lock:
            self._on_changes.append(listener)
            return self.seq, lambda: self._on_changes.remove(listener)

    def alarms(self):
        return tuple(self.present), len(self.stored)

    def events(self, *, after_id=0, from_ns=0, to_ns=0, kinds=(), limit=1000):
        found = [event for event in self.stored if event.event_id > after_id and (not kinds or event.kind in kinds)]
        if after_id:
            return found[:limit]
        span = [event for event in found if event.time_ns >= from_ns and (not to_ns or event.time_ns <= to_ns)]
        return span[::-1][:limit]

    def on_events(self, listener):
        with self._lock:
            self._on_events.append(listener)
            return len(self.stored), lambda: self._on_events.remove(listener)

    def report(self, event):
        with self._lock:
            stored = Event(**{name: getattr(event, name) for name in event.__slots__} | {"event_id": len(self.stored) + 1})
            self.stored.append(stored)
            for listener in list(self._on_events):
                listener([stored])

    async def events_page(self, request, limit):
        self.asked = request
        return self.events(
            after_id=request.after_id, from_ns=request.from_ns, to_ns=request.to_ns, kinds=request.kinds, limit=limit
        )

    def suppressions(self):
        return self.hidden

    async def suppress(self, request, principal, evidence):
        self.acted.append(("suppress", request, principal.name, evidence))
        if not isinstance(request, pb.UnshelveRequest) and not request.reason:
            return pb.AlarmReply(code="no_reason", reason="a reason must be given")
        known = self.tables.by_mrid
        self.hidden = [
            Suppression(name.mrid, name.key, SuppressionKind.SHELVED, user=principal.name, active=True) for name in request.alarms
        ]
        return pb.AlarmReply(accepted=True, unknown=[name for name in request.alarms if name.mrid not in known])

    async def alarm_kpi(self, request):
        return pb.AlarmKpi(from_ns=request.from_ns, to_ns=request.to_ns, alarms=3, acknowledge_median_s=math.nan)

    async def recall(self, request):
        start, changes = np.zeros(3, CHANGE_DTYPE), np.zeros(12_000, CHANGE_DTYPE)
        changes["time"], changes["pid"], changes["value"] = request.at_ns + np.arange(12_000), 1, 2.0
        events = [Event(request.at_ns + n, EventKind.SYSTEM, AlarmClass.NOTICE, 4, f"k{n}") for n in (0, 6000, 13_000)]
        return Recall(request.at_ns, request.at_ns, request.at_ns + 20_000, "journal", True, "", start, changes, events)

    async def recalls(self):
        return [RecallInfo(Path("x"), 5, reason="S/Q1", complete=True)]

    async def acknowledge(self, alarm_ids, principal, *, seen=0):
        self.seen = seen
        self.acted.append(("acknowledge", alarm_ids, principal.name, b""))
        known = {alarm.alarm_id for alarm in self.present}
        self.present = [alarm for alarm in self.present if alarm.alarm_id not in alarm_ids]
        return [number for number in alarm_ids if number in known], [n for n in alarm_ids if n not in known]

    async def select(self, request, principal, evidence):
        self.acted.append(("select", request, principal.name, evidence))
        if request.control not in self.tables.control_by_mrid:
            return ControlReply("", SequenceState.REFUSED, "unknown_control", "the model has no such control")
        return ControlReply("7", SequenceState.SELECTED, valid_until_ns=self.clock.now_ns() + 30 * 10**9, value=request.value)

    async def execute(self, request, principal, evidence):
        self.acted.append(("execute", request, principal.name, evidence))
        return ControlReply(request.sequence_id, SequenceState.SUCCESS, value=1.0, present=1.0, elapsed_s=0.4)

    async def cancel(self, request, principal, evidence):
        self.acted.append(("cancel", request, principal.name, evidence))
        return ControlReply(request.sequence_id, SequenceState.CANCELLED)

    async def confirm_control(self, request, principal, evidence):
        self.acted.append(("confirm", request, principal.name, evidence))
        return ControlReply(request.sequence_id, SequenceState.CONFIRMED, guardian=principal.name, confirm_digest=b"c" * 32)

    async def adjust(self, request, principal, evidence):
        self.acted.append(("adjust", request, principal.name, evidence))
        return ControlReply("8", SequenceState.SUCCESS, value=1.0, present=1.0)

    async def sequences(self, station="", *, ended=False):
        return []

    async def check_interlocks(self, control, value):
        return self.forbids, self.rests_on

    async def set_mode(self, request, principal, evidence):
        self.acted.append(("set_mode", request, principal.name, evidence))
        return ModeReply(True)

    def status(self):
        return pb.SystemStatus(
            site=self.site,
            time_ns=self.clock.now_ns(),
            points_total=POINTS,
            points_good=int((self.quality == 0).sum()),
            channels_total=1,
            channels_up=1,
            areas=[
                pb.AreaStatus(name="East", controlled=True, frequency_hz=50.01, ace_mw=-3.5),
                pb.AreaStatus(name="West", frequency_hz=math.nan, ace_mw=math.nan),
            ],
            agc_state="on",
            avc_state="off",
            alarms_unacknowledged=len(self.present),
            channels=[pb.ChannelStatus(name="East RTU", protocol="iec104", state="up", endpoint="127.0.0.1:2404")],
            seq=self.seq,
        )

    async def explain(self, mrid):
        if mrid != "g1":
            return None
        steps = [pb.ExplainedTerm(key="demand", value=120.0, unit="MW")]
        return pb.Explanation(mrid="g1", name="G1", application="agc", output=80.0, unit="MW", steps=steps)

    def agc(self, area=""):
        del area
        return pb.AgcStatus(
            area="East",
            state="on",
            ace_mw=-3.5,
            frequency_hz=50.01,
            areas=["East"],
            units=[pb.AgcUnitStatus(mrid="g1", name="G1")],
        )

    def avc(self):
        return pb.AvcStatus(state="off", zones=[pb.AvcZoneStatus(name="Z1", pilots=[pb.AvcPilotStatus(name="B1")])])

    async def dispatch_setpoint(self, request, principal, evidence):
        self.acted.append(("dispatch_setpoint", request, principal.name, evidence))
        refused = request.area != "East"
        return pb.DispatchReply(
            code=pb.DISPATCH_CODE_REFUSED if refused else pb.DISPATCH_CODE_ACCEPTED,
            reason="no such area" if refused else "",
            applied_mw=request.interchange_mw,
            order_id=request.order_id,
        )

    async def dispatch_schedule(self, request, principal, evidence):
        self.acted.append(("dispatch_schedule", request, principal.name, evidence))
        return pb.DispatchReply(code=pb.DISPATCH_CODE_ACCEPTED, applied_mw=request.mw[0], order_id=request.order_id)

    async def edit_schedule(self, request, principal, evidence):
        self.acted.append(("edit_schedule", request, principal.name, evidence))
        return pb.DispatchReply(code=pb.DISPATCH_CODE_ACCEPTED, order_id=request.order_id, version=request.based_on + 1)

    async def dispatch_order(self, request, principal, evidence):
        self.acted.append((type(request).__name__, request, principal.name, evidence))
        return pb.DispatchReply(code=pb.DISPATCH_CODE_ACCEPTED, order_id=request.order_id, decided_by=principal.name)

    def dispatch_heard(self, principal):
        self.heard.append(principal.name)

    async def list_schedules(self, request):
        return pb.ScheduleList(
            schedules=[pb.ScheduleInfo(target="East", name="East", day="2026-11-22", version=2, versions=2)],
            time_zone="Asia/Shanghai",
        )

    async def get_schedule(self, request):
        if (request.target, request.day) != ("East", "2026-11-22"):
            return None
        return pb.ScheduleVersion(info=pb.ScheduleInfo(target="East", version=request.version or 2))

    def dispatch(self):
        return pb.DispatchStatus(interchange_setpoint_mw=40.0, orders=[pb.DispatchOrder(order_id="A1", mw=40.0, kind="setpoint")])

    async def history(self, request):
        return pb.HistoryReply(
            series=[pb.HistorySeries(pid=pid, time_ns=[request.from_ns], value=[1.5], quality=[0]) for pid in request.pids]
        )

    async def backfill(self, request, principal, evidence):
        self.acted.append(("backfill", request, principal.name, evidence))
        return pb.BackfillReply(stored=sum(len(one.time_ns) for one in request.points))

    async def history_status(self):
        return pb.HistoryStatus(backend="embedded", stored_bytes=4096, raw_days=30)

    def channel(self, name):
        return pb.ChannelDetail(
            status=self.status().channels[0],
            links=[pb.ChannelLink(name="A", endpoint="10.0.0.1:2404", state="up", since_ns=10**18)],
            disconnects=[pb.ChannelDisconnect(time_ns=10**18, reason="peer closed")],
            lost_frames=4,
            clock_skew_s=math.nan,
            up_share=0.75,
            orders=["read_counters"],
            parameters={"k": "12"},
            cleaning=[pb.CleaningCount(finding="range", count=3, points=1, last_path="East/P0")],
        )

    def trace(self, name, *, values):
        queue = TraceQueue(Iec104Describer, values=values)
        self.traces.append(queue)
        return queue, lambda: self.traces.remove(queue)

    async def recordings(self):
        return pb.RecordingList(recordings=[pb.RecordingInfo(name="r.pcapng", channel="East RTU", bytes=1 << 20, running=True)])

    def upstream(self):
        return pb.UpstreamStatus()

    async def replay(self, action, request):
        if action == "start":
            told = [f"expected by {request.expect}"] if request.expect else []
            return pb.ReplayState(
                replay_id="r1", state="running", loop=request.loop, digest="ab12", differences=3, first_differences=told
            )
        asked = f"to {request.position_s:g}, {request.step_s:g} s, {request.frames} frames"
        return pb.ReplayState(replay_id="r1", state=action, reason=asked)

    def replay_values(self, replay_id):
        return pb.ReplayValues(values=[pb.ReplayValue(address="CA 1 IOA 2 type 13", value=2.5)])

    def diagram(self, stem):
        return f"<svg>{stem}</svg>", "{}"


@pytest.fixture(scope="session")
def key_folder(tmp_path_factory):
    """Demo identities, made once."""
    folder = tmp_path_factory.mktemp("keys") / "keys"
    init_identities(folder, VirtualClock())
    return folder


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def backend(clock):
    return TableBackend(clock)


@pytest.fixture
def make_backend():
    """A fresh backend at each call, for property tests."""
    return lambda clock=None: TableBackend(clock or VirtualClock())


@pytest.fixture
def sessions(key_folder, clock):
    return SessionServer(
        site="demo",
        identity=load_identity(key_folder, "server", clock),
        trust=Trust(key_folder, clock),
        clock=clock,
    )


@pytest.fixture
async def server(backend, sessions):
    server = ApiServer(backend, sessions, ApiSettings(port=0, control_port=0, tls=False))
    await server.start()
    yield server
    await server.stop(0.1)


@pytest.fixture
async def connect(server, key_folder, clock):
    """``await connect("operator")``: a client of that identity, closed at the end."""
    clients = []

    async def make(name: str, station: str = "test") -> ScadaClient:
        client = ScadaClient(
            f"127.0.0.1:{server.port}",
            f"127.0.0.1:{server.control_port}",
            load_identity(key_folder, name, clock),
            load_authority(key_folder),
            clock,
            station=station,
        )
        clients.append(client)
        await client.connect()
        return client

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
async def operator(connect):
    return await connect("operator")


# ---------------------------------------------------------------- the terminal


@pytest.fixture(scope="session")
def present_keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("present") / "keys"
    init_identities(folder, SystemClock())
    return folder


@pytest.fixture
def live(make_backend, present_keys):
    """A backend on the system's clock, served."""
    clock = SystemClock()
    backend = make_backend(clock)
    tls = TlsTrust(present_keys)
    sessions = SessionServer(
        site="demo",
        identity=load_identity(present_keys, "server", clock),
        trust=Trust(present_keys),
        clock=clock,
        tls_digests=tls.digests,
    )
    thread = ApiThread(backend, sessions, ApiSettings(port=0, control_port=0), tls=tls)
    with structlog.testing.capture_logs():
        thread.start()
        backend.thread = thread
        yield backend
        thread.stop()


@pytest.fixture
def run(live, present_keys):
    def invoke(group, *words, code=0, answer=None, lang="en"):
        server = live.thread.server
        options = ["--server", f"127.0.0.1:{server.port}", "--control-port", str(server.control_port)]
        options += ["--keys", str(present_keys), "--lang", lang]
        result = CliRunner().invoke(group.command, [*options, *words], input=answer)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.output

    return invoke
