"""The wire: one asyncio loop in a thread of its own that runs the drivers of all channels.

Values go from the drivers to the database in batches, past the channel actors' mailboxes: at once when a status change is among
them, else when ``FLUSH_RECORDS`` wait or ``FLUSH_S`` have passed since the last ones left.

Status changes go first: when ``OUTSTANDING_RECORDS`` are at the database and not committed, analogs wait here and only status
changes go on. When more than ``BEHIND_RECORDS`` were taken and are not committed, drivers wait in :meth:`Feed.ready` and stop
reading; the protocol's own window then closes and nothing is dropped. The order of one point's values is always kept.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import structlog
import uvloop

from scada.actors.base import Address
from scada.actors.messages import Apply, LinkChanged, MarkQuality
from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import Clock
from scada.core.quality import Quality
from scada.protocols.driver import LinkState

if TYPE_CHECKING:
    from scada.actors.cleaning import CleaningStage

_log = structlog.get_logger("wire")

FLUSH_RECORDS = 2000
FLUSH_S = 0.01
OUTSTANDING_RECORDS = 16_000
BEHIND_RECORDS = 50_000
LOST = int(Quality.COMM_LOST | Quality.NOT_TOPICAL)
"""Quality of the points of a channel without data transfer."""
T = TypeVar("T")


class Wire:
    """Thread with an asyncio loop.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str = "wire") -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if not self._thread.is_alive():
            self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the wire loop from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def stop(self, within_s: float = 5.0) -> None:
        """Cancel what runs, close the loop, end the thread; what does not end within the time is left behind and said."""
        if not self._thread.is_alive():
            return
        try:
            self.submit(self._cancel_all()).result(timeout=within_s)
        except TimeoutError:
            _log.warning("drivers did not end in time", loop=self._thread.name)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)

    async def _cancel_all(self) -> None:
        me = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not me]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()


class Feed:
    """Collects batches of all drivers of a wire and hands them to the database. Used on the wire loop only.

    Args:
        wire: its loop.
        rtdb: the database's actor.
        tick_s: shortest time between two hand-overs of analogs.
    """

    def __init__(self, wire: Wire, rtdb: Address, tick_s: float = FLUSH_S) -> None:
        self._tick_s = tick_s
        self._loop = wire.loop
        self._rtdb = rtdb
        self._fresh: list[PointBatch] = []
        self._records = 0
        self._held: deque[PointBatch] = deque()  # analogs, while too much is outstanding
        self._held_pids = np.zeros(0, dtype=np.bool_)
        self._taken = self._done = self._outstanding = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # kept here, because uvloop's handle of what is due at once does not say when
        self._flushed = float("-inf")
        self._room = asyncio.Event()
        self._room.set()
        self._mark = self._sent_mark = self._safe_mark = 0
        self._waiting: deque[Apply | MarkQuality] = deque()  # while the database's mailbox is full: to block would stop all links
        self._commits: list[tuple[int, int, asyncio.Future[None]]] = []

    def deliver(self, batch: PointBatch) -> int:
        """Take a batch; status changes leave in this turn of the loop, analogs ``tick_s`` after the last ones that left.

        Returns:
            A mark for :meth:`committed` if there are status changes in the batch, else 0.
        """
        if not len(batch):
            return 0
        self._fresh.append(batch)
        self._taken += len(batch)
        self._records += len(batch)
        if self._taken - self._done > BEHIND_RECORDS:
            self._room.clear()
        events = bool((batch.records["flags"] & RecordFlag.EVENT).any())
        self._mark += events
        if self._records >= FLUSH_RECORDS:
            self._send_due()
        else:
            self._schedule(self._loop.time() if events else self._flushed + self._tick_s)
        return self._mark if events else 0

    def mark(self, pids: npt.NDArray[np.uint32], set_bits: int) -> None:
        """Set quality bits of points in one update: after all that was delivered of them before, before all that comes later."""
        self._send_due()
        self._send(self._take_held(pids))
        self._tell(MarkQuality(pids, set_bits=set_bits))

    def _schedule(self, due: float) -> None:
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._timer, self._due = self._loop.call_at(due, self._send_due), due

    def _send_due(self) -> None:
        """Send what waits, or only what must not wait while too much is outstanding."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        fresh, self._fresh, self._records = self._fresh, [], 0
        if self._held or self._outstanding >= OUTSTANDING_RECORDS:
            fresh = self._urgent(fresh)
        self._send(fresh, self._mark)

    def _urgent(self, batches: Sequence[PointBatch]) -> list[PointBatch]:
        """Status changes, and before them what waits of the same points; the rest is held back."""
        pids = np.zeros(0, dtype=np.uint32)
        if self._mark > self._sent_mark:
            changes = [batch.records["pid"][(batch.records["flags"] & RecordFlag.EVENT) != 0] for batch in batches]
            pids = np.unique(np.concatenate(changes))
        urgent = self._take_held(pids)
        for batch in batches:
            now = np.isin(batch.records["pid"], pids)
            urgent += _part(batch, now)
            for rest in _part(batch, ~now):
                self._hold(rest)
        return urgent

    def _hold(self, batch: PointBatch) -> None:
        self._held.append(batch)
        pids = batch.records["pid"]
        size = int(pids.max()) + 1
        if size > len(self._held_pids):
            self._held_pids = np.concatenate([self._held_pids, np.zeros(size, dtype=np.bool_)])
        self._held_pids[pids] = True

    def _take_held(self, pids: npt.NDArray[np.uint32]) -> list[PointBatch]:
        """Take back what is held of some points, in order."""
        known = pids[pids < len(self._held_pids)]
        if not self._held_pids[known].any():
            return []
        self._held_pids[known] = False
        wanted = np.zeros(len(self._held_pids), dtype=np.bool_)
        wanted[known] = True
        # one look at all of them: thousands of small batches may wait, and a whole network may be lost at once
        held = list(self._held)
        columns = [batch.records["pid"] for batch in held]
        hits = np.flatnonzero(wanted[np.concatenate(columns)])
        ends = np.cumsum([len(column) for column in columns])
        taken: list[PointBatch] = []
        rests: dict[int, list[PointBatch]] = {}
        for at in np.unique(np.searchsorted(ends, hits, side="right")).tolist():
            now = wanted[columns[at]]
            taken += _part(held[at], now)
            rests[at] = _part(held[at], ~now)
        self._held = deque(part for at, batch in enumerate(held) for part in rests.get(at, (batch,)))
        return taken

    def _send(self, batches: Sequence[PointBatch], mark: int = 0) -> None:
        """Hand over; ``mark`` if every status change taken so far is among them or was sent before."""
        if not batches:
            return
        self._flushed = self._loop.time()
        records = sum(len(batch) for batch in batches)
        self._outstanding += records
        changes = mark > self._sent_mark
        self._sent_mark = max(mark, self._sent_mark)
        proof = mark if changes else 0  # without a change in it, it is answered even while those before it are not on disk
        self._tell(Apply(tuple(batches), lambda: self._committed(records, proof), durable=changes))

    def _tell(self, message: Apply | MarkQuality) -> None:
        if self._waiting or not self._rtdb.offer(message):
            self._waiting.append(message)
            if len(self._waiting) == 1:
                self._loop.call_later(FLUSH_S, self._tell_waiting)

    def _tell_waiting(self) -> None:
        while self._waiting and self._rtdb.offer(self._waiting[0]):
            self._waiting.popleft()
        if self._waiting:
            self._loop.call_later(FLUSH_S, self._tell_waiting)

    def _committed(self, records: int, mark: int) -> None:
        """Called from the database's thread."""
        self._loop.call_soon_threadsafe(self._catch_up, records, mark)

    def _catch_up(self, records: int, mark: int) -> None:
        self._outstanding -= records
        self._done += records
        self._safe_mark = max(self._safe_mark, mark)
        while self._commits and self._commits[0][0] <= self._safe_mark:
            waiter = heapq.heappop(self._commits)[2]
            if not waiter.done():
                waiter.set_result(None)
        if self._taken - self._done <= BEHIND_RECORDS // 2:
            self._room.set()
        self._release()

    def _release(self) -> None:
        """Send analogs that were held back, as far as there is room."""
        batches: list[PointBatch] = []
        room = OUTSTANDING_RECORDS - self._outstanding
        while self._held and room > 0:
            batches.append(self._held.popleft())
            room -= len(batches[-1])
        if batches and not self._held:
            self._held_pids[:] = False
        self._send(batches)

    async def ready(self) -> None:
        """Wait while the database is behind."""
        if not self._room.is_set():
            await self._room.wait()

    async def committed(self, mark: int) -> None:
        """Wait until what was delivered up to ``mark`` is committed: only then may a station be told that its events arrived."""
        if mark > self._safe_mark:
            waiter = self._loop.create_future()
            heapq.heappush(self._commits, (mark, id(waiter), waiter))
            await waiter


def _part(batch: PointBatch, chosen: npt.NDArray[np.bool_]) -> list[PointBatch]:
    """The chosen records of a batch, nothing if there are none."""
    if chosen.all():
        return [batch]
    return [PointBatch(batch.records[chosen], batch.received_at, batch.source)] if chosen.any() else []


class ChannelSink:
    """What one driver reports to: values to the feed, everything else to its channel actor.

    Args:
        feed: shared by all channels of the wire.
        channel: the channel's actor.
        notice: called with (kind, text), rate limited to one a kind and ten seconds.
        clock: for the limit.
        path: names a point in a notice.
        cleaning: marks what cannot be right, before it goes on; None = nothing is judged.
        index: number of the channel.
        pids: points that the channel feeds; they lose their topicality with its data transfer.
    """

    def __init__(
        self,
        feed: Feed,
        channel: Address,
        notice: Callable[[str, str], None],
        clock: Clock,
        path: Callable[[int], str] = "point {}".format,
        *,
        cleaning: CleaningStage | None = None,
        index: int = 0,
        pids: npt.NDArray[np.uint32] | None = None,
    ) -> None:
        self._feed = feed
        self._channel = channel
        self._notice = notice
        self._clock = clock
        self._path = path
        self._cleaning = cleaning
        self._index = index
        self._pids = pids
        self._live = False
        """It is up, or something came of it since it was not."""
        if cleaning is not None:
            cleaning.listen(index, self.notice)
        self._events = 0
        self._odd: set[int] = set()
        self._last: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def rebind(self, pids: npt.NDArray[np.uint32], moved: npt.NDArray[np.uint32]) -> None:
        """The channel feeds other points from now on; those that moved here are not topical until their source sends."""
        self._pids = pids
        if len(moved):
            if self._cleaning is not None:
                self._cleaning.forget(moved)
            self._feed.mark(moved, LOST)

    def deliver(self, batch: PointBatch) -> None:
        """Hand values on, and say of which points no number came; the database keeps those as invalid."""
        self._live = True
        numbers = np.isfinite(batch.records["value"])
        if not numbers.all():
            self._say_odd(batch.records["pid"][~numbers].tolist())
        if self._cleaning is not None:
            batch = self._cleaning.clean(self._index, batch)
        self._events = self._feed.deliver(batch) or self._events

    def _say_odd(self, pids: list[int]) -> None:
        """Once a point: a station may send it with every cycle."""
        fresh = [pid for pid in dict.fromkeys(pids) if pid not in self._odd]
        if fresh:
            self._odd.update(fresh)
            more = f" and {len(fresh) - 1} more points" if len(fresh) > 1 else ""
            self.notice("not_a_number", f"{self._path(fresh[0])}{more}: what came is no number; kept as invalid")

    async def ready(self) -> None:
        """Wait while the database is behind, and until the status changes delivered so far are committed.

        Those too that come during the wait: a driver then acknowledges everything that it has received.
        """
        await self._feed.ready()
        awaited = 0
        while awaited != self._events:
            awaited = self._events
            await self._feed.committed(awaited)

    def state(self, state: LinkState, reason: str) -> None:
        """Tell the channel actor, after the values that came before.

        The points of a channel that is not up any more, or gave values and did not come up, are marked from here, not by its
        actor: so the mark is behind the last value of the old connection and before the first one of the next.
        """
        if self._live and state is not LinkState.UP:
            if self._cleaning is not None:
                self._cleaning.lost(self._index)
            if self._pids is not None and len(self._pids):
                self._feed.mark(self._pids, LOST)
        self._live = state is LinkState.UP
        self._channel.tell(LinkChanged(state, reason))

    def notice(self, kind: str, text: str) -> None:
        """Pass on once in ten seconds a kind; the next one says how many were held back."""
        now = self._clock.monotonic()
        if now - self._last.get(kind, -1e9) < 10.0:
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return
        self._last[kind] = now
        held = self._suppressed.pop(kind, 0)
        self._notice(kind, f"{text} ({held} more like it before)" if held else text)
