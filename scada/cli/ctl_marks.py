"""Operator data in ``scada ctl``: hold, block, release, tag, untag, note, marks. Orders are signed; exit code 1 if refused."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.link import Link, pass_link
from scada.cli.rendering import number, point_value, table, time_text
from scada.control.tags import TAG_TYPES
from scada.core.errors import ScadaError

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from scada.api.client import ScadaClient

_REASON = click.option("--reason", required=True, help="Why; shown beside the mark and kept in the audit log.")
_HOLDS = (pb.MARK_KIND_SUBSTITUTE, pb.MARK_KIND_BLOCK)


@click.command()
@click.argument("point")
@click.argument("value")
@_REASON
@pass_link
def hold(link: Link, *, point: str, value: str, reason: str) -> None:
    """Substitute the value of POINT (path or mRID) by VALUE (label or number) until it is released."""

    async def _work(client: ScadaClient) -> pb.OperatorReply:
        found = await _find_point(client, point)
        request = pb.HoldRequest(point=found.mrid, value=_value(found, value), reason=reason)
        return await _order(client, "Hold", request)

    sys.exit(_print_reply(link, link.run(_work)))


@click.command()
@click.argument("point")
@_REASON
@pass_link
def block(link: Link, *, point: str, reason: str) -> None:
    """Block POINT (path or mRID) at its present value until it is released."""

    async def _work(client: ScadaClient) -> pb.OperatorReply:
        found = await _find_point(client, point)
        return await _order(client, "Hold", pb.HoldRequest(point=found.mrid, block=True, reason=reason))

    sys.exit(_print_reply(link, link.run(_work)))


@click.command()
@click.argument("point")
@_REASON
@pass_link
def release(link: Link, *, point: str, reason: str) -> None:
    """Show again what the source of POINT (path or mRID) says."""

    async def _work(client: ScadaClient) -> pb.OperatorReply:
        marks: pb.OperatorMarks = await client.call("OperatorData/List", pb.ListOperatorDataRequest())
        held = [mark.mrid for mark in marks.marks if mark.kind in _HOLDS and point in (mark.path, mark.mrid)]
        return await _order(client, "Release", pb.ReleaseRequest(point=held[0] if held else point, reason=reason))

    sys.exit(_print_reply(link, link.run(_work)))


@click.command()
@click.argument("target")
@click.argument("kind", type=click.Choice(list(TAG_TYPES)))
@_REASON
@pass_link
def tag(link: Link, *, target: str, kind: str, reason: str) -> None:
    """Hang a tag of type KIND on TARGET: path of a point or control (its equipment), name of a station, or any mRID."""

    async def _work(client: ScadaClient) -> pb.OperatorReply:
        return await _order(client, "PlaceTag", pb.TagRequest(object=await _find(client, target), type=kind, reason=reason))

    sys.exit(_print_reply(link, link.run(_work)))


@click.command()
@click.argument("mark", type=click.IntRange(1))
@_REASON
@pass_link
def untag(link: Link, *, mark: int, reason: str) -> None:
    """Take down the tag, or remove the note, with the number MARK (see `scada ctl marks`)."""
    request = pb.RemoveRequest(mark_id=mark, reason=reason)
    sys.exit(_print_reply(link, link.run(lambda client: _order(client, "Remove", request))))


@click.command()
@click.argument("target")
@click.argument("text")
@pass_link
def note(link: Link, *, target: str, text: str) -> None:
    """Write a note to TARGET: path of a point or control (its equipment), name of a station, or any mRID."""

    async def _work(client: ScadaClient) -> pb.OperatorReply:
        return await _order(client, "AddNote", pb.NoteRequest(object=await _find(client, target), text=text))

    sys.exit(_print_reply(link, link.run(_work)))


@click.command()
@click.option("--station", default="", help="Only of this station.")
@pass_link
def marks(link: Link, *, station: str) -> None:
    """Values held, tags and notes: who placed them, where, when and why."""

    async def _work(client: ScadaClient) -> tuple[pb.OperatorMarks, dict[int, pb.PointInfo]]:
        found: pb.OperatorMarks = await client.call("OperatorData/List", pb.ListOperatorDataRequest(station=station))
        wanted = {mark.pid for mark in found.marks if mark.kind in _HOLDS}
        points: dict[int, pb.PointInfo] = {}
        for name in {mark.station for mark in found.marks if mark.pid in wanted}:
            listed: pb.PointList = await client.call("Model/ListPoints", pb.ListPointsRequest(station=name))
            points |= {point.pid: point for point in listed.points if point.pid in wanted}
        return found, points

    found, points = link.run(_work)
    if not found.marks:
        click.echo(link.text("ctl.no_marks"))
        return
    rows = [
        [
            str(mark.mark_id),
            time_text(mark.placed_ns),
            link.text(f"mark_kind.{mark.kind}"),
            mark.path,
            *_what(link, mark, points.get(mark.pid, pb.PointInfo())),
            mark.user,
            mark.reason.replace("\n", " "),
        ]
        for mark in found.marks
    ]
    click.echo(table(link.heads("id", "time", "kind", "object", "what", "field", "user", "reason"), rows))


def _what(link: Link, mark: pb.OperatorMark, point: pb.PointInfo) -> tuple[str, str]:
    """The held value or the type of the tag, and what the source says meanwhile."""
    if mark.kind in _HOLDS:
        return point_value(point, mark.value, 0), point_value(point, mark.field_value, mark.field_quality)
    return (link.text(f"tag_type.{mark.tag_type}") if mark.tag_type else ""), ""


async def _order(client: ScadaClient, method: str, request: Message) -> pb.OperatorReply:
    reply: pb.OperatorReply = await client.signed(f"OperatorData/{method}", request)
    return reply


def _print_reply(link: Link, reply: pb.OperatorReply) -> int:
    """Print the answer; 0 if accepted, else 1."""
    key = "ctl.mark_done" if reply.accepted else "ctl.mark_refused"
    click.echo(link.text(key, mark=str(reply.mark_id or ""), reason=reply.reason, code=reply.code))
    return int(not reply.accepted)


async def _find_point(client: ScadaClient, name: str) -> pb.PointInfo:
    listed: pb.PointList = await client.call("Model/ListPoints", pb.ListPointsRequest(query=name))
    exact = [point for point in listed.points if name in (point.path, point.mrid)]
    if len(exact) != 1:
        raise ScadaError(f"the model has no point {name!r}", mend="see `scada ctl points --query`")
    return exact[0]


async def _find(client: ScadaClient, name: str) -> str:
    """MRID of what a person named; the name itself if it is none we know: then it is an mRID, or the server says it is not."""
    listed: pb.PointList = await client.call("Model/ListPoints", pb.ListPointsRequest(query=name))
    controls: pb.ControlList = await client.call("Model/ListControls", pb.ListControlsRequest())
    model: pb.ModelInfo = await client.call("Model/GetModel", pb.GetModelRequest())
    found = [point.mrid for point in listed.points if name == point.path]
    found += [control.equipment for control in controls.controls if name == control.path]
    found += [station.mrid for station in model.stations if name == station.name]
    return found[0] if found else name


def _value(point: pb.PointInfo, given: str) -> float:
    """A label of the point (any case) or a number."""
    for state, label in point.states.items():
        if label.casefold() == given.casefold():
            return float(state)
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        labels = ", ".join(f"{state} {label}" for state, label in sorted(point.states.items()))
        hint = f"values: {labels}" if labels else f"a number: {number(point.minimum)} .. {number(point.maximum)}"
        raise ScadaError(f"{given!r} is no value of {point.path}", mend=hint)
    return value


MARKS = (hold, block, release, tag, untag, note, marks)
"""Commands on operator data."""
