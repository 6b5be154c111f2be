"""``agc.cycle``: the cycle of AGC by number of units, kernel and controller; its dispatch part beside solvers."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure
from peers import PeerError, environment
from workers import WorkerError, once

NAMES = ("agc.cycle.10", "agc.cycle.1000", "agc.cycle.10000", "agc.cycle.100000")
"""Head figures."""
_AIMS = {10: 5.0, 1000: 30.0, 10_000: 250.0, 100_000: 5000.0}
_TIMEOUT_S = 900.0


def measure(*, quick: bool) -> Iterator[Figure]:
    """Every size in a process of its own."""
    repeats = 20 if quick else 200
    for count, aim in _AIMS.items():
        runs = max(10, repeats * 1000 // max(count, 1000))
        done = once("agc.cycle_ours", str(count), str(runs), timeout_s=_TIMEOUT_S)
        note = f"least of the runs, median {done['kernel_median']:.1f}; {done['members']} units regulate, a quarter with zones"
        yield Figure(f"agc.cycle.{count}", done["kernel"], "us", aim, note=note)
        yield Figure(
            f"agc.cycle.controller.{count}",
            done["controller"],
            "us",
            note=f"least; median {done['controller_median']:.0f}; measurements to set-points; statuses not built",
        )
        beside, why = _peers(count)
        note = f"no zones; called from Python {done['dispatch_called']:.1f} us{why}"
        yield Figure(f"agc.cycle.dispatch.{count}", done["dispatch"], "us", beside=beside, note=note)


def _peers(count: int) -> tuple[dict[str, float | None], str]:
    try:
        python = str(environment("solvers") / "python")
        answer = once("agc.dispatch_peers", str(count), timeout_s=_TIMEOUT_S, python=python)
    except (PeerError, WorkerError) as error:
        return {}, f"; {error}"
    worst = max(answer["dearer"].values(), default=0.0)
    return answer["us"], f"; the peers' cost differs from the least by up to {worst:.1e}"
