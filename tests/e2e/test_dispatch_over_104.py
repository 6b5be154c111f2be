"""An independent IEC 104 master (hat-drivers) orders a set-point: the plant follows it, and the plan again when it is lost."""

import asyncio
import shutil

import pytest
from e2e.rig import HOST, Rig
from e2e.test_upstream_round import NAME, TERM, connected
from e2e.test_whole_way import AREA, area_of
from hat.drivers import iec104
from scadapb.v1 import scada_pb2 as pb

from scada.cli.demo import GRID
from scada.model_cim.points import load_model

pytestmark = [pytest.mark.e2e, pytest.mark.interop]
IOA, SENDER = 26001, "upstream:province"
CONFIG = f"""
[upstream.stations."{NAME}".groups]
A = ["{HOST}"]

[upstream.stations."{NAME}".masters."{HOST}"]
name = "province"
roles = ["DISPATCHER"]
areas = ["{AREA}"]

[dispatch]
hold_s = 30

[dispatch.contracts."{SENDER}"]
kinds = ["setpoint"]
step_mw = 100
"""


def _model(folder):
    """The demo's model with a set-point of the area's interchange in the table of the provincial dispatch."""
    shutil.copytree(GRID, folder)
    _, tables, _ = load_model(GRID)
    area = next(area for area in tables.areas if area.name == AREA)
    row = f"""  <sc:ForwardedSetPoint rdf:ID="_6f3a3c5e-6a44-4a0c-9d3b-1f0d5d0f2601">
    <sc:ForwardedSetPoint.UpstreamStation rdf:resource="#_{tables.upstream[0].mrid.removeprefix("_")}"/>
    <sc:ForwardedSetPoint.Target rdf:resource="#_{area.mrid.removeprefix("_")}"/>
    <sc:ForwardedSetPoint.ioa>{IOA}</sc:ForwardedSetPoint.ioa>
    <sc:ForwardedSetPoint.typeId>50</sc:ForwardedSetPoint.typeId>
  </sc:ForwardedSetPoint>
</rdf:RDF>"""
    file = folder / "SC-upstream.xml"
    file.write_text(file.read_text("utf-8").replace("</rdf:RDF>", row), "utf-8")
    return folder


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dispatch104")
    with Rig(folder / "run", rate=6.0, more=CONFIG, grid=_model(folder / "grid")) as running:
        running.until(lambda: running.status().agc_state == "on", 90, "AGC is on")
        yield running


async def _order(master, mw):
    master.asked = len(master.heard)
    command = iec104.FloatingCommand(value=iec104.FloatingValue(mw), select=False)
    await master.link.send([iec104.CommandMsg(False, 0, 1, IOA, command, False, None, iec104.CommandReqCause.ACTIVATION)])
    return await master.answered()


def _followed(rig):
    status = rig.call("Dispatch/GetDispatch", pb.GetDispatchRequest())
    return next(one for one in status.targets if one.kind == "setpoint" and one.target == AREA)


def test_the_plant_follows_a_masters_set_point_and_the_plan_when_the_master_is_lost(rig):
    area = next(area for area in rig.tables.areas if area.name == AREA)
    planned = _followed(rig)
    assert planned.source in {"model", "plan"}
    wanted = float(round(area_of(rig.status()).interchange_mw - 40))

    async def run():
        async with connected(rig) as master:
            assert await _order(master, 1e6) is False, "beyond the largest step of the contract"
            assert await _order(master, wanted)
            assert await master.answered(TERM)
            await asyncio.to_thread(
                rig.until,
                lambda: abs(area_of(rig.status()).interchange_mw - wanted) < 2 * area.deadband,
                120,
                "the interchange follows",
            )
            return _followed(rig)

    held = asyncio.run(run())
    assert (held.source, held.sender, held.mw) == ("order", SENDER, wanted)
    rig.until(lambda: _followed(rig).source == planned.source, 30, "the link is down: after the hold time the plan is in force")
    assert _followed(rig).mw == planned.mw
    told = [event.key for event in reversed(rig.events(limit=200)) if event.key in {"dispatch.lost", "dispatch.fallback"}]
    assert told == ["dispatch.lost", "dispatch.fallback"]
