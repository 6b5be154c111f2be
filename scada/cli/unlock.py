"""The password of a key at the terminal: asked where the key needs one, ever more slowly where it is wrong."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from scada.core.clock import SystemClock
from scada.core.errors import SecurityError
from scada.security.key_files import PASSWORD_VARIABLE, key_path, load_key, read_secret
from scada.security.passwords import Attempts, is_locked

TRIES = 3


def ask_password(folder: Path, name: str) -> bytes | None:
    """The password that opens the key of an identity; None if it needs none, or the environment gives it.

    Raises:
        SecurityError: the key cannot be read, or the password was wrong three times.
    """
    path = key_path(folder, name)
    if os.environ.get(PASSWORD_VARIABLE) or not path.exists() or not is_locked(read_secret(path)):
        return None
    attempts = Attempts(path.with_suffix(".tries"), SystemClock())
    for left in reversed(range(TRIES)):
        if wait := attempts.wait_s():
            click.echo(f"wait {wait:.0f} s", err=True)
            time.sleep(wait)
        password = str(click.prompt(f"password of {name}", hide_input=True, err=True)).encode()
        try:
            load_key(folder, name, password)
        except SecurityError as error:
            attempts.failed()
            if not left:
                raise
            click.echo(error.what, err=True)
        else:
            attempts.succeeded()
            return password
    raise AssertionError("the last failure is raised")
