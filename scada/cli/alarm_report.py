"""The figures of the alarm system as a report that an operations manager reads, beside the benchmarks.

Benchmarks: EEMUA 191, 3rd edition (2013), tables of alarm system performance; the same figures stand in IEC 62682:2014, table 7
and ANSI/ISA-18.2-2016, table 7. They are for one operator.
"""

from __future__ import annotations

import math
from typing import Any, Final

from scadapb.v1 import scada_pb2 as pb

from scada.cli.link import Link
from scada.cli.rendering import json_number, number, table, time_text
from scada.core.clock import NS_PER_S

_TOLERANCE_NS: Final = NS_PER_S


def kpi_json(kpi: pb.AlarmKpi) -> dict[str, Any]:
    """The figures for scripts: field names of the contract; unknown numbers are null."""
    sources = [{"mrid": one.mrid, "path": one.path, "key": one.key, "count": one.count} for one in kpi.most_frequent]
    figures = {field.name: getattr(kpi, field.name) for field in kpi.DESCRIPTOR.fields}
    plain = {name: json_number(value) if isinstance(value, float) else value for name, value in figures.items()}
    return plain | {"most_frequent": sources, "by_priority": list(kpi.by_priority), "by_class": list(kpi.by_class)}


def kpi_report(link: Link, request: pb.AlarmKpiRequest, kpi: pb.AlarmKpi) -> str:
    """The figures for people, each beside its benchmark; ``!`` before those that miss it."""
    days = (kpi.to_ns - kpi.from_ns) / (86_400 * NS_PER_S)
    lines = [link.text("kpi.span", begin=time_text(kpi.from_ns), end=time_text(kpi.to_ns), days=f"{days:.3g}")]
    if kpi.from_ns > request.from_ns + _TOLERANCE_NS:
        lines.append(link.text("kpi.not_covered", asked=time_text(request.from_ns)))
    if request.station:
        lines.append(link.text("kpi.station", station=request.station))
    lines += ["", table(link.heads("mark", "figure", "value", "benchmark"), _rows(link, kpi))]
    if kpi.most_frequent:
        sources = [[str(one.count), one.path or one.mrid, one.key] for one in kpi.most_frequent]
        lines += ["", table(link.heads("count", "path", "key"), sources)]
    lines += ["", link.text("kpi.source")]
    return "\n".join(lines)


def _rows(link: Link, kpi: pb.AlarmKpi) -> list[list[str]]:
    peak = f"{kpi.per_10_min_peak}  ({time_text(kpi.peak_ns)})" if kpi.peak_ns else str(kpi.per_10_min_peak)
    share = [100 * count / kpi.alarms if kpi.alarms else math.nan for count in kpi.by_priority]
    priorities = " / ".join(f"{count} ({number(part, 3)} %)" for count, part in zip(kpi.by_priority, share, strict=True))
    classes = "  ".join(f"{link.text(f'alarm_class.{index}')} {count}" for index, count in enumerate(kpi.by_class, 1))

    def row(key: str, value: str, *, met: bool | None = None) -> list[str]:
        bound = link.text(f"kpi.benchmark.{key}")
        return ["!" if met is False else "", link.text(f"kpi.{key}"), value, "" if bound.startswith("kpi.") else bound]

    return [
        row("alarms", str(kpi.alarms)),
        row("mean", number(kpi.per_10_min_mean, 3), met=_met(kpi.per_10_min_mean, 1)),
        row("peak", peak, met=kpi.per_10_min_peak <= 10),
        row("flood_share", _percent(kpi.flood_share), met=_met(kpi.flood_share, 0.01)),
        row("floods", str(kpi.floods)),
        row("standing", str(kpi.standing)),
        row("stale", str(kpi.stale), met=kpi.stale < 5),
        row("chattering", str(kpi.chattering), met=kpi.chattering == 0),
        row("frequent_share", _percent(kpi.most_frequent_share), met=_met(kpi.most_frequent_share, 0.05)),
        row("priorities", priorities),
        row("classes", classes),
        row("acknowledge", f"{_seconds(kpi.acknowledge_median_s)} / {_seconds(kpi.acknowledge_p95_s)}"),
        row("unacknowledged", str(kpi.unacknowledged)),
        row("suppressed", f"{kpi.shelved} / {kpi.by_design} / {kpi.out_of_service}"),
    ]


def _met(figure: float, bound: float) -> bool | None:
    return None if math.isnan(figure) else figure <= bound


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.3g} %"


def _seconds(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g} s"
