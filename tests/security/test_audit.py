from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.core.errors import StoreError
from scada.security import audit_chain, audit_writer
from scada.security.audit import AuditError, AuditLog, AuditRow, read_audit, verify
from scada.security.audit_chain import HEADER_SIZE

SEGMENT = "audit.000001.log"


def row(number):
    return AuditRow("control", "execute", actor="operator", mrid=f"c-{number}", old=1.0, value=2.0, evidence=b"\x00\xff" * 20)


@pytest.fixture
def folder(tmp_path, clock):
    with AuditLog(tmp_path / "audit", clock) as log:
        for number in range(30):
            clock.advance(1)
            assert log.append(row(number)) == number + 1
    return tmp_path / "audit"


def test_rows_come_back_in_order_with_their_times(folder, clock):
    records = list(read_audit(folder))
    assert [record.number for record in records] == list(range(1, 31))
    assert [record.row for record in records] == [row(number) for number in range(30)]
    assert records[-1].time_ns == clock.now_ns()
    assert verify(folder) is None
    assert (folder / SEGMENT).stat().st_mode & 0o777 == 0o600


def test_the_chain_goes_on_after_reopening(folder, clock):
    with AuditLog(folder, clock) as log:
        assert log.repaired == ""
        assert log.append(row(30)) == 31
        assert len(list(log.records())) == 31
    assert verify(folder) is None


@given(position=st.integers(14, 5000), bit=st.integers(0, 7))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_flipped_bit_is_found_with_its_record(folder, position, bit):
    path = folder / SEGMENT
    data = path.read_bytes()
    position = min(position, len(data) - 1)
    spoiled = bytearray(data)
    spoiled[position] ^= 1 << bit
    path.write_bytes(bytes(spoiled))
    try:
        expected = next(index for index, start in enumerate(offsets_of(data)) if start > position)  # 0 is the header
        found = verify(folder)
        assert found is not None
        assert found.record == expected
    finally:
        path.write_bytes(data)


def offsets_of(data):
    at, result = HEADER_SIZE, []
    while at < len(data):
        result.append(at)
        at += 4 + int.from_bytes(data[at : at + 4], "little") + 32
    return [*result, at]


def test_a_changed_size_is_no_torn_record(folder, clock):
    """Nothing is cut off when whole records follow a size that reaches beyond the end."""
    path = folder / SEGMENT
    data = bytearray(path.read_bytes())
    data[offsets_of(bytes(data))[4] + 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(AuditError, match="record 5 has a changed size"):
        AuditLog(folder, clock)
    assert path.read_bytes() == bytes(data)


def test_a_removed_a_swapped_and_an_inserted_record_are_found(folder):
    path = folder / SEGMENT
    data = path.read_bytes()
    at = offsets_of(data)
    seventh, eighth = data[at[6] : at[7]], data[at[7] : at[8]]
    for forged in (
        data[: at[6]] + data[at[7] :],
        data[: at[6]] + eighth + seventh + data[at[8] :],
        data[: at[6]] + seventh + seventh + data[at[7] :],
    ):
        path.write_bytes(forged)
        found = verify(folder)
        assert found is not None
        assert found.record in (7, 8)
        assert "record" in str(found)


def test_a_broken_chain_is_not_continued(folder, clock):
    path = folder / SEGMENT
    data = bytearray(path.read_bytes())
    data[offsets_of(bytes(data))[21] + 10] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(AuditError, match="record 22 does not follow"):
        AuditLog(folder, clock)
    assert path.read_bytes() == bytes(data)
    with pytest.raises(AuditError, match="record 22"):
        list(read_audit(folder))


@pytest.mark.parametrize("kept", [1, 3, 4, 5, 60, -1, -32, -33])
def test_a_torn_last_record_is_reported_and_cut_off(folder, clock, kept):
    path = folder / SEGMENT
    data = path.read_bytes()
    start = offsets_of(data)[-2]
    end = start + kept if kept > 0 else len(data) + kept
    path.write_bytes(data[:end])
    found = verify(folder)
    assert found is not None
    assert found.record == 30
    assert len(list(read_audit(folder))) == 29
    with AuditLog(folder, clock) as log:
        assert "record 30" in log.repaired
        assert (folder / "audit.torn-30").read_bytes() == data[start:end]
        assert log.append(row(99)) == 30
    assert verify(folder) is None


def test_zeros_after_a_loss_of_power_are_torn_too(folder, clock):
    path = folder / SEGMENT
    path.write_bytes(path.read_bytes() + bytes(4096))
    with AuditLog(folder, clock) as log:
        assert "record 31" in log.repaired
    assert verify(folder) is None
    path.write_bytes(path.read_bytes() + bytes(10) + b"\x01")
    with pytest.raises(AuditError, match="no possible size"):
        AuditLog(folder, clock)


def test_another_file(tmp_path, clock):
    (tmp_path / SEGMENT).write_bytes(b"something else entirely")
    with pytest.raises(AuditError, match="not the beginning"):
        AuditLog(tmp_path, clock)
    (tmp_path / SEGMENT).write_bytes(b"something else entirely" * 10)
    with pytest.raises(AuditError, match="not the beginning"):
        AuditLog(tmp_path, clock)
    with pytest.raises(StoreError, match="no audit log"):
        verify(tmp_path / "absent")


def test_one_writer(folder, clock):
    with AuditLog(folder, clock), pytest.raises(StoreError, match="another process"):
        AuditLog(folder, clock)
    AuditLog(folder, clock).close()


def test_full_disk_refuses_the_row_and_keeps_the_chain(folder, clock, monkeypatch):
    with AuditLog(folder, clock) as log:

        def full(file, data):
            file.write(data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(audit_writer, "_write_whole", full)
            with pytest.raises(StoreError, match="No space left"):
                log.append(row(30))
        assert log.append(row(31)) == 31
    assert verify(folder) is None


def test_closed_log_takes_nothing(folder, clock):
    log = AuditLog(folder, clock)
    log.close()
    with pytest.raises(StoreError, match="closed"):
        log.append(row(1))


def test_threads(folder, clock):
    with AuditLog(folder, clock) as log:
        threads = [threading.Thread(target=lambda: [log.append(row(0)) for _ in range(5)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert verify(folder) is None
    assert len(list(read_audit(folder))) == 50


@pytest.fixture
def long(tmp_path, clock):
    """Thirty rows in several segments."""
    with AuditLog(tmp_path / "long", clock, segment_bytes=1000) as log:
        for number in range(30):
            log.append(row(number))
    assert len(list((tmp_path / "long").glob("audit.*.log"))) > 4
    return tmp_path / "long"


def test_the_chain_runs_through_segments(long, clock):
    assert verify(long) is None
    assert [record.number for record in read_audit(long)] == list(range(1, 31))
    with AuditLog(long, clock, segment_bytes=1000) as log:
        recent = [record.number for record in log.records()]
        assert 2 < len(recent) < 15
        assert recent[-1] == 30
        assert log.append(row(30)) == 31
    assert verify(long) is None


def test_a_removed_segment_is_found_and_an_archived_beginning_is_not_missed(long):
    paths = sorted(long.glob("audit.*.log"))
    first = next(iter(read_audit(long))).number
    paths[0].unlink()
    assert verify(long) is None
    assert next(iter(read_audit(long))).number > first
    kept = paths[2].read_bytes()
    paths[2].unlink()
    assert "segment was removed" in str(verify(long))
    paths[2].write_bytes(kept[:-3])
    assert "is cut short" in str(verify(long))
    paths[2].write_bytes(kept)
    assert verify(long) is None


def test_a_changed_segment_header_is_found(long):
    path = sorted(long.glob("audit.*.log"))[1]
    data = path.read_bytes()
    for position in range(HEADER_SIZE):
        spoiled = bytearray(data)
        spoiled[position] ^= 1
        path.write_bytes(bytes(spoiled))
        assert verify(long) is not None
    path.write_bytes(data)
    assert verify(long) is None


@pytest.mark.parametrize("size", [0, 5, 53])
def test_a_segment_that_a_crash_left_without_a_header(long, clock, size):
    with AuditLog(long, clock, segment_bytes=10) as log:
        log.append(row(30))
    begun = max(long.glob("audit.*.log"))
    begun.write_bytes(begun.read_bytes()[:size])
    with AuditLog(long, clock) as log:
        assert begun.name in log.repaired
        assert log.append(row(30)) == 31
    assert verify(long) is None


def test_disk_full_while_a_segment_is_begun(long, clock, monkeypatch):
    with AuditLog(long, clock, segment_bytes=100) as log:
        with monkeypatch.context() as patch:
            patch.setattr(audit_writer, "_write_whole", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
            with pytest.raises(StoreError, match="No space left"):
                log.append(row(30))
        assert log.append(row(31)) == 31
    assert verify(long) is None


def test_kill_9_loses_no_row_that_was_acknowledged(tmp_path, clock):
    """The writer says each number after append returned; killed in full flight, every said number is there."""
    script = """
        import sys
        from pathlib import Path
        from scada.core.clock import SystemClock
        from scada.security.audit import AuditLog, AuditRow
        log = AuditLog(Path(sys.argv[1]), SystemClock())
        while True:
            print(log.append(AuditRow("control", "execute", evidence=b"x" * 500)), flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(40)]
    process.send_signal(signal.SIGKILL)
    said += [int(line) for line in process.stdout.read().split()]
    process.wait()
    process.stdout.close()
    with AuditLog(tmp_path, clock) as log:
        assert log.append(row(0)) > said[-1]
    numbers = [record.number for record in read_audit(tmp_path)]
    assert numbers[: len(said)] == said
    assert verify(tmp_path) is None


def test_many_rows_are_one_group_and_come_back_in_order(folder, clock, monkeypatch):
    synced = []
    monkeypatch.setattr(audit_writer, "_write_whole", lambda file, data: synced.append(file.write(data)))
    with AuditLog(folder, clock) as log:
        assert log.append_many([row(number) for number in range(30, 50)]) == list(range(31, 51))
        assert log.append_many([]) == []
    assert len(synced) == 1
    assert [record.row for record in read_audit(folder)] == [row(number) for number in range(50)]
    assert verify(folder) is None


def test_a_row_that_cannot_be_stored_takes_its_group_with_it_and_nothing_else(folder, clock):
    huge = AuditRow("control", "execute", evidence=b"x" * (1 << 20))
    with AuditLog(folder, clock) as log:
        with pytest.raises(StoreError, match="1048576 are the most"):
            log.append_many([row(30), huge, row(31)])
        with pytest.raises(StoreError, match="cannot be stored"):
            log.append_many([row(30), AuditRow("control", object())])
        assert log.append(row(32)) == 31
    assert verify(folder) is None


def test_threads_that_wait_for_a_write_are_written_together(folder, clock, monkeypatch):
    """While the first is held up in its write, five more queue: they need one more synchronisation, not five."""
    held, go, writes = threading.Event(), threading.Event(), []
    whole = audit_writer._write_whole

    def slow(file, data):
        writes.append(len(data))
        if len(writes) == 1:
            held.set()
            assert go.wait(10)
        whole(file, data)

    numbers = []
    with AuditLog(folder, clock) as log:
        monkeypatch.setattr(audit_writer, "_write_whole", slow)
        first = threading.Thread(target=lambda: numbers.append(log.append(row(0))))
        first.start()
        assert held.wait(10)
        rest = [threading.Thread(target=lambda: numbers.extend(log.append_many([row(1), row(2)]))) for _ in range(5)]
        for thread in rest:
            thread.start()
        while len(log._waiting) < 5:
            pass
        go.set()
        for thread in (first, *rest):
            thread.join()
    assert len(writes) == 2
    assert sorted(numbers) == list(range(31, 42))
    assert verify(folder) is None


def test_a_full_disk_refuses_every_thread_of_the_group(folder, clock, monkeypatch):
    refused = []

    def append():
        try:
            log.append(row(0))
        except StoreError as error:
            refused.append(str(error))

    with AuditLog(folder, clock) as log:
        with monkeypatch.context() as patch:
            patch.setattr(audit_writer, "_write_whole", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
            threads = [threading.Thread(target=append) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(refused) == 4
        assert log.append(row(0)) == 31
    assert verify(folder) is None


def test_an_interrupted_write_closes_the_log(folder, clock, monkeypatch):
    def interrupted(file, data):
        raise KeyboardInterrupt

    with AuditLog(folder, clock) as log:
        with monkeypatch.context() as patch:
            patch.setattr(audit_writer, "_write_whole", interrupted)
            with pytest.raises(KeyboardInterrupt):
                log.append(row(30))
        with pytest.raises(StoreError, match="interrupted"):
            log.append(row(30))
    assert verify(folder) is None


def test_a_forged_chain_with_a_wrong_number_or_unreadable_rows_is_found(tmp_path, clock):
    """Whoever can compute the digests anew must still count right."""
    for body in (audit_chain.encode(2, 1, row(0))[4:], b"\xc1 is no msgpack"):
        sized = len(body).to_bytes(4, "little") + body
        beginning = audit_chain.BEGINNING
        (tmp_path / SEGMENT).write_bytes(audit_chain.header(beginning) + sized + audit_chain.link(beginning.digest, sized))
        assert verify(tmp_path).record == 1


def spoil(folder, how):
    path = folder / SEGMENT
    data = path.read_bytes()
    if how == "removed":
        path.unlink()
    elif how == "cut":
        os.truncate(path, len(data) - 1)
    elif how == "written to":
        path.write_bytes(data + data[HEADER_SIZE:])
    elif how == "exchanged":
        path.rename(folder / "aside")
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["removed", "cut", "written to", "exchanged"])
@pytest.mark.parametrize("segment_bytes", [1 << 20, 10])
def test_no_row_goes_into_a_file_that_somebody_else_has_touched(folder, clock, how, segment_bytes):
    """Its caller would act on a row that nobody can ever read, or that does not follow from what is before it."""
    with AuditLog(folder, clock, segment_bytes=segment_bytes) as log:
        spoil(folder, how)
        left = {path.name: path.stat().st_size for path in folder.iterdir()}
        for _ in range(2):
            with pytest.raises(StoreError, match=r"audit\.000001\.log"):
                log.append(row(30))
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == left


def test_two_writers_whose_lock_was_removed_do_not_write_into_each_other(folder, clock):
    with AuditLog(folder, clock) as first:
        (folder / "audit.lock").unlink()
        with AuditLog(folder, clock) as second:
            second.append(row(30))
            with pytest.raises(StoreError, match="it was changed"):
                first.append(row(31))
            second.append(row(32))
    assert verify(folder) is None


def run_script(script, folder):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )


def test_kill_9_with_many_threads_waiting_loses_no_row_that_was_acknowledged(tmp_path, clock):
    """Eight threads wait for a shared write; whoever was told a number finds its own row under it."""
    script = """
        import os, sys, threading
        from pathlib import Path
        from scada.core.clock import SystemClock
        from scada.security.audit import AuditLog, AuditRow
        log = AuditLog(Path(sys.argv[1]), SystemClock(), segment_bytes=20_000)
        def work(name):
            for each in range(10**6):
                number, _ = log.append_many([AuditRow("control", "execute", name, code=str(each), evidence=b"x" * 200)] * 2)
                os.write(1, f"{number} {name} {each}\\n".encode())
        for name in range(8):
            threading.Thread(target=work, args=(str(name),)).start()
    """
    process = run_script(script, tmp_path)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    said += [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    AuditLog(tmp_path, clock).close()
    assert verify(tmp_path) is None
    stored = {record.number: (record.row.actor, record.row.code) for record in read_audit(tmp_path)}
    for line in said:
        number, *row_said = line.split()
        assert stored[int(number)] == stored[int(number) + 1] == tuple(row_said)


def test_a_disk_that_fills_up_in_the_middle_of_a_write_of_many_threads(tmp_path):
    """The kernel itself cuts the write short; what is refused is nowhere, what was stored before and after is whole."""
    script = """
        import resource, sys, threading
        from pathlib import Path
        from scada.core.clock import SystemClock
        from scada.core.errors import StoreError
        from scada.security.audit import AuditLog, AuditRow, verify
        folder, told, refused = Path(sys.argv[1]), [], []
        log = AuditLog(folder, SystemClock())
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_001, hard))
        def work(name):
            for each in range(20):
                try:
                    told.extend(log.append_many([AuditRow("control", "execute", name, code=str(each), evidence=b"x" * 150)] * 3))
                except StoreError as error:
                    refused.append(str(error))
        threads = [threading.Thread(target=work, args=(str(name),)) for name in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        told.append(log.append(AuditRow("control", "after")))
        log.close()
        print(verify(folder), len(refused) > 0, sorted(told) == list(range(1, len(told) + 1)))
    """
    process = run_script(script, tmp_path)
    assert process.communicate()[0].split() == ["None", "True", "True"]
