"""Hours, days and months from the minutes: all indices of an area, and what its units did and how they are judged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from scada.apps.agc_avc.performance.balancing import Beyond, a1, a2, beyond_baal
from scada.apps.agc_avc.performance.cps import MINUTE_NS, Column, Share, chinese_cps, control_factors, cps1, cps2, period_means
from scada.apps.agc_avc.performance.hours import HourScore
from scada.apps.agc_avc.performance.minutes import AREA_MINUTE, Rows
from scada.apps.agc_avc.performance.rules import RuleProfile, score
from scada.apps.agc_avc.performance.store import KeptCommand, KeptUnit
from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError

Period = Literal["minute", "hour", "day", "month"]
PERIODS: Final[tuple[Period, ...]] = ("minute", "hour", "day", "month")
LEAD_MINUTES: Final = 180
"""Read before a span, so that a run beyond BAAL that began earlier is known."""
MOST_PERIODS: Final = 20_000
_SHORTEST_WINDOWED: Final = 60


class PeriodError(ScadaError):
    """A span that cannot be divided."""


@dataclass(frozen=True, slots=True)
class AreaPeriod:
    """Indices of one period; NaN = no data.

    Attributes:
        begin_ns: ns UTC.
        end_ns: ns UTC.
        minutes: of the period, up to now.
        valid_minutes: of these, with enough samples.
        on_percent: of the samples taken, those with AGC on.
        cps1_percent: CPS1.
        cps2: periods of 10 or 15 minutes within L10.
        chinese: such periods that qualify by the Chinese CPS.
        kcps: mean KCPS.
        baal_low: minutes below the lower limit.
        baal_high: minutes above the upper limit.
        baal_violations: runs that became longer than 30 minutes.
        baal_longest: longest run that ends or goes on in it, minutes.
        a1: periods of 10 minutes in which the ACE crossed zero.
        a2: such periods within Ld.
        ace_mean_mw: mean ACE.
        ace_rms_mw: root mean square of the minute means.
        deviation_rms_hz: root mean square of the minute means of the frequency deviation.
        time_error_s: gained, over the time that was watched.
        inadvertent_mwh: net interchange actual less scheduled, over the minutes that are known.
    """

    begin_ns: int
    end_ns: int
    minutes: int
    valid_minutes: int
    on_percent: float
    cps1_percent: float
    cps2: Share
    chinese: Share
    kcps: float
    baal_low: int
    baal_high: int
    baal_violations: int
    baal_longest: int
    a1: Share
    a2: Share
    ace_mean_mw: float
    ace_rms_mw: float
    deviation_rms_hz: float
    time_error_s: float
    inadvertent_mwh: float

    @property
    def valid_percent(self) -> float:
        """Share of the minutes with data."""
        return 100.0 * self.valid_minutes / self.minutes if self.minutes else math.nan


def bounds(begin_ns: int, end_ns: int, period: Period, zone: ZoneInfo) -> list[int]:
    """Begins of the periods that a span touches, and the end of the last, ns UTC; in the site's time zone.

    Raises:
        PeriodError: the span is empty, or has more than :data:`MOST_PERIODS` periods.
    """
    if not 0 <= begin_ns < end_ns:
        raise PeriodError("the span ends before it begins")
    found = [_floor(begin_ns, period, zone)]
    while found[-1] < end_ns:
        if len(found) > MOST_PERIODS:
            raise PeriodError(f"more than {MOST_PERIODS} periods", mend="ask for a shorter span or longer periods")
        found.append(_following(found[-1], period, zone))
    return found


def _floor(ns: int, period: Period, zone: ZoneInfo) -> int:
    if period == "minute":
        return ns - ns % MINUTE_NS
    local = datetime.fromtimestamp(ns // NS_PER_S, tz=UTC).astimezone(zone).replace(minute=0, second=0, microsecond=0)
    if period != "hour":
        local = local.replace(day=1 if period == "month" else local.day, hour=0, fold=0)
    return int(local.timestamp()) * NS_PER_S


def _following(ns: int, period: Period, zone: ZoneInfo) -> int:
    if period in {"minute", "hour"}:
        return ns + (MINUTE_NS if period == "minute" else 60 * MINUTE_NS)
    # from the middle of the next day or month its beginning is found, whatever the clocks do
    days = 1.5 if period == "day" else 45.0
    local = datetime.fromtimestamp(ns // NS_PER_S, tz=UTC).astimezone(zone)
    if period == "month":
        local = local.replace(day=1)
    return _floor(int((local + timedelta(days=days)).timestamp()) * NS_PER_S, period, zone)


def area_periods(rows: Rows, limits_ns: Sequence[int], length: int, until_ns: int) -> list[AreaPeriod]:
    """Indices of each period.

    Args:
        rows: minutes, ascending, from :data:`LEAD_MINUTES` before the first period on.
        limits_ns: see :func:`bounds`.
        length: minutes of a period of CPS2.
        until_ns: now: later minutes are not missing yet.
    """
    first = limits_ns[0] // MINUTE_NS - LEAD_MINUTES
    last = limits_ns[-1] // MINUTE_NS
    dense = np.zeros(last - first, dtype=AREA_MINUTE)
    for name in AREA_MINUTE.names or ():
        if dense.dtype[name].kind == "f":
            dense[name] = math.nan
    inside = rows[(rows["minute"] >= first) & (rows["minute"] < last)]
    dense[inside["minute"] - first] = inside
    beyond = beyond_baal(dense["ace_mw"], dense["deviation_hz"], dense["bias"], dense["eps1_hz"])
    found = []
    for begin, end in pairwise(limits_ns):
        at = slice(begin // MINUTE_NS - first, end // MINUTE_NS - first)
        due = max(0, min(end, until_ns - until_ns % MINUTE_NS) - begin) // MINUTE_NS
        found.append(_period(begin, end, due, dense[at], beyond, at, length))
    return found


def _period(begin: int, end: int, due: int, rows: Rows, beyond: Beyond, at: slice, length: int) -> AreaPeriod:
    ace, deviation = rows["ace_mw"], rows["deviation_hz"]
    known = np.isfinite(ace)
    factors = control_factors(ace, deviation, rows["bias"]) / rows["eps1_hz"] ** 2
    # windows that are still to come are neither good nor missing
    past = max(due, int(np.flatnonzero(known)[-1]) + 1 if known.any() else 0) if len(rows) >= _SHORTEST_WINDOWED else 0
    part = rows[:past]
    means, limits = period_means(part["ace_mw"], length), period_means(part["l10_mw"], length)
    chinese = chinese_cps(factors[:past], means, 1.0, limits, length)
    lows = _extremes(part["ace_low_mw"], np.fmin)
    highs = _extremes(part["ace_high_mw"], np.fmax)
    tens, ld = period_means(part["ace_mw"], 10), period_means(part["ld_mw"], 10)
    unknown = np.isnan(tens)
    lows[unknown] = highs[unknown] = math.nan
    asked = int(rows["asked"].sum())
    return AreaPeriod(
        begin_ns=begin,
        end_ns=end,
        minutes=max(due, int(known.sum())),
        valid_minutes=int(known.sum()),
        on_percent=100.0 * int(rows["on"].sum()) / asked if asked else math.nan,
        cps1_percent=cps1(factors, 1.0),
        cps2=cps2(means, limits),
        chinese=chinese.share,
        kcps=_mean(chinese.kcps),
        baal_low=int(beyond.low[at].sum()),
        baal_high=int(beyond.high[at].sum()),
        baal_violations=int(beyond.violation[at].sum()),
        baal_longest=int(beyond.run[at].max(initial=0)),
        a1=a1(lows, highs),
        a2=a2(tens, ld),
        ace_mean_mw=_mean(ace),
        ace_rms_mw=_rms(ace),
        deviation_rms_hz=_rms(deviation),
        time_error_s=float(np.nansum(rows["time_error_s"])) if rows["frequency_valid"].any() else math.nan,
        inadvertent_mwh=float(np.nansum(rows["inadvertent_mw"])) / 60.0
        if np.isfinite(rows["inadvertent_mw"]).any()
        else math.nan,
    )


def _extremes(column: Column, pick: Any) -> Column:
    table = column[: len(column) // 10 * 10].reshape(-1, 10)
    found: Column = pick.reduce(table, axis=1) if len(table) else np.zeros(0)
    return found


def _mean(column: Column) -> float:
    known = column[np.isfinite(column)]
    return float(known.mean()) if known.size else math.nan


def _rms(column: Column) -> float:
    known = column[np.isfinite(column)]
    return float(np.sqrt((known * known).mean())) if known.size else math.nan


# ---------------------------------------------------------------- units


@dataclass(slots=True)
class UnitPeriod:
    """What one unit did in one period and how the rules judge it; NaN = no data.

    Attributes:
        unit: which.
        begin_ns: ns UTC.
        end_ns: ns UTC.
        minutes: of the period with records.
        valid_minutes: of these, with its output.
        on_minutes: under AGC.
        energy_mwh: over the valid minutes.
        error_mw: mean distance from the set-point under AGC.
        up_mw: movement upwards under AGC.
        down_mw: movement downwards.
        commands: that began in it.
        judged: of these, by the rules.
        k: means of K1, K2, K3 (as the rules number them) and of the whole.
        depth_mw: sum of what the judged commands moved.
        pjm: mean of the hours' PJM scores.
    """

    unit: KeptUnit
    begin_ns: int
    end_ns: int
    minutes: float = 0.0
    valid_minutes: float = 0.0
    on_minutes: float = 0.0
    energy_mwh: float = 0.0
    error_mw: float = math.nan
    up_mw: float = 0.0
    down_mw: float = 0.0
    commands: int = 0
    judged: int = 0
    k: tuple[float, float, float, float] = (math.nan, math.nan, math.nan, math.nan)
    depth_mw: float = 0.0
    pjm: float = math.nan


@dataclass(slots=True)
class _Judged:
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)
    count: int = 0
    commands: int = 0
    depth: float = 0.0
    scores: list[float] = field(default_factory=list)


def unit_periods(
    units: Sequence[KeptUnit],
    minutes: Iterable[tuple[int, Rows]],
    commands: Iterable[KeptCommand],
    scores: Iterable[HourScore],
    limits_ns: Sequence[int],
    profile: RuleProfile,
) -> list[UnitPeriod]:
    """What each unit did in each period; a unit without any record in a period has no row.

    Args:
        units: of one area.
        minutes: (minute, rows of its units).
        commands: of the span; those of other units are left out.
        scores: of the hours of the span.
        limits_ns: see :func:`bounds`.
        profile: rules.
    """
    edges = np.array(limits_ns, dtype=np.int64)
    sums = _minute_sums(units, minutes, edges)
    judged = _judge({unit.number: unit for unit in units}, commands, edges, profile)
    for hour, number, found in scores:
        place = int(np.searchsorted(edges, hour * 3600 * NS_PER_S, "right")) - 1
        if 0 <= place < len(edges) - 1 and not math.isnan(found.score):
            judged.setdefault((place, number), _Judged()).scores.append(found.score)
    rows = []
    for place in range(len(edges) - 1):
        for column, unit in enumerate(units):
            counted, verdict = sums[place, column], judged.get((place, unit.number))
            if not counted[0] and verdict is None:
                continue
            row = UnitPeriod(unit, limits_ns[place], limits_ns[place + 1])
            row.minutes, row.valid_minutes, row.on_minutes, row.energy_mwh = (float(one) for one in counted[:4])
            row.error_mw = float(counted[4] / counted[5]) if counted[5] else math.nan
            row.up_mw, row.down_mw = float(counted[6]), float(counted[7])
            if verdict is not None:
                row.commands, row.judged, row.depth_mw = verdict.commands, verdict.count, verdict.depth
                row.pjm = math.fsum(verdict.scores) / len(verdict.scores) if verdict.scores else math.nan
                if verdict.count:
                    first, second, third, total = (one / verdict.count for one in verdict.sums)
                    row.k = (first, second, third, total)
            rows.append(row)
    return rows


def _minute_sums(
    units: Sequence[KeptUnit], minutes: Iterable[tuple[int, Rows]], edges: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Sums by period and unit: minutes, valid, on, MWh, error x on, on (with an error), up, down."""
    sums = np.zeros((len(edges) - 1, len(units), 8))
    columns = np.full(max((unit.number for unit in units), default=-1) + 2, -1, dtype=np.int64)
    columns[[unit.number for unit in units]] = np.arange(len(units))
    for minute, found in minutes:
        place = int(np.searchsorted(edges, minute * MINUTE_NS, "right")) - 1
        column = columns[np.minimum(found["unit"], len(columns) - 1)]
        here = column >= 0
        if not 0 <= place < len(edges) - 1 or not here.any():
            continue
        rows, column = found[here], column[here]
        power, error, on = rows["power_mw"].astype(np.float64), rows["error_mw"].astype(np.float64), rows["on"] / rows["asked"]
        judged = np.isfinite(error)
        sums[place, column] += np.column_stack(
            [
                np.ones(len(rows)),
                np.isfinite(power),
                on,
                np.where(np.isfinite(power), power, 0.0) / 60.0,
                np.where(judged, error, 0.0) * on,
                judged * on,
                rows["up_mw"],
                rows["down_mw"],
            ]
        )
    return sums


def _judge(
    units: dict[int, KeptUnit], commands: Iterable[KeptCommand], edges: npt.NDArray[np.int64], profile: RuleProfile
) -> dict[tuple[int, int], _Judged]:
    found: dict[tuple[int, int], _Judged] = {}
    for number, measured in commands:
        unit = units.get(number)
        place = int(np.searchsorted(edges, measured.begin_ns, "right")) - 1
        if unit is None or not 0 <= place < len(edges) - 1:
            continue
        verdict = found.setdefault((place, number), _Judged())
        verdict.commands += 1
        result = score(measured, profile, unit.fuel, unit.rated_mw)
        if math.isnan(result.total):
            continue
        verdict.count += 1
        verdict.depth += abs(measured.end_mw - measured.from_mw)
        parts = [getattr(result, label) for label in profile.score.labels]
        verdict.sums = [total + part for total, part in zip(verdict.sums, (*parts, result.total), strict=True)]
    return found
