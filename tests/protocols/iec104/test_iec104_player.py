"""A trace played as an outstation: at its times, octet for octet, with answers of its own to the master that is connected."""

import math
import struct
from collections import deque

import pytest
from protocols.iec104.test_iec104_replay import capture

from scada.core.clock import VirtualClock
from scada.core.errors import ConfigError
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.apci import UFunction, i_frame, u_frame
from scada.protocols.iec104.asdu import BROADCAST, Asdu, Cause, InformationObject, single
from scada.protocols.iec104.capture import load_trace
from scada.protocols.iec104.link import Block, Link, PhaseChanged, Role, Transmit
from scada.protocols.iec104.player import TracePlayer

S = 1_000_000_000
RECORDED = 1_600_000_000


def value(ioa, number, quality=0, cause=Cause.SPONTANEOUS):
    return single(13, cause, 4, ioa, struct.pack("<fB", number, quality)).encode()


def event(ioa, state, at_s):
    return single(30, Cause.SPONTANEOUS, 4, ioa, bytes([state]) + cp56.to_octets(round((RECORDED + at_s) * S))).encode()


SAID = [
    (1.0, value(7, 1.5)),
    (2.0, event(9, 1, 1.9)),
    (3.0, value(7, 2.5)),
    (3.0, value(8, 77.0, cause=Cause.INTERROGATED)),
    (10.0, value(7, 3.5, 0x80)),
]


@pytest.fixture
def trace(tmp_path):
    exchanges = [(RECORDED, False, u_frame(UFunction.STARTDT_ACT)), (RECORDED, True, u_frame(UFunction.STARTDT_CON))]
    exchanges += [(RECORDED + at, True, i_frame(number, 0, asdu)) for number, (at, asdu) in enumerate(SAID)]
    return load_trace(capture(tmp_path / "day.pcap", exchanges))


class Master:
    """A scripted master on the other end: it sends what it is told and keeps what it gets."""

    def __init__(self, player, *, start=True):
        self.player, self.clock = player, player.clock
        self.session = player.connect("10.9.9.9")
        self.link = Link(Role.CONTROLLING)
        self.link.open(self.clock.monotonic())
        self.asdus = []
        if start:
            self._carry(self.link.start(self.clock.monotonic()))

    def _carry(self, events, waiting=()):
        """To the station and back, until both are silent; nothing overtakes anything."""
        there = deque(one.data for one in events if isinstance(one, Transmit))
        back = deque(waiting)
        while there or back:
            while there:
                back.extend(self.session.feed(there.popleft()))
            if back:
                there.extend(self._heard(back.popleft()))

    def _heard(self, one):
        assert isinstance(one, Transmit), one
        answers = []
        for got in self.link.feed(one.data, self.clock.monotonic()):
            if isinstance(got, Block):
                self.asdus += [got.asdu(index) for index in range(len(got.spans))]
            elif isinstance(got, Transmit):
                answers.append(got.data)
            else:
                assert isinstance(got, PhaseChanged), got
        return answers

    def send(self, asdu):
        self._carry([self.link.send(asdu.encode(), self.clock.monotonic())])

    def wait(self, seconds):
        self.clock.advance(seconds)
        self._carry(self.link.tick(self.clock.monotonic()), self.session.tick())

    def take(self):
        taken, self.asdus = self.asdus, []
        return taken


def play(trace, **options):
    return TracePlayer(trace, VirtualClock(), **options)


def interrogate(master, common_address=4):
    master.send(single(100, Cause.ACTIVATION, common_address, 0, b"\x14"))
    return [Asdu.parse(one) for one in master.take()]


def test_what_the_station_said_by_itself_comes_at_its_times_octet_for_octet(trace):
    master = Master(play(trace))
    assert master.take() == []
    master.wait(0.9)
    assert master.take() == []
    master.wait(0.2)
    assert master.take() == [SAID[0][1]]
    master.wait(2.0)
    assert master.take() == [SAID[1][1], SAID[2][1]]  # not the answer to an interrogation
    master.wait(6.0)
    assert master.take() == []
    master.wait(1.0)
    assert master.take() == [SAID[4][1]]
    assert master.player.finished


def test_speed_stretches_the_time_line(trace):
    master = Master(play(trace, speed=10.0))
    master.wait(0.35)
    assert len(master.take()) == 3
    slow = Master(play(trace, speed=0.1))
    slow.wait(9.0)
    assert slow.take() == []
    slow.wait(1.1)
    assert len(slow.take()) == 1


def test_an_interrogation_gets_what_was_played_so_far_and_says_what_was_not(trace):
    master = Master(play(trace))
    master.wait(2.5)
    master.take()
    answers = interrogate(master)
    assert [(one.cause, one.negative) for one in (answers[0], answers[-1])] == [
        (Cause.ACTIVATION_CON, False),
        (Cause.ACTIVATION_TERM, False),
    ]
    found = {(one.type_id, item.ioa): item.element for one in answers[1:-1] for item in one.objects}
    assert all(one.cause == Cause.INTERROGATED for one in answers[1:-1])
    assert found == {
        (13, 7): struct.pack("<fB", 1.5, 0),
        (13, 8): struct.pack("<fB", 77.0, 0x40),  # heard of later in the trace: not topical yet
        (1, 9): b"\x01",
    }
    master.wait(1.0)
    master.take()
    found = {item.ioa: item.element for one in interrogate(master)[1:-1] for item in one.objects}
    assert found[8] == struct.pack("<fB", 77.0, 0)


def test_broadcast_unknown_address_group_and_unknown_type_are_answered_as_the_standard_says(trace):
    master = Master(play(trace))
    assert [one.common_address for one in interrogate(master, BROADCAST)] == [4, 4, 4, 4]
    (unknown,) = interrogate(master, 5)
    assert (unknown.cause, unknown.negative) == (Cause.UNKNOWN_COMMON_ADDRESS, True)
    master.send(single(100, Cause.ACTIVATION, 4, 0, b"\x15"))
    (group,) = [Asdu.parse(one) for one in master.take()]
    assert (group.cause, group.negative) == (Cause.ACTIVATION_CON, True)
    master.send(Asdu(120, Cause.ACTIVATION, 4, (), body=bytes(10), count=1))
    (file,) = [Asdu.parse(one) for one in master.take()]
    assert (file.type_id, file.cause, file.negative) == (120, Cause.UNKNOWN_TYPE, True)
    master.send(single(102, Cause.REQUEST, 4, 9, b""))
    (read,) = [Asdu.parse(one) for one in master.take()]
    assert (read.type_id, read.cause, read.objects) == (1, Cause.REQUEST, (InformationObject(9, b"\x41"),))


@pytest.mark.parametrize(("accept", "causes"), [(False, [(7, True)]), (True, [(7, False), (10, False)])])
def test_commands_are_refused_unless_they_are_to_be_confirmed(trace, accept, causes):
    master = Master(play(trace, accept_commands=accept))
    master.send(single(45, Cause.ACTIVATION, 4, 9, b"\x01"))
    assert [(one.cause, one.negative) for one in map(Asdu.parse, master.take())] == causes


def test_time_tags_are_as_fresh_as_they_were_if_wanted(trace):
    player = play(trace, retime=True)
    begun = player.clock.now_ns()
    master = Master(player)
    master.wait(2.0)
    tagged = [Asdu.parse(one) for one in master.take()][-1]
    time_ns, bits = cp56.from_octets(tagged.objects[0].element[1:], player.clock.now_ns())
    assert bits == 0
    assert abs(time_ns - (begun + 1.9 * S)) <= 1_000_000  # a tag has milliseconds


def test_the_time_line_stands_while_nobody_is_started_and_every_started_master_gets_everything(trace):
    player = play(trace)
    silent = Master(player, start=False)
    silent.wait(100.0)
    master = Master(player)
    other = Master(player)
    master.wait(1.1)
    other.wait(0.0)
    assert master.take() == other.take() == [SAID[0][1]]
    assert silent.take() == []
    player.disconnect(master.session)
    player.disconnect(other.session)
    silent.wait(50.0)
    late = Master(player)
    late.wait(0.9)
    assert late.take() == [SAID[1][1]]


def test_flat_out_everything_comes_once_and_in_order_through_a_small_window(tmp_path):
    said = [value(1, float(number)) for number in range(500)]
    exchanges = [(RECORDED + number * 60.0, True, i_frame(number, 0, asdu)) for number, asdu in enumerate(said)]
    player = play(load_trace(capture(tmp_path / "long.pcap", exchanges)), speed=math.inf)
    master = Master(player)
    for _ in range(50):
        master.wait(0.01)
    assert master.take() == said
    assert player.finished


def test_a_loop_begins_again(trace):
    player = play(trace, loop=True)
    master = Master(player)
    for _ in range(25):
        master.wait(1.0)
    own = [asdu for _, asdu in SAID if asdu != SAID[3][1]]
    got = master.take()
    assert got[:8] == own + own
    assert player.rounds == 2
    assert not player.finished


def test_a_station_that_is_not_in_the_trace_or_says_nothing_is_an_error(trace, tmp_path):
    with pytest.raises(ConfigError, match=r"there are: 10\.0\.0\.2"):
        play(trace, station="10.0.0.77")
    mute = load_trace(capture(tmp_path / "mute.pcap", [(1.0, True, i_frame(0, 0, value(1, 1.0, cause=Cause.INTERROGATED)))]))
    with pytest.raises(ConfigError, match="sent no values by itself"):
        play(mute)


@pytest.mark.parametrize("name", ["wireshark-iec104-alltypes", "rec-lib60870-loopback", "wattson-C-0.1-0"])
def test_recorded_stations_play_to_their_end(traces, name):
    player = play(load_trace(traces / f"{name}.pcap"), speed=math.inf)
    master = Master(player)
    for _ in range(2 + player.length // 8):
        master.wait(0.01)
    assert player.finished
    assert len(master.take()) == player.sent == player.length
    assert interrogate(master, player.common_addresses[0])


def test_a_trace_of_one_instant_begins_again_once_a_second_and_not_for_ever(tmp_path):
    path = capture(tmp_path / "instant.pcap", [(RECORDED, True, i_frame(0, 0, value(7, 1.5)))])
    player = TracePlayer(load_trace(path), VirtualClock(), loop=True)
    master = Master(player)
    for _ in range(3):
        master.wait(1.0)
    assert 2 <= player.sent <= 5


def test_a_master_that_asks_on_and_on_is_refused_until_it_has_its_answers(trace):
    player = TracePlayer(trace, VirtualClock())
    master = Master(player)
    session, ask = master.session, single(100, Cause.ACTIVATION, 4, 0, b"\x14")
    for _ in range(1000):
        session._on_asdu(ask.encode())
    assert len(session._replies) < 1100
    replies = [Asdu.parse(one) for one in session._replies]
    assert [one.negative for one in replies if one.cause == Cause.ACTIVATION_CON] == [False] + 999 * [True]
