"""Signed checkpoints of the audit log: how many records it had, their digest and Merkle root, and when, under the server's key.

Whoever edits or cuts the log cannot make the checkpoints fit again; whoever cuts log and checkpoints alike is found by a witness
that keeps checkpoints elsewhere. ``checkpoints.log`` is ``magic | (u32le size | msgpack(encoded, signature, certificate))*``;
what is signed is ``domain | encoded``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final, Protocol

import msgpack

from scada.core.errors import SecurityError, StoreError
from scada.security.authorities import Authorities
from scada.security.certificates import Certificate, parse_certificate
from scada.security.merkle import Frontier
from scada.security.sm2 import Signer
from scada.security.sm3 import sm3

CHECKPOINTS: Final = "checkpoints.log"
"""Name of the file beside the segments."""
DOMAIN: Final = b"SCADA audit checkpoint 1\0"
SIGNER_ROLE: Final = "SERVER"
"""Role that the certificate of whoever signs checkpoints bears."""

_MAGIC = b"SCADA checkpoints 1\n"
_SIZE = 4
_MAXIMUM = 64 * 1024


class CheckpointError(SecurityError):
    """A checkpoint is malformed, not signed by whom it should be, or does not fit the log."""


class SealingIdentity(Protocol):
    """Who signs checkpoints; :class:`scada.security.identities.Identity` is one."""

    @property
    def certificate(self) -> Certificate:
        """Proves the signatures."""
        ...

    @property
    def signer(self) -> Signer:
        """Makes them."""
        ...

    @property
    def name(self) -> str:
        """Common name of the certificate."""
        ...


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State of the log at a moment.

    Attributes:
        number: of the checkpoint, from 1.
        site: whose log it is.
        start: number of the record before the first leaf of the tree; 0 unless the beginning was archived before the first
            checkpoint was made.
        records: number of the last record.
        digest: of that record in the chain.
        time_ns: when, ns UTC of the host.
        signer: identity that signs.
        previous: SM3 of the encoded checkpoint before, empty for the first.
        subtrees: complete subtrees of the Merkle tree over records ``start + 1`` to ``records``, largest first.
    """

    number: int
    site: str
    start: int
    records: int
    digest: bytes
    time_ns: int
    signer: str
    previous: bytes
    subtrees: tuple[bytes, ...]

    @property
    def tree(self) -> Frontier:
        """The Merkle tree as it stood."""
        return Frontier(self.records - self.start, self.subtrees)

    @property
    def root(self) -> bytes:
        """Root of the Merkle tree."""
        return self.tree.root()

    def encode(self) -> bytes:
        """What is signed, without the domain."""
        fields = (
            self.number,
            self.site,
            self.start,
            self.records,
            self.digest,
            self.root,
            self.time_ns,
            self.signer,
            self.previous,
            list(self.subtrees),
        )
        encoded: bytes = msgpack.packb(fields)
        return encoded


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with its signature (raw, 64 bytes) and the DER certificate that proves it; parsing proves nothing."""

    checkpoint: Checkpoint
    encoded: bytes
    signature: bytes
    certificate: bytes

    def digest(self) -> bytes:
        """Names this checkpoint in the next one."""
        return sm3(self.encoded)

    def key_id(self) -> bytes:
        """Names the key that signed, see :meth:`scada.security.sm2.Sm2PublicKey.key_id`.

        Raises:
            CertificateError: the certificate cannot be read.
        """
        return parse_certificate(self.certificate).public_key.key_id()

    def pack(self) -> bytes:
        """Bytes of an entry of ``checkpoints.log``."""
        body: bytes = msgpack.packb((self.encoded, self.signature, self.certificate))
        return len(body).to_bytes(_SIZE, "little") + body

    def check(self, authorities: Authorities | None) -> None:
        """Prove the signature, and that the certificate was one of a server at the time of the checkpoint.

        Args:
            authorities: who is trusted; None proves only that signature and certificate belong together.

        Raises:
            CheckpointError: naming what is wrong.
        """
        try:
            wrong = self._wrong(authorities)
        except SecurityError as error:
            wrong = error.what
        if wrong:
            raise CheckpointError(wrong, where=f"checkpoint {self.checkpoint.number}")

    def _wrong(self, authorities: Authorities | None) -> str:
        certificate = parse_certificate(self.certificate)
        if not certificate.public_key.verify(self.signature, DOMAIN + self.encoded):
            return "the signature is wrong"
        if certificate.name != self.checkpoint.signer or SIGNER_ROLE not in certificate.roles:
            return f"{certificate.name!r} is no server that signs checkpoints"
        if authorities:
            authorities.check_then(certificate, self.checkpoint.time_ns)
        return ""


def sign_checkpoint(checkpoint: Checkpoint, identity: SealingIdentity) -> SignedCheckpoint:
    """Sign a checkpoint."""
    encoded = checkpoint.encode()
    return SignedCheckpoint(checkpoint, encoded, identity.signer.sign(DOMAIN + encoded), identity.certificate.encoded)


def parse_checkpoint(encoded: bytes, signature: bytes, certificate: bytes) -> SignedCheckpoint:
    """Read a checkpoint as it was stored or sent.

    Raises:
        CheckpointError: malformed, or its root is not that of its subtrees.
    """
    try:
        number, site, start, records, digest, root, time_ns, signer, previous, subtrees = msgpack.unpackb(encoded)
        checkpoint = Checkpoint(number, site, start, records, digest, time_ns, signer, previous, tuple(subtrees))
        fits = checkpoint.encode() == encoded and checkpoint.root == root and number >= 1 and len(digest) == len(root)
    except (ValueError, TypeError, AttributeError, OverflowError, msgpack.UnpackException) as error:
        raise CheckpointError("the checkpoint cannot be read") from error
    if not fits:
        raise CheckpointError("the checkpoint does not agree with itself")
    return SignedCheckpoint(checkpoint, encoded, signature, certificate)


def read_checkpoints(path: Path) -> list[SignedCheckpoint]:
    """Checkpoints of a file in order; none if there is no file. An entry that a crash cut short at the end is left out.

    Raises:
        StoreError: the file cannot be read.
        CheckpointError: it is no such file, or an entry is malformed.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot read checkpoints: {error.strerror}", where=str(path)) from error
    return _read(path, data)[0]


class CheckpointFile:
    """Appends to a file of checkpoints; one writer.

    Args:
        path: made with mode 0600.

    Attributes:
        last: the newest one, None if there is none.

    Raises:
        StoreError: the file cannot be opened.
        CheckpointError: it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            data = path.read_bytes() if path.exists() else b""
            found, end = _read(path, data)
            if end < len(data):
                os.truncate(path, end)
        except OSError as error:
            raise StoreError(f"cannot open checkpoints: {error.strerror}", where=str(path)) from error
        self.last = found[-1] if found else None

    def append(self, checkpoints: Iterable[SignedCheckpoint]) -> None:
        """Store checkpoints; they are on disk when this returns.

        Raises:
            StoreError: they could not be stored.
        """
        given = list(checkpoints)
        try:
            with FileIO(self._path, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                before = file.tell()
                try:
                    _write(file, (b"" if before else _MAGIC) + b"".join(each.pack() for each in given))
                except OSError:
                    os.ftruncate(file.fileno(), before)
                    raise
        except OSError as error:
            what = f"cannot write checkpoints: {error.strerror}"
            raise StoreError(what, where=str(self._path), mend="free the disk") from error
        self.last = given[-1] if given else self.last


def check_order(checkpoints: Iterable[SignedCheckpoint]) -> None:
    """Prove that checkpoints are all there from the first on, follow each other and never take records back.

    Raises:
        CheckpointError: at the first that does not follow.
    """
    before: SignedCheckpoint | None = None
    for each in checkpoints:
        now, last = each.checkpoint, before.checkpoint if before else None
        if before and last and (now.previous != before.digest() or now.number != last.number + 1):
            raise CheckpointError(f"checkpoint {now.number} does not follow {last.number}: one was removed or changed")
        if last and (now.records < last.records or now.start != last.start or now.site != last.site):
            raise CheckpointError(f"checkpoint {now.number} has fewer records than the one before, or is of another log")
        if not last and (now.number != 1 or now.previous):
            raise CheckpointError(f"checkpoint {now.number} is the first: those before it were removed")
        before = each


def _write(file: FileIO, data: bytes) -> None:
    if file.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file.fileno())


def _read(path: Path, data: bytes) -> tuple[list[SignedCheckpoint], int]:
    """Entries and where the last whole one ends."""
    if not data.startswith(_MAGIC[: len(data)]):
        raise CheckpointError("not a file of checkpoints", where=str(path))
    if len(data) < len(_MAGIC):
        return [], 0
    found: list[SignedCheckpoint] = []
    at = len(_MAGIC)
    while at < len(data):
        size = int.from_bytes(data[at : at + _SIZE], "little")
        end = at + _SIZE + size
        if end > len(data) or len(data) - at < _SIZE or not any(data[at:]):  # torn, or zeros after a loss of power
            if size > _MAXIMUM:
                raise CheckpointError(f"entry {len(found) + 1} has no possible size", where=str(path))
            break
        try:
            encoded, signature, certificate = msgpack.unpackb(data[at + _SIZE : end])
            found.append(parse_checkpoint(encoded, signature, certificate))
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise CheckpointError(f"entry {len(found) + 1} cannot be read", where=str(path)) from error
        except CheckpointError as error:
            raise CheckpointError(error.what, where=f"{path}, entry {len(found) + 1}") from error
        at = end
    return found, at
