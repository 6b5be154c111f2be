"""The event log: numbers, queries, restart, full disk, damaged file, kill -9."""

import os
import resource
import signal
from dataclasses import replace

import numpy as np
import pytest

from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.errors import StoreError
from scada.events import log as log_module
from scada.events.log import EventLog
from scada.events.records import Alarm, AlarmPhase, Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.rtdb.lmdb_file import CorruptFileError, StoreInUseError

T0 = 1_700_000_000 * NS_PER_S


def event(second=0, kind=EventKind.SYSTEM, **more):
    return Event(T0 + second * NS_PER_S, kind, AlarmClass.NOTICE, 4, "system.started", {"text": "ü 启动"}, **more)


def alarm(number, phase=AlarmPhase.UNACK_ACTIVE):
    return Alarm(number, phase, AlarmClass.LIMIT, 2, "limit.hi", {"value": "1"}, 3, "m3", "S", "S/3", 1.5, 1.0, T0)


@pytest.fixture
def log(tmp_path):
    log = EventLog(tmp_path, VirtualClock(), map_mb=16)
    yield log
    log._file.close()


def reopened(log, tmp_path):
    log._file.close()
    return EventLog(tmp_path, VirtualClock(), map_mb=16)


def test_events_come_back_as_they_were(log, tmp_path):
    rich = event(kind=EventKind.STATUS_CHANGE, pid=5, mrid="m", station="S", path="S/x", value=2.0, source_time_ns=7, seq=9)
    (stored,) = log.append([rich], seq=9)
    assert stored == replace(rich, event_id=1)
    assert log.query() == [stored]
    log = reopened(log, tmp_path)
    assert (log.query(), log.last_id, log.stored_id, log.seq) == ([stored], 1, 1, 9)
    assert np.isnan(log.append([event()])[0].value)
    log.close()
    log.close()


def test_reserved_numbers_come_first(log):
    reserved = [log.next_id(), log.next_id()]
    assert reserved == [1, 2]
    stored = log.append([event(event_id=1), event(event_id=2, alarm_id=1), event()])
    assert [one.event_id for one in stored] == [1, 2, 3]
    assert log.next_id() == 4
    with pytest.raises(ValueError, match="event 3 comes after event 3"):
        log.append([event(event_id=3)])


def test_queries(log):
    log.append([event(second, EventKind(1 + second % 2)) for second in range(10)])
    ids = lambda found: [one.event_id for one in found]  # noqa: E731
    assert ids(log.query(limit=3)) == [10, 9, 8]
    assert ids(log.query(after_id=7)) == [8, 9, 10]
    assert ids(log.query(after_id=7, limit=1)) == [8]
    assert ids(log.query(after_id=10)) == []
    assert ids(log.query(from_ns=T0 + 2 * NS_PER_S, to_ns=T0 + 5 * NS_PER_S)) == [5, 4, 3]
    assert ids(log.query(to_ns=T0 + 1)) == [1]
    assert ids(log.query(kinds=[EventKind.STATUS_CHANGE], limit=2)) == [9, 7]
    assert ids(log.query(after_id=4, kinds=[2])) == [6, 8, 10]
    assert ids(log.query(from_ns=T0 + 99 * NS_PER_S)) == []


def test_a_clock_set_back_does_not_hide_events(log):
    log.append([event(100), event(50), event(101)])
    assert [one.event_id for one in log.query(from_ns=T0 + 40 * NS_PER_S, to_ns=T0 + 60 * NS_PER_S)] == [2]


def test_present_alarms_survive(log, tmp_path):
    log.append([event(), event()], alarms=[alarm(1), alarm(2)])
    log.append([event()], alarms=[alarm(1, AlarmPhase.NORMAL), alarm(2, AlarmPhase.ACK_ACTIVE)])
    expected = [alarm(2, AlarmPhase.ACK_ACTIVE)]
    assert log.alarms() == expected
    log = reopened(log, tmp_path)
    assert log.alarms() == expected
    log.close()


def test_the_sequence_number_alone_is_written_now_and_then_and_at_the_end(log, tmp_path):
    log.append([], seq=10)
    log = reopened(log, tmp_path)
    assert log.seq == 0
    log.append([], seq=60_000)
    log = reopened(log, tmp_path)
    assert log.seq == 60_000
    log.append([], seq=60_001)
    log.close()
    log = reopened(log, tmp_path)
    assert log.seq == 60_001
    log.close()


def test_a_second_writer_is_refused(log, tmp_path):
    with pytest.raises(StoreInUseError, match="already has a writer"):
        EventLog(tmp_path, VirtualClock(), map_mb=16)


def test_a_damaged_log_is_moved_aside_and_numbers_are_not_used_twice(log, tmp_path):
    log.append([event() for _ in range(50)])
    log._file.close()
    path = tmp_path / "events.lmdb"
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(CorruptFileError):
        EventLog(tmp_path, VirtualClock(), map_mb=16)
    fresh, reason = EventLog.open_or_quarantine(tmp_path, VirtualClock(), map_mb=16)
    assert "events.lmdb.corrupt-" in reason
    assert fresh.append([event()])[0].event_id == VirtualClock().now_ns() // 1_000_000 + 1
    fresh.close()
    again, reason = EventLog.open_or_quarantine(tmp_path, VirtualClock(), map_mb=16)
    assert (reason, again.last_id) == ("", fresh.last_id)
    again.close()


def test_a_damaged_event_says_so_and_hides_no_other(log, tmp_path):
    log.append([event(1), event(2, mrid="the damaged one"), event(3)])
    log._file.close()
    path = tmp_path / "events.lmdb"
    path.write_bytes(path.read_bytes().replace(b"the damaged one", b"the DAMAGED one"))
    log = EventLog(tmp_path, VirtualClock(), map_mb=16)
    newest = log.query()
    assert [one.event_id for one in newest] == [3, 2, 1]
    assert [one.event_id for one in log.query(after_id=1)] == [2, 3]
    assert (newest[1].key, newest[1].time_ns) == ("events.gap", T0 + 2 * NS_PER_S)
    assert "checksum" in newest[1].parameters["reason"]
    log.close()


def test_a_full_disk_keeps_events_in_memory_and_retries(log, tmp_path):
    log.append([event()])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "events.lmdb").stat().st_size, hard))
    try:
        stored = [one for _ in range(30) for one in log.append([event() for _ in range(20)])]
        assert [one.event_id for one in stored] == list(range(2, 602))
        log.append([event()], alarms=[alarm(602)])
        assert "no space left" in str(log.fault)
        assert log.stored_id < log.last_id == 602
        assert [one.event_id for one in log.query(limit=3)] == [602, 601, 600]
        assert [one.event_id for one in log.query(after_id=1, limit=1000)] == list(range(2, 603))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.append([])
    assert log.fault is not None, "a full disk is not asked again at every event"
    log._clock.advance(1)
    log.append([])
    assert (log.fault, log.stored_id, log.lost) == (None, 602, 0)
    log = reopened(log, tmp_path)
    assert [one.event_id for one in log.query(after_id=1, limit=1000)] == list(range(2, 603))
    assert log.alarms() == [alarm(602)]
    log.close()


def test_too_many_waiting_events_give_up_the_oldest(log, tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "_MAX_WAITING", 100)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "events.lmdb").stat().st_size, hard))
    try:
        log.append([event() for _ in range(50)])
        log._clock.advance(1)
        log.append([event() for _ in range(450)])
        assert log.lost == 400
        with pytest.raises(StoreError, match="no space left"):
            log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_oldest_events_make_room(log, tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "_FULL_AT", 0.1)
    log.append([event()], alarms=[alarm(1)])
    for start in range(0, 8_000, 1000):
        log.append([event(start + i, mrid="x" * 300) for i in range(1000)])
        assert log.fault is None
    assert log.last_id == 8_001
    assert log.query(limit=1)[0].event_id == 8_001
    (oldest,) = log.query(after_id=1, limit=1)
    assert oldest.event_id > 2
    assert log.query(to_ns=oldest.time_ns) == []
    log = reopened(log, tmp_path)
    assert log.alarms() == [alarm(1)]
    assert log.last_id == 8_001
    log.close()


@pytest.mark.slow
def test_what_was_appended_survives_kill_9(tmp_path):
    for _ in range(6):
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                log = EventLog(tmp_path, VirtualClock(), map_mb=64)
                while True:
                    log.append([event(seq=log.last_id + 1), event(seq=log.last_id + 2)], alarms=[alarm(log.last_id)])
                    os.write(write_end, log.last_id.to_bytes(8, "big"))
            finally:
                os._exit(1)
        os.close(write_end)
        told = b"".join(os.read(read_end, 8) for _ in range(40))
        os.kill(child, signal.SIGKILL)
        while data := os.read(read_end, 65536):
            told += data
        os.close(read_end)
        os.waitpid(child, 0)
        acknowledged = int.from_bytes(told[-8:], "big")
        log = EventLog(tmp_path, VirtualClock(), map_mb=64)
        assert acknowledged <= log.last_id <= acknowledged + 2
        found = log.query(limit=log.last_id)[::-1]
        assert [one.event_id for one in found] == list(range(1, log.last_id + 1))
        assert all(one.seq == one.event_id for one in found)
        log.close()
