"""Transformers in parallel on one busbar: they move as one, the master first, and never stand far apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scada.apps.agc_avc.avc.device_times import Stopwatch
from scada.apps.agc_avc.avc.devices import DeviceControl
from scada.apps.agc_avc.avc.locks import Lock
from scada.core.avc_settings import AvcDiscreteSettings
from scada.core.clock import Clock


class DeviceGroup:
    """Devices that are operated as one: tap changers of one name, or a device alone.

    Args:
        places: rows of the members among the devices of the zone, in the order of the model; the first is the master.
        members: the members.
        settings: greatest difference, time to the alarm.
        clock: for the time to the alarm.
    """

    def __init__(
        self, places: Sequence[int], members: Sequence[DeviceControl], settings: AvcDiscreteSettings, clock: Clock
    ) -> None:
        self.places = list(places)
        self.members = list(members)
        self._settings = settings
        self._watch = Stopwatch(clock)
        self._leader = 0
        self._before: list[float] = [math.nan] * len(self.members)
        self._apart = False
        self._alarmed = False

    @property
    def master(self) -> DeviceControl:
        """The one that moves first."""
        return self.members[0]

    @property
    def name(self) -> str:
        """Its name for notices."""
        return self.master.device.parallel if len(self.members) > 1 else self.master.device.name

    @property
    def operations_today(self) -> int:
        """Of the member with the most."""
        return max(member.operations_today for member in self.members)

    @property
    def loop(self) -> str:
        """``closed`` only while every member's is."""
        loops = {member.loop for member in self.members}
        return "closed" if loops == {"closed"} else "test" if "test" in loops else "open"

    def judge(self) -> list[str]:
        """After the members were read: lock all when one is locked or they stand too far apart; returns notices."""
        if len(self.members) == 1:
            return []
        for index, member in enumerate(self.members):
            if not math.isnan(self._before[index]) and member.position != self._before[index]:
                self._leader = index
        self._before = [member.position for member in self.members]
        notices = self._alarm()
        if self.difference > self._settings.tap_difference:
            for member in self.members:
                member.bar(Lock("parallel_mismatch", f"{self.name}: steps differ by {self.difference:g}, bring them together"))
        elif not self._follows():
            locked = next((member for member in self.members if member.locked), None)
            if locked is not None and locked.locked is not None:
                for member in self.members:
                    member.bar(Lock("parallel", f"{self.name}: {locked.device.name} is locked ({locked.locked.key})"))
        return notices

    @property
    def difference(self) -> float:
        """Greatest difference of steps; NaN = a position is not known."""
        steps = [member.position for member in self.members]
        return math.nan if any(math.isnan(step) for step in steps) else max(steps) - min(steps)

    def _alarm(self) -> list[str]:
        """Say once that they differ too much or too long, and that they are together again."""
        if self.difference > 0 and not self._apart:
            self._watch.start("apart")
        self._apart = self.difference > 0
        wrong = self.difference > self._settings.tap_difference or (
            self._apart and self._watch.since("apart") > self._settings.mismatch_s
        )
        if wrong == self._alarmed:
            return []
        self._alarmed = wrong
        steps = ", ".join(f"{member.device.name} {member.position:g}" for member in self.members)
        return [f"parallel transformers {self.name}: {f'steps differ: {steps}' if wrong else 'together again'}"]

    def _follows(self) -> bool:
        return 0 < self.difference <= self._settings.tap_difference

    def barred(self, *, raising: bool, urgent: bool) -> Lock | None:
        """Why the group must not start an operation; None = it may."""
        if self._follows():
            return Lock("parallel", f"{self.name}: the others follow first")
        for member in self.members:
            lock = member.barred(raising=raising, urgent=urgent)
            if lock is not None:
                return lock
        return None

    def follower(self) -> tuple[int, bool] | None:
        """The member that has to follow the one that moved last, and whether that raises the voltage; None = nobody now."""
        if len(self.members) == 1 or not self._follows():
            return None
        aim = self.members[self._leader].position
        for place, member in zip(self.places, self.members, strict=True):
            if member.position != aim and member.locked is None and member.loop == "closed":
                return place, (aim > member.position) == member.device.raise_increases_voltage
        return None

    def state(self) -> dict[str, Any]:
        """Everything that a later life needs to go on from here."""
        return {
            "leader": self._leader, "before": list(self._before), "apart": self._apart, "alarmed": self._alarmed,
            "watch": self._watch.state(), "members": [member.device.mrid for member in self.members],
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; one of other members is ignored."""
        if state.get("members") != [member.device.mrid for member in self.members]:
            return
        self._leader, self._before = int(state["leader"]), list(state["before"])
        self._apart, self._alarmed = bool(state["apart"]), bool(state["alarmed"])
        self._watch.restore(state["watch"])


def groups_of(devices: Sequence[DeviceControl], settings: AvcDiscreteSettings, clock: Clock) -> list[DeviceGroup]:
    """The devices of a zone in groups: tap changers with the same parallel name and pilot node together."""
    found: dict[tuple[str, str], list[int]] = {}
    for place, control in enumerate(devices):
        device = control.device
        together = device.parallel and device.kind == "tap"
        found.setdefault((device.parallel, device.pilot) if together else ("", device.mrid), []).append(place)
    return [DeviceGroup(places, [devices[place] for place in places], settings, clock) for places in found.values()]
