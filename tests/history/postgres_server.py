"""A PostgreSQL server of Debian's package in a temporary folder: made, started, killed and started again by the tests."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

OWNER, PASSWORD = "scada", "right"


def programs():
    """Folder of initdb and postgres; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class Server:
    """One cluster. The superuser is ``admin`` (socket only); ``scada`` owns the database ``history`` and logs in by password."""

    def __init__(self):
        self.bin = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="scada-pg-"))
        self.user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        if self.user:
            shutil.chown(self.folder, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = None
        initdb = [self.bin / "initdb", "-D", self.folder / "data", "-U", "admin", "-N", "-E", "UTF8", "--locale=C"]
        self._call([*initdb, "--auth-local=trust", "--auth-host=scram-sha-256"])
        self.start()
        self.sql(f"create role {OWNER} login password '{PASSWORD}'", "postgres")
        self.sql("create database history owner scada", "postgres")

    @property
    def admin_dsn(self):
        return f"host={self.folder} port={self.port} user=admin dbname=history"

    def dsn(self, **more):
        given = {"host": "127.0.0.1", "port": self.port, "dbname": "history", "user": OWNER, "password": PASSWORD, **more}
        return " ".join(f"{name}={value}" for name, value in given.items())

    def _call(self, command):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, **self.user)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sql(self, text, database="history", user="admin"):
        psql = [self.bin / "psql", "-XqtA", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port)]
        return self._call([*psql, "-U", user, "-d", database, "-c", text]).strip()

    def start(self):
        settings = {"unix_socket_directories": self.folder, "fsync": "off", "listen_addresses": "127.0.0.1", "port": self.port}
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.folder / "data", *given], stdout=log, stderr=log, cwd=self.folder, **self.user
            )
        until = time.monotonic() + 30
        while subprocess.run([self.bin / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)], check=False).returncode:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.02)

    def kill(self):
        """As a crash does: every process of it at once."""
        self._signal_all(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=20)

    def freeze(self):
        self._signal_all(signal.SIGSTOP)

    def thaw(self):
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in [self.process.pid, *map(int, children)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def remove(self):
        if self.process.poll() is None:
            self.thaw()
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def server():
    """Body of a session fixture: a running server, or a visible skip."""
    if programs() is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: postgresql)")
    made = Server()
    yield made
    made.remove()
