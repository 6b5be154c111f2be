from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PointKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POINT_KIND_UNSPECIFIED: _ClassVar[PointKind]
    POINT_KIND_ANALOG: _ClassVar[PointKind]
    POINT_KIND_STATUS: _ClassVar[PointKind]
    POINT_KIND_DOUBLE: _ClassVar[PointKind]
    POINT_KIND_STEP: _ClassVar[PointKind]
    POINT_KIND_COUNTER: _ClassVar[PointKind]
    POINT_KIND_BITS: _ClassVar[PointKind]
    POINT_KIND_STATE: _ClassVar[PointKind]

class HitKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HIT_KIND_UNSPECIFIED: _ClassVar[HitKind]
    HIT_KIND_STATION: _ClassVar[HitKind]
    HIT_KIND_CHANNEL: _ClassVar[HitKind]
    HIT_KIND_EQUIPMENT: _ClassVar[HitKind]
    HIT_KIND_CONTROL: _ClassVar[HitKind]
    HIT_KIND_POINT: _ClassVar[HitKind]

class SuppressionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUPPRESSION_KIND_UNSPECIFIED: _ClassVar[SuppressionKind]
    SUPPRESSION_KIND_SHELVED: _ClassVar[SuppressionKind]
    SUPPRESSION_KIND_BY_DESIGN: _ClassVar[SuppressionKind]
    SUPPRESSION_KIND_OUT_OF_SERVICE: _ClassVar[SuppressionKind]
    SUPPRESSION_KIND_TAGGED: _ClassVar[SuppressionKind]

class MarkKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MARK_KIND_UNSPECIFIED: _ClassVar[MarkKind]
    MARK_KIND_SUBSTITUTE: _ClassVar[MarkKind]
    MARK_KIND_BLOCK: _ClassVar[MarkKind]
    MARK_KIND_TAG: _ClassVar[MarkKind]
    MARK_KIND_NOTE: _ClassVar[MarkKind]

class ControlState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTROL_STATE_UNSPECIFIED: _ClassVar[ControlState]
    CONTROL_STATE_REFUSED: _ClassVar[ControlState]
    CONTROL_STATE_SELECTED: _ClassVar[ControlState]
    CONTROL_STATE_CHECK_FAILED: _ClassVar[ControlState]
    CONTROL_STATE_EXECUTING: _ClassVar[ControlState]
    CONTROL_STATE_SUCCESS: _ClassVar[ControlState]
    CONTROL_STATE_EXEC_FAILED: _ClassVar[ControlState]
    CONTROL_STATE_CANCELLED: _ClassVar[ControlState]
    CONTROL_STATE_TIMED_OUT: _ClassVar[ControlState]
    CONTROL_STATE_CONFIRMED: _ClassVar[ControlState]

class DispatchCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISPATCH_CODE_UNSPECIFIED: _ClassVar[DispatchCode]
    DISPATCH_CODE_ACCEPTED: _ClassVar[DispatchCode]
    DISPATCH_CODE_CLIPPED: _ClassVar[DispatchCode]
    DISPATCH_CODE_REFUSED: _ClassVar[DispatchCode]
    DISPATCH_CODE_DUPLICATE: _ClassVar[DispatchCode]
    DISPATCH_CODE_LATE: _ClassVar[DispatchCode]
    DISPATCH_CODE_OUT_OF_ORDER: _ClassVar[DispatchCode]
    DISPATCH_CODE_PENDING: _ClassVar[DispatchCode]
    DISPATCH_CODE_EXPIRED: _ClassVar[DispatchCode]
    DISPATCH_CODE_WITHDRAWN: _ClassVar[DispatchCode]
    DISPATCH_CODE_OUTRANKED: _ClassVar[DispatchCode]
POINT_KIND_UNSPECIFIED: PointKind
POINT_KIND_ANALOG: PointKind
POINT_KIND_STATUS: PointKind
POINT_KIND_DOUBLE: PointKind
POINT_KIND_STEP: PointKind
POINT_KIND_COUNTER: PointKind
POINT_KIND_BITS: PointKind
POINT_KIND_STATE: PointKind
HIT_KIND_UNSPECIFIED: HitKind
HIT_KIND_STATION: HitKind
HIT_KIND_CHANNEL: HitKind
HIT_KIND_EQUIPMENT: HitKind
HIT_KIND_CONTROL: HitKind
HIT_KIND_POINT: HitKind
SUPPRESSION_KIND_UNSPECIFIED: SuppressionKind
SUPPRESSION_KIND_SHELVED: SuppressionKind
SUPPRESSION_KIND_BY_DESIGN: SuppressionKind
SUPPRESSION_KIND_OUT_OF_SERVICE: SuppressionKind
SUPPRESSION_KIND_TAGGED: SuppressionKind
MARK_KIND_UNSPECIFIED: MarkKind
MARK_KIND_SUBSTITUTE: MarkKind
MARK_KIND_BLOCK: MarkKind
MARK_KIND_TAG: MarkKind
MARK_KIND_NOTE: MarkKind
CONTROL_STATE_UNSPECIFIED: ControlState
CONTROL_STATE_REFUSED: ControlState
CONTROL_STATE_SELECTED: ControlState
CONTROL_STATE_CHECK_FAILED: ControlState
CONTROL_STATE_EXECUTING: ControlState
CONTROL_STATE_SUCCESS: ControlState
CONTROL_STATE_EXEC_FAILED: ControlState
CONTROL_STATE_CANCELLED: ControlState
CONTROL_STATE_TIMED_OUT: ControlState
CONTROL_STATE_CONFIRMED: ControlState
DISPATCH_CODE_UNSPECIFIED: DispatchCode
DISPATCH_CODE_ACCEPTED: DispatchCode
DISPATCH_CODE_CLIPPED: DispatchCode
DISPATCH_CODE_REFUSED: DispatchCode
DISPATCH_CODE_DUPLICATE: DispatchCode
DISPATCH_CODE_LATE: DispatchCode
DISPATCH_CODE_OUT_OF_ORDER: DispatchCode
DISPATCH_CODE_PENDING: DispatchCode
DISPATCH_CODE_EXPIRED: DispatchCode
DISPATCH_CODE_WITHDRAWN: DispatchCode
DISPATCH_CODE_OUTRANKED: DispatchCode

class Header(_message.Message):
    __slots__ = ("version", "algorithm", "key_id", "sender", "recipient", "method", "time_us", "sequence", "nonce", "session", "expires_us", "binding", "epoch", "challenge")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_US_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    version: int
    algorithm: int
    key_id: bytes
    sender: str
    recipient: str
    method: str
    time_us: int
    sequence: int
    nonce: bytes
    session: bytes
    expires_us: int
    binding: bytes
    epoch: int
    challenge: bytes
    def __init__(self, version: _Optional[int] = ..., algorithm: _Optional[int] = ..., key_id: _Optional[bytes] = ..., sender: _Optional[str] = ..., recipient: _Optional[str] = ..., method: _Optional[str] = ..., time_us: _Optional[int] = ..., sequence: _Optional[int] = ..., nonce: _Optional[bytes] = ..., session: _Optional[bytes] = ..., expires_us: _Optional[int] = ..., binding: _Optional[bytes] = ..., epoch: _Optional[int] = ..., challenge: _Optional[bytes] = ...) -> None: ...

class Signed(_message.Message):
    __slots__ = ("header", "body", "sig", "mac")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIG_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    header: bytes
    body: bytes
    sig: bytes
    mac: bytes
    def __init__(self, header: _Optional[bytes] = ..., body: _Optional[bytes] = ..., sig: _Optional[bytes] = ..., mac: _Optional[bytes] = ...) -> None: ...

class LoginRequest(_message.Message):
    __slots__ = ("certificate", "ephemeral_key", "nonce", "station")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    EPHEMERAL_KEY_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    ephemeral_key: bytes
    nonce: bytes
    station: str
    def __init__(self, certificate: _Optional[bytes] = ..., ephemeral_key: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., station: _Optional[str] = ...) -> None: ...

class LoginReply(_message.Message):
    __slots__ = ("session", "request_digest", "nonce", "sealed_secret", "certificate", "roles", "rights", "areas", "expires_ns", "site", "rekey_after_s", "rekey_after_messages", "secrecy", "zone", "idle_s")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    SEALED_SECRET_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    AREAS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_NS_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    REKEY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    REKEY_AFTER_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SECRECY_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    IDLE_S_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    request_digest: bytes
    nonce: bytes
    sealed_secret: bytes
    certificate: bytes
    roles: _containers.RepeatedScalarFieldContainer[str]
    rights: _containers.RepeatedScalarFieldContainer[str]
    areas: _containers.RepeatedScalarFieldContainer[str]
    expires_ns: int
    site: str
    rekey_after_s: int
    rekey_after_messages: int
    secrecy: bool
    zone: str
    idle_s: int
    def __init__(self, session: _Optional[bytes] = ..., request_digest: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., sealed_secret: _Optional[bytes] = ..., certificate: _Optional[bytes] = ..., roles: _Optional[_Iterable[str]] = ..., rights: _Optional[_Iterable[str]] = ..., areas: _Optional[_Iterable[str]] = ..., expires_ns: _Optional[int] = ..., site: _Optional[str] = ..., rekey_after_s: _Optional[int] = ..., rekey_after_messages: _Optional[int] = ..., secrecy: _Optional[bool] = ..., zone: _Optional[str] = ..., idle_s: _Optional[int] = ...) -> None: ...

class LogoutRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LogoutReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RekeyRequest(_message.Message):
    __slots__ = ("ephemeral_key", "nonce")
    EPHEMERAL_KEY_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    ephemeral_key: bytes
    nonce: bytes
    def __init__(self, ephemeral_key: _Optional[bytes] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class RekeyReply(_message.Message):
    __slots__ = ("request_digest", "nonce", "sealed_secret", "epoch")
    REQUEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    SEALED_SECRET_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    request_digest: bytes
    nonce: bytes
    sealed_secret: bytes
    epoch: int
    def __init__(self, request_digest: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., sealed_secret: _Optional[bytes] = ..., epoch: _Optional[int] = ...) -> None: ...

class ChallengeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChallengeReply(_message.Message):
    __slots__ = ("challenge", "time_us", "valid_until_us")
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    challenge: bytes
    time_us: int
    valid_until_us: int
    def __init__(self, challenge: _Optional[bytes] = ..., time_us: _Optional[int] = ..., valid_until_us: _Optional[int] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ModelInfo(_message.Message):
    __slots__ = ("version", "name", "stations", "areas", "channels", "points", "controls", "site", "area_diagrams")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATIONS_FIELD_NUMBER: _ClassVar[int]
    AREAS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    AREA_DIAGRAMS_FIELD_NUMBER: _ClassVar[int]
    version: str
    name: str
    stations: _containers.RepeatedCompositeFieldContainer[StationInfo]
    areas: _containers.RepeatedCompositeFieldContainer[AreaInfo]
    channels: _containers.RepeatedCompositeFieldContainer[ChannelInfo]
    points: int
    controls: int
    site: str
    area_diagrams: _containers.RepeatedCompositeFieldContainer[AreaDiagramInfo]
    def __init__(self, version: _Optional[str] = ..., name: _Optional[str] = ..., stations: _Optional[_Iterable[_Union[StationInfo, _Mapping]]] = ..., areas: _Optional[_Iterable[_Union[AreaInfo, _Mapping]]] = ..., channels: _Optional[_Iterable[_Union[ChannelInfo, _Mapping]]] = ..., points: _Optional[int] = ..., controls: _Optional[int] = ..., site: _Optional[str] = ..., area_diagrams: _Optional[_Iterable[_Union[AreaDiagramInfo, _Mapping]]] = ...) -> None: ...

class AreaDiagramInfo(_message.Message):
    __slots__ = ("key", "name", "stale")
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    key: str
    name: str
    stale: bool
    def __init__(self, key: _Optional[str] = ..., name: _Optional[str] = ..., stale: _Optional[bool] = ...) -> None: ...

class VoltageLevelInfo(_message.Message):
    __slots__ = ("mrid", "name", "nominal_kv")
    MRID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NOMINAL_KV_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    name: str
    nominal_kv: float
    def __init__(self, mrid: _Optional[str] = ..., name: _Optional[str] = ..., nominal_kv: _Optional[float] = ...) -> None: ...

class StationInfo(_message.Message):
    __slots__ = ("mrid", "name", "area", "voltage_levels", "has_diagram", "diagram_stale")
    MRID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    VOLTAGE_LEVELS_FIELD_NUMBER: _ClassVar[int]
    HAS_DIAGRAM_FIELD_NUMBER: _ClassVar[int]
    DIAGRAM_STALE_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    name: str
    area: str
    voltage_levels: _containers.RepeatedCompositeFieldContainer[VoltageLevelInfo]
    has_diagram: bool
    diagram_stale: bool
    def __init__(self, mrid: _Optional[str] = ..., name: _Optional[str] = ..., area: _Optional[str] = ..., voltage_levels: _Optional[_Iterable[_Union[VoltageLevelInfo, _Mapping]]] = ..., has_diagram: _Optional[bool] = ..., diagram_stale: _Optional[bool] = ...) -> None: ...

class AreaInfo(_message.Message):
    __slots__ = ("mrid", "name", "controlled", "bias_mw_per_decihertz", "frequency_pid", "tie_pids", "nominal_hz")
    MRID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTROLLED_FIELD_NUMBER: _ClassVar[int]
    BIAS_MW_PER_DECIHERTZ_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_PID_FIELD_NUMBER: _ClassVar[int]
    TIE_PIDS_FIELD_NUMBER: _ClassVar[int]
    NOMINAL_HZ_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    name: str
    controlled: bool
    bias_mw_per_decihertz: float
    frequency_pid: int
    tie_pids: _containers.RepeatedScalarFieldContainer[int]
    nominal_hz: float
    def __init__(self, mrid: _Optional[str] = ..., name: _Optional[str] = ..., controlled: _Optional[bool] = ..., bias_mw_per_decihertz: _Optional[float] = ..., frequency_pid: _Optional[int] = ..., tie_pids: _Optional[_Iterable[int]] = ..., nominal_hz: _Optional[float] = ...) -> None: ...

class ChannelInfo(_message.Message):
    __slots__ = ("index", "name", "protocol", "endpoint", "station")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    index: int
    name: str
    protocol: str
    endpoint: str
    station: str
    def __init__(self, index: _Optional[int] = ..., name: _Optional[str] = ..., protocol: _Optional[str] = ..., endpoint: _Optional[str] = ..., station: _Optional[str] = ...) -> None: ...

class ListPointsRequest(_message.Message):
    __slots__ = ("station", "query", "limit")
    STATION_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    station: str
    query: str
    limit: int
    def __init__(self, station: _Optional[str] = ..., query: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class LimitInfo(_message.Message):
    __slots__ = ("lolo", "lo", "hi", "hihi", "hysteresis")
    LOLO_FIELD_NUMBER: _ClassVar[int]
    LO_FIELD_NUMBER: _ClassVar[int]
    HI_FIELD_NUMBER: _ClassVar[int]
    HIHI_FIELD_NUMBER: _ClassVar[int]
    HYSTERESIS_FIELD_NUMBER: _ClassVar[int]
    lolo: float
    lo: float
    hi: float
    hihi: float
    hysteresis: float
    def __init__(self, lolo: _Optional[float] = ..., lo: _Optional[float] = ..., hi: _Optional[float] = ..., hihi: _Optional[float] = ..., hysteresis: _Optional[float] = ...) -> None: ...

class PointInfo(_message.Message):
    __slots__ = ("pid", "mrid", "path", "name", "kind", "measurement_type", "unit", "equipment", "station", "bay", "channel", "address", "limits", "states", "normal_value", "expression", "terminal", "minimum", "maximum")
    class StatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: str
        def __init__(self, key: _Optional[int] = ..., value: _Optional[str] = ...) -> None: ...
    PID_FIELD_NUMBER: _ClassVar[int]
    MRID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MEASUREMENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    EQUIPMENT_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    BAY_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    NORMAL_VALUE_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    pid: int
    mrid: str
    path: str
    name: str
    kind: PointKind
    measurement_type: str
    unit: str
    equipment: str
    station: str
    bay: str
    channel: str
    address: str
    limits: LimitInfo
    states: _containers.ScalarMap[int, str]
    normal_value: float
    expression: str
    terminal: str
    minimum: float
    maximum: float
    def __init__(self, pid: _Optional[int] = ..., mrid: _Optional[str] = ..., path: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[_Union[PointKind, str]] = ..., measurement_type: _Optional[str] = ..., unit: _Optional[str] = ..., equipment: _Optional[str] = ..., station: _Optional[str] = ..., bay: _Optional[str] = ..., channel: _Optional[str] = ..., address: _Optional[str] = ..., limits: _Optional[_Union[LimitInfo, _Mapping]] = ..., states: _Optional[_Mapping[int, str]] = ..., normal_value: _Optional[float] = ..., expression: _Optional[str] = ..., terminal: _Optional[str] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ...) -> None: ...

class PointList(_message.Message):
    __slots__ = ("points", "truncated")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[PointInfo]
    truncated: bool
    def __init__(self, points: _Optional[_Iterable[_Union[PointInfo, _Mapping]]] = ..., truncated: _Optional[bool] = ...) -> None: ...

class ListControlsRequest(_message.Message):
    __slots__ = ("station", "equipment")
    STATION_FIELD_NUMBER: _ClassVar[int]
    EQUIPMENT_FIELD_NUMBER: _ClassVar[int]
    station: str
    equipment: str
    def __init__(self, station: _Optional[str] = ..., equipment: _Optional[str] = ...) -> None: ...

class ControlInfo(_message.Message):
    __slots__ = ("cid", "mrid", "path", "name", "kind", "control_type", "unit", "equipment", "station", "channel", "feedback_pid", "device_number", "select", "minimum", "maximum", "states")
    class StatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: str
        def __init__(self, key: _Optional[int] = ..., value: _Optional[str] = ...) -> None: ...
    CID_FIELD_NUMBER: _ClassVar[int]
    MRID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CONTROL_TYPE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    EQUIPMENT_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_PID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SELECT_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    cid: int
    mrid: str
    path: str
    name: str
    kind: int
    control_type: str
    unit: str
    equipment: str
    station: str
    channel: str
    feedback_pid: int
    device_number: str
    select: bool
    minimum: float
    maximum: float
    states: _containers.ScalarMap[int, str]
    def __init__(self, cid: _Optional[int] = ..., mrid: _Optional[str] = ..., path: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[int] = ..., control_type: _Optional[str] = ..., unit: _Optional[str] = ..., equipment: _Optional[str] = ..., station: _Optional[str] = ..., channel: _Optional[str] = ..., feedback_pid: _Optional[int] = ..., device_number: _Optional[str] = ..., select: _Optional[bool] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ..., states: _Optional[_Mapping[int, str]] = ...) -> None: ...

class ControlList(_message.Message):
    __slots__ = ("controls",)
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    controls: _containers.RepeatedCompositeFieldContainer[ControlInfo]
    def __init__(self, controls: _Optional[_Iterable[_Union[ControlInfo, _Mapping]]] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("query", "limit")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    query: str
    limit: int
    def __init__(self, query: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class SearchHit(_message.Message):
    __slots__ = ("kind", "mrid", "path", "station", "number", "equipment", "address", "device_number")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MRID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EQUIPMENT_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    kind: HitKind
    mrid: str
    path: str
    station: str
    number: int
    equipment: str
    address: str
    device_number: str
    def __init__(self, kind: _Optional[_Union[HitKind, str]] = ..., mrid: _Optional[str] = ..., path: _Optional[str] = ..., station: _Optional[str] = ..., number: _Optional[int] = ..., equipment: _Optional[str] = ..., address: _Optional[str] = ..., device_number: _Optional[str] = ...) -> None: ...

class SearchReply(_message.Message):
    __slots__ = ("hits", "total", "model_version")
    HITS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[SearchHit]
    total: int
    model_version: str
    def __init__(self, hits: _Optional[_Iterable[_Union[SearchHit, _Mapping]]] = ..., total: _Optional[int] = ..., model_version: _Optional[str] = ...) -> None: ...

class GetDiagramRequest(_message.Message):
    __slots__ = ("station", "area")
    STATION_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    station: str
    area: str
    def __init__(self, station: _Optional[str] = ..., area: _Optional[str] = ...) -> None: ...

class Diagram(_message.Message):
    __slots__ = ("station", "svg", "metadata_json", "model_version", "stale", "area")
    STATION_FIELD_NUMBER: _ClassVar[int]
    SVG_FIELD_NUMBER: _ClassVar[int]
    METADATA_JSON_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    station: str
    svg: str
    metadata_json: str
    model_version: str
    stale: bool
    area: str
    def __init__(self, station: _Optional[str] = ..., svg: _Optional[str] = ..., metadata_json: _Optional[str] = ..., model_version: _Optional[str] = ..., stale: _Optional[bool] = ..., area: _Optional[str] = ...) -> None: ...

class ReadRequest(_message.Message):
    __slots__ = ("pids",)
    PIDS_FIELD_NUMBER: _ClassVar[int]
    pids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, pids: _Optional[_Iterable[int]] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("pids", "credit", "period_ms")
    PIDS_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_MS_FIELD_NUMBER: _ClassVar[int]
    pids: _containers.RepeatedScalarFieldContainer[int]
    credit: int
    period_ms: int
    def __init__(self, pids: _Optional[_Iterable[int]] = ..., credit: _Optional[int] = ..., period_ms: _Optional[int] = ...) -> None: ...

class PointFrame(_message.Message):
    __slots__ = ("seq", "time_ns", "full", "conflated", "pid", "value", "quality", "source_time_ns", "received_ns")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    CONFLATED_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    seq: int
    time_ns: int
    full: bool
    conflated: int
    pid: _containers.RepeatedScalarFieldContainer[int]
    value: _containers.RepeatedScalarFieldContainer[float]
    quality: _containers.RepeatedScalarFieldContainer[int]
    source_time_ns: _containers.RepeatedScalarFieldContainer[int]
    received_ns: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, seq: _Optional[int] = ..., time_ns: _Optional[int] = ..., full: _Optional[bool] = ..., conflated: _Optional[int] = ..., pid: _Optional[_Iterable[int]] = ..., value: _Optional[_Iterable[float]] = ..., quality: _Optional[_Iterable[int]] = ..., source_time_ns: _Optional[_Iterable[int]] = ..., received_ns: _Optional[_Iterable[int]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChannelStatus(_message.Message):
    __slots__ = ("name", "protocol", "endpoint", "state", "reason", "since_ns", "frames_in", "frames_out", "values_in", "malformed", "unknown_addresses", "connects", "round_trip_s", "last_receive_ns", "points_total", "points_good", "station")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_IN_FIELD_NUMBER: _ClassVar[int]
    FRAMES_OUT_FIELD_NUMBER: _ClassVar[int]
    VALUES_IN_FIELD_NUMBER: _ClassVar[int]
    MALFORMED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    CONNECTS_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_S_FIELD_NUMBER: _ClassVar[int]
    LAST_RECEIVE_NS_FIELD_NUMBER: _ClassVar[int]
    POINTS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    POINTS_GOOD_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    protocol: str
    endpoint: str
    state: str
    reason: str
    since_ns: int
    frames_in: int
    frames_out: int
    values_in: int
    malformed: int
    unknown_addresses: int
    connects: int
    round_trip_s: float
    last_receive_ns: int
    points_total: int
    points_good: int
    station: str
    def __init__(self, name: _Optional[str] = ..., protocol: _Optional[str] = ..., endpoint: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., since_ns: _Optional[int] = ..., frames_in: _Optional[int] = ..., frames_out: _Optional[int] = ..., values_in: _Optional[int] = ..., malformed: _Optional[int] = ..., unknown_addresses: _Optional[int] = ..., connects: _Optional[int] = ..., round_trip_s: _Optional[float] = ..., last_receive_ns: _Optional[int] = ..., points_total: _Optional[int] = ..., points_good: _Optional[int] = ..., station: _Optional[str] = ...) -> None: ...

class AreaStatus(_message.Message):
    __slots__ = ("name", "controlled", "frequency_hz", "ace_mw", "interchange_mw", "scheduled_interchange_mw", "generation_mw", "load_mw")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTROLLED_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_HZ_FIELD_NUMBER: _ClassVar[int]
    ACE_MW_FIELD_NUMBER: _ClassVar[int]
    INTERCHANGE_MW_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_INTERCHANGE_MW_FIELD_NUMBER: _ClassVar[int]
    GENERATION_MW_FIELD_NUMBER: _ClassVar[int]
    LOAD_MW_FIELD_NUMBER: _ClassVar[int]
    name: str
    controlled: bool
    frequency_hz: float
    ace_mw: float
    interchange_mw: float
    scheduled_interchange_mw: float
    generation_mw: float
    load_mw: float
    def __init__(self, name: _Optional[str] = ..., controlled: _Optional[bool] = ..., frequency_hz: _Optional[float] = ..., ace_mw: _Optional[float] = ..., interchange_mw: _Optional[float] = ..., scheduled_interchange_mw: _Optional[float] = ..., generation_mw: _Optional[float] = ..., load_mw: _Optional[float] = ...) -> None: ...

class ActorHealth(_message.Message):
    __slots__ = ("name", "state", "mailbox", "restarts", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MAILBOX_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    mailbox: int
    restarts: int
    reason: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., mailbox: _Optional[int] = ..., restarts: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class SystemStatus(_message.Message):
    __slots__ = ("site", "version", "time_ns", "started_ns", "points_total", "points_good", "channels_total", "channels_up", "areas", "agc_state", "avc_state", "alarms_unacknowledged", "alarms_active", "channels", "actors", "seq", "agc_reason", "avc_reason")
    SITE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    STARTED_NS_FIELD_NUMBER: _ClassVar[int]
    POINTS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    POINTS_GOOD_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_UP_FIELD_NUMBER: _ClassVar[int]
    AREAS_FIELD_NUMBER: _ClassVar[int]
    AGC_STATE_FIELD_NUMBER: _ClassVar[int]
    AVC_STATE_FIELD_NUMBER: _ClassVar[int]
    ALARMS_UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    ALARMS_ACTIVE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    ACTORS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    AGC_REASON_FIELD_NUMBER: _ClassVar[int]
    AVC_REASON_FIELD_NUMBER: _ClassVar[int]
    site: str
    version: str
    time_ns: int
    started_ns: int
    points_total: int
    points_good: int
    channels_total: int
    channels_up: int
    areas: _containers.RepeatedCompositeFieldContainer[AreaStatus]
    agc_state: str
    avc_state: str
    alarms_unacknowledged: int
    alarms_active: int
    channels: _containers.RepeatedCompositeFieldContainer[ChannelStatus]
    actors: _containers.RepeatedCompositeFieldContainer[ActorHealth]
    seq: int
    agc_reason: str
    avc_reason: str
    def __init__(self, site: _Optional[str] = ..., version: _Optional[str] = ..., time_ns: _Optional[int] = ..., started_ns: _Optional[int] = ..., points_total: _Optional[int] = ..., points_good: _Optional[int] = ..., channels_total: _Optional[int] = ..., channels_up: _Optional[int] = ..., areas: _Optional[_Iterable[_Union[AreaStatus, _Mapping]]] = ..., agc_state: _Optional[str] = ..., avc_state: _Optional[str] = ..., alarms_unacknowledged: _Optional[int] = ..., alarms_active: _Optional[int] = ..., channels: _Optional[_Iterable[_Union[ChannelStatus, _Mapping]]] = ..., actors: _Optional[_Iterable[_Union[ActorHealth, _Mapping]]] = ..., seq: _Optional[int] = ..., agc_reason: _Optional[str] = ..., avc_reason: _Optional[str] = ...) -> None: ...

class EventInfo(_message.Message):
    __slots__ = ("event_id", "time_ns", "source_time_ns", "kind", "alarm_class", "priority", "key", "parameters", "pid", "mrid", "station", "path", "value", "alarm_id", "seq", "actor")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ALARM_CLASS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    MRID_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    event_id: int
    time_ns: int
    source_time_ns: int
    kind: int
    alarm_class: int
    priority: int
    key: str
    parameters: _containers.ScalarMap[str, str]
    pid: int
    mrid: str
    station: str
    path: str
    value: float
    alarm_id: int
    seq: int
    actor: str
    def __init__(self, event_id: _Optional[int] = ..., time_ns: _Optional[int] = ..., source_time_ns: _Optional[int] = ..., kind: _Optional[int] = ..., alarm_class: _Optional[int] = ..., priority: _Optional[int] = ..., key: _Optional[str] = ..., parameters: _Optional[_Mapping[str, str]] = ..., pid: _Optional[int] = ..., mrid: _Optional[str] = ..., station: _Optional[str] = ..., path: _Optional[str] = ..., value: _Optional[float] = ..., alarm_id: _Optional[int] = ..., seq: _Optional[int] = ..., actor: _Optional[str] = ...) -> None: ...

class AlarmInfo(_message.Message):
    __slots__ = ("alarm_id", "phase", "alarm_class", "priority", "key", "parameters", "pid", "mrid", "station", "path", "value", "limit", "raised_ns", "returned_ns", "acknowledged_ns", "acknowledged_by", "bay", "group", "chattering", "occurrences")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ALARM_CLASS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    MRID_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    RAISED_NS_FIELD_NUMBER: _ClassVar[int]
    RETURNED_NS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_NS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_BY_FIELD_NUMBER: _ClassVar[int]
    BAY_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CHATTERING_FIELD_NUMBER: _ClassVar[int]
    OCCURRENCES_FIELD_NUMBER: _ClassVar[int]
    alarm_id: int
    phase: int
    alarm_class: int
    priority: int
    key: str
    parameters: _containers.ScalarMap[str, str]
    pid: int
    mrid: str
    station: str
    path: str
    value: float
    limit: float
    raised_ns: int
    returned_ns: int
    acknowledged_ns: int
    acknowledged_by: str
    bay: str
    group: int
    chattering: bool
    occurrences: int
    def __init__(self, alarm_id: _Optional[int] = ..., phase: _Optional[int] = ..., alarm_class: _Optional[int] = ..., priority: _Optional[int] = ..., key: _Optional[str] = ..., parameters: _Optional[_Mapping[str, str]] = ..., pid: _Optional[int] = ..., mrid: _Optional[str] = ..., station: _Optional[str] = ..., path: _Optional[str] = ..., value: _Optional[float] = ..., limit: _Optional[float] = ..., raised_ns: _Optional[int] = ..., returned_ns: _Optional[int] = ..., acknowledged_ns: _Optional[int] = ..., acknowledged_by: _Optional[str] = ..., bay: _Optional[str] = ..., group: _Optional[int] = ..., chattering: _Optional[bool] = ..., occurrences: _Optional[int] = ...) -> None: ...

class ListAlarmsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AlarmList(_message.Message):
    __slots__ = ("alarms", "last_event_id", "suppressed")
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    LAST_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    alarms: _containers.RepeatedCompositeFieldContainer[AlarmInfo]
    last_event_id: int
    suppressed: int
    def __init__(self, alarms: _Optional[_Iterable[_Union[AlarmInfo, _Mapping]]] = ..., last_event_id: _Optional[int] = ..., suppressed: _Optional[int] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("after_id", "from_ns", "to_ns", "kinds", "limit", "station", "text", "behind", "source_order", "oldest_first")
    AFTER_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ORDER_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIRST_FIELD_NUMBER: _ClassVar[int]
    after_id: int
    from_ns: int
    to_ns: int
    kinds: _containers.RepeatedScalarFieldContainer[int]
    limit: int
    station: str
    text: str
    behind: int
    source_order: bool
    oldest_first: bool
    def __init__(self, after_id: _Optional[int] = ..., from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., kinds: _Optional[_Iterable[int]] = ..., limit: _Optional[int] = ..., station: _Optional[str] = ..., text: _Optional[str] = ..., behind: _Optional[int] = ..., source_order: _Optional[bool] = ..., oldest_first: _Optional[bool] = ...) -> None: ...

class EventList(_message.Message):
    __slots__ = ("events", "last_event_id")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    LAST_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[EventInfo]
    last_event_id: int
    def __init__(self, events: _Optional[_Iterable[_Union[EventInfo, _Mapping]]] = ..., last_event_id: _Optional[int] = ...) -> None: ...

class EventsSubscribeRequest(_message.Message):
    __slots__ = ("after_id", "kinds")
    AFTER_ID_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    after_id: int
    kinds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, after_id: _Optional[int] = ..., kinds: _Optional[_Iterable[int]] = ...) -> None: ...

class AcknowledgeRequest(_message.Message):
    __slots__ = ("alarm_ids", "last_event_id")
    ALARM_IDS_FIELD_NUMBER: _ClassVar[int]
    LAST_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    alarm_ids: _containers.RepeatedScalarFieldContainer[int]
    last_event_id: int
    def __init__(self, alarm_ids: _Optional[_Iterable[int]] = ..., last_event_id: _Optional[int] = ...) -> None: ...

class AcknowledgeReply(_message.Message):
    __slots__ = ("acknowledged", "unknown")
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    acknowledged: _containers.RepeatedScalarFieldContainer[int]
    unknown: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, acknowledged: _Optional[_Iterable[int]] = ..., unknown: _Optional[_Iterable[int]] = ...) -> None: ...

class AlarmName(_message.Message):
    __slots__ = ("mrid", "key")
    MRID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    key: str
    def __init__(self, mrid: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class ShelveRequest(_message.Message):
    __slots__ = ("alarms", "duration_s", "reason")
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    alarms: _containers.RepeatedCompositeFieldContainer[AlarmName]
    duration_s: int
    reason: str
    def __init__(self, alarms: _Optional[_Iterable[_Union[AlarmName, _Mapping]]] = ..., duration_s: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class UnshelveRequest(_message.Message):
    __slots__ = ("alarms",)
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    alarms: _containers.RepeatedCompositeFieldContainer[AlarmName]
    def __init__(self, alarms: _Optional[_Iterable[_Union[AlarmName, _Mapping]]] = ...) -> None: ...

class AlarmServiceRequest(_message.Message):
    __slots__ = ("alarms", "out_of_service", "reason")
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_SERVICE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    alarms: _containers.RepeatedCompositeFieldContainer[AlarmName]
    out_of_service: bool
    reason: str
    def __init__(self, alarms: _Optional[_Iterable[_Union[AlarmName, _Mapping]]] = ..., out_of_service: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class AlarmReply(_message.Message):
    __slots__ = ("accepted", "code", "reason", "unknown")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    code: str
    reason: str
    unknown: _containers.RepeatedCompositeFieldContainer[AlarmName]
    def __init__(self, accepted: _Optional[bool] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ..., unknown: _Optional[_Iterable[_Union[AlarmName, _Mapping]]] = ...) -> None: ...

class ListSuppressedRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Suppression(_message.Message):
    __slots__ = ("mrid", "key", "kind", "path", "station", "since_ns", "until_ns", "user", "reason", "active")
    MRID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_NS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    key: str
    kind: SuppressionKind
    path: str
    station: str
    since_ns: int
    until_ns: int
    user: str
    reason: str
    active: bool
    def __init__(self, mrid: _Optional[str] = ..., key: _Optional[str] = ..., kind: _Optional[_Union[SuppressionKind, str]] = ..., path: _Optional[str] = ..., station: _Optional[str] = ..., since_ns: _Optional[int] = ..., until_ns: _Optional[int] = ..., user: _Optional[str] = ..., reason: _Optional[str] = ..., active: _Optional[bool] = ...) -> None: ...

class SuppressionList(_message.Message):
    __slots__ = ("suppressions",)
    SUPPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    suppressions: _containers.RepeatedCompositeFieldContainer[Suppression]
    def __init__(self, suppressions: _Optional[_Iterable[_Union[Suppression, _Mapping]]] = ...) -> None: ...

class AlarmKpiRequest(_message.Message):
    __slots__ = ("from_ns", "to_ns", "station")
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    from_ns: int
    to_ns: int
    station: str
    def __init__(self, from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., station: _Optional[str] = ...) -> None: ...

class AlarmSource(_message.Message):
    __slots__ = ("mrid", "path", "key", "count")
    MRID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    path: str
    key: str
    count: int
    def __init__(self, mrid: _Optional[str] = ..., path: _Optional[str] = ..., key: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class AlarmKpi(_message.Message):
    __slots__ = ("from_ns", "to_ns", "alarms", "per_10_min_mean", "per_10_min_peak", "peak_ns", "flood_share", "floods", "standing", "stale", "chattering", "most_frequent", "most_frequent_share", "by_priority", "by_class", "acknowledge_median_s", "acknowledge_p95_s", "unacknowledged", "shelved", "by_design", "out_of_service")
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    PER_10_MIN_MEAN_FIELD_NUMBER: _ClassVar[int]
    PER_10_MIN_PEAK_FIELD_NUMBER: _ClassVar[int]
    PEAK_NS_FIELD_NUMBER: _ClassVar[int]
    FLOOD_SHARE_FIELD_NUMBER: _ClassVar[int]
    FLOODS_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    CHATTERING_FIELD_NUMBER: _ClassVar[int]
    MOST_FREQUENT_FIELD_NUMBER: _ClassVar[int]
    MOST_FREQUENT_SHARE_FIELD_NUMBER: _ClassVar[int]
    BY_PRIORITY_FIELD_NUMBER: _ClassVar[int]
    BY_CLASS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_MEDIAN_S_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_P95_S_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    SHELVED_FIELD_NUMBER: _ClassVar[int]
    BY_DESIGN_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_SERVICE_FIELD_NUMBER: _ClassVar[int]
    from_ns: int
    to_ns: int
    alarms: int
    per_10_min_mean: float
    per_10_min_peak: int
    peak_ns: int
    flood_share: float
    floods: int
    standing: int
    stale: int
    chattering: int
    most_frequent: _containers.RepeatedCompositeFieldContainer[AlarmSource]
    most_frequent_share: float
    by_priority: _containers.RepeatedScalarFieldContainer[int]
    by_class: _containers.RepeatedScalarFieldContainer[int]
    acknowledge_median_s: float
    acknowledge_p95_s: float
    unacknowledged: int
    shelved: int
    by_design: int
    out_of_service: int
    def __init__(self, from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., alarms: _Optional[int] = ..., per_10_min_mean: _Optional[float] = ..., per_10_min_peak: _Optional[int] = ..., peak_ns: _Optional[int] = ..., flood_share: _Optional[float] = ..., floods: _Optional[int] = ..., standing: _Optional[int] = ..., stale: _Optional[int] = ..., chattering: _Optional[int] = ..., most_frequent: _Optional[_Iterable[_Union[AlarmSource, _Mapping]]] = ..., most_frequent_share: _Optional[float] = ..., by_priority: _Optional[_Iterable[int]] = ..., by_class: _Optional[_Iterable[int]] = ..., acknowledge_median_s: _Optional[float] = ..., acknowledge_p95_s: _Optional[float] = ..., unacknowledged: _Optional[int] = ..., shelved: _Optional[int] = ..., by_design: _Optional[int] = ..., out_of_service: _Optional[int] = ...) -> None: ...

class RecallRequest(_message.Message):
    __slots__ = ("at_ns", "before_s", "after_s", "station", "pids")
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_S_FIELD_NUMBER: _ClassVar[int]
    AFTER_S_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    PIDS_FIELD_NUMBER: _ClassVar[int]
    at_ns: int
    before_s: int
    after_s: int
    station: str
    pids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, at_ns: _Optional[int] = ..., before_s: _Optional[int] = ..., after_s: _Optional[int] = ..., station: _Optional[str] = ..., pids: _Optional[_Iterable[int]] = ...) -> None: ...

class RecallHead(_message.Message):
    __slots__ = ("from_ns", "to_ns", "source", "complete", "reason")
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    from_ns: int
    to_ns: int
    source: str
    complete: bool
    reason: str
    def __init__(self, from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., source: _Optional[str] = ..., complete: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class RecallChanges(_message.Message):
    __slots__ = ("time_ns", "pid", "value", "quality", "received_ns")
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    time_ns: _containers.RepeatedScalarFieldContainer[int]
    pid: _containers.RepeatedScalarFieldContainer[int]
    value: _containers.RepeatedScalarFieldContainer[float]
    quality: _containers.RepeatedScalarFieldContainer[int]
    received_ns: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, time_ns: _Optional[_Iterable[int]] = ..., pid: _Optional[_Iterable[int]] = ..., value: _Optional[_Iterable[float]] = ..., quality: _Optional[_Iterable[int]] = ..., received_ns: _Optional[_Iterable[int]] = ...) -> None: ...

class RecallPart(_message.Message):
    __slots__ = ("head", "start", "events", "changes")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    head: RecallHead
    start: PointFrame
    events: EventList
    changes: RecallChanges
    def __init__(self, head: _Optional[_Union[RecallHead, _Mapping]] = ..., start: _Optional[_Union[PointFrame, _Mapping]] = ..., events: _Optional[_Union[EventList, _Mapping]] = ..., changes: _Optional[_Union[RecallChanges, _Mapping]] = ...) -> None: ...

class ListRecallsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RecallInfo(_message.Message):
    __slots__ = ("at_ns", "from_ns", "to_ns", "reason", "event_id", "complete")
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    at_ns: int
    from_ns: int
    to_ns: int
    reason: str
    event_id: int
    complete: bool
    def __init__(self, at_ns: _Optional[int] = ..., from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., reason: _Optional[str] = ..., event_id: _Optional[int] = ..., complete: _Optional[bool] = ...) -> None: ...

class RecallList(_message.Message):
    __slots__ = ("recalls",)
    RECALLS_FIELD_NUMBER: _ClassVar[int]
    recalls: _containers.RepeatedCompositeFieldContainer[RecallInfo]
    def __init__(self, recalls: _Optional[_Iterable[_Union[RecallInfo, _Mapping]]] = ...) -> None: ...

class HoldRequest(_message.Message):
    __slots__ = ("point", "block", "value", "reason")
    POINT_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    point: str
    block: bool
    value: float
    reason: str
    def __init__(self, point: _Optional[str] = ..., block: _Optional[bool] = ..., value: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("point", "reason")
    POINT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    point: str
    reason: str
    def __init__(self, point: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class TagRequest(_message.Message):
    __slots__ = ("object", "type", "reason")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    object: str
    type: str
    reason: str
    def __init__(self, object: _Optional[str] = ..., type: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class NoteRequest(_message.Message):
    __slots__ = ("object", "text")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    object: str
    text: str
    def __init__(self, object: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class RemoveRequest(_message.Message):
    __slots__ = ("mark_id", "reason")
    MARK_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    mark_id: int
    reason: str
    def __init__(self, mark_id: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class OperatorReply(_message.Message):
    __slots__ = ("accepted", "code", "reason", "mark_id")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MARK_ID_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    code: str
    reason: str
    mark_id: int
    def __init__(self, accepted: _Optional[bool] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ..., mark_id: _Optional[int] = ...) -> None: ...

class OperatorMark(_message.Message):
    __slots__ = ("mark_id", "kind", "mrid", "path", "station", "pid", "value", "tag_type", "reason", "user", "workstation", "placed_ns", "field_value", "field_quality")
    MARK_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MRID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TAG_TYPE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    WORKSTATION_FIELD_NUMBER: _ClassVar[int]
    PLACED_NS_FIELD_NUMBER: _ClassVar[int]
    FIELD_VALUE_FIELD_NUMBER: _ClassVar[int]
    FIELD_QUALITY_FIELD_NUMBER: _ClassVar[int]
    mark_id: int
    kind: MarkKind
    mrid: str
    path: str
    station: str
    pid: int
    value: float
    tag_type: str
    reason: str
    user: str
    workstation: str
    placed_ns: int
    field_value: float
    field_quality: int
    def __init__(self, mark_id: _Optional[int] = ..., kind: _Optional[_Union[MarkKind, str]] = ..., mrid: _Optional[str] = ..., path: _Optional[str] = ..., station: _Optional[str] = ..., pid: _Optional[int] = ..., value: _Optional[float] = ..., tag_type: _Optional[str] = ..., reason: _Optional[str] = ..., user: _Optional[str] = ..., workstation: _Optional[str] = ..., placed_ns: _Optional[int] = ..., field_value: _Optional[float] = ..., field_quality: _Optional[int] = ...) -> None: ...

class TagType(_message.Message):
    __slots__ = ("key", "inhibits_control", "inhibits_alarms")
    KEY_FIELD_NUMBER: _ClassVar[int]
    INHIBITS_CONTROL_FIELD_NUMBER: _ClassVar[int]
    INHIBITS_ALARMS_FIELD_NUMBER: _ClassVar[int]
    key: str
    inhibits_control: str
    inhibits_alarms: bool
    def __init__(self, key: _Optional[str] = ..., inhibits_control: _Optional[str] = ..., inhibits_alarms: _Optional[bool] = ...) -> None: ...

class ListOperatorDataRequest(_message.Message):
    __slots__ = ("station",)
    STATION_FIELD_NUMBER: _ClassVar[int]
    station: str
    def __init__(self, station: _Optional[str] = ...) -> None: ...

class OperatorMarks(_message.Message):
    __slots__ = ("marks", "tag_types")
    MARKS_FIELD_NUMBER: _ClassVar[int]
    TAG_TYPES_FIELD_NUMBER: _ClassVar[int]
    marks: _containers.RepeatedCompositeFieldContainer[OperatorMark]
    tag_types: _containers.RepeatedCompositeFieldContainer[TagType]
    def __init__(self, marks: _Optional[_Iterable[_Union[OperatorMark, _Mapping]]] = ..., tag_types: _Optional[_Iterable[_Union[TagType, _Mapping]]] = ...) -> None: ...

class SelectRequest(_message.Message):
    __slots__ = ("control", "value", "device_number", "emergency", "bypass_interlocks", "reason")
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    EMERGENCY_FIELD_NUMBER: _ClassVar[int]
    BYPASS_INTERLOCKS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    control: str
    value: float
    device_number: str
    emergency: bool
    bypass_interlocks: bool
    reason: str
    def __init__(self, control: _Optional[str] = ..., value: _Optional[float] = ..., device_number: _Optional[str] = ..., emergency: _Optional[bool] = ..., bypass_interlocks: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class ConfirmRequest(_message.Message):
    __slots__ = ("sequence_id", "control", "value", "device_number", "select_digest", "refuse", "reason")
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SELECT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REFUSE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    sequence_id: str
    control: str
    value: float
    device_number: str
    select_digest: bytes
    refuse: bool
    reason: str
    def __init__(self, sequence_id: _Optional[str] = ..., control: _Optional[str] = ..., value: _Optional[float] = ..., device_number: _Optional[str] = ..., select_digest: _Optional[bytes] = ..., refuse: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class ExecuteRequest(_message.Message):
    __slots__ = ("sequence_id", "confirm_digest")
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_DIGEST_FIELD_NUMBER: _ClassVar[int]
    sequence_id: str
    confirm_digest: bytes
    def __init__(self, sequence_id: _Optional[str] = ..., confirm_digest: _Optional[bytes] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("sequence_id", "reason")
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    sequence_id: str
    reason: str
    def __init__(self, sequence_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class AdjustRequest(_message.Message):
    __slots__ = ("control", "amount", "device_number")
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    RAISE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    control: str
    amount: float
    device_number: str
    def __init__(self, control: _Optional[str] = ..., amount: _Optional[float] = ..., device_number: _Optional[str] = ..., **kwargs) -> None: ...

class InterlockFinding(_message.Message):
    __slots__ = ("rule", "key", "parameters", "text", "unknown", "bypassable", "because")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RULE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    BYPASSABLE_FIELD_NUMBER: _ClassVar[int]
    BECAUSE_FIELD_NUMBER: _ClassVar[int]
    rule: str
    key: str
    parameters: _containers.ScalarMap[str, str]
    text: str
    unknown: bool
    bypassable: bool
    because: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, rule: _Optional[str] = ..., key: _Optional[str] = ..., parameters: _Optional[_Mapping[str, str]] = ..., text: _Optional[str] = ..., unknown: _Optional[bool] = ..., bypassable: _Optional[bool] = ..., because: _Optional[_Iterable[str]] = ...) -> None: ...

class InterlockQuery(_message.Message):
    __slots__ = ("control", "value")
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    control: str
    value: float
    def __init__(self, control: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class InterlockReport(_message.Message):
    __slots__ = ("findings", "remark")
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    REMARK_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[InterlockFinding]
    remark: str
    def __init__(self, findings: _Optional[_Iterable[_Union[InterlockFinding, _Mapping]]] = ..., remark: _Optional[str] = ...) -> None: ...

class ControlReply(_message.Message):
    __slots__ = ("sequence_id", "state", "code", "reason", "valid_until_ns", "value", "present", "elapsed_s", "needs_guardian", "guardian", "select_digest", "confirm_digest", "findings")
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_NS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_S_FIELD_NUMBER: _ClassVar[int]
    NEEDS_GUARDIAN_FIELD_NUMBER: _ClassVar[int]
    GUARDIAN_FIELD_NUMBER: _ClassVar[int]
    SELECT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    sequence_id: str
    state: ControlState
    code: str
    reason: str
    valid_until_ns: int
    value: float
    present: float
    elapsed_s: float
    needs_guardian: bool
    guardian: str
    select_digest: bytes
    confirm_digest: bytes
    findings: _containers.RepeatedCompositeFieldContainer[InterlockFinding]
    def __init__(self, sequence_id: _Optional[str] = ..., state: _Optional[_Union[ControlState, str]] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ..., valid_until_ns: _Optional[int] = ..., value: _Optional[float] = ..., present: _Optional[float] = ..., elapsed_s: _Optional[float] = ..., needs_guardian: _Optional[bool] = ..., guardian: _Optional[str] = ..., select_digest: _Optional[bytes] = ..., confirm_digest: _Optional[bytes] = ..., findings: _Optional[_Iterable[_Union[InterlockFinding, _Mapping]]] = ...) -> None: ...

class ListSequencesRequest(_message.Message):
    __slots__ = ("station", "ended")
    STATION_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    station: str
    ended: bool
    def __init__(self, station: _Optional[str] = ..., ended: _Optional[bool] = ...) -> None: ...

class SequenceInfo(_message.Message):
    __slots__ = ("reply", "control", "path", "station", "equipment", "device_number", "operator", "workstation", "started_ns", "emergency", "bypass", "why", "programme", "kind")
    REPLY_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    EQUIPMENT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    WORKSTATION_FIELD_NUMBER: _ClassVar[int]
    STARTED_NS_FIELD_NUMBER: _ClassVar[int]
    EMERGENCY_FIELD_NUMBER: _ClassVar[int]
    BYPASS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    reply: ControlReply
    control: str
    path: str
    station: str
    equipment: str
    device_number: str
    operator: str
    workstation: str
    started_ns: int
    emergency: bool
    bypass: bool
    why: str
    programme: str
    kind: str
    def __init__(self, reply: _Optional[_Union[ControlReply, _Mapping]] = ..., control: _Optional[str] = ..., path: _Optional[str] = ..., station: _Optional[str] = ..., equipment: _Optional[str] = ..., device_number: _Optional[str] = ..., operator: _Optional[str] = ..., workstation: _Optional[str] = ..., started_ns: _Optional[int] = ..., emergency: _Optional[bool] = ..., bypass: _Optional[bool] = ..., why: _Optional[str] = ..., programme: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class SequenceList(_message.Message):
    __slots__ = ("sequences", "time_ns")
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    sequences: _containers.RepeatedCompositeFieldContainer[SequenceInfo]
    time_ns: int
    def __init__(self, sequences: _Optional[_Iterable[_Union[SequenceInfo, _Mapping]]] = ..., time_ns: _Optional[int] = ...) -> None: ...

class SetModeRequest(_message.Message):
    __slots__ = ("agc", "avc", "unit", "channel", "control_mode", "loop", "unlock", "benchmarks", "area")
    AGC_FIELD_NUMBER: _ClassVar[int]
    AVC_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    CONTROL_MODE_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    UNLOCK_FIELD_NUMBER: _ClassVar[int]
    BENCHMARKS_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    agc: str
    avc: str
    unit: UnitMode
    channel: ChannelCommand
    control_mode: str
    loop: LoopOrder
    unlock: str
    benchmarks: BenchmarkOrder
    area: str
    def __init__(self, agc: _Optional[str] = ..., avc: _Optional[str] = ..., unit: _Optional[_Union[UnitMode, _Mapping]] = ..., channel: _Optional[_Union[ChannelCommand, _Mapping]] = ..., control_mode: _Optional[str] = ..., loop: _Optional[_Union[LoopOrder, _Mapping]] = ..., unlock: _Optional[str] = ..., benchmarks: _Optional[_Union[BenchmarkOrder, _Mapping]] = ..., area: _Optional[str] = ...) -> None: ...

class UnitMode(_message.Message):
    __slots__ = ("unit", "base_mode", "reg_mode", "base_point_mw")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    BASE_MODE_FIELD_NUMBER: _ClassVar[int]
    REG_MODE_FIELD_NUMBER: _ClassVar[int]
    BASE_POINT_MW_FIELD_NUMBER: _ClassVar[int]
    unit: str
    base_mode: str
    reg_mode: str
    base_point_mw: float
    def __init__(self, unit: _Optional[str] = ..., base_mode: _Optional[str] = ..., reg_mode: _Optional[str] = ..., base_point_mw: _Optional[float] = ...) -> None: ...

class BenchmarkOrder(_message.Message):
    __slots__ = ("unit", "members")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    unit: str
    members: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, unit: _Optional[str] = ..., members: _Optional[_Iterable[str]] = ...) -> None: ...

class LoopOrder(_message.Message):
    __slots__ = ("mrid", "loop", "test_value")
    MRID_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    TEST_VALUE_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    loop: str
    test_value: float
    def __init__(self, mrid: _Optional[str] = ..., loop: _Optional[str] = ..., test_value: _Optional[float] = ...) -> None: ...

class ChannelCommand(_message.Message):
    __slots__ = ("channel", "action", "arguments")
    class ArgumentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    channel: str
    action: str
    arguments: _containers.ScalarMap[str, str]
    def __init__(self, channel: _Optional[str] = ..., action: _Optional[str] = ..., arguments: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ModeReply(_message.Message):
    __slots__ = ("accepted", "code", "reason")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    code: str
    reason: str
    def __init__(self, accepted: _Optional[bool] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ProgrammeStep(_message.Message):
    __slots__ = ("control", "value", "path", "condition", "timeout_s", "pause_s", "note", "finding", "accept_no_feedback", "no_feedback")
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    PAUSE_S_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    FINDING_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_NO_FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    NO_FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    control: str
    value: float
    path: str
    condition: str
    timeout_s: float
    pause_s: float
    note: str
    finding: str
    accept_no_feedback: bool
    no_feedback: bool
    def __init__(self, control: _Optional[str] = ..., value: _Optional[float] = ..., path: _Optional[str] = ..., condition: _Optional[str] = ..., timeout_s: _Optional[float] = ..., pause_s: _Optional[float] = ..., note: _Optional[str] = ..., finding: _Optional[str] = ..., accept_no_feedback: _Optional[bool] = ..., no_feedback: _Optional[bool] = ...) -> None: ...

class Programme(_message.Message):
    __slots__ = ("name", "title", "kind", "steps", "version", "digest", "author", "saved_ns", "removed", "area")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    SAVED_NS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    kind: str
    steps: _containers.RepeatedCompositeFieldContainer[ProgrammeStep]
    version: int
    digest: bytes
    author: str
    saved_ns: int
    removed: bool
    area: str
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., kind: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[ProgrammeStep, _Mapping]]] = ..., version: _Optional[int] = ..., digest: _Optional[bytes] = ..., author: _Optional[str] = ..., saved_ns: _Optional[int] = ..., removed: _Optional[bool] = ..., area: _Optional[str] = ...) -> None: ...

class ListProgrammesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProgrammeList(_message.Message):
    __slots__ = ("programmes",)
    PROGRAMMES_FIELD_NUMBER: _ClassVar[int]
    programmes: _containers.RepeatedCompositeFieldContainer[Programme]
    def __init__(self, programmes: _Optional[_Iterable[_Union[Programme, _Mapping]]] = ...) -> None: ...

class GetProgrammeRequest(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class SaveProgrammeRequest(_message.Message):
    __slots__ = ("programme", "based_on", "remove", "reason")
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    BASED_ON_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    programme: Programme
    based_on: int
    remove: bool
    reason: str
    def __init__(self, programme: _Optional[_Union[Programme, _Mapping]] = ..., based_on: _Optional[int] = ..., remove: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class StartProgrammeRequest(_message.Message):
    __slots__ = ("name", "version", "digest", "at_ns", "condition", "wait_s", "single_step", "reason", "emergency")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    SINGLE_STEP_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EMERGENCY_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    digest: bytes
    at_ns: int
    condition: str
    wait_s: float
    single_step: bool
    reason: str
    emergency: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., digest: _Optional[bytes] = ..., at_ns: _Optional[int] = ..., condition: _Optional[str] = ..., wait_s: _Optional[float] = ..., single_step: _Optional[bool] = ..., reason: _Optional[str] = ..., emergency: _Optional[bool] = ...) -> None: ...

class ConfirmProgrammeRequest(_message.Message):
    __slots__ = ("run", "digest", "start_digest", "refuse", "reason")
    RUN_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    START_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REFUSE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    run: str
    digest: bytes
    start_digest: bytes
    refuse: bool
    reason: str
    def __init__(self, run: _Optional[str] = ..., digest: _Optional[bytes] = ..., start_digest: _Optional[bytes] = ..., refuse: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class ProgrammeCommand(_message.Message):
    __slots__ = ("run", "action", "reason")
    RUN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    run: str
    action: str
    reason: str
    def __init__(self, run: _Optional[str] = ..., action: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ProgrammeReply(_message.Message):
    __slots__ = ("accepted", "code", "reason", "run", "version", "digest", "findings")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    code: str
    reason: str
    run: str
    version: int
    digest: bytes
    findings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, accepted: _Optional[bool] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ..., run: _Optional[str] = ..., version: _Optional[int] = ..., digest: _Optional[bytes] = ..., findings: _Optional[_Iterable[str]] = ...) -> None: ...

class StepState(_message.Message):
    __slots__ = ("state", "code", "reason", "sequence_id", "started_ns", "ended_ns")
    STATE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_NS_FIELD_NUMBER: _ClassVar[int]
    ENDED_NS_FIELD_NUMBER: _ClassVar[int]
    state: str
    code: str
    reason: str
    sequence_id: str
    started_ns: int
    ended_ns: int
    def __init__(self, state: _Optional[str] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ..., sequence_id: _Optional[str] = ..., started_ns: _Optional[int] = ..., ended_ns: _Optional[int] = ...) -> None: ...

class RunInfo(_message.Message):
    __slots__ = ("run", "programme", "version", "state", "operator", "workstation", "guardian", "asked_ns", "at_ns", "condition", "single_step", "next", "steps", "reason", "start_digest", "digest", "needs_guardian", "title", "code", "emergency", "why", "ended_ns", "kind", "planned", "wait_s")
    RUN_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    WORKSTATION_FIELD_NUMBER: _ClassVar[int]
    GUARDIAN_FIELD_NUMBER: _ClassVar[int]
    ASKED_NS_FIELD_NUMBER: _ClassVar[int]
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    SINGLE_STEP_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    START_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    NEEDS_GUARDIAN_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    EMERGENCY_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    ENDED_NS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PLANNED_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    run: str
    programme: str
    version: int
    state: str
    operator: str
    workstation: str
    guardian: str
    asked_ns: int
    at_ns: int
    condition: str
    single_step: bool
    next: int
    steps: _containers.RepeatedCompositeFieldContainer[StepState]
    reason: str
    start_digest: bytes
    digest: bytes
    needs_guardian: bool
    title: str
    code: str
    emergency: bool
    why: str
    ended_ns: int
    kind: str
    planned: _containers.RepeatedCompositeFieldContainer[ProgrammeStep]
    wait_s: float
    def __init__(self, run: _Optional[str] = ..., programme: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[str] = ..., operator: _Optional[str] = ..., workstation: _Optional[str] = ..., guardian: _Optional[str] = ..., asked_ns: _Optional[int] = ..., at_ns: _Optional[int] = ..., condition: _Optional[str] = ..., single_step: _Optional[bool] = ..., next: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[StepState, _Mapping]]] = ..., reason: _Optional[str] = ..., start_digest: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., needs_guardian: _Optional[bool] = ..., title: _Optional[str] = ..., code: _Optional[str] = ..., emergency: _Optional[bool] = ..., why: _Optional[str] = ..., ended_ns: _Optional[int] = ..., kind: _Optional[str] = ..., planned: _Optional[_Iterable[_Union[ProgrammeStep, _Mapping]]] = ..., wait_s: _Optional[float] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("ended",)
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ended: bool
    def __init__(self, ended: _Optional[bool] = ...) -> None: ...

class RunList(_message.Message):
    __slots__ = ("runs", "time_ns")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[RunInfo]
    time_ns: int
    def __init__(self, runs: _Optional[_Iterable[_Union[RunInfo, _Mapping]]] = ..., time_ns: _Optional[int] = ...) -> None: ...

class GetAgcRequest(_message.Message):
    __slots__ = ("area",)
    AREA_FIELD_NUMBER: _ClassVar[int]
    area: str
    def __init__(self, area: _Optional[str] = ...) -> None: ...

class GetAvcRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AgcUnitStatus(_message.Message):
    __slots__ = ("mrid", "name", "fuel", "base_mode", "reg_mode", "power_mw", "base_mw", "setpoint_mw", "minimum_mw", "maximum_mw", "ramp_up", "ramp_down", "available", "reason", "last_command_ns", "participation", "forbidden", "group", "share", "loop", "advised_mw", "target_mw", "mode_en", "mode_zh", "zone_s", "raise_blocked", "lower_blocked", "locked", "misses", "response_mw_per_min", "output", "test_mw", "regulates", "available_mw", "available_source", "curtailed_mw", "curtailed_by", "curtailed_mwh_today", "curtailment_validity", "state_of_charge", "uncontrolled_mw", "members")
    MRID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FUEL_FIELD_NUMBER: _ClassVar[int]
    BASE_MODE_FIELD_NUMBER: _ClassVar[int]
    REG_MODE_FIELD_NUMBER: _ClassVar[int]
    POWER_MW_FIELD_NUMBER: _ClassVar[int]
    BASE_MW_FIELD_NUMBER: _ClassVar[int]
    SETPOINT_MW_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_MW_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_MW_FIELD_NUMBER: _ClassVar[int]
    RAMP_UP_FIELD_NUMBER: _ClassVar[int]
    RAMP_DOWN_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LAST_COMMAND_NS_FIELD_NUMBER: _ClassVar[int]
    PARTICIPATION_FIELD_NUMBER: _ClassVar[int]
    FORBIDDEN_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    ADVISED_MW_FIELD_NUMBER: _ClassVar[int]
    TARGET_MW_FIELD_NUMBER: _ClassVar[int]
    MODE_EN_FIELD_NUMBER: _ClassVar[int]
    MODE_ZH_FIELD_NUMBER: _ClassVar[int]
    ZONE_S_FIELD_NUMBER: _ClassVar[int]
    RAISE_BLOCKED_FIELD_NUMBER: _ClassVar[int]
    LOWER_BLOCKED_FIELD_NUMBER: _ClassVar[int]
    LOCKED_FIELD_NUMBER: _ClassVar[int]
    MISSES_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_MW_PER_MIN_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    TEST_MW_FIELD_NUMBER: _ClassVar[int]
    REGULATES_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_MW_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    CURTAILED_MW_FIELD_NUMBER: _ClassVar[int]
    CURTAILED_BY_FIELD_NUMBER: _ClassVar[int]
    CURTAILED_MWH_TODAY_FIELD_NUMBER: _ClassVar[int]
    CURTAILMENT_VALIDITY_FIELD_NUMBER: _ClassVar[int]
    STATE_OF_CHARGE_FIELD_NUMBER: _ClassVar[int]
    UNCONTROLLED_MW_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    name: str
    fuel: str
    base_mode: str
    reg_mode: str
    power_mw: float
    base_mw: float
    setpoint_mw: float
    minimum_mw: float
    maximum_mw: float
    ramp_up: float
    ramp_down: float
    available: bool
    reason: str
    last_command_ns: int
    participation: float
    forbidden: _containers.RepeatedScalarFieldContainer[float]
    group: str
    share: str
    loop: str
    advised_mw: float
    target_mw: float
    mode_en: str
    mode_zh: str
    zone_s: float
    raise_blocked: bool
    lower_blocked: bool
    locked: bool
    misses: int
    response_mw_per_min: float
    output: str
    test_mw: float
    regulates: bool
    available_mw: float
    available_source: str
    curtailed_mw: float
    curtailed_by: str
    curtailed_mwh_today: float
    curtailment_validity: float
    state_of_charge: float
    uncontrolled_mw: float
    members: _containers.RepeatedCompositeFieldContainer[AgcMemberStatus]
    def __init__(self, mrid: _Optional[str] = ..., name: _Optional[str] = ..., fuel: _Optional[str] = ..., base_mode: _Optional[str] = ..., reg_mode: _Optional[str] = ..., power_mw: _Optional[float] = ..., base_mw: _Optional[float] = ..., setpoint_mw: _Optional[float] = ..., minimum_mw: _Optional[float] = ..., maximum_mw: _Optional[float] = ..., ramp_up: _Optional[float] = ..., ramp_down: _Optional[float] = ..., available: _Optional[bool] = ..., reason: _Optional[str] = ..., last_command_ns: _Optional[int] = ..., participation: _Optional[float] = ..., forbidden: _Optional[_Iterable[float]] = ..., group: _Optional[str] = ..., share: _Optional[str] = ..., loop: _Optional[str] = ..., advised_mw: _Optional[float] = ..., target_mw: _Optional[float] = ..., mode_en: _Optional[str] = ..., mode_zh: _Optional[str] = ..., zone_s: _Optional[float] = ..., raise_blocked: _Optional[bool] = ..., lower_blocked: _Optional[bool] = ..., locked: _Optional[bool] = ..., misses: _Optional[int] = ..., response_mw_per_min: _Optional[float] = ..., output: _Optional[str] = ..., test_mw: _Optional[float] = ..., regulates: _Optional[bool] = ..., available_mw: _Optional[float] = ..., available_source: _Optional[str] = ..., curtailed_mw: _Optional[float] = ..., curtailed_by: _Optional[str] = ..., curtailed_mwh_today: _Optional[float] = ..., curtailment_validity: _Optional[float] = ..., state_of_charge: _Optional[float] = ..., uncontrolled_mw: _Optional[float] = ..., members: _Optional[_Iterable[_Union[AgcMemberStatus, _Mapping]]] = ...) -> None: ...

class AgcMemberStatus(_message.Message):
    __slots__ = ("mrid", "name", "kind", "power_mw", "setpoint_mw", "reason", "benchmark", "stopped")
    MRID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    POWER_MW_FIELD_NUMBER: _ClassVar[int]
    SETPOINT_MW_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BENCHMARK_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    name: str
    kind: str
    power_mw: float
    setpoint_mw: float
    reason: str
    benchmark: bool
    stopped: bool
    def __init__(self, mrid: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., power_mw: _Optional[float] = ..., setpoint_mw: _Optional[float] = ..., reason: _Optional[str] = ..., benchmark: _Optional[bool] = ..., stopped: _Optional[bool] = ...) -> None: ...

class AgcCause(_message.Message):
    __slots__ = ("key", "suspends", "active", "count", "last_ns", "text")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SUSPENDS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_NS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    key: str
    suspends: bool
    active: bool
    count: int
    last_ns: int
    text: str
    def __init__(self, key: _Optional[str] = ..., suspends: _Optional[bool] = ..., active: _Optional[bool] = ..., count: _Optional[int] = ..., last_ns: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class AgcSource(_message.Message):
    __slots__ = ("name", "value", "unit", "source", "sources", "pid", "state", "note")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    unit: str
    source: int
    sources: int
    pid: int
    state: str
    note: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., unit: _Optional[str] = ..., source: _Optional[int] = ..., sources: _Optional[int] = ..., pid: _Optional[int] = ..., state: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class AgcInadvertent(_message.Message):
    __slots__ = ("hour_mwh", "on_peak_mwh", "off_peak_mwh", "primary_on_mwh", "primary_off_mwh", "on_peak", "unknown_s")
    HOUR_MWH_FIELD_NUMBER: _ClassVar[int]
    ON_PEAK_MWH_FIELD_NUMBER: _ClassVar[int]
    OFF_PEAK_MWH_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_ON_MWH_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_OFF_MWH_FIELD_NUMBER: _ClassVar[int]
    ON_PEAK_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_S_FIELD_NUMBER: _ClassVar[int]
    hour_mwh: float
    on_peak_mwh: float
    off_peak_mwh: float
    primary_on_mwh: float
    primary_off_mwh: float
    on_peak: bool
    unknown_s: float
    def __init__(self, hour_mwh: _Optional[float] = ..., on_peak_mwh: _Optional[float] = ..., off_peak_mwh: _Optional[float] = ..., primary_on_mwh: _Optional[float] = ..., primary_off_mwh: _Optional[float] = ..., on_peak: _Optional[bool] = ..., unknown_s: _Optional[float] = ...) -> None: ...

class AgcReserve(_message.Message):
    __slots__ = ("key", "available_mw", "required_mw", "short")
    KEY_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_MW_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_MW_FIELD_NUMBER: _ClassVar[int]
    SHORT_FIELD_NUMBER: _ClassVar[int]
    key: str
    available_mw: float
    required_mw: float
    short: bool
    def __init__(self, key: _Optional[str] = ..., available_mw: _Optional[float] = ..., required_mw: _Optional[float] = ..., short: _Optional[bool] = ...) -> None: ...

class AgcGroupStatus(_message.Message):
    __slots__ = ("mrid", "name", "parent", "power_mw", "minimum_mw", "maximum_mw", "unmet_mw", "reason")
    MRID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    POWER_MW_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_MW_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_MW_FIELD_NUMBER: _ClassVar[int]
    UNMET_MW_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    name: str
    parent: str
    power_mw: float
    minimum_mw: float
    maximum_mw: float
    unmet_mw: float
    reason: str
    def __init__(self, mrid: _Optional[str] = ..., name: _Optional[str] = ..., parent: _Optional[str] = ..., power_mw: _Optional[float] = ..., minimum_mw: _Optional[float] = ..., maximum_mw: _Optional[float] = ..., unmet_mw: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class AgcStatus(_message.Message):
    __slots__ = ("area", "state", "reason", "control_mode", "frequency_hz", "ace_mw", "filtered_ace_mw", "interchange_mw", "scheduled_interchange_mw", "regulation_mw", "zone", "reserve_up_mw", "reserve_down_mw", "unmet_mw", "cycle_ns", "units", "dispatch", "cps1_percent", "causes", "sources", "control_modes", "sign", "scheduled_frequency_hz", "time_error_s", "time_correction", "inadvertent", "correction_mw", "meter_error_mw", "meter_mw", "proportional_mw", "integral_mw", "cps_mw", "quiet", "without_ace_s", "reserves", "base_modes", "reg_modes", "groups", "performance", "performance_rules", "disturbances", "areas")
    AREA_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CONTROL_MODE_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_HZ_FIELD_NUMBER: _ClassVar[int]
    ACE_MW_FIELD_NUMBER: _ClassVar[int]
    FILTERED_ACE_MW_FIELD_NUMBER: _ClassVar[int]
    INTERCHANGE_MW_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_INTERCHANGE_MW_FIELD_NUMBER: _ClassVar[int]
    REGULATION_MW_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    RESERVE_UP_MW_FIELD_NUMBER: _ClassVar[int]
    RESERVE_DOWN_MW_FIELD_NUMBER: _ClassVar[int]
    UNMET_MW_FIELD_NUMBER: _ClassVar[int]
    CYCLE_NS_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_FIELD_NUMBER: _ClassVar[int]
    CPS1_PERCENT_FIELD_NUMBER: _ClassVar[int]
    CAUSES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    CONTROL_MODES_FIELD_NUMBER: _ClassVar[int]
    SIGN_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FREQUENCY_HZ_FIELD_NUMBER: _ClassVar[int]
    TIME_ERROR_S_FIELD_NUMBER: _ClassVar[int]
    TIME_CORRECTION_FIELD_NUMBER: _ClassVar[int]
    INADVERTENT_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_MW_FIELD_NUMBER: _ClassVar[int]
    METER_ERROR_MW_FIELD_NUMBER: _ClassVar[int]
    METER_MW_FIELD_NUMBER: _ClassVar[int]
    PROPORTIONAL_MW_FIELD_NUMBER: _ClassVar[int]
    INTEGRAL_MW_FIELD_NUMBER: _ClassVar[int]
    CPS_MW_FIELD_NUMBER: _ClassVar[int]
    QUIET_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_ACE_S_FIELD_NUMBER: _ClassVar[int]
    RESERVES_FIELD_NUMBER: _ClassVar[int]
    BASE_MODES_FIELD_NUMBER: _ClassVar[int]
    REG_MODES_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_RULES_FIELD_NUMBER: _ClassVar[int]
    DISTURBANCES_FIELD_NUMBER: _ClassVar[int]
    AREAS_FIELD_NUMBER: _ClassVar[int]
    area: str
    state: str
    reason: str
    control_mode: str
    frequency_hz: float
    ace_mw: float
    filtered_ace_mw: float
    interchange_mw: float
    scheduled_interchange_mw: float
    regulation_mw: float
    zone: str
    reserve_up_mw: float
    reserve_down_mw: float
    unmet_mw: float
    cycle_ns: int
    units: _containers.RepeatedCompositeFieldContainer[AgcUnitStatus]
    dispatch: DispatchStatus
    cps1_percent: float
    causes: _containers.RepeatedCompositeFieldContainer[AgcCause]
    sources: _containers.RepeatedCompositeFieldContainer[AgcSource]
    control_modes: _containers.RepeatedScalarFieldContainer[str]
    sign: str
    scheduled_frequency_hz: float
    time_error_s: float
    time_correction: int
    inadvertent: AgcInadvertent
    correction_mw: float
    meter_error_mw: float
    meter_mw: float
    proportional_mw: float
    integral_mw: float
    cps_mw: float
    quiet: str
    without_ace_s: float
    reserves: _containers.RepeatedCompositeFieldContainer[AgcReserve]
    base_modes: _containers.RepeatedScalarFieldContainer[str]
    reg_modes: _containers.RepeatedScalarFieldContainer[str]
    groups: _containers.RepeatedCompositeFieldContainer[AgcGroupStatus]
    performance: _containers.RepeatedCompositeFieldContainer[PerformancePeriod]
    performance_rules: str
    disturbances: _containers.RepeatedCompositeFieldContainer[PerformanceDisturbance]
    areas: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, area: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., control_mode: _Optional[str] = ..., frequency_hz: _Optional[float] = ..., ace_mw: _Optional[float] = ..., filtered_ace_mw: _Optional[float] = ..., interchange_mw: _Optional[float] = ..., scheduled_interchange_mw: _Optional[float] = ..., regulation_mw: _Optional[float] = ..., zone: _Optional[str] = ..., reserve_up_mw: _Optional[float] = ..., reserve_down_mw: _Optional[float] = ..., unmet_mw: _Optional[float] = ..., cycle_ns: _Optional[int] = ..., units: _Optional[_Iterable[_Union[AgcUnitStatus, _Mapping]]] = ..., dispatch: _Optional[_Union[DispatchStatus, _Mapping]] = ..., cps1_percent: _Optional[float] = ..., causes: _Optional[_Iterable[_Union[AgcCause, _Mapping]]] = ..., sources: _Optional[_Iterable[_Union[AgcSource, _Mapping]]] = ..., control_modes: _Optional[_Iterable[str]] = ..., sign: _Optional[str] = ..., scheduled_frequency_hz: _Optional[float] = ..., time_error_s: _Optional[float] = ..., time_correction: _Optional[int] = ..., inadvertent: _Optional[_Union[AgcInadvertent, _Mapping]] = ..., correction_mw: _Optional[float] = ..., meter_error_mw: _Optional[float] = ..., meter_mw: _Optional[float] = ..., proportional_mw: _Optional[float] = ..., integral_mw: _Optional[float] = ..., cps_mw: _Optional[float] = ..., quiet: _Optional[str] = ..., without_ace_s: _Optional[float] = ..., reserves: _Optional[_Iterable[_Union[AgcReserve, _Mapping]]] = ..., base_modes: _Optional[_Iterable[str]] = ..., reg_modes: _Optional[_Iterable[str]] = ..., groups: _Optional[_Iterable[_Union[AgcGroupStatus, _Mapping]]] = ..., performance: _Optional[_Iterable[_Union[PerformancePeriod, _Mapping]]] = ..., performance_rules: _Optional[str] = ..., disturbances: _Optional[_Iterable[_Union[PerformanceDisturbance, _Mapping]]] = ..., areas: _Optional[_Iterable[str]] = ...) -> None: ...

class PerformanceShare(_message.Message):
    __slots__ = ("good", "counted", "unavailable")
    GOOD_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    good: int
    counted: int
    unavailable: int
    def __init__(self, good: _Optional[int] = ..., counted: _Optional[int] = ..., unavailable: _Optional[int] = ...) -> None: ...

class PerformancePeriod(_message.Message):
    __slots__ = ("period", "begin_ns", "end_ns", "minutes", "valid_minutes", "on_percent", "cps1_percent", "cps2", "chinese", "kcps", "baal_low", "baal_high", "baal_violations", "baal_longest", "a1", "a2", "ace_mean_mw", "ace_rms_mw", "deviation_rms_hz", "time_error_s", "inadvertent_mwh")
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    BEGIN_NS_FIELD_NUMBER: _ClassVar[int]
    END_NS_FIELD_NUMBER: _ClassVar[int]
    MINUTES_FIELD_NUMBER: _ClassVar[int]
    VALID_MINUTES_FIELD_NUMBER: _ClassVar[int]
    ON_PERCENT_FIELD_NUMBER: _ClassVar[int]
    CPS1_PERCENT_FIELD_NUMBER: _ClassVar[int]
    CPS2_FIELD_NUMBER: _ClassVar[int]
    CHINESE_FIELD_NUMBER: _ClassVar[int]
    KCPS_FIELD_NUMBER: _ClassVar[int]
    BAAL_LOW_FIELD_NUMBER: _ClassVar[int]
    BAAL_HIGH_FIELD_NUMBER: _ClassVar[int]
    BAAL_VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    BAAL_LONGEST_FIELD_NUMBER: _ClassVar[int]
    A1_FIELD_NUMBER: _ClassVar[int]
    A2_FIELD_NUMBER: _ClassVar[int]
    ACE_MEAN_MW_FIELD_NUMBER: _ClassVar[int]
    ACE_RMS_MW_FIELD_NUMBER: _ClassVar[int]
    DEVIATION_RMS_HZ_FIELD_NUMBER: _ClassVar[int]
    TIME_ERROR_S_FIELD_NUMBER: _ClassVar[int]
    INADVERTENT_MWH_FIELD_NUMBER: _ClassVar[int]
    period: str
    begin_ns: int
    end_ns: int
    minutes: int
    valid_minutes: int
    on_percent: float
    cps1_percent: float
    cps2: PerformanceShare
    chinese: PerformanceShare
    kcps: float
    baal_low: int
    baal_high: int
    baal_violations: int
    baal_longest: int
    a1: PerformanceShare
    a2: PerformanceShare
    ace_mean_mw: float
    ace_rms_mw: float
    deviation_rms_hz: float
    time_error_s: float
    inadvertent_mwh: float
    def __init__(self, period: _Optional[str] = ..., begin_ns: _Optional[int] = ..., end_ns: _Optional[int] = ..., minutes: _Optional[int] = ..., valid_minutes: _Optional[int] = ..., on_percent: _Optional[float] = ..., cps1_percent: _Optional[float] = ..., cps2: _Optional[_Union[PerformanceShare, _Mapping]] = ..., chinese: _Optional[_Union[PerformanceShare, _Mapping]] = ..., kcps: _Optional[float] = ..., baal_low: _Optional[int] = ..., baal_high: _Optional[int] = ..., baal_violations: _Optional[int] = ..., baal_longest: _Optional[int] = ..., a1: _Optional[_Union[PerformanceShare, _Mapping]] = ..., a2: _Optional[_Union[PerformanceShare, _Mapping]] = ..., ace_mean_mw: _Optional[float] = ..., ace_rms_mw: _Optional[float] = ..., deviation_rms_hz: _Optional[float] = ..., time_error_s: _Optional[float] = ..., inadvertent_mwh: _Optional[float] = ...) -> None: ...

class PerformanceUnit(_message.Message):
    __slots__ = ("mrid", "name", "fuel", "rated_mw", "begin_ns", "end_ns", "minutes", "valid_minutes", "on_minutes", "energy_mwh", "error_mw", "up_mw", "down_mw", "commands", "judged", "k", "depth_mw", "pjm")
    MRID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FUEL_FIELD_NUMBER: _ClassVar[int]
    RATED_MW_FIELD_NUMBER: _ClassVar[int]
    BEGIN_NS_FIELD_NUMBER: _ClassVar[int]
    END_NS_FIELD_NUMBER: _ClassVar[int]
    MINUTES_FIELD_NUMBER: _ClassVar[int]
    VALID_MINUTES_FIELD_NUMBER: _ClassVar[int]
    ON_MINUTES_FIELD_NUMBER: _ClassVar[int]
    ENERGY_MWH_FIELD_NUMBER: _ClassVar[int]
    ERROR_MW_FIELD_NUMBER: _ClassVar[int]
    UP_MW_FIELD_NUMBER: _ClassVar[int]
    DOWN_MW_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    JUDGED_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    DEPTH_MW_FIELD_NUMBER: _ClassVar[int]
    PJM_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    name: str
    fuel: str
    rated_mw: float
    begin_ns: int
    end_ns: int
    minutes: float
    valid_minutes: float
    on_minutes: float
    energy_mwh: float
    error_mw: float
    up_mw: float
    down_mw: float
    commands: int
    judged: int
    k: _containers.RepeatedScalarFieldContainer[float]
    depth_mw: float
    pjm: float
    def __init__(self, mrid: _Optional[str] = ..., name: _Optional[str] = ..., fuel: _Optional[str] = ..., rated_mw: _Optional[float] = ..., begin_ns: _Optional[int] = ..., end_ns: _Optional[int] = ..., minutes: _Optional[float] = ..., valid_minutes: _Optional[float] = ..., on_minutes: _Optional[float] = ..., energy_mwh: _Optional[float] = ..., error_mw: _Optional[float] = ..., up_mw: _Optional[float] = ..., down_mw: _Optional[float] = ..., commands: _Optional[int] = ..., judged: _Optional[int] = ..., k: _Optional[_Iterable[float]] = ..., depth_mw: _Optional[float] = ..., pjm: _Optional[float] = ...) -> None: ...

class PerformanceDisturbance(_message.Message):
    __slots__ = ("begin_ns", "loss_mw", "cause", "ace_before_mw", "ace_best_mw", "recovered_s", "valid", "closed", "percent")
    BEGIN_NS_FIELD_NUMBER: _ClassVar[int]
    LOSS_MW_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    ACE_BEFORE_MW_FIELD_NUMBER: _ClassVar[int]
    ACE_BEST_MW_FIELD_NUMBER: _ClassVar[int]
    RECOVERED_S_FIELD_NUMBER: _ClassVar[int]
    VALID_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    begin_ns: int
    loss_mw: float
    cause: str
    ace_before_mw: float
    ace_best_mw: float
    recovered_s: float
    valid: float
    closed: bool
    percent: float
    def __init__(self, begin_ns: _Optional[int] = ..., loss_mw: _Optional[float] = ..., cause: _Optional[str] = ..., ace_before_mw: _Optional[float] = ..., ace_best_mw: _Optional[float] = ..., recovered_s: _Optional[float] = ..., valid: _Optional[float] = ..., closed: _Optional[bool] = ..., percent: _Optional[float] = ...) -> None: ...

class PerformanceRules(_message.Message):
    __slots__ = ("name", "title", "source", "certain", "effective_from", "effective_to", "labels")
    class TitleEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CERTAIN_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_FROM_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_TO_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: _containers.ScalarMap[str, str]
    source: str
    certain: bool
    effective_from: str
    effective_to: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., title: _Optional[_Mapping[str, str]] = ..., source: _Optional[str] = ..., certain: _Optional[bool] = ..., effective_from: _Optional[str] = ..., effective_to: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class PerformanceRequest(_message.Message):
    __slots__ = ("area", "from_ns", "to_ns", "period", "profile", "units")
    AREA_FIELD_NUMBER: _ClassVar[int]
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    area: str
    from_ns: int
    to_ns: int
    period: str
    profile: str
    units: bool
    def __init__(self, area: _Optional[str] = ..., from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., period: _Optional[str] = ..., profile: _Optional[str] = ..., units: _Optional[bool] = ...) -> None: ...

class PerformanceReply(_message.Message):
    __slots__ = ("area", "periods", "units", "disturbances", "rules", "profiles", "areas")
    AREA_FIELD_NUMBER: _ClassVar[int]
    PERIODS_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    DISTURBANCES_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    AREAS_FIELD_NUMBER: _ClassVar[int]
    area: str
    periods: _containers.RepeatedCompositeFieldContainer[PerformancePeriod]
    units: _containers.RepeatedCompositeFieldContainer[PerformanceUnit]
    disturbances: _containers.RepeatedCompositeFieldContainer[PerformanceDisturbance]
    rules: PerformanceRules
    profiles: _containers.RepeatedCompositeFieldContainer[PerformanceRules]
    areas: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, area: _Optional[str] = ..., periods: _Optional[_Iterable[_Union[PerformancePeriod, _Mapping]]] = ..., units: _Optional[_Iterable[_Union[PerformanceUnit, _Mapping]]] = ..., disturbances: _Optional[_Iterable[_Union[PerformanceDisturbance, _Mapping]]] = ..., rules: _Optional[_Union[PerformanceRules, _Mapping]] = ..., profiles: _Optional[_Iterable[_Union[PerformanceRules, _Mapping]]] = ..., areas: _Optional[_Iterable[str]] = ...) -> None: ...

class PerformanceReportRequest(_message.Message):
    __slots__ = ("what", "format", "language")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    what: PerformanceRequest
    format: str
    language: str
    def __init__(self, what: _Optional[_Union[PerformanceRequest, _Mapping]] = ..., format: _Optional[str] = ..., language: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("mrid",)
    MRID_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    def __init__(self, mrid: _Optional[str] = ...) -> None: ...

class ExplainedTerm(_message.Message):
    __slots__ = ("key", "value", "unit", "note")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: float
    unit: str
    note: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ..., unit: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class ExplainedLimit(_message.Message):
    __slots__ = ("key", "low", "high", "binding")
    KEY_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    key: str
    low: float
    high: float
    binding: bool
    def __init__(self, key: _Optional[str] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., binding: _Optional[bool] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("mrid", "name", "application", "output", "unit", "output_ns", "sent", "reason", "inputs", "steps", "limits", "objective")
    MRID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_NS_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    name: str
    application: str
    output: float
    unit: str
    output_ns: int
    sent: bool
    reason: str
    inputs: _containers.RepeatedCompositeFieldContainer[ExplainedTerm]
    steps: _containers.RepeatedCompositeFieldContainer[ExplainedTerm]
    limits: _containers.RepeatedCompositeFieldContainer[ExplainedLimit]
    objective: str
    def __init__(self, mrid: _Optional[str] = ..., name: _Optional[str] = ..., application: _Optional[str] = ..., output: _Optional[float] = ..., unit: _Optional[str] = ..., output_ns: _Optional[int] = ..., sent: _Optional[bool] = ..., reason: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[ExplainedTerm, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[ExplainedTerm, _Mapping]]] = ..., limits: _Optional[_Iterable[_Union[ExplainedLimit, _Mapping]]] = ..., objective: _Optional[str] = ...) -> None: ...

class WhatIfRequest(_message.Message):
    __slots__ = ("application", "area", "from_ns", "to_ns", "changes")
    class ChangesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    application: str
    area: str
    from_ns: int
    to_ns: int
    changes: _containers.ScalarMap[str, str]
    def __init__(self, application: _Optional[str] = ..., area: _Optional[str] = ..., from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., changes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class WhatIfSide(_message.Message):
    __slots__ = ("cycles_on", "commands", "mileage", "requirement_rms")
    CYCLES_ON_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    MILEAGE_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENT_RMS_FIELD_NUMBER: _ClassVar[int]
    cycles_on: int
    commands: int
    mileage: float
    requirement_rms: float
    def __init__(self, cycles_on: _Optional[int] = ..., commands: _Optional[int] = ..., mileage: _Optional[float] = ..., requirement_rms: _Optional[float] = ...) -> None: ...

class WhatIfControl(_message.Message):
    __slots__ = ("cid", "name", "commands", "mileage", "last", "commands_other", "mileage_other", "last_other")
    CID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    MILEAGE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_OTHER_FIELD_NUMBER: _ClassVar[int]
    MILEAGE_OTHER_FIELD_NUMBER: _ClassVar[int]
    LAST_OTHER_FIELD_NUMBER: _ClassVar[int]
    cid: int
    name: str
    commands: int
    mileage: float
    last: float
    commands_other: int
    mileage_other: float
    last_other: float
    def __init__(self, cid: _Optional[int] = ..., name: _Optional[str] = ..., commands: _Optional[int] = ..., mileage: _Optional[float] = ..., last: _Optional[float] = ..., commands_other: _Optional[int] = ..., mileage_other: _Optional[float] = ..., last_other: _Optional[float] = ...) -> None: ...

class WhatIfReply(_message.Message):
    __slots__ = ("cycles", "faithful", "first_deviation_ns", "recorded", "other", "controls", "time_ns", "ace", "regulation", "regulation_other", "ordered", "ordered_other")
    CYCLES_FIELD_NUMBER: _ClassVar[int]
    FAITHFUL_FIELD_NUMBER: _ClassVar[int]
    FIRST_DEVIATION_NS_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    ACE_FIELD_NUMBER: _ClassVar[int]
    REGULATION_FIELD_NUMBER: _ClassVar[int]
    REGULATION_OTHER_FIELD_NUMBER: _ClassVar[int]
    ORDERED_FIELD_NUMBER: _ClassVar[int]
    ORDERED_OTHER_FIELD_NUMBER: _ClassVar[int]
    cycles: int
    faithful: int
    first_deviation_ns: int
    recorded: WhatIfSide
    other: WhatIfSide
    controls: _containers.RepeatedCompositeFieldContainer[WhatIfControl]
    time_ns: _containers.RepeatedScalarFieldContainer[int]
    ace: _containers.RepeatedScalarFieldContainer[float]
    regulation: _containers.RepeatedScalarFieldContainer[float]
    regulation_other: _containers.RepeatedScalarFieldContainer[float]
    ordered: _containers.RepeatedScalarFieldContainer[float]
    ordered_other: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, cycles: _Optional[int] = ..., faithful: _Optional[int] = ..., first_deviation_ns: _Optional[int] = ..., recorded: _Optional[_Union[WhatIfSide, _Mapping]] = ..., other: _Optional[_Union[WhatIfSide, _Mapping]] = ..., controls: _Optional[_Iterable[_Union[WhatIfControl, _Mapping]]] = ..., time_ns: _Optional[_Iterable[int]] = ..., ace: _Optional[_Iterable[float]] = ..., regulation: _Optional[_Iterable[float]] = ..., regulation_other: _Optional[_Iterable[float]] = ..., ordered: _Optional[_Iterable[float]] = ..., ordered_other: _Optional[_Iterable[float]] = ...) -> None: ...

class AvcPilotStatus(_message.Message):
    __slots__ = ("name", "mrid", "voltage_kv", "target_kv", "deadband_kv", "minimum_kv", "maximum_kv", "valid", "cell", "target_source", "target_note", "qualified_today_percent")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MRID_FIELD_NUMBER: _ClassVar[int]
    VOLTAGE_KV_FIELD_NUMBER: _ClassVar[int]
    TARGET_KV_FIELD_NUMBER: _ClassVar[int]
    DEADBAND_KV_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_KV_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_KV_FIELD_NUMBER: _ClassVar[int]
    VALID_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    TARGET_SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_NOTE_FIELD_NUMBER: _ClassVar[int]
    QUALIFIED_TODAY_PERCENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    mrid: str
    voltage_kv: float
    target_kv: float
    deadband_kv: float
    minimum_kv: float
    maximum_kv: float
    valid: bool
    cell: str
    target_source: str
    target_note: str
    qualified_today_percent: float
    def __init__(self, name: _Optional[str] = ..., mrid: _Optional[str] = ..., voltage_kv: _Optional[float] = ..., target_kv: _Optional[float] = ..., deadband_kv: _Optional[float] = ..., minimum_kv: _Optional[float] = ..., maximum_kv: _Optional[float] = ..., valid: _Optional[bool] = ..., cell: _Optional[str] = ..., target_source: _Optional[str] = ..., target_note: _Optional[str] = ..., qualified_today_percent: _Optional[float] = ...) -> None: ...

class AvcSourceStatus(_message.Message):
    __slots__ = ("name", "mrid", "reactive_mvar", "setpoint_mvar", "minimum_mvar", "maximum_mvar", "available", "reason", "loop", "advice_mvar", "limited", "plant", "kind", "active_mw", "bus_kv")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MRID_FIELD_NUMBER: _ClassVar[int]
    REACTIVE_MVAR_FIELD_NUMBER: _ClassVar[int]
    SETPOINT_MVAR_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_MVAR_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_MVAR_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    ADVICE_MVAR_FIELD_NUMBER: _ClassVar[int]
    LIMITED_FIELD_NUMBER: _ClassVar[int]
    PLANT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_MW_FIELD_NUMBER: _ClassVar[int]
    BUS_KV_FIELD_NUMBER: _ClassVar[int]
    name: str
    mrid: str
    reactive_mvar: float
    setpoint_mvar: float
    minimum_mvar: float
    maximum_mvar: float
    available: bool
    reason: str
    loop: str
    advice_mvar: float
    limited: str
    plant: str
    kind: str
    active_mw: float
    bus_kv: float
    def __init__(self, name: _Optional[str] = ..., mrid: _Optional[str] = ..., reactive_mvar: _Optional[float] = ..., setpoint_mvar: _Optional[float] = ..., minimum_mvar: _Optional[float] = ..., maximum_mvar: _Optional[float] = ..., available: _Optional[bool] = ..., reason: _Optional[str] = ..., loop: _Optional[str] = ..., advice_mvar: _Optional[float] = ..., limited: _Optional[str] = ..., plant: _Optional[str] = ..., kind: _Optional[str] = ..., active_mw: _Optional[float] = ..., bus_kv: _Optional[float] = ...) -> None: ...

class AvcDeviceStatus(_message.Message):
    __slots__ = ("name", "mrid", "kind", "position", "operations_today", "daily_limit", "lock", "last_operation_ns", "lock_key", "lock_clears", "raise_barred", "lower_barred", "others_today", "loop", "quota_now", "advice")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MRID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_TODAY_FIELD_NUMBER: _ClassVar[int]
    DAILY_LIMIT_FIELD_NUMBER: _ClassVar[int]
    LOCK_FIELD_NUMBER: _ClassVar[int]
    LAST_OPERATION_NS_FIELD_NUMBER: _ClassVar[int]
    LOCK_KEY_FIELD_NUMBER: _ClassVar[int]
    LOCK_CLEARS_FIELD_NUMBER: _ClassVar[int]
    RAISE_BARRED_FIELD_NUMBER: _ClassVar[int]
    LOWER_BARRED_FIELD_NUMBER: _ClassVar[int]
    OTHERS_TODAY_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    QUOTA_NOW_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    name: str
    mrid: str
    kind: str
    position: float
    operations_today: int
    daily_limit: int
    lock: str
    last_operation_ns: int
    lock_key: str
    lock_clears: str
    raise_barred: str
    lower_barred: str
    others_today: int
    loop: str
    quota_now: int
    advice: float
    def __init__(self, name: _Optional[str] = ..., mrid: _Optional[str] = ..., kind: _Optional[str] = ..., position: _Optional[float] = ..., operations_today: _Optional[int] = ..., daily_limit: _Optional[int] = ..., lock: _Optional[str] = ..., last_operation_ns: _Optional[int] = ..., lock_key: _Optional[str] = ..., lock_clears: _Optional[str] = ..., raise_barred: _Optional[str] = ..., lower_barred: _Optional[str] = ..., others_today: _Optional[int] = ..., loop: _Optional[str] = ..., quota_now: _Optional[int] = ..., advice: _Optional[float] = ...) -> None: ...

class AvcZoneStatus(_message.Message):
    __slots__ = ("name", "pilots", "sources", "devices", "state", "reason", "cause", "suspensions", "loading", "qualified_today_percent")
    class SuspensionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    PILOTS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    SUSPENSIONS_FIELD_NUMBER: _ClassVar[int]
    LOADING_FIELD_NUMBER: _ClassVar[int]
    QUALIFIED_TODAY_PERCENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    pilots: _containers.RepeatedCompositeFieldContainer[AvcPilotStatus]
    sources: _containers.RepeatedCompositeFieldContainer[AvcSourceStatus]
    devices: _containers.RepeatedCompositeFieldContainer[AvcDeviceStatus]
    state: str
    reason: str
    cause: str
    suspensions: _containers.ScalarMap[str, int]
    loading: float
    qualified_today_percent: float
    def __init__(self, name: _Optional[str] = ..., pilots: _Optional[_Iterable[_Union[AvcPilotStatus, _Mapping]]] = ..., sources: _Optional[_Iterable[_Union[AvcSourceStatus, _Mapping]]] = ..., devices: _Optional[_Iterable[_Union[AvcDeviceStatus, _Mapping]]] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., cause: _Optional[str] = ..., suspensions: _Optional[_Mapping[str, int]] = ..., loading: _Optional[float] = ..., qualified_today_percent: _Optional[float] = ...) -> None: ...

class AvcStatus(_message.Message):
    __slots__ = ("state", "reason", "cycle_ns", "zones", "advice", "evaluation")
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CYCLE_NS_FIELD_NUMBER: _ClassVar[int]
    ZONES_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    state: str
    reason: str
    cycle_ns: int
    zones: _containers.RepeatedCompositeFieldContainer[AvcZoneStatus]
    advice: _containers.RepeatedCompositeFieldContainer[AvcAdvice]
    evaluation: AvcEvaluation
    def __init__(self, state: _Optional[str] = ..., reason: _Optional[str] = ..., cycle_ns: _Optional[int] = ..., zones: _Optional[_Iterable[_Union[AvcZoneStatus, _Mapping]]] = ..., advice: _Optional[_Iterable[_Union[AvcAdvice, _Mapping]]] = ..., evaluation: _Optional[_Union[AvcEvaluation, _Mapping]] = ...) -> None: ...

class AvcAdvice(_message.Message):
    __slots__ = ("mrid", "value", "why", "discrete")
    MRID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    DISCRETE_FIELD_NUMBER: _ClassVar[int]
    mrid: str
    value: float
    why: str
    discrete: bool
    def __init__(self, mrid: _Optional[str] = ..., value: _Optional[float] = ..., why: _Optional[str] = ..., discrete: _Optional[bool] = ...) -> None: ...

class AvcEvaluation(_message.Message):
    __slots__ = ("qualified_percent", "compliance_percent", "commands", "availability_percent", "operations", "losses_mwh", "reference")
    QUALIFIED_PERCENT_FIELD_NUMBER: _ClassVar[int]
    COMPLIANCE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_PERCENT_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    LOSSES_MWH_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    qualified_percent: float
    compliance_percent: float
    commands: int
    availability_percent: float
    operations: int
    losses_mwh: float
    reference: str
    def __init__(self, qualified_percent: _Optional[float] = ..., compliance_percent: _Optional[float] = ..., commands: _Optional[int] = ..., availability_percent: _Optional[float] = ..., operations: _Optional[int] = ..., losses_mwh: _Optional[float] = ..., reference: _Optional[str] = ...) -> None: ...

class AreaSetpoint(_message.Message):
    __slots__ = ("area", "interchange_mw", "valid_from_ns", "valid_until_ns", "order_id", "unit", "priority", "issued_ns")
    AREA_FIELD_NUMBER: _ClassVar[int]
    INTERCHANGE_MW_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_NS_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_NS_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ISSUED_NS_FIELD_NUMBER: _ClassVar[int]
    area: str
    interchange_mw: float
    valid_from_ns: int
    valid_until_ns: int
    order_id: str
    unit: str
    priority: int
    issued_ns: int
    def __init__(self, area: _Optional[str] = ..., interchange_mw: _Optional[float] = ..., valid_from_ns: _Optional[int] = ..., valid_until_ns: _Optional[int] = ..., order_id: _Optional[str] = ..., unit: _Optional[str] = ..., priority: _Optional[int] = ..., issued_ns: _Optional[int] = ...) -> None: ...

class ModeOrder(_message.Message):
    __slots__ = ("area", "unit", "target", "mode", "minimum_mw", "maximum_mw", "valid_from_ns", "valid_until_ns", "priority", "issued_ns", "order_id")
    AREA_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_MW_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_MW_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_NS_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_NS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ISSUED_NS_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    area: str
    unit: str
    target: str
    mode: str
    minimum_mw: float
    maximum_mw: float
    valid_from_ns: int
    valid_until_ns: int
    priority: int
    issued_ns: int
    order_id: str
    def __init__(self, area: _Optional[str] = ..., unit: _Optional[str] = ..., target: _Optional[str] = ..., mode: _Optional[str] = ..., minimum_mw: _Optional[float] = ..., maximum_mw: _Optional[float] = ..., valid_from_ns: _Optional[int] = ..., valid_until_ns: _Optional[int] = ..., priority: _Optional[int] = ..., issued_ns: _Optional[int] = ..., order_id: _Optional[str] = ...) -> None: ...

class WithdrawOrder(_message.Message):
    __slots__ = ("order_id", "reason")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    reason: str
    def __init__(self, order_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class OrderDecision(_message.Message):
    __slots__ = ("order_id", "accept", "reason", "sender")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    accept: bool
    reason: str
    sender: str
    def __init__(self, order_id: _Optional[str] = ..., accept: _Optional[bool] = ..., reason: _Optional[str] = ..., sender: _Optional[str] = ...) -> None: ...

class GetOrderRequest(_message.Message):
    __slots__ = ("order_id",)
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    def __init__(self, order_id: _Optional[str] = ...) -> None: ...

class Schedule(_message.Message):
    __slots__ = ("area", "unit", "start_ns", "step_s", "mw", "order_id", "issued_ns")
    AREA_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    START_NS_FIELD_NUMBER: _ClassVar[int]
    STEP_S_FIELD_NUMBER: _ClassVar[int]
    MW_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    ISSUED_NS_FIELD_NUMBER: _ClassVar[int]
    area: str
    unit: str
    start_ns: int
    step_s: int
    mw: _containers.RepeatedScalarFieldContainer[float]
    order_id: str
    issued_ns: int
    def __init__(self, area: _Optional[str] = ..., unit: _Optional[str] = ..., start_ns: _Optional[int] = ..., step_s: _Optional[int] = ..., mw: _Optional[_Iterable[float]] = ..., order_id: _Optional[str] = ..., issued_ns: _Optional[int] = ...) -> None: ...

class ScheduleEdit(_message.Message):
    __slots__ = ("area", "unit", "day", "based_on", "points", "range", "restore", "reason", "order_id")
    AREA_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    BASED_ON_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    area: str
    unit: str
    day: str
    based_on: int
    points: _containers.RepeatedCompositeFieldContainer[SchedulePoint]
    range: ScheduleRange
    restore: int
    reason: str
    order_id: str
    def __init__(self, area: _Optional[str] = ..., unit: _Optional[str] = ..., day: _Optional[str] = ..., based_on: _Optional[int] = ..., points: _Optional[_Iterable[_Union[SchedulePoint, _Mapping]]] = ..., range: _Optional[_Union[ScheduleRange, _Mapping]] = ..., restore: _Optional[int] = ..., reason: _Optional[str] = ..., order_id: _Optional[str] = ...) -> None: ...

class SchedulePoint(_message.Message):
    __slots__ = ("time_ns", "mw", "step_s")
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    MW_FIELD_NUMBER: _ClassVar[int]
    STEP_S_FIELD_NUMBER: _ClassVar[int]
    time_ns: int
    mw: float
    step_s: int
    def __init__(self, time_ns: _Optional[int] = ..., mw: _Optional[float] = ..., step_s: _Optional[int] = ...) -> None: ...

class ScheduleRange(_message.Message):
    __slots__ = ("from_ns", "to_ns", "mw", "add")
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    MW_FIELD_NUMBER: _ClassVar[int]
    ADD_FIELD_NUMBER: _ClassVar[int]
    from_ns: int
    to_ns: int
    mw: float
    add: bool
    def __init__(self, from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., mw: _Optional[float] = ..., add: _Optional[bool] = ...) -> None: ...

class ListSchedulesRequest(_message.Message):
    __slots__ = ("day",)
    DAY_FIELD_NUMBER: _ClassVar[int]
    day: str
    def __init__(self, day: _Optional[str] = ...) -> None: ...

class GetScheduleRequest(_message.Message):
    __slots__ = ("target", "day", "version")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    target: str
    day: str
    version: int
    def __init__(self, target: _Optional[str] = ..., day: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ScheduleInfo(_message.Message):
    __slots__ = ("target", "name", "day", "version", "versions", "kind", "sender", "received_ns", "reason", "based_on", "digest", "order_id", "points", "first_ns", "last_ns", "issued_ns")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BASED_ON_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    FIRST_NS_FIELD_NUMBER: _ClassVar[int]
    LAST_NS_FIELD_NUMBER: _ClassVar[int]
    ISSUED_NS_FIELD_NUMBER: _ClassVar[int]
    target: str
    name: str
    day: str
    version: int
    versions: int
    kind: str
    sender: str
    received_ns: int
    reason: str
    based_on: int
    digest: str
    order_id: str
    points: int
    first_ns: int
    last_ns: int
    issued_ns: int
    def __init__(self, target: _Optional[str] = ..., name: _Optional[str] = ..., day: _Optional[str] = ..., version: _Optional[int] = ..., versions: _Optional[int] = ..., kind: _Optional[str] = ..., sender: _Optional[str] = ..., received_ns: _Optional[int] = ..., reason: _Optional[str] = ..., based_on: _Optional[int] = ..., digest: _Optional[str] = ..., order_id: _Optional[str] = ..., points: _Optional[int] = ..., first_ns: _Optional[int] = ..., last_ns: _Optional[int] = ..., issued_ns: _Optional[int] = ...) -> None: ...

class ScheduleTarget(_message.Message):
    __slots__ = ("target", "name", "unit", "minimum", "maximum", "area")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    target: str
    name: str
    unit: bool
    minimum: float
    maximum: float
    area: str
    def __init__(self, target: _Optional[str] = ..., name: _Optional[str] = ..., unit: _Optional[bool] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ..., area: _Optional[str] = ...) -> None: ...

class ScheduleList(_message.Message):
    __slots__ = ("schedules", "targets", "time_zone", "today", "at_midnight")
    SCHEDULES_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    TODAY_FIELD_NUMBER: _ClassVar[int]
    AT_MIDNIGHT_FIELD_NUMBER: _ClassVar[int]
    schedules: _containers.RepeatedCompositeFieldContainer[ScheduleInfo]
    targets: _containers.RepeatedCompositeFieldContainer[ScheduleTarget]
    time_zone: str
    today: str
    at_midnight: bool
    def __init__(self, schedules: _Optional[_Iterable[_Union[ScheduleInfo, _Mapping]]] = ..., targets: _Optional[_Iterable[_Union[ScheduleTarget, _Mapping]]] = ..., time_zone: _Optional[str] = ..., today: _Optional[str] = ..., at_midnight: _Optional[bool] = ...) -> None: ...

class ScheduleVersion(_message.Message):
    __slots__ = ("info", "points")
    INFO_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    info: ScheduleInfo
    points: _containers.RepeatedCompositeFieldContainer[SchedulePoint]
    def __init__(self, info: _Optional[_Union[ScheduleInfo, _Mapping]] = ..., points: _Optional[_Iterable[_Union[SchedulePoint, _Mapping]]] = ...) -> None: ...

class PointFinding(_message.Message):
    __slots__ = ("time_ns", "code", "asked_mw", "applied_mw", "reason")
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    ASKED_MW_FIELD_NUMBER: _ClassVar[int]
    APPLIED_MW_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    time_ns: int
    code: str
    asked_mw: float
    applied_mw: float
    reason: str
    def __init__(self, time_ns: _Optional[int] = ..., code: _Optional[str] = ..., asked_mw: _Optional[float] = ..., applied_mw: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class ScheduleFollowed(_message.Message):
    __slots__ = ("target", "name", "day", "version", "mw", "next_mw", "next_ns", "actual_mw", "deviation_mw", "planned_mwh", "executed_mwh", "since_ns", "unknown_s")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MW_FIELD_NUMBER: _ClassVar[int]
    NEXT_MW_FIELD_NUMBER: _ClassVar[int]
    NEXT_NS_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_MW_FIELD_NUMBER: _ClassVar[int]
    DEVIATION_MW_FIELD_NUMBER: _ClassVar[int]
    PLANNED_MWH_FIELD_NUMBER: _ClassVar[int]
    EXECUTED_MWH_FIELD_NUMBER: _ClassVar[int]
    SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_S_FIELD_NUMBER: _ClassVar[int]
    target: str
    name: str
    day: str
    version: int
    mw: float
    next_mw: float
    next_ns: int
    actual_mw: float
    deviation_mw: float
    planned_mwh: float
    executed_mwh: float
    since_ns: int
    unknown_s: float
    def __init__(self, target: _Optional[str] = ..., name: _Optional[str] = ..., day: _Optional[str] = ..., version: _Optional[int] = ..., mw: _Optional[float] = ..., next_mw: _Optional[float] = ..., next_ns: _Optional[int] = ..., actual_mw: _Optional[float] = ..., deviation_mw: _Optional[float] = ..., planned_mwh: _Optional[float] = ..., executed_mwh: _Optional[float] = ..., since_ns: _Optional[int] = ..., unknown_s: _Optional[float] = ...) -> None: ...

class DispatchReply(_message.Message):
    __slots__ = ("code", "reason", "applied_mw", "order_id", "time_ns", "version", "day", "findings", "reason_code", "decided_by", "first_code")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    APPLIED_MW_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    REASON_CODE_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    FIRST_CODE_FIELD_NUMBER: _ClassVar[int]
    code: DispatchCode
    reason: str
    applied_mw: float
    order_id: str
    time_ns: int
    version: int
    day: str
    findings: _containers.RepeatedCompositeFieldContainer[PointFinding]
    reason_code: str
    decided_by: str
    first_code: DispatchCode
    def __init__(self, code: _Optional[_Union[DispatchCode, str]] = ..., reason: _Optional[str] = ..., applied_mw: _Optional[float] = ..., order_id: _Optional[str] = ..., time_ns: _Optional[int] = ..., version: _Optional[int] = ..., day: _Optional[str] = ..., findings: _Optional[_Iterable[_Union[PointFinding, _Mapping]]] = ..., reason_code: _Optional[str] = ..., decided_by: _Optional[str] = ..., first_code: _Optional[_Union[DispatchCode, str]] = ...) -> None: ...

class GetDispatchRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DispatchOrder(_message.Message):
    __slots__ = ("order_id", "sender", "received_ns", "code", "reason", "kind", "mw", "applied_mw", "valid_until_ns", "target", "signature_ok", "reason_code", "area", "name", "words", "priority", "issued_ns", "valid_from_ns", "decide_until_ns", "decided_by")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MW_FIELD_NUMBER: _ClassVar[int]
    APPLIED_MW_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_NS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_OK_FIELD_NUMBER: _ClassVar[int]
    REASON_CODE_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ISSUED_NS_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_NS_FIELD_NUMBER: _ClassVar[int]
    DECIDE_UNTIL_NS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    sender: str
    received_ns: int
    code: DispatchCode
    reason: str
    kind: str
    mw: float
    applied_mw: float
    valid_until_ns: int
    target: str
    signature_ok: bool
    reason_code: str
    area: str
    name: str
    words: str
    priority: int
    issued_ns: int
    valid_from_ns: int
    decide_until_ns: int
    decided_by: str
    def __init__(self, order_id: _Optional[str] = ..., sender: _Optional[str] = ..., received_ns: _Optional[int] = ..., code: _Optional[_Union[DispatchCode, str]] = ..., reason: _Optional[str] = ..., kind: _Optional[str] = ..., mw: _Optional[float] = ..., applied_mw: _Optional[float] = ..., valid_until_ns: _Optional[int] = ..., target: _Optional[str] = ..., signature_ok: _Optional[bool] = ..., reason_code: _Optional[str] = ..., area: _Optional[str] = ..., name: _Optional[str] = ..., words: _Optional[str] = ..., priority: _Optional[int] = ..., issued_ns: _Optional[int] = ..., valid_from_ns: _Optional[int] = ..., decide_until_ns: _Optional[int] = ..., decided_by: _Optional[str] = ...) -> None: ...

class DispatchTarget(_message.Message):
    __slots__ = ("target", "name", "kind", "mw", "words", "source", "order_id", "sender", "valid_until_ns", "priority", "silent", "ends_ns")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MW_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_NS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    ENDS_NS_FIELD_NUMBER: _ClassVar[int]
    target: str
    name: str
    kind: str
    mw: float
    words: str
    source: str
    order_id: str
    sender: str
    valid_until_ns: int
    priority: int
    silent: bool
    ends_ns: int
    def __init__(self, target: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., mw: _Optional[float] = ..., words: _Optional[str] = ..., source: _Optional[str] = ..., order_id: _Optional[str] = ..., sender: _Optional[str] = ..., valid_until_ns: _Optional[int] = ..., priority: _Optional[int] = ..., silent: _Optional[bool] = ..., ends_ns: _Optional[int] = ...) -> None: ...

class DispatchContract(_message.Message):
    __slots__ = ("sender", "areas", "units", "kinds", "decide", "decide_within_s", "priority", "step_mw", "hours", "heard_ns", "lost")
    SENDER_FIELD_NUMBER: _ClassVar[int]
    AREAS_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    DECIDE_FIELD_NUMBER: _ClassVar[int]
    DECIDE_WITHIN_S_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    STEP_MW_FIELD_NUMBER: _ClassVar[int]
    HOURS_FIELD_NUMBER: _ClassVar[int]
    HEARD_NS_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    sender: str
    areas: _containers.RepeatedScalarFieldContainer[str]
    units: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    decide: str
    decide_within_s: float
    priority: int
    step_mw: float
    hours: _containers.RepeatedScalarFieldContainer[str]
    heard_ns: int
    lost: bool
    def __init__(self, sender: _Optional[str] = ..., areas: _Optional[_Iterable[str]] = ..., units: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[str]] = ..., decide: _Optional[str] = ..., decide_within_s: _Optional[float] = ..., priority: _Optional[int] = ..., step_mw: _Optional[float] = ..., hours: _Optional[_Iterable[str]] = ..., heard_ns: _Optional[int] = ..., lost: _Optional[bool] = ...) -> None: ...

class DispatchStatus(_message.Message):
    __slots__ = ("interchange_setpoint_mw", "orders", "interchange_mw", "followed", "targets", "contracts")
    INTERCHANGE_SETPOINT_MW_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    INTERCHANGE_MW_FIELD_NUMBER: _ClassVar[int]
    FOLLOWED_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    CONTRACTS_FIELD_NUMBER: _ClassVar[int]
    interchange_setpoint_mw: float
    orders: _containers.RepeatedCompositeFieldContainer[DispatchOrder]
    interchange_mw: float
    followed: _containers.RepeatedCompositeFieldContainer[ScheduleFollowed]
    targets: _containers.RepeatedCompositeFieldContainer[DispatchTarget]
    contracts: _containers.RepeatedCompositeFieldContainer[DispatchContract]
    def __init__(self, interchange_setpoint_mw: _Optional[float] = ..., orders: _Optional[_Iterable[_Union[DispatchOrder, _Mapping]]] = ..., interchange_mw: _Optional[float] = ..., followed: _Optional[_Iterable[_Union[ScheduleFollowed, _Mapping]]] = ..., targets: _Optional[_Iterable[_Union[DispatchTarget, _Mapping]]] = ..., contracts: _Optional[_Iterable[_Union[DispatchContract, _Mapping]]] = ...) -> None: ...

class HistoryRequest(_message.Message):
    __slots__ = ("pids", "from_ns", "to_ns", "buckets", "period_s")
    PIDS_FIELD_NUMBER: _ClassVar[int]
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_S_FIELD_NUMBER: _ClassVar[int]
    pids: _containers.RepeatedScalarFieldContainer[int]
    from_ns: int
    to_ns: int
    buckets: int
    period_s: int
    def __init__(self, pids: _Optional[_Iterable[int]] = ..., from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., buckets: _Optional[int] = ..., period_s: _Optional[int] = ...) -> None: ...

class HistorySeries(_message.Message):
    __slots__ = ("pid", "time_ns", "value", "minimum", "maximum", "quality", "truncated", "has_before", "before_value", "before_quality", "mean", "time_weighted", "count", "good_s")
    PID_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    HAS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_VALUE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_QUALITY_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    TIME_WEIGHTED_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    GOOD_S_FIELD_NUMBER: _ClassVar[int]
    pid: int
    time_ns: _containers.RepeatedScalarFieldContainer[int]
    value: _containers.RepeatedScalarFieldContainer[float]
    minimum: _containers.RepeatedScalarFieldContainer[float]
    maximum: _containers.RepeatedScalarFieldContainer[float]
    quality: _containers.RepeatedScalarFieldContainer[int]
    truncated: bool
    has_before: bool
    before_value: float
    before_quality: int
    mean: _containers.RepeatedScalarFieldContainer[float]
    time_weighted: _containers.RepeatedScalarFieldContainer[float]
    count: _containers.RepeatedScalarFieldContainer[int]
    good_s: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, pid: _Optional[int] = ..., time_ns: _Optional[_Iterable[int]] = ..., value: _Optional[_Iterable[float]] = ..., minimum: _Optional[_Iterable[float]] = ..., maximum: _Optional[_Iterable[float]] = ..., quality: _Optional[_Iterable[int]] = ..., truncated: _Optional[bool] = ..., has_before: _Optional[bool] = ..., before_value: _Optional[float] = ..., before_quality: _Optional[int] = ..., mean: _Optional[_Iterable[float]] = ..., time_weighted: _Optional[_Iterable[float]] = ..., count: _Optional[_Iterable[int]] = ..., good_s: _Optional[_Iterable[float]] = ...) -> None: ...

class HistoryReply(_message.Message):
    __slots__ = ("series",)
    SERIES_FIELD_NUMBER: _ClassVar[int]
    series: _containers.RepeatedCompositeFieldContainer[HistorySeries]
    def __init__(self, series: _Optional[_Iterable[_Union[HistorySeries, _Mapping]]] = ...) -> None: ...

class BackfillColumns(_message.Message):
    __slots__ = ("pid", "time_ns", "value", "quality")
    PID_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    pid: int
    time_ns: _containers.RepeatedScalarFieldContainer[int]
    value: _containers.RepeatedScalarFieldContainer[float]
    quality: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, pid: _Optional[int] = ..., time_ns: _Optional[_Iterable[int]] = ..., value: _Optional[_Iterable[float]] = ..., quality: _Optional[_Iterable[int]] = ...) -> None: ...

class BackfillRequest(_message.Message):
    __slots__ = ("points", "source", "reason")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[BackfillColumns]
    source: str
    reason: str
    def __init__(self, points: _Optional[_Iterable[_Union[BackfillColumns, _Mapping]]] = ..., source: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class BackfillReply(_message.Message):
    __slots__ = ("stored", "known", "refused", "reason")
    STORED_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    stored: int
    known: int
    refused: int
    reason: str
    def __init__(self, stored: _Optional[int] = ..., known: _Optional[int] = ..., refused: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class HistoryStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HistoryStatus(_message.Message):
    __slots__ = ("backend", "oldest_ns", "stored_bytes", "waiting", "lost", "backfilled", "damaged", "fault", "raw_days", "minute_days")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    OLDEST_NS_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    BACKFILLED_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    RAW_DAYS_FIELD_NUMBER: _ClassVar[int]
    MINUTE_DAYS_FIELD_NUMBER: _ClassVar[int]
    backend: str
    oldest_ns: int
    stored_bytes: int
    waiting: int
    lost: int
    backfilled: int
    damaged: int
    fault: str
    raw_days: int
    minute_days: int
    def __init__(self, backend: _Optional[str] = ..., oldest_ns: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., waiting: _Optional[int] = ..., lost: _Optional[int] = ..., backfilled: _Optional[int] = ..., damaged: _Optional[int] = ..., fault: _Optional[str] = ..., raw_days: _Optional[int] = ..., minute_days: _Optional[int] = ...) -> None: ...

class ChannelQuery(_message.Message):
    __slots__ = ("channel",)
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    channel: str
    def __init__(self, channel: _Optional[str] = ...) -> None: ...

class ChannelLink(_message.Message):
    __slots__ = ("name", "endpoint", "state", "reason", "since_ns")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    name: str
    endpoint: str
    state: str
    reason: str
    since_ns: int
    def __init__(self, name: _Optional[str] = ..., endpoint: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., since_ns: _Optional[int] = ...) -> None: ...

class ChannelDisconnect(_message.Message):
    __slots__ = ("time_ns", "reason")
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    time_ns: int
    reason: str
    def __init__(self, time_ns: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class CleaningCount(_message.Message):
    __slots__ = ("finding", "count", "points", "last_path", "last_ns")
    FINDING_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    LAST_PATH_FIELD_NUMBER: _ClassVar[int]
    LAST_NS_FIELD_NUMBER: _ClassVar[int]
    finding: str
    count: int
    points: int
    last_path: str
    last_ns: int
    def __init__(self, finding: _Optional[str] = ..., count: _Optional[int] = ..., points: _Optional[int] = ..., last_path: _Optional[str] = ..., last_ns: _Optional[int] = ...) -> None: ...

class ChannelDetail(_message.Message):
    __slots__ = ("status", "links", "disconnects", "bytes_in", "bytes_out", "lost_frames", "duplicates", "switches", "clock_skew_s", "up_share", "recording", "recording_bytes", "orders", "parameters", "cleaning")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    DISCONNECTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    LOST_FRAMES_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    SWITCHES_FIELD_NUMBER: _ClassVar[int]
    CLOCK_SKEW_S_FIELD_NUMBER: _ClassVar[int]
    UP_SHARE_FIELD_NUMBER: _ClassVar[int]
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    RECORDING_BYTES_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    CLEANING_FIELD_NUMBER: _ClassVar[int]
    status: ChannelStatus
    links: _containers.RepeatedCompositeFieldContainer[ChannelLink]
    disconnects: _containers.RepeatedCompositeFieldContainer[ChannelDisconnect]
    bytes_in: int
    bytes_out: int
    lost_frames: int
    duplicates: int
    switches: int
    clock_skew_s: float
    up_share: float
    recording: str
    recording_bytes: int
    orders: _containers.RepeatedScalarFieldContainer[str]
    parameters: _containers.ScalarMap[str, str]
    cleaning: _containers.RepeatedCompositeFieldContainer[CleaningCount]
    def __init__(self, status: _Optional[_Union[ChannelStatus, _Mapping]] = ..., links: _Optional[_Iterable[_Union[ChannelLink, _Mapping]]] = ..., disconnects: _Optional[_Iterable[_Union[ChannelDisconnect, _Mapping]]] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., lost_frames: _Optional[int] = ..., duplicates: _Optional[int] = ..., switches: _Optional[int] = ..., clock_skew_s: _Optional[float] = ..., up_share: _Optional[float] = ..., recording: _Optional[str] = ..., recording_bytes: _Optional[int] = ..., orders: _Optional[_Iterable[str]] = ..., parameters: _Optional[_Mapping[str, str]] = ..., cleaning: _Optional[_Iterable[_Union[CleaningCount, _Mapping]]] = ...) -> None: ...

class ChannelTraceRequest(_message.Message):
    __slots__ = ("channel", "values")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    channel: str
    values: bool
    def __init__(self, channel: _Optional[str] = ..., values: _Optional[bool] = ...) -> None: ...

class ChannelFrame(_message.Message):
    __slots__ = ("time_ns", "received", "link", "data", "text")
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    time_ns: int
    received: bool
    link: str
    data: bytes
    text: str
    def __init__(self, time_ns: _Optional[int] = ..., received: _Optional[bool] = ..., link: _Optional[str] = ..., data: _Optional[bytes] = ..., text: _Optional[str] = ...) -> None: ...

class ChannelTrace(_message.Message):
    __slots__ = ("frames", "missed")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[ChannelFrame]
    missed: int
    def __init__(self, frames: _Optional[_Iterable[_Union[ChannelFrame, _Mapping]]] = ..., missed: _Optional[int] = ...) -> None: ...

class ListRecordingsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RecordingInfo(_message.Message):
    __slots__ = ("name", "channel", "from_ns", "to_ns", "bytes", "running")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    name: str
    channel: str
    from_ns: int
    to_ns: int
    bytes: int
    running: bool
    def __init__(self, name: _Optional[str] = ..., channel: _Optional[str] = ..., from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., bytes: _Optional[int] = ..., running: _Optional[bool] = ...) -> None: ...

class RecordingList(_message.Message):
    __slots__ = ("recordings",)
    RECORDINGS_FIELD_NUMBER: _ClassVar[int]
    recordings: _containers.RepeatedCompositeFieldContainer[RecordingInfo]
    def __init__(self, recordings: _Optional[_Iterable[_Union[RecordingInfo, _Mapping]]] = ...) -> None: ...

class GetUpstreamRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UpstreamLink(_message.Message):
    __slots__ = ("peer", "subject", "state", "since_ns", "frames_in", "frames_out", "unacknowledged")
    PEER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_IN_FIELD_NUMBER: _ClassVar[int]
    FRAMES_OUT_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    peer: str
    subject: str
    state: str
    since_ns: int
    frames_in: int
    frames_out: int
    unacknowledged: int
    def __init__(self, peer: _Optional[str] = ..., subject: _Optional[str] = ..., state: _Optional[str] = ..., since_ns: _Optional[int] = ..., frames_in: _Optional[int] = ..., frames_out: _Optional[int] = ..., unacknowledged: _Optional[int] = ...) -> None: ...

class UpstreamGroup(_message.Message):
    __slots__ = ("name", "masters", "queued", "lost", "links")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MASTERS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    name: str
    masters: _containers.RepeatedScalarFieldContainer[str]
    queued: int
    lost: int
    links: _containers.RepeatedCompositeFieldContainer[UpstreamLink]
    def __init__(self, name: _Optional[str] = ..., masters: _Optional[_Iterable[str]] = ..., queued: _Optional[int] = ..., lost: _Optional[int] = ..., links: _Optional[_Iterable[_Union[UpstreamLink, _Mapping]]] = ...) -> None: ...

class UpstreamStation(_message.Message):
    __slots__ = ("name", "endpoint", "listening", "reason", "points", "controls", "capacity", "commands_done", "commands_refused", "groups", "tls")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    LISTENING_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_DONE_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_REFUSED_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    name: str
    endpoint: str
    listening: bool
    reason: str
    points: int
    controls: int
    capacity: int
    commands_done: int
    commands_refused: int
    groups: _containers.RepeatedCompositeFieldContainer[UpstreamGroup]
    tls: bool
    def __init__(self, name: _Optional[str] = ..., endpoint: _Optional[str] = ..., listening: _Optional[bool] = ..., reason: _Optional[str] = ..., points: _Optional[int] = ..., controls: _Optional[int] = ..., capacity: _Optional[int] = ..., commands_done: _Optional[int] = ..., commands_refused: _Optional[int] = ..., groups: _Optional[_Iterable[_Union[UpstreamGroup, _Mapping]]] = ..., tls: _Optional[bool] = ...) -> None: ...

class UpstreamStatus(_message.Message):
    __slots__ = ("stations",)
    STATIONS_FIELD_NUMBER: _ClassVar[int]
    stations: _containers.RepeatedCompositeFieldContainer[UpstreamStation]
    def __init__(self, stations: _Optional[_Iterable[_Union[UpstreamStation, _Mapping]]] = ...) -> None: ...

class ReplayRequest(_message.Message):
    __slots__ = ("trace", "speed", "loop", "port", "expect")
    TRACE_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    EXPECT_FIELD_NUMBER: _ClassVar[int]
    trace: str
    speed: float
    loop: bool
    port: int
    expect: str
    def __init__(self, trace: _Optional[str] = ..., speed: _Optional[float] = ..., loop: _Optional[bool] = ..., port: _Optional[int] = ..., expect: _Optional[str] = ...) -> None: ...

class ReplayCommand(_message.Message):
    __slots__ = ("replay_id", "action", "speed", "position_s", "step_s", "frames")
    REPLAY_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    POSITION_S_FIELD_NUMBER: _ClassVar[int]
    STEP_S_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    replay_id: str
    action: str
    speed: float
    position_s: float
    step_s: float
    frames: int
    def __init__(self, replay_id: _Optional[str] = ..., action: _Optional[str] = ..., speed: _Optional[float] = ..., position_s: _Optional[float] = ..., step_s: _Optional[float] = ..., frames: _Optional[int] = ...) -> None: ...

class ReplayState(_message.Message):
    __slots__ = ("replay_id", "state", "position_s", "length_s", "apdus", "objects", "sequence_errors", "malformed", "reason", "speed", "loop", "rounds", "digest", "differences", "first_differences")
    REPLAY_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    POSITION_S_FIELD_NUMBER: _ClassVar[int]
    LENGTH_S_FIELD_NUMBER: _ClassVar[int]
    APDUS_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ERRORS_FIELD_NUMBER: _ClassVar[int]
    MALFORMED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    FIRST_DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    replay_id: str
    state: str
    position_s: float
    length_s: float
    apdus: int
    objects: int
    sequence_errors: int
    malformed: int
    reason: str
    speed: float
    loop: bool
    rounds: int
    digest: str
    differences: int
    first_differences: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, replay_id: _Optional[str] = ..., state: _Optional[str] = ..., position_s: _Optional[float] = ..., length_s: _Optional[float] = ..., apdus: _Optional[int] = ..., objects: _Optional[int] = ..., sequence_errors: _Optional[int] = ..., malformed: _Optional[int] = ..., reason: _Optional[str] = ..., speed: _Optional[float] = ..., loop: _Optional[bool] = ..., rounds: _Optional[int] = ..., digest: _Optional[str] = ..., differences: _Optional[int] = ..., first_differences: _Optional[_Iterable[str]] = ...) -> None: ...

class ReplayValue(_message.Message):
    __slots__ = ("address", "type_id", "cause", "value", "quality", "source_time_ns", "time_ns")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TYPE_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    address: str
    type_id: int
    cause: int
    value: float
    quality: int
    source_time_ns: int
    time_ns: int
    def __init__(self, address: _Optional[str] = ..., type_id: _Optional[int] = ..., cause: _Optional[int] = ..., value: _Optional[float] = ..., quality: _Optional[int] = ..., source_time_ns: _Optional[int] = ..., time_ns: _Optional[int] = ...) -> None: ...

class ReplayValues(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[ReplayValue]
    def __init__(self, values: _Optional[_Iterable[_Union[ReplayValue, _Mapping]]] = ...) -> None: ...

class FileChunk(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class UploadReply(_message.Message):
    __slots__ = ("sha256", "bytes")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    bytes: int
    def __init__(self, sha256: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class Danger(_message.Message):
    __slots__ = ("key", "text", "text_zh")
    KEY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TEXT_ZH_FIELD_NUMBER: _ClassVar[int]
    key: str
    text: str
    text_zh: str
    def __init__(self, key: _Optional[str] = ..., text: _Optional[str] = ..., text_zh: _Optional[str] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("number", "state", "maker", "made_ns", "description", "base", "origin", "digest", "checked_on", "counts", "dangers", "stations", "lost", "approver", "approved_ns", "applied_by", "applied_ns", "result", "kept", "current", "previous", "needs_approval", "progress", "work")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MAKER_FIELD_NUMBER: _ClassVar[int]
    MADE_NS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CHECKED_ON_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    DANGERS_FIELD_NUMBER: _ClassVar[int]
    STATIONS_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    APPROVER_FIELD_NUMBER: _ClassVar[int]
    APPROVED_NS_FIELD_NUMBER: _ClassVar[int]
    APPLIED_BY_FIELD_NUMBER: _ClassVar[int]
    APPLIED_NS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    NEEDS_APPROVAL_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    number: int
    state: str
    maker: str
    made_ns: int
    description: str
    base: int
    origin: str
    digest: str
    checked_on: int
    counts: _containers.ScalarMap[str, int]
    dangers: _containers.RepeatedCompositeFieldContainer[Danger]
    stations: _containers.RepeatedScalarFieldContainer[str]
    lost: int
    approver: str
    approved_ns: int
    applied_by: str
    applied_ns: int
    result: str
    kept: bool
    current: bool
    previous: bool
    needs_approval: bool
    progress: float
    work: str
    def __init__(self, number: _Optional[int] = ..., state: _Optional[str] = ..., maker: _Optional[str] = ..., made_ns: _Optional[int] = ..., description: _Optional[str] = ..., base: _Optional[int] = ..., origin: _Optional[str] = ..., digest: _Optional[str] = ..., checked_on: _Optional[int] = ..., counts: _Optional[_Mapping[str, int]] = ..., dangers: _Optional[_Iterable[_Union[Danger, _Mapping]]] = ..., stations: _Optional[_Iterable[str]] = ..., lost: _Optional[int] = ..., approver: _Optional[str] = ..., approved_ns: _Optional[int] = ..., applied_by: _Optional[str] = ..., applied_ns: _Optional[int] = ..., result: _Optional[str] = ..., kept: _Optional[bool] = ..., current: _Optional[bool] = ..., previous: _Optional[bool] = ..., needs_approval: _Optional[bool] = ..., progress: _Optional[float] = ..., work: _Optional[str] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class VersionList(_message.Message):
    __slots__ = ("versions", "current", "approval")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[ModelVersion]
    current: int
    approval: bool
    def __init__(self, versions: _Optional[_Iterable[_Union[ModelVersion, _Mapping]]] = ..., current: _Optional[int] = ..., approval: _Optional[bool] = ...) -> None: ...

class FindingInfo(_message.Message):
    __slots__ = ("severity", "rule", "place", "mrid", "path", "text", "hint", "waived")
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    MRID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    WAIVED_FIELD_NUMBER: _ClassVar[int]
    severity: str
    rule: str
    place: str
    mrid: str
    path: str
    text: str
    hint: str
    waived: str
    def __init__(self, severity: _Optional[str] = ..., rule: _Optional[str] = ..., place: _Optional[str] = ..., mrid: _Optional[str] = ..., path: _Optional[str] = ..., text: _Optional[str] = ..., hint: _Optional[str] = ..., waived: _Optional[str] = ...) -> None: ...

class EffectInfo(_message.Message):
    __slots__ = ("kind", "station", "mrid", "path", "text", "dangerous", "text_zh")
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATION_FIELD_NUMBER: _ClassVar[int]
    MRID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DANGEROUS_FIELD_NUMBER: _ClassVar[int]
    TEXT_ZH_FIELD_NUMBER: _ClassVar[int]
    kind: str
    station: str
    mrid: str
    path: str
    text: str
    dangerous: bool
    text_zh: str
    def __init__(self, kind: _Optional[str] = ..., station: _Optional[str] = ..., mrid: _Optional[str] = ..., path: _Optional[str] = ..., text: _Optional[str] = ..., dangerous: _Optional[bool] = ..., text_zh: _Optional[str] = ...) -> None: ...

class ShadowInfo(_message.Message):
    __slots__ = ("done", "refuse", "reason", "lines", "lines_zh")
    DONE_FIELD_NUMBER: _ClassVar[int]
    REFUSE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    LINES_ZH_FIELD_NUMBER: _ClassVar[int]
    done: bool
    refuse: bool
    reason: str
    lines: _containers.RepeatedScalarFieldContainer[str]
    lines_zh: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, done: _Optional[bool] = ..., refuse: _Optional[bool] = ..., reason: _Optional[str] = ..., lines: _Optional[_Iterable[str]] = ..., lines_zh: _Optional[_Iterable[str]] = ...) -> None: ...

class GetVersionRequest(_message.Message):
    __slots__ = ("number", "offset", "limit", "severity", "difference")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    number: int
    offset: int
    limit: int
    severity: str
    difference: bool
    def __init__(self, number: _Optional[int] = ..., offset: _Optional[int] = ..., limit: _Optional[int] = ..., severity: _Optional[str] = ..., difference: _Optional[bool] = ...) -> None: ...

class VersionDetail(_message.Message):
    __slots__ = ("version", "findings", "findings_total", "effects", "shadow", "difference_xml", "files")
    class FilesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_XML_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    version: ModelVersion
    findings: _containers.RepeatedCompositeFieldContainer[FindingInfo]
    findings_total: int
    effects: _containers.RepeatedCompositeFieldContainer[EffectInfo]
    shadow: ShadowInfo
    difference_xml: str
    files: _containers.ScalarMap[str, str]
    def __init__(self, version: _Optional[_Union[ModelVersion, _Mapping]] = ..., findings: _Optional[_Iterable[_Union[FindingInfo, _Mapping]]] = ..., findings_total: _Optional[int] = ..., effects: _Optional[_Iterable[_Union[EffectInfo, _Mapping]]] = ..., shadow: _Optional[_Union[ShadowInfo, _Mapping]] = ..., difference_xml: _Optional[str] = ..., files: _Optional[_Mapping[str, str]] = ...) -> None: ...

class VersionLogRequest(_message.Message):
    __slots__ = ("number", "limit")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    number: int
    limit: int
    def __init__(self, number: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class VersionEntry(_message.Message):
    __slots__ = ("seq", "time_ns", "step", "version", "actor", "text", "hash")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    seq: int
    time_ns: int
    step: str
    version: int
    actor: str
    text: str
    hash: str
    def __init__(self, seq: _Optional[int] = ..., time_ns: _Optional[int] = ..., step: _Optional[str] = ..., version: _Optional[int] = ..., actor: _Optional[str] = ..., text: _Optional[str] = ..., hash: _Optional[str] = ...) -> None: ...

class VersionLog(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[VersionEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[VersionEntry, _Mapping]]] = ...) -> None: ...

class DownloadRequest(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class ProposeRequest(_message.Message):
    __slots__ = ("sha256", "version", "difference", "base", "description")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    version: int
    difference: bool
    base: int
    description: str
    def __init__(self, sha256: _Optional[str] = ..., version: _Optional[int] = ..., difference: _Optional[bool] = ..., base: _Optional[int] = ..., description: _Optional[str] = ...) -> None: ...

class ApproveRequest(_message.Message):
    __slots__ = ("version", "digest", "reason")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    version: int
    digest: str
    reason: str
    def __init__(self, version: _Optional[int] = ..., digest: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class WithdrawRequest(_message.Message):
    __slots__ = ("version", "reason")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    version: int
    reason: str
    def __init__(self, version: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class ApplyRequest(_message.Message):
    __slots__ = ("version", "digest", "confirm", "reason")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    version: int
    digest: str
    confirm: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    def __init__(self, version: _Optional[int] = ..., digest: _Optional[str] = ..., confirm: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ...) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("version", "reason")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    version: int
    reason: str
    def __init__(self, version: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class EngineeringReply(_message.Message):
    __slots__ = ("accepted", "code", "reason", "version", "unconfirmed")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UNCONFIRMED_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    code: str
    reason: str
    version: int
    unconfirmed: _containers.RepeatedCompositeFieldContainer[Danger]
    def __init__(self, accepted: _Optional[bool] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ..., version: _Optional[int] = ..., unconfirmed: _Optional[_Iterable[_Union[Danger, _Mapping]]] = ...) -> None: ...

class ListUsersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UserInfo(_message.Message):
    __slots__ = ("name", "roles", "areas", "zones", "disabled", "valid_until_ns", "revision", "sessions", "last_login_ns")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    AREAS_FIELD_NUMBER: _ClassVar[int]
    ZONES_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_NS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    LAST_LOGIN_NS_FIELD_NUMBER: _ClassVar[int]
    name: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    areas: _containers.RepeatedScalarFieldContainer[str]
    zones: _containers.RepeatedScalarFieldContainer[str]
    disabled: bool
    valid_until_ns: int
    revision: int
    sessions: int
    last_login_ns: int
    def __init__(self, name: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., areas: _Optional[_Iterable[str]] = ..., zones: _Optional[_Iterable[str]] = ..., disabled: _Optional[bool] = ..., valid_until_ns: _Optional[int] = ..., revision: _Optional[int] = ..., sessions: _Optional[int] = ..., last_login_ns: _Optional[int] = ...) -> None: ...

class UserList(_message.Message):
    __slots__ = ("users", "revision")
    USERS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[UserInfo]
    revision: int
    def __init__(self, users: _Optional[_Iterable[_Union[UserInfo, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class UserOrder(_message.Message):
    __slots__ = ("user", "remove", "based_on", "reason")
    USER_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    BASED_ON_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    user: UserInfo
    remove: bool
    based_on: int
    reason: str
    def __init__(self, user: _Optional[_Union[UserInfo, _Mapping]] = ..., remove: _Optional[bool] = ..., based_on: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class SecurityReply(_message.Message):
    __slots__ = ("accepted", "code", "reason", "revision")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    code: str
    reason: str
    revision: int
    def __init__(self, accepted: _Optional[bool] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class PolicyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RoleInfo(_message.Message):
    __slots__ = ("name", "rights", "excludes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDES_FIELD_NUMBER: _ClassVar[int]
    name: str
    rights: _containers.RepeatedScalarFieldContainer[str]
    excludes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., rights: _Optional[_Iterable[str]] = ..., excludes: _Optional[_Iterable[str]] = ...) -> None: ...

class ZoneInfo(_message.Message):
    __slots__ = ("name", "workstations", "rights")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WORKSTATIONS_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    workstations: _containers.RepeatedScalarFieldContainer[str]
    rights: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., workstations: _Optional[_Iterable[str]] = ..., rights: _Optional[_Iterable[str]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("roles", "zones", "areas", "two_person")
    ROLES_FIELD_NUMBER: _ClassVar[int]
    ZONES_FIELD_NUMBER: _ClassVar[int]
    AREAS_FIELD_NUMBER: _ClassVar[int]
    TWO_PERSON_FIELD_NUMBER: _ClassVar[int]
    roles: _containers.RepeatedCompositeFieldContainer[RoleInfo]
    zones: _containers.RepeatedCompositeFieldContainer[ZoneInfo]
    areas: _containers.RepeatedScalarFieldContainer[str]
    two_person: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, roles: _Optional[_Iterable[_Union[RoleInfo, _Mapping]]] = ..., zones: _Optional[_Iterable[_Union[ZoneInfo, _Mapping]]] = ..., areas: _Optional[_Iterable[str]] = ..., two_person: _Optional[_Iterable[str]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SessionInfo(_message.Message):
    __slots__ = ("id_digest", "name", "workstation", "zone", "peer", "began_ns", "expires_ns", "last_order_ns", "roles", "locked", "mine")
    ID_DIGEST_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WORKSTATION_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    BEGAN_NS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_NS_FIELD_NUMBER: _ClassVar[int]
    LAST_ORDER_NS_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    LOCKED_FIELD_NUMBER: _ClassVar[int]
    MINE_FIELD_NUMBER: _ClassVar[int]
    id_digest: bytes
    name: str
    workstation: str
    zone: str
    peer: str
    began_ns: int
    expires_ns: int
    last_order_ns: int
    roles: _containers.RepeatedScalarFieldContainer[str]
    locked: bool
    mine: bool
    def __init__(self, id_digest: _Optional[bytes] = ..., name: _Optional[str] = ..., workstation: _Optional[str] = ..., zone: _Optional[str] = ..., peer: _Optional[str] = ..., began_ns: _Optional[int] = ..., expires_ns: _Optional[int] = ..., last_order_ns: _Optional[int] = ..., roles: _Optional[_Iterable[str]] = ..., locked: _Optional[bool] = ..., mine: _Optional[bool] = ...) -> None: ...

class SessionList(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[SessionInfo]
    def __init__(self, sessions: _Optional[_Iterable[_Union[SessionInfo, _Mapping]]] = ...) -> None: ...

class EndSessionRequest(_message.Message):
    __slots__ = ("id_digest", "reason")
    ID_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id_digest: bytes
    reason: str
    def __init__(self, id_digest: _Optional[bytes] = ..., reason: _Optional[str] = ...) -> None: ...

class RevocationListFile(_message.Message):
    __slots__ = ("crl",)
    CRL_FIELD_NUMBER: _ClassVar[int]
    crl: bytes
    def __init__(self, crl: _Optional[bytes] = ...) -> None: ...

class AuditQuery(_message.Message):
    __slots__ = ("from_ns", "to_ns", "kinds", "actor", "object", "code", "text", "before", "limit", "sequence_id")
    FROM_NS_FIELD_NUMBER: _ClassVar[int]
    TO_NS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    from_ns: int
    to_ns: int
    kinds: _containers.RepeatedScalarFieldContainer[str]
    actor: str
    object: str
    code: str
    text: str
    before: int
    limit: int
    sequence_id: str
    def __init__(self, from_ns: _Optional[int] = ..., to_ns: _Optional[int] = ..., kinds: _Optional[_Iterable[str]] = ..., actor: _Optional[str] = ..., object: _Optional[str] = ..., code: _Optional[str] = ..., text: _Optional[str] = ..., before: _Optional[int] = ..., limit: _Optional[int] = ..., sequence_id: _Optional[str] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("number", "time_ns", "kind", "step", "actor", "workstation", "session", "sequence_id", "mrid", "path", "old", "value", "code", "reason", "evidence", "digest", "signature_ok", "proof")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    WORKSTATION_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    MRID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OLD_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_OK_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    number: int
    time_ns: int
    kind: str
    step: str
    actor: str
    workstation: str
    session: str
    sequence_id: str
    mrid: str
    path: str
    old: float
    value: float
    code: str
    reason: str
    evidence: bytes
    digest: bytes
    signature_ok: bool
    proof: str
    def __init__(self, number: _Optional[int] = ..., time_ns: _Optional[int] = ..., kind: _Optional[str] = ..., step: _Optional[str] = ..., actor: _Optional[str] = ..., workstation: _Optional[str] = ..., session: _Optional[str] = ..., sequence_id: _Optional[str] = ..., mrid: _Optional[str] = ..., path: _Optional[str] = ..., old: _Optional[float] = ..., value: _Optional[float] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ..., evidence: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., signature_ok: _Optional[bool] = ..., proof: _Optional[str] = ...) -> None: ...

class AuditPage(_message.Message):
    __slots__ = ("entries", "total", "more")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    total: int
    more: bool
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., total: _Optional[int] = ..., more: _Optional[bool] = ...) -> None: ...

class AuditExportRequest(_message.Message):
    __slots__ = ("query", "format")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    query: AuditQuery
    format: str
    def __init__(self, query: _Optional[_Union[AuditQuery, _Mapping]] = ..., format: _Optional[str] = ...) -> None: ...

class CheckpointRequest(_message.Message):
    __slots__ = ("since",)
    SINCE_FIELD_NUMBER: _ClassVar[int]
    since: int
    def __init__(self, since: _Optional[int] = ...) -> None: ...

class AuditCheckpoint(_message.Message):
    __slots__ = ("records", "digest", "merkle_root", "time_ns", "signer", "key_id", "signature", "number", "encoded", "certificate", "consistency")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    MERKLE_ROOT_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SIGNER_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    records: int
    digest: bytes
    merkle_root: bytes
    time_ns: int
    signer: str
    key_id: bytes
    signature: bytes
    number: int
    encoded: bytes
    certificate: bytes
    consistency: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, records: _Optional[int] = ..., digest: _Optional[bytes] = ..., merkle_root: _Optional[bytes] = ..., time_ns: _Optional[int] = ..., signer: _Optional[str] = ..., key_id: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., number: _Optional[int] = ..., encoded: _Optional[bytes] = ..., certificate: _Optional[bytes] = ..., consistency: _Optional[_Iterable[bytes]] = ...) -> None: ...

class AuditProofRequest(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: int
    def __init__(self, record: _Optional[int] = ...) -> None: ...

class AuditProof(_message.Message):
    __slots__ = ("record", "leaf", "path", "checkpoint", "before", "stored")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    record: int
    leaf: bytes
    path: _containers.RepeatedScalarFieldContainer[bytes]
    checkpoint: AuditCheckpoint
    before: bytes
    stored: bytes
    def __init__(self, record: _Optional[int] = ..., leaf: _Optional[bytes] = ..., path: _Optional[_Iterable[bytes]] = ..., checkpoint: _Optional[_Union[AuditCheckpoint, _Mapping]] = ..., before: _Optional[bytes] = ..., stored: _Optional[bytes] = ...) -> None: ...
