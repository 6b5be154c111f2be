"""Group ``avc``: the programme of secondary voltage control, and the product in a closed loop."""

from __future__ import annotations

from collections.abc import Iterator

from avc import closed, qp
from figures import Figure

PARTS = (qp, closed)
"""One module a figure; each has its head figures (``NAMES``) and a generator ``measure(quick)``."""
NAMES = tuple(name for part in PARTS for name in part.NAMES)
"""Head figures."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run every part and give the figures as they come."""
    for part in PARTS:
        yield from part.measure(quick=quick)
