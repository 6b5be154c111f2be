"""Device templates: one list of points and controls, written once, for every device of a kind.

A template is a TOML file in the folder ``templates`` of a model; a device is an ``sc:Device`` of the model that names a template,
a channel and the equipment it belongs to. At reading every device becomes ordinary CIM objects (Analog, RemoteSource, SetPoint
...), so everything behind the reader knows no templates. Their mRIDs follow from the device's mRID and the name of the item
alone: a point keeps its number and its history while the template around it changes. See ``docs/model/templates.md``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scada.core.ids import derived_mrid
from scada.model_cim.bay_roles import ROLES, equipment_of
from scada.model_cim.cim import CimModel
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.locate import Locator
from scada.model_cim.modbus import UNIT_PARAMETERS
from scada.model_cim.template_items import CONTROL_KEYS, POINT_KEYS, Maker, Place, lines_of

_SECTIONS: Final = {"points": POINT_KEYS, "controls": CONTROL_KEYS}
_TABLES: Final = {"parameters": frozenset[str](), "requests": UNIT_PARAMETERS, "defaults": POINT_KEYS | CONTROL_KEYS}
"""Sections that are no items, and the keys they know; none = any."""
_DEVICE: Final = "sc:Device."
_OVERRIDE: Final = "sc:DeviceItem."
_OWN: Final = frozenset({"template", "prefix", "unitId", "commonAddress", "deviceNumber"})


@dataclass(frozen=True, slots=True)
class Template:
    """One template file.

    Attributes:
        stem: name of the file without its end; devices name it by this.
        label: the file as findings show it.
        name: what it is, for people.
        protocol: ``modbus``, or a protocol of a channel.
        parameters: with the value a device has that gives none.
        requests: what such a device can bear; limits of Modbus requests.
        items: (section, item) -> its keys with the section's defaults.
        lines: (section, item) -> line.
    """

    stem: str
    label: str
    name: str
    protocol: str
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    requests: Mapping[str, float | str] = field(default_factory=dict)
    items: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def mrid(self) -> str:
        """Of the ``sc:DeviceTemplate`` that stands for it in the model."""
        return derived_mrid("device template", self.stem)


def parse_template(stem: str, label: str, data: bytes, findings: list[Finding]) -> Template | None:
    """A template from its file; None, with a fatal finding, if it is no TOML: half a model is not run."""
    try:
        text = data.decode()
        read = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:
        line = re.search(r"line (\d+)", str(fault))
        findings.append(
            Finding(
                label, int(line[1]) if line else 0, Severity.FATAL, "template.syntax", f"is no TOML: {fault}", hint="correct it"
            )
        )
        return None
    lines = lines_of(text)

    def error(key: tuple[str, str], rule: str, what: str, hint: str) -> None:
        findings.append(Finding(label, lines.get(key, 0), Severity.ERROR, rule, what, hint=hint))

    for key in read.keys() - {"name", "protocol", "description", *_TABLES, *_SECTIONS}:
        error((key, ""), "template.key", f"a template has no {key!r}", "see docs/model/templates.md")
    _check_tables(read, error)
    defaults = read["defaults"]
    items: dict[tuple[str, str], Mapping[str, Any]] = {}
    for section, known in _SECTIONS.items():
        for item, given in read[section].items():
            if not isinstance(given, dict):
                error((section, item), "template.item", f"{section}.{item} is no table", "write NAME = { register = 1, ... }")
                continue
            for key in given.keys() - known:
                error((section, item), "template.key", f"{section}.{item} has no {key!r}", f"known: {', '.join(sorted(known))}")
            items[section, item] = {key: value for key, value in {**defaults, **given}.items() if key in known}
    for section, item in items:
        if section == "controls" and ("points", item) in items:
            error((section, item), "template.item", f"{item} is a point and a control", "give them two names")
    return Template(
        stem=stem,
        label=label,
        name=str(read.get("name", stem)),
        protocol=str(read.get("protocol", "")),
        parameters=read["parameters"],
        requests=read["requests"],
        items=items,
        lines=lines,
    )


def _check_tables(read: dict[str, Any], error: Callable[[tuple[str, str], str, str, str], None]) -> None:
    """Every section becomes a table, those that are no items with known keys; what cannot be used is told and left out."""
    for section in (*_TABLES, *_SECTIONS):
        if not isinstance(read.setdefault(section, {}), dict):
            error((section, ""), "template.item", f"{section} is no table", f"write [{section}]")
            read[section] = {}
    for section, names in _TABLES.items():
        for key, value in list(read[section].items()):
            if names and key not in names:
                error((section, key), "template.key", f"{section} has no {key!r}", f"known: {', '.join(sorted(names))}")
            elif section != "defaults" and not isinstance(value, str | int | float):
                error((section, key), "template.item", f"{section}.{key} is neither number nor text", "correct it")
                del read[section][key]


@dataclass(frozen=True, slots=True)
class Made:
    """An object made from a template, as the reader would have read it: (value, file, line) of each property."""

    mrid: str
    class_name: str
    place: Place
    texts: Mapping[str, tuple[str, Place]]
    refs: Mapping[str, str]


def expand(model: CimModel, templates: Mapping[str, Template], findings: list[Finding]) -> Iterator[Made]:
    """The objects of every template and device of a model.

    Args:
        model: with its ``sc:Device`` and ``sc:DeviceItem``.
        templates: by the name of their file.
        findings: what is wrong is added here; the device or item named is left out.
    """
    for one in templates.values():
        place = (one.label, 1)
        texts = {"IdentifiedObject.name": one.name, "sc:DeviceTemplate.stem": one.stem}
        yield Made(one.mrid, "sc:DeviceTemplate", place, {prop: (text, place) for prop, text in texts.items()}, {})
    for device in model.ids("sc:Device"):
        stem = model.text(device, f"{_DEVICE}template") or ""
        template = templates.get(stem)
        if template is None:
            known = ", ".join(sorted(templates)) or "put it into the folder templates"
            findings.append(
                model.finding(
                    Severity.ERROR, "device.template", device, f"no template {stem!r}; it has no points", f"one of {known}"
                )
            )
            continue
        yield from _Device(model, device, template, findings).make()


class _Device:
    """One device of a template."""

    def __init__(self, model: CimModel, device: str, template: Template, findings: list[Finding]) -> None:
        self._model = model
        self._device = device
        self._template = template
        self._findings = findings
        self._name = model.name(device)
        self._overrides = self._read_overrides()
        self._names = {item: model.text(override, f"{_OVERRIDE}name") for item, override in self._overrides.items()}
        self._parameters = self._read_parameters()

    def make(self) -> Iterator[Made]:
        """Its objects."""
        if not self._checked():
            return
        template, place = self._template, self._at(self._model.where(self._device))
        given = {name.removeprefix(_DEVICE) for name in self._model.properties(_DEVICE) if self._model.text(self._device, name)}
        for name in sorted(given - _OWN - UNIT_PARAMETERS - self._parameters.keys()):
            known = ", ".join(sorted({*_OWN, *template.parameters}))
            self._error("device.parameter", self._device, f"there is no {name!r}", f"one of {known}", f"{_DEVICE}{name}")
        bears = {
            f"{_DEVICE}{name}": (str(value), (template.label, template.lines.get(("requests", name), 0)))
            for name, value in template.requests.items()
            if name not in given
        }
        yield Made(self._device, "sc:Device", place, bears, {f"{_DEVICE}Template": template.mrid})
        for (section, item), keys in template.items.items():
            override = self._overrides.pop(item, None)
            if override is not None and self._model.truth(override, f"{_OVERRIDE}omitted"):
                continue
            yield from self._item(section, item, keys, override)
        for item, override in self._overrides.items():
            self._error("device.item", override, f"template {template.stem} has no item {item!r}", "correct sc:DeviceItem.item")

    def _item(self, section: str, item: str, keys: Mapping[str, Any], override: str | None) -> Iterator[Made]:
        place = (self._template.label, self._template.lines.get((section, item), 0))
        values = {key: (value, place) for key, value in keys.items()}
        for prop in self._model.properties(_OVERRIDE) if override is not None else ():
            name = prop.removeprefix(_OVERRIDE)
            text = self._model.text(override or "", prop)
            if name in ("item", "omitted") or text is None:
                continue
            if name not in _SECTIONS[section]:
                self._error("device.item", override or "", f"an item of {section} has no {name!r}", "correct its name", prop)
                continue
            values[name] = (text, self._at(self._model.where_of(override or "", prop)))
        target = self._target(values)
        if target is None:
            return
        resource, terminal, fault = target
        maker = Maker(
            device=self._name,
            item=item,
            place=place,
            values=values,
            parameters={**self._parameters, "equipment": self._model.name(resource)},
            mrid_of=self._mrid,
            refs={
                "resource": resource,
                "terminal": terminal,
                "unit": self._model.ref(self._device, f"{_DEVICE}RemoteUnit") or "",
            },
            path_of=self._path_of,
            faults=[fault] if fault else [],
            address={name: self._model.text(self._device, f"{_DEVICE}{name}") or "" for name in ("unitId", "commonAddress")},
        )
        made = list(maker.control() if section == "controls" else maker.point())
        for what in maker.faults:
            text = f"device {self._name} ({self._model.where(self._device)}), {section}.{item}: {what}; left out"
            finding = Finding(*place, Severity.ERROR, "template.value", text, self._mrid(item, "value"), self._name)
            self._findings.append(finding)
        if not maker.faults:
            yield from (Made(*one) for one in made)

    def _target(self, values: Mapping[str, tuple[Any, Place]]) -> tuple[str, str, str] | None:
        """Equipment and terminal an item belongs to, and what is wrong with them; None where the bay need not have it."""
        resource = self._model.ref(self._device, f"{_DEVICE}PowerSystemResource") or ""
        if "role" not in values:
            return resource, self._model.ref(self._device, f"{_DEVICE}Terminal") or "", ""
        role, pattern = str(values["role"][0]), str(values.get("match", ("*", None))[0])
        if role not in ROLES:
            return resource, "", f"role is {role!r}, not one of {', '.join(ROLES)}"
        try:
            pattern = pattern.format_map(self._parameters)
        except (KeyError, ValueError, IndexError, AttributeError):
            return resource, "", f"match = {pattern!r} names no parameter of the template"
        found = equipment_of(self._model, resource, role, pattern)
        if len(found) == 1:
            return (*found[0], "")
        if not found and str(values.get("optional", ("", None))[0]).lower() == "true":
            return None
        which = f"{len(found)} of them ({', '.join(self._model.name(mrid) for mrid, _ in found)})" if found else "none"
        named = "" if pattern == "*" else f" named {pattern!r}"
        return resource, "", f"the bay should have one {role}{named}, there is {which}"

    def _path_of(self, item: str) -> str:
        """Path of the point that an item of this device becomes, as the tables will have it."""
        keys = self._template.items.get(("points", item))
        target = self._target({key: (value, ("", 0)) for key, value in keys.items()}) if keys is not None else None
        if keys is None or target is None or target[2]:
            return ""
        resource, terminal, _ = target
        try:
            override = self._names.get(item)
            text = str(override or keys.get("name", item)).format_map(
                {**self._parameters, "equipment": self._model.name(resource)}
            )
        except (KeyError, ValueError, IndexError, AttributeError):
            return ""
        name = f"{self._parameters.get('prefix', '')} {text}".strip()
        return "/".join((*Locator(self._model).place(resource, terminal).names, name))

    def _checked(self) -> bool:
        unit = self._model.ref(self._device, f"{_DEVICE}RemoteUnit")
        protocol = (self._model.text(unit, "sc:RemoteUnit.protocol") or "") if unit else ""
        wanted = self._template.protocol
        if not unit:
            self._error("device.channel", self._device, "device names no channel; it has no points", "set sc:Device.RemoteUnit")
        elif wanted and protocol != wanted and not protocol.startswith(f"{wanted}-"):
            text = f"template {self._template.stem} is for {wanted}, the channel speaks {protocol}; it has no points"
            self._error("device.protocol", self._device, text, "name another template or channel")
        elif not self._model.ref(self._device, f"{_DEVICE}PowerSystemResource"):
            text = "device belongs to no equipment; it has no points"
            self._error("device.resource", self._device, text, "set sc:Device.PowerSystemResource")
        else:
            return True
        return False

    def _read_overrides(self) -> dict[str, str]:
        overrides: dict[str, str] = {}
        for override in self._model.refs_to(self._device, f"{_OVERRIDE}Device"):
            item = self._model.text(override, f"{_OVERRIDE}item") or ""
            if overrides.setdefault(item, override) != override:
                self._error("device.item", override, f"a second override of {item!r}; left out", "join them")
        return overrides

    def _read_parameters(self) -> dict[str, float | str]:
        """The template's, with what the device says of them."""
        model, device = self._model, self._device
        parameters: dict[str, float | str] = {"base": 0, **self._template.parameters}
        for name, default in parameters.items():
            prop = f"{_DEVICE}{name}"
            if model.text(device, prop) is None:
                continue
            number = isinstance(default, int | float)
            parameters[name] = model.number(device, prop, float(default)) if number else model.text(device, prop) or ""
        for name in ("prefix", "deviceNumber"):
            parameters[name] = model.text(device, f"{_DEVICE}{name}") or ""
        parameters["device"] = self._name
        return parameters

    def _mrid(self, item: str, role: str) -> str:
        """The same for ever: of the device and the item, whatever else the template says."""
        return derived_mrid(self._device, item, role)

    @staticmethod
    def _at(where: str) -> Place:
        file, _, line = where.rpartition(":")
        return (file, int(line)) if file else (where, 0)

    def _error(self, rule: str, mrid: str, text: str, hint: str, prop: str = "") -> None:
        found = self._model.finding(Severity.ERROR, rule, mrid, f"device {self._name}: {text}", hint, prop=prop)
        self._findings.append(found)
