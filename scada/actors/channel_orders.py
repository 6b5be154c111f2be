"""Orders to a channel as work of its driver, each with an end that is known."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, Final

from scada.core.errors import ScadaError
from scada.protocols.driver import CommandResult, Driver, Outcome

ORDER_S: Final = 45.0
"""Longest real time an order to a driver is waited for."""
ACTIONS: Final = (
    "interrogate",
    "synchronise_clock",
    "reconnect",
    "quarantine",
    "release",
    "switch",
    "record",
    "stop_recording",
)
"""What every channel can be asked; whether its protocol can do it, the answer says."""


def order_of(driver: Driver, action: str, arguments: Mapping[str, str]) -> Coroutine[Any, Any, CommandResult] | None:
    """The driver's work for an order; None = this driver knows no such order."""
    match action:
        case "switch":
            return driver.switch(arguments.get("link", ""))
        case "interrogate" if not arguments:
            return driver.interrogate()
        case "synchronise_clock" if not arguments:
            return driver.synchronise_clock()
        case "interrogate" | "synchronise_clock":
            return driver.order(action, arguments)
        case _:
            return driver.order(action, arguments) if action in driver.orders else None


async def bounded(work: Coroutine[Any, Any, CommandResult]) -> CommandResult:
    """How the work ends, or that it was no longer waited for."""
    try:
        async with asyncio.timeout(ORDER_S):
            return await work
    except TimeoutError:
        return CommandResult(Outcome.TIMEOUT, f"no end within {ORDER_S:g} s; the station may still carry it out")


def result_of(done: Future[CommandResult]) -> CommandResult:
    """The outcome of work on the wire, whatever became of it."""
    if done.cancelled():
        return CommandResult(Outcome.LINK_DOWN, "the channel was stopped")
    error = done.exception()
    if isinstance(error, ScadaError):
        return CommandResult(Outcome.REFUSED, str(error))
    if error is not None:
        return CommandResult(Outcome.TIMEOUT, f"{type(error).__name__}: {error}")
    return done.result()
