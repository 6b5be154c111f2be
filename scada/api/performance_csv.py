"""A report on regulation as CSV: exact numbers, units in the heads, an empty cell where there is no data."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from scada.api.performance_columns import Cell, Column, area_columns, disturbance_columns, time_text, unit_columns
from scada.api.texts import text
from scada.apps.agc_avc.performance.report import PerformanceReport


def report_csv(report: PerformanceReport, language: str) -> bytes:
    """The tables one below the other, each under its name; UTF-8 with a byte order mark, as spreadsheets want it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    profile = report.profile
    writer.writerows(
        [
            [text(language, "report.title"), _safe(report.area.name)],
            [text(language, "report.head.begin"), time_text(report.begin_ns, report.zone)],
            [text(language, "report.head.end"), time_text(report.end_ns, report.zone)],
            [text(language, "report.rules"), profile.name, _safe(profile.caption(language)), _safe(profile.source)],
        ]
    )
    tables: list[tuple[str, Sequence[Column], Iterable[Any]]] = [
        ("total", area_columns(report.zone), [report.total]),
        ("area", area_columns(report.zone), report.periods),
        ("units", unit_columns(report, language), report.unit_totals),
        ("unit_parts", unit_columns(report, language), report.units),
        ("disturbances", disturbance_columns(report.zone), report.disturbances),
    ]
    for name, columns, rows in tables:
        writer.writerow([])
        writer.writerow([text(language, f"report.section.{name}")])
        writer.writerow([column.head(language) for column in columns])
        writer.writerows([[exact(column.value(row)) for column in columns] for row in rows])
    return ("\ufeff" + out.getvalue()).encode()


def exact(value: Cell) -> Cell:
    """A cell as a machine reads it back: the shortest form that is the same number, empty for no data.

    >>> exact(0.1), exact(math.nan), exact(7), exact("=1+1")
    ('0.1', '', 7, "'=1+1")
    """
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return _safe(value) if isinstance(value, str) else value


def _safe(words: str) -> str:
    """Names come from the model: one that a spreadsheet would take for a formula is only text."""
    return f"'{words}" if words[:1] in {"=", "+", "-", "@", "\t", "\r"} else words
