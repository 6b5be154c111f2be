"""No order of events operates without a check-back, without a distinct guardian's word, twice, out of time, or untraced."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from scada.control.desk import ControlDesk
from scada.control.effects import Audit, Reply, SendCancel, SendExecute, SendSelect
from scada.control.plant import Reading
from scada.control.records import Principal, SequenceState
from scada.control.two_person import GuardianWord
from scada.core.control_settings import TwoPersonRule
from scada.core.quality import Quality
from scada.model_cim.tables import Station
from scada.protocols.driver import LinkState
from scada.security.audit import AuditRecord
from scada.security.sm3 import sm3
from tests.control.bench_desk import (
    AGC,
    AVC,
    BARE,
    BREAKER,
    CLOSE,
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
GUARDED = (BREAKER, STATUS)
RULES = (*(TwoPersonRule(control=f"c-{cid}") for cid in GUARDED), TwoPersonRule(station="South"))
MODELS = {south: replace(TABLES, stations=[Station("s-1", "S1", "South" if south else "North", ())]) for south in (False, True)}
"""The station belongs to one control area or the other; in the south everything takes two persons."""
ELSEWHERE = replace(OPERATOR, station="desk 2")
"""The operator, at the workstation where a guardian confirms."""
LESS = {
    "": lambda principal: principal,
    "no rights": lambda principal: replace(principal, rights=frozenset()),
    "another area": lambda principal: replace(principal, areas=frozenset({"West"})),
}
GUARDIANS = (
    replace(person("li", "GUARDIAN"), station="desk 2"),
    replace(person("zhao", "GUARDIAN"), station="desk 3"),
    replace(person("zhao", "GUARDIAN"), station="desk 1"),
    replace(person("wang", "OPERATOR", "GUARDIAN"), station="desk 2", session="another"),
    replace(person("viewer", "VIEWER"), station="desk 2"),
)
FLAWS = ("", "", "nobody", *GUARDIANS[1:], "wrong word", "no digest", "elsewhere", "li", "wang", "no rights", "another area")
FLAWS += ("reconnect", "restart", "late", "audit", "repeat", "tag", "earth", "clock", "model", "other rule")


class Orderings(RuleBasedStateMachine):
    """Two operators, a viewer, two guardians and more who would be, and two applications; a station that answers anything.

    Connections are lost, rights revoked or taken away in part, tags hung, earths closed, models and clocks changed, the server
    restarted and signed orders sent again at any time.
    """

    sequences = Bundle("sequences")

    def __init__(self):
        super().__init__()
        self.revoked = set()
        self.less = {}
        """name -> what is left of the rights"""
        self.tagged = set()
        """cids"""
        self.south, self.changing = False, frozenset()
        self.rows = []
        self.lives = 0
        self.life()
        self.selection = {}
        """sequence -> (SM3 of its envelope, value, connection)"""
        self.word = {}
        """sequence -> (guardian, SM3 of the envelope), as the desk took it"""
        self.sent = []
        """executes that were sent: (sequence, operator, digest)"""
        self.carried = None
        """digest of the execute that is being judged, and who sends it"""
        self.carrier = OPERATOR
        self.applications = set()
        self.control_of = {}
        self.owner_of = {}
        self.checked_back = set()
        self.selected_at = {}
        self.selected_south = set()
        """sequences that were selected while the station was in the south"""
        self.awaiting = {}
        """sequence -> step whose answer the station still owes"""
        self.executed = set()
        self.audited = set()
        self.open_tickets = set()
        self.tickets = 0
        self.final = {}
        self.audit_broken = False

    def life(self):
        """A server that starts on what the last one left: the plant, the clock and the audit log."""
        self.lives += 1
        more = {"two_person": RULES, "standing": self.standing, "tags": self.tags}
        bench = Bench(**more)
        self.changing = frozenset()
        if self.lives > 1:
            bench.clock, bench.plant, bench.topology = self.bench.clock, self.bench.plant, self.bench.topology
        life, numbers = self.lives, iter(range(1, 10**6))
        bench.desk = ControlDesk(
            MODELS[self.south],
            bench.clock,
            bench.plant,
            bench.topology,
            identifier=lambda: f"q{life}.{next(numbers)}",
            **more,
        )
        self.bench = bench

    def standing(self, principal):
        return None if principal.name in self.revoked else LESS[self.less.get(principal.name, "")](principal)

    def tags(self, control, value):
        return "do not operate" if control.cid in self.tagged else ""

    def guarded(self, cid):
        return cid in GUARDED or self.south

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
                    self.rows.append(AuditRecord(len(self.rows) + 1, 0, row))
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
                    self.judge(sequence_id, control, effect.value)
                    self.executed.add(sequence_id)
                    self.awaiting[sequence_id] = "execute"
                case SendCancel(sequence_id, _):
                    assert sequence_id not in self.executed, "withdrawn after it was operated"
                case Reply(ticket, reply):
                    assert ticket in self.open_tickets, "answered twice or unasked"
                    self.open_tickets.remove(ticket)
                    if reply.state is SequenceState.CONFIRMED:
                        assert reply.sequence_id in self.word, "confirmed by nobody"
                        assert (reply.sequence_id, "confirm") in self.audited
                    if reply.state is SequenceState.SUCCESS:
                        assert reply.sequence_id in self.executed
                        self.prove(reply)
        if failed is not None:
            self.watch(self.bench.desk.audit_failed(failed, "disk full"))

    def prove(self, reply):
        """What the plant shows when a control is told to have succeeded, in the words that say what proves it."""
        cid = self.control_of.get(reply.sequence_id)
        if cid is None or reply.code == "no_feedback":
            assert cid in (BARE, None), "what is watched is not told as unwatched"
            return
        reading = self.bench.plant.readings[cid]
        assert reading.good
        assert not reading.held, "what an operator entered proves nothing"

    def judge(self, sequence_id, control, value):
        """What must be true when a control operates."""
        assert control.cid not in self.tagged, "under a tag"
        assert control.cid not in self.changing, "while its model changes"
        assert not (control.cid == BREAKER and value == CLOSE and self.bench.topology.earthed), "onto earth"
        if control.select and sequence_id in self.selection:
            assert self.selection[sequence_id][2] == self.bench.plant.connections, "the station has forgotten the selection"
        if sequence_id in self.applications:
            return
        assert self.owner_of[sequence_id] not in {*self.revoked, *self.less}
        if not self.guarded(control.cid) and sequence_id not in self.selected_south:
            return
        guardian, digest = self.word[sequence_id]
        assert self.carrier.station != guardian.station, "at the guardian's workstation"
        assert guardian.name not in self.less
        assert digest == self.carried, "operated without the guardian's word"
        assert guardian.name not in {self.owner_of[sequence_id], *self.revoked}
        assert guardian.station != "desk 1"
        assert "GUARD" in guardian.rights

    @rule(
        target=sequences,
        who=st.sampled_from(PEOPLE),
        cid=st.sampled_from(sorted(VALUES)),
        which=st.integers(0, 1),
        number=st.booleans(),
    )
    def select(self, who, cid, which, number):
        typed = TABLES.controls[cid].device_number if number else "wrong"
        self.tickets += 1
        evidence = f"selection {self.tickets}".encode()
        effects = self.bench.desk.select(self.ticket(), f"c-{cid}", VALUES[cid][which], typed, who, evidence)
        sequence_id = next(effect.row.sequence_id for effect in effects if isinstance(effect, Audit))
        self.selection[sequence_id] = (sm3(evidence), VALUES[cid][which], self.bench.plant.connections)
        self.watch(effects)
        self.control_of[sequence_id] = cid
        if any(row.request.sequence_id == sequence_id for row in self.bench.desk.running()):
            assert who.name != "viewer"
            assert number
            self.owner_of[sequence_id] = who.name
            if self.south:
                self.selected_south.add(sequence_id)
            if not TABLES.controls[cid].select:
                self.selected_at[sequence_id] = self.bench.clock.monotonic()
        return sequence_id

    @rule(who=st.sampled_from((AGC, AVC)), cid=st.sampled_from(sorted(VALUES)), which=st.integers(0, 1), watch=st.booleans())
    def direct(self, who, cid, which, watch):
        before = {row.request.sequence_id for row in self.bench.desk.running()}
        effects = self.bench.desk.direct(self.ticket(), cid, VALUES[cid][which], who, watch=watch)
        begun = {row.request.sequence_id for row in self.bench.desk.running()} - before
        self.begin_one_call(begun, effects)

    @rule(who=st.sampled_from(PEOPLE), cid=st.sampled_from(sorted(VALUES)), raised=st.booleans())
    def adjust(self, who, cid, raised):
        before = {row.request.sequence_id for row in self.bench.desk.running()}
        typed, amount = TABLES.controls[cid].device_number, 1.0 if cid == POWER else 0.0
        effects = self.bench.desk.adjust(
            self.ticket(), f"c-{cid}", who, b"adjust", raised=raised, amount=amount, device_number=typed
        )
        begun = {row.request.sequence_id for row in self.bench.desk.running()} - before
        assert not self.guarded(cid) or not begun
        for sequence_id in begun | {effect.sequence_id for effect in effects if isinstance(effect, SendExecute)}:
            self.owner_of[sequence_id] = who.name
        self.begin_one_call(begun, effects, application=False)

    def begin_one_call(self, begun, effects, application=True):
        for sequence_id in begun | {effect.sequence_id for effect in effects if isinstance(effect, SendExecute)}:
            self.selection[sequence_id] = (b"", math.nan, self.bench.plant.connections)
            if application:
                self.applications.add(sequence_id)
        self.watch(effects)

    @rule(
        sequence_id=sequences,
        who=st.sampled_from((*GUARDIANS[:2], *GUARDIANS)),
        right=st.sampled_from((True, True, True, False)),
        refuse=st.sampled_from((False, False, False, True)),
    )
    def guard(self, sequence_id, who, right, refuse):
        digest, value, _ = self.selection[sequence_id]
        cid = self.control_of[sequence_id]
        word = GuardianWord(
            sequence_id, f"c-{cid}", value, TABLES.controls[cid].device_number, digest if right else sm3(b"x"), refuse
        )
        evidence = f"{who.name} {who.station} {sequence_id} {right} {refuse}".encode()
        effects = self.bench.desk.confirm(self.ticket(), word, who, evidence)
        for row in self.bench.desk.running():
            if row.request.sequence_id == sequence_id and row.guardian is not None and sequence_id not in self.word:
                assert right
                assert not refuse
                self.word[sequence_id] = (who, sm3(evidence))
        self.watch(effects)

    @rule(name=st.sampled_from(("wang", "li", "zhao")), back=st.sampled_from((True, True, False)))
    def rights_change(self, name, back):
        (self.revoked.discard if back else self.revoked.add)(name)

    @rule(name=st.sampled_from(("wang", "li", "zhao")), left=st.sampled_from(("", "", *LESS)))
    def rights_are_taken_away_in_part(self, name, left):
        self.less.pop(name, None)
        if left:
            self.less[name] = left

    @rule(cid=st.sampled_from(sorted(VALUES)), hung=st.sampled_from((True, False, False)))
    def a_tag_is_hung_or_taken_down(self, cid, hung):
        (self.tagged.add if hung else self.tagged.discard)(cid)

    @rule(earthed=st.sampled_from((True, False, False, None)))
    def the_bay_is_earthed(self, earthed):
        self.bench.topology.earthed = earthed

    @rule(seconds=st.sampled_from((-86_400.0, -5.0, 5.0, 86_400.0)))
    def the_wall_clock_is_set(self, seconds):
        self.bench.clock.jump(seconds)

    @rule(cids=st.frozensets(st.sampled_from(sorted(VALUES)), max_size=2))
    def a_model_change_begins(self, cids):
        effects, _, _ = self.bench.desk.reserve(cids)
        self.changing = cids
        self.watch(effects)

    @rule(south=st.booleans())
    def a_model_takes_over(self, south):
        self.south, self.changing = south, frozenset()
        self.bench.desk.adopt(MODELS[south], self.bench.topology)

    @rule(down=st.booleans())
    def connection_is_made_anew(self, down):
        self.bench.plant.connections += 1
        if down:
            self.watch(self.bench.desk.tick())

    @rule()
    def restart(self):
        """kill -9: nothing that was selected is known any more, its callers are gone, and nothing is repeated."""
        if self.audit_broken:
            return
        left = {row.request.sequence_id for row in self.bench.desk.running()}
        self.final.update(dict.fromkeys(left, True))
        self.life()
        self.awaiting.clear()
        self.open_tickets.clear()
        effects = self.bench.desk.recover(self.rows)
        assert not any(isinstance(effect, SendSelect | SendExecute | SendCancel) for effect in effects)
        told = {effect.row.sequence_id for effect in effects if isinstance(effect, Audit)}
        traced = {
            record.row.sequence_id for record in self.rows if record.row.step in ("select", "check_back", "confirm", "execute")
        }
        assert left & traced <= told
        self.watch(effects)
        assert self.bench.desk.recover(self.rows) == [], "told once"

    @rule(data=st.data())
    def an_execute_is_sent_again(self, data):
        """After a lost connection the client sends what it sent before."""
        if not self.sent:
            return
        sequence_id, who, digest = data.draw(st.sampled_from(self.sent))
        before = len(self.executed)
        self.carried, self.carrier = digest, who
        done = sequence_id in self.executed
        self.watch(self.bench.desk.execute(self.ticket(), sequence_id, who, b"execute", confirm_digest=digest))
        assert not done or len(self.executed) == before

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
        if self.guarded(cid):
            self.guard(sequence_id, GUARDIANS[0], right=True, refuse=False)
        self.bench.clock.advance(seconds)
        return sequence_id

    @rule(target=sequences, cid=st.sampled_from(sorted(VALUES)), flaw=st.sampled_from(FLAWS))
    def attempt(self, cid, flaw):
        """All as it should be, but for one thing."""
        self.audit_broken, self.bench.plant.link, self.bench.topology.earthed = False, LinkState.UP, False
        for one in (self.revoked, self.less, self.tagged):
            one.clear()
        while self.bench.desk.running():
            self.time_passes(31.0, ticked=True)
        self.a_model_takes_over(south=False)
        self.bench.plant.readings[cid] = Reading(1.0, 0)
        sequence_id = self.select(OPERATOR, cid, 1, number=True)
        if self.awaiting.get(sequence_id) == "select":
            self.answer(sequence_id, "select", YES)
        if cid in GUARDED and flaw != "nobody":
            who = flaw if isinstance(flaw, Principal) else GUARDIANS[0]
            self.guard(sequence_id, who, right=flaw != "wrong word", refuse=False)
        match flaw:
            case "li" | "wang":
                self.revoked.add(flaw)
            case "reconnect":
                self.bench.plant.connections += 1
            case "restart":
                self.restart()
            case "late":
                self.bench.clock.advance(30)
            case "audit":
                self.audit_broken = True
            case "no rights" | "another area":
                self.less["li"] = self.less["wang"] = flaw
            case "tag":
                self.tagged.add(cid)
            case "earth":
                self.bench.topology.earthed = True
            case "clock":
                self.bench.clock.jump(-3600.0)
            case "model" | "other rule":
                self.a_model_change_begins(frozenset({cid} if flaw == "model" else ()))
                self.a_model_takes_over(south=True)
        carries, at = flaw != "no digest", ELSEWHERE if flaw == "elsewhere" else OPERATOR
        self.execute(sequence_id, at, carries=carries)
        self.audit_broken = False
        if flaw == "repeat":
            self.execute(sequence_id, at, carries=carries)
        return sequence_id

    @rule(sequence_id=sequences, step=st.sampled_from(("select", "execute", "cancel")), result=st.sampled_from(RESULTS))
    def station_answers_unasked(self, sequence_id, step, result):
        if self.awaiting.get(sequence_id) == step:
            self.answer(sequence_id, step, result)
            return
        self.watch(self.bench.desk.on_answer(sequence_id, step, result))

    @rule(
        sequence_id=sequences, who=st.sampled_from((OPERATOR, *PEOPLE, ELSEWHERE)), carries=st.sampled_from((True, True, False))
    )
    def execute(self, sequence_id, who, carries):
        before = len(self.executed)
        self.carried = self.word[sequence_id][1] if carries and sequence_id in self.word else b""
        self.carrier = who
        self.sent.append((sequence_id, who, self.carried))
        self.watch(self.bench.desk.execute(self.ticket(), sequence_id, who, b"execute", confirm_digest=self.carried))
        if len(self.executed) > before:
            assert self.owner_of[sequence_id] == who.name

    @rule(sequence_id=sequences, who=st.sampled_from(PEOPLE))
    def cancel(self, sequence_id, who):
        self.watch(self.bench.desk.cancel(self.ticket(), sequence_id, "", who))

    @rule(
        cid=st.sampled_from(sorted(VALUES)),
        value=st.sampled_from((0.0, 1.0, 2.0, 3.0, 20.0, 90.0)),
        quality=st.sampled_from((0, 0, int(Quality.INVALID), int(Quality.MANUAL))),
    )
    def feedback(self, cid, value, quality):
        self.bench.plant.readings[cid] = Reading(value, quality)
        self.watch(self.bench.desk.on_changes([cid]))

    @rule(up=st.sampled_from((True, True, False)))
    def link(self, up):
        self.bench.plant.link = LinkState.UP if up else LinkState.DOWN

    @rule(seconds=st.sampled_from((0.5, 5.0, 9.0, 10.0, 29.0, 30.0, 31.0)), ticked=st.booleans())
    def time_passes(self, seconds, ticked):
        self.bench.clock.advance(seconds)
        if ticked:
            self.watch(self.bench.desk.tick())

    @rule(broken=st.sampled_from((False, False, False, True)))
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
