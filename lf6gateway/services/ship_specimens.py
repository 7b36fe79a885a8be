"""Specimens go to the store one by one, several at a time, each until it is there. Owns which are under way and when
one that failed goes again; must never remove a file before the store has confirmed its object, nor give one up.

A failure of the whole store holds all of them back through its breaker, and is no specimen's fault. One that fails
while others succeed waits by itself, and holds up no other."""

from __future__ import annotations

import errno
import random as _random
from collections.abc import Callable
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.space import Space
from lf6gateway.disk.specimen_file import WITHDRAWN, Specimen, Withdrawn
from lf6gateway.disk.specimens import received_ns
from lf6gateway.services.breaker import Breaker
from lf6gateway.services.heartbeat import Heartbeat
from lf6gateway.services.send_specimen import PARTS_FROM, Names, Sent, send
from lf6gateway.services.specimen_backlog import Backlog, Left, SpecimenFiles
from lf6gateway.services.specimen_turns import Item, Turns
from lf6gateway.stores.store import ObjectStore
from lf6gateway.values.failure import OPERATOR, WHOLE_STORE, Kind, StoreError
from lf6gateway.values.retry import RetryPolicy, full_jitter, pause
from lf6gateway.values.stream import Stream

_log = Logger()

REMIND: Final = 600.0
"""Seconds between two reports that specimens wait after failures of their own."""
_TOLD_EACH: Final = 20
"""So many of them are reported one by one between two such reports."""
_READS: Final = 3
"""After so many errors of reading, a file goes to quarantine."""
LOOK_FROM: Final = 1024 * 1024
"""From this size on, in bytes, it is worth a request to ask whether an earlier process sent it."""


class SpecimenShipper(Service):
    """Ships specimens.

    :param offload: runs what touches files; as many threads as are to be read at once.
    :param now_ns: the wall clock, nanoseconds since 1970.
    :param breaker: of the store, shared with others that use it.
    :param at_once: how many are under way at the same time.
    :param retry: the pauses of one that fails by itself.
    :param space: told what was removed from the spool, if given.
    :param sent: told key and size of each that is in the store for certain.
    """

    def __init__(
        self,
        *,
        store: ObjectStore,
        files: SpecimenFiles,
        names: Names,
        quarantine: Quarantine,
        offload: Offload,
        clock: IReactorTime,
        now_ns: Callable[[], int],
        breaker: Breaker,
        retry: RetryPolicy,
        at_once: int = 8,
        space: Space | None = None,
        turns: Turns | None = None,
        random: Callable[[], float] = _random.random,
        sent: Callable[[str, int], None] = lambda key, size: None,
    ) -> None:
        self._tell_sent = sent
        self.setName("ship-specimens")
        self._store = store
        self._files = files
        self._names = names
        self._quarantine = quarantine
        self._offload = offload
        self._clock = clock
        self._now_ns = now_ns
        self._breaker = breaker
        self._retry = retry
        self._at_once = at_once
        self._space = space
        self._turns = turns if turns is not None else Turns()
        self._random = random
        self._active = False
        self._pumping = False
        self._began_ns = 0
        self._under_way: dict[str, Deferred[None]] = {}
        self._backlog = Backlog(files, offload, clock, retry, random)
        self._wake: IDelayedCall | None = None
        self._drains: list[Deferred[None]] = []
        self._told = 0
        self._remind = Heartbeat(clock, "reporting specimens that wait", self._reminder, REMIND)
        self.shipped = 0
        """Specimens confirmed and removed from disk."""
        self.shipped_bytes = 0
        """Their bytes."""
        self.found_there = 0
        """Those of them that an earlier attempt had stored."""
        self.on_shipped: Callable[[Specimen, Sent], object] = lambda specimen, sent: None
        """Told of each of them, behind this service's own figures."""
        self.failures = 0
        """Attempts that failed by a specimen's own fault, or for a reason on this machine."""
        self.set_aside = 0
        """Damaged ones that went to quarantine."""
        self.retries = 0
        """Attempts behind one that failed."""
        self.local_failures = 0
        """Failures that were this machine's: its disk, mostly."""
        self.last_success_ns: int | None = None
        """When one was shipped last, nanoseconds since 1970."""

    @property
    def held(self) -> int:
        """How many specimens are known in memory; bounded."""
        return self._turns.held

    @property
    def under_way(self) -> int:
        """How many are being shipped."""
        return self._turns.busy

    @property
    def parked(self) -> int:
        """How many wait after a failure of their own."""
        return self._turns.parked

    def found(self, path: str, size: int = 0) -> None:
        """A specimen of ``size`` bytes is on stable storage: ship it soon."""
        if self._active:
            self._turns.found(path)
            self._pump()

    def hold_backlog(self) -> None:
        """Leave what is in the folder alone until ``begin_backlog``; new ones go. To be called before the start."""
        self._backlog.held = True

    def begin_backlog(self) -> None:
        """Ship what is in the folder too."""
        self._backlog.held = False
        self._pump()

    def startService(self) -> None:
        """Begin with what is in the folder."""
        super().startService()
        self._active = True
        self._began_ns = self._now_ns()
        self._backlog.walk_at(self._clock.seconds())
        self._remind.start(now=False)
        self._pump()

    def hurry(self) -> None:
        """End every pause: what failed and waits to be tried again goes now."""
        if self._active:
            self._end_pauses()
            self._pump()

    def _end_pauses(self) -> None:
        self._breaker.hurry()
        self._turns.all_due()
        if self._turns.missed_parked:
            self._backlog.walk_at(self._clock.seconds())

    def drain(self) -> Deferred[Left]:
        """Ship all there is, those that wait after a failure once more, and tell what is left then. While the store
        does not answer this waits; where only an operator can mend it, it does not. ``left`` tells after a cancel."""
        return Deferred.fromCoroutine(self._drain())

    def left(self) -> Deferred[Left]:
        """What waits in the folder."""
        return self._backlog.count()

    def stopService(self) -> Deferred[None]:
        """Break off what is under way; fires when nothing runs any more. What was not confirmed stays in the folder."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _drain(self) -> Left:
        if self._active:
            self._backlog.held = False
            self._end_pauses()
            done: Deferred[None] = Deferred(self._drains.remove)
            self._drains.append(done)
            self._pump()
            await done
        return await self.left()

    async def _stop(self) -> None:
        self._active = False
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        running = list(self._under_way.values())
        for each in running:
            each.cancel()
        for each in [*running, self._remind.stop()]:
            await each
        await self._backlog.stop()
        for done in self._drains[:]:
            done.cancel()

    def _pump(self) -> None:
        """Begin whatever may begin; one run at a time, for what it begins may end at once."""
        if not self._active or self._pumping:
            return
        self._pumping = True
        try:
            while True:
                loaded = self._load_page()
                item = self._turns.take(self._clock.seconds()) if self._turns.busy < self._at_once else None
                if item is not None:
                    work = Deferred.fromCoroutine(self._ship(item))
                    self._under_way[item.path] = work
                    work.addBoth(self._ended, item)
                elif not loaded:
                    break
        finally:
            self._pumping = False
        self._sleep()
        if self._idle():
            self._drained()

    def _idle(self) -> bool:
        """Whether nothing can be done before some moment in the future."""
        return not self._backlog.busy and not self._turns.busy and self._turns.page_empty

    def _drained(self) -> None:
        drains, self._drains = self._drains, []
        for done in drains:
            done.callback(None)

    def _sleep(self) -> None:
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        moments = [moment for moment in (self._turns.next_due, self._backlog.due) if moment is not None]
        now = self._clock.seconds()
        later = [moment for moment in moments if moment > now]
        self._wake = self._clock.callLater(min(later) - now, self._pump) if later else None

    def _load_page(self) -> bool:
        """See to it that there is a page of the backlog, or one under way; whether it came at once."""
        if not self._turns.page_empty or not self._backlog.busy:
            return False
        if self._backlog.at_its_start:
            self._turns.missed = self._turns.missed_parked = False
        return self._backlog.load(self._loaded)

    def _loaded(self, paths: list[str]) -> None:
        self._turns.page(paths)
        self._walk_again()
        self._pump()

    def _walk_again(self) -> None:
        """Walk over the folder once more where something in it is not in memory."""
        if self._turns.missed:
            self._backlog.walk_at(self._clock.seconds())
        elif self._turns.missed_parked:
            self._backlog.walk_at(self._clock.seconds() + self._retry.cap)

    def _ended(self, outcome: Failure | None, item: Item) -> None:
        self._under_way.pop(item.path, None)
        if outcome is not None:
            if outcome.check(CancelledError):
                self._turns.ended(item)
                return
            item.unclear = True
            if outcome.check(OSError):
                self._trouble(item, f"it could not be read while it was sent: {outcome.value}")
            else:
                _log.failure("{path}: an unforeseen error; it is tried again", outcome, path=item.path)
                self._put_off(item, full_jitter(item.failures + 1, self._retry, self._random))
        self._walk_again()
        self._pump()

    async def _ship(self, item: Item) -> None:
        specimen = await self._read(item)
        if specimen is None:
            return
        sent = await self._send(item, specimen)
        if sent is None:
            return
        try:
            await self._offload(lambda: self._files.finish(item.path, specimen.head.key is not None))
        except FileNotFoundError:
            pass  # what was to be removed is gone
        except Damaged as damage:
            await self._set_aside(item, f"it is stored as {sent.key}, and {damage.why}")
            return
        except OSError as error:
            item.unclear = True
            self._trouble(item, f"it is stored as {sent.key}, but its file could not be removed: {error}")
            return
        self._turns.ended(item)
        if self._space is not None:
            self._space.remove(specimen.size)
        self.shipped += 1
        self.shipped_bytes += specimen.length
        self.found_there += sent.found
        self.last_success_ns = self._now_ns()
        self._tell_sent(sent.key, specimen.length)
        _log.info(
            "shipped {key} ({size} bytes)",
            key=sent.key,
            size=specimen.length,
            stream=Stream.SPECIMEN.value,
            user=specimen.head.user,
            id=specimen.head.id,
            found=sent.found,
        )
        self.on_shipped(specimen, sent)

    async def _read(self, item: Item) -> Specimen | None:
        try:
            return await self._offload(lambda: self._files.read(item.path))
        except FileNotFoundError as gone:
            # A walk names files that were shipped while it went on, and those of specimens that were refused.
            self._turns.ended(item)
            if isinstance(gone, Withdrawn):
                self._withdrawn(item, gone)
        except Damaged as damage:
            await self._set_aside(item, damage.why)
        except OSError as error:
            if error.errno == errno.EIO and item.failures + 1 >= _READS:
                await self._set_aside(item, f"it cannot be read: {error}")
            else:
                self._trouble(item, f"it cannot be read: {error}")
        return None

    def _withdrawn(self, item: Item, gone: Withdrawn) -> None:
        """A specimen that was refused: its bytes were given back then, but for those that the start counted."""
        counted = received_ns(item.path) < self._began_ns and gone.bytes > len(WITHDRAWN)
        if counted and self._space is not None:
            self._space.remove(gone.bytes, drained=False)

    async def _set_aside(self, item: Item, why: str) -> None:
        try:
            size = await self._offload(lambda: self._quarantine.take(item.path, Stream.SPECIMEN.value, why))
        except FileNotFoundError:
            self._turns.ended(item)
        except OSError as error:
            self._trouble(item, f"it is damaged ({why}) and could not be set aside: {error}")
        else:
            self._turns.ended(item)
            self.set_aside += 1
            if self._space is not None:
                self._space.remove(size, drained=False)

    async def _send(self, item: Item, specimen: Specimen) -> Sent | None:
        """Try until it is stored; ``None``: it is put off, by a fault of its own."""
        size = specimen.length
        again = item.failures > 0
        while True:
            await self._breaker.wait()
            self.retries += again
            again = True
            look_first = item.unclear or (not item.fresh and size >= LOOK_FROM)
            parts_may_be_left = not item.fresh and size >= PARTS_FROM
            try:
                sent = await send(
                    self._store,
                    specimen,
                    self._names,
                    look_first=look_first,
                    abort_before_ns=self._began_ns if parts_may_be_left else None,
                )
            except StoreError as error:
                item.unclear = item.unclear or error.applied is not False
                if not self._failed(item, error):
                    return None
            except BaseException:
                self._breaker.gave_up()
                raise
            else:
                self._breaker.success()
                return sent

    def _failed(self, item: Item, error: StoreError) -> bool:
        """Whether it was the store's fault, and the specimen goes again as soon as the store works."""
        before, item.recoveries = item.recoveries, self._breaker.recoveries
        self._breaker.report(error)
        if error.kind in WHOLE_STORE:
            if error.kind in OPERATOR and self._drains:
                self._drained()
            if before is None or before == self._breaker.recoveries:
                return True
            # The store worked in between: others were served, and this one was not.
        seconds = pause(error.kind, item.failures + 1, self._retry, self._random, error.retry_after)
        self._trouble(item, str(error), seconds, kind=error.kind)
        return False

    def _trouble(self, item: Item, why: str, seconds: float | None = None, kind: Kind | None = None) -> None:
        """Something about this one specimen failed: say so, and put it off."""
        self.local_failures += kind is None
        if seconds is None:
            seconds = full_jitter(item.failures + 1, self._retry, self._random)
        self._told += 1
        if self._told <= _TOLD_EACH and (kind not in OPERATOR or item.failures == 0):
            _log.error(
                "specimen {path}: {why}. It is kept, and tried again in {seconds:.1f} s; no other waits for it",
                path=item.path,
                why=why,
                seconds=seconds,
            )
        self._put_off(item, seconds)

    def _put_off(self, item: Item, seconds: float) -> None:
        item.failures += 1
        self.failures += 1
        self._turns.park(item, self._clock.seconds() + seconds)

    def _reminder(self) -> None:
        if self._turns.parked:
            _log.warn(
                "{count} specimens or more wait after failures of their own ({times} in the last ten minutes); all are "
                "kept and tried again",
                count=self._turns.parked,
                times=self._told,
            )
        self._told = 0
