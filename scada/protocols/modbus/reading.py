"""What was last read of a block, and the batch that tells what is new of it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from scada.core.batch import PointBatch, RecordFlag
from scada.core.quality import Quality
from scada.model_cim.tables import ChannelSpec
from scada.protocols.modbus.plan import Block


class Reading:
    """A block with its last values.

    Values read are delivered every time; unchanged ones carry ``REFRESH``, changed status and double points ``EVENT``. A block
    that could not be read keeps its last values, marked.

    Args:
        block: what is read.
        spec: channel of the batches.
        whole: the reading that this one was a part of; its last values are known.
    """

    def __init__(self, block: Block, spec: ChannelSpec, whole: Reading | None = None) -> None:
        self.block = block
        self.fault = ""
        """Why the values were marked; empty while they are good."""
        self._spec = spec
        self.fresh = True
        """Nothing was read since the connection was made."""
        self.values = np.full(len(block.points), math.nan)
        """Last values; NaN = never one."""
        if whole is not None:
            known = dict(zip(whole.block.pids.tolist(), whole.values.tolist(), strict=True))
            self.values = np.array([known[pid] for pid in block.pids.tolist()])
            self.fresh = whole.fresh

    def join(self, parts: Iterable[Reading]) -> None:
        """The block is read whole again: the last values are those of its parts, found among ``parts``."""
        known = {pid: value for part in parts for pid, value in zip(part.block.pids.tolist(), part.values.tolist(), strict=True)}
        self.values = np.array([known[pid] for pid in self.block.pids.tolist()])

    def start(self) -> None:
        """A new connection: the next values are found, not changed."""
        self.fresh, self.fault = True, ""

    def take(self, registers: npt.NDArray[np.uint16], now_ns: int) -> PointBatch:
        """Values of an answer."""
        values = self.block.decode(registers)
        readable = np.isfinite(values)
        quality = np.where(readable, 0, int(Quality.INVALID)).astype(np.uint32)
        self.fault = ""
        # a register that holds no number leaves the last value, marked invalid
        batch = self._batch(np.where(readable, values, self.values), quality, now_ns)
        self.fresh = False
        return batch

    def fail(self, bits: Quality, fault: str, now_ns: int) -> PointBatch | None:
        """The last values, marked; None if that has been said."""
        if self.fault == fault:
            return None
        self.fault = fault
        quality = np.full(len(self.block.points), int(bits), dtype=np.uint32)
        quality[np.isnan(self.values)] |= int(Quality.INVALID)
        return self._batch(self.values, quality, now_ns)

    def halves(self) -> tuple[Reading, Reading] | None:
        """In two requests; None if the block cannot be parted."""
        parts = self.block.halves()
        if parts is None:
            return None
        return Reading(parts[0], self._spec, self), Reading(parts[1], self._spec, self)

    def _batch(self, values: npt.NDArray[np.float64], quality: npt.NDArray[np.uint32], now_ns: int) -> PointBatch:
        changed = (values != self.values) & ~np.isnan(self.values)  # nobody saw a first value change
        flags = np.where(self.fresh | ~changed, RecordFlag.REFRESH, np.where(self.block.is_event, RecordFlag.EVENT, 0))
        self.values = values
        batch = PointBatch.of(
            self.block.pids,
            values,
            received_at=now_ns,
            quality=quality,
            channel=self._spec.index,
            source=self._spec.name,
        )
        batch.records["flags"] = flags
        return batch
