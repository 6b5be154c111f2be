"""A running server takes another version of its model: nothing that flows is lost, doubled or shown for what it is not."""

import threading
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scadapb.v1 import scada_pb2 as pb
from system.conftest import BAD, DARK, GOOD, GRID, plain
from system.raw_rtu import INTERROGATED, RawRtu, asdu, float_element

from scada.actors.messages import ReserveControls
from scada.actors.order_messages import DirectControl, OperatorAsked
from scada.actors.swap import Swap
from scada.control.records import Principal, SequenceState
from scada.core.quality import BAD_MASK, Quality
from scada.model_cim.addresses import Iec104Address, PlainAddress
from scada.model_cim.numbers import kept_numbers
from scada.model_cim.points import load_model
from scada.model_cim.tables import ControlKind, Limits, removed_point
from scada.protocols.driver import LinkState
from scada.rtdb.reader import StoreReader
from scada.security.roles import Right, system_principal

LI = Principal("li", frozenset({"dispatcher"}), frozenset(Right), frozenset({"*"}), "desk 1", "5e55")
AGC = system_principal("agc", {Right.CONTROL, Right.SETPOINT})
LOST = int(Quality.COMM_LOST | Quality.NOT_TOPICAL)


class Edit:
    """A next version of the tables that run."""

    def __init__(self, system):
        self._system = system
        tables = system.tables
        self.points, self.controls, self.channels = list(tables.points), list(tables.controls), list(tables.channels)
        self.tables = tables

    def add(self, like, ioa, **fields):
        pid = len(self.points)
        address = Iec104Address(like.address.common_address, ioa, like.address.type_id)
        self.points.append(replace(like, pid=pid, mrid=f"new-{pid}", path=f"{like.path} new {pid}", address=address, **fields))
        return self.points[-1]

    def remove(self, point):
        self.points[point.pid] = removed_point(point.mrid, point.pid)

    def change(self, point, **fields):
        self.points[point.pid] = replace(self.points[point.pid], **fields)

    def prepared(self):
        system = self._system
        tables = replace(
            self.tables, version=f"edit-{time.monotonic_ns()}", points=self.points, controls=self.controls, channels=self.channels
        )
        return system.prepare(system.generation.model, tables, system.generation.folder)

    def swap(self):
        return self._system.swap(self.prepared())


@pytest.fixture
def plant(run):
    rtus = {BAD: RawRtu(5), GOOD: RawRtu(4)}
    running = run(rtus=rtus)
    for rtu in rtus.values():
        rtu.wait_started()
    running.until(lambda: all(running.log.lines(name, "state=up") for name in rtus), what="both stations up")
    running.rtu, running.other = rtus[BAD], rtus[GOOD]
    return running


def view(running, name):
    return next(one for one in running.system.channel_views if one.spec.name == name)


def shows(running, pid, value):
    return running.until(lambda: running.value(pid) == (value, 0), what=f"point {pid} shows {running.value(pid)}, not {value}")


def test_points_come_move_and_go_under_a_connection_that_stays(plant, tables):
    first, second, third, *_ = plain(tables, BAD, 13)
    for number, point in enumerate((first, second, third)):
        plant.rtu.analog(point.address.ioa, 10.0 + number)
        shows(plant, point.pid, pytest.approx((10.0 + number) * point.scale + point.offset))
    edit = Edit(plant.system)
    new = edit.add(first, 60_001)
    edit.remove(second)
    edit.change(third, address=replace(third.address, ioa=60_002))
    connects = view(plant, BAD).statistics.connects, view(plant, GOOD).statistics.connects
    requests = len(plant.rtu.received)
    plant.rtu.image = [asdu(13, INTERROGATED, 5, (60_001, float_element(7.0)))]

    report = edit.swap()

    assert report.done, report
    assert (report.points_added, report.points_removed, report.points_moved) == ((new.pid,), (second.pid,), (third.pid,))
    assert (report.channels_rebound, report.channels_restarted) == ((BAD,), ())
    # the new point has its value from the interrogation that followed; nobody shows the others' last values as live
    shows(plant, new.pid, pytest.approx(7.0 * new.scale + new.offset))
    plant.until(lambda: plant.value(second.pid)[1] & LOST == LOST)
    assert plant.value(third.pid)[1] & LOST == LOST
    assert len(plant.rtu.received) > requests
    plant.rtu.analog(third.address.ioa, 99.0)
    plant.rtu.analog(60_002, 3.0)
    shows(plant, third.pid, pytest.approx(3.0 * third.scale + third.offset))
    shows(plant, first.pid, pytest.approx(10.0 * first.scale + first.offset))
    assert (view(plant, BAD).statistics.connects, view(plant, GOOD).statistics.connects) == connects
    assert plant.rtu.connections == plant.other.connections == 1
    assert plant.system.tables.points[new.pid].path == new.path
    assert kept_numbers(plant.system.settings.rtdb.path).points[new.mrid] == new.pid


def test_rollback_gives_back_what_was_and_never_uses_a_number_twice(plant, tables):
    before = plant.system.generation
    point = plain(tables, BAD, 13)[0]
    plant.rtu.analog(point.address.ioa, 5.0)
    shows(plant, point.pid, pytest.approx(5.0 * point.scale + point.offset))
    edit = Edit(plant.system)
    new = edit.add(point, 60_001)
    edit.remove(point)
    assert edit.swap().done
    plant.until(lambda: plant.value(point.pid)[1] & LOST)

    plant.rtu.image = [asdu(13, INTERROGATED, 5, (point.address.ioa, float_element(6.0)))]
    report = plant.system.swap(before)

    assert report.done, report
    assert report.points_removed == (new.pid,)
    after = plant.system.tables
    assert list(after.points[: len(tables.points)]) == list(before.tables.points)
    assert after.points[new.pid].removed
    shows(plant, point.pid, pytest.approx(6.0 * point.scale + point.offset))
    assert plant.rtu.connections == 1
    third = Edit(plant.system)
    assert third.add(point, 60_003).pid == new.pid + 1


def test_every_value_arrives_once_and_in_order_through_swap_after_swap(plant, tables):
    """Two stations send as fast as they can while the model of one of them changes again and again."""
    (mine, spare, *_), (others, *_) = plain(tables, BAD, 13), plain(tables, GOOD, 36)
    seen = {mine.pid: [], others.pid: []}
    numbers = []

    def follow(change):
        numbers.append((change.first, change.last))
        for record in change.records:
            if int(record["pid"]) in seen and not record["quality"] & LOST:
                seen[int(record["pid"])].append(float(record["value"]))

    plant.system.change_listeners.append(follow)
    sent, stop = {mine.pid: 0, others.pid: 0}, threading.Event()

    def send(rtu, point):
        while not stop.is_set():
            count = sent[point.pid] + 1
            rtu.analog(point.address.ioa, float(count))
            sent[point.pid] = count
            time.sleep(0.0005)

    threads = [threading.Thread(target=send, args=pair) for pair in ((plant.rtu, mine), (plant.other, others))]
    for thread in threads:
        thread.start()
    reports = []
    for step in range(6):
        edit = Edit(plant.system)
        edit.add(spare, 60_100 + step)
        edit.change(spare, address=replace(spare.address, ioa=60_200 + step))
        reports.append(edit.swap())
    stop.set()
    for thread in threads:
        thread.join()
    assert all(report.done for report in reports), reports
    for pid, point in ((mine.pid, mine), (others.pid, others)):
        wanted = [pytest.approx(n * point.scale + point.offset) for n in range(1, sent[pid] + 1)]
        plant.until(lambda pid=pid, wanted=wanted: len(seen[pid]) >= len(wanted), what="all values arrive")
        assert seen[pid] == wanted
    real = [pair for pair in numbers if pair[1] >= pair[0]]
    assert all(after[0] == before[1] + 1 for before, after in pairwise(real)), "a gap in the numbers"
    assert plant.rtu.connections == plant.other.connections == 1


def test_a_channel_that_moves_restarts_alone_one_that_goes_stops_one_that_comes_starts(plant, tables):
    spec = next(one for one in tables.channels if one.name == BAD)
    elsewhere = RawRtu(5)
    plant.rtus["moved"] = elsewhere
    edit = Edit(plant.system)
    fresh = replace(spec, index=len(edit.channels), mrid="new-unit", name="New RTU", host="127.0.0.1", port=elsewhere.port)
    edit.channels.append(fresh)
    point = plain(tables, BAD, 13)[0]
    edit.change(point, channel=fresh.index)
    edit.channels[spec.index] = replace(spec, removed=True, name="removed/x", protocol="", port=0)
    for other in tables.points_of_channel(spec.index)[1:]:
        edit.remove(other)
    for control in tables.controls_of_channel(spec.index):
        edit.controls[control.cid] = replace(control, removed=True, channel=-1)
    edit.tables = replace(edit.tables, areas=(), zones=(), upstream=())
    report = edit.swap()
    assert report.done, report
    assert (report.channels_started, report.channels_stopped) == (("New RTU",), (BAD,))
    assert report.warnings == (
        f"[channels] names what the model does not have: {BAD}",
        "[upstream.stations] names what the model does not have: Provincial dispatch",
    )
    elsewhere.wait_started()
    elsewhere.analog(point.address.ioa, 4.0)
    shows(plant, point.pid, pytest.approx(4.0 * point.scale + point.offset))
    assert plant.other.connections == 1
    assert all(one.spec.name != BAD for one in plant.system.channel_views)
    back = plant.system.swap(plant.system.generation)
    assert back.done
    assert (back.channels_started, back.channels_restarted, back.channels_rebound) == ((), (), ())


def test_alarms_and_their_delays_go_on_and_are_told_once(plant, tables):
    analog, spare, *_ = plain(tables, BAD, 13)
    edit = Edit(plant.system)
    edit.change(analog, limits=Limits(hi=50.0, delay_s=2.0), scale=1.0, offset=0.0)
    edit.change(spare, limits=Limits(hi=50.0), scale=1.0, offset=0.0)
    assert edit.swap().done
    plant.rtu.analog(spare.address.ioa, 60.0)
    plant.until(lambda: plant.events("limit.hi", point=spare.path))
    plant.rtu.analog(analog.address.ioa, 60.0)
    shows(plant, analog.pid, 60.0)
    for step in range(3):
        another = Edit(plant.system)
        another.add(plain(tables, GOOD, 36)[0], 61_000 + step)
        assert another.swap().done
    plant.until(lambda: plant.events("limit.hi", point=analog.path), what="the delay ends as if nothing had happened")
    assert len(plant.events("limit.hi", point=analog.path)) == len(plant.events("limit.hi", point=spare.path)) == 1
    plant.until(lambda: {analog.mrid, spare.mrid} <= {alarm.mrid for alarm in plant.system.alarm_view.alarms})
    last = Edit(plant.system)
    last.change(spare, limits=Limits(hi=70.0))
    assert last.swap().done
    plant.until(lambda: plant.events("limit.hi.returned", point=spare.path), what="judged by the new limit")


def test_another_process_follows_and_history_goes_on(plant, tables):
    point = plain(tables, BAD, 13)[0]
    reader = StoreReader(plant.system.settings.rtdb.path, plant.clock)
    plant.rtu.analog(point.address.ioa, 1.0)
    shows(plant, point.pid, pytest.approx(point.scale + point.offset))
    edit = Edit(plant.system)
    new = edit.add(point, 60_001)
    assert edit.swap().done
    plant.rtu.analog(60_001, 2.0)
    plant.rtu.analog(point.address.ioa, 3.0)
    wanted = [pytest.approx(2.0 * new.scale + new.offset), pytest.approx(3.0 * point.scale + point.offset)]
    asked = np.array([new.pid, point.pid], dtype=np.uint32)
    plant.until(lambda: reader.snapshot(asked).value.tolist() == wanted, what="the reader sees the new point")
    samples = plant.system.samples
    plant.until(lambda: [float(v) for v in samples.query(point.pid, 0, 2**62).value][-1:] == wanted[1:])
    assert len(samples.query(point.pid, 0, 2**62).value) >= 2
    reader.close()


def test_what_cannot_run_is_refused_and_nothing_has_changed(plant, tables):
    before, numbers = plant.system.generation, kept_numbers(plant.system.settings.rtdb.path)
    first, second, *_ = plain(tables, BAD, 13)
    twice = Edit(plant.system)
    twice.change(second, address=first.address)
    refused = twice.swap()
    assert not refused.done
    assert "same address" in refused.reason
    huge = Edit(plant.system)
    for number in range(560_000):
        huge.points.append(removed_point(f"far-{number}", len(huge.points)))
    too_large = huge.swap()
    assert not too_large.done
    assert "map_mb" in too_large.reason
    assert plant.system.generation is before
    plant.rtu.analog(first.address.ioa, 8.0)
    shows(plant, first.pid, pytest.approx(8.0 * first.scale + first.offset))
    assert kept_numbers(plant.system.settings.rtdb.path).points.items() >= numbers.points.items()
    assert plant.rtu.connections == 1


def test_a_step_that_fails_half_way_restores_what_ran(plant, tables, monkeypatch):
    point = plain(tables, BAD, 13)[0]
    address = plant.system.channels[point.channel]
    real = type(address).ask

    def fail_once(self, message):
        if type(message).__name__ == "Rebind" and self is address:
            monkeypatch.setattr(type(address), "ask", real)
            raise RuntimeError("a fault in the middle")
        return real(self, message)

    edit = Edit(plant.system)
    new = edit.add(point, 60_001)
    generation = edit.prepared()
    monkeypatch.setattr(type(address), "ask", fail_once)
    report = plant.system.swap(generation)
    assert not report.done
    assert "a fault in the middle" in report.reason
    assert "runs again" in report.reason
    assert plant.system.tables.points[new.pid].removed
    plant.rtu.analog(point.address.ioa, 8.0)
    shows(plant, point.pid, pytest.approx(8.0 * point.scale + point.offset))
    assert view(plant, BAD).state is LinkState.UP
    again = plant.system.swap(generation)
    assert again.done, again
    plant.rtu.analog(60_001, 9.0)
    shows(plant, new.pid, pytest.approx(9.0 * new.scale + new.offset))
    assert plant.rtu.connections == 1


def test_controls_that_change_are_refused_until_the_channel_carries_them_others_go_on(plant, tables):
    changed, other = _breakers(plant, tables)
    edit = Edit(plant.system)
    edit.controls[changed.cid] = replace(changed, address=replace(changed.address, ioa=50_001))
    answers = []
    plant.system.control.ask(ReserveControls(frozenset({changed.cid}))).get(timeout=5)
    plant.system.control.tell(DirectControl(changed.cid, 2.0, AGC, "test", answers.append))
    plant.until(lambda: answers)
    assert (answers[0].state, answers[0].code) == (SequenceState.REFUSED, "model_change")
    plant.system.control.tell(DirectControl(other.cid, 2.0, AGC, "test", answers.append))
    plant.until(lambda: len(answers) == 2)
    assert answers[1].code != "model_change"
    assert edit.swap().done
    plant.system.control.tell(DirectControl(changed.cid, 2.0, AGC, "test", answers.append))
    plant.until(lambda: len(answers) >= 3)
    assert answers[-1].code != "model_change"


def test_held_points_and_tags_stay_and_a_removed_one_is_let_go(plant, tables):
    held, gone, spare, *_ = plain(tables, BAD, 13)
    for point in (held, gone):
        request = pb.HoldRequest(point=point.mrid, value=42.0, reason="sensor broken")
        assert plant.system.operator.ask(OperatorAsked(request, LI, b"")).get(timeout=10).accepted
    breaker = _breakers(plant, tables)[0]
    request = pb.TagRequest(object=breaker.equipment, type="do_not_operate", reason="people at work")
    tag = plant.system.operator.ask(OperatorAsked(request, LI, b"")).get(timeout=10)
    before = plant.system.generation
    edit = Edit(plant.system)
    edit.add(spare, 60_001)
    edit.remove(gone)
    assert edit.swap().done
    manual = int(Quality.MANUAL | Quality.SUBSTITUTED)
    assert plant.value(held.pid) == (42.0, manual)
    plant.until(lambda: not plant.value(gone.pid)[1] & Quality.MANUAL)
    assert plant.value(gone.pid)[1] & BAD_MASK
    forbidden = plant.system.operator_view.forbids(breaker, 2.0)
    assert tag.accepted
    assert forbidden
    assert plant.system.swap(before).done
    plant.until(lambda: plant.value(gone.pid) == (42.0, manual), what="the mark is in force again")


def _breakers(plant, tables):
    index = next(spec.index for spec in tables.channels if spec.name == BAD)
    return [control for control in tables.controls_of_channel(index) if control.kind is ControlKind.DOUBLE][:2]


def test_the_same_model_read_again_touches_nobody(plant):
    """Every record is another object with the same content, files lie in another folder."""
    system = plant.system
    model, tables, _ = load_model(GRID, kept_numbers(system.settings.rtdb.path), system.drivers)
    lives = {address.name: (address.health.state, address.health.restarts) for address in system.supervisor.addresses()}
    running = dict(system.supervisor._running)
    report = system.adopt(model, tables, GRID)
    assert report.done, report
    assert report.channels_rebound == report.channels_restarted == report.channels_started == report.channels_stopped == ()
    assert report.actors_restarted == ()
    assert report.points_added == report.points_removed == report.points_moved == ()
    assert system.supervisor._running == running
    assert {address.name: (address.health.state, address.health.restarts) for address in system.supervisor.addresses()} == lives
    assert plant.rtu.connections == plant.other.connections == 1


def test_agc_and_dispatch_alone_restart_when_a_unit_changes(plant, tables):
    edit = Edit(plant.system)
    area = next(one for one in tables.areas if one.controlled)
    faster = replace(area, units=[replace(area.units[0], ramp_up=area.units[0].ramp_up * 2), *area.units[1:]])
    edit.tables = replace(edit.tables, areas=[faster if one is area else one for one in tables.areas])
    report = edit.swap()
    assert report.done, report
    assert report.actors_restarted == ("dispatch", "agc")
    assert report.channels_rebound == ()


def test_a_point_that_moves_to_a_new_channel_is_not_topical_though_the_old_one_stays(plant, tables):
    """The new station may never answer: what the old one said last is not its word."""
    point = plain(tables, BAD, 13)[0]
    plant.rtu.analog(point.address.ioa, 5.0)
    shows(plant, point.pid, pytest.approx(5.0 * point.scale + point.offset))
    spec = next(one for one in tables.channels if one.name == BAD)
    edit = Edit(plant.system)
    fresh = replace(spec, index=len(edit.channels), mrid="new-unit", name="New RTU", host="127.0.0.1", port=DARK)
    edit.channels.append(fresh)
    edit.change(point, channel=fresh.index)
    report = edit.swap()
    assert report.done, report
    assert (report.channels_started, report.channels_rebound) == (("New RTU",), (BAD,))
    plant.until(lambda: plant.value(point.pid)[1] & LOST == LOST, 3, "the value is marked")
    assert plant.rtu.connections == 1


def test_a_measured_point_that_is_calculated_now_shows_its_result(plant, tables, monkeypatch):
    """The station's last value may come after the first result, and nothing moves the result again."""
    point, source, *_ = plain(tables, BAD, 13)
    plant.rtu.analog(source.address.ioa, 7.0)
    seven = 7.0 * source.scale + source.offset
    shows(plant, source.pid, pytest.approx(seven))
    late = 99.0 * point.scale + point.offset
    rebind = Swap._rebind

    def after_a_late_value(self, generation, change, index, progress):
        plant.rtu.analog(point.address.ioa, 99.0)
        plant.until(lambda: plant.value(point.pid)[0] == pytest.approx(late), what="the station's last value")
        rebind(self, generation, change, index, progress)

    monkeypatch.setattr(Swap, "_rebind", after_a_late_value)
    edit = Edit(plant.system)
    edit.change(point, channel=-1, address=PlainAddress(""), expression=f'"{source.path}" + 1')
    report = edit.swap()
    assert report.done, report
    plant.until(lambda: plant.value(point.pid) == (pytest.approx(seven + 1), int(Quality.CALCULATED)), 3, "the result is shown")


def test_a_failed_swap_that_lets_an_upstream_station_go_leaves_it_forwarding(plant, tables, monkeypatch):
    point = plain(tables, BAD, 13)[0]
    control = plant.system.control
    real = type(control).ask

    def fail_once(self, message):
        if type(message).__name__ == "AdoptControls" and self is control:
            monkeypatch.setattr(type(control), "ask", real)
            raise RuntimeError("a fault in the middle")
        return real(self, message)

    edit = Edit(plant.system)
    edit.tables = replace(edit.tables, upstream=())
    generation = edit.prepared()
    monkeypatch.setattr(type(control), "ask", fail_once)
    report = plant.system.swap(generation)
    assert not report.done
    assert "runs again" in report.reason
    [address] = plant.system.upstreams.addresses
    assert any(one is address for one in plant.system.supervisor.addresses()), "what forwards reads the mailbox that is filled"
    plant.rtu.analog(point.address.ioa, 5.0)
    shows(plant, point.pid, pytest.approx(5.0 * point.scale + point.offset))
    plant.until(address.mailbox.empty, what="it reads along")
    [status] = plant.system.upstreams.status().stations
    assert status.points


def test_agc_does_not_go_on_writing_a_point_that_the_model_let_go(plant, tables):
    ace = next(point for point in tables.points if point.expression == "agc.ace")
    edit = Edit(plant.system)
    edit.remove(ace)
    report = edit.swap()
    assert report.done, report
    assert "agc" in report.actors_restarted
    plant.until(lambda: plant.value(ace.pid)[1] & LOST == LOST, what="nobody writes it any more")
