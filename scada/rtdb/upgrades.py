"""Layout of the RTDB file, and how files of older layouts are brought up to it.

1. Pages, journal, ``state`` and ``identity``.
2. Beside them ``ages`` (how old the journal is, in seconds of service) and ``holds`` (what the sources of held points send); the
   image of a program that knows nothing of holds would show values that an operator has taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from scada.rtdb import journal
from scada.rtdb.checkpoint import META, PAGES
from scada.rtdb.lmdb_file import Transaction, unseal

LAYOUT: Final = 2


def _to_2(txn: Transaction) -> None:
    """What is new starts empty; every record is read once, so that damage is found while the old file is still beside it."""
    for table in (PAGES, META):
        for key, blob in txn.ascending(table):
            unseal(blob, f"{table} {key.hex()}")
    for key, blob in txn.ascending(journal.TABLE):
        journal.decode(key, blob, journal.TABLE)


UPGRADES: Final[Mapping[int, Callable[[Transaction], None]]] = MappingProxyType({1: _to_2})
"""Layout -> step to the next one."""
