"""One root for every error we raise on purpose; one class per cause.

A message says *what* is wrong, *where*, and *how to mend it*; the faces print it as one line, never as a traceback.
"""

from __future__ import annotations


class ScadaError(Exception):
    """Root of all deliberate errors.

    Args:
        what: the fault in one sentence.
        where: file:line, channel, point or peer it was found at; empty if it has no place.
        mend: what the reader can do about it; empty if nothing.
    """

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what = what
        self.where = where
        self.mend = mend
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.mend})" if self.mend else text


class ConfigError(ScadaError):
    """The configuration cannot be used."""


class ModelError(ScadaError):
    """A model file cannot be read or the model cannot be run."""


class StoreError(ScadaError):
    """A database file is corrupt, full, read-only, of another version or in use by another writer."""


class ProtocolError(ScadaError):
    """A peer broke its protocol."""


class SecurityError(ScadaError):
    """A key, signature, session or right is missing or wrong."""


class PortInUseError(ScadaError):
    """A listening port is taken by another process."""
