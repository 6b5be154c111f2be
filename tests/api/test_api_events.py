"""The service Events over real loopback gRPC: suppression, figures, recall, pages."""

from __future__ import annotations

from dataclasses import replace

import grpc
import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api.faults import CallError
from scada.events.records import SuppressionKind
from tests.api.rights import confine

SHELVE = pb.ShelveRequest(alarms=[pb.AlarmName(mrid="point-0", key="limit.hi")], duration_s=600, reason="sensor is changed")


@pytest.mark.parametrize("port", ["control", "server"])
async def test_shelve_and_back_on_both_servers(operator, backend, port):
    envelope = operator.session.seal("/scadapb.v1.Events/Shelve", SHELVE)
    reply = await operator._unary(getattr(operator, port), "Events/Shelve", envelope, 5.0)
    assert pb.AlarmReply.FromString(reply).accepted
    what, request, name, evidence = backend.acted[0]
    assert (what, request, name) == ("suppress", SHELVE, "operator")
    assert pb.Signed.FromString(evidence).body == SHELVE.SerializeToString()
    shown = (await operator.call("Events/ListSuppressed", pb.ListSuppressedRequest())).suppressions
    assert [(one.mrid, one.key, one.kind, one.user) for one in shown] == [
        ("point-0", "limit.hi", pb.SUPPRESSION_KIND_SHELVED, "operator")
    ]
    assert (await operator.call("Events/ListAlarms", pb.ListAlarmsRequest())).suppressed == 1
    assert (await operator.signed("Events/Unshelve", pb.UnshelveRequest(alarms=SHELVE.alarms))).accepted


async def test_what_the_engine_refuses_is_told(operator):
    unnamed = pb.ShelveRequest(alarms=SHELVE.alarms, duration_s=60)
    reply = await operator.signed("Events/Shelve", unnamed)
    assert (reply.accepted, reply.code) == (False, "no_reason")


async def test_out_of_service_needs_its_own_right(operator, connect, backend):
    request = pb.AlarmServiceRequest(alarms=SHELVE.alarms, out_of_service=True, reason="rebuilding the bay")
    with pytest.raises(CallError) as caught:
        await operator.signed("Events/SetAlarmService", request)
    assert (caught.value.status, caught.value.code) == (grpc.StatusCode.PERMISSION_DENIED, "unauthorised")
    assert backend.acted == []
    engineer = await connect("engineer")
    assert (await engineer.signed("Events/SetAlarmService", request)).accepted
    with pytest.raises(CallError) as caught:
        await engineer.signed("Events/Shelve", SHELVE)
    assert caught.value.code == "unauthorised"


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Events/Shelve", pb.ShelveRequest(duration_s=60, reason="x")),
        ("Events/Unshelve", pb.UnshelveRequest()),
        ("Events/Shelve", pb.ShelveRequest(alarms=[pb.AlarmName(mrid=str(i)) for i in range(1001)], duration_s=1, reason="x")),
    ],
)
async def test_orders_that_name_none_or_too_many(operator, backend, method, request_):
    with pytest.raises(CallError) as caught:
        await operator.signed(method, request_)
    assert caught.value.code == "malformed"
    assert backend.acted == []


async def test_nothing_is_shelved_outside_the_areas(sessions, connect, backend):
    confine(sessions, "West")
    operator = await connect("operator")
    for mrid in ("point-0", "equipment-0", "channel-0"):
        request = pb.ShelveRequest(alarms=[pb.AlarmName(mrid="point-1"), pb.AlarmName(mrid=mrid)], duration_s=60, reason="x")
        with pytest.raises(CallError) as caught:
            await operator.signed("Events/Shelve", request)
        assert caught.value.code == "no_area"
    assert backend.acted == []
    inside = pb.ShelveRequest(alarms=[pb.AlarmName(mrid="point-1")], duration_s=60, reason="x")
    assert (await operator.signed("Events/Shelve", inside)).accepted


async def test_the_list_of_alarms_is_the_same_however_often_it_is_asked(operator, backend):
    first = backend.raise_alarm(0)
    once = await operator.call("Events/ListAlarms", pb.ListAlarmsRequest())
    second = backend.raise_alarm(2)
    backend.present[0] = replace(backend.present[0], occurrences=2, chattering=True)
    again = await operator.call("Events/ListAlarms", pb.ListAlarmsRequest())
    assert [alarm.alarm_id for alarm in once.alarms] == [first]
    assert [(alarm.alarm_id, alarm.occurrences, alarm.chattering) for alarm in again.alarms] == [
        (first, 2, True),
        (second, 1, False),
    ]
    backend.present.clear()
    assert not (await operator.call("Events/ListAlarms", pb.ListAlarmsRequest())).alarms


async def test_pages_are_asked_with_all_their_filters(operator, backend):
    backend.raise_alarm()
    request = pb.ListEventsRequest(limit=3, station="East", text="q1", behind=7, source_order=True)
    await operator.call("Events/ListEvents", request)
    assert backend.asked == request


async def test_kpi(operator):
    found = await operator.call("Events/GetAlarmKpi", pb.AlarmKpiRequest(from_ns=5, to_ns=9))
    assert (found.from_ns, found.alarms) == (5, 3)
    with pytest.raises(CallError, match="must end after it starts"):
        await operator.call("Events/GetAlarmKpi", pb.AlarmKpiRequest(from_ns=9, to_ns=5))


async def test_recall_comes_in_slices_of_time(operator):
    parts = [part async for part in operator.recall(pb.RecallRequest(at_ns=7, before_s=60, after_s=60))]
    kinds = [part.WhichOneof("part") for part in parts]
    assert kinds == ["head", "start", "events", "changes", "events", "changes", "changes", "events"]
    assert [event.key for part in parts for event in part.events.events] == ["k0", "k6000", "k13000"]
    times = [time for part in parts for time in part.changes.time_ns]
    assert times == list(range(7, 12_007))
    assert parts[3].changes.value[0] == 2.0
    assert parts[0].head.source == "journal"
    (info,) = (await operator.call("Events/ListRecalls", pb.ListRecallsRequest())).recalls
    assert (info.at_ns, info.reason, info.complete) == (5, "S/Q1", True)


@pytest.mark.parametrize(
    "wrong",
    [
        pb.RecallRequest(before_s=60),
        pb.RecallRequest(at_ns=1),
        pb.RecallRequest(at_ns=1, before_s=3601),
        pb.RecallRequest(at_ns=1, before_s=1, pids=[12]),
        pb.RecallRequest(at_ns=1, before_s=1, station="Nowhere"),
    ],
)
async def test_a_recall_that_cannot_be(operator, wrong):
    with pytest.raises(CallError) as caught:
        [part async for part in operator.recall(wrong)]
    assert caught.value.code == "malformed"


async def test_figures_and_recall_need_the_right_to_history(connect):
    dispatcher = await connect("dispatcher")
    with pytest.raises(CallError) as caught:
        await dispatcher.call("Events/GetAlarmKpi", pb.AlarmKpiRequest())
    assert caught.value.code == "unauthorised"
    with pytest.raises(CallError) as caught:
        [part async for part in dispatcher.recall(pb.RecallRequest(at_ns=7, before_s=60))]
    assert caught.value.code == "unauthorised"


def test_kinds_of_suppression_have_the_same_numbers_on_the_wire():
    for kind in SuppressionKind:
        assert pb.SuppressionKind.Value(f"SUPPRESSION_KIND_{kind.name if kind else 'UNSPECIFIED'}") == kind
