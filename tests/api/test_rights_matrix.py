"""Privilege escalation: every call of the proto, by every role, from every zone, inside and outside the areas of its sender."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import grpc
import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api.faults import CODE_KEY, CallError
from scada.control.records import Principal
from scada.security.identities import issue_identity
from scada.security.roles import DEFAULT_ROLES, METHOD_RIGHTS, Right, may_call
from scada.security.users import User
from scada.security.zones import Zone
from tests.api.rights import confine
from tests.api.rights_table import ROLE_OF, ROWS

CALLS = {
    f"{service.name}/{method.name}": method for service in pb.DESCRIPTOR.services_by_name.values() for method in service.methods
}
REMOTE = Zone("remote", frozenset({"laptop"}), frozenset(), frozenset({Right.VIEW, Right.HISTORY}))
ROOM = Zone("control-room", frozenset({"test"}), frozenset(), frozenset(Right))
PLACES = {"test": "c", "laptop": "r", "elsewhere": "v"}
"""Workstation -> its place in the table; ``c`` = the control room."""


def test_the_table_has_every_call_of_the_proto_and_no_other():
    assert set(ROWS) == set(CALLS)
    assert set(METHOD_RIGHTS) == {f"/scadapb.v1.{name}" for name in CALLS}
    assert set(ROLE_OF.values()) == set(DEFAULT_ROLES.rights)


def test_whatever_acts_is_signed():
    """A call whose request is not signed has no consequence: it says ``-`` or is of one's own session."""
    unsigned = {name for name, method in CALLS.items() if method.input_type.name != "Signed"}
    assert {name for name in unsigned if ROWS[name][2] not in ("-", "session")} == {"Channels/Trace"}


def is_expected(name: str, letter: str, place: str) -> bool:
    roles, places, act = ROWS[name]
    return letter in roles and (place == "c" or place in places or act == "session")


@pytest.mark.parametrize("letter", ROLE_OF)
@pytest.mark.parametrize("zone", [ROOM, REMOTE, None], ids=["c", "r", "v"])
def test_right_of_each_role_in_each_zone(letter, zone):
    usable = zone.rights if zone else {Right.VIEW}
    place = {"control-room": "c", "remote": "r"}[zone.name] if zone else "v"
    role = ROLE_OF[letter]
    who = Principal("x", frozenset({role}), DEFAULT_ROLES.rights[role] & usable, frozenset({"*"}))
    wrong = {name for name in CALLS if may_call(who, f"/scadapb.v1.{name}") != is_expected(name, letter, place)}
    assert wrong == set()


# ---------------------------------------------------------------------- through the gate, over the network


@pytest.fixture(scope="module")
def everyone(tmp_path_factory):
    """A folder with an identity of each role, named by its letter."""
    from scada.core.clock import VirtualClock
    from scada.security.identities import init_identities
    from scada.security.users_file import change_users

    folder, clock = tmp_path_factory.mktemp("matrix") / "keys", VirtualClock()
    init_identities(folder, clock)
    for letter, role in ROLE_OF.items():
        issue_identity(folder, letter, [role], clock)
    users = {letter: User(letter, frozenset({role}), frozenset({"*"})) for letter, role in ROLE_OF.items()}
    change_users(folder, DEFAULT_ROLES, lambda table: replace(table, users={**table.users, **users}))
    return folder


@pytest.fixture
def key_folder(everyone):
    return everyone


async def code_of(client, name: str, patience_s: float) -> str:
    """Machine code of the refusal of a call with an empty request; empty if it was let in, or a stream is silent so long."""
    method = CALLS[name]
    if method.input_type.name == "Signed":
        try:
            await client.signed(name, pb.GetModelRequest(), timeout_s=30.0)
        except CallError as error:
            return error.code
        return ""
    path, metadata = f"/scadapb.v1.{name}", (("session", client.session.session),)
    async with grpc.aio.insecure_channel(client.server) as channel:
        try:
            if method.server_streaming:
                call = channel.stream_stream(path) if method.client_streaming else channel.unary_stream(path)
                first = iter([b""]) if method.client_streaming else b""
                await asyncio.wait_for(call(first, metadata=metadata, timeout=30.0).read(), patience_s)
            elif method.client_streaming:
                await channel.stream_unary(path)(iter([b""]), metadata=metadata, timeout=30.0)
            else:
                await channel.unary_unary(path)(b"", metadata=metadata, timeout=30.0)
        except TimeoutError:
            return ""  # a stream that is let in says nothing for a while
        except grpc.aio.AioRpcError as error:
            return str(dict(error.trailing_metadata() or ()).get(CODE_KEY, error.code().name))
    return ""


@pytest.mark.parametrize("letter", ROLE_OF)
@pytest.mark.parametrize("station", PLACES)
async def test_every_call_through_the_gate(letter, station, connect, sessions, backend):
    """What is not allowed is refused for that reason and reaches nothing; what is allowed is not refused for it."""
    sessions.trust.policy = replace(sessions.trust.policy, zones=(ROOM, REMOTE))
    client = await connect(letter, station=station)
    assert client.granted.roles == [ROLE_OF[letter]]
    wrong = {}
    for name, method in CALLS.items():
        if ROWS[name][2] == "session":
            continue
        expected = is_expected(name, letter, PLACES[station])
        if expected and method.input_type.name == "Signed":
            continue  # tests of each service carry them out
        before = len(backend.acted)
        code = await code_of(client, name, 0.1 if expected else 30.0)
        if (code != "unauthorised") != expected or (not expected and len(backend.acted) > before):
            wrong[name] = code
    assert wrong == {}


# ---------------------------------------------------------------------- areas

INSIDE = {
    "Events/Acknowledge": lambda backend: pb.AcknowledgeRequest(alarm_ids=[backend.raise_alarm()]),
    "Events/Shelve": lambda _: pb.ShelveRequest(alarms=[pb.AlarmName(mrid="point-0")], duration_s=60, reason="x"),
    "Events/Unshelve": lambda _: pb.UnshelveRequest(alarms=[pb.AlarmName(mrid="point-0")]),
    "Events/SetAlarmService": lambda _: pb.AlarmServiceRequest(
        alarms=[pb.AlarmName(mrid="equipment-0")], out_of_service=True, reason="x"
    ),
    "OperatorData/Hold": lambda _: pb.HoldRequest(point="point-0", value=1.0, reason="x"),
    "OperatorData/Release": lambda _: pb.ReleaseRequest(point="point-0", reason="x"),
    "OperatorData/PlaceTag": lambda _: pb.TagRequest(object="point-0", type="defect", reason="x"),
    "OperatorData/AddNote": lambda _: pb.NoteRequest(object="equipment-0", text="x"),
    "OperatorData/Remove": lambda _: pb.RemoveRequest(mark_id=1, reason="x"),
    "Control/SetMode": lambda _: pb.SetModeRequest(agc="on", area="East"),
    "Dispatch/SendSetpoint": lambda _: pb.AreaSetpoint(area="East", interchange_mw=1, order_id="A"),
    "Dispatch/SendSchedule": lambda _: pb.Schedule(area="East", step_s=900, mw=[1], order_id="B"),
    "Dispatch/SendMode": lambda _: pb.ModeOrder(area="East", order_id="C", target="agc", mode="on"),
    "Dispatch/EditSchedule": lambda _: pb.ScheduleEdit(area="East", day="2026-11-22", reason="x", order_id="D"),
    "History/Backfill": lambda _: pb.BackfillRequest(
        source="s", reason="r", points=[pb.BackfillColumns(pid=0, time_ns=[1], value=[1.0], quality=[0])]
    ),
}
"""An order on what stands in East, for each call that the table says stays in the areas of its sender."""

BY = {"Events/SetAlarmService": "engineer", "History/Backfill": "engineer"}


def sender_of(name: str) -> str:
    return BY.get(name) or ("dispatcher" if name.startswith("Dispatch/Send") else "operator")


def test_every_order_on_objects_has_a_case():
    assert set(INSIDE) == {name for name, (_, _, act) in ROWS.items() if act == "area"} - {"Channels/Trace"}


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("areas", [(), ("West",), ("station-west",), ("Nowhere",)])
async def test_outside_the_area_nothing_reaches_the_plant(name, areas, connect, sessions, backend):
    request = INSIDE[name](backend)
    if name in ("OperatorData/Release", "OperatorData/Remove"):
        helper = await connect("leader")
        await helper.signed("OperatorData/Hold", pb.HoldRequest(point="point-0", value=1.0, reason="x"))
        await helper.signed("OperatorData/PlaceTag", pb.TagRequest(object="point-0", type="defect", reason="x"))
        request = request if name.endswith("Release") else pb.RemoveRequest(mark_id=2, reason="x")
    confine(sessions, *areas)
    stranger = await connect(sender_of(name))
    held = backend.operator_marks()
    backend.acted.clear()
    reply = code = None
    try:
        reply = await stranger.signed(name, request)
    except CallError as error:
        code = error.code
    # operator data is judged by its ledger, which answers; everything else by the gate
    assert (code or reply.code) == "no_area"
    assert [each.mark for each in backend.operator_marks()] == [each.mark for each in held]
    if not name.startswith("OperatorData/"):
        assert backend.acted == []


@pytest.mark.parametrize("name", INSIDE)
async def test_inside_the_area_the_same_order_arrives(name, connect, sessions, backend):
    """So that the test above cannot pass for another reason."""
    if name in ("OperatorData/Release", "OperatorData/Remove"):
        helper = await connect("leader")
        await helper.signed("OperatorData/Hold", pb.HoldRequest(point="point-0", value=1.0, reason="x"))
        await helper.signed("OperatorData/PlaceTag", pb.TagRequest(object="point-0", type="defect", reason="x"))
    request = pb.RemoveRequest(mark_id=2, reason="x") if name.endswith("Remove") else INSIDE[name](backend)
    confine(sessions, "East")
    local = await connect(sender_of(name))
    backend.acted.clear()
    with suppress(AttributeError):
        reply = await local.signed(name, request)
        assert getattr(reply, "code", "") != "no_area"
    assert len(backend.acted) == 1


async def test_a_trace_is_of_a_channel_in_the_area(connect, sessions):
    confine(sessions, "West")
    client = await connect("engineer")
    stream = client.trace(pb.ChannelTraceRequest(channel="East RTU"))
    with pytest.raises(CallError, match="outside"):
        await anext(stream)
