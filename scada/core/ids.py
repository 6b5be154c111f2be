"""Identifiers: point ids and CIM master resource ids."""

from __future__ import annotations

import uuid
from typing import NewType

PointId = NewType("PointId", int)
"""Dense number of a point; append-only, never reused: a removed point leaves a tombstone."""

_NAMESPACE = uuid.UUID("6f1d2a64-3d3b-5c0e-9a55-5cada0000001")


def normalise_mrid(text: str) -> str:
    """The one spelling of an mRID: without ``urn:uuid:``, ``#`` and the leading underscore of ``rdf:ID``.

    >>> normalise_mrid("urn:uuid:0447ee09"), normalise_mrid("#_0447ee09"), normalise_mrid("_0447ee09")
    ('0447ee09', '0447ee09', '0447ee09')
    """
    text = text.strip()
    if text.startswith("urn:uuid:"):
        return text[9:]
    text = text.removeprefix("#")
    return text.removeprefix("_")


def derived_mrid(*parts: str) -> str:
    """A stable UUID (version 5) from names, for objects that a generator writes: the same parts give the same mRID."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(parts)))
