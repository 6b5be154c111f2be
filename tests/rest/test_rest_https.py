"""The REST face as it is served: HTTPS on a socket, by a client of the system's TLS library."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import httpx
import pytest
from rest.rest_rig import FakeServer

from scada.cli.rest_service import STALLED_MS, _config, _HttpServer, _listener
from scada.core.clock import SystemClock
from scada.core.errors import ConfigError
from scada.core.settings import RestSettings, parse_settings
from scada.rest import connections
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
    given = RestSettings(certificate=files[0], key=files[1])
    app = make_app(FakeServer(), tokens, clock, follow=False)
    server = _HttpServer(_config(app, given, files), app.state.streams.end)
    server.config.port = 0
    listener = _listener(server.config)
    listener.listen()
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


async def test_a_stream_over_a_socket_ends_with_the_service(tmp_path):
    clock = SystemClock()
    tokens = TokenStore(tmp_path / "tokens.json", clock)
    token = tokens.issue("lab", days=1.0, scopes=("values",), stations=(), per_minute=600)
    app = make_app(FakeServer(), tokens, clock, follow=False)
    await app.state.mirror._take(FakeServer().full())
    server = _HttpServer(_config(app, RestSettings(), None), app.state.streams.end)
    server.config.port = 0
    listener = _listener(server.config)
    listener.listen()
    task = asyncio.create_task(server.serve(sockets=[listener]))
    address, bearer = f"http://127.0.0.1:{listener.getsockname()[1]}", {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(base_url=address, trust_env=False) as client,
        client.stream("GET", "/v1/values/stream", headers=bearer) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines, told = answer.aiter_lines(), []
        async for line in lines:
            told.append(line)
            if line.startswith("id: "):
                break
        assert told[0] == "event: snapshot"
        server.end()
        assert [line async for line in lines if line.startswith("event: ")][-1] == "event: end"
    await asyncio.wait_for(task, 20)


async def test_a_connection_that_takes_nothing_is_cut_by_the_kernel():
    app = make_app(FakeServer(), TokenStore(None, SystemClock()), SystemClock(), follow=False)
    config = _config(app, RestSettings(), None)
    config.port = 0
    with _listener(config) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == STALLED_MS


@pytest.mark.parametrize(
    ("proxies", "peer", "believed"),
    [
        ([], "127.0.0.1", False),
        (["10.1.1.1"], "127.0.0.1", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.0/8"], "127.0.0.9", True),
        (["10.1.1.1"], "10.1.1.1", True),
    ],
)
async def test_only_a_named_proxy_says_whom_it_asks_for(proxies, peer, believed, monkeypatch):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # of uvicorn; the configuration alone says it here
    seen = []

    async def _app(scope, receive, send):
        seen.append((scope["client"][0], scope["scheme"]))

    config = _config(_app, RestSettings(behind_proxy=proxies), None)
    headers = [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https")]
    await config.loaded_app({"type": "http", "client": (peer, 1), "headers": headers, "scheme": "http"}, None, None)
    assert seen == [("203.0.113.9", "https") if believed else (peer, "http")]


@pytest.mark.parametrize("proxies", [["*"], ["0.0.0.0/0"], ["::/0"], ["proxy.example"], "127.0.0.1"])
def test_nobody_is_believed_wholesale(proxies, tmp_path):
    with pytest.raises(ConfigError, match="behind_proxy"):
        parse_settings({"rest": {"behind_proxy": proxies}}, base=tmp_path)


@pytest.fixture
async def plain(tmp_path):
    """Port of a server without TLS that knows its values."""
    app = make_app(FakeServer(), TokenStore(tmp_path / "tokens.json", SystemClock()), SystemClock(), follow=False)
    servers = []

    async def _serve(**given):
        server = _HttpServer(_config(app, RestSettings(**given), None), app.state.streams.end)
        server.config.port = 0
        listener = _listener(server.config)
        listener.listen()
        servers.append((server, asyncio.create_task(server.serve(sockets=[listener]))))
        return listener.getsockname()[1]

    yield _serve
    for server, task in servers:
        server.end()
        await asyncio.wait_for(task, 20)


@pytest.mark.parametrize("said", [b"", b"GET /v1/heal", b"GET /v1/health HTTP/1.1\r\nHost: a\r\nX-Slow:", b"ANSWERED", b"BODY"])
async def test_a_connection_that_asks_nothing_loses_its_place(plain, said, monkeypatch):
    monkeypatch.setattr(connections, "ASK_S", 0.1)
    whole = b"GET /v1/health HTTP/1.1\r\nHost: a\r\n"
    said = {b"ANSWERED": whole + b"\r\nGET /", b"BODY": whole + b"Content-Length: 99\r\n\r\nx"}.get(said, said)
    reader, writer = await asyncio.open_connection("127.0.0.1", await plain())
    writer.write(said)
    with contextlib.suppress(ConnectionResetError):
        answer = await asyncio.wait_for(reader.read(), 10)  # until the other side ends it
        assert (b"HTTP/1.1 503" in answer) == (b"\r\n\r\n" in said)
    writer.close()


async def test_one_address_does_not_take_every_place(plain, monkeypatch):
    monkeypatch.setattr(connections.Connection, "places_of_one", 3)
    monkeypatch.setattr(connections, "ASK_S", 60.0)

    async def _open(port, number):
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(number)]
        for _, writer in opened:
            writer.write(b"GET /v1/health HTTP/1.1\r\nHost: a\r\n\r\n")
        served = 0
        for reader, writer in opened:
            with contextlib.suppress(ConnectionResetError):
                served += (await asyncio.wait_for(reader.read(12), 10)).startswith(b"HTTP/1.1 503")
            writer.close()
        return served

    assert await _open(await plain(), 6) == 3
    assert await _open(await plain(behind_proxy=["127.0.0.1"]), 6) == 6
