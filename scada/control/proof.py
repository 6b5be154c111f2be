"""What a station's answer and the feedback prove: how a control ended, in state, code and one sentence.

Only a good value of the plant proves success. What proves nothing says so, and what is not known is called that.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from scada.control.plant import Reading
from scada.control.records import SequenceState
from scada.protocols.driver import CommandResult, Outcome

UNWATCHED: Final = "no_feedback"
"""Code of a success that the station alone tells."""
_OPERATED_OR_NOT: Final = frozenset({"confirmation_timeout", "held", "feedback_bad"})


class Ending(NamedTuple):
    """How a control ended."""

    state: SequenceState
    code: str
    reason: str


def is_known(state: SequenceState, code: str) -> bool:
    """Whether it is known of a control that was executed and did not succeed that it did not operate."""
    return state not in (SequenceState.EXEC_FAILED, SequenceState.TIMED_OUT) or code not in _OPERATED_OR_NOT


def refused_preset(result: CommandResult) -> Ending:
    """The station did not check back."""
    return Ending(
        SequenceState.CHECK_FAILED, _code(result, "check_back_refused"), result.reason or "the station refused the preset"
    )


def refused_execute(result: CommandResult) -> Ending:
    """The station did not operate."""
    return Ending(SequenceState.EXEC_FAILED, _code(result, "execute_refused"), result.reason or "the station refused to execute")


def _code(result: CommandResult, refused: str) -> str:
    return {Outcome.REFUSED: refused, Outcome.LINK_DOWN: "link_down"}.get(result.outcome, "unsupported")


def succeeded(*, confirmed: bool, followed: bool, proves: bool) -> Ending:
    """It is where it was told to go, or the station says so.

    Args:
        confirmed: the station confirmed the execute.
        followed: the feedback shows what was ordered.
        proves: the feedback showed something else before.
    """
    code, reason = "", "the feedback followed"
    if not followed:
        code, reason = UNWATCHED, "confirmed by the station; no feedback was watched"
    elif not proves:
        code, reason = "already", "confirmed by the station; the feedback showed this state before, so it proves nothing"
    elif not confirmed:
        code, reason = "unconfirmed", "the feedback followed, the station's confirmation did not come"
    return Ending(SequenceState.SUCCESS, code, reason)


def not_followed(present: Reading, timeout_s: float, *, confirmed: bool) -> Ending:
    """The feedback did not show it in time.

    Args:
        present: the feedback's reading at the end.
        timeout_s: how long it was watched.
        confirmed: the station confirmed the execute.
    """
    if not confirmed:
        text = "neither confirmation nor feedback came: whether it operated is not known"
        return Ending(SequenceState.TIMED_OUT, "confirmation_timeout", text)
    if present.held:
        text = "confirmed by the station, but an operator holds the feedback's value: whether it operated is not known"
        return Ending(SequenceState.EXEC_FAILED, "held", text)
    if not present.good:
        text = "confirmed by the station, but the feedback is not valid: whether it operated is not known"
        return Ending(SequenceState.EXEC_FAILED, "feedback_bad", text)
    text = f"confirmed by the station, but the feedback did not follow within {timeout_s:g} s"
    return Ending(SequenceState.EXEC_FAILED, "feedback_timeout", text)
