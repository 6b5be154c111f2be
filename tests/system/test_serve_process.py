"""`scada serve` as a process: what a user gets for a wrong key, a busy port, a full disk, a second start, a stop."""

import logging
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import structlog
from e2e.rig import free_base
from system.conftest import GRID

from scada.cli.main import main
from scada.security.identities import init_identities

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys") / "keys"
    init_identities(folder)
    return folder


class Site:
    """A folder with a configuration and keys of its own."""

    def __init__(self, folder, keys, **ports):
        self.folder = folder
        folder.mkdir()
        shutil.copytree(keys, folder / "keys")
        base = free_base()
        ports = {"api": base, "control": base + 1, "metrics": base + 2} | ports
        (folder / "scada.toml").write_text(
            f"""
[model]
path = "{GRID}"
[rtdb]
path = "rtdb"
map_mb = 64
journal_mb = 8
[events]
path = "events"
[history]
path = "history"
[security]
keys = "keys"
audit = "audit"
[api]
port = {ports["api"]}
control_port = {ports["control"]}
[metrics]
port = {ports["metrics"]}
""",
            "utf-8",
        )
        self.server_key = next((folder / "keys").glob("server.key.pem"))
        self.log = folder / "log"

    def serve(self, *, file_bytes=0):
        read, write = os.pipe()  # a log file would count as a file too
        self.output = os.fdopen(read, "rb")
        line = [sys.executable, "-m", "scada", "serve", "--config", str(self.folder / "scada.toml")]
        self.process = subprocess.Popen(line, stdout=write, stderr=subprocess.STDOUT)
        if file_bytes:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        os.close(write)
        return self

    def await_line(self, text, seconds=40):
        seen = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            line = self.output.readline().decode()
            seen.append(line)
            if text in line:
                return seen
            assert line, f"ended without {text!r}: {''.join(seen)}"
        raise AssertionError("".join(seen))

    def refused(self):
        """The one line with which it ended."""
        with self.output:
            said = self.output.read().decode()
        assert self.process.wait(40) == 1, said
        assert "Traceback" not in said
        lines = [line for line in said.splitlines() if line.startswith("scada: ")]
        assert len(lines) == 1, said
        assert said.splitlines()[-1] == lines[0]
        return lines[0]

    def stop(self):
        """Seconds that an ordered stop takes, and what was said meanwhile."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        with self.output:
            said = self.output.read().decode()
        assert self.process.wait(20) == 0, said
        return time.monotonic() - begin, said


@pytest.fixture
def serve_here(monkeypatch, capfd):
    """Run `scada serve` in this process as far as it comes; returns its one line."""
    handlers, numbers = logging.getLogger().handlers[:], (signal.SIGINT, signal.SIGTERM)
    before, interval = {number: signal.getsignal(number) for number in numbers}, sys.getswitchinterval()

    def serve(site):
        monkeypatch.setattr(sys, "argv", ["scada", "serve", "--config", str(site.folder / "scada.toml")])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr().err
        assert ended.value.code == 1
        assert "Traceback" not in said
        [line] = [line for line in said.splitlines() if line.startswith("scada: ")]
        return line

    yield serve
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.setswitchinterval(interval)
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


def test_a_wrong_key_file_is_named_with_the_way_to_mend_it(tmp_path, keys, serve_here):
    site = Site(tmp_path / "site", keys)
    whole = site.server_key.read_bytes()
    site.server_key.chmod(0o644)
    assert f"chmod 600 {site.server_key}" in serve_here(site)
    site.server_key.chmod(0o600)
    site.server_key.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert str(site.server_key) in serve_here(site)
    site.server_key.write_bytes((site.folder / "keys" / "operator.key.pem").read_bytes())
    assert "server" in serve_here(site)
    site.server_key.unlink()
    assert "scada keys show" in serve_here(site)
    site.server_key.write_bytes(whole)
    site.server_key.chmod(0o600)
    (site.folder / "keys" / "roles.toml").write_text("[[[", "utf-8")
    assert "roles.toml" in serve_here(site)
    assert not (site.folder / "rtdb").exists(), "nothing was begun"


def test_a_key_of_another_kind_in_the_place_of_the_tls_key_is_named(tmp_path, keys, serve_here):
    site = Site(tmp_path / "site", keys)
    tls_key = site.folder / "keys" / "server.tls.key"
    tls_key.write_bytes(site.server_key.read_bytes())
    assert f"{tls_key}: no private key for TLS" in serve_here(site)


def test_a_busy_port_and_a_missing_model_are_named(tmp_path, keys, serve_here):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        line = serve_here(Site(tmp_path / "busy", keys, metrics=port))
        assert f"port {port} for metrics is in use" in line
    site = Site(tmp_path / "modelless", keys)
    file = site.folder / "scada.toml"
    file.write_text(file.read_text("utf-8").replace(str(GRID), "nowhere"), "utf-8")
    assert "nowhere" in serve_here(site)


def test_a_second_server_is_refused_and_sigterm_stops_the_first_within_3_s(tmp_path, keys):
    site = Site(tmp_path / "site", keys).serve()
    said = site.await_line("server up")
    other = Site(tmp_path / "other", keys)
    text = (other.folder / "scada.toml").read_text("utf-8")
    for name in ("rtdb", "events", "history"):
        text = text.replace(f'path = "{name}"', f'path = "{site.folder / name}"')
    (other.folder / "scada.toml").write_text(text, "utf-8")
    known = (site.folder / "rtdb" / "points.json").read_bytes()
    assert "already has a writer" in other.serve().refused()
    assert (site.folder / "rtdb" / "points.json").read_bytes() == known
    seconds, last = site.stop()
    assert seconds < 3.0
    assert "server stopped" in last
    assert "Traceback" not in "".join(said) + last


def test_a_disk_that_is_full_at_the_start_is_said_in_one_line(tmp_path, keys):
    site = Site(tmp_path / "site", keys).serve(file_bytes=20_000)
    line = site.refused()
    assert "no space left" in line
    assert "free disk space" in line


def test_a_disk_that_fills_up_in_service_is_said_once_and_the_server_goes_on(tmp_path, keys):
    site = Site(tmp_path / "site", keys)
    file = site.folder / "scada.toml"
    file.write_text(file.read_text("utf-8") + "[clock]\nrate = 10.0\n", "utf-8")  # the first alarms come after 10 s
    site.serve()
    site.await_line("server up")
    resource.prlimit(site.process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    said = "".join(site.await_line("event log cannot be written"))
    time.sleep(0.5)
    assert site.process.poll() is None
    seconds, last = site.stop()
    said += last
    assert seconds < 3.0
    assert said.count("the event log cannot be written") == 1
    assert "no space left to write" in said
    assert "could not be closed whole" in last, "what was not saved is said"
    assert "Traceback" not in said
