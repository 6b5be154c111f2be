"""The history in PostgreSQL: what is there equals what is here, once, whatever fails; who may read it; what is refused."""


import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.batch import POINT_DTYPE
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.ids import PointId
from scada.core.quality import Quality
from scada.history.archive import Archive
from scada.history.connection import ArchiveDownError
from scada.history.interface import NOT_RECORDED, LateColumns
from scada.history.postgres import PostgresHistorian
from scada.history.store import HistoryStore
from scada.model_cim.tables import Point, PointKind
from scada.rtdb.changes import ChangeSet

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
    rows = site.sql("select time_weighted, mean, minimum, maximum, last, count, good_s from minutes where mrid = 'm0' order by time")
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
    for name, *given in steps:
        match name:
            case "put":
                pid, value, quality = given
                site.put((pid, value, quality | (BAD if np.isnan(value) else 0)))
            case "advance":
                site.clock.advance(given[0])
            case "late":
                site.late(given[0], site.clock.now_ns() - given[1] * NS_PER_S, given[2])
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
    site.clock.advance(200)
    site.ship()


@given(st.lists(STEP, min_size=3, max_size=25))
@settings(max_examples=15, deadline=None)
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
            span = (now - 3 * HOUR) // HOUR * HOUR, now // MINUTE * MINUTE
            one, other = (ask(pid, *span, 300) for ask in (site.history.aggregates, site.history.archived.aggregates))
            for column in ("time_ns", "count", "good_s", "mean", "minimum", "time_weighted", "last"):
                assert getattr(one, column).tolist() == pytest.approx(getattr(other, column).tolist(), nan_ok=True), column
    finally:
        site.die()
