"""A model seen by columns: what the rules ask, answered with arrays over object indices."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from scada.model_cim.cim import CimModel
from scada.model_cim.columns import Coded, Column, Linked
from scada.model_cim.schema import Schema
from scada.model_cim.spelling import as_number
from scada.model_cim.statements import ValueKind
from scada.model_cim.tables import ModelTables

Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float64]
_LAID_OVER = ("OP", "SC", "SSH")
_NODES = ("ConnectivityNode", "TopologicalNode")


class View:
    """Columns of a model for the rules. An object is its index in ``model.mrids``; -1 is none.

    Args:
        model: the model.
        tables: its tables, if they were built.
        schema: what it is checked against.
        profiles: CGMES profiles its files declare.
    """

    def __init__(self, model: CimModel, tables: ModelTables | None, schema: Schema, profiles: frozenset[str]) -> None:
        self.model = model
        self.tables = tables
        self.schema = schema
        self.profiles = profiles
        self.size = len(model)
        self._numbers: dict[str, tuple[Int32, Float]] = {}
        self._first: dict[str, tuple[Int32, Int32]] = {}
        self._links: dict[str, tuple[Int32, Int32]] = {}
        self._rows: dict[str, Int32] = {}

    # ---------------------------------------------------------------- objects and values

    @cached_property
    def class_rows(self) -> dict[str, Int32]:
        """Objects by exact class."""
        codes, column = self._classes
        order = np.argsort(column, kind="stable").astype(np.int32)
        ends = np.searchsorted(column[order], np.arange(len(codes) + 1))
        return {name: order[ends[code] : ends[code + 1]] for name, code in codes.items()}

    def is_of(self, rows: Int32, classes: Collection[str]) -> Bool:
        """Whether each object is of one of these exact classes."""
        codes, column = self._classes
        chosen = np.fromiter((name in classes for name in codes), np.bool_, len(codes))
        return chosen[column[rows]] if len(codes) else np.zeros(len(rows), np.bool_)

    @cached_property
    def _classes(self) -> tuple[dict[str, int], Int32]:
        """Number of each class, and of each object its class's."""
        names = self.model.class_names
        codes = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return codes, np.fromiter(map(codes.__getitem__, names), np.int32, len(names))

    def rows(self, *classes: str) -> Int32:
        """Objects of classes and their subclasses, in file order."""
        key = " ".join(classes)
        if key not in self._rows:
            names = {name for class_name in classes for name in self.schema.subclasses(class_name)}
            parts = [self.class_rows[name] for name in sorted(names) if name in self.class_rows]
            self._rows[key] = np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int32)
        return self._rows[key]

    def row(self, mrid: str) -> int:
        """Object index of an mRID, -1 if the model has no such object."""
        return self._row.get(mrid, -1)

    @cached_property
    def _row(self) -> dict[str, int]:
        return dict(zip(self.model.mrids, range(self.size), strict=True))

    def has(self, rows: Int32, prop: str) -> Bool:
        """Whether each object has a property."""
        return self._places(rows, prop) >= 0

    def numbers(self, rows: Int32, prop: str, default: float = math.nan) -> Float:
        """Number of each object, ``default`` where it has none or a wrong one."""
        if prop not in self._numbers:
            column = self.model.column(prop)
            self._numbers[prop] = (
                (np.zeros(0, np.int32), np.zeros(0))
                if column is None or column.kind is not ValueKind.TEXT
                else _first_of(column.subjects, numbers_of(column))
            )
        subjects, values = self._numbers[prop]
        found = _look_up(subjects, rows)
        out = np.full(len(rows), default)
        given = found >= 0
        out[given] = values[found[given]]
        return np.where(np.isfinite(out), out, default)

    def words(self, rows: Int32, prop: str) -> npt.NDArray[Any]:
        """Text of each object (of an enumeration its value without the class), empty where it has none."""
        places = self._places(rows, prop)
        out = np.full(len(rows), "", object)
        given = places >= 0
        if given.any():
            column = self.model.column(prop)
            assert column is not None
            texts = (column.at(place) for place in places[given].tolist())
            if column.kind is ValueKind.ENUM:
                texts = (text.rpartition(".")[2] for text in texts)
            out[given] = np.fromiter(texts, object, int(given.sum()))
        return out

    def truths(self, rows: Int32, prop: str, *, default: bool) -> Bool:
        """Truth value of each object."""
        words = self.words(rows, prop)
        return np.fromiter(((word == "true") if word in ("true", "false") else default for word in words), np.bool_, len(rows))

    def target(self, rows: Int32, *props: str) -> Int32:
        """Object each object refers to by the first of ``props`` it has, -1 where there is none."""
        out = np.full(len(rows), -1, np.int32)
        for prop in props:
            missing = out < 0
            if missing.any():
                subjects, targets = self._first_link(prop)
                found = _look_up(subjects, rows[missing])
                out[missing] = np.where(found >= 0, targets[found], -1) if len(targets) else -1
        return out

    def links(self, prop: str) -> tuple[Int32, Int32]:
        """Subject and target of every reference that has a target in the model."""
        if prop not in self._links:
            empty = np.zeros(0, np.int32)
            subjects, targets = empty, empty
            for column in self.model.columns(prop):
                if isinstance(column.store, Linked):
                    subjects, targets = column.subjects, column.store.targets
            known = targets >= 0
            self._links[prop] = (subjects[known], targets[known])
        return self._links[prop]

    def counts(self, prop: str) -> npt.NDArray[np.int64]:
        """How often each object of the model is referred to by ``prop``."""
        return np.bincount(self.links(prop)[1], minlength=self.size)

    def subject_to(self, profile: str) -> Bool:
        """Objects a profile speaks of: defined in a file that declares it, or, of profiles laid over it, in a core file."""
        uris = {self.schema.profile_uris[profile]}
        if profile in _LAID_OVER:
            uris.add(self.schema.profile_uris["EQ"])
        labels = {header.file for header in self.model.headers if uris & set(header.profiles)}
        if not labels:
            return np.ones(self.size, np.bool_)  # the engineer chose the schema, the files say nothing
        files = np.array([*(label in labels for label in self.model.files), False])
        return files[self.model.object_files]

    def at(self, column: npt.NDArray[Any], rows: Int32) -> npt.NDArray[Any]:
        """``column[rows]`` for a column over all objects; NaN or -1 where the row is none (-1)."""
        none = math.nan if column.dtype.kind == "f" else -1
        return np.where(rows >= 0, column[rows], none) if len(column) else np.full(len(rows), none)

    def name(self, row: int) -> str:
        """Name of an object for a sentence: its path."""
        return self.model.path(self.model.mrids[row]) if row >= 0 else "nothing"

    def class_of(self, row: int) -> str:
        """Class of an object."""
        return self.model.class_names[row] if row >= 0 else ""

    # ---------------------------------------------------------------- the grid

    @cached_property
    def terminals(self) -> Int32:
        """Terminals of AC equipment, by equipment and sequence number."""
        rows = self.rows("Terminal")
        equipment = self.target(rows, "Terminal.ConductingEquipment")
        number = self.numbers(rows, "ACDCTerminal.sequenceNumber")
        number = np.where(np.isnan(number), self.numbers(rows, "Terminal.sequenceNumber"), number)
        return rows[np.lexsort((rows, number, equipment))]

    @cached_property
    def terminal_equipment(self) -> Int32:
        """Equipment of each of :attr:`terminals`, ascending."""
        return self.target(self.terminals, "Terminal.ConductingEquipment")

    @cached_property
    def terminal_count(self) -> npt.NDArray[np.int64]:
        """Number of terminals of each object of the model."""
        known = self.terminal_equipment[self.terminal_equipment >= 0]
        return np.bincount(known, minlength=self.size)

    def terminal(self, rows: Int32, number: int) -> Int32:
        """The ``number``-th terminal (from 0) of each equipment, -1 where it has fewer."""
        start = np.searchsorted(self.terminal_equipment, rows)
        enough = self.terminal_count[rows] > number if len(rows) else np.zeros(0, np.bool_)
        place = np.minimum(start + number, max(len(self.terminals) - 1, 0))
        return np.where(enough, self.terminals[place], -1) if len(self.terminals) else np.full(len(rows), -1, np.int32)

    def node(self, terminals: Int32) -> Int32:
        """Node of each terminal: the connectivity node, else the topological one."""
        safe = np.maximum(terminals, 0)
        if not self.size:
            return terminals
        return np.where(terminals >= 0, self.target(safe, "Terminal.ConnectivityNode", "Terminal.TopologicalNode"), -1)

    @cached_property
    def level_of(self) -> Int32:
        """Voltage level of each node, bay, terminal and equipment of the model, -1 where it stands in none."""
        level = np.full(self.size, -1, np.int32)
        levels = self.rows("VoltageLevel")
        level[levels] = levels
        bays = self.rows("Bay")
        level[bays] = self.target(bays, "Bay.VoltageLevel")
        for kind in _NODES:
            nodes = self.rows(kind)
            level[nodes] = self.at(level, self.target(nodes, f"{kind}.ConnectivityNodeContainer"))
        equipment = self.rows("Equipment")
        level[equipment] = self.at(level, self.target(equipment, "Equipment.EquipmentContainer"))
        level[self.terminals] = self.at(level, self.node(self.terminals))
        return level

    @cached_property
    def kv_of(self) -> Float:
        """Nominal voltage in kV of each voltage level, bay, node, terminal; NaN where it has none."""
        kv = np.full(self.size, math.nan)
        bases = self.rows("BaseVoltage")
        kv[bases] = self.numbers(bases, "BaseVoltage.nominalVoltage")
        levels = self.rows("VoltageLevel")
        kv[levels] = self.at(kv, self.target(levels, "VoltageLevel.BaseVoltage"))
        topological = self.rows("TopologicalNode")
        kv[topological] = self.at(kv, self.target(topological, "TopologicalNode.BaseVoltage"))
        for rows in (topological, self.rows("ConnectivityNode"), self.rows("Bay")):
            kv[rows] = np.where(np.isnan(kv[rows]), self.at(kv, self.level_of[rows]), kv[rows])
        nodes = self.rows("ConnectivityNode")
        by_bus = self.at(kv, self.target(nodes, "ConnectivityNode.TopologicalNode"))
        kv[nodes] = np.where(np.isnan(kv[nodes]), by_bus, kv[nodes])
        node_kv = self.at(kv, self.node(self.terminals))
        by_bus = self.at(kv, self.target(self.terminals, "Terminal.TopologicalNode"))
        kv[self.terminals] = np.where(np.isnan(node_kv), by_bus, node_kv)
        return kv

    def kv(self, rows: Int32, number: int = 0) -> Float:
        """Nominal voltage in kV at a terminal of equipment, else by its level or its own BaseVoltage; NaN if unknown."""
        at_terminal = self.at(self.kv_of, self.terminal(rows, number))
        own = self.at(self.kv_of, self.target(rows, "ConductingEquipment.BaseVoltage"))
        by_level = self.at(self.kv_of, self.level_of[rows]) if len(rows) else np.zeros(0)
        return np.where(~np.isnan(at_terminal), at_terminal, np.where(~np.isnan(own), own, by_level))

    # ---------------------------------------------------------------- inside

    def _places(self, rows: Int32, prop: str) -> Int32:
        """Place in the column of each object's first value, -1 where it has none."""
        if prop not in self._first:
            column = self.model.column(prop)
            empty = np.zeros(0, np.int32)
            self._first[prop] = (
                (empty, empty) if column is None else _first_of(column.subjects, np.arange(len(column.subjects), dtype=np.int32))
            )
        subjects, places = self._first[prop]
        found = _look_up(subjects, rows)
        return np.where(found >= 0, places[found], -1) if len(places) else np.full(len(rows), -1, np.int32)

    def _first_link(self, prop: str) -> tuple[Int32, Int32]:
        key = f"\0{prop}"
        if key not in self._links:
            self._links[key] = _first_of(*self.links(prop))
        return self._links[key]


def _first_of(subjects: Int32, values: npt.NDArray[Any]) -> tuple[Int32, npt.NDArray[Any]]:
    """Ascending subjects with the first value of each."""
    if len(subjects) < 2 or bool((np.diff(subjects) > 0).all()):
        return subjects, values
    unique, first = np.unique(subjects, return_index=True)
    return unique.astype(np.int32), values[first]


def _look_up(subjects: Int32, rows: Int32) -> npt.NDArray[np.intp]:
    """Place of each row in ascending ``subjects``, -1 where it is not there."""
    if not len(subjects):
        return np.full(len(rows), -1, np.intp)
    place = np.minimum(np.searchsorted(subjects, rows), len(subjects) - 1)
    return np.where(subjects[place] == rows, place, -1)


def numbers_of(column: Column) -> Float:
    """Numbers of a column, NaN where a text is none."""
    store = column.store
    return as_floats(store.table)[store.codes] if isinstance(store, Coded) else as_floats(store.all())


def as_floats(texts: Sequence[str]) -> Float:
    """Numbers of texts, NaN where a text is none."""
    return np.fromiter(map(as_number, texts), np.float64, len(texts))
