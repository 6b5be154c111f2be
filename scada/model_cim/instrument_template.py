"""The template of ``scada model instrument``: a TOML file that says what each kind of equipment measures, tells and obeys.

``data/instrument.toml`` is the one used where none is named. See ``docs/model/instrument.md``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Final

from scada.core.errors import ModelError
from scada.model_cim.schema import load_schema
from scada.model_cim.template_items import TERM, lines_of

ROLES: Final = (
    "station",
    "busbar",
    "breaker",
    "disconnector",
    "earthingSwitch",
    "loadBreakSwitch",
    "otherSwitch",
    "lineEnd",
    "line",
    "transformerEnd",
    "transformer",
    "tap",
    "machine",
    "unit",
    "load",
    "shunt",
    "compensator",
)
"""What equipment is to the template, see :mod:`scada.model_cim.instrument_plant`."""
PARAMETERS: Final = frozenset(
    {"nominal", "PATL", "TATL", "lowVoltage", "highVoltage", "lowStep", "highStep", "sections"} | {"minP", "maxP", "minQ", "maxQ"}
)
"""What a number of the template may name, where the model says it."""
_TEXT_PARAMETERS: Final = frozenset({"name", "number", "end", "station"})
LIMITS: Final = ("lolo", "lo", "hi", "hihi")
LIMIT_SET: Final = frozenset({"hysteresis", "delay", "offDelay", "rate", "rateWindow"})
_NUMBERS: Final = {*LIMITS} | LIMIT_SET | {"minimum", "maximum", "deadband"}
SC_MEASUREMENT: Final = frozenset(
    {"alarmClass", "alarmPriority", "normalState", "alarmDelay", "alarmOffDelay"}
    | {"historyCompression", "historySample", "rateLimit", "frozenAfter", "expectedEvery"}
)
"""Keys that are attributes of sc:Measurement by the same name."""
_BOTH: Final = frozenset({"name", "zh", "kind", "unit", "minKv", "maxKv", "needs", "minimum", "maximum", "scale", "offset"})
POINT_KEYS: Final = _BOTH | _NUMBERS | SC_MEASUREMENT | {"type", "phases", "positiveFlowIn", "states", "expression"}
CONTROL_KEYS: Final = _BOTH | {"controlType", "feedback", "select", "feedbackTimeout", "feedbackTolerance"}
_KEYS: Final = {"points": POINT_KEYS, "controls": CONTROL_KEYS}
KINDS: Final = {
    "points": ("analog", "counter", "status", "double", "step", "state"),
    "controls": ("double", "step", "setpoint"),
}
BLOCKS: Final = ("status", "double", "step", "analog", "counter", "command", "stepCommand", "setpoint")
_SECTIONS: Final = ("channel", "blocks", "states", "points", "controls")
Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InstrumentTemplate:
    """One template, checked.

    Attributes:
        label: its file, for messages.
        name: what it is, for people.
        channel: ``name`` by language, ``host``, ``port``, ``parameters`` by family of protocols.
        blocks: family of protocols -> kind of address -> its block.
        states: name -> language -> labels from value 0 on.
        points: role -> item -> its keys.
        controls: role -> item -> its keys.
    """

    label: str
    name: str
    channel: Mapping[str, Any]
    blocks: Mapping[str, Mapping[str, Mapping[str, Any]]]
    states: Mapping[str, Mapping[str, Sequence[str]]]
    points: Mapping[str, Mapping[str, Item]]
    controls: Mapping[str, Mapping[str, Item]]


def load_template(path: Path | None = None) -> InstrumentTemplate:
    """Read a template; without a path the one that comes with the program.

    Raises:
        ModelError: it cannot be read, is no TOML, or says what nobody knows; every fault with its line.
    """
    try:
        if path is None:
            source = resources.files("scada.model_cim").joinpath("data", "instrument.toml")
            label, text = "instrument.toml", source.read_text(encoding="utf-8")
        else:
            label, text = str(path), path.read_text(encoding="utf-8")
        read = tomllib.loads(text)
    except OSError as error:
        raise ModelError(f"cannot read the template: {error.strerror}", where=str(path), mend="check --template") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ModelError(f"the template is no TOML: {error}", where=str(path), mend="correct it") from error
    faults = _Faults(label, text)
    _check(read, faults)
    if faults.found:
        head = f"{len(faults.found)} faults in the template:\n  " if len(faults.found) > 1 else ""
        raise ModelError(head + "\n  ".join(faults.found), where=label, mend="see docs/model/instrument.md")
    return InstrumentTemplate(
        label=label,
        name=str(read.get("name", label)),
        channel=read.get("channel", {}),
        blocks=read.get("blocks", {}),
        states=read.get("states", {}),
        points=read.get("points", {}),
        controls=read.get("controls", {}),
    )


class _Faults:
    """What is wrong with a template, each with its line."""

    def __init__(self, label: str, text: str) -> None:
        self._label = label
        self._lines = lines_of(text)
        self.found: list[str] = []

    def add(self, place: tuple[str, str], what: str, known: Sequence[str] = (), word: str = "") -> None:
        line = self._lines.get(place) or self._lines.get((place[0], ""), 0)
        close = get_close_matches(word, known, n=1) if word else []
        hint = f" (did you mean {close[0]}?)" if close else f" (one of {', '.join(known)})" if known else ""
        self.found.append(f"{self._label}:{line} {what}{hint}")


def _check(read: dict[str, Any], faults: _Faults) -> None:
    for key in read.keys() - {"name", "description", *_SECTIONS}:
        faults.add((key, ""), f"a template has no {key!r}", _SECTIONS, key)
    for section in _SECTIONS:
        if not isinstance(read.get(section, {}), dict):
            faults.add((section, ""), f"{section} is no table")
            read[section] = {}
    _check_channel(read.get("channel", {}), faults)
    for family, blocks in read.get("blocks", {}).items():
        for kind, block in blocks.items() if isinstance(blocks, dict) else ():
            place = (f"blocks.{family}", kind)
            if kind not in BLOCKS:
                faults.add(place, f"there is no kind of address {kind!r}", BLOCKS, kind)
            elif not isinstance(block, dict) or not isinstance(block.get("first"), int) or block["first"] < 0:
                faults.add(place, f"block {kind} has no first address")
    for section, known in _KEYS.items():
        _check_items(section, known, read, faults)


def _check_items(section: str, known: frozenset[str], read: Mapping[str, Any], faults: _Faults) -> None:
    states = read.get("states", {})
    for role, items in read.get(section, {}).items():
        where = f"{section}.{role}"
        if role not in ROLES or not isinstance(items, dict):
            faults.add((where, ""), f"there is no kind of equipment {role!r}", ROLES, role)
            continue
        for item, keys in items.items():
            if not isinstance(keys, dict):
                faults.add((where, item), f"{where}.{item} is no table; write NAME = {{ ... }}")
                continue
            for key in sorted(keys.keys() - known):
                faults.add((where, item), f"{where}.{item} has no {key!r}", sorted(known), key)
            _check_item(section, role, item, keys, states, read, faults)


def _check_channel(channel: Mapping[str, Any], faults: _Faults) -> None:
    known = ("name", "host", "port", "parameters")
    for key in channel.keys() - set(known):
        faults.add(("channel", key), f"channel has no {key!r}", known, key)
    port = channel.get("port", 1)
    if not isinstance(port, int) or not 0 < port < 65536:
        faults.add(("channel", "port"), f"port {port!r} is not 1 .. 65535")


def _check_item(
    section: str, role: str, item: str, keys: Item, states: Mapping[str, Any], read: Mapping[str, Any], faults: _Faults
) -> None:
    where, place = f"{section}.{role}.{item}", (f"{section}.{role}", item)
    kind = keys.get("kind", "analog" if section == "points" else "double")
    if kind not in KINDS[section]:
        faults.add(place, f"{where}: kind {kind!r}", KINDS[section], str(kind))
    if keys.get("states", "") and keys["states"] not in states:
        faults.add(place, f"{where}: there are no states {keys['states']!r}", sorted(states), str(keys["states"]))
    phases = load_schema("3.0").enums["PhaseCode"]
    if keys.get("phases", "none") not in phases:
        faults.add(place, f"{where}: phases {keys['phases']!r} is no PhaseCode of CIM", sorted(phases))
    for need in keys.get("needs", ()):
        if need not in PARAMETERS:
            faults.add(place, f"{where}: the model gives no {need!r}", sorted(PARAMETERS), str(need))
    feedback = keys.get("feedback")
    if section == "controls" and feedback not in read.get("points", {}).get(role, {}):
        faults.add(place, f"{where}: feedback {feedback!r} is no point of {role}", list(read.get("points", {}).get(role, {})))
    for key in sorted(_NUMBERS & keys.keys()):
        for one in keys[key] if isinstance(keys[key], list) else [keys[key]]:
            if isinstance(one, int | float) and not isinstance(one, bool):
                continue
            found = TERM.fullmatch(str(one))
            if found is None or found["name"] not in PARAMETERS:
                faults.add(place, f"{where}: {key} = {one!r} is no number and names nothing the model gives", sorted(PARAMETERS))
    for key in ("name", "zh"):
        try:
            str(keys.get(key, "")).format_map(dict.fromkeys(_TEXT_PARAMETERS, ""))
        except (KeyError, ValueError, IndexError, AttributeError):
            faults.add(place, f"{where}: {key} = {keys[key]!r}: braces name one of {', '.join(sorted(_TEXT_PARAMETERS))}")
