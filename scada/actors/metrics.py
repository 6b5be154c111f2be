"""Prometheus endpoint: what the server knows of itself, collected when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Address
from scada.actors.health import HANDLING_S
from scada.actors.ports import check_port
from scada.core.settings import MetricsSettings


class SystemCollector(Collector):
    """Turns the system status and the actors' health into metrics.

    Args:
        status: takes the overview.
        addresses: the actors.
    """

    def __init__(self, status: Callable[[], pb.SystemStatus], addresses: Callable[[], list[Address]]) -> None:
        self._status = status
        self._addresses = addresses

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        status = self._status()
        yield GaugeMetricFamily("scada_points", "Points of the model", status.points_total)
        yield GaugeMetricFamily("scada_points_good", "Points whose value may be acted on", status.points_good)
        yield GaugeMetricFamily("scada_channels", "Front-end channels", status.channels_total)
        yield GaugeMetricFamily("scada_channels_up", "Channels with data transfer", status.channels_up)
        yield GaugeMetricFamily("scada_alarms_unacknowledged", "Alarms nobody acknowledged", status.alarms_unacknowledged)
        yield GaugeMetricFamily("scada_alarms_active", "Alarms whose cause persists", status.alarms_active)
        yield CounterMetricFamily("scada_rtdb_seq", "Changes committed to the real-time database", status.seq)
        yield from self._areas(status)
        yield from self._channels(status)
        yield from self._actors()

    def _areas(self, status: pb.SystemStatus) -> Iterator[Metric]:
        frequency = GaugeMetricFamily("scada_frequency_hz", "Frequency", labels=["area"])
        ace = GaugeMetricFamily("scada_ace_mw", "Area control error", labels=["area"])
        for area in status.areas:
            frequency.add_metric([area.name], area.frequency_hz)
            ace.add_metric([area.name], area.ace_mw)
        yield from (frequency, ace)

    def _channels(self, status: pb.SystemStatus) -> Iterator[Metric]:
        values = CounterMetricFamily("scada_channel_values", "Values received", labels=["channel"])
        malformed = CounterMetricFamily("scada_channel_malformed", "Malformed frames", labels=["channel"])
        unknown = CounterMetricFamily("scada_channel_unknown_addresses", "Values the model does not know", labels=["channel"])
        connects = CounterMetricFamily("scada_channel_connects", "Connections made", labels=["channel"])
        for channel in status.channels:
            values.add_metric([channel.name], channel.values_in)
            malformed.add_metric([channel.name], channel.malformed)
            unknown.add_metric([channel.name], channel.unknown_addresses)
            connects.add_metric([channel.name], channel.connects)
        yield from (values, malformed, unknown, connects)

    def _actors(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("scada_actor_mailbox", "Messages waiting", labels=["actor"])
        oldest = GaugeMetricFamily("scada_actor_oldest_seconds", "Age of the oldest message not dealt with", labels=["actor"])
        handling = HistogramMetricFamily("scada_actor_handling_seconds", "Time a message took", labels=["actor"])
        restarts = CounterMetricFamily("scada_actor_restarts", "Restarts after a failure", labels=["actor"])
        dead = CounterMetricFamily("scada_actor_dead_letters", "Messages that made the actor fail", labels=["actor"])
        running = GaugeMetricFamily("scada_actor_running", "1 while it runs", labels=["actor"])
        for address in self._addresses():
            health, name = address.health, [address.health.name]
            depth.add_metric(name, address.mailbox.qsize())
            oldest.add_metric(name, address.age_s())
            sums = accumulate(list(health.classes))
            bounds = [*(str(bound) for bound in HANDLING_S), "+Inf"]
            handling.add_metric(name, list(zip(bounds, sums, strict=True)), health.busy_s)
            restarts.add_metric(name, health.restarts)
            dead.add_metric(name, health.dead)
            running.add_metric(name, health.state == "running")
        yield from (depth, oldest, handling, restarts, dead, running)


def serve_metrics(settings: MetricsSettings, collector: SystemCollector) -> Callable[[], None]:
    """Answer scrapes; returns a function that ends it.

    Raises:
        PortInUseError: the port is taken.
    """
    check_port(settings.host, settings.port, "metrics")
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    server, thread = start_http_server(settings.port, settings.host, registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=2)

    return stop
