"""A server and its clients in one process, with a clock for each end."""

from __future__ import annotations

from dataclasses import dataclass, field

from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import VirtualClock
from scada.security.client import SessionClient
from scada.security.identities import load_authority, load_identity
from scada.security.peer import NO_PEER
from scada.security.seals import request_digest
from scada.security.session import SessionPolicy, SessionServer
from scada.security.trust import Trust

SELECT = "/scadapb.v1.Control/Select"
EXECUTE = "/scadapb.v1.Control/Execute"
ACKNOWLEDGE = "/scadapb.v1.Events/Acknowledge"
READ = "/scadapb.v1.Realtime/Read"
REQUEST = pb.SelectRequest(control="c-1", value=2.0, device_number="2211")


@dataclass
class Rig:
    """One server; ``clock`` is its clock, ``desk_clock`` that of the clients."""

    folder: object
    policy: SessionPolicy = field(default_factory=SessionPolicy)
    site: str = "demo"
    clock: VirtualClock = field(default_factory=VirtualClock)
    digests: frozenset = frozenset()

    def __post_init__(self):
        self.desk_clock = VirtualClock(self.clock.now_ns())
        self.trust = Trust(self.folder, self.clock)
        self.start()

    def start(self):
        """The server, or another one after it."""
        self.server = SessionServer(
            site=self.site,
            identity=load_identity(self.folder, "server", self.clock),
            trust=self.trust,
            clock=self.clock,
            policy=self.policy,
            tls_digests=lambda: self.digests,
        )
        return self.server

    def advance(self, seconds):
        self.clock.advance(seconds)
        self.desk_clock.advance(seconds)

    def client(self, name="operator", station="desk 1", binding=b""):
        identity = load_identity(self.folder, name, self.desk_clock)
        authority = load_authority(self.folder)
        return SessionClient(identity, self.site, authority, self.desk_clock, station=station, binding=lambda: binding)

    def login(self, name="operator", station="desk 1", peer=NO_PEER, binding=b""):
        client = self.client(name, station, binding)
        client.accept(self.server.login(client.login_request(), peer)[0])
        return client

    def rekey(self, client):
        client.accept_rekey(self.server.rekey(client.rekey_request(), client.session))

    def open(self, client, sealed, method=SELECT, peer=NO_PEER):
        return self.server.open(sealed, method, client.session, peer)

    def sealer(self, client, method=READ, request=b"request"):
        sealer = self.server.sealer(self.server.find(client.session), method)
        sealer.request = request_digest(request)
        return sealer

    def reader(self, client, method=READ, request=b"request", signed=False):
        reader = client.reader(method, signed=signed)
        reader.request = request_digest(request)
        return reader
