from __future__ import annotations

from dataclasses import replace

import pytest

from scada.control.programme_records import RunRecord, RunState, StepPhase, run_from_plain, run_to_plain
from scada.control.programme_store import KEPT_RUNS, ProgrammeStore
from scada.core.clock import VirtualClock
from scada.rtdb.lmdb_file import CorruptFileError
from tests.control.bench_programmes import SEQUENCE


def made(number, state=RunState.DONE):
    record = RunRecord(f"r{number}", replace(SEQUENCE, version=1), "wang", "desk 1", "s", b"d", True, asked_ns=number)
    record.state = state
    return record


def test_versions_and_runs_come_back_as_they_were(tmp_path):
    store = ProgrammeStore(tmp_path, map_mb=16)
    versions = [replace(SEQUENCE, version=number, author="wang", reason="why") for number in (1, 2)]
    for version in versions:
        store.keep_version(version)
    record = made(5, RunState.RUNNING)
    record.steps[0].phase, record.steps[0].sequence_id = StepPhase.EXECUTING, "q1"
    store.keep_run(record)
    record.steps[0].phase = StepPhase.DONE
    store.keep_run(record)
    store.close()
    again = ProgrammeStore(tmp_path, map_mb=16)
    assert again.read_versions() == versions
    assert [one.digest for one in again.read_versions()] == [SEQUENCE.digest] * 2
    assert again.read_runs() == [record]
    again.close()
    assert run_from_plain(run_to_plain(record)) == record


def test_the_oldest_runs_go_but_none_that_is_under_way(tmp_path):
    store = ProgrammeStore(tmp_path, map_mb=16)
    store.keep_run(made(0, RunState.WAITING))
    for number in range(1, KEPT_RUNS + 10):
        store.keep_run(made(number))
    kept = [one.run for one in store.read_runs()]
    assert len(kept) == KEPT_RUNS
    assert kept[0] == "r0"
    assert kept[-1] == f"r{KEPT_RUNS + 9}"
    store.close()


def test_a_damaged_file_is_moved_aside_and_said(tmp_path):
    store = ProgrammeStore(tmp_path, map_mb=16)
    store.keep_version(replace(SEQUENCE, version=1))
    store.close()
    path = next(tmp_path.glob("*.lmdb"))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CorruptFileError):
        ProgrammeStore(tmp_path, map_mb=16)
    store, text = ProgrammeStore.open_or_quarantine(tmp_path, VirtualClock(), map_mb=16)
    assert "saved again" in text
    assert store.read_versions() == []
    store.close()
