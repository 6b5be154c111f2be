"""The whole check of a model: :func:`check_model`.

What the reader and the builders of the tables found, the SC profile, and every rule of :mod:`scada.model_cim.rules`; waivers
applied, doubles taken out, many of one kind summed up, in the order of files and lines.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.errors import ConfigError
from scada.model_cim.cim import CimModel
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.points import build_tables
from scada.model_cim.rules.catalogue import CHECKS, RULES, Check, Hits, Rule
from scada.model_cim.rules.every import load_rules
from scada.model_cim.rules.view import View
from scada.model_cim.sc_profile import sc_findings
from scada.model_cim.schema import VERSIONS, load_schema, version_of
from scada.model_cim.tables import ModelTables
from scada.model_cim.waivers import NO_WAIVERS, Waiver, Waivers, about_waivers, expired

SHOWN: Final = 20
"""Findings of one rule in one file that are listed, unless told otherwise; the rest are summed up in one."""
_INFO_SHOWN: Final = 3
"""The same of what is only worth knowing, unless all are asked for."""


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """How a model is checked.

    Raises:
        ConfigError: ``schema`` is none of the versions.
    """

    schema: str = "auto"
    """CGMES version whose tables are used: ``2.4.15``, ``3.0``, or ``auto``: what the files say they are."""
    shown: int = SHOWN
    """Findings of one rule in one file that are listed; the rest are summed up. 0 = all."""
    severities: Mapping[str, Severity] = field(default_factory=dict)
    """Severity by glob over rule ids (ours or ENTSO-E's), over what ``waivers.toml`` says. Fatal findings stay fatal."""
    waivers: Waivers = NO_WAIVERS
    today: dt.date | None = None
    """For waivers that end; None = they are taken to hold."""

    def __post_init__(self) -> None:
        if self.schema not in ("auto", *VERSIONS):
            raise ConfigError(f"no schema {self.schema!r}", mend=f"one of auto, {', '.join(VERSIONS)}")


def check_model(
    model: CimModel,
    tables: ModelTables | None = None,
    *,
    found: Iterable[Finding] | None = None,
    settings: CheckSettings | None = None,
) -> list[Finding]:
    """Everything that is wrong with a model, ordered by file and line.

    Args:
        model: the model as read.
        tables: its tables; None = they are built here, with the drivers that are built in.
        found: what was found when ``tables`` were built (it includes ``model.findings``) and by checks of a higher floor, the
            expressions of calculated points. None: what the reader found.
        settings: None = the defaults, without waivers.
    """
    settings = settings or CheckSettings()
    if tables is None:
        tables, built = build_tables(model)
        found = built if found is None else [*built, *found]
    load_rules()
    given = [*(model.findings if found is None else found), *sc_findings(model), *settings.waivers.findings]
    sieve = _Sieve(model, settings)
    findings = [*sieve.given(given), *_run(_view(model, tables, settings), sieve), *sieve.sums()]
    findings += about_waivers(settings.waivers.waivers, sieve.used, settings.today)
    return sorted(dict.fromkeys(findings), key=lambda one: (one.file, one.line, one.rule, one.mrid))


def _view(model: CimModel, tables: ModelTables, settings: CheckSettings) -> View:
    uris = {uri for header in model.headers for uri in header.profiles}
    said = version_of({header.cim_namespace for header in model.headers}, sorted(uris))
    version = settings.schema if settings.schema != "auto" else said
    schema = load_schema(version or VERSIONS[-1])
    profiles = schema.declared(uris) if said or settings.schema == "auto" else frozenset(schema.profile_uris)
    return View(model, tables, schema, profiles)


def _run(view: View, sieve: _Sieve) -> Iterator[Finding]:
    for id_, check in CHECKS:
        yield from _run_one(id_, check, view, sieve)


def _run_one(id_: str, check: Check, view: View, sieve: _Sieve) -> list[Finding]:
    """Findings of one rule. A rule that fails on a model nobody thought of is a finding too: the others still run."""
    try:
        with np.errstate(all="ignore"):  # NaN is "not given": it breaks no rule
            return [finding for hits in check(view) for finding in sieve.hits(view, RULES[hits.rule or id_], hits)]
    except Exception as error:  # noqa: BLE001 - a check must end in findings, whatever the model holds
        text = f"rule {id_} could not be checked: {type(error).__name__}: {error}"
        return [Finding(view.model.title, 0, Severity.ERROR, "check.failed", text, hint="please report it with the model")]


class _Sieve:
    """Severities, waivers and sums."""

    def __init__(self, model: CimModel, settings: CheckSettings) -> None:
        self._model = model
        self._shown = settings.shown or len(model) + 1
        self._severities = {**settings.waivers.severities, **settings.severities}
        self._waivers = settings.waivers.waivers
        self._today = settings.today
        self.used = [False] * len(self._waivers)
        self._listed: dict[tuple[str, str, Severity, str, int], int] = {}
        self._rest: dict[tuple[str, str, Severity, str, int], Finding] = {}

    def given(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Findings that others made."""
        groups: dict[tuple[str, str, str], list[Finding]] = {}
        for finding in dict.fromkeys(findings):
            one = self._judged(finding)
            groups.setdefault((one.rule, one.file, one.waived), []).append(one)
        for group in groups.values():
            most = self._most(group[0].severity)
            yield from group[:most]
            rest = group[most:]
            if rest:
                yield _sum(rest[0], sum(one.count for one in rest))

    def _judged(self, finding: Finding) -> Finding:
        if finding.severity is Severity.FATAL:
            return finding
        standard = finding.standard or (RULES[finding.rule].standard if finding.rule in RULES else "")
        finding = replace(finding, severity=self._severity(finding.rule, standard, finding.severity), standard=standard)
        for number, waiver in self._for(finding.rule, standard):
            if waiver.covers(finding.mrid, finding.path):
                self.used[number] = True
                return replace(finding, waived=waiver.reason)
        return finding

    def hits(self, view: View, rule: Rule, hits: Hits) -> Iterator[Finding]:
        """Findings of one batch: the first of each file and reason, and one that sums up the others."""
        standard = hits.standard or rule.standard
        severity = self._severity(rule.id, standard, hits.severity or rule.severity)
        files = view.model.object_files[hits.rows]
        reasons = self._reasons(hits.rows, rule.id, standard)
        for reason in dict.fromkeys([""] + [waiver.reason for waiver in self._waivers]):
            mine = np.flatnonzero(reasons == reason)
            for file in np.unique(files[mine]):
                places = mine[files[mine] == file]
                key = (rule.id, standard, severity, reason, int(file))
                listed = self._listed.get(key, 0)
                free = max(0, self._most(severity) - listed)
                self._listed[key] = listed + len(places)
                for place in places[:free]:
                    yield self._finding(view, hits, int(place), rule.id, severity, standard, reason)
                if len(places) > free:
                    rest = self._rest.get(key)
                    if rest is None:
                        rest = replace(self._finding(view, hits, int(places[free]), rule.id, severity, standard, reason), count=0)
                    self._rest[key] = replace(rest, count=rest.count + len(places) - free)

    def sums(self) -> Iterator[Finding]:
        """What was counted and not listed, one finding for each rule, file and reason."""
        for rest in self._rest.values():
            yield _sum(rest, rest.count)

    def _most(self, severity: Severity) -> int:
        return min(self._shown, _INFO_SHOWN) if severity is Severity.INFO and self._shown <= len(self._model) else self._shown

    def _finding(self, view: View, hits: Hits, place: int, rule: str, severity: Severity, standard: str, reason: str) -> Finding:
        mrid = view.model.mrids[hits.rows[place]]
        made = self._model.finding(severity, rule, mrid, hits.text(place), hits.hint, prop=hits.prop)
        return replace(made, standard=standard, waived=reason)

    def _reasons(self, rows: npt.NDArray[np.int32], rule: str, standard: str) -> npt.NDArray[np.object_]:
        """Reason of the waiver of each object, empty where there is none."""
        reasons = np.full(len(rows), "", object)
        paths: list[str] = []
        for number, waiver in self._for(rule, standard):
            free = reasons == ""
            if waiver.path and not paths:
                paths = [self._model.path(self._model.mrids[row]) for row in rows]
            if waiver.mrid or waiver.path:
                mrids = (self._model.mrids[row] for row in rows)
                covered = [waiver.covers(mrid, paths[place] if paths else "") for place, mrid in enumerate(mrids)]
                free &= np.array(covered, np.bool_)
            reasons[free] = waiver.reason
            self.used[number] |= bool(free.any())
        return reasons

    def _for(self, rule: str, standard: str) -> Sequence[tuple[int, Waiver]]:
        return [
            (number, waiver)
            for number, waiver in enumerate(self._waivers)
            if waiver.is_for(rule, standard) and not expired(waiver, self._today)
        ]

    def _severity(self, rule: str, standard: str, severity: Severity) -> Severity:
        if severity is Severity.FATAL:
            return severity
        for pattern, other in self._severities.items():
            if fnmatchcase(rule, pattern) or (standard and fnmatchcase(standard, pattern)):
                return other
        return severity


def _sum(first: Finding, count: int) -> Finding:
    if count == 1:
        return replace(first, count=1)
    return replace(first, text=f"{first.text}; and {count - 1} more of this rule in this file", count=count)
