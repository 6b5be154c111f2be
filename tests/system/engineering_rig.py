"""A whole server of the small grid with its gRPC faces, and engineers with keys of their own."""

import asyncio
import shutil
import threading
import time

from actors.small_grid import write_grid
from scadapb.v1 import scada_pb2 as pb

from scada.actors.facade import Facade
from scada.actors.system import System
from scada.api.client import ScadaClient
from scada.api.server import ApiThread
from scada.core.clock import SystemClock
from scada.core.settings import ApiSettings, parse_settings
from scada.model_cim.version_files import pack_model
from scada.security.identities import init_identities, issue_identity, load_authority, load_identity
from scada.security.session import SessionServer
from scada.security.trust import Trust
from scada.security.users_file import grant_identity

CLOCK = SystemClock()
HOST = "127.0.0.1"


def make_keys(folder):
    """The identities of a demo, and engineers: ann and bob of everything, eve of Longtan."""
    init_identities(folder)
    for name, areas in (("ann", ["*"]), ("bob", ["*"]), ("eve", ["Longtan"])):
        issue_identity(folder, name, ["ENGINEER"], CLOCK)
        grant_identity(folder, name, ["ENGINEER"], areas)
    return folder


class Plant:
    """System, faces and clients."""

    def __init__(self, folder, keys, **model):
        self.folder, self.keys = folder, keys
        self.grid = folder / "grid"
        if not self.grid.exists():
            write_grid(self.grid)
        raw = {
            "model": {"path": str(self.grid), "versions": "model", "diagrams": False, **model},
            "rtdb": {"path": "rtdb", "map_mb": 32, "journal_mb": 4},
            "events": {"path": "events", "map_mb": 16, "recalls": "recalls"},
            "history": {"path": "history", "map_mb": 16},
            "operator": {"path": "operator"},
            "dispatch": {"path": "dispatch"},
            "upstream": {"path": "upstream"},
            "security": {"audit": "audit", "keys": str(keys)},
        }
        self.settings = parse_settings(raw, base=folder)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.clients = {}
        self.start()

    def start(self):
        self.system = System(self.settings, CLOCK)
        self.system.start()
        sessions = SessionServer(
            site="demo",
            identity=load_identity(self.keys, "server", CLOCK),
            trust=Trust(self.keys),
            clock=CLOCK,
        )
        self.api = ApiThread(Facade(self.system), sessions, ApiSettings(port=0, control_port=0, tls=False))
        self.api.start()

    def stop(self):
        for client in self.clients.values():
            self.run(client.close())
        self.clients = {}
        self.api.stop()
        self.system.stop()

    def close(self):
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def client(self, name):
        if name not in self.clients:
            server, control = f"{HOST}:{self.api.server.port}", f"{HOST}:{self.api.server.control_port}"
            identity = load_identity(self.keys, name, CLOCK)
            self.clients[name] = ScadaClient(server, control, identity, load_authority(self.keys), CLOCK)
            self.run(self.clients[name].connect())
        return self.clients[name]

    def call(self, name, method, request):
        return self.run(self.client(name).call(f"Engineering/{method}", request))

    def order(self, name, method, request):
        return self.run(self.client(name).signed(f"Engineering/{method}", request))

    def upload(self, name, folder):
        return self.run(self.client(name).upload([pack_model(folder)])).sha256

    def propose(self, name, folder, **more):
        request = pb.ProposeRequest(sha256=self.upload(name, folder), description="an edit", **more)
        return self.order(name, "Propose", request)

    def edit(self, name, station, old="Uab", new="U ab"):
        folder = self.folder / name
        shutil.copytree(self.grid, folder)
        path = folder / f"SC-{station}.xml"
        path.write_text(path.read_text("utf-8").replace(f">{old}<", f">{new}<"), "utf-8")
        return folder

    def version(self, number):
        return self.call("operator", "GetVersion", pb.GetVersionRequest(number=number, difference=True)).version

    def settled(self, number, seconds=60):
        """The version once nothing is being done with it."""
        deadline = time.monotonic() + seconds
        while (version := self.version(number)).state in ("checking", "applying"):
            assert time.monotonic() < deadline, version
            time.sleep(0.05)
        return version

    def apply(self, name, version):
        keys = [danger.key for danger in version.dangers]
        return self.order(name, "Apply", pb.ApplyRequest(version=version.number, digest=version.digest, confirm=keys))

    def names(self):
        found = self.run(self.client("operator").call("Model/ListPoints", pb.ListPointsRequest()))
        return {(point.station, point.name) for point in found.points}
