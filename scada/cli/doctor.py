"""``scada doctor``: find weak set-ups before somebody else does."""

from __future__ import annotations

import json
from pathlib import Path

import click

from scada.api.texts import LANGUAGES, catalogue, language_of, text
from scada.cli.doctor_checks import CHECKS
from scada.cli.doctor_findings import Finding, Site, State, run_checks
from scada.core.clock import SystemClock
from scada.core.settings import load_settings


@click.command(name="doctor")
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), default=Path("scada.toml"), show_default=True, help="Configuration."
)
@click.option("--only", multiple=True, help="Only these checks, by name.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--lang", type=click.Choice(LANGUAGES), default=None, help="Language; default from LANG.")
def command(*, config: Path, only: tuple[str, ...], as_json: bool, lang: str | None) -> None:
    """Look for weak set-ups of the server of a configuration and say what to do; exit code 1 if something is wrong.

    It reads keys, certificates, revocation lists, roles, the last segment of the audit log and the configuration, and changes
    nothing. Run it on the server, as the user under which the server runs. What it cannot find out it calls not known.
    """
    names = [check.name for check in CHECKS]
    if unknown := set(only) - set(names):
        raise click.BadParameter(f"{min(unknown)!r}: one of {', '.join(names)}", param_hint="--only")
    site = Site(load_settings(config), config, SystemClock())
    found = run_checks(site, [check for check in CHECKS if not only or check.name in only])
    language = language_of(lang or "")
    counted = {state: sum(finding.state is state for _, finding in found) for state in State}
    if as_json:
        rows = [
            {
                "check": name,
                "state": finding.state.value,
                "key": finding.key,
                "parameters": finding.parameters,
                "text": say(language, finding),
                "mend": mend(language, finding),
            }
            for name, finding in found
        ]
        click.echo(json.dumps({"findings": rows, "wrong": counted[State.WRONG]}, ensure_ascii=False, indent=1))
    else:
        order = list(State)
        for _, finding in sorted(found, key=lambda pair: -order.index(pair[1].state)):
            mark = text(language, f"doctor.state.{finding.state.value}", {})
            click.echo(f"{mark}  {say(language, finding)}")
            if advice := mend(language, finding):
                click.echo(f"       -> {advice}")
        click.echo(text(language, "doctor.sum", {state.value: str(count) for state, count in counted.items()}))
    if counted[State.WRONG]:
        raise click.exceptions.Exit(1)


def say(language: str, finding: Finding) -> str:
    """What was found, in a language."""
    return text(language, f"doctor.{finding.key}", finding.parameters)


def mend(language: str, finding: Finding) -> str:
    """What to do about it; empty if nothing."""
    key = f"doctor.{finding.key}.mend"
    return text(language, key, finding.parameters) if key in catalogue(language) and finding.state is not State.GOOD else ""
