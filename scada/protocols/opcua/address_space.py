"""Nodes of our server: folders, and a variable with its properties for each point."""

from __future__ import annotations

from typing import Any

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.object_ids import ObjectIds

from scada.model_cim.tables import Point, PointKind
from scada.protocols.opcua.publishing import type_of, unit_of


class AddressSpaceBuilder:
    """Adds nodes by the library's node management.

    Args:
        server: the server.
        namespace: index of the namespace of the points.
    """

    def __init__(self, server: Server, namespace: int) -> None:
        self._add = server.iserver.node_mgt_service
        self._namespace = namespace

    def folder(self, key: str, name: str, parent: ua.NodeId) -> ua.NodeId:
        """A folder; ``key`` becomes its node id."""
        attributes = ua.ObjectAttributes(DisplayName=ua.LocalizedText(name), Description=ua.LocalizedText(name))
        return self._node(key, name, parent, ua.NodeClass.Object, ObjectIds.Organizes, ObjectIds.FolderType, attributes)

    def variable(self, point: Point, parent: ua.NodeId) -> ua.NodeId:
        """The variable of a point, by its mRID, with unit, range and names of states; empty until a value is written."""
        analog = point.kind in {PointKind.ANALOG, PointKind.COUNTER}
        definition = ObjectIds.AnalogItemType if analog else ObjectIds.BaseDataVariableType
        attributes = _variable(type_of(point), point.name, point.path)
        node = self._node(point.mrid, point.name, parent, ua.NodeClass.Variable, ObjectIds.HasComponent, definition, attributes)
        if point.unit:
            self._property(point, "EngineeringUnits", unit_of(point), node)
        if analog and point.minimum < point.maximum:
            self._property(point, "EURange", ua.Range(Low=ua.Double(point.minimum), High=ua.Double(point.maximum)), node)
        if point.states and set(point.states) == set(range(len(point.states))):
            names = [ua.LocalizedText(point.states[number]) for number in range(len(point.states))]
            self._property(point, "EnumStrings", names, node)
        return node

    def _property(self, point: Point, name: str, value: Any, parent: ua.NodeId) -> None:
        kind = ua.VariantType.LocalizedText if isinstance(value, list) else ua.VariantType.ExtensionObject
        attributes = _variable(kind, name, name)
        attributes.Value = ua.Variant(value, kind)
        if isinstance(value, list):
            attributes.ValueRank = ua.Int32(1)
        elif name == "EURange":
            attributes.DataType = ua.NodeId(ua.Int32(ObjectIds.Range))
        else:
            attributes.DataType = ua.NodeId(ua.Int32(ObjectIds.EUInformation))
        self._node(
            f"{point.mrid}.{name}",
            name,
            parent,
            ua.NodeClass.Variable,
            ObjectIds.HasProperty,
            ObjectIds.PropertyType,
            attributes,
            standard=True,
        )

    def _node(
        self,
        key: str,
        name: str,
        parent: ua.NodeId,
        node_class: ua.NodeClass,
        reference: int,
        definition: int,
        attributes: Any,
        *,
        standard: bool = False,
    ) -> ua.NodeId:
        item = ua.AddNodesItem()
        node = _text_id(key, self._namespace)
        item.RequestedNewNodeId = node
        item.BrowseName = ua.QualifiedName(name, ua.UInt16(0 if standard else self._namespace))
        item.NodeClass = node_class
        item.ParentNodeId = parent
        item.ReferenceTypeId = ua.NodeId(ua.Int32(reference))
        item.TypeDefinition = ua.NodeId(ua.Int32(definition))
        item.NodeAttributes = attributes
        (result,) = self._add.add_nodes([item])
        result.StatusCode.check()
        return node


def _variable(kind: ua.VariantType, name: str, description: str) -> ua.VariableAttributes:
    attributes = ua.VariableAttributes()
    attributes.DisplayName = ua.LocalizedText(name)
    attributes.Description = ua.LocalizedText(description)
    attributes.DataType = ua.NodeId(ua.Int32(kind.value))
    attributes.Value = ua.Variant(None, ua.VariantType.Null)
    attributes.ValueRank = ua.Int32(-1)
    attributes.ArrayDimensions = []
    attributes.AccessLevel = attributes.UserAccessLevel = ua.Byte(1)  # current value, read
    attributes.WriteMask = attributes.UserWriteMask = ua.UInt32(0)
    attributes.Historizing = False
    return attributes


def _text_id(key: str, namespace: int) -> ua.NodeId:
    return ua.NodeId(ua.String(key), ua.Int16(namespace))
