"""How the embedded history becomes durable: a log of inputs, and page by page the samples, minutes and state they made.

Every flush appends its inputs to the log and seals a few *pages* of 16 points: their samples and minutes go to the shelves as new
parts, their state beside them, in the same transaction. So the time of a flush is bounded by its share of the points, and nothing
is rewritten but slots that are over. After a restart a page goes on from its state with the inputs of later flushes, through the
same kernels, to the same result. A log entry is removed once every page was sealed after it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.clock import Clock
from scada.history.rows import INPUT_DTYPE, STATE_DTYPE
from scada.history.sampler import Sampler, Tail
from scada.history.shelf import DAY_NS, HOUR_NS, Shelf
from scada.rtdb.lmdb_file import Transaction, seal, unseal

LOG: Final = "tail"
STATES: Final = "states"
PAGE: Final = 16
ROTATION_S: Final = 600.0
"""Time in which every page is sealed once."""
TAIL_ROWS: Final = 500_000
"""With more samples in memory than this, or ``LOG_ROWS`` inputs in the log, pages are sealed faster."""
LOG_ROWS: Final = 4_000_000
MERGE_ROWS: Final = 300_000
"""Rows merged in one flush at most; the rest at the next turn of its page."""
OPEN_NS: Final = 120_000_000_000
"""A slot counts as over so long after its end."""

_HEAD: Final = struct.Struct("<q")
_FLUSH: Final = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too old to be kept, ns UTC (0 = nothing)."""

    samples_before: int = 0
    minutes_before: int = 0


@dataclass(slots=True)
class _Turn:
    """What one flush seals: pages from ``first`` on, ``count`` of them, numbers ``start`` to ``stop``."""

    first: int
    count: int
    start: int
    stop: int


class Rotation:
    """Writes what the sampler made. See the module.

    Args:
        sampler: whose state, samples and minutes are written.
        samples, minutes: the shelves.
        clock: for the pace.
        where: named in errors.

    Attributes:
        inputs: taken in since the last flush.
        turns: complete turns since the file was opened.
    """

    def __init__(self, sampler: Sampler, samples: Shelf, minutes: Shelf, clock: Clock, where: str) -> None:
        self._sampler, self._samples, self._minutes = sampler, samples, minutes
        self._clock, self._where = clock, where
        self.inputs = Tail(INPUT_DTYPE)
        self.turns = 0
        self._flush = 0
        self._sealed: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        self._log: deque[tuple[int, int]] = deque()
        self._log_rows = 0
        self._next = 0
        self._credit = 0.0
        self._flushed_at = clock.monotonic()
        self._whole = False

    def grow(self, numbers: int) -> None:
        """Take that there are so many history numbers."""
        pages = -(-numbers // PAGE)
        fresh = np.full(max(0, pages - len(self._sealed)), self._flush, dtype=np.uint64)
        self._sealed = np.append(self._sealed, fresh)

    @property
    def waiting(self) -> int:
        """Samples and inputs that are in memory alone."""
        return self.inputs.count

    # ------------------------------------------------------------------ restart

    def load(self, txn: Transaction, computed: Callable[[Transaction], None]) -> None:
        """Bring the sampler to where the last flush left it; call once, after :meth:`grow`.

        Args:
            txn: of the file.
            computed: called after each log entry, to compute the touched minutes anew.

        Raises:
            CorruptFileError: a state or the log is damaged.
        """
        numbers = len(self._sampler.state)
        for name, blob in txn.ascending(STATES):
            page, body = int.from_bytes(name, "big"), unseal(blob, self._where)
            states = np.frombuffer(body, STATE_DTYPE, offset=_FLUSH.size)
            stop = min(numbers, page * PAGE + len(states))
            self._sampler.state[page * PAGE : stop] = states[: stop - page * PAGE]
            self._sealed[page] = _FLUSH.unpack_from(body)[0]
        page_of = np.arange(numbers) // PAGE
        for name, blob in txn.ascending(LOG):
            flush, body = int.from_bytes(name, "big"), unseal(blob, self._where)
            inputs = np.frombuffer(body, INPUT_DTYPE, offset=_HEAD.size)
            behind = self._sealed < flush
            self._sampler.observe(np.ascontiguousarray(inputs[behind[inputs["number"] // PAGE]]))
            computed(txn)
            self._sampler.advance(_HEAD.unpack_from(body)[0], behind[page_of])
            self._log.append((flush, len(inputs)))
            self._log_rows += len(inputs)
        self._flush = max([int(self._sealed.max(initial=0)), *(flush for flush, _ in self._log)])

    # ------------------------------------------------------------------ flush

    def write(self, txn: Transaction, now_ns: int, limits: Limits, *, hurry: float = 0.0) -> Callable[[], None]:
        """Log the inputs and seal the next pages.

        Args:
            txn: of the file.
            now_ns: time up to which the sampler was advanced.
            limits: what is removed from the pages on the way.
            hurry: least share of all pages to seal; 1 = all.

        Returns:
            To be called once the transaction is committed.
        """
        flush = self._flush + 1
        turn = self._due(hurry)
        logged = self.inputs.count if turn.count < len(self._sealed) else 0  # nothing hangs on the log if all is sealed
        if logged:
            txn.put(LOG, flush.to_bytes(8, "big"), seal(_HEAD.pack(now_ns) + self.inputs.rows.tobytes()))
        kept, minutes = self._sampler.kept.rows, self._sampler.minutes.rows
        sealed_kept, sealed_minutes = _numbers_in(kept, turn), _numbers_in(minutes, turn)
        state = self._sampler.state
        before = state[turn.start : turn.stop].copy()
        try:
            self._samples.merged_rows = self._minutes.merged_rows = 0
            opened = (now_ns - OPEN_NS) // HOUR_NS
            self._samples.store(txn, kept[sealed_kept], opened, flush, state["hour"])
            self._minutes.store(txn, minutes[sealed_minutes], (now_ns - OPEN_NS) // DAY_NS, flush, state["day"])
            self._tidy(txn, turn, now_ns, limits)
            sealed = self._put_states(txn, turn, flush)
            oldest = int(sealed.min(initial=flush))
            for entry, _ in self._log:
                if entry > oldest:
                    break
                txn.delete(LOG, entry.to_bytes(8, "big"))
        except BaseException:
            state[turn.start : turn.stop] = before
            raise

        def committed() -> None:
            self._flush, self._sealed, self._whole = flush, sealed, False
            if logged:
                self._log.append((flush, logged))
                self._log_rows += logged
            while self._log and self._log[0][0] <= oldest:
                self._log_rows -= self._log.popleft()[1]
            self.inputs.count = 0
            self._sampler.kept.keep(~sealed_kept)
            self._sampler.minutes.keep(~sealed_minutes)
            self._next = turn.first + turn.count
            if self._next >= len(sealed):
                self._next, self.turns = 0, self.turns + 1
            self._flushed_at = self._clock.monotonic()

        return committed

    def _due(self, hurry: float) -> _Turn:
        """The pages of this flush: by time, faster if much waits."""
        pages = len(self._sealed)
        pressure = max(self._sampler.kept.count / TAIL_ROWS, self._log_rows / LOG_ROWS)
        elapsed = (self._clock.monotonic() - self._flushed_at) / ROTATION_S
        self._credit += pages * max(elapsed + max(0.0, pressure - 1.0), hurry)
        count = min(int(self._credit), pages)
        self._credit = min(self._credit - count, 1.0)
        first = self._next
        if self._whole or count == pages:
            first, count = 0, pages
        count = min(count, pages - first)
        numbers = len(self._sampler.state)
        return _Turn(first, count, first * PAGE, min(numbers, (first + count) * PAGE))

    def _tidy(self, txn: Transaction, turn: _Turn, now_ns: int, limits: Limits) -> None:
        """Merge slots that are over and remove what is too old, of the pages of a turn."""
        state = self._sampler.state
        for shelf, column, before in (
            (self._samples, "hour", limits.samples_before),
            (self._minutes, "day", limits.minutes_before),
        ):
            opened = (now_ns - OPEN_NS) // shelf.slot_ns
            oldest = state[column]
            part = oldest[turn.start : turn.stop]
            for number in (turn.start + np.flatnonzero((part > 0) & (part < opened))).tolist():
                if shelf.merged_rows > MERGE_ROWS:
                    break
                shelf.merge_over(txn, number, opened, oldest)
            if before:
                for number in range(turn.start, turn.stop):
                    shelf.forget(txn, number, before)

    def _put_states(self, txn: Transaction, turn: _Turn, flush: int) -> npt.NDArray[np.uint64]:
        state, head = self._sampler.state, _FLUSH.pack(flush)
        for page in range(turn.first, turn.first + turn.count):
            states = state[page * PAGE : (page + 1) * PAGE]
            if states["minute"].any() or states["flags"].any() or states["late"].any():
                txn.put(STATES, page.to_bytes(4, "big"), seal(head + states.tobytes()))
        sealed = self._sealed.copy()
        sealed[turn.first : turn.first + turn.count] = flush
        return sealed

    def drop_inputs(self) -> None:
        """Forget the inputs that could not be logged; the next flush then seals all pages, so that nothing hangs on them."""
        self.inputs.count = 0
        self._whole = True


def _numbers_in(rows: npt.NDArray[np.void], turn: _Turn) -> npt.NDArray[np.bool_]:
    within: npt.NDArray[np.bool_] = (rows["number"] >= turn.start) & (rows["number"] < turn.stop)
    return within
