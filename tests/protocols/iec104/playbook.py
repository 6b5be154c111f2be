"""A script for a controlling station: what its peer sends, and word for word what must come out, on a clock the test drives."""

from dataclasses import replace

from scada.protocols.driver import Outcome
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.apci import UFunction, i_frame, s_frame, u_frame
from scada.protocols.iec104.asdu import Asdu, CommandElement, InformationObject, encode_command
from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.effects import Disconnect, Done, Notice, Send, StateChange, Values

NOW = 1_780_000_000_000_000_000
QUIET = {"clock_sync_s": 0, "interrogation_s": 0, "counter_interrogation_s": 0}


def asdu(type_id, cause, ioa=0, element=b"", ca=1, *, neg=False, test=False, oa=0, more=()):
    objects = (InformationObject(ioa, element), *more)
    return Asdu(type_id, cause, ca, objects, neg, test, oa, count=len(objects))


STATUS = asdu(1, 3, 10, b"\x01")


class Raw:
    """Octets as an ASDU."""

    def __init__(self, octets):
        self.octets = bytes.fromhex(octets)

    def encode(self):
        return self.octets


def con(type_id, ioa, value, cause=7, *, neg=False, oa=0, ca=1, **more):
    """What a station says of a command."""
    return asdu(type_id, cause, ioa, encode_command(type_id, CommandElement(value, **more)), ca, neg=neg, oa=oa)


def with_feedback(control):
    return replace(control, feedback=1)


def some_points(build):
    return [build.point(0, 10, 1), build.point(1, 11, 3), build.point(2, 12, 13), build.point(3, 13, 15), build.point(4, 14, 20)]


def some_controls(build):
    """Selected before operated; direct; direct with time; direct without feedback."""
    return [
        with_feedback(build.control(0, 100, 46)),
        build.control(1, 101, 50, select=False),
        with_feedback(build.control(2, 102, 59, select=False)),
        build.control(3, 103, 45, select=False),
    ]


class Playbook:
    """The machine under test and its scripted peer.

    What comes out is text: ``STARTDT_ACT``; ``S 8``; ``I 100.6 CA1 IOA0 14``, a time that is now being ``T``; ``UP``; ``! kind``;
    ``done 3 confirmed: text``; ``value pid=number``; ``close reason``.
    """

    def __init__(self, build, points=(), controls=(), **params):
        self.controls = list(controls)
        self.channel = Channel(build.spec(**params), list(points), self.controls)
        self.build = build
        self.mono = 0.0
        self.sent = self.received = 0
        self.records = []
        self.texts = []
        self.raw_out = []
        self.closed = False

    @property
    def now(self):
        return NOW + round(self.mono * 1e9)

    def connect(self):
        self.sent = self.received = 0
        self.closed = False
        return self.out(self.channel.connected(self.mono))

    def start(self):
        """Connect and let the peer confirm data transfer; what came out is not looked at, and answers to it are not given."""
        self.connect()
        return self.peer(UFunction.STARTDT_CON)

    def quiet_start(self):
        """Start, and let the interrogations after it end; the peer has two frames of ours, and we have all of its."""
        for line in self.start():
            if line.startswith(("I 100", "I 101")):
                type_id, ca, item = int(line[2:5]), int(line.split("CA")[1].split()[0]), bytes.fromhex(line[-2:])
                self.peer(asdu(type_id, 7, 0, item, ca), asdu(type_id, 10, 0, item, ca))
        self.out(self.channel.delivered(self.mono))
        self.mono += 30  # acknowledged by both sides
        self.peer("ack")
        self.wait(0.25)

    def octets(self, *items, ack=True):
        data = b""
        for item in items:
            if isinstance(item, UFunction):
                data += u_frame(item)
            elif isinstance(item, bytes):
                data += item
            elif item == "ack":
                data += s_frame(self.received)
            else:
                data += i_frame(self.sent, self.received if ack else 0, item.encode())
                self.sent = (self.sent + 1) % 32768
        return data

    def peer(self, *items, ack=True, deliver=True):
        """The peer sends: ASDUs (in I frames), U functions, ``"ack"`` (an S frame), or octets as they are; one read."""
        said = self.out(self.channel.feed(self.octets(*items, ack=ack), self.now, self.mono))
        return said + (self.out(self.channel.delivered(self.mono)) if deliver and not self.closed else [])

    def wait(self, seconds, *, alive=True, step=0.25):
        """Time passes; an ``alive`` peer acknowledges and confirms test frames meanwhile."""
        said = []
        for _ in range(round(seconds / step)):
            self.mono += step
            said += self.out(self.channel.tick(self.now, self.mono))
            if alive and not self.closed:
                if "TESTFR_ACT" in said:
                    said.remove("TESTFR_ACT")
                    said += self.peer(UFunction.TESTFR_CON)
                said += self.peer("ack")
        return said

    def command(self, index_or_control, value, step):
        return self.done(self.channel.command(index_or_control, value, step, self.now, self.mono))

    def order(self, name, **arguments):
        return self.done(self.channel.order(name, {key: str(value) for key, value in arguments.items()}, self.now, self.mono))

    def done(self, asked):
        return self.out(asked[1])

    def out(self, effects):
        said = []
        for effect in effects:
            if isinstance(effect, Send):
                said += [self.frame(item) for item in self.build.apdus(effect.data)]
            elif isinstance(effect, StateChange):
                said.append(effect.state.name)
            elif isinstance(effect, Notice):
                said.append(f"! {effect.kind}")
                self.texts.append(effect.text)
            elif isinstance(effect, Done):
                outcome = {Outcome.LINK_DOWN: "down"}.get(effect.result.outcome, effect.result.outcome.value)
                said.append(f"done {outcome}" + (f": {effect.result.reason}" if effect.result.reason else ""))
            elif isinstance(effect, Values):
                self.records += list(effect.batch.records.copy())
                said += [f"value {record['pid']}={record['value']:g}" for record in effect.batch.records]
            elif isinstance(effect, Disconnect):
                self.closed = True
                said.append(f"close {effect.reason}")
        return said

    def frame(self, item):
        if isinstance(item, str):
            return item
        if item[0] == "S":
            return f"S {item[1]}"
        self.received = (item[1] + 1) % 32768
        said = item[3]
        self.raw_out.append(said.encode())
        if not said.objects:
            return f"I {said.type_id}.{'-' if said.negative else ''}{said.cause} CA{said.common_address} {said.body.hex()}"
        element = said.objects[0].element.hex().replace(cp56.to_octets(self.now).hex(), "T")
        sign = "-" if said.negative else ""
        oa = f" OA{said.originator}" if said.originator else ""
        return f"I {said.type_id}.{sign}{said.cause}{oa} CA{said.common_address} IOA{said.objects[0].ioa} {element}".rstrip()


def quiet_book(build, **params):
    """A channel without plans of its own, and with its first interrogation behind it."""
    book = Playbook(build, some_points(build), some_controls(build), **{**QUIET, **params})
    book.quiet_start()
    return book
