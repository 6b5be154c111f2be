"""Columns that stand for more than one property: units, states, limits, kinds of points, and what only informs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scada.core.ids import derived_mrid
from scada.model_cim.points import states_of, unit_text
from scada.model_cim.sheets.faults import CellError
from scada.model_cim.sheets.kinds import Objects, Row, check_text, parse_number
from scada.model_cim.sheets.names import Names
from scada.model_cim.statements import Statement, ValueKind

LONGEST_CELL: Final = 32_767
"""Characters a cell of a workbook can hold; of a longer list only the number is shown."""
_SYMBOLS: Final[Mapping[str, str]] = {
    "W": "W",
    "var": "VAr",
    "VA": "VA",
    "V": "V",
    "A": "A",
    "Hz": "Hz",
    "Wh": "Wh",
    "varh": "VArh",
    "°C": "degC",
    "°": "deg",
    "s": "s",
    "h": "h",
    "m": "m",
    "ohm": "ohm",
    "F": "F",
    "H": "H",
    "Pa": "Pa",
    "J": "J",
    "g": "g",
    "rad": "rad",
}
_MULTIPLIERS: Final[Mapping[str, str]] = {"": "none", "k": "k", "M": "M", "G": "G", "m": "m"}
_UNITS: Final[Mapping[str, tuple[str, str]]] = {
    **{prefix + sign: (symbol, multiplier) for sign, symbol in _SYMBOLS.items() for prefix, multiplier in _MULTIPLIERS.items()},
    **{sign: (symbol, "none") for sign, symbol in _SYMBOLS.items()},
    "%": ("none", "c"),
}
_FEEDBACK: Final = ("sc:Control.feedback", "Command.DiscreteValue", "AnalogControl.AnalogValue")
_SET_OF: Final = "AnalogLimitSet.Measurements"
_STATE: Final = re.compile(r"(-?\d{1,9})\s*=\s*(\S.*)", re.ASCII)
KINDS: Final[Mapping[str, str]] = {
    "analog": "Analog",
    "counter": "Accumulator",
    **dict.fromkeys(("discrete", "status", "double", "step", "bits", "state"), "Discrete"),
}
"""Word for a kind of point -> class of its measurement. ``discrete``: the IEC 104 type decides which."""


@dataclass(frozen=True)
class Unit:
    """Unit of a measurement or control, as people write it: ``MW``."""

    role: str
    owner: str
    choices: tuple[str, ...] = ()
    numeric: bool = False
    written: bool = True

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """Unit by symbol and multiplier."""
        symbols, multipliers = names.texts(f"{self.owner}.unitSymbol"), names.texts(f"{self.owner}.unitMultiplier")
        known: dict[tuple[str, str], str] = {}
        found = []
        for row in rows:
            mrid = row[self.role]
            key = (symbols.get(mrid, ""), multipliers.get(mrid, ""))
            if key not in known:
                known[key] = unit_text(names.model, mrid, self.owner)
            found.append(known[key])
        return found

    def write(self, row: Row, text: str | None) -> None:
        """Symbol and multiplier; none at all where it is cleared."""
        if text is not None and text not in _UNITS:
            raise CellError("unit", value=text)
        mrid = row.owner(self.role)
        symbol, multiplier = (None, None) if text is None else _UNITS[text]
        row.edits.put(mrid, f"{self.owner}.unitSymbol", symbol and f"UnitSymbol.{symbol}", ValueKind.ENUM)
        row.edits.put(mrid, f"{self.owner}.unitMultiplier", multiplier and f"UnitMultiplier.{multiplier}", ValueKind.ENUM)


@dataclass(frozen=True)
class States:
    """Labels of states: ``0=open; 1=closed``. Points share a set of labels; another list is another set."""

    role: str
    prop: str
    choices: tuple[str, ...] = ()
    numeric: bool = False
    written: bool = True

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """Labels by value."""
        sets = names.texts(self.prop)
        shown = {mrid: states_text(states_of(names.model, mrid)) for mrid in set(sets.values())}
        return [shown.get(sets.get(row[self.role], ""), "") for row in rows]

    def write(self, row: Row, text: str | None) -> None:
        """A set that says so: one that is there, or a new one."""
        mrid = row.owner(self.role)
        if text is None:
            row.edits.put(mrid, self.prop, None, ValueKind.REF)
            return
        states: dict[int, str] = {}
        for part in text.split(";"):
            match = _STATE.fullmatch(part.strip())
            if match is None or int(match[1]) in states:
                raise CellError("states", value=text)
            states[int(match[1])] = check_text(match[2])
        model = row.names.model
        found = next((one for one in model.ids("ValueAliasSet") if states_of(model, one) == states), None)
        row.edits.put(mrid, self.prop, found or self._new(row, states), ValueKind.REF)

    @staticmethod
    def _new(row: Row, states: Mapping[int, str]) -> str:
        text = states_text(states)
        mrid = derived_mrid("sheet", "states", text)
        row.edits.create(mrid, "ValueAliasSet")
        row.edits.put(mrid, "IdentifiedObject.name", text)
        for value, label in states.items():
            alias = derived_mrid("sheet", "states", text, str(value))
            row.edits.create(alias, "ValueToAlias")
            row.edits.put(alias, "IdentifiedObject.name", label)
            row.edits.put(alias, "ValueToAlias.value", str(value))
            row.edits.put(alias, "ValueToAlias.ValueAliasSet", mrid, ValueKind.REF)
        return mrid


def states_text(states: Mapping[int, str]) -> str:
    """Labels of states in a cell.

    >>> states_text({1: "closed", 0: "open"})
    '0=open; 1=closed'
    """
    return "; ".join(f"{value}={label}" for value, label in sorted(states.items()))


@dataclass(frozen=True)
class PointKindWord:
    """Kind of a point: class of its measurement and, of a Discrete, what it says of itself."""

    choices: tuple[str, ...] = tuple(KINDS)
    numeric: bool = False
    written: bool = True

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """``analog``, ``counter`` or the kind of a Discrete."""
        model, kinds = names.model, names.texts("sc:Discrete.kind")
        words = {"Analog": "analog", "Accumulator": "counter"}
        return [words.get(model.class_of(row["measurement"])) or kinds.get(row["measurement"], "discrete") for row in rows]

    def write(self, row: Row, text: str | None) -> None:
        """Another kind; the class of the measurement stays."""
        if text is None or text not in KINDS:
            raise CellError("choice", value=text or "", choices=", ".join(KINDS))
        mrid = row.owner("measurement")
        class_name = row.edits.added.get(mrid) or row.names.model.class_of(mrid)
        if KINDS[text] != class_name:
            raise CellError("fixed", now=class_name)
        if class_name == "Discrete":
            row.edits.put(mrid, "sc:Discrete.kind", None if text == "discrete" else text)


@dataclass(frozen=True)
class LimitValue:
    """One limit of a limit set; the AnalogLimit comes and goes with it."""

    kind: str
    choices: tuple[str, ...] = ()
    numeric: bool = True
    written: bool = True

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """Value of the first limit of this kind."""
        values = names.texts("AnalogLimit.value")
        return [values.get(self._limit(names, row["set"]), "") for row in rows]

    def write(self, row: Row, text: str | None) -> None:
        """The value; a cleared one takes the limit away."""
        owner = row.owner("set")
        mrid = self._limit(row.names, owner)
        if text is None:
            if mrid:
                row.edits.remove(mrid)
            return
        parse_number(text)
        if not mrid:
            mrid = derived_mrid("sheet", "limit", owner, self.kind)
            row.edits.create(mrid, "AnalogLimit")
            row.edits.put(mrid, "IdentifiedObject.name", self.kind)
            row.edits.put(mrid, "sc:AnalogLimit.kind", self.kind)
            row.edits.put(mrid, "AnalogLimit.LimitSet", owner, ValueKind.REF)
        row.edits.put(mrid, "AnalogLimit.value", text)

    def _limit(self, names: Names, limit_set: str) -> str:
        model = names.model
        for mrid in model.refs_to(limit_set, "AnalogLimit.LimitSet"):
            if (model.text(mrid, "sc:AnalogLimit.kind") or model.name(mrid)) == self.kind:
                return mrid
        return ""


@dataclass(frozen=True)
class LimitedPoints:
    """The points a limit set stands for: it refers to their measurements, or they to it. A point added leaves its old set."""

    choices: tuple[str, ...] = ()
    numeric: bool = False
    written: bool = True

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """Paths of the points."""
        return [self._text(names, self._present(names, row["set"])) for row in rows]

    def _text(self, names: Names, measurements: Sequence[str]) -> str:
        text = "; ".join(sorted(self._label(names, one) for one in measurements))
        return text if len(text) <= LONGEST_CELL else f"<{len(measurements)}>"

    def write(self, row: Row, text: str | None) -> None:
        """Exactly these points."""
        names, owner = row.names, row.owner("set")
        wanted = set()
        for part in (text or "").split(";"):
            if part.strip():
                wanted.add(self._measurement(names, part.strip()))
        for measurement in sorted(set(self._present(names, owner)) ^ wanted):
            there = measurement in wanted
            if there:
                for other in names.model.refs_to(measurement, _SET_OF):
                    row.edits.link(Statement(other, _SET_OF, measurement, ValueKind.REF), there=False)
                row.edits.put(measurement, "Analog.LimitSets", None, ValueKind.REF)
            statement = Statement(owner, _SET_OF, measurement, ValueKind.REF)
            if not there and measurement not in names.model.refs(owner, _SET_OF):
                statement = Statement(measurement, "Analog.LimitSets", owner, ValueKind.REF)
            row.edits.link(statement, there=there)

    @staticmethod
    def _measurement(names: Names, text: str) -> str:
        if text in names.value_of:
            return text
        return names.measurement_of[names.resolve("point", text)]

    @staticmethod
    def _present(names: Names, limit_set: str) -> list[str]:
        model = names.model
        return [*model.refs(limit_set, _SET_OF), *model.refs_to(limit_set, "Analog.LimitSets")]

    @staticmethod
    def _label(names: Names, measurement: str) -> str:
        return names.label("point", names.value_of.get(measurement, "")) or measurement


@dataclass(frozen=True)
class Feedback:
    """The point that must follow a control; which property names it depends on the class of the control."""

    choices: tuple[str, ...] = ()
    numeric: bool = False
    written: bool = True

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """Path of the point."""
        found: dict[str, str] = {}
        for prop in reversed(_FEEDBACK):
            found |= names.texts(prop)
        return [names.label("point", found.get(row["control"], "")) for row in rows]

    def write(self, row: Row, text: str | None) -> None:
        """Another point, by the property that names it now."""
        mrid = row.owner("control")
        class_name = row.edits.added.get(mrid) or row.names.model.class_of(mrid)
        target = None if text is None else row.names.resolve("point", text)
        own = {"Command": "Command.DiscreteValue", "SetPoint": "AnalogControl.AnalogValue"}.get(class_name, _FEEDBACK[0])
        present = [prop for prop in _FEEDBACK if row.names.model.ref(mrid, prop)]
        row.edits.put(mrid, next(iter(present), own), target, ValueKind.REF)
        for prop in present[1:]:
            row.edits.put(mrid, prop, None, ValueKind.REF)


@dataclass(frozen=True)
class ForbiddenZones:
    """Ranges of power a unit must not stay in, each with the seconds it may be inside: ``18..30/120; 40..45``."""

    choices: tuple[str, ...] = ()
    numeric: bool = False
    written: bool = True

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """The ranges, lowest first."""
        return ["; ".join(sorted(self._present(names, row["unit"]), key=_low)) for row in rows]

    def write(self, row: Row, text: str | None) -> None:
        """Exactly these ranges."""
        unit = row.owner("unit")
        wanted = {self._read(part.strip()) for part in (text or "").split(";") if part.strip()}
        present = self._present(row.names, unit)
        for zone in sorted(present.keys() - wanted):
            row.edits.remove(present[zone])
        for zone in sorted(wanted - present.keys()):
            mrid = derived_mrid("sheet", "zone", unit, zone)
            span, _, permitted = zone.partition("/")
            low, _, high = span.partition("..")
            row.edits.create(mrid, "sc:ForbiddenZone")
            row.edits.put(mrid, "sc:ForbiddenZone.GeneratingUnit", unit, ValueKind.REF)
            row.edits.put(mrid, "sc:ForbiddenZone.lowP", low)
            row.edits.put(mrid, "sc:ForbiddenZone.highP", high)
            if permitted:
                row.edits.put(mrid, "sc:ForbiddenZone.permittedTime", permitted)

    @staticmethod
    def _read(part: str) -> str:
        span, slash, permitted = (one.strip() for one in part.partition("/"))
        low, _, high = (one.strip() for one in span.partition(".."))
        if not parse_number(low) < parse_number(high):
            raise CellError("range", value=low, low="-∞", high=high)
        if slash and not parse_number(permitted) > 0:
            raise CellError("range", value=permitted, low="0", high="∞")
        return f"{low}..{high}" + (f"/{permitted}" if slash else "")

    @staticmethod
    def _present(names: Names, unit: str) -> dict[str, str]:
        model = names.model
        found = {}
        for one in model.refs_to(unit, "sc:ForbiddenZone.GeneratingUnit"):
            low, high = (model.text(one, prop) or "" for prop in ("sc:ForbiddenZone.lowP", "sc:ForbiddenZone.highP"))
            permitted = model.text(one, "sc:ForbiddenZone.permittedTime")
            found[f"{low}..{high}" + (f"/{permitted}" if permitted else "")] = one
        return found


def _low(zone: str) -> tuple[float, str]:
    try:
        return parse_number(zone.partition("..")[0]), zone
    except CellError:
        return math.inf, zone


@dataclass(frozen=True)
class Info:
    """Told, never taken back.

    Attributes:
        text: text of a row.
    """

    text: Callable[[Names, Objects], str]
    choices: tuple[str, ...] = ()
    numeric: bool = False
    written: bool = False

    def show(self, names: Names, rows: Sequence[Objects]) -> list[str]:
        """The text."""
        return [self.text(names, row) for row in rows]

    def write(self, row: Row, text: str | None) -> None:
        """Not possible.

        Raises:
            CellError: always.
        """
        del row
        raise CellError("read-only", now=text)
