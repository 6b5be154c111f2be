# ruff: noqa: S608 - into statements go only names of ours and numbers; texts are parameters
"""The history as it stands in PostgreSQL: what is asked of it and what is put into it, over one connection at a time.

Rows are taken over block by block. The number of a block is stored with its rows in one transaction, so that a block whose answer
was lost is known when it is sent again: nothing is lost or doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S, Clock
from scada.history.archive_partitions import Partitions
from scada.history.archive_schema import check_name, prepare
from scada.history.chunk import SAMPLE_DTYPE, Samples
from scada.history.connection import ArchiveError, Connection
from scada.history.copy_format import TupleLayout, from_timestamps, to_timestamps
from scada.history.interface import Retention
from scada.history.outbox import Parcel
from scada.history.rows import MINUTE_DTYPE

Rows = npt.NDArray[np.void]

SAMPLE: Final = TupleLayout(("point", "i4"), ("ns", "i2"), ("time", "i8"), ("value", "f8"), ("quality", "i4"))
_READ: Final = TupleLayout(("time", "i8"), ("ns", "i2"), ("value", "f8"), ("quality", "i4"))
_GAP: Final = TupleLayout(("time", "i8"), ("ns", "i2"))
_WORDS: Final = ("count", "quality", "state")
_NUMBERS: Final = ("minimum", "maximum", "total", "area", "good_s", "last")
MINUTE: Final = TupleLayout(
    ("point", "i4"), ("time", "i8"), *((name, "i4") for name in _WORDS), *((name, "f8") for name in _NUMBERS)
)

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
"""Pauses between attempts to reach the server; each is twice the one before."""
DAY_NS: Final = 86_400 * NS_PER_S
_NEAR_NS: Final = 2 * DAY_NS
_LAST_NS: Final = 2**63 - 1


class PointName(NamedTuple):
    """What is told of a point; all but the mRID empty if the model no longer has it."""

    mrid: str
    path: str = ""
    name: str = ""
    station: str = ""
    unit: str = ""
    kind: str = ""


class Archive:
    """One server's history in one schema of PostgreSQL. One thread uses it at a time, but for :meth:`break_off`.

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
        self._schema = check_name(schema, "[history] db_schema")
        self._reader = check_name(reader, "[history] reader_role")
        self.retention = retention or Retention()
        self.fault: ArchiveError | None = None
        self._connection: Connection | None = None
        self._partitions = Partitions()
        self._ids: dict[str, tuple[int, PointName]] = {}
        self._pause_s = 0.0
        self._next_at = 0.0
        self._busy: tuple[float, Connection] | None = None

    # ------------------------------------------------------------------ connection

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        """The connection, opened if need be; given up if it fails or is in a state that we do not know.

        Raises:
            ArchiveError: no connection, or what is done with it failed.
        """
        connection = self._open()
        self._busy = (self._clock.monotonic(), connection)
        try:
            yield connection
        except ArchiveError as error:
            self._failed(error)
            raise
        except BaseException:
            self.close()
            raise
        finally:
            self._busy = None
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

    def break_off(self, after_s: float) -> None:
        """Cut the connection if something has been waiting for an answer for so long: a server that hangs keeps silent for ever.

        Called from any thread; the call that waits then fails.
        """
        busy = self._busy
        if busy is not None and self._clock.monotonic() - busy[0] >= after_s:
            busy[1].abort()

    def close(self) -> None:
        """Give the connection up; may be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # ------------------------------------------------------------------ writing

    def taken(self, outbox: str) -> tuple[int, int]:
        """Number and digest of the last parcel taken over from an outbox; 0 = none."""
        with self._session() as connection:
            found = connection.rows("select block, digest from intake where outbox = %s", (outbox,))
        return (int(found[0][0]), int(found[0][1])) if found else (0, 0)

    def take(self, outbox: str, parcel: Parcel, name_of: Callable[[int], PointName], *, doubt_ns: int = 0) -> None:
        """Take over a parcel in one transaction.

        Args:
            outbox: identity of the server's outbox.
            parcel: later than those taken from it.
            name_of: what the numbers of its rows stand for.
            doubt_ns: samples up to this time are stored only if they are not there.

        Raises:
            ArchiveError: nothing was taken over, or, after a broken connection, everything or nothing: ask :meth:`taken`.
        """
        with self._session() as connection, connection.transaction():
            ids = self._ids_of(connection, parcel, name_of)
            now, retention = self._clock.now_ns(), self.retention
            for table, rows in self._partitions.split(connection, "sample", parcel.samples, now, retention.raw_days):
                doubtful = rows["time"] <= doubt_ns
                _put_missing(connection, table, _sample_tuples(rows[doubtful], ids))
                connection.copy_in(_copy(table, SAMPLE), SAMPLE.encode(_sample_tuples(rows[~doubtful], ids)))
            for table, rows in self._partitions.split(connection, "minute", parcel.minutes, now, retention.minute_days):
                _put_minutes(connection, table, _minute_tuples(rows, ids))
            if len(parcel.gaps):
                times = ", ".join(f"({moment(us)}, {ns})" for us, ns in (divmod(gap, 1000) for gap in parcel.gaps.tolist()))
                connection.run(f"insert into gap values {times} on conflict do nothing")
            connection.rows(
                "insert into intake values (%s, %s, %s) on conflict (outbox)"
                " do update set block = excluded.block, digest = excluded.digest, at = now()",
                (outbox, parcel.block, parcel.digest),
            )

    def _ids_of(self, connection: Connection, parcel: Parcel, name_of: Callable[[int], PointName]) -> npt.NDArray[np.int32]:
        """The archive's number of each point in the rows, by its number there; a point that is new or renamed is written."""
        used = np.unique(np.concatenate([parcel.samples["number"], parcel.minutes["number"]])).tolist()
        ids = np.zeros(used[-1] + 1 if used else 0, dtype=np.int32)
        for number in used:
            name = name_of(number)
            known = self._ids.get(name.mrid)
            if known is None or known[1] != name:
                known = (_write_name(connection, name), name)
                self._ids[name.mrid] = known
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

    def last_before(self, point: int, at_ns: int) -> Samples:
        """The last sample of a point before a moment; empty if there is none."""
        columns = "time, ns, value, quality"
        with self._session() as connection:
            for near in (_since(max(0, at_ns - _NEAR_NS)), "true"):
                where = f"point = {point} and {near} and {_until(at_ns)}"
                stream = connection.copy_out(
                    f"copy (select {columns} from (select {columns}, 0 as stray, ctid from sample where {where} union all"
                    f" select {columns}, 1, ctid from sample_stray where {where}) s"
                    " order by time desc, ns desc, stray desc, ctid desc limit 1) to stdout (format binary)"
                )
                if len(found := _samples(_READ.decode(stream))):
                    break
        return found

    def minutes(self, point: int, from_ns: int, to_ns: int) -> Rows:
        """The minutes of a point that start in a span (``MINUTE_DTYPE``, ``number`` is ``point``)."""
        return self._minutes(point, f"{_since(from_ns, ns=False)} and {_until(to_ns, ns=False)}", "order by time")

    def minute_before(self, point: int, at_ns: int) -> Rows:
        """The last minute of a point that starts before a moment; empty if there is none."""
        return self._minutes(point, _until(at_ns, ns=False), "order by time desc limit 1")

    def _minutes(self, point: int, span: str, order: str) -> Rows:
        where, columns = f"point = {point} and {span}", ", ".join(MINUTE.columns)
        with self._session() as connection:
            stream = connection.copy_out(
                f"copy (select {columns} from minute where {where} union all select {columns} from minute_stray where {where}"
                f" {order}) to stdout (format binary)"
            )
        tuples = MINUTE.decode(stream)
        rows = np.zeros(len(tuples), dtype=MINUTE_DTYPE)
        rows["number"] = point
        rows["time"] = from_timestamps(tuples["time"], np.zeros(1, dtype=np.int64))
        for name in _WORDS:
            rows[name] = tuples[name].astype("<i4").view("<u4")
        for name in _NUMBERS:
            rows[name] = tuples[name]
        return rows

    def days(self, point: int, from_ns: int, to_ns: int) -> list[int]:
        """Starts of the UTC days of a span, ns, in which a point may have samples."""
        with self._session() as connection:
            stray = connection.rows(
                "select distinct (extract(epoch from date_trunc('day', time)))::int8 from sample_stray"
                f" where point = {point} and {_since(from_ns)} and {_until(to_ns)}"
            )
        found = {int(row[0]) * NS_PER_S for row in stray} | set(self._partitions.days())
        return sorted(day for day in found if day < to_ns and day + DAY_NS > from_ns)

    def gaps(self) -> npt.NDArray[np.int64]:
        """Starts of the gaps, ns UTC, ascending."""
        with self._session() as connection:
            tuples = _GAP.decode(connection.copy_out("copy (select time, ns from gap order by 1, 2) to stdout (format binary)"))
        return from_timestamps(tuples["time"], tuples["ns"])

    def extent(self) -> tuple[int, int]:
        """Time of the oldest sample (0 = none), and bytes stored."""
        with self._session() as connection:
            return self._partitions.oldest(connection), self._partitions.stored_bytes(connection)


def _write_name(connection: Connection, name: PointName) -> int:
    """The archive's number of a point; one that the model no longer has keeps what is known of it."""
    if not name.path:
        found = connection.rows("select id from point where mrid = %s", (name.mrid,))
        if found:
            return int(found[0][0])
    written = connection.rows(
        "insert into point (mrid, path, name, station, unit, kind) values (%s, %s, %s, %s, %s, %s) on conflict (mrid) do update"
        " set path = excluded.path, name = excluded.name, station = excluded.station, unit = excluded.unit, kind = excluded.kind"
        " returning id",
        name,
    )
    return int(written[0][0])


def _put_missing(connection: Connection, table: str, tuples: npt.NDArray[np.void]) -> None:
    """Insert the samples that are not there."""
    if not len(tuples):
        return
    connection.run(
        "create temporary table if not exists doubtful (like sample) on commit delete rows; truncate doubtful;"
        # each one is looked for by the index, however little is known about the temporary table
        " set local enable_hashjoin = off; set local enable_mergejoin = off; set local enable_seqscan = off"
    )
    connection.copy_in(_copy("doubtful", SAMPLE), SAMPLE.encode(tuples))
    same = "s.point = d.point and s.time = d.time and s.ns = d.ns and s.value = d.value and s.quality = d.quality"
    missing = f"select d.* from doubtful d where not exists (select from {table} s where {same}) order by d.ctid"
    connection.run(f"insert into {table} {missing}")


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
