"""History: dead band, time of a sample, gaps, buckets, value before, restart, faults."""

import resource

import numpy as np
import pytest

from scada.core.batch import POINT_DTYPE, RecordFlag, TimeQuality
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.errors import StoreError
from scada.core.ids import PointId
from scada.core.quality import Quality
from scada.history import chunk, reading, room
from scada.history import store as store_module
from scada.history.interface import NOT_RECORDED
from scada.history.store import HistoryStore
from scada.model_cim.tables import Point, PointKind
from scada.rtdb.changes import ChangeSet, GapError, Snapshot
from scada.rtdb.lmdb_file import CorruptFileError, StoreInUseError

T0 = 1_700_000_000 * NS_PER_S
BAD = int(Quality.INVALID)


def point(pid, kind=PointKind.ANALOG, mrid=None, **more):
    return Point(PointId(pid), mrid or f"m{pid}", f"S/{pid}", str(pid), kind, "", "", "", "", "S", "", 0, None, **more)


POINTS = [point(0), point(1, deadband=1.0), point(2, PointKind.DOUBLE, deadband=5.0), point(3)]


def at(second):
    return T0 + int(second * NS_PER_S)


class Feed:
    """Change sets with numbers that go on."""

    def __init__(self):
        self.seq = 0
        self.all = []

    def __call__(self, *rows, **columns):
        """Rows of (pid, second of receipt, value[, quality])."""
        records = np.zeros(len(rows), dtype=POINT_DTYPE)
        for record, (pid, _, value, *quality) in zip(records, rows, strict=True):
            record["pid"], record["value"], record["quality"] = pid, value, quality[0] if quality else 0
        for name, column in columns.items():
            records[name] = column
        change = ChangeSet(self.seq + 1, records, np.array([at(row[1]) for row in rows], dtype=np.int64), 0)
        self.seq = change.last
        self.all.append(change)
        return change


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def feed():
    return Feed()


@pytest.fixture
def history(tmp_path, clock):
    history = HistoryStore(tmp_path, clock, POINTS, map_mb=16)
    yield history
    history._file.close()


def reopened(history, tmp_path, points=POINTS):
    history._file.close()
    return HistoryStore(tmp_path, VirtualClock(), points, map_mb=16)


def seconds(series):
    return ((series.time_ns - T0) / NS_PER_S).tolist()


def raw(history, pid, start=0, stop=1e6):
    return history.query(pid, at(start), at(stop))


def seal(history, clock):
    clock.advance(601)
    history.flush()
    assert history._sampler.kept.count == 0


# ---------------------------------------------------------------- what is kept, and when it was


def test_a_sample_is_seen_at_once(history, feed):
    assert history.append(feed((0, 1, 5.0), (3, 1, 7.0), (0, 2, 6.0))) == 3
    assert (seconds(raw(history, 0)), raw(history, 0).value.tolist()) == ([1, 2], [5.0, 6.0])
    assert raw(history, 3).value.tolist() == [7.0]
    assert len(raw(history, 1)) == 0


def test_the_dead_band_is_of_the_last_kept_sample(history, feed):
    history.append(feed((1, 1, 5.0), (1, 2, 5.9), (1, 3, 6.0), (1, 4, 6.1), (1, 5, 5.2), (1, 6, 5.0)))
    assert raw(history, 1).value.tolist() == [5.0, 6.1, 5.0]


def test_a_status_is_kept_at_every_change(history, feed):
    history.append(feed((2, 1, 1.0), (2, 2, 2.0), (2, 3, 2.0, BAD), (2, 4, 2.0)))
    assert raw(history, 2).quality.tolist() == [0, 0, BAD, 0]


def test_an_event_is_kept_even_if_it_only_tells_the_time(history, feed):
    history.append(feed((2, 5, 1.0)))
    history.append(feed((2, 6, 1.0), source_time=at(4), flags=RecordFlag.EVENT))
    assert seconds(raw(history, 2)) == [4, 5]


def test_a_change_of_quality_is_kept_within_the_dead_band(history, feed):
    history.append(feed((1, 1, 5.0), (1, 2, 5.1, BAD), (1, 3, 5.2, BAD), (1, 4, 5.2)))
    assert raw(history, 1).quality.tolist() == [0, BAD, 0]


def test_no_number_is_kept_once(history, feed):
    history.append(feed((1, 1, np.nan, BAD), (1, 2, np.nan, BAD), (1, 3, 1.0)))
    assert seconds(raw(history, 1)) == [1, 3]
    assert np.isnan(raw(history, 1).value[0])


def test_a_sample_has_the_time_of_its_source_where_that_is_valid(history, feed):
    history.append(feed((0, 10, 1.0), source_time=at(3)))
    history.append(feed((0, 11, 2.0), source_time=0))
    history.append(feed((0, 12, 3.0), source_time=at(4), time_quality=TimeQuality.INVALID))
    history.append(feed((0, 13, 4.0, int(Quality.TIME_INVALID)), source_time=at(4)))
    history.append(feed((0, 14, 4.0, int(Quality.COMM_LOST)), source_time=at(4), flags=RecordFlag.QUALITY_SET))
    assert seconds(raw(history, 0)) == [3, 11, 12, 13, 14]


def test_a_late_sample_stands_in_its_place(history, feed, clock):
    history.append(feed((0, 1, 1.0), (0, 5, 5.0)))
    seal(history, clock)
    history.append(feed((0, 9, 3.0), source_time=at(3)))
    assert raw(history, 0).value.tolist() == [1.0, 3.0, 5.0]
    seal(history, clock)
    assert raw(history, 0).value.tolist() == [1.0, 3.0, 5.0]


def test_points_the_model_does_not_know_are_passed_over(history, feed):
    assert history.append(feed((4, 1, 1.0), (99, 1, 1.0))) == 0


# ---------------------------------------------------------------- queries


def test_span_and_value_before(history, feed, clock):
    history.append(feed((0, 1, 1.0), (0, 2, 2.0, BAD), (0, 4, 4.0)))
    for _ in range(2):  # from the tail, then from chunks
        found = raw(history, 0, 3, 4)
        assert len(found) == 0
        assert (found.before["value"].tolist(), found.before["quality"].tolist()) == ([2.0], [BAD])
        found = raw(history, 0, 2, 4)
        assert (found.value.tolist(), found.before["value"].tolist()) == ([2.0], [1.0])
        assert len(raw(history, 0, 1, 9).before) == 0
        assert len(raw(history, 1, 1, 9).before) == 0
        seal(history, clock)
        history.append(feed((0, 1e5, 9.0)))


def test_the_value_before_may_be_long_ago(history, feed, clock):
    history.append(feed((0, 1, 1.0), (1, 1, 7.0)))
    seal(history, clock)
    history.append(feed((3, 500_000, 1.0)))
    seal(history, clock)
    assert raw(history, 0, 400_000, 500_000).before["value"].tolist() == [1.0]
    assert raw(history, 3, 400_000, 500_000).before["value"].tolist() == []


def test_buckets_keep_extremes_last_and_gaps(history, feed, clock):
    history.append(feed((0, 0, 5.0), (0, 1, 9.0), (0, 2, 1.0), (0, 3, 4.0), (0, 25, 7.0)))
    for _ in range(2):
        found = history.query(0, at(0), at(40), 4)
        assert seconds(found) == [0, 20]
        assert found.value.tolist() == [4.0, 7.0]
        assert found.minimum.tolist() == [1.0, 7.0]
        assert found.maximum.tolist() == [9.0, 7.0]
        assert found.quality.tolist() == [0, 0]
        seal(history, clock)


def test_of_two_samples_of_one_moment_the_later_received_is_last(history, feed, clock):
    history.append(feed((0, 5, 1.0)))
    seal(history, clock)
    history.append(feed((0, 6, 2.0), source_time=at(5)))
    assert raw(history, 0).value.tolist() == [1.0, 2.0]
    assert history.query(0, at(0), at(10), 1).value.tolist() == [2.0]
    assert raw(history, 0, 7).before["value"].tolist() == [2.0]


def test_bad_samples_stay_visible_in_buckets(history, feed):
    history.append(feed((0, 0, 5.0), (0, 1, 99.0, BAD), (0, 2, 6.0), (0, 11, 7.0, BAD), (0, 21, np.nan, BAD)))
    found = history.query(0, at(0), at(30), 3)
    assert found.quality.tolist() == [BAD, BAD, BAD]
    assert found.minimum[:2].tolist() == [5.0, 7.0]
    assert found.maximum[:2].tolist() == [6.0, 7.0]
    assert np.isnan([found.value[2], found.minimum[2], found.maximum[2]]).all()


def test_more_buckets_than_nanoseconds(history, feed):
    history.append(feed((0, 0, 5.0)))
    found = history.query(0, T0, T0 + 3, 1000)
    assert (found.time_ns.tolist(), found.value.tolist()) == ([T0], [5.0])


def test_raw_samples_are_limited(history, feed, clock, monkeypatch):
    monkeypatch.setattr(reading, "RAW_LIMIT", 100)
    for hour in range(3):
        history.append(feed(*[(0, hour * 3600 + i, float(i)) for i in range(60)]))
        seal(history, clock)
    history.append(feed((0, 30.5, -1.0), source_time=at(30.5)))
    found = raw(history, 0)
    assert (len(found), found.truncated) == (100, True)
    assert found.value[31] == -1.0, "a sample still in the tail stands in its place"
    rest = raw(history, 0, 3600 + 39)
    assert (len(rest), rest.truncated) == (81, False)


def test_several_points(history, feed):
    history.append(feed((0, 1, 1.0), (3, 1, 3.0)))
    assert [(one.pid, one.value.tolist()) for one in history.query_many([3, 0], T0, at(9))] == [(3, [3.0]), (0, [1.0])]


@pytest.mark.parametrize(("pid", "start", "stop"), [(4, 0, 1), (-1, 0, 1), (0, 1, 1), (0, 2, 1)])
def test_questions_without_an_answer(history, pid, start, stop):
    with pytest.raises(StoreError, match=r"there is no point|the span"):
        history.query(pid, at(start), at(stop))


# ---------------------------------------------------------------- restart


def test_what_was_flushed_survives_and_the_journal_gives_the_rest(history, feed, tmp_path):
    history.append(feed((0, 1, 1.0), (1, 1, 1.0)))
    history.flush()
    history.append(feed((0, 2, 2.0)))
    history = reopened(history, tmp_path)
    assert history.seq == 2
    assert raw(history, 0).value.tolist() == [1.0]
    for change in feed.all:  # the actor asks the journal for what follows; too much does no harm
        history.append(change)
    assert raw(history, 0).value.tolist() == [1.0, 2.0]
    assert raw(history, 1).value.tolist() == [1.0]
    history.close()
    history.close()


def test_a_change_set_half_known_is_cut(history, feed):
    first = feed((0, 1, 1.0), (0, 2, 2.0))
    history.append(ChangeSet(1, first.records[:1], first.received_at[:1], 0))
    assert history.append(first) == 1
    assert raw(history, 0).value.tolist() == [1.0, 2.0]


def test_missing_changes_are_not_passed_over_in_silence(history, feed):
    history.append(feed((0, 1, 1.0)))
    feed((0, 2, 2.0))
    with pytest.raises(GapError) as gap:
        history.append(feed((0, 3, 3.0)))
    assert (gap.value.asked, gap.value.oldest) == (2, 3)
    for change in feed.all:
        history.append(change)
    assert raw(history, 0).value.tolist() == [1.0, 2.0, 3.0]


def test_resync_takes_the_present_values(history, feed):
    history.append(feed((0, 1, 1.0), (1, 1, 1.0)))
    pids = np.arange(4, dtype=np.uint32)
    quality = np.array([0, BAD, 0, int(Quality.NEVER_RECEIVED)], dtype=np.uint32)
    times = np.full(4, at(50), dtype=np.int64)
    snapshot = Snapshot(1000, pids, np.array([1.0, 1.0, 2.0, np.nan]), quality, np.zeros(4, dtype=np.int64), times)
    assert history.resync(snapshot) == 2
    assert history.seq == 1000
    assert raw(history, 1).quality.tolist() == [0, BAD]
    assert len(raw(history, 3)) == 0


def test_history_follows_the_point_not_its_number(history, feed, tmp_path):
    history.append(feed((0, 1, 1.0), (3, 1, 3.0)))
    history.flush()
    renumbered = [point(0, mrid="m3"), point(1, mrid="m0"), point(2, mrid="new")]
    history = reopened(history, tmp_path, renumbered)
    assert [raw(history, pid).value.tolist() for pid in range(3)] == [[3.0], [1.0], []]
    history.set_points(POINTS)
    assert raw(history, 0).value.tolist() == [1.0]
    history.close()


# ---------------------------------------------------------------- faults


def test_a_second_writer_is_refused(history, tmp_path, clock):
    with pytest.raises(StoreInUseError):
        HistoryStore(tmp_path, clock, POINTS, map_mb=16)


def test_a_damaged_file_is_moved_aside(history, feed, tmp_path, clock):
    history.append(feed(*[(0, i, float(i)) for i in range(2000)]))
    seal(history, clock)
    history._file.close()
    path = tmp_path / "history.lmdb"
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(CorruptFileError):
        HistoryStore(tmp_path, clock, POINTS, map_mb=16)
    fresh, reason = HistoryStore.open_or_quarantine(tmp_path, clock, POINTS, map_mb=16)
    assert "history.lmdb.corrupt-" in reason
    assert len(raw(fresh, 0)) == 0
    fresh.close()


def test_a_damaged_chunk_is_set_aside_counted_and_shown_as_a_gap(history, feed, clock, tmp_path):
    history.append(feed((0, 1, 1.0), (3, 1, 3.0)))
    seal(history, clock)
    with history._file.write() as txn:
        ((key, blob), *_) = txn.ascending("chunks")
        txn.put("chunks", key, blob[:-1] + b"x")
    found = raw(history, 0, -3600)
    assert (found.quality.tolist(), np.isnan(found.value).all(), history.damaged) == ([NOT_RECORDED], True, 1)
    assert raw(history, 3).value.tolist() == [3.0]
    history.append(feed((0, 2, 2.0)))
    seal(history, clock)
    assert (history.fault, history.damaged, history.status().damaged) == (None, 1, 1)
    assert raw(history, 0, -3600).quality.tolist() == [NOT_RECORDED, 0]
    with history._file.read() as txn:
        assert txn.get("damaged", b"chunks " + key) == blob[:-1] + b"x"


@pytest.mark.parametrize("table", ["chunks", "minutes"])
def test_a_damaged_part_is_set_aside_when_it_is_to_be_merged(history, feed, clock, table):
    history.append(feed((0, 1, 1.0), (0, 61, 1.5)))
    seal(history, clock)
    with history._file.write() as txn:
        ((key, blob),) = txn.ascending(table)
        txn.put(table, key, blob[:-1] + b"x")
    clock.advance(2 * 86_400)
    history.append(feed((0, 2 * 86_400, 2.0)))
    seal(history, clock)
    assert (history.fault, history.damaged) == (None, 1)
    assert raw(history, 0).value.tolist()[-1] == 2.0
    if table == "minutes":
        found = history.aggregates(0, at(-20), at(40), 60)
        assert len(found) == 0, "the minute is not known any more"


def test_a_full_disk_keeps_samples_in_memory(history, feed, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "_MAX_ROWS", 5000)
    rows = np.arange(1000)

    def more(times):
        for _ in range(times):
            history.append(feed(*[(0, second, float(second)) for second in rows.tolist()]))
            history.flush()
            rows[:] += 1000

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "history.lmdb").stat().st_size, hard))
    try:
        more(4)
        assert "no space left" in str(history.fault)
        assert (len(raw(history, 0)), history.lost) == (4000, 0)
        more(4)
        assert (len(raw(history, 0)), history.lost) == (5000, 3000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    history.flush()
    assert history.fault is None
    history = reopened(history, tmp_path)
    assert (len(raw(history, 0)), history.seq) == (5000, 8000)
    history.close()


def test_the_oldest_hours_make_room(history, feed, clock, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "FULL_AT", 0.1)
    rng = np.random.default_rng(1)
    for hour in range(25):  # about 90 kB of noise an hour
        values = rng.random(5000)
        history.append(feed(*[(pid, hour * 3600 + i / 2, value) for i, value in enumerate(values) for pid in (0, 3)]))
        seal(history, clock)
        assert history.fault is None
    assert len(raw(history, 0, 24 * 3600)) == 5000
    assert len(raw(history, 0, 0, 3600)) == len(raw(history, 3, 0, 3600)) == 0
    history = reopened(history, tmp_path)
    assert len(raw(history, 3, 24 * 3600)) == 5000
    history.close()


# ---------------------------------------------------------------- chunks


def test_chunks_come_back_as_they_were():
    rng = np.random.default_rng(1)
    samples = np.zeros(1000, dtype=chunk.SAMPLE_DTYPE)
    samples["time"] = T0 + np.cumsum(rng.integers(0, 10**9, 1000))
    samples["value"] = rng.random(1000)
    samples["value"][7] = np.nan
    samples["quality"] = rng.integers(0, 2**32, 1000)
    blob = chunk.encode(samples)
    assert chunk.decode(blob, "x").tobytes() == samples.tobytes()
    with pytest.raises(CorruptFileError):
        chunk.decode(blob[:-1], "x")
