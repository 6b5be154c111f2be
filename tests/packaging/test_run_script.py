"""``./run`` and the translation of pip's configuration for uv."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = ROOT / "run"


@pytest.fixture(scope="module")
def index():
    spec = importlib.util.spec_from_file_location("requirements_index", ROOT / "requirements" / "index.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bare(tmp_path):
    """Runs ``./run`` on a host whose tools we write: what is not named is the host's own."""
    tools = tmp_path / "bin"
    tools.mkdir()

    def go(*arguments, **scripts):
        for name, body in scripts.items():
            tool = tools / name.replace("_", "-")
            tool.write_text(f"#!/bin/sh\n{body}\n")
            tool.chmod(0o755)
        environ = {"PATH": f"{tools}:/usr/bin:/bin", "SCADA_VENV": str(tmp_path / "venv"), "HOME": str(tmp_path)}
        return subprocess.run([RUN, *arguments], env=environ, capture_output=True, text=True, check=False, timeout=30)

    return go


NO_ENSUREPIP = 'case "$*" in *ensurepip*) exit 1;; *"-m venv"*) echo venv made >&2; exit 7;; esac'


def test_an_unknown_verb_is_named(bare):
    done = bare("nonsense")
    assert done.returncode == 2
    assert "no such verb: nonsense" in done.stderr
    assert "./run demo" in done.stderr


def test_help_names_every_verb(bare):
    text = bare().stdout
    verbs = re.findall(r"^    ([a-z]+)\)", RUN.read_text(), re.MULTILINE)
    assert {"demo", "test", "scada", "lint", "types", "docs", "bench", "proto", "lock"} == set(verbs)
    assert [verb for verb in verbs if not re.search(rf"(\./run |\| ){verb}\b", text)] == []


def test_an_old_python_is_named(bare):
    done = bare("scada", python3='[ "$1" = -V ] && echo Python 3.9.2; exit 1')
    assert done.returncode == 1
    assert "Python 3.9.2, 3.11 or newer is needed" in done.stderr


def test_without_venv_a_user_is_told_the_one_line(bare):
    done = bare("scada", python3=NO_ENSUREPIP, id="echo 1000", apt_get="exit 1", sudo="exit 1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("type:  sudo sh -c 'apt-get update && apt-get install -y python3-venv'")
    assert "venv made" not in done.stderr


def test_without_venv_root_on_debian_installs_it(bare, tmp_path):
    done = bare("scada", python3=NO_ENSUREPIP, id="echo 0", apt_get=f'echo "$*" >> {tmp_path}/apt')
    assert (tmp_path / "apt").read_text().splitlines() == ["update", "install -y python3-venv"]
    assert done.returncode == 7
    assert "venv made" in done.stderr


def test_an_installation_that_fails_is_told(bare):
    done = bare("scada", python3=NO_ENSUREPIP, id="echo 0", apt_get="exit 100")
    assert done.returncode == 1
    assert "that failed; type:  apt-get update" in done.stderr
    assert "venv made" not in done.stderr


LISTING = """:env:.cert='/etc/ca.crt'
global.index-url='https://one.example/simple'
global.extra-index-url='https://two.example/simple\\nhttps://three.example/simple'
install.index-url='https://four.example/simple'
freeze.timeout='3'
user.email
"""


def test_a_later_section_of_pip_overrides(index):
    found = index.pip_settings(LISTING)
    assert found["index-url"] == "https://four.example/simple"
    assert found["cert"] == "/etc/ca.crt"
    assert "timeout" not in found


def test_uv_is_told_what_pip_knows(index):
    told = dict(index.for_uv(index.pip_settings(LISTING), {}, uv_files=False))
    assert told == {
        "UV_DEFAULT_INDEX": "https://four.example/simple",
        "UV_INDEX": "https://two.example/simple https://three.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/etc/ca.crt",
    }


@pytest.mark.parametrize(("environ", "uv_files"), [({"UV_DEFAULT_INDEX": "https://mine.example"}, False), ({}, True)])
def test_what_uv_is_told_itself_stands(index, environ, uv_files):
    told = dict(index.for_uv(index.pip_settings(LISTING), {**environ, "SSL_CERT_FILE": "/mine.crt"}, uv_files))
    assert told == {}


def test_a_local_index_that_is_not_there_is_passed_over_as_pip_does(index, tmp_path):
    settings = {"extra-index-url": f"file://{tmp_path}/none file://{tmp_path}", "find-links": f"{tmp_path}/none"}
    told = dict(index.for_uv(settings, {}, uv_files=False))
    assert told["UV_INDEX"] == f"file://{tmp_path}"
    assert "UV_FIND_LINKS" not in told


def test_without_certificates_of_its_own_uv_uses_the_systems(index):
    assert dict(index.for_uv({}, {}, uv_files=False))["UV_SYSTEM_CERTS"] == "1"
