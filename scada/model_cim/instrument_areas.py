"""Control areas and voltage zones, as far as the model gives them: sources of tie flows and units, pilot nodes, devices."""

from __future__ import annotations

from scada.model_cim.cim import CimModel
from scada.model_cim.instrument_items import Additions
from scada.model_cim.instrument_points import Notes, PointMaker, instrument_mrid
from scada.model_cim.locate import Locator

_P = "ThreePhaseActivePower"


class AreaMaker:
    """Joins the points made to areas and zones.

    Args:
        model: the network.
        additions: where it is put.
        notes: where it is said what was left out.
        maker: with the values of terminals and the controls of equipment.
        locator: of the same model.
    """

    def __init__(self, model: CimModel, additions: Additions, notes: Notes, maker: PointMaker, locator: Locator) -> None:
        self._model = model
        self._additions = additions
        self._notes = notes
        self._maker = maker
        self._locator = locator

    def make(self, file: str) -> None:
        """Every area and zone."""
        for area in self._model.ids("ControlArea"):
            self._ties(area, file)
            self._units(area, file)
            if self._model.number(area, "sc:ControlArea.frequencyBias", 0.0) >= 0:
                en = "ControlArea without frequency bias: seen only, until sc:ControlArea.controlled and .frequencyBias are given"
                zh = "ControlArea: 未给出频率偏差系数, 在填写 sc:ControlArea.controlled 和 .frequencyBias 之前不受控"
                self._notes.add(en, zh, self._model.path(area))
        self._zones(file)

    def _ties(self, area: str, file: str) -> None:
        model = self._model
        for tie in model.refs_to(area, "TieFlow.ControlArea"):
            if model.refs_to(tie, "AltTieMeas.TieFlow"):
                continue
            value = self._maker.values.get((model.ref(tie, "TieFlow.Terminal") or "", _P))
            if value is None:
                self._notes.add("TieFlow without a measured power at its terminal", "TieFlow 的端点没有有功量测", model.path(tie))
                continue
            texts = {"IdentifiedObject.name": model.name(tie), "AltTieMeas.priority": "1"}
            refs = {"AltTieMeas.TieFlow": tie, "AltTieMeas.AnalogValue": value}
            self._additions.add(file, "AltTieMeas", instrument_mrid(tie, "flow"), texts, refs)

    def _units(self, area: str, file: str) -> None:
        model = self._model
        for member in model.refs_to(area, "ControlAreaGeneratingUnit.ControlArea"):
            unit = model.ref(member, "ControlAreaGeneratingUnit.GeneratingUnit") or ""
            if not model.number(unit, "GeneratingUnit.raiseRampRate", 0.0) > 0:
                en = "unit of a control area: the model gives no ramp rate, AGC cannot use it"
                self._notes.add(en, "控制区机组: 模型未给出爬坡速率, AGC 不能使用", model.path(unit))
            if model.refs_to(member, "AltGeneratingUnitMeas.ControlAreaGeneratingUnit"):
                continue
            machines = model.refs_to(unit, "RotatingMachine.GeneratingUnit")
            value = next((found for machine in machines if (found := self._maker.values.get((machine, _P)))), None)
            if value is None:
                continue
            texts = {"IdentifiedObject.name": model.name(unit), "AltGeneratingUnitMeas.priority": "1"}
            refs = {"AltGeneratingUnitMeas.ControlAreaGeneratingUnit": member, "AltGeneratingUnitMeas.AnalogValue": value}
            self._additions.add(file, "AltGeneratingUnitMeas", instrument_mrid(member, "power"), texts, refs)

    # ------------------------------------------------------------ voltage zones

    def _zones(self, file: str) -> None:
        """One zone a station whose regulating controls hold the voltage of a busbar with a target."""
        model = self._model
        for control in model.ids("RegulatingControl"):
            if model.enum(control, "RegulatingControl.mode") != "voltage" or model.ref(
                control, "sc:RegulatingControl.VoltageControlZone"
            ):
                continue
            terminal = model.ref(control, "RegulatingControl.Terminal") or ""
            busbar = model.ref(terminal, "Terminal.ConductingEquipment") or ""
            if model.class_of(busbar) != "BusbarSection":
                en = "RegulatingControl holds the voltage of no busbar: no pilot node of AVC"
                self._notes.add(en, "RegulatingControl 不以母线电压为目标: 不作为 AVC 中枢节点", model.path(control))
                continue
            station = self._locator.place(busbar, terminal).station
            if model.text(control, "RegulatingControl.targetValue") is None or not station:
                self._notes.add("RegulatingControl without a target", "RegulatingControl 无目标值", model.path(control))
                continue
            zone = instrument_mrid(station, "zone")
            name = {"IdentifiedObject.name": model.name(station)}
            self._additions.add(file, "VoltageControlZone", zone, name, {"VoltageControlZone.BusbarSection": busbar})
            self._additions.say(file, control, {}, {"sc:RegulatingControl.VoltageControlZone": zone})
            self._devices(control, zone, busbar, file)

    def _devices(self, control: str, zone: str, busbar: str, file: str) -> None:
        model = self._model
        for tap in model.refs_to(control, "TapChanger.TapChangerControl"):
            self._device(tap, "TapPosition", zone, busbar, file, raises=self._tap_raises(tap, busbar))
        for equipment in model.refs_to(control, "RegulatingCondEq.RegulatingControl"):
            kind = model.class_of(equipment)
            if kind == "SynchronousMachine" and model.ref(equipment, "RotatingMachine.GeneratingUnit"):
                unit = model.ref(equipment, "RotatingMachine.GeneratingUnit") or ""
                if (unit, "ReactivePower") in self._maker.controls:
                    self._additions.say(file, equipment, {}, {"sc:RegulatingCondEq.VoltageControlZone": zone})
            elif kind == "LinearShuntCompensator":
                capacitive = model.number(equipment, "LinearShuntCompensator.bPerSection", 0.0) > 0
                self._device(equipment, "ShuntSections", zone, busbar, file, raises=capacitive)

    def _device(self, equipment: str, moves: str, zone: str, busbar: str, file: str, *, raises: bool) -> None:
        control = self._maker.controls.get((equipment, moves))
        if control is None:
            return
        texts = {"sc:VoltageControlDevice.raiseIncreasesVoltage": str(raises).lower()}
        refs = {
            "sc:VoltageControlDevice.VoltageControlZone": zone,
            "sc:VoltageControlDevice.Equipment": equipment,
            "sc:VoltageControlDevice.Control": control,
            "sc:VoltageControlDevice.BusbarSection": busbar,
        }
        self._additions.add(file, "sc:VoltageControlDevice", instrument_mrid(equipment, "voltage device"), texts, refs)

    def _tap_raises(self, tap: str, busbar: str) -> bool:
        """More turns raise the voltage on their own side and lower it on every other."""
        model = self._model
        end = model.ref(tap, "RatioTapChanger.TransformerEnd") or ""
        own = self._locator.place(tap, model.ref(end, "TransformerEnd.Terminal") or "").voltage_level
        same = own == self._locator.place(busbar).voltage_level
        more_turns = model.number(tap, "RatioTapChanger.stepVoltageIncrement", 1.0) >= 0
        return same == more_turns
