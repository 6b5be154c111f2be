"""A station on a raw socket that can be switched: it checks back, operates and reports, or falls silent where a test wants it."""

from system.raw_rtu import CONFIRMED, INTERROGATED, TERMINATED, RawRtu, asdu

DOUBLE_COMMAND, DOUBLE_POINT = 46, 3
ACTIVATION, DEACTIVATION, DEACTIVATED = 6, 8, 9
SELECT_BIT = 0x80
CLOSED = 2


class SwitchingRtu(RawRtu):
    """Every switch is closed at first.

    Args:
        common_address: of the station.
        switches: address of each command and of the position that it moves.

    Attributes:
        executed: addresses of the commands that were executed, in order; silent ones too.
        selected: addresses of those that were preset.
        silent: addresses of commands whose execute is not answered.
    """

    def __init__(self, common_address, switches):
        self.switches = dict(switches)
        self.executed, self.selected, self.silent = [], [], set()
        positions = [asdu(DOUBLE_POINT, INTERROGATED, common_address, (ioa, bytes([CLOSED]))) for ioa in self.switches.values()]
        super().__init__(common_address, positions)

    def _on_asdu(self, data):
        if data[0] != DOUBLE_COMMAND:
            super()._on_asdu(data)
            return
        self.received.append(data)
        ioa, order = int.from_bytes(data[6:9], "little"), data[9]
        if data[2] == DEACTIVATION:
            self.send(data[:2] + bytes([DEACTIVATED]) + data[3:])
        elif order & SELECT_BIT:
            self.selected.append(ioa)
            self.send(data[:2] + bytes([CONFIRMED]) + data[3:])
        else:
            self.executed.append(ioa)
            if ioa not in self.silent:
                self.operate(ioa, data)

    def operate(self, ioa, data):
        """Confirm, move, report, terminate."""
        self.send(data[:2] + bytes([CONFIRMED]) + data[3:])
        self.double(self.switches[ioa], data[9] & 3)
        self.send(data[:2] + bytes([TERMINATED]) + data[3:])


def breakers(tables, channel, count):
    """Breakers of a channel whose opening no rule forbids, and their switches for a station."""
    index = next(spec.index for spec in tables.channels if spec.name == channel)
    found = [one for one in tables.controls_of_channel(index) if one.control_type == "SwitchPosition" and one.path.endswith("0")][
        :count
    ]
    return found, {one.address.ioa: tables.points[one.feedback].address.ioa for one in found}
