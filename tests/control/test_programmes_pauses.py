"""Why a run pauses, where there is more than one reason: who resumes it must know of all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scada.control.programme_effects import CancelStep
from scada.control.programme_ending import Ending
from scada.control.programme_records import RunState
from tests.control.bench_desk import BREAKER, POWER
from tests.control.bench_programmes import COLLEAGUE, OPERATOR, SEQUENCE, TWO_PERSONS, ProgrammeBench, keys, orders, rows


@pytest.fixture
def bench():
    return ProgrammeBench()


def test_a_paused_run_says_that_its_controls_were_changed_meanwhile(bench):
    run, _ = bench.started(SEQUENCE, single_step=True)
    bench.took(bench.desk.reserve(frozenset({POWER})))
    record = bench.run(run)
    assert (record.state.value, record.code) == ("paused", "model_change")
    assert "first step" in record.reason
    assert "model" in record.reason
    assert [row.code for row in rows(bench.effects)][-1] == "paused:model_change"
    assert keys(bench.effects)[-1] == "programme.paused"
    assert bench.desk.reserve(frozenset({POWER})) == [], "told once"
    (order,) = orders(bench.command(run, "step")[1])
    assert (order.control, bench.run(run).code) == (f"c-{BREAKER}", "")


@pytest.mark.parametrize("moment", ["selecting", "paused"])
def test_what_a_guardian_confirmed_of_another_model_is_confirmed_no_more(moment):
    bench = ProgrammeBench(TWO_PERSONS)
    run, _ = bench.started(SEQUENCE, single_step=moment == "paused")
    effects = bench.confirm(run)[1]
    bench.took(bench.desk.reserve(frozenset({POWER})))
    if moment == "selecting":
        bench.answer(orders(effects)[0])
    assert (bench.run(run).state.value, bench.run(run).code) == ("paused", "model_change")
    for action in ("resume", "step"):
        answer, effects = bench.command(run, action, COLLEAGUE)
        assert (answer.code, orders(effects), [row.step for row in rows(effects)]) == (
            "guardian_missing",
            [],
            ["command_refused"],
        )
    assert bench.executed() == []
    assert bench.command(run, "stop")[0].accepted
    assert bench.started(SEQUENCE)[0], "anew, with a second person"


def test_a_change_of_what_is_done_already_leaves_the_word_of_the_guardian():
    bench = ProgrammeBench(TWO_PERSONS)
    run, _ = bench.started(SEQUENCE, single_step=True)
    bench.confirm(run)
    (select,) = orders(bench.command(run, "step")[1])
    (execute,) = orders(bench.answer(select))
    bench.answer(execute)
    bench.took(bench.desk.reserve(frozenset({BREAKER})))
    assert len(orders(bench.command(run, "step")[1])) == 1


def test_an_hour_of_pause_is_an_hour_whatever_changes_in_it(bench):
    run, _ = bench.started(SEQUENCE, single_step=True)
    bench.advance(3000)
    bench.took(bench.desk.reserve(frozenset({POWER})))
    bench.advance(601)
    assert bench.run(run).code == "pause_expired"


def test_a_model_that_changes_while_a_pause_is_waited_for_is_told_too(bench):
    run, effects = bench.started()
    (execute,) = orders(bench.answer(orders(effects)[0]))
    bench.command(run, "pause", COLLEAGUE, "phone call")
    bench.took(bench.desk.reserve(frozenset({POWER})))
    bench.answer(execute)
    record = bench.run(run)
    assert (record.state.value, record.code) == ("paused", "model_change")
    assert "phone call" in record.reason


def test_a_right_that_stays_lost_is_told_once(bench):
    run, effects = bench.started()
    (execute,) = orders(bench.answer(orders(effects)[0]))
    bench.command(run, "pause", COLLEAGUE)
    bench.refused["wang"] = "wang: the identity is no longer valid"
    for _ in range(5):
        bench.advance(0.2)
    bench.answer(execute)
    assert bench.run(run).reason.count("no longer valid") <= 1
    assert bench.run(run).state.value == "paused"


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (RunState.PAUSED, RunState.STOPPED, "b"),
        (RunState.STOPPED, RunState.PAUSED, "a"),
        (RunState.STOPPED, RunState.FAILED, "b"),
        (RunState.FAILED, RunState.STOPPED, "a"),
        (RunState.FAILED, RunState.FAILED, "a"),
        (RunState.PAUSED, RunState.PAUSED, "a"),
    ],
)
def test_which_of_two_ends_counts(before, after, code):
    assert Ending(after, "b", "why b").after(Ending(before, "a", "why a")).code == code


def test_a_selection_is_withdrawn_in_the_name_of_who_made_it(bench):
    run, effects = bench.started()
    bench.refused["wang"] = replace(OPERATOR, rights=frozenset())
    bench.advance(0.2)
    bench.command(run, "pause", COLLEAGUE)
    (cancel,) = orders(bench.answer(orders(effects)[0]))
    assert (type(cancel), cancel.principal.name) == (CancelStep, "wang")
