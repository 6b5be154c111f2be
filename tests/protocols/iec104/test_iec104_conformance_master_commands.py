"""The controlling station item by item of the conformance list: commands, parameters and file transfer."""

from functools import partial

import pytest

from scada.protocols.iec104 import cp56
from scada.protocols.iec104.commanding import Step
from tests.protocols.iec104.playbook import QUIET, STATUS, Playbook, Raw, asdu, con, quiet_book, some_points, with_feedback


@pytest.fixture
def points(build):
    return some_points(build)


@pytest.fixture
def book(build):
    return partial(quiet_book, build)


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


@pytest.mark.parametrize("type_id", [45, 46, 47, 48, 49, 50, 51, 58, 59, 60, 61, 62, 63, 64])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e39])
def test_19_what_no_command_can_say_is_refused_and_not_sent(build, type_id, value):
    book = Playbook(build, [build.point(0, 10, 1)], [build.control(0, 100, type_id, select=False)], **QUIET)
    book.quiet_start()
    (said,) = book.command(book.controls[0], value, Step.EXECUTE)
    assert said.startswith("done unsupported: not sent: ")


@pytest.mark.parametrize("negative", [False, True])
def test_19_a_late_answer_is_not_taken_for_that_of_the_same_step_sent_again(book, negative):
    station = book(execute_timeout_s=4)
    control = station.controls[3]
    station.command(control, 1, Step.EXECUTE)
    assert station.wait(4) == ["done timeout: no confirmation of the execute; it may have been carried out"]
    station.command(control, 1, Step.EXECUTE)
    assert station.peer(con(45, 103, 1, neg=negative)) == ["! late_confirmation"]  # answers come in the order of the steps
    assert station.peer(con(45, 103, 1)) == ["done confirmed"]


def test_19_an_answer_that_may_be_a_late_one_leaves_the_step_open_and_no_further_ones(book):
    station = book(execute_timeout_s=4)
    control = station.controls[3]
    station.command(control, 1, Step.EXECUTE)  # the station never answers this one
    station.wait(4)
    station.command(control, 1, Step.EXECUTE)
    assert station.peer(con(45, 103, 1)) == ["! late_confirmation"]
    (said,) = station.wait(4)
    assert said == (
        "done timeout: no confirmation of the execute (an answer came that can be the late one of the execute before);"
        " it may have been carried out"
    )
    station.command(control, 1, Step.EXECUTE)
    assert station.peer(con(45, 103, 1)) == ["done confirmed"]


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
    said = station.peer(Raw(octets.hex()), Raw(octets.hex()), STATUS)
    assert [line for line in said if line[0] == "!"] == ["! unsupported_type"]
    assert said.count("value 0=1") == 1
    assert not station.closed
    assert station.channel.statistics.refused == 2
    assert station.raw_out[-2:] == [octets[:2] + b"\x6c" + octets[3:]] * 2
