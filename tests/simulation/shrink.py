"""Making a failing history short. Owns the search among shorter lists of choices for one that still fails in the same way;
knows nothing of what a choice means, except that a zero is the plainest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Failing:
    """A history by its choices; behind them come zeros alone."""

    steps: int
    choices: tuple[float, ...]

    @property
    def size(self) -> tuple[int, int, int]:
        """What is to be made small."""
        return self.steps, sum(1 for choice in self.choices if choice), len(self.choices)


def shrunk(failing: Failing, fails: Callable[[Failing], bool], tries: int) -> Failing:
    """The shortest that is found in so many tries.

    :param fails: whether a history still fails, and in the same way.
    """
    best = failing
    left = tries

    def better(candidate: Failing) -> bool:
        nonlocal best, left
        if candidate.size >= best.size or not left:
            return False
        left -= 1
        if not fails(candidate):
            return False
        best = candidate
        return True

    while left:
        before = best.size
        _fewer_steps(lambda: best, better)
        _cut(lambda: best, better)
        for block in (256, 64, 16, 8, 4, 2, 1):
            _without_blocks(lambda: best, better, block)
        if best.size == before:
            break
    return best


def _fewer_steps(best: Callable[[], Failing], better: Callable[[Failing], bool]) -> None:
    gap = best().steps
    while gap >= 1:
        while best().steps >= gap and better(Failing(best().steps - gap, best().choices)):
            pass
        gap //= 2


def _cut(best: Callable[[], Failing], better: Callable[[Failing], bool]) -> None:
    gap = len(best().choices)
    while gap >= 1:
        while len(best().choices) >= gap and better(Failing(best().steps, best().choices[:-gap])):
            pass
        gap //= 2


def _without_blocks(best: Callable[[], Failing], better: Callable[[Failing], bool], block: int) -> None:
    at = len(best().choices) - block
    while at >= 0:
        steps, choices = best().steps, best().choices
        rest = choices[at + block :]
        if not better(Failing(steps, choices[:at] + rest)) and any(choices[at : at + block]):
            better(Failing(steps, choices[:at] + (0.0,) * len(choices[at : at + block]) + rest))
        at -= block
