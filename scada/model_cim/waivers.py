"""Waivers: findings that engineers looked at and decided to live with, each with its reason.

``waivers.toml`` stands beside the model's files and is part of the model: it is in its digest, versioned and reviewed with it.

    [[waiver]]
    rule = "line.voltages"                 # id of the rule, or ENTSO-E's; * and ? stand for any letters
    path = "North/*"                       # or mrid = "..."; neither = wherever the rule is broken
    reason = "tie line 380/400 kV, agreed with the neighbour"
    author = "J. Li"
    until = 2027-06-30

    [severity]
    "schema.required" = "info"             # another severity for a rule
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from scada.core.errors import ModelError
from scada.core.ids import normalise_mrid
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.sources import UNREADABLE, read_small, shown_name

WAIVERS: Final = "waivers.toml"
"""Name of the file, in the model's folder or zip."""
_KEYS: Final = frozenset({"rule", "mrid", "path", "reason", "author", "until"})


@dataclass(frozen=True, slots=True)
class Waiver:
    """One waiver."""

    rule: str
    """Glob over rule ids and ENTSO-E's ids."""
    reason: str
    mrid: str = ""
    path: str = ""
    """Glob over paths."""
    author: str = ""
    until: dt.date | None = None
    """Last day it holds."""
    file: str = ""
    line: int = 0

    def is_for(self, rule: str, standard: str) -> bool:
        """True if it speaks of this rule."""
        return fnmatchcase(rule, self.rule) or (bool(standard) and fnmatchcase(standard, self.rule))

    def covers(self, mrid: str, path: str) -> bool:
        """True if it speaks of this object."""
        return self.mrid in ("", mrid) and (not self.path or fnmatchcase(path, self.path))

    def finding(self, severity: Severity, rule: str, text: str, hint: str) -> Finding:
        """A finding about the waiver itself."""
        return Finding(self.file, self.line, severity, rule, text, self.mrid, self.path, hint)


@dataclass(frozen=True, slots=True)
class Waivers:
    """What ``waivers.toml`` says."""

    waivers: tuple[Waiver, ...] = ()
    severities: Mapping[str, Severity] = field(default_factory=dict)
    """Severity by glob over rule ids; never for fatal findings."""
    findings: tuple[Finding, ...] = ()
    """What is wrong with the file."""


NO_WAIVERS: Final = Waivers()


def waivers_file(path: Path) -> tuple[str, bytes] | None:
    """Label and content of the ``waivers.toml`` of a model folder or zip; None if it has none.

    Raises:
        ModelError: it cannot be read, or the zip is damaged.
    """
    try:
        if path.is_dir():
            file = path / WAIVERS
            if not file.is_file():
                return None
            with file.open("rb") as stream:
                return shown_name(file), read_small(stream)
        if path.suffix.lower() == ".zip" and path.is_file():
            with zipfile.ZipFile(path) as archive:
                if WAIVERS in archive.namelist():
                    with archive.open(WAIVERS) as stream:
                        return f"{shown_name(path)}!{WAIVERS}", read_small(stream)
    except UNREADABLE as error:
        raise ModelError(f"{WAIVERS} cannot be read: {error}", where=shown_name(path), mend="correct or remove it") from error
    return None


def read_waivers(path: Path | str) -> Waivers:
    """Waivers of a model folder or zip; none if it has no such file. Faults of the file become findings."""
    try:
        found = waivers_file(Path(path))
    except ModelError as error:
        return Waivers(
            findings=(Finding(error.where or str(path), 0, Severity.ERROR, "waiver.file", error.what, hint=error.mend),)
        )
    return parse_waivers(found[1], found[0]) if found is not None else NO_WAIVERS


def parse_waivers(data: bytes, label: str) -> Waivers:
    """Waivers from the bytes of a file.

    >>> parse_waivers(b'[[waiver]]' + bytes([10]) + b'rule = "a.b"', "w.toml").findings[0].rule
    'waiver.reason'
    """
    try:
        text = data.decode()
        read = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as fault:
        found = re.search(r"line (\d+)", str(fault))
        line = int(found[1]) if found else 0
        return Waivers(findings=(Finding(label, line, Severity.ERROR, "waiver.file", f"is no TOML: {fault}", hint="correct it"),))
    reader = _Reader(label, text)
    return reader.read(read)


class _Reader:
    def __init__(self, label: str, text: str) -> None:
        self._label = label
        self._lines = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*waiver\s*\]\]", line)]
        self._findings: list[Finding] = []

    def read(self, read: Mapping[str, Any]) -> Waivers:
        for key in read.keys() - {"waiver", "severity"}:
            self._error(0, "waiver.file", f"{key!r} is neither waiver nor severity", "see docs/model/checking.md")
        rows = read.get("waiver", [])
        if not isinstance(rows, list):
            self._error(0, "waiver.file", "waiver is no list of tables", "write [[waiver]]")
            rows = []
        lines = [*self._lines, *([0] * len(rows))]
        waivers = [waiver for row, line in zip(rows, lines, strict=False) if (waiver := self._waiver(row, line))]
        return Waivers(tuple(waivers), self._severities(read.get("severity", {})), tuple(self._findings))

    def _waiver(self, row: Any, line: int) -> Waiver | None:
        if not isinstance(row, dict):
            self._error(line, "waiver.file", "a waiver is a table", "write [[waiver]]")
            return None
        for key in row.keys() - _KEYS:
            self._error(line, "waiver.file", f"a waiver has no {key!r}", f"known: {', '.join(sorted(_KEYS))}")
        texts = {key: row.get(key, "") for key in _KEYS - {"until"}}
        until = row.get("until")
        if isinstance(until, dt.datetime):
            until = until.date()
        wrong = [key for key, value in texts.items() if not isinstance(value, str)]
        if until is not None and not isinstance(until, dt.date):
            wrong.append("until")
        if wrong:
            self._error(line, "waiver.file", f"{', '.join(sorted(wrong))}: of the wrong type", "texts, and a date without quotes")
            return None
        if not texts["rule"]:
            self._error(line, "waiver.file", "a waiver names no rule", 'rule = "line.voltages"')
            return None
        if not texts["reason"].strip():
            self._error(line, "waiver.reason", f"the waiver of {texts['rule']} gives no reason; it does not count", "say why")
            return None
        if texts["mrid"] and not normalise_mrid(texts["mrid"]):  # it would hold for every object
            self._error(line, "waiver.file", f"{texts['mrid']!r} is no mRID", "give the mRID of the object, or leave it out")
            return None
        return Waiver(
            rule=texts["rule"],
            reason=texts["reason"].strip(),
            mrid=normalise_mrid(texts["mrid"]) if texts["mrid"] else "",
            path=texts["path"],
            author=texts["author"],
            until=until,
            file=self._label,
            line=line,
        )

    def _severities(self, table: Any) -> dict[str, Severity]:
        if not isinstance(table, dict):
            self._error(0, "waiver.file", "severity is no table", "write [severity]")
            return {}
        allowed = {severity.value: severity for severity in (Severity.ERROR, Severity.WARNING, Severity.INFO)}
        known = {rule: allowed[word] for rule, word in table.items() if isinstance(word, str) and word in allowed}
        for rule in table.keys() - known.keys():
            self._error(0, "waiver.file", f"severity of {rule} is {table[rule]!r}", f"one of {', '.join(allowed)}")
        return known

    def _error(self, line: int, rule: str, text: str, hint: str) -> None:
        self._findings.append(Finding(self._label, line, Severity.ERROR, rule, text, hint=hint))


def about_waivers(waivers: Sequence[Waiver], used: Sequence[bool], today: dt.date | None) -> list[Finding]:
    """Findings about waivers that are out of date or match nothing.

    Args:
        waivers: all of them.
        used: per waiver, whether a finding matched it.
        today: None = dates are not looked at.
    """
    found: list[Finding] = []
    for waiver, was_used in zip(waivers, used, strict=True):
        if expired(waiver, today):
            text = f"the waiver of {waiver.rule} ended on {waiver.until}; it does not count any more"
            found.append(waiver.finding(Severity.WARNING, "waiver.expired", text, "mend what it waives, or decide anew"))
        elif not was_used:
            text = f"the waiver of {waiver.rule} matches no finding"
            found.append(waiver.finding(Severity.WARNING, "waiver.unused", text, "remove it"))
    return found


def expired(waiver: Waiver, today: dt.date | None) -> bool:
    """True if the last day of a waiver is over."""
    return waiver.until is not None and today is not None and waiver.until < today
