"""A c104 station or master in a process of its own; talks to the test in JSON lines on stdin and stdout.

usage: c104_peer.py station PORT | master PORT
"""

import datetime as dt
import json
import sys
import threading
import time

import c104

OUT = threading.Lock()


def say(**what):
    with OUT:
        print(json.dumps(what), flush=True)


def station(port):
    """Points of every monitored kind and three commands; answers the test's orders."""
    server = c104.Server(ip="127.0.0.1", port=port, tick_rate_ms=50, select_timeout_ms=2000)
    unit = server.add_station(common_address=1)
    now = dt.datetime.fromtimestamp(1_780_000_000.125, tz=dt.UTC)
    kinds = c104.Type
    infos = {
        100: (kinds.M_SP_NA_1, c104.SingleInfo(True)),
        200: (kinds.M_DP_NA_1, c104.DoubleInfo(c104.Double.ON)),
        300: (kinds.M_ST_NA_1, c104.StepInfo(c104.Int7(-7), True)),
        400: (kinds.M_BO_NA_1, c104.BinaryInfo(c104.Byte32(0x81020304))),
        500: (kinds.M_ME_NA_1, c104.NormalizedInfo(c104.NormalizedFloat(-0.5))),
        600: (kinds.M_ME_NB_1, c104.ScaledInfo(c104.Int16(-1234))),
        700: (kinds.M_ME_NC_1, c104.ShortInfo(12.5, c104.Quality.NonTopical)),
        900: (kinds.M_ME_TF_1, c104.ShortInfo(99.5, c104.Quality(), now)),
        901: (kinds.M_DP_TB_1, c104.DoubleInfo(c104.Double.OFF, c104.Quality(), now)),
    }
    points = {}
    for ioa, (kind, info) in infos.items():
        points[ioa] = unit.add_point(io_address=ioa, type=kind)
        points[ioa].info = info

    def received(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
        say(command=point.io_address, value=str(point.info.value), select=message.is_select_command)
        return c104.ResponseState.SUCCESS

    direct, sbo = c104.CommandMode.DIRECT, c104.CommandMode.SELECT_AND_EXECUTE
    keep = []
    for ioa, kind, mode in ((5000, kinds.C_DC_NA_1, sbo), (5001, kinds.C_SE_NC_1, direct), (5002, kinds.C_SC_TA_1, direct)):
        point = unit.add_point(io_address=ioa, type=kind, command_mode=mode)
        point.on_receive(received)
        keep.append(point)
    server.start()
    say(ready=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "short" in order:
            points[700].info = c104.ShortInfo(order["short"])
            points[700].transmit(cause=c104.Cot.SPONTANEOUS)
    server.stop()


TIMED = {
    58: (c104.Type.C_SC_TA_1, lambda value, at: c104.SingleCmd(on=bool(value), recorded_at=at)),
    59: (c104.Type.C_DC_TA_1, lambda value, at: c104.DoubleCmd(state=c104.Double.ON, recorded_at=at)),
    60: (c104.Type.C_RC_TA_1, lambda value, at: c104.StepCmd(direction=c104.Step.HIGHER, recorded_at=at)),
    61: (c104.Type.C_SE_TA_1, lambda value, at: c104.NormalizedCmd(target=c104.NormalizedFloat(value), recorded_at=at)),
    62: (c104.Type.C_SE_TB_1, lambda value, at: c104.ScaledCmd(target=c104.Int16(int(value)), recorded_at=at)),
    63: (c104.Type.C_SE_TC_1, lambda value, at: c104.ShortCmd(target=value, recorded_at=at)),
    64: (
        c104.Type.C_BO_TA_1,
        lambda value, at: c104.BinaryCmd(blob=c104.Byte32(int(value).to_bytes(4, "little")), recorded_at=at),
    ),
}
"""Commands with a time tag, by their type."""


def master(port):
    """Connects, takes every value it is told, and sends the commands that the test asks for."""
    client = c104.Client(tick_rate_ms=50, command_timeout_ms=3000)
    connection = client.add_connection(ip="127.0.0.1", port=port, init=c104.Init.NONE)
    unit = connection.add_station(common_address=1)

    def value(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
        info = point.info
        raw = info.actual if hasattr(info, "actual") else info.value
        raw = getattr(raw, "value", raw)
        number = float(int(str(raw), 2)) if isinstance(raw, c104.Byte32) else float(raw)
        at = info.recorded_at
        say(
            ioa=point.io_address,
            type=point.type.name,
            value=number,
            quality=str(info.quality),
            cause=message.cot.name,
            time=at.timestamp() if at else None,
        )
        return c104.ResponseState.SUCCESS

    keep = []

    def new_point(client: c104.Client, station: c104.Station, io_address: int, point_type: c104.Type) -> None:
        point = station.add_point(io_address=io_address, type=point_type)
        point.on_receive(value)
        keep.append(point)

    client.on_new_point(new_point)
    direct, sbo = c104.CommandMode.DIRECT, c104.CommandMode.SELECT_AND_EXECUTE
    commands = {
        "double": unit.add_point(io_address=5000, type=c104.Type.C_DC_NA_1, command_mode=sbo),
        "direct_double": unit.add_point(io_address=5003, type=c104.Type.C_DC_NA_1, command_mode=direct),
        "short": unit.add_point(io_address=5001, type=c104.Type.C_SE_NC_1, command_mode=direct),
        "unknown": unit.add_point(io_address=5999, type=c104.Type.C_SC_NA_1, command_mode=direct),
    }
    timed = {
        number: unit.add_point(io_address=5000 + number, type=kind, command_mode=direct) for number, (kind, _) in TIMED.items()
    }
    client.start()
    until = time.monotonic() + 10
    while connection.state != c104.ConnectionState.OPEN and time.monotonic() < until:
        if connection.state == c104.ConnectionState.OPEN_MUTED:
            connection.unmute()  # its own start loses a race now and then
        time.sleep(0.05)
    say(ready=connection.state == c104.ConnectionState.OPEN)
    for line in sys.stdin:
        order = json.loads(line)
        if "interrogate" in order:
            say(done=connection.interrogation(common_address=1, cause=c104.Cot.ACTIVATION, qualifier=c104.Qoi.STATION))
        elif "clock" in order:
            say(done=connection.clock_sync(common_address=1))
        elif "counters" in order:
            say(done=connection.counter_interrogation(common_address=1, cause=c104.Cot.ACTIVATION))
        elif "timed" in order:
            number, wanted, at_s = order["timed"]
            at = dt.datetime.fromtimestamp(at_s, dt.UTC)
            timed[number].info = TIMED[number][1](wanted, at)
            say(done=timed[number].transmit(cause=c104.Cot.ACTIVATION))
        else:
            ((name, wanted),) = order.items()
            point = commands[name]
            point.value = c104.Double.ON if "double" in name else (bool(wanted) if name == "unknown" else wanted)
            say(done=point.transmit(cause=c104.Cot.ACTIVATION))
    client.stop()


if __name__ == "__main__":
    {"station": station, "master": master}[sys.argv[1]](int(sys.argv[2]))
