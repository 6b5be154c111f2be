"""``model.topology``: buses, islands and energised state of a large grid, from scratch and after one switch operation."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator

from figures import Figure
from model.data import FOLDER
from peers import PeerError, environment
from workers import WorkerError, once

NAMES = ("model.topology", "model.topology.switch")
"""Head figures."""
_TIMEOUT_S = 300.0
_PEER_MODEL = FOLDER / "svedala_relicap_cgmes3.zip"
"""The largest public node-breaker model that is at hand."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Ours at the synthetic grid, the peer at the largest public one: it is given no grid that could slow it down."""
    runs = 50 if quick else 500
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as folder:
        ours = once("model.topology_ours", folder, str(runs), timeout_s=_TIMEOUT_S, python=sys.executable)
    peer, note = _peer(runs)
    work = f"{ours['nodes']} nodes, {ours['switches']} switches, {ours['buses']} buses"
    doubt = "" if ours["equal"] else "; NOT EQUAL to a rebuild"
    yield Figure(
        "model.topology", ours["full"] / 1e3, "ms", 1.0, note=f"{work}; all from scratch, p99 {ours['full_p99'] / 1e3:.2f} ms"
    )
    yield Figure(
        "model.topology.switch",
        ours["switch"],
        "us",
        5.0,
        beside={"pypowsybl": peer},
        note=f"one switch, buses brought up to date, p99 {ours['switch_p99']:.1f} us{doubt}; {note}",
    )
    yield Figure("model.topology.burst", ours["burst"] / 1e3, "ms", note=f"100 switches, then islands and states once{doubt}")
    yield Figure("model.topology.columns", ours["columns_s"], "s", 1.0, note="CPU of making the graph of the model read")


def _peer(runs: int) -> tuple[float | None, str]:
    if not _PEER_MODEL.is_file():
        return None, "no public CIM models beside the repository"
    try:
        python = str(environment("pypowsybl") / "python")
        answer = once("model.topology_peer", str(_PEER_MODEL), str(runs), timeout_s=_TIMEOUT_S, python=python)
    except (PeerError, WorkerError) as error:
        return None, str(error)
    return float(answer["switch"]), f"pypowsybl: a model of {answer['switches']} switches, switch moved and buses asked for"
