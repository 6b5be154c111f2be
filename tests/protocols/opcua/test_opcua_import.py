"""Browsing and importing: what is found, a file without error findings, an update that changes nothing and adds what is new."""

import xml.etree.ElementTree as ET

import pytest
from asyncua import Server, ua
from protocols.opcua.rig import free_port, running, up

from scada.core.clock import SystemClock
from scada.core.errors import ModelError
from scada.core.ids import derived_mrid
from scada.model_cim.addresses import OpcUaAddress
from scada.model_cim.findings import has_errors
from scada.model_cim.points import load_model
from scada.model_cim.tables import PointKind
from scada.protocols.opcua.browse import Variable, Walk, walk
from scada.protocols.opcua.connection import Connection
from scada.protocols.opcua.importing import ImportedChannel, import_file
from scada.protocols.opcua.security import SecurityWish

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning")]

OBJECTS = ua.NodeId(85)


class Plant:
    """A server with a small wind farm in a namespace of its own."""

    async def start(self):
        self.port = free_port()
        self.server = Server()
        await self.server.init()
        await self.server.set_application_uri("urn:test:plant")
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/")
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await self.server.register_namespace("urn:test:filler")
        self.index = await self.server.register_namespace("urn:test:wind")
        self.farm = await self.server.nodes.objects.add_object(ua.NodeId("farm", self.index), "Farm")
        for number in (1, 2):
            await self.turbine(number)
        await self.server.start()

    async def turbine(self, number):
        folder = await self.farm.add_folder(ua.NodeId(f"T{number}", self.index), f"Turbine {number}")
        power = await folder.add_variable(ua.NodeId(f"T{number}.P", self.index), "P", 1.5)
        unit = ua.EUInformation(DisplayName=ua.LocalizedText("kW"), UnitId=1)
        await power.add_property(ua.NodeId(f"T{number}.P.EU", self.index), ua.QualifiedName("EngineeringUnits", 0), unit)
        span = ua.Range(Low=-10.0, High=2000.0)
        await power.add_property(ua.NodeId(f"T{number}.P.R", self.index), ua.QualifiedName("EURange", 0), span)
        await folder.add_variable(ua.NodeId(f"T{number}.On", self.index), "Running", True)
        await folder.add_variable(ua.NodeId(f"T{number}.Temp", self.index), "Bearings", [50.0, 51.0, 52.0])
        await folder.add_variable(ua.NodeId(f"T{number}.Name", self.index), "Name & <Type>", "text")
        state = await folder.add_variable(ua.NodeId(f"T{number}.St", self.index), "State", 1)
        names = [ua.LocalizedText(name) for name in ("stopped", "running", "fault")]
        await state.add_property(ua.NodeId(f"T{number}.St.E", self.index), ua.QualifiedName("EnumStrings", 0), names)
        # the same node by a second way, and a circle
        await folder.add_reference(self.farm, ua.ObjectIds.Organizes)


@pytest.fixture
async def plant():
    one = Plant()
    await one.start()
    yield one
    await one.server.stop()


async def browse(plant, start=None, **bounds):
    connection = Connection(f"opc.tcp://127.0.0.1:{plant.port}", SecurityWish(), SystemClock(), timeout_s=5)
    await connection.open()
    try:
        return await walk(connection, start or OBJECTS, **bounds)
    finally:
        await connection.close()


def channel(plant, name="Plant"):
    return ImportedChannel(name, "127.0.0.1", plant.port, params={"securityPolicy": "None"})


@pytest.mark.interop
async def test_what_is_found(plant):
    heard = []
    found = await browse(plant, progress=lambda nodes, variables: heard.append((nodes, variables)))
    assert found.application_uri == "urn:test:plant"
    assert not found.cut
    assert heard[-1] == (found.nodes, len(found.variables))
    by_path = {each.path: each for each in found.variables}
    power = by_path["Farm", "Turbine 1", "P"]
    assert power == Variable(
        "nsu=urn:test:wind;s=T1.P", ("Farm", "Turbine 1", "P"), "Double", unit="kW", low=-10.0, high=2000.0, description="P"
    )
    assert by_path["Farm", "Turbine 2", "Bearings"].length == 3
    assert by_path["Farm", "Turbine 2", "State"].states == ((0, "stopped"), (1, "running"), (2, "fault"))
    assert not by_path["Farm", "Turbine 1", "Name & <Type>"].usable
    assert not any("EngineeringUnits" in path for path in by_path)
    assert not any(path[0] == "Server" for path in by_path)


@pytest.mark.interop
async def test_bounds(plant):
    assert [each.path for each in (await browse(plant, depth=1)).variables if each.path[0] == "Farm"] == []
    cut = await browse(plant, maximum=8)
    assert cut.cut
    assert cut.nodes == 8
    below = await browse(plant, start=ua.NodeId("T1", plant.index))
    assert ("P",) in {each.path for each in below.variables}


@pytest.mark.interop
async def test_an_import_runs_without_a_change_by_hand(plant, tmp_path):
    path = tmp_path / "points.xml"
    imported = import_file(await browse(plant, start=ua.NodeId("farm", plant.index)), channel(plant))
    path.write_text(imported.text)
    _, tables, findings = load_model(tmp_path)
    assert not has_errors(findings), findings
    assert imported.added == len(tables.points) == 12
    points = {point.path: point for point in tables.points}
    power = points["Plant/Turbine 1.P"]
    assert (power.unit, power.minimum, power.maximum, power.kind) == ("kW", -10.0, 2000.0, PointKind.ANALOG)
    assert points["Plant/Turbine 2.Bearings[2]"].address == OpcUaAddress("nsu=urn:test:wind;s=T2.Temp", 2)
    assert points["Plant/Turbine 1.Running"].kind is PointKind.STATUS
    assert points["Plant/Turbine 1.State"].states == {0: "stopped", 1: "running", 2: "fault"}
    assert {each.path[-1] for each in imported.skipped} == {"Name & <Type>"}
    (spec,) = tables.channels
    assert (spec.name, spec.protocol, spec.params) == ("Plant", "opcua", {"security_policy": "None"})
    async with running(plant, tables.points) as (_, sink):
        await sink.until(lambda: len(sink.values) == 12 and up(sink)())
        assert sink.values[int(power.pid)] == (1.5, 0)
        assert all(quality == 0 for _, quality in sink.values.values())


@pytest.mark.interop
async def test_an_update_changes_nothing_and_adds_what_is_new(plant, tmp_path):
    start = ua.NodeId("farm", plant.index)
    first = import_file(await browse(plant, start), channel(plant)).text
    edited = first.replace(">Turbine 1.P<", ">Active power<")
    again = import_file(await browse(plant, start), channel(plant), edited)
    assert again.text == edited
    assert (again.added, again.kept) == (0, 12)
    await plant.turbine(3)
    more = import_file(await browse(plant, start), channel(plant), edited)
    assert (more.added, more.kept) == (6, 12)
    assert more.text.startswith(edited.rstrip()[: -len("</rdf:RDF>")])
    (tmp_path / "points.xml").write_text(more.text)
    _, tables, findings = load_model(tmp_path)
    assert not has_errors(findings)
    assert len(tables.points) == 18
    assert "Plant/Active power" in {point.path for point in tables.points}


def variable(name, **more):
    return Variable(f"nsu=urn:x;s={more.pop('id', name)}", ("Folder", name), "Double", **more)


def test_names_that_occur_twice_and_names_that_are_no_xml(tmp_path):
    found = Walk("urn:x", (variable("A/B & <C>\x07"), variable("same", id="1"), variable("same", id="2")), 9, cut=False)
    imported = import_file(found, ImportedChannel("Ünit <1>", "::1", 4840))
    (tmp_path / "points.xml").write_text(imported.text, encoding="utf-8")
    _, tables, findings = load_model(tmp_path)
    assert not has_errors(findings), findings
    names = {point.name for point in tables.points}
    assert {"Folder.same s=1", "Folder.same s=2"} < names


def test_the_same_server_under_another_address_is_the_same(tmp_path):
    found = Walk("urn:x", (variable("P"),), 2, cut=False)
    first = import_file(found, ImportedChannel("A", "10.0.0.1", 4840))
    other = import_file(found, ImportedChannel("A", "10.0.0.2", 4841), first.text)
    assert other.added == 0
    mrid = derived_mrid("opcua", "urn:x", "value", "nsu=urn:x;s=P", "-1")
    assert f'rdf:ID="_{mrid}"' in first.text
    ET.fromstring(first.text)
    with pytest.raises(ModelError):
        import_file(found, ImportedChannel("A", "10.0.0.1", 4840), "something else")


def test_a_range_is_written_to_its_last_digit():
    found = Walk("urn:test:server", (Variable("nsu=urn:x;s=E", ("E",), "Double", low=-1234567.25, high=98765432.5),), 1, False)
    text = import_file(found, ImportedChannel("W", "plant", 4840)).text
    assert "<cim:Analog.minValue>-1234567.25<" in text
    assert "<cim:Analog.maxValue>98765432.5<" in text
