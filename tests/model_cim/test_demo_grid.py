"""The demo grid: its files are what the generator writes, and a load flow we did not write solves them."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest


def test_the_generator_writes_exactly_the_committed_files(demo_path, tmp_path):
    script = demo_path / "generate.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, cwd=demo_path.parents[1], env={"PYTHONPATH": "."})
    written = {file.name: file.read_bytes() for file in tmp_path.glob("*.xml")}
    committed = {file.name: file.read_bytes() for file in demo_path.glob("*.xml")}
    assert written.keys() == committed.keys()
    assert [name for name in written if written[name] != committed[name]] == []


@pytest.fixture(scope="module")
def network(demo_path, tmp_path_factory):
    powsybl = pytest.importorskip("pypowsybl")
    archive = tmp_path_factory.mktemp("powsybl") / "demo.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in ("EQ.xml", "SSH.xml"):
            packed.write(demo_path / name, name)
    network = powsybl.network.load(str(archive))
    [result] = powsybl.loadflow.run_ac(network, powsybl.loadflow.Parameters(distributed_slack=False))
    assert result.status_text == "Converged"
    assert abs(result.slack_bus_results[0].active_power_mismatch) < 20
    return network


@pytest.mark.interop
@pytest.mark.filterwarnings("ignore")
def test_voltages_are_sensible_and_nothing_is_overloaded(network):
    buses = network.get_buses()
    nominal = network.get_voltage_levels().loc[buses.voltage_level_id].nominal_v.to_numpy()
    per_unit = buses.v_mag.to_numpy() / nominal
    assert per_unit.min() > 0.97
    assert per_unit.max() < 1.055
    limits = network.get_operational_limits().reset_index()
    permanent = limits[limits.type == "CURRENT"].set_index(["element_id", "side"]).value
    lines = network.get_lines()
    for side, current in (("ONE", lines.i1), ("TWO", lines.i2)):
        for line, value in current.items():
            assert value < permanent[line, side]
    twos = network.get_2_windings_transformers()
    assert ((twos.p1**2 + twos.q1**2) ** 0.5 < twos.rated_s).all()
    threes = network.get_3_windings_transformers()
    assert ((threes.p1**2 + threes.q1**2) ** 0.5 < threes.rated_s1).all()


@pytest.mark.interop
@pytest.mark.filterwarnings("ignore")
def test_the_interchange_is_near_its_schedule(network, demo):
    _, tables, _ = demo
    lines = network.get_lines()
    ties = lines[lines.name.isin([tie.name for tie in tables.areas[0].ties])]
    export = ties.p1.sum()
    assert export == pytest.approx(tables.areas[0].scheduled_interchange, abs=10)
    loads = network.get_loads()
    levels = network.get_voltage_levels()
    areas = {station.mrid: station.area for station in tables.stations}
    area = levels.loc[loads.voltage_level_id].substation_id.map(areas).to_numpy()
    assert 500 < loads.p0[area == "East"].sum() < 700


def test_every_station_has_a_diagram_bound_by_our_mrids(demo, demo_path):
    model, tables, _ = demo
    for station in tables.stations:
        assert station.diagram
        svg = (demo_path / "diagrams" / f"{station.diagram}.svg").read_text(encoding="utf-8")
        metadata = json.loads((demo_path / "diagrams" / f"{station.diagram}.json").read_text(encoding="utf-8"))
        bound = {node["equipmentId"]: node["id"] for node in metadata["nodes"] if node.get("equipmentId")}
        switches = {p.equipment for p in tables.points if p.station == station.name and p.measurement_type == "SwitchPosition"}
        assert switches <= bound.keys()
        assert all(model.class_of(mrid) for mrid in bound)
        for switch in switches:
            assert f'id="{bound[switch]}"' in svg
            assert f">{model.name(switch)}</text>" in svg
