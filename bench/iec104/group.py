"""Group ``iec104``: the codec, links of the front end, and our controlled station; beside two stacks that we did not write."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from figures import Figure
from iec104.links import Committed, Shape, links
from peers import PeerError, environment
from workers import BENCH, Worker, WorkerError, once

NAMES = (
    "iec104.decode13",
    "iec104.decode36",
    "iec104.link",
    "iec104.fleet",
    "iec104.fleet.p99",
    "iec104.avalanche",
    "iec104.avalanche.lost",
    "iec104.gi_out",
    "iec104.gi_out.memory",
    "iec104.command",
)
"""Head figures."""
POINTS = 100_000
FLEET = Shape(links=500, points=40, values=10)
AVALANCHE = Shape(links=500, points=200, values=5, status=True)
RATE = 20_000.0


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run everything and give the figures as they come."""
    yield from _decode(13, 15.0, quick=quick)
    yield from _decode(36, 30.0, quick=quick)
    yield from _link(quick=quick)
    yield from _fleet(quick=quick)
    yield from _avalanche()
    yield from _station(quick=quick)


def _decode(type_id: int, aim: float, *, quick: bool) -> Iterator[Figure]:
    ours = min(once("iec104.decode", "--type", str(type_id), "--seconds", "2", timeout_s=120)["ns"] for _ in range(5))
    beside, notes = _receivers(type_id, 1000 if quick else 6000)
    kind = "sequences of 48 short floats" if type_id == 13 else "16 short floats with CP56Time2a"
    note = f"CPU a value, {kind}: APCI, decoding and the model's addresses, from memory; peers: their process, from a socket"
    yield Figure(f"iec104.decode{type_id}", ours, "ns", aim, beside=beside, note="; ".join([note, *notes]))


def _receivers(type_id: int, frames: int) -> tuple[dict[str, float | None], list[str]]:
    """CPU ns a value of the peers, each against a station that sends as fast as its window opens."""
    values = frames * (48 if type_id == 13 else 16)
    beside: dict[str, float | None] = {"c104": None, "hat-drivers": None}
    notes = []
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as folder:
        command = [sys.executable, "-m", "iec104.sender", "--type", str(type_id), "--most", str(frames)]
        with Worker("sender", command, Path(folder) / "sender.log", {"PYTHONPATH": str(BENCH)}) as sender:
            port = str(sender.answer(60)["port"])
            try:
                arguments = ("--port", port, "--type", str(type_id), "--values", str(values))
                beside["c104"] = once("iec104.c104_receiver", *arguments, timeout_s=120)["ns"]
            except WorkerError as error:
                notes.append(f"c104 was not measured: {error}")
            try:
                python = str(environment("hat") / "python")
                arguments = ("--port", port, "--values", str(values))
                beside["hat-drivers"] = once("iec104.hat_receiver", *arguments, timeout_s=120, python=python)["ns"]
            except (PeerError, WorkerError) as error:
                notes.append(f"hat-drivers was not measured: {error}")
    return beside, notes


def _link(*, quick: bool) -> Iterator[Figure]:
    with links(Shape(links=1, points=800, values=16)) as one:
        one.run(20_000.0, 0.5)
        run = one.run(0.0, 1.0 if quick else 5.0, 20_000_000)
    note = f"k = 12, w = 8, type 36, from the outstation until committed; {run.lost} lost"
    yield Figure("iec104.link", run.values / run.seconds, "1/s", 1e6, at_least=True, note=note)
    yield Figure("iec104.link.cpu_us", run.cpu_s["total"] * 1e6 / run.values, "us", note="CPU a value, front end and database")


def _fleet(*, quick: bool) -> Iterator[Figure]:
    for front_end in (True, False):
        with links(FLEET, front_end=front_end) as fleet:
            fleet.run(RATE, 1.0)
            run = fleet.run(RATE, 3.0 if quick else 15.0)
        suffix = "" if front_end else ".server"
        what = "front end and database" if front_end else "the whole server"
        share = 100.0 * run.cpu_s["total"] / run.seconds
        note = f"{what}: {FLEET.links} links, {RATE:g} values/s in APDUs of {FLEET.values}; {_faults(run)}; {_legs(run)}"
        yield Figure(f"iec104.fleet{suffix}", share, "% of a core", 15.0 if front_end else None, note=note)
        yield Figure(
            f"iec104.fleet.p99{suffix}", run.wait_ms["p99"], "ms", 50.0, note=f"wire to commit, p50 {run.wait_ms['p50']:.1f} ms"
        )


def _avalanche() -> Iterator[Figure]:
    for front_end in (True, False):
        with links(AVALANCHE, front_end=front_end) as fleet:
            run = fleet.run(100_000.0, 1.0)
        suffix = "" if front_end else ".server"
        what = "front end and database" if front_end else "the whole server, events stored"
        note = f"{what}: {run.values} single-point changes in a second, {AVALANCHE.links} links, until committed; {_legs(run)}"
        yield Figure(f"iec104.avalanche{suffix}", run.seconds, "s", 3.0, note=note)
        yield Figure(f"iec104.avalanche.lost{suffix}", run.lost + run.disordered, "changes", 0.0, note=_faults(run))


def _faults(run: Committed) -> str:
    return f"of {run.values}: {run.lost} lost or doubled, {run.disordered} out of order"


def _legs(run: Committed) -> str:
    return "CPU s: " + ", ".join(f"{leg} {used:.2f}" for leg, used in run.cpu_s.items() if used >= 0.005)


def _station(*, quick: bool) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as folder:
        command = [sys.executable, "-m", "iec104.station", "--points", str(POINTS)]
        with Worker("station", command, Path(folder) / "station.log", {"PYTHONPATH": str(BENCH)}) as station:
            there = station.answer(120)
            arguments = ("--port", str(there["port"]))
            count = str(len(there["stations"]))
            took = [once("iec104.master", "interrogate", *arguments, "--count", count, timeout_s=60) for _ in range(5)]
            station.ask("watch")
            watched = once("iec104.master", "interrogate", *arguments, "--count", count, timeout_s=60)
            memory = station.ask("memory")
            commands = once("iec104.master", "command", *arguments, "--count", "200" if quick else "3000", timeout_s=120)
    objects = min(one["objects"] for one in [*took, watched])
    best = min(one["seconds"] for one in took)
    yield Figure(
        "iec104.gi_out", best, "s", 1.0, note=f"{objects:.0f} of {POINTS} objects, best of five, a bare socket as master"
    )
    yield Figure("iec104.gi_out.memory", memory["peak_mb"], "MiB", 1.0, note="largest at any time during it, tracemalloc")
    note = f"select and execute by our driver, p50 {commands['p50_ms']:.2f} ms"
    yield Figure("iec104.command", commands["p99_ms"], "ms", 20.0, note=note)
