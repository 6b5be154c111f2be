"""The REST face as it is served: HTTPS on a socket, by a client of the system's TLS library."""

from __future__ import annotations

import asyncio
import socket
import ssl

import httpx
import pytest
from rest.rest_rig import FakeServer

from scada.cli.rest_service import _config, _HttpServer
from scada.core.clock import SystemClock
from scada.core.settings import RestSettings
from scada.rest.app import make_app
from scada.rest.tokens import TokenStore
from scada.security.identities import init_identities


@pytest.fixture
async def served(tmp_path):
    """Address, keys and a good token of a server on a socket of its own."""
    keys, clock = tmp_path / "keys", SystemClock()
    init_identities(keys, clock)
    tokens = TokenStore(tmp_path / "tokens.json", clock)
    token = tokens.issue("lab", days=1.0, scopes=("status",), stations=(), per_minute=600)
    files = keys / "server.tls.pem", keys / "server.tls.key"
    listener = socket.create_server(("127.0.0.1", 0))
    given = RestSettings(certificate=files[0], key=files[1])
    app = make_app(FakeServer(), tokens, clock, follow=False)
    server = _HttpServer(_config(app, given, files), app.state.streams.end)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    yield listener.getsockname()[1], keys, token
    server.end()
    await asyncio.wait_for(task, 20)


def trusting(keys) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=keys / "tls-ca.pem")
    context.check_hostname = False  # the certificate names the server, not this address
    return context


async def test_https_with_a_token_and_nothing_less_than_tls_1_3(served):
    port, keys, token = served
    address, bearer = f"https://127.0.0.1:{port}", {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(verify=trusting(keys), base_url=address, trust_env=False) as client:
        reply = await client.get("/v1/status", headers=bearer)
        assert (reply.status_code, reply.json()["site"]) == (200, "demo")
        assert reply.extensions["network_stream"].get_extra_info("ssl_object").version() == "TLSv1.3"
        assert (await client.get("/v1/status")).status_code == 401
        for method in ("HEAD", "OPTIONS", "POST", "DELETE", "TRACE"):
            refused = await client.request(method, "/v1/status", headers={**bearer, "Origin": "https://elsewhere"})
            assert refused.status_code == 405
            assert not any(name.startswith("access-control") for name in refused.headers)
    old = trusting(keys)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    for context in (old, ssl.create_default_context()):
        async with httpx.AsyncClient(verify=context, base_url=address, trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/v1/status", headers=bearer)


@pytest.mark.parametrize("host", ["[::1", "a b", "x" * 300, "[fe80::%25zz]:99999", "\\..\\", "a:port"])
async def test_a_host_that_is_none_breaks_nothing(served, host):
    port, keys, token = served
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(keys))
    request = f"GET /v1/status HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    writer.write(request.encode())
    answer = (await asyncio.wait_for(reader.read(), 10)).decode()
    writer.close()
    assert answer.split()[1] in ("200", "400")
    assert "Traceback" not in answer
