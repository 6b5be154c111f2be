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
    """One finding. ``str()`` gives the line people read: ``file:line severity rule mRID path text [standard] (hint)``."""

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
    standard: str = ""
    """Where the rule is written, as there: ``C:452:EQ:ACLineSegment.x:valueRange`` (ENTSO-E), ``IEC 61970-452 6.3``."""
    count: int = 1
    """Places it stands for: above 1 it sums up the rest of many."""
    waived: str = ""
    """Reason why it does not count (a waiver); empty for one that does."""

    @property
    def where(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        severity = f"waived-{self.severity.value}" if self.waived else self.severity.value
        line = " ".join((self.where, severity, self.rule, self.mrid or "-", self.path or "-", self.text))
        line = f"{line} [{self.standard}]" if self.standard else line
        line = f"{line} ({self.hint})" if self.hint else line
        return f"{line} (waived: {self.waived})" if self.waived else line

    def as_dict(self) -> dict[str, str | int]:
        """Fields by name, for JSON."""
        return asdict(self)


def has_errors(findings: Iterable[Finding]) -> bool:
    """True if any finding that is not waived is an error or worse."""
    return any(finding.severity in (Severity.FATAL, Severity.ERROR) and not finding.waived for finding in findings)
