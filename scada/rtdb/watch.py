"""Looks after the room in an LMDB file: how full its map is, and which readers keep old pages from being used again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scada.core.clock import Clock
from scada.rtdb.mapped import MappedFile, Reader

SLOW_S: Final = 5.0
"""A transaction held longer than this while the file grows is reported; ours last milliseconds."""
FILLING_AT: Final = 0.8
_CLEAR_AT: Final = 0.7
_STILL_S: Final = 60.0
"""A map whose extent has not grown for so long has free pages inside."""


@dataclass(frozen=True, slots=True)
class SlowReader:
    """A reader that keeps old pages from being used again."""

    process: int
    thread: int
    """As :func:`threading.get_ident` gives it in that process."""
    program: str
    """Name of the process; empty if it cannot be known."""
    age_s: float
    """How long it has been seen to hold its transaction."""
    behind: int
    """Transactions committed since."""


class FileWatch:
    """Called every second or so by whoever owns the file.

    Args:
        file: the open file.
        clock: for ages.

    Attributes:
        filling: the map is nearly full: 80 % of it hold records, or old pages that a reader pins have made the file grow so far.
        used: part of the map the records take, 0 to 1.
        taken: part of the map that cannot be used at present, 0 to 1: also what a reader pins.
        dead: reader slots of dead processes cleared so far.
    """

    def __init__(self, file: MappedFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self.filling = False
        self.used = self.taken = 0.0
        self.dead = 0
        self._extent = file.extent()
        self._grew_at = clock.monotonic() - _STILL_S
        self._seen: dict[Reader, tuple[float, int]] = {}
        self._told: set[Reader] = set()

    def look(self) -> list[SlowReader]:
        """Clear the slots of dead readers and look at the rest.

        Returns:
            Readers that are too slow, each of their transactions once.
        """
        now = self._clock.monotonic()
        self.dead += self._file.forget_dead_readers()
        extent = self._file.extent()
        if extent > self._extent:
            self._extent, self._grew_at = extent, now
        self._look_at_map(now)
        seen = {reader: self._seen.get(reader, (now, extent)) for reader in self._file.readers()}
        self._seen = seen
        self._told &= seen.keys()
        slow = [
            reader
            for reader, (since, then) in seen.items()
            if now - since >= SLOW_S and extent > then and reader not in self._told
        ]
        self._told.update(slow)
        return [self._described(reader, now) for reader in slow]

    def slow(self) -> list[SlowReader]:
        """All readers that were found too slow and still hold the same transaction."""
        return [self._described(reader, self._clock.monotonic()) for reader in self._told]

    def _look_at_map(self, now: float) -> None:
        size = self._file.map_bytes
        self.used = self._file.live() / size
        growing = now - self._grew_at < _STILL_S
        self.taken = max(self.used, self._extent / size if growing else 0.0)
        if self.taken >= FILLING_AT:
            self.filling = True
        elif self.taken < _CLEAR_AT:
            self.filling = False

    def _described(self, reader: Reader, now: float) -> SlowReader:
        since, _ = self._seen[reader]
        behind = self._file.last_transaction() - reader.transaction
        return SlowReader(reader.process, reader.thread, program_name(reader.process), now - since, behind)


def program_name(process: int) -> str:
    """Name of a process; empty if it is gone or of another machine's."""
    try:
        return Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
