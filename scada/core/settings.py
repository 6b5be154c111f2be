"""The server's configuration: one schema from which checks, documentation and editor completion come.

``scada config check FILE`` reads a file by it; ``scada config schema`` prints its JSON Schema.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator, model_validator

from scada.core.agc_settings import AgcSettings
from scada.core.api_settings import ApiSettings as ApiSettings  # noqa: PLC0414
from scada.core.avc_settings import AvcSettings as AvcSettings  # noqa: PLC0414 - one place to import settings from
from scada.core.avc_settings import AvcTuning as AvcTuning  # noqa: PLC0414
from scada.core.control_settings import ControlSettings
from scada.core.dispatch_settings import DispatchSettings
from scada.core.errors import ConfigError
from scada.core.performance_settings import PerformanceSettings
from scada.core.rest_settings import RestSettings as RestSettings  # noqa: PLC0414
from scada.core.secret_values import PREFIX as SECRET
from scada.core.section import Section as _Section

_Protocol = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
_DriverPlace = Annotated[str, Field(pattern=r"^.+:[A-Za-z_][A-Za-z0-9_]*$")]


class SiteSettings(_Section):
    """Who we are."""

    name: str = Field("demo", description="Name of the site; the recipient of every signed message.")
    time_zone: str = Field("UTC", description="IANA time zone in which hours, days and months of totals begin.")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"no time zone {name!r}; write e.g. Asia/Shanghai") from error
        return name


class ClockSettings(_Section):
    """Rate of time, for demonstrations and tests."""

    rate: float = Field(1.0, gt=0, le=100, description="Simulated seconds per real second; 1 in every real plant.")
    epoch_ns: int = Field(0, ge=0, description="Common start of scaled time, ns UTC; 0 = start of the process.")


class ModelSettings(_Section):
    """The device model: the folder it is first taken from, and the store of its versions."""

    path: Path = Field(Path("examples/demo-grid"), description="Folder of CIM XML files; version 1 is taken from it.")
    versions: Path = Field(Path("var/model"), description="Folder of the versions of the model and their log.")
    at_start: Literal["current", "folder"] = Field(
        "current", description="After a start runs the current version, or what is in the folder, as a new version if it differs."
    )
    approval: bool = Field(False, description="A second engineer must approve a version before it is applied.")
    apply_with_errors: bool = Field(False, description="Versions with errors that the running one does not have may be applied.")
    keep_versions: int = Field(50, ge=2, description="Versions whose files are kept; the current one and the one before always.")
    upload_mb: int = Field(512, ge=1, le=4096, description="Largest model that may be uploaded, packed and unpacked, MiB.")
    diagrams: bool = Field(True, description="Diagrams that a version changes are drawn anew (extra `diagrams`).")
    work_minutes: float = Field(15.0, gt=0, description="Longest time the worker may check or build a version.")


class RtdbSettings(_Section):
    """The real-time database."""

    path: Path = Field(Path("var/rtdb"), description="Folder of the LMDB environments.")
    map_mb: int = Field(1024, ge=16, description="Fixed size of the journal environment in MiB.")
    durable: bool = Field(False, description="One fsync a commit; without it a power failure may lose the last commit.")
    tick_ms: int = Field(10, ge=1, le=1000, description="Shortest time between group commits of analogs; status goes at once.")
    journal_mb: int = Field(256, ge=1, description="Journal kept behind the checkpoint; more while a consumer is slow.")
    journal_hours: float = Field(24.0, gt=0, description="Hours of service after which an acknowledged change is trimmed.")
    checkpoint_s: float = Field(15.0, gt=0, description="Time between checkpoints.")


class HistorySettings(_Section):
    """History of samples."""

    backend: Literal["embedded", "postgresql"] = Field(
        "embedded", description="Where the history is kept; postgresql: in the embedded store, and passed on to PostgreSQL."
    )
    dsn: str = Field(
        "", description="PostgreSQL: connection string of libpq; its password as secret:NAME, or in a passfile or service."
    )
    db_schema: str = Field("scada_history", description="PostgreSQL: schema, one a server; made if absent.")
    reader_role: str = Field("scada_reader", description="PostgreSQL: role that may read the views, if there is such a role.")
    path: Path = Field(Path("var/history"), description="Folder of the history.")
    map_mb: int = Field(2048, ge=16, description="Fixed size of the history environment in MiB.")
    raw_days: int = Field(0, ge=0, description="Days samples are kept; 0 = as long as there is room.")
    minute_days: int = Field(0, ge=0, description="Days the minutes (min, max, mean ...) are kept; 0 = for ever.")


class EventSettings(_Section):
    """Alarms and events."""

    path: Path = Field(Path("var/events"), description="Folder of the event log (always fully synced).")
    map_mb: int = Field(512, ge=16, description="Fixed size of the event log in MiB.")
    keep_days: int = Field(0, ge=0, description="Older events are removed; 0 = only when 80 % of map_mb are used.")
    soe_window_ms: int = Field(
        500, ge=0, le=10_000, description="Status changes wait so long, to be put in order of their source times; alarms do not."
    )
    recalls: Path = Field(Path("var/recalls"), description="Folder of disturbances captured at accident alarms.")
    recall_before_s: float = Field(60.0, ge=0, le=3600, description="Time before an accident alarm that is captured.")
    recall_after_s: float = Field(60.0, ge=0, le=3600, description="Time after it.")
    recall_keep: int = Field(100, ge=0, description="Captured disturbances kept, the newest; 0 = nothing is captured.")


class OperatorSettings(_Section):
    """Values that operators hold, tags and notes."""

    path: Path = Field(Path("var/operator"), description="Folder of the operator data (always fully synced).")


class AlarmSettings(_Section):
    """Announcing alarms (ISA-18.2, IEC 62682)."""

    shelve_max_s: float = Field(28_800.0, gt=0, le=28_800, description="Longest time an alarm may be shelved; 8 h at most.")
    chatter_count: int = Field(3, ge=2, description="An alarm raised so often within chatter_window_s is chattering.")
    chatter_window_s: float = Field(60.0, gt=0, description="Window of chatter_count; quiet for so long ends the chattering.")
    flood_count: int = Field(5, ge=1, description="More alarms of one bay than this within flood_window_s form a group.")
    flood_window_s: float = Field(10.0, gt=0, description="Window of flood_count.")


class SecuritySettings(_Section):
    """Keys and rights."""

    keys: Path = Field(Path("var/keys"), description="Folder of identities made by ``scada keys``.")
    audit: Path = Field(Path("var/audit"), description="Folder of the audit log.")
    revoked: Path = Field(
        Path("var/revoked.json"),
        description="What was revoked, as far as this server has seen: an older list put back brings nobody back.",
    )
    control_window_s: float = Field(2.0, gt=0, description="Largest difference of a control's time stamp to ours.")
    secrecy: bool = Field(False, description="Orders and replies are enciphered (SM4-GCM) inside TLS; nothing less is taken.")
    idle_minutes: float = Field(
        30.0,
        ge=0,
        description="Without an order for so many minutes a person's session only looks until the next login; 0 = never.",
    )
    one_control_session: bool = Field(
        True, description="A person's login at another workstation leaves the sessions before to look only while it lasts."
    )
    rekey_minutes: float = Field(60.0, gt=0, description="Age, real minutes, at which the keys of a session are renewed.")
    tls_names: dict[str, list[str]] = Field(
        default_factory=dict, description="By identity: names of TLS certificates, besides its own, by which it may log in."
    )
    roles: Path | None = Field(
        None,
        description="Roles of the site's own, and rights it takes away; default: ``site-roles.toml`` beside the keys, if any.",
    )
    zones: Path | None = Field(
        None, description="Zones of workstations and their rights; default: ``zones.toml`` beside the keys, if any."
    )
    revocation_lists: Literal["optional", "required"] = Field(
        "optional", description="required: without a revocation list of every authority nothing that acts is allowed."
    )


class MetricsSettings(_Section):
    """Prometheus endpoint."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(9464, ge=0, le=65535, description="Port; 0 = any free port.")


class LogSettings(_Section):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class ResourceSettings(_Section):
    """From where on the server says that it runs short."""

    behind_s: float = Field(5.0, gt=0, description="Age of the oldest message of an actor, real seconds.")
    memory_percent: float = Field(70.0, gt=0, le=100, description="Memory of the process, share of the host's.")
    files_percent: float = Field(80.0, gt=0, le=100, description="Open files, share of the limit of the process.")
    disk_mb: int = Field(1024, ge=0, description="Free space on the disk of each database, MiB.")


class ChannelSettings(_Section):
    """Overrides of a channel's address and protocol parameters; the key is the channel's name in the model."""

    host: str | None = None
    port: int | None = Field(None, ge=1, le=65535)
    params: dict[str, float | str] = Field(default_factory=dict)


class MasterSettings(_Section):
    """What a master of an upstream control centre may do; the key is its host or, with TLS, the name in its certificate."""

    name: str = Field("", description="Its name in the audit log and in events; empty = the key.")
    roles: list[str] = Field(default_factory=list, description="Roles; OPERATOR may command. None: it only reads.")
    areas: list[str] = Field(default_factory=list, description="Control areas or stations it may command; * = all.")


class UpstreamStationSettings(_Section):
    """An upstream station of the model; the key is its name there."""

    enabled: bool = Field(True, description="false: it does not listen, and its queue is left as it is.")
    host: str | None = Field(None, description="Address to listen on instead of the model's.")
    port: int | None = Field(None, ge=0, le=65535, description="Port instead of the model's; 0 = any free port.")
    params: dict[str, float | str] = Field(default_factory=dict, description="Protocol parameters instead of the model's.")
    groups: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Redundancy groups with their masters (hosts or certificate names) instead of the model's.",
    )
    masters: dict[str, MasterSettings] = Field(default_factory=dict, description="Rights of masters; who is not here has none.")


class UpstreamSettings(_Section):
    """Forwarding to upstream control centres by IEC 60870-5-104."""

    path: Path = Field(Path("var/upstream"), description="Folder of the queues of events (always fully synced).")
    stations: dict[str, UpstreamStationSettings] = Field(default_factory=dict)


class ReplaySettings(_Section):
    """Recorded traces that clients may replay in an isolated session."""

    path: Path = Field(Path("var/traces"), description="Folder of pcap files.")


class RecordingSettings(_Section):
    """Recordings of channels as capture files."""

    path: Path = Field(Path("var/recordings"), description="Folder of the recordings; they hold plain process data.")
    max_mb: float = Field(256.0, gt=0, description="Largest file of one recording, MiB.")
    max_minutes: float = Field(60.0, gt=0, description="Longest time of one recording.")
    keep_mb: float = Field(2048.0, gt=0, description="Room of all recordings, MiB; the oldest give way.")
    channels: tuple[str, ...] = Field((), description="Channels that are always recorded, file after file.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        count = max(1, len(self.channels))
        if self.keep_mb < self.max_mb * count:
            raise ValueError(f"keep_mb = {self.keep_mb:g} leaves no room for {count} recordings of max_mb = {self.max_mb:g}")
        return self


class CycleSettings(_Section):
    """Recordings of the cycles of AGC and AVC, to run them again (`scada agc rerun`); they hold plain process data."""

    record: bool = Field(True, description="Record every cycle.")
    path: Path = Field(Path("var/cycles"), description="Folder of the recordings, one file an hour and controller.")
    keep_days: float = Field(31.0, gt=0, description="Older recordings are deleted.")
    keep_mb: float = Field(2048.0, gt=0, description="Room of all recordings, MiB; the oldest give way.")


class OpcUaSettings(_Section):
    """OPC UA server that publishes model and values to third parties, for looking only; a process of its own."""

    enabled: bool = Field(False, description="`scada serve` starts it; `scada opcua serve` does so by hand.")
    endpoint: str = Field("opc.tcp://127.0.0.1:4840/", description="Address to listen on, port and path.")
    policies: tuple[str, ...] = Field(
        ("Basic256Sha256",), description="Basic256Sha256, Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss; None = without security."
    )
    certificate: Path = Field(Path("var/opcua/own.der"), description="Our certificate, made by `scada opcua certificate`.")
    key: Path = Field(Path("var/opcua/own-key.pem"), description="Its private key.")
    trust: Path = Field(Path("var/opcua/trust"), description="Folder of the trust list of clients, see `scada opcua trust`.")
    users: Path = Field(Path("var/opcua/users.toml"), description="Who may log in, made by `scada opcua user`.")
    anonymous: bool = Field(False, description="A client that is trusted need not log in.")
    interval_s: float = Field(0.5, ge=0.02, le=60, description="Time between updates; no client is served faster.")
    stations: tuple[str, ...] = Field((), description="Names of the stations that are published; empty = all.")


class Settings(_Section):
    """A whole ``scada.toml``."""

    site: SiteSettings = SiteSettings()
    clock: ClockSettings = ClockSettings()
    model: ModelSettings = ModelSettings()
    rtdb: RtdbSettings = RtdbSettings()
    history: HistorySettings = HistorySettings()
    events: EventSettings = EventSettings()
    alarms: AlarmSettings = AlarmSettings()
    operator: OperatorSettings = OperatorSettings()
    api: ApiSettings = ApiSettings()
    security: SecuritySettings = SecuritySettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    agc: AgcSettings = AgcSettings()
    avc: AvcSettings = AvcSettings()
    performance: PerformanceSettings = PerformanceSettings()
    control: ControlSettings = ControlSettings()
    dispatch: DispatchSettings = DispatchSettings()
    replay: ReplaySettings = ReplaySettings()
    recording: RecordingSettings = RecordingSettings()
    cycles: CycleSettings = CycleSettings()
    resources: ResourceSettings = ResourceSettings()
    opcua: OpcUaSettings = OpcUaSettings()
    rest: RestSettings = RestSettings()
    channels: dict[str, ChannelSettings] = Field(default_factory=dict)
    upstream: UpstreamSettings = UpstreamSettings()
    drivers: dict[_Protocol, _DriverPlace] = Field(
        default_factory=dict,
        description="Drivers of your own, by protocol: file.py:Class, relative to this file, or module:Class.",
    )


_PATHS = (
    ("model", "path"),
    ("model", "versions"),
    ("rtdb", "path"),
    ("history", "path"),
    ("events", "path"),
    ("events", "recalls"),
    ("operator", "path"),
    ("dispatch", "path"),
    ("control", "programmes"),
    ("performance", "path"),
    ("performance", "rules_file"),
    ("security", "keys"),
    ("security", "roles"),
    ("security", "zones"),
    ("security", "audit"),
    ("security", "revoked"),
    ("replay", "path"),
    ("recording", "path"),
    ("cycles", "path"),
    ("upstream", "path"),
    ("opcua", "certificate"),
    ("opcua", "key"),
    ("opcua", "trust"),
    ("opcua", "users"),
    ("rest", "tokens"),
    ("rest", "certificate"),
    ("rest", "key"),
)

CHANNEL_FILES = frozenset(
    {
        "tls_ca",
        "tls_certificate",
        "tls_key",
        "tls_crl",
        "certificate",
        "key",
        "trust",
        "credentials",
        "user_certificate",
        "user_key",
    }
)
"""Parameters of channels that name files; see :func:`place_files`."""


def place_files(params: Mapping[str, float | str], base: Path) -> dict[str, float | str]:
    """Parameters of a channel, relative paths in them made to start from a folder.

    >>> place_files({"k": 12.0, "tls_ca": "ca.pem"}, Path("/etc/scada"))
    {'k': 12.0, 'tls_ca': '/etc/scada/ca.pem'}
    """
    return {
        name: str(base / str(value)) if name in CHANNEL_FILES and value and not str(value).startswith(("env:", SECRET)) else value
        for name, value in params.items()
    }


def beside_model(settings: Settings) -> Path:
    """Folder from which paths in the model start: that of the configuration, since keys are no part of a version."""
    path = settings.model.path
    return path if path.is_dir() else path.parent


def load_settings(path: Path) -> Settings:
    """Read a configuration file; relative paths in it are relative to its folder.

    Raises:
        ConfigError: the file is missing, not TOML, or a value is wrong (all wrong values are named at once).
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration: {error.strerror}", where=str(path), mend="give --config FILE"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text: {error.reason}", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", where=str(path)) from error
    return parse_settings(raw, base=path.resolve().parent, where=str(path))


def parse_settings(raw: dict[str, Any], *, base: Path, where: str = "settings") -> Settings:
    """Check a parsed configuration.

    Args:
        raw: the TOML document.
        base: folder that relative paths start from.
        where: named in errors.

    Raises:
        ConfigError: naming every wrong value.
    """
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(f"[{'.'.join(str(part) for part in fault['loc'])}] {fault['msg']}" for fault in error.errors())
        raise ConfigError(faults, where=where, mend="see `scada config schema`") from error
    for section, name in _PATHS:
        group = getattr(settings, section)
        if (given := getattr(group, name)) is not None:
            settings = settings.model_copy(update={section: group.model_copy(update={name: base / given})})
    channels = {name: one.model_copy(update={"params": place_files(one.params, base)}) for name, one in settings.channels.items()}
    stations = {
        name: one.model_copy(update={"params": place_files(one.params, base)}) for name, one in settings.upstream.stations.items()
    }
    upstream = settings.upstream.model_copy(update={"stations": stations})
    places = {name: str(base / place) if ".py:" in place else place for name, place in settings.drivers.items()}
    references = settings.avc.references
    if references.path:
        references = references.model_copy(update={"path": str(base / references.path)})
        settings = settings.model_copy(update={"avc": settings.avc.model_copy(update={"references": references})})
    return settings.model_copy(update={"channels": channels, "upstream": upstream, "drivers": places})
