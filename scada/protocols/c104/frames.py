"""What the server and its c104 process say to each other over two pipes: a length, a kind, a body."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

HEAD: Final = struct.Struct(">IB")
MESSAGE: Final = 1
"""A JSON object; ``what`` says which."""
RECORDS: Final = 2
"""Records of :data:`~scada.core.batch.POINT_DTYPE`, as they stand in memory."""
LONGEST: Final = 64 << 20


def frame(kind: int, body: bytes) -> bytes:
    """One frame."""
    return HEAD.pack(len(body), kind) + body


def message(what: str, **fields: Any) -> bytes:
    """A frame with a message.

    >>> message("clock")[HEAD.size:]
    b'{"what": "clock"}'
    """
    return frame(MESSAGE, json.dumps({"what": what, **fields}).encode())
