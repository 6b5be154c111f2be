"""Values as server-sent events: what a reader has is what is, whatever it missed, or it is told that it does not know."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest.rest_rig import T0, Reader, Rig
from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import VirtualClock
from scada.rest import stream as streaming
from scada.rest.asking import chosen
from scada.rest.stream import HEARTBEAT_S, STREAMS_PER_TOKEN, ValueStream

STREAM = "/v1/values/stream"


def delta(pids, value, seq=9):
    size = len(pids)
    times = {"source_time_ns": [T0] * size, "received_ns": [T0] * size}
    return pb.PointFrame(seq=seq, time_ns=T0, pid=pids, value=[value] * size, quality=[0] * size, **times)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(streaming, "LOOK_S", 0.01)


@pytest.fixture
async def read(rig):
    """Start a reader of the stream."""
    readers = []

    def _read(token, place="", query=""):
        readers.append(Reader(rig, STREAM, token, [(b"last-event-id", place.encode())] if place else [], query))
        return readers[-1]

    yield _read
    for reader in readers:
        reader.taking.set()
        reader.left.set()
    await asyncio.gather(*(reader.task for reader in readers))


def values(event):
    return {each["pid"]: each["value"] for each in event[2]["values"]}


async def test_everything_first_and_then_what_changes(rig, clock, read):
    reader = read(rig.issue())
    first = await reader.next()
    assert first[0] == "snapshot"
    assert reader.status == 200
    assert len(first[2]["values"]) == 40
    assert not first[2]["more"]
    assert first[2]["values"][1]["value"] is None
    assert first[2]["values"][1]["quality"]["flags"] == ["never_received"]
    clock.advance(1)
    await rig.hear(delta([2, 4], 8.0))
    event = await reader.next()
    assert (event[0], values(event), event[2]["seq"]) == ("values", {2: 8.0, 4: 8.0}, 9)
    assert event[1] not in ("", first[1])


async def test_a_reader_that_returns_gets_what_it_missed_and_no_more(rig, clock, read):
    token = rig.issue()
    first = read(token)
    place = (await first.next())[1]
    await first.leave()
    await rig.hear(delta([6], 1.0))
    await rig.hear(delta([7, 6], 2.0))
    event = await read(token, place).next()
    assert (event[0], values(event)) == ("values", {6: 2.0, 7: 2.0})
    clock.advance(HEARTBEAT_S)
    await rig.hear(pb.PointFrame(seq=10, time_ns=T0))
    back = read(token, event[1])
    assert (await back.next())[0] == "heartbeat"  # nothing was missed


@pytest.mark.parametrize("place", ["7", "x", "x-y-1", "{life}-{mark}-99999", "{life}-000000000000-1", "{life}-{mark}-", "-" * 90])
async def test_a_place_that_is_not_known_is_a_gap(rig, read, place):
    token = rig.issue()
    known = (await read(token).next())[1].split("-")
    reader = read(token, place.format(life=known[0], mark=known[1]))
    gap, everything = await reader.next(), await reader.next()
    assert gap[0] == "gap"
    assert gap[1] == ""
    assert "place" in gap[2]["reason"]
    assert (everything[0], len(everything[2]["values"])) == ("snapshot", 40)


async def test_a_place_is_good_for_its_question_and_its_token_only(rig, read):
    token = rig.issue()
    place = (await read(token, query="station=East").next())[1]
    for other in (read(token, place), read(rig.issue(), place, "station=East"), read(token, place, "point=mrid-2")):
        assert (await other.next())[0] == "gap"


async def test_after_the_server_was_away_the_reader_is_told(rig, clock, read):
    reader = read(rig.issue())
    await reader.next()
    clock.advance(3.1)
    assert (await reader.next())[0::2] == ("stale", {"reason": "the server has been silent for 3 s"})
    await rig.hear(rig.server.full(seq=50, value=6.0))
    assert (await reader.next())[0] == "gap"
    event = await reader.next()
    assert (event[0], values(event)[2], event[2]["seq"]) == ("snapshot", 6.0, 50)


async def test_a_stream_does_not_begin_with_old_values(rig, clock):
    clock.advance(3.1)
    answer = await rig.get(STREAM, rig.issue())
    assert (answer.status_code, answer.json()["code"]) == (503, "stale")


async def test_a_slow_reader_gets_the_newest_and_never_a_queue(rig, clock, read):
    reader = read(rig.issue())
    await reader.next()
    reader.taking.clear()
    for number in range(200):
        clock.advance(1)
        await rig.hear(delta([2], float(number)))
        await asyncio.sleep(0)
    reader.taking.set()
    seen = [values(await reader.next())[2]]
    while seen[-1] != 199.0:
        clock.advance(1)
        await rig.hear(pb.PointFrame(seq=10, time_ns=T0))
        seen.append(values(await reader.next())[2])
    assert len(seen) <= 3
    assert reader.waiting == 0


async def test_values_come_no_oftener_than_asked(rig, clock, read):
    reader = read(rig.issue(), query="period_ms=1500")
    await reader.next()
    for part in (0.5, 0.5, 0.5):
        clock.advance(part)
        await rig.hear(delta([2], part))
    event = await reader.next()
    assert event[0] == "values"
    assert reader.waiting == 0
    assert (await rig.get(STREAM, rig.issue(), period_ms="249")).status_code == 400


async def test_many_points_come_in_parts_and_only_the_last_moves_the_place(rig, read, monkeypatch):
    monkeypatch.setattr(streaming, "PART", 15)
    reader = read(rig.issue())
    events = [await reader.next() for _ in range(3)]
    assert [event[2]["more"] for event in events] == [True, True, False]
    assert [event[1] == "" for event in events] == [True, True, False]
    assert [each["pid"] for event in events for each in event[2]["values"]] == list(range(40))


async def test_an_answer_that_is_cut_short_by_silence_begins_anew(rig, clock, monkeypatch):
    monkeypatch.setattr(streaming, "PART", 15)
    token = rig.tokens.check(rig.issue())
    stream = ValueStream(rig.mirror, clock, token, lambda: chosen(rig.mirror, token, (), "", ""), mark="m")
    parts = stream.turn()
    assert b"event: snapshot" in next(parts)
    clock.advance(4)
    assert list(parts) == []  # the rest would be old
    assert [event.split(b"\n")[0] for event in stream.turn()] == [b"event: stale"]
    await rig.hear(pb.PointFrame(seq=8, time_ns=T0))
    assert [event.split(b"\n")[0] for event in stream.turn()] == [b"event: gap"] + [b"event: snapshot"] * 3


async def test_a_stream_shows_what_its_token_is_shown(rig, read):
    token = rig.issue("values", stations=("East",), classes=("Analog",), hidden=("values.unit", "values.source_time"))
    event = await read(token).next()
    assert set(values(event)) == {pid for pid in range(0, 40, 2) if pid % 5}
    assert all("unit" not in each and "source_time" not in each and "quality" in each for each in event[2]["values"])
    await rig.hear(delta([3, 4, 5], 1.0))
    rig.clock.advance(1)
    assert rig.mirror.changed_after(0, streaming.np.array([3, 5]))
    assert (await rig.get(STREAM, rig.issue("model"))).status_code == 403


@pytest.mark.parametrize("blocked", [False, True])
async def test_a_revoked_token_ends_its_stream_even_of_a_reader_that_takes_nothing(rig, clock, read, blocked):
    token = rig.issue()
    reader, other = read(token), read(rig.issue())
    await reader.next()
    await other.next()
    if blocked:
        reader.taking.clear()
        clock.advance(1)
        await rig.hear(delta([2], 1.0))
    rig.tokens.revoke(token.split("_")[1])
    await asyncio.wait_for(asyncio.shield(reader.task), 20)
    if not blocked:
        assert (await reader.next())[0::2] == ("end", {"code": "revoked"})
    assert not other.task.done()
    assert rig.app.state.streams._open == {next(iter(rig.app.state.streams._open)): 1}


async def test_an_expired_token_and_an_unreadable_file_end_streams(rig, clock, read, tmp_path):
    short, long = read(rig.issue(days=1.0)), read(rig.issue(days=2.0))
    await short.next()
    await long.next()
    clock.advance(86_400)
    last = ""
    while last != "end":
        last, _, data = await short.next()
    assert data == {"code": "expired"}
    (tmp_path / "tokens.json").write_text("{")
    last = ""
    while last != "end":
        last, _, data = await long.next()
    assert data == {"code": "unavailable"}


async def test_a_token_has_few_streams_and_gets_them_back(rig, read):
    token = rig.issue()
    readers = [read(token) for _ in range(STREAMS_PER_TOKEN)]
    for reader in readers:
        await reader.next()
    answer = await rig.get(STREAM, token)
    assert (answer.status_code, answer.json()["code"]) == (429, "streams")
    assert answer.headers["retry-after"]
    await read(rig.issue()).next()
    await readers[0].leave()
    await read(token).next()


async def test_the_end_of_the_process_ends_streams(rig, read):
    reader = read(rig.issue())
    await reader.next()
    rig.app.state.streams.end()
    assert (await reader.next())[0::2] == ("end", {"code": "stopping"})
    await asyncio.wait_for(reader.task, 20)


STEPS = st.one_of(
    st.tuples(st.just("delta"), st.lists(st.integers(0, 11), max_size=4), st.integers(0, 99)),
    st.tuples(st.just("full"), st.just(None), st.integers(0, 99)),
    st.tuples(st.just("read"), st.integers(0, 4), st.just(0)),
    st.tuples(st.just("return"), st.booleans(), st.just(0)),
    st.tuples(st.just("silence"), st.just(None), st.just(0)),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=40))
async def test_what_a_reader_holds_is_what_is_or_it_knows_better(tmp_path_factory, steps):
    """Whatever changes, however the reader breaks off in the middle of an answer and returns: at the end it holds the values."""
    clock = VirtualClock()
    rig = Rig(tmp_path_factory.mktemp("reader"), clock)
    del rig.server.points[12:]
    await rig.hear()
    token = rig.tokens.check(rig.issue())
    place, held = "", {}

    def _stream():
        return ValueStream(rig.mirror, clock, token, lambda: chosen(rig.mirror, token, (), "", ""), mark="m", place=place)

    def _take(event):
        nonlocal place
        fields = dict(line.split(": ", 1) for line in event.decode().strip().splitlines())
        data = json.loads(fields["data"])
        if fields["event"] == "gap":
            held.clear()
        held.update({each["pid"]: each["value"] for each in data.get("values", ())})
        place = fields.get("id", place)

    old, streaming.PART = streaming.PART, 5
    try:
        stream = _stream()
        for step, what, value in steps:
            if step == "delta":
                await rig.hear(delta(what, float(value)))
            elif step == "full":
                await rig.hear(rig.server.full(value=float(value)))
            elif step == "silence":
                clock.advance(4)
            elif step == "return":
                held = held if what else {}
                place = place if what else ""
                stream = _stream()
            else:
                clock.advance(1)
                for number, event in enumerate(stream.turn()):
                    _take(event)
                    if number == what:  # the rest never arrives
                        stream = _stream()
                        break
        clock.advance(1)
        await rig.hear(pb.PointFrame(seq=99, time_ns=T0))
        for _ in range(3):
            for event in stream.turn():
                _take(event)
            clock.advance(1)
        assert held == {
            point.pid: (None if point.pid == 1 and rig.mirror.row(1)[1] else rig.mirror.row(point.pid)[0])
            for point in rig.server.points
        }
    finally:
        streaming.PART = old
