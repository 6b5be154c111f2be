"""Group ``model``: the CIM model read, checked, compared, applied; beside pypowsybl and pandapower at the same files."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure
from model import apply, diff, instrument, read, search, topology, xlsx

PARTS = (read, diff, topology, xlsx, search, instrument, apply)
"""One module a figure; each has its head figures (``NAMES``) and a generator ``measure(quick)``."""
NAMES = tuple(name for part in PARTS for name in part.NAMES)
"""Head figures."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run every part and give the figures as they come."""
    for part in PARTS:
        yield from part.measure(quick=quick)
