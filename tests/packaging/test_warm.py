"""The set-up compiles every kernel, and knows whether it did."""

import os
import subprocess
import sys

import pytest

from scada.cli import warm

JUDGE = """
import importlib, pkgutil, sys
from numba.core.registry import CPUDispatcher
import scada
from scada.cli.warm import FLOORS_WITH_KERNELS, warm
warm()
idle = []
for found in pkgutil.walk_packages(scada.__path__, "scada."):
    if found.name.split(".")[1] in FLOORS_WITH_KERNELS:
        module = importlib.import_module(found.name)
        idle += [f"{found.name}.{n}" for n, k in vars(module).items() if isinstance(k, CPUDispatcher) and not k.signatures]
print("idle:", *sorted(set(idle)))
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)  # compiles everything: minutes of one core, and the machine may be busy
def test_the_set_up_compiles_every_kernel(tmp_path):
    environ = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", JUDGE], env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["idle:"], done.stdout + done.stderr


def test_the_stamp_follows_the_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    package = tmp_path / "scada"
    package.mkdir()
    kernel = package / "kernel.py"
    kernel.write_text("@njit(cache=True)\ndef f(): ...\n")
    monkeypatch.setattr(warm, "_PACKAGE", package)
    assert not warm.is_warm()
    warm._note()
    assert warm.is_warm()
    (package / "other.py").write_text("pass\n")
    assert warm.is_warm()
    kernel.write_text("@njit(cache=True)\ndef g(): return 1\n")
    assert not warm.is_warm()


def test_a_cache_that_cannot_be_written_is_never_called_warm(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "below"))
    warm._note()
    assert not warm.is_warm()
