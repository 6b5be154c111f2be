"""Nine-zone rule: which kind of discrete device acts, from the voltage and from the reactive reserve.

The plane is cut in three by the voltage (high, in band, low) and in three by the reactive balance, judged here by how the zone's
continuous sources are loaded: near their upper limit reactive power is lacking, near their lower one there is a surplus. "Bank
up" stands for what raises the voltage: a capacitor on or a reactor off.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class VoltageBand(IntEnum):
    """Where the voltage stands."""

    LOW = -1
    OK = 0
    HIGH = 1


class ReactiveBalance(IntEnum):
    """How much reactive power the continuous sources have left."""

    SURPLUS = -1
    OK = 0
    LACK = 1


Action = tuple[str, bool]
"""Kind of device (``tap`` or ``bank``) and whether it raises the voltage."""

_TAP_UP, _TAP_DOWN = ("tap", True), ("tap", False)
_BANK_UP, _BANK_DOWN = ("bank", True), ("bank", False)

NINE_ZONES: Final[dict[tuple[VoltageBand, ReactiveBalance], tuple[Action, ...]]] = {
    (VoltageBand.HIGH, ReactiveBalance.OK): (_TAP_DOWN, _BANK_DOWN),
    (VoltageBand.HIGH, ReactiveBalance.LACK): (_TAP_DOWN,),
    (VoltageBand.HIGH, ReactiveBalance.SURPLUS): (_BANK_DOWN, _TAP_DOWN),
    (VoltageBand.OK, ReactiveBalance.OK): (),
    (VoltageBand.OK, ReactiveBalance.LACK): (_BANK_UP,),
    (VoltageBand.OK, ReactiveBalance.SURPLUS): (_BANK_DOWN,),
    (VoltageBand.LOW, ReactiveBalance.OK): (_TAP_UP, _BANK_UP),
    (VoltageBand.LOW, ReactiveBalance.LACK): (_BANK_UP, _TAP_UP),
    (VoltageBand.LOW, ReactiveBalance.SURPLUS): (_TAP_UP,),
}
"""Actions to try, in order. Where both axes are wrong and one action would mend one and worsen the other, the voltage comes first
and the other follows in a later cycle."""


def voltage_band(voltage: float, target: float, deadband: float) -> VoltageBand:
    """Band of a voltage; kV."""
    return VoltageBand(int(voltage > target + deadband) - int(voltage < target - deadband))


def reactive_balance(reactive: float, minimum: float, maximum: float, threshold: float) -> ReactiveBalance:
    """Balance of a group of sources.

    Args:
        reactive: their sum, Mvar.
        minimum: sum of their lower limits.
        maximum: sum of their upper limits.
        threshold: part of the half range from its middle at which reserve is short.
    """
    half = 0.5 * (maximum - minimum)
    if not half > 0:
        return ReactiveBalance.OK
    loading = (reactive - 0.5 * (maximum + minimum)) / half
    return ReactiveBalance(int(loading > threshold) - int(loading < -threshold))
