"""PKCS#8 PEM files of private keys (RFC 5958, RFC 7468), plain or encrypted by PBES2 with SM4-CBC (RFC 8018).

Files are written with PBKDF2-HMAC-SHA-256, because OpenSSL 3 reads no file whose derivation uses SM3; those of other tools that
derive by HMAC-SM3 (GmSSL) are read too.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Final

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from scada.core.errors import SecurityError
from scada.security import der

ITERATIONS: Final = 600_000
_MAXIMUM_ITERATIONS = 10_000_000
"""A file that asks for more is an attack on our time."""

_PLAIN_LABEL = "PRIVATE KEY"
_ENCRYPTED_LABEL = "ENCRYPTED PRIVATE KEY"

_HMAC_SM3 = der.oid("1.2.156.10197.1.401.2")
_PRF = der.tlv(der.SEQUENCE, der.oid("1.2.840.113549.2.9"), der.tlv(der.NULL))
_PRF_SM3 = (der.tlv(der.SEQUENCE, _HMAC_SM3), der.tlv(der.SEQUENCE, _HMAC_SM3, der.tlv(der.NULL)))
_PBES2 = der.oid("1.2.840.113549.1.5.13")
_PBKDF2 = der.oid("1.2.840.113549.1.5.12")
_SM4_CBC = der.oid("1.2.156.10197.1.104.2")


def to_pem(label: str, data: bytes) -> bytes:
    """PEM text of DER bytes."""
    text = base64.b64encode(data).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def from_pem(pem: bytes) -> tuple[str, bytes]:
    """(label, DER) of the one block of a PEM file.

    Raises:
        SecurityError: not such a file.
    """
    lines = pem.decode("ascii", "replace").split("\n")
    lines = [line.strip() for line in lines if line.strip()]
    first, last = (lines[0], lines[-1]) if lines else ("", "")
    label = first.removeprefix("-----BEGIN ").removesuffix("-----")
    if len(lines) < 3 or first != f"-----BEGIN {label}-----" or last != f"-----END {label}-----":
        raise SecurityError("not a PEM file", mend="it was cut or overwritten; restore it or issue it again")
    try:
        return label, base64.b64decode("".join(lines[1:-1]), validate=True)
    except binascii.Error as error:
        raise SecurityError("corrupt PEM text", mend="restore the file or issue it again") from error


def unwrap(data: bytes, *labels: str) -> bytes:
    """DER of what is given as DER, or as a PEM file with one of the labels.

    Raises:
        SecurityError: a PEM file of something else.
    """
    if data.lstrip()[:5] != b"-----":
        return bytes(data)
    label, inner = from_pem(data)
    if label not in labels:
        raise SecurityError(f"a PEM file of {label!r} where {labels[0]!r} belongs")
    return inner


def seal_pem(private_key: bytes, password: bytes | None) -> bytes:
    """PEM of a PrivateKeyInfo, encrypted if a password is given."""
    if password is None:
        return to_pem(_PLAIN_LABEL, private_key)
    salt, iv = os.urandom(16), os.urandom(16)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(SM4(_derive(password, salt, ITERATIONS, hashes.SHA256())), modes.CBC(iv)).encryptor()
    cipher = encryptor.update(padder.update(private_key) + padder.finalize()) + encryptor.finalize()
    parameters = der.tlv(der.SEQUENCE, der.tlv(der.OCTET_STRING, salt), der.integer(ITERATIONS), der.integer(16), _PRF)
    scheme = der.tlv(
        der.SEQUENCE,
        der.tlv(der.SEQUENCE, _PBKDF2, parameters),
        der.tlv(der.SEQUENCE, _SM4_CBC, der.tlv(der.OCTET_STRING, iv)),
    )
    algorithm = der.tlv(der.SEQUENCE, _PBES2, scheme)
    return to_pem(_ENCRYPTED_LABEL, der.tlv(der.SEQUENCE, algorithm, der.tlv(der.OCTET_STRING, cipher)))


def open_pem(pem: bytes, password: bytes | None) -> bytes:
    """PrivateKeyInfo of a PEM file.

    Raises:
        SecurityError: not such a file, an unknown cipher, or the password is missing or wrong.
    """
    label, data = from_pem(pem)
    if label == _PLAIN_LABEL:
        return data
    if label != _ENCRYPTED_LABEL:
        raise SecurityError(f"a PEM file of {label!r} where a private key belongs")
    if password is None:
        raise SecurityError("the private key is encrypted", mend="give its password")
    try:
        salt, iterations, iv, cipher, digest = _parameters(data)
    except der.DerError as error:
        raise SecurityError(
            "the key file is corrupt or encrypted by another method than PBES2 with HMAC-SHA-256 or HMAC-SM3 and SM4-CBC",
            mend="restore it, or convert it with `openssl pkcs8 -topk8 -v2 sm4-cbc`",
        ) from error
    decryptor = Cipher(SM4(_derive(password, salt, iterations, digest)), modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    try:
        plain = unpadder.update(decryptor.update(cipher) + decryptor.finalize()) + unpadder.finalize()
        der.Reader(plain).take(der.SEQUENCE)
    except (ValueError, der.DerError) as error:
        raise SecurityError("wrong password for the private key, or the file is corrupt") from error
    return plain


def _parameters(data: bytes) -> tuple[bytes, int, bytes, bytes, hashes.HashAlgorithm]:
    """(salt, iterations, iv, cipher text, digest of the derivation) of an EncryptedPrivateKeyInfo of our own kind."""
    outer = der.Reader(data)
    info = outer.nested()
    outer.end()
    algorithm = info.nested()
    cipher = info.take(der.OCTET_STRING)
    info.end()
    _expect(algorithm, _PBES2)
    scheme = algorithm.nested()
    algorithm.end()
    derivation, encryption = scheme.nested(), scheme.nested()
    scheme.end()
    _expect(derivation, _PBKDF2)
    parameters = derivation.nested()
    salt, iterations = parameters.take(der.OCTET_STRING), parameters.unsigned()
    if parameters.peek() == der.INTEGER and parameters.unsigned() != 16:
        raise der.DerError("an SM4 key has 16 bytes")
    function = der.tlv(der.SEQUENCE, parameters.take(der.SEQUENCE))
    if function != _PRF and function not in _PRF_SM3:
        raise der.DerError("another pseudo-random function")
    _expect(encryption, _SM4_CBC)
    iv = encryption.take(der.OCTET_STRING)
    if len(iv) != 16 or not 1 <= iterations <= _MAXIMUM_ITERATIONS:
        raise der.DerError("parameters out of range")
    return salt, iterations, iv, cipher, hashes.SHA256() if function == _PRF else hashes.SM3()


def _expect(reader: der.Reader, oid: bytes) -> None:
    if der.tlv(der.OBJECT_IDENTIFIER, reader.take(der.OBJECT_IDENTIFIER)) != oid:
        raise der.DerError("another algorithm")


def _derive(password: bytes, salt: bytes, iterations: int, digest: hashes.HashAlgorithm) -> bytes:
    return PBKDF2HMAC(algorithm=digest, length=16, salt=salt, iterations=iterations).derive(password)
