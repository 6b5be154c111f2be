"""Calculated points as one graph: parsed once, ordered by dependency, evaluated on change, and on time where time moves them.

The programs of all points lie in one array and one compiled kernel walks those that a change reaches, so that a large model costs
tens of nanoseconds an operation and no Python object a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo

import numpy as np

from scada.apps.calc.calendar import Calendar
from scada.apps.calc.cells import Memory, Now, cell_key
from scada.apps.calc.kernel import F8, I8, U4, Columns, Mask, Program, Results, evaluate, mark
from scada.apps.calc.state import CalcState
from scada.core.batch import PointBatch, RecordFlag
from scada.core.ids import normalise_mrid
from scada.core.quality import HELD_MASK, Quality
from scada.expressions.calls import MemoryCall
from scada.expressions.language import Expression, ExpressionError, parse
from scada.expressions.operations import REFERRING, REMEMBERING
from scada.model_cim.cim import CimModel
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.tables import Point, PointKind

SOURCE = "calc"
"""``PointBatch.source`` of everything calculated here."""

_EVENT_KINDS = frozenset({PointKind.STATUS, PointKind.DOUBLE, PointKind.TEXT_STATE})


def is_reserved(expression: str) -> bool:
    """True for expressions that another application fills: ``topology`` and ``agc.*``."""
    return expression.strip() == "topology" or expression.strip().startswith("agc.")


def expression_findings(model: CimModel, points: Sequence[Point]) -> list[Finding]:
    """What is wrong with the expressions of a model, each at the file and line where it is written."""
    prop = "sc:MeasurementValue.expression"
    found = CalcGraph(points).findings
    return [model.finding(one.severity, one.rule, one.mrid, one.text, one.hint, prop=prop) for one in found]


class CalcGraph:
    """All calculated points of one model version.

    A point whose expression cannot be used is left out with a :class:`~scada.model_cim.findings.Finding`; its value stays as the
    database has it (never received), and what depends on it is calculated as invalid. So is every point of a circle.

    The graph does not look at a clock. What remembers (totals, windows) goes on by :meth:`elapse` for time in which the inputs
    were watched and by :meth:`lose` for time in which they were not.

    Args:
        points: all points of the model, indexed by pid.
        zone: time zone in which hours, days, months and years begin.

    Attributes:
        findings: what is wrong with the expressions, each with its point, column and mend.
        pids: pids calculated here, in order of evaluation.
        timed: pids of those whose value moves without a change of their inputs.
        memory: cells of the functions with memory.
    """

    def __init__(self, points: Sequence[Point], zone: tzinfo = UTC) -> None:
        self.findings: list[Finding] = []
        self._points = points
        self._calendar = Calendar(zone)
        parsed = self._parse()
        order = self._order(parsed)
        self.pids: U4 = np.array(order, dtype=np.uint32)
        self._is_event = np.array([points[pid].kind in _EVENT_KINDS for pid in order], dtype=np.bool_)
        self._is_timed = np.array([parsed[pid][0].timed for pid in order], dtype=np.bool_)
        self.timed: U4 = self.pids[self._is_timed]
        self._link(order, parsed)
        self._needed = self._ancestors(order, parsed)
        self._elapsed = 0
        count = len(order)
        never = np.full(count, int(Quality.NEVER_RECEIVED), dtype=np.uint32)
        self._results = Results(np.full(count, np.nan), never, np.zeros(count, np.int64), np.zeros(count, np.bool_))
        self._no_times = np.zeros(len(points), dtype=np.int64)

    def evaluate_all(self, values: F8, quality: U4, now_ns: int, times: I8 | None = None) -> PointBatch:
        """Evaluate every point, as after a start or a model change; all results are in the batch.

        Args:
            values: value column indexed by pid, NaN where none.
            quality: quality words indexed by pid.
            now_ns: ns UTC.
            times: ns UTC of each value, 0 = not known; without it results have no source time.
        """
        self._note_holds(self.pids, quality)
        self._run(np.ones(len(self.pids), dtype=np.bool_), self._columns(values, quality, times), now_ns)
        return self._batch(np.flatnonzero(~self._results.held), now_ns)

    def succeed(self, before: CalcGraph, state: CalcState) -> None:
        """Go on where the graph of another model version stands.

        Args:
            before: that graph.
            state: what it remembers now.
        """
        self.forget(self.restore(state))
        places = {int(pid): place for place, pid in enumerate(before.pids)}
        both = np.array([(i, places[pid]) for i, pid in enumerate(self.pids.tolist()) if pid in places], dtype=np.int64)
        here, there = both.reshape(-1, 2).T
        mine, theirs = self._results, before._results
        mine.value[here], mine.quality[here] = theirs.value[there], theirs.quality[there]
        mine.time[here], mine.held[here] = theirs.time[there], theirs.held[there]

    def evaluate_again(self, values: F8, quality: U4, now_ns: int, times: I8) -> PointBatch:
        """Evaluate every point after :meth:`succeed`; the batch holds the results that differ from the last ones."""
        self._note_holds(self.pids, quality)
        altered = self._run(np.ones(len(self.pids), dtype=np.bool_), self._columns(values, quality, times), now_ns)
        return self._batch(np.flatnonzero(altered & ~self._results.held), now_ns)

    def results_of(self, pids: Iterable[int], now_ns: int) -> PointBatch:
        """The last results of these points, those that an operator holds left out; others than ours are passed over."""
        return self._batch(np.flatnonzero(np.isin(self.pids, list(pids)) & ~self._results.held), now_ns)

    def evaluate(self, changed: U4, values: F8, quality: U4, now_ns: int, times: I8 | None = None) -> PointBatch:
        """Evaluate what the changed points reach; the batch holds the results that differ from the last ones.

        Changes of our own results (they come back in the change stream) are ignored, unless an operator holds such a point
        (manual, substituted, blocked): then what depends on it follows the held value.

        Args:
            changed: pids that changed, repeats allowed.
            values: value column indexed by pid, NaN where none.
            quality: quality words indexed by pid.
            now_ns: ns UTC.
            times: ns UTC of each value, as for :meth:`evaluate_all`.
        """
        inside = changed[changed < len(self._points)]
        calc_of = self._program.calc_of
        measured = inside[calc_of[inside] < 0]
        holds = self._note_holds(inside[calc_of[inside] >= 0], quality)
        dirty = np.zeros(len(self.pids), dtype=np.bool_)
        mark(np.concatenate([measured, holds]), self._program.dependent_start, self._program.dependents, dirty)
        altered = self._run(dirty, self._columns(values, quality, times), now_ns)
        altered[calc_of[holds]] = True  # a released point takes its calculated value back
        return self._batch(np.flatnonzero(altered & ~self._results.held), now_ns)

    def evaluate_timed(self, values: F8, quality: U4, now_ns: int, times: I8 | None = None) -> PointBatch:
        """Evaluate what moves with time alone and what depends on it; the batch holds the results that differ.

        Args:
            values: value column indexed by pid, NaN where none.
            quality: quality words indexed by pid.
            now_ns: ns UTC.
            times: ns UTC of each value, as for :meth:`evaluate_all`.
        """
        altered = self._run(self._is_timed.copy(), self._columns(values, quality, times), now_ns)
        return self._batch(np.flatnonzero(altered & ~self._results.held), now_ns)

    # ------------------------------------------------------------ time and memory

    @property
    def remembers(self) -> bool:
        """True if any expression has a function with memory."""
        return len(self._keys) > 0

    def elapse(self, ns: int) -> None:
        """``ns`` passed in which the inputs held the values of the last evaluation; takes effect at the next one."""
        self._elapsed += ns

    def lose(self, ns: int) -> None:
        """``ns`` passed in which nobody watched the inputs: counted as missing, not integrated."""
        self.memory.lose(max(ns, 0))

    def state(self, seq: int, wall_ns: int, values: F8, quality: U4, times: I8) -> CalcState:
        """Everything that must be kept to go on after a restart, as of one change of the database.

        Args:
            seq: last change that was evaluated.
            wall_ns: ns UTC of the last evaluation.
            values: value column of that evaluation.
            quality: its quality words.
            times: its times.
        """
        pids, memory = self._needed, self.memory
        return CalcState(
            seq,
            wall_ns,
            self._elapsed,
            self._keys,
            memory.specs["slots"].copy(),
            memory.cells.copy(),
            memory.ring.copy(),
            pids,
            values[pids],
            quality[pids],
            times[pids],
        )

    def restore(self, state: CalcState) -> Mask:
        """Take over the cells of calls that are still there; returns the mask of the others, which are new."""
        self._elapsed = state.elapsed_ns
        kept = {key.tobytes(): index for index, key in enumerate(state.keys)}
        old = np.array([kept.get(key.tobytes(), -1) for key in self._keys], dtype=np.int64)
        known = np.flatnonzero(old >= 0)
        self.memory.cells[known] = state.cells[old[known]]
        ends = 2 * np.cumsum(state.slots, dtype=np.int64)
        for index in known[self.memory.specs["slots"][known] > 0]:
            end = ends[old[index]]
            self.memory.ring[self.memory.window(index)] = state.ring[end - 2 * state.slots[old[index]] : end]
        return old < 0

    def forget(self, cells: Mask) -> None:
        """Begin these cells anew at the next evaluation."""
        self.memory.cells[cells] = np.zeros((), dtype=self.memory.cells.dtype)
        self.memory.cells["at"][cells] = -1

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
        calls: list[MemoryCall] = []
        keys: list[bytes] = []
        for index, pid in enumerate(order):
            expression, refs = parsed[pid]
            for op, argument in expression.code:
                ops.append(op)
                if op in REFERRING:
                    arguments.append(float(refs[int(argument)]))
                else:
                    arguments.append(argument + len(calls) if op in REMEMBERING else argument)
            start.append(len(ops))
            edges.update((ref, index) for ref in refs)
            seen: Counter[str] = Counter()
            for call in expression.memory:
                keys.append(cell_key(self._points[pid].mrid, call.text, seen[call.text]))
                seen[call.text] += 1
            calls.extend(expression.memory)
        depth = max((parsed[pid][0].depth for pid in order), default=1)
        pairs = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
        calc_of = np.full(len(self._points), -1, dtype=np.int64)
        calc_of[self.pids] = np.arange(len(order))
        self._program = Program(
            np.array(ops, np.uint8),
            np.array(arguments, np.float64),
            np.array(start, np.int64),
            depth,
            self.pids,
            calc_of,
            np.searchsorted(pairs[:, 0], np.arange(len(self._points) + 1)),
            np.ascontiguousarray(pairs[:, 1]),
        )
        self.memory = Memory.of(calls)
        self._keys = np.frombuffer(b"".join(keys), dtype="V16")

    def _ancestors(self, order: list[int], parsed: dict[int, tuple[Expression, list[int]]]) -> U4:
        """Points that a program with memory reads, directly or through others."""
        needed: set[int] = set()
        for pid in reversed(order):
            expression, refs = parsed[pid]
            if expression.memory or pid in needed:
                needed.update(refs)
        return np.array(sorted(needed), dtype=np.uint32)

    # ------------------------------------------------------------ evaluation

    def _columns(self, values: F8, quality: U4, times: I8 | None) -> Columns:
        return Columns(values, quality, self._no_times if times is None else times)

    def _note_holds(self, calculated: U4, quality: U4) -> U4:
        """Remember which of our points an operator holds; returns those that are or just were held."""
        index = self._program.calc_of[calculated]
        held = (quality[calculated] & np.uint32(HELD_MASK)) != 0
        moved: U4 = calculated[held | self._results.held[index]]
        self._results.held[index] = held
        return moved

    def _run(self, dirty: Mask, columns: Columns, now_ns: int) -> Mask:
        altered = np.zeros(len(self.pids), dtype=np.bool_)
        now = Now(self._elapsed, now_ns, *self._calendar.around(now_ns))
        evaluate(self._program, columns, self._results, self.memory, now, dirty, altered)
        return altered

    def _batch(self, index: I8, now_ns: int) -> PointBatch:
        batch = PointBatch.of(
            self.pids[index],
            self._results.value[index],
            received_at=now_ns,
            quality=self._results.quality[index],
            source_time=self._results.time[index],
            source=SOURCE,
        )
        batch.records["flags"] = np.where(self._is_event[index], RecordFlag.EVENT, 0)
        return batch


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    graph, values, quality = CalcGraph([]), np.empty(0), np.empty(0, dtype=np.uint32)
    graph.evaluate_all(values, quality, 0)
    graph.evaluate(quality, values, quality, 0)
    graph.evaluate_timed(values, quality, 0)
