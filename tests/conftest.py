"""What holds for every test."""

import pytest
from hypothesis import settings

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
