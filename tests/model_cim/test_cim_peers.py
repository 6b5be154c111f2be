"""What we write is read by others: pypowsybl makes the same network of it as of the original."""

from __future__ import annotations

import zipfile

import pytest

from scada.model_cim.reader import ModelReader
from scada.model_cim.writer import write_model

network = pytest.importorskip("pypowsybl.network", reason="the extra diagrams is not installed")
COUNTS = ["get_substations", "get_voltage_levels", "get_lines", "get_2_windings_transformers", "get_generators", "get_loads"]
COUNTS += ["get_switches", "get_busbar_sections", "get_shunt_compensators", "get_static_var_compensators"]


def elements(path):
    """Ids of the elements of a network by kind."""
    loaded = network.load(str(path))
    return {name: sorted(getattr(loaded, name)().index) for name in COUNTS}


def packed(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mini_nb_cim16", "mini_cgmes3", "micro_bc_assembled_cim16", "svedala_relicap_cgmes3"])
def test_powsybl_makes_the_same_network_of_a_written_model(public_models, tmp_path, name):
    original = public_models / f"{name}.zip"
    write_model(ModelReader(original).read(), tmp_path / "out")
    before = elements(original)
    assert before["get_substations"]
    assert elements(packed(tmp_path / "out", tmp_path / "out.zip")) == before


@pytest.mark.slow
def test_powsybl_makes_the_same_network_of_the_demo_grid(demo_path, tmp_path):
    write_model(ModelReader(demo_path).read(), tmp_path / "out")
    (tmp_path / "demo").mkdir()
    for name in ("EQ.xml", "SSH.xml"):
        (tmp_path / "demo" / name).write_bytes((demo_path / name).read_bytes())
    for file in [one for one in (tmp_path / "out").iterdir() if one.name not in ("EQ.xml", "SSH.xml")]:
        file.unlink()
    before = elements(packed(tmp_path / "demo", tmp_path / "demo.zip"))
    assert len(before["get_substations"]) >= 10
    assert elements(packed(tmp_path / "out", tmp_path / "out.zip")) == before
