"""Recordings of cycles on disk: one file an hour and controller, within a room and a time."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final

import structlog

from scada.actors.recordings import begun_at, file_stem, safe_name
from scada.apps.agc_avc.recording import CycleReader, CycleWriter, RecordedCycle, RunHeader, packed_state, unpacked_state
from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import StoreError
from scada.core.settings import CycleSettings

SUFFIX: Final = ".cycles"
_HOUR_NS: Final = 3600 * NS_PER_S
_CHUNK: Final = 1 << 16
_OURS: Final = re.compile(r"-\d{8}T\d{6}Z(-\d+)?\.cycles$")

_UNWRITABLE: Final = (OSError, TypeError, ValueError, OverflowError)
"""The disk refuses, or something cannot be packed."""

_log = structlog.get_logger("cycles")


@dataclass(frozen=True, slots=True)
class RunFile:
    """A recording on disk."""

    path: Path
    application: str
    name: str
    """Control area; empty for AVC."""
    begun_ns: int
    octets: int


class CycleFile:
    """The recording of one controller, file after file.

    What cannot be written is said once and left out until the next file: regulation does not depend on its recording.

    Args:
        settings: folder, room and time.
        clock: stamps.
        header: makes the header of a file that begins now, from the state of the controller.
        name: of the controller, for the files.
        failed: told in one sentence what is not recorded.
    """

    def __init__(
        self,
        settings: CycleSettings,
        clock: Clock,
        header: Callable[[], RunHeader],
        name: str,
        failed: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._header = header
        self._name = name
        self._failed = failed
        self._file: FileIO | None = None
        self._writer: CycleWriter | None = None
        self._hour = -1
        self.begin()

    def begin(self) -> None:
        """Begin a new file with the present state of the controller."""
        self.close()
        now = self._clock.now_ns()
        self._hour = now // _HOUR_NS
        if self._settings.record:
            self._try(lambda: self._open(now))

    def put(self, cycle: RecordedCycle) -> None:
        """Append a cycle; at the end of an hour the next file begins."""
        writer = self._writer
        if writer is not None:
            self._try(lambda: writer.cycle(cycle))
        if cycle.now_ns // _HOUR_NS != self._hour:
            self.begin()

    def close(self) -> None:
        """End the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._try(writer.close)
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, now: int) -> None:
        folder = self._settings.path
        folder.mkdir(parents=True, exist_ok=True)
        make_room(folder, self._settings, now)
        stem = file_stem(self._name, now)
        path, copy = folder / f"{stem}{SUFFIX}", 1
        while path.exists():
            path, copy = folder / f"{stem}-{copy}{SUFFIX}", copy + 1
        self._file = file = _create(path)
        self._writer = CycleWriter(self._header(), lambda octets: _write_whole(file, octets))

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except _UNWRITABLE as error:
            self._writer = None
            _log.error("cycles are not recorded", controller=self._name, cause=str(error))
            self._failed(f"cycles of {self._name} are not recorded: {error}")


class KeptState:
    """The newest state of a controller on disk, for the next life: accounts and locks outlive a restart.

    The one before is kept too. Nobody waits for the disk, so a power cut may leave the newest empty.

    Args:
        folder: where it is kept.
        name: of the controller.
    """

    def __init__(self, folder: Path, name: str) -> None:
        # two names that a file system takes for one must not take each other's accounts
        alike = "" if safe_name(name) == name else f"-{zlib.crc32(name.encode()):08x}"
        self._path = folder / f"{safe_name(name)}{alike}.state"
        self._before = self._path.with_suffix(".before")

    def read(self, failed: Callable[[str], None]) -> dict[str, Any] | None:
        """What was kept last; None if there is nothing that can be read.

        Args:
            failed: told what could not be read.
        """
        for path in (self._path, self._before):
            try:
                return unpacked_state(path.read_bytes())
            except FileNotFoundError:
                continue
            except (OSError, StoreError) as error:
                _log.error("a kept state cannot be read", file=str(path), cause=str(error))
                failed(f"what was kept for the next life in {path.name} cannot be read: {error}")
        return None

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace it as a whole; what cannot be written is logged."""
        aside = self._path.with_suffix(".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(packed_state(state))
            if self._path.exists():
                self._path.replace(self._before)
            aside.replace(self._path)
        except _UNWRITABLE as error:
            _log.error("the state cannot be kept", file=str(self._path), cause=str(error))


def make_room(folder: Path, settings: CycleSettings, now_ns: int) -> None:
    """Delete the oldest of our recordings that are beyond the time or the room; one that cannot be deleted is passed over."""
    ours = sorted((path for path in folder.glob(f"*{SUFFIX}") if _OURS.search(path.name)), key=lambda path: begun_at(path.name))
    sizes = {path: _octets(path) for path in ours}
    total, oldest = sum(sizes.values()), now_ns - int(settings.keep_days * 86_400) * NS_PER_S
    for path in ours:
        if total <= settings.keep_mb * (1 << 20) and begun_at(path.name) >= oldest:
            break
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("an old recording cannot be deleted", file=path.name, cause=str(error))
        else:
            total -= sizes[path]


def runs_in(folder: Path) -> list[RunFile]:
    """Recordings of a folder, oldest first; what cannot be read is left out."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            header, size = read_run(path).header, path.stat().st_size
        except (OSError, StoreError):
            continue
        found.append(RunFile(path, header.application, header.name, header.started_ns, size))
    return sorted(found, key=lambda run: (run.begun_ns, run.path.name))


def read_run(path: Path) -> CycleReader:
    """Open a recording.

    Raises:
        StoreError: it is none, or cannot be read.
    """
    return CycleReader(_chunks(path), where=path.name)


def cycles_between(runs: Sequence[RunFile], from_ns: int, to_ns: int) -> Iterator[tuple[RunHeader, Iterator[RecordedCycle]]]:
    """Recordings of one controller that reach into a time, each from its beginning to the end of the time.

    Args:
        runs: of :func:`runs_in`, of one controller, oldest first.
        from_ns: the first file is the last that began before; its earlier cycles bring the controller to its state then.
        to_ns: end.
    """
    for run, following in zip(runs, [*runs[1:], None], strict=True):
        if run.begun_ns >= to_ns or (following is not None and following.begun_ns <= from_ns):
            continue
        reader = read_run(run.path)
        yield reader.header, (cycle for cycle in reader.cycles() if cycle.now_ns < to_ns)


def _octets(path: Path) -> int:
    """Room that a file takes; one that went meanwhile takes none."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _create(path: Path) -> FileIO:
    """A file that nobody else writes."""
    return path.open("xb", buffering=0)


def _write_whole(file: FileIO, octets: bytes) -> None:
    """Write all of it: a disk that is nearly full takes a part and does not say so."""
    rest = memoryview(octets)
    while rest:
        rest = rest[file.write(rest) :]


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise StoreError(f"the recording cannot be read: {error}", where=str(path)) from error
