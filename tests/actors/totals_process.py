"""A process with totals that its parent kills: says when it begins, each reading after its commit, and, asked, the totals.

Arguments: folder, number from which the meter goes on, ``run`` or ``report``.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from actors.harness import Box, make, point

from scada.actors import calc
from scada.actors.calc import CalcActor
from scada.actors.calc_keeper import CalcKeeper
from scada.actors.messages import ApplyDerived, Changed, Tick
from scada.apps.calc.state import CalcFile
from scada.core.batch import PointBatch
from scada.core.clock import SystemClock
from scada.core.quality import Quality
from scada.model_cim.tables import ModelTables, PointKind
from scada.rtdb.store import Store

POINTS = [
    point(0),
    point(1, PointKind.COUNTER),
    point(2, expression='total("S/0", s)'),
    point(3, expression='counter("S/1", 1e9)'),
    point(4, expression='good_s("S/0")'),
    point(5, expression='bad_s("S/0")'),
]


def main(folder, reading, mode):
    calc.SAVE_S = 0.4
    clock, rtdb, events = SystemClock(), Box(), Box()
    store = Store(folder / "rtdb", len(POINTS), clock, map_mb=64, journal_mb=8)
    file = CalcFile(folder / "rtdb", map_mb=16)
    actor = make(
        CalcActor,
        tables=ModelTables("v", "totals", POINTS, [], [], [], [], []),
        snapshot=store.snapshot,
        rtdb=rtdb,
        events=events,
        clock=clock,
        keeper=CalcKeeper(file, store),
    )

    def commit():
        while True:
            change = store.commit()
            if change is not None:
                actor.receive(Changed(change))
            derived = rtdb.take(ApplyDerived)
            if change is None and not derived:
                return
            for one in derived:
                store.apply(one.batch)

    actor.started()
    began = actor._wall  # the first evaluation may take long: it compiles; time is counted from its begin
    commit()
    if mode == "report":
        shown = store.snapshot(np.arange(len(POINTS), dtype=np.uint32))
        doubt = bool(shown.quality[2] & int(Quality.QUESTIONABLE))
        print(json.dumps({"value": shown.value.tolist(), "questionable": doubt, "now": began, "events": events.keys()}))
        return
    print("began", began, flush=True)
    while True:
        store.apply(PointBatch.of([0, 1], [2.0, float(reading)], received_at=clock.now_ns()))
        commit()
        print(reading, clock.now_ns(), flush=True)
        reading += 1
        actor.receive(Tick())
        commit()
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
