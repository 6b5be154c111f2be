"""``scada model diff``, ``patch`` and ``merge``: what a user sees and what is written."""

import json
import shutil

import pytest
from click.testing import CliRunner

from scada.cli.model_diff import diff, merge, patch
from scada.core.errors import ModelError
from scada.model_cim.difference import diff_models
from scada.model_cim.merge import merge_files
from scada.model_cim.reader import ModelReader

GRID = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#"
 xmlns:sc="urn:scada-ems:sc:1#">
<cim:Substation rdf:ID="_s"><cim:IdentifiedObject.name>Nord</cim:IdentifiedObject.name></cim:Substation>
<cim:VoltageLevel rdf:ID="_v"><cim:IdentifiedObject.name>110kV</cim:IdentifiedObject.name>
<cim:VoltageLevel.Substation rdf:resource="#_s"/></cim:VoltageLevel>
<cim:Breaker rdf:ID="_b"><cim:IdentifiedObject.name>Q1</cim:IdentifiedObject.name>
<cim:Equipment.EquipmentContainer rdf:resource="#_v"/><cim:Switch.normalOpen>false</cim:Switch.normalOpen></cim:Breaker>
<cim:RemoteUnit rdf:ID="_u"><cim:IdentifiedObject.name>RTU</cim:IdentifiedObject.name>
<sc:RemoteUnit.protocol>iec104</sc:RemoteUnit.protocol><sc:RemoteUnit.commonAddress>1</sc:RemoteUnit.commonAddress>
<sc:RemoteUnit.port>2404</sc:RemoteUnit.port><sc:RemoteUnit.Substation rdf:resource="#_s"/></cim:RemoteUnit>
<cim:Analog rdf:ID="_a"><cim:IdentifiedObject.name>I</cim:IdentifiedObject.name>
<cim:Measurement.PowerSystemResource rdf:resource="#_b"/></cim:Analog>
<cim:AnalogValue rdf:ID="_av"><cim:IdentifiedObject.name>I</cim:IdentifiedObject.name>
<cim:AnalogValue.Analog rdf:resource="#_a"/></cim:AnalogValue>
<cim:RemoteSource rdf:ID="_as"><cim:RemoteSource.MeasurementValue rdf:resource="#_av"/>
<cim:RemotePoint.RemoteUnit rdf:resource="#_u"/><sc:RemotePoint.ioa>100</sc:RemotePoint.ioa>
<sc:RemotePoint.typeId>36</sc:RemotePoint.typeId></cim:RemoteSource>
</rdf:RDF>
"""
PATH = "Nord/110kV/Q1/I"


def run(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def version(tmp_path):
    def with_edits(name, *edits):
        folder = tmp_path / name
        (folder / "templates").mkdir(parents=True)
        (folder / "templates" / "meter.toml").write_text('name = "Meter"\n')
        text = GRID
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        (folder / "EQ.xml").write_text(text)
        return folder

    return with_edits


NEW_ADDRESS = (">100<", ">200<")
NORMALLY_OPEN = ("normalOpen>false", "normalOpen>true")


def test_the_same_is_exit_code_0_and_different_1_and_trouble_2(version, tmp_path):
    old = version("old")
    same = run(diff, old, version("same", ("<cim:Analog rdf", "\n\n<cim:Analog rdf")))
    assert (same.exit_code, same.output) == (0, "the models say the same\n")
    other = run(diff, old, version("other", NEW_ADDRESS))
    assert other.exit_code == 1
    assert other.output.splitlines() == [
        "Nord",
        f"    point {PATH}: address RTU CA 1 IOA 100 type 36 -> RTU CA 1 IOA 200 type 36",
        "    channel RTU stays connected: 1 of its points and controls change",
        "objects: 0 new, 0 gone, 1 changed",
        "effects: 2, dangerous (!): 0",
    ]
    missing = run(diff, old, tmp_path / "nowhere")
    assert missing.exit_code == 2
    assert "no such model folder or file" in missing.output
    broken = version("broken")
    (broken / "EQ.xml").write_text(GRID[:-20])
    assert run(diff, old, broken).exit_code == 2


def test_objects_are_listed_with_their_values_and_places(version):
    other = version("other", NEW_ADDRESS)
    lines = run(diff, version("old"), other, "--objects").output.splitlines()
    assert lines[:3] == [
        "Nord",
        f"  ~ RemoteSource {PATH} [as]  {other}/EQ.xml:15",
        f"      sc:RemotePoint.ioa: 100 -> 200  {other}/EQ.xml:16",
    ]
    chinese = run(diff, version("old2"), other, "--objects", "--lang", "zh").output
    assert "修改 1 个" in chinese


def test_a_station_is_picked_and_an_unknown_one_refused(version):
    old, other = version("old"), version("other", NEW_ADDRESS, NORMALLY_OPEN)
    assert f"point {PATH}" in run(diff, old, other, "--station", "Nord").output
    unknown = run(diff, old, other, "--station", "Atlantis")
    assert unknown.exit_code == 2
    assert "one of Nord" in unknown.output


def test_json_has_statements_and_effects(version):
    result = run(diff, version("old"), version("other", NORMALLY_OPEN), "--json")
    read = json.loads(result.output)
    assert read["same"] is False
    assert read["forward"] == [{"mrid": "b", "property": "Switch.normalOpen", "value": "true", "kind": "text"}]
    assert read["counts"] == {"switch-normal": 1}


def test_a_changed_template_is_an_effect_though_no_statement_changes(version):
    old, other = version("old"), version("other")
    (other / "templates" / "meter.toml").write_text('name = "Meter, new"\n')
    result = run(diff, old, other)
    assert result.exit_code == 1
    assert "template file templates/meter.toml: changed" in result.output


def test_the_written_difference_is_applied_and_taken_back(version, tmp_path):
    old, other, file = version("old"), version("other", NEW_ADDRESS, NORMALLY_OPEN), tmp_path / "change.xml"
    assert f"written to {file}" in run(diff, old, other, "--xml", file, "--message", "RTU rewired").output
    assert "<md:Model.description>RTU rewired</md:Model.description>" in file.read_text()
    there = run(patch, old, file, "--out", tmp_path / "next")
    assert there.exit_code == 0, there.output
    assert not diff_models(ModelReader(tmp_path / "next").read(), ModelReader(other).read(), spelling=True)
    assert (tmp_path / "next" / "templates" / "meter.toml").is_file()
    again = run(patch, tmp_path / "next", file, "--out", tmp_path / "again")
    assert again.exit_code == 1
    assert "conflicts: 2; nothing was written" in again.output
    assert f"{PATH} [as] sc:RemotePoint.ioa = '100' goes; the model says '200'" in again.output
    assert not (tmp_path / "again").exists()
    assert run(patch, tmp_path / "next", file, "--reverse", "--out", tmp_path / "next").exit_code == 0
    assert not diff_models(ModelReader(tmp_path / "next").read(), ModelReader(old).read(), spelling=True)


def test_a_patch_without_a_folder_is_only_tried(version, tmp_path):
    old, file = version("old"), tmp_path / "change.xml"
    run(diff, old, version("other", NEW_ADDRESS), "--xml", file)
    before = (old / "EQ.xml").read_bytes()
    assert run(patch, old, file).output == "objects: 0 new, 0 gone, 1 changed\n"
    assert (old / "EQ.xml").read_bytes() == before


def test_two_engineers_merge(version, tmp_path):
    base, anna, boris = version("base"), version("anna", NEW_ADDRESS), version("boris", NORMALLY_OPEN)
    (boris / "templates" / "new.toml").write_text('name = "New"\n')
    result = run(merge, base, anna, boris, "--out", tmp_path / "next", "--xml", tmp_path / "merged.xml")
    assert result.exit_code == 0, result.output
    assert "no conflict: objects: 0 new, 0 gone, 2 changed" in result.output
    both = ModelReader(version("both", NEW_ADDRESS, NORMALLY_OPEN)).read()
    assert not diff_models(ModelReader(tmp_path / "next").read(), both, spelling=True)
    assert (tmp_path / "next" / "templates" / "new.toml").is_file()
    assert run(patch, base, tmp_path / "merged.xml").exit_code == 0


def test_conflicts_are_named_and_nothing_is_written(version, tmp_path):
    base, anna, boris = version("base"), version("anna", NEW_ADDRESS), version("boris", (">100<", ">300<"))
    for folder, text in ((anna, "Anna's"), (boris, "Boris'")):
        (folder / "templates" / "meter.toml").write_text(f'name = "{text}"\n')
    result = run(merge, base, anna, boris, "--out", tmp_path / "next")
    assert result.exit_code == 1
    assert f"mine '200' at {anna}/EQ.xml:16, theirs '300' at {boris}/EQ.xml:16 (before: 100)" in result.output
    assert "file: templates/meter.toml" in result.output
    assert not (tmp_path / "next").exists()
    read = json.loads(run(merge, base, anna, boris, "--json").output)
    assert [one["kind"] for one in read["conflicts"]] == ["both-changed"]
    assert read["files"] == ["templates/meter.toml"]


def test_a_folder_with_something_in_it_is_not_merged_into(version, tmp_path):
    base = version("base")
    shutil.copytree(base, tmp_path / "full")
    result = run(merge, base, base, base, "--out", tmp_path / "full")
    assert isinstance(result.exception, ModelError)
    assert "not empty" in str(result.exception)


def test_files_beside_the_xml_are_taken_from_whoever_changed_them():
    base = {"a": "1", "b": "1", "c": "1", "d": "1", "diagrams/x.svg": "1"}
    mine = {"a": "2", "b": "1", "d": "2", "diagrams/x.svg": "2", "m": "1"}
    theirs = {"a": "1", "b": "2", "c": "1", "d": "3", "diagrams/x.svg": "3", "t": "1"}
    chosen, clashes = merge_files(base, mine, theirs)
    assert clashes == ["d"]
    assert chosen == {"a": 1, "b": 2, "d": 1, "diagrams/x.svg": 1, "m": 1, "t": 2}
