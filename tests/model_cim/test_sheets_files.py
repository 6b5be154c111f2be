"""What a workbook or CSV file may hold, and what is done with it."""

import contextlib
import datetime as dt
import re
import zipfile

import openpyxl
import pytest
import xlsxwriter
from openpyxl.utils import get_column_letter

from scada.core.errors import ModelError
from scada.model_cim.points import load_model
from scada.model_cim.sheets import reading
from scada.model_cim.sheets.importing import import_tables, sheet_named
from scada.model_cim.sheets.reading import read_csv, read_tables
from scada.model_cim.sheets.writing import views, write_errors, write_workbook


@pytest.fixture(scope="module")
def grid():
    from model_cim.conftest import ROOT

    return load_model(ROOT / "examples" / "demo-grid")


@pytest.fixture
def book(grid, tmp_path):
    """The channels of the demo grid as another program holds them: workbook, page, column by heading."""
    write_workbook(tmp_path / "a.xlsx", views(grid[0], [sheet_named("channels")]))
    opened = openpyxl.load_workbook(tmp_path / "a.xlsx")
    page = opened["channels"]

    def saved():
        opened.save(tmp_path / "b.xlsx")
        return read_tables(tmp_path / "b.xlsx")

    return opened, page, {cell.value: cell.column for cell in page[1]}, saved


def patched(path, target, part, edit):
    """A copy of a workbook with one part changed."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in source.namelist():
            data = source.read(name)
            copy.writestr(name, edit(data) if name == part else data)
    return target


def _with_prefix(data):
    """The same XML with a prefix before every element."""
    head, body = data.split(b"?>", 1)
    return head + b"?>" + re.sub(rb"<(/?)(?=[a-zA-Z])", rb"<\1x:", body).replace(b' xmlns="', b' xmlns:x="', 1)


def codes(done):
    return [(fault.row, fault.column, fault.code) for fault in done.faults]


def test_rows_below_an_empty_first_row_are_not_passed_over(book, tmp_path):
    """A row put in above the headings: whatever was edited in that sheet would be lost, and nobody told."""
    _, page, _, saved = book
    page.insert_rows(1)
    with pytest.raises(ModelError, match="no headings"):
        saved()
    (tmp_path / "channels.csv").write_text(",,\nName,Port\nBeishan RTU,1\n")
    for path in (tmp_path, tmp_path / "channels.csv"):
        with pytest.raises(ModelError, match="no headings"):
            read_tables(path)
    (tmp_path / "channels.csv").write_text("\n,\n")
    assert read_tables(tmp_path) == []


def test_formulas_errors_dates_and_booleans(grid, book):
    _, page, column, saved = book
    page.cell(2, column["t1 s"]).value = "=10+5"
    page.cell(3, column["t1 s"]).value = "#REF!"
    page.cell(3, column["t1 s"]).data_type = "e"
    page.cell(4, column["t1 s"]).value = dt.datetime(2026, 1, 2)  # noqa: DTZ001
    page.cell(4, column["t1 s"]).number_format = "yyyy-mm-dd"
    page.cell(5, column["Host"]).value = True
    page.cell(6, column["t1 s"]).value = "  17.50 "
    done = import_tables(grid[0], saved())
    assert codes(done) == [(2, "t1", "formula"), (3, "t1", "error-value"), (4, "t1", "date")]
    assert {one.value for one in done.difference.forward} == {"true", "17.50"}


def test_a_formula_with_a_value_kept_beside_it_is_still_a_fault(grid, tmp_path):
    model, tables, _ = grid
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as made:
        page = made.add_worksheet("channels")
        page.write_row(0, 0, ["name", "port"])
        page.write_string(1, 0, tables.channels[0].name)
        page.write_formula(1, 1, "=2000+404", None, 2404)
    done = import_tables(model, read_tables(tmp_path / "a.xlsx"))
    assert codes(done) == [(2, "port", "formula")]
    assert not done.difference
    prefixed = patched(tmp_path / "a.xlsx", tmp_path / "b.xlsx", "xl/worksheets/sheet1.xml", _with_prefix)
    assert codes(import_tables(model, read_tables(prefixed))) == [(2, "port", "formula")], "whatever the prefix of its elements"


def test_merged_cells_hidden_rows_and_blank_rows(grid, book):
    _, page, column, saved = book
    letter = get_column_letter(column["Host"])
    page.merge_cells(f"{letter}2:{letter}3")
    page.row_dimensions[5].hidden = True
    page.cell(30, column["Host"]).value = "   "
    done = import_tables(grid[0], saved())
    assert codes(done) == [(2, "host", "merged"), (3, "host", "merged"), (5, "", "hidden")]


def test_a_cell_far_away_does_not_fill_the_memory(book):
    _, page, _, saved = book
    page.cell(1_048_576, 200).value = "x"
    with pytest.raises(ModelError, match="reaches to row 1048576"):
        saved()


def test_a_cell_beyond_any_sheet_is_refused(tmp_path, grid):
    write_workbook(tmp_path / "a.xlsx", views(grid[0], [sheet_named("channels")]))
    for wrong in (b'r="A99999999"', b'r="ABCD2"', b'r="XFD2"'):
        bad = patched(
            tmp_path / "a.xlsx",
            tmp_path / "b.xlsx",
            "xl/worksheets/sheet1.xml",
            lambda data, wrong=wrong: data.replace(b'r="A2"', wrong),
        )
        if wrong == b'r="A99999999"':
            bad = patched(
                bad,
                tmp_path / "c.xlsx",
                "xl/worksheets/sheet1.xml",
                lambda data: data.replace(b'<row r="2"', b'<row r="99999999"'),
            )
        with pytest.raises(ModelError):
            read_tables(bad)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, grid):
    write_workbook(tmp_path / "a.xlsx", views(grid[0], [sheet_named("channels")]))
    bomb = patched(tmp_path / "a.xlsx", tmp_path / "b.xlsx", "xl/worksheets/sheet1.xml", lambda data: data + b" " * (80 << 20))
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(ModelError, match="would unpack to"):
        read_tables(bomb)


def test_an_entity_is_refused(tmp_path, grid):
    write_workbook(tmp_path / "a.xlsx", views(grid[0], [sheet_named("channels")]))
    doctype = b'?>\n<!DOCTYPE worksheet [<!ENTITY a "aaaa">]>'
    bad = patched(
        tmp_path / "a.xlsx", tmp_path / "b.xlsx", "xl/worksheets/sheet1.xml", lambda data: data.replace(b"?>", doctype, 1)
    )
    with pytest.raises(ModelError, match="document type"):
        read_tables(bad)


def test_macros_are_refused_and_links_to_other_files_are_not_followed(tmp_path, grid, book):
    opened, _, _, saved = book
    link = openpyxl.workbook.external_link.ExternalLink(externalBook=openpyxl.workbook.external_link.external.ExternalBook())
    link.file_link = openpyxl.packaging.relationship.Relationship(
        type="externalLinkPath", Target="http://192.0.2.1/x.xlsx", TargetMode="External"
    )
    opened._external_links.append(link)
    assert not import_tables(grid[0], saved()).difference
    with zipfile.ZipFile(tmp_path / "b.xlsx", "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"macro")
    with pytest.raises(ModelError, match="macros"):
        read_tables(tmp_path / "b.xlsx")


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04" + b"\0" * 40, b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_workbook_is_named(tmp_path, data):
    (tmp_path / "a.xlsx").write_bytes(data)
    with pytest.raises(ModelError, match=r"a\.xlsx: (is no \.xlsx workbook|the workbook cannot be read)"):
        read_tables(tmp_path / "a.xlsx")


def test_a_workbook_cut_off_anywhere_is_an_error_and_never_a_traceback(tmp_path, grid):
    write_workbook(tmp_path / "a.xlsx", views(grid[0], [sheet_named("channels")]))
    data = (tmp_path / "a.xlsx").read_bytes()
    for end in range(0, len(data), len(data) // 40):
        (tmp_path / "b.xlsx").write_bytes(data[:end])
        with pytest.raises(ModelError):
            read_tables(tmp_path / "b.xlsx")
    for at in range(0, len(data), len(data) // 60):
        (tmp_path / "b.xlsx").write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            import_tables(grid[0], read_tables(tmp_path / "b.xlsx"))
        except ModelError:
            continue


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_of_any_program(tmp_path, grid, encoding, sign, end):
    lines = [["名称", "主机", "t1 秒"], [grid[1].channels[0].name, "北山-调度", "16.50"], ["", "", ""]]
    (tmp_path / "通道.csv").write_bytes(end.join(sign.join(line) for line in lines).encode(encoding))
    done = import_tables(grid[0], read_tables(tmp_path / "通道.csv"))
    assert codes(done) == []
    assert {one.value for one in done.difference.forward} == {"北山-调度", "16.50"}


def test_csv_cells_that_look_like_formulas(tmp_path, grid):
    name = grid[1].channels[0].name
    (tmp_path / "channels.csv").write_text(f"name,host,port\n{name},=cmd|' /C calc'!A0,#REF!\n", encoding="utf-8")
    assert codes(import_tables(grid[0], [read_csv(tmp_path / "channels.csv")])) == [
        (2, "host", "formula"),
        (2, "port", "error-value"),
    ]


@pytest.mark.parametrize("data", [b'a,"b\n', b"\xff\xff\xff\x00", b"a,b\0c\n\x81"])
def test_broken_csv_is_named_or_read(tmp_path, data):
    (tmp_path / "a.csv").write_bytes(data)
    with contextlib.suppress(ModelError):
        assert read_csv(tmp_path / "a.csv").name == "a"


def test_the_error_sheet_holds_the_wrong_rows_coloured_and_can_be_imported_when_mended(grid, book, tmp_path):
    _, page, column, saved = book
    page.cell(2, column["Port"]).value = "seventy"
    page.cell(3, column["t1 s"]).value = 14
    tables = saved()
    done = import_tables(grid[0], tables)
    write_errors(tmp_path / "wrong.xlsx", tables, done.faults, "zh")
    wrong = openpyxl.load_workbook(tmp_path / "wrong.xlsx")
    sheet = wrong["channels"]
    assert sheet.max_row == 2, "only the wrong row"
    assert "整数" in sheet["A2"].value
    red = [cell.column for cell in sheet[2] if cell.fill.fgColor.rgb == "FFFFC7CE"]
    assert red == [1, column["Port"] + 1]
    sheet.cell(2, column["Port"] + 1).value = 2405
    wrong.save(tmp_path / "mended.xlsx")
    again = import_tables(grid[0], read_tables(tmp_path / "mended.xlsx"))
    assert (codes(again), {one.value for one in again.difference.forward}) == ([], {"2405"})
    write_errors(tmp_path / "wrong.csv", tables, done.faults)
    table = read_csv(tmp_path / "wrong.csv")
    assert table.rows[0][1][:4] == ["channels", "2", "port", "integer"]


def test_a_sheet_of_values_is_scanned_the_short_way_with_the_same_result(grid, tmp_path):
    part = "xl/worksheets/sheet1.xml"
    write_workbook(tmp_path / "a.xlsx", views(grid[0], [sheet_named("points")]))
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        short, long = reading._plain(archive, part), reading._parsed(archive, part)
        assert short == long
        assert (short.rows, short.columns) == (len(grid[1].points) + 1, len(sheet_named("points").fields))
    anything = [b"<f>1</f>", b"<x:f>1</x:f>", b"<!--<f>-->", b"<![CDATA[<f>]]>", b"<mergeCells/>", b'<c t="e"/>', b"<c s='1'/>"]
    for extra in (*anything, b'<row hidden="1"/>'):
        end = extra + b"</sheetData>"
        odd = patched(tmp_path / "a.xlsx", tmp_path / "b.xlsx", part, lambda data, end=end: data.replace(b"</sheetData>", end))
        with zipfile.ZipFile(odd) as archive:
            assert reading._plain(archive, part) is None, extra
    for encoding in ("utf-16", "utf-8-sig"):
        odd = patched(
            tmp_path / "a.xlsx", tmp_path / "b.xlsx", part, lambda data, encoding=encoding: data.decode().encode(encoding)
        )
        with zipfile.ZipFile(odd) as archive:
            assert reading._plain(archive, part) is None, encoding
