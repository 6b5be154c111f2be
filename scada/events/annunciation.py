"""Announcing alarms: chatter of one alarm, floods of one bay. Both only count and group; neither hides an alarm.

A chattering alarm is one that goes to the active state and back again and again within a short time; three times a minute is the
figure of ISA-18.2 and EEMUA 191. A flood is judged per bay, because what an operator must see as one thing, a fault and its
consequences, mostly belongs to one bay.
"""

from __future__ import annotations

from collections import OrderedDict, deque

Name = tuple[str, str]
"""mRID of the object and text key: the name of an alarm, whether it stands or not."""


class ChatterFilter:
    """Which alarms are chattering.

    Args:
        count: raised so often within the window, an alarm is chattering.
        window_s: the window; without a raise for so long, chattering ends.
    """

    def __init__(self, count: int, window_s: float) -> None:
        self.count = count
        self._window_s = window_s
        self._raises: OrderedDict[Name, tuple[float, ...]] = OrderedDict()
        self._chattering: dict[Name, int] = {}

    def raised(self, name: Name, now: float) -> tuple[bool, bool]:
        """An alarm was raised.

        Args:
            name: of the alarm.
            now: monotonic s.

        Returns:
            (it is chattering, it is so from this raise on).
        """
        times = (*self._raises.get(name, ()), now)[-self.count :]
        self._raises[name] = times
        self._raises.move_to_end(name)
        if name in self._chattering:
            self._chattering[name] += 1
            return True, False
        if len(times) < self.count or now - times[0] > self._window_s:
            return False, False
        self._chattering[name] = self.count
        return True, True

    def ended(self, now: float) -> list[tuple[Name, int]]:
        """Alarms that are chattering no longer, and how often each was raised while it was (the raises before it included)."""
        over = []
        while self._raises:
            name, times = next(iter(self._raises.items()))
            if now - times[-1] <= self._window_s:
                break
            del self._raises[name]
            if name in self._chattering:
                over.append((name, self._chattering.pop(name)))
        return over

    def restore(self, name: Name, now: float) -> None:
        """An alarm was chattering when the server stopped: it must be quiet for a whole window from now on."""
        self._raises[name] = (now,)
        self._chattering[name] = 1


class FloodGroups:
    """Alarms of one bay that come close together.

    Args:
        count: more than so many alarms within the window form a group.
        window_s: the window; a group takes further alarms until no new one came for so long.
    """

    def __init__(self, count: int, window_s: float) -> None:
        self._count = count
        self._window_s = window_s
        self._bays: OrderedDict[tuple[str, str], deque[tuple[float, int]]] = OrderedDict()
        self._groups: dict[tuple[str, str], int] = {}

    def raised(self, bay: tuple[str, str], alarm_id: int, now: float) -> tuple[int, list[int]]:
        """A new alarm was raised.

        Args:
            bay: station and bay.
            alarm_id: of the alarm.
            now: monotonic s.

        Returns:
            (its group, 0 = none; earlier alarms that belong to this group from now on). A group is named by its first alarm.
        """
        recent = self._bays.setdefault(bay, deque())
        self._bays.move_to_end(bay)
        while recent and now - recent[0][0] > self._window_s:
            recent.popleft()
        if not recent:
            self._groups.pop(bay, None)
        recent.append((now, alarm_id))
        if bay in self._groups:
            return self._groups[bay], []
        if len(recent) <= self._count:
            return 0, []
        self._groups[bay] = recent[0][1]
        return recent[0][1], [number for _, number in recent if number != alarm_id]

    def forget(self, now: float) -> None:
        """Drop bays in which nothing happened of late."""
        while self._bays:
            bay, recent = next(iter(self._bays.items()))
            if now - recent[-1][0] <= self._window_s:
                return
            del self._bays[bay]
            self._groups.pop(bay, None)
