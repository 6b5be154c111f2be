"""Other stores at the work of group ``history``; each verb is a process of its own and prints one JSON object."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as files
from history.load import DAY_S, SECOND, T0, Block, Watch, asked, blocks
from pyarrow import dataset

BATCH = 100
"""Blocks (of 1 160 rows) written together: about what comes within a second at the rate that is aimed at."""


def batches(seconds: int, count: int = BATCH) -> Any:
    """Blocks joined; the last batch may be shorter."""
    some: list[Block] = []
    for block in blocks(seconds):
        some.append(block)
        if len(some) == count:
            yield _joined(some)
            some = []
    if some:
        yield _joined(some)


def _joined(some: list[Block]) -> Block:
    return Block(*(np.concatenate([getattr(block, name) for block in some]) for name in ("pid", "time", "value")))


def in_duckdb(folder: Path, seconds: int) -> dict[str, Any]:
    """One table in order of arrival, a transaction a batch."""
    base = duckdb.connect(str(folder / "history.duckdb"))
    base.execute("SET threads=1")
    base.execute("CREATE TABLE sample (pid UINTEGER, time BIGINT, value DOUBLE, quality UINTEGER)")
    watch, rows = Watch(), 0
    for batch in batches(seconds):

        def write(batch: Block = batch) -> None:
            quality = np.zeros(len(batch.pid), np.uint32)
            table = pa.table({"pid": batch.pid, "time": batch.time, "value": batch.value, "quality": quality})
            base.register("fresh", table)
            base.execute("INSERT INTO sample SELECT * FROM fresh")

        watch.run("batch", write)
        rows += len(batch.pid)
    watch.run("end", lambda: base.execute("CHECKPOINT"))
    size = (folder / "history.duckdb").stat().st_size
    end = T0 + seconds * SECOND
    raw = "SELECT time, value, quality FROM sample WHERE pid = ? AND time >= ? AND time < ? ORDER BY time"
    means = "SELECT time // 60000000000, min(value), max(value), avg(value) FROM sample WHERE pid = ? AND time >= ? AND time < ?"
    query = asked(lambda pid: len(base.execute(raw, [pid, T0, end]).fetchnumpy()["time"]), seconds)
    minutes = asked(lambda pid: len(base.execute(means + " GROUP BY 1", [pid, T0, end]).fetchall()), -(-seconds // 60))
    return _answer(watch, rows, size) | {"query_ms": query, "minutes_ms": minutes}


def in_parquet(folder: Path, seconds: int) -> dict[str, Any]:
    """A file an hour, sorted by point and time, zstd; until the hour is over its rows are in memory alone."""
    watch, rows = Watch(), 0
    for number, hour in enumerate(batches(seconds, 360)):

        def write(hour: Block = hour, number: int = number) -> None:
            order = np.lexsort((hour.time, hour.pid))
            quality = np.zeros(len(order), np.uint32)
            columns = {"pid": hour.pid[order], "time": hour.time[order], "value": hour.value[order], "quality": quality}
            path, split = folder / f"{number:05}.parquet", {"time": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT"}
            table = pa.table(columns)
            files.write_table(
                table, path, compression="zstd", row_group_size=36_000, use_dictionary=["pid", "quality"], column_encoding=split
            )
            with path.open("rb") as file:
                os.fsync(file.fileno())

        watch.run("hour", write)
        rows += len(hour.pid)
    size = sum(path.stat().st_size for path in folder.glob("*.parquet"))
    pa.set_cpu_count(1)
    stored, end = dataset.dataset(folder, format="parquet"), T0 + seconds * SECOND

    def ask(pid: int) -> int:
        field = dataset.field
        wanted = (field("pid") == pid) & (field("time") >= T0) & (field("time") < end)
        return int(stored.to_table(columns=["time", "value", "quality"], filter=wanted, use_threads=False).num_rows)

    return _answer(watch, rows, size) | {"query_ms": asked(ask, seconds)}


def in_postgres(folder: Path, seconds: int) -> dict[str, Any]:
    """One table with an index of point and time, binary COPY, a transaction a batch; the server is given by ``PGDSN``."""
    del folder

    base = psycopg.connect(os.environ["PGDSN"], autocommit=True)
    base.execute("CREATE TABLE sample (pid int4 NOT NULL, time int8 NOT NULL, value float8 NOT NULL, quality int4 NOT NULL)")
    base.execute("CREATE INDEX ON sample (pid, time)")
    names = ("fields", "l1", "pid", "l2", "time", "l3", "value", "l4", "quality")
    row = np.dtype(list(zip(names, (">i2", ">i4", ">i4", ">i4", ">i8", ">i4", ">f8", ">i4", ">i4"), strict=True)))
    server = int(base.execute("SELECT pg_backend_pid()").fetchone()[0])  # type: ignore[index]
    watch, rows = Watch(), 0
    for batch in batches(seconds):

        def write(batch: Block = batch) -> None:
            tuples = np.zeros(len(batch.pid), row)
            tuples["fields"], tuples["l1"], tuples["l2"], tuples["l3"], tuples["l4"] = 4, 4, 8, 8, 4
            tuples["pid"], tuples["time"], tuples["value"] = batch.pid, batch.time, batch.value
            with base.cursor().copy("COPY sample FROM STDIN (FORMAT binary)") as copy:
                copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
                copy.write(tuples.tobytes())
                copy.write(b"\xff\xff")

        watch.run("batch", write, lambda: time.process_time() + _cpu_of(server))
        rows += len(batch.pid)
    base.execute("VACUUM ANALYZE sample")
    size = int(base.execute("SELECT pg_total_relation_size('sample')").fetchone()[0])  # type: ignore[index]
    raw = "SELECT time, value, quality FROM sample WHERE pid = %s AND time >= %s AND time < %s ORDER BY time"
    end = T0 + seconds * SECOND

    def ask(pid: int) -> int:
        with base.cursor(binary=True) as cursor:
            return len(cursor.execute(raw, [pid, T0, end]).fetchall())

    return _answer(watch, rows, size) | {"query_ms": asked(ask, seconds)}


def _answer(watch: Watch, rows: int, size: int) -> dict[str, Any]:
    return {"rows": rows, "rate": rows / watch.wall_s, "cpu_us": watch.cpu_s / rows * 1e6, "bytes_per_row": size / rows}


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run one store."""
    parser = argparse.ArgumentParser()
    stores = {"duckdb": in_duckdb, "parquet": in_parquet, "postgres": in_postgres}
    parser.add_argument("store", choices=stores)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=DAY_S)
    given = parser.parse_args()
    print(json.dumps(stores[given.store](given.folder, given.seconds)), flush=True)


if __name__ == "__main__":
    main()
