"""Sheets of a model as a workbook or as CSV files; the same model gives the same octets."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import xlsxwriter

from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel
from scada.model_cim.sheets.control_sheets import SHEETS
from scada.model_cim.sheets.faults import LANGUAGES, SheetFault
from scada.model_cim.sheets.importing import ERROR, Table, sheet_of
from scada.model_cim.sheets.kinds_special import LONGEST_CELL
from scada.model_cim.sheets.names import Names
from scada.model_cim.sheets.rows_xml import fill, letters
from scada.model_cim.sheets.sheet import Field, Sheet, View, view

LAST_ROW: Final = 1_048_576
"""Rows a sheet of a workbook can have."""
_CREATED: Final = dt.datetime(2000, 1, 1)  # noqa: DTZ001 - a fixed date, so that equal models give equal files
_VALIDATED: Final = 255
"""Characters a drop-down list of words can have."""
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
_PLAIN_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def views(model: CimModel, sheets: Iterable[Sheet] = SHEETS) -> list[View]:
    """What an export of a model shows."""
    names = Names(model)
    return [view(sheet, names) for sheet in sheets]


def heading(one: Field, language: str) -> str:
    """Heading of a column; in brackets if it only informs."""
    text = one.headings[LANGUAGES.index(language)]
    return text if one.kind.written or one.name == "mrid" else f"[{text}]"


def number_text(value: float) -> str:
    """A number of a workbook as text: whole ones without a point, others as short as they can be.

    >>> number_text(4.0), number_text(0.1)
    ('4', '0.1')
    """
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def as_number(text: str) -> float | None:
    """A text as the number a workbook may hold in its place; None where reading it back would give another text.

    >>> as_number("0.1"), as_number("1.50"), as_number("007")
    (0.1, None, None)
    """
    if not _PLAIN_NUMBER.fullmatch(text):
        return None
    value = float(f"{float(text):.16G}")
    return value if number_text(value) == text else None


def write_workbook(path: Path, shown: Sequence[View], language: str = "en") -> None:
    """Write sheets as one workbook.

    Raises:
        ModelError: a sheet has more rows or a cell more text than a workbook can hold, or the file cannot be written.
    """
    for one in shown:
        if len(one.objects) >= LAST_ROW:
            text = f"sheet {one.sheet.name} has {len(one.objects)} rows; a workbook ends at {LAST_ROW}"
            raise ModelError(text, where=str(path), mend="export as CSV: name a folder")
        for column in one.sheet.fields:
            row = next((row for row, text in enumerate(one.columns[column.name]) if len(text) > LONGEST_CELL), None)
            if row is not None:
                text = f"{one.sheet.name}: {column.name} of row {row + 2} is longer than a cell, {LONGEST_CELL} characters"
                raise ModelError(text, where=str(path), mend="export as CSV: name a folder")
    skeleton = io.BytesIO()
    with xlsxwriter.Workbook(skeleton, {"in_memory": True}) as book:
        book.set_properties({"created": _CREATED})
        for one in shown:
            _add_page(book, one, LANGUAGES.index(language), language)
    pages = {
        f"xl/worksheets/sheet{number}.xml": ([(one.columns[each.name], each.kind.numeric) for each in one.sheet.fields], one.made)
        for number, one in enumerate(shown, 1)
    }
    try:
        fill(skeleton.getvalue(), path, pages, as_number)
    except OSError as error:
        raise ModelError(
            f"cannot be written: {error}", where=str(path), mend="check the folder; close the file elsewhere"
        ) from error


def _add_page(book: xlsxwriter.Workbook, one: View, place: int, language: str) -> None:
    """A sheet with its headings, notes, drop-down lists and column styles, but no rows."""
    sheet = one.sheet
    page = book.add_worksheet(sheet.titles[place])
    head = book.add_format({"bold": True, "bg_color": "#D9E1F2", "border": 1, "text_wrap": True, "valign": "top"})
    info_head = book.add_format({"italic": True, "bg_color": "#E7E6E6", "border": 1, "text_wrap": True, "valign": "top"})
    text_format = book.add_format({"num_format": "@"})
    info = book.add_format({"num_format": "@", "font_color": "#7F7F7F", "bg_color": "#F2F2F2"})
    count = len(one.objects)
    for number, column in enumerate(sheet.fields):
        fixed = not column.kind.written
        page.set_column(number, number, _width(column, one.columns[column.name], place), info if fixed else text_format)
        page.write_string(0, number, heading(column, language), info_head if fixed else head)
        if column.notes[place]:
            page.write_comment(0, number, column.notes[place])
        if column.kind.choices and len(",".join(column.kind.choices)) <= _VALIDATED:
            rule = {"validate": "list", "source": list(column.kind.choices), "ignore_blank": True, "error_type": "warning"}
            page.data_validation(1, number, LAST_ROW - 1, number, rule)
    page.freeze_panes(1, 2)
    if count:
        page.autofilter(0, 0, count, len(sheet.fields) - 1)
        page.ignore_errors({"number_stored_as_text": f"A2:{letters(len(sheet.fields) - 1)}{count + 1}"})


def _width(column: Field, texts: Sequence[str], place: int) -> int:
    longest = max((len(text) for text in texts[:200]), default=0)
    return max(8, min(40, max(longest, len(column.headings[place])) + 2))


def csv_text(text: str) -> str:
    """A text as a cell of CSV: one that a spreadsheet program would take for a formula gets an apostrophe.

    >>> csv_text("=1+1"), csv_text("-5.5"), csv_text("'=x")
    ("'=1+1", '-5.5', "''=x")
    """
    return "'" + text if _FORMULA.match(text) and not _PLAIN_NUMBER.fullmatch(text) else text


def write_csv_folder(folder: Path, shown: Sequence[View], language: str = "en") -> None:
    """Write sheets as CSV files of a folder: UTF-8 with byte order mark, commas, CR LF; one file a sheet.

    Raises:
        ModelError: they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in shown:
            head = [heading(column, language) for column in one.sheet.fields]
            rows = zip(*(map(csv_text, one.columns[column.name]) for column in one.sheet.fields), strict=True)
            _write_csv(folder / f"{one.sheet.name}.csv", head, rows)
    except OSError as error:
        raise ModelError(f"cannot be written: {error}", where=str(folder), mend="check the folder") from error


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode("utf-8-sig"))


def write_errors(path: Path, tables: Sequence[Table], faults: Sequence[SheetFault], language: str = "en") -> None:
    """Write the rows that have faults, as they were given, with a column that says what is wrong; the wrong cells are red.

    A workbook if the name ends with ``.xlsx``, else one CSV file. Mended, it can be imported as it is.

    Raises:
        ModelError: it cannot be written.
    """
    by_row: dict[tuple[str, int], list[SheetFault]] = {}
    for fault in faults:
        by_row.setdefault((fault.sheet, fault.row), []).append(fault)
    try:
        if path.suffix.lower() == ".xlsx":
            _write_error_book(path, tables, by_row, language)
            return
        lines = [("sheet", "row", "column", "code", "text", "hint")]
        lines += [(one.sheet, str(one.row), one.column, one.code, one.text(language), one.hint(language)) for one in faults]
        _write_csv(path, [csv_text(cell) for cell in lines[0]], [[csv_text(cell) for cell in line] for line in lines[1:]])
    except OSError as error:
        raise ModelError(f"cannot be written: {error}", where=str(path), mend="check the folder") from error


def _write_error_book(
    path: Path, tables: Sequence[Table], by_row: Mapping[tuple[str, int], list[SheetFault]], language: str
) -> None:
    with xlsxwriter.Workbook(path) as book:
        book.set_properties({"created": _CREATED})
        head = book.add_format({"bold": True, "bg_color": "#D9E1F2", "border": 1})
        text_format = book.add_format({"num_format": "@"})
        red = book.add_format({"num_format": "@", "bg_color": "#FFC7CE", "font_color": "#9C0006"})
        for table in tables:
            rows = {number for sheet, number in by_row if sheet == table.name}
            if not rows:
                continue
            page = book.add_worksheet(table.name[:31])
            page.freeze_panes(1, 2)
            page.set_column(0, len(table.header), 18, text_format)
            page.set_column(0, 0, 60, text_format)
            page.write_string(0, 0, ERROR, head)
            for place, title in enumerate(table.header):
                page.write_string(0, place + 1, title, head)
            about = [one for row in (0, 1) for one in by_row.get((table.name, row), ())]
            if about:
                page.write_comment(0, 0, "\n".join(one.line(language) for one in about))
            given = [(number, cells) for number, cells in table.rows if number in rows]
            for row, (number, cells) in enumerate(given, 1):
                found = by_row[table.name, number]
                wrong = {one.column for one in found}
                page.write_string(row, 0, "; ".join(_said(one, language) for one in found), red)
                for place, cell in enumerate(cells):
                    title = table.header[place] if place < len(table.header) else ""
                    page.write_string(row, place + 1, cell, red if _names(table, title) & wrong else text_format)


def _said(fault: SheetFault, language: str) -> str:
    column = f"{fault.column} " if fault.column else ""
    return f"{column}{fault.text(language)} ({fault.hint(language)})"


def _names(table: Table, title: str) -> set[str]:
    sheet = sheet_of(table)
    column = None if sheet is None else sheet.field(title)
    return {title} if column is None else {title, column.name}
