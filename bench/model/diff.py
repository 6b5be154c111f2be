"""``model.diff``: two readings of a large model compared, one with 200 edits; exactly those must be found."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from figures import Figure
from model.data import REAL_GRID
from workers import once

NAMES = ("model.diff",)
"""Head figures; further parts: the same model twice, applying, writing and reading the difference model."""
_TIMEOUT_S = 300.0


def measure(*, quick: bool) -> Iterator[Figure]:
    """A process of its own; the best of several comparisons (quick: of one)."""
    if not REAL_GRID.is_file():
        yield Figure("model.diff", None, "s", note="no public CIM models beside the repository")
        return
    done = once("model.compare", str(REAL_GRID), "1" if quick else "5", timeout_s=_TIMEOUT_S, python=sys.executable)
    said = f"exactly the {done['edits']} edits" if done["exact"] else "WRONG: the difference is not the edits"
    note = f"CPU; RealGrid, {done['objects']} objects, {done['statements']} statements; {said}"
    yield Figure("model.diff", done["diff_s"] if done["exact"] else None, "s", 0.5, note=note)
    yield Figure("model.diff.same", done["same_s"] if done["none"] else None, "s", note="CPU; two readings of the same files")
    back = "the reverse gives the model as it was" if done["back"] else "WRONG: the reverse does not give the model as it was"
    yield Figure("model.diff.apply", done["apply_s"] if done["back"] else None, "s", note=f"CPU; every statement checked; {back}")
    yield Figure("model.diff.file", done["file_s"], "s", note="CPU; written as a difference model and read back")
