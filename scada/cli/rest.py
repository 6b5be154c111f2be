"""``scada rest``: serve third parties, issue and revoke their tokens, print the published description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scada.cli.rendering import table, time_text

if TYPE_CHECKING:
    from scada.core.settings import Settings
    from scada.rest.tokens import TokenStore

_config = click.option(
    "--config", "-c", type=click.Path(path_type=Path), default=Path("scada.toml"), show_default=True, help="Configuration."
)


@click.group(name="rest")
def command() -> None:
    """Reading for third parties over HTTP and JSON; a process beside the server that only looks."""


@command.command(name="serve")
@_config
@click.option("--parent", type=int, default=0, hidden=True, help="End when this process is no longer our parent.")
def serve(config: Path, parent: int) -> None:
    """Serve until Ctrl-C; `scada serve` starts this itself when `[rest] enabled` is set."""
    from scada.cli.rest_service import run
    from scada.core.log import configure_logging
    from scada.core.settings import load_settings

    settings = load_settings(config)
    configure_logging(settings.log.level, settings.log.format)
    run(settings, parent)


@command.group(name="token")
def token() -> None:
    """Who may ask: bearer tokens, kept as digests."""


@token.command(name="issue")
@click.argument("name")
@_config
@click.option("--days", type=click.FloatRange(0, 3660, min_open=True), default=365.0, show_default=True, help="Good for so long.")
@click.option("--scope", "scopes", default="model,values", show_default=True, help="Groups of addresses, with commas.")
@click.option("--station", "stations", multiple=True, help="Only this station; may be repeated. None = all.")
@click.option("--class", "classes", multiple=True, help="Only this class, kind or measurement type; may be repeated. None = all.")
@click.option("--hide", "hidden", multiple=True, metavar="TABLE.FIELD", help="Leave out this field; may be repeated.")
@click.option("--persons", is_flag=True, help="Show names of persons and what they wrote.")
@click.option("--per-minute", type=click.IntRange(1), default=600, show_default=True, help="Requests a minute in the long run.")
def issue(
    name: str,
    *,
    config: Path,
    days: float,
    scopes: str,
    stations: tuple[str, ...],
    classes: tuple[str, ...],
    hidden: tuple[str, ...],
    persons: bool,
    per_minute: int,
) -> None:
    """Make a token for NAME and print it. It is shown this once: what is kept is its SM3."""
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    made = _tokens(_settings(config)).issue(
        name,
        days=days,
        scopes=wanted,
        stations=stations,
        per_minute=per_minute,
        classes=classes,
        hidden=hidden,
        persons=persons,
    )
    click.echo(made)


@token.command(name="list")
@_config
def list_(config: Path) -> None:
    """Tokens, the newest last; the secrets are not known here."""
    rows = [
        [
            each.id,
            each.name,
            ",".join(each.scopes),
            ",".join(each.stations) or "all",
            ",".join(each.classes) or "all",
            ",".join((*each.hidden, *([] if each.persons else ["persons"]))),
            str(each.per_minute),
            time_text(each.expires_ns),
            time_text(each.revoked_ns),
        ]
        for each in _tokens(_settings(config)).tokens()
    ]
    click.echo(table(("id", "name", "scopes", "stations", "classes", "hidden", "per minute", "expires", "revoked"), rows))


@token.command(name="revoke")
@click.argument("identifier")
@_config
def revoke(identifier: str, *, config: Path) -> None:
    """End a token, by its id; the next request that shows it is refused."""
    ended = _tokens(_settings(config)).revoke(identifier)
    click.echo(f"revoked: {ended.id} of {ended.name}")


@command.command(name="openapi")
def openapi() -> None:
    """Print the published description (docs/rest-openapi.json)."""
    from scada.cli.rest_service import description

    click.echo(json.dumps(description(), indent=1, ensure_ascii=False, sort_keys=True))


def _settings(config: Path) -> Settings:
    from scada.core.settings import load_settings

    return load_settings(config)


def _tokens(settings: Settings) -> TokenStore:
    from scada.core.clock import SystemClock
    from scada.rest.tokens import TokenStore

    return TokenStore(settings.rest.tokens, SystemClock())
