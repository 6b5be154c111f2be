"""``scada replay --serve``: a recorded trace against a master that we did not write, in processes of their own."""

import asyncio
import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scada.protocols.iec104.capture import load_trace
from scada.protocols.iec104.player import recorded_asdus

iec104 = pytest.importorskip("hat.drivers.iec104")
tcp = pytest.importorskip("hat.drivers.tcp")
pytestmark = [pytest.mark.interop, pytest.mark.e2e]

TRACE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "iec104" / "rec-lib60870-loopback.pcap"


@pytest.fixture
def served():
    if not TRACE.is_file():
        pytest.skip("no recorded traces beside the repository")
    command = [sys.executable, "-m", "scada", "replay", str(TRACE), "--serve", "0", "--speed", "0", "--retime"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            first = process.stdout.readline()
            yield process, int(re.search(r"127\.0\.0\.1:(\d+)", first)[1]), first
        finally:
            process.kill()


async def listen(port, expected):
    """Everything a master gets, until it has the expected number of values."""
    connection = await iec104.connect(tcp.Address("127.0.0.1", port))
    got = []
    with contextlib.suppress(ConnectionError):
        while sum(isinstance(one, iec104.DataMsg) for one in got) < expected:
            async with asyncio.timeout(30):
                got += await connection.receive()
    await connection.async_close()
    return got


def test_a_foreign_master_gets_every_recorded_value_once_and_the_program_ends_by_itself(served):
    process, port, first = served
    station, played = recorded_asdus(load_trace(TRACE))
    own = [item for one in played if one.own and one.asdu.type_id <= 40 for item in one.asdu.objects]
    assert f"station {station} " in first
    got = asyncio.run(listen(port, len(own)))
    data = [one for one in got if isinstance(one, iec104.DataMsg)]
    assert [one.io_address for one in data] == [item.ioa for item in own]
    assert process.wait(20) == 0
    assert "ASDUs played" in process.stdout.read()
