"""Something done again and again that no error ends. Owns the loop; must never decide what an error means beyond saying
so: it is logged and counted, and the next round comes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()

REMIND: Final = 60.0
"""Seconds between two reports of a round that keeps failing."""


class Heartbeat:
    """Calls ``work`` at an interval; a round that takes longer delays the next, two never overlap.

    :param clock: tells and schedules in seconds.
    :param what: what a round does, for the log: «checking the disk's room».
    :param work: a round; may return a Deferred or be a coroutine function.
    :param interval: seconds.
    """

    def __init__(
        self,
        clock: IReactorTime,
        what: str,
        work: Callable[[], Deferred[Any] | Coroutine[Any, Any, Any] | None],
        interval: float,
    ) -> None:
        self._clock = clock
        self._what = what
        self._work = work
        self._interval = interval
        self._loop: LoopingCall | None = None
        self._round: Deferred[Any] | None = None
        self._ended: Deferred[Any] | None = None
        self._reported: float | None = None
        self.rounds = 0
        self.failures = 0
        """Rounds that failed."""
        self.failing = False
        """Whether the last round failed."""

    @property
    def interval(self) -> float:
        """Seconds between two rounds; a new value counts from now on."""
        return self._interval

    @interval.setter
    def interval(self, seconds: float) -> None:
        if seconds <= 0:
            raise ValueError(f"an interval must be positive, not {seconds} s")
        self._interval = seconds
        if self._loop is not None:
            self._loop.interval = seconds
            self._loop.reset()

    def start(self, *, now: bool) -> None:
        """Begin; ``now``: with a round at once."""
        if self._loop is not None:
            return
        loop = LoopingCall(self._once)
        loop.clock = self._clock
        self._loop = loop
        self._ended = loop.start(self._interval, now=now)

    def stop(self) -> Deferred[None]:
        """No further round; fires when the present one is over. Cancelling it cancels the round."""
        loop, self._loop = self._loop, None
        ended, self._ended = self._ended, None
        if loop is None or ended is None:
            return succeed(None)
        loop.stop()
        over: Deferred[None] = Deferred(self._give_up)
        ended.addBoth(lambda _: over.callback(None))
        return over

    def _give_up(self, _: Deferred[None]) -> None:
        if self._round is not None:
            self._round.cancel()

    def _once(self) -> Deferred[Any]:
        self.rounds += 1
        work = maybeDeferred(self._work)  # takes coroutines, too
        self._round = work
        return work.addCallbacks(self._went_well, self._went_wrong)

    def _went_well(self, _: object) -> None:
        self._round = None
        if self.failing:
            self.failing = False
            self._reported = None
            _log.info("{what}: works again", what=self._what)

    def _went_wrong(self, failure: Failure) -> None:
        self._round = None
        if failure.check(CancelledError):
            return
        self.failures += 1
        self.failing = True
        now = self._clock.seconds()
        if self._reported is None or now - self._reported >= REMIND:
            self._reported = now
            if failure.check(OSError):  # a disk that is full, read-only or away; where in our code says nothing
                _log.error(
                    "{what}: failed ({failures} times so far): {error}; it is tried again every {seconds} s",
                    error=str(failure.value),
                    what=self._what,
                    failures=self.failures,
                    seconds=self._interval,
                )
                return
            _log.failure(
                "{what}: failed ({failures} times so far); it is tried again every {seconds} s",
                failure=failure,
                what=self._what,
                failures=self.failures,
                seconds=self._interval,
            )
