"""The controlled station against a hand-made master: octets in, octets out."""

import math

import pytest

from scada.core.clock import VirtualClock
from scada.core.errors import ConfigError
from scada.protocols.iec104 import apci, cp56
from scada.protocols.iec104 import asdu as asdus
from scada.protocols.iec104.apci import UFunction, i_frame, s_frame, u_frame
from scada.protocols.iec104.asdu import Asdu, CommandElement, encode_command
from scada.protocols.iec104.link import Closed, LinkParameters, Transmit
from scada.protocols.iec104.operate import CommandUseError
from scada.protocols.iec104.outstation import Outstation, OutstationParameters


class Master:
    """Speaks to a session with raw frames; acknowledges everything unless told not to."""

    def __init__(self, outstation, apdus, name="m"):
        self.session = outstation.connect(name)
        self.apdus = apdus
        self.sent = self.received = 0
        self.acknowledges = True
        self.asdus = []

    def give(self, data):
        return self.take(self.session.feed(data))

    def take(self, events):
        got = []
        for event in events:
            if isinstance(event, Transmit):
                got += self.apdus(event.data)
            elif isinstance(event, Closed):
                got.append(event.reason)
        asdus_here = [item[3] for item in got if item[0] == "I"]
        self.received = (self.received + len(asdus_here)) % 32768
        self.asdus += asdus_here
        if asdus_here and self.acknowledges:
            got += self.give(s_frame(self.received))
        return got

    def start(self):
        self.give(u_frame(UFunction.STARTDT_ACT))
        return self

    def ask(self, asdu):
        """Send an ASDU; the ASDUs that came back."""
        self.asdus = []
        number, self.sent = self.sent, self.sent + 1
        self.give(i_frame(number, self.received, asdu if isinstance(asdu, bytes) else asdu.encode()))
        return self.asdus

    def pump(self):
        self.asdus = []
        self.take(self.session.pump())
        return self.asdus


def causes(answers):
    return [(item.type_id, item.cause, item.negative) for item in answers]


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def station(build, clock):
    points = [
        *[build.point(i, 100 + i, 13, deadband=0.5) for i in range(200)],
        *[build.point(200 + i, 1000 + i, 3) for i in range(10)],
        *[build.point(210 + i, 2000 + 2 * i, 30) for i in range(5)],
        build.point(215, 3000, 36, scale=0.1),
        build.point(216, 4000, 15),
        build.point(217, 5000, 9, scale=200.0),
        build.point(218, 100, 1, ca=2),
    ]
    controls = [
        build.control(0, 9000, 46),
        build.control(1, 9001, 50, select=False, scale=0.1),
        build.control(2, 9002, 58, select=False),
    ]
    asked = []

    def on_command(command):
        asked.append((command.control.cid, command.value, command.step))
        return round(command.value, 6) != 66.6

    station = Outstation(points, controls, clock, on_command=on_command)
    station.asked = asked
    station.update(range(200), [i * 0.5 for i in range(200)])
    station.update(range(200, 210), 2)
    station.update(range(210, 215), 1)
    station.update([215, 216, 217, 218], [12.5, 77, 50.0, 1])
    return station


@pytest.fixture
def master(station, build):
    return Master(station, build.apdus).start()


def order(type_id, ioa, value, cause=6, ca=1, **more):
    return asdus.single(type_id, cause, ca, ioa, encode_command(type_id, CommandElement(value, **more)))


def gi(cause=6, ca=1, qoi=20):
    return asdus.single(100, cause, ca, 0, bytes([qoi]))


def test_end_of_initialisation_comes_first_and_once(station, build):
    master = Master(station, build.apdus).start()
    assert causes(master.asdus) == [(70, 4, False), (70, 4, False)]
    assert [item.common_address for item in master.asdus] == [1, 2]
    station.disconnect(master.session)
    again = Master(station, build.apdus).start()
    assert again.asdus == []


def test_interrogation_answers_everything_packed_without_time(master):
    answers = master.ask(gi())
    assert causes(answers)[0] == (100, 7, False)
    assert causes(answers)[-1] == (100, 10, False)
    data = answers[1:-1]
    assert {item.cause for item in data} == {20}
    assert {item.type_id for item in data} == {1, 3, 9, 13}
    assert sum(len(item.objects) for item in data) == 217
    packed = [item for item in data if item.sequence]
    assert [len(item.objects) for item in packed if item.type_id == 13] == [48, 48, 48, 48, 8]


@pytest.mark.parametrize("count", [1, 47, 48, 49, 127, 128, 10_000])
def test_interrogation_of_any_size_respects_the_window(build, clock, count):
    station = Outstation([build.point(i, i, 1) for i in range(count)], [], clock)
    station.update(range(count), 1)
    master = Master(station, build.apdus).start()
    answers = master.ask(gi())
    assert sum(len(item.objects) for item in answers if item.type_id == 1) == count
    assert max(len(item.encode()) for item in answers) <= 249
    assert causes(answers)[-1] == (100, 10, False)


def test_a_master_that_does_not_acknowledge_gets_k_frames(build, clock):
    station = Outstation([build.point(i, 2 * i, 13) for i in range(2000)], [], clock)
    master = Master(station, build.apdus).start()
    master.acknowledges = False
    assert len(master.ask(gi())) == 12
    master.give(s_frame(master.received))
    assert len(master.asdus) == 24


def test_values_never_measured_are_invalid_and_not_topical(build, clock):
    station = Outstation([build.point(0, 1, 13), build.point(1, 2, 3)], [], clock)
    answers = Master(station, build.apdus).start().ask(gi())
    assert [item.objects[0].element for item in answers[1:-1]] == [b"\xc0", bytes(4) + b"\xc0"]


def test_the_answer_to_an_interrogation_is_never_older_than_an_event(build, clock):
    station = Outstation([*[build.point(i, 2 * i, 13) for i in range(600)], build.point(600, 5000, 3)], [], clock)
    station.update([600], 1)
    master = Master(station, build.apdus).start()
    master.acknowledges = False
    master.ask(gi())  # the window is full of measured values
    station.update([600], 2)
    master.acknowledges = True
    master.give(s_frame(master.received))
    events = [item for item in master.asdus if item.type_id == 31]
    answers = [item for item in master.asdus if item.type_id == 3]
    assert events[0].objects[0].element[0] == 2
    assert all(item.objects[0].element[0] == 2 for item in answers[1:])


def test_groups_are_refused_and_cancel_is_confirmed(master):
    assert causes(master.ask(gi(qoi=21))) == [(100, 7, True)]
    assert causes(master.ask(gi(cause=8))) == [(100, 9, True)]
    assert causes(master.ask(gi(cause=20))) == [(100, 45, True)]


def test_broadcast_is_answered_by_every_station(master):
    answers = master.ask(gi(ca=0xFFFF))
    terminations = [item.common_address for item in answers if item.cause == 10]
    assert sorted(terminations) == [1, 2]
    assert causes(master.ask(order(46, 9000, 2, ca=0xFFFF))) == [(46, 46, True)]


def test_status_changes_are_events_with_their_time_in_order(station, master, clock):
    clock.advance(1)
    first = clock.now_ns()
    station.update([200, 201, 200], [1, 1, 2], source_time=[first, first + 10**6, first + 2 * 10**6])
    (asdu,) = master.pump()
    assert (asdu.type_id, asdu.cause) == (31, 3)
    assert [(item.ioa, item.element[0]) for item in asdu.objects] == [(1000, 1), (1001, 1), (1000, 2)]
    times = [cp56.from_octets(item.element[1:], first)[0] for item in asdu.objects]
    assert times == [first, first + 10**6, first + 2 * 10**6]
    station.update([200], 2)
    assert master.pump() == []  # no change, no event


def test_measured_values_leave_their_dead_band_or_stay(station, master):
    station.update([10, 11], [5.4, 6.1])
    (asdu,) = master.pump()
    assert [(asdu.type_id, item.ioa) for item in asdu.objects] == [(13, 111)]
    station.update([10], [5.4], quality=0x80)
    assert len(master.pump()) == 1
    station.update([215], [13.0])
    (timed,) = master.pump()
    assert timed.type_id == 36
    station.update([10, 10], [math.nan, math.nan])
    assert master.pump()[0].objects[0].element[4] & 0x80
    station.update([10], [math.nan])
    assert master.pump() == []


def test_events_are_kept_while_the_link_is_down_and_sent_once(station, build, clock):
    master = Master(station, build.apdus).start()
    station.disconnect(master.session)
    for value in (1, 2, 1):
        clock.advance(1)
        station.update([203], value)
    again = Master(station, build.apdus).start()
    assert [item.element[0] for asdu in again.asdus for item in asdu.objects] == [1, 2, 1]
    station.disconnect(again.session)
    assert Master(station, build.apdus).start().asdus == []


def test_unacknowledged_events_come_again_after_a_reconnect(station, build):
    master = Master(station, build.apdus).start()
    master.acknowledges = False
    station.update([203], 1)
    assert len(master.pump()) == 1
    station.disconnect(master.session)
    again = Master(station, build.apdus).start()
    assert [asdu.type_id for asdu in again.asdus] == [31]


def test_events_are_bounded_and_the_loss_is_counted(build, clock):
    station = Outstation([build.point(0, 1, 1)], [], clock, parameters=OutstationParameters(event_capacity=100))
    station.update([0], 0)
    for number in range(250):
        station.update([0], 1 - number % 2)
    master = Master(station, build.apdus).start()
    assert sum(len(asdu.objects) for asdu in master.asdus if asdu.type_id == 30) == 100
    assert station.events_lost == 150


def test_two_masters_both_get_everything(station, build):
    one, two = Master(station, build.apdus, "a").start(), Master(station, build.apdus, "b").start()
    station.update([204], 1)
    assert [len(one.pump()), len(two.pump())] == [1, 1]


def test_select_execute_and_termination(station, master):
    assert causes(master.ask(order(46, 9000, 2, select=True))) == [(46, 7, False)]
    assert causes(master.ask(order(46, 9000, 2))) == [(46, 7, False), (46, 10, False)]
    assert station.asked == [(0, 2.0, "select"), (0, 2.0, "execute")]
    assert causes(master.ask(order(46, 9000, 2))) == [(46, 7, True)]  # the selection is used up


def test_execute_must_equal_the_selection(station, master):
    for other in (order(46, 9000, 1), order(46, 9000, 2, qualifier=1)):
        master.ask(order(46, 9000, 2, select=True))
        assert causes(master.ask(other)) == [(46, 7, True)]
    assert [step for _, _, step in station.asked] == ["select", "cancel"] * 2


def test_a_selection_expires_and_can_be_cancelled(station, master, clock):
    master.ask(order(46, 9000, 2, select=True))
    clock.advance(20)
    master.session.link._last_receive = clock.monotonic()
    assert causes(master.ask(order(46, 9000, 2))) == [(46, 7, True)]
    master.ask(order(46, 9000, 2, select=True))
    assert causes(master.ask(order(46, 9000, 2, select=True))) == [(46, 7, True)]  # second select
    assert causes(master.ask(order(46, 9000, 2, cause=8, select=True))) == [(46, 9, False)]
    assert causes(master.ask(order(46, 9000, 2, cause=8, select=True))) == [(46, 9, True)]
    assert causes(master.ask(order(46, 9000, 2))) == [(46, 7, True)]
    assert [step for _, _, step in station.asked] == ["select", "select", "cancel"]


def test_a_selection_belongs_to_its_master_and_falls_with_its_link(station, build):
    one, two = Master(station, build.apdus, "a").start(), Master(station, build.apdus, "b").start()
    one.ask(order(46, 9000, 2, select=True))
    assert causes(two.ask(order(46, 9000, 2, select=True))) == [(46, 7, True)]
    assert causes(two.ask(order(46, 9000, 2))) == [(46, 7, True)]
    station.disconnect(one.session)
    assert causes(two.ask(order(46, 9000, 2, select=True))) == [(46, 7, False)]


def test_direct_set_point_in_engineering_units_and_refusal_by_the_process(station, master):
    assert causes(master.ask(order(50, 9001, 250.0))) == [(50, 7, False), (50, 10, False)]
    assert station.asked == [(1, 25.0, "execute")]
    assert causes(master.ask(order(50, 9001, 666.0))) == [(50, 7, True)]


class Later:
    """An owner that answers by ticket, when told to."""

    def __init__(self, build, clock):
        controls = [build.control(0, 9000, 46), build.control(1, 9001, 50, select=False)]
        self.asked = []
        self.station = Outstation([build.point(0, 1, 1)], controls, clock, on_command=self.asked.append)
        self.master = Master(self.station, build.apdus).start()
        self.other = Master(self.station, build.apdus, "other").start()

    def answer(self, accepted, which=-1):
        self.station.answer(self.asked[which].ticket, accepted)
        return causes(self.master.pump())

    def end(self, which=-1):
        self.station.terminate(self.asked[which].ticket)
        return causes(self.master.pump())


@pytest.fixture
def later(build, clock):
    return Later(build, clock)


def test_an_owner_may_answer_later_and_says_when_an_execute_has_ended(later):
    assert later.master.ask(order(46, 9000, 2, select=True)) == []
    assert later.answer(True) == [(46, 7, False)]
    assert later.master.ask(order(46, 9000, 2, qualifier=0)) == []
    assert later.answer(True) == [(46, 7, False)]
    assert later.end() == [(46, 10, False)]
    assert later.end() == []
    assert [(asked.step, asked.value, asked.master, asked.group) for asked in later.asked] == [
        ("select", 2.0, "m", "m"),
        ("execute", 2.0, "m", "m"),
    ]
    assert later.asked[0].asdu == order(46, 9000, 2, select=True).encode()
    assert len({asked.ticket for asked in later.asked}) == 2


def test_a_late_refusal_is_negative_and_leaves_no_selection(later):
    later.master.ask(order(46, 9000, 2, select=True))
    assert later.answer(False) == [(46, 7, True)]
    assert causes(later.master.ask(order(46, 9000, 2))) == [(46, 7, True)]
    assert [asked.step for asked in later.asked] == ["select"]


def test_while_a_step_waits_for_its_answer_others_are_refused(later):
    later.master.ask(order(50, 9001, 1.0))
    assert causes(later.other.ask(order(50, 9001, 2.0))) == [(50, 7, True)]
    assert causes(later.master.ask(order(50, 9001, 1.0))) == [(50, 7, True)]
    assert later.answer(True, 0) == [(50, 7, False)]
    later.master.ask(order(50, 9001, 3.0))
    with pytest.raises(CommandUseError):
        later.end()


def test_a_link_that_goes_before_the_answer_loses_its_step(later, build):
    later.master.ask(order(46, 9000, 2, select=True))
    later.station.disconnect(later.master.session)
    assert [asked.step for asked in later.asked] == ["select", "cancel"]  # the owner lets go of it
    later.station.answer(later.asked[0].ticket, True)
    assert later.other.ask(order(46, 9000, 2, select=True)) == []  # free again, and asked of the owner
    later.station.answer(later.asked[-1].ticket, True)
    assert causes(later.other.pump()) == [(46, 7, False)]


def test_a_select_that_waits_can_be_cancelled(later):
    later.master.ask(order(46, 9000, 2, select=True))
    assert causes(later.master.ask(order(46, 9000, 2, cause=8, select=True))) == [(46, 7, True)]
    assert later.answer(True, 0) == []  # too late
    assert later.answer(True) == [(46, 9, False)]
    assert causes(later.master.ask(order(46, 9000, 2))) == [(46, 7, True)]


@pytest.mark.parametrize("raw", [b"\x00\x00\xc0\x7f\x00", b"\x00\x00\x80\x7f\x00"], ids=["nan", "inf"])
def test_a_set_point_that_is_no_number_is_refused(station, master, raw):
    assert causes(master.ask(asdus.single(50, 6, 1, 9001, raw))) == [(50, 7, True)]
    assert station.asked == []


@pytest.mark.parametrize("state", [0, 3])
def test_double_commands_have_two_states(station, master, state):
    assert causes(master.ask(asdus.single(46, 6, 1, 9000, bytes([state | 0x80])))) == [(46, 7, True)]
    assert station.asked == []


def test_time_tagged_commands_must_be_fresh(station, master, clock):
    def timed(offset_s, invalid=False):
        octets = bytearray(cp56.to_octets(clock.now_ns() + int(offset_s * 1e9)))
        octets[2] |= 0x80 if invalid else 0
        return order(58, 9002, 1, time=bytes(octets))

    assert causes(master.ask(timed(0))) == [(58, 7, False), (58, 10, False)]
    assert causes(master.ask(timed(-11))) == [(58, 7, True)]
    assert causes(master.ask(timed(11))) == [(58, 7, True)]
    assert causes(master.ask(timed(0, invalid=True))) == [(58, 7, True)]
    assert len(station.asked) == 1


def test_a_command_under_test_is_confirmed_and_not_carried_out(station, master):
    test = Asdu(50, 6, 1, order(50, 9001, 1.0).objects, test=True)
    assert causes(master.ask(test)) == [(50, 7, False)]
    assert station.asked == []


def test_unknown_things_are_mirrored_negatively_and_the_link_stays(master):
    assert causes(master.ask(asdus.single(45, 6, 1, 12345, b"\1"))) == [(45, 47, True)]
    assert causes(master.ask(asdus.single(45, 6, 77, 1, b"\1"))) == [(45, 46, True)]
    assert causes(master.ask(asdus.single(46, 3, 1, 9000, b"\1"))) == [(46, 45, True)]
    assert causes(master.ask(asdus.single(200, 6, 1, 1, b"\1"))) == [(200, 44, True)]
    for type_id in (105, 106, 110, 113):
        element = bytes(asdus.ELEMENT_SIZE[type_id])
        assert causes(master.ask(asdus.single(type_id, 6, 1, 0, element))) == [(type_id, 44, True)]
    assert causes(master.ask(asdus.single(122, 6, 1, 0, bytes(4)))) == [(122, 44, True)]
    assert causes(master.ask(asdus.single(100, 6, 1, 5, b"\x14"))) == [(100, 47, True)]
    mirrored = master.ask(asdus.single(200, 6, 1, 1, b"\1\2"))[0]
    assert mirrored.encode()[6:] == b"\1\0\0\1\2"
    assert causes(master.ask(asdus.single(200, 44, 1, 1, b"\1"))) == []  # no answer to an answer
    assert causes(master.ask(gi()))[-1] == (100, 10, False)


def test_a_malformed_asdu_is_passed_over(master):
    assert master.ask(bytes.fromhex("2e0206000100")) == []
    assert master.ask(bytes.fromhex("670106000100000000")) == []  # clock synchronisation without a time
    assert causes(master.ask(gi()))[-1] == (100, 10, False)


def test_read_gives_the_value_alone(master):
    (answer,) = master.ask(asdus.single(102, 5, 1, 1003, b""))
    assert (answer.type_id, answer.cause, answer.objects[0].element) == (3, 5, b"\2")
    assert causes(master.ask(asdus.single(102, 5, 1, 99, b""))) == [(102, 47, True)]
    assert causes(master.ask(asdus.single(102, 6, 1, 1003, b""))) == [(102, 45, True)]


def test_counters_are_read_frozen_and_reset(station, master):
    def read(qcc):
        answers = master.ask(asdus.single(101, 6, 1, 0, bytes([qcc])))
        return [item.objects[0].element for item in answers if item.type_id == 15], causes(answers)

    (now,), said = read(0x05)
    assert now == bytes([77, 0, 0, 0, 0])
    assert said[0] == (101, 7, False)
    assert said[-1] == (101, 10, False)
    assert said[1] == (15, 37, False)
    assert read(0x85)[0] == []  # freeze with reset
    station.update([216], 80)
    assert read(0x05)[0] == [bytes([77, 0, 0, 0, 1])]
    read(0x45)
    assert read(0x05)[0] == [bytes([3, 0, 0, 0, 2])]
    assert read(0x01)[1] == [(101, 7, True)]  # group 1
    assert not [item for item in master.ask(gi()) if item.type_id == 15]


def test_clock_synchronisation_confirms_with_the_clock_before(build, clock):
    station = Outstation([build.point(0, 1, 1)], [], clock, parameters=OutstationParameters(follow_clock=True, zone_minutes=480))
    master = Master(station, build.apdus).start()
    ours = clock.now_ns() // 10**6 * 10**6
    (answer,) = master.ask(asdus.single(103, 6, 1, 0, cp56.to_octets(ours + 5 * 10**9, 480)))
    assert (answer.cause, cp56.from_octets(answer.objects[0].element, ours, 480)[0]) == (7, ours)
    assert station.now_ns() - clock.now_ns() == pytest.approx(5 * 10**9, abs=10**6)
    invalid = bytearray(cp56.to_octets(ours))
    invalid[2] |= 0x80
    assert causes(master.ask(asdus.single(103, 6, 1, 0, bytes(invalid)))) == [(103, 7, True)]


def test_test_command_is_mirrored(master):
    (answer,) = master.ask(asdus.single(107, 6, 1, 0, b"\x11\x22" + cp56.to_octets(10**18)))
    assert answer.cause == 7
    assert answer.objects[0].element[:2] == b"\x11\x22"
    assert causes(master.ask(asdus.single(104, 6, 1, 0, b"\xaa\x55"))) == [(104, 7, False)]


def test_numbers_are_sent_in_the_types_own_units(master):
    answers = master.ask(gi())
    normalized = next(item for item in answers if item.type_id == 9)
    assert normalized.objects[0].element == b"\x00\x20\x00"  # 50 / 200 of full scale
    short = next(item for item in answers if item.type_id == 13 and item.objects[-1].ioa == 3000)
    assert short.objects[-1].element[:4] == b"\x00\x00\xfaB"  # 12.5 / 0.1 = 125.0


def test_silent_master_is_dropped(build, clock):
    station = Outstation([build.point(0, 1, 1)], [], clock, parameters=OutstationParameters(LinkParameters(t1=3, t2=1)))
    master = Master(station, build.apdus).start()
    master.acknowledges = False
    station.update([0], 0)
    station.update([0], 1)
    master.pump()
    clock.advance(3)
    assert master.take(master.session.tick()) == ["an I frame was not acknowledged within t1 = 3 s"]


def test_points_that_cannot_be_served_are_named(build, clock):
    with pytest.raises(ConfigError, match="S/P0: type 38"):
        Outstation([build.point(0, 1, 38)], [], clock)
    with pytest.raises(ConfigError, match="used twice"):
        Outstation([build.point(0, 1, 1), build.point(1, 1, 3)], [], clock)
    with pytest.raises(ConfigError, match="not a command"):
        Outstation([], [build.control(0, 1, 13)], clock)
    with pytest.raises(KeyError):
        Outstation([build.point(0, 1, 1)], [], clock).update([5], 1)


def test_apdu_helper_agrees_with_the_standard(build):
    assert build.apdus(apci.s_frame(5)) == [("S", 5)]
