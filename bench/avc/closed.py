"""``avc.closed``: a day under AVC, beside nine zones alone and no AVC: the demo grid and a SimBench medium-voltage net."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures import Figure
from peers import FOLDER, PeerError, environment
from workers import once

NAMES = ("avc.closed.demo", "avc.closed.mv")
"""Head figures: time of all pilot nodes within limits. Further: losses and operations."""
WAYS = {"avc": "AVC", "nine": "nine zones alone", "none": "no AVC"}
NET, DAY = "1-MV-rural--2-sw", 200
_AIM = 99.9
_TIMEOUT_S = 1800.0
_PROFILES = Path(__file__).resolve().parents[3] / "shared" / "data" / "profiles" / "simbench_15min"


def measure(*, quick: bool) -> Iterator[Figure]:
    """Each way in a process of its own (quick: two hours from midnight instead of a day)."""
    hours = "2" if quick else "24"
    if _PROFILES.is_dir():
        note = f"our power flow as the plant, {hours} h of SimBench profiles, noise on voltages and loads"
        yield from _figures("demo", {way: once("avc.closed_ours", way, hours, timeout_s=_TIMEOUT_S) for way in WAYS}, note)
    else:
        yield Figure(NAMES[0], None, "%", _AIM, at_least=True, note="no profiles beside the repository")
    with tempfile.TemporaryDirectory() as folder:
        try:
            _export(folder)
        except (PeerError, OSError, subprocess.TimeoutExpired) as error:
            yield Figure(NAMES[1], None, "%", _AIM, at_least=True, note=str(error))
            return
        path = f"{folder}/{NET}.npz"
        results = {way: once("avc.mv_ours", path, way, hours, timeout_s=_TIMEOUT_S) for way in WAYS}
    worst = max(result["against_pandapower"] for result in results.values())
    yield from _figures("mv", results, f"SimBench {NET}, day {DAY}; our voltages at most {worst:.1e} pu from pandapower's")


def _export(folder: str) -> None:
    python = environment("network") / "python"
    command = [str(python), str(FOLDER / "network" / "mv_day.py"), folder, NET, str(DAY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise PeerError(f"{NET} cannot be written: {done.stderr.strip().splitlines()[-1:]}")


def _figures(net: str, results: dict[str, dict[str, Any]], note: str) -> Iterator[Figure]:
    beside = {WAYS[way]: results[way]["percent"] for way in ("nine", "none")}
    yield Figure(f"avc.closed.{net}", results["avc"]["percent"], "%", _AIM, at_least=True, beside=beside, note=note)
    for name, unit, text in (
        ("losses_mwh", "MWh", "losses of the network"),
        ("taps", "1", "steps of tap changers"),
        ("banks", "1", "operations of banks"),
        ("setpoints", "1", "set-points of sources"),
    ):
        beside = {WAYS[way]: results[way][name] for way in ("nine", "none")}
        yield Figure(f"avc.closed.{net}.{name}", results["avc"][name], unit, beside=beside, note=text)
    outside = json.dumps({WAYS[way]: results[way]["outside"] for way in WAYS if results[way]["outside"]})
    yield Figure(f"avc.closed.{net}.outside", sum(results["avc"]["outside"].values()), "1", note=f"samples: {outside}"[:400])


if __name__ == "__main__":
    for figure in measure(quick="--quick" in sys.argv):
        print(figure.line(), flush=True)
