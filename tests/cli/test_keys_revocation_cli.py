"""`scada keys revoke` and `crl`: whose certificates fall, and which do not."""

from __future__ import annotations

import re

import pytest

from scada.core.clock import NS_PER_S, SystemClock
from scada.core.errors import SecurityError
from scada.security.identities import init_identities, load_identity
from scada.security.key_files import load_certificate
from scada.security.revocation import RevokedError
from scada.security.tls_identities import issue_tls, revoke_tls
from scada.security.tls_trust import read_material
from scada.security.trust import Trust
from tests.cli.keys_rig import row, run, tls_key


def test_revoking_an_authority_takes_its_identities_along(keys):
    run("ca", keys, "north")
    run("issue", keys, "wang", "--role", "OPERATOR", "--by", "north")
    run("revoke", keys, "north", "--reason", "cACompromise")
    assert "REVOKED" in row(keys, "north")["fault"]
    with pytest.raises(RevokedError, match="north"):
        load_identity(keys, "wang", SystemClock())


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
    numbers = []
    for words in (("revoke", keys, "--serial", serial.upper()), ("crl", keys, "--days", "7")):
        told = re.search(r"list (\d+), 1 revoked", run(*words))
        numbers.append(int(told[1]))
    assert numbers[0] < numbers[1]
    assert "REFUSED" in row(keys, "viewer")["fault"]
    with pytest.raises(SecurityError, match="no certificate"):
        run("revoke", keys, "--serial", "1234")
    assert "give NAMES" in run("revoke", keys, code=2)


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
    assert "next login" in run("renew", keys, "operator", "--new-key")
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


def test_a_tls_certificate_without_a_record_falls_by_its_file_or_its_number(keys, tmp_path):
    """Certificates that were replaced before records of them were kept: a copy, or a number out of a log, is enough."""
    first, copy = tls_key(keys, "operator"), tmp_path / "found.pem"
    copy.write_bytes((keys / "operator.tls.pem").read_bytes())
    for path in (keys / "issued").glob("operator.*.tls.pem"):
        path.unlink()
    run("renew", keys, "operator")
    second = tls_key(keys, "operator")
    assert read_material(keys, "server").revoked == frozenset()
    assert f"revoked TLS {first[1]:x}" in run("revoke", keys, "--certificate", copy)
    assert read_material(keys, "server").revoked == {first}
    run("revoke", keys, "--tls-serial", f"{second[1]:x}")
    assert read_material(keys, "server").revoked == {first, second}
    assert "REFUSED" not in row(keys, "operator")["fault"], "its SM2 certificate stays good"


def test_an_sm2_certificate_falls_by_its_file(keys, tmp_path):
    copy = tmp_path / "found.pem"
    copy.write_bytes((keys / "operator.cert.pem").read_bytes())
    for path in [*(keys / "issued").glob("*.cert.pem"), *keys.glob("operator.*")]:
        path.unlink()
    run("revoke", keys, "--certificate", copy, "--reason", "keyCompromise")
    with pytest.raises(RevokedError):
        Trust(keys).check(load_certificate(copy), SystemClock().now_ns())


def test_what_cannot_be_revoked_by_its_file(keys, tmp_path):
    init_identities(tmp_path / "foreign")
    for name in ("operator.tls.pem", "operator.cert.pem", "operator.key.pem"):
        with pytest.raises(SecurityError):
            run("revoke", keys, "--certificate", tmp_path / "foreign" / name)
    assert "not hexadecimal" in run("revoke", keys, "--tls-serial", "wang", code=2)
    (keys / "tls-ca.key").unlink()
    with pytest.raises(SecurityError, match="TLS authority is not here"):
        run("revoke", keys, "--certificate", keys / "operator.tls.pem")
    assert read_material(keys, "server").revoked == frozenset()
