# ruff: noqa: S608 - into statements go only names of ours and numbers; texts are parameters
"""Partitions of the archive: one a UTC day of samples, one a month of minutes; made ahead, dropped by retention.

A partition is made aside and then attached, and none is the default: so neither waits for the queries of others, nor they for us.
Rows of a day that gets no partition (a station whose clock stands in 1970) go to the table's ``_stray`` companion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scada.history.connection import ArchiveError, Connection

_AHEAD_DAYS: Final = 3
_MOST_DAYS: Final = 3660
"""Days back that get a partition where the retention has no end."""
_DAY: Final = "datetime64[D]"
_UNIT: Final = {"sample": "D", "minute": "M"}

Rows = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class _Part:
    """A day or a month of a table."""

    table: str
    start: np.datetime64

    @property
    def name(self) -> str:
        return f"{self.table}_{str(self.start).replace('-', '')}"

    @property
    def end(self) -> np.datetime64:
        return self.start + np.int64(1)

    def bounds(self) -> str:
        first, last = (value.astype(_DAY) for value in (self.start, self.end))
        return f"from ('{first} 00:00+00') to ('{last} 00:00+00')"


class Partitions:
    """What partitions there are, as far as this server's one writer knows."""

    def __init__(self) -> None:
        self._parts: set[_Part] = set()

    def load(self, connection: Connection) -> None:
        """Read what there is."""
        found = connection.rows(
            "select p.relname::text, c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid"
            " join pg_class p on p.oid = i.inhparent where p.relnamespace = current_schema()::regnamespace"
            " and p.relname in ('sample', 'minute') and c.relkind = 'r'"
        )
        self._parts = {_Part(table, _start(table, name)) for table, name in found}

    def split(self, connection: Connection, table: str, rows: Rows, now_ns: int, days: int) -> Iterator[tuple[str, Rows]]:
        """Rows by the table they belong into; a partition that is missing is made.

        Args:
            connection: within the transaction that writes the rows.
            table: ``sample`` or ``minute``.
            rows: with a column ``time``, ns UTC.
            now_ns: present time.
            days: retention.
        """
        if not len(rows):
            return
        starts = rows["time"].astype("datetime64[ns]").astype(f"datetime64[{_UNIT[table]}]")
        first, last = _window(now_ns, days, table)
        for start in np.unique(starts):
            part, mine = _Part(table, start), rows[starts == start]
            if part not in self._parts and not first <= start <= last:
                yield f"{table}_stray", mine
                continue
            self._make(connection, part)
            yield part.name, mine

    def _make(self, connection: Connection, part: _Part) -> None:
        if part in self._parts:
            return
        connection.run(
            f"create table {part.name} (like {part.table} including all);"
            f" alter table {part.table} attach partition {part.name} for values {part.bounds()}"
        )
        self._parts.add(part)

    def tidy(self, connection: Connection, now_ns: int, raw_days: int, minute_days: int) -> None:
        """Make partitions ahead; drop what is older than the retention (one that others read: the next time)."""
        for table, days in (("sample", raw_days), ("minute", minute_days)):
            _, last = _window(now_ns, days, table)
            today = np.datetime64(now_ns, "ns").astype(f"datetime64[{_UNIT[table]}]")
            with connection.transaction():
                for start in np.arange(today, last + 1):
                    self._make(connection, _Part(table, start))
            if not days:
                continue
            oldest = np.datetime64(now_ns, "ns").astype("datetime64[us]") - np.timedelta64(days, "D")
            for part in sorted((part for part in self._parts if part.table == table), key=lambda part: part.start):
                if part.end <= oldest and not self._drop(connection, part):
                    break
            later = f"select from {table}_stray n where n.point = s.point and n.time > s.time and n.time < '{oldest}+00'"
            connection.run(f"delete from {table}_stray s where s.time < '{oldest}+00' and exists ({later})")

    def _drop(self, connection: Connection, part: _Part) -> bool:
        """Drop a partition, but for the last row of each point: it may still be in force."""
        last = f"select distinct on (point) * from {part.name} order by point, time desc, ctid desc"
        try:
            with connection.transaction():
                connection.run(
                    f"set local lock_timeout = '500ms'; insert into {part.table}_stray {last} on conflict do nothing;"
                    f" drop table {part.name}"
                )
        except ArchiveError as error:
            if type(error) is not ArchiveError:
                raise
            return False
        self._parts.discard(part)
        return True

    def days(self) -> list[int]:
        """Starts of the days that have a partition of samples, ns UTC."""
        return [int(part.start.astype("datetime64[ns]").astype(np.int64)) for part in self._parts if part.table == "sample"]

    def oldest(self, connection: Connection) -> int:
        """Time of the oldest sample, ns UTC; 0 = there is none."""
        days = sorted((part for part in self._parts if part.table == "sample"), key=lambda part: part.start)
        for table in ["sample_stray", *(part.name for part in days)]:
            # by the index: the first sample of each point
            found: list[tuple[Any, ...]] = connection.rows(
                "select (extract(epoch from time) * 1000000)::int8, ns from point p cross join lateral"
                f" (select time, ns from {table} where point = p.id order by time limit 1) s order by time, ns limit 1"
            )
            if found:
                return int(found[0][0]) * 1000 + int(found[0][1])
        return 0

    def stored_bytes(self, connection: Connection) -> int:
        """Bytes of all tables and their indexes."""
        found = connection.rows(
            "select coalesce(sum(pg_total_relation_size(oid)), 0)::int8 from pg_class"
            " where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p')"
        )
        return int(found[0][0])


def _window(now_ns: int, days: int, table: str) -> tuple[np.datetime64, np.datetime64]:
    """First and last day or month that get a partition."""
    today = np.datetime64(now_ns, "ns").astype(_DAY)
    ends = today - np.timedelta64(days or _MOST_DAYS, "D"), today + np.timedelta64(_AHEAD_DAYS, "D")
    first, last = (end.astype(f"datetime64[{_UNIT[table]}]") for end in ends)
    return first, last


def _start(table: str, name: str) -> np.datetime64:
    digits = name.removeprefix(f"{table}_")
    month = np.datetime64(f"{digits[:4]}-{digits[4:6]}")
    return month if table == "minute" else np.datetime64(f"{month}-{digits[6:]}")
