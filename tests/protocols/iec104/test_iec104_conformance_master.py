"""The controlling station item by item of the conformance list, against a scripted peer on a virtual clock: link and ASDU.

The number in a test's name is that of the item. Items that need sockets or two connections are proven where those are:
9 (reconnecting) in ``test_iec104_driver.py``, 25 in ``test_iec104_redundancy.py``, 28 with the TLS tests.
"""

import math
import struct
from functools import partial

import numpy as np
import pytest

from scada.core.batch import RecordFlag
from scada.core.quality import Quality
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.apci import UFunction, i_frame, s_frame
from scada.protocols.iec104.asdu import Asdu, InformationObject
from scada.protocols.iec104.commanding import Step
from scada.protocols.iec104.encode import capacity, encode_values
from tests.protocols.iec104.playbook import NOW, QUIET, STATUS, Playbook, Raw, asdu, con, quiet_book, some_points


@pytest.fixture
def points(build):
    return some_points(build)


@pytest.fixture
def book(build):
    return partial(quiet_book, build)


# ---------------------------------------------------------------------- link and APCI


def test_01_a_half_open_connection_is_found_by_t3_and_t1(book):
    half = book(t3=20, t1=15)
    assert half.wait(19.5, alive=False) == []
    assert half.wait(0.5, alive=False) == ["TESTFR_ACT"]
    assert half.wait(14.5, alive=False) == []
    assert half.wait(0.5, alive=False) == ["close TESTFR_ACT was not confirmed within t1 = 15 s"]


def test_02_data_transfer_is_asked_for_and_nothing_sent_before_its_confirmation(build, points):
    book = Playbook(build, points)
    assert book.connect() == ["STANDBY", "STARTDT_ACT"]
    assert book.command(build.control(0, 100, 45, select=False), 1, Step.EXECUTE) == ["done down: not sent: the channel is down"]
    assert book.wait(14.5, alive=False) == []
    assert book.peer(UFunction.STARTDT_CON)[:3] == ["UP", "I 103.6 CA1 IOA0 T", "I 100.6 CA1 IOA0 14"]


def test_02_without_a_confirmation_the_connection_is_closed_at_t1(build, points):
    book = Playbook(build, points, t1=15)
    book.connect()
    assert book.wait(15, alive=False) == ["close STARTDT_ACT was not confirmed within t1 = 15 s"]


def test_02_data_before_the_confirmation_close_the_connection(build, points):
    book = Playbook(build, points)
    book.connect()
    assert book.peer(STATUS) == ["! protocol_fault", "close I frame N(S) = 0 although data transfer is stopped"]


def test_03_at_the_end_data_transfer_is_stopped_and_what_still_comes_is_taken(book):
    stopping = book()
    before = stopping.out(stopping.channel.shutdown(stopping.mono))
    assert before[-1] == "STOPDT_ACT"
    assert stopping.command(stopping.controls[1], 1, Step.EXECUTE) == ["done down: not sent: the channel is down"]
    assert "value 0=1" in stopping.peer(STATUS)
    assert stopping.peer(UFunction.TESTFR_ACT) == ["TESTFR_CON"]
    assert stopping.peer(UFunction.STOPDT_CON) == []
    assert stopping.peer(STATUS)[-1].startswith("close I frame N(S)")


def test_04_test_frames_are_answered_also_before_data_transfer(build, points):
    book = Playbook(build, points)
    book.connect()
    assert book.peer(UFunction.TESTFR_ACT) == ["TESTFR_CON"]


@pytest.mark.parametrize("frame", ["ack", UFunction.TESTFR_ACT, STATUS], ids=["S", "U", "I"])
def test_04_every_received_frame_puts_the_test_frame_off(book, frame):
    idle = book(t3=20, t2=10)
    idle.wait(19, alive=False)
    idle.peer(frame)
    assert "TESTFR_ACT" not in idle.wait(19.5, alive=False)
    assert "TESTFR_ACT" in idle.wait(0.5, alive=False)


def test_04_octets_that_are_no_frame_do_not_put_it_off(book):
    idle = book(t3=20)
    idle.wait(19, alive=False)
    idle.peer(b"\x68\x0e\x00")
    assert idle.wait(1, alive=False) == ["TESTFR_ACT"]


def test_05_an_acknowledgement_goes_out_at_t2_at_the_latest(book):
    received = book(t2=10)
    received.peer("ack")
    received.wait(10.25)  # those of the start are behind us
    assert received.peer(STATUS) == ["value 0=1"]
    assert received.wait(9.75) == []
    assert received.wait(0.25) == ["S 5"]


def test_05_eight_frames_are_acknowledged_at_once_and_only_when_they_are_taken_over(book):
    received = book(t2=10)
    received.wait(10.25)
    assert received.peer(*[STATUS] * 8, deliver=False) == ["value 0=1"] * 8
    assert received.out(received.channel.delivered(received.mono)) == ["S 12"]
    own = received.peer(*[STATUS] * 7)
    assert own == ["value 0=1"] * 7
    assert received.order("read", ioa=10) == ["I 102.5 CA1 IOA10"]  # carries N(R)
    assert received.wait(10.25) != []


def test_05_our_own_frame_carries_the_acknowledgement(book):
    received = book(t2=10, confirmation_s=60)
    received.peer(STATUS)
    (ticket, effects) = received.channel.order("read", {"ioa": "10"}, received.now, received.mono)
    (frame,) = (item for effect in effects for item in received.build.apdus(effect.data))
    assert frame[:3] == ("I", 2, 5)
    assert ticket
    received.received = 3
    assert received.wait(12) == []


def test_06_never_more_than_k_frames_wait_for_an_acknowledgement(book):
    station = book(k=2, t1=15, t2=10, confirmation_s=60)
    station.peer("ack")
    assert station.order("read", ioa=10) == ["I 102.5 CA1 IOA10"]
    assert station.order("read", ioa=11) == ["I 102.5 CA1 IOA11"]
    assert station.order("read", ioa=12) == []
    assert station.order("read", ioa=13) == []
    assert station.peer(s_frame(station.received - 1)) == ["I 102.5 CA1 IOA12"]  # a part of it
    assert station.peer("ack") == ["I 102.5 CA1 IOA13"]


def test_06_t1_on_the_oldest_unacknowledged_frame_closes(book):
    station = book(t1=15)
    station.order("test")
    station.wait(5, alive=False)
    station.order("reset_process")
    assert [line for line in station.wait(10, alive=False) if line.startswith("close")] == [
        "close an I frame was not acknowledged within t1 = 15 s"
    ]


def test_07_numbers_begin_at_zero_and_wrap(build, points):
    book = Playbook(build, points, **QUIET, w=32767)
    assert book.start() == ["UP", "I 100.6 CA1 IOA0 14", "I 101.6 CA1 IOA0 05"]
    assert book.sent == 0
    data = STATUS.encode()
    for block in range(0, 32768, 256):
        book.channel.feed(b"".join(i_frame(n, 2, data) for n in range(block, block + 256)), book.now, book.mono)
        book.channel.delivered(book.mono)
    book.sent = 0
    assert book.peer(STATUS)[0] == "value 0=1"


@pytest.mark.parametrize(
    ("frame", "reason", "lost"),
    [
        (i_frame(7, 2, STATUS.encode()), "N(S) = 7 leaves out 3, expected 4", 3),
        (i_frame(3, 2, STATUS.encode()), "N(S) = 3 repeats a frame, expected 4", 0),
        (i_frame(32767, 2, STATUS.encode()), "N(S) = 32767 goes back by 5, expected 4", 0),
        (s_frame(9), "N(R) = 9 acknowledges frames that were never sent, V(S) = 2", 0),
        (s_frame(32767), "N(R) = 32767 goes back behind 2", 0),
    ],
    ids=["gap", "repeat", "back", "ahead", "behind"],
)
def test_07_a_wrong_number_closes_with_its_reason(book, frame, reason, lost):
    station = book()
    station.peer("ack")
    assert station.peer(frame) == ["! protocol_fault", f"close {reason}"]
    assert station.channel.statistics.lost_frames == lost
    assert station.records == []


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("00", "start octet is 00 instead of 68"),
        ("680301000000", "APDU length 3 is impossible for its format (frame 680301000000)"),
        ("68fe00000000", "APDU length 254 is impossible for its format (frame 68fe00000000)"),
        ("68090000000001010300" + "01", "APDU length 9 is impossible for its format (frame 680900000000)"),
        ("680543000000" + "00", "APDU length 5 is impossible for its format (frame 680543000000)"),
        ("680403000000", "control field is none of IEC 60870-5-104 (frame 680403000000)"),
        ("680447000000", "control field is none of IEC 60870-5-104 (frame 680447000000)"),
        ("680407000000", "STARTDT_ACT from a controlled station, nothing was asked"),
        ("680423000000", "STOPDT_CON from a controlled station, nothing was asked"),
    ],
)
def test_08_a_broken_frame_closes_with_its_reason(book, octets, reason):
    station = book()
    assert station.peer(bytes.fromhex(octets)) == ["! protocol_fault", f"close {reason}"]
    assert station.channel.statistics.malformed == 1


@pytest.mark.parametrize(
    "body",
    [
        "0d0203000100" + "0c0000" + "0000000000",  # VSQ larger than the data
        "0d0003000100",  # no object
        "0d0103000100" + "0c0000" + "00000000",  # truncated
        "0d0103000100" + "0c0000" + "000000000000",  # too long
        "0d8503000100" + "ffffff" + "00" * 25,  # addresses beyond the last one
        "460104000100",  # end of initialisation without its octet
        "670107000100",  # clock without its time
    ],
    ids=["more objects than data", "no object", "truncated", "too long", "address overflow", "no COI", "no time"],
)
def test_08_a_broken_asdu_is_left_out_and_the_link_lives(book, body):
    station = book()
    said = station.peer(STATUS, Raw(body), STATUS)
    assert [line for line in said if line.startswith(("value", "!", "close"))] == ["value 0=1", "value 0=1", "! malformed"]
    assert station.channel.statistics.malformed == 1


def test_08_segments_cut_and_join_frames_as_they_like(book):
    station = book()
    data = station.octets(STATUS, STATUS, UFunction.TESTFR_ACT, asdu(3, 3, 11, b"\x02"))
    said = []
    for octet in data:
        said += station.peer(bytes([octet]))
    assert [line for line in said if not line.startswith("S ")] == ["value 0=1", "value 0=1", "TESTFR_CON", "value 1=2"]


# ---------------------------------------------------------------------- ASDU


def test_10_the_originator_is_ours_and_answers_to_others_are_not(book):
    station = book(originator=7, command_timeout_s=10)
    assert station.command(station.controls[3], 1, Step.EXECUTE) == ["I 45.6 OA7 CA1 IOA103 01"]
    assert station.peer(con(45, 103, 1, oa=3), con(45, 103, 1)) == ["! foreign_answer", "! foreign_answer"]
    assert station.peer(con(45, 103, 1, oa=7)) == ["done confirmed"]
    assert station.channel.statistics.refused >= 2


def test_10_values_and_answers_under_test_are_not_applied(book):
    station = book()
    under_test = asdu(1, 3, 10, b"\x01", test=True)
    assert station.peer(under_test) == []
    assert station.channel.statistics.tests == 1
    station.command(station.controls[3], 1, Step.EXECUTE)
    tested = Asdu(45, 7, 1, (InformationObject(103, b"\x01"),), test=True)
    assert station.peer(tested) == ["! unexpected_asdu"]
    assert station.peer(asdu(70, 4, 0, b"\0", test=True)) == ["! unexpected_asdu"]
    assert station.peer(con(45, 103, 1)) == ["done confirmed"]


def test_10_the_broadcast_address_is_used_only_for_what_may_have_it(build):
    two = [build.point(0, 10, 1), build.point(1, 10, 1, ca=2), build.point(2, 20, 15)]
    book = Playbook(build, two, broadcast=1)
    assert book.start()[1:] == ["I 103.6 CA65535 IOA0 T", "I 100.6 CA65535 IOA0 14", "I 101.6 CA1 IOA0 05"]
    assert book.order("read", common_address=2, ioa=10) == ["I 102.5 CA2 IOA10"]
    assert book.order("test") == [f"I 107.6 CA{ca} IOA0 0{ca}00T" for ca in (1, 2)]
    book.peer(asdu(103, 7, 0, cp56.to_octets(NOW), 65535), asdu(100, 7, 0, b"\x14", 65535))
    assert [item.request.common_address for item in book.channel.procedures.running if item.confirmed] == [1, 2]


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (44, "unknown type identification"),
        (45, "unknown cause of transmission"),
        (46, "unknown common address"),
        (47, "unknown information object address"),
    ],
)
def test_11_every_negative_mirror_is_told_apart(book, cause, words):
    station = book()
    station.command(station.controls[3], 1, Step.EXECUTE)
    assert station.peer(con(45, 103, 1, cause, neg=True)) == [f"done refused: station answered: {words} (cause {cause})"]
    station.order("interrogate", group=3)
    said = station.peer(asdu(100, cause, 0, b"\x17", neg=True))
    assert said == ["! interrogation_refused", f"done refused: CA 1 refused the interrogation of group 3 of CA 1: {words}"]


@pytest.mark.parametrize("type_id", [2, 4, 6, 8, 10, 12, 14, 16, 17, 18, 19, 41, 43, 69, 127 + 1, 255])
def test_11_types_that_104_does_not_have_are_left_out_told_once_and_refused(book, type_id):
    station = book()
    odd = Raw(bytes([type_id, 1, 3, 0, 1, 0, 10, 0, 0, *b"\x01\x00\x00\x00"]).hex())
    mirror = f"I {type_id}.-44 CA1 0a000001000000"
    assert station.peer(odd, STATUS) == ["value 0=1", "! unsupported_type", mirror]
    assert station.peer(odd) == [mirror]
    refusal = Raw(bytes([type_id, 1, 0x6C, 0, 1, 0, 10, 0, 0, *b"\x01\x00\x00\x00"]).hex())
    assert station.peer(refusal) == ["! unexpected_asdu"]  # two stations must not answer each other for ever
    assert station.channel.statistics.refused == 3


@pytest.mark.parametrize("cause", [0, 4, 6, 7, 10, 13, 19, 42, 44, 45, 46, 47, 48, 63])
def test_11_a_value_with_a_cause_that_no_value_has_is_not_live(book, cause):
    station = book()
    assert station.peer(asdu(1, cause, 10, b"\x01"), asdu(1, cause, 10, b"\x01")) == ["! impossible_cause"]
    assert station.peer(asdu(1, 3, 10, b"\x01", neg=True)) == ["! impossible_cause"]
    assert station.channel.statistics.refused == 3
    assert station.records == []


@pytest.mark.parametrize("sequence", [False, True], ids=["SQ=0", "SQ=1"])
@pytest.mark.parametrize("type_id", [1, 3, 5, 7, 9, 11, 13, 21, 30, 31, 32, 33, 34, 35, 36])
def test_12_one_object_and_as_many_as_fit_at_both_ends_of_the_address_range(build, type_id, sequence):
    most = capacity(type_id, sequence=sequence)
    for count, first in ((1, 0), (most, 0), (most, 0x1000000 - most)):
        points = [build.point(n, first + n, type_id) for n in range(count)]
        book = Playbook(build, points, **QUIET)
        book.quiet_start()
        ioas, values = np.arange(first, first + count), np.arange(count) % 2
        quality = np.full(count, 0 if type_id == 21 else 0x30, dtype=np.uint32)
        raw = values * (0.5 if type_id in {9, 21, 34} else 1.0)
        times, detail = np.full(count, book.now), np.zeros(count, dtype=np.uint16)
        data = encode_values(type_id, 3, 1, ioas, raw, quality, times, detail, sequence=sequence)
        assert [line for line in book.peer(Raw(data.hex())) if line[0] == "v"] == [f"value {n}={raw[n]:g}" for n in range(count)]
        assert {int(record["quality"]) for record in book.records} == {int(quality[0])}


def test_12_a_number_that_is_none_is_invalid_and_stays_what_it_is(book):
    station = book()
    for raw in (math.nan, math.inf, -math.inf):
        station.peer(asdu(13, 3, 12, struct.pack("<fB", raw, 0)))
        assert station.records[-1]["quality"] == Quality.INVALID
        assert np.array_equal(station.records[-1]["value"], raw, equal_nan=True)


def at(text):
    return int(np.datetime64(text, "ns").astype(np.int64))


@pytest.mark.parametrize(
    ("octets", "time", "valid"),
    [
        ("0000009cca0118"[:4] + "00" + "00" + "1d" + "02" + "18", "2024-02-29T00:00:00", True),  # leap day
        ("0000" + "00" + "00" + "1d" + "02" + "17", None, False),  # none in 2023
        ("5fea" + "3b" + "17" + "1f" + "0c" + "18", "2024-12-31T23:59:59.999", True),
        ("0000" + "00" + "18" + "1f" + "0c" + "18", None, False),  # hour 24
        ("60ea" + "3b" + "17" + "1f" + "0c" + "18", None, False),  # second 60
        ("0000" + "80" + "00" + "01" + "01" + "18", None, False),  # IV
        ("0000" + "00" + "82" + "1f" + "03" + "18", "2024-03-31T01:00:00", True),  # summer time, one hour ahead
        ("0000" + "00" + "02" + "1f" + "03" + "18", "2024-03-31T02:00:00", True),
        ("0000" + "00" + "00" + "1f" + "04" + "18", None, False),  # 31 April
    ],
)
def test_12_times_leap_day_midnight_summer(build, octets, time, valid):
    book = Playbook(build, [build.point(0, 10, 30)], **QUIET, time_window_past_s=0)
    book.quiet_start()
    book.peer(asdu(30, 3, 10, b"\x01" + bytes.fromhex(octets)))
    (record,) = book.records
    assert record["value"] == 1
    assert record["source_time"] == (at(time) if time else 0)
    assert bool(record["quality"] & int(Quality.TIME_INVALID)) is not valid


def test_12_a_time_that_cannot_be_gives_way_to_the_time_of_reception(build):
    book = Playbook(build, [build.point(0, 10, 30)], **QUIET)
    book.quiet_start()

    def tagged(seconds, cause=3):
        book.peer(asdu(30, cause, 10, b"\x01" + cp56.to_octets(book.now + round(seconds * 1e9))))
        return book.records[-1]

    day = 86_400
    for seconds in (-30 * day, -day, 0, 299):
        assert tagged(seconds)["source_time"] == book.now + round(seconds * 1e9)
    assert book.channel.statistics.distrusted_times == 0
    for seconds in (-32 * day, -20 * 365 * day, 301, 8 * 3600):
        record = tagged(seconds)
        assert (record["source_time"], record["value"]) == (0, 1)
        assert record["quality"] == Quality.TIME_INVALID
    assert book.channel.statistics.distrusted_times == 4
    assert len(book.texts) == 1
    assert tagged(-400 * day, cause=20)["source_time"] == book.now - 400 * day * 10**9  # an interrogation repeats old changes
    assert tagged(301, cause=20)["source_time"] == 0


def test_12_a_late_value_is_kept_under_its_own_time_and_is_not_the_present_one(build):
    book = Playbook(build, [build.point(0, 10, 30), build.point(1, 11, 30)], **QUIET)
    book.quiet_start()

    def tagged(seconds, ioa=10, cause=3):
        book.peer(asdu(30, cause, ioa, b"\x01" + cp56.to_octets(book.now + round(seconds * 1e9))))
        return int(book.records[-1]["flags"])

    assert tagged(-3600) == RecordFlag.EVENT  # the buffer of a station, in order: each is the present value when it comes
    assert tagged(-1800) == RecordFlag.EVENT
    assert tagged(0) == RecordFlag.EVENT
    assert tagged(-900) == RecordFlag.EVENT | RecordFlag.BACKFILL
    assert tagged(-900, ioa=11) == RecordFlag.EVENT  # nothing newer is known of this one
    assert tagged(-30) == RecordFlag.EVENT  # a clock that was set back a little
    assert tagged(0) == RecordFlag.EVENT
    assert tagged(-900, cause=20) == RecordFlag.REFRESH  # an answer is the present value, whatever its tag
    assert book.channel.statistics.late_values == 1
    book.peer(asdu(70, 4, 0, b"\0"))
    tagged(0)
    book.peer(asdu(70, 4, 0, b"\0"))  # a restart: its clock may be another now
    assert tagged(-900) == RecordFlag.EVENT


@pytest.mark.parametrize("retry", [30, 0])
def test_12_a_station_of_late_values_is_asked_for_the_present_ones(build, retry):
    """Its clock may have fallen back by an hour: then the change that is kept as late is the state of now."""
    book = Playbook(build, [build.point(0, 10, 30), build.point(1, 10, 30, ca=2)], **QUIET, interrogation_retry_s=retry)
    book.quiet_start()

    def tagged(seconds, state):
        return book.peer(asdu(30, 3, 10, bytes([state]) + cp56.to_octets(book.now + seconds * 10**9)))

    def asked(seconds):
        return [line for line in book.wait(seconds) if line.startswith("I ")]

    assert tagged(0, 1) == ["value 0=1"]
    assert tagged(-3600, 0) == ["value 0=0", "! late_values"]
    assert book.texts[-1] == "1 values of CA 1 have time tags before those of the present ones: kept under their own time"
    book.wait(15)
    tagged(-3600, 1)
    tagged(-3600, 0)
    assert asked(14.75) == []
    assert asked(0.25) == (["I 100.6 CA1 IOA0 14"] if retry else [])
    if retry:
        book.peer(asdu(100, 7, 0, b"\x14"), asdu(1, 20, 10, b"\x00"), asdu(100, 10, 0, b"\x14"))
        assert book.records[-1]["flags"] == RecordFlag.REFRESH
    assert asked(120) == []


@pytest.mark.parametrize(("skew", "late"), [(0.5, True), (-3000, False), (None, False)], ids=["right", "slow", "unknown"])
def test_12_a_buffer_behind_an_interrogation_does_not_bring_old_states_back(build, skew, late):
    """Only where the station's clock is known to be right can its tags be compared with the time of an answer."""
    book = Playbook(build, [build.point(0, 10, 30)], interrogation_s=0)
    book.start()
    if skew is not None:
        book.peer(asdu(103, 7, 0, cp56.to_octets(book.now + round(skew * 1e9))))
    book.peer(asdu(100, 7, 0, b"\x14"), asdu(1, 20, 10, b"\x01"), asdu(100, 10, 0, b"\x14"))

    def event(seconds, state):
        book.peer(asdu(30, 3, 10, bytes([state]) + cp56.to_octets(book.now + round(seconds * 1e9))))
        return bool(book.records[-1]["flags"] & RecordFlag.BACKFILL)

    assert event(-3000, 0) is late
    assert event(-600, 1) is late
    assert event(-50, 0) is False  # within a clock's error of the answer: the order on the wire counts
    assert event(0, 1) is False
    book.peer(asdu(70, 4, 0, b"\0"))
    assert event(-3000, 0) is False  # a station that has started has its clock to be set first
