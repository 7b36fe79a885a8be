"""How often each address has failed of late, and how long its next failure is to wait. Owns that count, bounded
whatever comes; must never wait itself, nor read a clock."""

from __future__ import annotations

from typing import Final

FORGIVEN_S: Final = 60.0
"""Seconds after which a failure counts for nothing."""
LONGEST_S: Final = 30.0
"""The longest that an answer is held back, in seconds."""


class Failures:
    """Counts by address.

    :param most: how many addresses are counted at once; the one that failed longest ago is forgotten first.
    """

    def __init__(self, first_s: float, most: int) -> None:
        self.first_s = first_s
        self.most = most
        self._counts: dict[str, tuple[int, float]] = {}

    def delay(self, sender: str, now_s: float) -> float:
        """Count one more failure; how many seconds its answer is to be held back."""
        count, last = self._counts.pop(sender, (0, now_s))
        if now_s - last >= FORGIVEN_S:
            count = 0
        while len(self._counts) >= self.most:
            del self._counts[next(iter(self._counts))]
        self._counts[sender] = (count + 1, now_s)
        return float(min(LONGEST_S, self.first_s * 2.0 ** min(count, 30)))

    def __len__(self) -> int:
        return len(self._counts)
