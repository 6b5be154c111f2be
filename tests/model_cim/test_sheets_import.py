"""What an import changes, makes and refuses."""

import csv

import pytest

from scada.core.errors import ModelError
from scada.model_cim.difference import apply_difference
from scada.model_cim.points import build_tables, load_model
from scada.model_cim.reader import ModelReader
from scada.model_cim.regulation import ForbiddenZone
from scada.model_cim.schema import load_schema
from scada.model_cim.sheets.faults import CellError
from scada.model_cim.sheets.importing import Table, import_tables, sheet_named
from scada.model_cim.sheets.reading import read_csv
from scada.model_cim.sheets.writing import views
from scada.model_cim.statements import Difference, Statement, ValueKind


@pytest.fixture(scope="module")
def grid():
    from model_cim.conftest import ROOT

    return load_model(ROOT / "examples" / "demo-grid")


@pytest.fixture(scope="module")
def devices():
    from model_cim.conftest import ROOT

    return ModelReader(ROOT / "examples" / "devices").read()


def table(sheet, *rows):
    heads = list(rows[0])
    return Table(sheet, heads, [(number, [row.get(head, "") for head in heads]) for number, row in enumerate(rows, 2)])


def codes(done):
    return [(fault.row, fault.column, fault.code) for fault in done.faults]


def said(done):
    return {(one.prop, one.value) for one in done.difference.forward}


def analog(tables):
    return next(point for point in tables.points if point.channel >= 0 and point.measurement_type == "ThreePhaseActivePower")


def test_one_row_and_two_columns_by_path_change_two_values(grid):
    model, tables, _ = grid
    point = analog(tables)
    done = import_tables(model, [table("points", {"死区": "0.75", "path": point.path, "ALARM CLASS": "ABNORMAL"})])
    assert codes(done) == []
    assert said(done) == {("RemoteSource.deadband", "0.75"), ("sc:Measurement.alarmClass", "ABNORMAL")}
    after = build_tables(apply_difference(model, done.difference))[0].by_mrid[point.mrid]
    assert (after.deadband, after.alarm_class.name) == (0.75, "ABNORMAL")


def test_an_empty_cell_leaves_and_the_marker_clears(grid):
    model, tables, _ = grid
    point = analog(tables)
    row = {"mrid": point.mrid, "deadband": "", "ioa": ""}
    assert not import_tables(model, [table("points", row)]).difference
    done = import_tables(model, [table("points", row | {"deadband": "<清除>"})])
    assert not done.difference.forward
    assert [one.prop for one in done.difference.reverse] == ["RemoteSource.deadband"]


def test_the_same_number_written_otherwise_is_no_change(grid):
    model, tables, _ = grid
    point = analog(tables)
    done = import_tables(model, [table("points", {"mrid": f"_{point.mrid}", "deadband": f"{point.deadband:.6f}"})])
    assert (bool(done.difference), codes(done)) == (False, [])


def test_a_new_row_makes_a_point_with_all_its_objects(grid):
    model, tables, _ = grid
    breaker = next(control for control in tables.controls if control.control_type == "SwitchPosition")
    above = breaker.path.rpartition("/")[0]
    row = {
        "path": f"{above}/Cubicle temperature", "kind": "analog", "type": "OilTemperature", "unit": "°C",
        "channel": tables.channels[breaker.channel].name, "ioa": "20001", "type_id": "13", "priority": "2",
    }  # fmt: skip
    done = import_tables(model, [table("points", row)])
    assert (codes(done), done.new) == ([], 1)
    assert sorted(done.difference.added.values()) == ["Analog", "AnalogValue", "RemoteSource"]
    edited, findings = build_tables(apply_difference(model, done.difference))
    point = edited.by_path[row["path"]]
    assert (point.unit, point.address.ioa, point.priority, point.kind.name) == ("°C", 20001, 2, "ANALOG")
    assert len(findings) == len(grid[2])
    again = import_tables(model, [table("points", row)])
    assert again.difference.added == done.difference.added, "its mRIDs follow from what it is"


def test_new_controls_channels_limits_and_forwarding_rows(grid):
    model, tables, _ = grid
    forwarded = {row.pid for row in tables.upstream[0].points}
    point = next(one for one in tables.points if one.kind.name == "ANALOG" and one.pid not in forwarded)
    switch = next(control for control in tables.controls if control.feedback is not None and control.kind.name == "DOUBLE")
    station = tables.upstream[0].name
    sheets = [
        table("channels", {"name": "New RTU", "protocol": "iec104", "host": "10.0.0.9", "port": "2404", "stations": "Beishan"}),
        table("limits", {"name": "narrow", "points": point.path, "lo": "1", "hi": "2.50", "delay": "3"}),
        table("forwarded points", {"station": station, "point": point.path, "ioa": "30000", "type_id": "13"}),
        table(
            "controls",
            {
                "path": switch.path + " test", "equipment": switch.equipment, "name": switch.name + " test", "kind": "double",
                "type": "SwitchPosition", "channel": tables.channels[switch.channel].name, "ioa": "30001", "type_id": "46",
                "feedback": tables.points[switch.feedback].path, "device_number": "0042",
            },
        ),
    ]  # fmt: skip
    done = import_tables(model, sheets)
    assert (codes(done), done.new) == ([], 4)
    after = build_tables(apply_difference(model, done.difference))[0]
    assert after.channels[-1].host == "10.0.0.9"
    limits = after.by_mrid[point.mrid].limits
    assert (limits.lo, limits.hi, limits.delay_s) == (1.0, 2.5, 3.0)
    assert 30000 in {row.address.ioa for row in after.upstream[0].points}
    assert after.controls[-1].device_number == "0042"
    assert after.points[after.controls[-1].feedback].path == tables.points[switch.feedback].path


def test_agc_and_avc_parameters_come_back(grid):
    model, tables, _ = grid
    unit = tables.areas[0].units[0]
    zone = model.ids("VoltageControlZone")[0]
    pilot = model.refs_to(zone, "sc:RegulatingControl.VoltageControlZone")[0]
    sheets = [
        table("AGC 机组", {"mRID": unit.mrid, "升速率 MW/分": "7.25", "禁止运行区 MW": "10..20; 40..45"}),
        table("agc_areas", {"name": tables.areas[0].name, "bias": "-30"}),
        table("avc_pilots", {"mrid": pilot, "target": "227.5"}),
    ]  # fmt: skip
    done = import_tables(model, sheets)
    assert codes(done) == []
    after = build_tables(apply_difference(model, done.difference))[0]
    unit = after.areas[0].units[0]
    assert (unit.ramp_up, unit.forbidden) == (7.25, (ForbiddenZone(10.0, 20.0), ForbiddenZone(40.0, 45.0)))
    assert after.areas[0].bias == -30
    assert after.zones[0].pilots[0].target == 227.5


def test_the_address_goes_too_where_the_value_names_its_source(grid):
    model, tables, _ = grid
    mrid = analog(tables).mrid
    source = model.refs_to(mrid, "RemoteSource.MeasurementValue")[0]
    turned = model.edited(
        Difference(
            {},
            {},
            (Statement(mrid, "MeasurementValue.RemoteSource", source, ValueKind.REF),),
            (Statement(source, "RemoteSource.MeasurementValue", mrid, ValueKind.REF),),
        )
    )
    done = import_tables(turned, [table("points", {"mrid": mrid, "channel": "<clear>"})])
    assert codes(done) == []
    after = apply_difference(turned, done.difference)
    assert source not in after
    assert after.ref(mrid, "MeasurementValue.RemoteSource") is None


def test_limits_come_go_and_change_with_their_objects(grid):
    model = grid[0]
    (shown,) = views(model, [sheet_named("limits")])
    row = next(place for place, text in enumerate(shown.columns["hihi"]) if text)
    mrid = shown.columns["mrid"][row]
    done = import_tables(model, [table("limits", {"mrid": mrid, "hihi": "<clear>", "rate": "5"})])
    assert codes(done) == []
    assert list(done.difference.removed.values()) == ["AnalogLimit"]
    assert len(done.difference.reverse) >= 3, "a limit that goes is listed with all its values"
    assert said(done) == {("sc:AnalogLimitSet.rate", "5")}


def test_states_share_a_set_and_new_labels_make_one(grid):
    model, tables, _ = grid
    point = next(one for one in tables.points if one.measurement_type == "SwitchPosition")
    text = "; ".join(f"{value}={label}" for value, label in sorted(point.states.items()))
    assert not import_tables(model, [table("points", {"mrid": point.mrid, "states": text})]).difference
    done = import_tables(model, [table("points", {"mrid": point.mrid, "states": "0=moving; 1=分; 2=合"})])
    assert sorted(done.difference.added.values()) == ["ValueAliasSet", *["ValueToAlias"] * 3]
    after = build_tables(apply_difference(model, done.difference))[0].by_mrid[point.mrid]
    assert after.states == {0: "moving", 1: "分", 2: "合"}


WRONG = [
    ("ioa", "16777216", "range"), ("ioa", "0", "range"), ("ioa", "1.5", "integer"), ("ioa", "\uff11\uff12", "integer"),
    ("scale", "nan", "number"), ("scale", "inf", "number"), ("scale", "1_000", "number"), ("scale", "1,5", "number"),
    ("scale", "1e999", "number"), ("deadband", "-1", "range"), ("alarm_class", "LOUD", "choice"), ("unit", "MX", "unit"),
    ("channel", "no such", "unknown"), ("equipment", "Beishan/nothing", "unknown"), ("name", "a\x00b", "characters"),
    ("states", "open;closed", "states"), ("name", "<clear>", "clear-needed"), ("kind", "status", "fixed"),
    ("path", "Beishan/other", "read-only"), ("station", "Mars", "read-only"), ("suppressed_by", "nobody", "unknown"),
    ("positive_flow_in", "maybe", "truth"), ("phases", "X", "choice"),
]  # fmt: skip


def test_a_wrong_cell_is_a_fault_of_its_row_and_the_others_are_right(grid):
    model, tables, _ = grid
    points = [point for point in tables.points if point.kind.name == "ANALOG" and point.channel >= 0][: len(WRONG) + 1]
    columns = {"mrid": "", "offset": "", **{column: "" for column, _, _ in WRONG}}
    rows = [
        columns | {"mrid": point.mrid, "offset": "0.125", column: text}
        for point, (column, text, _) in zip(points, WRONG, strict=False)
    ]
    done = import_tables(model, [table("points", *rows, columns | {"mrid": points[-1].mrid, "deadband": "9.5"})])
    assert codes(done) == [(row, column, code) for row, (column, _, code) in enumerate(WRONG, 2)]
    assert said(done) == {("RemoteSource.deadband", "9.5")}, "nothing of a wrong row is in the difference"
    for fault in done.faults:
        for language in ("en", "zh"):
            assert fault.text(language)
            assert fault.hint(language)


def test_rows_that_cannot_be_placed(grid):
    model, tables, _ = grid
    point = analog(tables)
    rows = [
        {"mrid": point.mrid, "path": "", "deadband": "1"},
        {"mrid": point.mrid, "path": "", "deadband": "2"},
        {"mrid": "1.00E+05", "path": "", "deadband": "2"},
        {"mrid": "", "path": "", "deadband": "2"},
        {"mrid": "", "path": "Beishan/nowhere/P", "deadband": "2"},
        {"mrid": point.mrid[:-1], "path": "", "deadband": "2"},
    ]
    done = import_tables(model, [table("points", *rows)])
    assert codes(done) == [
        (3, "", "duplicate"), (4, "", "unknown-mrid"), (5, "", "no-key"), (6, "", "needed"), (7, "", "unknown-mrid"),
    ]  # fmt: skip
    assert done.faults[0].values == {"row": 2}


def test_rows_of_agc_cannot_be_made_in_a_sheet(grid):
    done = import_tables(grid[0], [table("agc_areas", {"name": "Nowhere", "bias": "-1"})])
    assert codes(done) == [(2, "", "not-new")]


def test_two_rows_that_contradict_each_other_are_told(grid):
    model, tables, _ = grid
    above = analog(tables).path.rpartition("/")[0]
    new = {"path": f"{above}/X", "kind": "analog", "type": "LineCurrent", "unit": "A"}
    done = import_tables(model, [table("points", new, new | {"type": "Frequency"})])
    assert codes(done) == [(3, "", "duplicate")]


def test_headings_that_are_none(grid):
    point = analog(grid[1])
    done = import_tables(grid[0], [table("points", {"mrid": point.mrid, "IOAs": "1", "# remark": "mine", "error": "old"})])
    assert codes(done) == [(1, "IOAs", "heading")]
    sheet = Table("points", ["mrid", "ioa", "信息体地址"], [(2, [point.mrid, "7", "8"])])
    assert (1, "信息体地址", "heading-twice") in codes(import_tables(grid[0], [sheet]))
    sheet = Table("points", ["mrid"], [(2, [point.mrid, "7"])])
    assert codes(import_tables(grid[0], [sheet])) == [(2, "", "too-wide")]
    with pytest.raises(ModelError, match="no sheet of a model"):
        import_tables(grid[0], [table("budget", {"a": "1"})])


def test_a_sheet_of_another_name_is_known_by_its_headings(grid):
    point = analog(grid[1])
    done = import_tables(grid[0], [table("Sheet1", {"path": point.path, "死区": "0.25"})])
    assert said(done) == {("RemoteSource.deadband", "0.25")}


def test_what_a_template_made_is_shown_but_not_changed(devices):
    (shown,) = views(devices, [sheet_named("points")])
    row = next(place for place, made in enumerate(shown.made) if made)
    done = import_tables(devices, [table("points", {"mrid": shown.columns["mrid"][row], "scale": "17"})])
    assert codes(done) == [(2, "scale", "made")]
    assert ".toml" in done.faults[0].text("zh")
    assert not done.difference


def test_pruning_removes_what_the_sheet_does_not_name_and_what_belongs_to_it_only(grid):
    model, tables, _ = grid
    (shown,) = views(model, [sheet_named("forwarded_points")])
    rows = [{"mrid": mrid, "ioa": ioa} for mrid, ioa in zip(shown.columns["mrid"], shown.columns["ioa"], strict=True)]
    assert not import_tables(model, [table("forwarded_points", *rows[1:])]).difference, "nothing goes without prune"
    done = import_tables(model, [table("forwarded_points", *rows[1:])], prune=True)
    assert codes(done) == []
    assert [sheet for sheet, _ in done.removed] == ["forwarded_points"]
    assert set(done.difference.removed) == {rows[0]["mrid"]}
    assert {one.mrid for one in done.difference.reverse} == {rows[0]["mrid"]}
    after = build_tables(apply_difference(model, done.difference))[0]
    assert len(after.upstream[0].points) == len(tables.upstream[0].points) - 1


def test_pruning_a_point_takes_its_source_and_measurement_but_not_what_others_need(grid):
    model, tables, _ = grid
    (shown,) = views(model, [sheet_named("points")])
    mrids = list(shown.columns["mrid"])
    forwarded = tables.points[tables.upstream[0].points[0].pid].mrid
    done = import_tables(model, [table("points", *({"mrid": one} for one in mrids if one != forwarded))], prune=True)
    assert [fault.code for fault in done.faults] == ["used"]
    assert "ForwardedPoint" in done.faults[0].text()
    used = {
        value
        for prop in model.property_names()
        if (column := model.column(prop)) and column.kind == "ref"
        for value in column.values
    }
    free = next(
        point for point in tables.points if point.channel >= 0 and len({point.mrid} & used) and _only_source(model, point.mrid)
    )
    done = import_tables(model, [table("points", *({"mrid": one} for one in mrids if one != free.mrid))], prune=True)
    assert codes(done) == []
    assert len(done.difference.removed) == 3
    after, findings = build_tables(apply_difference(model, done.difference))
    assert free.mrid not in after.by_mrid
    assert len(findings) <= len(grid[2])


def test_pruning_with_a_sheet_in_two_tables_removes_only_what_neither_names(grid):
    model = grid[0]
    now = views(model, [sheet_named("forwarded_points")])[0]
    rows = [{"mrid": one} for one in now.columns["mrid"]]
    parts = [table("forwarded_points", *rows[1:40]), table("forwarded_points", *rows[40:])]
    done = import_tables(model, parts, prune=True)
    assert codes(done) == []
    assert set(done.difference.removed) == {rows[0]["mrid"]}


def test_the_phases_offered_are_those_of_cim():
    offered = set(sheet_named("points").named("phases").kind.choices)
    assert "CA" not in offered, "CIM has AC only"
    assert load_schema("2.4.15").enums["PhaseCode"] <= offered <= load_schema("3.0").enums["PhaseCode"]


def _only_source(model, mrid):
    """True for a point that nothing but its own RemoteSource and limit set refer to."""
    measurement = next(
        ref
        for prop in ("AnalogValue.Analog", "DiscreteValue.Discrete")
        if (ref := model.ref(mrid, prop)) or prop == "DiscreteValue.Discrete"
    )
    for prop in model.property_names():
        column = model.column(prop)
        if column.kind == "ref" and prop not in (
            "RemoteSource.MeasurementValue", "AnalogValue.Analog", "DiscreteValue.Discrete", "AnalogLimitSet.Measurements",
        ) and (mrid in column.values or measurement in column.values):  # fmt: skip
            return False
    return bool(measurement)


def test_pruning_clears_empty_cells_and_never_while_a_row_is_wrong(grid):
    model = grid[0]
    (shown,) = views(model, [sheet_named("agc_areas")])
    rows = [
        {"mrid": mrid, "deadband": "", "bias": bias}
        for mrid, bias in zip(shown.columns["mrid"], shown.columns["bias"], strict=True)
    ]
    done = import_tables(model, [table("agc_areas", *rows)], prune=True)
    assert {one.prop for one in done.difference.reverse} == {"ControlArea.pTolerance"}
    (shown,) = views(model, [sheet_named("forwarded_points")])
    wrong = [{"mrid": shown.columns["mrid"][0], "ioa": "none"}]
    done = import_tables(model, [table("forwarded_points", *wrong)], prune=True)
    assert (done.removed, bool(done.difference)) == ([], False)


def test_a_cell_without_a_usable_text_is_told_with_the_rest_of_its_row(grid):
    point = analog(grid[1])
    sheet = table("points", {"mrid": point.mrid, "scale": "12", "ioa": "x"})
    sheet.faults[2] = [(1, CellError("formula"))]
    assert codes(import_tables(grid[0], [sheet])) == [(2, "scale", "formula"), (2, "ioa", "integer")]


def test_reading_a_sheet_leaves_the_longest_field_of_others_alone(tmp_path):
    before = csv.field_size_limit()
    path = tmp_path / "points.csv"
    path.write_text("mrid,name\n" + "x" * (before + 10) + ",y\n")
    assert read_csv(path).rows[0][1][0].startswith("xxx")
    assert csv.field_size_limit() == before
