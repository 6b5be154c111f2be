"""What PostgreSQL has not taken yet: parcels written in the same transaction as the history they tell of, removed once taken.

A parcel holds the samples, minutes and gaps of one flush. Its number and a digest go into PostgreSQL in one transaction with its
rows, so that a parcel sent again is known there. Where the file itself went back in time (a loss of power undid its last commit,
a backup was restored), the numbers disagree: the outbox then takes a new identity, and rows up to that moment are compared one by
one instead of counted on.
"""

from __future__ import annotations

import secrets
import struct
import zlib
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.history.rows import MINUTE_DTYPE, ROW_DTYPE, first_of_minutes
from scada.rtdb.lmdb_file import LmdbFile, Transaction, seal, unseal

TABLE: Final = "outbox"
TABLES: Final = (TABLE, "outbox_meta")
_META: Final = TABLES[1]
_IDENTITY: Final = b"identity"
_LAST: Final = b"last"
_BEGAN: Final = b"began"
_DOUBT: Final = b"doubt"
_SEQ: Final = b"seq"
_TIME: Final = b"time"
_HEAD: Final = struct.Struct("<IIIq")
_GAP_DTYPE: Final = np.dtype("<i8")
_LEVEL: Final = 1

Rows = npt.NDArray[np.void]
I8 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Parcel:
    """Rows on their way to PostgreSQL. ``number`` in them is the history number of a point.

    Attributes:
        block: its number, from 1 on; 0 = not of the outbox.
        digest: of its content.
        samples: ``ROW_DTYPE``, in order of arrival.
        minutes: ``MINUTE_DTYPE``; of one minute given twice the later stands.
        gaps: starts of gaps, ns UTC.
    """

    block: int = 0
    digest: int = 0
    samples: Rows = field(default_factory=lambda: np.zeros(0, ROW_DTYPE))
    minutes: Rows = field(default_factory=lambda: np.zeros(0, MINUTE_DTYPE))
    gaps: I8 = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


class Outbox:
    """Parcels in two tables of the history's file. The thread of the history puts, another may take and remove.

    Args:
        file: open, with :data:`TABLES`.
        most_bytes: when the parcels take more than this, the oldest are given up.
        now_ns: present time, ns UTC.

    Attributes:
        identity: names this file in PostgreSQL.
        began_ns: when the outbox was made; what is older need not be in this file.
        doubt_ns: rows up to this time may be in PostgreSQL already, whatever the numbers say; 0 = none.
        last: number of the last parcel.
        seq, time_ns: sequence number and time up to which the history went through here.
        rows: samples and minutes that wait.
        given_up: those given up since the file was opened; from the first of them on PostgreSQL is told of a gap.
    """

    def __init__(self, file: LmdbFile, most_bytes: int, now_ns: int) -> None:
        self._file, self._most_bytes = file, most_bytes
        self._lock = Lock()
        self._sizes: dict[int, tuple[int, int]] = {}
        self.given_up = 0
        with file.read() as txn:
            self.identity = (txn.get(_META, _IDENTITY) or b"").decode()
            self.began_ns, self.doubt_ns, self.last, self.seq, self.time_ns = (
                int.from_bytes(txn.get(_META, key) or b"", "big") for key in (_BEGAN, _DOUBT, _LAST, _SEQ, _TIME)
            )
            for key, blob in txn.ascending(TABLE):
                self._sizes[int.from_bytes(key, "big")] = (_waiting(blob), len(blob))
        if not self.identity:
            self.began_ns = now_ns
            self.renew(now_ns)

    @property
    def rows(self) -> int:
        """Samples and minutes that wait."""
        with self._lock:
            return sum(rows for rows, _ in self._sizes.values())

    # ------------------------------------------------------------------ the history's thread

    def put(self, txn: Transaction, samples: Rows, minutes: Rows, gaps: I8, at: tuple[int, int]) -> Shipment:
        """Add a parcel, unless it is empty, within a transaction of the history; call ``committed`` of the result afterwards.

        With too much waiting the oldest parcels are given up, and the new one says from when on samples are missing.

        Args:
            txn: of the file.
            samples: see :class:`Parcel`.
            minutes: the same.
            gaps: the same.
            at: sequence number and time, ns UTC, up to which the history is complete with this parcel.
        """
        for key, number in zip((_SEQ, _TIME), at, strict=True):
            txn.put(_META, key, number.to_bytes(8, "big"))
        if not len(samples) and not len(minutes) and not len(gaps):
            return Shipment(self, at, self.last, None, [])
        dropped, missing = self._make_room(txn)
        gaps = np.append(gaps, missing)
        body = _encode(samples, minutes, gaps)
        number = self.last + 1
        txn.put(TABLE, number.to_bytes(8, "big"), body)
        txn.put(_META, _LAST, number.to_bytes(8, "big"))
        return Shipment(self, at, number, (_waiting(body), len(body)), dropped)

    def report_gap(self, time_ns: int) -> None:
        """Put a parcel that says that from a time on PostgreSQL misses samples."""
        none = Parcel()
        with self._file.write() as txn:
            shipment = self.put(txn, none.samples, none.minutes, np.array([time_ns], dtype=np.int64), (self.seq, self.time_ns))
        shipment.committed()

    def _make_room(self, txn: Transaction) -> tuple[list[int], I8]:
        """Numbers of the parcels given up, and the times from which on PostgreSQL misses what was in them."""
        with self._lock:
            sizes = sorted(self._sizes.items())
        surplus = sum(size for _, (_, size) in sizes) - self._most_bytes
        dropped: list[int] = []
        times = [np.zeros(0, dtype=np.int64)]
        for number, (_, size) in sizes:
            if surplus <= 0:
                break
            key = number.to_bytes(8, "big")
            if blob := txn.get(TABLE, key):
                parcel = _decode(number, blob, str(self._file.path))
                times += [parcel.samples["time"], parcel.minutes["time"]]
                txn.delete(TABLE, key)
            dropped.append(number)
            surplus -= size
        return dropped, first_of_minutes(np.concatenate(times))

    def _committed(self, shipment: Shipment) -> None:
        with self._lock:
            self.last, (self.seq, self.time_ns) = shipment.number, shipment.at
            if shipment.size is not None:
                self._sizes[shipment.number] = shipment.size
            for number in shipment.dropped:
                self.given_up += self._sizes.pop(number, (0, 0))[0]

    # ------------------------------------------------------------------ the archive's thread

    def parcels(self, after: int, most_rows: int) -> list[Parcel]:
        """The parcels after a number, oldest first, until they hold so many rows; at least one if there is any."""
        found: list[Parcel] = []
        rows = 0
        with self._file.read() as txn:
            for key, blob in txn.ascending(TABLE, (after + 1).to_bytes(8, "big")):
                if rows >= most_rows:
                    break
                found.append(_decode(int.from_bytes(key, "big"), blob, str(self._file.path)))
                rows += _waiting(blob)
        return found

    def remove(self, through: int) -> None:
        """Remove the parcels up to a number: PostgreSQL has them."""
        with self._lock:
            numbers = [number for number in self._sizes if number <= through]
        if not numbers:
            return
        with self._file.write() as txn:
            for number in numbers:
                txn.delete(TABLE, number.to_bytes(8, "big"))
        with self._lock:
            for number in numbers:
                self._sizes.pop(number, None)

    def renew(self, doubt_ns: int) -> None:
        """Take a new identity; what is dated up to ``doubt_ns`` may be in PostgreSQL already."""
        identity = secrets.token_hex(8)
        with self._file.write() as txn:
            txn.put(_META, _IDENTITY, identity.encode())
            for key, number in ((_DOUBT, doubt_ns), (_BEGAN, self.began_ns)):
                txn.put(_META, key, number.to_bytes(8, "big"))
        self.identity, self.doubt_ns = identity, doubt_ns


@dataclass(frozen=True, slots=True)
class Shipment:
    """A parcel put into a transaction that is not committed yet."""

    outbox: Outbox
    at: tuple[int, int]
    number: int
    size: tuple[int, int] | None
    dropped: list[int]

    def committed(self) -> None:
        """Say that the transaction was committed."""
        self.outbox._committed(self)  # noqa: SLF001 - our own


def together(parcels: list[Parcel]) -> Parcel:
    """Consecutive parcels as one, under the number and digest of the last."""
    if len(parcels) == 1:
        return parcels[0]
    return Parcel(
        parcels[-1].block,
        parcels[-1].digest,
        np.concatenate([parcel.samples for parcel in parcels]),
        np.concatenate([parcel.minutes for parcel in parcels]),
        np.concatenate([parcel.gaps for parcel in parcels]),
    )


def _encode(samples: Rows, minutes: Rows, gaps: I8) -> bytes:
    content = samples.tobytes() + minutes.tobytes() + gaps.astype(_GAP_DTYPE).tobytes()
    digest = int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)
    return seal(_HEAD.pack(len(samples), len(minutes), len(gaps), digest) + zlib.compress(content, _LEVEL))


def _waiting(blob: bytes) -> int:
    samples, minutes, _, _ = _HEAD.unpack_from(blob, 4)
    return int(samples + minutes)


def _decode(number: int, blob: bytes, where: str) -> Parcel:
    body = unseal(blob, where)
    samples, minutes, gaps, digest = _HEAD.unpack_from(body)
    content = zlib.decompress(body[_HEAD.size :])
    end = samples * ROW_DTYPE.itemsize
    return Parcel(
        number,
        digest,
        np.frombuffer(content, ROW_DTYPE, samples),
        np.frombuffer(content, MINUTE_DTYPE, minutes, end),
        np.frombuffer(content, _GAP_DTYPE, gaps, end + minutes * MINUTE_DTYPE.itemsize),
    )
