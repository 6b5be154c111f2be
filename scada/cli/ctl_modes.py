"""Modes of AGC and AVC in ``scada ctl``, and why an output is what it is. Orders are signed; exit code 1 if one was refused."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.link import Link, pass_link
from scada.cli.rendering import number, table, time_text
from scada.core.errors import ScadaError

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

_OF = click.option(
    "--of", "application", type=click.Choice(["agc", "avc"]), default=None, help="Where both have a thing of this name."
)
_AREA = click.option("--area", default="", help="Control area, where several are controlled.")


@click.command()
@click.argument("application", type=click.Choice(["agc", "avc"]))
@click.argument("state", type=click.Choice(["on", "monitor", "off"]))
@_AREA
@pass_link
def mode(link: Link, *, application: str, state: str, area: str) -> None:
    """Switch AGC or AVC on, to monitor or off. Monitor computes and shows what it would order, and sends nothing."""
    _order(link, pb.SetModeRequest(agc=state, area=area) if application == "agc" else pb.SetModeRequest(avc=state))


@click.command(name="control-mode")
@click.argument("name")
@_AREA
@pass_link
def control_mode(link: Link, *, name: str, area: str) -> None:
    """Set how the ACE is formed: TLBC, CFC, CIC, TLBC+TEC, TLBC+II ... (``scada ctl agc`` shows the one in force)."""
    _order(link, pb.SetModeRequest(control_mode=name.upper(), area=area))


@click.command(name="unit-mode")
@click.argument("unit")
@click.argument("base")
@click.argument("reg", type=click.Choice(["O", "R", "A", "E"], case_sensitive=False))
@click.option("--mw", type=float, default=None, help="Base point for BASE, MW.")
@pass_link
def unit_mode(link: Link, *, unit: str, base: str, reg: str, mw: float | None) -> None:
    """Set base mode and regulation mode of UNIT (name or mRID).

    BASE is AUTO, SCHE, CECO, BASE, YCBASE or PROP; REG is O (never), R (always), A (assist zone and up) or E (emergency only).
    """
    if (base.upper() == "BASE") != (mw is not None):
        raise ScadaError("BASE needs --mw, and nothing else takes it")

    async def _work(client: ScadaClient) -> pb.ModeReply:
        mrid = _named(unit, await _units(client))
        wanted = pb.UnitMode(unit=mrid, base_mode=base.upper(), reg_mode=reg.upper(), base_point_mw=mw or 0.0)
        reply: pb.ModeReply = await client.signed("Control/SetMode", pb.SetModeRequest(unit=wanted))
        return reply

    sys.exit(_print(link, link.run(_work)))


@click.command()
@click.argument("name")
@click.argument("state", type=click.Choice(["closed", "open", "test"]))
@click.option(
    "--value", type=float, default=None, help="For test: MW, Mvar, or the command of a device (1 lower/open, 2 raise/close)."
)
@_OF
@pass_link
def loop(link: Link, *, name: str, state: str, value: float | None, application: str | None) -> None:
    """Close or open the loop of a unit, reactive source or device (NAME or mRID), or test it.

    An open loop gives advice only. In a test the value is sent and nothing else, whatever AGC or AVC do meanwhile; limits, ramps
    and forbidden zones hold for it:

        scada ctl loop "Longtan G1" test --value 80
    """
    if (state == "test") != (value is not None):
        raise ScadaError("a test needs --value, and nothing else takes it")

    async def _work(client: ScadaClient) -> pb.ModeReply:
        mrid = _named(name, await _regulated(client, application))
        wanted = pb.LoopOrder(mrid=mrid, loop=state, test_value=value or 0.0)
        reply: pb.ModeReply = await client.signed("Control/SetMode", pb.SetModeRequest(loop=wanted))
        return reply

    sys.exit(_print(link, link.run(_work)))


@click.command()
@click.argument("plant")
@click.argument("members", nargs=-1, required=True)
@pass_link
def benchmarks(link: Link, *, plant: str, members: Sequence[str]) -> None:
    """Leave these MEMBERS of PLANT (names or mRIDs) uncurtailed, so that their output shows what the others could give."""

    async def _work(client: ScadaClient) -> pb.ModeReply:
        mrid = _named(plant, await _units(client))
        found: pb.AgcStatus = await client.call("Regulation/GetAgc", pb.GetAgcRequest())
        known = {one.mrid: one.name for unit in found.units if unit.mrid == mrid for one in unit.members}
        wanted = pb.BenchmarkOrder(unit=mrid, members=[_named(name, known) for name in members])
        reply: pb.ModeReply = await client.signed("Control/SetMode", pb.SetModeRequest(benchmarks=wanted))
        return reply

    sys.exit(_print(link, link.run(_work)))


@click.command()
@click.argument("name")
@_OF
@pass_link
def unlock(link: Link, *, name: str, application: str | None) -> None:
    """Open the lock of a unit, source or device (NAME or mRID) after refusals, no response or a trip."""

    async def _work(client: ScadaClient) -> pb.ModeReply:
        mrid = _named(name, await _regulated(client, application))
        reply: pb.ModeReply = await client.signed("Control/SetMode", pb.SetModeRequest(unlock=mrid))
        return reply

    sys.exit(_print(link, link.run(_work)))


@click.command()
@click.argument("name")
@_OF
@pass_link
def why(link: Link, *, name: str, application: str | None) -> None:
    """Why a unit, source or device (NAME or mRID) was told what it was told: inputs, steps, limits, objective."""

    async def _work(client: ScadaClient) -> pb.Explanation:
        mrid = _named(name, await _regulated(client, application))
        found: pb.Explanation = await client.call("Regulation/Explain", pb.ExplainRequest(mrid=mrid))
        return found

    found = link.run(_work)
    click.echo(
        link.text(
            "ctl.why_sent" if found.sent else "ctl.why_advice",
            name=found.name,
            output=number(found.output),
            unit=found.unit,
            time=time_text(found.output_ns) if found.output_ns else "",
            reason=found.reason,
        )
    )
    for title, terms in (("inputs", found.inputs), ("steps", found.steps)):
        rows = [[link.state("explain", term.key), number(term.value), term.unit, term.note] for term in terms]
        click.echo(table(link.heads(title, "value", "unit_of", "note"), rows))
    limits = [
        [link.state("explain", limit.key), _end(limit.low), _end(limit.high), "*" if limit.binding else ""]
        for limit in found.limits
    ]
    click.echo(table(link.heads("limits", "minimum", "maximum", "binding"), limits))
    if found.objective:
        click.echo(link.text("ctl.why_objective", objective=link.state("explain", found.objective)))


def _end(value: float) -> str:
    return "" if math.isinf(value) else number(value)


async def _units(client: ScadaClient) -> dict[str, str]:
    """MRID -> name of every unit of every controlled area."""
    first: pb.AgcStatus = await client.call("Regulation/GetAgc", pb.GetAgcRequest())
    others = [await client.call("Regulation/GetAgc", pb.GetAgcRequest(area=name)) for name in first.areas if name != first.area]
    return {unit.mrid: unit.name for status in (first, *others) for unit in status.units}


async def _regulated(client: ScadaClient, application: str | None) -> dict[str, str]:
    """MRID -> name of everything that AGC or AVC (None: both) regulates."""
    units = await _units(client) if application != "avc" else {}
    if application == "agc":
        return units
    found: pb.AvcStatus = await client.call("Regulation/GetAvc", pb.GetAvcRequest())
    sources = {row.mrid: row.name for zone in found.zones for row in zone.sources}
    devices = {row.mrid: row.name for zone in found.zones for row in zone.devices}
    return {**devices, **sources, **units}


def _named(wanted: str, names: dict[str, str]) -> str:
    """The mRID of what is called so.

    Raises:
        ScadaError: nothing is, or several things are.
    """
    found = [mrid for mrid, name in names.items() if wanted in (mrid, name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ScadaError(
            f"{wanted!r} is the name of several", mend=f"say --of agc or --of avc, or name the mRID: {_joined(found)}"
        )
    near = [name for name in names.values() if wanted.casefold() in name.casefold()]
    raise ScadaError(f"neither AGC nor AVC has {wanted!r}", mend=f"such as {_joined(near or names.values())}")


def _joined(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:8])


def _order(link: Link, request: pb.SetModeRequest) -> None:
    reply: pb.ModeReply = link.run(lambda client: client.signed("Control/SetMode", request))
    sys.exit(_print(link, reply))


def _print(link: Link, reply: pb.ModeReply) -> int:
    """Print the answer; 0 if accepted, else 1."""
    key = "ctl.mode_accepted" if reply.accepted else "ctl.mode_refused"
    click.echo(link.text(key, reason=reply.reason, code=reply.code))
    return int(not reply.accepted)


MODES = (mode, control_mode, unit_mode, loop, benchmarks, unlock, why)
