"""The places for specimens that come in, each an open file. Owns their count, and who gives way where there is no more
of them: those so slow that they keep others out; must never look at a body."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from attrs import define, field

PATIENCE: Final = 0.5
"""Seconds that a body has, whatever its pace."""
BRISK: Final = 64 * 1024
"""Bytes a second; whoever sends a body faster than this gives way to nobody."""


class Holder(Protocol):
    """A body that comes in."""

    def pace(self, now: float) -> float | None:
        """Bytes a second since it began; ``None``: it is not the sender who is slow, or it holds nothing."""

    def give_way(self) -> None:
        """Let go of everything, and tell the sender why."""


def pace(begun: float, now: float, size: int) -> float | None:
    """The pace of a body that began at a moment; ``None`` while that is too short ago to tell."""
    return size / (now - begun) if now - begun >= PATIENCE else None


@define
class Room:
    """How much is held at this moment, and by whom.

    :param now: seconds, of a clock that only goes forward.
    """

    now: Callable[[], float] = time.monotonic
    held: int = 0
    _holders: dict[int, Holder] = field(factory=dict, init=False)

    def enter(self, holder: Holder) -> None:
        """A body begins to come in."""
        self._holders[id(holder)] = holder

    def leave(self, holder: Holder) -> None:
        """It has come, or comes no more."""
        self._holders.pop(id(holder), None)

    def take(self, more: int, limit: int) -> bool:
        """Whether there is room for so much more; those that are slow give way. Where nothing is held there is."""
        if self._fits(more, limit):
            return True
        now = self.now()
        slow = [(pace, holder) for holder in self._holders.values() if (pace := holder.pace(now)) is not None]
        for found, holder in sorted(slow, key=lambda pair: pair[0]):
            if found >= BRISK or self._fits(more, limit):
                break
            holder.give_way()
        return self._fits(more, limit)

    def _fits(self, more: int, limit: int) -> bool:
        return not self.held or self.held + more <= limit
