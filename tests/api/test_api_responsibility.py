"""Modes, dispatch and acknowledgement stay within right and area of responsibility."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import grpc
import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api.faults import CallError
from scada.api.responsibility import check_acknowledge, check_alarms, check_channel, check_dispatch, check_edit, check_mode
from scada.control.records import Principal
from scada.model_cim.tables import ChannelSpec, Station
from scada.security.roles import Right
from tests.api.conftest import small_tables
from tests.api.rights import confine

ELSEWHERE = frozenset({"North"})


@pytest.fixture
def confined(sessions):
    """Every identity is responsible for the area North only."""
    confine(sessions, *ELSEWHERE)


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


async def test_a_station_counts_as_its_area(sessions, connect, backend):
    confine(sessions, "East", name="operator")
    operator = await connect("operator")
    number = backend.raise_alarm()
    assert (await operator.signed("Events/Acknowledge", pb.AcknowledgeRequest(alarm_ids=[number]))).acknowledged == [number]


@pytest.mark.parametrize(
    ("areas", "allowed"),
    [({"Nan", "Xi"}, True), ({"Area"}, True), ({"Nan"}, False), ({"*"}, True), ({"Nan, Xi"}, False), (set(), False)],
)
def test_a_channel_of_several_stations_needs_every_one(areas, allowed):
    stations = [Station(f"mrid-{name}", name, "Area", []) for name in ("Nan", "Xi", "Far, away")]
    channels = [
        ChannelSpec(0, "m", "West", "iec104", "h", 1, "Nan, Xi"),
        ChannelSpec(1, "o", "One", "iec104", "h", 1, "Far, away"),
    ]
    tables = replace(small_tables(), stations=stations, channels=channels, areas=[], points=[], controls=[])
    who = Principal("op", frozenset(), frozenset({Right.CHANNEL}), frozenset(areas))
    alarm = SimpleNamespace(alarm_id=1, mrid="m", path="West", station="Nan, Xi")
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


def regulated_tables():
    """Unit G1 in area East and U2 in West; a source of station Nan (area East), a capacitor of station Bei (area West)."""
    stations = [Station(f"mrid-{name}", name, area, []) for name, area in (("Nan", "East"), ("Bei", "West"))]
    units = {
        "East": [SimpleNamespace(mrid="G1", name="G 1", controls=())],
        "West": [SimpleNamespace(mrid="G2", name="G 2", controls=())],
    }
    areas = [SimpleNamespace(name=name, mrid=f"area-{name}", controlled=True, units=units[name]) for name in units]
    zone = SimpleNamespace(
        sources=[SimpleNamespace(mrid="S1", setpoint=0)], devices=[SimpleNamespace(mrid="C1", control=1)], controls=(0, 1)
    )
    base = small_tables()
    controls = [replace(base.controls[0], station=station, path=f"{station}/X", equipment="") for station in ("Nan", "Bei")]
    return replace(base, stations=stations, areas=areas, zones=[zone], controls=controls, channels=[])


def loop(mrid, state="open", value=0.0):
    return pb.SetModeRequest(loop=pb.LoopOrder(mrid=mrid, loop=state, test_value=value))


ALL_MODES = {Right.MODE, Right.SETPOINT, Right.CONTROL}


def judged(request, areas, rights=frozenset(ALL_MODES)):
    who = Principal("li", frozenset(), frozenset(rights), frozenset(areas), "", "")
    try:
        check_mode(request, who, regulated_tables())
    except CallError as error:
        return error.code
    return "allowed"


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        (loop("G1"), "East"),
        (loop("G2"), "West"),
        (loop("S1"), "East"),
        (loop("C1"), "West"),
        (pb.SetModeRequest(unlock="C1"), "West"),
        (pb.SetModeRequest(unlock="S1"), "Nan"),
        (pb.SetModeRequest(unit=pb.UnitMode(unit="G1", base_mode="AUTO", reg_mode="R")), "East"),
        (pb.SetModeRequest(benchmarks=pb.BenchmarkOrder(unit="G2", members=["m"])), "West"),
        (pb.SetModeRequest(agc="off", area="East"), "East"),
        (pb.SetModeRequest(control_mode="CFC", area="West"), "West"),
    ],
)
def test_an_operator_orders_what_is_in_his_area_and_nothing_of_another(request_, place):
    other = "West" if place in {"East", "Nan"} else "East"
    assert (judged(request_, {place}), judged(request_, {other}), judged(request_, {"*"})) == ("allowed", "no_area", "allowed")


@pytest.mark.parametrize("area", ["", "East", "nowhere"])
def test_avc_is_one_for_all_whatever_area_the_order_names(area):
    order = pb.SetModeRequest(avc="off", area=area)
    assert judged(order, {"East"}) == "no_area"
    assert judged(order, {"East", "West"}) == "allowed"


def test_a_unit_of_two_areas_needs_both():
    tables = regulated_tables()
    tables.areas[1].units.append(tables.areas[0].units[0])
    who = Principal("li", frozenset(), frozenset(ALL_MODES), frozenset({"East"}), "", "")
    with pytest.raises(CallError, match="outside li's areas"):
        check_mode(loop("G1"), who, tables)


@pytest.mark.parametrize(
    ("request_", "needed"),
    [
        (loop("G1", "test", 80.0), Right.SETPOINT),
        (loop("S1", "test", 8.0), Right.SETPOINT),
        (loop("C1", "test", 2.0), Right.CONTROL),
        (pb.SetModeRequest(unit=pb.UnitMode(unit="G1", base_mode="BASE", reg_mode="O", base_point_mw=50)), Right.SETPOINT),
    ],
)
def test_what_gives_a_value_needs_the_right_to_send_it(request_, needed):
    assert judged(request_, {"*"}, {Right.MODE, needed}) == "allowed"
    assert judged(request_, {"*"}, ALL_MODES - {needed}) == "unauthorised"
    assert judged(request_, {"*"}, ALL_MODES - {Right.MODE}) == "unauthorised"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
async def test_a_test_value_and_a_base_point_are_numbers(connect, backend, value):
    operator = await connect("operator")
    unit = pb.UnitMode(unit="u", base_mode="BASE", reg_mode="O", base_point_mw=value)
    for request in (loop("u", "test", value), pb.SetModeRequest(unit=unit)):
        with pytest.raises(CallError) as caught:
            await operator.signed("Control/SetMode", request)
        assert (caught.value.code, backend.acted) == ("malformed", [])


async def test_texts_of_megabytes_are_neither_kept_nor_shown(connect, backend):
    dispatcher, operator = await connect("dispatcher"), await connect("operator")
    long = "x" * 500_000
    for client, method, request in (
        (dispatcher, "Dispatch/SendSetpoint", pb.AreaSetpoint(area=long, interchange_mw=1, order_id="A")),
        (dispatcher, "Dispatch/SendSchedule", pb.Schedule(area="East", unit=long, mw=[1, 2], step_s=900, order_id="B")),
        (operator, "Dispatch/EditSchedule", pb.ScheduleEdit(area="East", day="2026-11-22", reason=long, order_id="C")),
        (operator, "Control/SetMode", pb.SetModeRequest(control_mode=long)),
        (operator, "Control/SetMode", pb.SetModeRequest(agc="on", area=long)),
        (operator, "Control/SetMode", loop("G1", long)),
    ):
        with pytest.raises(CallError) as caught:
            await client.signed(method, request)
        assert (caught.value.code, len(str(caught.value)) < 500, backend.acted) == ("malformed", True, [])


def test_a_unit_that_nobody_regulates_is_judged_by_the_area_of_the_order():
    who = Principal("d", frozenset(), frozenset({Right.DISPATCH}), frozenset({"West"}))
    order = pb.Schedule(area="East", unit="unheard-of", mw=[1], order_id="A")
    with pytest.raises(CallError, match="outside d's areas"):
        check_dispatch(order, who, regulated_tables())
    check_dispatch(order, replace(who, areas=frozenset({"East"})), regulated_tables())
    # and one that is regulated by where it stands, whatever area the order names
    with pytest.raises(CallError, match="outside d's areas"):
        check_dispatch(pb.Schedule(area="West", unit="G1", mw=[1]), who, regulated_tables())
