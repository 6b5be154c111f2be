"""Broken and hostile octets against both machines: no crash, a defined reaction, no value that was not sent."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.core.clock import VirtualClock
from scada.protocols.iec104.apci import UFunction, i_frame, u_frame
from scada.protocols.iec104.asdu import ELEMENT_SIZE
from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.effects import Disconnect, Values
from scada.protocols.iec104.link import Closed, Transmit
from scada.protocols.iec104.outstation import Outstation

NOW = 1_780_000_000_000_000_000


class Recording:
    """What a station said, and its points."""

    def __init__(self, points, stream):
        self.points, self.stream = points, stream


@pytest.fixture(scope="module")
def recorded(build):
    """What a station says from the start of data transfer to the end of an interrogation and some events, and its points."""
    clock = VirtualClock(NOW)
    types = [1, 3, 5, 7, 9, 11, 13, 30, 31, 36]
    points = [build.point(pid, 10 + 3 * pid, types[pid % len(types)]) for pid in range(100)]
    station = Outstation(points, [], clock)
    station.update(range(100), [pid % 2 for pid in range(100)])
    session = station.connect("m")
    said = session.feed(u_frame(UFunction.STARTDT_ACT))[1:]
    said += session.feed(i_frame(0, 1, bytes.fromhex("64010600010000000014")))
    station.update(range(100), [(pid + 1) % 2 for pid in range(100)])
    said += session.pump()
    return Recording(points, b"".join(event.data for event in said if isinstance(event, Transmit)))


def listen(build, points, pieces):
    channel = Channel(build.spec(), points, [])
    effects = channel.connected(0.0)
    for piece in [u_frame(UFunction.STARTDT_CON), *pieces]:
        effects += channel.feed(piece, NOW, 0.0)
        if any(isinstance(effect, Disconnect) for effect in effects):
            break
    records = [record for effect in effects if isinstance(effect, Values) for record in effect.batch.records.tolist()]
    return effects, records


@given(st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_truncated_stream_gives_a_beginning_of_the_values(build, recorded, end, middle):
    points, stream = recorded.points, recorded.stream
    _, everything = listen(build, points, [stream])
    assert len(everything) > 100
    cut = round(end * len(stream))
    middle = round(middle * cut)
    effects, records = listen(build, points, [stream[:middle], stream[middle:cut]])
    assert records == everything[: len(records)]
    assert not any(isinstance(effect, Disconnect) for effect in effects)


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_octets_never_crash_and_never_make_a_point(build, recorded, data):
    points, stream = recorded.points, recorded.stream
    broken = bytearray(stream)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    _, records = listen(build, points, [bytes(broken)])
    assert all(record[0] < len(points) for record in records)


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_left_out_octets_end_the_connection_or_leave_out_values(build, recorded, data):
    points, stream = recorded.points, recorded.stream
    _, everything = listen(build, points, [stream])
    start = data.draw(st.integers(0, len(stream) - 1))
    stop = data.draw(st.integers(start + 1, min(len(stream), start + 300)))
    _, records = listen(build, points, [stream[:start], stream[stop:]])
    assert len(records) <= len(everything)


KNOWN = sorted(ELEMENT_SIZE)


@given(st.lists(st.tuples(st.sampled_from([*KNOWN, 200]), st.binary(min_size=5, max_size=40), st.booleans()), max_size=12))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_asdu_leaves_the_station_alive(build, asdus):
    clock = VirtualClock(NOW)
    operated = []
    controls = [build.control(0, 1, 46), build.control(1, 2, 50, select=False)]
    station = Outstation(
        [build.point(0, 1, 3), build.point(1, 2, 15)], controls, clock, on_command=lambda asked: bool(operated.append(asked))
    )
    session = station.connect("m")
    session.feed(u_frame(UFunction.STARTDT_ACT))
    for sent, (type_id, rest, fit) in enumerate(asdus):
        data = bytes([type_id]) + rest
        if fit:  # one object of the right length, at a known station
            size = ELEMENT_SIZE.get(type_id, 1)
            data = bytes([type_id, 1, rest[0] % 12, 0, 1, 0, rest[1] % 4, 0, 0]) + (rest * 3)[:size]
        for event in session.feed(i_frame(sent, 0, data)):
            assert not isinstance(event, Closed) or "never sent" in event.reason or "goes back" in event.reason
        session.link._sent_at.clear()  # acknowledged by magic: only what the station does with the ASDU matters here
        session.link._counters[1] = 0
    assert session.link.phase.value == "started"
    assert not [asked for asked in operated if asked.control.select and asked.step == "execute"]
