"""A controller of AGC or AVC with its clock and its recording: every order and every cycle passes here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import structlog
from pydantic import TypeAdapter

from scada.actors.cycle_files import CycleFile, KeptState
from scada.apps.agc_avc.agc.controller import AgcController
from scada.apps.agc_avc.avc.controller import AvcController
from scada.apps.agc_avc.inputs import Measurements
from scada.apps.agc_avc.recording import RecordedCycle, RecordedOrder, RunHeader
from scada.apps.agc_avc.rerun import outputs_of
from scada.core.agc_settings import AgcSettings
from scada.core.avc_settings import AvcSettings
from scada.core.clock import Clock, HeldClock
from scada.core.settings import CycleSettings
from scada.rtdb.changes import Snapshot

KEEP_S = 60.0
"""How often the state is kept."""

_log = structlog.get_logger("regulation")

C = TypeVar("C", AgcController, AvcController)


class Regulator(Generic[C]):
    """Runs a controller so that a recording can run it again, and its accounts outlive a restart.

    The controller sees one moment in each cycle and order. :meth:`begin` comes before the first order and the first cycle, once
    everything that is no order (counts from before a restart) is in place.

    Args:
        make: makes the controller with the clock it shall use.
        application: ``agc`` or ``avc``.
        name: control area, empty for AVC.
        subject: what it regulates, as the recording shall hold it.
        settings: of the application.
        model: digest of the model version.
        cycles: where recordings go.
        clock: the running clock.
        failed: told what is not recorded.
    """

    def __init__(
        self,
        make: Callable[[Clock], C],
        *,
        application: str,
        name: str,
        subject: Any,
        settings: AgcSettings | AvcSettings,
        model: str,
        cycles: CycleSettings,
        clock: Clock,
        failed: Callable[[str], None],
    ) -> None:
        self._clock = HeldClock(clock)
        self._running = clock
        self.controller: C = make(self._clock)
        self._application = application
        self._name = name
        self._subject = TypeAdapter(type(subject)).dump_python(subject)
        self._settings = settings
        self._model = model
        self._cycles = cycles
        self._failed = failed
        self._orders: list[RecordedOrder] = []
        self._file: CycleFile | None = None
        self._file_name = "-".join(part for part in (application, name) if part)
        self._kept = KeptState(cycles.path, self._file_name)
        self._kept_at = -math.inf
        self.pids: npt.NDArray[np.uint32] = self.controller.pids

    def begin(self, pids: npt.NDArray[np.uint32] | None = None) -> None:
        """Begin the recording, or a new file of it because other points are read from now on.

        Args:
            pids: points of the measurements, ascending; None = those of the controller.
        """
        self.pids = self.controller.pids if pids is None else pids
        self._orders.clear()
        self._clock.hold()
        if self._file is None:
            kept = self._kept.read(self._failed)
            if kept is not None:
                self._resume(kept)
            self._file = CycleFile(self._cycles, self._running, self._header, self._file_name, self._failed)
        else:
            self._file.begin()

    def _resume(self, kept: dict[str, Any]) -> None:
        """Take over what was kept; one of another version or model that does not fit is left as a whole, and that is said."""
        before = self.controller.state()
        try:
            self.controller.resume(kept)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            self.controller.restore(before)
            _log.error("the kept state does not fit; accounts begin anew", controller=self._file_name, cause=repr(error))
            self._failed(f"accounts of {self._file_name} begin anew: the kept state does not fit ({error!r})")

    def order(self, name: str, *arguments: Any) -> Any:
        """Call a method of the controller that is an order.

        Raises:
            RegulationError: the controller refuses it.
        """
        self._clock.hold()
        self._orders.append(RecordedOrder(self._clock.now_ns(), self._clock.monotonic(), name, arguments))
        return getattr(self.controller, name)(*arguments)

    def cycle(self, snapshot: Snapshot, forbidden: Mapping[int, str], extra: Any = None) -> Any:
        """Run a cycle.

        Args:
            snapshot: of :attr:`pids`.
            forbidden: cid -> tag that forbids it.
            extra: a dataclass of arrays and numbers that the cycle needs too (sensitivities); None = there are none.

        Returns:
            The decision of the controller.
        """
        self._clock.hold()
        inputs, controller = Measurements(snapshot, forbidden), self.controller
        if extra is not None:  # in the layout in which a recording gives it back: another one rounds another way
            arrays = {one.name: getattr(extra, one.name) for one in fields(extra)}
            extra = replace(extra, **{name: np.ascontiguousarray(a) for name, a in arrays.items() if isinstance(a, np.ndarray)})
        decision = controller.cycle(inputs) if isinstance(controller, AgcController) else controller.cycle(inputs, extra)
        orders, self._orders = tuple(self._orders), []
        if self._file is not None:
            further = None if extra is None else {one.name: getattr(extra, one.name) for one in fields(extra)}
            now, monotonic = self._clock.now_ns(), self._clock.monotonic()
            values = (snapshot.value, snapshot.quality)
            self._file.put(RecordedCycle(now, monotonic, orders, *values, forbidden, further, outputs_of(decision)))
        if self._clock.monotonic() - self._kept_at >= KEEP_S:
            self._kept_at = self._clock.monotonic()
            self._kept.write(self.controller.state())
        return decision

    def close(self) -> None:
        """End the recording and keep the state."""
        if self._file is not None:
            self._file.close()
            self._kept.write(self.controller.state())

    def _header(self) -> RunHeader:
        settings = self._settings.model_dump(mode="json")
        pids = self.pids.tolist()
        return RunHeader(
            self._application,
            self._name,
            self._model,
            settings,
            self._subject,
            self._clock.now_ns(),
            self._clock.monotonic(),
            pids,
            self.controller.state(),
        )
