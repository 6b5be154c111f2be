"""Everything that can be said of a proposed version before it runs: :func:`check_version`, for the worker process."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from scada.actors.model_jobs import CheckJob, CheckResult
from scada.apps.calc.graph import expression_findings
from scada.apps.network.shadow import ShadowReport, Side, shadow_run
from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError
from scada.model_cim.check import CheckSettings, check_model
from scada.model_cim.diagrams import refresh_diagrams
from scada.model_cim.difference import diff_models
from scada.model_cim.difference_writer import difference_xml
from scada.model_cim.drawings import INDEX
from scada.model_cim.effects import Effect, Effects, effects
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.instrument_files import cim_namespace
from scada.model_cim.numbers import Numbers, kept_numbers
from scada.model_cim.points import build_tables
from scada.model_cim.reader import ModelReader
from scada.model_cim.responsible import EVERYONE, responsibility
from scada.model_cim.statements import Difference, DifferenceHeader
from scada.model_cim.version_files import DRAWINGS, hashes_of, sync_folder
from scada.model_cim.version_source import gather
from scada.model_cim.waivers import read_waivers
from scada.protocols.registry import Drivers

Progress = Callable[[float, str], None]
KEPT: Final = 10_000
"""Findings and effects kept with a version; the rest are only counted."""
MOST_DANGERS: Final = 200


def check_version(job: CheckJob, progress: Progress) -> CheckResult:
    """Gather the files of a version in ``job.staging``, then check, compare and try them.

    Returns:
        What was found; with ``refused`` if the files cannot be a version, and no folder left behind.
    """
    progress(0.05, "files")
    try:
        drivers = Drivers(job.drivers)
        gather(job.origin, job.source, job.base, job.running, job.staging, most_bytes=job.most_bytes, drivers=drivers)
        return _Check(job, progress).run()
    except ScadaError as error:
        shutil.rmtree(job.staging, ignore_errors=True)
        return CheckResult(refused=str(error))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A version as it is read: its model and tables, and what is wrong with it."""

    side: Side
    findings: list[Finding]
    files: Mapping[str, str]


class _Check:
    def __init__(self, job: CheckJob, progress: Progress) -> None:
        self._job, self._progress = job, progress
        self._numbers: Numbers = kept_numbers(job.numbers)
        self._drivers = Drivers(job.drivers)

    def run(self) -> CheckResult:
        job = self._job
        self._progress(0.15, "check")
        candidate = self._seen(job.staging)
        found = candidate.findings
        fatal = next((one for one in found if one.severity is Severity.FATAL), None)
        if fatal is not None:
            shutil.rmtree(job.staging, ignore_errors=True)
            return CheckResult(refused=str(fatal), facts={"counts": counted(found, [])}, reports={"findings": _findings(found)})
        self._progress(0.45, "compare")
        running = self._seen(job.running)
        namespace = cim_namespace([one.cim_namespace for one in candidate.side.model.headers])
        header = DifferenceHeader(supersedes=(running.side.model.digest,), description=f"version {job.number}")
        difference = diff_models(running.side.model, candidate.side.model, header=header)
        changed = self._effects(running, candidate, difference)
        self._progress(0.7, "try")
        report, why_not = self._shadow(running.side, candidate.side)
        stale = self._drawn(candidate.side)
        stations, areas = self._responsibility(difference, running, candidate)
        counts = counted(found, running.findings)
        facts = {
            "counts": counts,
            "dangers": _dangers(changed, report, why_not, difference),
            "stations": stations,
            "stale_diagrams": list(stale),
            "areas_of": areas,
            "lost": [
                point.mrid for point in running.side.tables.points if not point.removed and _gone(candidate.side, point.mrid)
            ],
        }
        text = _told(counts, difference, report, stations)
        if stale:
            text += f"; {len(stale)} diagrams could not be drawn anew"
        reports = {
            "findings": _findings(found),
            "difference": difference_xml(difference, cim_namespace=namespace),
            "effects": _json([_effect(one) for one in changed.rows[:KEPT]]),
            "shadow": _json(_shadow_dict(report) if report else {"reason": why_not}),
        }
        self._progress(1.0, "kept")
        return CheckResult(facts=facts, reports=reports, text=text)

    def _seen(self, folder: Path) -> _Seen:
        job = self._job
        model = ModelReader(folder).read()
        tables, found = build_tables(model, self._numbers, self._drivers)
        found = [*found, *expression_findings(model, tables.points)]
        today = dt.datetime.fromtimestamp(job.now_ns / NS_PER_S, dt.UTC).date()
        every = len(model)  # errors are compared with the running version's; of what is only worth knowing, a few stand for all
        settings = CheckSettings(waivers=read_waivers(folder), today=today, shown=every)
        findings = check_model(model, tables, found=found, settings=settings)
        prefix = f"{folder}/"
        placed = [replace(one, file=one.file.removeprefix(prefix), text=one.text.replace(prefix, "")) for one in findings]
        return _Seen(Side(model, tables), placed, hashes_of(folder))

    def _effects(self, running: _Seen, candidate: _Seen, difference: Difference) -> Effects:
        old, new = running.side, candidate.side
        files = running.files, candidate.files
        return effects(old.tables, new.tables, old.model, new.model, difference=difference, files=files)

    def _responsibility(self, difference: Difference, running: _Seen, candidate: _Seen) -> tuple[list[str], dict[str, str]]:
        """Stations that the difference touches, and their areas; a change of a template, waiver or drawing is everyone's."""
        stations, areas = responsibility(difference, running.side.model, candidate.side.model)
        everyones = _shared(running.files) != _shared(candidate.files) or _brought(candidate.files, running.files)
        return sorted({*stations, *([EVERYONE] if everyones else [])}), areas

    def _drawn(self, candidate: Side) -> Sequence[str]:
        """Draw what the running version's drawings do not show; names of those that could not be drawn anew."""
        if not self._job.draw:
            return ()
        self._progress(0.8, "draw")
        folder, running = self._job.staging / DRAWINGS, self._job.running / DRAWINGS
        done = refresh_diagrams(candidate.model, folder, None if (folder / INDEX).exists() else running)
        sync_folder(folder)
        return done.stale

    def _shadow(self, running: Side, candidate: Side) -> tuple[ShadowReport | None, str]:
        """The shadow run, or why there is none."""
        job = self._job
        try:
            return shadow_run(running, candidate, job.snapshot, alarmed=job.alarmed, now_ns=job.now_ns), ""
        except ScadaError as error:
            return None, str(error)


def counted(findings: Sequence[Finding], running: Sequence[Finding]) -> dict[str, int]:
    """Findings by severity; ``new`` = errors that the version which runs does not have."""
    counts = Counter[str]()
    for one in findings:
        counts["waived" if one.waived else one.severity.value] += one.count
    counts["new"] = (_errors(findings) - _errors(running)).total()
    return dict(counts)


def _errors(findings: Sequence[Finding]) -> Counter[tuple[str, str]]:
    """Errors by rule and object, wherever they stand in the files."""
    errors = Counter[tuple[str, str]]()
    for one in findings:
        if one.severity is Severity.ERROR and not one.waived:
            errors[one.rule, one.mrid] += one.count
    return errors


def _gone(side: Side, mrid: str) -> bool:
    point = side.tables.by_mrid.get(mrid)
    return point is None or point.removed


def _shared(files: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if name.startswith("templates/") or name == "waivers.toml"}


def _brought(files: Mapping[str, str], running: Mapping[str, str]) -> bool:
    """True if drawings came along that are not those of the version that runs: nobody can say whose stations they show."""
    return any(name.startswith(f"{DRAWINGS}/") and running.get(name) != digest for name, digest in files.items())


def _findings(findings: Sequence[Finding]) -> bytes:
    """The worst first; waived ones last."""
    order = list(Severity)
    worst = sorted(findings, key=lambda one: (bool(one.waived), order.index(one.severity)))
    return _json([one.as_dict() for one in worst[:KEPT]])


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _shadow_dict(report: ShadowReport) -> dict[str, Any]:
    return report.as_dict() | {"lines": {lang: report.lines(lang) for lang in ("en", "zh")}}


def _effect(one: Effect) -> dict[str, Any]:
    """As :class:`scadapb.v1.scada_pb2.EffectInfo`."""
    words = {"kind": one.kind.value, "station": one.station, "mrid": one.mrid, "path": one.path, "dangerous": one.dangerous}
    return {**words, "text": one.text("en"), "text_zh": one.text("zh")}


def _dangers(changed: Effects, report: ShadowReport | None, why_not: str, difference: Difference) -> dict[str, list[str]]:
    """What whoever applies the version must name, in English and Chinese; of many of one kind the first, and the rest as one."""
    dangers: dict[str, list[str]] = {}
    more = Counter[str]()
    for one in changed.dangerous:
        if len(dangers) < MOST_DANGERS:
            dangers[one.key] = [one.text("en"), one.text("zh")]
        else:
            more[one.kind.value] += 1
    for kind, count in more.items():
        dangers[f"{kind}:*"] = [f"{count} more of the kind {kind}", f"另有 {count} 项 {kind}"]
    if report is not None:
        dangers |= {f"shadow.{one.key}": [one.text("en"), one.text("zh")] for one in report.refuse}
    elif difference:
        dangers["shadow.none"] = [f"it could not be tried: {why_not}", f"无法试运行: {why_not}"]
    return dangers


def _told(counts: Mapping[str, int], difference: Difference, report: ShadowReport | None, stations: Sequence[str]) -> str:
    parts = [f"{counts.get('error', 0)} errors, {counts['new']} of them new", f"{counts.get('warning', 0)} warnings"]
    parts.append(f"{len(difference.added)} objects come, {len(difference.removed)} go, {len(difference.forward)} values set")
    parts.append(f"in {', '.join(stations[:5])}{' ...' if len(stations) > 5 else ''}" if stations else "nothing changes")
    parts.append("tried: " + (report.lines("en")[-1] if report else "no"))
    return "; ".join(parts)
