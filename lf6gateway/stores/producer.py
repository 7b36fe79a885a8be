"""The body of an upload on its way from disk to socket. Owns the reading ahead of one piece, in a thread, at the pace
the socket takes it; must never read in the reactor, nor hold more than that piece."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import md5, sha256
from typing import Final

import google_crc32c
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from lf6gateway.disk.offload import Offload
from lf6gateway.stores.comparison import Comparison, must_be
from lf6gateway.stores.store import Body
from lf6gateway.values.failure import Kind, StoreError

PIECE: Final = 256 * 1024
"""Bytes read at once."""


@frozen
class Digests:
    """Of a body: ``sha256`` in hex, the others as bytes."""

    sha256: str
    sha256_raw: bytes
    md5: bytes
    crc32c: bytes


Read = Callable[[str, int, int], bytes]
"""Reads a file's bytes, by path, offset and length; blocks."""


def digests_of(data: bytes) -> Digests:
    """The digests of a few bytes."""
    strong = sha256(data)
    quick = google_crc32c.value(data).to_bytes(4, "big")
    return Digests(strong.hexdigest(), strong.digest(), md5(data, usedforsecurity=False).digest(), quick)


def digests(body: Body, read: Read | None = None, comparison: Comparison | None = None) -> Digests:
    """Read a body once for its digests. Blocks.

    :param read: ``read_slice`` if left out.
    :param comparison: of the whole that this body is a part of, fed with it.
    :raises StoreError: a file of it is shorter than it should be, or not what it was.
    """
    read = read or read_slice
    alone = comparison is None and len(body.slices) == 1
    if comparison is None and not alone:
        comparison = Comparison(body)
    strong, old, quick = sha256(), md5(usedforsecurity=False), 0
    for path, offset, length in _pieces(body):
        data = read(path, offset, length)
        strong.update(data)
        old.update(data)
        quick = google_crc32c.extend(quick, data)
        if comparison is not None:
            comparison.feed(data)
    if alone:
        must_be(body.slices[0], strong.hexdigest())
    return Digests(strong.hexdigest(), strong.digest(), old.digest(), quick.to_bytes(4, "big"))


def _pieces(body: Body) -> list[tuple[str, int, int]]:
    return [
        (part.path, part.offset + start, min(PIECE, part.length - start))
        for part in body.slices
        for start in range(0, part.length, PIECE)
    ]


def read_slice(path: str, offset: int, length: int) -> bytes:
    """Bytes of a file. Blocks.

    :raises StoreError: the file is shorter, or cannot be read; that is no fault of the store.
    """
    try:
        return _read(path, offset, length)
    except OSError as error:
        raise StoreError(Kind.DAMAGED, f"read {path}", error.strerror or str(error), applied=False) from error


def _read(path: str, offset: int, length: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.pread(descriptor, length, offset)
        while len(data) < length:
            more = os.pread(descriptor, length - len(data), offset + len(data))
            if not more:
                raise StoreError(Kind.DAMAGED, f"read {path}", f"it ends before byte {offset + length}", applied=False)
            data += more
        return data
    finally:
        os.close(descriptor)


@implementer(IBodyProducer, IPushProducer)
class SliceProducer:
    """Sends a body's slices.

    :param offload: reads.
    """

    def __init__(self, body: Body, offload: Offload) -> None:
        self.length = body.length
        self._pieces = _pieces(body)
        self._offload = offload
        self._stopped = False
        self._paused: Deferred[None] | None = None
        self._work: Deferred[None] | None = None
        self._consumer: IConsumer | None = None

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Send everything; fires at the end."""
        self._consumer = consumer
        self._work = Deferred.fromCoroutine(self._send(consumer))
        return self._work

    def abandon(self) -> None:
        """The answer is there: nobody needs what of the body has not been sent, so the connection is closed under it.
        Left alone it would be sent to the end, and to a store that reads no more, never."""
        if self._work is None or self._work.called or self._stopped:
            return
        connection = getattr(self._consumer, "_consumer", None)
        if connection is not None:
            self._stopped = True
            connection.abortConnection()

    async def _send(self, consumer: IConsumer) -> None:
        for path, offset, length in self._pieces:
            try:
                data = await self._offload(
                    lambda path=path, offset=offset, length=length: read_slice(path, offset, length)  # type: ignore[misc]
                )
            except StoreError:
                if not self._stopped:
                    raise
            if self._stopped:
                # Twisted asks that the Deferred of a stopped producer never fires, nor fails: it would log that.
                await Deferred()
            if self._paused is not None:
                await self._paused
            consumer.write(data)

    def pauseProducing(self) -> None:
        """The socket is full."""
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        """The socket takes more."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._stopped = True
