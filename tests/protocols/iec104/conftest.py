"""Builders of points and controls, and a null modem between a channel and an outstation."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from scada.core.clock import VirtualClock
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Point, PointKind
from scada.protocols.iec104 import apci
from scada.protocols.iec104.asdu import Asdu
from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.effects import Disconnect, Done, Notice, Send, StateChange, Values
from scada.protocols.iec104.link import Closed, Transmit
from scada.protocols.iec104.outstation import Outstation

KINDS = {1: PointKind.STATUS, 3: PointKind.DOUBLE, 5: PointKind.STEP, 7: PointKind.BITS, 15: PointKind.COUNTER}
COMMAND_KINDS = {45: ControlKind.SINGLE, 46: ControlKind.DOUBLE, 47: ControlKind.STEP}


def point(pid, ioa, type_id, ca=1, **more):
    kind = KINDS.get(type_id, PointKind.ANALOG)
    return Point(
        pid, f"m{pid}", f"S/P{pid}", f"P{pid}", kind, "", "", "", "", "S", "", 0, Iec104Address(ca, ioa, type_id), **more
    )


def control(cid, ioa, type_id, ca=1, **more):
    kind = COMMAND_KINDS.get(type_id, ControlKind.SETPOINT)
    return Control(
        cid, f"c{cid}", f"S/C{cid}", f"C{cid}", kind, "", "", "", "S", 0, Iec104Address(ca, ioa, type_id), None, "", **more
    )


def spec(**params):
    return ChannelSpec(3, "mrid", "north", "iec104", "127.0.0.1", 2404, "S", params)


def apdus(data):
    """Split octets into what they say: U function names, ('S', nr) and ('I', ns, nr, Asdu)."""
    said = []
    while data:
        frame, data = data[: 2 + data[1]], data[2 + data[1] :]
        if frame[2] & 3 == 3:
            said.append(apci.UFunction(frame[2]).name)
        elif frame[2] & 1:
            said.append(("S", frame[4] >> 1 | frame[5] << 7))
        else:
            ns, nr = frame[2] >> 1 | frame[3] << 7, frame[4] >> 1 | frame[5] << 7
            said.append(("I", ns, nr, Asdu.parse(frame[6:])))
    return said


class NullModem:
    """A channel and an outstation joined without a network, on one virtual clock."""

    def __init__(self, points, controls, *, on_command=None, parameters=None, **params):
        self.clock = VirtualClock()
        self.outstation = Outstation(points, controls, self.clock, on_command=on_command, parameters=parameters)
        self.channel = Channel(spec(**params), points, controls)
        self.values, self.notices, self.states, self.done, self.disconnects = [], [], [], {}, []
        self.said = []
        self.session = None

    def connect(self):
        self.session = self.outstation.connect("master")
        self.run(self.channel.connected(self.clock.monotonic()))

    def run(self, effects):
        """Carry effects out until both sides are silent."""
        to_station = self.take(effects)
        while to_station:
            answers = self.session.feed(to_station)
            to_station = b""
            for event in answers:
                if isinstance(event, Transmit):
                    self.said += apdus(event.data)
                    to_station += self.take(self.channel.feed(event.data, self.clock.now_ns(), self.clock.monotonic()))
                elif isinstance(event, Closed):
                    self.disconnects.append(event.reason)
            to_station += self.take(self.channel.delivered(self.clock.monotonic()))

    def take(self, effects):
        data = b""
        for effect in effects:
            if isinstance(effect, Send):
                data += effect.data
            elif isinstance(effect, Values):
                self.values.append(effect.batch)
            elif isinstance(effect, Notice):
                self.notices.append((effect.kind, effect.text))
            elif isinstance(effect, StateChange):
                self.states.append(effect.state)
            elif isinstance(effect, Done):
                self.done[effect.ticket] = effect.result
            elif isinstance(effect, Disconnect):
                self.disconnects.append(effect.reason)
        return data

    def pump(self):
        """Let the outstation send what waits."""
        for event in self.session.pump():
            if isinstance(event, Transmit):
                self.said += apdus(event.data)
                self.run(self.channel.feed(event.data, self.clock.now_ns(), self.clock.monotonic()))
        self.run(self.channel.delivered(self.clock.monotonic()))

    def pass_time(self, seconds, step=0.5):
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step
            self.run(self.channel.tick(self.clock.now_ns(), self.clock.monotonic()))
            for event in self.session.tick():
                if isinstance(event, Transmit):
                    self.said += apdus(event.data)
                    self.run(self.channel.feed(event.data, self.clock.now_ns(), self.clock.monotonic()))

    def command(self, control, value, step):
        ticket, effects = self.channel.command(control, value, step, self.clock.now_ns(), self.clock.monotonic())
        self.run(effects)
        return self.done.get(ticket)

    def last(self):
        """pid -> last record received."""
        return {int(record["pid"]): record for batch in self.values for record in batch.records}


@pytest.fixture(scope="session")
def build():
    return SimpleNamespace(point=point, control=control, spec=spec, apdus=apdus, NullModem=NullModem)


@pytest.fixture(scope="session")
def traces():
    folder = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "iec104"
    if not folder.is_dir():
        pytest.skip("the recorded traces are not at hand")
    return folder
