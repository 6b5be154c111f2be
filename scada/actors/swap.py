"""The swap of generations: a running server takes another model version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scada.actors.generation import Generation, SwapReport

if TYPE_CHECKING:
    from scada.actors.system import System


class Swap:
    """Carries out swaps, one at a time.

    Args:
        system: what runs.
    """

    def __init__(self, system: System) -> None:
        self._system = system

    def to(self, generation: Generation) -> SwapReport:
        """See :meth:`scada.actors.system.System.swap`."""
        running = self._system.generation
        return SwapReport(running.number, running.tables.version, done=False, reason=f"not yet possible ({generation.number})")
