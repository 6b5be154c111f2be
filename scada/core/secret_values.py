"""Secrets that settings only name: ``secret:NAME`` stands for a password that is kept encrypted (``scada keys secret``).

They are looked up where they are used, when they are used; no settings object ever holds one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from scada.core.errors import ConfigError, ScadaError

PREFIX: Final = "secret:"

Source = Callable[[str], str]
"""Gives the secret of a name; raises a ScadaError if it cannot."""

_sources: list[Source] = []


def use_source(source: Source | None) -> None:
    """Say where this process takes its secrets from; None = nowhere."""
    _sources[:] = [source] if source else []


def is_secret(text: str) -> bool:
    """True if a setting names a secret."""
    return text.startswith(PREFIX)


def reveal(text: str, where: str) -> str:
    """What a setting stands for: the secret that it names, or itself if it names none. Neither log nor keep it.

    Args:
        text: the setting.
        where: the setting's place, for errors.

    Raises:
        ConfigError: there is no such secret, or this process has no secrets.
    """
    if not is_secret(text):
        return text
    if not _sources:
        raise ConfigError(f"{text} cannot be looked up here", where=where, mend="only a server has secrets")
    try:
        return _sources[0](text.removeprefix(PREFIX))
    except ScadaError as error:
        raise ConfigError(f"{text}: {error.what}", where=where, mend=error.mend) from error
