"""SM3 digest (GB/T 32905) and what is built on it: HMAC-SM3 and HKDF-SM3; all by the ``cryptography`` package."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def sm3(*parts: bytes) -> bytes:
    """32-byte digest of the joined parts.

    >>> sm3(b"abc").hex()
    '66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0'
    """
    digest = hashes.Hash(hashes.SM3())
    for part in parts:
        digest.update(part)
    return digest.finalize()


def sm3_after(prefix: bytes) -> Callable[[bytes], bytes]:
    """A function that gives the digest of ``prefix | data``; cheaper than :func:`sm3` where there are many.

    >>> sm3_after(b"a")(b"bc") == sm3(b"abc")
    True
    """
    begun = hashes.Hash(hashes.SM3())
    begun.update(prefix)

    def digest(data: bytes) -> bytes:
        hashed = begun.copy()
        hashed.update(data)
        return hashed.finalize()

    return digest


def hmac_sm3(key: bytes, *parts: bytes) -> bytes:
    """32-byte HMAC-SM3 (RFC 2104 with SM3) of the joined parts."""
    mac = hmac.HMAC(key, hashes.SM3())
    for part in parts:
        mac.update(part)
    return mac.finalize()


def hkdf_sm3(secret: bytes, *, salt: bytes, info: bytes, length: int = 32) -> bytes:
    """Key of ``length`` bytes by HKDF (RFC 5869) with SM3."""
    return HKDF(algorithm=hashes.SM3(), length=length, salt=salt, info=info).derive(secret)
