"""Channel actor: quality turns with the line, alarms once, orders answered, a failed driver is started again."""

import asyncio
import logging
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import structlog

from scada.actors import channel_orders as module
from scada.actors.base import Address, Supervisor
from scada.actors.channel import ChannelActor, ChannelView
from scada.actors.messages import (
    Apply,
    ChannelAction,
    ChannelState,
    MarkQuality,
    Operate,
    Record,
    Report,
    StopRecording,
    Tick,
)
from scada.actors.timers import Timers
from scada.actors.tracing import TraceHub
from scada.actors.wire import BEHIND_RECORDS, LOST, ChannelSink, Feed, Wire
from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import VirtualClock
from scada.core.errors import ProtocolError
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import ChannelSpec, Control, ControlKind
from scada.protocols.driver import CommandResult, Driver, LinkState, Outcome

SPEC = ChannelSpec(0, "m-1", "RTU-1", "iec104", "127.0.0.1", 2404, "Beishan")
CONTROL = Control(
    7, "c-7", "S/B/CB", "CB", ControlKind.DOUBLE, "SwitchPosition", "", "e", "S", 0, Iec104Address(1, 9, 46), None, "2211"
)


class Scripted(Driver):
    """A driver that the test drives: it does what the queue says."""

    orders = ("read", "fail")

    def __init__(self, *args):
        super().__init__(*args)
        self.script = asyncio.Queue()
        self.answers = asyncio.Queue()
        self.closed = False

    async def run(self):
        try:
            while True:
                step = await self.script.get()
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, PointBatch):
                    self.sink.deliver(step)
                    await self.sink.ready()
                else:
                    self.sink.state(*step)
        finally:
            await asyncio.sleep(0)  # closing takes a while, and says so at its end
            self.sink.state(LinkState.DOWN, "closed")
            self.closed = True

    async def interrogate(self):
        return await self.answers.get()

    async def order(self, name, arguments):
        if name == "fail":
            raise ProtocolError("no such object")
        return CommandResult(Outcome.CONFIRMED, f"{name} {arguments}")

    async def select(self, control, value):
        return CommandResult(Outcome.CONFIRMED, f"{control.cid}={value}")

    async def execute(self, control, value):
        raise ConnectionResetError("cut")

    async def cancel(self, control, value):
        return CommandResult(Outcome.REFUSED, "too late")


class Box:
    """Stands for an actor's address: collects what it is told."""

    def __init__(self):
        self.got = []
        self.arrived = threading.Condition()

    def tell(self, message):
        with self.arrived:
            self.got.append(message)
            self.arrived.notify_all()

    def offer(self, message):
        self.tell(message)
        return True

    def wait(self, kind, count=1):
        with self.arrived:
            assert self.arrived.wait_for(lambda: sum(isinstance(m, kind) for m in self.got) >= count, 5), self.got
        return [m for m in self.got if isinstance(m, kind)]


class World:
    def __init__(self):
        self.clock = VirtualClock()
        self.timers = Timers(self.clock)
        self.supervisor = Supervisor(self.clock, self.timers)
        self.wire = Wire()
        self.wire.start()
        self.rtdb, self.events, self.recorder = Box(), Box(), Box()
        self.hub = TraceHub(self.wire.loop)
        self.feed = Feed(self.wire, self.rtdb)
        self.view = ChannelView(SPEC)
        self.drivers = []
        self.address = Address("channel RTU-1")
        pids = np.array([3, 4], dtype=np.uint32)
        sink = ChannelSink(self.feed, self.address, lambda *_: None, self.clock, pids=pids)

        def make():
            self.drivers.append(Scripted(SPEC, [], [CONTROL], sink, self.clock))
            return self.drivers[-1]

        def life(address, failed):
            return ChannelActor(
                address,
                failed,
                view=self.view,
                wire=self.wire,
                make=make,
                pids=pids,
                rtdb=self.rtdb,
                events=self.events,
                clock=self.clock,
                hub=self.hub,
                recorder=self.recorder,
                sink=sink,
            )

        self.supervisor.start(self.address, life)
        self.until(lambda: self.drivers and self.view.state is LinkState.CONNECTING)

    def do(self, step):
        self.wire.loop.call_soon_threadsafe(self.drivers[-1].script.put_nowait, step)

    def until(self, condition):
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def order(self, action, **arguments):
        answers, done = [], threading.Event()
        self.address.tell(ChannelAction(action, "op", arguments, lambda result: (answers.append(result), done.set())))
        assert done.wait(5)
        return answers[0]

    def operate(self, step, **fields):
        answers, done = [], threading.Event()
        control = replace(CONTROL, **fields)
        self.address.tell(Operate(step, control, 2.0, lambda result: (answers.append(result), done.set())))
        assert done.wait(5)
        return answers[0]


@pytest.fixture
def world():
    logging.getLogger("pykka").setLevel(logging.CRITICAL)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
    world = World()
    yield world
    world.supervisor.stop_all()
    world.wire.stop()
    structlog.reset_defaults()


def test_loss_of_the_line_marks_every_point_once_and_alarms_once(world):
    world.do((LinkState.UP, "started"))
    world.until(lambda: world.view.state is LinkState.UP)
    assert world.rtdb.got == []
    world.do((LinkState.DOWN, "peer closed"))
    marks = world.rtdb.wait(MarkQuality)
    assert [(m.pids.tolist(), m.set_bits, m.clear_bits) for m in marks] == [([3, 4], LOST, 0)]
    assert world.events.wait(ChannelState, 2)[-1] == ChannelState("RTU-1", "m-1", "Beishan", False, "peer closed")
    world.do((LinkState.CONNECTING, "again"))
    world.do((LinkState.UP, "back"))
    assert [told.up for told in world.events.wait(ChannelState, 3)] == [True, False, True]
    assert len(world.rtdb.wait(MarkQuality)) == 1


def test_values_before_the_loss_are_sent_before_the_mark(world):
    world.do((LinkState.UP, "started"))
    world.do(PointBatch.of([3], [1.0], received_at=1))
    world.do((LinkState.DOWN, "cut"))
    world.rtdb.wait(MarkQuality)
    assert [type(message) for message in world.rtdb.got] == [Apply, MarkQuality]


def test_never_up_raises_the_alarm_after_a_while(world):
    world.do((LinkState.CONNECTING, "connecting to 127.0.0.1:2404"))
    world.until(lambda: world.view.reason.startswith("connecting to"))
    world.address.tell(Tick())
    world.clock.advance(11)
    world.address.tell(Tick())
    assert not world.events.wait(ChannelState)[0].up
    world.address.tell(Tick())
    world.order("nonsense")
    assert len(world.events.wait(ChannelState)) == 1


def test_orders_are_answered_whatever_happens(world):
    assert world.operate("select").outcome is Outcome.LINK_DOWN
    world.do((LinkState.UP, "started"))
    world.until(lambda: world.view.state is LinkState.UP)
    assert world.operate("select") == CommandResult(Outcome.CONFIRMED, "7=2.0")
    assert world.operate("execute") == CommandResult(Outcome.TIMEOUT, "ConnectionResetError: cut")
    assert world.operate("cancel").outcome is Outcome.REFUSED
    assert world.operate("select", cid=99).outcome is Outcome.UNSUPPORTED


@pytest.mark.parametrize("other", [{"address": Iec104Address(1, 10, 46)}, {"kind": ControlKind.SINGLE}, {"mrid": "c-8"}])
def test_an_order_by_another_version_of_the_model_never_reaches_the_address_of_this_one(world, other):
    world.do((LinkState.UP, "started"))
    world.until(lambda: world.view.state is LinkState.UP)
    for step in ("select", "execute"):
        refused = world.operate(step, **other)
        assert (refused.outcome, "another version" in refused.reason) == (Outcome.REFUSED, True)
    assert world.operate("select", path="renamed").outcome is Outcome.CONFIRMED


def test_quarantine_closes_and_release_connects_again(world):
    world.do((LinkState.UP, "started"))
    world.until(lambda: world.view.state is LinkState.UP)
    assert world.order("quarantine").outcome is Outcome.CONFIRMED
    world.until(lambda: world.drivers[0].closed)
    assert world.view.state is LinkState.QUARANTINED
    world.rtdb.wait(MarkQuality)
    assert not world.events.wait(ChannelState, 2)[-1].up
    assert world.operate("select").outcome is Outcome.LINK_DOWN
    assert world.order("release").outcome is Outcome.CONFIRMED
    world.until(lambda: len(world.drivers) == 2)
    assert world.order("release").outcome is Outcome.REFUSED


def up(world, reason="started"):
    world.do((LinkState.UP, reason))
    world.until(lambda: world.view.state is LinkState.UP)


def tick(world, seconds=0.0):
    world.clock.advance(seconds)
    world.address.tell(Tick())
    world.address.ask(Operate("select", replace(CONTROL, cid=99), 0, lambda _: None)).get(timeout=5)  # all before it is handled


def test_an_order_is_answered_when_it_has_ended_with_what_came_of_it(world):
    assert world.order("interrogate").outcome is Outcome.LINK_DOWN
    up(world)
    answers, done = [], threading.Event()
    world.address.tell(ChannelAction("interrogate", "op", {}, lambda result: (answers.append(result), done.set())))
    tick(world)
    assert answers == [], "it is not said to be done while it runs"
    world.wire.loop.call_soon_threadsafe(world.drivers[-1].answers.put_nowait, CommandResult(Outcome.REFUSED, "unknown cause"))
    assert done.wait(5)
    assert answers == [CommandResult(Outcome.REFUSED, "unknown cause")]


def test_no_order_is_waited_for_for_ever(world, monkeypatch):
    monkeypatch.setattr(module, "ORDER_S", 0.02)
    up(world)
    answer = world.order("interrogate")
    assert answer.outcome is Outcome.TIMEOUT
    assert "may still carry it out" in answer.reason


def test_orders_of_the_protocol_go_to_the_driver_with_their_arguments(world):
    up(world)
    assert world.order("read", ioa="5").reason == "read {'ioa': '5'}"
    assert world.order("interrogate", group="2").reason == "interrogate {'group': '2'}"
    assert world.order("fail") == CommandResult(Outcome.REFUSED, "no such object")
    unknown = world.order("erase")
    assert unknown.outcome is Outcome.UNSUPPORTED
    assert unknown.reason.endswith("switch, record, stop_recording, read, fail")
    assert world.order("switch", link="B").outcome is Outcome.UNSUPPORTED


def test_reconnecting_does_not_release_a_quarantine(world):
    world.order("quarantine")
    assert world.order("reconnect").outcome is Outcome.REFUSED
    assert world.view.state is LinkState.QUARANTINED
    assert len(world.drivers) == 1
    assert world.order("interrogate").outcome is Outcome.LINK_DOWN


def test_the_next_driver_begins_when_the_last_has_closed_and_counters_go_on(world):
    up(world)
    world.drivers[0].statistics.values_in = 17
    world.drivers[0].statistics.disconnects.append((1, "before"))
    assert world.order("reconnect").outcome is Outcome.CONFIRMED
    world.do((LinkState.UP, "again"))
    world.until(lambda: world.view.reason == "again")
    assert world.drivers[0].closed
    assert world.view.statistics is world.drivers[1].statistics
    assert world.view.statistics.values_in == 17
    assert [reason for _, reason in world.view.statistics.disconnects] == ["before", "reconnect asked by op"]


def test_availability_counts_the_time_in_which_data_flowed(world):
    tick(world, 10)
    up(world)
    tick(world, 30)
    world.do((LinkState.DOWN, "cut"))
    world.until(lambda: world.view.state is LinkState.DOWN)
    tick(world, 20)
    assert (world.view.known_s, world.view.up_s) == (60, 30)


def test_a_slow_start_is_no_alarm_until_its_driver_had_its_time(world):
    tick(world, 25)
    assert not [m for m in world.events.got if isinstance(m, ChannelState)], "kernels are compiled: nothing was tried yet"
    world.do((LinkState.CONNECTING, "connecting to 127.0.0.1:2404"))
    world.until(lambda: world.view.reason.startswith("connecting"))
    tick(world, 9)
    assert not [m for m in world.events.got if isinstance(m, ChannelState)]
    tick(world, 2)
    (alarm,) = world.events.wait(ChannelState)
    assert alarm.reason == "not up 10 s after it began to connect: connecting to 127.0.0.1:2404"


def test_a_driver_that_never_begins_is_said(world):
    tick(world, 31)
    assert world.events.wait(ChannelState)[0].reason == "not up 30 s after its start: starting"


def test_a_channel_that_comes_and_goes_is_said_once(world):
    for _ in range(8):
        up(world)
        world.clock.advance(20)
        world.do((LinkState.DOWN, "cut"))
        world.until(lambda: world.view.state is LinkState.DOWN)
    tick(world)
    flapping = [event for report in world.events.wait(Report) for event in report.events]
    assert [(event.key, event.parameters["count"]) for event in flapping] == [("channel.flapping", "5")]
    up(world)
    world.clock.advance(601)
    for _ in range(5):
        up(world)
        world.do((LinkState.DOWN, "cut"))
        world.until(lambda: world.view.state is LinkState.DOWN)
    tick(world)
    assert len(world.events.wait(Report, 2)) == 2


def test_recordings_are_the_recorders(world):
    world.address.tell(ChannelAction("record", "op", {"minutes": "2"}))
    world.address.tell(ChannelAction("stop_recording", "op"))
    (asked,) = world.recorder.wait(Record)
    assert (asked.spec, asked.hub, asked.connected, asked.minutes, asked.mb, asked.user) == (SPEC, world.hub, False, 2, 0, "op")
    assert world.recorder.wait(StopRecording)[0].channel == "RTU-1"
    for wrong in ("x", "-1", "nan", "inf"):
        assert world.order("record", minutes=wrong).outcome is Outcome.REFUSED


def test_a_driver_that_fails_is_replaced_by_the_supervisor(world):
    world.do((LinkState.UP, "started"))
    world.do(ZeroDivisionError("bug"))
    world.until(lambda: world.address.health.state == "waiting")
    assert "bug" in world.address.health.reason
    world.rtdb.wait(MarkQuality)
    world.clock.advance(1)
    world.timers.run_due()
    world.until(lambda: len(world.drivers) == 2)


def test_the_wire_waits_while_the_database_is_behind(world):
    records = PointBatch.of(np.arange(BEHIND_RECORDS + 1), 0.0, received_at=1)
    status = PointBatch.of([3], [1.0], received_at=1, flags=RecordFlag.EVENT)
    world.do(records)
    behind = world.rtdb.wait(Apply)[0]
    world.do(status)
    world.do((LinkState.UP, "after"))
    time.sleep(0.05)
    assert world.view.state is LinkState.CONNECTING  # the driver waits in ready() and reads no further
    behind.done()
    world.rtdb.wait(Apply, 2)[1].done()
    world.until(lambda: world.view.state is LinkState.UP)


def test_status_changes_are_committed_before_the_driver_goes_on(world):
    world.do(PointBatch.of([3], [1.0], received_at=1))
    world.do((LinkState.STANDBY, "analogs need no commit"))
    world.until(lambda: world.view.state is LinkState.STANDBY)
    world.rtdb.wait(Apply)[0].done()
    world.do(PointBatch.of([4], [1.0], received_at=1, flags=RecordFlag.EVENT))
    world.do((LinkState.UP, "after the commit"))
    event = world.rtdb.wait(Apply, 2)[1]
    time.sleep(0.05)
    assert world.view.state is LinkState.STANDBY
    event.done()
    world.until(lambda: world.view.state is LinkState.UP)
