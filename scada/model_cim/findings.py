"""What is wrong with a model: findings with a place, never tracebacks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What would break the line, command the terminal or turn the letters round; names and values of a model may hold it."""


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
        line = f"{line} (waived: {self.waived})" if self.waived else line
        return _UNSEEN.sub(_escape, line)

    def as_dict(self) -> dict[str, str | int]:
        """Fields by name, for JSON."""
        return asdict(self)


def has_errors(findings: Iterable[Finding]) -> bool:
    """True if any finding that is not waived is an error or worse."""
    return any(finding.severity in (Severity.FATAL, Severity.ERROR) and not finding.waived for finding in findings)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


class Findings(list[Finding]):
    """A list that does not grow without end: of each rule the first ``limit`` findings, then one that counts the rest."""

    def __init__(self, limit: int = 1000) -> None:
        super().__init__()
        self._limit = limit
        self._listed: dict[str, int] = {}
        self._rest: dict[str, int] = {}

    def append(self, finding: Finding) -> None:
        """One more finding; past the limit of its rule it is only counted."""
        if self.full(finding.rule):
            self.more(finding.rule, finding)
            return
        self._listed[finding.rule] = self._listed.get(finding.rule, 0) + 1
        super().append(finding)

    def extend(self, findings: Iterable[Finding]) -> None:
        """More findings."""
        for finding in findings:
            self.append(finding)

    def full(self, rule: str) -> bool:
        """True if findings of a rule are only counted from now on: :meth:`more` is enough."""
        return self._listed.get(rule, 0) >= self._limit

    def more(self, rule: str, finding: Finding | None = None) -> None:
        """One more finding of a rule that is full."""
        place = self._rest.get(rule)
        if place is None:
            first = finding or next(one for one in reversed(self) if one.rule == rule)
            self._rest[rule] = len(self)
            super().append(replace(first, line=0, text="", mrid="", path="", count=0))
            place = len(self) - 1
        count = self[place].count + 1
        self[place] = replace(self[place], count=count, text=f"{count} more findings of this rule are not listed")
