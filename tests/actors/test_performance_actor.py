"""The actor that keeps the accounts of regulation: samples of AGC, a new model, faults of the disk, kill -9."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from actors.harness import Box, make
from actors.test_small_actors import Regulation
from apps.agc_avc.performance_rig import MIDNIGHT, area, sample, unit

from scada.actors.base import Address
from scada.actors.mailbox import Envelope
from scada.actors.performance import PerformanceActor, PerformanceView, RegulationSampled, rules_of, sample_of
from scada.apps.agc_avc.performance.store import PerformanceReader, PerformanceStore
from scada.core.agc_settings import AgcSettings
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.errors import ConfigError, StoreError
from scada.core.performance_settings import PerformanceSettings
from scada.core.quality import Quality

MINUTE = MIDNIGHT // 60
SCRIPT = Path(__file__).with_name("performance_process.py")


class Accounts:
    def __init__(self, folder, **settings):
        self.folder, self.settings = folder, PerformanceSettings(path=folder, **settings)
        self.events, self.view, self.area = Box(), PerformanceView(), area()
        self.start()

    def start(self):
        self.store = PerformanceStore(self.folder, map_mb=16)
        self.actor = make(
            PerformanceActor,
            name="performance",
            store=self.store,
            agc=AgcSettings(),
            settings=self.settings,
            profiles=rules_of(self.settings),
            zone=ZoneInfo("Asia/Shanghai"),
            events=self.events,
            view=self.view,
            clock=VirtualClock(),
        )
        self.actor.started()

    def run(self, begin, end, *, of=None, **columns):
        for second in range(begin, end, 4):
            self.actor.receive(RegulationSampled(of or self.area, sample(MIDNIGHT + second, **columns)))

    def minutes(self):
        return self.store.minutes(0, MINUTE, MINUTE + 1440)


@pytest.fixture
def accounts(tmp_path):
    opened = []

    def begin(**settings):
        opened.append(Accounts(tmp_path / f"p{len(opened)}", **settings))
        return opened[-1]

    yield begin
    for one in opened:
        one.store.close()


def test_the_running_indices_are_published_after_each_minute(accounts):
    one = accounts()
    one.run(0, 56, ace=-10.0, deviation=-0.01)
    assert one.view.areas == {}
    one.run(56, 124, ace=-10.0, deviation=-0.01)
    shown = one.view.areas["North"]
    assert [period.period for period in shown.periods] == ["hour", "day", "month"]
    hour = shown.periods[0]
    assert (hour.minutes, hour.valid_minutes, hour.begin_ns) == (2, 2, MIDNIGHT * NS_PER_S)
    # -10 B = 500 MW/Hz: CF = (-10/500)(-0.01) = 2e-4; eps1 = 0.018: 100 (2 - 2e-4/3.24e-4)
    assert hour.cps1_percent == pytest.approx(100 * (2 - 2e-4 / 0.018**2))
    assert shown.periods[1].begin_ns == (MIDNIGHT - 8 * 3600 + 0) * NS_PER_S  # the day of Shanghai began at 16:00 UTC
    assert shown.rules == "shaanxi-2025-draft"


def test_an_ordered_stop_loses_nothing_and_a_new_model_goes_on(accounts):
    one = accounts()
    one.run(0, 90, ace=3.0)
    one.actor.stopped()
    one.store.close()
    one.start()
    one.run(92, 150, ace=3.0)
    changed = replace(one.area, units=[*one.area.units, unit("U9", 50.0)])
    for second in range(152, 200, 4):
        given = sample(MIDNIGHT + second, 3.0, power=[100.0] * 3, setpoint=[100.0] * 3)
        one.actor.receive(RegulationSampled(changed, given))
    rows = one.minutes()
    assert [(int(row["minute"]) - MINUTE, int(row["valid"])) for row in rows] == [(0, 15), (1, 15), (2, 15)]
    assert [(minute - MINUTE, len(units)) for minute, units in one.store.unit_minutes(0, MINUTE, MINUTE + 9)] == [
        (0, 2),
        (1, 2),
        (2, 3),
    ]


def test_what_cannot_be_written_waits_and_is_said_once(accounts, monkeypatch):
    one = accounts()
    real, faults = PerformanceStore.keep, []

    def full(self, *arguments):
        if faults:
            raise StoreError("the disk is full")
        return real(self, *arguments)

    monkeypatch.setattr(PerformanceStore, "keep", full)
    one.run(0, 64, ace=1.0)
    faults.append(1)
    one.run(64, 304, ace=1.0)
    assert one.events.keys() == ["performance.failed"]
    assert len(one.minutes()) == 1
    faults.clear()
    one.run(304, 364, ace=1.0)
    assert one.events.keys() == ["performance.failed", "performance.mended"]
    assert one.minutes()["minute"].tolist() == [MINUTE + number for number in range(6)]


@pytest.mark.parametrize("kind", ["damaged", "of another layout"])
def test_a_state_that_cannot_be_used_costs_the_running_minute_only(accounts, kind):
    one = accounts()
    one.run(0, 90, ace=3.0)
    if kind == "damaged":
        with one.store._writer.write() as txn:
            txn.put("meta", b"state/0/000000", b"nonsense")
    else:
        one.store.keep(0, None, {"layout": 0, "area": "what was it?"})
    one.store.close()
    one.start()
    one.run(92, 184, ace=3.0)
    assert one.events.keys() == (["performance.damaged"] if kind == "damaged" else [])
    assert [(int(row["minute"]) - MINUTE, int(row["valid"])) for row in one.minutes()] == [(0, 15), (1, 7), (2, 15)]


def test_unknown_rules_of_the_model_are_said_and_those_of_the_configuration_stop_the_start(accounts):
    one = accounts()
    one.run(0, 8, of=replace(one.area, performance_rules="atlantis"))
    assert one.events.keys() == ["performance.rules"]
    assert one.store.areas()[0].rules == "shaanxi-2025-draft"
    with pytest.raises(ConfigError, match="atlantis"):
        rules_of(PerformanceSettings(rules="atlantis"))


def test_a_sample_has_the_sign_of_nerc_and_only_an_ace_that_may_be_used():
    units = SimpleNamespace(power_mw=np.array([1.0]), setpoint_mw=np.array([math.nan]), available=np.array([True]))
    plain = {"units": units, "cycle_ns": 5, "frequency_hz": 50.02, "scheduled_frequency_hz": 50.0, "state": "on"}
    plain |= {"interchange_mw": 12.0, "scheduled_interchange_mw": 10.0}
    shown = sample_of(SimpleNamespace(ace_mw=7.0, sign="reversed", without_ace_s=0.0, **plain))
    assert (shown.ace_mw, shown.inadvertent_mw, shown.controlling, shown.power_mw.tolist()) == (-7.0, 2.0, True, [1.0])
    assert shown.deviation_hz == pytest.approx(0.02)
    assert math.isnan(sample_of(SimpleNamespace(ace_mw=7.0, sign="nerc", without_ace_s=4.0, **plain)).ace_mw)


def test_agc_offers_a_sample_each_cycle(demo, tmp_path):
    regulation, told = Regulation(demo[1], tmp_path), Box()
    regulation.actor._performance = told
    regulation.put(dict.fromkeys(regulation.area.frequency, 49.98))
    regulation.cycle(2)
    regulation.put(dict.fromkeys(regulation.area.frequency, 50.0), quality=int(Quality.COMM_LOST))
    regulation.cycle()
    first, second, blind = told.take(RegulationSampled)
    assert first.area is second.area is regulation.area
    assert second.sample.deviation_hz == pytest.approx(-0.02)
    assert second.sample.ace_mw == pytest.approx(-10 * regulation.area.bias * -0.02)
    assert second.sample.controlling
    assert second.sample.power_mw.tolist() == [(one.minimum + one.maximum) / 2 for one in regulation.area.units]
    assert second.sample.now_ns - first.sample.now_ns == 4 * NS_PER_S
    assert math.isnan(blind.sample.ace_mw)
    regulation.disk.close()


def test_agc_never_waits_for_the_accounts():
    address = Address("performance", capacity=2)
    taken = [address.offer(RegulationSampled(area(), sample(second))) for second in range(3)]
    assert taken == [True, True, False]
    assert isinstance(address.mailbox.get(), Envelope)


@pytest.mark.e2e
def test_kill_9_doubles_nothing(tmp_path):
    """A process that runs simulated minutes is killed again and again and takes up the simulated time where it was."""
    second = 0
    for _ in range(4):
        child = subprocess.Popen([sys.executable, str(SCRIPT), str(tmp_path), str(second)], stdout=subprocess.PIPE, text=True)
        for _ in range(60):
            second = int(child.stdout.readline())
        child.kill()
        rest = child.stdout.read().split()
        child.stdout.close()
        child.wait(10)
        second = int(rest[-1]) if rest else second
        second += 4
    reader = PerformanceReader.open(tmp_path)
    rows = reader.minutes(0, MINUTE, MINUTE + 100_000)
    minutes = rows["minute"].tolist()
    assert minutes == sorted(set(minutes))
    assert len(minutes) >= 4 * 60 // 15 - 4
    assert (rows["valid"] <= 15).all()
    whole = rows[rows["valid"] == 15]
    assert (whole["ace_mw"] == 5.0).all()
    assert len(whole) >= len(rows) - 4  # at most the minute of each kill is short
    commands = list(reader.commands(0, 2**62))
    assert len({(one.unit, one.measured.begin_ns) for one in commands}) == len(commands)
    reader.close()
