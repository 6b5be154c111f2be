"""Suppression, figures, queries, recall and captures of a whole server, through what its faces call."""

import asyncio
import threading

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.actors.facade import Facade
from scada.actors.messages import Apply
from scada.control.records import Principal
from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import NS_PER_S
from scada.events.records import EventKind, SuppressionKind
from scada.model_cim.tables import AlarmClass, PointKind
from scada.security.roles import Right

OPERATOR = Principal("operator", frozenset({"OPERATOR"}), frozenset(Right), frozenset({"*"}), "desk-1")
RECALL = {"recalls": "recalls", "recall_before_s": 2.0, "recall_after_s": 1.0, "soe_window_ms": 100}


@pytest.fixture
def server(run):
    return run(events=RECALL)


def put(server, pid, value, **more):
    batch = PointBatch.of([int(pid)], [value], received_at=server.clock.now_ns(), flags=RecordFlag.EVENT, **more)
    server.system.rtdb.tell(Apply([batch]))
    server.until(lambda: server.value(int(pid))[0] == value, what="applied")


def wait(answer):
    return asyncio.run(answer)


def test_a_limit_is_violated_shelved_and_counted(server, tables):
    facade = Facade(server.system)
    point = next(p for p in tables.points if p.limits.hi == p.limits.hi and p.kind is PointKind.ANALOG and not p.expression)
    since = server.clock.now_ns()
    put(server, point.pid, point.limits.hi - 1)
    put(server, point.pid, point.limits.hi + 1000)
    shown = server.until(lambda: [a for a in facade.alarms()[0] if a.mrid == point.mrid])
    names = [pb.AlarmName(mrid=alarm.mrid, key=alarm.key) for alarm in shown]
    request = pb.ShelveRequest(alarms=names, duration_s=60, reason="sensor is changed")
    reply = wait(facade.suppress(request, OPERATOR, b"the envelope"))
    assert (reply.accepted, list(reply.unknown)) == (True, [])
    assert [a for a in facade.alarms()[0] if a.mrid == point.mrid] == []
    assert {one.kind for one in facade.suppressions()} == {SuppressionKind.SHELVED}
    row = [record.row for record in server.system.audit.records()][-1]
    assert (row.kind, row.step, row.actor, row.reason, row.evidence) == (
        "alarm",
        "shelve",
        "operator",
        "sensor is changed",
        b"the envelope",
    )
    kpi = wait(facade.alarm_kpi(pb.AlarmKpiRequest(from_ns=since, station=point.station)))
    assert kpi.alarms == len(names)
    assert kpi.shelved == len(names)
    assert kpi.standing == 0
    found = wait(facade.events_page(pb.ListEventsRequest(text=point.path, oldest_first=True), 100))
    assert found[0].kind is EventKind.LIMIT_VIOLATED
    assert {event.key for event in found} >= {"alarm.shelved"}


def test_an_accident_is_captured_and_recalled(server, tables):
    facade = Facade(server.system)
    point = next(p for p in tables.points if p.alarm_class is AlarmClass.ACCIDENT and p.normal_value == p.normal_value)
    other = 1.0 if point.normal_value != 1.0 else 2.0
    put(server, point.pid, point.normal_value)
    source = server.clock.now_ns() - 20_000_000
    put(server, point.pid, other, source_time=source)
    accident = server.until(lambda: [a for a in facade.alarms()[0] if a.mrid == point.mrid])[0]
    assert accident.alarm_class is AlarmClass.ACCIDENT
    captured = server.until(lambda: [i for i in wait(facade.recalls()) if i.event_id == accident.alarm_id], 15, "captured")
    assert captured[0].complete, captured[0].reason
    server.until(lambda: server.events("events.captured"))
    request = pb.RecallRequest(at_ns=accident.raised_ns, before_s=2, after_s=1, pids=[int(point.pid)])
    found = wait(facade.recall(request))
    assert found.source == "journal"
    assert (source, other) in [(int(row["time"]), float(row["value"])) for row in found.changes]
    lines = [event for event in found.events if event.kind is EventKind.STATUS_CHANGE]
    assert [(line.source_time_ns, line.value) for line in lines] == [(source, other)]
    soe = wait(facade.events_page(pb.ListEventsRequest(source_order=True, from_ns=source, to_ns=source + 1), 10))
    assert [event.pid for event in soe] == [int(point.pid)]
    stored = server.system.recalls.read(captured[0].path)
    assert stored.to_ns - stored.from_ns == 3 * NS_PER_S
    assert lines[0].event_id in {event.event_id for event in stored.events}


def test_long_readings_do_not_hold_up_an_acknowledgement(server, monkeypatch):
    facade = Facade(server.system)
    go_on = threading.Event()
    monkeypatch.setattr(server.system.recaller, "find", lambda request: go_on.wait(30))

    async def work():
        reading = [asyncio.ensure_future(facade.recall(pb.RecallRequest(at_ns=1, before_s=1))) for _ in range(50)]
        await asyncio.sleep(0)
        try:
            found = await asyncio.wait_for(facade.events_page(pb.ListEventsRequest(), 1), 10)
            return len(found), await asyncio.wait_for(facade.acknowledge((999_999,), OPERATOR), 10)
        finally:
            go_on.set()
            await asyncio.gather(*reading)

    assert wait(work()) == (1, ([], [999_999]))
