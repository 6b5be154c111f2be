from __future__ import annotations

import math
from dataclasses import replace

import pytest

from scada.control.effects import Audit, Progress, Report, SendCancel, SendExecute, SendSelect
from scada.control.plant import Reading, SwitchKind
from scada.control.records import Principal, ProgrammeStep, SequenceState
from scada.core.quality import Quality
from scada.events.records import EventKind
from scada.model_cim.tables import AlarmClass, Enabling
from scada.protocols.driver import CommandResult, LinkState, Outcome
from scada.security.audit import AuditLog, AuditRecord
from tests.control.bench_desk import (
    AGC,
    AVC,
    BARE,
    BREAKER,
    CLOSE,
    CUT,
    NO,
    OPEN,
    OPERATOR,
    POWER,
    SILENT,
    SINGLE,
    STATUS,
    TABLES,
    TAP,
    YES,
    Bench,
    TableTopology,
    audits,
    events,
    person,
    replies,
    reply,
    sends,
)


def under_way(effects):
    """State told to the caller of an execute whose result is still to come; nothing else is done."""
    [told] = effects
    assert isinstance(told, Progress)
    return told.reply.state


@pytest.fixture
def bench():
    return Bench()


def test_a_breaker_from_preset_to_feedback(bench):
    effects = bench.select()
    assert [type(effect) for effect in effects] == [Audit, SendSelect]
    assert audits(effects)[0].evidence == b"evidence"
    (sent,) = sends(effects)
    assert (sent.step, sent.control.mrid, sent.value) == ("select", "c-0", CLOSE)

    effects = bench.desk.on_answer("q1", "select", YES)
    told = reply(effects)
    assert [(row.step, row.code) for row in audits(effects)] == [("check_back", "selected")]
    assert (told.state, told.code, told.present) == (SequenceState.SELECTED, "", 1.0)
    assert told.valid_until_ns == bench.clock.now_ns() + 30 * 10**9

    bench.clock.advance(5)
    effects = bench.desk.execute("execute", "q1", OPERATOR, b"more")
    assert [type(effect) for effect in effects] == [Audit, Report, SendExecute]
    assert [(row.step, row.code, row.evidence) for row in audits(effects)] == [("execute", "executing", b"more")]

    assert under_way(bench.desk.on_answer("q1", "execute", YES)) == SequenceState.EXECUTING
    assert bench.feedback(BREAKER, 1.0) == []
    assert bench.feedback(BREAKER, 0.0) == []  # travelling
    bench.clock.advance(2)
    effects = bench.feedback(BREAKER, 2.0)
    told = reply(effects)
    assert (told.state, told.code, told.present, told.elapsed_s) == (SequenceState.SUCCESS, "", 2.0, 7.0)
    assert [(row.step, row.code) for row in audits(effects)] == [("result", "success")]
    (event,) = events(effects)
    assert (event.kind, event.key, event.actor) == (EventKind.CONTROL, "control.success", "wang")
    assert event.parameters["value"] == "closed"
    assert bench.desk.running() == []
    assert bench.desk.next_deadline() == math.inf


def test_feedback_may_come_before_the_confirmation(bench):
    bench.desk.execute("execute", bench.selected(), OPERATOR)
    assert bench.feedback(BREAKER, 2.0) == []
    assert reply(bench.desk.on_answer("q1", "execute", YES)).state is SequenceState.SUCCESS


@pytest.mark.parametrize(
    ("cid", "value", "before", "after"),
    [
        (BREAKER, OPEN, 2.0, 1.0),
        (STATUS, CLOSE, 0.0, 1.0),
        (STATUS, OPEN, 1.0, 0.0),
        (SINGLE, 1.0, 1.0, 2.0),
        (SINGLE, 0.0, 2.0, 1.0),
        (TAP, 2.0, 7.0, 8.0),
        (TAP, 1.0, 7.0, 6.0),
        (POWER, 55.0, 30.0, 55.4),
    ],
)
def test_each_kind_knows_its_feedback(bench, cid, value, before, after):
    bench.plant.readings[cid] = Reading(before, 0)
    bench.desk.execute("execute", bench.selected(cid, value), OPERATOR)
    assert under_way(bench.desk.on_answer("q1", "execute", YES)) == SequenceState.EXECUTING
    assert bench.feedback(cid, before) == []
    assert reply(bench.feedback(cid, after)).state is SequenceState.SUCCESS


def test_no_wire_select_where_the_control_has_none(bench):
    effects = bench.select(POWER, 50.0)
    assert sends(effects) == []
    assert reply(effects).state is SequenceState.SELECTED
    assert [(row.step, row.code) for row in audits(effects)] == [("select", "selected")]


# ---------------------------------------------------------------- refused before anything is sent


def refusal(bench, effects):
    told = reply(effects)
    assert told.state is SequenceState.REFUSED
    assert told.reason
    assert sends(effects) == []
    assert bench.desk.running() == []
    return told.code


@pytest.mark.parametrize(
    ("cid", "value", "code"),
    [
        (BREAKER, math.nan, "bad_value"),
        (BREAKER, math.inf, "bad_value"),
        (BREAKER, 0.0, "bad_value"),
        (BREAKER, 3.0, "bad_value"),
        (BREAKER, 1.5, "bad_value"),
        (SINGLE, 2.0, "bad_value"),
        (TAP, 0.0, "bad_value"),
        (POWER, math.nan, "bad_value"),
        (POWER, -math.inf, "bad_value"),
        (POWER, 9.9, "out_of_range"),
        (POWER, 100.1, "out_of_range"),
    ],
)
def test_bad_values(bench, cid, value, code):
    effects = bench.select(cid, value)
    assert refusal(bench, effects) == code
    assert [row.step for row in audits(effects)] == ["refused"]
    assert [event.key for event in events(effects)] == ["control.refused"]


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (person("v", "VIEWER"), "no_right"),
        (person("g", "GUARDIAN"), "no_right"),
        (person("d", "DISPATCHER"), "no_right"),
        (person("o", "OPERATOR", areas=("South",)), "no_area"),
        (person("o", "OPERATOR", areas=()), "no_area"),
        (AGC, "no_right"),
    ],
)
def test_rights_and_areas(bench, who, code):
    assert refusal(bench, bench.select(who=who)) == code


@pytest.mark.parametrize("area", ["North", "S1", "*"])
def test_an_area_is_a_control_area_or_a_station(bench, area):
    assert bench.selected(who=person("o", "OPERATOR", areas=(area,)))


@pytest.mark.parametrize("typed", ["", "221", "220 1", "\uff12\uff12\uff10"])
def test_device_number(bench, typed):
    assert refusal(bench, bench.select(number=typed)) == "device_number"
    assert bench.select(number=" 220 ")


def test_unknown_control(bench):
    effects = bench.desk.select("t", "no such", CLOSE, "", OPERATOR, b"e")
    assert refusal(bench, effects) == "unknown_control"
    assert audits(effects)[0].evidence == b"e"


@pytest.mark.parametrize("state", [state for state in LinkState if state is not LinkState.UP])
def test_link_down(bench, state):
    bench.plant.link = state
    assert refusal(bench, bench.select()) == "link_down"


def test_tag(bench):
    tagged = Bench(tags=lambda control, value: "tagged: maintenance" if control.mrid == "c-0" else "")
    assert refusal(tagged, tagged.select()) == "tagged"
    assert tagged.selected(POWER, 50.0)


def test_interlock_explains_itself(bench):
    bench.topology.earthed = True
    effects = bench.select()
    assert refusal(bench, effects) == "interlock"
    assert "onto earth" in reply(effects).reason


def earth_beside(bench):
    """Another network where it is not known whether the breaker would close onto earth."""
    bench.topology.doubting = doubting = TableTopology()
    doubting.earthed = None


def test_a_switch_on_its_way_is_taken_for_unknown_by_the_interlocks_of_others(bench):
    earth_beside(bench)
    earthing, breaker = bench.selected(STATUS), bench.selected()
    bench.desk.execute("execute", earthing, OPERATOR)
    effects = bench.desk.execute("too", breaker, OPERATOR)
    told = replies(effects)["too"]
    assert (told.state, told.code) == (SequenceState.REFUSED, "interlock"), "both were checked before either moved"
    assert bench.topology.moving == {"e-4"}
    assert [send.step for send in sends(effects)] == ["cancel"]
    assert reply(bench.select()).code == "interlock"


def test_a_switch_that_arrived_counts_once_the_interlocks_see_it(bench):
    earth_beside(bench)
    bench.desk.execute("execute", bench.selected(STATUS, OPEN), OPERATOR)
    bench.desk.on_answer("q1", "execute", YES)
    assert reply(bench.feedback(STATUS, 0.0)).state is SequenceState.SUCCESS
    assert refusal(bench, bench.select()) == "interlock", "the topology has not followed the feedback"
    bench.topology.closed["e-4"] = False
    assert bench.selected()


def test_a_set_point_on_its_way_leaves_interlocks_as_they_are(bench):
    earth_beside(bench)
    bench.desk.execute("execute", bench.selected(POWER, 50.0), OPERATOR)
    assert bench.selected()


def test_nobody_but_the_run_executes_what_a_run_selected(bench):
    step = ProgrammeStep("r1", "li", "programme transfer")
    bench.desk.select("select", f"c-{BREAKER}", CLOSE, None, OPERATOR, programme=step)
    bench.desk.on_answer("q1", "select", YES)
    effects = bench.desk.execute("by hand", "q1", OPERATOR, b"envelope")
    assert (reply(effects).code, sends(effects)) == ("not_owner", [])
    assert [row.step for row in audits(effects)] == ["execute_refused"]
    assert [send.step for send in sends(bench.desk.execute("run", "q1", OPERATOR))] == ["execute"]


def test_two_operators_and_one_object(bench):
    bench.selected()
    effects = bench.select(value=OPEN, who=person("li"))
    assert reply(effects).code == "locked"
    assert "wang" in reply(effects).reason
    bench.desk.cancel("c", "q1", "", OPERATOR)
    assert bench.selected(who=person("li"))


# ---------------------------------------------------------------- told although allowed


def test_already_there_is_told_and_proves_nothing(bench):
    bench.plant.readings[BREAKER] = Reading(2.0, 0)
    bench.select()
    assert reply(bench.desk.on_answer("q1", "select", YES)).code == "already"
    bench.desk.execute("execute", "q1", OPERATOR)
    told = reply(bench.desk.on_answer("q1", "execute", YES))
    assert (told.state, told.code) == (SequenceState.SUCCESS, "already")


def test_already_there_without_confirmation_is_no_success(bench):
    bench.plant.readings[BREAKER] = Reading(2.0, 0)
    bench.desk.execute("execute", bench.selected(), OPERATOR)
    bench.desk.on_answer("q1", "execute", SILENT)
    assert bench.feedback(BREAKER, 2.0) == []
    bench.clock.advance(10)
    assert reply(bench.desk.tick()).state is SequenceState.TIMED_OUT


def test_bad_feedback_is_flagged_for_people_and_refused_for_applications(bench):
    bench.plant.readings[BREAKER] = Reading(1.0, int(Quality.INVALID))
    assert refusal(bench, bench.desk.direct("t", BREAKER, CLOSE, AVC)) == "feedback_bad"
    bench.select()
    told = reply(bench.desk.on_answer("q2", "select", YES))
    assert (told.state, told.code) == (SequenceState.SELECTED, "feedback_bad")
    assert math.isnan(told.present)
    bench.desk.execute("execute", "q2", OPERATOR)
    bench.desk.on_answer("q2", "execute", YES)
    assert bench.feedback(BREAKER, 2.0, int(Quality.INVALID)) == []
    bench.clock.advance(10)
    told = reply(bench.desk.tick())
    assert (told.state, told.code) == (SequenceState.EXEC_FAILED, "feedback_bad")


def test_a_step_from_an_unknown_position_is_refused(bench):
    bench.plant.readings[TAP] = Reading(7.0, int(Quality.NOT_TOPICAL))
    assert refusal(bench, bench.select(TAP, 2.0)) == "feedback_bad"


def test_control_without_feedback_says_so(bench):
    bench.select(BARE)
    assert reply(bench.desk.on_answer("q1", "select", YES)).code == "no_feedback"
    bench.desk.execute("execute", "q1", OPERATOR)
    told = reply(bench.desk.on_answer("q1", "execute", YES))
    assert (told.state, told.code) == (SequenceState.SUCCESS, "no_feedback")


# ---------------------------------------------------------------- what can go wrong on the way


@pytest.mark.parametrize(
    ("result", "state", "code", "withdrawn"),
    [
        (NO, SequenceState.CHECK_FAILED, "check_back_refused", False),
        (CUT, SequenceState.CHECK_FAILED, "link_down", False),
        (CommandResult(Outcome.UNSUPPORTED), SequenceState.CHECK_FAILED, "unsupported", False),
        (SILENT, SequenceState.TIMED_OUT, "check_back_timeout", True),
    ],
)
def test_check_back_fails(bench, result, state, code, withdrawn):
    bench.select()
    effects = bench.desk.on_answer("q1", "select", result)
    told = reply(effects)
    assert (told.state, told.code) == (state, code)
    assert [type(effect) for effect in sends(effects)] == ([SendCancel] if withdrawn else [])
    assert events(effects)[0].alarm_class is AlarmClass.ABNORMAL
    late = bench.desk.execute("x", "q1", OPERATOR)
    assert (reply(late).state, reply(late).code) == (state, code)
    assert sends(late) == []


def test_no_check_back_at_all(bench):
    bench.select()
    bench.clock.advance(9.9)
    assert bench.desk.tick() == []
    assert bench.desk.next_deadline() == 10.0
    bench.clock.advance(0.1)
    effects = bench.desk.tick()
    assert reply(effects).state is SequenceState.TIMED_OUT
    assert isinstance(sends(effects)[0], SendCancel)
    assert bench.desk.on_answer("q1", "select", YES) == []  # too late


def test_selection_expires(bench):
    sequence = bench.selected()
    bench.clock.advance(30)
    effects = bench.desk.tick()
    assert isinstance(sends(effects)[0], SendCancel)
    assert replies(effects) == {}
    assert events(effects)[0].key == "control.timed_out"
    told = reply(bench.desk.execute("x", sequence, OPERATOR))
    assert (told.state, told.code) == (SequenceState.TIMED_OUT, "selection_expired")


def test_execution_at_the_very_deadline_is_too_late(bench):
    sequence = bench.selected()
    bench.clock.advance(30)
    effects = bench.desk.execute("x", sequence, OPERATOR)
    assert not any(isinstance(effect, SendExecute) for effect in effects)


@pytest.mark.parametrize(
    ("result", "code"),
    [(NO, "execute_refused"), (CUT, "link_down"), (CommandResult(Outcome.UNSUPPORTED), "unsupported")],
)
def test_execute_refused(bench, result, code):
    bench.desk.execute("x", bench.selected(), OPERATOR)
    told = reply(bench.desk.on_answer("q1", "execute", result))
    assert (told.state, told.code) == (SequenceState.EXEC_FAILED, code)


def test_feedback_does_not_follow(bench):
    bench.desk.execute("x", bench.selected(), OPERATOR)
    bench.desk.on_answer("q1", "execute", YES)
    bench.clock.advance(10)
    told = reply(bench.desk.tick())
    assert (told.state, told.code) == (SequenceState.EXEC_FAILED, "feedback_timeout")


@pytest.mark.parametrize("late", [True, False])
def test_no_confirmation_then_only_the_feedback_tells(bench, late):
    bench.desk.execute("x", bench.selected(), OPERATOR)
    if late:
        bench.clock.advance(10)
        assert under_way(bench.desk.tick()) == SequenceState.EXECUTING
    else:
        assert under_way(bench.desk.on_answer("q1", "execute", SILENT)) == SequenceState.EXECUTING
    told = reply(bench.feedback(BREAKER, 2.0))
    assert (told.state, told.code) == (SequenceState.SUCCESS, "unconfirmed")


def test_neither_confirmation_nor_feedback_is_not_known(bench):
    bench.desk.execute("x", bench.selected(), OPERATOR)
    bench.desk.on_answer("q1", "execute", SILENT)
    bench.clock.advance(10)
    told = reply(bench.desk.tick())
    assert (told.state, told.code) == (SequenceState.TIMED_OUT, "confirmation_timeout")
    assert "not known" in told.reason


def test_without_feedback_and_confirmation_nothing_is_waited_for(bench):
    bench.desk.execute("x", bench.selected(BARE), OPERATOR)
    assert reply(bench.desk.on_answer("q1", "execute", SILENT)).code == "confirmation_timeout"


def test_checks_are_made_again_at_execute(bench):
    for spoil, code in (
        (lambda: setattr(bench.topology, "earthed", True), "interlock"),
        (lambda: setattr(bench.plant, "link", LinkState.DOWN), "link_down"),
    ):
        sequence = bench.selected()
        spoil()
        effects = bench.desk.execute("x", sequence, OPERATOR)
        assert reply(effects).code == code
        assert [type(effect) for effect in sends(effects)] == [SendCancel]
        assert bench.desk.running() == []
        bench.topology.earthed, bench.plant.link = False, LinkState.UP


def test_only_the_one_who_selected_may_execute(bench):
    sequence = bench.selected()
    effects = bench.desk.execute("x", sequence, person("li"))
    assert reply(effects).code == "not_owner"
    assert reply(effects).state is SequenceState.REFUSED
    assert sends(effects) == []
    assert audits(effects)[0].actor == "li"
    assert sends(bench.desk.execute("x", sequence, OPERATOR))  # the owner still may


def test_rights_lost_between_select_and_execute(bench):
    sequence = bench.selected()
    effects = bench.desk.execute("x", sequence, person("wang", "VIEWER"))
    assert reply(effects).code == "no_right"
    assert not any(isinstance(effect, SendExecute) for effect in effects)


def test_execute_twice(bench):
    sequence = bench.selected()
    assert sends(bench.desk.execute("x", sequence, OPERATOR))
    again = bench.desk.execute("y", sequence, OPERATOR)
    assert sends(again) == []
    assert replies(again)["y"].state is SequenceState.EXECUTING


def test_unknown_sequence(bench):
    for call in (bench.desk.execute("x", "zz", OPERATOR), bench.desk.cancel("x", "zz", "", OPERATOR)):
        assert reply(call).code == "unknown_sequence"
    assert bench.desk.on_answer("zz", "execute", YES) == []
    assert bench.desk.audit_failed("zz", "") == []


# ---------------------------------------------------------------- cancel


def test_cancel_while_selecting_answers_both(bench):
    bench.select()
    effects = bench.desk.cancel("cancel", "q1", "wrong bay", person("li"))
    assert {ticket: each.state for ticket, each in replies(effects).items()} == {
        "select": SequenceState.CANCELLED,
        "cancel": SequenceState.CANCELLED,
    }
    assert "li: wrong bay" in replies(effects)["cancel"].reason
    assert isinstance(sends(effects)[0], SendCancel)
    assert bench.desk.on_answer("q1", "select", YES) == []
    assert bench.desk.on_answer("q1", "cancel", YES) == []


def test_cancel_needs_the_right(bench):
    sequence = bench.selected()
    effects = bench.desk.cancel("c", sequence, "", person("v", "VIEWER"))
    assert reply(effects).code == "no_right"
    assert len(bench.desk.running()) == 1


def test_who_selected_it_may_withdraw_it_whatever_the_rights_are_now(bench):
    """A run of a programme, too, gives back what it selected when its starter has lost the right."""
    sequence = bench.selected()
    effects = bench.desk.cancel("c", sequence, "", replace(OPERATOR, rights=frozenset()))
    assert (reply(effects).state, len(sends(effects))) == (SequenceState.CANCELLED, 1)


def test_cancel_of_what_executes_is_too_late(bench):
    sequence = bench.selected()
    bench.desk.execute("x", sequence, OPERATOR)
    effects = bench.desk.cancel("c", sequence, "", OPERATOR)
    assert reply(effects).code == "too_late"
    assert sends(effects) == []
    bench.desk.on_answer("q1", "execute", YES)
    assert replies(bench.feedback(BREAKER, 2.0))["x"].state is SequenceState.SUCCESS
    assert reply(bench.desk.cancel("c", sequence, "", OPERATOR)).state is SequenceState.SUCCESS


# ---------------------------------------------------------------- applications


def test_direct_set_point(bench):
    effects = bench.desk.direct("t", POWER, 55.0, AGC, why="cycle 7")
    assert [type(effect) for effect in effects] == [Audit, SendExecute]
    assert (audits(effects)[0].step, audits(effects)[0].actor, audits(effects)[0].reason) == ("execute", "system:agc", "cycle 7")
    effects = bench.desk.on_answer("q1", "execute", YES)
    assert reply(effects).state is SequenceState.SUCCESS
    assert events(effects) == []  # every few seconds: not the operators' list


def test_direct_failure_is_an_event(bench):
    bench.desk.direct("t", POWER, 55.0, AGC)
    effects = bench.desk.on_answer("q1", "execute", NO)
    assert events(effects)[0].key == "control.exec_failed"


def test_direct_switch_goes_by_check_back(bench):
    effects = bench.desk.direct("t", BREAKER, CLOSE, AVC, watch=True)
    assert [type(effect) for effect in effects] == [Audit, SendSelect]
    effects = bench.desk.on_answer("q1", "select", YES)
    assert replies(effects) == {}
    assert [type(effect) for effect in effects] == [Audit, Audit, Report, SendExecute]
    assert under_way(bench.desk.on_answer("q1", "execute", YES)) == SequenceState.EXECUTING
    assert replies(bench.feedback(BREAKER, 2.0))["t"].state is SequenceState.SUCCESS


def test_direct_checks_again_before_execute(bench):
    bench.desk.direct("t", BREAKER, CLOSE, AVC)
    bench.topology.earthed = True
    effects = bench.desk.on_answer("q1", "select", YES)
    assert reply(effects).code == "interlock"
    assert [type(effect) for effect in sends(effects)] == [SendCancel]


def test_direct_passes_the_same_checks(bench):
    assert refusal(bench, bench.desk.direct("t", BREAKER, CLOSE, AGC)) == "no_right"
    assert refusal(bench, bench.desk.direct("t", POWER, math.nan, AGC)) == "bad_value"
    assert refusal(bench, bench.desk.direct("t", POWER, 1e6, AGC)) == "out_of_range"
    bench.selected(POWER, 50.0)
    assert reply(bench.desk.direct("t", POWER, 50.0, AGC)).code == "locked"


# ---------------------------------------------------------------- trace before act


def test_every_act_follows_its_trace(bench):
    runs = [bench.select(), bench.desk.on_answer("q1", "select", YES), bench.desk.execute("x", "q1", OPERATOR)]
    runs.append(bench.desk.direct("t", POWER, 50.0, AGC))
    for effects in runs:
        for position, effect in enumerate(effects):
            if isinstance(effect, SendSelect | SendExecute):
                assert any(isinstance(before, Audit) for before in effects[:position])


def test_when_the_trace_fails_nothing_is_operated(bench):
    bench.select()
    effects = bench.desk.audit_failed("q1", "disk full")
    assert replies(effects)["select"].code == "audit_failed"
    assert audits(effects) == []
    sequence = bench.selected()
    bench.desk.execute("x", sequence, OPERATOR)
    effects = bench.desk.audit_failed(sequence, "disk full")
    told = replies(effects)["x"]
    assert (told.state, told.code) == (SequenceState.REFUSED, "audit_failed")
    assert isinstance(sends(effects)[0], SendCancel)
    assert bench.desk.running() == []


def test_after_a_crash_the_audit_tells_what_was_under_way(tmp_path):
    """Kill in each state: the next start names the sequence, repeats nothing, and says it once."""
    bench = Bench()
    done = bench.selected(STATUS, CLOSE)
    waiting = bench.selected(BREAKER, CLOSE)
    running = bench.selected(BARE, CLOSE)
    log = AuditLog(tmp_path, bench.clock)
    for effects in (
        Bench().select(STATUS, CLOSE),
        bench.desk.execute("x", done, OPERATOR),
        bench.desk.on_answer(done, "execute", NO),
    ):
        del effects
    fresh = Bench()
    trace = []
    for cid in (STATUS, BREAKER, BARE):
        trace += fresh.select(cid, CLOSE)
        trace += fresh.desk.on_answer(f"q{len(fresh.desk.running())}", "select", YES)
    trace += fresh.desk.cancel("c", "q1", "", OPERATOR)
    trace += fresh.desk.execute("x", "q3", OPERATOR)
    for row in audits(trace):
        log.append(row)
    log.close()
    assert waiting
    assert running

    restarted = Bench()
    with AuditLog(tmp_path, restarted.clock) as log:
        effects = restarted.desk.recover(log.records())
        assert sends(effects) == []
        assert [row.sequence_id for row in audits(effects)] == ["q2", "q3"]
        assert [event.key for event in events(effects)] == ["control.interrupted"] * 2
        assert "nothing was operated" in events(effects)[0].parameters["reason"]
        assert "is not repeated" in events(effects)[1].parameters["reason"]
        assert events(effects)[1].alarm_class is AlarmClass.ABNORMAL
        for row in audits(effects):
            log.append(row)
        assert restarted.desk.recover(log.records()) == []
    assert reply(restarted.desk.execute("x", "q2", OPERATOR)).code == "unknown_sequence"


def test_recovery_ignores_other_rows(bench):
    assert bench.desk.recover([AuditRecord(1, 0, row) for row in audits(bench.select(value=math.nan))]) == []


def test_many_finished_sequences_are_forgotten(bench):
    for _ in range(300):
        bench.desk.cancel("c", bench.selected(), "", OPERATOR)
    assert reply(bench.desk.execute("x", "q300", OPERATOR)).state is SequenceState.CANCELLED
    assert reply(bench.desk.execute("x", "q1", OPERATOR)).code == "unknown_sequence"


def test_what_applications_did_pushes_nothing_of_people_out(bench):
    mine = bench.selected()
    bench.desk.cancel("c", mine, "", OPERATOR)
    for _ in range(300):
        bench.desk.direct("t", POWER, 50.0, AGC)
        bench.desk.on_answer(bench.desk.running()[0].request.sequence_id, "execute", YES)
    assert reply(bench.desk.execute("x", mine, OPERATOR)).state is SequenceState.CANCELLED
    assert len(bench.desk.sequences(ended=True)) == 1


def test_a_connection_lost_before_check_back_answers_its_caller_once(bench):
    effects = bench.desk.direct("t", BREAKER, 2.0, AVC)
    bench.plant.connections += 1
    effects = bench.desk.on_answer(sends(effects)[0].sequence_id, "select", YES)
    assert (reply(effects).code, [send.step for send in sends(effects)]) == ("connection_lost", ["cancel"])


# ---------------------------------------------------------------- interlocks


@pytest.mark.parametrize(
    ("kind", "value", "facts", "finding"),
    [
        (SwitchKind.DISCONNECTOR, OPEN, {"closed": {"b": True}}, "breaker of its bay is closed"),
        (SwitchKind.DISCONNECTOR, CLOSE, {"closed": {"b": True}}, "breaker of its bay is closed"),
        (SwitchKind.DISCONNECTOR, OPEN, {"closed": {}}, "position of its bay's breaker is not known"),
        (SwitchKind.DISCONNECTOR, OPEN, {"closed": {"b": True}, "bypassed": True}, ""),
        (SwitchKind.DISCONNECTOR, OPEN, {"closed": {"b": False}, "bypassed": None}, ""),
        (SwitchKind.DISCONNECTOR, OPEN, {"breakers": {}}, "no breaker"),
        (SwitchKind.DISCONNECTOR, CLOSE, {"closed": {"b": False}, "earthed": True}, "onto earth"),
        (SwitchKind.DISCONNECTOR, OPEN, {"closed": {"b": False}, "earthed": True}, ""),
        (SwitchKind.DISCONNECTOR, CLOSE, {"closed": {"b": False}}, ""),
        (SwitchKind.BREAKER, CLOSE, {"earthed": True}, "breaker would close onto earth"),
        (SwitchKind.BREAKER, CLOSE, {"earthed": None}, "not known"),
        (SwitchKind.BREAKER, OPEN, {"earthed": True}, ""),
        (SwitchKind.BREAKER, CLOSE, {}, ""),
        (SwitchKind.LOAD_BREAK, CLOSE, {"earthed": True}, "load break switch would close onto earth"),
        (SwitchKind.EARTHING, CLOSE, {"energised": True}, "on an energised part"),
        (SwitchKind.EARTHING, CLOSE, {"energised": None}, "not known"),
        (SwitchKind.EARTHING, CLOSE, {"energised": False}, ""),
        (SwitchKind.EARTHING, OPEN, {"energised": True}, ""),
        (None, CLOSE, {"earthed": True, "energised": True}, ""),
    ],
)
def test_five_prevention(bench, kind, value, facts, finding):
    bench.topology.kinds = {"e-0": kind} if kind else {}
    bench.topology.breakers = {"e-0": ["b"]}
    for name, fact in facts.items():
        setattr(bench.topology, name, fact)
    effects = bench.select(value=value)
    if finding:
        assert refusal(bench, effects) == "interlock"
        assert finding in reply(effects).reason
    else:
        assert sends(effects)


def enabled(cid, *enabling):
    """The table with a control that points must allow."""
    controls = list(TABLES.controls)
    controls[cid] = replace(controls[cid], enabled_by=enabling)
    return replace(TABLES, controls=controls)


ENABLING = Enabling("p-5", 5, "S1/220/B1/p5")


@pytest.mark.parametrize(
    ("cid", "value", "enabling", "reading", "finding"),
    [
        (BREAKER, CLOSE, {}, Reading(1.0, 0), ""),
        (BREAKER, CLOSE, {}, Reading(0.0, 0), "p5 does not allow it"),
        (BREAKER, OPEN, {}, Reading(0.0, 0), "p5 does not allow it"),
        (BREAKER, CLOSE, {}, Reading(2.0, 0), "p5 does not allow it"),
        (BREAKER, CLOSE, {}, Reading(1.0, int(Quality.COMM_LOST)), "its value is not known"),
        (BREAKER, CLOSE, {}, Reading(1.0, int(Quality.SUBSTITUTED | Quality.MANUAL)), "was entered by an operator"),
        (BREAKER, CLOSE, {"opens": False}, Reading(0.0, 0), "p5 does not allow it"),
        (BREAKER, OPEN, {"opens": False}, Reading(0.0, 0), ""),
        (BREAKER, OPEN, {"closes": False}, Reading(0.0, 0), "p5 does not allow it"),
        (BREAKER, CLOSE, {"closes": False}, Reading(0.0, 0), ""),
        (TAP, 2.0, {"opens": False}, Reading(0.0, 0), "p5 does not allow it"),
        (TAP, 1.0, {"opens": False}, Reading(0.0, 0), ""),
        (POWER, 50.0, {"closes": False}, Reading(0.0, 0), "p5 does not allow it"),
        (BREAKER, CLOSE, {"pid": None}, Reading(1.0, 0), "the model does not have that point"),
    ],
)
def test_a_control_is_operated_only_while_its_points_allow_it(cid, value, enabling, reading, finding):
    bench = Bench(enabled(cid, replace(ENABLING, **enabling)))
    bench.plant.readings[5] = reading
    effects = bench.select(cid, value)
    if finding:
        assert refusal(bench, effects) == "interlock"
        assert finding in reply(effects).reason
    else:
        assert SequenceState.REFUSED not in [one.state for one in replies(effects).values()]


def test_what_allowed_it_at_select_is_asked_again_at_execute():
    bench = Bench(enabled(BREAKER, ENABLING))
    bench.plant.readings[5] = Reading(1.0, 0)
    sequence = bench.selected()
    bench.plant.readings[5] = Reading(0.0, 0)
    effects = bench.desk.execute("x", sequence, OPERATOR)
    assert reply(effects).code == "interlock"
    assert not [effect for effect in effects if isinstance(effect, SendExecute)]


def test_interlocks_leave_set_points_alone(bench):
    bench.topology.kinds = {"e-2": SwitchKind.EARTHING}
    bench.topology.energised = True
    assert bench.selected(POWER, 50.0)
    assert len(TABLES.controls) == 6


def test_an_order_by_telecontrol_needs_no_device_number_and_all_the_rest(bench):
    nobody = Principal("master", frozenset(), frozenset(), frozenset())
    refused = bench.desk.select("t", "c-0", CLOSE, None, nobody, b"asdu")
    assert reply(refused).code == "no_right"
    assert [(row.step, row.evidence) for row in audits(refused)] == [("refused", b"asdu")]
    effects = bench.desk.select("t", "c-0", CLOSE, None, OPERATOR, b"asdu")
    assert [type(effect) for effect in effects] == [Audit, SendSelect]


def test_who_executes_hears_of_it_before_the_result_and_not_of_a_refusal(bench):
    bench.desk.execute("execute", bench.selected(), OPERATOR)
    effects = bench.desk.on_answer("q1", "execute", CommandResult(Outcome.REFUSED, "local"))
    assert not any(isinstance(effect, Progress) for effect in effects)
    assert reply(effects).state is SequenceState.EXEC_FAILED
