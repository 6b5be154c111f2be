"""A client in another language, from the formulas of the documentation alone: sm-crypto-v2 under Node logs in and orders."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import VirtualClock
from scada.security.envelope import EnvelopeError
from scada.security.identities import load_identity
from scada.security.seals import request_digest
from tests.security.session_rig import REQUEST, SELECT, Rig

HERE = Path(__file__).parent

pytestmark = pytest.mark.interop


class Node:
    """The other client."""

    def __init__(self, process):
        self._process = process

    def ask(self, act, **given):
        self._process.stdin.write(json.dumps({"act": act, **given}) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        if "error" in told:
            raise ValueError(told["error"])
        return told["answer"]


@pytest.fixture
def node(npm_client):
    command = ["node", str(HERE / "session_client.cjs"), str(npm_client)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Node(process)
        process.stdin.close()


@pytest.fixture
def rig(made_keys):
    return Rig(made_keys)


def logged_in(node, rig):
    clock = VirtualClock()
    identity = load_identity(rig.folder, "operator", clock)
    request = node.ask(
        "login",
        name="operator",
        site="demo",
        key=f"{identity.signer._d:064x}",
        point=identity.certificate.public_key.point().hex(),
        certificate=identity.certificate.encoded.hex(),
        time=str(clock.now_ns() // 1000),
    )
    reply, principal = rig.server.login(bytes.fromhex(request))
    assert (principal.name, principal.station) == ("operator", "node")
    server = load_identity(rig.folder, "server", clock).certificate.public_key.point().hex()
    assert node.ask("accept", reply=reply.hex(), point=server) == principal.session
    return principal


def test_node_logs_in_seals_a_select_and_checks_the_reply(node, rig):
    principal = logged_in(node, rig)
    sealed = bytes.fromhex(
        node.ask("seal", method=SELECT, body=REQUEST.SerializeToString().hex(), time=str(rig.clock.now_ns() // 1000))
    )
    order = rig.server.prove(sealed, SELECT, principal.session)
    assert pb.SelectRequest.FromString(order.body) == REQUEST
    sealer = rig.server.sealer(order.session, SELECT)
    sealer.request = request_digest(sealed)
    message = pb.ControlReply(sequence_id="7", code="selected").SerializeToString()
    reply = sealer.seal(message, rig.server.signer(order.session))
    assert node.ask("check", method=SELECT, request=sealed.hex(), reply=reply.hex()) == message.hex()
    for spoiled in (reply[:1] + bytes((reply[1] ^ 1,)) + reply[2:], reply[:-1] + bytes((reply[-1] ^ 1,)), reply[:-40]):
        with pytest.raises(ValueError, match=r"sealed|wrong|signed"):
            node.ask("check", method=SELECT, request=sealed.hex(), reply=spoiled.hex())
    with pytest.raises(ValueError, match="tag is wrong"):
        node.ask("check", method=SELECT, request=sealed[:-1].hex(), reply=reply.hex())


def test_what_node_sealed_and_someone_changed_is_refused(node, rig):
    principal = logged_in(node, rig)
    sealed = bytes.fromhex(
        node.ask("seal", method=SELECT, body=REQUEST.SerializeToString().hex(), time=str(rig.clock.now_ns() // 1000))
    )
    for at in range(0, len(sealed), 7):
        with pytest.raises(EnvelopeError):
            rig.server.open(sealed[:at] + bytes((sealed[at] ^ 4,)) + sealed[at + 1 :], SELECT, principal.session)
    rig.server.open(sealed, SELECT, principal.session)
