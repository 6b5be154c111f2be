"""What a model says, one value a statement, and what two models say differently (IEC 61970-552, difference model).

Everything that changes a model is a :class:`Difference`: an engineer's edit, a spreadsheet, a template laid over a model, the
work of a colleague. It says what must have been true before (``reverse``) and what is true afterwards (``forward``), so it can
be checked, applied, merged and taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class ValueKind(StrEnum):
    """What the value of a property is."""

    TEXT = "text"
    """A literal."""
    ENUM = "enum"
    """``EnumClass.value`` of an enumeration."""
    REF = "ref"
    """mRID of another object."""


@dataclass(frozen=True, slots=True, order=True)
class Statement:
    """One value of one property of one object."""

    mrid: str
    prop: str
    """``Class.property``, ``sc:`` before those of our profile."""
    value: str
    kind: ValueKind = ValueKind.TEXT


@dataclass(frozen=True, slots=True)
class DifferenceHeader:
    """Who made a difference, of what, for what; ``md:Model`` attributes of IEC 61970-552."""

    mrid: str = ""
    """Of the difference itself, ``urn:uuid:`` taken off."""
    created: str = ""
    """``md:Model.created``, ISO 8601."""
    description: str = ""
    supersedes: tuple[str, ...] = ()
    """Versions this difference starts from: digests of ours, or ids of others."""
    depends_on: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    authority: str = ""
    """``md:Model.modelingAuthoritySet``."""


@dataclass(frozen=True, slots=True)
class Difference:
    """From one model to another.

    A changed value stands in ``reverse`` (old) and in ``forward`` (new). Statements of an object that comes or goes are listed
    too, all of them: whoever takes the difference back needs every value.

    Attributes:
        added: class of each new object, by mRID.
        removed: class of each object that goes, by mRID. An object that only changes its class is in both.
        forward: what is true afterwards and was not, sorted.
        reverse: what was true before and is not any more, sorted.
        preconditions: what must be true before though it does not change (``dm:preconditions``), sorted.
        header: where it comes from.
    """

    added: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)
    forward: tuple[Statement, ...] = ()
    reverse: tuple[Statement, ...] = ()
    preconditions: tuple[Statement, ...] = ()
    header: DifferenceHeader = DifferenceHeader()

    def __bool__(self) -> bool:
        """True if anything changes."""
        return bool(self.added or self.removed or self.forward or self.reverse)

    def reversed(self) -> Difference:
        """The way back."""
        return replace(
            self,
            added=self.removed,
            removed=self.added,
            forward=self.reverse,
            reverse=self.forward,
            preconditions=(),
            header=DifferenceHeader(),
        )
