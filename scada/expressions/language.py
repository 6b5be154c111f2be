"""The expression language: a tokenizer and a recursive-descent parser that emit a postfix program.

Nothing of Python is evaluated. Grammar, loosest binding first::

    or        = and {"or" and}
    and       = not {"and" not}
    not       = "not" not | comparison
    comparison= sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
    sum       = term {("+" | "-") term}
    term      = unary {("*" | "/") unary}
    unary     = "-" unary | power
    power     = primary ["^" unary]
    primary   = number | "point" | name "(" or {"," or} ")" | "(" or ")"

A point is its path or mRID in double quotes. Functions: ``sum min max avg count_good first_good`` (one or more arguments),
``abs sqrt exp ln`` (one), ``round(x, digits)``, ``limit(x, low, high)``, ``if(condition, then, else)``, the tests of a point
``good bad manual old age_s`` and the functions with memory of :mod:`scada.expressions.calls`, ``previous(...)`` of one of them.
Truth is 1 and 0; any number but 0 is true.

Meaning of missing numbers: an operation with an unknown operand, a division by zero or the root of a negative number is unknown
(NaN), and a comparison with an unknown operand is unknown, not false. ``if`` and ``first_good`` take only the branch they chose,
in value and quality.

Conditions (interlocks, programmes) know three tests more, of an equipment instead of a point: ``closed energised earthed``; and
none of the functions with memory, nor ``age_s``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scada.core.errors import ScadaError
from scada.expressions.calls import LONGEST_S, PERIODS, SIGNATURES, UNITS, MemoryCall, Signature, make_call
from scada.expressions.operations import REMEMBERING, Op

MAX_LENGTH = 100_000
MAX_DEPTH = 40


class ExpressionError(ScadaError):
    """An expression cannot be read. ``where`` names the column (1-based)."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    Attributes:
        text: what was parsed.
        code: postfix program of (operation, argument); the argument is the constant of ``CONST`` and the index into
            ``references`` of ``POINT`` and the tests, into ``memory`` of ``MEMORY`` and ``PREVIOUS``.
        references: quoted names, each once, in order of first use.
        depth: largest number of operands that stand on the stack at once.
        memory: calls that remember, in order.
        timed: its value moves without a change of its inputs.
        equipment: quoted names of equipment, as ``references``.
    """

    text: str
    code: tuple[tuple[Op, float], ...]
    references: tuple[str, ...]
    depth: int
    memory: tuple[MemoryCall, ...] = ()
    timed: bool = False
    equipment: tuple[str, ...] = ()


_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<string>"[^"]*")
  | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
  | (?P<sign><=|>=|==|!=|[-+*/^(),<>])
  )""",
    re.VERBOSE,
)

_COMPARISONS = {"<": Op.LT, "<=": Op.LE, ">": Op.GT, ">=": Op.GE, "==": Op.EQ, "!=": Op.NE}
_SUMS = {"+": Op.ADD, "-": Op.SUB}
_TERMS = {"*": Op.MUL, "/": Op.DIV}
_FOLDS = {"sum": Op.ADD, "avg": Op.ADD, "min": Op.MIN, "max": Op.MAX}
_UNARY = {"abs": Op.ABS, "sqrt": Op.SQRT, "exp": Op.EXP, "ln": Op.LN}
_TESTS = {"good": Op.GOOD, "bad": Op.BAD, "manual": Op.MANUAL, "old": Op.OLD, "age_s": Op.AGE}
_OF_MANY = {"first_good": Op.FIRST_GOOD, "count_good": Op.COUNT_GOOD}
_SWITCHGEAR = {"closed": Op.CLOSED, "energised": Op.ENERGISED, "earthed": Op.EARTHED}
_FUNCTIONS = (*_FOLDS, *_OF_MANY, *_UNARY, *_TESTS, "round", "limit", "if", "previous", *SIGNATURES)
_MOST_DIGITS = 12


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


def parse(text: str) -> Expression:
    """Parse an expression.

    >>> parse('0.5 * abs("East/G1/P")').references
    ('East/G1/P',)

    Raises:
        ExpressionError: saying what was expected, at which column.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters", where="column 1", mend="split it over several points")
    return _Parser(text).run()


def _tokens(text: str) -> list[_Token]:
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            what = "a quoted name that does not end" if text[at] == '"' else f"a stray {text[at]!r}"
            raise ExpressionError(what, where=f"column {at + 1}", mend='points are written "in double quotes"')
        tokens.append(_Token(match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup) + 1))
        at = match.end()
    tokens.append(_Token("end", "", len(text) + 1))
    return tokens


def parse_condition(text: str) -> Expression:
    """Parse a condition: an expression without memory, with the tests of equipment.

    >>> parse_condition('closed("East/110kV/1101") and "East/P" < 5').equipment
    ('East/110kV/1101',)

    Raises:
        ExpressionError: as :func:`parse`, or a function that a condition does not have.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters", where="column 1", mend="shorten it")
    expression = _Parser(text, condition=True).run()
    if expression.timed or expression.memory:
        raise ExpressionError(
            "a condition has no functions of time", where="column 1", mend="make a calculated point of them and name that point"
        )
    return expression


class _Parser:
    """Emits the program while it descends; ``_height`` follows the height of the operand stack."""

    def __init__(self, text: str, *, condition: bool = False) -> None:
        self._text = text
        self._condition = condition
        self._equipment: dict[str, int] = {}
        self._tokens = _tokens(text)
        self._at = 0
        self._nesting = 0
        self._code: list[tuple[Op, float]] = []
        self._references: dict[str, int] = {}
        self._memory: list[MemoryCall] = []
        self._height = 0
        self._depth = 0

    def run(self) -> Expression:
        self._or()
        if self._token.kind != "end":
            raise self._error("the end or an operator")
        timed = any(op in REMEMBERING or op is Op.AGE for op, _ in self._code)
        return Expression(
            self._text,
            tuple(self._code),
            tuple(self._references),
            self._depth,
            tuple(self._memory),
            timed,
            tuple(self._equipment),
        )

    @property
    def _token(self) -> _Token:
        return self._tokens[self._at]

    def _error(self, wanted: str) -> ExpressionError:
        token = self._token
        found = f"{token.text!r}" if token.kind != "end" else "the end"
        return ExpressionError(f"expected {wanted}, found {found}", where=f"column {token.column}")

    def _take(self, *texts: str) -> str:
        """Consume the next token if it is one of ``texts`` and not a quoted name; else return an empty text."""
        token = self._token
        if token.kind in ("sign", "name") and token.text in texts:
            self._at += 1
            return token.text
        return ""

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._error(f"{text!r}")

    def _emit(self, op: Op, argument: float = 0.0, *, pops: int) -> None:
        self._code.append((op, argument))
        self._height += 1 - pops
        self._depth = max(self._depth, self._height)

    def _chain(self, operand: Callable[[], None], operators: dict[str, Op]) -> None:
        operand()
        while sign := self._take(*operators):
            operand()
            self._emit(operators[sign], pops=2)

    def _or(self) -> None:
        self._nesting += 1
        if self._nesting > MAX_DEPTH:
            raise ExpressionError(f"nested deeper than {MAX_DEPTH}", where=f"column {self._token.column}", mend="split it")
        self._chain(self._and, {"or": Op.OR})
        self._nesting -= 1

    def _and(self) -> None:
        self._chain(self._not, {"and": Op.AND})

    def _not(self) -> None:
        inversions = 0
        while self._take("not"):
            inversions += 1
        self._comparison()
        for _ in range(inversions):
            self._emit(Op.NOT, pops=1)

    def _comparison(self) -> None:
        self._sum()
        if sign := self._take(*_COMPARISONS):
            self._sum()
            self._emit(_COMPARISONS[sign], pops=2)
            if self._token.text in _COMPARISONS and self._token.kind == "sign":
                raise ExpressionError(
                    "comparisons cannot be chained", where=f"column {self._token.column}", mend="join two with 'and'"
                )

    def _sum(self) -> None:
        self._chain(self._term, _SUMS)

    def _term(self) -> None:
        self._chain(self._unary, _TERMS)

    def _unary(self) -> None:
        # a loop, not a recursion: 2 ^ -3 ^ 2 is 2 ^ (-(3 ^ 2)), and a hostile chain may be long
        negations = [self._negations()]
        self._primary()
        while self._take("^"):
            negations.append(self._negations())
            self._primary()
        while True:
            for _ in range(negations.pop()):
                self._emit(Op.NEG, pops=1)
            if not negations:
                return
            self._emit(Op.POW, pops=2)

    def _negations(self) -> int:
        count = 0
        while self._take("-"):
            count += 1
        return count

    def _primary(self) -> None:
        token = self._token
        if token.kind == "number":
            self._at += 1
            self._emit(Op.CONST, float(token.text), pops=0)
        elif token.kind == "string":
            self._emit(Op.POINT, self._reference(), pops=0)
        elif token.kind == "name" and token.text in self._functions:
            self._at += 1
            self._call(token.text)
        elif self._take("("):
            self._or()
            self._expect(")")
        else:
            known = ", ".join(self._functions)
            raise self._error(f"a number, a quoted point, '(' or a function ({known})")

    @property
    def _functions(self) -> tuple[str, ...]:
        return (*_FUNCTIONS, *_SWITCHGEAR) if self._condition else _FUNCTIONS

    def _reference(self) -> int:
        return self._references.setdefault(self._quoted("a quoted point"), len(self._references))

    def _quoted(self, wanted: str) -> str:
        token = self._token
        name = token.text.strip('"').strip()
        if token.kind != "string" or not name:
            raise self._error(wanted)
        self._at += 1
        return name

    def _call(self, name: str) -> None:
        begin = self._at - 1
        self._expect("(")
        if name in _TESTS:
            self._emit(_TESTS[name], self._reference(), pops=0)
        elif name in _SWITCHGEAR:
            place = self._equipment.setdefault(self._quoted("a quoted equipment"), len(self._equipment))
            self._emit(_SWITCHGEAR[name], place, pops=0)
        elif name in ("if", "limit"):
            self._three(name)
        elif name in _UNARY:
            self._or()
            self._emit(_UNARY[name], pops=1)
        elif name in _OF_MANY:
            count = self._arguments()
            self._emit(_OF_MANY[name], float(count), pops=count)
        elif name == "round":
            self._or()
            self._emit(Op.ROUND, self._number(0, _MOST_DIGITS, "digits", whole=True) if self._take(",") else 0.0, pops=1)
        elif name == "previous":
            self._previous()
        elif name in SIGNATURES:
            self._remember(SIGNATURES[name], begin)
            return
        else:
            self._fold(name)
        self._expect(")")

    def _arguments(self) -> int:
        self._or()
        count = 1
        while self._take(","):
            self._or()
            count += 1
        return count

    def _three(self, name: str) -> None:
        self._or()
        for following in (Op.MAX, Op.MIN):
            self._expect(",")
            self._or()
            if name == "limit":
                self._emit(following, pops=2)
        if name == "if":
            self._emit(Op.IF, pops=3)

    def _fold(self, name: str) -> None:
        self._or()
        count = 1
        while self._take(","):
            self._or()
            self._emit(_FOLDS[name], pops=2)
            count += 1
        if name == "avg":
            self._emit(Op.CONST, float(count), pops=0)
            self._emit(Op.DIV, pops=2)

    # ------------------------------------------------------------ memory

    def _previous(self) -> None:
        token = self._token
        if token.kind != "name" or token.text not in SIGNATURES:
            raise self._error("a function that starts anew by a period")
        self._at += 1
        self._call(token.text)
        if not self._memory[-1].period:
            raise ExpressionError(
                "it has no period to look back to", where=f"column {token.column}", mend="add hour, day or month"
            )
        self._emit(Op.PREVIOUS, float(len(self._memory) - 1), pops=1)

    def _remember(self, signature: Signature, begin: int) -> None:
        self._or()
        given: dict[str, float] = {}
        for what in signature.takes:
            if what.endswith("?"):
                if not self._take(","):
                    break
            else:
                self._expect(",")
            self._literal(what.rstrip("?"), given)
        self._expect(")")
        text = " ".join(token.text for token in self._tokens[begin : self._at])
        self._emit(Op.MEMORY, float(len(self._memory)), pops=1)
        self._memory.append(make_call(signature, text, given))

    def _literal(self, what: str, given: dict[str, float]) -> None:
        column = self._token.column
        if what == "unit":
            given["unit"] = UNITS[self._word(UNITS, "a unit of time")]
        elif what == "period" or (what == "span" and self._token.kind == "name"):
            given["period"] = float(PERIODS[self._word(PERIODS, "a period")])
        elif what == "seconds":
            given["seconds"] = self._number(1.0, LONGEST_S, "seconds")
        elif what in ("span", "interval"):
            minutes = given["minutes"] = self._number(1.0, LONGEST_S / 60.0, "minutes")
            if what == "interval" and 60.0 % minutes:
                raise ExpressionError("the interval must divide the hour", where=f"column {column}", mend="e.g. 15, 30 or 60")
        else:
            given[what] = self._number(0.0, float("inf"), what)

    def _word(self, known: Iterable[str], wanted: str) -> str:
        for word in known:
            if self._take(word):
                return word
        raise self._error(f"{wanted} ({', '.join(known)})")

    def _number(self, least: float, most: float, what: str, *, whole: bool = False) -> float:
        token = self._token
        value = float(token.text) if token.kind == "number" else -1.0
        if not least <= value <= most or (whole and value % 1.0):
            raise self._error(f"{what}, a {'whole ' if whole else ''}number from {least:g} to {most:g}")
        self._at += 1
        return value
