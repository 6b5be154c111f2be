"""Monitor direction of a controlling station: blocks of ASDUs in, one batch of values a read out, and what is odd about them.

What comes again and again is told once: an address the model does not know, a type it does not expect, a cause no value has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.batch import NO_PID, PointBatch, Records
from scada.core.quality import Quality
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import ChannelSpec, Point
from scada.protocols.driver import ChannelStatistics
from scada.protocols.iec104.asdu import ELEMENT_SIZE, REFUSAL, Asdu, Cause
from scada.protocols.iec104.codec import AddressTable, Decoded, Decoder, address_text
from scada.protocols.iec104.effects import Effect, Notice, Values
from scada.protocols.iec104.link import Block
from scada.protocols.iec104.parameters import ChannelParameters

_REMEMBERED: Final = 10_000
"""Things of one kind that are told once each; more are only counted."""
_PACKED: Final = 20
_CARRY: Final = 0x20
_ADJUSTED: Final = 0x40
_MONITORED: Final = 40
_FILE_TRANSFER: Final = range(120, 128)


class Reception:
    """Decodes what one channel receives.

    Args:
        spec: of the channel.
        parameters: time zone and what is believed of a time.
        points: what it feeds.
        statistics: counters to keep.
        observe: look on: everything comes out, unknown addresses, tests and odd causes included.
    """

    def __init__(
        self,
        spec: ChannelSpec,
        parameters: ChannelParameters,
        points: Sequence[Point],
        statistics: ChannelStatistics,
        *,
        observe: bool,
    ) -> None:
        self._name = spec.name
        self._statistics = statistics
        self._observe = observe
        window = (0.0, 0.0) if observe else (parameters.time_window_past_s, parameters.time_window_future_s)
        self._decoder = Decoder(
            AddressTable(points),
            spec.index,
            zone_minutes=parameters.time_zone_minutes,
            summer_minutes=parameters.summer_minutes,
            window_s=window,
            late_s=0.0 if observe else parameters.late_s,
            everything=observe,
        )
        self._points = self._decoder.table.addresses
        self._told: dict[str, set[tuple[int, ...]]] = {}
        self._packed: dict[int, int] = {}

    def rebind(self, points: Sequence[Point]) -> None:
        """Decode by the table of other points from now on.

        Raises:
            ConfigError: two points share an address; the present table stays.
        """
        table = AddressTable(points)
        table.succeed(self._decoder.table)
        self._decoder.table, self._points = table, table.addresses

    def decode(self, block: Block, now_ns: int) -> Decoded:
        """All values of a block, those of unknown addresses too."""
        return self._decoder.decode(block.buf, block.spans, block.objects, now_ns)

    def deliver(self, decoded: Decoded, now_ns: int) -> list[Effect]:
        """The values that go on, as one batch in wire order, and what must be told of them."""
        effects: list[Effect] = []
        self._statistics.tests += decoded.tests
        records, addresses = decoded.records, decoded.addresses
        if decoded.unknown and not self._observe:
            known = records["pid"] != NO_PID
            effects += self._on_unknown(addresses[~known], records["type_id"][~known])
            records, addresses = records[known], addresses[known]
        if not len(records):
            return effects
        self._statistics.values_in += len(records)
        self._statistics.late_values += decoded.late
        if decoded.distrusted:
            effects += self._on_distrusted(records, addresses, decoded.distrusted)
        if decoded.marked and not self._observe:
            effects += self._on_marked(records, addresses)
        effects.append(Values(PointBatch(records, now_ns, self._name), addresses))
        return effects

    def clocks(self, *, known: bool, changed: bool = False) -> None:
        """What is known of the stations' clocks.

        Args:
            known: each was right within ``late_s`` when it was set on this connection.
            changed: one was set back, or begins anew: tags from before say nothing about the order of what comes now.
        """
        self._decoder.trust_clocks(known=known)
        if changed:
            self._decoder.table.present_tags[:] = 0

    def refuse(self, asdu: Asdu) -> tuple[list[Effect], bytes]:
        """An ASDU that is no value we take and no answer: what is told, and what is sent back (empty = nothing).

        A type we do not have comes back with its content, cause 44, negative: file transfer waits for an answer. Only what is
        itself a refusal gets none, so that two stations do not answer each other for ever.
        """
        self._statistics.refused += 1
        address, type_id = asdu.common_address, asdu.type_id
        reply = b""
        key: tuple[int, ...]
        if type_id <= _MONITORED and type_id in ELEMENT_SIZE:
            kind, key = "impossible_cause", (type_id, asdu.cause, asdu.negative, address)
            sign = ", negative" if asdu.negative else ""
            text = f"type {type_id} with cause {asdu.cause}{sign} from CA {address}: no live value has it; left out"
        elif type_id in ELEMENT_SIZE or asdu.cause in REFUSAL:
            kind, key = "unexpected_asdu", (type_id, asdu.cause, asdu.negative, address)
            text = f"type {type_id} with cause {asdu.cause}{' under test' if asdu.test else ''} from CA {address}; left out"
        else:
            kind, key = "unsupported_type", (type_id, address)
            what = f"file transfer (type {type_id})" if type_id in _FILE_TRANSFER else f"type {type_id}"
            text = f"{what} from CA {address} is not supported; refused"
            if not asdu.negative:
                reply = asdu.mirror(Cause.UNKNOWN_TYPE, negative=True).encode()
        return ([Notice(kind, text)] if self._first(kind, key) else []), reply

    # ------------------------------------------------------------------ inside

    def _first(self, kind: str, key: tuple[int, ...]) -> bool:
        """Whether this has not been told; from the ten thousandth of its kind on nothing is."""
        told = self._told.setdefault(kind, set())
        if key in told or len(told) >= _REMEMBERED:
            return False
        told.add(key)
        return True

    def _on_unknown(self, addresses: npt.NDArray[np.int64], types: npt.NDArray[np.uint8]) -> list[Effect]:
        self._statistics.unknown_addresses += len(addresses)
        effects: list[Effect] = []
        for key, type_id in zip(addresses.tolist(), types.tolist(), strict=True):
            if not self._first("unknown_address", (key,)):
                continue
            point = self._points.get(key)
            if point is None:
                text = f"{address_text(key)} (type {type_id}) is not in the model; its values are left out"
                effects.append(Notice("unknown_address", text))
            else:
                assert isinstance(point.address, Iec104Address)
                text = f"{point.path}: type {type_id} came, the model has {point.address.type_id}; its values are left out"
                effects.append(Notice("type_mismatch", text))
        return effects

    def _on_distrusted(self, records: Records, addresses: npt.NDArray[np.int64], count: int) -> list[Effect]:
        """Time tags that cannot be: the station's clock is wrong and does not say so."""
        self._statistics.distrusted_times += count
        odd = (records["quality"] & np.uint32(Quality.TIME_INVALID) != 0) & (records["time_quality"] & 1 == 0)
        effects: list[Effect] = []
        for key in addresses[odd].tolist():
            if self._first("time_distrusted", (key >> 24,)):
                text = f"{address_text(key)}: its time tag lies outside the time window; the time of reception stands in"
                effects.append(Notice("time_distrusted", text))
        return effects

    def _on_marked(self, records: Records, addresses: npt.NDArray[np.int64]) -> list[Effect]:
        effects: list[Effect] = []
        marked = np.flatnonzero(np.isin(records["type_id"], (15, 37, _PACKED)))
        for row in marked.tolist():
            key, record = int(addresses[row]), records[row]
            detail = int(record["detail"])
            if record["type_id"] == _PACKED:
                effects += self._on_packed(key, int(record["value"]), detail)
            elif detail & (_CARRY | _ADJUSTED) and self._first("counter", (key, detail)):
                what = [word for bit, word in ((_CARRY, "overflowed"), (_ADJUSTED, "was adjusted")) if detail & bit]
                text = f"{self._points[key].path}: the counter {' and '.join(what)} since its last reading"
                effects.append(Notice("counter_marked", text))
        return effects

    def _on_packed(self, key: int, states: int, changed: int) -> list[Effect]:
        """A state that changed and came back between two messages is only in the change detection."""
        before = self._packed.get(key)
        self._packed[key] = states
        fleeting = changed & ~(states ^ before) & 0xFFFF if before is not None else 0
        if not fleeting:
            return []
        bits = ", ".join(str(bit) for bit in range(16) if fleeting >> bit & 1)
        return [Notice("fleeting_change", f"{self._points[key].path}: states {bits} changed and came back between two messages")]
