"""A server over TLS with keys of its own, and clients to it."""

from __future__ import annotations

import asyncio

from scada.api.client import ScadaClient
from scada.api.server import ApiServer
from scada.core.clock import SystemClock
from scada.core.settings import ApiSettings
from scada.security.identities import init_identities, load_authority, load_identity
from scada.security.renewable_identity import RenewableIdentity
from scada.security.session import SERVER_ROLE, SessionServer
from scada.security.tls_trust import ClientTls, TlsTrust
from scada.security.trust import Trust

CLOCK = SystemClock()


class TlsRig:
    """Server and clients of one folder of keys; ``look()`` does at once what happens four times a second."""

    def __init__(self, folder, backend, **settings):
        self.keys, self.backend = folder, backend
        init_identities(folder, CLOCK)
        self.tls, trust = TlsTrust(folder), Trust(folder)
        self.sessions = SessionServer(
            site="demo",
            identity=RenewableIdentity(folder, "server", CLOCK, trust=trust, role=SERVER_ROLE),
            trust=trust,
            clock=CLOCK,
            tls_digests=self.tls.digests,
        )
        self.works = True
        self.server = ApiServer(
            backend,
            self.sessions,
            ApiSettings(port=0, control_port=0, **settings),
            self.tls,
            controls_work=lambda: self.works,
        )
        self.clients = []

    async def __aenter__(self):
        await self.server.start()
        return self

    async def __aexit__(self, *exc):
        for client in self.clients:
            await client.close()
        await self.server.stop(0.1)

    def client(self, name="operator", *, tls_name="", keys=None):
        """Not yet connected."""
        client = ScadaClient(
            f"127.0.0.1:{self.server.port}",
            f"127.0.0.1:{self.server.control_port}",
            load_identity(self.keys, name, CLOCK),
            load_authority(self.keys),
            CLOCK,
            station="test",
            tls=ClientTls(keys or self.keys, tls_name or name),
        )
        self.clients.append(client)
        return client

    async def connect(self, name="operator", **named):
        client = self.client(name, **named)
        await client.connect()
        return client

    def events(self, key):
        return [event for event in self.backend.stored if event.key == key]

    async def until(self, condition, seconds=5.0):
        """What is handed over to a loop has come."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - any condition
                await asyncio.sleep(0.01)
