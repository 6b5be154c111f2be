"""A process with accounts of regulation that its parent kills: says each simulated second after the actor took it.

Arguments: folder, first second.
"""

import sys
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parents[1]))

from actors.harness import Box, make
from apps.agc_avc.performance_rig import MIDNIGHT, area, sample

from scada.actors.performance import PerformanceActor, PerformanceView, RegulationSampled, rules_of
from scada.apps.agc_avc.performance.store import PerformanceStore
from scada.core.agc_settings import AgcSettings
from scada.core.clock import VirtualClock
from scada.core.performance_settings import PerformanceSettings


def main(folder, second):
    settings, of = PerformanceSettings(path=folder), area()
    actor = make(
        PerformanceActor,
        name="performance",
        store=PerformanceStore(folder, map_mb=16),
        agc=AgcSettings(),
        settings=settings,
        profiles=rules_of(settings),
        zone=ZoneInfo("UTC"),
        events=Box(),
        view=PerformanceView(),
        clock=VirtualClock(),
    )
    while True:
        asked = 100.0 if second // 300 % 2 else 130.0
        actor.receive(RegulationSampled(of, sample(MIDNIGHT + second, 5.0, power=[110.0, 100.0], setpoint=[asked, asked])))
        print(second, flush=True)
        second += 4


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
