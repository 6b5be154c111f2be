"""The durable store of dispatch: every order with what became of it, each change in one fully synced transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, fields
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

import msgpack

from scada.apps.dispatch.judging import PointFinding
from scada.apps.dispatch.office import OrderRecord
from scada.apps.dispatch.orders import Answer, OrderKey, Verdict
from scada.apps.dispatch.store_head import HeadKeeper, IncompleteStoreError, StoreHead
from scada.core.clock import Clock
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, LmdbView, quarantine
from scada.security.sm3 import hmac_sm3

_NAME: Final = "dispatch"
_LAYOUT: Final = 1
"""Of a record."""
_FILE_LAYOUT: Final = 2
_MAC: Final = 32
_ORDERS: Final = "orders"
_MODES: Final = "modes"
_META: Final = "meta"
_BEGUN: Final = b"begun"
NO_HEAD: Final = StoreHead()
"""The audit log knows of no store."""
_ANSWER: Final = tuple(field.name for field in fields(Answer))


class OrderStore:
    """Orders on disk. One thread writes.

    Args:
        path: folder; made if absent.
        key: seals each record: whoever can write the file but has no key can neither add nor change an order.
        map_mb: fixed size of the file.
        known: the last head that the audit log knows of this store.
        told: called with the head after each change, once that is on the disk.

    Attributes:
        is_new: nothing was ever written to the file.
        incomplete: what was found missing in the file that was here before, empty if nothing.

    Raises:
        CorruptFileError: the file is damaged, or a record was sealed by another key.
        IncompleteStoreError: records are missing, or it is an older copy.
        StoreError: see :class:`scada.rtdb.lmdb_file.LmdbFile`.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: bytes = b"",
        map_mb: int = 256,
        known: StoreHead = NO_HEAD,
        told: Callable[[StoreHead], None] = lambda _head: None,
    ) -> None:
        self._key = key
        self._told = told
        self._head = HeadKeeper(key, (_ORDERS, _MODES))
        self.incomplete = ""
        tables = (_ORDERS, _MODES, _META)
        upgrades = {1: lambda txn: self._head.begin(txn, 1)}
        self._file: LmdbFile | LmdbView = LmdbFile(
            path, _NAME, layout=_FILE_LAYOUT, map_mb=map_mb, databases=tables, upgrades=upgrades
        )
        try:
            self._prove(known)
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def check(cls, path: Path, *, key: bytes, known: StoreHead) -> tuple[int, StoreHead]:
        """Prove a store without opening it for writing; how many orders it has, and its head.

        Args:
            path: folder; its server may run.
            key: of that server.
            known: the last head that the audit log knew **before** this is called.

        Raises:
            CorruptFileError: as the class itself.
            StoreError: it cannot be read.
        """
        self = cls.__new__(cls)
        self._key, self._head = key, HeadKeeper(key, (_ORDERS, _MODES))
        self._file = LmdbView(path, _NAME, layout=_FILE_LAYOUT, databases=(_ORDERS, _MODES, _META))
        try:
            self._prove(known)
            return sum(1 for _ in self.records()), self._head.head
        finally:
            self._file.close()

    def _prove(self, known: StoreHead) -> None:
        with self._file.read() as txn:
            self.is_new = txn.get(_META, _BEGUN) is None
            for table in (_ORDERS, _MODES):
                for name, blob in txn.ascending(table):
                    self._opened(table, name, blob)
            self._head.open(txn, known, str(self._file.path))

    @classmethod
    def open_or_quarantine(
        cls,
        path: Path,
        clock: Clock,
        *,
        key: bytes = b"",
        map_mb: int = 256,
        known: StoreHead = NO_HEAD,
        told: Callable[[StoreHead], None] = lambda _head: None,
    ) -> tuple[OrderStore, str]:
        """Open; if the file is damaged or incomplete, move it aside (``*.corrupt-<ns>``) and start empty.

        Returns:
            The store and what was damaged in one sentence, empty if nothing; what is missing is :attr:`incomplete`.

        Raises:
            StoreError: any other fault.
        """
        try:
            return cls(path, key=key, map_mb=map_mb, known=known, told=told), ""
        except CorruptFileError as error:
            aside = quarantine(path, _NAME, clock.now_ns())
            store = cls(path, key=key, map_mb=map_mb, told=told)
            store._go_on(known)
            what = f"{error.what}; {error.where} was moved to {aside.name}"
            if not isinstance(error, IncompleteStoreError):
                return store, what
            store.incomplete = what
            return store, ""

    def _go_on(self, known: StoreHead) -> None:
        """An empty store in the place of one that the audit log knows: its changes are numbered on."""
        assert isinstance(self._file, LmdbFile)
        if known.changes:
            with self._file.write() as txn:
                self._head.begin(txn, known.changes + 1)
            self._told(self._head.head)

    def records(self) -> Iterator[OrderRecord]:
        """Every order, in no order."""
        with self._file.read() as txn:
            found = list(txn.ascending(_ORDERS))
        for name, blob in found:
            yield _decode(self._opened(_ORDERS, name, blob), str(self._file.path))

    def write(self, records: Iterable[OrderRecord], dropped: Iterable[OrderKey] = ()) -> None:
        """Keep orders and drop others, all or nothing; on disk when this returns.

        Raises:
            StoreError: nothing was written.
        """
        put = [(record.answer.key, _encode(record)) for record in records]
        self._change(
            [
                *((_ORDERS, name, self._sealed(_ORDERS, name, blob)) for name, blob in ((_name(key), blob) for key, blob in put)),
                *((_ORDERS, _name(key), None) for key in dropped),
            ],
            begun=True,
        )
        self.is_new = False

    def modes(self) -> dict[tuple[str, str], str]:
        """What each mode was before dispatch ordered another, by what is ruled and its target."""
        with self._file.read() as txn:
            found = [self._opened(_MODES, name, blob) for name, blob in txn.ascending(_MODES)]
        return {(what, target): words for what, target, words in map(msgpack.unpackb, found)}

    def write_mode(self, slot: tuple[str, str], words: str | None) -> None:
        """Keep what a mode was before dispatch ordered another; None = that is restored, forget it."""
        name = _name(slot)
        blob = None if words is None else self._sealed(_MODES, name, msgpack.packb([*slot, words]))
        self._change([(_MODES, name, blob)])

    def _change(self, changed: Iterable[tuple[str, bytes, bytes | None]], *, begun: bool = False) -> None:
        assert isinstance(self._file, LmdbFile)
        with self._file.write() as txn:
            made = self._head.change(txn, changed)
            if begun:
                txn.put(_META, _BEGUN, b"1")
        self._head.take(made)
        self._told(self._head.head)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def _sealed(self, table: str, name: bytes, blob: bytes) -> bytes:
        return self._mac(table, name, blob) + blob

    def _opened(self, table: str, name: bytes, blob: bytes) -> bytes:
        """A record without its seal.

        Raises:
            CorruptFileError: it is not ours, or stands in another place.
        """
        found = blob[_MAC:]
        if not compare_digest(blob[:_MAC], self._mac(table, name, found)):
            where = str(self._file.path)
            raise CorruptFileError("a stored record is not sealed by this server", where=where, mend="see who wrote that file")
        return found

    def _mac(self, table: str, name: bytes, blob: bytes) -> bytes:
        return hmac_sm3(self._key, table.encode(), b"\0", name, blob)


def _name(words: tuple[str, str]) -> bytes:
    """Name of a record: of one length, whatever is in the words."""
    return blake2b("\0".join(words).encode(), digest_size=32).digest()


def _encode(record: OrderRecord) -> bytes:
    answer = record.answer
    shown: dict[str, Any] = {name: getattr(answer, name) for name in _ANSWER}
    shown |= {"verdict": answer.verdict.value, "first": None, "findings": [astuple(one) for one in answer.findings]}
    packed = [_LAYOUT, record.method, record.content, shown, *record.within, record.judged_ns, record.number, record.ended_ns]
    blob: bytes = msgpack.packb(packed)
    return blob


def _decode(blob: bytes, where: str) -> OrderRecord:
    layout, method, content, shown, low, high, judged_ns, number, ended_ns = msgpack.unpackb(blob)
    if layout != _LAYOUT or not set(_ANSWER) >= set(shown):
        raise CorruptFileError(f"an order has layout {layout}", where=where)
    shown |= {"verdict": Verdict(shown["verdict"]), "findings": tuple(PointFinding(*one) for one in shown["findings"])}
    return OrderRecord(method, content, Answer(**shown), (low, high), judged_ns, number, ended_ns)
