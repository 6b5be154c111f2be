"""Upstream actor: what a master is shown and told, over crashes, full disks and lost links; what it may command."""

import asyncio
import json
import random
import threading
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
import structlog
from actors.harness import POINTS, Box, Disk, S, make
from protocols.iec104.raw_master import RawMaster, causes, clock_of, counter_request, interrogation, objects, order
from scadapb.v1 import scada_pb2 as pb

from scada.actors import upstream_station
from scada.actors.base import Address
from scada.actors.messages import Changed, FellBehind, Tick
from scada.actors.order_messages import StepAsked, TelecontrolSelect
from scada.actors.upstream import Remarked, UpstreamActor, UpstreamView
from scada.actors.upstream_following import CONSUMER
from scada.actors.upstream_masters import MasterWatch, standing_principals
from scada.actors.upstream_station import (
    UpstreamLink,
    UpstreamStuckError,
    check_parameters,
    configured,
    event_capacity,
    queue_name,
)
from scada.actors.wire import Wire
from scada.control.records import ControlReply, SequenceState
from scada.core.batch import RecordFlag
from scada.core.errors import ConfigError, StoreError
from scada.core.quality import Quality
from scada.core.settings import MasterSettings, UpstreamStationSettings
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import (
    Control,
    ControlKind,
    ForwardedControl,
    ForwardedPoint,
    ModelTables,
    RedundancyGroup,
    UpstreamStation,
)
from scada.protocols.iec104.event_queue import EventQueue, StoredEventQueue
from scada.protocols.iec104.groups import GroupReport
from scada.rtdb.changes import GapError
from scada.security.audit import AuditLog

MASTER = "10.1.0.1"
STATUS, STATUS_2, POWER, OTHER = range(4)
BREAKER, SETPOINT = 24577, 25089
CONTROLS = [
    Control(0, "c0", "S/c0", "c0", ControlKind.DOUBLE, "", "", "e", "S", 0, Iec104Address(1, 1, 46), None, "2211"),
    Control(1, "c1", "S/c1", "c1", ControlKind.SETPOINT, "", "", "u", "S", 0, Iec104Address(1, 2, 50), None, "", select=False),
]
TABLES = ModelTables("v", "small", POINTS, CONTROLS, [], [], [], [])
STATION = UpstreamStation(
    "u1",
    "Provincial dispatch",
    "127.0.0.1",
    0,
    7,
    [RedundancyGroup("A", (MASTER, "10.1.0.2"))],
    [
        ForwardedPoint("f0", STATUS, Iec104Address(7, 1, 31), 0.0, queued=True),
        ForwardedPoint("f1", STATUS_2, Iec104Address(7, 2, 31), 0.0, queued=True),
        ForwardedPoint("f2", POWER, Iec104Address(7, 16385, 13), 0.5, queued=False, scale=2.0),
    ],
    [
        ForwardedControl("g0", 0, Iec104Address(7, BREAKER, 46)),
        ForwardedControl("g1", 1, Iec104Address(7, SETPOINT, 50), select=False, scale=10.0),
    ],
)
GRANTS = {MASTER: MasterSettings(name="dispatch", roles=["OPERATOR"], areas=["*"])}


class InlineWire:
    """A wire whose loop runs only while somebody waits for it."""

    def __init__(self):
        self.runner = asyncio.new_event_loop()
        self.loop = self

    def submit(self, work):
        future = Future()
        try:
            future.set_result(self.runner.run_until_complete(work))
        except Exception as error:  # noqa: BLE001 - as a future keeps it
            future.set_exception(error)
        return future

    def call_soon_threadsafe(self, call, *arguments):
        async def run():
            call(*arguments)

        self.submit(run()).result()

    def close(self):
        self.runner.run_until_complete(asyncio.sleep(0))
        self.runner.close()


class Rig:
    """An upstream actor over stores on a disk; the control desk's answers are the test's."""

    def __init__(self, folder, station=STATION, grants=GRANTS):
        self.folder, self.station = folder, station
        self.masters = standing_principals(grants)
        self.disk = Disk(folder)
        self.clock = self.disk.clock
        self.wire = InlineWire()
        self.audit = AuditLog(folder / "audit", self.clock)
        self.control, self.dispatch, self.events = Box(), Box(), Box()
        self.open()

    def open(self):
        self.queue = StoredEventQueue(self.folder / "upstream", queue_name(self.station), event_capacity(self.station))
        self.view = UpstreamView(self.station)
        self.address = Address("upstream")
        return self.life()

    def life(self):
        """The next life of the actor, at the address of the one before."""
        self.actor = make(
            UpstreamActor,
            name="upstream",
            view=self.view,
            tables=TABLES,
            wire=self.wire,
            store=self.disk.store,
            queue=self.queue,
            masters=self.masters,
            control=self.control,
            dispatch=self.dispatch,
            audit=self.audit,
            events=self.events,
            clock=self.clock,
        )
        self.actor.address, self.actor._mailbox = self.address, self.address.mailbox
        self.actor.started()
        return self

    def die(self):
        """As kill -9 does: masters and server are gone, nothing more is written."""
        self.view.link.close()
        self.queue._file.close()
        self.disk.die()

    def restart(self):
        self.die()
        self.disk.open()
        return self.open()

    def master(self, host=MASTER, **more):
        return RawMaster(self.view.link.outstation, host, **more).start()

    def put(self, pids, values, **more):
        self.actor.receive(Changed(self.disk.put(pids, values, **more)))

    def beat(self, seconds=1.0):
        self.clock.advance(seconds)
        self.actor.receive(Tick())

    def deliver(self):
        """Handle what the actor was told, by the loop and by the desk."""
        while not self.actor.address.mailbox.empty():
            self.actor.receive(self.actor.address.mailbox.get().message)

    def close(self):
        self.actor.stopped()
        self.queue.close()
        self.disk.close()
        self.audit.close()
        self.wire.close()


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def event_values(asdus):
    """(address, low bits) of every spontaneous status with time."""
    return [(ioa, element[0] & 3) for ioa, element in objects(asdus, cause=3) if len(element) == 8]


# ---------------------------------------------------------------- values


def test_before_a_value_came_an_interrogation_says_invalid_and_not_topical(rig):
    answers = rig.master().ask(interrogation(ca=7))
    assert {element[-1] & 0xC0 for _, element in objects(answers, cause=20)} == {0xC0}


def test_an_interrogation_after_a_start_is_that_of_the_snapshot(rig):
    rig.disk.put([STATUS, POWER], [2.0, 30.0])
    rig.restart()
    found = dict(objects(rig.master().ask(interrogation(ca=7)), cause=20))
    assert found[1][0] == 2 | 0x40, "the state before the restart, not topical until its station sends it again"
    assert np.frombuffer(found[16385][:4], "<f4")[0] == 15.0, "scaled: value = sent * 2"


def test_a_change_goes_out_with_its_source_time(rig):
    master = rig.master()
    rig.put([STATUS], [1.0], event=True)
    stamp = rig.clock.now_ns() - 3 * S
    rig.put([STATUS], [2.0], event=True, source_time=stamp)
    [(ioa, element)] = [item for item in objects(master.pump(), cause=3) if item[1][0] & 3 == 2]
    assert (ioa, clock_of(element)) == (1, stamp // 1_000_000 * 1_000_000)


def test_a_change_found_by_interrogation_has_no_valid_time(rig):
    master = rig.master()
    rig.put([STATUS], [1.0], event=True)
    master.pump()
    batch = rig.disk.batch([STATUS], [2.0])
    batch.records["flags"] = RecordFlag.REFRESH | RecordFlag.EVENT
    rig.disk.store.apply(batch)
    rig.actor.receive(Changed(rig.disk.store.commit()))
    [(_, element)] = objects(master.pump(), cause=3)
    assert element[0] == 2
    assert element[3] & 0x80, "IV of the time tag: nobody knows when it changed"


def test_no_change_is_lost_and_none_comes_twice_over_kill_9(rig):
    rig.put([STATUS], [1.0], event=True)  # the first value is no event
    master = rig.master()
    rig.put([STATUS], [2.0], event=True)
    assert event_values(master.pump())[-1] == (1, 2)
    master.leave()
    rig.put([STATUS, STATUS_2], [1.0, 1.0], event=True)  # in the queue
    rig.disk.put([STATUS], [2.0], event=True)  # committed; killed before the actor was told
    rig.restart()
    rig.put([STATUS], [1.0], event=True)
    assert [value for ioa, value in event_values(rig.master().asdus) if ioa == 1] == [1, 2, 1]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_each_change_comes_once_and_in_order(rig, seed):
    """Lives of random length: changes, kills with a change that nobody was told of and without, masters that are deaf."""
    dice = random.Random(seed)
    rig.put([STATUS], [1.0], event=True)
    rig.master().leave()
    happened, heard = [], []
    for step in range(80):
        rig.clock.advance(1.0)
        stamp, value = rig.clock.now_ns(), [2.0, 1.0][step % 2]
        match dice.choice(["change", "change", "change", "kill", "killed untold", "crash", "master", "deaf master"]):
            case "change":
                rig.put([STATUS], [value], event=True, source_time=stamp)
                happened.append(stamp)
            case "kill":
                rig.restart()
            case "killed untold":
                rig.disk.put([STATUS], [value], event=True, source_time=stamp)
                happened.append(stamp)
                rig.restart()
            case "crash":
                rig.life()
            case "master":
                master = rig.master()
                heard += [clock_of(element) for _, element in objects(master.asdus, cause=3) if len(element) == 8]
                master.leave()
            case "deaf master":
                master = RawMaster(rig.view.link.outstation, MASTER)
                master.acknowledges = False
                master.start().leave()
    master = rig.master()
    heard += [clock_of(element) for _, element in objects(master.asdus, cause=3) if len(element) == 8]
    assert heard == [stamp // 1_000_000 * 1_000_000 for stamp in happened]


def test_a_restart_marks_states_not_topical_and_makes_no_event_of_it(rig):
    rig.put([STATUS], [1.0], event=True)
    before = rig.queue.next
    rig.restart()
    assert rig.queue.next == before
    [(_, element)] = [item for item in objects(rig.master().ask(interrogation(ca=7)), cause=20) if item[0] == 1]
    assert element[0] & 0x40


def test_lost_channels_are_shown_at_once_without_an_event(rig):
    rig.put([STATUS], [1.0], event=True)
    master = rig.master()
    before = rig.queue.next
    rig.disk.store.set_quality(np.array([STATUS], np.uint32), set_bits=int(Quality.COMM_LOST | Quality.NOT_TOPICAL))
    rig.actor.receive(Changed(rig.disk.store.commit()))
    [(ioa, element)] = objects(master.pump(), cause=3)
    assert (ioa, element[0]) == (1, 1 | 0x40)
    assert rig.queue.next == before


def test_what_a_hold_hides_is_not_sent_and_a_substituted_value_says_so(rig):
    rig.put([STATUS], [1.0], event=True)
    master = rig.master()
    rig.disk.store.hold(STATUS, 2.0)
    rig.actor.receive(Changed(rig.disk.store.commit()))
    assert [element[0] for _, element in objects(master.pump(), cause=3)] == [2 | 0x20]
    rig.put([STATUS], [3.0], event=True)
    assert master.pump() == [], "the plant's own change is behind the hold"
    rig.disk.store.release(STATUS)
    rig.actor.receive(Changed(rig.disk.store.commit()))
    assert [element[0] for _, element in objects(master.pump(), cause=3)] == [3]


def test_late_values_are_no_present_values(rig):
    rig.put([POWER], [10.0])
    master = rig.master()
    batch = rig.disk.batch([POWER], [99.0], source_time=rig.clock.now_ns() - 3600 * S)
    batch.records["flags"] = RecordFlag.BACKFILL
    rig.disk.store.apply(batch)
    rig.actor.receive(Changed(rig.disk.store.commit()))
    assert master.pump() == []


def test_a_full_disk_shows_states_and_makes_events_of_them_later(rig, monkeypatch):
    rig.put([STATUS], [1.0], event=True)
    master = rig.master()
    write = rig.queue._file.write

    def refuse():
        raise StoreError("no space left to write", where="upstream", mend="free disk space")

    monkeypatch.setattr(rig.queue._file, "write", refuse)
    rig.put([STATUS], [2.0], event=True)
    assert rig.events.keys().count("upstream.fault") == 1
    answers = dict(objects(master.ask(interrogation(ca=7)), cause=20))
    assert answers[1][0] & 3 == 2, "an interrogation tells the truth"
    events = rig.queue.next
    monkeypatch.setattr(rig.queue._file, "write", write)
    rig.beat(6.0)
    assert rig.queue.next == events + 1
    assert rig.events.keys().count("upstream.recovered") == 1


def test_what_a_master_acknowledges_while_the_disk_is_full_keeps_its_link(rig, monkeypatch):
    rig.put([STATUS], [1.0], event=True)
    master = rig.master()
    rig.put([STATUS], [2.0], event=True)

    def refuse():
        raise StoreError("no space left to write", where="upstream", mend="free disk space")

    monkeypatch.setattr(rig.queue._file, "write", refuse)
    assert event_values(master.pump()) == [(1, 2)]
    assert master.closed == ""
    assert rig.view.link.run(lambda station: station.report())[0].queued == 0


def test_a_gap_in_the_journal_is_said(rig, monkeypatch):
    rig.put([STATUS], [1.0], event=True)
    rig.put([STATUS], [2.0], event=True)
    rig.die()
    rig.disk.open()

    def gap(after, limit=None):
        raise GapError(after + 1, 9)
        yield

    monkeypatch.setattr(rig.disk.store, "changes", gap)
    rig.open()
    assert "upstream.gap" in rig.events.keys()  # noqa: SIM118 - a method of the box
    assert dict(objects(rig.master().ask(interrogation(ca=7)), cause=20))[1][0] & 3 == 2


def test_change_sets_that_found_the_mailbox_full_are_read_from_the_journal(rig):
    """Nobody waits for a slow disk here: what had no room is left out, and told."""
    rig.put([STATUS, POWER], [1.0, 10.0], event=True)
    master = rig.master()
    rig.disk.put([STATUS], [2.0], event=True)
    rig.disk.put([POWER], [50.0])
    rig.put([STATUS], [1.0], event=True)
    answers = master.pump()
    assert event_values(answers) == [(1, 2), (1, 1)]
    assert [np.frombuffer(element[:4], "<f4")[0] for ioa, element in objects(answers, cause=3) if ioa == 16385] == [25.0]
    late = Changed(rig.disk.put([STATUS], [2.0], event=True))
    rig.actor.receive(FellBehind())
    rig.actor.receive(late)
    assert event_values(master.pump()) == [(1, 2)], "the last ones too, and once"


def test_a_gap_in_service_tells_the_masters_every_state_anew(rig, monkeypatch):
    rig.put([STATUS, STATUS_2], [1.0, 1.0], event=True)
    master = rig.master()
    rig.disk.put([STATUS], [2.0], event=True)

    def gap(after, limit=None):
        raise GapError(after + 1, 9)
        yield

    monkeypatch.setattr(rig.disk.store, "changes", gap)
    rig.actor.receive(FellBehind())
    assert dict(objects(master.pump(), cause=2)) == {1: b"\2", 2: b"\1"}


def test_a_new_queue_begins_at_the_present(rig):
    assert rig.queue.next == 0
    assert rig.disk.store.head == 0
    assert rig.queue.stored_seq == 1, "it is no new queue any more"


def test_the_journal_is_kept_for_what_is_not_stored_yet(rig):
    rig.put([POWER], [1.0])
    place = next(one for one in rig.disk.store.consumers() if one.name.startswith(CONSUMER))
    rig.beat(6.0)
    after = next(one for one in rig.disk.store.consumers() if one.name.startswith(CONSUMER))
    assert place.seq < after.seq == rig.disk.store.head == rig.queue.stored_seq


def test_a_loop_that_hangs_is_not_waited_for_for_ever(rig, monkeypatch):
    """What was given up is over when the link is closed: the next life then reads from the queue what became of it."""
    wire, done, go = Wire("upstream"), [], threading.Event()
    link = UpstreamLink(wire, STATION, TABLES, EventQueue(9), rig.clock, on_command=print, on_refused=print, on_remark=print)
    wire.start()
    wire.loop.call_soon_threadsafe(go.wait)
    monkeypatch.setattr(upstream_station, "ANSWER_S", 0.0)
    for wait in (lambda: link.run(lambda _: done.append("given up")), link.listen, link.close):
        with pytest.raises(UpstreamStuckError, match="did not answer"):
            wait()
    monkeypatch.setattr(upstream_station, "ANSWER_S", 30.0)
    go.set()
    link.close()
    assert done == ["given up"]
    assert not link.listening
    wire.stop()


def test_a_crash_of_the_actor_closes_what_it_had_open(rig):
    first = rig.view.link
    rig.life()
    assert not first.listening
    assert rig.view.link.listening


# ---------------------------------------------------------------- masters


def test_masters_that_come_and_go_are_told(rig):
    master = rig.master()
    rig.beat()
    assert "upstream.connected" in rig.events.keys()  # noqa: SIM118
    shown = rig.view.status
    assert (shown.listening, shown.points, shown.controls) == (True, 3, 2)
    assert [link.state for link in shown.groups[0].links] == ["started"]
    master.leave()
    rig.beat()
    assert "upstream.lost" in rig.events.keys()  # noqa: SIM118


def test_odd_masters_are_told_of_and_do_not_flood_the_event_log(rig):
    with structlog.testing.capture_logs() as log:
        for _ in range(5):
            rig.actor.receive(Remarked("10.9.9.9:1 refused: belongs to no redundancy group"))
    assert len(log) == 1, "nor the log"
    assert rig.events.keys().count("upstream.remark") == 1
    rig.clock.advance(10.0)
    rig.actor.receive(Remarked("again"))
    told = [event for message in rig.events.got for event in message.events if event.key == "upstream.remark"]
    assert told[-1].parameters["text"] == "again (4 more before)"


def test_remarks_that_wait_take_no_room(rig):
    for _ in range(1000):
        rig.actor.address.tell(Remarked("a malformed frame"))
    assert rig.actor.address.mailbox.qsize() == 1


def test_groups_of_points_and_of_counters(tmp_path):
    rows = [
        replace(STATION.points[0], group=3),
        replace(STATION.points[1], group=2),
        ForwardedPoint("f3", OTHER, Iec104Address(7, 25601, 37), 0.0, queued=True, group=3, counter_group=2),
    ]
    rig = Rig(tmp_path, replace(STATION, points=rows))
    rig.put([STATUS, STATUS_2, OTHER], [1.0, 2.0, 7.0])
    master = rig.master()
    assert [ioa for ioa, _ in objects(master.ask(interrogation(23, ca=7)), cause=23)] == [1]
    assert [ioa for ioa, _ in objects(master.ask(counter_request(2, ca=7)), cause=39)] == [25601]
    rig.close()


def test_nobody_listens_where_no_master_is_named(tmp_path):
    station = configured(STATION, UpstreamStationSettings(groups={"A": []}), tmp_path)
    rig = Rig(tmp_path, station)
    assert not rig.view.status.listening
    assert "no group names a master" in rig.view.status.reason
    rig.close()


def test_a_certificate_that_cannot_be_used_is_said_and_tried_again(tmp_path):
    params = {"tls": 1.0, **{f"tls_{name}": str(tmp_path / name) for name in ("ca", "certificate", "key")}}
    rig = Rig(tmp_path, configured(STATION, UpstreamStationSettings(params=params), tmp_path))
    assert not rig.view.status.listening
    assert "upstream.not_listening" in rig.events.keys()  # noqa: SIM118
    rig.beat(6.0)
    assert rig.events.keys().count("upstream.not_listening") == 1, "told once"
    rig.close()


def test_events_that_give_way_are_told(tmp_path):
    station = configured(STATION, UpstreamStationSettings(params={"event_capacity": 4.0}), tmp_path)
    rig = Rig(tmp_path, station)
    rig.beat()
    for i in range(12):
        rig.put([STATUS], [1.0 + i % 2], event=True)
    rig.beat()
    assert "upstream.overflow" in rig.events.keys()  # noqa: SIM118
    assert rig.view.status.groups[0].lost == 7
    rig.close()


def test_losses_that_turn_out_to_be_none_are_not_told_as_more():
    told = []
    watch = MasterWatch(lambda *event: told.append(event[3]["count"]))
    for lost in (0, 10, 4, 12):
        watch.look([GroupReport("A", (), 0, lost, ())])
    assert told == ["10", "2"]


@pytest.mark.parametrize(
    "params", [{"event_capacity": 0.0}, {"time_zone_minutes": "east"}, {"select_timeout_s": -1.0}, {"event_capcity": 9.0}]
)
def test_a_wrong_parameter_is_a_clear_error(tmp_path, params):
    station = configured(STATION, UpstreamStationSettings(params=params), tmp_path)
    with pytest.raises(ConfigError, match=next(iter(params))):
        check_parameters(station)


def test_a_master_in_two_groups_is_an_error_of_the_configuration(tmp_path):
    """Said when the server starts, not by an actor that fails again and again."""
    station = configured(STATION, UpstreamStationSettings(groups={"A": ["Centre"], "B": ["centre"]}), tmp_path)
    with pytest.raises(ConfigError, match="master centre is in the groups A and B"):
        check_parameters(station)


# ---------------------------------------------------------------- commands


def taken(rig, kind):
    rig.deliver()
    [asked] = rig.control.take(kind)
    return asked


def selected(rig, master, value=2):
    """A select that the desk allowed."""
    master.ask(order(46, BREAKER, value, ca=7, select=True))
    asked = taken(rig, TelecontrolSelect)
    asked.reply(ControlReply("q1", SequenceState.SELECTED))
    rig.deliver()
    return asked


def test_select_check_back_execute_termination(rig):
    master = rig.master()
    asked = selected(rig, master)
    assert (asked.cid, asked.value, asked.principal.name) == (0, 2.0, "upstream:dispatch")
    assert json.loads(asked.evidence)["master"] == MASTER
    assert bytes.fromhex(json.loads(asked.evidence)["asdu"])[0] == 46
    assert causes(master.pump()) == [(46, 7, False)]
    master.ask(order(46, BREAKER, 2, ca=7))
    step = taken(rig, StepAsked)
    assert step.request == pb.ExecuteRequest(sequence_id="q1")
    assert master.pump() == [], "nothing is confirmed before the field station did"
    step.reply.under_way(ControlReply("q1", SequenceState.EXECUTING))
    rig.deliver()
    assert causes(master.pump()) == [(46, 7, False)]
    # the feedback waits in the mailbox when the result comes: it goes out first
    rig.actor.address.tell(Changed(rig.disk.put([STATUS], [1.0], event=True)))
    rig.actor.address.tell(Changed(rig.disk.put([STATUS], [2.0], event=True)))
    step.reply(ControlReply("q1", SequenceState.SUCCESS))
    rig.deliver()
    answers = master.pump()
    assert [(item.type_id, item.cause) for item in answers][-1] == (46, 10)
    assert (1, 2) in event_values(answers)


def test_an_execute_that_ends_badly_is_terminated_negatively(rig):
    master = rig.master()
    selected(rig, master)
    master.ask(order(46, BREAKER, 2, ca=7))
    step = taken(rig, StepAsked)
    step.reply.under_way(ControlReply("q1", SequenceState.EXECUTING))
    step.reply(ControlReply("q1", SequenceState.EXEC_FAILED, "feedback_timeout"))
    rig.deliver()
    assert causes(master.pump())[-2:] == [(46, 7, False), (46, 10, True)]


def test_a_refusal_of_the_desk_or_of_the_field_is_negative(rig):
    master = rig.master()
    master.ask(order(46, BREAKER, 2, ca=7, select=True))
    taken(rig, TelecontrolSelect).reply(ControlReply("", SequenceState.REFUSED, "interlock"))
    rig.deliver()
    assert causes(master.pump()) == [(46, 7, True)]
    selected(rig, master)
    master.pump()
    master.ask(order(46, BREAKER, 2, ca=7))
    taken(rig, StepAsked).reply(ControlReply("q1", SequenceState.EXEC_FAILED, "execute_refused"))
    rig.deliver()
    assert causes(master.pump()) == [(46, 7, True)]


def test_cancel_withdraws_at_the_desk(rig):
    master = rig.master()
    selected(rig, master)
    master.pump()
    master.ask(order(46, BREAKER, 2, cause=8, ca=7, select=True))
    step = taken(rig, StepAsked)
    assert step.request == pb.CancelRequest(sequence_id="q1", reason="withdrawn by the master")
    assert causes(master.pump()) == [(46, 9, False)]


def test_a_lost_link_withdraws_the_selection_and_nothing_is_executed(rig):
    master = rig.master()
    selected(rig, master)
    master.leave()
    step = taken(rig, StepAsked)
    assert step.request == pb.CancelRequest(sequence_id="q1", reason="the link to the master was lost")
    again = rig.master()
    again.ask(order(46, BREAKER, 2, ca=7))
    rig.deliver()
    assert rig.control.got == [], "an execute after it is refused by the station"


def test_a_link_lost_before_the_check_back_withdraws_after_it(rig):
    master = rig.master()
    master.ask(order(46, BREAKER, 2, ca=7, select=True))
    asked = taken(rig, TelecontrolSelect)
    master.leave()
    rig.deliver()
    assert rig.control.got == []
    asked.reply(ControlReply("q1", SequenceState.SELECTED))
    assert isinstance(taken(rig, StepAsked).request, pb.CancelRequest)


def test_a_set_point_is_selected_here_and_executed_at_once(rig):
    master = rig.master()
    master.ask(order(50, SETPOINT, 4.5, ca=7))
    asked = taken(rig, TelecontrolSelect)
    assert (asked.cid, asked.value) == (1, 45.0), "value = sent * 10"
    asked.reply(ControlReply("q2", SequenceState.SELECTED))
    step = taken(rig, StepAsked)
    assert step.request == pb.ExecuteRequest(sequence_id="q2")
    step.reply(ControlReply("q2", SequenceState.SUCCESS))
    rig.deliver()
    assert causes(master.pump()) == [(50, 7, False), (50, 10, False)]


def test_a_direct_execute_whose_link_is_lost_before_its_check_back_is_not_sent(rig):
    master = rig.master()
    master.ask(order(50, SETPOINT, 4.5, ca=7))
    asked = taken(rig, TelecontrolSelect)
    master.leave()
    rig.deliver()
    asked.reply(ControlReply("q2", SequenceState.SELECTED))
    assert isinstance(taken(rig, StepAsked).request, pb.CancelRequest)


def test_a_master_without_a_grant_is_refused_and_audited(rig):
    master = rig.master("10.1.0.2")
    master.ask(order(46, BREAKER, 2, ca=7, select=True))
    rig.deliver()
    assert causes(master.pump()) == [(46, 7, True)]
    assert rig.control.got == []
    row = [record.row for record in rig.audit.records()][-1]
    assert (row.step, row.actor, row.mrid) == ("refused", "upstream:10.1.0.2", "c0")
    assert json.loads(row.evidence)["master"] == "10.1.0.2"
    assert "upstream.refused" in rig.events.keys()  # noqa: SIM118


def test_a_command_that_waited_too_long_for_the_actor_is_refused(rig):
    master = rig.master()
    master.ask(order(50, SETPOINT, 4.5, ca=7))
    rig.clock.advance(11.0)
    rig.deliver()
    assert rig.control.got == []
    assert causes(master.pump()) == [(50, 7, True)]
    assert "waited here for 11 s" in [record.row for record in rig.audit.records()][-1].reason


def test_what_the_station_refuses_by_itself_is_audited(rig):
    master = rig.master()
    assert causes(master.ask(order(46, 999, 2, ca=7))) == [(46, 47, True)]
    rig.deliver()
    row = [record.row for record in rig.audit.records()][-1]
    assert (row.step, row.actor) == ("refused", "upstream:dispatch")
    assert "no control of this address" in row.reason


def test_a_flood_of_refused_commands_does_not_fill_the_audit_log(rig):
    master = rig.master()
    for _ in range(100):
        master.ask(order(46, 999, 2, ca=7))
    rig.deliver()
    assert len(list(rig.audit.records())) == 60
    rig.beat(61.0)
    assert "upstream.refusals" in rig.events.keys()  # noqa: SIM118


def test_an_expired_selection_is_not_what_a_direct_execute_operates(tmp_path):
    """The selection at the master lives shorter than that at the control desk: another value must not find it there."""
    rig = Rig(tmp_path, configured(STATION, UpstreamStationSettings(params={"select_timeout_s": 5.0}), tmp_path))
    master = rig.master()
    master.ask(order(50, SETPOINT, 1.0, ca=7, select=True))
    taken(rig, TelecontrolSelect).reply(ControlReply("q1", SequenceState.SELECTED))
    rig.deliver()
    rig.clock.advance(6.0)
    master.ask(order(50, SETPOINT, 2.0, ca=7))
    rig.deliver()
    [withdrawn] = rig.control.take(StepAsked)
    assert withdrawn.request == pb.CancelRequest(sequence_id="q1", reason="its selection at the master has expired")
    [asked] = rig.control.take(TelecontrolSelect)
    assert asked.value == 20.0
    rig.close()


def test_an_expired_selection_of_another_master_is_not_what_is_executed(tmp_path):
    grants = {**GRANTS, "10.1.0.9": MasterSettings(name="other", roles=["OPERATOR"], areas=["*"])}
    groups = [*STATION.groups, RedundancyGroup("B", ("10.1.0.9",))]
    params = {"select_timeout_s": 5.0}
    station = configured(replace(STATION, groups=groups), UpstreamStationSettings(params=params), tmp_path)
    rig = Rig(tmp_path, station, grants)
    rig.master().ask(order(50, SETPOINT, 1.0, ca=7, select=True))
    taken(rig, TelecontrolSelect).reply(ControlReply("q1", SequenceState.SELECTED))
    rig.deliver()
    rig.clock.advance(6.0)
    rig.master("10.1.0.9").ask(order(50, SETPOINT, 1.0, ca=7))
    rig.deliver()
    assert all(isinstance(step.request, pb.CancelRequest) for step in rig.control.take(StepAsked))
    [asked] = rig.control.take(TelecontrolSelect)
    assert asked.principal.name == "upstream:other"
    rig.close()


def test_what_an_earlier_life_of_the_actor_asked_for_acts_no_more(rig):
    """Its link is gone: a check-back that comes later is withdrawn, not executed."""
    rig.master().ask(order(50, SETPOINT, 4.5, ca=7))
    asked = taken(rig, TelecontrolSelect)
    rig.life()
    asked.reply(ControlReply("q2", SequenceState.SELECTED))
    rig.deliver()
    steps = rig.control.take(StepAsked)
    assert [step.request for step in steps] == [pb.CancelRequest(sequence_id="q2", reason="the link to the master was lost")]


def test_an_answer_to_an_earlier_life_confirms_nothing_of_the_next(rig):
    master = rig.master()
    selected(rig, master)
    master.ask(order(46, BREAKER, 2, ca=7))
    step = taken(rig, StepAsked)
    rig.life()
    master = rig.master()
    master.ask(order(46, BREAKER, 1, ca=7, select=True))
    master.ask(order(50, SETPOINT, 4.5, ca=7))
    rig.deliver()
    step.reply.under_way(ControlReply("q1", SequenceState.EXECUTING))
    step.reply(ControlReply("q1", SequenceState.SUCCESS))
    rig.deliver()
    assert causes(master.pump()) == [], "nobody has decided yet on what this master asked"
