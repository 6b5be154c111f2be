"""The small face of a PostgreSQL connection that the archive needs, and the two ways in which it fails."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from scada.core.errors import StoreError


class ArchiveError(StoreError):
    """PostgreSQL refuses what was asked: password, rights, a full disk, a schema that is not ours."""


class ArchiveDownError(ArchiveError):
    """PostgreSQL does not answer, or the connection broke: what was under way was not done, or was and is not known yet."""


class Connection(Protocol):
    """One open connection, outside a transaction unless within :meth:`transaction`. One thread uses it at a time.

    Every method raises :class:`ArchiveDownError` if the connection is of no more use, :class:`ArchiveError` if it is refused.
    """

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with ``%s`` placeholders; the rows it returns, none if it returns none."""
        ...

    def run(self, script: str) -> None:
        """Run statements separated by semicolons."""
        ...

    def copy_in(self, sql: str, stream: bytes) -> None:
        """``COPY ... FROM STDIN`` of a whole stream."""
        ...

    def copy_out(self, sql: str) -> bytes:
        """``COPY ... TO STDOUT`` as a whole stream."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """All of what is done within, or nothing at any exception."""
        ...

    def abort(self) -> None:
        """Cut the connection under a call that waits in another thread, which then fails; never fails itself."""
        ...

    def close(self) -> None:
        """Give the connection up; may be called twice and never fails."""
        ...
