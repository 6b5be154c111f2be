"""Which calls the page may make: read from the descriptors of the contract, never from what the page says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message
from scadapb.v1 import scada_pb2 as pb

_STATION_ONLY = frozenset({"Session"})
"""Services the station calls itself; the page holds no key and no session."""

_BODIES: Mapping[str, type[Message]] = {
    "/scadapb.v1.Events/Acknowledge": pb.AcknowledgeRequest,
    "/scadapb.v1.Events/Shelve": pb.ShelveRequest,
    "/scadapb.v1.Events/Unshelve": pb.UnshelveRequest,
    "/scadapb.v1.Events/SetAlarmService": pb.AlarmServiceRequest,
    "/scadapb.v1.OperatorData/Hold": pb.HoldRequest,
    "/scadapb.v1.OperatorData/Release": pb.ReleaseRequest,
    "/scadapb.v1.OperatorData/PlaceTag": pb.TagRequest,
    "/scadapb.v1.OperatorData/AddNote": pb.NoteRequest,
    "/scadapb.v1.OperatorData/Remove": pb.RemoveRequest,
    "/scadapb.v1.History/Backfill": pb.BackfillRequest,
    "/scadapb.v1.Control/Select": pb.SelectRequest,
    "/scadapb.v1.Control/Confirm": pb.ConfirmRequest,
    "/scadapb.v1.Control/Execute": pb.ExecuteRequest,
    "/scadapb.v1.Control/Adjust": pb.AdjustRequest,
    "/scadapb.v1.Control/Cancel": pb.CancelRequest,
    "/scadapb.v1.Control/SetMode": pb.SetModeRequest,
    "/scadapb.v1.Dispatch/SendSetpoint": pb.AreaSetpoint,
    "/scadapb.v1.Dispatch/SendSchedule": pb.Schedule,
    "/scadapb.v1.Dispatch/EditSchedule": pb.ScheduleEdit,
    "/scadapb.v1.Dispatch/SendMode": pb.ModeOrder,
    "/scadapb.v1.Dispatch/WithdrawOrder": pb.WithdrawOrder,
    "/scadapb.v1.Dispatch/Decide": pb.OrderDecision,
    "/scadapb.v1.Dispatch/GetOrder": pb.GetOrderRequest,
    "/scadapb.v1.Programmes/Save": pb.SaveProgrammeRequest,
    "/scadapb.v1.Programmes/Start": pb.StartProgrammeRequest,
    "/scadapb.v1.Programmes/Confirm": pb.ConfirmProgrammeRequest,
    "/scadapb.v1.Programmes/Command": pb.ProgrammeCommand,
    "/scadapb.v1.Security/SetUser": pb.UserOrder,
    "/scadapb.v1.Security/EndSession": pb.EndSessionRequest,
    "/scadapb.v1.Security/LoadRevocations": pb.RevocationListFile,
    "/scadapb.v1.Engineering/Propose": pb.ProposeRequest,
    "/scadapb.v1.Engineering/Approve": pb.ApproveRequest,
    "/scadapb.v1.Engineering/Withdraw": pb.WithdrawRequest,
    "/scadapb.v1.Engineering/Apply": pb.ApplyRequest,
    "/scadapb.v1.Engineering/Rollback": pb.RollbackRequest,
}
"""What a ``Signed`` of each method holds: the station signs only what it could read as that."""

_CONFLATED = frozenset({"/scadapb.v1.Realtime/Subscribe"})
"""Streams whose frames may be dropped, because a new subscription starts with a full frame."""


@dataclass(frozen=True, slots=True)
class Method:
    """One callable method.

    Attributes:
        path: full name as in HTTP/2, ``/scadapb.v1.Control/Select``.
        body: type of the body if the request type is ``Signed`` (the station adds header, signature and code), else ``None``.
        streaming: more than one message may go or come.
        conflated: a frame may be dropped if the stream is ended with it.
    """

    path: str
    body: type[Message] | None
    streaming: bool
    conflated: bool

    @property
    def name(self) -> str:
        """``Control/Select``."""
        return self.path.removeprefix("/scadapb.v1.")


def allowed_methods() -> dict[str, Method]:
    """Every method the page may call, by path.

    >>> methods = allowed_methods()
    >>> methods["/scadapb.v1.Control/Select"].name, "/scadapb.v1.Session/Login" in methods
    ('Control/Select', False)
    """
    found: dict[str, Method] = {}
    for service in pb.DESCRIPTOR.services_by_name.values():
        if service.name in _STATION_ONLY:
            continue
        for method in service.methods:
            path = f"/{service.full_name}/{method.name}"
            found[path] = Method(
                path=path,
                body=_BODIES[path] if method.input_type.full_name == pb.Signed.DESCRIPTOR.full_name else None,
                streaming=method.client_streaming or method.server_streaming,
                conflated=path in _CONFLATED,
            )
    return found
