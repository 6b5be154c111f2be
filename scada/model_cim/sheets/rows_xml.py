"""Rows of a workbook's sheet as XML, put into a workbook that has headings only.

xlsxwriter makes the workbook with its styles, notes and drop-down lists; for the cells it needs 6 us each, which is half a minute
for 100 000 points. Written directly they take a tenth of it (``bench/model``).
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

_DATE: Final = (1980, 1, 1, 0, 0, 0)
_LEVEL: Final = 3
_COLUMN: Final = re.compile(rb'<col min="(\d+)" max="(\d+)"[^>]*? style="(\d+)"')
_DIMENSION: Final = re.compile(rb'<dimension ref="A1(:[A-Z]+1)?"/>')
_END: Final = b"</sheetData>"
_SPECIAL: Final = re.compile(r"_x(?=[0-9A-Fa-f]{4}_)")
_ROWS_AT_ONCE: Final = 2_000
Column = tuple[Sequence[str], bool]
"""Texts, and whether they may be held as numbers."""


def fill(
    skeleton: bytes, path: Path, pages: Mapping[str, tuple[Sequence[Column], Sequence[str]]], held: Callable[[str], float | None]
) -> None:
    """Write a workbook with rows below its headings.

    Args:
        skeleton: the workbook with headings only.
        path: the file.
        pages: part of a sheet -> its columns, and the rows that are shown grey (a text that is not empty).
        held: the number a text may be held as.
    """
    with (
        zipfile.ZipFile(io.BytesIO(skeleton)) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as book,
    ):
        for name in source.namelist():
            data = source.read(name)
            member = zipfile.ZipInfo(name, _DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            with book.open(member, "w", force_zip64=name in pages) as part:
                if name not in pages:
                    part.write(data)
                    continue
                columns, grey = pages[name]
                head, end, tail = _wider(data, len(columns), len(grey)).partition(_END)
                part.write(head)
                for chunk in _rows(columns, grey, _styles(data), held):
                    part.write(chunk)
                part.write(end + tail)


def _wider(data: bytes, columns: int, rows: int) -> bytes:
    return _DIMENSION.sub(b'<dimension ref="A1:%s%d"/>' % (letters(columns - 1).encode(), rows + 1), data, count=1)


def _styles(data: bytes) -> list[str]:
    """Style of each column, as the skeleton says."""
    styles: list[str] = []
    for match in _COLUMN.finditer(data):
        first, last, style = (int(part) for part in match.groups())
        styles += ["0"] * (last - len(styles))
        styles[first - 1 : last] = [str(style)] * (last - first + 1)
    return styles


def letters(column: int) -> str:
    """Letters of a column counted from 0.

    >>> letters(0), letters(25), letters(26)
    ('A', 'Z', 'AA')
    """
    text = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text


def _rows(
    columns: Sequence[Column], grey: Sequence[str], styles: Sequence[str], held: Callable[[str], float | None]
) -> Iterator[bytes]:
    """XML of the rows, some thousands at a time. Rows shown grey have the style of the first column, which only informs."""
    bodies = [[_body(text, held if numeric else None) for text in _distinct(texts)] for texts, numeric in columns]
    known = [dict(zip(_distinct(texts), body, strict=True)) for (texts, _), body in zip(columns, bodies, strict=True)]
    starts = [f'<c r="{letters(place)}' for place in range(len(columns))]
    usual = [f'" s="{style}"' for style in styles[: len(columns)]]
    informing = [usual[0]] * len(columns)
    lines: list[str] = []
    for number, row in enumerate(zip(*(texts for texts, _ in columns), strict=True), 2):
        style = informing if grey[number - 2] else usual
        cells = [
            f"{starts[place]}{number}{style[place]}{known[place][text]}" for place, text in enumerate(row) if text
        ]  # fmt: skip
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
        if len(lines) >= _ROWS_AT_ONCE:
            yield "".join(lines).encode()
            lines.clear()
    yield "".join(lines).encode()


def _distinct(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _body(text: str, held: Callable[[str], float | None] | None) -> str:
    """End of a cell, from its type on."""
    value = held(text) if held else None
    if value is not None:
        return f"><v>{value:.16G}</v></c>"
    space = ' xml:space="preserve"' if text != text.strip() else ""
    said = escape(_SPECIAL.sub("_x005F_x", text)).replace("\r", "_x000D_")
    return f' t="inlineStr"><is><t{space}>{said}</t></is></c>'
