"""The Merkle tree over the audit log: how it grows while the log is written, and proofs from the files.

A leaf is the digest of a record in the chain. Roots of complete blocks of 1 024 leaves are kept in ``audit.blocks``, so that a
proof reads two blocks of the log and not all of it; the file is a cache: what does not fit a signed root is computed anew.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from scada.core.errors import StoreError
from scada.security.audit_chain import AuditError, Chain, read_start, segments, stored_digests
from scada.security.checkpoints import Checkpoint, CheckpointError
from scada.security.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    proves_consistency,
    proves_inclusion,
    root_of,
)

BLOCKS: Final = "audit.blocks"
"""Name of the file beside the segments."""

_LEVEL: Final = 10
_BLOCK: Final = 1 << _LEVEL
_ROOT: Final = 32


class GrowingTree:
    """The tree of a log that is being written.

    Args:
        folder: of the log.
        last: its newest checkpoint, None if it has none; the whole log is read then.

    Attributes:
        start: number of the record before the first leaf.

    Raises:
        StoreError: the log cannot be read.
        AuditError: the log lacks records that the checkpoint covers, or has others in their place.
    """

    def __init__(self, folder: Path, last: Checkpoint | None) -> None:
        self._cache = folder / BLOCKS
        paths = segments(folder, needed=True)
        size, roots = 0, tuple[bytes, ...]()
        if last is None:
            self.start = read_start(paths[0]).number
        else:
            self.start, size, roots = last.start, last.records - last.start, last.subtrees
            while len(paths) > 1 and read_start(paths[1]).number <= last.records:
                del paths[0]
        whole = (size >> _LEVEL).bit_count()
        self._blocks = Frontier(size >> _LEVEL << _LEVEL, roots[:whole])
        self._open = Frontier(size & (_BLOCK - 1), roots[whole:])
        self._catch_up(paths, last)

    @property
    def subtrees(self) -> tuple[bytes, ...]:
        """Complete subtrees, largest first."""
        return self._blocks.roots + self._open.roots

    def add(self, digests: Sequence[bytes]) -> None:
        """Take records, by their digests."""
        for digest in digests:
            self._open.add(leaf_hash(digest))
            if self._open.size == _BLOCK:
                root, self._open = self._open.root(), Frontier()
                with contextlib.suppress(OSError):
                    self._keep(self._blocks.size >> _LEVEL, root)
                self._blocks.add_subtree(_LEVEL, root)

    def _catch_up(self, paths: Sequence[Path], last: Checkpoint | None) -> None:
        """Take what came after the checkpoint, and prove that what it covers is still there."""
        known = last.records if last else self.start
        begun = read_start(paths[0])
        found = begun.digest if begun.number == known else b""
        chain = Chain(paths)
        for number, _, digest in chain:
            if number == known:
                found = digest
            elif number > known:
                self.add((digest,))
        if last and found != last.digest:
            raise lost(chain, last)

    def _keep(self, index: int, root: bytes) -> None:
        descriptor = os.open(self._cache, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, root, index * _ROOT)
        finally:
            os.close(descriptor)


def lost(chain: Chain, checkpoint: Checkpoint) -> AuditError:
    """What is wrong with a log (read to its end) that does not have what a checkpoint says."""
    missing = checkpoint.records - chain.end.number
    if missing > 0:
        what = f"is missing: the log was truncated, {missing} records that checkpoint {checkpoint.number} covers are gone"
        return AuditError(chain.path, chain.end.number + 1, what)
    what = f"or one before it is not what checkpoint {checkpoint.number} signed: the chain was written anew"
    return AuditError(chain.path, checkpoint.records, what)


class Proofs:
    """Proofs about a log from its files; what is still being written does not disturb them.

    Args:
        folder: of the log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def inclusion(self, record: int, checkpoint: Checkpoint) -> tuple[bytes, list[bytes]]:
        """Leaf hash of a record and its audit path to the checkpoint's root.

        Raises:
            CheckpointError: the record is not under the checkpoint, or the log does not fit it.
            StoreError: the records are no longer here.
        """
        index, size = record - 1 - checkpoint.start, checkpoint.records - checkpoint.start
        if not 0 <= index < size:
            raise CheckpointError(f"record {record} is not under checkpoint {checkpoint.number}")
        for subtree in self._sources(checkpoint):
            leaf, path = subtree(0, index), inclusion_proof(index, size, subtree)
            if proves_inclusion(leaf, index, size, path, checkpoint.root):
                return leaf, path
        raise CheckpointError(f"the log is not what checkpoint {checkpoint.number} signed", where=str(self._folder))

    def consistency(self, before: Checkpoint, checkpoint: Checkpoint) -> list[bytes]:
        """Proof that the tree of one checkpoint begins with that of another.

        Raises:
            CheckpointError: they are not of one log, or the log does not fit them.
            StoreError: the records are no longer here.
        """
        first, size = before.records - before.start, checkpoint.records - checkpoint.start
        if before.start != checkpoint.start or first > size:
            raise CheckpointError(f"checkpoint {checkpoint.number} does not cover what {before.number} does")
        if first in (0, size):
            return []
        for subtree in self._sources(checkpoint):
            path = consistency_proof(first, size, subtree)
            if proves_consistency(first, size, path, before.root, checkpoint.root):
                return path
        raise CheckpointError(f"the log is not what checkpoint {checkpoint.number} signed", where=str(self._folder))

    def _sources(self, checkpoint: Checkpoint) -> list[Callable[[int, int], bytes]]:
        """Ways to a subtree's root: by the cache, then by the log alone."""
        try:
            cache = (self._folder / BLOCKS).read_bytes()
        except OSError:
            cache = b""
        return [_Subtrees(self._folder, checkpoint.start, known) for known in (cache, b"")]


class _Subtrees:
    """Roots of complete subtrees of a log."""

    def __init__(self, folder: Path, start: int, cache: bytes) -> None:
        self._starts = [(read_start(path).number, path) for path in segments(folder, needed=True)]
        self._start, self._cache = start, cache
        self._read: dict[int, list[bytes]] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """Root of the subtree number ``index`` of ``2 ** level`` leaves."""
        if level < _LEVEL:
            first = index << level
            leaves = self._leaves(first >> _LEVEL)
            return root_of(leaves[first & (_BLOCK - 1) :][: 1 << level])
        blocks, frontier = 1 << (level - _LEVEL), Frontier()
        for block in range(index * blocks, (index + 1) * blocks):
            frontier.add_subtree(_LEVEL, self._block(block))
        return frontier.root()

    def _block(self, index: int) -> bytes:
        known = self._cache[index * _ROOT : (index + 1) * _ROOT]
        return known if len(known) == _ROOT and any(known) else root_of(self._leaves(index))

    def _leaves(self, block: int) -> list[bytes]:
        """Leaf hashes of a block, or of as much of it as there is."""
        if block not in self._read:
            first = self._start + (block << _LEVEL) + 1
            if first <= self._starts[0][0]:
                mend = "take the archived segments back into a copy of the folder"
                raise StoreError(f"record {first} is no longer in the log", where=str(self._starts[0][1]), mend=mend)
            found: list[bytes] = []
            for (begun, path), (ends, _) in zip(self._starts, [*self._starts[1:], (1 << 63, Path())], strict=True):
                if begun < first + _BLOCK - 1 and ends >= first:
                    found += stored_digests(path, max(first, begun + 1), first + _BLOCK)
            self._read = {**dict(list(self._read.items())[-4:]), block: [leaf_hash(digest) for digest in found]}
        return self._read[block]
