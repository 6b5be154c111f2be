"""kill -9 at random moments: what was acknowledged is there, in order, and nothing was invented.

``SCADA_CRASHES=N`` kills so many times (nightly: thousands).
"""

import os
import random
import select
import signal

import pytest
from rtdb import workload

KILLS = int(os.environ.get("SCADA_CRASHES", "200"))


def writer(folder, pipe):
    """The victim: opens, writes steps, tells each one that was committed."""
    store = workload.make(folder)
    os.write(pipe, b"\0" * 8)
    workload.write(store, lambda step: os.write(pipe, step.to_bytes(8, "big")))


def run_and_kill(folder, acknowledgements, patience_s):
    """Last step acknowledged (0 = none) by a writer that is killed some time after so many acknowledgements."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read_end)
            writer(folder, write_end)
        finally:
            os._exit(1)
    os.close(write_end)
    told = b""
    while len(told) < 8 * acknowledgements:
        told += os.read(read_end, 4096) or pytest.fail("the writer ended by itself")
    select.select([], [], [], patience_s)  # somewhere within the next steps, or within the opening
    os.kill(child, signal.SIGKILL)
    while data := os.read(read_end, 65536):
        told += data
    os.close(read_end)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    whole = told[: len(told) // 8 * 8]
    return int.from_bytes(whole[-8:], "big")


@pytest.mark.timeout(60 + KILLS)
def test_acknowledged_commits_survive_kill_9(tmp_path):
    workload.make(tmp_path).close()  # kernels compiled before the forks
    rng = random.Random(1)
    expected = workload.Expected()
    for _ in range(KILLS):
        # one in five dies while it opens, the others after 1 to 40 steps
        early = rng.random() < 0.2
        acknowledged = run_and_kill(tmp_path, 0 if early else rng.randint(1, 40), rng.uniform(0.0, 0.02 if early else 0.003))
        store = workload.make(tmp_path)
        last = workload.last_step(store)
        assert last >= acknowledged, "an acknowledged step is gone"
        assert acknowledged in {0, last, last - 1}, "the step being written may have made it, no other"
        expected.advance(last)
        expected.check(store)
        workload.check_journal(store, last)
        assert [(one.name, one.passed(store.oldest)) for one in store.consumers()] in ([], [("twin", False)])
        store.close()
    assert expected.step > KILLS
