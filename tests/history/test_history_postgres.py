"""The history in PostgreSQL: what is there equals what is here, once, whatever fails; who may read it; what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.batch import POINT_DTYPE
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.errors import ConfigError
from scada.core.ids import PointId
from scada.core.quality import Quality
from scada.history.archive import Archive
from scada.history.connection import ArchiveDownError, ArchiveError
from scada.history.interface import NOT_RECORDED, LateColumns, Retention
from scada.history.outbox import TABLES, Outbox
from scada.history.postgres import PostgresHistorian
from scada.history.rows import MINUTE_DTYPE, ROW_DTYPE
from scada.history.store import HistoryStore
from scada.model_cim.tables import Point, PointKind
from scada.rtdb.changes import ChangeSet
from scada.rtdb.lmdb_file import LmdbFile

driver = pytest.importorskip("scada.history.driver")

BAD = int(Quality.INVALID)
MINUTE = 60 * NS_PER_S
HOUR = 60 * MINUTE


def point(pid, kind=PointKind.ANALOG, **more):
    return Point(PointId(pid), f"m{pid}", f"S/V/P{pid}", f"P{pid}", kind, "", "MW", "", "", "S", "", 0, None, **more)


POINTS = [point(0), point(1, deadband=1.0), point(2, PointKind.DOUBLE), point(3)]


class Site:
    """One server's history in a schema, opened again after :meth:`die`."""

    def __init__(self, folder, postgres, points=POINTS, **more):
        self.folder, self.postgres, self.points, self.more = folder, postgres, points, more
        self.clock = VirtualClock()
        self.changes = []
        self.connect = lambda: driver.PsycopgConnection(postgres.dsn())
        self.open()

    def open(self):
        self.archive = Archive(lambda: self.connect(), self.clock, schema=self.postgres.schema)
        more = {"map_mb": 16} | self.more
        self.history = PostgresHistorian(self.folder, self.clock, self.points, archive=self.archive, **more)
        for change in self.changes:
            self.history.append(change)

    def die(self):
        """As kill -9 does."""
        self.history._file.close()
        self.archive.close()

    def put(self, *rows):
        """Changes of (pid, value[, quality]), received now."""
        records = np.zeros(len(rows), dtype=POINT_DTYPE)
        for record, (pid, value, *quality) in zip(records, rows, strict=True):
            record["pid"], record["value"], record["quality"] = pid, value, quality[0] if quality else 0
        now = self.clock.now_ns()
        first = self.changes[-1].last + 1 if self.changes else 1
        self.changes.append(ChangeSet(first, records, np.full(len(rows), now), now))
        self.history.append(self.changes[-1])

    def late(self, pid, time_ns, value, quality=0):
        columns = [np.array([one]) for one in (time_ns, value, quality)]
        return self.history.backfill([LateColumns(pid, columns[0], columns[1].astype(float), columns[2].astype(np.uint32))])

    def ship(self):
        self.history.flush()
        self.history.shipper.ship()

    def sql(self, text):
        found = self.postgres.sql(f"set search_path = {self.postgres.schema}; {text}")
        return [tuple(line.split("|")) for line in found.splitlines()]

    def here(self, pid):
        """What the embedded store has of a point, without the markers of gaps."""
        series = HistoryStore.query(self.history, pid, 1, 2**62)
        columns = zip(series.time_ns.tolist(), series.value.tolist(), series.quality.tolist(), strict=True)
        return [row for row in columns if row[2] != NOT_RECORDED]

    def there(self, pid):
        """What anyone finds by SQL."""
        epoch = "((extract(epoch from time) * 1000000)::int8 * 1000 + ns)"
        rows = self.sql(f"select {epoch}, coalesce(value, 'NaN'), quality_word from samples where mrid = 'm{pid}' order by 1, ns")
        return [(int(time), float(value), int(word)) for time, value, word in rows]

    def close(self):
        self.history.close()


@pytest.fixture
def site(tmp_path, postgres):
    site = Site(tmp_path, postgres)
    yield site
    site.die()


def same(one, other):
    return repr(sorted(one)) == repr(sorted(other))


def test_what_was_kept_here_is_there_for_anyone_who_asks_by_sql(site):
    site.put((0, 1.5), (2, 1))
    site.clock.advance(1.25)
    site.put((0, 2.5, BAD), (1, float("nan"), BAD))
    site.ship()
    assert site.sql("select path, time, value, unit, good, quality from samples order by time, path") == [
        ("S/V/P0", "2023-11-14 22:13:20+00", "1.5", "MW", "t", "good"),
        ("S/V/P2", "2023-11-14 22:13:20+00", "1", "MW", "t", "good"),
        ("S/V/P0", "2023-11-14 22:13:21.25+00", "2.5", "MW", "f", "invalid"),
        ("S/V/P1", "2023-11-14 22:13:21.25+00", "", "MW", "f", "invalid"),
    ]
    for pid in range(3):
        assert same(site.here(pid), site.there(pid))


def test_the_minutes_are_there_and_say_what_the_aggregates_say(site):
    for second in range(0, 200, 10):
        site.put((0, float(second)))
        site.clock.advance(10)
    site.ship()
    rows = site.sql(
        "select time_weighted, mean, minimum, maximum, last, count, good_s from minutes where mrid = 'm0' order by time"
    )
    begin = site.changes[0].received_at[0] // MINUTE * MINUTE
    told = site.history.aggregates(0, int(begin), int(begin) + 3 * MINUTE, 60)
    assert len(rows) == len(told) == 3
    for index, row in enumerate(rows):
        names = ("time_weighted", "mean", "minimum", "maximum", "last", "count", "good_s")
        assert [float(cell) for cell in row] == pytest.approx([float(getattr(told, name)[index]) for name in names])


# ---------------------------------------------------------------------- once, whatever fails

STEP = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 3), st.sampled_from([0.0, 0.4, 5.0, -1.5, float("nan")]), st.sampled_from([0, BAD])),
    st.tuples(st.just("advance"), st.sampled_from([0.5, 20.0, 61.0, 3700.0])),
    st.tuples(st.just("late"), st.integers(0, 3), st.integers(1, 7200), st.sampled_from([1.0, 2.0])),
    st.sampled_from([("flush",), ("ship",), ("die",), ("lose_answer",), ("reconnect",)]),
)


class LostAnswer:
    """A connection whose next commit is done but not told."""

    def __init__(self, connection, armed):
        self.connection, self.armed = connection, armed

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def transaction(self):
        import contextlib

        @contextlib.contextmanager
        def told():
            with self.connection.transaction():
                yield
            if self.armed:
                self.armed.clear()
                raise ArchiveDownError("the answer was lost")

        return told()


def run(site, steps):
    armed = []
    site.connect = lambda: LostAnswer(driver.PsycopgConnection(site.postgres.dsn()), armed)
    for name, *words in steps:
        match name:
            case "put":
                pid, value, quality = words
                site.put((pid, value, quality | (BAD if np.isnan(value) else 0)))
            case "advance":
                site.clock.advance(words[0])
            case "late":
                site.late(words[0], site.clock.now_ns() - words[1] * NS_PER_S, words[2])
            case "flush":
                site.history.flush()
            case "die":
                site.die()
                site.open()
            case "reconnect":
                site.archive.close()
            case _:
                if name == "lose_answer":
                    armed.append(True)
                try:
                    site.ship()
                except ArchiveDownError:
                    site.clock.advance(60)
    armed.clear()
    site.clock.advance(600)
    site.ship()


@given(st.lists(STEP, min_size=3, max_size=25))
@settings(max_examples=6, deadline=None)
def test_nothing_is_lost_or_doubled_on_the_way(tmp_path_factory, postgres_cluster, steps):
    postgres_cluster.schema = "h_property"
    postgres_cluster.sql("drop schema if exists h_property cascade")
    site = Site(tmp_path_factory.mktemp("site"), postgres_cluster)
    try:
        run(site, steps)
        now = site.clock.now_ns()
        for pid in range(4):
            assert same(site.here(pid), site.there(pid))
            one, other = HistoryStore.query(site.history, pid, 1, now), site.history.archived.query(pid, 1, now)
            for column in ("time_ns", "value", "quality"):
                assert repr(getattr(one, column).tolist()) == repr(getattr(other, column).tolist())
            span = (now - 3 * HOUR) // HOUR * HOUR, site.history._known_to() // (5 * MINUTE) * (5 * MINUTE)
            one, other = (ask(pid, *span, 300) for ask in (site.history.aggregates, site.history.archived.aggregates))
            for column in ("time_ns", "count", "good_s", "mean", "minimum", "time_weighted", "last"):
                assert getattr(one, column).tolist() == pytest.approx(getattr(other, column).tolist(), nan_ok=True), column
    finally:
        site.die()


# ---------------------------------------------------------------------- PostgreSQL falls, hangs, refuses


class KilledInTheMiddle:
    """A connection whose server is killed when half of a COPY has been sent."""

    def __init__(self, connection, postgres):
        self.inner, self.postgres = connection, postgres

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def copy_in(self, sql, stream):
        with self.inner._explained(), self.inner._connection.cursor() as cursor, cursor.copy(sql) as copy:
            copy.write(stream[: len(stream) // 2])
            self.postgres.kill()
            copy.write(stream[len(stream) // 2 :])


def test_a_server_killed_in_the_middle_of_copy_neither_loses_nor_doubles(site, postgres):
    site.put((0, 0.0))
    site.ship()
    site.archive.close()
    site.connect = lambda: KilledInTheMiddle(driver.PsycopgConnection(postgres.dsn()), postgres)
    for value in range(1, 2000):
        site.clock.advance(0.01)
        site.put((0, float(value)))
    with pytest.raises(ArchiveDownError, match="does not answer"):
        site.ship()
    assert site.history.status().waiting >= 1999
    assert "does not answer" in site.history.status().fault
    site.put((0, -1.0))
    site.history.flush()  # goes on without PostgreSQL
    assert HistoryStore.query(site.history, 0, 1, 2**62).value[-1] == -1.0
    site.connect = lambda: driver.PsycopgConnection(postgres.dsn())
    postgres.start()
    assert not site.archive.due
    site.clock.advance(60)
    site.ship()
    assert site.history.status().fault == ""
    assert same(site.here(0), site.there(0))
    assert len(site.there(0)) == 2001


def test_a_server_that_hangs_is_given_up_and_holds_nothing_up(site, postgres):
    import threading
    import time

    site.put((0, 1.0))
    site.ship()
    site.put((0, 2.0))
    site.history.flush()
    failed = []

    def ship():
        try:
            site.history.shipper.ship()
        except ArchiveError as error:
            failed.append(error)

    postgres.freeze()
    try:
        thread = threading.Thread(target=ship)
        thread.start()
        until = time.monotonic() + 20
        while thread.is_alive():
            assert time.monotonic() < until, "the call must end when the connection is cut"
            site.clock.advance(50)  # longer than the server may be silent
            site.put((0, float(thread.is_alive())))
            site.history.flush()
            thread.join(0.05)
    finally:
        postgres.thaw()
    assert isinstance(failed[0], ArchiveDownError)
    site.clock.advance(60)
    site.ship()
    assert same(site.here(0), site.there(0))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"password": "secret-and-wrong"}, "password authentication failed"),
        ({"dbname": "nowhere"}, 'database "nowhere" does not exist'),
        ({"user": "nobody"}, "authentication failed"),
        ({"port": 1}, "does not answer"),
    ],
)
def test_a_server_that_will_not_have_us_is_told_in_a_sentence_without_the_password(site, postgres, more, message):
    site.connect = lambda: driver.PsycopgConnection(postgres.dsn(**more))
    site.put((0, 1.0))
    with pytest.raises(ArchiveError, match=message) as told:
        site.ship()
    assert "secret" not in str(told.value)
    assert "PostgreSQL host=127.0.0.1" in str(told.value)
    assert message in site.history.status().fault
    site.history.shipper.ship()  # pauses
    site.connect = lambda: driver.PsycopgConnection(postgres.dsn())
    site.clock.advance(30)
    site.ship()
    assert same(site.here(0), site.there(0))


def test_a_connection_string_that_is_none_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match="not a connection string") as told:
        driver.parse_dsn("host=db password=secret gibberish")
    assert "secret" not in str(told.value)


def test_a_schema_of_a_newer_program_is_refused_and_an_older_one_brought_up_to_date(site, postgres):
    site.put((0, 1.0))
    site.ship()
    site.archive.close()
    site.sql("insert into version values (99)")
    site.put((0, 2.0))
    with pytest.raises(ArchiveError, match="version 99, this program knows 2"):
        site.ship()
    site.sql("drop view samples, minutes, gaps, points; drop function quality_words; delete from version where number > 1")
    site.clock.advance(60)
    site.ship()
    assert site.sql("select max(number) from version") == [("2",)]
    assert same(site.here(0), site.there(0))


def test_two_servers_cannot_write_one_schema(site, postgres, tmp_path):
    site.put((0, 1.0))
    site.ship()
    other = Site(tmp_path / "other", postgres)
    other.put((0, 2.0))
    with pytest.raises(ArchiveError, match="another server writes it"):
        other.ship()
    other.die()


# ---------------------------------------------------------------------- the outbox


def test_when_too_much_waits_the_oldest_is_given_up_and_postgresql_is_told_of_the_gap(tmp_path, postgres):
    site = Site(tmp_path, postgres)
    site.put((0, -1.0))
    site.ship()
    site.outbox_bytes = site.history.outbox._most_bytes = 20_000
    begin = site.clock.now_ns()
    rng = np.random.default_rng(1)
    for _ in range(60):
        site.clock.advance(1)
        for value in rng.normal(size=50).tolist():
            site.put((0, value))
        site.history.flush()
    lost = site.history.outbox.given_up
    assert 0 < lost == site.history.status().lost
    site.ship()
    there, here = site.there(0), site.here(0)
    assert len(there) == len(here) - lost
    assert set(map(repr, there)) < set(map(repr, here))
    gaps = [int(ns) for (ns,) in site.sql("select ((extract(epoch from time) * 1000000)::int8 * 1000 + ns) from gaps order by 1")]
    assert gaps[0] == begin + NS_PER_S
    site.die()


def test_a_late_value_among_those_given_up_does_not_hide_the_others_in_postgresql(tmp_path):
    file = LmdbFile(tmp_path, "history", layout=2, map_mb=8, databases=TABLES)
    outbox = Outbox(file, 0, 1)
    samples = np.zeros(3, ROW_DTYPE)
    samples["time"] = np.array([5_000, 100, 5_001]) * NS_PER_S
    minutes = np.zeros(1, MINUTE_DTYPE)
    minutes["time"] = 6_000 * NS_PER_S
    none = np.zeros(0, np.int64)
    for some in ((samples, minutes, none), (samples[:0], minutes, none)):
        with file.write() as txn:
            shipment = outbox.put(txn, *some, (1, 1))
        shipment.committed()
    [parcel] = outbox.parcels(0, 10)
    assert (parcel.gaps // NS_PER_S).tolist() == [100, 5_000, 6_000]
    file.close()


def test_a_full_disk_keeps_what_waits_in_memory_and_nothing_is_doubled(site, monkeypatch):
    from scada.rtdb.lmdb_file import LmdbFile, StoreFullError

    site.put((0, 1.0))
    site.ship()
    real = LmdbFile.write

    def full(self):
        raise StoreFullError("no space left to write", where=str(self.path))

    monkeypatch.setattr(LmdbFile, "write", full)
    for value in (2.0, 3.0):
        site.clock.advance(1)
        site.put((0, value))
        site.history.flush()
    assert "no space left" in site.history.status().fault
    monkeypatch.setattr(LmdbFile, "write", real)
    site.ship()
    assert site.history.status().fault == ""
    assert [value for _, value, _ in site.there(0)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("lose", ["commit", "disk"])
def test_a_file_that_went_back_in_time_neither_loses_nor_doubles(tmp_path, postgres, lose):
    """A power cut undid the last commit, which PostgreSQL has already; or the disk is a new one."""
    import shutil

    folder = tmp_path / "history"
    site = Site(folder, postgres)
    site.put((0, 1.0), (1, 5.0))
    site.ship()
    site.die()
    shutil.copytree(folder, tmp_path / "copy")
    site.open()
    site.clock.advance(1)
    site.put((0, 2.0))
    site.ship()
    site.die()
    shutil.rmtree(folder)
    if lose == "commit":
        shutil.copytree(tmp_path / "copy", folder)
    site.open()  # takes the changes in again, from the journal
    site.clock.advance(1)
    site.put((0, 3.0))
    site.ship()
    assert [value for _, value, _ in site.there(0)] == [1.0, 2.0, 3.0]
    assert [value for _, value, _ in site.there(1)] == [5.0]
    site.die()


def test_a_time_without_the_outbox_is_a_gap_in_postgresql(tmp_path, postgres):
    site = Site(tmp_path, postgres)
    site.put((0, 1.0))
    site.ship()
    last = site.clock.now_ns()
    site.die()
    embedded = HistoryStore(tmp_path, site.clock, POINTS, map_mb=16)
    for change in site.changes:
        embedded.append(change)
    site.clock.advance(5)
    site.changes.append(ChangeSet(2, site.changes[0].records, np.full(1, site.clock.now_ns()), site.clock.now_ns()))
    embedded.append(site.changes[-1])
    embedded.close()
    site.open()
    site.ship()
    gaps = [int(ns) for (ns,) in site.sql("select ((extract(epoch from time) * 1000000)::int8 * 1000 + ns) from gaps")]
    assert last in gaps
    site.die()


# ---------------------------------------------------------------------- what only PostgreSQL has, who may read, how long


def test_what_the_server_has_no_more_is_asked_of_postgresql(tmp_path, postgres):
    site = Site(tmp_path / "old", postgres)
    for value in range(300):
        site.put((0, float(value)))
        site.clock.advance(1)
    site.ship()
    now = site.clock.now_ns()
    begin = now - 300 * NS_PER_S
    expected = site.history.query(0, 1, now), site.history.query(0, begin, now, 7)
    site.die()
    site.folder, site.changes = tmp_path / "new", []
    site.clock.advance(1)
    site.open()
    assert not site.history.answers(1)
    for one, other in zip(expected, (site.history.query(0, 1, now), site.history.query(0, begin, now, 7)), strict=True):
        assert one.time_ns.tolist() == other.time_ns.tolist()
        assert one.value.tolist() == other.value.tolist()
        assert one.maximum.tolist() == other.maximum.tolist()
    assert site.history.before([0], now).value.tolist() == [299.0]
    site.archive.close()
    site.connect = lambda: driver.PsycopgConnection(postgres.dsn(port=1))
    with pytest.raises(ArchiveDownError):
        site.history.query(0, 1, now)
    later = site.clock.now_ns()
    assert len(site.history.query(0, later, later + 1)) == 0
    site.die()


def test_a_reader_may_read_the_views_and_nothing_else(site, postgres):
    postgres.sql("drop role if exists scada_reader; create role scada_reader login password 'right'")
    site.put((0, 1.5))
    site.ship()
    reader = driver.PsycopgConnection(postgres.dsn(user="scada_reader"))
    schema = postgres.schema
    assert reader.rows(f"select value from {schema}.samples") == [(1.5,)]
    assert reader.rows(f"select count(*) from {schema}.minutes, {schema}.gaps, {schema}.points") == [(0,)]
    for order in (
        f"select * from {schema}.sample",
        f"insert into {schema}.gap values (now(), 0)",
        f"delete from {schema}.samples",
        f"create table {schema}.mine (x int)",
        f"drop view {schema}.samples",
    ):
        with pytest.raises(ArchiveError, match=r"permission denied|must be owner|cannot delete"):
            reader.rows(order)
    reader.close()
    postgres.sql("drop owned by scada_reader; drop role scada_reader")


def test_retention_drops_whole_days_but_not_what_is_in_force(tmp_path, postgres):
    site = Site(tmp_path, postgres)
    site.archive.retention = Retention(raw_days=2)
    site.put((2, 1))
    site.ship()
    for day in range(5):
        site.clock.advance(86_400)
        site.put((0, float(day)))
        site.ship()
    tables = [
        name
        for (name,) in site.sql("select tablename from pg_tables where tablename ~ '^sample_2' and schemaname = current_schema")
    ]
    assert len(tables) <= 2 + 2 + 3
    assert [value for _, value, _ in site.there(2)] == [1.0]
    assert [value for _, value, _ in site.there(0)][-3:] == [2.0, 3.0, 4.0]
    site.die()


def test_the_roles_of_the_deployment_suffice_and_no_more(tmp_path, postgres):
    from pathlib import Path

    text = (Path(__file__).parents[2] / "deploy" / "postgresql" / "roles.sql").read_text()
    assert "create role scada login" in text
    postgres.sql("create database deployed", "postgres")
    ours = text.replace("role scada login", "role plant login").replace("scada_reader", "plant_reader")
    for old, new in (("to scada,", "to plant,"), ("to scada'", "to plant'"), ("authorization scada;", "authorization plant;")):
        assert old in ours
        ours = ours.replace(old, new)
    try:
        postgres.sql(ours, "deployed")
        postgres.sql("alter role plant password 'right'; alter role plant_reader password 'right'", "deployed")
        site = Site(tmp_path, postgres)
        postgres.schema = "scada_history"
        site.archive.close()
        site.connect = lambda: driver.PsycopgConnection(postgres.dsn(user="plant", dbname="deployed"))
        site.archive._schema, site.archive._reader = "scada_history", "plant_reader"
        site.put((0, 1.5))
        site.ship()
        reader = driver.PsycopgConnection(postgres.dsn(user="plant_reader", dbname="deployed", target_session_attrs="any"))
        assert reader.rows("select value from scada_history.samples") == [(1.5,)]
        reader.close()
        site.die()
    finally:
        postgres.sql("drop database deployed with (force)", "postgres")
        postgres.sql("drop role plant; drop role plant_reader", "postgres")
