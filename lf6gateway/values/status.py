"""Everything that is known of a gateway at one moment, as one value: what ``/status`` shows, what the operator's page
is made of, what alerts are decided on. Owns its shape, which is described in docs/status.md; must never hold a secret.

Times are in UTC, spans in seconds, sizes in bytes. A field may be added at any time; ``VERSION`` changes where one goes
or means something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

VERSION: Final = 1
SPANS: Final = ("hour", "day", "start")
"""The last hour, the last day, and since the start."""


@dataclass(frozen=True, slots=True)
class About:
    """Which gateway this is.

    :param spool: the identity of its disk.
    :param workers: how many processes serve the public port; 1: the gateway's own.
    """

    version: str
    python: str
    twisted: str
    hostname: str
    pid: int
    started_at: datetime
    uptime_s: float
    cache_dir: str
    spool: str
    workers: int


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether data are taken now, or why not, in the words of ``/ready``."""

    ready: bool
    reason: str | None = None
    detail: str | None = None
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """What came in a span of time.

    :param requests: those that were answered.
    :param refused: those answered with a status from 400 to 499.
    :param failed: those answered with one from 500 on.
    :param records: on stable storage; specimens, for their stream.
    :param bytes: of these, as they came to disk.
    :param p50_s: half of the answers took no longer; ``None`` where there were none.
    """

    requests: int
    refused: int
    failed: int
    records: int
    bytes: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class Shipped:
    """What was written to the store in a span of time. ``objects`` counts writes: an hour's object grows by several."""

    objects: int
    records: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is on disk, and not in the store for certain.

    :param segments: closed files of the journal that are not compressed yet.
    :param members: compressed ones; their ``bytes`` as far as they were read.
    :param specimens: ``None`` while those that an earlier process left are being counted.
    :param parked: specimens that wait after a failure of their own.
    :param oldest_at: when the oldest was received, or the beginning of its hour where an earlier process took it.
    """

    segments: int
    members: int
    specimens: int | None
    parked: int
    bytes: int
    oldest_at: datetime | None
    oldest_s: float


@dataclass(frozen=True, slots=True)
class StoreState:
    """The store of one stream.

    :param name: its bucket or folder.
    :param state: ``closed``: requests go; ``open``: it failed, and the next attempt is in ``next_attempt_s``; ``due``
        and ``probing``: one is about to be made, or is under way.
    :param failing_s: since how many seconds it fails; 0: it does not.
    :param failures: since the start, by cause; ``local`` are this machine's own.
    :param last_success_at: when something was last written to it.
    """

    name: str
    state: str
    failing_s: float
    next_attempt_s: float
    cause: str | None
    detail: str | None
    remedy: str | None
    failures: Mapping[str, int]
    retries: int
    last_success_at: datetime | None


@dataclass(frozen=True, slots=True)
class Flushes:
    """How the journal of one stream goes to disk, since the start. A flush is one write and one sync for all requests
    that waited for it."""

    count: int
    failures: int
    requests: float | None
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream.

    :param received: by span.
    :param codes: answers since the start, by status.
    :param shipped: by span.
    :param flushes: ``None`` for specimens, which have no journal.
    """

    received: Mapping[str, Received]
    codes: Mapping[str, int]
    aborted: int
    waiting: Waiting
    shipped: Mapping[str, Shipped]
    store: StoreState
    flushes: Flushes | None


@dataclass(frozen=True, slots=True)
class UserVolume:
    """What one user sent and was acknowledged; a specimen is one record."""

    user: str
    requests: int
    records: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Users:
    """Who sent most in a span of time.

    :param seen: how many users there were, within some 3 %.
    :param top: the largest by bytes.
    :param missed_bytes: so much too low one of them can be counted, where there were very many.
    """

    seen: int
    top: tuple[UserVolume, ...]
    missed_bytes: int


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """The disk.

    :param left_bytes: how much is still taken.
    :param failing: whether the last write failed.
    """

    used_bytes: int
    max_bytes: int
    left_bytes: int
    free_bytes: int | None
    free_inodes: int | None
    min_free_bytes: int
    min_free_inodes: int
    failing: bool


@dataclass(frozen=True, slots=True)
class QuarantineItem:
    """One file that was set aside.

    :param name: below ``cache_dir/quarantine``.
    :param why: as the note beside it says.
    """

    name: str
    stream: str
    bytes: int
    at: datetime
    why: str
    origin: str


@dataclass(frozen=True, slots=True)
class QuarantineStatus:
    """What was set aside, for it cannot be read. ``items`` are the newest ones; ``since_start`` is how many came since
    the start."""

    count: int
    bytes: int
    since_start: int
    items: tuple[QuarantineItem, ...]


@dataclass(frozen=True, slots=True)
class PublicPort:
    """The public port.

    :param refused: connections that were turned away or made way, by reason, since the start.
    :param problems: requests that were answered with a problem, by its name, since the start.
    :param not_let_in: requests that were not let in: by ``token``, ``address``, or the name of a limit.
    """

    addresses: tuple[str, ...]
    connections: int
    accepted: int
    refused: Mapping[str, int]
    problems: Mapping[str, int]
    not_let_in: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Pool:
    """Threads for one purpose."""

    name: str
    size: int
    busy: int
    queued: int
    finished: int


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A process that serves the public port."""

    pid: int
    listening: bool
    since_s: float
    connections: int


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """The process itself.

    :param lag_s: how late its reactor was when that was measured last.
    :param lag_p99_s: as it was since the start, of all processes.
    """

    lag_s: float
    lag_p99_s: float | None
    pools: tuple[Pool, ...]
    workers: tuple[WorkerStatus, ...]
    worker_deaths: int


@dataclass(frozen=True, slots=True)
class ShippedObject:
    """One write to a store. ``size`` is that of the object behind it."""

    stream: str
    bucket: str
    key: str
    records: int
    bytes: int
    size: int
    at: datetime


@dataclass(frozen=True, slots=True)
class ErrorSeen:
    """The last error of one cause; ``where`` is a stream or ``disk``, ``remedy`` empty where time mends it."""

    where: str
    cause: str
    detail: str
    remedy: str
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class AlertSeen:
    """An alert that is given now, or is about to be.

    :param name: of its rule.
    :param subject: what it is about: a stream, a user, or empty.
    :param state: ``pending`` or ``firing``.
    :param severity: ``warning`` or ``critical``.
    """

    name: str
    subject: str
    state: str
    severity: str
    summary: str
    remedy: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Status:
    """See the module.

    :param settings: those in force, by key, secrets masked.
    """

    version: int
    at: datetime
    gateway: About
    ready: Readiness
    streams: Mapping[str, StreamStatus]
    users: Mapping[str, Users]
    spool: SpoolStatus
    quarantine: QuarantineStatus
    public: PublicPort
    process: ProcessStatus
    shipped: tuple[ShippedObject, ...]
    errors: tuple[ErrorSeen, ...]
    settings: Mapping[str, Any]
    alerts: tuple[AlertSeen, ...] = field(default=())
