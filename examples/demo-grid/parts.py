"""Parts of the demo grid's network as the generator remembers them, to lay points over them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Device:
    """A switch of a bay."""

    kind: str
    identity: str
    number: str
    closed: bool


@dataclass
class Feeder:
    """What a bay feeds: equipment, its terminal here, its role and rated current."""

    role: str
    equipment: str
    terminal: str
    name: str
    rated_a: float = 0.0


@dataclass
class Bay:
    """A bay of a voltage level."""

    level: Level
    identity: str
    name: str
    number: int
    bus: int
    outer: str
    """Connectivity node that equipment is connected to."""
    devices: list[Device] = field(default_factory=list)
    feeder: Feeder | None = None

    @property
    def breaker(self) -> Device:
        """The circuit breaker."""
        return next(device for device in self.devices if device.kind == "Breaker")


@dataclass
class Level:
    """A voltage level with its busbars."""

    station: Station
    identity: str
    name: str
    kv: float
    double: bool
    buses: list[tuple[str, str, str]] = field(default_factory=list)
    """(busbar section, its connectivity node, its terminal)."""
    bays: list[Bay] = field(default_factory=list)


@dataclass
class Transformer:
    """A transformer and where its tap changer is."""

    identity: str
    name: str
    tap: str
    low_step: int
    high_step: int


@dataclass
class Unit:
    """A generating unit with its machine."""

    identity: str
    machine: str
    terminal: str
    name: str
    number: int
    """1, 2 ... within its station."""
    fuel: str
    low: float
    high: float
    min_q: float
    max_q: float
    kv: float


@dataclass
class Station:
    """A substation or plant."""

    identity: str
    name: str
    zh: str
    area: str
    levels: list[Level] = field(default_factory=list)
    transformers: list[Transformer] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
