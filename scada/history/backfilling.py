"""Late values: which are refused, and the minutes they touch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from scada.history.interface import MINUTE_NS, LateColumns
from scada.history.reading import Reader
from scada.history.sampler import Sampler
from scada.history.shelf import HOUR_NS
from scada.rtdb.lmdb_file import Transaction

_APART_NS: Final = HOUR_NS
"""Late values farther apart are computed anew apart."""


class Refusals:
    """Sifts late values, and counts those that cannot be stored.

    Args:
        points: number of points.
        oldest_ns: what is older is not kept; 0 = everything is.
        now_ns: nothing is later.

    Attributes:
        count: values refused.
        reason: why, of the first; empty if none was.
    """

    def __init__(self, points: int, oldest_ns: int, now_ns: int) -> None:
        self._points, self._oldest_ns, self._latest_ns = points, oldest_ns, now_ns
        self.count = 0
        self.reason = ""

    def _refuse(self, count: int, reason: str) -> None:
        self.count += count
        if count and not self.reason:
            self.reason = reason

    def sift(self, late: Sequence[LateColumns]) -> Iterator[LateColumns]:
        """The values that are to be stored; without empty columns."""
        for one in late:
            if not 0 <= one.pid < self._points:
                self._refuse(len(one.time_ns), f"there is no point {one.pid}")
                continue
            future, old = one.time_ns > self._latest_ns, one.time_ns < max(1, self._oldest_ns)
            self._refuse(int(future.sum()), f"point {one.pid}: a time stamp lies in the future")
            self._refuse(int(old.sum()), f"point {one.pid}: a time stamp is older than what the history keeps")
            endless = np.isinf(one.value) & ~(future | old)
            self._refuse(int(endless.sum()), f"point {one.pid}: a value is infinite")
            good = ~(future | old | endless)
            if good.any():
                yield LateColumns(one.pid, one.time_ns[good], one.value[good], one.quality[good])


def recompute(txn: Transaction, reader: Reader, sampler: Sampler) -> None:
    """Compute the minutes anew that late values touch: from theirs to that of the next sample after them.

    The open minute is not made here: its samples are asked when it is over (``late`` of the state).
    """
    touched = sampler.touched.take()
    if not len(touched):
        return
    touched = touched[np.lexsort((touched["time"], touched["number"]))]
    apart = (np.diff(touched["number"]) != 0) | (np.diff(touched["time"]) > _APART_NS)
    for late in np.split(touched, np.flatnonzero(apart) + 1):
        number, last = int(late["number"][0]), int(late["time"][-1])
        start = int(late["time"][0]) // MINUTE_NS * MINUTE_NS
        opened = int(sampler.state[number]["minute"])
        next_ns = min(reader.next_time(txn, number, last), opened)
        stop = next_ns // MINUTE_NS * MINUTE_NS + MINUTE_NS
        old, _ = reader.minutes(txn, number, start, stop, carried=False)
        made = reader.made_anew(txn, number, start, stop, old, late)
        sampler.minutes.extend(made[made["time"] < opened])
