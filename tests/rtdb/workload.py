"""A writer whose every step can be foretold: what the crash and power-loss tests run, and what they compare with.

As a program: ``workload.py FOLDER DURABLE STEPS`` writes steps and tells each one that was committed on its standard output.
"""

import os
import sys
from pathlib import Path

import numpy as np

from scada.core.batch import OPERATOR, PointBatch, RecordFlag
from scada.core.clock import VirtualClock
from scada.core.quality import Quality
from scada.rtdb.store import Store

CAPACITY = 300
BATCH = 60
HELD = 7
"""Point that an operator holds from time to time."""
NEVER = int(Quality.NEVER_RECEIVED)
SUBSTITUTED = int(Quality.MANUAL | Quality.SUBSTITUTED)


def make(folder, *, durable=False):
    """A small database whose journal is trimmed all the time."""
    return Store(folder, CAPACITY, VirtualClock(), map_mb=16, journal_mb=1, journal_hours=1.0, durable=durable)


def pids_of(step):
    """Points that a step writes; its value is the number of the step."""
    return np.random.default_rng(step).integers(0, CAPACITY, BATCH).astype(np.uint32)


def run_step(store, step):
    """One step: an interrogation, a late value, at times a hold or a release, a checkpoint; all in one commit."""
    if step % 20 == 5:
        store.hold(HELD, float(-step))
    if step % 20 == 15:
        store.release(HELD)
    store.apply(PointBatch.of(pids_of(step), float(step), received_at=step))
    store.apply(PointBatch.of([step % CAPACITY], float(step), source_time=step, received_at=step, flags=RecordFlag.BACKFILL))
    change = store.commit()
    store.acknowledge("twin", change.last)
    if step % 9 == 0:
        store.checkpoint()


def write(store, tell, steps=None):
    """Steps after the last one in the database, for ever or so many."""
    step = last_step(store)
    store.register("twin", store.head)
    for number in range(step + 1, sys.maxsize if steps is None else step + 1 + steps):
        run_step(store, number)
        tell(number)


def last_step(store):
    """Number of the last step in a database: the latest of the sources' values, also of a held point."""
    return int(np.nanmax(store.behind().value, initial=0))


class Expected:
    """The image after a number of steps, foretold without a database."""

    def __init__(self):
        self.step = 0
        self.source = np.full(CAPACITY, np.nan)
        self.substitute = None

    def advance(self, step):
        """Bring it to a later step."""
        while self.step < step:
            self.step += 1
            if self.step % 20 == 5:
                self.substitute = float(-self.step)
            if self.step % 20 == 15:
                self.substitute = None
            self.source[pids_of(self.step)] = self.step

    def check(self, store):
        """The database is exactly what the steps made; values from before are marked old."""
        shown, behind = store.snapshot(), store.behind()
        np.testing.assert_array_equal(behind.value, self.source)
        never = np.isnan(self.source)
        values = self.source.copy()
        quality = np.where(never, NEVER, int(Quality.OLD_DATA))
        assert (behind.quality == quality).all()
        if self.substitute is not None:
            values[HELD], quality[HELD] = self.substitute, SUBSTITUTED
        np.testing.assert_array_equal(shown.value, values)
        assert (shown.quality == quality).all()


def check_journal(store, last):
    """What is left of the journal: no hole, every step once, in order, with exactly its values; none after ``last``."""
    seq, steps = store.oldest - 1, []
    for change in store.changes(seq):
        assert change.first == seq + 1
        seq = change.last
        records = change.records
        sent = (records["channel"] != OPERATOR) & (records["flags"] & (RecordFlag.QUALITY_SET | RecordFlag.BACKFILL) == 0)
        if not sent.any():
            continue
        (step,) = set(records["value"][sent].tolist())
        steps.append(int(step))
        assert records["pid"][sent].tolist() == list(dict.fromkeys(pids_of(int(step)).tolist()))
        late = records[records["flags"] & RecordFlag.BACKFILL != 0]
        assert (late["pid"].tolist(), late["value"].tolist()) == ([step % CAPACITY], [step])
    assert seq == store.head
    assert steps == list(range(steps[0], last + 1)) if steps else last == 0


def main(folder, durable, steps):
    """Write so many steps and tell each."""
    store = make(Path(folder), durable=durable == "1")
    os.write(1, b"open\n")
    write(store, lambda step: os.write(1, b"%d\n" % step), int(steps))


if __name__ == "__main__":
    main(*sys.argv[1:])
