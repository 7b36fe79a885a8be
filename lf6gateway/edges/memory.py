"""The bytes of records' bodies that are in memory, over all requests, from the socket until they are on disk. Owns
their cap, whose sender waits for others, and who gives way: those so slow that they keep others out. Must never know
what a body says, nor refuse by itself."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from lf6gateway.edges.message import Flow
from lf6gateway.edges.room import BRISK, pace

SMALL: Final = 64 * 1024
"""For bodies up to this size, in bytes, a reserve is kept that larger ones do not get."""
_RESERVE: Final = 8
"""The reserve is this part of the cap, on top of it."""
DECODED_AT_ONCE: Final = 2
"""Bodies that are being decoded at the same time: as many as there are threads for it."""


class Memory:
    """Counts, and makes senders wait from half of the cap on.

    While they wait, the oldest of the bodies that come in is still read, for what is held may be nothing but parts of
    bodies, and a part is only let go of once it is whole; where that one is slow, it gives way. All are read on when
    three eighths of the cap are held.

    :param cap: the most bytes; may be changed at any time.
    :param now: seconds, of a clock that only goes forward.
    """

    def __init__(self, cap: int, now: Callable[[], float] = time.monotonic) -> None:
        self.cap = cap
        self.now = now
        self.held = 0
        self.pauses = 0
        """How often senders were made to wait."""
        self._coming: dict[Share, None] = {}  # the bodies that come in and can wait, the oldest first
        self._all: dict[Share, None] = {}  # those and the small ones that come in
        self._pressed = False
        self._looking = False
        self._storing = 0
        self._decoding = 0
        self._decoded_most = 0  # what those that are being decoded may come to
        self._turns: deque[tuple[int, Deferred[None]]] = deque()

    @property
    def full(self) -> bool:
        """Whether no body can be begun."""
        return self.held >= self.cap

    def admits(self, length: int | None) -> bool:
        """Whether a body of so many bytes can be begun; ``None``: nobody knows. A large one can wait for its turn."""
        if length is not None and length <= SMALL:
            return self._has_room(length, self._limit(length))
        return self._has_room(1, self.cap)

    def share(self, flow: Flow, *, waits: bool) -> Share:
        """The part of a request whose body begins to come in.

        :param waits: whether its sender can be made to wait; there is nothing in that for a body so small that it is
            here with its head, or nearly.
        """
        share = Share(self, flow)
        self._all[share] = None
        if waits:
            self._coming[share] = None
            if self._pressed and len(self._coming) > 1:
                share.pause()
                self._look()
        return share

    def _limit(self, size: int) -> int:
        return self.cap + self.cap // _RESERVE if size <= SMALL else self.cap

    def _has_room(self, more: int, limit: int, but: Share | None = None) -> bool:
        """Whether there is room for so much more; those that are slow give way. Where nothing is held there is."""
        own = 0 if but is None else but.size

        def fits() -> bool:
            others = self.held - own
            return not others or others + more <= limit

        if fits():
            return True
        now = self.now()
        slow = [
            (found, share)
            for share in self._all
            if share is not but and share.size and (found := share.pace(now)) is not None
        ]
        for found, share in sorted(slow, key=lambda pair: pair[0]):
            if found >= BRISK or fits():
                break
            share.give_way()
        return fits()

    def _look(self) -> None:
        """Let senders wait, or go on."""
        if self._looking or not (self._pressed or self.held > self.cap // 2):
            return
        self._looking = True  # a sender that goes on may deliver at once, which comes back here
        try:
            while self._act():
                pass
        finally:
            self._looking = False

    def _act(self) -> bool:
        """One step of that; whether another may be due."""
        if not self._pressed:
            if self.held <= self.cap // 2:
                return False
            self._pressed = True
            self.pauses += 1
            for share in list(self._coming)[1:]:
                share.pause()
        elif self.held > self.cap * 3 // 8:
            oldest = next(iter(self._coming), None)
            if oldest is None:
                return False
            if oldest.paused:
                oldest.resume()
            elif len(self._coming) > 1 and (found := oldest.pace(self.now())) is not None and found < BRISK:
                oldest.give_way()
            else:
                return False
        else:
            self._pressed = False
            for share in list(self._coming):
                if self.held > self.cap // 2:
                    break  # the next step lets them wait again
                if share in self._coming:
                    share.resume()
        return True

    def _leave(self, share: Share) -> None:
        self._all.pop(share, None)
        self._coming.pop(share, None)
        self._look()

    def _turn(self, most: int) -> Deferred[None]:
        turn: Deferred[None] = Deferred()
        self._turns.append((most, turn))
        self._next_turn()
        return turn

    def _next_turn(self) -> None:
        while self._turns and self._decoding < DECODED_AT_ONCE:
            most, turn = self._turns[0]
            if self._storing and self.held + self._decoded_most + most > self.cap:
                break
            self._turns.popleft()
            self._decoding += 1
            self._decoded_most += most
            self._storing += 1
            turn.callback(None)


class Share:
    """What one request holds."""

    def __init__(self, memory: Memory, flow: Flow) -> None:
        self.paused = False
        self.size = 0
        """Bytes it holds."""
        self.give_way: Callable[[], None] = self.release
        """Lets go of everything, and tells the sender why; to be set by whoever has it."""
        self._begun = memory.now()
        self._came = 0
        self._memory = memory
        self._flow = flow
        self._decoding = 0
        self._storing = False

    def fits(self, size: int) -> bool:
        """Whether it may grow to ``size`` bytes. Alone, any body fits."""
        memory = self._memory
        return memory._has_room(size, memory._limit(size), self)

    def pace(self, now: float) -> float | None:
        """Bytes a second since it began, or went on; ``None``: it is not the sender who is slow."""
        return None if self.paused else pace(self._begun, now, self._came)

    def set(self, size: int) -> None:
        """It holds so many bytes now."""
        memory = self._memory
        memory.held += size - self.size
        self._came += max(0, size - self.size)
        self.size = size
        memory._look()
        if memory._turns:
            memory._next_turn()

    def whole(self) -> None:
        """All of the body is here, and goes to disk by itself."""
        self._storing = True
        self._memory._storing += 1
        self._memory._leave(self)

    async def decoding(self, most: int) -> None:
        """All of the body is here; returns when it may be decoded. Few are at the same time, and only while there is
        memory for what they may come to.

        :param most: what it may come to, in bytes.
        """
        self._memory._leave(self)
        await self._memory._turn(most)
        self._decoding, self._storing = most, True

    def decoded(self) -> None:
        """It is decoded, and its new size set."""
        if self._decoding:
            self._memory._decoded_most -= self._decoding
            self._decoding = 0
            self._memory._decoding -= 1
            self._memory._next_turn()

    def release(self) -> None:
        """Hold nothing more; may be called again."""
        if self._storing:
            self._storing = False
            self._memory._storing -= 1
        self.set(0)
        self.decoded()
        self._memory._leave(self)

    def pause(self) -> None:
        """Its sender waits from now on."""
        if not self.paused:
            self.paused = True
            self._flow.pause()

    def resume(self) -> None:
        """Its sender waits no longer."""
        if self.paused:
            self.paused = False
            self._begun, self._came = self._memory.now(), 0
            self._flow.resume()
