"""The gateway as one service: starts its parts in order, and stops them in the reverse. Owns that order and the
deadline of a stop; must never listen on a port, take over a signal, or end the process, so that any Twisted
application can host it."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError
from twisted.logger import Logger

from lf6gateway.disk.adoption import Adoption
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.folders import waiting_hours
from lf6gateway.disk.identity import spool_identity
from lf6gateway.disk.put_back import put_back
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.specimen_adoption import SpecimenAdoption
from lf6gateway.disk.specimens import take_stock
from lf6gateway.services.access import Access
from lf6gateway.services.assembly import Assembly
from lf6gateway.services.front import Front
from lf6gateway.services.lag import Lag
from lf6gateway.services.ordered import ended
from lf6gateway.services.receive import Receiver
from lf6gateway.services.specimen_backlog import Left
from lf6gateway.services.surroundings import Lock, Surroundings, Workers, real
from lf6gateway.services.watch import Watch
from lf6gateway.values.settings import KEYS, Settings, value_of
from lf6gateway.values.stream import RECORD_STREAMS
from lf6gateway.values.traffic import Traffic
from lf6gateway.values.wire import Seen

T = TypeVar("T")
_log = Logger()

LIVE: Final = frozenset(
    {
        "auth.certificate_user",
        "auth.failure_delay",
        "auth.max_cached",
        "limits.address_bytes",
        "limits.address_requests",
        "limits.allow",
        "limits.daily_error_bytes",
        "limits.daily_specimen_bytes",
        "limits.daily_usage_bytes",
        "limits.deny",
        "limits.max_tracked",
        "limits.user_bytes",
        "limits.user_requests",
        "http.trusted_proxies",
        "http.forwarded_field",
        "admin.hosts",
        "admin.links",
        "admin.token",
        "admin.token_file",
        "alerts.disabled",
        "alerts.error_factor",
        "alerts.error_least",
        "alerts.format",
        "alerts.oldest_intervals",
        "alerts.settle",
        "alerts.spool_percent",
        "alerts.store_failing",
        "alerts.webhook",
        "aggregation.usage_interval",
        "aggregation.error_interval",
        "http.max_report",
        "http.max_batch",
        "http.max_specimen",
        "http.header_timeout",
        "http.body_timeout",
        "http.idle_timeout",
        "http.max_connections",
        "log.level",
        "shutdown.deadline",
        "spool.max_bytes",
        "spool.min_free_bytes",
        "spool.min_free_inodes",
        "spool.max_waiting_bytes",
        "idempotency.max_keys",
    }
)
"""The keys whose new values count at once when the configuration is read again; the others wait for a restart."""

GRACE_S: Final = 2.0
"""Seconds after the deadline of a stop in which what was given up may end."""


class GatewayService(Service):
    """Everything between an HTTP body and an object in the store.

    ``started`` fires when data are taken, or fails with what kept it from starting.

    :param settings: the whole configuration; each part is handed only the values it needs.
    :param reactor: the reactor to run in; the global one if left out.
    :param now_ns: the wall clock, nanoseconds since 1970.
    :param surroundings: all it stands on, in place of the two above.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reactor: Any = None,
        now_ns: Callable[[], int] = time.time_ns,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._surroundings = surroundings or real(reactor, now_ns)
        self.setName("lf6gateway")
        self.settings = self.at_start = settings
        """Those in force, and those that it began with: what waits for a restart is as it was at the start."""
        self.started: Deferred[None] = Deferred()
        self._reactor = self._surroundings.reactor
        self._now_ns = self._surroundings.now_ns
        self._fs = self._surroundings.fs
        self._lock: Lock | None = None
        self._assembly: Assembly | None = None
        self.access = Access(settings, self._surroundings)
        self.traffic = Traffic(self._reactor.seconds)
        """What came in by the public port, of all processes that serve it."""
        self.front: Front | None = None
        """Who serves that port, where somebody has said so."""
        self.page = ""
        """The URL of the operators' listener, where there is one."""
        self.lag = Lag(self._reactor)
        self.watch: Watch | None = None
        """Who gathers figures; there once ``started`` has fired, and not in a simulation."""
        self.drained: Callable[[], Coroutine[Any, Any, None]] = nothing
        """Called once all is shipped, or the time for it is over, before the parts are stopped."""
        self._starting: Deferred[None] | None = None
        self._background: list[Deferred[Any]] = []
        self._draining: Deferred[None] | None = None
        self._waited: list[Deferred[Any]] = []
        self._hurried = False
        self._up = False
        self._used_up = 0.0

    @property
    def assembly(self) -> Assembly:
        """The parts, for whoever looks at their figures; there only once ``started`` has fired."""
        if self._assembly is None:
            raise RuntimeError("the gateway has not started; wait for its `started`")
        return self._assembly

    @property
    def clock(self) -> Any:
        """The reactor it runs in."""
        return self._reactor

    @property
    def fs(self) -> FileSystem:
        """The file system that the spool is on."""
        return self._fs

    @property
    def receiver(self) -> Receiver:
        """The door for records and specimens; there only once ``started`` has fired."""
        return self.assembly.receiver

    def claim(self) -> None:
        """Take possession of the cache directory; blocks for a moment. ``startService`` does it if nobody has.

        :raises CacheInUse: another process has it; its pid is in the text.
        :raises OSError: the directory cannot be made or written.
        """
        if self._lock is None:
            lock = self._surroundings.lock(self.settings.cache_dir)
            lock.acquire()
            self._lock = lock

    def startService(self) -> None:
        """Begin to start; see ``started``."""
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addCallbacks(self.started.callback, self._not_started)

    def _not_started(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            self.started.errback(failure)

    async def _start(self) -> None:
        probe = self._surroundings.threads("start", 1)
        probe.startService()
        try:
            await probe(self.claim)
            quarantine = Quarantine(self._fs, os.path.join(self.settings.cache_dir, "quarantine"))
            new_id = self._surroundings.new_id
            cache_dir, host = self.settings.cache_dir, self.settings.hostname
            spool = await probe(lambda: spool_identity(self._fs, cache_dir, quarantine, new_id, host))
            await probe(lambda: put_back(self._fs, cache_dir))
            await self.access.start()
            self._assembly = parts = Assembly(self.settings, self._surroundings, spool=spool, quarantine=quarantine)
            await self._adopt(probe, parts)
            for stream in RECORD_STREAMS:
                parts.found(stream, await probe(lambda stream=stream: waiting_hours(self._fs, parts.root, stream)))  # type: ignore[misc]
            await probe(parts.retain.clean)
        finally:
            await probe.stopService()
        self._up = True
        for threads in parts.threads:
            threads.startService()
        parts.specimen_shipper.hold_backlog()
        parts.specimen_shipper.startService()
        for stream in RECORD_STREAMS:
            parts.hour_shippers[stream].startService()
            parts.seals[stream].startService()
        parts.retain.startService()
        parts.receiver.open()
        if self._surroundings.watched:
            self.lag.startService()
            self.watch = Watch(self, self._surroundings)
            self.watch.startService()
        self._in_background("reading the idempotency keys of the last hour", parts.load_keys())
        self._in_background("counting the specimens that wait", self._take_stock(parts))
        _log.info(
            "ready: cache_dir {cache_dir}, host {host}, spool {spool}",
            cache_dir=self.settings.cache_dir,
            host=self.settings.hostname,
            spool=spool,
        )

    async def _adopt(self, probe: Workers, parts: Assembly) -> None:
        """What the Go original left in the same directory comes first, once."""
        cache_dir = self.settings.cache_dir
        new_id = self._surroundings.new_id
        records = Adoption(self._fs, cache_dir, parts.root, quarantine=parts.quarantine, new_id=new_id)
        specimens = SpecimenAdoption(self._fs, cache_dir, parts.root, quarantine=parts.quarantine)
        counts = await probe(records.run), await probe(specimens.run)
        if any(counts):
            _log.info(
                "adopted what the Go gateway left in {cache_dir}: {records} reports, {specimens} specimens (their "
                "users "
                "are not known, it did not keep them: they go under the user unknown)",
                cache_dir=cache_dir,
                records=counts[0],
                specimens=counts[1],
            )

    async def _take_stock(self, parts: Assembly) -> None:
        """What lay there at the start counts towards the spool's limit; found behind, for it may be many files. None of
        them is shipped before, or its bytes would be given back without having been counted."""
        begun_ns = self._now_ns()
        try:
            stock = await parts.retain_threads(
                lambda: take_stock(self._fs, parts.root, begun_ns, parts.specimens.is_open)
            )
            parts.space.add(stock.bytes)
            parts.specimens_found = stock.count
        finally:
            parts.specimen_shipper.begin_backlog()
        if stock.unfinished:
            _log.info("removed {count} specimens that were still coming in at the last stop", count=stock.unfinished)

    def _in_background(self, what: str, work: Any) -> None:
        running = Deferred.fromCoroutine(work)
        self._background.append(running)
        running.addErrback(self._background_failed, what)

    def _background_failed(self, failure: Any, what: str) -> None:
        if not failure.check(CancelledError):
            _log.failure("{what} failed", failure, what=what)

    def hurry(self) -> None:
        """Let a stop that is under way, or is to come, end at once: what is not shipped stays in the spool."""
        self._hurried = True
        for work in list(self._waited):
            work.cancel()

    def shorten(self, seconds: float) -> None:
        """So much of the deadline of a stop was used up by what came before it."""
        self._used_up = seconds

    def take(self, seen: Seen) -> None:
        """A worker tells what it has seen."""
        self.traffic.add(seen.traffic)
        self.access.refused.update(seen.refused)
        self._surroundings.syncs.add(seen.syncs)
        self.lag.seconds.add(*seen.lag)

    def reconfigure(self, settings: Settings) -> None:
        """Take over what can be changed while running; the log names the keys that wait for a restart."""
        changed = [key for key in KEYS if value_of(settings, key) != value_of(self.settings, key)]
        waiting = [key for key in changed if key not in LIVE]
        self.settings = settings
        if self._assembly is not None:
            self._assembly.reconfigure(settings)
        if self.watch is not None:
            self.watch.reconfigure(settings)
        self.access.reconfigure(settings)
        if waiting:
            _log.warn("the configuration was read again; a restart is needed for: {keys}", keys=", ".join(waiting))
        now = ", ".join(sorted(set(changed) & LIVE)) or "nothing else"
        _log.info("the configuration was read again; changed now: {keys}", keys=now)

    def stopService(self) -> Deferred[None]:
        """Take nothing more, ship everything, and stop. Fires when that is done or ``shutdown.deadline`` is over."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._starting is not None and not self.started.called:
            # The cache directory is given back only once nothing of the start touches it any more.
            self._starting.cancel()
            await self._until(self.settings.shutdown.deadline.seconds, ended(self._starting))
        parts = self._assembly
        if parts is not None and self._up:
            parts.receiver.drain()
            begun = self._reactor.seconds()
            deadline = max(0.0, self.settings.shutdown.deadline.seconds - self._used_up)
            self._draining = Deferred.fromCoroutine(self._drain(parts))
            await self._until(deadline, self._draining)
            await self._until(GRACE_S, Deferred.fromCoroutine(self.drained()))
            for journal in parts.journals.values():
                journal.abandon()  # which changes nothing where there was time enough
            for work in self._background:
                work.cancel()
            for service in (
                parts.retain,
                *parts.seals.values(),
                *parts.hour_shippers.values(),
                parts.specimen_shipper,
            ):
                await self._until(GRACE_S, _stopped(service))
            for breaker in parts.breakers.values():
                breaker.stop()
            await self._until(GRACE_S, Deferred.fromCoroutine(parts.outlets.close()))
            specimens = await self._until(GRACE_S, parts.specimen_shipper.left())
            if self.watch is not None:
                await self._until(GRACE_S, _stopped(self.watch))
                await self.lag.stopService()
            for threads in parts.threads:
                await self._until(GRACE_S, _stopped(threads))
            self._tell_left(parts, specimens, self._reactor.seconds() - begun)
        await self._until(GRACE_S, Deferred.fromCoroutine(self.access.stop()))
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _drain(self, parts: Assembly) -> None:
        """Everything that was acknowledged goes to the stores."""
        await _every([journal.close() for journal in parts.journals.values()])
        await _every([service.seal_now() for service in parts.seals.values()])
        drains: list[Deferred[Any]] = [Deferred.fromCoroutine(one.drain()) for one in parts.hour_shippers.values()]
        drains.append(Deferred.fromCoroutine(_drain_specimens(parts)))
        await _every(drains)

    async def _until(self, seconds: float, work: Deferred[T]) -> T | None:
        """Wait for some of the stop, but not longer, and not at all in a hurry; an error of it stops nothing else from
        stopping."""
        self._waited.append(work)
        if self._hurried:
            work.cancel()
        try:
            return await work.addTimeout(seconds, self._reactor)
        except (CancelledError, TimeoutError):
            _log.debug("a part of the stop was given up after {seconds} s", seconds=seconds)
        except Exception:
            _log.failure("a part of the stop failed")
        finally:
            self._waited.remove(work)
        return None

    def _tell_left(self, parts: Assembly, specimens: Left | None, seconds: float) -> None:
        members = sum(shipper.waiting.members for shipper in parts.hour_shippers.values())
        size = parts.space.used
        unsealed = sum(service.waiting for service in parts.seals.values())
        if members or unsealed or specimens is None or specimens.count:
            _log.warn(
                "stopped after {seconds:.1f} s with {members} members, {unsealed} segments and {specimens} specimens "
                "not shipped; the spool holds {size} bytes, and the next start ships them",
                seconds=seconds,
                members=members,
                unsealed=unsealed,
                specimens="some" if specimens is None else specimens.count,
                size=size,
            )
        else:
            _log.info("stopped after {seconds:.1f} s; the spool holds {size} bytes", seconds=seconds, size=size)


async def nothing() -> None:
    """There is nothing to do."""


async def _drain_specimens(parts: Assembly) -> None:
    await parts.receiver.settled()
    await parts.specimen_shipper.drain()


async def _every(work: Sequence[Deferred[Any]]) -> None:
    """Wait for all of them; what fails keeps none of the others from its end, and is told.

    :raises CancelledError: it was cancelled, and all of them with it.
    """
    cancelled = None
    for succeeded, outcome in await DeferredList(work, consumeErrors=True):
        if not succeeded and outcome.check(CancelledError):
            cancelled = outcome.value
        elif not succeeded:
            _log.failure("a part of the stop failed", outcome)
    if cancelled is not None:
        raise cancelled


def _stopped(service: Any) -> Deferred[Any]:
    async def stop() -> None:
        waiting: Awaitable[Any] | None = service.stopService()
        if waiting is not None:
            await waiting

    return Deferred.fromCoroutine(stop())
