"""One subscription: its monitored items, the order of its notifications, what was missed (OPC 10000-4, 5.13 and 5.14)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import (
    BadMessageNotAvailable,
    BadNoSubscription,
    BadSubscriptionIdInvalid,
    BadTimeout,
    BadTooManyPublishRequests,
    UaStatusCodeError,
)

from scada.core.errors import ProtocolError
from scada.protocols.opcua.connection import Connection
from scada.protocols.opcua.parameters import OpcUaParameters
from scada.protocols.opcua.readings import Item, Readings
from scada.protocols.opcua.sequence import NotificationOrder

_REPUBLISH_MAXIMUM: Final = 10_000
_NO_FILTER: Final = (
    StatusCodes.BadFilterNotAllowed,
    StatusCodes.BadMonitoredItemFilterUnsupported,
    StatusCodes.BadMonitoredItemFilterInvalid,
    StatusCodes.BadDeadbandFilterInvalid,
)


class SubscriptionEndedError(ProtocolError):
    """The server no longer has the subscription."""


class Told:
    """What one or several messages brought, besides values.

    Attributes:
        lost: messages that the server no longer had.
        overflowed: variables whose queue at the server lost values.
        broken: sequence numbers did not follow.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.overflowed: list[Item] = []
        self.broken = False

    @property
    def incomplete(self) -> bool:
        """Every value must be read again."""
        return bool(self.lost) or self.broken


class ItemSubscription:
    """The subscription of one session. Values go to the readings in the order in which the server told them.

    Args:
        connection: an open session.
        readings: variables to monitor; takes the values.
        parameters: intervals, queues, chunks.
        pace: factor of intervals where the plant's time runs faster than the host's.
    """

    def __init__(self, connection: Connection, readings: Readings, parameters: OpcUaParameters, pace: float) -> None:
        self._connection = connection
        self._readings = readings
        self._parameters = parameters
        self._pace = pace
        self._order = NotificationOrder()
        self._acknowledge: list[ua.SubscriptionAcknowledgement] = []
        self._id = 0
        self.interval_s = self.silence_s = 0.0
        """Revised publishing interval; after so long without any answer the subscription is lost."""
        self.failed: list[int] = []
        """Handles of the variables that cannot be monitored."""

    # ------------------------------------------------------------ making

    async def create(self) -> list[tuple[Item, str]]:
        """Create the subscription and its items; returns those that cannot be monitored, with the reason."""
        parameters = self._parameters
        interval = max(parameters.publishing_ms * self._pace, 1.0)
        keepalive = max(1, round(parameters.keepalive_s * self._pace * 1000 / interval))
        asked = ua.CreateSubscriptionParameters()
        asked.RequestedPublishingInterval = interval
        asked.RequestedMaxKeepAliveCount = keepalive
        asked.RequestedLifetimeCount = max(3 * keepalive, round(parameters.session_timeout_s * 1000 / interval))
        asked.MaxNotificationsPerPublish = 0
        asked.PublishingEnabled = True
        made = await self._connection.session.create_subscription(asked, _unused)
        self._id = int(made.SubscriptionId)
        self.interval_s = made.RevisedPublishingInterval / 1000
        self.silence_s = 2 * self.interval_s * max(int(made.RevisedMaxKeepAliveCount), 1) + parameters.timeout_s
        return await self.monitor(range(len(self._readings.items)))

    async def monitor(self, handles: Sequence[int]) -> list[tuple[Item, str]]:
        """Monitor the variables of these handles; returns those that cannot be, with the reason."""
        failed: list[tuple[Item, str]] = []
        self.failed = []
        for start in range(0, len(handles), self._parameters.chunk):
            chunk = handles[start : start + self._parameters.chunk]
            results = await self._create([self._request(handle, filtered=self._parameters.deadband) for handle in chunk])
            again = [handle for handle, code in zip(chunk, results, strict=True) if code.value in _NO_FILTER]
            if again:
                plain = await self._create([self._request(handle, filtered=False) for handle in again])
                by_handle = dict(zip(again, plain, strict=True))
                results = [by_handle.get(handle, code) for handle, code in zip(chunk, results, strict=True)]
            for handle, code in zip(chunk, results, strict=True):
                if not code.is_good():
                    self.failed.append(handle)
                    failed.append((self._readings.items[handle], str(code.name)))
        return failed

    async def _create(self, requests: list[ua.MonitoredItemCreateRequest]) -> list[ua.StatusCode]:
        asked = ua.CreateMonitoredItemsParameters()
        asked.SubscriptionId = self._id
        asked.ItemsToCreate = requests
        asked.TimestampsToReturn = ua.TimestampsToReturn.Both
        return [result.StatusCode for result in await self._connection.session.create_monitored_items(asked)]

    def _request(self, handle: int, *, filtered: bool) -> ua.MonitoredItemCreateRequest:
        item = self._readings.items[handle]
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor.NodeId = item.node
        request.ItemToMonitor.AttributeId = AttributeIds.Value
        request.MonitoringMode = ua.MonitoringMode.Reporting
        wanted = request.RequestedParameters
        wanted.ClientHandle = handle
        wanted.SamplingInterval = self._parameters.sampling_ms * self._pace
        wanted.QueueSize = self._parameters.status_queue if item.is_status else 1
        wanted.DiscardOldest = True
        if filtered and item.deadband > 0:
            wanted.Filter = ua.DataChangeFilter(
                Trigger=ua.DataChangeTrigger.StatusValue,
                DeadbandType=ua.UInt32(ua.DeadbandType.Absolute),
                DeadbandValue=ua.Double(item.deadband),
            )
        return request

    # ------------------------------------------------------------ publishing

    async def publish(self) -> Told:
        """Wait for the next message, take it and what was missed before it. :meth:`commit` acknowledges.

        Raises:
            SubscriptionEndedError: the server no longer has it.
            OSError, TimeoutError, UaError: connection or session are gone.
        """
        told = Told()
        try:
            response = await self._connection.session.publish(list(self._acknowledge))
            response.ResponseHeader.ServiceResult.check()
        except (BadTimeout, BadTooManyPublishRequests):
            return told
        except (BadNoSubscription, BadSubscriptionIdInvalid) as error:
            raise SubscriptionEndedError(f"the server has no subscription of ours ({type(error).__name__})") from error
        self._acknowledge.clear()
        result = response.Parameters
        if int(result.SubscriptionId) != self._id:
            return told
        message = result.NotificationMessage
        number, has_data = int(message.SequenceNumber), bool(message.NotificationData)
        arrival = self._order.arrived(number, has_data=has_data)
        told.broken = arrival.broken
        if arrival.missing:
            await self._recover(arrival.missing, result.AvailableSequenceNumbers or (), told)
        if has_data:
            self._take(message, told)
        return told

    async def catch_up(self) -> Told:
        """After a resumed connection: take what was sent meanwhile and did not arrive."""
        told = Told()
        for _ in range(_REPUBLISH_MAXIMUM):
            number = self._order.expected
            message = await self._republish(number)
            if message is None:
                break
            self._order.recovered(number)
            self._take(message, told)
        return told

    async def _recover(self, missing: Iterable[int], available: Sequence[int], told: Told) -> None:
        held = {int(number) for number in available}
        ahead = self._order.expected
        for number in missing:
            self._order.expected = number  # if the connection goes now, this one is asked for again
            message = await self._republish(number) if not held or number in held else None
            if message is None:
                told.lost += 1
            else:
                self._take(message, told)
        self._order.expected = ahead

    async def _republish(self, number: int) -> ua.NotificationMessage | None:
        """A message once more; None if the server has it no longer."""
        try:
            message = await self._connection.session.republish(self._id, number)
        except BadMessageNotAvailable:
            return None
        except BadSubscriptionIdInvalid as error:
            raise SubscriptionEndedError("the server no longer has our subscription") from error
        # some servers answer an unknown number with an empty message
        return message if int(message.SequenceNumber) == number and message.NotificationData else None

    def _take(self, message: ua.NotificationMessage, told: Told) -> None:
        items = self._readings.items
        self._acknowledge.append(
            ua.SubscriptionAcknowledgement(SubscriptionId=self._id, SequenceNumber=int(message.SequenceNumber))
        )
        for part in message.NotificationData:
            if isinstance(part, ua.DataChangeNotification):
                for change in part.MonitoredItems:
                    handle = int(change.ClientHandle)
                    if handle < len(items) and self._readings.take(items[handle], change.Value):
                        told.overflowed.append(items[handle])
            elif isinstance(part, ua.StatusChangeNotification) and not part.Status.is_good():
                raise SubscriptionEndedError(f"the server ended the subscription: {part.Status.name}")

    async def delete(self) -> None:
        """Delete it at the server; an error means that it has gone already."""
        try:
            await self._connection.session.delete_subscriptions([self._id])
        except UaStatusCodeError:
            return


def _unused(result: ua.PublishResult) -> None:
    """Callback of the library's publish loop, which does not run."""
    del result
