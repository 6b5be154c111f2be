"""Tag types: what a tag that an operator hangs on an object inhibits.

The types are those of switching practice (the signs of a safety permit: do not close, under maintenance, earthed, live work) as
control centres keep them on the screen; IEC 61968 calls the record an operation tag. Their names for people are the texts
``tag_type.<key>``. A tag hangs on a point, a piece of equipment, a bay, a voltage level or a station and counts for everything in
it; several may hang on one object, each for its own reason, and each forbids until it is taken down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from scada.control.operator_data import Mark, MarkKind
from scada.control.plant import asks_to_close
from scada.model_cim.objects import ObjectKind, PlantObjects
from scada.model_cim.tables import Control, ControlKind


class Inhibit(StrEnum):
    """Which controls a tag forbids."""

    NONE = ""
    CLOSE = "close"
    """Switch commands that close; opening, steps and set-points stay free."""
    ALL = "all"


@dataclass(frozen=True, slots=True)
class TagType:
    """One type of tag.

    Attributes:
        key: its name in messages and in the text ``tag_type.<key>``.
        control: which controls it forbids.
        alarms: True if alarms of the tagged points are set aside while it hangs.
        earths: True if the tagged part (line, transformer, busbar, machine) counts as earthed for the interlocks.
    """

    key: str
    control: Inhibit = Inhibit.NONE
    alarms: bool = False
    earths: bool = False

    def forbids(self, control: Control, value: float) -> bool:
        """True if a control to this value must not be operated under the tag."""
        if self.control is not Inhibit.CLOSE:
            return self.control is Inhibit.ALL
        switches = control.kind in (ControlKind.SINGLE, ControlKind.DOUBLE)
        return switches and asks_to_close(control, value)


_TYPES = (
    TagType("do_not_operate", Inhibit.ALL),
    TagType("do_not_close", Inhibit.CLOSE),
    # out of service and worked on: what it signals means nothing, and nobody may operate it from here
    TagType("maintenance", Inhibit.ALL, alarms=True),
    # a portable earth is in place: no instrument shows it
    TagType("earthed", Inhibit.CLOSE, earths=True),
    # after a trip the line must not be closed again before the crew was asked
    TagType("live_work", Inhibit.CLOSE),
    # secondary test: signals are made by the test set, the primary plant is in service
    TagType("under_test", alarms=True),
    TagType("alarms_off", alarms=True),
    TagType("defect"),
    TagType("information"),
)

TAG_TYPES: Final[Mapping[str, TagType]] = MappingProxyType({each.key: each for each in _TYPES})
"""Tag types by key."""


def tag_type(mark: Mark) -> TagType:
    """The type of a tag; one that only another version of the program knows forbids every control."""
    return TAG_TYPES.get(mark.tag_type) or TagType(mark.tag_type, Inhibit.ALL)


class TagBoard:
    """The tags in force, for the control path; never changes, a change makes the next board.

    Args:
        marks: every mark.
        objects: the model's objects.

    Attributes:
        earthed: mRIDs of what carries a portable earth.
    """

    def __init__(self, marks: Iterable[Mark], objects: PlantObjects) -> None:
        self._objects = objects
        self.earthed: tuple[str, ...] = ()
        self._forbidding: dict[str, list[Mark]] = {}
        self._silencing: list[Mark] = []
        for mark in marks:
            if mark.kind is not MarkKind.TAG:
                continue
            tag = tag_type(mark)
            if tag.control is not Inhibit.NONE:
                for mrid in self._counts_for(mark):
                    self._forbidding.setdefault(mrid, []).append(mark)
            if tag.alarms:
                self._silencing.append(mark)
            if tag.earths:
                self.earthed += tuple(self._counts_for(mark))

    def _counts_for(self, mark: Mark) -> Sequence[str]:
        """The tagged object; for a point also the equipment it measures: nobody hangs a safety tag on a number."""
        found = self._objects.find(mark.mrid)
        if found is None or found.kind is not ObjectKind.POINT or not found.within:
            return (mark.mrid,)
        measured = self._objects.find(found.within[0])
        equipment = measured is not None and measured.kind is ObjectKind.EQUIPMENT
        return (mark.mrid, found.within[0]) if equipment else (mark.mrid,)

    def forbids(self, control: Control, value: float) -> str:
        """Why a control must not be operated to a value, with every tag in its way; empty if none is."""
        if not self._forbidding:
            return ""
        marks = {m.mark_id: m for mrid in self._objects.of_control(control) for m in self._forbidding.get(mrid, ())}
        standing = [mark for _, mark in sorted(marks.items()) if tag_type(mark).forbids(control, value)]
        return "; ".join(f"{mark.tag_type} on {mark.path} by {mark.user}: {mark.reason}" for mark in standing)

    def silenced(self) -> dict[str, str]:
        """Points whose alarms are set aside, mRID -> the tag in one sentence."""
        return {
            point.mrid: f"{mark.tag_type} on {mark.path} by {mark.user}: {mark.reason}"
            for mark in reversed(self._silencing)
            for point in self._objects.points_in(mark.mrid)
        }
