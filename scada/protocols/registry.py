"""Which driver speaks which protocol. Drivers are imported when a channel asks for them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final

from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.model_cim.tables import ChannelSpec, Control, Point
from scada.protocols.driver import Driver, Sink

DRIVERS: Final = {
    "iec104": ("scada.protocols.iec104.driver", "Iec104Driver"),
    "modbus-tcp": ("scada.protocols.modbus.driver", "ModbusDriver"),
    "opcua": ("scada.protocols.opcua.driver", "OpcUaDriver"),
}
"""``ChannelSpec.protocol`` -> (module, class)."""


def make_driver(spec: ChannelSpec, points: Sequence[Point], controls: Sequence[Control], sink: Sink, clock: Clock) -> Driver:
    """The driver of a channel, not yet running.

    Raises:
        ConfigError: no driver speaks ``spec.protocol``, or the channel's parameters cannot be used.
    """
    if spec.protocol not in DRIVERS:
        raise ConfigError(
            f"no driver speaks {spec.protocol!r}", where=f"channel {spec.name}", mend=f"use one of {', '.join(DRIVERS)}"
        )
    module, name = DRIVERS[spec.protocol]
    driver = getattr(importlib.import_module(module), name)(spec, points, controls, sink, clock)
    assert isinstance(driver, Driver)
    return driver
