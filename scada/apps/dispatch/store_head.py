"""The head of the store of orders: how many changes were made, and a seal over all that is in it together.

The seal of a record shows that it is ours; this one that none is missing. The number of the last change is told to the audit log
too, so that a file put back to an older state is known for what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from scada.rtdb.lmdb_file import CorruptFileError
from scada.rtdb.mapped import Transaction
from scada.security.sm3 import hmac_sm3

_TABLE: Final = "meta"
_NAME: Final = b"head"
_NUMBER: Final = 8
_SUM: Final = 32
_MEND: Final = "see who had access to that folder; what became of each order is in the audit log"


class IncompleteStoreError(CorruptFileError):
    """Records were removed from the store, or it is an older copy of itself."""


@dataclass(frozen=True, slots=True)
class StoreHead:
    """State of the store after a change.

    Attributes:
        changes: how many there were.
        tag: seal over the number and everything that is stored; empty before the first change.
    """

    changes: int = 0
    tag: bytes = b""


class HeadKeeper:
    """Follows what is in the store, record by record.

    The sum is an exclusive-or of secret marks of the records, none of which is stored: who has no key cannot find records whose
    removal leaves it as it was.

    Args:
        key: of the server.
        tables: whose records count.
    """

    def __init__(self, key: bytes, tables: Sequence[str]) -> None:
        self._key = key
        self._tables = tables
        self.head = StoreHead()
        self._sum = 0

    def open(self, txn: Transaction, known: StoreHead, where: str) -> None:
        """Take up a store whose records are proven one by one.

        Args:
            txn: reads it.
            known: the last head that the audit log knows; without changes if it knows none.
            where: the file.

        Raises:
            IncompleteStoreError: something is missing.
        """
        stored, found = txn.get(_TABLE, _NAME), self._summed(txn)
        if stored is None:
            if found or known.changes:
                raise IncompleteStoreError("the orders were removed from the store", where=where, mend=_MEND)
            return
        head = StoreHead(int.from_bytes(stored[:_NUMBER], "little"), bytes(stored[_NUMBER:]))
        if not compare_digest(head.tag, self._tag(head.changes, found)):
            raise IncompleteStoreError("records were removed from the store, or put back", where=where, mend=_MEND)
        if head.changes < known.changes or (head.changes == known.changes and head.tag != known.tag):
            missing = known.changes - head.changes
            text = f"the store is an older copy: the audit log knows {missing} later changes" if missing else "it is another copy"
            raise IncompleteStoreError(text, where=where, mend=_MEND)
        self.head, self._sum = head, found

    def begin(self, txn: Transaction, changes: int) -> None:
        """Seal what is there, as change number ``changes``."""
        self._sum = self._summed(txn)
        self.head = self._put(txn, changes, self._sum)

    def change(self, txn: Transaction, changed: Iterable[tuple[str, bytes, bytes | None]]) -> tuple[StoreHead, int]:
        """Put records (table, name and sealed record, None = removed) and the head; :meth:`take` that once it is durable."""
        found = self._sum
        for table, name, blob in changed:
            before = txn.get(table, name)
            found ^= self._mark(table, name, before) if before is not None else 0
            if blob is None:
                txn.delete(table, name)
            else:
                txn.put(table, name, blob)
                found ^= self._mark(table, name, blob)
        return self._put(txn, self.head.changes + 1, found), found

    def take(self, made: tuple[StoreHead, int]) -> None:
        """A change is on the disk."""
        self.head, self._sum = made

    def _put(self, txn: Transaction, changes: int, found: int) -> StoreHead:
        head = StoreHead(changes, self._tag(changes, found))
        txn.put(_TABLE, _NAME, changes.to_bytes(_NUMBER, "little") + head.tag)
        return head

    def _summed(self, txn: Transaction) -> int:
        found = 0
        for table in self._tables:
            for name, blob in txn.ascending(table):
                found ^= self._mark(table, bytes(name), bytes(blob))
        return found

    def _mark(self, table: str, name: bytes, blob: bytes) -> int:
        return int.from_bytes(hmac_sm3(self._key, b"mark\0", table.encode(), b"\0", name, blob), "little")

    def _tag(self, changes: int, found: int) -> bytes:
        return hmac_sm3(self._key, b"head\0", changes.to_bytes(_NUMBER, "little"), found.to_bytes(_SUM, "little"))
