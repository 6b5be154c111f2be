"""`scada keys` as its user works with it."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from scada.cli.keys import command
from scada.core.clock import NS_PER_S, SystemClock, VirtualClock
from scada.core.errors import SecurityError
from scada.security import pkcs8
from scada.security.identities import init_identities, issue_identity, load_identity
from scada.security.issuing import YEAR_NS
from scada.security.key_files import load_certificate
from scada.security.requests import split_requests
from scada.security.revocation import RevokedError
from scada.security.tls_identities import issue_tls, revoke_tls
from scada.security.tls_trust import read_material
from scada.security.trust import Trust


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys-cli") / "keys"
    init_identities(folder)
    return folder


@pytest.fixture
def keys(made, tmp_path, monkeypatch):
    for name in ("SCADA_KEY_PASSWORD", "SCADA_CA_PASSWORD", "SCADA_SECRETS_KEY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return shutil.copytree(made, tmp_path / "keys")


def run(*words, code=0, stdin=None):
    done = CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False, input=stdin)
    assert done.exit_code == code, done.output
    return done.output


def row(keys, name):
    return next(each for each in json.loads(run("show", keys, "--json")) if each["name"] == name)


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


def test_revoking_an_authority_takes_its_identities_along(keys):
    run("ca", keys, "north")
    run("issue", keys, "wang", "--role", "OPERATOR", "--by", "north")
    run("revoke", keys, "north", "--reason", "cACompromise")
    assert "REVOKED" in row(keys, "north")["fault"]
    with pytest.raises(RevokedError, match="north"):
        load_identity(keys, "wang", SystemClock())


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


def test_a_name_is_revoked_with_all_its_certificates(keys):
    first = load_certificate(keys / "operator.cert.pem")
    run("renew", keys, "operator")
    run("revoke", keys, "operator")
    trust = Trust(keys)
    for each in (first, load_certificate(keys / "operator.cert.pem")):
        with pytest.raises(RevokedError):
            trust.check(each, SystemClock().now_ns())


def test_revoking_by_serial_number_and_renewing_the_list(keys):
    serial = row(keys, "viewer")["serial"]
    assert "list 1, 1 revoked" in run("revoke", keys, "--serial", serial.upper())
    assert "list 2, 1 revoked" in run("crl", keys, "--days", "7")
    assert "REFUSED" in row(keys, "viewer")["fault"]
    with pytest.raises(SecurityError, match="no certificate"):
        run("revoke", keys, "--serial", "1234")
    assert "give NAMES" in run("revoke", keys, code=2)


def test_a_request_travels_and_the_key_does_not(keys, tmp_path):
    there, csr, answer = tmp_path / "there", tmp_path / "li.csr", tmp_path / "li.cert.pem"
    run("request", there, "li", csr)
    run("sign", keys, csr, answer, "--role", "GUARDIAN")
    (there / "li.cert.pem").write_bytes(answer.read_bytes())
    (there / "ca.cert.pem").write_bytes((keys / "ca.cert.pem").read_bytes())
    identity = load_identity(there, "li", SystemClock())
    assert identity.certificate.roles == {"GUARDIAN"}
    assert not (keys / "li.key.pem").exists()
    assert Trust(keys).principal(identity.certificate).roles == {"GUARDIAN"}
    with pytest.raises(SecurityError, match="there already"):
        run("sign", keys, csr, answer, "--role", "GUARDIAN")


def test_a_request_cannot_take_a_name_whose_key_is_here(keys, tmp_path):
    run("request", tmp_path / "there", "operator", tmp_path / "x.csr")
    with pytest.raises(SecurityError, match="has its key in this folder"):
        run("sign", keys, tmp_path / "x.csr", tmp_path / "x.pem", "--role", "OPERATOR")


def test_export_and_import(keys, tmp_path):
    run("ca", keys, "north")
    run("issue", keys, "wang", "--role", "OPERATOR", "--by", "north")
    run("crl", keys)
    bundle, there = tmp_path / "wang.pem", tmp_path / "there"
    run("export", keys, "wang", bundle, stdin="long enough\nlong enough\n")
    text = bundle.read_text()
    assert text.count("BEGIN ENCRYPTED PRIVATE KEY") == text.count("PRIVATE KEY-----") // 2 == 2
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
    with pytest.raises(SecurityError, match="wrong password"):
        run("import", there, bundle, stdin="wrong\n")
    assert list(there.iterdir()) == []
    run("import", there, bundle, stdin="long enough\n")
    identity = load_identity(there, "wang", SystemClock(), b"long enough")
    assert identity.name == "wang"
    assert {"ca.cert.pem", "north.ca.pem", "ca.crl.pem", "wang.tls.pem", "wang.tls.key", "tls-ca.pem"} <= {
        path.name for path in there.iterdir()
    }
    for path in there.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if "key" in path.name else 0o644), path
    run("import", there, bundle, stdin="long enough\n")  # again: nothing differs


def test_a_plain_export_is_asked_for_and_a_short_password_refused(keys, tmp_path):
    bundle = tmp_path / "wang.pem"
    assert "at least 8" in run("export", keys, "operator", bundle, stdin="short\nshort\n", code=2)
    assert not bundle.exists()
    assert "UNENCRYPTED" in run("export", keys, "operator", bundle, "--plain")
    run("import", tmp_path / "there", bundle)
    load_identity(tmp_path / "there", "operator", SystemClock())


def test_an_import_neither_changes_the_root_nor_loses_a_key(keys, tmp_path):
    foreign = tmp_path / "foreign"
    init_identities(foreign)
    bundle = tmp_path / "bundle"
    run("export", foreign, "operator", bundle, "--plain")
    before = {path: path.read_bytes() for path in keys.iterdir() if path.is_file()}
    with pytest.raises(SecurityError, match="another root"):
        run("import", keys, bundle)
    run("export", keys, "operator", tmp_path / "ours", "--plain")
    run("renew", keys, "operator", "--new-key")
    with pytest.raises(SecurityError, match="is here"):
        run("import", keys, tmp_path / "ours")
    run("import", keys, tmp_path / "ours", "--replace")
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("title", ["../evil.key.pem", "roles.toml", "server.key.pem", ".bashrc", "issued/x.cert.pem"])
def test_a_bundle_with_foreign_files_is_refused(keys, tmp_path, title):
    bundle = tmp_path / "bundle"
    run("export", keys, "operator", bundle, "--plain")
    bundle.write_bytes(bundle.read_bytes() + f"file: {title}\nx\n".encode())
    there = tmp_path / "there"
    with pytest.raises(SecurityError):
        run("import", there, bundle)
    assert not (tmp_path / "evil.key.pem").exists()
    assert not there.exists() or list(there.iterdir()) == []


def test_a_request_brings_a_tls_certificate_too(keys, tmp_path):
    there = tmp_path / "there"
    run("ca", keys, "north")
    told = run("request", there, "li", tmp_path / "li.csr")
    signed = run("sign", keys, tmp_path / "li.csr", tmp_path / "li.cert.pem", "--role", "GUARDIAN", "--by", "north")
    assert told.split("key ")[1][:16] == signed.split("key ")[1][:16], "to be compared by telephone"
    for path in signed.splitlines()[1].partition(": ")[2].split():
        shutil.copy(path, there)
    assert load_identity(there, "li", SystemClock()).certificate.roles == {"GUARDIAN"}
    ours = read_material(there, "li", need_list=True)
    assert ours.own.name == "li"
    authority = x509.load_pem_x509_certificate((keys / "tls-ca.pem").read_bytes())
    x509.load_pem_x509_certificate((there / "li.tls.pem").read_bytes()).verify_directly_issued_by(authority)
    assert not (keys / "li.tls.key").exists()
    run("revoke", keys, "li")
    assert read_material(keys, "server").revoked == {ours.own.key}


def test_a_tls_request_by_a_key_that_its_maker_does_not_hold(keys, tmp_path):
    run("request", tmp_path / "there", "li", tmp_path / "li.csr")
    pem = (tmp_path / "li.csr").read_bytes()
    first, tls_request = split_requests(pem)
    spoilt = bytearray(x509.load_pem_x509_csr(tls_request).public_bytes(serialization.Encoding.DER))
    spoilt[-1] ^= 1
    (tmp_path / "li.csr").write_bytes(first + pkcs8.to_pem("CERTIFICATE REQUEST", bytes(spoilt)))
    with pytest.raises(SecurityError, match="does not hold the key"):
        run("sign", keys, tmp_path / "li.csr", tmp_path / "li.cert.pem", "--role", "GUARDIAN")
    assert not (keys / "li.cert.pem").exists()
    (tmp_path / "li.csr").write_bytes(pem + tls_request)
    with pytest.raises(SecurityError, match="holds more"):
        run("sign", keys, tmp_path / "li.csr", tmp_path / "li.cert.pem", "--role", "GUARDIAN")


def test_a_request_takes_neither_the_servers_name_nor_anothers(keys, tmp_path):
    for name in ("server", "li"):
        run("request", tmp_path / "there", name, tmp_path / f"{name}.csr")
    for path in keys.glob("server.*key*"):
        path.unlink()
    with pytest.raises(SecurityError, match="role SERVER"):
        run("sign", keys, tmp_path / "server.csr", tmp_path / "x", "--role", "OPERATOR")
    with pytest.raises(SecurityError, match="another key"):
        run("sign", keys, tmp_path / "server.csr", tmp_path / "x", "--role", "SERVER")
    run("sign", keys, tmp_path / "li.csr", tmp_path / "li", "--role", "OPERATOR")
    run("request", tmp_path / "elsewhere", "li", tmp_path / "li2.csr")
    with pytest.raises(SecurityError, match="another key"):
        run("sign", keys, tmp_path / "li2.csr", tmp_path / "elsewhere" / "li2", "--role", "OPERATOR")
    run("revoke", keys, "li")
    run("sign", keys, tmp_path / "li2.csr", tmp_path / "elsewhere" / "li2", "--role", "OPERATOR")
    assert row(keys, "li")["fault"] == ""


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


def tls_key(keys, name):
    return read_material(keys, name).own.key


def test_every_tls_certificate_of_the_revoked_falls(keys):
    """Also the one before the last renewal, which a stolen workstation still has."""
    first = tls_key(keys, "operator")
    issue_tls(keys, "operator.2", SystemClock().now_ns())
    run("renew", keys, "operator")
    second = tls_key(keys, "operator")
    run("revoke", keys, "operator")
    assert read_material(keys, "server").revoked == {first, second}


def test_a_new_key_is_one_for_tls_too_and_the_old_ones_fall(keys):
    first, pem = tls_key(keys, "operator"), (keys / "operator.tls.key").read_bytes()
    assert "next start" in run("renew", keys, "operator", "--new-key")
    assert (keys / "operator.tls.key").read_bytes() != pem
    run("revoke", keys, "operator", "--old")
    assert read_material(keys, "server").revoked == {first}


def test_a_serial_number_takes_the_tls_certificate_along(keys):
    run("ca", keys, "north")
    run("issue", keys, "wang", "--role", "OPERATOR", "--by", "north")
    run("revoke", keys, "--serial", row(keys, "wang")["serial"])
    assert read_material(keys, "server").revoked == {tls_key(keys, "wang")}


def test_the_tls_list_is_renewed_by_whoever_renews_a_list(keys):
    run("ca", keys, "north")
    (keys / "ca.key.pem").unlink()
    revoke_tls(keys, [], SystemClock().now_ns() - 300 * 86_400 * NS_PER_S)
    before = read_material(keys, "server", need_list=True).list_until_ns
    assert "tls-crl.pem" in run("crl", keys, "--by", "north")
    assert read_material(keys, "server", need_list=True).list_until_ns > before + 200 * 86_400 * NS_PER_S


def test_what_can_be_revoked_is_revoked_although_the_root_is_away(keys):
    run("ca", keys, "north")
    by_root = row(keys, "operator")["serial"]
    run("issue", keys, "operator", "--role", "OPERATOR", "--by", "north")
    (keys / "ca.key.pem").unlink()
    with pytest.raises(SecurityError, match="key is not here"):
        run("revoke", keys, "operator")
    assert "REFUSED" in row(keys, "operator")["fault"]
    assert row(keys, "operator")["serial"] != by_root
    assert tls_key(keys, "operator") in read_material(keys, "server").revoked


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


def altered(bundle, keys, **files):
    """A bundle of ours in which somebody has put files in place of others; None takes one away."""
    run("export", keys, "operator", bundle, "--plain")
    parts = dict(part.split(b"\n", 1) for part in bundle.read_bytes().split(b"file: ")[1:])
    parts |= {title.encode(): data for title, data in files.items()}
    bundle.write_bytes(b"".join(b"file: " + title + b"\n" + data for title, data in parts.items() if data is not None))
    return bundle


def test_a_bundle_brings_no_further_root(keys, tmp_path):
    init_identities(tmp_path / "foreign")
    root = (tmp_path / "foreign" / "ca.cert.pem").read_bytes()
    before = {path: path.read_bytes() for path in keys.iterdir() if path.is_file()}
    with pytest.raises(SecurityError, match="another root"):
        run("import", keys, altered(tmp_path / "bundle", keys, **{"plant.ca.pem": root}))
    assert {path: path.read_bytes() for path in keys.iterdir() if path.is_file()} == before


def test_a_bundle_brings_no_other_tls_authority(keys, tmp_path):
    init_identities(tmp_path / "foreign")
    titles = ("tls-ca.pem", "tls-crl.pem", "operator.tls.pem", "operator.tls.key")
    files = {title: (tmp_path / "foreign" / title).read_bytes() for title in titles}
    bundle = altered(tmp_path / "bundle", keys, **files)
    before = (keys / "tls-ca.pem").read_bytes()
    with pytest.raises(SecurityError, match="another TLS authority"):
        run("import", keys, bundle, "--replace")
    assert (keys / "tls-ca.pem").read_bytes() == before


def test_a_bundle_puts_no_list_under_the_name_of_another_authority(keys, tmp_path):
    run("ca", keys, "north")
    run("crl", keys, "--by", "north")
    for _ in range(3):
        run("crl", keys)
    files = {"ca.crl.pem": None, "north.crl.pem": (keys / "ca.crl.pem").read_bytes()}
    bundle = altered(tmp_path / "bundle", keys, **files)
    before = (keys / "north.crl.pem").read_bytes()
    with pytest.raises(SecurityError):
        run("import", keys, bundle)
    assert (keys / "north.crl.pem").read_bytes() == before


def test_a_bundle_with_the_tls_key_of_somebody_else(keys, tmp_path):
    bundle = altered(tmp_path / "bundle", keys, **{"operator.tls.key": (keys / "viewer.tls.key").read_bytes()})
    with pytest.raises(SecurityError, match="does not belong"):
        run("import", tmp_path / "there", bundle)
    assert list((tmp_path / "there").iterdir()) == []


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
    assert {name: bool(row(keys, name)["fault"]) for name in ("wang", "guardian", "li")} == {
        "wang": True,
        "guardian": True,
        "li": False,
    }


def test_an_empty_folder_is_not_in_order(tmp_path):
    assert "no identity" in run("check", tmp_path, code=1)
    with pytest.raises(SecurityError, match="scada keys init"):
        run("show", tmp_path)


def test_a_certificate_whose_file_has_gone_is_revoked_all_the_same(keys):
    operator, tls = load_certificate(keys / "operator.cert.pem"), tls_key(keys, "operator")
    for path in keys.glob("operator.*"):
        path.unlink()
    run("revoke", keys, "operator")
    with pytest.raises(RevokedError):
        Trust(keys).check(operator, SystemClock().now_ns())
    assert read_material(keys, "server").revoked == {tls}


def test_an_unknown_name_is_told_where_to_look(keys):
    with pytest.raises(SecurityError, match="scada keys show"):
        run("revoke", keys, "nobody")


def test_help_teaches():
    text = run("--help")
    for word in ("issue", "renew", "revoke", "export", "import", "request", "sign", "crl", "docs/security/keys.md"):
        assert word in text


def test_show_has_a_line_for_each(keys):
    run("revoke", keys, "viewer")
    text = run("show", keys)
    assert "revocation list 1 of scada root authority: 1 revoked" in text
    assert "REFUSED: the certificate is revoked" in text
    assert "plain" in text
