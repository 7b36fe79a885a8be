"""How late the reactor comes to what is due: by that everything else is late. Owns the measuring; must never do
anything about it."""

from __future__ import annotations

from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lf6gateway.values.histogram import SECONDS, Histogram

EVERY: Final = 0.5
"""Seconds between two measurements."""


class Lag(Service):
    """See the module.

    :param clock: tells and schedules in seconds.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.setName("lag")
        self.seconds = Histogram(SECONDS)
        """How late it was, of all processes."""
        self.last = 0.0
        """How late this process was when it was measured last, in seconds."""
        self._clock = clock
        self._due = 0.0
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._schedule()

    def stopService(self) -> Deferred[None]:
        """End."""
        super().stopService()
        if self._call is not None and self._call.active():
            self._call.cancel()
        return succeed(None)

    def _schedule(self) -> None:
        self._due = self._clock.seconds() + EVERY
        self._call = self._clock.callLater(EVERY, self._look)

    def _look(self) -> None:
        self.last = max(0.0, self._clock.seconds() - self._due)
        self.seconds.observe(self.last)
        self._schedule()
