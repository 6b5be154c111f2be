"""The line of work on model versions: one worker process at a time, what cannot wait first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from scada.actors.base import Address
from scada.actors.model_jobs import CheckResult, Job, WorkError
from scada.actors.model_process import Built, Ended, Heard, Work
from scada.actors.model_view import ModelView
from scada.core.clock import Clock
from scada.core.errors import ScadaError

StartWork = Callable[[Job, Heard, Ended], Work]


@dataclass(frozen=True, slots=True)
class WorkHeard:
    """Progress of the work on a version."""

    number: int
    share: float
    what: str


@dataclass(frozen=True, slots=True)
class WorkEnded:
    """The work on a version has ended."""

    job: Job
    found: CheckResult | Built | ScadaError


@dataclass(frozen=True, slots=True)
class Task:
    """Work on a version, and for whom."""

    job: Job
    actor: str
    reason: str = ""
    rollback: bool = False


class WorkLine:
    """What waits for the worker, and what it does; used by the model actor alone.

    Args:
        address: of the actor, told of progress (:class:`WorkHeard`) and of the end (:class:`WorkEnded`).
        start_work: starts a worker process.
        view: where progress is published.
        clock: for the time that work may take.
        begun: makes the job anew as its work begins.
        ended: told of the end of a task; the next one begins after it.
    """

    def __init__(
        self,
        address: Address,
        start_work: StartWork,
        view: ModelView,
        clock: Clock,
        *,
        begun: Callable[[Job], Job],
        ended: Callable[[Task, CheckResult | Built | ScadaError], None],
    ) -> None:
        self._address, self._start_work, self._view, self._clock = address, start_work, view, clock
        self._begun, self._ended = begun, ended
        self._waiting: deque[Task] = deque()
        self._task: Task | None = None
        self._work: Work | None = None
        self._began = 0.0

    @property
    def busy(self) -> bool:
        """Whether work is at hand."""
        return self._task is not None

    def put(self, task: Task) -> None:
        """Let a task wait for its turn; :meth:`go_on` begins it."""
        self._waiting.append(task)

    def first(self, task: Task) -> None:
        """Begin a task that does not wait; work at hand is begun anew after it."""
        self.interrupt()
        self._waiting.appendleft(task)
        self.go_on()

    def interrupt(self) -> None:
        """Put what is at hand back into the line."""
        if self._task is not None:
            interrupted = self._task
            self._give_up()
            self._waiting.appendleft(interrupted)

    def drop(self, number: int) -> bool:
        """Forget the work on a version; whether it was at hand."""
        self._waiting = deque(task for task in self._waiting if task.job.number != number)
        if self._task is None or self._task.job.number != number:
            return False
        self._give_up()
        return True

    def stop(self) -> None:
        """End the worker; whatever it did is begun anew in another life."""
        if self._work is not None:
            self._work.kill()

    def go_on(self) -> None:
        """Begin what waits, if nothing is at hand."""
        while self._task is None and self._waiting:
            self._task, self._began = self._waiting.popleft(), self._clock.monotonic()
            try:
                self._task = replace(self._task, job=self._begun(self._task.job))
                self._work = self._started(self._task.job)
            except ScadaError as error:
                self._end(error)

    def heard(self, job: Job, found: CheckResult | Built | ScadaError) -> None:
        """The worker said that it has ended; of work that was given up since it says nothing."""
        if self._task is not None and self._task.job is job:
            self._end(found)
            self.go_on()

    def end_late(self, minutes: float) -> None:
        """End work that takes longer than it may."""
        if self._task is not None and self._clock.monotonic() - self._began > minutes * 60:
            self.stop()
            mend = "raise [model] work_minutes, or look what the host is busy with"
            self._end(WorkError(f"the work took longer than {minutes:g} minutes", mend=mend))
            self.go_on()

    def _started(self, job: Job) -> Work:
        address = self._address
        return self._start_work(
            job,
            lambda share, what: address.tell(WorkHeard(job.number, share, what)),
            lambda found: address.tell(WorkEnded(job, found)),
        )

    def _end(self, found: CheckResult | Built | ScadaError) -> None:
        task = self._task
        assert task is not None
        self._clear()
        self._ended(task, found)

    def _give_up(self) -> None:
        self.stop()
        self._clear()

    def _clear(self) -> None:
        if self._task is not None:
            number = self._task.job.number
            self._view.progress = {key: value for key, value in self._view.progress.items() if key != number}
        self._task = self._work = None
