"""An older revocation list is put back while the server is down: nobody comes back by it, and nothing is operated meanwhile."""

from __future__ import annotations

import json

import pytest

from scada.core.errors import SecurityError
from scada.security import issuing, key_files
from scada.security.authorities import load_list
from scada.security.envelope import EnvelopeError, RevocationsStaleError, UntrustedError
from scada.security.key_files import load_certificate
from scada.security.revocation import RevokedError
from scada.security.revocation_memory import RevocationMemory
from scada.security.tls_identities import FILES, revoke_tls
from scada.security.tls_trust import TlsTrust, read_material
from scada.security.trust import Trust
from tests.security.session_rig import REQUEST, SELECT, Rig


class Site:
    """A folder of keys, the server's memory beside it, and a trust for each life of the server."""

    def __init__(self, keys, folder, clock):
        self.keys, self.path, self.clock = keys, folder / "var" / "revoked.json", clock
        self.list = keys / "ca.crl.pem"
        self.operator = load_certificate(keys / "operator.cert.pem")

    def start(self):
        return Trust(self.keys, self.clock, memory=RevocationMemory(self.path))

    def start_tls(self):
        return TlsTrust(self.keys, memory=RevocationMemory(self.path))

    def revoke(self, *certificates, reason="keyCompromise"):
        self.clock.advance(1)
        return issuing.revoke(self.keys, certificates, reason, self.clock)

    def is_revoked(self, trust):
        try:
            trust.check(self.operator, self.clock.now_ns())
        except RevokedError:
            return True
        return False


@pytest.fixture
def site(keys, tmp_path, clock):
    return Site(keys, tmp_path, clock)


def test_an_older_list_at_start_brings_nobody_back_and_stops_what_acts(site):
    older = site.revoke().pem()
    newest = site.revoke(site.operator).pem()
    assert site.start().stale == ""
    site.list.write_bytes(older)
    trust = site.start()
    assert site.is_revoked(trust)
    assert "older than" in trust.stale
    assert "scada keys crl" in trust.fault
    trust.refresh()
    assert "older than" in trust.fault, "it goes on to be told"
    site.list.write_bytes(newest)
    assert trust.refresh()
    assert (trust.stale, trust.fault, site.is_revoked(trust)) == ("", "", True)


def test_a_list_that_has_gone_while_the_server_was_down(site):
    site.revoke(site.operator)
    site.start()
    site.list.unlink()
    trust = site.start()
    assert site.is_revoked(trust)
    assert "has gone" in trust.stale


def test_after_a_restored_backup_the_next_list_is_a_newer_one(site):
    """The authority's folder comes from a backup and knows nothing of the last revocation."""
    backup = site.revoke().pem()
    site.revoke(site.operator)
    site.revoke()
    site.start()
    site.list.write_bytes(backup)
    trust = site.start()
    assert trust.stale
    site.revoke()
    trust.refresh()
    assert (trust.stale, trust.fault) == ("", "")
    assert site.operator.serial not in load_list(site.list).revoked, "the backup did not know"
    assert site.is_revoked(trust)
    assert site.is_revoked(site.start()), "and after the next start"


def test_sessions_of_such_a_server_look_and_do_not_act(site, keys):
    older = site.revoke().pem()
    site.revoke(site.operator)
    site.start()
    site.list.write_bytes(older)
    rig = Rig(keys, clock=site.clock)
    rig.trust = site.start()
    rig.start()
    with pytest.raises(UntrustedError, match="revoked"):
        rig.login("operator")
    leader = rig.login("leader")
    with pytest.raises(RevocationsStaleError):
        rig.open(leader, leader.seal(SELECT, REQUEST))
    assert rig.server.authenticate(leader.session, "/scadapb.v1.Realtime/Read").name == "leader"
    site.revoke()
    rig.server.revalidate()
    rig.open(leader, leader.seal(SELECT, REQUEST))


def test_a_list_over_the_api_that_is_older_than_the_memory(site):
    first = site.revoke()
    second = site.revoke()
    newest = site.revoke(site.operator)
    site.start()
    site.list.write_bytes(first.pem())
    trust = site.start()
    with pytest.raises(SecurityError, match="older than"):
        trust.load_crl(second.pem())
    trust.load_crl(newest.pem())
    assert trust.stale == ""


def test_what_was_only_held_is_let_go_by_a_newer_list_only(site):
    older = site.revoke().pem()
    site.revoke(site.operator, reason="certificateHold")
    site.start()
    site.list.write_bytes(older)
    trust = site.start()
    assert site.is_revoked(trust)
    key = key_files.load_key(site.keys, "ca", None)
    root = key_files.load_authority(site.keys)
    now = site.clock.now_ns()
    let_go = issuing.issue_list(root, key, (), number=now, now_ns=now, due_ns=now + 10**15)
    site.list.write_bytes(let_go.pem())
    trust.refresh()
    assert not site.is_revoked(trust)
    assert not site.is_revoked(site.start())


def test_a_memory_that_cannot_be_read_stops_what_acts_and_stays_as_it_is(site):
    site.revoke(site.operator)
    site.start()
    held = site.path.read_bytes()
    for spoilt in (held[:40], b"[]", b'{"revocations 1": {"SM2 x": {}}}', b"\xff", b'{"revocations 2": {}}'):
        site.path.write_bytes(spoilt)
        trust = site.start()
        assert "cannot be read" in trust.stale
        assert str(site.path) in trust.fault
        site.revoke()
        trust.refresh()
        assert "cannot be read" in trust.stale, "a list cannot mend it"
        assert site.path.read_bytes() == spoilt
    site.path.write_bytes(held)
    assert site.start().stale == ""


def test_a_memory_that_others_may_write_is_not_believed(site):
    site.revoke(site.operator)
    site.start()
    site.path.chmod(0o666)
    assert "others may write" in site.start().stale


def test_the_memory_is_a_small_file_of_its_owner_replaced_in_one_step(site, monkeypatch):
    site.revoke(site.operator)
    trust = site.start()
    assert site.path.stat().st_mode & 0o777 == 0o600
    held = site.path.read_bytes()
    assert f"{site.operator.serial:x}" in json.loads(held)["revocations 1"].popitem()[1]["revoked"]

    def die(*_):
        raise OSError(28, "No space left on device")

    site.revoke(load_certificate(site.keys / "viewer.cert.pem"))
    with monkeypatch.context() as patch:
        patch.setattr(key_files.os, "fsync", die)
        assert trust.refresh(), "who was revoked is out although it cannot be remembered"
        assert "cannot be remembered" in trust.fault
        assert site.path.read_bytes() == held
    trust.refresh()
    assert trust.fault == ""
    assert len(json.loads(site.path.read_bytes())["revocations 1"].popitem()[1]["revoked"]) == 2


def test_nothing_new_writes_nothing(site):
    site.revoke(site.operator)
    site.start()
    stamp = key_files.stamp(site.path)
    site.start().refresh()
    assert key_files.stamp(site.path) == stamp


def test_tls_an_older_list_at_start_brings_nobody_back_and_stops_what_acts(site):
    operator = read_material(site.keys, "operator").own
    now = site.clock.now_ns()
    revoke_tls(site.keys, [], now)
    older = FILES.crl(site.keys).read_bytes()
    revoke_tls(site.keys, ["operator"], now)
    assert not site.start_tls().is_list_stale(now)
    FILES.crl(site.keys).write_bytes(older)
    tls = site.start_tls()
    assert "revoked" in tls.refusal(operator, now)
    assert tls.is_list_stale(now)
    assert "older than" in tls.fault
    revoke_tls(site.keys, [], now)  # the authority restored from a backup: a newer list without the entry
    assert tls.refresh()
    assert (tls.is_list_stale(now), tls.fault) == (False, "")
    assert "revoked" in tls.refusal(operator, now)


def test_tls_a_list_in_force_neither_goes_back_nor_disappears_while_the_server_runs(site):
    now = site.clock.now_ns()
    revoke_tls(site.keys, [], now)
    older = FILES.crl(site.keys).read_bytes()
    revoke_tls(site.keys, ["operator"], now)
    tls = site.start_tls()
    FILES.crl(site.keys).write_bytes(older)
    assert not tls.refresh()
    assert "older than" in tls.fault
    assert not tls.is_list_stale(now), "the newer one is still in force"
    assert tls.refusal(read_material(site.keys, "operator").own, now)


def test_both_kinds_of_lists_share_one_file(site):
    memory = RevocationMemory(site.path)
    site.revoke(site.operator)
    revoke_tls(site.keys, ["viewer"], site.clock.now_ns())
    Trust(site.keys, site.clock, memory=memory)
    TlsTrust(site.keys, memory=memory)
    assert {owner.partition(" ")[0] for owner in json.loads(site.path.read_bytes())["revocations 1"]} == {"SM2", "TLS"}


def test_envelopes_of_the_revoked_are_refused_by_name(site, keys):
    """Whoever was revoked while the server ran is out after a start with the older list, TLS or not."""
    older = site.revoke().pem()
    rig = Rig(keys, clock=site.clock)
    rig.trust = site.start()
    rig.start()
    client = rig.login("operator")
    site.revoke(site.operator)
    rig.server.revalidate()
    site.list.write_bytes(older)
    rig.trust = site.start()
    rig.start()
    with pytest.raises(EnvelopeError):
        rig.server.login(client.login_request())
