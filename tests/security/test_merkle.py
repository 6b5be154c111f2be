"""The Merkle tree against a naive tree written from the text of RFC 6962, and against the proofs that RFC names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.security.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    proves_consistency,
    proves_inclusion,
    root_of,
)
from scada.security.sm3 import sm3


def leaves(count):
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


def naive_root(hashes):
    """MTH(D[n]) word by word."""
    if not hashes:
        return sm3(b"")
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return sm3(b"\x01", naive_root(hashes[:k]), naive_root(hashes[k:]))


def naive_path(m, hashes):
    """PATH(m, D[n]) word by word."""
    if len(hashes) == 1:
        return []
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if m < k:
        return [*naive_path(m, hashes[:k]), naive_root(hashes[k:])]
    return [*naive_path(m - k, hashes[k:]), naive_root(hashes[:k])]


def naive_proof(m, hashes, whole=True):
    """PROOF(m, D[n]) word by word."""
    if m == len(hashes):
        return [] if whole else [naive_root(hashes)]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if m <= k:
        return [*naive_proof(m, hashes[:k], whole), naive_root(hashes[k:])]
    return [*naive_proof(m - k, hashes[k:], False), naive_root(hashes[:k])]


def subtree_of(hashes):
    def subtree(level, index):
        part = hashes[index << level : (index + 1) << level]
        assert len(part) == 1 << level
        return naive_root(part)

    return subtree


def test_domains_are_separate_and_the_empty_tree_is_that_of_the_rfc():
    assert leaf_hash(b"") == sm3(b"\x00") != sm3(b"")
    assert node_hash(b"l" * 32, b"r" * 32) == sm3(b"\x01" + b"l" * 32 + b"r" * 32)
    assert Frontier().root() == EMPTY_ROOT == sm3(b"")


def test_the_tree_of_seven_has_the_shape_drawn_in_the_rfc():
    """RFC 6962, 2.1.3: proofs named there by letters."""
    d = leaves(7)
    g, h, i = (node_hash(d[at], d[at + 1]) for at in (0, 2, 4))
    j, k, low = d[6], node_hash(g, h), None
    low = node_hash(i, j)
    assert root_of(d) == node_hash(k, low)
    assert inclusion_proof(0, 7, subtree_of(d)) == [d[1], h, low]
    assert inclusion_proof(3, 7, subtree_of(d)) == [d[2], g, low]
    assert inclusion_proof(4, 7, subtree_of(d)) == [d[5], j, k]
    assert inclusion_proof(6, 7, subtree_of(d)) == [i, k]
    assert consistency_proof(3, 7, subtree_of(d)) == [d[2], d[3], g, low]
    assert consistency_proof(4, 7, subtree_of(d)) == [low]
    assert consistency_proof(6, 7, subtree_of(d)) == [i, j, k]


@pytest.mark.parametrize("size", range(34))
def test_the_frontier_is_the_naive_tree_at_every_size(size):
    d = leaves(size)
    assert root_of(d) == naive_root(d)
    frontier = Frontier()
    for leaf in d[: size // 2]:
        frontier.add(leaf)
    resumed = Frontier(frontier.size, frontier.roots)
    for leaf in d[size // 2 :]:
        resumed.add(leaf)
    assert resumed.root() == naive_root(d)


def test_subtrees_are_added_where_they_fit():
    d = leaves(22)
    frontier = Frontier()
    for block in range(2):
        frontier.add_subtree(3, naive_root(d[8 * block : 8 * block + 8]))
    with pytest.raises(ValueError, match="level 5"):
        frontier.add_subtree(5, d[0])
    for leaf in d[16:]:
        frontier.add(leaf)
    assert frontier.root() == naive_root(d)
    with pytest.raises(ValueError, match="cannot follow 22"):
        frontier.add_subtree(3, d[0])
    with pytest.raises(ValueError, match="not 1 complete"):
        Frontier(3, [d[0]])


@pytest.mark.parametrize("size", range(1, 20))
def test_every_proof_is_that_of_the_rfc_and_is_accepted(size):
    d = leaves(size)
    root, subtree = naive_root(d), subtree_of(d)
    for index in range(size):
        path = inclusion_proof(index, size, subtree)
        assert path == naive_path(index, d)
        assert proves_inclusion(d[index], index, size, path, root)
        for other in range(size):
            if other != index:
                assert not proves_inclusion(d[other], index, size, path, root)
                assert not proves_inclusion(d[index], other, size, path, root)
    for before in range(1, size + 1):
        path = consistency_proof(before, size, subtree)
        assert path == naive_proof(before, d)
        assert proves_consistency(before, size, path, naive_root(d[:before]), root)


@given(size=st.integers(2, 200), data=st.data())
def test_no_proof_survives_a_change(size, data):
    d = leaves(size)
    root, subtree = naive_root(d), subtree_of(d)
    before = data.draw(st.integers(1, size - 1))
    path = consistency_proof(before, size, subtree)
    changed = [*d]
    at = data.draw(st.integers(0, before - 1))
    changed[at] = leaf_hash(b"changed")
    other = subtree_of(changed)
    assert not proves_consistency(
        before, size, consistency_proof(before, size, other), naive_root(d[:before]), naive_root(changed)
    )
    assert not proves_consistency(before, size, path, naive_root(d[:before]), naive_root(changed))
    assert not proves_consistency(before, size, [*path, d[0]], naive_root(d[:before]), root)
    assert not proves_consistency(before, size, path[:-1], naive_root(d[:before]), root)
    found = inclusion_proof(at, size, subtree)
    assert not proves_inclusion(d[at], at, size, [*found, d[0]], root)
    assert not proves_inclusion(d[at], at, size, found[:-1], root)
    spoiled = [*found]
    spot = data.draw(st.integers(0, len(found) - 1))
    spoiled[spot] = bytes([spoiled[spot][0] ^ 1]) + spoiled[spot][1:]
    assert not proves_inclusion(d[at], at, size, spoiled, root)


def test_what_is_no_proof():
    d = leaves(5)
    subtree = subtree_of(d)
    for index, size in ((5, 5), (-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="not in a tree"):
            inclusion_proof(index, size, subtree)
        assert not proves_inclusion(d[0], index, size, [], d[0])
    for before, size in ((0, 5), (6, 5)):
        with pytest.raises(ValueError, match="does not begin"):
            consistency_proof(before, size, subtree)
        assert not proves_consistency(before, size, [d[0]], d[0], d[0])
    assert not proves_consistency(2, 5, [], d[0], d[0])
