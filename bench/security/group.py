"""Group ``security``: sessions, signed commands, logins and the audit log, per core."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure
from security import audit_log, sessions

PARTS = (sessions, audit_log)
"""One module a subject; each has its head figures (``NAMES``) and a generator ``measure(quick)``."""
NAMES = tuple(name for part in PARTS for name in part.NAMES)
"""Head figures."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run every part and give the figures as they come."""
    for part in PARTS:
        yield from part.measure(quick=quick)
