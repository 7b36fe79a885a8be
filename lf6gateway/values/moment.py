"""The moments at which one process received what it was sent. Owns their order; must never read a clock but the one
that it is given."""

from __future__ import annotations

from collections.abc import Callable


class Moments:
    """Gives out moments of reception, each later than the last, also where the clock is set back.

    :param now_ns: the time in nanoseconds since 1970.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self.last_ns = 0
        """The moment given out last."""

    def next(self) -> int:
        """The moment of what has just come in, in nanoseconds since 1970."""
        self.last_ns = max(self._now_ns(), self.last_ns + 1)
        return self.last_ns
