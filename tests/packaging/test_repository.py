"""What the repository holds: no registry, no machine, no secret; locks pinned by hash; changes told."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NOT_OURS = {"node_modules", "artefacts", "__pycache__", "dist", "build"}
BINARY = {".png", ".ico", ".woff2", ".pcap", ".gz"}
# written in pieces, so that this list does not find itself
REGISTRIES = ["pypi" + ".org", "python" + "hosted.org", "registry.npm" + "js.org", "npm" + "mirror", "--index" + "-url http"]
MACHINE = ["/wo" + "rk/", "/ho" + "me/", "/ro" + "ot/"]
SECRET = re.compile("-----BEGIN [A-Z ]*PRIVATE" + " KEY-----\n[A-Za-z0-9+/=\n]{40,}")


def names():
    if (ROOT / ".git").exists() and shutil.which("git"):
        told = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        return [name for name in told.stdout.split("\0") if name]
    paths = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]  # an unpacked archive
    return [str(path) for path in paths if not any(part in NOT_OURS or _is_hidden(part) for part in path.parts)]


def _is_hidden(part):
    return part.startswith(".") and part not in {".ci", ".gitignore", ".gitattributes"}


def files():
    return [ROOT / name for name in names() if (ROOT / name).is_file() and Path(name).suffix not in BINARY]


@pytest.fixture(scope="module")
def texts():
    return {str(path.relative_to(ROOT)): path.read_text("utf-8", "replace") for path in files()}


@pytest.mark.parametrize("word", REGISTRIES + MACHINE)
def test_no_file_names_a_registry_or_a_place_of_a_machine(texts, word):
    assert [name for name, text in texts.items() if word in text] == []


def test_no_file_holds_a_private_key(texts):
    vectors = {"tests/security/test_pkcs8.py"}  # published test vectors
    assert [name for name, text in texts.items() if SECRET.search(text) and name not in vectors] == []


@pytest.mark.parametrize("name", ["run", "test", "uv", "node"])
def test_every_requirement_is_pinned_with_hashes_and_without_an_index(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not re.search(r"^\s*-(?!-hash)", text, re.MULTILINE)
    entries = re.split(r"\n(?=[A-Za-z])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._\[\]-]+==[^ ]+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_the_npm_lock_holds_hashes_and_no_address():
    packages = json.loads((ROOT / "hmi-client" / "package-lock.json").read_text())["packages"]
    locked = {name: entry for name, entry in packages.items() if name}
    assert locked
    assert [name for name, entry in locked.items() if "resolved" in entry or "integrity" not in entry] == []


def test_the_lock_has_what_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {"run": project["dependencies"] + extras["c104"] + extras["postgresql"]}
    wanted["test"] = wanted["run"] + extras["dev"] + extras["diagrams"] + extras["parquet"]
    for name, lines in wanted.items():
        locked = set(re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE))
        assert {re.match(r"[A-Za-z0-9._-]+", line)[0] for line in lines} - locked == set()


def test_news_fragments_are_named_for_their_kind():
    names = [path.name for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md"]
    assert [name for name in names if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.(added|changed|fixed)\.md", name)] == []
