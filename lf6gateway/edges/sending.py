"""How answers go out: gathered while something is being read, then sent in one go, by the socket itself as long as the
system takes them. Owns their order, and the pausing of what comes in; must never know what is sent."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPushProducer, ISSLTransport, ISystemHandle
from zope.interface import implementer


@implementer(IPushProducer)
class Sending:
    """The part of a channel that is about its transport."""

    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self._busy = False
        self._out: list[bytes] = []
        self._socket: Any = None
        self._registered = False
        self._choked = False
        self._stalled = False

    def _holds(self) -> bool:
        """Whether the channel itself wants no more for now."""
        raise NotImplementedError

    def _begin_sending(self) -> None:
        transport = self.transport
        if ISystemHandle.providedBy(transport) and not ISSLTransport.providedBy(transport):
            self._socket = transport.getHandle()
        transport.registerProducer(self, True)
        self._registered = True

    def _end_sending(self) -> None:
        """Hand all that is left to the transport, which may then close."""
        self._flush()
        self._socket = None
        if self._registered:
            self._registered = False
            self.transport.unregisterProducer()

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        if not self._busy:
            self._flush()

    def _flush(self) -> None:
        """Send what was written. A transport's ``write`` waits for the reactor to find the socket ready, which costs
        more than all the rest of an answer; it is used once the system has no room, and from then on, so that it keeps
        the order."""
        out = self._out
        if not out:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        if self._socket is not None:
            try:
                sent = self._socket.send(data)
            except OSError:  # there is no room, or nobody: the transport finds out which
                sent = 0
            if sent == len(data):
                return
            self._socket = None
            data = data[sent:]
        self.transport.write(data)

    def pauseProducing(self) -> None:
        """The transport's buffer is full: read nothing that would have to be answered."""
        self._choked = True
        self._pace()

    def resumeProducing(self) -> None:
        """The transport's buffer has emptied."""
        self._choked = False
        self._pace()

    def stopProducing(self) -> None:
        """The transport is gone; it tells the channel itself."""

    def _pace(self) -> None:
        stalled = self._choked or self._holds()
        if stalled != self._stalled:
            self._stalled = stalled
            if stalled:
                self.transport.pauseProducing()
            else:
                self.transport.resumeProducing()
