"""The controlling station item by item of the conformance list, against a scripted peer on a virtual clock.

The number in a test's name is that of the item. Items that need sockets or two connections are proven where those are:
9 (reconnecting) in ``test_iec104_driver.py``, 25 in ``test_iec104_redundancy.py``, 28 with the TLS tests.
"""

import math
import struct
from dataclasses import replace

import numpy as np
import pytest

from scada.core.batch import RecordFlag
from scada.core.errors import ConfigError
from scada.core.quality import Quality
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.apci import UFunction, i_frame, s_frame
from scada.protocols.iec104.asdu import Asdu, CommandElement, InformationObject, encode_command
from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.commanding import Step
from scada.protocols.iec104.encode import capacity, encode_values
from tests.protocols.iec104.playbook import NOW, QUIET, Playbook, asdu

STATUS = asdu(1, 3, 10, b"\x01")


@pytest.fixture
def points(build):
    return [build.point(0, 10, 1), build.point(1, 11, 3), build.point(2, 12, 13), build.point(3, 13, 15), build.point(4, 14, 20)]


@pytest.fixture
def book(build, points):
    """A channel without plans of its own, and with its first interrogation behind it."""
    controls = [
        with_feedback(build.control(0, 100, 46)),
        build.control(1, 101, 50, select=False),
        with_feedback(build.control(2, 102, 59, select=False)),
        build.control(3, 103, 45, select=False),
    ]

    def make(**params):
        made = Playbook(build, points, controls, **{**QUIET, **params})
        made.controls = controls
        made.quiet_start()
        return made

    return make


def with_feedback(control):
    return replace(control, feedback=1)


def con(type_id, ioa, value, cause=7, *, neg=False, oa=0, ca=1, **more):
    return asdu(type_id, cause, ioa, encode_command(type_id, CommandElement(value, **more)), ca, neg=neg, oa=oa)


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
    said = station.peer(STATUS, _Raw(body), STATUS)
    assert [line for line in said if line.startswith(("value", "!", "close"))] == ["value 0=1", "value 0=1", "! malformed"]
    assert station.channel.statistics.malformed == 1


class _Raw:
    """Octets as an ASDU."""

    def __init__(self, body):
        self.body = bytes.fromhex(body)

    def encode(self):
        return self.body


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
def test_11_types_that_104_does_not_have_are_left_out_once_told_and_never_answered(book, type_id):
    station = book()
    odd = _Raw(bytes([type_id, 1, 3, 0, 1, 0, 10, 0, 0, *b"\x01\x00\x00\x00"]).hex())
    assert station.peer(odd, STATUS) == ["value 0=1", "! unsupported_type"]
    assert station.peer(odd) == []
    assert station.channel.statistics.refused == 2


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
        assert [line for line in book.peer(_Raw(data.hex())) if line[0] == "v"] == [f"value {n}={raw[n]:g}" for n in range(count)]
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


# ---------------------------------------------------------------------- basic application functions


def test_13_end_of_initialisation_asks_everything_again_once(build, points):
    book = Playbook(build, points)
    assert book.start()[1:] == ["I 103.6 CA1 IOA0 T", "I 100.6 CA1 IOA0 14", "I 101.6 CA1 IOA0 05"]
    start = asdu(70, 4, 0, b"\0")
    assert book.peer(start) == ["! end_of_initialisation"]  # right after STARTDT: what was asked will be answered after it
    book.peer(asdu(103, 7, 0, cp56.to_octets(NOW)), asdu(100, 7, 0, b"\x14"), asdu(1, 20, 10, b"\x01"))
    assert book.peer(start) == ["! end_of_initialisation", "I 103.6 CA1 IOA0 T", "I 100.6 CA1 IOA0 14"]
    book.peer(asdu(103, 7, 0, cp56.to_octets(NOW)), asdu(100, 7, 0, b"\x14"), asdu(100, 10, 0, b"\x14"))
    book.peer(asdu(101, 7, 0, b"\x05"), asdu(101, 10, 0, b"\x05"))
    assert book.peer(start)[1:] == ["I 103.6 CA1 IOA0 T", "I 100.6 CA1 IOA0 14", "I 101.6 CA1 IOA0 05"]


def test_13_only_the_station_that_started_is_asked_and_a_strange_one_is_told(build):
    book = Playbook(build, [build.point(0, 10, 1), build.point(1, 10, 1, ca=2)], clock_sync_s=0)
    book.start()
    book.peer(*[asdu(100, cause, 0, b"\x14", ca) for ca in (1, 2) for cause in (7, 10)])
    assert book.peer(asdu(70, 4, 0, b"\x82", 2)) == ["! end_of_initialisation", "I 100.6 CA2 IOA0 14"]
    assert book.texts[-1] == "CA 2 has started (remote reset, after a change of parameters)"
    assert book.peer(asdu(70, 4, 0, b"\0", 9)) == ["! end_of_initialisation"]
    assert book.texts[-1] == "CA 9 has started (power on); the model has no such station"


def test_14_interrogation_ends_with_its_termination_and_counts_its_values(book):
    station = book()
    assert station.order("interrogate") == ["I 100.6 CA1 IOA0 14"]
    assert station.peer(asdu(100, 7, 0, b"\x14")) == []
    data = [asdu(1, 20, 10, b"\x01"), asdu(1, 3, 10, b"\0"), asdu(3, 20, 11, b"\x02"), asdu(20, 20, 14, bytes(5))]
    assert [line for line in station.peer(*data) if line[0] != "S"] == ["value 0=1", "value 0=0", "value 1=2", "value 4=0"]
    (running,) = station.channel.procedures.running
    assert (running.confirmed, running.values) == (True, 3)
    flags = [int(record["flags"]) for record in station.records]
    assert flags == [RecordFlag.REFRESH, RecordFlag.EVENT, RecordFlag.REFRESH, RecordFlag.REFRESH]
    assert station.peer(asdu(100, 10, 0, b"\x14")) == ["done confirmed: CA 1: 3 values"]


@pytest.mark.parametrize("group", [1, 16])
def test_14_groups_are_asked_one_by_one_beside_a_station_interrogation(book, group):
    station = book()
    station.order("interrogate")
    qoi = bytes([20 + group])
    assert station.order("interrogate", group=group) == [f"I 100.6 CA1 IOA0 {qoi.hex()}"]
    station.peer(asdu(100, 7, 0, qoi), asdu(1, 20 + group, 10, b"\x01"), asdu(1, 20, 10, b"\x01"))
    assert station.peer(asdu(100, 10, 0, qoi)) == ["done confirmed: CA 1: 1 values"]
    assert [item.values for item in station.channel.procedures.running] == [1]
    assert station.order("interrogate", group=17)[0].startswith("done unsupported: not sent: interrogate: an interrogation has")


def test_14_a_second_interrogation_joins_or_waits_its_turn(book):
    station = book()
    station.order("interrogate")
    assert station.order("interrogate") == []
    station.peer(asdu(100, 7, 0, b"\x14"), asdu(1, 20, 10, b"\x01"))
    assert station.order("interrogate") == []  # half of the answer has passed: it is asked again afterwards
    said = station.peer(asdu(100, 10, 0, b"\x14"))
    assert said == ["done confirmed: CA 1: 1 values", "done confirmed: CA 1: 1 values", "I 100.6 CA1 IOA0 14"]
    assert station.peer(asdu(100, 7, 0, b"\x14"), asdu(100, 10, 0, b"\x14")) == ["done confirmed: CA 1: 0 values"]


def test_14_an_interrogation_can_be_cancelled(book):
    station = book()
    station.order("interrogate")
    station.peer(asdu(100, 7, 0, b"\x14"), asdu(1, 20, 10, b"\x01"))
    assert station.order("cancel_interrogation") == ["I 100.8 CA1 IOA0 14"]
    assert station.peer(asdu(100, 9, 0, b"\x14")) == ["done confirmed: CA 1: cancelled", "done confirmed: CA 1: 0.000 s"]
    assert station.channel.procedures.running == ()


def test_14_each_step_has_its_own_deadline_and_values_put_the_last_one_off(book):
    station = book(confirmation_s=5, interrogation_timeout_s=30, interrogation_retry_s=0)
    station.order("interrogate")
    assert station.wait(4.75) == []
    assert station.wait(0.25) == [
        "! interrogation_timeout",
        "done timeout: interrogation of CA 1 was not confirmed in time",
    ]
    station.order("interrogate")
    station.peer(asdu(100, 7, 0, b"\x14"))
    station.wait(25)
    station.peer(asdu(1, 20, 10, b"\x01"))
    assert not [line for line in station.wait(29.5) if line[0] in "!d"]
    late = [line for line in station.wait(1) if line[0] in "!d"]
    assert late == [
        "! interrogation_timeout",
        "done timeout: interrogation of CA 1 was not terminated in time; 1 values came",
    ]
    assert station.channel.statistics.lost_frames == 2


def test_14_the_interrogation_of_the_start_is_repeated_until_it_succeeds_and_then_by_plan(build, points):
    book = Playbook(build, points[:1], **{**QUIET, "interrogation_s": 900}, interrogation_retry_s=30)
    book.start()
    book.peer(asdu(100, 7, 0, b"\x14", neg=True))
    assert book.wait(29.5) == ["S 1"]
    assert book.wait(0.5) == ["I 100.6 CA1 IOA0 14"]
    book.peer(asdu(100, 7, 0, b"\x14"), asdu(100, 10, 0, b"\x14"))
    assert [line for line in book.wait(869) if line[0] == "I"] == []
    assert [line for line in book.wait(2) if line[0] == "I"] == ["I 100.6 CA1 IOA0 14"]


def test_14_a_station_that_refuses_is_asked_again_less_and_less_often(build, points):
    book = Playbook(build, points[:1], **QUIET, interrogation_retry_s=30)
    book.start()
    asked = []
    for second in range(1000):
        if second == 0 or "I 100.6 CA1 IOA0 14" in book.wait(1, step=1):
            asked.append(second)
            book.peer(asdu(100, 7, 0, b"\x14", neg=True))
    assert asked == [0, 30, 90, 210, 450, 930]


def test_14_a_station_that_starts_again_and_again_does_not_put_the_others_off(build):
    book = Playbook(build, [build.point(0, 10, 1), build.point(1, 10, 1, ca=2)], **{**QUIET, "interrogation_s": 100})
    book.quiet_start()
    asked = []
    for second in range(1, 250):
        said = book.wait(1, step=1)
        said += book.peer(asdu(70, 4, 0, b"\0", 2)) if second % 50 == 0 else []
        for line in said:
            if line.startswith("I 100"):
                ca = int(line.split()[2].removeprefix("CA"))
                asked += [second] if ca == 1 else []
                book.peer(asdu(100, 7, 0, b"\x14", ca), asdu(100, 10, 0, b"\x14", ca))
    assert asked == [70, 170]


def test_15_totals_are_read_by_group_frozen_and_reset(book):
    station = book()
    assert station.order("read_counters", group=2) == ["I 101.6 CA1 IOA0 02"]
    station.peer(asdu(101, 7, 0, b"\x02"), asdu(15, 39, 13, struct.pack("<iB", 77, 5)))
    assert station.peer(asdu(101, 10, 0, b"\x02")) == ["done confirmed: CA 1: 1 values"]
    record = station.records[-1]
    assert (record["value"], record["detail"], record["flags"]) == (77, 5, RecordFlag.REFRESH)
    assert station.order("read_counters", mode="freeze_reset") == ["I 101.6 CA1 IOA0 85"]
    assert station.peer(asdu(101, 7, 0, b"\x85")) == ["I 101.6 CA1 IOA0 05"]  # what was frozen is read
    station.peer(asdu(101, 7, 0, b"\x05"))
    assert station.peer(asdu(101, 10, 0, b"\x05"))[0].startswith("done confirmed: CA 1: ")
    assert station.order("read_counters", mode="reset", group=4) == ["I 101.6 CA1 IOA0 c4"]
    assert station.peer(asdu(101, 7, 0, b"\xc4"))[0].startswith("done confirmed")
    assert station.order("read_counters", mode="freeze") == ["I 101.6 CA1 IOA0 45"]
    said = station.peer(asdu(101, 7, 0, b"\x45", neg=True))
    assert said[1] == ("done refused: CA 1 refused the counter interrogation (freeze) of CA 1: negative confirmation")
    assert station.peer(asdu(101, 10, 0, b"\x85")) == []  # some stations terminate a freeze too


def test_15_the_plan_freezes_then_reads(build, points):
    params = {**QUIET, "counter_interrogation_s": 60, "counter_freeze": "freeze", "counter_group": 1}
    book = Playbook(build, points, **params)
    assert book.start()[1:] == ["I 100.6 CA1 IOA0 14", "I 101.6 CA1 IOA0 41"]
    assert book.peer(asdu(101, 7, 0, b"\x41")) == ["I 101.6 CA1 IOA0 01"]
    book.peer(asdu(100, 7, 0, b"\x14"), asdu(100, 10, 0, b"\x14"), asdu(101, 7, 0, b"\x01"), asdu(101, 10, 0, b"\x01"))
    assert [line for line in book.wait(60) if line[0] == "I"] == ["I 101.6 CA1 IOA0 41"]


def test_15_what_was_frozen_is_read_by_a_reading_of_its_own(book):
    station = book()
    assert station.order("read_counters") == ["I 101.6 CA1 IOA0 05"]
    assert station.order("read_counters", mode="freeze") == ["I 101.6 CA1 IOA0 45"]
    assert station.peer(asdu(101, 7, 0, b"\x45")) == []  # a reading from before the freeze is on its way
    station.peer(asdu(101, 7, 0, b"\x05"))
    said = station.peer(asdu(101, 10, 0, b"\x05"))
    assert said == ["done confirmed: CA 1: 0 values", "I 101.6 CA1 IOA0 05"]
    station.peer(asdu(101, 7, 0, b"\x05"))
    assert station.peer(asdu(101, 10, 0, b"\x05")) == ["done confirmed: CA 1: 0.000 s; CA 1: 0 values"]


def test_15_carry_adjustment_and_invalid_of_a_counter_are_told(book):
    station = book()
    station.peer(asdu(15, 37, 13, struct.pack("<iB", 5, 0x80)))
    assert station.records[-1]["quality"] == Quality.INVALID
    assert station.peer(asdu(15, 37, 13, struct.pack("<iB", 5, 0x23))) == ["! counter_marked", "value 3=5"]
    assert station.records[-1]["quality"] == 0
    assert station.peer(asdu(15, 37, 13, struct.pack("<iB", 5, 0x43)))[0] == "! counter_marked"
    assert station.records[-1]["quality"] == Quality.QUESTIONABLE
    assert station.texts == [
        "S/P3: the counter overflowed since its last reading",
        "S/P3: the counter was adjusted since its last reading",
    ]
    assert station.peer(asdu(15, 37, 13, struct.pack("<iB", 5, 0x43))) == ["value 3=5"]


def test_16_causes_of_values_keep_their_meaning_and_their_order(book):
    station = book()
    causes = [1, 2, 3, 5, 11, 12, 20, 36]
    station.peer(*[asdu(1, cause, 10, bytes([n & 1])) for n, cause in enumerate(causes)])
    assert [int(record["cause"]) for record in station.records] == causes
    assert [int(record["value"]) for record in station.records] == [0, 1] * 4
    refresh = [bool(record["flags"] & RecordFlag.REFRESH) for record in station.records]
    assert refresh == [False] * 6 + [True] * 2
    assert [bool(record["flags"] & RecordFlag.EVENT) for record in station.records] == [not one for one in refresh]


def test_16_a_fleeting_change_of_a_packed_status_is_not_lost(book):
    station = book()
    packed = struct.Struct("<HHB")
    station.peer(asdu(20, 3, 14, packed.pack(0b0001, 0, 0)))
    assert station.peer(asdu(20, 3, 14, packed.pack(0b0011, 0b0010, 0))) == ["value 4=3"]
    assert station.peer(asdu(20, 3, 14, packed.pack(0b0111, 0b0101, 0))) == ["! fleeting_change", "value 4=7"]
    assert station.texts == ["S/P4: states 0 changed and came back between two messages"]


def test_17_the_clock_a_station_had_is_compared_before_it_is_set(build, points):
    book = Playbook(build, points[:1], interrogation_s=0, clock_sync_s=600, time_zone_minutes=480, clock_skew_warn_s=2)
    assert book.start()[1] != ""
    book.mono += 0.5  # half of it is the way there
    behind = cp56.to_octets(NOW + 250_000_000 - 1_500_000_000, 480)
    assert book.peer(asdu(103, 7, 0, behind)) == []
    assert book.channel.statistics.clock_skew_s == pytest.approx(-1.5)
    assert book.channel.statistics.round_trip_s == pytest.approx(0.5)
    asked = book.done(book.channel.synchronise_clock(book.now, book.mono))
    assert len(asked) == 1
    said = book.peer(asdu(103, 7, 0, cp56.to_octets(book.now + 3_000_000_000, 480)))
    assert said == ["! clock_skew", "done confirmed: CA 1: the clock was +3.000 s off"]
    assert book.peer(asdu(103, 3, 0, cp56.to_octets(book.now, 480))) == []  # a spontaneous time is only compared
    assert book.channel.statistics.clock_skew_s == 0
    book.done(book.channel.synchronise_clock(book.now, book.mono))
    assert book.peer(asdu(103, 7, 0, b"\0\0\x80\0\0\0\0")) == ["done confirmed: CA 1: the station named no valid time"]


def test_18_a_read_is_answered_by_its_value_alone(book):
    station = book(confirmation_s=5)
    assert station.order("read", ioa=12) == ["I 102.5 CA1 IOA12"]
    assert station.peer(asdu(102, 7, 12)) == []  # some stations confirm
    other = asdu(13, 3, 12, struct.pack("<fB", 9, 0))
    assert station.peer(other) == ["value 2=9"]
    said = station.peer(asdu(13, 5, 12, struct.pack("<fB", 2.5, 0x80)))
    assert said == ["value 2=2.5", "done confirmed: CA 1: 2.5, quality 0x80"]
    station.order("read", ioa=99)
    assert station.peer(asdu(102, 47, 99, neg=True)) == [
        "! read_refused",
        "done refused: CA 1 refused the read of CA 1 IOA 99: unknown information object address",
    ]
    station.order("read", ioa=98)
    assert "done timeout: read of CA 1 IOA 98 was not answered in time" in station.wait(5)


def test_18_test_commands_compare_their_counter(book):
    station = book()
    assert station.order("test") == ["I 107.6 CA1 IOA0 0100T"]
    good = asdu(107, 7, 0, b"\x01\x00" + cp56.to_octets(NOW))
    assert station.peer(good)[0].startswith("done confirmed")
    assert station.order("test") == ["I 107.6 CA1 IOA0 0200T"]
    assert station.peer(good) == [
        "! test_refused",
        f"done refused: test of CA 1: 0200 was sent, the station confirmed {good.objects[0].element.hex()}",
    ]
    assert station.order("test", kind="plain") == ["I 104.6 CA1 IOA0 aa55"]
    assert station.peer(asdu(104, 7, 0, b"\xaa\x55"))[0].startswith("done confirmed")


def test_18_reset_process_and_no_delay_acquisition(book):
    station = book()
    assert station.order("reset_process", kind="event_buffer") == ["I 105.6 CA1 IOA0 02"]
    assert station.peer(asdu(105, 7, 0, b"\x02"))[0].startswith("done confirmed")
    assert station.order("delay") == ["done unsupported: not sent: there is no order 'delay'"]
    assert station.peer(asdu(106, 7, 0, b"\0\0")) == ["! unexpected_asdu"]


# ---------------------------------------------------------------------- commands


@pytest.mark.parametrize("type_id", [45, 46, 47, 48, 49, 50, 51, 58, 59, 60, 61, 62, 63, 64])
def test_19_every_command_is_confirmed_by_its_own_value_and_time(build, type_id):
    control = with_feedback(build.control(0, 100, type_id, select=False))
    book = Playbook(build, [build.point(0, 10, 1)], [control], **QUIET)
    book.quiet_start()
    value = {48: 0.5, 61: 0.5}.get(type_id, 1)
    (sent,) = book.command(control, value, Step.EXECUTE)
    tagged = type_id >= 58
    assert sent.endswith("T") is tagged
    time = cp56.to_octets(book.now) if tagged else b""
    if tagged:
        other = cp56.to_octets(book.now - 60_000_000_000)
        assert book.peer(con(type_id, 100, value, time=other)) == ["! stray_confirmation"]  # of an order of long ago
    assert book.peer(con(type_id, 100, value, time=time)) == ["done confirmed"]
    assert book.peer(con(type_id, 100, value, 10, time=time)) == []


def test_19_the_ways_a_step_can_fail_are_told_apart(book):
    station = book(execute_timeout_s=4)
    control = station.controls[3]
    station.command(control, 1, Step.EXECUTE)
    assert station.peer(con(45, 103, 1, neg=True)) == ["done refused: station refused the execute (negative confirmation)"]
    station.command(control, 1, Step.EXECUTE)
    (said,) = station.peer(con(45, 103, 0))
    assert said.startswith("done timeout: check-back differs: 1 (qualifier 0) was sent, the station confirmed 0 (qualifier 0);")
    assert said.endswith("what was carried out is not known")
    station.command(control, 1, Step.EXECUTE)
    assert station.peer(con(45, 104, 1)) == ["! stray_confirmation"]
    assert station.wait(3.75) == []
    assert station.wait(0.25) == [
        "done timeout: no confirmation of the execute (an answer came for CA 1 IOA 104 instead); it may have been carried out"
    ]
    station.wait(2)
    assert station.peer(con(45, 103, 1)) == ["! late_confirmation"]
    assert station.texts[-1] == "S/C3 (CA 1 IOA 103): the execute was confirmed 6.0 s after it was sent, too late"
    assert station.peer(con(45, 103, 1)) == ["! stray_confirmation"]


def test_19_select_execute_and_cancel_have_deadlines_of_their_own(book):
    station = book(command_timeout_s=9, select_timeout_s=2, execute_timeout_s=4, confirmation_s=60)
    station.command(station.controls[0], 2, Step.SELECT)
    assert station.wait(2) == ["done timeout: no confirmation of the select"]
    station.command(station.controls[0], 2, Step.CANCEL)
    assert station.wait(8.75) == []
    assert station.wait(0.25) == ["done timeout: no confirmation of the cancel"]


def test_19_the_termination_is_watched_where_it_is_asked_for(book):
    station = book(termination_s=20, t1=15)
    with_feedback, without = station.controls[2], station.controls[3]
    station.command(with_feedback, 1, Step.EXECUTE)
    time = cp56.to_octets(station.now)
    assert station.peer(con(59, 102, 1, time=time)) == ["done confirmed"]  # the feedback tells the rest
    assert station.command(with_feedback, 2, Step.EXECUTE) == [
        "done refused: not sent: the command before has not been terminated by the station"
    ]
    assert station.peer(con(59, 102, 1, 10, time=time)) == []
    station.command(with_feedback, 1, Step.EXECUTE)
    station.peer(con(59, 102, 1, time=cp56.to_octets(station.now)))
    assert station.peer(con(59, 102, 1, 10, neg=True, time=cp56.to_octets(station.now))) == ["! command_terminated"]
    station.command(without, 1, Step.EXECUTE)
    assert station.peer(con(45, 103, 1)) == []  # nothing else will tell whether it was done
    assert station.peer(con(45, 103, 1, 10)) == ["done confirmed: terminated by the station"]
    station.command(without, 1, Step.EXECUTE)
    station.peer(con(45, 103, 1))
    assert station.peer(con(45, 103, 1, 10, neg=True)) == [
        "! command_terminated",
        "done refused: the station confirmed the execute and terminated it negatively",
    ]
    station.command(without, 1, Step.EXECUTE)
    station.peer(con(45, 103, 1))
    assert [line for line in station.wait(20) if line[0] in "!d"] == [
        "! command_not_terminated",
        "done timeout: the station confirmed the execute and did not terminate it within 20 s",
    ]


def test_20_select_before_operate(book):
    station = book()
    control = station.controls[0]
    assert station.command(control, 2, Step.EXECUTE) == ["done refused: not sent: nothing is selected on this connection"]
    assert station.command(control, 2, Step.SELECT) == ["I 46.6 CA1 IOA100 82"]
    assert station.command(control, 2, Step.SELECT) == ["done refused: not sent: another step of this object waits"]
    assert station.peer(con(46, 100, 2)) == ["! stray_confirmation"]  # the answer to an execute is none to a select
    assert station.peer(con(46, 100, 2, select=True)) == ["done confirmed"]
    assert station.command(control, 1, Step.EXECUTE) == ["done refused: not sent: 2 was selected, not 1 (raw values)"]
    assert station.command(control, 2, Step.EXECUTE) == ["I 46.6 CA1 IOA100 02"]
    assert station.peer(con(46, 100, 2)) == ["done confirmed"]
    assert station.command(control, 2, Step.EXECUTE)[0].startswith("done refused: not sent: nothing is selected")


def test_20_cancel_is_a_deactivation_and_nothing_can_be_executed_after_it(book):
    station = book()
    control = station.controls[0]
    station.command(control, 2, Step.SELECT)
    station.peer(con(46, 100, 2, select=True))
    assert station.command(control, 2, Step.CANCEL) == ["I 46.8 CA1 IOA100 82"]
    assert station.peer(con(46, 100, 2, select=True)) == ["! stray_confirmation"]  # an activation confirms no cancel
    assert station.peer(con(46, 100, 2, 9, select=True)) == ["done confirmed"]
    assert station.command(control, 2, Step.EXECUTE)[0].startswith("done refused: not sent: nothing is selected")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (con(46, 100, 2, neg=True, select=True), "refused: station refused the select (negative confirmation)"),
        (
            con(46, 100, 1, select=True),
            "refused: check-back differs: 2 (qualifier 0) was sent, the station confirmed 1 (qualifier 0)",
        ),
        (
            con(46, 100, 2, select=True, qualifier=1),
            "refused: check-back differs: 2 (qualifier 0) was sent, the station confirmed 2 (qualifier 1)",
        ),
    ],
    ids=["taken by another", "other value", "other qualifier"],
)
def test_20_a_select_that_failed_selects_nothing(book, answer, said):
    station = book()
    station.command(station.controls[0], 2, Step.SELECT)
    assert station.peer(answer) == [f"done {said}"]
    assert station.command(station.controls[0], 2, Step.EXECUTE)[0].startswith("done refused: not sent: nothing is selected")


def test_20_and_22_a_lost_link_drops_the_selection_and_nothing_is_repeated(book):
    station = book()
    control = station.controls[0]
    station.command(control, 2, Step.SELECT)
    station.peer(con(46, 100, 2, select=True))
    station.command(control, 2, Step.EXECUTE)
    station.order("interrogate")
    assert station.out(station.channel.lost("cable cut")) == [
        "done timeout: the connection was lost before the execute was confirmed; it may have been carried out",
        "done down: the connection was lost: cable cut",
        "DOWN",
    ]
    assert station.command(control, 2, Step.EXECUTE) == ["done down: not sent: the channel is down"]
    assert station.start() == ["UP", "I 100.6 CA1 IOA0 14", "I 101.6 CA1 IOA0 05"]
    assert station.wait(60)[-1:] != ["I 46.6 CA1 IOA100 02"]
    assert station.command(control, 2, Step.EXECUTE)[0].startswith("done refused: not sent: nothing is selected")
    assert station.peer(con(46, 100, 2)) == ["! stray_confirmation"]


def test_20_values_that_a_double_command_does_not_have_are_never_sent(book):
    station = book()
    for value in (0, 3, 1.5):
        assert station.command(station.controls[0], value, Step.SELECT)[0].startswith("done unsupported: not sent")


def test_21_time_tagged_commands_carry_the_time_at_which_they_leave(book):
    station = book(k=1, confirmation_s=60)
    station.order("read", ioa=10)
    station.mono += 3
    assert station.command(station.controls[2], 1, Step.EXECUTE) == []  # the window is full
    station.mono += 2
    assert station.peer("ack") == ["I 59.6 CA1 IOA102 01T"]


def test_22_qualifiers_are_sent_and_set_points_must_fit(build):
    controls = [build.control(0, 100, 45, select=False), build.control(1, 101, 48, select=False, scale=100.0)]
    book = Playbook(build, [build.point(0, 10, 1)], controls, **QUIET, command_qualifier=2)
    book.quiet_start()
    assert book.command(controls[0], 1, Step.EXECUTE) == ["I 45.6 CA1 IOA100 09"]
    assert book.command(controls[1], 50, Step.EXECUTE) == ["I 48.6 CA1 IOA101 004002"]
    assert book.command(controls[1], 100, Step.EXECUTE)[0].startswith("done unsupported: not sent")


def test_23_parameters_are_loaded_and_activated(book):
    station = book()
    assert station.order("load_parameter", ioa=500, value=2.5) == ["I 112.6 CA1 IOA500 0000204001"]
    assert station.peer(asdu(112, 7, 500, bytes.fromhex("0000204001")))[0].startswith("done confirmed")
    assert station.order("load_parameter", ioa=500, type="scaled", value=-2, kind="high_limit") == ["I 111.6 CA1 IOA500 feff04"]
    assert station.peer(asdu(111, 7, 500, bytes.fromhex("fdff04"))) == [
        "! parameter_refused",
        "done refused: parameter of CA 1 IOA 500: feff04 was sent, the station confirmed fdff04",
    ]
    assert station.order("load_parameter", ioa=500, type="normalized", value=0.5, kind="smoothing") == [
        "I 110.6 CA1 IOA500 004002"
    ]
    assert station.peer(asdu(110, 44, 500, bytes.fromhex("004002"), neg=True))[1].endswith("unknown type identification")
    assert station.order("activate_parameter", ioa=500) == ["I 113.6 CA1 IOA500 03"]
    assert station.peer(asdu(113, 7, 500, b"\x03"))[0].startswith("done confirmed")
    assert station.order("activate_parameter", ioa=500, active="no") == ["I 113.8 CA1 IOA500 03"]
    assert station.peer(asdu(113, 9, 500, b"\x03"))[0].startswith("done confirmed")
    assert station.order("load_parameter", ioa=500, type="scaled", value=40000)[0].startswith("done unsupported: not sent")
    assert station.order("load_parameter", ioa=500) == ["done unsupported: not sent: load_parameter needs value"]


@pytest.mark.parametrize("type_id", range(120, 128))
def test_23_file_transfer_is_refused_and_the_link_lives(book, type_id):
    station = book()
    octets = bytes([type_id, 1, 13, 0, 1, 0, 9, 0, 0, 1, 0, 1, 2, 3])
    said = station.peer(_Raw(octets.hex()), _Raw(octets.hex()), STATUS)
    assert [line for line in said if line[0] == "!"] == ["! unsupported_type"]
    assert said.count("value 0=1") == 1
    assert not station.closed
    assert station.channel.statistics.refused == 2
    assert station.raw_out[-2:] == [octets[:2] + b"\x6c" + octets[3:]] * 2


# ---------------------------------------------------------------------- load


def test_27_ten_thousand_events_keep_their_order_and_none_is_lost(build):
    points = [build.point(n, n, 30) for n in range(100)]
    book = Playbook(build, points, **QUIET)
    book.quiet_start()
    events = 0
    for _ in range(500):
        time = cp56.to_octets(book.now)
        more = [asdu(30, 3, (events + n) % 100, bytes([(events + n) // 100 & 1]) + time, more=()) for n in range(20)]
        events += 20
        book.peer(*more)
        book.mono += 0.001
    assert [int(record["pid"]) for record in book.records] == [n % 100 for n in range(10_000)]
    assert [int(record["value"]) for record in book.records] == [n // 100 & 1 for n in range(10_000)]
    assert {int(record["flags"]) for record in book.records} == {RecordFlag.EVENT}


# ---------------------------------------------------------------------- parameters and orders


@pytest.mark.parametrize(
    "params",
    [
        {"counter_freeze": "sometimes"},
        {"counter_group": 5},
        {"confirmation_s": 0},
        {"command_timeout_s": 0},
        {"late_s": float("inf")},
        {"time_zone_minutes": 900},
        {"originator": 256},
        {"w": 0},
        {"t1": 5, "t2": 6},
    ],
    ids=str,
)
def test_parameters_of_a_channel_are_checked(build, params):
    with pytest.raises(ConfigError, match="north"):
        raise_with_place(build, params)


def raise_with_place(build, params):
    try:
        Channel(build.spec(**params), [], [])
    except ConfigError as error:
        raise ConfigError(f"{error.where}: {error.what}") from error


def test_orders_with_wrong_arguments_send_nothing(build):
    book = Playbook(build, [build.point(0, 10, 1), build.point(1, 10, 1, ca=2)], **QUIET)
    book.quiet_start()
    for name, arguments, words in [
        ("read", {"ioa": 5}, "read needs common_address: the channel has the stations 1, 2"),
        ("read", {"common_address": 1}, "read needs ioa"),
        ("read", {"common_address": 1, "ioa": "five"}, "read: ioa is a whole number, not 'five'"),
        ("read", {"common_address": 3, "ioa": 5}, "read: the channel has no station with common address 3"),
        ("read", {"common_address": 1, "ioa": 5, "more": 1}, "read has no argument more"),
        ("read_counters", {"mode": "melt"}, "read_counters: mode is one of read, freeze, freeze_reset, reset, not 'melt'"),
        ("reset_process", {"common_address": 1, "kind": "all"}, "reset_process: kind is one of general, event_buffer, not 'all'"),
    ]:
        assert book.order(name, **arguments) == [f"done unsupported: not sent: {words}"]
    assert book.order("read", common_address="0x2", ioa="0x10") == ["I 102.5 CA2 IOA16"]
