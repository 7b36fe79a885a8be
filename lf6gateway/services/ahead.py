"""Work that runs some steps ahead of who takes its results, which come in order. Owns how many run at once, and that
none is left behind; must never know what they do."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")
W = TypeVar("W")


async def ahead(
    things: AsyncIterator[W], work: Callable[[W], Awaitable[T]], at_once: int
) -> AsyncGenerator[tuple[W, Deferred[T]], None]:
    """Do something for each of some things, for ``at_once`` of them at a time. What comes is each thing with the
    Deferred of what was done for it, in the order of the things; whoever takes it waits for that one.

    Closing this generator (``aclosing``) cancels what still runs.
    """
    running: deque[tuple[W, Deferred[T]]] = deque()
    more = True
    try:
        while True:
            while more and len(running) < at_once:
                try:
                    thing = await anext(things)
                except StopAsyncIteration:
                    more = False
                else:
                    running.append((thing, Deferred.fromCoroutine(_run(work, thing))))
            if not running:
                return
            yield running[0]
            running.popleft()
    finally:
        for _, one in running:
            one.addErrback(lambda _: None)
            one.cancel()
        closing: Any = getattr(things, "aclose", None)
        if closing is not None:
            await closing()


async def _run(work: Callable[[W], Awaitable[T]], thing: W) -> T:
    return await work(thing)


async def each(things: list[W]) -> AsyncGenerator[W, None]:
    """A list, for who takes things as they come."""
    for thing in things:
        yield thing
