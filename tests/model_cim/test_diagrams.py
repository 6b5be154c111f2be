"""Drawing in a worker process, and the words when it cannot be done."""

from __future__ import annotations

import importlib.util

import pytest

from scada.core.errors import ModelError
from scada.model_cim import diagrams
from scada.model_cim.reader import ModelReader


def test_without_the_extra_the_user_is_told_what_to_install(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pypowsybl, which is not installed") as caught:
        diagrams.draw_diagrams(demo[0], tmp_path)
    assert "diagrams" in caught.value.mend


@pytest.mark.interop
def test_a_public_model_is_drawn_from_its_zip(public_models, tmp_path):
    pytest.importorskip("pypowsybl")
    model = ModelReader(public_models / "mini_nb_cim16.zip").read()
    drawn = diagrams.draw_diagrams(model, tmp_path / "out")
    assert len(drawn) == len(model.ids("Substation"))
    assert all(file.read_text(encoding="utf-8").startswith("<?xml") for file in drawn)


@pytest.mark.interop
def test_a_model_that_cannot_be_drawn_is_one_line(write, tmp_path):
    pytest.importorskip("pypowsybl")
    model = ModelReader(write('<cim:Substation rdf:ID="_s"/>\n')).read()
    with pytest.raises(ModelError, match="drawing the diagrams failed") as caught:
        diagrams.draw_diagrams(model, tmp_path / "out")
    assert "\n" not in str(caught.value)
