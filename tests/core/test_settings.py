"""Configuration: defaults, relative paths, every fault named."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from scada.cli.config import command
from scada.core.errors import ConfigError
from scada.core.settings import Settings, load_settings, parse_settings


def test_relative_paths_start_at_the_file(tmp_path):
    (tmp_path / "scada.toml").write_text(
        '[model]\npath = "grid"\n[rtdb]\npath = "/abs"\n[channels.A.params]\nk = 8\ntls_ca = "ca.pem"\ntls_key = "/k"\n'
    )
    settings = load_settings(tmp_path / "scada.toml")
    assert settings.model.path == tmp_path / "grid"
    assert str(settings.rtdb.path) == "/abs"
    assert settings.security.keys == tmp_path / "var/keys"
    assert settings.channels["A"].params == {"k": 8, "tls_ca": str(tmp_path / "ca.pem"), "tls_key": "/k"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[rtdb]\ntick_ms = 0\n[api]\nport = 99999\n", ["rtdb.tick_ms", "api.port"]),
        ("[rtbd]\n", ["rtbd"]),
        ("[site\n", ["not TOML"]),
        ('[channels.A]\nport = "x"\n', ["channels.A.port"]),
    ],
)
def test_every_fault_is_named_in_one_line(tmp_path, text, named):
    (tmp_path / "scada.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / "scada.toml")
    message = str(caught.value)
    assert all(name in message for name in named)
    assert "\n" not in message


def test_a_missing_or_binary_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load_settings(tmp_path / "none.toml")
    (tmp_path / "bin.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_settings(tmp_path / "bin.toml")


def test_the_printed_example_is_the_default_configuration(tmp_path):
    text = CliRunner().invoke(command, ["example"]).output
    settings = parse_settings(tomllib.loads(text), base=tmp_path)
    assert settings == parse_settings({}, base=tmp_path)
    assert set(Settings.model_fields) - {"channels", "drivers"} == set(tomllib.loads(text))


def test_the_published_schema_is_the_programs():
    published = Path(__file__).resolve().parents[2] / "docs" / "scada.schema.json"
    assert json.loads(published.read_text()) == Settings.model_json_schema(), (
        "run: ./run scada config schema > docs/scada.schema.json"
    )
