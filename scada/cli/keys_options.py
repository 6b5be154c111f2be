"""Options and passwords that the commands of ``scada keys`` share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from scada.security.key_files import AUTHORITY, PASSWORD_VARIABLE

AUTHORITY_PASSWORD_VARIABLE: Final = "SCADA_CA_PASSWORD"  # noqa: S105 - the variable's name

folder = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
ask = click.option("--password", "ask", is_flag=True, help=f"Ask for the key's password (else {PASSWORD_VARIABLE} if set).")
ask_authority = click.option(
    "--ca-password",
    "ask_authority",
    is_flag=True,
    help=f"Ask for the authority's password (else {AUTHORITY_PASSWORD_VARIABLE} if set, else that of the key).",
)
authority = click.option("--by", "authority", default=AUTHORITY, show_default=True, help="Name of the authority that signs.")
years = click.option("--years", type=click.FloatRange(0.01, 10), default=2.0, show_default=True, help="Validity.")


def password(*, asked: bool, confirm: bool = True) -> bytes | None:
    """Password of a key: typed if asked for, else from the environment, else none."""
    if asked:
        text: str = click.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True)
        return text.encode()
    return os.environ.get(PASSWORD_VARIABLE, "").encode() or None


def authority_password(*, asked: bool, otherwise: bytes | None) -> bytes | None:
    """Password of an authority's key."""
    if asked:
        text: str = click.prompt("Password of the authority", hide_input=True, err=True)
        return text.encode()
    return os.environ.get(AUTHORITY_PASSWORD_VARIABLE, "").encode() or otherwise
