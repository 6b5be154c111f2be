"""``scada events``: the event log, the sequence of events, disturbance recall, and all of it as files."""

from __future__ import annotations

import heapq
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.event_files import event_row, recall_event_row, value_row, write_events, write_recall
from scada.cli.history_client import moment, server_time
from scada.cli.link import Link, link_options, make_link, pass_link
from scada.cli.rendering import point_value, quality_marks, table, time_text
from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError
from scada.events.records import EventKind

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

PAGE = 2000
_STATUS_KINDS = (pb.POINT_KIND_STATUS, pb.POINT_KIND_DOUBLE)
_KINDS = {kind.name.lower().replace("_", "-"): int(kind) for kind in EventKind}


@click.group(name="events")
@link_options("operator")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """The event log: list and export it, recall disturbances.

    Times are ISO 8601 (2026-11-21T13:00:00+08:00; without an offset local time), "now", or a time ago: -90s, -15m, -2h, -7d.
    """
    make_link(ctx, given)


def _filters(function: Any) -> Any:
    for option in reversed(
        (
            click.option("--from", "since", default="", help="Start; default: as far as the log goes back."),
            click.option("--to", "until", default="now", show_default=True, help="End, excluded."),
            click.option("--station", default="", help="Only of this station."),
            click.option("--text", default="", help="Only whose path, key or user contains this."),
            click.option("--kind", "kinds", type=click.Choice(sorted(_KINDS)), multiple=True, help="Only of this kind."),
            click.option("--soe", is_flag=True, help="Sequence of events: status changes by the time of their source."),
        )
    ):
        function = option(function)
    return function


async def _request(client: ScadaClient, given: dict[str, Any]) -> pb.ListEventsRequest:
    now = await server_time(client)
    return pb.ListEventsRequest(
        from_ns=moment(given["since"], now, "--from") if given["since"] else 0,
        # what is not yet numbered may still come under an earlier time: up to now means everything
        to_ns=0 if given["until"] == "now" else moment(given["until"], now, "--to"),
        kinds=[_KINDS[kind] for kind in given["kinds"]],
        station=given["station"],
        text=given["text"],
        source_order=given["soe"],
        oldest_first=True,
    )


async def _pages(client: ScadaClient, request: pb.ListEventsRequest) -> AsyncIterator[pb.EventInfo]:
    request.limit = PAGE
    while True:
        page = await client.call("Events/ListEvents", request, timeout_s=60.0)
        for event in page.events:
            yield event
        if len(page.events) < PAGE:
            return
        request.behind = page.events[-1].event_id


@command.command(name="list")
@_filters
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Events shown: the newest, or the first."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; unknown numbers are null.")
@click.option("--follow", is_flag=True, help="Go on with each event until Ctrl-C (its own order, no --soe).")
@pass_link
def list_(link: Link, /, *, limit: int, as_json: bool, follow: bool, **given: Any) -> None:
    """Events, the newest last; with --soe or --from the first ones of the span, oldest first.

    A ~ stands before a time that is not that of the source.
    """
    if follow and given["soe"]:
        raise click.UsageError("--follow shows events as they are numbered; leave --soe out")

    async def _work(client: ScadaClient) -> None:
        request = await _request(client, given)
        request.limit = limit
        request.oldest_first = bool(given["since"])
        found = (await client.call("Events/ListEvents", request)).events
        shown = found if request.oldest_first or request.source_order else list(reversed(found))
        for event in shown:
            _print(link, event, as_json=as_json)
        if len(found) == limit and (request.oldest_first or request.source_order):
            click.echo(link.text("events.more", limit=str(limit)), err=True)
        if follow:
            last = max((event.event_id for event in found), default=0)
            if not last:
                last = (await client.call("Events/ListAlarms", pb.ListAlarmsRequest())).last_event_id
            async with aclosing(client.follow(last)) as pages:
                async for page in pages:
                    for event in filter(partial(_is_wanted, request), page.events):
                        _print(link, event, as_json=as_json)

    link.run(_work)


def _is_wanted(request: pb.ListEventsRequest, event: pb.EventInfo) -> bool:
    """True if an event is of the kinds, the station and the text that a list was asked for."""
    if (request.kinds and event.kind not in request.kinds) or request.station not in ("", event.station):
        return False
    return any(request.text.casefold() in text.casefold() for text in (event.path, event.key, event.actor))


def _print(link: Link, event: pb.EventInfo, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(event_row(link, event), ensure_ascii=False))
    else:
        click.echo(_line(link, event))


def _line(link: Link, event: pb.EventInfo) -> str:
    by_receipt = event.kind == EventKind.STATUS_CHANGE and not event.source_time_ns
    time = ("~" if by_receipt else " ") + time_text(event.source_time_ns or event.time_ns)
    return f"{event.event_id} {time}  {link.text(f'alarm_class.{event.alarm_class}')}  {link.text(event.key, **event.parameters)}"


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_filters
@pass_link
def export(link: Link, /, *, file: Path, **given: Any) -> None:
    """Write events to FILE, oldest first: .csv, or .jsonl with one JSON object a line. Times in it are UTC."""

    async def _work(client: ScadaClient) -> int:
        return await write_events(link, file, _pages(client, await _request(client, given)))

    click.echo(link.text("events.exported", count=str(link.run(_work)), file=str(file)))


# ---------------------------------------------------------------------- recall


@command.command()
@pass_link
def recalls(link: Link) -> None:
    """Disturbances captured by themselves at accident alarms, newest first."""
    found: pb.RecallList = link.run(lambda client: client.call("Events/ListRecalls", pb.ListRecallsRequest()))
    if not found.recalls:
        click.echo(link.text("events.no_recalls"))
        return
    rows = [
        [
            time_text(info.at_ns),
            f"-{(info.at_ns - info.from_ns) / NS_PER_S:g} .. +{(info.to_ns - info.at_ns) / NS_PER_S:g} s" if info.to_ns else "-",
            link.text("events.complete" if info.complete else "events.incomplete"),
            str(info.event_id or "-"),
            info.reason,
        ]
        for info in found.recalls
    ]
    click.echo(table(link.heads("time", "span", "state", "id", "what"), rows))


@command.command()
@click.option("--at", required=True, help="The time in question.")
@click.option("--before", type=click.IntRange(0, 3600), default=60, show_default=True, help="Seconds before it.")
@click.option("--after", type=click.IntRange(0, 3600), default=60, show_default=True, help="Seconds after it.")
@click.option("--station", default="", help="Only points and events of this station.")
@click.option("--all", "everything", is_flag=True, help="Values at the start and measurements too, not only status and events.")
@click.option(
    "--export", "file", type=click.Path(path_type=Path), default=None, help="Write everything to this CSV file or folder."
)
@pass_link
def recall(link: Link, *, at: str, before: int, after: int, station: str, everything: bool, file: Path | None) -> None:
    """Everything around a time, in order of the times of the sources; exit code 1 if something of it is missing."""

    async def _work(client: ScadaClient) -> _Recalled:
        at_ns = moment(at, await server_time(client), "--at")
        request = pb.RecallRequest(at_ns=at_ns, before_s=before, after_s=after, station=station)
        points = await client.call("Model/ListPoints", pb.ListPointsRequest(station=station), timeout_s=60.0)
        if station and not points.points:
            raise ScadaError(f"the model has no station {station!r}", mend="see `scada model show`")
        found = _Recalled(at_ns, {point.pid: point for point in points.points})
        async with aclosing(client.recall(request)) as parts:
            async for part in parts:
                found.take(part)
        return found

    found = link.run(_work)
    found.print_head(link)
    if file is not None:
        target = file if file.suffix == ".csv" else file / f"recall-{found.at_ns // NS_PER_S}.csv"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ScadaError(f"cannot make the folder: {error.strerror}", where=str(target.parent)) from error
        click.echo(link.text("events.exported", count=str(write_recall(target, found.rows(link))), file=str(target)))
    else:
        found.print_lines(link, everything=everything)
    sys.exit(0 if found.head.complete else 1)


class _Recalled:
    """The parts of a recall, put together."""

    def __init__(self, at_ns: int, infos: dict[int, pb.PointInfo]) -> None:
        self.at_ns = at_ns
        self.head = pb.RecallHead()
        self._infos = infos
        self._start: list[pb.PointFrame] = []
        self._events: list[pb.EventInfo] = []
        self._changes: list[pb.RecallChanges] = []

    def take(self, part: pb.RecallPart) -> None:
        """Add a message of the stream."""
        match part.WhichOneof("part"):
            case "head":
                self.head = part.head
            case "start":
                self._start.append(part.start)
            case "events":
                self._events += part.events.events
            case _:
                self._changes.append(part.changes)

    def _values(self) -> Iterator[tuple[int, int, float, int, int]]:
        """(time, pid, value, quality, received) of the changes."""
        for part in self._changes:
            yield from zip(part.time_ns, part.pid, part.value, part.quality, part.received_ns, strict=True)

    def _starts(self) -> Iterator[tuple[int, int, float, int, int]]:
        for frame in self._start:
            yield from zip(frame.source_time_ns, frame.pid, frame.value, frame.quality, frame.received_ns, strict=True)

    def print_head(self, link: Link) -> None:
        """Span, where it comes from, and what is missing."""
        click.echo(
            link.text(
                "events.recall_head",
                begin=time_text(self.head.from_ns),
                end=time_text(self.head.to_ns),
                source=link.state("recall_source", self.head.source),
                values=str(sum(len(frame.pid) for frame in self._start)),
                changes=str(sum(len(part.pid) for part in self._changes)),
                events=str(len(self._events)),
            )
        )
        if self.head.reason or not self.head.complete:
            click.echo(link.text("events.recall_missing", reason=self.head.reason or "-"))

    def print_lines(self, link: Link, *, everything: bool) -> None:
        """Events and changes, merged by time; offsets in seconds from the time asked."""
        if everything:
            for time_ns, pid, value, quality, _ in self._starts():
                click.echo(f"{'':>10}  {self._shown(pid, value, quality)}  {time_text(time_ns)}".rstrip())
        # a status change is told by its event; one of which there is none (it was not yet numbered, or trimmed) by its value
        told = {(event.pid, event.source_time_ns or event.time_ns) for event in self._events}
        values = (
            (row[0], 1, self._shown(*row[1:4]))
            for row in self._values()
            if everything or (self._is_status(row[1]) and (row[1], row[0]) not in told)
        )
        events = ((event.source_time_ns or event.time_ns, 0, self._event_text(link, event)) for event in self._events)
        for time_ns, _, text in heapq.merge(events, values):
            click.echo(f"{(time_ns - self.at_ns) / NS_PER_S:>+10.3f}  {time_text(time_ns)[11:]}  {text}")

    @staticmethod
    def _event_text(link: Link, event: pb.EventInfo) -> str:
        return f"[{link.text(f'alarm_class.{event.alarm_class}')}] {link.text(event.key, **event.parameters)}"

    def _is_status(self, pid: int) -> bool:
        return pid in self._infos and self._infos[pid].kind in _STATUS_KINDS

    def _shown(self, pid: int, value: float, quality: int) -> str:
        info = self._infos.get(pid)
        if info is None:
            return f"point {pid}  {value:g}  {quality_marks(quality)}".rstrip()
        return f"{info.path}  {point_value(info, value, quality)}  {quality_marks(quality)}".rstrip()

    def rows(self, link: Link) -> Iterator[dict[str, Any]]:
        """Everything as rows of a file: first the values at the start, then events and changes by time."""
        at_ns = self.at_ns
        for time_ns, pid, value, quality, received in self._starts():
            yield value_row(self._infos.get(pid), pid, value, quality, time_ns, received, at_ns, "start")
        values = (
            (row[0], 1, index, value_row(self._infos.get(row[1]), *row[1:4], row[0], row[4], at_ns, "change"))
            for index, row in enumerate(self._values())
        )
        events = (
            (event.source_time_ns or event.time_ns, 0, index, recall_event_row(link, event, at_ns))
            for index, event in enumerate(self._events)
        )
        for *_, row in heapq.merge(events, values):
            yield row
