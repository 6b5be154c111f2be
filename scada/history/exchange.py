"""History as files for others, written page by page and read row by row, so that memory stays flat: what is in them, and CSV.

A file of samples has the columns ``time, path, mrid, value, unit, marks, quality``; a file of periods has the statistics of each
period instead of ``value``. An empty value is not known. The row at which a gap begins has no value and the quality
:data:`~scada.history.interface.NOT_RECORDED`. What was written is read back bit for bit, whatever the format.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final, Protocol, TextIO

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError
from scada.core.quality import marks

FIXED: Final = ("time", "path", "mrid")
SAMPLE_VALUES: Final = ("value",)
PERIOD_VALUES: Final = ("mean", "time_weighted", "minimum", "maximum", "last", "count", "good_s")
TAIL: Final = ("unit", "marks", "quality")
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII | re.IGNORECASE
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_NS: Final = 2**63 - 1


class FileError(ScadaError):
    """A file of history cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive rows of one point. Columns have equal length.

    Attributes:
        values: by name, ``SAMPLE_VALUES`` or ``PERIOD_VALUES``; NaN = not known.
        quality: quality words.
    """

    path: str
    mrid: str
    unit: str
    time_ns: npt.NDArray[np.int64]
    values: Mapping[str, npt.NDArray[np.generic]]
    quality: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.time_ns)


class Writer(Protocol):
    """Takes pages and makes a file of them."""

    def write(self, page: Page) -> None:
        """Put the rows of a page at the end."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def format_time(time_ns: int, zone: tzinfo = UTC) -> str:
    """ISO 8601 with offset; milliseconds, or nanoseconds where there are any.

    >>> format_time(1_700_000_000_120_000_000)
    '2023-11-14T22:13:20.120Z'
    >>> format_time(1_700_000_000_000_000_001)
    '2023-11-14T22:13:20.000000001Z'
    """
    seconds, ns = divmod(time_ns, NS_PER_S)
    moment = (_EPOCH + timedelta(seconds=seconds)).astimezone(zone)
    offset = moment.isoformat()[-6:]
    fraction = f"{ns // 1_000_000:03d}" if ns % 1_000_000 == 0 else f"{ns:09d}"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction}{'Z' if offset == '+00:00' and zone is UTC else offset}"


def parse_time(text: str, zone: tzinfo | None = None) -> int:
    """Time in ns UTC of an ISO 8601 date and time, exact to the nanosecond.

    Args:
        text: date, time and offset (or ``Z``).
        zone: of a time that has no offset; None = refuse it.

    Raises:
        ValueError: it is not such a time, in one sentence.

    >>> parse_time("2023-11-15T06:13:20.120+08:00")
    1700000000120000000
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a time like 2026-11-21T13:00:00.000Z")
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    if offset is None and zone is None:
        raise ValueError(f"the time {text!r} has no offset; put Z or +hh:mm behind it")
    zone_text = "" if offset is None else ("+00:00" if offset in "Zz" else offset)
    try:
        moment = datetime.fromisoformat(f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}{zone_text}")
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time: {error}") from error
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    since = aware - _EPOCH
    time_ns = (since.days * 86_400 + since.seconds) * NS_PER_S + int((fraction or "0").ljust(9, "0"))
    if not 0 < time_ns <= _MOST_NS:
        raise ValueError(f"the time {text!r} is not between 1970 and 2262")
    return time_ns


# ---------------------------------------------------------------------- CSV


class CsvWriter:
    """Writes CSV (RFC 4180 but with plain line feeds), a header line first.

    Args:
        file: open for text, with ``newline=""``; not closed.
        values: names of the value columns.
        zone: of the times.
    """

    def __init__(self, file: TextIO, values: Sequence[str] = SAMPLE_VALUES, zone: tzinfo = UTC) -> None:
        self._file = file
        self._values = values
        self._zone = zone
        csv.writer(file, lineterminator="\n").writerow((*FIXED, *values, *TAIL))

    def write(self, page: Page) -> None:
        """Put the rows of a page at the end."""
        lines = io.StringIO()
        rows = csv.writer(lines, lineterminator="\n")
        shown = {int(word): marks(int(word)) for word in np.unique(page.quality)}
        columns = [page.values[name].tolist() for name in self._values]
        for time_ns, word, *numbers in zip(page.time_ns.tolist(), page.quality.tolist(), *columns, strict=True):
            time = format_time(time_ns, self._zone)
            rows.writerow((time, page.path, page.mrid, *map(_number, numbers), page.unit, shown[word], word))
        self._file.write(lines.getvalue())

    def close(self) -> None:
        """Write what is buffered."""
        self._file.flush()


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


# ---------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class Row:
    """One sample of a file.

    Attributes:
        line: line of a CSV file, or row of a Parquet file, counted from 1.
        point: mRID, or path where the file has no mRID.
        value: NaN = not known.
    """

    line: int
    point: str
    time_ns: int
    value: float
    quality: int


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read, and why."""

    line: int
    reason: str


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its first octets.

    Raises:
        FileError: it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError as error:
        raise FileError(f"cannot read it: {error.strerror or error}", where=str(path)) from error


def read_csv(path: Path) -> Iterator[Row | BadRow]:
    """The rows of a CSV file of samples, in its order.

    Raises:
        FileError: it cannot be opened, or is no file of samples.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            head = next(lines, [])
            place = places(head, path)
            for cells in lines:
                yield _row_of(lines.line_num, cells, place, len(head))
    except OSError as error:
        raise FileError(f"cannot read it: {error.strerror or error}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise FileError(f"not UTF-8 text: {error.reason}", where=str(path), mend="give CSV in UTF-8, or Parquet") from error
    except csv.Error as error:
        raise FileError(f"not CSV: {error}", where=str(path)) from error


def places(names: Sequence[str], path: Path) -> dict[str, int]:
    """Where the columns ``time, point, value, quality`` of an import are; the point by its mRID, else by its path.

    Raises:
        FileError: one is missing.
    """
    place = {name.strip().lower(): at for at, name in enumerate(names)}
    wanted = ["time", "mrid" if "mrid" in place else "path", "value", "quality"]
    if missing := [name for name in wanted if name not in place]:
        mend = "periods cannot be imported; export without --period" if "time_weighted" in place else "see `scada history export`"
        raise FileError(f"the columns {', '.join(missing)} are missing", where=str(path), mend=mend)
    place["point"] = place[wanted[1]]
    return place


def _row_of(line: int, cells: Sequence[str], place: Mapping[str, int], width: int) -> Row | BadRow:
    if len(cells) != width:
        return BadRow(line, f"it has {len(cells)} fields, not {width}")
    text = {name: cells[place[name]].strip() for name in ("time", "point", "value", "quality")}
    try:
        time_ns = parse_time(text["time"])
    except ValueError as error:
        return BadRow(line, str(error))
    try:
        value = float(text["value"]) if text["value"] else math.nan
    except ValueError:
        return BadRow(line, f"the value {text['value']!r} is not a number")
    return checked(line, text["point"], time_ns, value, text["quality"])


def checked(line: int, point: str, time_ns: int, value: float, word: str) -> Row | BadRow:
    """A row whose quality is a word and which names a point, or what is wrong with it."""
    try:
        quality = int(word, 0)
    except ValueError:
        return BadRow(line, f"the quality {word!r} is not a number")
    if not 0 <= quality < 2**32:
        return BadRow(line, f"the quality {word} is not a word of 32 bits")
    if not point:
        return BadRow(line, "it names no point")
    return Row(line, point, time_ns, value, quality)
