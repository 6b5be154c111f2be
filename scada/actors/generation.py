"""One version of the model as a server runs it: everything that is made of it aside, before it takes over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from scada.actors.status import StatusReport
from scada.actors.stores import identities, status_mask
from scada.actors.topology import LiveTopology
from scada.apps.agc_avc.avc.network import VoltageNetwork
from scada.core.errors import ConfigError, ModelError
from scada.core.settings import ChannelSettings, Settings, beside_model, place_files
from scada.model_cim.cim import CimModel
from scada.model_cim.numbers import Numbers, with_tombstones
from scada.model_cim.objects import PlantObjects
from scada.model_cim.tables import ChannelSpec, ModelTables

_log = structlog.get_logger("model")


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """A model version, prepared. Nothing in it is of one life of an actor, so that it can take over again after another one.

    Attributes:
        number: counts the generations of this run of the server.
        model: the CIM model.
        tables: its tables.
        folder: its files. What it names (certificates, keys) lies elsewhere: :func:`~scada.core.settings.beside_model`.
        objects: what operators can hang tags on.
        topology: switch positions and what follows from them; kept current while the generation runs.
        network: sensitivities of the voltages, None where the model has none.
        report: makes the overview.
        channels: where and how to reach each channel, as overridden by the configuration, by index.
        event_pids: mask of the status points by pid.
        identity: of the point that each pid stands for.
    """

    number: int
    model: CimModel
    tables: ModelTables
    folder: Path
    objects: PlantObjects
    topology: LiveTopology
    network: VoltageNetwork | None
    report: StatusReport
    channels: Mapping[int, ChannelSpec]
    event_pids: npt.NDArray[np.bool_]
    identity: npt.NDArray[np.uint64]

    def extended(self, numbers: Numbers, number: int) -> Generation:
        """The same version after others gave further numbers: those are tombstones in it."""
        tables = with_tombstones(self.tables, numbers)
        if tables is self.tables:
            return replace(self, number=number)
        more = tables.points[len(self.tables.points) :]
        return replace(
            self,
            number=number,
            tables=tables,
            event_pids=np.concatenate([self.event_pids, np.zeros(len(more), np.bool_)]),
            identity=np.concatenate([self.identity, identities(more)]),
        )


@dataclass(frozen=True, slots=True)
class SwapReport:
    """What became of a swap of generations.

    Attributes:
        number: of the generation that runs now.
        version: digest of its files.
        done: the asked generation runs; False = the one before goes on, or was restored.
        reason: why not, in one sentence; empty if it runs.
        warnings: what an engineer should know though it runs.
        points_added: points that are new, pids.
        points_removed: points that are tombstones now, pids; they keep their last value, marked as not topical.
        points_moved: points whose source is another one now, pids: not topical until it has sent.
        channels_started: names.
        channels_stopped: names.
        channels_restarted: whose connection was dropped and made again, because where or how to reach them changed.
        channels_rebound: whose points or controls changed under a connection that stayed.
        actors_restarted: names of further actors that began a new life.
        cancelled: controls that were withdrawn because the model changes them.
        writer_ns: how long no commit was possible.
        total_s: from the beginning to the end of the swap, without preparation.
    """

    number: int
    version: str
    done: bool
    reason: str = ""
    warnings: tuple[str, ...] = ()
    points_added: tuple[int, ...] = ()
    points_removed: tuple[int, ...] = ()
    points_moved: tuple[int, ...] = ()
    channels_started: tuple[str, ...] = ()
    channels_stopped: tuple[str, ...] = ()
    channels_restarted: tuple[str, ...] = ()
    channels_rebound: tuple[str, ...] = ()
    actors_restarted: tuple[str, ...] = ()
    cancelled: int = 0
    writer_ns: int = 0
    total_s: float = field(default=0.0, compare=False)


def prepare_generation(
    number: int,
    model: CimModel,
    tables: ModelTables,
    folder: Path,
    settings: Settings,
    *,
    earthed: Callable[[], Sequence[str]],
    site: str,
    started_ns: int,
) -> Generation:
    """Make everything of a version that takes long; touches nothing that runs.

    Args:
        number: see :class:`Generation`.
        model: the CIM model.
        tables: its tables, built with the kept numbers.
        folder: its files.
        settings: the configuration; it may override where channels are.
        earthed: mRIDs of what carries a portable earth.
        site: name of the site.
        started_ns: start of the server.

    Raises:
        ScadaError: the version cannot be run with this configuration.
    """
    if all(point.removed for point in tables.points):
        raise ModelError("the model has no points", where=str(folder), mend="see `scada model check`")
    objects = PlantObjects(tables, model)
    objects.prepare()
    return Generation(
        number,
        model,
        tables,
        folder,
        objects,
        LiveTopology(model, tables, earthed),
        _voltage_network(model, tables),
        StatusReport(tables, site, started_ns),
        {spec.index: _endpoint(spec, settings) for spec in tables.live_channels},
        status_mask(tables.points),
        identities(tables.points),
    )


def check_settings(tables: ModelTables, settings: Settings) -> None:
    """See, when a version is taken at a start, that the configuration names nothing that the model does not have.

    Raises:
        ConfigError: it does.
    """
    for text in unconfigured(tables, settings):
        raise ConfigError(text, mend="see `scada model show --channels` and `--upstream`")


def unconfigured(tables: ModelTables, settings: Settings) -> list[str]:
    """What the configuration names and the model does not have, in sentences. It has no effect then."""
    names = {spec.name for spec in tables.live_channels}
    missing = {
        section: ", ".join(sorted(set(named) - known))
        for section, named, known in (
            ("[channels]", settings.channels, names),
            ("[recording] channels", settings.recording.channels, names),
            ("[upstream.stations]", settings.upstream.stations, {station.name for station in tables.upstream}),
        )
    }
    return [f"{section} names what the model does not have: {what}" for section, what in missing.items() if what]


def _endpoint(spec: ChannelSpec, settings: Settings) -> ChannelSpec:
    """A channel's address and parameters, as overridden by the configuration; files that the model names are beside it."""
    override = settings.channels.get(spec.name, ChannelSettings())
    params = {**place_files(spec.params, beside_model(settings)), **override.params}
    return replace(spec, host=override.host or spec.host, port=override.port or spec.port, params=params)


def _voltage_network(model: CimModel, tables: ModelTables) -> VoltageNetwork | None:
    try:
        return VoltageNetwork(model, tables, tables.zones) if tables.zones else None
    except ModelError as error:
        _log.warning("AVC has no network model", cause=str(error))
        return None
