"""Which driver speaks which protocol: built in, of an installed package, or a file that the configuration names.

A driver is imported when a channel or a model check asks for it. The name of a protocol belongs to one driver: a second one of
the same name is refused, so that nothing installed later can slip under a channel that runs.
"""

from __future__ import annotations

import importlib
import importlib.util
import stat
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Final

from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.model_cim.tables import ChannelSpec, Control, Point
from scada.protocols.driver import Driver, Sink

DRIVERS: Final = {
    "iec104": "scada.protocols.iec104.driver:Iec104Driver",
    "mqtt": "scada.protocols.mqtt.driver:MqttDriver",
    "iec104-c104": "scada.protocols.c104.driver:C104Driver",
    "modbus-rtu": "scada.protocols.modbus.driver:ModbusDriver",
    "modbus-rtu-tcp": "scada.protocols.modbus.driver:ModbusDriver",
    "modbus-tcp": "scada.protocols.modbus.driver:ModbusDriver",
    "modbus-tls": "scada.protocols.modbus.driver:ModbusDriver",
    "opcua": "scada.protocols.opcua.driver:OpcUaDriver",
}
"""Built in: ``ChannelSpec.protocol`` -> ``module:Class``."""

ENTRY_POINTS: Final = "scada.drivers"
"""Group of the Python entry points by which an installed package offers drivers."""


class Drivers:
    """The drivers a server knows.

    Args:
        configured: ``[drivers]`` of ``scada.toml``: protocol -> ``file.py:Class`` or ``module:Class``.

    Raises:
        ConfigError: a configured name is taken by a built-in driver.
    """

    def __init__(self, configured: Mapping[str, str] | None = None) -> None:
        self._configured = dict(configured or {})
        self._loaded: dict[str, type[Driver]] = {}
        for name in self._configured.keys() & DRIVERS.keys():
            raise ConfigError(f"protocol {name!r} has a built-in driver", where=f"[drivers] {name}", mend="choose another name")

    @cached_property
    def _places(self) -> dict[str, str]:
        """Protocol -> where its driver is. What the configuration says goes before what happens to be installed."""
        places: dict[str, str] = {}
        for entry in entry_points(group=ENTRY_POINTS):
            if places.setdefault(entry.name, entry.value) != entry.value and entry.name not in self._configured:
                text = f"two installed packages offer a driver {entry.name!r}: {places[entry.name]} and {entry.value}"
                raise ConfigError(text, mend=f"name the right one under [drivers] {entry.name}")
        return {**places, **self._configured, **DRIVERS}

    @property
    def names(self) -> tuple[str, ...]:
        """Every protocol a driver is known for."""
        return tuple(sorted(self._places))

    def find(self, protocol: str) -> type[Driver]:
        """The class of a protocol's driver; its module is imported now.

        Raises:
            ConfigError: no driver speaks it, or its code cannot be loaded.
        """
        if protocol not in self._loaded:
            if protocol not in self._places:
                raise ConfigError(f"no driver speaks {protocol!r}", mend=f"use one of {', '.join(self.names)}")
            self._loaded[protocol] = _load(protocol, self._places[protocol])
        return self._loaded[protocol]

    def check_address(self, protocol: str, address: str) -> str:
        """What is wrong with a plain address, in the words of its driver; empty = nothing."""
        return self.find(protocol).check_address(address)


def make_driver(
    spec: ChannelSpec,
    points: Sequence[Point],
    controls: Sequence[Control],
    sink: Sink,
    clock: Clock,
    drivers: Drivers | None = None,
) -> Driver:
    """The driver of a channel, not yet running.

    ``drivers`` are the known ones, None = built in and installed; the rest is handed to the driver.

    Raises:
        ConfigError: no driver speaks ``spec.protocol``, or the channel's parameters cannot be used.
    """
    try:
        kind = (drivers or Drivers()).find(spec.protocol)
    except ConfigError as error:
        raise ConfigError(error.what, where=f"channel {spec.name}", mend=error.mend) from error
    return kind(spec, points, controls, sink, clock)


def _load(protocol: str, place: str) -> type[Driver]:
    source, _, name = place.rpartition(":")
    where = f"driver {protocol} = {place}"
    try:
        module = _load_file(protocol, Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # whatever a stranger's file raises: the engineer must read it, not a traceback
        raise ConfigError(f"cannot be imported: {type(error).__name__}: {error}", where=where, mend="import it alone") from error
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, Driver)):
        raise ConfigError(f"{name!r} is no Driver", where=where, mend="name a class derived from scada.protocols.driver.Driver")
    return found


def _load_file(protocol: str, path: Path) -> ModuleType:
    """Run a file as a module of its own name. It is code: whoever may write it may do all that the server may."""
    where = f"driver {protocol} = {path}"
    try:
        mode, folder = path.stat().st_mode, path.resolve().parent.stat().st_mode
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", where=where) from error
    for what, loose in (("this file", mode & stat.S_IWOTH), ("its folder", folder & stat.S_IWOTH and not folder & stat.S_ISVTX)):
        if loose:
            raise ConfigError(f"everybody may write {what}, and it would run as the server", where=where, mend="chmod o-w")
    name = f"scada_driver_{protocol.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look a class's module up here
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
