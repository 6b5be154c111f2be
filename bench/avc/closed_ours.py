"""``closed_ours.py WAY HOURS``: the demo grid under AVC (``avc``), nine zones alone (``nine``) or nothing (``none``)."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from avc.plant import DemoPlant, Tally, profiles

from scada.apps.agc_avc.avc.controller import AvcController
from scada.apps.agc_avc.inputs import Measurements
from scada.core.avc_settings import AvcSettings
from scada.core.clock import NS_PER_S, VirtualClock

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT.parent / "shared" / "data" / "profiles" / "simbench_15min"
START_NS = 1_790_000_000 // 86_400 * 86_400 * NS_PER_S
DAY = 200
"""A summer day: strong sun."""


def run(way: str, hours: float, plant: DemoPlant, settings: AvcSettings) -> dict[str, Any]:
    """A day; one cycle each ``cycle_s``."""
    clock = VirtualClock(start_ns=START_NS)
    zones = plant.zones
    if way == "nine":
        zones = [replace(zone, sources=()) for zone in zones]
    controller = AvcController(zones, settings, clock)
    controller.use_network(True)
    tally = Tally()
    for number in range(round(hours * 3600 / settings.cycle_s)):
        plant.solve(number * settings.cycle_s / 900.0)
        for pilot, kv in zip((pilot for zone in plant.zones for pilot in zone.pilots), plant.pilot_kv, strict=True):
            good = pilot.minimum <= kv <= pilot.maximum
            tally.samples += 1
            tally.in_band += good
            if not good:
                tally.worst[pilot.name] = tally.worst.get(pilot.name, 0) + 1
        tally.losses_mwh += plant.losses_mw * settings.cycle_s / 3600.0
        if way != "none":
            snapshot = plant.snapshot()
            found = plant.sensitivity(snapshot)
            if way == "nine" and found is not None:
                found = replace(found, sources=found.sources[:, :0], buses=None, device_buses=None)
            decision = controller.cycle(Measurements(snapshot), found)
            for command in decision.commands:
                plant.carry_out(command, tally)
                controller.confirmed(command.cid)
        clock.advance(settings.cycle_s)
    return {
        "percent": tally.percent, "losses_mwh": tally.losses_mwh, "taps": tally.taps, "banks": tally.banks,
        "setpoints": tally.setpoints, "outside": tally.worst, "qualified": controller.account.qualified_today(),
        "compliance": controller.account.compliance.percent,
    }  # fmt: skip


def main() -> int:
    """Run and print one line of JSON."""
    way, hours = sys.argv[1], float(sys.argv[2])
    loads, renewables = profiles(PROFILES, DAY)
    plant = DemoPlant(ROOT / "examples" / "demo-grid", loads, renewables, seed=6)
    print(json.dumps(run(way, hours, plant, AvcSettings(start="on"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
