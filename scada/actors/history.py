"""History actor: owns the history of samples; takes every change set in, answers queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.messages import Changed, ModelChanged, Report, Tick
from scada.actors.order_messages import HistoryAsked
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.quality import is_good
from scada.events.records import Event, EventKind
from scada.history.connection import ArchiveError
from scada.history.interface import Aggregates, Answers, Historian, HistorianStatus, LateColumns
from scada.model_cim.tables import AlarmClass, ModelTables
from scada.rtdb.changes import ChangeSet, GapError
from scada.rtdb.store import Store

_log = structlog.get_logger("history")

CONSUMER = "history"
"""Name under which the journal is kept for the history."""
MAX_BUCKETS = 10_000
MAX_PENS = 64
MAX_ROWS = 1_000_000
"""Rows of one answer: what a message can carry, and what the actor can gather while the others wait."""


class HistoryActor(Actor):
    """Keeps samples.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        rtdb: read for the changes since the last life.
        store: the open history; it outlives this actor.
        events: told of a full disk.
        clock: stamps.
        archive: answers what the store does not have any more; None = there is no archive.
        has: whether the store has everything that a query asks for.
        answers: answers such a query; None = the store itself.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        rtdb: Store,
        store: Historian,
        events: Address,
        clock: Clock,
        archive: Address | None = None,
        has: Callable[[pb.HistoryRequest], bool] = lambda _: True,
        answers: Answers | None = None,
    ) -> None:
        super().__init__(address, failed)
        self._rtdb = rtdb
        self._store = store
        self._events = events
        self._clock = clock
        self._archive, self._has, self._answers = archive, has, answers or store
        self._fault = ""
        self._lost, self._damaged = store.lost, store.damaged

    def started(self) -> None:
        """Take in what was committed since the last sample, and mark the time in which nobody recorded."""
        self._rtdb.register(CONSUMER, self._store.stored_seq)
        try:
            snapshot = self._rtdb.snapshot()  # the changes that follow reach at least as far
            for change in self._rtdb.changes(self._store.seq):
                self._store.append(change)
            self._store.began(snapshot)
        except GapError as gap:
            _log.warning("the journal does not reach back to the last sample; the history has a gap", reason=str(gap))
            self._store.resync(self._rtdb.snapshot())

    def stopped(self) -> None:
        """Make everything durable."""
        self._store.flush()

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Changed(changes):
                self._append(changes)
            case Tick():
                self._store.flush()
                self._rtdb.acknowledge(CONSUMER, self._store.stored_seq)
                self._watch_disk()
                self._watch_damage()
            case ModelChanged(generation):
                self._store.set_points(generation.tables.points)
            case HistoryAsked(pb.HistoryRequest() as request, _) if self._archive is not None and not self._has(request):
                self._store.flush()  # what is to be passed on is, then
                self._archive.tell(message)
            case HistoryAsked(request, reply):
                try:
                    reply(self._answer(request))
                except ScadaError as error:
                    reply(error)
            case _:
                return super().receive(message)
        return None

    def _append(self, changes: ChangeSet) -> None:
        if changes.last > self._store.seq:
            self._store.append(changes)

    def _answer(self, request: pb.HistoryRequest | pb.BackfillRequest | pb.HistoryStatusRequest) -> object:
        match request:
            case pb.HistoryRequest():
                return answer_query(self._answers, request)
            case pb.BackfillRequest():
                return self._backfill(request)
            case _:
                return _status(self._store.status())

    def _backfill(self, request: pb.BackfillRequest) -> pb.BackfillReply:
        late = [
            LateColumns(
                one.pid, np.array(one.time_ns, dtype=np.int64), np.array(one.value), np.array(one.quality, dtype=np.uint32)
            )
            for one in request.points
        ]
        counts = self._store.backfill(late)
        self._store.flush()
        _log.info("late values", source=request.source, stored=counts.stored, known=counts.known, refused=counts.refused)
        if counts.stored:
            said = {"source": request.source, "count": str(counts.stored), "reason": request.reason}
            self._tell("history.backfilled", AlarmClass.NOTICE, 4, said)
        return pb.BackfillReply(stored=counts.stored, known=counts.known, refused=counts.refused, reason=counts.reason)

    def _watch_damage(self) -> None:
        if more := self._store.damaged - self._damaged:
            _log.error("unreadable parts of the history were set aside", count=more)
            self._tell("history.damaged_parts", AlarmClass.ABNORMAL, 2, {"count": str(more)})
            self._damaged = self._store.damaged

    def _watch_disk(self) -> None:
        fault = "" if self._store.fault is None else str(self._store.fault)
        if fault == self._fault:
            return
        self._fault, previous = fault, self._fault
        if fault:
            _log.error("the history cannot be written; samples wait in memory", cause=fault)
            self._tell("history.fault", AlarmClass.ABNORMAL, 2, {"reason": fault})
            return
        _log.info("the history is written again")
        self._tell("history.recovered", AlarmClass.NOTICE, 3, {"reason": previous})
        if lost := self._store.lost - self._lost:
            _log.error("samples were given up unwritten", count=lost)
            self._tell("history.lost", AlarmClass.ABNORMAL, 2, {"count": str(lost)})
        self._lost = self._store.lost

    def _tell(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str]) -> None:
        event = Event(self._clock.now_ns(), EventKind.SYSTEM, alarm_class, priority, key, parameters)
        self._events.tell(Report((event,)))


def answer_query(source: Answers, request: pb.HistoryRequest) -> pb.HistoryReply:
    """Answer a query from whoever has the samples.

    Raises:
        ScadaError: too much is asked at once, or the source cannot answer.
    """
    if len(request.pids) > MAX_PENS or request.buckets > MAX_BUCKETS or request.to_ns <= request.from_ns:
        raise ScadaError(f"a query takes at most {MAX_PENS} points, {MAX_BUCKETS} buckets and a span that ends after it begins")
    reply, rows = pb.HistoryReply(), 0
    for pid in request.pids:
        shown = _shown_periods(source, pid, request) if request.period_s else _shown_samples(source, pid, request)
        reply.series.append(shown)
        rows += len(shown.time_ns)
        if rows > MAX_ROWS:
            raise ScadaError(f"the answer has more than {MAX_ROWS} rows", mend="ask for fewer points, a shorter span or buckets")
    return reply


def _shown_periods(source: Answers, pid: int, request: pb.HistoryRequest) -> pb.HistorySeries:
    shown = _periods(source.aggregates(pid, request.from_ns, request.to_ns, request.period_s))
    before = source.before([pid], request.from_ns)
    if before.time_ns[0]:
        _show_before(shown, before.value[0], before.quality[0])
    return shown


def operations_since(store: Historian, tables: ModelTables, from_ns: int, to_ns: int) -> dict[str, tuple[int, int]]:
    """Operations of each device of AVC in a span, from the history of its position; call before the history actor starts.

    Returns:
        mRID -> (number of changes of a good position, ns UTC of the last one; 0 = none).
    """
    counted = {}
    for device in (device for zone in tables.zones for device in zone.devices):
        try:
            series = store.query(int(device.position), from_ns, to_ns)
        except ArchiveError as error:  # of a day that began before this file did
            _log.warning("operations before this start are not known", device=device.mrid, cause=str(error))
            continue
        before = series.before["value"][is_good(series.before["quality"])]
        good = is_good(series.quality)
        positions = np.concatenate([before, series.value[good]])
        moved = np.flatnonzero(np.diff(positions))
        times = series.time_ns[good]
        last = int(times[moved[-1] + 1 - len(before)]) if len(moved) else 0
        counted[device.mrid] = (len(moved), last)
    return counted


def _shown_samples(source: Answers, pid: int, request: pb.HistoryRequest) -> pb.HistorySeries:
    [series] = source.query_many([pid], request.from_ns, request.to_ns, request.buckets)
    shown = pb.HistorySeries(
        pid=series.pid,
        time_ns=series.time_ns.tolist(),
        value=series.value.tolist(),
        minimum=series.minimum.tolist(),
        maximum=series.maximum.tolist(),
        quality=series.quality.tolist(),
        truncated=series.truncated,
    )
    if len(series.before):
        _show_before(shown, series.before["value"][0], series.before["quality"][0])
    return shown


def _show_before(shown: pb.HistorySeries, value: float, quality: int) -> None:
    shown.has_before, shown.before_value, shown.before_quality = True, float(value), int(quality)


def _periods(found: Aggregates) -> pb.HistorySeries:
    return pb.HistorySeries(
        pid=found.pid,
        time_ns=found.time_ns.tolist(),
        value=found.last.tolist(),
        minimum=found.minimum.tolist(),
        maximum=found.maximum.tolist(),
        quality=found.quality.tolist(),
        mean=found.mean.tolist(),
        time_weighted=found.time_weighted.tolist(),
        count=found.count.tolist(),
        good_s=found.good_s.tolist(),
    )


def _status(found: HistorianStatus) -> pb.HistoryStatus:
    return pb.HistoryStatus(
        backend=found.backend,
        oldest_ns=found.oldest_ns,
        stored_bytes=found.stored_bytes,
        waiting=found.waiting,
        lost=found.lost,
        backfilled=found.backfilled,
        damaged=found.damaged,
        fault=found.fault,
        raw_days=found.retention.raw_days,
        minute_days=found.retention.minute_days,
    )
