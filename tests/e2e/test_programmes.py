"""The programmes of the examples against the simulated grid, through the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).parents[2] / "examples" / "programmes"


def ctl(rig, *words):
    ports = rig.demo.ports
    where = ("--server", f"127.0.0.1:{ports.api}", "--control-port", str(ports.control), "--keys", str(rig.demo.keys))
    command = (sys.executable, "-m", "scada", "ctl", *where, "--lang", "en", "programme", *words)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def up(rig):
    rig.until(lambda: (s := rig.status()) and s.channels_up == s.channels_total and s.points_good >= 0.99 * s.points_total, 90)
    return rig


def position(rig, path):
    control = next(one for one in rig.tables.controls if one.path == path)
    return rig.good(control.feedback)


def test_the_bus_transfer_of_the_examples_runs_on_the_grid(up):
    bay = "Beishan/220kV/Heishan 1"
    assert (position(up, f"{bay}/2111"), position(up, f"{bay}/2112")) == (2, 1)
    code, said = ctl(up, "save", str(EXAMPLES / "bus-transfer.toml"))
    assert code == 0, said
    code, said = ctl(up, "start", "bus-transfer", "--yes", "--watch")
    assert code == 0, said
    assert (position(up, f"{bay}/2111"), position(up, f"{bay}/2112")) == (1, 2)
    # once more its first condition does not hold: the bay is on the other bus
    code, said = ctl(up, "start", "bus-transfer", "--yes", "--watch")
    assert code == 1
    assert 'its condition did not hold within 10 s: closed("Beishan/220kV/Heishan 1/2111")' in said, said
    assert (position(up, f"{bay}/2111"), position(up, f"{bay}/2112")) == (1, 2)


def test_the_group_of_the_examples_opens_both_feeders(up):
    assert ctl(up, "save", str(EXAMPLES / "feeder-shedding.toml"))[0] == 0
    code, said = ctl(up, "start", "feeder-shedding", "--yes", "--watch")
    assert code == 0, said
    assert [position(up, f"Nanping/10kV/{path}") for path in ("F1/9110", "F2/9120")] == [1, 1]
    code, said = ctl(up, "list", "--ended")
    assert said.count("done") == 2, said
