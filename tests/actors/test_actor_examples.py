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


def test_the_poison_is_kept_with_its_traceback(scenes):
    letter = scenes["poison"]()
    assert letter.message.value == -1.0
    assert "a meter cannot read -1.0" in letter.traceback


def test_a_slow_handler_shows_while_it_lasts_and_afterwards(scenes):
    age, slow = scenes["slow_handler"]()
    assert age > 0.05
    assert slow == 1


def test_actors_that_would_wait_for_each_other_are_refused(scenes):
    assert "b -> a -> b" in scenes["deadlock_refused"]()


def test_an_actor_that_fails_again_and_again_is_reported(scenes):
    assert scenes["escalation"]() == [("meter", "ValueError: a meter cannot read -1.0")]


def test_an_ordered_stop_handles_what_waits_even_if_the_actor_was_down(scenes):
    assert scenes["stop_with_drain"]() == ["life", "life", 1.0, 2.0, 3.0]
