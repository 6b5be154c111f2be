"""``scada replay``: a recorded IEC 104 trace through the live decoder, into an isolated database."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.protocols.iec104.replay import Finding, ReplayedObject, ReplaySession
from scada.protocols.iec104.truth import Comparison, Facts, compare

_COLUMNS = (
    "frame", "time_ns", "stream", "source", "type", "cause", "negative", "test", "ca", "ioa", "value", "quality", "detail",
    "source_time_ns", "time_bits",
)  # fmt: skip


@click.command("replay")
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--expect", type=click.Path(path_type=Path), help="Truth (JSON lines, .gz or not) to compare every object with.")
@click.option("--export", type=click.Path(path_type=Path), help="Write every object to this .csv or .jsonl file.")
@click.option("--speed", type=click.FloatRange(min=0), default=0.0, help="Times real time; 0 (default) = as fast as possible.")
@click.option("--port", type=click.IntRange(1, 65535), default=2404, show_default=True, help="TCP port of the stations.")
@click.option("--values", "rows", type=click.IntRange(min=0), default=40, show_default=True, help="Rows of the value table.")
def command(trace: Path, expect: Path | None, export: Path | None, speed: float, port: int, rows: int) -> None:
    """Run a recorded IEC 104 trace (pcap, pcapng) through the live decoder and print the values it ends with.

    Nothing live is touched: the values go into a temporary database. Sequence errors, malformed frames and octets that the
    capture lacks are listed with their frame numbers.

    Exit code: 0 = the trace was read; with --expect only if every object agrees (type, cause, address, value, quality, time) in
    both directions: an object that is missing, differs, or is extra, gives 1. Sequence errors and malformed frames alone do not:
    they are faults of the trace, found. A file that cannot be read gives 1.
    """
    # imported here: LMDB is needed only when something runs
    from scada.rtdb.store import Store

    if export is not None and export.suffix not in {".csv", ".jsonl"}:
        raise ConfigError(f"cannot export to {export.suffix or 'no suffix'}", where=str(export), mend="name it .csv or .jsonl")
    with tempfile.TemporaryDirectory(prefix="scada-replay-") as folder:

        def make_database(clock: Clock) -> Store:
            return Store(Path(folder), 1, clock, map_mb=256, journal_mb=16)

        session = ReplaySession(trace, make_database, port=port, keep_objects=expect is not None or export is not None)
        try:
            _play(session, speed)
            _print_values(session, rows)
        finally:
            assert isinstance(session.database, Store)
            session.database.close()
    if export is not None:
        _write(export, session)
    _print_findings(session.findings)
    _print_statistics(session)
    if expect is not None:
        comparison = compare(expect, session.objects(), session.findings)
        _print_comparison(comparison)
        sys.exit(0 if comparison.equal else 1)


def _play(session: ReplaySession, speed: float) -> None:
    if not speed:
        session.run()
        return
    step = 0.1
    while session.step(step * speed):
        time.sleep(step)


def _print_values(session: ReplaySession, rows: int) -> None:
    values = session.values()
    if not values or not rows:
        return
    click.echo(f"{'address':<40} {'type':>4} {'cause':>5} {'quality':>8} {'source time (UTC)':<25} value")
    for item in values[:rows]:
        source_time = _utc(item.source_time_ns)
        click.echo(
            f"{item.address:<40} {item.type_id:>4} {item.cause & 0x3F:>5} {item.quality:>8x} {source_time:<25} {item.value:.9g}"
        )
    if len(values) > rows:
        click.echo(f"... and {len(values) - rows} more addresses (--values N, or --export FILE for every object)")


def _utc(time_ns: int) -> str:
    if not time_ns:
        return "-"
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{rest // 1_000_000:03d}"


def _print_findings(findings: list[Finding]) -> None:
    for finding in findings:
        where = f"frame {finding.frame} ({finding.source}, connection {finding.stream})" if finding.frame else "file"
        click.echo(f"{finding.kind}: {where}: {finding.text}")


def _print_statistics(session: ReplaySession) -> None:
    it = session.statistics
    click.echo(
        f"{it.packets} packets, {it.length_s:.3f} s, {it.apdus} APDUs, {it.objects} objects; {it.sequence_errors} sequence errors"
        f", {it.malformed} malformed, {it.lost_octets} octets lost, {it.repeated_octets} repeated"
    )


def _print_comparison(result: Comparison) -> None:
    for title, items in (("missing (truth only)", result.missing), ("extra (replay only)", result.extra)):
        for item in items:
            click.echo(f"{title}: {item}")
    for expected, found in result.differing:
        click.echo(f"differs: truth  {expected}\n         replay {found}")
    for frame in result.malformed:
        click.echo(f"malformed by the truth, accepted here: frame {frame}")
    _print_frames("extra objects by frame", result.extra)
    click.echo(
        f"{'EQUAL' if result.equal else 'NOT EQUAL'}: {result.agreed} objects agree"
        + (f" ({result.other_frame} of them in another frame)" if result.other_frame else "")
        + f", {len(result.missing)} missing, {len(result.extra)} extra, {len(result.differing)} differ"
    )


def _print_frames(title: str, items: list[Facts]) -> None:
    if items:
        frames = Counter(item.frame for item in items)
        click.echo(f"{title}: " + ", ".join(f"{frame} ({count})" for frame, count in sorted(frames.items())))


def _write(path: Path, session: ReplaySession) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                writer = csv.writer(file)
                writer.writerow(_COLUMNS)
                writer.writerows(_row(item) for item in session.objects())
            else:
                for item in session.objects():
                    file.write(json.dumps(dict(zip(_COLUMNS, _row(item), strict=True))) + "\n")
    except OSError as error:
        raise ConfigError(f"cannot write the export: {error.strerror}", where=str(path)) from error


def _row(item: ReplayedObject) -> tuple[object, ...]:
    # a value that is no number is written as text: JSON has no NaN
    value = item.value if item.value is None or item.value - item.value == 0 else str(item.value)
    return (
        item.frame, item.received_ns, item.stream, item.source, item.type_id, item.cause, item.negative, item.test,
        item.common_address, item.ioa, value, item.quality, item.detail, item.time_ns, item.time_bits,
    )  # fmt: skip
