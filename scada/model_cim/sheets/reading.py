"""Workbooks and CSV files as tables of texts. Nothing in them is calculated, run or followed.

A workbook is scanned before it is read: an expat pass over each sheet finds formulas, merged and hidden rows, and how far the
sheet reaches, so that a small file cannot ask for much memory. The values are then read by calamine.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.parsers import expat

from python_calamine import CalamineError, CalamineWorkbook

from scada.core.errors import ModelError
from scada.model_cim.sheets.faults import CellError
from scada.model_cim.sheets.importing import Table
from scada.model_cim.sheets.writing import LAST_ROW, number_text

_LARGEST_FILE: Final = 256 << 20
_LARGEST_MEMBER: Final = 1 << 30
_HIGHEST_RATIO: Final = 200
"""A member that unpacks to more than so many times its size, and to more than 64 MiB, is a bomb; ours reach 25."""
_LARGE: Final = 64 << 20
_MOST_COLUMNS: Final = 256
_MOST_CELLS: Final = 40_000_000
_LONGEST_FIELD: Final = 16 << 20
_CELL: Final = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_CHUNK: Final = 1 << 20
_ASCII_HEAD: Final = re.compile(rb"""<\?xml version="1\.0"( encoding="(UTF-8|utf-8|US-ASCII)")?( standalone="(yes|no)")?\?>""")
_NOT_PLAIN: Final = re.compile(
    rb"""<f[\s/>]|<!|</?[\w.-]+:|<mergeCell|hidden\s*=|\st\s*=\s*["']e"""
    rb"""|<c(?=[\s/>])(?! r="[A-Z])|<row(?! r="\d)"""
)
"""Formulas, merged or hidden cells, errors, prefixes of elements, cells and rows without a place; whatever begins with ``<!``."""
_CELL_COLUMN: Final = re.compile(rb'<c r="([A-Z]+)')
_ROW_NUMBER: Final = re.compile(rb'<row r="(\d+)')
_ERRORS: Final = frozenset(
    {"#REF!", "#N/A", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#VALUE!", "#GETTING_DATA", "#SPILL!", "#CALC!"}
)
_APOSTROPHE: Final = re.compile(r"'+[=+\-@\t\r]")
_LOOKS_LIKE_FORMULA: Final = re.compile(r"[=@\t\r]|[+\-](?![\d.])")
_UNREADABLE: Final = (
    OSError, EOFError, zlib.error, expat.ExpatError, CalamineError, KeyError, ValueError, NotImplementedError, RuntimeError,
)  # fmt: skip
"""What zipfile, expat and calamine say of a file that is broken, encrypted or packed in a way they do not know."""
_SAVE_AS: Final = "save it as .xlsx (Excel workbook) or as CSV"


def read_tables(path: Path) -> list[Table]:
    """Sheets of a workbook, of a CSV file or of the CSV files of a folder. Empty sheets are left out.

    Raises:
        ModelError: it cannot be read, is no workbook, holds macros, or is larger than any sheet of a model.
    """
    if path.is_dir():
        files = sorted(path.glob("*.csv"))
        if not files:
            raise ModelError(
                "the folder holds no CSV file", where=str(path), mend="name a workbook, a CSV file or a folder of them"
            )
        return [table for file in files if _holds(table := read_csv(file), file)]
    if path.suffix.lower() in (".csv", ".txt", ".tsv"):
        return [table for table in (read_csv(path),) if _holds(table, path)]
    return read_workbook(path)


def _holds(table: Table, path: Path) -> bool:
    """False for an empty sheet. One that has rows below a first row that is empty must not be passed over as if it were.

    Raises:
        ModelError: there are rows, and no headings.
    """
    if not table.header and (table.faults or any(cell.strip() for _, cells in table.rows for cell in cells)):
        mend = "move the headings up: nothing may stand above them"
        raise ModelError("the first row has no headings", where=f"{path}: {table.name}", mend=mend)
    return bool(table.header)


def read_workbook(path: Path) -> list[Table]:
    """Sheets of a workbook. Whether each is a sheet of ours is for the import to say."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ModelError(f"is larger than {_LARGEST_FILE >> 20} MiB", where=str(path), mend="import it in parts")
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, path)
            scans = {name: _scan(archive, part, path) for name, part in _parts(archive).items()}
        with CalamineWorkbook.from_path(path) as book:
            return [
                table
                for name in book.sheet_names
                if name in scans and scans[name].rows and _holds(table := _table(book, name, scans[name]), path)
            ]
    except zipfile.BadZipFile as error:
        raise ModelError("is no .xlsx workbook", where=str(path), mend=_SAVE_AS) from error
    except _UNREADABLE as error:
        raise ModelError(f"the workbook cannot be read: {error}", where=str(path), mend=_SAVE_AS) from error


def _check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    for member in archive.infolist():
        if member.filename.lower().endswith("vbaproject.bin"):
            raise ModelError("the workbook holds macros", where=str(path), mend=_SAVE_AS)
        large = member.file_size > _LARGE and member.file_size > _HIGHEST_RATIO * max(member.compress_size, 1)
        if large or member.file_size > _LARGEST_MEMBER:
            raise ModelError(
                f"{member.filename} would unpack to {member.file_size} bytes", where=str(path), mend="import it in parts"
            )
    names = set(archive.namelist())
    if "[Content_Types].xml" not in names or "xl/workbook.xml" not in names:
        raise ModelError("is no .xlsx workbook", where=str(path), mend=_SAVE_AS)


def _parts(archive: zipfile.ZipFile) -> dict[str, str]:
    """Part of each sheet, by the sheet's name."""
    targets: dict[str, str] = {}
    sheets: dict[str, str] = {}

    def relation(name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            targets[attributes.get("Id", "")] = attributes.get("Target", "")

    def sheet(name: str, attributes: dict[str, str]) -> None:
        if name == "sheet":
            key = next((value for at, value in attributes.items() if at == "id" or at.endswith(":id")), "")
            sheets[attributes.get("name", "")] = key

    _parse(archive, "xl/_rels/workbook.xml.rels", relation)
    _parse(archive, "xl/workbook.xml", sheet)
    found = {}
    for name, key in sheets.items():
        target = targets.get(key, "")
        part = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
        if "worksheets/" in part:
            found[name] = part
    return found


@dataclass(slots=True)
class _Scan:
    """What a sheet is apart from its values."""

    rows: int = 0
    columns: int = 0
    formulas: list[tuple[int, int]] = field(default_factory=list)
    """(row from 1, column from 0)."""
    errors: list[tuple[int, int]] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    hidden: set[int] = field(default_factory=set)


def _scan(archive: zipfile.ZipFile, part: str, path: Path) -> _Scan:
    scan = _plain(archive, part) or _parsed(archive, part)
    if scan.rows > LAST_ROW or scan.columns > _MOST_COLUMNS or scan.rows * scan.columns > _MOST_CELLS:
        what = f"{part} reaches to row {scan.rows} and column {scan.columns}"
        raise ModelError(what, where=str(path), mend="delete the empty rows and columns after the data")
    return scan


def _plain(archive: zipfile.ZipFile, part: str) -> _Scan | None:
    """The scan of a sheet that has values only, as spreadsheet programs write it; None if there is anything else in it.

    A tenth of the time of parsing. Nothing can hide from it: in XML without document type, CDATA or comments, in an encoding
    that is ASCII where it matters, an element begins with ``<`` and its name, and a ``<`` in a value is never left bare.
    """
    rows, letters = 0, set[bytes]()
    with archive.open(part) as stream:
        rest = stream.read(_CHUNK)
        if _ASCII_HEAD.match(rest) is None:
            return None
        rest = rest[rest.index(b"?>") + 2 :]
        while True:
            more = stream.read(_CHUNK)
            end = rest.rfind(b"<") if more else len(rest)
            text, rest = rest[:end], rest[end:] + more
            if _NOT_PLAIN.search(text):
                return None
            letters.update(_CELL_COLUMN.findall(text))
            rows = max(rows, max(map(int, _ROW_NUMBER.findall(text)), default=0))
            if not more:
                break
    return _Scan(rows, max((_column(letter.decode()) + 1 for letter in letters), default=0))


def _parsed(archive: zipfile.ZipFile, part: str) -> _Scan:
    scan = _Scan()
    at = [0, 0]
    places: dict[str, int] = {}

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            reference = attributes.get("r")
            if reference is None:
                at[1] += 1
            else:
                letters = reference.rstrip("0123456789")
                column = places.get(letters)
                if column is None:
                    column = places[letters] = _column(letters)
                at[1] = column
            if at[1] >= scan.columns:
                scan.columns = at[1] + 1
            if attributes.get("t") == "e":
                scan.errors.append((at[0], at[1]))
        elif name == "row":
            number = attributes.get("r")
            at[0], at[1] = at[0] + 1 if number is None else int(number), -1
            scan.rows = max(scan.rows, at[0])
            if attributes.get("hidden") in ("1", "true"):
                scan.hidden.add(at[0])
        elif name == "f":
            scan.formulas.append((at[0], at[1]))
        elif name == "mergeCell":
            scan.merged.append(attributes.get("ref", ""))

    _parse(archive, part, start)
    return scan


def _parse(archive: zipfile.ZipFile, part: str, start: Callable[[str, dict[str, str]], None]) -> None:
    """Parse a part; the prefix of its elements does not count, and it may declare no entities."""

    def local(name: str, attributes: dict[str, str]) -> None:
        start(name.rpartition(":")[2], attributes)

    def refuse(*_: object) -> None:
        raise ValueError(f"{part} declares a document type")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = local
    with archive.open(part) as stream:
        parser.ParseFile(stream)


def _column(letters: str) -> int:
    """Column from 0 of its letters.

    >>> _column("A"), _column("AA")
    (0, 26)
    """
    if not 1 <= len(letters) <= 3 or not letters.isascii() or not letters.isalpha():
        raise ValueError(f"a cell is called {letters!r}")
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number - 1


def _table(book: CalamineWorkbook, name: str, scan: _Scan) -> Table:
    rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
    faults: dict[int, list[tuple[int, CellError]]] = {}
    texts = [_texts(number, row, faults) for number, row in enumerate(rows, 1)]
    last = max((row for row, _ in (*scan.formulas, *scan.errors)), default=0)
    texts += [[] for _ in range(last - len(texts))]  # a formula that was never calculated has no value to be read
    table = Table(name, _trimmed(texts[0]) if texts else [], list(enumerate(texts[1:], 2)), faults)
    for row, column in scan.errors:
        _mark(table, row, column, CellError("error-value", value=_text_at(texts, row, column) or "#"))
    for row, column in scan.formulas:
        _mark(table, row, column, CellError("formula"))
    for reference in scan.merged:
        for row, column in _merged(reference, len(texts)):
            _mark(table, row, column, CellError("merged"))
    for row in scan.hidden:
        if 1 < row <= len(texts) and any(texts[row - 1]):
            _mark(table, row, -1, CellError("hidden"))
    return table


def _trimmed(header: list[str]) -> list[str]:
    count = len(header)
    while count and not header[count - 1].strip():
        count -= 1
    return header[:count]


def _text_at(texts: list[list[str]], row: int, column: int) -> str:
    return texts[row - 1][column] if row <= len(texts) and column < len(texts[row - 1]) else ""


def _mark(table: Table, row: int, column: int, error: CellError) -> None:
    marks = table.faults.setdefault(row, [])
    if all(place != column for place, _ in marks):
        marks.append((column, error))


def _merged(reference: str, last: int) -> Iterator[tuple[int, int]]:
    """Cells of a merged range, the rows of the sheet only."""
    first, _, end = reference.partition(":")
    one, other = _CELL.fullmatch(first), _CELL.fullmatch(end or first)
    if one is None or other is None:
        return
    for row in range(int(one[2]), min(int(other[2]), last) + 1):
        yield row, _column(one[1])


def _texts(number: int, row: Sequence[object], faults: dict[int, list[tuple[int, CellError]]]) -> list[str]:
    texts: list[str] = []
    for place, value in enumerate(row):
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, bool):
            texts.append("true" if value else "false")
        elif isinstance(value, (int, float)):
            texts.append(number_text(float(value)))
        elif isinstance(value, (dt.date, dt.time, dt.timedelta)):
            texts.append(str(value))
            faults.setdefault(number, []).append((place, CellError("date")))
        else:
            texts.append(str(value))
    return texts


def read_csv(path: Path) -> Table:
    """A CSV file: comma, semicolon or tab; UTF-8 with or without byte order mark, UTF-16 with one, else GB 18030.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ModelError(f"is larger than {_LARGEST_FILE >> 20} MiB", where=str(path), mend="import it in parts")
        text = _decoded(path.read_bytes())
        records = _records(text)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ModelError(f"the CSV file cannot be read: {error}", where=str(path), mend="save it as CSV UTF-8") from error
    table = Table(path.stem, _trimmed(records[0]) if records else [], [])
    if len(records) > LAST_ROW:
        raise ModelError(f"has {len(records)} rows", where=str(path), mend="import it in parts")
    for number, cells in enumerate(records[1:], 2):
        table.rows.append((number, [_unquoted(cell, number, place, table) for place, cell in enumerate(cells)]))
    return table


def _records(text: str) -> list[list[str]]:
    """The rows. The longest field is a setting of the whole process: others keep theirs."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True))
    finally:
        csv.field_size_limit(before)


def _unquoted(cell: str, number: int, place: int, table: Table) -> str:
    if _APOSTROPHE.match(cell):
        return cell[1:]
    if cell.strip() in _ERRORS:
        table.faults.setdefault(number, []).append((place, CellError("error-value", value=cell.strip())))
    elif _LOOKS_LIKE_FORMULA.match(cell):
        table.faults.setdefault(number, []).append((place, CellError("formula")))
    return cell


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("gb18030")


def _delimiter(text: str) -> str:
    """What stands between the headings: of comma, semicolon and tab the one that gives the most of them."""
    head = text.partition("\n")[0]
    return max(",;\t", key=lambda sign: (head.count(sign), sign == ","))
