"""Group ``agc``: the product's AGC in a closed loop, and what the accounts of its performance cost."""

from __future__ import annotations

from collections.abc import Iterator

from agc import allocation, closed, cycle, performance
from figures import Figure

PARTS = (cycle, allocation, closed, performance)
"""One module a figure; each has its head figures (``NAMES``) and a generator ``measure(quick)``."""
NAMES = tuple(name for part in PARTS for name in part.NAMES)
"""Head figures."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run every part and give the figures as they come."""
    for part in PARTS:
        yield from part.measure(quick=quick)
