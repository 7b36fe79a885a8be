"""A ``Status`` made from what a gateway's parts say of themselves. Owns the translation alone; must never count
anything itself."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from lf6gateway.services.admission import STARTING
from lf6gateway.values import status as shape
from lf6gateway.values.history import StreamPoint
from lf6gateway.values.settings import KEYS
from lf6gateway.values.settings_print import plain_value
from lf6gateway.values.stream import Stream
from lf6gateway.values.volumes import Span
from lf6gateway.version import __version__
from twisted import __version__ as twisted_version

if TYPE_CHECKING:
    from lf6gateway.services.watch import Watch

TOP: Final = 20
"""Users that are named of each span."""
MINUTES: Final = {"hour": 60, "day": 24 * 60, "start": None}


def made(watch: Watch) -> shape.Status:
    """All that is known."""
    readings = watch.readings()
    points = {span: watch.history.since(minutes, readings) for span, minutes in MINUTES.items()}
    gateway, parts = watch.gateway, watch.parts
    quarantine = watch.seen.quarantine
    return shape.Status(
        version=shape.VERSION,
        at=moment(watch.now_ns()),
        gateway=_about(watch),
        ready=readiness(watch),
        streams={
            stream.value: _stream(watch, stream, {span: points[span][stream.value] for span in shape.SPANS})
            for stream in Stream
        },
        users={span: _users(found) for span, found in watch.spans().items()},
        spool=_spool(watch),
        quarantine=shape.QuarantineStatus(
            quarantine.count,
            quarantine.bytes,
            parts.quarantine.taken,
            tuple(
                shape.QuarantineItem(
                    _clean(one.name), one.stream, one.bytes, moment(one.at_ns), _clean(one.why), _clean(one.origin)
                )
                for one in quarantine.newest
            ),
        ),
        public=_public(watch),
        process=_process(watch),
        shipped=tuple(
            shape.ShippedObject(
                one.stream.value, one.bucket, one.key, one.records, one.bytes, one.size, moment(one.at_ns)
            )
            for one in parts.recent.objects
        ),
        errors=tuple(
            shape.ErrorSeen(
                one.where,
                one.cause,
                _clean(one.detail),
                one.remedy,
                one.count,
                moment(one.first_ns),
                moment(one.last_ns),
            )
            for one in parts.recent.errors
        ),
        alerts=tuple(
            shape.AlertSeen(
                one.condition.name,
                _clean(one.condition.subject),
                one.state.value,
                one.condition.severity,
                _clean(one.condition.summary),
                one.condition.remedy,
                moment(one.since_ns),
            )
            for one in watch.alerting.alerts
        ),
        settings={key: plain_value(gateway.settings, key) for key in KEYS},
    )


def readiness(watch: Watch) -> shape.Readiness:
    """Whether data are taken now."""
    refusal = watch.parts.receiver.refusal() if watch.gateway.started.called else STARTING
    front = watch.gateway.front
    if refusal is not None:
        return shape.Readiness(False, refusal.reason, _clean(refusal.detail), refusal.retry_after)
    if front is not None and front.overloaded:
        return shape.Readiness(False, "overloaded", "bodies take up all the room that is set aside for them", 1)
    return shape.Readiness(True)


def moment(ns: int) -> datetime:
    """A moment, given in nanoseconds since 1970."""
    return datetime.fromtimestamp(ns // 1_000 / 1e6, UTC)


def _clean(text: str) -> str:
    """Text that can be written as UTF-8, whatever the bytes of a file's name were."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _about(watch: Watch) -> shape.About:
    settings = watch.gateway.at_start
    return shape.About(
        version=__version__,
        python=platform.python_version(),
        twisted=twisted_version,
        hostname=settings.hostname,
        pid=os.getpid(),
        started_at=moment(watch.started_ns),
        uptime_s=max(0.0, (watch.now_ns() - watch.started_ns) / 1e9),
        cache_dir=settings.cache_dir,
        spool=watch.parts.spool,
        workers=max(1, len(watch.gateway.front.workers) if watch.gateway.front is not None else 1),
    )


def _stream(watch: Watch, stream: Stream, points: dict[str, StreamPoint]) -> shape.StreamStatus:
    traffic = watch.gateway.traffic
    codes = {
        str(status): one.seconds.count
        for (name, status), one in sorted(traffic.answers.items(), key=lambda item: item[0][1])
        if name == stream
    }
    return shape.StreamStatus(
        received={
            span: shape.Received(
                one.requests, one.refused, one.failed, one.records, one.bytes, one.p50, one.p95, one.p99
            )
            for span, one in points.items()
        },
        codes=codes,
        aborted=traffic.aborted[stream],
        waiting=_waiting(watch, stream),
        shipped={
            span: shape.Shipped(one.shipped_objects, one.shipped_records, one.shipped_bytes)
            for span, one in points.items()
        },
        store=_store(watch, stream),
        flushes=_flushes(watch, stream),
    )


def _waiting(watch: Watch, stream: Stream) -> shape.Waiting:
    parts = watch.parts
    oldest = watch.oldest_ns(stream)
    at = None if oldest is None else moment(oldest)
    age = watch.age_s(stream)
    if stream is Stream.SPECIMEN:
        shipper = parts.specimen_shipper
        return shape.Waiting(0, 0, watch.specimens_waiting(), shipper.parked, 0, at, age)
    left = parts.hour_shippers[stream].waiting
    return shape.Waiting(parts.seals[stream].waiting, left.members, 0, 0, left.bytes, at, age)


def _store(watch: Watch, stream: Stream) -> shape.StoreState:
    parts = watch.parts
    breaker = parts.breakers[stream]
    shipper = parts.specimen_shipper if stream is Stream.SPECIMEN else parts.hour_shippers[stream]
    error = breaker.last_error
    last = shipper.last_success_ns
    return shape.StoreState(
        name=parts.outlets.names[stream],
        state=breaker.state,
        failing_s=breaker.open_for,
        next_attempt_s=breaker.next_attempt,
        cause=None if error is None else error.kind.value,
        detail=None if error is None else _clean(f"{error.what}: {error.detail}"),
        remedy=None if error is None else error.remedy,
        failures={cause: count for cause, count in watch.failures(stream).items() if count},
        retries=shipper.retries,
        last_success_at=None if last is None else moment(last),
    )


def _flushes(watch: Watch, stream: Stream) -> shape.Flushes | None:
    journal = watch.parts.journals.get(stream)
    if journal is None:
        return None
    count = journal.flushed.count
    return shape.Flushes(
        count=count,
        failures=journal.failures,
        requests=journal.flushed.sum / count if count else None,
        p50_s=journal.seconds.quantile(0.5),
        p99_s=journal.seconds.quantile(0.99),
    )


def _users(span: Span) -> shape.Users:
    top = tuple(
        shape.UserVolume(_clean(user), volume.requests, volume.records, volume.bytes)
        for user, volume in span.users.top(TOP)
    )
    return shape.Users(span.names.count(), top, span.users.missed)


def _spool(watch: Watch) -> shape.SpoolStatus:
    space = watch.parts.space
    room = space.room
    return shape.SpoolStatus(
        used_bytes=space.used,
        max_bytes=space.max_bytes,
        left_bytes=space.left,
        free_bytes=None if room is None else room.free_bytes,
        free_inodes=None if room is None else room.free_inodes,
        min_free_bytes=space.min_free_bytes,
        min_free_inodes=space.min_free_inodes,
        failing=space.failing,
    )


def _public(watch: Watch) -> shape.PublicPort:
    front, traffic = watch.gateway.front, watch.gateway.traffic
    return shape.PublicPort(
        addresses=() if front is None else tuple(front.addresses),
        connections=0 if front is None else front.connections,
        accepted=traffic.accepted,
        refused=dict(traffic.refused),
        problems=dict(traffic.problems),
        not_let_in=dict(watch.gateway.access.refused),
    )


def _process(watch: Watch) -> shape.ProcessStatus:
    front = watch.gateway.front
    return shape.ProcessStatus(
        lag_s=watch.gateway.lag.last,
        lag_p99_s=watch.gateway.lag.seconds.quantile(0.99),
        pools=tuple(shape.Pool(one.name, one.size, one.busy, one.queued, one.finished) for one in watch.pools()),
        workers=tuple(
            shape.WorkerStatus(one.pid, one.listening, one.since_s, one.connections)
            for one in (front.workers if front is not None else ())
        ),
        worker_deaths=0 if front is None else front.worker_deaths,
    )
