"""The body of an answer on its way from the socket. Owns how much of it is taken ahead of whoever reads it, and that a
connection given up is closed; must never look at what the body says."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

AHEAD: Final = 1 << 20
"""Bytes that may wait for the reader before the socket is held back."""


class BodyReader(Protocol):
    """Takes an answer's body, and holds the socket back while it is not asked for.

    :param limit: the most bytes that are taken; the connection is closed at the first one more.
    """

    def __init__(self, limit: int | None) -> None:
        self._room = limit
        # One of no known length that just ends may have lost its end; what is short says itself whether it is whole.
        self._good_ends = (ResponseDone,) if limit is None else (ResponseDone, PotentialDataLoss)
        self.cut = False
        """Whether the body was longer than the limit."""
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._end: Failure | None = None
        self._waiting: Deferred[bytes | None] | None = None

    def dataReceived(self, data: bytes) -> None:
        """Some of the body."""
        if self.cut:
            return
        if self._room is not None:
            self.cut = len(data) > self._room
            data = data[: self._room]
            self._room -= len(data)
        if data:
            self._chunks.append(data)
            self._size += len(data)
        self._give()
        if self.cut:
            self.abandon()
        elif self._size > AHEAD and not self._paused and self._room is None:
            self._paused = True
            self._transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body's end, good or bad."""
        self._end = reason
        self._give()

    def next(self) -> Deferred[bytes | None]:
        """The next chunk; ``None`` at the end, or where the limit was reached."""
        waiting: Deferred[bytes | None] = Deferred()
        self._waiting = waiting
        self._give()
        return waiting

    async def whole(self) -> bytes:
        """All of it, or as much as the limit allows."""
        chunks = []
        while (chunk := await self.next()) is not None:
            chunks.append(chunk)
        return b"".join(chunks)

    def abandon(self) -> None:
        """The rest is not wanted: close the connection, unless it has come to the body's end already."""
        if self._end is None and self.transport is not None:
            # Through TLS, an orderly end would wait for the other side, which may be silent for good.
            real = getattr(self.transport, "_producer", None)
            getattr(real, "abortConnection", self._transport.loseConnection)()

    @property
    def _transport(self) -> Any:
        return self.transport

    def _give(self) -> None:
        if self._waiting is None or self._waiting.called:
            return
        if self._chunks:
            chunk = self._chunks.popleft()
            self._size -= len(chunk)
            if self._paused and self._size <= AHEAD // 2:
                self._paused = False
                self._transport.resumeProducing()
            waiting, self._waiting = self._waiting, None
            waiting.callback(chunk)
        elif self.cut:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)
        elif self._end is not None:
            waiting, self._waiting = self._waiting, None
            if self._end.check(*self._good_ends):
                waiting.callback(None)
            else:
                waiting.errback(self._end)
