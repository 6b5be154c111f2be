"""Operator data from a terminal, over loopback."""

from __future__ import annotations

import pytest

from scada.cli import ctl
from scada.core.errors import ScadaError
from scada.core.quality import Quality


def test_substitute_list_and_release(run, live):
    live.apply([2, 8], [41.0, 1.0])
    assert "Done: mark 1" in run(ctl, "hold", "East/110 kV/Bay/P2", "40.5", "--reason", "meter faulty")
    assert "Done: mark 2" in run(ctl, "hold", "point-8", "Closed", "--reason", "contact broken")
    assert live.quality[2] == int(Quality.MANUAL | Quality.SUBSTITUTED)
    assert live.value[8] == 2.0
    live.apply([3], [7.0])
    assert "mark 3" in run(ctl, "block", "West/110 kV/Bay/P3", "--reason", "jumps")
    shown = run(ctl, "marks")
    line = next(line for line in shown.splitlines() if "P2" in line)
    assert "substituted" in line
    assert "40.5 MW" in line
    assert "41 MW" in line
    assert line.endswith("meter faulty")
    assert "closed" in next(line for line in shown.splitlines() if "Q8" in line)
    assert "blocked" in run(ctl, "marks", "--station", "West")
    assert "P2" not in run(ctl, "marks", "--station", "West")
    run(ctl, "release", "East/110 kV/Bay/P2", "--reason", "repaired")
    assert live.value[2] == 41.0
    refused = run(ctl, "release", "East/110 kV/Bay/P2", "--reason", "again", code=1)
    assert "Refused" in refused
    assert "(not_held)" in refused


def test_tags_and_notes(run, live):
    assert "No operator data" in run(ctl, "marks")
    run(ctl, "tag", "East/110 kV/Bay/CB", "do_not_close", "--reason", "crew on the line")
    run(ctl, "tag", "West", "maintenance", "--reason", "outage")
    run(ctl, "tag", "point-1", "information", "--reason", "new meter")
    run(ctl, "note", "East", "call 2211 first")
    assert [mark.mrid for mark in live.ledger.marks()] == ["equipment-8", "station-west", "point-1", "station-east"]
    shown = run(ctl, "marks")
    assert "do not close" in shown
    assert "under maintenance" in shown
    assert "禁止合闸" in run(ctl, "marks", lang="zh")
    run(ctl, "untag", "1", "--reason", "line is free")
    assert "unknown_mark" in run(ctl, "untag", "1", "--reason", "line is free", code=1)
    assert "unknown_object" in run(ctl, "tag", "nowhere", "defect", "--reason", "x", code=1)


def test_what_a_terminal_says_of_wrong_words(run, live):
    with pytest.raises(ScadaError, match="no point 'nowhere'"):
        run(ctl, "hold", "nowhere", "1", "--reason", "x")
    with pytest.raises(ScadaError, match=r"'ajar' is no value of .*1 open, 2 closed"):
        run(ctl, "hold", "point-8", "ajar", "--reason", "x")
    with pytest.raises(ScadaError, match="no value"):
        run(ctl, "hold", "point-2", "nan", "--reason", "x")
    assert "bad_value" in run(ctl, "hold", "point-8", "3", "--reason", "x", code=1)
    run(ctl, "hold", "point-2", "1", code=2)
    run(ctl, "tag", "West", "do_nothing", "--reason", "x", code=2)
    assert live.ledger.marks() == []
