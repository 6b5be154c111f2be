"""Nine-zone rule: which kind of discrete device acts, from the voltage and from the reactive reserve.

The plane is cut in three by the voltage (high, in band, low) and in three by the reactive balance, judged here by how the zone's
continuous sources are loaded: near their upper limit reactive power is lacking, near their lower one there is a surplus. "Bank
up" stands for what raises the voltage: a capacitor on or a reactor off. The table is data: see :data:`SOURCE`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

Cell = tuple[VoltageBand, ReactiveBalance]
Table = Mapping[Cell, tuple[Action, ...]]

ACTIONS: Final[dict[str, Action]] = {
    "tap_up": ("tap", True),
    "tap_down": ("tap", False),
    "bank_up": ("bank", True),
    "bank_down": ("bank", False),
}
"""By the names of the configuration."""

SOURCE: Final = "common practice of the nine-zone diagram (VQC); no standard text at hand: check against the site's own rule"

_DEFAULT: Final[dict[str, tuple[str, ...]]] = {
    "high/ok": ("tap_down", "bank_down"),
    "high/lack": ("tap_down",),
    "high/surplus": ("bank_down", "tap_down"),
    "ok/ok": (),
    "ok/lack": ("bank_up",),
    "ok/surplus": ("bank_down",),
    "low/ok": ("tap_up", "bank_up"),
    "low/lack": ("bank_up", "tap_up"),
    "low/surplus": ("tap_up",),
}


def cell_name(cell: Cell) -> str:
    """Name of a cell as the configuration writes it.

    >>> cell_name((VoltageBand.HIGH, ReactiveBalance.LACK))
    'high/lack'
    """
    return f"{cell[0].name}/{cell[1].name}".lower()


def nine_zone_table(*changes: Mapping[str, Sequence[str]]) -> dict[Cell, tuple[Action, ...]]:
    """The table with the cells that a site sets otherwise.

    Args:
        changes: actions by cell name; later ones count.

    Raises:
        KeyError: a cell or an action that does not exist (the schema of the configuration refuses both before).
    """
    cells = {cell_name((band, balance)): (band, balance) for band in VoltageBand for balance in ReactiveBalance}
    rules: dict[str, Sequence[str]] = dict(_DEFAULT)
    for change in changes:
        rules |= change
    return {cells[name]: tuple(ACTIONS[action] for action in actions) for name, actions in rules.items()}


NINE_ZONES: Final = nine_zone_table()
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
