"""PostgreSQL through psycopg 3 (libpq). Imported only where ``[history] backend = "postgresql"`` or a command asks for it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from scada.core.errors import ConfigError
from scada.core.secret_values import reveal
from scada.history.connection import ArchiveDownError, ArchiveError

try:
    import psycopg
    from psycopg import conninfo
except ImportError as error:
    raise ConfigError(
        "the history in PostgreSQL needs psycopg", where="[history] backend", mend="pip install 'scada-ems[postgresql]'"
    ) from error

CONNECT_S = 5
"""Longest wait for each server that the connection string names."""
ANSWER_S = 30
"""Longest run of a statement, and longest silence of a server with work outstanding, before the connection is given up."""

_DEFAULTS: dict[str, str | int] = {
    "connect_timeout": CONNECT_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": ANSWER_S * 1000,
    "target_session_attrs": "read-write",
    "application_name": "scada history",
}
_SESSION = f"""
set statement_timeout = '{ANSWER_S}s'; set lock_timeout = '{CONNECT_S}s'; set idle_in_transaction_session_timeout = '{ANSWER_S}s';
set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3; set timezone = 'UTC'
"""
"""The server too forgets, within half a minute, a session of ours whose network broke, and with it our place as writer."""
_SHOWN = ("service", "host", "hostaddr", "port", "dbname", "user")
_SECRET = ("password", "sslpassword")
_DOWN = ("08", "57P")
"""Classes of SQLSTATE after which a connection is of no more use: connection exception, shutdown by an operator."""


def parse_dsn(dsn: str) -> tuple[dict[str, Any], str]:
    """What a connection string says, with our time limits where it has none, and how to name it without its password.

    Raises:
        ConfigError: it is not a connection string of libpq, or names a secret that there is not.
    """
    try:
        given = conninfo.conninfo_to_dict(reveal(dsn, "[history] dsn"))
    except psycopg.Error:
        # the text of libpq may repeat the string, and with it a password: not even a traceback shows it
        raise ConfigError(
            "not a connection string of PostgreSQL",
            where="[history] dsn",
            mend='for example "host=db.example dbname=history user=scada" or "postgresql://scada@db.example/history"',
        ) from None
    for name in _SECRET:
        if name in given:
            given[name] = reveal(str(given[name]), f"[history] dsn, {name}")
    shown = " ".join(f"{name}={given[name]}" for name in _SHOWN if given.get(name))
    return {**_DEFAULTS, **given}, f"PostgreSQL {shown}".rstrip()


class PsycopgConnection:
    """Implements :class:`~scada.history.connection.Connection`.

    Args:
        dsn: connection string of libpq (``host=... dbname=... user=...`` or a URI; several hosts for a cluster; the password is
            better in a ``passfile`` or a ``service`` than here).

    Raises:
        ConfigError: the string cannot be read.
        ArchiveDownError: no server answers.
        ArchiveError: the server refuses us.
    """

    def __init__(self, dsn: str) -> None:
        parameters, self._where = parse_dsn(dsn)
        try:
            # explicit transactions only; statements planned with their values, so that partitions are passed over
            self._connection = psycopg.connect(**parameters, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise self._explain(error, connected=False) from error
        self.run(_SESSION)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement."""
        with self._explained(), self._connection.cursor(binary=True) as cursor:
            cursor.execute(sql, tuple(parameters))
            return cursor.fetchall() if cursor.description else []

    def run(self, script: str) -> None:
        """Run statements separated by semicolons."""
        with self._explained():
            self._connection.execute(script)

    def copy_in(self, sql: str, stream: bytes) -> None:
        """``COPY ... FROM STDIN``."""
        with self._explained(), self._connection.cursor() as cursor, cursor.copy(sql) as copy:
            copy.write(stream)

    def copy_out(self, sql: str) -> bytes:
        """``COPY ... TO STDOUT``."""
        with self._explained(), self._connection.cursor() as cursor, cursor.copy(sql) as copy:
            return b"".join(copy)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        with self._explained(), self._connection.transaction():
            yield

    def abort(self) -> None:
        """Cut the connection under a call that waits in another thread."""
        with contextlib.suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection up."""
        with contextlib.suppress(psycopg.Error, OSError):
            self._connection.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise self._explain(error, connected=True) from error

    def _explain(self, error: psycopg.Error, *, connected: bool) -> ArchiveError:
        told = error.diag.message_primary or str(error).strip() or type(error).__name__
        lines = [line.strip() for line in told.splitlines() if line.strip()]
        text = "; ".join(dict.fromkeys(line.removeprefix("connection failed: ") for line in lines))
        state = error.sqlstate or ""
        lost = connected and (self._connection.closed or state.startswith(_DOWN))
        if lost or (not connected and state == "" and "FATAL" not in text):
            return ArchiveDownError(f"the server does not answer: {text}", where=self._where, mend="is it running and reachable?")
        if lost or state.startswith(_DOWN):
            return ArchiveDownError(text, where=self._where)
        mend = "" if connected else "check user, password, database and pg_hba.conf"
        return ArchiveError(f"the server refuses: {text}", where=self._where, mend=mend)
