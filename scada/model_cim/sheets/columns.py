# ruff: noqa: RUF001 - Chinese texts have Chinese punctuation
"""Columns that several sheets have: mRID, name, protocol address, history and cleaning."""

from __future__ import annotations

import math

from scada.model_cim.modbus import DATA_TYPES
from scada.model_cim.sheets.kinds import Channel, FieldKind, Literal
from scada.model_cim.sheets.kinds_special import Info
from scada.model_cim.sheets.names import Names
from scada.model_cim.sheets.sheet import Field

_POINT = "sc:RemotePoint"


def column(name: str, en: str, zh: str, kind: FieldKind, note: str = "", note_zh: str = "") -> Field:
    """A column with its headings and notes in both languages."""
    return Field(name, (en, zh), kind, (note, note_zh))


def number(role: str, prop: str, low: float = -math.inf, high: float = math.inf) -> Literal:
    """A number."""
    return Literal(role, prop, "number", low, high)


def integer(role: str, prop: str, low: float, high: float) -> Literal:
    """A whole number."""
    return Literal(role, prop, "integer", low, high)


def words(role: str, prop: str, *choices: str) -> Literal:
    """One of some words."""
    return Literal(role, prop, choices=choices)


def mrid_column(role: str) -> Field:
    """The mRID by which a row is found; never changed."""

    def text(_: Names, row: object) -> str:
        return row[role]  # type: ignore[index,no-any-return]

    note, note_zh = (
        "Finds the object. Empty: a row found by its path or name, or a new one",
        "用于查找对象；留空则按路径或名称查找，或为新行",
    )
    return column("mrid", "mRID", "mRID", Info(text), note, note_zh)


def address_columns(role: str, *, required: bool = False) -> tuple[Field, ...]:
    """Channel and address of a point or control, by protocol."""
    channel = Channel(role, "RemotePoint.RemoteUnit", "channel", required=required)
    note, note_zh = "Name of the channel; cleared, the whole address goes", "通道名称；清除时整个地址一并删除"
    return (
        column("channel", "Channel", "通道", channel, note, note_zh),
        column(
            "common_address",
            "Common address",
            "公共地址",
            integer(role, f"{_POINT}.commonAddress", 1, 65535),
            "IEC 104, 1 to 65535; empty: that of the channel",
            "IEC 104，1 至 65535；空则取通道的",
        ),
        column("ioa", "IOA", "信息体地址", integer(role, f"{_POINT}.ioa", 1, 0xFFFFFF), "IEC 104", "IEC 104"),
        column("type_id", "Type id", "类型标识", integer(role, f"{_POINT}.typeId", 1, 127), "IEC 104", "IEC 104"),
        column("unit_id", "Unit id", "单元号", integer(role, f"{_POINT}.unitId", 0, 255), "Modbus", "Modbus"),
        column(
            "table", "Table", "数据区", words(role, f"{_POINT}.table", "coil", "discrete", "holding", "input"), "Modbus", "Modbus"
        ),
        column(
            "register", "Register", "寄存器", integer(role, f"{_POINT}.register", 0, 65535), "Modbus, from 0", "Modbus，从 0 起"
        ),
        column("data_type", "Data type", "数据类型", words(role, f"{_POINT}.dataType", *DATA_TYPES), "Modbus", "Modbus"),
        column("word_order", "Word order", "字序", words(role, f"{_POINT}.wordOrder", "big", "little"), "Modbus", "Modbus"),
        column("byte_order", "Byte order", "字节序", words(role, f"{_POINT}.byteOrder", "big", "little"), "Modbus", "Modbus"),
        column("bit", "Bit", "位", integer(role, f"{_POINT}.bit", 0, 63), "Modbus, first bit of a field", "Modbus，位段首位"),
        column("bits", "Bits", "位数", integer(role, f"{_POINT}.bits", 1, 64), "Modbus, width of the field", "Modbus，位段宽度"),
        column("mask", "Mask", "掩码", Literal(role, f"{_POINT}.mask"), "Modbus", "Modbus"),
        column("not_available", "Not available", "无效码", Literal(role, f"{_POINT}.notAvailable"), "Modbus", "Modbus"),
        column("raw_values", "Raw values", "原值映射", Literal(role, f"{_POINT}.values"), "Modbus, raw=value", "Modbus，原值=值"),
        column(
            "exponent_register",
            "Exponent register",
            "指数寄存器",
            integer(role, f"{_POINT}.exponentRegister", 0, 65535),
            "Modbus",
            "Modbus",
        ),
        column("scan_ms", "Scan ms", "扫描周期 ms", integer(role, f"{_POINT}.scanMs", 0, 86_400_000), "Modbus", "Modbus"),
        column(
            "node_id",
            "Node id",
            "节点标识",
            Literal(role, f"{_POINT}.nodeId"),
            "OPC UA, such as ns=2;s=W1.P",
            "OPC UA，例如 ns=2;s=W1.P",
        ),
        column(
            "index",
            "Index",
            "下标",
            integer(role, f"{_POINT}.index", -1, 2**31 - 1),
            "OPC UA, element of an array",
            "OPC UA，数组元素",
        ),
        column(
            "address",
            "Address",
            "地址",
            Literal(role, f"{_POINT}.address"),
            "Other protocols, such as MQTT",
            "其他规约，例如 MQTT",
        ),
        column(
            "scale", "Scale", "系数", number(role, f"{_POINT}.scale"), "value = raw * scale + offset", "值 = 原值 × 系数 + 偏移"
        ),
        column(
            "offset",
            "Offset",
            "偏移",
            number(role, f"{_POINT}.offset"),
            "value = raw * scale + offset",
            "值 = 原值 × 系数 + 偏移",
        ),
    )
