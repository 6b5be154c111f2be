# ruff: noqa: S608 - into statements go only names of ours and numbers; texts are parameters
"""The history as it stands in PostgreSQL: what is asked of it and what is put into it, over one connection at a time.

Rows are taken over block by block. The number of a block is stored with its rows in one transaction, so that a block whose answer
was lost is known when it is sent again: nothing is lost or doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S, Clock
from scada.history.archive_partitions import Partitions
from scada.history.archive_schema import check_name, prepare
from scada.history.chunk import SAMPLE_DTYPE, Samples
from scada.history.connection import ArchiveError, Connection
from scada.history.copy_format import TupleLayout, from_timestamps, to_timestamps
from scada.history.interface import Retention
from scada.history.sampling import MINUTE_DTYPE
from scada.model_cim.tables import Point

Rows = npt.NDArray[np.void]

SAMPLE: Final = TupleLayout(("point", "i4"), ("ns", "i2"), ("time", "i8"), ("value", "f8"), ("quality", "i4"))
_READ: Final = TupleLayout(("time", "i8"), ("ns", "i2"), ("value", "f8"), ("quality", "i4"))
_BEFORE: Final = TupleLayout(("point", "i4"), ("time", "i8"), ("ns", "i2"), ("value", "f8"), ("quality", "i4"))
_WORDS: Final = ("count", "quality", "state")
_NUMBERS: Final = ("minimum", "maximum", "total", "area", "good_s", "last")
MINUTE: Final = TupleLayout(
    ("point", "i4"), ("time", "i8"), *((name, "i4") for name in _WORDS), *((name, "f8") for name in _NUMBERS)
)

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
"""Pauses between attempts to reach the server; each is twice the one before."""
_NEAR_NS: Final = 2 * 86_400 * NS_PER_S
_LAST_NS: Final = 2**63 - 1


class Archive:
    """One server's history in one schema of PostgreSQL. One thread uses it at a time.

    It connects when it is first needed, and again after the connection broke, with growing pauses in which every call fails at
    once with the last error.

    Args:
        connect: opens a connection; raises :class:`ArchiveError`.
        clock: pauses, and the days that partitions are made for.
        schema: name of the schema, made if absent.
        reader: role that may read the views.
        retention: how long samples and minutes are kept.

    Attributes:
        fault: why the archive cannot be used at present, or None; None too before the first attempt.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        clock: Clock,
        *,
        schema: str = "scada_history",
        reader: str = "scada_reader",
        retention: Retention | None = None,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._schema = check_name(schema, "[history] schema")
        self._reader = check_name(reader, "[history] reader_role")
        self.retention = retention or Retention()
        self.fault: ArchiveError | None = None
        self._connection: Connection | None = None
        self._partitions = Partitions()
        self._ids: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._pause_s = 0.0
        self._next_at = 0.0

    # ------------------------------------------------------------------ connection

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        """The connection, opened if need be; given up if it fails or is in a state that we do not know.

        Raises:
            ArchiveError: no connection, or what is done with it failed.
        """
        connection = self._open()
        try:
            yield connection
        except ArchiveError as error:
            self._failed(error)
            raise
        except BaseException:
            self.close()
            raise
        self.fault = None
        self._pause_s = 0.0

    def _open(self) -> Connection:
        if self._connection is not None:
            return self._connection
        if self.fault is not None and self._clock.monotonic() < self._next_at:
            raise self.fault
        connection = None
        try:
            connection = self._connect()
            prepare(connection, self._schema, self._reader)
            self._partitions.load(connection)
        except ArchiveError as error:
            if connection is not None:
                connection.close()
            self._failed(error)
            raise
        self._connection, self._ids = connection, {}
        return connection

    def _failed(self, error: ArchiveError) -> None:
        self.close()
        self.fault = error
        self._pause_s = min(max(FIRST_PAUSE_S, 2 * self._pause_s), LONGEST_PAUSE_S)
        self._next_at = self._clock.monotonic() + self._pause_s

    @property
    def due(self) -> bool:
        """Whether a call now would be tried; False during a pause."""
        return self.fault is None or self._clock.monotonic() >= self._next_at

    def close(self) -> None:
        """Give the connection up; may be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # ------------------------------------------------------------------ writing

    def taken(self, spool: str) -> int:
        """Number of the last block taken over from a spool; 0 = none."""
        with self._session() as connection:
            found = connection.rows("select block from intake where spool = %s", (spool,))
        return int(found[0][0]) if found else 0

    def take(self, spool: str, block: int, points: Sequence[Point], samples: Rows, late: Rows, minutes: Rows) -> int:
        """Take over the blocks up to ``block`` in one transaction, unless they were taken already.

        Args:
            spool: identity of the server's spool.
            block: number of the last of the blocks.
            points: indexed by the ``number`` of the rows.
            samples: of ``ROW_DTYPE``, in order of arrival.
            late: of ``ROW_DTYPE``; those that are there already change nothing.
            minutes: of ``MINUTE_DTYPE``; they replace those that are there.

        Returns:
            Number of late samples that were new.

        Raises:
            ArchiveError: nothing was taken over, or, after a broken connection, everything or nothing: ask :meth:`taken`.
        """
        with self._session() as connection, connection.transaction():
            found = connection.rows("select block from intake where spool = %s for update", (spool,))
            if found and found[0][0] >= block:
                return 0
            stored = self._put(connection, points, samples, late, minutes)
            connection.rows(
                "insert into intake values (%s, %s) on conflict (spool) do update set block = excluded.block, at = now()",
                (spool, block),
            )
        return stored

    def backfill(self, points: Sequence[Point], late: Rows, minutes: Callable[[], Rows]) -> int:
        """Store late samples at once, and then the minutes that ``minutes`` makes of what is there.

        Returns:
            Number of samples that were new.
        """
        with self._session() as connection, connection.transaction():
            none = late[:0]
            stored = self._put(connection, points, none, late, none)
            if stored:
                self._put(connection, points, none, none, minutes())
        return stored

    def _put(self, connection: Connection, points: Sequence[Point], samples: Rows, late: Rows, minutes: Rows) -> int:
        ids = self._ids_of(connection, points, [samples, late, minutes])
        now, raw, by_minute = self._clock.now_ns(), self.retention.raw_days, self.retention.minute_days
        for table, rows in self._partitions.split(connection, "sample", samples, now, raw):
            connection.copy_in(_copy(table, SAMPLE), SAMPLE.encode(_sample_tuples(rows, ids)))
        stored = sum(
            _put_late(connection, table, _sample_tuples(rows, ids))
            for table, rows in self._partitions.split(connection, "sample", late, now, raw)
        )
        for table, rows in self._partitions.split(connection, "minute", minutes, now, by_minute):
            _put_minutes(connection, table, _minute_tuples(rows, ids))
        return stored

    def _ids_of(self, connection: Connection, points: Sequence[Point], tables: Sequence[Rows]) -> npt.NDArray[np.int32]:
        """The archive's number of each point in the rows, by its number there; a point that is new or renamed is written."""
        used = np.unique(np.concatenate([rows["number"] for rows in tables])).tolist()
        ids = np.zeros(len(points), dtype=np.int32)
        for number in used:
            point = points[number]
            words = (point.path, point.name, point.station, point.unit, point.kind.name.lower())
            known = self._ids.get(point.mrid)
            if known is None or known[1] != words:
                found = connection.rows(
                    "insert into point (mrid, path, name, station, unit, kind) values (%s, %s, %s, %s, %s, %s)"
                    " on conflict (mrid) do update set path = excluded.path, name = excluded.name, station = excluded.station,"
                    " unit = excluded.unit, kind = excluded.kind returning id",
                    (point.mrid, *words),
                )
                known = (int(found[0][0]), words)
                self._ids[point.mrid] = known
            ids[number] = known[0]
        return ids

    def tidy(self) -> None:
        """Make the partitions of the coming days and drop those older than the retention."""
        with self._session() as connection:
            retention = self.retention
            self._partitions.tidy(connection, self._clock.now_ns(), retention.raw_days, retention.minute_days)

    # ------------------------------------------------------------------ reading

    def id_of(self, mrid: str) -> int:
        """The archive's number of a point; 0 = nothing was ever stored of it."""
        if mrid not in self._ids:
            with self._session() as connection:
                found = connection.rows("select id from point where mrid = %s", (mrid,))
            return int(found[0][0]) if found else 0
        return self._ids[mrid][0]

    def samples(self, point: int, from_ns: int, to_ns: int, limit: int) -> Samples:
        """The first ``limit`` samples of a point in a span, in order of time and, at one time, of arrival."""
        where = f"point = {point} and {_since(from_ns)} and {_until(to_ns)}"
        columns = "time, ns, value, quality"
        with self._session() as connection:
            stream = connection.copy_out(
                f"copy (select {columns} from (select {columns}, 0 as stray, ctid from sample where {where} union all"
                f" select {columns}, 1, ctid from sample_stray where {where}) s"
                f" order by time, ns, stray, ctid limit {limit}) to stdout (format binary)"
            )
        return _samples(_READ.decode(stream))

    def before(self, points: Sequence[int], at_ns: int) -> dict[int, Samples]:
        """The last sample before a moment of each point that has one."""
        found: dict[int, Samples] = {}
        with self._session() as connection:
            for bound in (_since(max(0, at_ns - _NEAR_NS)), "true"):
                if missing := sorted(set(points) - found.keys()):
                    stream = connection.copy_out(_before_sql(missing, f"{bound} and {_until(at_ns)}"))
                    tuples = _BEFORE.decode(stream)
                    samples = _samples(tuples)
                    found.update({int(point): samples[i : i + 1] for i, point in enumerate(tuples["point"])})
        return found

    def minutes(self, point: int, from_ns: int, to_ns: int) -> Rows:
        """The minutes of a point that start in a span, of ``MINUTE_DTYPE`` with ``number`` 0."""
        where = f"point = {point} and {_since(from_ns, ns=False)} and {_until(to_ns, ns=False)}"
        columns = ", ".join(MINUTE.columns)
        with self._session() as connection:
            stream = connection.copy_out(
                f"copy (select {columns} from minute where {where} union all select {columns} from minute_stray where {where}"
                " order by time) to stdout (format binary)"
            )
        tuples = MINUTE.decode(stream)
        rows = np.zeros(len(tuples), dtype=MINUTE_DTYPE)
        rows["time"] = from_timestamps(tuples["time"], np.zeros(1, dtype=np.int64))
        for name in _WORDS:
            rows[name] = tuples[name].astype("<i4").view("<u4")
        for name in _NUMBERS:
            rows[name] = tuples[name]
        return rows

    def extent(self) -> tuple[int, int]:
        """Time of the oldest sample (0 = none), and bytes stored."""
        with self._session() as connection:
            return self._partitions.oldest(connection), self._partitions.stored_bytes(connection)


def _put_late(connection: Connection, table: str, tuples: npt.NDArray[np.void]) -> int:
    """Insert the samples that are not there; how many were."""
    connection.run(
        "create temporary table if not exists late (like sample) on commit delete rows; truncate late;"
        # each late sample is looked for by the index, however little is known about the temporary table
        " set local enable_hashjoin = off; set local enable_mergejoin = off; set local enable_seqscan = off"
    )
    connection.copy_in(_copy("late", SAMPLE), SAMPLE.encode(tuples))
    same = "s.point = l.point and s.time = l.time and s.ns = l.ns and s.value = l.value and s.quality = l.quality"
    fresh = f"select distinct l.* from late l where not exists (select from {table} s where {same})"
    found = connection.rows(f"with put as (insert into {table} {fresh} order by 1, 3, 2 returning 1) select count(*) from put")
    return int(found[0][0])


def _put_minutes(connection: Connection, table: str, tuples: npt.NDArray[np.void]) -> None:
    connection.run("create temporary table if not exists fresh_minute (like minute) on commit delete rows; truncate fresh_minute")
    connection.copy_in(_copy("fresh_minute", MINUTE), MINUTE.encode(tuples))
    columns = ", ".join(MINUTE.columns)
    update = ", ".join(f"{name} = excluded.{name}" for name in MINUTE.columns[2:])
    # of one minute given twice the later stands
    fresh = f"select distinct on (point, time) {columns} from fresh_minute order by point, time, ctid desc"
    connection.run(f"insert into {table} ({columns}) {fresh} on conflict (point, time) do update set {update}")


def _copy(table: str, layout: TupleLayout) -> str:
    return f"copy {table} ({', '.join(layout.columns)}) from stdin (format binary)"


def _sample_tuples(rows: Rows, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.void]:
    tuples = SAMPLE.empty(len(rows))
    tuples["point"] = ids[rows["number"]]
    tuples["time"], tuples["ns"] = to_timestamps(rows["time"])
    tuples["value"] = rows["value"]
    tuples["quality"] = rows["quality"].copy().view("<i4")
    return tuples


def _minute_tuples(rows: Rows, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.void]:
    tuples = MINUTE.empty(len(rows))
    tuples["point"] = ids[rows["number"]]
    tuples["time"], _ = to_timestamps(rows["time"])
    for name in _WORDS:
        tuples[name] = rows[name].copy().view("<i4")
    for name in _NUMBERS:
        tuples[name] = rows[name]
    return tuples


def _samples(tuples: npt.NDArray[np.void]) -> Samples:
    samples = np.empty(len(tuples), dtype=SAMPLE_DTYPE)
    samples["time"] = from_timestamps(tuples["time"], tuples["ns"])
    samples["value"] = tuples["value"]
    samples["quality"] = tuples["quality"].astype("<i4").view("<u4")
    return samples


def _before_sql(points: Sequence[int], where: str) -> str:
    columns = "time, ns, value, quality"
    asked = ", ".join(map(str, points))
    one = f"select {columns}, 0 as stray, ctid from sample where point = p and {where}"
    stray = f"select {columns}, 1, ctid from sample_stray where point = p and {where}"
    last = f"select {columns} from ({one} union all {stray}) u order by time desc, ns desc, stray desc, ctid desc limit 1"
    return f"copy (select p, {columns} from unnest(array[{asked}]) p cross join lateral ({last}) s) to stdout (format binary)"


def moment(us: int) -> str:
    """A ``timestamptz`` literal of microseconds since 1970."""
    return f"'{np.datetime64(us, 'us')}+00'::timestamptz"


def _since(time_ns: int, *, ns: bool = True) -> str:
    us, rest = divmod(time_ns, 1000)
    if not ns:
        return f"time >= {moment(us + (rest > 0))}"
    # the first half alone lets partitions and the index be passed over
    return f"time >= {moment(us)} and (time, ns) >= ({moment(us)}, {rest})"


def _until(time_ns: int, *, ns: bool = True) -> str:
    us, rest = divmod(min(time_ns, _LAST_NS), 1000)
    if not ns:
        return f"time < {moment(us + (rest > 0))}"
    return f"time <= {moment(us)} and (time, ns) < ({moment(us)}, {rest})"
