"""Members of a plant in the simulator: they add up to it, a benchmark gives what the sun gives."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.model_cim.reader import ModelReader
from scada.sim.members import Members

MODEL = """<?xml version="1.0"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#"
 xmlns:sc="urn:scada-ems:sc:1#">
<cim:SolarGeneratingUnit rdf:ID="_pv"/>{}</rdf:RDF>"""
MEMBER = """<sc:PlantMember rdf:ID="_{}"><sc:PlantMember.Plant rdf:resource="#_pv"/>
<sc:PlantMember.maximumP>{}</sc:PlantMember.maximumP><sc:PlantMember.benchmark>{}</sc:PlantMember.benchmark></sc:PlantMember>"""


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    def made(*rows):
        folder: Path = tmp_path_factory.mktemp("members")
        (folder / "m.xml").write_text(MODEL.format("".join(MEMBER.format(*row) for row in rows)))
        return Members(ModelReader(folder).read(), {"pv": 1})

    return made


def test_a_benchmark_is_left_alone_while_the_others_are_curtailed(members):
    plant = members(("a", 15, "true"), ("b", 15, "false"), ("c", 30, "false"))
    shown = plant.power(np.array([99.0, 24.0]), np.array([np.nan, 40.0]))
    # the benchmark gives its quarter of what the plant could; b and c share the rest 1 : 2
    assert shown[[plant.row[name] for name in "abc"]] == pytest.approx([10.0, 14 / 3, 28 / 3])


def test_without_a_figure_of_what_it_could_give_all_share(members):
    plant = members(("a", 15, "true"), ("b", 45, "false"))
    assert plant.power(np.array([0.0, 20.0]), np.array([np.nan, np.nan]))[plant.row["b"]] >= 0.0
    assert len(members()) == 0
    assert len(members().power(np.zeros(2), np.zeros(2))) == 0


@given(st.floats(0, 60), st.floats(0, 60), st.booleans())
def test_members_add_up_to_their_plant(members, power, could, only):
    plant = members(("a", 15, "true"), ("b", 45, "true" if only else "false"))
    shown = plant.power(np.array([0.0, power]), np.array([np.nan, max(power, could)]))
    assert shown.sum() == pytest.approx(power, abs=1e-9)
    assert (shown >= -1e-9).all()
