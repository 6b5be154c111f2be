"""Plan files: both ways of a table, E-language text, and everything that is wrong in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from scada.apps.dispatch.days import labels, point_times
from scada.apps.dispatch.files import FileContext, read_e_text, read_rows

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
DAY = date(2026, 11, 22)
CONTEXT = FileContext(SHANGHAI, False, {"East": "East", "G1": "m-g1", "m-g1": "m-g1", "G2": "m-g2"}, DAY)


def clock(step=900, day=DAY, zone=SHANGHAI, at_midnight=False):
    return labels(point_times(day, zone, step, at_midnight=at_midnight), zone)


def rows(*lines):
    return list(enumerate(lines, 1))


def down(times, *columns):
    """A time a row."""
    heads = ["time", *(name for name, _ in columns)]
    return rows(heads, *([at, *(f"{values[place]}" for _, values in columns)] for place, at in enumerate(times)))


@pytest.mark.parametrize(("step", "count"), [(900, 96), (300, 288), (1800, 48), (3600, 24)])
def test_a_time_a_row(step, count):
    read = read_rows(down(clock(step), ("G1", range(count)), ("East", range(count))), CONTEXT)
    assert read.findings == []
    assert [(plan.target, plan.step_s, plan.mw, plan.whole) for plan in read.plans] == [
        (target, step, tuple(map(float, range(count))), True) for target in ("m-g1", "East")
    ]
    assert read.plans[0].start_ns == point_times(DAY, SHANGHAI, step)[0]


def test_a_time_a_column_with_day_and_number():
    heads = ["序号", "名称", "日期", *clock(at_midnight=True)]
    read = read_rows(rows(heads, ["1", "G1", "2026-11-23", *["50"] * 96], ["2", "G2", "2026-11-24", *["60"] * 96]), CONTEXT)
    assert read.findings == []
    assert [(plan.target, f"{plan.day}") for plan in read.plans] == [("m-g1", "2026-11-23"), ("m-g2", "2026-11-24")]
    # at 00:00 of its day, as its times say, whatever the site's habit is
    assert read.plans[0].start_ns == point_times(date(2026, 11, 23), SHANGHAI, 900, at_midnight=True)[0]


def test_numbers_of_points_go_by_the_habit_of_the_site():
    heads = ["name", *map(str, range(1, 97))]
    for at_midnight in (True, False):
        read = read_rows(rows(heads, ["G1", *["50"] * 96]), replace(CONTEXT, at_midnight=at_midnight))
        assert [plan.start_ns for plan in read.plans] == point_times(DAY, SHANGHAI, 900, at_midnight=at_midnight)[:1]


@pytest.mark.parametrize(("day", "count"), [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100)])
def test_a_day_of_the_change_of_clocks_has_its_own_number_of_points(day, count):
    context = replace(CONTEXT, zone=BERLIN, day=day)
    times = clock(day=day, zone=BERLIN)
    assert len(times) == count
    read = read_rows(down(times, ("G1", range(count))), context)
    assert read.findings == []
    [plan] = read.plans
    assert (plan.whole, len(plan.mw), plan.start_ns) == (True, count, point_times(day, BERLIN, 900)[0])
    wrong = read_rows(down(clock(), ("G1", range(96))), context)
    assert wrong.plans == []
    assert f"{count} quarters" in wrong.findings[0].mend


def test_a_wrong_name_is_told_with_the_one_that_was_meant():
    read = read_rows(down(clock(), ("G11", range(96)), ("G2", range(96))), CONTEXT)
    [finding] = read.findings
    assert (finding.where, finding.mend) == ("line 1, column 2", "did you mean G1?")


@pytest.mark.parametrize("bad", ["nan", "inf", "1,5", "abc", "1e999"])
def test_what_is_no_number_is_told_with_its_cell(bad):
    table = down(clock(), ("G1", range(96)))
    table[40][1][1] = bad
    read = read_rows(table, CONTEXT)
    assert read.plans == []
    assert (read.findings[0].where, len(read.findings)) == ("line 41, column 2", 1)


def test_a_half_written_file_is_no_plan_unless_it_shall_be_one():
    table = down(clock(), ("G1", range(96)))
    for _, cells in table[49:]:
        cells[1] = ""
    read = read_rows(table, CONTEXT)
    assert read.plans == []
    assert "half-written: 48 of 96" in read.findings[0].text
    read = read_rows(table, replace(CONTEXT, partial=True))
    assert [(len(plan.mw), plan.whole) for plan in read.plans] == [(48, False)]
    table[20][1][1] = ""
    read = read_rows(table, replace(CONTEXT, partial=True))
    assert [(one.where, one.text) for one in read.findings] == [("line 21, column 2", "no value")]


def test_a_row_too_few_or_twice_is_told():
    table = down(clock(), ("G1", range(96)))
    assert "hole" in read_rows([*table[:10], *table[11:]], CONTEXT).findings[0].text
    twice = [*table[:11], *table[10:]]
    assert "twice" in read_rows(twice, CONTEXT).findings[0].text


def test_two_plans_of_one_target_are_none():
    read = read_rows(down(clock(), ("G1", range(96)), ("m-g1", range(96))), CONTEXT)
    assert any("two plans" in one.text for one in read.findings)


def test_a_column_mw_needs_to_know_whose_it_is():
    table = down(clock(), ("mw", range(96)))
    assert "--unit" in read_rows(table, CONTEXT).findings[0].mend
    assert read_rows(table, replace(CONTEXT, target="m-g2")).plans[0].target == "m-g2"


def test_times_with_their_date_say_the_day():
    times = [f"2026-11-25 {at}" for at in clock()]
    [plan] = read_rows(down(times, ("G1", range(96))), replace(CONTEXT, day=None)).plans
    assert plan.day == date(2026, 11, 25)
    read = read_rows(down(clock(), ("G1", range(96))), replace(CONTEXT, day=None))
    assert "day of G1 is not said" in read.findings[0].text


@pytest.mark.parametrize("table", [[], rows(["time", "G1"]), rows(["what", "is", "this"], ["a", "b", "c"])])
def test_a_file_of_nothing_says_so(table):
    read = read_rows(table, CONTEXT)
    assert read.plans == []
    assert read.findings


def test_the_text_of_a_chinese_plan_file():
    text = "\n".join(
        [
            "<! Entity=华东 type=计划 dataTime='20261120 11:12:14' !>",
            "<DayPlan::G1 date='2026-11-26'>",
            "@ 序号 名称 " + " ".join(clock()),
            "// 一日 96 点",
            "# 1 G1 " + " ".join(["55.5"] * 96),
            "# 2 'G2' " + " ".join(["66"] * 96),
            "</DayPlan::G1>",
        ]
    )
    read = read_e_text(text, replace(CONTEXT, day=None))
    assert read.findings == []
    assert [(plan.target, f"{plan.day}", plan.mw[0]) for plan in read.plans] == [
        ("m-g1", "2026-11-26", 55.5),
        ("m-g2", "2026-11-26", 66.0),
    ]
    assert read_e_text("nothing", CONTEXT).findings
