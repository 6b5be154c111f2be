"""Marks on disk: kill -9 at random moments, damage, a full disk, two writers."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scada.control.operator_data import Mark, MarkKind
from scada.control.operator_store import OperatorStore, decode_mark, encode_mark
from scada.core.errors import StoreError
from scada.rtdb.lmdb_file import CorruptFileError, StoreFullError, StoreInUseError, seal

WRITER = Path(__file__).with_name("operator_writer.py")
MARK = Mark(1, MarkKind.SUBSTITUTE, "m1", "S/1", "S", 2.5, "", "meter faulty", "wang", "desk", 5)


def test_what_is_written_is_read_again(tmp_path):
    store = OperatorStore(tmp_path)
    note = replace(MARK, mark_id=2, kind=MarkKind.NOTE, reason="备注\n" + "x" * 500)
    store.write([MARK, note], [], 3)
    store.write([], [MARK], 3)
    assert store.marks == {2: note}
    store.close()
    again = OperatorStore(tmp_path)
    assert (again.marks, again.next_id) == ({2: note}, 3)
    again.close()


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_what_was_acknowledged_is_there_and_nothing_else(tmp_path, seed):
    wanted = random.Random(seed).randrange(1, 120)
    process = subprocess.Popen([sys.executable, str(WRITER), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline() for _ in range(wanted)]
    process.kill()
    lines += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    acknowledged: set[int] = set()
    last = 0
    for line in lines:
        if line.endswith("\n"):
            last, old = map(int, line.split())
            acknowledged = (acknowledged | {last}) - {old}
    store = OperatorStore(tmp_path, map_mb=16)
    found = set(store.marks)
    began = {last + 1} if store.next_id == last + 2 else set()
    assert store.next_id in (last + 1, last + 2), "at most one write was under way"
    assert found - began <= acknowledged
    assert len(acknowledged - found) <= len(began)
    assert all(mark.mrid == f"m{number}" for number, mark in store.marks.items())
    store.close()


def test_two_writers_are_refused(tmp_path):
    store = OperatorStore(tmp_path)
    with pytest.raises(StoreInUseError):
        OperatorStore(tmp_path)
    store.close()


def test_a_full_map_writes_nothing(tmp_path):
    store = OperatorStore(tmp_path, map_mb=1)
    with pytest.raises(StoreFullError):
        store.write([replace(MARK, mark_id=n, reason="x" * 500) for n in range(1, 4000)], [], 4000)
    assert (store.marks, store.next_id) == ({}, 1)
    store.write([MARK], [], 2)
    store.close()


@pytest.mark.parametrize(
    "blob",
    [b"", b"1234", encode_mark(MARK)[:-1] + b"\0", seal(b"\x91\x07"), seal(b"\x92\x01\x02")],
)
def test_a_damaged_mark_is_never_read_as_another(blob):
    assert decode_mark(encode_mark(MARK), "here") == MARK
    with pytest.raises(CorruptFileError) as caught:
        decode_mark(blob, "here")
    assert caught.value.where == "here"
    assert isinstance(caught.value, StoreError)
