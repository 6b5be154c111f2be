"""The SC profile: its file, its checks, its documentation, and that it is what the code reads."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from scada.cli.model import command
from scada.model_cim.findings import Finding
from scada.model_cim.reader import ModelReader
from scada.model_cim.sc_profile import as_markdown, rdfs_text, sc_findings, sc_profile

ROOT = Path(__file__).parents[2]
WRITERS = {"template_items.py", "importing.py", "forwarding_rows.py", "sc_profile.py"}
"""Modules that write properties of the profile; what only they name is read by nobody."""
HEAD = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#"
 xmlns:sc="urn:scada-ems:sc:1#">"""


def _read(path: Path) -> tuple[set[str], set[str]]:
    """(texts that start with ``sc:``, with ``*`` for what is only known when it runs; other texts) of one module."""
    tree = ast.parse(path.read_text())
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    ours, others = set[str](), set[str]()
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(_part(part, module) for part in node.values)
            if text.startswith("sc:") or re.fullmatch(r"\*\.\w+", text):
                ours.add(text)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            (ours if re.fullmatch(r"sc:[\w.]+", node.value) else others).add(node.value)
    return ours, others


def _part(part: ast.expr, module: object) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name):
        known = getattr(module, part.value.id, None)
        if isinstance(known, str):
            return known
    return "*"


def _modules() -> Iterator[Path]:
    for path in (ROOT / "scada").rglob("*.py"):
        text = path.read_text()
        if '"sc:' in text or "forwarding import" in text:
            yield path


def test_the_code_names_nothing_that_the_profile_has_not() -> None:
    profile = sc_profile()
    known = {*profile.properties, *profile.classes}
    for path in _modules():
        for name in _read(path)[0]:
            if "*" not in name and not name.endswith("."):
                owner, _, prop = name.removeprefix("sc:").partition(".")
                one = profile.classes.get(owner) or profile.classes.get(f"sc:{owner}")
                assert name in known or (one is not None and (not prop or one.parameters)), f"{path.name}: {name}"


def test_every_property_of_the_profile_is_read_somewhere() -> None:
    read = [_read(path) for path in _modules() if path.name not in WRITERS and not path.name.startswith("instrument")]

    def is_read(prop: str) -> bool:
        owner, _, last = prop.partition(".")
        for names, others in read:
            if prop in names:
                return True
            patterned = any("*" in name and fnmatchcase(prop, name) for name in names)
            prefixed = f"{owner}." in names or owner in names
            if (patterned or prefixed) and last in others:
                return True
            if any(name == f"*.{last}" for name in names):
                return True
        return False

    unread = [prop for prop in sc_profile().properties if not is_read(prop)]
    assert unread == []


def test_the_file_is_rdfs_with_two_languages_everywhere() -> None:
    rdfs = "{http://www.w3.org/2000/01/rdf-schema#}"
    for one in ET.fromstring(rdfs_text()):
        languages = {comment.get("{http://www.w3.org/XML/1998/namespace}lang") for comment in one.findall(f"{rdfs}comment")}
        assert languages == {"en", "zh"}, ET.tostring(one)
    profile = sc_profile()
    for prop in profile.properties.values():
        assert prop.domain in profile.classes, prop.name
        assert bool(prop.range) != bool(prop.data_type), prop.name
        assert not prop.range.startswith("sc:") or prop.range in profile.classes, prop.name
        assert prop.data_type in {"", "String", "Integer", "Float", "Boolean", *profile.enumerations}, prop.name


def test_the_documentation_is_the_profile() -> None:
    page = (ROOT / "docs/model/sc-profile.md").read_text()
    _, _, reference = page.partition("## Reference\n")
    assert reference.partition("\n### ")[2] == as_markdown().partition("### ")[2], "run: scada model profile --markdown"
    known = {*sc_profile().properties, *sc_profile().classes}
    for name in re.findall(r"`(sc:[A-Z]\w+\.\w+)`", page):
        assert name in known or any(name.startswith(f"sc:{one}.") for one in ("Device", "DeviceItem")), name


def _found(tmp_path: Path, body: str) -> list[Finding]:
    (tmp_path / "m.xml").write_text(f"{HEAD}\n{body}\n</rdf:RDF>")
    return sc_findings(ModelReader(tmp_path).read())


@pytest.mark.parametrize(
    ("body", "rule", "hint"),
    [
        (
            '<cim:Command rdf:ID="_c"><sc:Control.selekt>false</sc:Control.selekt></cim:Command>',
            "sc.property",
            "did you mean sc:Control.select?",
        ),
        ('<sc:ForbidenZone rdf:ID="_z"/>', "sc.class", "did you mean sc:ForbiddenZone?"),
        (
            '<cim:Analog rdf:ID="_a"><sc:Control.deviceNumber>1</sc:Control.deviceNumber></cim:Analog>',
            "sc.domain",
            "it belongs to Control",
        ),
        (
            '<cim:RemoteUnit rdf:ID="_u"><sc:RemoteUnit.Substation>Beishan</sc:RemoteUnit.Substation></cim:RemoteUnit>',
            "sc.kind",
            "give a reference to a Substation",
        ),
        (
            '<cim:GeneratingUnit rdf:ID="_g"><sc:GeneratingUnit.baseMode>AUTOO</sc:GeneratingUnit.baseMode></cim:GeneratingUnit>',
            "sc.value",
            "did you mean AUTO?",
        ),
        (
            '<cim:RemoteSource rdf:ID="_s"><sc:RemotePoint.ioa>1.5</sc:RemotePoint.ioa></cim:RemoteSource>',
            "sc.value",
            "give a whole number",
        ),
        (
            '<cim:RemoteSource rdf:ID="_s"><sc:RemotePoint.scale>inf</sc:RemotePoint.scale></cim:RemoteSource>',
            "sc.value",
            "give a finite number",
        ),
        (
            '<cim:SetPoint rdf:ID="_s"><sc:Control.select>yes</sc:Control.select></cim:SetPoint>',
            "sc.value",
            "true or false",
        ),
        (
            '<cim:RemoteSource rdf:ID="_s">' + 2 * "<sc:RemotePoint.ioa>1</sc:RemotePoint.ioa>" + "</cim:RemoteSource>",
            "sc.multiplicity",
            "keep one",
        ),
    ],
)
def test_what_cannot_be_meant_is_a_finding_with_place_and_hint(tmp_path: Path, body: str, rule: str, hint: str) -> None:
    (found,) = _found(tmp_path, body)
    assert (found.rule, found.hint) == (rule, hint)
    assert found.where.endswith("m.xml:3")


def test_parameters_of_drivers_and_templates_are_open(tmp_path: Path) -> None:
    body = '<cim:RemoteUnit rdf:ID="_u"><sc:RemoteUnit.myOwn>1</sc:RemoteUnit.myOwn></cim:RemoteUnit>'
    assert _found(tmp_path, body) == []


def test_a_wrong_value_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text(
        f'{HEAD}<cim:RemoteSource rdf:ID="_s"><sc:RemotePoint.ioa>x</sc:RemotePoint.ioa></cim:RemoteSource></rdf:RDF>'
    )
    model = ModelReader(tmp_path).read()
    assert [one.rule for one in sc_findings(model)] == ["sc.value"]
    model.number("s", "sc:RemotePoint.ioa")
    assert [one.rule for one in model.findings] == ["value.wrong"]
    assert sc_findings(model) == []


@pytest.mark.parametrize("example", ["demo-grid", "devices"])
def test_the_examples_say_nothing_unknown(example: str) -> None:
    assert sc_findings(ModelReader(ROOT / "examples" / example).read()) == []


def test_the_command_prints_the_file_and_the_tables() -> None:
    runner = CliRunner()
    assert runner.invoke(command, ["profile", "--rdfs"]).output == rdfs_text()
    assert runner.invoke(command, ["profile", "--markdown"]).output == as_markdown()
    assert "先选后控" in runner.invoke(command, ["profile", "--markdown", "--lang", "zh"]).output
    short = runner.invoke(command, ["profile"]).output
    assert "sc:Control.select" in short
