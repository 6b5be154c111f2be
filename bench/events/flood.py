"""A flood of alarms through the whole server: a process of its own that prints one JSON object.

A second brings 20 000 changes of points that stay within their limits and 500 points that leave theirs. Each comes back after two
seconds and is acknowledged, so that the list of alarms stays as long as it would before an operator who works it off.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from chain.server import SITE, GeneratedSystem
from chain.tables import tables
from workers import own_memory_mb

from scada.actors.facade import Facade
from scada.actors.messages import Acknowledge, Apply
from scada.api import messages
from scada.core.batch import PointBatch
from scada.core.clock import SystemClock
from scada.core.log import configure_logging
from scada.core.settings import parse_settings
from scada.events.records import AlarmPhase, EventKind

BUSY: Final = 20_000
"""Points that change once a second within their limits."""
STEPS: Final = 50
"""Batches a second."""
ALARMS: Final = 500
"""Alarms a second."""
BACK_S: Final = 2
"""Seconds after which a point is within its limits again."""
BEYOND: Final = 1.5e9
"""A value between the limits ``hi`` and ``hihi`` of :mod:`chain.tables`: one alarm."""

Pids = npt.NDArray[np.uint32]


class Watch:
    """When each alarm stood in the list for the first time, and how long it takes to answer a client's question for it."""

    def __init__(self, facade: Facade, points: int) -> None:
        self._facade = facade
        self.seen = np.full(points, np.nan)
        """By pid, s; NaN = never."""
        self.answers: list[float] = []
        self.longest = 0

    def look(self) -> list[int]:
        """Ask for the list as a client does; the ids that could be acknowledged."""
        began = time.perf_counter()
        alarms, last = self._facade.alarms()
        list_ = messages.pb.AlarmList(alarms=[messages.alarm_info(alarm) for alarm in alarms], last_event_id=last)
        list_.SerializeToString()
        now = time.perf_counter()
        self.answers.append(now - began)
        self.longest = max(self.longest, len(alarms))
        pids = np.array([alarm.pid for alarm in alarms], dtype=np.intp)
        new = pids[np.isnan(self.seen[pids])]
        self.seen[new] = now
        return [alarm.alarm_id for alarm in alarms if alarm.phase != AlarmPhase.ACK_ACTIVE]


def flood(folder: Path, seconds: int, settle: int) -> dict[str, Any]:
    """Run the flood, after so many seconds of ordinary traffic in which every buffer comes to its size."""
    configure_logging("error", "console")
    sys.setswitchinterval(0.0005)  # as `scada serve` does
    base = {"site": {"name": SITE}, "rtdb": {"map_mb": 2048}, "history": {"map_mb": 2048}, "events": {"map_mb": 1024}}
    settings = parse_settings(base, base=folder)
    # stations of 1 000 points without channels: all values come from here
    made = replace(tables([9] * -(-(BUSY + ALARMS * seconds) // 1000), 1000, {}), channels=[])
    system = GeneratedSystem(settings, SystemClock(), made)
    system.start()
    watch = Watch(Facade(system), len(made.points))
    sent = np.full(len(made.points), np.nan)
    values = np.zeros(len(made.points))
    memory: list[float] = []
    try:
        _traffic(system, values, settle)
        cpu, began = time.process_time(), time.perf_counter()
        for step in range((seconds + BACK_S) * STEPS):
            pids = _step(step, seconds, values)
            at = time.perf_counter()
            sent[pids[values[pids] == BEYOND]] = at
            _send(system, pids, values)
            if step % (STEPS // 5) == 0:
                shown = watch.look()
                if step % STEPS == 0 and shown:
                    system.events.tell(Acknowledge(tuple(shown), "operator"))
                    memory.append(own_memory_mb())
            time.sleep(max(0.0, began + (step + 1) / STEPS - time.perf_counter()))
        late = time.perf_counter() - began - (seconds + BACK_S)
        until = time.perf_counter() + 30.0
        while np.isnan(watch.seen).sum() > BUSY and time.perf_counter() < until:
            watch.look()
            time.sleep(0.1)
        used = time.process_time() - cpu
        raised = _raised(system)
    finally:
        system.stop()
    ages = watch.seen - sent
    ages = ages[~np.isnan(ages)]
    asked = set(np.flatnonzero(~np.isnan(sent)).tolist())
    p50, p99 = np.percentile(ages, [50, 99]) * 1e3
    answer_p99 = float(np.percentile(watch.answers, 99)) * 1e3
    half = memory[len(memory) // 2 :]
    return {
        "alarms": len(asked),
        "shown": len(ages),
        "once": sum(count == 1 for pid, count in raised.items() if pid in asked),
        "other": sum(pid not in asked for pid in raised),
        "age_p50_ms": float(p50),
        "age_p99_ms": float(p99),
        "answer_p99_ms": answer_p99,
        "longest": watch.longest,
        "late_s": late,
        "cpu_share": used / (seconds + BACK_S),
        "memory_mb": memory[0],
        "grown_mb": half[-1] - half[0],
    }


def _traffic(system: GeneratedSystem, values: npt.NDArray[np.float64], seconds: int) -> None:
    """Changes within the limits alone."""
    began = time.perf_counter()
    for step in range(seconds * STEPS):
        _send(system, _step(step, 0, values), values)
        time.sleep(max(0.0, began + (step + 1) / STEPS - time.perf_counter()))


def _send(system: GeneratedSystem, pids: Pids, values: npt.NDArray[np.float64]) -> None:
    now = system.clock.now_ns()
    system.rtdb.tell(Apply([PointBatch.of(pids, values[pids], received_at=now, source_time=now)]))


def _step(step: int, seconds: int, values: npt.NDArray[np.float64]) -> Pids:
    """Change the values of one batch; the points concerned."""
    share, alarms = BUSY // STEPS, ALARMS // STEPS
    busy = np.arange(step % STEPS * share, (step % STEPS + 1) * share)
    values[busy] += 1.0
    concerned = [busy]
    for since, value in ((step, BEYOND), (step - BACK_S * STEPS, 0.0)):
        if 0 <= since < seconds * STEPS:
            group = BUSY + np.arange(since * alarms, (since + 1) * alarms)
            values[group] = value
            concerned.append(group)
    return np.concatenate(concerned).astype(np.uint32)


def _raised(system: GeneratedSystem) -> Counter[int]:
    """How often the event log has each point's limit violated."""
    found: Counter[int] = Counter()
    last = 1  # the start of the server
    while events := system.log.query(after_id=last, kinds=[EventKind.LIMIT_VIOLATED], limit=10_000):
        last = events[-1].event_id
        found.update(event.pid for event in events)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--settle", type=int, default=180)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as name:
        print(json.dumps(flood(Path(name), given.seconds, given.settle)), flush=True)
