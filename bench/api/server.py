"""The server under measurement: the real system over mutual TLS, with a load of its own; asked line by line over its input."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from chain.server import SITE, GeneratedSystem, cpu
from chain.tables import tables

from scada.actors.facade import Facade
from scada.actors.messages import Apply
from scada.api.server import ApiThread
from scada.core.batch import PointBatch
from scada.core.clock import SystemClock
from scada.core.log import configure_logging
from scada.core.settings import parse_settings
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import Control, ControlKind, ModelTables
from scada.protocols.driver import LinkState
from scada.security.identities import load_identity
from scada.security.session import SessionServer
from scada.security.tls_trust import TlsTrust
from scada.security.trust import Trust

CONTROL = "setpoint"
COMMAND_IOA = 50_000
TICK_S = 0.1


class Load(threading.Thread):
    """Changes every point of a block ten times a second."""

    def __init__(self, system: GeneratedSystem, points: int) -> None:
        super().__init__(name="load", daemon=True)
        self._system = system
        self._pids = np.arange(points, dtype=np.uint32)
        self.on = threading.Event()

    def run(self) -> None:
        """For ever, while it is on."""
        number, due = 0, time.perf_counter()
        while True:
            self.on.wait()
            number, due = number + 1, max(due + TICK_S, time.perf_counter() - TICK_S)
            time.sleep(max(0.0, due - time.perf_counter()))
            now = self._system.clock.now_ns()
            self._system.rtdb.tell(Apply([PointBatch.of(self._pids, float(number), received_at=now, source_time=now)]))


def with_control(made: ModelTables) -> ModelTables:
    """The same model with a set-point of the first outstation."""
    control = Control(
        cid=0,
        mrid=CONTROL,
        path="RTU 1/G1/P",
        name="P",
        kind=ControlKind.SETPOINT,
        control_type="ActivePower",
        unit="MW",
        equipment="unit-1",
        station="RTU 1",
        channel=0,
        address=Iec104Address(1, COMMAND_IOA, 50),
        feedback=None,
        device_number="G1",
    )
    return replace(made, controls=[control])


def serve(folder: Path, keys: Path, made: ModelTables, load_points: int) -> None:
    """Start everything, answer requests until the input ends, stop everything."""
    folder.mkdir(exist_ok=True)
    configure_logging("error", "console")
    sys.setswitchinterval(0.0005)  # as `scada serve` does
    settings = parse_settings(
        {
            "site": {"name": SITE},
            "model": {"path": str(Path(__file__).resolve().parents[2] / "examples" / "demo-grid")},
            "api": {"port": 0, "control_port": 0},
            "security": {"keys": str(keys)},
            "rtdb": {"map_mb": 2048, "journal_mb": 512},
            "history": {"map_mb": 1024},
        },
        base=folder,
    )
    clock = SystemClock()
    tls = TlsTrust(keys)
    sessions = SessionServer(
        site=SITE, identity=load_identity(keys, "server", clock), trust=Trust(keys), clock=clock, tls_digests=tls.digests
    )
    with ExitStack() as closing:
        system = GeneratedSystem(settings, clock, made)
        closing.callback(system.stop)
        system.start()
        api = ApiThread(Facade(system), sessions, settings.api, uvloop.new_event_loop, tls=tls)
        api.start()
        closing.callback(api.stop)
        load = Load(system, load_points)
        load.start()
        _say({"port": api.server.port, "control_port": api.server.control_port})
        for line in sys.stdin:
            match json.loads(line)["what"]:
                case "up":
                    _say({"up": sum(view.state is LinkState.UP for view in system.channel_views)})
                case "load":
                    load.on.set()
                    _say({})
                case "mark":
                    _say({"cpu": cpu(), "at": time.perf_counter()})
                case unknown:
                    raise ValueError(unknown)


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--ports", required=True)
    parser.add_argument("--points", type=int, required=True)
    parser.add_argument("--load", type=int, required=True)
    given = parser.parse_args()
    ports = [int(port) for port in given.ports.split(",") if port]
    model = tables(ports or [9], given.points, {"k": 12, "w": 8})
    serve(given.folder, given.keys, with_control(model) if ports else replace(model, channels=[]), given.load)
