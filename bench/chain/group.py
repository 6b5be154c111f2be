"""Group ``chain``: from an outstation's octets to a gRPC viewer, for 50 channels and for one."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from chain.hat import PeerRun, hat_chain
from chain.ours import POINTS, Run, chain
from figures import Figure
from peers import PeerError
from workers import WorkerError

PEER = "hat-open"
NAMES = ("chain.throughput", "chain.cpu_us", "chain.latency_p99", "chain.latency_p50", "chain.lost", "chain.machine.sync_p99")
"""Head figures; the same with ``.one_channel`` for a single channel, and with further parts for legs."""
CPU_LEGS = ("wire", "decode", "rtdb", "events", "history", "calc", "topology", "control", "fan_out", "other")
SLOW = 1000.0
"""Values/s at which the peer still keeps up."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one number of channels is given.

    Attributes:
        channels: IEC 104 channels of ``POINTS`` points.
        suffix: of the figures' names.
        rate: values/s of the paced run.
        aims: throughput (values/s), CPU (us a value), age (p99, ms); None = shown only.
    """

    channels: int
    suffix: str
    rate: float
    aims: tuple[float | None, float | None, float | None]


LOADS = (Load(50, "", 50_000.0, (100_000.0, 4.0, 50.0)), Load(1, ".one_channel", 10_000.0, (None, None, None)))


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run everything and give the figures as they come."""
    for load in LOADS:
        syncs = sync_ms()
        yield Figure(
            f"chain.machine.sync_p99{load.suffix}", syncs[-1], "ms", note=f"a commit's octets to this disk, p50 {syncs[0]:.1f} ms"
        )
        flat, paced, slow = _ours(load, quick=quick)
        peer = peer_slow = None
        note = f"{PEER} is not measured in a quick run"
        try:
            if not quick or load.channels > 1:
                (peer, peer_slow), note = _theirs(load.channels, quick=quick), ""
        except (PeerError, WorkerError, KeyError, OSError) as error:
            note = f"{PEER} was not measured: {error}"
        yield from _figures(load, flat, paced, slow, peer, peer_slow, note)


def sync_ms() -> tuple[float, float]:
    """What the disk itself takes to make 32 KiB durable now: p50 and p99 of 100 times."""
    took = []
    with tempfile.TemporaryFile(prefix="scada-bench-") as file:
        for _ in range(100):
            began = time.perf_counter()
            file.write(bytes(32_768))
            file.flush()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1e3)
            time.sleep(0.005)
    took.sort()
    return took[50], took[99]


def _ours(load: Load, *, quick: bool) -> tuple[Run, Run, Run]:
    with chain(load.channels) as ours:
        ours.run(load.rate, 0.5)  # not counted: first use of every part
        slow = ours.run(SLOW, 0.5 if quick else 5.0)
        paced = ours.run(load.rate, 1.0 if quick else 10.0)
        flat = ours.run(0.0, 1.0 if quick else 8.0, 3_000_000)
    return flat, paced, slow


def _theirs(channels: int, *, quick: bool) -> tuple[PeerRun, PeerRun]:
    with hat_chain(channels) as theirs:
        slow = theirs.run(SLOW, 0.5 if quick else 5.0)
        return theirs.run(0.0, 20.0, 2_000 if quick else 20_000), slow


def _figures(
    load: Load, flat: Run, paced: Run, slow: Run, peer: PeerRun | None, peer_slow: PeerRun | None, note: str
) -> Iterator[Figure]:
    throughput, cpu, age = load.aims
    what = f"{load.channels} channels of {POINTS} points" if load.channels > 1 else f"one channel of {POINTS} points"

    def figure(name: str, value: float, unit: str, aim: float | None = None, **more: object) -> Figure:
        return Figure(f"chain.{name}", value, unit, aim, **more)  # type: ignore[arg-type]

    def noted(text: str) -> str:
        return f"{text}; {note}" if note else text

    yield figure(
        f"throughput{load.suffix}",
        flat.values / flat.seconds,
        "1/s",
        throughput,
        at_least=True,
        beside={PEER: peer and peer.values / peer.seconds},
        note=noted(f"{what}, as fast as the windows open (k = 12, w = 8), until the viewer has the last change"),
    )
    yield figure(
        f"cpu_us{load.suffix}",
        flat.cpu_us["total"],
        "us",
        cpu,
        beside={PEER: peer and peer.cpu_us["total"]},
        note=noted("whole server process in the same run; the peer: gateway and event server"),
    )
    for leg in CPU_LEGS:
        yield figure(f"cpu_us{load.suffix}.{leg}", flat.cpu_us[leg], "us")
    yield figure(
        f"cpu_us{load.suffix}.paced",
        paced.cpu_us["total"],
        "us",
        cpu,
        note=f"{load.rate:g} values/s spread over {load.channels} channels: each APDU alone, {paced.commits:.0f} commits/s",
    )
    for leg in CPU_LEGS:
        yield figure(f"cpu_us{load.suffix}.paced.{leg}", paced.cpu_us[leg], "us")
    for part in ("p99", "p50"):
        aim = age if part == "p99" else None
        yield figure(
            f"latency_{part}{load.suffix}", paced.age_ms[part], "ms", aim, note=f"outstation to viewer, {load.rate:g} values/s"
        )
        for leg, legs in paced.legs_ms.items():
            yield figure(f"latency_{part}{load.suffix}.{leg}", legs[part], "ms")
        yield figure(
            f"latency_{part}{load.suffix}.slow",
            slow.age_ms[part],
            "ms",
            beside={PEER: peer_slow and peer_slow.age_ms[part]},
            note=noted(f"{SLOW:g} values/s, where the peer keeps up"),
        )
    lost = flat.lost + paced.lost + slow.lost
    values = flat.values + paced.values + slow.values
    yield figure(
        f"lost{load.suffix}",
        lost,
        "values",
        0.0,
        beside={PEER: peer.lost + peer_slow.lost if peer and peer_slow else None},
        note=f"of {values} sent: journal holds each once and in order, last value of every point right in database and viewer",
    )
