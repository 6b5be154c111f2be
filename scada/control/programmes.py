"""Programmes of controls: what they are, what is executed of them, and what is wrong with them now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final

import msgpack

from scada.control.checks import value_refusal
from scada.core.errors import ScadaError
from scada.model_cim.tables import ControlKind, ModelTables
from scada.security.sm3 import sm3

MOST_STEPS: Final = 200
LONGEST_NAME: Final = 64
LONGEST_TEXT: Final = 256
LONGEST_CONDITION: Final = 1000
LONGEST_WAIT_S: Final = 24 * 3600.0
"""Longest wait for a condition and longest pause after a step."""

_DOMAIN: Final = b"SCADA programme 2\n"


Parse = Callable[[str], object]
"""Raises :class:`~scada.core.errors.ScadaError` if the text is no condition or names what the model does not have."""


class Kind(Enum):
    """How the steps of a programme follow each other."""

    SEQUENCE = "sequence"
    """One after the other."""
    GROUP = "group"
    """All at once, once all of them are selected and checked back."""


@dataclass(frozen=True, slots=True)
class Step:
    """One control of a programme.

    Attributes:
        control: mRID.
        value: command value or set-point.
        condition: expression over points that must hold before it; empty = none.
        timeout_s: longest wait for the condition, s; 0 = it must hold at once.
        pause_s: after the step, s.
        note: for people; not executed.
        accept_no_feedback: the run goes on although no feedback shows what became of it; otherwise it waits for a person.
    """

    control: str
    value: float
    condition: str = ""
    timeout_s: float = 0.0
    pause_s: float = 0.0
    note: str = ""
    accept_no_feedback: bool = False


@dataclass(frozen=True)
class Programme:
    """One version of a programme.

    Attributes:
        name: of all its versions.
        title: for people.
        kind: sequence or group.
        steps: in their order.
        version: from 1; 0 = not saved yet.
        author: who saved it.
        saved_ns: when, ns UTC.
        removed: from this version on there is no such programme; a later version may bring it back.
        reason: why it was saved.
    """

    name: str
    title: str
    kind: Kind
    steps: tuple[Step, ...]
    version: int = 0
    author: str = ""
    saved_ns: int = 0
    removed: bool = False
    reason: str = ""

    @cached_property
    def digest(self) -> bytes:
        """SM3 of what is executed: kind, controls, values, conditions, times, and what needs no feedback; no names and notes."""
        executed = [
            [
                step.control,
                float(step.value),
                step.condition,
                float(step.timeout_s),
                float(step.pause_s),
                step.accept_no_feedback,
            ]
            for step in self.steps
        ]
        packed: bytes = msgpack.packb([self.kind.value, executed])
        return sm3(_DOMAIN, packed)


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with a programme: as a whole, and per step (empty = nothing)."""

    whole: tuple[str, ...]
    steps: tuple[str, ...]

    @property
    def first(self) -> str:
        """The first finding in one sentence, empty if there is none."""
        if self.whole:
            return self.whole[0]
        return next((f"step {number}: {text}" for number, text in enumerate(self.steps, 1) if text), "")


def check_programme(programme: Programme, tables: ModelTables, parse: Parse) -> Findings:
    """Check a programme against the model as it is now."""
    whole = _shape(programme)
    steps = [_step_finding(programme, step, tables, parse) for step in programme.steps]
    if programme.kind is Kind.GROUP:
        _same_objects(programme, tables, steps)
    return Findings(tuple(whole), tuple(steps))


def _shape(programme: Programme) -> list[str]:
    found = []
    if not programme.name.strip() or len(programme.name) > LONGEST_NAME or programme.name != programme.name.strip():
        found.append(f"a name has 1 to {LONGEST_NAME} characters and no blanks around it")
    if any(not character.isprintable() for character in programme.name + programme.title):
        found.append("name and title have printable characters only")
    if len(programme.title) > LONGEST_TEXT:
        found.append(f"a title has at most {LONGEST_TEXT} characters")
    if not 1 <= len(programme.steps) <= MOST_STEPS:
        found.append(f"a programme has 1 to {MOST_STEPS} steps")
    return found


def _step_finding(programme: Programme, step: Step, tables: ModelTables, parse: Parse) -> str:
    control = tables.control_by_mrid.get(step.control)
    if control is None:
        return f"the model has no control {step.control!r}"
    if wrong := value_refusal(control, step.value):
        return wrong[1]
    if not (0 <= step.timeout_s <= LONGEST_WAIT_S and 0 <= step.pause_s <= LONGEST_WAIT_S):
        return f"a wait or a pause is 0 to {LONGEST_WAIT_S:g} s"
    if programme.kind is Kind.GROUP and step.pause_s:
        return "the steps of a group go out together: there is no pause after one"
    if len(step.note) > LONGEST_TEXT:
        return f"a note has at most {LONGEST_TEXT} characters"
    return condition_finding(step.condition, parse)


def condition_finding(text: str, parse: Parse) -> str:
    """What is wrong with a condition, empty if nothing or if there is none."""
    if not text:
        return ""
    if len(text) > LONGEST_CONDITION:
        return f"a condition has at most {LONGEST_CONDITION} characters"
    try:
        parse(text)
    except ScadaError as error:
        return f"condition: {error}"
    return ""


def _same_objects(programme: Programme, tables: ModelTables, steps: list[str]) -> None:
    """Only one control of an object can be selected at a time."""
    seen: dict[str, int] = {}
    for index, step in enumerate(programme.steps):
        control = tables.control_by_mrid.get(step.control)
        if control is None:
            continue
        held = control.mrid if control.kind is ControlKind.SETPOINT or not control.equipment else control.equipment
        if held in seen:
            steps[index] = steps[index] or f"step {seen[held] + 1} operates the same object: a group does it once"
        seen.setdefault(held, index)


def programme_to_plain(programme: Programme) -> dict[str, Any]:
    """For a store: names and plain values."""
    return {
        "name": programme.name,
        "title": programme.title,
        "kind": programme.kind.value,
        "steps": [list(astuple(one)) for one in programme.steps],
        "version": programme.version,
        "author": programme.author,
        "saved_ns": programme.saved_ns,
        "removed": programme.removed,
        "reason": programme.reason,
    }


def programme_from_plain(plain: Mapping[str, Any]) -> Programme:
    """What :func:`programme_to_plain` made, also before steps had all their fields."""
    steps = tuple(Step(*values) for values in plain["steps"])
    return Programme(**{**plain, "kind": Kind(plain["kind"]), "steps": steps})
