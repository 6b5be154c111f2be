"""The hub by itself: shared bytes, order, bounds, gaps."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.api.faults import CallError
from scada.api.frames import decode_frame
from scada.api.hub import MAX_CREDIT, Hub
from scada.core.batch import PointBatch, RecordFlag
from scada.rtdb.changes import ChangeSet

STATUSES = range(8, 12)


@pytest.fixture
async def hub(backend):
    hub = Hub(backend)
    hub.start()
    yield hub
    hub.stop()


async def test_the_same_bytes_go_to_all_subscribers_of_a_view(hub, backend):
    subscribers = [hub.open(None, 10) for _ in range(5)] + [hub.open(np.array([1, 2], dtype=np.uint32), 10)]
    for subscriber in subscribers:
        hub.give(subscriber, 9)
    full = [await subscriber.next() for subscriber in subscribers]
    assert len({id(frame) for frame in full[:5]}) == 1
    backend.apply([1], [5.0])
    frames = [await subscriber.next() for subscriber in subscribers]
    assert len({id(frame) for frame in frames[:5]}) == 1
    assert decode_frame(frames[0])[1].value.tolist() == decode_frame(frames[5])[1].value.tolist() == [5.0]


async def test_credit_is_bounded(hub):
    subscriber = hub.open(None, 10)
    hub.give(subscriber, 2**32 - 1)
    assert subscriber.credit == MAX_CREDIT
    hub.give(subscriber, 1)
    assert subscriber.credit == MAX_CREDIT


async def test_nothing_is_sent_after_a_fault(make_backend):
    backend = make_backend()
    hub = Hub(backend, status_bound=3)
    hub._hand_over = hub._feed
    hub.start()
    subscriber = hub.open(None, 10)
    hub.give(subscriber, 1)
    hub._tick(subscriber.view)
    await subscriber.next()
    backend.switch(8, 1, 2, 1, 2)
    hub._tick(subscriber.view)
    backend.switch(8, 1)
    hub.give(subscriber, 1)
    hub._tick(subscriber.view)
    with pytest.raises(CallError, match="more than 3 status changes wait"):
        await subscriber.next()
    hub.stop()


async def test_a_missing_change_set_starts_every_view_again(hub, backend):
    subscriber = hub.open(None, 10)
    hub.give(subscriber, 5)
    await subscriber.next()
    records = PointBatch.of([1], [2.0], received_at=1).records
    hub._feed(ChangeSet(7, records, np.array([1]), 1))
    with pytest.raises(CallError, match=r"changes 1\.\.6 did not arrive"):
        await subscriber.next()
    again = hub.open(None, 10)
    hub.give(again, 1)
    assert decode_frame(await again.next())[0].full


async def test_a_change_set_that_the_snapshot_holds_already_is_not_sent_twice(hub, backend):
    backend.apply([1, 2], [1.0, 2.0])
    await asyncio.sleep(0)
    subscriber = hub.open(None, 10)
    hub.give(subscriber, 5)
    assert decode_frame(await subscriber.next())[0].seq == 2
    records = PointBatch.of([1, 2, 8], [1.0, 2.0, 1.0], received_at=1).records
    hub._feed(ChangeSet(1, records, np.array([1, 1, 1]), 1))
    frame, columns = decode_frame(await subscriber.next())
    assert (frame.seq, columns.pid.tolist()) == (3, [8])


async def test_what_a_hold_hides_and_what_comes_late_is_not_shown(hub):
    subscriber = hub.open(None, 10)
    hub.give(subscriber, 5)
    await subscriber.next()
    batch = PointBatch.of([1, 8, 2, 3], [1.0, 1.0, 2.0, 3.0], received_at=1)
    aside = RecordFlag.EVENT | RecordFlag.HELD, RecordFlag.BACKFILL
    batch.records["flags"] = [0, aside[0], aside[1], 0]
    hub._feed(ChangeSet(1, batch.records, np.ones(4, dtype=np.int64), 1))
    frame, columns = decode_frame(await subscriber.next())
    assert (frame.seq, frame.conflated) == (4, 0)
    assert columns.pid.tolist() == [1, 3]
    again = hub.open(None, 10)
    hub.give(again, 1)
    _, columns = decode_frame(await again.next())
    assert np.isnan(columns.value[[2, 8]]).all()


async def test_a_changed_model_starts_every_view_again(hub, backend):
    subscriber = hub.open(None, 10)
    hub.give(subscriber, 5)
    await subscriber.next()
    backend.tables = type(backend.tables)(**(vars(backend.tables) | {"version": "v2"}))
    backend.apply([1], [1.0])
    with pytest.raises(CallError, match="the model was changed"):
        await subscriber.next()


BATCH = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 3)), min_size=1, max_size=6)
STEP = st.one_of(BATCH, st.integers(1, 3), st.just("tick"))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=25))
async def test_whatever_the_credit_status_comes_in_order_and_analogs_end_right(make_backend, steps):
    """Batches, credits and ticks in any order: no status change is lost, doubled or reordered; the client ends with the truth."""
    backend = make_backend()
    hub = Hub(backend)
    hub._hand_over = hub._feed
    hub.start()
    subscriber = hub.open(None, 10)
    client, seen, expected = {}, [], []
    analogs_made = analogs_accounted = 0
    for step in [*steps, 1, "tick", 1, "tick"]:
        if isinstance(step, int):
            hub.give(subscriber, step)
        elif step == "tick":
            hub._tick(subscriber.view)
        else:
            if not subscriber.fresh:
                expected += [(pid, value) for pid, value in step if pid in STATUSES]
                analogs_made += sum(pid not in STATUSES for pid, _ in step)
            backend.apply(*zip(*step, strict=True))
        while subscriber._outbox:
            frame, columns = decode_frame(await subscriber.next())
            rows = list(zip(columns.pid.tolist(), columns.value.tolist(), strict=True))
            client.update(rows)
            if not frame.full:
                seen += [row for row in rows if row[0] in STATUSES]
                analogs_accounted += frame.conflated + sum(pid not in STATUSES for pid, _ in rows)
    hub.stop()
    assert seen == expected
    assert analogs_accounted == analogs_made
    np.testing.assert_array_equal([client[pid] for pid in range(12)], backend.value)


def test_a_frame_due_at_once_is_sent_on_the_servers_loop(make_backend):
    """uvloop's handle of what is due at once knows no time; two changes in one turn of the loop must not need it."""

    async def follow():
        backend = make_backend()
        hub = Hub(backend)
        hub._hand_over = hub._feed
        hub.start()
        subscriber = hub.open(None, 10)
        hub.give(subscriber, 4)
        await subscriber.next()
        await asyncio.sleep(0.02)  # longer than the period: the next frame is due at once
        backend.apply([1], [5.0])
        backend.apply([2], [6.0])
        frame = await asyncio.wait_for(subscriber.next(), 5)
        hub.stop()
        return frame

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert decode_frame(runner.run(follow()))[1].pid.tolist() == [1, 2]


async def test_credit_without_anything_to_send_does_not_put_off_the_next_change(hub, backend):
    subscriber = hub.open(None, 400)
    hub.give(subscriber, 1)
    await subscriber.next()
    shown = subscriber.view.last_tick
    subscriber.view.period_s = 0.01
    hub.give(subscriber, 1)
    await asyncio.sleep(0.03)
    assert subscriber.view.last_tick == shown
    backend.apply([1], [5.0])
    await asyncio.wait_for(subscriber.next(), 5)
