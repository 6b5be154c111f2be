"""Drivers are found by name: built in, of installed packages, of files that the configuration names."""

import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from scada.core.clock import VirtualClock
from scada.core.errors import ConfigError
from scada.core.settings import load_settings
from scada.model_cim.addresses import PlainAddress
from scada.model_cim.points import load_model
from scada.model_cim.tables import ChannelSpec
from scada.protocols import registry
from scada.protocols.iec104.driver import Iec104Driver
from scada.protocols.registry import DRIVERS, Drivers, make_driver

DRIVER = """
    from dataclasses import dataclass
    from scada.protocols.driver import CommandResult, Driver, Outcome

    @dataclass(frozen=True)
    class Register:
        number: int

    class Mine(Driver):
        @classmethod
        def check_address(cls, address):
            return "" if address.startswith("R") else f"has address {address!r}, which does not begin with R"

        async def run(self): ...
        async def select(self, control, value): return CommandResult(Outcome.CONFIRMED)
        async def execute(self, control, value): return CommandResult(Outcome.CONFIRMED)
        async def cancel(self, control, value): return CommandResult(Outcome.CONFIRMED)

    class NotOne: ...
"""


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(DRIVER))
    return path


def spec(protocol):
    return ChannelSpec(0, "", "north", protocol, "127.0.0.1", 1, "S")


def test_every_built_in_driver_can_be_had_by_its_name():
    for name in DRIVERS:
        assert Drivers().find(name).__name__ == DRIVERS[name].partition(":")[2]


def test_a_file_of_the_configuration_becomes_a_driver(mine):
    (mine.parent / "scada.toml").write_text('[drivers]\nmeter-bus = "mine.py:Mine"\n')
    drivers = Drivers(load_settings(mine.parent / "scada.toml").drivers)
    assert "meter-bus" in drivers.names
    driver = make_driver(spec("meter-bus"), [], [], None, VirtualClock(), drivers)
    assert type(driver).__name__ == "Mine"
    assert drivers.check_address("meter-bus", "R1") == ""
    assert "does not begin with R" in drivers.check_address("meter-bus", "X1")


@pytest.mark.parametrize("text", ['meter = "mine.py"', 'METER = "mine.py:Mine"', 'meter = "mine.py:1x"'])
def test_a_place_that_is_none_is_a_fault_of_the_configuration(tmp_path, text):
    (tmp_path / "scada.toml").write_text(f"[drivers]\n{text}\n")
    with pytest.raises(ConfigError, match="drivers"):
        load_settings(tmp_path / "scada.toml")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("{}:NotOne", "is no Driver"),
        ("{}:Missing", "is no Driver"),
        ("/nowhere/at/all.py:Mine", "No such file"),
        ("no_such_module:Mine", "ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_loaded_is_said_with_its_place(mine, place, said):
    with pytest.raises(ConfigError, match=said):
        Drivers({"mine": place.format(mine)}).find("mine")


def test_a_file_that_fails_is_told_in_one_line_and_leaves_nothing_behind(mine):
    mine.write_text("raise RuntimeError('boom')\n")
    drivers = Drivers({"mine": f"{mine}:Mine"})
    with pytest.raises(ConfigError, match="RuntimeError: boom") as caught:
        drivers.find("mine")
    assert "\n" not in str(caught.value)
    mine.write_text(textwrap.dedent(DRIVER))
    assert drivers.find("mine").__name__ == "Mine"


def test_a_file_that_ends_the_program_ends_only_itself(mine):
    mine.write_text("import sys\nsys.exit('usage: ...')\n")
    with pytest.raises(ConfigError, match="SystemExit"):
        Drivers({"mine": f"{mine}:Mine"}).find("mine")


def test_a_file_that_everybody_may_replace_is_not_run(mine):
    mine.parent.chmod(0o777)
    with pytest.raises(ConfigError, match="everybody may write"):
        Drivers({"mine": f"{mine}:Mine"}).find("mine")
    mine.parent.chmod(0o1777)  # as /tmp: only its owner may replace a file
    assert Drivers({"mine": f"{mine}:Mine"}).find("mine").__name__ == "Mine"


def test_a_file_that_everybody_may_write_is_not_run(mine):
    mine.chmod(0o666)
    with pytest.raises(ConfigError, match="everybody may write"):
        Drivers({"mine": f"{mine}:Mine"}).find("mine")


def test_a_built_in_name_cannot_be_taken(mine):
    with pytest.raises(ConfigError, match="built-in"):
        Drivers({"iec104": f"{mine}:Mine"})


def test_an_installed_package_offers_a_driver_and_the_configuration_decides_between_two(monkeypatch, mine):
    group = registry.ENTRY_POINTS
    ours = "scada.protocols.iec104.driver:Iec104Driver"
    offered = [EntryPoint("bus", ours, group), EntryPoint("iec104", "elsewhere:Other", group)]
    monkeypatch.setattr(registry, "entry_points", lambda group: offered)
    assert Drivers().find("bus") is Iec104Driver
    assert Drivers().find("iec104") is Iec104Driver, "a built-in driver is never replaced"
    offered.append(EntryPoint("bus", "elsewhere:Other", group))
    with pytest.raises(ConfigError, match="two installed packages"):
        Drivers().find("bus")
    assert Drivers({"bus": f"{mine}:Mine"}).find("bus").__name__ == "Mine"


@pytest.fixture
def grid(tmp_path):
    """The demo grid; the channel of the PV plant (OPC UA there) speaks a protocol of the user's own."""
    demo = Path(__file__).parents[2] / "examples" / "demo-grid"
    folder = tmp_path / "grid"
    folder.mkdir()
    for file in demo.glob("*.xml"):
        text = file.read_text(encoding="utf-8")
        text = text.replace("RemoteUnit.protocol>opcua<", "RemoteUnit.protocol>meter-bus<")
        text = text.replace("RemotePoint.nodeId>ns=2;s=", "RemotePoint.address>R").replace(
            "</sc:RemotePoint.nodeId>", "</sc:RemotePoint.address>"
        )
        (folder / file.name).write_text(text, encoding="utf-8")
    return folder


def test_the_model_check_knows_the_protocol_and_asks_its_driver_about_addresses(grid, mine):
    drivers = Drivers({"meter-bus": f"{mine}:Mine"})
    _, tables, findings = load_model(grid, drivers=drivers)
    assert findings == []
    [channel] = [one for one in tables.channels if one.protocol == "meter-bus"]
    addresses = [point.address for point in tables.points_of_channel(channel.index)]
    assert addresses
    assert all(isinstance(address, PlainAddress) and address.text.startswith("R") for address in addresses)

    station = grid / "SC-Fenghe.xml"
    station.write_text(station.read_text().replace("RemotePoint.address>R", "RemotePoint.address>X", 1))
    _, _, findings = load_model(grid, drivers=drivers)
    assert [finding.rule for finding in findings if finding.rule.endswith(".address")] in (["point.address"], ["control.address"])
    assert any("does not begin with R" in finding.text for finding in findings)


def test_without_the_driver_the_model_check_says_which_protocols_are_known(grid):
    _, _, findings = load_model(grid)
    [finding] = [one for one in findings if one.rule == "channel.protocol"]
    assert "meter-bus" in finding.text
    assert "iec104" in finding.hint
