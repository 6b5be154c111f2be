"""Templates of bays: equipment found by its role, parameters, overrides, expressions, and what cannot be found."""

from __future__ import annotations

import shutil

import pytest

from scada.core.ids import derived_mrid
from scada.model_cim.bay_roles import equipment_of
from scada.model_cim.points import build_tables
from scada.model_cim.reader import ModelReader

BAY = """name = "Line bay, double busbar"
protocol = "iec104"

[parameters]
base = 100
current = 1000

[points]
Breaker = { role = "breaker", name = "{equipment} Position", kind = "double", type = "SwitchPosition", ioa = 1, typeId = 31, alarmClass = "CHANGE" }
Q1 = { role = "disconnector", match = "*1", name = "{equipment} Position", kind = "double", type = "SwitchPosition", ioa = 2, typeId = 31 }
I = { role = "line", type = "LineCurrent", unit = "A", ioa = 10, typeId = 36, hi = "0.9 * current", hihi = "current", alarmClass = "LIMIT" }
Spare = { role = "shunt", optional = true, kind = "status", ioa = 11, typeId = 30 }
Ready = { role = "breaker", kind = "status", expression = "[Breaker] == 2 and [Q1] == 2" }

[controls]
Operate = { role = "breaker", name = "{equipment}", kind = "double", controlType = "SwitchPosition", feedback = "Breaker", deviceNumber = "{equipment}", ioa = 1000, typeId = 46 }
"""  # noqa: E501 - one line an item, as in a template
HEAD = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#"
 xmlns:sc="urn:scada-ems:sc:1#">
<cim:RemoteUnit rdf:ID="_unit"><cim:IdentifiedObject.name>B RTU</cim:IdentifiedObject.name>
 <sc:RemoteUnit.protocol>iec104</sc:RemoteUnit.protocol><sc:RemoteUnit.port>2404</sc:RemoteUnit.port>
 <sc:RemoteUnit.commonAddress>1</sc:RemoteUnit.commonAddress></cim:RemoteUnit>
"""
DEVICE = "3a1e4c55-0000-4000-8000-000000000001"


@pytest.fixture
def grid(tmp_path, demo_path):
    """A network with one bay made from a template; returns (folder, mRID of the bay)."""
    for name in ("EQ.xml", "SSH.xml"):
        shutil.copyfile(demo_path / name, tmp_path / name)
    model = ModelReader(tmp_path).read()
    bay = next(
        one for one in model.ids("Bay") if equipment_of(model, one, "line") and len(equipment_of(model, one, "disconnector")) == 3
    )

    def make(template: str = BAY, more: str = "", items: str = ""):
        (tmp_path / "templates").mkdir(exist_ok=True)
        (tmp_path / "templates" / "line-bay.toml").write_text(template)
        device = (
            f'<sc:Device rdf:ID="_{DEVICE}"><cim:IdentifiedObject.name>bay</cim:IdentifiedObject.name>'
            f'<sc:Device.template>line-bay</sc:Device.template><sc:Device.RemoteUnit rdf:resource="#_unit"/>'
            f'<sc:Device.PowerSystemResource rdf:resource="#_{bay}"/>{more}</sc:Device>{items}'
        )
        (tmp_path / "SC.xml").write_text(f"{HEAD}{device}</rdf:RDF>")
        read = ModelReader(tmp_path).read()
        tables, findings = build_tables(read)
        return read, tables, [one for one in findings if one.severity != "info"]

    return make, bay


def test_a_bay_gets_its_points_at_the_equipment_that_plays_each_role(grid):
    make, bay = grid
    model, tables, findings = make()
    assert findings == []
    by_name = {point.name: point for point in tables.points}
    ((breaker, _),) = equipment_of(model, bay, "breaker")
    ((line, terminal),) = equipment_of(model, bay, "line")
    number = model.name(breaker)
    assert by_name[f"{number} Position"].equipment == breaker
    assert (by_name["I"].equipment, by_name["I"].terminal) == (line, terminal)
    assert {point.bay for point in tables.points} == {model.name(bay)}
    assert (by_name["I"].limits.hi, by_name["I"].limits.hihi) == (900.0, 1000.0)
    assert by_name["I"].address.ioa == 110
    assert "Spare" not in by_name
    (control,) = tables.controls
    assert (control.device_number, control.equipment) == (number, breaker)
    assert tables.points[control.feedback].mrid == derived_mrid(DEVICE, "Breaker", "value")


def test_a_condition_names_the_items_of_its_own_bay(grid):
    make, _ = grid
    template = BAY.replace("ioa = 1000,", 'closePermittedWhen = "[Q1] == 2 and [I] < 5", ioa = 1000,')
    _, tables, findings = make(template)
    (permission,) = tables.controls[0].permitted_when
    read = [tables.points[pid] for pid in permission.pids]
    assert [point.measurement_type for point in read] == ["SwitchPosition", "LineCurrent"]
    assert (permission.opens, permission.closes) == (False, True)
    assert not [one for one in findings if one.rule == "control.permitted-when"]


def test_an_expression_names_the_items_of_its_own_bay(grid):
    make, _ = grid
    _, tables, _ = make()
    paths = {point.mrid: point.path for point in tables.points}
    ready = next(point for point in tables.points if point.name == "Ready")
    breaker, disconnector = (paths[derived_mrid(DEVICE, item, "value")] for item in ("Breaker", "Q1"))
    assert ready.expression == f'"{breaker}" == 2 and "{disconnector}" == 2'
    assert ready.channel == -1


def test_parameters_and_overrides_change_values_and_never_an_mrid(grid):
    make, _ = grid
    _, before, _ = make()
    items = (
        f'<sc:DeviceItem rdf:ID="_i"><sc:DeviceItem.Device rdf:resource="#_{DEVICE}"/>'
        "<sc:DeviceItem.item>Breaker</sc:DeviceItem.item><sc:DeviceItem.name>CB</sc:DeviceItem.name></sc:DeviceItem>"
    )
    _, after, findings = make(more="<sc:Device.current>400</sc:Device.current><sc:Device.base>300</sc:Device.base>", items=items)
    assert findings == []
    assert [point.mrid for point in after.points] == [point.mrid for point in before.points]
    current = next(point for point in after.points if point.name == "I")
    assert (current.limits.hihi, current.address.ioa) == (400.0, 310)
    ready = next(point for point in after.points if point.name == "Ready")
    assert '/CB" == 2' in ready.expression


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ('match = "*1", ', "", 10, "the bay should have one disconnector, there is 3 of them"),
        ('role = "line"', 'role = "machine"', 11, "the bay should have one machine, there is none"),
        ('role = "line"', 'role = "lime"', 11, "role is 'lime', not one of breaker, disconnector"),
        ('match = "*1"', 'match = "{nmuber}1"', 10, "names no parameter of the template"),
        ("[Q1] == 2", "[Q2] == 2", 13, "the expression names [Q2], which is no point of this device"),
    ],
)
def test_what_the_bay_has_not_is_told_at_the_line_of_the_template(grid, old, new, line, said):
    make, _ = grid
    _, tables, findings = make(BAY.replace(old, new, 1))
    found = next(one for one in findings if one.rule == "template.value")
    assert found.where.endswith(f"line-bay.toml:{line}")
    assert said in found.text
    assert "device bay" in found.text
    assert tables.points, "the rest of the bay works"


def test_an_unknown_key_is_told_at_its_line(grid):
    make, _ = grid
    _, _, findings = make(BAY.replace('role = "line"', 'rolle = "line"'))
    found = next(one for one in findings if one.rule == "template.key")
    assert found.where.endswith("line-bay.toml:11")
    assert "points.I has no 'rolle'" in found.text


def test_a_switch_of_the_next_bay_at_a_shared_node_is_not_of_this_bay(grid):
    make, bay = grid
    model, _, _ = make()
    others = {one for other in model.ids("Bay") if other != bay for one in model.refs_to(other, "Equipment.EquipmentContainer")}
    for role in ("breaker", "disconnector", "earthingSwitch"):
        assert not {equipment for equipment, _ in equipment_of(model, bay, role)} & others
