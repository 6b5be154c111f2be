"""The image as other processes see it: one file, mapped by the writer and, read-only, by any number of readers.

Layout (little-endian, every column aligned to its size)::

    0      header, 4096 bytes of i8: see :class:`Slot`
    4096   image: one row of ROW_DTYPE (40 bytes) a point, by pid
    then   ring: POINT_DTYPE of the last changes; change n stands in place n modulo the length (a power of two)
    then   ring: i8, received_at of each
    then   ring: i8, committed_at of each

The writer puts the changes of a commit into the ring, sets ``STARTED`` to the last of them, writes the image, and sets
``FINISHED``. There is no lock. A reader notes ``FINISHED``, copies, notes ``STARTED``, and replays from the ring what lies
between: its copy then stands for the second number, whatever it met on the way.

``<folder>/rtdb.image`` is a symbolic link to the file, which lies in shared memory or, if there is no room, beside the link. The
writer holds a lock on the file; that is how a reader sees that it is gone, however it went.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import secrets
import stat
import weakref
from collections.abc import Iterator, Sequence
from copy import copy
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scada.core.batch import POINT_DTYPE
from scada.rtdb.changes import ChangeSet
from scada.rtdb.image import ROW_DTYPE, Holds, Image, Ring
from scada.rtdb.kernels import FINISHED, OLDEST, STARTED, publish_changes

LINK: Final = "rtdb.image"
MAGIC: Final = int.from_bytes(b"SCADAIMG", "little")
LAYOUT: Final = 1
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the host's shared memory; our file in it is made exclusively
HEADER_BYTES: Final = 4096
_FOLDER_AT: Final = 1024
"""Where the header holds the path of the database's folder, ended by a zero; empty if it is too long."""
_RING: Final = (1 << 12, 1 << 18)
"""Shortest and longest ring; else it holds a quarter as many changes as there are points."""

Numbers = npt.NDArray[np.int64]


class Slot(IntEnum):
    """Places in the header."""

    MAGIC = 0
    LAYOUT = 1
    BOOT = 2
    """Random number of the writer's life."""
    CAPACITY = 3
    RING = 4
    """Changes in the ring."""
    FLOOR = 5
    """Number at which this life of the writer began: what earlier lives told after it was lost."""
    STATE = 16
    """1 = in use; 0 = closed or replaced by another file: follow the link again."""
    OLDEST = OLDEST
    """Oldest change in the ring."""
    STARTED = STARTED
    FINISHED = FINISHED
    BEAT = 20
    """Monotonic ns of the writer's last commit, with or without changes."""


_NO_HOLDS = Holds.none()


class Memory(NamedTuple):
    """A mapped file as arrays."""

    header: Numbers
    rows: npt.NDArray[np.void]
    ring: Ring


def ring_length(capacity: int) -> int:
    """Changes kept in the ring of so many points."""
    shortest, longest = _RING
    return int(min(max(shortest, 1 << (max(capacity, 4) // 4 - 1).bit_length()), longest))


def file_bytes(capacity: int, ring: int) -> int:
    """Size of the file."""
    return HEADER_BYTES + capacity * ROW_DTYPE.itemsize + ring * (POINT_DTYPE.itemsize + 16)


def arrays(buffer: Any, capacity: int, ring: int) -> Memory:
    """The parts of a mapped file."""
    at = HEADER_BYTES + capacity * ROW_DTYPE.itemsize
    records = np.frombuffer(buffer, POINT_DTYPE, ring, at)
    received = np.frombuffer(buffer, np.int64, ring, at + records.nbytes)
    committed = np.frombuffer(buffer, np.int64, ring, at + records.nbytes + received.nbytes)
    rows = np.frombuffer(buffer, ROW_DTYPE, capacity, HEADER_BYTES)
    return Memory(np.frombuffer(buffer, np.int64, HEADER_BYTES // 8), rows, Ring(records, received, committed))


class SharedImage:
    """The writer's side of the file; without a place for it, the same in private memory.

    Args:
        folder: of the database.
        state: the image to start from.
        seq: number it stands for.
        boot: the writer's life.
        floor: see :class:`Slot`.
        places: folders to try; None = shared memory, then ``folder``.

    Attributes:
        image: what is published.
        fault: why other processes cannot read it, empty if they can.
        path: the file, None if there is none.
    """

    def __init__(
        self, folder: Path, state: Image, seq: int, *, boot: int, floor: int, places: Sequence[Path] | None = None
    ) -> None:
        self._folder, self._boot, self._floor, self._places = folder, boot, floor, places
        _remove_stale(folder)
        self._reserve(state.capacity)
        self._show(state, seq)

    def _reserve(self, capacity: int) -> None:
        """Have the memory, every page of it: what is written later costs no fault of a page."""
        ring = ring_length(capacity)
        self.fault = ""
        places = (MEMORY, self._folder) if self._places is None else self._places
        self.path, buffer = self._mapped(file_bytes(capacity, ring), places)
        self._memory = arrays(buffer, capacity, ring)
        self.image = Image.of(self._memory.rows)
        self.image.clear()
        for part in self._memory.ring:
            part.view(np.uint8)[:: mmap.PAGESIZE] = 0

    def _show(self, state: Image, seq: int) -> None:
        """Stand for a state, and let readers find it."""
        self.image.take(state)
        self._begin(seq)
        if self.path is not None:
            self._link()

    @staticmethod
    def new_boot() -> int:
        """A number for a new life of a writer."""
        return secrets.randbits(62) | 1

    def _begin(self, seq: int) -> None:
        header, ring = self._memory.header, self._memory.ring
        values = {
            Slot.LAYOUT: LAYOUT,
            Slot.BOOT: self._boot,
            Slot.CAPACITY: self.image.capacity,
            Slot.RING: len(ring.records),
            Slot.FLOOR: self._floor,
            Slot.OLDEST: seq + 1,
            Slot.STARTED: seq,
            Slot.FINISHED: seq,
            Slot.STATE: 1,
            Slot.MAGIC: MAGIC,
        }
        folder = os.fsencode(self._folder.resolve())
        if len(folder) < HEADER_BYTES - _FOLDER_AT:
            header.view(np.uint8)[_FOLDER_AT : _FOLDER_AT + len(folder)] = np.frombuffer(folder, np.uint8)
        for slot, value in values.items():
            header[slot] = value

    def publish(self, change: ChangeSet) -> None:
        """Show the changes of a commit."""
        header, _, ring = self._memory
        records, received_at = change.records, change.received_at
        publish_changes(header, self.image, _NO_HOLDS, ring, records, received_at, change.first, change.committed_at)

    def beat(self, monotonic_s: float) -> None:
        """Say that the writer lives."""
        self._memory.header[Slot.BEAT] = int(monotonic_s * 1e9)

    def number_from(self, seq: int) -> None:
        """Stand for another number, before anything was published."""
        self._floor = seq
        self._begin(seq)

    def reserved(self, capacity: int) -> SharedImage:
        """Memory for more points, which nobody reads yet; :meth:`succeed` lets it take over. From any thread."""
        successor = copy(self)
        successor._reserve(capacity)  # noqa: SLF001 - our own
        return successor

    def succeed(self, before: SharedImage) -> None:
        """Take over from the image of fewer points; its readers are sent here."""
        self._boot, self._floor = before._boot, before._floor
        self._show(before.image, int(before._memory.header[Slot.FINISHED]))
        before.close()

    def close(self) -> None:
        """Tell readers, remove the file and, if it is still ours, the link; may be called twice."""
        self._memory.header[Slot.STATE] = 0
        if self.path is not None:
            self._remove()

    # ------------------------------------------------------------------ the file

    def _mapped(self, size: int, places: Sequence[Path]) -> tuple[Path | None, mmap.mmap]:
        faults = []
        for place in places:
            path = place / f"{_prefix(self._folder)}{secrets.token_hex(8)}"
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _mode(self._folder))
            except OSError as error:
                faults.append(f"{place}: {error.strerror}")
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.posix_fallocate(descriptor, 0, size)  # or a full file system would kill the process at some later write
                buffer = mmap.mmap(descriptor, size)
            except OSError as error:
                faults.append(f"{place}: {error.strerror}")
                path.unlink()
                os.close(descriptor)
                continue
            self._remove = weakref.finalize(self, _forget, path, self._folder / LINK, descriptor, os.getpid())
            return path, buffer
        self.fault = f"no room for {size >> 20} MiB that other processes could read ({'; '.join(faults)})"
        return None, mmap.mmap(-1, size)

    def _link(self) -> None:
        """Point the link to our file, in one step."""
        assert self.path is not None
        aside = self._folder / f"{LINK}.{secrets.token_hex(8)}"
        try:
            aside.symlink_to(self.path)
            aside.replace(self._folder / LINK)
        except OSError as error:
            self.fault = f"other processes cannot find the image: {error.strerror} ({self._folder / LINK})"


def _prefix(folder: Path) -> str:
    """Names of our files begin with this, in shared memory too, where all databases of a host meet."""
    return f"{LINK}-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}-"


def _mode(folder: Path) -> int:
    """Who may read the folder may read the image."""
    return 0o600 | (folder.stat().st_mode & 0o044)


def _left(place: Path, prefix: str) -> Iterator[Path]:
    """Files of ours in a folder; what else another user may have laid there is no file, and opening it could wait for ever."""
    with contextlib.suppress(OSError):
        yield from (path for path in place.glob(f"{prefix}*") if stat.S_ISREG(path.lstat().st_mode))


def _files(folder: Path) -> list[Path]:
    """Images of a database, in shared memory and beside it."""
    return [*_left(MEMORY, _prefix(folder)), *_left(folder, _prefix(folder))]


def _orphans() -> Iterator[Path]:
    """Files in shared memory of databases whose folder is gone."""
    for path in _left(MEMORY, f"{LINK}-"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(_FOLDER_AT)
            folder = file.read(HEADER_BYTES - _FOLDER_AT).split(b"\0", 1)[0]
            if folder and not os.path.exists(folder):  # noqa: PTH110 - of bytes, as the system has it
                yield path


def _remove_stale(folder: Path) -> None:
    """Remove what writers left that were killed."""
    for path in (*_files(folder), *_orphans()):
        with contextlib.suppress(OSError):
            if not in_use(path):
                path.unlink()


def in_use(path: Path) -> bool:
    """True while the writer of this file lives."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return is_locked(descriptor)
    finally:
        os.close(descriptor)


def is_locked(descriptor: int) -> bool:
    """True while the writer of this open file lives; the lock is asked for and given back, nobody else wants it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _forget(path: Path, link: Path, descriptor: int, process: int) -> None:
    if os.getpid() != process:  # a forked child has no say
        return
    with contextlib.suppress(OSError):
        if link.readlink() == path:
            link.unlink()
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(descriptor)
