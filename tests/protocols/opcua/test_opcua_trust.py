"""The trust list: what is accepted, what is refused and why, and how an engineer trusts what came."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from protocols.opcua.rig import SERVER_URI, Authority, issue, key

from scada.core.clock import SystemClock
from scada.core.errors import SecurityError
from scada.protocols.opcua.application import CERTIFICATE_FILE, KEY_FILE, make_certificate
from scada.protocols.opcua.security import read_key
from scada.protocols.opcua.trust import (
    CertificateRefusedError,
    Peer,
    TrustList,
    application_uri,
    common_name,
    parse_der,
    read_certificate,
    thumbprint,
)

NOW = SystemClock().now_ns()
PEER = Peer(SERVER_URI, server=True, host="127.0.0.1")
OWN = key()


@pytest.fixture
def trust(tmp_path):
    one = TrustList(tmp_path / "trust")
    one.prepare()
    return one


def refusal(trust, certificate, peer=PEER, now_ns=NOW):
    with pytest.raises(CertificateRefusedError) as caught:
        trust.check(certificate, peer, now_ns)
    return caught.value.status


def trusting(trust, authority, crl=True):
    trust.add(authority.certificate)
    if crl:
        (trust.folder / "trusted/crl/ca.crl").write_bytes(authority.crl())


def test_a_stranger_is_kept_aside_until_an_engineer_trusts_it(trust):
    certificate = issue(OWN)
    assert refusal(trust, certificate) == "BadCertificateUntrusted"
    assert [thumbprint(each) for each in trust.rejected()] == [thumbprint(certificate)]
    with pytest.raises(SecurityError, match="no rejected"):
        trust.trust("ff" * 20)
    with pytest.raises(SecurityError, match="no rejected"):
        trust.trust("")
    trust.trust(thumbprint(certificate)[:8].upper())
    assert trust.rejected() == []
    trust.check(certificate, PEER, NOW)


@pytest.mark.parametrize(
    ("made", "status"),
    [
        ({"days": (-30, -1)}, "BadCertificateTimeInvalid"),
        ({"days": (1, 30)}, "BadCertificateTimeInvalid"),
        ({"uri": "urn:somebody:else"}, "BadCertificateUriInvalid"),
        ({"usage": False}, "BadCertificateUseNotAllowed"),
        ({"purposes": [ExtendedKeyUsageOID.CLIENT_AUTH]}, "BadCertificateUseNotAllowed"),
    ],
)
def test_trust_alone_is_not_enough(trust, made, status):
    certificate = issue(OWN, **made)
    trust.add(certificate)
    assert refusal(trust, certificate) == status


def test_a_forged_copy_of_a_trusted_name_is_refused(trust):
    trust.add(issue(OWN))
    assert refusal(trust, issue(key())) == "BadCertificateUntrusted"


def test_an_authority_needs_its_revocation_list(trust):
    authority = Authority()
    certificate = issue(OWN, issuer=authority)
    trusting(trust, authority, crl=False)
    assert refusal(trust, certificate) == "BadCertificateRevocationUnknown"
    (trust.folder / "trusted/crl/ca.crl").write_bytes(authority.crl(days=-2))
    assert refusal(trust, certificate) == "BadCertificateRevocationUnknown"
    (trust.folder / "trusted/crl/ca.crl").write_bytes(Authority().crl())
    assert refusal(trust, certificate) == "BadCertificateRevocationUnknown"
    (trust.folder / "trusted/crl/ca.crl").write_bytes(authority.crl())
    trust.check(certificate, PEER, NOW)
    authority.revoked.append(certificate.serial_number)
    (trust.folder / "trusted/crl/ca.crl").write_bytes(authority.crl())
    assert refusal(trust, certificate) == "BadCertificateRevoked"
    trust.add(certificate)
    assert refusal(trust, certificate) == "BadCertificateRevoked"


def test_an_authority_between_is_not_trusted_by_itself(trust):
    root = Authority("Root")
    (trust.folder / "issuers/certs/root.der").write_bytes(root.certificate.public_bytes(Encoding.DER))
    (trust.folder / "issuers/crl/root.crl").write_bytes(root.crl())
    assert refusal(trust, issue(OWN, issuer=root)) == "BadCertificateUntrusted"


def test_another_application_of_the_same_authority_is_not_the_host_we_called(trust):
    authority = Authority()
    trusting(trust, authority)
    assert refusal(trust, issue(OWN, issuer=authority, hosts=("10.0.0.7",))) == "BadCertificateHostNameInvalid"
    assert (
        refusal(trust, issue(OWN, issuer=authority), Peer(SERVER_URI, server=True, host="plant"))
        == "BadCertificateHostNameInvalid"
    )


def test_one_application_is_no_authority(trust):
    """A trusted application certificate, even one that may sign itself, vouches for nobody else."""

    class Pretender:
        pass

    pretender = Pretender()
    pretender.key = OWN
    trusted = issue(OWN, "Server")
    pretender.name = trusted.subject
    trust.add(trusted)
    assert refusal(trust, issue(key(), "Server 2", issuer=pretender)) == "BadCertificateUntrusted"


def test_rejected_certificates_do_not_fill_a_disk(trust):
    rejected = trust.folder / "rejected"
    for number in range(100):
        (rejected / f"{number}.der").touch()
    assert refusal(trust, issue(OWN)) == "BadCertificateUntrusted"
    assert len(list(rejected.iterdir())) == 100


def test_what_is_no_certificate_is_refused():
    for data in (b"", b"\x30\x82\xff\xff", b"garbage" * 9):
        with pytest.raises(CertificateRefusedError):
            parse_der(data)


def test_our_own_certificate_passes_the_checks_of_others(trust, tmp_path):
    made = make_certificate(tmp_path / "own", uri=SERVER_URI, name="scada", hosts=["127.0.0.1", "plant.example"], now_ns=NOW)
    assert application_uri(made) == SERVER_URI
    assert made == read_certificate(tmp_path / "own" / CERTIFICATE_FILE)
    assert made.public_key() == read_key(tmp_path / "own" / KEY_FILE).public_key()
    assert (tmp_path / "own" / KEY_FILE).stat().st_mode & 0o077 == 0
    assert isinstance(made.signature_hash_algorithm, hashes.SHA256)
    trust.add(made)
    trust.check(made, PEER, NOW)
    trust.check(made, Peer(SERVER_URI, server=False), NOW)
    with pytest.raises(SecurityError, match="already"):
        make_certificate(tmp_path / "own", uri=SERVER_URI, name="scada", hosts=[], now_ns=NOW)


def test_a_certificate_that_cannot_be_written_whole_is_not_there(tmp_path, monkeypatch):
    """Another process reads the folder at every connection; half a file would shut everybody out."""
    trust = TrustList(tmp_path)
    trust.prepare()

    def full(path, data):
        with path.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SecurityError, match="No space left"):
        trust.add(issue(key()))
    assert trust.trusted() == []


def test_a_strangers_name_cannot_write_on_our_terminal():
    assert common_name(issue(key(), "\x1b[2Jtrusted\t0000\n")) == "?[2Jtrusted?0000?"
