"""The store of model versions: immutable folders of files, and a log that says what became of each.

``<folder>/files/<number>-<digest>`` holds the files of a version, ``<folder>/versions.lmdb`` the log (entries chained by
SHA-256), the reports of each version and the number of the current one. The order of writing is: files, synced; then the log
entry and, with it in one transaction, the current number. So a crash at any step leaves the old version or the new one, and
folders that no entry names, which the next opening removes.
"""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

from scada.core.clock import Clock
from scada.core.errors import ModelError, StoreError
from scada.model_cim.version_files import check_hashes, copy_model, digest_of, explained, hashes_of, remove_folder, sync_folder
from scada.model_cim.version_log import (
    GENESIS,
    MEND,
    Entry,
    History,
    State,
    Step,
    Version,
    decode_entries,
    encode_entry,
    entry_digest,
    fold,
    folded,
)
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, LmdbView, Transaction, seal, unseal

NAME: Final = "versions"
LAYOUT: Final = 1
_LOG, _REPORTS, _META = "log", "reports", "meta"
_TABLES: Final = (_LOG, _REPORTS, _META)
_CURRENT, _HEAD = b"current", b"head"
MOST_TEXT: Final = 8000
"""Characters of the text of an entry."""
SYSTEM: Final = "system"
"""Who acts when it is the server itself."""


class VersionStore:
    """The versions of one server's model. One process writes; any of its threads may call.

    Args:
        folder: made if absent.
        clock: stamps the entries.
        map_mb: fixed size of the log's file.

    Raises:
        CorruptFileError: the file or the chain of the log is damaged, or the files of the current version are not what they were.
        StoreError: see :class:`scada.rtdb.lmdb_file.LmdbFile`.
    """

    def __init__(self, folder: Path, clock: Clock, *, map_mb: int = 256) -> None:
        self.folder = folder
        self._clock = clock
        self._lock = Lock()
        self._file = LmdbFile(folder, NAME, layout=LAYOUT, map_mb=map_mb, databases=_TABLES)
        try:
            with self._file.read() as txn:
                self._entries = _read(txn, str(self._file.path))
                self._head = _head_of(txn)
            self._history = folded(self._entries)
            self._places = folder / "files"
            self._places.mkdir(exist_ok=True)
            self.uploads.mkdir(exist_ok=True)
            self._sweep()
        except OSError as error:
            self._file.close()
            raise explained(error, folder) from error
        except BaseException:
            self._file.close()
            raise

    # ---------------------------------------------------------------- reading

    @property
    def current(self) -> int:
        """Number of the version that runs; 0 = none yet."""
        return self._history.current

    @property
    def previous(self) -> int:
        """Number of the version that ran before; 0 = none."""
        return self._history.previous

    @property
    def ran(self) -> tuple[int, ...]:
        """Versions that were made current one after the other and not rolled back; the last of them runs."""
        return self._history.ran

    @property
    def versions(self) -> Mapping[int, Version]:
        """Every version ever proposed, by number."""
        return self._history.versions

    @property
    def uploads(self) -> Path:
        """Folder of files that were uploaded and are not checked yet, each named by its SHA-256."""
        return self.folder / "uploads"

    def version(self, number: int) -> Version:
        """One version.

        Raises:
            ModelError: there is none of this number.
        """
        found = self.versions.get(number)
        if found is None:
            raise ModelError(f"there is no version {number}", where=str(self.folder), mend="see `scada model versions`")
        return found

    def entries(self, version: int = 0) -> Sequence[Entry]:
        """The log, the oldest first; of one version only if a number is given."""
        return [entry for entry in self._entries if version in (0, entry.version)]

    def path(self, number: int) -> Path:
        """Folder of a version's files, which nobody may change.

        Raises:
            ModelError: there is none: it was never checked, or was removed.
        """
        version = self.version(number)
        if not version.digest or not version.kept:
            what = "were removed (see [model] keep_versions)" if version.digest else "are not there: it did not pass the check"
            raise ModelError(f"the files of version {number} {what}", where=str(self.folder), mend="take another version")
        return self._places / version.folder_name

    def report(self, number: int, name: str) -> bytes:
        """One of a version's reports; empty if it has none of this name.

        Raises:
            CorruptFileError: it is not what the log says of it.
        """
        digest = self.version(number).reports.get(name, "")
        if not digest:
            return b""
        where = f"{self._file.path}, {name} of version {number}"
        with self._file.read() as txn:
            blob = txn.get(_REPORTS, bytes.fromhex(digest))
        if blob is None:
            raise CorruptFileError("the report is gone", where=where, mend=MEND)
        data = zlib.decompress(unseal(bytes(blob), where))
        if hashlib.sha256(data).hexdigest() != digest:
            raise CorruptFileError("the report was changed", where=where, mend=MEND)
        return data

    # ---------------------------------------------------------------- writing

    def begin(self, *, actor: str, description: str, areas: Sequence[str], base: int, origin: str, source: str) -> int:
        """Write down a proposal.

        Returns:
            The number of the new version.

        Raises:
            StoreError: it could not be written.
        """
        number = max(self.versions, default=0) + 1
        data = {"areas": sorted(areas), "base": base, "origin": origin, "source": source}
        self.note(Step.PROPOSED, number, actor=actor, text=description, data=data)
        return number

    def note(
        self,
        step: Step,
        number: int,
        *,
        actor: str = SYSTEM,
        text: str = "",
        data: Mapping[str, Any] | None = None,
        reports: Mapping[str, bytes] | None = None,
    ) -> Entry:
        """Add an entry, on disk when this returns; with APPLIED and ROLLED_BACK the version becomes the current one.

        Args:
            step: what was done.
            number: to which version.
            actor: by whom.
            text: why, or what came of it; cut off after :data:`MOST_TEXT` characters.
            data: facts of the step, see :class:`Version`.
            reports: reports to keep with the version, by name.

        Raises:
            StoreFullError: no room; nothing was written.
            StoreError: any other fault; nothing was written.
        """
        with self._lock:
            kept = {name: hashlib.sha256(blob).hexdigest() for name, blob in (reports or {}).items()}
            facts = {**(data or {}), **({"reports": kept} if kept else {})}
            said = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} ..."
            entry = Entry(len(self._entries) + 1, self._clock.now_ns(), step, number, actor, said, facts, self._head)
            history = fold(self._history, entry)
            blob = encode_entry(entry)
            head = entry_digest(blob)
            with self._file.write() as txn:
                for name, body in (reports or {}).items():
                    txn.put(_REPORTS, bytes.fromhex(kept[name]), seal(zlib.compress(body, 6)))
                for digest in _reports(self._history, number) - _reports(history):
                    txn.delete(_REPORTS, bytes.fromhex(digest))
                txn.put(_LOG, entry.seq.to_bytes(8, "big"), blob)
                txn.put(_META, _HEAD, head)
                txn.put(_META, _CURRENT, history.current.to_bytes(8, "big"))
            self._entries.append(entry)
            self._head, self._history = head, history
            return entry

    def staging(self, number: int) -> Path:
        """Where the files of a version are gathered before :meth:`take`; empty and new."""
        place = self._places / f".new-{number:06d}"
        for left in self._places.glob(f"{place.name}*"):
            shutil.rmtree(left, ignore_errors=True)
        return place

    def take(self, number: int, staged: Path, facts: Mapping[str, Any], reports: Mapping[str, bytes], text: str = "") -> Version:
        """Make the gathered files the files of a version: renamed into place, then written down.

        Args:
            number: of the version.
            staged: its files, synced, see :meth:`staging`.
            facts: what CHECKED says of it but its files and digest.
            reports: to keep with it.
            text: what was found, in one sentence.

        Raises:
            StoreError: it could not be kept; the version is as it was.
        """
        files = hashes_of(staged)
        version = Version(number, digest=digest_of(files))
        place = self._places / version.folder_name
        try:
            shutil.rmtree(place, ignore_errors=True)  # of a life that ended before it wrote it down
            staged.rename(place)
            sync_folder(place)
        except OSError as error:
            raise explained(error, place) from error
        data = {**facts, "digest": version.digest, "files": files}
        self.note(Step.CHECKED, number, text=text, data=data, reports=reports)
        return self.version(number)

    def take_folder(self, folder: Path, text: str) -> Version:
        """Take the folder ``[model] path`` as a version of its own, by the server itself; it is not the current one yet.

        Raises:
            ModelError: there is no model, or its files cannot be read.
            StoreError: it could not be written.
        """
        number = self.begin(actor=SYSTEM, description=text, areas=("*",), base=self.current, origin="folder", source="")
        staged = self.staging(number)
        copy_model(folder, staged)
        stations = ["*"] if self.current else []  # whatever it changes: only an engineer of all areas takes it back
        return self.take(number, staged, {"checked_on": self.current, "stations": stations}, {})

    def mend(self) -> list[Entry]:
        """Bring what a crash interrupted to an end: call it at the start, before anything is applied.

        Returns:
            The entries added: applying that ended with the process has failed, the folder half taken at a start is given up.
        """
        added = []
        for version in list(self.versions.values()):
            if version.state is State.APPLYING:
                added.append(self.note(Step.FAILED, version.number, text="the server ended while it was applied"))
            elif version.maker == SYSTEM and version.open:
                added.append(self.note(Step.WITHDRAWN, version.number, text="the server ended while it took the folder"))
        return added

    def check_files(self, number: int) -> None:
        """See that the files of a version are what they were when it was taken.

        Raises:
            CorruptFileError: a file was changed, removed or added; the message names it.
        """
        check_hashes(self.path(number), self.version(number).files, number)

    def prune(self, keep: int) -> list[int]:
        """Remove files and reports of the oldest beyond ``keep`` versions that ran, and beyond as many that never did.

        Never of the current one, the one before it, an open one and what it comes from. Entries and differences of what ran stay.

        Returns:
            Numbers of those removed.
        """
        there = [version for version in self.versions.values() if version.kept and (version.digest or version.reports)]
        waiting = [version for version in self.versions.values() if version.open]
        held = {self.current, self.previous, *(one.base for one in waiting), *(one.checked_on for one in waiting)}
        held |= {int(one.source) for one in waiting if one.origin == "version"}
        removed = []
        for ran in (True, False):
            kept = [version for version in there if (version.applied_ns > 0) is ran and not version.open]
            spare = [version for version in kept if version.number not in held]
            for version in spare[: max(0, len(kept) - keep)]:
                self.note(Step.PRUNED, version.number)
                remove_folder(self._places / version.folder_name)
                removed.append(version.number)
        return removed

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def _sweep(self) -> None:
        """Remove what a crash left half-done: folders no entry names, uploads nobody waits for."""
        named = {version.folder_name for version in self.versions.values() if version.digest and version.kept}
        for place in self._places.iterdir():
            if place.name not in named:
                shutil.rmtree(place, ignore_errors=True)
        self.forget_uploads(0)
        for part in self.uploads.glob(".part-*"):
            part.unlink(missing_ok=True)

    def forget_uploads(self, keep: int) -> None:
        """Remove the oldest uploads that no version waits for, beyond ``keep``."""
        waited = {version.source for version in self.versions.values() if version.state is State.CHECKING}
        spare = [path for path in self.uploads.iterdir() if path.name not in waited and not path.name.startswith(".part-")]
        spare.sort(key=_age)
        for upload in spare[: max(0, len(spare) - keep)]:
            upload.unlink(missing_ok=True)


def _age(path: Path) -> int:
    """When a file was written; 0 for one that went meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def read_store(folder: Path) -> tuple[History, list[Entry]]:
    """The log of a store beside its writer, or alone.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    view = LmdbView(folder, NAME, layout=LAYOUT, databases=_TABLES)
    try:
        with view.read() as txn:
            entries = _read(txn, str(view.path))
    finally:
        view.close()
    return folded(entries), entries


def current_folder(folder: Path, path: Path) -> Path:
    """Folder of the version a server runs, for processes beside it; ``path`` while there is no store.

    Args:
        folder: ``[model] versions``.
        path: ``[model] path``.

    Raises:
        StoreError: the store cannot be read.
    """
    if not (folder / f"{NAME}.lmdb").exists():
        return path
    history, _ = read_store(folder)
    return folder / "files" / history.versions[history.current].folder_name if history.current else path


def _read(txn: Transaction, where: str) -> list[Entry]:
    blobs = [bytes(blob) for _, blob in txn.ascending(_LOG)]
    try:
        entries = decode_entries(blobs, where)
        history = folded(entries)
    except ValueError as error:
        raise CorruptFileError(f"the version log makes no sense: {error}", where=where, mend=MEND) from error
    head = entry_digest(blobs[-1]) if blobs else GENESIS
    if _head_of(txn) != head or int.from_bytes(txn.get(_META, _CURRENT) or b"", "big") != history.current:
        raise CorruptFileError("the end of the version log is missing or was changed", where=where, mend=MEND)
    return entries


def _reports(history: History, number: int = 0) -> set[str]:
    """SHA-256 of the reports kept with the versions, or with one of them."""
    wanted = [history.versions[number]] if number in history.versions else history.versions.values() if not number else ()
    return {digest for version in wanted for digest in version.reports.values()}


def _head_of(txn: Transaction) -> bytes:
    return bytes(txn.get(_META, _HEAD) or GENESIS)


__all__ = ["LAYOUT", "NAME", "SYSTEM", "State", "Step", "StoreError", "Version", "VersionStore", "current_folder", "read_store"]
