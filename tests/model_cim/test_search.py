"""Search over the demo grid and over the plant of templates."""

import pytest

from scada.model_cim.objects import PlantObjects
from scada.model_cim.points import load_model
from scada.model_cim.search import Found, HitKind, SearchIndex, query_words


@pytest.fixture(scope="module")
def grid():
    from model_cim.conftest import ROOT

    model, tables, _ = load_model(ROOT / "examples" / "demo-grid")
    return tables, SearchIndex(PlantObjects(tables, model))


def paths(found):
    return [hit.path for hit in found.hits]


def test_the_whole_name_comes_first_and_stations_before_what_is_in_them(grid):
    index = grid[1]
    found = index.search("BEISHAN")
    assert (found.hits[0].kind, found.hits[0].path) == (HitKind.STATION, "Beishan")
    assert found.total > 500
    assert len(found.hits) == 50
    assert [hit.kind for hit in found.hits[:1]] == [HitKind.STATION]


def test_all_words_must_be_there_in_any_order(grid):
    _, index = grid
    one, other = index.search("donghu 220kv ia", 1000), index.search("IA 220kV Donghu", 1000)
    assert one.total == other.total > 0
    assert sorted(paths(one)) == sorted(paths(other))
    assert all("donghu" in hit.path.lower() and "220kv" in hit.path.lower() for hit in one.hits)
    assert index.search("donghu nowhere") == Found([], 0)


def test_better_places_come_first(grid):
    _, index = grid
    ranked = [hit.path.split("/")[-1].lower() for hit in index.search("frequency", 1000).hits if hit.kind is HitKind.POINT]
    exact = [name == "frequency" for name in ranked]
    assert exact == sorted(exact, reverse=True)
    assert exact[0]


def test_points_by_address(grid):
    tables, index = grid
    point = next(one for one in tables.points if one.channel >= 0 and hasattr(one.address, "ioa"))
    for query in (
        f"CA {point.address.common_address} IOA {point.address.ioa}",
        f"ioa:{point.address.ioa} ca:{point.address.common_address}",
        f"公共地址 {point.address.common_address} IOA\uff1a{point.address.ioa:#x}",
    ):
        assert point.mrid in {hit.mrid for hit in index.search(query, 1000).hits}, query
    found = index.search(f"ca {point.address.common_address} ioa {point.address.ioa}")
    assert all(f" IOA {point.address.ioa}" in hit.address for hit in found.hits)
    assert found.total < 5


def test_modbus_registers_by_their_number_and_as_data_sheets_count_them(grid):
    tables, index = grid
    point = next(one for one in tables.points if getattr(one.address, "table", "") == "input")
    first, second = (
        index.search(f"unit 1 reg {number}", 99) for number in (point.address.register, 30001 + point.address.register)
    )
    assert point.mrid in {hit.mrid for hit in first.hits}
    assert point.mrid in {hit.mrid for hit in second.hits}


def test_opc_ua_node_ids_mrids_and_device_numbers(grid):
    tables, index = grid
    node = next(one for one in tables.points if hasattr(one.address, "node_id"))
    assert index.search(node.address.node_id).hits[0].mrid == node.mrid
    assert index.search(node.mrid[:13]).hits[0].mrid == node.mrid
    assert index.search(f"_{node.mrid.upper()}").hits[0].mrid == node.mrid
    assert index.search(node.mrid[5:13]).total == 0, "an mRID is found by its start only"
    control = next(one for one in tables.controls if one.device_number)
    assert any(hit.device_number == control.device_number for hit in index.search(control.device_number).hits)


def test_chinese_is_found_inside_a_name_and_full_width_letters_are_letters(write):
    model, tables, _ = load_model(
        write(
            '<cim:Substation rdf:ID="_s"><cim:IdentifiedObject.name>北山变电站</cim:IdentifiedObject.name></cim:Substation>\n'
            '<cim:Substation rdf:ID="_t"><cim:IdentifiedObject.name>南北山站</cim:IdentifiedObject.name></cim:Substation>\n'
            '<cim:VoltageLevel rdf:ID="_v"><cim:IdentifiedObject.name>220kV</cim:IdentifiedObject.name>'
            '<cim:VoltageLevel.Substation rdf:resource="#_s"/></cim:VoltageLevel>\n'
            '<cim:Breaker rdf:ID="_b"><cim:IdentifiedObject.name>T1</cim:IdentifiedObject.name>'
            "<cim:IdentifiedObject.aliasName>一号主变</cim:IdentifiedObject.aliasName>"
            '<cim:Equipment.EquipmentContainer rdf:resource="#_v"/></cim:Breaker>\n'
        )
    )
    index = SearchIndex(PlantObjects(tables, model))
    assert paths(index.search("北山")) == ["北山变电站", "北山变电站/220kV/T1", "南北山站"], "a start before an inside"
    assert paths(index.search("变电")) == ["北山变电站", "北山变电站/220kV/T1"]
    assert paths(index.search("\uff34\uff11 北山")) == ["北山变电站/220kV/T1"]
    assert paths(index.search("主变")) == ["北山变电站/220kV/T1"]


def test_limits_and_queries_that_say_nothing(grid):
    _, index = grid
    assert index.search("") == index.search("  \t ") == Found([], 0)
    few = index.search("a", 3)
    assert (len(few.hits), few.total > 1000) == (3, True)
    assert few.hits == index.search("a", 50).hits[:3]
    assert index.search("a", -1).hits == []
    assert index.search("\x00 \ud800".encode("utf-8", "ignore").decode(), 5).total == 0
    assert query_words("x " * 500)[0] == ["x"]


def test_every_point_is_found_by_its_path(grid):
    tables, index = grid
    for point in tables.points[::97]:
        assert point.mrid in {hit.mrid for hit in index.search(point.path, 5).hits}, point.path


def test_a_removed_point_is_not_found(grid):
    from dataclasses import replace

    tables, _ = grid
    gone = tables.points[7]
    less = replace(tables, points=[replace(one, removed=one is gone) for one in tables.points])
    assert gone.mrid not in {hit.mrid for hit in SearchIndex(PlantObjects(less)).search(gone.mrid).hits}
