"""The server's SM2 identity is renewed while clients are there: what they see, and what the operator is told."""

from __future__ import annotations

import pytest
from api.tls_rig import CLOCK, TlsRig
from scadapb.v1 import scada_pb2 as pb

from scada.api import server as server_module
from scada.security import issuing
from scada.security.identities import issue_identity
from scada.security.key_files import load_certificate
from scada.security.tls_identities import revoke_tls

STATUS = ("Realtime/GetStatus", pb.GetStatusRequest())
MODE = ("Control/SetMode", pb.SetModeRequest(agc="off"))
DAY_YEARS = 1 / 365


@pytest.fixture
async def rig(tmp_path, make_backend, monkeypatch):
    """Housekeeping is done by the test."""
    monkeypatch.setattr(server_module, "LOOK_S", 3600.0)
    async with TlsRig(tmp_path / "keys", make_backend(CLOCK)) as rig:
        yield rig


def renew(rig, **options):
    return issue_identity(rig.keys, "server", ["SERVER"], CLOCK, **options)


@pytest.mark.parametrize("new_key", [False, True])
async def test_a_renewed_identity_needs_no_restart(rig, new_key):
    before = await rig.connect("operator")
    made = renew(rig, new_key=new_key)
    await rig.server.look()
    (event,) = rig.events("security.identity_renewed")
    assert event.parameters["serial"] == f"{made.serial:x}"
    assert [row.step for row in rig.backend.audit.told if row.step.startswith("identity")] == ["identity_changed"]
    assert (await before.signed(*MODE)).accepted, "the session goes on, and its client proves the server's signature"
    after = await rig.connect("leader")
    assert (await after.signed(*MODE)).accepted
    assert after.session.server.encoded == made.encoded


async def test_a_revoked_old_key_sends_its_sessions_to_the_new_one(rig):
    operator = await rig.connect("operator")
    old = load_certificate(rig.keys / "server.cert.pem")
    made = renew(rig, new_key=True)
    issuing.revoke(rig.keys, [old], "keyCompromise", CLOCK)
    await rig.server.look()
    assert not rig.sessions.sessions()
    assert (await operator.signed(*MODE)).accepted, "the client logs in again by itself"
    assert operator.session.server.encoded == made.encoded


async def test_an_identity_half_written_changes_nothing_and_is_told_once(rig):
    operator = await rig.connect("operator")
    path = rig.keys / "server.cert.pem"
    path.write_bytes(path.read_bytes()[:200])
    for _ in range(3):
        await rig.server.look()
    assert (await operator.signed(*MODE)).accepted
    (event,) = rig.events("security.identity_fault")
    assert "server.cert.pem" in event.parameters["reason"]
    assert event.priority == 1
    (row,) = [row for row in rig.backend.audit.told if row.step == "identity_refused"]
    assert row.reason == event.parameters["reason"]


async def test_the_end_of_a_certificate_is_told_in_time(rig):
    renew(rig, years=10 * DAY_YEARS)
    await rig.server.look()
    await rig.server.look()
    names = [event.parameters["certificate"] for event in rig.events("security.identity_due")]
    assert names == ["server", "server, TLS"], "both were renewed for ten days"
    renew(rig)
    await rig.server.look()
    renew(rig, years=10 * DAY_YEARS)
    await rig.server.look()
    assert len(rig.events("security.identity_due")) == 4, "told again when it is so again"
    assert not rig.events("security.identity_over")


@pytest.mark.e2e
async def test_a_renewed_identity_is_taken_within_a_second(tmp_path, make_backend):
    """By the server's own housekeeping, in real time."""
    async with TlsRig(tmp_path / "keys", make_backend(CLOCK)) as rig:
        made = renew(rig, new_key=True)
        await rig.until(lambda: rig.sessions.identity.current.certificate.encoded == made.encoded)
        assert (await (await rig.connect("leader")).signed(*MODE)).accepted


async def test_a_client_whose_connection_bears_a_revoked_certificate_of_the_server_looks_again(rig):
    """`scada keys renew server --new-key` and `revoke server --old`: the station must not stay out for ever."""
    operator = await rig.connect("operator")
    old = load_certificate(rig.keys / "server.cert.pem")
    renew(rig, new_key=True)
    await rig.server.look()
    issuing.revoke(rig.keys, [old], "keyCompromise", CLOCK)
    revoke_tls(rig.keys, ["server"], CLOCK.now_ns(), old=True)
    await rig.server.look()
    assert not rig.sessions.sessions()
    assert (await operator.call(*STATUS)).site == "demo"
    assert (await operator.signed(*MODE)).accepted
    assert await operator._connections.digest(operator.control) == rig.tls.material.own.digest
    assert await operator._connections.digest(operator.server) == rig.tls.material.own.digest
