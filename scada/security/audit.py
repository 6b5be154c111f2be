"""The audit log: append-only files in which every record carries the SM3 digest of its predecessor.

A row is on disk when :meth:`AuditLog.append` returns. Threads that append at the same time share one write and one
synchronisation: the first of them writes for all that wait. A record that a crash cut short is reported and moved aside at the
next start; whatever else does not fit is tampering and is never repaired. The format is :mod:`scada.security.audit_chain`.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Final, Self

from scada.core.clock import Clock
from scada.core.errors import ScadaError, StoreError
from scada.security.audit_chain import (
    AuditError,
    AuditRecord,
    AuditRow,
    Chain,
    Mark,
    decode,
    encode,
    link,
    segments,
)
from scada.security.audit_tree import GrowingTree
from scada.security.audit_writer import SegmentWriter
from scada.security.checkpoints import CHECKPOINTS, Checkpoint, CheckpointFile, SignedCheckpoint, sign_checkpoint
from scada.security.identities import IdentityHolder

__all__ = ["AuditError", "AuditLog", "AuditRecord", "AuditRow", "read_audit", "verify"]

SEGMENT_BYTES: Final = 32 << 20
"""Size after which a new segment is begun."""
CHECKPOINT_S: Final = 3600.0
"""How often a checkpoint is signed while rows come."""

_LOCK = "audit.lock"


class _Waiting:
    """Rows of one caller on their way to the disk."""

    def __init__(self, rows: Sequence[AuditRow]) -> None:
        self.rows = rows
        self.leads = False
        """It writes, for all that wait."""
        self.turn = Lock()
        """Held until it is over, or the turn to write is its own."""
        self.turn.acquire()
        self.numbers: list[int] | None = None
        self.fault: tuple[str, str] | None = None
        """What went wrong and how to mend it."""

    @property
    def over(self) -> bool:
        return self.numbers is not None or self.fault is not None


@dataclass(slots=True)
class _Seal:
    """Who signs checkpoints, and what of."""

    identity: IdentityHolder
    site: str
    clock: Clock
    file: CheckpointFile
    tree: GrowingTree
    at: float
    """When the last was made, monotonic s."""
    lock: Lock = field(default_factory=Lock)
    """Held while one is signed."""


class AuditLog:
    """The single writer of one audit log. Safe to call from several threads.

    Args:
        folder: holds the segments; made with mode 0700.
        clock: stamps the rows.
        segment_bytes: size after which a new segment is begun.

    Attributes:
        repaired: what a crash had cut short and opening moved aside, one sentence; empty if nothing.
        checkpoint_fault: why the last checkpoint could not be made, empty if it could; rows are stored all the same.

    Raises:
        StoreError: the folder cannot be written, or another process has the log open.
        AuditError: the chain of the last segment is broken.
    """

    def __init__(self, folder: Path, clock: Clock, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self.checkpoint_fault = ""
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._queue = Lock()
        self._waiting: list[_Waiting] = []
        self._writing = False
        """Somebody writes, and will have written for all that waited when it began."""
        self._mutex = Lock()
        self._failed = ""
        self._seal: _Seal | None = None
        with ExitStack() as undo:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._lock_file = undo.enter_context((folder / _LOCK).open("w"))
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._writer = SegmentWriter(folder)
            except BlockingIOError as error:
                raise StoreError("another process writes the audit log", where=str(folder), mend="stop it first") from error
            except OSError as error:
                raise StoreError(f"cannot open the audit log: {error.strerror}", where=str(folder)) from error
            undo.pop_all()
        self.repaired = self._writer.repaired

    def append(self, row: AuditRow) -> int:
        """Store a row; it is on disk when this returns.

        Returns:
            Its number.

        Raises:
            StoreError: it could not be stored (disk full ...); nothing may act on it.
        """
        return self.append_many((row,))[0]

    def append_many(self, rows: Sequence[AuditRow]) -> list[int]:
        """Store rows next to each other, all or none; they are on disk when this returns.

        Returns:
            Their numbers.

        Raises:
            StoreError: they could not be stored; nothing may act on them.
        """
        if not rows:
            return []
        mine = _Waiting(rows)
        with self._queue:
            self._waiting.append(mine)
            mine.leads, self._writing = not self._writing, True
        try:
            if not mine.leads:
                mine.turn.acquire()  # until somebody wrote for us, or the turn to write is ours
        except BaseException:  # a signal's exception: the turn must not be lost with us
            self._withdraw(mine)
            raise
        if mine.leads:
            self._lead()
        if mine.numbers is None:
            what, mend = mine.fault or ("the audit log was interrupted", "")
            raise StoreError(what, where=str(self.folder), mend=mend)
        return mine.numbers

    def sign_with(self, identity: IdentityHolder, site: str, clock: Clock) -> None:
        """Sign checkpoints from now on: one now for what is not under one, then every hour, when a segment is full, at close.

        Args:
            identity: asked for the signer of each checkpoint.
            site: whose log it is.
            clock: of the host; certificates go by it.

        Raises:
            StoreError: checkpoints cannot be read or written.
            SecurityError: the log is not what its newest checkpoint says: truncated, or written anew.
        """
        with self._mutex:
            file = CheckpointFile(self.folder / CHECKPOINTS)
            tree = GrowingTree(self.folder, file.last.checkpoint if file.last else None)
            self._seal = _Seal(identity, site, clock, file, tree, clock.monotonic())
            self._sign(self._seal, self._state(self._seal))

    def checkpoint(self) -> SignedCheckpoint | None:
        """Sign what is stored, unless the newest checkpoint covers it all; returns the newest.

        Returns:
            None if nobody signs or nothing was stored yet.

        Raises:
            StoreError: it cannot be stored.
        """
        with self._mutex:
            seal = self._seal
            state = self._state(seal) if seal else None
        return self._sign(seal, state) if seal and state else None

    def checkpoint_if_due(self, after_s: float = CHECKPOINT_S) -> bool:
        """Make a checkpoint if so much time has passed since the last; call it now and then. False if it failed."""
        with self._mutex:
            seal = self._seal
            due = seal and not self._failed and seal.clock.monotonic() - seal.at >= after_s
            state = self._state(seal) if seal and due else None
        if seal and state:  # rows do not wait for the signature: a token takes its time
            self._try_sign(seal, state)
        return not self.checkpoint_fault

    def records(self) -> Iterator[AuditRecord]:
        """The recent rows in order, as of now: those of the last two segments."""
        return _rows(segments(self.folder)[-2:])

    def close(self) -> None:
        """Let another writer have it."""
        with self._mutex:
            if self._seal and not self._failed:
                self._try_sign(self._seal, self._state(self._seal))
            self._failed = self._failed or "closed"
            self._writer.close()
            self._lock_file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _lead(self) -> None:
        """Write for all that wait, then hand the turn on."""
        with self._queue:
            group, self._waiting = self._waiting, []
        try:
            with self._mutex:
                self._commit(group)
        finally:
            with self._queue:
                self._hand_on()
            for one in group:
                one.turn.release()

    def _hand_on(self) -> None:
        """The first that waits writes next."""
        self._writing = bool(self._waiting)
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].turn.release()

    def _withdraw(self, mine: _Waiting) -> None:
        with self._queue:
            if mine in self._waiting:
                self._waiting.remove(mine)
                if mine.leads:
                    self._hand_on()

    def _commit(self, group: Sequence[_Waiting]) -> None:
        """Store the rows of a group: one write, one synchronisation."""
        fault = ("the audit log was interrupted in the middle of a write", "restart the server")
        try:
            fault = self._commit_group(group)
        except BaseException:  # a signal's exception: nobody knows what is on disk
            self._failed = fault[0]
            raise
        finally:
            for one in group:
                if not one.over:
                    one.fault = fault

    def _commit_group(self, group: Sequence[_Waiting]) -> tuple[str, str]:
        """Give each caller its numbers; returns what is wrong for those that have got none."""
        if why := self._failed or self._writer.broken:
            return f"the audit log is closed: {why}", "restart the server"
        try:
            if self._writer.end.at >= self._segment_bytes:
                self._begin_segment()
            end = self._writer.end
            parts: list[bytes] = []
            numbers: list[tuple[_Waiting, list[int]]] = []
            digests: list[bytes] = []
            for one in group:
                try:
                    after, data, given = self._encoded(end, one.rows)
                except (StoreError, TypeError, ValueError, OverflowError) as error:
                    one.fault = (f"a row cannot be stored in the audit log: {error}", "")
                    continue
                end = after
                parts += data
                digests += data[1::2]
                numbers.append((one, given))
            if parts:
                self._writer.write(b"".join(parts), end)
        except OSError as error:
            return f"cannot write the audit log: {error.strerror}", "free the disk"
        except StoreError as error:
            return error.what, error.mend
        if self._seal:
            self._seal.tree.add(digests)
        for one, given in numbers:
            one.numbers = given
        return "", ""

    def _encoded(self, end: Mark, rows: Sequence[AuditRow]) -> tuple[Mark, list[bytes], list[int]]:
        """Rows behind a mark: the mark behind them, their records and digests in turn, their numbers."""
        number, digest, now = end.number, end.digest, self._clock.now_ns()
        parts: list[bytes] = []
        for row in rows:
            number += 1
            sized = encode(number, now, row)
            digest = link(digest, sized)
            parts += (sized, digest)
        at = end.at + sum(map(len, parts))
        return Mark(number, digest, at), parts, list(range(end.number + 1, number + 1))

    def _state(self, seal: _Seal) -> Checkpoint:
        """What a checkpoint of now says; its number and predecessor are found when it is signed."""
        seal.at = seal.clock.monotonic()
        end, tree, now, name = self._writer.end, seal.tree, seal.clock.now_ns(), seal.identity.current.name
        return Checkpoint(0, seal.site, tree.start, end.number, end.digest, now, name, b"", tree.subtrees)

    def _sign(self, seal: _Seal, state: Checkpoint) -> SignedCheckpoint | None:
        """Sign a state unless the newest checkpoint covers it. Never take the mutex in here: who holds it may wait for us."""
        with seal.lock:
            last = seal.file.last
            if state.records > (last.checkpoint.records if last else 0):
                number, previous = (last.checkpoint.number + 1, last.digest()) if last else (1, b"")
                made = sign_checkpoint(replace(state, number=number, previous=previous), seal.identity.current)
                seal.file.append([made])
            return seal.file.last

    def _try_sign(self, seal: _Seal, state: Checkpoint) -> None:
        try:
            self._sign(seal, state)
            self.checkpoint_fault = ""
        except ScadaError as error:
            self.checkpoint_fault = str(error)

    def _begin_segment(self) -> None:
        """Go on in a new file; what was written so far is signed."""
        if self._seal:
            self._try_sign(self._seal, self._state(self._seal))
        self._writer.begin()


def read_audit(folder: Path) -> Iterator[AuditRecord]:
    """Every stored row in order; a torn last record is left out.

    Raises:
        StoreError: there is no log, or it cannot be read.
        AuditError: at the first record that does not follow from its predecessor.
    """
    return _rows(segments(folder, needed=True))


def verify(folder: Path) -> AuditError | None:
    """Check a whole log offline, from the oldest segment that is there.

    Returns:
        None if the chain is whole, else the error that names the first bad record. A torn last record counts as bad.

    Raises:
        StoreError: there is no log, or it cannot be read.
    """
    chain = Chain(segments(folder, needed=True))
    try:
        end = chain.run()
    except AuditError as error:
        return error
    return AuditError(chain.path, end.number + 1, "is cut short") if chain.torn else None


def _rows(paths: Sequence[Path]) -> Iterator[AuditRecord]:
    chain = Chain(paths)
    for number, body, _ in chain:
        yield decode(chain.path, number, body)
