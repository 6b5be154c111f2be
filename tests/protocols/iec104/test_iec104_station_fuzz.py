"""Mutated frames of a master against the controlled station: no crash, a defined reaction, nothing executed that was not whole.

``SCADA_FUZZ_FRAMES`` says how many (the nightly run takes a million), ``SCADA_FUZZ_SEED`` where the dice start.
"""

import os
import random

import pytest

from scada.core.clock import VirtualClock
from scada.protocols.iec104 import asdu as asdus
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.apci import UFunction, i_frame, s_frame, u_frame
from scada.protocols.iec104.asdu import ELEMENT_SIZE, Asdu, decode_command
from scada.protocols.iec104.image import Serving
from scada.protocols.iec104.link import Phase
from scada.protocols.iec104.outstation import Outstation
from tests.protocols.iec104.raw_master import RawMaster, causes, counter_request, interrogation, order

FRAMES = int(os.environ.get("SCADA_FUZZ_FRAMES", "4000"))
SEED = int(os.environ.get("SCADA_FUZZ_SEED", "104"))
NOW = 1_780_000_000_000_000_000


class Fuzzed:
    """A station, an owner that accepts everything and writes it down, and masters that come again when they were thrown out."""

    def __init__(self, build):
        self.clock = VirtualClock(NOW)
        points = [build.point(i, 100 + i, (1, 3, 5, 7, 9, 11, 13, 15)[i % 8]) for i in range(40)]
        controls = [
            build.control(0, 9000, 46),
            build.control(1, 9001, 50, select=False),
            build.control(2, 9002, 58, select=False),
            build.control(3, 9003, 48),
            build.control(4, 9004, 47),
            build.control(5, 9005, 51, select=False),
        ]
        self.asked = []
        serving = {i: Serving(group=1) for i in range(8)}
        self.station = Outstation(
            points,
            controls,
            self.clock,
            on_command=lambda asked: self.asked.append(asked) is None,
            on_reset=lambda qrp: qrp == 1,
            serving=serving,
        )
        self.station.update(range(40), 1)
        self.lives = 0
        self.given = set()
        self.begin()

    def begin(self):
        self.lives += 1
        self.given.clear()
        self.master = RawMaster(self.station, "m").start()

    def whole(self):
        """ASDUs that a sound master sends."""
        now = cp56.to_octets(self.clock.now_ns())
        return [
            interrogation(),
            interrogation(21),
            interrogation(cause=8),
            interrogation(ca=0xFFFF),
            counter_request(),
            counter_request(0x45),
            asdus.single(102, 5, 1, 103, b""),
            asdus.single(103, 6, 1, 0, now),
            asdus.single(104, 6, 1, 0, b"\xaa\x55"),
            asdus.single(105, 6, 1, 0, b"\1"),
            asdus.single(107, 6, 1, 0, b"\1\2" + now),
            asdus.single(110, 6, 1, 103, bytes(3)),
            asdus.single(122, 13, 1, 1, bytes(4)),
            order(46, 9000, 2, select=True),
            order(46, 9000, 2),
            order(46, 9000, 2, cause=8, select=True),
            order(50, 9001, 3.5),
            order(58, 9002, 1, time=now),
            order(48, 9003, 0.25, select=True),
            order(48, 9003, 0.25),
            order(47, 9004, 1, select=True),
            order(51, 9005, 77),
        ]

    def check(self):
        """Everything that was operated since was a whole order of a control, as it stood in a frame."""
        for asked in self.asked:
            asdu = Asdu.parse(asked.asdu)
            assert asked.asdu in self.given or asked.step == "cancel"
            assert (len(asdu.objects), asdu.test, asdu.negative) == (1, False, False)
            assert asdu.cause == (8 if asked.step == "cancel" and asdu.cause == 8 else 6)
            address = asked.control.address
            assert (asdu.common_address, asdu.objects[0].ioa) == (address.common_address, address.ioa)
            element = decode_command(asdu.type_id, asdu.objects[0].element)
            assert asked.value == element.value
            if asked.step == "execute":
                assert not element.select
                assert asked.control.select or asdu.type_id >= 45
            if element.time and asked.step != "cancel":  # a withdrawal names what was selected once
                assert abs(cp56.from_octets(element.time, NOW, 0, summer_minutes=60)[0] - self.clock.now_ns()) <= 10**10
        self.asked.clear()


def mutate(dice, data):
    """Change, cut out, put in or repeat some octets."""
    broken = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        at = dice.randrange(len(broken)) if broken else 0
        kind = dice.randrange(6)
        if kind <= 1 and broken:
            broken[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        elif kind == 2 and broken:
            broken[at] ^= 1 << dice.randrange(8)
        elif kind == 3:
            del broken[at : at + dice.randrange(1, 8)]
        elif kind == 4:
            broken[at:at] = dice.randbytes(dice.randrange(1, 8))
        else:
            broken = broken[:at] or broken
    return bytes(broken[:249])


@pytest.fixture
def fuzzed(build):
    return Fuzzed(build)


@pytest.mark.timeout(0)
def test_mutated_asdus_get_an_answer_or_are_passed_over_and_the_link_stays(fuzzed):
    dice = random.Random(SEED)
    for _ in range(FRAMES):
        data = mutate(dice, dice.choice(fuzzed.whole()).encode())
        if len(data) < 6:
            continue
        fuzzed.given.add(data)
        master = fuzzed.master
        remarks, malformed = len(master.remarks), master.session.malformed
        answers = master.ask(data)
        assert not master.closed, data.hex()
        assert answers or len(master.remarks) > remarks, data.hex()  # said or written down
        size, count = ELEMENT_SIZE.get(data[0]), data[1] & 0x7F
        if size is not None:
            fits = count and len(data) - 6 == (3 + count * size if data[1] & 0x80 else count * (3 + size))
            assert fits or (answers == [] and master.session.malformed == malformed + 1), data.hex()
        for answer in answers:
            assert answer.cause in {1, 2, 3, 5, 7, 9, 10, *range(20, 42), 44, 45, 46, 47}
            assert answer.cause < 44 or answer.negative
        fuzzed.check()
        fuzzed.clock.advance(dice.choice((0, 0, 0.2, 5)))
        master.tick()
        if fuzzed.master.said and dice.random() < 0.01:
            master.said.clear()
            master.remarks.clear()
    assert causes(fuzzed.master.ask(interrogation()))[-1] == (100, 10, False)
    assert fuzzed.lives == 1


@pytest.mark.timeout(0)
def test_mutated_frames_are_taken_whole_or_close_the_link_with_a_reason(fuzzed):
    dice = random.Random(SEED + 1)
    closed = 0
    for _ in range(FRAMES):
        master = fuzzed.master
        asdu = dice.choice(fuzzed.whole()).encode()
        sound = dice.choice(
            [
                i_frame(master.sent, master.received, asdu),
                i_frame(master.sent, master.received, asdu),
                s_frame(master.received),
                u_frame(dice.choice(list(UFunction))),
            ]
        )
        data = mutate(dice, sound) if dice.random() < 0.7 else sound
        before = master.session.link.receive_number
        events = master.session.feed(data)
        fuzzed.given |= {data[at : at + length] for at in range(len(data)) for length in (10, 11, 12, 13, 14, 17, 20, 21)}
        master.take(events)  # reads what it says, frame by frame
        fuzzed.check()
        master.sent = master.session.link.receive_number
        taken = (master.sent - before) % 32768
        assert taken <= 2 or master.closed
        if master.closed:
            closed += 1
            assert master.session.link.phase is Phase.CLOSED
            assert master.session.feed(u_frame(UFunction.TESTFR_ACT)) == []
            master.leave()
            fuzzed.begin()
        elif master.session.link.phase is not Phase.STARTED or master.session.link._rest:
            # an octet too many or too few: what follows is read from the wrong place; begin anew, that is not the question here
            master.leave()
            fuzzed.begin()
    assert closed > FRAMES // 10
    assert fuzzed.station.sessions == [fuzzed.master.session]
