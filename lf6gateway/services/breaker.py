"""Whether a store takes requests at the moment. Owns the pause that all who use one store share while it fails, and
what an operator is told of it; must never send a request, count a failure against an object, or give up."""

from __future__ import annotations

import random as _random
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lf6gateway.values.failure import OPERATOR, WHOLE_STORE, Kind, StoreError
from lf6gateway.values.retry import LONGEST_ASKED, RetryPolicy, pause

_log = Logger()

REMIND: Final = 600.0
"""Seconds between two reports of the same trouble while it lasts."""
_CALM: Final = 60.0
"""Seconds within which a new outage of the kind just reported goes without a line of its own."""
LEASE: Final = 120.0
"""Seconds after which a probe that told nothing no longer holds up the next."""


class Breaker:
    """One store's state: closed (all may go) or open (after a failure that tells about the whole store).

    While open, one attempt at a time passes, each after a pause with jitter; who waited longest goes first, so one
    object that always fails cannot hold the place. Whoever was let through tells how it went with ``success``,
    ``report`` or ``gave_up``. Call everything in the reactor's thread.

    :param clock: tells and schedules in seconds.
    :param policy: the bounds of the pauses.
    :param name: the store's name in the log.
    :param random: a number in [0, 1).
    :param failed: told of each failure that is reported.
    """

    def __init__(
        self,
        clock: IReactorTime,
        policy: RetryPolicy,
        name: str,
        *,
        random: Callable[[], float] = _random.random,
        failed: Callable[[StoreError], None] = lambda error: None,
    ) -> None:
        self._failed = failed
        self._clock = clock
        self._policy = policy
        self.name = name
        self._random = random
        self._waiting: deque[Deferred[None]] = deque()
        self._timer: IDelayedCall | None = None
        self._state = "closed"
        self._since = 0.0
        self._asked_until = 0.0
        self._told: dict[Kind, float] = {}
        self._told_now = False
        self.failures = 0
        """Failures in a row of those let through while open, the first one included."""
        self.recoveries = 0
        """How many times the store came back."""
        self.counts: Counter[Kind] = Counter()
        """Reported failures of every kind."""
        self.last_error: StoreError | None = None
        """What opened it or kept it open; ``None`` while closed."""

    @property
    def state(self) -> str:
        """``closed``; ``open`` (pausing); ``due`` (the next who asks may try); ``probing`` (one is trying)."""
        return self._state

    @property
    def open_for(self) -> float:
        """Seconds since it opened; 0 while closed."""
        return 0.0 if self._state == "closed" else self._clock.seconds() - self._since

    @property
    def next_attempt(self) -> float:
        """Seconds until the next attempt may go; 0 where one may go now."""
        if self._state != "open" or self._timer is None:
            return 0.0
        return max(0.0, self._timer.getTime() - self._clock.seconds())

    @property
    def waiting(self) -> int:
        """How many attempts wait."""
        return len(self._waiting)

    def wait(self) -> Deferred[None]:
        """Fires when an attempt may go. Cancelling it takes the attempt out of the queue."""
        if self._state == "closed":
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._forget)
        self._waiting.append(waiting)
        if self._state == "due":
            self._probe()
        return waiting

    def success(self) -> None:
        """A request got a good answer: the store works."""
        if self._state == "closed":
            return
        if self._state == "open" and self._clock.seconds() < self._asked_until:
            return  # one that was under way before; the store asked for a pause, and is granted it
        self._close()

    def report(self, error: StoreError) -> None:
        """A request failed. One that tells about the whole store opens or keeps open; another shows that it answers."""
        self.counts[error.kind] += 1
        self._failed(error)
        if error.kind not in WHOLE_STORE:
            self.success()
            return
        now = self._clock.seconds()
        if self._state == "closed":
            self._since = now
            self._told_now = False
            self.failures = 0
        elif self._state == "open":
            # One that was under way when it opened tells nothing new, except when the store asks for a longer pause.
            asked = now + min(error.retry_after or 0.0, LONGEST_ASKED)
            if asked > self._asked_until and self._timer is not None and asked > self._timer.getTime():
                self._asked_until = asked
                self._timer.reset(asked - now)
            return
        self.failures += 1
        self.last_error = error
        seconds = pause(error.kind, self.failures, self._policy, self._random, error.retry_after)
        self._asked_until = now + min(error.retry_after or 0.0, LONGEST_ASKED)
        self._state = "open"
        self._schedule(seconds, self._due)
        self._tell(error, seconds)

    def gave_up(self) -> None:
        """An attempt ended without telling anything of the store (it was cancelled): the next one may probe."""
        if self._state == "probing":
            self._due()

    def hurry(self) -> None:
        """End the pause now, for one attempt (before a stop, or when an operator changed something)."""
        if self._state == "open":
            self._due()

    def stop(self) -> None:
        """Let nobody wait any longer: each waiting Deferred is cancelled, no timer is left."""
        self._schedule(None, None)
        for waiting in list(self._waiting):
            waiting.cancel()
        if self._state != "closed":
            self._state = "due"

    def _forget(self, waiting: Deferred[None]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _schedule(self, seconds: float | None, what: Callable[[], None] | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if seconds is None or what is None else self._clock.callLater(seconds, what)

    def _due(self) -> None:
        self._schedule(None, None)
        self._state = "due"
        if self._waiting:
            self._probe()

    def _probe(self) -> None:
        self._state = "probing"
        self._schedule(LEASE, self._due)
        self._waiting.popleft().callback(None)

    def _close(self) -> None:
        self._schedule(None, None)
        self._state = "closed"
        self.recoveries += 1
        if self._told_now:
            _log.info(
                "store {store}: it works again after {seconds:.0f} s and {failures} failed attempts",
                store=self.name,
                seconds=self._clock.seconds() - self._since,
                failures=self.failures,
            )
        self.failures = 0
        self.last_error = None
        self._asked_until = 0.0
        # One who is let go may fail at once and open it again; the others then wait on.
        while self._waiting and self._state == "closed":
            self._waiting.popleft().callback(None)

    def _tell(self, error: StoreError, seconds: float) -> None:
        now = self._clock.seconds()
        last = self._told.get(error.kind)
        if last is not None and now - last < (REMIND if self._told_now else _CALM):
            return
        self._told[error.kind] = now
        self._told_now = True
        facts = {
            "store": self.name,
            "kind": error.kind.value,
            "what": error.what,
            "detail": error.detail,
            "seconds": seconds,
            "since": now - self._since,
        }
        if error.kind in OPERATOR:
            _log.error(
                "store {store}: {kind}: {what}: {detail}. What to do: {remedy}. Nothing is lost, data wait on disk; "
                "next attempt in {seconds:.0f} s, and so on until it works",
                remedy=error.remedy or "see what the store says",
                **facts,
            )
        else:
            _log.warn(
                "store {store}: {kind}: {what}: {detail}. Data wait on disk; next attempt in {seconds:.1f} s",
                **facts,
            )
