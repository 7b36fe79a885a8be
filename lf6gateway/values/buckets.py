"""Token buckets by name: each fills at a rate, and is emptied by what its owner does. Owns the levels, bounded whatever
names come; must never read a clock, nor know what is counted."""

from __future__ import annotations

from typing import Final

from lf6gateway.values.rate import Rate

_ROUNDING: Final = 1e-6


class Buckets:
    """A bucket for each name; one that was not seen yet, or was forgotten, is full.

    What turns out larger than it was thought may take a bucket below nothing: the debt is waited for by the next one.

    :param rate: how much a bucket holds, and in what time it fills.
    :param most: how many are remembered; those used longest ago are forgotten first.
    """

    def __init__(self, rate: Rate, most: int) -> None:
        self.rate = rate
        self.most = most
        self._speed = rate.amount / rate.window.seconds
        self._levels: dict[str, tuple[float, float]] = {}

    def level(self, name: str, now_s: float) -> float:
        """What is in a bucket now."""
        found = self._levels.get(name)
        if found is None:
            return float(self.rate.amount)
        level, at = found
        return min(float(self.rate.amount), level + max(0.0, now_s - at) * self._speed)

    def wait(self, name: str, amount: int, now_s: float) -> float:
        """How many seconds until an amount can be taken; 0: now. More than a bucket holds is let through a full one."""
        lacking = min(amount, self.rate.amount) - self.level(name, now_s)
        return 0.0 if lacking <= _ROUNDING else lacking / self._speed

    def take(self, name: str, amount: int, now_s: float) -> None:
        """Take an amount out of a bucket, or put one back that is negative."""
        level = min(float(self.rate.amount), self.level(name, now_s) - amount)
        self._levels.pop(name, None)
        while len(self._levels) >= self.most:
            del self._levels[next(iter(self._levels))]
        self._levels[name] = (level, now_s)

    def __len__(self) -> int:
        return len(self._levels)
