"""Where hours, days, months and years begin in the site's time zone, across changes of daylight saving time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S
from scada.expressions.calls import Period

I8 = npt.NDArray[np.int64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Calendar:
    """Starts of the periods around a moment, reckoned anew only when an hour is over.

    >>> from zoneinfo import ZoneInfo
    >>> starts, before = Calendar(ZoneInfo("Asia/Shanghai")).around(1_700_000_000 * NS_PER_S)
    >>> str(_moment(int(starts[Period.DAY])))
    '2023-11-14 16:00:00+00:00'

    Args:
        zone: time zone of the site.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        self._zone = zone
        self._from = self._until = 0
        self._starts = np.zeros(len(Period), dtype=np.int64)
        self._before = np.zeros(len(Period), dtype=np.int64)

    def around(self, wall_ns: int) -> tuple[I8, I8]:
        """(starts of the periods that ``wall_ns`` is in, starts of those before them), ns UTC by :class:`Period`."""
        if not self._from <= wall_ns < self._until:
            self._starts = self._starts_at(wall_ns)
            self._before = np.array([0, *(int(self._starts_at(int(self._starts[p]) - 1)[p]) for p in Period if p)], np.int64)
            self._from = int(self._starts[Period.HOUR])
            # a change of daylight saving may end an hour early
            self._until = wall_ns - wall_ns % (900 * NS_PER_S) + 900 * NS_PER_S
        return self._starts, self._before

    def _starts_at(self, wall_ns: int) -> I8:
        local = _moment(wall_ns).astimezone(self._zone)
        hour = local.replace(minute=0, second=0, microsecond=0)  # keeps its fold: the repeated hour is one of its own
        day = hour.replace(hour=0, fold=0)
        starts = [0, _ns(hour), _ns(day), _ns(day.replace(day=1)), _ns(day.replace(month=1, day=1))]
        return np.array(starts, dtype=np.int64)


def _moment(ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // 1000)


def _ns(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1000
