"""A history file of an older layout, brought up."""

from __future__ import annotations

import numpy as np

from scada.history.rotation import LOG
from scada.history.rows import ROW_DTYPE
from scada.history.shelf import HOUR_NS, SampleShelf
from scada.rtdb.lmdb_file import Transaction, unseal


def from_layout_1(txn: Transaction) -> None:
    """Layout 1 had no minutes, no inputs and no state: its tail of samples goes on the shelf; chunks can be read as they are."""
    stored, shelf = list(txn.ascending(LOG)), SampleShelf("chunks", HOUR_NS, "history")
    if stored:
        rows = np.concatenate([np.frombuffer(unseal(blob, "the tail"), ROW_DTYPE) for _, blob in stored])
        shelf.store(txn, rows, 1 << 32, 0, np.zeros(int(rows["number"].max(initial=0)) + 1, dtype=np.uint32))
    for name, _ in stored:
        txn.delete(LOG, name)
    txn.put("meta", b"oldest", shelf.first_ns(txn).to_bytes(8, "big"))
