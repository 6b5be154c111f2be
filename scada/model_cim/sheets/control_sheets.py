# ruff: noqa: RUF001 - Chinese texts have Chinese punctuation
"""The sheets of controls, forwarding, AGC and AVC; :data:`SHEETS` names them all."""

from __future__ import annotations

from typing import Final

from scada.core.ids import derived_mrid
from scada.model_cim.forwarding import CONTROL, POINT
from scada.model_cim.sc_profile import sc_profile
from scada.model_cim.sheets.columns import address_columns, column, integer, mrid_column, number, words
from scada.model_cim.sheets.faults import CellError
from scada.model_cim.sheets.kinds import Literal, Name, Objects, Reference, References
from scada.model_cim.sheets.kinds_special import Feedback, ForbiddenZones, Info, Unit
from scada.model_cim.sheets.names import Names
from scada.model_cim.sheets.points_sheets import CHANNELS, LIMITS, POINTS
from scada.model_cim.sheets.sheet import Field, NewRow, Sheet

_CLASSES: Final = {"single": "Command", "double": "Command", "step": "RaiseLowerCommand", "setpoint": "SetPoint"}
_GU: Final = "GeneratingUnit"
_RC: Final = "RegulatingControl"
_VCD: Final = "sc:VoltageControlDevice"
_MUST_BE_1: Final = ("Paths of points that must be 1, ; between them", "须为 1 的测点路径, 以 ; 分隔")
_MUST_BE_TRUE: Final = ("Condition that must be true", "须成立的条件表达式")
_MACHINE: Final = "SynchronousMachine"


def _words(enumeration: str) -> tuple[str, ...]:
    """Words of an enumeration of the SC profile."""
    return tuple(word for word in sc_profile().enumerations[enumeration] if word)


def _controls(names: Names) -> list[dict[str, str]]:
    remote = names.inverse("RemoteControl.Control")
    return [{"control": mrid, "remote": remote.get(mrid, "")} for mrid in names.control_paths]


def _new_control(row: NewRow) -> Objects:
    texts = row.texts
    resource = row.names.resolve("equipment", texts["equipment"])
    class_name = _CLASSES.get(texts["kind"])
    if class_name is None:
        raise CellError("choice", value=texts["kind"], choices=", ".join(_CLASSES))
    mrid = derived_mrid("sheet", "control", resource, texts["type"], texts["name"])
    row.create(mrid, class_name)
    return {"control": mrid, "remote": ""}


CONTROLS: Final = Sheet(
    name="controls",
    titles=("controls", "控制"),
    key="control",
    by=("path",),
    rows=_controls,
    needed=("equipment", "name", "kind", "type", "channel"),
    make=_new_control,
    links={"remote": ("RemoteControl", "RemoteControl.Control")},
    removes=("control", "remote"),
    fields=(
        mrid_column("control"),
        column("path", "Path", "路径", Info(lambda names, row: names.control_paths.get(row["control"], ""))),
        column(
            "station",
            "Station",
            "厂站",
            Info(lambda names, row: names.station_at(names.model.ref(row["control"], "Control.PowerSystemResource") or "")),
        ),
        column("name", "Name", "名称", Name("control", "IdentifiedObject.name", required=True, followers=("remote",))),
        column(
            "equipment",
            "Equipment",
            "设备",
            Reference("control", "Control.PowerSystemResource", "equipment", required=True),
            "Path or mRID",
            "路径或 mRID",
        ),
        column("kind", "Kind", "类别", words("control", "sc:Control.kind", *_CLASSES)),
        column(
            "type",
            "Control type",
            "控制类型",
            Literal("control", "Control.controlType"),
            "SwitchPosition, TapPosition ...",
            "SwitchPosition、TapPosition 等",
        ),
        column("unit", "Unit", "单位", Unit("control", "Control")),
        *address_columns("remote", required=True),
        column(
            "select", "Select", "选择", Literal("control", "sc:Control.select", "truth"), "Select before operate", "先选择后执行"
        ),
        column("feedback", "Feedback", "返校测点", Feedback(), "Path of the point that must follow", "应随之变化的测点"),
        column("device_number", "Device number", "设备编号", Literal("control", "sc:Control.deviceNumber")),
        column("minimum", "Minimum", "最小值", number("control", "AnalogControl.minValue")),
        column("maximum", "Maximum", "最大值", number("control", "AnalogControl.maxValue")),
        column("feedback_timeout", "Feedback timeout s", "返校超时 秒", number("control", "sc:Control.feedbackTimeout", 0)),
        column("feedback_tolerance", "Feedback tolerance", "返校允差", number("control", "sc:Control.feedbackTolerance", 0)),
        *(
            column(f"{field}enabled_by", english, chinese, References("control", f"sc:Control.{prop}", "point"), *_MUST_BE_1)
            for field, english, chinese, prop in (
                ("", "Enabled by", "闭锁条件", "enabledBy"),
                ("open_", "Opening enabled by", "分闸闭锁条件", "openEnabledBy"),
                ("close_", "Closing enabled by", "合闸闭锁条件", "closeEnabledBy"),
            )
        ),
        *(
            column(f"{field}permitted_when", english, chinese, Literal("control", f"sc:Control.{prop}"), *_MUST_BE_TRUE)
            for field, english, chinese, prop in (
                ("", "Permitted when", "闭锁逻辑", "permittedWhen"),
                ("open_", "Opening permitted when", "分闸闭锁逻辑", "openPermittedWhen"),
                ("close_", "Closing permitted when", "合闸闭锁逻辑", "closePermittedWhen"),
            )
        ),
    ),
)


def _forwarding(sheet: str, titles: tuple[str, str], owner: str, what: str, target: str, more: tuple[Field, ...]) -> Sheet:
    def rows(names: Names) -> list[dict[str, str]]:
        return [{"row": mrid} for mrid in names.model.ids(owner)]

    def make(row: NewRow) -> Objects:
        station = row.names.resolve("upstream station", row.texts["station"])
        mrid = derived_mrid("forwarded", station, row.names.resolve(what, row.texts[what]))
        row.create(mrid, owner)
        return {"row": mrid}

    title, title_zh = ("Point", "测点") if what == "point" else ("Control", "控制")
    return Sheet(
        name=sheet,
        titles=titles,
        key="row",
        by=("station", what),
        rows=rows,
        needed=("station", what, "ioa", "type_id"),
        make=make,
        removes=("row",),
        fields=(
            mrid_column("row"),
            column(
                "station",
                "Upstream station",
                "上级主站",
                Reference("row", f"{owner}.UpstreamStation", "upstream station", required=True),
            ),
            column(
                what, title, title_zh, Reference("row", f"{owner}.{target}", what, required=True), "Path or mRID", "路径或 mRID"
            ),
            column("common_address", "Common address", "公共地址", integer("row", f"{owner}.commonAddress", 1, 65534)),
            column("ioa", "IOA", "信息体地址", integer("row", f"{owner}.ioa", 1, 0xFFFFFF)),
            column("type_id", "Type id", "类型标识", integer("row", f"{owner}.typeId", 1, 127)),
            column(
                "scale",
                "Scale",
                "系数",
                number("row", f"{owner}.scale"),
                "value = sent * scale + offset",
                "值 = 发送值 × 系数 + 偏移",
            ),
            column("offset", "Offset", "偏移", number("row", f"{owner}.offset")),
            *more,
        ),
    )


FORWARDED_POINTS: Final = _forwarding(
    "forwarded_points",
    ("forwarded points", "转发测点"),
    POINT,
    "point",
    "MeasurementValue",
    (
        column("deadband", "Dead band", "死区", number("row", f"{POINT}.deadband", 0)),
        column("class", "Class", "传送方式", words("row", f"{POINT}.class", "event", "newest")),
        column("group", "Group", "召唤组", integer("row", f"{POINT}.group", 1, 16)),
        column("counter_group", "Counter group", "电度召唤组", integer("row", f"{POINT}.counterGroup", 1, 4)),
    ),
)
FORWARDED_CONTROLS: Final = _forwarding(
    "forwarded_controls",
    ("forwarded controls", "转发控制"),
    CONTROL,
    "control",
    "Control",
    (column("select", "Select", "选择", Literal("row", f"{CONTROL}.select", "truth")),),
)


def _areas(names: Names) -> list[dict[str, str]]:
    model = names.model
    return [{"area": mrid} for mrid in model.ids("ControlArea") if model.enum(mrid, "ControlArea.type") in (None, "AGC")]


AREAS: Final = Sheet(
    name="agc_areas",
    titles=("AGC areas", "AGC 区域"),
    key="area",
    by=("name",),
    rows=_areas,
    fields=(
        mrid_column("area"),
        column("name", "Name", "名称", Literal("area", "IdentifiedObject.name", required=True)),
        column("controlled", "Controlled", "受控", Literal("area", "sc:ControlArea.controlled", "truth")),
        column(
            "net_interchange",
            "Net interchange MW",
            "净交换功率 MW",
            number("area", "ControlArea.netInterchange"),
            "Into the area, as CIM says",
            "按 CIM，流入为正",
        ),
        column("deadband", "ACE dead band MW", "ACE 死区 MW", number("area", "ControlArea.pTolerance", 0)),
        column("nominal_frequency", "Nominal frequency Hz", "额定频率 Hz", number("area", "sc:ControlArea.nominalFrequency", 0)),
        column(
            "bias",
            "Frequency bias MW/0.1 Hz",
            "频率偏差系数 MW/0.1Hz",
            number("area", "sc:ControlArea.frequencyBias", high=0),
            "Negative",
            "负值",
        ),
        column(
            "bias_sum",
            "Bias of the interconnection MW/0.1 Hz",
            "互联电网频率偏差系数 MW/0.1Hz",
            number("area", "sc:ControlArea.biasSum", high=0),
            "Negative",
            "负值",
        ),
        column("performance_rules", "Performance rules", "考核规则", Literal("area", "sc:ControlArea.performanceRules")),
    ),
)


def _units(names: Names) -> list[dict[str, str]]:
    members = names.texts("ControlAreaGeneratingUnit.GeneratingUnit")
    return [
        {"unit": unit, "member": member} for unit, member in {unit: member for member, unit in reversed(members.items())}.items()
    ]


def _area_of(names: Names, row: Objects) -> str:
    return names.label("area", names.model.ref(row["member"], "ControlAreaGeneratingUnit.ControlArea") or "")


UNITS: Final = Sheet(
    name="agc_units",
    titles=("AGC units", "AGC 机组"),
    key="unit",
    by=("path",),
    rows=_units,
    fields=(
        mrid_column("unit"),
        column("path", "Path", "路径", Info(lambda names, row: names.model.path(row["unit"]))),
        column("area", "Area", "区域", Info(_area_of)),
        column("minimum", "Minimum MW", "最小出力 MW", number("unit", f"{_GU}.minOperatingP")),
        column("maximum", "Maximum MW", "最大出力 MW", number("unit", f"{_GU}.maxOperatingP")),
        column("ramp_up", "Ramp up MW/min", "升速率 MW/分", number("unit", f"{_GU}.raiseRampRate", 0)),
        column("ramp_down", "Ramp down MW/min", "降速率 MW/分", number("unit", f"{_GU}.lowerRampRate", 0)),
        column("participation", "Participation", "分配系数", number("unit", f"{_GU}.normalPF", 0)),
        column("deadband", "Dead band MW", "死区 MW", number("unit", f"{_GU}.controlDeadband", 0)),
        column("fuel", "Fuel", "类型", words("unit", f"sc:{_GU}.fuel", "thermal", "hydro", "pv", "wind", "storage")),
        column("base_mode", "Base mode", "基点模式", words("unit", f"sc:{_GU}.baseMode", *_words("BaseMode"))),
        column(
            "regulation_mode", "Regulation mode", "调节模式", words("unit", f"sc:{_GU}.regulationMode", *_words("RegulationMode"))
        ),
        column("cost_b", "Cost b", "成本 b", number("unit", f"sc:{_GU}.costB")),
        column("cost_c", "Cost c", "成本 c", number("unit", f"sc:{_GU}.costC")),
        column("energy", "Energy MWh", "储能容量 MWh", number("unit", f"sc:{_GU}.energyCapacity", 0)),
        column("group", "Group", "调节组", Reference("unit", f"sc:{_GU}.RegulationGroup", "regulation group")),
        column("share", "Share", "分配方式", words("unit", f"sc:{_GU}.share", *_words("ShareKind"))),
        column("economic_minimum", "Economic minimum MW", "经济下限 MW", number("unit", f"{_GU}.minEconomicP")),
        column("economic_maximum", "Economic maximum MW", "经济上限 MW", number("unit", f"{_GU}.maxEconomicP")),
        column("emergency_ramp", "Emergency ramp MW/min", "紧急爬坡 MW/分", number("unit", f"sc:{_GU}.emergencyRampRate", 0)),
        column("pulse", "Pulse MW", "脉冲量 MW", number("unit", f"sc:{_GU}.pulseP", 0)),
        column("maximum_step", "Largest step MW", "最大步长 MW", number("unit", f"sc:{_GU}.maximumStep", 0)),
        column("minimum_interval", "Least interval s", "最小间隔 秒", number("unit", f"sc:{_GU}.minimumInterval", 0)),
        column("waits", "Waits for the unit", "等待到位", Literal("unit", f"sc:{_GU}.waitsForUnit", "truth")),
        column("soc_minimum", "SOC minimum %", "荷电下限 %", number("unit", f"sc:{_GU}.socMinimum", 0, 100)),
        column("soc_maximum", "SOC maximum %", "荷电上限 %", number("unit", f"sc:{_GU}.socMaximum", 0, 100)),
        column("soc_reference", "SOC reference %", "荷电目标 %", number("unit", f"sc:{_GU}.socReference", 0, 100)),
        column("efficiency", "Efficiency one way", "单程效率", number("unit", f"sc:{_GU}.efficiency", 0, 1)),
        column(
            "forbidden",
            "Forbidden zones MW",
            "禁止运行区 MW",
            ForbiddenZones(),
            "Such as 18..30/120; 40..45 (crossed within 120 s)",
            "例如 18..30/120; 40..45 (120 秒内穿越)",
        ),
    ),
)


def _pilots(names: Names) -> list[dict[str, str]]:
    return [{"pilot": mrid} for mrid in names.texts(f"sc:{_RC}.VoltageControlZone")]


def _busbar(names: Names, row: Objects) -> str:
    terminal = names.model.ref(row["pilot"], f"{_RC}.Terminal") or ""
    return names.label("equipment", names.model.ref(terminal, "Terminal.ConductingEquipment") or "")


PILOTS: Final = Sheet(
    name="avc_pilots",
    titles=("AVC pilots", "AVC 中枢点"),
    key="pilot",
    by=("name",),
    rows=_pilots,
    fields=(
        mrid_column("pilot"),
        column("name", "Name", "名称", Literal("pilot", "IdentifiedObject.name", required=True)),
        column("busbar", "Busbar", "母线", Info(_busbar)),
        column("zone", "Zone", "分区", Reference("pilot", f"sc:{_RC}.VoltageControlZone", "zone", required=True)),
        column("target", "Target kV", "目标电压 kV", number("pilot", f"{_RC}.targetValue", 0)),
        column("deadband", "Dead band kV", "死区 kV", number("pilot", f"{_RC}.targetDeadband", 0)),
        column("minimum", "Minimum kV", "电压下限 kV", number("pilot", f"sc:{_RC}.minimumValue", 0)),
        column("maximum", "Maximum kV", "电压上限 kV", number("pilot", f"sc:{_RC}.maximumValue", 0)),
        column("weight", "Weight", "权重", number("pilot", f"sc:{_RC}.weight", 0)),
    ),
)


def _sources(names: Names) -> list[dict[str, str]]:
    return [{"machine": mrid} for mrid in names.texts("sc:RegulatingCondEq.VoltageControlZone")]


SOURCES: Final = Sheet(
    name="avc_sources",
    titles=("AVC sources", "AVC 无功源"),
    key="machine",
    by=("path",),
    rows=_sources,
    fields=(
        mrid_column("machine"),
        column("path", "Path", "路径", Info(lambda names, row: names.model.path(row["machine"]))),
        column("zone", "Zone", "分区", Reference("machine", "sc:RegulatingCondEq.VoltageControlZone", "zone", required=True)),
        column("minimum", "Minimum Mvar", "最小无功 Mvar", Literal("machine", f"{_MACHINE}.minQ", "number")),
        column("maximum", "Maximum Mvar", "最大无功 Mvar", Literal("machine", f"{_MACHINE}.maxQ", "number")),
        column("step", "Step Mvar", "步长 Mvar", number("machine", "sc:RegulatingCondEq.reactiveStep", 0), "A cycle", "每周期"),
        column("kind", "Kind", "类型", words("machine", "sc:RegulatingCondEq.kind", *_words("ReactiveKind"))),
        column("plant", "Plant", "电站", Reference("machine", "sc:RegulatingCondEq.ReactivePlant", "reactive plant")),
        column("lowest_voltage", "Lowest voltage kV", "机端下限 kV", number("machine", "sc:RegulatingCondEq.minimumVoltage", 0)),
        column(
            "highest_voltage", "Highest voltage kV", "机端上限 kV", number("machine", "sc:RegulatingCondEq.maximumVoltage", 0)
        ),
    ),
)


def _devices(names: Names) -> list[dict[str, str]]:
    return [{"device": mrid} for mrid in names.model.ids(_VCD)]


def _new_device(row: NewRow) -> Objects:
    mrid = derived_mrid(
        "sheet", "avc", row.names.resolve("zone", row.texts["zone"]), row.names.resolve("equipment", row.texts["equipment"])
    )
    row.create(mrid, _VCD)
    return {"device": mrid}


DEVICES: Final = Sheet(
    name="avc_devices",
    titles=("AVC devices", "AVC 设备"),
    key="device",
    by=("zone", "equipment"),
    rows=_devices,
    needed=("zone", "equipment", "control", "busbar"),
    make=_new_device,
    removes=("device",),
    fields=(
        mrid_column("device"),
        column("zone", "Zone", "分区", Reference("device", f"{_VCD}.VoltageControlZone", "zone", required=True)),
        column("equipment", "Equipment", "设备", Reference("device", f"{_VCD}.Equipment", "equipment", required=True)),
        column("control", "Control", "控制", Reference("device", f"{_VCD}.Control", "control", required=True)),
        column("busbar", "Busbar", "母线", Reference("device", f"{_VCD}.BusbarSection", "equipment", required=True)),
        column("raises", "Raise increases voltage", "升档升压", Literal("device", f"{_VCD}.raiseIncreasesVoltage", "truth")),
        column("min_interval", "Minimum interval s", "最小间隔 秒", number("device", f"{_VCD}.minInterval", 0)),
        column("daily_limit", "Daily limit", "日动作次数", integer("device", f"{_VCD}.dailyLimit", 0, 100_000)),
        column("discharge", "Discharge s", "放电时间 秒", number("device", f"{_VCD}.dischargeTime", 0)),
        column("parallel", "Parallel group", "并列组", Literal("device", f"{_VCD}.parallelGroup")),
    ),
)

SHEETS: Final[tuple[Sheet, ...]] = (
    CHANNELS,
    POINTS,
    LIMITS,
    CONTROLS,
    FORWARDED_POINTS,
    FORWARDED_CONTROLS,
    AREAS,
    UNITS,
    PILOTS,
    SOURCES,
    DEVICES,
)
"""Every sheet, in the order of a workbook."""
