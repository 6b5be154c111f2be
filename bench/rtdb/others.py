"""Other stores at the work of group ``rtdb``; each verb is a process of its own and prints one JSON object.

Every store keeps the same 28 octets a point: value, source time, receive time, quality. None of the peers keeps a journal of
changes beside the present values; ours does.
"""

from __future__ import annotations

import argparse
import json
import socket
import sqlite3
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from rtdb.load import POINTS, addresses, drive
from workers import cpu_seconds

ROW = struct.Struct("<dqqI")
STAMP = 1_800_000_000_000_000_000


def numpy_array(_folder: Path, seconds: float, *, scattered: bool) -> dict[str, Any]:
    """Columns in memory written in place: the limit, without any comparison, journal or crash safety."""
    rows = addresses(scattered=scattered)
    value, source, received = np.zeros(POINTS), np.zeros(POINTS, np.int64), np.zeros(POINTS, np.int64)
    quality = np.zeros(POINTS, np.uint32)
    columns = [np.full(rows.shape[1], number + 1.0) for number in range(2)]

    def apply(number: int) -> None:
        pids = rows[number % len(rows)]
        value[pids] = columns[number // len(rows) % 2]
        source[pids] = STAMP
        received[pids] = STAMP
        quality[pids] = 0

    return drive(apply, lambda: None, seconds).shown()


def sqlite(folder: Path, seconds: float, *, scattered: bool, durable: bool = False) -> dict[str, Any]:
    """One row a point, WAL."""
    folder.mkdir(parents=True, exist_ok=True)
    base = sqlite3.connect(folder / "points.sqlite", isolation_level=None)
    base.execute("PRAGMA journal_mode=WAL")
    base.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    base.execute("CREATE TABLE points (pid INTEGER PRIMARY KEY, value REAL, source_time INT, received_at INT, quality INT)")
    base.execute("BEGIN")
    base.executemany("INSERT INTO points VALUES (?, 0, 0, 0, 0)", ((pid,) for pid in range(POINTS)))
    base.execute("COMMIT")
    rows = [pids.tolist() for pids in addresses(scattered=scattered)]
    base.execute("BEGIN")

    def apply(number: int) -> None:
        value = number // len(rows) + 1.0
        base.executemany(
            "UPDATE points SET value=?, source_time=?, received_at=?, quality=? WHERE pid=?",
            [(value, STAMP, STAMP, 0, pid) for pid in rows[number % len(rows)]],
        )

    def commit() -> None:
        base.execute("COMMIT")
        base.execute("BEGIN")

    run = drive(apply, commit, seconds)
    base.close()
    return run.shown()


def lmdb_keys(folder: Path, seconds: float, *, scattered: bool) -> dict[str, Any]:
    """One LMDB key a point."""
    import lmdb  # noqa: PLC0415 - the environments of the peers differ

    folder.mkdir(parents=True, exist_ok=True)
    env = lmdb.open(str(folder), map_size=2 << 30, metasync=False, lib_version=0)
    keys = [pid.to_bytes(4, "big") for pid in range(POINTS)]
    with env.begin(write=True) as txn:
        txn.cursor().putmulti([(key, ROW.pack(0.0, 0, 0, 0)) for key in keys])
    rows = [[keys[pid] for pid in pids.tolist()] for pids in addresses(scattered=scattered)]
    txn = env.begin(write=True)

    def apply(number: int) -> None:
        value = number // len(rows) + 1.0
        txn.cursor().putmulti([(key, ROW.pack(value, STAMP, STAMP, 0)) for key in rows[number % len(rows)]])

    def commit() -> None:
        nonlocal txn
        txn.commit()
        txn = env.begin(write=True)

    run = drive(apply, commit, seconds)
    txn.abort()
    env.close()
    return run.shown()


def redis_pipeline(folder: Path, seconds: float, *, scattered: bool) -> dict[str, Any]:
    """One key a point, a pipeline a batch; the server keeps nothing on disk. And how long one MGET of all points takes."""
    import redis  # noqa: PLC0415 - the environments of the peers differ

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "redis.socket"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(path)
        client = redis.Redis(unix_socket_path=str(path))
        keys = [f"p{pid}" for pid in range(POINTS)]
        empty = ROW.pack(0.0, 0, 0, 0)
        for start in range(0, POINTS, 50_000):
            client.mset(dict.fromkeys(keys[start : start + 50_000], empty))
        rows = [[keys[pid] for pid in pids.tolist()] for pids in addresses(scattered=scattered)]

        def apply(number: int) -> None:
            value = number // len(rows) + 1.0
            pipe = client.pipeline(transaction=False)
            for key in rows[number % len(rows)]:
                pipe.set(key, ROW.pack(value, STAMP, STAMP, 0))
            pipe.execute()

        run = drive(apply, lambda: None, seconds, lambda: time.process_time() + cpu_seconds(server.pid))
        began = time.perf_counter()
        found = client.mget(keys)
        took = time.perf_counter() - began
        assert len(found) == POINTS
        return run.shown() | {"mget_ms": took * 1e3}
    finally:
        server.terminate()
        server.wait()


def _wait_for(path: Path) -> None:
    """Until a server listens on a socket."""
    for _ in range(500):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"no server came up at {path.name}")


def main() -> None:
    """Run one store."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store", choices=["numpy", "sqlite", "sqlite-full", "lmdb", "redis"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--scattered", action="store_true")
    given = parser.parse_args()
    arguments: dict[str, Any] = {"scattered": given.scattered}
    match given.store:
        case "numpy":
            answer = numpy_array(given.folder, given.seconds, **arguments)
        case "sqlite":
            answer = sqlite(given.folder, given.seconds, **arguments)
        case "sqlite-full":
            answer = sqlite(given.folder, given.seconds, durable=True, **arguments)
        case "lmdb":
            answer = lmdb_keys(given.folder, given.seconds, **arguments)
        case _:
            answer = redis_pipeline(given.folder, given.seconds, **arguments)
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
