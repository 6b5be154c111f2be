"""What ``scada doctor`` says: findings, the site that is looked at, and how checks are made.

A check gets the :class:`Site` and yields findings; what one says is a text ``doctor.<key>`` of the catalogue, what to do is
``doctor.<key>.mend`` if there is such a text. A check that breaks is reported as not known, never as healthy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path

from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.settings import Settings
from scada.security.authorities import Authorities, load_authorities


class State(Enum):
    """What a finding means; the order is that of gravity."""

    GOOD = "good"
    UNKNOWN = "unknown"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        state: what it means; WRONG gives exit code 1.
        key: of its text, without ``doctor.``.
        parameters: of the text.
    """

    state: State
    key: str
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """What is looked at.

    Attributes:
        settings: the configuration.
        config: its file.
        clock: the host's.
    """

    settings: Settings
    config: Path
    clock: Clock

    @property
    def keys(self) -> Path:
        """Folder of identities."""
        return self.settings.security.keys

    @cached_property
    def authorities(self) -> Authorities:
        """Who is trusted."""
        return load_authorities(self.keys)


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: in the report and for ``--only``.
        look: yields what it finds; nothing found means nothing to say.
    """

    name: str
    look: Callable[[Site], Iterator[Finding]]


def run_checks(site: Site, checks: list[Check]) -> list[tuple[str, Finding]]:
    """(name of the check, finding) of all checks; a check that cannot be made says so."""
    found = []
    for check in checks:
        try:
            found += [(check.name, finding) for finding in check.look(site)]
        except (ScadaError, OSError, ValueError) as error:
            found.append((check.name, Finding(State.UNKNOWN, "not_known", {"reason": str(error)})))
    return found
