"""kill -9 at random moments: what was acknowledged is there, in order, and nothing was invented."""

import os
import random
import signal
import time

import numpy as np
import pytest

from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import SystemClock
from scada.core.quality import Quality
from scada.rtdb.store import Store

CAPACITY = 500
KILLS = 12


def values_of(step):
    """What step number ``step`` writes: pids and values that nobody could guess wrongly."""
    rng = np.random.default_rng(step)
    return rng.integers(0, CAPACITY, 100), np.full(100, float(step))


def write_for_ever(path, pipe):
    """The victim: applies numbered steps, tells each one that was committed."""
    store = Store(path, CAPACITY, SystemClock(), map_mb=512, journal_mb=128)
    step = int(np.nanmax(store.snapshot().value, initial=0))
    while True:
        step += 1
        pids, values = values_of(step)
        store.apply(PointBatch.of(pids, values, received_at=step))
        store.commit()
        os.write(pipe, step.to_bytes(8, "big"))
        if step % 7 == 0:
            store.checkpoint()


def run_and_kill(path, seconds):
    """Steps acknowledged by a writer that lived so long."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read_end)
            write_for_ever(path, write_end)
        finally:
            os._exit(1)
    os.close(write_end)
    first = os.read(read_end, 8)
    time.sleep(seconds)  # a real process must really run
    os.kill(child, signal.SIGKILL)
    told = first
    while data := os.read(read_end, 65536):
        told += data
    os.close(read_end)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    return int.from_bytes(told[len(told) // 8 * 8 - 8 : len(told) // 8 * 8], "big")


@pytest.mark.slow
def test_acknowledged_commits_survive_kill_9(tmp_path):
    Store(tmp_path, CAPACITY, SystemClock(), map_mb=512, journal_mb=128).close()  # kernels compiled before the forks
    rng = random.Random(1)
    for _ in range(KILLS):
        acknowledged = run_and_kill(tmp_path, rng.uniform(0.0, 0.1))
        store = Store(tmp_path, CAPACITY, SystemClock(), map_mb=512, journal_mb=128)
        present = store.snapshot()
        last = int(np.nanmax(present.value))
        assert last in {acknowledged, acknowledged + 1}, "the step being written may have made it, no other"
        check_image(present, last)
        check_journal(store, last)
        store.close()


def check_image(snapshot, last):
    """The image is exactly what the steps 1 .. last wrote."""
    expected = np.full(CAPACITY, np.nan)
    for step in range(1, last + 1):
        pids, values = values_of(step)
        expected[pids] = values
    np.testing.assert_array_equal(snapshot.value, expected)
    received = ~np.isnan(expected)
    assert (snapshot.quality[received] == int(Quality.OLD_DATA)).all()
    assert (snapshot.quality[~received] == int(Quality.NEVER_RECEIVED)).all()


def check_journal(store, last):
    """Every step stands in the journal once, in order, between the restarts' marks, without a gap."""
    seq, step = 0, 0
    for change in store.changes(0):
        assert change.first == seq + 1
        seq = change.last
        written = change.records[change.records["flags"] & RecordFlag.QUALITY_SET == 0]
        if not len(written):
            continue
        step += 1
        assert (written["value"] == step).all()
        pids = values_of(step)[0].tolist()
        assert written["pid"].tolist() == list(dict.fromkeys(pids)), "a repeated pid of one step has the same value"
    assert (seq, step) == (store.head, last)
