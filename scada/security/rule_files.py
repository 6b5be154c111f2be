"""Configuration files of rights, read with suspicion: who may write them, which keys they have, what is a list of names."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path

from scada.core.errors import SecurityError


def names_of(value: object, key: str, where: str) -> frozenset[str]:
    """A list of names out of a configuration file.

    Raises:
        SecurityError: it is none.
    """
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise SecurityError(f"{key} must be a list of names", where=where)
    return frozenset(value)


def table_of(entry: object, keys: Collection[str], where: str) -> Mapping[str, object]:
    """A table of a configuration file with no other keys than these.

    Raises:
        SecurityError: it is none, or has others.
    """
    if not isinstance(entry, dict):
        raise SecurityError("must be a table", where=where)
    if unknown := entry.keys() - set(keys):
        raise SecurityError(f"unknown entries {', '.join(sorted(unknown))}", where=where, mend=f"only {', '.join(sorted(keys))}")
    return entry


def read_guarded(path: Path) -> bytes:
    """The bytes of a file of rights, which only its owner may write.

    Raises:
        SecurityError: it cannot be read, or others may write it.
    """
    try:
        if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SecurityError("others may write it", where=str(path), mend=f"chmod 600 {path}")
        return path.read_bytes()
    except OSError as error:
        mend = f"make identities with `scada keys init {path.parent}`" if isinstance(error, FileNotFoundError) else ""
        raise SecurityError(f"cannot read: {error.strerror}", where=str(path), mend=mend) from error


def parse_toml(text: bytes, where: str) -> dict[str, object]:
    """A TOML document.

    Raises:
        SecurityError: it is none.
    """
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SecurityError(f"not TOML: {error}", where=where) from error
