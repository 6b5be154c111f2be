"""The dispatch actor and plans: versions over a restart, what is followed and shown, what is told."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from actors.harness import Box, make
from scadapb.v1 import scada_pb2 as pb

from scada.actors.agc import AgcView
from scada.actors.dispatch import DispatchActor, DispatchView
from scada.actors.dispatch_requests import past_orders
from scada.actors.messages import Tick
from scada.actors.order_messages import DispatchAsked, PlansAsked, SetBasePoint, SetInterchange
from scada.apps.dispatch.days import day_of, point_times
from scada.control.records import Principal
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.dispatch_settings import DispatchContract, DispatchSettings
from scada.security.audit import AuditLog, AuditRow

ZONE = ZoneInfo("Asia/Shanghai")
QUARTER = 900 * NS_PER_S


class Dispatch:
    """An actor over an audit log that is kept from life to life, as the server keeps it."""

    def __init__(self, tables, folder):
        self.tables = tables
        self.clock = VirtualClock()
        self.area = next(area for area in tables.areas if area.controlled)
        self.unit = self.area.units[0]
        self.audit = AuditLog(folder, self.clock)
        self.accepted, self.measured = [], AgcView()
        self.today = day_of(self.clock.now_ns(), ZONE)
        self.live()

    def live(self):
        """A new life: everything in memory is gone."""
        self.agc, self.events, self.view = Box(), Box(), DispatchView()
        self.actor = make(
            DispatchActor,
            tables=self.tables,
            past=past_orders(self.audit.records(), dict.fromkeys(self.accepted, 0)),
            seen=list(self.accepted),
            agc=self.agc,
            events=self.events,
            view=self.view,
            clock=self.clock,
            settings=DispatchSettings(next_day_by="20:00", contracts={"li": DispatchContract()}),
            zone=ZONE,
            measured=self.measured,
        )

    def ask(self, request, answered=True):
        """An order, as the facade passes it on; without ``answered`` the server dies before its answer is in the event log."""
        method = "EditSchedule" if isinstance(request, pb.ScheduleEdit) else "SendSchedule"
        header = pb.Header(method=f"/scadapb.v1.Dispatch/{method}").SerializeToString()
        evidence = pb.Signed(header=header, body=request.SerializeToString()).SerializeToString()
        self.audit.append(AuditRow("dispatch", "order", "li", "", "", request.order_id, evidence=evidence))
        if not answered:
            return None
        who = Principal("li", frozenset(), frozenset(), frozenset({"*"}), "", "")
        reply = self.actor.receive(DispatchAsked(request, who))
        if reply.code in (pb.DISPATCH_CODE_ACCEPTED, pb.DISPATCH_CODE_CLIPPED):
            self.accepted.append(("li", request.order_id))
        return reply

    def plan(self, number, mw, unit="", day=None):
        times = point_times(day or self.today, ZONE, 900)
        return pb.Schedule(
            area=self.area.name, unit=unit, start_ns=times[0], step_s=900, mw=[mw] * len(times), order_id=f"s{number}"
        )

    def edit(self, number, based_on, **what):
        return pb.ScheduleEdit(
            area=self.area.name, day=f"{self.today}", based_on=based_on, reason="line out", order_id=f"e{number}", **what
        )

    def get(self, version=0):
        request = pb.GetScheduleRequest(target=self.area.name, day=f"{self.today}", version=version)
        return self.actor.receive(PlansAsked(request))

    def versions(self):
        found = self.actor.receive(PlansAsked(pb.ListSchedulesRequest(day=f"{self.today}")))
        return [(one.version, one.kind, one.sender, one.reason, one.digest) for one in found.schedules]


@pytest.fixture
def dispatch(demo, tmp_path):
    one = Dispatch(demo[1], tmp_path)
    yield one
    one.audit.close()


def test_versions_survive_a_restart_to_the_bit(dispatch):
    last = point_times(dispatch.today, ZONE, 900)[-1]
    assert dispatch.ask(dispatch.plan(1, 50.0)).version == 1
    assert dispatch.ask(dispatch.edit(1, 1, points=[pb.SchedulePoint(time_ns=last, mw=70.0)])).version == 2
    span = pb.ScheduleRange(from_ns=last - QUARTER, to_ns=last, mw=5.0, add=True)
    assert dispatch.ask(dispatch.edit(2, 2, range=span)).version == 3
    assert dispatch.ask(dispatch.edit(3, 1, restore=1)).code == pb.DISPATCH_CODE_REFUSED
    assert dispatch.ask(dispatch.edit(4, 3, restore=1)).version == 4
    # written to the audit log, and the server died: never answered, so never in force
    dispatch.ask(dispatch.plan(2, 99.0), answered=False)
    before = dispatch.versions()
    assert [row[:4] for row in before] == [
        (1, "schedule", "li", ""),
        (2, "edit", "li", "line out"),
        (3, "edit", "li", "line out"),
        (4, "restore", "li", "line out"),
    ]
    assert before[3][4] == before[0][4] != before[1][4]
    points = [dispatch.get(number).SerializeToString(deterministic=True) for number in range(1, 5)]
    dispatch.live()
    assert dispatch.versions() == before
    assert [dispatch.get(number).points for number in range(1, 5)] == [
        pb.ScheduleVersion.FromString(one).points for one in points
    ]
    assert dispatch.ask(dispatch.plan(1, 50.0)).code == pb.DISPATCH_CODE_DUPLICATE
    assert dispatch.get(9) is None


def test_agc_follows_the_edited_plan_and_the_status_shows_it(dispatch):
    now = dispatch.clock.now_ns()
    dispatch.ask(dispatch.plan(1, 50.0))
    dispatch.ask(dispatch.plan(2, dispatch.unit.minimum + 1, unit=dispatch.unit.mrid))
    assert dispatch.agc.take(SetInterchange)[-1].mw == 50.0
    assert dispatch.agc.take(SetBasePoint)[-1] == SetBasePoint(dispatch.unit.mrid, dispatch.unit.minimum + 1)
    times = [time for time in point_times(dispatch.today, ZONE, 900) if time > now]
    dispatch.ask(dispatch.edit(1, 1, points=[pb.SchedulePoint(time_ns=times[0], mw=80.0)]))
    seconds = (times[0] - now) // NS_PER_S
    for _ in range(seconds):
        dispatch.clock.advance(1)
        measured = SimpleNamespace(interchange_mw=77.0, cycle_ns=dispatch.clock.now_ns(), units=SimpleNamespace(powers={}))
        dispatch.measured.decisions = {dispatch.area.name: measured}
        dispatch.actor.receive(Tick())
    assert dispatch.agc.take(SetInterchange)[-1].mw == pytest.approx(80.0)
    area, unit = dispatch.view.status.followed
    assert (area.name, area.version, area.mw, area.actual_mw, area.deviation_mw) == (dispatch.area.name, 2, 80.0, 77.0, -3.0)
    assert (area.next_mw, area.next_ns) == (50.0, times[1])
    assert area.executed_mwh == pytest.approx(77.0 * seconds / 3600)
    assert math.isnan(unit.actual_mw)
    assert unit.unknown_s == seconds
    dispatch.clock.advance(61)
    dispatch.actor.receive(Tick())
    assert math.isnan(dispatch.view.status.followed[0].actual_mw), "a value of a minute ago is not what flows now"


def test_a_missing_and_an_ended_plan_are_alarms_and_the_model_takes_over(dispatch):
    dispatch.ask(dispatch.plan(1, 50.0))
    times = point_times(dispatch.today, ZONE, 900)
    for until, told in ((times[79] - NS_PER_S, 0), (times[79], 1), (times[-1], 1)):
        dispatch.clock.advance((until - dispatch.clock.now_ns()) / NS_PER_S)
        dispatch.actor.receive(Tick())
        assert dispatch.events.keys().count("dispatch.plan_missing") == told
    assert dispatch.events.keys().count("dispatch.plan_ended") == 0
    dispatch.clock.advance(1)
    for _ in range(3):
        dispatch.actor.receive(Tick())
    assert dispatch.events.keys().count("dispatch.plan_ended") == 1
    assert dispatch.agc.take(SetInterchange)[-1].mw == dispatch.area.scheduled_interchange


def test_targets_say_their_limits_and_a_day_that_is_none_is_answered(dispatch):
    found = dispatch.actor.receive(PlansAsked(pb.ListSchedulesRequest()))
    units = {one.name: (one.minimum, one.maximum, one.area) for one in found.targets if one.unit}
    assert units[dispatch.unit.name] == (dispatch.unit.minimum, dispatch.unit.maximum, dispatch.area.name)
    assert (found.time_zone, found.today, found.at_midnight) == ("Asia/Shanghai", f"{dispatch.today}", False)
    assert dispatch.actor.receive(PlansAsked(pb.GetScheduleRequest(target=dispatch.area.name, day="soon"))) is None
    broken = dispatch.edit(1, 1, restore=1)
    broken.day = "soon"
    assert dispatch.ask(broken).code == pb.DISPATCH_CODE_REFUSED


def test_a_model_with_other_limits_judges_what_is_sent_from_now_on(dispatch):
    dispatch.ask(dispatch.plan(1, dispatch.unit.maximum, unit=dispatch.unit.mrid))
    units = [replace(dispatch.unit, maximum=dispatch.unit.maximum - 10), *dispatch.area.units[1:]]
    area = replace(dispatch.area, units=units)
    dispatch.tables = replace(dispatch.tables, areas=[area])
    dispatch.live()
    dispatch.actor.receive(Tick())
    assert dispatch.agc.take(SetBasePoint)[-1].mw == dispatch.unit.maximum - 10
