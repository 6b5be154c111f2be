"""What holds for every test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

CLIENT = Path(__file__).resolve().parent.parent / "hmi-client"

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("untimed")

REAL_TIME = ("interop", "e2e", "browser")
"""Marks of tests that wait for other processes by the real clock."""
RERUNS = 2


def pytest_collection_modifyitems(items):
    """A test against another program's clock may meet a machine that is busy elsewhere: it is tried again, and pytest says so.

    Whoever sees the same name under RERUN again and again has found a fault, not a busy machine.
    """
    for item in items:
        if any(item.get_closest_marker(mark) for mark in REAL_TIME):
            item.add_marker(pytest.mark.flaky(reruns=RERUNS))


@pytest.fixture(scope="session")
def npm_client():
    """Folder of the page's sources with its locked npm packages in place; they are brought by whichever test comes first."""
    done = subprocess.run([sys.executable, str(CLIENT / "build.py"), "--install"], capture_output=True, text=True, check=False)
    if done.returncode == 2 and not os.environ.get("CI"):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr + done.stdout
    return CLIENT
