"""``scada history export`` and ``import``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.history_client import LocalZone, find_points, moment, period_pages, sample_pages, server_time
from scada.cli.history_import import Import, read_file
from scada.cli.link import Link, pass_link
from scada.core.errors import ScadaError
from scada.history.exchange import PERIOD_VALUES, SAMPLE_VALUES, CsvWriter, FileError, Page, Writer

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

STDOUT = Path("-")
SHOWN = 20
"""Refused rows that are named; the others are counted."""


def _zone(_: click.Context, option: click.Parameter, name: str) -> tzinfo:
    """The zone of an option: ``utc``, ``local`` or a name like Asia/Shanghai."""
    if name.lower() == "utc":
        return UTC
    if name.lower() == "local":
        return LocalZone()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise click.BadParameter(f"there is no time zone {name!r}", param=option) from error


@click.command()
@click.option("--point", "paths", multiple=True, required=True, help="Path, mRID, or a pattern of paths with *; repeatable.")
@click.option("--from", "since", required=True, help="Start.")
@click.option("--to", "until", default="now", show_default=True, help="End, excluded.")
@click.option("--period", type=click.IntRange(60), default=None, help="Statistics by periods of so many seconds (times 60).")
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--zone", default="utc", show_default=True, callback=_zone, help="Of the times in CSV: utc, local, or a name.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=STDOUT, help="File; default: standard output (CSV).")
@pass_link
def export(
    link: Link, *, paths: tuple[str, ...], since: str, until: str, period: int | None, kind: str, zone: tzinfo, output: Path
) -> None:
    """Write samples, or statistics by period, to CSV or Parquet.

    Every sample is written as it was kept, point by point in order of time; an empty value is not known. The file appears under
    its name only when it is whole.
    """
    if kind == "parquet" and output == STDOUT:
        raise click.BadParameter("Parquet needs a file", param_hint="--output")
    if period and period % 60:
        raise click.BadParameter("the period must be a multiple of 60 s", param_hint="--period")
    values = PERIOD_VALUES if period else SAMPLE_VALUES

    async def _work(client: ScadaClient) -> tuple[int, int]:
        points, now = await find_points(client, paths), await server_time(client)
        from_ns, to_ns = moment(since, now, "--from"), moment(until, now, "--to")
        if from_ns >= to_ns:
            raise click.BadParameter("the span is empty", param_hint="--from")
        rows = 0
        with _opened(output, kind, values, zone) as writer, _progress(len(points), to_ns - from_ns, output) as shown:
            for index, point in enumerate(points):
                async with aclosing(_pages(client, point, from_ns, to_ns, period)) as pages:
                    async for page in pages:
                        writer.write(page)
                        rows += len(page)
                        if len(page):
                            shown(index, int(page.time_ns[-1]) - from_ns)
        return rows, len(points)

    rows, points = link.run(_work)
    if output != STDOUT:
        click.echo(link.text("history.exported", rows=str(rows), points=str(points), file=str(output)), err=True)


def _pages(client: ScadaClient, point: pb.PointInfo, from_ns: int, to_ns: int, period: int | None) -> AsyncGenerator[Page, None]:
    if period:
        return period_pages(client, point, from_ns, to_ns, period)
    return sample_pages(client, point, from_ns, to_ns)


@contextlib.contextmanager
def _opened(output: Path, kind: str, values: tuple[str, ...], zone: tzinfo) -> Iterator[Writer]:
    """A writer; its file gets its name when everything is in it, and is removed if anything fails."""
    if output == STDOUT:
        writer = CsvWriter(sys.stdout, values, zone)
        yield writer
        writer.close()
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with _written(part, kind, values, zone) as made:
            yield made
        part.replace(output)
    except OSError as error:
        raise FileError(f"cannot write it: {error.strerror or error}", where=str(output)) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def _written(part: Path, kind: str, values: tuple[str, ...], zone: tzinfo) -> Iterator[Writer]:
    if kind == "parquet":
        from scada.history.parquet import ParquetWriter

        with contextlib.closing(ParquetWriter(part, values)) as parquet:
            yield parquet
    else:
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = CsvWriter(file, values, zone)
            yield writer
            writer.close()


@contextlib.contextmanager
def _progress(points: int, span_ns: int, output: Path) -> Iterator[Callable[[int, int], None]]:
    """Shows on a terminal how far the work is; the callable gets the index of the point and the time done in the span."""
    if output == STDOUT or not sys.stderr.isatty():
        yield lambda _index, _ns: None
        return
    steps = 1000
    with click.progressbar(length=points * steps, label=output.name, file=sys.stderr) as bar:
        yield lambda index, done_ns: bar.update(index * steps + done_ns * steps // span_ns - bar.pos)
        bar.update(points * steps - bar.pos)


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check and count, send nothing.")
@click.option("--reason", required=True, help="Why; goes to the audit log.")
@pass_link
def import_(link: Link, *, file: Path, dry_run: bool, reason: str) -> None:
    """Send the samples of an exported FILE (CSV or Parquet) to the server as late values, each under its own time.

    The same file again changes nothing. Each refused row is named with its line and the reason; exit code 1 if there is any.
    """
    rows = read_file(file)

    async def _work(client: ScadaClient) -> Import:
        work = Import(client, source=file.name, reason=reason, dry_run=dry_run)
        await work.run(rows)
        return work

    done = link.run(_work)
    for line, why in done.refusals[:SHOWN]:
        click.echo(link.text("history.refused", place=f"{file}:{line}", reason=why), err=True)
    if (unnamed := done.refused - SHOWN) > 0:
        click.echo(link.text("history.refused_more", count=str(unnamed)), err=True)
    if done.gaps:
        click.echo(link.text("history.gaps_passed", count=str(done.gaps)), err=True)
    counts = {name: str(getattr(done, name)) for name in ("stored", "known", "refused")}
    click.echo(link.text("history.dry_run" if dry_run else "history.imported", **counts))
    if done.refused:
        raise ScadaError(f"{done.refused} rows were refused", where=str(file))


FILES = (export, import_)
