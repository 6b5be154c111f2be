"""`scada keys` as its user works with it: authorities, renewal, secrets, and the guide."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from scada.core.clock import SystemClock, VirtualClock
from scada.core.errors import SecurityError
from scada.security.identities import init_identities, issue_identity, load_identity
from scada.security.issuing import YEAR_NS
from scada.security.key_files import load_certificate
from scada.security.revocation import RevokedError
from scada.security.tls_trust import read_material
from scada.security.trust import Trust
from tests.cli.keys_rig import row, run


def test_an_authority_below_the_root_and_the_root_taken_away(keys):
    run("ca", keys, "north")
    (keys / "ca.key.pem").unlink()
    assert "certificate for OPERATOR" in run("issue", keys, "wang", "--role", "OPERATOR", "--by", "north")
    load_identity(keys, "wang", SystemClock())
    assert row(keys, "wang")["issuer"] == "scada authority north < scada root authority"
    assert row(keys, "ca")["key"] == "not here"
    run("revoke", keys, "wang", "--reason", "keyCompromise")
    assert "revoked" in row(keys, "wang")["fault"]
    with pytest.raises(RevokedError):
        load_identity(keys, "wang", SystemClock())
    assert "wang" not in run("check", keys, "viewer", "operator")
    assert "revoked since" in run("check", keys, code=1)
    with pytest.raises(SecurityError, match="key is not here"):
        run("issue", keys, "li", "--role", "OPERATOR")


def test_renewal_keeps_the_key_or_makes_another(keys):
    before, key = load_certificate(keys / "operator.cert.pem"), (keys / "operator.key.pem").read_bytes()
    run("renew", keys, "operator", "--years", "3")
    same = load_certificate(keys / "operator.cert.pem")
    assert (keys / "operator.key.pem").read_bytes() == key
    assert (same.roles, same.public_key.point()) == (before.roles, before.public_key.point())
    assert same.not_after_ns > before.not_after_ns
    run("renew", keys, "operator", "--new-key")
    other = load_certificate(keys / "operator.cert.pem")
    assert other.public_key.point() != same.public_key.point()
    assert stat.S_IMODE((keys / "operator.key.pem").stat().st_mode) == 0o600
    load_identity(keys, "operator", SystemClock())
    trust = Trust(keys)
    trust.check(same, SystemClock().now_ns())
    run("revoke", keys, "operator", "--old", "--reason", "superseded")
    trust.refresh()
    trust.check(other, SystemClock().now_ns())
    for gone in (before, same):
        with pytest.raises(RevokedError, match="superseded"):
            trust.check(gone, SystemClock().now_ns())


def test_renewal_of_an_identity_whose_key_is_elsewhere(keys, tmp_path):
    """Taken away after an export, made by a request, or in a token: the new certificate is for the same key."""
    before, tls = load_certificate(keys / "operator.cert.pem"), (keys / "operator.tls.pem").read_bytes()
    for name in ("operator.key.pem", "operator.tls.key"):
        (keys / name).rename(tmp_path / name)
    assert "the key is not here" in run("renew", keys, "operator")
    after = load_certificate(keys / "operator.cert.pem")
    assert after.serial != before.serial
    assert after.public_key.point() == before.public_key.point()
    assert (keys / "operator.tls.pem").read_bytes() != tls
    assert not list(keys.glob("operator.*key*"))
    for name in ("operator.key.pem", "operator.tls.key"):
        (tmp_path / name).rename(keys / name)
    load_identity(keys, "operator", SystemClock())
    read_material(keys, "operator")
    (keys / "operator.signer.toml").write_text('kind = "file"\nkey = "operator.key.pem"\n')
    with pytest.raises(SecurityError, match="token or program"):
        run("renew", keys, "operator", "--new-key")


def test_names_that_would_mix_keys_up(keys):
    with pytest.raises(SecurityError, match="identity's name"):
        run("ca", keys, "operator")
    run("secret", "set", keys, "broker", stdin="hunter2\n")
    for name in ("secrets", "secrets-next", "ca", "../x", "a b", "\u5f20", "", "x" * 65, ".x"):
        with pytest.raises(SecurityError, match="cannot be"):
            run("issue", keys, name, "--role", "VIEWER")


def test_an_authority_that_has_fallen_issues_nothing(keys):
    run("ca", keys, "north")
    with pytest.raises(SecurityError, match="has expired"):
        issue_identity(keys, "wang", ["VIEWER"], VirtualClock(SystemClock().now_ns() + 6 * YEAR_NS), authority="north")
    with pytest.raises(SecurityError, match="not valid yet"):
        issue_identity(keys, "wang", ["VIEWER"], VirtualClock(0))
    with pytest.raises(SecurityError, match="scada keys ca"):
        run("renew", keys, "north")
    run("ca", keys, "north")
    run("revoke", keys, "north")
    with pytest.raises(SecurityError, match="revoked"):
        run("issue", keys, "wang", "--role", "VIEWER", "--by", "north")
    assert not (keys / "wang.cert.pem").exists()


def test_secrets_from_the_command_line(keys):
    assert "secret:broker is set" in run("secret", "set", keys, "broker", stdin="hunter2 \n")
    assert run("secret", "list", keys) == "secret:broker\n"
    assert "1 secrets" in run("secret", "rotate", keys)
    assert "hunter2" not in run("show", keys)
    run("secret", "remove", keys, "broker")
    assert run("secret", "list", keys) == ""


def test_the_commands_of_the_guide_work_as_they_stand_there(tmp_path, monkeypatch):
    """Every line of docs/security/keys.md, in its order, in an empty folder; all passwords are one."""
    for name in ("SCADA_KEY_PASSWORD", "SCADA_CA_PASSWORD", "SCADA_SECRETS_KEY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    guide = Path(__file__).parents[2] / "docs" / "security" / "keys.md"
    monkeypatch.chdir(tmp_path)
    keys, root, safe = Path("var/keys"), Path("var/keys/ca.key.pem"), Path("safe.pem")
    done = []
    for line in guide.read_text().splitlines():
        words = line.partition(" #")[0].split()
        if words[:1] == ["mv"]:
            root.rename(safe)
        if not line.startswith("    scada keys "):
            continue
        if "--serial" in words:
            words[words.index("6d0f...")] = row(keys, "guardian")["serial"]
        if "--serial" in words or (words[2] == "crl" and "--by" not in words):
            safe.exists() and safe.rename(root)
        run(*words[2:], stdin="long enough\n" * 5)
        done.append(words[2])
        if words[2] == "export":
            run("import", "keys", "wang.pem", stdin="long enough\n")
            load_identity(Path("keys"), "wang", SystemClock(), b"long enough")
    assert set(done) >= {"init", "ca", "issue", "export", "request", "sign", "revoke", "crl", "secret"}
    assert {name: bool(row(keys, name)["fault"]) for name in ("wang", "guardian", "li", "operator")} == {
        "wang": True,
        "guardian": True,
        "li": True,
        "operator": False,
    }


def test_an_empty_folder_is_not_in_order(tmp_path):
    assert "no identity" in run("check", tmp_path, code=1)
    with pytest.raises(SecurityError, match="scada keys init"):
        run("show", tmp_path)


def test_help_teaches():
    text = run("--help")
    for word in ("issue", "renew", "revoke", "export", "import", "request", "sign", "crl", "docs/security/keys.md"):
        assert word in text


def test_show_has_a_line_for_each(keys):
    run("revoke", keys, "viewer")
    text = run("show", keys)
    assert re.search(r"revocation list \d+ of scada root authority: 1 revoked", text)
    assert "REFUSED: the certificate is revoked" in text
    assert "plain" in text


def test_a_renewal_that_is_refused_leaves_the_key(keys):
    """Else a wrong password at the prompt, or an authority that has fallen, would cost a running server its key."""
    run("ca", keys, "north")
    run("issue", keys, "wang", "--role", "OPERATOR", "--by", "north")
    run("revoke", keys, "north")
    held = {name: (keys / name).read_bytes() for name in ("wang.key.pem", "wang.cert.pem", "wang.tls.key", "wang.tls.pem")}
    with pytest.raises(SecurityError, match="revoked"):
        run("renew", keys, "wang", "--new-key")
    assert {name: (keys / name).read_bytes() for name in held} == held


def test_a_wrong_password_of_the_tls_authority_leaves_the_key(tmp_path, monkeypatch):
    keys = tmp_path / "keys"
    init_identities(keys, password=b"of the tls root")
    plain = tmp_path / "plain"
    init_identities(plain)
    for name in ("ca.cert.pem", "ca.key.pem", "viewer.cert.pem", "viewer.key.pem"):
        (keys / name).write_bytes((plain / name).read_bytes())
    held = (keys / "viewer.key.pem").read_bytes()
    monkeypatch.delenv("SCADA_KEY_PASSWORD", raising=False)
    with pytest.raises(SecurityError):
        run("renew", keys, "viewer", "--new-key")
    assert (keys / "viewer.key.pem").read_bytes() == held


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_renews_what_another_user_reads(keys):
    """The server runs under a user of its own; keys and certificates that it cannot read would be no renewal."""
    for path in keys.glob("server.*"):
        os.chown(path, 12345, 12345)
    run("renew", keys, "server", "--new-key")
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in keys.glob("server.*")}
    assert sorted(owners) == ["server.cert.pem", "server.key.pem", "server.tls.key", "server.tls.pem"]
    assert set(owners.values()) == {(12345, 12345)}
