"""Keeps what calculated points remember over restarts: the last state, brought forward from the journal."""

from __future__ import annotations

from scada.actors.mirror import Mirror
from scada.apps.calc.graph import CalcGraph
from scada.apps.calc.state import CalcFile, CalcState
from scada.core.clock import NS_PER_S, Clock
from scada.rtdb.changes import GapError
from scada.rtdb.store import Store

CONSUMER = "calc"
"""Our name among the consumers of the journal."""
LONGEST_STEP_NS = 30 * NS_PER_S
"""A longer time without an evaluation was not watched: it is missing, not integrated."""


class CalcKeeper:
    """Restores, brings forward and saves the memory of a graph. It outlives the actor that uses it.

    **Exactly once.** A state stands for one sequence number. What came after it is taken from the journal and evaluated again as
    of its commits, so that a crash neither loses nor doubles an increase. Only the time between the last commit before the end
    and the first moment after it is not known; it is counted as missing, so that totals are questionable until their period ends.

    Args:
        file: holds the state.
        store: the database.
    """

    def __init__(self, file: CalcFile, store: Store) -> None:
        self._file = file
        self._store = store
        self._lives = 0

    def resume(self, graph: CalcGraph, size: int, until: int, clock: Clock) -> GapError | None:
        """Bring a new graph to the state after change ``until``.

        Args:
            graph: not evaluated yet.
            size: number of points.
            until: sequence number of the snapshot from which the actor goes on.
            clock: read when all this is done: the time it takes was not watched either.

        Returns:
            What the journal does not hold any more, None if nothing. The time it covers is missing then.
        """
        first, self._lives = self._lives == 0, self._lives + 1
        state = self._file.load()
        self._store.register(CONSUMER, until if state is None else min(state.seq, until))
        if state is None:
            return None
        fresh = graph.restore(state)
        mirror = _mirror_of(state, size)
        graph.evaluate_all(mirror.value, mirror.quality, state.wall_ns, mirror.time)
        wall, gap = self._replay(graph, mirror, until, state.wall_ns)
        step = clock.now_ns() - wall
        if first or gap or step > LONGEST_STEP_NS:
            graph.lose(max(step, 1))
        else:
            graph.elapse(max(step, 0))
        graph.forget(fresh)
        return gap

    def _replay(self, graph: CalcGraph, mirror: Mirror, until: int, wall: int) -> tuple[int, GapError | None]:
        try:
            for change in self._store.changes(mirror.seq):
                if change.first > until:
                    break
                step = max(change.committed_at - wall, 0)
                if step > LONGEST_STEP_NS or change.is_restart:
                    graph.lose(max(step, 1))
                else:
                    graph.elapse(step)
                pids = mirror.follow(change)
                graph.evaluate(pids, mirror.value, mirror.quality, change.committed_at, mirror.time)
                wall = change.committed_at
        except GapError as gap:
            return wall, gap
        return wall, None

    def begin(self, seq: int) -> None:
        """A graph that remembers takes over, in service, from one that did not: keep the journal from here on."""
        self._store.register(CONSUMER, seq)

    def end(self) -> None:
        """A graph that does not remember takes over: the journal is no longer kept for it."""
        self._store.unregister(CONSUMER)

    def save(self, graph: CalcGraph, mirror: Mirror, wall_ns: int) -> None:
        """Keep the state as of what ``mirror`` stands at.

        Raises:
            StoreError: it cannot be written; the one before stands, and the journal leads on from there.
        """
        self._file.save(graph.state(mirror.seq, wall_ns, mirror.value, mirror.quality, mirror.time))
        self._store.acknowledge(CONSUMER, mirror.seq)


def _mirror_of(state: CalcState, size: int) -> Mirror:
    mirror = Mirror(size)
    known = state.pids < size
    pids = state.pids[known]
    mirror.seq = state.seq
    mirror.value[pids], mirror.quality[pids], mirror.time[pids] = state.value[known], state.quality[known], state.time[known]
    return mirror
