"""The choices of one history. Owns their source: a seed, or a list of choices made before, which can be shortened."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Numbers in [0, 1), remembered as they are drawn.

    :param replay: taken first, in this order. Behind them comes nothing but zeros if ``seed`` is ``None``.
    """

    def __init__(self, seed: int | None, replay: Sequence[float] = ()) -> None:
        self._random = None if seed is None else random.Random(seed)
        self._replay = list(replay)
        self.drawn: list[float] = []

    def number(self) -> float:
        at = len(self.drawn)
        if at < len(self._replay):
            value = self._replay[at]
        else:
            value = 0.0 if self._random is None else self._random.random()
        self.drawn.append(value)
        return value

    def __call__(self, probability: float) -> bool:
        """Whether something happens; zeros are «no»."""
        return probability > 0 and self.number() > 1.0 - probability

    def below(self, bound: int) -> int:
        return min(int(self.number() * bound), bound - 1)

    def between(self, low: int, high: int) -> int:
        """From ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1)

    def of(self, things: Sequence[T]) -> T:
        return things[self.below(len(things))]
