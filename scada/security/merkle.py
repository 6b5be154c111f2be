"""Merkle tree over SM3 in the shape of RFC 6962, section 2.1: root, inclusion and consistency proofs.

A leaf is ``SM3(0x00 | data)``, a node ``SM3(0x01 | left | right)``; the left child covers the largest power of two below the
number of leaves. Nobody who knows a signed root can be shown a tree in which a leaf was changed, moved or left out.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from scada.security.sm3 import sm3, sm3_after

EMPTY_ROOT: Final = sm3(b"")
"""Root of a tree without leaves."""

Subtree = Callable[[int, int], bytes]
"""Root of the complete subtree number ``index`` (from 0) of ``2 ** level`` leaves, by level and index."""


leaf_hash: Final = sm3_after(b"\x00")
"""Hash of a leaf, by its data."""
_node: Final = sm3_after(b"\x01")


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return _node(left + right)


class Frontier:
    """The complete subtrees of a growing tree, largest first: all that is needed to add leaves and to know the root.

    Args:
        size: leaves so far.
        roots: of the complete subtrees, as :attr:`roots` of the frontier it goes on from.

    Raises:
        ValueError: as many roots as ``size`` has binary ones do not stand there.

    >>> frontier = Frontier()
    >>> frontier.add(leaf_hash(b"a")), frontier.root() == leaf_hash(b"a")
    (None, True)
    """

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        if size < 0 or size.bit_count() != len(roots):
            raise ValueError(f"a tree of {size} leaves has not {len(roots)} complete subtrees")
        self.size = size
        self._roots = list(roots)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees, largest first."""
        return tuple(self._roots)

    def add(self, leaf: bytes) -> None:
        """Take one more leaf, by its hash."""
        self.add_subtree(0, leaf)

    def add_subtree(self, level: int, root: bytes) -> None:
        """Take ``2 ** level`` leaves at once, by the root of their subtree.

        Raises:
            ValueError: the tree has no place for so large a subtree here.
        """
        if self.size & ((1 << level) - 1):
            raise ValueError(f"a subtree of level {level} cannot follow {self.size} leaves")
        carried = self.size >> level
        while carried & 1:
            root = node_hash(self._roots.pop(), root)
            carried >>= 1
        self._roots.append(root)
        self.size += 1 << level

    def root(self) -> bytes:
        """Root of the tree as it stands."""
        return _fold(self._roots)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Root of a tree of leaves, by their hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    return frontier.root()


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """Audit path of a leaf (RFC 6962, 2.1.1), from the leaf upwards.

    Args:
        index: of the leaf, from 0.
        size: leaves of the tree.
        subtree: gives complete subtrees.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_root(middle, end, subtree))
            end = middle
        else:
            path.append(_range_root(start, middle, subtree))
            start = middle
    return path[::-1]


def consistency_proof(before: int, size: int, subtree: Subtree) -> list[bytes]:
    """Proof that a tree of ``size`` leaves begins with the one of ``before`` leaves (RFC 6962, 2.1.2).

    Raises:
        ValueError: ``before`` is not between 1 and ``size``.
    """
    if not 0 < before <= size:
        raise ValueError(f"a tree of {size} leaves does not begin with one of {before}")
    path = []
    start, end, whole = 0, size, True
    while before != end:
        middle = start + _split(end - start)
        if before <= middle:
            path.append(_range_root(middle, end, subtree))
            end = middle
        else:
            path.append(_range_root(start, middle, subtree))
            start, whole = middle, False
    if not whole:
        path.append(_range_root(start, end, subtree))
    return path[::-1]


def proves_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """True only if the leaf (its hash) is number ``index`` of the tree of ``size`` leaves under ``root`` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    number, last, reached = index, size - 1, leaf
    for node in path:
        if last == 0:
            return False
        if number & 1 or number == last:
            reached = node_hash(node, reached)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            reached = node_hash(reached, node)
        number, last = number >> 1, last >> 1
    return last == 0 and hmac.compare_digest(reached, root)


def proves_consistency(before: int, size: int, path: Sequence[bytes], root_before: bytes, root: bytes) -> bool:
    """True only if the tree of ``size`` leaves under ``root`` begins with that of ``before`` leaves (RFC 9162, 2.1.4.2)."""
    if before == size:
        return not path and hmac.compare_digest(root_before, root)
    if not 0 < before < size or not path:
        return False
    nodes = list(path)
    if before & (before - 1) == 0:
        nodes.insert(0, root_before)
    number, last = before - 1, size - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            new = node_hash(new, node)
        number, last = number >> 1, last >> 1
    return last == 0 and hmac.compare_digest(old, root_before) and hmac.compare_digest(new, root)


def _split(size: int) -> int:
    """Leaves of the left child: the largest power of two below ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


def _fold(roots: Sequence[bytes]) -> bytes:
    """Root over complete subtrees, largest first."""
    if not roots:
        return EMPTY_ROOT
    root = roots[-1]
    for left in reversed(roots[:-1]):
        root = node_hash(left, root)
    return root


def _range_root(start: int, end: int, subtree: Subtree) -> bytes:
    """Root of the leaves from ``start`` to before ``end``; ``start`` is where a child of the tree begins."""
    roots = []
    while start < end:
        level = (end - start).bit_length() - 1
        roots.append(subtree(level, start >> level))
        start += 1 << level
    return _fold(roots)
