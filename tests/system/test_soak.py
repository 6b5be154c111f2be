"""The server under simulated load: memory, files and threads stay as they are, and nothing that was sent is missing.

By default fifteen simulated minutes; with ``SCADA_SOAK=1`` (nightly) an hour, with another number so many hours.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from system.soak import ANALOGS_A_STEP, STEP_S, growth

from scada.core.quality import Quality

SOAK = Path(__file__).with_name("soak.py")
HOURS = float(os.environ.get("SCADA_SOAK", "0"))
SECONDS = HOURS * 3600 or 900.0


@pytest.fixture(scope="module")
def report():
    arguments = [sys.executable, str(SOAK), "--seconds", str(SECONDS)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=max(SECONDS, 900), check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(max(SECONDS, 900) + 60)]


def test_every_change_came_out_once_and_in_order(report):
    assert report["changes"] >= SECONDS / STEP_S * ANALOGS_A_STEP
    assert (report["lost"], report["gaps"]) == (0, 0)
    assert report["values_that_differ_after_restart"] == 0


def test_every_status_change_is_in_the_event_log_with_its_milliseconds(report):
    assert report["states"] > SECONDS / 3
    assert report["states_not_in_log"] == 0


def test_a_total_over_the_whole_time_is_exact(report):
    assert report["energy_mwh"] == pytest.approx(report["energy_expected_mwh"], rel=1e-9)
    assert report["energy_quality"] == Quality.CALCULATED


def test_no_part_failed(report):
    assert report["restarts"] == {}


@pytest.mark.parametrize("name", ["threads", "files"])
def test_threads_and_open_files_do_not_grow(report, name):
    early, late = growth(report, name)
    assert late <= early


def test_memory_is_flat(report):
    # by half time everything that is loaded once is there, the buffers of AVC's first network solution the last
    early, late = growth(report, "anon_kib", settled=0.5)
    assert late - early <= max(8 * 1024, 0.05 * early), [minute["anon_kib"] for minute in report["minutes"]]


def test_the_database_stays_within_its_retention(report):
    largest = max(minute["rtdb_kib"] for minute in report["minutes"])
    assert largest <= 3 * report["journal_kib"], "two journals' worth of pages and the checkpoint"


def test_what_was_recorded_has_no_hole_and_stays_within_its_room(report):
    assert report["frames_recorded"] > 10_000
    assert report["frames_missing"] == 0
    assert max(minute["recordings_kib"] for minute in report["minutes"]) <= 5 * 1024, "keep_mb, and the file that is written"


@pytest.mark.parametrize("name", ["events_kib", "history_kib"])
def test_logs_grow_no_faster_than_what_is_logged(report, name):
    """Retention is by days: within hours they grow, but evenly; what grows ever faster would fill the disk."""
    column = [minute[name] for minute in report["minutes"]]
    half = len(column) // 2
    assert column[-1] - column[half] <= 1.5 * (column[half] - column[0]) + 4096
