"""Group ``rtdb``: the real-time database alone, with a million points, beside other stores at the same work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from figures import Figure
from peers import PeerError, environment
from rtdb.load import BATCH, MOST, POINTS, Run
from workers import BENCH, Worker, WorkerError, once

NAMES = ("rtdb.apply", "rtdb.apply.cpu_us", "rtdb.durable", "rtdb.durable.commit_p99", "rtdb.snapshot", "rtdb.restart")
"""Head figures; ``.scattered``: points drawn from everywhere instead of runs of neighbours."""
WORK = f"{POINTS} points, batches of {BATCH}, a commit after 20 ms or {MOST} of them"
RECORDS = 10_000_000
_TIMEOUT_S = 600.0


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run everything and give the figures as they come."""
    seconds = 1.0 if quick else 5.0
    yield from _apply(seconds, scattered=False)
    yield from _apply(seconds, scattered=True)
    yield from _durable(seconds)
    yield from _snapshot(2.0 if quick else 6.0)
    yield from _restart(RECORDS // 10 if quick else RECORDS)


def _apply(seconds: float, *, scattered: bool) -> Iterator[Figure]:
    suffix, more = (".scattered", ["--scattered"]) if scattered else ("", [])
    ours = _ours("apply", seconds, *more)
    run = _run(ours)
    beside, cpu, notes = _peers(("numpy", "lmdb", "sqlite", "redis"), seconds, more)
    note = "; ".join([WORK, *notes, *_doubts(ours)])
    yield Figure(f"rtdb.apply{suffix}", run.rate, "1/s", None if scattered else 8e6, at_least=True, beside=beside, note=note)
    aim = None if scattered else 0.12
    yield Figure(f"rtdb.apply.cpu_us{suffix}", run.cpu_us, "us", aim, beside=cpu, note="CPU a change, all processes")
    yield Figure(f"rtdb.apply.commit_p99{suffix}", run.commit_p99_ms, "ms", note=f"p50 {run.commit_p50_ms:.2f} ms")


def _durable(seconds: float) -> Iterator[Figure]:
    ours = _ours("apply", seconds, "--durable")
    run = _run(ours)
    beside, cpu, notes = _peers(("sqlite-full",), seconds, [])
    note = "; ".join([WORK + ", each made durable", *notes, *_doubts(ours)])
    yield Figure("rtdb.durable", run.rate, "1/s", 1e6, at_least=True, beside=beside, note=note)
    yield Figure("rtdb.durable.cpu_us", run.cpu_us, "us", 0.3, beside=cpu)
    yield Figure("rtdb.durable.commit_p99", run.commit_p99_ms, "ms", 20.0, note=f"p50 {run.commit_p50_ms:.2f} ms")


def _snapshot(seconds: float) -> Iterator[Figure]:
    """A reader in another process beside a paced writer (how long it takes), then beside one flat out (what it costs)."""
    with _folder() as folder:
        with _writer(folder / "paced", "--paced") as writer:
            writer.tell_line(str(seconds + 1.0))
            found = _ours_in(folder / "paced", "read", seconds)
            writer.answer(60.0)
        alone, beside = [], []
        with _writer(folder / "flat") as writer:
            for _ in range(3):
                alone.append(_stretch(writer, seconds / 2))
                with _reading(folder / "flat", seconds / 2 + 1.0):
                    beside.append(_stretch(writer, seconds / 2))
    mget, note = None, "Redis was not measured"
    try:
        mget, note = _other("redis", 0.2, []).get("mget_ms"), ""
    except (PeerError, WorkerError) as error:
        note = str(error)
    peers = {"redis MGET": mget}
    yield Figure("rtdb.snapshot", found["p50_ms"], "ms", 20.0, beside=peers, note=f"{POINTS} points, 100 000 changes/s; {note}")
    yield Figure("rtdb.snapshot.p99", found["p99_ms"], "ms", note=f"{found['snapshots']} snapshots, {found['wrong']} wrong")
    slower = (min(beside) / min(alone) - 1.0) * 100.0
    yield Figure(
        "rtdb.snapshot.writer_slower", slower, "%", 5.0, note="CPU a change beside ten snapshots a second, best of three"
    )


def _restart(records: int) -> Iterator[Figure]:
    with _folder() as folder:
        left = _ours_in(folder, "fill", 0.0, "--records", str(records))
        found = _ours_in(folder, "restart", 0.0)
    note = f"{POINTS} points, {left['records']} records behind the checkpoint, {found['known']} points known after it"
    yield Figure("rtdb.restart", found["seconds"], "s", 2.0, note=note)


# ---------------------------------------------------------------- processes


class _Writer(Worker):
    """The writer of :mod:`rtdb.ours`, told how long to write."""

    def tell_line(self, line: str) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()


def _writer(folder: Path, *arguments: str) -> _Writer:
    folder.mkdir()
    command = [sys.executable, "-m", "rtdb.ours", "write", str(folder), *arguments]
    writer = _Writer("writer", command, folder / "log", {"PYTHONPATH": str(BENCH)})
    writer.answer(120.0)
    return writer


def _stretch(writer: _Writer, seconds: float) -> float:
    """CPU us a change of one stretch."""
    writer.tell_line(str(seconds))
    answer = writer.answer(seconds + 60.0)
    return float(answer["cpu_s"]) / float(answer["changes"]) * 1e6


@contextmanager
def _reading(folder: Path, seconds: float) -> Iterator[None]:
    """A reader process at work meanwhile."""
    command = [sys.executable, "-m", "rtdb.ours", "read", str(folder), "--seconds", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(BENCH)}):
        yield


def _ours(verb: str, seconds: float, *arguments: str) -> dict[str, Any]:
    with _folder() as folder:
        return _ours_in(folder, verb, seconds, *arguments)


def _ours_in(folder: Path, verb: str, seconds: float, *arguments: str) -> dict[str, Any]:
    return once("rtdb.ours", verb, str(folder), "--seconds", str(seconds), *arguments, timeout_s=_TIMEOUT_S)


def _peers(
    names: tuple[str, ...], seconds: float, more: list[str]
) -> tuple[dict[str, float | None], dict[str, float | None], list[str]]:
    """Changes a second and CPU a change of each peer, and why one was not measured."""
    rates: dict[str, float | None] = {}
    cpu: dict[str, float | None] = {}
    notes = []
    for name in names:
        try:
            run = _run(_other(name, seconds, more))
            rates[name], cpu[name] = run.rate, run.cpu_us
        except (PeerError, WorkerError) as error:
            rates[name] = cpu[name] = None
            notes.append(f"{name}: {error}")
    return rates, cpu, notes


def _other(name: str, seconds: float, more: list[str]) -> dict[str, Any]:
    python = sys.executable
    if name == "redis":
        if shutil.which("redis-server") is None:
            raise PeerError("redis-server is not installed")
        python = str(environment("redis") / "python")
    with _folder() as folder:
        return once("rtdb.others", name, str(folder), "--seconds", str(seconds), *more, timeout_s=_TIMEOUT_S, python=python)


def _run(answer: dict[str, Any]) -> Run:
    return Run(**{name: answer[name] for name in Run.__slots__})


def _doubts(answer: dict[str, Any]) -> list[str]:
    """What makes a figure of ours worthless."""
    return [] if answer["kept"] and not answer["fault"] else [f"NOT ALL WAS JOURNALED: {answer['fault']}"]


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder."""
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as name:
        yield Path(name)
