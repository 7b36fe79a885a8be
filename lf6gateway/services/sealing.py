"""When segments are sealed: each interval, when an hour is over, and all of them at a stop. Owns the queue of closed
segments of one stream; must never seal two of an hour out of order, nor let one that fails hold up another hour."""

from __future__ import annotations

import random as _random
from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.disk.folders import MemberFile
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.seal import Sealed
from lf6gateway.disk.segment import Segment
from lf6gateway.disk.space import Space
from lf6gateway.services.heartbeat import Heartbeat
from lf6gateway.values.retry import RetryPolicy, full_jitter
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream

_log = Logger()

LOOK: Final = 60.0
"""The longest time in seconds between two looks at the hour: the wall clock can be set."""
_SOON: Final = 1.0
"""Seconds until another look while data of an hour that is over still come in."""
RETRY: Final = RetryPolicy(base=1.0, cap=60.0)
"""The pauses after a segment could not be sealed: the disk is the machine's own, so they stay short."""
_SALVAGE: Final = 3
"""After so many failures what the disk cannot read of a segment is set aside, and the rest of it sealed."""


class JournalLike(Protocol):
    """What sealing needs of a journal (``disk/journal.py``)."""

    @property
    def open_slot(self) -> Slot | None:
        """The hour of the segment being written."""

    def has_waiting(self, slot: Slot) -> bool:
        """Whether anything of an hour is not yet in a closed segment."""

    def rotate(self) -> Deferred[None]:
        """Close the present segment."""


@dataclass(slots=True)
class _Hour:
    """The closed segments of one hour, in the order of their ordinals, and since when the first of them fails."""

    segments: list[Segment] = field(default_factory=list)
    failures: int = 0
    due: float = 0.0


class SealService(Service):
    """Seals the segments of one stream, one at a time, hours in turn, within an hour in the order of ordinals.

    :param journal: whose segments they are; its ``closed`` is to be ``self.closed``. It can be given later, as
        ``journal``, before the start.
    :param offload: runs ``seal`` where it may block.
    :param seal: seals one segment (``disk/seal.py``); safe to repeat after an error. ``True``: it is to set aside what
        the disk cannot read.
    :param now_ns: the wall clock, nanoseconds since 1970.
    :param interval_s: seconds between two rotations of the journal.
    :param on_sealed: told of each new member, in order within its hour.
    :param space: kept up with what a seal frees and takes, if given.
    """

    def __init__(
        self,
        *,
        stream: Stream,
        journal: JournalLike | None,
        offload: Offload,
        seal: Callable[[Segment, bool], Sealed],
        clock: IReactorTime,
        now_ns: Callable[[], int],
        interval_s: float,
        on_sealed: Callable[[Slot, MemberFile], None],
        space: Space | None = None,
        retry: RetryPolicy = RETRY,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self.setName(f"seal-{stream.value}")
        self.stream = stream
        self.journal = journal
        self._offload = offload
        self._seal = seal
        self._clock = clock
        self._now_ns = now_ns
        self._on_sealed = on_sealed
        self._space = space
        self._retry = retry
        self._random = random
        self._hours: dict[Slot, _Hour] = {}  # in the order of their turns
        self._sealing: Segment | None = None
        self._active = False
        self._wake: IDelayedCall | None = None
        self._turn: IDelayedCall | None = None
        self._turning = False
        self._beat = Heartbeat(clock, f"closing the segment of {stream.value}", self._rotate, interval_s)
        self._waiters: dict[Deferred[None], set[Slot]] = {}
        self._halted: list[Deferred[None]] = []
        self.sealed = 0
        """Members made."""
        self.records = 0
        """Records in them."""
        self.failures = 0
        """Attempts that failed."""
        self.torn_bytes = 0
        """Bytes of unfinished writes that were cut off."""
        self.damaged = 0
        """Byte ranges that went into quarantine."""
        self.vanished = 0
        """Segments that somebody else removed."""

    @property
    def interval_s(self) -> float:
        """Seconds between two rotations; a new value counts at once."""
        return self._beat.interval

    @interval_s.setter
    def interval_s(self, seconds: float) -> None:
        self._beat.interval = seconds

    @property
    def waiting(self) -> int:
        """Closed segments that are not sealed yet."""
        return sum(len(hour.segments) for hour in self._hours.values())

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest record of a closed segment was received, nanoseconds since 1970, as far as that is known."""
        return min((one.oldest_ns for hour in self._hours.values() for one in hour.segments), default=None)

    @property
    def failing(self) -> bool:
        """Whether a segment could not be sealed at the last attempt, or the loop that closes them fails."""
        return self._beat.failing or any(hour.failures for hour in self._hours.values())

    def recovered(self, segments: list[Segment]) -> None:
        """Segments that a start found on disk; call it before data come in, so that they keep their place."""
        for segment in segments:
            self._enqueue(segment)
        self._go_on()

    def closed(self, segment: Segment) -> None:
        """The journal will not write to this segment any more."""
        self._enqueue(segment)
        self._go_on()

    def unsealed(self, slot: Slot) -> bool:
        """Whether anything of an hour is not in a member yet."""
        return slot in self._hours or (self.journal is not None and self.journal.has_waiting(slot))

    def startService(self) -> None:
        """Begin to seal."""
        super().startService()
        self._active = True
        self._beat.start(now=False)
        self._look()
        self._go_on()

    def seal_now(self) -> Deferred[int]:
        """Close the open segment and seal all there is, also what waits after an error. Fires when each hour is sealed
        or has failed once more, with the number of segments still unsealed."""
        return Deferred.fromCoroutine(self._seal_now())

    def when_sealed(self, slots: Iterable[Slot]) -> Deferred[None]:
        """Fires when what is closed of these hours is sealed, or has failed once more."""
        waited = set(slots).intersection(self._hours)
        if not waited:
            return succeed(None)
        done: Deferred[None] = Deferred(self._forget)
        self._waiters[done] = waited
        return done

    def stopService(self) -> Deferred[None]:
        """Seal all there is (``seal_now``) and end; fires when nothing runs any more. Cancelling it seals nothing
        further: it then waits only for the segment under way."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _seal_now(self) -> int:
        await self._rotate()
        if self._hours:
            for hour in self._hours.values():
                hour.due = 0.0
            done: Deferred[None] = Deferred(self._forget)
            self._waiters[done] = set(self._hours)
            self._go_on()
            await done
        return self.waiting

    async def _stop(self) -> None:
        if self._active:
            try:
                await self._beat.stop()
                left = await self.seal_now()
            except CancelledError:
                left = self.waiting
            if left:
                _log.warn(
                    "{stream}: {left} segments are not sealed; the next start takes them up",
                    stream=self.stream.value,
                    left=left,
                )
        self._active = False
        for call in (self._wake, self._turn):
            if call is not None and call.active():
                call.cancel()
        if self._sealing is not None:
            halted: Deferred[None] = Deferred(self._halted.remove)
            self._halted.append(halted)
            await halted

    async def _rotate(self) -> None:
        if self.journal is not None:
            await self.journal.rotate()

    def _look(self) -> None:
        """Close the segment of an hour that is over, whatever the interval; look again at the hour's turn."""
        if not self._active or self.journal is None:
            return
        now = self._now_ns()
        present = Slot.at(now)
        seconds = min(LOOK, (present.end_ns - now) / 1e9 + 0.001)
        slot = self.journal.open_slot
        late = (slot is not None and slot.over(now)) or self.journal.has_waiting(Slot(present.number - 1))
        if late:
            seconds = min(seconds, _SOON)
            if not self._turning:
                self._turning = True
                Deferred.fromCoroutine(self._rotate()).addBoth(self._turned)
        self._turn = self._clock.callLater(seconds, self._look)

    def _turned(self, outcome: object) -> None:
        self._turning = False
        if isinstance(outcome, Failure):
            self.failures += 1
            _log.failure(
                "{stream}: the segment of an hour that is over could not be closed; tried again in a moment",
                outcome,
                stream=self.stream.value,
            )

    def _enqueue(self, segment: Segment) -> None:
        hour = self._hours.setdefault(segment.slot, _Hour())
        insort(hour.segments, segment, key=lambda each: each.ordinal)

    def _go_on(self) -> None:
        """Seal until nothing is due; one such run at a time."""
        if self._active and self._sealing is None:
            Deferred.fromCoroutine(self._run()).addErrback(self._broken)

    async def _run(self) -> None:
        while self._active and self._sealing is None:
            now = self._clock.seconds()
            slot = next((slot for slot, hour in self._hours.items() if hour.due <= now), None)
            if slot is None:
                break
            segment = self._hours[slot].segments[0]
            salvage = self._hours[slot].failures >= _SALVAGE
            self._sealing = segment
            try:
                sealed = await self._offload(lambda segment=segment, salvage=salvage: self._seal(segment, salvage))  # type: ignore[misc]
            except Exception as error:
                self._failed(segment, error)
            else:
                self._succeeded(segment, sealed)
            finally:
                self._sealing = None
        self._sleep()
        self._tell_halted()

    def _tell_halted(self) -> None:
        if not self._active and self._sealing is None:
            halted, self._halted = self._halted, []
            for each in halted:
                each.callback(None)

    def _broken(self, failure: Failure) -> None:
        self.failures += 1
        _log.failure("{stream}: sealing met an error of its own; it goes on", failure, stream=self.stream.value)
        self._tell_halted()
        if self._active:
            self._wake_in(self._retry.cap)

    def _succeeded(self, segment: Segment, sealed: Sealed) -> None:
        self.torn_bytes += sealed.torn_bytes
        self.damaged += sealed.damaged
        self.records += sealed.records
        if self._space is not None:
            self._space.add(sealed.used_bytes)
            self._space.remove(sealed.freed_bytes, drained=False)
        hour = self._dequeue(segment)
        if hour is not None:
            hour.failures = 0
        if sealed.member_file is not None:
            self.sealed += 1
            _log.debug(
                "sealed {path}: {records} records, {size} bytes packed",
                path=segment.path,
                records=sealed.records,
                size=sealed.member_file.member.packed_bytes,
            )
            try:
                self._on_sealed(segment.slot, sealed.member_file)
            except Exception:
                self.failures += 1
                _log.failure(
                    "{path} is sealed, but could not be handed on to be shipped; the next start finds it",
                    path=sealed.member_file.path,
                )
        self._settle(segment.slot, failed=False)

    def _failed(self, segment: Segment, error: Exception) -> None:
        self.failures += 1
        if isinstance(error, FileNotFoundError) and error.filename == segment.path:
            self.vanished += 1
            self._dequeue(segment)
            _log.error(
                "{path} is gone, though nothing here removed it; what it held cannot be shipped. Find out who deletes "
                "files under the cache directory",
                path=segment.path,
            )
            self._settle(segment.slot, failed=False)
            return
        hour = self._hours[segment.slot]
        hour.failures += 1
        seconds = full_jitter(hour.failures, self._retry, self._random)
        hour.due = self._clock.seconds() + seconds
        text = (
            "{path} could not be sealed (failure {failures}); it is kept, and tried again in {seconds:.1f} s: {error}"
        )
        facts = {"path": segment.path, "failures": hour.failures, "seconds": seconds, "error": str(error)}
        if isinstance(error, OSError):
            _log.error(text, **facts)
        else:
            _log.failure(text, **facts)  # type: ignore[arg-type]
        self._settle(segment.slot, failed=True)

    def _dequeue(self, segment: Segment) -> _Hour | None:
        """Take a segment out; its hour, moved behind the others, if it has more."""
        hour = self._hours.pop(segment.slot)
        hour.segments.remove(segment)
        if not hour.segments:
            return None
        self._hours[segment.slot] = hour
        return hour

    def _settle(self, slot: Slot, *, failed: bool) -> None:
        """Tell those who wait in ``seal_now`` that an hour is sealed, or has failed once more."""
        if not failed and slot in self._hours:
            return
        for done, slots in list(self._waiters.items()):
            slots.discard(slot)
            if not slots and self._waiters.pop(done, None) is not None:
                done.callback(None)

    def _forget(self, done: Deferred[None]) -> None:
        self._waiters.pop(done, None)

    def _sleep(self) -> None:
        if self._active and self._hours:
            earliest = min(hour.due for hour in self._hours.values())
            self._wake_in(max(0.0, earliest - self._clock.seconds()))

    def _wake_in(self, seconds: float) -> None:
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        self._wake = self._clock.callLater(seconds, self._go_on)
