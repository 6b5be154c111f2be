"""A running server takes another version of its model while a programme runs: its steps are what they were, or the run waits."""

from dataclasses import replace

import pytest
from scadapb.v1 import scada_pb2 as pb
from system.conftest import BAD
from system.switching_rtu import SwitchingRtu, breakers
from system.test_model_swap import Edit

from scada.actors.order_messages import ProgrammeAsked, ProgrammesRead
from scada.control.records import Principal
from scada.model_cim.tables import Enabling
from scada.security.roles import Right

pytestmark = pytest.mark.e2e

LI = Principal("li", frozenset({"OPERATOR"}), frozenset(Right), frozenset({"*"}), "desk 1", "5e55")
OPEN = 1.0


class Works:
    """A plant with one station that can be switched, and a run whose first step is under way at it."""

    def __init__(self, run, tables):
        self.controls, switches = breakers(tables, BAD, 3)
        self.rtu = SwitchingRtu(5, switches)
        self.plant = run(rtus={BAD: self.rtu}, control={"two_person": []})
        self.addresses = [control.address.ioa for control in self.controls]
        feedbacks = [int(control.feedback) for control in self.controls]
        self.plant.until(lambda: all(self.plant.value(pid)[0] == 2 for pid in feedbacks), what="the positions are known")

    def ask(self, request):
        return self.plant.system.programmes.ask(ProgrammeAsked(request, LI, b"envelope")).get(timeout=20)

    def started(self, *conditions):
        """The run; its first execute is at the station, which has not answered yet."""
        pairs = zip(self.controls, [*conditions, "", "", ""], strict=False)
        steps = [pb.ProgrammeStep(control=control.mrid, value=OPEN, condition=condition) for control, condition in pairs]
        saved = self.ask(pb.SaveProgrammeRequest(programme=pb.Programme(name="off", kind="sequence", steps=steps)))
        assert saved.accepted, saved
        self.rtu.silent = {self.addresses[0]}
        answer = self.ask(pb.StartProgrammeRequest(name="off", version=saved.version, digest=saved.digest))
        assert answer.accepted, answer
        self.name = answer.run
        self.plant.until(lambda: self.rtu.executed == self.addresses[:1], what="the first step is under way")
        return answer.run

    def answers(self):
        """The station does what it was told."""
        order = next(data for data in reversed(self.rtu.received) if data[0] == 46)
        self.rtu.operate(self.addresses[0], order)

    def shown(self):
        listed = self.plant.system.programmes.ask(ProgrammesRead(pb.ListRunsRequest(ended=True))).get(timeout=20)
        return next(one for one in listed.runs if one.run == self.name)

    def until(self, state):
        self.plant.until(lambda: self.shown().state == state, what=f"{state}: {self.shown()}")
        return self.shown()

    def findings(self):
        shown = self.plant.system.programmes.ask(ProgrammesRead(pb.GetProgrammeRequest(name="off"))).get(timeout=20)
        return [bool(step.finding) for step in shown.steps]


@pytest.fixture
def works(run, tables):
    return Works(run, tables)


def states(shown):
    return [step.state for step in shown.steps]


def test_a_run_of_which_a_control_is_removed_waits_and_never_reaches_it(works):
    works.started()
    edit = Edit(works.plant.system)
    edit.controls[works.controls[1].cid] = replace(works.controls[1], removed=True, channel=-1)
    report = edit.swap()
    assert report.done, report
    works.answers()
    shown = works.until("paused")
    assert (shown.code, states(shown)) == ("model_change", ["done", "waiting", "waiting"])
    assert works.findings() == [False, True, False]
    assert works.ask(pb.ProgrammeCommand(run=works.name, action="resume")).accepted
    shown = works.until("failed")
    assert (shown.code, states(shown)) == ("unknown_control", ["done", "failed", "skipped"])
    assert works.rtu.executed == works.addresses[:1]
    newest = works.plant.system.programmes.ask(ProgrammesRead(pb.GetProgrammeRequest(name="off"))).get(timeout=20)
    again = works.ask(pb.StartProgrammeRequest(name="off", version=newest.version, digest=newest.digest))
    assert (again.accepted, again.code) == (False, "findings")


def test_a_run_whose_next_step_gets_another_interlock_is_judged_by_it(works, tables):
    works.started()
    nobody = next(point for point in tables.points if point.kind.name == "STATUS" and not point.removed)
    edit = Edit(works.plant.system)
    rule = Enabling(nobody.mrid, nobody.pid, nobody.path)
    edit.controls[works.controls[1].cid] = replace(works.controls[1], enabled_by=(rule,))
    assert edit.swap().done
    works.answers()
    assert works.until("paused").code == "model_change"
    assert works.ask(pb.ProgrammeCommand(run=works.name, action="resume")).accepted
    shown = works.until("failed")
    assert (shown.code, states(shown)) == ("interlock", ["done", "failed", "skipped"])
    assert nobody.path in shown.reason
    assert works.rtu.executed == works.addresses[:1]
    assert works.rtu.selected == works.addresses[:1], "not even preset"


def test_a_run_whose_switches_are_renamed_goes_on_under_their_new_names(works):
    works.started()
    edit = Edit(works.plant.system)
    for control in works.controls:
        edit.controls[control.cid] = replace(control, path=f"{control.path} B", name=f"{control.name} B")
        edit.change(edit.points[control.feedback], path=f"{edit.points[control.feedback].path} B")
    assert edit.swap().done
    works.answers()
    shown = works.until("done")
    assert all(step.path.endswith(" B") for step in shown.planned)
    assert works.rtu.executed == works.addresses


def test_a_condition_that_names_what_was_renamed_holds_no_more_and_says_so(works, tables):
    position = tables.points[works.controls[1].feedback]
    works.started("", f'"{position.path}" == 2')
    edit = Edit(works.plant.system)
    edit.change(position, path=f"{position.path} B")
    assert edit.swap().done
    works.answers()
    shown = works.until("failed")
    assert (shown.code, states(shown)) == ("condition", ["done", "failed", "skipped"])
    assert position.path in shown.reason
    assert works.findings() == [False, True, False]
    assert works.rtu.executed == works.addresses[:1]
