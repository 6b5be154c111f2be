"""How ids, references and octets are written in CIM XML."""

from __future__ import annotations

import codecs
import math
import re

from scada.core.ids import normalise_mrid
from scada.model_cim.statements import ValueKind

_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z][\w.-]*)["']""")
_SINGLE = ("utf-8", "utf8", "utf-16", "utf16", "us-ascii", "ascii", "iso-8859-1", "utf-16le", "utf-16be")


class RefusedError(Exception):
    """A file that must not be read on."""

    def __init__(self, rule: str, text: str, hint: str) -> None:
        self.rule, self.text, self.hint = rule, text, hint
        super().__init__(text)


def resource_value(resource: str) -> tuple[str, ValueKind]:
    """What an ``rdf:resource`` means: the mRID of an object, or a value of an enumeration.

    >>> resource_value("#_0447ee09")
    ('0447ee09', <ValueKind.REF: 'ref'>)
    >>> resource_value("http://iec.ch/TC57/CIM100#UnitSymbol.W")
    ('UnitSymbol.W', <ValueKind.ENUM: 'enum'>)
    """
    base, hash_sign, fragment = resource.rpartition("#")
    if resource.startswith("urn:uuid:") or not base or fragment.startswith("_"):
        return normalise_mrid(resource if resource.startswith("urn:uuid:") or not hash_sign else fragment), ValueKind.REF
    return fragment, ValueKind.ENUM


def prefix_of(written: str, value: str) -> str:
    """What stands before an id or value as a file writes it: ``#_``, ``urn:uuid:``, a namespace."""
    written = written.strip()
    return written[: len(written) - len(value)] if written.endswith(value) else ""


def decoder_for(start: bytes) -> codecs.IncrementalDecoder | None:
    """For an encoding that expat does not know, GBK above all; None where it needs no help.

    Raises:
        RefusedError: nobody knows the encoding.
    """
    declared = _DECLARED.match(start[:256])
    if declared is None or declared[1].decode("ascii").lower() in _SINGLE:
        return None
    name = declared[1].decode("ascii")
    try:
        return codecs.getincrementaldecoder(name)("strict")
    except (LookupError, ValueError) as error:
        raise RefusedError("xml.encoding", f"encoding {name!r} is unknown", "save it as UTF-8") from error


def as_number(text: str) -> float:
    """A finite number as XML writes it, else NaN.

    Python would take ``1_000`` and the digits of every script for numbers too.
    """
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
