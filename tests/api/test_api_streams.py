"""Streams over real loopback gRPC: full frame, deltas, credit, heartbeat, conflation, gap-free events."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing

import grpc
import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api import event_feed, hub
from scada.api.faults import CallError
from scada.events.records import EventKind


async def rows(stream, *, until_seq: int):
    """Rows and conflated count of all frames up to a sequence number."""
    found, conflated = [], 0
    async for frame in stream:
        found += zip(frame.pid, frame.value, strict=True)
        conflated += frame.conflated
        if frame.seq >= until_seq:
            return found, conflated
    raise AssertionError("the stream ended")


async def test_full_frame_then_deltas_then_heartbeat(operator, backend):
    backend.apply([0, 8], [1.0, 2.0])
    async with aclosing(operator.frames(period_ms=10)) as stream:
        full = await anext(stream)
        assert full.full
        assert (full.seq, len(full.pid), full.value[0]) == (2, 12, 1.0)
        backend.apply([3], [7.0])
        delta = await anext(stream)
        assert (delta.full, list(delta.pid), list(delta.value), delta.seq) == (False, [3], [7.0], 3)
        beat = await asyncio.wait_for(anext(stream), 3.0)  # within 1 s but for a busy test machine
        assert (len(beat.pid), beat.seq, beat.full) == (0, 3, False)


def test_heartbeats_are_less_than_a_second_apart():
    assert 2 * hub.TICK_S < 1.0
    assert event_feed.HEARTBEAT_S < 1.0
    assert hub.PERIOD_MS[-1] / 1000 < hub.TICK_S


async def test_only_the_points_asked_for(operator, backend):
    async with aclosing(operator.frames([2, 9, 2], period_ms=10)) as stream:
        assert list((await anext(stream)).pid) == [2, 9]
        backend.apply([1, 2, 3], [1.0, 2.0, 3.0])
        assert list((await anext(stream)).pid) == [2]


async def test_unknown_point_and_silence(operator):
    with pytest.raises(CallError, match="point 50 is not in the model"):
        await anext(operator.frames([50]))

    async def nothing():
        return
        yield b""

    with pytest.raises(CallError, match="did not say what it wants"):
        await anext(operator.relay_stream("Realtime/Subscribe", nothing()))


async def test_no_frame_without_credit(operator, backend):
    more = asyncio.Queue()

    async def requests():
        yield pb.SubscribeRequest(credit=1, period_ms=10).SerializeToString()
        while True:
            yield pb.SubscribeRequest(credit=await more.get()).SerializeToString()

    async with aclosing(operator.relay_stream("Realtime/Subscribe", requests())) as stream:
        assert pb.PointFrame.FromString(await anext(stream)).full
        waiting = asyncio.ensure_future(anext(stream))
        for value in range(5):
            backend.apply([1, 2], [value, value])
            backend.switch(8, 1, 2)
        await asyncio.sleep(0.1)
        assert not waiting.done()
        more.put_nowait(1)
        frame = pb.PointFrame.FromString(await waiting)
        assert list(zip(frame.pid, frame.value, strict=True)) == [(8, 1), (8, 2)] * 5 + [(1, 4), (2, 4)]
        assert frame.conflated == 8
        assert frame.seq == 20


async def test_a_slow_viewer_gets_latest_analogs_and_every_status(operator, backend):
    async with aclosing(operator.frames(period_ms=10, credit=1)) as slow, aclosing(operator.frames(period_ms=10)) as quick:
        await anext(slow)
        await anext(quick)

        async def field():
            for step in range(40):
                backend.apply([0, 1], [step, -step])
                backend.switch(8 + step % 4, 1 + step % 2)
                await asyncio.sleep(0.002)

        quick_rows, _ = (await asyncio.gather(rows(quick, until_seq=120), field()))[0]
        slow_rows, conflated = await rows(slow, until_seq=120)
    expected = [(8 + step % 4, 1 + step % 2) for step in range(40)]
    for found in (quick_rows, slow_rows):
        assert [row for row in found if row[0] >= 8] == expected
        assert {pid: value for pid, value in found if pid < 2} == {0: 39, 1: -39}
    analogs = [row for row in slow_rows if row[0] < 2]
    assert conflated == 80 - len(analogs) > 0


async def test_a_viewer_too_slow_for_its_status_changes_must_resync(operator, backend, server):
    server._hub._status_bound = 50
    async with aclosing(operator.frames(period_ms=10, credit=1)) as stream:
        await anext(stream)
        backend.switch(8, 1)
        await asyncio.sleep(0.05)
        backend.switch(8, *([1, 2] * 30))
        await asyncio.sleep(0.05)
        with pytest.raises(CallError) as caught:
            await rows(stream, until_seq=61)
    assert (caught.value.status, caught.value.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "resync")


async def test_watch_goes_on_with_a_full_frame(operator, backend, server):
    server._hub._status_bound = 50
    async with aclosing(operator.watch(period_ms=10, credit=1)) as stream:
        await anext(stream)
        backend.switch(8, 1)
        await asyncio.sleep(0.05)
        backend.switch(8, *([1, 2] * 30))
        await asyncio.sleep(0.05)
        frame = await anext(stream)
        while not frame.full:
            frame = await anext(stream)
        assert (frame.seq, frame.value[8]) == (61, 2.0)


async def test_a_stream_ends_with_its_session(operator, backend):
    stream = operator.frames(period_ms=10)
    await anext(stream)
    await operator._unary(operator.control, "Session/Logout", b"", 2.0)
    with pytest.raises(CallError) as caught:
        async for _ in stream:
            pass
    assert caught.value.status is grpc.StatusCode.UNAUTHENTICATED


async def take(stream, count: int):
    found = []
    async for page in stream:
        found += [event.event_id for event in page.events]
        if len(found) >= count:
            return found
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("after_id", [0, 5, 28])
async def test_events_are_gap_free_from_any_id_then_live(operator, backend, server, monkeypatch, after_id):
    """The newest ten events come from memory, older ones from the log."""
    monkeypatch.setattr(event_feed, "PAGE", 7)
    server._events._recent = deque(maxlen=10)
    for _ in range(30):
        backend.raise_alarm()
    last = len(backend.stored)
    async with aclosing(operator.follow(after_id)) as stream:
        assert await take(stream, last - after_id) == list(range(after_id + 1, last + 1))
        for _ in range(30):
            backend.raise_alarm()
        assert await take(stream, 30) == list(range(last + 1, last + 31))
        page = await anext(stream)
        assert (len(page.events), page.last_event_id) == (0, last + 30)


async def test_events_of_some_kinds_tell_how_far_they_are(operator, backend):
    first = len(backend.stored)
    async with aclosing(operator.follow(first, [EventKind.LIMIT_VIOLATED])) as stream:
        backend.report(backend.stored[0])
        backend.raise_alarm()
        assert await take(stream, 1) == [first + 2]


async def test_following_an_event_that_does_not_exist(operator):
    with pytest.raises(CallError, match="event 999 does not exist") as caught:
        await anext(operator.follow(999))
    assert caught.value.code == "unknown_event"
