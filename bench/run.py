"""``./run bench [GROUP] [--quick]``: measure, and print one JSON object a line (see ``bench/README.md``)."""

from __future__ import annotations

import argparse
import sys

from agc import group as agc
from api import group as api
from avc import group as avc
from capacity import group as capacity
from chain import group as chain
from events import group as events
from history import group as history
from iec104 import group as iec104
from modbus import group as modbus
from model import group as model
from network import group as network
from opcua import group as opcua
from rtdb import group as rtdb
from security import group as security

GROUPS = {
    "agc": agc,
    "api": api,
    "avc": avc,
    "capacity": capacity,
    "chain": chain,
    "events": events,
    "history": history,
    "iec104": iec104,
    "modbus": modbus,
    "model": model,
    "network": network,
    "opcua": opcua,
    "rtdb": rtdb,
    "security": security,
}


def main() -> int:
    """Run the asked groups; an aim that was missed is ``"ok": false`` in its line, not a failure of the run."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("group", nargs="*", metavar="GROUP", choices=[[], *GROUPS], help="what to measure; default: everything")
    parser.add_argument("--quick", action="store_true", help="short runs: figures for a first look only")
    parser.add_argument("--list", action="store_true", help="name the groups and their head figures, measure nothing")
    given = parser.parse_args()
    chosen = given.group or list(GROUPS)
    if given.list:
        for name in chosen:
            print(name, *GROUPS[name].NAMES)
        return 0
    for name in chosen:
        for figure in GROUPS[name].measure(quick=given.quick):
            print(figure.line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
