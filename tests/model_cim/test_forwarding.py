"""The forwarding table: what is read from the model, what is found wrong, and rows written for whole stations."""

from dataclasses import replace

import pytest

from scada.core.errors import ModelError
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.forwarding_rows import FIRST, append_rows, chosen, new_rows, rows_xml
from scada.model_cim.points import load_model
from scada.model_cim.tables import PointKind, RedundancyGroup

FILE = "SC-upstream.xml"


def element(kind, name, **properties):
    lines = "".join(
        f'<sc:{kind}.{prop} rdf:resource="#_{value[1:]}"/>\n'
        if value.startswith("@")
        else f"<sc:{kind}.{prop}>{value}</sc:{kind}.{prop}>\n"
        for prop, value in properties.items()
    )
    return f'<sc:{kind} rdf:ID="_{name}">\n<cim:IdentifiedObject.name>{name}</cim:IdentifiedObject.name>\n{lines}</sc:{kind}>\n'


@pytest.fixture
def extended(demo_path, tmp_path, head):
    """The demo grid with an upstream station ``U`` of the test's own rows; its findings about it."""

    def extend(*rows, station=None):
        for file in demo_path.glob("*.xml"):
            if file.name != FILE:
                (tmp_path / file.name).symlink_to(file)
        own = element("UpstreamStation", "U", **{"port": "2404", "commonAddress": "9", **(station or {})})
        (tmp_path / FILE).write_text(f"{head}{own}{''.join(rows)}</rdf:RDF>\n", encoding="utf-8")
        _, tables, findings = load_model(tmp_path)
        return tables, findings

    return extend


@pytest.fixture(scope="module")
def things(demo):
    """A point of each kind and a control of each kind, by kind name."""
    _, tables, _ = demo
    found = {}
    for one in (*tables.points, *tables.controls):
        found.setdefault(one.kind.name, one)
    return found


def forwarded(thing, name="row", **properties):
    given = {"UpstreamStation": "@U", "MeasurementValue": f"@{thing.mrid}", "ioa": "1", **properties}
    return element("ForwardedPoint", name, **given)


def asked(thing, name="order", **properties):
    return element("ForwardedControl", name, **{"UpstreamStation": "@U", "Control": f"@{thing.mrid}", "ioa": "1", **properties})


def test_the_table_of_the_demo_grid(demo):
    _, tables, findings = demo
    [station] = tables.upstream
    assert [str(finding) for finding in findings if "forward" in finding.rule or "upstream" in finding.rule] == []
    assert (station.name, station.port, station.common_address) == ("Provincial dispatch", 12430, 1)
    assert station.groups == (RedundancyGroup("A", ("127.0.0.1",)),)
    assert station.params == {"event_capacity": 10_000.0}
    assert len(station.points) == 72
    assert len(station.controls) == 7
    kinds = {tables.points[row.pid].kind for row in station.points}
    assert kinds == {PointKind.STATUS, PointKind.DOUBLE, PointKind.ANALOG, PointKind.COUNTER}
    assert all(row.queued == (tables.points[row.pid].kind is not PointKind.ANALOG) for row in station.points)


def test_every_attribute_of_a_row(extended, things):
    rows = (
        forwarded(
            things["ANALOG"], ioa="16385", typeId="34", scale="-500", offset="1", deadband="2.5", **{"class": "event"}, group="3"
        ),
        forwarded(things["COUNTER"], "c", ioa="7", typeId="37", counterGroup="2", commonAddress="12"),
        asked(things["SETPOINT"], typeId="50", scale="10", select="true"),
    )
    tables, findings = extended(*rows, station={"host": "0.0.0.0", "k": "20", "timeZoneMinutes": "480"})
    assert [finding.rule for finding in findings if finding.severity != "warning"] == []
    [station] = tables.upstream
    assert (station.host, station.params) == ("0.0.0.0", {"k": 20.0, "time_zone_minutes": 480.0})
    row, counter = station.points
    assert (row.address, row.scale, row.offset, row.deadband) == (Iec104Address(9, 16385, 34), -500.0, 1.0, 2.5)
    assert (row.queued, row.group, row.counter_group) == (True, 3, 0)
    assert (counter.address.common_address, counter.counter_group) == (12, 2)
    [order] = station.controls
    assert (order.cid, order.select, order.scale) == (things["SETPOINT"].cid, True, 10.0)


def test_wrong_rows_are_left_out_and_named_by_their_line(extended, things):
    wrong = [
        ("STATUS", {"typeId": "13"}, "forward.type"),
        ("DOUBLE", {"typeId": "1"}, "forward.type"),
        ("ANALOG", {"typeId": "30"}, "forward.type"),
        ("STATUS", {"typeId": "45"}, "forward.type"),
        ("STATUS", {}, "forward.type"),
        ("TEXT_STATE", {"typeId": "30"}, "forward.type"),
        ("STATUS", {"typeId": "30", "ioa": "0"}, "forward.ioa"),
        ("STATUS", {"typeId": "30", "ioa": "16777216"}, "forward.ioa"),
        ("STATUS", {"typeId": "30", "ioa": "1.5"}, "forward.ioa"),
        ("STATUS", {"typeId": "30", "commonAddress": "65535"}, "forward.common-address"),
        ("ANALOG", {"typeId": "9"}, "forward.scale"),
        ("COUNTER", {"typeId": "13", "scale": "0"}, "forward.scale"),
    ]
    rows = [forwarded(things[kind], f"r{i}", **{"ioa": f"{i + 1}", **more}) for i, (kind, more, _) in enumerate(wrong)]
    tables, findings = extended(*rows)
    assert tables.upstream[0].points == []
    assert [(finding.mrid, finding.rule) for finding in findings] == [(f"r{i}", rule) for i, (*_, rule) in enumerate(wrong)]
    lines = [finding.line for finding in findings]
    assert lines == sorted(set(lines))
    assert {(finding.severity, bool(finding.hint), finding.file.endswith(FILE)) for finding in findings} == {
        ("error", True, True)
    }


def test_wrong_details_keep_the_row_and_the_safe_meaning(extended, demo):
    wrong = [
        ({"class": "newest"}, "forward.class"),
        ({"class": "sometimes"}, "forward.class"),
        ({"group": "17"}, "forward.group"),
        ({"counterGroup": "1"}, "forward.counter-group"),
        ({"deadband": "-1"}, "forward.deadband"),
    ]
    status = [point for point in demo[1].points if point.kind is PointKind.STATUS]
    rows = [forwarded(status[i], f"r{i}", ioa=f"{i + 1}", typeId="30", **more) for i, (more, _) in enumerate(wrong)]
    tables, findings = extended(*rows)
    found = tables.upstream[0].points
    assert len(found) == len(wrong)
    assert all(row.queued and not row.group and not row.counter_group and row.deadband >= 0 for row in found)
    assert [(finding.mrid, finding.rule) for finding in findings] == [(f"r{i}", rule) for i, (_, rule) in enumerate(wrong)]


def test_a_type_without_a_quality_is_warned_of(extended, demo):
    point = next(point for point in demo[1].points if point.kind is PointKind.ANALOG)
    tables, findings = extended(forwarded(point, typeId="21", scale="1000000"))
    assert [finding.rule for finding in findings] == ["forward.quality"]
    assert len(tables.upstream[0].points) == 1


def test_a_range_that_the_type_cannot_hold(extended, demo):
    point = next(point for point in demo[1].points if point.kind is PointKind.ANALOG and point.maximum > 1)
    _, findings = extended(forwarded(point, typeId="11", scale="0.00001"))
    assert [finding.rule for finding in findings] == ["forward.range"]


def test_an_address_is_one_rows_and_a_point_is_forwarded_once(extended, demo):
    status = [point for point in demo[1].points if point.kind is PointKind.STATUS][:3]
    tables, findings = extended(
        forwarded(status[0], "a", typeId="30"),
        forwarded(status[1], "b", typeId="30"),
        forwarded(status[0], "c", typeId="30", ioa="2"),
    )
    assert [row.mrid for row in tables.upstream[0].points] == ["a"]
    rules = sorted(finding.rule for finding in findings if finding.mrid in {"b", "c"})
    assert rules == ["forward.duplicate-address", "forward.duplicate-point"]


def test_rows_that_name_nothing(extended):
    tables, findings = extended(
        element("ForwardedPoint", "a", UpstreamStation="@U", ioa="1", typeId="30"),
        element("ForwardedControl", "b", UpstreamStation="@U", ioa="1", typeId="46"),
        element("ForwardedPoint", "c", ioa="1", typeId="30"),
    )
    assert tables.upstream[0].points == []
    assert [finding.rule for finding in findings] == ["forward.point", "forward.control", "forward.station"]


def test_groups_share_no_master(extended):
    def group(identity, name, masters):
        text = element("RedundancyGroup", identity, UpstreamStation="@U", masters=masters)
        return text.replace(f"name>{identity}<", f"name>{name}<")

    tables, findings = extended(group("g1", "A", "10.0.0.1; Centre"), group("g2", "B", "centre;"), group("g3", "A", "x"))
    assert tables.upstream[0].groups == (RedundancyGroup("A", ("10.0.0.1", "Centre")), RedundancyGroup("B", ()))
    assert [finding.rule for finding in findings] == ["upstream.master", "upstream.group", "upstream.master"]


@pytest.mark.parametrize(
    ("station", "rule"), [({"port": "0"}, "upstream.port"), ({"commonAddress": "0"}, "upstream.common-address")]
)
def test_a_station_that_cannot_listen(extended, station, rule):
    tables, findings = extended(station=station)
    assert tables.upstream == []
    assert [finding.rule for finding in findings] == [rule]


def test_rows_for_whole_stations_never_move_those_that_are_there(demo, demo_path, tmp_path):
    _, tables, _ = demo
    [station] = tables.upstream
    points = chosen(tables, stations=["Donghu"])
    rows = new_rows(station, points, [])
    assert rows
    there = {row.address.ioa for row in station.points}
    assert there.isdisjoint(row.ioa for row in rows)
    signals = [row.ioa for row in rows if row.type_id in {30, 31}]
    last = max(row.address.ioa for row in station.points if row.address.type_id in {30, 31})
    assert signals == list(range(last + 1, last + 1 + len(signals)))
    for file in demo_path.glob("*.xml"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    before = (tmp_path / FILE).read_text("utf-8")
    append_rows(tmp_path / FILE, rows_xml(station, rows))
    assert (tmp_path / FILE).read_text("utf-8").startswith(before.removesuffix("</rdf:RDF>\n"))
    _, extended, findings = load_model(tmp_path)
    assert findings == []
    assert extended.upstream[0].points[: len(station.points)] == station.points
    assert len(extended.upstream[0].points) == len(station.points) + len(rows)
    assert new_rows(extended.upstream[0], points, []) == [], "a second run writes nothing"


def test_rows_of_a_new_station_begin_at_the_usual_addresses(demo, things):
    _, tables, _ = demo
    station = replace(tables.upstream[0], points=[], controls=[])
    rows = new_rows(station, [things["STATUS"], things["ANALOG"], things["COUNTER"], things["TEXT_STATE"]], [things["SETPOINT"]])
    assert [row.ioa for row in rows] == [FIRST["signal"], FIRST["measured"], FIRST["counter"], FIRST["setpoint"]]


def test_a_name_that_chooses_nothing_is_an_error(demo):
    with pytest.raises(ModelError, match="no station"):
        chosen(demo[1], stations=["Nowhere"])


def test_only_a_cim_file_is_extended(tmp_path):
    (tmp_path / "notes.txt").write_text("hello", "utf-8")
    with pytest.raises(ModelError, match="does not end"):
        append_rows(tmp_path / "notes.txt", "")


def test_set_points_for_dispatch_name_an_area_or_a_unit_under_agc(extended, demo):
    area = next(one for one in demo[1].areas if one.controlled)
    unit = area.units[0]

    def row(name, target, **more):
        return element("ForwardedSetPoint", name, UpstreamStation="@U", Target=f"@{target}", **more)

    tables, findings = extended(
        row("a", area.mrid, ioa="1", typeId="50", scale="10"),
        row("u", unit.mrid, ioa="2", typeId="63", select="true"),
        row("again", unit.mrid, ioa="3", typeId="50"),
        row("taken", area.mrid, ioa="1", typeId="50"),
        row("type", area.mrid, ioa="4", typeId="46"),
        row("nothing", "nothing", ioa="5", typeId="50"),
    )
    [station] = tables.upstream
    found = [(one.area, one.unit, one.address.ioa, one.select, one.scale) for one in station.setpoints]
    assert found == [(area.name, "", 1, False, 10.0), (area.name, unit.mrid, 2, True, 1.0)]
    rules = sorted(finding.rule for finding in findings if finding.rule.startswith("forward"))
    assert rules == ["forward.duplicate-address", "forward.duplicate-point", "forward.target", "forward.type"]
