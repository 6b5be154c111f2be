"""The example of failure modes runs and shows what it says."""

import runpy
from pathlib import Path

import pytest
import structlog

EXAMPLE = Path(__file__).parents[2] / "examples" / "actors" / "failure_modes.py"


@pytest.fixture(scope="module")
def scenes():
    return runpy.run_path(str(EXAMPLE))


@pytest.fixture(autouse=True)
def _quiet():
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
    yield
    structlog.reset_defaults()


def test_a_crash_costs_the_poison_alone(scenes):
    assert scenes["crash_and_restart"]() == ["life", 1.0, 2.0, "life", 3.0, 4.0]


def test_overload_makes_the_sender_wait_and_loses_nothing(scenes, capsys):
    notes = scenes["overload"]()
    assert [note for note in notes if isinstance(note, float)] == [float(n) for n in range(20)]
    assert notes.index("stop") == 2, "one reading was in hand"
    assert "after 5 of 20" in capsys.readouterr().out


def test_beats_that_come_too_fast_are_one(scenes):
    assert scenes["coalescing"]() == ["life", 1.0, "tick"]
