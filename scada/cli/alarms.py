"""``scada alarms``: present alarms, shelving, out of service, and the figures of the alarm system."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from google.protobuf.json_format import MessageToDict
from scadapb.v1 import scada_pb2 as pb

from scada.cli.alarm_report import kpi_json, kpi_report
from scada.cli.history_client import moment, server_time
from scada.cli.link import Link, link_options, make_link, pass_link
from scada.cli.rendering import table, time_text
from scada.core.errors import ScadaError

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

_KEY = click.option("--key", default="", help="Only this alarm of the object, e.g. limit.hi; default: every one.")
_REASON = click.option("--reason", required=True, help="Why; it is written to the event log and the audit log.")
_OBJECTS = click.argument("objects", nargs=-1, required=True)


@click.group(name="alarms")
@link_options("operator")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Alarms: list, shelve, take out of service, figures after EEMUA 191.

    OBJECT is the id of a present alarm, or the path or mRID of a point.
    """
    make_link(ctx, given)


@command.command(name="list")
@click.option("--station", default="", help="Only of this station.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array.")
@pass_link
def list_(link: Link, *, station: str, as_json: bool) -> None:
    """Present alarms, most severe first; * = chattering, # = part of a flood of its bay."""
    found: pb.AlarmList = link.run(lambda client: client.call("Events/ListAlarms", pb.ListAlarmsRequest()))
    alarms = [alarm for alarm in found.alarms if station in ("", alarm.station)]
    alarms.sort(key=lambda alarm: (alarm.alarm_class, alarm.priority, -alarm.raised_ns))
    if as_json:
        click.echo(json.dumps([MessageToDict(alarm, preserving_proto_field_name=True) for alarm in alarms], ensure_ascii=False))
        return
    if alarms:
        rows = [
            [
                str(alarm.alarm_id),
                time_text(alarm.raised_ns),
                link.text(f"alarm_class.{alarm.alarm_class}"),
                str(alarm.priority),
                link.text(f"alarm_phase.{alarm.phase}"),
                ("*" if alarm.chattering else "") + ("#" if alarm.group else ""),
                link.text(alarm.key, **alarm.parameters) + (f" x{alarm.occurrences}" if alarm.occurrences > 1 else ""),
            ]
            for alarm in alarms
        ]
        click.echo(table(link.heads("id", "time", "class", "priority", "state", "mark", "text"), rows))
        click.echo(link.text("alarms.as_of", event=str(found.last_event_id)))
    else:
        click.echo(link.text("ctl.no_alarms"))
    if found.suppressed:
        click.echo(link.text("alarms.suppressed", count=str(found.suppressed)))


@command.command()
@pass_link
def suppressed(link: Link) -> None:
    """Alarms that are not announced: shelved, by design, out of service, tagged; ! = its condition holds now."""
    found: pb.SuppressionList = link.run(lambda client: client.call("Events/ListSuppressed", pb.ListSuppressedRequest()))
    if not found.suppressions:
        click.echo(link.text("alarms.none_suppressed"))
        return
    rows = [
        [
            "!" if one.active else "",
            link.text(f"suppression.{one.kind}"),
            one.path or one.mrid,
            one.key or "*",
            time_text(one.since_ns),
            time_text(one.until_ns) or "-",
            one.user or "-",
            one.reason,
        ]
        for one in found.suppressions
    ]
    click.echo(table(link.heads("mark", "kind", "path", "key", "since", "until", "user", "reason"), rows))


@command.command()
@_OBJECTS
@_KEY
@click.option("--minutes", type=click.FloatRange(0, 480, min_open=True), required=True, help="How long; 8 h at most.")
@_REASON
@pass_link
def shelve(link: Link, *, objects: Sequence[str], key: str, minutes: float, reason: str) -> None:
    """Put alarms aside for a time; they come back unacknowledged."""

    async def _work(client: ScadaClient) -> tuple[pb.AlarmReply, int]:
        names = await _named(client, objects, key)
        request = pb.ShelveRequest(alarms=names, duration_s=max(1, round(minutes * 60)), reason=reason)
        return await client.signed("Events/Shelve", request), len(names)

    _print_reply(link, *link.run(_work))


@command.command()
@_OBJECTS
@_KEY
@pass_link
def unshelve(link: Link, *, objects: Sequence[str], key: str) -> None:
    """Take shelved alarms back before their time."""

    async def _work(client: ScadaClient) -> tuple[pb.AlarmReply, int]:
        names = await _named(client, objects, key)
        return await client.signed("Events/Unshelve", pb.UnshelveRequest(alarms=names)), len(names)

    _print_reply(link, *link.run(_work))


@command.command()
@click.argument("state", type=click.Choice(["out", "in"]))
@_OBJECTS
@_KEY
@_REASON
@pass_link
def service(link: Link, *, state: str, objects: Sequence[str], key: str, reason: str) -> None:
    """Take alarms out of service until they are taken back in; needs the right SUPPRESS (engineer)."""

    async def _work(client: ScadaClient) -> tuple[pb.AlarmReply, int]:
        names = await _named(client, objects, key)
        request = pb.AlarmServiceRequest(alarms=names, out_of_service=state == "out", reason=reason)
        return await client.signed("Events/SetAlarmService", request), len(names)

    _print_reply(link, *link.run(_work))


@command.command()
@click.option("--from", "since", default="-7d", show_default=True, help="Start: ISO 8601, or a time ago (-24h, -7d).")
@click.option("--to", "until", default="now", show_default=True, help="End, excluded.")
@click.option("--station", default="", help="Only of this station.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; unknown numbers are null.")
@pass_link
def kpi(link: Link, *, since: str, until: str, station: str, as_json: bool) -> None:
    """Figures of the alarm system, each beside the benchmark of EEMUA 191."""

    async def _work(client: ScadaClient) -> tuple[pb.AlarmKpiRequest, pb.AlarmKpi]:
        now = await server_time(client)
        request = pb.AlarmKpiRequest(from_ns=moment(since, now, "--from"), to_ns=moment(until, now, "--to"), station=station)
        if request.to_ns <= request.from_ns:
            raise click.BadParameter("the span must end after it starts", param_hint="--to")
        return request, await client.call("Events/GetAlarmKpi", request, timeout_s=120.0)

    request, found = link.run(_work)
    if as_json:
        click.echo(json.dumps(kpi_json(found), ensure_ascii=False))
    else:
        click.echo(kpi_report(link, request, found))


async def _named(client: ScadaClient, objects: Sequence[str], key: str) -> list[pb.AlarmName]:
    """Alarms by id, path or mRID.

    Raises:
        ScadaError: one is neither.
    """
    present = {str(alarm.alarm_id): alarm for alarm in (await client.call("Events/ListAlarms", pb.ListAlarmsRequest())).alarms}
    names = []
    for text in objects:
        if text in present:
            names.append(pb.AlarmName(mrid=present[text].mrid, key=present[text].key))
            continue
        listed = await client.call("Model/ListPoints", pb.ListPointsRequest(query=text))
        exact = [point.mrid for point in listed.points if text in (point.path, point.mrid)]
        channel = [one.mrid for one in present.values() if text in (one.path, one.mrid)]
        mrids = dict.fromkeys(exact or channel)
        if len(mrids) != 1:
            raise ScadaError(f"{text!r} is no present alarm and no point", mend="see `scada alarms list`, `scada ctl points`")
        names.append(pb.AlarmName(mrid=next(iter(mrids)), key=key))
    return names


def _print_reply(link: Link, reply: pb.AlarmReply, asked: int) -> None:
    """Say what was done; exit code 1 unless all of it was."""
    if reply.accepted:
        click.echo(link.text("alarms.done", count=str(asked - len(reply.unknown))))
    else:
        click.echo(link.text("alarms.refused", reason=reply.reason or reply.code))
    for name in reply.unknown:
        click.echo(link.text("alarms.unknown", object=name.mrid, alarm=name.key or "*"))
    sys.exit(0 if reply.accepted and not reply.unknown else 1)
