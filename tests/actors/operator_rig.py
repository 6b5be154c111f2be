"""An operator actor with real stores, whose process can die between any two steps."""

from __future__ import annotations

from scada.actors.messages import Hold, Release
from scada.actors.operator import OperatorActor, OperatorView, mark_readings
from scada.actors.order_messages import OperatorAsked
from scada.control.operator_store import OperatorStore
from scada.control.tags import TagBoard
from scada.core.errors import StoreError
from scada.model_cim.objects import PlantObjects
from scada.security.audit import AuditLog
from tests.actors.harness import OPERATOR, Box, Disk, make


class DiedError(Exception):
    """kill -9 at this step."""


class Answered:
    """A future that is there already."""

    def __init__(self, value):
        self.value = value

    def get(self, timeout):
        return self.value


class Rig:
    """Stores that outlive the actor, and everything it tells others. ``steps`` lists what was done, in order."""

    def __init__(self, folder, tables, model=None):
        self.folder, self.tables, self.model = folder, tables, model
        self.disk = Disk(folder, tables.points)
        self.clock = self.disk.clock
        self.channel = Box()
        self.steps: list[str] = []
        self.fail: dict[str, Exception] = {}
        self.open()

    def open(self):
        self.events = Box()
        self.objects = PlantObjects(self.tables, self.model)
        self.kept = OperatorStore(self.folder / "operator")
        self.audit = AuditLog(self.folder / "audit", self.clock)
        self.begin()

    def begin(self):
        """A life of the actor."""
        self.view = OperatorView(TagBoard(self.marks.values(), self.objects), tuple(self.marks.values()))
        self.actor = make(
            OperatorActor,
            tables=self.tables,
            objects=self.objects,
            store=self,
            view=self.view,
            database=self.disk.store,
            audit=self,
            rtdb=self,
            events=self.events,
            channels={0: self.channel},
            clock=self.clock,
        )
        self.actor.started()

    def restart(self, tables=None, model=None):
        """kill -9 of the server and a start, perhaps with another model."""
        self.disk.die()
        self.kept.close()
        self.audit.close()
        if tables is not None:
            self.tables, self.disk.points, self.model = tables, tables.points, model
        self.disk.open()
        self.fail.clear()
        self.open()

    def close(self):
        self.disk.close()
        self.kept.close()
        self.audit.close()

    # ---- what the actor uses, with a place to die or fail at

    def _step(self, name):
        self.steps.append(name)
        if name in self.fail:
            raise self.fail[name]

    def append(self, row):
        self._step("audit")
        return self.audit.append(row)

    def write(self, placed, removed, next_id):
        self._step("store")
        self.kept.write(placed, removed, next_id)

    def ask(self, message):
        self._step("database")
        match message:
            case Hold(pid, value):
                done = self.disk.store.hold(pid, value)
            case Release(pid):
                done = self.disk.store.release(pid)
        self.disk.store.commit()
        return Answered(done)

    @property
    def marks(self):
        return self.kept.marks

    @property
    def next_id(self):
        return self.kept.next_id

    # ---- orders and what came of them

    def ask_actor(self, request, who=OPERATOR, evidence=b"envelope"):
        return self.actor.receive(OperatorAsked(request, who, evidence))

    def rows(self):
        return [record.row for record in self.audit.records()]

    def readings(self):
        return mark_readings(self.view.marks, self.objects, self.disk.store)

    def shown(self, pid):
        snapshot = self.disk.store.snapshot([pid])
        return float(snapshot.value[0]), int(snapshot.quality[0])


FULL = StoreError("no space left to write", where="disk", mend="free disk space")
