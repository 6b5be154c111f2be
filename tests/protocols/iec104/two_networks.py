"""A channel with several links and the ends of its station, joined without a network on a virtual clock."""

from scada.core.clock import VirtualClock
from scada.model_cim.tables import ChannelSpec
from scada.protocols.driver import ChannelStatistics
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.apci import UFunction, i_frame, s_frame, u_frame
from scada.protocols.iec104.asdu import Cause, single
from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.effects import Disconnect, Done, Notice, Send, StateChange, Values
from scada.protocols.iec104.endpoints import RedundancyParameters
from scada.protocols.iec104.redundancy import Redundancy, To

TWO = {"host_b": "10.2.0.1"}
FOUR = {"host_b": "10.2.0.1", "host_c": "10.1.0.2", "host_d": "10.2.0.2", "port_d": 2405}
K = 12


class Station:
    """One connection's end at the station: answers U frames and interrogations, numbers its I frames; may be told to be mute."""

    def __init__(self, build):
        self.split = build.apdus
        self.connected = False
        self.started = False
        self.mute = False
        self.refuses_to_stop = False
        self.answers_interrogations = True
        self.said = []  # by the master
        self.sent = self.received = 0

    def hear(self, data):
        if self.mute:
            return b""
        answer = b""
        for said in self.split(data):
            self.said.append(said)
            match said:
                case "STARTDT_ACT":
                    self.started = True
                    answer += u_frame(UFunction.STARTDT_CON)
                case "STOPDT_ACT" if not self.refuses_to_stop:
                    self.started = False
                    answer += u_frame(UFunction.STOPDT_CON)
                case "TESTFR_ACT":
                    answer += u_frame(UFunction.TESTFR_CON)
                case ("I", number, _, asdu):
                    self.received = number + 1
                    answer += self.confirm(asdu)
        return answer

    def confirm(self, asdu):
        if asdu.type_id == 100 and self.answers_interrogations:
            value = single(1, Cause.INTERROGATED, 1, 1, b"\x01").encode()
            return self.tell(*(asdu.mirror(cause).encode() for cause in (Cause.ACTIVATION_CON,)), value) + self.tell(
                asdu.mirror(Cause.ACTIVATION_TERM).encode()
            )
        if asdu.type_id in {103, 101}:
            return self.tell(asdu.mirror(Cause.ACTIVATION_CON).encode())
        return s_frame(self.received)

    def tell(self, *asdus):
        data = b""
        for asdu in asdus:
            data += i_frame(self.sent, self.received, asdu)
            self.sent += 1
        return data


class Queue:
    """Events of a redundancy group: they wait until they are acknowledged, whatever link they went over."""

    def __init__(self):
        self.events = []  # (ioa, milliseconds, value)
        self.acknowledged = 0


class QueueingStation(Station):
    """A link's end that sends what waits in the group's queue, k frames ahead, from the last acknowledgement on."""

    def __init__(self, build, queue):
        super().__init__(build)
        self.queue = queue
        self.next = 0
        self.under_way = []  # (N(S), number of the event)

    def hear(self, data):
        was = self.started
        answer = super().hear(data)
        if self.started and not was:
            self.next, self.under_way = self.queue.acknowledged, []
        for said in [] if self.mute else self.split(data):
            if said[0] in {"S", "I"} and not isinstance(said, str):
                receive = said[1] if said[0] == "S" else said[2]
                while self.under_way and self.under_way[0][0] < receive:
                    self.queue.acknowledged = max(self.queue.acknowledged, self.under_way.pop(0)[1] + 1)
        return answer

    def pump(self):
        data = b""
        while self.connected and self.started and len(self.under_way) < K and self.next < len(self.queue.events):
            self.under_way.append((self.sent, self.next))
            data += self.tell(event_asdu(*self.queue.events[self.next]))
            self.next += 1
        return data


def event_asdu(ioa, milliseconds, value):
    """A single-point event with time."""
    tag = cp56.to_octets(1_700_000_000 * 10**9 + milliseconds * 10**6, 0)
    return single(30, Cause.SPONTANEOUS, 1, ioa, bytes([value]) + tag).encode()


class Rig:
    """A channel with several links to a station, joined without a network."""

    def __init__(self, build, queue=None, **params):
        self.queue = queue
        self.slow = False
        self.clock = VirtualClock()
        self.build = build
        self.points = [build.point(1, 1, 1), build.point(2, 2, 30), build.point(3, 3, 30), build.point(4, 4, 13)]
        self.control = build.control(1, 50, 45, select=False)
        spec = ChannelSpec(
            0, "m", "north", "iec104", "10.1.0.1", 2404, "S", {"clock_sync_s": 0, "t1": 3, "t2": 1, "t3": 5, **params}
        )
        self.statistics = ChannelStatistics()
        channel = Channel(spec, self.points, [self.control], statistics=self.statistics)
        self.machine = Redundancy(channel, RedundancyParameters.of(spec), self.statistics)
        self.stations = {report.name: self.station() for report in self.machine.links()}
        self.values, self.states, self.notices, self.done, self.ended = [], [], [], {}, []

    def station(self):
        return Station(self.build) if self.queue is None else QueueingStation(self.build, self.queue)

    def now(self):
        return self.clock.now_ns(), self.clock.monotonic()

    def connect(self, *names):
        for name in names:
            fresh = self.station()
            fresh.mute, fresh.answers_interrogations = self.stations[name].mute, self.stations[name].answers_interrogations
            self.stations[name] = fresh
            fresh.connected = True
            self.run(self.machine.connecting(name, *self.now()))
            self.run(self.machine.connected(name, *self.now()))

    def run(self, effects):
        waiting = list(effects)
        while waiting:
            effect = waiting.pop(0)
            match effect:
                case To(name, Send(data)) if self.stations[name].connected:
                    answer = self.stations[name].hear(data)
                    if answer:
                        waiting += self.machine.feed(name, answer, *self.now())
                        waiting += self.delivered()
                case To(name, Disconnect(reason)):
                    self.ended.append((name, reason))
                    self.stations[name].connected = False
                    waiting += self.machine.lost(name, reason, *self.now())  # as the driver does when the socket has ended
                case Values(batch):
                    self.values += batch.records.tolist()
                case StateChange(state):
                    self.states.append(state)
                case Notice(kind, text):
                    self.notices.append((kind, text))
                case Done(ticket, result):
                    self.done[ticket] = result

    def delivered(self):
        return [] if self.slow else self.machine.delivered(*self.now())

    def pump(self):
        """Let the station send what waits in its queue."""
        for name, station in self.stations.items():
            while data := station.pump():
                self.run(self.machine.feed(name, data, *self.now()))
                self.run(self.delivered())

    def event(self, name, ioa, milliseconds, value, *, deliver=True):
        """A single-point event with time from the station."""
        data = self.stations[name].tell(event_asdu(ioa, milliseconds, value))
        self.run(self.machine.feed(name, data, *self.now()))
        if deliver:
            self.run(self.machine.delivered(*self.now()))

    def cut(self, name, reason="connection broken"):
        self.stations[name].connected = False
        self.run(self.machine.lost(name, reason, *self.now()))

    def pass_time(self, seconds, step=0.1):
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            self.run(self.machine.tick(*self.now()))

    def switch(self, name=""):
        ticket, effects = self.machine.switch(name, *self.now())
        self.run(effects)
        return ticket

    def link_states(self):
        return {report.name: report.state for report in self.machine.links()}

    def events(self):
        """(pid, value) of everything with a time of its own, in order."""
        return [(record[0], record[4]) for record in self.values if record[5]]

    def histories(self):
        """(milliseconds, value) of every event, by point, in order."""
        found = {}
        for record in self.values:
            if record[5]:
                found.setdefault(record[0], []).append(((record[5] - 1_700_000_000 * 10**9) // 10**6, int(record[4])))
        return found

    def interrogations(self, name):
        return sum(said[0] == "I" and said[3].type_id == 100 for said in self.stations[name].said if said != "S")
