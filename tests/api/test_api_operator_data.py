"""Operator data over real loopback gRPC, with the real rules behind it."""

from __future__ import annotations

import asyncio
import math

import grpc
import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api.faults import CallError
from scada.control.operator_data import MarkKind
from scada.control.tags import TAG_TYPES
from scada.core.quality import Quality
from tests.api.rights import confine


async def marks(client, station=""):
    found = await client.call("OperatorData/List", pb.ListOperatorDataRequest(station=station))
    return list(found.marks)


def test_mark_kinds_have_the_same_numbers_on_the_wire():
    assert {kind.name: kind.value for kind in MarkKind} == {
        name.removeprefix("MARK_KIND_"): number for name, number in pb.MarkKind.items() if number
    }


async def test_a_value_is_substituted_shown_and_released(operator, backend):
    backend.apply([2], [41.0])
    request = pb.HoldRequest(point="point-2", value=40.0, reason="transducer faulty")
    reply = await operator.signed("OperatorData/Hold", request)
    assert (reply.accepted, reply.code, reply.mark_id) == (True, "", 1)
    frame = await operator.call("Realtime/Read", pb.ReadRequest(pids=[2]))
    assert (frame.value[0], frame.quality[0]) == (40.0, int(Quality.MANUAL | Quality.SUBSTITUTED))
    (mark,) = await marks(operator)
    assert (mark.kind, mark.mrid, mark.pid, mark.station) == (pb.MARK_KIND_SUBSTITUTE, "point-2", 2, "East")
    assert (mark.value, mark.field_value, mark.reason) == (40.0, 41.0, "transducer faulty")
    assert (mark.user, mark.workstation, mark.placed_ns) == ("operator", "test", backend.clock.now_ns())
    assert backend.rows[0].evidence == backend.acted[0][3] != b""

    done = await operator.signed("OperatorData/Release", pb.ReleaseRequest(point="point-2", reason="repaired"))
    assert done.accepted
    assert await marks(operator) == []
    frame = await operator.call("Realtime/Read", pb.ReadRequest(pids=[2]))
    assert (frame.value[0], frame.quality[0]) == (41.0, 0)
    assert [event.key for event in backend.stored[-2:]] == ["operator.substituted", "operator.released"]


async def test_tags_and_notes_come_and_go_and_are_listed_by_station(operator, backend):
    tag = pb.TagRequest(object="equipment-8", type="do_not_close", reason="crew on the line")
    first = await operator.signed("OperatorData/PlaceTag", tag)
    second = await operator.signed("OperatorData/PlaceTag", tag)
    note = await operator.signed("OperatorData/AddNote", pb.NoteRequest(object="station-west", text="call 2211 first"))
    assert [reply.mark_id for reply in (first, second, note)] == [1, 2, 3]
    assert [mark.tag_type for mark in await marks(operator, "East")] == ["do_not_close"] * 2
    assert [mark.reason for mark in await marks(operator, "West")] == ["call 2211 first"]
    for number, left in ((1, [2, 3]), (3, [2])):
        done = await operator.signed("OperatorData/Remove", pb.RemoveRequest(mark_id=number, reason="done"))
        assert done.accepted
        assert [mark.mark_id for mark in await marks(operator)] == left
    again = await operator.signed("OperatorData/Remove", pb.RemoveRequest(mark_id=1, reason="done"))
    assert (again.accepted, again.code) == (False, "unknown_mark")


async def test_the_list_says_what_each_type_inhibits_on_both_servers(operator):
    for found in (
        await operator.call("OperatorData/List", pb.ListOperatorDataRequest()),
        pb.OperatorMarks.FromString(await operator._unary(operator.control, "OperatorData/List", b"", 5.0)),
    ):
        types = {each.key: (each.inhibits_control, each.inhibits_alarms) for each in found.tag_types}
        assert types == {key: (str(each.control), each.alarms) for key, each in TAG_TYPES.items()}
        assert types["maintenance"] == ("all", True)
        assert types["do_not_close"] == ("close", False)


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("Hold", pb.HoldRequest(point="point-2", value=math.nan, reason="x"), "bad_value"),
        ("Hold", pb.HoldRequest(point="point-2", value=math.inf, reason="x"), "bad_value"),
        ("Hold", pb.HoldRequest(point="point-8", value=3, reason="x"), "bad_value"),
        ("Hold", pb.HoldRequest(point="point-8", value=1.5, reason="x"), "bad_value"),
        ("Hold", pb.HoldRequest(point="point-2", value=1), "no_reason"),
        ("Hold", pb.HoldRequest(point="point-2", value=1, reason=" \t"), "no_reason"),
        ("Hold", pb.HoldRequest(point="point-2", value=1, reason="x" * 501), "too_long"),
        ("Hold", pb.HoldRequest(point="point-2", value=1, reason="a\x1b[31mb"), "bad_text"),
        ("Hold", pb.HoldRequest(point="nowhere", value=1, reason="x"), "unknown_point"),
        ("Hold", pb.HoldRequest(point="equipment-2", value=1, reason="x"), "unknown_point"),
        ("Release", pb.ReleaseRequest(point="point-2", reason="x"), "not_held"),
        ("Release", pb.ReleaseRequest(point="nowhere", reason="x"), "not_held"),
        ("PlaceTag", pb.TagRequest(object="nowhere", type="do_not_close", reason="x"), "unknown_object"),
        ("PlaceTag", pb.TagRequest(object="point-2", type="do_nothing", reason="x"), "unknown_type"),
        ("PlaceTag", pb.TagRequest(object="breaker", type="do_not_close", reason="x"), "not_taggable"),
        ("PlaceTag", pb.TagRequest(object="point-2", type="do_not_close"), "no_reason"),
        ("AddNote", pb.NoteRequest(object="point-2"), "no_reason"),
        ("AddNote", pb.NoteRequest(object="", text="x"), "unknown_object"),
        ("Remove", pb.RemoveRequest(mark_id=2**64 - 1, reason="x"), "unknown_mark"),
    ],
)
async def test_bad_orders_are_refused_with_a_code_and_change_nothing(operator, backend, method, request_, code):
    reply = await operator.signed(f"OperatorData/{method}", request_)
    assert (reply.accepted, reply.code, reply.mark_id) == (False, code, 0)
    assert reply.reason
    assert await marks(operator) == []
    assert backend.behind == {}
    assert backend.rows[-1].code == f"refused:{code}"


async def test_a_value_that_was_forgotten_is_not_zero(operator, backend):
    with pytest.raises(CallError, match="value") as caught:
        await operator.signed("OperatorData/Hold", pb.HoldRequest(point="point-2", reason="x"))
    assert caught.value.code == "malformed"
    assert backend.acted == []
    assert (await operator.signed("OperatorData/Hold", pb.HoldRequest(point="point-2", value=0.0, reason="x"))).accepted


# ---------------------------------------------------------------- who may not

ORDERS = {
    "Hold": pb.HoldRequest(point="point-2", value=1, reason="x"),
    "Release": pb.ReleaseRequest(point="point-2", reason="x"),
    "PlaceTag": pb.TagRequest(object="point-2", type="defect", reason="x"),
    "AddNote": pb.NoteRequest(object="point-2", text="x"),
    "Remove": pb.RemoveRequest(mark_id=1, reason="x"),
}


@pytest.mark.parametrize("method", ORDERS)
@pytest.mark.parametrize("name", ["viewer", "engineer", "dispatcher"])
async def test_without_the_right_nothing_reaches_the_ledger(connect, backend, method, name):
    client = await connect(name)
    with pytest.raises(CallError) as caught:
        await client.signed(f"OperatorData/{method}", ORDERS[method])
    assert (caught.value.status, caught.value.code) == (grpc.StatusCode.PERMISSION_DENIED, "unauthorised")
    assert backend.acted == []
    assert backend.stored[-1].key == "security.refused"


async def test_who_may_look_may_list(connect):
    for name in ("viewer", "dispatcher", "engineer"):
        assert await marks(await connect(name)) == []


@pytest.mark.parametrize("areas", [{"North"}, {"West"}, set()])
async def test_outside_the_area_nothing_is_placed_or_removed(sessions, connect, backend, areas):
    clerk = await connect("operator")
    placed = await clerk.signed("OperatorData/PlaceTag", pb.TagRequest(object="station-east", type="defect", reason="x"))
    await clerk.signed("OperatorData/Hold", ORDERS["Hold"])
    confine(sessions, *areas)
    stranger = await connect("operator")
    for method, request in (ORDERS | {"Remove": pb.RemoveRequest(mark_id=placed.mark_id, reason="x")}).items():
        reply = await stranger.signed(f"OperatorData/{method}", request)
        assert (reply.accepted, reply.code) == (False, "no_area"), method
        assert backend.rows[-1].code == "refused:no_area"
    assert len(await marks(stranger)) == 2


@pytest.mark.parametrize("method", ORDERS)
async def test_forged_replayed_and_unsigned_orders_are_refused(operator, backend, method):
    path = f"/scadapb.v1.OperatorData/{method}"

    async def refused(raw: bytes) -> str:
        with pytest.raises(CallError) as caught:
            await operator._unary(operator.control, f"OperatorData/{method}", raw, 5.0)
        return caught.value.code

    signed = pb.Signed.FromString(operator.session.seal(path, ORDERS[method]))
    other = pb.HoldRequest(point="point-3", value=9, reason="forged").SerializeToString()
    forged = pb.Signed(header=signed.header, body=other, sig=signed.sig, mac=signed.mac)
    assert await refused(forged.SerializeToString()) == "bad_mac"
    assert await refused(pb.Signed(header=signed.header, body=signed.body).SerializeToString()) == "unsigned"
    assert await refused(operator.session.seal("/scadapb.v1.Control/Cancel", ORDERS[method])) == "wrong_method"
    assert backend.acted == []
    envelope = operator.session.seal(path, ORDERS[method])
    await operator._unary(operator.control, f"OperatorData/{method}", envelope, 5.0)
    assert await refused(envelope) == "replayed"
    assert len(backend.acted) == 1
    if method == "Hold":
        assert backend.rows[0].evidence == envelope


async def test_orders_are_not_served_where_the_viewers_are(operator):
    with pytest.raises(CallError) as caught:
        await operator._unary(operator.server, "OperatorData/Hold", b"", 5.0)
    assert caught.value.status == grpc.StatusCode.UNIMPLEMENTED


async def test_two_operators_at_once(connect, backend):
    first, second = await connect("operator"), await connect("operator")
    backend.apply([2], [41.0])
    orders = [
        client.signed("OperatorData/Hold", pb.HoldRequest(point="point-2", value=value, reason="x"))
        for client, value in ((first, 1.0), (second, 2.0))
    ]
    replies = await asyncio.gather(*orders)
    assert sorted((reply.mark_id, reply.code) for reply in replies) == [(1, ""), (2, "replaced")]
    (mark,) = await marks(first)
    assert mark.mark_id == 2
    assert backend.value[2] == mark.value
    release = pb.ReleaseRequest(point="point-2", reason="repaired")
    done = await asyncio.gather(*(client.signed("OperatorData/Release", release) for client in (first, second)))
    assert sorted(reply.code for reply in done) == ["", "not_held"]
    assert backend.value[2] == 41.0
