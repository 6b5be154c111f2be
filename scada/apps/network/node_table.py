"""Nodes and terminals of a CIM model: where equipment is connected, and what every kind of equipment needs when it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel


@dataclass
class Rows:
    """Rows under construction: (mRID, columns)."""

    ids: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, mrid: str, **values: Any) -> int:
        """One more row; returns its number."""
        self.ids.append(mrid)
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)
        return len(self.ids) - 1

    def array(self, name: str, dtype: Any) -> Any:
        """A column."""
        return np.array(self.columns.get(name, []), dtype=dtype)


class NodeTable:
    """Nodes of the network: connectivity nodes, topological nodes where terminals name nothing else, and nodes made here.

    A terminal that is not connected, or of equipment out of service, is put on a node of its own.

    Args:
        model: the CIM model.

    Attributes:
        rows: one row a node with its nominal ``kv``.
        substation: mRID of the substation of each node ("" = none).
        node_of: node of a terminal's, a one-terminal equipment's or a node's mRID.

    Raises:
        ModelError: a terminal without a node, a node without a nominal voltage.
    """

    def __init__(self, model: CimModel) -> None:
        self.model = model
        self.rows = Rows()
        self.substation: list[str] = []
        self.node_of: dict[str, int] = {}
        self._terminals: dict[str, list[str]] = {}
        at = {terminal: self._named_node(terminal) for terminal in model.ids("Terminal")}
        named = {node for node in at.values() if node is not None}
        for node in model.ids("ConnectivityNode"):
            container = model.ref(node, "ConnectivityNode.ConnectivityNodeContainer")
            if node in named or model.class_of(container or "") != "Line":  # a boundary set has nodes that nobody uses
                self._add(node)
        for terminal, connected_to in at.items():
            equipment = model.ref(terminal, "Terminal.ConductingEquipment")
            if equipment is None or (connected_to is None and model.class_of(equipment) == "Junction"):
                continue  # a boundary set's junction carries nothing
            if connected_to is None:
                raise ModelError(
                    f"terminal of {model.path(equipment)} has no ConnectivityNode",
                    where=model.where(terminal),
                    mend="set Terminal.ConnectivityNode",
                )
            self._terminals.setdefault(equipment, []).append(terminal)
            self.node_of[terminal] = self._add(connected_to)
        for equipment, terminals in self._terminals.items():
            terminals.sort(key=lambda terminal: model.number(terminal, "ACDCTerminal.sequenceNumber", 1.0))
            self.node_of[equipment] = self.node_of[terminals[0]]

    def number(self, mrid: str, prop: str) -> float:
        """A value that must be there."""
        value = self.model.number(mrid, prop)
        if np.isnan(value):
            raise ModelError(f"{self.model.path(mrid)} has no {prop}", where=self.model.where(mrid), mend="give the value")
        return value

    def any_terminals(self, mrid: str) -> list[str]:
        """Terminals of equipment in their sequence."""
        return self._terminals.get(mrid, [])

    def terminals(self, mrid: str, count: int) -> list[str]:
        """Exactly so many terminals."""
        terminals = self._terminals.get(mrid, [])
        if len(terminals) != count:
            raise ModelError(
                f"{self.model.class_of(mrid)} {self.model.path(mrid)} has {len(terminals)} terminals, not {count}",
                where=self.model.where(mrid),
                mend="give it its terminals",
            )
        return terminals

    def in_service(self, mrid: str) -> bool:
        """In service with every terminal connected."""
        return all(self._connected(terminal) for terminal in self._terminals.get(mrid, [])) and self._usable(mrid)

    def at(self, mrid: str, terminal: str) -> int:
        """Node that a terminal of equipment is connected to; one of its own if it is not."""
        node = self.node_of[terminal]
        if self._usable(mrid) and self._connected(terminal):
            return node
        return self.made(f"{terminal}#disconnected", self.rows.columns["kv"][node])

    def made(self, name: str, kv: float, substation: str = "") -> int:
        """A node that the model does not have."""
        self.substation.append(substation)
        return self.rows.add(name, kv=kv)

    def _usable(self, mrid: str) -> bool:
        return self.model.truth(mrid, "Equipment.inService", default=True)

    def _connected(self, terminal: str) -> bool:
        return self.model.truth(terminal, "ACDCTerminal.connected", default=True)

    def _named_node(self, terminal: str) -> str | None:
        return self.model.ref(terminal, "Terminal.ConnectivityNode") or self.model.ref(terminal, "Terminal.TopologicalNode")

    def _add(self, node: str) -> int:
        row = self.node_of.get(node)
        if row is not None:
            return row
        level, base = self._level_and_base(node)
        if base is None:
            raise ModelError(
                f"{self.model.path(node)} belongs to no voltage level with a base voltage",
                where=self.model.where(node),
                mend="set ConnectivityNode.ConnectivityNodeContainer",
            )
        self.substation.append((self.model.ref(level, "VoltageLevel.Substation") if level else None) or "")
        row = self.node_of[node] = self.rows.add(node, kv=self.number(base, "BaseVoltage.nominalVoltage"))
        return row

    def _level_and_base(self, node: str) -> tuple[str | None, str | None]:
        """Voltage level and base voltage of a node; one at the boundary has its voltage from its TopologicalNode."""
        model = self.model
        topological = node if model.class_of(node) == "TopologicalNode" else model.ref(node, "ConnectivityNode.TopologicalNode")
        prop = "TopologicalNode" if topological == node else "ConnectivityNode"
        level = model.ref(node, f"{prop}.ConnectivityNodeContainer")
        if level is not None and model.class_of(level) == "Bay":
            level = model.ref(level, "Bay.VoltageLevel")
        base = model.ref(level, "VoltageLevel.BaseVoltage") if level else None
        if base is None and topological is not None:
            base = model.ref(topological, "TopologicalNode.BaseVoltage")
        return level, base or self._equipment_base(node)

    def _equipment_base(self, node: str) -> str | None:
        """Base voltage that the equipment at a node names, where its containers name none."""
        model = self.model
        for terminal in model.refs_to(node, "Terminal.ConnectivityNode"):
            equipment = model.ref(terminal, "Terminal.ConductingEquipment") or ""
            ends = model.refs_to(terminal, "TransformerEnd.Terminal")
            bases = [model.ref(end, "TransformerEnd.BaseVoltage") for end in ends]
            for base in (model.ref(equipment, "ConductingEquipment.BaseVoltage"), *bases):
                if base is not None:
                    return base
        return None
