"""What the worker process of the model is asked, and how it answers: jobs, and frames on a pipe.

A frame is ``u32le size | kind | body``; kinds are those of :class:`Kind`. Both ends are our own program.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

from scada.core.errors import ScadaError
from scada.rtdb.changes import Snapshot

_HEAD: Final = 5


class Kind(StrEnum):
    """What a frame is."""

    PROGRESS = "P"
    """(share done, what is being done)."""
    RESULT = "R"
    """A :class:`CheckResult`."""
    CHUNK = "C"
    """A piece of a packed model, see :mod:`scada.actors.model_handover`."""
    REFUSED = "E"
    """One sentence: the job cannot be done, and why."""


@dataclass(frozen=True, slots=True)
class CheckJob:
    """Gather the files of a proposed version, and find everything that can be said of it.

    Attributes:
        number: of the version.
        origin: ``upload``, ``difference`` or ``version``.
        source: the uploaded file, or the folder of the version taken.
        base: folder of the version the work started from.
        running: folder of the version that runs.
        staging: folder to make.
        numbers: folder with the kept numbers.
        drivers: drivers of one's own, by protocol.
        most_bytes: largest model.
        snapshot: present values of all points; None = the shadow run takes the positions and powers of the files.
        alarmed: pids of points with an alarm standing.
        now_ns: ns UTC; waivers end, and the report of the shadow run is dated.
        draw: draw the diagrams that the version changes.
    """

    number: int
    origin: str
    source: Path
    base: Path
    running: Path
    staging: Path
    numbers: Path
    drivers: Mapping[str, str] = field(default_factory=dict)
    most_bytes: int = 1 << 30
    snapshot: Snapshot | None = None
    alarmed: tuple[int, ...] = ()
    now_ns: int = 0
    draw: bool = False


@dataclass(frozen=True, slots=True)
class BuildJob:
    """Build a version to be run.

    Attributes:
        number: of the version.
        folder: its files.
        numbers: folder with the kept numbers.
        drivers: drivers of one's own, by protocol.
        files: SHA-256 that each file must have, by name; empty = they are not compared.
    """

    number: int
    folder: Path
    numbers: Path
    drivers: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was found.

    Attributes:
        refused: why the files cannot be a version; empty if they can.
        facts: what the log keeps of it, see :class:`scada.model_cim.version_log.Version`.
        reports: findings, difference, effects and shadow, as they are kept.
        text: all of it in one sentence.
    """

    refused: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    reports: Mapping[str, bytes] = field(default_factory=dict)
    text: str = ""


Job = CheckJob | BuildJob


class WorkError(ScadaError):
    """The worker process ended without an answer."""


def write_frame(out: BinaryIO, kind: Kind, body: bytes) -> None:
    """Send one frame."""
    out.write(len(body).to_bytes(4, "little") + kind.value.encode() + body)
    out.flush()


def write_object(out: BinaryIO, kind: Kind, value: Any) -> None:
    """Send one frame with a value."""
    write_frame(out, kind, pickle.dumps(value, protocol=5))


def read_frames(source: IO[bytes]) -> Iterator[tuple[Kind, bytes]]:
    """Frames up to the end of the pipe; one that is cut off is left out."""
    while len(head := source.read(_HEAD)) == _HEAD:
        size = int.from_bytes(head[:4], "little")
        body = source.read(size)
        if len(body) < size:
            return
        yield Kind(head[4:].decode()), body
