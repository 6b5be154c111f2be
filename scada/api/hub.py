"""Fan-out of change sets to subscribers: one encoding per view, credit per subscriber.

A :class:`View` is a set of points and a period; its frame is encoded once per tick and the same bytes go to every subscriber that
keeps up. A subscriber without credit collects a backlog of its own: of an analog only the latest value (what was merged away is
counted in ``conflated``), of a status every change in order, as a record of its own. A backlog with more status changes than the
bound ends the stream with ``RESOURCE_EXHAUSTED``: the viewer must open it again and starts from a full frame.

All methods run on the API's event loop, except the listener given to the backend, which only hands over.
"""

from __future__ import annotations

import asyncio
from collections import deque

import grpc
import numpy as np
import numpy.typing as npt
import structlog

from scada.actors.backend import Backend, Unsubscribe
from scada.api.faults import CallError, malformed, must_resync
from scada.api.frames import Columns, encode_frame
from scada.core.batch import RecordFlag
from scada.core.quality import Quality
from scada.model_cim.tables import PointKind
from scada.rtdb.changes import ChangeSet

Pids = npt.NDArray[np.uint32]
ViewKey = tuple[bytes | None, int]

STATUS_KINDS = (PointKind.STATUS, PointKind.DOUBLE, PointKind.STEP, PointKind.TEXT_STATE)
"""Kinds whose changes are never conflated; records flagged ``EVENT`` are not either, whatever their kind."""

MAX_CREDIT = 16
"""Frames that may wait for a subscriber's transport, whatever credit it gives."""

TICK_S = 0.45
"""A subscriber with credit gets a frame, empty if need be, at least every second tick, i.e. within 0.9 s."""

PERIOD_MS = (10, 100, 400)
"""Shortest, default and longest time between frames."""

_log = structlog.get_logger("scada.api.hub")


class Pending:
    """Changes not yet sent: of analogs which ones, of status points every change in order."""

    def __init__(self, points: int) -> None:
        self._dirty = np.zeros(points, dtype=np.bool_)
        self._analog_changes = 0
        self._status: list[Columns] = []
        self.status_changes = 0

    def __bool__(self) -> bool:
        return bool(self._analog_changes or self._status)

    def add(self, status: Columns, analogs: Pids) -> None:
        """Note changes: ``status`` rows in order, pids of ``analogs`` (one entry a change)."""
        if len(status):
            self._status.append(status)
            self.status_changes += len(status)
        if len(analogs):
            self._dirty[analogs] = True
            self._analog_changes += len(analogs)

    def merge(self, other: Pending) -> None:
        """Append another's changes to these."""
        self._status.extend(other._status)
        self.status_changes += other.status_changes
        if other._analog_changes:
            self._dirty |= other._dirty
            self._analog_changes += other._analog_changes

    def rows(self, image: Columns) -> tuple[Columns, int]:
        """The rows to send (status changes in order, then present values of changed analogs) and how many were merged away."""
        changed = np.flatnonzero(self._dirty)
        return Columns.joined([*self._status, image.take(changed)]), self._analog_changes - len(changed)

    def clear(self) -> None:
        """Nothing is pending any more."""
        if not self:
            return
        self._dirty[:] = False
        self._analog_changes = 0
        self._status.clear()
        self.status_changes = 0


class Subscriber:
    """One viewer: its credit, the frames that wait for its transport, and its backlog while it has no credit."""

    def __init__(self, view: View, points: int) -> None:
        self.view = view
        self.credit = 0
        self.fresh = True
        self.backlog = Pending(points)
        self.last_frame = float("-inf")
        self._outbox: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._fault: CallError | None = None

    def push(self, frame: bytes, now: float) -> None:
        """Queue a frame against one credit."""
        self.credit -= 1
        self.last_frame = now
        self._outbox.append(frame)
        self._wake.set()

    def fail(self, fault: CallError) -> None:
        """End the stream: what waits is discarded, :meth:`next` raises ``fault``."""
        self._outbox.clear()
        self.backlog.clear()
        self._fault = fault
        self._wake.set()

    @property
    def room(self) -> int:
        """Credit that can still be taken."""
        return MAX_CREDIT - self.credit - len(self._outbox)

    async def next(self) -> bytes:
        """The next frame, once there is one.

        Raises:
            CallError: the stream ended; see :meth:`fail`.
        """
        while True:
            if self._fault is not None:  # before any frame: what was queued after the fault has a gap before it
                raise self._fault
            if self._outbox:
                return self._outbox.popleft()
            self._wake.clear()
            await self._wake.wait()


class View:
    """The points (``None`` = all) and period that its subscribers share; ``key`` holds both."""

    def __init__(self, key: ViewKey, pids: Pids | None, points: int) -> None:
        self.key = key
        self.pids = pids
        self.period_s = key[1] / 1000
        self.closed = False
        self.pending = Pending(points)
        self.subscribers: list[Subscriber] = []
        self.last_tick = float("-inf")
        self.timer: asyncio.TimerHandle | None = None
        self.due = 0.0  # of the timer; uvloop's handle of what is due at once does not say when
        self.mask: npt.NDArray[np.bool_] | None = None
        if pids is not None:
            self.mask = np.zeros(points, dtype=np.bool_)
            self.mask[pids] = True

    def add(self, columns: Columns, status: npt.NDArray[np.bool_]) -> None:
        """Note the rows that concern this view; ``status`` marks the ones that must not be conflated."""
        if self.mask is None:
            self.pending.add(columns.take(status), columns.pid[~status])
        else:
            mine = self.mask[columns.pid]
            self.pending.add(columns.take(status & mine), columns.pid[~status & mine])


class Hub:
    """Keeps the present values as a follower of the change stream and serves views of them.

    Args:
        backend: the running server.
        status_bound: status changes that may wait for one slow subscriber.
    """

    def __init__(self, backend: Backend, *, status_bound: int = 65_536) -> None:
        self._backend = backend
        self._status_bound = status_bound
        self._views: dict[ViewKey, View] = {}
        self._unsubscribe: Unsubscribe | None = None

    def start(self) -> None:
        """Follow the backend; must be called on the running event loop."""
        self._loop = asyncio.get_running_loop()
        _, self._unsubscribe = self._backend.on_changes(self._hand_over)
        self._load()

    def stop(self) -> None:
        """Stop following and end every stream."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._end_streams(CallError(grpc.StatusCode.UNAVAILABLE, "stopping", "the server is stopping"))

    def open(self, pids: Pids | None, period_ms: int) -> Subscriber:
        """A new subscriber; it gets its full frame with its first credit.

        Args:
            pids: points wanted, ``None`` = all.
            period_ms: shortest time between frames; 0 = default, clamped to :data:`PERIOD_MS`.

        Raises:
            CallError: a point that the model does not know.
        """
        if self._backend.tables is not self._tables:
            self._resync("the model was changed")
        if pids is not None:
            pids = np.unique(pids)
            if len(pids) and pids[-1] >= self._points:
                raise malformed(f"point {pids[-1]} is not in the model (it has {self._points})")
        shortest, default, longest = PERIOD_MS
        period_ms = min(max(period_ms or default, shortest), longest)
        key = (None if pids is None else pids.tobytes(), period_ms)
        view = self._views.setdefault(key, View(key, pids, self._points))
        subscriber = Subscriber(view, self._points)
        view.subscribers.append(subscriber)
        return subscriber

    def close(self, subscriber: Subscriber) -> None:
        """Forget a subscriber; safe to call twice."""
        view = subscriber.view
        if subscriber in view.subscribers:
            view.subscribers.remove(subscriber)
        if not view.subscribers:
            self._drop(view)

    def give(self, subscriber: Subscriber, credit: int) -> None:
        """The client can take ``credit`` frames more (what exceeds :data:`MAX_CREDIT` is ignored)."""
        subscriber.credit += max(0, min(credit, subscriber.room))
        silent = self._loop.time() - subscriber.last_frame >= TICK_S
        # with nothing to send a tick would only put off the next change by a period
        if subscriber.fresh or subscriber.backlog or silent:
            self._schedule(subscriber.view)

    # ------------------------------------------------------------------ following

    def _hand_over(self, changes: ChangeSet) -> None:
        try:
            self._loop.call_soon_threadsafe(self._feed, changes)
        except RuntimeError:  # the loop has closed: the server is stopping
            _log.debug("change set after stop", first=changes.first)

    def _load(self) -> None:
        self._tables = self._backend.tables
        self._points = len(self._tables.points)
        self._is_status = np.array([point.kind in STATUS_KINDS for point in self._tables.points], dtype=np.bool_)
        snapshot = self._backend.snapshot()
        self._seq = snapshot.seq
        self._image = _spread(Columns.of_snapshot(snapshot), self._points)

    def _feed(self, changes: ChangeSet) -> None:
        if self._backend.tables is not self._tables:
            self._resync("the model was changed")
            return
        if changes.last <= self._seq:
            return
        if changes.first > self._seq + 1:
            self._resync(f"changes {self._seq + 1}..{changes.first - 1} did not arrive")
            return
        records, received = changes.shown(after=self._seq)  # what an operator's hold hides is not for viewers
        columns = Columns(records["pid"], records["value"], records["quality"], records["source_time"], received)
        self._seq = changes.last
        self._image.value[columns.pid] = columns.value
        self._image.quality[columns.pid] = columns.quality
        self._image.source_time[columns.pid] = columns.source_time
        self._image.received[columns.pid] = columns.received
        status = self._is_status[columns.pid] | (records["flags"] & RecordFlag.EVENT).astype(np.bool_)
        for view in self._views.values():
            view.add(columns, status)
            if view.pending:
                self._schedule(view)

    def _resync(self, cause: str) -> None:
        _log.warning("every view starts again from a full frame", cause=cause)
        self._load()
        self._end_streams(must_resync(f"{cause}; the view must start again from a full frame"))

    def _end_streams(self, fault: CallError) -> None:
        for view in list(self._views.values()):
            for subscriber in view.subscribers:
                subscriber.fail(fault)
            self._drop(view)

    # ------------------------------------------------------------------ sending

    def _drop(self, view: View) -> None:
        if view.timer is not None:
            view.timer.cancel()
        if not view.closed:
            view.closed = True
            del self._views[view.key]

    def _schedule(self, view: View) -> None:
        """Tick as soon as the period allows."""
        if view.closed:
            return
        due = max(self._loop.time(), view.last_tick + view.period_s)
        if view.timer is not None:
            if view.due <= due:
                return
            view.timer.cancel()
        self._call_at(view, due)

    def _call_at(self, view: View, due: float) -> None:
        view.timer, view.due = self._loop.call_at(due, self._tick, view), due

    def _tick(self, view: View) -> None:
        now = view.last_tick = self._loop.time()
        shared: bytes | None = None
        full: bytes | None = None
        for subscriber in view.subscribers:
            if subscriber.fresh:
                if subscriber.credit:
                    full = full or self._full_frame(view)
                    subscriber.push(full, now)
                    subscriber.fresh = False
            elif subscriber.backlog or not subscriber.credit:
                self._serve_slow(subscriber, view.pending, now)
            elif view.pending or now - subscriber.last_frame >= TICK_S:
                shared = shared or self._delta_frame(view.pending)
                subscriber.push(shared, now)
        view.pending.clear()
        self._call_at(view, now + TICK_S)

    def _serve_slow(self, subscriber: Subscriber, pending: Pending, now: float) -> None:
        backlog = subscriber.backlog
        backlog.merge(pending)
        if backlog and subscriber.credit:
            subscriber.push(self._delta_frame(backlog), now)
            backlog.clear()
        elif backlog.status_changes > self._status_bound:
            subscriber.fail(must_resync(f"more than {self._status_bound} status changes wait for this slow viewer"))

    def _delta_frame(self, pending: Pending) -> bytes:
        rows, conflated = pending.rows(self._image)
        return encode_frame(self._seq, self._backend.clock.now_ns(), rows, conflated=conflated)

    def _full_frame(self, view: View) -> bytes:
        rows = self._image if view.pids is None else self._image.take(view.pids.astype(np.intp))
        return encode_frame(self._seq, self._backend.clock.now_ns(), rows, full=True)


def _spread(rows: Columns, points: int) -> Columns:
    """Columns indexed by pid; a point without a row was never received."""
    image = Columns(
        np.arange(points, dtype=np.uint32),
        np.full(points, np.nan),
        np.full(points, int(Quality.NEVER_RECEIVED), dtype=np.uint32),
        np.zeros(points, dtype=np.int64),
        np.zeros(points, dtype=np.int64),
    )
    image.value[rows.pid] = rows.value
    image.quality[rows.pid] = rows.quality
    image.source_time[rows.pid] = rows.source_time
    image.received[rows.pid] = rows.received
    return image
