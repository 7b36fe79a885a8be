"""Gathers what is known of a gateway, now and minute by minute. Owns when the disk is looked at for it, and the making
of a ``Status``; must never change anything, nor hold anybody up."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.disk import specimens
from lf6gateway.disk.set_aside_count import Listing, listing
from lf6gateway.services.alerting import Alerting
from lf6gateway.services.heartbeat import Heartbeat
from lf6gateway.services.status import made
from lf6gateway.services.surroundings import Surroundings
from lf6gateway.services.threads import PoolFigures
from lf6gateway.services.webhook import poster
from lf6gateway.values.alert_rules import Facts
from lf6gateway.values.failure import Kind
from lf6gateway.values.histogram import SECONDS
from lf6gateway.values.history import History, Point, Reading
from lf6gateway.values.settings import Settings
from lf6gateway.values.status import Status
from lf6gateway.values.stream import RECORD_STREAMS, Stream
from lf6gateway.values.volumes import Span

if TYPE_CHECKING:
    from lf6gateway.services.gateway import GatewayService

_log = Logger()

LOOK_EVERY: Final = 15.0
"""Seconds between two looks at quarantine and at the oldest specimen."""
STALE: Final = 2.0
"""Seconds after which whoever asks has the disk looked at anew."""
MINUTE: Final = 60.0
LISTED: Final = 100
"""Files of quarantine that are told of one by one."""
SPANS_FOR: Final = 5.0
"""Seconds for which the sums over an hour and a day are good."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the disk was seen to hold."""

    quarantine: Listing = field(default_factory=lambda: Listing(0, 0, ()))
    oldest_specimen_ns: int | None = None


class Watch(Service):
    """See the module.

    :param gateway: one that has made its parts.
    """

    def __init__(self, gateway: GatewayService, surroundings: Surroundings) -> None:
        self.setName("watch")
        self.gateway = gateway
        self.parts = gateway.assembly
        self.surroundings = surroundings
        self.clock: Any = surroundings.reactor
        self.now_ns = surroundings.now_ns
        self.started_ns = surroundings.now_ns()
        self.history = History(SECONDS)
        self.seen = Seen()
        self._seen_at: float | None = None
        self._looking: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []
        self._spans: tuple[float, dict[str, Span]] | None = None
        self.alerting = Alerting(
            gateway.settings,
            clock=self.clock,
            now_ns=self.now_ns,
            facts=self._facts,
            post=poster(self.clock),
            page=lambda: gateway.page,
            random=surroundings.chance,
        )
        self._look_beat = Heartbeat(self.clock, "looking at quarantine", self._look, LOOK_EVERY)
        self._minute_beat = Heartbeat(self.clock, "noting the figures of a minute", self._minute, MINUTE)

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self.history.begin(self.readings())
        self._look_beat.start(now=True)
        self._minute_beat.start(now=False)
        self.alerting.startService()

    def stopService(self) -> Deferred[None]:
        """End; fires when nothing is looked at any more."""
        super().stopService()
        ended = [self._look_beat.stop(), self._minute_beat.stop(), self.alerting.stopService()]
        return DeferredList(ended).addCallback(lambda _: None)

    def reconfigure(self, settings: Settings) -> None:
        """Other settings are in force."""
        self.alerting.reconfigure(settings)

    async def fresh(self) -> None:
        """Return once what is known of the disk is not older than a moment; at once where nothing looks any more."""
        if self.running and (self._seen_at is None or self.clock.seconds() - self._seen_at > STALE):
            await self._look()

    def status(self) -> Status:
        """All that is known."""
        return made(self)

    def points(self, minutes: int) -> Sequence[Point]:
        """What each of the last minutes was like, the oldest first."""
        return self.history.points(minutes)

    def _facts(self) -> Facts:
        """What alerts are decided on."""
        settings, surges = self.gateway.settings, self.parts.surges
        surges.turn(self.now_ns())
        intervals = {stream.value: settings.interval(stream).seconds for stream in RECORD_STREAMS}
        return Facts(self.status(), intervals, surges.found())

    # What a status is made of.

    def readings(self) -> dict[str, Reading]:
        """The counters of each stream."""
        return {stream.value: self._reading(stream) for stream in Stream}

    def spans(self) -> dict[str, Span]:
        """What was acknowledged in the last hour, the last day, and since the start; some seconds old."""
        now = self.clock.seconds()
        if self._spans is None or now - self._spans[0] >= SPANS_FOR:
            volumes = self.parts.volumes
            volumes.turn(self.now_ns())
            self._spans = now, {"hour": volumes.hour(), "day": volumes.day(), "start": volumes.whole()}
        return self._spans[1]

    def oldest_ns(self, stream: Stream) -> int | None:
        """When the oldest was received that is not in the store for certain, nanoseconds since 1970."""
        parts = self.parts
        if stream is Stream.SPECIMEN:
            return self.seen.oldest_specimen_ns if self.specimens_waiting() != 0 else None
        found = (parts.journals[stream].oldest_ns, parts.seals[stream].oldest_ns, parts.hour_shippers[stream].oldest_ns)
        return min((ns for ns in found if ns is not None), default=None)

    def age_s(self, stream: Stream) -> float:
        """How old that is, in seconds; 0 where nothing waits."""
        oldest = self.oldest_ns(stream)
        return 0.0 if oldest is None else max(0.0, (self.now_ns() - oldest) / 1e9)

    def specimens_waiting(self) -> int | None:
        """How many specimens wait; ``None`` while those of an earlier process are being counted."""
        parts = self.parts
        if parts.specimens_found is None:
            return None
        shipper = parts.specimen_shipper
        kept = parts.volumes.totals[Stream.SPECIMEN].requests
        return max(0, parts.specimens_found + kept - shipper.shipped - shipper.set_aside)

    def failures(self, stream: Stream) -> Counter[str]:
        """Failures of shipping since the start, by cause."""
        parts = self.parts
        found = Counter({kind.value: count for kind, count in parts.breakers[stream].counts.items()})
        if stream is Stream.SPECIMEN:
            local = parts.specimen_shipper.local_failures
        else:
            local = sum(
                count for name, count in parts.hour_shippers[stream].failures.items() if name not in _OF_THE_STORE
            )
        found["local"] = local
        return found

    def pools(self) -> list[PoolFigures]:
        """All threads, those of workers added up."""
        pools = [threads.figures for threads in (*self.parts.threads, *self.gateway.access.threads)]
        of_reactor = getattr(self.clock, "threadpool", None)
        if of_reactor is not None:
            working, queued = len(of_reactor.working), of_reactor.q.qsize()
            pools.append(PoolFigures("reactor", of_reactor.max, working, queued, 0))
        summed: dict[str, PoolFigures] = {}
        for worker in self.gateway.front.workers if self.gateway.front is not None else ():
            for pool in worker.pools:
                before = summed.get(pool.name, PoolFigures(pool.name, 0, 0, 0, 0))
                summed[pool.name] = PoolFigures(
                    pool.name,
                    before.size + pool.size,
                    before.busy + pool.busy,
                    before.queued + pool.queued,
                    before.finished + pool.finished,
                )
        return [*pools, *summed.values()]

    def _reading(self, stream: Stream) -> Reading:
        parts = self.parts
        answered: Counter[int] = Counter()
        latency = [0] * (len(SECONDS) + 1)
        for (name, status), one in self.gateway.traffic.answers.items():
            if name == stream:
                answered[status // 100] += one.seconds.count
                latency = [some + more for some, more in zip(latency, one.seconds.counts, strict=True)]
        volume = parts.volumes.totals[stream]
        if stream is Stream.SPECIMEN:
            shipper = parts.specimen_shipper
            shipped = shipper.shipped, shipper.shipped, shipper.shipped_bytes
        else:
            hours = parts.hour_shippers[stream]
            shipped = hours.objects, hours.records, hours.bytes
        return Reading(answered, latency, volume.records, volume.bytes, *shipped)

    # The looks.

    def _minute(self) -> None:
        now_ns = self.now_ns()
        self.parts.volumes.turn(now_ns)
        room = self.parts.space.room
        front = self.gateway.front
        self.history.note(
            now_ns / 1e9,
            self.readings(),
            spool_bytes=self.parts.space.used,
            free_bytes=None if room is None else room.free_bytes,
            oldest_s=max(self.age_s(stream) for stream in Stream),
            connections=0 if front is None else front.connections,
        )

    def _look(self) -> Deferred[None]:
        """Look at the disk, or wait for the look that is under way."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        if self._looking is None:
            self._looking = Deferred.fromCoroutine(self._look_once())
            self._looking.addBoth(self._looked)
        return waiting

    async def _look_once(self) -> None:
        fs, parts = self.gateway.fs, self.parts
        quarantine = os.path.join(self.gateway.settings.cache_dir, "quarantine")
        self.seen = await parts.retain_threads(
            lambda: Seen(listing(fs, quarantine, LISTED), specimens.oldest_ns(fs, parts.root))
        )
        self._seen_at = self.clock.seconds()

    def _looked(self, outcome: Failure | None) -> None:
        self._looking = None
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.called:
                one.callback(outcome)


_OF_THE_STORE: Final = frozenset(kind.value for kind in Kind)
