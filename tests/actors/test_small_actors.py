"""Dispatch, AGC, AVC, status, metrics, timers and the feed of the wire."""

import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from actors.harness import OPERATOR, Box, Disk, S, make
from scadapb.v1 import scada_pb2 as pb

from scada.actors.agc import AgcActor, AgcView
from scada.actors.alarm_view import AlarmView
from scada.actors.avc import AvcActor, AvcView
from scada.actors.base import Address
from scada.actors.channel import ChannelView
from scada.actors.dispatch import DispatchActor, DispatchView
from scada.actors.messages import Apply, ApplyDerived, Tick
from scada.actors.metrics import SystemCollector, serve_metrics
from scada.actors.order_messages import (
    DirectControl,
    DirectDone,
    DispatchAsked,
    ExplainAsked,
    SetBasePoint,
    SetInterchange,
    SetState,
)
from scada.actors.standing import Standing
from scada.actors.status import StatusReport
from scada.actors.timers import Timers
from scada.actors.wire import FLUSH_RECORDS, Feed, Wire
from scada.control.records import ControlReply, SequenceState
from scada.core.agc_settings import AgcSettings
from scada.core.avc_settings import AvcSettings
from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import ScaledClock, VirtualClock
from scada.core.dispatch_settings import DispatchContract, DispatchSettings
from scada.core.errors import PortInUseError
from scada.core.quality import Quality
from scada.core.settings import CycleSettings, MetricsSettings
from scada.protocols.driver import LinkState
from scada.security.roles import Right, system_principal

TRACES = Path(__file__).parents[2].parent / "shared" / "data" / "iec104"


# ---------------------------------------------------------------- dispatch


class Orders:
    def __init__(self, tables):
        self.clock = VirtualClock()
        self.agc, self.events, self.view = Box(), Box(), DispatchView()
        self.area = next(area for area in tables.areas if area.controlled)
        self.actor = make(
            DispatchActor,
            tables=tables,
            past=[],
            seen=[(OPERATOR.name, "old")],
            agc=self.agc,
            events=self.events,
            view=self.view,
            clock=self.clock,
            settings=DispatchSettings(contracts={OPERATOR.name: DispatchContract()}),
        )

    def ask(self, request):
        return self.actor.receive(DispatchAsked(request, OPERATOR))

    def in_force(self):
        """Interchange that AGC was told last."""
        told = self.agc.take(SetInterchange)
        return told[-1].mw if told else None


@pytest.fixture
def orders(demo):
    return Orders(demo[1])


def test_a_set_point_holds_until_it_expires_and_that_is_an_event(orders):
    until = orders.clock.now_ns() + 60 * S
    reply = orders.ask(pb.AreaSetpoint(area=orders.area.name, interchange_mw=-50, order_id="o1", valid_until_ns=until))
    assert (reply.code, reply.applied_mw) == (pb.DISPATCH_CODE_ACCEPTED, -50)
    assert orders.in_force() == -50
    assert orders.view.status.interchange_setpoint_mw == -50
    orders.clock.advance(61)
    orders.actor.receive(Tick())
    assert orders.in_force() == orders.area.scheduled_interchange
    assert orders.events.keys() == ["dispatch.accepted", "dispatch.expired"]
    orders.actor.receive(Tick())
    assert orders.events.keys().count("dispatch.expired") == 1


def test_a_schedule_is_followed_between_its_points(orders):
    unit = orders.area.units[0]
    now = orders.clock.now_ns()
    plan = [unit.minimum + 1, unit.minimum + 11]
    reply = orders.ask(pb.Schedule(unit=unit.mrid, start_ns=now, step_s=300, mw=plan, order_id="s1"))
    assert reply.code == pb.DISPATCH_CODE_ACCEPTED, reply.reason
    orders.clock.advance(150)
    orders.actor.receive(Tick())
    assert orders.agc.take(SetBasePoint)[-1] == SetBasePoint(unit.mrid, pytest.approx(unit.minimum + 6))


def test_a_repeated_order_and_one_of_an_earlier_run_act_once(orders):
    request = pb.AreaSetpoint(area=orders.area.name, interchange_mw=1, order_id="o1")
    orders.ask(request)
    assert orders.ask(request).code == pb.DISPATCH_CODE_DUPLICATE
    old = pb.AreaSetpoint(area=orders.area.name, interchange_mw=99, order_id="old")
    assert orders.ask(old).code == pb.DISPATCH_CODE_DUPLICATE
    assert orders.in_force() == 1
    assert [order.order_id for order in orders.view.status.orders].count("o1") >= 1


@pytest.mark.parametrize("mw", [float("nan"), float("inf")])
def test_an_order_that_is_no_number_is_refused(orders, mw):
    reply = orders.ask(pb.AreaSetpoint(area=orders.area.name, interchange_mw=mw, order_id="o1"))
    assert reply.code == pb.DISPATCH_CODE_REFUSED
    assert orders.in_force() == orders.area.scheduled_interchange


# ---------------------------------------------------------------- AGC


class Regulation:
    """AGC on the demo grid with every measurement of the area good."""

    def __init__(self, tables, folder):
        self.disk = Disk(folder, tables.points)
        self.area = next(area for area in tables.areas if area.controlled)
        self.rtdb, self.control, self.events, self.view = Box(), Box(), Box(), AgcView()
        self.put(dict.fromkeys(self.area.frequency, 50.0))
        self.put({pid: tie.sign * self.area.scheduled_interchange / 2 for tie in self.area.ties for pid in tie.flow})
        for unit in self.area.units:
            self.put({unit.power[0]: (unit.minimum + unit.maximum) / 2})
            self.put({pid: 1.0 for pid in (unit.remote,) if pid is not None})
        self.principal = system_principal("agc", {Right.SETPOINT})
        self.actor = make(
            AgcActor,
            name="agc",
            tables=tables,
            settings=AgcSettings(start="on"),
            cycles=CycleSettings(record=False, path=folder / "cycles"),
            snapshot=self.disk.store.snapshot,
            rtdb=self.rtdb,
            control=self.control,
            events=self.events,
            principal=self.principal,
            standing=lambda: Standing((), {}),
            view=self.view,
            clock=self.disk.clock,
        )
        self.actor.started()

    def put(self, values, **more):
        self.disk.put(list(values), list(values.values()), **more)

    def cycle(self, times=1):
        for _ in range(times):
            self.disk.clock.advance(4)
            self.actor.receive(Tick())


@pytest.fixture
def agc(demo, tmp_path):
    regulation = Regulation(demo[1], tmp_path)
    yield regulation
    regulation.disk.close()


def test_a_lack_of_power_raises_units_on_the_ordinary_way(agc):
    agc.cycle()
    assert agc.view.of().state == "on"
    agc.put(dict.fromkeys(agc.area.frequency, 49.8))
    agc.cycle(4)
    sent = agc.control.take(DirectControl)
    assert sent
    powers = {unit.setpoint: (unit.minimum + unit.maximum) / 2 for unit in agc.area.units}
    assert all(one.value > powers[one.cid] - 0.5 and one.principal is agc.principal for one in sent)
    ace = agc.rtdb.take(ApplyDerived)[-1].batch.records
    assert ace["value"][0] < -50
    sent[0].reply(ControlReply("s", SequenceState.SUCCESS))
    told = agc.actor.address.mailbox.get().message
    assert told == DirectDone(sent[0].cid, ControlReply("s", SequenceState.SUCCESS)) or isinstance(told, DirectDone)
    agc.actor.receive(told)
    agc.actor.receive(DirectDone(sent[-1].cid, ControlReply("t", SequenceState.REFUSED, "link_down", "the channel is down")))
    agc.cycle()


def test_without_a_frequency_nothing_is_sent_and_the_ace_says_so(agc):
    agc.cycle()
    agc.put(dict.fromkeys(agc.area.frequency, 49.0), quality=int(Quality.COMM_LOST))
    agc.put({pid: 0.0 for tie in agc.area.ties for pid in tie.flow}, quality=int(Quality.COMM_LOST))
    agc.control.take(DirectControl)
    agc.rtdb.take(ApplyDerived)
    agc.cycle(10)
    assert agc.control.take(DirectControl) == []
    row = agc.rtdb.take(ApplyDerived)[-1].batch.records[0]
    assert row["quality"] & Quality.INVALID
    assert agc.view.of().state != "on"


def test_off_stays_off_and_a_wrong_mode_is_answered(agc):
    assert agc.actor.receive(SetState(pb.SetModeRequest(agc="off"), OPERATOR)).accepted
    agc.put(dict.fromkeys(agc.area.frequency, 49.0))
    agc.cycle(3)
    assert agc.control.take(DirectControl) == []
    reply = agc.actor.receive(SetState(pb.SetModeRequest(agc="sideways"), OPERATOR))
    assert (reply.accepted, reply.code) == (False, "invalid")


def test_orders_of_loops_modes_and_benchmarks_reach_the_controller_or_are_refused(agc):
    agc.cycle()
    unit = agc.area.units[0]

    def order(**target):
        return agc.actor.receive(SetState(pb.SetModeRequest(**target), OPERATOR))

    assert order(loop=pb.LoopOrder(mrid=unit.mrid, loop="open")).accepted
    assert order(control_mode="CFC").accepted
    agc.cycle()
    status = agc.view.of(agc.area.name)
    assert status.control_mode == "CFC"
    assert next(one.loop for one in status.units if one.mrid == unit.mrid) == "open"
    assert order(unlock=unit.mrid).accepted
    for wrong in (
        {"loop": pb.LoopOrder(mrid="nobody", loop="open")},
        {"loop": pb.LoopOrder(mrid=unit.mrid, loop="ajar")},
        {"control_mode": "SIDEWAYS"},
        {"unlock": "nobody"},
        {"benchmarks": pb.BenchmarkOrder(unit=unit.mrid, members=["nobody"])},
        {"agc": "on", "area": "Nowhere"},
    ):
        reply = order(**wrong)
        assert (reply.accepted, reply.code) == (False, "invalid"), wrong
    assert agc.events.keys().count("agc.loop") == 1


def test_why_is_answered_for_units_alone(agc):
    agc.cycle(2)
    unit = agc.area.units[0]
    why = agc.actor.receive(ExplainAsked(unit.mrid))
    assert (why.mrid, why.unit) == (unit.mrid, "MW")
    assert {"frequency", "ace", "requirement", "target"} <= {term.key for term in why.steps}
    assert agc.actor.receive(ExplainAsked("nobody")) is None


def test_an_order_of_dispatch_that_cannot_be_followed_is_said_once(agc):
    agc.actor.receive(SetInterchange(agc.area.name, -20.0))
    for _ in range(3):
        agc.actor.receive(SetInterchange(agc.area.name, float("nan")))
        agc.actor.receive(SetBasePoint("nobody", 1.0))
    assert len(agc.events.keys()) == 2


# ---------------------------------------------------------------- AVC


class Voltages:
    """AVC on the demo grid without sensitivities (no flow is known yet)."""

    def __init__(self, tables, folder):
        self.disk = Disk(folder, tables.points)
        self.zones = tables.zones
        self.control, self.events, self.view = Box(), Box(), AvcView()
        self.actor = make(
            AvcActor,
            name="avc",
            tables=tables,
            network=None,
            settings=AvcSettings(start="on"),
            cycles=CycleSettings(record=False, path=folder / "cycles"),
            snapshot=self.disk.store.snapshot,
            control=self.control,
            events=self.events,
            principal=system_principal("avc", {Right.CONTROL, Right.SETPOINT}),
            standing=lambda: Standing((), {}),
            operations={},
            view=self.view,
            clock=self.disk.clock,
        )
        self.actor.started()

    def cycle(self, times=1):
        for _ in range(times):
            self.disk.clock.advance(30)
            self.actor.receive(Tick())


@pytest.fixture
def avc(demo, tmp_path):
    voltages = Voltages(demo[1], tmp_path)
    yield voltages
    voltages.disk.close()


def test_voltage_control_sends_nothing_while_it_knows_nothing(avc):
    avc.cycle(5)
    assert avc.control.take(DirectControl) == []
    assert {zone.name for zone in avc.view.status.zones} == {zone.name for zone in avc.zones}


def test_voltage_control_is_switched_by_a_person_and_says_who(avc):
    reply = avc.actor.receive(SetState(pb.SetModeRequest(avc="off"), OPERATOR))
    assert reply.accepted
    assert avc.view.status.state == "off"
    [report] = [m for m in avc.events.got if m.events[0].key == "avc.state"]
    assert report.events[0].actor == OPERATOR.name
    assert not avc.actor.receive(SetState(pb.SetModeRequest(avc="maybe"), OPERATOR)).accepted
    avc.actor.receive(DirectDone(0, ControlReply("s", SequenceState.REFUSED, "interlock", "no")))


# ---------------------------------------------------------------- status and metrics


def overview(demo, folder):
    _, tables = demo
    disk = Disk(folder, tables.points)
    views = [ChannelView(spec) for spec in tables.channels]
    views[0].state = LinkState.UP
    frequency = tables.areas[0].frequency[0]
    disk.put([frequency, 0], [50.02, float("nan")])
    address = Address("rtdb")
    address.health.restarts = 3
    for seconds in (0.002, 5.0):
        address.health.handled_one(seconds)
    status = StatusReport(tables, "site", 5).make(
        7, disk.store.snapshot(), views, AlarmView(), [address], pb.AgcStatus(state="on"), pb.AvcStatus(state="off")
    )
    disk.close()
    return tables, status, address


def test_the_overview_counts_what_is_good_and_shows_no_number_it_does_not_have(demo, tmp_path):
    tables, status, _ = overview(demo, tmp_path)
    assert (status.points_total, status.points_good) == (sum(not p.removed for p in tables.points), 1)
    assert (status.channels_total, status.channels_up) == (len(tables.channels), 1)
    assert status.areas[0].frequency_hz == 50.02
    assert status.areas[0].ace_mw != status.areas[0].ace_mw, "no ACE came yet"
    assert status.actors[0].restarts == 3


def test_metrics_can_be_scraped_and_a_busy_port_is_said(demo, tmp_path):
    _, status, address = overview(demo, tmp_path)
    from e2e.rig import free_base

    settings = MetricsSettings(port=free_base(1))
    stop = serve_metrics(settings, SystemCollector(lambda: status, lambda: [address]))
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{settings.port}/metrics").read().decode()
        with pytest.raises(PortInUseError, match="metrics"):
            serve_metrics(settings, SystemCollector(lambda: status, lambda: [address]))
    finally:
        stop()
    lines = text.splitlines()
    assert "scada_points_good 1.0" in lines
    assert 'scada_actor_restarts_total{actor="rtdb"} 3.0' in lines
    assert 'scada_actor_handling_seconds_bucket{actor="rtdb",le="0.01"} 1.0' in lines
    assert 'scada_actor_handling_seconds_count{actor="rtdb"} 2.0' in lines
    assert 'scada_actor_oldest_seconds{actor="rtdb"} 0.0' in lines
    assert 'scada_actor_dead_letters_total{actor="rtdb"} 0.0' in lines
    assert any(line.startswith("scada_channel_values_total{") for line in lines)
    assert 'scada_frequency_hz{area="East"} 50.02' in lines


# ---------------------------------------------------------------- timers and feed


def test_a_scaled_clock_beats_faster_and_a_failing_action_stops_nobody():
    timers = Timers(ScaledClock(50.0, 1))
    beats, once = [], threading.Event()
    timers.every(1.0, lambda: 1 / 0)
    timers.every(1.0, lambda: beats.append(time.monotonic()))
    timers.after(5.0, once.set)
    timers.start()
    try:
        assert once.wait(5.0)
    finally:
        timers.stop()
    assert 2 <= len(beats) <= 6
    timers.run_due()


class Clerk:
    """An event loop and a box in the database's place."""

    def __init__(self):
        self.wire, self.rtdb = Wire(), Box()
        self.feed = Feed(self.wire, self.rtdb)
        self.wire.start()

    def do(self, action):
        async def work():
            return action()

        return self.wire.submit(work()).result(5)

    def batches(self):
        return [len(batch) for message in self.rtdb.take(Apply) for batch in message.batches]

    def until(self, condition):
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.001)


@pytest.fixture
def clerk():
    clerk = Clerk()
    yield clerk
    clerk.wire.stop()


def test_analogs_are_collected_and_a_status_change_takes_them_along_in_order(clerk):
    analog = PointBatch.of([2], [1.0], received_at=1)
    status = PointBatch.of([0], [1.0], received_at=2, flags=RecordFlag.EVENT)

    def deliver():
        clerk.feed.deliver(analog)
        clerk.feed.deliver(status)
        clerk.feed.deliver(PointBatch.of([], [], received_at=3))
        clerk.feed.mark(np.array([9], np.uint32), 0)  # hands over what came before it

    clerk.do(deliver)
    [message] = clerk.rtdb.take(Apply)
    assert [batch.received_at for batch in message.batches] == [1, 2]


def test_enough_records_leave_at_once(clerk):
    many = PointBatch.of([2] * FLUSH_RECORDS, 1.0, received_at=1)
    clerk.do(lambda: clerk.feed.deliver(many))
    assert clerk.batches() == [FLUSH_RECORDS]


def test_analogs_leave_by_themselves_after_a_moment(clerk):
    clerk.do(lambda: clerk.feed.deliver(PointBatch.of([2], [1.0], received_at=1)))
    clerk.until(lambda: clerk.rtdb.got)
    assert clerk.batches() == [1]
