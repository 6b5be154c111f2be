"""The profiles a model is split into, and the one a statement belongs to where no file shows it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from scada.model_cim.source_files import SC

_MARKS: Final = (
    ("BD", re.compile(r"Boundary")),
    ("EQ", re.compile(r"CoreEquipment|EquipmentCore|ShortCircuit")),
    ("OP", re.compile(r"/(?:Equipment)?Operation(?:-EU)?/")),
    ("SSH", re.compile(r"SteadyStateHypothesis")),
    ("TP", re.compile(r"/Topology(?:-EU)?/")),
    ("SV", re.compile(r"StateVariables")),
    ("DL", re.compile(r"DiagramLayout")),
    ("GL", re.compile(r"GeographicalLocation")),
    ("DY", re.compile(r"Dynamics")),
    ("SC", re.compile(re.escape(SC))),
)
_CIM16: Final = {
    "EQ": "http://entsoe.eu/CIM/EquipmentCore/3/1",
    "SSH": "http://entsoe.eu/CIM/SteadyStateHypothesis/1/1",
    "TP": "http://entsoe.eu/CIM/Topology/4/1",
    "SV": "http://entsoe.eu/CIM/StateVariables/4/1",
    "DL": "http://entsoe.eu/CIM/DiagramLayout/3/1",
    "GL": "http://entsoe.eu/CIM/GeographicalLocation/2/1",
    "DY": "http://entsoe.eu/CIM/Dynamics/3/1",
}
_CIM100: Final = {
    "EQ": "http://iec.ch/TC57/ns/CIM/CoreEquipment-EU/3.0",
    "SSH": "http://iec.ch/TC57/ns/CIM/SteadyStateHypothesis-EU/3.0",
    "TP": "http://iec.ch/TC57/ns/CIM/Topology-EU/3.0",
    "SV": "http://iec.ch/TC57/ns/CIM/StateVariables-EU/3.0",
    "DL": "http://iec.ch/TC57/ns/CIM/DiagramLayout-EU/3.0",
    "GL": "http://iec.ch/TC57/ns/CIM/GeographicalLocation-EU/3.0",
    "DY": "http://iec.ch/TC57/ns/CIM/Dynamics-EU/1.0",
}
_SSH_WORDS: Final = (
    "ACDCTerminal.connected Equipment.inService Switch.open Switch.locked EnergyConsumer.p EnergyConsumer.q RotatingMachine.p "
    "RotatingMachine.q SynchronousMachine.operatingMode SynchronousMachine.referencePriority "
    "AsynchronousMachine.asynchronousMachineType GeneratingUnit.normalPF RegulatingControl.enabled RegulatingControl.discrete "
    "RegulatingControl.targetDeadband RegulatingControl.targetValue RegulatingControl.targetValueUnitMultiplier "
    "RegulatingControl.maxAllowedTargetValue RegulatingControl.minAllowedTargetValue RegulatingCondEq.controlEnabled "
    "TapChanger.controlEnabled TapChanger.step ShuntCompensator.sections StaticVarCompensator.q EquivalentInjection.p "
    "EquivalentInjection.q EquivalentInjection.regulationStatus EquivalentInjection.regulationTarget "
    "ExternalNetworkInjection.p ExternalNetworkInjection.q ExternalNetworkInjection.referencePriority ControlArea.netInterchange "
    "ControlArea.pTolerance EnergySource.activePower EnergySource.reactivePower ACDCConverter.p ACDCConverter.q "
    "ACDCConverter.targetPpcc ACDCConverter.targetUdc PowerElectronicsConnection.p PowerElectronicsConnection.q "
    "BatteryUnit.batteryState BatteryUnit.storedE"
)
_SSH: Final = frozenset(_SSH_WORDS.split())
_SSH_OF_CIM100: Final = frozenset(
    {"CurrentLimit.value", "ApparentPowerLimit.value", "ActivePowerLimit.value", "VoltageLimit.value"}
)  # CGMES 2.4.15 has them in EQ
_TP: Final = frozenset({"Terminal.TopologicalNode", "ConnectivityNode.TopologicalNode", "DCNode.DCTopologicalNode"})
_SCADA: Final = re.compile(
    r"Remote(?:Unit|Point|Source|Control)|CommunicationLink|(?:Analog|Discrete|Accumulator|String)\w*|Measurement\w*|Control|Command"
    r"|SetPoint|RaiseLowerCommand|ValueAliasSet|ValueToAlias|Quality61850|AltGeneratingUnitMeas|AltTieMeas"
)
_CLASSES: Final = (
    ("SC", _SCADA),
    ("SV", re.compile(r"Sv[A-Z]\w*|TopologicalIsland|DCTopologicalIsland")),
    ("TP", re.compile(r"(?:DC)?TopologicalNode")),
    ("DL", re.compile(r"Diagram\w*|TextDiagramObject|VisibilityLayer")),
    ("GL", re.compile(r"Location|PositionPoint|CoordinateSystem")),
    ("DY", re.compile(r"\w+Dynamics|Exc[A-Z]\w*|Gov[A-Z]\w*|Pss[A-Z0-9]\w*")),
)


def profiles_named(uris: Iterable[str]) -> frozenset[str]:
    """Short names of the profiles a header names.

    >>> sorted(profiles_named(["http://iec.ch/TC57/ns/CIM/CoreEquipment-EU/3.0", "urn:scada-ems:sc:1#"]))
    ['EQ', 'SC']
    """
    return frozenset(mark for uri in uris for mark, pattern in _MARKS if pattern.search(uri))


def profile_of(class_name: str, prop: str, *, cim100: bool = True) -> str:
    """The profile of a property of a class; with an empty property, the one that defines objects of the class.

    >>> profile_of("Breaker", ""), profile_of("Breaker", "Switch.open"), profile_of("Analog", "sc:Measurement.deadband")
    ('EQ', 'SSH', 'SC')
    """
    if class_name.startswith("sc:") or prop.startswith("sc:"):
        return "SC"
    if prop in _SSH or (cim100 and prop in _SSH_OF_CIM100):
        return "SSH"
    if prop in _TP:
        return "TP"
    if prop == "PowerSystemResource.Location":
        return "GL"
    return next((mark for mark, pattern in _CLASSES if pattern.fullmatch(class_name)), "EQ")


def profile_uri(profile: str, cim_namespace: str) -> str:
    """What a header says for a profile, for a CIM namespace."""
    if profile == "SC":
        return SC
    return (_CIM16 if "cim16" in cim_namespace.lower() else _CIM100)[profile]
