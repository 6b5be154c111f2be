"""The controlling station item by item of the conformance list: basic application functions, parameters of a channel, load."""

import struct
from functools import partial

import pytest

from scada.core.batch import RecordFlag
from scada.core.errors import ConfigError
from scada.core.quality import Quality
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.channel import Channel
from tests.protocols.iec104.playbook import NOW, QUIET, Playbook, asdu, quiet_book, some_points


@pytest.fixture
def points(build):
    return some_points(build)


@pytest.fixture
def book(build):
    return partial(quiet_book, build)


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
