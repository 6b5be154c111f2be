"""A small grid without a single finding, as objects that tests change: two stations, a line, a transformer, a unit, its SCADA."""

from __future__ import annotations

CIM = "http://iec.ch/TC57/CIM100#"
EQ = "http://iec.ch/TC57/ns/CIM/CoreEquipment-EU/3.0"
HEAD = f"""<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="{CIM}"
 xmlns:md="http://iec.ch/TC57/61970-552/ModelDescription/1#" xmlns:sc="urn:scada-ems:sc:1#">
<md:FullModel rdf:about="urn:uuid:1"><md:Model.profile>{{profile}}</md:Model.profile></md:FullModel>
"""
NAME = "IdentifiedObject.name"
CN, CONTAINER = "ConnectivityNode.ConnectivityNodeContainer", "Equipment.EquipmentContainer"
EQUIPMENT, NODE, SEQUENCE = "Terminal.ConductingEquipment", "Terminal.ConnectivityNode", "ACDCTerminal.sequenceNumber"
LIMITS, TYPE = "OperationalLimit.OperationalLimitSet", "OperationalLimit.OperationalLimitType"
TAP = {
    "TapChanger.lowStep": 1,
    "TapChanger.highStep": 17,
    "TapChanger.neutralStep": 9,
    "TapChanger.normalStep": 9,
    "TapChanger.step": 9,
    "TapChanger.neutralU": 110,
    "TapChanger.ltcFlag": "true",
}
SWITCH = {"Switch.normalOpen": "false", "Switch.open": "false", "Switch.retained": "false"}


def _grid():
    """id -> {"class": ..., property: value}; a value with # is a reference, one with @ an enumeration."""
    grid = {
        "gr": {"class": "GeographicalRegion"},
        "sgr": {"class": "SubGeographicalRegion", "SubGeographicalRegion.Region": "#gr"},
        "s1": {"class": "Substation", "Substation.Region": "#sgr"},
        "s2": {"class": "Substation", "Substation.Region": "#sgr"},
        "bv110": {"class": "BaseVoltage", "BaseVoltage.nominalVoltage": 110},
        "bv20": {"class": "BaseVoltage", "BaseVoltage.nominalVoltage": 20},
        "v1": {"class": "VoltageLevel", "VoltageLevel.Substation": "#s1", "VoltageLevel.BaseVoltage": "#bv110"},
        "v2": {
            "class": "VoltageLevel",
            "VoltageLevel.Substation": "#s2",
            "VoltageLevel.BaseVoltage": "#bv110",
            "VoltageLevel.lowVoltageLimit": 100,
            "VoltageLevel.highVoltageLimit": 121,
        },
        "v3": {"class": "VoltageLevel", "VoltageLevel.Substation": "#s2", "VoltageLevel.BaseVoltage": "#bv20"},
        **{
            f"n{n}": {"class": "ConnectivityNode", CN: f"#{level}"}
            for n, level in ((1, "v1"), (2, "v1"), (3, "v2"), (4, "v3"), (5, "v1"))
        },
        "bb": {"class": "BusbarSection", CONTAINER: "#v1"},
        "cb": {"class": "Breaker", CONTAINER: "#v1", **SWITCH},
        "ge": {"class": "GroundDisconnector", CONTAINER: "#v1", **SWITCH, "Switch.normalOpen": "true", "Switch.open": "true"},
        "gnd": {"class": "Ground", CONTAINER: "#v1"},
        "ln": {"class": "Line", "Line.Region": "#sgr"},
        "l1": {
            "class": "ACLineSegment",
            CONTAINER: "#ln",
            "ConductingEquipment.BaseVoltage": "#bv110",
            "Conductor.length": 20,
            "ACLineSegment.r": 2,
            "ACLineSegment.x": 8,
            "ACLineSegment.bch": 5.5e-5,
            "ACLineSegment.gch": 0,
        },
        "t1": {"class": "PowerTransformer", CONTAINER: "#s2"},
        "e1": _end(1, 110, "t1-1", 30),
        "e2": _end(2, 20, "t1-2", 0),
        "rtc": {
            "class": "RatioTapChanger",
            "RatioTapChanger.TransformerEnd": "#e1",
            "RatioTapChanger.stepVoltageIncrement": 1.5,
            "TapChanger.TapChangerControl": "#tcc",
            "TapChanger.controlEnabled": "true",
            **TAP,
        },
        "tcc": {
            "class": "TapChangerControl",
            "RegulatingControl.mode": "@RegulatingControlModeKind.voltage",
            "RegulatingControl.Terminal": "#t1-2",
            "RegulatingControl.targetValue": 20.5,
            "RegulatingControl.targetDeadband": 0.4,
            "RegulatingControl.enabled": "true",
            "RegulatingControl.discrete": "true",
            "RegulatingControl.targetValueUnitMultiplier": "@UnitMultiplier.k",
        },
        "t2": {"class": "PowerTransformer", CONTAINER: "#s2"},
        "e3": {**_end(1, 110, "t2-1", 30), "PowerTransformerEnd.PowerTransformer": "#t2"},
        "e4": {**_end(2, 20, "t2-2", 0), "PowerTransformerEnd.PowerTransformer": "#t2"},
        "ptc": {
            "class": "PhaseTapChangerAsymmetrical",
            "PhaseTapChanger.TransformerEnd": "#e3",
            "PhaseTapChangerNonLinear.xMin": 30,
            "PhaseTapChangerNonLinear.xMax": 60,
            "PhaseTapChangerNonLinear.voltageStepIncrement": 1,
            "PhaseTapChangerAsymmetrical.windingConnectionAngle": 90,
            **TAP,
        },
        "ld": {"class": "EnergyConsumer", CONTAINER: "#v3", "EnergyConsumer.p": 20, "EnergyConsumer.q": 5},
        "lr": {
            "class": "LoadResponseCharacteristic",
            "LoadResponseCharacteristic.exponentModel": "false",
            **{
                f"LoadResponseCharacteristic.{p}Constant{kind}": share
                for p in "pq"
                for kind, share in (("Impedance", 0.3), ("Current", 0.3), ("Power", 0.4))
            },
        },
        "sh": {
            "class": "LinearShuntCompensator",
            CONTAINER: "#v3",
            "ShuntCompensator.maximumSections": 4,
            "ShuntCompensator.normalSections": 2,
            "ShuntCompensator.sections": 2,
            "ShuntCompensator.nomU": 20,
            "LinearShuntCompensator.bPerSection": 0.01,
            "LinearShuntCompensator.gPerSection": 0,
        },
        "u1": {
            "class": "HydroGeneratingUnit",
            CONTAINER: "#s1",
            "GeneratingUnit.minOperatingP": 5,
            "GeneratingUnit.maxOperatingP": 40,
            "GeneratingUnit.nominalP": 40,
            "GeneratingUnit.initialP": 20,
            "GeneratingUnit.normalPF": 1,
            "HydroGeneratingUnit.energyConversionCapability": "@HydroEnergyConversionKind.generator",
            "GeneratingUnit.genControlSource": "@GeneratorControlSource.onAGC",
            "GeneratingUnit.raiseRampRate": 10,
            "GeneratingUnit.lowerRampRate": 10,
        },
        "g1": {
            "class": "SynchronousMachine",
            CONTAINER: "#v1",
            "RotatingMachine.GeneratingUnit": "#u1",
            "RotatingMachine.ratedS": 50,
            "RotatingMachine.p": -20.5,
            "RotatingMachine.q": -5,
            "SynchronousMachine.minQ": -15,
            "SynchronousMachine.maxQ": 20,
            "SynchronousMachine.type": "@SynchronousMachineKind.generator",
            "SynchronousMachine.operatingMode": "@SynchronousMachineOperatingMode.generator",
            "RegulatingCondEq.RegulatingControl": "#rc",
            "RegulatingCondEq.controlEnabled": "true",
            "sc:RegulatingCondEq.VoltageControlZone": "#z1",
        },
        "rc": {
            "class": "RegulatingControl",
            "RegulatingControl.mode": "@RegulatingControlModeKind.voltage",
            "RegulatingControl.Terminal": "#bb-1",
            "RegulatingControl.targetValue": 112,
            "RegulatingControl.enabled": "true",
            "RegulatingControl.targetDeadband": 1,
            "RegulatingControl.discrete": "false",
            "RegulatingControl.targetValueUnitMultiplier": "@UnitMultiplier.k",
            "sc:RegulatingControl.VoltageControlZone": "#z1",
        },
        "ls": {"class": "OperationalLimitSet", "OperationalLimitSet.Terminal": "#l1-1"},
        "patl": _limit_type("patl"),
        "tatl": {
            **_limit_type("tatl"),
            "OperationalLimitType.isInfiniteDuration": "false",
            "OperationalLimitType.acceptableDuration": 900,
        },
        "high": _limit_type("highVoltage"),
        "c1": {"class": "CurrentLimit", LIMITS: "#ls", TYPE: "#patl", "CurrentLimit.normalValue": 600},
        "c2": {"class": "CurrentLimit", LIMITS: "#ls", TYPE: "#tatl", "CurrentLimit.normalValue": 700},
        "ls2": {"class": "OperationalLimitSet", "OperationalLimitSet.Terminal": "#t1-1"},
        "c3": {"class": "CurrentLimit", LIMITS: "#ls2", TYPE: "#patl", "CurrentLimit.normalValue": 220},
        "c4": {"class": "VoltageLimit", LIMITS: "#ls2", TYPE: "#high", "VoltageLimit.normalValue": 121},
    }
    for equipment, *nodes in (
        ("bb", "n1"),
        ("cb", "n1", "n2"),
        ("ge", "n2", "n5"),
        ("gnd", "n5"),
        ("l1", "n2", "n3"),
        ("t1", "n3", "n4"),
        ("t2", "n3", "n4"),
        ("ld", "n4"),
        ("sh", "n4"),
        ("g1", "n1"),
    ):
        for number, node in enumerate(nodes, 1):
            grid[f"{equipment}-{number}"] = {"class": "Terminal", EQUIPMENT: f"#{equipment}", NODE: f"#{node}", SEQUENCE: number}
    return grid


def _end(number, kv, terminal, x):
    return {
        "class": "PowerTransformerEnd", "PowerTransformerEnd.PowerTransformer": "#t1", "TransformerEnd.endNumber": number,
        "TransformerEnd.Terminal": f"#{terminal}", "TransformerEnd.BaseVoltage": "#bv110" if kv == 110 else "#bv20",
        "PowerTransformerEnd.ratedU": kv, "PowerTransformerEnd.ratedS": 40, "PowerTransformerEnd.r": x / 30,
        "PowerTransformerEnd.x": x, "PowerTransformerEnd.b": 0, "PowerTransformerEnd.g": 0,
        "PowerTransformerEnd.connectionKind": "@WindingConnection.Y",
    }  # fmt: skip


def _limit_type(kind):
    return {
        "class": "OperationalLimitType", "OperationalLimitType.kind": f"@LimitKind.{kind}",
        "OperationalLimitType.direction": "@OperationalLimitDirectionKind.absoluteValue",
        "OperationalLimitType.isInfiniteDuration": "true",
    }  # fmt: skip


def _measured(key, kind, resource, what, unit, ioa, type_id, **more):
    value = {"Analog": "AnalogValue", "Discrete": "DiscreteValue"}[kind]
    symbol, multiplier = unit
    return {
        key: {
            "class": kind, "Measurement.PowerSystemResource": f"#{resource}", "Measurement.measurementType": what,
            "Measurement.unitSymbol": f"@UnitSymbol.{symbol}", "Measurement.unitMultiplier": f"@UnitMultiplier.{multiplier}",
            **more,
        },
        f"{key}-v": {"class": value, f"{value}.{kind}": f"#{key}"},
        f"{key}-s": {
            "class": "RemoteSource", "RemoteSource.MeasurementValue": f"#{key}-v", "RemotePoint.RemoteUnit": "#ch",
            "sc:RemotePoint.commonAddress": 1, "sc:RemotePoint.ioa": ioa, "sc:RemotePoint.typeId": type_id,
        },
    }  # fmt: skip


def _ordered(key, kind, resource, what, ioa, type_id, **more):
    return {
        key: {"class": kind, "Control.PowerSystemResource": f"#{resource}", "Control.controlType": what, **more},
        f"{key}-r": {
            "class": "RemoteControl", "RemoteControl.Control": f"#{key}", "RemotePoint.RemoteUnit": "#ch",
            "sc:RemotePoint.commonAddress": 1, "sc:RemotePoint.ioa": ioa, "sc:RemotePoint.typeId": type_id,
        },
    }  # fmt: skip


def _scada():
    none, mw = ("none", "none"), ("W", "M")
    span = {"Analog.minValue": 0, "Analog.maxValue": 60}
    return {
        "ch": {
            "class": "RemoteUnit", "sc:RemoteUnit.protocol": "iec104", "sc:RemoteUnit.host": "10.0.0.1",
                "sc:RemoteUnit.port": 2404,
        },
        **_measured("pos", "Discrete", "cb", "SwitchPosition", none, 1, 31, **{"sc:Measurement.normalState": 2,
                    "sc:Measurement.alarmClass": "ABNORMAL"}),
        **_measured("posg", "Discrete", "ge", "SwitchPosition", none, 2, 31),
        **_measured("remote", "Discrete", "u1", "AgcRemote", none, 3, 30),
        **_measured("avcr", "Discrete", "u1", "AvcRemote", none, 4, 30),
        **_measured("p", "Analog", "g1", "ThreePhaseActivePower", mw, 10, 36, **span),
        **_measured("q", "Analog", "g1", "ThreePhaseReactivePower", ("VAr", "M"), 11, 36),
        **_measured("f", "Analog", "s1", "Frequency", ("Hz", "none"), 12, 36),
        **_measured("u", "Analog", "bb", "LineToLineVoltage", ("V", "k"), 13, 36, **{"Analog.minValue": 0,
            "Analog.maxValue": 150}),
        **_measured("pl", "Analog", "l1", "ThreePhaseActivePower", mw, 14, 36, **{"Measurement.Terminal": "#l1-1"}),
        **_ordered("cmd", "Command", "cb", "SwitchPosition", 101, 46, **{"Command.DiscreteValue": "#pos-v",
                   "sc:Control.deviceNumber": "1101"}),
        **_ordered("set", "SetPoint", "u1", "ActivePower", 102, 50, **{"AnalogControl.AnalogValue": "#p-v",
                   "AnalogControl.minValue": 5, "AnalogControl.maxValue": 40, "sc:Control.deviceNumber": "1"}),
        **_ordered("setq", "SetPoint", "u1", "ReactivePower", 103, 50, **{"AnalogControl.AnalogValue": "#q-v",
                   "AnalogControl.minValue": -15, "AnalogControl.maxValue": 20, "sc:Control.deviceNumber": "1"}),
        "als": {"class": "AnalogLimitSet", "AnalogLimitSet.Measurements": "#u"},
        "al1": {"class": "AnalogLimit", "AnalogLimit.LimitSet": "#als", "AnalogLimit.value": 118, "sc:AnalogLimit.kind": "hi"},
        "ca": {
            "class": "ControlArea", "ControlArea.type": "@ControlAreaTypeKind.AGC", "ControlArea.netInterchange": 0,
            "sc:ControlArea.controlled": "true", "sc:ControlArea.frequencyBias": -50, "ControlArea.EnergyArea": "#la",
        },
        "af": {"class": "sc:AltFrequencyMeas", "sc:AltFrequencyMeas.ControlArea": "#ca",
            "sc:AltFrequencyMeas.AnalogValue": "#f-v"},
        "tf": {"class": "TieFlow", "TieFlow.ControlArea": "#ca", "TieFlow.Terminal": "#l1-1", "TieFlow.positiveFlowIn": "false"},
        "at": {"class": "AltTieMeas", "AltTieMeas.TieFlow": "#tf", "AltTieMeas.AnalogValue": "#pl-v", "AltTieMeas.priority": 1},
        "cu": {
            "class": "ControlAreaGeneratingUnit", "ControlAreaGeneratingUnit.ControlArea": "#ca",
            "ControlAreaGeneratingUnit.GeneratingUnit": "#u1",
        },
        "au": {
            "class": "AltGeneratingUnitMeas", "AltGeneratingUnitMeas.ControlAreaGeneratingUnit": "#cu",
            "AltGeneratingUnitMeas.AnalogValue": "#p-v", "AltGeneratingUnitMeas.priority": 1,
        },
        "la": {"class": "LoadArea"},
        "z1": {"class": "VoltageControlZone"},
    }  # fmt: skip


def grid(changes=None):
    """The grid with changes: ``{id: {property: value}}``; a property that is None goes, so does an object that is None."""
    objects = {key: dict(value) for key, value in {**_grid(), **_scada()}.items()}
    for key, change in (changes or {}).items():
        if change is None:
            del objects[key]
            continue
        merged = objects.setdefault(key, {})
        merged.update(change)
        objects[key] = {prop: value for prop, value in merged.items() if value is not None}
    return objects


def as_xml(objects, profile=EQ):
    """The grid as a file: one property a line."""
    lines = [HEAD.format(profile=profile)]
    for key, properties in objects.items():
        class_name = properties["class"]
        tag = class_name if ":" in class_name else f"cim:{class_name}"
        given = properties if NAME in properties or class_name == "Nameless" else {NAME: key, **properties}
        given = {"IdentifiedObject.mRID": key, **given}
        lines.append(f'<{tag} rdf:ID="_{key}">')
        for prop, values in given.items():
            if prop != "class":
                lines += [_line(prop if ":" in prop else f"cim:{prop}", value) for value in _all(values)]
        lines.append(f"</{tag}>")
    return "\n".join([*lines, "</rdf:RDF>", ""])


def _all(values):
    return values if isinstance(values, list) else [values]


def _line(prop, value):
    text = str(value)
    if text.startswith("#"):
        return f'<{prop} rdf:resource="#_{text[1:]}"/>'
    if text.startswith("@"):
        return f'<{prop} rdf:resource="{CIM}{text[1:]}"/>'
    return f"<{prop}>{text}</{prop}>"
