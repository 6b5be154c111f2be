"""Walks a server's address space and gathers its variables, with what an engineer needs to make points of them."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua
from asyncua.common.ua_utils import data_type_to_variant_type
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaError

from scada.protocols.opcua.connection import Connection
from scada.protocols.opcua.nodes import stable_text

_CHUNK: Final = 200
_HAS_PROPERTY: Final = ObjectIds.HasProperty
_NUMBERS: Final = frozenset({"SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double"})
_LONGEST_ARRAY: Final = 1000

Progress = Callable[[int, int], None]
"""Told (nodes seen, variables found) now and then."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that can become a point.

    Attributes:
        node_id: by namespace URI.
        path: browse names from below the start node.
        type_name: built-in type: ``Boolean``, ``Double`` ...
        length: elements of an array; -1 = a single value.
        writable: we may write it.
        unit: display name of its engineering unit; empty = it gives none.
        low: low end of its range; NaN = it gives none.
        high: high end.
        states: value and name of an enumeration's values, or of false and true; empty = it gives none.
        description: as the server says.
    """

    node_id: str
    path: tuple[str, ...]
    type_name: str
    length: int = -1
    writable: bool = False
    unit: str = ""
    low: float = math.nan
    high: float = math.nan
    states: tuple[tuple[int, str], ...] = ()
    description: str = ""

    @property
    def usable(self) -> bool:
        """It holds numbers or Booleans."""
        return self.type_name == "Boolean" or self.type_name in _NUMBERS


@dataclass(frozen=True, slots=True)
class Walk:
    """What was found.

    Attributes:
        application_uri: the server's; its identity.
        variables: in the order of their paths.
        nodes: seen.
        cut: the bound on nodes was reached; there may be more.
    """

    application_uri: str
    variables: tuple[Variable, ...]
    nodes: int
    cut: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    node: ua.NodeId
    path: tuple[str, ...]
    properties: dict[str, ua.NodeId]


async def walk(
    connection: Connection, start: ua.NodeId, *, depth: int = 20, maximum: int = 100_000, progress: Progress | None = None
) -> Walk:
    """Gather the variables below a node.

    Args:
        connection: an open session.
        start: where to begin, e.g. *Objects* (``i=85``).
        depth: levels below it.
        maximum: nodes at most.
        progress: told now and then.

    Raises:
        OSError, TimeoutError, UaError: the server went or refuses to be browsed.
    """
    walker = _Walker(connection, depth, maximum, progress or _unheard)
    variables = [found async for part in walker.variables(start) for found in part]
    variables.sort(key=lambda found: (found.path, found.node_id))
    servers = await connection.get_node(ua.NodeId(ua.Int32(ObjectIds.Server_ServerArray))).read_value()
    return Walk(str(servers[0]) if servers else "", tuple(variables), walker.nodes, walker.cut)


class _Walker:
    """Breadth first; each node once, whatever leads to it."""

    def __init__(self, connection: Connection, depth: int, maximum: int, progress: Progress) -> None:
        self._connection = connection
        self._depth = depth
        self._maximum = maximum
        self._progress = progress
        self._namespaces: Sequence[str] = ()
        self._types: dict[ua.NodeId, str] = {}
        self._known: set[ua.NodeId] = set()
        self._found = 0
        self.cut = False

    @property
    def nodes(self) -> int:
        """Nodes seen."""
        return len(self._known)

    async def variables(self, start: ua.NodeId) -> AsyncIterator[list[Variable]]:
        self._namespaces = await self._connection.get_namespace_array()
        self._known = {start, ua.NodeId(ua.Int32(ObjectIds.Server))}  # the server's own diagnosis is no process
        level: list[tuple[ua.NodeId, tuple[str, ...], bool]] = [(start, (), False)]
        for _ in range(self._depth + 1):
            below: list[tuple[ua.NodeId, tuple[str, ...], bool]] = []
            for begin in range(0, len(level), _CHUNK):
                part = level[begin : begin + _CHUNK]
                seen: list[_Seen] = []
                for (node, path, is_variable), references in zip(part, await self._browse(part), strict=True):
                    properties = self._sort(references, path, below, is_variable=is_variable)
                    if is_variable:
                        seen.append(_Seen(node, path, properties))
                if seen:
                    found = await self._read(seen)
                    self._found += len(found)
                    yield found
                self._progress(self.nodes, self._found)
            level = below
            if not level or self.cut:
                return

    def _sort(
        self,
        references: Sequence[ua.ReferenceDescription],
        path: tuple[str, ...],
        below: list[tuple[ua.NodeId, tuple[str, ...], bool]],
        *,
        is_variable: bool,
    ) -> dict[str, ua.NodeId]:
        """Children to go on with; the properties of a variable."""
        properties: dict[str, ua.NodeId] = {}
        for reference in references:
            target = ua.NodeId(reference.NodeId.Identifier, reference.NodeId.NamespaceIndex)
            if reference.ReferenceTypeId.Identifier == _HAS_PROPERTY and reference.ReferenceTypeId.NamespaceIndex == 0:
                if is_variable:
                    properties[str(reference.BrowseName.Name)] = target
            elif target not in self._known:
                if len(self._known) >= self._maximum:
                    self.cut = True
                    break
                self._known.add(target)
                below.append((target, (*path, str(reference.BrowseName.Name)), reference.NodeClass == ua.NodeClass.Variable))
        return properties

    async def _browse(self, part: Sequence[tuple[ua.NodeId, tuple[str, ...], bool]]) -> list[list[ua.ReferenceDescription]]:
        asked = ua.BrowseParameters()
        asked.RequestedMaxReferencesPerNode = 0
        for node, _, _ in part:
            one = ua.BrowseDescription()
            one.NodeId = node
            one.BrowseDirection = ua.BrowseDirection.Forward
            one.ReferenceTypeId = ua.NodeId(ua.Int32(ObjectIds.HierarchicalReferences))
            one.IncludeSubtypes = True
            one.NodeClassMask = ua.UInt32(ua.NodeClass.Object | ua.NodeClass.Variable)
            one.ResultMask = ua.UInt32(ua.BrowseResultMask.All)
            asked.NodesToBrowse.append(one)
        results = await self._connection.session.browse(asked)
        gathered = [list(result.References or ()) for result in results]
        for mine, result in zip(gathered, results, strict=True):
            point = result.ContinuationPoint
            while point:
                more = ua.BrowseNextParameters()
                more.ContinuationPoints = [point]
                (following,) = await self._connection.session.browse_next(more)
                mine.extend(following.References or ())
                point = following.ContinuationPoint
        return gathered

    async def _read(self, seen: Sequence[_Seen]) -> list[Variable]:
        nodes = [each.node for each in seen]
        columns = [
            await self._attribute(nodes, which)
            for which in (AttributeIds.DataType, AttributeIds.Value, AttributeIds.UserAccessLevel, AttributeIds.Description)
        ]
        wanted = [(each, name) for each in seen for name in each.properties]
        read = await self._attribute([each.properties[name] for each, name in wanted], AttributeIds.Value)
        values: dict[ua.NodeId, dict[str, Any]] = {}
        for (each, name), value in zip(wanted, read, strict=True):
            values.setdefault(each.node, {})[name] = value
        return [
            self._variable(each, await self._type(data_type), value, access, description, values.get(each.node, {}))
            for each, data_type, value, access, description in zip(seen, *columns, strict=True)
        ]

    async def _attribute(self, nodes: Sequence[ua.NodeId], which: AttributeIds) -> list[Any]:
        found: list[Any] = []
        for start in range(0, len(nodes), _CHUNK):
            read = await self._connection.session.read_attributes(list(nodes[start : start + _CHUNK]), which)
            found += [data.Value.Value if data.Value is not None else None for data in read]
        return found

    async def _type(self, data_type: Any) -> str:
        """Built-in type of a data type, by its ancestors."""
        if not isinstance(data_type, ua.NodeId):
            return ""
        if data_type not in self._types:
            try:
                self._types[data_type] = (await data_type_to_variant_type(self._connection.get_node(data_type))).name
            except (UaError, ValueError):
                self._types[data_type] = ""
        return self._types[data_type]

    def _variable(self, seen: _Seen, type_name: str, value: Any, access: Any, text: Any, properties: dict[str, Any]) -> Variable:
        unit, span = properties.get("EngineeringUnits"), properties.get("EURange")
        return Variable(
            node_id=stable_text(seen.node, self._namespaces),
            path=seen.path,
            type_name=type_name,
            length=min(len(value), _LONGEST_ARRAY) if isinstance(value, list) else -1,
            writable=bool(int(access or 0) & 2),
            unit=_text(getattr(unit, "DisplayName", None)),
            low=float(getattr(span, "Low", math.nan)),
            high=float(getattr(span, "High", math.nan)),
            states=_states(properties),
            description=_text(text),
        )


def _unheard(nodes: int, variables: int) -> None:
    del nodes, variables


def _states(properties: dict[str, Any]) -> tuple[tuple[int, str], ...]:
    """Names of values, whichever of the standard's three ways the server gives them."""
    if properties.get("TrueState") is not None:
        return ((0, _text(properties.get("FalseState"))), (1, _text(properties["TrueState"])))
    if properties.get("EnumValues"):
        return tuple((int(each.Value), _text(each.DisplayName)) for each in properties["EnumValues"] if hasattr(each, "Value"))
    return tuple(enumerate(_text(name) for name in properties.get("EnumStrings") or ()))


def _text(localized: Any) -> str:
    return str(getattr(localized, "Text", localized) or "")
