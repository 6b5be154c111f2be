"""The feed: status before analogs, order kept, nothing told to a station before it is safe; on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.actors import wire as wiring
from scada.actors.base import Address
from scada.actors.messages import Apply, LinkChanged, MarkQuality
from scada.actors.wire import BEHIND_RECORDS, LOST, OUTSTANDING_RECORDS, ChannelSink, Feed, Wire
from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import VirtualClock
from scada.protocols.driver import LinkState


def test_status_changes_in_one_turn_of_the_loop_leave_together_and_at_once():
    wire, rtdb = Wire(), Address("rtdb")
    assert isinstance(wire.loop, uvloop.Loop)
    feed = Feed(wire, rtdb)

    async def burst():
        for pid in range(3):
            feed.deliver(PointBatch.of([pid], [1.0], received_at=1, flags=RecordFlag.EVENT))

    try:
        wire.start()
        wire.submit(burst()).result(timeout=5)
        sent = rtdb.mailbox.get().message
    finally:
        wire.stop()
    assert [batch.records["pid"].tolist() for batch in sent.batches] == [[0], [1], [2]]
    assert rtdb.mailbox.empty()


def test_a_database_that_stands_still_does_not_stop_the_wire():
    """Its mailbox takes no more; links must be tested and commands sent all the same, and nothing may be lost or overtaken."""
    wire, rtdb = Wire(), Address("rtdb")
    rtdb.mailbox.capacity = 4
    feed = Feed(wire, rtdb)

    async def turns():
        for value in range(10):
            feed.deliver(change(3, float(value)))
            await asyncio.sleep(0.001)
        feed.mark(np.array([3], np.uint32), LOST)
        mark = feed.deliver(change(3, 10.0))
        await asyncio.sleep(0.001)
        return asyncio.ensure_future(feed.committed(mark))

    async def until(waiter):
        await waiter

    told = []
    try:
        wire.start()
        waiter = wire.submit(turns()).result(timeout=5)
        while len(told) < 12:
            message = rtdb.mailbox.get().message
            told.append(None if isinstance(message, MarkQuality) else message.batches[0].records["value"][0])
            assert not waiter.done()
            if isinstance(message, Apply):
                message.done()
        wire.submit(until(waiter)).result(timeout=5)
    finally:
        rtdb.mailbox.close()
        wire.stop()
    assert told == [*range(10), None, 10]


class Database:
    """Stands for the database's actor: takes what it is told and commits when the test says so."""

    def __init__(self):
        self.told = []
        self.committed = 0

    def tell(self, message):
        self.told.append(message)

    def offer(self, message):
        self.told.append(message)
        return True

    async def commit(self, count=1 << 30):
        """Commit the next hand-overs; the feed hears of it in its loop."""
        for message in self.told[self.committed : self.committed + count]:
            if isinstance(message, Apply):
                message.done()
            self.committed += 1
        for _ in range(3):
            await asyncio.sleep(0)

    async def commit_all(self):
        """Let everything leave, and commit it."""
        while True:
            await asyncio.sleep(0.012)
            if self.committed == len(self.told):
                return
            await self.commit()

    def values(self):
        """(pid, value) as handed over, quality marks as (pid, None)."""
        found = []
        for message in self.told:
            if isinstance(message, Apply):
                for batch in message.batches:
                    found += zip(batch.records["pid"].tolist(), batch.records["value"].tolist(), strict=True)
            else:
                found += [(pid, None) for pid in message.pids.tolist()]
        return found

    def outstanding(self):
        waiting = [message for message in self.told[self.committed :] if isinstance(message, Apply)]
        return sum(len(batch) for message in waiting for batch in message.batches)


def analogs(pids, value=0.0):
    return PointBatch.of(pids, value, received_at=1)


def change(pid, value):
    return PointBatch.of([pid], [value], received_at=1, flags=RecordFlag.EVENT)


@pytest.fixture
async def rig():
    database = Database()
    return SimpleNamespace(feed=Feed(SimpleNamespace(loop=asyncio.get_running_loop()), database), database=database)


async def fill(rig, pids=range(1000, 1100)):
    """Bring the database behind: no more analogs are handed over."""
    while rig.database.outstanding() < OUTSTANDING_RECORDS:
        rig.feed.deliver(analogs(list(pids) * 50))
    return rig.database.outstanding()


async def test_a_status_change_passes_the_analogs_that_wait_for_a_slow_database(rig):
    outstanding = await fill(rig)
    for turn in range(4):
        rig.feed.deliver(analogs(range(2000, 4000), turn))
    assert rig.database.outstanding() == outstanding  # held back
    rig.feed.deliver(change(7, 1.0))
    await asyncio.sleep(0.001)
    assert rig.database.values()[-1] == (7, 1.0)
    assert rig.database.outstanding() == outstanding + 1
    await rig.database.commit()
    await rig.database.commit()
    assert len(rig.database.values()) == outstanding + 1 + 8000


async def test_outstanding_analogs_stay_bounded_while_they_are_released(rig):
    await fill(rig)
    for turn in range(12):
        rig.feed.deliver(analogs(range(2000, 4000), turn))
    largest = 0
    while rig.database.committed < len(rig.database.told):
        await rig.database.commit(1)
        largest = max(largest, rig.database.outstanding())
    assert largest < OUTSTANDING_RECORDS + 5000
    assert [value for pid, value in rig.database.values() if pid == 2000] == list(range(12))


async def test_what_waits_of_the_same_point_goes_before_its_change(rig):
    await fill(rig)
    rig.feed.deliver(PointBatch.of([*range(2000, 4000), 7], 0.0, received_at=1))  # e.g. an answer to an interrogation
    rig.feed.deliver(change(7, 1.0))
    rig.feed.deliver(analogs([7], 2.0))
    await asyncio.sleep(0.001)
    assert rig.database.values()[-3:] == [(7, 0.0), (7, 1.0), (7, 2.0)]
    await rig.database.commit_all()
    assert sorted(pid for pid, _ in rig.database.values()[-2000:]) == list(range(2000, 4000))


async def test_a_change_looks_only_into_the_batches_that_hold_its_point(rig, monkeypatch):
    """Thousands of small batches may wait; to look into each of them at each change would stop the wire."""
    await fill(rig)
    for pid in range(2000, 2500):
        rig.feed.deliver(analogs([pid, pid + 1]))
    await asyncio.sleep(0.012)
    looked, part = [], wiring._part
    monkeypatch.setattr(wiring, "_part", lambda batch, chosen: looked.append(batch) or part(batch, chosen))
    rig.feed.deliver(change(2100, 1.0))
    await asyncio.sleep(0.001)
    assert rig.database.values()[-3:] == [(2100, 0.0), (2100, 0.0), (2100, 1.0)]
    assert len(looked) == 6
    await rig.database.commit_all()
    assert len([pid for pid, _ in rig.database.values() if pid in range(2000, 2501)]) == 1001


async def test_reading_pauses_while_too_much_is_taken_and_goes_on_at_half(rig):
    waits = asyncio.ensure_future(rig.feed.ready())
    await asyncio.wait_for(waits, 1)
    for _ in range(BEHIND_RECORDS // 2000 + 1):
        rig.feed.deliver(analogs(range(2000)))
    waits = asyncio.ensure_future(rig.feed.ready())
    await asyncio.sleep(0)
    assert not waits.done()
    while not waits.done():
        await rig.database.commit(1)
    assert BEHIND_RECORDS // 2 - 4000 < rig.feed._taken - rig.feed._done <= BEHIND_RECORDS // 2


async def test_a_station_is_told_only_of_changes_that_are_committed(rig):
    await fill(rig)
    first = rig.feed.deliver(change(7, 1.0))
    waits = asyncio.ensure_future(rig.feed.committed(first))
    await rig.database.commit()  # of everything before it: releases analogs, and the change is not yet handed over
    assert not waits.done()
    assert rig.database.told[-1].durable
    await rig.database.commit()
    assert waits.done()
    assert rig.feed.deliver(analogs([1])) == 0
    await rig.feed.committed(0)


async def test_analogs_that_are_taken_over_do_not_vouch_for_a_change_that_is_not(rig):
    """While the journal cannot be written the database answers for analogs, and not for the changes before them."""
    waits = asyncio.ensure_future(rig.feed.committed(rig.feed.deliver(change(7, 1.0))))
    await asyncio.sleep(0.001)
    rig.feed.deliver(analogs([1], 2.0))
    await asyncio.sleep(0.012)
    changes, values = rig.database.told
    assert (changes.durable, values.durable) == (True, False)
    values.done()
    await asyncio.sleep(0.001)
    assert not waits.done()
    changes.done()
    await asyncio.wait_for(waits, 1)


async def test_a_sink_is_not_ready_before_what_came_while_it_waited_is_committed_too(rig):
    sink = ChannelSink(rig.feed, Database(), lambda *_: None, VirtualClock())
    sink.deliver(change(7, 1.0))
    ready = asyncio.ensure_future(sink.ready())
    await asyncio.sleep(0.001)
    sink.deliver(change(7, 0.0))  # one more read, before reading paused
    await asyncio.sleep(0.001)
    await rig.database.commit(1)
    assert not ready.done()
    await rig.database.commit(1)
    await asyncio.wait_for(ready, 1)


async def test_a_mark_is_behind_the_last_value_and_before_the_next(rig):
    await fill(rig)
    rig.feed.deliver(analogs([7, 8, 9], 1.0))
    rig.feed.deliver(analogs([100], 5.0))
    rig.feed.mark(np.array([7, 8], np.uint32), LOST)
    rig.feed.deliver(analogs([7, 9], 2.0))
    await rig.database.commit_all()
    values = rig.database.values()
    for pid, expected in ((7, [1.0, None, 2.0]), (8, [1.0, None]), (9, [1.0, 2.0]), (100, [5.0])):
        assert [value for one, value in values if one == pid] == expected


async def test_a_lost_channel_is_one_message_whatever_its_size(rig):
    pids = np.arange(10_000, dtype=np.uint32)
    channel = Database()
    sink = ChannelSink(rig.feed, channel, lambda *_: None, VirtualClock(), pids=pids)
    sink.state(LinkState.CONNECTING, "connecting")
    sink.state(LinkState.UP, "started")
    sink.deliver(analogs([3], 1.0))
    sink.state(LinkState.DOWN, "cut")
    sink.state(LinkState.CONNECTING, "again")
    sink.state(LinkState.DOWN, "refused")
    assert [type(message) for message in rig.database.told] == [Apply, MarkQuality]
    assert (rig.database.told[1].pids is pids, rig.database.told[1].set_bits) == (True, LOST)
    sink.state(LinkState.UP, "back")
    sink.deliver(change(3, 1.0))
    sink.state(LinkState.STANDBY, "data transfer did not start")
    sink.state(LinkState.UP, "back")
    sink.deliver(change(3, 0.0))
    await rig.database.commit_all()
    assert [value for pid, value in rig.database.values() if pid == 3] == [1.0, None, 1.0, None, 0.0]
    assert [message.state for message in channel.told if isinstance(message, LinkChanged)][-1] is LinkState.UP


async def test_values_of_a_channel_that_did_not_come_up_are_not_left_topical(rig):
    """A Modbus line may be lost between its first answer and the word that it is up."""
    cleaning = SimpleNamespace(listen=lambda *_: None, clean=lambda _channel, batch: batch, lost=lambda index: lost.append(index))
    lost, pids = [], np.array([3], dtype=np.uint32)
    sink = ChannelSink(rig.feed, Database(), lambda *_: None, VirtualClock(), pids=pids, cleaning=cleaning, index=8)
    sink.state(LinkState.CONNECTING, "connecting")
    sink.deliver(analogs([3], 1.0))
    for _ in range(3):
        sink.state(LinkState.DOWN, "cut")
        sink.state(LinkState.CONNECTING, "again")
    assert rig.database.values() == [(3, 1.0), (3, None)]
    assert lost == [8]


# ---------------------------------------------------------------- any order of things

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("analogs"), st.lists(st.integers(0, 9), min_size=1, max_size=6)),
        st.tuples(st.just("change"), st.integers(0, 9)),
        st.tuples(st.just("mark"), st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)),
        st.tuples(st.just("commit"), st.integers(1, 3)),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_nothing_is_lost_doubled_or_reordered_whatever_happens(steps):
    async def play():
        database = Database()
        feed = Feed(SimpleNamespace(loop=asyncio.get_running_loop()), database, tick_s=0.0)
        delivered, marks = [], []
        for serial, (step, what) in enumerate(steps):
            if step == "analogs":
                feed.deliver(analogs(what, float(serial)))
                delivered += [(pid, float(serial)) for pid in what]
            elif step == "change":
                mark = feed.deliver(change(what, float(serial)))
                delivered.append((what, float(serial)))
                marks.append((serial, asyncio.ensure_future(feed.committed(mark))))
            elif step == "mark":
                feed.mark(np.array(what, np.uint32), LOST)
                delivered += [(pid, None) for pid in what]
            elif step == "commit":
                await database.commit(what)
            else:
                await asyncio.sleep(0.0005)
            safe = {
                value
                for message in database.told[: database.committed]
                if isinstance(message, Apply)
                for batch in message.batches
                for value in batch.records["value"].tolist()
            }
            assert all(serial in safe for serial, waiter in marks if waiter.done())
        await database.commit_all()
        assert all(waiter.done() for _, waiter in marks)
        for pid in range(10):
            assert [value for one, value in database.values() if one == pid] == [value for one, value in delivered if one == pid]

    before = wiring.OUTSTANDING_RECORDS
    wiring.OUTSTANDING_RECORDS = 5
    try:
        asyncio.run(play())
    finally:
        wiring.OUTSTANDING_RECORDS = before


def test_a_driver_that_does_not_end_does_not_keep_the_databases_from_being_closed(monkeypatch):
    wire = Wire()
    wire.start()

    def never(work):
        work.close()
        return Future()

    monkeypatch.setattr(wire, "submit", never)
    wire.stop(within_s=0.01)
    assert not wire._thread.is_alive()
