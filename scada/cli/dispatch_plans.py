"""``scada dispatch list|show|diff|import|export|edit``: plans of days, their versions and files."""

from __future__ import annotations

import csv
import datetime as dt
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import click
from scadapb.v1 import scada_pb2 as pb

from scada.apps.dispatch.days import day_bounds, labels, local
from scada.apps.dispatch.files import FileContext, PlanFile, read_e_text, read_rows
from scada.apps.dispatch.plans import PlanPoint, changes
from scada.cli.link import Link, pass_link
from scada.cli.rendering import number, table, time_text
from scada.core.errors import ScadaError

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

DONE = (pb.DISPATCH_CODE_ACCEPTED, pb.DISPATCH_CODE_CLIPPED)
LARGEST_FILE = 16 << 20
_ONE_DAY = click.option("--day", default="", help="Such as 2026-11-22; default: today in the site's time zone.")
_TARGET = click.argument("target")


class _Site(NamedTuple):
    """What the server says of its plans."""

    plans: pb.ScheduleList
    zone: dt.tzinfo

    def target(self, text: str) -> pb.ScheduleTarget:
        """An area or unit by name or mRID.

        Raises:
            ScadaError: there is none of that name.
        """
        for one in self.plans.targets:
            if text in (one.name, one.target):
                return one
        from difflib import get_close_matches

        names = [one.name for one in self.plans.targets]
        close = get_close_matches(text, names, n=1, cutoff=0.4)
        mend = f"did you mean {close[0]}?" if close else f"one of {', '.join(names)}"
        raise ScadaError(f"no area and no unit is called {text!r}", mend=mend)

    def day(self, text: str) -> str:
        """A day, today if none is given."""
        return text or str(self.plans.today)


async def _site(client: ScadaClient, day: str = "") -> _Site:
    found: pb.ScheduleList = await client.call("Dispatch/ListSchedules", pb.ListSchedulesRequest(day=day))
    return _Site(found, ZoneInfo(found.time_zone))


async def _version(client: ScadaClient, site: _Site, target: str, day: str, number: int = 0) -> pb.ScheduleVersion:
    request = pb.GetScheduleRequest(target=site.target(target).target, day=site.day(day), version=number)
    found: pb.ScheduleVersion = await client.call("Dispatch/GetSchedule", request)
    return found


@click.command("list")
@click.option("--day", default="", help="Every version of this day; default: what is in force, of every day.")
@pass_link
def list_plans(link: Link, *, day: str) -> None:
    """Plans by area or unit and day: who sent or changed which version when, and why."""
    site = link.run(lambda client: _site(client, day))
    rows = [
        [
            one.name,
            one.day,
            f"{one.version}/{one.versions}",
            link.text(f"plan_kind.{one.kind}"),
            one.sender,
            time_text(one.received_ns),
            f"{one.points}",
            one.digest[:12],
            one.reason,
        ]
        for one in site.plans.schedules
    ]
    click.echo(table(link.heads("object", "day", "version", "kind", "user", "time", "values", "digest", "reason"), rows))


@click.command()
@_TARGET
@_ONE_DAY
@click.option("--version", "number_", type=click.IntRange(0), default=0, help="Default: the one in force.")
@pass_link
def show(link: Link, *, target: str, day: str, number_: int) -> None:
    """Points of a plan: TARGET is the name of an area or a unit."""

    async def _work(client: ScadaClient) -> tuple[_Site, pb.ScheduleVersion]:
        site = await _site(client)
        return site, await _version(client, site, target, day, number_)

    site, found = link.run(_work)
    info = found.info
    link_text = link.text(
        "dispatch.plan",
        target=info.name,
        day=info.day,
        version=f"{info.version}",
        sender=info.sender,
        time=time_text(info.received_ns),
        reason=info.reason,
    )
    click.echo(link_text)
    times = _labels(found, site.zone)
    click.echo(table(link.heads("time", "power"), [[at, number(one.mw)] for at, one in zip(times, found.points, strict=True)]))


@click.command()
@_TARGET
@_ONE_DAY
@click.option("--old", type=click.IntRange(1), required=True, help="Version.")
@click.option("--new", type=click.IntRange(0), default=0, help="Version; default: the one in force.")
@pass_link
def diff(link: Link, *, target: str, day: str, old: int, new: int) -> None:
    """Points in which two versions of a plan differ; exit code 1 if any does."""

    async def _work(client: ScadaClient) -> tuple[_Site, pb.ScheduleVersion, pb.ScheduleVersion]:
        site = await _site(client)
        return site, await _version(client, site, target, day, old), await _version(client, site, target, day, new)

    site, before, after = link.run(_work)
    found = changes(_points(before), _points(after))
    rows = [[_label(one.time_ns, before.info.day, site.zone), number(one.old), number(one.new)] for one in found]
    click.echo(link.text("dispatch.differ", count=f"{len(found)}", old=f"{before.info.version}", new=f"{after.info.version}"))
    if rows:
        click.echo(table(link.heads("time", "before", "after"), rows))
    sys.exit(1 if rows else 0)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--day", default="", help="Day of the plans, where the file has none.")
@click.option("--target", default="", help="Area or unit of a column `mw`.")
@click.option("--partial", is_flag=True, help="Take plans of a part of a day.")
@click.option("--dry-run", is_flag=True, help="Read and check, send nothing.")
@pass_link
def import_plans(link: Link, *, file: Path, day: str, target: str, partial: bool, dry_run: bool) -> None:
    """Send the plans of FILE (CSV, xlsx, E-language text).

    One finding, and nothing is sent. Exit code 1 unless all are in force.
    """

    async def _read(client: ScadaClient) -> tuple[_Site, PlanFile]:
        site = await _site(client)
        names = {name: one.target for one in site.plans.targets for name in (one.target, one.name)}
        given = _date(day) if day else None
        own = site.target(target).target if target else ""
        return site, read_plan_file(file, FileContext(site.zone, site.plans.at_midnight, names, given, own, partial))

    async def _work(client: ScadaClient) -> list[tuple[str, pb.DispatchReply]]:
        site, read = await _read(client)
        for finding in read.findings:
            click.echo(f"{file}: {finding.where}: {finding.text}" + (f" ({finding.mend})" if finding.mend else ""), err=True)
        if read.findings:
            sys.exit(1)
        units = {one.target: one for one in site.plans.targets}
        issued = int((await client.call("Realtime/GetStatus", pb.GetStatusRequest())).time_ns)
        replies = []
        for plan in read.plans:
            click.echo(
                link.text(
                    "dispatch.file_plan", target=plan.name, day=f"{plan.day}", values=f"{len(plan.mw)}", step=f"{plan.step_s}"
                )
            )
            one = units[plan.target]
            request = pb.Schedule(
                area=one.area,
                unit=plan.target if one.unit else "",
                start_ns=plan.start_ns,
                step_s=plan.step_s,
                mw=plan.mw,
                order_id=_order_id(),
                issued_ns=issued,
            )
            if not dry_run:
                replies.append((plan.name, await client.signed("Dispatch/SendSchedule", request)))
        return replies

    replies = link.run(_work)
    for name, reply in replies:
        print_plan_reply(link, name, reply)
    sys.exit(0 if all(reply.code in DONE for _, reply in replies) else 1)


@click.command()
@click.option("--day", default="", help="Default: today.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Default: to the screen.")
@click.argument("targets", nargs=-1)
@pass_link
def export(link: Link, *, day: str, out: Path | None, targets: tuple[str, ...]) -> None:
    """Write the plans of a day as CSV, a row a plan, as `import` reads them; TARGETS: default all."""

    async def _work(client: ScadaClient) -> tuple[_Site, list[pb.ScheduleVersion]]:
        site = await _site(client, "")
        names = targets or [one.name for one in site.plans.schedules if one.day == site.day(day)]
        return site, [await _version(client, site, name, day) for name in names]

    site, found = link.run(_work)
    if not found:
        raise ScadaError(f"there is no plan for {site.day(day)}", mend="scada dispatch list shows what there is")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head: list[str] = []
    for one in found:
        times = ["name", "day", *_labels(one, site.zone)]
        if times != head:
            if head:
                raise ScadaError("the plans have points at different times", mend="export them one by one")
            writer.writerow(times)
            head = times
        writer.writerow([one.info.name, one.info.day, *(f"{point.mw:.12g}" for point in one.points)])
    if out is None:
        click.echo(text.getvalue(), nl=False)
    else:
        out.write_text(text.getvalue(), encoding="utf-8-sig")


@click.command()
@_TARGET
@_ONE_DAY
@click.option("--at", "points", multiple=True, metavar="HH:MM=MW", help="New value of a point; may repeat.")
@click.option("--from", "first", default="", metavar="HH:MM", help="First point of a range.")
@click.option("--to", "last", default="", metavar="HH:MM", help="Last point of a range.")
@click.option("--mw", type=float, default=None, help="New value of the range.")
@click.option("--add", type=float, default=None, help="MW to be added in the range.")
@click.option("--restore", type=click.IntRange(1), default=None, help="Earlier version that shall be in force again.")
@click.option("--reason", required=True, help="Why; kept with the version.")
@pass_link
def edit(
    link: Link,
    *,
    target: str,
    day: str,
    points: tuple[str, ...],
    first: str,
    last: str,
    mw: float | None,
    add: float | None,
    restore: int | None,
    reason: str,
) -> None:
    """Change a plan as an operator with the rights MODE and SETPOINT (scada dispatch --as operator edit ...)."""

    async def _work(client: ScadaClient) -> pb.DispatchReply:
        site = await _site(client)
        now = await _version(client, site, target, day)
        one = site.target(target)
        request = pb.ScheduleEdit(
            area=one.area,
            unit=one.target if one.unit else "",
            day=now.info.day,
            based_on=now.info.version,
            restore=restore or 0,
            reason=reason,
            order_id=_order_id(),
        )
        times = dict(zip(_labels(now, site.zone), (point.time_ns for point in now.points), strict=True))
        for text in points:
            at, _, value = text.partition("=")
            request.points.add(time_ns=_time(times, at), mw=_mw(value))
        if first or last:
            if (mw is None) == (add is None):
                raise ScadaError("a range needs one of --mw and --add")
            request.range.from_ns = _time(times, first) if first else now.points[0].time_ns
            request.range.to_ns = _time(times, last) if last else now.points[-1].time_ns
            request.range.mw = mw if mw is not None else add or 0.0
            request.range.add = add is not None
        reply: pb.DispatchReply = await client.signed("Dispatch/EditSchedule", request)
        return reply

    reply = link.run(_work)
    print_plan_reply(link, target, reply)
    sys.exit(0 if reply.code in DONE else 1)


COMMANDS = (list_plans, show, diff, import_plans, export, edit)


def read_plan_file(file: Path, context: FileContext) -> PlanFile:
    """Plans of a CSV file, a workbook (first sheet, no macros run, values as they are stored) or an E-language text.

    Raises:
        ScadaError: it cannot be read.
    """
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise ScadaError(f"larger than {LARGEST_FILE >> 20} MiB", where=str(file))
        if file.suffix.lower() in (".xlsx", ".xlsm", ".xls", ".ods"):
            return read_rows(_workbook(file), context)
        data = file.read_bytes()
    except OSError as error:
        raise ScadaError(f"cannot read the plan: {error}", where=str(file)) from error
    text = _decoded(data, file)
    if text.lstrip().startswith("<"):
        return read_e_text(text, context)
    dialect = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    dialect = "\t" if "\t" in text.partition("\n")[0] else dialect
    try:
        rows = [(line, cells) for line, cells in enumerate(csv.reader(text.splitlines(), delimiter=dialect, strict=True), 1)]
    except csv.Error as error:
        raise ScadaError(f"cannot read the plan: {error}", where=str(file)) from error
    return read_rows(rows, context)


def _decoded(data: bytes, file: Path) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ScadaError("neither UTF-8 nor GB 18030", where=str(file), mend="save it as CSV UTF-8")


def _workbook(file: Path) -> list[tuple[int, list[str]]]:
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        book = CalamineWorkbook.from_path(str(file))
        rows = book.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except (CalamineError, ValueError, OSError) as error:
        raise ScadaError(f"cannot read the workbook: {error}", where=str(file)) from error
    return [(line, [_cell(value) for value in cells]) for line, cells in enumerate(rows, 1)]


def _cell(value: object) -> str:
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M}" if value.time() != dt.time() else f"{value:%Y-%m-%d}"
    if isinstance(value, dt.time):
        return f"{value:%H:%M}"
    if isinstance(value, float):
        return f"{int(value)}" if value.is_integer() else repr(value)
    return str(value)


def print_plan_reply(link: Link, target: str, reply: pb.DispatchReply) -> None:
    """One line of what became of a plan, and one for each point that was told."""
    code = link.text(f"dispatch_code.{reply.code}")
    click.echo(
        link.text(
            "dispatch.plan_answer",
            target=target,
            day=reply.day,
            code=code,
            reason=reply.reason,
            version=f"{reply.version or '-'}",
        )
    )
    for one in reply.findings:
        click.echo(f"  {time_text(one.time_ns)} {one.code}: {one.reason}")


def _points(version: pb.ScheduleVersion) -> list[PlanPoint]:
    return [PlanPoint(one.time_ns, one.mw, one.step_s) for one in version.points]


def _labels(version: pb.ScheduleVersion, zone: dt.tzinfo) -> Sequence[str]:
    return labels([one.time_ns for one in version.points], zone)


def _label(time_ns: int, day: str, zone: dt.tzinfo) -> str:
    end = day_bounds(dt.date.fromisoformat(day), zone)[1]
    return "24:00" if time_ns == end else f"{local(time_ns, zone):%H:%M}"


def _time(times: dict[str, int], label: str) -> int:
    if label not in times:
        raise ScadaError(f"{label!r} is no point of the plan", mend="scada dispatch show lists them")
    return times[label]


def _mw(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ScadaError(f"{text!r} is not a number of MW", mend="--at 12:15=80") from None


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ScadaError(f"{text!r} is no day", mend="write it as 2026-11-22") from None


def _order_id() -> str:
    import secrets

    return secrets.token_hex(8)
