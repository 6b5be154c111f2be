"""Conditions over the plant: expressions that are true, false or not known, and say why.

The language is that of calculated points (:mod:`scada.expressions.language`) with tests of equipment. Truth has three values
after Kleene: ``false and unknown`` is false, ``true or unknown`` is true, everything else with an unknown operand is unknown. A
value that is bad, missing, or was entered by an operator is unknown: it proves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from scada.control.plant import Plant, Reading, SwitchgearTopology
from scada.core.errors import ScadaError
from scada.core.quality import Quality
from scada.expressions.language import Expression, parse_condition
from scada.expressions.operations import REFERRING, SWITCHGEAR, Op
from scada.model_cim.permissions import Names


class ConditionError(ScadaError):
    """A condition cannot be read, or names what the model does not have."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a condition says now.

    Attributes:
        truth: None = not known.
        because: the terms that keep it from being true, each with what was found: ``"P" < 5 ("P" = 9)``, ``closed("1101") = 0``;
            ``= ?`` not known, ``= ? M`` entered by an operator. Empty if it is true.
    """

    truth: bool | None
    because: tuple[str, ...] = ()


Judge = Callable[[str], Verdict]
"""What a condition says now; raises :class:`~scada.core.errors.ScadaError` if it can no longer be read."""


def holds(judge: Judge, text: str) -> tuple[bool, str]:
    """Whether a condition holds now, and why not; no condition does, one of which nothing is known does not."""
    if not text:
        return True, ""
    try:
        verdict = judge(text)
    except ScadaError as error:  # the model was changed
        return False, str(error)
    return verdict.truth is True, "; ".join(verdict.because) or text


@dataclass(frozen=True, slots=True)
class _Term:
    """A value on the stack: how it is written, and what of it is not as it should be."""

    value: float
    text: str
    because: tuple[str, ...] = ()
    is_truth: bool = False
    """A comparison, a test or what is made of them: its parts explain themselves."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition whose names are resolved.

    Attributes:
        expression: what was parsed.
        pids: points, in the order of ``expression.references``.
        equipment: mRIDs, in the order of ``expression.equipment``.
    """

    expression: Expression
    pids: tuple[int, ...]
    equipment: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, names: Names) -> Condition:
        """Read a condition against a model.

        Raises:
            ConditionError: it cannot be read, or a point or equipment is not in the model.
        """
        try:
            expression = parse_condition(text)
        except ScadaError as error:
            raise ConditionError(error.what, where=error.where, mend=error.mend) from error
        pids = [names.point(name) for name in expression.references]
        equipment = [names.equipment(name) for name in expression.equipment]
        known: Sequence[int | str | None] = [*pids, *equipment]
        for name, found in zip((*expression.references, *expression.equipment), known, strict=True):
            if found is None:
                raise ConditionError(f'the model has no "{name}"', mend="write a path or mRID of the model")
        return cls(expression, tuple(p for p in pids if p is not None), tuple(e for e in equipment if e is not None))

    @property
    def points(self) -> frozenset[int]:
        """Points whose change may change the verdict."""
        return frozenset(self.pids)

    def evaluate(self, plant: Plant, topology: SwitchgearTopology | None = None) -> Verdict:
        """What it says now.

        Args:
            plant: readings.
            topology: positions and states of equipment; without one they are not known.
        """
        stack: list[_Term] = []
        for op, argument in self.expression.code:
            if op in SWITCHGEAR:
                stack.append(self._switchgear(op, int(argument), topology))
            elif op in REFERRING:
                stack.append(self._read(op, int(argument), plant))
            elif op is Op.CONST:
                stack.append(_Term(argument, f"{argument:g}"))
            else:
                count = int(argument) if op in _OF_MANY else _OPERANDS[op]
                operands = stack[len(stack) - count :]
                del stack[len(stack) - count :]
                stack.append(_apply(op, argument, operands))
        (result,) = stack
        truth = _truth(result.value)
        return Verdict(truth, () if truth else result.because or (_found(result),))

    def _read(self, op: Op, place: int, plant: Plant) -> _Term:
        name = f'"{self.expression.references[place]}"'
        reading = plant.reading(self.pids[place])
        if op is not Op.POINT:
            return _judged(float(_TESTS[op](reading)), f"{op.name.lower()}({name})")
        if reading.held:
            return _Term(math.nan, name, (f"{name} = ? M",))
        if not reading.good:
            return _Term(math.nan, name, (f"{name} = ?",))
        return _Term(reading.value, name)

    def _switchgear(self, op: Op, place: int, topology: SwitchgearTopology | None) -> _Term:
        mrid, text = self.equipment[place], f'{op.name.lower()}("{self.expression.equipment[place]}")'
        answer: bool | None = None
        if topology is not None:
            ask = {Op.CLOSED: topology.is_closed, Op.ENERGISED: topology.is_energised, Op.EARTHED: topology.is_earthed}
            answer = ask[op](mrid)
        return _judged(math.nan if answer is None else float(answer), text)


_ENTERED: Final = int(Quality.MANUAL | Quality.SUBSTITUTED)
_STALE: Final = int(Quality.NOT_TOPICAL | Quality.OLD_DATA | Quality.COMM_LOST | Quality.NEVER_RECEIVED)
_TESTS: Final[dict[Op, Callable[[Reading], bool]]] = {
    Op.GOOD: lambda reading: reading.good,
    Op.BAD: lambda reading: not reading.good,
    Op.MANUAL: lambda reading: bool(reading.quality & _ENTERED),
    Op.OLD: lambda reading: bool(reading.quality & _STALE),
}
_SIGNS: Final = {
    Op.ADD: "+", Op.SUB: "-", Op.MUL: "*", Op.DIV: "/", Op.POW: "^",
    Op.LT: "<", Op.LE: "<=", Op.GT: ">", Op.GE: ">=", Op.EQ: "==", Op.NE: "!=",
}  # fmt: skip
_COMPARISONS: Final[dict[Op, Callable[[float, float], bool]]] = {
    Op.LT: lambda a, b: a < b,
    Op.LE: lambda a, b: a <= b,
    Op.GT: lambda a, b: a > b,
    Op.GE: lambda a, b: a >= b,
    Op.EQ: lambda a, b: a == b,
    Op.NE: lambda a, b: a != b,
}
_BINARY: Final[dict[Op, Callable[[float, float], float]]] = {
    Op.ADD: lambda a, b: a + b,
    Op.SUB: lambda a, b: a - b,
    Op.MUL: lambda a, b: a * b,
    Op.DIV: lambda a, b: a / b,
    Op.POW: math.pow,
    Op.MIN: min,
    Op.MAX: max,
}
_UNARY: Final[dict[Op, Callable[[float], float]]] = {
    Op.NEG: lambda a: -a,
    Op.ABS: abs,
    Op.SQRT: math.sqrt,
    Op.EXP: math.exp,
    Op.LN: math.log,
}
_OF_MANY: Final = frozenset({Op.FIRST_GOOD, Op.COUNT_GOOD})
_OPERANDS: Final = (
    dict.fromkeys((*_UNARY, Op.NOT, Op.ROUND), 1) | dict.fromkeys((*_BINARY, *_COMPARISONS, Op.AND, Op.OR), 2) | {Op.IF: 3}
)


def _truth(value: float) -> bool | None:
    return None if math.isnan(value) else value != 0.0


def _found(term: _Term) -> str:
    return f"{term.text} = {'?' if math.isnan(term.value) else f'{term.value:g}'}"


def _judged(value: float, text: str) -> _Term:
    """A truth that stands for itself in the explanation."""
    term = _Term(value, text, is_truth=True)
    return term if _truth(value) else replace(term, because=(_found(term),))


def _apply(op: Op, argument: float, operands: list[_Term]) -> _Term:
    if op in _COMPARISONS:
        return _compare(op, *operands)
    if op in (Op.AND, Op.OR):
        return _join(op, *operands)
    if op is Op.NOT:
        return _negate(*operands)
    if op is Op.IF:
        return _choose(*operands)
    if op in _OF_MANY:
        return _of_many(op, operands)
    return _compute(op, argument, operands)


def _negate(term: _Term) -> _Term:
    value = math.nan if math.isnan(term.value) else float(term.value == 0.0)
    because = term.because if math.isnan(value) else () if _truth(value) else (f"{term.text} = 1",)
    return _Term(value, f"not ({term.text})", because, is_truth=True)


def _choose(condition: _Term, then: _Term, other: _Term) -> _Term:
    text = f"if({condition.text}, {then.text}, {other.text})"
    if math.isnan(condition.value):
        return _Term(math.nan, text, condition.because)
    chosen = then if condition.value else other
    return _Term(chosen.value, text, chosen.because, chosen.is_truth)


def _of_many(op: Op, operands: list[_Term]) -> _Term:
    text = f"{op.name.lower()}({', '.join(term.text for term in operands)})"
    known = [term for term in operands if not math.isnan(term.value)]
    if op is Op.COUNT_GOOD:
        return _Term(float(len(known)), text)
    first = known[0] if known else operands[-1]
    return _Term(first.value, text, first.because)


def _compute(op: Op, argument: float, operands: list[_Term]) -> _Term:
    values = [term.value for term in operands]
    texts = [term.text for term in operands]
    because = tuple(dict.fromkeys(one for term in operands for one in term.because))
    text = f"({texts[0]} {_SIGNS[op]} {texts[1]})" if op in _SIGNS else f"{op.name.lower()}({', '.join(texts)})"
    if any(map(math.isnan, values)):
        return _Term(math.nan, text, because)
    try:
        if op is Op.ROUND:
            scale = 10.0 ** int(argument)
            value = math.copysign(math.floor(abs(values[0]) * scale + 0.5) / scale, values[0])
        else:
            value = _BINARY[op](*values) if op in _BINARY else _UNARY[op](*values)
    except (ArithmeticError, ValueError):
        value = math.nan
    return _Term(value if math.isfinite(value) else math.nan, text)


def _compare(op: Op, left: _Term, right: _Term) -> _Term:
    text = f"{left.text} {_SIGNS[op]} {right.text}"
    unknown = tuple(dict.fromkeys((*left.because, *right.because)))
    if math.isnan(left.value) or math.isnan(right.value):
        return _Term(math.nan, text, unknown or (f"{text} = ?",), is_truth=True)
    shown = ", ".join(_found(term) for term in (left, right) if '"' in term.text)
    holds = _COMPARISONS[op](left.value, right.value)
    return _Term(float(holds), text, () if holds else (f"{text} ({shown})" if shown else text,), is_truth=True)


def _join(op: Op, left: _Term, right: _Term) -> _Term:
    a, b = (_truth(term.value) for term in (left, right))
    deciding = op is Op.OR  # the value that decides whatever the other is
    text = f"({left.text} {op.name.lower()} {right.text})"
    undecided = math.nan if None in (a, b) else float(not deciding)
    value = float(deciding) if deciding in (a, b) else undecided
    if _truth(value):
        return _Term(value, text, is_truth=True)
    hindering = [term for term, truth in ((left, a), (right, b)) if not truth]
    if value == 0.0 and op is Op.AND:  # what is not known hinders nothing where something is against it
        hindering = [term for term, truth in ((left, a), (right, b)) if truth is False]
    because = tuple(dict.fromkeys(one for term in hindering for one in term.because or (_found(term),)))
    return _Term(value, text, because, is_truth=True)
