"""The second person: who may be one, what the confirmation names, and what ends it."""

from dataclasses import replace

import pytest

from scada.control.checks import Waiver
from scada.control.effects import Audit, Report
from scada.control.plant import SwitchKind
from scada.control.records import ProgrammeStep, SequenceState
from scada.control.two_person import GuardianWord
from scada.core.control_settings import TwoPersonRule
from scada.core.quality import Quality
from scada.model_cim.tables import AlarmClass
from scada.protocols.driver import LinkState
from scada.security.peer import Peer
from scada.security.roles import Right
from scada.security.sm3 import sm3
from tests.control.bench_desk import (
    AVC,
    BREAKER,
    CLOSE,
    OPEN,
    OPERATOR,
    POWER,
    STATUS,
    TABLES,
    TAP,
    YES,
    Bench,
    events,
    person,
    replies,
    reply,
    sends,
)

RULES = (TwoPersonRule(control_type="SwitchPosition"),)
LI = replace(person("li", "GUARDIAN"), station="desk 2")
ZHAO = replace(person("zhao", "GUARDIAN"), station="desk 3")
SELECTION = sm3(b"evidence")
"""Digest of what Bench.select signs."""


def word(sequence_id, **more):
    given = {
        "sequence_id": sequence_id,
        "control": f"c-{BREAKER}",
        "value": CLOSE,
        "device_number": TABLES.controls[BREAKER].device_number,
        "select_digest": SELECTION,
    }
    return GuardianWord(**{**given, **more})


def steps(effects):
    return [effect.row.step for effect in effects if isinstance(effect, Audit)]


@pytest.fixture
def bench():
    return Bench(two_person=RULES)


def confirm(bench, sequence, who=LI, evidence=b"guardian", **more):
    return bench.desk.confirm("guard", word(sequence, **more), who, evidence)


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ({"station": " Desk 2"}, "guardian_workstation"),
        ({"station": ""}, "guardian_workstation"),
        ({"peer": Peer(certificate=b"of desk 2")}, "guardian_workstation"),
        ({"session": LI.session}, "guardian_same"),
    ],
)
def test_the_operator_does_not_execute_where_the_guardian_confirmed(bench, place, code):
    sequence = bench.selected()
    confirm(bench, sequence, replace(LI, peer=Peer(certificate=b"of desk 2")))
    effects = bench.desk.execute("x", sequence, replace(OPERATOR, **place), b"signed", confirm_digest=sm3(b"guardian"))
    assert (reply(effects).code, sends(effects), steps(effects)) == (code, [], ["execute_refused"])
    effects = bench.desk.execute("x", sequence, OPERATOR, b"signed", confirm_digest=sm3(b"guardian"))
    assert [send.step for send in sends(effects)] == ["execute"], "the sequence stood"


def test_both_sign_and_then_it_operates(bench):
    sequence = bench.selected()
    effects = confirm(bench, sequence)
    told = reply(effects)
    assert (told.state, told.guardian, told.needs_guardian) == (SequenceState.CONFIRMED, "li", True)
    assert (told.select_digest, told.confirm_digest) == (SELECTION, sm3(b"guardian"))
    row = next(effect.row for effect in effects if isinstance(effect, Audit))
    assert (row.step, row.actor, row.station, row.evidence) == ("confirm", "li", "desk 2", b"guardian")
    assert events(effects)[0].key == "control.confirmed"
    assert events(effects)[0].parameters["guardian"] == "li"
    effects = bench.desk.execute("x", sequence, OPERATOR, b"signed", confirm_digest=sm3(b"guardian"))
    assert [send.step for send in sends(effects)] == ["execute"]
    assert steps(effects) == ["execute"]


def test_without_the_second_person_it_waits(bench):
    sequence = bench.selected()
    for digest in (b"", sm3(b"guardian")):
        effects = bench.desk.execute("x", sequence, OPERATOR, b"signed", confirm_digest=digest)
        assert (reply(effects).state, reply(effects).code) == (SequenceState.REFUSED, "guardian_missing")
        assert (sends(effects), steps(effects)) == ([], ["execute_refused"])
    confirm(bench, sequence)
    assert sends(bench.desk.execute("x", sequence, OPERATOR, b"e", confirm_digest=sm3(b"guardian")))


@pytest.mark.parametrize("digest", [b"", SELECTION, sm3(b"another guardian")])
def test_the_execute_carries_the_guardians_word(bench, digest):
    sequence = bench.selected()
    confirm(bench, sequence)
    effects = bench.desk.execute("x", sequence, OPERATOR, b"signed", confirm_digest=digest)
    assert (reply(effects).code, sends(effects)) == ("guardian_mismatch", [])


@pytest.mark.parametrize(
    ("guardian", "code"),
    [
        (replace(person("wang", "OPERATOR", "GUARDIAN"), station="desk 2", session="another"), "guardian_same"),
        (replace(LI, session=OPERATOR.session), "guardian_same"),
        (replace(LI, station="desk 1"), "guardian_workstation"),
        (replace(LI, station=" DESK 1 "), "guardian_workstation"),
        (replace(LI, station=""), "guardian_workstation"),
        (replace(person("li", "OPERATOR"), station="desk 2"), "no_right"),
        (replace(LI, areas=frozenset({"South"})), "no_area"),
    ],
)
def test_who_may_not_be_the_guardian(bench, guardian, code):
    sequence = bench.selected()
    effects = confirm(bench, sequence, guardian)
    assert (reply(effects).state, reply(effects).code) == (SequenceState.REFUSED, code)
    assert steps(effects) == ["confirm_refused"]
    assert bench.desk.running()[0].guardian is None
    assert sends(bench.desk.execute("x", sequence, OPERATOR, b"e", confirm_digest=sm3(b"guardian"))) == []


def test_one_tls_certificate_is_one_workstation():
    bench, same = Bench(two_person=RULES), Peer(certificate=b"digest")
    sequence = bench.selected(who=replace(OPERATOR, peer=same))
    assert reply(confirm(bench, sequence, replace(LI, peer=same))).code == "guardian_workstation"
    assert reply(confirm(bench, sequence, replace(LI, peer=Peer(certificate=b"other")))).state is SequenceState.CONFIRMED


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"value": OPEN}, "guardian_mismatch"),
        ({"value": float("nan")}, "guardian_mismatch"),
        ({"control": f"c-{STATUS}"}, "guardian_mismatch"),
        ({"select_digest": sm3(b"another selection")}, "guardian_mismatch"),
        ({"select_digest": b""}, "guardian_mismatch"),
        ({"device_number": "999"}, "device_number"),
        ({"device_number": ""}, "device_number"),
    ],
)
def test_the_word_is_of_exactly_this_selection(bench, wrong, code):
    sequence = bench.selected()
    effects = confirm(bench, sequence, **wrong)
    assert (reply(effects).state, reply(effects).code) == (SequenceState.REFUSED, code)
    assert bench.desk.running()[0].guardian is None


def test_a_word_on_an_earlier_selection_of_the_same_object_is_of_no_use(bench):
    first = bench.selected()
    bench.desk.cancel("c", first, "", OPERATOR)
    effects = bench.desk.select("s", f"c-{BREAKER}", CLOSE, TABLES.controls[BREAKER].device_number, OPERATOR, b"second")
    second = reply(bench.desk.on_answer(sends(effects)[0].sequence_id, "select", YES)).sequence_id
    assert reply(confirm(bench, second)).code == "guardian_mismatch"
    assert reply(confirm(bench, first)).code == "not_selected"


def test_the_confirmation_makes_the_selection_no_longer(bench):
    sequence = bench.selected()
    bench.clock.advance(29)
    assert reply(confirm(bench, sequence)).state is SequenceState.CONFIRMED
    bench.clock.advance(1)
    effects = bench.desk.execute("x", sequence, OPERATOR, b"e", confirm_digest=sm3(b"guardian"))
    assert reply(effects).state is SequenceState.TIMED_OUT
    assert [send.step for send in sends(effects)] == ["cancel"]


def test_too_late_for_the_guardian(bench):
    sequence = bench.selected()
    bench.clock.advance(30)
    assert reply(confirm(bench, sequence)).code == "not_selected"
    assert bench.desk.running()[0].guardian is None


def test_before_check_back_there_is_nothing_to_confirm(bench):
    bench.select()
    assert reply(confirm(bench, "q1")).code == "not_selected"


def test_the_guardian_says_no(bench):
    sequence = bench.selected()
    confirm(bench, sequence)
    effects = confirm(bench, sequence, ZHAO, evidence=b"no", refuse=True, reason="wrong bay")
    assert (reply(effects).state, reply(effects).code) == (SequenceState.CANCELLED, "guardian_refused")
    assert "wrong bay" in reply(effects).reason
    assert [send.step for send in sends(effects)] == ["cancel"]
    assert bench.desk.running() == []


def test_a_stranger_cannot_refuse(bench):
    sequence = bench.selected()
    effects = confirm(bench, sequence, person("viewer", "VIEWER"), refuse=True)
    assert (reply(effects).code, sends(effects)) == ("no_right", [])


def test_of_two_guardians_the_first_stands(bench):
    sequence = bench.selected()
    confirm(bench, sequence)
    assert reply(confirm(bench, sequence, ZHAO, evidence=b"mine")).code == "already_confirmed"
    again = confirm(bench, sequence)
    assert (reply(again).state, steps(again)) == (SequenceState.CONFIRMED, [])
    assert bench.desk.running()[0].confirm_digest == sm3(b"guardian")


@pytest.mark.parametrize("who", ["li", "wang"])
@pytest.mark.parametrize("now", [None, "fewer", "elsewhere"])
def test_rights_that_were_revoked_meanwhile(who, now):
    revoked = {}

    def standing(principal):
        return revoked.get(principal.name, principal)

    bench = Bench(two_person=RULES, standing=standing)
    sequence = bench.selected()
    confirm(bench, sequence)
    before = {"li": LI, "wang": OPERATOR}[who]
    revoked[who] = {
        None: None,
        "fewer": replace(before, rights=frozenset({Right.VIEW})),
        "elsewhere": replace(before, areas=frozenset({"South"})),
    }[now]
    effects = bench.desk.execute("x", sequence, OPERATOR, b"e", confirm_digest=sm3(b"guardian"))
    assert reply(effects).state is SequenceState.REFUSED
    assert reply(effects).code in {"no_right", "no_area"}
    assert [send.step for send in sends(effects)] == ["cancel"]
    assert bench.desk.running() == []


def test_what_needs_no_guardian_is_not_confirmed():
    bench = Bench()
    sequence = bench.selected()
    assert reply(confirm(bench, sequence)).code == "guardian_not_needed"
    assert reply(confirm(bench, sequence, refuse=True)).code == "guardian_not_needed", "who is not needed cannot withdraw it"
    assert sends(bench.desk.execute("x", sequence, OPERATOR))


# ---------------------------------------------------------------- which controls


def needs(cid, *rules, **more):
    bench = Bench(two_person=rules, **more)
    bench.topology.kinds = {f"e-{BREAKER}": SwitchKind.BREAKER, f"e-{STATUS}": SwitchKind.EARTHING}
    effects = bench.select(cid, 50.0 if cid == POWER else CLOSE)
    done = reply(bench.desk.on_answer(sends(effects)[0].sequence_id, "select", YES)) if sends(effects) else reply(effects)
    return done.needs_guardian


def test_the_first_rule_that_matches_decides():
    exception = TwoPersonRule(control=f"c-{BREAKER}", needed=False)
    everything = TwoPersonRule()
    assert not needs(BREAKER)
    assert not needs(BREAKER, exception, everything)
    assert needs(BREAKER, everything, exception)
    assert needs(STATUS, exception, everything)
    assert needs(POWER, everything)
    assert not needs(TAP, *RULES)
    assert needs(BREAKER, TwoPersonRule(station="S1"))
    assert needs(BREAKER, TwoPersonRule(station="North"))
    assert not needs(BREAKER, TwoPersonRule(station="S2"))
    assert needs(BREAKER, TwoPersonRule(equipment="Breaker"))
    assert not needs(BREAKER, TwoPersonRule(equipment="Disconnector"))
    assert needs(STATUS, TwoPersonRule(equipment="GroundDisconnector"))
    assert not needs(TAP, TwoPersonRule(equipment="Breaker"))


MASTER = replace(person("upstream:grid"), session="", station="")


def telecontrol(bench):
    effects = bench.desk.select("t", f"c-{BREAKER}", CLOSE, None, MASTER, b"octets")
    return reply(bench.desk.on_answer(sends(effects)[0].sequence_id, "select", YES))


def test_an_upstream_centre_has_a_rule_of_its_own(bench):
    told = telecontrol(bench)
    assert not told.needs_guardian
    assert sends(bench.desk.execute("x", told.sequence_id, MASTER, b"octets"))


def test_a_rule_can_ask_for_a_guardian_of_what_an_upstream_centre_orders():
    rules = (TwoPersonRule(upstream="guardian"),)
    bench = Bench(two_person=rules)
    told = telecontrol(bench)
    assert told.needs_guardian
    effects = bench.desk.execute("x", told.sequence_id, MASTER, b"octets")
    assert (reply(effects).code, [send.step for send in sends(effects)]) == ("guardian_missing", ["cancel"])
    assert bench.desk.running() == [], "its master holds the order for ended"
    again = telecontrol(bench).sequence_id
    assert reply(confirm(bench, again, select_digest=sm3(b"octets"))).state is SequenceState.CONFIRMED
    assert [send.step for send in sends(bench.desk.execute("x", again, MASTER, b"octets"))] == ["execute"]


def test_applications_act_by_their_standing_grant(bench):
    effects = bench.desk.direct("t", BREAKER, CLOSE, AVC)
    assert [send.step for send in sends(effects)] == ["select"]
    effects = Bench(two_person=RULES).desk.direct("t", BREAKER, CLOSE, OPERATOR)
    assert (reply(effects).code, sends(effects)) == ("guardian_needed", []), "a person is no application"


@pytest.mark.parametrize(("guardian", "done"), [("li", True), ("", False), ("wang", False)])
def test_a_run_was_confirmed_as_a_whole(bench, guardian, done):
    step = ProgrammeStep("run 1", guardian)
    effects = bench.desk.select("t", f"c-{BREAKER}", CLOSE, None, OPERATOR, programme=step)
    assert bool(sends(effects)) is done
    if done:
        told = reply(bench.desk.on_answer(sends(effects)[0].sequence_id, "select", YES))
        assert not told.needs_guardian
        assert bench.desk.sequences()[0].programme == "run 1"
    else:
        assert reply(effects).code == "guardian_missing"


# ---------------------------------------------------------------- emergency and bypass

BOSS = replace(OPERATOR, rights=OPERATOR.rights | {Right.EMERGENCY, Right.BYPASS})


def asked(bench, who=BOSS, **waiver):
    number = TABLES.controls[BREAKER].device_number
    return bench.desk.select("t", f"c-{BREAKER}", CLOSE, number, who, b"evidence", waiver=Waiver(**waiver))


@pytest.mark.parametrize("what", ["emergency", "bypass"])
def test_a_waiver_needs_its_right_and_a_reason(bench, what):
    assert reply(asked(bench, OPERATOR, reason="fire", **{what: True})).code == "no_right"
    for reason in ("", "   "):
        effects = asked(bench, reason=reason, **{what: True})
        assert (reply(effects).code, sends(effects), steps(effects)) == ("no_reason", [], ["refused"])


def test_an_emergency_does_without_the_guardian_and_everyone_is_told(bench):
    effects = asked(bench, emergency=True, reason="fire in bay 3")
    assert steps(effects) == ["emergency", "select"]
    [row] = [effect.row for effect in effects if isinstance(effect, Audit) and effect.row.step == "emergency"]
    assert row.reason == "fire in bay 3"
    [event] = [effect.event for effect in effects if isinstance(effect, Report)]
    assert (event.key, event.alarm_class) == ("control.emergency", AlarmClass.ABNORMAL)
    assert event.parameters["reason"] == "fire in bay 3"
    told = reply(bench.desk.on_answer(sends(effects)[0].sequence_id, "select", YES))
    assert not told.needs_guardian
    assert bench.desk.sequences()[0].emergency
    assert [send.step for send in sends(bench.desk.execute("x", told.sequence_id, BOSS, b"e"))] == ["execute"]


def test_an_emergency_does_not_bypass_interlocks(bench):
    bench.topology.earthed = None
    assert reply(asked(bench, emergency=True, reason="fire")).code == "interlock"


def test_what_was_bypassed_is_told_and_kept(bench):
    bench.topology.earthed = None
    refused = reply(asked(bench))
    assert refused.code == "interlock"
    assert [finding.bypassable for finding in refused.findings] == [True]
    effects = asked(bench, bypass=True, reason="position known by telephone")
    assert steps(effects) == ["bypass", "select"]
    told = reply(bench.desk.on_answer(sends(effects)[0].sequence_id, "select", YES))
    assert (told.state, told.code) == (SequenceState.SELECTED, "bypassed")
    assert told.findings == refused.findings
    assert told.needs_guardian, "a bypass is no emergency"
    [row] = [effect.row for effect in effects if isinstance(effect, Audit) and effect.row.step == "bypass"]
    assert "telephone" in row.reason
    assert str(refused.findings[0]) in row.reason
    confirm(bench, told.sequence_id)
    effects = bench.desk.execute("x", told.sequence_id, BOSS, b"e", confirm_digest=sm3(b"guardian"))
    assert [send.step for send in sends(effects)] == ["execute"]


def test_what_came_up_after_the_bypass_was_not_bypassed(bench):
    bench.topology.earthed = None
    told = reply(bench.desk.on_answer(sends(asked(bench, bypass=True, reason="known"))[0].sequence_id, "select", YES))
    confirm(bench, told.sequence_id)
    bench.topology.earthed = True
    effects = bench.desk.execute("x", told.sequence_id, BOSS, b"e", confirm_digest=sm3(b"guardian"))
    assert (reply(effects).code, [send.step for send in sends(effects)]) == ("interlock", ["cancel"])


def test_what_may_not_be_bypassed_is_not(bench):
    bench.topology.earthed = True
    effects = asked(bench, bypass=True, reason="I know better")
    assert (reply(effects).code, sends(effects)) == ("interlock", [])


@pytest.mark.parametrize("right", [Right.EMERGENCY, Right.BYPASS])
def test_a_right_to_waive_that_was_revoked_meanwhile(right):
    now = {}
    bench = Bench(two_person=RULES, standing=lambda principal: now.get(principal.name, principal))
    bench.topology.earthed = None
    effects = asked(bench, emergency=True, bypass=True, reason="fire")
    told = reply(bench.desk.on_answer(sends(effects)[0].sequence_id, "select", YES))
    now["wang"] = replace(BOSS, rights=BOSS.rights - {right})
    effects = bench.desk.execute("x", told.sequence_id, BOSS, b"e")
    assert (reply(effects).code, [send.step for send in sends(effects)]) == ("no_right", ["cancel"])


# ---------------------------------------------------------------- connection, replay, list


@pytest.mark.parametrize("confirmed", [True, False])
@pytest.mark.parametrize("ticked", [True, False])
def test_a_station_that_came_back_has_forgotten_the_selection(bench, ticked, confirmed):
    sequence = bench.selected()
    if confirmed:
        confirm(bench, sequence)
    bench.plant.connections += 1
    if ticked:
        effects = bench.desk.tick()
        assert events(effects)[0].parameters["code"] == "connection_lost"
        assert bench.desk.running() == []
    effects = bench.desk.execute("x", sequence, OPERATOR, b"e", confirm_digest=sm3(b"guardian"))
    assert "execute" not in [send.step for send in sends(effects)]
    if confirmed or ticked:
        assert (reply(effects).state, reply(effects).code) == (SequenceState.CANCELLED, "connection_lost")


def test_the_guardian_learns_that_the_selection_is_gone(bench):
    sequence = bench.selected()
    bench.plant.link, bench.plant.connections = LinkState.DOWN, -1
    effects = confirm(bench, sequence)
    assert reply(effects).state is SequenceState.CANCELLED
    assert bench.desk.running() == []


def test_an_execute_once_more_is_told_the_present_state():
    bench = Bench()
    sequence = bench.selected()
    assert sends(bench.desk.execute("first", sequence, OPERATOR, b"e"))
    effects = bench.desk.execute("again", sequence, OPERATOR, b"e")
    assert replies(effects)["again"].state is SequenceState.EXECUTING
    assert (sends(effects), steps(effects)) == ([], ["execute_refused"])
    bench.feedback(BREAKER, 2.0)
    effects = bench.desk.on_answer(sequence, "execute", YES)
    assert replies(effects)["first"].state is SequenceState.SUCCESS
    effects = bench.desk.execute("late", sequence, OPERATOR, b"e")
    assert (replies(effects)["late"].state, sends(effects)) == (SequenceState.SUCCESS, [])


def test_after_a_lost_connection_the_operator_finds_the_sequence_and_goes_on(bench):
    sequence = bench.selected()
    [view] = bench.desk.sequences()
    assert (view.reply.sequence_id, view.operator, view.workstation) == (sequence, "wang", "desk 1")
    assert (view.reply.select_digest, view.reply.needs_guardian, view.kind) == (SELECTION, True, "double")
    assert bench.desk.sequences("S2") == []
    confirm(bench, sequence)
    [view] = bench.desk.sequences("S1")
    back = replace(OPERATOR, session="a new session")
    effects = bench.desk.execute("x", sequence, back, b"e", confirm_digest=view.reply.confirm_digest)
    assert [send.step for send in sends(effects)] == ["execute"]
    bench.feedback(BREAKER, 2.0)
    bench.desk.on_answer(sequence, "execute", YES)
    assert bench.desk.sequences() == []
    assert [one.reply.state for one in bench.desk.sequences(ended=True)] == [SequenceState.SUCCESS]


def test_of_two_operators_the_second_is_told_who_is_first(bench):
    bench.selected()
    refused = reply(bench.select(who=person("zhao")))
    assert (refused.code, "wang" in refused.reason) == ("locked", True)


# ---------------------------------------------------------------- raise and lower


def adjust(bench, cid, who=OPERATOR, *, raised=True, amount=0.0, number=None):
    typed = TABLES.controls[cid].device_number if number is None else number
    return bench.desk.adjust("t", f"c-{cid}", who, b"evidence", raised=raised, amount=amount, device_number=typed)


@pytest.mark.parametrize(("raised", "value", "followed"), [(True, 2.0, 6.0), (False, 1.0, 4.0)])
def test_one_step_up_or_down_in_one_call(bench, raised, value, followed):
    bench.feedback(TAP, 5.0)
    effects = adjust(bench, TAP, raised=raised)
    assert (sends(effects)[0].step, sends(effects)[0].value, steps(effects)) == ("select", value, ["select"])
    sequence = sends(effects)[0].sequence_id
    effects = bench.desk.on_answer(sequence, "select", YES)
    assert [send.step for send in sends(effects)] == ["execute"]
    bench.desk.on_answer(sequence, "execute", YES)
    assert reply(bench.feedback(TAP, followed)).state is SequenceState.SUCCESS


@pytest.mark.parametrize(("raised", "value"), [(True, 52.5), (False, 47.5)])
def test_a_set_point_moves_from_the_present_value(raised, value):
    bench = Bench()
    bench.feedback(POWER, 50.0)
    effects = adjust(bench, POWER, raised=raised, amount=2.5)
    assert sends(effects)[0].value == value
    assert steps(effects) == ["select", "execute"]
    assert next(effect.row.evidence for effect in effects if isinstance(effect, Audit)) == b"evidence"


@pytest.mark.parametrize(
    ("cid", "asked_for", "code"),
    [
        (POWER, {"amount": 0.0}, "bad_value"),
        (POWER, {"amount": -1.0}, "bad_value"),
        (POWER, {"amount": float("inf")}, "bad_value"),
        (POWER, {"amount": 60.0}, "out_of_range"),
        (POWER, {"amount": 45.0, "raised": False}, "out_of_range"),
        (POWER, {"amount": 1.0, "number": "7"}, "device_number"),
        (TAP, {"amount": 1.0}, "bad_value"),
        (BREAKER, {}, "bad_value"),
        (POWER, {"amount": 1.0, "who": person("viewer", "VIEWER")}, "no_right"),
    ],
)
def test_what_is_not_raised_or_lowered(bench, cid, asked_for, code):
    bench.feedback(POWER, 50.0)
    effects = adjust(bench, cid, **asked_for)
    assert (reply(effects).code, sends(effects), steps(effects)) == (code, [], ["refused"])


@pytest.mark.parametrize("quality", [Quality.INVALID, Quality.MANUAL])
def test_from_an_unknown_value_there_is_no_little_more(quality):
    bench = Bench()
    bench.feedback(POWER, 50.0, int(quality))
    effects = adjust(bench, POWER, amount=1.0)
    assert (reply(effects).code, sends(effects)) == ("feedback_bad", [])


def test_one_call_cannot_wait_for_a_second_person():
    bench = Bench(two_person=(TwoPersonRule(),))
    bench.feedback(TAP, 5.0)
    assert reply(adjust(bench, TAP)).code == "guardian_needed"


def test_raising_is_locked_tagged_and_interlocked_too(bench):
    bench.feedback(TAP, 5.0)
    bench.selected(TAP)
    assert reply(adjust(bench, TAP)).code == "locked"
    tagged = Bench(tags=lambda control, value: "hands off")
    tagged.feedback(POWER, 50.0)
    assert reply(adjust(tagged, POWER, amount=1.0)).code == "tagged"
    tagless = Bench()
    tagless.plant.link = LinkState.DOWN
    tagless.feedback(POWER, 50.0)
    assert reply(adjust(tagless, POWER, amount=1.0)).code == "link_down"
