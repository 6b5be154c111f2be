"""`scada rest token`: what is issued is what was said, and shown in the list."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from scada.cli.main import cli
from scada.core.clock import SystemClock
from scada.rest.tokens import TokenStore


@pytest.fixture
def run(tmp_path):
    config = tmp_path / "scada.toml"
    config.write_text("")

    def _run(*words):
        return CliRunner().invoke(cli, ["rest", "token", *words, "-c", str(config)], catch_exceptions=True)

    return _run


def test_a_token_has_the_rights_that_were_said(run, tmp_path):
    words = ["--scope", "values, events", "--station", "East", "--class", "Analog", "--class", "status", "--hide", "events.key"]
    made = run("issue", "lab", *words)
    assert made.exit_code == 0, made.output
    token = TokenStore(tmp_path / "var" / "rest" / "tokens.json", SystemClock()).check(made.output.strip())
    assert (token.scopes, token.stations, token.classes) == (("values", "events"), ("East",), ("Analog", "status"))
    assert (token.hidden, token.persons) == (("events.key",), False)
    other = run("issue", "police", "--scope", "events", "--persons")
    shown = run("list").output
    assert "Analog,status" in shown
    assert "events.key,persons" in shown
    assert made.output.strip().split("_", 2)[2] not in shown
    identifier = other.output.split("_")[1]
    assert f"revoked: {identifier} of police" in run("revoke", identifier).output


def test_what_cannot_be_hidden_is_refused(run, tmp_path):
    refused = run("issue", "lab", "--hide", "values.quality")
    assert refused.exit_code != 0
    assert not (tmp_path / "var").exists()
