"""What a maintainer asks of a database file, whether a server writes it at that moment or not: is it sound, what is in it.

Nothing here changes the file. Copies and their way back are in :mod:`scada.rtdb.backup`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from scada.core.errors import StoreError
from scada.rtdb import checkpoint, consumers, journal
from scada.rtdb.changes import ChangeSet, GapError, Snapshot
from scada.rtdb.consumers import Consumer
from scada.rtdb.holds import replay
from scada.rtdb.image import Holds, Image
from scada.rtdb.lmdb_file import CorruptFileError, LmdbView, Transaction, unseal
from scada.rtdb.upgrades import LAYOUT
from scada.rtdb.watch import program_name

NAME: Final = "rtdb"
"""Stem of the file."""
TABLES: Final = (journal.TABLE, checkpoint.PAGES, checkpoint.META)
_MOST_FINDINGS: Final = 100
_MOST_COMMITS: Final = 100_000
"""How far back the beginning of a reader's transaction is looked for."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody wants to see."""


def view(folder: Path) -> LmdbView:
    """The database file of a folder, to be read.

    Raises:
        StoreError: see :class:`~scada.rtdb.lmdb_file.LmdbView`.
    """
    return LmdbView(folder, NAME, layout=LAYOUT, databases=TABLES)


# ---------------------------------------------------------------- check


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in a file."""

    where: str
    """Table and record."""
    what: str


@dataclass(slots=True)
class CheckReport:
    """What :func:`check` found; the first finding is the first bad record."""

    path: Path
    findings: list[Finding] = field(default_factory=list)
    pages: int = 0
    change_sets: int = 0
    changes: int = 0
    oldest: int = 0
    """First number in the journal, 0 = it is empty."""
    checkpoint: int = 0
    """Number the checkpoint stands for."""
    head: int = 0
    """Last number of the database."""
    jumps: list[tuple[int, int]] = field(default_factory=list)
    """First and last of numbers that no record has, before the checkpoint: changes given up on a full disk, or left out when a
    database came from a backup. No fault: a follower is told."""
    compared: int = 0
    """Points whose checkpoint could be compared with the journal."""

    def add(self, where: str, what: str) -> None:
        """Note a finding; beyond a hundred they say nothing new."""
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(Finding(where, what))


def check(folder: Path, progress: Progress = silent) -> CheckReport:
    """Walk the whole file: structure, checksums, continuity of the journal, checkpoint against a replay of the journal.

    The file of a running server is copied first, as of one commit, to the folder for temporary files.

    Raises:
        StoreError: there is no file, it is of another layout, or there is no room for the copy.
    """
    report = CheckReport(folder / f"{NAME}.lmdb")
    try:
        with view(folder) as opened:
            if not opened.writer:
                _check(opened, report, progress)
                return report
            with tempfile.TemporaryDirectory(prefix="scada-check-") as scratch:
                _copy(opened, Path(scratch), progress)
                opened.close()
                with view(Path(scratch)) as copy:
                    _check(copy, report, progress)
    except CorruptFileError as error:
        report.add("structure", error.what)
    return report


def _copy(opened: LmdbView, scratch: Path, progress: Progress) -> None:
    needed, free = opened.extent(), shutil.disk_usage(scratch).free
    if free < needed:
        raise StoreError(
            f"a copy of the file needs {needed >> 20} MiB, {free >> 20} MiB are free",
            where=str(scratch),
            mend="name a larger folder in the environment variable TMPDIR",
        )
    progress("copy", 0, needed)
    opened.copy_to(scratch / opened.path.name)
    progress("copy", needed, needed)


def _check(opened: LmdbView, report: CheckReport, progress: Progress) -> None:
    with opened.read() as txn:
        total = txn.count(checkpoint.PAGES) + txn.count(journal.TABLE)
        _check_pages(txn, report, progress, total)
        _check_meta(txn, report)
        replayed = _check_journal(txn, report, progress, total)
        if not report.findings:
            _compare(txn, report, replayed)


def _check_pages(txn: Transaction, report: CheckReport, progress: Progress, total: int) -> None:
    for key, blob in txn.ascending(checkpoint.PAGES):
        where = f"checkpoint page {int.from_bytes(key, 'big')}"
        try:
            if len(unseal(blob, where)) % checkpoint.ROW_BYTES:
                report.add(where, f"it has {len(blob)} bytes")
        except CorruptFileError as error:
            report.add(where, error.what)
        report.pages += 1
        progress("check", report.pages, total)


def _check_meta(txn: Transaction, report: CheckReport) -> None:
    for key, blob in txn.ascending(checkpoint.META):
        where = f"state record {key.decode(errors='replace')}"
        try:
            unseal(blob, where)
        except CorruptFileError as error:
            report.add(where, error.what)


def _check_journal(txn: Transaction, report: CheckReport, progress: Progress, total: int) -> Image:
    """Read every record; returns the image that the whole journal up to the checkpoint makes."""
    image, holds = Image.empty(0), Holds.none()
    try:
        report.checkpoint = checkpoint.number(txn, "state record state")
    except CorruptFileError:
        return image  # found above already
    last = 0
    for key, blob in txn.ascending(journal.TABLE):
        first = journal.number(key)
        report.change_sets += 1
        progress("check", report.pages + report.change_sets, total)
        try:
            change = journal.decode(key, blob, "")
        except CorruptFileError as error:
            report.add(f"journal record {first}", error.what)
            continue
        follows = not report.oldest or first == last + 1
        if not follows and last < first <= report.checkpoint + 1:
            report.jumps.append((last + 1, first - 1))
            image, holds = Image.empty(0), Holds.none()
        elif not follows:
            report.add(f"journal record {first}", f"it follows on change {last}")
        report.oldest = report.oldest or first
        report.changes += len(change)
        last = change.last
        if change.last <= report.checkpoint:
            image = image.grown(max(image.capacity, int(change.records["pid"].max(initial=0)) + 1))
            holds = replay(image, holds, change)
    report.head = max(last, report.checkpoint)
    if last < report.checkpoint and report.oldest:
        report.jumps.append((last + 1, report.checkpoint))
    if report.oldest > report.checkpoint + 1:
        report.add(f"journal record {report.oldest}", f"it does not follow on the checkpoint at {report.checkpoint}")
    return image


def _compare(txn: Transaction, report: CheckReport, replayed: Image) -> None:
    stored = checkpoint.load(txn, str(report.path)).image
    pids = np.flatnonzero(replayed.seq)
    if len(pids) and pids[-1] >= stored.capacity:
        report.add(f"point {pids[-1]}", "the journal has changes of it up to the checkpoint, the checkpoint does not have it")
        pids = pids[pids < stored.capacity]
    told, kept = replayed.picked(pids), stored.picked(pids)
    same = (told.value == kept.value) | (np.isnan(told.value) & np.isnan(kept.value))
    same &= (told.quality == kept.quality) & (told.seq == kept.seq)
    for at in np.flatnonzero(~same)[:_MOST_FINDINGS].tolist():
        shown = f"value {kept.value[at]:g}, quality {kept.quality[at]:#x}, change {kept.seq[at]}"
        wanted = f"value {told.value[at]:g}, quality {told.quality[at]:#x}, change {told.seq[at]}"
        report.add(f"point {pids[at]}", f"the checkpoint has {shown}; the journal makes {wanted}")
    ahead = np.flatnonzero(stored.seq > np.uint64(report.checkpoint))
    for pid in ahead[:_MOST_FINDINGS].tolist():
        report.add(f"point {pid}", f"it has change {stored.seq[pid]}, the checkpoint stands for {report.checkpoint}")
    report.compared = len(pids)


# ---------------------------------------------------------------- dump


def points(folder: Path) -> Snapshot:
    """Every point as of the last commit on disk.

    Raises:
        StoreError: the file cannot be read.
        CorruptFileError: it is damaged.
    """
    with view(folder) as opened:
        image, head, _, _ = checkpoint.restore(opened, 0)
    pids = np.arange(image.capacity, dtype=np.uint32)
    return Snapshot(head, pids, image.value, image.quality, image.source_time, image.received_at)


def changes(folder: Path, first: int = 0, last: int = 0) -> Iterator[ChangeSet]:
    """Change sets of the journal, in order.

    Args:
        folder: of the database.
        first: sequence number to start at; 0 = the oldest.
        last: sequence number to end at, included; 0 = the newest.

    Raises:
        GapError: the journal does not have all of that span.
        CorruptFileError: a record is damaged.
        StoreError: the file cannot be read.
    """
    with view(folder) as opened:
        with opened.read() as txn:
            oldest = next((journal.number(key) for key, _ in txn.ascending(journal.TABLE)), 0)
        if first and (not oldest or first < oldest):
            raise GapError(first, oldest or checkpoint_of(opened) + 1)
        for change in journal.follow(opened, (first or oldest) - 1 if oldest else 0):
            if last and change.first > last:
                return
            stop = len(change) if not last else min(len(change), last - change.first + 1)
            yield ChangeSet(change.first, change.records[:stop], change.received_at[:stop], change.committed_at)


def checkpoint_of(opened: LmdbView) -> int:
    """Number that the checkpoint of a file stands for."""
    with opened.read() as txn:
        return checkpoint.number(txn, str(opened.path))


# ---------------------------------------------------------------- stats


@dataclass(frozen=True, slots=True)
class HeldTransaction:
    """A reader within a transaction."""

    process: int
    program: str
    """Name of the process, empty if it is gone."""
    thread: int
    behind: int
    """Transactions committed since it began."""
    since_ns: int
    """About when it began, by the stamps of the commits since; 0 = it is up to date, or too long ago to say."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of a database file."""

    path: Path
    layout: int
    writer: int
    """Process of the server, 0 = none runs."""
    file_bytes: int
    map_bytes: int
    extent_bytes: int
    """Of the map, ever used; free pages inside are used again before it grows."""
    table_bytes: dict[str, int]
    """Pages that hold present records, by table."""
    points: int
    """Numbers the image has room for."""
    received: int
    """Points that have a value."""
    held: int
    """Points an operator holds."""
    oldest: int
    """First number in the journal; one more than ``head`` if it is empty."""
    head: int
    checkpoint: int
    """Number of the last checkpoint."""
    change_sets: int
    oldest_ns: int
    """Commit of the oldest change set, ns UTC; 0 = none."""
    newest_ns: int
    """Commit of the newest."""
    readers: list[HeldTransaction]
    consumers: list[Consumer]
    damaged_consumers: list[str]
    """Files of consumers that cannot be read."""


def stats(folder: Path) -> Stats:
    """Figures of a database, also of a running one.

    Raises:
        StoreError: the file cannot be read.
        CorruptFileError: it is damaged.
    """
    with view(folder) as opened, opened.read() as txn:
        where = str(opened.path)
        begun = checkpoint.load(txn, where)
        state = checkpoint.advance(txn, begun, where)
        ends = [next(txn.ascending(journal.TABLE), None), next(txn.descending(journal.TABLE), None)]
        sets = [journal.decode(*end, where) for end in ends if end is not None]
        listed, damaged = consumers.listed(folder)
        return Stats(
            path=opened.path,
            layout=LAYOUT,
            writer=opened.writer,
            file_bytes=opened.path.stat().st_size,
            map_bytes=opened.map_bytes,
            extent_bytes=opened.extent(),
            table_bytes={table: txn.size(table) for table in TABLES},
            points=state.image.capacity,
            received=int(np.count_nonzero(state.image.received_at)),
            held=len(state.holds.pids),
            oldest=sets[0].first if sets else state.head + 1,
            head=state.head,
            checkpoint=checkpoint.number(txn, where),
            change_sets=txn.count(journal.TABLE),
            oldest_ns=sets[0].committed_at if sets else 0,
            newest_ns=sets[-1].committed_at if sets else 0,
            readers=_held_transactions(opened, txn),
            consumers=listed,
            damaged_consumers=damaged,
        )


def _held_transactions(opened: LmdbView, txn: Transaction) -> list[HeldTransaction]:
    last, readers = opened.last_transaction(), opened.readers()
    behind = [max(0, last - reader.transaction) for reader in readers]
    commits = islice(txn.descending(journal.TABLE), min(max(behind, default=0), _MOST_COMMITS))
    stamps = [0, *(journal.committed_at(blob) for _, blob in commits)]
    return [
        HeldTransaction(
            reader.process, program_name(reader.process), reader.thread, count, stamps[count] if count < len(stamps) else 0
        )
        for reader, count in zip(readers, behind, strict=True)
    ]
