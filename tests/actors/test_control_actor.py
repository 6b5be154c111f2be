"""Control actor: audited before it acts, answers what came of it, repeats nothing after a restart."""

from dataclasses import replace

import pytest
from actors.harness import OPERATOR, Box, Disk, make
from actors.test_followers import BREAKER, Grid
from scadapb.v1 import scada_pb2 as pb

from scada.actors.channel import ChannelView
from scada.actors.control import ControlActor
from scada.actors.messages import Changed, Operate, Tick
from scada.actors.order_messages import DirectControl, StepAnswered, StepAsked
from scada.control.records import SequenceState
from scada.core.control_settings import ControlSettings, TwoPersonRule
from scada.core.errors import SecurityError
from scada.model_cim.tables import ControlKind
from scada.protocols.driver import CommandResult, LinkState, Outcome
from scada.security.audit import AuditLog
from scada.security.roles import Right, system_principal


class Desk:
    """A control actor on the demo grid; the channel's answers are the test's."""

    def __init__(self, demo, folder, two_person=()):
        self.settings = ControlSettings(two_person=two_person)
        _, self.tables = demo
        self.disk = Disk(folder, self.tables.points)
        self.grid = Grid(demo)
        self.audit = AuditLog(folder / "audit", self.disk.clock)
        self.channel, self.events, self.replies = Box(), Box(), []
        self.views = {spec.index: ChannelView(spec, LinkState.UP) for spec in self.tables.channels}
        known = sorted(self.grid.positions.values())
        self.disk.put(known, self.grid.value[known])
        self.control = next(c for c in self.tables.controls if c.path == BREAKER)
        self.actor = self.life()

    def life(self):
        self.actor = make(
            ControlActor,
            name="control",
            tables=self.tables,
            topology=self.grid.live,
            audit=self.audit,
            snapshot=self.disk.store.snapshot,
            views=self.views,
            channels=dict.fromkeys(range(len(self.views)), self.channel),
            events=self.events,
            clock=self.disk.clock,
            settings=self.settings,
        )
        self.actor.started()
        return self.actor

    def ask(self, request):
        self.actor.receive(StepAsked(request, OPERATOR, b"signed", self.replies.append))

    def select(self, value=1):
        self.ask(pb.SelectRequest(control=self.control.mrid, value=value, device_number=self.control.device_number))

    def answer(self, outcome=Outcome.CONFIRMED, reason=""):
        """The station answers the step that was sent last."""
        sent = self.channel.take(Operate)[-1]
        sent.reply(CommandResult(outcome, reason))
        told = self.actor.address.mailbox.get().message
        assert isinstance(told, StepAnswered)
        self.actor.receive(told)
        return sent

    def steps(self):
        return [record.row.step for record in self.audit.records()]

    def close(self):
        self.audit.close()
        self.disk.close()


@pytest.fixture
def desk(demo, tmp_path):
    desk = Desk(demo, tmp_path)
    yield desk
    desk.close()


def test_select_check_back_execute_feedback(desk):
    desk.select()
    assert desk.replies == []
    assert desk.steps()[-1] == "select", "audited before it is sent"
    assert (desk.answer().step, desk.steps()[-1]) == ("select", "check_back")
    [selected] = desk.replies
    assert (selected.state, selected.present) == (SequenceState.SELECTED, 2.0)
    desk.ask(pb.ExecuteRequest(sequence_id=selected.sequence_id))
    sent = desk.answer()
    assert (sent.step, sent.control, sent.value) == ("execute", desk.control, 1.0)
    assert len(desk.replies) == 1, "the station's yes is not the plant's"
    desk.actor.receive(Changed(desk.disk.put([desk.control.feedback], [1.0])))
    assert desk.replies[-1].state is SequenceState.SUCCESS
    assert desk.steps()[-1] == "result"
    assert desk.events.keys(), "every result is an event"


def test_what_a_hold_hides_is_no_feedback(desk):
    desk.select()
    desk.answer()
    desk.ask(pb.ExecuteRequest(sequence_id=desk.replies[0].sequence_id))
    desk.answer()
    desk.disk.store.hold(desk.control.feedback, None)
    desk.actor.receive(Changed(desk.disk.store.commit()))
    desk.actor.receive(Changed(desk.disk.put([desk.control.feedback], [1.0])))
    assert len(desk.replies) == 1, "what the operator blocked does not say that the switch moved"


def test_no_feedback_is_a_failure_not_a_success(desk):
    desk.select()
    desk.answer()
    desk.ask(pb.ExecuteRequest(sequence_id=desk.replies[0].sequence_id))
    desk.answer()
    for _ in range(5):
        desk.disk.clock.advance(desk.control.feedback_timeout_s)
        desk.actor.receive(Tick())
    assert desk.replies[-1].state in {SequenceState.EXEC_FAILED, SequenceState.TIMED_OUT}
    assert desk.channel.take(Operate) == []


def test_a_selection_that_the_station_refuses_goes_no_further(desk):
    desk.select()
    desk.answer(Outcome.REFUSED, "local mode")
    assert desk.replies[-1].state is SequenceState.CHECK_FAILED
    assert "local mode" in desk.replies[-1].reason
    desk.ask(pb.ExecuteRequest(sequence_id=desk.replies[-1].sequence_id))
    assert desk.replies[-1].state is not SequenceState.SUCCESS
    assert desk.channel.take(Operate) == []


def test_cancel_withdraws_at_the_station(desk):
    desk.select()
    desk.answer()
    desk.ask(pb.CancelRequest(sequence_id=desk.replies[0].sequence_id, reason="wrong bay"))
    assert desk.channel.take(Operate)[-1].step == "cancel"
    desk.ask(pb.ExecuteRequest(sequence_id=desk.replies[0].sequence_id))
    assert desk.channel.take(Operate) == []


def test_a_line_that_is_down_is_refused_before_anything_is_sent(desk):
    desk.views[desk.control.channel].state = LinkState.DOWN
    desk.select()
    assert (desk.replies[-1].state, desk.replies[-1].code) == (SequenceState.REFUSED, "link_down")
    assert desk.channel.take(Operate) == []
    assert desk.steps()[-1] == "refused"


def test_what_cannot_be_audited_is_not_done(desk, monkeypatch):
    def refuse(rows):
        raise SecurityError("the audit log cannot be written", where="audit", mend="free disk space")

    monkeypatch.setattr(desk.audit, "append_many", refuse)
    desk.select()
    assert {sent.step for sent in desk.channel.take(Operate)} <= {"cancel"}
    assert desk.replies[-1].state is not SequenceState.SELECTED
    assert "audit.fault" in set(desk.events.keys())


def test_an_execute_that_cannot_be_audited_is_withdrawn_at_the_station(desk, monkeypatch):
    desk.select()
    desk.answer()

    def refuse(rows):
        raise SecurityError("the audit log cannot be written", where="audit", mend="free disk space")

    monkeypatch.setattr(desk.audit, "append_many", refuse)
    desk.ask(pb.ExecuteRequest(sequence_id=desk.replies[0].sequence_id))
    assert [sent.step for sent in desk.channel.take(Operate)] in (["cancel"], [])
    assert desk.replies[-1].state is not SequenceState.SUCCESS
    monkeypatch.undo()
    desk.actor.receive(Changed(desk.disk.put([desk.control.feedback], [1.0])))
    assert desk.replies[-1].state is not SequenceState.SUCCESS


def test_after_a_restart_it_is_said_what_was_left_unfinished_and_nothing_is_repeated(desk):
    desk.select()
    desk.answer()
    desk.ask(pb.ExecuteRequest(sequence_id=desk.replies[0].sequence_id))
    desk.channel.take(Operate)
    desk.events.got.clear()
    desk.life()
    assert desk.channel.take(Operate) == []
    assert desk.steps()[-1] == "interrupted"
    assert len(desk.events.keys()) == 1
    desk.events.got.clear()
    desk.life()
    assert desk.events.keys() == [], "said once"
    desk.ask(pb.ExecuteRequest(sequence_id=desk.replies[0].sequence_id))
    assert desk.channel.take(Operate) == []


def test_an_application_with_standing_rights_operates_in_one_call(desk):
    control = next(c for c in desk.tables.controls if c.kind is ControlKind.SETPOINT and c.control_type == "ActivePower")
    value = control.minimum + 1.0
    agc = system_principal("agc", {Right.SETPOINT})
    answers = []
    desk.actor.receive(DirectControl(control.cid, value, agc, "ace", answers.append))
    while not answers:
        assert desk.answer().value == value
    assert answers[0].state is SequenceState.SUCCESS
    rows = [record.row for record in desk.audit.records()]
    assert {row.actor for row in rows} == {agc.name}
    desk.actor.receive(DirectControl(desk.control.cid, 1.0, agc, "ace", answers.append))
    assert answers[-1].state is SequenceState.REFUSED, "a set-point right does not switch a breaker"
    assert desk.channel.take(Operate) == []


def test_rows_of_orders_that_wait_are_written_together_before_anything_acts(desk, monkeypatch):
    breakers = [c for c in desk.tables.controls if c.control_type == "SwitchPosition" and c.path.endswith("10")][:5]
    written, store = [], desk.audit.append_many

    def append_many(rows):
        assert desk.channel.got == [], "nothing was sent before"
        written.append(len(rows))
        return store(rows)

    monkeypatch.setattr(desk.audit, "append_many", append_many)
    for control in breakers[1:]:
        request = pb.SelectRequest(control=control.mrid, value=1, device_number=control.device_number)
        desk.actor.address.tell(StepAsked(request, OPERATOR, b"signed", desk.replies.append))
    first = breakers[0]
    desk.ask(pb.SelectRequest(control=first.mrid, value=1, device_number=first.device_number))
    assert written == [5]
    sent = desk.channel.take(Operate)
    assert sent
    assert len(sent) + len(desk.replies) == len(breakers)


def test_what_waits_together_fails_together_and_all_are_told(desk, monkeypatch):
    def refuse(rows):
        raise SecurityError("the audit log cannot be written", where="audit", mend="free disk space")

    desk.select()
    desk.answer()
    selected = desk.replies.pop()
    monkeypatch.setattr(desk.audit, "append_many", refuse)
    other = next(c for c in desk.tables.controls if c.kind is ControlKind.STEP)
    request = pb.SelectRequest(control=other.mrid, value=2, device_number=other.device_number)
    desk.actor.address.tell(StepAsked(request, OPERATOR, b"signed", desk.replies.append))
    desk.ask(pb.ExecuteRequest(sequence_id=selected.sequence_id))
    assert {one.step for one in desk.channel.take(Operate)} <= {"cancel"}
    assert len(desk.replies) == 2
    assert all(reply.state is SequenceState.REFUSED for reply in desk.replies)


def test_who_is_told_confirmed_has_a_row_on_disk(demo, tmp_path, monkeypatch):
    desk = Desk(demo, tmp_path, two_person=(TwoPersonRule(),))

    def refuse(rows):
        raise SecurityError("the audit log cannot be written", where="audit", mend="free disk space")

    desk.select()
    desk.answer()
    [selected] = desk.replies
    monkeypatch.setattr(desk.audit, "append_many", refuse)
    word = pb.ConfirmRequest(
        sequence_id=selected.sequence_id,
        control=desk.control.mrid,
        value=1.0,
        device_number=desk.control.device_number,
        select_digest=selected.select_digest,
    )
    guardian = replace(OPERATOR, name="li", station="desk-2", session="li's")
    desk.actor.receive(StepAsked(word, guardian, b"li's", desk.replies.append))
    assert (desk.replies[-1].state, desk.replies[-1].code) == (SequenceState.REFUSED, "audit_failed")
    monkeypatch.undo()
    desk.close()
