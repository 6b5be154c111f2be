"""The form of a figure, and the outstations of the measurement against our own station-side decoder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.effects import Notice, Send, Values

BENCH = Path(__file__).resolve().parents[2] / "bench"
NOW = 1_800_000_000_123_456_789


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


def line(*arguments, **more):
    from figures import Figure

    return json.loads(Figure(*arguments, **more).line())


def test_the_form_of_a_line():
    shown = line("chain.throughput", 123_456.0, "1/s", 100_000.0, at_least=True, beside={"peer": 1000.0})
    assert shown == {
        "name": "chain.throughput",
        "value": 123_500.0,
        "unit": "1/s",
        "aim": 100_000.0,
        "ok": True,
        "beside": {"peer": 1000.0},
        "ratio": 123.5,
    }


@pytest.mark.parametrize(
    ("value", "at_least", "ok", "ratio"), [(5.0, False, False, 2.0), (5.0, True, True, 0.5), (4.0, False, True, 2.5)]
)
def test_better_is_above_one_whichever_way_the_unit_goes(value, at_least, ok, ratio):
    shown = line("a.b", value, "us", 4.0, at_least=at_least, beside={"one": 10.0, "other": None})
    assert (shown["ok"], shown["ratio"]) == (ok, ratio)


def test_what_was_not_measured_is_empty_and_says_why():
    shown = line("a.b", None, "us", 4.0, beside={"one": None}, note="not installed")
    assert (shown["value"], shown["ok"], shown["ratio"], shown["note"]) == (None, False, None, "not installed")
    assert line("a.b", 1.0, "us")["ok"] is None


def test_the_groups_are_named():
    done = subprocess.run(
        [sys.executable, str(BENCH / "run.py"), "--list"], capture_output=True, text=True, check=True, timeout=60
    )
    groups = [line.split() for line in done.stdout.splitlines()]
    assert {"capacity", "chain", "events", "rtdb"} <= {group[0] for group in groups}
    families = {"api": ("api.", "control."), "security": ("control.", "auth.", "audit.")}
    assert all(name.startswith(families.get(group[0], f"{group[0]}.")) for group in groups for name in group[1:])


class Line:
    """A connection by hand: what one side writes is kept."""

    def __init__(self):
        self.octets = b""

    def write(self, data):
        self.octets += bytes(data)

    def take(self):
        taken, self.octets = self.octets, b""
        return taken


def test_outstations_keep_the_window_and_send_each_value_once():
    from chain.blaster import VALUES, Station
    from chain.tables import tables

    made = tables([2404], 800, {"k": 12, "w": 8})
    channel = Channel(made.channels[0], made.points, [])
    station, wire = Station(1, 800, 12), Line()
    station.connection_made(wire)
    got, notices, mono = [], [], 0.0

    def exchange(effects):
        sent = b"".join(effect.data for effect in effects if isinstance(effect, Send))
        got.extend(effect.batch.records for effect in effects if isinstance(effect, Values))
        notices.extend(effect for effect in effects if isinstance(effect, Notice))
        if sent:
            station.data_received(sent)

    def settle():
        while octets := wire.take():
            exchange(channel.feed(octets, NOW, mono))
            exchange(channel.delivered(mono))

    exchange(channel.connected(mono))
    settle()
    interrogated = np.concatenate(got)
    assert len(interrogated) == 800
    assert not interrogated["value"].any()
    got.clear()

    station.change(30, NOW)
    assert len(wire.octets) == 0 or station.outstanding <= 12
    assert station.most <= 12
    settle()
    station.change(50, NOW)
    settle()
    mono = 11.0  # t2 has passed: what is left is acknowledged
    exchange(channel.tick(NOW, mono))
    settle()
    records = np.concatenate(got)
    assert station.most == 12
    assert station.idle
    assert len(records) == 80 * VALUES
    assert (records["source_time"] == NOW // 1_000_000 * 1_000_000).all()
    for pid in range(800):
        assert records["value"][records["pid"] == pid].tolist() == ([1.0, 2.0] if pid < 30 * VALUES else [1.0])
    assert notices == []
