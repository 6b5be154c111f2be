"""Plain topics: payloads that are a number, a word or JSON; commands with an answer on a topic beside.

A command goes to the control's topic: the bare number, or for ``topic#field`` ``{"field": value, "id": n, "time": ms}``.
The device answers on the topic with ``response_suffix``: the number it took, or ``{"id": n, "ok": true}``, or
``{"id": n, "ok": false, "reason": "..."}``; any other text is taken for the reason of a refusal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from scada.core.batch import RecordFlag
from scada.core.errors import ProtocolError
from scada.core.quality import Quality
from scada.model_cim.tables import Point
from scada.protocols.driver import CommandResult, Outcome
from scada.protocols.mqtt.address import Topic
from scada.protocols.mqtt.readings import Reading, as_float, number_of, quality_of

_UNIT_NS: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
TIME_UNITS: Final = tuple(_UNIT_NS)
_MISSING: Final = object()
_TOLERANCE: Final = 1e-6


class PayloadError(ProtocolError):
    """A payload that cannot be read."""


@dataclass(frozen=True, slots=True)
class PayloadFields:
    """Where a JSON payload has its time and quality; empty = nowhere.

    Attributes:
        time: path of the source time: a number in ``unit`` since 1970, or text after ISO 8601 with its zone.
        quality: path of the quality, see :func:`~scada.protocols.mqtt.readings.quality_of`.
        unit: ``s``, ``ms``, ``us`` or ``ns``.
    """

    time: str = ""
    quality: str = ""
    unit: str = "ms"


class PlainTopics:
    """The plain points of a channel, by topic."""

    def __init__(self, points: Iterable[tuple[Topic, Point]], fields: PayloadFields) -> None:
        self._fields = fields
        self._points: dict[str, list[tuple[str, Point]]] = {}
        for topic, point in points:
            self._points.setdefault(topic.name, []).append((topic.path, point))

    @property
    def names(self) -> Sequence[str]:
        """Topics to subscribe to."""
        return tuple(self._points)

    def read(self, name: str, payload: bytes, *, retained: bool) -> list[Reading]:
        """What a message says of the points of its topic. A field that is not there says nothing.

        Args:
            name: topic.
            payload: of the message.
            retained: it was kept by the broker: an answer to our subscription, not a change.

        Raises:
            PayloadError: no JSON although a point wants a field of it, or no number.
        """
        text = _text(payload)
        points = self._points.get(name, [])
        document = _document(text) if any(path for path, _ in points) else _MISSING
        time_ns, quality = self._marks(document)
        flags = int(RecordFlag.REFRESH) if retained else 0
        readings = []
        for path, point in points:
            raw = _field(document, path) if path else text
            if raw is _MISSING:
                continue
            value = number_of(point, raw)
            if math.isnan(value) and not path:
                raise PayloadError(f"{text[:60]!r} is no number", where=name)
            readings.append(Reading(point, value, quality, time_ns, flags))
        return readings

    def _marks(self, document: Any) -> tuple[int, int]:
        """Source time and quality of a payload; a time that cannot be read is none, and says so."""
        if document is _MISSING:
            return 0, 0
        quality, time_ns = 0, 0
        if self._fields.quality and (said := _field(document, self._fields.quality)) is not _MISSING:
            quality = quality_of(said)
        if self._fields.time and (said := _field(document, self._fields.time)) is not _MISSING:
            time_ns = _time_ns(said, _UNIT_NS[self._fields.unit])
            quality |= 0 if time_ns else int(Quality.TIME_INVALID)
        return time_ns, quality


def command_payload(topic: Topic, value: float | bool, ticket: int, now_ns: int) -> bytes:
    """Payload of a command.

    >>> command_payload(Topic("cmd", "p"), 2.5, 7, 1_000_000)
    b'{"p": 2.5, "id": 7, "time": 1}'
    """
    if not topic.path:
        return json.dumps(value).encode()
    return json.dumps({topic.path: value, "id": ticket, "time": now_ns // 1_000_000}).encode()


def response_of(topic: Topic, payload: bytes, value: float | bool, ticket: int) -> CommandResult | None:
    """What a message on the response topic says to a command; None = it is about another one."""
    try:
        text = _text(payload)
        said = json.loads(text)
    except (PayloadError, ValueError, RecursionError):
        said = text = payload.decode("utf-8", "replace")
    if isinstance(said, Mapping):
        if said.get("id") != ticket and (topic.path or "id" in said):
            return None
        if said.get("ok") is True:
            return CommandResult(Outcome.CONFIRMED)
        return CommandResult(Outcome.REFUSED, str(said.get("reason") or "the device refused"))
    if isinstance(said, bool | int | float):
        if math.isclose(as_float(said), float(value), rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            return CommandResult(Outcome.CONFIRMED)
        return CommandResult(Outcome.REFUSED, f"the device took {as_float(said)} instead of {value}")
    return CommandResult(Outcome.REFUSED, text.strip()[:200] or "the device refused")


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise PayloadError("the payload is no UTF-8 text") from error


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"{text[:60]!r} is no JSON") from error


def _field(document: Any, path: str) -> Any:
    """Value at a dotted path of names and list indices, or ``_MISSING``."""
    for step in path.split("."):
        if isinstance(document, Mapping) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            return _MISSING
    return document


def _time_ns(said: Any, unit_ns: int) -> int:
    """Source time, 0 = none that can be trusted: text without a zone would be a guess."""
    if isinstance(said, str):
        try:
            at = datetime.fromisoformat(said)
        except ValueError:
            return 0
        time_ns = 0 if at.tzinfo is None else round(at.timestamp() * 1_000_000) * 1_000
    elif isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said < 1 << 63:
        return 0
    else:
        time_ns = said * unit_ns if isinstance(said, int) else round(said * unit_ns)
    return time_ns if 0 < time_ns < 1 << 63 else 0
