"""The kept numbers at a kill, a full disk and a loss of power at each step of writing: the old ones or the new ones, whole."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from actors.harness import TABLES, point

from scada.core.errors import StoreError
from scada.model_cim.numbers import FILE, Numbers, keep_numbers, kept_numbers

MORE = replace(TABLES, points=[*TABLES.points, point(len(TABLES.points))])


class Killed(BaseException):
    """Nothing after it runs."""


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("fault", [Killed, OSError])
def test_the_old_numbers_stand_until_the_new_ones_are_whole(tmp_path, monkeypatch, step, fault):
    keep_numbers(tmp_path, TABLES)

    def fails(*_args, **_more):
        raise fault(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os if step == "fsync" else Path, step, fails)
        with pytest.raises(StoreError if fault is OSError else Killed):
            keep_numbers(tmp_path, MORE)
    assert kept_numbers(tmp_path) == Numbers.of(TABLES)
    keep_numbers(tmp_path, MORE)
    assert kept_numbers(tmp_path) == Numbers.of(MORE)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_the_new_name_is_on_disk_before_the_numbers_are_used(tmp_path, monkeypatch):
    """The database may survive a loss of power with more points than the numbers that lie beside it."""
    synced, fsync = [], os.fsync

    def watched(descriptor):
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), (tmp_path / FILE).exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    keep_numbers(tmp_path, TABLES)
    assert synced == [(False, False), (True, True)]
