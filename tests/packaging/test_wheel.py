"""The wheel carries everything that a started program needs; the systemd unit is sound."""

import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed")
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_code_contract_page_and_texts(names):
    assert {
        "scada/cli/main.py",
        "scada/py.typed",
        "scada/api/texts/zh.json",
        "scadapb/v1/scada_pb2.py",
        "scada_hmi/serve.py",
        "scada_hmi/static/index.html",
        "scada_hmi/static/page.js",
    } <= names
    assert any(re.fullmatch(r"scada_ems-.*\.dist-info/licenses/LICENSE", name) for name in names)


def test_the_wheel_has_the_demo_grid(names):
    grid = ROOT / "examples" / "demo-grid"
    wanted = {f"scada/demo_grid/{path.relative_to(grid)}" for path in grid.rglob("*") if path.suffix in {".xml", ".svg", ".toml"}}
    assert len(wanted) > 20
    assert wanted <= names


def test_the_wheel_has_no_tests_and_no_leftovers(names):
    assert [
        name for name in names if "__pycache__" in name or name.startswith(("tests/", "bench/")) or "node_modules" in name
    ] == []


def test_systemd_accepts_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (ROOT / "deploy" / "scada.service").read_text()
    unit = tmp_path / "scada.service"
    unit.write_text(re.sub(r"^(Exec\w+=)/opt/\S+", r"\1/bin/true", text, flags=re.MULTILINE).replace("User=scada", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "scada.service" in line]
    assert ours == []
    assert done.returncode == 0, done.stderr
