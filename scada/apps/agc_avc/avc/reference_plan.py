"""Plans of voltage targets: read, checked line by line, named by their digest. A plan with a fault is refused as a whole.

CSV: a header ``pilot,time,kv`` and one line a target, times ``HH:MM`` (every day) or ISO 8601 with a UTC offset; comment lines
``# valid_from: ...`` and ``# valid_until: ...`` (ISO 8601) bound it. TOML: ``valid_from``, ``valid_until``, ``step_minutes`` and
tables ``[pilots."name"]`` with ``kv = [...]``, one value a step of the whole day, or ``periods = [["08:00", 115.2], ...]``.
A target holds from its time on until the next one.
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scada.apps.agc_avc.avc.tertiary import Reference
from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError
from scada.model_cim.regulation import PilotNode

_DAY_S = 86_400
_MOST_LINES = 1_000_000
_FIELDS = 3


class PlanError(ScadaError):
    """A plan of targets that cannot be used; the message names every fault with its line, up to twenty."""


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    pilot: str
    time: str
    kv: float


class ReferencePlan:
    """Targets of pilot nodes over the day or over dated times.

    Args:
        daily: by mRID: seconds of the day, ascending, and targets in kV.
        dated: by mRID: times in ns UTC, ascending, and targets.
        valid_ns: first and last moment, None = open.
        digest: SHA-256 of the file.
        day_offset_s: seconds added to UTC for the time of the day.
    """

    source = "file"

    def __init__(
        self,
        daily: Mapping[str, tuple[Sequence[float], Sequence[float]]],
        dated: Mapping[str, tuple[Sequence[int], Sequence[float]]],
        valid_ns: tuple[int | None, int | None],
        digest: str,
        day_offset_s: float,
    ) -> None:
        self.digest = digest
        self.valid_ns = valid_ns
        self._daily = daily
        self._dated = dated
        self._offset_s = day_offset_s

    @property
    def pilots(self) -> set[str]:
        """MRIDs of the pilot nodes it has targets for."""
        return {*self._daily, *self._dated}

    def targets_of(self, mrid: str) -> Sequence[float]:
        """Every target of a pilot node, kV, in the order of time."""
        return self._dated.get(mrid, self._daily.get(mrid, ((), ())))[1]

    def target(self, pilot: PilotNode, now_ns: int) -> Reference:
        """The target that holds; none, and why, before the plan begins and after it ended."""
        begins, ends = self.valid_ns
        if begins is not None and now_ns < begins:
            return Reference(math.nan, "the plan is not valid yet")
        if ends is not None and now_ns >= ends:
            return Reference(math.nan, "the plan is over")
        if pilot.mrid in self._dated:
            times, targets = self._dated[pilot.mrid]
            place = bisect_right(times, now_ns) - 1
            return Reference(targets[place]) if place >= 0 else Reference(math.nan, "the plan has no target yet")
        if pilot.mrid in self._daily:
            seconds, targets = self._daily[pilot.mrid]
            place = bisect_right(seconds, (now_ns / NS_PER_S + self._offset_s) % _DAY_S) - 1
            return Reference(targets[place])  # before the first of the day the last one of the day before: index -1
        return Reference(math.nan)


def read_plan(text: str, name: str, pilots: Iterable[PilotNode], day_offset_s: float = 0.0) -> ReferencePlan:
    """Read and check a plan.

    Args:
        text: the file.
        name: its name, for messages; ``.toml`` is TOML, everything else CSV.
        pilots: pilot nodes of the model, for names and limits.
        day_offset_s: seconds added to UTC for the time of the day.

    Raises:
        PlanError: naming every fault with its line.
    """
    faults: list[str] = []
    rows, bounds = _toml_rows(text, faults) if name.endswith(".toml") else _csv_rows(text, faults)
    valid = tuple(_moment(bounds[key], faults, f"{name}: {key}") if bounds.get(key) else None for key in _BOUNDS)
    by_name: dict[str, list[PilotNode]] = {}
    for one in pilots:
        for key in {one.name, one.mrid}:
            by_name.setdefault(key, []).append(one)
    daily: dict[str, dict[float, float]] = {}
    dated: dict[str, dict[float, float]] = {}
    for row in rows:
        pilot = _pilot(row, by_name, faults)
        at = _time(row, faults)
        if pilot is None or at is None or not _allowed(row, pilot, faults):
            continue
        series = (dated if at[0] else daily).setdefault(pilot.mrid, {})
        if at[1] in series:
            faults.append(f"line {row.line}: {row.pilot} has two targets for {row.time}")
        elif series and at[1] < next(reversed(series)):
            faults.append(f"line {row.line}: times of {row.pilot} do not ascend")
        series[at[1]] = row.kv
    faults += [f"{mrid} has daily and dated targets: use one kind" for mrid in daily.keys() & dated.keys()]
    if not rows and not faults:
        faults.append("it has no target")
    if valid[0] is not None and valid[1] is not None and valid[0] >= valid[1]:
        faults.append("valid_until is not after valid_from")
    if faults:
        more = f"; and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise PlanError(f"{name} is refused: {'; '.join(faults[:20])}{more}", mend="mend the lines named; nothing of it is used")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ReferencePlan(
        {mrid: (list(series), list(series.values())) for mrid, series in daily.items()},
        {mrid: ([int(one) for one in series], list(series.values())) for mrid, series in dated.items()},
        (valid[0], valid[1]),
        digest,
        day_offset_s,
    )


_BOUNDS = ("valid_from", "valid_until")


def _csv_rows(text: str, faults: list[str]) -> tuple[list[_Row], dict[str, str]]:
    rows: list[_Row] = []
    bounds: dict[str, str] = {}
    header = False
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if number > _MOST_LINES:
            faults.append(f"more than {_MOST_LINES} lines")
            break
        if not line.strip():
            continue
        if line.lstrip().startswith("#"):
            key, _, value = line.lstrip("# \t").partition(":")
            if key.strip() in _BOUNDS:
                bounds[key.strip()] = value.strip()
            continue
        fields = [field.strip() for field in line.split(",")]
        if not header:
            header = True
            if [field.lower() for field in fields] != ["pilot", "time", "kv"]:
                faults.append(f"line {number}: the header must be pilot,time,kv")
                break
            continue
        if len(fields) != _FIELDS:
            faults.append(f"line {number}: {len(fields)} fields instead of 3")
            continue
        rows.append(_Row(number, fields[0], fields[1], _number(fields[2])))
    return rows, bounds


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _toml_rows(text: str, faults: list[str]) -> tuple[list[_Row], dict[str, str]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        faults.append(str(error))
        return [], {}
    unknown = set(document) - {*_BOUNDS, "step_minutes", "pilots"}
    faults += [f"unknown key {key}" for key in sorted(unknown)]
    bounds = {
        key: value.isoformat() if isinstance(value, datetime) else str(value) for key in _BOUNDS if (value := document.get(key))
    }
    lines = {line.strip(): number for number, line in enumerate(text.splitlines(), 1)}
    step = document.get("step_minutes", 15)
    pilots = document.get("pilots", {})
    rows: list[_Row] = []
    for pilot, table in pilots.items() if isinstance(pilots, dict) else ():
        line = next((lines[key] for key in (f'[pilots."{pilot}"]', f"[pilots.{pilot}]") if key in lines), 0)
        rows += _toml_pilot(line, str(pilot), table, step, faults)
    return rows, bounds


def _toml_pilot(line: int, pilot: str, table: Any, step: Any, faults: list[str]) -> list[_Row]:
    if not isinstance(table, dict) or set(table) not in ({"kv"}, {"periods"}):
        faults.append(f"line {line}: {pilot} needs kv or periods, and nothing else")
        return []
    if "periods" in table:
        periods = table["periods"]
        if not isinstance(periods, list) or any(not isinstance(one, list) or len(one) != 2 for one in periods):
            faults.append(f'line {line}: periods of {pilot} must be pairs such as ["08:00", 115.2]')
            return []
        return [_Row(line, pilot, str(begins), _number(kv)) for begins, kv in periods]
    values = table["kv"]
    if not isinstance(step, int) or step <= 0 or 1440 % step or not isinstance(values, list) or len(values) != 1440 // step:
        faults.append(f"line {line}: kv of {pilot} must be a list with one value for each step_minutes of the day")
        return []
    return [_Row(line, pilot, f"{i * step // 60:02d}:{i * step % 60:02d}", _number(kv)) for i, kv in enumerate(values)]


def _pilot(row: _Row, by_name: Mapping[str, list[PilotNode]], faults: list[str]) -> PilotNode | None:
    found = by_name.get(row.pilot, [])
    if len(found) == 1:
        return found[0]
    faults.append(f"line {row.line}: {'no' if not found else 'more than one'} pilot node {row.pilot!r}")
    return None


def _allowed(row: _Row, pilot: PilotNode, faults: list[str]) -> bool:
    if not math.isfinite(row.kv) or row.kv <= 0:
        faults.append(f"line {row.line}: no voltage")
    elif row.kv < pilot.minimum or row.kv > pilot.maximum:
        faults.append(f"line {row.line}: {row.kv:g} kV is outside {pilot.minimum:g} .. {pilot.maximum:g} kV of {pilot.name}")
    else:
        return True
    return False


def _time(row: _Row, faults: list[str]) -> tuple[bool, float] | None:
    """Whether it is dated, and the second of the day or ns UTC."""
    hour, colon, minute = row.time.partition(":")
    if colon and len(row.time) <= len("HH:MM") and hour.isdigit() and minute.isdigit():
        if int(hour) < 24 and int(minute) < 60:
            return False, int(hour) * 3600.0 + int(minute) * 60.0
        faults.append(f"line {row.line}: no time of the day {row.time!r}")
        return None
    moment = _moment(row.time, faults, f"line {row.line}")
    return None if moment is None else (True, moment)


def _moment(text: str, faults: list[str], where: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        faults.append(f"{where}: no time {text!r}; write HH:MM or 2026-11-22T08:00+08:00")
        return None
    if moment.tzinfo is None:
        faults.append(f"{where}: {text!r} needs a UTC offset, such as +08:00")
        return None
    return round(moment.timestamp()) * NS_PER_S
