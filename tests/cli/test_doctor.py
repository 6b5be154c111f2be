"""`scada doctor`: each weak set-up is made, found, and mended."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from scada.api.texts import LANGUAGES, catalogue
from scada.cli import doctor_checks
from scada.cli.doctor import command
from scada.cli.doctor_checks import CHECKS
from scada.cli.doctor_findings import Check, Finding, Site, State, run_checks
from scada.core.clock import SystemClock, VirtualClock
from scada.core.errors import SecurityError
from scada.core.settings import load_settings
from scada.rest.tokens import TokenStore
from scada.security import sm2
from scada.security.audit import AuditLog
from scada.security.audit_chain import AuditRow
from scada.security.identities import init_identities, issue_identity
from scada.security.issuing import make_subordinate, revoke
from scada.security.key_files import load_certificate
from scada.security.revocation_memory import RevocationMemory
from scada.security.secrets_store import SecretStore
from scada.security.tls_identities import FILES, revoke_tls
from scada.security.tls_trust import TlsTrust
from scada.security.trust import Trust

DAY_S = 86400.0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor") / "keys"
    init_identities(folder, VirtualClock(SystemClock().now_ns()))
    return folder


class Rig:
    """A small site and what the doctor says of it."""

    def __init__(self, folder, made):
        self.folder = folder
        self.keys = folder / "var" / "keys"
        shutil.copytree(made, self.keys)
        self.keys.chmod(0o700)
        self.clock = VirtualClock(SystemClock().now_ns())
        self.config = folder / "scada.toml"
        self.write("")

    def write(self, text):
        self.config.write_text(f"[resources]\ndisk_mb = 0\n{text}")

    def found(self, name):
        site = Site(load_settings(self.config), self.config, self.clock)
        return [finding for _, finding in run_checks(site, [check for check in CHECKS if check.name == name])]

    def keys_of(self, name, state=None):
        return {finding.key for finding in self.found(name) if state is None or finding.state is state}


@pytest.fixture
def rig(tmp_path, made, monkeypatch):
    for name in ("SCADA_KEY_PASSWORD", "SCADA_SECRETS_KEY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return Rig(tmp_path, made)


def test_a_first_start_is_a_weak_one(rig):
    assert rig.keys_of("authority keys", State.WRONG) == {"authority_key"}
    assert len(rig.found("authority keys")) == 2  # of the identities, and of TLS
    assert "operator" in rig.found("foreign keys")[0].parameters["names"]
    assert "server.key.pem" in rig.found("plain keys")[0].parameters["files"]


def test_nothing_is_said_of_a_site_in_order(rig):
    for path in rig.keys.iterdir():
        if path.name.endswith((".key.pem", ".key")) and path.name not in ("server.key.pem", "server.tls.key"):
            path.unlink()
    revoke_nobody = ("authority keys", "foreign keys", "permissions", "certificates", "policy", "listeners", "secrets", "disk")
    for name in (*revoke_nobody, "server identity"):
        assert rig.found(name) == [], name


def test_files_that_others_may_read_or_write(rig):
    assert rig.found("permissions") == []
    (rig.keys / "server.key.pem").chmod(0o640)
    (rig.keys / "roles.toml").chmod(0o666)
    rig.config.chmod(0o666)
    rig.keys.chmod(0o755)
    assert rig.keys_of("permissions") == {"readable", "writable", "open_folder"}
    assert len([each for each in rig.found("permissions") if each.key == "writable"]) == 2


def test_certificates_that_end(rig):
    assert rig.found("certificates") == []
    rig.clock.advance((2 * 365 - 20) * DAY_S)
    assert rig.keys_of("certificates", State.WARNING) >= {"expires"}
    assert rig.keys_of("certificates", State.WRONG) == set()
    rig.clock.advance(30 * DAY_S)
    wrong = [each.parameters["name"] for each in rig.found("certificates") if each.state is State.WRONG]
    assert "server" in wrong
    assert rig.keys_of("server identity", State.WRONG) == {"server_identity"}


def test_a_clock_that_is_behind_the_certificates(rig):
    rig.clock = VirtualClock(rig.clock.now_ns() - int(2 * DAY_S * 1e9))
    assert rig.keys_of("certificates", State.WRONG) == {"not_yet"}


def test_revocation_lists_that_end(rig):
    assert rig.keys_of("revocation lists", State.WRONG) == set()
    rig.write('[security]\nrevocation_lists = "required"\n')
    assert rig.keys_of("revocation lists", State.WRONG) == {"no_list"}
    revoke(rig.keys, [load_certificate(rig.keys / "server.cert.pem")], "superseded", rig.clock, days=10)
    assert rig.keys_of("certificates", State.WRONG) == {"revoked"}
    assert rig.found("revocation lists") == []
    rig.clock.advance(5 * DAY_S)
    assert rig.keys_of("revocation lists", State.WARNING) == {"list_due"}
    rig.clock.advance(6 * DAY_S)
    assert rig.keys_of("revocation lists", State.WRONG) == {"list_overdue"}


def test_the_revocation_list_of_tls_ends_too(rig):
    rig.clock.advance(360 * DAY_S)
    (finding,) = [each for each in rig.found("revocation lists") if each.state is State.WARNING]
    assert (finding.key, finding.parameters) == ("list_due", {"name": "tls-crl.pem", "days": "4"})
    rig.clock.advance(6 * DAY_S)
    assert rig.keys_of("revocation lists", State.WRONG) == {"list_overdue"}


def test_the_key_of_an_authority_below_the_root(rig):
    make_subordinate(rig.keys, "north", rig.clock)
    for name in ("ca.key.pem", "tls-ca.key"):
        (rig.keys / name).unlink()
    assert [each.parameters["path"] for each in rig.found("authority keys")] == [str(rig.keys / "north.key.pem")]


def test_the_list_of_an_authority_that_is_over_is_nobodys_concern(rig):
    make_subordinate(rig.keys, "north", rig.clock, years=0.1)
    revoke(rig.keys, [], "unspecified", rig.clock, days=10, authority="north")
    rig.clock.advance(20 * DAY_S)
    assert rig.keys_of("revocation lists", State.WRONG) == {"list_overdue"}
    rig.clock.advance(20 * DAY_S)
    assert rig.keys_of("revocation lists", State.WRONG) == set()


def test_a_folder_that_others_may_write(rig):
    rig.keys.chmod(0o770)
    assert rig.keys_of("permissions", State.WRONG) == {"writable"}


def test_a_revoked_person_is_no_finding(rig):
    revoke(rig.keys, [load_certificate(rig.keys / "operator.cert.pem")], "superseded", rig.clock)
    assert rig.found("certificates") == []


def test_tables_that_cannot_be_used_and_roles_that_exclude_each_other(rig):
    assert rig.found("policy") == []
    issue_identity(rig.keys, "zhao", ["OPERATOR", "SECADM"], rig.clock)
    table = rig.keys / "roles.toml"
    good = table.read_text()
    table.write_text(good + '\n[zhao]\nroles = ["OPERATOR", "SECADM"]\nareas = ["*"]\n')
    assert rig.keys_of("policy", State.WRONG) == {"policy"}
    assert rig.keys_of("policy", State.WRONG)
    table.write_text("[broken")
    assert rig.keys_of("policy", State.WRONG) == {"policy"}


@pytest.mark.parametrize(("told", "expected"), [("yes\n", set()), ("no\n", {"clock_free"}), ("", {"clock_unknown"})])
def test_the_clock(rig, monkeypatch, tmp_path, told, expected):
    program = tmp_path / "timedatectl"
    program.write_text(f"#!/bin/sh\nprintf '{told}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(doctor_checks.shutil, "which", lambda name: str(program) if name == "timedatectl" else None)
    assert rig.keys_of("clock") == expected


def test_no_program_tells_of_the_clock(rig, monkeypatch):
    monkeypatch.setattr(doctor_checks.shutil, "which", lambda _: None)
    assert [each.state for each in rig.found("clock")] == [State.UNKNOWN]


def test_listeners_without_tls(rig):
    rig.write('[metrics]\nhost = "0.0.0.0"\n[opcua]\nenabled = true\nendpoint = "opc.tcp://0.0.0.0:4840/"\npolicies = ["None"]\n')
    assert [each.parameters["what"] for each in rig.found("listeners")] == ["[metrics]", "[opcua]"]
    rig.write('[opcua]\nenabled = true\npolicies = ["None"]\n')
    assert rig.found("listeners") == []


@pytest.mark.parametrize(
    "dsn", ["host=db password=hunter2 user=x", "postgresql://scada:hunter2@db/history", "host=db password='hunter2'"]
)
def test_passwords_in_the_configuration_are_found_and_not_repeated(rig, dsn):
    rig.write(f'[history]\ndsn = "{dsn}"\n[channels.broker.params]\npassword = "hunter3"\n')
    found = rig.found("secrets")
    assert [each.key for each in found] == ["plain_password", "plain_password"]
    assert "hunter" not in str(found)


def test_secrets_that_are_named_must_be_there(rig):
    rig.write('[history]\ndsn = "host=db password=secret:pg"\n[channels.broker.params]\npassword = "secret:mq"\n')
    assert [each.parameters["place"] for each in rig.found("secrets")] == ["[history] dsn", "[channels.broker] password"]
    for name in ("pg", "mq"):
        SecretStore(rig.keys).set(name, "x")
    assert rig.found("secrets") == []


def test_a_database_without_a_password(rig):
    rig.write('[history]\ndsn = "postgresql://scada@db:5432/history"\n')
    assert rig.found("secrets") == []


def test_tokens_that_are_good_for_years(rig):
    assert rig.found("tokens") == []
    path = rig.folder / "var" / "rest" / "tokens.json"
    path.parent.mkdir(parents=True)
    store = TokenStore(path, rig.clock)
    store.issue("weather", days=30, scopes=["values"], stations=["*"], per_minute=60)
    assert rig.found("tokens") == []
    store.issue("trader", days=3000, scopes=["values"], stations=["*"], per_minute=60)
    assert [each.parameters["name"] for each in rig.found("tokens")] == ["trader"]
    path.chmod(0o644)
    assert rig.keys_of("tokens", State.WRONG) == {"readable"} or rig.keys_of("tokens", State.UNKNOWN)


def test_the_audit_log(rig):
    folder = rig.folder / "var" / "audit"
    assert rig.keys_of("audit") == {"audit_none"}
    with_log(folder, rig.clock)
    assert rig.found("audit") == []
    last = max(folder.glob("audit*.log"))
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    assert rig.keys_of("audit", State.WRONG) == {"audit_broken"}


def test_room_on_the_disk(rig):
    assert rig.found("disk") == []
    rig.config.write_text(f"[resources]\ndisk_mb = {1 << 40}\n")
    assert rig.keys_of("disk", State.WRONG) == {"room"}


def test_the_backend_is_named_and_the_pure_one_is_weak(rig, monkeypatch):
    monkeypatch.setenv("SCADA_LIBCRYPTO", "none")
    sm2._backend.cache_clear()
    assert rig.keys_of("cryptography", State.WARNING) == {"pure_sm2"}
    sm2._backend.cache_clear()


def test_a_check_that_breaks_is_not_known(rig):
    def breaks(_site):
        raise SecurityError("something is in the way")
        yield

    site = Site(load_settings(rig.config), rig.config, rig.clock)
    [(name, found)] = run_checks(site, [Check("odd", breaks)])
    assert (name, found.state) == ("odd", State.UNKNOWN)
    assert found.parameters == {"reason": "something is in the way"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_finding_has_a_text(language):
    source = Path(doctor_checks.__file__).read_text(encoding="utf-8")
    keys = set(re.findall(r'Finding\([^"]*"([a-z0-9_]+)"', source))
    assert len(keys) > 20
    assert [key for key in keys if f"doctor.{key}" not in catalogue(language)] == []


def run(*words):
    return CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)


def test_the_command_line(rig):
    bad = run("-c", rig.config, "--lang", "en")
    assert bad.exit_code == 1
    assert "WRONG  the key of an authority lies on the server" in bad.output
    assert "-> move it to a medium" in bad.output
    assert bad.output.splitlines()[-1].endswith("not known")
    chinese = run("-c", rig.config, "--lang", "zh")
    assert "错误  证书机构的私钥放在服务器上" in chinese.output
    good = run("-c", rig.config, "--only", "permissions", "--json")
    assert good.exit_code == 0
    assert json.loads(good.output) == {"findings": [], "wrong": 0}
    told = json.loads(run("-c", rig.config, "--json", "--lang", "en").output)
    assert told["wrong"] == sum(row["state"] == "wrong" for row in told["findings"]) > 0
    assert run("-c", rig.config, "--only", "nothing").exit_code == 2


def with_log(folder, clock):
    log = AuditLog(folder, clock)
    for number in range(3):
        log.append(AuditRow("control", "select", actor="wang", path=str(number)))
    log.close()


def test_findings_are_ordered_by_gravity():
    assert [state.value for state in State] == ["good", "unknown", "warning", "wrong"]
    assert Finding(State.GOOD, "x").parameters == {}


def test_the_exit_code_reaches_the_shell(rig, monkeypatch, capsys):
    from scada.cli.main import main

    monkeypatch.setattr("sys.argv", ["scada", "doctor", "-c", str(rig.config)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    monkeypatch.setattr("sys.argv", ["scada", "doctor", "-c", str(rig.config), "--only", "permissions"])
    main()


def test_an_encrypted_key_whose_password_is_not_here_is_not_known(rig, monkeypatch):
    """The server has it from its service manager; whoever calls the doctor by hand has not."""
    shutil.rmtree(rig.keys)
    init_identities(rig.keys, rig.clock, password=b"long enough")
    assert [(each.state, each.key) for each in rig.found("server identity")] == [(State.UNKNOWN, "server_locked")]
    monkeypatch.setenv("SCADA_KEY_PASSWORD", "another one")
    assert rig.keys_of("server identity", State.WRONG) == {"server_identity"}
    monkeypatch.setenv("SCADA_KEY_PASSWORD", "long enough")
    assert rig.found("server identity") == []


def test_lists_that_are_older_than_what_the_server_has_seen(rig):
    operator = load_certificate(rig.keys / "operator.cert.pem")
    older, tls = revoke(rig.keys, [], "unspecified", rig.clock), FILES.crl(rig.keys).read_bytes()
    revoke(rig.keys, [operator], "keyCompromise", rig.clock)
    revoke_tls(rig.keys, ["operator"], rig.clock.now_ns())
    memory = RevocationMemory(rig.folder / "var" / "revoked.json")
    Trust(rig.keys, rig.clock, memory=memory)
    TlsTrust(rig.keys, memory=memory)
    assert rig.keys_of("revocation lists") == set()
    (rig.keys / "ca.crl.pem").write_bytes(older.pem())
    FILES.crl(rig.keys).write_bytes(tls)
    assert [each.key for each in rig.found("revocation lists") if each.state is State.WRONG] == ["list_older"] * 2
    (rig.folder / "var" / "revoked.json").write_text("{")
    assert "revoked_unreadable" in rig.keys_of("revocation lists", State.WRONG)


def test_areas_that_cannot_be_judged_are_not_called_good(rig):
    assert "areas_unknown" not in rig.keys_of("policy")
    path = rig.keys / "roles.toml"
    path.write_text(path.read_text().replace('areas = ["*"]', 'areas = ["East"]', 1))
    rig.write('[model]\npath = "nowhere"')
    assert rig.keys_of("policy", State.UNKNOWN) == {"areas_unknown"}
