"""The audit log: appends with group commit, appends of many threads, verification of the chain and with signed Merkle roots."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from figures import Figure
from security.sessions import best
from workers import WorkerError, once

from scada.core.clock import SystemClock
from scada.security.audit import AuditLog, AuditRow, verify
from scada.security.audit_checking import check_log
from scada.security.identities import init_identities, load_identity

NAMES = ("audit.append", "audit.verify", "audit.verify.signed", "audit.append.threads", "audit.append.one")
GROUP = 500
THREADS = 32
_ENVELOPE = 290
"""Bytes of the signed envelope of a select or an execute."""
_WORK = "a select and an execute with their envelopes, and a result, in turn"


def measure(*, quick: bool) -> Iterator[Figure]:
    """Figures of the audit log."""
    try:
        found = once("security.audit_log", "--rows", str(30_000 if quick else 300_000), timeout_s=600.0)
    except WorkerError as error:
        for name in NAMES:
            yield Figure(name, None, "1/s", note=str(error))
        return
    note = f"{_WORK}; {GROUP} rows a write and synchronisation; {found['bytes']:.0f} bytes a record"
    yield Figure("audit.append", found["append"], "1/s", 50_000.0, at_least=True, note=note)
    yield Figure("audit.append.cpu", found["append_cpu"], "1/s", note="rows a second of processor time")
    yield Figure(
        "audit.verify", found["verify"], "1/s", 200_000.0, at_least=True, note="chain and numbers, a second of processor time"
    )
    yield Figure("audit.verify.signed", found["signed"], "1/s", note="the same with checkpoints and their Merkle roots")
    note = f"{THREADS} threads that wait for each row; {found['share']:.1f} rows a synchronisation"
    yield Figure("audit.append.threads", found["threads"], "1/s", note=note)
    yield Figure("audit.append.one", found["one_ms"], "ms", note="p50 of a row alone: the disk")


def rows() -> list[AuditRow]:
    """The three rows of a control."""
    names = {"actor": "operator", "station": "ws-1", "session": "ab" * 16, "sequence_id": "s-1234567"}
    names |= {"mrid": "3f6b2a10-4d0e-4b6f-9d1e-1234567890ab", "path": "East/110 kV/Q1/breaker"}
    signed = [
        AuditRow("control", step, **names, old=0.0, value=1.0, evidence=os.urandom(_ENVELOPE)) for step in ("select", "execute")
    ]
    return [*signed, AuditRow("control", "result", **names, old=0.0, value=1.0, code="success")]


def run(folder: Path, count: int) -> dict[str, float]:
    """Measure in a folder."""
    clock = SystemClock()
    init_identities(folder / "keys", clock)
    group = (rows() * GROUP)[:GROUP]
    with AuditLog(folder / "audit", clock) as log:
        log.sign_with(load_identity(folder / "keys", "server", clock), "bench", clock)
        began, busy = time.perf_counter(), time.process_time()
        for _ in range(count // GROUP):
            log.append_many(group)
        append, append_cpu = time.perf_counter() - began, time.process_time() - busy
    size = sum(path.stat().st_size for path in (folder / "audit").glob("audit.*.log"))
    written = count // GROUP * GROUP
    found = {
        "append": written / append,
        "append_cpu": written / append_cpu,
        "verify": best(lambda: _assert_whole(verify(folder / "audit") is None), written),
        "signed": best(lambda: _assert_whole(check_log(folder / "audit").whole), written),
    }
    return {**found, "bytes": size / written, **_threads(folder / "threads", max(200, count // 1000))}


def _assert_whole(whole: bool) -> None:
    assert whole


def _threads(folder: Path, each: int) -> dict[str, float]:
    clock, row, syncs, alone = SystemClock(), rows()[0], [0], []
    fdatasync = os.fdatasync

    def counted(descriptor: int) -> None:
        syncs[0] += 1
        fdatasync(descriptor)

    with AuditLog(folder, clock) as log:
        for _ in range(100):
            began = time.perf_counter()
            log.append(row)
            alone.append(time.perf_counter() - began)
        os.fdatasync = counted
        threads = [threading.Thread(target=lambda: [log.append(row) for _ in range(each)]) for _ in range(THREADS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        os.fdatasync = fdatasync
    total = THREADS * each
    return {"threads": total / took, "share": total / syncs[0], "one_ms": 1000 * statistics.median(alone)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=300_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scada-bench-", dir=os.environ.get("SCADA_BENCH_DIR")) as name:
        print(json.dumps(run(Path(name), given.rows)), flush=True)
