"""``agc.allocation``: random allocations with forbidden zones against every choice of sides."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from figures import Figure
from workers import once

NAMES = ("agc.allocation.missed", "agc.allocation.optimal", "agc.allocation.dearest")
"""Head figures."""
_TIMEOUT_S = 900.0


def measure(*, quick: bool) -> Iterator[Figure]:
    """Ours against exhaustive choice."""
    cases = 1000 if quick else 10_000
    done = once("agc.allocations", str(cases), timeout_s=_TIMEOUT_S, python=sys.executable)
    note = f"{done['possible']} of {cases} cases of 8 units, 4 with a zone, can be met by one of the 16 choices of sides"
    yield Figure("agc.allocation.missed", done["missed"], "cases", 0, note=f"balance missed though possible; {note}")
    yield Figure("agc.allocation.optimal", done["optimal_percent"], "%", 99.9, at_least=True, note=note)
    yield Figure("agc.allocation.dearest", done["dearest_percent"], "%", 1.0, note="worst cost above the least one")
    yield Figure("agc.allocation.time", done["us"], "us", note="median of one allocation, called from Python")
