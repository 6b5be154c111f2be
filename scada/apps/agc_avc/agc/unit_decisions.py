"""What is told of the units after a cycle: status, reasons and bounds in words, built only for whoever asks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from scada.apps.agc_avc.agc.groups import GroupTree
from scada.apps.agc_avc.agc.modes import BASE_MODES, CLOSED, LOOPS, OPEN, REG_MODES, SHARES, TEST, chinese_name, english_name
from scada.apps.agc_avc.agc.plant_status import NO_PLANT, PlantStatus, shown_of
from scada.apps.agc_avc.agc.unit_kernels import (
    BY_AVAILABLE,
    BY_CHARGE,
    BY_DISPATCH,
    BY_LOWER_BLOCK,
    BY_RAISE_BLOCK,
    EDGE,
    LOCKED,
    NO_AVAILABLE,
    NO_BASE,
    NO_BLOCK,
    NO_CHARGE,
    NO_MODE,
    NO_POWER,
    NO_RANGE,
    NOT_READ,
    NOT_REMOTE,
    OUTSIDE,
    PLANT,
    REMOTE_UNKNOWN,
    TAGGED,
    UNDER_CONTROL,
)
from scada.apps.agc_avc.agc.unit_table import B1, UnitState, UnitTable
from scada.apps.agc_avc.agc.water_filling import F8
from scada.apps.agc_avc.inputs import and_substituted
from scada.model_cim.regulation import AgcUnit, ForbiddenZone

_REASONS = {
    NOT_READ: "not read yet",
    NO_RANGE: "limits, ramp, forbidden zones or controls of the model leave no range",
    NO_POWER: "no good measurement of its power",
    REMOTE_UNKNOWN: "no good measurement of its remote status",
    NOT_REMOTE: "not in remote control",
    NO_MODE: "mode AUTO O",
    NO_BASE: "no good measurement of its base point",
    NO_BLOCK: "no good measurement of its raise or lower block",
    NO_AVAILABLE: "no good measurement of its available power",
    NO_CHARGE: "no good measurement of its state of charge",
}
_LIMITED = {
    BY_AVAILABLE: "available power",
    BY_CHARGE: "state of charge",
    BY_RAISE_BLOCK: "raising is blocked",
    BY_LOWER_BLOCK: "lowering is blocked",
    BY_DISPATCH: "limits of dispatch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitDecision(PlantStatus):
    """One unit after a cycle, with the figures of a plant if it is one; NaN = none or unknown. Fields as in ``AgcUnitStatus``."""

    mrid: str
    name: str
    fuel: str
    base_mode: str
    reg_mode: str
    power_mw: float
    base_mw: float
    setpoint_mw: float
    """Last sent."""
    minimum_mw: float
    maximum_mw: float
    ramp_up: float
    ramp_down: float
    available: bool
    """Under AGC now."""
    reason: str
    """Why not, or what bounds it."""
    last_command_ns: int
    participation: float
    forbidden: tuple[ForbiddenZone, ...]
    group: str
    """mRID of its group; empty = the area itself."""
    share: str
    """How it takes part: ``factor``, ``economic``, ``ramp``, ``margin`` or ``capacity``."""
    loop: str
    """``closed``, ``open`` or ``test``."""
    advised_mw: float
    """What it would be told: open loop, or area in monitor."""
    target_mw: float
    """What it should generate now."""
    mode_en: str
    mode_zh: str
    zone_s: float
    """How long its output has been inside a forbidden zone, s."""
    raise_blocked: bool
    lower_blocked: bool
    locked: bool
    """Off control until an operator unlocks it or changes its mode."""
    misses: int
    """Cycles in a row in which it did not follow."""
    response_mw_per_min: float
    """Measured rate of response."""
    output: str
    """``setpoint``, ``pulses`` or ``members``."""
    test_mw: float
    """The operator's test value."""
    regulates: bool
    """Takes part in regulation now."""


@dataclass(frozen=True, slots=True)
class Words:
    """Texts of single units that no code can say, by index.

    Attributes:
        locks: why a unit is locked.
        tags: which tag forbids it.
        plants: why a plant cannot be used.
        limits: what narrows a plant's limits.
        held: which of its measurements an operator entered.
        figures: what is shown of plants.
    """

    locks: Mapping[int, str]
    tags: Mapping[int, str]
    plants: Mapping[int, str]
    limits: Mapping[int, str]
    held: Mapping[int, str]
    figures: Mapping[int, PlantStatus]


class UnitView:
    """Reads units out of their columns, one at a time.

    Args:
        units: of the model.
        table: the same as columns.
        groups: their groups.
        state: columns that change, live or as copied after a cycle.
        words: texts.
    """

    def __init__(self, units: Sequence[AgcUnit], table: UnitTable, groups: GroupTree, state: UnitState, words: Words) -> None:
        self.units = units
        self.table = table
        self.state = state
        self.words = words
        self._groups = groups

    def reason(self, i: int) -> str:
        """Why a unit is off control; empty = it is not."""
        s, code = self.state, int(self.state.reason[i])
        if code == UNDER_CONTROL:
            return ""
        if code == OUTSIDE:
            return f"output {s.power[i]:.1f} MW outside {self.table.minimum[i]:g}..{self.table.maximum[i]:g} MW"
        texts = {LOCKED: self.words.locks, TAGGED: self.words.tags, PLANT: self.words.plants}
        return texts[code].get(i, "not usable") if code in texts else _REASONS[code]

    def bound(self, i: int) -> str:
        """What keeps the target from going further."""
        s, t = self.state, self.table
        if s.free[i]:
            return "runs free"
        target = s.target[i]
        if s.crossing[i] != 0:
            return "forbidden zone, crossing"
        limited = self.words.limits.get(i, "") or _LIMITED.get(int(s.limited[i]), "")
        if target >= s.high[i] - EDGE or target <= s.low[i] + EDGE:
            return limited or ("maximum" if target >= s.high[i] - EDGE else "minimum")
        first, last = int(t.first[i]), int(t.first[i + 1])
        if any(abs(target - edge) < EDGE for edge in (*t.segment_hi[first : last - 1], *t.segment_lo[first + 1 : last])):
            return "forbidden zone"
        if abs(abs(target - s.told[i]) - t.maximum_step[i]) < EDGE:
            return "largest step"
        return self.group_bound(i)

    def group_bound(self, i: int) -> str:
        """Which group's limit holds a unit that regulates; empty = none."""
        if not self._groups.limits_anything or not self.state.member[i]:
            return ""
        for name, low, high, total in self._groups.bounds(i, self.table, self.state):
            if total >= high - EDGE or total <= low + EDGE:
                return f"limit of group {name}"
        return ""

    def loop_reason(self, i: int) -> str:
        """What a loop that is not closed means for a unit; empty for a closed one."""
        match int(self.state.loop[i]):
            case code if code == OPEN:
                return "open loop: advice only"
            case code if code == TEST:
                return f"test: {self.state.test_value[i]:g} MW"
        return ""

    def decision(self, i: int, regime: str) -> UnitDecision:
        """Status of a unit; ``regime`` is the area's."""
        s, t, unit = self.state, self.table, self.units[i]
        closed = s.loop[i] == CLOSED
        under = bool(regime == "on" and s.reason[i] == UNDER_CONTROL and closed)
        off = "" if regime == "on" else f"AGC {regime}"
        reason = self.reason(i) or self.loop_reason(i) or (off or self.bound(i))
        base, reg = BASE_MODES[s.base_mode[i]], REG_MODES[s.reg_mode[i]]
        return UnitDecision(
            mrid=unit.mrid,
            name=unit.name,
            fuel=unit.fuel,
            base_mode=base,
            reg_mode=reg,
            power_mw=float(s.power[i]),
            base_mw=float(s.base[i]),
            setpoint_mw=float(s.sent[i]),
            minimum_mw=float(s.low[i]),
            maximum_mw=float(s.high[i]),
            ramp_up=float(s.ramp_up[i]),
            ramp_down=float(s.ramp_down[i]),
            available=under,
            reason=and_substituted(reason, self.words.held.get(i, "")),
            last_command_ns=int(s.sent_ns[i]),
            participation=unit.participation,
            forbidden=unit.forbidden,
            group=unit.group,
            share=SHARES[t.share[i]],
            loop=LOOPS[s.loop[i]],
            advised_mw=float(s.advised[i]),
            target_mw=float(s.target[i]),
            mode_en=english_name(base, reg),
            mode_zh=chinese_name(base, reg),
            zone_s=float(s.zone_s[i]),
            raise_blocked=bool(s.raise_blocked[i]),
            lower_blocked=bool(s.lower_blocked[i]),
            locked=bool(s.locked[i]),
            misses=int(s.misses[i]),
            response_mw_per_min=float(s.rate[i]),
            output="members" if t.splits[i] else "setpoint" if math.isnan(t.pulse_mw[i]) else "pulses",
            test_mw=float(s.test_value[i]),
            regulates=bool(s.member[i]) and under,
            **shown_of(self.words.figures.get(i, NO_PLANT)),
        )


class UnitDecisions(Sequence[UnitDecision]):
    """Every unit after a cycle, built when it is looked at; what each cycle needs of all of them is there as columns.

    Args:
        view: columns as copied after the cycle.
        regime: state of the area.

    Attributes:
        power_mw: output of each unit.
        setpoint_mw: set-point sent last.
        available: True where the unit is under AGC.
    """

    def __init__(self, view: UnitView, regime: str) -> None:
        self._view = view
        self._regime = regime
        self._built: dict[int, UnitDecision] = {}
        s = view.state
        self.power_mw: F8 = s.power
        self.setpoint_mw: F8 = s.sent
        self.available: B1 = (s.reason == UNDER_CONTROL) & (s.loop == CLOSED) & (regime == "on")

    @property
    def powers(self) -> dict[str, float]:
        """Output of each unit by mRID, MW."""
        return {unit.mrid: mw for unit, mw in zip(self._view.units, self.power_mw.tolist(), strict=True)}

    def __len__(self) -> int:
        return len(self._view.units)

    @overload
    def __getitem__(self, index: int) -> UnitDecision: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[UnitDecision, ...]: ...
    def __getitem__(self, index: int | slice) -> UnitDecision | tuple[UnitDecision, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        place = range(len(self))[index]
        if place not in self._built:
            self._built[place] = self._view.decision(place, self._regime)
        return self._built[place]

    def __iter__(self) -> Iterator[UnitDecision]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]
