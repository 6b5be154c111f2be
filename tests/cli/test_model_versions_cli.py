"""``scada model`` towards a server: every command takes the options of a connection."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from scada.cli import model_versions
from scada.core.errors import ScadaError


@pytest.mark.parametrize(
    "words",
    [
        ["versions"],
        ["try", "FOLDER"],
        ["log"],
    ],
    ids=" ".join,
)
def test_a_command_without_a_server_says_so(words, tmp_path):
    (tmp_path / "EQ.xml").write_text("<rdf:RDF/>")
    commands = {command.name: command for command in vars(model_versions).values() if hasattr(command, "callback")}
    command = commands[words[0]]
    given = [str(tmp_path) if word == "FOLDER" else word for word in words[1:]]
    given += ["--server", "127.0.0.1:1", "--keys", str(tmp_path), "--station", "desk", "--plain"]
    with pytest.raises(ScadaError):
        CliRunner().invoke(command, given, catch_exceptions=False, standalone_mode=False)
