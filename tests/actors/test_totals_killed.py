"""kill -9 of a process with totals, again and again: every second is either integrated or counted as missing."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("totals_process.py")
KILLS = int(os.environ.get("SCADA_CRASHES", "4"))


def process(folder, reading, mode):
    arguments = [sys.executable, str(SCRIPT), str(folder), str(reading), mode]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.e2e
@pytest.mark.slow
def test_totals_after_many_kills(tmp_path):
    chance, reading, first_at = random.Random(7), 0, 0
    for _ in range(KILLS):
        child = process(tmp_path, reading, "run")
        _, began = child.stdout.readline().split()
        first_at = first_at or int(began)
        for _ in range(chance.randint(5, 60)):
            said, _ = child.stdout.readline().split()
        child.kill()
        rest = child.stdout.read().splitlines()
        child.stdout.close()
        child.wait(10)
        whole = [line for line in rest if len(line.split()) == 2]
        reading = int((whole[-1] if whole else said).split()[0]) + 1
    answer, _ = process(tmp_path, reading, "report").communicate(timeout=60)
    report = json.loads(answer)
    _, shown_reading, total, counted, good, bad = report["value"]
    assert shown_reading >= reading - 1, "what was said to be committed is there"
    assert counted == shown_reading, "the meter is exact"
    assert total == pytest.approx(2.0 * good, rel=1e-9)
    assert good + bad == pytest.approx((report["now"] - first_at) / 1e9, abs=0.3), "nothing lost, nothing doubled"
    assert good > 0.01 * KILLS
    assert bad > 0.1 * KILLS, "starting takes its time"
    assert report["questionable"]
    assert report["events"] == []
