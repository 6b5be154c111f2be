"""Counts the values that c104 hands to callbacks; prints one JSON line. c104 is under the GPL: a process of its own."""

import argparse
import json
import time

import c104
from chain.blaster import FIRST_IOA, SHORT_FLOAT

COUNTED = [0]


def on_receive(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
    """Count, and read the value as a user would."""
    del previous_info, message
    if point.value is not None:
        COUNTED[0] += 1
    return c104.ResponseState.SUCCESS


def main(port: int, type_id: int, values: int) -> None:
    """Connect, start data transfer, count."""
    client = c104.Client(tick_rate_ms=100, command_timeout_ms=5000)
    connection = client.add_connection(ip="127.0.0.1", port=port, init=c104.Init.NONE)
    station = connection.add_station(common_address=1)
    kind = c104.Type.M_ME_NC_1 if type_id == SHORT_FLOAT else c104.Type.M_ME_TF_1
    for place in range(800):
        point = station.add_point(io_address=FIRST_IOA + place, type=kind)
        point.on_receive(callable=on_receive)
    client.start()
    deadline = time.monotonic() + 20
    while not connection.is_connected and time.monotonic() < deadline:
        time.sleep(0.02)
    began, used = time.perf_counter(), time.process_time_ns()
    while COUNTED[0] < values and time.perf_counter() - began < 60:
        if not COUNTED[0]:
            connection.unmute()  # its own STARTDT gets lost now and then
        time.sleep(0.02)
    used = time.process_time_ns() - used
    seen = max(1, COUNTED[0])
    print(json.dumps({"values": COUNTED[0], "ns": used / seen, "rate": seen / (time.perf_counter() - began)}), flush=True)
    client.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--type", type=int, required=True)
    parser.add_argument("--values", type=int, required=True)
    given = parser.parse_args()
    main(given.port, given.type, given.values)
