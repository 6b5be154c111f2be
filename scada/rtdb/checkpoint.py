"""The checkpoint: the image in pages of 1 024 points, with the sequence number it stands for, in the journal's LMDB file.

Page blob: CRC-32, then ``IMAGE_DTYPE`` rows; the key is the page number (u4, big-endian). Only pages that changed since the last
checkpoint are written, in one transaction with the number.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgpack
import numpy as np
import numpy.typing as npt

from scada.rtdb import holds as held
from scada.rtdb import journal
from scada.rtdb.changes import GapError
from scada.rtdb.image import IMAGE_DTYPE, Holds, Image
from scada.rtdb.lmdb_file import CorruptFileError, Transaction, seal, unseal
from scada.rtdb.mapped import MappedFile

PAGES: Final = "pages"
META: Final = "meta"
PAGE_POINTS: Final = 1024
ROW_BYTES: Final = IMAGE_DTYPE.itemsize
"""Of one point in a page."""
_STATE: Final = b"state"
_IDENTITY: Final = b"identity"
_HOLDS: Final = b"holds"


class Restored(NamedTuple):
    """The state of a database file."""

    image: Image
    head: int
    """Sequence number it stands for."""
    identity: npt.NDArray[np.uint64]
    """Identity of each pid, 0 = not known."""
    holds: Holds
    """Points held by an operator."""


def page_count(capacity: int) -> int:
    """Pages of an image."""
    return -(-capacity // PAGE_POINTS)


def bytes_needed(capacity: int) -> int:
    """Room two checkpoints take in the file: the present one and the one being written beside it."""
    return 2 * capacity * (IMAGE_DTYPE.itemsize + 8)


def write(
    txn: Transaction,
    image: Image,
    dirty: npt.NDArray[np.bool_],
    seq: int,
    identity: npt.NDArray[np.uint64],
    holds: Holds,
) -> None:
    """Store the dirty pages of an image that stands for ``seq``, and all holds."""
    for page in np.flatnonzero(dirty).tolist():
        start = page * PAGE_POINTS
        rows = image.rows(start, min(start + PAGE_POINTS, image.capacity))
        txn.put(PAGES, page.to_bytes(4, "big"), seal(rows.tobytes()))
    txn.put(META, _STATE, seal(msgpack.packb({"seq": seq, "capacity": image.capacity})))
    txn.put(META, _IDENTITY, seal(identity.tobytes()))
    txn.put(META, _HOLDS, seal(held.stored(holds)))


def restore(file: MappedFile, capacity: int) -> Restored:
    """The last checkpoint brought forward by the journal after it, as one transaction sees them.

    Args:
        file: with the tables :data:`PAGES`, :data:`META` and :data:`journal.TABLE`.
        capacity: least number of points of the image.

    Raises:
        CorruptFileError: a checksum is wrong, or the journal does not follow on the checkpoint.
    """
    with file.read() as txn:
        return advance(txn, load(txn, str(file.path), capacity), str(file.path))


def number(txn: Transaction, where: str) -> int:
    """Sequence number the last checkpoint stands for.

    Raises:
        CorruptFileError: its checksum is wrong.
    """
    return int(_state(txn, where)["seq"])


def _state(txn: Transaction, where: str) -> dict[str, int]:
    stored = txn.get(META, _STATE)
    return dict(msgpack.unpackb(unseal(stored, where))) if stored else {"seq": 0, "capacity": 0}


def load(txn: Transaction, where: str, capacity: int = 0) -> Restored:
    """The last checkpoint itself.

    Raises:
        CorruptFileError: a checksum is wrong.
    """
    state = _state(txn, where)
    image = Image.empty(max(capacity, state["capacity"]))
    for page, blob in txn.ascending(PAGES):
        image.load(int.from_bytes(page, "big") * PAGE_POINTS, np.frombuffer(unseal(blob, where), IMAGE_DTYPE))
    names, kept = txn.get(META, _IDENTITY), txn.get(META, _HOLDS)
    identity = np.frombuffer(unseal(names, where), np.uint64) if names else np.zeros(0, np.uint64)
    holds = held.restored(unseal(kept, where)) if kept else Holds.none()
    return Restored(image, int(state["seq"]), identity, holds)


def advance(txn: Transaction, start: Restored, where: str) -> Restored:
    """A state brought forward by the journal after it.

    Raises:
        CorruptFileError: a checksum is wrong, or the journal does not follow on the state.
    """
    image, head, identity, holds = start
    try:
        for change in journal.within(txn, head, where):
            needed = int(change.records["pid"].max()) + 1
            if needed > image.capacity:  # the server grew after its last checkpoint
                image = image.grown(needed)
            holds = held.replay(image, holds, change)
            head = change.last
    except GapError as error:
        raise CorruptFileError(
            f"the journal lacks changes after {head}", where=where, mend="restore a backup or move it away"
        ) from error
    return Restored(image, head, identity, holds)
