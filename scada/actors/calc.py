"""Calc actor: evaluates calculated points on each change set, and each second those that time moves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, tzinfo
from typing import Any

import structlog

from scada.actors.base import Actor, Address
from scada.actors.calc_keeper import LONGEST_STEP_NS, CalcKeeper
from scada.actors.messages import ApplyDerived, Changed, ModelChanged, Report, ShowAgain, Tick
from scada.actors.mirror import Mirror
from scada.apps.calc.elapsed import Elapsed
from scada.apps.calc.graph import CalcGraph
from scada.core.batch import PointBatch
from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import StoreError
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, ModelTables
from scada.rtdb.changes import Snapshot

_log = structlog.get_logger("calc")

TICK_S = 1.0
"""How often what moves with time is evaluated."""
SAVE_S = 10.0
"""How often what is remembered is kept; the journal covers the time between."""


class CalcActor(Actor):
    """Owns the graph of calculated points.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: the model.
        snapshot: takes a snapshot of the database.
        rtdb: gets the results.
        events: told when what is remembered cannot be kept, or could not be brought forward.
        clock: time.
        zone: where hours, days and months begin.
        keeper: keeps what functions with memory remember; without it they begin anew with each life.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        snapshot: Callable[[], Snapshot],
        rtdb: Address,
        events: Address,
        clock: Clock,
        zone: tzinfo = UTC,
        keeper: CalcKeeper | None = None,
    ) -> None:
        super().__init__(address, failed)
        self._graph = CalcGraph(tables.points, zone)
        self._mirror = Mirror(len(tables.points))
        self._snapshot = snapshot
        self._rtdb = rtdb
        self._events = events
        self._clock = clock
        self._kept = keeper
        self._keeper = keeper if self._graph.remembers else None
        self._elapsed = Elapsed(clock)
        self._wall = self._timed_at = clock.now_ns()
        self._save_at = clock.monotonic() + SAVE_S
        self._fault = ""

    def started(self) -> None:
        """Bring what is remembered up to the present, then evaluate everything once."""
        graph, mirror = self._graph, self._mirror
        mirror.load(self._snapshot())
        if self._keeper is not None:
            gap = self._keeper.resume(graph, len(mirror.value), mirror.seq, self._clock)
            if gap is not None:
                _log.warning("totals have a gap: the journal does not reach back to them", reason=str(gap))
                self._tell("calc.gap", AlarmClass.ABNORMAL, 2, {"reason": str(gap)})
        self._elapsed = Elapsed(self._clock)
        self._wall = self._timed_at = self._clock.now_ns()
        self._send(graph.evaluate_all(mirror.value, mirror.quality, self._wall, mirror.time))
        self._save()

    def stopped(self) -> None:
        """Keep what is remembered as of now."""
        self._look()
        self._save()

    def receive(self, message: Any) -> Any:
        """Follow the database and the time."""
        match message:
            case Changed(changes):
                if changes.last > self._mirror.seq:
                    self._pass(self._elapsed.to(changes.committed_at))
                    self._wall = changes.committed_at
                    pids = self._mirror.follow(changes)
                    self._send(self._graph.evaluate(pids, *self._columns(), self._wall, self._mirror.time))
                    if self._wall - self._timed_at >= TICK_S * NS_PER_S:
                        self._evaluate_timed()
            case ModelChanged():
                self._adopt(message)
            case ShowAgain(pids):
                self._send(self._graph.results_of(pids, self._clock.now_ns()))
            case Tick():
                if self._mailbox.empty():  # else change sets from before now wait and bring their own time
                    self._look()
                if self._clock.monotonic() >= self._save_at:
                    self._save()
            case _:
                return super().receive(message)
        return None

    def _adopt(self, changed: ModelChanged) -> None:
        """Go on with the graph of another model version; what expressions that it shares remember goes on."""
        graph, mirror = changed.calculation, self._mirror
        mirror.grow(len(changed.generation.tables.points))
        state = self._graph.state(mirror.seq, self._wall, mirror.value, mirror.quality, mirror.time)
        graph.succeed(self._graph, state)
        before, self._graph = self._keeper, graph
        self._keeper = self._kept if graph.remembers else None
        if self._keeper is not None and before is None:
            self._keeper.begin(mirror.seq)
        elif self._keeper is None and before is not None:
            before.end()
        self._send(graph.evaluate_again(*self._columns(), self._wall, mirror.time))
        self._save()

    def _columns(self) -> tuple[Any, Any]:
        return self._mirror.value, self._mirror.quality

    def _look(self) -> None:
        """Evaluate what moves with time, as of now."""
        self._wall, ns, was_set = self._elapsed.now()
        self._pass(ns)
        self._evaluate_timed()
        if was_set:
            self._save()  # so that a replay of the journal does not step over the jump

    def _evaluate_timed(self) -> None:
        self._timed_at = self._wall
        if len(self._graph.timed):
            self._send(self._graph.evaluate_timed(*self._columns(), self._wall, self._mirror.time))

    def _pass(self, ns: int) -> None:
        if ns > LONGEST_STEP_NS:
            _log.warning("nobody watched for a while: missing from totals", seconds=ns / NS_PER_S)
            self._graph.lose(ns)
        else:
            self._graph.elapse(ns)

    def _send(self, batch: PointBatch) -> None:
        if len(batch):
            self._rtdb.tell(ApplyDerived(batch))

    def _save(self) -> None:
        self._save_at = self._clock.monotonic() + SAVE_S
        if self._keeper is None:
            return
        try:
            self._keeper.save(self._graph, self._mirror, self._wall)
        except StoreError as error:
            if not self._fault:
                _log.error("totals cannot be kept", cause=str(error))
                self._tell("calc.fault", AlarmClass.ACCIDENT, 1, {"reason": str(error)})
            self._fault = str(error)
            return
        if self._fault:
            self._tell("calc.recovered", AlarmClass.NOTICE, 3, {"reason": self._fault})
        self._fault = ""

    def _tell(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str]) -> None:
        event = Event(self._clock.now_ns(), EventKind.SYSTEM, alarm_class, priority, key, parameters)
        self._events.tell(Report((event,)))
