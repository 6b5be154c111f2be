"""A refused call: gRPC status, machine code for the trailing metadata ``scada-code``, one sentence."""

from __future__ import annotations

import grpc

from scada.core.errors import ScadaError

LONGEST = 256
"""Characters of a name, an id or a reason in an order: longer ones would be kept and shown with it."""

CODE_KEY = "scada-code"
"""Trailing metadata entry that carries the machine code of a refusal."""


class CallError(ScadaError):
    """Ends a call with a status other than OK.

    Args:
        status: gRPC status code.
        code: machine-readable cause, e.g. ``replayed``; goes to the trailing metadata ``scada-code``.
        what: the cause in one sentence.
        mend: what the caller can do.
    """

    def __init__(self, status: grpc.StatusCode, code: str, what: str, *, mend: str = "") -> None:
        super().__init__(what, mend=mend)
        self.status = status
        self.code = code


def malformed(what: str) -> CallError:
    """The request's bytes or values cannot be used (``INVALID_ARGUMENT``)."""
    return CallError(grpc.StatusCode.INVALID_ARGUMENT, "malformed", what)


def check_texts(*texts: str) -> None:
    """Names, ids and reasons of an order are no longer than :data:`LONGEST`.

    Raises:
        CallError: ``malformed``.
    """
    if any(len(text) > LONGEST for text in texts):
        raise malformed(f"a name, an id or a reason has at most {LONGEST} characters")


def not_found(what: str, mend: str) -> CallError:
    """What was asked for does not exist (``NOT_FOUND``)."""
    return CallError(grpc.StatusCode.NOT_FOUND, "not_found", what, mend=mend)


def must_resync(what: str) -> CallError:
    """The stream cannot go on without a loss; open it again and start from its full frame (``RESOURCE_EXHAUSTED``)."""
    return CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, "resync", what, mend="subscribe again")
