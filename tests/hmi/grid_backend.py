"""The demo grid as a table that a test drives: the model and drawings are the real ones, the field is what the test says."""

from __future__ import annotations

import asyncio
import math
import random
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from scadapb.v1 import scada_pb2 as pb

from scada.actors.tracing import TraceQueue
from scada.control.records import ControlReply, ModeReply, SequenceState
from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import NS_PER_S
from scada.core.quality import BAD_MASK, Quality
from scada.events.recall import CHANGE_DTYPE, Recall, RecallInfo
from scada.events.records import Alarm, AlarmPhase, Event, EventKind, Suppression, SuppressionKind
from scada.model_cim.points import load_model
from scada.model_cim.tables import AlarmClass, ControlKind, PointKind
from scada.model_cim.topology import Topology
from scada.protocols.iec104.describe import Iec104Describer
from scada.rtdb.changes import ChangeSet, Snapshot
from tests.api.operator_table import OperatorTable
from tests.hmi.regulation_table import PerformanceTable, PlanTable, explanation, fill_area, fill_avc, fill_unit, rerun
from tests.hmi.version_table import VersionTable

GRID = Path(__file__).resolve().parents[2] / "examples" / "demo-grid"

_TYPICAL = {
    "ThreePhaseActivePower": 42.0,
    "ThreePhaseReactivePower": 8.5,
    "LineCurrent": 210.0,
    "OilTemperature": 52.0,
    "TapPosition": 3.0,
    "Frequency": 50.012,
    "AreaGeneration": 612.0,
    "AreaLoad": 640.0,
    "AreaInterchange": -62.0,
    "AreaControlError": -3.4,
    "StateOfCharge": 61.0,
}


class GridBackend(OperatorTable):
    """A backend whose field is moved by the test; what reaches the control path is in ``acted``."""

    def __init__(self, clock) -> None:
        self.site = "demo"
        self.clock = clock
        model, self.tables, _ = load_model(GRID)
        self.topology = Topology(model)
        self.position = {p.equipment: int(p.pid) for p in self.tables.points if p.measurement_type == "SwitchPosition"}
        self.energised = [p for p in self.tables.points if p.measurement_type == "EnergisedState"]
        count = len(self.tables.points)
        self.seq = 0
        self.value = np.full(count, np.nan)
        self.quality = np.full(count, int(Quality.NEVER_RECEIVED), np.uint32)
        self.source = np.zeros(count, np.int64)
        self.received = np.zeros(count, np.int64)
        self.stored: list[Event] = []
        self.present: list[Alarm] = []
        self.hidden: dict[tuple[str, str, SuppressionKind], Suppression] = {}
        self.acted: list[tuple[str, object]] = []
        self.selected: dict[str, tuple[object, float]] = {}
        self.feedback_follows = True
        self.agc_state, self.avc_state = "on", "off"
        self.modes = {unit.mrid: (unit.base_mode, unit.reg_mode, math.nan) for unit in self.units}
        self.channel_state = dict.fromkeys((channel.name for channel in self.tables.channels), "up")
        self.orders: list[pb.DispatchOrder] = []
        self.traces: list[tuple[str, TraceQueue]] = []
        self.recorded: dict[str, str] = {}
        self.late: dict[int, set[tuple[int, float, int]]] = {}
        self.started = clock.now_ns()
        self.engineering = VersionTable(self.started)
        area = next(one for one in self.tables.areas if one.controlled)
        self.control_mode = "TLBC"
        self.loops: dict[str, str] = {}
        self.locked = {self.units[0].mrid}
        self.performance = PerformanceTable(area.name, self.units, clock.now_ns)
        self.plans = PlanTable(area.name, self.units, self.started - 10 * 3600 * NS_PER_S)
        self._lock = threading.RLock()
        self._on_changes: list = []
        self._on_events: list = []
        self.keep_operator_data(model)
        self._initial()

    @property
    def units(self):
        return next(area for area in self.tables.areas if area.controlled).units

    def _initial(self) -> None:
        rng = random.Random(7)
        pids, values = [], []
        for point in self.tables.points:
            if point.expression == "topology":
                continue
            if point.kind is PointKind.DOUBLE:
                value = math.nan
            elif point.kind is PointKind.STATUS:
                value = 1.0 if point.measurement_type in {"AgcRemote", "AvcRemote", "UnitRunning"} else 0.0
            elif point.measurement_type == "LineToLineVoltage":
                low, high = point.limits.lo, point.limits.hi
                value = (low + high) / 2 * rng.uniform(0.985, 1.03) if math.isfinite(low) else rng.uniform(10.1, 10.6)
            else:
                value = _TYPICAL.get(point.measurement_type, 12.0) * rng.uniform(
                    0.6, 1.3 if "Current" not in point.measurement_type else 1.6
                )
                if point.measurement_type == "Frequency":
                    value = 50.012
                if point.kind is PointKind.STEP:
                    value = float(round(value))
            pids.append(int(point.pid))
            values.append(value)
        graph = self.topology
        for names, open_ in ((graph.switches, graph.initial_open), (graph.earthing, graph.initial_earthing_open)):
            for mrid, is_open in zip(names, open_, strict=True):
                if mrid in self.position:
                    values[pids.index(self.position[mrid])] = 1.0 if is_open else 2.0
        self.apply(pids, values)

    # ---- what the field does

    def apply(self, pids, values, *, quality: int = 0, flags: int = 0) -> None:
        """Commit a batch, follow the topology, tell the listeners."""
        now = self.clock.now_ns()
        with self._lock:
            pids, values = np.asarray(pids, np.uint32), np.asarray(values, np.float64)
            words = np.full(len(pids), quality, np.uint32)
            free = self.aside(pids, values, words)
            pids = pids[free]
            self._commit(pids, values[free], words[free], now, flags)
            if set(pids.tolist()) & set(self.position.values()):
                self._commit(*self._energised_states(), now, 0)

    def _energised_states(self):
        graph = self.topology

        def open_(names):
            return np.array([mrid in self.position and self.value[self.position[mrid]] == 1.0 for mrid in names])

        state = dict(zip(graph.equipment, graph.process(open_(graph.switches), open_(graph.earthing)).equipment, strict=True))
        pids = np.array([point.pid for point in self.energised], np.uint32)
        values = np.array([state[point.equipment] for point in self.energised], np.float64)
        return pids, values, np.full(len(pids), int(Quality.CALCULATED), np.uint32)

    def _acts(self, name, request, principal, evidence) -> None:
        self.acted.append((name, request))

    def _show(self, pids, values, words) -> None:
        with self._lock:
            self._commit(pids, values, words, self.clock.now_ns(), 0)
            if set(pids.tolist()) & set(self.position.values()):
                self._commit(*self._energised_states(), self.clock.now_ns(), 0)

    def _commit(self, pids, values, words, now: int, flags: int) -> None:
        batch = PointBatch.of(pids, values, received_at=now, quality=words, source_time=now, flags=flags)
        first = self.seq + 1
        self.seq += len(batch)
        self.value[pids], self.quality[pids] = values, words
        self.source[pids] = self.received[pids] = now
        changes = ChangeSet(first, batch.records, np.full(len(batch), now, np.int64), now)
        for listener in list(self._on_changes):
            listener(changes)

    def switch(self, pid: int, position: int) -> None:
        """A switch took a position: SOE and value."""
        self.apply([pid], [position], flags=RecordFlag.EVENT)
        point = self.tables.points[pid]
        label = point.states.get(position, str(position))
        self.report(
            Event(
                self.clock.now_ns(),
                EventKind.STATUS_CHANGE,
                AlarmClass.CHANGE,
                3,
                "status.changed",
                {"point": point.path, "state": label},
                pid=pid,
                mrid=point.mrid,
                station=point.station,
                path=point.path,
                value=position,
                source_time_ns=self.clock.now_ns(),
            )
        )

    def raise_alarm(
        self, pid: int, alarm_class: AlarmClass, key: str = "limit.hi", value: float = 95.0, limit: float = 90.0
    ) -> int:
        """An alarm of a point; returns its id."""
        point = self.tables.points[pid]
        parameters = {"point": point.path, "value": f"{value:g}", "limit": f"{limit:g}", "unit": point.unit, "state": "alarm"}
        with self._lock:
            self.report(
                Event(
                    self.clock.now_ns(),
                    EventKind.LIMIT_VIOLATED,
                    alarm_class,
                    2,
                    key,
                    parameters,
                    pid=pid,
                    mrid=point.mrid,
                    path=point.path,
                    station=point.station,
                    value=value,
                    alarm_id=len(self.stored) + 1,
                )
            )
            number = self.stored[-1].event_id
            self.present.append(
                Alarm(
                    number,
                    AlarmPhase.UNACK_ACTIVE,
                    alarm_class,
                    2,
                    key,
                    parameters,
                    pid,
                    point.mrid,
                    point.station,
                    point.path,
                    value,
                    limit,
                    self.clock.now_ns(),
                )
            )
        return number

    def group(self, alarm_id: int, head: int) -> None:
        """An alarm belongs to the flood that began with another."""
        with self._lock:
            self.present = [replace(alarm, group=head) if alarm.alarm_id == alarm_id else alarm for alarm in self.present]

    # ---- Backend

    def snapshot(self, pids=None):
        with self._lock:
            chosen = np.arange(len(self.value), dtype=np.uint32) if pids is None else np.asarray(pids, np.uint32)
            columns = (self.value, self.quality, self.source, self.received)
            return Snapshot(self.seq, chosen, *(column[chosen] for column in columns))

    def on_changes(self, listener):
        with self._lock:
            self._on_changes.append(listener)
            return self.seq, lambda: self._on_changes.remove(listener)

    def alarms(self):
        with self._lock:
            return tuple(self.present), len(self.stored)

    def events(self, *, after_id=0, from_ns=0, to_ns=0, kinds=(), limit=1000):
        found = [event for event in list(self.stored) if event.event_id > after_id and (not kinds or event.kind in kinds)]
        if after_id:
            return found[:limit]
        span = [event for event in found if event.time_ns >= from_ns and (not to_ns or event.time_ns <= to_ns)]
        return span[::-1][:limit]

    def on_events(self, listener):
        with self._lock:
            self._on_events.append(listener)
            return len(self.stored), lambda: self._on_events.remove(listener)

    def record(self, row):
        """The audit log of a server that never fails."""

    def report(self, event):
        with self._lock:
            stored = Event(**{name: getattr(event, name) for name in event.__slots__} | {"event_id": len(self.stored) + 1})
            self.stored.append(stored)
            for listener in list(self._on_events):
                listener([stored])

    async def events_page(self, request, limit):
        found = self.events(
            after_id=request.after_id, from_ns=request.from_ns, to_ns=request.to_ns, kinds=request.kinds, limit=len(self.stored)
        )
        if request.oldest_first:
            found = found[::-1]
        if request.source_order:
            found = sorted((e for e in found if e.kind is EventKind.STATUS_CHANGE), key=lambda e: e.source_time_ns or e.time_ns)
        if request.behind:
            numbers = [event.event_id for event in found]
            found = found[numbers.index(request.behind) + 1 :]
        text = request.text.casefold()
        wanted = [
            event
            for event in found
            if request.station in ("", event.station)
            and any(text in one.casefold() for one in (event.path, event.key, event.actor))
        ]
        return wanted[:limit]

    def suppressions(self):
        return tuple(self.hidden.values())

    async def suppress(self, request, principal, evidence):
        self.acted.append(("suppress", request))
        points, unknown = self.tables.by_mrid, []
        now = self.clock.now_ns()
        if not isinstance(request, pb.UnshelveRequest) and not request.reason:
            return pb.AlarmReply(code="no_reason", reason="a reason must be given")
        if isinstance(request, pb.ShelveRequest) and not 0 < request.duration_s <= 28_800:
            return pb.AlarmReply(code="duration", reason="an alarm is shelved for 1 s to 8 h")
        service = isinstance(request, pb.AlarmServiceRequest)
        kind = SuppressionKind.OUT_OF_SERVICE if service else SuppressionKind.SHELVED
        until = now + request.duration_s * NS_PER_S if isinstance(request, pb.ShelveRequest) else 0
        hides = isinstance(request, pb.ShelveRequest) or (service and request.out_of_service)
        for name in request.alarms:
            if name.mrid not in points:
                unknown.append(name)
                continue
            key, path, station = (name.mrid, name.key, kind), points[name.mrid].path, points[name.mrid].station
            if not hides:
                self.hidden.pop(key, None)
                continue
            active = any(alarm.mrid == name.mrid and name.key in ("", alarm.key) for alarm in self.present)
            self.hidden[key] = Suppression(
                name.mrid, name.key, kind, path, station, now, until, principal.name, request.reason, active
            )
        key = "alarm.shelved" if hides else "alarm.unshelved"
        self.report(Event(now, EventKind.SUPPRESSED, AlarmClass.NOTICE, 4, key, actor=principal.name))
        return pb.AlarmReply(accepted=not unknown, code="unknown" if unknown else "", unknown=unknown)

    async def alarm_kpi(self, request):
        raised = [event for event in self.stored if event.alarm_id == event.event_id]
        by_priority = [sum(event.priority == priority for event in raised) for priority in (1, 2, 3, 4)]
        by_class = [sum(event.alarm_class == each for event in raised) for each in AlarmClass]
        sources = Counter((event.mrid, event.path, event.key) for event in raised).most_common(10)
        return pb.AlarmKpi(
            from_ns=max(request.from_ns, self.started),
            to_ns=request.to_ns or self.clock.now_ns(),
            alarms=len(raised),
            per_10_min_mean=float(len(raised)),
            per_10_min_peak=len(raised),
            peak_ns=self.started,
            flood_share=float(len(raised) > 10),
            floods=int(len(raised) > 10),
            standing=len(self.present),
            most_frequent=[pb.AlarmSource(mrid=m, path=p, key=k, count=n) for (m, p, k), n in sources],
            most_frequent_share=sum(n for _, n in sources) / max(1, len(raised)),
            by_priority=by_priority,
            by_class=by_class,
            acknowledge_median_s=math.nan,
            acknowledge_p95_s=math.nan,
            unacknowledged=sum(alarm.phase != AlarmPhase.ACK_ACTIVE for alarm in self.present),
            shelved=sum(kind is SuppressionKind.SHELVED for *_, kind in self.hidden),
            out_of_service=sum(kind is SuppressionKind.OUT_OF_SERVICE for *_, kind in self.hidden),
        )

    async def recall(self, request):
        begin, end = request.at_ns - request.before_s * NS_PER_S, request.at_ns + request.after_s * NS_PER_S
        pids = list(request.pids) or [int(p.pid) for p in self.tables.points if request.station in ("", p.station)]
        snapshot = self.snapshot(pids)
        start = np.zeros(len(pids), CHANGE_DTYPE)
        start["pid"], start["value"], start["quality"] = snapshot.pid, snapshot.value, snapshot.quality
        found = [event for event in self.stored if begin <= (event.source_time_ns or event.time_ns) < end]
        moved = [event for event in found if event.kind is EventKind.STATUS_CHANGE and event.pid in set(pids)]
        changes = np.zeros(len(moved), CHANGE_DTYPE)
        for row, event in zip(changes, moved, strict=True):
            row["time"], row["pid"], row["value"], row["received"] = event.source_time_ns, event.pid, event.value, event.time_ns
        return Recall(request.at_ns, begin, end, "journal", True, "", start, changes, found)

    async def recalls(self):
        accidents = [alarm for alarm in self.present if alarm.alarm_class is AlarmClass.ACCIDENT]
        around = 60 * NS_PER_S
        return [
            RecallInfo(
                Path(), alarm.raised_ns, alarm.raised_ns - around, alarm.raised_ns + around, alarm.alarm_id, alarm.path, True
            )
            for alarm in reversed(accidents)
        ]

    async def acknowledge(self, alarm_ids, principal, *, seen=0):
        self.acted.append(("acknowledge", list(alarm_ids)))
        known, unknown = [], []
        for number in alarm_ids:
            place = next((i for i, alarm in enumerate(self.present) if alarm.alarm_id == number), None)
            if place is None:
                unknown.append(number)
                continue
            old = {name: getattr(self.present[place], name) for name in Alarm.__slots__}
            who = {"phase": AlarmPhase.ACK_ACTIVE, "acknowledged_ns": self.clock.now_ns(), "acknowledged_by": principal.name}
            self.present[place] = Alarm(**old | who)
            known.append(number)
            self.report(
                Event(
                    self.clock.now_ns(),
                    EventKind.ACKNOWLEDGED,
                    AlarmClass.NOTICE,
                    4,
                    "alarm.acknowledged",
                    alarm_id=number,
                    actor=principal.name,
                )
            )
        return known, unknown

    async def select(self, request, principal, evidence):
        self.acted.append(("select", request))
        control = self.tables.control_by_mrid[request.control]
        if request.device_number != control.device_number:
            return ControlReply("", SequenceState.REFUSED, "device_number", "the typed number is not the object's")
        number = str(len(self.selected) + 1)
        self.selected[number] = (control, request.value)
        await asyncio.sleep(0.15)
        present = float(self.value[control.feedback]) if control.feedback is not None else math.nan
        until = self.clock.now_ns() + 30 * NS_PER_S
        return ControlReply(
            number, SequenceState.SELECTED, valid_until_ns=until, value=request.value, present=present, elapsed_s=0.15
        )

    async def execute(self, request, principal, evidence):
        self.acted.append(("execute", request))
        control, value = self.selected.pop(request.sequence_id)
        await asyncio.sleep(0.2)
        if not self.feedback_follows:
            return ControlReply(
                request.sequence_id, SequenceState.EXEC_FAILED, "feedback_timeout", "the position did not follow in time"
            )
        if control.feedback is not None:
            if control.kind is ControlKind.DOUBLE:
                self.switch(int(control.feedback), int(value))
            else:
                self.apply([int(control.feedback)], [value])
        return ControlReply(request.sequence_id, SequenceState.SUCCESS, value=value, present=value, elapsed_s=0.2)

    async def cancel(self, request, principal, evidence):
        self.acted.append(("cancel", request))
        self.selected.pop(request.sequence_id, None)
        return ControlReply(request.sequence_id, SequenceState.CANCELLED)

    async def sequences(self, station="", *, ended=False):
        return []

    async def set_mode(self, request, principal, evidence):
        self.acted.append(("set_mode", request))
        match request.WhichOneof("target"):
            case "agc":
                self.agc_state = request.agc
            case "avc":
                self.avc_state = request.avc
            case "control_mode":
                self.control_mode = request.control_mode
            case "loop":
                self.loops[request.loop.mrid] = request.loop.loop
            case "unlock":
                self.locked.discard(request.unlock)
            case "unit":
                base = request.unit.base_point_mw if request.unit.base_mode == "BASE" else math.nan
                self.modes[request.unit.unit] = (request.unit.base_mode, request.unit.reg_mode, base)
            case "channel":
                match request.channel.action:
                    case "quarantine":
                        return ModeReply(False, "not_now", "the channel carries a running control")
                    case "record":
                        self.recorded[request.channel.channel] = "recording.pcapng"
                    case "stop_recording":
                        self.recorded.pop(request.channel.channel)
        return ModeReply(True)

    def channel(self, name):
        up = self.channel_state[name] == "up"
        now = self.clock.now_ns()
        return pb.ChannelDetail(
            status=next(one for one in self.status().channels if one.name == name),
            links=[
                pb.ChannelLink(name="A", endpoint="10.1.0.7:2404", state="up" if up else "down", since_ns=self.started),
                pb.ChannelLink(name="B", endpoint="10.2.0.7:2404", state="standby" if up else "down", since_ns=self.started),
            ],
            disconnects=[
                pb.ChannelDisconnect(time_ns=now - 90 * NS_PER_S, reason="no acknowledgement within t1 = 15 s"),
                pb.ChannelDisconnect(time_ns=now - 3600 * NS_PER_S, reason="the station closed the connection"),
            ],
            bytes_in=self.seq * 20,
            bytes_out=self.seq,
            switches=2,
            clock_skew_s=math.nan,
            up_share=0.99931,
            recording=self.recorded.get(name, ""),
            recording_bytes=123_456 if name in self.recorded else 0,
            orders=["read_counters", "read", "test", "reset_process"],
            parameters={"k": "12", "w": "8", "t1": "15"},
            cleaning=[
                pb.CleaningCount(finding="range", count=3, points=1, last_path="Beishan/220kV/Donghu 1/P", last_ns=now),
                pb.CleaningCount(finding="gap"),
            ],
        )

    def trace(self, name, *, values):
        queue = TraceQueue(Iec104Describer, values=values)
        self.traces.append((name, queue))
        return queue, lambda: self.traces.remove((name, queue))

    async def recordings(self):
        return pb.RecordingList()

    def upstream(self):
        link = pb.UpstreamLink(
            peer="10.9.0.1:40112", subject="CN=dispatch-a", state="started", since_ns=self.started, frames_out=420
        )
        groups = [
            pb.UpstreamGroup(name="centre", masters=["10.9.0.1", "10.9.0.2"], queued=17, links=[link]),
            pb.UpstreamGroup(name="backup", masters=["10.9.1.1"], queued=512, lost=3),
        ]
        station = pb.UpstreamStation(
            name="dispatch",
            endpoint="0.0.0.0:2404",
            listening=True,
            points=310,
            controls=12,
            capacity=100_000,
            groups=groups,
            tls=True,
        )
        return pb.UpstreamStatus(stations=[station])

    def status(self):
        good = int(((self.quality & np.uint32(BAD_MASK)) == 0).sum())
        now = self.clock.now_ns()
        channels = []
        for spec in self.tables.channels:
            state = self.channel_state[spec.name]
            pids = [int(point.pid) for point in self.tables.points_of_channel(spec.index)]
            channels.append(
                pb.ChannelStatus(
                    name=spec.name,
                    protocol=spec.protocol,
                    endpoint=f"{spec.host}:{spec.port}",
                    state=state,
                    since_ns=self.started,
                    reason="" if state == "up" else "connection refused",
                    frames_in=self.seq // 3,
                    frames_out=self.seq // 30,
                    values_in=self.seq,
                    connects=1,
                    round_trip_s=0.012,
                    last_receive_ns=now,
                    station=spec.station,
                    points_total=len(pids),
                    points_good=int(((self.quality[pids] & np.uint32(BAD_MASK)) == 0).sum()),
                )
            )
        areas = [
            pb.AreaStatus(
                name=area.name,
                controlled=area.controlled,
                frequency_hz=float(self.value[area.frequency[0]]),
                ace_mw=-3.4 if area.controlled else math.nan,
                interchange_mw=-62.0 if area.controlled else 62.0,
                scheduled_interchange_mw=area.scheduled_interchange,
                generation_mw=612.0,
                load_mw=674.0,
            )
            for area in self.tables.areas
        ]
        return pb.SystemStatus(
            site=self.site,
            version="0.1.0",
            time_ns=now,
            started_ns=self.started,
            points_total=len(self.value),
            points_good=good,
            channels_total=len(channels),
            channels_up=sum(one.state == "up" for one in channels),
            areas=areas,
            agc_state=self.agc_state,
            avc_state=self.avc_state,
            alarms_unacknowledged=sum(alarm.phase != AlarmPhase.ACK_ACTIVE for alarm in self.present),
            alarms_active=len(self.present),
            channels=channels,
            seq=self.seq,
            actors=[
                pb.ActorHealth(name=name, state="running", mailbox=0) for name in ("rtdb", "events", "control", "agc", "avc")
            ],
        )

    async def explain(self, mrid):
        unit = next((unit for unit in self.units if unit.mrid == mrid), None)
        return None if unit is None else explanation(mrid, unit.name, self.clock.now_ns())

    async def what_if(self, request):
        self.acted.append(("what_if", request))
        return rerun(request)

    def agc(self, area_name=""):
        area = next(one for one in self.tables.areas if one.controlled and area_name in {"", one.name})
        now = self.clock.now_ns()
        units = []
        for row, unit in enumerate(self.units):
            base_mode, reg_mode, base = self.modes[unit.mrid]
            power = unit.minimum + 0.6 * (unit.maximum - unit.minimum)
            units.append(
                pb.AgcUnitStatus(
                    mrid=unit.mrid,
                    name=unit.name,
                    fuel=unit.fuel,
                    base_mode=base_mode,
                    reg_mode=reg_mode,
                    power_mw=power,
                    base_mw=base if math.isfinite(base) else power,
                    setpoint_mw=power + 1.5,
                    minimum_mw=unit.minimum,
                    maximum_mw=unit.maximum,
                    ramp_up=unit.ramp_up,
                    ramp_down=unit.ramp_down,
                    available=reg_mode != "O",
                    reason="" if reg_mode != "O" else "mode off",
                    last_command_ns=now - 3 * NS_PER_S,
                    participation=unit.participation / sum(one.participation for one in self.units),
                    forbidden=[edge for zone in unit.forbidden for edge in (zone.low, zone.high)],
                )
            )
            fill_unit(units[-1], row, self.loops.get(unit.mrid, "closed"), locked=unit.mrid in self.locked)
        wave = 4 * math.sin(now / 2e10)
        status = pb.AgcStatus(
            area=area.name,
            state=self.agc_state,
            frequency_hz=50.012,
            ace_mw=wave,
            filtered_ace_mw=0.8 * wave,
            interchange_mw=-62.0,
            scheduled_interchange_mw=-65.0,
            regulation_mw=-0.5 * wave,
            zone="dead",
            reserve_up_mw=240.0,
            reserve_down_mw=180.0,
            cycle_ns=now - now % (4 * NS_PER_S),
            units=units,
            dispatch=self.dispatch(),
            cps1_percent=186.2,
        )
        fill_area(status, self.control_mode, now)
        return status

    def avc(self):
        zones = []
        for zone in self.tables.zones:
            pilots = [
                pb.AvcPilotStatus(
                    name=pilot.name,
                    mrid=pilot.mrid,
                    voltage_kv=float(self.value[pilot.voltage[0]]),
                    target_kv=pilot.target,
                    deadband_kv=pilot.deadband,
                    minimum_kv=pilot.minimum,
                    maximum_kv=pilot.maximum,
                    valid=True,
                )
                for pilot in zone.pilots
            ]
            sources = [
                pb.AvcSourceStatus(
                    name=source.name,
                    mrid=source.mrid,
                    reactive_mvar=float(self.value[source.power]),
                    setpoint_mvar=8.0,
                    minimum_mvar=source.minimum,
                    maximum_mvar=source.maximum,
                    available=True,
                )
                for source in zone.sources
            ]
            devices = [
                pb.AvcDeviceStatus(
                    name=device.name,
                    mrid=device.mrid,
                    kind=device.kind,
                    position=float(self.value[device.position]),
                    operations_today=2,
                    daily_limit=device.daily_limit,
                    lock="" if index else "daily limit",
                    last_operation_ns=self.clock.now_ns() - 400 * NS_PER_S,
                )
                for index, device in enumerate(zone.devices)
            ]
            zones.append(pb.AvcZoneStatus(name=zone.name, pilots=pilots, sources=sources, devices=devices))
        status = pb.AvcStatus(state=self.avc_state, cycle_ns=self.clock.now_ns() - 9 * NS_PER_S, zones=zones)
        fill_avc(status, self.loops)
        return status

    def order(self, order_id: str, mw: float, code: int, reason: str = "") -> None:
        """An order of upstream dispatch was judged."""
        applied = mw if code == pb.DISPATCH_CODE_ACCEPTED else math.nan
        self.orders.append(
            pb.DispatchOrder(
                order_id=order_id,
                sender="dispatcher",
                received_ns=self.clock.now_ns(),
                code=code,
                reason=reason,
                kind="setpoint",
                mw=mw,
                applied_mw=applied,
                target="East",
                signature_ok=True,
            )
        )

    async def dispatch_setpoint(self, request, principal, evidence):
        self.order(request.order_id, request.interchange_mw, pb.DISPATCH_CODE_ACCEPTED)
        return pb.DispatchReply(code=pb.DISPATCH_CODE_ACCEPTED, applied_mw=request.interchange_mw, order_id=request.order_id)

    async def dispatch_schedule(self, request, principal, evidence):
        return pb.DispatchReply(code=pb.DISPATCH_CODE_REFUSED, reason="no schedule here", order_id=request.order_id)

    async def edit_schedule(self, request, principal, evidence):
        self.acted.append(("edit_schedule", request))
        return self.plans.edit(request, principal.name)

    async def dispatch_order(self, request, principal, evidence):
        """A decision of the operator about an order that waits."""
        self.acted.append(("dispatch_order", request))
        code = pb.DISPATCH_CODE_ACCEPTED if request.accept else pb.DISPATCH_CODE_REFUSED
        for order in self.orders:
            if order.order_id == request.order_id:
                order.code, order.decided_by = code, principal.name
        return pb.DispatchReply(code=code, order_id=request.order_id, reason_code="" if request.accept else "operator")

    def dispatch_heard(self, principal):
        """Somebody looks."""

    async def list_schedules(self, request):
        return self.plans.listed(request)

    async def get_schedule(self, request):
        return self.plans.get(request)

    def dispatch(self):
        return pb.DispatchStatus(
            interchange_setpoint_mw=-65.0, interchange_mw=-62.0, orders=self.orders, followed=[self.plans.followed()]
        )

    async def history(self, request):
        series = []
        period = request.period_s * NS_PER_S
        step = period or max(1, (request.to_ns - request.from_ns) // 120)
        first = -(-request.from_ns // period) * period if period else request.from_ns
        for pid in request.pids:
            now = float(self.value[pid])
            times = list(range(first, request.to_ns, step))
            values = [now * (1 + 0.02 * math.sin(i / 7 + pid)) for i in range(len(times))]
            if self.tables.points[pid].measurement_type == "Frequency":
                values = [50 + 0.03 * math.sin(i / 9) for i in range(len(times))]
            late = sorted(one for one in self.late.get(pid, ()) if request.from_ns <= one[0] < request.to_ns)
            rows = sorted([*zip(times, values, [0] * len(times), strict=True), *([] if period else late)])
            times, values, quality = ([row[column] for row in rows] for column in range(3))
            made = pb.HistorySeries(pid=pid, time_ns=times, value=values, minimum=values, maximum=values, quality=quality)
            if period:
                made.mean.extend(values)
                made.time_weighted.extend(values)
                made.count.extend([60] * len(times))
                made.good_s.extend([float(request.period_s)] * len(times))
            series.append(made)
        return pb.HistoryReply(series=series)

    async def backfill(self, request, principal, evidence):
        self.acted.append(("backfill", request))
        stored = known = refused = 0
        for one in request.points:
            there = self.late.setdefault(one.pid, set())
            for row in zip(one.time_ns, one.value, one.quality, strict=True):
                if row[0] > self.clock.now_ns():
                    refused += 1
                elif row in there:
                    known += 1
                else:
                    there.add(row)
                    stored += 1
        reason = "a time stamp lies in the future" if refused else ""
        return pb.BackfillReply(stored=stored, known=known, refused=refused, reason=reason)

    async def history_status(self):
        late = sum(len(rows) for rows in self.late.values())
        return pb.HistoryStatus(
            backend="embedded", oldest_ns=self.started, stored_bytes=52_428_800, backfilled=late, raw_days=400, minute_days=3660
        )

    async def replay(self, action, request):
        return pb.ReplayState(replay_id="1", state=action)

    def replay_values(self, replay_id):
        return pb.ReplayValues()

    def diagram(self, stem):
        folder = GRID / "diagrams"
        return (folder / f"{stem}.svg").read_text(), (folder / f"{stem}.json").read_text()
