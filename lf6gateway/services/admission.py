"""The rules by which data are let in, wherever they come in: in the gateway itself (``receive``) or in a worker
(``distant``). Owns the reasons and their times, the trials of a disk that fails, and the room that is promised to a
specimen; must never know where the data go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lf6gateway.disk.space import Refusal

DISK_FAILING: Final = "disk_failing"
DRAINING_RETRY: Final = 5
STARTING_RETRY: Final = 1
BUSY_RETRY: Final = 1
KEYS_FULL_RETRY: Final = 60
TRIAL_EVERY_NS: Final = 5_000_000_000
"""While the disk fails, one request in so many nanoseconds is let through to try it."""
LOOK_EVERY: Final = 256 * 1024
"""After so many bytes of a specimen it is looked again whether there is room, for it need not have told its length."""
PROMISED: Final = 1024 * 1024
"""The most that is kept free for a specimen which comes in, whatever length it told: it may never come."""
PROMISED_UNTOLD: Final = 64 * 1024
"""Likewise for one that told none."""

STARTING: Final = Refusal("starting", "the gateway is starting", STARTING_RETRY)


def room_for(length: int | None) -> int:
    """The bytes that are kept free for a specimen that has begun to come in.

    :param length: what it told; ``None``: nothing.
    """
    return PROMISED_UNTOLD if length is None else min(length, PROMISED)


def busy(waiting: int) -> Refusal:
    """So many bytes wait for the disk that no more are taken."""
    return Refusal("busy", f"{waiting} bytes wait for the disk already", BUSY_RETRY)


class Trials:
    """While the disk fails, lets one request through now and then: only a write that succeeds shows that it works
    again.

    :param now_ns: the time in nanoseconds since 1970.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._last_ns = 0

    def unless_tried(self, refusal: Refusal | None) -> Refusal | None:
        """The refusal, or ``None`` where the request it was meant for is let through as a trial."""
        if refusal is None or refusal.reason != DISK_FAILING:
            return refusal
        now_ns = self._now_ns()
        if 0 <= now_ns - self._last_ns < TRIAL_EVERY_NS:
            return refusal
        self._last_ns = now_ns
        return None
