"""A model from the worker process to the server, in pieces: no other thread of the server waits long for it.

``pickle`` reads its stream in frames of 64 KiB and asks for each by a call into Python, where other threads may take over. The
collector is off meanwhile and what arrived is set apart from it: a model has no circles, and walking a million new objects would
stop every thread for as long as it takes.
"""

from __future__ import annotations

import gc
import io
import pickle
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from scada.model_cim.cim import CimModel
from scada.model_cim.tables import ModelTables

CHUNK: Final = 1 << 18
_PAUSE_S: Final = 0.0002
"""Given away after each frame: whoever waits for the interpreter gets it, and keeps it for as long as it needs."""


def pack(model: CimModel, tables: ModelTables) -> Iterator[bytes]:
    """The model and its tables as a sequence of byte strings."""
    out = _Chunks()
    pickler = pickle.Pickler(out, protocol=5)
    pickler.dispatch_table = {memoryview: _view_reduced}
    pickler.dump((model, tables))
    yield from out.taken()


def unpack(chunks: Iterable[bytes]) -> tuple[CimModel, ModelTables]:
    """What :func:`pack` packed.

    Raises:
        EOFError: the sequence ends too early.
        pickle.UnpicklingError: it was not made by :func:`pack`.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        model, tables = pickle.Unpickler(_Source(iter(chunks))).load()  # noqa: S301 - from our own worker process
    finally:
        if enabled:
            gc.freeze()
            gc.enable()
    return model, tables


def _view_reduced(view: memoryview) -> tuple[Any, ...]:
    """Columns may look into arrays of theirs."""
    return _view, (view.tobytes(), view.format)


def _view(data: bytes, form: str) -> memoryview:
    return memoryview(data).cast("B").cast(form)  # type: ignore[call-overload, no-any-return]


class _Chunks(io.RawIOBase):
    """Gathers what is written into pieces of about :data:`CHUNK`."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._part = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        self._part += view
        if len(self._part) >= CHUNK:
            self._pieces.append(bytes(self._part))
            self._part = bytearray()
        return len(view)

    def taken(self) -> list[bytes]:
        """Everything written."""
        return [*self._pieces, bytes(self._part)] if self._part else self._pieces


class _Source:
    """The file that the unpickler reads."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._part = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Exactly ``size`` bytes, fewer at the end."""
        time.sleep(_PAUSE_S)
        parts = []
        while size > 0 and self._more():
            parts.append(bytes(self._part[:size]))
            self._part = self._part[len(parts[-1]) :]
            size -= len(parts[-1])
        return b"".join(parts)

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, for large arrays."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readline(self) -> bytes:
        """Part of the protocol of pickle's oldest opcodes, which ours does not use."""
        return b""

    def _more(self) -> bool:
        if not self._part:
            self._part = memoryview(next(self._chunks, b""))
        return bool(self._part)
