"""A master that is nothing but frames: it says what a test tells it to, acknowledges when it may, and keeps what it heard."""

from scada.protocols.iec104 import asdu as asdus
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.apci import UFunction, i_frame, s_frame, u_frame
from scada.protocols.iec104.asdu import Asdu, CommandElement, encode_command
from scada.protocols.iec104.link import Closed, Transmit


def apdus(data):
    """Split octets into what they say: U function names, ('S', N(R)) and ('I', N(S), N(R), ASDU)."""
    said = []
    while data:
        frame, data = data[: 2 + data[1]], data[2 + data[1] :]
        receive = frame[4] >> 1 | frame[5] << 7
        if frame[2] & 3 == 3:
            said.append(UFunction(frame[2]).name)
        elif frame[2] & 1:
            said.append(("S", receive))
        else:
            said.append(("I", frame[2] >> 1 | frame[3] << 7, receive, Asdu.parse(frame[6:])))
    return said


class RawMaster:
    """One connection to an :class:`Outstation`, without a socket."""

    def __init__(self, station, name="m", **more):
        self.station = station
        self.session = station.connect(name, **more)
        self.sent = self.received = 0
        self.acknowledges = True
        self.asdus = []
        self.said = []
        self.closed = ""
        self.remarks = []

    def give(self, data):
        """Octets to the station; what it said, U and S frames and reasons included."""
        return self.take(self.session.feed(data))

    def take(self, events):
        got = []
        for event in events:
            if isinstance(event, Transmit):
                got += apdus(event.data)
            elif isinstance(event, Closed):
                self.closed = event.reason
                got.append(event.reason)
            else:
                self.remarks.append(event.text)
        heard = [item[3] for item in got if item[0] == "I"]
        self.received = (self.received + len(heard)) % 32768
        self.asdus += heard
        self.said += got
        if heard and self.acknowledges:
            got += self.acknowledge()
        return got

    def acknowledge(self, number=None):
        """Acknowledge everything, or up to a number."""
        return self.give(s_frame(self.received if number is None else number))

    def start(self):
        self.give(u_frame(UFunction.STARTDT_ACT))
        return self

    def stop(self):
        return self.give(u_frame(UFunction.STOPDT_ACT))

    def ask(self, asdu):
        """Send an ASDU; the ASDUs that came back."""
        self.asdus = []
        number, self.sent = self.sent, (self.sent + 1) % 32768
        self.give(i_frame(number, self.received, asdu if isinstance(asdu, bytes) else asdu.encode()))
        return self.asdus

    def pump(self):
        """Let the station send what waits; its ASDUs."""
        self.asdus = []
        self.take(self.session.pump())
        return self.asdus

    def tick(self):
        return self.take(self.session.tick())

    def leave(self):
        """The connection is cut."""
        self.station.disconnect(self.session)


def causes(answers):
    """(type, cause, P/N) of each."""
    return [(item.type_id, item.cause, item.negative) for item in answers]


def objects(answers, cause=None):
    """(address, element) of every monitored object, in order."""
    return [
        (item.ioa, item.element) for asdu in answers if asdu.type_id < 45 and cause in {None, asdu.cause} for item in asdu.objects
    ]


def order(type_id, ioa, value, cause=6, ca=1, **more):
    """A command."""
    return asdus.single(type_id, cause, ca, ioa, encode_command(type_id, CommandElement(value, **more)))


def interrogation(qoi=20, cause=6, ca=1):
    return asdus.single(100, cause, ca, 0, bytes([qoi]))


def counter_request(qcc=5, cause=6, ca=1):
    return asdus.single(101, cause, ca, 0, bytes([qcc]))


def clock_of(element):
    """ns UTC of the CP56Time2a at the end of an element."""
    return cp56.from_octets(element[-7:], 1_780_000_000_000_000_000)[0]
