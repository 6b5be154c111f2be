"""Playbooks of the APCI machine: events in, what must come out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.errors import ConfigError
from scada.protocols.iec104 import apci
from scada.protocols.iec104.apci import UFunction, i_frame, s_frame, u_frame
from scada.protocols.iec104.link import Block, Closed, Fault, Link, LinkParameters, Phase, PhaseChanged, Role, Transmit

ASDU = bytes.fromhex("01010300010007000001")


def brief(events):
    """Events as short text, so that a playbook reads like one."""
    said = []
    for event in events:
        if isinstance(event, Transmit):
            function = event.data[2]
            if function & 3 == 3:
                said.append(UFunction(function).name)
            else:
                receive = event.data[4] >> 1 | event.data[5] << 7
                send = event.data[2] >> 1 | event.data[3] << 7
                said.append(f"S({receive})" if function & 1 else f"I({send},{receive})")
        elif isinstance(event, Block):
            said.append(f"block {[int(number) for number in event.spans[:, 2]]}")
        elif isinstance(event, PhaseChanged):
            said.append(event.phase.value)
        elif isinstance(event, Closed):
            said.append(f"closed: {event.reason}")
        elif isinstance(event, Fault):
            said.append(f"{event.kind}: {event.text}")
    return said


def started(role=Role.CONTROLLING, **options):
    link = Link(role, **options)
    link.open(0.0)
    if role is Role.CONTROLLING:
        link.start(0.0)
        link.feed(u_frame(UFunction.STARTDT_CON), 0.0)
    else:
        link.feed(u_frame(UFunction.STARTDT_ACT), 0.0)
    return link


def test_controlling_starts_transfer_and_takes_data():
    link = Link(Role.CONTROLLING)
    link.open(0.0)
    assert brief(link.start(0.0)) == ["STARTDT_ACT", "starting"]
    together = u_frame(UFunction.STARTDT_CON) + i_frame(0, 0, ASDU) + i_frame(1, 0, ASDU)
    assert brief(link.feed(together, 0.1)) == ["started", "block [0, 1]"]
    assert link.receive_number == 2


def test_data_before_the_confirmation_closes():
    link = Link(Role.CONTROLLING)
    link.open(0.0)
    link.start(0.0)
    assert brief(link.feed(i_frame(0, 0, ASDU), 0.1)) == ["closed: I frame N(S) = 0 although data transfer is stopped"]


def test_controlled_refuses_data_before_start_and_answers():
    link = Link(Role.CONTROLLED)
    link.open(0.0)
    assert brief(link.feed(u_frame(UFunction.TESTFR_ACT), 0.0)) == ["TESTFR_CON"]
    assert brief(link.feed(u_frame(UFunction.STARTDT_ACT), 0.0)) == ["STARTDT_CON", "started"]
    assert brief(link.feed(i_frame(0, 0, ASDU), 0.0)) == ["block [0]"]
    stopped = Link(Role.CONTROLLED)
    stopped.open(0.0)
    assert brief(stopped.feed(i_frame(0, 0, ASDU), 0.0))[0].startswith("closed: I frame")


def test_w_frames_are_acknowledged_at_once_fewer_after_t2():
    link = started()
    assert brief(link.feed(b"".join(i_frame(n, 0, ASDU) for n in range(8)), 1.0)) == ["block [0, 1, 2, 3, 4, 5, 6, 7]", "S(8)"]
    assert brief(link.feed(i_frame(8, 0, ASDU), 2.0)) == ["block [8]"]
    assert brief(link.tick(11.9)) == []
    assert brief(link.tick(12.0)) == ["S(9)"]
    assert brief(link.tick(13.0)) == []


def test_what_is_not_released_is_not_acknowledged():
    link = started(release_by_owner=True)
    assert brief(link.feed(b"".join(i_frame(n, 0, ASDU) for n in range(10)), 1.0)) == [f"block {list(range(10))}"]
    assert brief(link.tick(12.0)) == []
    assert link.send(ASDU, 12.0).data == i_frame(0, 0, ASDU)
    assert brief(link.release(12.5)) == ["S(10)"]


def test_own_data_carries_the_acknowledgement():
    link = started()
    link.feed(i_frame(0, 0, ASDU), 1.0)
    assert brief([link.send(ASDU, 1.5)]) == ["I(0,1)"]
    assert brief(link.tick(11.5)) == []


def test_k_closes_the_window_and_an_acknowledgement_opens_it():
    link = started(Role.CONTROLLED, parameters=LinkParameters(k=3))
    for _ in range(3):
        link.send(ASDU, 0.0)
    assert link.room == 0
    with pytest.raises(ValueError, match="window"):
        link.send(ASDU, 0.0)
    assert link.feed(s_frame(2), 1.0) == []
    assert (link.room, link.outstanding) == (2, 1)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (i_frame(4, 1, ASDU), "N(S) = 4 leaves out 2, expected 2"),
        (i_frame(1, 1, ASDU), "N(S) = 1 repeats a frame, expected 2"),
        (i_frame(0, 1, ASDU), "N(S) = 0 goes back by 2, expected 2"),
        (s_frame(3), "N(R) = 3 acknowledges frames that were never sent, V(S) = 2"),
        (s_frame(0), "N(R) = 0 goes back behind 1"),
        (b"\x67\x04\x01\x00\x00\x00", "start octet is 67 instead of 68"),
        (b"\x68\x03\x01\x00\x00", "APDU length 3 is impossible for its format (frame 6803010000)"),
        (b"\x68\xfe\x00\x00\x00\x00", "APDU length 254 is impossible for its format (frame 68fe00000000)"),
        (b"\x68\x05\x01\x00\x02\x00\x00", "APDU length 5 is impossible for its format (frame 680501000200)"),
        (b"\x68\x09\x04\x00\x02\x00\x01\x01\x03\x00\x01", "APDU length 9 is impossible for its format (frame 680904000200)"),
        (b"\x68\x04\x0f\x00\x00\x00", "control field is none of IEC 60870-5-104 (frame 68040f000000)"),
        (b"\x68\x04\x43\x00\x01\x00", "control field is none of IEC 60870-5-104 (frame 680443000100)"),
        (b"\x68\x04\x01\x01\x00\x00", "control field is none of IEC 60870-5-104 (frame 680401010000)"),
        (u_frame(UFunction.STARTDT_ACT), "STARTDT_ACT from a controlled station, nothing was asked"),
        (u_frame(UFunction.STOPDT_CON), "STOPDT_CON from a controlled station, nothing was asked"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.hex(),
)
def test_a_broken_protocol_closes_with_one_clear_reason(frame, reason):
    link = started()
    link.feed(i_frame(0, 0, ASDU) + i_frame(1, 0, ASDU), 0.0)
    link.send(ASDU, 0.0)
    link.send(ASDU, 0.0)
    link.feed(s_frame(1), 0.0)
    events = link.feed(frame, 1.0)
    assert brief(events) == [f"closed: {reason}"]
    assert events[0].peer_fault
    assert link.feed(i_frame(2, 0, ASDU), 1.0) == []
    assert link.tick(99.0) == []


def test_good_frames_before_a_bad_one_are_not_lost():
    link = started()
    assert brief(link.feed(i_frame(0, 0, ASDU) + i_frame(2, 0, ASDU), 0.0)) == [
        "block [0]",
        "closed: N(S) = 2 leaves out 1, expected 1",
    ]


def test_sequence_numbers_wrap():
    link = started()
    for start in range(0, 32768, 128):
        link.feed(b"".join(i_frame(n, 0, ASDU) for n in range(start, start + 128)), 0.0)
    assert link.receive_number == 0
    assert brief(link.feed(i_frame(0, 0, ASDU), 0.0)) == ["block [0]"]
    sender = started(Role.CONTROLLED)
    for number in range(32768):
        assert sender.send(ASDU, 0.0).data == i_frame(number, 0, ASDU)
        assert sender.feed(s_frame((number + 1) % 32768), 0.0) == []
    assert sender.send(ASDU, 0.0).data == i_frame(0, 0, ASDU)


def test_t1_of_an_i_frame_and_of_a_u_frame():
    link = started(Role.CONTROLLED)
    link.send(ASDU, 1.0)
    link.send(ASDU, 5.0)
    assert link.tick(15.9) == []
    link.feed(s_frame(1), 15.9)
    assert link.tick(19.9) == []
    assert brief(link.tick(20.0)) == ["closed: an I frame was not acknowledged within t1 = 15 s"]
    silent = Link(Role.CONTROLLING)
    silent.open(0.0)
    silent.start(0.0)
    assert brief(silent.tick(15.0)) == ["closed: STARTDT_ACT was not confirmed within t1 = 15 s"]


@pytest.mark.parametrize("role", list(Role))
def test_t3_tests_a_silent_connection_and_t1_ends_it(role):
    link = started(role)
    assert brief(link.tick(19.9)) == []
    assert brief(link.tick(20.0)) == ["TESTFR_ACT"]
    assert brief(link.tick(21.0)) == []
    link.feed(u_frame(UFunction.TESTFR_CON), 22.0)
    assert brief(link.tick(41.9)) == []
    assert brief(link.tick(42.0)) == ["TESTFR_ACT"]
    assert brief(link.tick(57.0)) == ["closed: TESTFR_ACT was not confirmed within t1 = 15 s"]


def test_stop_waits_for_the_acknowledgement_of_what_is_on_its_way():
    link = started(Role.CONTROLLED)
    link.feed(i_frame(0, 0, ASDU), 0.0)
    link.send(ASDU, 0.0)
    assert brief(link.feed(u_frame(UFunction.STOPDT_ACT), 1.0)) == ["stopping"]
    assert link.room == 0
    assert brief(link.feed(s_frame(1), 2.0)) == ["STOPDT_CON", "stopped"]
    assert brief(link.feed(u_frame(UFunction.STARTDT_ACT), 3.0)) == ["STARTDT_CON", "started"]
    assert brief([link.send(ASDU, 3.0)]) == ["I(1,1)"]


def test_controlling_stops_and_acknowledges_first():
    link = started()
    link.feed(i_frame(0, 0, ASDU), 0.0)
    assert brief(link.stop(1.0)) == ["S(1)", "STOPDT_ACT", "stopping"]
    assert brief(link.feed(i_frame(1, 0, ASDU) + u_frame(UFunction.STOPDT_CON), 1.0)) == ["block [1]", "stopped"]


def test_more_frames_than_one_scan_takes():
    link = started()
    events = link.feed(b"".join(i_frame(n, 0, ASDU) for n in range(1100)), 0.0)
    blocks = [event for event in events if isinstance(event, Block)]
    assert sum(len(block.spans) for block in blocks) == 1100
    assert sum(block.objects for block in blocks) == 1100
    assert all(block.asdu(i) == ASDU for block in blocks for i in (0, len(block.spans) - 1))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
@settings(max_examples=60)
def test_cuts_between_reads_do_not_matter(cuts):
    stream = u_frame(UFunction.TESTFR_ACT) + b"".join(i_frame(n, 0, ASDU + bytes(n)) for n in range(9))
    stream = stream.replace(ASDU + bytes(0), ASDU, 1)
    link = started()
    found, at = [], 0
    for size in [*cuts, len(stream)]:
        for event in link.feed(stream[at : at + size], 0.0):
            if isinstance(event, Block):
                found += [event.asdu(i) for i in range(len(event.spans))]
            assert not isinstance(event, Closed)
        at += size
    assert found == [ASDU + bytes(n) for n in range(9)]


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=200)
def test_any_octets_are_survived_in_both_modes(data, report_only):
    link = Link(Role.CONTROLLING, report_only=report_only)
    link.open(0.0)
    if not report_only:
        link.start(0.0)
        link.feed(u_frame(UFunction.STARTDT_CON), 0.0)
    events = link.feed(data, 1.0) + link.feed(i_frame(0, 0, ASDU), 1.0)
    for event in events:
        if isinstance(event, Block):
            assert all(start + length <= len(event.buf) for start, length in event.spans[:, :2])
    assert report_only == (link.phase is Phase.STARTED) or link.phase in {Phase.STARTED, Phase.CLOSED}


def test_report_only_lists_faults_and_goes_on():
    link = Link(Role.CONTROLLING, report_only=True)
    link.open(0.0)
    data = i_frame(700, 3, ASDU) + i_frame(701, 3, ASDU) + i_frame(703, 3, ASDU) + b"\x00\x01" + i_frame(703, 2, ASDU)
    assert brief(link.feed(data, 0.0)) == [
        "sequence: N(S) = 703 leaves out 1, expected 702",
        "block [700, 701, 703]",
        "malformed: 2 octets that begin no APDU",
        "sequence: N(S) = 703 repeats a frame, expected 704",
        "block [703]",
    ]
    assert link.tick(1000.0) == []


def test_report_only_after_a_gap_takes_the_next_number_as_it_comes():
    link = Link(Role.CONTROLLING, report_only=True)
    link.open(0.0)
    link.feed(i_frame(1, 0, ASDU) + b"\x68\x0e\x04", 0.0)
    link.gap(lost=100)
    assert brief(link.feed(i_frame(9, 0, ASDU), 0.0)) == ["block [9]"]


def test_parameters_are_checked_where_they_come_from():
    assert LinkParameters.of({"k": 24, "t1": "5", "t2": 2.0}, "channel a") == LinkParameters(k=24, t1=5.0, t2=2.0)
    for params in ({"k": 0}, {"w": "many"}, {"t2": 15}, {"t3": -1}, {"t1": float("nan")}):
        with pytest.raises(ConfigError, match="channel a"):
            LinkParameters.of(params, "channel a")


def test_frames_are_those_of_the_standard():
    assert apci.s_frame(32767).hex() == "68040100feff"
    assert apci.i_frame(32767, 1, ASDU).hex() == "680efeff0200" + ASDU.hex()
