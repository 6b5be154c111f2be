"""Calc actor: evaluates calculated points on each change set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scada.actors.base import Actor, Address
from scada.actors.messages import ApplyDerived, Changed
from scada.actors.mirror import Mirror
from scada.apps.calc.graph import CalcGraph
from scada.core.clock import Clock
from scada.model_cim.tables import ModelTables
from scada.rtdb.changes import Snapshot


class CalcActor(Actor):
    """Owns the graph of calculated points.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: the model.
        snapshot: takes a snapshot of the database.
        rtdb: gets the results.
        clock: stamps.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        snapshot: Callable[[], Snapshot],
        rtdb: Address,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._graph = CalcGraph(tables.points)
        self._mirror = Mirror(len(tables.points))
        self._snapshot = snapshot
        self._rtdb = rtdb
        self._clock = clock

    def started(self) -> None:
        """Evaluate everything once."""
        self._mirror.load(self._snapshot())
        batch = self._graph.evaluate_all(self._mirror.value, self._mirror.quality, self._clock.now_ns())
        if len(batch):
            self._rtdb.tell(ApplyDerived(batch))

    def receive(self, message: Any) -> Any:
        """Follow the database."""
        match message:
            case Changed(changes):
                pids = self._mirror.follow(changes)
                if len(pids):
                    batch = self._graph.evaluate(pids, self._mirror.value, self._mirror.quality, self._clock.now_ns())
                    if len(batch):
                        self._rtdb.tell(ApplyDerived(batch))
            case _:
                return super().receive(message)
        return None
