"""SM2 keys: sign, verify, encrypt, decrypt (GB/T 32918), behind one face.

All of it goes to the system's libcrypto where that has SM2, else to the pure backend. Encodings and ranges are checked here in
either case. Every key operation waits for the self-test; a backend that fails it is never used (fail closed).
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import SM4

from scada.security import pkcs8, sm2_openssl, sm2_pure
from scada.security.sm2_encoding import Sm2Error, parse_point, private_key_der, scalar_of_private_key_der
from scada.security.sm3 import hkdf_sm3, sm3

__all__ = ["Signer", "Sm2Error", "Sm2Key", "Sm2PublicKey", "self_test"]


class Signer(Protocol):
    """What signs in someone's name: a key in memory, or a token that never lets it out."""

    def point(self) -> bytes:
        """Public point, 65 bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Raw ``r | s`` signature, 64 bytes."""
        ...


class _PrivateKey(Protocol):
    def sign(self, message: bytes) -> bytes: ...

    def decrypt(self, cipher: bytes) -> bytes: ...


class _Backend(Protocol):
    name: str

    def generate(self) -> tuple[int, bytes]: ...

    def point_of(self, d: int) -> bytes: ...

    def open(self, d: int, point: bytes) -> _PrivateKey: ...

    def encrypt(self, point: bytes, plain: bytes) -> bytes: ...

    def verify(self, point: bytes, signature: bytes, message: bytes) -> bool: ...


class _PurePrivateKey:
    def __init__(self, d: int, point: bytes) -> None:
        self._d = d
        self._point = point

    def sign(self, message: bytes) -> bytes:
        return sm2_pure.sign(self._d, self._point, message)

    def decrypt(self, cipher: bytes) -> bytes:
        return sm2_pure.decrypt(self._d, cipher)


class _Pure:
    name = "pure Python"

    def generate(self) -> tuple[int, bytes]:
        d = sm2_pure.generate()
        return d, sm2_pure.public_point(d)

    def point_of(self, d: int) -> bytes:
        return sm2_pure.public_point(d)

    def open(self, d: int, point: bytes) -> _PrivateKey:
        return _PurePrivateKey(d, point)

    def encrypt(self, point: bytes, plain: bytes) -> bytes:
        return sm2_pure.encrypt(point, plain)

    def verify(self, point: bytes, signature: bytes, message: bytes) -> bool:
        return sm2_pure.verify(point, signature, message)


class Sm2PublicKey:
    """The public half of a key.

    Args:
        point: uncompressed point, 65 bytes.

    Raises:
        Sm2Error: not a point of the curve.
    """

    def __init__(self, point: bytes) -> None:
        parse_point(point)
        self._point = bytes(point)

    def point(self) -> bytes:
        """Uncompressed point, 65 bytes."""
        return self._point

    def key_id(self) -> bytes:
        """First 16 bytes of SM3 of the point; a hint, never a proof."""
        return sm3(self._point)[:16]

    def verify(self, signature: bytes, message: bytes) -> bool:
        """True only if ``signature`` (raw, 64 bytes) is one of ``message`` by this key, under the default user identity."""
        return _backend().verify(self._point, signature, message)

    def encrypt(self, plain: bytes) -> bytes:
        """Raw C1C3C2 cipher text of a non-empty plain text."""
        if not plain:
            raise Sm2Error("SM2 cannot encrypt nothing")
        return _backend().encrypt(self._point, plain)


class Sm2Key(Sm2PublicKey):
    """A private key in memory; a :class:`Signer`.

    Args:
        d: private scalar, checked by whoever parsed it.
    """

    def __init__(self, d: int) -> None:
        backend = _backend()
        super().__init__(backend.point_of(d))
        self._d = d
        self._held = backend.open(d, self._point)

    @classmethod
    def generate(cls) -> Sm2Key:
        """A new key from the operating system's random source."""
        return cls(_backend().generate()[0])

    @classmethod
    def load_private(cls, pem: bytes, password: bytes | None = None) -> Sm2Key:
        """A key from PKCS#8 PEM.

        Raises:
            SecurityError: not such a file, a password is missing or wrong, or not an SM2 key.
        """
        return cls(scalar_of_private_key_der(pkcs8.open_pem(pem, password)))

    def private_pem(self, password: bytes | None = None) -> bytes:
        """PKCS#8 PEM; encrypted by PBES2 with SM4-CBC if a password is given. ``openssl pkey`` reads both."""
        return pkcs8.seal_pem(private_key_der(self._d, self._point), password)

    def derive(self, purpose: bytes, size: int) -> bytes:
        """A symmetric key of ``size`` bytes for one purpose (HKDF-SM3 of the private scalar), the same whenever it is asked."""
        return hkdf_sm3(self._d.to_bytes(32, "big"), salt=b"scada derived key", info=purpose, length=size)

    def sign(self, message: bytes) -> bytes:
        """Raw ``r | s`` signature of a message, 64 bytes."""
        return self._held.sign(message)

    def decrypt(self, cipher: bytes) -> bytes:
        """Plain text of a raw C1C3C2 cipher text.

        Raises:
            Sm2Error: malformed, altered or for another key.
        """
        return self._held.decrypt(cipher)


def self_test() -> str:
    """Run the published test vectors on what is going to be used; call it at start.

    Returns:
        The name of the backend, for the log.

    Raises:
        Sm2Error: a vector does not come out; nothing that needs a key will work.
    """
    return _backend().name


@cache
def _backend() -> _Backend:
    """The chosen backend, once it has passed its test."""
    _check_digest_and_cipher()
    _check_pure()
    library = sm2_openssl.load()
    if library is None:
        return _Pure()
    if not library.verify(_POINT, _SIGNATURE, _MESSAGE) or library.verify(_POINT, _SIGNATURE, _MESSAGE + b"."):
        raise Sm2Error("libcrypto does not verify the SM2 signature vector", where=library.name)
    _check_round_trip(library)
    return library


# GM/T 0003.5-2012, annexes A.2 and C.2: one key and nonce on the recommended curve
_D = 0x3945208F_7B2144B1_3F36E38A_C6D39F95_88939369_2860B51A_42FB81EF_4DF7C5B8
_NONCE = 0x59276E27_D506861A_16680F3A_D9C02DCC_EF3CC1FA_3CDBE4CE_6D54B80D_EAC1BC21
_POINT = bytes.fromhex(
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
_MESSAGE = b"message digest"
_SIGNATURE = bytes.fromhex(
    "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
    "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
)
_PLAIN = b"encryption standard"
_CIPHER = bytes.fromhex(
    "0404ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73"
    "e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0"
    "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766"
    "21886ca989ca9c7d58087307ca93092d651efa"
)


def _check_digest_and_cipher() -> None:
    if sm3(b"abc").hex() != "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0":
        raise Sm2Error("SM3 does not give the vector of GB/T 32905")
    block = bytes.fromhex("0123456789abcdeffedcba9876543210")
    # the vector of GB/T 32907 is one block of zero IV
    encryptor = Cipher(SM4(block), modes.CBC(bytes(16))).encryptor()
    if encryptor.update(block).hex() != "681edf34d206965e86b3e94f536e4246":
        raise Sm2Error("SM4 does not give the vector of GB/T 32907")


def _check_pure() -> None:
    if sm2_pure.public_point(_D) != _POINT or sm2_pure.sign(_D, _POINT, _MESSAGE, nonce=_NONCE) != _SIGNATURE:
        raise Sm2Error("pure SM2 does not give the signature vector of GM/T 0003.5")
    if not sm2_pure.verify(_POINT, _SIGNATURE, _MESSAGE) or sm2_pure.verify(_POINT, _SIGNATURE, _MESSAGE + b"."):
        raise Sm2Error("pure SM2 does not verify the signature vector of GM/T 0003.5")
    if sm2_pure.encrypt(_POINT, _PLAIN, nonce=_NONCE) != _CIPHER:
        raise Sm2Error("pure SM2 does not give the encryption vector of GM/T 0003.5")
    _check_round_trip(_Pure())


def _check_round_trip(backend: _Backend) -> None:
    key = backend.open(_D, _POINT)
    if backend.point_of(_D) != _POINT or key.decrypt(_CIPHER) != _PLAIN:
        raise Sm2Error("the SM2 backend does not give the vectors of GM/T 0003.5", where=backend.name)
    if not sm2_pure.verify(_POINT, key.sign(_MESSAGE), _MESSAGE) or key.decrypt(backend.encrypt(_POINT, _PLAIN)) != _PLAIN:
        raise Sm2Error("the SM2 backend does not agree with itself", where=backend.name)
