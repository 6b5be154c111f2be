"""Cycles of AGC and AVC as they were: what a controller was given and what it gave, so that a day can be run again.

A recording is a zlib stream of MessagePack maps: a header with the model part, the settings and the state the controller began
with, then one map a cycle: its time, the orders since the cycle before, the measurements that changed (to the bit), what tags
forbid, the sensitivities (AVC) and the outputs. Every cycle ends with a sync flush: of a recording that was cut off, everything
up to the cut can be read.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from scada.core.errors import StoreError

U4 = npt.NDArray[np.uint32]
F8 = npt.NDArray[np.float64]

FORMAT = 1
_CHUNK = 4096
"""Octets unpacked at once: of a damaged stream, what lies before is still read."""


@dataclass(frozen=True, slots=True)
class RunHeader:
    """Where a recording begins.

    Attributes:
        application: ``agc`` or ``avc``.
        name: control area; empty for AVC.
        model: digest of the model version.
        settings: of the application, by name.
        subject: what it regulates (the control area, the zones), as plain maps.
        started_ns: ns UTC.
        monotonic: seconds of the controller's other clock at that moment.
        pids: points of the measurements, ascending.
        state: of the controller before the first cycle; empty = as made.
    """

    application: str
    name: str
    model: str
    settings: Mapping[str, Any]
    subject: Any
    started_ns: int
    monotonic: float
    pids: Sequence[int]
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedOrder:
    """A call of the controller between two cycles."""

    now_ns: int
    monotonic: float
    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class RecordedCycle:
    """One cycle.

    Attributes:
        now_ns: ns UTC.
        monotonic: s.
        orders: since the cycle before.
        value: of each point of the header.
        quality: the same.
        forbidden: cid -> tag that forbids it.
        extra: further inputs by name (sensitivities): arrays, numbers, None; None = there were none.
        outputs: (cid, value) sent.
    """

    now_ns: int
    monotonic: float
    orders: tuple[RecordedOrder, ...]
    value: F8
    quality: U4
    forbidden: Mapping[int, str]
    extra: Mapping[str, Any] | None
    outputs: tuple[tuple[int, float], ...]


class CycleWriter:
    """Writes a recording.

    Args:
        header: its beginning.
        put: takes octets, in order.
    """

    def __init__(self, header: RunHeader, put: Callable[[bytes], object]) -> None:
        self._put = put
        self._zip = zlib.compressobj(6)
        count = len(header.pids)
        self._value, self._quality = np.full(count, np.nan), np.zeros(count, np.uint32)
        self._first = True
        self._write({"format": FORMAT, **asdict(header)})

    def cycle(self, cycle: RecordedCycle) -> None:
        """Append a cycle."""
        changed = np.flatnonzero((cycle.value.view(np.uint64) != self._value.view(np.uint64)) | (cycle.quality != self._quality))
        if self._first:
            changed, self._first = np.arange(len(cycle.value)), False
        self._value, self._quality = cycle.value.copy(), cycle.quality.copy()
        self._write(
            {
                "t": cycle.now_ns,
                "m": cycle.monotonic,
                "o": [[order.now_ns, order.monotonic, order.name, list(order.arguments)] for order in cycle.orders],
                "i": changed.astype(np.uint32).tobytes(),
                "v": cycle.value[changed].tobytes(),
                "q": cycle.quality[changed].tobytes(),
                "f": dict(cycle.forbidden),
                "a": None if cycle.extra is None else {name: _packed(one) for name, one in cycle.extra.items()},
                "r": [list(pair) for pair in cycle.outputs],
            }
        )

    def close(self) -> None:
        """End the stream."""
        self._put(self._zip.flush())

    def _write(self, record: Mapping[str, Any]) -> None:
        packed: bytes = msgpack.packb(record, default=_plain)
        self._put(self._zip.compress(packed) + self._zip.flush(zlib.Z_SYNC_FLUSH))


class CycleReader:
    """Reads a recording.

    Args:
        chunks: its octets.
        where: its name, for errors.

    Attributes:
        header: its beginning.
        cut: True once the end was reached and the stream was not closed: the server was stopped hard.

    Raises:
        StoreError: no recording, of another format, or damaged before its first cycle.
    """

    def __init__(self, chunks: Iterable[bytes], where: str = "") -> None:
        self._where = where
        self.cut = False
        self._records = self._unpack(chunks)
        try:
            first = next(self._records)
            if first.pop("format") != FORMAT:
                raise StoreError("the recording has a format that this version does not read", where=where)
            self.header: RunHeader = TypeAdapter(RunHeader).validate_python(first)
        except (StopIteration, KeyError, AttributeError, ValidationError) as error:
            raise StoreError("this is no recording of cycles", where=where, mend="see `scada agc runs`") from error

    def cycles(self) -> Iterator[RecordedCycle]:
        """The cycles, oldest first.

        Raises:
            StoreError: damaged; what came before was good.
        """
        count = len(self.header.pids)
        value, quality = np.full(count, np.nan), np.zeros(count, np.uint32)
        for record in self._records:
            try:
                at = np.frombuffer(record["i"], np.uint32)
                value, quality = value.copy(), quality.copy()
                value[at] = np.frombuffer(record["v"], np.float64)
                quality[at] = np.frombuffer(record["q"], np.uint32)
                extra = record["a"]
                yield RecordedCycle(
                    record["t"],
                    record["m"],
                    tuple(RecordedOrder(now, mono, name, tuple(given)) for now, mono, name, given in record["o"]),
                    value,
                    quality,
                    record["f"],
                    None if extra is None else {name: _unpacked(one) for name, one in extra.items()},
                    tuple((int(cid), float(sent)) for cid, sent in record["r"]),
                )
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise StoreError(f"a cycle of the recording is damaged: {error}", where=self._where) from error

    def _unpack(self, chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        zipped = zlib.decompressobj()
        unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=1 << 30)
        try:
            for chunk in chunks:
                pending = chunk
                while pending:
                    unpacker.feed(zipped.decompress(pending, _CHUNK))
                    pending = zipped.unconsumed_tail
                    yield from unpacker
        except (zlib.error, msgpack.UnpackException, ValueError) as error:
            raise StoreError(f"the recording is damaged: {error}", where=self._where) from error
        self.cut = not zipped.eof


def unpacked_state(octets: bytes) -> dict[str, Any]:
    """What :func:`packed_state` packed.

    Raises:
        StoreError: it is not that.
    """
    try:
        found = msgpack.unpackb(octets, strict_map_key=False)
    except (msgpack.UnpackException, ValueError) as error:
        raise StoreError(f"a kept state is damaged: {error}") from error
    if not isinstance(found, dict):
        raise StoreError("a kept state is damaged: it is no map")
    return found


def packed_state(state: Mapping[str, Any]) -> bytes:
    """A controller's state as a recording holds it; two states are the same if these octets are."""
    return bytes(msgpack.packb(state, default=_plain))


def _packed(value: Any) -> Any:
    return [value.dtype.str, list(value.shape), value.tobytes()] if isinstance(value, np.ndarray) else value


def _unpacked(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    kind, shape, octets = value
    return np.frombuffer(octets, np.dtype(kind)).reshape(shape)


def _plain(value: Any) -> Any:
    """Numpy scalars and arrays as MessagePack knows them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be recorded")
