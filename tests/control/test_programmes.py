from __future__ import annotations

from dataclasses import replace

import pytest

from scada.control.plant import Reading
from scada.control.programme_effects import CancelStep, ExecuteStep, SelectStep
from scada.control.programmes import Kind, Programme, Step
from scada.control.records import SequenceState
from scada.core.clock import NS_PER_S
from scada.core.quality import Quality
from tests.control.bench_desk import BARE, BREAKER, CLOSE, OPEN, POWER, STATUS
from tests.control.bench_programmes import (
    COLLEAGUE,
    ENGINEER,
    GROUP,
    GUARDIAN,
    OPERATOR,
    SEQUENCE,
    TWO_PERSONS,
    ProgrammeBench,
    kept,
    keys,
    orders,
    rows,
    who,
)


@pytest.fixture
def bench():
    return ProgrammeBench()


@pytest.fixture
def guarded():
    return ProgrammeBench(TWO_PERSONS)


# ---------------------------------------------------------------- versions


def test_a_version_is_kept_and_told_before_it_counts(bench):
    answer, effects = bench.book.save(SEQUENCE, 0, OPERATOR, b"envelope")
    assert (answer.accepted, answer.version) == (True, 1)
    assert [type(effect).__name__ for effect in effects] == ["Audit", "KeepProgramme", "Report"]
    (row,) = rows(effects)
    assert (row.kind, row.step, row.path, row.evidence) == ("programme", "save", "transfer v1", b"envelope")
    assert keys(effects) == ["programme.saved"]
    found = bench.book.programme("transfer")
    assert (found.author, found.version, found.digest) == ("wang", 1, answer.digest)


def test_the_digest_is_of_what_is_executed():
    assert replace(SEQUENCE, title="other", version=7, author="x", reason="y").digest == SEQUENCE.digest
    steps = SEQUENCE.steps
    others = [
        replace(SEQUENCE, kind=Kind.GROUP),
        replace(SEQUENCE, steps=steps[::-1]),
        replace(SEQUENCE, steps=(replace(steps[0], value=OPEN), *steps[1:])),
        replace(SEQUENCE, steps=(replace(steps[0], condition='"x" > 1'), *steps[1:])),
        replace(SEQUENCE, steps=(replace(steps[0], timeout_s=1.0), *steps[1:])),
        replace(SEQUENCE, steps=(replace(steps[0], pause_s=1.0), *steps[1:])),
        replace(SEQUENCE, steps=(replace(steps[0], control="c-9"), *steps[1:])),
    ]
    assert len({one.digest for one in [SEQUENCE, *others]}) == len(others) + 1
    assert replace(SEQUENCE, steps=(replace(steps[0], note="look"), *steps[1:])).digest == SEQUENCE.digest


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step("c-99", CLOSE), "no control"),
        (Step(f"c-{BREAKER}", 0.0), "no double command"),
        (Step(f"c-{BREAKER}", float("nan")), "finite"),
        (Step(f"c-{POWER}", 1000.0), "outside"),
        (Step(f"c-{BREAKER}", CLOSE, condition='"no such" > 1'), "no such"),
        (Step(f"c-{BREAKER}", CLOSE, condition='"S1/220/B1/p2" >'), "condition"),
        (Step(f"c-{BREAKER}", CLOSE, timeout_s=-1.0), "wait"),
        (Step(f"c-{BREAKER}", CLOSE, timeout_s=float("nan")), "wait"),
        (Step(f"c-{BREAKER}", CLOSE, pause_s=1e9), "pause"),
    ],
)
def test_each_step_is_checked_and_says_what_is_wrong(bench, step, words):
    made = replace(SEQUENCE, steps=(SEQUENCE.steps[0], step))
    answer, effects = bench.book.save(made, 0, OPERATOR)
    assert (answer.accepted, answer.code) == (False, "findings")
    assert answer.findings[0] == ""
    assert words in answer.findings[1]
    assert kept(effects) == []
    assert bench.book.programme("transfer") is None


def test_a_group_has_no_pauses_and_one_control_of_an_object(bench):
    twice = Programme(
        "g", "", Kind.GROUP, (Step(f"c-{BREAKER}", OPEN), Step(f"c-{BREAKER}", CLOSE), Step(f"c-{STATUS}", OPEN, pause_s=1.0))
    )
    answer, _ = bench.book.save(twice, 0, OPERATOR)
    assert [bool(text) for text in answer.findings] == [False, True, True]


def test_who_has_not_seen_the_newest_version_saves_nothing(bench):
    bench.saved()
    answer, effects = bench.book.save(SEQUENCE, 0, COLLEAGUE)
    assert (answer.accepted, answer.code, answer.version) == (False, "stale", 1)
    assert kept(effects) == []
    answer, _ = bench.book.save(SEQUENCE, 1, COLLEAGUE)
    assert answer.version == 2


def test_a_removed_programme_is_no_more_until_it_is_written_anew(bench):
    bench.saved()
    answer, effects = bench.book.save(Programme("transfer", "", Kind.GROUP, ()), 1, OPERATOR, remove=True)
    assert answer.accepted
    assert keys(effects) == ["programme.removed"]
    assert bench.book.programmes() == []
    assert bench.book.programme("transfer").steps == SEQUENCE.steps
    refused, _ = bench.ask(bench.book.programme("transfer", 1))
    assert refused.code == "removed"
    assert bench.book.save(SEQUENCE, 0, OPERATOR)[0].version == 3


def test_every_control_must_be_within_the_areas(bench):
    south = who("sun", "desk 9", "OPERATOR", "GUARDIAN", areas=("South",))
    programme = bench.saved()
    assert bench.book.save(replace(SEQUENCE, steps=()), 1, south)[0].code == "no_area"  # it would take another's away
    assert bench.ask(programme, south)[0].code == "no_area"
    run, _ = bench.started()
    assert bench.command(run, "stop", south)[0].code == "no_area"
    assert bench.run(run).state.value == "running"


def test_an_engineer_may_write_and_not_run(bench):
    programme = bench.saved(author=ENGINEER)
    assert bench.ask(programme, ENGINEER)[0].code == "no_right"


# ---------------------------------------------------------------- a sequence


def test_a_sequence_goes_step_by_step_with_its_pauses(bench):
    run, effects = bench.started()
    assert [type(effect).__name__ for effect in effects][-1] == "SelectStep"
    (first,) = orders(effects)
    assert (first.control, first.value, first.step, first.principal.name) == (f"c-{BREAKER}", CLOSE, 0, "wang")
    (execute,) = orders(bench.answer(first))
    assert isinstance(execute, ExecuteStep)
    assert bench.phases(run) == ["executing", "waiting", "waiting"]
    (second,) = orders(bench.answer(execute))
    assert (second.step, bench.run(run).next) == (1, 1)
    (execute,) = orders(bench.answer(second))
    assert orders(bench.answer(execute)) == []
    assert orders(bench.advance(4.9)) == []
    (third,) = orders(bench.advance(0.2))
    (execute,) = orders(bench.answer(third))
    done = bench.answer(execute)
    assert keys(done) == ["programme.step", "programme.done"]
    assert bench.run(run).state.value == "done"
    assert bench.phases(run) == ["done"] * 3
    steps = [(row.step, row.mrid) for row in rows(bench.effects) if row.sequence_id == run]
    assert steps[:3] == [("start", ""), ("begin", ""), ("step_select", f"c-{BREAKER}")]
    assert steps[-1] == ("result", "")


@pytest.mark.parametrize("at", ["select", "execute"])
def test_the_first_failure_ends_a_sequence(bench, at):
    run, effects = bench.started()
    (order,) = orders(effects)
    if at == "execute":
        (order,) = orders(bench.answer(order))
        state = SequenceState.EXEC_FAILED
    else:
        state = SequenceState.REFUSED
    assert orders(bench.answer(order, state, "interlock", "the breaker is closed")) == []
    assert bench.phases(run) == ["failed", "skipped", "skipped"]
    assert (bench.run(run).state.value, bench.run(run).code) == ("failed", "interlock")
    assert orders(bench.advance(1000)) == []
    assert keys(bench.effects)[-2:] == ["programme.step_failed", "programme.failed"]


def test_a_step_whose_present_state_is_not_known_is_not_operated(bench):
    run, effects = bench.started()
    (order,) = orders(effects)
    (cancel,) = orders(bench.answer(order, code="feedback_bad", reason="the present state is not known"))
    assert isinstance(cancel, CancelStep)
    assert (bench.run(run).state.value, bench.run(run).code) == ("failed", "feedback_bad")


def test_an_answer_that_does_not_come_is_told_as_unknown(bench):
    run, effects = bench.started()
    (order,) = orders(effects)
    (execute,) = orders(bench.answer(order))
    assert bench.advance(30) == []
    bench.advance(20)
    assert bench.phases(run) == ["unknown", "skipped", "skipped"]
    assert bench.run(run).code == "no_answer"
    assert orders(bench.answer(execute)) == []
    assert bench.phases(run)[0] == "unknown"


def test_single_steps_wait_for_their_order(bench):
    run, effects = bench.started(single_step=True)
    assert orders(effects) == []
    assert bench.run(run).state.value == "paused"
    (order,) = orders(bench.command(run, "step")[1])
    (execute,) = orders(bench.answer(order))
    assert orders(bench.answer(execute)) == []
    assert (bench.run(run).state.value, bench.run(run).code) == ("paused", "single_step")
    (order,) = orders(bench.command(run, "resume")[1])
    assert order.step == 1
    (execute,) = orders(bench.answer(order))
    bench.answer(execute)
    assert [order.step for order in orders(bench.advance(6))] == [2]  # from here on it runs by itself


def test_a_pause_before_the_execute_withdraws_the_selection(bench):
    run, effects = bench.started()
    (order,) = orders(effects)
    assert bench.command(run, "pause")[0].accepted
    assert bench.run(run).state.value == "running"
    (cancel,) = orders(bench.answer(order))
    assert isinstance(cancel, CancelStep)
    assert bench.run(run).state.value == "paused"
    (again,) = orders(bench.command(run, "resume")[1])
    assert (again.step, bench.executed()) == (0, [])


def test_a_pause_during_the_execute_waits_for_its_end(bench):
    run, effects = bench.started()
    (execute,) = orders(bench.answer(orders(effects)[0]))
    bench.command(run, "pause")
    assert orders(bench.answer(execute)) == []
    assert bench.run(run).state.value == "paused"
    assert bench.phases(run) == ["done", "waiting", "waiting"]


def test_a_stop_leaves_nothing_to_follow(bench):
    run, effects = bench.started()
    (execute,) = orders(bench.answer(orders(effects)[0]))
    assert bench.command(run, "stop", reason="smoke")[0].accepted
    assert orders(bench.answer(execute)) == []
    assert bench.run(run).state.value == "stopped"
    assert bench.phases(run) == ["done", "skipped", "skipped"]
    assert orders(bench.advance(100)) == []
    assert bench.command(run, "resume")[0].code == "ended"


def test_a_long_pause_ends_a_run(bench):
    run, _ = bench.started(single_step=True)
    bench.advance(3599)
    assert bench.run(run).state.value == "paused"
    bench.advance(2)
    assert (bench.run(run).state.value, bench.run(run).code) == ("stopped", "pause_expired")


def test_a_run_goes_on_only_while_its_starter_may(bench):
    run, effects = bench.started()
    (execute,) = orders(bench.answer(orders(effects)[0]))
    bench.refused["wang"] = "the session has ended: logout"
    assert orders(bench.answer(execute)) == []
    assert (bench.run(run).state.value, bench.run(run).code) == ("paused", "no_right")
    assert "logout" in bench.run(run).reason
    (second,) = orders(bench.command(run, "resume", COLLEAGUE)[1])
    assert (second.principal.name, bench.run(run).operator) == ("zhao", "zhao")


def test_rights_lost_between_check_back_and_execute_withdraw_the_selection(bench):
    run, effects = bench.started()
    bench.refused["wang"] = "revoked"
    (cancel,) = orders(bench.answer(orders(effects)[0]))
    assert isinstance(cancel, CancelStep)
    assert (bench.run(run).state.value, bench.executed()) == ("paused", [])


# ---------------------------------------------------------------- conditions


CONDITION = '"S1/220/B1/p2" < 5'


def conditional(**more):
    return replace(SEQUENCE, steps=(SEQUENCE.steps[0], Step(f"c-{STATUS}", OPEN, condition=CONDITION, **more)))


def test_a_step_waits_for_its_condition(bench):
    bench.plant.readings[POWER] = Reading(30.0, 0)
    _, effects = bench.started(conditional(timeout_s=20.0))
    (execute,) = orders(bench.answer(orders(effects)[0]))
    assert orders(bench.answer(execute)) == []
    assert orders(bench.advance(10)) == []
    bench.plant.readings[POWER] = Reading(3.0, 0)
    assert [order.step for order in orders(bench.advance(1))] == [1]


@pytest.mark.parametrize("reading", [Reading(30.0, 0), Reading(3.0, int(Quality.INVALID)), Reading(float("nan"), 0)])
def test_neither_false_nor_unknown_lets_a_step_go(bench, reading):
    bench.plant.readings[POWER] = reading
    run, effects = bench.started(conditional(timeout_s=20.0))
    (execute,) = orders(bench.answer(orders(effects)[0]))
    bench.answer(execute)
    assert orders(bench.advance(19)) == []
    bench.advance(2)
    assert (bench.run(run).state.value, bench.run(run).code) == ("failed", "condition")
    assert "S1/220/B1/p2" in bench.run(run).reason


def test_a_start_by_condition_within_its_time(bench):
    bench.plant.readings[POWER] = Reading(30.0, 0)
    run, effects = bench.started(condition=CONDITION, wait_s=60.0)
    assert (orders(effects), bench.run(run).state.value) == ([], "waiting")
    bench.plant.readings[POWER] = Reading(3.0, 0)
    assert len(orders(bench.advance(1))) == 1
    other = ProgrammeBench()
    run, _ = other.started(condition='"S1/220/B1/p2" > 1000', wait_s=60.0)
    other.advance(61)
    assert (other.run(run).state.value, other.run(run).code) == ("failed", "condition_timeout")


# ---------------------------------------------------------------- timed starts


def test_a_timed_start_begins_at_its_time(bench):
    run, effects = bench.started(at_ns=bench.clock.now_ns() + 100 * NS_PER_S)
    assert orders(effects) == []
    assert orders(bench.advance(99)) == []
    assert len(orders(bench.advance(1))) == 1
    assert bench.run(run).state.value == "running"


def test_a_start_that_is_noticed_late_is_not_begun(bench):
    run, _ = bench.started(at_ns=bench.clock.now_ns() + 100 * NS_PER_S)
    bench.advance(161)
    assert (bench.run(run).state.value, bench.run(run).code) == ("failed", "late")
    assert bench.executed() == []


@pytest.mark.parametrize("jump", [3600.0, 90_000.0, -3600.0])
def test_a_clock_that_was_set_begins_nothing(bench, jump):
    run, _ = bench.started(at_ns=bench.clock.now_ns() + 3600 * NS_PER_S)
    bench.clock.jump(jump)
    assert orders(bench.advance(1)) == []
    assert (bench.run(run).state.value, bench.run(run).code) == ("paused", "clock_jump")
    answer, effects = bench.command(run, "resume")
    assert answer.accepted
    assert bool(orders(effects)) is (jump == 3600.0)  # now it is the time that a person meant


def test_times_that_mean_nothing_are_refused(bench):
    programme, now = bench.saved(), bench.clock.now_ns()
    assert bench.ask(programme, at_ns=now - 1)[0].code == "late"
    assert bench.ask(programme, at_ns=now + 8 * 86_400 * NS_PER_S)[0].code == "too_far"
    assert bench.ask(programme, condition="x >", wait_s=1.0)[0].code == "condition"
    assert bench.ask(programme, condition=CONDITION, wait_s=float("inf"))[0].code == "wait"


def test_what_was_seen_is_what_runs(bench):
    first = bench.saved()
    bench.saved(replace(SEQUENCE, steps=SEQUENCE.steps[:2]))
    assert bench.ask(first)[0].code == "stale"
    newest = bench.book.programme("transfer")
    assert bench.ask(newest, digest=first.digest)[0].code == "digest"
    assert bench.ask(replace(newest, version=9))[0].code == "unknown_programme"
    assert bench.ask(newest)[0].accepted
    assert bench.ask(newest)[0].code == "running"


# ---------------------------------------------------------------- the second person


def test_nothing_is_ordered_before_the_second_person(guarded):
    run, effects = guarded.started()
    assert orders(effects) == []
    assert (guarded.run(run).state.value, guarded.run(run).needs_guardian) == ("unconfirmed", True)
    assert orders(guarded.advance(100)) == []
    assert guarded.command(run, "resume")[0].code == "not_paused"
    answer, effects = guarded.confirm(run)
    assert answer.accepted
    (order,) = orders(effects)
    assert (order.guardian, "confirmed by li" in order.why) == ("li", True)
    assert "confirm" in [row.step for row in rows(effects) if row.actor == "li" and row.evidence == b"confirmed"]


@pytest.mark.parametrize(
    ("by", "more", "code"),
    [
        (who("wang", "desk 2", "OPERATOR", "GUARDIAN"), {}, "guardian_same"),
        (who("li", "desk 1", "GUARDIAN"), {}, "guardian_workstation"),
        (who("li", "", "GUARDIAN"), {}, "guardian_workstation"),
        (COLLEAGUE, {}, "no_right"),
        (who("li", "desk 2", "GUARDIAN", areas=("South",)), {}, "no_area"),
        (GUARDIAN, {"digest": b"other"}, "guardian_mismatch"),
        (GUARDIAN, {"start_digest": b""}, "guardian_mismatch"),
    ],
)
def test_who_is_no_guardian_of_this_run(guarded, by, more, code):
    run, _ = guarded.started()
    answer, effects = guarded.confirm(run, by, **more)
    assert (answer.accepted, answer.code) == (False, code)
    assert guarded.run(run).state.value == "unconfirmed"
    assert [row.step for row in rows(effects)] == ["confirm_refused"]


def test_a_guardian_who_says_no_ends_it(guarded):
    run, _ = guarded.started()
    guarded.confirm(run, refuse=True, reason="maintenance")
    assert (guarded.run(run).state.value, guarded.run(run).code) == ("stopped", "guardian_refused")
    assert guarded.confirm(run)[0].code == "ended"


def test_a_run_that_nobody_confirms_ends(guarded):
    run, _ = guarded.started()
    guarded.advance(601)
    assert (guarded.run(run).state.value, guarded.run(run).code) == ("stopped", "not_confirmed")


def test_a_run_goes_on_only_while_its_guardian_may_be_one(guarded):
    at_ns = guarded.clock.now_ns() + 3600 * NS_PER_S
    run, _ = guarded.started(at_ns=at_ns)
    guarded.confirm(run)
    guarded.refused["li"] = "li: the identity is no longer valid"
    assert orders(guarded.advance(3600)) == []
    assert (guarded.run(run).state.value, guarded.run(run).code) == ("paused", "no_right")
    guarded.command(run, "resume", COLLEAGUE)
    assert (guarded.run(run).state.value, guarded.executed()) == ("paused", []), "whoever resumes it, it was confirmed by nobody"


def test_a_guardian_who_lost_the_right_between_check_back_and_execute_stops_the_step(guarded):
    run, _ = guarded.started()
    (select,) = orders(guarded.confirm(run)[1])
    guarded.refused["li"] = replace(GUARDIAN, rights=frozenset())
    (cancel,) = orders(guarded.answer(select))
    assert isinstance(cancel, CancelStep)
    assert (guarded.run(run).code, guarded.executed()) == ("no_right", [])


def test_the_guardian_does_not_take_the_run_over(guarded):
    run, _ = guarded.started(single_step=True)
    both = who("li", "desk 2", "OPERATOR", "GUARDIAN")
    guarded.confirm(run, both)
    assert guarded.command(run, "step", both)[0].code == "guardian_same"
    assert guarded.command(run, "step", who("zhao", "desk 2", "OPERATOR"))[0].code == "guardian_workstation"
    assert guarded.command(run, "step", COLLEAGUE)[0].accepted


def test_an_emergency_needs_its_right_and_a_reason(guarded):
    programme = guarded.saved()
    chief = who("zhou", "desk 5", "OPERATOR")
    chief = replace(chief, rights=chief.rights | {"EMERGENCY"})
    plain = replace(OPERATOR, rights=OPERATOR.rights - {"EMERGENCY"})
    assert not guarded.ask(programme, plain, emergency=True, reason="fire")[0].accepted
    assert not guarded.ask(programme, chief, emergency=True)[0].accepted
    answer, effects = guarded.ask(programme, chief, emergency=True, reason="fire")
    assert answer.accepted
    (order,) = orders(effects)
    assert (order.guardian, order.emergency) == ("", "fire")


# ---------------------------------------------------------------- a group


def test_a_group_is_executed_once_all_are_checked_back(bench):
    run, effects = bench.started(GROUP)
    selects = orders(effects)
    assert [order.step for order in selects] == [0, 1, 2]
    assert orders(bench.answer(selects[1])) == []
    assert orders(bench.answer(selects[0])) == []
    executes = orders(bench.answer(selects[2]))
    assert sorted(order.step for order in executes) == [0, 1, 2]
    for order in executes:
        bench.answer(order)
    assert bench.run(run).state.value == "done"


def test_one_refusal_withdraws_the_whole_group(bench):
    run, effects = bench.started(GROUP)
    first, second, third = orders(effects)
    bench.answer(first)
    (cancel,) = orders(bench.answer(second, SequenceState.REFUSED, "tagged", "do not operate"))
    assert (type(cancel), cancel.sequence_id) == (CancelStep, "q1")
    assert bench.run(run).state.value == "running"  # the third is still under way
    (late,) = orders(bench.answer(third))
    assert isinstance(late, CancelStep)
    assert bench.run(run).state.value == "failed"
    assert (bench.phases(run), bench.executed()) == (["skipped", "failed", "skipped"], [])


def test_a_group_whose_selections_expired_meanwhile_is_not_executed(bench):
    run, effects = bench.started(replace(GROUP, steps=GROUP.steps[:2]))
    first, second = orders(effects)
    bench.answer(first)
    bench.clock.advance(61)
    wanted = orders(bench.answer(second))
    assert wanted
    assert not [order for order in wanted if isinstance(order, ExecuteStep)]
    assert (bench.run(run).state.value, bench.executed()) == ("failed", [])


def test_a_group_in_which_one_fails_is_told_as_failed_with_what_the_others_did(bench):
    run, effects = bench.started(GROUP)
    executes = [order for select in orders(effects) for order in orders(bench.answer(select))]
    bench.answer(executes[0], SequenceState.EXEC_FAILED, "feedback_timeout", "it did not follow")
    assert bench.run(run).state.value == "running"
    bench.answer(executes[1])
    bench.answer(executes[2])
    assert (bench.run(run).state.value, bench.phases(run)) == ("failed", ["failed", "done", "done"])


# ---------------------------------------------------------------- traces and the model


def test_an_order_whose_trace_is_not_on_disk_was_not_given(bench):
    run, effects = bench.started()
    (order,) = orders(effects)
    bench.took(bench.desk.audit_failed(run, "no space", [order]))
    assert (bench.run(run).state.value, bench.run(run).code) == ("failed", "audit_failed")
    assert bench.phases(run) == ["skipped"] * 3


def test_an_execute_whose_trace_is_not_on_disk_is_withdrawn(bench):
    run, effects = bench.started()
    (execute,) = orders(bench.answer(orders(effects)[0]))
    (cancel,) = orders(bench.took(bench.desk.audit_failed(run, "no space", [execute])))
    assert (type(cancel), bench.phases(run)) == (CancelStep, ["skipped"] * 3)


def test_a_change_of_the_model_pauses_what_still_has_to_do_with_it(bench):
    run, effects = bench.started()
    (execute,) = orders(bench.answer(orders(effects)[0]))
    bench.took(bench.desk.reserve(frozenset({BARE})))
    assert bench.run(run).code == ""
    bench.took(bench.desk.reserve(frozenset({POWER})))
    bench.answer(execute)
    assert (bench.run(run).state.value, bench.run(run).code) == ("paused", "model_change")


def test_select_orders_come_after_run_and_trace_are_stored(bench):
    _, effects = bench.started(GROUP)
    names = [type(effect).__name__ for effect in effects]
    assert names.index("SelectStep") > max(at for at, name in enumerate(names) if name in ("KeepRun", "Audit"))
    assert all(isinstance(effect, SelectStep) for effect in effects[names.index("SelectStep") :])
