"""The suppressions in force and how long they last (ISA-18.2 / IEC 62682, states G, H and I). It knows no alarm.

A suppression names an object (a point, a piece of equipment, a channel) and one alarm of it, or all. Several may stand on one
alarm; it is shown again when the last one is gone.

**Time of a shelving.** It runs on the monotonic clock, so that setting the wall clock neither prolongs nor shortens it. What is
left is noted before every minute is over. After a restart the time to its end by the wall clock counts, so that the time the
server was down does too; but no more than what was noted, less the minute that may be missing in it. So no shelving ever runs
longer than granted, however the wall clock is set and however often the server restarts. On the safe side, a restart may bring
the alarm back up to a minute early, and a wall clock set forward while the server was down earlier than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from scada.core.clock import NS_PER_S, Clock
from scada.events.records import Suppression, SuppressionKind

_KEEP_S: Final = 50.0
"""Time between notes of what is left of shelvings."""
_MISSING_S: Final = 60.0
"""What may be missing in the last note."""
_WEIGHT: Final = (
    SuppressionKind.OUT_OF_SERVICE,
    SuppressionKind.BY_DESIGN,
    SuppressionKind.TAGGED,
    SuppressionKind.SHELVED,
)

Key = tuple[str, str, SuppressionKind]


class SuppressionRegister:
    """The suppressions in force.

    Args:
        clock: its monotonic time ends shelvings.
        shelve_max_s: longest shelving.
    """

    def __init__(self, clock: Clock, shelve_max_s: float) -> None:
        self._clock = clock
        self._shelve_max_s = shelve_max_s
        self._entries: dict[Key, Suppression] = {}
        self._of: dict[str, dict[Key, None]] = {}
        self._due: dict[Key, float] = {}
        self._changed: dict[Key, Suppression] = {}
        self._kept_at = clock.monotonic()
        self.revision = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def add(self, entry: Suppression, *, duration_s: float = 0.0) -> None:
        """Put a suppression in force, in place of one of the same name and kind.

        Args:
            entry: see :class:`~scada.events.records.Suppression`.
            duration_s: of a shelving.
        """
        key = (entry.mrid, entry.key, entry.kind)
        if duration_s:
            self._due[key] = self._clock.monotonic() + duration_s
            entry = replace(entry, until_ns=self._clock.now_ns() + round(duration_s * NS_PER_S), left_s=duration_s)
        self._entries[key] = self._changed[key] = entry
        self.revision += 1
        self._of.setdefault(entry.mrid, {})[key] = None

    def remove(self, key: Key) -> Suppression:
        """Take a suppression back; returns it as it was."""
        entry = self._entries.pop(key)
        self.revision += 1
        self._due.pop(key, None)
        of_object = self._of[entry.mrid]
        del of_object[key]
        if not of_object:
            del self._of[entry.mrid]
        self._changed[key] = replace(entry, kind=SuppressionKind.NONE, was=entry.kind)
        return entry

    def reason(self, key: Key) -> str:
        """Why a suppression is in force, empty if it is not."""
        entry = self._entries.get(key)
        return "" if entry is None else entry.reason

    def named(self, mrid: str, key: str, kind: SuppressionKind) -> list[Key]:
        """Those of a kind with this name; an empty key names all of the object."""
        return [each for each in self._of.get(mrid, ()) if each[2] == kind and key in ("", each[1])]

    def of_kind(self, kind: SuppressionKind) -> list[Key]:
        """All of a kind."""
        return [key for key in self._entries if key[2] == kind]

    def kind_of(self, objects: Sequence[str], key: str) -> SuppressionKind:
        """By what an alarm is suppressed: the weightiest kind of what stands on it, ``NONE`` = nothing.

        Args:
            objects: mRIDs of its object and of what that belongs to.
            key: text key of the alarm.
        """
        if not self._of:
            return SuppressionKind.NONE
        kinds = {each[2] for mrid in objects for each in self._of.get(mrid, ()) if each[1] in ("", key)}
        return next((kind for kind in _WEIGHT if kind in kinds), SuppressionKind.NONE)

    def expired(self) -> list[Key]:
        """Shelvings whose time has passed. Every minute what is left of the others is noted for the log."""
        if not self._due:
            return []
        now = self._clock.monotonic()
        if now - self._kept_at >= _KEEP_S:
            self._kept_at = now
            self.revision += 1
            for key, due in self._due.items():
                until_ns = self._clock.now_ns() + round((due - now) * NS_PER_S)
                self._entries[key] = self._changed[key] = replace(self._entries[key], until_ns=until_ns, left_s=due - now)
        return [key for key, due in self._due.items() if due <= now]

    def restore(self, entries: Iterable[Suppression]) -> None:
        """Take over the suppressions of a log."""
        now_ns, now = self._clock.now_ns(), self._clock.monotonic()
        for entry in entries:
            key = (entry.mrid, entry.key, entry.kind)
            self._entries[key] = entry
            self._of.setdefault(entry.mrid, {})[key] = None
            if entry.kind == SuppressionKind.SHELVED:
                by_wall = (entry.until_ns - now_ns) / NS_PER_S
                left = max(0.0, min(by_wall, entry.left_s - _MISSING_S, self._shelve_max_s))
                self._due[key] = now + left
                until_ns = now_ns + round(left * NS_PER_S)
                self._entries[key] = self._changed[key] = replace(entry, until_ns=until_ns, left_s=left)

    def take_changed(self) -> list[Suppression]:
        """Suppressions that changed since the last call, for the log; kind ``NONE`` = over (remove the one of this ``name``)."""
        changed = list(self._changed.values())
        self._changed.clear()
        return changed

    def entries(self) -> list[Suppression]:
        """All in force, in the order in which they began."""
        return list(self._entries.values())
