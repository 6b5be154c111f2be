"""The service Channels over loopback gRPC."""

import asyncio
from contextlib import aclosing

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.actors.tracing import QUEUE_FRAMES
from scada.api import channel_services
from scada.api.faults import CallError
from tests.api.rights import confine

TESTFR = bytes.fromhex("680443000000")
VALUE = bytes.fromhex("680e0000000001010300010001000001")


async def opened(backend):
    for _ in range(500):
        if backend.traces:
            return backend.traces[0]
        await asyncio.sleep(0.01)
    raise AssertionError("no trace was opened")


async def test_detail(operator):
    found = await operator.call("Channels/GetChannel", pb.ChannelQuery(channel="East RTU"))
    assert (found.status.name, found.links[0].name, found.disconnects[0].reason) == ("East RTU", "A", "peer closed")


async def test_an_unknown_channel_is_told_with_those_that_exist(operator):
    with pytest.raises(CallError, match=r"no channel 'Nowhere'.*channels are East RTU"):
        await operator.call("Channels/GetChannel", pb.ChannelQuery(channel="Nowhere"))
    async with aclosing(operator.trace(pb.ChannelTraceRequest(channel="Nowhere"))) as messages:
        with pytest.raises(CallError, match="channels are East RTU"):
            await anext(messages)


async def test_frames_come_decoded_and_the_reader_is_told_what_it_missed(operator, backend):
    async with aclosing(operator.trace(pb.ChannelTraceRequest(channel="East RTU", values=True))) as messages:
        assert not (await anext(messages)).frames, "the first message says at once that the trace is open"
        queue = await opened(backend)
        for n in range(QUEUE_FRAMES + 7):
            queue.put("B", True, n, VALUE)
        message = await anext(messages)
        assert message.missed == 7
        first = message.frames[0]
        assert (first.time_ns, first.link, first.received, first.data) == (7, "B", True, VALUE)
        assert first.text == "I N(S)=0 N(R)=0 M_SP_NA_1 spontaneous CA 1: 1=on"
        assert len(message.frames) < QUEUE_FRAMES, "no reader makes the server decode everything at once"
    for _ in range(500):
        if not backend.traces:
            break
        await asyncio.sleep(0.01)
    assert backend.traces == [], "who goes away no longer listens"


async def test_values_are_left_out_unless_asked(operator, backend):
    async with aclosing(operator.trace(pb.ChannelTraceRequest(channel="East RTU"))) as messages:
        await anext(messages)
        (await opened(backend)).put("", False, 1, VALUE + TESTFR)
        assert [frame.data for frame in (await anext(messages)).frames] == [TESTFR]


async def test_so_many_traces_and_no_more(operator, monkeypatch):
    monkeypatch.setattr(channel_services, "MOST_TRACES", 1)
    request = pb.ChannelTraceRequest(channel="East RTU")
    async with aclosing(operator.trace(request)) as first:
        await anext(first)
        async with aclosing(operator.trace(request)) as second:
            with pytest.raises(CallError, match="1 traces are open"):
                await anext(second)


async def test_rights(connect):
    viewer = await connect("viewer")
    assert (await viewer.call("Channels/GetChannel", pb.ChannelQuery(channel="East RTU"))).lost_frames == 4
    assert not (await viewer.call("Channels/GetUpstream", pb.GetUpstreamRequest())).stations
    with pytest.raises(CallError, match="no right"):
        await viewer.call("Channels/ListRecordings", pb.ListRecordingsRequest())
    async with aclosing(viewer.trace(pb.ChannelTraceRequest(channel="East RTU"))) as messages:
        with pytest.raises(CallError, match="no right"):
            await anext(messages)


async def test_a_trace_shows_nothing_outside_the_areas(sessions, connect, backend):
    confine(sessions, "West")
    async with aclosing((await connect("operator")).trace(pb.ChannelTraceRequest(channel="East RTU"))) as messages:
        with pytest.raises(CallError, match="East RTU is outside operator's areas"):
            await anext(messages)
    assert not backend.traces


@pytest.mark.parametrize(
    ("action", "arguments", "needed"),
    [
        ("interrogate", {"group": "2"}, {"operator", "engineer"}),
        ("read_counters", {"mode": "read"}, {"operator", "engineer"}),
        ("read_counters", {"mode": "freeze_reset"}, {"engineer"}),
        ("reset_process", {}, {"engineer"}),
        ("an_order_nobody_knows", {}, {"engineer"}),
    ],
)
async def test_what_acts_on_a_device_is_an_engineers(connect, backend, action, arguments, needed):
    command = pb.ChannelCommand(channel="East RTU", action=action, arguments=arguments)
    for name in ("operator", "engineer", "viewer"):
        client = await connect(name)
        if name in needed:
            assert (await client.signed("Control/SetMode", pb.SetModeRequest(channel=command))).accepted
        else:
            with pytest.raises(CallError, match="no right"):
                await client.signed("Control/SetMode", pb.SetModeRequest(channel=command))
    assert len(backend.acted) == len(needed)
