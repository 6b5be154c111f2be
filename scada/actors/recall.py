"""Disturbance recall: put together when a face asks, and captured by itself at accident alarms before the journal goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import numpy as np
import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.messages import AccidentsSeen, Report, Tick
from scada.actors.order_messages import HistoryAsked
from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import ScadaError, StoreError
from scada.core.settings import EventSettings
from scada.events import kpi, recall
from scada.events.log import EventLog
from scada.events.log_index import Order, Query
from scada.events.recall import LONGEST, Pids, Recall, RecallFolder, Span, extended, from_journal
from scada.events.records import Event, EventKind
from scada.events.soe import order_time
from scada.model_cim.tables import AlarmClass, ModelTables
from scada.rtdb.changes import ChangeSet, GapError
from scada.rtdb.store import Store

_log = structlog.get_logger("recall")

CONSUMER = "recall"
"""Name under which the journal is kept for captures."""
HISTORY_POINTS = 2000
"""Points at most that a recall asks the history for; name a station for more of a large system."""
PENS = 64
"""Points of one question to the history."""
HISTORY_S = 20.0
LATE_S = 3.0
"""A capture waits so long after its end for what comes late."""
RETRY_S = 10.0
MISSED_NS = 86_400 * NS_PER_S
"""After a restart accidents so far back are captured if the journal still holds them."""

_BEYOND = "the journal does not reach back so far"


class Recaller:
    """Puts recalls together: from the journal where it covers the span, else from a capture, else from the history.

    Args:
        tables: the model.
        store: image and journal.
        log: events.
        folder: captured disturbances.
        history: the history actor.
        clock: tells whether a span has ended.
    """

    def __init__(
        self, tables: ModelTables, store: Store, log: EventLog, folder: RecallFolder, history: Address, clock: Clock
    ) -> None:
        self._tables = tables
        self._store = store
        self._log = log
        self._folder = folder
        self._history = history
        self._clock = clock

    def use(self, tables: ModelTables) -> None:
        """Name stations and points by another model version from now on."""
        self._tables = tables

    def find(self, request: pb.RecallRequest) -> Recall:
        """Everything around a time; reads the journal, so not on an event loop."""
        from_ns = max(0, request.at_ns - request.before_s * NS_PER_S)
        to_ns = request.at_ns + request.after_s * NS_PER_S
        pids = self._wanted(request)
        found = self._of_journal(request.at_ns, from_ns, to_ns, pids)
        found = found or self._of_capture(from_ns, to_ns)
        found = found or self._of_history(request.at_ns, from_ns, to_ns, pids)
        return replace(found.of(pids, request.station), at_ns=request.at_ns)

    def capture(self, span: Span) -> Recall:
        """Everything of a span, for its file."""
        found = self._of_journal(span.at_ns, span.from_ns, span.to_ns, None)
        found = found or self._of_history(span.at_ns, span.from_ns, span.to_ns, None)
        return replace(found, event_id=span.event_id)

    # ------------------------------------------------------------------ sources

    def _wanted(self, request: pb.RecallRequest) -> Pids | None:
        if request.pids:
            return np.unique(np.array(request.pids, dtype=np.uint32))
        if request.station:
            return np.array([point.pid for point in self._tables.points if point.station == request.station], dtype=np.uint32)
        return None

    def _events(self, from_ns: int, to_ns: int) -> tuple[list[Event], str]:
        """Events by the time of their source, and what is missing: status lines by the index of it, others by their receipt."""
        lines = self._log.walk(Query(Order.SOURCE, from_ns=from_ns, to_ns=to_ns))
        walk = self._log.walk(Query(Order.TIME, from_ns=from_ns, to_ns=to_ns))
        others = (event for event in walk if event.kind is not EventKind.STATUS_CHANGE)
        parts = list(islice(lines, recall.MOST_EVENTS)), list(islice(others, recall.MOST_EVENTS))
        found = sorted(chain(*parts), key=lambda event: (order_time(event), event.event_id))
        cut = recall.MOST_EVENTS in map(len, parts)
        return found, f"only the first {len(found)} events are shown: name a shorter span" if cut else ""

    def _of_journal(self, at_ns: int, from_ns: int, to_ns: int, pids: Pids | None) -> Recall | None:
        """From the journal; None if it does not reach back to the start."""
        image = self._store.snapshot()
        covered = _Covered(self._store.changes(self._store.oldest - 1), from_ns)
        try:
            start, changes, unknown = from_journal(covered, image, from_ns, to_ns, pids, recall.MOST_CHANGES)
        except GapError as gap:
            _log.warning("a recall found a gap in the journal", reason=str(gap))
            return None
        if not covered.reaches_back and self._store.oldest > 1:
            return None
        start, unknown = self._with_history(start, unknown, from_ns)
        missing = []
        if len(unknown):
            missing.append(f"values at the start are not known of {len(unknown)} points")
        if to_ns > self._clock.now_ns():
            missing.append("the span has not ended yet")
        if len(changes) == recall.MOST_CHANGES:
            missing.append(f"only the first {len(changes)} changes are shown: name a station or a shorter span")
        events, cut = self._events(from_ns, to_ns)
        missing += [cut] if cut else []
        return Recall(at_ns, from_ns, to_ns, "journal", not missing, "; ".join(missing), start, changes, events)

    def _of_capture(self, from_ns: int, to_ns: int) -> Recall | None:
        info = self._folder.covering(from_ns, to_ns)
        if info is None:
            return None
        try:
            return self._folder.read(info.path).within(from_ns, to_ns)
        except StoreError as error:
            _log.error("a captured disturbance cannot be read", cause=str(error))
            return None

    def _with_history(self, start: recall.Rows, unknown: Pids, from_ns: int) -> tuple[recall.Rows, Pids]:
        """Values at the start of points of which the journal holds only later changes."""
        if not 0 < len(unknown) <= HISTORY_POINTS:
            return start, unknown
        try:
            series = self._ask_history(unknown, max(0, from_ns - 1), from_ns)
        except ScadaError as error:
            _log.warning("the history could not be asked for values at the start of a recall", reason=str(error))
            return start, unknown
        rows = _starts(series)
        start = np.concatenate((start, rows))
        return start[np.argsort(start["pid"], kind="stable")], unknown[~np.isin(unknown, rows["pid"])]

    def _of_history(self, at_ns: int, from_ns: int, to_ns: int, pids: Pids | None) -> Recall:
        """From the samples of the history, whose dead-bands hide small changes."""
        events, cut = self._events(from_ns, to_ns)
        if pids is None:
            pids = np.array([point.pid for point in self._tables.points if not point.removed], dtype=np.uint32)
        nothing = np.empty(0, dtype=recall.CHANGE_DTYPE)
        reason = f"{_BEYOND}; these are samples of the history, in which changes within the dead-band are missing"
        if len(pids) > HISTORY_POINTS:
            reason = f"{_BEYOND}, and the history is asked for at most {HISTORY_POINTS} points: name a station"
            return Recall(at_ns, from_ns, to_ns, "history", False, reason, nothing, nothing, events)
        try:
            series = self._ask_history(pids, from_ns, to_ns)
        except ScadaError as error:
            reason = f"{_BEYOND}, and the history cannot be read: {error}"
            return Recall(at_ns, from_ns, to_ns, "history", False, reason, nothing, nothing, events)
        if any(one.truncated for one in series):
            reason += "; a series was cut at its limit"
        if cut:
            reason += f"; {cut}"
        return Recall(at_ns, from_ns, to_ns, "history", False, reason, _starts(series), _samples(series), events)

    def _ask_history(self, pids: Pids, from_ns: int, to_ns: int) -> list[pb.HistorySeries]:
        series: list[pb.HistorySeries] = []
        for begin in range(0, len(pids), PENS):
            answer: Future[pb.HistoryReply | ScadaError] = Future()
            request = pb.HistoryRequest(pids=pids[begin : begin + PENS].tolist(), from_ns=from_ns, to_ns=to_ns)
            self._history.tell(HistoryAsked(request, answer.set_result))
            try:
                reply = answer.result(HISTORY_S)
            except TimeoutError as error:
                raise StoreError("the history did not answer in time", where="history", mend="try again") from error
            if isinstance(reply, ScadaError):
                raise reply
            series += reply.series
        return series


MOST_MISSED = 100_000
"""Alarms looked through after a restart."""


class _Covered:
    """Passes change sets on and remembers whether the first of them was committed before a time."""

    def __init__(self, changes: Iterator[ChangeSet], from_ns: int) -> None:
        self._changes = changes
        self._from_ns = from_ns
        self.reaches_back = False

    def __iter__(self) -> Iterator[ChangeSet]:
        for change in self._changes:
            self.reaches_back = self.reaches_back or change.committed_at <= self._from_ns
            yield change


def _starts(series: Sequence[pb.HistorySeries]) -> recall.Rows:
    known = [one for one in series if one.has_before]
    rows = np.zeros(len(known), dtype=recall.START_DTYPE)
    rows["pid"] = [one.pid for one in known]
    rows["value"] = [one.before_value for one in known]
    rows["quality"] = [one.before_quality for one in known]
    return rows


def _samples(series: Sequence[pb.HistorySeries]) -> recall.Rows:
    parts = [np.empty(0, dtype=recall.CHANGE_DTYPE)]
    for one in series:
        rows = np.zeros(len(one.time_ns), dtype=recall.CHANGE_DTYPE)
        rows["pid"] = one.pid
        for column, values in (("time", one.time_ns), ("value", one.value), ("quality", one.quality)):
            rows[column] = values
        parts.append(rows)
    rows = np.concatenate(parts)
    return rows[np.argsort(rows["time"], kind="stable")]


class RecallActor(Actor):
    """Captures a disturbance at each accident alarm: the span around it goes to a file once it has ended.

    The journal is kept for it from the start of the span that an accident now would have, or that one being captured has. After a
    restart the accidents whose capture was not finished are found in the event log.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        recaller: puts the recall together.
        folder: takes it.
        store: its journal is kept.
        log: looked through for accidents at the start.
        events: told of captures.
        settings: section ``[events]``.
        clock: time.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        recaller: Recaller,
        folder: RecallFolder,
        store: Store,
        log: EventLog,
        events: Address,
        settings: EventSettings,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._recaller = recaller
        self._folder = folder
        self._store = store
        self._log = log
        self._events = events
        self._clock = clock
        self._before_ns = int(settings.recall_before_s * NS_PER_S)
        self._after_ns = int(settings.recall_after_s * NS_PER_S)
        self._margin_ns = int(LATE_S * NS_PER_S) + settings.soe_window_ms * 1_000_000
        self._spans: list[Span] = []
        self._seen = 0
        self._heads: deque[tuple[int, int]] = deque()
        self._retry_at = 0.0
        self._fault = ""

    def started(self) -> None:
        """Keep the journal, and find the accidents whose capture was not finished."""
        self._heads.append((0, max(0, self._store.oldest - 1)))
        self._store.register(CONSUMER, self._heads[0][1])
        captured = [info for info in self._folder.listed() if info.to_ns]
        since = max([self._clock.now_ns() - MISSED_NS, *(info.to_ns for info in captured)])
        kinds = frozenset(int(kind) for kind in kpi.RAISED)
        self._take(self._log.find(Query(Order.TIME, from_ns=since, kinds=kinds), MOST_MISSED))
        oldest = next(self._store.changes(self._store.oldest - 1, limit=1), None)
        self._spans = [span for span in self._spans if oldest is not None and span.to_ns > oldest.committed_at]

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case AccidentsSeen(events):
                self._take(events)
            case Tick():
                self._capture_ended()
                self._keep_journal()
            case _:
                return super().receive(message)
        return None

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            if is_accident(event) and event.event_id > self._seen:
                self._seen = event.event_id
                self._spans = extended(self._spans, event, self._before_ns, self._after_ns)

    def _capture_ended(self) -> None:
        while self._spans and self._clock.monotonic() >= self._retry_at:
            span = self._spans[0]
            left_ns = span.to_ns + self._margin_ns - self._clock.now_ns()
            if 0 < left_ns <= LONGEST * self._after_ns + self._margin_ns:  # more is left only if the clock was set back
                return
            try:
                found = self._recaller.capture(span)
                self._folder.save(found, span.reason)
            except ScadaError as error:
                self._retry_at = self._clock.monotonic() + RETRY_S
                if str(error) != self._fault:
                    self._fault = str(error)
                    _log.error("a disturbance could not be captured", cause=self._fault)
                    self._tell("events.capture_failed", AlarmClass.ABNORMAL, 2, {"point": span.reason, "reason": self._fault})
                return
            self._fault = ""
            self._spans = self._spans[1:]
            parameters = {"point": span.reason, "changes": str(len(found.changes)), "events": str(len(found.events))}
            if found.reason:
                parameters["reason"] = found.reason
            self._tell("events.captured", AlarmClass.NOTICE, 4, parameters)

    def _keep_journal(self) -> None:
        """Let the journal go up to the start of the span that is being captured, or that an accident now would have."""
        now = self._clock.now_ns()
        if self._heads[-1][0] > now:  # the clock was set back: these were not noted later than now
            self._heads = deque((min(at_ns, now), head) for at_ns, head in self._heads)
        self._heads.append((now, self._store.journaled))
        start = min([now - self._before_ns, *(span.from_ns for span in self._spans)]) - self._margin_ns
        while len(self._heads) > 1 and self._heads[1][0] <= start:
            self._heads.popleft()
        self._store.acknowledge(CONSUMER, self._heads[0][1])

    def _tell(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str]) -> None:
        event = Event(self._clock.now_ns(), EventKind.SYSTEM, alarm_class, priority, key, parameters)
        self._events.tell(Report((event,)))


def is_accident(event: Event) -> bool:
    """True for an alarm of the class accident, at which a disturbance is captured."""
    return event.alarm_class is AlarmClass.ACCIDENT and event.kind in kpi.RAISED and event.alarm_id > 0
