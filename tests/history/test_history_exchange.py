"""CSV and Parquet files of history: round trips, what other readers see, and each way in which a file can be wrong."""

import io
import math
from datetime import UTC
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.quality import Quality
from scada.history.exchange import (
    PERIOD_VALUES,
    BadRow,
    CsvWriter,
    FileError,
    Page,
    Row,
    format_time,
    is_parquet,
    parse_time,
    read_csv,
)
from scada.history.interface import NOT_RECORDED

T0 = 1_700_000_000_000_000_000
ROWS = st.lists(st.tuples(st.integers(1, 2**62), st.floats(), st.integers(0, 2**32 - 1)), max_size=20)


def page(rows, path="S/V/P,1", mrid="m1"):
    times, values, words = zip(*rows, strict=True) if rows else ((), (), ())
    return Page(path, mrid, "MW", np.array(times, np.int64), {"value": np.array(values, float)}, np.array(words, np.uint32))


def csv_bytes(pages, **more):
    text = io.StringIO(newline="")
    writer = CsvWriter(text, **more)
    for one in pages:
        writer.write(one)
    writer.close()
    return text.getvalue().encode()


def same(row, given):
    time_ns, value, word = given
    values = row.value == value or (math.isnan(row.value) and math.isnan(value))
    return row.time_ns == time_ns and values and row.quality == word


@given(ROWS)
@settings(max_examples=30, deadline=None)
def test_csv_is_read_back_bit_for_bit_and_written_again_the_same(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("csv") / "a.csv"
    first = csv_bytes([page(rows)])
    file.write_bytes(first)
    read = list(read_csv(file))
    assert len(read) == len(rows)
    assert all(same(row, given) and row.point == "m1" for row, given in zip(read, rows, strict=True))
    again = page([(row.time_ns, row.value, row.quality) for row in read])
    assert csv_bytes([again]) == first


@given(ROWS)
@settings(max_examples=20, deadline=None)
def test_parquet_is_read_back_bit_for_bit(tmp_path_factory, rows):
    parquet = pytest.importorskip("scada.history.parquet")
    file = tmp_path_factory.mktemp("parquet") / "a.parquet"
    writer = parquet.ParquetWriter(file)
    writer.write(page(rows))
    writer.write(page(rows, path="S/2", mrid="m2"))
    writer.close()
    assert is_parquet(file)
    read = list(parquet.read_parquet(file))
    assert [row.line for row in read] == list(range(1, 2 * len(rows) + 1))
    assert all(same(row, given) for row, given in zip(read, rows * 2, strict=True))
    assert [row.point for row in read] == ["m1"] * len(rows) + ["m2"] * len(rows)


@pytest.mark.interop
def test_another_reader_of_parquet_sees_what_we_wrote(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    parquet = pytest.importorskip("scada.history.parquet")
    file = tmp_path / "a.parquet"
    writer = parquet.ParquetWriter(file)
    writer.write(page([(T0 + 7, 1.5, 0), (T0 + 1_000_000_000, math.nan, NOT_RECORDED), (T0 + 2_000_000_000, -2.0, 0x20)]))
    writer.close()
    sql = duckdb.connect()
    kinds = dict(sql.execute(f"select column_name, column_type from (describe select * from '{file}')").fetchall())
    assert kinds == {
        "time": "TIMESTAMPTZ_NS", "path": "VARCHAR", "mrid": "VARCHAR",
        "value": "DOUBLE", "unit": "VARCHAR", "marks": "VARCHAR", "quality": "UINTEGER",
    }  # fmt: skip
    rows = sql.execute(f"select epoch_ns(time), path, value, marks, quality from '{file}' order by time").fetchall()
    assert rows == [
        (T0 + 7, "S/V/P,1", 1.5, "", 0),
        (T0 + 1_000_000_000, "S/V/P,1", None, "-?*", NOT_RECORDED),
        (T0 + 2_000_000_000, "S/V/P,1", -2.0, "S", 0x20),
    ]


def test_a_csv_says_unknown_by_an_empty_value_and_shows_marks():
    bad = int(Quality.NOT_TOPICAL | Quality.SUBSTITUTED)
    lines = csv_bytes([page([(T0, math.nan, NOT_RECORDED), (T0 + 5_000_000, 0.1, bad)])]).decode().splitlines()
    assert lines[0] == "time,path,mrid,value,unit,marks,quality"
    assert lines[1] == f'2023-11-14T22:13:20.000Z,"S/V/P,1",m1,,MW,-?*,{NOT_RECORDED}'
    assert lines[2] == f'2023-11-14T22:13:20.005Z,"S/V/P,1",m1,0.1,MW,S*,{bad}'


def test_periods_have_their_statistics_and_are_not_imported(tmp_path):
    columns = {name: np.array([1.5]) for name in PERIOD_VALUES} | {"count": np.array([3], np.uint32)}
    one = Page("S/1", "m1", "", np.array([T0]), columns, np.array([0], np.uint32))
    file = tmp_path / "a.csv"
    file.write_bytes(csv_bytes([one], values=PERIOD_VALUES))
    assert file.read_text().splitlines()[1] == "2023-11-14T22:13:20.000Z,S/1,m1,1.5,1.5,1.5,1.5,1.5,3,1.5,,,0"
    with pytest.raises(FileError, match="periods cannot be imported"):
        list(read_csv(file))


@given(st.integers(1, 2**62), st.sampled_from([UTC, ZoneInfo("Asia/Shanghai"), ZoneInfo("America/St_Johns")]))
@settings(max_examples=50, deadline=None)
def test_a_time_comes_back_from_its_text_in_any_zone(time_ns, zone):
    assert parse_time(format_time(time_ns, zone)) == time_ns


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin"])
def test_the_repeated_hour_of_a_zone_is_told_apart_by_its_offset(zone):
    first = parse_time("2026-10-25T02:30:00+02:00")
    second = parse_time("2026-10-25T02:30:00+01:00")
    texts = {format_time(one, ZoneInfo(zone)) for one in (first, second)}
    assert len(texts) == 2
    assert {parse_time(one) for one in texts} == {first, second}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yesterday", "is not a time like"),
        ("2026-13-01T00:00:00Z", "month must be"),
        ("2026-02-30T00:00:00Z", "day"),
        ("2026-01-01T00:00:00", "has no offset"),
        ("1969-01-01T00:00:00Z", "between 1970 and 2262"),
        ("9999-01-01T00:00:00Z", "between 1970 and 2262"),
    ],
)
def test_what_is_no_time_is_refused_in_a_sentence(text, message):
    with pytest.raises(ValueError, match=message):
        parse_time(text)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2023-11-14T22:13:20Z,m1,1.5", "3 fields, not 4"),
        ("noon,m1,1.5,0", "is not a time"),
        ("2023-11-14T22:13:20Z,m1,much,0", "'much' is not a number"),
        ("2023-11-14T22:13:20Z,m1,1.5,good", "'good' is not a number"),
        ("2023-11-14T22:13:20Z,m1,1.5,-1", "not a word of 32 bits"),
        ("2023-11-14T22:13:20Z,,1.5,0", "names no point"),
    ],
)
def test_a_bad_row_is_named_with_line_and_reason_and_the_others_are_read(tmp_path, line, reason):
    file = tmp_path / "a.csv"
    good = "2023-11-14T22:13:20Z,m1,2,0x20"
    file.write_text(f"time,mrid,value,quality\n{good}\n{line}\n{good}\n")
    first, bad, last = read_csv(file)
    assert (first.line, first.quality, first.value) == (2, 0x20, 2.0)
    assert isinstance(bad, BadRow)
    assert bad.line == 3
    assert reason in bad.reason
    assert isinstance(last, Row)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "columns time, path, value, quality are missing"),
        (b"a,b\n1,2\n", "are missing"),
        (b"time,mrid,value,quality\n\xff\xfe,1,2,3\n", "not UTF-8"),
        (b'time,mrid,value,quality\n"' + b"x" * 200_000, "not CSV"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_whole(tmp_path, content, message):
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    with pytest.raises(FileError, match=message):
        list(read_csv(file))


def test_a_file_that_is_not_there_and_parquet_cut_short(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        is_parquet(tmp_path / "none")
    with pytest.raises(FileError, match="No such file"):
        list(read_csv(tmp_path / "none"))
    parquet = pytest.importorskip("scada.history.parquet")
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(FileError, match="not a sound Parquet file"):
        list(parquet.read_parquet(cut))
    with pytest.raises(FileError, match="cannot write"):
        parquet.ParquetWriter(tmp_path / "no" / "folder.parquet")
