"""Operations of AVC's devices counted from the history of their positions, over a restart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scada.actors.history import operations_since
from scada.core.batch import POINT_DTYPE
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.quality import Quality
from scada.history.store import HistoryStore
from scada.model_cim.points import load_model
from scada.rtdb.changes import ChangeSet

GRID = Path(__file__).resolve().parents[2] / "examples" / "demo-grid"
T0 = 1_700_000_000 * NS_PER_S


@pytest.fixture(scope="module")
def tables():
    return load_model(GRID)[1]


def change(seq, rows):
    records = np.zeros(len(rows), dtype=POINT_DTYPE)
    for index, (pid, value, second, quality) in enumerate(rows):
        records[index]["pid"], records[index]["value"], records[index]["quality"] = pid, value, int(quality)
        records[index]["source_time"] = T0 + second * NS_PER_S
    return ChangeSet(seq, records, records["source_time"].copy(), T0)


def test_changes_of_a_good_position_are_counted(tmp_path, tables):
    tap, idle = (device for zone in tables.zones for device in zone.devices if device.mrid in _two(tables))
    store = HistoryStore(tmp_path, VirtualClock(T0), tables.points, map_mb=32)
    pid, good, bad = int(tap.position), Quality.GOOD, Quality.INVALID
    store.append(change(1, [(pid, 2, -100, good), (int(idle.position), 5, -100, good)]))
    store.append(change(3, [(pid, 3, 10, good), (pid, 3, 20, bad), (pid, 3, 30, good), (pid, 4, 40, good), (pid, 9, 50, bad)]))
    counted = operations_since(store, tables, T0, T0 + 100 * NS_PER_S)
    store.close()
    assert counted[tap.mrid] == (2, T0 + 40 * NS_PER_S)
    assert counted[idle.mrid] == (0, 0)


def _two(tables):
    devices = [device for zone in tables.zones for device in zone.devices if device.kind == "tap"]
    return {devices[0].mrid, devices[1].mrid}


def test_a_device_without_history_has_no_operations(tmp_path, tables):
    store = HistoryStore(tmp_path, VirtualClock(T0), [replace(point) for point in tables.points], map_mb=32)
    assert set(operations_since(store, tables, T0, T0 + NS_PER_S).values()) == {(0, 0)}
    store.close()
