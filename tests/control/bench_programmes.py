"""A desk of programmes with everything around it; the control desk below it is the test."""

from __future__ import annotations

import itertools

from scada.control.effects import Audit, Report
from scada.control.programme_book import ProgrammeBook
from scada.control.programme_desk import ProgrammeDesk, RunWord, StartOrder
from scada.control.programme_effects import CancelStep, ExecuteStep, KeepProgramme, KeepRun, SelectStep
from scada.control.programmes import Kind, Programme, Step
from scada.control.records import ControlReply, Principal, SequenceState
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.control_settings import ControlSettings
from scada.security.roles import ALL_AREAS, rights_of
from tests.control.bench_desk import BREAKER, CLOSE, OPEN, POWER, STATUS, TABLES, TablePlant, TableTopology

SELECTED = SequenceState.SELECTED
SUCCESS = SequenceState.SUCCESS


def who(name, station, *roles, areas=(ALL_AREAS,)):
    return Principal(name, frozenset(roles), frozenset(rights_of(roles)), frozenset(areas), station, f"session of {name}")


OPERATOR = who("wang", "desk 1", "OPERATOR")
COLLEAGUE = who("zhao", "desk 3", "OPERATOR")
GUARDIAN = who("li", "desk 2", "GUARDIAN")
ENGINEER = who("chen", "desk 4", "ENGINEER")

ONE_PERSON = ControlSettings(two_person=())
TWO_PERSONS = ControlSettings()

SEQUENCE = Programme(
    "transfer",
    "Transfer",
    Kind.SEQUENCE,
    (Step(f"c-{BREAKER}", CLOSE), Step(f"c-{STATUS}", OPEN, pause_s=5.0), Step(f"c-{POWER}", 50.0)),
)
GROUP = Programme("shed", "Shed", Kind.GROUP, (Step(f"c-{BREAKER}", OPEN), Step(f"c-{STATUS}", OPEN), Step(f"c-{POWER}", 20.0)))


class ProgrammeBench:
    """Carries out nothing: tells what was wanted, and answers as the test says."""

    def __init__(self, settings=ONE_PERSON, runs=(), versions=()):
        self.clock, self.plant, self.topology = VirtualClock(), TablePlant(), TableTopology()
        self.plant.readings[BREAKER] = type(self.plant.readings[BREAKER])(1.0, 0)
        numbers = itertools.count(1)
        self.refused = {}
        self.book = ProgrammeBook(TABLES, self.clock, self.plant, self.topology, settings.two_person, versions)
        self.desk = ProgrammeDesk(
            self.book,
            self.clock,
            settings,
            still=lambda principal: self.refused.get(principal.name, principal),
            runs=runs,
            identifier=lambda: f"r{next(numbers)}",
        )
        self.sequences = itertools.count(1)
        self.effects = []

    def took(self, effects):
        self.effects += effects
        return effects

    def saved(self, programme=SEQUENCE, author=OPERATOR):
        found = self.book.programme(programme.name)
        answer, effects = self.book.save(programme, found.version if found else 0, author, b"saved")
        self.took(effects)
        assert answer.accepted, answer
        return self.book.programme(programme.name)

    def ask(self, programme, by=OPERATOR, **more):
        order = StartOrder(programme.name, programme.version, more.pop("digest", programme.digest), **more)
        answer, effects = self.desk.start(order, by, b"start digest", b"started")
        return answer, self.took(effects)

    def started(self, programme=SEQUENCE, by=OPERATOR, **more):
        answer, effects = self.ask(self.saved(programme), by, **more)
        assert answer.accepted, answer
        return answer.run, effects

    def confirm(self, run, by=GUARDIAN, **more):
        record = self.run(run)
        word = RunWord(run, more.pop("digest", record.programme.digest), more.pop("start_digest", b"start digest"), **more)
        answer, effects = self.desk.confirm(word, by, b"confirmed")
        return answer, self.took(effects)

    def command(self, run, action, by=OPERATOR, reason=""):
        answer, effects = self.desk.command(run, action, reason, by, b"command")
        return answer, self.took(effects)

    def advance(self, seconds):
        self.clock.advance(seconds)
        return self.took(self.desk.tick())

    def answer(self, order, state=None, code="", reason=""):
        """The control desk's answer to an order."""
        if isinstance(order, SelectStep):
            valid = self.clock.now_ns() + 60 * NS_PER_S
            sequence = f"q{next(self.sequences)}"
            reply = ControlReply(sequence, state or SELECTED, code, reason, valid_until_ns=valid, value=order.value)
            return self.took(self.desk.selected(order.run, order.step, reply))
        reply = ControlReply(order.sequence_id, state or SUCCESS, code, reason)
        return self.took(self.desk.executed(order.run, order.step, reply))

    def run(self, run):
        (found,) = [record for record in self.desk.runs(ended=True) if record.run == run]
        return found

    def phases(self, run):
        return [step.phase.value for step in self.run(run).steps]

    def executed(self):
        """Steps whose execute was ordered, in order."""
        return [(order.run, order.step) for order in self.effects if isinstance(order, ExecuteStep)]


def orders(effects):
    return [effect for effect in effects if isinstance(effect, SelectStep | ExecuteStep | CancelStep)]


def kept(effects):
    return [effect for effect in effects if isinstance(effect, KeepRun | KeepProgramme)]


def rows(effects):
    return [effect.row for effect in effects if isinstance(effect, Audit)]


def keys(effects):
    return [effect.event.key for effect in effects if isinstance(effect, Report)]
