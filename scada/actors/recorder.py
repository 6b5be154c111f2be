"""Recorder actor: writes recordings of channels, off the wire loop.

The wire puts octets into a bounded buffer and goes on; this actor encodes and writes them a few times a second, each time whole
blocks, so that a recording is readable up to its end whatever stops the server. What the buffer has no room for is left out and
said in the recording. A disk that fails or runs short ends the recording, never the channel.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog

from scada.actors.base import Actor, Address
from scada.actors.messages import Record, RecordedChannels, Report, StopRecording, Tick
from scada.actors.recordings import SUFFIX, RecordingBuffer, file_stem, is_ours
from scada.actors.tracing import NOT_HEARD, TraceHub
from scada.core.clock import Clock
from scada.core.settings import RecordingSettings
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, ChannelSpec
from scada.protocols.driver import CommandResult, Outcome
from scada.protocols.recording import RecordedChannel, RecordingEncoder

_log = structlog.get_logger("recorder")

WRITE_S: Final = 0.2
"""Time between two writes."""
LOOK_S: Final = 5.0
"""Time between two looks at the room on the disk."""
MIB: Final = 1 << 20


@dataclass(slots=True)
class RecordingFile:
    """One recording that is being written.

    Attributes:
        name: of the file.
        octets: written so far.
        from_ns: ns UTC of its beginning.
    """

    name: str
    octets: int
    from_ns: int


@dataclass(slots=True)
class RecorderView:
    """What the recorder publishes; written by it alone."""

    files: dict[str, RecordingFile] = field(default_factory=dict)
    """By name of the channel."""
    closing: dict[str, Callable[[], None]] = field(default_factory=dict)
    """Stops listening to a channel; outlives a life of the recorder."""

    def running(self) -> frozenset[str]:
        """Names of the files that are being written."""
        return frozenset(file.name for file in list(self.files.values()))


@dataclass(slots=True)
class _Recording:
    """A recording and what it needs to go on."""

    asked: Record
    buffer: RecordingBuffer
    encoder: RecordingEncoder
    file: RecordingFile
    descriptor: int
    most_octets: int
    until: float
    """Monotonic seconds."""
    always: bool
    missed_before: int
    """Octets that the buffer had left out when the file began."""
    told_missed: bool = False


class RecorderActor(Actor):
    """Owns every recording that is being written.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        settings: where and how much.
        disk_mb: free space in MiB below which nothing is recorded.
        site: name of the site.
        model: version of the model.
        always: channels that are recorded from the start on.
        view: published state.
        events: told of beginnings and ends.
        clock: stamps.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        settings: RecordingSettings,
        disk_mb: int,
        site: str,
        model: str,
        always: Sequence[tuple[ChannelSpec, TraceHub]],
        view: RecorderView,
        events: Address,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._settings = settings
        self._disk_mb = disk_mb
        self._site = site
        self._model = model
        self._always = always
        self._view = view
        self._events = events
        self._clock = clock
        self._recordings: dict[str, _Recording] = {}
        self._looked = float("-inf")
        self._waiting: set[str] = set()
        """Channels that are always recorded, while the disk does not let them."""

    def started(self) -> None:
        """End what an earlier life left open, then record what is always recorded."""
        for stop in self._view.closing.values():
            stop()
        self._view.closing.clear()
        self._view.files.clear()
        for spec, hub in self._always:
            self._begin(Record(spec, hub, False, 0, 0, ""), always=True)

    def stopped(self) -> None:
        """Write what waits and close every file."""
        for channel in list(self._recordings):
            self._write(self._recordings[channel])
            if channel in self._recordings:
                self._end(channel, "the server stopped")

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Tick():
                self._on_tick()
            case Record():
                result = self._begin(message, always=False)
                message.hub.after(lambda: message.reply(result))  # only now is everything heard
            case RecordedChannels(always, model, gone):
                self._adopt(always, model, gone)
            case StopRecording(channel, user, reply):
                reply(self._finish(channel, user))
            case _:
                return super().receive(message)
        return None

    # ------------------------------------------------------------------ beginning and end

    def _adopt(self, always: Sequence[tuple[ChannelSpec, TraceHub]], model: str, gone: Sequence[str]) -> None:
        """Another version of the model: recordings of channels that it has go on."""
        self._model, self._always = model, always
        for channel in gone:
            self._waiting.discard(channel)
            if channel in self._recordings:
                self._write(self._recordings[channel])
            if channel in self._recordings:
                self._end(channel, "the model no longer has the channel")
        for spec, hub in always:
            if spec.name not in self._recordings:
                self._begin(Record(spec, hub, False, 0, 0, ""), always=True)

    def _begin(self, asked: Record, *, always: bool) -> CommandResult:
        channel, most = asked.spec.name, self._settings
        if channel in self._recordings:
            return CommandResult(Outcome.REFUSED, f"it is recorded already, into {self._recordings[channel].file.name}")
        if asked.hub.deaf:
            return CommandResult(Outcome.REFUSED, NOT_HEARD)
        if asked.minutes > most.max_minutes or asked.mb > most.max_mb:
            return CommandResult(Outcome.REFUSED, f"at most {most.max_minutes:g} minutes and {most.max_mb:g} MiB are configured")
        minutes, mb = asked.minutes or most.max_minutes, asked.mb or most.max_mb
        fault = self._make_room(mb)
        try:
            if not fault:
                self._recordings[channel] = self._open(asked, RecordingBuffer(), minutes, mb, always=always)
        except OSError as error:
            fault = f"cannot write {most.path}: {error.strerror or error}"
        if fault:
            if channel not in self._waiting:
                self._say("channel.recording_failed", channel, {"reason": fault}, AlarmClass.ABNORMAL)
            if always:
                self._waiting.add(channel)
            return CommandResult(Outcome.REFUSED, fault)
        self._waiting.discard(channel)
        recording = self._recordings[channel]
        self._view.closing[channel] = asked.hub.listen(recording.buffer.put)
        self._say("channel.recording_started", channel, {"file": recording.file.name}, user=asked.user)
        return CommandResult(Outcome.CONFIRMED, recording.file.name)

    def _open(self, asked: Record, buffer: RecordingBuffer, minutes: float, mb: float, *, always: bool) -> _Recording:
        """A new file with its head.

        Raises:
            OSError: it cannot be made or written.
        """
        now, spec = self._clock.now_ns(), asked.spec
        encoder = RecordingEncoder(self._described(asked), connected=asked.connected)
        folder = self._settings.path
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stem = file_stem(spec.name, now)
        for number in range(1000):
            name = f"{stem}{f'-{number}' if number else ''}{SUFFIX}"
            try:
                descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                break
            except FileExistsError:
                continue
        else:
            raise FileExistsError(17, f"a thousand recordings begin with {stem}")
        until = self._clock.monotonic() + minutes * 60
        file = RecordingFile(name, 0, now)
        recording = _Recording(asked, buffer, encoder, file, descriptor, int(mb * MIB), until, always, buffer.missed)
        try:
            self._append(recording, encoder.head())
        except OSError:
            os.close(descriptor)
            (folder / name).unlink(missing_ok=True)
            raise
        self._view.files[spec.name] = recording.file
        return recording

    def _described(self, asked: Record) -> RecordedChannel:
        spec = asked.spec
        endpoints = {"": f"{spec.host}:{spec.port}", **asked.hub.endpoints()}
        return RecordedChannel(spec.name, spec.protocol, self._site, self._model, endpoints)

    def _finish(self, channel: str, user: str) -> CommandResult:
        recording = self._recordings.get(channel)
        self._waiting.discard(channel)
        if recording is None:
            return CommandResult(Outcome.REFUSED, f"channel {channel} is not recorded")
        self._write(recording)
        if channel in self._recordings:
            self._end(channel, f"stopped by {user}")
        return CommandResult(Outcome.CONFIRMED, recording.file.name)

    def _end(self, channel: str, reason: str, *, fault: bool = False) -> None:
        recording = self._recordings.pop(channel)
        self._view.files.pop(channel, None)
        stop = self._view.closing.pop(channel, None)
        if stop is not None:
            stop()
        with contextlib.suppress(OSError):
            self._append(recording, recording.encoder.close(self._clock.now_ns()))
        with contextlib.suppress(OSError):
            os.close(recording.descriptor)
        told = {"file": recording.file.name, "reason": reason, "mb": f"{recording.file.octets / MIB:.1f}"}
        if fault:
            self._say("channel.recording_failed", channel, told, AlarmClass.ABNORMAL)
            if recording.always:
                self._waiting.add(channel)
        else:
            self._say("channel.recording_ended", channel, told)

    # ------------------------------------------------------------------ writing

    def _on_tick(self) -> None:
        for recording in list(self._recordings.values()):
            self._write(recording)
        now = self._clock.monotonic()
        for channel, recording in list(self._recordings.items()):
            if recording.file.octets >= recording.most_octets or now >= recording.until:
                self._turn_over(channel, recording)
        if now - self._looked >= LOOK_S:
            self._looked = now
            fault = self._make_room(0) if self._recordings or self._waiting else ""
            for channel in list(self._recordings) if fault else ():
                self._end(channel, fault, fault=True)
            for spec, hub in self._always if not fault else ():
                if spec.name in self._waiting:
                    self._begin(Record(spec, hub, True, 0, 0, ""), always=True)

    def _write(self, recording: _Recording) -> None:
        encoder = recording.encoder
        blocks = b"".join(
            encoder.missed(link, received, time_ns, missed) if missed else encoder.octets(link, received, time_ns, data)
            for link, received, time_ns, data, missed in recording.buffer.take()
        )
        try:
            self._append(recording, blocks)
        except OSError as error:
            self._end(recording.asked.spec.name, f"cannot write: {error.strerror or error}", fault=True)
            return
        missed = recording.buffer.missed - recording.missed_before
        if missed and not recording.told_missed:
            recording.told_missed = True
            told = {"file": recording.file.name, "octets": str(missed)}
            self._say("channel.recording_gap", recording.asked.spec.name, told, AlarmClass.ABNORMAL)

    @staticmethod
    def _append(recording: _Recording, blocks: bytes) -> None:
        """Whole blocks or nothing: what a full disk took of them is cut off again.

        Raises:
            OSError: they cannot be written.
        """
        rest = memoryview(blocks)
        try:
            while rest:
                rest = rest[os.write(recording.descriptor, rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(recording.descriptor, recording.file.octets)
            raise
        recording.file.octets += len(blocks)

    def _turn_over(self, channel: str, recording: _Recording) -> None:
        """The next file of a channel that is always recorded; the end of another recording."""
        if not recording.always:
            self._end(channel, "it has its full length")
            return
        fault = self._make_room(self._settings.max_mb, ending=channel)
        try:
            if not fault:
                most, asked = self._settings, replace(recording.asked, connected=recording.encoder.connected)
                fresh = self._open(asked, recording.buffer, most.max_minutes, most.max_mb, always=True)
        except OSError as error:
            fault = f"cannot begin the next file: {error.strerror or error}"
        if fault:
            self._end(channel, fault, fault=True)
            return
        os.close(recording.descriptor)
        self._recordings[channel] = fresh
        _log.info("recording goes on", channel=channel, file=fresh.file.name, after=recording.file.name)

    # ------------------------------------------------------------------ room

    def _make_room(self, mb: float, *, ending: str = "") -> str:
        """Remove the oldest recordings until ``mb`` more fit beside what those that run may still become.

        Args:
            mb: MiB that a new recording may take up.
            ending: channel whose present recording is at its end.

        Returns:
            Why nothing can be recorded; empty if it can.
        """
        folder, keep = self._settings.path, self._settings.keep_mb * MIB
        running = {each.file.name: each for channel, each in self._recordings.items() if channel != ending}
        reserved = sum(max(each.most_octets, each.file.octets) for each in running.values()) + mb * MIB
        if mb and reserved > keep:
            return f"the recordings that run may take up all of keep_mb = {self._settings.keep_mb:g}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            candidates = [path for path in folder.glob(f"*{SUFFIX}") if is_ours(path) and path.name not in running]
            found = [(path.stat(), path) for path in candidates]
            used = sum(status.st_size for status, _ in found)
            for status, path in sorted(found, key=lambda each: each[0].st_mtime_ns):
                if reserved + used <= keep:
                    break
                path.unlink(missing_ok=True)
                used -= status.st_size
                _log.info("recording removed to make room", file=path.name)
            free = shutil.disk_usage(folder).free / MIB
        except OSError as error:
            return f"cannot use {folder}: {error.strerror or error}"
        if free < self._disk_mb:
            return f"only {free:.0f} MiB are free on the disk, {self._disk_mb} MiB are kept free"
        return ""

    def _say(
        self, key: str, channel: str, told: dict[str, str], alarm_class: AlarmClass = AlarmClass.NOTICE, *, user: str = ""
    ) -> None:
        priority = 3 if alarm_class is AlarmClass.ABNORMAL else 4
        parameters = {"channel": channel, **told}
        log = _log.warning if alarm_class is AlarmClass.ABNORMAL else _log.info
        log(key, **parameters)
        event = Event(self._clock.now_ns(), EventKind.SYSTEM, alarm_class, priority, key, parameters, path=channel, actor=user)
        self._events.tell(Report((event,)))
