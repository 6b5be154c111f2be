"""Group ``network``: power flow and sensitivities of our block-sparse factors, beside those of others at the same networks."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from figures import Figure
from model.data import REAL_GRID
from peers import FOLDER, PeerError, environment
from workers import WorkerError, once

NAMES = ("network.powerflow", "network.powerflow.realgrid", "network.sensitivity")
"""Head figures."""
HEAD = "case9241pegase"
CASES = (HEAD, "case14", "case118", "case1354pegase", "case2869pegase", "case6515rte")
_TIMEOUT_S = 600.0
_WHAT = "CPU of PowerFlow.solve from a flat start to 1e-8 pu on a topology seen before: checks, Newton, results"


def measure(*, quick: bool) -> Iterator[Figure]:
    """Peers first, who write down the cases; then ours at the same arrays."""
    runs = 5 if quick else 30
    real = str(REAL_GRID) if REAL_GRID.is_file() else ""
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as folder:
        note = _dump(Path(folder), quick=quick)
        ours = once("network.ours", folder, str(runs), real, timeout_s=_TIMEOUT_S, python=sys.executable)
    if HEAD not in ours:
        yield Figure("network.powerflow", None, "ms", 8.0, note=note)
    for name in (name for name in CASES if name in ours):
        found = ours[name]
        figure = "network.powerflow" + ("" if name == HEAD else f".{name}")
        peers = {peer: None if math.isnan(value) else value for peer, value in found["peers"].items()}
        said = f"{_WHAT}; {_how(found)}, largest difference from pandapower {found['off']:.1e} pu"
        yield Figure(figure, found["kept"], "ms", 8.0 if name == HEAD else None, beside=peers, note=said)
        yield from _others(figure, found)
    yield from _real(ours.get("realgrid"), real, 3 if quick else 10)
    yield Figure("network.powerflow.demo", ours["demo"]["kept"], "ms", note=f"the demo grid; {_how(ours['demo'])}")
    yield from _others("network.powerflow.demo", ours["demo"])
    if HEAD in ours:
        yield Figure("network.sensitivity", ours[HEAD]["sensitivity"], "ms", 14.0, note="all voltages by 100 reactive injections")


def _dump(folder: Path, *, quick: bool) -> str:
    """Have the peers write the cases; why not, if they cannot."""
    names = CASES[:3] if quick else CASES
    try:
        command = [str(environment("network") / "python"), str(FOLDER / "network" / "cases.py"), str(folder), *names]
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
    except (PeerError, OSError, subprocess.SubprocessError) as error:
        return f"the cases come from pandapower: {error}"
    return ""


def _how(found: Mapping[str, Any]) -> str:
    return f"{found['buses']} buses, {found['iterations']} steps, {found['start']} start"


def _others(figure: str, found: Mapping[str, Any]) -> Iterator[Figure]:
    yield Figure(
        f"{figure}.new", found["new"], "ms", note="the same on a topology not seen before: order of elimination and layout"
    )
    yield Figure(f"{figure}.warm", found["warm"], "ms", note="the same from its own solution")
    if "reduce" in found:
        yield Figure(f"{figure}.reduce", found["reduce"], "ms", note="nodes merged over switches, admittances, matrix")


def _real(found: Mapping[str, Any] | None, real: str, runs: int) -> Iterator[Figure]:
    if found is None:
        yield Figure("network.powerflow.realgrid", None, "ms", 4.0, note="no public CIM models beside the repository")
        return
    powsybl: dict[str, Any] = {"powerflow": None, "sensitivity": None}
    try:
        python = str(environment("pypowsybl") / "python")
        powsybl = once("network.powsybl", real, str(runs), timeout_s=_TIMEOUT_S, python=python)
        note = f"OpenLoadFlow: {powsybl['status']}, {powsybl['iterations']} steps"
    except (PeerError, WorkerError) as error:
        note = str(error)
    said = f"{_WHAT}; {_how(found)}, all running machines with a target hold it and share the slack; {note}"
    yield Figure("network.powerflow.realgrid", found["kept"], "ms", 4.0, beside={"pypowsybl": powsybl["powerflow"]}, note=said)
    yield from _others("network.powerflow.realgrid", found)
    yield Figure(
        "network.sensitivity.realgrid",
        found["sensitivity"],
        "ms",
        7.0,
        beside={"pypowsybl": powsybl["sensitivity"]},
        note="all voltages by 100 reactive injections; pypowsybl: by the set voltages of 100 machines, its power flow included",
    )
