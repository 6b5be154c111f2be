"""Everything that can be said of a proposed version before it runs: :func:`check_version`, for the worker process."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from scada.actors.model_jobs import CheckJob, CheckResult
from scada.apps.calc.graph import expression_findings
from scada.apps.network.shadow import ShadowReport, Side, shadow_run
from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError
from scada.model_cim.check import CheckSettings, check_model
from scada.model_cim.difference import diff_models
from scada.model_cim.difference_writer import difference_xml
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.numbers import Numbers, kept_numbers
from scada.model_cim.points import build_tables
from scada.model_cim.reader import ModelReader
from scada.model_cim.responsible import EVERYONE, areas_of, stations_touched
from scada.model_cim.statements import Difference, DifferenceHeader
from scada.model_cim.version_files import hashes_of
from scada.model_cim.version_source import gather
from scada.model_cim.waivers import read_waivers
from scada.protocols.registry import Drivers

Progress = Callable[[float, str], None]
KEPT: Final = 10_000
"""Findings kept with a version; the rest are only counted."""


def check_version(job: CheckJob, progress: Progress) -> CheckResult:
    """Gather the files of a version in ``job.staging``, then check, compare and try them.

    Returns:
        What was found; with ``refused`` if the files cannot be a version, and no folder left behind.
    """
    progress(0.05, "files")
    try:
        gather(job.origin, job.source, job.base, job.running, job.staging, job.most_bytes)
        return _Check(job, progress).run()
    except ScadaError as error:
        shutil.rmtree(job.staging, ignore_errors=True)
        return CheckResult(refused=str(error))


class _Check:
    def __init__(self, job: CheckJob, progress: Progress) -> None:
        self._job, self._progress = job, progress
        self._numbers: Numbers = kept_numbers(job.numbers)
        self._drivers = Drivers(job.drivers)

    def run(self) -> CheckResult:
        job = self._job
        self._progress(0.15, "check")
        found = self._check(job.staging)
        fatal = next((one for one in found if one.severity is Severity.FATAL), None)
        if fatal is not None:
            shutil.rmtree(job.staging, ignore_errors=True)
            return CheckResult(refused=str(fatal), facts={"counts": _counts(found)}, reports={"findings": _findings(found)})
        self._progress(0.45, "compare")
        candidate, running = self._side(job.staging), self._side(job.running)
        header = DifferenceHeader(supersedes=(running.model.digest,), description=f"version {job.number}")
        difference = diff_models(running.model, candidate.model, header=header)
        stations = self._stations(difference, running, candidate)
        self._progress(0.7, "try")
        report, why_not = self._shadow(running, candidate)
        lost = [point.mrid for point in running.tables.points if not point.removed and _gone(candidate, point.mrid)]
        areas = {**areas_of(stations, running.model), **areas_of(stations, candidate.model)}
        facts = {
            "counts": _counts(found),
            "dangers": _dangers(report, why_not, difference),
            "stations": stations,
            "areas_of": areas,
            "lost": lost,
        }
        reports = {
            "findings": _findings(found),
            "difference": difference_xml(difference),
            "shadow": _json(_shadow_dict(report) if report else {"reason": why_not}),
        }
        self._progress(1.0, "kept")
        return CheckResult(facts=facts, reports=reports, text=_told(found, difference, report, stations))

    def _check(self, folder: Path) -> list[Finding]:
        job = self._job
        model = ModelReader(folder).read()
        tables, found = build_tables(model, self._numbers, self._drivers)
        found = [*found, *expression_findings(model, tables.points)]
        today = dt.datetime.fromtimestamp(job.now_ns / NS_PER_S, dt.UTC).date()
        self._candidate = Side(model, tables)
        settings = CheckSettings(waivers=read_waivers(folder), today=today)
        return [_placed(one, folder) for one in check_model(model, tables, found=found, settings=settings)]

    def _side(self, folder: Path) -> Side:
        if folder == self._job.staging:
            return self._candidate
        model = ModelReader(folder).read()
        return Side(model, build_tables(model, self._numbers, self._drivers)[0])

    def _stations(self, difference: Difference, running: Side, candidate: Side) -> list[str]:
        """Those that the difference touches; a change of a template or waiver is everyone's."""
        found = stations_touched(difference, running.model, candidate.model)
        old, new = (_shared(hashes_of(folder)) for folder in (self._job.running, self._job.staging))
        return sorted({*found, *([EVERYONE] if old != new else [])})

    def _shadow(self, running: Side, candidate: Side) -> tuple[ShadowReport | None, str]:
        """The shadow run, or why there is none."""
        job = self._job
        try:
            return shadow_run(running, candidate, job.snapshot, alarmed=job.alarmed, now_ns=job.now_ns), ""
        except ScadaError as error:
            return None, str(error)


def _gone(side: Side, mrid: str) -> bool:
    point = side.tables.by_mrid.get(mrid)
    return point is None or point.removed


def _shared(files: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if name.startswith("templates/") or name == "waivers.toml"}


def _placed(finding: Finding, folder: Path) -> Finding:
    """A finding with the file named as in the folder, wherever that is."""
    return replace(finding, file=finding.file.removeprefix(f"{folder}/"))


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    counts = Counter[str]()
    for one in findings:
        counts["waived" if one.waived else one.severity.value] += one.count
    return dict(counts)


def _findings(findings: Sequence[Finding]) -> bytes:
    return _json([one.as_dict() for one in findings[:KEPT]])


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _shadow_dict(report: ShadowReport) -> dict[str, Any]:
    return report.as_dict() | {"lines": {lang: report.lines(lang) for lang in ("en", "zh")}}


def _dangers(report: ShadowReport | None, why_not: str, difference: Difference) -> dict[str, list[str]]:
    """What whoever applies the version must name, in English and Chinese."""
    if report is not None:
        return {f"shadow.{one.key}": [one.text("en"), one.text("zh")] for one in report.refuse}
    if not difference:
        return {}
    return {"shadow.none": [f"it could not be tried: {why_not}", f"无法试运行: {why_not}"]}


def _told(findings: Sequence[Finding], difference: Difference, report: ShadowReport | None, stations: Sequence[str]) -> str:
    counts = _counts(findings)
    parts = [f"{counts.get(name, 0)} {name}s" for name in ("error", "warning")]
    parts.append(f"{len(difference.added)} objects come, {len(difference.removed)} go, {len(difference.forward)} values set")
    parts.append(f"in {', '.join(stations[:5])}{' ...' if len(stations) > 5 else ''}" if stations else "nothing changes")
    parts.append("tried: " + (report.lines("en")[-1] if report else "no"))
    return "; ".join(parts)
