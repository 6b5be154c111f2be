# ruff: noqa: RUF001 - Chinese texts have Chinese punctuation
"""The sheets of channels, points and limits."""

from __future__ import annotations

from typing import Final

from scada.core.ids import derived_mrid
from scada.model_cim.sheets.columns import address_columns, column, integer, mrid_column, number, words
from scada.model_cim.sheets.faults import CellError
from scada.model_cim.sheets.kinds import Enumeration, Literal, Name, Objects, Reference, References
from scada.model_cim.sheets.kinds_special import KINDS, Info, LimitedPoints, LimitValue, PointKindWord, States, Unit
from scada.model_cim.sheets.names import VALUES, Names
from scada.model_cim.sheets.sheet import NewRow, Sheet

_M: Final = "measurement"
_UNIT: Final = "sc:RemoteUnit"
_SET: Final = "sc:AnalogLimitSet"
_MEASURED: Final = tuple(VALUES.values())
_PHASES: Final = (
    "A",
    "B",
    "C",
    "N",
    "AB",
    "BC",
    "AC",
    "ABC",
    "AN",
    "BN",
    "CN",
    "ABN",
    "BCN",
    "ACN",
    "ABCN",
    "s1",
    "s2",
    "s1N",
    "s2N",
    "s12",
    "s12N",
    "none",
)


def _channels(names: Names) -> list[dict[str, str]]:
    return [{"unit": mrid} for mrid in names.model.ids("RemoteUnit")]


def _new_channel(row: NewRow) -> Objects:
    mrid = derived_mrid("sheet", "channel", row.texts["name"])
    row.create(mrid, "RemoteUnit")
    return {"unit": mrid}


def _parameter(name: str, en: str, zh: str) -> tuple[str, str, str, Literal]:
    return name, en, zh, number("unit", f"{_UNIT}.{name}")


CHANNELS: Final = Sheet(
    name="channels",
    titles=("channels", "通道"),
    key="unit",
    by=("name",),
    rows=_channels,
    needed=("name", "protocol"),
    make=_new_channel,
    removes=("unit",),
    fields=(
        mrid_column("unit"),
        column("name", "Name", "名称", Literal("unit", "IdentifiedObject.name", required=True)),
        column("protocol", "Protocol", "规约", Literal("unit", f"{_UNIT}.protocol", required=True)),
        column("host", "Host", "主机", Literal("unit", f"{_UNIT}.host")),
        column("port", "Port", "端口", integer("unit", f"{_UNIT}.port", 0, 65535)),
        column(
            "stations", "Stations", "厂站", References("unit", f"{_UNIT}.Substation", "station"), "; between them", "以 ; 分隔"
        ),
        column("common_address", "Common address", "公共地址", integer("unit", f"{_UNIT}.commonAddress", 1, 65535)),
        column("unit_id", "Unit id", "单元号", integer("unit", f"{_UNIT}.unitId", 0, 255)),
        column(*_parameter("k", "k", "k")),
        column(*_parameter("w", "w", "w")),
        column(*_parameter("t0", "t0 s", "t0 秒")),
        column(*_parameter("t1", "t1 s", "t1 秒")),
        column(*_parameter("t2", "t2 s", "t2 秒")),
        column(*_parameter("t3", "t3 s", "t3 秒")),
        column(*_parameter("interrogationS", "Interrogation s", "总召周期 秒")),
        column(*_parameter("clockSyncS", "Clock synchronisation s", "对时周期 秒")),
        column(*_parameter("timeZoneMinutes", "Time zone min", "时区 分")),
        column(*_parameter("scanMs", "Scan ms", "扫描周期 ms")),
        column(*_parameter("publishingMs", "Publishing ms", "发布周期 ms")),
    ),
)


def _points(names: Names) -> list[dict[str, str]]:
    fed = names.inverse("RemoteSource.MeasurementValue")
    named = names.texts("MeasurementValue.RemoteSource")
    return [
        {"value": value, _M: measurement, "source": fed.get(value) or named.get(value, "")}
        for value, measurement in names.measurement_of.items()
    ]


def _new_point(row: NewRow) -> Objects:
    texts, names = row.texts, row.names
    resource = names.resolve("equipment", texts["equipment"])
    terminal = names.resolve("terminal", texts["terminal"]) if texts.get("terminal") else ""
    kind = KINDS.get(texts["kind"])
    if kind is None:
        raise CellError("choice", value=texts["kind"], choices=", ".join(KINDS))
    key = ("sheet", "point", resource, terminal, texts["type"], texts["name"])
    measurement, value = derived_mrid(*key), derived_mrid(*key, "value")
    value_class = next(name for name, one in VALUES.items() if one == kind)
    row.create(measurement, kind)
    row.create(value, value_class)
    row.refer(value, f"{value_class}.{kind}", measurement)
    row.name(value, texts["name"])
    return {"value": value, _M: measurement, "source": ""}


def _path(names: Names, row: Objects) -> str:
    return names.point_paths.get(row["value"], "")


def _station(names: Names, row: Objects) -> str:
    model = names.model
    return names.station_at(
        model.ref(row[_M], "Measurement.PowerSystemResource") or "", model.ref(row[_M], "Measurement.Terminal") or ""
    )


POINTS: Final = Sheet(
    name="points",
    titles=("points", "测点"),
    key="value",
    by=("path",),
    rows=_points,
    needed=("equipment", "name", "kind", "type"),
    make=_new_point,
    links={"source": ("RemoteSource", "RemoteSource.MeasurementValue")},
    removes=("value", "source", _M),
    fields=(
        mrid_column("value"),
        column(
            "path",
            "Path",
            "路径",
            Info(_path),
            "Made from station, voltage level, bay and name",
            "由厂站、电压等级、间隔与名称组成",
        ),
        column("station", "Station", "厂站", Info(_station)),
        column("name", "Name", "名称", Name(_M, "IdentifiedObject.name", required=True, followers=("value", "source"))),
        column(
            "equipment",
            "Equipment",
            "设备",
            Reference(_M, "Measurement.PowerSystemResource", "equipment", required=True),
            "Path or mRID",
            "路径或 mRID",
        ),
        column("terminal", "Terminal", "端子", Reference(_M, "Measurement.Terminal", "terminal"), "mRID", "mRID"),
        column("kind", "Kind", "类别", PointKindWord(), "discrete: the IEC 104 type decides", "discrete：由 IEC 104 类型决定"),
        column("type", "Measurement type", "量测类型", Literal(_M, "Measurement.measurementType")),
        column("phases", "Phases", "相别", Enumeration(_M, "Measurement.phases", "PhaseCode", _PHASES)),
        column("unit", "Unit", "单位", Unit(_M, "Measurement")),
        column("positive_flow_in", "Positive flow in", "流入为正", Literal(_M, "Analog.positiveFlowIn", "truth")),
        *address_columns("source"),
        column("deadband", "Dead band", "死区", number("source", "RemoteSource.deadband", 0)),
        column(
            "expression",
            "Expression",
            "计算公式",
            Literal("value", "sc:MeasurementValue.expression"),
            "Of a calculated point",
            "计算点",
        ),
        column("minimum", "Minimum", "下量程", Literal(_M, "{class}.minValue", "number", classes=_MEASURED)),
        column("maximum", "Maximum", "上量程", Literal(_M, "{class}.maxValue", "number", classes=_MEASURED)),
        column("states", "States", "状态", States(_M, "Discrete.ValueAliasSet"), "Such as 0=open; 1=closed", "例如 0=分; 1=合"),
        column(
            "alarm_class",
            "Alarm class",
            "告警等级",
            words(_M, "sc:Measurement.alarmClass", "ACCIDENT", "ABNORMAL", "LIMIT", "CHANGE", "NOTICE"),
        ),
        column(
            "priority", "Priority", "优先级", integer(_M, "sc:Measurement.alarmPriority", 1, 4), "1 highest to 4", "1 最高，至 4"
        ),
        column("normal_state", "Normal state", "正常状态", number(_M, "sc:Measurement.normalState")),
        column("alarm_delay", "Alarm delay s", "告警延时 秒", number(_M, "sc:Measurement.alarmDelay", 0, 3600)),
        column("alarm_off_delay", "Alarm off delay s", "复归延时 秒", number(_M, "sc:Measurement.alarmOffDelay", 0, 3600)),
        column("suppressed_by", "Suppressed by", "抑制测点", Reference(_M, "sc:Measurement.suppressedBy", "point", by_text=True)),
        column("history", "History", "历史压缩", words(_M, "sc:Measurement.historyCompression", "deadband", "swinging-door")),
        column("sample", "Sample s", "采样周期 秒", number(_M, "sc:Measurement.historySample", 0, 3600)),
        column("rate_limit", "Rate limit /s", "变化率上限 /秒", number(_M, "sc:Measurement.rateLimit", 0)),
        column("frozen_after", "Frozen after s", "不变时限 秒", number(_M, "sc:Measurement.frozenAfter", 0)),
        column("expected_every", "Expected every s", "应到周期 秒", number(_M, "sc:Measurement.expectedEvery", 0)),
    ),
)


def _limit_sets(names: Names) -> list[dict[str, str]]:
    return [{"set": mrid} for mrid in names.model.ids("AnalogLimitSet")]


def _new_limit_set(row: NewRow) -> Objects:
    mrid = derived_mrid("sheet", "limits", row.texts["name"])
    row.create(mrid, "AnalogLimitSet")
    return {"set": mrid}


LIMITS: Final = Sheet(
    name="limits",
    titles=("limits", "限值"),
    key="set",
    by=("name",),
    rows=_limit_sets,
    needed=("name", "points"),
    make=_new_limit_set,
    removes=("set",),
    fields=(
        mrid_column("set"),
        column("name", "Name", "名称", Literal("set", "IdentifiedObject.name")),
        column("points", "Points", "测点", LimitedPoints(), "Paths or mRIDs, ; between them", "路径或 mRID，以 ; 分隔"),
        column("lolo", "Low low", "下下限", LimitValue("lolo")),
        column("lo", "Low", "下限", LimitValue("lo")),
        column("hi", "High", "上限", LimitValue("hi")),
        column("hihi", "High high", "上上限", LimitValue("hihi")),
        column("hysteresis", "Hysteresis", "回差", number("set", f"{_SET}.hysteresis", 0)),
        column("delay", "Delay s", "延时 秒", number("set", f"{_SET}.delay", 0, 3600)),
        column("off_delay", "Off delay s", "复归延时 秒", number("set", f"{_SET}.offDelay", 0, 3600)),
        column("deviation", "Deviation", "偏差限值", number("set", f"{_SET}.deviation", 0)),
        column("reference", "Reference", "参考测点", Reference("set", f"{_SET}.reference", "point", by_text=True)),
        column("rate", "Rate /min", "变化率限值 /分", number("set", f"{_SET}.rate", 0)),
        column("rate_window", "Rate window s", "变化率窗口 秒", number("set", f"{_SET}.rateWindow", 0)),
    ),
)
