"""AGC, AVC and replay in ``scada ctl``."""

from __future__ import annotations

import math
from collections.abc import Iterable

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.link import Link, pass_link
from scada.cli.rendering import number, quality_marks, table, time_text
from scada.core.errors import ScadaError


@click.command()
@pass_link
def agc(link: Link) -> None:
    """Area control error, reserve and units of AGC."""
    found: pb.AgcStatus = link.run(lambda client: client.call("Regulation/GetAgc", pb.GetAgcRequest()))
    click.echo(
        link.text(
            "ctl.agc",
            area=found.area,
            state=link.state("mode", found.state),
            reason=found.reason,
            mode=found.control_mode,
            frequency=number(found.frequency_hz),
            ace=number(found.ace_mw, 4),
            filtered=number(found.filtered_ace_mw, 4),
            zone=found.zone,
            regulation=number(found.regulation_mw, 4),
            up=number(found.reserve_up_mw, 4),
            down=number(found.reserve_down_mw, 4),
            cps=number(found.cps1_percent, 4),
        )
    )
    rows = [
        [
            unit.name,
            f"{unit.base_mode} {unit.reg_mode}",
            number(unit.power_mw, 5),
            number(unit.base_mw, 5),
            number(unit.setpoint_mw, 5),
            f"{number(unit.minimum_mw)} .. {number(unit.maximum_mw)}",
            unit.reason,
        ]
        for unit in found.units
    ]
    click.echo(table(link.heads("unit", "mode", "power", "base", "setpoint", "limits", "reason"), rows))
    if found.performance:
        click.echo(_performance(link, found.performance))


def _performance(link: Link, periods: Iterable[pb.PerformancePeriod]) -> str:
    """The running hour, day and month."""

    def share(part: pb.PerformanceShare) -> str:
        return number(100.0 * part.good / part.counted, 4) if part.counted else "-"

    keys = ("cps1", "cps2", "chinese", "baal_longest", "baal_violations", "valid_percent")
    rows = [
        [
            link.text(f"report.period.{one.period}"),
            number(one.cps1_percent, 4),
            share(one.cps2),
            share(one.chinese),
            str(one.baal_longest) if one.valid_minutes else "-",
            str(one.baal_violations) if one.valid_minutes else "-",
            number(100.0 * one.valid_minutes / one.minutes if one.minutes else math.nan, 4),
        ]
        for one in periods
    ]
    return table(["", *(link.text(f"report.head.{key}") for key in keys)], rows)


@click.command()
@pass_link
def avc(link: Link) -> None:
    """Pilot voltages, reactive sources and switched devices of AVC."""
    found: pb.AvcStatus = link.run(lambda client: client.call("Regulation/GetAvc", pb.GetAvcRequest()))
    click.echo(link.text("ctl.avc", state=link.state("mode", found.state), reason=found.reason))
    for zone in found.zones:
        click.echo(link.text("ctl.zone", name=zone.name))
        pilots = [
            [pilot.name, number(pilot.voltage_kv) if pilot.valid else "-", number(pilot.target_kv), number(pilot.deadband_kv)]
            for pilot in zone.pilots
        ]
        click.echo(table(link.heads("name", "voltage", "target", "band"), pilots))
        sources = [
            [
                source.name,
                number(source.reactive_mvar, 4),
                number(source.setpoint_mvar, 4),
                f"{number(source.minimum_mvar)} .. {number(source.maximum_mvar)}",
                source.reason,
            ]
            for source in zone.sources
        ]
        click.echo(table(link.heads("name", "reactive", "setpoint", "limits", "reason"), sources))
        devices = [
            [device.name, number(device.position), f"{device.operations_today}/{device.daily_limit}", device.lock]
            for device in zone.devices
        ]
        click.echo(table(link.heads("name", "position", "operations", "reason"), devices))


@click.group()
def replay() -> None:
    """Replay a recorded trace in an isolated session of the server; live data is untouched."""


@replay.command()
@click.argument("trace")
@click.option("--speed", type=click.FloatRange(0), default=1.0, show_default=True, help="0 = as fast as possible.")
@click.option("--loop", is_flag=True, help="From the beginning again at the end.")
@click.option("--port", type=click.IntRange(1, 65535), default=2404, show_default=True, help="TCP port of the recorded stations.")
@click.option("--expect", default="", help="Name of an expectation file beside the traces, compared at the end.")
@pass_link
def start(link: Link, *, trace: str, speed: float, loop: bool, port: int, expect: str) -> None:
    """Start TRACE, a file in the server's folders of traces and recordings."""
    request = pb.ReplayRequest(trace=trace, speed=speed, loop=loop, port=port, expect=expect)
    _print_state(link, link.run(lambda client: client.call("Replay/Start", request)))


@replay.command(name="do")
@click.argument("replay_id")
@click.argument("action", type=click.Choice(["pause", "resume", "step", "jump", "loop", "once", "stop", "speed"]))
@click.option("--speed", type=click.FloatRange(0), default=None, help="For the action speed.")
@click.option("--to", "position_s", type=click.FloatRange(0), default=None, help="For the action jump: second of the trace.")
@click.option("--seconds", "step_s", type=click.FloatRange(0), default=0.0, help="For the action step; default 1.")
@click.option("--frames", type=click.IntRange(0), default=0, help="For the action step: so many frames instead.")
@pass_link
def do(
    link: Link, *, replay_id: str, action: str, speed: float | None, position_s: float | None, step_s: float, frames: int
) -> None:
    """Command a running replay."""
    if action == "speed" and speed is None:
        raise ScadaError("the action speed needs --speed")
    if action == "jump" and position_s is None:
        raise ScadaError("the action jump needs --to")
    request = pb.ReplayCommand(
        replay_id=replay_id, action=action, speed=speed or 0.0, position_s=position_s or 0.0, step_s=step_s, frames=frames
    )
    _print_state(link, link.run(lambda client: client.call("Replay/Command", request)))


@replay.command()
@click.argument("replay_id")
@pass_link
def state(link: Link, *, replay_id: str) -> None:
    """Where a replay stands."""
    request = pb.ReplayCommand(replay_id=replay_id)
    _print_state(link, link.run(lambda client: client.call("Replay/GetState", request)))


@replay.command()
@click.argument("replay_id")
@pass_link
def values(link: Link, *, replay_id: str) -> None:
    """Values a replay has found so far."""
    request = pb.ReplayCommand(replay_id=replay_id)
    found: pb.ReplayValues = link.run(lambda client: client.call("Replay/Read", request))
    rows = [
        [value.address, number(value.value), quality_marks(value.quality), time_text(value.source_time_ns or value.time_ns)]
        for value in found.values
    ]
    click.echo(table(link.heads("path", "value", "quality", "time"), rows))


def _print_state(link: Link, found: pb.ReplayState) -> None:
    click.echo(
        link.text(
            "ctl.replay",
            id=found.replay_id,
            state=found.state,
            reason=found.reason,
            position=number(found.position_s),
            length=number(found.length_s),
            speed=number(found.speed),
            apdus=str(found.apdus),
            objects=str(found.objects),
            errors=str(found.sequence_errors),
            malformed=str(found.malformed),
        )
    )
    if found.digest:
        click.echo(f"sha256 {found.digest}")
    for difference in found.first_differences:
        click.echo(difference)
    if found.differences > len(found.first_differences):
        click.echo(f"... {found.differences} in all")


REGULATION = (agc, avc, replay)
"""Commands that show applications and drive replays."""
