"""Certificates, chains, revocation lists and requests against OpenSSL: its command line, and its library through pyOpenSSL.

The command line of OpenSSL 3.0 takes the user identity for the leaf only: it cannot check intermediate certificates nor
revocation lists (openssl issues 23471, 32744). pyOpenSSL rests on OpenSSL 4, which can.
"""

from __future__ import annotations

import datetime as dt
import subprocess

import pytest

from scada.core.clock import NS_PER_S, SystemClock
from scada.security.authorities import Authorities
from scada.security.bundles import export_identity
from scada.security.certificates import CertificateError, parse_certificate_pem
from scada.security.identities import init_identities
from scada.security.requests import make_request, parse_request
from scada.security.revocation import check_list, parse_list
from scada.security.sm2 import Sm2Key
from tests.security.authority_rig import DAY, NOW, Made

pytestmark = pytest.mark.interop

DISTID = ["-vfyopt", "distid:1234567812345678"]
SIGN = ["-sm3", "-sigopt", "distid:1234567812345678"]


@pytest.fixture
def cli(openssl, tmp_path):
    def run(*words, check=True):
        return subprocess.run([openssl, *words], cwd=tmp_path, capture_output=True, check=check)

    return run


@pytest.fixture(scope="module")
def chain():
    root = Made("root", path_length=1)
    sub = Made("sub", root, authority=True, path_length=0)
    return root, sub, Made("wang", sub, roles=("OPERATOR",))


def test_openssl_reads_what_a_chain_says(cli, tmp_path, chain):
    for made in chain:
        (tmp_path / "x.pem").write_bytes(made.certificate.pem())
        text = cli("x509", "-in", "x.pem", "-noout", "-text").stdout.decode()
        assert "SM2-with-SM3" in text
        assert f"CN = {made.certificate.name}" in text
        assert ("CA:TRUE" in text) == made.certificate.is_authority
    (tmp_path / "x.pem").write_bytes(chain[1].certificate.pem())
    text = cli("x509", "-in", "x.pem", "-noout", "-ext", "basicConstraints,keyUsage").stdout.decode()
    assert "pathlen:0" in text
    assert "Certificate Sign, CRL Sign" in text


def test_openssl_proves_a_request_of_ours(cli, tmp_path):
    asked = make_request("wang", Sm2Key.generate())
    (tmp_path / "x.csr").write_bytes(asked.pem())
    shown = cli("req", "-in", "x.csr", "-noout", "-verify", "-subject", *DISTID)
    assert b"verify OK" in shown.stdout + shown.stderr
    assert b"CN = wang" in shown.stdout
    spoilt = bytearray(asked.encoded)
    spoilt[-1] ^= 1
    (tmp_path / "x.der").write_bytes(spoilt)
    assert b"verify OK" not in cli("req", "-in", "x.der", "-inform", "DER", "-noout", "-verify", *DISTID, check=False).stderr


def test_we_prove_a_request_of_openssl(cli, tmp_path):
    cli("genpkey", "-algorithm", "SM2", "-out", "k.pem")
    cli("req", "-new", "-key", "k.pem", *SIGN, "-subj", "/O=plant/CN=li", "-out", "li.csr")
    asked = parse_request((tmp_path / "li.csr").read_bytes())
    assert asked.name == "li"
    assert asked.public_key.point() == Sm2Key.load_private((tmp_path / "k.pem").read_bytes()).point()
    # under the empty identity, which is its default, it is not proven
    cli("req", "-new", "-key", "k.pem", "-sm3", "-sigopt", "distid:", "-subj", "/CN=li", "-out", "empty.csr")
    with pytest.raises(CertificateError, match="does not hold the key"):
        parse_request((tmp_path / "empty.csr").read_bytes())


def test_a_chain_of_openssl_is_proven_by_us(cli, tmp_path):
    """Root, authority below it and identity, all made by the command line with its own extensions."""
    (tmp_path / "ca.ext").write_text("basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n")
    (tmp_path / "leaf.ext").write_text("basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n")
    for name in ("root", "sub", "leaf"):
        cli("genpkey", "-algorithm", "SM2", "-out", f"{name}.key")
    cli("req", "-x509", "-new", "-key", "root.key", *SIGN, "-subj", "/CN=their root", "-days", "30", "-out", "root.pem")
    for name, issuer, extensions in (("sub", "root", "ca.ext"), ("leaf", "sub", "leaf.ext")):
        cli("req", "-new", "-key", f"{name}.key", *SIGN, "-subj", f"/OU=VIEWER/CN={name}", "-out", f"{name}.csr")
        signed = ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial", "-extfile", extensions]
        cli("x509", "-req", "-in", f"{name}.csr", *DISTID, *SIGN, *signed, "-days", "30", "-out", f"{name}.pem")
    root, sub, leaf = (parse_certificate_pem((tmp_path / f"{name}.pem").read_bytes()) for name in ("root", "sub", "leaf"))
    Authorities(root, [sub]).check(leaf, SystemClock().now_ns())
    assert leaf.roles == {"VIEWER"}
    assert sub.path_length == 0
    with pytest.raises(CertificateError):
        Authorities(root).check(leaf, SystemClock().now_ns())


def test_openssl_reads_a_revocation_list_of_ours(cli, tmp_path, chain):
    _, sub, wang = chain
    (tmp_path / "x.crl").write_bytes(sub.revocations(wang, number=300).pem())
    text = cli("crl", "-in", "x.crl", "-noout", "-text").stdout.decode()
    assert "Version 2" in text
    assert f"{wang.certificate.serial:X}" in text.replace(":", "")
    assert "Key Compromise" in text
    assert "300" in text.replace("0x012C", "300").replace("0x12C", "300")


def test_we_prove_a_revocation_list_of_openssl(cli, tmp_path, chain):
    _, sub, wang = chain
    (tmp_path / "sub.pem").write_bytes(sub.certificate.pem())
    (tmp_path / "sub.key").write_bytes(sub.key.private_pem())
    (tmp_path / "wang.pem").write_bytes(wang.certificate.pem())
    (tmp_path / "index").write_text("")
    (tmp_path / "number").write_text("1000\n")
    (tmp_path / "ca.conf").write_text(
        "[ca]\ndefault_ca = a\n[a]\ndatabase = index\ncrlnumber = number\ndefault_md = sm3\ndefault_crl_days = 30\n"
        "crl_extensions = e\n[e]\nauthorityKeyIdentifier = keyid\n"
    )
    words = ["-config", "ca.conf", "-cert", "sub.pem", "-keyfile", "sub.key"]
    cli("ca", *words, "-revoke", "wang.pem", "-crl_reason", "superseded")
    made = cli("ca", *words, "-gencrl", "-sigopt", "distid:1234567812345678", "-out", "x.crl", check=False)
    if made.returncode:
        pytest.skip(f"this openssl cannot sign lists by SM2: {made.stderr.decode()[-200:]}")
    read = parse_list((tmp_path / "x.crl").read_bytes())
    check_list(read, sub.certificate)
    assert read.number == 0x1000
    assert read.revoked[wang.certificate.serial].reason == "superseded"


def test_openssl_reads_the_key_of_a_bundle(cli, tmp_path):
    keys = tmp_path / "keys"
    init_identities(keys)
    data = export_identity(keys, "operator", SystemClock(), password=None, seal=b"long enough")
    (tmp_path / "bundle.pem").write_bytes(data)
    assert b"SM2" in cli("pkey", "-in", "bundle.pem", "-passin", "pass:long enough", "-noout", "-text").stdout
    assert cli("pkey", "-in", "bundle.pem", "-passin", "pass:wrong", "-noout", check=False).returncode != 0


# ---------------------------------------------------------------- OpenSSL 4, by its library


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("OpenSSL.crypto", reason="pyOpenSSL (extra smtls) is not installed")


def verdict(library, leaf, roots, others=(), lists=(), at=NOW):
    """What OpenSSL says of a chain: empty if it holds."""
    load = lambda made: library.load_certificate(library.FILETYPE_ASN1, made.certificate.encoded)  # noqa: E731
    store = library.X509Store()
    for each in roots:
        store.add_cert(load(each))
    from cryptography import x509

    for each in lists:
        store.add_crl(x509.load_der_x509_crl(each.encoded))
    flags = library.X509StoreFlags.CRL_CHECK | library.X509StoreFlags.CRL_CHECK_ALL if lists else 0
    store.set_flags(flags | library.X509StoreFlags.X509_STRICT | library.X509StoreFlags.CHECK_SS_SIGNATURE)
    store.set_time(dt.datetime.fromtimestamp(at // NS_PER_S, tz=dt.UTC))
    context = library.X509StoreContext(store, load(leaf), [load(each) for each in others])
    try:
        context.verify_certificate()
    except library.X509StoreContextError as error:
        return str(error)
    return ""


def test_both_prove_the_same_chains(library, chain):
    root, sub, wang = chain
    assert verdict(library, wang, [root], [sub]) == ""
    assert "unable to get" in verdict(library, wang, [root])
    assert "expired" in verdict(library, wang, [root], [sub], at=NOW + 400 * DAY)
    foreign = Made("sub", authority=True)
    assert verdict(library, Made("wang", foreign), [root], [sub]) != ""
    below = Made("below", sub, authority=True)
    assert "path length" in verdict(library, Made("li", below), [root], [sub, below])


def test_both_find_the_revoked(library, chain):
    root, sub, wang = chain
    li = Made("li", sub)
    lists = [root.revocations(), sub.revocations(wang)]
    assert "revoked" in verdict(library, wang, [root], [sub], lists)
    assert verdict(library, li, [root], [sub], lists) == ""
    assert "revoked" in verdict(library, li, [root], [sub], [root.revocations(sub), sub.revocations()])
    assert "expired" in verdict(library, li, [root], [sub], lists, at=NOW + 31 * DAY)
    assert verdict(library, li, [root], [sub], [root.revocations(), sub.revocations(signer=li.key)]) != ""
