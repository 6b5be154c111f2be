"""The real processes of a demo, on free ports, driven through gRPC alone."""

import asyncio
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from scadapb.v1 import scada_pb2 as pb

from scada.api.client import ScadaClient
from scada.cli.demo import GRID, HOST, PLANT_RUNS, Demo, Ports, await_line
from scada.cli.processes import ProcessGroup
from scada.core.clock import SystemClock
from scada.core.quality import BAD_MASK
from scada.model_cim.points import load_model
from scada.security.identities import init_identities, load_authority, load_identity
from scada.security.tls_trust import ClientTls


def free_base(count=40):
    """First of ``count`` free ports in a row."""
    for base in range(20000 + os.getpid() % 2000 * 10, 60000, count):
        sockets = []
        try:
            for port in range(base, base + count):
                one = socket.socket()
                sockets.append(one)
                one.bind((HOST, port))
            return base
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
    raise RuntimeError("no free ports")


class Rig:
    """Simulator and server as processes; gRPC as the only way in."""

    def __init__(
        self,
        folder: Path,
        rate: float = 1.0,
        *,
        automatic: bool = True,
        hmi: bool = False,
        guardian: bool = False,
        more: str = "",
        grid: Path = GRID,
    ):
        _, self.tables, _ = load_model(grid)
        channels = tuple(channel.name for channel in self.tables.channels)
        epoch = 0 if rate == 1.0 else SystemClock().now_ns()
        self.rate = rate
        upstream = tuple(station.name for station in self.tables.upstream)
        self.demo = Demo(folder, grid, Ports(free_base()), channels, rate, epoch, upstream, guardian)
        folder.mkdir(parents=True, exist_ok=True)
        init_identities(self.demo.keys)
        config = self.demo.write_config(automatic=automatic)
        config.write_text(f"{config.read_text('utf-8')}\n{more}", "utf-8")
        self.group = ProcessGroup(folder / "log")
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.clients = {}
        self.group.start("sim", self.demo.sim())
        await_line(self.group, "sim", PLANT_RUNS, threading.Event())
        self.started = time.monotonic()
        self.group.start("server", self.demo.server())
        if hmi:
            self.group.start("hmi", self.demo.hmi("en"))
        if guardian:
            self.group.start("guardian", self.demo.hmi("en", "guardian"))

    # -- clients

    def run(self, work, timeout=60):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def client(self, name="operator"):
        if name not in self.clients:
            keys, ports = self.demo.keys, self.demo.ports
            identity = load_identity(keys, name, SystemClock())
            client = ScadaClient(
                f"{HOST}:{ports.api}",
                f"{HOST}:{ports.control}",
                identity,
                load_authority(keys),
                SystemClock(),
                station="test",
                tls=ClientTls(keys, name),
            )
            self.run(client.connect())
            self.clients[name] = client
        return self.clients[name]

    def call(self, method, request, name="operator"):
        return self.run(self.client(name).call(method, request))

    def signed(self, method, request, name="operator"):
        return self.run(self.client(name).signed(method, request))

    def forget_clients(self):
        for client in self.clients.values():
            self.run(client.close())
        self.clients.clear()

    # -- questions

    def status(self):
        return self.call("Realtime/GetStatus", pb.GetStatusRequest())

    def point(self, path):
        return self.tables.by_path[path]

    def find(self, **wanted):
        return [point for point in self.tables.points if all(getattr(point, name) == value for name, value in wanted.items())]

    def read(self, pid):
        frame = self.call("Realtime/Read", pb.ReadRequest(pids=[pid]))
        return frame.value[0], frame.quality[0]

    def good(self, pid):
        value, quality = self.read(pid)
        return value if not quality & BAD_MASK and not math.isnan(value) else None

    def read_many(self, pids):
        frame = self.call("Realtime/Read", pb.ReadRequest(pids=list(pids)))
        return np.array(frame.value), np.array(frame.quality)

    def alarms(self):
        return list(self.call("Events/ListAlarms", pb.ListAlarmsRequest()).alarms)

    def events(self, **query):
        return list(self.call("Events/ListEvents", pb.ListEventsRequest(**query)).events)

    # -- acts

    def operate(self, control, value, name="operator"):
        selected = self.signed(
            "Control/Select", pb.SelectRequest(control=control.mrid, value=value, device_number=control.device_number), name
        )
        if selected.state != pb.CONTROL_STATE_SELECTED:
            return selected, None
        return selected, self.signed("Control/Execute", pb.ExecuteRequest(sequence_id=selected.sequence_id), name)

    def fault(self, *words):
        line = [sys.executable, "-m", "scada", "sim", "fault", "--admin", str(self.demo.ports.admin), *words]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout

    def sim_status(self):
        return json.loads(self.fault("status"))

    def kill_server(self):
        os.kill(self.group.pid("server"), signal.SIGKILL)
        self.forget_clients()

    def restart_server(self):
        deadline = time.monotonic() + 20
        while not any(name == "server" for name, _ in self.group.revive()):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def until(self, condition, seconds, what=""):
        """Wait for a condition in real seconds; returns its value. A server that is not up yet counts as not met."""
        deadline = time.monotonic() + seconds
        last = None
        while time.monotonic() < deadline:
            try:
                if last := condition():
                    return last
            except Exception as error:
                last = error
                if "server" in dict(self.group.ended()):
                    raise AssertionError(f"the server ended: {self.group.last_line('server')}") from error
            time.sleep(0.1)
        raise AssertionError(f"{what or condition} did not come true in {seconds} s; last: {last!r}")

    def sim_seconds(self, since_ns):
        """Simulated seconds since a server time stamp."""
        return (self.status().time_ns - since_ns) / 1e9

    pb = pb

    def __enter__(self):
        return self

    def __exit__(self, *_):
        late = self.stop()
        assert late == [], f"{late} had to be killed"

    def stop(self):
        self.forget_clients()
        late = self.group.stop(3.0)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()
        return late
