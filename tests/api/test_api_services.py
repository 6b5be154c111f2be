"""Every service over real loopback gRPC."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api.client import REPLY_TYPES
from scada.api.faults import CallError
from scada.api.gate import Gate
from scada.api.services import Services
from scada.control.records import ControlReply, SequenceState
from scada.core.errors import StoreError
from scada.events.records import EventKind
from scada.model_cim.objects import PlantObjects
from scada.model_cim.search import HitKind
from scada.model_cim.tables import PointKind
from scada.security.audit_statements import Comparison, compare


async def test_model_and_points(operator):
    model = await operator.call("Model/GetModel", pb.GetModelRequest())
    assert (model.points, model.controls, model.site) == (12, 2, "demo")
    assert model.areas[0].tie_pids == [1]
    assert [station.has_diagram for station in model.stations] == [True, False]
    points = await operator.call("Model/ListPoints", pb.ListPointsRequest(station="East", query="/q"))
    assert [point.pid for point in points.points] == [8, 10]
    assert points.points[0].address == "CA 11 IOA 108 type 31"
    assert dict(points.points[0].states) == {1: "open", 2: "closed"}
    cut = await operator.call("Model/ListPoints", pb.ListPointsRequest(limit=3))
    assert len(cut.points) == 3
    assert cut.truncated
    controls = await operator.call("Model/ListControls", pb.ListControlsRequest(station="West"))
    assert [(control.mrid, control.feedback_pid) for control in controls.controls] == [("setpoint", -1)]


async def test_search_is_over_the_model_that_runs_and_off_the_loop(operator, backend):
    found = await operator.call("Model/Search", pb.SearchRequest(query="ioa 108 EAST"))
    assert [(hit.kind, hit.number, hit.station, hit.address) for hit in found.hits] == [
        (pb.HIT_KIND_POINT, 8, "East", "CA 11 IOA 108 type 31")
    ]
    assert (found.total, found.model_version) == (1, backend.tables.version)
    some = await operator.call("Model/Search", pb.SearchRequest(query="e", limit=2))
    assert (len(some.hits), some.total > 2) == (2, True)
    assert (await operator.call("Model/Search", pb.SearchRequest(query=" "))).total == 0
    with_less = replace(backend.tables, version="2", points=[replace(point, removed=True) for point in backend.tables.points])
    backend.objects = PlantObjects(with_less)
    found = await operator.call("Model/Search", pb.SearchRequest(query="ioa 108 EAST"))
    assert (list(found.hits), found.model_version) == ([], "2"), "another version has another index"


def test_hit_kinds_have_the_same_numbers_on_the_wire():
    for kind in HitKind:
        assert pb.HitKind.Value(f"HIT_KIND_{kind.name}") == kind


def test_point_kinds_have_the_same_numbers_on_the_wire():
    for kind in PointKind:
        wire = "STATE" if kind is PointKind.TEXT_STATE else kind.name
        assert pb.PointKind.Value(f"POINT_KIND_{wire}") == kind


async def test_diagram(operator):
    drawn = await operator.call("Model/GetDiagram", pb.GetDiagramRequest(station="East"))
    assert (drawn.svg, drawn.station, drawn.stale) == ("<svg>east</svg>", "East", False)
    with pytest.raises(CallError, match="no diagram") as caught:
        await operator.call("Model/GetDiagram", pb.GetDiagramRequest(station="West"))
    assert caught.value.code == "not_found"


async def test_read(operator, backend):
    backend.apply([3], [42.0])
    frame = await operator.call("Realtime/Read", pb.ReadRequest(pids=[3, 4]))
    assert frame.full
    assert (frame.seq, list(frame.pid), frame.value[0]) == (1, [3, 4], 42.0)
    assert math.isnan(frame.value[1])
    with pytest.raises(CallError, match="point 99 is not in the model"):
        await operator.call("Realtime/Read", pb.ReadRequest(pids=[99]))


async def test_why_an_output_is_what_it_is(operator):
    found = await operator.call("Regulation/Explain", pb.ExplainRequest(mrid="g1"))
    assert (found.application, found.output, found.steps[0].key) == ("agc", 80.0, "demand")
    with pytest.raises(CallError, match="neither under AGC nor under AVC"):
        await operator.call("Regulation/Explain", pb.ExplainRequest(mrid="g2"))
    with pytest.raises(CallError, match="no controlled area 'Nowhere'"):
        await operator.call("Regulation/GetAgc", pb.GetAgcRequest(area="Nowhere"))


async def test_status_regulation_dispatch_history_replay(operator):
    assert (await operator.call("Realtime/GetStatus", pb.GetStatusRequest())).points_total == 12
    assert (await operator.call("Regulation/GetAgc", pb.GetAgcRequest())).units[0].name == "G1"
    assert (await operator.call("Regulation/GetAvc", pb.GetAvcRequest())).zones[0].name == "Z1"
    assert (await operator.call("Dispatch/GetDispatch", pb.GetDispatchRequest())).orders[0].order_id == "A1"
    series = await operator.call("History/Query", pb.HistoryRequest(pids=[1, 2], from_ns=5, to_ns=6))
    assert [each.pid for each in series.series] == [1, 2]
    with pytest.raises(CallError, match="a span that ends after it starts"):
        await operator.call("History/Query", pb.HistoryRequest(pids=[1], from_ns=6, to_ns=5))
    with pytest.raises(CallError, match="point 12 is not in the model"):
        await operator.call("History/Query", pb.HistoryRequest(pids=[12], from_ns=5, to_ns=6))
    assert (await operator.call("Replay/Start", pb.ReplayRequest(trace="a.pcap"))).state == "running"
    assert (await operator.call("Replay/Command", pb.ReplayCommand(replay_id="r1", action="pause"))).state == "pause"
    assert (await operator.call("Replay/GetState", pb.ReplayCommand(replay_id="r1"))).state == "state"
    assert (await operator.call("Replay/Read", pb.ReplayCommand(replay_id="r1"))).values[0].value == 2.5


async def test_alarms_and_acknowledge(operator, backend):
    number = backend.raise_alarm()
    alarms = await operator.call("Events/ListAlarms", pb.ListAlarmsRequest())
    assert [(alarm.alarm_id, alarm.key) for alarm in alarms.alarms] == [(number, "limit.hi")]
    assert alarms.last_event_id == number
    reply = await operator.signed("Events/Acknowledge", pb.AcknowledgeRequest(alarm_ids=[number, 999], last_event_id=number))
    assert (list(reply.acknowledged), list(reply.unknown)) == ([number], [999])
    assert backend.seen == number
    assert backend.acted[0][:3] == ("acknowledge", [number], "operator"), "what is not shown is not passed on"
    [row] = backend.audited
    assert (row.kind, row.actor, row.path, row.value) == ("acknowledge", "operator", f"{number} 999", 2.0)
    assert compare(row, "demo") == Comparison("/scadapb.v1.Events/Acknowledge"), "its envelope says the same"


async def test_what_cannot_be_audited_is_not_acknowledged(operator, backend, monkeypatch):
    def full(row):
        raise StoreError("no space", where="audit")

    number = backend.raise_alarm()
    monkeypatch.setattr(backend, "record", full)
    with pytest.raises(CallError) as caught:
        await operator.signed("Events/Acknowledge", pb.AcknowledgeRequest(alarm_ids=[number]))
    assert caught.value.code == "audit_failed"
    assert backend.acted == []


async def test_control_round(operator, backend):
    selected = await operator.signed("Control/Select", pb.SelectRequest(control="breaker", value=1, device_number="2211"))
    assert selected.state == pb.CONTROL_STATE_SELECTED
    done = await operator.signed("Control/Execute", pb.ExecuteRequest(sequence_id=selected.sequence_id))
    assert done.state == pb.CONTROL_STATE_SUCCESS
    cancelled = await operator.signed("Control/Cancel", pb.CancelRequest(sequence_id="8"))
    assert cancelled.state == pb.CONTROL_STATE_CANCELLED
    mode = await operator.signed("Control/SetMode", pb.SetModeRequest(agc="on"))
    assert mode.accepted
    assert [what for what, *_ in backend.acted] == ["select", "execute", "cancel", "set_mode"]
    evidence = pb.Signed.FromString(backend.acted[0][3])
    assert pb.Header.FromString(evidence.header).sender == "operator"
    with pytest.raises(CallError, match="names no target"):
        await operator.signed("Control/SetMode", pb.SetModeRequest())
    with pytest.raises(CallError, match="finite"):
        await operator.signed("Control/Select", pb.SelectRequest(control="breaker", value=math.nan))
    with pytest.raises(CallError, match="finite"):
        await operator.signed("Control/Select", pb.SelectRequest(control="breaker"))


async def test_dispatcher(connect, backend):
    dispatcher = await connect("dispatcher")
    reply = await dispatcher.signed("Dispatch/SendSetpoint", pb.AreaSetpoint(area="East", interchange_mw=40, order_id="A1"))
    assert reply.code == pb.DISPATCH_CODE_ACCEPTED
    schedule = pb.Schedule(area="East", step_s=900, mw=[1, 2], order_id="A2")
    assert (await dispatcher.signed("Dispatch/SendSchedule", schedule)).order_id == "A2"
    with pytest.raises(CallError, match="at least one value"):
        await dispatcher.signed("Dispatch/SendSchedule", pb.Schedule(area="East", mw=[math.inf]))


async def test_login_and_logout_are_events(connect, backend):
    client = await connect("viewer")
    await client.close()
    assert [event.key for event in backend.stored if event.kind == EventKind.SECURITY] == ["security.login", "security.logout"]


async def test_a_fault_of_ours_is_not_shown_to_the_caller(operator, backend, monkeypatch):
    monkeypatch.setattr(backend, "status", lambda: 1 / 0)
    with pytest.raises(CallError) as caught:
        await operator.call("Realtime/GetStatus", pb.GetStatusRequest())
    assert caught.value.code == "internal"
    assert "division" not in str(caught.value)


def test_every_method_of_the_contract_is_served(backend, sessions):
    services = Services(backend, None, type("Feed", (), {"follow": None}), sessions)
    gate = Gate(sessions, None, lambda peer, path, forged: True)
    served = services.view_handlers(gate).keys() | services.control_handlers(gate).keys()
    assert served == {f"/scadapb.v1.{name}" for name in REPLY_TYPES}


async def test_an_order_goes_to_its_end_though_the_caller_goes_away(operator, backend, monkeypatch):
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def execute(request, principal, evidence):
        begun.set()
        await go_on.wait()
        ended.set()
        return ControlReply(request.sequence_id, SequenceState.SUCCESS)

    monkeypatch.setattr(backend, "execute", execute)
    call = asyncio.create_task(operator.signed("Control/Execute", pb.ExecuteRequest(sequence_id="7")))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(0.05)
    go_on.set()
    await asyncio.wait_for(ended.wait(), 1.0)
