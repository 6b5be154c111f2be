"""Threat table: spoofed dispatcher; the connection, the workstation and the person of a session; unknown revocations."""

from __future__ import annotations

import pytest

from scada.security.envelope import (
    EnvelopeError,
    IdleLockedError,
    RevocationsStaleError,
    SupersededError,
    UntrustedError,
    WrongBindingError,
    WrongPeerError,
)
from scada.security.peer import NO_PEER, Peer
from scada.security.session import SessionPolicy
from scada.security.sm3 import sm3
from tests.security.session_rig import ACKNOWLEDGE, EXECUTE, READ, REQUEST, SELECT, Rig

OURS = sm3(b"the server's certificate")
OPERATOR = Peer("10.0.0.1:1", sm3(b"tls of operator"), "operator")
DISPATCHER = Peer("10.0.0.2:1", sm3(b"tls of dispatcher"), "dispatcher")


@pytest.fixture
def rig(made_keys):
    return Rig(made_keys)


@pytest.fixture
def tls(made_keys):
    return Rig(made_keys, digests=frozenset({OURS, sm3(b"the one before")}))


def test_spoofed_dispatcher_with_the_tls_certificate_of_another_user(tls):
    with pytest.raises(WrongPeerError, match="'operator'"):
        tls.login("dispatcher", peer=OPERATOR, binding=OURS)
    with pytest.raises(WrongPeerError):
        tls.login("dispatcher", peer=NO_PEER, binding=OURS)
    assert tls.server.sessions() == []
    tls.login("dispatcher", peer=DISPATCHER, binding=OURS)


def test_spoofed_server_between_is_seen_by_its_certificate(tls, rig):
    for binding in (b"", sm3(b"a gateway's"), OURS[:-1]):
        with pytest.raises(WrongBindingError):
            tls.login(peer=OPERATOR, binding=binding)
    tls.login(peer=OPERATOR, binding=sm3(b"the one before"))  # certificates are exchanged while both are good
    with pytest.raises(WrongBindingError):
        rig.login(binding=OURS)  # the client speaks TLS with someone, the server with nobody


def test_listed_tls_names(made_keys):
    rig = Rig(made_keys, SessionPolicy(tls_names={"operator": frozenset({"desk-1"})}), digests=frozenset({OURS}))
    desk = Peer("10.0.0.3:1", sm3(b"tls of the desk"), "desk-1")
    rig.login("operator", peer=desk, binding=OURS)
    with pytest.raises(WrongPeerError):
        rig.login("dispatcher", peer=desk, binding=OURS)


def test_a_stolen_session_id_is_no_use_on_another_connection(tls):
    client = tls.login(peer=OPERATOR, binding=OURS)
    tls.server.authenticate(client.session, READ, OPERATOR)
    sealed = client.seal(SELECT, REQUEST)
    for peer in (DISPATCHER, NO_PEER, Peer(OPERATOR.address, b"", "operator")):
        with pytest.raises(WrongPeerError):
            tls.server.authenticate(client.session, READ, peer)
        with pytest.raises(WrongPeerError):
            tls.open(client, sealed, peer=peer)
    tls.open(client, sealed, peer=Peer("10.0.0.1:77", OPERATOR.certificate, "operator"))  # a new connection of the same owner


def test_a_session_without_tls_is_not_used_with_it(rig):
    client = rig.login()
    with pytest.raises(WrongPeerError):
        rig.server.authenticate(client.session, READ, OPERATOR)


def test_idle_lock(made_keys):
    rig = Rig(made_keys, SessionPolicy(idle_s=1800.0))
    client = rig.client()
    told = client.accept(rig.server.login(client.login_request())[0])
    assert told.idle_s == 1800
    rig.advance(1700)
    rig.open(client, client.seal(SELECT, REQUEST))
    rig.advance(1801)
    for method in (SELECT, EXECUTE, ACKNOWLEDGE):
        with pytest.raises(IdleLockedError, match="30 min"):
            rig.open(client, client.seal(method, REQUEST), method)
    rig.server.authenticate(client.session, READ)
    rig.rekey(client)  # keys are renewed, and that is no order
    with pytest.raises(IdleLockedError):
        rig.open(client, client.seal(SELECT, REQUEST))
    again = rig.login()
    rig.open(again, again.seal(SELECT, REQUEST))


def test_a_machine_is_never_idle(made_keys):
    rig = Rig(made_keys, SessionPolicy(idle_s=60.0))
    client = rig.client("dispatcher")
    told = client.accept(rig.server.login(client.login_request())[0])
    assert told.idle_s == 0
    rig.advance(3000)
    method = "/scadapb.v1.Dispatch/SendSetpoint"
    rig.open(client, client.seal(method, REQUEST), method)


def test_a_login_elsewhere_leaves_the_session_before_to_look_only(made_keys):
    rig = Rig(made_keys, SessionPolicy(one_control_session=True))
    first, beside, guardian = rig.login(station="desk 1"), rig.login(station="desk 1"), rig.login("guardian", "desk 2")
    second = rig.login(station="desk 2")
    for each in (first, beside):
        with pytest.raises(SupersededError, match="desk 2"):
            rig.open(each, each.seal(SELECT, REQUEST))
        rig.server.authenticate(each.session, READ)
    rig.open(second, second.seal(SELECT, REQUEST))
    confirm = "/scadapb.v1.Control/Confirm"
    rig.open(guardian, guardian.seal(confirm, REQUEST), confirm)
    assert [rig.server.only_looks(each) for each in rig.server.sessions()] == ["superseded", "superseded", "", ""]
    rig.server.logout(second.session)
    rig.open(first, first.seal(SELECT, REQUEST))


def test_of_three_workstations_only_the_last_acts_that_is_still_there(made_keys):
    rig = Rig(made_keys, SessionPolicy(one_control_session=True))
    desks = [rig.login(station=f"desk {number}") for number in range(3)]
    looks = lambda: [rig.server.only_looks(rig.server.find(each.session)) for each in desks]  # noqa: E731
    assert looks() == ["superseded", "superseded", ""]
    rig.server.logout(desks.pop().session)
    assert looks() == ["superseded", ""]
    rig.server.logout(desks.pop().session)
    assert looks() == [""]


def test_unless_the_site_allows_several(rig):
    first = rig.login(station="desk 1")
    rig.login(station="desk 2")
    rig.open(first, first.seal(SELECT, REQUEST))


def test_stale_revocations_stop_what_operates_and_nothing_else(rig, monkeypatch):
    client = rig.login()
    monkeypatch.setattr(type(rig.trust), "stale", "the list of ca is overdue")
    for method in (SELECT, "/scadapb.v1.Dispatch/Decide", "/scadapb.v1.Programmes/Start"):
        with pytest.raises(RevocationsStaleError, match="ca is overdue"):
            rig.open(client, client.seal(method, REQUEST), method)
    rig.open(client, client.seal(ACKNOWLEDGE, REQUEST), ACKNOWLEDGE)
    rig.server.authenticate(client.session, READ)
    monkeypatch.setattr(type(rig.trust), "stale", "")
    rig.open(client, client.seal(SELECT, REQUEST))


def test_an_ended_session_is_told_with_its_reason(rig):
    told = []
    rig.server.on_end(lambda session, why: told.append((session.principal.name, why)))
    client = rig.login()
    assert rig.server.end(bytes.fromhex(client.session), "the certificate is revoked")
    assert not rig.server.end(bytes.fromhex(client.session), "again")
    assert told == [("operator", "the certificate is revoked")]
    with pytest.raises(EnvelopeError):
        rig.open(client, client.seal(SELECT, REQUEST))


@pytest.mark.parametrize("edit", ["disabled = true", 'zones = ["nowhere"]'])
def test_who_is_put_out_in_the_middle_of_a_login_does_not_come_in(keys, monkeypatch, edit):
    """The table changes, and is taken, after the rights were read and before the session is there to be looked at."""
    rig = Rig(keys)
    answer = rig.server._answers.login

    def slow(*given, **named):
        path = keys / "roles.toml"
        path.write_text(path.read_text().replace("[operator]", f"[operator]\n{edit}"))
        assert rig.server.revalidate() == []
        return answer(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(rig.server._answers, "login", slow)
        with pytest.raises(UntrustedError):
            rig.login()
    assert rig.server.sessions() == []
