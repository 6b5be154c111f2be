"""Registered consumers: who still needs which part of the journal, one small durable file each.

The file ``consumers/<name>`` in the folder of the database is one JSON object: ``seq`` (last number dealt with), ``heard_at``
(ns UTC of the last acknowledgement) and ``process``. Its owner alone writes it, by replacing it; the writer of the database reads
all of them before it trims the journal, and keeps what is not acknowledged as long as the map has room.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import StoreError
from scada.rtdb.mapped import sync_path

FOLDER: Final = "consumers"
SILENT_S: Final = 24 * 3600.0
"""A consumer not heard of for so long is reported."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_HEARTBEAT_S: Final = 60.0
"""An unchanged position is written again after so long, so that its consumer counts as alive."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """A follower of the journal that wants nothing trimmed before it had it."""

    name: str
    seq: int
    """Last sequence number it has dealt with."""
    heard_at: int
    """ns UTC of its last acknowledgement."""
    process: int
    """Its process, which may have ended."""

    def passed(self, oldest: int) -> bool:
        """True if the journal, which begins at ``oldest``, no longer has what follows on ``seq``; its next read says so too."""
        return self.seq < oldest - 1

    def silent(self, now_ns: int, seconds: float = SILENT_S) -> bool:
        """True if it was not heard of for so long."""
        return now_ns - self.heard_at > seconds * NS_PER_S


def check_name(name: str) -> str:
    """The name of a consumer, if it can be one.

    Raises:
        StoreError: it cannot; a name is also that of a file.
    """
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"{name!r} cannot be the name of a consumer", mend="use 1 to 63 of a-z, 0-9, - and _, the first a letter or digit"
        )
    return name


def check_seq(seq: int) -> int:
    """A position in the journal.

    Raises:
        StoreError: it is negative, or larger than any that can be reached: microseconds since 1970 are a thousandth of it.
    """
    if not 0 <= seq < 1 << 62:
        raise StoreError(f"{seq} is no sequence number", mend="give the last number dealt with, 0 = none")
    return int(seq)


def listed(database: Path) -> tuple[list[Consumer], list[str]]:
    """The consumers on file, by name, and the names of files that cannot be read as one.

    Args:
        database: folder of the database.

    Raises:
        StoreError: nobody can say who is registered.
    """
    consumers, damaged = [], []
    try:
        files = sorted(path for path in (database / FOLDER).iterdir() if not path.name.endswith(".new"))
    except FileNotFoundError:  # none registered yet
        return [], []
    except OSError as error:
        raise StoreError(
            f"the consumers of the journal cannot be listed: {error.strerror}",
            where=str(database / FOLDER),
            mend="check owner and mode of the folder",
        ) from error
    for path in files:
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            numbers = [check_seq(fields[name]) for name in ("seq", "heard_at", "process")]
            consumers.append(Consumer(check_name(path.name), *numbers))
        except FileNotFoundError:
            continue  # removed meanwhile
        except (OSError, ValueError, KeyError, TypeError, StoreError):
            damaged.append(path.name)
    return consumers, damaged


def keep(database: Path, consumer: Consumer) -> None:
    """Write a consumer's file: the old one or the new one is there at any moment, also after a loss of power.

    Raises:
        StoreError: it cannot be written.
    """
    folder = database / FOLDER
    path = folder / check_name(consumer.name)
    aside = folder / f"{consumer.name}.new"
    fields = {"seq": consumer.seq, "heard_at": consumer.heard_at, "process": consumer.process}
    try:
        folder.mkdir(exist_ok=True)
        is_new = not path.exists()
        aside.write_text(json.dumps(fields) + "\n", encoding="utf-8")
        sync_path(aside)
        aside.replace(path)
        if is_new:  # a replaced file may come back as it was: then more is kept, nothing is missed
            sync_path(folder)
    except OSError as error:
        raise StoreError(
            f"the place of consumer {consumer.name} cannot be kept: {error.strerror}", where=str(path), mend="check the disk"
        ) from error


def remove(database: Path, name: str) -> bool:
    """Take a consumer off the list; False if it was not on it.

    Args:
        database: folder of the database.
        name: also that of a damaged file.

    Raises:
        StoreError: the name is no consumer's, or its file cannot be removed.
    """
    if "/" in name or name in {"", ".", ".."}:
        check_name(name)
    path = database / FOLDER / name
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(
            f"cannot be removed: {error.strerror}", where=str(path), mend="check owner and mode of its folder"
        ) from error
    return True


class Registration:
    """A consumer in another process than the database's; one thread uses it.

    Args:
        database: folder of the database.
        name: stays the same over restarts, so that the journal is kept meanwhile; one process at a time.
        after: last sequence number dealt with.
        clock: stamps.

    Raises:
        StoreError: the name or the number is wrong, or the folder cannot be written.
    """

    def __init__(self, database: Path, name: str, after: int, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._consumer = Consumer(check_name(name), check_seq(after), clock.now_ns(), os.getpid())
        self._kept_at = clock.monotonic()
        keep(database, self._consumer)

    @property
    def seq(self) -> int:
        """Last number acknowledged."""
        return self._consumer.seq

    def acknowledge(self, seq: int) -> None:
        """Everything up to ``seq`` is dealt with, durably; call it every second or so, also if nothing came.

        Raises:
            StoreError: the file cannot be written.
        """
        due = self._clock.monotonic() - self._kept_at >= _HEARTBEAT_S
        if check_seq(seq) == self._consumer.seq and not due:
            return
        self._consumer = replace(self._consumer, seq=int(seq), heard_at=self._clock.now_ns())
        self._kept_at = self._clock.monotonic()
        keep(self._database, self._consumer)

    def withdraw(self) -> None:
        """Need nothing more.

        Raises:
            StoreError: the file cannot be removed.
        """
        remove(self._database, self._consumer.name)


class Consumers:
    """All consumers, as the writer of the database sees them.

    Those of its own process are kept in memory and written by :meth:`exchange`; a late file only keeps more of the journal. Any
    thread may register and acknowledge; the writer's thread exchanges.

    Args:
        database: folder of the database.
        clock: stamps.

    Raises:
        StoreError: see :func:`listed`.

    Attributes:
        damaged: names of files that cannot be read as a consumer.
    """

    def __init__(self, database: Path, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._own: dict[str, Consumer] = {}
        self._kept: dict[str, Consumer] = {}
        self._gone: set[str] = set()
        found, self.damaged = listed(database)
        self._others = {consumer.name: consumer for consumer in found}

    def all(self) -> list[Consumer]:
        """Everyone, by name, as last seen."""
        together = {**self._others, **self._own}
        return [together[name] for name in sorted(together)]

    def acknowledged(self, oldest: int) -> int | None:
        """Number up to which everyone who is not passed is done, on disk; None = nobody waits for anything.

        What is acknowledged in memory only would be asked for again after a crash.
        """
        places = (self._kept.get(consumer.name, consumer) for consumer in self.all())
        return min((consumer.seq for consumer in places if not consumer.passed(oldest)), default=None)

    def register(self, name: str, after: int) -> None:
        """Put a consumer of this process on the list, or set its place anew."""
        self._own[check_name(name)] = Consumer(name, check_seq(after), self._clock.now_ns(), os.getpid())
        self._kept.pop(name, None)
        self._gone.discard(name)

    def acknowledge(self, name: str, seq: int) -> None:
        """Move the place of a consumer of this process.

        Raises:
            StoreError: it is not registered.
        """
        known = self._own.get(name)
        if known is None:
            raise StoreError(f"there is no consumer {name!r}", where=str(self._database), mend="register it first")
        self._own[name] = replace(known, seq=check_seq(seq), heard_at=self._clock.now_ns())

    def withdraw(self, name: str) -> None:
        """Take a consumer off the list."""
        for known in (self._own, self._others, self._kept):
            known.pop(name, None)
        self._gone.add(check_name(name))

    def exchange(self) -> None:
        """Write our own consumers' files where they moved, and read those of other processes.

        A file that cannot be written is tried again the next time; of one that cannot be read the last known place counts.
        """
        for consumer in list(self._own.values()):
            kept = self._kept.get(consumer.name)
            fresh = kept is not None and abs(consumer.heard_at - kept.heard_at) < _HEARTBEAT_S * NS_PER_S
            if kept is None or kept.seq != consumer.seq or not fresh:
                self._try_keep(consumer)
        for name in list(self._gone):
            self._try_remove(name)
        try:
            found, self.damaged = listed(self._database)
        except StoreError:
            return
        before = [self._others[name] for name in self.damaged if name in self._others]
        self._others = {consumer.name: consumer for consumer in (*before, *found) if consumer.name not in self._gone}

    def _try_keep(self, consumer: Consumer) -> None:
        try:
            keep(self._database, consumer)
        except StoreError:
            return
        self._kept[consumer.name] = consumer

    def _try_remove(self, name: str) -> None:
        try:
            remove(self._database, name)
        except StoreError:
            return
        self._gone.discard(name)


def newly_passed(consumers: Iterable[Consumer], oldest_before: int, oldest: int) -> list[Consumer]:
    """Those whom a trim of the journal has just passed."""
    return [consumer for consumer in consumers if consumer.passed(oldest) and not consumer.passed(oldest_before)]
