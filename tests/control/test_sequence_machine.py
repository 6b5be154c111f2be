"""No order of events operates without a check-back, twice, out of time, or without its trace."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from scada.control.effects import Audit, Reply, SendCancel, SendExecute, SendSelect
from scada.control.plant import Reading
from scada.control.records import SequenceState
from scada.core.quality import Quality
from scada.protocols.driver import LinkState
from tests.control.bench_desk import (
    AGC,
    AVC,
    BARE,
    BREAKER,
    CUT,
    NO,
    OPERATOR,
    POWER,
    SILENT,
    STATUS,
    TABLES,
    TAP,
    YES,
    Bench,
    person,
)

PEOPLE = (OPERATOR, person("li"), person("viewer", "VIEWER"))
RESULTS = (YES, NO, SILENT, CUT)
VALUES = {BREAKER: (1.0, 2.0), TAP: (1.0, 2.0), POWER: (20.0, 90.0), BARE: (1.0, 2.0), STATUS: (1.0, 2.0)}
FINAL = set(SequenceState) - {SequenceState.SELECTED, SequenceState.EXECUTING}


class Orderings(RuleBasedStateMachine):
    """Two operators, a viewer and two applications at one desk; a station that answers anything at any time."""

    sequences = Bundle("sequences")

    def __init__(self):
        super().__init__()
        self.bench = Bench()
        self.control_of = {}
        self.owner_of = {}
        self.checked_back = set()
        self.selected_at = {}
        self.awaiting = {}
        """sequence -> step whose answer the station still owes"""
        self.executed = set()
        self.audited = set()
        self.open_tickets = set()
        self.tickets = 0
        self.final = {}
        self.audit_broken = False

    def ticket(self):
        self.tickets += 1
        self.open_tickets.add(self.tickets)
        return self.tickets

    def watch(self, effects):
        """Carry effects out as the owner of the desk does, and judge each."""
        traced, failed = set(), None
        for effect in effects:
            match effect:
                case Audit(sequence_id) if self.audit_broken:
                    failed = sequence_id
                case SendSelect() | SendExecute() if failed is not None:
                    pass
                case Audit(sequence_id, row):
                    traced.add((sequence_id, row.step))
                    self.audited.add((sequence_id, row.step))
                case SendSelect(sequence_id, control):
                    assert (sequence_id, "select") in traced
                    assert control.select
                    self.awaiting[sequence_id] = "select"
                case SendExecute(sequence_id, control):
                    assert (sequence_id, "execute") in traced
                    assert sequence_id not in self.executed, "operated twice"
                    assert sequence_id not in self.final, "operated after its end"
                    assert not control.select or sequence_id in self.checked_back, "operated without a check-back"
                    if sequence_id in self.selected_at:
                        assert self.bench.clock.monotonic() - self.selected_at[sequence_id] < 30.0, "operated too late"
                    assert self.bench.plant.link is LinkState.UP
                    self.executed.add(sequence_id)
                    self.awaiting[sequence_id] = "execute"
                case SendCancel(sequence_id, _):
                    assert sequence_id not in self.executed, "withdrawn after it was operated"
                case Reply(ticket, reply):
                    assert ticket in self.open_tickets, "answered twice or unasked"
                    self.open_tickets.remove(ticket)
                    if reply.state is SequenceState.SUCCESS:
                        assert reply.sequence_id in self.executed
        if failed is not None:
            self.watch(self.bench.desk.audit_failed(failed, "disk full"))

    @rule(
        target=sequences,
        who=st.sampled_from(PEOPLE),
        cid=st.sampled_from(sorted(VALUES)),
        which=st.integers(0, 1),
        number=st.booleans(),
    )
    def select(self, who, cid, which, number):
        typed = TABLES.controls[cid].device_number if number else "wrong"
        effects = self.bench.desk.select(self.ticket(), f"c-{cid}", VALUES[cid][which], typed, who)
        self.watch(effects)
        sequence_id = next(effect.row.sequence_id for effect in effects if isinstance(effect, Audit))
        self.control_of[sequence_id] = cid
        if any(row.request.sequence_id == sequence_id for row in self.bench.desk.running()):
            assert who.name != "viewer"
            assert number
            self.owner_of[sequence_id] = who.name
            if not TABLES.controls[cid].select:
                self.selected_at[sequence_id] = self.bench.clock.monotonic()
        return sequence_id

    @rule(who=st.sampled_from((AGC, AVC)), cid=st.sampled_from(sorted(VALUES)), which=st.integers(0, 1), watch=st.booleans())
    def direct(self, who, cid, which, watch):
        self.watch(self.bench.desk.direct(self.ticket(), cid, VALUES[cid][which], who, watch=watch))

    @rule(data=st.data(), result=st.sampled_from(RESULTS))
    def station_answers(self, data, result):
        if not self.awaiting:
            return
        sequence_id = data.draw(st.sampled_from(sorted(self.awaiting)))
        self.answer(sequence_id, self.awaiting[sequence_id], result)

    def answer(self, sequence_id, step, result):
        del self.awaiting[sequence_id]
        if step == "select" and result is YES:
            self.checked_back.add(sequence_id)
            self.selected_at[sequence_id] = self.bench.clock.monotonic()
        self.watch(self.bench.desk.on_answer(sequence_id, step, result))

    @rule(target=sequences, cid=st.sampled_from(sorted(VALUES)), seconds=st.sampled_from((0.0, 0.0, 29.0, 30.0)))
    def selected(self, cid, seconds):
        """The usual way to a selection, so that runs get further; then some time without a tick."""
        sequence_id = self.select(OPERATOR, cid, 1, number=True)
        if self.awaiting.get(sequence_id) == "select":
            self.answer(sequence_id, "select", YES)
        self.bench.clock.advance(seconds)
        return sequence_id

    @rule(sequence_id=sequences, step=st.sampled_from(("select", "execute", "cancel")), result=st.sampled_from(RESULTS))
    def station_answers_unasked(self, sequence_id, step, result):
        if self.awaiting.get(sequence_id) == step:
            self.answer(sequence_id, step, result)
            return
        self.watch(self.bench.desk.on_answer(sequence_id, step, result))

    @rule(sequence_id=sequences, who=st.sampled_from((OPERATOR, *PEOPLE)))
    def execute(self, sequence_id, who):
        before = len(self.executed)
        self.watch(self.bench.desk.execute(self.ticket(), sequence_id, who))
        if len(self.executed) > before:
            assert self.owner_of[sequence_id] == who.name

    @rule(sequence_id=sequences, who=st.sampled_from(PEOPLE))
    def cancel(self, sequence_id, who):
        self.watch(self.bench.desk.cancel(self.ticket(), sequence_id, "", who))

    @rule(cid=st.sampled_from(sorted(VALUES)), value=st.sampled_from((0.0, 1.0, 2.0, 3.0, 20.0, 90.0)), good=st.booleans())
    def feedback(self, cid, value, good):
        self.bench.plant.readings[cid] = Reading(value, 0 if good else int(Quality.INVALID))
        self.watch(self.bench.desk.on_changes([cid]))

    @rule(up=st.booleans())
    def link(self, up):
        self.bench.plant.link = LinkState.UP if up else LinkState.DOWN

    @rule(seconds=st.sampled_from((0.5, 5.0, 9.0, 10.0, 29.0, 30.0, 31.0)), ticked=st.booleans())
    def time_passes(self, seconds, ticked):
        self.bench.clock.advance(seconds)
        if ticked:
            self.watch(self.bench.desk.tick())

    @rule(broken=st.booleans())
    def audit(self, broken):
        self.audit_broken = broken

    @invariant()
    def one_sequence_an_object(self):
        running = [sequence.request.control.mrid for sequence in self.bench.desk.running()]
        assert len(running) == len(set(running))

    @invariant()
    def ended_ones_stay_ended(self):
        alive = {sequence.request.sequence_id for sequence in self.bench.desk.running()}
        assert not alive & set(self.final)
        for sequence_id in self.control_of:
            if sequence_id not in alive:
                self.final[sequence_id] = True

    def teardown(self):
        """Whatever happened: with time every sequence ends and every caller is answered."""
        self.audit_broken = False
        for _ in range(4):
            self.bench.clock.advance(31)
            self.watch(self.bench.desk.tick())
        assert self.bench.desk.running() == []
        assert self.bench.desk.next_deadline() == math.inf
        assert self.open_tickets == set()
        for sequence_id in self.executed:
            assert (sequence_id, "execute") in self.audited


TestOrderings = Orderings.TestCase
TestOrderings.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
