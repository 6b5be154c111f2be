"""Models for the tests: the demo grid, small ones written here, public ones where they are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#"
 xmlns:md="http://iec.ch/TC57/61970-552/ModelDescription/1#" xmlns:sc="urn:scada-ems:sc:1#">
"""


@pytest.fixture(scope="session")
def demo_path():
    return ROOT / "examples" / "demo-grid"


@pytest.fixture(scope="session")
def demo(demo_path):
    from scada.model_cim.points import load_model

    return load_model(demo_path)


@pytest.fixture(scope="session")
def public_models():
    folder = ROOT.parent / "shared" / "data" / "cim"
    if not folder.is_dir():
        pytest.skip("no public CIM models beside the repository")
    return folder


@pytest.fixture(scope="session")
def head():
    return HEAD


@pytest.fixture
def write(tmp_path):
    """Write the body of a CIM file; line 4 of the file is the first line of the body."""

    def write_body(body: str, name: str = "EQ.xml", end: str = "</rdf:RDF>\n") -> Path:
        (tmp_path / name).write_text(HEAD + body + end, encoding="utf-8")
        return tmp_path

    return write_body


@pytest.fixture
def edited(demo_path, tmp_path):
    """The demo grid with one text replaced in one file."""

    def edit(name: str, old: str, new: str) -> Path:
        for file in demo_path.glob("*.xml"):
            if file.name != name:
                (tmp_path / file.name).symlink_to(file)
        text = (demo_path / name).read_text(encoding="utf-8")
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new, 1), encoding="utf-8")
        return tmp_path

    return edit
