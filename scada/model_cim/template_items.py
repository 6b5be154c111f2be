"""An item of a device template as CIM objects: a point with its measurement, source, limits and labels, or a control."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Place = tuple[str, int]
"""(file, line)."""
Texts = dict[str, tuple[str, Place]]
MadeFields = tuple[str, str, Place, Texts, dict[str, str]]
"""(mRID, class, place, texts, references)."""

_ADDRESS: Final = frozenset(
    [
        "table",
        "register",
        "dataType",
        "wordOrder",
        "byteOrder",
        "bit",
        "bits",
        "mask",
        "notAvailable",
        "values",
        "exponentRegister",
        "scanMs",
        "unitId",
        "ioa",
        "typeId",
        "commonAddress",
        "nodeId",
        "address",
        "scale",
        "offset",
    ]
)
_FROM_BASE: Final = frozenset({"register", "exponentRegister", "ioa"})
"""Counted from the base that the device says."""
_MEASUREMENT: Final = {
    "alarmClass": "sc:Measurement.alarmClass",
    "alarmPriority": "sc:Measurement.alarmPriority",
    "normalState": "sc:Measurement.normalState",
    "alarmDelay": "sc:Measurement.alarmDelay",
    "alarmOffDelay": "sc:Measurement.alarmOffDelay",
    "historyCompression": "sc:Measurement.historyCompression",
    "historySample": "sc:Measurement.historySample",
    "rateLimit": "sc:Measurement.rateLimit",
    "frozenAfter": "sc:Measurement.frozenAfter",
    "expectedEvery": "sc:Measurement.expectedEvery",
    "type": "Measurement.measurementType",
}
_LIMITS: Final = ("lolo", "lo", "hi", "hihi")
_LIMIT_SET: Final = ("hysteresis", "delay", "offDelay", "rate", "rateWindow")
ENABLING: Final = ("enabledBy", "openEnabledBy", "closeEnabledBy")
"""Items of the template that must be 1 before a control of it is operated."""
PERMITTING: Final = ("permittedWhen", "openPermittedWhen", "closePermittedWhen")
"""Conditions that must be true before a control is operated; ``[Item]`` in them is the path of that item's point."""
_CONTROL: Final = ("select", "deviceNumber", "feedbackTimeout", "feedbackTolerance")
_POINT_KINDS: Final = {"analog": "Analog", "counter": "Accumulator"}
_DISCRETE_KINDS: Final = ("status", "double", "step", "bits", "state")
_CONTROL_KINDS: Final = {"setpoint": "SetPoint", "step": "RaiseLowerCommand", "single": "Command", "double": "Command"}
_UNITS: Final = re.compile(r"(?P<multiplier>[kMGm]?)(?P<symbol>Wh|VArh|VAr|VA|W|V|A|Hz|s|h)")
_SYMBOLS: Final = {"var": "VAr", "varh": "VArh", "°C": "degC", "°": "deg", "": "none"}
TERM: Final = re.compile(r"\s*(?:(?P<factor>[-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*\*\s*)?(?P<sign>-?)(?P<name>[A-Za-z]\w*)\s*")
"""A parameter with a factor: ``1.1 * ratedPower``."""
_ITEM: Final = re.compile(r"\[(\w+)\]")
_HEADER: Final = re.compile(r"""\s*\[\s*(?P<name>[\w."'-]+(?:\s*\.\s*[\w"'-]+)*)\s*\]\s*(?:#.*)?""")
_KEY: Final = re.compile(r"""\s*["']?(?P<key>[\w-]+)["']?\s*[=.]""")

ROLE_KEYS: Final = frozenset({"role", "match", "optional"})
"""Which equipment of the device's bay an item belongs to; the device's own without them."""
POINT_KEYS: Final = frozenset(
    {
        "kind",
        "name",
        "unit",
        "base",
        "minimum",
        "maximum",
        "deadband",
        "positiveFlowIn",
        "phases",
        "states",
        "expression",
        *ROLE_KEYS,
    }
    | {*_ADDRESS, *_MEASUREMENT, *_LIMITS, *_LIMIT_SET}
)
"""What a point of a template may say."""
CONTROL_KEYS: Final = frozenset(
    {
        "kind",
        "name",
        "controlType",
        "base",
        "minimum",
        "maximum",
        "feedback",
        *ENABLING,
        *PERMITTING,
        *_ADDRESS,
        *_CONTROL,
        *ROLE_KEYS,
    }
)
"""What a control of a template may say."""


@dataclass(slots=True)
class Maker:
    """Makes the objects of one item of one device.

    Attributes:
        device: its name.
        item: name of the item.
        place: line of the item in its template.
        values: what the template and the device say, each with its place.
        parameters: of the device, by name.
        mrid_of: (item, role) -> mRID.
        refs: ``resource``, ``terminal`` and ``unit`` (the channel).
        address: of the device: ``unitId``, ``commonAddress``.
        path_of: item -> path of its point, empty if there is none.
        faults: what is wrong, one sentence each; then nothing that was made counts.
    """

    device: str
    item: str
    place: Place
    values: Mapping[str, tuple[Any, Place]]
    parameters: Mapping[str, float | str]
    mrid_of: Callable[[str, str], str]
    refs: Mapping[str, str]
    address: Mapping[str, str]
    path_of: Callable[[str], str]
    faults: list[str] = field(default_factory=list)

    def point(self) -> Iterator[MadeFields]:
        """Measurement, value, source, and what else the item names."""
        kind = str(self._value("kind", "analog"))
        if kind not in (*_POINT_KINDS, *_DISCRETE_KINDS):
            self.faults.append(f"kind is {kind!r}, not one of {', '.join((*_POINT_KINDS, *_DISCRETE_KINDS))}")
            return
        class_name = _POINT_KINDS.get(kind, "Discrete")
        measurement, value, source = (self.mrid_of(self.item, role) for role in ("measurement", "value", "source"))
        texts = self._texts({"IdentifiedObject.name": self._name(), **self._unit()})
        for key, prop in _MEASUREMENT.items():
            self._copy(texts, key, prop)
        self._copy(texts, "phases", "Measurement.phases")
        self._copy(texts, "positiveFlowIn", "Analog.positiveFlowIn")
        self._copy(texts, "minimum", f"{class_name}.minValue", number=True)
        self._copy(texts, "maximum", f"{class_name}.maxValue", number=True)
        if class_name == "Discrete":
            texts["sc:Discrete.kind"] = (kind, self.place)
        refs = {"Measurement.PowerSystemResource": self.refs["resource"]}
        if self.refs["terminal"]:
            refs["Measurement.Terminal"] = self.refs["terminal"]
        if "states" in self.values:
            refs["Discrete.ValueAliasSet"] = self.mrid_of(self.item, "states")
            yield from self._states()
        yield measurement, class_name, self.place, texts, refs
        named = self._texts({"IdentifiedObject.name": self._name()})
        if "expression" in self.values:
            raw, place = self.values["expression"]
            named["sc:MeasurementValue.expression"] = (_ITEM.sub(self._path, self._text(raw)), place)
        yield value, f"{class_name}Value", self.place, named, {f"{class_name}Value.{class_name}": measurement}
        if "expression" not in self.values:
            texts = self._remote()
            self._copy(texts, "deadband", "RemoteSource.deadband", number=True)
            refs = {"RemoteSource.MeasurementValue": value, "RemotePoint.RemoteUnit": self.refs["unit"]}
            yield source, "RemoteSource", self.place, texts, refs
        yield from self._limits(measurement)

    def control(self) -> Iterator[MadeFields]:
        """Control and its remote control."""
        kind = str(self._value("kind", "setpoint"))
        if kind not in _CONTROL_KINDS:
            self.faults.append(f"kind is {kind!r}, not one of {', '.join(_CONTROL_KINDS)}")
            return
        control = self.mrid_of(self.item, "control")
        texts = self._texts({"IdentifiedObject.name": self._name(), "sc:Control.kind": kind})
        self._copy(texts, "controlType", "Control.controlType")
        self._copy(texts, "minimum", "AnalogControl.minValue", number=True)
        self._copy(texts, "maximum", "AnalogControl.maxValue", number=True)
        for key in _CONTROL:
            self._copy(texts, key, f"sc:Control.{key}")
        if "deviceNumber" not in self.values and self.parameters.get("deviceNumber"):
            texts["sc:Control.deviceNumber"] = (str(self.parameters["deviceNumber"]), self.place)
        for key in PERMITTING:
            if key in self.values:
                raw, place = self.values[key]
                texts[f"sc:Control.{key}"] = (_ITEM.sub(self._path, self._text(raw)), place)
        refs = {"Control.PowerSystemResource": self.refs["resource"]}
        feedback = self._value("feedback", "")
        if feedback:
            refs["sc:Control.feedback"] = self.mrid_of(str(feedback), "value")
        for key in ENABLING:
            if item := self._value(key, ""):
                refs[f"sc:Control.{key}"] = self.mrid_of(str(item), "value")
        yield control, _CONTROL_KINDS[kind], self.place, texts, refs
        refs = {"RemoteControl.Control": control, "RemotePoint.RemoteUnit": self.refs["unit"]}
        yield self.mrid_of(self.item, "remote"), "RemoteControl", self.place, self._remote(), refs

    # ------------------------------------------------------------ parts

    def _states(self) -> Iterator[MadeFields]:
        labels = self._value("states", {})
        alias_set = self.mrid_of(self.item, "states")
        yield alias_set, "ValueAliasSet", self.place, self._texts({"IdentifiedObject.name": self._name()}), {}
        if not isinstance(labels, Mapping):
            self.faults.append('states are no table; write states = { 0 = "off", 1 = "on" }')
            return
        for value, label in labels.items():
            texts = self._texts({"IdentifiedObject.name": str(label), "ValueToAlias.value": str(value)})
            yield (
                self.mrid_of(self.item, f"state {value}"),
                "ValueToAlias",
                self.place,
                texts,
                {"ValueToAlias.ValueAliasSet": alias_set},
            )

    def _limits(self, measurement: str) -> Iterator[MadeFields]:
        if not any(key in self.values for key in (*_LIMITS, "rate")):
            return
        limit_set = self.mrid_of(self.item, "limits")
        texts = self._texts({"IdentifiedObject.name": f"{self.device} {self.item}"})
        for key in _LIMIT_SET:
            self._copy(texts, key, f"sc:AnalogLimitSet.{key}", number=True)
        yield limit_set, "AnalogLimitSet", self.place, texts, {"AnalogLimitSet.Measurements": measurement}
        for key in _LIMITS:
            if key in self.values:
                texts = self._texts({"IdentifiedObject.name": f"{self.device} {self.item} {key}", "sc:AnalogLimit.kind": key})
                self._copy(texts, key, "AnalogLimit.value", number=True)
                yield self.mrid_of(self.item, key), "AnalogLimit", self.place, texts, {"AnalogLimit.LimitSet": limit_set}

    def _remote(self) -> Texts:
        """Address, scale and offset."""
        texts = self._texts({"IdentifiedObject.name": f"{self.device} {self.item}"})
        for name, text in self.address.items():
            if text:
                texts[f"sc:RemotePoint.{name}"] = (text, self.place)
        base = self._number(self._value("base", "base"))
        for key in sorted(_ADDRESS & self.values.keys()):
            raw, place = self.values[key]
            if key in _FROM_BASE:
                texts[f"sc:RemotePoint.{key}"] = (_shown(base + self._number(raw)), place)
            else:
                self._copy(texts, key, f"sc:RemotePoint.{key}", number=key in ("scale", "offset"))
        return texts

    def _unit(self) -> dict[str, str]:
        """``kW`` as CIM writes it."""
        unit = str(self._value("unit", ""))
        if unit == "%":
            return {"Measurement.unitSymbol": "UnitSymbol.none", "Measurement.unitMultiplier": "UnitMultiplier.c"}
        found = _UNITS.fullmatch(re.sub(r"var", "VAr", unit))
        if found is None and unit not in _SYMBOLS:
            self.faults.append(f"unit {unit!r} is not known")
            return {}
        symbol = found["symbol"] if found else _SYMBOLS[unit]
        multiplier = (found["multiplier"] if found else "") or "none"
        return {"Measurement.unitSymbol": f"UnitSymbol.{symbol}", "Measurement.unitMultiplier": f"UnitMultiplier.{multiplier}"}

    # ------------------------------------------------------------ values

    def _path(self, item: re.Match[str]) -> str:
        """``[Position]`` of an expression as the quoted path of that item's point."""
        path = self.path_of(item[1])
        if not path:
            self.faults.append(f"the expression names [{item[1]}], which is no point of this device")
        return f'"{path}"'

    def _name(self) -> str:
        return f"{self.parameters.get('prefix', '')} {self._text(self._value('name', self.item))}".strip()

    def _value(self, key: str, default: object) -> object:
        return self.values[key][0] if key in self.values else default

    def _texts(self, texts: Mapping[str, str]) -> Texts:
        return {prop: (text, self.place) for prop, text in texts.items()}

    def _copy(self, texts: Texts, key: str, prop: str, *, number: bool = False) -> None:
        if key in self.values:
            raw, place = self.values[key]
            texts[prop] = (_shown(self._number(raw)) if number else self._text(raw), place)

    def _text(self, raw: object) -> str:
        """A text with ``{parameter}`` filled in; lists with blanks between."""
        if isinstance(raw, bool):
            return "true" if raw else "false"
        if isinstance(raw, Sequence) and not isinstance(raw, str):
            return " ".join(self._text(one) for one in raw)
        if isinstance(raw, Mapping):
            return " ".join(f"{key}={value}" for key, value in raw.items())
        try:
            return str(raw).format_map({name: _shown(value) for name, value in self.parameters.items()})
        except (KeyError, ValueError, IndexError, AttributeError):
            self.faults.append(f"{raw!r} names no parameter of the template")
            return ""

    def _number(self, raw: object) -> float:
        """A number, or a text that names a parameter, with a factor if need be: ``1.1 * ratedPower``."""
        try:
            return float(raw) if isinstance(raw, int | float) and not isinstance(raw, bool) else float(str(raw))
        except ValueError:
            pass
        except OverflowError:
            self.faults.append(f"{str(raw)[:20]}... is too large for a number")
            return 0.0
        found = TERM.fullmatch(str(raw))
        value = self.parameters.get(found["name"]) if found else None
        if found is None or not isinstance(value, int | float):
            self.faults.append(f"{raw!r} is neither a number nor a parameter with a number")
            return 0.0
        return float(found["factor"] or 1) * (-1 if found["sign"] else 1) * value


def _shown(value: float | str) -> str:
    try:
        return value if isinstance(value, str) else f"{value:.15g}"
    except OverflowError:  # an integer of hundreds of digits
        return str(value)


def lines_of(text: str) -> dict[tuple[str, str], int]:
    r"""Line of each (table, key) of a TOML file, as written in one line each; TOML's own reader does not tell.

    A table ``[points.P]`` is found as ``("points.P", "")`` and as the key ``P`` of ``points``; a key before any table as
    ``(key, "")``.

    >>> lines_of("name = 1\n[points]\nP = {}\n[points.Q]\n")["points", "Q"]
    4
    """
    lines: dict[tuple[str, str], int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.fullmatch(line)
        if header:
            table = re.sub(r"""[\s"']""", "", header["name"])
            above, _, last = table.rpartition(".")
            lines.setdefault((table, ""), number)
            if above:
                lines.setdefault((above, last), number)
            continue
        key = _KEY.match(line)
        if key:
            lines.setdefault((table, key["key"]) if table else (key["key"], ""), number)
    return lines
