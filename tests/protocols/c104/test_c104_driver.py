"""The parent of a c104 process: what it asks of it, and what it makes of one that is broken."""

import asyncio
import contextlib
import sys
from dataclasses import replace

import pytest

pytest.importorskip("c104")

from protocols.driver_kit.iec104_station import Station

from scada.core.batch import POINT_DTYPE
from scada.core.clock import SystemClock
from scada.core.errors import ConfigError
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Point, PointKind
from scada.protocols.c104 import driver as module
from scada.protocols.c104.driver import C104Driver
from scada.protocols.conformance_rig import Recorder, running
from scada.protocols.driver import LinkState, Outcome

pytestmark = pytest.mark.interop


class C104Station(Station):
    protocol = "iec104-c104"

    @property
    def spec(self):
        return replace(super().spec, params={**super().spec.params, "command_timeout_s": 10})  # its process shares a busy machine


def point(pid, ioa):
    return Point(pid, f"m{pid}", f"S/P{pid}", "P", PointKind.ANALOG, "", "", "", "", "S", "", 0, Iec104Address(1, ioa, 13))


def control(cid, ioa, type_id, kind=ControlKind.SETPOINT, **more):
    where = Iec104Address(1, ioa, type_id)
    return Control(cid, f"c{cid}", f"S/C{cid}", "C", kind, "", "", "", "S", 0, where, None, "", select=False, **more)


def make(points=(), controls=()):
    spec = ChannelSpec(3, "m", "RTU", "iec104-c104", "127.0.0.1", 2404, "S")
    return C104Driver(spec, points, controls, Recorder(), SystemClock())


@contextlib.asynccontextmanager
async def lived(monkeypatch, *command):
    """A driver whose process is another program."""
    monkeypatch.setattr(module, "_COMMAND", command)
    driver = make()
    driver.sink.task = asyncio.create_task(driver.run())
    try:
        yield driver
    finally:
        driver.sink.task.cancel()
        await asyncio.gather(driver.sink.task, return_exceptions=True)


@pytest.mark.parametrize(
    ("type_id", "kind", "value"),
    [
        (45, ControlKind.SINGLE, 2),
        (46, ControlKind.DOUBLE, 0),
        (46, ControlKind.DOUBLE, 5),
        (47, ControlKind.STEP, 0),
        (47, ControlKind.STEP, 3),
        (48, ControlKind.SETPOINT, 1.5),
        (49, ControlKind.SETPOINT, 40000),
        (50, ControlKind.SETPOINT, 1e300),
        (50, ControlKind.SETPOINT, float("nan")),
    ],
)
@pytest.mark.parametrize("step", ["select", "execute"])
async def test_what_a_type_cannot_say_is_refused_and_never_bent_into_something_else(type_id, kind, value, step):
    driver = make(controls=[control(0, 7, type_id, kind)])
    driver._up = True
    result = await getattr(driver, step)(driver.controls[0], value)
    assert (result.outcome, str(type_id) in result.reason or "finite" in result.reason or "float" in result.reason) == (
        Outcome.REFUSED,
        True,
    )


def test_an_address_that_c104_cannot_have_twice_is_told_before_it_starts():
    with pytest.raises(ConfigError, match="CA 1 IOA 100"):
        make([point(0, 100)], [control(0, 100, 50)])
    with pytest.raises(ConfigError, match="scale 0"):
        make(controls=[control(0, 100, 50, scale=0.0)])


@pytest.mark.parametrize(
    "said",
    [
        "b'Warning: this is no frame. ' * 40",
        "b'\\0\\0\\0\\5\\2' + b'short'",
        "b'\\0\\0\\0\\2\\1{}'",
        "b'\\0\\0\\0\\4\\1\\xff{{{'",
    ],
    ids=["noise", "half a record", "no word", "no JSON"],
)
async def test_a_process_that_talks_nonsense_is_ended_and_told(monkeypatch, said):
    program = f"import sys; sys.stdout.buffer.write({said}); sys.stdout.flush(); sys.stdin.read()"
    async with lived(monkeypatch, sys.executable, "-c", program) as driver:
        await driver.sink.until(lambda: LinkState.DOWN in [state for state, _ in driver.sink.states], "it is told")
        assert "c104 process" in driver.sink.states[-1][1]


async def test_a_process_that_cannot_be_started_is_told_and_tried_again(monkeypatch):
    async with lived(monkeypatch, "/no/such/program") as driver:
        await driver.sink.until(lambda: LinkState.DOWN in [state for state, _ in driver.sink.states], "it is told")
        assert "cannot start" in driver.sink.states[-1][1]


@pytest.mark.parametrize("end", ["cancelled", "killed"])
async def test_a_process_whose_output_nobody_reads_is_ended_all_the_same(monkeypatch, end):
    """It waits with a full pipe behind a database that stands still."""
    size = POINT_DTYPE.itemsize
    flood = f"({size}).to_bytes(4, 'big') + b'\\2' + bytes({size})"
    program = f"import sys\nwhile True: sys.stdout.buffer.write(({flood}) * 1000)"
    async with lived(monkeypatch, sys.executable, "-c", program) as driver:
        driver.sink.keeps_up.clear()
        await driver.sink.until(lambda: bool(driver.sink.told), "the first value")
        process = driver._process
        if end == "cancelled":
            driver.sink.task.cancel()
            await asyncio.wait([driver.sink.task], timeout=10)
            assert driver.sink.task.cancelled()
        else:
            process.kill()
            driver.sink.keeps_up.set()
            await driver.sink.until(lambda: LinkState.DOWN in [state for state, _ in driver.sink.states], "it is told")
        assert process.returncode is not None


async def test_the_process_imports_nothing_from_the_folder_it_is_started_in(monkeypatch, tmp_path):
    (tmp_path / "queue.py").write_text("raise SystemExit('this is not yours')\n")
    monkeypatch.chdir(tmp_path)
    async with running(C104Station()) as run:
        await run.all_known()
        assert run.driver.statistics.connects == 1


async def test_two_interrogations_at_once_both_bring_every_value():
    async with running(C104Station()) as run:
        await run.all_known()
        answers = await asyncio.gather(run.driver.interrogate(), run.driver.interrogate())
        assert [answer.outcome for answer in answers] == 2 * [Outcome.CONFIRMED]


async def test_a_process_one_of_whose_threads_failed_ends_and_is_not_up_without_a_word():
    class Broken(C104Station):
        def make(self, sink, clock):
            driver = super().make(sink, clock)
            driver._setup["points"] = [(-1, *row[1:]) for row in driver._setup["points"]]  # no record takes this number
            return driver

    async with running(Broken()) as run:
        await run.sink.until(lambda: LinkState.DOWN in [state for state, _ in run.sink.states], "its end is told")
        assert "c104 process ended" in run.sink.states[-1][1]
