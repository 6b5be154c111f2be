"""The desk and what operators put on the plant: tags, held feedback, substituted positions."""

from __future__ import annotations

import pytest

from scada.control.effects import SendCancel, SendExecute
from scada.control.plant import Reading
from scada.control.records import SequenceState
from scada.core.quality import Quality
from tests.control.bench_desk import AGC, AVC, BREAKER, CLOSE, OPEN, OPERATOR, POWER, TAP, YES, Bench, TableTopology, reply, sends

SUBSTITUTED = int(Quality.MANUAL | Quality.SUBSTITUTED)
BLOCKED = int(Quality.OPERATOR_BLOCKED)


class Tags:
    """A tag that a test hangs and takes down."""

    def __init__(self):
        self.text = ""
        self.asked = []

    def __call__(self, control, value):
        self.asked.append((control.cid, value))
        return self.text


def test_a_tag_that_appears_between_select_and_execute_refuses_and_withdraws():
    tags = Tags()
    bench = Bench(tags=tags)
    bench.selected(BREAKER, CLOSE)
    tags.text = "do_not_close on S/E by li: crew at work"
    effects = bench.desk.execute("execute", "q1", OPERATOR)
    assert (reply(effects).state, reply(effects).code) == (SequenceState.REFUSED, "tagged")
    assert "li: crew at work" in reply(effects).reason
    assert [type(one) for one in sends(effects)] == [SendCancel]
    assert bench.desk.running() == []
    assert {value for _, value in tags.asked} == {CLOSE}


def test_applications_are_refused_too():
    tags = Tags()
    tags.text = "maintenance on S by li: outage"
    bench = Bench(tags=tags)
    assert reply(bench.desk.direct("d", POWER, 10.0, AGC)).code == "tagged"
    assert reply(bench.desk.direct("d", BREAKER, CLOSE, AVC)).code == "tagged"


@pytest.mark.parametrize("quality", [SUBSTITUTED, BLOCKED])
def test_a_control_whose_feedback_is_held_is_refused(quality):
    bench = Bench()
    bench.plant.readings[BREAKER] = Reading(1.0, quality)
    effects = bench.select()
    assert (reply(effects).code, sends(effects)) == ("held", [])
    assert reply(bench.desk.direct("d", BREAKER, CLOSE, AVC)).code == "held"
    bench.plant.readings[BREAKER] = Reading(1.0, int(Quality.SUBSTITUTED))
    assert bench.selected(), "a value that the station substituted is the station's business"


def test_a_step_from_a_held_position_is_refused():
    bench = Bench()
    bench.plant.readings[TAP] = Reading(3.0, SUBSTITUTED)
    assert reply(bench.select(TAP, 2)).code == "held"


def test_a_setpoint_that_nobody_watches_goes_out_though_its_feedback_is_held():
    bench = Bench()
    bench.plant.readings[POWER] = Reading(1.0, SUBSTITUTED)
    assert reply(bench.select(POWER, 10.0)).code == "held"
    assert sends(bench.desk.direct("d", POWER, 10.0, AGC))


def test_a_feedback_held_between_select_and_execute_refuses():
    bench = Bench()
    bench.selected()
    bench.plant.readings[BREAKER] = Reading(1.0, SUBSTITUTED)
    effects = bench.desk.execute("execute", "q1", OPERATOR)
    assert (reply(effects).code, [type(one) for one in sends(effects)]) == ("held", [SendCancel])


def test_a_feedback_substituted_while_it_is_watched_proves_nothing():
    bench = Bench()
    bench.selected(BREAKER, CLOSE)
    effects = bench.desk.execute("execute", "q1", OPERATOR)
    assert [type(one) for one in sends(effects)] == [SendExecute]
    bench.desk.on_answer("q1", "execute", YES)
    assert bench.feedback(BREAKER, 2.0, SUBSTITUTED) == []
    bench.clock.advance(60)
    effects = bench.desk.tick()
    assert (reply(effects).state, reply(effects).code) == (SequenceState.EXEC_FAILED, "held")


def test_an_interlock_says_that_it_rests_on_a_substituted_position():
    bench = Bench()
    bench.topology.earthed = True
    assert "substituted" not in reply(bench.select()).reason
    bench.topology.entered = ["S/ES 1", "S/ES 2", "S/ES 3", "S/ES 4"]
    bench.topology.doubting = TableTopology()
    bench.topology.doubting.earthed = None
    refused = reply(bench.select())
    assert refused.code == "interlock"
    assert refused.reason.endswith("(this rests on substituted positions: S/ES 1, S/ES 2, S/ES 3 and 1 more)")
    bench.topology.doubting.earthed = True
    assert "substituted" not in reply(bench.select()).reason, "the verdict would be the same without them"


def test_a_control_that_is_allowed_only_by_a_substituted_position_says_so():
    bench = Bench()
    bench.topology.entered = ["S/ES 1"]
    bench.topology.doubting = TableTopology()
    bench.topology.doubting.earthed = None
    effects = bench.select() + bench.desk.on_answer("q1", "select", YES)
    told = reply(effects)
    assert (told.state, told.code) == (SequenceState.SELECTED, "substituted")
    assert told.reason == "the interlocks allow it (this rests on substituted positions: S/ES 1)"
    assert bench.desk.check(f"c-{BREAKER}", CLOSE) == ([], "this rests on substituted positions: S/ES 1")
    assert bench.desk.check(f"c-{BREAKER}", OPEN) == bench.desk.check("no control", OPEN) == ([], "")
    bench.desk.cancel("c", "q1", "", OPERATOR)
    effects = bench.select(value=OPEN) + bench.desk.on_answer("q2", "select", YES)
    assert "substituted" not in reply(effects).reason, "opening does not ask whether it is earthed"
