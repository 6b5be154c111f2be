"""Live frames: nothing is done while nobody looks, a slow reader is told what it missed, and no listener disturbs the channel."""

import asyncio

import pytest
import structlog

from scada.actors.tracing import QUEUE_FRAMES, TraceHub, TraceQueue
from scada.core.clock import VirtualClock
from scada.model_cim.tables import ChannelSpec
from scada.protocols.driver import CommandResult, Describer, Driver, Frame, Outcome
from scada.protocols.iec104.describe import Iec104Describer
from scada.protocols.modbus.describe import ModbusDescriber

SPEC = ChannelSpec(0, "m-1", "RTU-1", "iec104", "127.0.0.1", 2404, "Beishan")
TESTFR = bytes.fromhex("680443000000")
VALUE = bytes.fromhex("680e0000000001010300010001000001")


class Wired(Driver):
    async def run(self):
        """Never runs."""

    async def _no(self, control, value):
        return CommandResult(Outcome.UNSUPPORTED)

    select = execute = cancel = _no


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def settle(loop):
    loop.run_until_complete(asyncio.sleep(0))


def wired(loop):
    hub, driver = TraceHub(loop), Wired(SPEC, [], [], None, VirtualClock())
    hub.attach(driver)
    settle(loop)
    return hub, driver


def test_nothing_listens_until_somebody_does(loop):
    hub, driver = wired(loop)
    assert driver.tee is None
    heard = []
    stop = hub.listen(lambda *what: heard.append(what))
    settle(loop)
    driver.tee("", True, 5, b"x")
    assert heard == [("", True, 5, b"x")]
    stop()
    settle(loop)
    assert driver.tee is None


def test_listeners_follow_to_the_next_driver_and_hear_the_end_of_the_last(loop):
    hub, driver = wired(loop)
    heard = []
    hub.listen(lambda *what: heard.append(what))
    settle(loop)
    driver.tee("A", False, 7, b"x")
    following = Wired(SPEC, [], [], None, VirtualClock())
    hub.attach(following)
    settle(loop)
    assert driver.tee is None
    assert heard[-1] == ("A", True, 7, b"")
    following.tee("A", True, 9, b"y")
    assert heard[-1] == ("A", True, 9, b"y")


def test_a_new_connection_of_a_driver_that_does_not_say_so_is_noticed(loop):
    hub, driver = wired(loop)
    heard = []
    hub.listen(lambda *what: heard.append(what[3]))
    settle(loop)
    driver.statistics.connects = 1
    driver.tee("", True, 1, b"a")
    driver.tee("", True, 2, b"b")
    driver.statistics.connects = 2
    driver.tee("", True, 3, b"c")
    assert heard == [b"a", b"b", b"", b"c"]


def test_a_listener_that_fails_is_left_out(loop):
    hub, driver = wired(loop)
    heard = []
    hub.listen(lambda *_: 1 / 0)
    hub.listen(lambda *what: heard.append(what))
    settle(loop)
    with structlog.testing.capture_logs() as logs:
        driver.tee("", True, 1, b"x")
        driver.tee("", True, 2, b"y")
    assert len(heard) == 2
    assert len(logs) == 1


def test_frames_come_decoded_whole_and_in_order():
    queue = TraceQueue(Iec104Describer, values=True)
    octets = TESTFR + VALUE
    queue.put("A", True, 1, octets[:9])
    queue.put("A", False, 2, TESTFR)
    queue.put("A", True, 3, octets[9:])
    frames, missed = queue.take(10)
    assert [(one.link, one.received, one.time_ns, one.frame.text) for one in frames] == [
        ("A", True, 1, "U TESTFR act"),
        ("A", False, 2, "U TESTFR act"),
        ("A", True, 3, "I N(S)=0 N(R)=0 M_SP_NA_1 spontaneous CA 1: 1=on"),
    ]
    assert missed == 0
    assert queue.take(10) == ([], 0)


def test_frames_with_values_only_are_left_out_if_asked():
    queue = TraceQueue(Iec104Describer, values=False)
    queue.put("", True, 1, VALUE * 3 + TESTFR)
    frames, missed = queue.take(10)
    assert [one.frame.data for one in frames] == [TESTFR]
    assert missed == 0


def test_a_slow_reader_keeps_the_newest_and_is_told_how_many_it_missed():
    queue = TraceQueue(Iec104Describer, values=True)
    for n in range(QUEUE_FRAMES + 70):
        queue.put("", True, n, TESTFR)
    frames, missed = queue.take(2)
    assert missed == 70
    assert frames[0].time_ns == 70
    assert queue.take(1)[1] == 0


def test_octets_are_bounded_too():
    queue = TraceQueue(Describer, values=True)
    for n in range(64):
        queue.put("", True, n, bytes(65_536))
    frames, missed = queue.take(100)
    assert (len(frames), missed) == (16, 48)
    queue.put("", True, 1, bytes(3 << 20))  # one frame larger than the bound is still shown
    assert len(queue.take(1)[0]) == 1


def test_the_rest_of_a_connection_that_ended_is_forgotten():
    queue = TraceQueue(Iec104Describer, values=True)
    queue.put("", True, 1, TESTFR[:3])
    queue.put("", True, 2, b"")
    queue.put("", True, 3, TESTFR)
    assert [one.frame.text for one in queue.take(5)[0]] == ["U TESTFR act"]


class Broken(Describer):
    def feed(self, data, *, received):
        raise ValueError("bug")


def test_a_describer_that_fails_does_not_end_the_trace():
    queue = TraceQueue(Broken, values=True)
    queue.put("", True, 1, b"x")
    assert queue.take(1)[0][0].frame == Frame(b"x", "not decoded: ValueError: bug")


@pytest.mark.parametrize(
    ("describer", "reads"),
    [
        (Iec104Describer, ["6805d47d", "682ba8ef"]),
        (Iec104Describer, ["68047e4c", "68e7bed2", "6846b86f"]),
        (lambda: ModbusDescriber(rtu=False), ["000100000006010300000001", "0001000100", "ffff"]),
    ],
)
def test_octets_that_are_no_frame_are_shown_at_their_place(describer, reads):
    queue = TraceQueue(describer, values=True)
    for read in reads:
        queue.put("", True, 1, bytes.fromhex(read))
    shown = b"".join(one.frame.data for one in queue.take(100)[0])
    octets = bytes.fromhex("".join(reads))
    splitter = describer()
    whole = sum(len(frame) for read in reads for frame in splitter.split(bytes.fromhex(read), received=True))
    assert shown == octets[:whole]


class Telling(Describer):
    def feed(self, data, *, received):
        return [Frame(data, data.decode())]


def test_what_a_device_says_stays_one_line_and_gives_a_terminal_no_orders():
    queue = TraceQueue(Telling, values=True)
    queue.put("", True, 1, "母线 1\x1b[2J\nU STARTDT act\u202e".encode())
    (only,) = queue.take(5)[0]
    assert only.frame.text == "母线 1\ufffd[2J\ufffdU STARTDT act\ufffd"
