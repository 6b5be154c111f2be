"""Our master and our station with two networks between them: cables pulled, slow and lossy ways; no event lost, none twice."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from system.networks import POINTS, Cable, Centre, Station, driver

from scada.core.clock import make_clock

pytestmark = pytest.mark.e2e


def check(sent, got):
    """Everything once, in order for each point."""
    sent, got = [tuple(one) for one in sent], [tuple(one) for one in got]
    assert len(set(got)) == len(got), f"twice: {[one for one in got if got.count(one) > 1][:5]}"
    assert set(got) == set(sent), f"lost: {sorted(set(sent) - set(got))[:5]}, invented: {sorted(set(got) - set(sent))[:5]}"
    for pid in range(POINTS):
        assert [one for one in got if one[0] == pid] == [one for one in sent if one[0] == pid]


# ---------------------------------------------------------------- proxies: everywhere


class Plant:
    """Both sides in this process, five times as fast as real time: slow enough for a machine that is busy otherwise."""

    async def __aenter__(self):
        self.clock = make_clock(5.0)
        self.cables = {}
        self._stack = contextlib.AsyncExitStack()
        self.station = Station(self.clock)
        await self.station.server.start()
        for name in "AB":
            self.cables[name] = await self._stack.enter_async_context(Cable(self.station.server.port, delay_s=0.002))
        self.sink = Centre(self.clock)
        ports = [self.cables[name].port for name in "AB"]
        self.driver = driver(self.sink, self.clock, "127.0.0.1", ports[0], "127.0.0.1", ports[1], t1=4)
        self.running = asyncio.ensure_future(self.driver.run())
        await self.both()
        return self

    async def __aexit__(self, *_):
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.station.server.close()
        await self._stack.aclose()

    def links(self):
        return {report.name: report.state.value for report in self.driver.links()}

    async def both(self):
        await self.sink.until(lambda: sorted(self.links().values()) == ["standby", "up"])

    async def used(self):
        await self.sink.until(lambda: "up" in self.links().values())
        return next(name for name, state in self.links().items() if state == "up")


async def test_cables_pulled_again_and_again_lose_and_double_nothing():
    async with Plant() as plant:
        changing = asyncio.ensure_future(plant.station.change(1500, 0.01))
        for _ in range(3):
            await asyncio.sleep(0.2)
            used = await plant.used()
            plant.cables[used].pulled = True  # nobody is told: both ends are half open
            await plant.sink.until(lambda used=used: plant.links()["AB".replace(used, "")] == "up")
            plant.cables[used].pulled = False
            await plant.both()
        await plant.both()
        assert (await plant.driver.switch()).outcome.value == "confirmed"
        await changing
        await plant.sink.until(lambda: len(plant.sink.got) >= len(plant.station.sent))
        check(plant.station.sent, plant.sink.got)
        assert plant.driver.statistics.switches >= 4
        assert not [state for state, _ in plant.sink.states if state == "down"]


async def test_both_networks_down_is_the_loss_of_the_channel_and_the_events_come_afterwards():
    async with Plant() as plant:
        for cable in plant.cables.values():
            cable.pulled = True
        await plant.sink.until(lambda: plant.sink.states[-1][0] == "down")
        await plant.station.change(300, 0.005)
        for cable in plant.cables.values():
            cable.pulled = False
        await plant.sink.until(lambda: len(plant.sink.got) >= 300)
        await plant.both()
        check(plant.station.sent, plant.sink.got)


async def test_a_half_open_standby_is_noticed_before_it_is_needed():
    async with Plant() as plant:
        standby = "AB".replace(await plant.used(), "")
        plant.cables[standby].pulled = True
        await plant.sink.until(lambda: "standby_lost" in dict(plant.sink.notices))
        assert "TESTFR_ACT was not confirmed" in dict(plant.sink.notices)["standby_lost"]
        assert plant.sink.states[-1][0] == "up"


# ---------------------------------------------------------------- namespaces: where we may


def may():
    return os.geteuid() == 0 and shutil.which("ip") and Path("/dev/net/tun").exists()


def run(*words):
    subprocess.run(words, check=True, capture_output=True, text=True)


class Networks:
    """Two namespaces and two ways between them, each with packets late, out of order, lost and doubled.

    The ways are a process of ours with TUN devices, because netem is not in every kernel; TCP is the kernel's own.
    """

    def __init__(self, sides):
        self.master, self.station = f"scm{os.getpid()}", f"scs{os.getpid()}"
        self._sides = sides

    def __enter__(self):
        devices = [f"{end}{number}x{os.getpid()}"[:15] for number in (1, 2) for end in "ms"]
        try:
            for namespace in (self.master, self.station):
                run("ip", "netns", "add", namespace)
            self.ways = Side("", "ways", *devices)
            self._sides.callback(self.ways.close)
            self.ways.ask()
            for number, name in enumerate("ab", 1):
                for host, namespace in enumerate((self.master, self.station), 1):
                    device = devices[2 * (number - 1) + host - 1]
                    run("ip", "link", "set", device, "netns", namespace)
                    run("ip", "-n", namespace, "link", "set", device, "name", f"net{name}")
                    run("ip", "-n", namespace, "addr", "add", f"10.77.{number}.{host}/24", "dev", f"net{name}")
                    run("ip", "-n", namespace, "link", "set", f"net{name}", "up")
        except (subprocess.CalledProcessError, OSError, ValueError) as error:
            self.__exit__()
            pytest.skip(f"no namespaces here: {getattr(error, 'stderr', error)}")
        return self

    def __exit__(self, *_):
        for namespace in (self.master, self.station):
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)

    def device(self, link, state):
        """Take the station's interface down or up, as when its own cable is pulled."""
        run("ip", "-n", self.station, "link", "set", f"net{link.lower()}", state)


class Side:
    """One side in a process of its own, in its namespace if it has one."""

    def __init__(self, namespace, *words):
        script = Path(__file__).with_name("networks.py")
        within = ["ip", "netns", "exec", namespace] if namespace else []
        command = [*within, sys.executable, str(script), *words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, *words):
        print(*words, file=self.process.stdin, flush=True)

    def ask(self, *words):
        if words:
            self.tell(*words)
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


def wait(condition, seconds=40.0):
    """Seconds until a condition of another process held."""
    began = time.monotonic()
    for _ in itertools.count():
        if condition():
            return time.monotonic() - began
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    raise AssertionError


@pytest.mark.slow
@pytest.mark.skipif(not may(), reason="needs root, ip and /dev/net/tun")
def test_two_slow_and_lossy_networks_with_cables_pulled(capsys):
    with contextlib.ExitStack() as sides, Networks(sides) as networks:
        station = Side(networks.station, "station")
        sides.callback(station.close)
        assert station.ask() == {"ready": True}
        master = Side(networks.master, "master", "10.77.1.2", "10.77.2.2")
        sides.callback(master.close)
        states = lambda: master.ask("links")["links"]  # noqa: E731
        both = lambda: sorted(states().values()) == ["standby", "up"]  # noqa: E731
        wait(both)
        station.tell("change", 2500, 0.004)
        times = []
        for pull, plug in (
            (lambda link: networks.ways.tell("pull", link), lambda link: networks.ways.tell("plug", link)),
            (lambda link: networks.device(link, "down"), lambda link: networks.device(link, "up")),
        ):
            time.sleep(1)
            used = next(name for name, state in states().items() if state == "up")
            other = "AB".replace(used, "")
            pull(used)
            times.append(wait(lambda other=other: states()[other] == "up"))
            plug(used)
            wait(both)
        assert master.ask("switch", used)["outcome"] == "confirmed"
        sent = station.ask("sent")["sent"]
        wait(lambda: len(master.ask("got")["got"]) >= len(sent))
        facts = master.ask("got")
        assert min(networks.ways.ask("lost")["lost"]) > 0  # the ways were as bad as they were meant to be
    check(sent, facts["got"])
    assert facts["switches"] == 3
    assert not [state for state, _ in facts["states"] if state == "down"]
    took = ", ".join(f"{one:.1f} s" for one in times)
    with capsys.disabled():
        print(f"\n  cables pulled: data flowed again after {took}; {facts['duplicates']} repeated events left out")
