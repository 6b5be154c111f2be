from __future__ import annotations

import stat

import pytest
from click.testing import CliRunner

from scada.cli.keys import command
from scada.core.clock import VirtualClock
from scada.core.errors import SecurityError
from scada.security import identities
from scada.security.identities import (
    AUTHORITY,
    DEMO_IDENTITIES,
    PASSWORD_VARIABLE,
    init_identities,
    issue_identity,
    list_identities,
    load_authority,
    load_identity,
)
from scada.security.trust import Trust
from scada.security.users_file import grant_identity, load_users


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_first_start_makes_all_and_a_second_nothing(keys, clock):
    before = contents(keys)
    assert {f"{name}.key.pem" for name in (AUTHORITY, *DEMO_IDENTITIES)} < set(before)
    assert init_identities(keys, clock) == []
    assert contents(keys) == before


def test_private_files_are_private(keys):
    for path in keys.glob("*.key.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((keys / "roles.toml").stat().st_mode) == 0o600


def test_init_goes_on_after_a_crash_between_key_and_certificate(keys, clock):
    key = (keys / "operator.key.pem").read_bytes()
    (keys / "operator.cert.pem").unlink()
    assert init_identities(keys, clock) == ["operator"]
    assert (keys / "operator.key.pem").read_bytes() == key
    load_identity(keys, "operator", clock)


def test_every_demo_identity_loads_with_its_role(keys, clock):
    trust = Trust(keys, clock)
    for name, roles in DEMO_IDENTITIES.items():
        identity = load_identity(keys, name, clock)
        assert trust.principal(identity.certificate).roles == set(roles)
        assert identity.certificate.public_key.verify(identity.signer.sign(b"x"), b"x")


def test_the_table_cannot_exceed_the_certificate(keys, clock):
    table = keys / "roles.toml"
    table.write_text(table.read_text().replace('[viewer]\nroles = ["VIEWER"]', '[viewer]\nroles = ["VIEWER", "OPERATOR"]'))
    principal = Trust(keys, clock).principal(load_identity(keys, "viewer", clock).certificate)
    assert principal.roles == {"VIEWER"}
    assert "CONTROL" not in principal.rights


def test_unknown_identity_has_no_principal(keys, clock):
    issue_identity(keys, "stranger", ["OPERATOR"], clock)
    with pytest.raises(SecurityError, match="no entry"):
        Trust(keys, clock).principal(load_identity(keys, "stranger", clock).certificate)


def spoil_mode(keys):
    (keys / "operator.key.pem").chmod(0o644)


def spoil_key(keys):
    (keys / "operator.key.pem").write_bytes(b"\0" * 200)


def cut_key(keys):
    path = keys / "operator.key.pem"
    path.write_bytes(path.read_bytes()[:100])


def swap_key(keys):
    (keys / "operator.key.pem").write_bytes((keys / "viewer.key.pem").read_bytes())


def swap_both(keys):
    swap_key(keys)
    (keys / "operator.cert.pem").write_bytes((keys / "viewer.cert.pem").read_bytes())


def no_key(keys):
    (keys / "operator.key.pem").unlink()


def spoil_certificate(keys):
    (keys / "operator.cert.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def foreign_authority(keys):
    (keys / "ca.cert.pem").write_bytes((keys / "viewer.cert.pem").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (spoil_mode, "others may read"),
        (spoil_key, "not a PEM file"),
        (cut_key, "not a PEM file"),
        (swap_key, "does not belong to the certificate"),
        (swap_both, "is of 'viewer'"),
        (no_key, "cannot read: No such file"),
        (spoil_certificate, "not a readable SM2 certificate"),
        (foreign_authority, "not the certificate of a root"),
    ],
)
def test_each_spoiled_file_has_its_own_clear_error(keys, clock, spoil, text):
    spoil(keys)
    with pytest.raises(SecurityError, match=text) as caught:
        load_identity(keys, "operator", clock)
    assert caught.value.where


def test_expired_identity(keys, clock):
    clock.advance(3 * 365 * 86400)
    with pytest.raises(SecurityError, match="expired"):
        load_identity(keys, "operator", clock)


def test_passwords(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(identities, "DEMO_IDENTITIES", {"server": ("SERVER",)})
    init_identities(tmp_path, clock, password=b"pw")
    assert b"ENCRYPTED" in (tmp_path / "server.key.pem").read_bytes()
    load_identity(tmp_path, "server", clock, b"pw")
    with pytest.raises(SecurityError, match="is encrypted"):
        load_identity(tmp_path, "server", clock)
    monkeypatch.setenv(PASSWORD_VARIABLE, "pw")
    load_identity(tmp_path, "server", clock)
    monkeypatch.setenv(PASSWORD_VARIABLE, "no")
    with pytest.raises(SecurityError, match="wrong password"):
        load_identity(tmp_path, "server", clock)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[operator", "not TOML"),
        ("operator = 1", "must be a table"),
        ('[operator]\nroles = "OPERATOR"', "roles must be a list"),
        ('[operator]\nroles = ["KING"]\nareas = []', "unknown role KING"),
        ('[operator]\nroles = []\nrights = ["CONTROL"]', "unknown entries rights"),
    ],
)
def test_bad_role_tables(keys, text, fault):
    (keys / "roles.toml").write_text(text)
    with pytest.raises(SecurityError, match=fault):
        load_users(keys)


def test_role_table_that_others_may_write(keys):
    (keys / "roles.toml").chmod(0o666)
    with pytest.raises(SecurityError, match="others may write"):
        load_users(keys)


@pytest.mark.parametrize("name", ["../x", "", "ca", "a/b", ".x", "x" * 65, "a b"])
def test_names_that_are_no_file_names(keys, clock, name):
    with pytest.raises(SecurityError, match="cannot be an identity's name"):
        issue_identity(keys, name, ["VIEWER"], clock)


def test_folder_that_cannot_be_made(clock, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SecurityError, match="cannot make keys"):
        init_identities(tmp_path / "file" / "keys", clock)


def test_command_line(tmp_path):
    folder, run = str(tmp_path / "keys"), CliRunner().invoke
    first = run(command, ["init", folder], catch_exceptions=False)
    assert first.exit_code == 0
    assert "operator" in first.output
    assert "nothing made" in run(command, ["init", folder], catch_exceptions=False).output
    assert run(command, ["issue", folder, "li", "--role", "GUARDIAN"], catch_exceptions=False).exit_code == 0
    shown = run(command, ["show", folder], catch_exceptions=False).output
    assert "li" in shown
    assert "GUARDIAN" in shown
    assert [certificate.is_authority for certificate in list_identities(tmp_path / "keys")][:2] == [True, False]
    assert load_authority(tmp_path / "keys").name == "scada root authority"


def test_show_marks_what_would_be_refused(tmp_path):
    folder, run = tmp_path / "keys", CliRunner().invoke
    init_identities(folder, VirtualClock(0))  # 1970: long expired
    shown = run(command, ["show", str(folder)], catch_exceptions=False)
    assert shown.exit_code == 0
    assert shown.output.count("REFUSED: the certificate has expired") == len(DEMO_IDENTITIES)


def test_issue_grants_once_and_keeps_an_entry(tmp_path):
    folder, run = str(tmp_path / "keys"), CliRunner().invoke
    run(command, ["init", folder], catch_exceptions=False)
    issue = ["issue", folder, "li", "--role", "OPERATOR", "--area", "北山"]
    assert "granted in" in run(command, issue, catch_exceptions=False).output
    assert load_users(tmp_path / "keys").users["li"].areas == {"北山"}
    again = run(command, [*issue[:3], "--role", "VIEWER"], catch_exceptions=False)
    assert "kept as it was" in again.output
    assert load_users(tmp_path / "keys").users["li"].roles == {"OPERATOR"}
    with pytest.raises(SecurityError, match="unknown role"):
        grant_identity(tmp_path / "keys", "x", ["KING"], ["*"])


def test_command_line_with_a_password(tmp_path):
    folder, run = str(tmp_path / "keys"), CliRunner().invoke
    made = run(command, ["init", folder, "--password"], input="pw\npw\n", catch_exceptions=False, env={})
    assert made.exit_code == 0
    assert b"ENCRYPTED" in (tmp_path / "keys" / "ca.key.pem").read_bytes()
    with pytest.raises(SecurityError, match="encrypted"):
        run(command, ["issue", folder, "li", "--role", "VIEWER"], catch_exceptions=False)
