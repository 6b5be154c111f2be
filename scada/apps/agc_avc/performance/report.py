"""What a report shows, gathered from the accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from scada.apps.agc_avc.performance.cps import MINUTE_NS
from scada.apps.agc_avc.performance.disturbance import Disturbance
from scada.apps.agc_avc.performance.periods import (
    LEAD_MINUTES,
    PERIODS,
    AreaPeriod,
    Period,
    PeriodError,
    UnitPeriod,
    area_periods,
    bounds,
    unit_periods,
)
from scada.apps.agc_avc.performance.rules import RuleProfile, profile_named
from scada.apps.agc_avc.performance.store import KeptArea, PerformanceReader

_HOUR_NS: Final = 60 * MINUTE_NS
MOST_DAYS: Final = 800
"""Longest span of a report: two years to the minute are in memory while it is made."""
MOST_ROWS: Final = 200_000
"""Rows of units, one a unit and period."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        area: name or mRID; empty = the only one.
        from_ns: ns UTC; the periods that the span touches are shown whole.
        to_ns: ns UTC.
        period: ``minute``, ``hour``, ``day`` or ``month``.
        profile: name of the rules; empty = the area's.
        units: with its units.
    """

    area: str
    from_ns: int
    to_ns: int
    period: Period
    profile: str = ""
    units: bool = True


@dataclass(frozen=True, slots=True)
class Context:
    """By what a report is reckoned.

    Attributes:
        profiles: rules by name.
        zone: time zone of hours, days and months.
        length: minutes of a period of CPS2.
        now_ns: ns UTC: what comes later is not missing yet.
    """

    profiles: Mapping[str, RuleProfile]
    zone: ZoneInfo
    length: int
    now_ns: int


@dataclass(frozen=True, slots=True)
class PerformanceReport:
    """Rows of a report.

    Attributes:
        area: which.
        period: of a row.
        begin_ns: ns UTC.
        end_ns: ns UTC.
        total: the span as one.
        periods: its parts.
        units: a row a unit and part.
        unit_totals: a row a unit.
        disturbances: that began in it.
        profile: rules.
        length: minutes of a period of CPS2.
        zone: time zone.
        made_ns: ns UTC.
    """

    area: KeptArea
    period: Period
    begin_ns: int
    end_ns: int
    total: AreaPeriod
    periods: tuple[AreaPeriod, ...]
    units: tuple[UnitPeriod, ...]
    unit_totals: tuple[UnitPeriod, ...]
    disturbances: tuple[Disturbance, ...]
    profile: RuleProfile
    length: int
    zone: ZoneInfo
    made_ns: int


def gather(reader: PerformanceReader, wanted: Wanted, context: Context) -> PerformanceReport:
    """Read and reckon.

    Raises:
        PeriodError: the span or the period cannot be used, or there is no such area.
        ConfigError: there is no such profile.
        StoreError: the accounts cannot be read.
    """
    if wanted.period not in PERIODS:
        raise PeriodError(f"no period {wanted.period!r}", mend=f"one of {', '.join(PERIODS)}")
    area = area_named(reader, wanted.area)
    profile = profile_named(context.profiles, wanted.profile or area.rules)
    edges = bounds(wanted.from_ns, wanted.to_ns, wanted.period, context.zone)
    begin, end = edges[0] // MINUTE_NS, edges[-1] // MINUTE_NS
    if end - begin > MOST_DAYS * 1440:
        raise PeriodError(f"more than {MOST_DAYS} days", mend="ask for several reports")
    rows = reader.minutes(area.number, max(0, begin - LEAD_MINUTES), end)
    whole = [edges[0], edges[-1]]
    parts: tuple[UnitPeriod, ...] = ()
    totals: tuple[UnitPeriod, ...] = ()
    if wanted.units:
        units = [unit for unit in reader.units() if unit.area == area.number]
        if len(units) * len(edges) > MOST_ROWS:
            raise PeriodError(f"more than {MOST_ROWS} rows of units", mend="ask for longer periods, or without units")
        scores = reader.scores(edges[0] // _HOUR_NS, -(-edges[-1] // _HOUR_NS))
        parts, totals = (
            tuple(
                unit_periods(
                    units,
                    reader.unit_minutes(area.number, begin, end),
                    reader.commands(edges[0], edges[-1]),
                    scores,
                    limits,
                    profile,
                )
            )
            for limits in (edges, whole)
        )
    return PerformanceReport(
        area=area,
        period=wanted.period,
        begin_ns=edges[0],
        end_ns=edges[-1],
        total=area_periods(rows, whole, context.length, context.now_ns)[0],
        periods=tuple(area_periods(rows, edges, context.length, context.now_ns)),
        units=parts,
        unit_totals=totals,
        disturbances=tuple(reader.disturbances(area.number, edges[0], edges[-1])),
        profile=profile,
        length=context.length,
        zone=context.zone,
        made_ns=context.now_ns,
    )


def area_named(reader: PerformanceReader, name: str) -> KeptArea:
    """The area of a name or mRID; empty = the only one.

    Raises:
        PeriodError: there is none, or there are several.
    """
    areas = reader.areas()
    found = [one for one in areas if name in {one.name, one.mrid}] if name else areas
    if len(found) != 1:
        names = ", ".join(one.name for one in areas) or "none has records yet"
        what = f"no records of an area {name!r}" if name else "no area has records" if not areas else "several areas: name one"
        raise PeriodError(what, mend=f"areas: {names}")
    return found[0]
