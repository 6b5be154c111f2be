"""The columns of a report on regulation: head, unit and value, the same in HTML and CSV."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from scada.api.texts import text
from scada.apps.agc_avc.performance.periods import AreaPeriod
from scada.apps.agc_avc.performance.report import PerformanceReport
from scada.core.clock import NS_PER_S

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        key: of its head, ``report.head.<key>``.
        unit: empty = none.
        value: out of a row; NaN = no data.
        digits: shown to people after the point.
        brief: shown to people; False = in the CSV only.
        note: after the head, in the language of the report.
    """

    key: str
    unit: str
    value: Callable[[Any], Cell]
    digits: int = 1
    brief: bool = True
    note: str = ""

    def head(self, language: str) -> str:
        """For people, with its unit."""
        named = text(language, f"report.head.{self.key}") + self.note
        return f"{named} [{self.unit}]" if self.unit else named


def time_text(ns: int, zone: ZoneInfo) -> str:
    """ISO 8601 with the offset of the zone.

    >>> time_text(1_750_032_000_000_000_000, ZoneInfo("Asia/Shanghai"))
    '2025-06-16T08:00:00+08:00'
    """
    return datetime.fromtimestamp(ns // NS_PER_S, tz=UTC).astimezone(zone).isoformat()


def _if_known(row: AreaPeriod, count: int) -> Cell:
    """A count of minutes is nothing to be glad of where none was seen."""
    return count if row.valid_minutes else math.nan


def area_columns(zone: ZoneInfo) -> Sequence[Column]:
    """Of an area's periods."""
    return (
        Column("begin", "", lambda row: time_text(row.begin_ns, zone)),
        Column("end", "", lambda row: time_text(row.end_ns, zone), brief=False),
        Column("minutes", "min", lambda row: row.minutes, brief=False),
        Column("valid", "min", lambda row: row.valid_minutes, brief=False),
        Column("valid_percent", "%", lambda row: row.valid_percent),
        Column("on", "%", lambda row: row.on_percent),
        Column("cps1", "%", lambda row: row.cps1_percent),
        Column("cps2", "%", lambda row: row.cps2.percent),
        Column("cps2_good", "", lambda row: row.cps2.good, brief=False),
        Column("cps2_counted", "", lambda row: row.cps2.counted, brief=False),
        Column("chinese", "%", lambda row: row.chinese.percent),
        Column("chinese_good", "", lambda row: row.chinese.good, brief=False),
        Column("chinese_counted", "", lambda row: row.chinese.counted, brief=False),
        Column("kcps", "", lambda row: row.kcps, 2),
        Column("baal_low", "min", lambda row: _if_known(row, row.baal_low)),
        Column("baal_high", "min", lambda row: _if_known(row, row.baal_high)),
        Column("baal_longest", "min", lambda row: _if_known(row, row.baal_longest)),
        Column("baal_violations", "", lambda row: _if_known(row, row.baal_violations)),
        Column("a1", "%", lambda row: row.a1.percent),
        Column("a2", "%", lambda row: row.a2.percent),
        Column("ace", "MW", lambda row: row.ace_mean_mw, 2),
        Column("ace_rms", "MW", lambda row: row.ace_rms_mw, 2),
        Column("deviation", "Hz", lambda row: row.deviation_rms_hz, 4),
        Column("time_error", "s", lambda row: row.time_error_s, 3),
        Column("inadvertent", "MWh", lambda row: row.inadvertent_mwh, 2),
    )


def unit_columns(report: PerformanceReport, language: str) -> Sequence[Column]:
    """Of units; K1 to K3 as the rules number them, with what each is."""
    zone = report.zone
    labels = enumerate(report.profile.score.labels)
    parts = [
        Column("k", "", _k(place), 3, note=f"{place + 1} ({text(language, f'report.part.{label}')})") for place, label in labels
    ]
    return (
        Column("begin", "", lambda row: time_text(row.begin_ns, zone)),
        Column("unit", "", lambda row: row.unit.name),
        Column("fuel", "", lambda row: row.unit.fuel),
        Column("rated", "MW", lambda row: row.unit.rated_mw),
        Column("minutes", "min", lambda row: row.minutes, brief=False),
        Column("valid", "min", lambda row: row.valid_minutes, 0),
        Column("on_minutes", "min", lambda row: row.on_minutes, 0),
        Column("energy", "MWh", lambda row: row.energy_mwh if row.valid_minutes else math.nan),
        Column("error", "MW", lambda row: row.error_mw, 2),
        Column("up", "MW", lambda row: row.up_mw),
        Column("down", "MW", lambda row: row.down_mw),
        Column("commands", "", lambda row: row.commands),
        Column("judged", "", lambda row: row.judged),
        *parts,
        Column("k", "", _k(3), 3),
        Column("depth", "MW", lambda row: row.depth_mw),
        Column("pjm", "", lambda row: row.pjm, 3),
    )


def _k(place: int) -> Callable[[Any], Cell]:
    return lambda row: float(row.k[place])


def disturbance_columns(zone: ZoneInfo) -> Sequence[Column]:
    """Of disturbances."""
    return (
        Column("begin", "", lambda row: time_text(row.begin_ns, zone)),
        Column("loss", "MW", lambda row: row.loss_mw),
        Column("cause", "", lambda row: row.cause),
        Column("ace_before", "MW", lambda row: row.ace_before_mw),
        Column("ace_best", "MW", lambda row: row.ace_best_mw),
        Column("recovered", "s", lambda row: row.recovered_s, 0),
        Column("percent", "%", lambda row: row.percent),
    )
