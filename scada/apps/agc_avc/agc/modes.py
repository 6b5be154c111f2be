"""Modes of a unit as pairs: where its base point comes from, when it regulates around it. Codes are the names on the wire.

The pairs follow the EMS practice of China; the English names are those of North American vendors. Neither has a standard's text
behind it [K], so the names are data: a site that says otherwise changes the tables here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from scada.apps.agc_avc.agc.requirement import Zone
from scada.apps.agc_avc.errors import RegulationError


class ModeName(NamedTuple):
    """One half of a mode.

    Attributes:
        code: on the wire and in the model.
        english: as vendors of English-speaking countries call it.
        chinese: as EMS of China call it.
        meaning: one sentence.
    """

    code: str
    english: str
    chinese: str
    meaning: str


BASES = (
    ModeName("AUTO", "REG", "自动", "where the unit stands"),
    ModeName("SCHE", "RAMP", "计划", "its schedule, by file or from dispatch"),
    ModeName("CECO", "ECON", "经济", "economic dispatch of what the units of this mode generate together"),
    ModeName("BASE", "BASE", "定值", "the operator's base point"),
    ModeName("YCBASE", "REMOTE", "遥测基点", "a base point that is measured: the plant's or another centre's"),
    ModeName("PROP", "PROP", "比例", "what the units of this mode generate together, in proportion to their maxima"),
)
"""Where a base point comes from. Two of the profile are not offered: TIEC (keep a section within its limit) needs the section's
sensitivities, LDFC (the area's load forecast) needs a forecast. A unit that the model gives such a mode stays off control."""

REGULATIONS = (
    ModeName("O", "", "不调节", "never"),
    ModeName("R", "REG", "调节", "always"),
    ModeName("A", "ASSIST", "辅助", "in the assist zone and above"),
    ModeName("E", "EMERGENCY", "紧急", "in the emergency zone"),
)

BASE_MODES = tuple(name.code for name in BASES)
REG_MODES = tuple(name.code for name in REGULATIONS)
AUTO, SCHE, CECO, BASE, YCBASE, PROP = range(len(BASES))
OFF, ALWAYS, ASSIST, EMERGENCY = range(len(REGULATIONS))
LOOPS = ("closed", "open", "test")
CLOSED, OPEN, TEST = range(len(LOOPS))
SHARES = ("factor", "economic", "ramp", "margin", "capacity")
FACTOR, ECONOMIC, RAMP, MARGIN, CAPACITY = range(len(SHARES))

_JOINS = {"R": Zone.DEAD, "A": Zone.ASSIST, "E": Zone.EMERGENCY}


@dataclass(frozen=True, slots=True)
class UnitMode:
    """A pair: where the base point comes from, and when the unit regulates around it.

    Attributes:
        base: see :data:`BASES`.
        reg: see :data:`REGULATIONS`.
        base_point_mw: base point of ``BASE``; NaN = none, then the unit stands where it is.

    Raises:
        RegulationError: a mode that does not exist.
    """

    base: str = "AUTO"
    reg: str = "R"
    base_point_mw: float = math.nan

    def __post_init__(self) -> None:
        if self.base not in BASE_MODES:
            raise RegulationError(f"no base mode {self.base!r}", mend=f"use one of {', '.join(BASE_MODES)}")
        if self.reg not in REG_MODES:
            raise RegulationError(f"no regulation mode {self.reg!r}", mend=f"use one of {', '.join(REG_MODES)}")

    def regulates(self, zone: Zone) -> bool:
        """True if the unit takes part in a zone. In the dead zone those of mode R stand by."""
        return self.reg in _JOINS and zone >= _JOINS[self.reg]


def english_name(base: str, reg: str) -> str:
    """Conventional English name of a pair.

    >>> [english_name(*pair) for pair in (("BASE", "O"), ("BASE", "R"), ("CECO", "R"), ("SCHE", "O"), ("AUTO", "O"))]
    ['BASE', 'BASE+REG', 'ECON+REG', 'RAMP', 'MANUAL']
    """
    first, second = BASES[BASE_MODES.index(base)].english, REGULATIONS[REG_MODES.index(reg)].english
    if base == "AUTO":
        return second or "MANUAL"
    return f"{first}+{second}" if second else first


def chinese_name(base: str, reg: str) -> str:
    """Conventional Chinese name of a pair.

    >>> chinese_name("SCHE", "R")
    'SCHER 计划·调节'
    """
    first, second = BASES[BASE_MODES.index(base)].chinese, REGULATIONS[REG_MODES.index(reg)].chinese
    return f"{base}{reg} {first}·{second}"
