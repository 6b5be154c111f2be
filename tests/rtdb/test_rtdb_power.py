"""A loss of power: whatever of the unsynced writes reached the disk, what was promised is there and nothing is invented.

A real writer runs under strace; the file is rebuilt as it could stand after a cut at many moments, and opened each time in a
child, for a bad one may kill the process that maps it. ``SCADA_CRASHES=N`` makes N cuts (nightly: thousands).
"""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rtdb import power_cut, workload

from scada.rtdb.lmdb_file import CorruptFileError

CUTS = int(os.environ.get("SCADA_CRASHES", "60"))
STEPS = 60
WRITER = Path(workload.__file__)


def can_trace():
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """System calls of a writer of STEPS steps, durable or not; each run is recorded once."""
    if not can_trace():
        pytest.skip("strace is not installed or may not trace here")
    return functools.cache(lambda durable: recorded(tmp_path_factory.mktemp("run"), durable))


def recorded(folder, durable):
    trace = folder / "trace"
    command = [*power_cut.trace_command(trace), sys.executable, str(WRITER), str(folder / "db"), str(int(durable)), str(STEPS)]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": path}, timeout=100)
    with trace.open(encoding="ascii", errors="replace") as lines:
        return power_cut.read_trace(lines, folder / "db" / "rtdb.lmdb")


def judge(folder, image, told, durable):
    """Open one image; AssertionError if it breaks the contract."""
    (folder / "rtdb.lmdb").write_bytes(image)
    for name in ("rtdb.lmdb-lock", "consumers/twin"):
        (folder / name).unlink(missing_ok=True)
    acknowledged = int(told[-1]) if told and told[-1] != b"open\n" else 0
    try:
        store = workload.make(folder)
    except CorruptFileError:
        assert not told, "the file was in service"
        return
    try:
        last = workload.last_step(store)
        least = acknowledged if durable else acknowledged - 1
        assert least <= last <= acknowledged + 1, f"step {last} stands, {acknowledged} was acknowledged"
        expected = workload.Expected()
        expected.advance(last)
        expected.check(store)
        workload.check_journal(store, last)
    finally:
        store._file.close()


def judge_all(folder, cases, durable):
    """Every image in one child; returns (judged, what went wrong)."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read_end)
            for image, told in cases:
                try:
                    judge(folder, image, told, durable)
                    verdict = "ok"
                except BaseException as error:  # noqa: BLE001 - whatever it is, it is the verdict
                    verdict = f"{type(error).__name__}: {error}".replace("\n", " ")
                os.write(write_end, f"{verdict}\n".encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        verdicts = pipe.read().splitlines()
    _, status = os.waitpid(child, 0)
    wrong = [verdict for verdict in verdicts if verdict != "ok"]
    if len(verdicts) < len(cases):
        wrong.append(f"image {len(verdicts)} killed the process that opened it: status {status}")
    return len(verdicts), wrong


@pytest.mark.timeout(120 + CUTS)
@pytest.mark.parametrize("durable", [True, False], ids=["durable", "not durable"])
def test_a_loss_of_power(tmp_path, recording, durable):
    calls = recording(durable)
    told = [call.data for call in calls if call.kind == "told"]
    assert told[-1] == b"%d\n" % STEPS
    assert sum(call.kind == "sync" for call in calls) > STEPS
    assert any(call.synced for call in calls) == durable
    cases = list(power_cut.images(calls, seed=1, cuts=CUTS, samples=max(2, 2 * CUTS // len(calls))))
    judged, wrong = judge_all(tmp_path, cases, durable)
    assert not wrong, wrong[:3]
    assert judged == len(cases) >= min(CUTS, len(calls))


def test_the_judge_finds_a_writer_that_does_not_sync(tmp_path, recording):
    calls = [call for call in recording(False) if call.kind != "sync"]
    cases = list(power_cut.images(calls, seed=2, cuts=10, samples=2))
    assert judge_all(tmp_path, cases, durable=False)[1]


def test_the_judge_finds_a_lost_acknowledged_commit(tmp_path, recording):
    cases = list(power_cut.images(recording(False), seed=3, cuts=30, samples=2))
    wrong = judge_all(tmp_path, cases, durable=True)[1]
    assert wrong
    assert all("was acknowledged" in one for one in wrong), "lost, but whole"


def test_a_trace_is_read_to_the_byte():
    trace = r"""
openat(AT_FDCWD, "\x2f\x61", O_RDWR|O_CREAT, 0644) = 3
openat(AT_FDCWD, "\x2f\x61", O_WRONLY|O_DSYNC) = 4
openat(AT_FDCWD, "\x2f\x62", O_RDWR) = 5
pwrite64(3, "\x01\x02", 2, 4095) = 2
pwrite64(5, "\x01\x02", 2, 0) = 2
lseek(3, 8192, SEEK_SET) = 8192
writev(3, [{iov_base="\x03", iov_len=1}, {iov_base="\x04", iov_len=1}], 2) = 2
write(1, "\x35\x0a", 2) = 2
fdatasync(5) = 0
pwrite64(4, "\x09", 1, 0) = 1
fdatasync(3) = 0
"""
    calls = power_cut.read_trace(trace.splitlines(), "/a")
    assert [call.kind for call in calls] == ["write", "write", "told", "write", "sync"]
    disk = power_cut.Disk()
    for call in calls[:3]:
        disk.do(call)
    assert (disk.certain, len(disk.pending)) == (b"", 3)
    assert disk.image({1}) == bytes(4096) + b"\x02"
    disk.do(calls[3])
    assert disk.certain == b"\x09" + bytes(4094) + b"\x01", "a block goes to the disk as a whole"
    disk.do(calls[4])
    assert disk.certain[4095:4097] == b"\x01\x02"
    assert disk.certain[8192:] == b"\x03\x04"
    assert disk.pending == []
