"""A moment by which something must have happened, moved often and seldom reached. Owns one delayed call, which it
leaves alone while the moment moves later; must never know what happens at it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """Calls ``reached`` when a moment has come. Moving it is cheap: a float is written."""

    def __init__(self, clock: IReactorTime, reached: Callable[[], None]) -> None:
        self._clock = clock
        self._reached = reached
        self._due: float | None = None
        self._call: IDelayedCall | None = None

    def set(self, seconds: float) -> None:
        """It is reached ``seconds`` from now, unless moved."""
        self._due = due = self._clock.seconds() + seconds
        if self._call is None:
            self._call = self._clock.callLater(seconds, self._look)
        elif self._call.getTime() > due:
            self._call.reset(seconds)

    def clear(self) -> None:
        """It is not reached, until set again."""
        self._due = None

    def stop(self) -> None:
        """Leave nothing behind in the reactor."""
        self._due = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        if self._due is None:
            return
        left = self._due - self._clock.seconds()
        if left > 0:
            self._call = self._clock.callLater(left, self._look)
        else:
            self._due = None
            self._reached()
