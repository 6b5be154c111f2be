"""c104 as a station or a master in a process of its own, for the interop matrix; JSON lines on stdin and stdout.

usage: c104_matrix_peer.py station PORT | master PORT
"""

import datetime as dt
import json
import os
import sys
import threading
import time

os.environ["TZ"] = "UTC"  # its times are local ones without a zone
time.tzset()

import c104  # noqa: E402 - after the zone is set

from scada.core.clock import SystemClock  # noqa: E402 - after c104

OUT = threading.Lock()
KINDS = {"single": (100, c104.Type.M_SP_TB_1), "double": (200, c104.Type.M_DP_TB_1), "short": (300, c104.Type.M_ME_TF_1)}
DOUBLES = (c104.Double.INTERMEDIATE, c104.Double.OFF, c104.Double.ON, c104.Double.INDETERMINATE)


def say(**what):
    with OUT:
        print(json.dumps(what), flush=True)


def information(name, value, time_ms):
    at = dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC)
    if name == "single":
        return c104.SingleInfo(bool(value), c104.Quality(), at)
    if name == "double":
        return c104.DoubleInfo(DOUBLES[int(value)], c104.Quality(), at)
    return c104.ShortInfo(value, c104.Quality(), at)


def station(port):
    server = c104.Server(ip="127.0.0.1", port=port, tick_rate_ms=50, select_timeout_ms=2000)
    unit = server.add_station(common_address=1)
    points, keep = {}, []
    for name, (ioa, kind) in KINDS.items():
        points[name] = unit.add_point(io_address=ioa, type=kind)
        points[name].info = information(name, {"single": 0, "double": 1, "short": 12.5}[name], SystemClock().now_ns() / 1e6)
    counter = unit.add_point(io_address=800, type=c104.Type.M_IT_NA_1)
    counter.info = c104.BinaryCounterInfo(4711, c104.UInt5(0), c104.BinaryCounterQuality(), None)

    def received(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
        value = point.info.value
        step = "select" if message.is_select_command else "execute"
        say(command=point.io_address, step=step, value=float(getattr(value, "value", value)))
        return c104.ResponseState.SUCCESS

    def clock(server: c104.Server, ip: str, date_time: dt.datetime) -> c104.ResponseState:
        say(clock=True)
        return c104.ResponseState.SUCCESS

    for ioa, kind, mode in (
        (5000, c104.Type.C_DC_NA_1, c104.CommandMode.SELECT_AND_EXECUTE),
        (5001, c104.Type.C_SC_NA_1, c104.CommandMode.DIRECT),
    ):
        point = unit.add_point(io_address=ioa, type=kind, command_mode=mode)
        point.on_receive(received)
        keep.append(point)
    server.on_clock_sync(clock)
    server.start()
    say(ready=True)
    for line in sys.stdin:
        order = json.loads(line)
        name = order["set"]
        points[name].info = information(name, order["value"], order["time_ms"])
        points[name].transmit(cause=c104.Cot.SPONTANEOUS)
    os._exit(0)


def master(port):
    client = c104.Client(tick_rate_ms=50, command_timeout_ms=3000)
    connection = client.add_connection(ip="127.0.0.1", port=port, init=c104.Init.NONE)
    unit = connection.add_station(common_address=1)
    keep = []

    def value(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
        info = point.info
        raw = getattr(info, "actual", None) or info.value
        at = info.recorded_at
        stamp = round(at.replace(tzinfo=at.tzinfo or dt.UTC).timestamp() * 1000) if at else None
        say(told=point.io_address, value=float(getattr(raw, "value", raw)), time_ms=stamp, cause=message.cot.value)
        return c104.ResponseState.SUCCESS

    def new_point(client: c104.Client, station: c104.Station, io_address: int, point_type: c104.Type) -> None:
        point = station.add_point(io_address=io_address, type=point_type)
        point.on_receive(value)
        keep.append(point)

    client.on_new_point(new_point)
    double = unit.add_point(io_address=5000, type=c104.Type.C_DC_NA_1, command_mode=c104.CommandMode.SELECT_AND_EXECUTE)
    single = unit.add_point(io_address=5001, type=c104.Type.C_SC_NA_1, command_mode=c104.CommandMode.DIRECT)
    client.start()

    def watch():
        was = False
        while True:
            if connection.state == c104.ConnectionState.OPEN_MUTED:
                connection.unmute()  # its own start loses a race now and then
            now = connection.state == c104.ConnectionState.OPEN
            if now != was:
                was = now
                say(up=now)
            time.sleep(0.05)

    threading.Thread(target=watch, daemon=True).start()
    activation = c104.Cot.ACTIVATION

    def carry_out(order):
        match order:
            case "interrogate":
                return connection.interrogation(common_address=1, cause=activation, qualifier=c104.Qoi.STATION)
            case "counters":
                return connection.counter_interrogation(common_address=1, cause=activation)
            case "clock":
                return connection.clock_sync(common_address=1)
            case "direct":
                single.value = True
                return single.transmit(cause=activation)
            case "sbo":
                double.value = c104.Double.ON
                return double.transmit(cause=activation)
        return False  # it has no select of its own, and so nothing to cancel

    for line in sys.stdin:
        order = json.loads(line)["do"]
        say(done=order, ok=bool(carry_out(order)))
    os._exit(0)


if __name__ == "__main__":
    {"station": station, "master": master}[sys.argv[1]](int(sys.argv[2]))
