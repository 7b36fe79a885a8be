"""Reads many objects at the same time and gives what is in them in order. Owns how far it reads ahead, which is
bounded, and that unpacking leaves the reactor; must never decide what is wanted of an object."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lf6gateway.disk.offload import Offload
from lf6gateway.services.ahead import ahead
from lf6gateway.services.channel import Channel
from lf6gateway.services.patient import PatientStore
from lf6gateway.values.delivered import Delivered
from lf6gateway.values.failure import WHOLE_STORE, StoreError

_BLOCKS: Final = 2
"""Blocks of one object that wait for their turn."""


class Reader(Protocol):
    """Takes an object's bytes, and gives what it makes of them."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Go on with the next bytes; what comes is taken before the next are fed."""

    def end(self) -> Iterator[bytes]:
        """The object ends here."""


R = TypeVar("R", bound=Reader)


@dataclass(frozen=True, slots=True)
class Opened(Generic[R]):
    """An object that is being read.

    :param blocks: what its reader gives; fails with ``StoreError`` where the object cannot be fetched.
    """

    found: Delivered
    reader: R
    blocks: Channel[bytes]


async def read_in_order(
    objects: AsyncIterator[Delivered],
    make: Callable[[Delivered], R],
    store_of: Callable[[Delivered], PatientStore],
    *,
    offload: Offload,
    at_once: int,
) -> AsyncGenerator[Opened[R], None]:
    """Read objects, ``at_once`` of them at a time, each by a reader of its own. The blocks of one are to be taken
    before the next object is.

    Closing this generator (``aclosing``) gives up what is still being read.
    """

    async def opened() -> AsyncGenerator[Opened[R], None]:
        async for found in objects:
            yield Opened(found, make(found), Channel(_BLOCKS))

    async def pump(one: Opened[R]) -> None:
        try:
            async with aclosing(store_of(one.found).get(one.found.key)) as chunks:
                async for chunk in chunks:
                    await _drain(one.reader.feed(chunk), one.blocks, offload)
            await _drain(one.reader.end(), one.blocks, offload)
        except Exception:
            one.blocks.close(Failure())
        else:
            one.blocks.close()

    try:
        async with aclosing(ahead(opened(), pump, at_once)) as running:
            async for one, done in running:
                yield one
                await done
    finally:
        closing = getattr(objects, "aclose", None)
        if closing is not None:
            await closing()


async def digest(reader: Reader, found: Delivered, store: PatientStore, offload: Offload) -> StoreError | None:
    """Read one object to its end with a reader that gives nothing; the error where it cannot be fetched.

    :raises StoreError: others cannot be fetched either.
    """
    try:
        async with aclosing(store.get(found.key)) as chunks:
            async for chunk in chunks:
                await offload(lambda chunk=chunk: list(reader.feed(chunk)))  # type: ignore[misc]
        await offload(lambda: list(reader.end()))
    except StoreError as error:
        if error.kind in WHOLE_STORE:
            raise
        return error
    return None


async def _drain(pieces: Iterator[bytes], blocks: Channel[bytes], offload: Offload) -> None:
    while True:
        waiting: Deferred[bytes | None] = offload(lambda: next(pieces, None))
        block = await waiting
        if block is None:
            return
        await blocks.put(block)
