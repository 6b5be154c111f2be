"""A report on regulation as one HTML file that needs nothing else: tables and plots, gaps shown as gaps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from html import escape
from itertools import groupby
from typing import Any, Final

from scada.api.performance_columns import Cell, Column, area_columns, disturbance_columns, time_text, unit_columns
from scada.api.texts import text
from scada.apps.agc_avc.performance.periods import AreaPeriod
from scada.apps.agc_avc.performance.report import PerformanceReport
from scada.core.clock import NS_PER_S

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 900, 170, 64, 24, 12
_MARK: Final = {"mark": "[K]"}
"""In sources and texts: general knowledge."""
_STYLE: Final = """
body{font:14px/1.45 system-ui,"Noto Sans SC","Microsoft YaHei",sans-serif;color:#1a1c1f;margin:2em auto;max-width:1200px;
padding:0 1em}
h1{font-size:1.5em;margin-bottom:.2em}h2{font-size:1.15em;margin-top:1.8em}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:12.5px}
th,td{border-bottom:1px solid #d5d9de;padding:.2em .55em;text-align:right;vertical-align:bottom}
th{background:#f1f3f5;font-weight:600}td.t,th.t{text-align:left;white-space:nowrap}td{white-space:nowrap}td.n{color:#8a9099}
.scroll{overflow-x:auto}.note{color:#59616b;max-width:90ch}
svg{display:block;margin:.6em 0;max-width:100%;height:auto}
svg text{font-size:11px;fill:#59616b}svg .t{font-size:12px;fill:#1a1c1f}
.line{fill:none;stroke:#1f5fa8;stroke-width:1.4}.dot{fill:#1f5fa8}.axis{stroke:#c3c8ce;stroke-width:1}.gap{fill:#f3e3df}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}svg,tr{break-inside:avoid}}
"""


def report_html(report: PerformanceReport, language: str) -> bytes:
    """The whole report."""

    def said(key: str, **parameters: str) -> str:
        return escape(text(language, f"report.{key}", parameters))

    total, title = report.total, f"{text(language, 'report.title')} {report.area.name}"
    begin, end = time_text(report.begin_ns, report.zone), time_text(report.end_ns, report.zone)
    period = text(language, f"report.period.{report.period}")
    percent = "-" if math.isnan(total.valid_percent) else f"{total.valid_percent:.1f}"
    areas, units = area_columns(report.zone), unit_columns(report, language)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{said('span', begin=begin, end=end, zone=report.zone.key, period=period)}<br>",
        f"{said('made', time=time_text(report.made_ns, report.zone))}</p>",
        f"<p>{said('validity', valid=str(total.valid_minutes), minutes=str(total.minutes), percent=percent)}</p>",
        _rules(report, language),
        f"<h2>{said('section.total')}</h2>",
        _table(areas, [total], language),
        f"<h2>{said('section.area')}</h2>",
        *_plots(report, language),
        _table(areas, report.periods, language),
        f"<h2>{said('section.units')}</h2>",
        _table(units, report.unit_totals, language),
        f"<h2>{said('section.disturbances')}</h2>",
        _table(disturbance_columns(report.zone), report.disturbances, language),
        f'<p class="note">{said("notes", length=str(report.length), **_MARK)}</p>',
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    shown = "zh-CN" if language == "zh" else language
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="{shown}"><head>{head}</head><body>\n{body}\n</body></html>\n'.encode()


def _rules(report: PerformanceReport, language: str) -> str:
    profile = report.profile
    words = [text(language, "report.rules.source", {"source": profile.source})]
    if not profile.certain:
        words.append(text(language, "report.rules.uncertain", _MARK))
    first, last = profile.effective_from, profile.effective_to
    if first is None and last is None:
        words.append(text(language, "report.rules.undated"))
    else:
        dates = {"from": "..." if first is None else first.isoformat(), "to": "..." if last is None else last.isoformat()}
        words.append(text(language, "report.rules.dates", dates))
    if not in_force(report):
        words.append(text(language, "report.rules.outside"))
    title = f"{text(language, 'report.rules')}: {profile.caption(language)} ({profile.name})"
    return f'<p><strong>{escape(title)}</strong><br><span class="note">{escape(" ".join(words))}</span></p>'


def in_force(report: PerformanceReport) -> bool:
    """Whether the rules are in force on every day of the span, as far as their dates are known."""
    first, last = (date.fromisoformat(time_text(ns, report.zone)[:10]) for ns in (report.begin_ns, report.end_ns - NS_PER_S))
    return report.profile.in_force(first, last)


# ---------------------------------------------------------------- tables


def _table(columns: Sequence[Column], rows: Iterable[Any], language: str) -> str:
    shown = [column for column in columns if column.brief]
    body = ["".join(_cell(column, column.value(row), language) for column in shown) for row in rows]
    if not body:
        return f"<p>{escape(text(language, 'report.none'))}</p>"
    heads = "".join(f"<th{_side(column)}>{escape(column.head(language))}</th>" for column in shown)
    lines = "\n".join(f"<tr>{line}</tr>" for line in body)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>\n{lines}\n</tbody></table></div>'


_WORDS: Final = frozenset({"begin", "unit", "fuel", "cause"})


def _side(column: Column) -> str:
    return ' class="t"' if column.key in _WORDS else ""


def _cell(column: Column, value: Cell, language: str) -> str:
    if isinstance(value, float) and math.isnan(value):
        return f'<td class="n">{escape(text(language, "report.no_data"))}</td>'
    if isinstance(value, float):
        return f"<td>{'∞' if math.isinf(value) else f'{value:.{column.digits}f}'}</td>"
    return f"<td{_side(column)}>{escape(str(value))}</td>"


# ---------------------------------------------------------------- plots


def _plots(report: PerformanceReport, language: str) -> list[str]:
    wanted: list[tuple[str, str, Callable[[AreaPeriod], float]]] = [
        ("cps1", "%", lambda row: row.cps1_percent),
        ("ace", "MW", lambda row: row.ace_mean_mw),
        ("deviation", "Hz", lambda row: row.deviation_rms_hz),
        ("valid", "%", lambda row: row.valid_percent),
    ]
    return [
        plot(
            [(row.begin_ns, row.end_ns, value(row)) for row in report.periods],
            f"{text(language, f'report.plot.{key}')} [{unit}]",
            report,
        )
        for key, unit, value in wanted
    ]


def plot(values: Sequence[tuple[int, int, float]], title: str, report: PerformanceReport) -> str:
    """One line over the span as SVG.

    Args:
        values: (begin, end, value) of each period; NaN = a gap, shaded, over which no line is drawn.
        title: above it.
        report: its span and time zone.
    """
    known = [value for *_, value in values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    margin = 0.06 * (high - low) or max(abs(high) * 0.05, 1e-3)
    low, high = low - margin, high + margin
    span = report.end_ns - report.begin_ns

    def x(ns: float) -> float:
        return _LEFT + (ns - report.begin_ns) / span * (_WIDTH - _LEFT - 8)

    def y(value: float) -> float:
        return _TOP + 10 + (high - value) / (high - low) * (_HEIGHT - _BOTTOM - _TOP - 10)

    parts = []
    for missing, group in groupby(values, key=lambda one: not math.isfinite(one[2])):
        run = list(group)
        if missing:
            left, right = x(run[0][0]), x(run[-1][1])
            box = f'y="{_TOP + 10}" width="{right - left:.1f}" height="{_HEIGHT - _BOTTOM - _TOP - 10}"'
            parts.append(f'<rect class="gap" x="{left:.1f}" {box}/>')
        elif len(run) == 1:
            parts.append(f'<circle class="dot" cx="{x((run[0][0] + run[0][1]) / 2):.1f}" cy="{y(run[0][2]):.1f}" r="2"/>')
        else:
            points = " ".join(f"{x((begin + end) / 2):.1f},{y(value):.1f}" for begin, end, value in run)
            parts.append(f'<polyline class="line" points="{points}"/>')
    ticks = [low + margin, (low + high) / 2, high - margin] if known else []
    lines = "".join(
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.4g}</text>'
        for tick in ticks
    )
    begin, end = (time_text(ns, report.zone)[:16].replace("T", " ") for ns in (report.begin_ns, report.end_ns))
    foot = (
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">{begin}</text>'
        f'<text x="{_WIDTH - 8}" y="{_HEIGHT - 6}" text-anchor="end">{end}</text>'
    )
    head = f'<text class="t" x="{_LEFT}" y="{_TOP}">{escape(title)}</text>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{head}{lines}{''.join(parts)}{foot}</svg>"
    )
