"""The model changes between select and execute: what counts at the execute is the model that runs then."""

from dataclasses import replace

import pytest

from scada.control.checks import Waiver
from scada.control.effects import Audit, SendCancel, SendExecute
from scada.control.plant import SwitchKind
from scada.control.records import ProgrammeStep, SequenceState
from scada.control.two_person import GuardianWord
from scada.core.control_settings import TwoPersonRule
from scada.model_cim.tables import Station
from scada.security.roles import Right
from scada.security.sm3 import sm3
from tests.control.bench_desk import (
    AVC,
    BREAKER,
    CLOSE,
    OPERATOR,
    POWER,
    TABLES,
    TAP,
    YES,
    Bench,
    TableTopology,
    person,
    reply,
    sends,
)

SOUTH = replace(TABLES, version="2", stations=[Station("s-1", "S1", "South", ())])
"""The station has gone over to another control area; its controls are what they were."""
TWO_IN_THE_SOUTH = (TwoPersonRule(station="South", upstream="guardian"),)
LI = replace(person("li", "GUARDIAN"), station="desk 2")


@pytest.fixture
def bench():
    return Bench(two_person=TWO_IN_THE_SOUTH)


def moves_south(bench):
    bench.desk.reserve(frozenset())
    bench.desk.adopt(SOUTH, bench.topology)


def kinds(effects):
    return [type(effect) for effect in sends(effects)]


def steps(effects):
    return [effect.row.step for effect in effects if isinstance(effect, Audit)]


def test_a_control_that_comes_to_need_two_is_not_executed_by_one(bench):
    sequence = bench.selected()
    moves_south(bench)
    effects = bench.desk.execute("execute", sequence, OPERATOR, b"e")
    refused = reply(effects)
    assert (refused.state, refused.code) == (SequenceState.REFUSED, "guardian_missing")
    assert kinds(effects) == [SendCancel]
    assert steps(effects) == ["result"]
    assert reply(bench.select(ticket="again") + bench.desk.on_answer("q2", "select", YES)).needs_guardian


def test_a_switch_that_becomes_one_of_another_class_asks_by_its_new_class():
    bench = Bench(two_person=(TwoPersonRule(equipment="Disconnector"),))
    sequence = bench.selected()
    topology = TableTopology()
    topology.kinds = {"e-0": SwitchKind.DISCONNECTOR}
    topology.bypassed = True
    bench.desk.adopt(TABLES, topology)
    assert reply(bench.desk.execute("execute", sequence, OPERATOR, b"e")).code == "guardian_missing"


def test_one_that_no_longer_needs_two_still_waits_for_the_second():
    bench = Bench(TABLES, two_person=(TwoPersonRule(station="North"),))
    sequence = bench.selected()
    moves_south(bench)
    effects = bench.desk.execute("alone", sequence, OPERATOR, b"e")
    assert (reply(effects).code, kinds(effects)) == ("guardian_missing", [])
    word = GuardianWord(sequence, f"c-{BREAKER}", CLOSE, TABLES.controls[BREAKER].device_number, sm3(b"evidence"))
    confirmed = reply(bench.desk.confirm("guard", word, LI, b"g"))
    assert confirmed.state is SequenceState.CONFIRMED
    done = bench.desk.execute("both", sequence, OPERATOR, b"e", confirm_digest=confirmed.confirm_digest)
    assert kinds(done) == [SendExecute]


def test_raise_and_lower_are_asked_again_once_the_station_has_checked_back(bench):
    bench.feedback(TAP, 5.0)
    bench.desk.adjust("t", f"c-{TAP}", OPERATOR, b"e", raised=True, amount=0.0, device_number=TABLES.controls[TAP].device_number)
    moves_south(bench)
    effects = bench.desk.on_answer("q1", "select", YES)
    assert (reply(effects).code, kinds(effects)) == ("guardian_missing", [SendCancel])


def test_a_master_whose_rule_is_no_longer_enough_is_refused(bench):
    effects = bench.desk.select("t", f"c-{BREAKER}", CLOSE, None, OPERATOR, b"asdu")
    bench.desk.on_answer("q1", "select", YES)
    moves_south(bench)
    effects = bench.desk.execute("t", "q1", OPERATOR, b"asdu")
    assert (reply(effects).code, kinds(effects)) == ("guardian_missing", [SendCancel])


def test_a_run_that_one_person_started_does_not_execute_what_has_come_to_need_two(bench):
    step = ProgrammeStep("r1", "", "programme p v1, run r1, step 1 of 1")
    bench.desk.select("t", f"c-{BREAKER}", CLOSE, None, OPERATOR, programme=step)
    bench.desk.on_answer("q1", "select", YES)
    moves_south(bench)
    effects = bench.desk.execute("t", "q1", OPERATOR)
    assert (reply(effects).code, kinds(effects)) == ("guardian_missing", [SendCancel])


def test_a_run_that_was_confirmed_goes_on(bench):
    step = ProgrammeStep("r1", "li", "programme p v1, run r1, step 1 of 1, confirmed by li")
    bench.desk.select("t", f"c-{BREAKER}", CLOSE, None, OPERATOR, programme=step)
    bench.desk.on_answer("q1", "select", YES)
    moves_south(bench)
    assert kinds(bench.desk.execute("t", "q1", OPERATOR)) == [SendExecute]


def test_what_was_asked_for_as_an_emergency_stays_one(bench):
    chief = replace(OPERATOR, rights=OPERATOR.rights | {Right.EMERGENCY})
    number = TABLES.controls[BREAKER].device_number
    bench.desk.select("t", f"c-{BREAKER}", CLOSE, number, chief, b"e", waiver=Waiver(emergency=True, reason="fire"))
    bench.desk.on_answer("q1", "select", YES)
    moves_south(bench)
    assert kinds(bench.desk.execute("t", "q1", chief, b"e")) == [SendExecute]


def test_an_application_acts_by_its_grant_whatever_the_rule(bench):
    bench.feedback(TAP, 5.0)
    bench.desk.direct("t", TAP, 2.0, AVC)
    moves_south(bench)
    assert kinds(bench.desk.on_answer("q1", "select", YES)) == [SendExecute]


def test_interlocks_at_execute_are_those_of_the_model_that_runs_then(bench):
    sequence = bench.selected()
    earthed = TableTopology()
    earthed.earthed = True
    bench.desk.adopt(TABLES, earthed)
    effects = bench.desk.execute("execute", sequence, OPERATOR, b"e")
    assert (reply(effects).code, kinds(effects)) == ("interlock", [SendCancel])


def test_rights_at_execute_are_those_in_the_area_where_the_station_is_now():
    bench = Bench()
    north = person("wang", "OPERATOR", areas=("North",))
    sequence = bench.selected(who=north)
    moves_south(bench)
    effects = bench.desk.execute("execute", sequence, north, b"e")
    assert (reply(effects).code, kinds(effects)) == ("no_area", [SendCancel])


def test_one_control_is_not_operated_twice_at_a_time_because_it_went_over_to_other_equipment(bench):
    """What the station was told goes on with the record it began with; the address is the same."""
    sequence = bench.selected()
    assert kinds(bench.desk.execute("execute", sequence, OPERATOR, b"e")) == [SendExecute]
    controls = list(TABLES.controls)
    controls[BREAKER] = replace(controls[BREAKER], equipment="another")
    bench.desk.reserve(frozenset({BREAKER}))
    bench.desk.adopt(replace(TABLES, controls=controls), bench.topology)
    assert reply(bench.select(ticket="second")).code == "locked"


def test_a_selection_on_what_changes_is_withdrawn_whoever_confirmed_it():
    bench = Bench(two_person=(TwoPersonRule(),))
    sequence = bench.selected(POWER, 50.0)
    word = GuardianWord(sequence, f"c-{POWER}", 50.0, "", sm3(b"evidence"))
    confirmed = reply(bench.desk.confirm("guard", word, LI, b"g"))
    assert confirmed.state is SequenceState.CONFIRMED
    bench.desk.reserve(frozenset({POWER}))
    effects = bench.desk.execute("execute", sequence, OPERATOR, b"e", confirm_digest=confirmed.confirm_digest)
    assert (reply(effects).state, kinds(effects)) == (SequenceState.CANCELLED, [])
