"""What the signed body of an envelope says, held against the row of the audit log that keeps it: kind, step, object, value, who.

A signature proves the envelope, not the row around it. Who writes a row beside a true envelope that says something else is found
here. What a refusal says of itself (its reason, the value that stood) is the server's word and is not compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from scadapb.v1 import scada_pb2 as pb

from scada.security.audit_chain import AuditRow
from scada.security.sm3 import sm3

PACKAGE: Final = b"/scadapb."
"""Begins the name of every method: a row without these bytes keeps no envelope of this protocol."""

_ID = 64
_TEXT = 1000


@dataclass(frozen=True, slots=True)
class _Said:
    """What a row must say.

    Attributes:
        kind: of the row.
        steps: that the row may be of; the first is that of an order that was taken.
        always: fields of the row, whatever became of the order.
        taken: fields of the row of an order that was taken.
    """

    kind: str
    steps: tuple[str, ...]
    always: Mapping[str, Any]
    taken: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row held against its envelope.

    Attributes:
        method: that was signed for.
        why: what does not agree, empty if nothing.
        known: the method is one of those that can be compared.
    """

    method: str
    why: str = ""
    known: bool = True


def compare(row: AuditRow, site: str = "") -> Comparison | None:
    """Hold a row against its envelope; None if it keeps none.

    Args:
        row: of the audit log.
        site: whose log it is: nothing else can have been signed for it; empty = not known.
    """
    try:
        signed = pb.Signed.FromString(row.evidence)
        header = pb.Header.FromString(signed.header)
    except DecodeError:
        return None
    if not header.method.startswith(PACKAGE.decode()):
        return None
    reader = _READERS.get(header.method)
    if reader is None:
        return Comparison(header.method, _another(row, header, site), known=False)
    kind, read = reader
    try:
        said = read(kind.FromString(signed.body))
    except DecodeError:
        return Comparison(header.method, "the body of the envelope cannot be read")
    return Comparison(header.method, _another(row, header, site) or _difference(row, said, header.method))


def _another(row: AuditRow, header: pb.Header, site: str) -> str:
    """Why the envelope is of somebody or for somewhere else; empty if it is not."""
    if row.actor != header.sender:
        return f"the row names {row.actor!r}, the envelope {header.sender!r}"
    if header.session and row.session != header.session.hex():
        return "the row names another session than the envelope"
    if site and header.recipient != site:
        return f"the envelope was signed for site {header.recipient!r}, not {site!r}"
    return ""


def _difference(row: AuditRow, said: _Said, method: str) -> str:
    if row.kind != said.kind or row.step not in said.steps:
        return f"the row is of {row.kind} {row.step}, the envelope was signed for {method}"
    fields = {**said.always, **said.taken} if row.step == said.steps[0] else said.always
    for name, wanted in fields.items():
        found = getattr(row, name)
        none = isinstance(wanted, float) and math.isnan(wanted) and math.isnan(found)
        cut = name == "mrid" and found == wanted[:_ID]  # of an object that the model does not have
        if not (found == wanted or none or cut):
            return f"the row says {name} {found!r}, the envelope {wanted!r}"
    return ""


# ---------------------------------------------------------------------- what each call says


def _select(asked: pb.SelectRequest) -> _Said:
    return _Said("control", ("select", "refused"), {"mrid": asked.control, "value": asked.value})


def _confirm(word: pb.ConfirmRequest) -> _Said:
    taken = {"mrid": word.control, "value": word.value}
    steps = ("result" if word.refuse else "confirm", "confirm_refused")
    return _Said("control", steps, {"sequence_id": word.sequence_id}, {} if word.refuse else taken)


def _execute(asked: pb.ExecuteRequest) -> _Said:
    return _Said("control", ("execute", "execute_refused", "result"), {"sequence_id": asked.sequence_id})


def _cancel(asked: pb.CancelRequest) -> _Said:
    return _Said("control", ("result", "cancel_refused"), {"sequence_id": asked.sequence_id})


def _adjust(asked: pb.AdjustRequest) -> _Said:
    return _Said("control", ("select", "refused"), {"mrid": asked.control})


def _mode(asked: pb.SetModeRequest) -> _Said:
    target = asked.WhichOneof("target") or ""
    named: dict[str, Any] = {"value": math.nan}
    match target:
        case "channel":
            channel = asked.channel
            named["path"] = channel.channel
            words = " ".join((channel.action, *(f"{name}={one}" for name, one in sorted(channel.arguments.items()))))
        case "unit":
            unit = asked.unit
            words = f"{unit.base_mode} {unit.reg_mode}"
            named |= {"mrid": unit.unit[:_ID], "value": unit.base_point_mw if unit.base_mode == "BASE" else math.nan}
        case "loop":
            loop = asked.loop
            words = loop.loop
            named |= {"mrid": loop.mrid[:_ID], "value": loop.test_value if words == "test" else math.nan}
        case "benchmarks":
            named["mrid"], words = asked.benchmarks.unit[:_ID], ", ".join(asked.benchmarks.members)
        case "unlock":
            named["mrid"], words = asked.unlock[:_ID], ""
        case _:
            named["path"], words = asked.area[:_TEXT], getattr(asked, target) if target else ""
    return _Said("mode", (target, f"{target} refused", f"{target} accepted"), named, {"reason": words[:_TEXT]})


def _alarms(step: str) -> Callable[[Any], _Said]:
    def _read(asked: Any) -> _Said:
        named = [f"{name.mrid} {name.key}".rstrip() for name in asked.alarms]
        one = asked.alarms[0].mrid[:_ID] if len(named) == 1 else ""
        words = {"mrid": one, "path": "; ".join(named)[:_TEXT], "reason": getattr(asked, "reason", "")[:_TEXT]}
        done = step or ("out_of_service" if asked.out_of_service else "in_service")
        return _Said("alarm", (done,), words)

    return _read


def _hold(asked: pb.HoldRequest) -> _Said:
    step, value = ("block", math.nan) if asked.block else ("substitute", asked.value)
    named = {"mrid": asked.point, "value": value}
    return _Said("operator", (step, f"{step}_refused"), {}, {**named, "reason": asked.reason.strip()})


def _release(asked: pb.ReleaseRequest) -> _Said:
    return _Said("operator", ("release", "release_refused"), {}, {"mrid": asked.point, "reason": asked.reason.strip()})


def _tag(asked: pb.TagRequest) -> _Said:
    said = {"mrid": asked.object, "code": f"accepted:{asked.type}", "reason": asked.reason.strip()}
    return _Said("operator", ("tag", "tag_refused"), {}, said)


def _note(asked: pb.NoteRequest) -> _Said:
    return _Said("operator", ("note", "note_refused"), {}, {"mrid": asked.object, "reason": asked.text.strip()})


def _remove(asked: pb.RemoveRequest) -> _Said:
    said = {"sequence_id": str(asked.mark_id), "reason": asked.reason.strip()}
    return _Said("operator", ("remove", "remove_refused"), {}, said)


def _save(asked: pb.SaveProgrammeRequest) -> _Said:
    return _Said("programme", ("remove" if asked.remove else "save", "save_refused"), {})


def _start(asked: pb.StartProgrammeRequest) -> _Said:
    return _Said("programme", ("start", "start_refused"), {}, {"path": f"{asked.name} v{asked.version}"})


def _run_word(asked: pb.ConfirmProgrammeRequest) -> _Said:
    step = "result" if asked.refuse else "confirm"
    return _Said("programme", (step, "confirm_refused", "paused"), {"sequence_id": asked.run})


def _run_order(asked: pb.ProgrammeCommand) -> _Said:
    return _Said("programme", (asked.action, "command_refused"), {"sequence_id": asked.run})


def _order(step: str) -> Callable[[Any], _Said]:
    def _read(asked: Any) -> _Said:
        target = getattr(asked, "unit", "") or getattr(asked, "area", "")
        value = asked.interchange_mw if isinstance(asked, pb.AreaSetpoint) else math.nan
        return _Said("dispatch", (step,), {"sequence_id": asked.order_id[:_ID], "mrid": target[:_ID], "value": value})

    return _read


def _backfill(asked: pb.BackfillRequest) -> _Said:
    count = float(sum(len(one.time_ns) for one in asked.points))
    return _Said("history", ("backfill",), {"path": asked.source[:_TEXT], "value": count, "reason": asked.reason[:_TEXT]})


def _engineering(step: str) -> Callable[[Any], _Said]:
    def _read(asked: Any) -> _Said:
        why = asked.description if isinstance(asked, pb.ProposeRequest) else asked.reason
        meant = asked.version or not isinstance(asked, pb.RollbackRequest)  # 0 = the one before
        number = {"sequence_id": str(asked.version)} if meant else {}
        return _Said("model", (step,), {**number, "reason": why[:_TEXT]})

    return _read


def _user(asked: pb.UserOrder) -> _Said:
    said = {"mrid": asked.user.name[:_ID], "reason": asked.reason[:_TEXT]}
    return _Said("security", ("remove user" if asked.remove else "set user",), said)


def _end_session(asked: pb.EndSessionRequest) -> _Said:
    return _Said("security", ("end session",), {"reason": asked.reason[:_TEXT]})


def _revocations(asked: pb.RevocationListFile) -> _Said:
    return _Said("security", ("load revocations",), {"path": f"SM3 {sm3(asked.crl).hex()}"})


def _login(asked: pb.LoginRequest) -> _Said:
    return _Said("security", ("login",), {"station": asked.station})


def _acknowledge(asked: pb.AcknowledgeRequest) -> _Said:
    return _Said("acknowledge", ("acknowledge",), {"path": acknowledged(asked), "value": float(len(asked.alarm_ids))})


def acknowledged(asked: pb.AcknowledgeRequest) -> str:
    """The alarms that an acknowledgement names, as its row has them."""
    return " ".join(map(str, asked.alarm_ids))[:_TEXT]


_READERS: Final[Mapping[str, tuple[type[Message], Callable[[Any], _Said]]]] = {
    f"/scadapb.v1.{name}": (kind, read)
    for name, kind, read in (
        ("Session/Login", pb.LoginRequest, _login),
        ("Control/Select", pb.SelectRequest, _select),
        ("Control/Confirm", pb.ConfirmRequest, _confirm),
        ("Control/Execute", pb.ExecuteRequest, _execute),
        ("Control/Cancel", pb.CancelRequest, _cancel),
        ("Control/Adjust", pb.AdjustRequest, _adjust),
        ("Control/SetMode", pb.SetModeRequest, _mode),
        ("Events/Acknowledge", pb.AcknowledgeRequest, _acknowledge),
        ("Events/Shelve", pb.ShelveRequest, _alarms("shelve")),
        ("Events/Unshelve", pb.UnshelveRequest, _alarms("unshelve")),
        ("Events/SetAlarmService", pb.AlarmServiceRequest, _alarms("")),
        ("OperatorData/Hold", pb.HoldRequest, _hold),
        ("OperatorData/Release", pb.ReleaseRequest, _release),
        ("OperatorData/PlaceTag", pb.TagRequest, _tag),
        ("OperatorData/AddNote", pb.NoteRequest, _note),
        ("OperatorData/Remove", pb.RemoveRequest, _remove),
        ("Programmes/Save", pb.SaveProgrammeRequest, _save),
        ("Programmes/Start", pb.StartProgrammeRequest, _start),
        ("Programmes/Confirm", pb.ConfirmProgrammeRequest, _run_word),
        ("Programmes/Command", pb.ProgrammeCommand, _run_order),
        ("Dispatch/SendSetpoint", pb.AreaSetpoint, _order("order")),
        ("Dispatch/SendSchedule", pb.Schedule, _order("order")),
        ("Dispatch/SendMode", pb.ModeOrder, _order("order")),
        ("Dispatch/WithdrawOrder", pb.WithdrawOrder, _order("withdraw")),
        ("Dispatch/Decide", pb.OrderDecision, _order("decide")),
        ("Dispatch/EditSchedule", pb.ScheduleEdit, _order("edit")),
        ("History/Backfill", pb.BackfillRequest, _backfill),
        ("Engineering/Propose", pb.ProposeRequest, _engineering("propose")),
        ("Engineering/Approve", pb.ApproveRequest, _engineering("approve")),
        ("Engineering/Withdraw", pb.WithdrawRequest, _engineering("withdraw")),
        ("Engineering/Apply", pb.ApplyRequest, _engineering("apply")),
        ("Engineering/Rollback", pb.RollbackRequest, _engineering("rollback")),
        ("Security/SetUser", pb.UserOrder, _user),
        ("Security/EndSession", pb.EndSessionRequest, _end_session),
        ("Security/LoadRevocations", pb.RevocationListFile, _revocations),
    )
}
