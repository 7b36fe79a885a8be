"""Ships the hours of one stream, several at a time. Owns which hour is next and when a failed one is tried again; what
is done for one hour is in ``services/hour.py``. Must never let an error end it, nor a backlog starve new data."""

from __future__ import annotations

import random as _random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.folders import HourFound, MemberFile
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.space import Space
from lf6gateway.services.breaker import Breaker
from lf6gateway.services.hour import Hour, State
from lf6gateway.stores.store import ObjectStore
from lf6gateway.values.failure import OPERATOR, WHOLE_STORE, Kind, StoreError
from lf6gateway.values.grown import Grown
from lf6gateway.values.retry import RetryPolicy, pause
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream

_log = Logger()

CLOSING_S: Final = 5.0
"""Seconds between two looks for hours that are over and shipped."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is not in the store for certain: members, and their bytes as far as known."""

    members: int
    bytes: int


class HourShipper(Service):
    """One stream's way into the store.

    :param clock: schedules; ``now_ns``: the wall clock.
    :param key_of: the key of an hour's object, by the hour and the hostname in it.
    :param host: the hostname of hours that begin now; one that was begun under another keeps that.
    :param unsealed: whether an hour has records that are in no member yet.
    :param hours_at_once: how many hours are written at the same time.
    :param random: a number in [0, 1).
    :param shipped: told of each write that is certain.
    """

    def __init__(
        self,
        *,
        stream: Stream,
        store: ObjectStore,
        fs: FileSystem,
        offload: Offload,
        clock: IReactorTime,
        now_ns: Callable[[], int],
        root: str,
        spool: str,
        key_of: Callable[[Slot, str], str],
        host: str,
        quarantine: Quarantine,
        space: Space,
        breaker: Breaker,
        unsealed: Callable[[Slot], bool],
        hours_at_once: int = 4,
        policy: RetryPolicy | None = None,
        random: Callable[[], float] = _random.random,
        shipped: Callable[[Grown], None] = lambda grown: None,
    ) -> None:
        self._shipped = shipped
        self.name = f"ship {stream.value}"
        self._stream = stream
        self._clock = clock
        self._now_ns = now_ns
        self._breaker = breaker
        self._space = space
        self._unsealed = unsealed
        self._at_once = hours_at_once
        self._policy = policy or RetryPolicy()
        self._random = random
        started_ns = now_ns()
        self._make = lambda slot: Hour(
            slot,
            stream=stream,
            key_of=lambda host: key_of(slot, host),
            host=host,
            root=root,
            spool=spool,
            store=store,
            fs=fs,
            offload=offload,
            quarantine=quarantine,
            space=space,
            started_ns=started_ns,
            grown=self._grown,
        )
        self._hours: dict[Slot, Hour] = {}
        self._due: set[Slot] = set()
        self._pauses: dict[Slot, IDelayedCall] = {}
        self._running: dict[Slot, Deferred[None]] = {}
        self._idle: list[Deferred[None]] = []
        self._newest_next = True
        self._draining = False
        self._hopeless = False  # nobody mends the store while a stop waits; the next start ships the rest
        self._loop = LoopingCall(self._look_for_closed)
        self._loop.clock = clock
        self.objects = 0
        self.records = 0
        self.bytes = 0
        self.retries = 0
        """Attempts at an hour behind one that failed."""
        self.found_there = 0
        """Records that an earlier attempt had stored, though its answer was lost."""
        self.on_grown: Callable[[Grown], object] = lambda grown: None
        """Told of each write that is certain, behind this service's own figures."""
        self.last_success_ns: int | None = None
        self.failures: Counter[str] = Counter()

    @property
    def waiting(self) -> Left:
        """What is not in the store for certain."""
        hours = self._hours.values()
        return Left(sum(hour.waiting for hour in hours), sum(hour.waiting_bytes for hour in hours))

    @property
    def oldest(self) -> Slot | None:
        """The oldest hour that waits."""
        return min((slot for slot, hour in self._hours.items() if hour.waiting), default=None)

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest record was received that is in a member and not in the store for certain, nanoseconds since
        1970, as far as that is known."""
        return min((ns for hour in self._hours.values() if (ns := hour.oldest_ns) is not None), default=None)

    def found(self, hours: Iterable[HourFound]) -> None:
        """Hours that a start found on disk."""
        for hour in hours:
            if hour.member_paths or hour.has_ledger or hour.segments:
                self._hour(hour.slot).found(hour.member_paths)
            if hour.member_paths:
                self._due.add(hour.slot)
        self._pump()

    def add(self, slot: Slot, file: MemberFile) -> None:
        """A member was sealed: make the hour's object grow."""
        self._hour(slot).add(file)
        self._mark(slot)
        self._pump()

    def startService(self) -> None:
        """Begin to ship."""
        super().startService()
        self._loop.start(CLOSING_S, now=False).addErrback(
            lambda failure: _log.failure("the look for finished hours ended, which it must not", failure=failure)
        )
        self._pump()

    def stopService(self) -> Deferred[None]:
        """Give up what is under way; the disk keeps what is not certain. Fires when nothing runs any more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        for paused in self._pauses.values():
            paused.cancel()
        self._pauses.clear()
        running = list(self._running.values())
        for work in running:
            work.cancel()
        return DeferredList(running).addCallback(lambda _: None)

    def hurry(self) -> None:
        """End every pause: what is sealed goes now, also what failed and waits to be tried again."""
        for slot, hour in self._hours.items():
            if hour.waiting:
                self._mark(slot)
        for slot, paused in list(self._pauses.items()):
            paused.cancel()
            del self._pauses[slot]
            self._mark(slot)
        self._breaker.hurry()
        self._pump()

    async def drain(self) -> Left:
        """Ship everything sealed so far; returns when it is done. Cancel it where the time is over.

        Failures go on to be retried meanwhile; one that only an operator can mend ends it."""
        self._draining = True
        self.hurry()
        while not self._hopeless and (self._running or self._due or self._pauses):
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle
        for slot in sorted(self._hours):
            if self._hours[slot].waiting:
                continue
            try:
                await self._settle(slot)
            except (StoreError, OSError) as error:
                self._count(error)
                _log.warn("{key}: the last look failed: {error}", key=self._hours[slot].key, error=str(error))
        return self.waiting

    def _hour(self, slot: Slot) -> Hour:
        hour = self._hours.get(slot)
        if hour is None:
            hour = self._hours[slot] = self._make(slot)
        return hour

    def _mark(self, slot: Slot) -> None:
        if slot not in self._pauses:
            self._due.add(slot)

    def _pump(self) -> None:
        while self.running and len(self._running) < self._at_once:
            ready = self._due.difference(self._running)
            if not ready:
                break
            # By turns, so that neither a backlog nor new data wait for the other's end.
            slot = max(ready) if self._newest_next else min(ready)
            self._newest_next = not self._newest_next
            self._due.discard(slot)
            work = Deferred.fromCoroutine(self._ship(slot))
            self._running[slot] = work
            work.addBoth(self._ended, slot)
        if not self._running and not self._due and not self._pauses:
            self._tell_idle()

    def _tell_idle(self) -> None:
        waiting, self._idle = self._idle, []
        for idle in waiting:
            idle.callback(None)

    def _ended(self, _: object, slot: Slot) -> None:
        self._running.pop(slot, None)
        self._clock.callLater(0, self._pump)

    async def _ship(self, slot: Slot) -> None:
        hour = self._hours[slot]
        passed = False
        try:
            await self._breaker.wait()
            passed = True
            self.retries += hour.failures > 0
            await hour.ship()
            self._breaker.success()
            passed = False
            hour.failures = 0
            if not self._draining:
                await self._settle_if_over(slot)
        except StoreError as error:
            passed = False
            self._breaker.report(error)
            self._again(hour, error)
        except CancelledError:
            if passed:
                self._breaker.gave_up()
        except Exception as error:
            if passed:
                self._breaker.gave_up()
            self._again(hour, error)

    def _again(self, hour: Hour, error: Exception) -> None:
        hour.failures += 1
        self._count(error)
        if isinstance(error, StoreError) and error.kind in WHOLE_STORE:
            self._due.add(hour.slot)  # the breaker makes it wait, with all others
            if self._draining and error.kind in OPERATOR:
                self._hopeless = True
                self._tell_idle()
            return
        kind = error.kind if isinstance(error, StoreError) else Kind.TRANSIENT
        seconds = pause(kind, hour.failures, self._policy, self._random)
        if kind is not Kind.CONFLICT:
            _log.error(
                "{key}: not shipped: {error}; it is kept on disk and tried again in {seconds:.1f} s",
                key=hour.key,
                error=str(error) or repr(error),
                seconds=seconds,
            )
        self._pauses[hour.slot] = self._clock.callLater(seconds, self._resume, hour.slot)

    def _resume(self, slot: Slot) -> None:
        self._pauses.pop(slot, None)
        self._due.add(slot)
        self._pump()

    def _count(self, error: Exception) -> None:
        self.failures[error.kind.value if isinstance(error, StoreError) else type(error).__name__] += 1

    async def _settle_if_over(self, slot: Slot) -> None:
        over = slot.over(self._now_ns()) and not self._unsealed(slot)
        if over or (self._space.crowded and self._hours[slot].holds):
            await self._settle(slot)

    async def _settle(self, slot: Slot) -> None:
        hour = self._hours.get(slot)
        if hour is None:
            return
        over = slot.over(self._now_ns()) and not self._unsealed(slot)
        if await hour.settle(over=over):
            if hour.state is State.CLOSED and not hour.waiting:
                del self._hours[slot]
        elif not self._draining:
            self._mark(slot)

    def _look_for_closed(self) -> None:
        now_ns = self._now_ns()
        for slot, hour in self._hours.items():
            if (
                slot not in self._running
                and slot not in self._due
                and slot not in self._pauses
                and not hour.waiting
                and ((slot.over(now_ns) and not self._unsealed(slot)) or (self._space.crowded and hour.holds))
            ):
                self._due.add(slot)
        self._pump()

    def _grown(self, grown: Grown) -> None:
        if grown.found:
            self._found(grown)
        else:
            self._written(grown)
        self.on_grown(grown)

    def _found(self, grown: Grown) -> None:
        self.found_there += grown.records
        _log.info(
            "{records} {stream} records are in {key} already, by a write whose answer was lost",
            records=grown.records,
            stream=self._stream.value,
            key=grown.key,
        )

    def _written(self, grown: Grown) -> None:
        self.objects += 1
        self.records += grown.records
        self.bytes += grown.bytes
        self.last_success_ns = self._now_ns()
        self._shipped(grown)
        _log.info(
            "shipped {records} {stream} records to {key} ({members} members, {bytes} bytes; it has {size} now)",
            stream=self._stream.value,
            key=grown.key,
            records=grown.records,
            members=grown.members,
            bytes=grown.bytes,
            size=grown.size,
        )
