"""How much the spool holds, how much it may, and whether the disk works. Owns the decision to refuse new data and when
to ask again; must never delete anything to make room."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lf6gateway.disk.filesystem import Room

WINDOW_S: Final = 120.0
"""Seconds over which the rate of draining is measured."""

_SHARE_S: Final = 1.0
"""Seconds whose removals are noted as one, so that the note does not grow with their number."""
BLOCK: Final = 4096
"""What file systems give out at a time, in bytes."""

_SHORTEST, _LONGEST = 1, 300


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no data are taken now; ``retry_after`` in seconds."""

    reason: str
    detail: str
    retry_after: int


class Space:
    """Counts the spool's bytes. Any thread may call any method; none of them blocks.

    :param max_bytes: the most the spool may hold.
    :param min_free_bytes: what the disk keeps free, so that what was shipped can always be noted and removed.
    :param min_free_inodes: likewise, where the file system counts them.
    :param monotonic: seconds from any beginning, never backwards.
    """

    def __init__(
        self, max_bytes: int, min_free_bytes: int, min_free_inodes: int, *, monotonic: Callable[[], float]
    ) -> None:
        self.max_bytes = max_bytes
        self.min_free_bytes = min_free_bytes
        self.min_free_inodes = min_free_inodes
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._used = 0
        self._since_room = 0
        self._files_since_room = 0
        self._room: Room | None = None
        self._failing: str | None = None
        self._removed: deque[tuple[float, int]] = deque()

    @property
    def used(self) -> int:
        """Bytes the spool holds."""
        return self._used

    @property
    def crowded(self) -> bool:
        """Whether what could be fetched again should not stay: more than half of the spool is in use."""
        return self._used > self.max_bytes // 2

    @property
    def failing(self) -> bool:
        """Whether the last write or sync failed."""
        return self._failing is not None

    @property
    def room(self) -> Room | None:
        """What the disk was last seen to have left."""
        return self._room

    def add(self, size: int) -> None:
        """So many bytes were written, or are about to be."""
        with self._guard:
            self._used += size
            self._since_room += size

    def add_file(self) -> None:
        """A file was made, whose last block will not be full."""
        with self._guard:
            self._files_since_room += 1
            self._since_room += BLOCK

    def remove(self, size: int, *, drained: bool = True) -> None:
        """So many bytes are gone; ``drained``: because they were shipped, which is what a waiting client waits for."""
        with self._guard:
            self._used = max(0, self._used - size)
            self._since_room -= size
            if drained and size > 0:
                now = self._monotonic()
                if self._removed and now - self._removed[-1][0] < _SHARE_S:
                    begun, before = self._removed.pop()
                    self._removed.append((begun, before + size))
                else:
                    self._removed.append((now, size))
                self._forget(now)

    def note_room(self, room: Room) -> None:
        """What the disk has left was looked up just now."""
        with self._guard:
            self._room = room
            self._since_room = self._files_since_room = 0

    def note_failure(self, detail: str) -> None:
        """A write or a sync failed: refuse until one succeeds."""
        self._failing = detail

    def note_success(self) -> None:
        """The disk takes writes."""
        self._failing = None

    def refusal(self, incoming: int) -> Refusal | None:
        """Why ``incoming`` further bytes are not to be taken; ``None`` if they are."""
        failing = self._failing
        if failing is not None:
            return Refusal("disk_failing", f"the disk failed: {failing}", 5)
        over = self._used + incoming - self.max_bytes
        if over > 0:
            return Refusal(
                "spool_full",
                f"the spool holds {self._used} of at most {self.max_bytes} bytes that wait to be shipped",
                self._wait_for(over),
            )
        room = self._room
        if room is None:
            return None
        short = self.min_free_bytes + incoming - (room.free_bytes - max(0, self._since_room))
        if short > 0:
            return Refusal(
                "disk_floor",
                f"the disk has {room.free_bytes} bytes left, and {self.min_free_bytes} are kept free",
                self._wait_for(short),
            )
        inodes = None if room.free_inodes is None else room.free_inodes - self._files_since_room
        if inodes is not None and inodes < self.min_free_inodes:
            return Refusal(
                "disk_floor",
                f"the disk has {inodes} inodes left, and {self.min_free_inodes} are kept free",
                self._wait_for(1),
            )
        return None

    @property
    def left(self) -> int:
        """How many bytes may still be taken."""
        left = self.max_bytes - self._used
        room = self._room
        if room is not None:
            left = min(left, room.free_bytes - max(0, self._since_room) - self.min_free_bytes)
        return max(0, left)

    def _wait_for(self, size: int) -> int:
        """Seconds until ``size`` bytes are drained at the present rate; half a minute where nothing drains."""
        with self._guard:
            now = self._monotonic()
            self._forget(now)
            if not self._removed:
                return 30
            drained = sum(removed for _, removed in self._removed)
            rate = drained / max(1.0, now - self._removed[0][0])
        return max(_SHORTEST, min(_LONGEST, round(size / rate + 0.5)))

    def _forget(self, now: float) -> None:
        while self._removed and self._removed[0][0] < now - WINDOW_S:
            self._removed.popleft()
