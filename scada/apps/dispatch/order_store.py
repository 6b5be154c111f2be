"""The durable store of dispatch: every order with what became of it, each change in one fully synced transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple, fields
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

import msgpack

from scada.apps.dispatch.judging import PointFinding
from scada.apps.dispatch.office import OrderRecord
from scada.apps.dispatch.orders import Answer, OrderKey, Verdict
from scada.core.clock import Clock
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, quarantine
from scada.security.sm3 import hmac_sm3

_NAME: Final = "dispatch"
_LAYOUT: Final = 1
_MAC: Final = 32
_ORDERS: Final = "orders"
_MODES: Final = "modes"
_META: Final = "meta"
_BEGUN: Final = b"begun"
_ANSWER: Final = tuple(field.name for field in fields(Answer))


class OrderStore:
    """Orders on disk. One thread writes.

    Args:
        path: folder; made if absent.
        key: seals each record: whoever can write the file but has no key can neither add nor change an order.
        map_mb: fixed size of the file.

    Attributes:
        is_new: nothing was ever written to the file.

    Raises:
        CorruptFileError: the file is damaged, or a record was sealed by another key.
        StoreError: see :class:`scada.rtdb.lmdb_file.LmdbFile`.
    """

    def __init__(self, path: Path, *, key: bytes = b"", map_mb: int = 256) -> None:
        self._key = key
        self._file = LmdbFile(path, _NAME, layout=_LAYOUT, map_mb=map_mb, databases=(_ORDERS, _MODES, _META))
        try:
            with self._file.read() as txn:
                self.is_new = txn.get(_META, _BEGUN) is None
            for _ in self.records():
                pass
            self.modes()
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def open_or_quarantine(cls, path: Path, clock: Clock, *, key: bytes = b"", map_mb: int = 256) -> tuple[OrderStore, str]:
        """Open; if the file is damaged, move it aside (``*.corrupt-<ns>``) and start empty.

        Returns:
            The store and what happened in one sentence, empty if nothing.

        Raises:
            StoreError: any other fault.
        """
        try:
            return cls(path, key=key, map_mb=map_mb), ""
        except CorruptFileError as error:
            aside = quarantine(path, _NAME, clock.now_ns())
            return cls(path, key=key, map_mb=map_mb), f"{error.what}; {error.where} was moved to {aside.name}"

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
        with self._file.write() as txn:
            for record in records:
                name = _name(record.answer.key)
                txn.put(_ORDERS, name, self._sealed(_ORDERS, name, _encode(record)))
            for key in dropped:
                txn.delete(_ORDERS, _name(key))
            txn.put(_META, _BEGUN, b"1")
        self.is_new = False

    def modes(self) -> dict[tuple[str, str], str]:
        """What each mode was before dispatch ordered another, by what is ruled and its target."""
        with self._file.read() as txn:
            found = [self._opened(_MODES, name, blob) for name, blob in txn.ascending(_MODES)]
        return {(what, target): words for what, target, words in map(msgpack.unpackb, found)}

    def write_mode(self, slot: tuple[str, str], words: str | None) -> None:
        """Keep what a mode was before dispatch ordered another; None = that is restored, forget it."""
        name = _name(slot)
        with self._file.write() as txn:
            if words is None:
                txn.delete(_MODES, name)
            else:
                txn.put(_MODES, name, self._sealed(_MODES, name, msgpack.packb([*slot, words])))

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
