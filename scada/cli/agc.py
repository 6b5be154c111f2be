"""``scada agc``: the performance of regulation as reports; recorded cycles run again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from scadapb.v1 import scada_pb2 as pb

from scada.api.texts import LANGUAGES
from scada.cli.agc_runs import rerun, runs
from scada.cli.history_client import moment, server_time
from scada.cli.link import Link, link_options, make_link, pass_link
from scada.core.errors import ScadaError

if TYPE_CHECKING:
    from scada.api.client import ScadaClient


@click.group(name="agc")
@link_options("engineer")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Performance of regulation: CPS, BAAL, DCS, the units' scores, by the rules of a region; recorded cycles."""
    make_link(ctx, given)


@command.command()
@click.option("--from", "since", default="-1d", show_default=True, help="Start: ISO 8601, or a time ago such as -7d.")
@click.option("--to", "until", default="now", show_default=True, help="End. Periods that the span touches are shown whole.")
@click.option("--area", default="", help="Control area, by name or mRID; default: the only one.")
@click.option("--period", type=click.Choice(["minute", "hour", "day", "month"]), default="hour", show_default=True)
@click.option("--profile", default="", help="Rules by which commands are judged; default: those of the area.")
@click.option("--format", "kind", type=click.Choice(["html", "csv"]), default="html", show_default=True)
@click.option("--lang", "language", type=click.Choice(LANGUAGES), default=None, help="Language of the report.")
@click.option(
    "--config", type=click.Path(path_type=Path), default=None, help="From the accounts of this configuration, no server."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=None, help="File; default: agc-<area>-<period>.<format>."
)
@pass_link
def report(
    link: Link,
    *,
    since: str,
    until: str,
    area: str,
    period: str,
    profile: str,
    kind: str,
    language: str | None,
    config: Path | None,
    output: Path | None,
) -> None:
    """A report of hours, days or months with tables and plots, from the server or from the accounts on disk."""
    what = pb.PerformanceRequest(area=area, period=period, profile=profile, units=True)
    request = pb.PerformanceReportRequest(what=what, format=kind, language=language or link.language)

    async def _work(client: ScadaClient) -> bytes:
        _span(request.what, since, until, await server_time(client))
        return await client.file("Regulation/GetReport", request)

    data = link.run(_work) if config is None else _offline(config, request, since, until)
    target = output or Path(f"agc-{area.replace('/', '-') or 'area'}-{period}.{kind}")
    try:
        target.write_bytes(data)
    except OSError as error:
        raise ScadaError(f"the report cannot be written: {error.strerror}", where=str(target)) from error
    click.echo(str(target))


def _span(what: pb.PerformanceRequest, since: str, until: str, now_ns: int) -> None:
    what.from_ns, what.to_ns = moment(since, now_ns, "--from"), moment(until, now_ns, "--to")


def _offline(config: Path, request: pb.PerformanceReportRequest, since: str, until: str) -> bytes:
    from zoneinfo import ZoneInfo

    from scada.actors.performance import rules_of
    from scada.actors.performance_desk import wanted_of
    from scada.api.performance_services import FORMATS
    from scada.apps.agc_avc.performance.report import Context, gather
    from scada.apps.agc_avc.performance.store import PerformanceReader
    from scada.core.clock import SystemClock
    from scada.core.settings import load_settings

    settings, now = load_settings(config), SystemClock().now_ns()
    _span(request.what, since, until, now)
    zone = ZoneInfo(settings.site.time_zone)
    context = Context(rules_of(settings.performance), zone, settings.performance.period_minutes, now)
    reader = PerformanceReader.open(settings.performance.path)
    try:
        return FORMATS[request.format](gather(reader, wanted_of(request.what), context), request.language)
    finally:
        reader.close()


command.add_command(runs)
command.add_command(rerun)
