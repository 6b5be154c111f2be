"""kill -9 of a server that applies a version: the next start runs the old one or the new one, whole, and says what happened."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from actors.small_grid import write_grid
from e2e.rig import free_base
from scadapb.v1 import scada_pb2 as pb
from system.engineering_rig import CLOCK, HOST, Plant, make_keys

from scada.api.client import ScadaClient
from scada.model_cim.versions import VersionStore
from scada.security.identities import load_authority, load_identity
from scada.security.tls_trust import ClientTls

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


class Process(Plant):
    """The same server, as a process of its own."""

    def start(self):
        base = free_base()
        self.ports = base, base + 1
        (self.folder / "scada.toml").write_text(
            f'[model]\npath = "grid"\nversions = "model"\n[rtdb]\nmap_mb = 64\njournal_mb = 8\n[security]\nkeys = "{self.keys}"\n'
            f"[api]\nport = {base}\ncontrol_port = {base + 1}\n[metrics]\nport = {base + 2}\n",
            "utf-8",
        )
        line = [sys.executable, "-m", "scada", "serve", "--config", str(self.folder / "scada.toml")]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = []
        for said in self.process.stdout:
            lines.append(said)
            if "server up" in said:
                return
        self.process.wait(10)
        self.process.stdout.close()
        raise AssertionError("".join(lines))

    def client(self, name):
        if name not in self.clients:
            identity = load_identity(self.keys, name, CLOCK)
            server, control = (f"{HOST}:{port}" for port in self.ports)
            self.clients[name] = ScadaClient(
                server, control, identity, load_authority(self.keys), CLOCK, tls=ClientTls(self.keys, name)
            )
            self.run(self.clients[name].connect())
        return self.clients[name]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.stop()

    def stop(self):
        for client in self.clients.values():
            self.run(client.close())
        self.clients = {}
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture
def server(tmp_path):
    keys = make_keys(tmp_path / "keys")
    write_grid(tmp_path / "grid")
    one = Process(tmp_path, keys)
    yield one
    one.close()


@pytest.mark.parametrize("moment", ["begun", "built", "done"])
def test_a_server_killed_while_it_applies_comes_up_whole(server, tmp_path, moment):
    version = server.settled(server.propose("ann", server.edit("one", "Beishan")).version)
    assert server.apply("ann", version).accepted
    if moment != "begun":
        wanted = "take_over" if moment == "built" else ""
        while (seen := server.version(2)).state == "applying" and (not wanted or seen.work != wanted):
            pass
    server.kill()
    assert _orphans(server.process.pid) == []

    store = VersionStore(tmp_path / "model", CLOCK)
    assert store.current in (1, 2)
    store.check_files(store.current)
    assert moment != "done" or store.current == 2
    store.close()

    server.start()
    found = server.version(2)
    assert found.state == ("applied" if found.current else "ready")
    assert server.version(1).current is not found.current
    assert (("Beishan", "U ab") in server.names()) is found.current
    if not found.current:
        events = server.run(server.client("operator").call("Events/ListEvents", pb.ListEventsRequest(limit=100)))
        assert "model.interrupted" in {event.key for event in events.events}
        assert server.apply("ann", found).accepted
        assert server.settled(2).current


def _orphans(parent):
    """Workers whose server is gone and that did not end."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            above = int(stat.read_text().rpartition(")")[2].split()[1])
            line = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if b"scada.actors.model_work" in line and above == parent:
            found.append(int(stat.parent.name))
    return found
