"""What the area asks of its units in a cycle, and what is sent to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from scada.apps.agc_avc.agc.requirement import Zone


@dataclass(frozen=True, slots=True)
class Regulation:
    """What the area asks of its units in one cycle.

    Attributes:
        change_mw: change of the demand on the regulating units.
        requirement_mw: area regulation requirement, positive asks for more generation.
        zone: urgency.
        deviation_hz: actual less nominal frequency.
        nominal_hz: nominal frequency.
        dt: seconds since the last cycle.
        now: monotonic seconds.
        sends: False in monitor: advice for every unit, nothing is sent but test values.
    """

    change_mw: float
    requirement_mw: float
    zone: Zone
    deviation_hz: float
    nominal_hz: float
    dt: float
    now: float
    sends: bool = True


class SetPoint(NamedTuple):
    """A set-point or a pulse to send now.

    Attributes:
        cid: control of the unit's active power, of its raise/lower command, or of a member's power.
        mrid: unit or member.
        mw: set-point; for a pulse what the unit is brought nearer to.
        why: one sentence for the audit log and the operator.
        pulse: 0 = a set-point; 1 lower, 2 raise.
    """

    cid: int
    mrid: str
    mw: float
    why: str
    pulse: int = 0

    @property
    def value(self) -> float:
        """What goes out on the control."""
        return float(self.pulse) or self.mw
