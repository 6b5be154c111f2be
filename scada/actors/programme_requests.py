"""Programmes and runs between the wire and the desk."""

from __future__ import annotations

from typing import Final

from scadapb.v1 import scada_pb2 as pb

from scada.control.programme_book import Answer, ProgrammeBook
from scada.control.programme_desk import RunWord, StartOrder
from scada.control.programme_records import RunRecord
from scada.control.programmes import Kind, Programme, Step

_REASON: Final = 500
"""Characters of a reason that are kept."""


def programme_of(request: pb.SaveProgrammeRequest) -> Programme:
    """What is to be saved; its kind must be one (``removed`` programmes keep their own)."""
    asked = request.programme
    steps = tuple(
        Step(one.control, one.value, one.condition.strip(), one.timeout_s, one.pause_s, one.note, one.accept_no_feedback)
        for one in asked.steps
    )
    kind = Kind(asked.kind) if asked.kind else Kind.SEQUENCE
    return Programme(asked.name, asked.title, kind, steps, reason=request.reason[:_REASON])


def start_of(request: pb.StartProgrammeRequest) -> StartOrder:
    """What is to be started."""
    return StartOrder(
        request.name,
        request.version,
        request.digest,
        request.at_ns,
        request.condition.strip(),
        request.wait_s,
        request.single_step,
        request.emergency,
        request.reason[:_REASON],
    )


def word_of(request: pb.ConfirmProgrammeRequest) -> RunWord:
    """What the guardian says."""
    return RunWord(request.run, request.digest, request.start_digest, request.refuse, request.reason[:_REASON])


def reply_of(answer: Answer) -> pb.ProgrammeReply:
    """The answer to an order."""
    return pb.ProgrammeReply(
        accepted=answer.accepted,
        code=answer.code,
        reason=answer.reason,
        run=answer.run,
        version=answer.version,
        digest=answer.digest,
        findings=answer.findings,
    )


def shown_programme(programme: Programme, book: ProgrammeBook, *, checked: bool = True) -> pb.Programme:
    """A version with the paths of its controls and, if asked, what is wrong with each step now."""
    findings = book.findings(programme).steps if checked else ("",) * len(programme.steps)
    return pb.Programme(
        name=programme.name,
        title=programme.title,
        kind=programme.kind.value,
        steps=[_shown_step(step, book, finding) for step, finding in zip(programme.steps, findings, strict=True)],
        version=programme.version,
        digest=programme.digest,
        author=programme.author,
        saved_ns=programme.saved_ns,
        removed=programme.removed,
        area=", ".join(book.places(programme)),
    )


def _shown_step(step: Step, book: ProgrammeBook, finding: str) -> pb.ProgrammeStep:
    control = book.control(step.control)
    return pb.ProgrammeStep(
        control=step.control,
        value=step.value,
        path=control.path if control else "",
        condition=step.condition,
        timeout_s=step.timeout_s,
        pause_s=step.pause_s,
        note=step.note,
        finding=finding,
        accept_no_feedback=step.accept_no_feedback,
        no_feedback=control is not None and not book.checks.is_watched(control),
    )


def shown_run(record: RunRecord, book: ProgrammeBook) -> pb.RunInfo:
    """Where a run stands."""
    programme = record.programme
    return pb.RunInfo(
        run=record.run,
        programme=programme.name,
        version=programme.version,
        title=programme.title,
        kind=programme.kind.value,
        state=record.state.value,
        code=record.code,
        reason=record.reason,
        why=record.why,
        operator=record.operator,
        workstation=record.workstation,
        guardian=record.guardian,
        needs_guardian=record.needs_guardian,
        emergency=record.emergency,
        asked_ns=record.asked_ns,
        at_ns=record.at_ns,
        ended_ns=record.ended_ns,
        condition=record.condition,
        wait_s=record.wait_s,
        single_step=record.single_step,
        next=record.next,
        start_digest=record.start_digest,
        digest=programme.digest,
        planned=[_shown_step(step, book, "") for step in programme.steps],
        steps=[
            pb.StepState(
                state=step.phase.value,
                code=step.code,
                reason=step.reason,
                sequence_id=step.sequence_id,
                started_ns=step.started_ns,
                ended_ns=step.ended_ns,
            )
            for step in record.steps
        ],
    )
