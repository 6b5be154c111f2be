"""A peer at one model, in its own environment: pypowsybl or pandapower makes its network of it."""

from __future__ import annotations

import json
import sys
from importlib import import_module

from model.used import used

READERS = {
    "pypowsybl": ("pypowsybl.network", "load"),
    "pandapower": ("pandapower.converter.cim.cim2pp.from_cim", "from_cim"),
}
"""Module and function that read a zip of CIM XML."""

if __name__ == "__main__":
    module, function = READERS[sys.argv[1]]
    getattr(import_module(module), function)(sys.argv[2])
    print(json.dumps(used()))
