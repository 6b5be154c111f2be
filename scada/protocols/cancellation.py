"""Cancellation that libraries may swallow."""

from __future__ import annotations

import asyncio


def end_if_cancelled() -> None:
    """End the running task if it was asked to end and a library kept that to itself.

    ``asyncio.wait_for`` swallows a cancellation that meets the awaited result (before Python 3.12); a driver calls this in each
    round of its loop.

    Raises:
        asyncio.CancelledError: the task was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
