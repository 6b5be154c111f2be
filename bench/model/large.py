"""A model of many points, made in a folder: stations of ten bays, a breaker each, measured values, signals, limits, controls."""

from __future__ import annotations

from pathlib import Path

from scada.core.ids import derived_mrid

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF
  xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
  xmlns:cim="http://iec.ch/TC57/CIM100#"
  xmlns:sc="urn:scada-ems:sc:1#">
"""
_CIM = "http://iec.ch/TC57/CIM100#"
_BAYS = 10
_POINTS_OF_BAY = 100
_ANALOGS = 30
_LIMITED = 15


def write_large(folder: Path, points: int) -> None:
    """Write a model of so many points (a multiple of 1 000)."""
    for number in range(points // (_BAYS * _POINTS_OF_BAY)):
        (folder / f"S{number:04d}.xml").write_text(f"{_HEAD}{_station(number)}</rdf:RDF>\n", encoding="utf-8")


def _station(number: int) -> str:
    name = f"Station {number:04d}"
    station, level, unit = (derived_mrid("bench", name, part) for part in ("station", "level", "unit"))
    link = {"sc:RemoteUnit.protocol": "iec104", "sc:RemoteUnit.port": "2404", "sc:RemoteUnit.commonAddress": str(number + 1)}
    parts = [
        _element("cim:Substation", station, name),
        _element("cim:VoltageLevel", level, "220kV", ref={"cim:VoltageLevel.Substation": station}),
        _element("cim:RemoteUnit", unit, f"{name} RTU", link, ref={"sc:RemoteUnit.Substation": station}),
    ]
    for bay in range(_BAYS):
        parts += _bay(f"{name}/{bay}", level, unit, bay)
    return "".join(parts)


def _bay(key: str, level: str, unit: str, number: int) -> list[str]:
    name = f"2{number:02d}0"
    bay, breaker = derived_mrid("bench", key, "bay"), derived_mrid("bench", key, "breaker")
    parts = [
        _element("cim:Bay", bay, f"Line {number}", ref={"cim:Bay.VoltageLevel": level}),
        _element("cim:Breaker", breaker, name, ref={"cim:Equipment.EquipmentContainer": bay}),
    ]
    for point in range(_POINTS_OF_BAY):
        parts += _point(f"{key}/{point}", breaker, unit, number, point)
    command, remote = derived_mrid("bench", key, "command"), derived_mrid("bench", key, "remote")
    position = derived_mrid("bench", f"{key}/{_ANALOGS}", "value")
    text = {
        "cim:Control.controlType": "SwitchPosition",
        "sc:Control.kind": "double",
        "sc:Control.deviceNumber": name,
    }
    parts.append(
        _element(
            "cim:Command",
            command,
            name,
            text,
            {"cim:Control.PowerSystemResource": breaker, "cim:Command.DiscreteValue": position},
        )
    )
    text = {"sc:RemotePoint.ioa": str(24577 + number), "sc:RemotePoint.typeId": "46"}
    parts.append(
        _element(
            "cim:RemoteControl",
            remote,
            name,
            text,
            {"cim:RemotePoint.RemoteUnit": unit, "cim:RemoteControl.Control": command},
        )
    )
    return parts


def _point(key: str, breaker: str, unit: str, bay: int, number: int) -> list[str]:
    measurement, value, source = (derived_mrid("bench", key, part) for part in ("measurement", "value", "source"))
    analog = number < _ANALOGS
    kind, ioa = ("Analog", 16385) if analog else ("Discrete", 1)
    name = f"Value {number:02d}" if analog else f"Signal {number:02d}"
    text = {"cim:Measurement.measurementType": "LineCurrent" if analog else "ProtectionTrip"}
    text |= {"sc:Measurement.alarmClass": "LIMIT" if analog else "ABNORMAL", "sc:Measurement.alarmPriority": "2"}
    text |= {} if analog else {"sc:Discrete.kind": "double" if number == _ANALOGS else "status"}
    enums = {"cim:Measurement.unitSymbol": "UnitSymbol.A", "cim:Measurement.phases": "PhaseCode.A"} if analog else {}
    address = {"sc:RemotePoint.ioa": str(ioa + bay * _POINTS_OF_BAY + number), "sc:RemotePoint.typeId": "36" if analog else "30"}
    parts = [
        _element(f"cim:{kind}", measurement, name, text, {"cim:Measurement.PowerSystemResource": breaker}, enums),
        _element(f"cim:{kind}Value", value, name, ref={f"cim:{kind}Value.{kind}": measurement}),
        _element(
            "cim:RemoteSource", source, name, address | ({"cim:RemoteSource.deadband": "0.50"} if analog else {}),
            {"cim:RemotePoint.RemoteUnit": unit, "cim:RemoteSource.MeasurementValue": value},
        ),
    ]  # fmt: skip
    if number < _LIMITED:
        limits = derived_mrid("bench", key, "limits")
        set_text = {"sc:AnalogLimitSet.hysteresis": "2", "sc:AnalogLimitSet.delay": "5"}
        parts.append(
            _element("cim:AnalogLimitSet", limits, "current", set_text, {"cim:AnalogLimitSet.Measurements": measurement})
        )
        for word, limit in (("hi", "540"), ("hihi", "600")):
            text = {"sc:AnalogLimit.kind": word, "cim:AnalogLimit.value": limit}
            parts.append(
                _element("cim:AnalogLimit", derived_mrid("bench", key, word), word, text, {"cim:AnalogLimit.LimitSet": limits})
            )
    return parts


def _element(
    tag: str,
    mrid: str,
    name: str,
    text: dict[str, str] | None = None,
    ref: dict[str, str] | None = None,
    enums: dict[str, str] | None = None,
) -> str:
    lines = [f"<cim:IdentifiedObject.name>{name}</cim:IdentifiedObject.name>"]
    lines += [f"<{prop}>{value}</{prop}>" for prop, value in (text or {}).items()]
    lines += [f'<{prop} rdf:resource="#_{target}"/>' for prop, target in (ref or {}).items()]
    lines += [f'<{prop} rdf:resource="{_CIM}{value}"/>' for prop, value in (enums or {}).items()]
    body = "\n    ".join(lines)
    return f'  <{tag} rdf:ID="_{mrid}">\n    {body}\n  </{tag}>\n'
