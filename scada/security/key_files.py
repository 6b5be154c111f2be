"""The files of a folder of identities: their names, how they are read, and how they are written so that a crash leaves no half.

====================  ==========================================================================
``ca.cert.pem``       the root
``NAME.ca.pem``       a subordinate authority, or a further root while roots are being exchanged
``ca.crl.pem``        revocation list of the root; ``NAME.crl.pem`` that of a subordinate authority
``NAME.cert.pem``     certificate of an identity
``NAME.key.pem``      private key of an identity or authority, mode 0600
``NAME.signer.toml``  what signs for an identity instead of a key file, see ``signers``
``issued/``           every certificate that an authority of this folder issued, by serial number
====================  ==========================================================================
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scada.core.errors import SecurityError
from scada.security.certificates import Certificate, check_authority, parse_certificate_pem
from scada.security.passwords import unlocking
from scada.security.sm2 import Sm2Key

PASSWORD_VARIABLE: Final = "SCADA_KEY_PASSWORD"  # noqa: S105 - the variable's name
AUTHORITY: Final = "ca"
"""Name of the root's files."""

AUTHORITY_SUFFIX: Final = ".ca.pem"
CERTIFICATE_SUFFIX: Final = ".cert.pem"
KEY_SUFFIX: Final = ".key.pem"
LIST_SUFFIX: Final = ".crl.pem"
ISSUED: Final = "issued"
"""Folder of every certificate that was issued."""


_TAKEN: Final = frozenset({AUTHORITY, "secrets", "secrets-next"})
"""Names of other keys of the folder."""

Stamp = tuple[int, int, int, int]
"""What tells that a file is another: times of its content and of its entry, size, inode."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_name(name: str) -> None:
    """Assert that an identity's or authority's name can be a file's.

    Raises:
        SecurityError: it cannot.
    """
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise SecurityError(
            f"{name!r} cannot be an identity's name",
            mend=f"1 to 64 letters, digits, dots, dashes, underscores; not {', '.join(sorted(_TAKEN))}",
        )


def key_path(folder: Path, name: str) -> Path:
    """Where a private key lies."""
    return folder / f"{name}{KEY_SUFFIX}"


def certificate_path(folder: Path, name: str) -> Path:
    """Where the certificate of an identity, or of the root, lies."""
    return folder / f"{name}{CERTIFICATE_SUFFIX}"


def authority_path(folder: Path, name: str) -> Path:
    """Where the certificate of an authority lies."""
    return certificate_path(folder, AUTHORITY) if name == AUTHORITY else folder / f"{name}{AUTHORITY_SUFFIX}"


def list_path(folder: Path, name: str) -> Path:
    """Where the revocation list of an authority lies."""
    return folder / f"{name}{LIST_SUFFIX}"


def authority_names(folder: Path) -> Iterator[str]:
    """Names of the authorities of a folder, the root first."""
    yield AUTHORITY
    yield from sorted(path.name.removesuffix(AUTHORITY_SUFFIX) for path in folder.glob(f"*{AUTHORITY_SUFFIX}"))


def load_certificate(path: Path) -> Certificate:
    """A certificate, not proven.

    Raises:
        SecurityError: missing or corrupt.
    """
    try:
        return parse_certificate_pem(read(path))
    except SecurityError as error:
        raise SecurityError(error.what, where=error.where or str(path), mend=error.mend) from error


def load_authority(folder: Path) -> Certificate:
    """The root certificate that a folder trusts.

    Raises:
        SecurityError: missing, corrupt, writable by others or not a root.
    """
    authority = load_certificate(trusted(certificate_path(folder, AUTHORITY)))
    check_authority(authority)
    return authority


def load_key(folder: Path, name: str, password: bytes | None) -> Sm2Key:
    """A private key; ``password`` None takes the environment's ``SCADA_KEY_PASSWORD`` if set.

    Raises:
        SecurityError: missing, readable by others or corrupt; the password is missing or wrong.
    """
    return load_key_file(key_path(folder, name), password)


def load_key_file(path: Path, password: bytes | None) -> Sm2Key:
    """A private key by its path, as :func:`load_key`.

    Raises:
        SecurityError: missing, readable by others or corrupt; the password is missing or wrong.
    """
    pem = read_secret(path)
    if password is None and (given := os.environ.get(PASSWORD_VARIABLE)):
        password = given.encode()
    try:
        return Sm2Key.load_private(*unlocking(pem, password))
    except SecurityError as error:
        raise SecurityError(error.what, where=str(path), mend=error.mend) from error


def load_or_make_key(folder: Path, name: str, password: bytes | None) -> Sm2Key:
    """A private key that is there, or a new one, encrypted if a password is given.

    Raises:
        SecurityError: what is there cannot be used.
        OSError: the folder cannot be written.
    """
    if key_path(folder, name).exists():
        return load_key(folder, name, password)
    key = Sm2Key.generate()
    write_new(key_path(folder, name), key.private_pem(password), 0o600)
    return key


def trusted(path: Path) -> Path:
    """Assert that nobody else may write a file that decides whom we trust; a missing one passes.

    Raises:
        SecurityError: others may write it.
    """
    if path.exists() and path.stat().st_mode & _OTHERS_WRITE:
        raise SecurityError("others may write what decides whom we trust", where=str(path), mend=f"chmod go-w {path}")
    return path


def read_secret(path: Path) -> bytes:
    """A file that its owner only may read.

    Raises:
        SecurityError: missing or readable by others.
    """
    data = read(path)
    if path.stat().st_mode & _OTHERS:
        raise SecurityError("others may read the private key", where=str(path), mend=f"chmod 600 {path}")
    return data


def read(path: Path) -> bytes:
    """A file.

    Raises:
        SecurityError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise SecurityError(f"cannot read: {error.strerror}", where=str(path), mend=_mend(path, error)) from error


def _mend(path: Path, error: OSError) -> str:
    if not isinstance(error, FileNotFoundError):
        return ""
    if certificate_path(path.parent, AUTHORITY).exists():
        return f"`scada keys show {path.parent}` lists who is there"
    return f"make identities with `scada keys init {path.parent}`"


def stamp(path: Path) -> Stamp:
    """Of a file as it is now; zeros if there is none."""
    try:
        return stamp_of(path.stat())
    except OSError:
        return 0, 0, 0, 0


def stamp_of(told: os.stat_result) -> Stamp:
    """Of a file that was looked at."""
    return told.st_mtime_ns, told.st_ctime_ns, told.st_size, told.st_ino


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Create a file that must not exist, with its final mode from the start.

    Raises:
        OSError: it exists or cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put a file in place in one step; it stays with the owner of the one before: root renews what the server's user reads.

    Raises:
        OSError: it cannot be written.
    """
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    write_new(aside, data, mode)
    if os.geteuid() == 0 and path.exists():
        held = path.stat()
        os.chown(aside, held.st_uid, held.st_gid)
    aside.replace(path)


def save_file(path: Path, text: str) -> None:
    """Put a file in place in one step, mode 0600: a crash leaves the old one or the new one, on disk.

    Raises:
        SecurityError: it cannot be written.
    """
    try:
        replace(path, text.encode(), 0o600)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise SecurityError(f"cannot write: {error.strerror}", where=str(path)) from error
