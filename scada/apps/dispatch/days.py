"""Days of a plan in the site's time zone: they have 23, 24 or 25 hours, and their points are counted in elapsed time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

from scada.core.clock import NS_PER_S

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def local(time_ns: int, zone: tzinfo) -> datetime:
    """A moment as the clock on the wall shows it, to the second."""
    return (_EPOCH + timedelta(seconds=time_ns // NS_PER_S)).astimezone(zone)


def day_of(time_ns: int, zone: tzinfo) -> date:
    """The day a moment belongs to."""
    return local(time_ns, zone).date()


def day_bounds(day: date, zone: tzinfo) -> tuple[int, int]:
    """Midnight at the start and at the end of a day, ns UTC.

    >>> from zoneinfo import ZoneInfo
    >>> [(end - start) / 3.6e12 for start, end in [day_bounds(date(2026, 3, 29), ZoneInfo("Europe/Berlin"))]]
    [23.0]
    """
    return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)


def _midnight(day: date, zone: tzinfo) -> int:
    return int((datetime.combine(day, time(), zone).astimezone(UTC) - _EPOCH).total_seconds()) * NS_PER_S


def point_times(day: date, zone: tzinfo, step_s: int, *, at_midnight: bool = False) -> list[int]:
    """Times of the points of a whole day, ns UTC: 96 of a quarter of an hour; 92 and 100 when clocks are put forward and back.

    Args:
        day: the day.
        zone: whose day it is.
        step_s: s between two points.
        at_midnight: the first point is at 00:00 and the last a step before the day's end; else one step later.
    """
    start, end = day_bounds(day, zone)
    step = step_s * NS_PER_S
    first = start if at_midnight else start + step
    return list(range(first, end if at_midnight else end + 1, step))


def labels(times: list[int], zone: tzinfo) -> list[str]:
    """What the clock shows at these times; midnight at the end of a day is ``24:00``.

    >>> from zoneinfo import ZoneInfo
    >>> labels(point_times(date(2026, 11, 22), ZoneInfo("Asia/Shanghai"), 900), ZoneInfo("Asia/Shanghai"))[::47]
    ['00:15', '12:00', '23:45']
    """
    shown = [f"{local(one, zone):%H:%M}" for one in times]
    return [*shown[:1], *("24:00" if one == "00:00" else one for one in shown[1:])]
