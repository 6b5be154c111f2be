"""SM2 in pure Python, for systems whose libcrypto lacks it; verification with fixed-window tables.

Python integers are not constant in time. Verification works on public data only; private-key operations add a random multiple of
the group order to the scalar (Coron's first countermeasure).
Formulas: GB/T 32918.2 (signature), 32918.4 (encryption); Jacobian coordinates with a = -3.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from functools import cache, lru_cache

from scada.security.sm2_encoding import (
    GX,
    GY,
    N,
    P,
    Sm2Error,
    message_digest,
    parse_point,
    point_bytes,
    split_cipher,
    split_signature,
)
from scada.security.sm3 import sm3

Affine = tuple[int, int]
Jacobian = tuple[int, int, int]
Table = list[list[Affine]]

_WINDOW = 6
_SCALAR_BITS = 256 + 64
"""A blinded scalar is 64 bits longer than the order."""
_INFINITY: Jacobian = (1, 1, 0)


def _double(point: Jacobian) -> Jacobian:
    x, y, z = point
    delta, gamma = z * z % P, y * y % P
    beta = x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P
    x3 = (alpha * alpha - 8 * beta) % P
    z3 = ((y + z) * (y + z) - gamma - delta) % P
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % P, z3


def _add(left: Jacobian, right: Affine) -> Jacobian:
    x1, y1, z1 = left
    x2, y2 = right
    if z1 == 0:
        return x2, y2, 1
    zz = z1 * z1 % P
    h = (x2 * zz - x1) % P
    r = (y2 * zz * z1 - y1) % P
    if h == 0:
        return _double(left) if r == 0 else _INFINITY
    hh = h * h % P
    hhh = h * hh % P
    v = x1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y1 * hhh) % P, z1 * h % P


def _to_affine(points: list[Jacobian]) -> list[Affine]:
    """Normalise many finite points with one inversion (Montgomery's trick)."""
    products = [1]
    for _, _, z in points:
        products.append(products[-1] * z % P)
    inverse = pow(products[-1], -1, P)
    result: list[Affine] = []
    for (x, y, z), before in zip(reversed(points), reversed(products[:-1]), strict=True):
        each = inverse * before % P
        inverse = inverse * z % P
        square = each * each % P
        result.append((x * square % P, y * square * each % P))
    result.reverse()
    return result


def _make_table(point: Affine, bits: int) -> Table:
    """``table[i][j - 1]`` = j * 2**(6 i) * point."""
    bases: list[Jacobian] = [(*point, 1)]
    for _ in range((bits - 1) // _WINDOW):
        base = bases[-1]
        for _ in range(_WINDOW):
            base = _double(base)
        bases.append(base)
    width = (1 << _WINDOW) - 1
    multiples: list[Jacobian] = []
    for base_affine in _to_affine(bases):
        multiple: Jacobian = (*base_affine, 1)
        multiples.append(multiple)
        for _ in range(width - 1):
            multiple = _add(multiple, base_affine)
            multiples.append(multiple)
    flat = _to_affine(multiples)
    return [flat[start : start + width] for start in range(0, len(flat), width)]


@cache
def _base_table() -> Table:
    return _make_table((GX, GY), _SCALAR_BITS)


@lru_cache(maxsize=64)
def _peer_table(point: bytes) -> Table:
    return _make_table(parse_point(point), 256)


def _accumulate(terms: Iterable[tuple[int, Table]]) -> Affine | None:
    """Sum of scalar * tabled point; None is the point at infinity."""
    total = _INFINITY
    mask = (1 << _WINDOW) - 1
    for term, table in terms:
        scalar = term
        for row in table:
            digit = scalar & mask
            if digit:
                total = _add(total, row[digit - 1])
            scalar >>= _WINDOW
    return None if total[2] == 0 else _to_affine([total])[0]


def _multiply(scalar: int, point: Affine) -> Affine | None:
    """Scalar times an arbitrary point, bit by bit."""
    total = _INFINITY
    for bit in range(scalar.bit_length() - 1, -1, -1):
        total = _double(total)
        if scalar >> bit & 1:
            total = _add(total, point)
    return None if total[2] == 0 else _to_affine([total])[0]


def _blinded(scalar: int) -> int:
    return scalar + N * secrets.randbits(63)


def _base_point_times(scalar: int) -> Affine:
    point = _accumulate([(_blinded(scalar), _base_table())])
    assert point is not None  # 1 <= scalar < N
    return point


def public_point(d: int) -> bytes:
    """The public point of a private scalar."""
    return point_bytes(*_base_point_times(d))


def generate() -> int:
    """A private scalar from the operating system's random source."""
    return secrets.randbelow(N - 2) + 1


def sign(d: int, point: bytes, message: bytes, *, nonce: int | None = None) -> bytes:
    """Raw signature of a message.

    Args:
        d: private scalar.
        point: its public point.
        message: what to sign.
        nonce: only for the standard's test vector; every real signature draws its own.
    """
    e = message_digest(point, message)
    while True:
        k = nonce if nonce is not None else secrets.randbelow(N - 1) + 1
        r = (e + _base_point_times(k)[0]) % N
        s = (pow(1 + d, -1, N) * (k + r) - r) % N
        if r and s and r + k != N:
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(point: bytes, signature: bytes, message: bytes) -> bool:
    """True if the raw signature is one of the message by the holder of ``point``.

    Raises:
        Sm2Error: ``point`` is not on the curve. A malformed signature is only False.
    """
    table = _peer_table(point)
    try:
        r, s = split_signature(signature)
    except Sm2Error:
        return False
    t = (r + s) % N
    if t == 0:
        return False
    total = _accumulate([(s, _base_table()), (t, table)])
    return total is not None and (message_digest(point, message) + total[0]) % N == r


def _key_stream(shared: Affine, size: int) -> bytes:
    seed = shared[0].to_bytes(32, "big") + shared[1].to_bytes(32, "big")
    blocks = (sm3(seed, counter.to_bytes(4, "big")) for counter in range(1, (size + 31) // 32 + 1))
    return b"".join(blocks)[:size]


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def encrypt(point: bytes, plain: bytes, *, nonce: int | None = None) -> bytes:
    """Raw C1C3C2 cipher text of a non-empty plain text; ``nonce`` only for the standard's test vector."""
    while True:
        k = nonce if nonce is not None else secrets.randbelow(N - 1) + 1
        shared = _multiply(_blinded(k), parse_point(point))
        assert shared is not None  # the curve has prime order
        stream = _key_stream(shared, len(plain))
        if any(stream):
            break
    digest = sm3(shared[0].to_bytes(32, "big"), plain, shared[1].to_bytes(32, "big"))
    return point_bytes(*_base_point_times(k)) + digest + _xor(plain, stream)


def decrypt(d: int, cipher: bytes) -> bytes:
    """Plain text of a raw C1C3C2 cipher text.

    Raises:
        Sm2Error: malformed or altered.
    """
    c1, c3, c2 = split_cipher(cipher)
    shared = _multiply(_blinded(d), parse_point(c1))
    assert shared is not None  # the curve has prime order
    stream = _key_stream(shared, len(c2))
    plain = _xor(c2, stream)
    digest = sm3(shared[0].to_bytes(32, "big"), plain, shared[1].to_bytes(32, "big"))
    if not any(stream) or not hmac.compare_digest(digest, c3):
        raise Sm2Error("the SM2 cipher text was altered or is for another key")
    return plain
