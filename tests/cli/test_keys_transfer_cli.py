"""`scada keys request`, `sign`, `export` and `import`: what travels between folders."""

from __future__ import annotations

import shutil
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from scada.core.clock import SystemClock
from scada.core.errors import SecurityError
from scada.security import pkcs8
from scada.security.identities import init_identities, load_identity
from scada.security.requests import split_requests
from scada.security.tls_trust import read_material
from scada.security.trust import Trust
from tests.cli.keys_rig import row, run


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
