"""Files of a model version: which belong to it, their digests, copying them durably, packing them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import lzma
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from scada.core.errors import ModelError
from scada.rtdb.lmdb_file import CorruptFileError, StoreFullError
from scada.rtdb.mapped import sync_path

WAIVERS: Final = "waivers.toml"
DRAWINGS: Final = "diagrams"
_MAKING: Final = "make a zip of the model folder: *.xml, templates/*.toml, waivers.toml, diagrams/"
_BLOCK: Final = 1 << 20
MOST_FILES: Final = 20_000


def belongs(name: str) -> bool:
    """True if a file of a model folder is part of the version: CIM XML, templates, waivers, drawings.

    >>> [name for name in ("EQ.xml", "templates/bay.toml", "diagrams/A.svg", "sim.toml", "old/EQ.xml") if belongs(name)]
    ['EQ.xml', 'templates/bay.toml', 'diagrams/A.svg']
    """
    path = PurePosixPath(name)
    match path.parts:
        case [only]:
            return path.suffix.lower() in {".xml", ".zip"} or only == WAIVERS
        case ["templates", _]:
            return path.suffix == ".toml"
        case [first, _]:
            return first == DRAWINGS and path.suffix in {".svg", ".json"}
        case _:
            return False


def digest_of(files: Mapping[str, str]) -> str:
    """Digest of a version: SHA-256 over the lines that ``sha256sum`` prints for its files, by name; drawings do not count.

    Drawings follow from the model, and drawing it again must not make another version of it.
    """
    lines = (f"{files[name]}  {name}\n" for name in sorted(files) if not name.startswith(f"{DRAWINGS}/"))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def files_of(folder: Path) -> dict[str, Path]:
    """Files of a model folder that belong to a version, by name. A single XML file or zip is one too."""
    if folder.is_file():
        return {folder.name: folder}
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in found}
    return {name: path for name, path in named.items() if belongs(name)}


def hashes_of(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a model folder by name.

    Raises:
        ModelError: there is no such folder, or a file cannot be read.
    """
    try:
        found = files_of(folder)
        if not found:
            raise ModelError("no model here", where=str(folder), mend="give a folder with *.xml files")
        return {name: _hash(path) for name, path in found.items()}
    except OSError as error:
        raise ModelError(f"a file of the model cannot be read: {error}", where=str(folder), mend="check the folder") from error


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hashes(folder: Path, files: Mapping[str, str], number: int) -> None:
    """See that the files of a version are what they were when it was taken.

    Args:
        folder: where they are.
        files: SHA-256 of each by its name.
        number: of the version.

    Raises:
        CorruptFileError: a file was changed, removed or added; the message names it.
    """
    found = hashes_of(folder) if folder.is_dir() and files_of(folder) else {}
    wrong = sorted({*files.items()} ^ {*found.items()})
    if wrong:
        mend = "restore it from a backup; if it is the current one, moving the store away takes [model] path as version 1"
        raise CorruptFileError(f"version {number} was changed: {wrong[0][0]}", where=str(folder), mend=mend)


def copy_model(source: Path, target: Path) -> None:
    """Copy the files of a model folder into a new folder, and make them survive a loss of power.

    Raises:
        StoreFullError: the disk is full; nothing is left behind.
        ModelError: there is no model, or a file cannot be copied; nothing is left behind.
    """
    found = files_of(source)
    if not found:
        raise ModelError("no model here", where=str(source), mend="give a folder with *.xml files")
    try:
        target.mkdir(parents=True)
        for name, path in found.items():
            place = target / name
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, place)
        sync_folder(target)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise explained(error, target) from error


def sync_folder(folder: Path) -> None:
    """Make every file and name below a folder, and its own name, survive a loss of power."""
    for path in sorted(folder.rglob("*")):
        sync_path(path)
    sync_path(folder)
    sync_path(folder.parent)


def explained(error: OSError, where: Path) -> StoreFullError | ModelError:
    """Our error for a file of a version that cannot be written."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return StoreFullError("no space left to write a model version", where=str(where), mend="free disk space")
    return ModelError(
        f"cannot write a model version: {error.strerror}", where=str(where), mend="check owner and mode of the folder"
    )


def pack_model(folder: Path) -> bytes:
    """The files of a model folder as a zip; the same files give the same bytes."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, path in files_of(folder).items():
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as member, path.open("rb") as file:
                shutil.copyfileobj(file, member, _BLOCK)
    return whole.getvalue()


def unpack_model(archive: Path, target: Path, most_bytes: int) -> None:
    """Unpack the zip of a model folder into a new folder, and make the files survive a loss of power.

    One folder around all files is taken off. What does not belong to a version (simulator files ...) is left out.

    Args:
        archive: the zip.
        target: made; must not exist.
        most_bytes: size of all files together.

    Raises:
        ModelError: not a zip, too large, names that leave the folder or stand in it twice, no model in it.
        StoreFullError: the disk is full.
    """
    try:
        target.mkdir(parents=True)
        with _readable(archive):
            opened = zipfile.ZipFile(archive)
        with opened:
            with _readable(archive):
                members = _members(opened, archive)
            left = most_bytes
            for name, info in members.items():
                place = target / name
                place.parent.mkdir(exist_ok=True)
                with place.open("xb") as file:
                    for block in _blocks(opened, info, left, archive):
                        file.write(block)
                        left -= len(block)
        sync_folder(target)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise explained(error, target) from error
    except ModelError:
        shutil.rmtree(target, ignore_errors=True)
        raise


@contextlib.contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Whatever reading a zip may raise is a fault of the zip."""
    faults = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, ValueError, IndexError)
    try:
        yield
    except faults as error:
        raise ModelError(f"not a readable zip file: {error}", where=archive.name, mend=_MAKING) from error


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MOST_FILES:
        raise ModelError(f"the zip has {len(infos)} files, more than {MOST_FILES}", where=path.name, mend=_MAKING)
    named = [(PurePosixPath(info.filename), info) for info in infos]
    for full, info in named:
        linked = stat.S_ISLNK(info.external_attr >> 16)
        if not full.parts or ".." in full.parts or full.is_absolute() or "\\" in info.filename or linked:
            raise ModelError(f"the zip has a name that leaves the folder: {info.filename[:80]!r}", where=path.name, mend=_MAKING)
    inner = len({full.parts[0] for full, _ in named}) == 1 and all(len(full.parts) > 1 for full, _ in named)
    found: dict[str, zipfile.ZipInfo] = {}
    for full, info in named:
        name = PurePosixPath(*full.parts[inner:]).as_posix()
        if not belongs(name):
            continue
        if name in found:
            raise ModelError(f"the zip has {name!r} twice", where=path.name, mend=_MAKING)
        found[name] = info
    if not any(name.lower().endswith((".xml", ".zip")) for name in found):
        raise ModelError("the zip has no CIM XML file", where=path.name, mend=_MAKING)
    return found


def _blocks(opened: zipfile.ZipFile, info: zipfile.ZipInfo, most: int, path: Path) -> Iterator[bytes]:
    """The content of a file in a zip."""
    with _readable(path):
        packed = opened.open(info)
    with packed:
        while True:
            with _readable(path):
                block = packed.read(_BLOCK)
            if not block:
                return
            most -= len(block)
            if most < 0:
                raise ModelError("the model is larger than [model] upload_mb allows", where=path.name, mend="raise it")
            yield block


def remove_folder(folder: Path) -> None:
    """Remove the files of a version; what is in the way is left for the next time."""
    aside = folder.with_name(f".old-{folder.name}")
    try:
        folder.rename(aside)
    except OSError:
        return
    shutil.rmtree(aside, ignore_errors=True)
