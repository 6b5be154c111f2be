"""``model.instrument``: points, addresses, limits and controls laid over a large network, and laid over it again."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from figures import Figure
from model.data import REAL_GRID
from workers import once

NAMES = ("model.instrument",)
"""Head figure; further parts: the difference, the files, the memory."""
_TIMEOUT_S = 600.0


def measure(*, quick: bool) -> Iterator[Figure]:
    """A process of its own, once: it takes long enough."""
    del quick
    if not REAL_GRID.is_file():
        yield Figure("model.instrument", None, "s", note="no public CIM models beside the repository")
        return
    done = once("model.laying", str(REAL_GRID), timeout_s=_TIMEOUT_S, python=sys.executable)
    note = (
        f"CPU; RealGrid, {done['channels']} channels, {done['points']} points and controls, {done['objects']} objects, in memory"
    )
    yield Figure("model.instrument", done["lay_s"], "s", 60.0, note=note)
    yield Figure("model.instrument.files", done["files_s"], "s", note=f"CPU; {done['files']} files written")
