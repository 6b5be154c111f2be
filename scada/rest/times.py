"""Times as they go out and come in: ISO 8601 in UTC and ns since 1970, both to the nanosecond."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from scada.core.clock import NS_PER_S

_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)


def time(time_ns: int) -> dict[str, str] | None:
    """A time; None for 0 = none.

    >>> time(1_790_000_000_000_000_001)["iso"]
    '2026-09-21T14:13:20.000000001Z'
    """
    if not time_ns:
        return None
    seconds, rest = divmod(time_ns, NS_PER_S)
    return {"iso": f"{_to_second(seconds)}.{rest:09d}Z", "ns": str(time_ns)}


@lru_cache(maxsize=1024)
def _to_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%S}"


def parse_time(text: str) -> int:
    """Ns UTC of ISO 8601 with an offset (``2026-11-22T03:00:00.5+08:00``, ``...Z``), or of a number of ns.

    Raises:
        ValueError: neither, or out of range.

    >>> parse_time("1970-01-01T00:00:01.5Z"), parse_time("1500000000")
    (1500000000, 1500000000)
    """
    if text.isascii() and text.isdigit() and len(text) < 20:
        number = int(text)
    elif found := _TIME.fullmatch(text):
        moment = datetime.fromisoformat(found[1] + ("+00:00" if found[3] == "Z" else found[3]))
        number = int(moment.timestamp()) * NS_PER_S + int((found[2] or "").ljust(9, "0"))
    else:
        raise ValueError("a time is ISO 8601 with an offset (2026-11-22T03:00:00+08:00, or Z), or ns since 1970")
    if not 0 <= number < 1 << 63:
        raise ValueError("a time lies between 1970 and 2262")
    return number
