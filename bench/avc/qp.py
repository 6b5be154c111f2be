"""``avc.qp``: the quadratic programme of secondary voltage control, 100 pilot nodes and 500 sources; beside four solvers."""

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

NAMES = ("avc.qp", "avc.qp.warm")
"""Head figures."""
_TIMEOUT_S = 900.0
_EXACT = 1e-9


def measure(*, quick: bool) -> Iterator[Figure]:
    """Ours cold and warm, each variant; the peers at the same problems."""
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as folder:
        case, problems = Path(folder, "case.npz"), Path(folder, "problems.npz")
        try:
            _peer("network", "voltage_case.py", case)
        except PeerError as error:
            yield from (Figure(name, None, "ms", note=f"no case: {error}") for name in NAMES)
            return
        cycles = "5" if quick else "25"
        ours = once("avc.qp_ours", str(case), str(problems), cycles, timeout_s=_TIMEOUT_S, python=sys.executable)
        peers, note = _peers(problems)
    yield from _figures(ours, peers, note)


def _peers(problems: Path) -> tuple[dict[str, Any], str]:
    try:
        return json.loads(_peer("solvers", "voltage_qp.py", problems).splitlines()[-1]), ""
    except PeerError as error:
        return {}, str(error)


def _peer(name: str, script: str, file: Path) -> str:
    """What a script in a peer's environment prints.

    Raises:
        PeerError: it failed.
    """
    command = [str(environment(name) / "python"), str(FOLDER / name / script), str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"{name} took longer than {_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        raise PeerError(f"{script} failed: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1][:300]}")
    return done.stdout


def _figures(ours: dict[str, Any], peers: dict[str, Any], note: str) -> Iterator[Figure]:
    a, b = ours["a"], ours["b"]
    work = f"CPU, least of the cycles, median {{median:.2f}} ms; {a['at_limit'][0]} to {a['at_limit'][1]} limits bind"
    mine = {name[2:]: row for name, row in peers.items() if name.startswith("a.")}
    gaps = ", ".join(f"{name} {row['gap']:.0e}" for name, row in mine.items() if row["gap"] is not None)
    for name, kind, aim in (("avc.qp", "cold", 2.0), ("avc.qp.warm", "warm", 0.5)):
        beside = {key: row.get(kind, [None])[0] for key, row in mine.items()}
        said = work.format(median=a[kind][1]) + (f"; gap of the peers to the optimum, Mvar: {gaps}" if gaps else "")
        yield Figure(name, a[kind][0], "ms", aim, beside=beside, note="; ".join(part for part in (said, note) if part))
    yield Figure("avc.qp.objective", a["objective"], "", _EXACT, note="relative difference to DAQP's optimum, worst cycle")
    yield Figure("avc.qp.kkt", a["kkt"], "", _EXACT, note="residual of the optimality conditions, worst of all cycles")
    for kind in ("cold", "warm"):
        beside = {key[2:]: row.get(kind, [None])[0] for key, row in peers.items() if key.startswith("b.")}
        how = f"{b['active_set']} of the cycles by the active set, {b['at_limit'][0]} to {b['at_limit'][1]} limits bind"
        yield Figure(f"avc.qp.buses.{kind}", b[kind][0], "ms", beside=beside, note=f"with 500 limits of buses; {how}")
