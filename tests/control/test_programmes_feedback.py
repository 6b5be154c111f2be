"""Steps that nothing shows: a run waits behind one for a person, unless it is engineered to go on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scada.control.programme_records import StepPhase, interrupt, run_from_plain, run_to_plain
from scada.control.programmes import Kind, Programme, Step, programme_from_plain, programme_to_plain
from scada.control.records import SequenceState
from scada.model_cim.tables import PointKind
from scada.security.audit import AuditRow
from tests.control.bench_desk import BARE, BREAKER, CLOSE, OPEN, POWER, STATUS, TABLES
from tests.control.bench_programmes import (
    COLLEAGUE,
    GROUP,
    GUARDIAN,
    TWO_PERSONS,
    ProgrammeBench,
    keys,
    orders,
    rows,
)

SEQUENCE = Programme("earth", "", Kind.SEQUENCE, (Step(f"c-{BARE}", CLOSE), Step(f"c-{BREAKER}", CLOSE)))
ACCEPTED = replace(SEQUENCE, steps=(replace(SEQUENCE.steps[0], accept_no_feedback=True), SEQUENCE.steps[1]))
LAST = replace(SEQUENCE, steps=SEQUENCE.steps[::-1])


@pytest.fixture
def bench():
    return ProgrammeBench()


def through(bench, effects, code=""):
    """What follows when the one order that was given succeeds."""
    (select,) = orders(effects)
    (execute,) = orders(bench.answer(select))
    return bench.answer(execute, code=code, reason="confirmed by the station; no feedback was watched" if code else "")


def test_a_sequence_pauses_behind_a_step_that_nothing_shows(bench):
    run, effects = bench.started(SEQUENCE)
    effects = through(bench, effects, "no_feedback")
    assert orders(effects) == []
    record = bench.run(run)
    assert (record.state.value, record.code, bench.phases(run)) == ("paused", "no_feedback", ["unproven", "waiting"])
    assert "step 1" in record.reason
    assert keys(effects) == ["programme.step_unproven", "programme.paused"]
    assert ("step_end", "unproven:no_feedback") in [(row.step, row.code) for row in rows(effects)]
    assert orders(bench.advance(3000)) == [], "no time makes it sure"


@pytest.mark.parametrize("action", ["resume", "step"])
def test_who_resumes_it_takes_the_step_for_done_and_it_is_not_operated_again(bench, action):
    run, effects = bench.started(SEQUENCE)
    through(bench, effects, "no_feedback")
    answer, effects = bench.command(run, action, COLLEAGUE, "seen on site")
    assert answer.accepted
    traced = [(row.step, row.actor, row.mrid, row.code) for row in rows(effects)]
    assert traced[0][:2] == (action, "zhao")
    assert ("step_accept", "zhao", f"c-{BARE}", "done:no_feedback") in traced
    accepted = next(row for row in rows(effects) if row.step == "step_accept")
    assert "seen on site" in accepted.reason
    assert "programme.step_accepted" in keys(effects)
    (select,) = orders(effects)
    assert (select.step, bench.phases(run)[0]) == (1, "done")
    assert "zhao" in bench.run(run).steps[0].reason
    (execute,) = orders(bench.answer(select))
    bench.answer(execute)
    assert bench.run(run).state.value == "done"
    assert bench.executed() == [(run, 0), (run, 1)]


def test_a_stop_or_a_long_pause_leaves_it_unproven(bench):
    run, effects = bench.started(SEQUENCE)
    through(bench, effects, "no_feedback")
    bench.command(run, "stop")
    assert (bench.run(run).state.value, bench.phases(run)) == ("stopped", ["unproven", "skipped"])
    run, effects = bench.started(SEQUENCE)
    through(bench, effects, "no_feedback")
    bench.advance(3601)
    assert (bench.run(run).code, bench.phases(run)) == ("pause_expired", ["unproven", "skipped"])


def test_a_step_that_is_engineered_so_lets_the_sequence_go_on(bench):
    run, effects = bench.started(ACCEPTED)
    assert [order.step for order in orders(through(bench, effects, "no_feedback"))] == [1]
    step = bench.run(run).steps[0]
    assert (step.phase, step.code) == (StepPhase.DONE, "no_feedback"), "done, and still told that nothing shows it"


@pytest.mark.parametrize("code", ["", "already", "unconfirmed"])
def test_what_the_feedback_shows_needs_nobody(bench, code):
    _, effects = bench.started(SEQUENCE)
    assert [order.step for order in orders(through(bench, effects, code))] == [1]


def test_a_run_is_not_done_while_its_last_step_is_unproven(bench):
    run, effects = bench.started(LAST)
    effects = through(bench, through(bench, effects), "no_feedback")
    assert (bench.run(run).state.value, bench.run(run).code) == ("paused", "no_feedback")
    effects = bench.command(run, "resume")[1]
    assert (orders(effects), bench.run(run).state.value) == ([], "done")


def test_a_pause_by_hand_is_told_together_with_what_is_not_proven(bench):
    run, effects = bench.started(SEQUENCE)
    (execute,) = orders(bench.answer(orders(effects)[0]))
    bench.command(run, "pause", COLLEAGUE, "phone call")
    bench.answer(execute, code="no_feedback")
    record = bench.run(run)
    assert (record.state.value, record.code) == ("paused", "no_feedback")
    assert "phone call" in record.reason
    assert "step 1" in record.reason


def test_a_stop_by_hand_stays_a_stop(bench):
    run, effects = bench.started(SEQUENCE)
    (execute,) = orders(bench.answer(orders(effects)[0]))
    bench.command(run, "stop", COLLEAGUE)
    bench.answer(execute, code="no_feedback")
    assert (bench.run(run).state.value, bench.phases(run)) == ("stopped", ["unproven", "skipped"])


def test_stepwise_the_unproven_step_is_named_not_just_the_next_one_awaited(bench):
    run, _ = bench.started(SEQUENCE, single_step=True)
    through(bench, bench.command(run, "step")[1], "no_feedback")
    assert bench.run(run).code == "no_feedback"
    effects = bench.command(run, "step")[1]
    through(bench, effects)
    assert bench.run(run).state.value == "done"


def test_a_group_names_all_that_nothing_shows_and_waits_for_a_person(bench):
    run, effects = bench.started(GROUP)
    executes = [order for select in orders(effects) for order in orders(bench.answer(select))]
    bench.answer(executes[0], code="no_feedback")
    bench.answer(executes[1])
    assert bench.run(run).state.value == "running"
    bench.answer(executes[2], code="no_feedback")
    record = bench.run(run)
    assert (record.state.value, record.code, bench.phases(run)) == ("paused", "no_feedback", ["unproven", "done", "unproven"])
    assert "step 1" in record.reason
    assert "step 3" in record.reason
    effects = bench.command(run, "resume")[1]
    assert [row.step for row in rows(effects)].count("step_accept") == 2
    assert (orders(effects), bench.run(run).state.value) == ([], "done")


def test_a_group_in_which_one_fails_has_failed_whatever_is_unproven(bench):
    run, effects = bench.started(GROUP)
    executes = [order for select in orders(effects) for order in orders(bench.answer(select))]
    bench.answer(executes[0], code="no_feedback")
    bench.answer(executes[1], SequenceState.EXEC_FAILED, "feedback_timeout", "it did not follow")
    bench.answer(executes[2])
    assert (bench.run(run).state.value, bench.phases(run)) == ("failed", ["unproven", "failed", "done"])


def test_the_guardian_of_a_run_does_not_take_its_steps_for_done():
    bench = ProgrammeBench(TWO_PERSONS)
    run, _ = bench.started(SEQUENCE)
    both = replace(GUARDIAN, rights=GUARDIAN.rights | COLLEAGUE.rights)
    through(bench, bench.confirm(run, both)[1], "no_feedback")
    assert bench.command(run, "resume", both)[0].code == "guardian_same"
    assert bench.phases(run)[0] == "unproven"


# ---------------------------------------------------------------- what is not known is called that


@pytest.mark.parametrize(
    ("state", "code", "phase"),
    [
        (SequenceState.TIMED_OUT, "confirmation_timeout", "unknown"),
        (SequenceState.EXEC_FAILED, "feedback_bad", "unknown"),
        (SequenceState.EXEC_FAILED, "held", "unknown"),
        (SequenceState.EXEC_FAILED, "feedback_timeout", "failed"),
        (SequenceState.EXEC_FAILED, "execute_refused", "failed"),
        (SequenceState.REFUSED, "held", "failed"),
        (SequenceState.TIMED_OUT, "selection_expired", "failed"),
    ],
)
def test_whether_a_step_operated_is_not_known_is_not_told_as_a_failure(bench, state, code, phase):
    run, effects = bench.started(SEQUENCE)
    (execute,) = orders(bench.answer(orders(effects)[0]))
    bench.answer(execute, state, code, "the reason")
    assert (bench.run(run).state.value, bench.phases(run)) == ("failed", [phase, "skipped"])


@pytest.mark.parametrize(
    ("programme", "code", "phase"),
    [
        (SEQUENCE, "success:no_feedback", "unproven"),
        (ACCEPTED, "success:no_feedback", "done"),
        (SEQUENCE, "success", "done"),
        (SEQUENCE, "timed_out:confirmation_timeout", "unknown"),
        (SEQUENCE, "exec_failed:feedback_bad", "unknown"),
        (SEQUENCE, "exec_failed:execute_refused", "failed"),
        (SEQUENCE, "refused:interlock", "failed"),
    ],
)
def test_after_a_restart_the_desks_result_says_the_same(bench, programme, code, phase):
    run, effects = bench.started(programme)
    bench.answer(orders(effects)[0])
    record = run_from_plain(run_to_plain(bench.run(run)))
    trace = [
        AuditRow("control", step, "wang", "desk 1", "s", "q1", code=told) for step, told in (("execute", ""), ("result", code))
    ]
    interrupt(record, trace, 1)
    assert [step.phase.value for step in record.steps] == [phase, "skipped"]


# ---------------------------------------------------------------- how it is written down and shown


def test_what_is_accepted_is_part_of_the_digest_and_of_the_store():
    assert ACCEPTED.digest != SEQUENCE.digest
    assert programme_from_plain(programme_to_plain(ACCEPTED)) == ACCEPTED
    plain = programme_to_plain(SEQUENCE)
    plain["steps"] = [values[:6] for values in plain["steps"]]  # as an older version of the program kept it
    assert programme_from_plain(plain) == SEQUENCE


def test_the_start_says_behind_which_steps_it_will_wait(bench):
    programme = bench.saved(replace(SEQUENCE, steps=(*SEQUENCE.steps, Step(f"c-{BARE}", OPEN))))
    assert bench.book.unwatched(programme) == [0, 2]
    answer, effects = bench.ask(programme)
    assert answer.accepted
    assert "steps 1, 3" in answer.reason
    bench.command(answer.run, "stop")
    bench.answer(orders(effects)[0])
    accepted = bench.saved(ACCEPTED)
    assert bench.book.unwatched(accepted) == []
    assert bench.ask(accepted)[0].reason == ""


def test_a_feedback_that_cannot_show_a_position_is_none(bench):
    points = [replace(point, kind=PointKind.ANALOG) if point.pid == STATUS else point for point in TABLES.points]
    bench.book.adopt(replace(TABLES, points=points), bench.topology)
    steps = [Step(f"c-{cid}", value) for cid, value in ((BREAKER, CLOSE), (STATUS, CLOSE), (POWER, 50.0), (BARE, CLOSE))]
    assert bench.book.unwatched(Programme("p", "", Kind.SEQUENCE, tuple(steps))) == [1, 3]
