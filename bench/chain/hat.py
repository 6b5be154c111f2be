"""The same work by hat-open: hat-gateway (IEC 104 master) -> hat-event (LMDB backend) -> a subscriber of its event server."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from chain.ours import outstations, until
from peers import FOLDER, environment
from workers import Worker, cpu_seconds

SETTLE_S = 30.0


@dataclass(frozen=True, slots=True)
class PeerRun:
    """One run of the peer; the attributes mean what those of :class:`chain.ours.Run` mean."""

    values: int
    seconds: float
    cpu_us: dict[str, float]
    age_ms: dict[str, float]
    lost: int


class HatChain:
    """The running processes.

    Args:
        channels: number of IEC 104 channels.
        blaster, viewer: processes that speak our line protocol.
        daemons: the peer's own processes by name.
    """

    def __init__(self, channels: int, blaster: Worker, viewer: Worker, daemons: dict[str, Daemon]) -> None:
        self._channels = channels
        self._blaster = blaster
        self._viewer = viewer
        self._daemons = daemons

    def run(self, rate: float, seconds: float, most_values: int = 0) -> PeerRun:
        """Load the chain; see :meth:`chain.ours.Chain.run`."""
        seen = self._viewer.ask("report")
        before = {name: daemon.cpu_s() for name, daemon in self._daemons.items()}
        most = {"most": max(1, most_values // 16 // self._channels)} if most_values else {}
        began = time.perf_counter()
        sent = self._blaster.ask("blast", seconds + SETTLE_S, rate=rate, seconds=seconds, **most)
        expected, deadline = seen["rows"] + sent["values"], time.monotonic() + SETTLE_S
        while self._viewer.ask("peek")["rows"] < expected and time.monotonic() < deadline:
            time.sleep(0.02)
        elapsed = time.perf_counter() - began
        shown = self._viewer.ask("report")
        used = {name: (daemon.cpu_s() - before[name]) * 1e6 / sent["values"] for name, daemon in self._daemons.items()}
        return PeerRun(
            values=shown["rows"] - seen["rows"],
            seconds=elapsed,
            cpu_us={**used, "total": sum(used.values())},
            age_ms=shown["age"],
            lost=abs(expected - shown["rows"]) + shown["disordered"] - seen["disordered"],
        )


class Daemon:
    """A process of the peer that takes no requests."""

    def __init__(self, command: list[str], log: Path) -> None:
        with log.open("w", encoding="utf-8") as sink:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)

    def cpu_s(self) -> float:
        """CPU seconds so far."""
        return cpu_seconds(self._process.pid)

    def close(self) -> None:
        """End it: asked first, killed after 5 s."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def hat_chain(channels: int) -> Iterator[HatChain]:
    """Start the peer and wait until every channel is in data transfer.

    Raises:
        PeerError: it cannot be installed.
        WorkerError: it does not come up.
    """
    programs = environment("hat")
    with tempfile.TemporaryDirectory(prefix="hat-bench-") as made, ExitStack() as closing:
        folder = Path(made)
        blaster, ports = outstations(channels, folder, closing)
        port = _free_port()
        _write(folder / "event.json", _event_server(port, folder))
        _write(folder / "gateway.json", _gateway(port, ports))
        daemons: dict[str, Daemon] = {}

        def start(name: str, program: str) -> None:
            daemons[name] = Daemon([str(programs / program), "--conf", str(folder / f"{name}.json")], folder / f"{name}.log")
            closing.callback(daemons[name].close)

        start("event", "hat-event-server")
        script = [str(programs / "python"), str(FOLDER / "hat" / "viewer.py"), "--port", str(port), "--channels", str(channels)]
        viewer = closing.enter_context(Worker("hat viewer", script, folder / "viewer.log"))
        viewer.answer(30)
        start("gateway", "hat-gateway")
        until(lambda: blaster.ask("started")["started"] == channels, "hat-gateway does not start data transfer", 30.0)
        time.sleep(0.5)
        yield HatChain(channels, blaster, viewer, daemons)


def _event_server(port: int, folder: Path) -> dict[str, object]:
    every = [["gateway", "*"]]
    return {
        "name": "event",
        "server_id": 1,
        "backend": {
            "module": "hat.event.backends.lmdb",
            "db_path": str(folder / "event.db"),
            "identifier": None,
            "flush_period": 30,
            "cleanup_period": 60,
            "conditions": [],
            "latest": {"subscriptions": every},
            "timeseries": [{"order_by": "TIMESTAMP", "subscriptions": every}],
        },
        "modules": [],
        "eventer_server": {"host": "127.0.0.1", "port": port},
    }


def _gateway(port: int, ports: list[int]) -> dict[str, object]:
    device = {
        "module": "hat.gateway.devices.iec104.master",
        "response_timeout": 15,
        "supervisory_timeout": 10,
        "test_timeout": 20,
        "send_window_size": 12,
        "receive_window_size": 8,
        "reconnect_delay": 1,
        "time_sync_delay": None,
    }
    devices = [
        {**device, "name": f"rtu{index + 1}", "remote_addresses": [{"host": "127.0.0.1", "port": one}]}
        for index, one in enumerate(ports)
    ]
    return {
        "name": "gateway",
        "event_server": {"eventer_server": {"host": "127.0.0.1", "port": port}},
        "devices": devices,
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
