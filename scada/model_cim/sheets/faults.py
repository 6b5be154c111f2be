# ruff: noqa: RUF001 - Chinese texts have Chinese punctuation
"""What is wrong with a cell, a row or a file of a spreadsheet, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LANGUAGES: Final = ("en", "zh")

_TEXTS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "formula": (
        "holds a formula; formulas are never calculated here",
        "单元格是公式，本系统从不计算公式",
        "paste the value instead",
        "请粘贴为数值",
    ),
    "error-value": ("holds the error {value}", "单元格是错误值 {value}", "type the value", "请输入数值"),
    "date": (
        "holds a date or time",
        "单元格是日期或时间",
        "format the cell as text and type the value again",
        "请把单元格设为文本后重新输入",
    ),
    "merged": ("is part of merged cells", "是合并单元格的一部分", "unmerge them and fill each cell", "请取消合并并逐格填写"),
    "hidden": ("is a hidden or filtered row", "是隐藏或被筛选的行", "show all rows, or delete it", "请显示全部行，或删除该行"),
    "number": ("{value!r} is not a finite number", "{value!r} 不是有限数值", "digits with a decimal point", "请用数字和小数点"),
    "integer": ("{value!r} is not a whole number", "{value!r} 不是整数", "digits only", "只用数字"),
    "range": ("{value} is not within {low} to {high}", "{value} 不在 {low} 至 {high} 之内", "correct the value", "请更正"),
    "truth": ("{value!r} is neither true nor false", "{value!r} 既非 true 也非 false", "true or false", "填 true 或 false"),
    "choice": ("{value!r} is none of the words known here", "{value!r} 不是可选的词", "one of {choices}", "可选：{choices}"),
    "unit": ("{value!r} is not a unit known here", "{value!r} 不是已知单位", "such as MW, kV, A, Hz, %", "例如 MW、kV、A、Hz、%"),
    "states": ("{value!r} is not a list of states", "{value!r} 不是状态列表", "such as 0=open; 1=closed", "例如 0=分; 1=合"),
    "unknown": (
        "there is no {what} {value!r}",
        "没有{what} {value!r}",
        "give its mRID, path or name as exported",
        "请按导出的 mRID、路径或名称填写",
    ),
    "ambiguous": ("{value!r} names several of {what}", "{value!r} 对应多个{what}", "give the mRID", "请填 mRID"),
    "unknown-mrid": (
        "the model has no {value!r} of this sheet",
        "模型中没有本表的 {value!r}",
        "leave the mRID empty for a new row; Excel may have changed it: format the column as text",
        "新行请把 mRID 留空；也可能被 Excel 改写，请把该列设为文本",
    ),
    "duplicate": ("is the same object as row {row}", "与第 {row} 行是同一对象", "keep one of them", "只保留一行"),
    "no-key": ("has neither an mRID nor {columns}", "既无 mRID 也无 {columns}", "fill one of them", "请填写其一"),
    "read-only": (
        "is information only and differs from the model ({now!r})",
        "是只读信息，且与模型不同（{now!r}）",
        "leave it empty or export anew; a shifted column shows itself so",
        "请留空或重新导出；列错位也会如此显示",
    ),
    "made": (
        "the object is made by the template {template}",
        "该对象由模板 {template} 生成",
        "change the template, or add an sc:DeviceItem for this device",
        "请修改模板，或为该设备增加 sc:DeviceItem",
    ),
    "fixed": ("cannot be changed from {now!r}", "不能从 {now!r} 改动", "make a new row", "请新建一行"),
    "needed": ("a new row needs {columns}", "新行需要 {columns}", "fill them", "请填写"),
    "not-new": (
        "rows of this sheet cannot be made here",
        "本表不能新增行",
        "make the object in the CIM files first",
        "请先在 CIM 文件中建立该对象",
    ),
    "path": (
        "would get the path {now!r}",
        "所得路径将是 {now!r}",
        "correct equipment, terminal or name",
        "请更正设备、端子或名称",
    ),
    "exists": ("{value!r} is there already", "{value!r} 已存在", "give another name", "请另取名称"),
    "clash": (
        "another row of this import says otherwise of {what}",
        "本次导入的另一行对 {what} 说法不同",
        "let them agree",
        "请使其一致",
    ),
    "used": ("is still used by {by}", "仍被 {by} 使用", "remove that first", "请先删除使用者"),
    "clear-needed": ("cannot be cleared", "不能清除", "give another value", "请填其他值"),
    "heading": (
        "there is no column {value!r}",
        "没有列 {value!r}",
        "one of {choices}; headings that begin with # are remarks",
        "可选：{choices}；以 # 开头的为备注",
    ),
    "heading-twice": ("a second column {value!r}", "列 {value!r} 重复", "keep one of them", "只保留一列"),
    "too-wide": (
        "has more cells than the sheet has headings",
        "单元格多于表头列数",
        "clear the cells without a heading",
        "请清除无表头的单元格",
    ),
    "characters": ("holds characters that XML cannot carry", "含有 XML 不允许的字符", "type the text again", "请重新输入"),
}
"""Code -> text and hint in English and Chinese."""


class CellError(Exception):
    """A cell that cannot be used.

    Args:
        code: a key of the texts.
        values: what the texts name.
    """

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


@dataclass(frozen=True, slots=True)
class SheetFault:
    """One fault of an import, at its cell.

    Attributes:
        sheet: name of the sheet.
        row: row in the file, counted from 1 with the headings.
        column: field name, empty if the row as a whole is meant.
        code: what kind of fault.
        values: what its text names.
    """

    sheet: str
    row: int
    column: str
    code: str
    values: Mapping[str, object] = field(default_factory=dict)

    def text(self, language: str = "en") -> str:
        """What is wrong."""
        return _TEXTS[self.code][LANGUAGES.index(language)].format(**self.values)

    def hint(self, language: str = "en") -> str:
        """How to mend it."""
        return _TEXTS[self.code][2 + LANGUAGES.index(language)].format(**self.values)

    def line(self, language: str = "en") -> str:
        """``sheet:row column: text (hint)``.

        >>> SheetFault("points", 7, "ioa", "integer", {"value": "x"}).line()
        "points:7 ioa: 'x' is not a whole number (digits only)"
        """
        place = f"{self.sheet}:{self.row}" if self.row else self.sheet
        column = f" {self.column}" if self.column else ""
        return f"{place}{column}: {self.text(language)} ({self.hint(language)})"
