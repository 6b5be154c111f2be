"""The server of ``model.apply``: swaps and rollbacks while outstations of another process send; one JSON object."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from chain.server import GeneratedSystem
from chain.tables import tables
from workers import BENCH, Worker

from scada.core.batch import RecordFlag
from scada.core.clock import SystemClock
from scada.core.log import configure_logging
from scada.core.settings import parse_settings
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import ModelTables, Point, removed_point
from scada.protocols.driver import LinkState
from scada.rtdb.changes import ChangeSet

CHANNELS, SENT, SPARE = 20, 4960, 40
"""Points of a channel that its outstation sends, and those that only the model has."""
POINTS = SENT + SPARE
FAR = 1_000_000


class Commits:
    """Longest time between two commits."""

    def __init__(self) -> None:
        self.longest, self._last = 0.0, time.perf_counter()

    def __call__(self, changes: ChangeSet) -> None:
        """Take a change set."""
        now = time.perf_counter()
        if len(changes):
            self.longest, self._last = max(self.longest, now - self._last), now

    def take(self) -> float:
        """The longest so far, ms; begin anew."""
        longest, self.longest = self.longest, 0.0
        return longest * 1e3


def edited(before: ModelTables, step: int) -> ModelTables:
    """One channel reads 100 points more, 50 spare ones of it elsewhere, and 50 of those added before no longer."""
    points = list(before.points)
    channel = step % CHANNELS
    mine = [point for point in before.points_of_channel(channel) if point.address.ioa >= 1000 + SENT]  # type: ignore[union-attr]
    for place, point in enumerate(mine[:50]):
        points[point.pid] = replace(point, address=Iec104Address(channel + 1, FAR + step * 1000 + place, 36))
    added = [point for point in before.points if point.mrid.startswith("added-") and not point.removed]
    for point in added[:50]:
        points[point.pid] = removed_point(point.mrid, point.pid)
    like: Point = before.points_of_channel(channel)[0]
    for place in range(100):
        pid, address = len(points), Iec104Address(channel + 1, 2 * FAR + step * 1000 + place, 36)
        points.append(replace(like, pid=pid, mrid=f"added-{pid}", path=f"{like.path}/{pid}", address=address))
    return replace(before, version=f"step-{step}", points=points)


def wrong(system: GeneratedSystem, after: int, made: list[int]) -> int:
    """Steps of a sent point's value that are not one, and last values that are not the last sent."""
    parts, following = [], after + 1
    gaps = 0
    for changes in system.store.changes(after):
        gaps += changes.first != following
        following = changes.last + 1
        received = changes.records["flags"] & RecordFlag.QUALITY_SET == 0
        parts.append(changes.records[received][["pid", "value"]])
    records = np.concatenate(parts)
    records = records[(records["pid"] < CHANNELS * POINTS) & (records["pid"] % POINTS < SENT)]
    order = np.argsort(records["pid"], kind="stable")
    pid, value = records["pid"][order], records["value"][order]
    same = pid[1:] == pid[:-1]
    bad_steps = int((same & (value[1:] - value[:-1] != 1.0)).sum())
    image = system.store.snapshot().value
    blocks = SENT // 16
    bad_last = 0
    for channel, count in enumerate(made):
        rounds = count // blocks + (np.arange(SENT) // 16 < count % blocks)
        bad_last += int((image[channel * POINTS : channel * POINTS + SENT] != rounds).sum())
    return gaps + bad_steps + bad_last


def main(folder: Path, swaps: int, rate: float) -> None:
    """Print the figures."""
    configure_logging("error", "console")
    sys.setswitchinterval(0.0005)  # as `scada serve` does
    command = [sys.executable, "-m", "chain.blaster", "--channels", str(CHANNELS), "--points", str(SENT)]
    with Worker("outstations", command, folder / "blaster.log", {"PYTHONPATH": str(BENCH)}) as stations:
        ports = stations.answer(30.0)["ports"]
        made = tables(ports, POINTS, {"k": 12, "w": 8, "interrogation_s": 0.0})
        raw = {
            "model": {"path": str(BENCH.parent / "examples" / "demo-grid"), "versions": "versions"},
            "rtdb": {"path": "rtdb", "map_mb": 3072, "journal_mb": 1024},
            "events": {"path": "events"},
            "history": {"path": "history", "map_mb": 4096},
            "security": {"audit": "audit", "keys": "keys"},
            "operator": {"path": "operator"},
        }
        system = GeneratedSystem(parse_settings(raw, base=folder), SystemClock(), made)
        system.start()
        try:
            print(json.dumps(_measured(system, stations, swaps, rate)), flush=True)
        finally:
            system.stop()


def _measured(system: GeneratedSystem, stations: Worker, swaps: int, rate: float) -> dict[str, float]:
    deadline = time.monotonic() + 120
    while (
        sum(view.state is LinkState.UP for view in system.channel_views) < CHANNELS
        or stations.ask("started")["started"] < CHANNELS
    ):
        assert time.monotonic() < deadline, "the stations did not come up"
        time.sleep(0.2)
    after, commits = system.store.head, Commits()
    system.change_listeners.append(commits)
    seconds = 10.0 + swaps * 20.0
    stations.tell("blast", rate=rate, seconds=seconds)
    began = time.monotonic()
    time.sleep(5.0)
    commits.take()
    time.sleep(5.0)
    idle = commits.take()
    writer, totals, rollbacks, prepares = [], [], [], []
    for step in range(swaps):
        before = system.generation
        at = time.monotonic()
        generation = system.prepare(before.model, edited(before.tables, step), before.folder)
        prepares.append(time.monotonic() - at)
        there = system.swap(generation)
        back = system.swap(before)
        again = system.swap(generation)
        assert there.done, there
        assert back.done, back
        assert again.done, again
        writer += [report.writer_ns / 1e6 for report in (there, back, again)]
        totals += [there.total_s, again.total_s]
        rollbacks.append(back.total_s)
    gap = commits.take()
    late = time.monotonic() - began > seconds
    while time.monotonic() - began < seconds:
        time.sleep(0.1)
    sent = stations.answer(seconds + 120)
    deadline = time.monotonic() + 60
    while system.rtdb.mailbox.qsize() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.0)
    return {
        "points": len(system.tables.points),
        "rate": sent["values"] / sent["seconds"],
        "wrong": wrong(system, after, sent["made"]),
        "writer_ms": max(writer),
        "gap_ms": None if late else gap,
        "late": late,
        "gap_idle_ms": idle,
        "total_s": max(totals),
        "prepare_s": max(prepares),
        "rollback_s": max(rollbacks),
        "reconnects": sum((view.statistics.connects if view.statistics else 0) - 1 for view in system.channel_views),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
