"""Group ``history``: the embedded history taking in a day of 116 points at one row a second, and asked for one of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

from figures import Figure
from history.load import DAY_S, POINTS
from history.server import postgres_server
from peers import PeerError, environment
from workers import WorkerError, once

NAMES = ("history.ingest", "history.ingest.cpu_us", "history.bytes_per_row", "history.query", "history.flush")
"""Head figures; further parts: other questions and other ways of keeping."""
HAT_S = 860
"""Seconds of rows the peer hat-event gets: 100 000 rows."""
_TIMEOUT_S = 600.0

Answer = dict[str, Any]


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run everything and give the figures as they come."""
    seconds = DAY_S // 10 if quick else DAY_S
    work = f"{POINTS * seconds} rows of {POINTS} points, one a second, stamped in ms"
    ours = _ours("--seconds", str(seconds))
    peers, notes = _peers(seconds)
    yield from _ingest(ours, peers, "; ".join([work, *_doubts(ours), *notes]))
    yield from _queries(ours, peers, "; ".join([f"one point, {seconds} s of it, out of {POINTS * seconds} rows", *notes]))
    yield from _kept(seconds, work)
    paced = _ours("--paced")
    note = f"20 000 rows/s of 20 000 points over the end of an hour; p50 {paced['p50']:.0f} ms, longest {paced['max']:.0f} ms"
    yield Figure("history.flush", paced["p99"], "ms", note=note)


def _ingest(ours: Answer, peers: dict[str, Answer | None], note: str) -> Iterator[Figure]:
    yield Figure("history.ingest", ours["rate"], "1/s", 5e5, at_least=True, beside=_of(peers, "rate"), note=note)
    yield Figure(
        "history.ingest.cpu_us",
        ours["cpu_us"],
        "us",
        beside=_of(peers, "cpu_us"),
        note="CPU a row; PostgreSQL: client and backend",
    )
    size = "on disk; ours with the minutes (min, max, mean, last, time-weighted, count, good seconds) of every point"
    yield Figure("history.bytes_per_row", ours["bytes_per_row"], "B", beside=_of(peers, "bytes_per_row"), note=size)


def _queries(ours: Answer, peers: dict[str, Answer | None], note: str) -> Iterator[Figure]:
    beside = {name: answer and answer["query_ms"]["p50"] for name, answer in peers.items()}
    own = ours["query_ms"]
    hat = f"hat-event: {HAT_S} rows of a point out of 100 000"
    yield Figure("history.query", own["p50"], "ms", 20.0, beside=beside, note=f"{note}; longest {own['max']:.1f} ms; {hat}")
    yield Figure("history.query.buckets", ours["buckets_ms"]["p50"], "ms", note="the same as 1 000 buckets with extremes")
    duck = peers["duckdb"]
    beside = {"duckdb": duck and duck["minutes_ms"]["p50"]}
    yield Figure("history.query.minutes", ours["minutes_ms"]["p50"], "ms", beside=beside, note="the same as aggregates by minute")
    yield Figure("history.query.before", ours["before_ms"]["p50"], "ms", note="the value before a moment")


def _kept(seconds: int, work: str) -> Iterator[Figure]:
    for name, arguments in (
        ("deadband", ["--deadband", "0.5"]),
        ("swinging_door", ["--deadband", "0.5", "--compression", "swinging-door"]),
    ):
        ours = _ours("--seconds", str(seconds // 4), *arguments)
        kept = f"a quarter of {work}; error at most 0.5; one row of {ours['rows'] / ours['kept']:.1f} kept"
        yield Figure(f"history.bytes_per_row.{name}", ours["bytes_per_row"], "B", note=kept)


def _ours(*arguments: str) -> Answer:
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as folder:
        return once("history.ours", folder, *arguments, timeout_s=_TIMEOUT_S)


def _peers(seconds: int) -> tuple[dict[str, Answer | None], list[str]]:
    """What each peer answered, and why one was not measured."""
    answers: dict[str, Answer | None] = {}
    notes = []
    for name in ("duckdb", "parquet", "postgres", "hat"):
        try:
            answers[name] = _peer(name, seconds)
        except (PeerError, WorkerError) as error:
            answers[name] = None
            notes.append(f"{name}: {error}")
    return answers, notes


def _peer(name: str, seconds: int) -> Answer:
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as folder:
        if name == "hat":
            python = str(environment("hat") / "python")
            return once("history.hat", name, folder, "--seconds", str(HAT_S), timeout_s=_TIMEOUT_S, python=python)
        python, arguments = str(environment("columns") / "python"), (name, folder, "--seconds", str(seconds))
        if name != "postgres":
            return once("history.others", *arguments, timeout_s=_TIMEOUT_S, python=python)
        with postgres_server() as dsn:
            os.environ["PGDSN"] = dsn
            return once("history.others", *arguments, timeout_s=_TIMEOUT_S, python=python)


def _of(peers: dict[str, Answer | None], name: str) -> dict[str, float | None]:
    return {peer: answer and answer[name] for peer, answer in peers.items()}


def _doubts(ours: Answer) -> list[str]:
    """What makes a figure of ours worthless."""
    whole = ours["kept"] == ours["rows"] and not ours["fault"]
    return [] if whole else [f"NOT ALL WAS KEPT: {ours['kept']} of {ours['rows']} {ours['fault']}"]
