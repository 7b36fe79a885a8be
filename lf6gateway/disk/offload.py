"""How blocking work leaves the reactor: a callable handed in, so that production gives a thread pool of its own and a
simulation runs the work at the moment it chooses. Owns the type alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class Offload(Protocol):
    """Runs ``work`` where it may block; the Deferred fires in the reactor with its result or its error."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]: ...


def inline(work: Callable[[], T], /) -> Deferred[T]:
    """Run at once, where one stands: for tests, tools without a reactor, and the simulation."""
    from twisted.internet.defer import execute

    return execute(work)
