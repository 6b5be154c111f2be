"""Our own OPC UA application certificate (OPC 10000-6, 6.2.2)."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scada.core.clock import NS_PER_S
from scada.core.errors import SecurityError

CERTIFICATE_FILE: Final = "own.der"
KEY_FILE: Final = "own-key.pem"
_BACKDATED: Final = timedelta(hours=1)
"""Clocks of two hosts differ."""


def make_certificate(
    folder: Path, *, uri: str, name: str, hosts: Sequence[str], now_ns: int, days: int = 3650, bits: int = 2048
) -> x509.Certificate:
    """Make a key and a self-signed application certificate, good for client and server.

    Args:
        folder: gets :data:`CERTIFICATE_FILE` and :data:`KEY_FILE` (readable by the owner alone).
        uri: application URI; every server and client compares it.
        name: common name.
        hosts: names and addresses under which our server is reached.
        now_ns: ns UTC.
        days: validity.
        bits: length of the RSA key, 2048 to 4096.

    Raises:
        SecurityError: there is one already, or it cannot be written.
    """
    certificate_path, key_path = folder / CERTIFICATE_FILE, folder / KEY_FILE
    for path in (certificate_path, key_path):
        if path.exists():
            raise SecurityError("there is one already; every peer trusts it", where=str(path), mend="move it away first")
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    certificate = _certificate(key, uri, name, hosts, datetime.fromtimestamp(now_ns / NS_PER_S, UTC), days)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        certificate_path.write_bytes(certificate.public_bytes(Encoding.DER))
    except OSError as error:
        raise SecurityError(f"cannot write the certificate: {error.strerror}", where=str(folder)) from error
    return certificate


def _certificate(key: rsa.RSAPrivateKey, uri: str, name: str, hosts: Sequence[str], now: datetime, days: int) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), *map(_host, hosts)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_cert_sign=True,  # it signs itself
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
