"""Compile every numba kernel into its cache, so that no process compiles while it runs. Called by the set-up."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from pathlib import Path

import click

import scada

FLOORS_WITH_KERNELS = {"protocols", "rtdb", "model_cim", "events", "history", "apps"}
DONE = "kernels compiled"
"""What this module prints at its end."""

_PACKAGE = Path(scada.__file__).parent


def warm() -> list[str]:
    """Import each module of the package that has a ``warm_up`` function and call it; returns their names."""
    warmed = []
    for found in pkgutil.walk_packages(scada.__path__, "scada."):
        if found.name.split(".")[1] not in FLOORS_WITH_KERNELS:
            continue
        module = importlib.import_module(found.name)
        if hasattr(module, "warm_up"):
            module.warm_up()
            warmed.append(found.name)
    return warmed


def is_warm() -> bool:
    """Whether the kernels were compiled since their source changed, by this Python, into the cache that is in use."""
    try:
        return _stamp().read_text("utf-8") == _state()
    except OSError:
        return False


def _stamp() -> Path:
    return Path(os.environ.get("NUMBA_CACHE_DIR") or _PACKAGE / "__pycache__") / "scada-kernels"


def _state() -> str:
    """Python and, as numba does for its cache, time and size of each module with kernels."""
    lines = [sys.version]
    for path in sorted(_PACKAGE.rglob("*.py")):
        if b"njit(" in path.read_bytes():
            stat = path.stat()
            lines.append(f"{path} {stat.st_mtime_ns} {stat.st_size}")
    return "\n".join(lines)


def _note() -> None:
    """Leave the stamp; where the cache cannot be written there is none, and the next start looks again."""
    try:
        _stamp().parent.mkdir(parents=True, exist_ok=True)
        _stamp().write_text(_state(), "utf-8")
    except OSError:
        return


if __name__ == "__main__":
    names = warm()
    _note()
    click.echo(f"{DONE}: {', '.join(names)}")
