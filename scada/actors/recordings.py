"""Recordings between the wire and the disk: the buffer in front of the recorder, and the files behind it."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import NS_PER_S
from scada.protocols.recording import channel_of

BUFFER_OCTETS: Final = 8 << 20
"""What one channel may be ahead of the disk."""
_ENTRY_OCTETS: Final = 200
"""What one read or write takes up beside its octets."""
SUFFIX: Final = ".pcapng"
_UNFIT: Final = re.compile(r"[^\w.-]+")
"""What a file's name does not hold."""

_NAME_OCTETS: Final = 180
"""What a file's name shows of the channel's: with the rest of it, no file system refuses it."""
_OURS: Final = re.compile(r"-(\d{8}T\d{6}Z)(-\d+)?\.pcapng$")
_STAMP: Final = re.compile(r"-(\d{8}T\d{6}Z)(-\d+)?\.\w+$")

_Entry = tuple[str, bool, int, bytes, int]
"""Link, received, ns UTC, octets, octets that were left out instead."""


class RecordingBuffer:
    """Octets of one channel between the wire and the recorder.

    Args:
        most: octets it holds.
    """

    def __init__(self, most: int = BUFFER_OCTETS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._entries: deque[_Entry] = deque()
        self._octets = 0
        self._missing: dict[tuple[str, bool], int] = {}
        self.missed = 0
        """Octets left out since the beginning."""

    def put(self, link: str, received: bool, time_ns: int, data: bytes) -> None:
        """Take octets from the wire; never waits."""
        with self._lock:
            if data and self._octets + len(data) + _ENTRY_OCTETS > self._most:
                self._missing[link, received] = self._missing.get((link, received), 0) + len(data)
                self.missed += len(data)
                return
            if self._missing:
                self._entries.extend((name, way, time_ns, b"", octets) for (name, way), octets in self._missing.items())
                self._missing.clear()
            self._entries.append((link, received, time_ns, data, 0))
            self._octets += len(data) + _ENTRY_OCTETS

    def take(self) -> Sequence[_Entry]:
        """Everything that waits."""
        with self._lock:
            entries, self._entries, self._octets = self._entries, deque(), 0
        return entries


def file_stem(channel: str, time_ns: int) -> str:
    """Beginning of the name of a recording that begins now.

    >>> file_stem("West/RTU 1", 0)
    'West-RTU-1-19700101T000000Z'
    """
    return f"{safe_name(channel)}-{datetime.fromtimestamp(time_ns // NS_PER_S, UTC):%Y%m%dT%H%M%SZ}"


def safe_name(name: str) -> str:
    """A name as any file system takes it."""
    return (_UNFIT.sub("-", name).strip(".-") or "channel").encode()[:_NAME_OCTETS].decode(errors="ignore")


def recordings_in(folder: Path, running: Collection[str]) -> pb.RecordingList:
    """The recordings of a folder, newest first.

    Args:
        folder: where they are; it may not exist yet.
        running: names of those that are being written.
    """
    found: list[pb.RecordingInfo] = []
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            status = path.stat()
            with path.open("rb") as file:
                head = file.read(4096)
        except OSError:  # it gave way meanwhile
            continue
        channel = channel_of(head)
        found.append(
            pb.RecordingInfo(
                name=path.name,
                channel=channel,
                from_ns=begun_at(path.name),
                to_ns=status.st_mtime_ns,
                bytes=status.st_size,
                running=path.name in running,
            )
        )
    found.sort(key=lambda each: (each.from_ns, each.name), reverse=True)
    return pb.RecordingList(recordings=found)


def is_ours(path: Path) -> bool:
    """The recorder gave the file its name; what a person renamed or brought is theirs."""
    return _OURS.search(path.name) is not None


def begun_at(name: str) -> int:
    """Time in a recording's name, ns UTC; 0 = somebody else named it."""
    found = _STAMP.search(name)
    try:
        return (
            0 if found is None else int(datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()) * NS_PER_S
        )
    except ValueError:
        return 0
