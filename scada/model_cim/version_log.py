"""What the version log holds: chained entries, and the versions that follow from them.

Nothing of it is ever changed: a version is what the entries about it say, read in order. Each entry holds the SHA-256 of the
one before, so that one that was changed, removed or put in is seen when the store is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final

import msgpack

from scada.rtdb.lmdb_file import CorruptFileError

GENESIS: Final = hashlib.sha256(b"scada model versions 1").digest()
"""What the first entry follows."""
MEND: Final = "keep it as evidence: move the folder away; the server then takes the folder [model] path as version 1"


class Step(StrEnum):
    """What was done to a version."""

    PROPOSED = "proposed"
    CHECKED = "checked"
    """Its files are kept, and what was found is known."""
    REFUSED = "refused"
    """Its files cannot be a version of this model: broken, in conflict with another's work, outside the engineer's areas."""
    APPROVED = "approved"
    WITHDRAWN = "withdrawn"
    APPLYING = "applying"
    APPLIED = "applied"
    ROLLED_BACK = "rolled_back"
    """The server runs this earlier version again."""
    FAILED = "failed"
    """Applying did not come to its end; the version before runs on."""
    PRUNED = "pruned"
    """Its files and reports were removed; the entries stay, and the difference of one that ran."""


class State(StrEnum):
    """How a version stands."""

    CHECKING = "checking"
    READY = "ready"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    APPLYING = "applying"
    APPLIED = "applied"
    """It runs, or has run."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log.

    Attributes:
        seq: from 1.
        time_ns: ns UTC.
        step: what was done.
        version: to which version.
        actor: by whom; ``system`` = by the server itself.
        text: why, or what came of it, one sentence.
        data: what belongs to the step, see :func:`fold`.
        before: SHA-256 of the entry before.
    """

    seq: int
    time_ns: int
    step: Step
    version: int
    actor: str = ""
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    before: bytes = GENESIS


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the model, as the log tells it.

    Attributes:
        number: from 1, in the order of proposal.
        state: how it stands.
        maker: who proposed it.
        made_ns: when, ns UTC.
        description: in the maker's words.
        areas: areas of responsibility the maker had.
        base: version it changes; 0 = none.
        origin: where its files came from: ``folder``, ``upload``, ``difference``, ``version``.
        source: SHA-256 of what was uploaded, or the number of the version it is taken from.
        digest: SHA-256 over its model files, see :func:`scada.model_cim.version_files.digest_of`.
        files: SHA-256 of each file by its name in the folder.
        checked_on: version that ran when it was checked, which its differences are against.
        counts: findings by severity.
        dangers: effects that whoever applies it must name, with their texts in English and Chinese.
        stations: stations it changes; ``*`` = what belongs to no station.
        areas_of: control area of each of them.
        lost: mRIDs of points that the version before has and this one has not.
        reports: SHA-256 of each report kept with it: ``findings``, ``difference``, ``effects``, ``shadow``.
        approver: second engineer.
        approved_ns: when.
        applied_by: who applied it last.
        applied_ns: when.
        result: what came of the last step, one sentence.
        kept: False once its files were removed.
    """

    number: int
    state: State = State.CHECKING
    maker: str = ""
    made_ns: int = 0
    description: str = ""
    areas: tuple[str, ...] = ()
    base: int = 0
    origin: str = ""
    source: str = ""
    digest: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    checked_on: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    dangers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    stations: tuple[str, ...] = ()
    areas_of: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    reports: Mapping[str, str] = field(default_factory=dict)
    approver: str = ""
    approved_ns: int = 0
    applied_by: str = ""
    applied_ns: int = 0
    result: str = ""
    kept: bool = True

    @property
    def open(self) -> bool:
        """True while something may still come of it."""
        return self.state in {State.CHECKING, State.READY, State.APPLYING}

    @property
    def folder_name(self) -> str:
        """Name of its folder."""
        return f"{self.number:06d}-{self.digest[:12]}"


@dataclass(frozen=True, slots=True)
class History:
    """What the whole log comes to.

    Attributes:
        versions: by number.
        ran: versions that were made current one after the other and not rolled back; the last of them runs.
    """

    versions: Mapping[int, Version] = field(default_factory=dict)
    ran: tuple[int, ...] = ()

    @property
    def current(self) -> int:
        """Version that runs; 0 = none yet."""
        return self.ran[-1] if self.ran else 0

    @property
    def previous(self) -> int:
        """Version that ran before it, what a rollback goes to; 0 = none."""
        return self.ran[-2] if len(self.ran) > 1 else 0


_FACTS: Final = {
    Step.PROPOSED: ("areas", "base", "origin", "source"),
    Step.CHECKED: ("digest", "files", "checked_on", "counts", "dangers", "stations", "areas_of", "lost", "reports"),
    Step.REFUSED: ("checked_on", "counts", "reports"),
}
"""What the data of a step says of its version."""
_STATES: Final = {
    Step.CHECKED: State.READY,
    Step.REFUSED: State.REFUSED,
    Step.WITHDRAWN: State.WITHDRAWN,
    Step.APPLYING: State.APPLYING,
    Step.APPLIED: State.APPLIED,
    Step.FAILED: State.READY,
}
_TUPLES: Final = frozenset({"areas", "stations", "lost"})


def fold(history: History, entry: Entry) -> History:
    """The history after one more entry.

    Raises:
        ValueError: the entry is about a version that was never proposed, or has data of another step.
    """
    versions = dict(history.versions)
    known = versions.get(entry.version)
    if known is None:
        if entry.step is not Step.PROPOSED:
            raise ValueError(f"version {entry.version} was never proposed")
        known = Version(entry.version, maker=entry.actor, made_ns=entry.time_ns, description=entry.text)
    facts: dict[str, Any] = {
        name: tuple(entry.data[name]) if name in _TUPLES else entry.data[name]
        for name in _FACTS.get(entry.step, ())
        if name in entry.data
    }
    changed = replace(known, **facts, state=_STATES.get(entry.step, known.state))
    ran = history.ran
    match entry.step:
        case Step.APPROVED:
            changed = replace(changed, approver=entry.actor, approved_ns=entry.time_ns)
        case Step.APPLIED | Step.ROLLED_BACK:
            changed = replace(changed, state=State.APPLIED, applied_by=entry.actor, applied_ns=entry.time_ns)
            ran = (*ran[: ran.index(entry.version)], entry.version) if entry.version in ran else (*ran, entry.version)
        case Step.FAILED if known.applied_ns:
            changed = replace(changed, state=State.APPLIED)
        case Step.PRUNED:
            told = {name: digest for name, digest in known.reports.items() if name == "difference" and known.applied_ns}
            changed = replace(changed, kept=False, reports=told)
    if entry.step not in {Step.PROPOSED, Step.PRUNED}:
        changed = replace(changed, result=entry.text)
    versions[entry.version] = changed
    return History(versions, ran)


def folded(entries: Iterable[Entry]) -> History:
    """The history that a log comes to."""
    history = History()
    for entry in entries:
        history = fold(history, entry)
    return history


_FIELDS: Final = tuple(each.name for each in fields(Entry))


def encode_entry(entry: Entry) -> bytes:
    """An entry as it is stored: msgpack of its fields in order."""
    packed: bytes = msgpack.packb([str(value) if isinstance(value, Step) else value for value in _values(entry)])
    return packed


def _values(entry: Entry) -> list[Any]:
    return [dict(value) if isinstance(value, Mapping) else value for value in (getattr(entry, name) for name in _FIELDS)]


def entry_digest(blob: bytes) -> bytes:
    """What the next entry holds of this one."""
    return hashlib.sha256(b"\1" + blob).digest()


def decode_entries(blobs: Sequence[bytes], where: str) -> list[Entry]:
    """The entries of a log, the oldest first.

    Raises:
        CorruptFileError: one does not follow from the one before, or cannot be read.
    """
    found: list[Entry] = []
    before = GENESIS
    for number, blob in enumerate(blobs, 1):
        try:
            values = dict(zip(_FIELDS, msgpack.unpackb(blob), strict=True))
            entry = Entry(**values | {"step": Step(values["step"])})
        except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
            raise CorruptFileError(f"entry {number} of the version log cannot be read", where=where, mend=MEND) from error
        if entry.seq != number or entry.before != before:
            raise CorruptFileError(
                f"entry {number} of the version log does not follow from the one before: the log was changed",
                where=where,
                mend=MEND,
            )
        before = entry_digest(blob)
        found.append(entry)
    return found
