"""Points and controls of one piece of equipment, as the template says and the model allows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from scada.core.ids import derived_mrid
from scada.model_cim.cim import CimModel
from scada.model_cim.instrument_addresses import Channel
from scada.model_cim.instrument_items import Additions, unit_texts
from scada.model_cim.instrument_plant import Piece
from scada.model_cim.instrument_references import reference_of
from scada.model_cim.instrument_template import LIMIT_SET, LIMITS, SC_MEASUREMENT, InstrumentTemplate, Item
from scada.model_cim.locate import Locator
from scada.model_cim.template_items import TERM

CLASSES: Final = {"analog": "Analog", "counter": "Accumulator"}
_CONTROLS: Final = {
    "double": ("Command", "command"),
    "step": ("RaiseLowerCommand", "stepCommand"),
    "setpoint": ("SetPoint", "setpoint"),
}
"""Class of each kind of control, and the block its address comes from."""
_VALUE_OF: Final = {
    "Analog": "AnalogValue.Analog",
    "Discrete": "DiscreteValue.Discrete",
    "Accumulator": "AccumulatorValue.Accumulator",
}


def instrument_mrid(*names: str) -> str:
    """MRID of what is made: of the equipment, the role and the item alone, so that a second run makes the same."""
    return derived_mrid("instrument", *names)


@dataclass(slots=True)
class Notes:
    """What was left out and why, counted, with the first place of each."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, en: str, zh: str, where: str) -> None:
        """One more of a kind."""
        self.counts[en, zh] += 1
        self.first.setdefault((en, zh), where)


class PointMaker:
    """Makes what one piece gets.

    Args:
        model: with what is there.
        template: what to make.
        locator: of the same model.
        additions: where it is put.
        notes: where it is said what was left out.
        language: of names, ``en`` or ``zh``.
    """

    def __init__(
        self, model: CimModel, template: InstrumentTemplate, locator: Locator, additions: Additions, notes: Notes, language: str
    ) -> None:
        self._model = model
        self._template = template
        self._locator = locator
        self._additions = additions
        self._notes = notes
        self._language = language
        self._paths = self._present_paths()
        self._control_paths = self._present_control_paths()
        self._present = self._present_measurements()
        self._controls: dict[tuple[str, str], list[str]] = {}
        for control in model.ids("Control"):
            key = (model.ref(control, "Control.PowerSystemResource") or "", model.text(control, "Control.controlType") or "")
            self._controls.setdefault(key, []).append(control)
        self.made: Counter[str] = Counter()
        """Points and controls made, by kind."""
        self.used: set[str] = set()
        """Measurements of the model that serve an item of the template."""
        self.values: dict[tuple[str, str], str] = {}
        """Value of each (terminal or resource, measurementType)."""
        self.controls: dict[tuple[str, str], str] = {}
        """Control of each (resource, controlType)."""

    def make(self, piece: Piece, channel: Channel, file: str) -> None:
        """Everything the template has for a piece."""
        values: dict[str, str] = {}
        for item, keys in self._template.points.get(piece.role, {}).items():
            if self._wanted(piece, item, keys):
                values[item] = self._point(piece, item, keys, channel, file)
        for item, keys in self._template.controls.get(piece.role, {}).items():
            if piece.commanded and keys.get("feedback") in values and self._wanted(piece, item, keys):
                self._control(piece, item, keys, values[keys["feedback"]], channel, file)

    def complete(self, measurement: str, channel: Channel, file: str, kind: str) -> str:
        """Value and source of a measurement the model has, where they are missing; the mRID of its value."""
        model, class_name = self._model, self._model.class_of(measurement)
        prop = _VALUE_OF[class_name]
        value = next(iter(model.refs_to(measurement, prop)), "")
        if not value:
            value = instrument_mrid(measurement, "value")
            self._additions.add(
                file, f"{class_name}Value", value, {"IdentifiedObject.name": model.name(measurement)}, {prop: measurement}
            )
        fed = model.refs_to(value, "RemoteSource.MeasurementValue") or model.refs(value, "MeasurementValue.RemoteSource")
        if not fed and not model.text(value, "sc:MeasurementValue.expression"):
            resource = model.ref(measurement, "Measurement.PowerSystemResource") or ""
            place = self._locator.place(resource, model.ref(measurement, "Measurement.Terminal") or "")
            path = "/".join((*place.names, model.name(measurement)))
            aliases = (model.text(one, "IdentifiedObject.aliasName") for one in (value, measurement))
            reference = next((one.text for alias in aliases if (one := reference_of(alias))), "")
            self._source(instrument_mrid(value, "source"), value, model.name(measurement), kind, channel, file, path, reference)
            self.made[kind] += 1
        return value

    # ------------------------------------------------------------ points

    def _wanted(self, piece: Piece, item: str, keys: Item) -> bool:
        nominal = piece.values.get("nominal")
        if ("minKv" in keys or "maxKv" in keys) and nominal is None:
            return False
        if nominal is not None and not keys.get("minKv", 0.0) <= nominal <= keys.get("maxKv", float("inf")):
            return False
        missing = [need for need in keys.get("needs", ()) if need not in piece.values]
        if missing:
            self._missing(piece, item, ", ".join(missing))
        return not missing

    def _point(self, piece: Piece, item: str, keys: Item, channel: Channel, file: str) -> str:
        kind, measures = str(keys.get("kind", "analog")), str(keys.get("type", ""))
        class_name = CLASSES.get(kind, "Discrete")
        own = (piece.subject, piece.role, item)
        measurement = instrument_mrid(*own, "measurement")
        limits = self._limits(piece, item, keys)
        present = "" if measurement in self._model else self._find(piece, class_name, measures)
        if present:
            self.used.add(present)
            value = self.complete(present, channel, file, kind)
            self._additions.say(file, present, self._attributes(keys, class_name, kind, limits))
            measurement = present
        else:
            value = instrument_mrid(*own, "value")
            if self._additions.knows(measurement):
                value = next(iter(self._model.refs_to(measurement, _VALUE_OF[class_name])), value)
            else:
                self._new_point(piece, keys, kind, (measurement, value, instrument_mrid(*own, "source")), channel, file, limits)
        self.values.setdefault((piece.terminal or piece.resource, measures), value)
        self.values.setdefault((piece.resource, measures), value)
        if limits and not self._model.refs_to(measurement, "AnalogLimitSet.Measurements"):
            self._limit_set(own, measurement, limits, piece, keys, file)
        return value

    def _new_point(
        self,
        piece: Piece,
        keys: Item,
        kind: str,
        mrids: tuple[str, str, str],
        channel: Channel,
        file: str,
        limits: Mapping[str, float],
    ) -> None:
        measurement, value, source = mrids
        class_name = CLASSES.get(kind, "Discrete")
        path, name = self._named(piece, keys, self._paths)
        texts = {"IdentifiedObject.name": name, "Measurement.measurementType": str(keys.get("type", ""))}
        if class_name != "Discrete":
            texts |= unit_texts(str(keys.get("unit", "")), "Measurement")
        if "phases" in keys:
            texts["Measurement.phases"] = f"PhaseCode.{keys['phases']}"
        if "positiveFlowIn" in keys and piece.terminal:
            texts["Analog.positiveFlowIn"] = str(bool(keys["positiveFlowIn"])).lower()
        for key, prop in (("minimum", "minValue"), ("maximum", "maxValue")):
            number = self._number(piece, keys.get(key))
            if number is not None:
                texts[f"{class_name}.{prop}"] = _shown(number)
        texts |= self._attributes(keys, class_name, kind, limits)
        refs: dict[str, str] = {"Measurement.PowerSystemResource": piece.resource}
        if piece.terminal:
            refs["Measurement.Terminal"] = piece.terminal
        if keys.get("states"):
            refs["Discrete.ValueAliasSet"] = instrument_mrid("states", str(keys["states"]))
        self._additions.add(file, class_name, measurement, texts, refs)
        own = {"IdentifiedObject.name": name}
        if "expression" in keys:
            own["sc:MeasurementValue.expression"] = str(keys["expression"])
        self._additions.add(file, f"{class_name}Value", value, own, {_VALUE_OF[class_name]: measurement})
        if "expression" not in keys:
            deadband = self._number(piece, keys.get("deadband"))
            scaling = {key: keys[key] for key in ("scale", "offset") if key in keys}
            self._source(source, value, name, kind, channel, file, path, deadband=deadband, scaling=scaling)
        self.made["calculated" if "expression" in keys else kind] += 1

    def _source(
        self,
        mrid: str,
        value: str,
        name: str,
        kind: str,
        channel: Channel,
        file: str,
        path: str,
        reference: str = "",
        *,
        deadband: float | None = None,
        scaling: Mapping[str, float] | None = None,
    ) -> None:
        texts = {"IdentifiedObject.name": name, **channel.address(kind, path, reference)}
        texts |= {f"sc:RemotePoint.{key}": _shown(number) for key, number in (scaling or {}).items()}
        if deadband is not None:
            texts["RemoteSource.deadband"] = _shown(deadband)
        refs = {"RemotePoint.RemoteUnit": channel.mrid, "RemoteSource.MeasurementValue": value}
        self._additions.add(file, "RemoteSource", mrid, texts, refs)

    def _attributes(self, keys: Item, class_name: str, kind: str, limits: Mapping[str, float]) -> dict[str, str]:
        """The ``sc:`` attributes of a measurement; an analog without limits has no class of limit alarms."""
        texts = {f"sc:Measurement.{key}": _shown(keys[key]) for key in sorted(SC_MEASUREMENT & keys.keys())}
        if class_name == "Discrete":
            texts["sc:Discrete.kind"] = kind
        elif not limits and keys.get("alarmClass") == "LIMIT":
            del texts["sc:Measurement.alarmClass"]
            texts.pop("sc:Measurement.alarmPriority", None)
        return texts

    def _find(self, piece: Piece, class_name: str, measures: str) -> str:
        """A measurement of the model that is what the item wants."""
        for measurement, terminal in self._present.get((piece.resource, class_name, measures), ()):
            if measurement not in self.used and (not piece.terminal or terminal in ("", piece.terminal)):
                return measurement
        return ""

    # ------------------------------------------------------------ limits

    def _limits(self, piece: Piece, item: str, keys: Item) -> dict[str, float]:
        """Limits in their order; what the model rates comes before a percentage of the nominal voltage."""
        rated: dict[str, float] = {}
        usual: dict[str, float] = {}
        for kind in LIMITS:
            choices = keys.get(kind, [])
            for choice in choices if isinstance(choices, list) else [choices]:
                number = self._number(piece, choice)
                if number is not None:
                    (usual if "nominal" in str(choice) else rated)[kind] = number
                    break
            else:
                if kind in keys:
                    self._missing(
                        piece, f"{item} {kind}", " / ".join(map(str, choices if isinstance(choices, list) else [choices]))
                    )
        kept: dict[str, float] = {}
        for kind, number in (*rated.items(), *usual.items()):
            tried: dict[str, float] = {one: {**kept, kind: number}[one] for one in LIMITS if one in kept or one == kind}
            if all(low < high for low, high in pairwise(tried.values())):
                kept = tried
        return kept

    def _limit_set(
        self, own: tuple[str, str, str], measurement: str, limits: Mapping[str, float], piece: Piece, keys: Item, file: str
    ) -> None:
        limit_set = instrument_mrid(*own, "limits")
        texts = {"IdentifiedObject.name": f"{piece.name} {own[2]}"}
        for key in sorted(LIMIT_SET & keys.keys()):
            number = self._number(piece, keys[key])
            if number is not None:
                texts[f"sc:AnalogLimitSet.{key}"] = _shown(number)
        self._additions.add(file, "AnalogLimitSet", limit_set, texts, {"AnalogLimitSet.Measurements": measurement})
        for kind, number in limits.items():
            texts = {"IdentifiedObject.name": kind, "AnalogLimit.value": _shown(number), "sc:AnalogLimit.kind": kind}
            self._additions.add(file, "AnalogLimit", instrument_mrid(*own, kind), texts, {"AnalogLimit.LimitSet": limit_set})

    # ------------------------------------------------------------ controls

    def _control(self, piece: Piece, item: str, keys: Item, feedback: str, channel: Channel, file: str) -> None:
        kind, moves = str(keys.get("kind", "double")), str(keys.get("controlType", ""))
        class_name, block = _CONTROLS[kind]
        own = (piece.subject, piece.role, item)
        control = instrument_mrid(*own, "control")
        present = next(iter(self._controls.get((piece.resource, moves), ())), "")
        self.controls[piece.resource, moves] = present or control
        if present and present != control:
            control = present
        elif control not in self._model:
            path, name = self._named(piece, keys, self._control_paths)
            texts = {"IdentifiedObject.name": name, "Control.controlType": moves}
            if kind == "setpoint":
                texts |= unit_texts(str(keys.get("unit", "")), "Control")
            for key, prop in (("minimum", "minValue"), ("maximum", "maxValue")):
                number = self._number(piece, keys.get(key))
                if number is not None and kind != "double":
                    texts[f"AnalogControl.{prop}"] = _shown(number)
            texts |= {"sc:Control.kind": kind, "sc:Control.deviceNumber": piece.number or piece.name}
            texts |= {
                f"sc:Control.{key}": _shown(keys[key])
                for key in ("select", "feedbackTimeout", "feedbackTolerance")
                if key in keys
            }
            prop = {"Command": "Command.DiscreteValue", "SetPoint": "AnalogControl.AnalogValue"}.get(
                class_name, "sc:Control.feedback"
            )
            self._additions.add(file, class_name, control, texts, {"Control.PowerSystemResource": piece.resource, prop: feedback})
            self.made[block] += 1
        if not self._model.refs_to(control, "RemoteControl.Control"):
            path = "/".join(
                (*self._locator.place(piece.resource, piece.terminal).names, f"{piece.number or piece.name} {item} command")
            )
            texts = {"IdentifiedObject.name": f"{piece.number or piece.name} {item}", **channel.address(block, path)}
            refs = {"RemotePoint.RemoteUnit": channel.mrid, "RemoteControl.Control": control}
            self._additions.add(file, "RemoteControl", instrument_mrid(control, "remote"), texts, refs)

    # ------------------------------------------------------------ names and numbers

    def _named(self, piece: Piece, keys: Item, taken: set[str]) -> tuple[str, str]:
        """Path and name; a name that is taken in its place gets the equipment's before it, then a number behind it."""
        text = str(keys.get("zh") if self._language == "zh" and "zh" in keys else keys.get("name", ""))
        filled = text.format(name=piece.name, number=piece.number, end=piece.end, station=self._model.name(piece.station))
        name = re.sub(r"\s+", " ", filled).strip()
        place = "/".join(self._locator.place(piece.resource, piece.terminal).names)
        choices = [name, f"{piece.number or piece.name} {name}"]
        number = 2
        while True:
            choice = choices.pop(0) if choices else f"{piece.number or piece.name} {name} #{number}"
            path = f"{place}/{choice}"
            if path not in taken:
                taken.add(path)
                return path, choice
            number += not choices

    def _number(self, piece: Piece, raw: Any) -> float | None:
        """A number, or what the model gives, with a factor; of a list the first that is known."""
        if raw is None or isinstance(raw, list):
            return next((number for one in raw or () if (number := self._number(piece, one)) is not None), None)
        if isinstance(raw, int | float):
            return float(raw)
        found = TERM.fullmatch(str(raw))
        value = piece.values.get(found["name"]) if found else None
        if found is None or value is None:
            return None
        return float(f"{float(found['factor'] or 1) * (-1 if found['sign'] else 1) * value:.12g}")

    def _missing(self, piece: Piece, item: str, what: str) -> None:
        en, zh = what.replace("TATL", "a TATL above the PATL"), what.replace("TATL", "高于 PATL 的 TATL")
        en, zh = f"{piece.role} {item}: the model does not give {en}", f"{piece.role} {item}: 模型未给出 {zh}"
        self._notes.add(en, zh, self._model.path(piece.resource))

    # ------------------------------------------------------------ what is there

    def _present_paths(self) -> set[str]:
        model, paths = self._model, set[str]()
        for class_name, prop in _VALUE_OF.items():
            for measurement in (one for one in model.ids(class_name) if model.refs_to(one, prop)):
                resource = model.ref(measurement, "Measurement.PowerSystemResource") or ""
                place = self._locator.place(resource, model.ref(measurement, "Measurement.Terminal") or "")
                paths.add("/".join((*place.names, model.name(measurement))))
        return paths

    def _present_control_paths(self) -> set[str]:
        model = self._model
        found = ((control, model.ref(control, "Control.PowerSystemResource") or "") for control in model.ids("Control"))
        return {"/".join((*self._locator.place(resource).names, model.name(control))) for control, resource in found}

    def _present_measurements(self) -> dict[tuple[str, str, str], list[tuple[str, str]]]:
        model = self._model
        found: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        for class_name in _VALUE_OF:
            for measurement in model.ids(class_name):
                resource = model.ref(measurement, "Measurement.PowerSystemResource") or ""
                alias = reference_of(model.text(measurement, "IdentifiedObject.aliasName"))
                measures = model.text(measurement, "Measurement.measurementType") or (alias.measurement_type if alias else "")
                terminal = model.ref(measurement, "Measurement.Terminal") or ""
                found.setdefault((resource, class_name, measures), []).append((measurement, terminal))
        return found


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, int | float) else str(value)
