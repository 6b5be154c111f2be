"""Copies of a database and their way back.

A backup is a folder: ``rtdb.lmdb`` (compacted, as of one commit), ``points.json`` (which number stands for which point) and
``manifest.json`` with the size and SHA-256 of both, written last: a folder without it is no backup.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from scada import __version__
from scada.core.clock import Clock
from scada.core.errors import StoreError
from scada.rtdb import checkpoint
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, StoreFullError, take_writer_lock
from scada.rtdb.maintenance import NAME, TABLES, CheckReport, Progress, check, silent, view
from scada.rtdb.mapped import check_structure, sync_path
from scada.rtdb.upgrades import LAYOUT

FILE: Final = f"{NAME}.lmdb"
REGISTRY: Final = "points.json"
MANIFEST: Final = "manifest.json"
_FORMAT: Final = 1
_BLOCK: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    made_at: int
    """ns UTC."""
    program: str
    """Version that made it."""
    layout: int
    head: int
    """Last number in it."""
    points: int
    map_mb: int
    files: dict[str, tuple[int, str]]
    """Name -> bytes and SHA-256."""


@dataclass(frozen=True, slots=True)
class RestoredFolder:
    """What a restore did."""

    manifest: Manifest
    head: int
    """Number the database goes on from; higher than any before, so that none is used twice."""
    kept: Path | None
    """The file that was there before."""


def backup(folder: Path, target: Path, clock: Clock, progress: Progress = silent) -> Manifest:
    """Copy a database as of its last commit, running or not, and check the copy.

    Args:
        folder: of the database.
        target: folder to be made; refused if there is something in it.
        clock: stamp.
        progress: told of copying, checking and digesting.

    Raises:
        StoreError: the database cannot be read, the target cannot be written or has no room.
        CorruptFileError: the copy is not sound; nothing of it is left then.
    """
    _make_empty(target)
    try:
        with view(folder) as source:
            needed = source.extent()
            _check_space(target, needed)
            map_mb = source.map_bytes >> 20
            progress("copy", 0, needed)
            source.copy_to(target / FILE)
        _copy_if_there(folder / REGISTRY, target / REGISTRY)
        report = _sound(target, progress)
        with view(target) as copy, copy.read() as txn:
            points = checkpoint.load(txn, str(copy.path)).image.capacity
        files = {path.name: _digest(path, progress) for path in (target / FILE, target / REGISTRY) if path.exists()}
        manifest = Manifest(clock.now_ns(), __version__, LAYOUT, report.head, points, map_mb, files)
        _write_manifest(target, manifest)
        (target / f"{FILE}-lock").unlink(missing_ok=True)
    except OSError as error:
        _remove(target)
        raise StoreError(f"the backup cannot be written: {error.strerror}", where=str(target), mend="check the disk") from error
    except StoreError:
        _remove(target)
        raise
    return manifest


def read_manifest(source: Path) -> Manifest:
    """What a backup says of itself; its files are not looked at.

    Raises:
        StoreError: it is no backup.
    """
    path = source / MANIFEST
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["format"] != _FORMAT:
            raise StoreError(
                f"the backup has format {fields['format']}, this program reads format {_FORMAT}",
                where=str(path),
                mend="use the program version that made it",
            )
        files = {name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in fields["files"].items()}
        numbers = {name: int(fields[name]) for name in ("made_at", "layout", "head", "points", "map_mb")}
        manifest = Manifest(program=str(fields["program"]), files=files, **numbers)
    except OSError as error:
        raise StoreError(
            f"there is no backup: {error.strerror}", where=str(path), mend="give a folder that `scada rtdb backup` made"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError("the manifest cannot be read", where=str(path), mend="take another backup") from error
    if FILE not in files or not files.keys() <= {FILE, REGISTRY}:
        raise StoreError(f"the manifest names {sorted(files)}", where=str(path), mend="take another backup")
    return manifest


def verify(source: Path, progress: Progress = silent) -> Manifest:
    """A backup whose files are as they were when it was made, and sound.

    Raises:
        StoreError: it is no backup, or a file is missing.
        CorruptFileError: a file differs from its digest, or the check finds something.
    """
    manifest = read_manifest(source)
    for name, (size, digest) in manifest.files.items():
        path = source / name
        if not path.is_file():
            raise StoreError("a file of the backup is missing", where=str(path), mend="take another backup")
        if path.stat().st_size != size or _digest(path, progress)[1] != digest:
            raise CorruptFileError(
                "the file is not what it was when the backup was made", where=str(path), mend="take another backup"
            )
    _sound(source, progress)
    return manifest


def restore(source: Path, folder: Path, clock: Clock, progress: Progress = silent) -> RestoredFolder:
    """Put a backup in the place of a database that no server writes.

    The file that was there is kept as ``rtdb.lmdb.before-restore-<ns>``. Sequence numbers go on above every number used before,
    so that followers, the event log and the history see a gap and take a snapshot instead of mistaking new changes for old ones.

    Args:
        source: the backup.
        folder: of the database; made if absent.
        clock: stamps and numbers.
        progress: told of digesting, checking and copying.

    Raises:
        StoreInUseError: a server runs on it.
        StoreError: see :func:`verify`; or the folder cannot be written or has no room. The database is as it was then.
    """
    manifest = verify(source, progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = take_writer_lock(folder, NAME)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(folder), mend="check owner, mode and mount") from error
    try:
        _check_space(folder, 2 * manifest.files[FILE][0])
        now = clock.now_ns()
        head = max(now // 1000, manifest.head + 1, _head_of(folder) + 1)
        with tempfile.TemporaryDirectory(prefix="restoring-", dir=folder) as aside:
            _prepare(source, Path(aside), manifest, head)
            kept = _swap(Path(aside), folder, now)
    except OSError as error:
        raise StoreError(f"cannot be restored: {error.strerror}", where=str(folder), mend="check the disk") from error
    finally:
        os.close(lock)
    return RestoredFolder(manifest, head, kept)


def _prepare(source: Path, aside: Path, manifest: Manifest, head: int) -> None:
    """A copy of the backup that stands for ``head``."""
    for name in manifest.files:
        shutil.copyfile(source / name, aside / name)
        sync_path(aside / name)
    # room for a second checkpoint in a map that may have been chosen for a smaller journal
    map_mb = max(manifest.map_mb, (2 * manifest.files[FILE][0] + checkpoint.bytes_needed(manifest.points) >> 20) + 16)
    with LmdbFile(aside, NAME, layout=LAYOUT, map_mb=map_mb, databases=TABLES) as file:
        image, _, identity, holds = checkpoint.restore(file, 0)
        every = np.ones(checkpoint.page_count(image.capacity), dtype=np.bool_)
        with file.write() as txn:
            checkpoint.write(txn, image, every, head, identity, holds)


def _swap(aside: Path, folder: Path, now: int) -> Path | None:
    """Put the prepared files in place, keeping links to the old ones; at any moment there is one whole database."""
    kept = None
    for name in (REGISTRY, FILE):
        place = folder / name
        if not (aside / name).exists():
            continue
        if place.exists():
            old = place.with_name(f"{name}.before-restore-{now}")
            os.link(place, old)
            kept = old if name == FILE else None
        (aside / name).replace(place)
    (folder / f"{FILE}-lock").unlink(missing_ok=True)  # its slots are of readers of the old file
    sync_path(folder)
    return kept


def _head_of(folder: Path) -> int:
    """Last number of the database that is replaced; 0 if it cannot be read any more."""
    try:
        check_structure(folder / FILE)
        with view(folder) as old:
            return checkpoint.restore(old, 0).head
    except StoreError:
        return 0


def _sound(folder: Path, progress: Progress) -> CheckReport:
    report = check(folder, progress)
    if report.findings:
        first = report.findings[0]
        raise CorruptFileError(
            f"not sound: {first.where}: {first.what}", where=str(report.path), mend="see `scada rtdb check`, take another backup"
        )
    return report


def _make_empty(target: Path) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise StoreError("there is something in the folder", where=str(target), mend="name a folder that does not exist")
    except OSError as error:
        raise StoreError(f"cannot be made: {error.strerror}", where=str(target), mend="name another folder") from error


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StoreFullError(
            f"{(needed >> 20) + 1} MiB are needed, {free >> 20} MiB are free", where=str(folder), mend="free disk space"
        )


def _copy_if_there(source: Path, target: Path) -> None:
    if source.exists():
        shutil.copyfile(source, target)
        sync_path(target)


def _digest(path: Path, progress: Progress) -> tuple[int, str]:
    size, done, digest = path.stat().st_size, 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            progress("digest", done, size)
    return size, digest.hexdigest()


def _write_manifest(target: Path, manifest: Manifest) -> None:
    files = {name: {"bytes": size, "sha256": digest} for name, (size, digest) in manifest.files.items()}
    fields: dict[str, Any] = {"format": _FORMAT, "program": manifest.program, "files": files}
    for name in ("made_at", "layout", "head", "points", "map_mb"):
        fields[name] = getattr(manifest, name)
    aside = target / f"{MANIFEST}.new"
    aside.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
    sync_path(aside)
    aside.replace(target / MANIFEST)
    sync_path(target)


def _remove(target: Path) -> None:
    """Leave nothing that could be taken for a backup; only what :func:`backup` writes."""
    for name in (FILE, f"{FILE}-lock", REGISTRY, f"{MANIFEST}.new", MANIFEST):
        (target / name).unlink(missing_ok=True)
