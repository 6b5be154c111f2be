"""What a driver under measurement reports to."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from scada.protocols.driver import LinkState


class CountingSink:
    """Counts values without looking at them.

    Args:
        silent: notices are not shown: they are expected.

    Attributes:
        values: so far.
        up: data flows.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self.values = 0
        self.up = asyncio.Event()

    def deliver(self, batch: Any) -> None:
        """Count."""
        self.values += len(batch)

    async def ready(self) -> None:
        """Always."""

    def state(self, state: LinkState, reason: str) -> None:
        """Wait for the connection."""
        del reason
        if state is LinkState.UP:
            self.up.set()

    def notice(self, kind: str, text: str) -> None:
        """Show what should not be."""
        if not self._silent:
            print(kind, text, file=sys.stderr)
