"""One end of the socket between the gateway and a worker. Owns the passing of messages over it; must never know what
one asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.values.wire import Message, Reader, encode

_log = Logger()


class Link(Protocol):
    """Sends and receives messages.

    :param received: told of each message.
    :param lost: told, once, that the other end is gone.
    """

    def __init__(self, received: Callable[[Message], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._reader = Reader()
        self._gone = False

    def send(self, message: Message) -> None:
        """Pass a message on; into the void if the other end is gone."""
        if not self._gone and self.transport is not None:
            self.transport.write(encode(message))

    def close(self) -> None:
        """End it, once what was sent has gone out."""
        if self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Some bytes have come."""
        try:
            for message in self._reader.feed(data):
                self._received(message)
        except Exception:
            _log.failure("a message between the gateway and a worker could not be taken; the worker starts anew")
            transport: Any = self.transport
            transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The other end is gone."""
        if not self._gone:
            self._gone = True
            self._lost()
