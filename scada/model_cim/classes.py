"""The part of the CIM class tree (IEC 61970-301, CIM17) that the house asks by parent class."""

from __future__ import annotations

from functools import cache

_TREE = {
    "Switch": "Breaker Disconnector LoadBreakSwitch GroundDisconnector Fuse Jumper Cut Recloser Sectionaliser "
    "DisconnectingCircuitBreaker ProtectedSwitch",
    "EnergyConsumer": "ConformLoad NonConformLoad StationSupply",
    "GeneratingUnit": "ThermalGeneratingUnit HydroGeneratingUnit SolarGeneratingUnit WindGeneratingUnit NuclearGeneratingUnit",
    "PowerElectronicsUnit": "BatteryUnit PhotoVoltaicUnit PowerElectronicsWindUnit",
    "ShuntCompensator": "LinearShuntCompensator NonlinearShuntCompensator",
    "RotatingMachine": "SynchronousMachine AsynchronousMachine",
    "RegulatingCondEq": "RotatingMachine ShuntCompensator StaticVarCompensator PowerElectronicsConnection",
    "EquivalentEquipment": "EquivalentBranch EquivalentInjection EquivalentShunt",
    "ConductingEquipment": "Switch EnergyConsumer RegulatingCondEq EquivalentEquipment ACLineSegment BusbarSection Junction "
    "PowerTransformer SeriesCompensator ExternalNetworkInjection EnergySource Ground PetersenCoil GroundingImpedance "
    "CsConverter VsConverter DCLineSegment",
    "RatioTapChanger": "",
    "PhaseTapChanger": "PhaseTapChangerLinear PhaseTapChangerSymmetrical PhaseTapChangerAsymmetrical PhaseTapChangerTabular",
    "TapChanger": "RatioTapChanger PhaseTapChanger",
    "RegulatingControl": "TapChangerControl",
    "Measurement": "Analog Discrete Accumulator StringMeasurement",
    "MeasurementValue": "AnalogValue DiscreteValue AccumulatorValue StringMeasurementValue",
    "AnalogControl": "SetPoint RaiseLowerCommand",
    "Control": "Command AnalogControl AccumulatorReset",
    "RemotePoint": "RemoteSource RemoteControl",
    "ConnectivityNodeContainer": "EquipmentContainer",
    "EquipmentContainer": "Substation VoltageLevel Bay Line Plant",
    "OperationalLimit": "CurrentLimit ApparentPowerLimit ActivePowerLimit VoltageLimit",
}


@cache
def subclasses(name: str) -> tuple[str, ...]:
    """A class and all its subclasses, the class first.

    >>> subclasses("TapChanger")[:3]
    ('TapChanger', 'RatioTapChanger', 'PhaseTapChanger')
    """
    found = [name]
    for child in _TREE.get(name, "").split():
        found.extend(subclasses(child))
    return tuple(found)
