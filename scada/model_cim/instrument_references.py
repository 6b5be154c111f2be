"""IEC 61850 references that models carry in ``IdentifiedObject.aliasName``, for want of an attribute of their own.

CIM has none for a protocol address, so exports of substation data put ``LD0/MMXU1.TotW.mag.f[MX]`` into the alias of a
measurement or of its value. What such a name says of the measurement is used where the model itself does not say it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_REFERENCE: Final = re.compile(
    r"(?P<device>\w+)/(?P<node>\w*?(?P<kind>[A-Z]{4})\d*)[.$](?P<object>[A-Z]\w*)(?P<rest>(?:[.$]\w+)*)(?:\[(?P<constraint>[A-Z]{2})\])?"
)
_TYPES: Final = {
    "TotW": "ThreePhaseActivePower",
    "TotVAr": "ThreePhaseReactivePower",
    "Hz": "Frequency",
    "PPV": "LineToLineVoltage",
    "PhV": "PhaseVoltage",
    "A": "LineCurrent",
    "TapChg": "TapPosition",
}
_POSITIONS: Final = frozenset({"XCBR", "XSWI", "CSWI"})


@dataclass(frozen=True, slots=True)
class Reference:
    """An IEC 61850 object reference.

    Attributes:
        text: as the model writes it.
        node_class: logical node class, such as ``MMXU``.
        data_object: such as ``TotW``.
        constraint: functional constraint, such as ``MX``, or empty.
    """

    text: str
    node_class: str
    data_object: str
    constraint: str

    @property
    def measurement_type(self) -> str:
        """What it measures in the words of CIM, empty if that is not known."""
        if self.data_object == "Pos":
            return "SwitchPosition" if self.node_class in _POSITIONS else ""
        return _TYPES.get(self.data_object, "")


def reference_of(alias: str | None) -> Reference | None:
    """The reference in an alias, None if it is none.

    >>> reference_of("LD0/MMXU1.TotW.mag.f[MX]").measurement_type
    'ThreePhaseActivePower'
    >>> reference_of("Beishan/110kV") is None
    True
    """
    found = _REFERENCE.fullmatch(alias or "")
    return Reference(found[0], found["kind"], found["object"], found["constraint"] or "") if found else None
