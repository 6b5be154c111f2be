"""kill -9 of the whole server in the middle of a programme: what was done is known, what is not is called that."""

import asyncio
import signal
import subprocess
import sys
import threading
import time

import pytest
from e2e.rig import free_base
from scadapb.v1 import scada_pb2 as pb
from system.conftest import BAD, DARK, GRID
from system.switching_rtu import SwitchingRtu, breakers

from scada.api.client import ScadaClient
from scada.core.clock import SystemClock
from scada.model_cim.points import load_model
from scada.security.audit import read_audit, verify
from scada.security.identities import init_identities, load_authority, load_identity
from scada.security.tls_trust import ClientTls

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

HOST, CLOCK, OPEN = "127.0.0.1", SystemClock(), 1.0


class Server:
    """`scada serve` on the demo grid, with one station that can be switched."""

    def __init__(self, folder):
        self.folder, self.keys = folder, folder / "keys"
        tables = load_model(GRID)[1]
        self.controls, switches = breakers(tables, BAD, 4)
        self.rtu = SwitchingRtu(5, switches)
        init_identities(self.keys)
        base = free_base()
        self.ports = base, base + 1
        names = [spec.name for spec in tables.channels]
        channels = "".join(
            f'[channels."{name}"]\nhost = "{HOST}"\nport = {self.rtu.port if name == BAD else DARK}\n' for name in names
        )
        (folder / "scada.toml").write_text(
            f'[model]\npath = "{GRID}"\nversions = "model"\n[rtdb]\nmap_mb = 64\njournal_mb = 8\n'
            f'[security]\nkeys = "{self.keys}"\naudit = "audit"\n[control]\ntwo_person = []\nprogrammes = "programmes"\n'
            f"[api]\nport = {base}\ncontrol_port = {base + 1}\n[metrics]\nport = {base + 2}\n{channels}",
            "utf-8",
        )
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.start()

    def start(self):
        line = [sys.executable, "-m", "scada", "serve", "--config", str(self.folder / "scada.toml")]
        log = self.folder / "log"
        with log.open("w") as file:
            self.process = subprocess.Popen(line, stdout=file, stderr=subprocess.STDOUT)
        self.until(lambda: "server up" in log.read_text(), f"the server is up: {log}")
        self.rtu.wait_started(30)
        identity = load_identity(self.keys, "operator", CLOCK)
        places = (f"{HOST}:{port}" for port in self.ports)
        tls = ClientTls(self.keys, "operator")
        self.client = ScadaClient(*places, identity, load_authority(self.keys), CLOCK, station="desk 1", tls=tls)
        self.do(self.client.connect())
        wanted = [self.pid(control) for control in self.controls]
        self.until(lambda: all(self.value(pid) in (1, 2) for pid in wanted), "the positions are known")

    def pid(self, control):
        return int(control.feedback)

    def value(self, pid):
        frame = self.do(self.client.call("Realtime/Read", pb.ReadRequest(pids=[pid])))
        return frame.value[0] if not frame.quality[0] else None

    def do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def order(self, method, request):
        return self.do(self.client.signed(f"Programmes/{method}", request))

    def runs(self):
        return self.do(self.client.call("Programmes/ListRuns", pb.ListRunsRequest(ended=True))).runs

    def until(self, condition, what):
        deadline = time.monotonic() + 60
        while not (found := condition()):
            assert time.monotonic() < deadline, what
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)
        return found

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)
        self.do(self.client.close())

    def stop(self):
        if self.process.poll() is None:
            self.do(self.client.close())
            self.process.terminate()
            self.process.wait(30)

    def close(self):
        self.stop()
        self.rtu.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


@pytest.fixture
def server(tmp_path):
    one = Server(tmp_path)
    yield one
    one.close()


def test_a_programme_whose_server_is_killed_in_its_middle(server, tmp_path):
    addresses = [control.address.ioa for control in server.controls]
    steps = [pb.ProgrammeStep(control=control.mrid, value=OPEN) for control in server.controls]
    saved = server.order("Save", pb.SaveProgrammeRequest(programme=pb.Programme(name="off", kind="sequence", steps=steps)))
    assert saved.accepted, saved
    server.rtu.silent = {addresses[1]}
    start = pb.StartProgrammeRequest(name="off", version=saved.version, digest=saved.digest)
    started = server.order("Start", start)
    assert started.accepted, started
    server.until(lambda: server.rtu.executed == addresses[:2], f"the second step is under way: {server.rtu.executed}")
    server.kill()

    assert verify(tmp_path / "audit") is None
    before = [record.row for record in read_audit(tmp_path / "audit")]
    in_flight = [row for row in before if row.kind == "control" and row.step == "execute"][-1]
    assert in_flight.mrid == server.controls[1].mrid

    server.start()
    [run] = server.runs()
    assert (run.run, run.state, run.code) == (started.run, "interrupted", "interrupted")
    assert [step.state for step in run.steps] == ["done", "unknown", "skipped", "skipped"]
    assert "not known" in run.steps[1].reason
    assert run.steps[1].sequence_id == in_flight.sequence_id
    events = server.do(server.client.call("Events/ListEvents", pb.ListEventsRequest(limit=200))).events
    assert {"programme.interrupted", "control.interrupted"} <= {event.key for event in events}
    refused = server.order("Command", pb.ProgrammeCommand(run=run.run, action="resume"))
    assert (refused.accepted, refused.code) == (False, "ended")

    # a person looks at the plant and starts anew: every step is ordered once more by that order, not by the old one
    assert server.rtu.executed == addresses[:2], "nothing is repeated, and no later step leaves"
    assert server.rtu.selected == addresses[:2]
    server.rtu.silent = set()
    again = server.order("Start", start)
    assert again.accepted, again
    server.until(lambda: server.runs()[0].state == "done", "the new run is done")
    assert server.rtu.executed == [*addresses[:2], *addresses]
    server.stop()
    assert verify(tmp_path / "audit") is None
    rows = [record.row for record in read_audit(tmp_path / "audit")]
    assert [str(row) for row in rows[: len(before)]] == [str(row) for row in before]
    told = [(row.kind, row.step) for row in rows[len(before) :] if row.step == "interrupted"]
    assert sorted(told) == [("control", "interrupted"), ("programme", "interrupted")]
    line = [sys.executable, "-m", "scada", "audit", "verify", str(tmp_path / "audit")]
    checked = subprocess.run(line, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
