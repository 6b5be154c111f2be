"""Frames of the recorded traces and random ones, mutated, against the controlling station.

Every read must give exactly the values that a second decoder finds in its octets, end the connection exactly where the octets
must end it, send only well-formed frames, and confirm only what was ordered. ``SCADA_FUZZ_FRAMES`` sets how many frames
(nightly: 1000000), ``SCADA_FUZZ_SEED`` which.
"""

import os
import random
import struct
from dataclasses import replace

import pytest

from scada.core.errors import ScadaError
from scada.protocols.driver import Outcome
from scada.protocols.iec104.apci import UFunction, i_frame, s_frame, u_frame
from scada.protocols.iec104.asdu import COMMAND_TYPES, Asdu, decode_command
from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.commanding import Step
from scada.protocols.iec104.effects import Disconnect, Done, Notice, Send, Values
from scada.protocols.trace import TcpReassembler, read_packets, tcp_segment
from tests.protocols.iec104.slow_decoder import SIZES, SlowDecoder, family, objects_of

FRAMES = int(os.environ.get("SCADA_FUZZ_FRAMES", "6000"))
SEED = int(os.environ.get("SCADA_FUZZ_SEED", "1"))
NOW = 1_780_000_000_000_000_000
WINDOW = (31 * 86_400, 300, 60)
NOTICES = {
    "protocol_fault", "malformed", "unknown_address", "type_mismatch", "impossible_cause", "unsupported_type", "unexpected_asdu",
    "foreign_answer", "stray_confirmation", "late_confirmation", "late_values", "command_terminated", "command_not_terminated",
    "end_of_initialisation", "time_distrusted", "counter_marked", "fleeting_change", "clock_skew",
    *(f"{name}_{end}" for end in ("refused", "timeout") for name in (
        "interrogation", "counter_interrogation", "clock_sync", "read", "test", "reset_process", "parameter",
        "parameter_activation",
    )),
}  # fmt: skip
COMMANDS = (45, 46, 47, 48, 49, 50, 51, 58, 59, 60, 61, 62, 63, 64)
ORDERS = (
    ("interrogate", {}), ("interrogate", {"group": "4"}), ("read_counters", {"mode": "freeze"}), ("read", {"ioa": "1"}),
    ("test", {}), ("test", {"kind": "plain"}), ("reset_process", {}), ("load_parameter", {"ioa": "9", "value": "1"}),
    ("activate_parameter", {"ioa": "9"}), ("cancel_interrogation", {}),
)  # fmt: skip


def asdus_of(folder):
    """ASDUs of all I frames of all traces, in order of the files."""
    found = []
    for path in sorted(folder.glob("*.pcap")):
        reassembler, rest = TcpReassembler(), {}
        for packet in read_packets(path):
            segment = tcp_segment(packet)
            for chunk in reassembler.feed(segment) if segment is not None else ():
                data = rest.pop((chunk.stream, chunk.source), b"") + chunk.data
                while len(data) >= 2 and data[0] == 0x68 and len(data) >= 2 + data[1]:
                    frame, data = data[: 2 + data[1]], data[2 + data[1] :]
                    if len(frame) >= 12 and not frame[2] & 1:
                        found.append(frame[6:])
                rest[chunk.stream, chunk.source] = data
    return found


class Fuzz:
    """The machine, the second decoder, and a peer that means harm."""

    def __init__(self, build, asdus, seed):
        self.random = random.Random(seed)
        self.asdus = [one for one in asdus if one[0] in SIZES] * 3 + asdus
        known = {}
        for one in asdus:
            parsed = objects_of(one)
            for ioa, _ in parsed[3] if parsed else ():
                known.setdefault((parsed[2], ioa), (len(known), parsed[0]))
        for type_id in (20, 38, 39, 40, 21):
            known.setdefault((1, 900_000 + type_id), (len(known), type_id))
            self.asdus += [self.made(type_id, 900_000 + type_id) for _ in range(200)]
        points = [build.point(pid, ioa, type_id, ca) for (ca, ioa), (pid, type_id) in known.items()]
        self.controls = [build.control(n, 70_000 + n, type_id, select=False) for n, type_id in enumerate(COMMANDS)]
        stations = sorted({ca for ca, _ in known})
        self.controls += [build.control(99, 80_000, 46, ca=stations[0])]
        spec = build.spec(k=12, late_s=WINDOW[2], termination_s=3, clock_sync_s=0)
        self.channel = Channel(spec, points, self.controls)
        self.slow = SlowDecoder(known, *WINDOW)
        self.mono = 0.0
        self.tickets, self.ended, self.ordered = {}, set(), {}
        self.values = self.closes = self.confirmed = 0
        self.up = False

    def made(self, type_id, ioa):
        body = bytes(self.random.randrange(256) for _ in range(SIZES[type_id]))
        return bytes([type_id, 1, 3, 0, 1, 0]) + ioa.to_bytes(3, "little") + body

    @property
    def now(self):
        return NOW + round(self.mono * 1e9)

    # ------------------------------------------------------------------ the peer

    def source(self):
        draw = self.random
        kind = draw.random()
        if kind < 0.10 and self.ordered:
            answer = draw.choice(list(self.ordered.values()))
            return answer[:2] + draw.choice((b"\x07", b"\x07", b"\x0a")) + answer[3:]
        if kind < 0.14:
            type_id = draw.choice([100, 101, 103, 70, 102, 105, 107, 104, 110, 113, 120, 127])
            element = bytes([draw.choice([20, 24, 5, 1, 0x45])]) + bytes(draw.randrange(256) for _ in range(draw.randrange(9)))
            cause = draw.choice([3, 4, 6, 7, 8, 9, 10, 44, 45, 46, 47])
            return bytes([type_id, 1, cause, 0, 1, 0, 0, 0, 0]) + element
        if kind < 0.22:
            return bytes(draw.randrange(256) for _ in range(draw.randrange(6, 60)))
        return draw.choice(self.asdus)

    def mutate(self, asdu):
        draw = self.random
        data = bytearray(asdu)
        for _ in range(draw.choice((0, 0, 1, 1, 2, 4))):
            at = draw.choice((0, 1, 2, 3, draw.randrange(len(data)), draw.randrange(len(data))))
            data[at] = draw.choice((0, 1, 3, 7, 20, 0x7F, 0x80, 0xFF, draw.randrange(256), data[at] ^ 1 << draw.randrange(8)))
        kind = draw.random()
        if kind < 0.04:
            del data[draw.randrange(6, len(data) + 1) :]
        elif kind < 0.08:
            data += bytes(draw.randrange(256) for _ in range(draw.randrange(1, 12)))
        return bytes(data[:249])

    def frame(self):
        draw = self.random
        kind = draw.random()
        if kind < 0.03:
            return s_frame(self.slow.sent)
        if kind < 0.05:
            return u_frame(draw.choice((UFunction.TESTFR_ACT, UFunction.TESTFR_CON)))
        frame = bytearray(i_frame(self.slow.expected, self.slow.sent, self.mutate(self.source())))
        if draw.random() < 0.02:
            frame[draw.randrange(6)] = draw.randrange(256)
        return bytes(frame)

    # ------------------------------------------------------------------ the judge

    def connect(self):
        self.slow.reset()
        self.judge(self.channel.connected(self.mono), [], False)
        self.judge(self.channel.feed(u_frame(UFunction.STARTDT_CON), self.now, self.mono), [], False)
        self.up = True

    def turn(self):
        if not self.up:
            self.connect()
        data = self.frame()
        expected, ends = self.slow.feed(data, self.now)
        if self.random.random() < 0.2:  # cut anywhere
            cut = self.random.randrange(len(data) + 1)
            effects = self.channel.feed(data[:cut], self.now, self.mono)
            effects += self.channel.feed(data[cut:], self.now, self.mono)
        else:
            effects = self.channel.feed(data, self.now, self.mono)
        self.judge(effects, expected, ends, data)
        if self.up:
            self.judge(self.channel.delivered(self.mono), [], False)
        self.mono += 0.01

    def wish(self):
        """Ask for something, or let the timers run."""
        kind = self.random.random()
        if kind < 0.5:
            control = self.random.choice(self.controls)
            value = 0.5 if control.address.type_id in (48, 61) else 1
            ticket, effects = self.channel.command(control, value, Step.EXECUTE, self.now, self.mono)
            self.tickets[ticket] = control.address
        elif kind < 0.7:
            ticket, effects = self.channel.order(*self.random.choice(ORDERS), self.now, self.mono)
            self.tickets[ticket] = None
        else:
            self.mono += self.random.choice((0.1, 1, 5))
            effects = self.channel.tick(self.now, self.mono)
        self.judge(effects, [], None)

    def judge(self, effects, expected, ends, data=b""):
        got, closed = [], None
        for effect in effects:
            if isinstance(effect, Values):
                got += effect.batch.records.tolist()
            elif isinstance(effect, Disconnect):
                closed = effect.reason
            elif isinstance(effect, Send):
                self.check_sent(effect.data)
            elif isinstance(effect, Notice):
                assert effect.kind in NOTICES, effect
                assert effect.text
            elif isinstance(effect, Done):
                self.check_done(effect)
        rows = [(row[0], *row[2:]) for row in got]  # without the channel
        if (
            any(asdu[0] in {70, 103} for asdu in self.slow.asdus)
            and not self.channel._reception._decoder.table.present_tags.any()
        ):
            self.slow.tags.clear()
        assert repr(rows) == repr(expected), (data.hex(), self.mono)
        self.values += len(rows)
        if ends is not None:
            assert bool(closed) is ends, (data.hex(), closed)
        if closed:
            self.closes += 1
            self.judge(self.channel.lost(closed), [], None)
            self.ordered.clear()
            self.up = False

    def check_sent(self, data):
        while data:
            frame, data = data[: 2 + data[1]], data[2 + data[1] :]
            if frame[2] & 1:
                assert len(frame) == 6
                continue
            self.slow.sent = (self.slow.sent + 1) % 32768
            said = Asdu.parse(frame[6:])
            if said.type_id in COMMAND_TYPES:
                place = said.common_address, said.objects[0].ioa
                assert any(address and (address.common_address, address.ioa) == place for address in self.tickets.values())
                self.ordered[place] = frame[6:8] + b"\x07" + frame[9:]
            elif said.cause == 44:
                assert said.negative
                assert said.type_id not in COMMAND_TYPES | SIZES.keys()
            else:
                assert said.type_id in {100, 101, 102, 103, 104, 105, 107, 110, 111, 112, 113}
                assert said.cause in {5, 6, 8}

    def check_done(self, effect):
        assert effect.ticket in self.tickets or effect.result.outcome is not Outcome.CONFIRMED
        assert effect.ticket not in self.ended
        self.ended.add(effect.ticket)
        address = self.tickets.get(effect.ticket)
        if address is None or effect.result.outcome is not Outcome.CONFIRMED:
            return
        self.confirmed += 1
        place = address.common_address, address.ioa
        sent = decode_command(address.type_id, Asdu.parse(self.ordered[place]).objects[0].element)
        heard = [self.command_of(asdu, address.type_id, place) for asdu in self.slow.asdus]
        assert sent in heard, (effect, self.slow.asdus)

    def command_of(self, data, type_id, place):
        """What a positive confirmation or termination of a command says."""
        try:
            said = Asdu.parse(data)
        except ScadaError:
            return None
        fits = said.type_id == type_id and said.cause in {7, 10} and not said.negative and not said.test and not said.originator
        if not fits or (said.common_address, said.objects[0].ioa) != place:
            return None
        return replace(decode_command(type_id, said.objects[0].element), select=False)  # terminations differ in it


@pytest.mark.timeout(7200)
def test_mutated_frames_give_the_values_that_are_in_them_and_a_defined_reaction(build, traces):
    asdus = asdus_of(traces)
    assert len(asdus) > 1000
    fuzz = Fuzz(build, asdus, SEED)
    for number in range(FRAMES):
        fuzz.turn()
        if number % 7 == 0 and fuzz.up:
            fuzz.wish()
    fuzz.judge(fuzz.channel.lost("the end"), [], None)
    assert set(fuzz.tickets) <= fuzz.ended
    assert fuzz.values > FRAMES
    assert fuzz.closes > FRAMES / 500
    assert fuzz.confirmed > FRAMES / 2000
    print(f"{FRAMES} frames: {fuzz.values} values, {fuzz.closes} closes, {fuzz.confirmed} confirmed commands")


def test_the_second_decoder_is_no_copy(build):
    """It must be able to disagree: a value it was told wrongly is found."""
    slow = SlowDecoder({(1, 7): (0, 13)}, *WINDOW)
    data = i_frame(0, 0, bytes([13, 1, 3, 0, 1, 0, 7, 0, 0]) + struct.pack("<fB", 1.5, 0))
    assert slow.feed(data, NOW) == ([(0, 3, 0, 1.5, 0, 0, 13, 0, 0)], False)
    assert slow.feed(data, NOW) == ([], True)
    assert family(36) == 13
