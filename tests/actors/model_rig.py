"""A model actor on real stores, whose worker does its jobs here, when the test says so."""

import hashlib
import shutil

from actors.harness import Box, make
from actors.small_grid import write_grid

from scada.actors.messages import Tick
from scada.actors.model import EngineeringAsked, Live, ModelActor
from scada.actors.model_check import check_version
from scada.actors.model_jobs import CheckJob
from scada.actors.model_process import Built
from scada.actors.model_view import ModelView, VersionReader
from scada.control.records import Principal
from scada.core.clock import VirtualClock
from scada.core.errors import ScadaError
from scada.core.settings import ModelSettings
from scada.model_cim.numbers import kept_numbers
from scada.model_cim.points import load_model
from scada.model_cim.version_files import pack_model
from scada.model_cim.version_log import Step
from scada.model_cim.versions import VersionStore
from scada.security.audit import AuditLog
from scada.security.roles import rights_of

ENGINEER = rights_of(["ENGINEER"])


def engineer(name, areas=("*",), rights=ENGINEER):
    return Principal(name, frozenset({"ENGINEER"}), frozenset(rights), frozenset(areas), "desk")


ANN, BOB = engineer("ann"), engineer("bob")


class Server:
    """Stands for what runs: knows the versions in memory, and can refuse."""

    def __init__(self, number):
        self.runs, self.before, self.refuses = number, 0, ""
        self.tables = None

    def adopt(self, built, folder, number):
        if self.refuses:
            raise ScadaError(self.refuses)
        assert folder.is_dir()
        self.runs, self.before, self.tables = number, self.runs, built.tables
        return f"{len(built.tables.points)} points"

    def readopt(self, number):
        if self.refuses:
            raise ScadaError(self.refuses)
        if number != self.before:
            return None
        self.runs, self.before = number, self.runs
        return "at once"


class Rig:
    """What outlives the actor, and the actor."""

    def __init__(self, folder, **settings):
        self.folder, self.clock = folder, VirtualClock()
        self.grid = write_grid(folder / "grid")
        self.settings = ModelSettings(**{"diagrams": False} | settings)  # drawing takes seconds
        self.audit = AuditLog(folder / "audit", self.clock)
        self.alarmed = {}
        self.open()
        if not self.store.current:
            self.store.note(Step.APPLIED, self.store.take_folder(self.grid, "first start").number)
        self.server = Server(self.store.current)
        self.begin()

    def open(self):
        self.store = VersionStore(self.folder / "model", self.clock, map_mb=64)

    def begin(self):
        """A life of the actor."""
        self.jobs, self.killed, self.events, self.view = [], 0, Box(), ModelView()
        self.actor = make(
            ModelActor,
            name="model",
            store=self.store,
            settings=self.settings,
            numbers=self.folder,
            drivers={},
            adopter=self.server,
            start_work=self.start_work,
            live=lambda: Live(None, self.alarmed),
            audit=self.audit,
            events=self.events,
            view=self.view,
            clock=self.clock,
        )
        self.actor.started()
        self.reader = VersionReader(self.store, self.view, approval=self.settings.approval)

    def start_work(self, job, heard, ended):
        work = Work(self, job, heard, ended)
        self.jobs.append(work)
        return work

    def work(self):
        """Do every job that waits, as the worker process would."""
        while self.jobs:
            job = self.jobs.pop(0)
            job.do()
            self.deliver()

    def deliver(self):
        """Messages the actor was told meanwhile."""
        while not self.actor.address.mailbox.empty():
            self.actor.receive(self.actor.address.mailbox.get().message)

    def ask(self, request, who=ANN):
        return self.actor.receive(EngineeringAsked(request, who, b"signed"))

    def tick(self, seconds):
        self.clock.advance(seconds)
        self.actor.receive(Tick())

    def upload(self, folder):
        data = pack_model(folder) if folder.is_dir() else folder.read_bytes()
        name = hashlib.sha256(data).hexdigest()
        (self.store.uploads / name).write_bytes(data)
        return name

    def edit(self, name, old, new, count=1, file=None):
        """A copy of the grid with a text replaced in the first file that has it."""
        copy = self.folder / name
        shutil.copytree(self.grid, copy)
        for path in sorted(copy.glob("*.xml")):
            text = path.read_text("utf-8")
            if old in text and file in (None, path.name):
                path.write_text(text.replace(old, new, count), "utf-8")
                return copy
        raise AssertionError(old)

    def version(self, number):
        return self.store.version(number)

    def rows(self):
        return [(one.row.step, one.row.actor, one.row.code) for one in self.audit.records() if one.row.kind == "model"]

    def close(self):
        self.store.close()
        self.audit.close()


class Work:
    """A job in the hands of the worker."""

    def __init__(self, rig, job, heard, ended):
        self.rig, self.job, self.heard, self.ended, self.dead = rig, job, heard, ended, False

    def do(self):
        if self.dead:
            return
        if isinstance(self.job, CheckJob):
            self.ended(check_version(self.job, self.heard))
        else:
            model, tables, _ = load_model(self.job.folder, kept_numbers(self.job.numbers))
            self.ended(Built(model, tables))

    def kill(self):
        self.dead = True
        self.rig.killed += 1
