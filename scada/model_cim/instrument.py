"""``scada model instrument``: lays points, addresses, limits and controls over a network model that has none, or not all.

Everything made has an mRID that follows from the equipment, its role and the item of the template: a second run makes the same,
and what is there keeps its address, its name and whatever an engineer changed. Nothing is invented: a limit, range or set-point
whose rating the model does not give is left out and told. See ``docs/model/instrument.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count

from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel
from scada.model_cim.instrument_addresses import Channel, family_of, read_taken
from scada.model_cim.instrument_areas import AreaMaker
from scada.model_cim.instrument_items import Additions
from scada.model_cim.instrument_plant import Plant
from scada.model_cim.instrument_points import Notes, PointMaker, instrument_mrid
from scada.model_cim.instrument_template import InstrumentTemplate, load_template
from scada.model_cim.locate import Locator
from scada.model_cim.statements import Difference

COMMON = "SC"
"""File of what belongs to no station: labels of states, areas, zones."""
_KINDS = {"Analog": "analog", "Accumulator": "counter", "Discrete": "status"}


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for.

    Attributes:
        protocol: of new channels.
        stations: names or mRIDs of the stations to instrument; none = all.
        host: of new channels, with ``{station}`` and ``{number}``; empty = the template's.
        port: of the first new channel; 0 = the template's.
        language: of names, ``en`` or ``zh``.
    """

    protocol: str = "iec104"
    stations: tuple[str, ...] = ()
    host: str = ""
    port: int = 0
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Instrumented:
    """What instrumenting a model gives.

    Attributes:
        additions: new objects by file.
        counts: points and controls made, by kind, and ``channels``.
        left_out: (English, Chinese) reason, how often, and the first place.
    """

    additions: Additions
    counts: dict[str, int]
    left_out: tuple[tuple[tuple[str, str], int, str], ...]

    @property
    def difference(self) -> Difference:
        """Everything made, as one difference from the model."""
        return self.additions.difference("points, addresses and limits laid over the network model")


def instrument(model: CimModel, template: InstrumentTemplate | None = None, options: Options | None = None) -> Instrumented:
    """Lay a template over a model.

    Args:
        model: the network, with whatever points it has.
        template: what each kind of equipment gets; None = the one that comes with the program.
        options: protocol, stations, hosts.

    Raises:
        ModelError: the model has no substation, or none of the given name; a channel has no address left.
    """
    return _Run(model, template or load_template(), options or Options()).run()


class _Run:
    """One run."""

    def __init__(self, model: CimModel, template: InstrumentTemplate, options: Options) -> None:
        self._model = model
        self._template = template
        self._options = options
        self._additions = Additions(model)
        self._notes = Notes()
        self._locator = Locator(model)
        self._stations = self._asked_stations()
        self._files = _file_names(model)
        self._channels: dict[str, Channel] = {}
        self._made_channels = 0

    def run(self) -> Instrumented:
        """Channels, then points and controls, then what the template does not know, then areas and zones."""
        model = self._model
        self._states()
        maker = PointMaker(model, self._template, self._locator, self._additions, self._notes, self._options.language)
        self._make_channels()
        plant = Plant(model, self._locator)
        for piece in plant.pieces():
            if piece.station in self._stations:
                maker.make(piece, self._channels[piece.station], self._files[piece.station])
        for mrid in plant.outside:
            text = f"{model.class_of(mrid)} stands in no substation"
            self._notes.add(text, f"{model.class_of(mrid)} 不属于任何厂站", model.path(mrid))
        self._complete_others(maker)
        if not self._options.stations:
            AreaMaker(model, self._additions, self._notes, maker, self._locator).make(COMMON)
        order = sorted(self._notes.counts.items(), key=lambda one: (-one[1], one[0]))
        counts = {"channels": self._made_channels, **dict(sorted(maker.made.items()))}
        return Instrumented(self._additions, counts, tuple((text, count, self._notes.first[text]) for text, count in order))

    def _asked_stations(self) -> set[str]:
        model, known = self._model, self._model.ids("Substation")
        if not known:
            raise ModelError(
                "the model has no Substation: there is nothing that a channel could serve",
                where=model.title,
                mend="give the equipment its substations first",
            )
        if not self._options.stations:
            return set(known)
        found = {mrid for mrid in known if mrid in self._options.stations or model.name(mrid) in self._options.stations}
        names = {model.name(mrid) for mrid in found} | found
        for asked in self._options.stations:
            if asked not in names:
                some = ", ".join(sorted(model.name(mrid) for mrid in known)[:20])
                raise ModelError(f"no station {asked!r}", where=model.title, mend=f"one of {some}")
        return found

    def _states(self) -> None:
        """Labels of states, once for all."""
        language = self._options.language
        for name, labels in self._template.states.items():
            alias_set = instrument_mrid("states", name)
            self._additions.add(COMMON, "ValueAliasSet", alias_set, {"IdentifiedObject.name": name})
            for value, label in enumerate(labels.get(language) or labels.get("en", ())):
                texts = {"IdentifiedObject.name": label, "ValueToAlias.value": str(value)}
                mrid = instrument_mrid("states", name, str(value))
                self._additions.add(COMMON, "ValueToAlias", mrid, texts, {"ValueToAlias.ValueAliasSet": alias_set})

    # ------------------------------------------------------------ channels

    def _make_channels(self) -> None:
        model = self._model
        units = model.ids("RemoteUnit")
        names = {model.name(unit) for unit in units}
        ports = {int(model.number(unit, "sc:RemoteUnit.port", 0.0)) for unit in units}
        common = int(max((model.number(unit, "sc:RemoteUnit.commonAddress", 0.0) for unit in units), default=0.0))
        channels: dict[str, Channel] = {}
        numbers = _free_numbers(len(units) + 1, self._first_port() - 1, ports, keep=self._one_port)
        for station in (mrid for mrid in model.ids("Substation") if mrid in self._stations):
            present = next(iter(model.refs_to(station, "sc:RemoteUnit.Substation")), "")
            if present:
                protocol = model.text(present, "sc:RemoteUnit.protocol") or self._options.protocol
            else:
                common += 1
                number, port = next(numbers)
                present, protocol = self._new_channel(station, names, number, port, common), self._options.protocol
            if present not in channels:
                channels[present] = Channel(present, protocol, self._template.blocks.get(family_of(protocol), {}))
                read_taken(model, channels[present])
            self._channels[station] = channels[present]

    @property
    def _host(self) -> str:
        return self._options.host or str(self._template.channel.get("host", "127.0.0.1"))

    @property
    def _one_port(self) -> bool:
        """Every channel has its own host, so all may have one port."""
        return "{" in self._host

    def _first_port(self) -> int:
        return self._options.port or int(self._template.channel.get("port", 2404))

    def _new_channel(self, station: str, names: set[str], number: int, port: int, common_address: int) -> str:
        model, options = self._model, self._options
        name = model.name(station)
        given = self._template.channel.get("name", "{station}")
        text = given.get(options.language) or given.get("en", "{station}") if isinstance(given, dict) else str(given)
        try:
            base, host = text.format(station=name, number=number), self._host.format(station=_file_name(name), number=number)
        except (KeyError, ValueError, IndexError) as error:
            raise ModelError(
                f"{text!r} or {self._host!r} cannot be filled in", mend="braces name {station} or {number} only"
            ) from error
        label = next(one for one in chain((base,), (f"{base} {extra}" for extra in count(2))) if one not in names)
        names.add(label)
        family = family_of(options.protocol)
        texts = {
            "IdentifiedObject.name": label,
            "sc:RemoteUnit.protocol": options.protocol,
            "sc:RemoteUnit.host": host,
            "sc:RemoteUnit.port": str(port),
        }
        if family == "iec104":
            texts["sc:RemoteUnit.commonAddress"] = str(common_address)
        parameters = self._template.channel.get("parameters", {}).get(family, {})
        texts |= {f"sc:RemoteUnit.{key}": str(value) for key, value in parameters.items()}
        mrid = instrument_mrid(station, "channel")
        self._additions.add(self._files[station], "RemoteUnit", mrid, texts, {"sc:RemoteUnit.Substation": station})
        self._made_channels += 1
        return mrid

    # ------------------------------------------------------------ what the template does not know

    def _complete_others(self, maker: PointMaker) -> None:
        """Measurements of the model that no item wanted get an address too: complete means complete."""
        model = self._model
        for class_name, kind in _KINDS.items():
            for measurement in model.ids(class_name):
                if measurement in maker.used:
                    continue
                resource = model.ref(measurement, "Measurement.PowerSystemResource") or ""
                station = self._locator.place(resource, model.ref(measurement, "Measurement.Terminal") or "").station
                if station in self._stations:
                    given = model.text(measurement, "sc:Discrete.kind") or kind
                    given = "double" if model.text(measurement, "Measurement.measurementType") == "SwitchPosition" else given
                    maker.complete(
                        measurement, self._channels[station], self._files[station], given if given in _BLOCKS else kind
                    )
                elif not station and not self._options.stations:
                    text = f"{class_name} of the model belongs to no station: it has no address"
                    self._notes.add(text, f"模型中的 {class_name} 不属于任何厂站, 未分配地址", model.path(measurement))


_BLOCKS = frozenset({"analog", "counter", "status", "double", "step"})


def _free_numbers(number: int, port: int, taken: set[int], *, keep: bool) -> Iterator[tuple[int, int]]:
    """(number, port) of new channels; with ``keep`` they all have the first port."""
    if keep:
        while True:
            yield number, port + 1
            number += 1
    while True:
        port += 1
        while port in taken:
            port += 1
        if port > 65535:
            raise ModelError(
                "there are more stations than ports", mend="give a lower --start-port, or --host-template with {number}"
            )
        yield number, port
        number += 1


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "station"


def _file_names(model: CimModel) -> dict[str, str]:
    """File of each station, ``SC-<name>``; two of one name are told apart by their mRID."""
    taken: dict[str, str] = {}
    files: dict[str, str] = {}
    for station in sorted(model.ids("Substation")):
        stem = f"SC-{_file_name(model.name(station))[:80]}"
        if taken.setdefault(stem.lower(), station) != station:
            stem = f"{stem}-{_file_name(station)[:12]}"
        files[station] = stem
    return files


def station_list(names: Sequence[str]) -> tuple[str, ...]:
    """Names as given on a command line: each may be a list with commas.

    >>> station_list(["Beishan,Donghu", "Heishan"])
    ('Beishan', 'Donghu', 'Heishan')
    """
    return tuple(part.strip() for name in names for part in name.split(",") if part.strip())
