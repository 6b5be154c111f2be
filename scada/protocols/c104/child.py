"""The c104 process of one channel: ``python -m scada.protocols.c104.child``, started by the driver with two pipes and TZ=UTC.

What c104 2.2.1 gets wrong is kept out of its way where that is possible:

- ``on_receive_raw`` leaks every frame: it is not used, so nobody listens on this wire.
- a connection may stay muted for ever after its start: its state is watched, and it is unmuted.
- a new address that nobody adds drops the rest of its ASDU: every unknown address is added, and counted.
- times come as local without a zone: this process lives in UTC.

What is not possible is in docs/protocols/iec104.md.
"""

import json
import os
import queue
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC
from typing import Any

import c104
import numpy as np

from scada.core.batch import POINT_DTYPE, RecordFlag
from scada.core.clock import NS_PER_S, Clock, SystemClock
from scada.protocols.c104.frames import HEAD, RECORDS, frame, message

_MEASURED = {9, 10, 11, 12, 13, 14, 15, 16, 21, 34, 35, 36, 37}
_INTERROGATED = range(20, 42)
_QUALITY_MASK = 0xF1
_WAITING = 1000
"""Values and messages that may wait for the pipe; beyond, c104's own threads wait, and with them the station."""
_AT_ONCE = 2000
_POLL_S = 0.05
_STEPS = (c104.Step.LOWER, c104.Step.HIGHER)
_DOUBLES = (c104.Double.INTERMEDIATE, c104.Double.OFF, c104.Double.ON, c104.Double.INDETERMINATE)

Row = tuple[int, float, int, int, int, int, int]
_COLUMNS = ("pid", "value", "quality", "source_time", "cause", "type_id", "flags")


class Child:
    """One c104 client with one connection.

    Args:
        setup: address, parameters, points and controls, as the driver wrote them.
        clock: for telling a time-out from a refusal.
    """

    def __init__(self, setup: dict[str, Any], clock: Clock) -> None:
        self._setup = setup
        self._clock = clock
        self._out: queue.Queue[Row | bytes] = queue.Queue(_WAITING)
        self._channel = int(setup["channel"])
        self._zone_ns = int(setup["zone_minutes"]) * 60 * NS_PER_S
        self._timeout_s = float(setup["command_timeout_s"])
        self._client: Any = c104.Client(tick_rate_ms=50, command_timeout_ms=round(1000 * self._timeout_s))
        connection: Any = self._client.add_connection(ip=setup["host"], port=setup["port"], init=c104.Init.NONE)
        self._connection = connection
        self._connection.originator_address = int(setup["originator"])
        for name, value in setup["protocol"].items():
            setattr(self._connection.protocol_parameters, name, value)
        self._keep: list[Any] = []  # c104 holds no reference to callbacks
        self._commands: dict[int, Any] = {}
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._add_points()

    # ------------------------------------------------------------------ set-up

    def _station(self, common_address: int) -> Any:
        return self._connection.get_station(common_address) or self._connection.add_station(common_address)

    def _add_points(self) -> None:
        for pid, common_address, ioa, type_id, scale, offset in self._setup["points"]:
            point = self._station(common_address).add_point(io_address=ioa, type=_type(type_id))
            self._listen(point, self._receiver(pid, type_id, scale, offset))
        for cid, common_address, ioa, type_id, select in self._setup["controls"]:
            mode = c104.CommandMode.SELECT_AND_EXECUTE if select else c104.CommandMode.DIRECT
            self._commands[cid] = self._station(common_address).add_point(io_address=ioa, type=_type(type_id), command_mode=mode)

        def new_point(client: Any, station: Any, io_address: int, point_type: Any) -> None:
            del client
            point = station.add_point(io_address=io_address, type=point_type)
            address = f"CA {station.common_address} IOA {io_address} type {point_type.name}"
            self._listen(point, lambda _point, _cause: self._out.put(message("unknown", address=address)))

        def new_station(client: Any, connection: Any, common_address: int) -> None:
            del client
            connection.add_station(common_address)

        # c104 compares annotations as written with its own, so that they must be classes
        new_point.__annotations__ = {
            "client": c104.Client, "station": c104.Station, "io_address": int, "point_type": c104.Type, "return": None,
        }  # fmt: skip
        new_station.__annotations__ = {
            "client": c104.Client, "connection": c104.Connection, "common_address": int, "return": None,
        }  # fmt: skip
        self._client.on_new_point(new_point)
        self._client.on_new_station(new_station)
        self._keep += [new_point, new_station]

    def _listen(self, point: Any, take: Callable[[Any, int], None]) -> None:
        def received(point: Any, previous_info: Any, message: Any) -> Any:
            del previous_info
            take(point, int(message.cot.value))
            return c104.ResponseState.SUCCESS

        received.__annotations__ = {
            "point": c104.Point,
            "previous_info": c104.Information,
            "message": c104.IncomingMessage,
            "return": c104.ResponseState,
        }
        point.on_receive(received)
        self._keep += [point, received]

    def _receiver(self, pid: int, type_id: int, scale: float, offset: float) -> Callable[[Any, int], None]:
        def take(point: Any, cause: int) -> None:
            info = point.info
            quality = int(getattr(info.quality, "value", 0)) & _QUALITY_MASK
            flags = int(RecordFlag.REFRESH) if cause in _INTERROGATED else 0
            if not flags and type_id not in _MEASURED:
                flags = int(RecordFlag.EVENT)
            self._out.put((pid, _number(info) * scale + offset, quality, self._time_ns(info), cause, type_id, flags))

        return take

    def _time_ns(self, info: Any) -> int:
        """Source time; c104 gives the fields of the time tag as local time, which is UTC in this process."""
        at = info.recorded_at
        if at is None:
            return 0
        aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        milliseconds = round(aware.timestamp() * 1000)
        return int(milliseconds) * 1_000_000 - self._zone_ns

    # ------------------------------------------------------------------ work

    def run(self) -> None:
        """Connect and serve until the pipe from the server closes."""
        threading.Thread(target=self._write, daemon=True).start()
        self._client.start()
        threading.Thread(target=self._watch, daemon=True).start()
        while (head := sys.stdin.buffer.read(HEAD.size)) and len(head) == HEAD.size:
            length, _ = HEAD.unpack(head)
            order = json.loads(sys.stdin.buffer.read(length))
            threading.Thread(target=self._carry_out, args=(order,), daemon=True).start()

    def _watch(self) -> None:
        """Tell every change of state; a connection that c104 forgot to start is started."""
        told = ""
        pause = threading.Event()
        while True:
            state = self._connection.state
            if state == c104.ConnectionState.OPEN_MUTED:
                self._connection.unmute()
            now = {"OPEN": "up", "CLOSED_AWAIT_OPEN": "connecting", "CLOSED_AWAIT_RECONNECT": "down"}.get(state.name, told)
            if told == "up" and now == "connecting":
                now = "down"
            if now != told:
                told = now
                self._out.put(message("state", state=now, reason=f"c104 says {state.name}"))
            pause.wait(_POLL_S)

    def _carry_out(self, order: dict[str, Any]) -> None:
        turn = self._turns[f"{order['what']} {order.get('cid')}"]  # c104 has one value a point, and one order of a kind at a time
        if not turn.acquire(blocking=order["what"] != "command"):
            self._answer(order, "refused", "another command of this control is on its way")
            return
        began = self._clock.monotonic()
        try:
            done = self._do(order)
        except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError) as error:
            self._answer(order, "refused", f"c104: {error}")
            return
        finally:
            turn.release()
        if done:
            self._answer(order, "confirmed", "")
        elif not self._connection.is_connected:
            self._answer(order, "link_down", "the connection ended before the station answered")
        elif self._clock.monotonic() - began >= 0.9 * self._timeout_s:
            self._answer(order, "timeout", f"no answer within {self._timeout_s:g} s; the station may have acted")
        else:
            self._answer(order, "refused", "negative answer; c104 does not say which")

    def _answer(self, order: dict[str, Any], outcome: str, reason: str) -> None:
        self._out.put(message("answer", id=order["id"], outcome=outcome, reason=reason))

    def _do(self, order: dict[str, Any]) -> bool:
        stations = self._setup["common_addresses"]
        activation, station_qualifier = c104.Cot.ACTIVATION, c104.Qoi.STATION
        match order["what"]:
            case "interrogate":
                ask = self._connection.interrogation
                return all(ask(common_address=one, cause=activation, qualifier=station_qualifier) for one in stations)
            case "clock":
                return all(self._connection.clock_sync(common_address=one) for one in stations)
            case _:
                point = self._commands[int(order["cid"])]
                point.value = _command(int(point.type.value), float(order["value"]))
                return bool(point.transmit(cause=activation))

    def _write(self) -> None:
        """Everything to the pipe, values that stand together in one frame."""
        while True:
            items = [self._out.get()]
            while len(items) < _AT_ONCE:
                try:
                    items.append(self._out.get_nowait())
                except queue.Empty:
                    break
            rows: list[Row] = []
            for item in [*items, b""]:
                if isinstance(item, tuple):
                    rows.append(item)
                    continue
                if rows:
                    sys.stdout.buffer.write(frame(RECORDS, self._records(rows)))
                    rows = []
                sys.stdout.buffer.write(item)
            sys.stdout.buffer.flush()

    def _records(self, rows: list[Row]) -> bytes:
        records = np.zeros(len(rows), dtype=POINT_DTYPE)
        for name, column in zip(_COLUMNS, zip(*rows, strict=True), strict=True):
            records[name] = column
        records["channel"] = self._channel
        return records.tobytes()


def _type(type_id: int) -> Any:
    for kind in c104.Type.__members__.values():
        if kind.value == type_id:
            return kind
    raise ValueError(f"c104 does not know type {type_id}")


def _number(info: Any) -> float:
    """The raw value; normalized values and counters come in wrappers."""
    raw = info.actual if hasattr(info, "actual") else info.value
    raw = getattr(raw, "value", raw)
    return float(int(str(raw), 2)) if isinstance(raw, c104.Byte32) else float(raw)


def _command(type_id: int, value: float) -> Any:
    match type_id:
        case 45 | 58:
            return value != 0
        case 46 | 59:
            return _DOUBLES[int(value) & 3]
        case 47 | 60:
            return _STEPS[int(value) - 1]
        case 48 | 61:
            return c104.NormalizedFloat(value)
        case 49 | 62:
            return c104.Int16(round(value))
        case _:
            return value


def _end_with(failed: threading.ExceptHookArgs) -> None:
    """A thread failed: better a process that is started again than one that lives and says nothing."""
    sys.__excepthook__(failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback)
    os._exit(1)


def main() -> None:
    """Serve one channel; ends with the pipe from the server."""
    threading.excepthook = _end_with
    length, _ = HEAD.unpack(sys.stdin.buffer.read(HEAD.size))
    child = Child(json.loads(sys.stdin.buffer.read(length)), SystemClock())
    child.run()
    os._exit(0)  # c104's own threads may hang at a clean end


if __name__ == "__main__":
    main()
