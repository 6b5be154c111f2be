"""``scada replay``: a recorded IEC 104 trace through the live decoder, into an isolated database."""

from __future__ import annotations

import csv
import json
import math
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.protocols.iec104.capture import Finding
from scada.protocols.iec104.replay import ReplayedObject, ReplaySession
from scada.protocols.iec104.truth import Comparison, Facts, compare, write

_COLUMNS = (
    "frame", "time_ns", "stream", "source", "type", "cause", "negative", "test", "ca", "ioa", "value", "quality", "detail",
    "source_time_ns", "time_bits",
)  # fmt: skip


@click.command("replay")
@click.argument("trace", type=click.Path(path_type=Path))
@click.option(
    "--expect", type=click.Path(path_type=Path), help="Expectation (JSON lines, .gz or not) to compare every object with."
)
@click.option("--write-expect", type=click.Path(path_type=Path), help="Write what is found as an expectation for later replays.")
@click.option("--export", type=click.Path(path_type=Path), help="Write every object to this .csv or .jsonl file.")
@click.option("--speed", type=click.FloatRange(min=0), help="Times real time; 0 = flat out. Default 0, with --serve 1.")
@click.option("--from", "start_s", type=click.FloatRange(min=0), default=0.0, help="Jump to this second of the trace first.")
@click.option("--until", "end_s", type=click.FloatRange(min=0), help="Stop at this second of the trace.")
@click.option(
    "--step", "stepping", is_flag=True, help="Stop after each frame: Enter = next, N = N frames, Ns = N seconds, q = end."
)
@click.option("--loop", is_flag=True, help="With --serve: begin again at the end.")
@click.option("--port", type=click.IntRange(1, 65535), default=2404, show_default=True, help="TCP port of the recorded stations.")
@click.option("--values", "rows", type=click.IntRange(min=0), default=40, show_default=True, help="Rows of the value table.")
@click.option("--serve", metavar="[HOST:]PORT", help="Play the trace as an outstation that any master may connect to.")
@click.option("--station", default="", help="With --serve: host of the recorded station; default the one that sent most.")
@click.option("--retime", is_flag=True, help="With --serve: move the time tags, so that they are as fresh as they were.")
@click.option("--accept-commands", is_flag=True, help="With --serve: confirm commands, though nothing moves; else refuse them.")
def command(
    trace: Path,
    *,
    expect: Path | None,
    write_expect: Path | None,
    export: Path | None,
    speed: float | None,
    start_s: float,
    end_s: float | None,
    stepping: bool,
    loop: bool,
    port: int,
    rows: int,
    serve: str | None,
    station: str,
    retime: bool,
    accept_commands: bool,
) -> None:
    """Run a recorded IEC 104 trace (pcap, pcapng) through the live decoder and print the values it ends with.

    Nothing live is touched: the values go into a temporary database. Sequence errors, malformed frames and octets that the
    capture lacks are listed with their frame numbers. The last line has the digest of the journal: the same trace gives the same
    digest every time, at every speed.

    \b
    scada replay day.pcapng --write-expect day.jsonl.gz    what today's decoder finds
    scada replay day.pcapng --expect day.jsonl.gz          is it still the same?
    scada replay day.pcapng --from 3600 --speed 10         from the second hour on, ten times as fast
    scada replay day.pcapng --serve 2404 --retime          as an outstation, against a master under test

    Exit code: 0 = the trace was read; with --expect only if every object agrees (type, cause, address, value, quality, time) in
    both directions: an object that is missing, differs, or is extra, gives 1. Sequence errors and malformed frames alone do not:
    they are faults of the trace, found. A file that cannot be read gives 1.
    """  # noqa: D301 - click's mark of lines that stay as they are
    if serve is None and (loop or station or retime or accept_commands):
        raise click.UsageError("--loop, --station, --retime and --accept-commands belong to --serve")
    if serve is not None:
        from scada.cli.replay_station import serve_trace

        pace = 1.0 if speed is None else speed or math.inf
        serve_trace(
            trace, serve, port=port, station=station, speed=pace, loop=loop, retime=retime, accept_commands=accept_commands
        )
        return
    # imported here: LMDB is needed only when something runs
    from scada.rtdb.store import Store

    if export is not None and export.suffix not in {".csv", ".jsonl"}:
        raise ConfigError(f"cannot export to {export.suffix or 'no suffix'}", where=str(export), mend="name it .csv or .jsonl")
    with tempfile.TemporaryDirectory(prefix="scada-replay-") as folder:

        def make_database(clock: Clock) -> Store:
            return Store(Path(folder), 1, clock, map_mb=256, journal_mb=16)

        session = ReplaySession(trace, make_database, port=port, keep_objects=any((expect, export, write_expect)))
        try:
            if start_s:
                session.step(start_s)
            _play(session, speed or 0.0, end_s, stepping=stepping)
            _print_values(session, rows)
        finally:
            assert isinstance(session.database, Store)
            session.database.close()
    if export is not None:
        _write(export, session)
    if write_expect is not None:
        click.echo(f"{write(write_expect, session.objects(), session.findings)} objects written to {write_expect}")
    _print_findings(session.findings)
    _print_statistics(session)
    if expect is not None:
        comparison = compare(expect, session.objects(), session.findings)
        _print_comparison(comparison)
        sys.exit(0 if comparison.equal else 1)


def _play(session: ReplaySession, speed: float, end_s: float | None, *, stepping: bool) -> None:
    end = math.inf if end_s is None else end_s
    if stepping:
        _step_by_hand(session)
    elif not speed:
        session.step(end - session.statistics.position_s)
    else:
        step = 0.1
        while session.statistics.position_s < end and session.step(min(step * speed, end - session.statistics.position_s)):
            time.sleep(step)


def _step_by_hand(session: ReplaySession) -> None:
    """Enter by Enter; what is new is printed."""
    shown = 0
    more = True
    while more:
        answer = click.prompt("next", default="1", show_default=False, prompt_suffix="> ").strip().lower()
        if answer == "q":
            return
        try:
            more = session.step(float(answer[:-1])) if answer.endswith("s") else session.step_frames(int(answer))
        except ValueError:
            click.echo("Enter = next frame, N = N frames, Ns = N seconds, q = end")
            continue
        changed = sorted(session.values(), key=lambda value: -value.time_ns)
        it = session.statistics
        click.echo(f"{it.position_s:.3f} s of {it.length_s:.3f} s, {it.apdus} APDUs, {it.objects - shown} new objects")
        shown = it.objects
        for value in changed[:5]:
            click.echo(f"  {_utc(value.time_ns)}  {value.address} = {value.value:.9g}")


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
        f", {it.malformed} malformed, {it.lost_octets} octets lost, {it.repeated_octets} repeated; journal {session.digest}"
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
