"""A gateway's figures as metrics of Prometheus, read when they are asked for. Owns their names, labels and words
(docs/metrics.md lists them); must never count anything, nor use the registry that all of a process share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from lf6gateway.services.gateway import GatewayService
from lf6gateway.services.watch import Watch
from lf6gateway.values.failure import Kind
from lf6gateway.values.histogram import Histogram
from lf6gateway.values.status import Status
from lf6gateway.values.stream import RECORD_STREAMS, Stream

PREFIX: Final = "lf6gateway_"
Rows = Iterable[tuple[tuple[str, ...], float]]


class GatewayCollector(Collector):
    """Collects from one gateway. A host that has a registry of its own can register it there.

    :param gateway: one that has started; until then there is nothing.
    """

    def __init__(self, gateway: GatewayService) -> None:
        self._gateway = gateway
        self._process = ProcessCollector(registry=None)

    def describe(self) -> Iterable[Metric]:
        """Nothing is told beforehand, so that a registry does not collect at once."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics as they are now. To be called in the reactor's thread."""
        watch = self._gateway.watch
        if watch is not None:
            status = watch.status()
            yield from _of_the_process(watch, status)
            yield from _of_the_port(watch)
            yield from _of_the_disk(watch, status)
            yield from _of_the_stores(watch, status)
            yield from _of_alerts(watch, status)
            yield from self._process.collect()


def registry(gateway: GatewayService) -> CollectorRegistry:
    """A registry of a gateway's own."""
    made = CollectorRegistry()
    made.register(GatewayCollector(gateway))
    return made


def _of_the_process(watch: Watch, status: Status) -> Iterator[Metric]:
    about = status.gateway
    info = {"version": about.version, "python": about.python, "twisted": about.twisted, "hostname": about.hostname}
    yield InfoMetricFamily(PREFIX + "build", "What runs here.", value=info)
    yield _gauge("start_time_seconds", "When it was started, in seconds since 1970.", about.started_at.timestamp())
    yield _gauge("ready", "Whether data are taken now (1) or refused (0).", float(status.ready.ready))
    yield _histogram(
        "reactor_lag_seconds", "How late the reactor came to what was due.", (), [((), watch.gateway.lag.seconds)]
    )
    pools = status.process.pools
    yield _gauges("threads", "Threads that there may be.", ("pool",), [((one.name,), one.size) for one in pools])
    yield _gauges("threads_busy", "Threads at work.", ("pool",), [((one.name,), one.busy) for one in pools])
    yield _gauges(
        "thread_jobs_queued", "Jobs that wait for a thread.", ("pool",), [((one.name,), one.queued) for one in pools]
    )
    yield _counters(
        "thread_jobs", "Jobs that threads have ended.", ("pool",), [((one.name,), one.finished) for one in pools]
    )
    yield _gauge("workers", "Processes that serve the public port beside the gateway's.", len(status.process.workers))
    yield _counters(
        "worker_deaths", "Workers that ended without being asked to.", (), [((), status.process.worker_deaths)]
    )
    yield _gauges(
        "users_seen",
        "Users of whom something was acknowledged in the span (hour, day, start), within some 3 %.",
        ("span",),
        [((span,), users.seen) for span, users in status.users.items()],
    )


def _of_the_port(watch: Watch) -> Iterator[Metric]:
    traffic, front = watch.gateway.traffic, watch.gateway.front
    answers = {
        (str(stream), str(status)): (one.seconds, one.bytes)
        for (stream, status), one in sorted(traffic.answers.items())
    }
    none = {(stream.value, "204"): (Histogram(), 0) for stream in Stream}
    answers = none | answers
    labels = ("stream", "code")
    yield _counters(
        "http_requests",
        "Requests that were answered, by stream (other: /health, /ready, unknown paths) and status.",
        labels,
        [(key, one.count) for key, (one, _) in answers.items()],
    )
    yield _counters(
        "http_request_bytes",
        "Bytes of bodies as they were sent.",
        labels,
        [(key, size) for key, (_, size) in answers.items()],
    )
    yield _histogram(
        "http_request_duration_seconds",
        "From the whole head of a request to its answer, the sending of its body included.",
        labels,
        [(key, one) for key, (one, _) in answers.items()],
    )
    yield _counters(
        "http_requests_aborted", "Requests whose sender went before the answer.", ("stream",), _rows(traffic.aborted)
    )
    yield _counters(
        "http_problems", "Requests that were answered with a problem.", ("problem",), _rows(traffic.problems)
    )
    yield _counters(
        "access_refused",
        "Requests that were not let in: by token, address, or the name of a limit.",
        ("reason",),
        _rows(watch.gateway.access.refused),
    )
    yield _gauge("connections", "Connections there are.", 0 if front is None else front.connections)
    yield _counters("connections_accepted", "Connections there were.", (), [((), traffic.accepted)])
    yield _counters(
        "connections_refused", "Connections that were turned away or made way.", ("reason",), _rows(traffic.refused)
    )


def _of_the_disk(watch: Watch, status: Status) -> Iterator[Metric]:
    parts = watch.parts
    volumes = {stream.value: parts.volumes.totals[stream] for stream in Stream}
    yield _counters(
        "records_received",
        "Records (or specimens) that are on stable storage.",
        ("stream",),
        [((name,), one.records) for name, one in volumes.items()],
    )
    yield _counters(
        "record_bytes_received",
        "Their bytes.",
        ("stream",),
        [((name,), one.bytes) for name, one in volumes.items()],
    )
    journals = [((stream.value,), parts.journals[stream]) for stream in RECORD_STREAMS]
    seals = [((stream.value,), parts.seals[stream]) for stream in RECORD_STREAMS]
    stream = ("stream",)
    yield _histogram(
        "flush_duration_seconds",
        "One write and sync of a journal.",
        stream,
        [(key, one.seconds) for key, one in journals],
    )
    yield _histogram("flush_requests", "Requests in one flush.", stream, [(key, one.flushed) for key, one in journals])
    yield _histogram("flush_bytes", "Bytes of one flush.", stream, [(key, one.flushed_bytes) for key, one in journals])
    yield _counters("flush_failures", "Flushes that failed.", stream, [(key, one.failures) for key, one in journals])
    yield _histogram(
        "fsync_duration_seconds",
        "Syncs of files and folders, by the stream that they belong to.",
        stream,
        [((name,), one) for name, one in watch.surroundings.syncs.seconds.items()],
    )
    yield _counters(
        "members_sealed", "Segments that were compressed.", stream, [(key, one.sealed) for key, one in seals]
    )
    yield _counters(
        "seal_failures", "Attempts at that which failed.", stream, [(key, one.failures) for key, one in seals]
    )
    spool = status.spool
    yield _gauge("spool_bytes", "Bytes that wait on disk.", spool.used_bytes)
    yield _gauge("spool_limit_bytes", "The most that may wait (spool.max_bytes).", spool.max_bytes)
    yield _gauge("spool_left_bytes", "How much is still taken.", spool.left_bytes)
    if spool.free_bytes is not None:
        yield _gauge("disk_free_bytes", "What the disk has left.", spool.free_bytes)
    yield _gauge("disk_floor_bytes", "What is kept free of it (spool.min_free_bytes).", spool.min_free_bytes)
    if spool.free_inodes is not None:
        yield _gauge("disk_free_inodes", "Inodes that the disk has left.", spool.free_inodes)
    yield _gauge("disk_floor_inodes", "Inodes that are kept free (spool.min_free_inodes).", spool.min_free_inodes)
    yield _gauge("disk_failing", "Whether the last write failed (1).", float(spool.failing))
    yield _gauge("quarantine_files", "Files that were set aside, for they cannot be read.", status.quarantine.count)
    yield _gauge("quarantine_bytes", "Their bytes.", status.quarantine.bytes)
    yield _counters("quarantined", "Files set aside since the start.", (), [((), status.quarantine.since_start)])


def _of_the_stores(watch: Watch, status: Status) -> Iterator[Metric]:
    streams = status.streams
    stream = ("stream",)
    yield _gauges(
        "oldest_record_age_seconds",
        "Age of the oldest record that is not in the store for certain; 0: there is none.",
        stream,
        [((name,), one.waiting.oldest_s) for name, one in streams.items()],
    )
    yield _gauges(
        "aggregation_interval_seconds",
        "How often records are sealed and shipped.",
        stream,
        [((one.value,), watch.gateway.settings.interval(one).seconds) for one in RECORD_STREAMS],
    )
    kinds = [
        ((name, kind), float(count))
        for name, one in streams.items()
        for kind, count in (
            ("segment", one.waiting.segments),
            ("member", one.waiting.members),
            ("specimen", one.waiting.specimens),
        )
        if count is not None and (kind == "specimen") == (name == Stream.SPECIMEN)
    ]
    yield _gauges("waiting_files", "Files that wait to be sealed (segment) or shipped.", ("stream", "kind"), kinds)
    shipped = {name: one.shipped["start"] for name, one in streams.items()}
    yield _counters(
        "shipped_objects",
        "Writes to the store that are certain; an hour's object grows by several.",
        stream,
        [((name,), one.objects) for name, one in shipped.items()],
    )
    yield _counters(
        "shipped_records",
        "Records in the store for certain.",
        stream,
        [((name,), one.records) for name, one in shipped.items()],
    )
    yield _counters(
        "shipped_bytes",
        "Bytes that were written to the store.",
        stream,
        [((name,), one.bytes) for name, one in shipped.items()],
    )
    causes = (*(kind.value for kind in Kind), "local")
    yield _counters(
        "ship_failures",
        "Failures on the way to the store, by cause; local: this machine's own.",
        ("stream", "cause"),
        [((name, cause), one.store.failures.get(cause, 0)) for name, one in streams.items() for cause in causes],
    )
    yield _counters(
        "ship_retries",
        "Attempts behind one that failed.",
        stream,
        [((name,), one.store.retries) for name, one in streams.items()],
    )
    yield _gauges(
        "store_failing_seconds",
        "For how long the store has been failing; 0: it is not.",
        stream,
        [((name,), one.store.failing_s) for name, one in streams.items()],
    )
    yield _gauges(
        "last_success_timestamp_seconds",
        "When something was last written to the store, in seconds since 1970.",
        stream,
        [
            ((name,), one.store.last_success_at.timestamp())
            for name, one in streams.items()
            if one.store.last_success_at is not None
        ],
    )


def _of_alerts(watch: Watch, status: Status) -> Iterator[Metric]:
    found: dict[tuple[str, str, str], float] = {}
    for alert in status.alerts:
        key = (alert.name, alert.severity, alert.state)
        found[key] = found.get(key, 0) + 1
    yield _gauges("alerts", "Alerts of the gateway's own, by state.", ("alert", "severity", "state"), found.items())
    outcomes = watch.alerting.webhook.outcomes
    yield _counters(
        "alert_messages",
        "Messages to alerts.webhook: sent, failed (and tried again), dropped.",
        ("outcome",),
        [((name,), outcomes[name]) for name in ("sent", "failed", "dropped")],
    )


def _rows(counts: Mapping[str, int]) -> list[tuple[tuple[str, ...], float]]:
    return [((str(name),), count) for name, count in sorted(counts.items())]


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, words, value=value)


def _gauges(name: str, words: str, labels: Sequence[str], rows: Rows) -> Metric:
    return _filled(GaugeMetricFamily(PREFIX + name, words, labels=labels), rows)


def _counters(name: str, words: str, labels: Sequence[str], rows: Rows) -> Metric:
    return _filled(CounterMetricFamily(PREFIX + name, words, labels=labels), rows)


def _filled(family: Any, rows: Rows) -> Metric:
    for values, value in rows:
        family.add_metric(values, value)
    found: Metric = family
    return found


def _histogram(
    name: str, words: str, labels: Sequence[str], rows: Iterable[tuple[tuple[str, ...], Histogram]]
) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, words, labels=labels)
    for values, one in rows:
        buckets: list[Any] = [(floatToGoString(bound), count) for bound, count in one.cumulative()]
        family.add_metric(values, buckets, one.sum)
    return family
