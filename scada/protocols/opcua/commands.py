"""Writing variables: what may be written, in which type, and what the server's answer means (OPC 10000-4, 5.10.4)."""

from __future__ import annotations

import math
from typing import Final

from asyncua import ua
from asyncua.common.node import Node
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from scada.core.quality import BAD_MASK
from scada.model_cim.addresses import OpcUaAddress
from scada.model_cim.tables import Control
from scada.protocols.driver import CommandResult, Outcome
from scada.protocols.opcua.connection import FAILURES, Connection
from scada.protocols.opcua.nodes import NodeIdError, node_id
from scada.protocols.opcua.values import OpcUaValueError, quality_of, variant

_UNKNOWN: Final = "it is not known whether the server acted"
_REASONS: Final = {
    StatusCodes.BadUserAccessDenied: "our user may not write this variable",
    StatusCodes.BadNotWritable: "the variable cannot be written",
    StatusCodes.BadWriteNotSupported: "the server cannot write this combination of value, status and time",
    StatusCodes.BadOutOfRange: "the value is outside the variable's range",
    StatusCodes.BadTypeMismatch: "the value has another type than the variable",
    StatusCodes.BadNodeIdUnknown: "there is no such variable",
    StatusCodes.BadInvalidState: "the device does not accept it in its present state",
    StatusCodes.BadOutOfService: "the device is out of service",
}
_DOUBTFUL: Final = (
    StatusCodes.BadTimeout,
    StatusCodes.BadRequestTimeout,
    StatusCodes.BadCommunicationError,
    StatusCodes.BadNoCommunication,
    StatusCodes.BadConnectionClosed,
    StatusCodes.BadRequestInterrupted,
    StatusCodes.BadSessionClosed,
    StatusCodes.BadShutdown,
)
"""The server sent it on and does not know what became of it."""


def written(status: ua.StatusCode) -> CommandResult:
    """What the status code of a write says."""
    code = int(status.value) & 0xFFFF_0000  # without the info bits
    status = ua.StatusCode(ua.UInt32(code))
    if code >> 30 == 0:
        later = code == StatusCodes.GoodCompletesAsynchronously
        return CommandResult(Outcome.CONFIRMED, "accepted; the server completes it later" if later else "")
    if code >> 30 == 1 or code in _DOUBTFUL:
        return CommandResult(Outcome.TIMEOUT, f"server: {status.name}; {_UNKNOWN}")
    reason = _REASONS.get(code)
    return CommandResult(Outcome.REFUSED, f"server: {status.name}{f' - {reason}' if reason else ''}")


class Writer:
    """Writes the controls of one session.

    Args:
        connection: an open session.
        read_back: read a written variable again and compare.
        timeout_s: named in results.
    """

    def __init__(self, connection: Connection, *, read_back: bool, timeout_s: float) -> None:
        self._connection = connection
        self._read_back = read_back
        self._timeout_s = timeout_s
        self._types: dict[ua.NodeId, ua.VariantType] = {}

    async def check(self, control: Control, value: float) -> CommandResult:
        """Check that the variable exists, may be written by us and takes the value. Nothing is left at the server."""
        try:
            node, _ = await self._prepare(control, value)
            access = await node.get_user_access_level()
        except OpcUaValueError as error:
            return CommandResult(Outcome.REFUSED, str(error))
        except TimeoutError:
            return CommandResult(Outcome.TIMEOUT, f"no answer within {self._timeout_s:g} s")
        except UaStatusCodeError as error:
            return written(ua.StatusCode(ua.UInt32(error.code)))
        except FAILURES as error:
            return CommandResult(Outcome.LINK_DOWN, text_of(error))
        if ua.AccessLevel.CurrentWrite not in access:
            return CommandResult(Outcome.REFUSED, "the server does not let us write this variable")
        return CommandResult(Outcome.CONFIRMED)

    async def write(self, control: Control, value: float) -> CommandResult:
        """Write the variable; the server's status code is the confirmation."""
        try:
            node, content = await self._prepare(control, value)
        except OpcUaValueError as error:
            return CommandResult(Outcome.REFUSED, str(error))
        except UaStatusCodeError as error:
            return written(ua.StatusCode(ua.UInt32(error.code)))
        except FAILURES as error:
            return CommandResult(Outcome.LINK_DOWN, f"not sent: {text_of(error)}")
        result = await self._send(node, content)
        if result.outcome is Outcome.REFUSED:
            self._types.pop(node.nodeid, None)  # the server may have changed it
        if result.outcome is Outcome.CONFIRMED and self._read_back and not result.reason:
            return await self._compare(node, content)
        return result

    async def _send(self, node: Node, content: ua.Variant) -> CommandResult:
        try:
            codes = await self._connection.session.write_attributes([node.nodeid], [ua.DataValue(content)])
        except TimeoutError:
            return CommandResult(Outcome.TIMEOUT, f"no answer within {self._timeout_s:g} s; {_UNKNOWN}")
        except UaStatusCodeError as error:
            return written(ua.StatusCode(ua.UInt32(error.code)))
        except FAILURES as error:
            return CommandResult(Outcome.TIMEOUT, f"{text_of(error)}; {_UNKNOWN}")
        return written(codes[0])

    async def _compare(self, node: Node, content: ua.Variant) -> CommandResult:
        try:
            found = (await self._connection.session.read_attributes([node.nodeid], AttributeIds.Value))[0]
        except FAILURES as error:
            return CommandResult(Outcome.TIMEOUT, f"written, but not read back: {text_of(error)}")
        raw = found.Value.Value if found.Value is not None else None
        status = int(found.StatusCode.value) if found.StatusCode is not None else 0
        if not quality_of(status) & BAD_MASK and _same(raw, content):
            return CommandResult(Outcome.CONFIRMED)
        return CommandResult(Outcome.TIMEOUT, f"the server confirmed {content.Value}, but the variable holds {raw}; {_UNKNOWN}")

    async def _prepare(self, control: Control, value: float) -> tuple[Node, ua.Variant]:
        """The variable and what to write to it."""
        if not isinstance(control.address, OpcUaAddress):
            raise OpcUaValueError("the control has no OPC UA address", where=control.path)
        if control.address.index >= 0:
            # servers that ignore the index range would replace the whole array
            raise OpcUaValueError("one element of an array is not commanded", where=control.path, mend="give it a variable")
        try:
            node = self._connection.get_node(node_id(control.address.node_id, self._connection.namespaces))
        except NodeIdError as error:
            raise OpcUaValueError(error.what, where=control.path, mend=error.mend) from error
        if node.nodeid not in self._types:
            self._types[node.nodeid] = await node.read_data_type_as_variant_type()
        return node, variant(control, value, self._types[node.nodeid])


def _same(found: object, content: ua.Variant) -> bool:
    if isinstance(found, bool) or isinstance(content.Value, bool):
        return found is content.Value
    if not isinstance(found, (int, float)):
        return False
    tolerance = 1e-6 if content.VariantType is ua.VariantType.Float else 0.0
    return math.isclose(found, content.Value, rel_tol=tolerance, abs_tol=0.0)


def text_of(error: object) -> str:
    """First line of an error, its class where it has none."""
    return str(error).split("\n", maxsplit=1)[0] or type(error).__name__
