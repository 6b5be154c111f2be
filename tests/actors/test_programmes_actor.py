"""Programmes actor above a real control actor: each step through the desk, kept before it acts, nothing repeated after a kill."""

import pytest
from actors.harness import OPERATOR, Box, make
from actors.test_control_actor import Desk
from actors.test_followers import BREAKER
from scadapb.v1 import scada_pb2 as pb

from scada.actors.messages import Operate, Tick
from scada.actors.order_messages import ProgrammeAsked, ProgrammeSelect, ProgrammesRead, StepAsked
from scada.actors.programmes import ProgrammesActor, StepReplied
from scada.control.programme_store import ProgrammeStore
from scada.control.records import Principal
from scada.core.control_settings import TwoPersonRule
from scada.core.errors import StoreError
from scada.protocols.driver import Outcome
from scada.security.roles import Right

GUARDIAN = Principal("li", frozenset(), frozenset({Right.GUARD}), frozenset({"*"}), "desk-2", "s2")


class Works:
    """Both actors; what one tells the other is carried by hand, so that a kill can come between any two messages."""

    def __init__(self, demo, folder, two_person=()):
        self.desk = Desk(demo, folder, two_person)
        self.folder, self.model = folder, demo[0]
        self.to_control, self.events = Box(), Box()
        self.revoked = set()
        self.begin()

    def begin(self):
        self.store = ProgrammeStore(self.folder / "programmes", map_mb=16)
        self.actor = make(
            ProgrammesActor,
            name="programmes",
            tables=self.desk.tables,
            model=self.model,
            topology=self.desk.grid.live,
            database=self.desk.disk.store,
            views=self.desk.views,
            store=self.store,
            audit=self.desk.audit,
            control=self.to_control,
            events=self.events,
            clock=self.desk.disk.clock,
            settings=self.desk.settings,
            rights_now=lambda principal: None if principal.name in self.revoked else principal,
        )
        self.actor.started()

    def kill(self):
        """As kill -9 does: what was not on disk is lost, and so is every message under way."""
        self.store.close()
        self.to_control.got.clear()
        self.desk.channel.got.clear()
        self.desk.life()
        self.begin()

    def ask(self, request, principal=OPERATOR):
        return self.actor.receive(ProgrammeAsked(request, principal, b"envelope"))

    def saved(self, **more):
        step = pb.ProgrammeStep(control=self.desk.control.mrid, value=1, **more)
        reply = self.ask(pb.SaveProgrammeRequest(programme=pb.Programme(name="p", kind="sequence", steps=[step])))
        assert reply.accepted, reply
        return reply

    def started(self):
        saved = self.saved()
        reply = self.ask(pb.StartProgrammeRequest(name="p", version=saved.version, digest=saved.digest))
        assert reply.accepted, reply
        return reply.run

    def orders(self, kind):
        return self.to_control.take(kind)

    def carry(self, kind):
        """One order to the control actor."""
        (order,) = self.orders(kind)
        self.desk.actor.receive(order)

    def back(self):
        """The control actor's answer."""
        message = self.actor.address.mailbox.get().message
        assert isinstance(message, StepReplied)
        self.actor.receive(message)

    def station(self, outcome=Outcome.CONFIRMED):
        self.desk.answer(outcome)

    def run(self, run):
        listed = self.actor.receive(ProgrammesRead(pb.ListRunsRequest(ended=True)))
        return next(one for one in listed.runs if one.run == run)

    def rows(self):
        return [record.row for record in self.desk.audit.records() if record.row.kind == "programme"]

    def close(self):
        self.store.close()
        self.desk.close()


@pytest.fixture
def works(demo, tmp_path):
    works = Works(demo, tmp_path)
    yield works
    works.close()


def test_a_step_goes_through_the_desk_and_is_traced_on_both_sides(works):
    run = works.started()
    works.carry(ProgrammeSelect)
    works.station()
    works.back()
    assert works.run(run).steps[0].state == "executing"
    works.carry(StepAsked)
    works.station(Outcome.REFUSED)
    works.back()
    shown = works.run(run)
    assert (shown.state, shown.code, shown.steps[0].state) == ("failed", "execute_refused", "failed")
    steps = [row.step for row in works.rows()]
    assert steps == ["save", "start", "begin", "step_select", "step_execute", "step_end", "result"]
    assert works.rows()[1].evidence == b"envelope"
    control = [record.row for record in works.desk.audit.records() if record.row.kind == "control"]
    assert [row.step for row in control] == ["select", "check_back", "execute", "result"]
    assert f"run {run}" in control[0].reason
    told = works.events.keys()
    assert "programme.failed" in told


@pytest.mark.parametrize(
    ("upto", "state", "words"),
    [
        ("asked", "skipped", "nothing was operated"),
        ("selected", "skipped", "nothing was operated"),
        ("ordered", "skipped", "nothing was operated"),
        ("executing", "unknown", "not known"),
        ("refused", "failed", ""),
    ],
)
def test_a_kill_at_any_moment_leaves_what_is_known_and_repeats_nothing(works, upto, state, words):
    run = works.started()
    if upto != "asked":
        works.carry(ProgrammeSelect)
        works.station()
        if upto != "selected":
            works.back()
        if upto in ("executing", "refused"):
            works.carry(StepAsked)
        if upto == "refused":
            works.station(Outcome.REFUSED)  # the desk has its result on disk, the run not yet
    works.kill()
    shown = works.run(run)
    assert (shown.state, shown.steps[0].state) == ("interrupted", state)
    assert words in shown.steps[0].reason
    for _ in range(10):
        works.desk.disk.clock.advance(30)
        works.actor.receive(Tick())
        works.desk.actor.receive(Tick())
    assert works.to_control.got == []
    assert works.desk.channel.take(Operate) == []
    assert works.rows()[-1].step == "interrupted"
    works.kill()
    assert works.run(run).state == "interrupted"
    assert [row.step for row in works.rows()].count("interrupted") == 1
    assert works.ask(pb.ProgrammeCommand(run=run, action="resume")).code == "ended"


def test_an_answer_to_a_former_life_withdraws_its_selection(works):
    run = works.started()
    works.carry(ProgrammeSelect)
    former = works.actor.address.mailbox
    works.store.close()
    works.begin()  # the actor failed and lives again; the control actor did not
    works.station()
    works.actor.receive(former.get().message)
    assert works.run(run).state == "interrupted"
    (cancel,) = works.orders(StepAsked)
    assert isinstance(cancel.request, pb.CancelRequest)


def test_what_cannot_be_traced_is_not_ordered(works, monkeypatch):
    saved = works.saved()

    def full(row):
        raise StoreError("no space left on device")

    monkeypatch.setattr(works.desk.audit, "append", full)
    reply = works.ask(pb.StartProgrammeRequest(name="p", version=saved.version, digest=saved.digest))
    assert (reply.accepted, reply.code) == (False, "audit_failed")
    assert works.to_control.got == []
    told = works.events.keys()
    assert "audit.fault" in told
    assert works.run(reply.run).state == "failed"
    again = works.ask(pb.SaveProgrammeRequest(programme=pb.Programme(name="q", kind="group")))
    assert not again.accepted
    assert works.actor.receive(ProgrammesRead(pb.GetProgrammeRequest(name="q"))) is None


def test_versions_and_ended_runs_outlive_a_restart(works):
    run = works.started()
    works.ask(pb.ProgrammeCommand(run=run, action="stop", reason="enough"))
    works.carry(ProgrammeSelect)
    works.station()
    works.back()
    works.kill()
    assert works.run(run).state == "stopped"
    found = works.actor.receive(ProgrammesRead(pb.GetProgrammeRequest(name="p")))
    assert (found.version, found.steps[0].path, found.steps[0].finding) == (1, BREAKER, "")
    assert found.digest == works.run(run).digest


def test_a_revoked_identity_pauses_the_run_before_its_next_order(works):
    run = works.started()
    works.carry(ProgrammeSelect)
    works.revoked.add(OPERATOR.name)
    works.station()
    works.back()
    shown = works.run(run)
    assert (shown.state, shown.code) == ("paused", "no_right")
    (cancel,) = works.orders(StepAsked)
    assert isinstance(cancel.request, pb.CancelRequest)


def test_the_desk_takes_the_guardian_of_the_run(demo, tmp_path):
    works = Works(demo, tmp_path, (TwoPersonRule(control_type="SwitchPosition"),))
    try:
        run = works.started()
        assert works.to_control.got == []
        shown = works.run(run)
        word = pb.ConfirmProgrammeRequest(run=run, digest=shown.digest, start_digest=shown.start_digest)
        assert works.ask(word, OPERATOR).code == "guardian_same"
        assert works.ask(word, GUARDIAN).accepted
        works.carry(ProgrammeSelect)
        works.station()
        works.back()
        assert works.run(run).steps[0].state == "executing"
    finally:
        works.close()
