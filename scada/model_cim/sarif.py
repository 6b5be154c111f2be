"""Findings as SARIF 2.1.0 (OASIS), for code review systems and editors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from scada.model_cim.findings import Finding, Severity
from scada.model_cim.rules.catalogue import RULES, Rule
from scada.model_cim.rules.every import load_rules

_LEVELS: Final = {Severity.FATAL: "error", Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_sarif(findings: Sequence[Finding], base: Path, version: str) -> dict[str, Any]:
    """One SARIF log with one run.

    Args:
        findings: in the order they are shown.
        base: folder that URIs are relative to; what lies outside is named relative to its own folder.
        version: of this program.
    """
    load_rules()
    used = list(dict.fromkeys(finding.rule for finding in findings))
    number = {rule: index for index, rule in enumerate(used)}
    driver = {"name": "scada model check", "version": version, "rules": [_rule(RULES.get(id_), id_) for id_ in used]}
    results = [_result(finding, number[finding.rule], base) for finding in findings]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _rule(rule: Rule | None, id_: str) -> dict[str, Any]:
    if rule is None:
        return {"id": id_, "shortDescription": {"text": id_}}
    where = f" {rule.standard}." if rule.standard else ""
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "help": {"text": f"{rule.title} / {rule.title_zh}.{where} See docs/model/checking.md."},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"titleZh": rule.title_zh, "standard": rule.standard},
    }


def _result(finding: Finding, rule: int, base: Path) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(finding.file, base)}}
    if finding.line > 0:
        place["region"] = {"startLine": finding.line}
    location: dict[str, Any] = {"physicalLocation": place}
    if finding.mrid:
        location["logicalLocations"] = [{"name": finding.mrid, "fullyQualifiedName": finding.path or finding.mrid}]
    text = f"{finding.text} [{finding.standard}]" if finding.standard else finding.text
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{text} ({finding.hint})" if finding.hint else text},
        "locations": [location],
        "partialFingerprints": {"scadaObject/v1": f"{finding.rule}:{finding.standard}:{finding.mrid}"},
        "occurrenceCount": max(1, finding.count),
    }
    if finding.waived:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": finding.waived}]
    return result


def _uri(file: str, base: Path) -> str:
    """A relative URI; members of a zip stay ``zip!member``."""
    archive, mark, member = file.partition("!")
    path = Path(archive)
    if path.is_absolute():
        path = path.relative_to(base) if path.is_relative_to(base) else Path(path.name)
    return quote(f"{path.as_posix()}{mark}{member}", safe="/!")
