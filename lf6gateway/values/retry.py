"""How long to wait before the next attempt. Owns the schedules; must never read a clock, wait, or decide whether an
attempt makes sense at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lf6gateway.values.failure import OPERATOR, Kind

SLOW_START: Final = 30.0
"""Seconds before the first new attempt where an operator has to mend something."""

LONGEST_ASKED: Final = 3600.0
"""The longest pause in seconds that a store is granted when it asks for one."""

_LEAST: Final = 0.1
"""The share of the shortest pause that luck cannot undercut, so that no run of small draws spins."""

_MOST_DOUBLINGS: Final = 64


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The bounds of the pauses, in seconds.

    :param base: the ceiling of the first pause after a failure (``upload.retry_min``).
    :param cap: the longest pause (``upload.retry_max``).
    """

    base: float = 0.5
    cap: float = 300.0

    def __post_init__(self) -> None:
        if not 0 < self.base <= self.cap:
            raise ValueError(
                f"the first pause ({self.base} s) must be positive and no longer than the last ({self.cap} s)"
            )


def full_jitter(failures: int, policy: RetryPolicy, random: Callable[[], float]) -> float:
    """Seconds to wait after ``failures`` failures in a row (1 is the first): evenly drawn from nothing to a ceiling
    that doubles, which keeps many clients from coming back all at once.

    :param random: a number in [0, 1), like ``random.random``.
    """
    ceiling = min(policy.cap, policy.base * 2.0 ** min(max(failures - 1, 0), _MOST_DOUBLINGS))
    return max(random() * ceiling, _LEAST * policy.base)


def slow_jitter(failures: int, policy: RetryPolicy, random: Callable[[], float]) -> float:
    """Seconds to wait where time alone mends nothing: from ``SLOW_START`` up to a ceiling that doubles to ``cap``."""
    floor = min(SLOW_START, policy.cap)
    ceiling = min(policy.cap, floor * 2.0 ** min(max(failures, 1), _MOST_DOUBLINGS))
    return floor + random() * (ceiling - floor)


def pause(
    kind: Kind, failures: int, policy: RetryPolicy, random: Callable[[], float], retry_after: float | None = None
) -> float:
    """Seconds to wait after a failure of that kind; never shorter than what the store asked for (up to an hour)."""
    chosen = slow_jitter(failures, policy, random) if kind in OPERATOR else full_jitter(failures, policy, random)
    if retry_after is None or retry_after <= 0:
        return chosen
    asked = min(retry_after, LONGEST_ASKED)
    return max(chosen, asked + random() * policy.base)
