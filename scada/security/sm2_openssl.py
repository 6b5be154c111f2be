"""SM2 by a libcrypto that has it (OpenSSL 3 and later), through ctypes.

libcrypto's ladder is blinded and its calls release the interpreter lock. Where the system's library is built without SM2,
:func:`load` returns None and the pure backend stands in.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from ctypes import byref, c_char_p, c_int, c_long, c_size_t, c_void_p
from ctypes.util import find_library
from typing import Final

from scada.security.sm2_encoding import (
    GX,
    GY,
    USER_ID,
    Sm2Error,
    cipher_from_der,
    cipher_to_der,
    point_bytes,
    point_of_public_key_der,
    private_key_der,
    public_key_der,
    scalar_of_ec_private_key,
    signature_from_der,
    signature_to_der,
)

LIBRARY_VARIABLE: Final = "SCADA_LIBCRYPTO"
"""Environment variable that names the libcrypto to use; ``none`` asks for the pure backend."""

_NAMES = ("libcrypto.so.3", "libcrypto.so.4", "libcrypto-3-x64.dll", "libcrypto.3.dylib")

_PROTOTYPES: dict[str, tuple[type | None, list[type]]] = {
    "OpenSSL_version": (c_char_p, [c_int]),
    "ERR_clear_error": (None, []),
    "EVP_PKEY_free": (None, [c_void_p]),
    "EVP_PKEY_dup": (c_void_p, [c_void_p]),
    "EVP_PKEY_set1_encoded_public_key": (c_int, [c_void_p, c_char_p, c_size_t]),
    "EVP_MD_CTX_new": (c_void_p, []),
    "EVP_MD_CTX_free": (None, [c_void_p]),
    "EVP_PKEY_CTX_new_from_pkey": (c_void_p, [c_void_p, c_void_p, c_char_p]),
    "EVP_PKEY_CTX_free": (None, [c_void_p]),
    "EVP_PKEY_CTX_set1_id": (c_int, [c_void_p, c_char_p, c_int]),
    "EVP_DigestSignInit_ex": (c_int, [c_void_p, c_void_p, c_char_p, c_void_p, c_char_p, c_void_p, c_void_p]),
    "EVP_DigestSign": (c_int, [c_void_p, c_char_p, c_void_p, c_char_p, c_size_t]),
    "EVP_DigestVerifyInit_ex": (c_int, [c_void_p, c_void_p, c_char_p, c_void_p, c_char_p, c_void_p, c_void_p]),
    "EVP_DigestVerify": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t]),
    "EVP_PKEY_encrypt_init": (c_int, [c_void_p]),
    "EVP_PKEY_encrypt": (c_int, [c_void_p, c_char_p, c_void_p, c_char_p, c_size_t]),
    "EVP_PKEY_decrypt_init": (c_int, [c_void_p]),
    "EVP_PKEY_decrypt": (c_int, [c_void_p, c_char_p, c_void_p, c_char_p, c_size_t]),
    "d2i_AutoPrivateKey": (c_void_p, [c_void_p, c_void_p, c_long]),
    "d2i_PUBKEY": (c_void_p, [c_void_p, c_void_p, c_long]),
    "i2d_PrivateKey": (c_int, [c_void_p, c_void_p]),
    "i2d_PUBKEY": (c_int, [c_void_p, c_void_p]),
}


class _Handle:
    """An EVP_PKEY that is freed with its last reference."""

    def __init__(self, library: ctypes.CDLL, pointer: int | None, what: str) -> None:
        if not pointer:
            library.ERR_clear_error()
            raise Sm2Error(f"libcrypto refused {what}")
        self.pointer = c_void_p(pointer)
        weakref.finalize(self, library.EVP_PKEY_free, self.pointer)


class OpenSslPrivateKey:
    """A private key held by libcrypto."""

    def __init__(self, library: OpenSsl, handle: _Handle) -> None:
        self._library = library
        self._handle = handle

    def sign(self, message: bytes) -> bytes:
        """Raw signature of a message."""
        return self._library.sign(self._handle, message)

    def decrypt(self, cipher: bytes) -> bytes:
        """Plain text of a raw C1C3C2 cipher text.

        Raises:
            Sm2Error: malformed or altered.
        """
        return self._library.crypt(self._handle, "decrypt", cipher_to_der(cipher))


class OpenSsl:
    """The backend: one loaded libcrypto.

    Args:
        library: a libcrypto whose SM2 is present.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._c = library
        version = library.OpenSSL_version(0)
        self.name = f"libcrypto ({version.decode()})"
        self._curve = self._import("d2i_PUBKEY", public_key_der(point_bytes(GX, GY)))
        """Any public key: copies of it take other points in a twentieth of the time of reading one from DER."""

    def generate(self) -> tuple[int, bytes]:
        """(scalar, point) of a new key."""
        handle = _Handle(self._c, _generate(self._c), "to generate an SM2 key")
        return scalar_of_ec_private_key(self._export("i2d_PrivateKey", handle)), self._point(handle)

    def point_of(self, d: int) -> bytes:
        """Public point of a private scalar."""
        return self._point(self._import("d2i_AutoPrivateKey", private_key_der(d, b"")))

    def open(self, d: int, point: bytes) -> OpenSslPrivateKey:
        """Hand a private key to libcrypto."""
        return OpenSslPrivateKey(self, self._import("d2i_AutoPrivateKey", private_key_der(d, point)))

    def encrypt(self, point: bytes, plain: bytes) -> bytes:
        """Raw C1C3C2 cipher text for the holder of a point."""
        return cipher_from_der(self.crypt(self._public(point), "encrypt", plain))

    def verify(self, point: bytes, signature: bytes, message: bytes) -> bool:
        """True if the raw signature is one of the message by the holder of ``point``; a malformed one is only False."""
        try:
            encoded = signature_to_der(signature)
        except Sm2Error:
            return False
        handle = self._public(point)
        context = self._digest_context("EVP_DigestVerifyInit_ex", handle)
        try:
            answer = self._c.EVP_DigestVerify(context, encoded, len(encoded), message, len(message))
        finally:
            self._c.EVP_MD_CTX_free(context)
            self._c.ERR_clear_error()
        return bool(answer == 1)

    def sign(self, handle: _Handle, message: bytes) -> bytes:
        """Raw signature by a held key."""
        context = self._digest_context("EVP_DigestSignInit_ex", handle)
        try:
            size = c_size_t(128)
            buffer = ctypes.create_string_buffer(size.value)
            self._check(self._c.EVP_DigestSign(context, buffer, byref(size), message, len(message)), "to sign")
        finally:
            self._c.EVP_MD_CTX_free(context)
        return signature_from_der(buffer.raw[: size.value])

    def crypt(self, handle: _Handle, operation: str, data: bytes) -> bytes:
        """Encrypt or decrypt (``operation``) ``data`` by a held key; cipher texts in DER."""
        context = c_void_p(self._c.EVP_PKEY_CTX_new_from_pkey(None, handle.pointer, None))
        try:
            self._check(getattr(self._c, f"EVP_PKEY_{operation}_init")(context), f"to {operation}")
            size = c_size_t(len(data) + 256)
            buffer = ctypes.create_string_buffer(size.value)
            answer = getattr(self._c, f"EVP_PKEY_{operation}")(context, buffer, byref(size), data, len(data))
            self._check(answer, f"to {operation}: the SM2 data was altered or is for another key")
        finally:
            self._c.EVP_PKEY_CTX_free(context)
        return buffer.raw[: size.value]

    def _digest_context(self, init: str, handle: _Handle) -> c_void_p:
        context = c_void_p(self._c.EVP_MD_CTX_new())
        key_context = c_void_p()
        try:
            self._check(getattr(self._c, init)(context, byref(key_context), b"SM3", None, None, handle.pointer, None), init)
            self._check(self._c.EVP_PKEY_CTX_set1_id(key_context, USER_ID, len(USER_ID)), "the user identity")
        except Sm2Error:
            self._c.EVP_MD_CTX_free(context)
            raise
        return context

    def _check(self, answer: int, what: str) -> None:
        if answer != 1:
            self._c.ERR_clear_error()
            raise Sm2Error(f"libcrypto refused {what}")

    def _import(self, function: str, data: bytes) -> _Handle:
        start = c_char_p(data)
        pointer = getattr(self._c, function)(None, byref(start), len(data))
        return _Handle(self._c, pointer, "an SM2 key")

    def _public(self, point: bytes) -> _Handle:
        handle = _Handle(self._c, self._c.EVP_PKEY_dup(self._curve.pointer), "to copy a key")
        self._check(self._c.EVP_PKEY_set1_encoded_public_key(handle.pointer, point, len(point)), "an SM2 point")
        return handle

    def _export(self, function: str, handle: _Handle) -> bytes:
        size = getattr(self._c, function)(handle.pointer, None)
        buffer = ctypes.create_string_buffer(max(size, 1))
        start = c_void_p(ctypes.addressof(buffer))
        if size <= 0 or getattr(self._c, function)(handle.pointer, byref(start)) != size:
            raise Sm2Error("libcrypto refused to hand out a key")
        return buffer.raw[:size]

    def _point(self, handle: _Handle) -> bytes:
        return point_of_public_key_der(self._export("i2d_PUBKEY", handle))


def _generate(library: ctypes.CDLL) -> int | None:
    keygen = library.EVP_PKEY_Q_keygen
    keygen.restype = c_void_p
    pointer: int | None = keygen(None, None, c_char_p(b"SM2"))
    return pointer


def load() -> OpenSsl | None:
    """The system's libcrypto if it has SM2, else None.

    Raises:
        Sm2Error: :data:`LIBRARY_VARIABLE` names a library that cannot be used.
    """
    asked = os.environ.get(LIBRARY_VARIABLE, "")
    if asked == "none":
        return None
    for name in (asked,) if asked else (*_NAMES, find_library("crypto")):
        backend = _probe(name) if name else None
        if backend:
            return backend
    if asked:
        raise Sm2Error(
            "the named libcrypto cannot be loaded or has no SM2",
            where=f"{LIBRARY_VARIABLE}={asked}",
            mend="name another or unset it",
        )
    return None


def _probe(name: str) -> OpenSsl | None:
    try:
        library = ctypes.CDLL(name)
        for function, (result, arguments) in _PROTOTYPES.items():
            entry = getattr(library, function)
            entry.restype = result
            entry.argtypes = arguments
        pointer = _generate(library)
    except (OSError, AttributeError):
        return None
    if not pointer:
        library.ERR_clear_error()
        return None
    library.EVP_PKEY_free(pointer)
    return OpenSsl(library)
