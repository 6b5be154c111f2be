"""Modes, dispatch and acknowledgement stay within right and area of responsibility."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import grpc
import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api.faults import CallError
from scada.api.responsibility import check_acknowledge, check_alarms, check_channel, check_edit
from scada.control.records import Principal
from scada.security.identities import load_grants
from scada.security.roles import Right

ELSEWHERE = frozenset({"North"})


@pytest.fixture
def confined(sessions):
    """Every identity is responsible for the area North only."""
    sessions._grants = {name: replace(grant, areas=ELSEWHERE) for name, grant in sessions._grants.items()}


async def denied(client, backend, method, request, code):
    before = len(backend.stored)
    with pytest.raises(CallError) as caught:
        await client.signed(method, request)
    assert (caught.value.status, caught.value.code) == (grpc.StatusCode.PERMISSION_DENIED, code)
    assert backend.acted == []
    assert [event.key for event in backend.stored[before:]] == ["security.refused"]


async def test_an_engineer_commands_channels_but_no_modes(connect, backend):
    engineer = await connect("engineer")
    for request in (
        pb.SetModeRequest(agc="off"),
        pb.SetModeRequest(avc="off"),
        pb.SetModeRequest(unit=pb.UnitMode(unit="u", base_mode="AUTO", reg_mode="O")),
    ):
        await denied(engineer, backend, "Control/SetMode", request, "unauthorised")
    command = pb.ChannelCommand(channel="East RTU", action="interrogate")
    assert (await engineer.signed("Control/SetMode", pb.SetModeRequest(channel=command))).accepted


async def test_outside_the_areas_nothing_is_done(confined, connect, backend):
    operator, dispatcher = await connect("operator"), await connect("dispatcher")
    number = backend.raise_alarm()
    await denied(operator, backend, "Control/SetMode", pb.SetModeRequest(agc="off"), "no_area")
    command = pb.ChannelCommand(channel="East RTU", action="quarantine")
    await denied(operator, backend, "Control/SetMode", pb.SetModeRequest(channel=command), "no_area")
    await denied(operator, backend, "Events/Acknowledge", pb.AcknowledgeRequest(alarm_ids=[number]), "no_area")
    setpoint = pb.AreaSetpoint(area="East", interchange_mw=1, order_id="A")
    await denied(dispatcher, backend, "Dispatch/SendSetpoint", setpoint, "no_area")
    schedule = pb.Schedule(area="East", mw=[1, 2], step_s=900, order_id="B")
    await denied(dispatcher, backend, "Dispatch/SendSchedule", schedule, "no_area")
    await denied(operator, backend, "Dispatch/EditSchedule", pb.ScheduleEdit(area="East", order_id="C"), "no_area")


async def test_a_plan_is_edited_with_the_rights_of_modes_and_of_set_points(connect, backend):
    edit = pb.ScheduleEdit(area="East", day="2026-11-22", based_on=2, restore=1, reason="why", order_id="E")
    await denied(await connect("dispatcher"), backend, "Dispatch/EditSchedule", edit, "unauthorised")
    await denied(await connect("viewer"), backend, "Dispatch/EditSchedule", edit, "unauthorised")
    half = Principal("li", frozenset(), frozenset({Right.MODE}), frozenset({"*"}), "", "")
    with pytest.raises(CallError) as caught:
        check_edit(edit, half, backend.tables)
    assert (caught.value.code, "SETPOINT" in str(caught.value)) == ("unauthorised", True)
    operator = await connect("operator")
    assert (await operator.signed("Dispatch/EditSchedule", edit)).version == 3
    assert [(name, who) for name, _, who, _ in backend.acted] == [("edit_schedule", "operator")]
    assert len((await operator.call("Dispatch/ListSchedules", pb.ListSchedulesRequest())).schedules) == 1
    wanted = pb.GetScheduleRequest(target="East", day="2026-11-22")
    assert (await operator.call("Dispatch/GetSchedule", wanted)).info.version == 2
    with pytest.raises(CallError) as caught:
        await operator.call("Dispatch/GetSchedule", pb.GetScheduleRequest(target="East", day="2026-11-23"))
    assert caught.value.status is grpc.StatusCode.NOT_FOUND


async def test_a_station_counts_as_its_area(sessions, connect, backend, key_folder):
    grants = load_grants(key_folder)
    sessions._grants = grants | {"operator": replace(grants["operator"], areas=frozenset({"East"}))}
    operator = await connect("operator")
    number = backend.raise_alarm()
    assert (await operator.signed("Events/Acknowledge", pb.AcknowledgeRequest(alarm_ids=[number]))).acknowledged == [number]


@pytest.mark.parametrize(
    ("areas", "allowed"),
    [({"Nan", "Xi"}, True), ({"Area"}, True), ({"Nan"}, False), ({"*"}, True), ({"Nan, Xi"}, False), (set(), False)],
)
def test_a_channel_of_several_stations_needs_every_one(areas, allowed):
    stations = [SimpleNamespace(name=name, area="Area") for name in ("Nan", "Xi", "Far, away")]
    channels = [
        SimpleNamespace(name="West", mrid="m", station="Nan, Xi"),
        SimpleNamespace(name="One", mrid="o", station="Far, away"),
    ]
    tables = SimpleNamespace(stations=stations, live_channels=channels, by_mrid={}, points=[])
    who = Principal("op", frozenset(), frozenset({Right.CHANNEL}), frozenset(areas))
    alarm = SimpleNamespace(alarm_id=1, path="West", station="Nan, Xi")
    backend = SimpleNamespace(alarms=lambda: ([alarm], 1), tables=tables)
    for check in (
        lambda: check_channel("West", who, tables),
        lambda: check_acknowledge(pb.AcknowledgeRequest(alarm_ids=[1]), who, backend),
        lambda: check_alarms([pb.AlarmName(mrid="m")], who, tables),
    ):
        if allowed:
            check()
        else:
            with pytest.raises(CallError, match="outside op's areas"):
                check()
    check_channel("One", replace(who, areas=frozenset({"Far, away"})), tables)
