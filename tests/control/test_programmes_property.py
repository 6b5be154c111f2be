"""Every order of events a run may meet: answers, failures, silence, people, lost rights, restarts, clocks that are set."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scada.control.programme_effects import CancelStep, ExecuteStep, KeepRun, SelectStep
from scada.control.programme_records import StepPhase, run_from_plain, run_to_plain
from scada.control.programmes import Kind
from scada.control.records import SequenceState
from scada.core.clock import NS_PER_S
from tests.control.bench_desk import BARE, BREAKER, POWER, STATUS
from tests.control.bench_programmes import (
    COLLEAGUE,
    GROUP,
    GUARDIAN,
    ONE_PERSON,
    OPERATOR,
    SEQUENCE,
    TWO_PERSONS,
    ProgrammeBench,
    rows,
    who,
)

PEOPLE = (
    OPERATOR,
    COLLEAGUE,
    GUARDIAN,
    who("wang", "desk 2", "OPERATOR", "GUARDIAN"),
    who("li", "desk 2", "OPERATOR", "GUARDIAN"),
)
OUTCOMES = (SequenceState.SUCCESS, SequenceState.EXEC_FAILED, SequenceState.TIMED_OUT, SequenceState.REFUSED)

ACCEPTED = 1
"""Step that is engineered to go without feedback."""

EVENTS = st.one_of(
    st.tuples(st.just("unshown"), st.integers(0, 5), st.none()),
    st.tuples(st.just("answer"), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("answer"), st.integers(0, 5), st.just(True)),
    st.tuples(st.just("again"), st.integers(0, 5), st.booleans()),
    st.tuples(st.sampled_from(["pause", "resume", "step", "stop"]), st.integers(0, 4), st.none()),
    st.tuples(st.just("confirm"), st.integers(0, 4), st.booleans()),
    st.tuples(st.just("advance"), st.sampled_from([0.1, 1.0, 6.0, 45.0, 700.0]), st.none()),
    st.tuples(st.just("jump"), st.sampled_from([-5000.0, 30.0, 5000.0]), st.none()),
    st.tuples(st.just("right"), st.booleans(), st.none()),
    st.tuples(st.just("guardian leaves"), st.booleans(), st.booleans()),
    st.tuples(st.just("model"), st.frozensets(st.sampled_from([BREAKER, STATUS, POWER, BARE]), max_size=2), st.none()),
    st.tuples(st.just("untraced"), st.none(), st.none()),
    st.tuples(st.just("restart"), st.none(), st.none()),
)


class World:
    """One run under a desk, and what the plant saw of it."""

    def __init__(self, group, guarded, timed, single):
        self.guarded, self.kind = guarded, Kind.GROUP if group else Kind.SEQUENCE
        self.bench = ProgrammeBench(TWO_PERSONS if guarded else ONE_PERSON)
        self.open, self.given, self.disk = [], [], None
        self.executed, self.succeeded, self.withdrawn = [], set(), set()
        self.confirmed_by, self.over, self.starter = "", False, OPERATOR.name
        self.unproven = set()
        """Steps that succeeded and that nothing showed, until a person took them for done."""
        planned = list(GROUP.steps if group else (*SEQUENCE.steps, SEQUENCE.steps[0]))
        planned[ACCEPTED] = replace(planned[ACCEPTED], accept_no_feedback=True)
        self.planned, self.changed, self.outdated = planned, False, False
        programme = self.bench.saved(replace(GROUP if group else SEQUENCE, steps=tuple(planned)))
        at_ns = self.bench.clock.now_ns() + 50 * NS_PER_S if timed else 0
        self.due_ns = at_ns
        answer, effects = self.bench.ask(programme, single_step=single and not group, at_ns=at_ns)
        self.run = answer.run
        self.see(effects)

    def see(self, effects):
        for effect in effects:
            match effect:
                case KeepRun(record):
                    self.disk = run_to_plain(record)
                case SelectStep():
                    self.may_act(effect)
                    self.open.append(effect)
                case ExecuteStep():
                    self.may_act(effect)
                    assert effect.sequence_id not in self.withdrawn
                    assert effect.step not in self.executed, "executed twice"
                    if self.kind is Kind.SEQUENCE:
                        assert set(range(effect.step)) <= self.succeeded, "before all before it succeeded"
                        assert self.executed == list(range(effect.step)), "out of order"
                    else:
                        picked = [one for one in self.given if isinstance(one, SelectStep)]
                        assert {one.step for one in picked} == set(range(3)), "before all were selected"
                    assert run_from_plain(self.disk).steps[effect.step].phase is not StepPhase.SELECTING, "not on disk before"
                    self.executed.append(effect.step)
                    self.open.append(effect)
                case CancelStep():
                    self.withdrawn.add(effect.sequence_id)

    def may_act(self, order):
        assert not self.over, "after the end"
        assert self.kind is Kind.GROUP or not self.unproven, "behind a step that nothing shows"
        assert order.principal.name not in self.bench.refused, "without the right"
        assert self.bench.clock.now_ns() >= self.due_ns, "before its time"
        if self.guarded:
            assert self.confirmed_by, "without a second person"
            assert self.confirmed_by not in (self.starter, order.principal.name), "who is the same"
            assert not self.outdated, "of another model than the guardian saw"
            assert self.confirmed_by not in self.bench.refused, "whose guardian may not be one any more"

    def happens(self, event):
        name, which, good = event
        bench, before = self.bench, len(self.open)
        match name:
            case "answer" if self.open:
                order = self.open.pop(which % before)
                self.given.append(order)
                if isinstance(order, SelectStep):
                    self.see(bench.answer(order, None if good else SequenceState.REFUSED, "" if good else "locked"))
                else:
                    if good:
                        self.succeeded.add(order.step)
                    self.see(bench.answer(order, OUTCOMES[0 if good else 1 + which % 3], "" if good else "failed"))
            case "unshown" if executing := [order for order in self.open if isinstance(order, ExecuteStep)]:
                order = executing[which % len(executing)]
                self.open.remove(order)
                self.given.append(order)
                self.succeeded.add(order.step)
                phase = bench.run(self.run).steps[order.step].phase
                if phase is StepPhase.EXECUTING and order.step != ACCEPTED:
                    self.unproven.add(order.step)
                self.see(bench.answer(order, SequenceState.SUCCESS, "no_feedback"))
            case "again" if self.given:
                order = self.given[which % len(self.given)]
                self.see(bench.answer(order, None if good else SequenceState.REFUSED))
            case "pause" | "resume" | "step" | "stop":
                answer, effects = bench.command(self.run, name, PEOPLE[which])
                if answer.accepted and name in ("resume", "step"):
                    taken = {row.mrid for row in rows(effects) if row.step == "step_accept" and row.actor == PEOPLE[which].name}
                    steps = bench.run(self.run).programme.steps
                    assert taken == {steps[index].control for index in self.unproven}, "who takes it for done is traced"
                    self.unproven.clear()
                    self.changed = False
                self.see(effects)
            case "confirm":
                answer, effects = bench.confirm(self.run, PEOPLE[which], refuse=not good)
                if answer.accepted and good:
                    self.confirmed_by = PEOPLE[which].name
                self.see(effects)
            case "advance":
                self.see(bench.advance(which))
            case "jump":
                bench.clock.jump(which)
            case "right":
                bench.refused = {} if which else {"wang": "the session ended"}
            case "guardian leaves":
                bench.refused.pop("li", None)
                if which:
                    bench.refused["li"] = replace(GUARDIAN, rights=frozenset()) if good else "li: logged out for good"
            case "model":
                began = bench.run(self.run).state.value != "unconfirmed"
                self.see(bench.took(bench.desk.reserve(which)))
                touched = {
                    step.control
                    for step, became in zip(self.planned, bench.run(self.run).steps, strict=True)
                    if became.phase is not StepPhase.DONE
                } & {f"c-{cid}" for cid in which}
                self.changed = self.changed or bool(touched and began)
                self.outdated = self.outdated or bool(touched and began)
            case "untraced":
                dropped = [one for one in self.open if isinstance(one, SelectStep)]
                self.open = [one for one in self.open if isinstance(one, ExecuteStep)]  # what was given stays given
                self.see(bench.desk.audit_failed(self.run, "no space", dropped))
            case "restart":
                self.restart()
        record = bench.run(self.run)
        self.over = self.over or record.state.ended
        self.check(record)

    def restart(self):
        before = run_from_plain(self.disk)
        if before.state.ended:
            return
        old = self.bench
        self.bench = ProgrammeBench(TWO_PERSONS if self.guarded else ONE_PERSON, versions=[before.programme])
        self.bench.clock = old.clock
        self.see(self.bench.desk.recover([before], {}))
        self.open, self.given = [], []
        assert self.bench.run(self.run).state.value == "interrupted"

    def check(self, record):
        for index, step in enumerate(record.steps):
            if step.phase is StepPhase.DONE:
                assert index in self.succeeded - self.unproven
            assert (step.phase is StepPhase.UNPROVEN) is (index in self.unproven)
            if step.phase is StepPhase.SKIPPED:
                assert index not in self.executed, "told that nothing was operated"
        if record.state.value == "paused" and self.changed:
            assert "model" in record.reason, "who resumes it must know"
        if record.state.value == "done":
            assert self.succeeded - self.unproven == set(range(len(record.steps)))
        if record.state.ended:
            assert not [step for step in record.steps if step.phase in (StepPhase.WAITING, StepPhase.EXECUTING)]


@settings(max_examples=400, deadline=None)
@given(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.lists(EVENTS, max_size=40))
def test_no_order_of_events_lets_a_step_out_of_its_turn(group, guarded, timed, single, events):
    world = World(group, guarded, timed, single)
    for event in events:
        world.happens(event)


@settings(max_examples=100, deadline=None)
@given(st.booleans(), st.booleans())
def test_the_events_reach_the_end_of_a_run_where_all_goes_well(group, guarded):
    world = World(group, guarded, timed=False, single=False)
    for event in [("confirm", 2, True), *[("answer", 0, True), ("advance", 6.0, None)] * 10]:
        world.happens(event)
    assert world.bench.run(world.run).state.value == "done"
