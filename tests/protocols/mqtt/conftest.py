"""A real mosquitto on a free port, and an edge node and plain devices written with paho alone."""

import asyncio
import json
import shutil
import socket
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("aiomqtt")

import paho.mqtt.client as paho
from scadapb.sparkplug import payload_pb2 as pb

from scada.model_cim.addresses import PlainAddress
from scada.model_cim.tables import Control, ControlKind, Point, PointKind

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """mosquitto; ``extra`` are lines of its configuration."""

    def __init__(self, folder, extra="allow_anonymous true\n", port=None):
        self.port, self.folder = port or free_port(), folder
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\n{extra}user root\nmax_queued_messages 100000\nlog_dest none\n"
        )
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self.folder / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError("mosquitto does not listen")

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def make_broker(tmp_path):
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    made = []

    def make(**more):
        broker = Broker(tmp_path, **more)
        made.append(broker)
        return broker

    yield make
    for broker in made:
        broker.stop()


@pytest.fixture
def broker(make_broker):
    one = make_broker()
    one.start()
    return one


class Peer:
    """A client of the broker on paho's own thread."""

    def __init__(self, port, on_message=lambda topic, payload: None, will=None, subscribe=()):
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.max_queued_messages_set(0)
        self.client.max_inflight_messages_set(1000)
        self.ready = threading.Event()
        self.heard = []

        def arrived(client, userdata, message):
            self.heard.append((message.topic, message.payload, message.retain))
            on_message(message.topic, message.payload)

        def connected(client, userdata, flags, code, properties):
            if subscribe:
                client.subscribe([(topic, 1) for topic in subscribe])
            else:
                self.ready.set()

        self.client.on_message = arrived
        self.client.on_connect = connected
        self.client.on_subscribe = lambda *_: self.ready.set()
        if will is not None:
            self.client.will_set(*will, qos=1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(10)

    def say(self, topic, payload, *, retain=False, qos=1):
        """Publish; the broker has it when this returns."""
        info = self.client.publish(topic, payload, qos=qos, retain=retain)
        if qos:
            info.wait_for_publish(10)

    def close(self, *, clean=True):
        if clean:
            self.client.disconnect()
        else:
            self.client.socket().shutdown(socket.SHUT_RDWR)
        self.client.loop_stop()


TYPES = {"int": 3, "short": 2, "float": 9, "double": 10, "bool": 11, "string": 12}


def metric(name, value, kind="double", alias=None, **more):
    one = pb.Metric(datatype=TYPES[kind])
    if name:
        one.name = name
    if alias is not None:
        one.alias = alias
    if value is None:
        one.is_null = True
    elif kind in {"int", "short"}:
        one.int_value = value & 0xFFFF_FFFF
    else:
        setattr(
            one,
            {"float": "float_value", "double": "double_value", "bool": "boolean_value", "string": "string_value"}[kind],
            value,
        )
    for key, said in more.items():
        if key == "quality":
            one.properties.keys.append("Quality")
            one.properties.values.add(type=3, int_value=said)
        else:
            setattr(one, key, said)
    return one


def payload(*metrics, seq=None, at=1_780_000_000_000):
    message = pb.Payload(timestamp=at, metrics=metrics)
    if seq is not None:
        message.seq = seq
    return message.SerializeToString()


class Edge:
    """An edge node ``G/N`` with device ``D``; it answers to rebirth requests and commands as the specification says."""

    def __init__(self, port, bd_seq=0, *, obeys=True):
        self.bd_seq, self.seq, self.obeys, self.obeyed, self.births = bd_seq, 0, obeys, [], 0
        self.values = {"P": 12.5, "S": False, "SP": 0.0}
        self.lock = threading.RLock()
        will = ("spBv1.0/G/NDEATH/N", payload(metric("bdSeq", bd_seq, "int")))
        self.peer = Peer(port, self.command, will, ["spBv1.0/G/NCMD/N", "spBv1.0/G/DCMD/N/D"])
        self.birth()

    def next(self):
        seq, self.seq = self.seq, (self.seq + 1) % 256
        return seq

    def say(self, kind, *metrics, device="", seq=None, at=1_780_000_000_000, qos=0):
        tail = f"/{device}" if device else ""
        self.peer.say(f"spBv1.0/G/{kind}/N{tail}", payload(*metrics, seq=self.next() if seq is None else seq, at=at), qos=qos)

    def birth(self):
        with self.lock:
            self.seq = 0
            self.births += 1
            self.say(
                "NBIRTH", metric("bdSeq", self.bd_seq, "int"), metric("Node Control/Rebirth", False, "bool"), metric("P0", 1.5)
            )
            values = self.values
            self.say(
                "DBIRTH",
                metric("P", values["P"], "float", alias=1),
                metric("S", values["S"], "bool", alias=2),
                metric("SP", values["SP"], "double", alias=3),
                metric("Spare/Thing", 1.0, "double", alias=4),
                device="D",
            )

    def command(self, topic, data):
        for said in pb.Payload.FromString(data).metrics:
            if said.name == "Node Control/Rebirth" and said.boolean_value:
                self.birth()
            elif said.name == "SP":
                self.obeyed.append((0, said.double_value))
                if self.obeys:
                    self.values["SP"] = said.double_value
                    with self.lock:
                        self.say("DDATA", metric("", said.double_value, "double", alias=3), device="D")

    def close(self, *, clean=True):
        self.peer.close(clean=clean)


def point(pid, name, address, kind=PointKind.ANALOG, **more):
    return Point(pid, f"m{pid}", f"S/{name}", name, kind, "", "", "", "", "S", "", 0, PlainAddress(address), **more)


def control(cid, name, address, kind=ControlKind.SETPOINT, **more):
    return Control(
        cid, f"c{cid}", f"S/{name}", name, kind, "", "", "", "S", 0, PlainAddress(address), None, "", select=False, **more
    )


class PlainDevice:
    """Publishes ``m/P`` and ``m/S``, obeys ``m/SP``, refuses ``m/NO``."""

    def __init__(self, port, values):
        self.obeyed, self.silent, self.values = [], False, values
        self.peer = Peer(port, self.command, None, ["m/SP", "m/NO"])
        for name, value in values.items():
            self.peer.say(f"m/{name}", json.dumps({"v": value}), retain=True)

    def command(self, topic, data):
        said = json.loads(data)
        ok = topic == "m/SP"
        if ok:
            self.obeyed.append((0, said["v"]))
        if not self.silent:
            self.peer.say(f"{topic}/response", json.dumps({"id": said["id"], "ok": ok, "reason": "sealed"}), qos=0)

    def close(self):
        self.peer.close()


@pytest.fixture(scope="session")
def mqtt():
    return SimpleNamespace(
        Broker=Broker,
        Peer=Peer,
        Edge=Edge,
        PlainDevice=PlainDevice,
        metric=metric,
        payload=payload,
        point=point,
        control=control,
        free_port=free_port,
        asyncio=asyncio,
    )
