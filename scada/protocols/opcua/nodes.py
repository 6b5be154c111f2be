"""Node ids as an engineer writes them: by namespace number, or by namespace URI, which a restart of the server cannot move."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from asyncua import ua
from asyncua.ua.uaerrors import UaError

from scada.core.errors import ProtocolError

_BY_URI: Final = re.compile(r"nsu=(?P<uri>.*?);(?P<rest>[isgb]=.*)", re.DOTALL)


class NodeIdError(ProtocolError):
    """A node id that cannot be read, or whose namespace the server does not have."""


def node_id(text: str, namespaces: Sequence[str]) -> ua.NodeId:
    """A node id from its text: ``ns=2;s=Wind.P`` or ``nsu=urn:vendor:plant;s=Wind.P``.

    Args:
        text: as in the model.
        namespaces: the server's namespace array.

    Raises:
        NodeIdError: naming what is wrong.

    >>> node_id("nsu=urn:plant;i=7", ["http://opcfoundation.org/UA/", "urn:own", "urn:plant"]).to_string()
    'ns=2;i=7'
    """
    by_uri = _BY_URI.fullmatch(text)
    try:
        if by_uri is None:
            return ua.NodeId.from_string(text)
        if by_uri["uri"] not in namespaces:
            raise NodeIdError(f"the server has no namespace {by_uri['uri']!r}")
        return ua.NodeId.from_string(f"ns={namespaces.index(by_uri['uri'])};{by_uri['rest']}")
    except (UaError, ValueError) as error:
        raise NodeIdError(f"{text!r} is no node id", mend="write ns=2;s=Name or nsu=URI;s=Name") from error


def stable_text(node: ua.NodeId, namespaces: Sequence[str]) -> str:
    """A node id by its namespace's URI; namespace 0 is the standard's and needs none.

    >>> stable_text(ua.NodeId.from_string("ns=1;s=A"), ["http://opcfoundation.org/UA/", "urn:own"])
    'nsu=urn:own;s=A'
    """
    plain = node.to_string()
    if node.NamespaceIndex == 0 or node.NamespaceIndex >= len(namespaces):
        return plain
    return f"nsu={namespaces[node.NamespaceIndex]};{plain.partition(';')[2]}"
