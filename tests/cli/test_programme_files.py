"""Programmes as files."""

import tomllib
from pathlib import Path

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.cli.programme_files import programme_of_file, read_programme
from scada.core.errors import ConfigError
from scada.model_cim.points import load_model

EXAMPLES = Path(__file__).parents[2] / "examples"
CONTROL = pb.ControlInfo(mrid="m-1", path="S/B/101", kind=2, states={1: "open", 2: "close"})
CONTROLS = {"S/B/101": CONTROL, "m-1": CONTROL}


def read(text):
    return programme_of_file(tomllib.loads(text), CONTROLS, "p.toml")


def test_a_step_as_it_is_written():
    step = 'control = "S/B/101"\nvalue = "close"\ncondition = "x > 1"\ntimeout_s = 5\npause_s = 2.5\nnote = "look"\n'
    made = read(f'name = "p"\nkind = "group"\n[[step]]\n{step}accept_no_feedback = true\n[[step]]\ncontrol = "m-1"\nvalue = 1\n')
    assert (made.name, made.kind) == ("p", "group")
    first, second = made.steps
    assert (first.control, first.value, first.condition, first.timeout_s, first.pause_s) == ("m-1", 2.0, "x > 1", 5.0, 2.5)
    assert (first.note, first.accept_no_feedback) == ("look", True)
    assert (second.value, second.accept_no_feedback) == (1.0, False), "who does not say so waits for a person"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('accept_no_feedback = "yes"', "true or false"),
        ("accept_no_feedback = 1", "true or false"),
        ("accept_feedback = true", "unknown: accept_feedback"),
        ('pause_s = "soon"', "numbers of seconds"),
        ('value = "tripped"', "no value"),
        ('control = "S/B/999"', "no control"),
    ],
)
def test_what_is_not_known_is_refused_with_its_place(line, words):
    known = {"control": 'control = "m-1"', "value": 'value = "open"'}
    known[line.split(" ")[0]] = line
    with pytest.raises(ConfigError, match=words) as told:
        read('name = "p"\n[[step]]\n' + "\n".join(known.values()))
    assert told.value.where == "p.toml: step 1"


def test_the_examples_are_of_controls_of_the_demo_grid():
    _, tables, _ = load_model(EXAMPLES / "demo-grid")
    infos = [pb.ControlInfo(mrid=one.mrid, path=one.path, kind=2, states=one.states) for one in tables.controls]
    controls = {one.path: one for one in infos}
    for file in sorted((EXAMPLES / "programmes").glob("*.toml")):
        assert programme_of_file(read_programme(file), controls, str(file)).steps
