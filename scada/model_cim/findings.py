"""What is wrong with a model: findings with a place, never tracebacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    FATAL = "fatal"
    """A file could not be read to its end: the model must not be run."""
    ERROR = "error"
    """The object named is left out or incomplete; the rest works."""
    WARNING = "warning"
    """Works, but probably not as meant."""
    INFO = "info"
    """Worth knowing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. ``str()`` gives the line people read: ``file:line severity rule mRID path text (hint)``."""

    file: str
    line: int
    """1-based; 0 = the file as a whole."""
    severity: Severity
    rule: str
    """Stable id of the rule, e.g. ``ref.dangling``."""
    text: str
    mrid: str = ""
    path: str = ""
    """Names of the containers and the object, for people."""
    hint: str = ""

    @property
    def where(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        words = (self.where, self.severity.value, self.rule, self.mrid or "-", self.path or "-", self.text)
        line = " ".join(words)
        return f"{line} ({self.hint})" if self.hint else line

    def as_dict(self) -> dict[str, str | int]:
        """Fields by name, for JSON."""
        return asdict(self)


def has_errors(findings: Iterable[Finding]) -> bool:
    """True if any finding is an error or worse."""
    return any(finding.severity in (Severity.FATAL, Severity.ERROR) for finding in findings)
