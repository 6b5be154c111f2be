"""Calculated points as one graph: parsed once, ordered by dependency, evaluated on change only.

The programs of all points lie in one array and one compiled kernel walks those that a change reaches, so that a large model costs
tens of nanoseconds an operation and no Python object a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from scada.apps.calc.expression import Expression, ExpressionError, Op, parse
from scada.core.batch import PointBatch, RecordFlag
from scada.core.ids import normalise_mrid
from scada.core.quality import BAD_MASK, Quality
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.tables import Point, PointKind

F8 = npt.NDArray[np.float64]
U4 = npt.NDArray[np.uint32]
I8 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SOURCE = "calc"
"""``PointBatch.source`` of everything calculated here."""

_EVENT_KINDS = frozenset({PointKind.STATUS, PointKind.DOUBLE, PointKind.TEXT_STATE})
_HELD = int(Quality.MANUAL | Quality.OPERATOR_BLOCKED)


def is_reserved(expression: str) -> bool:
    """True for expressions that another application fills: ``topology`` and ``agc.*``."""
    return expression.strip() == "topology" or expression.strip().startswith("agc.")


class CalcGraph:
    """All calculated points of one model version.

    A point whose expression cannot be used is left out with a :class:`~scada.model_cim.findings.Finding`; its value stays as the
    database has it (never received), and what depends on it is calculated as invalid. So is every point of a circle.

    Args:
        points: all points of the model, indexed by pid.

    Attributes:
        findings: what is wrong with the expressions, each with its point, column and mend.
        pids: pids calculated here, in order of evaluation.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        self.findings: list[Finding] = []
        self._points = points
        parsed = self._parse()
        order = self._order(parsed)
        self.pids: U4 = np.array(order, dtype=np.uint32)
        self._is_event = np.array([points[pid].kind in _EVENT_KINDS for pid in order], dtype=np.bool_)
        self._calc_of = np.full(len(points), -1, dtype=np.int64)
        self._calc_of[self.pids] = np.arange(len(order))
        self._link(order, parsed)
        self._value = np.full(len(order), np.nan)
        self._quality = np.full(len(order), int(Quality.NEVER_RECEIVED), dtype=np.uint32)
        self._held = np.zeros(len(order), dtype=np.bool_)

    def evaluate_all(self, values: F8, quality: U4, now_ns: int) -> PointBatch:
        """Evaluate every point, as after a start or a model change; all results are in the batch.

        Args:
            values: value column indexed by pid, NaN where none.
            quality: quality words indexed by pid.
            now_ns: ns UTC, the time stamp of the results.
        """
        self._note_holds(self.pids, quality)
        dirty = np.ones(len(self.pids), dtype=np.bool_)
        self._run(dirty, values, quality)
        return self._batch(np.flatnonzero(~self._held), now_ns)

    def evaluate(self, changed: U4, values: F8, quality: U4, now_ns: int) -> PointBatch:
        """Evaluate what the changed points reach; the batch holds the results that differ from the last ones.

        Changes of our own results (they come back in the change stream) are ignored, unless an operator holds such a point
        (manual, substituted, blocked): then what depends on it follows the held value.

        Args:
            changed: pids that changed, repeats allowed.
            values: value column indexed by pid, NaN where none.
            quality: quality words indexed by pid.
            now_ns: ns UTC, the time stamp of the results.
        """
        inside = changed[changed < len(self._points)]
        measured = inside[self._calc_of[inside] < 0]
        holds = self._note_holds(inside[self._calc_of[inside] >= 0], quality)
        dirty = np.zeros(len(self.pids), dtype=np.bool_)
        _mark(np.concatenate([measured, holds]), self._dependent_start, self._dependents, dirty)
        altered = self._run(dirty, values, quality)
        altered[self._calc_of[holds]] = True  # a released point takes its calculated value back
        return self._batch(np.flatnonzero(altered & ~self._held), now_ns)

    # ------------------------------------------------------------ construction

    def _find(self, pid: int, rule: str, text: str, hint: str) -> None:
        point = self._points[pid]
        self.findings.append(Finding("model", 0, Severity.ERROR, rule, text, point.mrid, point.path, hint))

    def _parse(self) -> dict[int, tuple[Expression, list[int]]]:
        """Expression and referenced pids of each usable calculated point."""
        by_path = {point.path: int(point.pid) for point in self._points}
        by_mrid = {point.mrid: int(point.pid) for point in self._points}
        parsed = {}
        for point in self._points:
            if not point.expression or is_reserved(point.expression):
                continue
            try:
                expression = parse(point.expression)
            except ExpressionError as error:
                self._find(point.pid, "calc.syntax", f"expression: {error}", error.mend or "see the expression language")
                continue
            found = [by_path.get(name, by_mrid.get(normalise_mrid(name), -1)) for name in expression.references]
            missing = [name for name, pid in zip(expression.references, found, strict=True) if pid < 0]
            for name in missing:
                self._find(
                    point.pid, "calc.unknown_point", f'no point "{name}"', "write the path or mRID of a point of the model"
                )
            if not missing:
                parsed[int(point.pid)] = (expression, found)
        return parsed

    def _order(self, parsed: dict[int, tuple[Expression, list[int]]]) -> list[int]:
        """Pids in dependency order (Kahn); the members of circles are left out with a finding that names the circle."""
        waits = {pid: {ref for ref in refs if ref in parsed} for pid, (_, refs) in parsed.items()}
        users: dict[int, list[int]] = {pid: [] for pid in parsed}
        for pid, refs in waits.items():
            for ref in refs:
                users[ref].append(pid)
        ready = [pid for pid in sorted(parsed) if not waits[pid]]
        order: list[int] = []
        while ready or len(order) < len(parsed):
            if not ready:
                ready = self._break_circle(waits, users, parsed)
                continue
            pid = ready.pop()
            order.append(pid)
            for user in users[pid]:
                if user in waits:
                    waits[user].discard(pid)
                    if not waits[user]:
                        ready.append(user)
            waits.pop(pid)
        return [pid for pid in order if pid in parsed]

    def _break_circle(
        self, waits: dict[int, set[int]], users: dict[int, list[int]], parsed: dict[int, tuple[Expression, list[int]]]
    ) -> list[int]:
        """Refuse the points of one circle; returns the points that no longer wait for anything."""
        path = [next(iter(sorted(waits)))]
        while path[-1] not in path[:-1]:
            path.append(min(waits[path[-1]]))
        circle = path[path.index(path[-1]) :]
        text = " -> ".join(self._points[pid].path for pid in circle)
        for pid in set(circle):
            self._find(pid, "calc.circle", f"circular expression: {text}", "let one of them use measured points only")
            parsed.pop(pid)
            waits.pop(pid)
        freed = []
        for pid in set(circle):
            for user in users[pid]:
                if user in waits and pid in waits[user]:
                    waits[user].discard(pid)
                    if not waits[user]:
                        freed.append(user)
        return freed

    def _link(self, order: list[int], parsed: dict[int, tuple[Expression, list[int]]]) -> None:
        """Lay all programs into one, references as pids, and list the points that each pid reaches (CSR)."""
        ops: list[int] = []
        arguments: list[float] = []
        start = [0]
        edges: set[tuple[int, int]] = set()
        for index, pid in enumerate(order):
            expression, refs = parsed[pid]
            for op, argument in expression.code:
                ops.append(op)
                arguments.append(float(refs[int(argument)]) if op in (Op.POINT, Op.GOOD) else argument)
            start.append(len(ops))
            edges.update((ref, index) for ref in refs)
        depth = max((parsed[pid][0].depth for pid in order), default=1)
        self._program = _Program(np.array(ops, np.uint8), np.array(arguments, np.float64), np.array(start, np.int64), depth)
        pairs = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
        self._dependents = np.ascontiguousarray(pairs[:, 1])
        self._dependent_start = np.searchsorted(pairs[:, 0], np.arange(len(self._points) + 1))

    # ------------------------------------------------------------ evaluation

    def _note_holds(self, calculated: U4, quality: U4) -> U4:
        """Remember which of our points an operator holds; returns those that are or just were held."""
        index = self._calc_of[calculated]
        held = (quality[calculated] & np.uint32(_HELD)) != 0
        moved: U4 = calculated[held | self._held[index]]
        self._held[index] = held
        return moved

    def _run(self, dirty: Mask, values: F8, quality: U4) -> Mask:
        altered = np.zeros(len(self.pids), dtype=np.bool_)
        _evaluate(
            self._program.ops,
            self._program.arguments,
            self._program.start,
            self._program.depth,
            self.pids,
            self._calc_of,
            self._held,
            self._dependent_start,
            self._dependents,
            dirty,
            values,
            quality,
            self._value,
            self._quality,
            altered,
        )
        return altered

    def _batch(self, index: I8, now_ns: int) -> PointBatch:
        batch = PointBatch.of(
            self.pids[index],
            self._value[index],
            received_at=now_ns,
            quality=self._quality[index],
            source_time=now_ns,
            source=SOURCE,
        )
        batch.records["flags"] = np.where(self._is_event[index], RecordFlag.EVENT, 0)
        return batch


class _Program(NamedTuple):
    """Programs of all points, laid end to end."""

    ops: npt.NDArray[np.uint8]
    arguments: F8
    start: I8
    depth: int


@njit(cache=True, nogil=True)
def _mark(pids: U4, start: I8, dependents: I8, dirty: Mask) -> None:
    for pid in pids:
        for k in range(start[pid], start[pid + 1]):
            dirty[dependents[k]] = True


_BAD = np.uint32(BAD_MASK)
_INVALID = np.uint32(Quality.INVALID)
_CALCULATED = np.uint32(Quality.CALCULATED)
_SUBSTITUTED = np.uint32(Quality.SUBSTITUTED)
_HELD_WORD = np.uint32(_HELD)
_NOTHING = np.uint32(0)
_CONST, _POINT, _GOOD = int(Op.CONST), int(Op.POINT), int(Op.GOOD)
_ADD, _SUB, _MUL, _DIV = int(Op.ADD), int(Op.SUB), int(Op.MUL), int(Op.DIV)
_NEG, _NOT, _ABS, _SQRT = int(Op.NEG), int(Op.NOT), int(Op.ABS), int(Op.SQRT)
_LT, _LE, _GT, _GE, _EQ, _NE = int(Op.LT), int(Op.LE), int(Op.GT), int(Op.GE), int(Op.EQ), int(Op.NE)
_AND, _OR, _IF, _MIN, _MAX = int(Op.AND), int(Op.OR), int(Op.IF), int(Op.MIN), int(Op.MAX)


@njit(cache=True, nogil=True)
def _unary(op: int, a: float) -> float:
    if op == _NEG:
        return -a
    if op == _ABS:
        return abs(a)
    if op == _NOT:
        return np.nan if np.isnan(a) else (1.0 if a == 0.0 else 0.0)
    return np.nan if a < 0.0 else np.sqrt(a)


@njit(cache=True, nogil=True)
def _binary(op: int, a: float, b: float) -> float:  # noqa: PLR0911, PLR0912 - one line an operation
    if np.isnan(a) or np.isnan(b):
        return np.nan
    if op == _ADD:
        return a + b
    if op == _SUB:
        return a - b
    if op == _MUL:
        return a * b
    if op == _DIV:
        return np.nan if b == 0.0 else a / b
    if op == _MIN:
        return min(a, b)
    if op == _MAX:
        return max(a, b)
    if op == _LT:
        return 1.0 * (a < b)
    if op == _LE:
        return 1.0 * (a <= b)
    if op == _GT:
        return 1.0 * (a > b)
    if op == _GE:
        return 1.0 * (a >= b)
    if op == _EQ:
        return 1.0 * (a == b)
    if op == _NE:
        return 1.0 * (a != b)
    if op == _AND:
        return 1.0 * (a != 0.0 and b != 0.0)
    return 1.0 * (a != 0.0 or b != 0.0)


@njit(cache=True, nogil=True)
def _evaluate(  # noqa: PLR0912 - one loop, so that it compiles to one kernel
    ops: npt.NDArray[np.uint8],
    arguments: F8,
    start: I8,
    depth: int,
    pids: U4,
    calc_of: I8,
    held: Mask,
    dependent_start: I8,
    dependents: I8,
    dirty: Mask,
    values: F8,
    quality: U4,
    own_value: F8,
    own_quality: U4,
    altered: Mask,
) -> None:
    """Run the dirty programs in order; a result that moved makes its dependents dirty. Results go to ``own_*``."""
    stack = np.empty(depth)
    words = np.empty(depth, np.uint32)
    for i in range(len(pids)):
        if not dirty[i]:
            continue
        top = -1
        for k in range(start[i], start[i + 1]):
            op = int(ops[k])
            if op == _CONST:
                top += 1
                stack[top], words[top] = arguments[k], _NOTHING
            elif op in (_POINT, _GOOD):
                top += 1
                pid = int(arguments[k])
                j = calc_of[pid]
                ours = j >= 0 and not held[j]
                value = own_value[j] if ours else values[pid]
                word = own_quality[j] if ours else quality[pid]
                if op == _POINT:
                    stack[top], words[top] = value, word
                else:
                    stack[top] = 1.0 if (word & _BAD) == 0 and not np.isnan(value) else 0.0
                    words[top] = _NOTHING
            elif op in (_NEG, _NOT, _ABS, _SQRT):
                stack[top] = _unary(op, stack[top])
            elif op == _IF:
                top -= 2
                chosen = top + 1 if stack[top] != 0.0 else top + 2
                words[top] |= words[chosen]
                stack[top] = np.nan if np.isnan(stack[top]) else stack[chosen]
            else:
                top -= 1
                stack[top] = _binary(op, stack[top], stack[top + 1])
                words[top] |= words[top + 1]
        value, word = stack[0], words[0] | _CALCULATED
        if word & _HELD_WORD:  # that a person holds an input makes the result a substituted one, not a held one
            word = (word & ~_HELD_WORD) | _SUBSTITUTED
        if not np.isfinite(value):
            value, word = np.nan, word | _INVALID
        same = word == own_quality[i] and (value == own_value[i] or (np.isnan(value) and np.isnan(own_value[i])))
        if same:
            continue
        own_value[i], own_quality[i], altered[i] = value, word, True
        pid = pids[i]
        if not held[i]:
            for k in range(dependent_start[pid], dependent_start[pid + 1]):
                dirty[dependents[k]] = True


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    graph, values, quality = CalcGraph([]), np.empty(0), np.empty(0, dtype=np.uint32)
    graph.evaluate_all(values, quality, 0)
    graph.evaluate(quality, values, quality, 0)
