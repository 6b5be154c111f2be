"""Life and death of the simulator and its children."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.e2e  # a time limit needs the machine for itself
def test_term_stops_everything_within_two_seconds(start_sim, wait_until):
    sim = start_sim()
    pids = sim.child_pids()
    assert len(pids) == 8
    assert all(_alive(pid) for pid in pids)
    began = time.monotonic()
    sim.process.send_signal(signal.SIGTERM)
    sim.process.wait(5)
    assert time.monotonic() - began < 2.0
    assert not any(_alive(pid) for pid in pids)
    assert "Traceback" not in sim.stop()


def test_no_outstation_outlives_a_killed_plant(start_sim, wait_until):
    sim = start_sim()
    pids = sim.child_pids()
    sim.process.kill()
    sim.process.wait(5)
    wait_until(lambda: not any(_alive(pid) for pid in pids), 3.0)
    sim.stop()


def test_a_crashed_outstation_is_started_again_with_a_log_line(start_sim, wait_until):
    sim = start_sim()
    with sim.client() as desk:
        before = desk.status()["channels"]["Fenghe plant"]
        os.kill(before["pid"], signal.SIGKILL)
        wait_until(lambda: desk.status()["channels"]["Fenghe plant"]["restarts"] == 1)
        after = wait_until(lambda: (c := desk.status()["channels"]["Fenghe plant"])["ready"] and c, 30.0)
        assert after["pid"] != before["pid"]
        others = [c["restarts"] for name, c in desk.status()["channels"].items() if name != "Fenghe plant"]
        assert others == [0] * 7
    assert "outstation Fenghe plant ended and is started again" in sim.stop()


def test_a_busy_port_is_one_clear_line(start_sim):
    from tests.sim.conftest import GRID, free_ports

    base = free_ports(9)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 3))
        taken.listen()
        done = subprocess.run(
            [sys.executable, "-m", "scada", "sim", "--model", str(GRID), "--base-port", str(base), "--admin", str(base + 8)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert str(base + 3) in done.stderr
    assert "Longtan RTU" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--port", "Nowhere=2404"], "no channel 'Nowhere'"),
        (["--port", "Beishan RTU"], "is not NAME=PORT"),
        (["--sim", "/does/not/exist.toml"], "/does/not/exist.toml"),
        (["--model", "/does/not/exist"], "/does/not/exist"),
    ],
)
def test_wrong_options_are_one_clear_line(args, told):
    done = subprocess.run([sys.executable, "-m", "scada", "sim", *args], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_fault_words_from_the_command_line(start_sim):
    sim = start_sim("--rate", "5")

    def fault(*words):
        return subprocess.run(
            [sys.executable, "-m", "scada", "sim", "fault", "--admin", str(sim.admin), *words],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    status = json.loads(fault("status").stdout)
    assert status["solved"]
    assert status["frequency_hz"]["East"] == pytest.approx(50.0, abs=0.2)
    before = status["units"]["G1"]["p_mw"]
    assert before > 50
    assert json.loads(fault("trip", "G1").stdout)["opened"]
    time.sleep(2.0)  # ten simulated seconds of real processes
    status = json.loads(fault("status").stdout)
    assert status["units"]["G1"]["p_mw"] == 0
    assert not status["units"]["G1"]["online"]
    assert status["frequency_hz"]["East"] < 49.9
    assert status["export_mw"]["East"] < -100
    for words, told in (
        (("dance",), "no such word"),
        (("trip", "Nobody"), "Nobody"),
        (("value", "Nowhere/P", "3"), "no measured point"),
        (("noise", "Donghu/220kV/Bus I/Uab", "loud"), "wrong request"),
        (("clear", "77"), "no fault number 77"),
        (("close", "2119"), "match"),
    ):
        refused = fault(*words)
        assert refused.returncode == 1, words
        assert told in refused.stderr, words
        assert "Traceback" not in refused.stderr
    sim.stop()
    gone = fault("status")
    assert gone.returncode == 1
    assert "no simulator listens" in gone.stderr
