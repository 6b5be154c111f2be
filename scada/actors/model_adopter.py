"""Between the model actor and the system: which versions are in memory, and what a swap of them comes to in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scada.actors.model import Live
from scada.actors.model_process import Built
from scada.core.errors import ModelError

if TYPE_CHECKING:
    from scada.actors.generation import Generation, SwapReport
    from scada.actors.system import System


class SystemAdopter:
    """Makes a system run versions; the one that runs and the one before it stay in memory.

    Args:
        system: what runs.
    """

    def __init__(self, system: System) -> None:
        self._system, self._number = system, system.running.number
        self._kept: dict[int, Generation] = {system.running.number: system.generation}

    def adopt(self, built: Built, folder: Path, number: int) -> str:
        """See :class:`scada.actors.model.Adopter`."""
        return self._swap(number, self._system.prepare(built.model, built.tables, folder))

    def readopt(self, number: int) -> str | None:
        """See :class:`scada.actors.model.Adopter`."""
        generation = self._kept.get(number)
        return None if generation is None else self._swap(number, generation)

    def live(self) -> Live:
        """Present values, and the points with an alarm standing."""
        system = self._system
        alarms = system.alarm_view.read()[0]
        return Live(system.store.snapshot(), {alarm.pid: alarm.mrid for alarm in alarms if alarm.pid >= 0})

    def _swap(self, number: int, generation: Generation) -> str:
        running, before = self._system.generation, self._number
        report = self._system.swap(generation)
        if not report.done:
            raise ModelError(report.reason, where=f"version {number}", mend="the version before runs on; see the log")
        self._number, self._kept = number, {before: running, number: self._system.generation}
        return told(report)


def told(report: SwapReport) -> str:
    """A swap in one sentence."""
    counts = {
        "points added": len(report.points_added),
        "removed": len(report.points_removed),
        "with another source": len(report.points_moved),
        "channels started": len(report.channels_started),
        "stopped": len(report.channels_stopped),
        "restarted": len(report.channels_restarted),
        "rebound": len(report.channels_rebound),
        "controls withdrawn": report.cancelled,
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count] or ["no point or channel was touched"]
    parts.append(f"no commit for {report.writer_ns / 1e6:.1f} ms, {report.total_s:.2f} s in all")
    return "; ".join([", ".join(parts), *report.warnings])
