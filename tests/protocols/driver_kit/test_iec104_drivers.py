"""Both IEC 104 masters under the conformance kit: ours, and c104 in its child process with its known faults named one by one."""

import asyncio
from typing import ClassVar

import pytest
from protocols.driver_kit.iec104_station import Station, asdu

from scada.core.clock import SystemClock
from scada.core.quality import Quality
from scada.protocols import conformance_rig
from scada.protocols.conformance import CHECKS
from scada.protocols.conformance_rig import running
from scada.protocols.iec104.cp56 import to_octets


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_our_iec104_driver_conforms(check):
    await check(Station())


class C104Station(Station):
    protocol = "iec104-c104"
    lacks: ClassVar = {
        "the_tee_sees_both_directions": "on_receive_raw leaks every frame (c104 2.2.1), so nobody listens on its wire",
        "garbage_is_survived": "c104 says nothing of an ASDU that is shorter than its number of objects asks for",
    }


def cases():
    for check in CHECKS:
        reason = C104Station.lacks.get(check.__name__)
        yield pytest.param(check, id=check.__name__, marks=[pytest.mark.xfail(reason=reason, strict=True)] if reason else [])


@pytest.mark.interop
@pytest.mark.parametrize("check", list(cases()))
async def test_the_c104_driver_conforms(check, monkeypatch):
    pytest.importorskip("c104")
    if check.__name__ in C104Station.lacks:
        monkeypatch.setattr(conformance_rig, "PATIENCE_S", 3.0)  # it waits for what never comes
    await check(C104Station())


@pytest.mark.parametrize(
    "station",
    [
        Station,
        pytest.param(
            C104Station, marks=[pytest.mark.interop, pytest.mark.xfail(reason="c104 drops IV and SU of a time tag", strict=True)]
        ),
    ],
)
async def test_a_time_marked_invalid_is_no_source_time(station):
    async with running(station()) as run:
        await run.all_known()
        stamp = bytearray(to_octets(SystemClock().now_ns()))
        stamp[2] |= 0x80
        await run.device.tell(asdu(30, 3, 200, b"\1" + bytes(stamp)))
        await run.sink.until(lambda: run.sink.of(run.device.status)[-1].value == 1, "the change arrives")
        last = run.sink.of(run.device.status)[-1]
        assert (last.source_time, last.quality) == (0, Quality.TIME_INVALID)


@pytest.mark.interop
async def test_a_c104_process_that_dies_is_started_again():
    pytest.importorskip("c104")
    async with running(C104Station()) as run:
        await run.all_known()
        run.sink.told.clear()
        run.driver._process.kill()
        await run.sink.until(lambda: not run.sink.up, "the death is told")
        assert "c104 process ended" in run.sink.states[-1][1]
        await run.all_known()


@pytest.mark.interop
async def test_the_c104_process_ends_with_its_driver():
    pytest.importorskip("c104")
    async with running(C104Station()) as run:
        await run.all_known()
        process = run.driver._process
        await run.end()
        assert process.returncode is not None


@pytest.mark.interop
def test_the_same_on_the_loop_of_the_wire():
    """uvloop, in a thread of its own, as the server runs it."""
    pytest.importorskip("c104")
    from concurrent.futures import ThreadPoolExecutor

    import uvloop

    async def round_trip():
        async with running(C104Station()) as run:
            await run.all_known()
            return (await run.driver.execute(run.device.setpoint, 3.5)).outcome.value

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(uvloop.run, round_trip()).result(timeout=60) == "confirmed"
    assert asyncio.get_event_loop_policy() is not None
