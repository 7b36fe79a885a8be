"""The most frequent of many, in bounded memory. Owns what is forgotten where there are too many; must never count too
much."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Top(Generic[K]):
    """Counts of keys, of which the rarest are forgotten where they become too many.

    A count is never too high. Where something was forgotten it can be too low, by ``missed`` at most.

    :param most: how many keys are kept when some are forgotten; up to twice as many are there in between.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[K, int] = {}
        self.missed = 0

    def __len__(self) -> int:
        return len(self._counts)

    def __contains__(self, key: K) -> bool:
        return key in self._counts

    @property
    def exact(self) -> bool:
        """Whether nothing was forgotten."""
        return not self.missed

    def add(self, key: K, count: int = 1) -> None:
        """Count a key."""
        self._counts[key] = self._counts.get(key, 0) + count
        if len(self._counts) >= 2 * self._most:
            self._forget()

    def merge(self, other: Top[K]) -> None:
        """Count what another one has counted."""
        self.missed += other.missed
        for key, count in other._counts.items():
            self.add(key, count)

    def top(self, most: int) -> list[tuple[K, int]]:
        """The most frequent keys with their counts; of equal ones, those that came first."""
        return sorted(self._counts.items(), key=lambda item: -item[1])[:most]

    def items(self) -> Iterator[tuple[K, int]]:
        """All keys there are, in the order they came."""
        yield from self._counts.items()

    def _forget(self) -> None:
        ranked = sorted(self._counts.items(), key=lambda item: -item[1])
        self.missed += ranked[self._most][1]
        self._counts = dict(ranked[: self._most])
