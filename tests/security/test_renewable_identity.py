"""The server's identity is renewed while it runs: who signs then, and what a file that cannot be used changes (nothing)."""

from __future__ import annotations

import shutil

import pytest

from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.errors import SecurityError
from scada.security import issuing
from scada.security.audit import AuditLog, AuditRow
from scada.security.audit_checking import check_log
from scada.security.authorities import load_authorities
from scada.security.checkpoints import CHECKPOINTS, read_checkpoints
from scada.security.client import SessionClient
from scada.security.envelope import EnvelopeError
from scada.security.identities import init_identities, issue_identity, load_authority, load_identity
from scada.security.key_files import load_certificate
from scada.security.renewable_identity import RETRY_S, RenewableIdentity
from scada.security.session import SERVER_ROLE, SessionServer
from tests.security.session_rig import EXECUTE, REQUEST, SELECT, Rig


class RenewingRig(Rig):
    """A server whose identity follows its files."""

    def start(self):
        self.identity = RenewableIdentity(self.folder, "server", self.clock, trust=self.trust, role=SERVER_ROLE)
        self.server = SessionServer(
            site=self.site, identity=self.identity, trust=self.trust, clock=self.clock, policy=self.policy
        )
        return self.server

    def renew(self, *, new_key=False, years=2.0):
        self.clock.advance(1)
        self.desk_clock.advance(1)
        return issue_identity(self.folder, "server", ["SERVER"], self.clock, new_key=new_key, years=years)

    def order(self, client, method=EXECUTE):
        """An order of a client and the server's signed reply to it, both proven."""
        sealed = client.seal(method, REQUEST)
        self.open(client, sealed, method)
        session = self.server.find(client.session)
        reply = self.sealer(client, method, sealed).seal(b"done", self.server.signer(session))
        assert self.reader(client, method, sealed, signed=True).open(reply) == b"done"


def seen_by(rig, name="leader"):
    """A login, and the certificate of the server that it met."""
    client = rig.client(name)
    reply = client.accept(rig.server.login(client.login_request())[0])
    return client, reply.certificate


@pytest.fixture
def rig(keys):
    return RenewingRig(keys)


@pytest.mark.parametrize("new_key", [False, True])
def test_a_renewed_identity_signs_without_a_start_and_live_sessions_go_on(rig, new_key):
    client, before = seen_by(rig, "operator")
    made = rig.renew(new_key=new_key)
    assert rig.server.revalidate() == []
    fresh, now = seen_by(rig)
    assert (now, now == before) == (made.encoded, False)
    for each in (client, fresh):
        rig.order(each)
        rig.rekey(each)
        rig.order(each)
    assert rig.identity.fault == ""


def test_sessions_end_with_the_revoked_key_that_they_know_the_server_by(rig):
    client, _ = seen_by(rig, "operator")
    old = load_certificate(rig.folder / "server.cert.pem")
    rig.renew(new_key=True)
    rig.server.revalidate()
    fresh, _ = seen_by(rig)
    issuing.revoke(rig.folder, [old], "superseded", rig.clock)
    (ended,) = rig.server.revalidate()
    assert ended.principal.name == "operator"
    rig.order(fresh)
    with pytest.raises(EnvelopeError):
        rig.open(client, client.seal(SELECT, REQUEST))


def test_a_renewal_and_the_revocation_of_the_old_key_in_one_look(rig):
    seen_by(rig, "operator")
    old = load_certificate(rig.folder / "server.cert.pem")
    rig.renew(new_key=True)
    issuing.revoke(rig.folder, [old], "keyCompromise", rig.clock)
    assert [session.principal.name for session in rig.server.revalidate()] == ["operator"]


def test_a_session_ends_when_the_old_key_has_expired(keys, clock):
    issue_identity(keys, "server", ["SERVER"], clock, years=2 / 24 / 365, new_key=True)
    rig = RenewingRig(keys, clock=clock)
    client, _ = seen_by(rig, "operator")
    rig.renew(new_key=True)
    assert rig.server.revalidate() == []
    rig.order(client)
    rig.advance(2 * 3600)
    (ended,) = rig.server.revalidate()
    assert ended.principal.name == "operator"


def test_the_same_key_needs_no_new_login_when_its_old_certificate_is_revoked(rig):
    client, _ = seen_by(rig, "operator")
    old = load_certificate(rig.folder / "server.cert.pem")
    rig.renew()
    issuing.revoke(rig.folder, [old], "superseded", rig.clock)
    assert rig.server.revalidate() == []
    rig.order(client)


def half(folder):
    path = folder / "server.cert.pem"
    path.write_bytes(path.read_bytes()[:100])


def of_another(folder):
    shutil.copy(folder / "operator.cert.pem", folder / "server.cert.pem")
    shutil.copy(folder / "operator.key.pem", folder / "server.key.pem")


def without_the_role(folder):
    issue_identity(folder, "server", ["VIEWER"], Rig(folder).clock)


def another_key(folder):
    shutil.copy(folder / "operator.key.pem", folder / "server.key.pem")


def open_to_others(folder):
    (folder / "server.key.pem").chmod(0o644)


def gone(folder):
    (folder / "server.cert.pem").unlink()


@pytest.mark.parametrize("spoil", [half, of_another, without_the_role, another_key, open_to_others, gone])
def test_a_file_that_cannot_be_used_changes_nothing_and_is_told(rig, keys, tmp_path, spoil):
    good = shutil.copytree(keys, tmp_path / "good")
    client, before = seen_by(rig, "operator")
    spoil(keys)
    rig.server.revalidate()
    rig.server.revalidate()
    assert "server" in rig.identity.fault
    rig.order(client)
    assert seen_by(rig)[1] == before
    for name in ("server.cert.pem", "server.key.pem"):
        shutil.copy2(good / name, keys / name)
    rig.server.revalidate()
    assert rig.identity.fault == ""
    assert seen_by(rig)[1] == before


def test_a_certificate_of_a_foreign_authority_is_not_taken(rig, keys, tmp_path):
    init_identities(tmp_path / "foreign", rig.clock)
    for name in ("server.cert.pem", "server.key.pem"):
        shutil.copy(tmp_path / "foreign" / name, keys / name)
    before = rig.identity.current
    rig.identity.refresh()
    rig.identity.refresh()
    assert rig.identity.current is before
    assert "authority" in rig.identity.fault


def test_the_moment_between_key_and_certificate_is_no_fault(rig, keys):
    """`scada keys renew --new-key` writes two files one after the other."""
    certificate = (keys / "server.cert.pem").read_bytes()
    rig.renew(new_key=True)
    made = (keys / "server.cert.pem").read_bytes()
    (keys / "server.cert.pem").write_bytes(certificate)
    rig.server.revalidate()
    assert rig.identity.fault == ""
    (keys / "server.cert.pem").write_bytes(made)
    rig.server.revalidate()
    assert (rig.identity.fault, rig.identity.current.certificate.pem()) == ("", made)


def test_what_is_mended_by_time_alone_is_taken_a_little_later(rig, keys):
    """A certificate by a clock that was ahead; a token that was away."""
    issue_identity(keys, "server", ["SERVER"], VirtualClock(rig.clock.now_ns() + 7200 * NS_PER_S))
    for _ in range(2):
        rig.server.revalidate()
    assert "not valid yet" in rig.identity.fault
    rig.clock.advance(RETRY_S)
    assert not rig.identity.refresh()
    assert "not valid yet" in rig.identity.fault
    rig.clock.advance(3600)
    assert rig.identity.refresh()
    assert rig.identity.fault == ""


def test_an_older_list_put_back_brings_no_revoked_identity_in(rig, keys):
    """What the running server knows of revocations judges the new file, not what the folder says."""
    issuing.revoke(keys, [], "unspecified", rig.clock)
    older = (keys / "ca.crl.pem").read_bytes()
    stolen, before = rig.renew(new_key=True), rig.identity.current
    issuing.revoke(keys, [stolen], "keyCompromise", rig.clock)
    rig.trust.refresh()
    (keys / "ca.crl.pem").write_bytes(older)
    rig.server.revalidate()
    assert rig.identity.current is before


def test_a_server_does_not_begin_with_a_certificate_that_no_client_would_take(keys, clock):
    without_the_role(keys)
    with pytest.raises(SecurityError, match="role SERVER"):
        RenewableIdentity(keys, "server", clock, role=SERVER_ROLE)


@pytest.mark.parametrize("new_key", [False, True])
def test_checkpoints_are_signed_by_the_renewed_identity_and_the_log_stays_whole(rig, keys, tmp_path, new_key):
    folder = tmp_path / "audit"
    with AuditLog(folder, rig.clock) as log:
        log.sign_with(rig.identity, "demo", rig.clock)
        log.append(AuditRow("control", "select", "operator"))
        log.checkpoint()
        made = rig.renew(new_key=new_key)
        rig.server.revalidate()
        log.append(AuditRow("control", "execute", "operator"))
        log.checkpoint()
    first, second = read_checkpoints(folder / CHECKPOINTS)
    assert (first.certificate == made.encoded, second.certificate) == (False, made.encoded)
    assert check_log(folder, authorities=load_authorities(keys)).whole


def test_a_client_of_a_renewed_identity_knows_the_server_by_its_own_key_only(rig, keys):
    """The seal of a session by the old key is none to a client that met the new one."""
    old = load_identity(keys, "server", rig.clock)
    rig.renew(new_key=True)
    rig.server.revalidate()
    fresh, _ = seen_by(rig)
    sealed = fresh.seal(EXECUTE, REQUEST)
    rig.open(fresh, sealed, EXECUTE)
    reply = rig.sealer(fresh, EXECUTE, sealed).seal(b"done", old.signer)
    with pytest.raises(SecurityError):
        rig.reader(fresh, EXECUTE, sealed, signed=True).open(reply)


def test_a_client_takes_its_renewed_certificate_at_the_next_login(rig, keys):
    """A program that runs for years must not be locked out by the end of the certificate that it began with."""
    holder = RenewableIdentity(keys, "operator", rig.desk_clock)
    client = SessionClient(holder, rig.site, load_authority(keys), rig.desk_clock)
    client.accept(rig.server.login(client.login_request())[0])
    made = issue_identity(keys, "operator", ["OPERATOR"], rig.clock, new_key=True)
    rig.order(client)
    request = client.login_request()
    rig.order(client)  # the session before goes on, by the key that the server knows it by, until there is another one
    client.accept(rig.server.login(request)[0])
    (_, session) = rig.server.sessions()
    assert session.certificate.encoded == made.encoded
    rig.order(client)
