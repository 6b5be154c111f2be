"""Distinguished encoding rules (X.690), strict: the little of ASN.1 that keys, certificates and signatures need.

The reader takes minimal definite lengths and minimal integers only, so that one value has one encoding.
"""

from __future__ import annotations

from scada.core.errors import SecurityError

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
NULL = 0x05
OBJECT_IDENTIFIER = 0x06
ENUMERATED = 0x0A
UTF8_STRING = 0x0C
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31


class DerError(SecurityError):
    """Bytes are not the DER encoding that was expected."""


def explicit(number: int) -> int:
    """Tag of a constructed context-specific field ``[number]``."""
    return 0xA0 | number


def tlv(tag: int, *parts: bytes) -> bytes:
    """Tag, minimal length and the joined parts.

    >>> tlv(SEQUENCE, integer(5)).hex()
    '3003020105'
    """
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(value: int) -> bytes:
    """INTEGER of a non-negative number."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER.

    >>> oid("1.2.156.10197.1.301").hex()
    '06082a811ccf5501822d'
    """
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(0x80 | (arc & 0x7F))
        content += bytes(reversed(septets))
    return tlv(OBJECT_IDENTIFIER, bytes(content))


class Reader:
    """Reads the fields of one constructed value in order.

    Args:
        data: concatenated TLVs.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def peek(self) -> int:
        """Tag of the next field, -1 at the end."""
        return self._data[self._at] if self._at < len(self._data) else -1

    def take(self, tag: int) -> bytes:
        """Content of the next field.

        Raises:
            DerError: another tag, a length that is indefinite, not minimal or beyond the end.
        """
        if self.peek() != tag:
            raise DerError(f"DER tag {self.peek():#x} where {tag:#x} belongs")
        start = self._at + 2
        if start > len(self._data):
            raise DerError("DER value ends within its length")
        size = self._data[self._at + 1]
        if size >= 0x80:
            count = size & 0x7F
            octets = self._data[start : start + count]
            start += count
            size = int.from_bytes(octets, "big")
            if not 1 <= count <= 4 or len(octets) < count or octets[0] == 0 or size < 0x80:
                raise DerError("DER length is not minimal")
        end = start + size
        if end > len(self._data):
            raise DerError("DER value ends before its length")
        self._at = end
        return self._data[start:end]

    def unsigned(self) -> int:
        """The next field, a non-negative minimal INTEGER."""
        content = self.take(INTEGER)
        if not content or content[0] & 0x80 or (content[0] == 0 and len(content) > 1 and not content[1] & 0x80):
            raise DerError("DER integer is negative or not minimal")
        return int.from_bytes(content, "big")

    def nested(self, tag: int = SEQUENCE) -> Reader:
        """Reader of the next field's content."""
        return Reader(self.take(tag))

    def end(self) -> None:
        """Assert that nothing follows."""
        if self._at != len(self._data):
            raise DerError("DER value has trailing bytes")
