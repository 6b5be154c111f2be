"""``scada model check`` and ``scada model rules``: what is wrong with a model, as text, JSON or SARIF."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click

from scada import __version__
from scada.core.errors import ModelError
from scada.model_cim.findings import Finding, Severity, has_errors

_COLOURS = {Severity.FATAL: "red", Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: None}
_WORST_FIRST = (Severity.FATAL, Severity.ERROR, Severity.WARNING, Severity.INFO)
_UNREADABLE = 2


@click.command(
    epilog="Example: scada model check models/north --severity warning --sarif findings.sarif. Exit code: 0 no errors, 1 errors "
    "among what is shown, 2 a file cannot be read. Waivers stand in waivers.toml beside the model; see docs/model/checking.md.",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object with every finding and the counts.")
@click.option("--sarif", metavar="FILE", help="Write SARIF 2.1.0 to FILE; - = to the terminal instead of the text.")
@click.option("--rule", "rules", multiple=True, metavar="GLOB", help="Only rules of this id, ours or ENTSO-E's; may repeat.")
@click.option(
    "--severity",
    type=click.Choice([severity.value for severity in _WORST_FIRST]),
    default=Severity.INFO.value,
    show_default=True,
    help="Only findings this bad or worse.",
)
@click.option("--station", help="Only findings about this station.")
@click.option(
    "--profile-schema",
    type=click.Choice(["2.4.15", "3.0", "auto"]),
    default="auto",
    show_default=True,
    help="CGMES version whose tables are used; auto = what the files say they are.",
)
@click.option("--shown", type=click.IntRange(0), default=20, show_default=True, help="Findings of a rule and file; 0 = all.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="scada.toml, for the drivers named under [drivers]; they are imported to check the addresses of their points.",
)
def check(
    path: Path,
    *,
    as_json: bool,
    sarif: str | None,
    rules: tuple[str, ...],
    severity: str,
    station: str | None,
    profile_schema: str,
    shown: int,
    config: Path | None,
) -> None:
    """Find what is wrong: XML, schema, references, electrical sense, points, addresses, controls, AGC and AVC."""
    findings, counts = _checked(path, config, profile_schema, shown)
    kept = [finding for finding in findings if _chosen(finding, rules, Severity(severity), station)]
    summary = {**counts, **_counted(kept)}
    if as_json:
        by_rule = dict(sorted(_by_rule(kept).items()))
        report = {**summary, "rules": by_rule, "findings": [_with_title(finding) for finding in kept]}
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    elif sarif != "-":
        _tell(kept, summary)
    if sarif is not None:
        _write_sarif(kept, sarif)
    sys.exit(_UNREADABLE if any(one.severity is Severity.FATAL for one in kept) else 1 if has_errors(kept) else 0)


@click.command(epilog="Example: scada model rules 'line.*' --json")
@click.argument("pattern", default="*")
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
@click.option("--markdown", is_flag=True, help="The table of docs/model/checking.md.")
def rules(pattern: str, *, as_json: bool, markdown: bool) -> None:
    """List the rules of the check: id, severity, title in English and Chinese, where the rule is written."""
    from scada.model_cim.rules.catalogue import RULES
    from scada.model_cim.rules.every import load_rules

    load_rules()
    chosen = [rule for id_, rule in sorted(RULES.items()) if fnmatchcase(id_, pattern)]
    if not chosen:
        raise ModelError(f"no rule {pattern!r}", mend="scada model rules lists them all")
    if as_json:
        keys = ("id", "severity", "title", "title_zh", "standard")
        click.echo(json.dumps([{key: getattr(rule, key) for key in keys} for rule in chosen], indent=1, ensure_ascii=False))
        return
    if markdown:
        click.echo("| rule | severity | found when | 含义 | where it is written |\n|---|---|---|---|---|")
    for rule in chosen:
        if markdown:
            click.echo(f"| `{rule.id}` | {rule.severity.value} | {rule.title} | {rule.title_zh} | {rule.standard} |")
            continue
        click.echo(f"{rule.id}\t{rule.severity.value}\t{rule.title}\t{rule.title_zh}\t{rule.standard}")


def _checked(path: Path, config: Path | None, schema: str, shown: int) -> tuple[list[Finding], dict[str, int]]:
    """All findings, and what the model holds. A model that cannot be read is one fatal finding."""
    from datetime import UTC, datetime

    from scada.apps.calc.graph import expression_findings
    from scada.core.clock import SystemClock
    from scada.core.settings import load_settings
    from scada.model_cim.check import CheckSettings, check_model
    from scada.model_cim.points import build_tables
    from scada.model_cim.reader import ModelReader
    from scada.model_cim.waivers import read_waivers
    from scada.protocols.registry import Drivers

    drivers = Drivers(load_settings(config).drivers if config is not None else None)
    try:
        model = ModelReader(path).read()
    except ModelError as error:
        where = error.where or str(path)
        return [Finding(where, 0, Severity.FATAL, "model.unreadable", error.what, hint=error.mend)], {}
    tables, found = build_tables(model, drivers=drivers)
    today = datetime.fromtimestamp(SystemClock().now_ns() / 1e9, UTC).date()
    settings = CheckSettings(schema=schema, shown=shown, waivers=read_waivers(path), today=today)
    found = [*found, *expression_findings(model, tables.points)]
    counts = {
        "objects": len(model),
        "points": len(tables.points),
        "controls": len(tables.controls),
        "channels": len(tables.channels),
        "stations": len(tables.stations),
        "upstream": len(tables.upstream),
    }
    return check_model(model, tables, found=found, settings=settings), counts


def _chosen(finding: Finding, rules: Sequence[str], least: Severity, station: str | None) -> bool:
    bad_enough = _WORST_FIRST.index(finding.severity) <= _WORST_FIRST.index(least)
    of_rule = not rules or any(fnmatchcase(name, rule) for rule in rules for name in (finding.rule, finding.standard))
    of_station = station is None or finding.path == station or finding.path.startswith(f"{station}/")
    return bad_enough and of_rule and of_station


def _with_title(finding: Finding) -> dict[str, str | int]:
    from scada.model_cim.rules.catalogue import RULES

    rule = RULES.get(finding.rule)
    return {**finding.as_dict(), "title": "" if rule is None else rule.title, "title_zh": "" if rule is None else rule.title_zh}


def _counted(findings: Sequence[Finding]) -> dict[str, int]:
    def number(which: Callable[[Finding], bool]) -> int:
        return sum(finding.count for finding in findings if which(finding))

    return {
        "errors": number(lambda one: one.severity in (Severity.FATAL, Severity.ERROR) and not one.waived),
        "warnings": number(lambda one: one.severity is Severity.WARNING and not one.waived),
        "infos": number(lambda one: one.severity is Severity.INFO and not one.waived),
        "waived": number(lambda one: bool(one.waived)),
    }


def _by_rule(findings: Sequence[Finding]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.rule] += finding.count
    return counts


def _tell(findings: Sequence[Finding], summary: dict[str, int]) -> None:
    for finding in findings:
        click.secho(str(finding), fg=None if finding.waived else _COLOURS[finding.severity])
    if findings:
        click.echo("; ".join(f"{rule} {count}" for rule, count in _by_rule(findings).most_common()))
    click.echo(", ".join(f"{count} {name}" for name, count in summary.items()))


def _write_sarif(findings: Sequence[Finding], target: str) -> None:
    from scada.model_cim.sarif import as_sarif

    log: dict[str, Any] = as_sarif(findings, Path.cwd(), __version__)
    text = json.dumps(log, indent=1, ensure_ascii=False) + "\n"
    if target == "-":
        click.echo(text, nl=False)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ModelError(f"the SARIF file cannot be written: {error}", where=target, mend="give another place") from error
