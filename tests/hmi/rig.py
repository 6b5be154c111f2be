"""A server over a driven grid, and the real operator station as a process: what the tests and a developer start."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from scada.api.server import ApiThread
from scada.core.clock import SystemClock
from scada.core.settings import ApiSettings
from scada.model_cim.tables import AlarmClass, PointKind
from scada.security.identities import init_identities, load_identity
from scada.security.session import SessionServer
from scada.security.tls_trust import TlsTrust
from scada.security.trust import Trust
from tests.hmi.grid_backend import GridBackend


class Rig:
    """Server in threads of this process, station as a child."""

    def __init__(self, folder: Path, *, port: int = 0, language: str = "en", user: str = "operator") -> None:
        self.keys = folder / "keys"
        init_identities(self.keys)
        self.clock = SystemClock()
        self.backend = GridBackend(self.clock)
        self.ports = (0, 0)
        self._api: ApiThread | None = None
        self._moving = threading.Event()
        self.start_server()
        line = [
            sys.executable,
            "-m",
            "scada",
            "hmi",
            "--server",
            f"127.0.0.1:{self.ports[0]}",
            "--control-port",
            str(self.ports[1]),
        ]
        line += ["--keys", str(self.keys), "--as", user, "--port", str(port), "--no-browser", "--lang", language]
        self.station = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.address = self.next_address()

    def next_address(self) -> str:
        """The launch address the station prints next."""
        assert self.station.stdout is not None
        for line in self.station.stdout:
            if "http://" in line:
                return line[line.index("http://") :].strip()
        raise AssertionError(f"the station ended with {self.station.wait()}")

    @property
    def base(self) -> str:
        return self.address.rsplit("/launch", 1)[0]

    def start_server(self) -> None:
        tls = TlsTrust(self.keys)
        self.sessions = SessionServer(
            site="demo",
            identity=load_identity(self.keys, "server", self.clock),
            trust=Trust(self.keys),
            clock=self.clock,
            tls_digests=tls.digests,
        )
        self._api = ApiThread(self.backend, self.sessions, ApiSettings(port=self.ports[0], control_port=self.ports[1]), tls=tls)
        self._api.start()
        self.ports = (self._api.server.port, self._api.server.control_port)

    def stop_server(self) -> None:
        if self._api is not None:
            self._api.stop()
            self._api = None

    def move(self, period_s: float = 0.5, share: float = 0.05) -> None:
        """Let analogs wander until :meth:`close`."""
        pids = [int(p.pid) for p in self.backend.tables.points if p.kind is PointKind.ANALOG]
        rng = random.Random(3)

        def run() -> None:
            while not self._moving.wait(period_s):
                some = rng.sample(pids, int(len(pids) * share))
                self.backend.apply(some, [self.backend.value[pid] * rng.uniform(0.999, 1.001) for pid in some])

        threading.Thread(target=run, daemon=True).start()

    def close(self) -> None:
        self._moving.set()
        self.station.terminate()
        self.station.wait(10)
        if self.station.stdout is not None:
            self.station.stdout.close()
        self.stop_server()


def main() -> None:
    """``python -m tests.hmi.rig FOLDER [PORT]``: for work on the page."""
    rig = Rig(Path(sys.argv[1]), port=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    rig.move()
    rig.backend.raise_alarm(0, AlarmClass.LIMIT)
    print(rig.address, flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        rig.close()


if __name__ == "__main__":
    main()
