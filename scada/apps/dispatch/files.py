"""Plan files: tables with a time a row or a time a column, and the E-language style of Chinese plan files, read into plans.

Everything that is wrong is a finding with its place; a file with findings gives no plan of the rows they are of.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, tzinfo
from difflib import get_close_matches
from typing import Final

from scada.apps.dispatch.days import labels, point_times

STEPS_S: Final = (900, 300, 1800, 3600, 60)
"""Tried in this order; the number of points of a day tells them apart."""
_TIME_HEADS: Final = frozenset({"time", "时间", "时刻", "时段", "point", "点号"})
_DAY_HEADS: Final = frozenset({"day", "date", "日期"})
_NAME_HEADS: Final = frozenset({"name", "target", "unit", "area", "mrid", "名称", "机组", "区域", "对象", "id", "设备"})
_COUNT_HEADS: Final = frozenset({"num", "no", "no.", "序号", "编号"})
_VALUE_HEADS: Final = frozenset({"mw", "value", "值", "出力", "计划", "p"})
_CLOCK: Final = re.compile(r"(?:(\d{4}-\d{2}-\d{2})[ T])?(\d{1,2}):(\d{2})(?::00)?")
_TAG: Final = re.compile(r"<(/?)([^\s>!/]+)([^>]*)>")
_ATTRIBUTE: Final = re.compile(r"""(\w+)\s*=\s*['"]?(\d{4}-?\d{2}-?\d{2})""")

Row = tuple[int, Sequence[str]]
"""Line number and cells."""


@dataclass(frozen=True, slots=True)
class FileFinding:
    """What is wrong, where, and how to mend it."""

    where: str
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class FilePlan:
    """A plan of a file."""

    target: str
    name: str
    day: date
    start_ns: int
    step_s: int
    mw: tuple[float, ...]
    whole: bool
    """It has every point of its day."""


@dataclass(frozen=True, slots=True)
class FileContext:
    """What a file does not say itself.

    Attributes:
        zone: time zone of its times.
        at_midnight: values without times begin at 00:00, not a step later.
        targets: target by each name it goes by.
        day: day of the plans, where the file has none.
        target: target of a column ``mw``.
        partial: take plans of a part of a day.
    """

    zone: tzinfo
    at_midnight: bool
    targets: Mapping[str, str]
    day: date | None = None
    target: str = ""
    partial: bool = False


@dataclass(slots=True)
class PlanFile:
    """What a file has."""

    plans: list[FilePlan] = field(default_factory=list)
    findings: list[FileFinding] = field(default_factory=list)


def read_rows(rows: Sequence[Row], context: FileContext) -> PlanFile:
    """Plans of a table: the first row is its head.

    With ``time`` as first head each row is a time and each further column a target; else each row is a target, and the columns
    are times (``00:15``) or numbers of points (``1`` .. ``96``).
    """
    found = PlanFile()
    filled = [(line, [cell.strip() for cell in cells]) for line, cells in rows if any(cell.strip() for cell in cells)]
    if len(filled) < 2:
        found.findings.append(FileFinding("file", "it has no rows under a head", "first row: heads; then values"))
        return found
    reader = _Reader(context, found)
    if filled[0][1][0].casefold() in _TIME_HEADS:
        reader.times_down(filled)
    else:
        reader.times_across(filled)
    targets = [(plan.target, plan.day) for plan in found.plans]
    for plan in found.plans:
        if targets.count((plan.target, plan.day)) > 1:
            found.findings.append(FileFinding(plan.name, f"two plans for {plan.day}", "keep one"))
    return found


def read_e_text(text: str, context: FileContext) -> PlanFile:
    """Plans of an E-language style text: blocks ``<Class::Entity date='2026-11-22'>`` with ``@`` heads and ``#`` rows.

    General knowledge of GB/T 30149 files, not checked against the standard's text: table form only (``@`` and ``#``).
    """
    found = PlanFile()
    day = context.day
    for block_day, rows in _blocks(text, day):
        one = read_rows(rows, _with_day(context, block_day))
        found.plans += one.plans
        found.findings += one.findings
    if not found.plans and not found.findings:
        mend = "<Plan::Area> @ heads # rows </Plan::Area>"
        found.findings.append(FileFinding("file", "it has no block with @ heads and # rows", mend))
    return found


def _with_day(context: FileContext, day: date | None) -> FileContext:
    return replace(context, day=day)


def _blocks(text: str, day: date | None) -> Iterator[tuple[date | None, list[Row]]]:
    rows: list[Row] = []
    block_day = day
    for line, whole in enumerate(text.splitlines(), 1):
        content = whole.strip()
        if content.startswith("<!"):
            day = _date_in(content) or day
            block_day = day
        elif tag := _TAG.fullmatch(content):
            if rows:
                yield block_day, rows
            rows, block_day = [], _date_in(tag[3]) or day
        elif content.startswith(("@", "#")):
            rows.append((line, _cells(content[1:])))
    if rows:
        yield block_day, rows


def _date_in(text: str) -> date | None:
    match = _ATTRIBUTE.search(text)
    if match is None:
        return None
    return _day(match[2] if "-" in match[2] else f"{match[2][:4]}-{match[2][4:6]}-{match[2][6:]}")


def _cells(text: str) -> list[str]:
    """Cells with blanks between; quotes hold blanks together."""
    return [one.strip("'\"") for one in re.findall(r"'[^']*'|\"[^\"]*\"|\S+", text)]


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


class _Reader:
    """Reads a table with a head."""

    def __init__(self, context: FileContext, found: PlanFile) -> None:
        self._context = context
        self._found = found

    def times_down(self, rows: Sequence[tuple[int, list[str]]]) -> None:
        """A time a row, a target a column."""
        head_line, heads = rows[0]
        times = [(f"line {line}", cells[0] if cells else "") for line, cells in rows[1:]]
        for column, head in enumerate(heads[1:], 1):
            if not head:
                continue
            target = self._target(head, f"line {head_line}, column {column + 1}")
            values = [
                (f"line {line}, column {column + 1}", cells[column] if column < len(cells) else "") for line, cells in rows[1:]
            ]
            if target is not None:
                self._plan(target, head, self._context.day, times, values)

    def times_across(self, rows: Sequence[tuple[int, list[str]]]) -> None:
        """A target a row, a time a column."""
        head_line, heads = rows[0]
        words = [head.casefold() for head in heads]
        first = next((place for place, word in enumerate(words) if _is_time(word)), len(words))
        known = _DAY_HEADS | _NAME_HEADS | _COUNT_HEADS
        name_at = next((place for place, word in enumerate(words[:first]) if word in _NAME_HEADS), None)
        if name_at is None or first == len(words) or any(word not in known for word in words[:first]):
            mend = "time, G1, G2 ... with a time a row; or name, 00:15, 00:30 ... with a name a row"
            self._tell(f"line {head_line}", "the head is neither of times nor of names", mend)
            return
        day_at = next((place for place, word in enumerate(words[:first]) if word in _DAY_HEADS), None)
        last = next((place for place in range(first, len(words)) if not _is_time(words[place])), len(words))
        times = [(f"line {head_line}, column {place + 1}", heads[place]) for place in range(first, last)]
        for line, cells in rows[1:]:
            padded = [*cells, *[""] * (last - len(cells))]
            name = padded[name_at]
            target = self._target(name, f"line {line}")
            day = self._context.day
            if day_at is not None and (day := _day(padded[day_at])) is None:
                self._tell(f"line {line}", f"{padded[day_at]!r} is no day", "write it as 2026-11-22")
                continue
            values = [(f"line {line}, column {place + 1}", padded[place]) for place in range(first, last)]
            if target is not None:
                self._plan(target, name, day, times, values)

    def _plan(
        self, target: str, name: str, day: date | None, times: Sequence[tuple[str, str]], cells: Sequence[tuple[str, str]]
    ) -> None:
        """One plan of labels of times and cells of values, each with its place."""
        told = len(self._found.findings)
        while cells and not cells[-1][1]:
            times, cells = times[:-1], cells[:-1]
        while cells and not cells[0][1]:
            times, cells = times[1:], cells[1:]
        values = [self._value(where, text) for where, text in cells]
        if len(cells) < 2:
            self._tell(name, "fewer than two values", "a plan has a value for each point of the day")
        placed = self._placed(name, day, times) if len(self._found.findings) == told else None
        if placed is None:
            return
        points, step_s, whole, of_day = placed
        if not whole and not self._context.partial:
            expected = len(point_times(of_day, self._context.zone, step_s, at_midnight=self._context.at_midnight))
            text = f"half-written: {len(values)} of {expected} points of {of_day}"
            self._tell(f"{cells[-1][0]} ({name})", text, "complete it, or take the part with --partial")
            return
        self._found.plans.append(FilePlan(target, name, of_day, points[0], step_s, tuple(values), whole))

    def _placed(self, name: str, day: date | None, times: Sequence[tuple[str, str]]) -> tuple[list[int], int, bool, date] | None:
        """(Times, step, whole day, day) of labels, or None and a finding."""
        where = times[0][0]
        dated = _CLOCK.fullmatch(times[0][1])
        if dated and dated[1]:
            day = _day(dated[1])
        if day is None:
            self._tell(where, f"the day of {name} is not said", "--day 2026-11-22, a column day, or times with their date")
            return None
        plain = [_clock(text) for _, text in times]
        zone, ordinals = self._context.zone, all(text.isdigit() for _, text in times)
        for step_s in STEPS_S:
            for at_midnight in (True, False):
                if ordinals and at_midnight is not self._context.at_midnight:
                    continue
                points = point_times(day, zone, step_s, at_midnight=at_midnight)
                shown = [f"{number}" for number in range(1, len(points) + 1)] if ordinals else labels(points, zone)
                wanted = [text for _, text in times] if ordinals else plain
                start = _run(shown, wanted)
                if start is not None and (not ordinals or len(points) >= len(wanted)):
                    whole = len(wanted) == len(points)
                    if ordinals and not whole and self._other_step(day, len(wanted)):
                        continue
                    return points[start : start + len(wanted)], step_s, whole, day
        self._tell_times(day, times, plain)
        return None

    def _other_step(self, day: date, count: int) -> bool:
        """True if so many points are a whole day of some step: numbers alone do not tell the step."""
        return any(
            len(point_times(day, self._context.zone, step_s, at_midnight=self._context.at_midnight)) == count
            for step_s in STEPS_S
        )

    def _tell_times(self, day: date, times: Sequence[tuple[str, str]], plain: Sequence[str]) -> None:
        for (where, text), clock in zip(times, plain, strict=True):
            if not clock and not text.isdigit():
                self._tell(where, f"{text!r} is no time", "write it as 00:15")
                return
        expected = labels(point_times(day, self._context.zone, STEPS_S[0]), self._context.zone)
        for place in range(len(times) - 1):
            if times[place][1] == times[place + 1][1] and plain[place] not in _repeated(expected):
                self._tell(times[place + 1][0], f"{times[place][1]} stands twice", "one value a time")
                return
        text = f"the times of {times[0][1]} .. {times[-1][1]} ({len(times)}) are not points of {day} without a hole"
        hours = len(expected) / 4
        mend = f"{len(expected)} quarters of an hour, or 3 times as many of 5 minutes; this day has {hours:g} hours"
        self._tell(times[0][0], text, mend)

    def _value(self, where: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            shown = f"{text!r} is not a number of MW" if text else "no value"
            self._tell(where, shown, "a finite number for each point")
        return value

    def _target(self, name: str, where: str) -> str | None:
        targets = self._context.targets
        if name in targets:
            return targets[name]
        if name.casefold() in _VALUE_HEADS:
            if self._context.target:
                return self._context.target
            self._tell(where, f"whose values {name!r} are is not said", "--unit or --area, or name the column")
            return None
        folded = {one.casefold(): one for one in targets}
        if name.casefold() in folded:
            return targets[folded[name.casefold()]]
        close = get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
        mend = f"did you mean {folded[close[0]]}?" if close else f"one of {', '.join(sorted(targets)[:12])}"
        self._tell(where, f"no area and no unit is called {name!r}", mend)
        return None

    def _tell(self, where: str, text: str, mend: str = "") -> None:
        self._found.findings.append(FileFinding(where, text, mend))


def _is_time(word: str) -> bool:
    return word.isdigit() or _CLOCK.fullmatch(word) is not None


def _clock(text: str) -> str:
    """``HH:MM`` of a label; empty if it is none."""
    match = _CLOCK.fullmatch(text)
    if match is None or int(match[2]) > 24 or int(match[3]) > 59:
        return ""
    return f"{int(match[2]):02}:{match[3]}"


def _run(shown: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Where a run of labels begins in those of a day; midnight at its end may be written 00:00."""
    count = len(wanted)
    for start in range(len(shown) - count + 1):
        part = shown[start : start + count]
        if all(one == other or (one == "24:00" and other == "00:00") for one, other in zip(part, wanted, strict=True)):
            return start
    return None


def _repeated(expected: Sequence[str]) -> set[str]:
    """Labels that a day has twice: the hour in which clocks are put back."""
    return {one for one in expected if expected.count(one) > 1}
