"""The server under measurement: the real system, gRPC and all, on a model made here; asked line by line over its input."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from chain.tables import no_grid, tables

from scada.actors.base import Address, Factory
from scada.actors.facade import Facade
from scada.actors.lives import Lives
from scada.actors.rtdb import RtdbActor
from scada.actors.system import System
from scada.api.server import ApiThread
from scada.core.batch import POINT_DTYPE, RecordFlag
from scada.core.clock import Clock, SystemClock
from scada.core.log import configure_logging
from scada.core.settings import Settings, parse_settings
from scada.model_cim.cim import CimModel
from scada.model_cim.tables import ModelTables, PointKind
from scada.protocols.driver import LinkState
from scada.protocols.iec104 import codec
from scada.rtdb.changes import ChangeSet
from scada.security.identities import init_identities, load_identity
from scada.security.session import SessionServer
from scada.security.tls_trust import TlsTrust
from scada.security.trust import Trust

SITE = "bench"
LEGS = {
    "wire": "wire",
    "api": "fan_out",
    "RtdbActor": "rtdb",
    "EventActor": "events",
    "HistoryActor": "history",
    "CalcActor": "calc",
    "TopologyActor": "topology",
    "ControlActor": "control",
}
"""Thread by the first part of its name -> leg; every other thread of Python is ``other``."""


class GeneratedSystem(System):
    """The system as ``scada serve`` runs it, with a model that was not read from files."""

    def __init__(self, settings: Settings, clock: Clock, made: ModelTables) -> None:
        self._made = made
        super().__init__(settings, clock)

    def _load_model(self) -> tuple[CimModel, ModelTables]:
        return no_grid(), self._made


class FrontEnd(GeneratedSystem):
    """Front end and database alone: the way from the wire to the commit, without those who follow the changes."""

    def __init__(self, settings: Settings, clock: Clock, made: ModelTables) -> None:
        super().__init__(settings, clock, made)
        self.lives = NoFollowers(self)


class NoFollowers(Lives):
    """The database's actor, whom nobody follows, and the events' one, for which the API waits."""

    def all(self) -> list[tuple[Address, Factory]]:
        """Those two."""
        system = self._system
        rtdb = partial(
            RtdbActor,
            store=system.store,
            followers=[],
            listeners=system.change_listeners,
            waiting=system.uncommitted,
            events=system.events,
            clock=system.clock,
        )
        return [(system.rtdb, rtdb), *(one for one in super().all() if one[0] is system.events)]


class DecodeTime:
    """CPU time of the decoder, taken inside the wire's thread around each call."""

    def __init__(self) -> None:
        self.ns = self.calls = 0
        inner = codec.Decoder.decode

        def timed(*arguments: Any, **more: Any) -> Any:
            began = time.thread_time_ns()
            try:
                return inner(*arguments, **more)
            finally:
                self.ns += time.thread_time_ns() - began
                self.calls += 1

        codec.Decoder.decode = timed  # type: ignore[method-assign]


class Commits:
    """What the change sets of a run tell: how many there were, and how long a value waited for its commit."""

    def __init__(self) -> None:
        self.count = 0
        self._waits: list[Any] = []

    def __call__(self, changes: ChangeSet) -> None:
        """Take a change set."""
        self.count += 1
        self._waits.append(changes.committed_at - changes.received_at)

    def take(self) -> dict[str, float]:
        """Percentiles since the last time, ms."""
        waits, self._waits = self._waits, []
        if not waits:
            return {}
        p50, p99 = np.percentile(np.concatenate(waits), [50, 99]) / 1e6
        return {"p50": float(p50), "p99": float(p99)}


def cpu() -> dict[str, float]:
    """CPU ns of each leg so far; what no thread of Python used is gRPC's own and counts as fan-out."""
    used = {"fan_out": 0, "other": 0} | dict.fromkeys(LEGS.values(), 0)
    total, seen = time.process_time_ns(), 0
    for thread in threading.enumerate():
        if thread.ident is None:
            continue
        ns = time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))
        used[LEGS.get(thread.name.split("-")[0], "other")] += ns
        seen += ns
    used["fan_out"] += total - seen
    return {**used, "total": total}


def lost(system: System, after: int, rounds: list[int]) -> dict[str, Any]:
    """Read the journal from ``after`` on and say what is not there exactly once and in order.

    Args:
        system: the running system.
        after: sequence number before the run.
        rounds: per pid, how often it changed; a measurand took every whole number up to it, a status went to and fro.
    """
    parts = []
    for changes in system.store.changes(after):
        received = changes.records["flags"] & RecordFlag.QUALITY_SET == 0
        parts.append(changes.records[received][["pid", "value"]])
    records = np.concatenate(parts) if parts else np.zeros(0, dtype=[("pid", "u4"), ("value", "f8")])
    order = np.argsort(records["pid"], kind="stable")
    pid, value = records["pid"][order], records["value"][order]
    same = pid[1:] == pid[:-1]
    status = system.tables.points[0].kind is PointKind.STATUS
    steps = np.abs(value[1:] - value[:-1]) if status else value[1:] - value[:-1]
    wrong_steps = int((same & (steps != 1.0)).sum())
    image = system.store.snapshot()
    last = np.array(rounds, dtype=np.float64)
    wrong_last = int((image.value != (last % 2 if status else last)).sum())
    return {"journaled": len(records), "wrong_steps": wrong_steps, "wrong_last": wrong_last}


def disordered(system: System, after: int, points: int) -> int:
    """Records since ``after`` that do not stand in the journal in the order in which their outstation sent them.

    Args:
        system: the running system.
        after: sequence number before the run.
        points: of each channel; an outstation changes them in turn, from the first to the last and over again.
    """
    parts = [changes.records for changes in system.store.changes(after)]
    records = np.concatenate(parts) if parts else np.zeros(0, dtype=POINT_DTYPE)
    records = records[records["flags"] & RecordFlag.QUALITY_SET == 0]
    wrong = 0
    for channel in np.unique(records["pid"] // points).tolist():
        place = records["pid"][records["pid"] // points == channel].astype(np.int64) % points
        wrong += int(((place[1:] - place[:-1]) % points != 1).sum())
    return wrong


def serve(folder: Path, made: ModelTables, system_class: type[GeneratedSystem] = GeneratedSystem) -> None:
    """Start everything, answer requests until the input ends, stop everything."""
    configure_logging("warning", "console")
    sys.setswitchinterval(0.0005)  # as `scada serve` does
    decode, commits = DecodeTime(), Commits()
    settings = parse_settings(
        {
            "site": {"name": SITE},
            "model": {"path": str(Path(__file__).resolve().parents[2] / "examples" / "demo-grid")},
            "api": {"port": 0, "control_port": 0},
            "rtdb": {"map_mb": 3072, "journal_mb": 1024},
            "history": {"map_mb": 4096},
        },
        base=folder,
    )
    init_identities(settings.security.keys)
    clock = SystemClock()
    tls = TlsTrust(settings.security.keys)
    sessions = SessionServer(
        site=SITE,
        identity=load_identity(settings.security.keys, "server", clock),
        trust=Trust(settings.security.keys),
        clock=clock,
        control_window_s=settings.security.control_window_s,
        tls_digests=tls.digests,
    )
    with ExitStack() as closing:
        system = system_class(settings, clock, made)
        closing.callback(system.stop)
        system.start()
        facade = Facade(system)
        api = ApiThread(facade, sessions, settings.api, uvloop.new_event_loop, tls=tls)
        api.start()
        closing.callback(api.stop)
        facade.on_changes(commits)
        _say({"port": api.server.port, "control_port": api.server.control_port, "keys": str(settings.security.keys)})
        for line in sys.stdin:
            _say(_answer(json.loads(line), system, decode, commits))


def _answer(request: dict[str, Any], system: System, decode: DecodeTime, commits: Commits) -> dict[str, Any]:
    match request["what"]:
        case "up":
            return {"up": sum(view.state is LinkState.UP for view in system.channel_views)}
        case "mark":
            used = cpu()
            return {
                "cpu": used | {"decode": decode.ns, "wire": used["wire"] - decode.ns},
                "decodes": decode.calls,
                "commits": commits.count,
                "head": system.store.head,
                "at": time.perf_counter(),
                "waits": commits.take(),
                "behind": {address.name: address.mailbox.qsize() for address in system.supervisor.addresses()},
            }
        case "head":
            return {"head": system.store.head}
        case "lost":
            return lost(system, request["after"], request["rounds"])
        case "disordered":
            return {"disordered": disordered(system, request["after"], request["points"]), "head": system.store.head}
        case unknown:
            raise ValueError(unknown)


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--ports", required=True)
    parser.add_argument("--points", type=int, required=True)
    parser.add_argument("--status", type=int, default=0)
    parser.add_argument("--front-end", type=int, default=0)
    given = parser.parse_args()
    ports = [int(port) for port in given.ports.split(",")]
    made = tables(ports, given.points, {"k": 12, "w": 8}, status=bool(given.status))
    serve(given.folder, made, FrontEnd if given.front_end else GeneratedSystem)
