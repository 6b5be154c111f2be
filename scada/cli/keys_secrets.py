"""``scada keys secret``: passwords that settings name and nobody reads."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from scada.cli import keys_options as options
from scada.security.secrets_store import SecretStore


@click.group()
def secret() -> None:
    """Keep passwords of databases, brokers and servers encrypted in FOLDER; settings name them as secret:NAME.

    \b
    scada keys secret set var/keys history            # asks for it
    dsn = "host=db.example dbname=history user=scada password=secret:history"      # in [history] of scada.toml
    """  # noqa: D301 - click's mark of lines that stay as they are


@secret.command("set")
@options.folder
@click.argument("name")
def set_secret(*, folder: Path, name: str) -> None:
    """Add or replace the secret NAME; asked for, or the first line of standard input if that is no terminal."""
    if sys.stdin.isatty():
        value: str = click.prompt("Secret", hide_input=True, confirmation_prompt=True, err=True)
    else:
        value = sys.stdin.readline().rstrip("\r\n")
    SecretStore(folder).set(name, value)
    click.echo(f"secret:{name} is set; a running server takes it when it connects the next time")


@secret.command("list")
@options.folder
def list_secrets(*, folder: Path) -> None:
    """List the names; what they hold is never shown."""
    for name in SecretStore(folder).names():
        click.echo(f"secret:{name}")


@secret.command("remove")
@options.folder
@click.argument("name")
def remove_secret(*, folder: Path, name: str) -> None:
    """Forget the secret NAME."""
    SecretStore(folder).remove(name)
    click.echo(f"secret:{name} is forgotten")


@secret.command("rotate")
@options.folder
def rotate(*, folder: Path) -> None:
    """Seal all secrets anew under a new key. The passwords themselves are changed where they are used, then by `set`."""
    click.echo(f"{SecretStore(folder).rotate()} secrets are sealed under a new key")
