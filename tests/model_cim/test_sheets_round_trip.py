"""Exports give the same octets, and untouched ones change nothing."""

import csv
import io
import zipfile

import openpyxl
import pytest

from scada.model_cim.difference import apply_difference
from scada.model_cim.reader import ModelReader
from scada.model_cim.sheets.control_sheets import SHEETS
from scada.model_cim.sheets.importing import import_tables, sheet_named
from scada.model_cim.sheets.reading import read_tables
from scada.model_cim.sheets.writing import as_number, csv_text, number_text, views, write_csv_folder, write_workbook

ODD = ["1.50", "0.1", "007", "1E5", "9007199254740993", "1e-05", "-0", "0.30000000000000004", "1", "-2.5", "+3", ".5", "1e400"]


@pytest.fixture(scope="module")
def grid():
    from model_cim.conftest import ROOT

    return ModelReader(ROOT / "examples" / "demo-grid").read()


@pytest.fixture(scope="module")
def shown(grid):
    return views(grid)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_untouched_workbook_changes_nothing_and_is_the_same_file_each_time(grid, shown, tmp_path, language):
    one, other = tmp_path / "one.xlsx", tmp_path / "other.xlsx"
    write_workbook(one, shown, language)
    write_workbook(other, views(grid), language)
    assert one.read_bytes() == other.read_bytes()
    tables = read_tables(one)
    assert sum(len(table.rows) for table in tables) > 3000
    done = import_tables(grid, tables)
    assert (bool(done.difference), done.faults, done.changed) == (False, [], 0)
    assert not import_tables(grid, tables, prune=True).difference, "a complete sheet prunes nothing"


def test_the_file_holds_no_time_of_its_making(shown, tmp_path):
    write_workbook(tmp_path / "one.xlsx", shown[:1])
    with zipfile.ZipFile(tmp_path / "one.xlsx") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert b"2000-01-01T00:00:00Z</dcterms:created>" in archive.read("docProps/core.xml")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_untouched_csv_files_change_nothing(grid, shown, tmp_path, language):
    write_csv_folder(tmp_path, shown, language)
    tables = read_tables(tmp_path)
    assert len(tables) == len(SHEETS)
    done = import_tables(grid, tables, prune=True)
    assert (bool(done.difference), done.faults, done.removed) == (False, [], [])


@pytest.mark.parametrize("text", ODD)
def test_a_number_is_held_as_a_number_only_if_its_text_comes_back(text):
    value = as_number(text)
    assert value is None or number_text(value) == text
    assert (value is not None) == (text in ("0.1", "1e-05", "1", "-2.5"))


def test_texts_of_numbers_stay_as_the_model_has_them(tmp_path, write):
    body = "".join(
        f'<cim:RemoteUnit rdf:ID="_{number}E5"><cim:IdentifiedObject.name>00{number}</cim:IdentifiedObject.name>'
        f"<sc:RemoteUnit.protocol>iec104</sc:RemoteUnit.protocol><sc:RemoteUnit.t1>{text}</sc:RemoteUnit.t1></cim:RemoteUnit>\n"
        for number, text in enumerate(ODD)
    )
    model = ModelReader(write(body)).read()
    path = tmp_path / "odd.xlsx"
    write_workbook(path, views(model, [sheet_named("channels")]))
    (table,) = read_tables(path)
    heads = {title: place for place, title in enumerate(table.header)}
    assert {row[heads["mRID"]]: row[heads["t1 s"]] for _, row in table.rows} == {f"{i}E5": text for i, text in enumerate(ODD)}
    done = import_tables(model, [table])
    assert (bool(done.difference), done.faults) == (False, [])
    page = openpyxl.load_workbook(path)["channels"]
    assert page["A2"].data_type == "s", "an mRID that looks like a number is a text"


def test_another_reader_sees_texts_drop_downs_notes_and_frozen_panes(shown, tmp_path):
    write_workbook(tmp_path / "grid.xlsx", shown, "zh")
    book = openpyxl.load_workbook(tmp_path / "grid.xlsx")
    page = book["测点"]
    heads = {cell.value: cell for cell in page[1]}
    assert page.freeze_panes == "C2"
    assert heads["[路径]"].comment is not None
    assert heads["告警等级"].value == "告警等级"
    lists = {str(rule.sqref).split(":")[0]: rule.formula1 for rule in page.data_validations.dataValidation}
    assert lists[f"{heads['告警等级'].column_letter}2"] == '"ACCIDENT,ABNORMAL,LIMIT,CHANGE,NOTICE"'
    ioa = [cell.value for cell in page[heads["信息体地址"].column_letter][1:] if cell.value is not None]
    assert len(ioa) > 2000
    assert all(type(value) is int for value in ioa)


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@SUM(A1)", "'=x", '=HYPERLINK("http://x")'])
def test_a_name_that_looks_like_a_formula_is_written_as_text(tmp_path, write, name):
    from xml.sax.saxutils import escape

    model = ModelReader(
        write(
            f'<cim:RemoteUnit rdf:ID="_a"><cim:IdentifiedObject.name>{escape(name)}</cim:IdentifiedObject.name>'
            "<sc:RemoteUnit.protocol>mqtt</sc:RemoteUnit.protocol></cim:RemoteUnit>\n"
        )
    ).read()
    shown = views(model, [sheet_named("channels")])
    write_workbook(tmp_path / "a.xlsx", shown)
    cell = openpyxl.load_workbook(tmp_path / "a.xlsx")["channels"]["B2"]
    assert (cell.value, cell.data_type, cell.hyperlink) == (name, "s", None)
    write_csv_folder(tmp_path / "csv", shown)
    written = next(csv.DictReader(io.StringIO((tmp_path / "csv" / "channels.csv").read_text("utf-8-sig"))))["Name"]
    assert written == csv_text(name)
    assert written.startswith("'")
    for source in (tmp_path / "a.xlsx", tmp_path / "csv"):
        done = import_tables(model, read_tables(source))
        assert (bool(done.difference), done.faults) == (False, [])


def test_after_an_import_the_export_shows_what_the_sheet_said(grid, tmp_path):
    write_workbook(tmp_path / "a.xlsx", views(grid, [sheet_named("limits")]))
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    page = book["limits"]
    column = {cell.value: cell.column for cell in page[1]}
    page.cell(2, column["High high"]).value = 1234.5
    page.cell(3, column["Delay s"]).value = "7.50"
    book.save(tmp_path / "b.xlsx")
    done = import_tables(grid, read_tables(tmp_path / "b.xlsx"))
    assert (done.changed, done.faults) == (2, [])
    after = apply_difference(grid, done.difference)
    assert not import_tables(after, read_tables(tmp_path / "b.xlsx")).difference, "what was imported is no change any more"
    (limits,) = views(after, [sheet_named("limits")])
    assert limits.columns["hihi"][0] == "1234.5"
    assert limits.columns["delay"][1] == "7.50"
    back = apply_difference(after, done.difference.reversed())
    write_workbook(tmp_path / "c.xlsx", views(back, [sheet_named("limits")]))
    assert (tmp_path / "c.xlsx").read_bytes() == (tmp_path / "a.xlsx").read_bytes()
