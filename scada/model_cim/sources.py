"""Where the files of a model are: in a folder, in a zip, in zips within a zip, or one file.

Nothing is ever unpacked to a place that a member names.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

from scada.core.errors import ModelError
from scada.model_cim.findings import Finding, Severity

MAX_BYTES = 4 << 30
MAX_MEMBERS = 10_000
MAX_DIRECTORY = 16 << 20
"""Octets of a zip's list of members: read into memory at once."""
MAX_RATIO = 300
"""Deflate packs CIM XML 15 to 50 times."""
MAX_NESTED = 1 << 30
MAX_SMALL = 1 << 20
"""Octets of a template and of the waivers: read into memory at once."""
SUSPECT = 64 << 20
"""Octets from which on the ratio counts; small files may be all blanks."""
_CHUNK = 1 << 18
_END_OF_DIRECTORY = b"PK\x05\x06"
UNREADABLE = (OSError, zlib.error, zipfile.BadZipFile, EOFError, ValueError, RuntimeError, NotImplementedError, struct.error)
"""What unpacking a damaged or encrypted member may raise."""

Source = tuple[str, IO[bytes]]


class BombError(ValueError):
    """A member that unpacks to far more than it should."""


class Member:
    """A member of a zip, read with an eye on how large it becomes."""

    def __init__(self, stream: IO[bytes], packed: int) -> None:
        self._stream = stream
        self._packed = max(packed, 1)
        self._read = 0

    def read(self, size: int = _CHUNK) -> bytes:
        """The next octets.

        Raises:
            BombError: they became too many.
        """
        data = self._stream.read(size)
        self._read += len(data)
        if self._read > SUSPECT and self._read > MAX_RATIO * self._packed:
            raise BombError(f"unpacks to more than {MAX_RATIO} times its size")
        return data

    def close(self) -> None:
        """Close it."""
        self._stream.close()


def sources(path: Path, findings: list[Finding]) -> Iterator[tuple[str, Member | IO[bytes]]]:
    """Label and stream of every XML file, sorted by name; those of a folder are its own files, not those of folders in it.

    Raises:
        ModelError: no such path, or a zip that is none.
    """
    if path.is_dir():
        for child in sorted(path.iterdir()):
            if child.suffix.lower() == ".xml" and child.is_file():
                yield shown_name(child), child.open("rb")
            elif child.suffix.lower() == ".zip" and child.is_file():
                yield from _zip_file(child, findings)
        return
    if not path.is_file():
        raise ModelError("no such model folder or file", where=shown_name(path), mend="check the path")
    if _is_zip(path):
        yield from _zip_file(path, findings)
    else:
        yield shown_name(path), path.open("rb")


def template_files(path: Path, findings: list[Finding]) -> Iterator[tuple[str, bytes]]:
    """Label and content of every device template: ``templates/*.toml`` beside the XML files or in the zip.

    One that cannot be read is a fatal finding.
    """
    if path.is_dir():
        for file in sorted((path / "templates").glob("*.toml")):
            if not file.is_dir():
                yield from _template(shown_name(file), partial(file.open, "rb"), findings)
    elif _is_zip(path):
        with zipfile.ZipFile(path) as archive:
            for member in sorted(set(archive.namelist())):
                if Path(member).parent.name == "templates" and member.endswith(".toml"):
                    yield from _template(f"{shown_name(path)}!{member}", partial(archive.open, member), findings)


def _template(label: str, opened: Callable[[], IO[Any]], findings: list[Finding]) -> Iterator[tuple[str, bytes]]:
    try:
        with opened() as stream:
            data = read_small(stream)
    except UNREADABLE as error:
        text = f"cannot be read to its end: {error}"
        findings.append(Finding(label, 0, Severity.FATAL, "file.unreadable", text, hint="fetch the file again"))
    else:
        yield label, data


def read_small(stream: IO[bytes]) -> bytes:
    """All of a file that must be small.

    Raises:
        ValueError: it is not.
    """
    data = stream.read(MAX_SMALL + 1)
    if len(data) > MAX_SMALL:
        raise ValueError(f"larger than {MAX_SMALL >> 10} KiB")
    return data


def shown_name(path: Path) -> str:
    """A path as text that can be written anywhere: octets of a name that are no UTF-8 as U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def _is_zip(path: Path) -> bool:
    """By its name, or by how it starts."""
    if path.suffix.lower() in (".zip", ".xml"):
        return path.suffix.lower() == ".zip"
    with path.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def _zip_file(path: Path, findings: list[Finding]) -> Iterator[tuple[str, Member]]:
    try:
        with path.open("rb") as stream:
            yield from _members(stream, shown_name(path), findings, nested=False)
    except UNREADABLE as error:
        raise ModelError(f"not a readable zip file: {error}", where=shown_name(path), mend="pack the XML files again") from error


def _members(stream: IO[bytes], label: str, findings: list[Finding], *, nested: bool) -> Iterator[tuple[str, Member]]:
    _check_directory(stream)
    with zipfile.ZipFile(stream) as archive:
        members = sorted((one for one in archive.infolist() if not one.is_dir()), key=lambda one: one.filename)
        if len(members) > MAX_MEMBERS:
            raise zipfile.BadZipFile(f"more than {MAX_MEMBERS} members")
        seen = set[str]()
        for one in members:
            name, place = one.filename, f"{label}!{one.filename}"
            end = name.lower().rpartition(".")[2]
            if end not in ("xml", "zip"):
                continue
            if name in seen:
                text = "is in the zip twice; only the last one can be read"
                findings.append(Finding(place, 0, Severity.ERROR, "zip.member", text, hint="pack the XML files again"))
                continue
            seen.add(name)
            if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
                text = "has a name that leads out of the archive; it is read, and would be written under its last part"
                findings.append(Finding(place, 0, Severity.WARNING, "zip.name", text, hint="pack the XML files again"))
            try:
                member = Member(archive.open(one), one.compress_size)
                if end == "xml":
                    yield place, member
                elif nested:
                    findings.append(Finding(place, 0, Severity.FATAL, "zip.nested", "a zip in a zip in a zip is not read"))
                else:
                    yield from _nested(member, place, findings)
            except UNREADABLE as error:
                findings.append(Finding(place, 0, Severity.FATAL, "zip.member", f"cannot be unpacked: {error}"))


def _nested(member: Member, label: str, findings: list[Finding]) -> Iterator[tuple[str, Member]]:
    """A zip in a zip, as ENTSO-E ships profiles."""
    with tempfile.SpooledTemporaryFile(max_size=SUSPECT) as copy:
        while data := member.read():
            copy.write(data)
            if copy.tell() > MAX_NESTED:
                raise BombError(f"more than {MAX_NESTED >> 30} GiB")
        copy.seek(0)
        yield from _members(copy, label, findings, nested=True)


def _check_directory(stream: IO[bytes]) -> None:
    """Refuse a list of members that is too long before it is read."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - (1 << 16) - 22))
    tail = stream.read()
    place = tail.rfind(_END_OF_DIRECTORY)
    if 0 <= place <= len(tail) - 22 and struct.unpack_from("<L", tail, place + 12)[0] > MAX_DIRECTORY:
        raise zipfile.BadZipFile("the list of its members is too long")
    stream.seek(0)
