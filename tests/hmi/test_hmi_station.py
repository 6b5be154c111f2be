"""The operator station without a browser: who is let in, what may be called, what the queue keeps."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scada_hmi.app import STATIC
from scada_hmi.methods import allowed_methods
from scada_hmi.tunnel import Kind, Outbox, Tunnel, pack
from scadapb.v1 import scada_pb2 as pb
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from scada.core.errors import SecurityError
from scada.security.roles import METHOD_RIGHTS

CLIENT = Path(__file__).resolve().parents[2] / "hmi-client"


# ---------------------------------------------------------------- who is let in


def get(rig, path, **headers):
    """Status, headers and body of a GET."""
    where = urlsplit(rig.base)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=5)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, reply.headers, body


@pytest.fixture(scope="module")
def cookie(rig):
    status, headers, _ = get(rig, rig.address[len(rig.base) :])
    used, rig.address = rig.address, rig.next_address()
    assert status == 303
    text = headers["set-cookie"]
    assert "HttpOnly" in text
    assert "samesite=strict" in text.lower()
    assert get(rig, used[len(rig.base) :])[0] == 403, "a launch address works once"
    return text.split(";")[0]


def test_the_page_needs_the_cookie(rig, cookie):
    assert get(rig, "/")[0] == 403
    assert get(rig, "/page.js")[0] == 403
    assert get(rig, "/texts/en.json")[0] == 403
    assert get(rig, "/", Cookie="scada_station=x")[0] == 403
    status, headers, body = get(rig, "/", Cookie=cookie)
    assert status == 200
    assert b"page.js" in body
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert headers["x-content-type-options"] == "nosniff"


def test_a_wrong_token_is_refused_and_leaves_the_right_one(rig):
    assert get(rig, "/launch?token=wrong")[0] == 403
    assert get(rig, "/launch")[0] == 403
    assert get(rig, rig.address[len(rig.base) :])[0] == 303
    rig.address = rig.next_address()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1", "127.0.0.1:1"])
def test_a_foreign_host_is_refused(rig, cookie, host):
    assert get(rig, "/", Host=host, Cookie=cookie)[0] == 403
    assert get(rig, rig.address[len(rig.base) :], Host=host)[0] == 403


def test_a_foreign_origin_is_refused(rig, cookie):
    assert get(rig, "/", Cookie=cookie, Origin="http://evil.example")[0] == 403
    assert get(rig, "/", Cookie=cookie, Origin="null")[0] == 403
    assert get(rig, "/", Cookie=cookie, Origin=rig.base)[0] == 200


@pytest.mark.parametrize(("origin", "with_cookie"), [("http://evil.example", True), (None, True), ("own", False)])
def test_the_tunnel_refuses_strangers(rig, cookie, origin, with_cookie):
    headers = {"Cookie": cookie} if with_cookie else {}
    where = rig.base.replace("http", "ws") + "/tunnel"
    with pytest.raises(InvalidStatus), connect(where, origin=rig.base if origin == "own" else origin, additional_headers=headers):
        pass


def test_only_our_texts_are_served(rig, cookie):
    assert json.loads(get(rig, "/texts/zh.json", Cookie=cookie)[2])["limit.hi"]
    for path in ("/texts/../__init__.py", "/texts/__init__.py", "/texts/xx.json", "/../app.py", "/%2e%2e/app.py"):
        assert get(rig, path, Cookie=cookie)[0] in {403, 404}


def test_it_listens_on_loopback_only(rig):
    port = urlsplit(rig.base).port
    with socket.socket() as probe:
        probe.settimeout(1)
        assert probe.connect_ex(("127.0.0.2", port)) != 0


# ---------------------------------------------------------------- what may be called


@pytest.fixture
def tunnel(rig, cookie):
    with connect(rig.base.replace("http", "ws") + "/tunnel", origin=rig.base, additional_headers={"Cookie": cookie}) as socket_:
        state = socket_.recv(5)
        assert state[0] == Kind.STATE
        while json.loads(state[5:])["state"] != "up":
            state = socket_.recv(5)
        yield socket_


def call(tunnel, path, message):
    """Status, reason and replies of one call."""
    tunnel.send(pack(Kind.OPEN, 9, path.encode()))
    tunnel.send(pack(Kind.MESSAGE, 9, message))
    tunnel.send(pack(Kind.HALF_CLOSE, 9))
    replies = []
    while True:
        data = tunnel.recv(5)
        kind, number = data[0], struct.unpack_from("<I", data, 1)[0]
        if number == 9 and kind == Kind.MESSAGE:
            replies.append(data[5:])
        elif number == 9 and kind == Kind.END:
            return data[5], data[6:].decode(), replies


def test_a_plain_call(tunnel):
    status, _, replies = call(tunnel, "/scadapb.v1.Realtime/GetStatus", b"")
    assert status == 0
    assert pb.SystemStatus.FromString(replies[0]).site == "demo"


def test_a_signed_call_is_signed_here(rig, tunnel):
    number = rig.backend.raise_alarm(30, 3)
    body = pb.AcknowledgeRequest(alarm_ids=[number, 10**9]).SerializeToString()
    status, _, replies = call(tunnel, "/scadapb.v1.Events/Acknowledge", pb.Signed(body=body).SerializeToString())
    assert status == 0
    reply = pb.AcknowledgeReply.FromString(replies[0])
    assert (list(reply.acknowledged), list(reply.unknown)) == ([number], [10**9])


@pytest.mark.parametrize(
    "path", ["/scadapb.v1.Session/Login", "/scadapb.v1.Session/Logout", "/grpc.health.v1.Health/Check", "/x", ""]
)
def test_what_is_not_listed_cannot_be_called(tunnel, path):
    status, _, replies = call(tunnel, path, b"")
    assert status == grpc.StatusCode.PERMISSION_DENIED.value[0]
    assert replies == []


def test_a_body_that_is_not_the_methods_is_not_signed(rig, tunnel):
    rig.backend.acted.clear()
    status, reason, _ = call(tunnel, "/scadapb.v1.Control/Select", pb.Signed(body=b"\xff\xff\xff").SerializeToString())
    assert status == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "body" in reason
    assert rig.backend.acted == []


def test_a_right_the_operator_has_not(tunnel):
    body = pb.AreaSetpoint(area="East", interchange_mw=1, order_id="x").SerializeToString()
    status, _, _ = call(tunnel, "/scadapb.v1.Dispatch/SendSetpoint", pb.Signed(body=body).SerializeToString())
    assert status == grpc.StatusCode.PERMISSION_DENIED.value[0]


def test_every_method_of_the_contract_is_listed_but_the_sessions():
    assert set(allowed_methods()) == {path for path in METHOD_RIGHTS if not path.startswith("/scadapb.v1.Session/")}


def test_a_live_stream_with_credit(rig, tunnel):
    tunnel.send(pack(Kind.OPEN, 3, b"/scadapb.v1.Realtime/Subscribe"))
    tunnel.send(pack(Kind.MESSAGE, 3, pb.SubscribeRequest(pids=[5], credit=1, period_ms=50).SerializeToString()))
    frame = pb.PointFrame.FromString(tunnel.recv(5)[5:])
    assert frame.full
    rig.backend.apply([5], [1.25])
    tunnel.send(pack(Kind.MESSAGE, 3, pb.SubscribeRequest(credit=1).SerializeToString()))
    assert list(pb.PointFrame.FromString(tunnel.recv(5)[5:]).value) in ([1.25], [])
    tunnel.send(pack(Kind.CANCEL, 3))
    while True:
        data = tunnel.recv(5)
        if data[0] == Kind.END:
            assert data[5] == grpc.StatusCode.CANCELLED.value[0]
            break


@given(st.binary(max_size=12))
@settings(max_examples=60, deadline=None)
def test_framing_never_fails_otherwise_than_by_closing(data):
    async def run() -> None:
        async def nothing(_: bytes) -> None: ...

        tunnel = Tunnel(None, {}, nothing)  # type: ignore[arg-type]
        try:
            tunnel.receive(data)
        except ValueError:
            return
        tunnel.close()

    asyncio.run(run())


@pytest.mark.parametrize("fault", [SecurityError("the server is a stranger"), OSError("no file")])
async def test_a_call_that_broke_never_ends_well(fault):
    """OK without a reply would be taken for done."""

    class Broken:
        async def call(self, method, messages):
            raise fault
            yield b""

    sent: list[bytes] = []

    async def send(message: bytes) -> None:
        sent.append(message)

    tunnel = Tunnel(Broken(), allowed_methods(), send)  # type: ignore[arg-type]
    tunnel.receive(pack(Kind.OPEN, 1, b"/scadapb.v1.Control/Execute"))
    ended = await asyncio.wait_for(tunnel.outbox.get(), 5)
    assert (ended[0], ended[5]) == (Kind.END, grpc.StatusCode.INTERNAL.value[0])
    assert b"no file" not in ended
    tunnel.close()


# ---------------------------------------------------------------- what the queue keeps


@given(st.lists(st.tuples(st.sampled_from(["live", "event"]), st.integers(1, 2)), max_size=40), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_the_queue_loses_no_event_and_no_delta_before_a_full_frame(puts, limit):
    """Per live call: what arrives is a gap-free run from its first frame; after a refusal nothing of it is left."""

    async def run() -> None:
        outbox = Outbox(limit)
        kept: list[bytes] = []
        dropped = False
        for number, (kind, call_) in enumerate(puts):
            message = bytes((call_, number))
            if kind == "event":
                if len(kept) >= limit:
                    kept_first = await outbox.get()
                    assert kept_first == kept.pop(0)
                await outbox.put(10 + call_, message)
                kept.append(message)
            elif outbox.put_live(call_, message):
                kept.append(message)
            else:
                dropped = True
                event_numbers = {i for i, (what, _) in enumerate(puts) if what == "event"}
                kept = [one for one in kept if one[0] != call_ or one[1] in event_numbers]
        left = [await outbox.get() for _ in kept]
        assert left == kept
        assert dropped or len(kept) <= limit

    asyncio.run(run())


async def test_a_full_queue_holds_up_an_event_and_refuses_a_frame():
    outbox = Outbox(2)
    await outbox.put(1, b"a")
    assert outbox.put_live(2, b"frame")
    waiting = asyncio.create_task(outbox.put(1, b"b"))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert not outbox.put_live(2, b"next frame")
    await waiting
    assert [await outbox.get(), await outbox.get()] == [b"a", b"b"]


# ---------------------------------------------------------------- the command, the bundle


def station(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "scada", "hmi", "--no-browser", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_busy_port_is_said_in_one_line(rig):
    done = station("--keys", str(rig.keys), "--port", str(urlsplit(rig.base).port))
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", [("--keys", "/nonexistent"), ("--server", "nonsense"), ("--as", "nobody")])
def test_bad_arguments_are_said_plainly(rig, arguments):
    done = station("--port", "0", *(arguments if "--keys" in arguments else ("--keys", str(rig.keys), *arguments)))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_the_catalogues_have_the_same_keys_and_parameters():
    en, zh = (json.loads((CLIENT / "src" / "locale" / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "zh"))
    assert list(en) == list(zh)
    for key, text in en.items():
        assert sorted(part.split("}")[0] for part in text.split("{")[1:]) == sorted(
            p.split("}")[0] for p in zh[key].split("{")[1:]
        ), key


def test_no_file_of_the_page_holds_a_registrys_address():
    lock = (CLIENT / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert [line for line in lock.splitlines() if "http" in line and '"url": "https://paulmillr.com/funding/"' not in line] == []


def test_the_bundle_is_committed_and_whole():
    index = (STATIC / "index.html").read_text()
    assert "/page.js" in index
    assert "/page.css" in index
    assert (STATIC / "page.js").stat().st_size > 100_000
    assert "<script>" not in index, "the policy allows no inline script"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_bundle_is_what_the_sources_give(npm_client):
    command = [sys.executable, str(npm_client / "build.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
