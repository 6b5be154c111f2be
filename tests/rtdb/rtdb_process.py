"""A process of its own that writes or reads a database; one line in, one line (JSON) out.

The traffic is known to both sides: step ``s`` writes ``STEP`` different points, drawn by ``s``, with value ``s``; so change
number ``n`` after ``start`` belongs to step ``(n - start - 1) // STEP + 1``.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

from scada.core.batch import PointBatch
from scada.core.clock import SystemClock
from scada.rtdb.reader import StoreReader
from scada.rtdb.store import Store

STEP = 500


def say(**answer):
    print(json.dumps(answer), flush=True)


def pids_of(step, points):
    return np.random.default_rng(step).choice(points, STEP, replace=False).astype(np.uint32)


class Model:
    """What the image must be at any number."""

    def __init__(self, points, start):
        self.points, self.start, self.step = points, start, 0
        self.value = np.full(points, np.nan)

    def at(self, seq):
        for step in range(self.step + 1, (seq - self.start) // STEP + 1):
            self.value[pids_of(step, self.points)] = step
            self.step = step
        return self.value


def write(folder, points):
    """Steps until told to stop: a number asks for so many, ``stop`` closes, ``grow`` adds points, the rest is free running."""
    store = Store(folder, points, SystemClock(), map_mb=512, journal_mb=128)
    start, step = store.head, 0
    say(start=start, not_shared=store.not_shared)
    for line in sys.stdin:
        wanted = line.split()
        if wanted[0] == "stop":
            break
        if wanted[0] == "grow":
            store.grow(int(wanted[1]))
        for _ in range(int(wanted[1]) if wanted[0] == "steps" else 0):
            step += 1
            store.apply(PointBatch.of(pids_of(step, points), float(step), received_at=step, source_time=step))
            store.commit()
        say(head=store.head, step=step)
    store.close()


def check(folder, points, start, different):
    """Take snapshots of so many different numbers while another process writes; count those that are not the model's state."""
    reader, model, some = StoreReader(folder), Model(points, start), np.arange(0, points, 7, dtype=np.uint32)
    wrong, numbers = 0, []
    say(ready=True)
    while len(set(numbers)) < different:
        part = some if len(numbers) % 3 == 2 else None
        found = reader.snapshot(part)
        expected = model.at(found.seq)
        expected = expected if part is None else expected[part]
        sane = np.where(np.isnan(expected), 0, expected)
        fine = np.array_equal(found.value, expected, equal_nan=True) and np.array_equal(found.source_time, sane)
        wrong += not (fine and np.array_equal(found.received_at, sane) and (found.seq - start) % STEP == 0)
        numbers.append(found.seq)
    say(wrong=wrong, ordered=numbers == sorted(numbers), alive=reader.alive)
    reader.close()


def follow(folder, after, until):
    """Follow from one number to another; count what is not in its place."""
    reader, wrong, first = StoreReader(folder), 0, after
    say(ready=True)
    while after < until:
        for change in reader.changes(after):
            wrong += change.first != after + 1
            step = (change.first - first - 1) // STEP + 1
            wrong += not (len(change) == STEP and (change.records["value"] == step).all())
            wrong += not np.array_equal(np.unique(change.records["pid"]), np.unique(pids_of(step, reader.capacity)))
            after = change.last
    say(after=after, wrong=wrong)
    reader.close()


def die(folder):
    """Read without end, until killed."""
    reader = StoreReader(folder)
    say(ready=True)
    while True:
        reader.snapshot()
        list(reader.changes(0))


def main():
    verb, folder, numbers = sys.argv[1], Path(sys.argv[2]), [int(number) for number in sys.argv[3:]]
    {"write": write, "check": check, "follow": follow, "die": die}[verb](folder, *numbers)


if __name__ == "__main__":
    os.nice(1)
    main()
