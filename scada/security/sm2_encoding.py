"""Curve, identity and encodings of SM2 (GB/T 32918, GB/T 35276): raw on our wire, DER at libcrypto and in certificates.

Raw forms: a signature is ``r | s`` (64 bytes), a point ``04 | x | y`` (65 bytes), a cipher text ``C1 | C3 | C2`` with C1 a point.
"""

from __future__ import annotations

from typing import Final

from scada.core.errors import SecurityError
from scada.security import der
from scada.security.sm3 import sm3

P: Final = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFF
A: Final = P - 3
B: Final = 0x28E9FA9E_9D9F5E34_4D5A9E4B_CF6509A7_F39789F5_15AB8F92_DDBCBD41_4D940E93
N: Final = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
GX: Final = 0x32C4AE2C_1F198119_5F990446_6A39C994_8FE30BBF_F2660BE1_715A4589_334C74C7
GY: Final = 0xBC3736A2_F4F6779C_59BDCEE3_6B692153_D0A9877C_C62A4740_02DF32E5_2139F0A0

USER_ID: Final = b"1234567812345678"
"""GM/T 0009 default user identity; always given explicitly, because libraries differ in theirs."""

POINT_SIZE: Final = 65
SIGNATURE_SIZE: Final = 64

ALGORITHM: Final = der.tlv(der.SEQUENCE, der.oid("1.2.840.10045.2.1"), der.oid("1.2.156.10197.1.301"))
"""AlgorithmIdentifier of an SM2 key: id-ecPublicKey on the SM2 curve."""

_CURVE = b"".join(number.to_bytes(32, "big") for number in (A, B, GX, GY))


class Sm2Error(SecurityError):
    """An SM2 key, signature or cipher text is not what it claims to be."""


def point_bytes(x: int, y: int) -> bytes:
    """Uncompressed encoding of an affine point."""
    return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def parse_point(data: bytes) -> tuple[int, int]:
    """Affine coordinates of an uncompressed point.

    Raises:
        Sm2Error: wrong size or form, or not on the curve.
    """
    if len(data) != POINT_SIZE or data[0] != 4:
        raise Sm2Error("an SM2 point is 65 bytes and starts with 04")
    x, y = int.from_bytes(data[1:33], "big"), int.from_bytes(data[33:], "big")
    if x >= P or y >= P or (y * y - x * x * x - A * x - B) % P:
        raise Sm2Error("the point is not on the SM2 curve")
    return x, y


def message_digest(point: bytes, message: bytes) -> int:
    """``e`` = SM3(Z | M) with Z of the signer's point and :data:`USER_ID` (GB/T 32918.2, 5.5)."""
    identity = (len(USER_ID) * 8).to_bytes(2, "big") + USER_ID
    return int.from_bytes(sm3(sm3(identity, _CURVE, point[1:]), message), "big")


def signature_to_der(raw: bytes) -> bytes:
    """SEQUENCE(r, s) of a raw signature.

    Raises:
        Sm2Error: not 64 bytes, or r or s outside 1 .. n-1.
    """
    r, s = split_signature(raw)
    return der.tlv(der.SEQUENCE, der.integer(r), der.integer(s))


def split_signature(raw: bytes) -> tuple[int, int]:
    """(r, s) of a raw signature.

    Raises:
        Sm2Error: not 64 bytes, or r or s outside 1 .. n-1.
    """
    if len(raw) != SIGNATURE_SIZE:
        raise Sm2Error(f"an SM2 signature is 64 bytes, not {len(raw)}")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    if not (1 <= r < N and 1 <= s < N):
        raise Sm2Error("r or s of the SM2 signature is out of range")
    return r, s


def signature_from_der(data: bytes) -> bytes:
    """Raw form of SEQUENCE(r, s).

    Raises:
        SecurityError: not strict DER, or r or s out of range.
    """
    outer = der.Reader(data)
    inner = outer.nested()
    outer.end()
    r, s = inner.unsigned(), inner.unsigned()
    inner.end()
    if not (1 <= r < N and 1 <= s < N):
        raise Sm2Error("r or s of the SM2 signature is out of range")
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def split_cipher(raw: bytes) -> tuple[bytes, bytes, bytes]:
    """(C1 point, C3 digest, C2) of a raw cipher text.

    Raises:
        Sm2Error: too short, or C1 is not on the curve.
    """
    if len(raw) <= POINT_SIZE + 32:
        raise Sm2Error("the SM2 cipher text is too short")
    parse_point(raw[:POINT_SIZE])
    return raw[:POINT_SIZE], raw[POINT_SIZE : POINT_SIZE + 32], raw[POINT_SIZE + 32 :]


def cipher_to_der(raw: bytes) -> bytes:
    """SEQUENCE(x, y, C3, C2) of a raw cipher text."""
    c1, c3, c2 = split_cipher(raw)
    x, y = parse_point(c1)
    return der.tlv(der.SEQUENCE, der.integer(x), der.integer(y), der.tlv(der.OCTET_STRING, c3), der.tlv(der.OCTET_STRING, c2))


def cipher_from_der(data: bytes) -> bytes:
    """Raw form of SEQUENCE(x, y, C3, C2).

    Raises:
        SecurityError: not strict DER, a point off the curve, or a C3 that is not 32 bytes.
    """
    outer = der.Reader(data)
    inner = outer.nested()
    outer.end()
    x, y = inner.unsigned(), inner.unsigned()
    c3, c2 = inner.take(der.OCTET_STRING), inner.take(der.OCTET_STRING)
    inner.end()
    if x >= P or y >= P or len(c3) != 32:
        raise Sm2Error("the SM2 cipher text has a part of a wrong size")
    raw = point_bytes(x, y) + c3 + c2
    split_cipher(raw)
    return raw


def public_key_der(point: bytes) -> bytes:
    """SubjectPublicKeyInfo of a point."""
    return der.tlv(der.SEQUENCE, ALGORITHM, der.tlv(der.BIT_STRING, b"\0", point))


def point_of_public_key_der(data: bytes) -> bytes:
    """The point of a SubjectPublicKeyInfo.

    Raises:
        SecurityError: not strict DER, or not an SM2 key.
    """
    outer = der.Reader(data)
    inner = outer.nested()
    outer.end()
    algorithm = der.tlv(der.SEQUENCE, inner.take(der.SEQUENCE))
    bits = inner.take(der.BIT_STRING)
    inner.end()
    if algorithm != ALGORITHM or bits[:1] != b"\0":
        raise Sm2Error("the public key is not an SM2 key")
    parse_point(bits[1:])
    return bits[1:]


def private_key_der(d: int, point: bytes) -> bytes:
    """PKCS#8 PrivateKeyInfo (RFC 5958) holding an ECPrivateKey (RFC 5915); without its public half if ``point`` is empty."""
    inner = der.tlv(
        der.SEQUENCE,
        der.integer(1),
        der.tlv(der.OCTET_STRING, d.to_bytes(32, "big")),
        der.tlv(der.explicit(1), der.tlv(der.BIT_STRING, b"\0", point)) if point else b"",
    )
    return der.tlv(der.SEQUENCE, der.integer(0), ALGORITHM, der.tlv(der.OCTET_STRING, inner))


def scalar_of_ec_private_key(data: bytes) -> int:
    """The private scalar of an ECPrivateKey (RFC 5915), range-checked; its optional fields are not trusted.

    Raises:
        SecurityError: not strict DER, or a scalar outside 1 .. n-2.
    """
    outer = der.Reader(data)
    inner = outer.nested()
    outer.end()
    if inner.unsigned() != 1:
        raise Sm2Error("the EC private key has an unknown version")
    d = int.from_bytes(inner.take(der.OCTET_STRING), "big")
    if not 1 <= d <= N - 2:
        raise Sm2Error("the SM2 private key is out of range")
    return d


def scalar_of_private_key_der(data: bytes) -> int:
    """The private scalar of a PKCS#8 PrivateKeyInfo.

    Raises:
        SecurityError: not strict DER, or not an SM2 key.
    """
    outer = der.Reader(data)
    inner = outer.nested()
    outer.end()
    version = inner.unsigned()
    algorithm = der.tlv(der.SEQUENCE, inner.take(der.SEQUENCE))
    if version > 1 or algorithm != ALGORITHM:
        raise Sm2Error("the private key is not an SM2 key")
    return scalar_of_ec_private_key(inner.take(der.OCTET_STRING))
