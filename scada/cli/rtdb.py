"""``scada rtdb``: check, dump, measure, back up and restore the real-time database, and see who follows its journal."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWorking
from pathlib import Path
from typing import Any, TypeVar

import click

from scada.core.errors import ConfigError, StoreError

T = TypeVar("T")

_EXIT = "Exit codes: 0 done and sound, 1 something is wrong (said in one line: what, where, how to mend it), 2 wrong usage."
_FOLDER = click.argument("folder", required=False, type=click.Path(path_type=Path))
_CONFIG = click.option(
    "--config", "-c", type=click.Path(path_type=Path), default=Path("scada.toml"), show_default=True, help="Names the folder."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group(name="rtdb", epilog=_EXIT)
def command() -> None:
    """Check, dump, measure, back up and restore the real-time database.

    FOLDER is the folder of the database ([rtdb] path); without it the configuration says which. All commands but `restore` and
    `consumers --remove` only read, and may be used on the file of a running server: it does not wait for them.
    """


def _folder(folder: Path | None, config: Path) -> Path:
    if folder is not None:
        return folder
    if not config.exists():
        raise ConfigError(
            "no such configuration", where=str(config), mend="name the FOLDER of the database, or give --config FILE"
        )
    from scada.core.settings import load_settings

    return load_settings(config).rtdb.path


# ---------------------------------------------------------------- check


@command.command(epilog="\b\nExample:\n  scada rtdb check -c scada.toml\n\n" + _EXIT)
@_FOLDER
@_CONFIG
@_JSON
def check(folder: Path | None, config: Path, *, as_json: bool) -> None:
    """Walk the whole file and name the first bad record.

    Looked at: the structure of the file, the checksum of every record, that the journal has no hole, that it follows on the
    checkpoint, and that the checkpoint has for every point what a replay of the journal makes of it. The file of a running server
    is copied first (TMPDIR says where).
    """
    from scada.rtdb import maintenance

    shown = _Progress(quiet=as_json)
    report = maintenance.check(_folder(folder, config), shown)
    shown.end()
    if as_json:
        _print_json({**dataclasses.asdict(report), "path": str(report.path), "sound": not report.findings})
    else:
        for finding in report.findings:
            click.secho(f"{report.path}: {finding.where}: {finding.what}", fg="red")
        for first, last in report.jumps:
            click.echo(f"{report.path}: numbers {first} to {last} are not in the journal (followers are told)")
        counts = f"{report.pages} pages, {report.change_sets} change sets with {report.changes} changes"
        span = f"journal {report.oldest} to {report.head}" if report.oldest else f"journal empty, head {report.head}"
        click.echo(f"{report.path}: {counts}, {span}, checkpoint {report.checkpoint}")
        click.echo(f"{report.compared} points compared with the journal; " + ("damaged" if report.findings else "sound"))
    sys.exit(1 if report.findings else 0)


# ---------------------------------------------------------------- dump


@command.command(
    epilog="\b\nExamples:\n"
    "  scada rtdb dump var/rtdb --model model/ --point S1/Q0/Pos\n"
    "  scada rtdb dump --journal --from 120000 --to 121000 --format jsonl\n"
    "  scada rtdb dump --journal --since 2026-03-01T08:00 --until 2026-03-01T08:05\n"
    "\n" + _EXIT
)
@_FOLDER
@_CONFIG
@click.option("--journal", is_flag=True, help="Records of the journal instead of the present points.")
@click.option("--from", "first", metavar="SEQ", type=click.IntRange(min=0), default=0, help="First sequence number of the span.")
@click.option("--to", "last", metavar="SEQ", type=click.IntRange(min=0), default=0, help="Last one; default: the newest.")
@click.option("--since", metavar="TIME", help="Only what was committed at or after it: ISO 8601, UTC unless it has an offset.")
@click.option("--until", metavar="TIME", help="Only what was committed before it.")
@click.option("--model", type=click.Path(path_type=Path), help="Model folder: points are shown by path, and may be named so.")
@click.option("--point", "wanted", multiple=True, metavar="PID|PATH", help="Only these points; may be repeated.")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True, help="Form of a line.")
def dump(
    folder: Path | None,
    config: Path,
    *,
    journal: bool,
    first: int,
    last: int,
    since: str | None,
    until: str | None,
    model: Path | None,
    wanted: tuple[str, ...],
    form: str,
) -> None:
    """Print points, or journal records of a span, as CSV or JSON lines.

    Times are ISO 8601 in UTC with nanoseconds; a value that was never received is empty (null). Flags and quality are the words
    of the database, `marks` reads the quality.
    """
    from scada.cli.rtdb_dump import Lines, Names, time_ns
    from scada.rtdb import maintenance

    if not journal and (first or last or since or until):
        raise click.UsageError("--from, --to, --since and --until choose records of the journal: add --journal")
    place = _folder(folder, config)
    names = Names.of(model, place)
    lines = Lines(form, names, names.pids(wanted), sys.stdout)
    if not journal:
        lines.points(maintenance.points(place))
        return
    begin, end = time_ns(since, 0), time_ns(until, 1 << 62)
    for change in maintenance.changes(place, first, last):
        if begin <= change.committed_at < end:
            lines.change(change)


# ---------------------------------------------------------------- stats and consumers


@command.command(epilog="\b\nExamples:\n  scada rtdb consumers\n  scada rtdb consumers --remove old-gateway\n\n" + _EXIT)
@_FOLDER
@_CONFIG
@_JSON
def stats(folder: Path | None, config: Path, *, as_json: bool) -> None:
    """Show sizes, points, the span of the journal, the use of the map, readers and consumers.

    A reader that holds an old transaction keeps its pages from being used again; the server reports one that does so for more
    than some seconds. `used` of the map are present records, `extent` is what was ever used: the file never shrinks.
    """
    from scada.cli.rtdb_dump import consumer_rows, stats_json, stats_text
    from scada.core.clock import SystemClock
    from scada.rtdb import maintenance

    found = maintenance.stats(_folder(folder, config))
    if as_json:
        _print_json(stats_json(found))
        return
    click.echo(stats_text(found))
    for row in consumer_rows(found.consumers, found.damaged_consumers, found.oldest, found.head, SystemClock().now_ns()):
        click.echo(f"  {row}")


@command.command(epilog=_EXIT)
@_FOLDER
@_CONFIG
@_JSON
@click.option("--remove", "name", metavar="NAME", help="Take a consumer off the list; the journal is not kept for it any more.")
def consumers(folder: Path | None, config: Path, *, as_json: bool, name: str | None) -> None:
    """List who follows the journal and how far each one is, or take one off the list.

    The journal is kept for a consumer until it acknowledged it, beyond journal_mb and journal_hours, as long as the map has room.
    One that will not come back keeps it for nothing: remove it.
    """
    from scada.cli.rtdb_dump import consumer_rows, stats_json
    from scada.core.clock import SystemClock
    from scada.rtdb import consumers as registered
    from scada.rtdb import maintenance

    place = _folder(folder, config)
    if name is not None:
        if not registered.remove(place, name):
            raise StoreError(f"there is no consumer {name!r}", where=str(place), mend="see `scada rtdb consumers`")
        click.echo(f"{name} removed")
        return
    found = maintenance.stats(place)
    if as_json:
        shown = stats_json(found)
        _print_json({key: shown[key] for key in ("consumers", "damaged_consumers", "oldest", "head")})
        return
    rows = consumer_rows(found.consumers, found.damaged_consumers, found.oldest, found.head, SystemClock().now_ns())
    click.echo("\n".join(rows) if rows else "no consumers")


# ---------------------------------------------------------------- backup and restore


@command.command(epilog="\b\nExample:\n  scada rtdb backup /mnt/backup/rtdb-$(date +%F)\n\n" + _EXIT)
@click.argument("target", type=click.Path(path_type=Path))
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@_CONFIG
@_JSON
def backup(target: Path, folder: Path | None, config: Path, *, as_json: bool) -> None:
    """Copy the database to a new folder TARGET, as of one commit, without stopping the server; check the copy.

    TARGET gets the compacted file, the registry of point numbers and a manifest with sizes and SHA-256. Copy it away whole.
    """
    from scada.core.clock import SystemClock
    from scada.rtdb import backup as copies

    shown = _Progress(quiet=as_json)
    place = _folder(folder, config)
    manifest = _with_size(shown, target / copies.FILE, lambda: copies.backup(place, target, SystemClock(), shown))
    shown.end()
    if as_json:
        _print_json(dataclasses.asdict(manifest))
    else:
        size = manifest.files[copies.FILE][0]
        click.echo(f"{target}: {size} bytes, {manifest.points} points, up to change {manifest.head}; sound")


@command.command(epilog="\b\nExample:\n  scada rtdb restore /mnt/backup/rtdb-2026-03-01\n\n" + _EXIT)
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@_CONFIG
@_JSON
@click.option("--verify", is_flag=True, help="Only check the backup; nothing is restored.")
def restore(source: Path, folder: Path | None, config: Path, *, as_json: bool, verify: bool) -> None:
    """Put the backup SOURCE in the place of the database. Stop the server first: over a running one it is refused.

    The backup is checked before anything is touched, and the file that was there is kept beside the new one. After the next start
    every value is marked as old until its source sends it again, and sequence numbers go on above all that were used before.
    """
    from scada.core.clock import SystemClock
    from scada.rtdb import backup as copies

    shown = _Progress(quiet=as_json)
    if verify:
        manifest = copies.verify(source, shown)
        shown.end()
        if as_json:
            _print_json({**dataclasses.asdict(manifest), "sound": True})
        else:
            click.echo(f"{source}: {manifest.points} points, up to change {manifest.head}; sound")
        return
    place = _folder(folder, config)
    done = copies.restore(source, place, SystemClock(), shown)
    shown.end()
    if as_json:
        _print_json({"folder": str(place), "head": done.head, "kept": str(done.kept) if done.kept else None})
    else:
        click.echo(f"{place}: restored; numbers go on from {done.head}")
        if done.kept:
            click.echo(f"the file that was there is kept as {done.kept}")


# ---------------------------------------------------------------- terminal


class _Progress:
    """One line on stderr that is written over; nothing where stderr is no terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._on = not quiet and sys.stderr.isatty()
        self._shown = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        line = f"{what} {100 * done // max(total, 1)} %"
        if self._on and line != self._shown:
            click.echo(f"\r{line:<40}", err=True, nl=False)
            self._shown = line

    def end(self) -> None:
        """Clear the line."""
        if self._shown:
            click.echo(f"\r{'':<40}\r", err=True, nl=False)


def _with_size(shown: _Progress, growing: Path, work: Callable[[], T]) -> T:
    """Do the work while the size of the file it writes is shown; the copy itself is one call of the engine."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while True:
            try:
                return future.result(timeout=0.5)
            except StillWorking:
                if growing.exists():
                    shown(f"copied {growing.stat().st_size >> 20} MiB,", 0, 0)


def _print_json(shown: dict[str, Any]) -> None:
    click.echo(json.dumps(shown, indent=1, ensure_ascii=False))
