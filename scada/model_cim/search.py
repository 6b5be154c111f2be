"""Search over everything an operator or engineer can name: stations, channels, equipment, controls, points.

Every word of a query must be in an entry, in any order and any case: in its path, at the start of its mRID, in its address, its
device number, its measurement type or alias. ``CA 1 IOA 4001``, ``ioa:4001`` and ``unit 3 reg 40001`` are parts of an address.
Best first: a whole name, the start of one, the start of a word, inside a word; then stations before channels, equipment, controls
and points, short paths before long ones.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.ids import normalise_mrid
from scada.model_cim.address_text import address_text
from scada.model_cim.addresses import Address, Iec104Address, ModbusAddress
from scada.model_cim.cim import CimModel
from scada.model_cim.objects import PlantObjects
from scada.model_cim.search_kernel import EXACT, INSIDE, NO_MATCH, NOWHERE, PREFIX, add_ranks, ranks
from scada.model_cim.tables import Control, Point

MOST_WORDS: Final = 8
LONGEST_QUERY: Final = 200
"""Characters of a query; what follows is not looked at."""
DEFAULT_LIMIT: Final = 50
MOST_HITS: Final = 1000
_SHORTEST_MRID: Final = 4
"""Fewer characters of an mRID say nothing: every model has hundreds that begin so."""
_LABELS: Final = {
    "ca": "ca",
    "公共地址": "ca",
    "ioa": "ioa",
    "信息体地址": "ioa",
    "点号": "ioa",
    "type": "type",
    "unit": "unit",
    "单元": "unit",
    "register": "reg",
    "reg": "reg",
    "寄存器": "reg",
}
_ADDRESS_PART: Final = re.compile(rf"(?<![a-z0-9])({'|'.join(_LABELS)})\s*[:=]?\s*(0x[0-9a-f]+|\d+)(?![a-z0-9])", re.ASCII)
_FIRST_OF_TABLE: Final = {"coil": 1, "discrete": 10_001, "input": 30_001, "holding": 40_001}
"""Number of register 0 in the way of counting that many data sheets have."""


class HitKind(IntEnum):
    """What was found; in the order in which equally good hits are shown."""

    STATION = 1
    CHANNEL = 2
    EQUIPMENT = 3
    CONTROL = 4
    POINT = 5


@dataclass(frozen=True, slots=True)
class Hit:
    """Something found.

    Attributes:
        kind: what it is.
        mrid: its mRID.
        path: its path or name.
        station: name of its station, empty if it stands in none or in several.
        number: pid of a point, cid of a control, else -1.
        equipment: mRID of the equipment of a point or control; of equipment its own.
        address: protocol address as people read it.
        device_number: of a control.
    """

    kind: HitKind
    mrid: str
    path: str
    station: str = ""
    number: int = -1
    equipment: str = ""
    address: str = ""
    device_number: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Answer of a search: the best hits, and how many there are in all."""

    hits: list[Hit]
    total: int


def folded(text: str) -> str:
    """A text as it is compared: no case, full-width letters as narrow ones.

    >>> folded("Beishan \uff34\uff11")
    'beishan t1'
    """
    return unicodedata.normalize("NFKC", text).casefold()


def query_words(query: str) -> tuple[list[str], list[str]]:
    """Words of a query, and those parts of it that are of an address.

    >>> query_words("Beishan CA 1 IOA:0x4001")
    (['beishan'], ['ca:1', 'ioa:16385'])
    """
    tokens: list[str] = []

    def take(match: re.Match[str]) -> str:
        tokens.append(f"{_LABELS[match[1]]}:{int(match[2], 0) if match[2].startswith('0x') else int(match[2])}")
        return " "

    rest = _ADDRESS_PART.sub(take, folded(query[:LONGEST_QUERY])).replace("/", " ")
    return list(dict.fromkeys(rest.split()))[:MOST_WORDS], list(dict.fromkeys(tokens))[:MOST_WORDS]


class SearchIndex:
    """An index over one version of a model. It is read-only: any thread may search.

    Entries share most of their terms (names of stations, voltage levels, bays and signals, types, parts of addresses), so a word
    is looked for in every term once, and the entries that have the term are found by its number.

    Args:
        objects: the objects of the version; equipment without points, and aliases, are known if it has its CIM model.
    """

    def __init__(self, objects: PlantObjects) -> None:
        self.objects = objects
        entries = sorted(_entries(objects), key=lambda entry: (entry[0].kind, len(entry[0].path), entry[0].path))
        self._hits = [hit for hit, _ in entries]
        alias = _aliases(objects.model)
        number: dict[str, int] = {}
        terms = array("i")
        self._starts = np.zeros(len(entries) + 1, np.int64)
        for row, (hit, more) in enumerate(entries):
            said = (*hit.path.split("/"), hit.device_number, *more, alias.get(hit.mrid, ""))
            terms.extend(number.setdefault(term, len(number)) for term in said if term)
            self._starts[row + 1] = len(terms)
        self._terms = np.frombuffer(terms, np.int32) if terms else np.zeros(0, np.int32)
        texts = [folded(term).encode() for term in number]
        self._text = np.frombuffer(b"".join(texts), np.uint8)
        self._ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
        by_mrid = sorted((hit.mrid.casefold(), row) for row, hit in enumerate(self._hits))
        self._mrids = [mrid for mrid, _ in by_mrid]
        self._rows = np.array([row for _, row in by_mrid], np.int64)

    def __len__(self) -> int:
        return len(self._hits)

    def search(self, query: str, limit: int = DEFAULT_LIMIT) -> Found:
        """The best hits of a query; none for a query without words."""
        words, tokens = query_words(query)
        if not (words or tokens) or not self._hits:
            return Found([], 0)
        scores = np.zeros(len(self._hits), np.uint16)
        for word in tokens:
            self._add(scores, word, PREFIX)
        for word in words:
            self._add(scores, word, INSIDE)
        rows: npt.NDArray[np.intp] = np.flatnonzero(scores != NO_MATCH)
        best = rows[np.argsort(scores[rows], kind="stable")[: max(0, min(limit, MOST_HITS))]]
        return Found([self._hits[row] for row in best], rows.size)

    def _add(self, scores: npt.NDArray[np.uint16], word: str, worst: int) -> None:
        own = np.full(scores.size, NOWHERE, np.uint8)
        mrid = normalise_mrid(word)
        if len(mrid) >= _SHORTEST_MRID:
            first = bisect_left(self._mrids, mrid)
            last = bisect_left(self._mrids, mrid + "\U0010ffff", first)
            own[self._rows[first:last]] = PREFIX
            if first < last and self._mrids[first] == mrid:
                own[self._rows[first]] = EXACT
        term_ranks = ranks(self._text, self._ends, np.frombuffer(word.encode(), np.uint8))
        add_ranks(scores, term_ranks, self._starts, self._terms, own, worst)


def _entries(objects: PlantObjects) -> Iterator[tuple[Hit, tuple[str, ...]]]:
    """Everything that can be found, and the terms it can be found by besides its path and device number."""
    tables = objects.tables
    for station in tables.stations:
        yield Hit(HitKind.STATION, station.mrid, station.name, station.name), (station.area,)
    for channel in tables.live_channels:
        where = f"{channel.host}:{channel.port}"
        single = channel.station if ", " not in channel.station else ""
        terms = (where, channel.protocol, channel.station)
        yield Hit(HitKind.CHANNEL, channel.mrid, channel.name, single, address=where), terms
    for one in objects.equipment():
        yield Hit(HitKind.EQUIPMENT, one.mrid, one.path, one.station, equipment=one.mrid), ()
    for control in tables.live_controls:
        yield _of_control(control), (*_tokens(control.address), control.control_type)
    for point in tables.points:
        if not point.removed:
            yield _of_point(point), (*_tokens(point.address), point.measurement_type)


def _of_control(control: Control) -> Hit:
    address = address_text(control.address)
    return Hit(
        HitKind.CONTROL,
        control.mrid,
        control.path,
        control.station,
        control.cid,
        control.equipment,
        address,
        control.device_number,
    )


def _of_point(point: Point) -> Hit:
    return Hit(HitKind.POINT, point.mrid, point.path, point.station, int(point.pid), point.equipment, address_text(point.address))


def _tokens(address: Address | None) -> tuple[str, ...]:
    """Parts of an address, as :func:`query_words` writes them."""
    if isinstance(address, Iec104Address):
        return f"ca:{address.common_address}", f"ioa:{address.ioa}", f"type:{address.type_id}"
    if isinstance(address, ModbusAddress):
        first = _FIRST_OF_TABLE.get(address.table, 0)
        return f"unit:{address.unit_id}", f"reg:{address.register}", f"reg:{first + address.register}", address.table
    return (address_text(address),)


def _aliases(model: CimModel | None) -> dict[str, str]:
    """``IdentifiedObject.aliasName`` by mRID; a point has that of its measurement."""
    column = None if model is None else model.column("IdentifiedObject.aliasName")
    if model is None or column is None:
        return {}
    found = {model.mrids[subject]: value for subject, value in zip(column.subjects.tolist(), column.values, strict=True)}
    for value_class, kind in (("AnalogValue", "Analog"), ("DiscreteValue", "Discrete"), ("AccumulatorValue", "Accumulator")):
        measured: Sequence[str] = model.ids(value_class)
        for value in measured:
            said = found.get(model.ref(value, f"{value_class}.{kind}") or "")
            if said:
                found[value] = f"{found.get(value, '')} {said}".strip()
    return found
