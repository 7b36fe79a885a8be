"""A distribution kept as counts by bounds, as Prometheus has it. Owns the counting, the adding of one to another and
the reading of a quantile; must never know what is measured."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds for how long something takes, in seconds: from one fsync of a good disk to the deadline of a stop."""
AMOUNTS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 5_000.0)
"""Bounds for how many there are of something."""
SIZES: Final = tuple(float(1 << power) for power in range(8, 25, 2))
"""Bounds for sizes in bytes: from 256 B to 16 MiB."""


class Histogram:
    """See the module.

    :param bounds: upper bounds, each included, rising; what is beyond the last one counts as well.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def observe(self, value: float) -> None:
        """One more value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add(self, counts: Sequence[int], total: float) -> None:
        """What another one with the same bounds has counted.

        :raises ValueError: its bounds are others.
        """
        if len(counts) != len(self.counts):
            raise ValueError(f"{len(counts)} counts do not fit {len(self.counts)}")
        self.counts = [one + other for one, other in zip(self.counts, counts, strict=True)]
        self.sum += total

    def take(self) -> tuple[list[int], float]:
        """What was counted since the last call, for ``add``; it is counted anew from nothing."""
        taken = self.counts, self.sum
        self.counts, self.sum = [0] * len(self.counts), 0.0
        return taken

    def quantile(self, part: float) -> float | None:
        """The value below which that part of all lies, see ``quantile``."""
        return quantile(self.bounds, self.counts, part)

    def cumulative(self) -> list[tuple[float, int]]:
        """Each bound, the last of them infinite, with how many values were not above it."""
        made, before = [], 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            before += count
            made.append((bound, before))
        return made


def quantile(bounds: Sequence[float], counts: Sequence[int], part: float) -> float | None:
    """The value below which a part (0 to 1) of all lies, as if they lay evenly between two bounds; the last bound for
    what is beyond it, ``None`` where there is nothing."""
    total = sum(counts)
    if not total:
        return None
    rank, before = part * total, 0
    for place, count in enumerate(counts):
        if count and before + count >= rank:
            if place == len(bounds):
                break
            low = bounds[place - 1] if place else 0.0
            return low + (bounds[place] - low) * max(0.0, rank - before) / count
        before += count
    return bounds[-1]
