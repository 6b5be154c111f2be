"""Environments of the peers: each has a folder ``bench/peers/NAME`` with locked requirements and gets its ``.venv`` on demand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "peers"
INSTALL_S = 300.0


class PeerError(RuntimeError):
    """A peer cannot be installed or does not do the work; the message is shown beside its empty figure."""


def environment(name: str) -> Path:
    """The folder of executables of a peer's environment, made if it is not there or its lock has changed.

    Raises:
        PeerError: it cannot be made.
    """
    lock, venv = FOLDER / name / "requirements.txt", FOLDER / name / ".venv"
    stamp, python = venv / ".lock", venv / "bin" / "python"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return python.parent
    uv = [sys.executable, "-m", "uv", "-q"]
    _run(name, [*uv, "venv", "--clear", "-p", sys.executable, str(venv)])
    _run(name, [*uv, "pip", "install", "-p", str(python), "--require-hashes", "-r", str(lock)])
    shutil.copyfile(lock, stamp)
    return python.parent


def _index() -> dict[str, str]:
    """The package index that pip is configured with, for uv where it has none of its own."""
    if os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL"):
        return {}
    asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    found = os.environ.get("PIP_INDEX_URL") or subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return {"UV_DEFAULT_INDEX": found} if found else {}


def _run(name: str, command: list[str]) -> None:
    variables = {**os.environ, **_index()}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False, env=variables)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"{name} cannot be installed: {error}") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["uv said nothing"]
        raise PeerError(f"{name} cannot be installed: {last[0][:300]}")
