"""Comparison of a replayed trace with the objects that an independent dissector found in it.

The truth is JSON lines, gzipped or not, one line an object: ``n`` frame, ``st`` TCP connection, ``src``, ``k`` I/S/U, ``typ``,
``cot``, ``neg``, ``test``, ``ca``, ``ioa``, ``val``, ``q`` (QDS; counters: sequence | CY<<5 | CA<<6 | IV<<7), ``trans``,
``qu``/``ql``, ``se``, ``ts_ms`` (CP56Time2a as if it were UTC), ``tiv``, ``tsu``, ``tgen``, ``coi``, ``qoi``, ``qcc``, ``qrp``. A
bit string's ``val`` is little-endian (IEC 60870-5-4).
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from scada.core.errors import ScadaError
from scada.protocols.iec104.asdu import COMMAND_TYPES
from scada.protocols.iec104.capture import Finding
from scada.protocols.iec104.replay import ReplayedObject

_LINE: Final = 65_536
_HEADER_ONLY: Final = frozenset({102, 104, 107})
"""Types of which a truth has one line an ASDU, without an object."""


class TruthError(ScadaError):
    """A truth file cannot be read."""


class Facts(NamedTuple):
    """What must agree."""

    stream: int
    source: str
    frame: int
    type_id: int
    cause: int
    negative: bool
    test: bool
    common_address: int
    ioa: int | None
    value: str
    """Shortest text that gives the same double; empty = none."""
    quality: int | None
    detail: int
    time: str
    """Milliseconds since 1970, ``invalid``, or empty = no time."""
    time_bits: int

    def __str__(self) -> str:
        """As a person reads it."""
        marks = ("N" if self.negative else "") + ("T" if self.test else "")
        place = f"CA {self.common_address}" + ("" if self.ioa is None else f" IOA {self.ioa}")
        quality = "" if self.quality is None else f" q {self.quality:02x}"
        time = f" t {self.time}/{self.time_bits}" if self.time else ""
        return (
            f"frame {self.frame} {self.source} type {self.type_id} cause {self.cause}{marks} {place} = {self.value or '-'}"
            f"{quality} detail {self.detail}{time}"
        )


@dataclass(slots=True)
class Comparison:
    """Result of a comparison.

    Attributes:
        agreed: objects equal in every respect.
        other_frame: of these, equal but attributed to another frame (held for an earlier segment).
        missing: in the truth only.
        extra: in the replay only.
        differing: pairs (truth, replay) of one address in one frame that differ.
        malformed: frames that the truth found malformed and the replay did not.
    """

    agreed: int = 0
    other_frame: int = 0
    missing: list[Facts] = field(default_factory=list)
    extra: list[Facts] = field(default_factory=list)
    differing: list[tuple[Facts, Facts]] = field(default_factory=list)
    malformed: list[int] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Both sides agree in everything."""
        return not (self.missing or self.extra or self.differing or self.malformed)


def compare(path: Path, objects: Iterable[ReplayedObject], findings: Iterable[Finding], *, most: float = math.inf) -> Comparison:
    """Compare a replay with a truth file, both ways.

    Args:
        path: truth.
        objects: what the replay found.
        findings: its faults; a frame that the truth calls malformed must be among them.
        most: lines that the truth may have.

    Raises:
        TruthError: the file cannot be read or is no truth.
    """
    expected, broken = _read(path, most)
    result = Comparison()
    left, surplus = _match(expected, [_facts_of_object(item) for item in objects], result, with_frame=True)
    left, surplus = _match(left, surplus, result, with_frame=False)
    result.missing, result.extra, result.differing = _pair(left, surplus)
    found = {finding.frame for finding in findings if finding.kind == "malformed"}
    result.malformed = sorted(broken - found)
    return result


def write(path: Path, objects: Iterable[ReplayedObject], findings: Iterable[Finding]) -> int:
    """Write what a replay found as an expectation file, to compare later replays of the same trace with; returns the objects.

    Args:
        path: JSON lines; gzipped if it ends in ``.gz``.
        objects: what the replay found.
        findings: its faults; malformed frames are expected again.

    Raises:
        TruthError: the file cannot be written.
    """
    count = 0
    try:
        with gzip.open(path, "wt", encoding="utf-8") if path.suffix == ".gz" else path.open("w", encoding="utf-8") as file:
            for item in objects:
                file.write(json.dumps(_line(_facts_of_object(item))) + "\n")
                count += 1
            for frame in sorted({finding.frame for finding in findings if finding.kind == "malformed"}):
                file.write(json.dumps({"n": frame, "k": "I", "ca": None}) + "\n")
    except OSError as error:
        raise TruthError(f"cannot write the expectation: {error.strerror or error}", where=str(path)) from error
    return count


def _line(facts: Facts) -> dict[str, Any]:
    """The entry that :func:`_facts_of_line` reads as these facts."""
    entry: dict[str, Any] = {
        "n": facts.frame,
        "st": facts.stream,
        "src": facts.source,
        "k": "I",
        "typ": facts.type_id,
        "cot": facts.cause,
        "neg": facts.negative,
        "test": facts.test,
        "ca": facts.common_address,
    }
    if facts.ioa is None:
        return entry
    entry["ioa"] = facts.ioa
    if facts.value:
        entry["val"] = facts.value if facts.value in {"nan", "inf", "-inf"} else float(facts.value)
    if facts.type_id in COMMAND_TYPES:
        entry |= {"qu": facts.quality, "se": facts.detail}
    elif facts.quality is not None:
        entry |= {"q": facts.quality, "trans": facts.detail}
    if facts.time:
        invalid = facts.time == "invalid"
        entry |= {"cp56": True, "ts_ms": None if invalid else int(facts.time), "tiv": facts.time_bits & 1}
        entry |= {"tsu": facts.time_bits >> 1 & 1, "tgen": facts.time_bits >> 2 & 1}
    return entry


def _match(expected: list[Facts], found: list[Facts], result: Comparison, *, with_frame: bool) -> tuple[list[Facts], list[Facts]]:
    """Take out what is equal; what is left of both."""
    open_ones: dict[Facts, list[Facts]] = defaultdict(list)
    for item in reversed(found):
        open_ones[item if with_frame else item._replace(frame=0)].append(item)
    left = []
    for item in expected:
        same = open_ones.get(item if with_frame else item._replace(frame=0))
        if same:
            same.pop()
            result.agreed += 1
            result.other_frame += not with_frame
        else:
            left.append(item)
    rest = {id(item) for items in open_ones.values() for item in items}
    return left, [item for item in found if id(item) in rest]


def _pair(left: list[Facts], surplus: list[Facts]) -> tuple[list[Facts], list[Facts], list[tuple[Facts, Facts]]]:
    """Missing and extra of the same address in the same frame are one difference."""

    def place(item: Facts) -> tuple[object, ...]:
        return item.stream, item.source, item.frame, item.type_id, item.common_address, item.ioa

    candidates: dict[tuple[object, ...], list[Facts]] = defaultdict(list)
    for item in reversed(surplus):
        candidates[place(item)].append(item)
    missing, differing = [], []
    for item in left:
        if candidates.get(place(item)):
            differing.append((item, candidates[place(item)].pop()))
        else:
            missing.append(item)
    paired = {id(found) for _, found in differing}
    return missing, [item for item in surplus if id(item) not in paired], differing


def _facts_of_object(item: ReplayedObject) -> Facts:
    header_only = item.type_id in _HEADER_ONLY
    system = item.type_id >= 70
    quality: int | None = item.quality
    detail = item.detail
    if system:
        quality = None
    elif item.type_id in {15, 37}:
        quality, detail = item.quality | item.detail, 0
    timed = (item.type_id in range(30, 41) or item.type_id in range(58, 65) or item.type_id == 103) and not header_only
    time = ""
    if timed:
        time = str(item.time_ns // 1_000_000) if item.time_ns else "invalid"
    return Facts(
        item.stream,
        item.source,
        item.frame,
        item.type_id,
        item.cause,
        item.negative,
        item.test,
        item.common_address,
        None if header_only else item.ioa,
        "" if item.value is None or header_only else repr(float(item.value)),
        quality,
        detail,
        time,
        item.time_bits if timed else 0,
    )


def _read(path: Path, most: float) -> tuple[list[Facts], set[int]]:
    """Objects, and the frames of APDUs in which the dissector could not find any."""
    objects, broken = [], set()
    number = 0
    try:
        for line in _lines(path):
            number += 1
            if number > most:
                raise TruthError(f"has more than {most:g} lines", where=str(path), mend="compare with `scada replay --expect`")
            entry = json.loads(line)
            if entry["k"] != "I":
                continue
            if entry["ca"] is None or ("ioa" not in entry and entry["typ"] not in _HEADER_ONLY):
                broken.add(entry["n"])
            else:
                objects.append(_facts_of_line(entry))
    except OSError as error:
        raise TruthError(f"cannot read the truth: {error.strerror or error}", where=str(path)) from error
    except (ValueError, KeyError, TypeError, EOFError, OverflowError, RecursionError, zlib.error) as error:
        raise TruthError("is no truth of an IEC 104 trace", where=f"{path}:{number}", mend="give JSON lines") from error
    return objects, broken


def _lines(path: Path) -> Iterator[str]:
    """Lines of a file; one that is longer than any entry comes in pieces, which are none."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        while line := file.readline(_LINE):
            yield line


def _facts_of_line(entry: dict[str, Any]) -> Facts:
    type_id = int(entry["typ"])
    value = next((entry[name] for name in ("val", "coi", "qoi", "qcc", "qrp") if name in entry), None)
    quality: int | None = None
    detail = 0
    if type_id in COMMAND_TYPES:
        quality, detail = int(entry.get("qu", entry.get("ql", 0))), int(entry.get("se", 0))
    elif type_id < 70:
        quality, detail = int(entry.get("q", 0)), int(entry.get("trans", 0))
    text = "" if value is None else repr(float(value))
    if quality is not None and text in {"nan", "inf", "-inf"}:
        quality |= 0x80  # what is no number is invalid, whatever the station says
    time, bits = "", 0
    if "cp56" in entry:
        invalid = bool(entry["tiv"]) or entry["ts_ms"] is None
        time = "invalid" if invalid else str(entry["ts_ms"])
        bits = int(invalid) | int(entry["tsu"]) << 1 | int(entry["tgen"]) << 2
    return Facts(
        int(entry["st"]),
        entry["src"],
        int(entry["n"]),
        type_id,
        int(entry["cot"]),
        bool(entry["neg"]),
        bool(entry["test"]),
        int(entry["ca"]),
        entry.get("ioa"),
        text,
        quality,
        detail,
        time,
        bits,
    )
