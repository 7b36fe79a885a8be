"""A short queue between who reads and who writes, in one reactor. Owns that the one waits for the other; must never
know what goes through it."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Channel(Generic[T]):
    """Holds a few things that nobody has taken yet.

    :param room: how many.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._items: deque[T] = deque()
        self._closed = False
        self._failure: Failure | None = None
        self._taker: Deferred[None] | None = None
        self._putter: Deferred[None] | None = None

    async def put(self, item: T) -> None:
        """Put something in, when there is room; one at a time."""
        self._items.append(item)
        self._wake_taker()
        if len(self._items) >= self._room:
            self._putter = Deferred()
            await self._putter

    def close(self, failure: Failure | None = None) -> None:
        """Nothing comes any more; ``failure``: why, where that is no good end."""
        self._closed, self._failure = True, failure
        self._wake_taker()

    def __aiter__(self) -> Channel[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._closed:
                if self._failure is not None:
                    self._failure.raiseException()
                raise StopAsyncIteration
            self._taker = Deferred()
            await self._taker
        item = self._items.popleft()
        putter, self._putter = self._putter, None
        if putter is not None and not putter.called:
            putter.callback(None)
        return item

    def _wake_taker(self) -> None:
        taker, self._taker = self._taker, None
        if taker is not None and not taker.called:
            taker.callback(None)
