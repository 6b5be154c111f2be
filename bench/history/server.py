"""A PostgreSQL server of the installed package in a temporary folder, as the user ``postgres`` if we are root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peers import PeerError

_START_S = 30.0


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start it and give its connection string; durable as it comes (fsync on), with room for a day of rows.

    Raises:
        PeerError: it is not installed or does not start.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise PeerError("PostgreSQL is not installed (Debian: postgresql)")
    programs = found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="scada-bench-pg-"))
    more: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:
        try:
            shutil.chown(folder, "postgres", "postgres")
        except LookupError as error:
            raise PeerError("PostgreSQL does not run as root, and there is no user postgres") from error
        more |= {"user": "postgres", "group": "postgres", "extra_groups": []}
    try:
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "bench", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"]
        done = subprocess.run(initdb, capture_output=True, text=True, check=False, **more)
        if done.returncode:
            raise PeerError(f"initdb: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1][:300]}")
        settings = {"unix_socket_directories": folder, "listen_addresses": "", "shared_buffers": "256MB", "max_wal_size": "4GB"}
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("ab") as log:
            server = subprocess.Popen([programs / "postgres", "-D", folder / "data", *given], stdout=log, stderr=log, **more)
        try:
            _wait_until_up(programs, folder)
            yield f"host={folder} user=bench dbname=postgres"
        finally:
            server.terminate()
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_up(programs: Path, folder: Path) -> None:
    ask = [programs / "pg_isready", "-q", "-h", folder]
    deadline = time.monotonic() + _START_S
    while subprocess.run(ask, check=False).returncode:
        if time.monotonic() > deadline:
            raise PeerError(f"PostgreSQL does not start: {(folder / 'log').read_text(errors='replace')[-300:]}")
        time.sleep(0.05)
