"""The idempotency keys of the last hour, in memory. Owns the index alone; must never decide what a repeated key is
answered with, nor read them from disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from lf6gateway.values.slot import HOUR_NS
from lf6gateway.values.stream import Stream

_BUCKET_NS: Final = 60_000_000_000
"""Keys are forgotten a minute's worth at a time."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One use of a key: when, by whom, for which stream."""

    received_ns: int
    stream: Stream
    user: str
    key: str


def digest_of(stream: Stream, user: str, key: str) -> bytes:
    """What stands for a key of a user and stream: 16 bytes, so that two never meet by chance."""
    return blake2b(f"{stream.value}\0{user}\0{key}".encode(), digest_size=16).digest()


class KeyIndex:
    """Remembers keys for a window of time, about 100 bytes each.

    :param max_keys: beyond so many no new one can be remembered; ``full`` tells.
    :param window_ns: how long a key counts, nanoseconds.
    """

    def __init__(self, max_keys: int, window_ns: int = HOUR_NS) -> None:
        self.max_keys = max_keys
        self._window_ns = window_ns
        self._moments: dict[bytes, int] = {}
        self._buckets: deque[tuple[int, list[bytes]]] = deque()

    def __len__(self) -> int:
        return len(self._moments)

    @property
    def full(self) -> bool:
        """Whether there is room for no further key until old ones are forgotten."""
        return len(self._moments) >= self.max_keys

    def seen(self, digest: bytes, now_ns: int) -> bool:
        """Whether a key was used within the window before now."""
        moment = self._moments.get(digest)
        return moment is not None and moment > now_ns - self._window_ns

    def remember(self, digest: bytes, received_ns: int) -> None:
        """A key was used, and its record is on stable storage."""
        known = self._moments.get(digest)
        if known is not None and known >= received_ns:
            return
        self._moments[digest] = received_ns
        bucket = received_ns // _BUCKET_NS
        for number, digests in self._candidates():
            if number == bucket:
                digests.append(digest)
                return
        self._buckets.append((bucket, [digest]))

    def expire(self, now_ns: int) -> int:
        """Forget keys older than the window; how many there were."""
        limit = now_ns - self._window_ns
        before = len(self._moments)
        kept: deque[tuple[int, list[bytes]]] = deque()
        for number, digests in self._buckets:
            if (number + 1) * _BUCKET_NS > limit:
                kept.append((number, digests))
                continue
            for digest in digests:
                if self._moments.get(digest, limit + 1) <= limit:
                    self._moments.pop(digest, None)
        self._buckets = kept
        return before - len(self._moments)

    def _candidates(self) -> Iterator[tuple[int, list[bytes]]]:
        return reversed(self._buckets)
