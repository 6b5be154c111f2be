"""Conformance kit: what every driver owes the house, as checks that any driver's tests can run.

Write a :class:`~scada.protocols.conformance_rig.Device`: the other side of the wire, played by your test. Then run every
check against it, one test each::

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_conformance(check):
        await check(MyDevice())

A check starts the device and the driver, watches what the driver tells its sink, and raises :class:`ConformanceError` with one
sentence when the driver breaks a rule. It needs an asyncio loop, loopback and nothing else. What a protocol cannot do is not
passed over in silence: name the check in ``Device.lacks`` with the reason, and mark the test as expected to fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from scada.core.batch import RecordFlag
from scada.core.clock import NS_PER_S, SystemClock
from scada.model_cim.tables import Control
from scada.protocols import conformance_rig as rig
from scada.protocols.conformance_rig import ConformanceError, Device, Run, how_ended, must, running
from scada.protocols.driver import CommandResult, LinkState, Outcome

LONGEST_STALL_S = 2.0
"""Real seconds for which the wire loop may stand still; far above what a busy test machine does, far below a blocking call."""
_TOGGLES = 20
_BEGAN_NS = (SystemClock().now_ns() // NS_PER_S - 600) * NS_PER_S

Check = Callable[[Device], Awaitable[None]]
CHECKS: list[Check] = []
"""Every check, in an order in which a new driver grows."""


def _check(check: Check) -> Check:
    CHECKS.append(check)
    return check


async def _command(run: Run, control: Control, value: float) -> CommandResult:
    """Select where the control asks for it, then execute; the first step that is not confirmed is the answer."""
    try:
        async with asyncio.timeout(rig.PATIENCE_S):
            if control.select:
                selected = await run.driver.select(control, value)
                if selected.outcome is not Outcome.CONFIRMED:
                    return selected
            return await run.driver.execute(control, value)
    except TimeoutError:
        raise ConformanceError(
            f"a command step did not end within {rig.PATIENCE_S:g} s; it needs a time-out of its own"
        ) from None


def _stamp(device: Device, number: int) -> int:
    """Source times a second apart, from ten minutes ago on: a driver may doubt older ones."""
    return _BEGAN_NS + number * NS_PER_S if device.stamps else 0


# ---------------------------------------------------------------------------------------------------------------- values


@_check
async def first_values_are_refresh(device: Device) -> None:
    """After connecting every point is told once, as REFRESH: nobody saw it change."""
    async with running(device) as run:
        await run.all_known()
        for point in device.points:
            first = run.sink.of(point)[0]
            must(bool(first.flags & RecordFlag.REFRESH), f"the first value of {point.path} is not marked REFRESH")
            must(not first.flags & RecordFlag.EVENT, f"the first value of {point.path} is marked EVENT: an alarm at every start")
            must(first.quality == 0, f"the first value of {point.path} has quality {first.quality:#x}, the device says good")
            must(first.channel == device.spec.index, f"records carry channel {first.channel}, not {device.spec.index}")
        must(run.sink.of(device.analog)[0].value == 12.5, f"the analog is {run.sink.of(device.analog)[0].value}, not 12.5")
        must(run.sink.of(device.status)[0].value == 0, f"the status is {run.sink.of(device.status)[0].value}, not 0")


@_check
async def status_changes_are_events_in_order(device: Device) -> None:
    """Every change of a status arrives, as EVENT, in order, with the time of its source."""
    async with running(device) as run:
        await run.all_known()
        before = len(run.sink.of(device.status))
        wanted = [(float((n + 1) % 2), _stamp(device, n)) for n in range(_TOGGLES)]
        for value, time_ns in wanted:
            await device.put(device.status, value, time_ns)
        await run.sink.until(lambda: len(run.sink.of(device.status)) >= before + _TOGGLES, f"{_TOGGLES} changes arrive")
        told = run.sink.of(device.status)[before:]
        must([one.value for one in told] == [value for value, _ in wanted], "changes are lost, doubled or out of order")
        must(all(one.flags & RecordFlag.EVENT for one in told), "a change of status is not marked EVENT")
        if device.stamps:
            must([one.source_time for one in told] == [time for _, time in wanted], "source times are not those of the device")


@_check
async def measured_values_are_no_events(device: Device) -> None:
    """A measured value arrives, scaled, and raises no event."""
    async with running(device) as run:
        await run.all_known()
        await device.put(device.analog, 77.25, _stamp(device, 1))
        await run.sink.until(lambda: run.sink.of(device.analog)[-1].value == 77.25, "the new value arrives")
        last = run.sink.of(device.analog)[-1]
        must(not last.flags & RecordFlag.EVENT, "a measured value is marked EVENT")


@_check
async def an_unknown_address_is_counted_and_told_once(device: Device) -> None:
    """A value nobody modelled is dropped, counted, and mentioned once."""
    async with running(device) as run:
        await run.all_known()
        for _ in range(3):
            await device.stray()
        await run.sink.until(lambda: run.driver.statistics.unknown_addresses >= 3, "unknown_addresses counts each of them")
        must(len([kind for kind, _ in run.sink.notices if "unknown" in kind]) == 1, f"notices: {run.sink.notices}")
        known = {int(point.pid) for point in device.points}
        must({one.pid for one in run.sink.told} <= known, "a value without a point was delivered")


@_check
async def garbage_is_survived(device: Device) -> None:
    """What is no message invents no value and ends nothing for good; it is counted or closes the link with a reason."""
    async with running(device) as run:
        await run.all_known()
        before = [(one.pid, one.value) for one in run.sink.told]
        connects = run.driver.statistics.connects
        await device.garbage()
        await run.sink.until(
            lambda: run.driver.statistics.malformed > 0 or len(run.driver.statistics.disconnects) > 0, "malformed is counted"
        )
        await run.sink.until(lambda: run.sink.up, "the link is up again")
        must(not run.task.done(), f"run() ended: {how_ended(run.task)}")
        if run.driver.statistics.connects == connects:
            must([(one.pid, one.value) for one in run.sink.told] == before, "garbage became a value")
        await device.put(device.analog, 33.5, _stamp(device, 2))
        await run.sink.until(lambda: run.sink.of(device.analog)[-1].value == 33.5, "good values arrive after garbage")


# ------------------------------------------------------------------------------------------------------------------ link


@_check
async def states_have_reasons(device: Device) -> None:
    """CONNECTING comes before UP, and every state has its sentence."""
    async with running(device) as run:
        await run.all_known()
        states = [state for state, _ in run.sink.states]
        must(states[0] is LinkState.CONNECTING, f"the first state is {states[0].value}")
        must(all(reason for _, reason in run.sink.states), f"a state has no reason: {run.sink.states}")


@_check
async def a_lost_link_is_told_and_comes_back(device: Device) -> None:
    """A broken connection is DOWN with a reason at once; the driver returns by itself and every value is told again."""
    async with running(device) as run:
        await run.all_known()
        await device.stop()
        await run.sink.until(lambda: any(state is LinkState.DOWN for state, _ in run.sink.states), "DOWN is told")
        reason = next(reason for state, reason in run.sink.states if state is LinkState.DOWN)
        must(bool(reason), "DOWN has no reason")
        must(bool(run.driver.statistics.disconnects), "statistics.disconnects does not have it")
        result = await _command(run, device.setpoint, 1.0)
        must(result.outcome is Outcome.LINK_DOWN, f"a command without a link answers {result}")
        run.sink.told.clear()
        run.sink.states.clear()
        await device.start()
        await run.all_known()
        for point in device.points:
            must(bool(run.sink.of(point)[0].flags & RecordFlag.REFRESH), f"{point.path} is not REFRESH after the reconnect")
        must(run.driver.statistics.connects == 2, f"statistics.connects is {run.driver.statistics.connects}, not 2")


@_check
async def nobody_there_is_told(device: Device) -> None:
    """Without a device: DOWN with a reason, tried again and again, never UP."""
    async with running(device, started=False) as run:
        await run.sink.until(
            lambda: [state for state, _ in run.sink.states].count(LinkState.CONNECTING) >= 2, "a second attempt is made"
        )
        must(any(state is LinkState.DOWN and reason for state, reason in run.sink.states), "DOWN is not told")
        must(all(state is not LinkState.UP for state, _ in run.sink.states), "UP is told, and nobody is there")


@_check
async def counters_move(device: Device) -> None:
    """Frames, values, connects and the time of reception are counted."""
    async with running(device) as run:
        await run.all_known()
        counted = run.driver.statistics
        for name in ("frames_in", "values_in", "connects", "last_receive_ns"):
            must(getattr(counted, name) > 0, f"statistics.{name} is 0")


@_check
async def the_tee_sees_both_directions(device: Device) -> None:
    """Who listens on the wire sees what was read and written; the describer takes every octet of it."""
    async with running(device) as run:
        heard: list[tuple[bool, bytes]] = []
        run.driver.tee = lambda _link, received, _ns, data: heard.append((received, data))
        await run.all_known()
        await _command(run, device.setpoint, 5.0)
        await run.sink.until(lambda: {received for received, _ in heard} == {True, False}, "the tee hears both directions")
        describer = run.driver.describer()
        frames = [frame for received, data in heard for frame in describer.feed(data, received=received)]
        must(bool(frames), "the describer makes no frame of what was heard")


# -------------------------------------------------------------------------------------------------------------- commands


@_check
async def a_command_is_carried_out_once(device: Device) -> None:
    """CONFIRMED means the device did it, once, with the value asked for."""
    async with running(device) as run:
        await run.all_known()
        result = await _command(run, device.setpoint, 42.5)
        must(result.outcome is Outcome.CONFIRMED, f"the command ended {result}")
        must(list(await device.obeyed()) == [(device.setpoint.cid, 42.5)], f"the device did {await device.obeyed()}")


@_check
async def a_refusal_has_a_reason(device: Device) -> None:
    """What the device refuses is REFUSED, with its reason, and not done."""
    async with running(device) as run:
        await run.all_known()
        must(device.forbidden is not None, "the device has no control that it refuses")
        assert device.forbidden is not None
        result = await _command(run, device.forbidden, 1.0)
        must(result.outcome is Outcome.REFUSED, f"a refused command ended {result}")
        must(bool(result.reason), "the refusal has no reason")
        must(not await device.obeyed(), "the device did it all the same")


@_check
async def silence_is_a_time_out(device: Device) -> None:
    """A command nobody answers ends by itself as TIMEOUT; it is not sent again."""
    async with running(device) as run:
        await run.all_known()
        await device.mute()
        result = await _command(run, device.setpoint, 7.0)
        must(result.outcome is Outcome.TIMEOUT, f"an unanswered command ended {result}")
        must(bool(result.reason), "the time-out has no reason")
        must(len(await device.obeyed()) <= 1, "an unanswered command was sent again")


@_check
async def nothing_is_repeated_after_a_reconnect(device: Device) -> None:
    """A command that was on its way when the link broke is reported and never sent again."""
    async with running(device) as run:
        await run.all_known()
        await device.mute()
        command = asyncio.create_task(_command(run, device.setpoint, 7.0))
        await _taken(device)
        await device.stop()
        result = await command
        before = len(await device.obeyed())
        honest = {Outcome.TIMEOUT} if before else {Outcome.LINK_DOWN, Outcome.TIMEOUT}
        must(result.outcome in honest, f"it ended {result}: what was sent may have been carried out")
        run.sink.told.clear()
        run.sink.states.clear()
        await device.start()
        await run.all_known()
        await asyncio.sleep(0.3)  # time in which a repetition would come
        must(len(await device.obeyed()) == before, f"the command was repeated: {await device.obeyed()}")


async def _taken(device: Device) -> None:
    """Wait until the device has taken a command, or for a second where it only notes what it has answered."""
    for _ in range(50):
        if await device.obeyed():
            return
        await asyncio.sleep(0.02)


@_check
async def an_interrogation_brings_every_value(device: Device) -> None:
    """``interrogate()`` ends confirmed after every point was told again, as REFRESH."""
    async with running(device) as run:
        await run.all_known()
        run.sink.told.clear()
        async with asyncio.timeout(rig.PATIENCE_S):
            result = await run.driver.interrogate()
        must(result.outcome is Outcome.CONFIRMED, f"the interrogation ended {result}")
        for point in device.points:
            await run.sink.until(
                lambda point=point: any(one.flags & RecordFlag.REFRESH for one in run.sink.of(point)),  # type: ignore[misc]
                f"{point.path} is told again as REFRESH",
            )


# ------------------------------------------------------------------------------------------------------------ good guests


@_check
async def a_slow_database_pauses_the_driver(device: Device) -> None:
    """While ``sink.ready()`` waits the driver takes only a window more; afterwards every change arrives, in order."""
    async with running(device) as run:
        await run.all_known()
        run.sink.keeps_up.clear()
        before = len(run.sink.of(device.status))
        changes = 3 * device.window
        sending = asyncio.create_task(_flood(device, changes))
        await asyncio.sleep(0.5)  # time in which a driver that does not wait would take them all
        taken = len(run.sink.of(device.status)) - before
        must(taken <= device.window, f"{taken} values were delivered to a database that is behind")
        run.sink.keeps_up.set()
        await run.sink.until(lambda: len(run.sink.of(device.status)) >= before + changes, "all changes arrive afterwards")
        await sending
        told = [one.value for one in run.sink.of(device.status)[before:]]
        must(told == [float((n + 1) % 2) for n in range(changes)], "changes are lost, doubled or out of order")


async def _flood(device: Device, changes: int) -> None:
    for number in range(changes):
        await device.put(device.status, float((number + 1) % 2), _stamp(device, number))


@_check
async def it_never_blocks_the_loop(device: Device) -> None:
    """The wire loop serves every other channel while this one connects, works, loses its device and waits."""
    longest = 0.0

    async def heartbeat() -> None:
        """Measure the longest time between two turns of the loop."""
        nonlocal longest
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(0.01)
            longest, last = max(longest, loop.time() - last), loop.time()

    beat = asyncio.create_task(heartbeat())
    try:
        async with running(device) as run:
            await run.all_known()
            await device.mute()
            await _command(run, device.setpoint, 7.0)
            await device.stop()
            await run.sink.until(lambda: any(state is LinkState.DOWN for state, _ in run.sink.states), "DOWN is told")
    finally:
        beat.cancel()
    must(longest < LONGEST_STALL_S, f"the wire loop stood still for {longest:.1f} s")


@_check
async def cancelling_closes_the_connection(device: Device) -> None:
    """A cancelled driver ends, and its connection with it."""
    async with running(device) as run:
        await run.all_known()
        await run.end()
        for _ in range(100):
            if not await device.connections():
                return
            await asyncio.sleep(0.05)
        raise ConformanceError("the connection is still open")


@_check
async def cancelling_works_while_connecting(device: Device) -> None:
    """A driver that finds nobody can be cancelled at any time."""
    async with running(device, started=False) as run:
        await run.sink.until(lambda: bool(run.sink.states), "it has begun")
        await run.end()


@_check
async def cancelling_works_while_the_database_is_behind(device: Device) -> None:
    """A driver that waits in ``sink.ready()`` can be cancelled too."""
    async with running(device, behind=True) as run:
        connected = (LinkState.UP, LinkState.CONNECTING)
        await run.sink.until(lambda: bool(run.sink.states) and run.sink.states[-1][0] in connected, "it has begun")
        await asyncio.sleep(0.5)  # time in which it connects, delivers if it does so before it asks, and waits
        await run.end()
