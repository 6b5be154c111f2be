"""The table of control sequences: those under way, the last that ended, and what each of them holds."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from scada.control.answers import unknown_sequence
from scada.control.phases import Phase
from scada.control.records import ControlReply, SequenceState, SequenceView
from scada.control.sequence import ControlSequence
from scada.control.traces import Request
from scada.model_cim.tables import Control, ControlKind

SETTLED_S: Final = 2.0
"""How long the interlocks may lag behind a feedback."""
REMEMBERED: Final = 256
"""Finished sequences kept, to answer a late execute or cancel properly."""


class SequenceTable:
    """Sequences by id; one that ended is remembered for a while."""

    def __init__(self) -> None:
        self._running: dict[str, ControlSequence] = {}
        self._finished: OrderedDict[str, ControlSequence] = OrderedDict()

    def add(self, sequence: ControlSequence) -> None:
        """One more is under way."""
        self._running[sequence.request.sequence_id] = sequence

    def running(self) -> list[ControlSequence]:
        """Those under way, oldest first; a copy."""
        return list(self._running.values())

    def under_way(self, sequence_id: str) -> ControlSequence | None:
        """One that has not ended."""
        return self._running.get(sequence_id)

    def find(self, sequence_id: str) -> ControlSequence | None:
        """One under way, or one of the last that ended."""
        return self._running.get(sequence_id) or self._finished.get(sequence_id)

    def put_aside(self, sequence: ControlSequence) -> None:
        """One that ended is no longer under way, but people may still ask for it."""
        request = sequence.request
        if sequence.phase is not Phase.DONE or self._running.pop(request.sequence_id, None) is None:
            return
        if request.one_call and not request.principal.is_person:
            return  # nobody asks for it again, and AGC would push what people did out of the table
        self._finished[request.sequence_id] = sequence
        while len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)

    def holder(self, request: Request) -> ControlSequence | None:
        """Another sequence that holds the object of this request."""
        others = (other for other in self._running.values() if other.request.sequence_id != request.sequence_id)
        return next((other for other in others if _holds(other.request.control, request.control)), None)

    def moving(self, has_arrived: Callable[[Request], bool]) -> frozenset[str]:
        """Switches that are being operated, and those that just arrived but not yet where the interlocks look.

        Args:
            has_arrived: whether the interlocks see a switch where it was told to go.
        """
        moving = [one.request for one in self._running.values() if one.under_way]
        for one in reversed(self._finished.values()):
            if one.ended_for() > SETTLED_S:
                break
            if one.outcome is SequenceState.SUCCESS and not has_arrived(one.request):
                moving.append(one.request)
        return frozenset(one.control.equipment for one in moving if one.control.kind in (ControlKind.SINGLE, ControlKind.DOUBLE))

    def views(self, station: str = "", *, ended: bool = False) -> list[SequenceView]:
        """Those under way, oldest first, and the last that ended if asked; of one station, or of all."""
        shown = [*(self._finished.values() if ended else ()), *self._running.values()]
        return [one.view() for one in shown if station in ("", one.request.control.station)]

    def next_deadline(self) -> float:
        """Monotonic seconds of the next deadline, infinity if none."""
        return min((sequence.deadline for sequence in self._running.values()), default=math.inf)

    def stands(self, sequence_id: str) -> ControlReply:
        """Where a sequence stands."""
        sequence = self.find(sequence_id)
        return sequence.reply() if sequence else unknown_sequence(sequence_id)


def _holds(one: Control, other: Control) -> bool:
    """A control holds itself and its equipment, but each set-point of a unit (P, Q, V) only itself."""
    if one.mrid == other.mrid:  # of another model version it may be on other equipment
        return True
    return ControlKind.SETPOINT not in (one.kind, other.kind) and one.equipment == other.equipment != ""
