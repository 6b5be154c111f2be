"""The controlled station, item by item of the conformance list (research/protocols.md, section 6), against raw frames.

The number of the item is in the name of the test. Items of sockets, TLS and whole processes stand in
``test_iec104_station_sockets.py`` with the same numbers.
"""

import math
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from scada.core.clock import VirtualClock
from scada.core.errors import ConfigError
from scada.model_cim.tables import RedundancyGroup
from scada.protocols.iec104 import asdu as asdus
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.apci import UFunction, i_frame, s_frame, u_frame
from scada.protocols.iec104.asdu import Asdu, Cause
from scada.protocols.iec104.event_queue import StoredEventQueue
from scada.protocols.iec104.groups import UnknownMasterError
from scada.protocols.iec104.image import Serving
from scada.protocols.iec104.link import LinkParameters
from scada.protocols.iec104.outstation import Outstation, OutstationParameters
from scada.rtdb.lmdb_file import StoreFullError
from tests.protocols.iec104.raw_master import (
    RawMaster,
    causes,
    clock_of,
    counter_request,
    interrogation,
    objects,
    order,
)

TWO_GROUPS = (RedundancyGroup("north", ("10.0.0.1", "10.0.0.2")), RedundancyGroup("south", ("10.0.1.1",)))
TESTFR = u_frame(UFunction.TESTFR_ACT)


@pytest.fixture
def clock():
    return VirtualClock(1_780_000_000_000_000_000)


@pytest.fixture
def make(build, clock):
    """A station: single points 0-9 (IOA 100-), a double point 10 (200), measured values 11-15 (300-), counters 16-19 (400-)."""

    def build_station(more=(), **options):
        points = [
            *[build.point(i, 100 + i, 1) for i in range(10)],
            build.point(10, 200, 3),
            *[build.point(11 + i, 300 + i, 13, deadband=1.0) for i in range(5)],
            *[build.point(16 + i, 400 + i, 15) for i in range(4)],
            build.point(20, 100, 1, ca=2),
            *more,
        ]
        controls = [
            build.control(0, 9000, 46),
            build.control(1, 9001, 50, select=False),
            build.control(2, 9002, 58, select=False),
        ]
        station = Outstation(points, controls, clock, **options)
        first = [0] * 10 + [1] + [10.0] * 5 + [1000, 1001, 1002, 1003] + [0]
        station.update(range(21), first)
        return station

    return build_station


@pytest.fixture
def rig(make, clock):
    """A station whose owner accepts everything, and a started master."""
    asked = []
    station = make(on_command=lambda one: asked.append(one) is None)
    master = RawMaster(station).start()
    master.asdus = []
    return SimpleNamespace(station=station, master=master, asked=asked, clock=clock)


def acted(rig):
    return [one for one in rig.asked if one.step == "execute"]


# ---------------------------------------------------------------- link


def test_item_01_a_master_that_falls_silent_is_dropped_by_t3_and_t1(rig):
    rig.clock.advance(20)
    assert rig.master.tick() == ["TESTFR_ACT"]
    rig.clock.advance(15)
    assert rig.master.tick() == ["TESTFR_ACT was not confirmed within t1 = 15 s"]


def test_item_01_only_configured_masters_are_served(make):
    station = make(groups=TWO_GROUPS)
    with pytest.raises(UnknownMasterError):
        station.connect("10.9.9.9")
    assert station.connect("10.0.0.2").group == "north"


def test_item_02_nothing_is_sent_before_the_start_and_nothing_is_taken(make):
    station = make()
    master = RawMaster(station)
    station.update([0], 1)
    assert master.pump() == []
    assert master.give(u_frame(UFunction.STARTDT_ACT))[0] == "STARTDT_CON"
    early = RawMaster(station, "early")
    early.give(i_frame(0, 0, interrogation().encode()))
    assert "data transfer is stopped" in early.closed


def test_item_03_a_stop_waits_for_the_acknowledgement_of_what_is_on_its_way(rig):
    rig.master.acknowledges = False
    rig.station.update([0], 1)
    assert len(rig.master.pump()) == 1
    assert rig.master.stop() == []
    rig.station.update([0], 0)
    assert rig.master.pump() == []
    assert rig.master.acknowledge() == ["STOPDT_CON"]
    assert rig.master.pump() == []
    assert rig.master.give(TESTFR) == ["TESTFR_CON"]  # test frames go on
    rig.master.acknowledges = True
    rig.master.start()
    assert [element[:1] for _, element in objects(rig.master.asdus)] == [b"\0"]


def test_item_04_test_frames_in_every_state_and_t3_starts_anew_with_any_frame(make, clock):
    master = RawMaster(make())
    assert master.give(TESTFR) == ["TESTFR_CON"]  # stopped
    master.start()
    for _ in range(3):
        clock.advance(15)
        assert master.tick() == []
        master.acknowledge()
    clock.advance(20)
    assert master.tick() == ["TESTFR_ACT"]
    master.give(u_frame(UFunction.TESTFR_CON))
    clock.advance(15)
    assert master.tick() == []
    assert not master.closed


def test_item_05_received_frames_are_acknowledged_within_t2_at_the_latest_after_w_and_with_data(make, clock):
    master = RawMaster(make()).start()
    one = asdus.single(107, 44, 1, 0, bytes(9)).encode()  # an answer, which is not answered
    master.give(i_frame(0, master.received, one))
    clock.advance(9.9)
    assert master.tick() == []
    clock.advance(0.1)
    assert master.tick() == [("S", 1)]
    said = [master.give(i_frame(number, master.received, one)) for number in range(1, 9)]
    assert said == [[]] * 7 + [[("S", 9)]]
    (test,) = [
        item
        for item in master.give(i_frame(9, master.received, asdus.single(104, 6, 1, 0, b"\xaa\x55").encode()))
        if item[0] == "I"
    ]
    assert test[2] == 10  # acknowledged by the answer itself


def test_item_06_never_more_than_k_and_t1_on_the_oldest(make, clock, build):
    station = make([build.point(1000 + i, 10_000 + 2 * i, 13) for i in range(2000)])
    master = RawMaster(station).start()
    master.acknowledges = False
    assert len(master.ask(interrogation())) == 12
    assert master.pump() == []
    master.acknowledge(master.received - 5)
    assert len(master.asdus) == 7
    clock.advance(14)
    assert master.tick() == []
    master.acknowledge()
    clock.advance(14.9)
    master.tick()
    assert not master.closed
    clock.advance(0.1)
    assert master.tick() == ["an I frame was not acknowledged within t1 = 15 s"]


def test_item_07_numbers_go_round_and_wrong_ones_close(make):
    station = make()
    master = RawMaster(station).start()
    link = master.session.link
    link._counters[:] = 32_766
    master.sent, master.received = 32_766, 32_766
    for number in range(4):
        (answer,) = master.ask(asdus.single(104, 6, 1, 0, bytes([number, 0])))
        assert answer.objects[0].element == bytes([number, 0])
    assert (master.sent, master.received) == (2, 2)
    wrong = {
        "leaves out 1": lambda one: one.give(i_frame(one.sent + 1, one.received, interrogation().encode())),
        "repeats a frame": lambda one: one.give(i_frame(one.sent - 1, one.received, interrogation().encode())),
        "never sent": lambda one: one.give(s_frame(one.received + 1)),
        "goes back": lambda one: one.give(s_frame(one.received - 1)),
    }
    for reason, offend in wrong.items():
        master = RawMaster(station, reason).start()
        master.ask(interrogation())
        before = len(master.asdus)
        offend(master)
        assert reason in master.closed
        assert len(master.asdus) == before


@pytest.mark.parametrize(
    "frame",
    ["69040b000000", "680300000000", "68fe00000000", "68040f000000", "6804070100 00", "68050000000000", "680401010000"],
    ids=["start", "short", "long", "unknown U", "U with more", "I of 5", "S with more"],
)
def test_item_08_impossible_frames_close_with_a_reason(rig, frame):
    rig.master.give(bytes.fromhex(frame))
    assert rig.master.closed
    assert rig.master.give(TESTFR) == []


@pytest.mark.parametrize(
    "octets",
    ["2d00060001002823 0081", "2d0206000100282300 81", "67010600010000000001", "2d0106000100"],
    ids=["VSQ 0", "VSQ larger than the data", "clock without a clock", "no object"],
)
def test_item_08_malformed_asdus_are_passed_over_and_counted(rig, octets):
    assert rig.master.ask(bytes.fromhex(octets)) == []
    assert rig.master.remarks
    assert rig.master.session.report().malformed == 1
    assert causes(rig.master.ask(interrogation()))[-1] == (100, 10, False)
    assert rig.asked == []


def test_item_08_frames_are_cut_and_joined_anywhere(rig):
    rig.master.acknowledges = False
    stream = b"".join(i_frame(n, 2, order(50, 9001, float(n)).encode()) for n in range(5))
    for cut in range(0, len(stream), 7):
        rig.master.give(stream[cut : cut + 7])
    rig.master.give(b"".join(i_frame(n, rig.master.received, order(50, 9001, float(n)).encode()) for n in range(5, 9)))
    assert [one.value for one in acted(rig)] == [float(n) for n in range(9)]


# ---------------------------------------------------------------- ASDUs


def test_item_10_originator_and_test_bit_are_mirrored_and_broadcast_is_for_four_types(rig):
    request = Asdu(100, 6, 1, interrogation().objects, originator=7)
    assert {answer.originator for answer in rig.master.ask(request)} == {7}
    test = Asdu(100, 6, 1, interrogation().objects, test=True)
    assert {answer.test for answer in rig.master.ask(test)} == {True}
    command = Asdu(50, 6, 1, order(50, 9001, 1.0).objects, test=True)
    (answer,) = rig.master.ask(command)
    assert (answer.cause, answer.test, answer.negative, rig.asked) == (7, True, False, [])
    for type_id, element in ((100, b"\x14"), (101, b"\5"), (103, cp56.to_octets(rig.clock.now_ns()))):
        answers = rig.master.ask(asdus.single(type_id, 6, 0xFFFF, 0, element))
        assert {answer.common_address for answer in answers} == {1, 2}
    for refused in (
        asdus.single(104, 6, 0xFFFF, 0, b"\0\0"),
        asdus.single(102, 5, 0xFFFF, 100, b""),
        order(50, 9001, 1, ca=0xFFFF),
    ):
        assert causes(rig.master.ask(refused)) == [(refused.type_id, 46, True)]


def test_item_10_a_test_resets_freezes_and_sets_nothing(make, clock):
    reset = []
    station = make(on_reset=lambda qrp: reset.append(qrp) is None, parameters=OutstationParameters(follow_clock=True))
    master = RawMaster(station).start()
    for type_id, element in ((101, b"\x85"), (103, cp56.to_octets(clock.now_ns() + 10**10)), (105, b"\1")):
        request = Asdu(type_id, 6, 1, asdus.single(type_id, 6, 1, 0, element).objects, test=True)
        assert {(answer.test, answer.negative) for answer in master.ask(request)} == {(True, False)}
    assert reset == []
    assert station.now_ns() == clock.now_ns()
    assert objects(master.ask(counter_request()))[0][1] == bytes([0xE8, 3, 0, 0, 0])


@pytest.mark.parametrize(
    ("asdu", "cause"),
    [
        (asdus.single(200, 6, 1, 0, b"\1\2\3"), 44),
        (asdus.single(1, 3, 1, 100, b"\1"), 44),
        (interrogation(cause=20), 45),
        (counter_request(cause=3), 45),
        (asdus.single(102, 6, 1, 100, b""), 45),
        (asdus.single(103, 5, 1, 0, bytes(7)), 45),
        (asdus.single(107, 3, 1, 0, bytes(9)), 45),
        (order(46, 9000, 1, cause=5), 45),
        (interrogation(ca=9), 46),
        (order(46, 9000, 1, ca=9), 46),
        (asdus.single(100, 6, 1, 5, b"\x14"), 47),
        (asdus.single(102, 5, 1, 999, b""), 47),
        (order(46, 12_345, 1), 47),
        (Asdu(100, 6, 1, interrogation().objects * 2), 47),
    ],
    ids=lambda value: f"{value.type_id} cot {value.cause}" if isinstance(value, Asdu) else str(value),
)
def test_item_11_what_is_unknown_is_mirrored_whole_and_negative_and_the_link_stays(rig, asdu, cause):
    (answer,) = rig.master.ask(asdu)
    assert (answer.cause, answer.negative) == (cause, True)
    sent, back = asdu.encode(), answer.encode()
    assert (back[:2], back[3:]) == (sent[:2], sent[3:])
    assert causes(rig.master.ask(interrogation()))[-1] == (100, 10, False)


def test_item_12_sequences_sizes_and_every_bit_of_quality_and_time(build, clock):
    count = 300
    points = [build.point(i, 0xFFFFFF - count + 1 + i, 1) for i in range(count)]
    station = Outstation([*points, build.point(900, 1, 36), build.point(901, 5, 30)], [], clock)
    station.update(range(count), [i % 2 for i in range(count)], quality=[(i % 16) << 4 for i in range(count)])
    master = RawMaster(station).start()
    answers = master.ask(interrogation())
    assert [len(item.objects) for item in answers if item.type_id == 1 and item.sequence] == [127, 127, 46]
    got = dict(objects(answers))
    assert [got[0xFFFFFF - count + 1 + i] for i in range(count)] == [bytes([i % 2 | (i % 16) << 4]) for i in range(count)]
    for value in (math.nan, math.inf):
        station.update([900], value)
        (asdu,) = master.pump()
        assert asdu.objects[0].element[4] & 0x80
    station.update([901], 0)
    master.pump()
    midnight = 1_780_012_800_000_000_000 // 86_400_000_000_000 * 86_400_000_000_000
    station.update([901], 1, source_time=midnight)
    (asdu,) = master.pump()
    assert asdu.objects[0].element[1:5] == b"\0\0\0\0"  # not 24:00
    station.update([901], 0, quality=1 << 22)  # time invalid
    (asdu,) = master.pump()
    assert asdu.objects[0].element[3] & 0x80


# ---------------------------------------------------------------- basic application functions


def test_item_13_end_of_initialisation_of_every_station_before_any_data(make):
    station = make()
    station.update([0], 1)
    master = RawMaster(station)
    master.give(u_frame(UFunction.STARTDT_ACT) + i_frame(0, 0, interrogation().encode()))
    assert [(item.type_id, item.cause, item.common_address) for item in master.asdus[:2]] == [(70, 4, 1), (70, 4, 2)]
    assert master.asdus[0].objects[0].ioa == 0
    assert [item for item in master.asdus[2:] if item.type_id == 70] == []


def test_item_13_an_end_of_initialisation_that_was_not_acknowledged_comes_again(make):
    station = make()
    master = RawMaster(station)
    master.acknowledges = False
    master.start()
    master.leave()
    again = RawMaster(station).start()
    assert [item.type_id for item in again.asdus] == [70, 70]
    again.leave()
    assert RawMaster(station).start().asdus == []


@pytest.mark.parametrize("count", [1, 48, 10_000])
def test_item_14_an_interrogation_of_any_size(build, clock, count):
    station = Outstation([build.point(i, 1 + i, 13) for i in range(count)], [], clock)
    station.update(range(count), range(count))
    answers = RawMaster(station).start().ask(interrogation())
    assert causes(answers)[-1] == (100, 10, False)
    got = objects(answers, cause=20)
    assert [ioa for ioa, _ in got] == list(range(1, count + 1))
    assert {item.type_id for item in answers} <= {70, 100, 13}  # no time in it
    assert np.frombuffer(b"".join(element[:4] for _, element in got), "<f4").tolist() == list(range(count))


def test_item_14_a_hundred_thousand_points_take_less_than_a_megabyte(build, clock):
    count = 100_000
    station = Outstation([build.point(i, 1 + 2 * (i // 3) + i, (1, 3, 13, 9)[i % 4]) for i in range(count)], [], clock)
    station.update(range(count), 1)
    master = RawMaster(station).start()
    request = i_frame(0, master.received, interrogation().encode())
    session, sent, received = master.session, 0, master.received
    tracemalloc.start()
    try:
        events = session.feed(request)
        ended = False
        while not ended:
            frames = [event.data for event in events]
            received += sum(frame[2] & 1 == 0 for frame in frames)
            sent += sum(frame[7] & 0x7F for frame in frames if frame[2] & 1 == 0 and frame[6] < 45)
            ended = any(frame[6] == 100 and frame[8] == Cause.ACTIVATION_TERM for frame in frames if len(frame) > 8)
            events = session.feed(s_frame(received % 32768))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent == count
    assert peak < 1_000_000


def test_item_14_groups_are_those_of_the_points(make):
    serving = {0: Serving(group=1), 1: Serving(group=1), 11: Serving(group=1), 2: Serving(group=16)}
    master = RawMaster(make(serving=serving)).start()
    answers = master.ask(interrogation(21))
    assert causes(answers) == [(100, 7, False), (1, 21, False), (13, 21, False), (100, 10, False)]
    assert [ioa for ioa, _ in objects(answers)] == [100, 101, 300]
    assert [ioa for ioa, _ in objects(master.ask(interrogation(36)), cause=36)] == [102]
    for nobody in (22, 19, 37, 0):
        assert causes(master.ask(interrogation(nobody))) == [(100, 7, True)]
    with pytest.raises(ConfigError, match="no group 17"):
        make(serving={0: Serving(group=17)})


def test_item_14_an_interrogation_is_cancelled_anywhere_in_it(build, clock):
    station = Outstation([build.point(i, 2 * i, 13) for i in range(2000)], [], clock)
    for taken in (1, 5, 30, 50):
        master = RawMaster(station, str(taken)).start()
        master.acknowledges = False
        master.ask(interrogation())
        while len(master.asdus) < taken:
            master.acknowledge()
        before = len(master.asdus)
        master.give(i_frame(1, master.received, interrogation(cause=8).encode()))
        master.acknowledges = True
        master.acknowledge()
        rest = master.asdus[before:]
        assert (100, 9, False) in causes(rest)
        assert (100, 10, False) not in causes(master.asdus)
        assert len(objects(rest)) <= 12 * 30
        master.sent = 2
        assert causes(master.ask(interrogation(cause=8))) == [(100, 9, True)]  # nothing runs any more


def test_item_14_a_second_interrogation_begins_anew_and_both_end_once(build, clock):
    station = Outstation([build.point(i, 2 * i, 13) for i in range(1000)], [], clock)
    master = RawMaster(station).start()
    master.acknowledges = False
    master.ask(interrogation())
    master.acknowledges = True
    number, master.sent = master.sent, master.sent + 1
    master.give(i_frame(number, master.received, interrogation().encode()))
    said = causes(master.asdus)
    assert said.count((100, 7, False)) == 2
    assert said.count((100, 10, False)) == 1
    behind = master.asdus[max(i for i, item in enumerate(said) if item == (100, 7, False)) :]
    assert [ioa for ioa, _ in objects(behind)] == list(range(0, 2000, 2))


def test_item_14_spontaneous_data_goes_between_and_nothing_older_follows(build, clock):
    points = [*[build.point(i, 2 * i, 1) for i in range(900)], build.point(900, 5000, 3), build.point(901, 6000, 13)]
    station = Outstation(points, [], clock)
    station.update(range(902), 0)
    master = RawMaster(station).start()
    master.acknowledges = False
    master.ask(interrogation())
    station.update([900], 1)
    station.update([901], 77.0)
    master.acknowledges = True
    master.acknowledge()
    kinds = [(item.type_id, item.cause) for item in master.asdus]
    assert kinds.index((31, 3)) < kinds.index((100, 10))
    answered = dict(objects(master.asdus, cause=20))
    assert answered[5000] == b"\1"
    assert answered[6000] == np.float32(77).tobytes() + b"\0"
    # the newest value has gone with the answer, it is not sent twice
    assert master.pump() == []
    assert not [item for item in master.asdus if item.type_id == 13 and item.cause == 3]


def test_item_15_what_one_group_freezes_and_resets_no_other_reads(make):
    """A centre may take its readings as it likes; to another one they would be wrong totals."""
    station = make(groups=TWO_GROUPS)
    north, south = RawMaster(station, "10.0.0.1").start(), RawMaster(station, "10.0.1.1").start()
    north.ask(counter_request(0x85))  # freeze and reset
    station.update([16], [1500.0])

    def read(master):
        return {ioa: int.from_bytes(element[:4], "little") for ioa, element in objects(master.ask(counter_request()))}[400]

    assert (read(north), read(south)) == (1000, 1500)
    again = RawMaster(station, "10.0.0.2").start()
    assert read(again) == 1000, "the other link of the group reads what the group froze"


@pytest.mark.parametrize(("quality", "iv"), [(0, 0), (0x40, 0x80), (0x01, 0x80), (0x80, 0x80), (0x20, 0)])
def test_item_15_a_counter_that_nobody_knows_is_invalid(make, quality, iv):
    """Of the quality descriptor a counter has one bit: a reading that is not topical must not pass for a good one."""
    station = make()
    station.update([16], [1000.0], quality)
    assert objects(RawMaster(station).start().ask(counter_request()))[0][1][4] & 0x80 == iv


def test_item_15_counters_as_a_whole_and_by_group_frozen_reset_and_read(make):
    serving = {16: Serving(group=1), 17: Serving(group=1), 18: Serving(group=4)}
    station = make(serving=serving)
    master = RawMaster(station).start()

    def read(qcc):
        answers = master.ask(counter_request(qcc))
        assert causes(answers)[0] == (101, 7, False)
        assert causes(answers)[-1] == (101, 10, False)
        cause = {item.cause for item in answers[1:-1]}
        return cause, {ioa: (int.from_bytes(element[:4], "little"), element[4]) for ioa, element in objects(answers)}

    assert read(5) == ({37}, {400 + i: (1000 + i, 0) for i in range(4)})
    assert read(1) == ({38}, {400: (1000, 0), 401: (1001, 0)})
    assert read(4) == ({41}, {402: (1002, 0)})
    assert read(0x41) == (set(), {})  # freeze group 1
    station.update(range(16, 20), [1100, 1101, 1102, 1103], detail=[0x20, 0x40, 0, 0])
    assert read(5)[1] == {400: (1000, 1), 401: (1001, 1), 402: (1102, 0), 403: (1103, 0)}
    read(0x85)  # freeze and reset all
    assert read(5)[1] == {400: (1100, 2 | 0x20), 401: (1101, 2 | 0x40), 402: (1102, 1), 403: (1103, 1)}
    station.update(range(16, 20), [1150, 1151, 1152, 1153], quality=[0x80, 0, 0, 0])
    read(0x45)
    assert read(5)[1] == {400: (50, 3 | 0x80), 401: (50, 3), 402: (50, 2), 403: (50, 2)}
    read(0xC5)  # reset alone keeps what was frozen
    assert read(1)[1] == {400: (50, 3 | 0x80), 401: (50, 3)}
    for nobody in (2, 0, 6, 63):
        assert causes(master.ask(counter_request(nobody))) == [(101, 7, True)]
    assert causes(master.ask(counter_request(cause=8))) == [(101, 9, True)]


def test_item_15_the_sequence_number_goes_round(make):
    station = make()
    master = RawMaster(station).start()
    for expected in [*range(1, 32), 0, 1]:
        master.ask(counter_request(0x45))
        assert objects(master.ask(counter_request()))[0][1][4] & 0x1F == expected


def test_item_16_return_information_and_the_order_of_events(rig):
    at = rig.clock.now_ns()
    rig.station.update([10, 0, 10], [0, 1, 2], source_time=[at, at + 10**6, at + 2 * 10**6], cause=Cause.RETURN_REMOTE)
    rig.station.update([1], 1, source_time=at + 3 * 10**6, cause=Cause.RETURN_LOCAL)
    rig.station.update([2], 1, source_time=at + 4 * 10**6)
    answers = rig.master.pump()
    assert [item.cause for item in answers] == [11, 11, 11, 12, 3]
    assert [ioa for ioa, _ in objects(answers)] == [200, 100, 200, 101, 102]
    assert [clock_of(element) for _, element in objects(answers)] == [at + i * 10**6 for i in range(5)]


def test_item_17_the_clock_is_confirmed_as_it_was_and_an_invalid_one_refused(make, clock):
    for follows in (True, False):
        station = make(parameters=OutstationParameters(follow_clock=follows, zone_minutes=480))
        master = RawMaster(station).start()
        before = station.now_ns()
        ahead = 5_000_000_000
        (answer,) = master.ask(asdus.single(103, 6, 1, 0, cp56.to_octets(before + ahead, 480)))
        assert (answer.cause, answer.negative) == (7, False)
        assert answer.objects[0].element == cp56.to_octets(before, 480)
        assert station.clock_difference_ns == pytest.approx(ahead, abs=10**6)
        assert station.now_ns() - before == pytest.approx(ahead if follows else 0, abs=10**6)
        invalid = bytearray(cp56.to_octets(before))
        invalid[2] |= 0x80
        refused = asdus.single(103, 6, 1, 0, bytes(invalid))
        (answer,) = master.ask(refused)
        assert (answer.cause, answer.negative, answer.objects) == (7, True, refused.objects)


def test_item_18_read_test_and_reset(make):
    station = make(on_reset=lambda qrp: qrp == 1)
    master = RawMaster(station).start()
    assert [(item.type_id, item.cause) for item in master.ask(asdus.single(102, 5, 1, 300, b""))] == [(13, 5)]
    (test,) = master.ask(asdus.single(107, 6, 1, 0, b"\x12\x34" + cp56.to_octets(10**18)))
    assert (test.cause, test.objects[0].element[:2]) == (7, b"\x12\x34")
    assert causes(master.ask(asdus.single(105, 6, 1, 0, b"\1"))) == [(105, 7, False)]
    assert causes(master.ask(asdus.single(105, 6, 1, 0, b"\2"))) == [(105, 7, True)]
    assert causes(master.ask(asdus.single(106, 6, 1, 0, bytes(2)))) == [(106, 44, True)]
    without = RawMaster(make()).start()
    assert causes(without.ask(asdus.single(105, 6, 1, 0, b"\1"))) == [(105, 44, True)]


# ---------------------------------------------------------------- commands


def test_item_19_a_direct_command_is_confirmed_informs_and_ends(rig):
    def operate(asked):
        if asked.value == 2:
            rig.station.update([11], asked.value * 100)
            rig.station.update([0], 1, cause=Cause.RETURN_REMOTE)
        return asked.value == 2

    rig.station.desk._on_command = operate
    answers = rig.master.ask(order(50, 9001, 2.0))
    assert [(item.type_id, item.cause, item.negative) for item in answers[:3]] == [
        (50, 7, False),
        (30, 11, False),
        (50, 10, False),
    ]
    assert causes(rig.master.ask(order(50, 9001, 3.0))) == [(50, 7, True)]


def test_item_20_select_before_operate(rig):
    ask, select = rig.master.ask, order(46, 9000, 2, select=True)
    assert causes(ask(order(46, 9000, 2))) == [(46, 7, True)]  # execute without select
    assert causes(ask(select)) == [(46, 7, False)]
    assert causes(ask(select)) == [(46, 7, True)]  # second select
    assert causes(ask(order(46, 9000, 1))) == [(46, 7, True)]  # another value
    ask(select)
    assert causes(ask(order(46, 9000, 2, qualifier=2))) == [(46, 7, True)]  # another qualifier
    ask(select)
    assert causes(ask(order(46, 9000, 2, cause=8, select=True))) == [(46, 9, False)]
    assert causes(ask(order(46, 9000, 2))) == [(46, 7, True)]  # cancelled
    ask(select)
    rig.clock.advance(20)
    assert causes(ask(order(46, 9000, 2))) == [(46, 7, True)]  # expired
    ask(select)
    other = RawMaster(rig.station, "other").start()
    assert causes(other.ask(order(46, 9000, 2))) == [(46, 7, True)]
    assert acted(rig) == []
    assert causes(ask(order(46, 9000, 2))) == [(46, 7, False), (46, 10, False)]
    assert len(acted(rig)) == 1


@pytest.mark.parametrize("how", ["cut", "stopped", "displaced"])
def test_item_20_a_selection_falls_with_its_link(make, how):
    asked = []
    station = make(on_command=lambda one: asked.append(one) is None, groups=TWO_GROUPS)
    one, two = RawMaster(station, "10.0.0.1").start(), RawMaster(station, "10.0.0.2")
    one.ask(order(46, 9000, 2, select=True))
    if how == "cut":
        one.leave()
    elif how == "stopped":
        one.stop()
    two.start()
    assert [(each.step, each.group) for each in asked] == [("select", "north"), ("cancel", "north")]
    assert causes(two.ask(order(46, 9000, 2))) == [(46, 7, True)]
    assert causes(two.ask(order(46, 9000, 2, select=True))) == [(46, 7, False)]


@pytest.mark.parametrize("state", [0, 3])
@pytest.mark.parametrize("select", [0, 0x80])
def test_item_20_states_that_no_switch_has_are_refused(rig, state, select):
    assert causes(rig.master.ask(asdus.single(46, 6, 1, 9000, bytes([state | select])))) == [(46, 7, True)]
    assert rig.asked == []


def test_item_21_a_command_agreed_with_a_time_tag_is_not_taken_without(rig):
    """Else one that was held up on its way would act at any age."""
    assert causes(rig.master.ask(order(45, 9002, 1))) == [(45, 7, True)]


@pytest.mark.parametrize(
    ("offset_s", "taken"), [(0, True), (-10, True), (10, True), (-10.1, False), (10.1, False), (None, False)]
)
def test_item_21_a_time_tagged_command_must_be_fresh(rig, offset_s, taken):
    octets = bytearray(cp56.to_octets(rig.clock.now_ns() + int((offset_s or 0) * 1e9)))
    octets[2] |= 0x80 if offset_s is None else 0
    answers = rig.master.ask(order(58, 9002, 1, time=bytes(octets)))
    assert causes(answers) == ([(58, 7, False), (58, 10, False)] if taken else [(58, 7, True)])
    assert len(rig.asked) == taken


def test_item_21_summer_time_is_an_hour_ahead(make, clock):
    def summer(offset_s):
        octets = bytearray(cp56.to_octets(clock.now_ns() + int(offset_s * 1e9), 480))
        octets[3] |= 0x80
        return bytes(octets)

    parameters = OutstationParameters(zone_minutes=480, follow_clock=True)
    station = make(on_command=lambda _: True, parameters=parameters)
    master = RawMaster(station).start()
    assert causes(master.ask(order(58, 9002, 1, time=summer(0)))) == [(58, 7, True)]  # an hour old
    assert causes(master.ask(order(58, 9002, 1, time=summer(3600)))) == [(58, 7, False), (58, 10, False)]
    master.ask(asdus.single(103, 6, 1, 0, summer(3602)))
    assert station.clock_offset_ns == pytest.approx(2 * 10**9, abs=10**6)


@pytest.mark.parametrize("raw", [math.nan, math.inf, -math.inf])
def test_item_22_qualifiers_reach_the_owner_and_a_set_point_is_a_number(rig, raw):
    rig.master.ask(order(46, 9000, 2, select=True, qualifier=3))
    assert (rig.asked[-1].qualifier, rig.asked[-1].value) == (3, 2.0)
    element = np.float32(raw).tobytes() + b"\0"
    assert causes(rig.master.ask(asdus.single(50, 6, 1, 9001, element))) == [(50, 7, True)]
    assert acted(rig) == []


def test_item_22_a_command_of_another_type_or_of_two_objects_is_refused(rig):
    assert causes(rig.master.ask(order(45, 9000, 1, select=True))) == [(45, 7, True)]
    two = Asdu(50, 6, 1, order(50, 9001, 1.0).objects * 2)
    assert causes(rig.master.ask(two)) == [(50, 7, True)]
    assert rig.asked == []


@pytest.mark.parametrize("type_id", [110, 111, 112, 113, 120, 121, 122, 123, 124, 125, 126, 127])
def test_item_23_parameters_and_files_are_refused_and_the_link_stays(rig, type_id):
    body = bytes(asdus.ELEMENT_SIZE.get(type_id, 5))
    for cause in (6, 13, 8):
        assert causes(rig.master.ask(asdus.single(type_id, cause, 1, 1, body))) == [(type_id, 44, True)]
    assert causes(rig.master.ask(interrogation()))[-1] == (100, 10, False)


# ---------------------------------------------------------------- redundancy and buffering


def states(answers):
    return [element[0] for _, element in objects(answers)]


def test_item_24_the_queue_goes_on_over_a_switch_from_the_acknowledged_point(make):
    station = make(groups=TWO_GROUPS)
    a, b = RawMaster(station, "10.0.0.1").start(), RawMaster(station, "10.0.0.2")
    assert b.give(TESTFR) == ["TESTFR_CON"]  # standby
    for value in (1, 0):
        station.update([0], value)
        a.pump()
    a.acknowledges = False
    for pid in (1, 2, 3):
        station.update([pid], 1)
        a.pump()
    a.acknowledge(a.received - 2)  # 1 is acknowledged, 2 and 3 are not
    b.asdus = []
    b.start()
    assert [ioa for ioa, _ in objects(b.asdus)] == [102, 103]
    station.update([4], 1)
    assert a.pump() == []
    assert [ioa for ioa, _ in objects(b.pump())] == [104]


def test_item_24_one_started_connection_a_group(make):
    station = make(groups=TWO_GROUPS)
    a, b = RawMaster(station, "10.0.0.1").start(), RawMaster(station, "10.0.0.2").start()
    south = RawMaster(station, "10.0.1.1").start()
    assert [link.state for group in station.report() for link in group.links] == ["stopped", "started", "started"]
    a.tick()
    assert "started by 10.0.0.2" in a.remarks[-1]
    assert a.give(TESTFR) == ["TESTFR_CON"]
    a.start()  # and back again
    assert [link.state for group in station.report() for link in group.links] == ["started", "stopped", "started"]
    station.update([0], 1)
    assert [len(one.pump()) for one in (a, b, south)] == [1, 0, 1]
    b.ask(interrogation())  # a stopped one has nothing to ask
    assert "data transfer is stopped" in b.closed


def test_item_24_measured_values_on_their_way_are_sent_again_by_the_other_link(make):
    station = make(groups=TWO_GROUPS)
    a, b = RawMaster(station, "10.0.0.1").start(), RawMaster(station, "10.0.0.2")
    a.acknowledges = False
    station.update([11, 12], [50.0, 60.0])
    a.pump()
    station.update([12], [70.0])
    a.leave()
    b.start()
    assert {ioa: np.frombuffer(element[:4], "<f4")[0] for ioa, element in objects(b.asdus)} == {300: 50.0, 301: 70.0}


def test_item_24_a_late_acknowledgement_of_the_stopped_link_counts(make):
    station = make(groups=TWO_GROUPS)
    a, b = RawMaster(station, "10.0.0.1").start(), RawMaster(station, "10.0.0.2")
    a.acknowledges = False
    station.update([1], 1)
    a.pump()
    b.acknowledges = False
    b.start()
    assert len(objects(b.asdus)) == 1
    a.acknowledge()
    b.leave()
    assert objects(RawMaster(station, "10.0.0.2").start().asdus) == []


def test_item_24_what_was_acknowledged_late_is_left_out_of_what_still_waits(make):
    station = make(groups=TWO_GROUPS)
    a, b = RawMaster(station, "10.0.0.1").start(), RawMaster(station, "10.0.0.2")
    a.acknowledges = False
    for number in range(8):
        station.update([number], 1, cause=(Cause.SPONTANEOUS, Cause.RETURN_LOCAL)[number % 2])  # a frame each
        a.pump()
    b.start().leave()
    assert station.report()[0].queued == 0
    b = RawMaster(station, "10.0.0.2")
    for number in range(8):
        station.update([number], 0, cause=(Cause.SPONTANEOUS, Cause.RETURN_LOCAL)[number % 2])
    b.acknowledges = False
    b.start()
    a.asdus = []
    a.start()  # its window has room for four more
    assert [ioa for ioa, _ in objects(a.asdus)] == [100, 101, 102, 103]
    b.acknowledge()  # late: it had them all
    a.asdus = []
    a.acknowledge(10)
    assert objects(a.asdus) == []
    assert station.report()[0].queued == 0


def test_item_24_without_groups_every_connection_stands_for_itself(make):
    station = make()
    one, two = RawMaster(station, "h").start(), RawMaster(station, "h").start()
    station.update([0, 11], [1, 99.0])
    assert [len(objects(each.pump())) for each in (one, two)] == [2, 2]
    assert [(group.name, group.links[0].state) for group in station.report()] == [("h", "started"), ("h#2", "started")]
    one.leave()
    two.leave()
    station.update([0], 0)
    assert len(objects(RawMaster(station, "h").start().asdus)) == 1


def test_item_24_ambiguous_groups_are_refused(make):
    one = RedundancyGroup("one", ("h",))
    for wrong in ([one, one], [one, RedundancyGroup("two", ("H",))], [RedundancyGroup("", ("x",))]):
        with pytest.raises(ConfigError):
            make(groups=wrong)
    with pytest.raises(ConfigError, match="name no masters"):
        make(groups=[RedundancyGroup("one", ()), RedundancyGroup("two", ())])
    station = make(groups=[one, RedundancyGroup("rest", ())])
    assert [station.connect(host).group for host in ("h", "x")] == ["one", "rest"]
    assert station.connect("x", names=["H", "other"]).group == "one"  # the certificate says who it is


def test_item_28_a_certificate_is_known_by_its_names_not_by_where_it_calls_from(make):
    station = make(groups=[RedundancyGroup("one", ("10.0.0.1",)), RedundancyGroup("two", ("centre",))])
    with pytest.raises(UnknownMasterError):
        station.connect("10.0.0.1", names=["somebody"])
    assert station.connect("10.0.0.1", names=["centre"]).group == "two"


def test_item_26_events_wait_in_order_with_their_time_and_measured_values_are_newest_only(make, clock, tmp_path):
    queue = StoredEventQueue(tmp_path, "up", 1000)
    station = make(groups=TWO_GROUPS, queue=queue)
    master = RawMaster(station, "10.0.0.1").start()
    master.leave()
    begin = clock.now_ns()
    for value in range(1, 6):
        clock.advance(1)
        station.update([0, 11], [value % 2, value * 10.0])
    clock.advance(3600)
    again = RawMaster(station, "10.0.0.2").start()
    events = [item for item in again.asdus if item.type_id == 30]
    assert states(events) == [1, 0, 1, 0, 1]
    assert [clock_of(element) for _, element in objects(events)] == [begin + i * 10**9 for i in range(1, 6)]
    assert [np.frombuffer(element[:4], "<f4")[0] for _, element in objects(again.asdus) if len(element) == 5] == [50.0]
    queue.close()


def test_item_26_events_and_the_place_in_the_source_survive_a_restart(make, tmp_path):
    queue = StoredEventQueue(tmp_path, "up", 1000)
    station = make(groups=TWO_GROUPS, queue=queue)
    master = RawMaster(station, "10.0.0.1").start()
    for seq, value in enumerate((1, 0, 1, 0), start=41):
        station.update([3], value, compare=False, source_seq=seq)
        master.pump()
        master.acknowledges = seq < 42
    queue.close()
    queue = StoredEventQueue(tmp_path, "up", 1000)
    assert queue.source_seq == 44
    station = make(groups=TWO_GROUPS, queue=queue)
    again = RawMaster(station, "10.0.0.2").start()
    assert [item.type_id for item in again.asdus] == [70, 70, 30]
    assert states(again.asdus[2:]) == [1, 0]
    assert [group.queued for group in station.report()] == [0, 4]
    queue.close()


def test_item_26_an_event_is_sent_under_the_address_its_point_has_now(build, clock, tmp_path):
    queue = StoredEventQueue(tmp_path, "up", 1000)
    before = Outstation([build.point(1, 11, 1), build.point(2, 12, 1)], [], clock, queue=queue, groups=TWO_GROUPS)
    before.update([1, 2, 1], [1, 1, 0], compare=False)
    queue.close()
    queue = StoredEventQueue(tmp_path, "up", 1000)
    after = Outstation([build.point(1, 12, 1)], [], clock, queue=queue, groups=TWO_GROUPS)  # 2 is served no more
    master = RawMaster(after, "10.0.0.1").start()
    assert [(ioa, element[0]) for ioa, element in objects(master.asdus)] == [(12, 1), (12, 0)]
    queue.close()


def test_item_26_an_overflow_is_counted_told_and_mended(make):
    station = make(groups=TWO_GROUPS, parameters=OutstationParameters(event_capacity=10))
    master = RawMaster(station, "10.0.0.1").start()
    master.leave()
    station.update([5], 1)  # will give way
    for number in range(30):
        station.update([0], 1 - number % 2)
    assert [group.lost for group in station.report()] == [21, 21]
    again = RawMaster(station, "10.0.0.1").start()
    assert len([1 for item in again.asdus if item.type_id == 30 for _ in item.objects]) == 10
    told = dict(objects(again.asdus, cause=Cause.BACKGROUND))
    assert told[105] == b"\1"  # the state whose event was lost
    assert "21 events gave way" in again.remarks[0]
    assert {group.name: group.lost for group in station.report()} == {"north": 21, "south": 21}
    assert station.events_lost == 42
    again.acknowledge()
    station.update([1], 1)
    assert [item.cause for item in again.pump()] == [3]  # told once


def test_item_26_states_told_anew_count_when_they_are_acknowledged(make):
    station = make(groups=TWO_GROUPS, parameters=OutstationParameters(event_capacity=10))
    RawMaster(station, "10.0.0.1").start().leave()
    station.update([5], 1)
    for number in range(30):
        station.update([0], 1 - number % 2)
    deaf = RawMaster(station, "10.0.0.1")
    deaf.acknowledges = False
    deaf.start()
    assert dict(objects(deaf.asdus, cause=Cause.BACKGROUND))[105] == b"\1"
    deaf.leave()
    again = RawMaster(station, "10.0.0.2").start()
    assert dict(objects(again.asdus, cause=Cause.BACKGROUND))[105] == b"\1", "it may never have arrived"


def test_item_26_what_the_source_has_lost_is_told_anew(make):
    station = make(groups=TWO_GROUPS)
    master = RawMaster(station, "10.0.0.1").start()
    station.load([5, 11], [1.0, 7.0], [0, 0], [1, 1])
    assert master.pump() == []
    station.renew()
    answers = master.pump()
    assert dict(objects(answers, cause=Cause.BACKGROUND))[105] == b"\1"
    newest = dict(objects(answers, cause=Cause.SPONTANEOUS))
    assert newest.keys() == {300, 301, 302, 303, 304}
    assert newest[300][:4] == np.float32(7).tobytes()


def test_item_26_what_is_queued_is_said_point_by_point(make):
    station = make(serving={0: Serving(queued=False), 11: Serving(queued=True)})
    master = RawMaster(station).start()
    master.leave()
    for value in (1, 0, 1):
        station.update([0, 11], [value, value * 50.0])
    again = RawMaster(station).start()
    assert [(item.type_id, len(item.objects)) for item in again.asdus] == [(36, 3), (30, 1)]


def test_item_26_when_the_queue_cannot_be_written_nothing_is_taken(make, tmp_path, monkeypatch):
    queue = StoredEventQueue(tmp_path, "up", 1000)
    station = make(queue=queue)
    master = RawMaster(station).start()
    with monkeypatch.context() as patched:
        patched.setattr(queue, "append", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            station.update([0, 11], [1, 99.0], source_seq=5)
    assert master.pump() == []
    station.update([0, 11], [1, 99.0], source_seq=5)
    assert [item.type_id for item in master.pump()] == [30, 13]
    queue.close()


def test_item_26_a_position_that_cannot_be_stored_is_told_and_the_data_go_on(make, tmp_path, monkeypatch):
    queue = StoredEventQueue(tmp_path, "up", 1000)
    station = make(queue=queue, groups=TWO_GROUPS)
    master = RawMaster(station, "10.0.0.1").start()

    def full(*_):
        raise StoreFullError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(queue, "stand", full)
        for value in (1, 0):
            station.update([0], value)
            assert len(master.pump()) == 1
    assert [text for text in master.remarks if "not stored" in text] == ["group north: its position is not stored: no space left"]
    assert [(group.queued, group.fault) for group in station.report()] == [(0, "no space left"), (2, "")]
    station.update([0], 1)
    assert len(master.pump()) == 1
    assert queue.join("north").position == 3
    assert station.report()[0].fault == ""
    queue.close()


def test_item_06_a_master_that_only_asks_is_thrown_out(rig):
    rig.master.acknowledges = False
    test = asdus.single(104, 6, 1, 0, b"\xaa\x55").encode()
    for _ in range(10):
        numbers = range(rig.master.sent, rig.master.sent + 500)
        rig.master.sent += 500
        rig.master.give(b"".join(i_frame(number, rig.master.received, test) for number in numbers))
    assert "does not acknowledge" in rig.master.closed


def test_item_27_ten_thousand_events_none_lost_and_a_blocked_group_holds_nobody_up(build, clock, tmp_path):
    points = [build.point(i, 1 + i, 1) for i in range(1000)]
    queue = StoredEventQueue(tmp_path, "up", 20_000)
    station = Outstation(
        points, [], clock, groups=TWO_GROUPS, queue=queue, parameters=OutstationParameters(LinkParameters(t1=300))
    )
    station.update(range(1000), 0)
    fast, slow = RawMaster(station, "10.0.0.1").start(), RawMaster(station, "10.0.1.1").start()
    slow.acknowledges = False
    fast.asdus, slow.asdus, heard = [], [], []
    for burst in range(100):  # 10 s of 1 000 changes a second
        clock.advance(0.1)
        chosen = [(burst * 100 + i) % 1000 for i in range(100)]
        station.update(chosen, (burst // 10 + 1) % 2, source_time=[clock.now_ns() + i * 10**6 for i in range(100)])
        heard += objects(fast.pump())
        slow.pump()
    assert len(heard) == 10_000
    times = [clock_of(element) for _, element in heard]
    assert times == sorted(times)
    assert [ioa for ioa, _ in heard] == [1 + i % 1000 for i in range(10_000)]
    assert slow.received <= 2 + 12
    slow.acknowledges = True
    slow.asdus = []
    begin = slow.said
    slow.acknowledge()
    everything = [item[3] for item in begin if item[0] == "I"]
    assert objects(everything) == heard
    queue.close()
